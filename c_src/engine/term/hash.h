/* hash.h: hash of encoded bytes.
 *
 * 64 bits, each depending on all bytes; tables use the top ones. Keys are short, so up to 16 bytes
 * take two multiplications and no loop. Not for adversaries who know the seed: a
 * table's seed is random (tsu_env_entropy).
 *
 * Source      the folded 64x64->128 multiplication of wyhash (Wang Yi, public domain); the layout
 *             of the reads and the constants' use are ours.
 * Limits      depends on byte order: nothing that goes to a disk may use it.
 * Checked by  hash_test.c
 */
#ifndef TSU_TERM_HASH_H
#define TSU_TERM_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TSU_HASH_P0 0xa0761d6478bd642fu
#define TSU_HASH_P1 0xe7037ed1a0b428dbu
#define TSU_HASH_P2 0x8ebc6af09c88c6e3u
#define TSU_HASH_P3 0x589965cc75374cc3u

static inline uint64_t tsu_hash_fold(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}
static inline uint64_t tsu_hash_read8(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }
static inline uint64_t tsu_hash_read4(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

uint64_t tsu_hash_long(const uint8_t *bytes, size_t len, uint64_t seed);

static inline uint64_t tsu_hash(const uint8_t *bytes, size_t len, uint64_t seed)
{
    uint64_t a, b;

    if (__builtin_expect(len > 16, 0)) return tsu_hash_long(bytes, len, seed);
    if (len >= 8) {
        a = tsu_hash_read8(bytes);
        b = tsu_hash_read8(bytes + len - 8);
    } else if (len >= 4) {
        a = tsu_hash_read4(bytes);
        b = tsu_hash_read4(bytes + len - 4);
    } else if (len > 0) {
        a = (uint64_t)bytes[0] << 16 | (uint64_t)bytes[len >> 1] << 8 | bytes[len - 1];
        b = 0;
    } else {
        a = b = 0;
    }
    /* The length goes into the second factor, or "ab" and "abb" would meet in the reads above. */
    a = tsu_hash_fold(a ^ seed ^ TSU_HASH_P0, b ^ TSU_HASH_P1 ^ (len << 56));
    return tsu_hash_fold(a ^ TSU_HASH_P2, (seed >> 32 | seed << 32) ^ TSU_HASH_P3 ^ len);
}

#endif
