# lib.sh: what the runners share. Sourced, from the root of the tree.
#
# A suite is one command that closes with "N passed, N failed[, N skipped]" alone on a line.
# `suite NAME COMMAND...` runs it, adds its counts to the totals and prints one line; its output is
# shown when it fails, and in any case lines about skipped and slow tests and seeds of failures.

BUILD=${BUILD:-build}
export BUILD
jobs=${JOBS:-$(nproc 2>/dev/null || echo 2)}
suites=0 passed=0 failed=0 skipped=0
logs=$BUILD/logs
limit_s=${SUITE_SECONDS:-600}
mkdir -p "$logs"

suite() {
    local name=$1 log status line p f s before after
    shift
    log=$logs/$(echo "$name" | tr ' /' '__').log
    before=$(date +%s)
    timeout -k 10 "$limit_s" "$@" >"$log" 2>&1 </dev/null
    status=$?
    after=$(date +%s)
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$' "$log" | tail -n 1)
    read -r p f s <<<"$(echo "$line" | awk '{print $1 + 0, $3 + 0, $5 + 0}')"
    # A suite that fails without saying so: it crashed, hung, leaked or never began.
    if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
        f=1
        [ "$status" = 124 ] && echo "no answer within $limit_s s" >>"$log"
    fi
    if [ "$status" -eq 0 ] && [ $((p + f + s)) -eq 0 ]; then
        f=1
        echo "ran no test" >>"$log"
    fi
    suites=$((suites + 1)) passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    printf '%-44s %5d ok %3d bad %3d skipped %4d s\n' "$name" "$p" "$f" "$s" $((after - before))
    if [ "$f" -gt 0 ]; then
        echo "  status $status; the whole log is $log"
        grep -vE '^[0-9]+ passed, [0-9]+ failed' "$log" | awk -v max="${LOG_LINES:-80}" '
            { line[NR] = $0 }
            END { for (i = 1; i <= NR; i++)
                      if (i <= max / 2 || i > NR - max / 2) print "  | " line[i]
                      else if (!cut++) print "  | ... " NR - max " lines ..." }'
    else
        grep -E '^skipped ' "$log" | sed 's/^/  /'
    fi
    return 0
}

fail() {        # fail NAME WHY: a suite that could not even start
    suites=$((suites + 1)) failed=$((failed + 1))
    printf '%-44s %5d ok %3d bad\n  %s\n' "$1" 0 1 "$2"
}

skip() {        # skip NAME WHY: a suite that cannot run here
    skipped=$((skipped + 1))
    printf '%-44s skipped: %s\n' "$1" "$2"
}

finish() {      # prints the closing line and ends the script with what it means
    if [ $((passed + failed)) -eq 0 ]; then
        echo "no test ran"
        failed=1
    fi
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit $?
}

# make without the flags of a make that called us: it may be running with other variables.
mk() { env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make --no-print-directory "$@"; }

# c_suites VARIANT [LIST [TARGET]]: builds the C tests (or LIST) one way and runs each.
c_suites() {
    local variant=$1 list=${2:-list-tests} target=${3:-ctests} src bin name log
    log=$logs/make_${variant}_$target.log
    mk -s -k -j"$jobs" VARIANT="$variant" "$target" >"$log" 2>&1
    while read -r src bin; do
        [ -n "$src" ] || continue
        name="$variant ${src#c_src/}"
        name=${name%.c}
        # By itself, so that a file which does not compile is its own suite's failure alone.
        if ! mk -s VARIANT="$variant" "$bin" >"$log.one" 2>&1 </dev/null; then
            fail "$name" "does not build:"
            head -n 20 "$log.one" | sed 's/^/  | /'
            continue
        fi
        suite "$name" "$bin"
    done < <(mk -s VARIANT="$variant" "$list")
}

# eunit_suites OUT [COMMAND...]: compiles test/**/*.erl to OUT and runs each *_tests module in a VM of
# its own, with COMMAND before `escript`.
eunit_suites() {
    local out=$1 file
    shift
    mkdir -p "$out"
    while read -r file; do
        [ -n "$file" ] || continue
        if ! escript tools/run_eunit.escript "$out" "$file" >"$logs/support.log" 2>&1 </dev/null; then
            fail "eunit $file" "does not compile:"
            sed 's/^/  | /' "$logs/support.log" | head -n 20
        fi
    done < <(find test -name '*.erl' ! -name '*_tests.erl' 2>/dev/null | LC_ALL=C sort)
    while read -r file; do
        [ -n "$file" ] || continue
        suite "eunit $(basename "$file" .erl)${EUNIT_TAG:+ $EUNIT_TAG}" "$@" escript tools/run_eunit.escript "$out" "$file"
    done < <(find test -name '*_tests.erl' 2>/dev/null | LC_ALL=C sort)
}
