#!/usr/bin/env bash
# run_exunit.sh [--selftest]: `mix test`, offline, its counts in the form that tools/lib.sh reads.
# --selftest shows it tests that fail, are left out, do not end and do not compile, and demands that it counts them.
cd "$(dirname "$0")/.." || exit 1
build=$(mkdir -p "${BUILD:-build}" && cd "${BUILD:-build}" && pwd)
export MIX_ENV=test MIX_BUILD_PATH=$build/mix_test     # absolute: its links are made from it
export HEX_OFFLINE=1 ELIXIR_ERL_OPTIONS="${ELIXIR_ERL_OPTIONS:-+fnu}"
unset ERL_FLAGS

counted() {     # counted FILE...: runs these (or all), and ends with their counts
    local status
    mix test --no-deps-check --no-color "$@" 2>&1 | tee "$build/exunit.out"
    status=${PIPESTATUS[0]}
    awk '/^[0-9]+ (doctest|test|propert)[a-z]*, .*[0-9] failures?/ {    # the last such line; tests may show others
             all = failed = skipped = 0
             for (i = 1; i < NF; i++) {
                 if ($(i + 1) ~ /^(doctest|test|propert)/) all += $i
                 if ($(i + 1) ~ /^(failure|invalid)/) failed += $i
                 if ($(i + 1) ~ /^(skipped|excluded)/) skipped += $i
             }
         }
         END { printf "%d passed, %d failed, %d skipped\n", all - failed - skipped, failed, skipped }' "$build/exunit.out"
    return "$status"
}

if [ "${1:-}" != --selftest ]; then
    counted "$@"
    exit
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cat >"$scratch/planted_test.exs" <<'END'
defmodule PlantedTest do
  use ExUnit.Case
  test "passes", do: assert 1 + 1 == 2
  test "fails", do: assert String.length("ab") == 3
  @tag :skip
  test "is left out", do: flunk()
  @tag timeout: 100
  test "does not end", do: Process.sleep(:infinity)
end
defmodule PlantedSetupTest do
  use ExUnit.Case
  setup_all do: raise("planted")
  test "has no ground", do: assert true
end
END
echo 'defmodule BrokenTest do oops(' >"$scratch/broken_test.exs"
good=0 bad=0
expect() {      # expect FILE STATUS COUNTS
    local got
    got="$(counted "$scratch/$1" >"$scratch/out" 2>&1; echo $?) $(tail -n 1 "$scratch/out")"
    if [ "$got" = "$2 $3" ]; then good=$((good + 1)); else bad=$((bad + 1)); cat "$scratch/out"; echo "$1: wanted $2 $3, got $got"; fi
}
expect planted_test.exs 2 "1 passed, 3 failed, 1 skipped"
expect broken_test.exs  1 "0 passed, 0 failed, 0 skipped"
echo "$good passed, $bad failed"
[ "$bad" -eq 0 ]
