#!/usr/bin/env bash
# run_exunit.sh: `mix test`, offline, its counts in the form that tools/lib.sh reads.
cd "$(dirname "$0")/.." || exit 1
build=$(mkdir -p "${BUILD:-build}" && cd "${BUILD:-build}" && pwd)
export MIX_ENV=test MIX_BUILD_PATH=$build/mix_test     # absolute: its links are made from it
unset ERL_FLAGS
mix test --no-deps-check --no-color 2>&1 | tee "$build/exunit.out"
status=${PIPESTATUS[0]}
awk '/[0-9]+ (doctest|test)s?, .*failures?/ {
         for (i = 1; i <= NF; i++) {
             if ($(i + 1) ~ /^(doctest|test|propert)/) all += $i
             if ($(i + 1) ~ /^failure/) failed += $i
             if ($(i + 1) ~ /^(skipped|excluded)/) skipped += $i
         }
     }
     END { printf "%d passed, %d failed, %d skipped\n", all - failed - skipped, failed, skipped }' "$build/exunit.out"
exit "$status"
