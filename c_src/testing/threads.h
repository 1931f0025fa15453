/* threads.h: what tests with threads share: the caller's slot, a crowd that is started and joined, and a last look at what
 * was left behind.
 */
#ifndef TSU_TESTING_THREADS_H
#define TSU_TESTING_THREADS_H

#include "mem/ebr.h"
#include "mem/slab.h"
#include "testing/harness.h"

#define THREADS_MAX 16

static bool     threads_opened;
static uint64_t threads_lost;        /* bytes of pieces that a test has lost on purpose */

/* The calling thread's slot; the first call opens the registry. */
static tsu_thread *threads_setup(void)
{
    if (!threads_opened) EXPECT_EQ(tsu_ebr_init(), TSU_OK);
    threads_opened = true;
    return tsu_thread_self();
}

/* Runs `count` threads to their ends; the i-th gets the i-th of `args`, which are `bytes` each (0: all get the same). */
static void TSU_TEST_UNUSED threads_run(int count, void (*run)(void *), void *args, size_t bytes)
{
    tsu_env_thread t[THREADS_MAX];
    int            i;

    CHECK(count <= THREADS_MAX);
    for (i = 0; i < count; i++) CHECK(tsu_env_thread_start(&t[i], run, (char *)args + (size_t)i * bytes));
    for (i = 0; i < count; i++) tsu_env_thread_join(&t[i]);
}

/* Bytes in pieces that are out, once all that is retired has gone; 0 in builds that do not count them. */
static uint64_t TSU_TEST_UNUSED threads_live(void)
{
    tsu_ebr_drain(threads_setup());
#ifdef TSU_DEBUG
    return tsu_load_relaxed(&tsu_slab_live);
#else
    return 0;
#endif
}

/* The last test of a file: all memory goes back. */
static void threads_expect_nothing_left(void)
{
    tsu_ebr_stats stats;

    EXPECT_EQ(threads_live(), threads_lost);
    tsu_ebr_stats_get(&stats);
    EXPECT_EQ(stats.bytes_waiting, 0);
    EXPECT_EQ(stats.pieces_leaked, 0);
    tsu_ebr_deinit();
    threads_opened = false;
    EXPECT_EQ(tsu_env_bytes_mapped(), 0);
    EXPECT_EQ(tsu_env_bytes_allocated(), 0);
}

#endif
