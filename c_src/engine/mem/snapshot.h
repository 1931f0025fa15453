/* snapshot.h: what is kept of a key's past while snapshots of the table are held, and when it goes.
 *
 * A *snapshot* is a time. It is announced first; two epochs later (E1) every writer that had not seen that has unpinned, and
 * it gets its time from the clock. A *history* is the list of those of one root. While it is not empty a writer keeps what it
 * replaces, if a snapshot may need it: the new version's header leads to a *node*, that to the version before, and so on down. A
 * key that is removed gets a *tombstone*: a group with stamp 0, whose one record only names the key.
 *
 *     cell --> version --NODE--> node {time, older} --> version --NODE--> node {time, older} --> version --TS
 *
 * Version V under a version of time t is needed if some snapshot s has V's time <= s < t; by one that is announced, always. What
 * is not needed goes (*trim*): its own link is frozen, so that nothing under it is taken out by way of it, then the link to
 * it is CASed past it; who does that retires it. A version that has left its cell while no snapshots were held takes all that is
 * under it along: links are frozen from the top down, and who takes a version's node takes what is under it.
 *
 * Invariants  C2  of ARCHITECTURE.md: what a snapshot needs stays linked under its key's cell.
 *             V1  a version under another goes, node and all, with who CASes the link past it; or all that is under a version goes with
 *                 who CASes its header from NODE, and so does a node that leads nowhere.
 *             V2  a frozen link does not change, and the header that led to it becomes PASSED: who stands on what is going finds the
 *                 way down.
 *             V3  a header that is a tombstone's is never TS: a reader is not misled by one.
 * Threads     as version.h. Snapshots are taken out of a history by one thread, the reaper.
 * Checked by  view_test.c, stress_snapshot.c, specs/Snapshot.tla, specs/Trim.tla
 */
#ifndef TSU_MEM_SNAPSHOT_H
#define TSU_MEM_SNAPSHOT_H

#include "mem/bag.h"

/* As times: later than all. */
#define TSU_SNAPSHOT_ANNOUNCED UINT64_MAX
#define TSU_SNAPSHOT_TAKING    (UINT64_MAX - 1)      /* it may have got its time from the clock */

struct tsu_snapshot {
    tsu_word time;
    tsu_word next;                    /* in its history */
    /* the engine's: snapshot.c there */
    struct tsu_table    *table;       /* with the contents of then, a reference of ours */
    struct tsu_snapshot *reaper_next;
    tsu_word             epoch;
    uint32_t             stage;
};

/* A walk under this view is shown all versions that cells hold, as they are. */
extern const struct tsu_snapshot tsu_snapshot_raw;

static inline bool tsu_history_idle(const tsu_history *history) { return tsu_load_acquire(&history->snapshots) == 0; }

/* Puts an announced snapshot into the history, and takes any out again: one thread at a time, and long before it is freed. */
void tsu_history_announce(tsu_history *history, struct tsu_snapshot *snapshot);
void tsu_history_forget(tsu_history *history, struct tsu_snapshot *snapshot);

/* The time of a version that is no commit's in progress, given now if it has none. */
uint64_t tsu_version_time(tsu_version *v);
/* Gives a version its time, if it is UNDECIDED or in a node. */
void tsu_version_decide_any(tsu_version *v);

/* --- for version.c --- */
/* Who replaces `there` has to keep it. */
bool tsu_history_needs(const tsu_history *history, uint64_t there);
/* A node for version `word`, no commit's, over `there`; its header leads to it. NULL: no memory. */
tsu_node *tsu_history_push(tsu_thread *self, uint64_t word, uint64_t there);
/* It could not be put into its cell. */
void tsu_history_unpush(tsu_thread *self, uint64_t word, tsu_node *node);
/* It was: decides its time, counts, and trims. */
void tsu_history_pushed(tsu_thread *self, tsu_history *history, uint64_t word, uint64_t there, tsu_node *node);
/* A tombstone for the key of a version; 0: no memory. */
uint64_t tsu_tombstone_create(tsu_thread *self, uint64_t there);
void tsu_tombstone_destroy(tsu_thread *self, uint64_t word);
/* `there` has left its cell, and no snapshot needs it: what is under it goes, and a tombstone itself; all else is the caller's. */
void tsu_history_cut_slow(tsu_thread *self, tsu_history *history, uint64_t there);
static inline void tsu_history_cut(tsu_thread *self, tsu_history *history, uint64_t there)
{
    if (!tsu_cell_holds_version(there)) return;
    if (tsu_header_settled(tsu_load_acquire(&tsu_cell_version(there)->header))) return;
    tsu_history_cut_slow(self, history, there);
}

/* --- for the owner of a commit --- */
/* Settles version `word`, whose commit has the time `ts`, over what is `under` it for good. *kept: snapshots need that; else it is the
 * caller's to retire, as if there were no history. NOMEM, and AGAIN, if a snapshot is being taken: nothing was done. */
tsu_status tsu_history_settle(tsu_thread *self, tsu_history *history, uint64_t word, uint64_t under, uint64_t ts, bool *kept);

/* --- for the reaper, and for who frees a root --- */
/* Of the version in a cell, and of those under pending entries there: trims what is not needed. True: it is a tombstone that is
 * not needed in its cell any more. */
bool tsu_history_sweep(tsu_thread *self, tsu_history *history, uint64_t word);

#endif
