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
static inline uint64_t tsu_hash_read2(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }

uint64_t tsu_hash_long(const uint8_t *bytes, size_t len, uint64_t seed);

/* Up to 7 bytes as a number: the last one on top, zeros below the first. */
static inline uint64_t tsu_hash_word(const uint8_t *bytes, size_t len)
{
    if (len >= 4) return tsu_hash_read4(bytes + len - 4) << 32 | tsu_hash_read4(bytes) << (64 - 8 * len);
    if (len >= 2) return tsu_hash_read2(bytes + len - 2) << 48 | tsu_hash_read2(bytes) << (64 - 8 * len);
    return len == 0 ? 0 : (uint64_t)bytes[0] << 56;
}

/* `a` and `b` are up to 16 bytes. The length goes into the second factor, or "ab" and "abb" might meet in them. */
static inline uint64_t tsu_hash_words(uint64_t a, uint64_t b, size_t len, uint64_t seed)
{
    a = tsu_hash_fold(a ^ seed ^ TSU_HASH_P0, b ^ TSU_HASH_P1 ^ (len << 56));
    return tsu_hash_fold(a ^ TSU_HASH_P2, (seed >> 32 | seed << 32) ^ TSU_HASH_P3 ^ len);
}

static inline uint64_t tsu_hash(const uint8_t *bytes, size_t len, uint64_t seed)
{
    if (len < 8) return tsu_hash_words(tsu_hash_word(bytes, len), 0, len, seed);
    return tsu_hash_long(bytes, len, seed);
}

#endif
