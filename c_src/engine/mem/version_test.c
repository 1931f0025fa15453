/* version_test.c: what readers of a cell see, and what single-key writes answer and leave behind. */
#include "testing/one_cell.h"

/* --- reading ---------------------------------------------------------------------------------- */
TEST(words_that_hold_no_version_lead_to_nothing)
{
    begin();
    EXPECT_EQ(tsu_cell_resolve(self, 0), 0);
    EXPECT_EQ(tsu_cell_resolve(self, tsu_stamp(self)), 0);
    EXPECT_EQ(tsu_cell_resolve(self, tsu_stamp(self) | TSU_CELL_FROZEN), 0);
    EXPECT_EQ(tsu_cell_resolve(self, TSU_CELL_OTHER | CELL_AUX | 64), 0);
    end();
}

TEST(a_committed_version_is_found_without_the_bits_beside_it)
{
    uint64_t w;

    begin();
    w = record(1);
    EXPECT_EQ(tsu_cell_resolve(self, w | CELL_AUX | TSU_CELL_FROZEN), w);
    EXPECT(has_time(w, 0));
    end();
}

TEST(a_reader_gives_an_undecided_version_its_time_once)
{
    uint64_t w, ts;

    begin();
    w = undecided(1);
    ts = clock_now();
    EXPECT_EQ(tsu_cell_resolve(self, w), w);
    EXPECT(has_time(w, ts));
    (void)tsu_fetch_add(&tsu_clock, 1);
    EXPECT_EQ(tsu_cell_resolve(self, w), w);
    tsu_version_decide(tsu_cell_version(w));
    EXPECT(has_time(w, ts));
    end();
}

TEST(a_version_decided_by_another_meanwhile_keeps_that_time)
{
    uint64_t w, seen;

    begin();
    w = undecided(1);
    seen = header(w);
    tsu_store_relaxed(&tsu_cell_version(w)->header, UINT64_C(3) << TSU_HEADER_TS_SHIFT);
    tsu_version_decide_slow(tsu_cell_version(w), seen);
    EXPECT(has_time(w, 3));
    end();
}

TEST(readers_of_a_pending_version_see_what_is_under_it)
{
    one      o;
    uint64_t old, ts;

    begin();
    old = undecided(1);
    ts = clock_now();
    entry_over(&o, record(2), old);
    EXPECT_EQ(tsu_cell_resolve(self, held()), old);
    EXPECT(has_time(old, ts));
    EXPECT_EQ(state(&o), TSU_COMMIT_PENDING);
    tsu_store_relaxed(&o.entry.under, old | TSU_CELL_FROZEN);
    EXPECT_EQ(tsu_cell_resolve(self, held()), old);
    tsu_store_relaxed(&o.entry.under, tsu_stamp(self));
    EXPECT_EQ(tsu_cell_resolve(self, held()), 0);
    end();
}

TEST(readers_of_an_aborted_version_see_what_is_under_it)
{
    one      o;
    uint64_t old;

    begin();
    old = record(1);
    entry_over(&o, record(2), old);
    decide(&o, TSU_COMMIT_ABORTED);
    EXPECT_EQ(tsu_cell_resolve(self, held()), old);
    EXPECT_EQ(held(), o.word | CELL_AUX);
    end();
}

TEST(a_reader_of_a_committed_version_gives_its_commit_a_time_first)
{
    one      o;
    uint64_t want;

    begin();
    entry_over(&o, record(2), record(1));
    decide(&o, TSU_COMMIT_COMMITTED);
    want = clock_now() << TSU_COMMIT_TS_SHIFT | TSU_COMMIT_COMMITTED;
    EXPECT_EQ(tsu_cell_resolve(self, held()), o.word);
    EXPECT_EQ(state(&o), want);
    (void)tsu_fetch_add(&tsu_clock, 1);
    EXPECT_EQ(tsu_cell_resolve(self, held()), o.word);
    EXPECT_EQ(tsu_commit_time(&o.commit), want);
    EXPECT_EQ(state(&o), want);
    end();
}

TEST(only_a_committed_commit_gets_a_time)
{
    tsu_commit c = {{TSU_COMMIT_PENDING}, false};

    begin();
    EXPECT_EQ(tsu_commit_time(&c), TSU_COMMIT_PENDING);
    tsu_store_relaxed(&c.state, TSU_COMMIT_ABORTED);
    EXPECT_EQ(tsu_commit_time(&c), TSU_COMMIT_ABORTED);
    tsu_store_relaxed(&c.state, UINT64_C(7) << TSU_COMMIT_TS_SHIFT | TSU_COMMIT_COMMITTED);
    EXPECT_EQ(tsu_commit_time(&c), UINT64_C(7) << TSU_COMMIT_TS_SHIFT | TSU_COMMIT_COMMITTED);
    end();
}

TEST(readers_go_down_through_commits_to_what_counts)
{
    one      pending, committed, aborted;
    uint64_t old;

    begin();
    old = record(1);
    entry_over(&committed, record(2), old);
    entry_over(&pending, record(3), committed.word);
    EXPECT_EQ(tsu_cell_resolve(self, held()), old);           /* as long as that one is pending too */
    decide(&committed, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(tsu_cell_resolve(self, held()), committed.word);
    entry_over(&aborted, record(4), committed.word);
    decide(&aborted, TSU_COMMIT_ABORTED);
    EXPECT_EQ(tsu_cell_resolve(self, held()), committed.word);
    decide(&pending, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(tsu_cell_resolve(self, pending.word), pending.word);
    end();
}

TEST(readers_of_a_pending_group_see_its_base)
{
    one        o;
    uint64_t   old;
    tsu_group *g;

    begin();
    old = record(1);
    g = tsu_group_create(self, (tsu_record *)tsu_cell_version(record(2)), 2, 0);
    g->base = old;
    entry_over(&o, tsu_group_word(g), 0);
    EXPECT_EQ(tsu_cell_resolve(self, held()), old);
    g->base = tsu_stamp(self);
    EXPECT_EQ(tsu_cell_resolve(self, held()), 0);
    decide(&o, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(tsu_cell_resolve(self, held()), tsu_group_word(g));
    tsu_group_destroy(self, g);
    end();
}

TEST(a_version_dropped_before_it_was_settled_is_read_by_those_who_came_before)
{
    one o;

    begin();
    entry_over(&o, record(2), 0);
    decide(&o, TSU_COMMIT_COMMITTED);
    EXPECT(!tsu_version_drop(o.word));
    EXPECT_EQ(tsu_cell_resolve(self, o.word), o.word);
    end();
}

/* --- single-key writes ------------------------------------------------------------------------- */
TEST(a_write_of_an_absent_key_is_left_to_the_structure)
{
    uint64_t     before, w;
    cells_writer put, keep = cells_say(TSU_EDIT_KEEP), remove = cells_say(TSU_EDIT_REMOVE), fail = cells_say(TSU_EDIT_FAIL);

    begin();
    before = held();
    w = record(1);
    put = cells_put(w);
    EXPECT_EQ(edit(&put, 0), TSU_CELL_VACANT);
    EXPECT_EQ(put.edit.verdict, TSU_EDIT_PUT);
    EXPECT_EQ(put.edit.old, 0);
    EXPECT_EQ(put.current, 0);
    EXPECT_EQ(header(w), TSU_HEADER_UNDECIDED);
    EXPECT_EQ(edit(&keep, 0), TSU_CELL_DONE);
    EXPECT_EQ(keep.edit.verdict, TSU_EDIT_KEEP);
    EXPECT_EQ(edit(&remove, 0), TSU_CELL_DONE);
    EXPECT_EQ(remove.edit.verdict, TSU_EDIT_KEEP);       /* nothing was done */
    EXPECT_EQ(edit(&fail, 0), TSU_CELL_DONE);
    EXPECT_EQ(fail.edit.verdict, TSU_EDIT_FAIL);
    EXPECT_EQ(fail.edit.status, TSU_LIMIT);
    EXPECT_EQ(held(), before);
    put.edit.old = 1;
    EXPECT_EQ(tsu_cell_edit_absent(self, &put.edit), TSU_CELL_VACANT);
    EXPECT_EQ(put.edit.old, 0);
    EXPECT_EQ(tsu_cell_edit_absent(self, &remove.edit), TSU_CELL_DONE);
    EXPECT_EQ(remove.edit.verdict, TSU_EDIT_KEEP);
    end();
}

TEST(a_write_replaces_the_version_and_has_its_time_when_it_returns)
{
    uint64_t     old, w;
    cells_writer put;

    begin();
    old = record(1);
    w = record(2);
    hold(old | CELL_AUX);
    put = cells_put(w);
    EXPECT_EQ(edit(&put, 0), TSU_CELL_DONE);
    EXPECT_EQ(put.edit.verdict, TSU_EDIT_PUT);
    EXPECT_EQ(put.edit.old, old);
    EXPECT_EQ(put.current, old);
    EXPECT_EQ(held(), w | CELL_AUX);
    EXPECT(has_time(w, clock_now()));
    EXPECT(has_time(old, 0));
    end();
}

TEST(a_writer_gives_what_it_finds_its_time_before_it_decides)
{
    uint64_t     old, w, ts;
    cells_writer put;

    begin();
    old = undecided(1);
    w = record(2);
    ts = clock_now();
    hold(old | CELL_AUX);
    put = cells_put(w);
    EXPECT_EQ(edit(&put, 0), TSU_CELL_DONE);
    EXPECT(put.timed);
    EXPECT(has_time(old, ts));
    end();
}

TEST(a_writer_gives_a_commit_that_it_finds_its_time_before_it_decides)
{
    one          o;
    cells_writer keep = cells_say(TSU_EDIT_KEEP);

    begin();
    entry_over(&o, record(1), 0);
    decide(&o, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(edit(&keep, 0), TSU_CELL_DONE);
    EXPECT_EQ(keep.current, o.word);
    EXPECT_EQ(state(&o), clock_now() << TSU_COMMIT_TS_SHIFT | TSU_COMMIT_COMMITTED);
    end();
}

TEST(keeping_and_failing_change_nothing)
{
    uint64_t     old;
    cells_writer keep = cells_say(TSU_EDIT_KEEP), fail = cells_say(TSU_EDIT_FAIL);

    begin();
    old = record(1);
    hold(old | CELL_AUX);
    EXPECT_EQ(edit(&keep, 0), TSU_CELL_DONE);
    EXPECT_EQ(keep.edit.verdict, TSU_EDIT_KEEP);
    EXPECT_EQ(keep.edit.old, old);
    EXPECT_EQ(edit(&fail, 0), TSU_CELL_DONE);
    EXPECT_EQ(fail.edit.verdict, TSU_EDIT_FAIL);
    EXPECT_EQ(fail.edit.status, TSU_LIMIT);
    EXPECT_EQ(held(), old | CELL_AUX);
    end();
}

TEST(a_removal_leaves_a_fresh_stamp_or_the_structures_word)
{
    uint64_t     old, first;
    cells_writer remove;

    begin();
    old = record(1);
    hold(old | CELL_AUX);
    remove = cells_say(TSU_EDIT_REMOVE);
    EXPECT_EQ(edit(&remove, 0), TSU_CELL_DONE);
    EXPECT_EQ(remove.edit.verdict, TSU_EDIT_REMOVE);
    EXPECT_EQ(remove.edit.old, old);
    first = held();
    EXPECT_EQ(first & TSU_CELL_KIND, TSU_CELL_EMPTY);
    EXPECT((first & ~(TSU_CELL_KIND | TSU_CELL_FROZEN)) != 0);
    hold(old | CELL_AUX);
    EXPECT_EQ(edit(&remove, 0), TSU_CELL_DONE);
    EXPECT_EQ(held() & TSU_CELL_KIND, TSU_CELL_EMPTY);
    EXPECT(held() != first);                 /* "empty" never looks the same twice */
    hold(old | CELL_AUX);
    EXPECT_EQ(edit(&remove, TSU_CELL_OTHER), TSU_CELL_DONE);
    EXPECT_EQ(held(), TSU_CELL_OTHER);
    end();
}

TEST(a_cell_that_is_frozen_or_the_structures_own_has_moved)
{
    uint64_t     words[3], old;
    cells_writer put;

    begin();
    old = record(1);
    put = cells_put(record(2));
    words[0] = old | TSU_CELL_FROZEN;
    words[1] = tsu_stamp(self) | TSU_CELL_FROZEN;
    words[2] = TSU_CELL_OTHER;
    for (int i = 0; i < 3; i++) {
        hold(words[i]);
        EXPECT_EQ(edit(&put, 0), TSU_CELL_MOVED);
        EXPECT_EQ(held(), words[i]);
    }
    EXPECT_EQ(put.asked, 0);
    end();
}

TEST(a_cell_that_holds_another_version_than_was_seen_has_moved)
{
    uint64_t     old, other;
    cells_writer put;

    begin();
    old = record(1);
    other = record(2);
    put = cells_put(record(3));
    hold(other | CELL_AUX);
    EXPECT_EQ(tsu_cell_edit(self, &cell, old | CELL_AUX, CELL_AUX, 0, &put.edit), TSU_CELL_MOVED);
    EXPECT_EQ(put.asked, 0);
    EXPECT_EQ(tsu_cell_edit(self, &cell, other | CELL_AUX, CELL_AUX, 0, &put.edit), TSU_CELL_DONE);
    EXPECT_EQ(put.edit.old, other);
    end();
}

TEST(a_version_put_for_an_entry_belongs_to_its_commit)
{
    one          o;
    uint64_t     w;
    cells_writer put;

    begin();
    w = record(1);
    entry_for(&o, w);
    tsu_store_relaxed(&tsu_cell_version(w)->header, 0);
    put = cells_put(w);
    put.edit.entry = &o.entry;
    put.edit.exact = true;
    EXPECT_EQ(edit(&put, 0), TSU_CELL_VACANT);
    EXPECT_EQ(header(w), (uintptr_t)&o.entry | TSU_HEADER_ENTRY);
    hold(record(2) | CELL_AUX);
    EXPECT_EQ(edit(&put, 0), TSU_CELL_DONE);
    EXPECT_EQ(header(w), (uintptr_t)&o.entry | TSU_HEADER_ENTRY);
    EXPECT_EQ(tsu_cell_resolve(self, held()), 0);              /* pending */
    end();
}

static void replace_it(void *arg) { hold(*(uint64_t *)arg); }

TEST(a_writer_that_was_overtaken_decides_again)
{
    uint64_t     old, faster, w;
    cells_writer put;

    begin();
    old = record(1);
    faster = undecided(2) | CELL_AUX;
    w = record(3);
    hold(old | CELL_AUX);
    put = cells_put(w);
    put.meanwhile = replace_it;
    put.arg = &faster;
    EXPECT_EQ(edit(&put, 0), TSU_CELL_DONE);
    EXPECT_EQ(put.asked, 2);
    EXPECT_EQ(put.edit.old, bare(faster));
    EXPECT(put.timed);
    EXPECT_EQ(held(), w | CELL_AUX);
    end();
}

TEST(a_writer_whose_key_was_removed_meanwhile_finds_it_vacant)
{
    uint64_t     stamp;
    cells_writer put;

    begin();
    hold(record(1) | CELL_AUX);
    stamp = tsu_stamp(self);
    put = cells_put(record(2));
    put.meanwhile = replace_it;
    put.arg = &stamp;
    EXPECT_EQ(edit(&put, 0), TSU_CELL_VACANT);
    EXPECT_EQ(put.current, 0);
    EXPECT_EQ(held(), stamp);
    end();
}

static void freeze_it(void *arg)
{
    (void)arg;
    (void)tsu_fetch_or(&cell, TSU_CELL_FROZEN);
}

TEST(a_writer_whose_cell_was_frozen_meanwhile_changes_nothing)
{
    uint64_t     old;
    cells_writer put;

    begin();
    old = record(1);
    hold(old | CELL_AUX);
    put = cells_put(record(2));
    put.meanwhile = freeze_it;
    EXPECT_EQ(edit(&put, 0), TSU_CELL_MOVED);
    EXPECT_EQ(held(), old | CELL_AUX | TSU_CELL_FROZEN);
    end();
}

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
