/* bptree_test.c: the tree against a plain array, one thread at a time; threads stopped half way. */
#include "testing/tree_model.h"

#define TWO_LEAVES 140       /* keys, in order: fill one leaf and begin another */

static void run_program(tool_style style, uint32_t ids, long ops, int deletes_percent, uint64_t *rng)
{
    static model m;
    tsu_thread  *self = threads_setup();
    tsu_root    *root = tool_make(self);
    int64_t      had = -1;

    model_init(&m, ids);
    for (long op = 0; op < ops; op++) {
        uint32_t id = (uint32_t)tsu_rand_below(rng, ids), variant = (uint32_t)tsu_rand(rng);
        uint64_t dice = tsu_rand_below(rng, 100);

        tsu_pin(self);
        if (dice < 10) {
            EXPECT_EQ(tool_find(self, root, style, id, variant), m.value[id]);
        } else if (dice < 10 + (uint64_t)deletes_percent) {
            EXPECT_EQ(tool_remove(self, root, style, id, variant, &had), TSU_OK);
            EXPECT_EQ(had, m.value[id]);
            m.value[id] = -1;
        } else {
            bool only_new = dice % 5 == 0;

            EXPECT_EQ(tool_put(self, root, style, id, variant, op, only_new, &had), TSU_OK);
            EXPECT_EQ(had, m.value[id]);
            if (!only_new || had < 0) m.value[id] = op;
        }
        if (op % (ids < 100 ? 7 : 499) == 0) expect_trail(self, root, &m, style);
        if (op % 997 == 0) {
            expect_walk(self, root, &m, style, (int64_t)tsu_rand_below(rng, ids + 2) - 1, op % 2, rng);
            tool_expect_sound(self, root);
        }
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
    tsu_pin(self);
    expect_walk(self, root, &m, style, -1, false, rng);
    expect_walk(self, root, &m, style, ids, true, rng);
    for (uint32_t id = 0; id < ids; id++) EXPECT_EQ(tool_find(self, root, style, id, 0), m.value[id]);
    tool_expect_sound(self, root);
    tsu_unpin(self);
    tool_destroy(self, root);
}

TEST(random_programs_on_few_keys_do_as_the_model_does)
{
    uint64_t rng = tsu_test_seed();

    for (int style = 0; style < TOOL_STYLES; style++)
        for (long i = 0; i < tsu_test_rounds(10); i++) run_program(style, 1 + (uint32_t)tsu_rand_below(&rng, 60), 1000, 45, &rng);
}

TEST(random_programs_on_many_keys_do_as_the_model_does)
{
    uint64_t rng = tsu_test_seed() + 1;

    for (int style = 0; style < TOOL_STYLES; style++) {
        run_program(style, IDS_MAX, tsu_test_rounds(20000), 20, &rng);
        run_program(style, IDS_MAX, tsu_test_rounds(20000), 50, &rng);
    }
}

TEST(an_empty_tree_has_nothing_and_ends_at_once)
{
    tsu_thread *self = threads_setup();
    tsu_root   *root = tool_make(self);
    uint64_t    rng = tsu_test_seed();
    static model m;

    model_init(&m, 10);
    tsu_pin(self);
    EXPECT_EQ(tool_find(self, root, TOOL_INTS, 3, 0), -1);
    expect_walk(self, root, &m, TOOL_INTS, -1, false, &rng);
    expect_walk(self, root, &m, TOOL_INTS, 10, true, &rng);
    expect_walk(self, root, &m, TOOL_INTS, 5, true, &rng);
    tool_expect_sound(self, root);
    tsu_unpin(self);
    tool_destroy(self, root);
}

static bool slot_visit(void *ctx, uint64_t word)
{
    *(int64_t *)ctx = tool_value(word);
    return true;
}

TEST(slot_counts_objects_in_order)
{
    tsu_thread *self = threads_setup();
    tsu_root   *root = tool_make(self);
    int64_t     value, had = -1;
    int         past;

    tsu_pin(self);
    for (uint32_t i = 0; i < 300; i++) EXPECT_EQ(tool_put(self, root, TOOL_INTS, i * 7 % 300, 0, i * 7 % 300, false, &had), TSU_OK);
    for (uint32_t i = 0; i < 300; i++) {
        value = -1;
        tsu_kind_tree.slot(self, root, i, slot_visit, &value, &past);
        EXPECT_EQ(past, 0);
        EXPECT_EQ(value, i);
    }
    tsu_kind_tree.slot(self, root, 300, slot_visit, &value, &past);
    EXPECT_EQ(past, 1);
    tsu_kind_tree.slot(self, root, 301, slot_visit, &value, &past);
    EXPECT_EQ(past, 2);
    tsu_unpin(self);
    tool_destroy(self, root);
}

TEST(a_load_in_order_leaves_full_leaves)
{
    tsu_thread    *self = threads_setup();
    tsu_tree_shape shape;
    uint32_t       n = 50000;
    int64_t        had = -1;

    for (int descending = 0; descending < 2; descending++) {
        tsu_root *root = tool_make(self);

        for (uint32_t i = 0; i < n; i++) {
            tsu_pin(self);
            EXPECT_EQ(tool_put(self, root, TOOL_INTS, descending ? n - i : i, 0, 1, false, &had), TSU_OK);
            tsu_unpin(self);
            tsu_ebr_relax(self);
        }
        tsu_tree_shape_get(root, &shape);
        EXPECT_EQ(shape.keys, n);
        EXPECT(shape.cells < n + n / 50);
        EXPECT(tsu_kind_tree.bytes(root) <= n * 18);
        tool_expect_sound(self, root);
        tool_destroy(self, root);
    }
}

TEST(a_tree_that_is_emptied_gives_its_memory_back)
{
    uint64_t       rng = tsu_test_seed();
    tsu_thread    *self = threads_setup();
    tsu_tree_shape shape;
    uint32_t       n = 20000;
    int64_t        had = -1;
    uint32_t      *order = malloc(n * sizeof *order);

    for (int way = 0; way < 3; way++) {
        tsu_root *root = tool_make(self);
        size_t    empty = tsu_kind_tree.bytes(root);

        for (uint32_t i = 0; i < n; i++) order[i] = i;
        for (uint32_t i = n; way == 0 && i-- > 1;) {
            uint32_t j = (uint32_t)tsu_rand_below(&rng, i + 1), t = order[i];

            order[i] = order[j];
            order[j] = t;
        }
        for (uint32_t i = 0; i < n; i++) {
            tsu_pin(self);
            EXPECT_EQ(tool_put(self, root, TOOL_MIXED, order[i], 0, 1, false, &had), TSU_OK);
            tsu_unpin(self);
            tsu_ebr_relax(self);
        }
        tool_expect_sound(self, root);
        for (uint32_t i = 0; i < n; i++) {
            tsu_pin(self);
            EXPECT_EQ(tool_remove(self, root, TOOL_MIXED, order[way == 2 ? n - 1 - i : i], 0, &had), TSU_OK);
            EXPECT_EQ(had, 1);
            tsu_unpin(self);
            tsu_ebr_relax(self);
        }
        tool_expect_sound(self, root);
        tsu_tree_shape_get(root, &shape);
        EXPECT_EQ(shape.keys, 0);
        EXPECT_EQ(shape.leaves, 1);
        EXPECT_EQ(shape.height, 1);
        EXPECT(tsu_kind_tree.bytes(root) <= empty + 64);
        tool_destroy(self, root);
    }
    free(order);
}

TEST(bytes_never_shrink_while_a_tree_only_grows)
{
    uint64_t    rng = tsu_test_seed();
    tsu_thread *self = threads_setup();
    tsu_root   *root = tool_make(self);
    size_t      before = 0;
    int64_t     had = -1;

    for (int i = 0; i < 20000; i++) {
        tsu_pin(self);
        EXPECT_EQ(tool_put(self, root, TOOL_BINARIES, (uint32_t)tsu_rand_below(&rng, 1000000), 0, 1, false, &had), TSU_OK);
        tsu_unpin(self);
        EXPECT(tsu_kind_tree.bytes(root) >= before);
        before = tsu_kind_tree.bytes(root);
        tsu_ebr_relax(self);
    }
    tool_destroy(self, root);
}

static void dump_line(void *ctx, const char *line)
{
    (*(int *)ctx)++;
    EXPECT(strncmp(line, "level ", 6) == 0);
}

TEST(a_dump_has_a_line_for_each_node)
{
    tsu_thread    *self = threads_setup();
    tsu_root      *root = tool_make(self);
    tsu_tree_shape shape;
    int64_t        had = -1;
    int            lines = 0;

    tsu_pin(self);
    for (uint32_t i = 0; i < 1000; i++) EXPECT_EQ(tool_put(self, root, TOOL_MIXED, i * 7919 % 3000, 0, 1, false, &had), TSU_OK);
    tsu_unpin(self);
    tsu_tree_dump(root, dump_line, &lines);
    tsu_tree_shape_get(root, &shape);
    EXPECT_EQ(lines, shape.leaves + shape.inners);
    EXPECT(shape.height >= 2);
    tool_destroy(self, root);
}

static void prefix_line(void *ctx, const char *line)
{
    ((int *)ctx)[0]++;
    ((int *)ctx)[1] += strstr(line, " skip ") != NULL;
}

TEST(keys_that_begin_alike_keep_that_once_and_others_come_in_between_all_the_same)
{
    static model m;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = threads_setup();
    tsu_root    *root = tool_make(self);
    int64_t      had = -1;

    model_init(&m, 4000);
    for (uint32_t i = 0; i < 4000; i++) {
        uint32_t id = i < 1000 ? 500 + i : i * 7919 % 4000;      /* from 2000 on they begin in another way */
        int      lines[2] = {0};

        tsu_pin(self);
        EXPECT_EQ(tool_put(self, root, TOOL_BINARIES, id, 0, i, false, &had), TSU_OK);
        m.value[id] = i;
        if (i % 500 == 499) {
            tool_expect_sound(self, root);
            tsu_tree_dump(root, prefix_line, lines);
            EXPECT(2 * lines[1] > lines[0]);
        }
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
    tsu_pin(self);
    expect_walk(self, root, &m, TOOL_BINARIES, -1, false, &rng);
    expect_walk(self, root, &m, TOOL_BINARIES, 4000, true, &rng);
    tsu_unpin(self);
    tool_destroy(self, root);
}

/* --- tails ---------------------------------------------------------------------------------- */
typedef struct coming {
    tsu_thread *self;
    tsu_root   *root;
    uint32_t    next;          /* the id that has to be shown next */
    int         step;
    bool        wrong;
} coming;

/* Each key that is shown and comes from the test puts in its neighbour, which has to be shown next. */
static bool coming_visit(void *arg, uint64_t word)
{
    coming  *c = arg;
    uint32_t id = (uint32_t)tool_value(word);
    int64_t  had = -1;

    if (id != c->next) c->wrong = true;
    if (id % 2 == 0) EXPECT_EQ(tool_put(c->self, c->root, TOOL_INTS, id + (uint32_t)c->step, 0, id + (uint32_t)c->step, false, &had), TSU_OK);
    c->next = id + (uint32_t)c->step;
    return !c->wrong;
}

TEST(a_walk_shows_what_came_into_its_leaf_while_it_looked_at_the_key_before)
{
    tsu_thread *self = threads_setup();
    int64_t     had = -1;

    for (int backward = 0; backward < 2; backward++) {
        tsu_root *root = tool_make(self);
        coming    c = {.self = self, .root = root, .next = backward ? 1000 : 2, .step = backward ? -1 : 1};
        bool      done;

        tsu_pin(self);
        for (uint32_t i = 0; i < 500; i++) {
            uint32_t id = 2 + i * 7 % 500 * 2;

            EXPECT_EQ(tool_put(self, root, TOOL_INTS, id, 0, id, false, &had), TSU_OK);
        }
        tsu_kind_tree.walk(self, root, NULL, backward ? TSU_BACKWARD : TSU_FORWARD, SIZE_MAX, coming_visit, &c, &done);
        EXPECT(done);
        EXPECT(!c.wrong);
        EXPECT_EQ(c.next, backward ? 0 : 1002);
        tool_expect_sound(self, root);
        tsu_unpin(self);
        tool_destroy(self, root);
    }
}

TEST(a_key_that_goes_and_comes_again_and_again_is_there_once)
{
    static model m;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = threads_setup();
    tsu_root    *root = tool_make(self);
    int64_t      had = -1;

    model_init(&m, 60);
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t id = i < 60 ? i : (uint32_t)tsu_rand_below(&rng, 5) * 10;

        tsu_pin(self);
        if (m.value[id] >= 0) EXPECT_EQ(tool_remove(self, root, TOOL_MIXED, id, 0, &had), TSU_OK);
        else EXPECT_EQ(tool_put(self, root, TOOL_MIXED, id, 0, i, true, &had), TSU_OK);
        EXPECT_EQ(had, m.value[id]);
        m.value[id] = m.value[id] >= 0 ? -1 : (int64_t)i;
        tool_expect_sound(self, root);
        if (i % 16 == 0) expect_walk(self, root, &m, TOOL_MIXED, -1, i % 32 == 0, &rng);
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
    tool_destroy(self, root);
}

#ifdef TSU_DEBUG
TEST(walks_need_no_memory)
{
    static model m;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = threads_setup();
    int64_t      had = -1;

    for (int style = 0; style < TOOL_STYLES; style++) {
        tsu_root *root = tool_make(self);

        model_init(&m, 2000);
        for (uint32_t i = 0; i < 700; i++) {
            uint32_t id = (uint32_t)tsu_rand_below(&rng, 2000);

            tsu_pin(self);
            EXPECT_EQ(tool_put(self, root, (tool_style)style, id, 0, i, false, &had), TSU_OK);
            m.value[id] = i;
            if (i < 20 || i % 100 == 99) {
                tsu_tree_fail_after = 0;
                expect_walk(self, root, &m, (tool_style)style, -1, false, &rng);
                expect_walk(self, root, &m, (tool_style)style, 2000, true, &rng);
                expect_walk(self, root, &m, (tool_style)style, id, i % 2, &rng);
                tsu_tree_fail_after = -1;
            }
            tsu_unpin(self);
        }
        tool_destroy(self, root);
    }
}

/* --- memory that runs out ---------------------------------------------------------------- */
static bool oom_run(tsu_thread *self, long n, uint64_t seed)
{
    static model m;
    uint64_t     rng = seed;
    tsu_root    *root = NULL;
    bool         clean = true;
    int64_t      had = -1;

    model_init(&m, 2000);
    tsu_tree_fail_after = n;
    if (tsu_kind_tree.create(self, 1, &root) != TSU_OK) {
        tsu_tree_fail_after = -1;
        return false;
    }
    for (int op = 0; op < 3000; op++) {
        uint32_t   id = (uint32_t)tsu_rand_below(&rng, 2000);
        bool       remove = op > 1500 ? op % 8 != 0 : op % 8 == 0;
        tsu_status s;

        tsu_pin(self);
        if (remove) {
            s = tool_remove(self, root, TOOL_MIXED, id, 0, &had);
            if (s == TSU_OK) EXPECT_EQ(had, m.value[id]);
            if (s == TSU_OK) m.value[id] = -1;
        } else {
            s = tool_put(self, root, TOOL_MIXED, id, 0, op, false, &had);
            if (s == TSU_OK) EXPECT_EQ(had, m.value[id]);
            if (s == TSU_OK) m.value[id] = op;
        }
        if (s != TSU_OK) {
            EXPECT_EQ(s, TSU_NOMEM);
            clean = false;
            if (tsu_rand_below(&rng, 16) == 0) tsu_tree_fail_after = (long)tsu_rand_below(&rng, 3);      /* some comes back */
        }
        EXPECT_EQ(tool_find(self, root, TOOL_MIXED, id, 0), m.value[id]);
        tsu_unpin(self);
        if (op % 64 == 0) tsu_ebr_relax(self);
    }
    tsu_tree_fail_after = -1;
    tsu_pin(self);
    tool_expect_sound(self, root);
    expect_walk(self, root, &m, TOOL_MIXED, -1, false, &rng);
    expect_walk(self, root, &m, TOOL_MIXED, 2000, true, &rng);
    tsu_unpin(self);
    tool_destroy(self, root);
    return clean;
}

TEST(when_memory_runs_out_nothing_is_half_done)
{
    tsu_thread *self = threads_setup();
    uint64_t    rng = tsu_test_seed();
    long        n;

    for (n = 0; n < 10000; n += 1 + (long)tsu_rand_below(&rng, (uint64_t)n + 1) / 8)
        if (oom_run(self, n, tsu_test_seed() + (uint64_t)n)) break;
    EXPECT(n < 10000);
}

/* --- threads that stop half way -------------------------------------------------------------- */
typedef struct stop_job {
    tsu_root  *root;
    tool_style style;
    uint64_t   rng;
    tsu_word   ended;
} stop_job;

/* Works on keys = 0 mod 4 until it is stopped, and goes on from there when it may. */
static void stop_writer(void *arg)
{
    stop_job   *job = arg;
    tsu_thread *self = tsu_thread_self();
    int64_t     had = -1;

    stoppable = true;
    for (int op = 0; op < 40000; op++) {
        uint32_t id = (uint32_t)tsu_rand_below(&job->rng, 1000) * 4;

        tsu_pin(self);
        if (op % 4000 < 2000) (void)tool_put(self, job->root, job->style, id, 0, op, false, &had);
        else (void)tool_remove(self, job->root, job->style, id, 0, &had);
        tsu_unpin(self);
        if (tsu_load_seq(&stop_reached)) break;
    }
    tsu_store_seq(&job->ended, 1);
}

TEST(a_writer_stopped_anywhere_blocks_no_reader_and_no_writer)
{
    static model m;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = threads_setup();
    int64_t      had = -1;

    for (int step = TSU_TREE_CLAIMED; step <= TSU_TREE_ABSORBED; step++) {
        for (int round = 0; round < 4; round++) {
            tool_style     style = round % 2 ? TOOL_MIXED : TOOL_INTS;
            tsu_root      *root = tool_make(self);
            stop_job       job = {.root = root, .style = style, .rng = tsu_rand(&rng)};
            tsu_env_thread thread;

            model_init(&m, 4000);
            stop_begin(&thread, (tsu_tree_step)step, 0, false, stop_writer, &job);
            stop_wait(&job.ended);
            for (int op = 0; op < 12000; op++) {          /* our keys = 1 mod 4, all around the stopped one */
                uint32_t id = (uint32_t)tsu_rand_below(&rng, 1000) * 4 + 1;

                tsu_pin(self);
                EXPECT_EQ(tool_find(self, root, style, id, 0), m.value[id]);
                if (op % 3000 < 1500) {
                    EXPECT_EQ(tool_put(self, root, style, id, 0, op, false, &had), TSU_OK);
                    EXPECT_EQ(had, m.value[id]);
                    m.value[id] = op;
                } else {
                    EXPECT_EQ(tool_remove(self, root, style, id, 0, &had), TSU_OK);
                    EXPECT_EQ(had, m.value[id]);
                    m.value[id] = -1;
                }
                tsu_unpin(self);
            }
            stop_end(&thread);
            tsu_pin(self);
            for (uint32_t id = 1; id < 4000; id += 4) EXPECT_EQ(tool_find(self, root, style, id, 0), m.value[id]);
            tool_expect_sound(self, root);
            tsu_unpin(self);
            tool_destroy(self, root);
        }
    }
}

static void put_one(void *arg)
{
    stop_job   *job = arg;
    tsu_thread *self = tsu_thread_self();
    int64_t     had = -1;

    stoppable = true;
    tsu_pin(self);
    (void)tool_put(self, job->root, job->style, 5, 0, 5, false, &had);
    tsu_unpin(self);
}

TEST(a_key_is_in_the_tree_as_soon_as_it_has_a_cell)
{
    static model m;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = threads_setup();
    int64_t      had = -1;

    for (uint32_t there = 0; there < 60; there++) {
        tsu_root      *root = tool_make(self);
        stop_job       job = {.root = root, .style = TOOL_INTS};
        tsu_env_thread thread;

        model_init(&m, 1000);
        tsu_pin(self);
        for (uint32_t i = 0; i < there; i++) {
            uint32_t id = i * 7 % 60 * 10;

            EXPECT_EQ(tool_put(self, root, TOOL_INTS, id, 0, i, false, &had), TSU_OK);
            m.value[id] = i;
        }
        tsu_unpin(self);
        stop_begin(&thread, TSU_TREE_CLAIMED, 0, false, put_one, &job);
        stop_wait(&job.ended);
        m.value[5] = 5;
        tsu_pin(self);
        EXPECT_EQ(tool_find(self, root, TOOL_INTS, 5, 0), 5);
        expect_walk(self, root, &m, TOOL_INTS, -1, false, &rng);
        EXPECT_EQ(tool_put(self, root, TOOL_INTS, 5, 0, 6, true, &had), TSU_OK);
        EXPECT_EQ(had, 5);
        EXPECT_EQ(tool_remove(self, root, TOOL_INTS, 5, 0, &had), TSU_OK);
        EXPECT_EQ(had, 5);
        m.value[5] = -1;
        tsu_unpin(self);
        stop_end(&thread);
        tsu_pin(self);
        EXPECT_EQ(tool_find(self, root, TOOL_INTS, 5, 0), -1);
        expect_walk(self, root, &m, TOOL_INTS, -1, false, &rng);
        tool_expect_sound(self, root);
        tsu_unpin(self);
        tool_destroy(self, root);
    }
}

static void remove_all(void *arg)
{
    stop_job   *job = arg;
    tsu_thread *self = tsu_thread_self();
    int64_t     had = -1;

    stoppable = true;
    for (uint32_t id = 0; id < 4000; id++) {
        tsu_pin(self);
        (void)tool_remove(self, job->root, job->style, id, 0, &had);
        tsu_unpin(self);
    }
    tsu_store_seq(&job->ended, 1);
}

TEST(a_root_that_is_to_take_over_a_child_which_splits_takes_both)
{
    tsu_thread *self = threads_setup();
    int64_t     had = -1;

    for (int style = 0; style < TOOL_STYLES; style++) {
        tsu_root      *root = tool_make(self);
        stop_job       job = {.root = root, .style = (tool_style)style};
        tsu_env_thread thread;

        tsu_pin(self);
        for (uint32_t id = 0; id < 2 * TWO_LEAVES; id += 2) EXPECT_EQ(tool_put(self, root, job.style, id, 0, id, false, &had), TSU_OK);
        tsu_unpin(self);
        /* past the merge of the two leaves, in the root's with the only one */
        stop_begin(&thread, TSU_TREE_FLAGGED, 1, false, remove_all, &job);
        stop_wait(&job.ended);
        tsu_pin(self);
        for (uint32_t id = 1; id < 4000; id += 2) {
            EXPECT_EQ(tool_put(self, root, job.style, id, 0, id, false, &had), TSU_OK);
            EXPECT_EQ(tool_find(self, root, job.style, id, 0), id);
        }
        for (uint32_t id = 1; id < 4000; id += 2) EXPECT_EQ(tool_find(self, root, job.style, id, 0), id);
        tsu_unpin(self);
        stop_end(&thread);
        tool_expect_sound(self, root);
        tool_destroy(self, root);
    }
}

static uint64_t released;
static void release_and_count(tsu_thread *self, uint64_t word)
{
    released++;
    tsu_version_destroy(self, word);
}

TEST(a_tree_left_in_the_middle_of_a_merge_is_taken_apart_whole)
{
    static model m;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = threads_setup();
    int64_t      had = -1;
    uint64_t     live = threads_live();

    for (int round = 0; round < 24; round++) {
        tsu_root      *root = tool_make(self);
        stop_job       job = {.root = root, .style = (tool_style)(round % TOOL_STYLES)};
        tsu_env_thread thread;
        uint64_t       left = 0;

        model_init(&m, 4000);
        tsu_pin(self);
        for (uint32_t id = 0; id < 4000; id++) EXPECT_EQ(tool_put(self, root, job.style, id, 0, id, false, &had), TSU_OK);
        tsu_unpin(self);
        stop_begin(&thread, (tsu_tree_step)(TSU_TREE_FLAGGED + round % 3), tsu_rand_below(&rng, 20), true, remove_all, &job);
        stop_end(&thread);
        tsu_pin(self);
        for (uint32_t id = 0; id < 4000; id++) left += tool_find(self, root, job.style, id, 0) >= 0;
        tsu_unpin(self);
        EXPECT(left > 0);
        tsu_ebr_drain(self);
        released = 0;
        while (!tsu_kind_tree.reap(self, root, 1 + tsu_rand_below(&rng, 500), release_and_count)) { }
        EXPECT_EQ(released, left);
    }
    /* what those threads had in their hands, unlinked and not yet retired, is lost with them */
    threads_lost = threads_live() - live;
    EXPECT(threads_lost <= 24 * 8192);
}

static tsu_root *beside_root;
static bool      beside_busy, beside_marked;
static int       beside_writes;

/* Whenever a merge has frozen the left leaf, another writer wants to change a key there. */
static void beside_hook(tsu_tree_step step)
{
    int64_t had = -1;

    if (step == TSU_TREE_MARKED) beside_marked = true;
    if (step != TSU_TREE_FROZEN || !beside_marked || beside_busy || beside_writes == 50) return;
    beside_busy = true;
    beside_writes++;
    EXPECT_EQ(tool_put(tsu_thread_self(), beside_root, TOOL_INTS, 0, 0, 1000 + beside_writes, false, &had), TSU_OK);
    beside_busy = false;
}

TEST(a_merge_ends_though_a_writer_comes_in_between_each_time)
{
    static model m;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = threads_setup();
    int64_t      had = -1;
    uint32_t     ids = TWO_LEAVES;

    model_init(&m, TWO_LEAVES);
    beside_root = tool_make(self);
    beside_marked = false;
    beside_writes = 0;
    tsu_pin(self);
    for (uint32_t id = 0; id < ids; id++) EXPECT_EQ(tool_put(self, beside_root, TOOL_INTS, id, 0, id, false, &had), TSU_OK);
    for (uint32_t id = 1; id < 30; id++) EXPECT_EQ(tool_remove(self, beside_root, TOOL_INTS, id, 0, &had), TSU_OK);
    tsu_tree_step_hook = beside_hook;
    while (!beside_marked && ids > 30) EXPECT_EQ(tool_remove(self, beside_root, TOOL_INTS, --ids, 0, &had), TSU_OK);
    tsu_tree_step_hook = NULL;
    EXPECT_EQ(beside_writes, 1);
    m.value[0] = 1001;
    for (uint32_t id = 30; id < ids; id++) m.value[id] = id;
    tool_expect_sound(self, beside_root);
    expect_walk(self, beside_root, &m, TOOL_INTS, -1, false, &rng);
    tsu_unpin(self);
    tool_destroy(self, beside_root);
}
#endif

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
