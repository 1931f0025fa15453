/* bptree_commit_test.c: entries of commits in the tree, one by one and in runs: shown all at once or not at all, while keys
 * change around and under them; late helpers; memory that runs out.
 */
#include "testing/tree_model.h"

#define BATCH_MAX 1500

typedef struct batch {
    tsu_commit             commit;
    struct tsu_commit_item items[BATCH_MAX];
    uint32_t               ids[BATCH_MAX];
    uint32_t               count;
} batch;

static bool batch_install(tsu_thread *self, tsu_root *root, tool_style style, batch *b, uint32_t i)
{
    tsu_install_outcome outcome;
    tsu_commit         *other;

    EXPECT_EQ(tool_install(self, root, style, &b->items[i], b->ids[i], &outcome, &other), TSU_OK);
    return outcome == TSU_INSTALL_DONE;
}

static void batch_add(tsu_thread *self, tool_style style, batch *b, uint32_t id, int64_t value)
{
    tool_item(self, style, &b->commit, &b->items[b->count], id, value);
    b->ids[b->count++] = id;
}

/* About 30 of the ids, or if `dense` half of them. */
static void batch_begin(tsu_thread *self, tool_style style, batch *b, const model *m, bool demands_absent,
                        bool dense, int64_t value, uint64_t *rng)
{
    memset(b, 0, sizeof *b);
    b->commit.demands_absent = demands_absent;
    for (uint32_t id = 0; id < m->ids && b->count < BATCH_MAX; id++) {
        if (tsu_rand_below(rng, m->ids) >= (dense ? m->ids / 2 : 30)) continue;
        if (demands_absent && m->value[id] >= 0) continue;
        batch_add(self, style, b, id, value);
    }
}

static void batch_end(tsu_thread *self, tsu_root *root, tool_style style, batch *b, model *m, bool commit,
                      int64_t value)
{
    if (commit) {
        tsu_store_seq(&b->commit.state, tsu_load_seq(&tsu_clock) << TSU_COMMIT_TS_SHIFT | TSU_COMMIT_COMMITTED);
        for (uint32_t i = 0; i < b->count; i++) {
            m->value[b->ids[i]] = value;
            EXPECT(tool_settle(self, &b->items[i], 1));
        }
        return;
    }
    tsu_store_seq(&b->commit.state, TSU_COMMIT_ABORTED);
    for (uint32_t i = 0; i < b->count; i++) tool_undo(self, root, style, &b->items[i], b->ids[i]);
}

/* From entry i on, as many as go together, not more than `room`; returns how many. */
static uint32_t batch_install_run(tsu_thread *self, tsu_root *root, batch *b, uint32_t i, uint32_t room)
{
    tsu_install_outcome outcome;
    tsu_commit         *other;
    size_t              installed;

    if (room > b->count - i) room = b->count - i;
    EXPECT_EQ(tsu_kind_tree.install_run(self, root, &b->items[i], room, &installed, &outcome, &other), TSU_OK);
    EXPECT_EQ(outcome, TSU_INSTALL_DONE);
    EXPECT(installed > 0 && installed <= room);
    return (uint32_t)installed;
}

TEST(commits_show_all_or_nothing_while_keys_change_around_and_under_them)
{
    static model m;
    static batch b;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = threads_setup();
    int64_t      had = -1;

    for (long round = 0; round < tsu_test_rounds(200); round++) {
        tool_style style = (tool_style)(round % TOOL_STYLES);
        tsu_root  *root = tool_make(self);
        uint32_t   ids = round % 3 == 0 ? 20 : 500 + 2000 * (round % 7 == 1);

        model_init(&m, ids);
        tsu_pin(self);
        for (uint32_t i = 0; i < ids && round % 11 != 3; i++) {
            uint32_t id = (uint32_t)tsu_rand_below(&rng, ids);

            EXPECT_EQ(tool_put(self, root, style, id, 0, i, false, &had), TSU_OK);
            m.value[id] = i;
        }
        for (int times = 0; times < 3; times++) {
            bool     absent = tsu_rand_below(&rng, 2), commit = tsu_rand_below(&rng, 2), runs = tsu_rand_below(&rng, 3) > 0;
            uint32_t room = tsu_rand_below(&rng, 2) ? 1 + (uint32_t)tsu_rand_below(&rng, 30) : BATCH_MAX;

            batch_begin(self, style, &b, &m, absent, tsu_rand_below(&rng, 2), 1000000 + times, &rng);
            for (uint32_t i = 0, n = 1; i < b.count; i += n) {
                if (runs) n = batch_install_run(self, root, &b, i, room);
                else EXPECT(batch_install(self, root, style, &b, i));
                if (tsu_rand_below(&rng, 4) == 0) EXPECT(batch_install(self, root, style, &b, i));      /* a second helper */
                if (runs && tsu_rand_below(&rng, 4) == 0) EXPECT(batch_install_run(self, root, &b, i, room) >= 1);
                EXPECT_EQ(tool_find(self, root, style, b.ids[i + n - 1], 1), m.value[b.ids[i + n - 1]]);
                if (!commit && tsu_rand_below(&rng, 50) == 0) break;      /* given up half way */
            }
            tool_expect_sound(self, root);
            expect_walk(self, root, &m, style, -1, false, &rng);
            expect_walk(self, root, &m, style, ids, true, &rng);
            for (uint32_t i = 0; i < ids; i++) {        /* under the batch and beside it */
                uint32_t   id = (uint32_t)tsu_rand_below(&rng, ids);
                tsu_status s;

                if (tsu_rand_below(&rng, 2)) {
                    s = tool_put(self, root, style, id, i, i + 5000, false, &had);
                    EXPECT(s == TSU_OK || (s == TSU_AGAIN && absent));
                    if (s == TSU_OK) m.value[id] = i + 5000;
                } else {
                    EXPECT_EQ(tool_remove(self, root, style, id, i, &had), TSU_OK);
                    EXPECT_EQ(had, m.value[id]);
                    m.value[id] = -1;
                }
            }
            expect_walk(self, root, &m, style, -1, false, &rng);
            batch_end(self, root, style, &b, &m, commit, 1000000 + times);
            for (uint32_t id = 0; id < ids; id++) EXPECT_EQ(tool_find(self, root, style, id, 1), m.value[id]);
            expect_walk(self, root, &m, style, ids, true, &rng);
            tool_expect_sound(self, root);
        }
        tsu_unpin(self);
        tool_destroy(self, root);
    }
}

TEST(a_run_in_order_leaves_full_leaves_however_it_is_cut)
{
    static model   m;
    static batch   b;
    uint64_t       rng = tsu_test_seed();
    tsu_thread    *self = threads_setup();
    tsu_tree_shape shape;

    for (uint32_t room = 1; room <= BATCH_MAX; room += 1 + room / 2) {
        tsu_root *root = tool_make(self);

        model_init(&m, BATCH_MAX);
        memset(&b, 0, sizeof b);
        tsu_pin(self);
        for (uint32_t id = 0; id < BATCH_MAX; id++) batch_add(self, TOOL_MIXED, &b, id, 7);
        for (uint32_t i = 0; i < b.count;) i += batch_install_run(self, root, &b, i, room);
        batch_end(self, root, TOOL_MIXED, &b, &m, true, 7);
        tsu_tree_shape_get(root, &shape);
        EXPECT_EQ(shape.keys, BATCH_MAX);
        EXPECT(shape.cells <= BATCH_MAX + 100);
        expect_walk(self, root, &m, TOOL_MIXED, -1, false, &rng);
        tool_expect_sound(self, root);
        tsu_unpin(self);
        tool_destroy(self, root);
    }
}

TEST(a_run_ends_before_another_commits_key_and_puts_an_aborted_one_right)
{
    static model        m;
    static batch        b, in_the_way;
    uint64_t            rng = tsu_test_seed();
    tsu_thread         *self = threads_setup();
    tsu_install_outcome outcome;
    tsu_commit         *other;
    size_t              installed;

    for (int aborted = 0; aborted < 2; aborted++) {
        for (uint32_t at = 0; at < 200; at += 1 + (uint32_t)tsu_rand_below(&rng, 20)) {
            tsu_root *root = tool_make(self);
            uint32_t  i = 0;

            model_init(&m, 200);
            memset(&b, 0, sizeof b);
            memset(&in_the_way, 0, sizeof in_the_way);
            tsu_pin(self);
            for (uint32_t id = 0; id < 200; id++) batch_add(self, TOOL_MIXED, &b, id, 7);
            batch_add(self, TOOL_MIXED, &in_the_way, at, 8);
            EXPECT(batch_install(self, root, TOOL_MIXED, &in_the_way, 0));
            if (aborted) {
                tsu_store_seq(&in_the_way.commit.state, TSU_COMMIT_ABORTED);
            } else {
                while (i < at) i += batch_install_run(self, root, &b, i, BATCH_MAX);
                EXPECT_EQ(i, at);
                EXPECT_EQ(tsu_kind_tree.install_run(self, root, &b.items[i], b.count - i, &installed, &outcome, &other), TSU_OK);
                EXPECT_EQ(outcome, TSU_INSTALL_BLOCKED);
                EXPECT_EQ(installed, 0);
                EXPECT(other == &in_the_way.commit);
                batch_end(self, root, TOOL_MIXED, &in_the_way, &m, true, 8);
            }
            while (i < b.count) i += batch_install_run(self, root, &b, i, BATCH_MAX);
            if (aborted) batch_end(self, root, TOOL_MIXED, &in_the_way, &m, false, 8);
            expect_walk(self, root, &m, TOOL_MIXED, -1, false, &rng);
            batch_end(self, root, TOOL_MIXED, &b, &m, true, 7);
            expect_walk(self, root, &m, TOOL_MIXED, -1, false, &rng);
            tool_expect_sound(self, root);
            tsu_unpin(self);
            tool_destroy(self, root);
        }
    }
}

TEST(a_run_that_demands_absence_ends_at_a_key_that_is_there)
{
    static model        m;
    static batch        b;
    uint64_t            rng = tsu_test_seed();
    tsu_thread         *self = threads_setup();
    tsu_root           *root = tool_make(self);
    tsu_install_outcome outcome;
    tsu_commit         *other;
    size_t              installed;
    int64_t             had = -1;
    uint32_t            i = 0;

    model_init(&m, 300);
    memset(&b, 0, sizeof b);
    b.commit.demands_absent = true;
    tsu_pin(self);
    EXPECT_EQ(tool_put(self, root, TOOL_INTS, 150, 0, 77, false, &had), TSU_OK);
    m.value[150] = 77;
    for (uint32_t id = 0; id < 300; id++) batch_add(self, TOOL_INTS, &b, id, 7);
    while (i < 150) i += batch_install_run(self, root, &b, i, BATCH_MAX);
    EXPECT_EQ(i, 150);
    EXPECT_EQ(tsu_kind_tree.install_run(self, root, &b.items[i], b.count - i, &installed, &outcome, &other), TSU_OK);
    EXPECT_EQ(outcome, TSU_INSTALL_EXISTS);
    EXPECT_EQ(tsu_kind_tree.install_run(self, root, &b.items[0], b.count, &installed, &outcome, &other), TSU_OK);
    EXPECT(outcome == TSU_INSTALL_STOP || installed == 0);
    batch_end(self, root, TOOL_INTS, &b, &m, false, 0);
    expect_walk(self, root, &m, TOOL_INTS, -1, false, &rng);
    tool_expect_sound(self, root);
    tsu_unpin(self);
    tool_destroy(self, root);
}

TEST(an_insert_that_demands_absence_meets_a_key_and_is_aborted)
{
    tsu_thread         *self = threads_setup();
    tsu_root           *root = tool_make(self);
    static batch        b;
    tsu_install_outcome outcome;
    tsu_commit         *other;
    int64_t             had = -1;

    b.commit.demands_absent = true;
    batch_add(self, TOOL_INTS, &b, 5, 78);
    tsu_pin(self);
    EXPECT_EQ(tool_put(self, root, TOOL_INTS, 5, 0, 77, false, &had), TSU_OK);
    EXPECT_EQ(tool_install(self, root, TOOL_INTS, &b.items[0], 5, &outcome, &other), TSU_OK);
    EXPECT_EQ(outcome, TSU_INSTALL_EXISTS);
    EXPECT_EQ(tool_find(self, root, TOOL_INTS, 5, 0), 77);
    tsu_version_destroy(self, b.items[0].entry.word);
    tsu_unpin(self);
    tool_destroy(self, root);
}

TEST(a_commit_that_is_undone_leaves_nothing_in_the_tree)
{
    static model   m;
    static batch   b;
    tsu_thread    *self = threads_setup();
    tsu_tree_shape shape;

    for (int runs = 0; runs < 2; runs++) {
        tsu_root *root = tool_make(self);
        size_t    empty = tsu_kind_tree.bytes(root);

        model_init(&m, BATCH_MAX);
        memset(&b, 0, sizeof b);
        tsu_pin(self);
        for (uint32_t id = 0; id < BATCH_MAX; id++) batch_add(self, TOOL_MIXED, &b, id, 7);
        for (uint32_t i = 0, n = 1; i < b.count; i += n) {
            if (runs) n = batch_install_run(self, root, &b, i, BATCH_MAX);
            else EXPECT(batch_install(self, root, TOOL_MIXED, &b, i));
        }
        batch_end(self, root, TOOL_MIXED, &b, &m, false, 0);
        tsu_tree_shape_get(root, &shape);
        EXPECT_EQ(shape.keys, 0);
        EXPECT_EQ(shape.leaves, 1);
        EXPECT(tsu_kind_tree.bytes(root) <= empty + 64);
        tool_expect_sound(self, root);
        tsu_unpin(self);
        tool_destroy(self, root);
    }
}

#ifdef TSU_DEBUG
/* --- helpers who come late ------------------------------------------------------------------- */

typedef struct late_job {
    tsu_root *root;
    batch    *b;
    bool      run;
    tsu_word  ended;
} late_job;

static void late_helper(void *arg)
{
    late_job           *job = arg;
    tsu_thread         *self = tsu_thread_self();
    tsu_install_outcome outcome;
    tsu_commit         *other;
    size_t              installed = 0;

    stoppable = true;
    tsu_pin(self);
    if (job->run) {
        for (size_t i = 0; i < job->b->count; i += installed) {
            EXPECT_EQ(tsu_kind_tree.install_run(self, job->root, &job->b->items[i], job->b->count - i, &installed, &outcome, &other), TSU_OK);
            if (outcome != TSU_INSTALL_DONE) break;
        }
    } else {
        EXPECT_EQ(tool_install(self, job->root, TOOL_INTS, &job->b->items[0], job->b->ids[0], &outcome, &other), TSU_OK);
    }
    EXPECT_EQ(outcome, TSU_INSTALL_STOP);
    EXPECT_EQ(installed, 0);
    for (uint32_t i = 0; i < job->b->count; i++) {
        uint8_t buffer[128];
        tsu_key key = tool_key(TOOL_INTS, job->b->ids[i], 0, buffer);

        EXPECT(tsu_kind_tree.peek(self, job->root, &key) != job->b->items[i].entry.word);
    }
    tsu_unpin(self);
    tsu_store_seq(&job->ended, 1);
}

/* A helper is stopped at a step while it installs the batch, which is aborted, undone and then helped on with. */
static void late_round(tsu_thread *self, tsu_tree_step step, uint32_t skip, uint32_t count, uint32_t there, bool run)
{
    static batch   b;
    static model   m;
    tsu_root      *root = tool_make(self);
    late_job       job = {.root = root, .b = &b, .run = run};
    tsu_env_thread thread;
    uint64_t       rng = 1;
    int64_t        had = -1;

    memset(&b, 0, sizeof b);
    model_init(&m, 4000);
    tsu_pin(self);
    for (uint32_t id = 0; id < there; id++) {
        EXPECT_EQ(tool_put(self, root, TOOL_INTS, id * 6, 0, id, false, &had), TSU_OK);
        m.value[id * 6] = id;
    }
    tsu_unpin(self);
    for (uint32_t i = 0; i < count; i++) batch_add(self, TOOL_INTS, &b, i * 2 + (i % 15 != 6), 78);      /* some are there */
    stop_begin(&thread, step, skip, false, late_helper, &job);
    stop_wait(&job.ended);
    tsu_pin(self);
    expect_walk(self, root, &m, TOOL_INTS, -1, false, &rng);
    for (uint32_t id = 3000; id < 3100; id++) {          /* nobody is held up */
        EXPECT_EQ(tool_put(self, root, TOOL_INTS, id, 0, id, false, &had), TSU_OK);
        m.value[id] = id;
    }
    tsu_store_seq(&b.commit.state, TSU_COMMIT_ABORTED);
    for (uint32_t i = 0; i < count; i++) tool_undo(self, root, TOOL_INTS, &b.items[i], b.ids[i]);
    tsu_unpin(self);
    stop_end(&thread);
    tsu_pin(self);
    expect_walk(self, root, &m, TOOL_INTS, -1, false, &rng);
    expect_walk(self, root, &m, TOOL_INTS, 4000, true, &rng);
    tool_expect_sound(self, root);
    tsu_unpin(self);
    tool_destroy(self, root);
}

TEST(a_helper_who_shows_an_aborted_version_again_hides_it)
{
    late_round(threads_setup(), TSU_TREE_CLAIMED, 0, 1, 0, false);
}

TEST(a_helper_who_shows_a_run_of_an_aborted_commit_hides_it)
{
    tsu_thread *self = threads_setup();

    late_round(self, TSU_TREE_CLAIMED, 0, 5, 0, true);       /* into a leaf with room */
    late_round(self, TSU_TREE_CLAIMED, 0, 3, 20, true);
    late_round(self, TSU_TREE_FROZEN, 0, 60, 30, true);      /* into fresh leaves */
    late_round(self, TSU_TREE_FROZEN, 2, 400, 200, true);
    late_round(self, TSU_TREE_SPLIT, 0, 300, 0, true);       /* behind a full one */
    late_round(self, TSU_TREE_SPLIT, 1, 300, 100, true);
}

/* --- memory that runs out ---------------------------------------------------------------- */
static bool oom_runs(tsu_thread *self, long n, uint64_t seed)
{
    static model m;
    static batch b;
    uint64_t     rng = seed;
    tsu_root    *root = tool_make(self);
    bool         clean = true;
    tool_style   style = (tool_style)(seed % TOOL_STYLES);

    model_init(&m, 1200);
    tsu_tree_fail_after = n;
    for (int times = 0; times < 4; times++) {
        bool   commit = tsu_rand_below(&rng, 3) > 0;
        size_t installed = 0;

        tsu_tree_fail_after = times == (int)(seed % 3) ? n : -1;
        tsu_pin(self);
        batch_begin(self, style, &b, &m, false, times % 2 == 0, times, &rng);
        for (uint32_t i = 0; i < b.count; i += (uint32_t)installed) {
            tsu_install_outcome outcome;
            tsu_commit         *other;
            tsu_status          s = tsu_kind_tree.install_run(self, root, &b.items[i], b.count - i, &installed, &outcome, &other);

            if (s == TSU_OK) {
                EXPECT(installed > 0);
                continue;
            }
            EXPECT_EQ(s, TSU_NOMEM);
            EXPECT_EQ(installed, 0);
            clean = commit = false;
            expect_walk(self, root, &m, style, -1, false, &rng);
            tsu_tree_fail_after = -1;
            break;
        }
        tsu_tree_fail_after = -1;
        batch_end(self, root, style, &b, &m, commit, times);
        expect_walk(self, root, &m, style, -1, false, &rng);
        tool_expect_sound(self, root);
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
    tool_destroy(self, root);
    return clean;
}

TEST(a_run_for_which_memory_is_short_is_not_in_at_all)
{
    tsu_thread *self = threads_setup();
    uint64_t    seed = tsu_test_seed();

    for (uint64_t round = 0; round < 12; round++)
        for (long n = 0; n < 1000 && !oom_runs(self, n, seed + round); n += n < 40 ? 1 : n / 4) { }
}
#endif

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
