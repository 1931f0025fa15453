#!/usr/bin/env bash
# run.sh [PATTERN... | --selftest | --plot FILE.svg]: measures tsunami against ets. See bench/README.md.
set -u
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
export BUILD
out=$BUILD/bench/ebin
mkdir -p "$out"
first=${1:-}
if [ "${first#--}" = "$first" ] && [ ! -f ebin/tsunami.app ] && [ -z "${BENCH_B:-}" ]; then
    env -u MAKEFLAGS -u MAKELEVEL make --no-print-directory -s all || exit 1
fi
cp bench/bench_ops.erl "$out/" && erlc -o "$out" bench/bench.erl bench/bench_data.erl bench/bench_memory.erl \
    bench/bench_null.erl bench/bench_plot.erl bench/bench_report.erl bench/bench_run.erl bench/bench_vm.erl || exit 1
export ERL_CRASH_DUMP_BYTES=0
exec erl -noinput -noshell -pa "$out" "${BENCH_EBIN:-ebin}" -eval "bench:main(init:get_plain_arguments())" -extra "$@"
