/* slab_test.c: pieces of every size, by one thread and by many; pages come and go. */
#include "testing/threads.h"

TEST(a_piece_is_as_large_as_asked_and_not_much_larger)
{
    size_t n;

    for (n = 1; n <= TSU_SLAB_BYTES_MAX; n++) {
        size_t r = tsu_slab_round(n);

        EXPECT(r >= n);
        EXPECT(r % 8 == 0);
        EXPECT(n <= 256 ? r < n + 8 : r <= n + n / 4);
        EXPECT_EQ(tsu_slab_round(r), r);
    }
    EXPECT_EQ(tsu_slab_round(100001), 100001);
}

TEST(pieces_of_multiples_of_64_bytes_are_aligned_and_none_overlap)
{
    tsu_thread *self = threads_setup();
    enum { COUNT = 300 };
    unsigned char *piece[COUNT];
    size_t         n;
    int            i, wrong = 0;

    for (n = 8; n <= TSU_SLAB_BYTES_MAX + 100; n += n < 300 ? 8 : 344) {
        for (i = 0; i < COUNT; i++) {
            piece[i] = tsu_slab_alloc(self, n);
            REQUIRE(piece[i] != NULL);
            memset(piece[i], i, n);
            if (n % 64 == 0 && n <= TSU_SLAB_BYTES_MAX) EXPECT_EQ((uintptr_t)piece[i] % 64, 0);
        }
        for (i = 0; i < COUNT; i++) {
            wrong += piece[i][0] != (unsigned char)i || piece[i][n - 1] != (unsigned char)i;
            tsu_slab_free(self, piece[i], n);
        }
    }
    EXPECT_EQ(wrong, 0);
}

TEST(pages_go_back_when_all_their_pieces_are_free)
{
    tsu_thread    *self = threads_setup();
    enum { COUNT = 800000 };
    void         **piece = malloc(COUNT * sizeof *piece);
    tsu_slab_stats before, full, after;
    int            i;

    tsu_slab_stats_get(&before);
    for (i = 0; i < COUNT; i++) REQUIRE((piece[i] = tsu_slab_alloc(self, 100)) != NULL);
    tsu_slab_stats_get(&full);
    EXPECT(full.bytes_held - before.bytes_held >= COUNT * 100);
    EXPECT(full.bytes_held - before.bytes_held <= COUNT * 104 * 1.02);
    for (i = 0; i < COUNT; i++) tsu_slab_free(self, piece[(i * 7919L) % COUNT], 100);
    tsu_slab_stats_get(&after);
    EXPECT(after.bytes_held <= before.bytes_held + 2 * 65536);
    EXPECT(after.bytes_pooled < full.bytes_held / 2);       /* the rest has gone back to the system */
    free(piece);
}

/* --- pieces that one thread allocates and another frees ------------------------------------- */
#define RING 4096
static struct { uint64_t slot[RING]; size_t bytes[RING]; } ring;
static long moves;

static void exchange(void *arg)
{
    tsu_thread *self = tsu_thread_self();
    uint64_t    rng = *(uint64_t *)arg;
    long        i;

    for (i = 0; i < moves; i++) {
        size_t   at = tsu_rand_below(&rng, RING), n = 8 + 8 * (at % 40);
        unsigned char *fresh = tsu_slab_alloc(self, n), *old;

        if (fresh == NULL) abort();
        memset(fresh, (int)at, n);
        old = (unsigned char *)(uintptr_t)__atomic_exchange_n(&ring.slot[at], (uint64_t)(uintptr_t)fresh, __ATOMIC_ACQ_REL);
        if (old == NULL) continue;
        if (old[0] != (unsigned char)at || old[n - 1] != (unsigned char)at) TSU_TEST_FAILED("a piece was written to by somebody else");
        tsu_slab_free(self, old, n);
    }
}

TEST(threads_free_what_others_allocated)
{
    tsu_thread *self = threads_setup();
    uint64_t    rng = tsu_test_seed();
    uint64_t    seeds[4];
    int         i, round;

    moves = tsu_test_rounds(60000);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 4; i++) seeds[i] = tsu_rand(&rng);
        threads_run(4, exchange, seeds, sizeof seeds[0]);
    }
    for (i = 0; i < RING; i++) tsu_slab_free(self, (void *)(uintptr_t)ring.slot[i], 8 + 8 * (size_t)(i % 40));
    EXPECT_EQ(threads_live(), 0);
}

TEST(in_the_end_all_memory_has_gone_back) { threads_expect_nothing_left(); }

TEST_MAIN
