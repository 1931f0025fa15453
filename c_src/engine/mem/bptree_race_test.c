/* bptree_race_test.c: one operation on a tree is stopped at each of its atomic steps in turn, and others happen there: what
 * all were told and what is left fits one order. Needs TSU_RACE_DELAYS.
 */
#include "testing/tree_tool.h"

#ifdef TSU_RACE_DELAYS
#define IDS       240
#define ACTS_MAX  48
#define LIST_MAX  60

typedef enum act_kind { ACT_PUT, ACT_PUT_NEW, ACT_REMOVE, ACT_FIND, ACT_STEP, ACT_TRAIL, ACT_LIST, ACT_LIST_NEW, ACT_WALK,
                        ACT_HELP, ACT_END } act_kind;

/* ids: id, id + gap, ... below IDS, `count` of them at most. */
typedef struct act {
    act_kind kind;
    bool     backward, runs;
    uint32_t id, gap, count;
    int64_t  value, got;          /* got: value that was there; a step: id * 1000 + value; a list: is it in? */
} act;

typedef struct list {
    tsu_commit             commit;
    struct tsu_commit_item items[LIST_MAX];
    uint32_t               ids[LIST_MAX], count;
} list;

typedef struct scene {
    tool_style style;
    uint64_t   seed;
    uint32_t   range, density;
    act        first, others[ACTS_MAX], pending;
    int        other_count, at_once;      /* of the others; the rest `gap` steps later */
    long       gap;
    bool       has_pending, commit, poor;
} scene;

/* What a walk showed. */
typedef struct shown {
    int64_t id[IDS + 1], value[IDS + 1];
    int     count;
    bool    on;
    uint8_t key[128];
} shown;

static struct stage {
    scene      *s;
    tsu_root   *root;
    tsu_thread *other;
    int         next;                     /* of the others */
    list       *pending, *underway;       /* underway: that of an act */
    int         pending_over;             /* before which of the others; -1: not yet */
    int64_t     before[IDS];
    shown       first_shown;
    bool        positioned;
} stage;

static long points_left = -1;
static bool points_happened;
static void others_run(void);

void tsu_env_race_point(void)
{
    if (points_left < 0 || points_left-- > 0) return;
    points_happened = true;
    others_run();
}

/* --- acting --------------------------------------------------------------------------------------------- */
static void list_add(tsu_thread *self, list *l, const act *a)
{
    for (uint32_t id = a->id; id < IDS && l->count < a->count && l->count < LIST_MAX; id += a->gap) {
        tool_item(self, stage.s->style, &l->commit, &l->items[l->count], id, a->value);
        l->ids[l->count++] = id;
    }
}

static list *list_begin(tsu_thread *self, const act *a, bool demands_absent)
{
    list *l = tsu_slab_alloc(self, sizeof *l);

    CHECK(l != NULL);
    memset(l, 0, sizeof *l);
    l->commit.demands_absent = demands_absent;
    list_add(self, l, a);
    return l;
}

static uint64_t list_tag(list *l) { return tsu_load_seq(&l->commit.state) & TSU_COMMIT_TAG; }

static void list_commit(list *l)
{
    uint64_t pending = TSU_COMMIT_PENDING;

    if (tsu_cas(&l->commit.state, &pending, TSU_COMMIT_COMMITTED)) (void)tsu_commit_time(&l->commit);
}

/* As any helper does it. */
static void list_help(tsu_thread *self, list *l, bool runs)
{
    tsu_install_outcome outcome = TSU_INSTALL_DONE;
    tsu_commit         *other = NULL;
    size_t              installed;

    for (size_t i = 0; i < l->count; i += installed) {
        if (runs) {
            EXPECT_EQ(tsu_kind_tree.install_run(self, stage.root, &l->items[i], l->count - i, &installed, &outcome, &other),
                      TSU_OK);
        } else {
            installed = 1;
            EXPECT_EQ(tool_install(self, stage.root, stage.s->style, &l->items[i], l->ids[i], &outcome, &other), TSU_OK);
        }
        if (outcome == TSU_INSTALL_BLOCKED) {
            list_help(self, (list *)other, !runs);
            list_commit((list *)other);
            installed = 0;
        } else if (outcome != TSU_INSTALL_DONE) {
            return;
        }
    }
}

/* The owner's end. True: it is in. */
static bool list_end(tsu_thread *self, list *l)
{
    bool committed = list_tag(l) == TSU_COMMIT_COMMITTED;

    for (uint32_t i = 0; i < l->count; i++) {
        if (!committed) {
            tool_undo(self, stage.root, stage.s->style, &l->items[i], l->ids[i]);
            continue;
        }
        (void)tsu_version_retire(self, tsu_entry_freeze(&l->items[i].entry));
        if (!tsu_version_settle(l->items[i].entry.word, tsu_commit_time(&l->commit) >> TSU_COMMIT_TS_SHIFT))
            (void)tsu_version_retire(self, l->items[i].entry.word);
    }
    tsu_retire(self, l, sizeof *l, tsu_slab_free);
    return committed;
}

static void pending_end(tsu_thread *self, bool runs)
{
    uint64_t pending = TSU_COMMIT_PENDING;
    list    *l = stage.pending;

    if (l == NULL) return;
    stage.pending = NULL;
    if (stage.s->commit) {
        list_help(self, l, runs);
        list_commit(l);
    } else {
        (void)tsu_cas(&l->commit.state, &pending, TSU_COMMIT_ABORTED);
    }
    stage.s->commit = list_end(self, l);
}

static bool shown_visit(void *arg, uint64_t word)
{
    shown         *sh = arg;
    size_t         len;
    const uint8_t *bytes = tsu_version_key(word, 1, &len);

    EXPECT(sh->count <= IDS);
    memcpy(sh->key, bytes, len);
    for (uint32_t id = 0; id < IDS; id++) {
        uint8_t buffer[128];
        tsu_key is = tool_key(stage.s->style, id, 0, buffer);

        if (tsu_term_compare(is.bytes, sh->key) == 0) sh->id[sh->count] = id;
    }
    sh->value[sh->count++] = tool_value(word);
    return sh->on && sh->count <= IDS;
}

static int64_t shown_last(const shown *sh)
{
    return sh->count == 0 ? -1 : sh->id[sh->count - 1] * 1000 + sh->value[sh->count - 1];
}

static void walk_from(tsu_thread *self, const act *a, shown *sh, const tsu_key *key)
{
    bool done;

    sh->count = 0;
    tsu_kind_tree.walk(self, stage.root, key, a->backward ? TSU_BACKWARD : TSU_FORWARD, SIZE_MAX, shown_visit, sh, &done);
}

static void act_run(tsu_thread *self, act *a)
{
    tool_style style = stage.s->style;
    uint8_t    buffer[128];
    tsu_key    key = tool_key(style, a->id, (uint32_t)a->value, buffer);
    shown      others = {.count = 0}, *sh = self == stage.other ? &others : &stage.first_shown;
    tsu_trail  trail;
    list      *l;
    tsu_status s;

    a->got = -1;
    switch (a->kind) {
    case ACT_PUT:
    case ACT_PUT_NEW:
        while ((s = tool_put(self, stage.root, style, a->id, (uint32_t)a->value, a->value, a->kind == ACT_PUT_NEW, &a->got))
               == TSU_AGAIN) {
            /* below a list that demands absence: to its end with it */
            for (int i = 0; i < 2; i++) {
                l = i == 0 ? stage.pending : stage.underway;
                if (l == NULL || list_tag(l) != TSU_COMMIT_PENDING) continue;
                list_help(self, l, a->runs);
                list_commit(l);
            }
        }
        EXPECT_EQ(s, TSU_OK);
        break;
    case ACT_REMOVE: EXPECT_EQ(tool_remove(self, stage.root, style, a->id, (uint32_t)a->value, &a->got), TSU_OK); break;
    case ACT_FIND:   a->got = tool_find(self, stage.root, style, a->id, (uint32_t)a->value); break;
    case ACT_STEP:
        walk_from(self, a, sh, &key);
        a->got = shown_last(sh);
        break;
    case ACT_TRAIL:
        a->got = -2;
        if (!stage.positioned || !tsu_kind_tree.trail(self, stage.root, a->backward ? TSU_BACKWARD : TSU_FORWARD, &trail)
            || !tsu_term_same(trail.key, sh->key)) break;
        sh->count = 0;
        (void)shown_visit(sh, trail.word);
        a->got = shown_last(sh);
        break;
    case ACT_LIST:
    case ACT_LIST_NEW:
        l = list_begin(self, a, a->kind == ACT_LIST_NEW);
        if (stage.underway == NULL) stage.underway = l;
        list_help(self, l, a->runs);
        list_commit(l);
        if (stage.underway == l) stage.underway = NULL;
        a->got = list_end(self, l);
        break;
    case ACT_WALK:
        sh->on = true;
        walk_from(self, a, sh, NULL);
        break;
    case ACT_HELP:
        if (stage.pending != NULL) list_help(self, stage.pending, a->runs);
        break;
    case ACT_END: pending_end(self, a->runs); break;
    }
}

static void others_run(void)
{
    int end = stage.next < stage.s->at_once ? stage.s->at_once : stage.s->other_count;

    tsu_tree_fail_after = -1;
    tsu_pin(stage.other);
    for (; stage.next < end; stage.next++) {
        act *a = &stage.s->others[stage.next];
        list *l = stage.pending;

        act_run(stage.other, a);
        if (stage.pending_over < 0 && l != NULL && (stage.pending == NULL || list_tag(l) == TSU_COMMIT_COMMITTED))
            stage.pending_over = stage.next;
    }
    tsu_unpin(stage.other);
    if (end < stage.s->other_count) points_left = stage.s->gap;
    if (stage.s->poor) tsu_tree_fail_after = 0;
}

/* --- what it should be -------------------------------------------------------------------------------------- */
static int64_t model_next(const int64_t *m, uint32_t id, bool backward)
{
    for (int64_t i = (int64_t)id + (backward ? -1 : 1); i >= 0 && i < IDS; i += backward ? -1 : 1)
        if (m[i] >= 0) return i * 1000 + m[i];
    return -1;
}

/* Is what the act was told right after m? Changes m. */
static bool model_act(int64_t *m, const act *a)
{
    int64_t had = m[a->id];
    bool    any = false;

    switch (a->kind) {
    case ACT_PUT:     m[a->id] = a->value; return a->got == had;
    case ACT_PUT_NEW: if (had < 0) m[a->id] = a->value; return a->got == had;
    case ACT_REMOVE:  m[a->id] = -1; return a->got == had;
    case ACT_FIND:    return a->got == had;
    case ACT_TRAIL:   if (a->got == -2) return true;        /* fall through */
    case ACT_STEP:    return a->got == model_next(m, a->id, a->backward);
    case ACT_LIST_NEW:
        for (uint32_t id = a->id, n = 0; id < IDS && n < a->count && n < LIST_MAX; id += a->gap, n++) any |= m[id] >= 0;
        if (any) return a->got == 0;                        /* fall through */
    case ACT_LIST:
        for (uint32_t id = a->id, n = 0; id < IDS && n < a->count && n < LIST_MAX; id += a->gap, n++) m[id] = a->value;
        return a->got == 1;
    default: return true;
    }
}

static bool fits(tsu_thread *self, const scene *s, int at, bool look)
{
    int64_t m[IDS];
    bool    right = true;

    memcpy(m, stage.before, sizeof m);
    for (int i = 0; i <= s->other_count; i++) {
        if (i == at) right &= model_act(m, &s->first);
        if (s->has_pending && i == stage.pending_over && s->commit) {
            act all = s->pending;

            all.kind = ACT_LIST;
            (void)model_act(m, &all);
        }
        if (i < s->other_count) right &= model_act(m, &s->others[i]);
    }
    for (uint32_t id = 0; look && id < IDS; id++) right &= tool_find(self, stage.root, s->style, id, 0) == m[id];
    return right;
}

/* A walk may leave out what came while it was on its way. */
static bool walk_fits(const scene *s)
{
    static int64_t m[ACTS_MAX + 1][IDS];
    bool           right = true, in[IDS] = {false};
    act            a;

    memcpy(m[0], stage.before, sizeof m[0]);
    for (int i = 0; i < s->other_count; i++) {
        memcpy(m[i + 1], m[i], sizeof m[0]);
        a = s->others[i];
        (void)model_act(m[i + 1], &a);
    }
    for (int k = 0; k < stage.first_shown.count; k++) {
        bool    some = false;
        int64_t id = stage.first_shown.id[k];

        if (k > 0) right &= s->first.backward ? id < stage.first_shown.id[k - 1] : id > stage.first_shown.id[k - 1];
        for (int i = 0; i <= s->other_count; i++) some |= m[i][id] == stage.first_shown.value[k];
        right &= some;
        in[id] = true;
    }
    for (uint32_t id = 0; id < IDS; id++) {
        bool there = true;

        for (int i = 0; i <= s->other_count; i++) there &= m[i][id] >= 0;
        if (there) right &= in[id];
    }
    return right;
}

/* --- scenes --------------------------------------------------------------------------------------------------- */
static const char *const names[] = {"put", "put_new", "remove", "find", "step", "trail", "list", "list_new", "walk", "help",
                                    "end"};

static void act_print(const act *a)
{
    printf("  %s %u gap %u count %u value %d %s%s got %d\n", names[a->kind], a->id, a->gap, a->count, (int)a->value,
           a->backward ? "back " : "", a->runs ? "runs" : "", (int)a->got);
}

static void scene_print(const scene *s, long at, const char *what)
{
    printf("%s: step %ld poor %d at once %d gap %ld style %d range %u density %u seed %" PRIu64 "\n", what, at, s->poor,
           s->at_once, s->gap, (int)s->style, s->range, s->density, s->seed);
    act_print(&s->first);
    if (s->has_pending) {
        printf(" pending (%d, over %d):\n", s->commit, stage.pending_over);
        act_print(&s->pending);
    }
    for (int i = 0; i < s->other_count; i++) act_print(&s->others[i]);
}

static bool play(tsu_thread *self, const scene *of, long at)
{
    scene       copy = *of, *s = &copy;
    uint64_t    rng = s->seed;
    int64_t     had;
    bool        right = false;
    const char *fault;

    memset(&stage.next, 0, sizeof stage - offsetof(struct stage, next));
    stage.s = s;
    stage.root = tool_make(self);
    stage.pending_over = -1;
    tsu_pin(self);
    for (uint32_t id = 0; id < IDS; id++) stage.before[id] = -1;
    for (uint32_t i = 0; i < s->range * s->density / 50; i++) {
        uint32_t id = (uint32_t)tsu_rand_below(&rng, s->range);

        if (tsu_rand_below(&rng, 100) < 100 - s->density / 2)
            EXPECT_EQ(tool_put(self, stage.root, s->style, id, 0, id, false, &had), TSU_OK);
        else
            EXPECT_EQ(tool_remove(self, stage.root, s->style, id, 0, &had), TSU_OK);
    }
    for (uint32_t id = 0; id < IDS; id++) stage.before[id] = tool_find(self, stage.root, s->style, id, 0);
    if (s->has_pending) stage.pending = list_begin(self, &s->pending, s->pending.kind == ACT_LIST_NEW);
    if (s->first.kind == ACT_TRAIL) {
        act step = {.kind = ACT_STEP, .id = s->first.id, .backward = s->first.backward};

        act_run(self, &step);
        stage.positioned = step.got >= 0;
        if (step.got >= 0) s->first.id = (uint32_t)(step.got / 1000);
    }
    points_happened = false;
    points_left = at;
    if (s->poor) tsu_tree_fail_after = 0;
    act_run(self, &s->first);
    tsu_tree_fail_after = points_left = -1;
    s->poor = false;
    s->at_once = 0;
    if (points_happened) others_run();
    if (points_happened) {
        if (s->has_pending) {
            if (stage.pending_over < 0) stage.pending_over = s->other_count;
            pending_end(self, at % 2);
        }
        if (s->first.kind == ACT_WALK) right = walk_fits(s);
        else
            for (int p = 0; p <= s->other_count && !right; p++) right = fits(self, s, p, true);
        if (!right) scene_print(s, at, "no order");
        EXPECT(right);
        fault = tsu_kind_tree.verify(self, stage.root);
        if (fault != NULL) scene_print(s, at, fault);
        EXPECT(fault == NULL);
    } else {
        pending_end(self, false);
    }
    tsu_unpin(self);
    tool_destroy(self, stage.root);
    return points_happened;
}

static act act_draw(uint64_t *rng, const scene *s, act_kind kind, uint32_t near, int value)
{
    act a = {.kind = kind, .value = 300 + value, .backward = tsu_rand_below(rng, 2), .runs = tsu_rand_below(rng, 3) > 0};

    a.id = tsu_rand_below(rng, 3) ? (near + (uint32_t)tsu_rand_below(rng, 5)) % s->range : (uint32_t)tsu_rand_below(rng, s->range);
    a.gap = 1 + (uint32_t)tsu_rand_below(rng, 4);
    a.count = 1 + (uint32_t)tsu_rand_below(rng, tsu_rand_below(rng, 3) ? 6 : LIST_MAX);
    return a;
}

static void scene_draw(scene *s, uint64_t *rng, bool pending)
{
    static const uint32_t ranges[] = {6, 14, 30, 90, 180, IDS};
    uint32_t              near, burst;

    memset(s, 0, sizeof *s);
    s->style = (tool_style)tsu_rand_below(rng, TOOL_STYLES);
    s->seed = tsu_rand(rng);
    s->range = ranges[tsu_rand_below(rng, 6)];
    s->density = (uint32_t)tsu_rand_below(rng, 4) * 33;
    near = (uint32_t)tsu_rand_below(rng, s->range);
    s->has_pending = pending;
    if (pending) {
        s->pending = act_draw(rng, s, tsu_rand_below(rng, 2) ? ACT_LIST : ACT_LIST_NEW, near, 0);
        s->commit = tsu_rand_below(rng, 2);
    }
    s->first = act_draw(rng, s, pending ? ACT_HELP : (act_kind)tsu_rand_below(rng, ACT_WALK + 1), near, 1);
    s->other_count = 1 + (int)tsu_rand_below(rng, tsu_rand_below(rng, 2) ? 5 : ACTS_MAX);
    s->at_once = 1 + (int)tsu_rand_below(rng, (uint64_t)s->other_count);
    s->gap = (long)tsu_rand_below(rng, 30);
    s->poor = s->first.kind != ACT_PUT && s->first.kind != ACT_PUT_NEW && s->first.kind != ACT_LIST && s->first.kind != ACT_LIST_NEW
              && s->first.kind != ACT_HELP && s->first.kind != ACT_REMOVE && tsu_rand_below(rng, 2);
    burst = (uint32_t)tsu_rand_below(rng, 4);
    for (int i = 0; i < s->other_count; i++) {
        act_kind kind = (act_kind)tsu_rand_below(rng, ACT_STEP + 1);

        if (burst == 1 && i % 8 != 0) kind = ACT_PUT;
        if (burst == 2 && i % 8 != 0) kind = ACT_REMOVE;
        if (burst != 3 && tsu_rand_below(rng, 12) == 0) kind = tsu_rand_below(rng, 2) ? ACT_LIST : ACT_LIST_NEW;
        if (pending && tsu_rand_below(rng, 4) == 0) kind = ACT_HELP;
        if (pending && tsu_rand_below(rng, 12) == 0) kind = ACT_END;
        s->others[i] = act_draw(rng, s, kind, near, 2 + i);
    }
}

static void scenes(bool pending, long rounds)
{
    tsu_thread *self = threads_setup();
    uint64_t    rng = tsu_test_seed() + pending, live;
    long        plays = 0;

    stage.other = tsu_thread_register();
    live = threads_live();
    for (long round = 0; round < tsu_test_rounds(rounds) && tsu_test_state.failures == 0; round++) {
        scene s;

        scene_draw(&s, &rng, pending);
        for (long at = 0; play(self, &s, at) && tsu_test_state.failures == 0; at += 1 + at / 150) {
            plays++;
            if (at % 16 == 0 && threads_live() != live) {
                scene_print(&s, at, "leak");
                EXPECT_EQ(threads_live(), live);
            }
        }
    }
    printf("stopped at %ld steps\n", plays);
    EXPECT_EQ(threads_live(), live);
}

TEST(whatever_happens_between_two_steps_all_fits_one_order) { scenes(false, 300); }
TEST(whatever_happens_between_two_steps_of_a_helper_all_fits_one_order) { scenes(true, 300); }

TEST(a_key_that_comes_while_two_install_its_entry_is_there_when_the_list_is_undone)
{
    tsu_thread *self = threads_setup();

    stage.other = tsu_thread_register();
    for (int way = 0; way < 8; way++) {
        scene s = {.range = IDS, .density = way & 1 ? 33 : 0, .commit = way & 2, .has_pending = true, .other_count = 2,
                   .at_once = 2};

        s.pending = (act){.kind = ACT_LIST, .gap = 1, .count = 3, .value = 300};
        s.first = (act){.kind = ACT_HELP, .runs = true};
        s.others[0] = (act){.kind = ACT_PUT, .value = 301};
        s.others[1] = (act){.kind = ACT_HELP, .runs = way & 4};
        for (long at = 0; play(self, &s, at); at++) { }
    }
}

/* 7 comes, and then 6 goes, which the step had come to: then the next one after 5 is 6 or 7, and not 8. */
TEST(a_step_over_a_key_that_goes_does_not_miss_one_that_came_before)
{
    tsu_thread *self = threads_setup();

    stage.other = tsu_thread_register();
    for (uint32_t way = 0; way < 160; way++) {
        scene s = {.seed = way, .range = way & 1 ? 30 : IDS, .density = 33 + way % 3 * 33, .other_count = 2, .at_once = 2};
        bool  backward = way & 2;

        s.first = (act){.kind = ACT_STEP, .id = 15, .backward = backward};
        s.others[0] = (act){.kind = ACT_PUT, .id = backward ? 13 : 17, .value = 301};
        s.others[1] = (act){.kind = ACT_REMOVE, .id = backward ? 14 : 16};
        for (long at = 0; play(self, &s, at); at++) { }
    }
}

#else
TEST(operations_are_stopped_in_builds_with_race_delays) { SKIP("built without TSU_RACE_DELAYS"); }
#endif

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
