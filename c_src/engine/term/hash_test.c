/* hash_test.c: that the bits which tables use are good. */
#include "term/hash.h"
#include "testing/harness.h"

TEST(every_input_bit_changes_each_top_bit_about_half_of_the_time)
{
    uint64_t rng = tsu_test_seed();

    for (size_t len = 1; len <= 64; len = len < 20 ? len + 1 : len + 11) {
        uint8_t  bytes[64];
        long     rounds = tsu_test_rounds(400) < 200 ? 200 : tsu_test_rounds(400);   /* fewer would fail by chance */

        for (size_t bit = 0; bit < 8 * len; bit++) {
            long flips[16] = {0};

            for (long r = 0; r < rounds; r++) {
                uint64_t h, seed = tsu_rand(&rng);
                for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)tsu_rand(&rng);
                h = tsu_hash(bytes, len, seed);
                bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
                h ^= tsu_hash(bytes, len, seed);
                for (unsigned i = 0; i < 16; i++) flips[i] += (long)(h >> (63 - i) & 1);
            }
            for (unsigned i = 0; i < 16; i++) {
                EXPECT(flips[i] > rounds / 4);
                EXPECT(flips[i] < rounds - rounds / 4);
            }
        }
    }
}

TEST(counting_keys_fill_buckets_evenly)
{
    enum { KEYS = 1 << 18, BUCKETS = 1 << 12 };
    static uint32_t count[BUCKETS];
    double          chi = 0;
    uint64_t        seed = tsu_test_seed();

    memset(count, 0, sizeof count);
    for (uint32_t k = 0; k < KEYS; k++) {
        uint8_t bytes[5] = {0x82};
        memcpy(bytes + 1, &k, 4);
        count[tsu_hash(bytes, 4, seed) >> 52]++;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        double d = count[i] - (double)KEYS / BUCKETS;
        chi += d * d / ((double)KEYS / BUCKETS);
    }
    EXPECT(chi > BUCKETS - 6 * 91);             /* 6 sigma; sigma is sqrt(2 * BUCKETS) */
    EXPECT(chi < BUCKETS + 6 * 91);
}

TEST(lengths_and_seeds_count)
{
    uint8_t zeros[80] = {0};

    for (size_t a = 0; a <= 80; a++)
        for (size_t b = 0; b < a; b++) EXPECT(tsu_hash(zeros, a, 1) != tsu_hash(zeros, b, 1));
    EXPECT(tsu_hash(zeros, 4, 1) != tsu_hash(zeros, 4, 2));
}

TEST_MAIN
