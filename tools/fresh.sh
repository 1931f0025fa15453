#!/usr/bin/env bash
# fresh.sh [RELEASE...]: the README's commands, word for word, on newly made Debian systems.
#
# Makes a minimal system of each release (bookworm and trixie: Erlang/OTP 25 and 27) with debootstrap,
# puts a clone of HEAD in it (FRESH_WORKTREE=1: the work tree as it is), and runs each ```sh block of the
# README there by chroot. Closes with counts. Needs root.
#
# The only package beyond the minimal ones is `make`, which the README asks for (and certificates, should the
# archive be reached by https). Kept in $BUILD/fresh for the next run: the base system as a tarball, and
# downloaded packages. Where packages come from is asked of this machine's own apt.
set -u
cd "$(dirname "$0")/.."
. tools/lib.sh

here=$PWD
store=$here/$BUILD/fresh
case $BUILD in /*) store=$BUILD/fresh ;; esac
limit_s=${FRESH_SECONDS:-1800}
[ "$(id -u)" = 0 ] || { echo "fresh.sh has to be root: it makes and enters other systems" >&2; exit 1; }
tools/deps.sh fresh || exit 1
mkdir -p "$store"

mounted=()
cleanup() {
    local i
    for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do
        umount "${mounted[i]}" 2>/dev/null || umount -l "${mounted[i]}" 2>/dev/null
    done
    mounted=()
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

bind() {        # bind FROM TO
    mkdir -p "$2" && mount --bind "$1" "$2" && mounted+=("$2")
}

# The archive of Debian proper, as this machine's apt reaches it: not the security one.
archive=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL) $(COMPONENT)' 'Created-By: Packages' |
    awk '$2 == "Debian" && $3 == "Debian" && $4 == "main" { print $1; exit }')
if [ -z "$archive" ]; then
    apt-get -q update >"$logs/fresh_update.log" 2>&1
    archive=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | awk '$2 == "main" && $1 !~ /security/ { print $1; exit }')
fi
[ -n "$archive" ] || { echo "apt of this machine names no archive" >&2; exit 1; }

# The README's commands: the contents of its ```sh blocks, one command to a block.
mapfile -t commands < <(awk '/^```sh$/ { inside = 1; text = ""; next }
                             /^```/ && inside { inside = 0; print text; next }
                             inside { text = text (text == "" ? "" : " && ") $0 }' README.md)
[ "${#commands[@]}" -ge 2 ] || { echo "README.md has not both commands in sh blocks" >&2; exit 1; }

base_system() { # base_system RELEASE: makes $store/RELEASE.tar unless it is there
    local release=$1 root=$store/$1.base include=make
    [ -s "$store/$release.tar" ] && return 0
    case $archive in https:*) include=make,ca-certificates ;; esac
    rm -rf "$root"
    echo "$release: making the base system, once"
    debootstrap --variant=minbase --include="$include" "$release" "$root" "$archive" >"$logs/debootstrap_$release.log" 2>&1 || {
        tail -n 15 "$logs/debootstrap_$release.log" "$root/debootstrap/debootstrap.log" 2>/dev/null
        return 1
    }
    rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/archives/*.deb
    tar -C "$root" -cf "$store/$release.tar.new" . && mv "$store/$release.tar.new" "$store/$release.tar"
    rm -rf "$root"
}

enter() {       # enter ROOT COMMAND...: with proxies of ours, and nothing else of our environment
    local root=$1
    shift
    env -i HOME=/root LANG=C.UTF-8 TERM=dumb PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        $(env | grep -iE '^(http|https|ftp|no|all)_proxy=[^ ]*$') chroot "$root" "$@"
}

tree() {        # tree DIR: the project as somebody gets it
    if [ "${FRESH_WORKTREE:-0}" = 1 ] || ! git rev-parse -q --verify HEAD >/dev/null 2>&1; then
        mkdir -p "$1/.git"
        git ls-files -z -co --exclude-standard | while IFS= read -r -d '' f; do [ -e "$f" ] && printf '%s\0' "$f"; done |
            tar --null -T - -cf - | tar -C "$1" -xf -
    else
        rm -rf "$1" && git clone -q --depth 1 "file://$here" "$1"
    fi
}

run_release() { # run_release RELEASE: a new system of it, and the commands in it
    local release=$1 root=$store/$1.root command n=0
    base_system "$release" || { fail "$release" "debootstrap failed"; return; }
    rm -rf "$root" && mkdir -p "$root" && tar -C "$root" -xf "$store/$release.tar"
    cp -L /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null
    cp -L /etc/hosts "$root/etc/hosts" 2>/dev/null
    echo "deb $archive $release main" >"$root/etc/apt/sources.list"
    rm -f "$root"/etc/apt/sources.list.d/*
    apt-config dump 2>/dev/null | grep -E '^Acquire::(http|https|ftp|Retries)' >"$root/etc/apt/apt.conf.d/90host"
    if [ -d /etc/ssl/certs ]; then mkdir -p "$root/etc/ssl/certs" && cp -rLn /etc/ssl/certs/. "$root/etc/ssl/certs/" 2>/dev/null; fi
    mkdir -p "$store/$release.debs/partial"
    bind /proc "$root/proc" && bind /dev "$root/dev" && bind "$store/$release.debs" "$root/var/cache/apt/archives" ||
        { fail "$release" "this system may not mount"; cleanup; return; }
    [ -d /dev/shm ] && bind /dev/shm "$root/dev/shm"
    tree "$root/root/tsunami"
    for command in "${commands[@]}"; do
        n=$((n + 1))
        before=$(date +%s)
        if enter "$root" timeout -k 10 "$limit_s" bash -c "cd /root/tsunami && $command" \
                >"$logs/fresh_${release}_$n.log" 2>&1 </dev/null; then
            passed=$((passed + 1))
            printf 'PASS  %-9s %-12s %4d s  %s\n' "$release" "$command" $(($(date +%s) - before)) "$(tail -n 1 "$logs/fresh_${release}_$n.log")"
        else
            failed=$((failed + 1))
            printf 'FAIL  %-9s %-12s %4d s  %s\n' "$release" "$command" $(($(date +%s) - before)) "$logs/fresh_${release}_$n.log"
            tail -n 40 "$logs/fresh_${release}_$n.log" | sed 's/^/  | /'
        fi
    done
    enter "$root" erl -noshell -eval 'io:format("      with Erlang/OTP ~s~n", [erlang:system_info(otp_release)])' -s init stop 2>/dev/null
    cleanup
    rm -rf "$root"
}

[ $# -gt 0 ] || set -- ${FRESH_RELEASES:-bookworm trixie}
for release in "$@"; do run_release "$release"; done
finish
