/* stress_bptree.c: threads on one tree. Each key belongs to one thread, which knows what has to be there; everybody
 * else reads, walks and gets in the way. With TSU_RACE_DELAYS rare interleavings are common.
 */
#include "testing/tree_tool.h"

#define THREADS 4
#define IDS     3000          /* id % THREADS owns it */

typedef struct crowd {
    tsu_root  *root;
    tool_style style;
    uint32_t   ids;
    long       ops;
    tsu_word   stable[IDS];      /* 1: there throughout */
    tsu_word   faults;
} crowd;

struct stage;
typedef struct member {
    crowd   *c;
    struct stage *stage;
    uint32_t index;
    void   (*role)(void *member);
    uint64_t rng;
    int64_t  value[IDS];
} member;

static void fault(crowd *c, const char *what)
{
    if (tsu_count_add(&c->faults, 1) < 10) printf("%s\n", what);
}

/* Keys must come in order, and no key that is there throughout may be left out. */
typedef struct stroll {
    crowd   *c;
    int64_t  at;
    bool     backward;
    size_t   left;
    uint8_t  key[128];
    size_t   key_len;
} stroll;

static bool stroll_visit(void *arg, uint64_t word)
{
    stroll        *s = arg;
    const uint8_t *key = tsu_version_key(word, 1, &s->key_len);
    int64_t        id = tool_value(word) % IDS;

    if (s->backward ? id >= s->at : id <= s->at) fault(s->c, "a walk went back");
    for (int64_t i = s->at + (s->backward ? -1 : 1); i != id && i >= 0 && i < (int64_t)s->c->ids; i += s->backward ? -1 : 1)
        if (tsu_load_acquire(&s->c->stable[i])) fault(s->c, "a walk left out a key that was there throughout");
    s->at = id;
    memcpy(s->key, key, s->key_len);
    return --s->left > 0;
}

static void stroll_through(tsu_thread *self, crowd *c, uint64_t *rng)
{
    bool    backward = tsu_rand_below(rng, 2);
    stroll  s = {.c = c, .backward = backward, .at = backward ? (int64_t)c->ids : -1};
    bool    done = false;
    tsu_key key;

    while (!done) {
        s.left = 1 + tsu_rand_below(rng, 300);
        if (s.key_len > 0) key = tool_key_view(s.key, s.key_len);
        tsu_pin(self);
        tsu_kind_tree.walk(self, c->root, s.key_len > 0 ? &key : NULL, backward ? TSU_BACKWARD : TSU_FORWARD, 500,
                           stroll_visit, &s, &done);
        tsu_unpin(self);
        s.left = tsu_rand_below(rng, 50);
        while (!done && s.left > 0) {
            tsu_trail trail;
            bool      known;

            tsu_pin(self);
            known = tsu_kind_tree.trail(self, c->root, backward ? TSU_BACKWARD : TSU_FORWARD, &trail)
                    && tsu_term_same(trail.key, s.key);
            if (known) {
                tsu_trail_take(&trail);
                (void)stroll_visit(&s, trail.word);
            }
            tsu_unpin(self);
            if (!known) break;
        }
    }
    for (int64_t i = s.at + (backward ? -1 : 1); i >= 0 && i < (int64_t)c->ids; i += backward ? -1 : 1)
        if (tsu_load_acquire(&c->stable[i])) fault(c, "a walk ended before a key that was there throughout");
}

static void member_run(void *arg)
{
    member     *m = arg;
    crowd      *c = m->c;
    tsu_thread *self = tsu_thread_self();

    for (long op = 0; op < c->ops; op++) {
        uint32_t   id = (uint32_t)tsu_rand_below(&m->rng, c->ids), variant = (uint32_t)tsu_rand(&m->rng);
        bool       mine = id % THREADS == m->index;
        uint64_t   dice = tsu_rand_below(&m->rng, 100);
        bool       shrinking = op / 2000 % 2;
        int64_t    had = -1;
        tsu_status s = TSU_OK;

        if (dice == 0 && op % 16 == 0) {
            stroll_through(self, c, &m->rng);
            continue;
        }
        tsu_pin(self);
        if (!mine) {
            had = tool_find(self, c->root, c->style, id, variant);
            if (had >= 0 && had % IDS != id) fault(c, "a key has another's value");
            if (had < 0 && tsu_load_acquire(&c->stable[id])) fault(c, "a key that is there was not found");
        } else if (tsu_load_relaxed(&c->stable[id]) || dice < (shrinking ? 20 : 60)) {
            int64_t value = (int64_t)op * IDS + id;

            s = tool_put(self, c->root, c->style, id, variant, value, false, &had);
            if (s == TSU_OK && had != m->value[id]) fault(c, "an insert replaced what its owner did not put");
            m->value[id] = value;
        } else if (dice < 90) {
            s = tool_remove(self, c->root, c->style, id, variant, &had);
            if (s == TSU_OK && had != m->value[id]) fault(c, "a removal removed what its owner did not put");
            m->value[id] = -1;
        } else if (tool_find(self, c->root, c->style, id, variant) != m->value[id]) {
            fault(c, "a key does not have what its owner put");
        }
        if (s != TSU_OK) fault(c, tsu_status_name(s));
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
}

static void run_crowd(tool_style style, uint32_t ids, uint32_t stable_every, long ops, uint64_t *rng)
{
    static crowd   c;
    static member  members[THREADS];
    tsu_thread    *self = threads_setup();
    int64_t        had = -1;

    memset(&c, 0, sizeof c);
    c.style = style;
    c.ids = ids;
    c.ops = ops;
    c.root = tool_make(self);
    for (uint32_t t = 0; t < THREADS; t++) {
        members[t].c = &c;
        members[t].index = t;
        members[t].rng = tsu_rand(rng);
        for (uint32_t id = 0; id < ids; id++) members[t].value[id] = -1;
    }
    tsu_pin(self);
    for (uint32_t id = 0; stable_every > 0 && id < ids; id += stable_every) {
        EXPECT_EQ(tool_put(self, c.root, style, id, 0, id, false, &had), TSU_OK);
        members[id % THREADS].value[id] = id;
        tsu_store_release(&c.stable[id], 1);
    }
    tsu_unpin(self);
    threads_run(THREADS, member_run, members, sizeof members[0]);
    EXPECT_EQ(tsu_load_relaxed(&c.faults), 0);
    tsu_pin(self);
    for (uint32_t id = 0; id < ids; id++)
        EXPECT_EQ(tool_find(self, c.root, style, id, 0), members[id % THREADS].value[id]);
    tool_expect_sound(self, c.root);
    tsu_unpin(self);
    tool_destroy(self, c.root);
}

TEST(threads_on_their_own_keys_of_one_tree_find_what_they_put)
{
    uint64_t rng = tsu_test_seed();

    for (int style = 0; style < TOOL_STYLES; style++) {
        run_crowd((tool_style)style, 100, 7, tsu_test_rounds(8000), &rng);
        run_crowd((tool_style)style, IDS, 11, tsu_test_rounds(12000), &rng);
        run_crowd((tool_style)style, 1000, 0, tsu_test_rounds(12000), &rng);
    }
}

/* --- one key, all threads -------------------------------------------------------------- */
static void fighter_run(void *arg)
{
    member     *m = arg;
    tsu_thread *self = tsu_thread_self();

    for (long op = 0; op < m->c->ops; op++) {
        uint32_t   id = (uint32_t)tsu_rand_below(&m->rng, m->c->ids);
        int64_t    had = -1;
        tsu_status s;

        tsu_pin(self);
        if (tsu_rand_below(&m->rng, 2)) {
            s = tool_put(self, m->c->root, m->c->style, id, 0, id, true, &had);
            if (s == TSU_OK && had < 0) m->value[id]++;
        } else {
            s = tool_remove(self, m->c->root, m->c->style, id, 0, &had);
            if (s == TSU_OK && had >= 0) m->value[id]--;
        }
        if (s != TSU_OK || (had >= 0 && had != id)) fault(m->c, "a fight over a key went wrong");
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
}

TEST(of_threads_that_insert_and_remove_the_same_keys_one_wins_each_time)
{
    static crowd   c;
    static member  members[THREADS];
    uint64_t       rng = tsu_test_seed() + 1;
    tsu_thread    *self = threads_setup();

    for (int round = 0; round < TOOL_STYLES * 2; round++) {
        memset(&c, 0, sizeof c);
        c.style = (tool_style)(round / 2);
        c.ids = round % 2 ? 5 : 200;
        c.ops = tsu_test_rounds(10000);
        c.root = tool_make(self);
        for (uint32_t t = 0; t < THREADS; t++) {
            memset(&members[t], 0, sizeof members[t]);
            members[t].c = &c;
            members[t].rng = tsu_rand(&rng);
        }
        threads_run(THREADS, fighter_run, members, sizeof members[0]);
        EXPECT_EQ(tsu_load_relaxed(&c.faults), 0);
        tsu_pin(self);
        for (uint32_t id = 0; id < c.ids; id++) {
            int64_t sum = 0;

            for (uint32_t t = 0; t < THREADS; t++) sum += members[t].value[id];
            EXPECT_EQ(sum, tool_find(self, c.root, c.style, id, 0) >= 0);
        }
        tool_expect_sound(self, c.root);
        tsu_unpin(self);
        tool_destroy(self, c.root);
    }
}

/* --- commits -------------------------------------------------------------------------------- */
#define BATCH_KEYS 24

typedef struct batch {
    tsu_commit             commit;
    struct tsu_commit_item items[BATCH_KEYS];
} batch;

typedef struct stage {
    crowd    *c;
    tsu_word  current;         /* batch * that helpers may help */
    tsu_word  phase;           /* odd: the keys are being deleted one by one */
    tsu_word  over;
    uint32_t  gap;             /* ids between two keys of the batch: they lie in several leaves, or close together */
} stage;

static uint32_t batch_id(const stage *st, uint32_t i) { return i * st->gap + 1; }

static void batch_install(tsu_thread *self, stage *st, batch *b, uint32_t i)
{
    tsu_install_outcome outcome;
    tsu_commit         *other;

    if (tool_install(self, st->c->root, st->c->style, &b->items[i], batch_id(st, i), &outcome, &other) != TSU_OK)
        fault(st->c, "a commit could not be installed");
}

/* All from i on, as many at once as go together. */
static void batch_install_runs(tsu_thread *self, stage *st, batch *b, uint32_t i)
{
    tsu_install_outcome outcome = TSU_INSTALL_DONE;
    tsu_commit         *other;
    size_t              installed;

    for (; i < BATCH_KEYS && outcome == TSU_INSTALL_DONE; i += (uint32_t)installed)
        if (tsu_kind_tree.install_run(self, st->c->root, &b->items[i], BATCH_KEYS - i, &installed, &outcome, &other) != TSU_OK)
            fault(st->c, "a commit could not be installed");
}

static batch *batch_make(tsu_thread *self, stage *st, int64_t value)
{
    batch *b = tsu_slab_alloc(self, sizeof *b);

    CHECK(b != NULL);
    memset(b, 0, sizeof *b);
    for (uint32_t i = 0; i < BATCH_KEYS; i++)
        tool_item(self, st->c->style, &b->commit, &b->items[i], batch_id(st, i), value * BATCH_KEYS + i);
    return b;
}

static void batch_over(tsu_thread *self, stage *st, batch *b, bool commit)
{
    uint64_t ts = tsu_load_seq(&tsu_clock);

    tsu_store_seq(&b->commit.state, ts << TSU_COMMIT_TS_SHIFT | (commit ? TSU_COMMIT_COMMITTED : TSU_COMMIT_ABORTED));
    tsu_store_seq(&st->current, 0);
    for (uint32_t i = 0; i < BATCH_KEYS; i++) {
        if (!commit) tool_undo(self, st->c->root, st->c->style, &b->items[i], batch_id(st, i));
        else if (!tool_settle(self, &b->items[i], ts)) fault(st->c, "a version of a commit was dropped by nobody");
    }
    tsu_retire(self, b, sizeof *b, tsu_slab_free);
}

static void committer_run(void *arg)
{
    member     *m = arg;
    stage      *st = m->stage;
    tsu_thread *self = tsu_thread_self();
    int64_t     had = -1;

    for (int64_t value = 1; value < st->c->ops; value++) {
        batch *b;

        tsu_pin(self);
        b = batch_make(self, st, value);
        tsu_store_seq(&st->current, (uint64_t)(uintptr_t)b);
        if (tsu_rand_below(&m->rng, 3) > 0) batch_install_runs(self, st, b, 0);
        else for (uint32_t i = 0; i < BATCH_KEYS; i++) batch_install(self, st, b, i);
        batch_over(self, st, b, tsu_rand_below(&m->rng, 3) != 0);
        tsu_unpin(self);
        tsu_ebr_relax(self);
        if (tsu_rand_below(&m->rng, 8) != 0) continue;
        tsu_store_seq(&st->phase, tsu_load_seq(&st->phase) + 1);
        for (uint32_t i = 0; i < BATCH_KEYS; i++) {
            tsu_pin(self);
            if (tool_remove(self, st->c->root, st->c->style, batch_id(st, i), 0, &had) != TSU_OK) fault(st->c, "nomem");
            tsu_unpin(self);
        }
        tsu_store_seq(&st->phase, tsu_load_seq(&st->phase) + 1);
    }
    tsu_store_seq(&st->over, 1);
}

static void helper_run(void *arg)
{
    member     *m = arg;
    stage      *st = m->stage;
    tsu_thread *self = tsu_thread_self();

    while (!tsu_load_seq(&st->over)) {
        batch *b;

        tsu_pin(self);
        b = (batch *)(uintptr_t)tsu_load_seq(&st->current);
        if (b != NULL && tsu_rand_below(&m->rng, 2)) batch_install_runs(self, st, b, (uint32_t)tsu_rand_below(&m->rng, BATCH_KEYS));
        else for (int times = 0; b != NULL && times < 4; times++)
            batch_install(self, st, b, (uint32_t)tsu_rand_below(&m->rng, BATCH_KEYS));
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
}

/* Moves the leaves about under the batch's keys. */
static void mover_run(void *arg)
{
    member     *m = arg;
    stage      *st = m->stage;
    tsu_thread *self = tsu_thread_self();
    int64_t     had = -1;

    for (long op = 0; !tsu_load_seq(&st->over); op++) {
        uint32_t   id = (uint32_t)tsu_rand_below(&m->rng, BATCH_KEYS * st->gap);
        tsu_status s;

        if (id % st->gap == 1) continue;
        tsu_pin(self);
        if (op / 1500 % 2 == 0) s = tool_put(self, st->c->root, st->c->style, id, 0, -1, false, &had);
        else s = tool_remove(self, st->c->root, st->c->style, id, 0, &had);
        if (s != TSU_OK) fault(st->c, tsu_status_name(s));
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
}

typedef struct look {
    crowd   *c;
    bool     backward;
    int64_t  seen;             /* the newest batch seen so far; 0: none */
    int64_t  expected;         /* the key that has to come next once one was seen */
    bool     whole;
} look;

/* value < 0: key number `index` was not there. */
static void look_at(look *l, int64_t index, int64_t value)
{
    if (value <= 0 && l->seen == 0) return;
    if (value <= 0 || (l->seen != 0 && index != l->expected)) l->whole = false;
    if (value > 0 && value / BATCH_KEYS < l->seen) fault(l->c, "C1: who has seen a commit saw an older one later");
    if (value > 0) l->seen = value / BATCH_KEYS;
    l->expected = index + (l->backward ? -1 : 1);
}

static bool look_visit(void *arg, uint64_t word)
{
    int64_t value = tool_value(word);

    if (value > 0) look_at(arg, value % BATCH_KEYS, value);
    return true;
}

static void watcher_run(void *arg)
{
    member     *m = arg;
    stage      *st = m->stage;
    tsu_thread *self = tsu_thread_self();

    while (!tsu_load_seq(&st->over)) {
        look     l = {.c = st->c, .whole = true, .backward = tsu_rand_below(&m->rng, 2)};
        uint64_t phase = tsu_load_seq(&st->phase);
        bool     done;

        tsu_pin(self);
        if (tsu_rand_below(&m->rng, 2)) {
            tsu_kind_tree.walk(self, st->c->root, NULL, l.backward ? TSU_BACKWARD : TSU_FORWARD, SIZE_MAX, look_visit,
                               &l, &done);
            if (l.seen != 0 && l.expected != (l.backward ? -1 : BATCH_KEYS)) l.whole = false;
        } else {
            for (uint32_t k = 0; k < BATCH_KEYS; k++) {
                uint32_t i = l.backward ? BATCH_KEYS - 1 - k : k;

                look_at(&l, i, tool_find(self, st->c->root, st->c->style, batch_id(st, i), 0));
            }
        }
        tsu_unpin(self);
        if (!l.whole && phase % 2 == 0 && tsu_load_seq(&st->phase) == phase)
            fault(st->c, "C1: who has seen a commit did not see all of it");
    }
}

static void role_run(void *arg) { ((member *)arg)->role(arg); }

TEST(commits_show_whole_to_finds_and_walks_while_leaves_split_and_merge)
{
    static stage   st;
    static crowd   c;
    static member  members[4];
    static void  (*const roles[4])(void *) = {committer_run, helper_run, mover_run, watcher_run};
    uint64_t       rng = tsu_test_seed() + 2;
    tsu_thread    *self = threads_setup();

    for (int round = 0; round < TOOL_STYLES * 2; round++) {
        memset(&c, 0, sizeof c);
        memset(&st, 0, sizeof st);
        c.style = (tool_style)(round / 2);
        c.ops = tsu_test_rounds(800);
        st.c = &c;
        st.gap = round % 2 ? 40 : 4;
        c.root = tool_make(self);
        for (int t = 0; t < 4; t++) {
            memset(&members[t], 0, sizeof members[t]);
            members[t].stage = &st;
            members[t].rng = tsu_rand(&rng);
            members[t].role = roles[t];
        }
        threads_run(4, role_run, members, sizeof members[0]);
        EXPECT_EQ(tsu_load_relaxed(&c.faults), 0);
        tsu_pin(self);
        tool_expect_sound(self, c.root);
        tsu_unpin(self);
        tool_destroy(self, c.root);
    }
}

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
