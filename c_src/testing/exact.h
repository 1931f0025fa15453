/* exact.h: what tests of whole tables share: the engine opened once, and a table looked at from inside. Quiet tables.
 */
#ifndef TSU_TESTING_EXACT_H
#define TSU_TESTING_EXACT_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mem/hashtab.h"
#include "mem/slab.h"
#include "table.h"

static bool exact_visit(void *ctx, uint64_t word)
{
    uint64_t *sum = ctx;

    sum[0] += tsu_version_count(word);
    sum[1] += tsu_version_bytes(word);
    return true;
}

/* Counts and bytes are what a walk finds, and the structure is sound; `kept`: also if something is kept for snapshots, else nothing
 * may be. NULL, or what is wrong. */
static const char *exact_fault(tsu_thread *self, tsu_table *t, bool kept)
{
    static _Thread_local char text[160];
    struct tsu_contents      *c = tsu_table_contents(t);
    uint64_t                  sum[2] = {0, 0}, nodes = tsu_load_relaxed(&c->history.nodes), bytes = tsu_load_relaxed(&c->history.bytes);
    const char               *fault;
    bool                      done;

    tsu_pin(self);
    c->kind->walk(self, c->root, NULL, TSU_FORWARD, SIZE_MAX, exact_visit, sum, &done);
    sum[1] += c->kind->bytes(c->root) + sizeof *c + sizeof *t + bytes;
    fault = done ? c->kind->verify(self, c->root) : "the walk did not end";
    if (fault == NULL && (tsu_table_count(t) != sum[0] || tsu_table_bytes(t) != sum[1])) {
        snprintf(text, sizeof text, "count %llu and bytes %llu, but %llu objects and %llu", (unsigned long long)tsu_table_count(t),
                 (unsigned long long)tsu_table_bytes(t), (unsigned long long)sum[0], (unsigned long long)sum[1]);
        fault = text;
    }
    tsu_unpin(self);
    if (fault == NULL && !kept && (nodes != 0 || bytes != 0)) {
        snprintf(text, sizeof text, "%lld nodes and %lld bytes are kept", (long long)nodes, (long long)bytes);
        fault = text;
    }
    return fault;
}

/* Opens the engine, and closes it when the program ends. */
static inline tsu_thread *exact_setup(uint64_t seed)
{
    static bool opened;

    if (!opened) {
        CHECK(tsu_engine_open() == TSU_OK);
        tsu_hash_seed = seed;
        opened = true;
        atexit(tsu_engine_close);
    }
    return tsu_thread_self();
}

/* Once announced, a snapshot is taken. Not pinned. */
static inline void exact_take(tsu_thread *self, tsu_snapshot *snapshot)
{
    bool taken;

    do {
        (void)tsu_ebr_collect(self, 1000);
        tsu_pin(self);
        taken = tsu_snapshot_take(snapshot);
        tsu_unpin(self);
        if (!taken) tsu_env_yield();
    } while (!taken);
}

/* Bytes in pieces that are out, once the engine has nothing left to do; 0 in builds that do not count them. What the engine's thread
 * is about to let go of is in no count for a moment: waits for it to become `expected`, which is what was out before, but not for ever. */
static inline uint64_t exact_left(tsu_thread *self, uint64_t expected)
{
#ifdef TSU_DEBUG
    for (int i = 0; i < 1000; i++) {
        tsu_engine_sync(self);
        if (tsu_load_relaxed(&tsu_slab_live) == expected) break;
        usleep(5000);
    }
    return tsu_load_relaxed(&tsu_slab_live);
#else
    (void)expected;
    tsu_engine_sync(self);
    return 0;
#endif
}

#endif
