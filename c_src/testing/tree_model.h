/* tree_model.h: a tree beside a plain array that says what it has to hold; and threads that stop between two steps of a
 * change to it. Builds on tree_tool.h.
 */
#ifndef TSU_TESTING_TREE_MODEL_H
#define TSU_TESTING_TREE_MODEL_H

#include <pthread.h>

#include "testing/tree_tool.h"

#define IDS_MAX 6000

/* The model: an array with the value of each key, -1 where there is none. */
typedef struct model {
    int64_t  value[IDS_MAX];
    uint32_t variant[IDS_MAX];
    uint32_t ids;
} model;

static void TSU_TEST_UNUSED model_init(model *m, uint32_t ids)
{
    m->ids = ids;
    for (uint32_t i = 0; i < ids; i++) m->value[i] = -1;
}

/* The key after (before) `from` that is there; from = ids or -1 as the end; -2: none. */
static int64_t TSU_TEST_UNUSED model_step(const model *m, int64_t from, bool backward)
{
    int64_t i = from;

    for (;;) {
        i += backward ? -1 : 1;
        if (i < 0 || i >= (int64_t)m->ids) return -2;
        if (m->value[i] >= 0) return i;
    }
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

static bool TSU_TEST_UNUSED walk_visit(void *arg, uint64_t word)
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
static void TSU_TEST_UNUSED expect_walk(tsu_thread *self, tsu_root *root, const model *m, tool_style style, int64_t from,
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
        while (w.key_len > 0 && !done && !w.wrong && tsu_rand_below(rng, 10) != 0) {
            tsu_trail trail;

            if (!tsu_kind_tree.trail(self, root, backward ? TSU_BACKWARD : TSU_FORWARD, &trail)) break;
            if (!tsu_term_same(trail.key, w.key)) break;
            tsu_trail_take(&trail);
            (void)walk_visit(&w, trail.word);
        }
        if (w.key_len > 0) {
            key = tool_key_view(w.key, w.key_len);
            have = true;
        }
    }
    EXPECT(!w.wrong);
    EXPECT_EQ(model_step(m, w.at, backward), -2);
}

/* If the thread knows where it was last, what is next to that has to be what the model says, to either side. */
static void TSU_TEST_UNUSED expect_trail(tsu_thread *self, tsu_root *root, const model *m, tool_style style)
{
    for (int backward = 0; backward < 2; backward++) {
        tsu_trail      trail;
        uint8_t        buffer[128];
        const uint8_t *next;
        size_t         len;

        if (!tsu_kind_tree.trail(self, root, backward ? TSU_BACKWARD : TSU_FORWARD, &trail)) continue;
        next = tsu_version_key(trail.word, 1, &len);
        EXPECT(backward ? tsu_term_compare(next, trail.key) < 0 : tsu_term_compare(next, trail.key) > 0);
        for (uint32_t id = 0; id < m->ids; id++) {
            tsu_key key = tool_key(style, id, 0, buffer);
            int     from = tsu_term_compare(key.bytes, trail.key), to = tsu_term_compare(key.bytes, next);

            if (to == 0) EXPECT_EQ(m->value[id], tool_value(trail.word));
            else if (m->value[id] >= 0) EXPECT(backward ? from >= 0 || to < 0 : from <= 0 || to > 0);
        }
    }
}

/* --- threads that stop half way -------------------------------------------------------------- */
#ifdef TSU_DEBUG
static tsu_word stop_now;            /* 1 + the step where the thread is to stop; 0: nowhere */
static tsu_word stop_reached;
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
    tsu_store_seq(&stop_reached, 1);
    if (tsu_load_seq(&stop_for_good)) {
        tsu_unpin(tsu_thread_self());
        pthread_exit(NULL);
    }
    while (tsu_load_seq(&stop_now) != 0) tsu_env_yield();
}

/* Starts a thread that stops at the step, when it has passed it `skip` times: for good, or until stop_end. `run` says
 * in its thread that it is stoppable. */
static void TSU_TEST_UNUSED stop_begin(tsu_env_thread *thread, tsu_tree_step step, uint64_t skip, bool for_good,
                                       void (*run)(void *), void *arg)
{
    tsu_store_seq(&stop_reached, 0);
    tsu_store_seq(&stop_skip, skip);
    tsu_store_seq(&stop_for_good, for_good);
    tsu_store_seq(&stop_now, (uint64_t)step + 1);
    tsu_tree_step_hook = stop_hook;
    CHECK(tsu_env_thread_start(thread, run, arg));
}

/* The thread goes on from where it was stopped, and ends. */
static void stop_end(tsu_env_thread *thread)
{
    EXPECT(tsu_load_seq(&stop_for_good) || tsu_load_seq(&stop_reached));
    if (!tsu_load_seq(&stop_for_good)) tsu_store_seq(&stop_now, 0);
    tsu_env_thread_join(thread);
    EXPECT(tsu_load_seq(&stop_reached));
    tsu_store_seq(&stop_now, 0);
    tsu_tree_step_hook = NULL;
}

/* Waits until the thread stops; or has come to its end without, as it says in `ended`. */
static void stop_wait(tsu_word *ended)
{
    while (!tsu_load_seq(&stop_reached) && !tsu_load_seq(ended)) tsu_env_yield();
}
#endif

#endif
