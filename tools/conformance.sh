#!/usr/bin/env bash
# conformance.sh [--stock | --selftest] [--case NAME...]: OTP's own suite for ets, run against tsunami.
#
# The suite comes out of the source package of the Erlang that is installed here (OTP_SRC=an unpacked source of
# OTP: out of that), is compiled with tsunami_transform and a few changes (CONFORMANCE.md), and runs each case in a VM of
# its own, CONFORMANCE_JOBS=2 at a time, for CONFORMANCE_SECONDS=600 at most. Closes with counts.
#
#   --stock      a module that hands every call to ets stands in for tsunami: shows what the method itself costs
#   --selftest   the stand-in turns the objects of a bag around, which must be found, and spares the rest
#
# Kept in $BUILD/conformance: the sources (otpN), what was compiled from them, and a log of each case.
set -u
cd "$(dirname "$0")/.." || exit 1
. tools/lib.sh

case $BUILD in /*) store=$BUILD/conformance ;; *) store=$PWD/$BUILD/conformance ;; esac
seconds=${CONFORMANCE_SECONDS:-600}
which=tsunami
selftest=no
cases=()
while [ $# -gt 0 ]; do
    case $1 in
    --stock)    which=stock ;;
    --selftest) which=faulty selftest=yes ;;
    --case)     shift; while [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; do cases+=("$1"); shift; done; continue ;;
    --one)      one=$2 which=$3; break ;;
    *)          sed -n '2,12s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
    esac
    shift
done

[ -n "${one:-}" ] || tools/deps.sh conformance || exit 1
unset ERL_FLAGS ERL_AFLAGS ERL_ZFLAGS ERL_LIBS
export ERL_CRASH_DUMP_SECONDS=0
otp=${CONFORMANCE_OTP:-$(erl -noshell -eval 'io:put_chars(erlang:system_info(otp_release)), halt().' </dev/null)}
export CONFORMANCE_OTP=$otp
sources=${OTP_SRC:-$store/otp$otp/source}
out=$store/otp$otp/run_$which

# --- one case, in a VM of its own -------------------------------------------------------------------

free_port() {   # a port that stands for epmd in the one case that starts a second node
    erl -noshell -eval '{ok, S} = gen_tcp:listen(0, []), {ok, P} = inet:port(S), io:format("~b", [P]), halt().'
}

run_one() {     # run_one CASE: prints its line, and leaves it in $out/CASE/result
    local name=$1 dir=$out/$1 before status line port=1 more=()
    before=$(date +%s)
    rm -rf "$dir" && mkdir -p "$dir" && cd "$dir" || return 1
    [ "$name" = otp_8166 ] && more=(+S 3:3)     # it wants three, and is skipped with less
    [ "$name" = test_delete_table_while_size_snapshot ] && port=$(free_port)
    {
        timeout -k 5 "$seconds" erl "${more[@]}" -noshell -noinput -pa "$here/ebin" -pa "$store/otp$otp/tools" -pa "$out" -start_epmd false \
            -erl_epmd_port "$port" -run conformance_case main "$name" "$dir/priv" "$out/ets_SUITE_data" >log 2>&1 </dev/null
        status=$?
    } 2>/dev/null
    line=$(sed -n 's/^RESULT //p' log | tail -n 1)
    if [ -z "$line" ]; then
        case $status in
        124 | 137) line="FAILED no answer within $seconds s" ;;
        *)         line="FAILED the VM ended with status $status: $(tail -n 1 log | cut -c 1-120)" ;;
        esac
    fi
    rm -rf priv
    echo "$line" >result
    printf '%-44s %4d s  %s\n' "$name" $(($(date +%s) - before)) "$line"
}

here=$PWD
if [ -n "${one:-}" ]; then run_one "$one"; exit; fi

# --- the sources ------------------------------------------------------------------------------------

fetch() {       # puts what is needed of OTP's sources into $sources
    local apt=$store/apt options version archive
    command -v apt-get >/dev/null || { echo "without apt-get: set OTP_SRC to a source tree of OTP $otp" >&2; return 1; }
    rm -rf "$apt" && mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$store/otp$otp"
    # Where this machine has its packages from, their sources are too.
    apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        while read -r origin uri codename component; do
            key=/usr/share/keyrings/$(echo "$origin" | tr '[:upper:]' '[:lower:]')-archive-keyring.gpg
            echo "deb-src $([ -f "$key" ] && echo "[signed-by=$key] ")$uri $codename $component"
        done | sort -u >"$apt/sources.list"
    options=(-o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$apt/lists"
             -o "Dir::Cache=$apt/cache" -o "APT::Sandbox::User=$(id -un)")
    apt-get -q "${options[@]}" update || return 1
    version=$(apt-cache "${options[@]}" showsrc erlang | sed -n "s/^Version: //p" | grep -E "^([0-9]+:)?$otp[.]" | sort -V | tail -n 1)
    [ -n "$version" ] || { echo "the archive of this machine has no source of Erlang/OTP $otp" >&2; return 1; }
    (cd "$store/otp$otp" && apt-get -q "${options[@]}" source --download-only "erlang=$version") || return 1
    archive=$(ls "$store/otp$otp"/erlang_*.orig.tar.* | head -n 1)
    rm -rf "$sources.new" && mkdir -p "$sources.new"
    tar -C "$sources.new" -xf "$archive" --wildcards --strip-components=1 '*/lib/stdlib/test/ets_SUITE.erl' \
        '*/lib/stdlib/test/ets_SUITE_data/*' '*/lib/common_test/include/*.hrl' '*/erts/emulator/test/erts_test_utils.erl' || return 1
    mv "$sources.new" "$sources"
    rm -rf "$apt"
}

mk -s all >"$logs/make.log" 2>&1 || { tail -n 20 "$logs/make.log"; exit 1; }
if [ ! -f "$sources/lib/stdlib/test/ets_SUITE.erl" ]; then
    echo "getting the source of Erlang/OTP $otp, once"
    mkdir -p "$store"
    fetch >"$logs/conformance_fetch.log" 2>&1 || { tail -n 15 "$logs/conformance_fetch.log"; exit 1; }
fi

# --- the suite --------------------------------------------------------------------------------------

build() {       # build: compiles the suite for $which
    rm -rf "$out" && mkdir -p "$out" "$store/otp$otp/tools" &&
        cp -r "$sources/lib/stdlib/test/ets_SUITE_data" "$out/" &&        # some cases write there
        erlc -o "$store/otp$otp/tools" tools/conformance/*.erl &&
        erl -noshell -pa ebin -pa "$store/otp$otp/tools" -run conformance_build main "$sources" "$out" "$which"
}

before=$(date +%s)
erl -noshell -pa ebin -eval 'tsunami:new(t, []), halt(0).' || exit 1
build >"$logs/conformance_build.log" 2>&1
status=$?
cat "$logs/conformance_build.log"
if [ ! -s "$out/cases" ]; then fail "the suite" "does not compile"; finish; fi
if [ $status -ne 0 ]; then fail "the suite" "is not as the changes suppose"; fi

if [ ${#cases[@]} -gt 0 ]; then list=("${cases[@]}")
elif [ $selftest = yes ]; then list=(lookup_order otp_5340 lookup_element_mult exports)
else mapfile -t list <"$out/cases"
fi
for name in "${list[@]}"; do
    grep -qx "$name" "$out/cases" || { echo "ets_SUITE of OTP $otp has no case $name" >&2; exit 2; }
done
printf '%s\n' "${list[@]}" | CONFORMANCE_SECONDS=$seconds xargs -P "${CONFORMANCE_JOBS:-2}" -I CASE "$0" --one CASE "$which"

failures=()
for name in "${list[@]}"; do
    case $(cat "$out/$name/result" 2>/dev/null) in
    ok)       passed=$((passed + 1)) ;;
    skipped*) skipped=$((skipped + 1)) ;;
    *)        failed=$((failed + 1)); failures+=("$name") ;;
    esac
done
echo "OTP $otp, $which: ${#list[@]} cases in $(($(date +%s) - before)) s; logs in $out"
if [ $selftest = yes ] && [ ${#cases[@]} -eq 0 ]; then
    # What has been planted is found by the cases that look, and by no other.
    if [ "${failures[*]}" = "lookup_order otp_5340" ]; then passed=1 failed=0; else passed=0 failed=1; fi
fi
finish
