/* commit_race_test.c: commits and single-key writes on the same keys, with anything between two steps, and by many threads:
 * what all were told and what is left fits one order.
 */
#include "testing/cell_commits.h"

#ifdef TSU_RACE_DELAYS
/* --- anything between two steps ------------------------------------------------------------------------- */
#define KEYS     3
#define ACTS_MAX 4

typedef enum act_kind { ACT_READ, ACT_PUT, ACT_PUT_NEW, ACT_REMOVE, ACT_LIST, ACT_LIST_NEW, ACT_KINDS } act_kind;

/* One event, and what it was told: the value that was there; a list: 1 if it is in. */
typedef struct act {
    act_kind kind;
    int64_t  key, value;
    uint64_t keys;
    int      given_up;           /* a list: aborted after so many entries, if it can be; below 0: never */
    int64_t  got;
} act;

/* `first` is stopped at a step, some of the others happen there, one after another, and the rest `gap` steps later. A list
 * begun before them all ends before the act `early_end`, or after everything. */
typedef struct scene {
    int64_t before[KEYS];        /* -1: absent */
    act     first, others[ACTS_MAX], early;
    int     other_count, at_once, early_steps, early_end;
    long    gap;
    bool    seen;
} scene;

static struct stage {
    scene             *s;
    tsu_thread        *other;
    tsu_commit_record *early;
    int                next;             /* of the others */
    notice             n;
} stage;

static void list_run(tsu_thread *self, tsu_commit_record *r, act *a)
{
    if (a->given_up >= 0) (void)help(self, r, (size_t)a->given_up);
    else while (help(self, r, 100) == TSU_AGAIN) { }
    a->got = batch_end(self, r, NULL);
}

static void act_run(tsu_thread *self, act *a)
{
    switch (a->kind) {
    case ACT_READ:    a->got = cells_read(self, &root, a->key); return;
    case ACT_PUT:     a->got = write_key(self, a->key, a->value, false); return;
    case ACT_PUT_NEW: a->got = write_key(self, a->key, a->value, true); return;
    case ACT_REMOVE:  a->got = write_key(self, a->key, -1, false); return;
    case ACT_LIST:
    case ACT_LIST_NEW: list_run(self, batch_make(self, a->keys, a->value, a->kind == ACT_LIST_NEW, &stage.n), a); return;
    case ACT_KINDS: break;
    }
}

static void early_end(tsu_thread *self)
{
    if (stage.early == NULL) return;
    if (stage.s->early.given_up < 0) while (help(self, stage.early, 100) == TSU_AGAIN) { }
    stage.s->early.got = batch_end(self, stage.early, NULL);
    stage.early = NULL;
}

static void others_run(void *unused)
{
    int end = stage.next < stage.s->at_once ? stage.s->at_once : stage.s->other_count;

    (void)unused;
    tsu_pin(stage.other);
    for (; stage.next < end; stage.next++) {
        if (stage.next == stage.s->early_end) early_end(stage.other);
        act_run(stage.other, &stage.s->others[stage.next]);
    }
    tsu_unpin(stage.other);
    if (end < stage.s->other_count) points_left = stage.s->gap;
}

/* Does what it was told fit these values? Changes them. */
static bool act_fits(const act *a, int64_t *v)
{
    int64_t old = a->key < KEYS ? v[a->key] : -1;
    bool    free = true;

    switch (a->kind) {
    case ACT_READ: return a->got == old;
    case ACT_PUT:
    case ACT_PUT_NEW:
        if (a->kind == ACT_PUT || old < 0) v[a->key] = a->value;
        return a->got == old;
    case ACT_REMOVE:
        v[a->key] = -1;
        return a->got == old;
    case ACT_LIST:
    case ACT_LIST_NEW:
        for (int k = 0; k < KEYS; k++) free = free && (!(a->keys >> k & 1) || v[k] < 0);
        if (a->kind == ACT_LIST_NEW && a->got && !free) return false;
        if (!a->got) return a->given_up >= 0 || (a->kind == ACT_LIST_NEW && !free);
        for (int k = 0; k < KEYS; k++) if (a->keys >> k & 1) v[k] = a->value + k;
        return true;
    case ACT_KINDS: break;
    }
    return false;
}

/* Is there an order, from here on? What happened: the others in their order, before the early list's end or not. */
static bool order_fits(const scene *s, const int64_t *v, bool first, bool early, int others, const int64_t *end)
{
    int64_t next[KEYS];

    if (first && early && others == s->other_count) return memcmp(v, end, sizeof next) == 0;
    if (!early) {
        memcpy(next, v, sizeof next);
        if (act_fits(&s->early, next) && order_fits(s, next, first, true, others, end)) return true;
    }
    if (!first) {
        memcpy(next, v, sizeof next);
        if (act_fits(&s->first, next) && order_fits(s, next, true, early, others, end)) return true;
    }
    if (others == s->other_count || (!early && others == s->early_end)) return false;
    memcpy(next, v, sizeof next);
    return act_fits(&s->others[others], next) && order_fits(s, next, first, early, others + 1, end);
}

static void act_print(const char *who, const act *a)
{
    static const char *names[] = {"read", "put", "put_new", "remove", "list", "list_new"};

    printf("  %s: %s key %d value %d keys %x given up %d: %d\n", who, names[a->kind], (int)a->key, (int)a->value,
           (unsigned)a->keys, a->given_up, (int)a->got);
}

/* True while there is a further step to stop at. */
static bool play(tsu_thread *self, scene *s, long at)
{
    int64_t end[KEYS];
    bool    stopped, early = s->early.kind != ACT_KINDS;

    cells_init(self, &root, s->seen);
    stage.s = s;
    stage.next = 0;
    tsu_pin(self);
    for (int k = 0; k < KEYS; k++) if (s->before[k] >= 0) (void)write_key(self, k, s->before[k], false);
    stage.early = NULL;
    if (early) {
        stage.early = batch_make(self, s->early.keys, s->early.value, s->early.kind == ACT_LIST_NEW, &stage.n);
        (void)help(self, stage.early, (size_t)s->early_steps);
    }
    tsu_unpin(self);
    tsu_pin(self);
    points_begin(at, others_run, NULL);
    act_run(self, &s->first);
    stopped = points_end();
    tsu_unpin(self);
    if (stopped) others_run(NULL);           /* that came too late for the second step */
    tsu_pin(self);
    early_end(self);
    for (int k = 0; k < KEYS; k++) end[k] = cells_read(self, &root, k);
    if (stopped && !order_fits(s, s->before, false, !early, 0, end)) {
        TSU_TEST_FAILED("no order explains what was answered, stopped at %ld", at);
        if (tsu_test_state.failures < 3) {
            printf("  before: %d %d %d\n", (int)s->before[0], (int)s->before[1], (int)s->before[2]);
            printf("  %d at once, the others %ld steps later\n", s->at_once, s->gap);
            if (early) printf("  early: %d steps, ends before %d\n", s->early_steps, s->early_end);
            if (early) act_print("early", &s->early);
            act_print("stopped", &s->first);
            for (int i = 0; i < s->other_count; i++) act_print("other", &s->others[i]);
            printf("  in the end: %d %d %d\n", (int)end[0], (int)end[1], (int)end[2]);
        }
    }
    /* no commit has left anything over */
    for (int k = 0; k < KEYS; k++) EXPECT_EQ(cells_value(tsu_load_relaxed(&root.cell[k])), end[k]);
    tsu_unpin(self);
    if (!stopped || at % 8 == 7) {           /* a drain has fences for all threads: slow on a busy machine */
        tsu_ebr_drain(self);
        tsu_ebr_drain(stage.other);
    }
    cells_clear(self, &root);
    return stopped;
}

static act act_draw(uint64_t *rng, bool list, bool write)
{
    act a = {.given_up = -1};

    a.kind = list ? (tsu_rand_below(rng, 2) ? ACT_LIST : ACT_LIST_NEW)
                  : (act_kind)(write + tsu_rand_below(rng, ACT_KINDS - (uint64_t)write));
    a.key = (int64_t)tsu_rand_below(rng, KEYS);
    a.keys = 1 + tsu_rand_below(rng, (1 << KEYS) - 1);
    a.value = 10 * (int64_t)(1 + tsu_rand_below(rng, 1000));
    if (a.kind >= ACT_LIST && tsu_rand_below(rng, 3) == 0) a.given_up = (int)tsu_rand_below(rng, KEYS + 1);
    return a;
}

TEST(whatever_happens_between_two_steps_all_fits_one_order)
{
    tsu_thread *self = threads_setup();
    uint64_t    rng = tsu_test_seed(), live;
    long        plays = 0;

    stage.other = tsu_thread_register();
    live = threads_live();
    for (long round = 0; round < tsu_test_rounds(3000) && tsu_test_state.failures == 0; round++) {
        scene s = {.early = {.kind = ACT_KINDS}};

        s.seen = tsu_rand_below(&rng, 2);
        kind = tsu_rand_below(&rng, 2) ? &cells_kind_runs : &cells_kind;
        for (int k = 0; k < KEYS; k++) s.before[k] = tsu_rand_below(&rng, 2) ? k : -1;
        s.first = act_draw(&rng, tsu_rand_below(&rng, 3) == 0, true);
        s.other_count = 1 + (int)tsu_rand_below(&rng, ACTS_MAX);
        s.at_once = 1 + (int)tsu_rand_below(&rng, (uint64_t)s.other_count);
        for (int i = 0; i < s.other_count; i++) s.others[i] = act_draw(&rng, false, false);
        if (tsu_rand_below(&rng, 3) > 0) {
            s.early = act_draw(&rng, true, false);
            s.early_steps = (int)tsu_rand_below(&rng, KEYS);
            s.early_end = (int)tsu_rand_below(&rng, ACTS_MAX + 1);
        }
        for (long at = 0; play(self, &s, at); at++, plays++) s.gap = (long)tsu_rand_below(&rng, 12);
    }
    kind = &cells_kind;
    printf("stopped at %ld steps\n", plays);
    EXPECT_EQ(threads_live(), live);
}

TEST(a_list_of_which_a_key_comes_and_goes_while_others_help_shows_what_was_there)
{
    tsu_thread *self = threads_setup();
    bool        more = true;

    stage.other = tsu_thread_register();
    for (long gap = 0; gap < 48; gap++, more = true) {
        kind = gap % 2 ? &cells_kind_runs : &cells_kind;
        for (long at = 0; more; at++) {
            scene s = {.early = {.kind = ACT_KINDS}, .before = {-1, -1, -1}, .gap = gap / 2};

            s.at_once = 1;
            s.other_count = 4;
            s.first = (act){.kind = ACT_LIST, .keys = 3, .value = 10, .given_up = -1};
            s.others[0] = (act){.kind = ACT_PUT, .key = 1, .value = 50};
            s.others[1] = (act){.kind = ACT_REMOVE, .key = 1};
            s.others[2] = (act){.kind = ACT_LIST, .keys = 1, .value = 20, .given_up = -1};
            s.others[3] = (act){.kind = ACT_READ, .key = 1};
            more = play(self, &s, at);
        }
    }
    kind = &cells_kind;
}
#endif

/* --- threads ----------------------------------------------------------------------------------------------- */
#define CROWD        4
#define SHARED_KEYS  4                /* anybody writes them */
#define GROUP_FIRST  8                /* keys that one thread's lists alone write, all of them, with growing numbers */
#define GROUP_KEYS   4
#define VALUES_MAX   (1 << 18)

static struct crowd {
    long     ops;
    tsu_word given[VALUES_MAX];       /* a value: 1 when it was put, 0 when somebody was handed it as the one before */
    tsu_word faults, over;
} crowd;

typedef struct member {
    int      index;
    uint64_t rng;
    int64_t  next;                    /* values are its own: a list's are some together */
} member;

static void fault(const char *what)
{
    if (tsu_count_add(&crowd.faults, 1) < 10) printf("%s\n", what);
}

static int64_t value_new(member *m)
{
    int64_t v = m->next;

    m->next += 16 * CROWD;
    CHECK(v + 16 < VALUES_MAX);
    return v;
}

static void value_put(int64_t v) { (void)tsu_fetch_add(&crowd.given[v], 1); }
static void value_gone(int64_t v) { (void)tsu_fetch_add(&crowd.given[v], (uint64_t)-1); }

static void lists_run(tsu_thread *self, member *m)
{
    static notice      n;              /* a late helper may still tell it */
    uint64_t           keys = tsu_rand_below(&m->rng, 1 << SHARED_KEYS);
    bool               absent = m->index != 0 && tsu_rand_below(&m->rng, 2);
    int64_t            v = value_new(m);
    tsu_commit_record *r;
    int                patience = 1 + (int)tsu_rand_below(&m->rng, 6);

    if (m->index == 0) keys |= ((UINT64_C(1) << GROUP_KEYS) - 1) << GROUP_FIRST;
    tsu_pin(self);
    r = batch_make(self, keys, v, absent, &n);
    /* in slices; sometimes given up */
    while (help(self, r, 1 + tsu_rand_below(&m->rng, 6)) == TSU_AGAIN && (m->index == 0 || patience-- > 0)) {
        tsu_unpin(self);
        tsu_pin(self);
    }
    for (int64_t k = 0; k < 16; k++) if (keys >> k & 1) value_put(v + k);
    if (!batch_end(self, r, value_gone)) for (int64_t k = 0; k < 16; k++) if (keys >> k & 1) value_gone(v + k);
    tsu_unpin(self);
}

/* C1 */
static void look(tsu_thread *self, uint64_t *rng)
{
    int64_t at = GROUP_FIRST + (int64_t)tsu_rand_below(rng, GROUP_KEYS);
    int64_t next = GROUP_FIRST + (int64_t)tsu_rand_below(rng, GROUP_KEYS);
    int64_t before = cells_read(self, &root, at), after = cells_read(self, &root, next);

    if (before >= 0 && after < 0) fault("who has seen one key of a commit did not find another");
    if (before >= 0 && after - next < before - at) fault("who has seen one key of a commit saw an older value of another");
}

static void member_run(void *arg)
{
    member     *m = arg;
    tsu_thread *self = tsu_thread_self();

    for (long op = 0; op < crowd.ops; op++) {
        int64_t key = (int64_t)tsu_rand_below(&m->rng, SHARED_KEYS), old, v;

        if (m->index < 2 && tsu_rand_below(&m->rng, 2)) {
            lists_run(self, m);
            continue;
        }
        tsu_pin(self);
        switch (tsu_rand_below(&m->rng, 4)) {
        case 0:
            old = write_key(self, key, -1, false);
            if (old >= 0) value_gone(old);
            break;
        case 1:
            v = value_new(m);
            value_put(v + key);
            old = write_key(self, key, v + key, true);
            if (old >= 0) value_gone(v + key);          /* it was not put */
            break;
        case 2:
            v = value_new(m);
            value_put(v + key);
            old = write_key(self, key, v + key, false);
            if (old >= 0) value_gone(old);
            break;
        default: look(self, &m->rng); break;
        }
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
}

TEST(of_many_threads_each_value_is_handed_back_once_and_lists_show_whole)
{
    tsu_thread *self = threads_setup();
    uint64_t    rng = tsu_test_seed() + 1, live;
    member      m[CROWD];

    live = threads_live();
    for (long round = 0; round < tsu_test_rounds(8); round++) {
        memset(&crowd, 0, sizeof crowd);
        kind = round / 2 % 2 ? &cells_kind_runs : &cells_kind;
        crowd.ops = tsu_test_rounds(2000) < 4000 ? tsu_test_rounds(2000) : 4000;
        cells_init(self, &root, round % 2);
        for (int i = 0; i < CROWD; i++) m[i] = (member){.index = i, .rng = tsu_rand(&rng), .next = 16 * i};
        threads_run(CROWD, member_run, m, sizeof m[0]);
        tsu_ebr_drain(self);
        for (int64_t key = 0; key < CELLS_MAX; key++) {
            uint64_t w = tsu_load_relaxed(&root.cell[key]);

            if (tsu_cell_holds_version(w)) value_gone(cells_value(w));
        }
        for (int64_t v = 0; v < VALUES_MAX; v++)
            if (tsu_load_relaxed(&crowd.given[v]) != 0)
                TSU_TEST_FAILED("value %d: %d", (int)v, (int)tsu_load_relaxed(&crowd.given[v]));
        EXPECT_EQ(tsu_load_relaxed(&crowd.faults), 0);
        cells_clear(self, &root);
        EXPECT_EQ(threads_live(), live);
    }
}

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
