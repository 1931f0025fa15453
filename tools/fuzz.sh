#!/usr/bin/env bash
# fuzz.sh: each c_src/testing/fuzz_*.c for FUZZ_SECONDS under libFuzzer. The corpus stays in
# $BUILD/corpus; an input that fails stays in $BUILD/crashes, and the log says how to run it again.
set -u
cd "$(dirname "$0")/.."
. tools/lib.sh

tools/deps.sh fuzz || exit 1
export CC=clang
seconds=${FUZZ_SECONDS:-60}
limit_s=$((seconds + 120))

fuzz() {        # fuzz BINARY NAME
    mkdir -p "$BUILD/corpus/$2" "$BUILD/crashes"
    if "$1" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 \
            ${TSU_SEED:+-seed=$TSU_SEED} -artifact_prefix="$BUILD/crashes/$2-" "$BUILD/corpus/$2"; then
        echo "1 passed, 0 failed"
    else
        echo "run again: $1 $BUILD/crashes/$2-..."
        echo "0 passed, 1 failed"
        return 1
    fi
}
export -f fuzz
export seconds

mk -s -k -j"$jobs" VARIANT=fuzz fuzzers >"$logs/make_fuzz.log" 2>&1
while read -r src bin; do
    [ -n "$src" ] || continue
    name=$(basename "$src" .c)
    if ! mk -s VARIANT=fuzz "$bin" >"$logs/make_fuzz.one" 2>&1 </dev/null; then
        fail "$name" "does not build:"
        head -n 20 "$logs/make_fuzz.one"
        continue
    fi
    suite "$name" bash -c "fuzz $bin $name"
    grep -E 'number_of_executed_units|new_units_added' "$logs/$name.log" | sed 's/^/  /'
done < <(mk -s VARIANT=fuzz list-fuzz)
finish
