/* ebr_test.c: what is retired outlives whoever may see it, and no longer. */
#include <semaphore.h>

#include "testing/threads.h"

static int freed;

static void count_free(tsu_thread *self, void *memory, size_t bytes)
{
    (void)self;
    (void)memory;
    (void)bytes;
    __atomic_fetch_add(&freed, 1, __ATOMIC_SEQ_CST);
}

static struct { sem_t pinned, leave; } other;

static void pin_and_wait(void *unused)
{
    tsu_thread *self = tsu_thread_self();

    (void)unused;
    tsu_pin(self);
    sem_post(&other.pinned);
    sem_wait(&other.leave);
    tsu_unpin(self);
}

TEST(what_is_retired_outlives_a_pin_from_before)
{
    tsu_thread    *self = threads_setup();
    tsu_env_thread t;
    int            i;

    freed = 0;
    sem_init(&other.pinned, 0, 0);
    sem_init(&other.leave, 0, 0);
    REQUIRE(tsu_env_thread_start(&t, pin_and_wait, NULL));
    sem_wait(&other.pinned);
    tsu_pin(self);
    tsu_retire(self, NULL, 100, count_free);
    tsu_unpin(self);
    for (i = 0; i < 100; i++) tsu_ebr_collect(self, SIZE_MAX);
    EXPECT_EQ(freed, 0);
    sem_post(&other.leave);
    tsu_env_thread_join(&t);
    tsu_ebr_collect(self, SIZE_MAX);
    tsu_ebr_collect(self, SIZE_MAX);
    EXPECT_EQ(freed, 1);
}

TEST(what_is_retired_is_freed_three_epochs_later_and_not_before)
{
    tsu_thread *self = threads_setup();
    uint64_t    epoch;

    freed = 0;
    tsu_pin(self);
    epoch = tsu_load_relaxed(&tsu_ebr_epoch);
    tsu_retire(self, NULL, 1, count_free);
    tsu_unpin(self);
    while (freed == 0) {
        (void)tsu_ebr_collect(self, SIZE_MAX);
        if (freed == 1) EXPECT(tsu_load_relaxed(&tsu_ebr_epoch) >= epoch + 3);
    }
    EXPECT(tsu_load_relaxed(&tsu_ebr_epoch) <= epoch + 6);
}

TEST(pins_nest_and_only_the_outermost_counts)
{
    tsu_thread *self = threads_setup();

    tsu_pin(self);
    tsu_pin(self);
    tsu_unpin(self);
    EXPECT((tsu_load_relaxed(&self->state) & 1) == 1);
    tsu_unpin(self);
    EXPECT((tsu_load_relaxed(&self->state) & 1) == 0);
}

TEST(a_budget_bounds_what_one_collection_frees)
{
    tsu_thread *self = threads_setup();
    int         i;

    tsu_ebr_drain(self);
    freed = 0;
    tsu_pin(self);
    for (i = 0; i < 1000; i++) tsu_retire(self, NULL, 1, count_free);
    tsu_unpin(self);
    EXPECT_EQ(tsu_ebr_collect(self, 10) + tsu_ebr_collect(self, 10), freed);
    EXPECT(freed <= 20);
    tsu_ebr_drain(self);
    EXPECT_EQ(freed, 1000);
}

static void come_and_go(void *unused)
{
    tsu_thread *self = tsu_thread_self();
    void       *piece;

    (void)unused;
    tsu_pin(self);
    piece = tsu_slab_alloc(self, 40);
    tsu_retire(self, piece, 40, tsu_slab_free);
    tsu_retire(self, NULL, 1, count_free);
    tsu_unpin(self);
}

TEST(ten_thousand_threads_come_and_go_and_leave_nothing)
{
    enum { AT_ONCE = 4 };
    tsu_thread   *self = threads_setup();
    long          rounds = tsu_test_rounds(10000 / AT_ONCE), i;
    tsu_ebr_stats stats;

    tsu_ebr_drain(self);
    freed = 0;
    for (i = 0; i < rounds; i++) threads_run(AT_ONCE, come_and_go, NULL, 0);
    EXPECT_EQ(threads_live(), 0);
    tsu_ebr_stats_get(&stats);
    EXPECT_EQ(freed, rounds * AT_ONCE);
    EXPECT(stats.threads <= AT_ONCE + 2);
    EXPECT_EQ(stats.bytes_waiting, 0);
}

TEST(stamps_of_two_threads_never_meet)
{
    tsu_thread *self = threads_setup();
    uint64_t    mine = tsu_stamp(self);

    EXPECT_EQ(mine & 7, 0);
    EXPECT(mine != tsu_stamp(self));
    EXPECT_EQ(mine >> 52, (uint64_t)self->index + 1);
}

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
