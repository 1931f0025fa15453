/* bag_test.c: records and groups: made, counted, retired and freed, with all that they hold. */
#include "mem/bag.h"
#include "testing/objects.h"
#include "testing/threads.h"

#define MANY 1000             /* objects: more than are freed at once */

static tsu_thread *self;
static long        held[4];   /* references to handle i, which is the number i * 8 */

static void release(uint64_t handle) { held[handle / 8]--; }

static uint64_t begin(void)
{
    uint64_t live = threads_live();

    self = threads_setup();
    tsu_codec.release = release;
    memset(held, 0, sizeof held);
    tsu_pin(self);
    return live;
}

/* All that was retired goes; what is still there then was left out. */
static void end(uint64_t live)
{
    tsu_unpin(self);
    EXPECT_EQ(threads_live(), live);
}

static tsu_record *record(int64_t value)
{
    object_bytes o = object_make_padded(1, 0, value, (size_t)(value % 40));
    tsu_record  *r = tsu_record_create(self, o.bytes, o.len);

    CHECK(r != NULL);
    return r;
}

/* {1, Blob}: the blob is handle 1, of 600 bytes. */
static tsu_record *record_with_handle(void)
{
    uint8_t         buffer[128];
    tsu_writer      w;
    tsu_object_mark mark;
    tsu_record     *r;

    tsu_writer_init(&w, buffer, sizeof buffer);
    tsu_write_object_begin(&w, 2, &mark);
    tsu_write_int(&w, 1);
    held[1]++;
    tsu_write_blob(&w, 600, 8 * 1);
    tsu_write_object_end(&w, 2, &mark);
    CHECK(w.status == TSU_OK);
    r = tsu_record_create(self, w.bytes, w.len);
    CHECK(r != NULL);
    tsu_writer_give(&w);
    tsu_writer_deinit(&w);
    return r;
}

/* `count` objects with the values 0.., the last the newest; on top of `older`. */
static tsu_group *group_on(uint64_t count, tsu_record *older)
{
    tsu_group *g;
    uint64_t   bytes = 0, objects = count;

    for (tsu_record *r = older; r != NULL; r = tsu_record_older(r)) {
        bytes += tsu_record_weight(r);
        objects++;
    }
    for (uint64_t i = 0; i < count; i++) {
        tsu_record *r = record((int64_t)i);

        tsu_record_chain(r, older);
        bytes += tsu_record_weight(r);
        older = r;
    }
    g = tsu_group_create(self, older, objects, bytes);
    CHECK(g != NULL);
    return g;
}

/* Belongs to a commit that is not settled yet. */
static tsu_entry *unsettled(uint64_t word)
{
    static tsu_commit commit;
    static tsu_entry  entry;

    entry.commit = &commit;
    entry.word = word;
    tsu_store_relaxed(&commit.state, TSU_COMMIT_COMMITTED | 9 << TSU_COMMIT_TS_SHIFT);
    tsu_store_relaxed(&tsu_cell_version(word)->header, (uint64_t)(uintptr_t)&entry | TSU_HEADER_ENTRY);
    return &entry;
}

static uint64_t tag(const void *version) { return tsu_load_relaxed(&((const tsu_version *)version)->header) & TSU_HEADER_TAG; }

/* --- making -------------------------------------------------------------------------------------- */
TEST(a_record_is_a_copy_with_a_time_of_its_own)
{
    uint64_t     live = begin();
    object_bytes o = object_make(1, 0, 7), same = o;
    tsu_record  *r = tsu_record_create(self, o.bytes, o.len);

    REQUIRE(r != NULL);
    memset(o.bytes, 0, sizeof o.bytes);
    EXPECT_MEM(r->object, same.bytes, same.len);
    EXPECT_EQ(tsu_load_relaxed(&r->version.header), TSU_HEADER_TS);
    EXPECT(tsu_record_weight(r) >= tsu_record_bytes(same.len));
    EXPECT_EQ(tsu_record_weight(r), tsu_slab_round(tsu_record_bytes(same.len)));
    EXPECT_EQ(tsu_version_bytes(tsu_record_word(r)), tsu_record_weight(r));
    EXPECT_EQ(tsu_version_count(tsu_record_word(r)), 1);
    EXPECT(tsu_version_newest(tsu_record_word(r)) == r);
    EXPECT(tsu_record_older(r) == NULL);
#ifdef TSU_DEBUG
    EXPECT_EQ(tsu_load_relaxed(&tsu_slab_live) - live, tsu_record_weight(r));
#endif
    tsu_record_destroy(self, r);
    tsu_record_destroy(self, NULL);
    tsu_record_discard(self, NULL);
    end(live);
}

TEST(an_empty_word_counts_and_weighs_nothing)
{
    uint64_t live = begin();

    EXPECT_EQ(tsu_version_count(tsu_stamp(self)), 0);
    EXPECT_EQ(tsu_version_bytes(tsu_stamp(self)), 0);
    EXPECT_EQ(tsu_version_retire(self, tsu_stamp(self)), 0);
    EXPECT_EQ(tsu_version_retire_all(self, tsu_stamp(self)), 0);
    tsu_version_destroy(self, tsu_stamp(self));
    end(live);
}

TEST(a_group_knows_its_objects_from_the_newest_to_the_oldest)
{
    uint64_t    live = begin(), bytes = 0;
    tsu_group  *g = group_on(5, NULL);
    tsu_record *r;
    int64_t     want = 4;

    EXPECT_EQ(tsu_load_relaxed(&g->version.header), TSU_HEADER_TS);
    EXPECT_EQ(g->base, 0);
    EXPECT_EQ(tsu_version_count(tsu_group_word(g)), 5);
    EXPECT(tsu_version_newest(tsu_group_word(g)) == tsu_group_newest(g));
    for (r = tsu_group_newest(g); r != NULL; r = tsu_record_older(r), want--) {
        EXPECT_EQ(object_value(r->object), want);
        bytes += tsu_record_weight(r);
    }
    EXPECT_EQ(want, -1);
    EXPECT_EQ(tsu_version_bytes(tsu_group_word(g)), bytes + tsu_slab_round(sizeof *g));
    tsu_version_destroy(self, tsu_group_word(g));
    end(live);
}

/* `count` > 1 objects without a group, on top of `oldest`; the word of the newest. */
static uint64_t chain_on(uint64_t count, tsu_record *oldest)
{
    tsu_record *newest = oldest;

    for (uint64_t i = 2; i <= count; i++) {
        tsu_record *r = record((int64_t)i);

        tsu_record_top(r, newest, i, false);
        newest = r;
    }
    return tsu_record_word(newest);
}

TEST(a_chain_is_a_version_by_its_newest_record)
{
    static const uint64_t counts[] = {2, 3, TSU_CHAIN_OBJECTS_MAX};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint64_t    live = begin(), word = chain_on(counts[i], record(1)), bytes = 0;
        tsu_record *r = tsu_version_newest(word);
        int64_t     want = (int64_t)counts[i];

        EXPECT_EQ(tsu_version_count(word), counts[i]);
        EXPECT_EQ(tsu_cell_resolve(self, word), word);
        EXPECT_EQ(tsu_cell_resolve(self, word | TSU_CELL_FROZEN | TSU_CELL_AUX), word);
        for (; r != NULL; r = tsu_record_older(r), want--) {
            EXPECT_EQ(object_value(r->object), want);
            bytes += tsu_record_weight(r);
        }
        EXPECT_EQ(want, 0);
        EXPECT_EQ(tsu_version_bytes(word), bytes);
        tsu_version_destroy(self, word);
        word = chain_on(counts[i], record(1));
        EXPECT_EQ(tsu_version_retire_all(self, word), bytes);
        end(live);
    }
}

static tsu_verdict put_on_top(tsu_edit *edit, tsu_thread *by, uint64_t current)
{
    tsu_record *r = record(9);

    (void)by;
    tsu_record_top(r, tsu_version_newest(current), tsu_version_count(current) + 1, false);
    edit->chained = true;
    edit->put = tsu_record_word(r);
    return TSU_EDIT_PUT;
}

/* Also on top of what has no time yet: it gets it first. */
TEST(an_edit_publishes_the_top_of_a_chain_as_it_is)
{
    uint64_t live = begin();

    for (int undecided = 0; undecided < 2; undecided++) {
        tsu_record *first = record(1);
        tsu_word    cell;
        tsu_edit    edit = {.decide = put_on_top, .exact = true};
        uint64_t    aux = UINT64_C(7) << 48;

        if (undecided) tsu_store_relaxed(&first->version.header, TSU_HEADER_UNDECIDED);
        tsu_store_relaxed(&cell, tsu_record_word(first) | aux);
        for (uint64_t count = 2; count < 5; count++) {
            uint64_t before = tsu_cell_bare(tsu_load_relaxed(&cell));

            EXPECT_EQ(tsu_cell_edit(self, &cell, before, aux, 0, &edit), TSU_CELL_DONE);
            EXPECT_EQ(edit.verdict, TSU_EDIT_PUT);
            EXPECT_EQ(edit.old, before);
            EXPECT_EQ(tsu_load_relaxed(&cell), edit.put | aux);
            EXPECT_EQ(tsu_version_count(edit.put), count);
            EXPECT(tsu_record_older(tsu_version_newest(edit.put)) == tsu_version_newest(before));
            EXPECT_EQ(tag(first), TSU_HEADER_TS);
        }
        tsu_version_destroy(self, tsu_cell_bare(tsu_load_relaxed(&cell)));
    }
    end(live);
}

#ifdef TSU_DEBUG
TEST(short_of_memory_nothing_is_made)
{
    uint64_t     live = begin();
    object_bytes o = object_make(1, 0, 7);

    tsu_slab_fail_after(0);
    EXPECT(tsu_record_create(self, o.bytes, o.len) == NULL);
    EXPECT(tsu_group_create(self, NULL, 0, 0) == NULL);
    tsu_slab_fail_after(-1);
    end(live);
}
#endif

/* --- handles ---------------------------------------------------------------------------------------- */
TEST(handles_go_with_the_record_that_owns_them)
{
    uint64_t    live = begin();
    tsu_record *r = record_with_handle();

    EXPECT_EQ(held[1], 1);
    tsu_record_discard(self, r);
    EXPECT_EQ(held[1], 1);                   /* they have gone elsewhere */
    held[1] = 0;
    tsu_record_destroy(self, record_with_handle());
    EXPECT_EQ(held[1], 0);
    tsu_version_destroy(self, tsu_record_word(record_with_handle()));
    EXPECT_EQ(held[1], 0);
    (void)tsu_version_retire(self, tsu_record_word(record_with_handle()));
    EXPECT_EQ(held[1], 1);                   /* readers may still follow them */
    end(live);
    EXPECT_EQ(held[1], 0);
}

TEST(what_a_retired_record_holds_weighs_too)
{
    uint64_t    live = begin(), before = self->retired_bytes;
    tsu_record *r = record_with_handle();

    EXPECT_EQ(tsu_version_retire(self, tsu_record_word(r)), tsu_record_weight(r));
    EXPECT(self->retired_bytes - before >= tsu_record_weight(r) + 600);
    end(live);
}

/* --- retiring ----------------------------------------------------------------------------------------- */
TEST(a_retired_version_can_be_read_until_the_last_pin_has_gone)
{
    uint64_t      live = begin();
    tsu_record   *r = record(3);
    tsu_group    *g = group_on(3, NULL);
    tsu_ebr_stats before, after;
    size_t        bytes;

    tsu_ebr_stats_get(&before);
    bytes = tsu_version_retire(self, tsu_record_word(r)) + tsu_version_retire_all(self, tsu_group_word(g));
    EXPECT_EQ(bytes, tsu_record_weight(r) + g->bytes);
    tsu_ebr_stats_get(&after);
    EXPECT_EQ(after.bytes_waiting - before.bytes_waiting, bytes);
    EXPECT_EQ(object_value(r->object), 3);
    EXPECT_EQ(object_value(tsu_group_newest(g)->object), 2);
    EXPECT(tsu_record_older(tsu_group_newest(g)) != NULL);
    end(live);
}

TEST(a_groups_node_goes_alone_when_its_objects_stay)
{
    uint64_t   live = begin();
    tsu_group *old = group_on(3, NULL), *g;

    g = group_on(2, tsu_group_newest(old));            /* shares the three */
    EXPECT_EQ(tsu_version_retire(self, tsu_group_word(old)), tsu_slab_round(sizeof *old));
    tsu_unpin(self);
    tsu_ebr_drain(self);
    tsu_pin(self);
    EXPECT_EQ(object_value(tsu_group_newest(g)->object), 1);
    EXPECT_EQ(g->object_count, 5);
    tsu_version_destroy(self, tsu_group_word(g));
    end(live);
}

TEST(part_of_a_chain_is_retired_up_to_what_stays)
{
    uint64_t    live = begin();
    tsu_group  *g = group_on(6, NULL);
    tsu_record *stays = tsu_group_newest(g), *r;
    size_t      bytes = 0;

    for (int i = 0; i < 4; i++) {
        bytes += tsu_record_weight(stays);
        stays = tsu_record_older(stays);
    }
    EXPECT_EQ(tsu_chain_retire(self, NULL, NULL), 0);
    EXPECT_EQ(tsu_chain_retire(self, NULL, stays), 0);
    EXPECT_EQ(tsu_chain_retire(self, stays, stays), 0);
    EXPECT_EQ(tsu_chain_retire(self, tsu_group_newest(g), stays), bytes);
    tsu_group_destroy(self, g);
    tsu_unpin(self);
    tsu_ebr_drain(self);
    tsu_pin(self);
    EXPECT_EQ(object_value(stays->object), 1);
    r = tsu_record_older(stays);
    EXPECT_EQ(object_value(r->object), 0);
    EXPECT(tsu_record_older(r) == NULL);
    EXPECT_EQ(tsu_chain_retire(self, stays, NULL), tsu_record_weight(stays) + tsu_record_weight(r));
    end(live);
}

TEST(groups_of_any_size_go_whole)
{
    static const uint64_t counts[] = {2, 255, 256, 257, MANY};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        uint64_t   live = begin();
        tsu_group *g = group_on(counts[i], NULL);
        uint64_t   bytes = g->bytes;

        EXPECT_EQ(tsu_version_retire_all(self, tsu_group_word(g)), bytes);
        end(live);
    }
}

/* --- versions that a commit has not settled -------------------------------------------------------------- */
TEST(an_unsettled_version_stays_for_the_settler)
{
    uint64_t    live = begin();
    tsu_record *r = record(1);
    tsu_group  *g = group_on(2, NULL);
    tsu_record *newest = tsu_group_newest(g);

    (void)unsettled(tsu_record_word(r));
    EXPECT_EQ(tsu_version_retire(self, tsu_record_word(r)), tsu_record_weight(r));       /* the table has them back */
    EXPECT_EQ(tag(r), TSU_HEADER_DROPPED);
    (void)unsettled(tsu_group_word(g));
    EXPECT_EQ(tsu_version_retire_all(self, tsu_group_word(g)), g->bytes);
    EXPECT_EQ(tag(g), TSU_HEADER_DROPPED);
    tsu_unpin(self);
    tsu_ebr_drain(self);
    tsu_pin(self);
    EXPECT_EQ(tag(r), TSU_HEADER_DROPPED);           /* still there */
    EXPECT_EQ(object_value(r->object), 1);
    EXPECT(tsu_group_newest(g) == newest);
    EXPECT(!tsu_version_settle(tsu_record_word(r), 9));
    EXPECT(!tsu_version_settle(tsu_group_word(g), 9));
    EXPECT_EQ(tsu_version_retire(self, tsu_record_word(r)), tsu_record_weight(r));
    EXPECT_EQ(tsu_version_retire(self, tsu_group_word(g)), tsu_slab_round(sizeof *g));
    end(live);
}

TEST(an_unsettled_object_of_a_group_stays_for_the_settler)
{
    static const uint64_t counts[] = {2, MANY};

    for (int i = 0; i < 4; i++) {
        uint64_t    live = begin();
        tsu_record *r = record(77);
        tsu_group  *g;

        (void)unsettled(tsu_record_word(r));
        g = group_on(counts[i / 2], r);
        if (i % 2) (void)tsu_version_retire_all(self, tsu_group_word(g));
        else tsu_version_destroy(self, tsu_group_word(g));
        tsu_unpin(self);
        tsu_ebr_drain(self);
        tsu_pin(self);
        EXPECT_EQ(tag(r), TSU_HEADER_DROPPED);
        EXPECT_EQ(object_value(r->object), 77);
        EXPECT(!tsu_version_settle(tsu_record_word(r), 9));
        (void)tsu_version_retire(self, tsu_record_word(r));
        end(live);
    }
}

TEST(an_unsettled_object_at_the_end_of_a_chain_stays_for_the_settler)
{
    for (int all = 0; all < 2; all++) {
        uint64_t    live = begin(), word;
        tsu_record *r = record(77);

        (void)unsettled(tsu_record_word(r));
        word = chain_on(3, r);
        EXPECT_EQ(tsu_version_count(word), 3);
        if (all) (void)tsu_version_retire_all(self, word);
        else tsu_version_destroy(self, word);
        tsu_unpin(self);
        tsu_ebr_drain(self);
        tsu_pin(self);
        EXPECT_EQ(tag(r), TSU_HEADER_DROPPED);
        EXPECT(!tsu_version_settle(tsu_record_word(r), 9));
        (void)tsu_version_retire(self, tsu_record_word(r));
        end(live);
    }
}

TEST(of_a_large_unsettled_group_the_objects_go_and_the_node_stays)
{
    uint64_t   live = begin();
    tsu_group *g = group_on(MANY, NULL);

    (void)unsettled(tsu_group_word(g));
    EXPECT_EQ(tsu_version_retire_all(self, tsu_group_word(g)), g->bytes);
    tsu_unpin(self);
    if (threads_live() != 0) EXPECT_EQ(threads_live() - live, tsu_slab_round(sizeof *g));
    tsu_pin(self);
    EXPECT(!tsu_version_settle(tsu_group_word(g), 9));
    (void)tsu_version_retire(self, tsu_group_word(g));
    end(live);
}

TEST(what_an_aborted_commit_brought_keeps_its_header_until_it_is_freed)
{
    uint64_t    live = begin();
    tsu_record *r = record(1), *other = record(2);
    tsu_group  *g = tsu_group_create(self, other, 2, 0);

    (void)unsettled(tsu_record_word(r));
    tsu_version_retire_aborted(self, tsu_record_word(r));
    EXPECT_EQ(tag(r), TSU_HEADER_ENTRY);
    (void)unsettled(tsu_group_word(g));
    tsu_version_retire_aborted(self, tsu_group_word(g));
    EXPECT_EQ(tag(g), TSU_HEADER_ENTRY);
    tsu_unpin(self);
    tsu_ebr_drain(self);
    tsu_pin(self);
    EXPECT_EQ(object_value(other->object), 2);       /* the node alone */
    tsu_record_destroy(self, other);
    end(live);
}

/* --- a bit at a time --------------------------------------------------------------------------------------- */
TEST(a_group_is_reaped_within_a_budget)
{
    uint64_t   live = begin();
    tsu_group *g = group_on(10, NULL);

    EXPECT(!tsu_group_reap(self, g, 0));
    EXPECT(!tsu_group_reap(self, g, 4));
    EXPECT_EQ(object_value(tsu_group_newest(g)->object), 5);
    EXPECT(!tsu_group_reap(self, g, 5));
    EXPECT_EQ(object_value(tsu_group_newest(g)->object), 0);
    EXPECT(tsu_group_reap(self, g, 1));
    g = group_on(3, NULL);
    EXPECT(tsu_group_reap(self, g, 3));
    g = tsu_group_create(self, NULL, 0, 0);
    EXPECT(tsu_group_reap(self, g, 0));
    end(live);
}

static tsu_group *deferred;

static void defer(tsu_thread *by, tsu_group *group)
{
    (void)by;
    EXPECT(deferred == NULL);
    deferred = group;
}

TEST(large_groups_are_freed_elsewhere_and_small_ones_on_the_spot)
{
    uint64_t   live = begin();
    tsu_group *g = group_on(MANY, NULL);

    tsu_group_defer = defer;
    tsu_version_destroy(self, tsu_group_word(group_on(4, NULL)));
    EXPECT(deferred == NULL);
    tsu_version_destroy(self, tsu_group_word(g));
    EXPECT(deferred == g);
    while (!tsu_group_reap(self, g, 64)) { }
    deferred = NULL;
    g = group_on(MANY, NULL);
    (void)tsu_version_retire_all(self, tsu_group_word(g));
    EXPECT(deferred == NULL);                        /* readers may be in it */
    tsu_unpin(self);
    tsu_ebr_drain(self);
    tsu_pin(self);
    EXPECT(deferred == g);
    EXPECT(tsu_group_reap(self, g, MANY));
    deferred = NULL;
    tsu_group_defer = NULL;
    end(live);
}

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
