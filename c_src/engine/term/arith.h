/* arith.h: arithmetic on encoded numbers, with the results and failures that Erlang's operators have.
 *
 * Integers are of any size, up to tsu_arith_bits_max bits; beyond, and where Erlang raises badarith or
 * system_limit, the answer is TSU_BADARG. Floats never become infinite: that is a failure, too.
 *
 * Ownership   results are appended to the writer, which may not be where an operand lies.
 * Limits      products and quotients of n and m words take n * m steps.
 * Checked by  arith_test.c (against numbers computed otherwise), tsunami_match_tests.erl (against the VM)
 */
#ifndef TSU_TERM_ARITH_H
#define TSU_TERM_ARITH_H

#include "term/codec.h"

typedef enum tsu_arith_op {
    TSU_ADD, TSU_SUB, TSU_MUL, TSU_FDIV, TSU_DIV, TSU_REM, TSU_BAND, TSU_BOR, TSU_BXOR, TSU_BSL, TSU_BSR,   /* two operands */
    TSU_PLUS, TSU_NEGATE, TSU_BNOT, TSU_ABS, TSU_FLOAT_OF, TSU_ROUND, TSU_TRUNC, TSU_FLOOR, TSU_CEIL        /* one */
} tsu_arith_op;

/* The longest integer of this VM. Set once, with tsu_codec. */
extern uint64_t tsu_arith_bits_max;
#define TSU_ARITH_BITS_MAX_27 4194303u      /* from OTP 27 on */

/* Two small integers whose result is one, too. False: tsu_arith knows. */
static inline bool tsu_arith_ints(tsu_arith_op op, int64_t x, int64_t y, int64_t *out)
{
    switch (op) {
    case TSU_ADD:  return !__builtin_add_overflow(x, y, out);
    case TSU_SUB:  return !__builtin_sub_overflow(x, y, out);
    case TSU_MUL:  return !__builtin_mul_overflow(x, y, out);
    case TSU_DIV:  if (y == 0 || y == -1) return false; *out = x / y; return true;
    case TSU_REM:  if (y == 0 || y == -1) return false; *out = x % y; return true;
    case TSU_BAND: *out = x & y; return true;
    case TSU_BOR:  *out = x | y; return true;
    case TSU_BXOR: *out = x ^ y; return true;
    case TSU_BSR:  if (y < 0) return false; *out = x >> (y > 63 ? 63 : y); return true;
    default:       return false;
    }
}

/* TSU_OK and the result; TSU_BADARG: Erlang raises; TSU_NOMEM. Nothing is appended on failure. `b` counts only with
 * two operands. Any terms may be given. */
tsu_status tsu_arith(tsu_arith_op op, const uint8_t *a, const uint8_t *b, tsu_writer *w);

#endif
