/* frozen_test.c: a thread stopped between any two atomic steps of an operation; others go on, and what all of them
 * were told, and what is left, fits one order of the operations.
 */
#include <pthread.h>
#include <semaphore.h>

#include "engine.h"
#include "mem/hashtab.h"
#include "mem/slab.h"
#include "table.h"
#include "testing/harness.h"
#include "testing/ops.h"

#ifdef TSU_RACE_DELAYS

#define LIST_MAX 8
#define ACTS_MAX 5

typedef enum act_kind { ACT_OP, ACT_BATCH } act_kind;

/* One event: an operation, or a batch from its creation to its end. */
typedef struct act {
    act_kind     kind;
    op           op;
    bool         new_only;
    size_t       count;
    model_object list[LIST_MAX];
    answer       got;            /* a batch: OK, EXISTS; AGAIN: given up */
} act;

/* --- the victim ------------------------------------------------------------------------------- */
static struct {
    pthread_t  thread;
    bool       started;
    sem_t      job, stopped, go;
    tsu_table *table;
    act       *act;
    long       stop_at;
    bool       frozen;           /* else: it is done */
    long       stops;
} victim;

static _Thread_local long countdown = -1;

void tsu_env_race_point(void)
{
    if (countdown < 0 || countdown-- > 0) return;
    victim.frozen = true;
    victim.stops++;
    sem_post(&victim.stopped);
    while (sem_wait(&victim.go) != 0) {}
}

static void act_on_table(tsu_thread *self, tsu_table *t, act *a, int patience)
{
    tsu_batch *b = NULL;
    tsu_status s;
    size_t     i;

    if (a->kind == ACT_OP) {
        do {
            tsu_pin(self);
            op_on_table(self, t, &a->op, &a->got);
            tsu_unpin(self);
        } while (a->got.status == TSU_AGAIN && patience-- > 0);
        return;
    }
    tsu_pin(self);
    a->got.yes = false;
    a->got.count = 0;
    CHECK(tsu_batch_create(self, t, a->new_only, &b) == TSU_OK);
    for (i = 0; i < a->count; i++) {
        object_bytes o = object_make(a->list[i].key, a->list[i].variant, a->list[i].value);

        CHECK(tsu_batch_add(self, b, o.bytes, o.len) == TSU_OK);
    }
    do {
        s = tsu_batch_run(self, b, 100);
        tsu_unpin(self);
        tsu_pin(self);
    } while (s == TSU_AGAIN && patience-- > 0);
    tsu_unpin(self);
    tsu_batch_destroy(self, b);
    a->got.status = s;
}

static void *victim_run(void *unused)
{
    tsu_thread *self = tsu_thread_self();

    (void)unused;
    for (;;) {
        while (sem_wait(&victim.job) != 0) {}
        if (victim.act == NULL) return NULL;
        countdown = victim.stop_at;
        act_on_table(self, victim.table, victim.act, 1 << 20);
        countdown = -1;
        (void)tsu_ebr_collect(self, SIZE_MAX);
        victim.frozen = false;
        sem_post(&victim.stopped);
    }
}

static void victim_wait(void)
{
    struct timespec limit;

    clock_gettime(CLOCK_REALTIME, &limit);
    limit.tv_sec += 20;
    if (sem_timedwait(&victim.stopped, &limit) != 0) {
        printf("the thread that was stopped and sent on does not come back\n");
        abort();
    }
}

static void finish(void)
{
    if (!victim.started) return;
    victim.act = NULL;
    sem_post(&victim.job);
    pthread_join(victim.thread, NULL);
    victim.started = false;
    printf("stopped at %ld points\n", victim.stops);
    tsu_engine_close();
}

static tsu_thread *setup(void)
{
    if (!victim.started) {
        CHECK(tsu_engine_open() == TSU_OK);
        tsu_hash_seed = tsu_test_seed();
        sem_init(&victim.job, 0, 0);
        sem_init(&victim.stopped, 0, 0);
        sem_init(&victim.go, 0, 0);
        victim.started = true;
        atexit(finish);
        pthread_create(&victim.thread, NULL, victim_run, NULL);
    }
    return tsu_thread_self();
}

/* --- all orders ----------------------------------------------------------------------------------- */
/* Answers like those the act got, on the model? */
static bool act_fits(model *m, act *a)
{
    static answer want;

    if (a->got.status == TSU_AGAIN) return true;
    if (a->kind == ACT_OP) {
        op_on_model(m, &a->op, &want);
        return answer_equal(&want, &a->got);
    }
    return model_insert_list(m, a->list, a->count, a->new_only) == (a->got.status == TSU_OK);
}

typedef struct scene {
    tsu_table_type type;
    int            filler;            /* keys that are there and that no answer shows */
    int            keys;
    size_t         before_count;      /* operations before */
    op             before[12];
    act            frozen;
    bool           early;             /* a batch begun before by the main thread, and ended by it at act `early_end` */
    bool           early_drop;
    int            early_steps;
    size_t         early_end;
    act            early_act;
    size_t         act_count;
    act            acts[ACTS_MAX];
} scene;

static bool order_fits(const model *start, scene *s, size_t at, size_t early_at, bool early_happens, const answer *end)
{
    static model  m;
    static answer walk;
    op            o = {.kind = OP_WALK};
    size_t        i;
    int           pass;

    m = *start;
    for (i = 0; i <= s->act_count; i++) {
        /* the frozen one and the early one in both orders, when they come to the same place: see the caller */
        for (pass = 0; pass < 2; pass++) {
            bool frozen_now = i == at / 2 && (at % 2 == (size_t)pass);

            if (pass == 0 && frozen_now && !act_fits(&m, &s->frozen)) return false;
            if (pass == 0 && s->early && i == early_at) {
                bool fits = true;

                if (early_happens) fits = act_fits(&m, &s->early_act);
                if (!fits) return false;
            }
            if (pass == 1 && frozen_now && !act_fits(&m, &s->frozen)) return false;
        }
        if (i < s->act_count && !act_fits(&m, &s->acts[i])) return false;
    }
    op_on_model(&m, &o, &walk);
    return answer_equal(&walk, end);
}

static bool some_order_fits(const model *start, scene *s, const answer *end)
{
    size_t at, early_at;

    for (at = 0; at <= 2 * s->act_count + 1; at++)
        for (early_at = 0; early_at <= (s->early ? s->early_end : 0); early_at++) {
            if (order_fits(start, s, at, early_at, true, end)) return true;
            /* given up: it need not have happened */
            if (s->early && s->early_act.got.status == TSU_AGAIN) {
                s->early_act.got.status = TSU_OK;
                bool fits = order_fits(start, s, at, early_at, true, end);

                s->early_act.got.status = TSU_AGAIN;
                if (fits) return true;
            }
        }
    return false;
}

static void act_print(const char *who, const act *a)
{
    size_t i;

    printf("  %s: ", who);
    if (a->kind == ACT_OP) {
        printf("%s {%d,%lld}\n", op_name(a->op.kind), a->op.object.key, (long long)a->op.object.value);
    } else {
        printf("batch%s", a->new_only ? " of new" : "");
        for (i = 0; i < a->count; i++) printf(" {%d,%lld}", a->list[i].key, (long long)a->list[i].value);
        printf("\n");
    }
    answer_print("got", &a->got);
}

static void quiet(tsu_thread *self)
{
    static act       nothing = {.kind = ACT_OP, .op = {.kind = OP_KINDS}};
    tsu_engine_stats stats;
    int              i;

    for (i = 0; i < 400; i++) {
        if (victim.started) {
            victim.act = &nothing;
            victim.stop_at = -1;
            sem_post(&victim.job);
            victim_wait();
        }
        tsu_engine_sync(self);
        tsu_engine_stats_get(&stats);
        if (stats.bytes_waiting == 0 && stats.roots_waiting == 0) return;
        usleep(5000);
    }
}

static void early_finish(tsu_thread *self, scene *s, tsu_batch **b)
{
    tsu_status status = TSU_AGAIN;
    int        patience = 3;

    if (*b == NULL) return;
    while (!s->early_drop && status == TSU_AGAIN && patience-- > 0) {
        tsu_pin(self);
        status = tsu_batch_run(self, *b, 1000);
        tsu_unpin(self);
    }
    tsu_batch_destroy(self, *b);
    *b = NULL;
    s->early_act.got.status = status;
}

/* True while there is a further point to stop at. */
static bool play(tsu_thread *self, scene *s, long stop_at)
{
    static model  start;
    static answer end, ignored;
    op            o = {.kind = OP_WALK};
    tsu_batch    *early = NULL;
    tsu_table    *t;
    bool          was_frozen;
    const char   *fault;
    size_t        i;
    int           k;

    tsu_pin(self);
    CHECK(tsu_table_create(self, s->type, 1, &t) == TSU_OK);
    model_init(&start, s->type);
    for (k = 0; k < s->filler; k++) {
        object_bytes ob = object_make(OP_KEYS_UNSEEN + k, 0, 0);

        CHECK(tsu_insert(self, t, ob.bytes, ob.len) == TSU_OK);
    }
    for (i = 0; i < s->before_count; i++) {
        op_on_table(self, t, &s->before[i], &ignored);
        op_on_model(&start, &s->before[i], &ignored);
    }
    if (s->early) {
        CHECK(tsu_batch_create(self, t, s->early_act.new_only, &early) == TSU_OK);
        for (i = 0; i < s->early_act.count; i++) {
            model_object *m = &s->early_act.list[i];
            object_bytes  ob = object_make(m->key, m->variant, m->value);

            CHECK(tsu_batch_add(self, early, ob.bytes, ob.len) == TSU_OK);
        }
        s->early_act.got.status = TSU_AGAIN;
        for (k = 0; k < s->early_steps && s->early_act.got.status == TSU_AGAIN; k++)
            s->early_act.got.status = tsu_batch_run(self, early, 1);
        if (s->early_act.got.status != TSU_AGAIN) {      /* it is over before we begin */
            tsu_batch_destroy(self, early);
            early = NULL;
        }
    }
    tsu_unpin(self);
    victim.table = t;
    victim.act = &s->frozen;
    victim.stop_at = stop_at;
    sem_post(&victim.job);
    victim_wait();
    was_frozen = victim.frozen;
    for (i = 0; i < s->act_count; i++) {
        if (i == s->early_end) early_finish(self, s, &early);
        act_on_table(self, t, &s->acts[i], 2);
        if (s->acts[i].got.status == TSU_AGAIN)
            EXPECT(s->type >= TSU_BAG || s->frozen.new_only || s->early_act.new_only || s->acts[i].new_only);
    }
    if (was_frozen && victim.frozen) {
        if (s->early_end >= s->act_count) early_finish(self, s, &early);
        sem_post(&victim.go);
        victim_wait();
    }
    early_finish(self, s, &early);
    tsu_ebr_drain(self);
    tsu_pin(self);
    op_on_table(self, t, &o, &end);
    if (!some_order_fits(&start, s, &end)) {
        TSU_TEST_FAILED("on a %d no order explains what was answered, stopped at %ld, filler %d", s->type, stop_at, s->filler);
        if (tsu_test_state.failures <= 2) {
            for (i = 0; i < s->before_count; i++)
                printf("  before: %s {%d,%lld}\n", op_name(s->before[i].kind), s->before[i].object.key, (long long)s->before[i].object.value);
            if (s->early) printf("  early batch: %d steps, ended before act %zu, %s\n", s->early_steps, s->early_end, s->early_drop ? "given up" : "run");
            if (s->early) act_print("early", &s->early_act);
            act_print("stopped", &s->frozen);
            for (i = 0; i < s->act_count; i++) act_print("act", &s->acts[i]);
            answer_print("in the end", &end);
        }
    }
    EXPECT_EQ(tsu_table_count(t), end.count + (size_t)s->filler);
    fault = tsu_table_contents(t)->kind->verify(self, tsu_table_contents(t)->root);
    EXPECT_STR(fault != NULL ? fault : "sound", "sound");
    tsu_unpin(self);
    tsu_table_destroy(self, t);
    return was_frozen;
}

/* --- scenes ---------------------------------------------------------------------------------------- */
static model_object draw(uint64_t *rng, int keys)
{
    return (model_object){(int32_t)tsu_rand_below(rng, (uint64_t)keys), 0, (int64_t)tsu_rand_below(rng, 3)};
}

static void act_draw(uint64_t *rng, scene *s, act *a, uint64_t batch_of_ten)
{
    size_t i;

    memset(a, 0, sizeof *a);
    if (tsu_rand_below(rng, 10) < batch_of_ten) {
        a->kind = ACT_BATCH;
        a->new_only = tsu_rand_below(rng, 3) == 0;
        a->count = 1 + tsu_rand_below(rng, LIST_MAX - 1);
        for (i = 0; i < a->count; i++) a->list[i] = draw(rng, s->keys);
        return;
    }
    do a->op.kind = (op_kind)tsu_rand_below(rng, OP_KINDS);
    while (a->op.kind == OP_CLEAR);
    a->op.object = draw(rng, s->keys);
}

static void scene_draw(uint64_t *rng, scene *s, tsu_table_type type)
{
    static const int fillers[] = {0, 0, 0, 5, 6, 7, 24, 27, 60, 1430};
    size_t           i;

    memset(s, 0, sizeof *s);
    s->type = type;
    s->filler = fillers[tsu_rand_below(rng, 10)];
    s->keys = tsu_rand_below(rng, 2) ? 2 : 4;
    s->before_count = tsu_rand_below(rng, 6);
    for (i = 0; i < s->before_count; i++)
        s->before[i] = (op){tsu_rand_below(rng, 3) ? OP_INSERT : OP_DELETE, draw(rng, s->keys)};
    do act_draw(rng, s, &s->frozen, 4);
    while (s->frozen.kind == ACT_OP && (s->frozen.op.kind <= OP_MEMBER || s->frozen.op.kind == OP_WALK));
    s->early = tsu_rand_below(rng, 2);
    if (s->early) {
        act_draw(rng, s, &s->early_act, 10);
        /* sorting alone takes up to seven steps an object */
        s->early_steps = (int)tsu_rand_below(rng, 9 * s->early_act.count + 6);
        s->early_drop = tsu_rand_below(rng, 2);
    }
    s->act_count = 1 + tsu_rand_below(rng, ACTS_MAX);
    for (i = 0; i < s->act_count; i++) act_draw(rng, s, &s->acts[i], 2);
    s->early_end = tsu_rand_below(rng, s->act_count + 1);
}

static void stop_everywhere(tsu_table_type type, long rounds)
{
    static scene s;
    tsu_thread  *self = setup();
    uint64_t     rng = tsu_test_seed() + type, here;
    uint64_t     live;
    long         round, at;

    quiet(self);
    live = tsu_load_relaxed(&tsu_slab_live);
    for (round = 0; round < rounds && tsu_test_state.failures == 0; round++) {
        scene_draw(&rng, &s, type);
        here = rng;
        /* an operation that has to wait for a batch (bags) passes points without end */
        for (at = 0; play(self, &s, at) && at < 1000; at += at < 150 ? 1 : 1 + (long)tsu_rand_below(&here, 20)) {}
    }
    quiet(self);
    EXPECT_EQ(tsu_load_relaxed(&tsu_slab_live), live);
}

TEST(a_thread_stopped_anywhere_in_a_write_to_a_set_keeps_nobody) { stop_everywhere(TSU_SET, tsu_test_rounds(100)); }
TEST(a_thread_stopped_anywhere_in_a_write_to_a_bag_keeps_no_reader) { stop_everywhere(TSU_BAG, tsu_test_rounds(60)); }
TEST(a_thread_stopped_anywhere_in_a_write_to_a_duplicate_bag_keeps_no_reader)
{
    stop_everywhere(TSU_DUPLICATE_BAG, tsu_test_rounds(60));
}
TEST(a_thread_stopped_anywhere_in_a_write_to_an_ordered_set_keeps_nobody)
{
    stop_everywhere(TSU_ORDERED_SET, tsu_test_rounds(60));
}

TEST(a_late_helper_of_a_batch_that_was_given_up_hides_what_it_installed)
{
    static scene s;
    tsu_thread  *self = setup();
    int          type, key, i;
    long         at;

    for (type = TSU_SET; type <= TSU_ORDERED_SET; type++)
        for (key = 0; key < 3; key++) {
            memset(&s, 0, sizeof s);
            s.type = (tsu_table_type)type;
            s.keys = 3;
            s.early = s.early_drop = true;
            s.early_act = (act){.kind = ACT_BATCH, .new_only = true, .count = 3};
            for (i = 0; i < 3; i++) s.early_act.list[i] = (model_object){i, 0, 7};
            s.frozen = (act){.kind = ACT_OP, .op = {OP_INSERT, {key, 0, 1}}};
            s.act_count = 1;
            s.acts[0] = (act){.kind = ACT_OP, .op = {OP_LOOKUP, {key, 0, 0}}};
            for (s.early_steps = 0; s.early_steps < 30; s.early_steps++)
                for (at = 0; play(self, &s, at); at++) {}
        }
}

TEST(in_the_end_nothing_is_left)
{
    EXPECT(victim.stops > 1000);
    finish();
    EXPECT_EQ(tsu_env_bytes_mapped(), 0);
    EXPECT_EQ(tsu_env_bytes_allocated(), 0);
}

#else
TEST(threads_are_stopped_in_builds_with_race_delays) { SKIP("built without TSU_RACE_DELAYS"); }
#endif

TEST_MAIN
