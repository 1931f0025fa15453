/* version_entry_test.c: entries of commits: writers who meet one, installing, undoing, settling, and helpers who come late. */
#include "testing/one_cell.h"

/* --- writes that meet a commit ------------------------------------------------------------------------ */
TEST(a_writer_writes_under_a_pending_version)
{
    one          o;
    uint64_t     old, w, before;
    cells_writer put, keep = cells_say(TSU_EDIT_KEEP), remove = cells_say(TSU_EDIT_REMOVE);

    begin();
    old = record(1);
    w = record(3);
    entry_over(&o, record(2), old);
    put = cells_put(w);
    EXPECT_EQ(edit(&put, TSU_CELL_OTHER), TSU_CELL_DONE);
    EXPECT_EQ(put.edit.old, old);
    EXPECT_EQ(put.edit.verdict, TSU_EDIT_PUT);
    EXPECT_EQ(held(), o.word | CELL_AUX);
    EXPECT_EQ(bare(under(&o)), w);
    EXPECT(has_time(w, clock_now()));
    EXPECT_EQ(tsu_cell_resolve(self, held()), w);
    EXPECT_EQ(edit(&keep, 0), TSU_CELL_DONE);
    EXPECT_EQ(keep.edit.old, w);
    EXPECT_EQ(edit(&remove, TSU_CELL_OTHER), TSU_CELL_DONE);          /* which is for the cell alone */
    EXPECT_EQ(remove.edit.old, w);
    EXPECT_EQ(remove.edit.verdict, TSU_EDIT_REMOVE);
    before = under(&o);
    EXPECT_EQ(before & TSU_CELL_KIND, TSU_CELL_EMPTY);
    EXPECT(before != 0);
    EXPECT_EQ(edit(&remove, 0), TSU_CELL_DONE);
    EXPECT_EQ(remove.edit.verdict, TSU_EDIT_KEEP);
    EXPECT_EQ(remove.edit.old, 0);
    EXPECT_EQ(under(&o), before);
    put = cells_put(old);
    EXPECT_EQ(edit(&put, 0), TSU_CELL_DONE);             /* of an absent key too: the structure has its cell */
    EXPECT_EQ(put.edit.old, 0);
    EXPECT_EQ(bare(under(&o)), old);
    EXPECT_EQ(state(&o), TSU_COMMIT_PENDING);
    end();
}

TEST(nothing_is_put_under_an_entry_that_demands_absence)
{
    one          o;
    uint64_t     before;
    cells_writer put, keep = cells_say(TSU_EDIT_KEEP), remove = cells_say(TSU_EDIT_REMOVE);

    begin();
    entry_over(&o, record(2), 0);
    o.commit.demands_absent = true;
    before = under(&o);
    put = cells_put(record(3));
    EXPECT_EQ(edit(&put, 0), TSU_CELL_BLOCKED);
    EXPECT(put.edit.blocked == &o.commit);
    EXPECT_EQ(edit(&keep, 0), TSU_CELL_DONE);
    EXPECT_EQ(keep.edit.old, 0);
    EXPECT_EQ(edit(&remove, 0), TSU_CELL_DONE);
    EXPECT_EQ(remove.edit.verdict, TSU_EDIT_KEEP);
    EXPECT_EQ(under(&o), before);
    EXPECT_EQ(held(), o.word | CELL_AUX);
    EXPECT_EQ(state(&o), TSU_COMMIT_PENDING);
    end();
}

TEST(who_must_see_what_the_commit_leaves_is_blocked_by_it)
{
    one          o;
    cells_writer keep = cells_say(TSU_EDIT_KEEP);

    begin();
    entry_over(&o, record(2), record(1));
    keep.edit.exact = true;
    EXPECT_EQ(edit(&keep, 0), TSU_CELL_BLOCKED);
    EXPECT(keep.edit.blocked == &o.commit);
    EXPECT_EQ(keep.asked, 0);
    decide(&o, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(edit(&keep, 0), TSU_CELL_DONE);
    EXPECT_EQ(keep.edit.old, o.word);
    end();
}

TEST(nobody_writes_under_a_pending_group)
{
    one          o;
    tsu_group   *g;
    cells_writer put;

    begin();
    g = tsu_group_create(self, (tsu_record *)tsu_cell_version(record(1)), 2, 0);
    entry_over(&o, tsu_group_word(g), 0);
    put = cells_put(record(2));
    EXPECT_EQ(edit(&put, 0), TSU_CELL_BLOCKED);
    EXPECT(put.edit.blocked == &o.commit);
    decide(&o, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(edit(&put, 0), TSU_CELL_DONE);
    EXPECT_EQ(put.edit.old, tsu_group_word(g));
    tsu_group_destroy(self, g);
    end();
}

TEST(a_writer_puts_an_aborted_version_right_and_goes_on)
{
    one          o;
    uint64_t     old, w;
    cells_writer put, remove = cells_say(TSU_EDIT_REMOVE);

    begin();
    old = record(1);
    w = record(3);
    put = cells_put(w);
    entry_over(&o, record(2), old);
    decide(&o, TSU_COMMIT_ABORTED);
    EXPECT_EQ(edit(&put, 0), TSU_CELL_DONE);
    EXPECT_EQ(put.edit.old, old);
    EXPECT_EQ(held(), w | CELL_AUX);
    EXPECT_EQ(under(&o), old | TSU_CELL_FROZEN);
    entry_over(&o, o.word, 0);                           /* nothing was there before */
    decide(&o, TSU_COMMIT_ABORTED);
    EXPECT_EQ(edit(&put, 0), TSU_CELL_VACANT);
    EXPECT_EQ(held() & TSU_CELL_KIND, TSU_CELL_EMPTY);
    entry_over(&o, o.word, 0);
    decide(&o, TSU_COMMIT_ABORTED);
    EXPECT_EQ(edit(&remove, TSU_CELL_OTHER), TSU_CELL_MOVED);
    EXPECT_EQ(held(), TSU_CELL_OTHER);
    end();
}

TEST(what_was_seen_is_about_the_cell_and_not_about_what_is_under_it)
{
    one          o;
    cells_writer put;

    begin();
    entry_over(&o, record(2), record(1));
    put = cells_put(record(3));
    EXPECT_EQ(tsu_cell_edit(self, &cell, held(), CELL_AUX, 0, &put.edit), TSU_CELL_DONE);      /* under it: seen is the top's */
    EXPECT_EQ(cells_value(under(&o)), 3);
    end();
}

static void commit_and_freeze(void *arg)
{
    one *o = arg;

    decide(o, TSU_COMMIT_COMMITTED);
    (void)tsu_entry_freeze(&o->entry);
}

static void abort_and_freeze(void *arg)
{
    one *o = arg;

    decide(o, TSU_COMMIT_ABORTED);
    (void)tsu_entry_freeze(&o->entry);
}

/* What is over the writer's place ends, one way or the other, while it decides. */
static void overtaken(void (*meanwhile)(void *one), bool committed)
{
    one          o;
    uint64_t     old, w;
    cells_writer put;

    begin();
    old = record(1);
    w = record(3);
    entry_over(&o, record(2), old);
    put = cells_put(w);
    put.meanwhile = meanwhile;
    put.arg = &o;
    EXPECT_EQ(edit(&put, 0), TSU_CELL_DONE);
    EXPECT_EQ(put.asked, 2);
    EXPECT_EQ(put.edit.old, committed ? o.word : old);
    EXPECT_EQ(held(), w | CELL_AUX);
    EXPECT_EQ(under(&o), old | TSU_CELL_FROZEN);
    end();
}

TEST(a_writer_under_a_version_that_is_settled_meanwhile_starts_over_from_the_cell) { overtaken(commit_and_freeze, true); }
TEST(a_writer_under_a_version_that_is_aborted_meanwhile_starts_over_from_the_cell) { overtaken(abort_and_freeze, false); }

/* --- installing -------------------------------------------------------------------------------------- */
TEST(an_entry_is_installed_over_the_version_that_it_remembers)
{
    one         o;
    uint64_t    old, ts;
    tsu_commit *other = NULL;

    begin();
    old = undecided(1);
    ts = clock_now();
    entry_for(&o, record(2));
    hold(old | CELL_AUX);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_DONE);
    EXPECT_EQ(held(), o.word | CELL_AUX);
    EXPECT_EQ(bare(under(&o)), old);
    EXPECT(has_time(old, ts));
    EXPECT_EQ(tsu_cell_resolve(self, held()), old);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_DONE);           /* a second time by whoever comes late */
    EXPECT_EQ(bare(under(&o)), old);
    end();
}

TEST(what_is_put_under_an_entry_never_looks_as_it_did_before)
{
    one         o;
    uint64_t    old, seen[4];
    tsu_commit *other = NULL;

    begin();
    old = record(1);
    entry_for(&o, record(2));
    for (int i = 0; i < 4; i++) {            /* some helpers come to nothing; once the key is absent */
        hold(i == 2 ? tsu_stamp(self) : old | CELL_AUX);
        EXPECT_EQ(install(&o, &other), i == 2 ? TSU_INSTALL_VACANT : TSU_INSTALL_DONE);
        EXPECT_EQ(tsu_cell_resolve(self, under(&o)), i == 2 ? 0 : old);
        seen[i] = under(&o);
        for (int k = 0; k < i; k++) EXPECT(seen[k] != seen[i]);
    }
    end();
}

TEST(an_entry_of_an_absent_key_gets_a_stamp_and_is_left_to_the_structure)
{
    one         o;
    uint64_t    stamp;
    tsu_commit *other = NULL;

    begin();
    entry_for(&o, record(2));
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_VACANT);
    stamp = under(&o);
    EXPECT_EQ(stamp & TSU_CELL_KIND, TSU_CELL_EMPTY);
    EXPECT(stamp != 0);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_VACANT);
    tsu_store_relaxed(&o.entry.under, record(1));              /* it was there when somebody else looked */
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_VACANT);
    EXPECT_EQ(under(&o) & TSU_CELL_KIND, TSU_CELL_EMPTY);
    EXPECT(under(&o) != stamp);
    EXPECT_EQ(state(&o), TSU_COMMIT_PENDING);
    end();
}

TEST(an_entry_whose_under_has_changed_since_is_not_installed)
{
    one         o;
    uint64_t    old;
    tsu_commit *other = NULL;

    begin();
    old = record(1);
    entry_for(&o, record(2));
    tsu_store_relaxed(&o.entry.under, tsu_stamp(self));
    EXPECT_EQ(tsu_cell_install(self, NULL, 0, CELL_AUX, 0, &o.entry, 0, &other), TSU_INSTALL_MOVED);
    hold(old | CELL_AUX);
    EXPECT_EQ(tsu_cell_install(self, &cell, 0, CELL_AUX, 0, &o.entry, 0, &other), TSU_INSTALL_MOVED);
    EXPECT_EQ(held(), old | CELL_AUX);
    end();
}

TEST(a_commit_that_is_over_installs_nothing_more)
{
    one         o;
    uint64_t    old;
    tsu_commit *other = NULL;

    begin();
    old = record(1);
    for (int aborted = 0; aborted < 2; aborted++) {
        entry_for(&o, record(2));
        hold(old | CELL_AUX);
        decide(&o, aborted ? TSU_COMMIT_ABORTED : TSU_COMMIT_COMMITTED);
        EXPECT_EQ(install(&o, &other), TSU_INSTALL_STOP);
        EXPECT_EQ(held(), old | CELL_AUX);
        hold(tsu_stamp(self));
        EXPECT_EQ(install(&o, &other), TSU_INSTALL_STOP);
        decide(&o, TSU_COMMIT_PENDING);
        tsu_store_relaxed(&o.entry.under, old | TSU_CELL_FROZEN);
        hold(old | CELL_AUX);
        EXPECT_EQ(install(&o, &other), TSU_INSTALL_STOP);         /* frozen: it was over before */
        EXPECT_EQ(held(), old | CELL_AUX);
    }
    end();
}

TEST(an_entry_does_not_go_into_a_cell_that_has_moved)
{
    one         o;
    uint64_t    words[3], old;
    tsu_commit *other = NULL;

    begin();
    old = record(1);
    entry_for(&o, record(2));
    words[0] = old | TSU_CELL_FROZEN;
    words[1] = tsu_stamp(self);
    words[2] = TSU_CELL_OTHER;
    for (int i = 0; i < 3; i++) {
        hold(words[i]);
        EXPECT_EQ(tsu_cell_install(self, &cell, 0, CELL_AUX, 0, &o.entry, 0, &other), TSU_INSTALL_MOVED);
        EXPECT_EQ(held(), words[i]);
    }
    hold(record(3) | CELL_AUX);
    EXPECT_EQ(tsu_cell_install(self, &cell, old | CELL_AUX, CELL_AUX, 0, &o.entry, 0, &other), TSU_INSTALL_MOVED);
    EXPECT_EQ(under(&o), 0);
    end();
}

TEST(an_entry_waits_for_a_pending_commit_and_not_for_others)
{
    one         o, first;
    uint64_t    old;
    tsu_commit *other = NULL;

    begin();
    old = record(1);
    entry_for(&o, record(2));
    entry_over(&first, record(3), old);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_BLOCKED);
    EXPECT(other == &first.commit);
    EXPECT_EQ(held(), first.word | CELL_AUX);
    decide(&first, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_DONE);            /* over one that is not settled yet */
    EXPECT_EQ(bare(under(&o)), first.word);
    EXPECT_EQ(state(&first), clock_now() << TSU_COMMIT_TS_SHIFT | TSU_COMMIT_COMMITTED);
    entry_over(&first, first.word, old);
    decide(&first, TSU_COMMIT_ABORTED);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_MOVED);           /* put right first */
    EXPECT_EQ(held(), old | CELL_AUX);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_DONE);
    EXPECT_EQ(bare(under(&o)), old);
    end();
}

TEST(an_entry_that_demands_absence_aborts_its_commit_where_the_key_is)
{
    one         o, first;
    uint64_t    old;
    tsu_commit *other = NULL;

    begin();
    old = record(1);
    entry_for(&o, record(2));
    o.commit.demands_absent = true;
    hold(old | CELL_AUX);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_EXISTS);
    EXPECT_EQ(state(&o), TSU_COMMIT_ABORTED);
    EXPECT_EQ(held(), old | CELL_AUX);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_STOP);
    entry_for(&o, o.word);
    o.commit.demands_absent = true;
    entry_over(&first, record(3), 0);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_BLOCKED);         /* nobody knows yet */
    EXPECT_EQ(state(&o), TSU_COMMIT_PENDING);
    decide(&first, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_EXISTS);
    entry_for(&o, o.word);
    o.commit.demands_absent = true;
    entry_over(&first, first.word, 0);
    decide(&first, TSU_COMMIT_ABORTED);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_MOVED);
    EXPECT_EQ(install(&o, &other), TSU_INSTALL_VACANT);
    EXPECT_EQ(state(&o), TSU_COMMIT_PENDING);
    end();
}

/* --- the end of a commit ------------------------------------------------------------------------------- */
TEST(restoring_brings_back_what_was_under)
{
    one      o;
    uint64_t old;

    begin();
    old = record(1);
    entry_over(&o, record(2), old);
    decide(&o, TSU_COMMIT_ABORTED);
    tsu_cell_restore(self, &cell, held(), CELL_AUX, TSU_CELL_OTHER);
    EXPECT_EQ(held(), old | CELL_AUX);
    EXPECT_EQ(under(&o), old | TSU_CELL_FROZEN);
    hold(old | CELL_AUX | TSU_CELL_FROZEN);
    tsu_cell_restore(self, &cell, o.word | CELL_AUX, CELL_AUX, 0);       /* it is not there any more */
    EXPECT_EQ(held(), old | CELL_AUX | TSU_CELL_FROZEN);
    entry_over(&o, o.word, 0);
    tsu_cell_restore(self, &cell, held(), CELL_AUX, TSU_CELL_OTHER);
    EXPECT_EQ(held(), TSU_CELL_OTHER);
    entry_over(&o, o.word, 0);
    tsu_cell_restore(self, &cell, held(), CELL_AUX, 0);
    EXPECT_EQ(held() & TSU_CELL_KIND, TSU_CELL_EMPTY);
    EXPECT(held() != bare(under(&o)));                                /* that stamp was seen before */
    EXPECT_EQ(header(o.word), (uintptr_t)&o.entry | TSU_HEADER_ENTRY);
    end();
}

TEST(restoring_a_group_brings_back_its_base)
{
    one        o;
    uint64_t   old;
    tsu_group *g;

    begin();
    old = record(1);
    g = tsu_group_create(self, (tsu_record *)tsu_cell_version(record(2)), 2, 0);
    g->base = old;
    entry_over(&o, tsu_group_word(g), 0);
    decide(&o, TSU_COMMIT_ABORTED);
    tsu_cell_restore(self, &cell, held(), CELL_AUX, 0);
    EXPECT_EQ(held(), old | CELL_AUX);
    g->base = 0;
    hold(tsu_group_word(g) | CELL_AUX);
    tsu_cell_restore(self, &cell, held(), CELL_AUX, 0);
    EXPECT_EQ(held() & TSU_CELL_KIND, TSU_CELL_EMPTY);
    EXPECT(held() != 0);
    tsu_group_destroy(self, g);
    end();
}

TEST(a_version_is_freed_by_whoever_comes_second_of_dropper_and_settler)
{
    one o;

    begin();
    entry_over(&o, record(1), 0);
    EXPECT(tsu_version_settle(o.word, 9));
    EXPECT(has_time(o.word, 9));
    EXPECT(tsu_version_drop(o.word));
    EXPECT(has_time(o.word, 9));
    entry_over(&o, o.word, 0);
    EXPECT(!tsu_version_drop(o.word));
    EXPECT_EQ(header(o.word) & TSU_HEADER_TAG, TSU_HEADER_DROPPED);
    EXPECT(!tsu_version_settle(o.word, 9));
    EXPECT(tsu_version_drop(o.word));
    EXPECT(tsu_version_drop(record(2)));
    EXPECT(tsu_version_drop(undecided(3)));
    end();
}

TEST(what_is_under_a_frozen_entry_stays)
{
    one          o;
    uint64_t     old;
    cells_writer put;

    begin();
    old = record(1);
    entry_over(&o, record(2), old);
    decide(&o, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(tsu_entry_freeze(&o.entry), old);
    EXPECT_EQ(tsu_entry_freeze(&o.entry), old);
    put = cells_put(record(3));
    EXPECT_EQ(edit(&put, 0), TSU_CELL_DONE);
    EXPECT_EQ(put.edit.old, o.word);
    EXPECT_EQ(tsu_entry_freeze(&o.entry), old);
    end();
}

#ifdef TSU_RACE_DELAYS
/* --- helpers who stop half way ---------------------------------------------------------------------------- */
/* As another helper: the entry is in when this returns. */
static void help_along(tsu_thread *helper, one *o)
{
    tsu_install_outcome outcome;
    tsu_commit         *other;

    do {
        uint64_t u = under(o), w = held();

        outcome = tsu_cell_install(helper, tsu_cell_holds_version(w) ? &cell : NULL, 0, CELL_AUX, 0, &o->entry, u, &other);
        if (outcome == TSU_INSTALL_VACANT) (void)tsu_cas(&cell, &w, o->word | CELL_AUX);
    } while (outcome != TSU_INSTALL_DONE);
}

static struct late {
    one        *a, *b;
    uint64_t    old, fresh;
    tsu_thread *other;
} late;

static void removed_and_installed(void *unused)
{
    (void)unused;
    hold(tsu_stamp(late.other));
    help_along(late.other, late.a);
}

TEST(a_late_helper_does_not_bring_back_what_was_removed)
{
    one         a;
    tsu_commit *other = NULL;
    bool        more = true;

    begin();
    late = (struct late){.a = &a, .old = record(1), .other = tsu_thread_register()};
    entry_for(&a, record(2));
    for (long at = 0; more; at++) {
        tsu_store_relaxed(&a.entry.under, 0);
        hold(tsu_stamp(self));
        EXPECT_EQ(install(&a, &other), TSU_INSTALL_VACANT);       /* and the structure finds that it is not so any more: */
        hold(late.old | CELL_AUX);
        uint64_t u = under(&a);

        points_begin(at, removed_and_installed, NULL);
        (void)tsu_cell_install(self, &cell, 0, CELL_AUX, 0, &a.entry, u, &other);
        more = points_end();
        if (!more) break;
        EXPECT_EQ(held(), a.word | CELL_AUX);
        EXPECT_EQ(tsu_cell_resolve(self, held()), 0);
    }
    end();
}

static void other_commit_comes(void *unused)
{
    (void)unused;
    entry_over(late.b, late.b->word, late.old);
}

static void installed_and_written_under(void *unused)
{
    cells_writer put = cells_put(late.fresh);

    (void)unused;
    help_along(late.other, late.a);
    EXPECT_EQ(tsu_cell_edit(late.other, &cell, 0, CELL_AUX, 0, &put.edit), TSU_CELL_DONE);
    EXPECT_EQ(put.edit.old, late.b->word);
}

/* A helper leaves a version in `under` and goes; that version is freed; another one at the same place is written under the
 * entry, while a second helper has read the first and does not yet know of the second. */
TEST(a_write_under_an_entry_outlives_helpers_who_came_before_it)
{
    one         a, b;
    uint64_t    stale, word;
    tsu_commit *other = NULL;
    bool        more = true;

    begin();
    late = (struct late){.a = &a, .b = &b, .other = tsu_thread_register()};
    b.word = record(3);
    word = record(2);
    late.old = cells_record(self, 0, 1);
    for (long at = 0; more; at++) {
        tsu_install_outcome outcome;

        entry_for(&a, word);
        hold(late.old | CELL_AUX);
        points_begin(at, other_commit_comes, NULL);
        outcome = tsu_cell_install(self, &cell, 0, CELL_AUX, 0, &a.entry, 0, &other);
        more = points_end() && !(outcome == TSU_INSTALL_BLOCKED && bare(under(&a)) == late.old);
    }
    EXPECT_EQ(bare(under(&a)), late.old);
    decide(&b, TSU_COMMIT_COMMITTED);
    EXPECT_EQ(tsu_entry_freeze(&b.entry), late.old);
    tsu_version_destroy(self, late.old);
    EXPECT(tsu_version_settle(b.word, 1));
    late.fresh = record(4);
    EXPECT_EQ(late.fresh, late.old);                    /* the same place */
    stale = under(&a);
    more = true;
    for (long at = 0; more; at++) {
        hold(b.word | CELL_AUX);
        tsu_store_relaxed(&a.entry.under, stale);
        points_begin(at, installed_and_written_under, NULL);
        (void)tsu_cell_install(self, &cell, 0, CELL_AUX, 0, &a.entry, stale, &other);
        more = points_end();
        if (more) EXPECT_EQ(cells_value(under(&a)), 4);
    }
    end();
}
#endif

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
