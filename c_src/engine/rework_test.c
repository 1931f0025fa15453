/* rework_test.c: scans that stop within a key of a bag, and changes of one, in any pieces, with others between them. */
#include "rework.h"
#include "scan.h"
#include "mem/slab.h"
#include "table.h"
#include "testing/harness.h"
#include "testing/objects.h"

#define OBJECTS 1200

static tsu_thread *setup(void)
{
    CHECK(tsu_engine_open() == TSU_OK);
    return tsu_thread_self();
}

static void put(tsu_thread *self, tsu_table *t, int64_t key, int64_t value)
{
    object_bytes o = object_make(key, 0, value);

    tsu_pin(self);
    CHECK(tsu_insert(self, t, o.bytes, o.len) == TSU_OK);
    tsu_unpin(self);
}

/* Keys 1 to 9 have one object, key 5 has OBJECTS. */
static tsu_table *filled(tsu_thread *self, tsu_table_type type)
{
    tsu_table *t = NULL;

    tsu_pin(self);
    CHECK(tsu_table_create(self, type, 1, &t) == TSU_OK);
    tsu_unpin(self);
    for (int64_t k = 1; k < 10; k++)
        for (int64_t v = 0; v < (k == 5 ? OBJECTS : 1); v++) put(self, t, k, v);
    return t;
}

static void done_with(tsu_thread *self, tsu_table *t)
{
    tsu_table_destroy(self, t);
    tsu_engine_sync(self);
#ifdef TSU_DEBUG
    EXPECT_EQ(tsu_load_relaxed(&tsu_slab_live), 0);
#endif
    tsu_engine_close();
}

/* ---- Scans ---- */

typedef struct seen {
    int     count[OBJECTS + 1], others, anew;
    size_t  total, stop;
    bool    many, refuse;
} seen;

static bool see(void *ctx, const uint8_t *object)
{
    seen *s = ctx;
    int   variant;

    if (object_key_of(object, &variant) == 5 && object_value(object) <= OBJECTS) s->count[object_value(object)]++;
    else s->others++;
    return ++s->total % s->stop != 0;
}

static bool see_many(void *ctx, bool anew)
{
    seen *s = ctx;

    EXPECT_EQ(s->many, anew);
    s->many = true;
    if (anew) {
        s->anew++;
        memset(s->count, 0, sizeof s->count);
    }
    return !s->refuse;
}

/* All of the table, each run in a pin of its own; `between` is called after each that stopped within the key. */
static void scan_all(tsu_thread *self, tsu_table *t, seen *s, void (*between)(tsu_thread *self, tsu_table *t, seen *s))
{
    tsu_scan scan = {.plan = &tsu_plan_all, .direction = TSU_FORWARD, .many = see_many};
    uint8_t  from[64];
    bool     done = false;

    while (!done) {
        tsu_pin(self);
        done = tsu_scan_run(self, t, &scan, 4000, see, s);
        if (scan.from != NULL) {
            memmove(from, scan.from, scan.from_len);
            scan.from = from;
        }
        tsu_unpin(self);
        if (scan.within && between != NULL) between(self, t, s);
    }
    EXPECT_EQ(scan.within, false);
}

TEST(a_scan_stops_within_a_key_and_shows_each_object_once)
{
    tsu_thread *self = setup();
    tsu_table  *t = filled(self, TSU_BAG);

    for (size_t stop = 1; stop < 5000; stop = stop * 3 + 1) {
        seen s = {.stop = stop};

        scan_all(self, t, &s, NULL);
        EXPECT_EQ(s.total, OBJECTS + 8);
        EXPECT_EQ(s.others, 8);
        EXPECT(s.many);
        for (int i = 0; i < OBJECTS; i++) EXPECT_EQ(s.count[i], 1);
    }
    done_with(self, t);
}

TEST(a_scan_leaves_out_a_key_with_many_objects_if_told_so)
{
    tsu_thread *self = setup();
    tsu_table  *t = filled(self, TSU_DUPLICATE_BAG);
    seen        s = {.stop = 3, .refuse = true};

    scan_all(self, t, &s, NULL);
    EXPECT_EQ(s.total, 8);
    EXPECT(s.many);
    done_with(self, t);
}

static void change_twice(tsu_thread *self, tsu_table *t, seen *s)
{
    if (s->anew < 2) put(self, t, 5, OBJECTS);
}

static void change_always(tsu_thread *self, tsu_table *t, seen *s)
{
    (void)s;
    put(self, t, 5, 0);
}

static void remove_key(tsu_thread *self, tsu_table *t, seen *s)
{
    object_bytes k = object_key(5, 0);

    (void)s;
    tsu_pin(self);
    CHECK(tsu_delete(self, t, k.bytes, k.len) == TSU_OK);
    tsu_unpin(self);
}

TEST(a_key_that_changes_begins_anew)
{
    tsu_thread *self = setup();
    tsu_table  *t = filled(self, TSU_DUPLICATE_BAG);
    seen        s = {.stop = 100};
    int         total = 0;

    scan_all(self, t, &s, change_twice);
    EXPECT_EQ(s.anew, 2);
    for (int i = 0; i < OBJECTS; i++) EXPECT_EQ(s.count[i], 1);
    EXPECT_EQ(s.count[OBJECTS], 2);
    s = (seen){.stop = 100};
    scan_all(self, t, &s, change_always);
    EXPECT_EQ(s.anew, 8);
    for (int i = 0; i <= OBJECTS; i++) total += s.count[i];
    EXPECT_EQ(total, OBJECTS + 2 + 8);
    s = (seen){.stop = 100};
    scan_all(self, t, &s, remove_key);
    EXPECT_EQ(s.anew, 1);
    for (int i = 0; i <= OBJECTS; i++) EXPECT_EQ(s.count[i], 0);
    EXPECT_EQ(s.others, 8);
    done_with(self, t);
}

/* ---- Changes ---- */

/* Values below `remove` go; of those up to `put` each becomes its negative; that of `fail` fails. */
typedef struct job {
    tsu_update   update;
    int64_t      remove, put, fail;
    object_bytes made;
    int          asked;
} job;

static tsu_verdict decide(tsu_update *update, const uint8_t *old, const uint8_t **out, size_t *len)
{
    job    *j = (job *)update;
    int64_t v;

    j->asked++;
    if (old == NULL) return TSU_EDIT_KEEP;
    v = object_value(old);
    if (v == j->fail) return TSU_EDIT_FAIL;
    if (v >= j->put) return TSU_EDIT_KEEP;
    update->hits++;
    if (v < j->remove) return TSU_EDIT_REMOVE;
    j->made = object_make(5, 0, -v);
    *out = j->made.bytes;
    *len = j->made.len;
    return TSU_EDIT_PUT;
}

static void unused(tsu_update *update, const uint8_t *object)
{
    (void)update;
    (void)object;
}

static job job_of(int64_t remove, int64_t change) { return (job){.update = {.fn = decide, .unused = unused}, .remove = remove, .put = change, .fail = -1}; }

static tsu_status rework(tsu_thread *self, tsu_table *t, job *j, size_t budget, tsu_verdict *verdict,
                         void (*between)(tsu_thread *self, tsu_table *t, seen *s))
{
    object_bytes k = object_key(5, 0);
    tsu_rework  *r = NULL;
    seen         s = {0};
    tsu_status   status;

    tsu_pin(self);
    status = tsu_rework_create(self, k.bytes, k.len, &r);
    tsu_unpin(self);
    if (status != TSU_OK) return status;
    do {
        tsu_pin(self);
        status = tsu_rework_run(self, t, r, &j->update, budget, verdict);
        tsu_unpin(self);
        if (status == TSU_AGAIN && between != NULL) {
            between(self, t, &s);
            s.anew++;
        }
    } while (status == TSU_AGAIN);
    tsu_pin(self);
    tsu_rework_destroy(self, r);
    tsu_unpin(self);
    return status;
}

typedef struct values { int64_t value[2 * OBJECTS]; size_t count; } values;

static bool value_add(void *ctx, const uint8_t *object)
{
    values *v = ctx;

    v->value[v->count++] = object_value(object);
    return true;
}

/* What was inserted last is first. */
static void expect_key(tsu_thread *self, tsu_table *t, int64_t removed, int64_t put, int64_t top, size_t more)
{
    static values v;
    object_bytes  k = object_key(5, 0);
    uint64_t      bytes = tsu_table_bytes(t);

    v.count = 0;
    tsu_pin(self);
    tsu_lookup(self, t, k.bytes, k.len, value_add, &v);
    tsu_unpin(self);
    EXPECT_EQ(v.count, (size_t)(top - removed) + more);
    EXPECT_EQ(tsu_table_count(t), v.count + 8);
    EXPECT(v.count == 0 || bytes > v.count * 16);
    for (size_t i = more; i < v.count; i++) {
        int64_t want = top - 1 - (int64_t)(i - more);

        EXPECT_EQ(v.value[i], want < put ? -want : want);
    }
}

static void expect_values(tsu_thread *self, tsu_table *t, size_t count)
{
    static values v;
    object_bytes  k = object_key(5, 0);

    v.count = 0;
    tsu_pin(self);
    tsu_lookup(self, t, k.bytes, k.len, value_add, &v);
    tsu_unpin(self);
    EXPECT_EQ(v.count, count);
}

TEST(a_key_is_changed_in_any_pieces)
{
    tsu_thread *self = setup();

    for (int type = TSU_BAG; type <= TSU_DUPLICATE_BAG; type++)
        for (size_t budget = type == TSU_BAG ? 100 : 1; budget < 10000; budget = budget * 7 + 1)
            for (int what = 0; what < 4; what++) {
                static const int64_t upto[4][2] = {{0, 0}, {700, 700}, {OBJECTS, OBJECTS}, {100, 900}};
                tsu_table  *t = filled(self, (tsu_table_type)type);
                job         j = job_of(upto[what][0], upto[what][1]);
                tsu_verdict verdict;

                EXPECT_EQ(rework(self, t, &j, budget, &verdict, NULL), TSU_OK);
                EXPECT_EQ(verdict, TSU_EDIT_PUT);
                EXPECT_EQ(j.update.hits, (uint64_t)upto[what][1]);
                EXPECT_EQ(j.asked, OBJECTS);
                expect_key(self, t, upto[what][0], upto[what][1], OBJECTS, 0);
                tsu_table_destroy(self, t);
            }
    done_with(self, filled(self, TSU_BAG));
}

TEST(a_key_that_changes_is_changed_all_the_same)
{
    tsu_thread *self = setup();
    tsu_table  *t = filled(self, TSU_DUPLICATE_BAG);
    job         j = job_of(500, 500);
    tsu_verdict verdict;

    EXPECT_EQ(rework(self, t, &j, 100, &verdict, change_twice), TSU_OK);
    EXPECT_EQ(j.update.hits, 500);
    expect_key(self, t, 500, 500, OBJECTS, 2);
    EXPECT(j.asked > OBJECTS);
    j = job_of(600, 600);
    EXPECT_EQ(rework(self, t, &j, 100, &verdict, change_always), TSU_OK);      /* adds zeros, of which the last is not seen */
    EXPECT(j.update.hits >= 107);
    j = job_of(OBJECTS, OBJECTS);
    EXPECT_EQ(rework(self, t, &j, 100, &verdict, remove_key), TSU_OK);
    EXPECT_EQ(j.update.hits, 0);
    EXPECT_EQ(tsu_table_count(t), 8);
    done_with(self, t);
}

TEST(a_batch_that_holds_the_key_comes_before_or_after_a_change)
{
    tsu_thread *self = setup();
    int         blocked = 0;
    bool        over = false;

    for (int steps = 0; !over; steps++) {
        tsu_table   *t = filled(self, TSU_DUPLICATE_BAG);
        object_bytes k = object_key(5, 0);
        tsu_batch   *b = NULL;
        tsu_rework  *r = NULL;
        job          j = job_of(500, 500);
        tsu_verdict  verdict;
        tsu_status   status = TSU_AGAIN, mine;

        tsu_pin(self);
        CHECK(tsu_batch_create(self, t, false, &b) == TSU_OK);
        for (int64_t v = 1; v <= 43; v++) {
            object_bytes o = object_make(v <= 3 ? 5 : v + 100, 0, OBJECTS + v);

            CHECK(tsu_batch_add(self, b, o.bytes, o.len) == TSU_OK);
        }
        for (int i = 0; i < steps && status == TSU_AGAIN; i++) status = tsu_batch_run(self, b, 1);
        over = status == TSU_OK;
        CHECK(tsu_rework_create(self, k.bytes, k.len, &r) == TSU_OK);
        mine = tsu_rework_run(self, t, r, &j.update, 10 * OBJECTS, &verdict);
        if (mine == TSU_AGAIN) blocked++;
        while (status == TSU_AGAIN) status = tsu_batch_run(self, b, 1);
        EXPECT_EQ(status, TSU_OK);
        while (mine == TSU_AGAIN) mine = tsu_rework_run(self, t, r, &j.update, 10 * OBJECTS, &verdict);
        EXPECT_EQ(mine, TSU_OK);
        EXPECT_EQ(j.update.hits, 500);
        tsu_rework_destroy(self, r);
        tsu_batch_destroy(self, b);
        tsu_unpin(self);
        expect_values(self, t, OBJECTS - 500 + 3);
        EXPECT_EQ(tsu_table_count(t), OBJECTS - 500 + 43 + 8);
        tsu_table_destroy(self, t);
    }
    EXPECT(blocked > 0);
    done_with(self, filled(self, TSU_BAG));
}

TEST(a_change_that_fails_or_is_given_up_changes_nothing)
{
    tsu_thread  *self = setup();
    tsu_table   *t = filled(self, TSU_BAG);
    object_bytes k = object_key(5, 0);
    tsu_rework  *r = NULL;
    job          j = job_of(100, 900);
    tsu_verdict  verdict;

    j.fail = 50;
    EXPECT_EQ(rework(self, t, &j, 64, &verdict, NULL), TSU_OK);
    EXPECT_EQ(verdict, TSU_EDIT_FAIL);
    expect_key(self, t, 0, 0, OBJECTS, 0);
    tsu_pin(self);
    CHECK(tsu_rework_create(self, k.bytes, k.len, &r) == TSU_OK);
    EXPECT_EQ(tsu_rework_run(self, t, r, &j.update, 700, &verdict), TSU_AGAIN);
    tsu_rework_destroy(self, r);
    tsu_unpin(self);
    expect_key(self, t, 0, 0, OBJECTS, 0);
#ifdef TSU_DEBUG
    j = job_of(100, 900);
    for (long n = 0, short_of = 1; short_of; n += n < 100 ? 1 : 300) {
        tsu_slab_fail_after(n);
        short_of = rework(self, t, &j, 200, &verdict, NULL) == TSU_NOMEM;
        tsu_slab_fail_after(-1);
        if (short_of) expect_key(self, t, 0, 0, OBJECTS, 0);
    }
    expect_key(self, t, 100, 900, OBJECTS, 0);
#endif
    done_with(self, t);
}

/* ---- Threads ---- */

#define NEW_OBJECTS 100

typedef struct crowd {
    int        role;          /* 0, 1: removes values below 300, 600; 2: inserts; 3: scans */
    tsu_table *table;
    uint64_t   hits;
} crowd;

static void crowd_run(void *arg)
{
    crowd      *c = arg;
    tsu_thread *self = tsu_thread_self();
    tsu_verdict verdict;

    if (c->role < 2) {
        job j = job_of(300 * (c->role + 1), 300 * (c->role + 1));

        EXPECT_EQ(rework(self, c->table, &j, 50, &verdict, NULL), TSU_OK);
        c->hits = j.update.hits;
    } else if (c->role == 2) {
        for (int64_t i = 1; i <= NEW_OBJECTS; i++) put(self, c->table, 5, OBJECTS + i);
    } else {
        for (int round = 0; round < 10; round++) {
            seen s = {.stop = 40};

            scan_all(self, c->table, &s, NULL);
            for (int i = 0; i < OBJECTS; i++) {
                EXPECT(s.count[i] <= 1);
                if (i >= 600) EXPECT_EQ(s.count[i], 1);
                /* what goes goes at one moment */
                if (i > 0 && i < 300) EXPECT_EQ(s.count[i], s.count[0]);
                if (i > 300 && i < 600) EXPECT_EQ(s.count[i], s.count[300]);
            }
        }
    }
}

TEST(threads_change_each_object_once)
{
    tsu_thread *self = setup();
    long        rounds = tsu_test_rounds(10);

    for (long round = 0; round < rounds; round++) {
        tsu_table     *t = filled(self, TSU_DUPLICATE_BAG);
        crowd          crowds[4];
        tsu_env_thread threads[4];

        for (int i = 0; i < 4; i++) crowds[i] = (crowd){.role = i, .table = t};
        for (int i = 0; i < 4; i++) CHECK(tsu_env_thread_start(&threads[i], crowd_run, &crowds[i]));
        for (int i = 0; i < 4; i++) tsu_env_thread_join(&threads[i]);
        EXPECT_EQ(crowds[0].hits + crowds[1].hits, 600);
        EXPECT_EQ(tsu_table_count(t), OBJECTS - 600 + NEW_OBJECTS + 8);
        expect_values(self, t, OBJECTS - 600 + NEW_OBJECTS);
        tsu_table_destroy(self, t);
    }
    done_with(self, filled(self, TSU_BAG));
}

TEST_MAIN
