/* cell_commits.h: commits on the keys of cells.h, and what their owners and those whom they are in the way of do.
 */
#ifndef TSU_TESTING_CELL_COMMITS_H
#define TSU_TESTING_CELL_COMMITS_H

#include "testing/cells.h"
#include "txn/commit.h"

static tsu_root        root;
static const tsu_kind *kind = &cells_kind;        /* of what batch_make makes */

/* --- a commit on the cells ------------------------------------------------------------------- */
typedef struct notice {
    int      times;
    uint64_t vacant;
} notice;

static void on_committed(tsu_thread *self, tsu_commit_record *r, uint64_t vacant)
{
    notice *n = r->context;

    (void)self;
    __atomic_fetch_add(&n->times, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&n->vacant, vacant, __ATOMIC_SEQ_CST);
}

static void batch_item(tsu_thread *self, tsu_commit_record *r, int64_t key, int64_t value)
{
    struct tsu_commit_item *item = tsu_commit_add(self, r);

    CHECK(item != NULL);
    item->mark = 0;
    item->entry.word = cells_record(self, key, value);
    tsu_store_relaxed(&tsu_cell_version(item->entry.word)->header, (uint64_t)(uintptr_t)&item->entry | TSU_HEADER_ENTRY);
}

/* The keys whose bits are set; each value is `value` and the key. */
static TSU_TEST_UNUSED tsu_commit_record *batch_make(tsu_thread *self, uint64_t keys, int64_t value, bool demands_absent,
                                                     notice *n)
{
    size_t             count = (size_t)__builtin_popcountll(keys);
    tsu_commit_record *r = tsu_commit_create(self, kind, &root, 1, demands_absent, false, count);

    CHECK(r != NULL);
    for (int64_t key = 0; key < 64; key++)
        if (keys >> key & 1) batch_item(self, r, key, value + key);
    r->committed = on_committed;
    r->context = n;
    return r;
}

static TSU_TEST_UNUSED uint64_t tag(const tsu_commit_record *r) { return tsu_load_seq(&r->commit.state) & TSU_COMMIT_TAG; }

/* What the owner does in the end; `gone` gets what the commit replaced. True: it was committed. */
static TSU_TEST_UNUSED bool batch_end(tsu_thread *self, tsu_commit_record *r, void (*gone)(int64_t value))
{
    bool committed = !tsu_commit_abort(&r->commit);

    if (committed) EXPECT_EQ(tsu_commit_installed(r), r->count);
    for (size_t i = 0; i < r->count; i++) {
        tsu_entry *e = &tsu_commit_item_at(r, i)->entry;
        tsu_key    key = tsu_commit_key(r, tsu_commit_item_at(r, i));

        if (!committed) {
            cells_restore(self, &root, &key, e);
            tsu_version_retire_aborted(self, e->word);
            continue;
        }
        uint64_t under = tsu_entry_freeze(e);

        if (gone != NULL && tsu_cell_holds_version(under)) gone(cells_value(under));
        (void)tsu_version_retire(self, under);
        if (!tsu_version_settle(e->word, tsu_commit_time(&r->commit) >> TSU_COMMIT_TS_SHIFT))
            (void)tsu_version_retire(self, e->word);
    }
    tsu_commit_retire(self, r);
    return committed;
}

static TSU_TEST_UNUSED tsu_status help(tsu_thread *self, tsu_commit_record *r, size_t budget)
{
    return tsu_commit_help(self, r, &budget);
}

/* A write that helps whatever is in its way. */
static TSU_TEST_UNUSED int64_t write_key(tsu_thread *self, int64_t key, int64_t value, bool only_new)
{
    tsu_commit *blocked;
    int64_t     old;

    while (cells_write(self, &root, key, value, only_new, &old, &blocked) == TSU_AGAIN)
        (void)help(self, (tsu_commit_record *)blocked, 1000);
    return old;
}

#endif
