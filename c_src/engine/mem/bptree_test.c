/* bptree_test.c: the tree against a plain array, one thread at a time; threads stopped half way. */
#include <pthread.h>

#include "mem/bptree.h"
#include "testing/harness.h"
#include "testing/tree_tool.h"

#define IDS_MAX 6000
#define TWO_LEAVES 140       /* keys, in order: fill one leaf and begin another */

/* The model: an array with the value of each key, -1 where there is none. */
typedef struct model {
    int64_t  value[IDS_MAX];
    uint32_t variant[IDS_MAX];
    uint32_t ids;
} model;

static void model_init(model *m, uint32_t ids)
{
    m->ids = ids;
    for (uint32_t i = 0; i < ids; i++) m->value[i] = -1;
}

/* The key after (before) `from` that is there; from = ids or -1 as the end; -2: none. */
static int64_t model_step(const model *m, int64_t from, bool backward)
{
    int64_t i = from;

    for (;;) {
        i += backward ? -1 : 1;
        if (i < 0 || i >= (int64_t)m->ids) return -2;
        if (m->value[i] >= 0) return i;
    }
}

static void *setup_thread;
static tsu_thread *setup(void)
{
    if (setup_thread == NULL) {
        tsu_ebr_init();
        setup_thread = tsu_thread_self();
    }
    return setup_thread;
}

static tsu_root *make(tsu_thread *self)
{
    tsu_root *root = NULL;

    if (tsu_kind_tree.create(self, 1, &root) != TSU_OK) abort();
    return root;
}

static void expect_sound(tsu_thread *self, tsu_root *root)
{
    const char *fault = tsu_kind_tree.verify(self, root);

    EXPECT_STR(fault ? fault : "sound", "sound");
}

typedef struct walk_ctx {
    const model *m;
    int64_t      at;
    bool         backward;
    size_t       left;
    bool         wrong;
    uint8_t      key[128];
    size_t       key_len;
} walk_ctx;

static bool walk_visit(void *arg, uint64_t word)
{
    walk_ctx      *w = arg;
    const uint8_t *key = tsu_version_key(word, 1, &w->key_len);

    w->at = model_step(w->m, w->at, w->backward);
    if (w->at < 0 || w->m->value[w->at] != tool_value(word)) {
        w->wrong = true;
        return false;
    }
    memcpy(w->key, key, w->key_len);
    return --w->left > 0;
}

/* Walks from the key (-1, ids: from the end), in pieces of random length. */
static void expect_walk(tsu_thread *self, tsu_root *root, const model *m, tool_style style, int64_t from,
                        bool backward, uint64_t *rng)
{
    walk_ctx w = {.m = m, .at = from, .backward = backward};
    uint8_t  buffer[128];
    tsu_key  key;
    bool     have = from >= 0 && from < (int64_t)m->ids, done = false;

    if (!have) w.at = backward ? (int64_t)m->ids : -1;
    if (have) key = tool_key(style, (uint32_t)from, (uint32_t)tsu_rand(rng), buffer);
    while (!done && !w.wrong) {
        size_t budget = 1 + tsu_rand_below(rng, 200);

        w.left = 1 + tsu_rand_below(rng, 100);
        tsu_kind_tree.walk(self, root, have ? &key : NULL, backward ? TSU_BACKWARD : TSU_FORWARD, budget,
                           walk_visit, &w, &done);
        if (w.key_len > 0) {
            key = tool_key_view(w.key, w.key_len);
            have = true;
        }
    }
    EXPECT(!w.wrong);
    EXPECT_EQ(model_step(m, w.at, backward), -2);
}

static void run_program(tool_style style, uint32_t ids, long ops, int deletes_percent, uint64_t *rng)
{
    static model m;
    tsu_thread  *self = setup();
    tsu_root    *root = make(self);
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
        if (op % 997 == 0) {
            expect_walk(self, root, &m, style, (int64_t)tsu_rand_below(rng, ids + 2) - 1, op % 2, rng);
            expect_sound(self, root);
        }
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
    tsu_pin(self);
    expect_walk(self, root, &m, style, -1, false, rng);
    expect_walk(self, root, &m, style, ids, true, rng);
    for (uint32_t id = 0; id < ids; id++) EXPECT_EQ(tool_find(self, root, style, id, 0), m.value[id]);
    expect_sound(self, root);
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
    tsu_thread *self = setup();
    tsu_root   *root = make(self);
    uint64_t    rng = tsu_test_seed();
    static model m;

    model_init(&m, 10);
    tsu_pin(self);
    EXPECT_EQ(tool_find(self, root, TOOL_INTS, 3, 0), -1);
    expect_walk(self, root, &m, TOOL_INTS, -1, false, &rng);
    expect_walk(self, root, &m, TOOL_INTS, 10, true, &rng);
    expect_walk(self, root, &m, TOOL_INTS, 5, true, &rng);
    expect_sound(self, root);
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
    tsu_thread *self = setup();
    tsu_root   *root = make(self);
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
    tsu_thread    *self = setup();
    tsu_tree_shape shape;
    uint32_t       n = 50000;
    int64_t        had = -1;

    for (int descending = 0; descending < 2; descending++) {
        tsu_root *root = make(self);

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
        expect_sound(self, root);
        tool_destroy(self, root);
    }
}

TEST(a_tree_that_is_emptied_gives_its_memory_back)
{
    uint64_t       rng = tsu_test_seed();
    tsu_thread    *self = setup();
    tsu_tree_shape shape;
    uint32_t       n = 20000;
    int64_t        had = -1;
    uint32_t      *order = malloc(n * sizeof *order);

    for (int way = 0; way < 3; way++) {
        tsu_root *root = make(self);
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
        expect_sound(self, root);
        for (uint32_t i = 0; i < n; i++) {
            tsu_pin(self);
            EXPECT_EQ(tool_remove(self, root, TOOL_MIXED, order[way == 2 ? n - 1 - i : i], 0, &had), TSU_OK);
            EXPECT_EQ(had, 1);
            tsu_unpin(self);
            tsu_ebr_relax(self);
        }
        expect_sound(self, root);
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
    tsu_thread *self = setup();
    tsu_root   *root = make(self);
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
    tsu_thread    *self = setup();
    tsu_root      *root = make(self);
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

/* --- commits ------------------------------------------------------------------------- */
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
    uint8_t             buffer[128];
    tsu_key             key = tool_key(style, b->ids[i], 0, buffer);

    EXPECT_EQ(tsu_kind_tree.install(self, root, &key, &b->items[i].entry, &outcome, &other), TSU_OK);
    return outcome == TSU_INSTALL_DONE;
}

static void batch_add(tsu_thread *self, tool_style style, batch *b, uint32_t id, int64_t value)
{
    struct tsu_commit_item *item = &b->items[b->count];
    uint64_t                word = tool_record(self, style, id, 0, value);
    uint8_t                 buffer[128];

    tsu_store_relaxed(&tsu_cell_version(word)->header, (uint64_t)(uintptr_t)&item->entry | TSU_HEADER_ENTRY);
    item->entry.commit = &b->commit;
    item->entry.word = word;
    item->mark = tool_key(style, id, 0, buffer).mark;
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
            uint64_t under = tsu_entry_freeze(&b->items[i].entry);

            m->value[b->ids[i]] = value;
            if (tsu_cell_holds_version(under)) tool_retire(self, under);
            EXPECT(tsu_version_settle(b->items[i].entry.word, 1));
        }
        return;
    }
    tsu_store_seq(&b->commit.state, TSU_COMMIT_ABORTED);
    for (uint32_t i = 0; i < b->count; i++) {
        uint8_t buffer[128];
        tsu_key key = tool_key(style, b->ids[i], 0, buffer);

        tsu_kind_tree.restore(self, root, &key, &b->items[i].entry);
        EXPECT(tsu_kind_tree.peek(self, root, &key) != b->items[i].entry.word);
        tool_release(self, b->items[i].entry.word);
    }
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
    tsu_thread  *self = setup();
    int64_t      had = -1;

    for (long round = 0; round < tsu_test_rounds(200); round++) {
        tool_style style = (tool_style)(round % TOOL_STYLES);
        tsu_root  *root = make(self);
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
            expect_sound(self, root);
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
            expect_sound(self, root);
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
    tsu_thread    *self = setup();
    tsu_tree_shape shape;

    for (uint32_t room = 1; room <= BATCH_MAX; room += 1 + room / 2) {
        tsu_root *root = make(self);

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
        expect_sound(self, root);
        tsu_unpin(self);
        tool_destroy(self, root);
    }
}

TEST(a_run_ends_before_another_commits_key_and_puts_an_aborted_one_right)
{
    static model        m;
    static batch        b, in_the_way;
    uint64_t            rng = tsu_test_seed();
    tsu_thread         *self = setup();
    tsu_install_outcome outcome;
    tsu_commit         *other;
    size_t              installed;

    for (int aborted = 0; aborted < 2; aborted++) {
        for (uint32_t at = 0; at < 200; at += 1 + (uint32_t)tsu_rand_below(&rng, 20)) {
            tsu_root *root = make(self);
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
            expect_sound(self, root);
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
    tsu_thread         *self = setup();
    tsu_root           *root = make(self);
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
    expect_sound(self, root);
    tsu_unpin(self);
    tool_destroy(self, root);
}

TEST(an_insert_that_demands_absence_meets_a_key_and_is_aborted)
{
    tsu_thread         *self = setup();
    tsu_root           *root = make(self);
    static batch        b;
    tsu_install_outcome outcome;
    tsu_commit         *other;
    uint8_t             buffer[128];
    tsu_key             key = tool_key(TOOL_INTS, 5, 0, buffer);
    int64_t             had = -1;

    b.commit.demands_absent = true;
    batch_add(self, TOOL_INTS, &b, 5, 78);
    tsu_pin(self);
    EXPECT_EQ(tool_put(self, root, TOOL_INTS, 5, 0, 77, false, &had), TSU_OK);
    EXPECT_EQ(tsu_kind_tree.install(self, root, &key, &b.items[0].entry, &outcome, &other), TSU_OK);
    EXPECT_EQ(outcome, TSU_INSTALL_EXISTS);
    EXPECT_EQ(tool_find(self, root, TOOL_INTS, 5, 0), 77);
    tool_release(self, b.items[0].entry.word);
    tsu_unpin(self);
    tool_destroy(self, root);
}

#ifdef TSU_DEBUG
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
    expect_sound(self, root);
    expect_walk(self, root, &m, TOOL_MIXED, -1, false, &rng);
    expect_walk(self, root, &m, TOOL_MIXED, 2000, true, &rng);
    tsu_unpin(self);
    tool_destroy(self, root);
    return clean;
}

TEST(when_memory_runs_out_nothing_is_half_done)
{
    tsu_thread *self = setup();
    uint64_t    rng = tsu_test_seed();
    long        n;

    for (n = 0; n < 10000; n += 1 + (long)tsu_rand_below(&rng, (uint64_t)n + 1) / 8)
        if (oom_run(self, n, tsu_test_seed() + (uint64_t)n)) break;
    EXPECT(n < 10000);
}

/* --- threads that stop half way -------------------------------------------------------------- */
static tsu_word stop_now;            /* 1 + the step where the writer is to stop; 0: nowhere */
static tsu_word stopped;
static tsu_word stop_skip;           /* so many times it goes on */
static tsu_word stop_for_good;       /* the thread ends there, unpinned */
static _Thread_local bool stoppable;

static void stop_hook(tsu_tree_step step)
{
    if (!stoppable || tsu_load_seq(&stop_now) != (uint64_t)step + 1) return;
    if (tsu_load_seq(&stop_skip) > 0) {
        tsu_store_seq(&stop_skip, tsu_load_seq(&stop_skip) - 1);
        return;
    }
    stoppable = false;
    tsu_store_seq(&stopped, 1);
    if (tsu_load_seq(&stop_for_good)) {
        tsu_unpin(tsu_thread_self());
        pthread_exit(NULL);
    }
    while (tsu_load_seq(&stop_now) != 0) tsu_env_yield();
}

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
        if (tsu_load_seq(&stopped)) break;
    }
    tsu_store_seq(&job->ended, 1);
}

TEST(a_writer_stopped_anywhere_blocks_no_reader_and_no_writer)
{
    static model m;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = setup();
    int64_t      had = -1;

    tsu_tree_step_hook = stop_hook;
    for (int step = TSU_TREE_CLAIMED; step <= TSU_TREE_ABSORBED; step++) {
        for (int round = 0; round < 4; round++) {
            tool_style     style = round % 2 ? TOOL_MIXED : TOOL_INTS;
            tsu_root      *root = make(self);
            stop_job       job = {.root = root, .style = style, .rng = tsu_rand(&rng)};
            tsu_env_thread thread;

            model_init(&m, 4000);
            tsu_store_seq(&stopped, 0);
            tsu_store_seq(&stop_now, (uint64_t)step + 1);
            REQUIRE(tsu_env_thread_start(&thread, stop_writer, &job));
            while (!tsu_load_seq(&stopped) && !tsu_load_seq(&job.ended)) tsu_env_yield();
            EXPECT(tsu_load_seq(&stopped));
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
            tsu_store_seq(&stop_now, 0);
            tsu_env_thread_join(&thread);
            tsu_pin(self);
            for (uint32_t id = 1; id < 4000; id += 4) EXPECT_EQ(tool_find(self, root, style, id, 0), m.value[id]);
            expect_sound(self, root);
            tsu_unpin(self);
            tool_destroy(self, root);
        }
    }
    tsu_tree_step_hook = NULL;
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
}

TEST(a_root_that_is_to_take_over_a_child_which_splits_takes_both)
{
    tsu_thread *self = setup();
    int64_t     had = -1;

    tsu_tree_step_hook = stop_hook;
    for (int style = 0; style < TOOL_STYLES; style++) {
        tsu_root      *root = make(self);
        stop_job       job = {.root = root, .style = (tool_style)style};
        tsu_env_thread thread;

        tsu_pin(self);
        for (uint32_t id = 0; id < 2 * TWO_LEAVES; id += 2) EXPECT_EQ(tool_put(self, root, job.style, id, 0, id, false, &had), TSU_OK);
        tsu_unpin(self);
        tsu_store_seq(&stopped, 0);
        tsu_store_seq(&stop_skip, 1);                                 /* the merge of the two leaves */
        tsu_store_seq(&stop_now, (uint64_t)TSU_TREE_FLAGGED + 1);     /* and then the root's with the only one */
        REQUIRE(tsu_env_thread_start(&thread, remove_all, &job));
        while (!tsu_load_seq(&stopped)) tsu_env_yield();
        tsu_pin(self);
        for (uint32_t id = 1; id < 4000; id += 2) {
            EXPECT_EQ(tool_put(self, root, job.style, id, 0, id, false, &had), TSU_OK);
            EXPECT_EQ(tool_find(self, root, job.style, id, 0), id);
        }
        for (uint32_t id = 1; id < 4000; id += 2) EXPECT_EQ(tool_find(self, root, job.style, id, 0), id);
        tsu_unpin(self);
        tsu_store_seq(&stop_now, 0);
        tsu_env_thread_join(&thread);
        expect_sound(self, root);
        tool_destroy(self, root);
    }
    tsu_tree_step_hook = NULL;
}

static uint64_t released;
static void release_and_count(tsu_thread *self, uint64_t word)
{
    released++;
    tool_release(self, word);
}

TEST(a_tree_left_in_the_middle_of_a_merge_is_taken_apart_whole)
{
    static model m;
    uint64_t     rng = tsu_test_seed();
    tsu_thread  *self = setup();
    int64_t      had = -1;

    tsu_tree_step_hook = stop_hook;
    tsu_store_seq(&stop_for_good, 1);
    for (int round = 0; round < 24; round++) {
        tsu_root      *root = make(self);
        stop_job       job = {.root = root, .style = (tool_style)(round % TOOL_STYLES)};
        tsu_env_thread thread;
        uint64_t       left = 0;

        model_init(&m, 4000);
        tsu_pin(self);
        for (uint32_t id = 0; id < 4000; id++) EXPECT_EQ(tool_put(self, root, job.style, id, 0, id, false, &had), TSU_OK);
        tsu_unpin(self);
        tsu_store_seq(&stopped, 0);
        tsu_store_seq(&stop_skip, tsu_rand_below(&rng, 20));
        tsu_store_seq(&stop_now, (uint64_t)TSU_TREE_FLAGGED + 1 + (uint64_t)(round % 3));
        REQUIRE(tsu_env_thread_start(&thread, remove_all, &job));
        tsu_env_thread_join(&thread);
        EXPECT(tsu_load_seq(&stopped));
        tsu_pin(self);
        for (uint32_t id = 0; id < 4000; id++) left += tool_find(self, root, job.style, id, 0) >= 0;
        tsu_unpin(self);
        EXPECT(left > 0);
        tsu_ebr_drain(self);
        released = 0;
        while (!tsu_kind_tree.reap(self, root, 1 + tsu_rand_below(&rng, 500), release_and_count)) { }
        EXPECT_EQ(released, left);
    }
    tsu_store_seq(&stop_for_good, 0);
    tsu_store_seq(&stop_skip, 0);
    tsu_store_seq(&stop_now, 0);
    tsu_tree_step_hook = NULL;
}

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
    uint8_t             buffer[128];
    tsu_key             key = tool_key(TOOL_INTS, job->b->ids[0], 0, buffer);

    stoppable = true;
    tsu_pin(self);
    if (job->run) {
        for (size_t i = 0; i < job->b->count; i += installed) {
            EXPECT_EQ(tsu_kind_tree.install_run(self, job->root, &job->b->items[i], job->b->count - i, &installed, &outcome, &other), TSU_OK);
            if (outcome != TSU_INSTALL_DONE) break;
        }
    } else {
        EXPECT_EQ(tsu_kind_tree.install(self, job->root, &key, &job->b->items[0].entry, &outcome, &other), TSU_OK);
    }
    EXPECT_EQ(outcome, TSU_INSTALL_STOP);
    EXPECT_EQ(installed, 0);
    for (uint32_t i = 0; i < job->b->count; i++) {
        key = tool_key(TOOL_INTS, job->b->ids[i], 0, buffer);
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
    tsu_root      *root = make(self);
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
    tsu_tree_step_hook = stop_hook;
    tsu_store_seq(&stopped, 0);
    tsu_store_seq(&stop_skip, skip);
    tsu_store_seq(&stop_now, (uint64_t)step + 1);
    REQUIRE(tsu_env_thread_start(&thread, late_helper, &job));
    while (!tsu_load_seq(&stopped) && !tsu_load_seq(&job.ended)) tsu_env_yield();
    EXPECT(tsu_load_seq(&stopped));
    tsu_pin(self);
    expect_walk(self, root, &m, TOOL_INTS, -1, false, &rng);
    for (uint32_t id = 3000; id < 3100; id++) {          /* nobody is held up */
        EXPECT_EQ(tool_put(self, root, TOOL_INTS, id, 0, id, false, &had), TSU_OK);
        m.value[id] = id;
    }
    tsu_store_seq(&b.commit.state, TSU_COMMIT_ABORTED);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t buffer[128];
        tsu_key key = tool_key(TOOL_INTS, b.ids[i], 0, buffer);

        tsu_kind_tree.restore(self, root, &key, &b.items[i].entry);
    }
    tsu_unpin(self);
    tsu_store_seq(&stop_now, 0);
    tsu_env_thread_join(&thread);
    tsu_tree_step_hook = NULL;
    tsu_store_seq(&stop_skip, 0);
    tsu_pin(self);
    expect_walk(self, root, &m, TOOL_INTS, -1, false, &rng);
    expect_walk(self, root, &m, TOOL_INTS, 4000, true, &rng);
    expect_sound(self, root);
    tsu_unpin(self);
    for (uint32_t i = 0; i < count; i++) tool_release(self, b.items[i].entry.word);
    tool_destroy(self, root);
}

TEST(a_helper_who_shows_an_aborted_version_again_hides_it)
{
    late_round(setup(), TSU_TREE_CLAIMED, 0, 1, 0, false);
}

TEST(a_helper_who_shows_a_run_of_an_aborted_commit_hides_it)
{
    tsu_thread *self = setup();

    late_round(self, TSU_TREE_CLAIMED, 0, 5, 0, true);       /* into a leaf with room */
    late_round(self, TSU_TREE_CLAIMED, 0, 3, 20, true);
    late_round(self, TSU_TREE_FROZEN, 0, 60, 30, true);      /* into fresh leaves */
    late_round(self, TSU_TREE_FROZEN, 2, 400, 200, true);
    late_round(self, TSU_TREE_SPLIT, 0, 300, 0, true);       /* behind a full one */
    late_round(self, TSU_TREE_SPLIT, 1, 300, 100, true);
}

static bool oom_runs(tsu_thread *self, long n, uint64_t seed)
{
    static model m;
    static batch b;
    uint64_t     rng = seed;
    tsu_root    *root = make(self);
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
        expect_sound(self, root);
        tsu_unpin(self);
        tsu_ebr_relax(self);
    }
    tool_destroy(self, root);
    return clean;
}

TEST(a_run_for_which_memory_is_short_is_not_in_at_all)
{
    tsu_thread *self = setup();
    uint64_t    seed = tsu_test_seed();

    for (uint64_t round = 0; round < 12; round++)
        for (long n = 0; n < 1000 && !oom_runs(self, n, seed + round); n += n < 40 ? 1 : n / 4) { }
}
#endif

TEST(all_memory_goes_back)
{
    tsu_ebr_stats stats;
    tsu_thread   *self = setup();

    tsu_ebr_drain(self);
    tsu_ebr_stats_get(&stats);
    EXPECT_EQ(stats.bytes_waiting, 0);
    EXPECT_EQ(stats.pieces_leaked, 0);
    tsu_ebr_deinit();
}

TEST_MAIN
