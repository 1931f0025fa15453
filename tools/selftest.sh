#!/usr/bin/env bash
# selftest.sh: the harness and the runners, shown tests that fail in every way a test can. A runner that
# takes one of them for a success is worth less than none.
set -u
cd "$(dirname "$0")/.." || exit 1
unset TSU_SEED TSU_TEST TSU_ROUNDS
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
good=0 bad=0

expect() {      # expect WHAT WANTED GOT
    if [ "$2" = "$3" ]; then good=$((good + 1)); else bad=$((bad + 1)); echo "$1: wanted $2, got $3"; fi
}

counted() {     # counted COMMAND...: the totals that tools/lib.sh makes of one suite
    (
        BUILD=$scratch/build SUITE_SECONDS=${LIMIT:-60}
        . tools/lib.sh
        suite "planted" "$@" >/dev/null 2>&1
        echo "$passed/$failed/$skipped"
    )
}

expect "a suite that passes"           2/0/1 "$(counted sh -c 'echo "2 passed, 0 failed, 1 skipped"')"
expect "a suite that fails"            2/1/0 "$(counted sh -c 'echo "2 passed, 1 failed"; exit 1')"
expect "failures behind a status of 0" 2/1/0 "$(counted sh -c 'echo "2 passed, 1 failed"')"
expect "a crash after the counts"      2/1/0 "$(counted sh -c 'echo "2 passed, 0 failed"; exit 134')"
expect "a crash before the counts"     0/1/0 "$(counted sh -c 'kill -ABRT $$')"
expect "a suite that says nothing"     0/1/0 "$(counted true)"
expect "a suite without tests"         0/1/0 "$(counted echo '0 passed, 0 failed')"
expect "a suite that hangs"            0/1/0 "$(LIMIT=1 counted sleep 30)"
expect "a program that is not there"   0/1/0 "$(counted "$scratch/no_such_program")"

cat >"$scratch/t.c" <<'END'
#include "testing/harness.h"
TEST(this_passes) { uint64_t r = tsu_test_seed(); EXPECT(tsu_rand_below(&r, 3) < 3); EXPECT_EQ(2, 2u); }
TEST(this_fails) { EXPECT_EQ(1, 2); EXPECT(1 > 2); }
TEST(this_returns) { REQUIRE(1 > 2); abort(); }
TEST(this_is_skipped) { SKIP("planted"); }
TEST(this_may_crash) { if (getenv("CRASH") != NULL) abort(); }
TEST_MAIN
END
${CC:-cc} -std=gnu11 -O1 -Wall -Wextra -Werror -Ic_src -o "$scratch/t" "$scratch/t.c"
expect "the harness counts"            2/2/1 "$(counted "$scratch/t")"
expect "the harness repeats a seed"    TSU_SEED=77 "$(TSU_SEED=77 "$scratch/t" | head -n 1)"
expect "the harness picks a test"      1/0/0 "$(counted env TSU_TEST=this_passes "$scratch/t")"
expect "no test at all is a failure"   0/1/0 "$(counted env TSU_TEST=no_such_test "$scratch/t")"
expect "a crash is a failure"          0/1/0 "$(counted env CRASH=1 TSU_TEST=this_may_crash "$scratch/t")"
expect "a crash names its test"        1 "$(CRASH=1 "$scratch/t" 2>/dev/null | grep -c 'crashed in this_may_crash')" 2>/dev/null

cat >"$scratch/planted_tests.erl" <<'END'
-module(planted_tests).
-include_lib("eunit/include/eunit.hrl").
passes_test() -> ok.
fails_test() -> ?assertEqual(1, list_to_integer("2")).
is_skipped_test() -> throw({skip, "planted"}).
hangs_test_() -> {timeout, 0.1, fun() -> timer:sleep(5000) end}.
setup_test_() -> {setup, fun() -> error(planted) end, fun() -> ok end}.
END
cat >"$scratch/halting_tests.erl" <<'END'
-module(halting_tests).
-include_lib("eunit/include/eunit.hrl").
halts_test() -> halt(0).
END
echo '-module(broken_tests). oops(' >"$scratch/broken_tests.erl"
eunit() { counted escript tools/run_eunit.escript "$scratch/out" "$scratch/$1.erl"; }
expect "eunit: pass, fail, hang, skip" 1/3/1 "$(eunit planted_tests)"
expect "eunit: the VM halts with 0"    0/1/0 "$(eunit halting_tests)"
expect "eunit: does not compile"       0/1/0 "$(eunit broken_tests)"

echo "$good passed, $bad failed"
[ "$bad" -eq 0 ]
