#!/usr/bin/env bash
# tidy.sh [--selftest]: what the compiler does not check.
#
#   layers        a file of the engine includes its own layer and lower ones: base < term < mem < txn, disk
#   headers       the engine includes no system header that leads outside; erl_nif.h only c_src/nif
#   ways_out      undefined symbols of the engine: its own, mem*, and the compiler's; env_*.c alone may use more
#   globals       whatever has external linkage is named tsu_* and stands in a header
#   checks        no side effects in CHECK and DCHECK: they may be compiled away
#   randomness    nothing random without a seed
#   words         no notes to self
#   dead          no header that nobody includes
#
# Prints file:line: what is wrong, and closes with the count of these checks. --selftest plants a fault of
# each kind in a copy and demands that it is found, and that a tree without faults passes.
set -u
here=$(cd "$(dirname "$0")/.." && pwd)
root=${TIDY_ROOT:-$here}

engine_files() { find c_src/engine -name '*.[ch]' 2>/dev/null | LC_ALL=C sort; }
all_c_files()  { find c_src -name '*.[ch]' 2>/dev/null | LC_ALL=C sort; }

check_layers() {
    engine_files | xargs -r awk -v tops="engine.h $(cd c_src/engine 2>/dev/null && echo *.h)" '
        BEGIN { n = split(tops, p, " "); for (i = 1; i <= n; i++) top[p[i]] = 1
                rank["base"] = 1; rank["term"] = 2; rank["mem"] = 3; rank["txn"] = 4; rank["disk"] = 4; rank["engine"] = 5 }
        FNR == 1 { n = split(FILENAME, p, "/"); mine = n > 3 ? p[3] : "engine"; test = FILENAME ~ /_test\.c$/ }
        /^[ \t]*#[ \t]*include[ \t]*"/ {
            split($0, q, "\""); name = q[2]; n = split(name, p, "/")
            at = FILENAME ":" FNR ": "
            if (n == 1) {
                if (mine == "engine" || (test && name == "engine.h")) next
                if (name in top) print at "the layer " mine " reaches up to " name
                else print at "include \"" name "\" does not name its layer"
                next
            }
            if (p[1] == "testing") { if (!test) print at "only tests include " name; next }
            if (!(p[1] in rank)) print at "the engine does not know " name
            else if (!(mine in rank)) print at "the folder " mine " is no layer"
            else if (rank[p[1]] > rank[mine]) print at "the layer " mine " reaches up to " name
        }'
}

check_headers() {
    engine_files | grep -vE '/env_[a-z0-9]*\.c$|_test\.c$' | xargs -r awk '
        /^[ \t]*#[ \t]*include[ \t]*</ {
            split($0, q, /[<>]/)
            if (q[2] !~ /^(stdbool|stddef|stdint|stdalign|stdatomic|limits|float|string|[a-z0-9]*intrin|arm_[a-z]*)\.h$/)
                print FILENAME ":" FNR ": <" q[2] "> leads out of the engine"
        }'
    all_c_files | grep -vE '^c_src/nif/|^c_src/testing/[a-z_]*_nif\.c$' | xargs -r grep -nE '^[[:space:]]*#[[:space:]]*include.*erl_(nif|driver)' /dev/null |
        sed 's/:[[:space:]]*#.*/: only c_src\/nif includes erl_nif.h/'
}

# "source object" for every .c of the engine that is not a test.
objects() {
    if [ "$root" = "$here" ]; then
        env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make --no-print-directory -s -k VARIANT=release engine-objects >"$scratch/make.log" 2>&1 ||
            sed 's/^/make: /' "$scratch/make.log" >&2
        env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make --no-print-directory -s VARIANT=release list-engine-objects
    else
        engine_files | grep '\.c$' | grep -v '_test\.c$' | while read -r f; do
            o=$scratch/$(echo "$f" | tr / _).o
            cc -std=gnu11 -O1 -w -Ic_src/engine -Ic_src -c -o "$o" "$f" && echo "$f $o"
        done
    fi
}

symbols() {     # "source kind name" for each symbol of the engine's objects; U is undefined
    objects | while read -r src obj; do
        if [ ! -f "$obj" ]; then echo "$src does-not-compile -"; continue; fi
        nm -g "$obj" | awk -v src="$src" '{ print src, $(NF - 1), $NF }'
    done
}

check_ways_out() {
    symbols >"$scratch/symbols"
    awk '
        $2 == "does-not-compile" { print $1 ":1: does not compile"; next }
        { sub(/@.*/, "", $3) }
        $2 != "U" && $2 != "w" { defined[$3] = 1; next }
        { undefined[$1 SUBSEP $3] = 1 }
        END {
            for (k in undefined) {
                split(k, p, SUBSEP); src = p[1]; name = p[2]
                if (name in defined) continue
                if (name ~ /^tsu_/) { print src ":1: " name " is defined nowhere in the engine"; continue }
                if (src ~ /\/env_[a-z0-9]*\.c$/) continue
                if (name ~ /^mem(cpy|move|set|cmp)$/) continue
                if (name ~ /^(_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__tls_get_addr|__cpu_model|__cpu_indicator_init|_?_?[a-z]*(ti|di)[23])$/) continue
                if (name ~ /^__(gcov|asan|ubsan|tsan|msan|sanitizer|llvm)_/) continue
                print src ":1: calls " name ", which does not go through base/env.h"
            }
        }' "$scratch/symbols" | LC_ALL=C sort
}

check_globals() {
    [ -f "$scratch/symbols" ] || symbols >"$scratch/symbols"
    find c_src/engine -name '*.h' -print0 2>/dev/null | xargs -0 -r cat | grep -oE 'tsu_[a-z0-9_]+' | LC_ALL=C sort -u >"$scratch/declared"
    awk '
        NR == FNR { declared[$1] = 1; next }
        $2 ~ /^[TDBRVC]$/ {
            if ($3 !~ /^tsu_/) print $1 ":1: " $3 " has external linkage and no prefix tsu_"
            else if (!($3 in declared)) print $1 ":1: " $3 " is in no header: make it static"
        }' "$scratch/declared" "$scratch/symbols" | LC_ALL=C sort
}

# The code of FILE with its comments and texts made blanks, so that lines keep their numbers.
bare() {
    awk '
        { text = text $0 "\n" }
        END {
            clean = ""
            while (match(text, /\/\*|\/\/|"|\047/)) {
                clean = clean substr(text, 1, RSTART - 1)
                what = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
                if (what == "/*")      { end = index(text, "*/"); skip = end + 1 }
                else if (what == "//") { end = index(text, "\n"); skip = end - 1 }
                else {
                    for (i = 1; i <= length(text); i++) {
                        c = substr(text, i, 1)
                        if (c == "\\") { i++; continue }
                        if (c == what || c == "\n") break
                    }
                    end = i; skip = i
                }
                if (end == 0) { text = ""; break }
                lost = substr(text, 1, skip); gsub(/[^\n]/, " ", lost)
                clean = clean " " lost; text = substr(text, skip + 1)
            }
            printf "%s", clean text
        }' "$1"
}

check_checks() {
    all_c_files | grep -v '/check\.h$' | while read -r f; do
        bare "$f" | awk -v file="$f" '
            { clean = clean $0 "\n" }
            END {
                line = 1
                while (match(clean, /(^|[^A-Za-z0-9_])D?CHECK[ \t]*\(/)) {
                    before = substr(clean, 1, RSTART + RLENGTH - 1)
                    line += gsub(/\n/, "\n", before)
                    clean = substr(clean, RSTART + RLENGTH)
                    depth = 1
                    for (i = 1; i <= length(clean) && depth > 0; i++) {
                        c = substr(clean, i, 1)
                        if (c == "(") depth++
                        if (c == ")") depth--
                    }
                    cond = substr(clean, 1, i - 2)
                    bare = cond
                    gsub(/<<=|>>=/, "@=@", bare); gsub(/==|!=|<=|>=/, " ", bare)
                    if (bare ~ /\+\+|--|=/) print file ":" line ": side effect in a check: " cond
                    else if (bare ~ /(fetch_(add|sub|or|and|xor)|exchange|_cas|_store)[a-z_]*[ \t]*\(/) print file ":" line ": side effect in a check: " cond
                }
            }'
    done
}

check_randomness() {
    all_c_files | grep -vE '/env_[a-z0-9]*\.c$' | while read -r f; do
        bare "$f" | grep -nE '(^|[^A-Za-z0-9_])(s?rand|s?random|[demln]rand48|rand_r|arc4random|getrandom)[[:space:]]*\(' |
            sed "s|^\([0-9]*\):.*|$f:\1: randomness that no seed repeats|"
    done
}

check_words() {
    local words="TO""DO|FIX""ME|XX""X|HA""CK"
    find . \( -name .git -o -name build -o -name _build -o -name ebin -o -name priv -o -name results -o -name deps \) -prune -o \
        -type f \( -name '*.[ch]' -o -name '*.erl' -o -name '*.hrl' -o -name '*.ex' -o -name '*.exs' -o -name '*.sh' -o -name '*.escript' \
                   -o -name '*.md' -o -name '*.tla' -o -name '*.cfg' -o -name '*.config' -o -name '*.src' -o -name Makefile \) -print |
        LC_ALL=C sort | xargs -r grep -nE "(^|[^A-Za-z0-9_])($words)([^A-Za-z0-9_]|\$)" /dev/null | sed -E 's/^\.\/([^:]*:[0-9]+):.*/\1: a note to self/'
}

check_dead() {
    find c_src -name '*.h' 2>/dev/null | LC_ALL=C sort | while read -r h; do
        short=$(basename "$h")
        grep -rlE "#[[:space:]]*include[[:space:]]*\"([a-z0-9_./]*/)?$short\"" c_src --include='*.[ch]' 2>/dev/null | grep -qvx "$h" ||
            [ "$h" = c_src/engine/engine.h ] || { [ "$h" = c_src/testing/harness.h ] && [ -z "$(find c_src -name '*_test.c')" ]; } ||
            echo "$h:1: nobody includes it"
    done
    find src include -name '*.hrl' 2>/dev/null | LC_ALL=C sort | while read -r h; do
        grep -rqE "include(_lib)?\(\"([a-z0-9_./]*/)?$(basename "$h")\"" src test --include='*.[eh]rl' || echo "$h:1: nobody includes it"
    done
}

all_checks="layers headers ways_out globals checks randomness words dead"

tidy() {
    local good=0 bad=0 name found
    for name in $all_checks; do
        found=$("check_$name" 2>&1)
        if [ -z "$found" ]; then
            good=$((good + 1))
        else
            bad=$((bad + 1))
            echo "$found" | sed "s/\$/  [$name]/"
        fi
    done
    echo "$good passed, $bad failed"
    [ "$bad" -eq 0 ]
}

# ---- selftest ------------------------------------------------------------------------------------

clean_tree() {
    mkdir -p c_src/engine/base c_src/engine/term c_src/engine/mem c_src/nif
    printf '#include <stdint.h>\nvoid tsu_a(int *x);\n#define CHECK(c) do { if (!(c)) __builtin_trap(); } while (0)\n' >c_src/engine/base/a.h
    printf '#include "base/a.h"\n#include <string.h>\nvoid tsu_a(int *x) { CHECK(*x == 1 && *x <= 2); /* CHECK(x++), random (so) */ memset(x, 0, 4); }\n' >c_src/engine/base/a.c
    printf '#include "base/a.h"\nint tsu_t(int *x);\n' >c_src/engine/term/t.h
    printf '#include "term/t.h"\nint tsu_t(int *x) { tsu_a(x); return *x; }\n' >c_src/engine/term/t.c
    printf '#include <stdlib.h>\n#include "base/a.h"\nvoid *tsu_env_x(void);\nvoid *tsu_env_x(void) { return malloc(1); }\n' >c_src/engine/base/env_posix.c
    printf 'void *tsu_env_x(void);\n' >>c_src/engine/base/a.h
    printf '#include "term/t.h"\n' >c_src/engine/top.h
    printf '#include "top.h"\n' >c_src/engine/top.c
}

planted() {     # planted NAME CHECK TEXT FILE LINE: appends LINE to FILE; the check has to say TEXT
    local name=$1 check=$2 text=$3 file=$4 line=$5 found
    rm -rf "$scratch/tree" "$scratch"/*.o "$scratch/symbols"
    mkdir -p "$scratch/tree" && cd "$scratch/tree" || exit 1
    clean_tree
    mkdir -p "$(dirname "$file")"
    printf '%b\n' "$line" >>"$file"
    found=$("check_$check" 2>&1)
    if echo "$found" | grep -qF -- "$text"; then
        good=$((good + 1))
    else
        bad=$((bad + 1))
        echo "planted and not found: $name (said: $found)"
    fi
}

selftest() {
    good=0 bad=0
    root=$scratch/tree
    mkdir -p "$root" && cd "$root" || exit 1
    clean_tree
    if found=$(tidy); then good=1; else bad=1; echo "a clean tree does not pass: $found"; fi
    planted "a reach upwards"          layers     "reaches up"          c_src/engine/base/a.c '#include "term/t.h"'
    planted "a reach to engine.h"      layers     "reaches up"          c_src/engine/mem/m.c  '#include "engine.h"'
    planted "a reach to table.h"       layers     "reaches up to top.h" c_src/engine/term/t.c '#include "top.h"'
    planted "an include without layer" layers     "name its layer"      c_src/engine/term/t.c '#include "t.h"'
    planted "the engine uses nif"      layers     "does not know"       c_src/engine/term/t.c '#include "nif/args.h"'
    planted "test code in the engine"  layers     "only tests"          c_src/engine/term/t.c '#include "testing/harness.h"'
    planted "erl_nif.h in the engine"  headers    "only c_src/nif"      c_src/engine/term/t.h '# include <erl_nif.h>'
    planted "stdio in the engine"      headers    "leads out"           c_src/engine/term/t.c '#include <stdio.h>'
    planted "malloc in the engine"     ways_out   "calls malloc"        c_src/engine/mem/m.c  'void *malloc(unsigned long);\nvoid *tsu_m(void) { return malloc(8); }'
    planted "a clock in the engine"    ways_out   "calls clock_gettime" c_src/engine/term/t.c 'int clock_gettime(int, void *);\nint tsu_c(void) { return clock_gettime(0, 0); }'
    planted "a function nobody wrote"  ways_out   "defined nowhere"     c_src/engine/term/t.c 'void tsu_no(void);\nvoid tsu_u(void) { tsu_no(); }'
    planted "a file that fails"        ways_out   "error"               c_src/engine/term/t.c 'int x ='
    planted "a function not static"    globals    "in no header"        c_src/engine/term/t.c 'void tsu_hidden(void) {}'
    planted "a global without prefix"  globals    "no prefix"           c_src/engine/term/t.c 'int counter;'
    planted "CHECK with ++"            checks     "t.c:3: side effect"  c_src/engine/term/t.c 'void f(int x) { CHECK(x++ == 1); }'
    planted "CHECK over two lines"     checks     "t.c:4: side effect"  c_src/engine/term/t.c '/* CHECK( */\nvoid f(int x) { DCHECK(g(")") &&\n (x = 2)); }'
    planted "CHECK with a store"       checks     "side effect"         c_src/engine/term/t.c 'void f(int *x) { CHECK(tsu_fetch_add_relaxed(x, 1) == 1); }'
    planted "rand()"                   randomness "no seed"             c_src/engine/term/t_test.c 'int f(void) { return rand() % 2; }'
    planted "a note to self"           words      "note to self"        src/x.erl "%% TO""DO: more"
    planted "a dead header"            dead       "nobody includes"     c_src/engine/term/old.h 'int x;'
    echo "$good passed, $bad failed"
    [ "$bad" -eq 0 ]
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$root" || exit 1
if [ "${1:-}" = --selftest ]; then selftest; else tidy; fi
