/* engine_test.c: every call of engine.h against the model; batches half way; counts, bytes and leaks. */
#include "testing/exact.h"
#include "testing/harness.h"
#include "testing/ops.h"

static tsu_thread *setup(void) { return exact_setup(tsu_test_seed()); }

static const char *type_name(tsu_table_type t)
{
    static const char *names[] = {"set", "ordered_set", "bag", "duplicate_bag"};

    return names[t];
}

/* What has been deleted is freed: also what the engine's own thread still holds back. */
static void quiet(tsu_thread *self)
{
    tsu_engine_stats stats;
    int              i;

    for (i = 0; i < 400; i++) {
        tsu_engine_sync(self);
        tsu_engine_stats_get(&stats);
        if (stats.bytes_waiting == 0 && stats.roots_waiting == 0) break;
        usleep(5000);
    }
    EXPECT_EQ(stats.bytes_waiting, 0);
#ifdef TSU_DEBUG
    /* A batch that was given up is in no count while the engine's thread takes it apart. */
    uint64_t live = tsu_load_relaxed(&tsu_slab_live), was = live;
    for (i = 0; i < 3000; i = live == was ? i + 1000 : i + 1) {
        was = live;
        usleep(2000);
        tsu_engine_sync(self);
        live = tsu_load_relaxed(&tsu_slab_live);
    }
#endif
}

typedef struct ground { uint64_t slab; size_t mapped; } ground;

static ground ground_now(tsu_thread *self)
{
    quiet(self);
#ifdef TSU_DEBUG
    return (ground){tsu_load_relaxed(&tsu_slab_live), tsu_env_bytes_mapped()};
#else
    return (ground){0, 0};
#endif
}

static void expect_ground(tsu_thread *self, ground before)
{
    ground now = ground_now(self);

    EXPECT_EQ(now.slab, before.slab);
}

static void pin(tsu_thread *self) { tsu_pin(self); }

/* Counts and bytes are what a walk finds, and the structure is sound. Quiet tables. */
static void expect_exact(tsu_thread *self, tsu_table *t)
{
    const char *fault = exact_fault(self, t, false);

    EXPECT_STR(fault != NULL ? fault : "exact", "exact");
}

/* --- random programs; batches half way -------------------------------------------------------- */
/* What the table may be, as far as has been seen: a batch that runs may have taken place or not. */
#define BATCHES 2
#define WORLDS_MAX 400

enum fate { NO_BATCH, PENDING, DONE, REFUSED };

typedef struct world {
    model     m;
    enum fate fate[BATCHES];
} world;

typedef struct program {
    tsu_thread    *self;
    tsu_table     *table;
    tsu_table_type type;
    uint64_t       rng;
    world         *worlds, *next;
    size_t         world_count;
    int            keys, values;
    struct running {
        tsu_batch   *batch;
        bool         new_only;
        size_t       count;
        model_object list[12];
    } running[BATCHES];
    bool           broken;
} program;

static void world_add(world *list, size_t *count, const world *w)
{
    size_t i;

    for (i = 0; i < *count; i++)
        if (memcmp(list[i].fate, w->fate, sizeof w->fate) == 0 && model_equal(&list[i].m, &w->m)) return;
    CHECK(*count < WORLDS_MAX);
    list[(*count)++] = *w;
}

/* Batches may take place at any moment. */
static void worlds_close(program *p)
{
    size_t i;
    int    b;

    for (i = 0; i < p->world_count; i++)
        for (b = 0; b < BATCHES; b++) {
            world w = p->worlds[i];

            if (w.fate[b] != PENDING) continue;
            w.fate[b] = model_insert_list(&w.m, p->running[b].list, p->running[b].count, p->running[b].new_only)
                            ? DONE : REFUSED;
            world_add(p->worlds, &p->world_count, &w);
        }
}

static void worlds_filter_fate(program *p, int b, enum fate fate)
{
    size_t i, n = 0;

    worlds_close(p);
    for (i = 0; i < p->world_count; i++)
        if (p->worlds[i].fate[b] == fate) {
            world w = p->worlds[i];

            w.fate[b] = NO_BATCH;
            world_add(p->next, &n, &w);
        }
    memcpy(p->worlds, p->next, n * sizeof *p->worlds);
    p->world_count = n;
    if (n == 0) {
        TSU_TEST_FAILED("no order of events explains how a batch on a %s ended (%d)", type_name(p->type), fate);
        p->broken = true;
    }
}

static model_object draw(program *p)
{
    return (model_object){(int32_t)tsu_rand_below(&p->rng, (uint64_t)p->keys), tsu_rand_below(&p->rng, 8) == 0,
                          (int64_t)tsu_rand_below(&p->rng, (uint64_t)p->values)};
}

static void step_op(program *p, const op *o)
{
    static answer got, want;
    size_t        i, n = 0;

    pin(p->self);
    op_on_table(p->self, p->table, o, &got);
    tsu_unpin(p->self);
    if (got.status == TSU_AGAIN) {
        bool any = false;

        for (i = 0; i < BATCHES; i++) any |= p->running[i].batch != NULL;
        EXPECT(any);
        return;
    }
    worlds_close(p);
    for (i = 0; i < p->world_count; i++) {
        world w = p->worlds[i];

        op_on_model(&w.m, o, &want);
        if (answer_equal(&got, &want)) world_add(p->next, &n, &w);
    }
    if (n == 0) {
        TSU_TEST_FAILED("no order of events explains an answer of %s {%d,%d,%lld} on a %s", op_name(o->kind), o->object.key,
                        o->object.variant, (long long)o->object.value, type_name(p->type));
        answer_print("got", &got);
        op_on_model(&p->worlds[0].m, o, &want);
        answer_print("first of those possible", &want);
        p->broken = true;
        return;
    }
    memcpy(p->worlds, p->next, n * sizeof *p->worlds);
    p->world_count = n;
}

static void batch_begin(program *p, int b)
{
    struct running *r = &p->running[b];
    size_t          i;

    r->new_only = tsu_rand_below(&p->rng, 2);
    r->count = tsu_rand_below(&p->rng, 12);
    pin(p->self);
    REQUIRE(tsu_batch_create(p->self, p->table, r->new_only, &r->batch) == TSU_OK);
    for (i = 0; i < r->count; i++) {
        object_bytes o;

        r->list[i] = draw(p);
        o = object_make(r->list[i].key, r->list[i].variant, r->list[i].value);
        EXPECT_EQ(tsu_batch_add(p->self, r->batch, o.bytes, o.len), TSU_OK);
    }
    tsu_unpin(p->self);
    for (i = 0; i < p->world_count; i++) p->worlds[i].fate[b] = PENDING;
}

static void batch_end(program *p, int b)
{
    tsu_batch_destroy(p->self, p->running[b].batch);
    p->running[b].batch = NULL;
}

static void batch_step(program *p, int b)
{
    tsu_status s;

    pin(p->self);
    s = tsu_batch_run(p->self, p->running[b].batch, 1 + tsu_rand_below(&p->rng, 4));
    tsu_unpin(p->self);
    if (s == TSU_AGAIN) return;
    batch_end(p, b);
    EXPECT(s == TSU_OK || s == TSU_EXISTS);
    worlds_filter_fate(p, b, s == TSU_OK ? DONE : REFUSED);
}

/* Given up: it has taken place or not, and from now on that is settled. */
static void batch_drop(program *p, int b)
{
    size_t i, n = 0;

    worlds_close(p);
    batch_end(p, b);
    for (i = 0; i < p->world_count; i++) {
        world w = p->worlds[i];

        w.fate[b] = NO_BATCH;
        world_add(p->next, &n, &w);
    }
    memcpy(p->worlds, p->next, n * sizeof *p->worlds);
    p->world_count = n;
}

static void run_program(tsu_thread *self, tsu_table_type type, uint64_t seed, int steps, bool clears)
{
    static world worlds[WORLDS_MAX], next[WORLDS_MAX];
    program      p = {.self = self, .type = type, .rng = seed, .worlds = worlds, .next = next, .world_count = 1};
    int          i, b, without;
    ground       before = ground_now(self);
    op           o;

    p.keys = tsu_rand_below(&p.rng, 2) ? 3 : 12;
    p.values = tsu_rand_below(&p.rng, 2) ? 2 : 1000;
    without = (int)tsu_rand_below(&p.rng, OP_KINDS * 2);
    memset(&worlds[0], 0, sizeof worlds[0]);
    model_init(&worlds[0].m, type);
    pin(self);
    REQUIRE(tsu_table_create(self, type, 1, &p.table) == TSU_OK);
    tsu_unpin(self);
    for (i = 0; i < steps && !p.broken; i++) {
        uint64_t dice = tsu_rand_below(&p.rng, 12);

        b = (int)tsu_rand_below(&p.rng, BATCHES);
        if (dice < 2 && p.running[b].batch == NULL && p.worlds[0].m.count < 100) {
            batch_begin(&p, b);
        } else if (dice < 5 && p.running[b].batch != NULL) {
            if (tsu_rand_below(&p.rng, 10) == 0) batch_drop(&p, b);
            else batch_step(&p, b);
        } else {
            o = (op){(op_kind)tsu_rand_below(&p.rng, OP_KINDS), draw(&p)};
            if ((int)o.kind == without) continue;
            if (p.worlds[0].m.count > 120 && o.kind <= OP_INSERT_NEW) o.kind = OP_TAKE;
            /* a batch that is running does not follow into the new contents: tried elsewhere */
            if (o.kind == OP_CLEAR && (!clears || p.running[0].batch != NULL || p.running[1].batch != NULL)) o.kind = OP_WALK;
            step_op(&p, &o);
        }
        if (p.broken) printf("    step %d of program seed %llu\n", i, (unsigned long long)seed);
    }
    for (b = 0; b < BATCHES; b++)
        if (p.running[b].batch != NULL) batch_drop(&p, b);
    o = (op){.kind = OP_WALK};
    if (!p.broken) step_op(&p, &o);
    expect_exact(self, p.table);
    EXPECT(p.broken || tsu_table_count(p.table) == p.worlds[0].m.count);
    tsu_table_destroy(self, p.table);
    expect_ground(self, before);
}

static void run_programs(tsu_table_type type)
{
    tsu_thread *self = setup();
    uint64_t    rng = tsu_test_seed() + type;
    long        i, rounds = tsu_test_rounds(150);

    for (i = 0; i < rounds && tsu_test_state.failures == 0; i++) run_program(self, type, tsu_rand(&rng), 300, i % 2);
}

TEST(random_programs_with_batches_half_way_answer_like_the_model_on_a_set) { run_programs(TSU_SET); }
TEST(random_programs_with_batches_half_way_answer_like_the_model_on_a_bag) { run_programs(TSU_BAG); }
TEST(random_programs_with_batches_half_way_answer_like_the_model_on_a_duplicate_bag) { run_programs(TSU_DUPLICATE_BAG); }
TEST(random_programs_with_batches_half_way_answer_like_the_model_on_an_ordered_set) { run_programs(TSU_ORDERED_SET); }

/* --- batches given up ---------------------------------------------------------------------------- */
static tsu_batch *batch_of(tsu_thread *self, tsu_table *t, bool new_only, int from, int to, int64_t value)
{
    tsu_batch *b = NULL;
    int        i;

    CHECK(tsu_batch_create(self, t, new_only, &b) == TSU_OK);
    for (i = from; i < to; i++) {
        object_bytes o = object_make((i * 7919) % 100003, 0, value + i);

        EXPECT_EQ(tsu_batch_add(self, b, o.bytes, o.len), TSU_OK);
    }
    return b;
}

TEST(a_batch_given_up_after_any_step_is_all_in_or_not_at_all)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    int         type, steps, size, existing;

    for (type = 0; type < 4; type++)
        for (size = 3; size <= 300; size += 297)
            for (existing = 0; existing < 2; existing++)
                for (steps = 0;; steps += size > 10 ? 37 : 1) {
                    tsu_table *t;
                    tsu_batch *b;
                    tsu_status s = TSU_AGAIN;
                    uint64_t   had = existing ? (uint64_t)size / 2 : 0, full;
                    int        i;

                    pin(self);
                    REQUIRE(tsu_table_create(self, (tsu_table_type)type, 1, &t) == TSU_OK);
                    for (i = 0; i < (int)had; i++) {
                        object_bytes o = object_make((i * 7919) % 100003, 0, -1);

                        EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
                    }
                    full = type <= TSU_ORDERED_SET ? (uint64_t)size : (uint64_t)size + had;
                    b = batch_of(self, t, false, 0, size, 5);
                    for (i = 0; i < steps && s == TSU_AGAIN; i++) s = tsu_batch_run(self, b, 1);
                    tsu_unpin(self);
                    tsu_batch_destroy(self, b);
                    tsu_engine_sync(self);
                    EXPECT(tsu_table_count(t) == had || tsu_table_count(t) == full);
                    expect_exact(self, t);
                    tsu_table_destroy(self, t);
                    if (s != TSU_AGAIN) break;
                }
    expect_ground(self, before);
}

TEST(a_batch_cancelled_after_any_step_says_whether_it_is_in)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    int         type, steps, size;

    for (type = 0; type < 4; type++)
        for (size = 3; size <= 300; size += 297)
            for (steps = 0;; steps += size > 10 ? 37 : 1) {
                tsu_table *t;
                tsu_batch *b;
                tsu_status s = TSU_AGAIN;
                bool       cancelled;
                int        i;

                pin(self);
                REQUIRE(tsu_table_create(self, (tsu_table_type)type, 1, &t) == TSU_OK);
                b = batch_of(self, t, false, 0, size, 5);
                for (i = 0; i < steps && s == TSU_AGAIN; i++) s = tsu_batch_run(self, b, 1);
                cancelled = tsu_batch_cancel(b);
                EXPECT(s == TSU_AGAIN || !cancelled);
                EXPECT_EQ(tsu_batch_cancel(b), cancelled);
                EXPECT_EQ(tsu_table_count(t), cancelled ? 0u : (uint64_t)size);
                if (!cancelled)
                    while (s == TSU_AGAIN) s = tsu_batch_run(self, b, 1);
                EXPECT(cancelled || s == TSU_OK);
                tsu_unpin(self);
                tsu_batch_destroy(self, b);
                tsu_engine_sync(self);
                EXPECT_EQ(tsu_table_count(t), cancelled ? 0u : (uint64_t)size);
                expect_exact(self, t);
                tsu_table_destroy(self, t);
                if (!cancelled) break;
            }
    expect_ground(self, before);
}

TEST(a_table_destroyed_under_a_batch_and_the_batch_given_up_leak_nothing)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    int         type, steps;

    for (type = 0; type < 4; type++)
        for (steps = 0; steps < 40; steps++) {
            tsu_table *t;
            tsu_batch *b;
            int        i;

            pin(self);
            REQUIRE(tsu_table_create(self, (tsu_table_type)type, 1, &t) == TSU_OK);
            b = batch_of(self, t, steps % 2, 0, 9, 1);
            for (i = 0; i < steps; i++)
                if (tsu_batch_run(self, b, 1) != TSU_AGAIN) break;
            tsu_unpin(self);
            tsu_table_destroy(self, t);
            if (steps % 3) tsu_engine_sync(self);
            tsu_batch_destroy(self, b);
        }
    expect_ground(self, before);
}

TEST(a_bag_batch_may_be_deleted_by_others_before_it_is_settled)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    int         type, run, each;

    for (type = TSU_BAG; type <= TSU_DUPLICATE_BAG; type++)
        for (each = 1; each <= 400; each += 399)
            for (run = 1; run < 60; run++) {
                object_bytes key = object_key(1, 0);
                tsu_table   *t;
                tsu_batch   *b;
                tsu_status   s = TSU_AGAIN;
                int          i;

                pin(self);
                REQUIRE(tsu_table_create(self, (tsu_table_type)type, 1, &t) == TSU_OK);
                REQUIRE(tsu_batch_create(self, t, false, &b) == TSU_OK);
                for (i = 0; i < each * 3; i++) {
                    object_bytes o = object_make(1 + i % 3, 0, i);

                    EXPECT_EQ(tsu_batch_add(self, b, o.bytes, o.len), TSU_OK);
                }
                for (i = 0; i < run && s == TSU_AGAIN; i++) s = tsu_batch_run(self, b, (size_t)each);
                for (i = 1; i <= 3; i++) {
                    key = object_key(i, 0);
                    (void)tsu_delete(self, t, key.bytes, key.len);
                }
                tsu_unpin(self);
                for (i = 0; i < 4; i++) tsu_engine_sync(self);
                while (s == TSU_AGAIN) {
                    pin(self);
                    s = tsu_batch_run(self, b, (size_t)each);
                    tsu_unpin(self);
                }
                EXPECT_EQ(s, TSU_OK);
                tsu_batch_destroy(self, b);
                tsu_engine_sync(self);
                expect_exact(self, t);
                tsu_table_destroy(self, t);
            }
    expect_ground(self, before);
}

/* --- fixing, clearing ----------------------------------------------------------------------------- */
static bool ignore(void *ctx, const uint8_t *object)
{
    (void)ctx;
    (void)object;
    return true;
}

TEST(a_fixed_table_goes_on_from_a_deleted_key_until_it_is_unfixed)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    int         type, way, i;

    for (type = 0; type < 4; type++)
        for (way = 0; way < 3; way++) {
            object_bytes key = object_key(5, 0), o;
            bool         found, present;
            tsu_table   *t;

            if (type == TSU_ORDERED_SET) continue;
            pin(self);
            REQUIRE(tsu_table_create(self, (tsu_table_type)type, 1, &t) == TSU_OK);
            for (i = 0; i < 10; i++) {
                o = object_make(i, 0, i);
                EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
            }
            EXPECT_EQ(tsu_table_fix(self, t), TSU_OK);
            o = object_make(5, 0, 5);
            if (way == 0) EXPECT_EQ(tsu_delete(self, t, key.bytes, key.len), TSU_OK);
            if (way == 1) EXPECT_EQ(tsu_delete_object(self, t, o.bytes, o.len), TSU_OK);
            if (way == 2) EXPECT_EQ(tsu_clear(self, t), TSU_OK);
            EXPECT(!tsu_member(self, t, key.bytes, key.len));
            EXPECT_EQ(tsu_table_count(t), way == 2 ? 0 : 9);
            tsu_step(self, t, key.bytes, key.len, TSU_FORWARD, ignore, NULL, &found, &present);
            EXPECT(present);
            if (way == 2) EXPECT(!found);
            tsu_table_unfix(self, t);
            tsu_step(self, t, key.bytes, key.len, TSU_FORWARD, ignore, NULL, &found, &present);
            EXPECT(!present);
            tsu_unpin(self);
            expect_exact(self, t);
            tsu_table_destroy(self, t);
        }
    expect_ground(self, before);
}

/* --- order and size ---------------------------------------------------------------------------------- */
typedef struct seen { uint8_t *times; size_t last; int64_t low; bool disorder; } seen;

static bool see(void *ctx, const uint8_t *object)
{
    seen   *s = ctx;
    int     variant;
    int64_t key = object_key_of(object, &variant);

    s->times[key]++;
    s->disorder |= key < s->low;
    s->low = key;
    return true;
}

TEST(a_growing_and_shrinking_table_keeps_every_key)
{
    enum { MANY = 60000 };
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    uint8_t    *times = malloc(MANY);
    int         type, i;

    for (type = 0; type < 4; type++) {
        tsu_table *t;
        seen       s = {times, 0, -1, false};
        bool       done;
        size_t     wrong = 0;

        pin(self);
        REQUIRE(tsu_table_create(self, (tsu_table_type)type, 1, &t) == TSU_OK);
        for (i = 0; i < MANY; i++) {
            object_bytes o = object_make(i, 0, i);

            wrong += tsu_insert(self, t, o.bytes, o.len) != TSU_OK;
            if (i % 1000 == 0) { tsu_unpin(self); pin(self); }
        }
        EXPECT_EQ(tsu_table_count(t), MANY);
        memset(times, 0, MANY);
        tsu_walk(self, t, NULL, 0, TSU_FORWARD, SIZE_MAX, see, &s, &done);
        for (i = 0; i < MANY; i++) wrong += times[i] != 1;
        EXPECT(type != TSU_ORDERED_SET || !s.disorder);
        tsu_unpin(self);
        expect_exact(self, t);
        pin(self);
        for (i = 0; i < MANY; i++) {
            object_bytes k = object_key(i, 0);

            wrong += !tsu_member(self, t, k.bytes, k.len);
            if (i % 16 == 3) continue;
            wrong += tsu_delete(self, t, k.bytes, k.len) != TSU_OK;
            wrong += tsu_member(self, t, k.bytes, k.len);
            if (i % 1000 == 0) { tsu_unpin(self); pin(self); }
        }
        tsu_unpin(self);
        EXPECT_EQ(wrong, 0);
        EXPECT_EQ(tsu_table_count(t), MANY / 16);
        expect_exact(self, t);
        tsu_table_destroy(self, t);
    }
    free(times);
    expect_ground(self, before);
}

typedef struct shrinker { tsu_thread *self; tsu_table *t; uint8_t *times; int seen, kept; } shrinker;

static bool see_and_shrink(void *ctx, const uint8_t *object)
{
    shrinker *s = ctx;
    int       variant, i;
    int64_t   key = object_key_of(object, &variant);

    s->times[key]++;
    if (++s->seen == 200)
        for (i = s->kept; i < 30000; i++) {
            object_bytes k = object_key(i, 0);

            (void)tsu_delete(s->self, s->t, k.bytes, k.len);
        }
    return true;
}

TEST(a_walk_sees_no_key_twice_while_the_table_shrinks_under_it)
{
    tsu_thread *self = setup();
    uint8_t    *times = calloc(30000, 1);
    shrinker    s = {self, NULL, times, 0, 2000};
    bool        done;
    int         i, missed = 0, twice = 0;

    pin(self);
    REQUIRE(tsu_table_create(self, TSU_SET, 1, &s.t) == TSU_OK);
    for (i = 0; i < 30000; i++) {
        object_bytes o = object_make(i, 0, i);

        (void)tsu_insert(self, s.t, o.bytes, o.len);
    }
    tsu_walk(self, s.t, NULL, 0, TSU_FORWARD, SIZE_MAX, see_and_shrink, &s, &done);
    for (i = 0; i < 30000; i++) twice += times[i] > 1;
    for (i = 0; i < s.kept; i++) missed += times[i] == 0;
    EXPECT_EQ(twice, 0);
    EXPECT_EQ(missed, 0);
    tsu_unpin(self);
    tsu_table_destroy(self, s.t);
    free(times);
}

TEST(slots_of_a_hash_table_show_every_object_once)
{
    tsu_thread *self = setup();
    uint8_t    *times = calloc(5000, 1);
    tsu_table  *t;
    seen        s = {times, 0, -1, false};
    uint64_t    i;
    int         n, past = 0, wrong;

    for (n = 0; n < 5000; n = n * 3 + 1) {
        pin(self);
        REQUIRE(tsu_table_create(self, TSU_SET, 1, &t) == TSU_OK);
        for (i = 0; i < (uint64_t)n; i++) {
            object_bytes o = object_make((int64_t)i, 0, 0);

            (void)tsu_insert(self, t, o.bytes, o.len);
        }
        memset(times, 0, 5000);
        for (i = 0; ; i++) {
            tsu_slot(self, t, i, see, &s, &past);
            if (past != 0) break;
        }
        EXPECT_EQ(past, 1);
        tsu_slot(self, t, i + 1, see, &s, &past);
        EXPECT_EQ(past, 2);
        for (wrong = 0, i = 0; i < (uint64_t)n; i++) wrong += times[i] != 1;
        EXPECT_EQ(wrong, 0);
        tsu_unpin(self);
        tsu_table_destroy(self, t);
    }
    free(times);
}

TEST(a_long_batch_under_one_key_is_all_in_or_not_at_all_after_any_step)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    int         type, existing, steps;

    for (type = TSU_BAG; type <= TSU_DUPLICATE_BAG; type++)
        for (existing = 0; existing <= 30; existing = existing * 9 + 1)
            for (steps = 0;; steps++) {
                tsu_table *t;
                tsu_batch *b;
                tsu_status s = TSU_AGAIN;
                uint64_t   full = type == TSU_BAG ? 120 : 200 + (uint64_t)existing;
                int        i;

                pin(self);
                REQUIRE(tsu_table_create(self, (tsu_table_type)type, 1, &t) == TSU_OK);
                for (i = 0; i < existing; i++) {
                    object_bytes o = object_make(1, 0, i);

                    EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
                }
                REQUIRE(tsu_batch_create(self, t, false, &b) == TSU_OK);
                for (i = 0; i < 200; i++) {
                    object_bytes o = object_make(1, 0, i % 120);

                    EXPECT_EQ(tsu_batch_add(self, b, o.bytes, o.len), TSU_OK);
                }
                for (i = 0; i < steps && s == TSU_AGAIN; i++) s = tsu_batch_run(self, b, 9);
                tsu_unpin(self);
                tsu_batch_destroy(self, b);
                tsu_engine_sync(self);
                EXPECT(tsu_table_count(t) == full || (s == TSU_AGAIN && tsu_table_count(t) == (uint64_t)existing));
                expect_exact(self, t);
                tsu_table_destroy(self, t);
                if (s != TSU_AGAIN) break;
            }
    expect_ground(self, before);
}

struct some { int shown, limit; };

static bool show_some(void *ctx, const uint8_t *object)
{
    struct some *s = ctx;

    (void)object;
    return ++s->shown % s->limit != 0;
}

/* What is begun is but the key and a hint: the answer is what is there at the end, whatever has become of the table meanwhile. */
TEST(lookups_begun_together_answer_what_is_there_when_each_is_ended)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);

    for (tsu_table_type type = TSU_SET; type <= TSU_DUPLICATE_BAG; type++)
        for (int change = 0; change < 4; change++) {
            object_bytes keys[16];
            tsu_key      begun[16];
            tsu_table   *t;

            pin(self);
            REQUIRE(tsu_table_create(self, type, 1, &t) == TSU_OK);
            for (int i = 0; i < 16; i++) keys[i] = object_key(i, 0);
            for (int i = 0; i < 16; i += 2) {
                object_bytes o = object_make(i, 0, i);

                EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
            }
            for (int i = 0; i < 16; i++) tsu_lookup_begin(t, keys[i].bytes, keys[i].len, &begun[i]);
            for (int i = 0; change == 1 && i < 2000; i++) {        /* the table grows */
                object_bytes o = object_make(100 + i, 0, i);

                EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
            }
            if (change == 2) EXPECT_EQ(tsu_clear(self, t), TSU_OK);
            for (int i = 0; change == 3 && i < 16; i++) EXPECT_EQ(tsu_delete(self, t, keys[i].bytes, keys[i].len), TSU_OK);
            for (int i = 0; i < 16; i++) {
                struct some some = {0, 2};

                tsu_lookup_end(self, t, &begun[i], show_some, &some);
                EXPECT_EQ(some.shown, change < 2 && i % 2 == 0);
            }
            tsu_unpin(self);
            tsu_table_destroy(self, t);
        }
    expect_ground(self, before);
}

TEST(a_lookup_in_parts_shows_a_key_as_it_was_at_one_moment)
{
    tsu_thread  *self = setup();
    ground       before = ground_now(self);
    object_bytes key = object_key(1, 0), o;
    struct some  some = {0, 50};
    tsu_part     part = {0, NULL};
    tsu_table   *t;
    tsu_status   s = TSU_AGAIN;
    int          i, parts;

    pin(self);
    REQUIRE(tsu_table_create(self, TSU_DUPLICATE_BAG, 1, &t) == TSU_OK);
    EXPECT_EQ(tsu_lookup_part(self, t, key.bytes, key.len, &part, show_some, &some), TSU_OK);
    EXPECT_EQ(some.shown, 0);
    for (i = 0; i < 500; i++) {
        o = object_make(1, 0, i % 7);
        EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
    }
    for (parts = 0; s == TSU_AGAIN; parts++) {
        s = tsu_lookup_part(self, t, key.bytes, key.len, &part, show_some, &some);
        tsu_unpin(self);
        tsu_engine_sync(self);
        pin(self);
    }
    EXPECT_EQ(s, TSU_OK);
    EXPECT_EQ(some.shown, 500);
    EXPECT_EQ(parts, 10);
    part = (tsu_part){0, NULL};
    EXPECT_EQ(tsu_lookup_part(self, t, key.bytes, key.len, &part, show_some, &some), TSU_AGAIN);
    EXPECT_EQ(tsu_delete_object(self, t, o.bytes, o.len), TSU_OK);
    EXPECT_EQ(tsu_lookup_part(self, t, key.bytes, key.len, &part, show_some, &some), TSU_GONE);
    EXPECT_EQ(tsu_take_part(self, t, key.bytes, key.len, &part), TSU_GONE);
    EXPECT(tsu_table_count(t) > 0);
    part = (tsu_part){0, NULL};
    EXPECT_EQ(tsu_lookup_part(self, t, key.bytes, key.len, &part, show_some, &some), TSU_AGAIN);
    EXPECT_EQ(tsu_take_part(self, t, key.bytes, key.len, &part), TSU_OK);
    EXPECT_EQ(tsu_table_count(t), 0);
    tsu_unpin(self);
    tsu_table_destroy(self, t);
    expect_ground(self, before);
}

/* A chain has no stamp to go on by: what stopped in it once answered OK, with its older objects missing. */
TEST(a_lookup_in_parts_that_begins_anew_on_a_few_objects_shows_them_all)
{
    tsu_thread  *self = setup();
    ground       before = ground_now(self);
    object_bytes key = object_key(1, 0), o;
    struct some  some = {0, 16};
    tsu_part     part = {0, NULL};
    tsu_table   *t;
    int          i;

    pin(self);
    REQUIRE(tsu_table_create(self, TSU_DUPLICATE_BAG, 1, &t) == TSU_OK);
    for (i = 0; i < 500; i++) {
        o = object_make(1, 0, i);
        EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
    }
    EXPECT_EQ(tsu_lookup_part(self, t, key.bytes, key.len, &part, show_some, &some), TSU_AGAIN);
    EXPECT_EQ(tsu_delete(self, t, key.bytes, key.len), TSU_OK);
    for (i = 0; i < 100; i++) {
        o = object_make(1, 0, i);
        EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
    }
    EXPECT_EQ(tsu_lookup_part(self, t, key.bytes, key.len, &part, show_some, &some), TSU_GONE);
    part = (tsu_part){0, NULL};
    some.shown = 0;
    EXPECT_EQ(tsu_lookup_part(self, t, key.bytes, key.len, &part, show_some, &some), TSU_OK);
    EXPECT_EQ(some.shown, 100);
    tsu_unpin(self);
    tsu_table_destroy(self, t);
    expect_ground(self, before);
}

/* A thread that is late has seen the entry, then the key with a version that has gone since: it must not put that under the
 * entry when others have found the key absent in between. */
TEST(an_entry_of_an_absent_key_is_marked_anew_by_each_who_finds_it_absent)
{
    tsu_thread *self = setup();
    tsu_commit  commit = {{0}, false}, *other = NULL;
    tsu_entry   entry = {.commit = &commit};
    uint64_t    seen;

    tsu_store_relaxed(&commit.state, TSU_COMMIT_PENDING);
    pin(self);
    EXPECT_EQ(tsu_cell_install(self, NULL, 0, 0, 0, &entry, 0, &other), TSU_INSTALL_VACANT);
    seen = tsu_load_acquire(&entry.under);
    EXPECT_EQ(tsu_cell_install(self, NULL, 0, 0, 0, &entry, seen, &other), TSU_INSTALL_VACANT);
    EXPECT(tsu_load_acquire(&entry.under) != seen);
    tsu_unpin(self);
}

#define MANY_VALUES 600

typedef struct values { int64_t value[MANY_VALUES]; int count, at; } values;

static bool value_is_next(void *ctx, const uint8_t *object)
{
    values *v = ctx;

    v->at--;
    EXPECT(v->at >= 0 && object_value(object) == v->value[v->at]);
    return v->at > 0;
}

static void expect_values(tsu_thread *self, tsu_table *t, values *v)
{
    object_bytes key = object_key(1, 0);

    pin(self);
    v->at = v->count;
    tsu_lookup(self, t, key.bytes, key.len, value_is_next, v);
    EXPECT_EQ(v->at, 0);
    EXPECT_EQ(tsu_table_count(t), v->count);
    tsu_unpin(self);
}

static void values_remove(values *v, int64_t value)
{
    int i, kept = 0;

    for (i = 0; i < v->count; i++)
        if (v->value[i] != value) v->value[kept++] = v->value[i];
    v->count = kept;
}

/* Through chains and groups and back; now and then a list of objects, which leaves a group. */
TEST(the_objects_of_a_key_keep_their_order_however_many_there_are)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    uint64_t    rng = tsu_test_seed();
    int         type, run;

    for (type = TSU_BAG; type <= TSU_DUPLICATE_BAG; type++)
        for (run = 0; run < 12; run++) {
            static values v;
            int           top = (int[]){2, 3, 40, TSU_CHAIN_OBJECTS_MAX - 1, TSU_CHAIN_OBJECTS_MAX, 400}[run % 6];
            int64_t       next = 0;
            tsu_table    *t;

            v.count = 0;
            pin(self);
            REQUIRE(tsu_table_create(self, (tsu_table_type)type, 1, &t) == TSU_OK);
            tsu_unpin(self);
            while (v.count < top) {
                bool         list = run >= 6 && (tsu_rand(&rng) % 50) == 0;
                object_bytes o = object_make(1, 0, next);

                pin(self);
                if (list) {
                    tsu_batch *b;

                    REQUIRE(tsu_batch_create(self, t, false, &b) == TSU_OK);
                    EXPECT_EQ(tsu_batch_add(self, b, o.bytes, o.len), TSU_OK);
                    EXPECT_EQ(tsu_batch_run(self, b, 1000000), TSU_OK);
                    tsu_batch_destroy(self, b);
                } else {
                    EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
                }
                tsu_unpin(self);
                if (type == TSU_DUPLICATE_BAG || v.count == 0 || v.value[v.count - 1] != next) v.value[v.count++] = next;
                next += (tsu_rand(&rng) % 4) != 0;
                if (v.count % 16 == 0) expect_values(self, t, &v);
            }
            expect_values(self, t, &v);
            expect_exact(self, t);
            while (v.count > 0) {
                /* of the newest, of the oldest, of any */
                int          at = (int[]){v.count - 1, 0, (int)(tsu_rand(&rng) % (uint64_t)v.count)}[(tsu_rand(&rng) % 3)];
                object_bytes o = object_make(1, 0, v.value[at]);

                pin(self);
                EXPECT_EQ(tsu_delete_object(self, t, o.bytes, o.len), TSU_OK);
                tsu_unpin(self);
                values_remove(&v, v.value[at]);
                expect_values(self, t, &v);
                if (v.count % 32 == 1 || v.count < 4) expect_exact(self, t);
            }
            tsu_table_destroy(self, t);
        }
    expect_ground(self, before);
}

TEST(a_duplicate_bag_with_very_many_objects_under_one_key_is_freed)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    tsu_table  *t;
    int         i, round, n = 200000;

    for (round = 0; round < 2; round++) {
        object_bytes key = object_key(1, 0);

        pin(self);
        REQUIRE(tsu_table_create(self, TSU_DUPLICATE_BAG, 1, &t) == TSU_OK);
        for (i = 0; i < n; i++) {
            object_bytes o = object_make(1, 0, i % 7);

            EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
            if (i % 1000 == 0) { tsu_unpin(self); pin(self); }
        }
        EXPECT_EQ(tsu_table_count(t), n);
        tsu_unpin(self);
        expect_exact(self, t);
        pin(self);
        if (round == 0) EXPECT_EQ(tsu_delete(self, t, key.bytes, key.len), TSU_OK);
        tsu_unpin(self);
        expect_exact(self, t);
        tsu_table_destroy(self, t);
    }
    expect_ground(self, before);
}

/* ebr.h: without memory for its notes it leaks what is retired, and says so. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:oom_program\n"; }

/* --- memory that runs out ------------------------------------------------------------------------------ */
static void oom_program(tsu_thread *self, tsu_table_type type, void (*fail_after)(long n), long after, bool *refused)
{
    enum { KEYS = 40 };
    static answer got, want;
    uint64_t      rng = (uint64_t)after * 77 + type;
    tsu_table    *t;
    tsu_status    s;
    model         m;
    int           i;

    model_init(&m, type);
    pin(self);
    fail_after(after);
    s = tsu_table_create(self, type, 1, &t);
    if (s != TSU_OK) {
        EXPECT_EQ(s, TSU_NOMEM);
        *refused = true;
        goto over;
    }
    for (i = 0; i < 120; i++) {
        op o = {(op_kind)tsu_rand_below(&rng, OP_WALK), {(int32_t)tsu_rand_below(&rng, KEYS), 0, (int64_t)tsu_rand_below(&rng, 3)}};

        if (o.kind == OP_CLEAR && i % 8) o.kind = OP_INSERT;
        op_on_table(self, t, &o, &got);
        if (got.status == TSU_NOMEM) {
            *refused = true;
            continue;
        }
        op_on_model(&m, &o, &want);
        EXPECT(answer_equal(&got, &want));
        if (i % 40 == 39) {
            model_object list[6];
            tsu_batch   *b = NULL;
            int          k;

            s = tsu_batch_create(self, t, i == 39, &b);
            for (k = 0; k < 6 && s == TSU_OK; k++) {
                object_bytes ob;

                list[k] = (model_object){(int32_t)tsu_rand_below(&rng, KEYS), 0, k};
                ob = object_make(list[k].key, 0, k);
                s = tsu_batch_add(self, b, ob.bytes, ob.len);
            }
            while (s == TSU_OK && (s = tsu_batch_run(self, b, 3)) == TSU_AGAIN) s = TSU_OK;
            if (s == TSU_NOMEM) *refused = true;
            else EXPECT_EQ(model_insert_list(&m, list, 6, i == 39), s == TSU_OK);
            tsu_batch_destroy(self, b);
        }
    }
    fail_after(-1);
    tsu_unpin(self);
    {
        op o = {.kind = OP_WALK};

        pin(self);
        op_on_table(self, t, &o, &got);
        op_on_model(&m, &o, &want);
        EXPECT(answer_equal(&got, &want));
        if (!answer_equal(&got, &want)) { printf("after %ld\n", after); answer_print("got", &got); answer_print("want", &want); }
        tsu_unpin(self);
    }
    tsu_table_destroy(self, t);
    return;
over:
    fail_after(-1);
    tsu_unpin(self);
}

/* First what comes from the system, then each piece of a slab. */
static void oom_runs(tsu_table_type type)
{
#ifdef TSU_DEBUG
    void      (*doors[])(long) = {tsu_env_fail_after, tsu_slab_fail_after};
    tsu_thread *self = setup();
    size_t      door;

    for (door = 0; door < 2; door++) {
        ground           before = ground_now(self);
        tsu_engine_stats stats;
        uint64_t         leaked;
        bool             refused = true;
        long             n;

        tsu_engine_stats_get(&stats);
        leaked = stats.pieces_leaked;
        for (n = 0; refused && n < 5000 && tsu_test_state.failures == 0; n++) {
            refused = false;
            oom_program(self, type, doors[door], n, &refused);
        }
        EXPECT(!refused);
        EXPECT(door == 0 || n > 50);
        tsu_engine_stats_get(&stats);
        /* ebr.h: without memory for its notes it leaks what is retired, and says so */
        if (stats.pieces_leaked == leaked) expect_ground(self, before);
    }
#else
    (void)type;
    (void)oom_program;
    SKIP("only a build with TSU_DEBUG can refuse each allocation");
#endif
}

TEST(memory_that_runs_out_leaves_a_set_as_it_was) { oom_runs(TSU_SET); }
TEST(memory_that_runs_out_leaves_a_bag_as_it_was) { oom_runs(TSU_BAG); }
TEST(memory_that_runs_out_leaves_a_duplicate_bag_as_it_was) { oom_runs(TSU_DUPLICATE_BAG); }
TEST(memory_that_runs_out_leaves_an_ordered_set_as_it_was) { oom_runs(TSU_ORDERED_SET); }

/* --- patches ------------------------------------------------------------------------------------------- */
TEST(a_patch_does_what_an_update_would_or_nothing)
{
    tsu_thread *self = setup();
    ground      before = ground_now(self);
    int         type;

    for (type = TSU_SET; type <= TSU_DUPLICATE_BAG; type++) {
        static answer got;
        object_bytes  key = object_key(1, 0), other = object_key(2, 0), o = object_make_padded(1, 0, 100, 60);
        tsu_patch     add = {.pos = 2, .add = true, .number = 20}, put = {.pos = 2, .word = 7, .len = 1}, beyond = add;
        op            look = {OP_LOOKUP, {1, 0, 0}};
        tsu_table    *t;

        pin(self);
        REQUIRE(tsu_table_create(self, (tsu_table_type)type, 1, &t) == TSU_OK);
        EXPECT(!tsu_table_patch(self, t, key.bytes, key.len, &add));
        EXPECT_EQ(add.absent, type <= TSU_ORDERED_SET);
        EXPECT_EQ(tsu_insert(self, t, o.bytes, o.len), TSU_OK);
        EXPECT(!tsu_table_patch(self, t, other.bytes, other.len, &add));
        EXPECT_EQ(tsu_table_patch(self, t, key.bytes, key.len, &add), type <= TSU_ORDERED_SET);
        if (type <= TSU_ORDERED_SET) {
            EXPECT_EQ(add.sum, 120);
            op_on_table(self, t, &look, &got);
            EXPECT_EQ(got.objects[0].value, 120);
            beyond.pos = 4;
            EXPECT(!tsu_table_patch(self, t, key.bytes, key.len, &beyond));
            beyond.pos = 3;                                     /* no integer */
            EXPECT(!tsu_table_patch(self, t, key.bytes, key.len, &beyond));
            add.number = INT64_MAX;
            EXPECT(!tsu_table_patch(self, t, key.bytes, key.len, &add));
            EXPECT(!add.absent);
            add.number = 20;
            add.limited = true;
            add.limit = 140;
            add.restart = -1000;
            EXPECT(tsu_table_patch(self, t, key.bytes, key.len, &add) && add.sum == 140);
            EXPECT(tsu_table_patch(self, t, key.bytes, key.len, &add) && add.sum == -1000);
            add.number = -20;
            EXPECT(tsu_table_patch(self, t, key.bytes, key.len, &add) && add.sum == -1000);
            EXPECT(tsu_table_patch(self, t, key.bytes, key.len, &put));
            op_on_table(self, t, &look, &got);
            EXPECT_EQ(got.objects[0].value, 7 - 16);
#ifdef TSU_DEBUG
            tsu_slab_fail_after(0);
            EXPECT(!tsu_table_patch(self, t, key.bytes, key.len, &put));
            tsu_slab_fail_after(-1);
#endif
        }
        EXPECT_EQ(tsu_table_count(t), 1);
        tsu_unpin(self);
        expect_exact(self, t);
        tsu_table_destroy(self, t);
    }
    expect_ground(self, before);
}

TEST(closing_the_engine_gives_everything_back)
{
    tsu_thread *self = setup();

    quiet(self);
    tsu_engine_close();
    EXPECT_EQ(tsu_env_bytes_mapped(), 0);
    EXPECT_EQ(tsu_engine_open(), TSU_OK);
    EXPECT(tsu_thread_self() != NULL);
}

TEST_MAIN
