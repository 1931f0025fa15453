#!/usr/bin/env bash
# slices.sh [PATTERN... | --selftest]: does a call hold a scheduler for more than 1 ms? See bench/README.md.
set -u
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
out=$BUILD/bench/ebin
mkdir -p "$out"
[ -f ebin/tsunami.app ] || env -u MAKEFLAGS -u MAKELEVEL make --no-print-directory -s all || exit 1
erlc -o "$out" bench/slices.erl || exit 1
export ERL_CRASH_DUMP_BYTES=0
exec erl -noinput -noshell -pa "$out" "${BENCH_EBIN:-ebin}" -eval "slices:main(init:get_plain_arguments())" -extra "$@"
