#!/usr/bin/env bash
# race.sh [tsan] [asan] [nif]: what `make race` does, or parts of it: C tests and stress programs with delays planted between atomics, under
# ThreadSanitizer and under ASan with UBSan; then eunit on a NIF under ASan.
#
# TSU_ROUNDS (percent, 30) shortens the random tests, which sanitizers slow down. TSU_SANITIZED=1 tells the tests in
# Erlang that they run so.
set -u
cd "$(dirname "$0")/.."
. tools/lib.sh

tools/deps.sh race || exit 1
export TSU_ROUNDS=${TSU_ROUNDS:-30}
[ $# -gt 0 ] || set -- tsan asan nif
wanted() { case " $parts " in *" $1 "*) ;; *) return 1 ;; esac; }
parts=$*

# clang's ThreadSanitizer where it works (some kernels lay memory out in a way it refuses), else gcc's.
under_tsan() {
    local cc tsan_cc=
    for cc in clang gcc; do
        echo 'int main(void) { return 0; }' | "$cc" -fsanitize=thread -x c -o "$BUILD/tsan_probe" - 2>/dev/null &&
            "$BUILD/tsan_probe" 2>/dev/null && { tsan_cc=$cc; break; }
    done
    rm -f "$BUILD/tsan_probe"
    if [ -z "$tsan_cc" ]; then
        skip "tsan" "no compiler here makes a program that runs under ThreadSanitizer"
        return
    fi
    echo "ThreadSanitizer of $tsan_cc"
    export CC=$tsan_cc TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1 history_size=4}
    c_suites tsan
    c_suites tsan list-stress stress
    unset CC
}

under_asan() {
    export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
    c_suites asan
    c_suites asan list-stress stress
}

# The VM itself is not built with ASan, so the library comes first by LD_PRELOAD, and leaks of the VM
# are none of ours; "+Mea min" makes the VM take memory from malloc, where ASan sees it. A priv and ebin of
# their own keep the ordinary build as it is.
nif_under_asan() {
    local lib home=$BUILD/nifasan/tsunami
    lib=$(cc -print-file-name=libasan.so)
    mk -s -j"$jobs" VARIANT=nifasan "$BUILD/nifasan/tsunami_nif.so" test-nifs >"$logs/nifasan.log" 2>&1 &&
        mk -s EBIN="$home/ebin" erl >>"$logs/nifasan.log" 2>&1 ||
        { fail "nif under ASan" "does not build:"; tail -n 20 "$logs/nifasan.log"; return; }
    mkdir -p "$home/priv" && cp "$BUILD/nifasan/tsunami_nif.so" "$home/priv/"
    unset ERL_LIBS
    export TSUNAMI_TERM_NIF=$BUILD/nifasan/term_nif
    export ERL_CRASH_DUMP=$BUILD/erl_crash.dump ERL_FLAGS="+Mea min -pa $(cd "$home" && pwd)/ebin"
    # ets of OTP 25 reads a field that it has not written (delete_all_objects of a fixed table), and the tests compare
    # with ets: new memory is zero. The C tests above see it filled.
    export ASAN_OPTIONS=detect_leaks=0:handle_segv=1:detect_stack_use_after_return=0:abort_on_error=1:malloc_fill_byte=0 TSU_SANITIZED=1
    if ! LD_PRELOAD=$lib erl -noshell -s init stop >"$logs/nifasan_probe.log" 2>&1; then
        skip "nif under ASan" "this VM does not start with $lib preloaded"
        return
    fi
    rm -rf "$BUILD/erl_tests_asan"
    EUNIT_TAG=asan eunit_suites "$BUILD/erl_tests_asan" env LD_PRELOAD="$lib"
}

if wanted tsan; then under_tsan; fi
if wanted asan; then under_asan; fi
if wanted nif; then nif_under_asan; fi
finish
