#!/usr/bin/env bash
# coverage.sh DIR [total]: lines of c_src/engine that the tests built in DIR ran, file by file, or in
# total only. A line counts as run if any object ran it: inline functions live in many objects.
cd "$(dirname "$0")/.." || exit 1
dir=${1:-build/test}
if ! find "$dir" -name '*.gcda' 2>/dev/null | grep -q .; then
    echo "coverage: no C test has run"
    exit 0
fi
find "$dir" -name '*.gcno' -print0 | xargs -0 gcov -t 2>/dev/null |
awk -v only="${2:-}" '
    # count:line:text; "-" no code, "#####" and "=====" never run
    {
        n = split($0, part, ":")
        if (n < 3) next
        count = part[1]; line = part[2] + 0
        gsub(/[ *]/, "", count)
        if (line == 0) { if (part[3] == "Source") source = part[4]; next }
        if (source !~ /^c_src\/engine\// || source ~ /_test\.c$/ || count == "-") next
        key = source SUBSEP line
        if (!(key in seen)) { seen[key] = 1; lines[source]++ }
        if (count !~ /^[#=]/ && !(key in ran)) { ran[key] = 1; hits[source]++ }
    }
    END {
        for (s in lines) {
            all += lines[s]; hit += hits[s]
            if (only == "") printf "%6.1f %%  %5d of %5d  %s\n", 100 * hits[s] / lines[s], hits[s], lines[s], s | "sort -k6"
        }
        close("sort -k6")
        if (all > 0) printf "coverage of c_src/engine: %.1f %% of %d lines\n", 100 * hit / all, all
    }'
