/* stress_engine.c: many threads on few and on many keys, of every kind of table.
 *
 * Rounds take turns:
 *   histories   single-key operations with their times; each key's history has to fit one order (linearizable)
 *   groups      lists that give all keys of a group one number: a reader never sees a number and then a lower one
 *   ring        keys are moved about by take and insert: none is lost, none is doubled
 *   mixture     everything at once, clearing and re-creating included; counts and bytes are exact in the end
 */
#include <pthread.h>

#include "testing/harness.h"
#include "testing/ops.h"
#include "testing/stress.h"
#include "table.h"

#define THREADS 4

typedef struct worker {
    pthread_t      thread;
    int            index;
    uint64_t       rng;
    void         (*run)(struct worker *w, tsu_thread *self);
    uint64_t       done;
} worker;

static tsu_table     *table;
static int            stop;

static bool stopped(void) { return __atomic_load_n(&stop, __ATOMIC_RELAXED) != 0; }

static void *worker_run(void *arg)
{
    worker     *w = arg;
    tsu_thread *self = tsu_thread_self();

    w->run(w, self);
    return NULL;
}

static void run_all(void (*const runs[THREADS])(worker *w, tsu_thread *self), uint64_t *rng, double seconds)
{
    static worker workers[THREADS];
    int           i;

    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    for (i = 0; i < THREADS; i++) {
        workers[i] = (worker){.index = i, .rng = tsu_rand(rng), .run = runs[i]};
        if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) != 0) abort();
    }
    if (seconds > 0) {
        usleep((useconds_t)(seconds * 1e6));
        __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    }
    for (i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
}

static tsu_table *make(tsu_thread *self)
{
    tsu_table *t = NULL;

    tsu_pin(self);
    CHECK(tsu_table_create(self, type, 1, &t) == TSU_OK);
    tsu_unpin(self);
    return t;
}

static void expect_exact(tsu_thread *self, tsu_table *t, const char *where)
{
    const char *fault = exact_fault(self, t, false);

    if (fault != NULL) FAIL("%s, type %d: %s", where, type, fault);
}

/* --- histories ------------------------------------------------------------------------------- */
/* Values of a set's key; an event is a single-key operation; -1: absent. */
#define EVENTS_MAX 56
#define KEYS 3

typedef struct event {
    op_kind  kind;
    int64_t  value;         /* written, or added */
    int64_t  seen;          /* lookup, take: the value; insert_new: 1 or 0 */
    uint64_t from, to;
} event;

static event    events[KEYS][THREADS][EVENTS_MAX];
static uint32_t event_counts[KEYS][THREADS];
static uint64_t ticks;

static uint64_t tick(void) { return __atomic_fetch_add(&ticks, 1, __ATOMIC_SEQ_CST); }

static bool event_apply(int64_t *state, const event *e)
{
    switch (e->kind) {
    case OP_LOOKUP: return e->seen == *state;
    case OP_INSERT: *state = e->value; return true;
    case OP_INSERT_NEW:
        if (*state >= 0) return e->seen == 0;
        *state = e->value;
        return e->seen == 1;
    case OP_DELETE: *state = -1; return true;
    case OP_TAKE: {
        bool fits = e->seen == *state;

        *state = -1;
        return fits;
    }
    case OP_ADD: *state = (*state < 0 ? 0 : *state) + e->value; return true;
    default: return false;
    }
}

/* Wing and Gong: tries every event that no other unplaced event precedes; (places, state) that failed are remembered. */
typedef struct memo { uint64_t places, state; } memo;
static memo    *memos;
#define MEMO_COUNT (1u << 20)
#define BUDGET 2000000

static bool memo_seen(uint64_t places, int64_t state)
{
    uint64_t h = (places * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)state * UINT64_C(0xbf58476d1ce4e5b9)) >> 44;
    memo    *m = &memos[h % MEMO_COUNT];

    if (m->places == places && m->state == (uint64_t)state) return true;
    *m = (memo){places, (uint64_t)state};
    return false;
}

static int linearize(int key, long *budget)
{
    struct frame { uint32_t at[THREADS]; int64_t state; int tried; } *stack = calloc(THREADS * EVENTS_MAX + 1, sizeof *stack);
    int    depth = 0, total = 0, t, u, result = 0;

    for (t = 0; t < THREADS; t++) total += (int)event_counts[key][t];
    memset(memos, 0xff, MEMO_COUNT * sizeof *memos);
    stack[0].state = -1;
    while (depth >= 0 && --*budget > 0) {
        struct frame *f = &stack[depth];

        if (depth == total) {
            result = 1;
            break;
        }
        for (t = f->tried; t < THREADS; t++) {
            event       *e;
            bool         first = true;
            struct frame next = *f;
            uint64_t     places = 0;

            if (f->at[t] == event_counts[key][t]) continue;
            e = &events[key][t][f->at[t]];
            for (u = 0; u < THREADS; u++)
                if (f->at[u] < event_counts[key][u] && events[key][u][f->at[u]].to < e->from) first = false;
            if (!first || !event_apply(&next.state, e)) continue;
            next.at[t]++;
            for (u = 0; u < THREADS; u++) places = places << 16 | next.at[u];
            if (memo_seen(places, next.state)) continue;
            f->tried = t + 1;
            next.tried = 0;
            stack[++depth] = next;
            break;
        }
        if (t == THREADS) depth--;
    }
    if (result == 0 && *budget <= 0) result = -1;
    free(stack);
    return result;
}

static void history_worker(worker *w, tsu_thread *self)
{
    static const op_kind kinds[] = {OP_LOOKUP, OP_LOOKUP, OP_INSERT, OP_INSERT_NEW, OP_DELETE, OP_TAKE, OP_ADD};
    int                  i;

    for (i = 0; i < EVENTS_MAX * KEYS; i++) {
        int    key = (int)tsu_rand_below(&w->rng, KEYS);
        event *e = &events[key][w->index][event_counts[key][w->index]];
        op     o = {kinds[tsu_rand_below(&w->rng, 7)], {key, 0, 0}};
        answer a;

        if (event_counts[key][w->index] == EVENTS_MAX) continue;
        o.object.value = o.kind == OP_ADD ? 1000000 : w->index * 1000 + i;
        e->kind = o.kind;
        e->value = o.object.value;
        e->from = tick();
        tsu_pin(self);
        op_on_table(self, table, &o, &a);
        tsu_unpin(self);
        e->to = tick();
        if (a.status == TSU_AGAIN) continue;         /* nothing has happened */
        e->seen = o.kind == OP_INSERT_NEW ? a.yes : a.count > 0 ? a.objects[0].value : -1;
        event_counts[key][w->index]++;
    }
}

/* Other keys come and go, so that buckets fill and leaves split under the keys that are watched. */
static void crowd_worker(worker *w, tsu_thread *self)
{
    int i;

    (void)w;
    for (i = 0; i < 400; i++) {
        object_bytes o = object_make(10 + i % 60, 0, i), k = object_key(10 + (i * 7) % 60, 0);

        tsu_pin(self);
        (void)tsu_insert(self, table, o.bytes, o.len);
        (void)tsu_delete(self, table, k.bytes, k.len);
        tsu_unpin(self);
    }
}

static void histories(tsu_thread *self, uint64_t *rng)
{
    void (*const runs[THREADS])(worker *, tsu_thread *) = {history_worker, history_worker, history_worker, crowd_worker};
    struct timespec begin, now;
    long            rounds = 0, unknown = 0;
    int             key;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        memset(event_counts, 0, sizeof event_counts);
        table = make(self);
        run_all(runs, rng, 0);
        for (key = 0; key < KEYS; key++) {
            long budget = BUDGET;
            int  fits = linearize(key, &budget);

            unknown += fits < 0;
            if (fits == 0) FAIL("type %d: no order explains what was done to key %d", type, key);
        }
        expect_exact(self, table, "histories");
        tsu_table_destroy(self, table);
        rounds++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 < round_seconds);
    if (unknown > rounds / 2) FAIL("type %d: %ld of %ld histories were too tangled to judge", type, unknown, rounds);
}

/* --- groups ------------------------------------------------------------------------------------ */
#define GROUP_KEYS 6
#define GROUP_BASE 100
static uint64_t group_next;

static tsu_status list_insert(tsu_thread *self, bool new_only, int from, int count, int64_t value, uint64_t give_up)
{
    tsu_batch *b;
    tsu_status s = TSU_OK;
    int        i;

    tsu_pin(self);
    if (tsu_batch_create(self, table, new_only, &b) != TSU_OK) abort();
    for (i = 0; i < count; i++) {
        object_bytes o = object_make(from + i, 0, value);

        if (tsu_batch_add(self, b, o.bytes, o.len) != TSU_OK) abort();
    }
    do {
        s = tsu_batch_run(self, b, 2);
        tsu_unpin(self);
        tsu_pin(self);
    } while (s == TSU_AGAIN && give_up-- > 0);
    tsu_unpin(self);
    tsu_batch_destroy(self, b);
    return s;
}

/* Numbers grow, one writer at a time: a reader that meets n at one key meets n or more at every key from then on. */
static pthread_mutex_t group_mutex = PTHREAD_MUTEX_INITIALIZER;

static void group_writer(worker *w, tsu_thread *self)
{
    while (!stopped()) {
        pthread_mutex_lock(&group_mutex);
        group_next++;
        (void)list_insert(self, false, GROUP_BASE, GROUP_KEYS, (int64_t)group_next, tsu_rand_below(&w->rng, 4) ? UINT64_MAX : tsu_rand_below(&w->rng, 6));
        pthread_mutex_unlock(&group_mutex);
        w->done++;
    }
}

static bool newest_value(void *ctx, const uint8_t *object)
{
    *(int64_t *)ctx = object_value(object);
    return false;                  /* the first shown is the newest */
}

/* A value read after *high was. */
static void group_value(int64_t v, int64_t *high)
{
    if (v < *high) FAIL("type %d: read %lld of a list after %lld", type, (long long)v, (long long)*high);
    *high = v > *high ? v : *high;
}

static bool group_visit(void *ctx, uint64_t word)
{
    const uint8_t *newest = tsu_version_object(word);
    int            variant;
    int64_t        key = object_key_of(newest, &variant);

    if (key >= GROUP_BASE && key < GROUP_BASE + GROUP_KEYS) group_value(object_value(newest), ctx);
    return true;
}

/* The last one may have been read before some others. */
static tsu_visit_answer group_visit_many(void *ctx, const uint64_t *words, size_t count)
{
    int64_t before = *(int64_t *)ctx;

    for (size_t i = 0; i + 1 < count; i++) (void)group_visit(ctx, words[i]);
    (void)group_visit(&before, words[count - 1]);
    return TSU_VISIT_ON;
}

static void group_reader(worker *w, tsu_thread *self)
{
    int64_t high = -1, v;
    bool    done;

    while (!stopped()) {
        object_bytes k = object_key(GROUP_BASE + (int64_t)tsu_rand_below(&w->rng, GROUP_KEYS), 0);
        uint64_t     dice = tsu_rand_below(&w->rng, 4);

        v = -1;
        tsu_pin(self);
        if (dice == 0) tsu_walk_versions(self, table, NULL, 0, TSU_FORWARD, SIZE_MAX, group_visit, &high, &done);
        else if (dice == 1) (void)tsu_walk_many(self, table, NULL, 0, SIZE_MAX, group_visit_many, &high, &done);
        else tsu_lookup(self, table, k.bytes, k.len, newest_value, &v);
        tsu_unpin(self);
        if (dice > 1) group_value(v, &high);
        w->done++;
    }
}

/* Insert_new lists of which one wins: all of its keys or none are there; deletes make room again. */
static void new_writer(worker *w, tsu_thread *self)
{
    while (!stopped()) {
        int from = 200 + (int)tsu_rand_below(&w->rng, 3), i;

        if (list_insert(self, true, from, 4, w->index, 30) == TSU_OK)
            for (i = 0; i < 4; i++) {
                object_bytes k = object_key(from + i, 0);
                int64_t      v = -1;
                tsu_status   s;

                tsu_pin(self);
                tsu_lookup(self, table, k.bytes, k.len, newest_value, &v);
                if (v != w->index) FAIL("type %d: insert_new answered true, and its key has %lld", type, (long long)v);
                do {
                    s = tsu_delete(self, table, k.bytes, k.len);
                    tsu_unpin(self);
                    if (s == TSU_AGAIN) sched_yield();
                    tsu_pin(self);
                } while (s == TSU_AGAIN);
                tsu_unpin(self);
            }
        w->done++;
    }
}

static void groups(tsu_thread *self, uint64_t *rng)
{
    void (*const runs[THREADS])(worker *, tsu_thread *) = {group_writer, group_reader, new_writer, new_writer};
    void (*const more[THREADS])(worker *, tsu_thread *) = {group_writer, group_reader, group_writer, group_reader};

    table = make(self);
    group_next = 0;
    run_all(tsu_rand_below(rng, 2) ? runs : more, rng, round_seconds);
    expect_exact(self, table, "groups");
    tsu_table_destroy(self, table);
}

/* --- ring --------------------------------------------------------------------------------------- */
#define RING_KEYS 40
#define RING_OBJECTS 12

static void ring_worker(worker *w, tsu_thread *self)
{
    while (!stopped()) {
        object_bytes k = object_key((int64_t)tsu_rand_below(&w->rng, RING_KEYS), 0), o;
        answer       a = {.count = 0};
        tsu_status   s;
        bool         in = false;

        tsu_pin(self);
        s = tsu_take(self, table, k.bytes, k.len, answer_collect, &a);
        tsu_unpin(self);
        if (s != TSU_OK || a.count == 0) continue;
        if (a.count != 1) FAIL("type %d: took %zu at once", type, a.count);
        while (!in) {
            o = object_make((int64_t)tsu_rand_below(&w->rng, RING_KEYS), 0, a.objects[0].value);
            tsu_pin(self);
            s = tsu_insert_new(self, table, o.bytes, o.len, &in);
            tsu_unpin(self);
        }
        w->done++;
    }
}

static void ring(tsu_thread *self, uint64_t *rng)
{
    void (*const runs[THREADS])(worker *, tsu_thread *) = {ring_worker, ring_worker, ring_worker, ring_worker};
    op            o = {.kind = OP_WALK};
    static answer a;
    uint64_t      seen = 0;
    size_t        i;

    table = make(self);
    tsu_pin(self);
    for (i = 0; i < RING_OBJECTS; i++) {
        object_bytes ob = object_make((int64_t)i * 3, 0, (int64_t)i);

        CHECK(tsu_insert(self, table, ob.bytes, ob.len) == TSU_OK);
    }
    tsu_unpin(self);
    run_all(runs, rng, round_seconds);
    tsu_pin(self);
    op_on_table(self, table, &o, &a);
    tsu_unpin(self);
    for (i = 0; i < a.count; i++) seen |= UINT64_C(1) << a.objects[i].value;
    if (a.count != RING_OBJECTS || seen != (UINT64_C(1) << RING_OBJECTS) - 1) {
        FAIL("type %d: the ring has %zu objects", type, a.count);
        answer_print("ring", &a);
    }
    expect_exact(self, table, "ring");
    tsu_table_destroy(self, table);
}

/* --- mixture ------------------------------------------------------------------------------------- */
static int spread;

static bool touch(void *ctx, const uint8_t *object)
{
    uint64_t *sum = ctx;

    *sum += (uint64_t)object_value(object);
    return true;
}

static void mixture_worker(worker *w, tsu_thread *self)
{
    uint64_t sum = 0;

    while (!stopped()) {
        int64_t      key = (int64_t)tsu_rand_below(&w->rng, (uint64_t)spread);
        object_bytes k = object_key(key, 0), o = object_make_padded(key, 0, (int64_t)tsu_rand_below(&w->rng, 4), tsu_rand_below(&w->rng, 80));
        uint64_t     dice = tsu_rand_below(&w->rng, 1000);
        bool         flag, present;
        int          i;

        if (dice < 20) {
            (void)list_insert(self, dice & 1, (int)key, 1 + (int)tsu_rand_below(&w->rng, 20), 1, tsu_rand_below(&w->rng, 40));
            continue;
        }
        tsu_pin(self);
        if (dice < 22) (void)tsu_clear(self, table);
        else if (dice < 40) tsu_walk(self, table, NULL, 0, TSU_FORWARD, 500, touch, &sum, &flag);
        else if (dice < 60) tsu_step(self, table, k.bytes, k.len, TSU_FORWARD, touch, &sum, &flag, &present);
        else if (dice < 70) {
            if (tsu_table_fix(self, table) == TSU_OK) {
                (void)tsu_delete(self, table, k.bytes, k.len);
                tsu_table_unfix(self, table);
            }
        } else if (dice < 80) tsu_slot(self, table, (uint64_t)key % 64, touch, &sum, &i);
        else if (dice < 200) (void)tsu_take(self, table, k.bytes, k.len, touch, &sum);
        else if (dice < 300) (void)tsu_delete_object(self, table, o.bytes, o.len);
        else if (dice < 450) (void)tsu_delete(self, table, k.bytes, k.len);
        else if (dice < 600) tsu_lookup(self, table, k.bytes, k.len, touch, &sum);
        else if (dice < 700) (void)tsu_insert_new(self, table, o.bytes, o.len, &flag);
        else (void)tsu_insert(self, table, o.bytes, o.len);
        tsu_unpin(self);
        w->done++;
    }
}

static void mixture(tsu_thread *self, uint64_t *rng)
{
    void (*const runs[THREADS])(worker *, tsu_thread *) = {mixture_worker, mixture_worker, mixture_worker, mixture_worker};

    table = make(self);
    spread = tsu_rand_below(rng, 2) ? 20 : 3000;
    run_all(runs, rng, round_seconds);
    expect_exact(self, table, "mixture");
    tsu_table_destroy(self, table);
}

static void rounds_run(tsu_thread *self, uint64_t *rng)
{
    if (type <= TSU_ORDERED_SET) histories(self, rng);
    groups(self, rng);
    ring(self, rng);
    mixture(self, rng);
}

static void done(void) { free(memos); }

int main(int argc, char **argv)
{
    memos = malloc(MEMO_COUNT * sizeof *memos);
    return memos == NULL ? 1 : stress_main(argc, argv, rounds_run, done);
}
