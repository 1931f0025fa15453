/* stress_snapshot.c: snapshots of every kind of table, while threads write to it in every way.
 *
 *   counting    each writer goes round its own keys, key after key: a snapshot shows it between two of its steps, and sees a key that
 *               is deleted and put back either way
 *   transfers   lists that move an amount between two keys: the sum in a snapshot is always the same
 *   noise       any operation on some keys that all share, batches given up half way, keys that come and go: a snapshot shows the
 *               same whenever it is read
 *   clearing    the table is emptied and filled by one list: a snapshot has all or nothing
 * In the end nothing is kept, and counts and bytes are exact.
 */
#include <pthread.h>

#include "testing/harness.h"
#include "testing/ops.h"
#include "testing/stress.h"

#define THREADS    4
#define SNAPSHOTS  3

/* keys: those of writer i's counting and transfers; of noise; and others */
#define COUNT_KEY(i, k)    (100 * ((i) + 1) + (k))
#define TRANSFER_KEY(i, k) (100 * ((i) + 1) + 10 + (k))
#define TRANSFER_KEYS      6
#define TRANSFER_SUM       600
#define NOISE_KEYS         20
#define OTHER_KEY          5000
#define OTHER_KEYS         300
#define CLEARED_KEY        9000
#define CLEARED_KEYS       40

static tsu_table     *table;
static int            stop;
static uint64_t       snapshots_read;

static bool stopped(void) { return __atomic_load_n(&stop, __ATOMIC_RELAXED) != 0; }

typedef struct worker {
    pthread_t   thread;
    tsu_thread *self;
    int         index;
    uint64_t    rng, round;
    int64_t     amount[TRANSFER_KEYS];
    void      (*run)(struct worker *w);
} worker;

/* --- writing ------------------------------------------------------------------------------------ */
typedef enum change { INSERT, DELETE, DELETE_OBJECT } change;

static void write_one(worker *w, change change, int64_t key, int64_t value)
{
    object_bytes o = object_make(key, 0, value), k = object_key(key, 0);
    tsu_status   s = TSU_OK;

    do {
        tsu_pin(w->self);
        switch (change) {
        case INSERT:        s = tsu_insert(w->self, table, o.bytes, o.len); break;
        case DELETE:        s = tsu_delete(w->self, table, k.bytes, k.len); break;
        case DELETE_OBJECT: s = tsu_delete_object(w->self, table, o.bytes, o.len); break;
        }
        tsu_unpin(w->self);
    } while (s == TSU_AGAIN);
    CHECK(s == TSU_OK);
}

/* A bag has both values for a moment. */
static void replace(worker *w, int64_t key, int64_t old, int64_t value)
{
    write_one(w, INSERT, key, value);
    if (type > TSU_ORDERED_SET) write_one(w, DELETE_OBJECT, key, old);
}

/* A list that is given up after so many steps, if they are not enough. */
static void list_insert(worker *w, const model_object *list, size_t count, bool new_only, size_t steps)
{
    tsu_batch *b;
    tsu_status s;
    size_t     i;

    tsu_pin(w->self);
    s = tsu_batch_create(w->self, table, new_only, &b);
    for (i = 0; s == TSU_OK && i < count; i++) {
        object_bytes o = object_make(list[i].key, 0, list[i].value);

        s = tsu_batch_add(w->self, b, o.bytes, o.len);
    }
    tsu_unpin(w->self);
    CHECK(s == TSU_OK);
    for (; steps > 0; steps -= steps == SIZE_MAX ? 0 : 1) {
        tsu_pin(w->self);
        s = tsu_batch_run(w->self, b, 1 + tsu_rand_below(&w->rng, 20));
        tsu_unpin(w->self);
        if (s != TSU_AGAIN) break;
    }
    tsu_batch_destroy(w->self, b);
}

static void count_step(worker *w)
{
    uint64_t r = w->round++ / 4 + 1;

    switch ((w->round - 1) % 4) {
    case 0: replace(w, COUNT_KEY(w->index, 0), (int64_t)r - 1, (int64_t)r); break;
    case 1: replace(w, COUNT_KEY(w->index, 1), (int64_t)r - 1, (int64_t)r); break;
    case 2: write_one(w, DELETE, COUNT_KEY(w->index, 2), 0); break;
    case 3: write_one(w, INSERT, COUNT_KEY(w->index, 2), (int64_t)r); break;
    }
}

static void transfer(worker *w)
{
    size_t       from = tsu_rand_below(&w->rng, TRANSFER_KEYS), to = tsu_rand_below(&w->rng, TRANSFER_KEYS);
    int64_t      n = (int64_t)tsu_rand_below(&w->rng, 20);
    model_object list[2];

    if (from == to || type > TSU_ORDERED_SET) return;
    w->amount[from] -= n;
    w->amount[to] += n;
    list[0] = (model_object){.key = TRANSFER_KEY(w->index, (int)from), .value = w->amount[from]};
    list[1] = (model_object){.key = TRANSFER_KEY(w->index, (int)to), .value = w->amount[to]};
    list_insert(w, list, 2, false, SIZE_MAX);
}

static void noise(worker *w)
{
    static _Thread_local answer a;
    model_object list[10];
    op           o = {.kind = (op_kind)tsu_rand_below(&w->rng, OP_CLEAR)};
    size_t       i, n = 1 + tsu_rand_below(&w->rng, 10);
    uint64_t     dice = tsu_rand_below(&w->rng, 10);

    if (dice < 2) {
        for (i = 0; i < n; i++)
            list[i] = (model_object){.key = (int32_t)tsu_rand_below(&w->rng, NOISE_KEYS), .value = (int64_t)tsu_rand_below(&w->rng, 4)};
        list_insert(w, list, n, tsu_rand_below(&w->rng, 2), tsu_rand_below(&w->rng, 2) ? 500 : tsu_rand_below(&w->rng, 8));
        return;
    }
    if (dice < 4) {
        int64_t key = OTHER_KEY + (int64_t)tsu_rand_below(&w->rng, OTHER_KEYS);

        for (i = 0; i < n; i++) {
            if ((w->round >> 8 & 1) != 0) write_one(w, INSERT, key + (int64_t)i, 1);
            else write_one(w, DELETE, key + (int64_t)i, 0);
        }
        return;
    }
    o.object = (model_object){.key = (int32_t)tsu_rand_below(&w->rng, NOISE_KEYS), .value = (int64_t)tsu_rand_below(&w->rng, 4)};
    if (o.kind == OP_INSERT && type == TSU_DUPLICATE_BAG && tsu_rand_below(&w->rng, 2)) o.kind = OP_DELETE;
    tsu_pin(w->self);
    op_on_table(w->self, table, &o, &a);
    tsu_unpin(w->self);
}

static void write_run(worker *w)
{
    while (!stopped()) {
        count_step(w);
        transfer(w);
        noise(w);
    }
}

static void clear_run(worker *w)
{
    model_object list[CLEARED_KEYS];

    for (int64_t v = 1; !stopped(); v++) {
        for (int i = 0; i < CLEARED_KEYS; i++) list[i] = (model_object){.key = CLEARED_KEY + i, .value = v};
        list_insert(w, list, CLEARED_KEYS, false, SIZE_MAX);
        tsu_pin(w->self);
        CHECK(tsu_clear(w->self, table) == TSU_OK);
        tsu_unpin(w->self);
    }
}

/* --- reading --------------------------------------------------------------------------------------- */
typedef struct seen {
    uint64_t hash, objects, cleared;
    int64_t  count[THREADS][3];         /* the newest value, or -1 */
    int64_t  sum[THREADS];
} seen;

static bool see(void *ctx, const uint8_t *object)
{
    seen   *s = ctx;
    int     variant;
    int64_t key = object_key_of(object, &variant), value = object_value(object);
    int     i = (int)(key / 100) - 1, k = (int)(key % 100);

    s->hash = (s->hash ^ (uint64_t)key << 20 ^ (uint64_t)value) * UINT64_C(0x9e3779b97f4a7c15);
    s->objects++;
    if (key >= CLEARED_KEY) s->cleared++;
    if (i < 0 || i >= THREADS) return true;
    if (k < 3 && value > s->count[i][k]) s->count[i][k] = value;
    if (k >= 10) s->sum[i] += value;
    return true;
}

/* A walk in parts, unpinned in between, goes on from the last key. */
static bool see_part(void *ctx, const uint8_t *object)
{
    struct { seen *s; object_bytes last; } *part = ctx;
    int variant;

    part->last = object_key(object_key_of(object, &variant), 0);
    return see(part->s, object);
}

static void see_all(worker *w, tsu_snapshot *snapshot, seen *s)
{
    struct { seen *s; object_bytes last; } part = {.s = s};
    bool done = false;

    memset(s, 0, sizeof *s);
    memset(s->count, 0xff, sizeof s->count);
    while (!done) {
        tsu_pin(w->self);
        tsu_walk(w->self, tsu_snapshot_view(w->self, snapshot), part.last.len > 0 ? part.last.bytes : NULL, part.last.len, TSU_FORWARD,
                 1 + tsu_rand_below(&w->rng, 100), see_part, &part, &done);
        tsu_snapshot_done(w->self);
        tsu_unpin(w->self);
    }
}

static int64_t see_key(worker *w, tsu_snapshot *snapshot, int64_t key)
{
    object_bytes k = object_key(key, 0);
    seen         s;

    memset(s.count, 0xff, sizeof s.count);
    tsu_pin(w->self);
    tsu_lookup(w->self, tsu_snapshot_view(w->self, snapshot), k.bytes, k.len, see, &s);
    tsu_snapshot_done(w->self);
    tsu_unpin(w->self);
    return s.count[key / 100 - 1][key % 100];
}

static void expect_steps(const seen *s, int writers)
{
    for (int i = 0; i < writers; i++) {
        const int64_t *v = s->count[i];
        int64_t        r = v[0];

        if (r < 1) FAIL("type %d: the first key of writer %d is absent", type, i);
        else if (!((v[1] == r - 1 && v[2] == r - 1) || (v[1] == r && (v[2] == r - 1 || v[2] == r || v[2] == -1))))
            FAIL("type %d: writer %d at no step of its: %lld %lld %lld", type, i, (long long)v[0], (long long)v[1], (long long)v[2]);
        if (type <= TSU_ORDERED_SET && s->sum[i] != TRANSFER_SUM) FAIL("type %d: writer %d has %lld", type, i, (long long)s->sum[i]);
    }
}

static int writers;

static void read_run(worker *w)
{
    struct { tsu_snapshot *snapshot; seen seen; } held[SNAPSHOTS] = {{NULL, {0}}};

    while (!stopped()) {
        size_t i = tsu_rand_below(&w->rng, SNAPSHOTS);
        seen   again;

        if (held[i].snapshot == NULL) {
            tsu_pin(w->self);
            CHECK(tsu_snapshot_create(w->self, table, &held[i].snapshot) == TSU_OK);
            tsu_unpin(w->self);
            if (tsu_rand_below(&w->rng, 16) != 0) {
                exact_take(w->self, held[i].snapshot);
                see_all(w, held[i].snapshot, &held[i].seen);
                if (writers > 0) expect_steps(&held[i].seen, writers);
                else if (held[i].seen.cleared % CLEARED_KEYS != 0) FAIL("type %d: half a list, or half cleared", type);
                continue;
            }
        } else {
            see_all(w, held[i].snapshot, &again);
            if (again.hash != held[i].seen.hash || again.objects != held[i].seen.objects)
                FAIL("type %d: a snapshot has changed, from %llu to %llu objects", type, (unsigned long long)held[i].seen.objects,
                     (unsigned long long)again.objects);
            for (int k = 0; k < 3 && writers > 0; k++)
                if (see_key(w, held[i].snapshot, COUNT_KEY(0, k)) != held[i].seen.count[0][k]) FAIL("type %d: a key looks otherwise by itself", type);
            __atomic_fetch_add(&snapshots_read, 1, __ATOMIC_RELAXED);
            if (tsu_rand_below(&w->rng, 3) != 0) continue;
        }
        tsu_snapshot_destroy(held[i].snapshot);
        held[i].snapshot = NULL;
    }
    for (size_t i = 0; i < SNAPSHOTS; i++) tsu_snapshot_destroy(held[i].snapshot);
}

/* --- rounds ------------------------------------------------------------------------------------------ */
static void *worker_run(void *arg)
{
    worker *w = arg;

    w->self = tsu_thread_self();
    w->run(w);
    return NULL;
}

static void round_run(tsu_thread *self, uint64_t *rng, bool clears)
{
    static worker workers[THREADS];
    const char   *fault;
    int           i;

    tsu_pin(self);
    CHECK(tsu_table_create(self, type, 1, &table) == TSU_OK);
    tsu_unpin(self);
    writers = clears ? 0 : 2;
    for (i = 0; i < THREADS; i++) {
        worker *w = &workers[i];

        *w = (worker){.self = self, .index = i, .rng = tsu_rand(rng), .round = 4, .run = i >= 2 ? read_run : clears ? clear_run : write_run};
        for (int k = 0; k < 3 && i < writers; k++) write_one(w, INSERT, COUNT_KEY(i, k), 1);
        for (int k = 0; k < TRANSFER_KEYS && i < writers; k++) write_one(w, INSERT, TRANSFER_KEY(i, k), w->amount[k] = TRANSFER_SUM / TRANSFER_KEYS);
    }
    if (clears) workers[1].run = read_run;
    __atomic_store_n(&stop, 0, __ATOMIC_RELAXED);
    for (i = 0; i < THREADS; i++)
        if (pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) != 0) abort();
    usleep((useconds_t)(round_seconds * 1e6));
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
    tsu_engine_sync(self);
    fault = exact_fault(self, table, false);
    if (fault != NULL) FAIL("type %d: %s", type, fault);
    tsu_table_destroy(self, table);
}

static void rounds_run(tsu_thread *self, uint64_t *rng)
{
    round_run(self, rng, false);
    round_run(self, rng, true);
}

static void done(void) { printf("%llu reads of held snapshots\n", (unsigned long long)snapshots_read); }

int main(int argc, char **argv) { return stress_main(argc, argv, rounds_run, done); }
