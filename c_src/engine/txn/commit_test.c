/* commit_test.c: commits driven to their end step by step, helped, aborted, and short of memory. */
#include "mem/bptree.h"
#include "mem/hashtab.h"
#include "term/order.h"
#include "testing/cell_commits.h"

static tsu_thread *begin(void)
{
    tsu_thread *self = threads_setup();

    cells_init(self, &root, true);
    tsu_pin(self);
    return self;
}

static void end(tsu_thread *self)
{
    tsu_unpin(self);
    tsu_ebr_drain(self);
    cells_clear(self, &root);
}

/* --- step by step ------------------------------------------------------------------------------ */
TEST(a_commit_begins_pending_or_not_at_all)
{
    tsu_thread        *self = begin();
    tsu_commit_record *r = tsu_commit_create(self, &cells_kind, &root, 3, true, true, 5);

    REQUIRE(r != NULL);
    EXPECT_EQ(tsu_load_relaxed(&r->commit.state), TSU_COMMIT_PENDING);
    EXPECT(r->commit.demands_absent);
    EXPECT(r->exact);
    EXPECT(r->kind == &cells_kind);
    EXPECT(r->root == &root);
    EXPECT_EQ(r->keypos, 3);
    EXPECT_EQ(r->count, 0);
    EXPECT_EQ(r->room, 5);
    EXPECT_EQ(tsu_commit_installed(r), 0);
    EXPECT_EQ(tsu_commit_vacant(r), 0);
    tsu_commit_retire(self, r);
    for (long fail = 0; fail < 2; fail++) {          /* the record, and its table of parts */
        tsu_slab_fail_after(fail);
        EXPECT(tsu_commit_create(self, &cells_kind, &root, 1, false, false, 5) == NULL);
        tsu_slab_fail_after(-1);
    }
    end(self);
}

TEST(items_lie_in_parts_that_go_as_they_are_done)
{
    enum { COUNT = 2 * TSU_COMMIT_PART_ITEMS + 10 };
    tsu_thread        *self = begin();
    tsu_commit_record *r = tsu_commit_create(self, &cells_kind, &root, 1, false, false, COUNT);

    REQUIRE(r != NULL);
    for (size_t i = 0; i < COUNT; i++) {
        struct tsu_commit_item *item = tsu_commit_add(self, r);

        REQUIRE(item != NULL);
        EXPECT(item == tsu_commit_item_at(r, i));
        EXPECT(item->entry.commit == &r->commit);
        EXPECT_EQ(tsu_load_relaxed(&item->entry.under), 0);
    }
    EXPECT_EQ(r->count, COUNT);
    for (size_t i = 0; i < COUNT; i++) tsu_commit_done(self, r, i);
    EXPECT_EQ(r->part_done, 2);
    tsu_commit_retire(self, r);
    end(self);
}

TEST(the_key_of_an_item_is_that_of_its_version)
{
    tsu_thread        *self = begin();
    tsu_commit_record *r = batch_make(self, 6, 100, false, NULL);
    object_bytes       want = object_key(2, 0);
    tsu_key            key;

    tsu_commit_item_at(r, 1)->mark = 77;
    key = tsu_commit_key(r, tsu_commit_item_at(r, 1));
    EXPECT_EQ(key.len, want.len);
    EXPECT_MEM(key.bytes, want.bytes, want.len);
    EXPECT_EQ(key.mark, 77);
    EXPECT(!key.exact);
    r->kind = &tsu_kind_tree;
    EXPECT(tsu_commit_key(r, tsu_commit_item_at(r, 1)).exact);           /* the head says all of a small integer */
    (void)batch_end(self, r, NULL);
    end(self);
}

TEST(budgets_bound_the_entries_installed_and_all_show_at_once)
{
    for (size_t i = 0; i < 12; i++) {
        tsu_thread        *self = begin();
        notice             n = {0};
        size_t             budget = 1 + i / 2;
        tsu_commit_record *r;
        tsu_status         s = TSU_AGAIN;
        int                calls = 0;

        kind = i % 2 ? &cells_kind_runs : &cells_kind;
        for (int64_t key = 0; key < 5; key += 2) (void)write_key(self, key, key, false);
        r = batch_make(self, 31, 100, false, &n);
        while (s == TSU_AGAIN) {
            size_t left = budget, before = tsu_commit_installed(r);

            s = tsu_commit_help(self, r, &left);
            EXPECT_EQ(tsu_commit_installed(r) - before, budget - left);
            calls++;
            for (int64_t key = 0; key < 5; key++)
                EXPECT_EQ(cells_read(self, &root, key), s == TSU_OK ? 100 + key : key % 2 ? -1 : key);
            EXPECT_EQ(n.times, s == TSU_OK);
        }
        EXPECT_EQ(s, TSU_OK);
        EXPECT_EQ(calls, (5 + budget - 1) / budget);         /* what installs the last commits */
        EXPECT_EQ(n.vacant, 2);
        EXPECT_EQ(tsu_commit_vacant(r), 2);
        EXPECT(tsu_load_relaxed(&r->commit.state) >> TSU_COMMIT_TS_SHIFT == tsu_load_relaxed(&tsu_clock));
        EXPECT_EQ(help(self, r, 0), TSU_OK);                 /* who comes late has nothing to do */
        EXPECT_EQ(n.times, 1);
        EXPECT(batch_end(self, r, NULL));
        end(self);
    }
    kind = &cells_kind;
}

TEST(a_commit_is_decided_once)
{
    tsu_thread        *self = begin();
    notice             n = {0}, none = {0};
    tsu_commit_record *r = batch_make(self, 1, 100, false, &n), *a = batch_make(self, 2, 100, false, &none);

    EXPECT(tsu_commit_decide(self, r));
    EXPECT(tsu_commit_decide(self, r));
    EXPECT(!tsu_commit_abort(&r->commit));
    EXPECT_EQ(tag(r), TSU_COMMIT_COMMITTED);
    EXPECT_EQ(n.times, 1);
    EXPECT(tsu_commit_abort(&a->commit));
    EXPECT(tsu_commit_abort(&a->commit));
    EXPECT(!tsu_commit_decide(self, a));
    EXPECT_EQ(help(self, a, 0), TSU_OK);
    EXPECT_EQ(help(self, a, 9), TSU_OK);
    EXPECT_EQ(tag(a), TSU_COMMIT_ABORTED);
    EXPECT_EQ(none.times, 0);
    EXPECT_EQ(cells_read(self, &root, 1), -1);
    tsu_store_seq(&r->commit.state, TSU_COMMIT_ABORTED);     /* it was decided before anything was installed */
    (void)batch_end(self, r, NULL);
    (void)batch_end(self, a, NULL);
    end(self);
}

TEST(a_commit_without_entries_is_over_at_once)
{
    tsu_thread        *self = begin();
    notice             n = {0};
    tsu_commit_record *r = batch_make(self, 0, 0, true, &n);

    EXPECT_EQ(help(self, r, 0), TSU_OK);
    EXPECT_EQ(n.times, 1);
    EXPECT(batch_end(self, r, NULL));
    end(self);
}

TEST(an_exact_commit_is_left_to_its_owner)
{
    tsu_thread        *self = begin();
    notice             n = {0};
    tsu_commit_record *r = batch_make(self, 1, 100, false, &n), *in_the_way = batch_make(self, 1, 200, false, &n);

    EXPECT_EQ(help(self, in_the_way, 0), TSU_AGAIN);
    tsu_commit *other;
    tsu_install_outcome outcome;
    tsu_key key = tsu_commit_key(in_the_way, tsu_commit_item_at(in_the_way, 0));

    EXPECT_EQ(cells_install(self, &root, &key, &tsu_commit_item_at(in_the_way, 0)->entry, &outcome, &other), TSU_OK);
    in_the_way->exact = true;
    EXPECT_EQ(help(self, in_the_way, 9), TSU_AGAIN);
    EXPECT_EQ(help(self, r, 9), TSU_AGAIN);
    EXPECT_EQ(tag(r), TSU_COMMIT_PENDING);
    EXPECT_EQ(tag(in_the_way), TSU_COMMIT_PENDING);
    EXPECT(tsu_commit_abort(&in_the_way->commit));
    EXPECT_EQ(help(self, r, 9), TSU_OK);
    EXPECT_EQ(cells_read(self, &root, 0), 100);
    (void)batch_end(self, in_the_way, NULL);
    EXPECT_EQ(cells_read(self, &root, 0), 100);
    EXPECT(batch_end(self, r, NULL));
    end(self);
}

/* Commit i has key i in, and needs key i+1 next, which commit i+1 has. */
TEST(commits_in_each_others_way_are_helped_in_turn)
{
    enum { MAX = 20 };
    tsu_commit_record *r[MAX];
    notice             n;

    for (int count = 2; count <= MAX; count += 3) {
        tsu_thread *self = begin();
        int         calls = 0;

        n = (notice){0};
        for (int i = 0; i < count; i++) {
            r[i] = batch_make(self, UINT64_C(3) << i, 100 * (i + 1), false, &n);
            EXPECT_EQ(help(self, r[i], 1), TSU_AGAIN);
            EXPECT_EQ(tsu_commit_installed(r[i]), 1);
        }
        if (count <= 8) {
            EXPECT_EQ(help(self, r[0], 2), TSU_AGAIN);       /* looking at what is in the way costs too */
            EXPECT_EQ(help(self, r[0], 100), TSU_OK);
        } else {
            EXPECT_EQ(help(self, r[0], 100), TSU_AGAIN);     /* too deep: from nearer to the end */
            for (int i = count; i-- > 0; calls++) EXPECT_EQ(help(self, r[i], 100), TSU_OK);
        }
        EXPECT_EQ(n.times, count);
        for (int i = 0; i < count; i++) EXPECT_EQ(cells_read(self, &root, i), 100 * (i > 0 ? i : 1) + i);
        EXPECT_EQ(cells_read(self, &root, count), 100 * count + count);
        for (int i = 0; i < count; i++) EXPECT(batch_end(self, r[i], NULL));
        end(self);
    }
}

TEST(an_insert_new_is_aborted_by_a_key_that_is_there)
{
    for (int64_t there = 0; there < 4; there++) {
        tsu_thread        *self = begin();
        notice             n = {0};
        tsu_commit_record *r = batch_make(self, 15, 100, true, &n);

        (void)write_key(self, there, 7, false);
        EXPECT_EQ(help(self, r, 100), TSU_OK);
        EXPECT_EQ(tag(r), TSU_COMMIT_ABORTED);
        EXPECT_EQ(n.times, 0);
        for (int64_t key = 0; key < 4; key++) EXPECT_EQ(cells_read(self, &root, key), key == there ? 7 : -1);
        EXPECT(!batch_end(self, r, NULL));
        for (int64_t key = 0; key < 4; key++)
            EXPECT_EQ(cells_value(tsu_load_relaxed(&root.cell[key])), key == there ? 7 : -1);
        end(self);
    }
}

TEST(a_key_inserted_where_an_insert_new_has_been_finds_all_of_it_there)
{
    tsu_thread        *self = begin();
    notice             n = {0};
    tsu_commit_record *r = batch_make(self, 7, 100, true, &n);

    EXPECT_EQ(help(self, r, 1), TSU_AGAIN);
    EXPECT_EQ(write_key(self, 2, 9, false), -1);             /* where it has not been: it is too late for it */
    EXPECT_EQ(write_key(self, 0, 8, false), -1);
    EXPECT_EQ(tag(r), TSU_COMMIT_ABORTED);
    (void)batch_end(self, r, NULL);
    r = batch_make(self, 24, 200, true, &n);
    EXPECT_EQ(help(self, r, 1), TSU_AGAIN);
    EXPECT_EQ(write_key(self, 3, 8, false), 203);
    EXPECT_EQ(tag(r), TSU_COMMIT_COMMITTED);
    EXPECT_EQ(cells_read(self, &root, 4), 204);
    EXPECT(batch_end(self, r, NULL));
    EXPECT_EQ(cells_read(self, &root, 3), 8);
    end(self);
}

TEST(keys_written_or_deleted_under_a_commit_are_not_vacant_or_are)
{
    tsu_thread        *self = begin();
    notice             n = {0};
    tsu_commit_record *r = batch_make(self, 15, 100, false, &n);

    (void)write_key(self, 2, 7, false);
    EXPECT_EQ(help(self, r, 3), TSU_AGAIN);
    EXPECT_EQ(write_key(self, 0, 8, false), -1);
    EXPECT_EQ(write_key(self, 2, -1, false), 7);
    EXPECT_EQ(cells_read(self, &root, 0), 8);
    EXPECT_EQ(cells_read(self, &root, 2), -1);
    EXPECT_EQ(help(self, r, 3), TSU_OK);
    EXPECT_EQ(n.vacant, 3);                                  /* as they were when they were installed */
    for (int64_t key = 0; key < 4; key++) EXPECT_EQ(cells_read(self, &root, key), 100 + key);
    EXPECT(batch_end(self, r, NULL));
    end(self);
}

TEST(short_of_memory_a_commit_stays_as_it_is_and_goes_on_later)
{
    for (long fail = 0; fail < 6; fail++) {
        tsu_thread        *self = begin();
        notice             n = {0};
        tsu_commit_record *r = batch_make(self, 31, 100, false, &n);

        root.fail_after = fail;
        if (fail < 5) {
            EXPECT_EQ(help(self, r, 100), TSU_NOMEM);
            EXPECT_EQ(tsu_commit_installed(r), fail);
            EXPECT_EQ(tag(r), TSU_COMMIT_PENDING);
            for (int64_t key = 0; key < 5; key++) EXPECT_EQ(cells_read(self, &root, key), -1);
        }
        root.fail_after = -1;
        if (fail % 2) {
            EXPECT(tsu_commit_abort(&r->commit));
            EXPECT(!batch_end(self, r, NULL));
        } else {
            EXPECT_EQ(help(self, r, 100), TSU_OK);
            EXPECT_EQ(n.times, 1);
            EXPECT(batch_end(self, r, NULL));
        }
        for (int64_t key = 0; key < 5; key++) EXPECT_EQ(cells_read(self, &root, key), fail % 2 ? -1 : 100 + key);
        end(self);
    }
}

/* --- the real tables, with memory that runs out anywhere -------------------------------------------- */
#ifdef TSU_DEBUG
static bool nomem_round(tsu_thread *self, const tsu_kind *real, long fail)
{
    enum { COUNT = 40 };
    notice             n = {0};
    tsu_root          *table = NULL;
    tsu_commit_record *r;
    size_t             budget = SIZE_MAX;
    tsu_status         s;
    bool               clean;

    tsu_pin(self);
    CHECK(real->create(self, 1, &table) == TSU_OK);
    r = tsu_commit_create(self, real, table, 1, false, false, COUNT);
    CHECK(r != NULL);
    r->committed = on_committed;
    r->context = &n;
    for (size_t i = 0; i < COUNT; i++) {
        const uint8_t *key;
        size_t         len;
        bool           exact;

        batch_item(self, r, (int64_t)i, 7);
        key = tsu_version_key(tsu_commit_item_at(r, i)->entry.word, 1, &len);
        tsu_commit_item_at(r, i)->mark = real == &tsu_kind_hash ? tsu_hashtab_mark(key, len) : tsu_order_head_both(key, &exact);
    }
    tsu_slab_fail_after(fail);
    tsu_tree_fail_after = fail;
    tsu_env_fail_after(fail);
    s = tsu_commit_help(self, r, &budget);
    tsu_slab_fail_after(-1);
    tsu_tree_fail_after = -1;
    tsu_env_fail_after(-1);
    clean = s == TSU_OK;
    if (!clean) {
        EXPECT_EQ(s, TSU_NOMEM);
        for (size_t i = 0; i < COUNT; i++) {
            tsu_key key = tsu_commit_key(r, tsu_commit_item_at(r, i));

            EXPECT_EQ(real->find(self, table, &key), 0);
        }
        EXPECT_EQ(n.times, 0);
        EXPECT_EQ(tsu_commit_help(self, r, &budget), TSU_OK);
    }
    EXPECT_EQ(n.times, 1);
    EXPECT_EQ(n.vacant, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        tsu_key key = tsu_commit_key(r, tsu_commit_item_at(r, i));

        EXPECT_EQ(real->find(self, table, &key), tsu_commit_item_at(r, i)->entry.word);
        (void)tsu_entry_freeze(&tsu_commit_item_at(r, i)->entry);
        EXPECT(tsu_version_settle(tsu_commit_item_at(r, i)->entry.word, 1));
    }
    EXPECT(real->verify(self, table) == NULL);
    tsu_commit_retire(self, r);
    tsu_unpin(self);
    tsu_ebr_drain(self);
    while (!real->reap(self, table, 1000, tsu_version_destroy)) { }
    return clean;
}

TEST(whichever_allocation_fails_a_commit_on_a_table_shows_nothing_and_goes_on_later)
{
    tsu_thread *self = threads_setup();
    long        fail;

    for (fail = 0; fail < 500 && !nomem_round(self, &tsu_kind_hash, fail); fail++) { }
    EXPECT(fail > 0 && fail < 500);
    for (fail = 0; fail < 500 && !nomem_round(self, &tsu_kind_tree, fail); fail++) { }
    EXPECT(fail > 0 && fail < 500);
}
#endif

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
