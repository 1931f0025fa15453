#!/usr/bin/env bash
# bench.sh [ARGUMENT...]: what `make bench` does: builds, then runs whatever bench/ has for a front door.
set -u
cd "$(dirname "$0")/.."
tools/deps.sh bench || exit 1
env -u MAKEFLAGS -u MAKELEVEL make --no-print-directory -s all || exit 1
for door in bench/run.sh bench/bench.sh bench/bench.escript bench/run.escript; do
    [ -f "$door" ] || continue
    case $door in
    *.sh) exec bash "$door" "$@" ;;
    *)    ERL_FLAGS="-pa $PWD/ebin" exec escript "$door" "$@" ;;
    esac
done
echo "bench/ has no front door" >&2
exit 1
