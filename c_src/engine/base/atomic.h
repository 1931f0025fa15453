/* atomic.h: atomics with the ordering in the name, and the race-delay hook.
 *
 * A word that threads share is a tsu_word and is touched through these alone.
 * In a build with TSU_RACE_DELAYS each of them is a place where the thread may
 * lose the processor, so that rare interleavings become common ones.
 */
#ifndef TSU_BASE_ATOMIC_H
#define TSU_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

typedef struct tsu_word { uint64_t raw; } tsu_word;

#ifdef TSU_RACE_DELAYS
void tsu_env_race_point(void);
#define TSU_RACE_POINT() tsu_env_race_point()
#else
#define TSU_RACE_POINT() ((void)0)
#endif

static inline uint64_t tsu_load_relaxed(const tsu_word *w)
{
    return __atomic_load_n(&w->raw, __ATOMIC_RELAXED);
}

static inline uint64_t tsu_load_acquire(const tsu_word *w)
{
    TSU_RACE_POINT();
    return __atomic_load_n(&w->raw, __ATOMIC_ACQUIRE);
}

static inline uint64_t tsu_load_seq(const tsu_word *w)
{
    TSU_RACE_POINT();
    return __atomic_load_n(&w->raw, __ATOMIC_SEQ_CST);
}

static inline void tsu_store_relaxed(tsu_word *w, uint64_t v)
{
    __atomic_store_n(&w->raw, v, __ATOMIC_RELAXED);
}

static inline void tsu_store_release(tsu_word *w, uint64_t v)
{
    TSU_RACE_POINT();
    __atomic_store_n(&w->raw, v, __ATOMIC_RELEASE);
}

static inline void tsu_store_seq(tsu_word *w, uint64_t v)
{
    TSU_RACE_POINT();
    __atomic_store_n(&w->raw, v, __ATOMIC_SEQ_CST);
}

/* Sequentially consistent compare-and-swap; on failure *expected is what was there. */
static inline bool tsu_cas(tsu_word *w, uint64_t *expected, uint64_t desired)
{
    TSU_RACE_POINT();
    return __atomic_compare_exchange_n(&w->raw, expected, desired, false,
                                       __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}

static inline uint64_t tsu_fetch_or(tsu_word *w, uint64_t bits)
{
    TSU_RACE_POINT();
    return __atomic_fetch_or(&w->raw, bits, __ATOMIC_SEQ_CST);
}

static inline uint64_t tsu_fetch_add(tsu_word *w, uint64_t n)
{
    TSU_RACE_POINT();
    return __atomic_fetch_add(&w->raw, n, __ATOMIC_SEQ_CST);
}

/* For counters that nothing is ordered by. */
static inline uint64_t tsu_count_add(tsu_word *w, uint64_t n)
{
    return __atomic_fetch_add(&w->raw, n, __ATOMIC_RELAXED);
}

static inline uint64_t tsu_exchange(tsu_word *w, uint64_t v)
{
    TSU_RACE_POINT();
    return __atomic_exchange_n(&w->raw, v, __ATOMIC_SEQ_CST);
}

/* A full fence. TSan knows no fences, but understands an atomic exchange. */
static inline void tsu_fence_seq(void)
{
#if defined(__SANITIZE_THREAD__)
    uint64_t here = 0;
    (void)__atomic_exchange_n(&here, 1, __ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Stops the compiler, not the processor: one side of an asymmetric fence. */
static inline void tsu_fence_compiler(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

#endif
