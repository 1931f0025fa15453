/* order.h: Erlang's order of terms, the one of < and ==, over encoded terms.
 *
 * number < atom < reference < fun < port < pid < tuple < map < nil < list < bitstring, with 1 == 1.0 and
 * integers of any size against floats exactly. Inside of a map's keys order is exact: any
 * integer before any float. Maps: size, then keys, then values in the keys' order.
 *
 * ORDER KEYS are bytes whose memcmp order is that order, equal iff ==, and none a prefix of another:
 *
 *   10  |n| >= 2^64, negative   ~(4 bytes: length, then the magnitude), big-endian
 *   11  2^55 <= |n| < 2^64      ~(8 bytes)
 *   12..18  negative            ~(7..1 bytes: whole part * 2 + "has a fraction", [8 bytes: fraction])
 *   19  zero
 *   1a..20, 21, 22              the same upwards, positive, not complemented
 *   23  float in a map's key    8 bytes: bits, negative ones complemented, others with the sign bit set
 *   30  atom                    text
 *   40  reference               text of the node, creation (4), count of words (1), words from the top (4 each)
 *   50  local fun               text of the module, index, unique (4 each, sign flipped), n (1), n terms
 *   51  external fun            text of module, text of function, arity (1)
 *   58  port                    text of the node, creation (4), number (8)
 *   60  pid                     serial, number (4 each), text of the node, creation (4)
 *   70  tuple                   arity: 1 byte, or ff and 8; elements
 *   80  map                     n: 1 byte, or ff and 8; n keys, n values
 *   90  nil
 *   00, ff                      places before and after all terms (codec.h)
 *   a0  cons                    head, tail
 *   b0  bitstring               as text, bits of the last byte instead of the closing 00
 *   text: bytes, each 00 as 00 ff; closed by 00 00
 *
 * HEAD of a term: the first 8 bytes of its order key as a number, zeros if it is shorter, and zeros from the
 * first name of a node in a reference or pid on: that name changes when a node comes alive, and heads are kept.
 *
 * Invariants  O1  head(a) < head(b) implies a < b.
 *             O2  head_exact(a) and head(a) = head(b) imply a == b.
 * Limits      the name of the node decides between local and remote references, ports and pids only.
 * Source      order of terms: Erlang reference manual; of funs, pids, refs: as OTP 25 to 27 do it.
 * Checked by  order_test.c, fuzz_codec.c, tsunami_term_tests.erl (against the VM)
 */
#ifndef TSU_TERM_ORDER_H
#define TSU_TERM_ORDER_H

#include "term/codec.h"

/* Negative, 0 or positive; 0 iff a == b. No recursion on the depth of the terms; allocates only for
 * maps nested in maps more than 32 deep, and orders those by their bytes if memory is short. */
int tsu_term_compare(const uint8_t *a, const uint8_t *b);

/* The exact order: 1 < 1.0, 0 iff =:= . Between different numbers of two kinds it is not the order above. */
int tsu_term_compare_exact(const uint8_t *a, const uint8_t *b);

/* Appends the order key of one term; sees the writer's status. */
void tsu_order_encode(const uint8_t *term, tsu_writer *w);

uint64_t tsu_order_head_slow(const uint8_t *term, bool *exact);

/* TEXT of a term: as the head, but more of it, and zeros behind. O1 and O2 hold for texts, and for what is left of them
 * when as many bytes are taken off both that are the same in both. `whole`: nothing was cut off. */
#define TSU_TEXT_MAX 64
typedef struct tsu_text {
    uint8_t bytes[TSU_TEXT_MAX];
    uint8_t len;
    bool    whole;
} tsu_text;
void tsu_order_text(const uint8_t *term, tsu_text *out);

/* How the order key of a number below 2^55 in size begins: 1 + n bytes, the first on top. `x` is the size of its whole part * 2 +
 * "has a fraction", and not 0. */
static inline uint64_t tsu_order_number_head(bool negative, uint64_t x, unsigned *n)
{
    uint64_t body;
    *n = (71 - (unsigned)__builtin_clzll(x)) / 8;
    body = x << (56 - 8 * *n);
    if (!negative) return (uint64_t)(0x19 + *n) << 56 | body;
    return (uint64_t)(0x19 - *n) << 56 | (~body & (((uint64_t)1 << 56) - ((uint64_t)1 << (56 - 8 * *n))));
}

/* The head of an integer below 2^55 in size. */
static inline uint64_t tsu_order_head_int(int64_t v)
{
    unsigned n;
    if (v == 0) return (uint64_t)0x19 << 56;
    return tsu_order_number_head(v < 0, (v < 0 ? 0 - (uint64_t)v : (uint64_t)v) << 1, &n);
}

/* The head and whether it is exact, in one go. */
static inline uint64_t tsu_order_head_both(const uint8_t *term, bool *exact)
{
    int64_t v;
    if (TSU_LIKELY(tsu_term_int64(term, &v)) && v < (int64_t)1 << 55 && v > -((int64_t)1 << 55)) {
        *exact = true;
        return tsu_order_head_int(v);
    }
    return tsu_order_head_slow(term, exact);
}
static inline uint64_t tsu_order_head(const uint8_t *term)
{
    bool exact;
    return tsu_order_head_both(term, &exact);
}
static inline bool tsu_order_head_exact(const uint8_t *term)
{
    bool exact;
    tsu_order_head_both(term, &exact);
    return exact;
}

#endif
