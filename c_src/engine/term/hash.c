/* hash.c: hash of 8 bytes and more. */
#include "term/hash.h"

uint64_t tsu_hash_long(const uint8_t *bytes, size_t len, uint64_t seed)
{
    const uint8_t *p = bytes;
    const uint8_t *end = bytes + len;
    uint64_t       h = seed ^ TSU_HASH_P0;
    uint64_t       a, b;

    if (len <= 16) return tsu_hash_words(tsu_hash_read8(bytes), tsu_hash_read8(bytes + len - 8), len, seed);
    if (len > 48) {
        uint64_t h1 = h, h2 = h;                /* three chains, so that multiplications overlap */
        do {
            h = tsu_hash_fold(tsu_hash_read8(p) ^ TSU_HASH_P1, tsu_hash_read8(p + 8) ^ h);
            h1 = tsu_hash_fold(tsu_hash_read8(p + 16) ^ TSU_HASH_P2, tsu_hash_read8(p + 24) ^ h1);
            h2 = tsu_hash_fold(tsu_hash_read8(p + 32) ^ TSU_HASH_P3, tsu_hash_read8(p + 40) ^ h2);
            p += 48;
        } while (end - p > 48);
        h ^= h1 ^ (h2 << 1 | h2 >> 63);
    }
    while (end - p > 16) {
        h = tsu_hash_fold(tsu_hash_read8(p) ^ TSU_HASH_P1, tsu_hash_read8(p + 8) ^ h);
        p += 16;
    }
    a = tsu_hash_read8(end - 16);
    b = tsu_hash_read8(end - 8);
    h = tsu_hash_fold(a ^ h ^ TSU_HASH_P0, b ^ TSU_HASH_P1 ^ ((uint64_t)len << 48));
    return tsu_hash_fold(h ^ TSU_HASH_P2, (seed >> 32 | seed << 32) ^ TSU_HASH_P3 ^ len);
}
