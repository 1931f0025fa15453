/* ebr.h: threads, and the freeing of memory that lock-free readers may still be looking at.
 *
 * A thread pins before it follows a shared pointer and unpins after. Unlinked
 * memory is retired, and freed once every thread pinned at the time has gone.
 *
 * Invariants  E1  the epoch moves on at most once after a pin is visible.
 *             E2  what is retired in epoch e is freed in e+3 or later. One epoch more than
 *                 usual: a late helper may show a retired version again by its CAS, if it
 *                 hides it before it unpins; readers who saw it meanwhile are pinned at
 *                 most one epoch after the helper.
 * Ownership   retire takes the pointer; the caller's copy is dead from its unpin on.
 * Threads     a tsu_thread belongs to the thread that asked for it, and goes back for
 *             reuse, with all it had retired, when that thread ends.
 * Ordering    pin ends in a full fence, by membarrier on the other side where the system has
 *             it: the pin is visible before the first shared load.
 * Limits      a thread that stays pinned stops all freeing: see tsu_ebr_stats. Nothing may
 *             stay pinned across a call into the VM that can block, nor between slices.
 * Source      Fraser, Practical Lock-Freedom (2004), ch. 5.
 * Checked by  ebr_test.c, specs/Ebr.tla (E1, E2), make race
 */
#ifndef TSU_MEM_EBR_H
#define TSU_MEM_EBR_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomic.h"
#include "base/check.h"
#include "base/env.h"
#include "base/status.h"

struct tsu_heap;      /* slab.h */
struct tsu_limbo;

typedef struct tsu_thread {
    /* atomic, written by the owner: epoch << 1 | pinned */
    tsu_word          state;
    /* owner only */
    uint32_t          pin_depth;
    uint32_t          index;            /* small, unique among live threads; stripes counters */
    uint64_t          stamp_next;       /* see tsu_stamp */
    uint64_t          retired_bytes;    /* since the last attempt to advance */
    tsu_word          waiting_bytes;    /* in limbo; written by whoever holds the slot */
    struct tsu_limbo *limbo_first, *limbo_last, *limbo_spare, *limbo_reserve;
    struct tsu_heap  *heap;
    const struct tsu_snapshot *view;    /* what it reads is of that time; NULL: of now. snapshot.h */
    void             *scratch;          /* hints of the structures: bptree.c */
    uint64_t          scratch_word[6];
    uint64_t          scratch_run[32];  /* hashorder.c's */
    /* fixed, or guarded by the registry */
    struct tsu_thread *next;
    tsu_word          taken;
    char              pad[64];
} tsu_thread;

/* Before anything else, once; and after everything, with all other threads gone. */
tsu_status tsu_ebr_init(void);
void tsu_ebr_deinit(void);

/* The calling thread's slot, made when first asked for; NULL when memory is short. */
#ifdef __GLIBC__
#define TSU_TLS _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define TSU_TLS _Thread_local     /* other C libraries refuse that model in what is loaded late */
#endif
extern TSU_TLS tsu_thread *tsu_thread_current;
tsu_thread *tsu_thread_register(void);
static inline tsu_thread *tsu_thread_self(void)
{
    tsu_thread *self = tsu_thread_current;
    return TSU_LIKELY(self != NULL) ? self : tsu_thread_register();
}

extern tsu_word tsu_ebr_epoch;
extern bool     tsu_ebr_asymmetric;

/* Pins nest. Wait-free. */
static inline void tsu_pin(tsu_thread *self)
{
    if (TSU_LIKELY(self->pin_depth++ == 0)) {
        uint64_t e = tsu_load_relaxed(&tsu_ebr_epoch);

        /* release: what this thread read under its last pin is behind it */
        tsu_store_release(&self->state, e << 1 | 1);
        if (TSU_LIKELY(tsu_ebr_asymmetric)) tsu_fence_compiler();
        else tsu_fence_seq();
        TSU_RACE_POINT();
    }
}

/* A grace: who is pinned when it begins is not any more when it is over (E1). What they are not to miss is written before. */
static inline uint64_t tsu_grace_begin(void)
{
    tsu_fence_seq();
    return tsu_load_acquire(&tsu_ebr_epoch);
}
static inline bool tsu_grace_over(uint64_t begun) { return tsu_load_acquire(&tsu_ebr_epoch) >= begun + 2; }

/* Collects a little when enough has gathered. */
TSU_APART void tsu_ebr_relax(tsu_thread *self);
#define TSU_EBR_BYTES_RELAX 65536

static inline void tsu_unpin(tsu_thread *self)
{
    DCHECK(self->pin_depth > 0);
    if (TSU_LIKELY(--self->pin_depth == 0)) {
        tsu_store_release(&self->state, 0);
        if (TSU_UNLIKELY(self->retired_bytes > TSU_EBR_BYTES_RELAX)) tsu_ebr_relax(self);
    }
}

/* What was retired holds `bytes` more than its own. */
static inline void tsu_ebr_weigh(tsu_thread *self, uint64_t bytes) { self->retired_bytes += bytes; }

/* What was retired holds more than can be told: see to it at the next unpin. */
static inline void tsu_ebr_hurry(tsu_thread *self) { self->retired_bytes += TSU_EBR_BYTES_RELAX; }

/* Frees `memory` of `bytes` by `fn` once nobody can see it. While pinned only. Never fails: short
 * of memory for its own notes it takes a reserve, and when that is used up too it leaks the piece, and counts that. */
typedef void (*tsu_free_fn)(tsu_thread *self, void *memory, size_t bytes);
void tsu_retire(tsu_thread *self, void *memory, size_t bytes, tsu_free_fn fn);

/* Tries to advance the epoch and frees what has become free, at most `budget` pieces. Not while pinned.
 * Returns the number freed. */
size_t tsu_ebr_collect(tsu_thread *self, size_t budget);

/* Frees all that is retired by any thread; only when no thread is pinned for long. For tests and unload. */
void tsu_ebr_drain(tsu_thread *self);

/* 61 bits that no thread has been given before, shifted left by 3. */
static inline uint64_t tsu_stamp(tsu_thread *self)
{
    return self->stamp_next += 8;
}

typedef struct tsu_ebr_stats {
    uint64_t epoch;
    uint64_t bytes_waiting;      /* retired and not yet freed */
    uint64_t pieces_leaked;
    uint32_t threads;
} tsu_ebr_stats;
void tsu_ebr_stats_get(tsu_ebr_stats *out);

#endif
