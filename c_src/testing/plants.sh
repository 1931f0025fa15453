#!/bin/sh
# plants.sh: builds the tests with one fault after another put in on purpose; each has to be found.
#
#     plants.sh [build-folder] [fault ...]
#
#  1 an insertion is finished without a second look at its bucket   6 a late installation is not hidden
#  2 a batch is committed before its last entry is installed        7 insert_new does not see writes under it
#  3 memory is freed after one epoch                                8 a bucket moves while its slots change
#  4 a slot is changed though it holds another key by now           9 readers see batches before they commit
#  5 what is under a settled batch is not frozen                   10 entries are installed after the commit is over
# 11 a slot is emptied before the insertion that filled it is over
# 12 a move that stopped half way leaves its versions in both places
# 13 an absent key is noted under an entry once, and not again when the entry is tried again
# 14 a traversal goes on in a bucket as if it had not changed
# 15 a snapshot is taken while writers are under way that have not seen it announced
# 16 a key is removed without a tombstone though a snapshot needs it
# 17 a version goes though a snapshot needs it
set -eu
cd "$(dirname "$0")/.."
out=${1:-../build/plants}
[ $# -gt 0 ] && shift
faults=${*:-1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17}
sources="$(find engine -name '*.c' ! -name '*_test.c') testing/model.c"
mkdir -p "$out"
missed=
for n in $faults; do
    found=
    for test in engine/txn/commit_race_test.c engine/frozen_test.c testing/stress_engine.c engine/mem/hashtab_test.c engine/view_test.c testing/stress_snapshot.c; do
        bin=$out/plant_$n
        ${CC:-gcc} -std=gnu11 -g -O1 -DTSU_DEBUG -DTSU_RACE_DELAYS=1 -DTSU_PLANT="$n" -fsanitize=address \
            -Iengine -I. -o "$bin" $test $sources -pthread
        status=0
        ASAN_OPTIONS=detect_leaks=0 TSU_ROUNDS=500 timeout 120 "$bin" >"$out/plant_$n.log" 2>&1 || status=$?
        if [ "$status" -ne 0 ] && [ "$status" -ne 124 ]; then       # 124: it took too long, which says nothing
            found=$test
            break
        fi
    done
    rm -f "$out/plant_$n"
    echo "fault $n: ${found:-NOT FOUND}"
    [ -n "$found" ] || missed="$missed $n"
done
[ -z "$missed" ]
