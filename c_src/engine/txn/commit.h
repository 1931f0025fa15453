/* commit.h: the commit record: many keys of one table, one CAS.
 *
 * ARCHITECTURE.md, "Commit record", has the protocol. A commit is filled by one thread, then driven to its end by its
 * owner and by whoever finds it in the way. For tables where a new version depends on the old one (bags) only the owner
 * installs; others come back later (TSU_AGAIN).
 *
 * Invariants  C1-C5 of ARCHITECTURE.md
 * Ownership   versions of a commit are the commit's until it is COMMITTED, then the table's.
 * Threads     help: any, pinned. All else: the owner.
 * Checked by  commit_test.c, commit_race_test.c, specs/Commit.tla, stress_engine.c
 */
#ifndef TSU_TXN_COMMIT_H
#define TSU_TXN_COMMIT_H

#include "mem/kind.h"

typedef struct tsu_commit_record tsu_commit_record;
struct tsu_commit_record {
    tsu_commit      commit;          /* first: entries point here */
    const tsu_kind *kind;
    tsu_root       *root;
    uint32_t        keypos;
    bool            exact;           /* only the owner installs */
    size_t          count;           /* fixed before the first is installed */
    size_t          room;
    /* Called once, by whoever commits it: how many keys were not there when they were installed. */
    void          (*committed)(tsu_thread *self, tsu_commit_record *record, uint64_t vacant);
    void           *context;
    tsu_word        installed;       /* entries installed, all of them before the others; above, how many were vacant */
    /* Items lie in parts that come from the slab: one array of many megabytes would take the system milliseconds. */
    struct tsu_commit_item **part;
    size_t          part_count;      /* owner only: made */
    size_t          part_done;       /* owner only: retired */
};

#define TSU_COMMIT_PART_SHIFT 8u
#define TSU_COMMIT_PART_ITEMS ((size_t)1 << TSU_COMMIT_PART_SHIFT)
static inline struct tsu_commit_item *tsu_commit_item_at(const tsu_commit_record *r, size_t i)
{
    return &r->part[i >> TSU_COMMIT_PART_SHIFT][i & (TSU_COMMIT_PART_ITEMS - 1)];
}

/* Empty, with room for so many items. */
tsu_commit_record *tsu_commit_create(tsu_thread *self, const tsu_kind *kind, tsu_root *root, uint32_t keypos,
                                     bool demands_absent, bool exact, size_t room);
/* One more item, the caller's to fill in but for its commit; under is empty. NULL: no memory. */
struct tsu_commit_item *tsu_commit_add(tsu_thread *self, tsu_commit_record *record);
/* Items before `at` are settled or undone: retires what they lay in. Pinned. */
void tsu_commit_done(tsu_thread *self, tsu_commit_record *record, size_t at);
/* All that is left of it. Pinned. */
void tsu_commit_retire(tsu_thread *self, tsu_commit_record *record);

/* The key of an item, from its version. */
tsu_key tsu_commit_key(const tsu_commit_record *record, const struct tsu_commit_item *item);

/* Installs from where it is, at most *budget entries, helping what is in the way; then commits. OK: it is decided, whichever
 * way. AGAIN: budget used up, or an exact commit of another owner is in the way. NOMEM. */
tsu_status tsu_commit_help(tsu_thread *self, tsu_commit_record *record, size_t *budget);

/* PENDING to ABORTED, if it still is; true if it ends up aborted. */
bool tsu_commit_abort(tsu_commit *commit);
/* PENDING to COMMITTED; false: aborted. */
bool tsu_commit_decide(tsu_thread *self, tsu_commit_record *record);

#define TSU_COMMIT_VACANT_SHIFT 32
static inline uint64_t tsu_commit_installed(const tsu_commit_record *r)
{
    return tsu_load_acquire(&r->installed) & ((UINT64_C(1) << TSU_COMMIT_VACANT_SHIFT) - 1);
}
static inline uint64_t tsu_commit_vacant(const tsu_commit_record *r)
{
    return tsu_load_acquire(&r->installed) >> TSU_COMMIT_VACANT_SHIFT;
}

#endif
