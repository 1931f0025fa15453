/* hashtab_test.c: buckets that overflow, tables half way between two directories, walks that go on. */
#include "mem/bag.h"
#include "mem/hashtab.h"
#include "mem/slab.h"
#include "testing/harness.h"
#include "testing/objects.h"

static tsu_thread *setup(void)
{
    static bool opened;

    if (!opened) {
        EXPECT_EQ(tsu_ebr_init(), TSU_OK);
        atexit(tsu_ebr_deinit);
    }
    opened = true;
    tsu_hash_seed = tsu_test_seed();
    return tsu_thread_self();
}

typedef struct put { tsu_edit edit; bool remove; } put;

static tsu_verdict put_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    (void)self;
    (void)current;
    return ((put *)edit)->remove ? TSU_EDIT_REMOVE : TSU_EDIT_PUT;
}

static tsu_key key_of(object_bytes *bytes, int64_t id)
{
    *bytes = object_key(id, 0);
    return (tsu_key){bytes->bytes, bytes->len, tsu_hashtab_mark(bytes->bytes, bytes->len), false};
}

static void change(tsu_thread *self, tsu_root *root, int64_t id, int64_t value, bool remove)
{
    object_bytes b, o = object_make(id, 0, value);
    tsu_key      k = key_of(&b, id);
    put          p = {{.decide = put_decide}, remove};

    tsu_pin(self);
    if (!remove) p.edit.put = tsu_record_word(tsu_record_create(self, o.bytes, o.len));
    EXPECT_EQ(tsu_kind_hash.edit(self, root, &k, &p.edit), TSU_OK);
    if (p.edit.old != 0) (void)tsu_version_retire(self, p.edit.old);
    tsu_unpin(self);
}

static int64_t find(tsu_thread *self, tsu_root *root, int64_t id)
{
    object_bytes b;
    tsu_key      k = key_of(&b, id);
    uint64_t     w;
    int64_t      v;

    tsu_pin(self);
    w = tsu_kind_hash.find(self, root, &k);
    v = w == 0 ? -1 : object_value(tsu_version_object(w));
    tsu_unpin(self);
    return v;
}

static tsu_root *make(tsu_thread *self)
{
    tsu_root *root = NULL;

    CHECK(tsu_kind_hash.create(self, 1, &root) == TSU_OK);
    return root;
}

static void expect_sound(tsu_thread *self, tsu_root *root)
{
    const char *fault;

    tsu_pin(self);
    fault = tsu_kind_hash.verify(self, root);
    tsu_unpin(self);
    EXPECT_STR(fault != NULL ? fault : "sound", "sound");
}

static void destroy(tsu_thread *self, tsu_root *root)
{
    tsu_ebr_drain(self);
    while (!tsu_kind_hash.reap(self, root, 100, tsu_version_destroy)) {}
    tsu_ebr_drain(self);
#ifdef TSU_DEBUG
    EXPECT_EQ(tsu_load_relaxed(&tsu_slab_live), 0);
#endif
}

typedef struct visited { int64_t *ids; size_t count, stop_after; object_bytes last; bool many; } visited;

static bool visit(void *ctx, uint64_t word)
{
    visited       *v = ctx;
    int            variant;
    size_t         len;
    const uint8_t *k = tsu_version_key(word, 1, &len);

    v->ids[v->count++] = object_key_of(tsu_version_object(word), &variant);
    memcpy(v->last.bytes, k, len);
    v->last.len = len;
    return v->count % v->stop_after != 0;
}

/* Now and then they come one by one instead. */
static tsu_visit_answer visit_many(void *ctx, const uint64_t *words, size_t count)
{
    visited *v = ctx;
    bool     on = true;

    if (count > 1 && (v->count + count) % 5 == 0) return TSU_VISIT_SINGLY;
    for (size_t i = 0; i < count; i++) on = visit(v, words[i]) && on;
    return on ? TSU_VISIT_ON : TSU_VISIT_END;
}

static void walk_some(tsu_thread *self, tsu_root *root, const tsu_key *from, size_t budget, visited *v, bool *done)
{
    tsu_pin(self);
    if (v->many) tsu_kind_hash.walk_many(self, root, from, budget, visit_many, v, done);
    else tsu_kind_hash.walk(self, root, from, TSU_FORWARD, budget, visit, v, done);
    tsu_unpin(self);
}

/* A chain of walks, each from the last key seen; `between` runs after each. */
static void walk_all(tsu_thread *self, tsu_root *root, visited *v, size_t budget, void (*between)(tsu_thread *, tsu_root *))
{
    bool done = false, more = false;

    v->count = 0;
    while (!done) {
        tsu_key from = {v->last.bytes, v->last.len, 0, false};
        object_bytes copy = v->last;

        from.bytes = copy.bytes;
        if (more) from.mark = tsu_hashtab_mark(copy.bytes, copy.len);
        walk_some(self, root, more ? &from : NULL, budget, v, &done);
        if (v->count > 0) more = true;
        if (between != NULL) between(self, root);
    }
}

/* Keys whose hashes begin alike: they meet in one bucket until a table has 2^12 of them. */
#define ALIKE 150
static int64_t alike[ALIKE];

static void alike_find(void)
{
    int64_t id;
    int     n = 0;

    for (id = 1000000; n < ALIKE; id++) {
        object_bytes b;

        if (key_of(&b, id).mark >> 52 == 0xabc) alike[n++] = id;
    }
}

TEST(keys_with_hashes_alike_fill_side_lines_and_come_and_go)
{
    tsu_thread *self = setup();
    tsu_root   *root = make(self);
    uint64_t    rng = tsu_test_seed();
    int64_t     value[ALIKE], ids[ALIKE];
    visited     v = {ids, 0, SIZE_MAX, {{0}, 0}, false};
    int         i, n, wrong = 0;
    size_t      present;

    alike_find();
    memset(value, 0xff, sizeof value);
    for (n = 0; n < 4000; n++) {
        i = (int)tsu_rand_below(&rng, ALIKE);
        value[i] = tsu_rand_below(&rng, 3) ? n : -1;
        change(self, root, alike[i], n, value[i] < 0);
        wrong += find(self, root, alike[i]) != value[i];
        i = (int)tsu_rand_below(&rng, ALIKE);
        wrong += find(self, root, alike[i]) != value[i];
        if (n % 500 == 0) expect_sound(self, root);
    }
    EXPECT_EQ(wrong, 0);
    for (present = 0, i = 0; i < ALIKE; i++) present += value[i] >= 0;
    walk_all(self, root, &v, SIZE_MAX, NULL);
    EXPECT_EQ(v.count, present);
    v.stop_after = 7;
    walk_all(self, root, &v, SIZE_MAX, NULL);
    EXPECT_EQ(v.count, present);
    v.many = true;
    walk_all(self, root, &v, SIZE_MAX, NULL);
    EXPECT_EQ(v.count, present);
    expect_sound(self, root);
    destroy(self, root);
}

TEST(a_table_that_grows_through_many_levels_finds_every_key_at_every_moment)
{
    tsu_thread *self = setup();
    tsu_root   *root = make(self);
    uint64_t    rng = tsu_test_seed();
    long        many = tsu_test_rounds(TSU_TEST_SANITIZED ? 60000 : 300000), i;
    int         wrong = 0, k;
    size_t      bytes = 0;

    for (i = 0; i < many; i++) {
        change(self, root, i, i, false);
        for (k = 0; k < 3; k++) {
            long id = (long)tsu_rand_below(&rng, (uint64_t)i + 2);

            wrong += find(self, root, id) != (id <= i ? id : -1);
        }
        wrong += tsu_kind_hash.bytes(root) < bytes;         /* it only grows: never less */
        bytes = tsu_kind_hash.bytes(root);
        if ((i & (i - 1)) == 0 || i % 20011 == 0) expect_sound(self, root);
    }
    EXPECT(bytes < (size_t)many * 20 + 10000);
    for (i = 0; i < many; i++) {
        change(self, root, i, 0, true);
        wrong += find(self, root, i) != -1;
        k = (int)(i + 1 + (long)tsu_rand_below(&rng, (uint64_t)(many - i)));
        wrong += k < many && find(self, root, k) != k;
        if (i % 20011 == 0) expect_sound(self, root);
    }
    EXPECT_EQ(wrong, 0);
    EXPECT(tsu_kind_hash.bytes(root) < 100000);
    expect_sound(self, root);
    destroy(self, root);
}

static int64_t next_id;
static int64_t direction;

static void grow_or_shrink(tsu_thread *self, tsu_root *root)
{
    int i;

    for (i = 0; i < 300; i++) {
        if (direction > 0 && next_id >= 60000) return;
        if (direction > 0) change(self, root, next_id++, 0, false);
        else if (next_id > 5000) change(self, root, --next_id, 0, true);
    }
}

static void walk_while(int64_t way, bool many)
{
    tsu_thread *self = setup();
    tsu_root   *root = make(self);
    int64_t    *ids = malloc(2000000 * sizeof *ids), *first = malloc(5000 * sizeof *first);
    uint8_t    *times = calloc(200000, 1);
    visited     v = {ids, 0, 23, {{0}, 0}, false};
    size_t      i, n, wrong = 0;

    direction = 1;
    for (next_id = 0; next_id < 5000;) grow_or_shrink(self, root);
    next_id = 5000;
    for (i = 5000; i < 5100; i++) change(self, root, (int64_t)i, 0, true);
    walk_all(self, root, &v, 64, NULL);
    for (n = 0, i = 0; i < v.count; i++)
        if (ids[i] < 5000) first[n++] = ids[i];
    EXPECT_EQ(n, 5000);
    if (way < 0)
        while (next_id < 60000) grow_or_shrink(self, root);
    direction = way;
    v.many = many;
    walk_all(self, root, &v, 64, grow_or_shrink);
    for (n = 0, i = 0; i < v.count; i++) {
        if (times[ids[i] % 200000]++ != 0) wrong++;
        if (ids[i] < 5000 && n < 5000 && first[n++] != ids[i] && !many) wrong++;
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(n, 5000);
    expect_sound(self, root);
    destroy(self, root);
    free(ids);
    free(first);
    free(times);
}

TEST(a_walk_keeps_its_order_and_misses_nothing_while_the_table_grows) { walk_while(1, false); }
TEST(a_walk_keeps_its_order_and_misses_nothing_while_the_table_shrinks) { walk_while(-1, false); }
TEST(a_walk_of_many_at_a_time_misses_nothing_while_the_table_grows) { walk_while(1, true); }
TEST(a_walk_of_many_at_a_time_misses_nothing_while_the_table_shrinks) { walk_while(-1, true); }

/* --- from key to key ------------------------------------------------------------------ */
/* Answers the key after *at (at->len 0: the first), which goes into *at; -1: there is none. */
static int64_t step(tsu_thread *self, tsu_root *root, object_bytes *at, bool *present)
{
    tsu_key        from = {at->bytes, at->len, 0, false};
    size_t         len;
    const uint8_t *k;
    int64_t        id = -1;
    uint64_t       w;
    int            variant;

    tsu_pin(self);
    w = tsu_kind_hash.next(self, root, at->len != 0 ? &from : NULL, present);
    if (w != 0) {
        id = object_key_of(tsu_version_object(w), &variant);
        k = tsu_version_key(w, 1, &len);
        memcpy(at->bytes, k, len);
        at->len = len;
    }
    tsu_unpin(self);
    return id;
}

/* What a thread remembers of its last step changes no answer: tables of all sizes, two of them in turn, and a new one
 * now and then where an old one was. */
TEST(next_answers_the_same_with_and_without_a_trail)
{
    tsu_thread  *self = setup();
    tsu_root    *root[2] = {make(self), make(self)};
    object_bytes at[2] = {{{0}, 0}, {{0}, 0}};
    uint64_t     rng = tsu_test_seed(), kept[sizeof self->scratch_run / 8];
    long         many = tsu_test_rounds(TSU_TEST_SANITIZED ? 100000 : 400000), n;
    int          wrong = 0;
    int64_t      size = 100;

    alike_find();
    for (n = 0; n < many; n++) {
        int          i = (int)(tsu_rand_below(&rng, 20) == 0), dice = (int)tsu_rand_below(&rng, 100);
        int64_t      id = (int64_t)tsu_rand_below(&rng, (uint64_t)size), with, without;
        object_bytes before = at[i];
        bool         present, present_without;

        if (n % 5000 == 0) size = (int64_t)1 << tsu_rand_below(&rng, 14);
        if (dice < 20) {
            change(self, root[i], dice < 5 ? alike[id % ALIKE] : id, n, tsu_rand_below(&rng, 3) == 0);
        } else if (dice < 40 && at[i].len != 0) {
            int64_t here = 0;

            if (tsu_term_int64(at[i].bytes, &here)) change(self, root[i], here, n, dice == 20);
        }
        if (dice % 8 == 0) tsu_ebr_drain(self);            /* what the trail leads to is freed, if it can be */
        with = step(self, root[i], &at[i], &present);
        memcpy(kept, self->scratch_run, sizeof kept);
        memset(self->scratch_run, 0, sizeof kept);
        without = step(self, root[i], &before, &present_without);
        memcpy(self->scratch_run, kept, sizeof kept);
        wrong += with != without || present != present_without;
        if (with < 0) at[i].len = 0;
        if (dice == 99 && tsu_rand_below(&rng, 100) == 0) {
            tsu_ebr_drain(self);
            while (!tsu_kind_hash.reap(self, root[i], 100, tsu_version_destroy)) {}
            root[i] = make(self);
        }
    }
    EXPECT_EQ(wrong, 0);
    tsu_ebr_drain(self);
    while (!tsu_kind_hash.reap(self, root[0], 100, tsu_version_destroy)) {}
    destroy(self, root[1]);
}

/* The last key is asked for what follows it, from before its bucket moves till after: the buckets behind it are empty, and
 * move later. */
TEST(next_of_a_last_key_that_has_gone_is_not_the_end_that_is_remembered)
{
    tsu_thread  *self = setup();
    tsu_root    *root = make(self);
    int64_t      ids[1300], id;
    visited      v = {ids, 0, SIZE_MAX, {{0}, 0}, false};
    object_bytes last, before, at;
    uint64_t     end;
    bool         present;
    int          wrong = 0, i;
    size_t       n;

    for (id = 0; id < 1300; id++) change(self, root, id, 0, false);
    walk_all(self, root, &v, SIZE_MAX, NULL);
    for (n = v.count; n > 1270; n--) change(self, root, ids[n - 1], 0, true);
    (void)key_of(&last, ids[n - 1]);
    end = key_of(&before, ids[n - 3]).mark;
    for (i = 0; i < 3000; i++) {
        at = before;
        wrong += step(self, root, &at, &present) != ids[n - 2] || !present;
        wrong += step(self, root, &at, &present) != ids[n - 1] || !present;
        wrong += step(self, root, &at, &present) != -1 || !present;
        while (key_of(&at, id).mark >= end) id++;
        change(self, root, id++, 0, false);
        change(self, root, ids[n - 1], 0, true);
        tsu_ebr_drain(self);
        at = last;
        wrong += step(self, root, &at, &present) != -1 || present;
        change(self, root, ids[n - 1], 0, false);
    }
    EXPECT_EQ(wrong, 0);
    expect_sound(self, root);
    destroy(self, root);
}

/* Visits four keys less two: at the first, the last of them leaves its slot to one that comes before all. */
typedef struct swap {
    tsu_thread *self;
    tsu_root   *root;
    int64_t     order[4], seen[8];
    int         count;
} swap;

static bool swap_visit(void *ctx, uint64_t word)
{
    swap *s = ctx;
    int   variant;

    if (s->count < 8) s->seen[s->count++] = object_key_of(tsu_version_object(word), &variant);
    if (s->count == 1) {
        change(s->self, s->root, s->order[3], 0, true);
        change(s->self, s->root, s->order[0], 0, false);
    }
    return true;
}

TEST(a_slot_that_gets_another_key_under_a_walk_is_not_taken_for_what_it_was)
{
    swap   s = {setup(), NULL, {0}, {0}, 0};
    bool done;
    int  i, j;

    s.root = make(s.self);
    for (i = 0; i < 4; i++) {                 /* in the order of their hashes */
        object_bytes a, b;

        for (j = i; j > 0 && key_of(&a, s.order[j - 1]).mark > key_of(&b, i).mark; j--) s.order[j] = s.order[j - 1];
        s.order[j] = i;
    }
    for (i = 1; i < 4; i++) change(s.self, s.root, s.order[i], 0, false);
    tsu_pin(s.self);
    tsu_kind_hash.walk(s.self, s.root, NULL, TSU_FORWARD, SIZE_MAX, swap_visit, &s, &done);
    tsu_unpin(s.self);
    EXPECT(done);
    EXPECT_EQ(s.count, 2);
    EXPECT_EQ(s.seen[0], s.order[1]);
    EXPECT_EQ(s.seen[1], s.order[2]);
    destroy(s.self, s.root);
}

/* At the first key another comes, so that the walk goes on one by one; at the second the bucket moves, and then all of these keys get
 * the value 1. */
typedef struct moving {
    tsu_thread *self;
    tsu_root   *root;
    int         count, old;
} moving;

#define MOVING 5

static bool moving_visit(void *ctx, uint64_t word)
{
    moving *m = ctx;
    int     variant;
    int64_t id = object_key_of(tsu_version_object(word), &variant);

    if (id > MOVING) return true;
    m->count++;
    if (m->count == 1) change(m->self, m->root, MOVING, 0, false);
    if (m->count == 2) {
        for (int64_t i = 1000; i < 3000; i++) change(m->self, m->root, i, 0, false);
        for (int64_t i = 0; i <= MOVING; i++) change(m->self, m->root, i, 1, false);
    }
    if (m->count > 2) m->old += object_value(tsu_version_object(word)) != 1;
    return true;
}

TEST(a_walk_shows_nothing_that_was_replaced_before_it_came_there_though_the_bucket_has_moved)
{
    moving m = {setup(), NULL, 0, 0};
    bool   done;

    m.root = make(m.self);
    for (int64_t i = 0; i < MOVING; i++) change(m.self, m.root, i, 0, false);
    tsu_pin(m.self);
    tsu_kind_hash.walk(m.self, m.root, NULL, TSU_FORWARD, SIZE_MAX, moving_visit, &m, &done);
    tsu_unpin(m.self);
    EXPECT(done);
    EXPECT(m.count >= MOVING);
    EXPECT_EQ(m.old, 0);
    destroy(m.self, m.root);
}

/* Threads that change the table while others go through it. */
#define STEADY 2000
static tsu_root *shared;
static tsu_word  stop;

static void steady_write(void *arg)
{
    tsu_thread *self = tsu_thread_self();
    uint64_t    rng = tsu_test_seed() + (uint64_t)(uintptr_t)arg;
    int64_t     at = 0, way = 1;

    while (tsu_load_acquire(&stop) == 0) {
        at += way;
        if (at >= 8000) way = -1;
        if (at <= 0) way = 1;
        change(self, shared, STEADY + (int64_t)(uintptr_t)arg * 10000 + at, 0, way < 0);
        change(self, shared, (int64_t)tsu_rand_below(&rng, STEADY), 0, false);
    }
}

#define MANY ((void *)2)          /* a reader who takes many at a time */

static void steady_read(void *arg)
{
    tsu_thread *self = tsu_thread_self();
    long        rounds = tsu_test_rounds(TSU_TEST_SANITIZED ? 30 : 100), r;
    int64_t     order[STEADY], ids[100];
    uint8_t     times[STEADY];
    int         wrong = 0, lost = 0;

    for (r = 0; r < rounds; r++) {
        object_bytes at = {{0}, 0};
        visited      v = {ids, 0, 1, {{0}, 0}, arg == MANY};
        int64_t      id;
        int          n = 0;
        bool         done = false, present;

        memset(times, 0, sizeof times);
        while (!done) {
            if (arg == NULL) {
                id = step(self, shared, &at, &present);
                done = id < 0;
            } else {
                tsu_key from = {at.bytes, at.len, tsu_hashtab_mark(at.bytes, at.len), false};

                v.count = 0;
                v.stop_after = (size_t)r % 20 + 1;
                walk_some(self, shared, at.len != 0 ? &from : NULL, SIZE_MAX, &v, &done);
                at = v.last;
            }
            if (arg == NULL) ids[0] = id;
            for (size_t i = 0; i < (arg == NULL ? !done : v.count); i++) {
                if (ids[i] >= STEADY) continue;
                if (n == STEADY) wrong++;
                else if (v.many) n += times[ids[i]]++ == 0;
                else if (r == 0) order[n++] = ids[i];
                else wrong += order[n++] != ids[i];
            }
        }
        lost += n != STEADY;
    }
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(lost, 0);
}

TEST(threads_go_through_a_table_that_others_change_and_meet_what_stays_once_and_in_order)
{
    tsu_thread    *self = setup();
    tsu_env_thread writers[2], readers[3];
    uintptr_t      i;

    shared = make(self);
    tsu_store_release(&stop, 0);
    for (i = 0; i < STEADY; i++) change(self, shared, (int64_t)i, 0, false);
    for (i = 0; i < 2; i++) CHECK(tsu_env_thread_start(&writers[i], steady_write, (void *)i));
    for (i = 0; i < 3; i++) CHECK(tsu_env_thread_start(&readers[i], steady_read, (void *)i));
    for (i = 0; i < 3; i++) tsu_env_thread_join(&readers[i]);
    tsu_store_release(&stop, 1);
    for (i = 0; i < 2; i++) tsu_env_thread_join(&writers[i]);
    expect_sound(self, shared);
    destroy(self, shared);
}

/* Keys whose hashes are alike come one by one, but the last `arg`: each third time what the last slot has moves into a new
 * side line. */
static tsu_word inserted;
static tsu_word missed;

static void alike_write(void *arg)
{
    tsu_thread *self = tsu_thread_self();
    uint64_t    i;

    for (i = 0; i < ALIKE - (uint64_t)(uintptr_t)arg; i++) {
        change(self, shared, alike[i], (int64_t)i, false);
        tsu_store_release(&inserted, i + 1);
    }
}

static void alike_read(void *arg)
{
    tsu_thread *self = tsu_thread_self();
    uint64_t    n, rng = (uint64_t)(uintptr_t)arg + 1;

    while ((n = tsu_load_acquire(&inserted)) < ALIKE) {
        uint64_t back = tsu_rand_below(&rng, n < 3 ? n + 1 : 3) + 1;

        if (back <= n && find(self, shared, alike[n - back]) != (int64_t)(n - back)) tsu_count_add(&missed, 1);
    }
}

TEST(a_key_that_moves_into_a_side_line_is_found_all_the_time)
{
    tsu_thread    *self = setup();
    tsu_env_thread writer, readers[2];
    long           rounds = tsu_test_rounds(100), r;
    uintptr_t      i;

    alike_find();
    tsu_store_release(&missed, 0);
    for (r = 0; r < rounds; r++) {
        shared = make(self);
        tsu_store_release(&inserted, 0);
        for (i = 0; i < 2; i++) CHECK(tsu_env_thread_start(&readers[i], alike_read, (void *)(i + 2 * (uintptr_t)r)));
        CHECK(tsu_env_thread_start(&writer, alike_write, NULL));
        tsu_env_thread_join(&writer);
        for (i = 0; i < 2; i++) tsu_env_thread_join(&readers[i]);
        expect_sound(self, shared);
        destroy(self, shared);
    }
    EXPECT_EQ(tsu_load_acquire(&missed), 0);
}

/* What is put in by commits that are aborted, while others make room in the bucket. */
typedef struct attempt { tsu_commit commit; tsu_entry entry; } attempt;

static void alike_abort(void *arg)
{
    tsu_thread  *self = tsu_thread_self();
    object_bytes b, o = object_make(alike[ALIKE - 1], 0, 0);
    tsu_key      k = key_of(&b, alike[ALIKE - 1]);

    (void)arg;
    while (tsu_load_acquire(&inserted) < ALIKE - 1) {
        attempt            *a = tsu_slab_alloc(self, sizeof *a);
        tsu_record         *r = tsu_record_create(self, o.bytes, o.len);
        tsu_install_outcome outcome;
        tsu_commit         *other;

        memset(a, 0, sizeof *a);
        a->entry.commit = &a->commit;
        a->entry.word = tsu_record_word(r);
        tsu_store_relaxed(&r->version.header, (uint64_t)(uintptr_t)&a->entry | TSU_HEADER_ENTRY);
        tsu_pin(self);
        EXPECT_EQ(tsu_kind_hash.install(self, shared, &k, &a->entry, &outcome, &other), TSU_OK);
        EXPECT_EQ(outcome, TSU_INSTALL_DONE);
        tsu_store_release(&a->commit.state, TSU_COMMIT_ABORTED);
        tsu_kind_hash.restore(self, shared, &k, &a->entry);
        if (tsu_kind_hash.peek(self, shared, &k) != 0) tsu_count_add(&missed, 1);
        tsu_version_retire_aborted(self, a->entry.word);
        tsu_retire(self, a, sizeof *a, tsu_slab_free);
        tsu_unpin(self);
    }
}

/* Keys that are deleted while a commit puts them anew: they stay, and the table with them. */
TEST(what_is_deleted_under_a_commit_is_not_counted_off)
{
    tsu_thread *self = setup();
    tsu_root   *root = make(self);
    attempt    *a = calloc(6000, sizeof *a);
    size_t      bytes;
    int         i, wrong = 0;

    for (i = 0; i < 6000; i++) change(self, root, i, i, false);
    bytes = tsu_kind_hash.bytes(root);
    for (i = 0; i < 6000; i++) {
        object_bytes        b, o = object_make(i, 0, -i - 2);
        tsu_key             k = key_of(&b, i);
        tsu_record         *r = tsu_record_create(self, o.bytes, o.len);
        tsu_install_outcome outcome;
        tsu_commit         *other;

        a[i].entry.commit = &a[i].commit;
        a[i].entry.word = tsu_record_word(r);
        tsu_store_relaxed(&r->version.header, (uint64_t)(uintptr_t)&a[i].entry | TSU_HEADER_ENTRY);
        tsu_pin(self);
        EXPECT_EQ(tsu_kind_hash.install(self, root, &k, &a[i].entry, &outcome, &other), TSU_OK);
        tsu_unpin(self);
        change(self, root, i, 0, true);
        tsu_store_release(&a[i].commit.state, TSU_COMMIT_COMMITTED);
        (void)tsu_entry_freeze(&a[i].entry);
        EXPECT(tsu_version_settle(a[i].entry.word, tsu_commit_time(&a[i].commit) >> TSU_COMMIT_TS_SHIFT));
    }
    for (i = 0; i < 6000; i++) wrong += find(self, root, i) != -i - 2;
    EXPECT_EQ(wrong, 0);
    for (i = 0; i < 100; i++) change(self, root, i, 0, true);
    EXPECT(tsu_kind_hash.bytes(root) >= bytes);         /* it has not shrunk */
    expect_sound(self, root);
    destroy(self, root);
    free(a);
}

TEST(an_aborted_version_that_moves_into_a_side_line_is_taken_out)
{
    tsu_thread    *self = setup();
    tsu_env_thread writer, aborter;
    long           rounds = tsu_test_rounds(100), r;

    alike_find();
    tsu_store_release(&missed, 0);
    for (r = 0; r < rounds && tsu_load_acquire(&missed) == 0; r++) {
        shared = make(self);
        tsu_store_release(&inserted, 0);
        CHECK(tsu_env_thread_start(&aborter, alike_abort, NULL));
        CHECK(tsu_env_thread_start(&writer, alike_write, (void *)1));
        tsu_env_thread_join(&writer);
        tsu_env_thread_join(&aborter);
        if (tsu_load_acquire(&missed) == 0) destroy(self, shared);
    }
    EXPECT_EQ(tsu_load_acquire(&missed), 0);
}

#ifdef TSU_DEBUG
TEST(a_move_that_stops_for_want_of_memory_loses_and_doubles_nothing)
{
    tsu_thread *self = setup();
    long        after;
    int         wrong = 0;

    alike_find();
    for (after = 0; after < 60; after++) {
        tsu_root *root = make(self);
        int       i, done = 0;

        for (i = 0; i < 40; i++) change(self, root, alike[i], i, false);
        for (i = 0; i < 1300; i++) change(self, root, i, i, false);
        tsu_slab_fail_after(after);
        for (; i < 6000; i++) {
            object_bytes b, o = object_make(i, 0, i);
            tsu_key      k = key_of(&b, i);
            put          p = {{.decide = put_decide}, false};
            tsu_record  *r;

            tsu_slab_fail_after(-1);
            r = tsu_record_create(self, o.bytes, o.len);
            tsu_slab_fail_after(i % 7 == 0 ? after % 5 : 0);
            p.edit.put = tsu_record_word(r);
            tsu_pin(self);
            if (tsu_kind_hash.edit(self, root, &k, &p.edit) != TSU_OK) tsu_record_discard(self, r);
            else done++;
            tsu_unpin(self);
        }
        EXPECT(done > 0);
        for (i = 0; i < 40; i++) wrong += find(self, root, alike[i]) != i;
        for (i = 0; i < 1300; i++) wrong += find(self, root, i) != i;
        tsu_slab_fail_after(-1);
        destroy(self, root);
        if (tsu_test_state.failures > 0) break;
    }
    EXPECT_EQ(wrong, 0);
}
#endif

TEST_MAIN
