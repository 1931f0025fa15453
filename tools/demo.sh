#!/usr/bin/env bash
# demo.sh: what `make demo` does: installs what is missing, builds, shows tsunami beside ets.
set -u
cd "$(dirname "$0")/.."
BUILD=${BUILD:-build}
mkdir -p "$BUILD"

tools/deps.sh build || exit 1
echo "building ..."
if ! env -u MAKEFLAGS -u MAKELEVEL make --no-print-directory -s -j"$(nproc 2>/dev/null || echo 2)" WERROR=0 all >"$BUILD/demo.log" 2>&1; then
    cat "$BUILD/demo.log"
    exit 1
fi
ERL_FLAGS="-pa $PWD/ebin" exec escript tools/demo.escript "$@"
