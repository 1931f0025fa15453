#!/usr/bin/env bash
# test.sh: what `make test` does. The last line is "N passed, N failed, N skipped" over everything.
set -u
cd "$(dirname "$0")/.."
. tools/lib.sh

tools/deps.sh test || exit 1
start=$(date +%s)
built=yes
mk -s -k -j"$jobs" all test-nifs >"$logs/make.log" 2>&1 || { built=no; fail "build" "make failed:"; sed 's/^/  | /' "$logs/make.log"; }

suite "tidy" tools/tidy.sh
suite "tidy finds planted faults" tools/tidy.sh --selftest
suite "runners find planted faults" tools/selftest.sh
if ls src/*.erl >/dev/null 2>&1; then suite "xref" escript tools/xref.escript ebin; fi

find "$BUILD/test" -name '*.gcda' -delete 2>/dev/null
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
c_suites test

unset ERL_LIBS
export ERL_CRASH_DUMP=$BUILD/erl_crash.dump ERL_FLAGS="-pa $PWD/ebin" TSUNAMI_TERM_NIF=$BUILD/release/term_nif
rm -rf "$BUILD/erl_tests"
# Without a library that loads, thousands of lines would say the same.
if [ "$built" = yes ]; then
    before=$failed
    suite "the library loads" erl -noshell -eval '
        try tsunami:lookup(tsunami:new(t, []), key) of [] -> io:format("1 passed, 0 failed~n"), halt(0)
        catch Class:Reason -> io:format("~p: ~tp~n", [Class, Reason]), halt(1) end.'
    [ "$failed" -eq "$before" ] || built=no
fi
if [ "$built" = yes ]; then
    suite "README's example" escript tools/readme_test.escript README.md
    eunit_suites "$BUILD/erl_tests"
else
    skip "eunit" "there is no library to test"
fi

if [ "$built" != yes ]; then
    skip "exunit" "there is no library to test"
elif tools/deps.sh elixir >"$logs/deps_elixir.log" 2>&1; then
    suite "exunit finds planted faults" tools/run_exunit.sh --selftest
    suite "exunit" tools/run_exunit.sh
else
    skip "exunit" "there is no Elixir 1.14 or later, and it cannot be installed: $logs/deps_elixir.log"
fi

if [ -f bench/run.sh ]; then suite "the bench sees a planted loss" bench/run.sh --selftest; fi

echo
tools/coverage.sh "$BUILD/test" total
echo "$suites suites in $(($(date +%s) - start)) s"
finish
