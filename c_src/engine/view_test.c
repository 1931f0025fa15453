/* view_test.c: snapshots against what the table showed when they were taken: random programs, batches half way, memory short. */
#include "engine.h"
#include "testing/exact.h"
#include "testing/harness.h"
#include "testing/ops.h"

#define VIEWS 4
#define KEYS  12

static tsu_thread *setup(void) { return exact_setup(tsu_test_seed()); }

typedef struct view {
    tsu_snapshot *snapshot;
    bool          announced;      /* and not taken */
    answer        all;
} view;

typedef struct world {
    tsu_thread    *self;
    tsu_table     *table;
    tsu_table_type type;
    uint64_t       rng;
    view           views[VIEWS];
    tsu_batch     *batch;
} world;

static tsu_table *table_make(tsu_thread *self, tsu_table_type type)
{
    tsu_table *t = NULL;

    tsu_pin(self);
    CHECK(tsu_table_create(self, type, 1, &t) == TSU_OK);
    tsu_unpin(self);
    return t;
}

static void read_all(world *w, tsu_snapshot *snapshot, answer *a)
{
    op walk = {.kind = OP_WALK};

    tsu_pin(w->self);
    op_on_table(w->self, snapshot != NULL ? tsu_snapshot_view(w->self, snapshot) : w->table, &walk, a);
    tsu_snapshot_done(w->self);
    tsu_unpin(w->self);
}

/* Not pinned. */
static tsu_snapshot *announce(tsu_thread *self, tsu_table *t)
{
    tsu_snapshot *s = NULL;

    tsu_pin(self);
    CHECK(tsu_snapshot_create(self, t, &s) == TSU_OK);
    tsu_unpin(self);
    return s;
}

/* All at once. */
static tsu_snapshot *take(tsu_thread *self, tsu_table *t)
{
    tsu_snapshot *s = announce(self, t);

    exact_take(self, s);
    return s;
}

static bool count_one(void *ctx, const uint8_t *object)
{
    (void)object;
    ++*(size_t *)ctx;
    return true;
}

/* Key by key and step by step it is the same. */
static void expect_same(world *w, view *v)
{
    static answer now;
    size_t        stepped = 0;
    bool          found = true, present;
    tsu_table    *t;
    int           k;

    read_all(w, v->snapshot, &now);
    EXPECT(answer_equal(&now, &v->all));
    if (!answer_equal(&now, &v->all)) {
        answer_print("was", &v->all);
        answer_print("is", &now);
    }
    tsu_pin(w->self);
    t = tsu_snapshot_view(w->self, v->snapshot);
    for (k = 0; k < KEYS; k++)
        for (int variant = 0; variant < 2; variant++) {
            op     one = {.kind = OP_LOOKUP, .object = {.key = k, .variant = variant}};
            size_t at = 0, i;

            op_on_table(w->self, t, &one, &now);
            for (i = 0; i < v->all.count; i++) {
                const model_object *o = &v->all.objects[i];

                if (o->key != k || (w->type != TSU_ORDERED_SET && o->variant != variant)) continue;
                EXPECT(at < now.count && memcmp(&now.objects[at], o, sizeof *o) == 0);
                at++;
            }
            EXPECT_EQ(now.count, at);
        }
    if (v->all.count > 0) {
        object_bytes key;
        const model_object *o = NULL;

        tsu_step(w->self, t, NULL, 0, TSU_FORWARD, count_one, &stepped, &found, &present);
        EXPECT(found);
        for (size_t i = 0; i < v->all.count; i++) {
            /* the steps of a hash table come in another order: it is enough that each key has one, or is the last */
            if (o != NULL && o->key == v->all.objects[i].key && o->variant == v->all.objects[i].variant) continue;
            o = &v->all.objects[i];
            key = object_key(o->key, o->variant);
            tsu_step(w->self, t, key.bytes, key.len, TSU_FORWARD, count_one, &stepped, &found, &present);
            if (w->type != TSU_ORDERED_SET) EXPECT(present);
        }
        EXPECT_EQ(stepped, v->all.count);
    }
    tsu_snapshot_done(w->self);
    tsu_unpin(w->self);
}

static void expect_views(world *w)
{
    for (int i = 0; i < VIEWS; i++)
        if (w->views[i].snapshot != NULL && !w->views[i].announced) expect_same(w, &w->views[i]);
}

static void batch_begin(world *w, bool new_only)
{
    size_t n = 1 + tsu_rand_below(&w->rng, 10);

    tsu_pin(w->self);
    if (tsu_batch_create(w->self, w->table, new_only, &w->batch) == TSU_OK)
        for (; n > 0; n--) {
            object_bytes o = object_make((int64_t)tsu_rand_below(&w->rng, KEYS), (int)tsu_rand_below(&w->rng, 2),
                                         (int64_t)tsu_rand_below(&w->rng, 4));

            if (tsu_batch_add(w->self, w->batch, o.bytes, o.len) != TSU_OK) break;
        }
    tsu_unpin(w->self);
}

static void batch_step(world *w, size_t budget)
{
    tsu_status s;

    tsu_pin(w->self);
    s = tsu_batch_run(w->self, w->batch, budget);
    tsu_unpin(w->self);
    if (s == TSU_AGAIN) return;
    tsu_batch_destroy(w->self, w->batch);
    w->batch = NULL;
}

static void world_op(world *w)
{
    uint64_t      dice = tsu_rand_below(&w->rng, 100);
    view         *v = &w->views[tsu_rand_below(&w->rng, VIEWS)];
    static answer a;
    op            o;

    if (dice < 8) {
        if (v->snapshot == NULL) {
            v->snapshot = announce(w->self, w->table);
            v->announced = true;
        } else if (!v->announced || dice == 7) {
            tsu_snapshot_destroy(v->snapshot);
            v->snapshot = NULL;
        }
        if (v->snapshot != NULL && dice < 5) {
            exact_take(w->self, v->snapshot);
            v->announced = false;
            /* of its own contents: the table may have been cleared since it was announced */
            read_all(w, tsu_table_contents(v->snapshot->table) != tsu_table_contents(w->table) ? v->snapshot : NULL, &v->all);
        }
        return;
    }
    if (dice < 20) {
        if (w->batch == NULL) batch_begin(w, dice < 10);
        else if (dice == 19) {
            tsu_batch_destroy(w->self, w->batch);
            w->batch = NULL;
        } else {
            batch_step(w, 1 + tsu_rand_below(&w->rng, 12));
        }
        return;
    }
    o.kind = (op_kind)tsu_rand_below(&w->rng, OP_KINDS);
    if (o.kind == OP_CLEAR && tsu_rand_below(&w->rng, 8) != 0) o.kind = OP_DELETE;
    o.object = (model_object){.key = (int32_t)tsu_rand_below(&w->rng, KEYS), .variant = (int32_t)tsu_rand_below(&w->rng, 2),
                              .value = (int64_t)tsu_rand_below(&w->rng, 4)};
    tsu_pin(w->self);
    op_on_table(w->self, w->table, &o, &a);
    tsu_unpin(w->self);
}

static void world_end(world *w)
{
    const char *fault;

    if (w->batch != NULL) tsu_batch_destroy(w->self, w->batch);
    w->batch = NULL;
    for (int i = 0; i < VIEWS; i++) {
        tsu_snapshot_destroy(w->views[i].snapshot);
        w->views[i].snapshot = NULL;
    }
    tsu_engine_sync(w->self);
    EXPECT(tsu_history_idle(&tsu_table_contents(w->table)->history));
    fault = exact_fault(w->self, w->table, false);
    EXPECT_STR(fault != NULL ? fault : "exact", "exact");
}

/* Whatever is kept. */
static void expect_exact(world *w)
{
    const char *fault;

    tsu_engine_sync(w->self);      /* nobody sweeps meanwhile */
    fault = exact_fault(w->self, w->table, true);
    EXPECT_STR(fault != NULL ? fault : "exact", "exact");
}

static void program(tsu_thread *self, tsu_table_type type, uint64_t seed, int ops)
{
    world    w = {.self = self, .type = type, .rng = seed, .table = table_make(self, type)};
    int      i;

    for (i = 0; i < ops; i++) {
        world_op(&w);
        expect_views(&w);
        if (w.batch == NULL && i % 8 == 0) expect_exact(&w);
        if (__atomic_load_n(&tsu_test_state.failures, __ATOMIC_RELAXED) > 0) {
            printf("type %d, seed %llu, op %d\n", type, (unsigned long long)seed, i);
            break;
        }
    }
    world_end(&w);
    tsu_table_destroy(self, w.table);
}

TEST(views_show_what_the_table_showed_when_they_were_taken)
{
    tsu_thread *self = setup();
    uint64_t    rng = tsu_test_seed();
    long        rounds = tsu_test_rounds(15);
    uint64_t    before = exact_left(self, 0);

    for (long i = 0; i < rounds; i++)
        for (int t = TSU_SET; t <= TSU_DUPLICATE_BAG; t++) {
            program(self, (tsu_table_type)t, tsu_rand(&rng), 200);
            if (__atomic_load_n(&tsu_test_state.failures, __ATOMIC_RELAXED) > 0) return;
        }
    EXPECT_EQ(exact_left(self, before), before);
}

TEST(a_table_with_views_may_be_destroyed)
{
    tsu_thread *self = setup();
    uint64_t    rng = tsu_test_seed(), before = exact_left(self, 0);

    for (int t = TSU_SET; t <= TSU_DUPLICATE_BAG; t++) {
        world w = {.self = self, .type = (tsu_table_type)t, .rng = tsu_rand(&rng), .table = table_make(self, (tsu_table_type)t)};

        for (int i = 0; i < 300; i++) world_op(&w);
        if (w.batch != NULL) tsu_batch_destroy(self, w.batch);
        tsu_table_destroy(self, w.table);
        for (int i = 0; i < VIEWS; i++) tsu_snapshot_destroy(w.views[i].snapshot);
    }
    EXPECT_EQ(exact_left(self, before), before);
}

/* However often a key is written, there is one version of it for each snapshot, and one for now. */
TEST(a_key_that_is_written_often_keeps_no_more_than_snapshots_need)
{
    tsu_thread *self = setup();

    for (int t = TSU_SET; t <= TSU_DUPLICATE_BAG; t++) {
        tsu_table    *table = table_make(self, (tsu_table_type)t);
        tsu_history  *h = &tsu_table_contents(table)->history;
        object_bytes  o = object_make(1, 0, 1), key = object_key(1, 0);
        tsu_snapshot *a, *b;

        tsu_pin(self);
        EXPECT_EQ(tsu_insert(self, table, o.bytes, o.len), TSU_OK);
        tsu_unpin(self);
        a = take(self, table);
        for (int i = 0; i < 1000; i++) {
            tsu_pin(self);
            o = object_make(1, 0, i % 5);
            if (i % 3 == 0) EXPECT_EQ(tsu_delete(self, table, key.bytes, key.len), TSU_OK);
            EXPECT_EQ(tsu_insert(self, table, o.bytes, o.len), TSU_OK);
            tsu_unpin(self);
            EXPECT(tsu_load_relaxed(&h->nodes) <= 2);
        }
        b = take(self, table);
        for (int i = 0; i < 1000; i++) {
            tsu_pin(self);
            if (i % 3 == 0) EXPECT_EQ(tsu_delete(self, table, key.bytes, key.len), TSU_OK);
            EXPECT_EQ(tsu_insert(self, table, o.bytes, o.len), TSU_OK);
            tsu_unpin(self);
            EXPECT(tsu_load_relaxed(&h->nodes) <= 3);
        }
        tsu_snapshot_destroy(a);
        tsu_engine_sync(self);
        EXPECT(tsu_load_relaxed(&h->nodes) <= 1);
        tsu_snapshot_destroy(b);
        tsu_engine_sync(self);
        EXPECT_EQ(tsu_load_relaxed(&h->nodes), 0);
        EXPECT_EQ(tsu_load_relaxed(&h->bytes), 0);
        tsu_table_destroy(self, table);
    }
}

/* Is a version of a commit in the key's cell? And the state of that. */
static bool commit_at(tsu_thread *self, tsu_table *t, const object_bytes *bytes, uint64_t *state)
{
    struct tsu_contents *c = tsu_table_contents(t);
    uint64_t             word, h;
    tsu_key              key;

    tsu_table_key(&key, c->kind, bytes->bytes, bytes->len);
    word = c->kind->peek(self, c->root, &key);
    h = tsu_cell_holds_version(word) ? tsu_load_relaxed(&tsu_cell_version(word)->header) : 0;
    if ((h & TSU_HEADER_TAG) != TSU_HEADER_ENTRY) return false;
    *state = tsu_load_relaxed(&tsu_header_entry(h)->commit->state);
    return true;
}

/* A batch that is under way when the last snapshot goes may have put a tombstone back that nobody needs. */
TEST(an_undone_batch_leaves_no_tombstone)
{
    tsu_thread *self = setup();

    for (int t = TSU_SET; t <= TSU_DUPLICATE_BAG; t++) {
        world         w = {.self = self, .type = (tsu_table_type)t, .rng = 1, .table = table_make(self, (tsu_table_type)t)};
        object_bytes  o = object_make(1, 0, 1), key = object_key(1, 0), other = object_make(2, 0, 1);
        tsu_snapshot *s;
        uint64_t      state;
        bool          seen = false;

        tsu_pin(self);
        EXPECT_EQ(tsu_insert(self, w.table, o.bytes, o.len), TSU_OK);
        tsu_unpin(self);
        s = take(self, w.table);
        tsu_pin(self);
        EXPECT_EQ(tsu_delete(self, w.table, key.bytes, key.len), TSU_OK);
        EXPECT_EQ(tsu_batch_create(self, w.table, false, &w.batch), TSU_OK);
        EXPECT_EQ(tsu_batch_add(self, w.batch, o.bytes, o.len), TSU_OK);
        EXPECT_EQ(tsu_batch_add(self, w.batch, other.bytes, other.len), TSU_OK);
        /* as far as the first entry */
        for (int i = 0; i < 40 && !seen; i++) {
            (void)tsu_batch_run(self, w.batch, 1);
            seen = commit_at(self, w.table, &key, &state);
        }
        EXPECT(seen);
        tsu_unpin(self);
        tsu_snapshot_destroy(s);
        tsu_engine_sync(self);
        world_end(&w);
        tsu_table_destroy(self, w.table);
    }
}

/* A batch {1, 2}, begun and decided, but not settled. Pinned. */
static void batch_committed(world *w, const object_bytes *key)
{
    object_bytes o = object_make(1, 0, 1), other = object_make(2, 0, 1);
    bool         committed = false;
    uint64_t     state;

    EXPECT_EQ(tsu_batch_create(w->self, w->table, false, &w->batch), TSU_OK);
    EXPECT_EQ(tsu_batch_add(w->self, w->batch, o.bytes, o.len), TSU_OK);
    EXPECT_EQ(tsu_batch_add(w->self, w->batch, other.bytes, other.len), TSU_OK);
    for (int i = 0; i < 40 && !committed; i++) {
        EXPECT_EQ(tsu_batch_run(w->self, w->batch, 1), TSU_AGAIN);
        committed = commit_at(w->self, w->table, key, &state) && (state & TSU_COMMIT_TAG) == TSU_COMMIT_COMMITTED;
    }
    EXPECT(committed);
}

/* Takes the announced snapshot, which has to show what the table does, and nothing is left of either. */
static void world_end_seen(world *w, tsu_snapshot *s)
{
    exact_take(w->self, s);
    w->views[0].snapshot = s;
    read_all(w, NULL, &w->views[0].all);
    expect_views(w);
    world_end(w);
    tsu_table_destroy(w->self, w->table);
}

/* What was put on top of a commit's object while no snapshot was held does not keep what was under that, though one is announced by
 * the time the commit is settled. */
TEST(what_a_commit_replaced_is_not_kept_for_snapshots_that_come_later)
{
    tsu_thread *self = setup();
    uint64_t    before = exact_left(self, 0);

    for (int t = TSU_SET; t <= TSU_DUPLICATE_BAG; t++) {
        world         w = {.self = self, .type = (tsu_table_type)t, .rng = 1, .table = table_make(self, (tsu_table_type)t)};
        object_bytes  o = object_make(1, 0, 1), key = object_key(1, 0);
        tsu_snapshot *s;

        tsu_pin(self);
        EXPECT_EQ(tsu_insert(self, w.table, o.bytes, o.len), TSU_OK);
        tsu_unpin(self);
        s = take(self, w.table);
        tsu_pin(self);
        EXPECT_EQ(tsu_delete(self, w.table, key.bytes, key.len), TSU_OK);
        batch_committed(&w, &key);
        tsu_unpin(self);
        tsu_snapshot_destroy(s);
        tsu_engine_sync(self);
        tsu_pin(self);
        o = object_make(1, 0, 7);
        EXPECT_EQ(tsu_insert(self, w.table, o.bytes, o.len), TSU_OK);
        EXPECT_EQ(tsu_snapshot_create(self, w.table, &s), TSU_OK);
        while (w.batch != NULL) batch_step(&w, 1);
        tsu_unpin(self);
        world_end_seen(&w, s);
    }
    EXPECT_EQ(exact_left(self, before), before);
}

/* The same while the writer is still about to retire what the commit had brought. */
TEST(a_version_is_not_given_a_past_once_it_is_replaced)
{
    tsu_thread *self = setup();
    uint64_t    before = exact_left(self, 0);

    for (int t = TSU_SET; t <= TSU_ORDERED_SET; t++) {
        world                w = {.self = self, .type = (tsu_table_type)t, .rng = 1, .table = table_make(self, (tsu_table_type)t)};
        struct tsu_contents *c = tsu_table_contents(w.table);
        object_bytes         o = object_make(1, 0, 1), key = object_key(1, 0);
        tsu_edit             edit = {.history = &c->history};
        tsu_snapshot        *s;
        tsu_key              k;

        tsu_pin(self);
        EXPECT_EQ(tsu_insert(self, w.table, o.bytes, o.len), TSU_OK);
        batch_committed(&w, &key);
        o = object_make(1, 0, 7);
        edit.put = tsu_record_word(tsu_record_create(self, o.bytes, o.len));
        tsu_table_key(&k, c->kind, key.bytes, key.len);
        EXPECT_EQ(c->kind->edit(self, c->root, &k, &edit), TSU_OK);
        EXPECT(!edit.kept);
        EXPECT_EQ(tsu_snapshot_create(self, w.table, &s), TSU_OK);
        while (w.batch != NULL) batch_step(&w, 1);
        tsu_tally_add(self, c, 0, (int64_t)tsu_version_bytes(edit.put) - (int64_t)tsu_version_retire(self, edit.old), 0);
        tsu_unpin(self);
        world_end_seen(&w, s);
    }
    EXPECT_EQ(exact_left(self, before), before);
}

/* A version that stands between two others goes while somebody who reads for a snapshot has come as far as that one. */
TEST(who_stands_on_a_version_that_goes_finds_the_way_down)
{
    tsu_thread *self = setup();

    for (int t = TSU_SET; t <= TSU_DUPLICATE_BAG; t++)
        for (int removes = 0; removes < 2; removes++) {
            tsu_table           *table = table_make(self, (tsu_table_type)t);
            struct tsu_contents *c = tsu_table_contents(table);
            object_bytes         o = object_make(1, 0, 1), key = object_key(1, 0);
            tsu_snapshot        *s;
            uint64_t             old, word;
            tsu_key              k;

            tsu_table_key(&k, c->kind, key.bytes, key.len);
            tsu_pin(self);
            EXPECT_EQ(tsu_insert(self, table, o.bytes, o.len), TSU_OK);
            old = c->kind->peek(self, c->root, &k);
            tsu_unpin(self);
            s = take(self, table);
            tsu_pin(self);
            o = object_make(1, 0, 2);
            if (removes) EXPECT_EQ(tsu_delete(self, table, key.bytes, key.len), TSU_OK);
            else EXPECT_EQ(tsu_insert(self, table, o.bytes, o.len), TSU_OK);
            word = c->kind->peek(self, c->root, &k);
            o = object_make(1, 0, 3);
            EXPECT_EQ(tsu_insert(self, table, o.bytes, o.len), TSU_OK);
            EXPECT(c->kind->peek(self, c->root, &k) != word);
            (void)tsu_snapshot_view(self, s);
            EXPECT_EQ(tsu_cell_resolve(self, word), old);
            EXPECT_EQ(c->kind->find(self, c->root, &k), old);
            tsu_snapshot_done(self);
            tsu_unpin(self);
            tsu_snapshot_destroy(s);
            tsu_engine_sync(self);
            tsu_table_destroy(self, table);
        }
}

static tsu_word writer_is_pinned, writer_may_go;

static void writer_run(void *arg)
{
    tsu_thread *self = tsu_thread_self();

    (void)arg;
    tsu_pin(self);
    tsu_store_seq(&writer_is_pinned, 1);
    while (tsu_load_seq(&writer_may_go) == 0) tsu_env_yield();
    tsu_unpin(self);
}

/* It may not have seen the announcement, and be about to write. */
TEST(a_snapshot_is_not_taken_before_all_who_were_pinned_have_unpinned)
{
    tsu_thread    *self = setup();
    tsu_table     *table = table_make(self, TSU_SET);
    tsu_snapshot  *s = NULL;
    tsu_env_thread writer;

    tsu_store_seq(&writer_is_pinned, 0);
    tsu_store_seq(&writer_may_go, 0);
    CHECK(tsu_env_thread_start(&writer, writer_run, NULL));
    while (tsu_load_seq(&writer_is_pinned) == 0) tsu_env_yield();
    tsu_pin(self);
    EXPECT_EQ(tsu_snapshot_create(self, table, &s), TSU_OK);
    tsu_unpin(self);
    for (int i = 0; i < 20; i++) {
        (void)tsu_ebr_collect(self, 1000);
        tsu_pin(self);
        EXPECT(!tsu_snapshot_take(s));
        tsu_unpin(self);
    }
    tsu_store_seq(&writer_may_go, 1);
    exact_take(self, s);
    tsu_env_thread_join(&writer);
    tsu_snapshot_destroy(s);
    tsu_table_destroy(self, table);
}

#ifdef TSU_DEBUG
static void short_of_memory(tsu_thread *self, tsu_table_type type, long after, uint64_t seed)
{
    world         w = {.self = self, .type = type, .rng = seed, .table = table_make(self, type)};
    static answer was, now;

    for (int i = 0; i < 60; i++) world_op(&w);
    if (w.batch != NULL) tsu_batch_destroy(self, w.batch);
    w.batch = NULL;
    for (int i = 0; i < 20; i++) {
        op            o = {.kind = (op_kind)(i % 2 ? OP_INSERT : OP_DELETE), .object = {.key = i % KEYS, .value = i}};
        static answer a;

        if (i % 5 == 0) o.kind = OP_DELETE_OBJECT;
        if (i % 5 == 1) o.kind = OP_ADD;
        if (i % 5 == 2) o.kind = OP_TAKE;
        read_all(&w, NULL, &was);
        tsu_pin(self);
        tsu_slab_fail_after(after);
        op_on_table(self, w.table, &o, &a);
        tsu_slab_fail_after(-1);
        tsu_unpin(self);
        if (a.status == TSU_NOMEM) {
            read_all(&w, NULL, &now);
            EXPECT(answer_equal(&was, &now));
        }
        expect_views(&w);
    }
    world_end(&w);
    tsu_table_destroy(self, w.table);
}

TEST(without_memory_nothing_is_changed)
{
    tsu_thread *self = setup();
    uint64_t    rng = tsu_test_seed(), before = exact_left(self, 0);

    for (int t = TSU_SET; t <= TSU_DUPLICATE_BAG; t++)
        for (long after = 0; after < 6; after++) short_of_memory(self, (tsu_table_type)t, after, tsu_rand(&rng));
    EXPECT_EQ(exact_left(self, before), before);
}
#endif

TEST_MAIN
