#!/usr/bin/env bash
# deps.sh GROUP...: makes sure that the tools of each group are there.
#
# Groups: build test elixir race fuzz specs fresh bench package conformance. Looks for a tool by using it (a command, a header,
# an Erlang module), never by the name of a package; only what is missing is installed,
# with apt-get where there is one and we are root or have sudo. Elsewhere it says in words
# what is missing and fails. NO_INSTALL=1 always does the latter.
set -u
cd "$(dirname "$0")/.."

packages=()     # Debian names of what is missing
words=()        # the same for people

need() {        # need WORDS PACKAGE CHECK...: remembers what CHECK does not find
    local what=$1 package=$2
    shift 2
    if ! "$@" >/dev/null 2>&1; then
        packages+=("$package")
        words+=("$what")
    fi
}

has()         { command -v "$1"; }
compiles()    { echo '#include <pthread.h>
int main(void) { return 0; }' | cc -x c -o /dev/null - -pthread; }
links()       { echo 'int main(void) { return 0; }' | "$1" "$2" -x c -o "$scratch/a.out" -; }
erlang_module() { erl -noshell -eval "halt(case code:which($1) of non_existing -> 1; _ -> 0 end)"; }
erlang_file() { erl -noshell -eval "halt(case code:lib_dir($1) of {error, _} -> 1; D -> case filelib:is_regular(filename:join(D, \"$2\")) of true -> 0; false -> 1 end end)"; }
erl_nif_h()   { erl -noshell -eval 'R = code:root_dir(), V = erlang:system_info(version), halt(case lists:any(fun filelib:is_regular/1, [R ++ "/erts-" ++ V ++ "/include/erl_nif.h", R ++ "/usr/include/erl_nif.h"]) of true -> 0; false -> 1 end)'; }
elixir_works() { has mix && elixir -e 'System.halt(if Version.match?(System.version(), ">= 1.14.0-0"), do: 0, else: 1)'; }
clang_rt()    { links clang -fsanitize=thread; }
clang_major() { clang --version 2>/dev/null | sed -n 's/.*version \([0-9]*\).*/\1/p' | head -n 1; }

build() {
    need "a C compiler with its headers"    gcc           compiles
    need "the C library's headers"          libc6-dev     compiles
    need "make"                             make          has make
    need "Erlang/OTP 25 or later"           erlang-base   has erlc
    need "erl_nif.h (Erlang's development files)" erlang-dev erl_nif_h
}
test_() {
    build
    need "nm (binutils)"                    binutils      has nm
    need "gcov (part of gcc)"               gcc           has gcov
    need "AddressSanitizer's library"       gcc           links cc -fsanitize=address,undefined
    need "Erlang's eunit"                   erlang-eunit  erlang_module eunit
    need "Erlang's tools"                   erlang-tools  erlang_module xref
    need "PropEr"                           erlang-proper erlang_module proper
    need "proper.hrl (PropEr's development files)" erlang-proper-dev erlang_file proper include/proper.hrl
}
elixir_() {         # by itself: without it the other tests run
    need "Elixir 1.14 or later"             elixir        elixir_works
}
race() {
    test_
    need "clang"                            clang         has clang
}
late_race() {       # what can only be named once clang is there
    need "clang's sanitizer libraries"      "libclang-rt-$(clang_major)-dev" clang_rt
}
specs() {
    need "Java"                             default-jre-headless has java
    need "Python 3"                         python3       has python3
    need "pip for Python 3"                 python3-pip   python3 -m pip --version
}
fresh() {
    need "debootstrap"                      debootstrap   has debootstrap
    need "git"                              git           has git
    need "tar"                              tar           has tar
}
conformance() {
    build
    need "tar"                              tar           has tar
    need "xz"                               xz-utils      has xz
}
package() {
    build
    need "rebar3"                           rebar3        has rebar3
    need "Elixir"                           elixir        has mix
}

install() {
    local list as=()
    list=$(printf '%s\n' "${packages[@]}" | sort -u | tr '\n' ' ')
    if [ "${NO_INSTALL:-0}" = 1 ] || ! has apt-get >/dev/null ||
       { [ "$(id -u)" != 0 ] && ! has sudo >/dev/null; }; then
        echo "Missing here, please install:" >&2
        printf '  %s\n' "${words[@]}" | awk '!seen[$0]++' >&2
        echo "(Debian and Ubuntu call them: $list)" >&2
        return 1
    fi
    [ "$(id -u)" = 0 ] || as=(sudo)
    echo "installing: $list"
    as+=(env DEBIAN_FRONTEND=noninteractive)
    local get=(apt-get -y -q -o Dpkg::Use-Pty=0 --no-install-recommends install)
    # Lists that are empty or too old are the common reason to fail: update, then once more.
    if ! "${as[@]}" "${get[@]}" $list >"$scratch/log" 2>&1 </dev/null; then
        "${as[@]}" apt-get -q update >"$scratch/log" 2>&1 </dev/null
        if ! "${as[@]}" "${get[@]}" $list >>"$scratch/log" 2>&1 </dev/null; then
            tail -n 30 "$scratch/log" >&2
            echo "apt-get could not install: $list" >&2
            return 1
        fi
    fi
}

settle() {      # settle CHECKS: looks, installs what is missing, looks again
    packages=() words=()
    "$1"
    [ ${#packages[@]} -eq 0 ] && return 0
    install || return 1
    packages=() words=()
    "$1"
    [ ${#packages[@]} -eq 0 ] && return 0
    echo "still missing after the installation:" >&2
    printf '  %s\n' "${words[@]}" >&2
    return 1
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for group in "$@"; do
    case $group in
    build|bench) settle build || exit 1 ;;
    test)        settle test_ || exit 1 ;;
    elixir)      settle elixir_ || exit 1 ;;
    race|fuzz)   settle race && settle late_race || exit 1 ;;
    specs)       settle specs || exit 1 ;;
    fresh)       settle fresh || exit 1 ;;
    package)     settle package || exit 1 ;;
    conformance) settle conformance || exit 1 ;;
    *) echo "deps.sh: no group $group" >&2; exit 2 ;;
    esac
done
