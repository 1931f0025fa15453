/* slab.h: memory for records and nodes: 8-byte granules, no header of its own.
 *
 * Whoever frees says the size, which is what saves the header. A thread has a
 * heap: a page of 64 KB for each size class in use, with a list of free pieces of its own and
 * one that other threads push onto. A page whose pieces are all free goes back to the common
 * pool, and the pool gives memory back to the system.
 *
 * Invariants  S1  pieces of a page are of one class, and never overlap the page's header.
 *             S2  a piece of 64 bytes or a multiple is 64-byte aligned.
 *             S3  a page is in exactly one place: a heap's current page, its full list, its partial
 *                 list, or the pool.
 * Threads     any thread may free what any other allocated. Alloc and free take no lock but
 *             when a page comes or goes.
 * Limits      pieces over TSU_SLAB_BYTES_MAX come from tsu_env_alloc.
 * Source      Leijen, Zorn, de Moura: Mimalloc: Free List Sharding in Action (2019).
 * Checked by  slab_test.c, make race
 */
#ifndef TSU_MEM_SLAB_H
#define TSU_MEM_SLAB_H

#include "mem/ebr.h"

#define TSU_SLAB_BYTES_MAX 8192

/* Not zeroed. NULL when memory is short. */
void *tsu_slab_alloc(tsu_thread *self, size_t bytes);
void tsu_slab_free(tsu_thread *self, void *memory, size_t bytes);

/* What an allocation of that size really takes. */
size_t tsu_slab_round_slow(size_t bytes);
static inline size_t tsu_slab_round(size_t bytes)
{
    return TSU_LIKELY(bytes - 1 < 256) ? (bytes + 7) & ~(size_t)7 : tsu_slab_round_slow(bytes);
}

/* Bytes in pages that heaps hold, and in pages waiting in the pool. */
typedef struct tsu_slab_stats { uint64_t bytes_held, bytes_pooled; } tsu_slab_stats;
void tsu_slab_stats_get(tsu_slab_stats *out);

#ifdef TSU_DEBUG
/* Test hook: the next n allocations succeed and all after them fail; n < 0 turns it off. */
void tsu_slab_fail_after(long n);
extern tsu_word tsu_slab_live;        /* bytes of pieces that are out, as rounded: what a test finds leaks by */
#endif

/* The system takes milliseconds to clear a huge page, which no caller can spare: a thread that has the time makes the
 * next chunk ready. `hungry` is called, by any thread and with no lock held, when one is wanted; NULL: nobody does. */
extern void (*tsu_slab_hungry)(void);
void tsu_slab_prepare(void);

/* For ebr.c alone: a slot's heap comes and goes with the registry. */
void tsu_heap_destroy(struct tsu_heap *heap);
void tsu_slab_deinit(void);

#endif
