/* arith_test.c: against 128-bit integers where those are enough, and beyond against the laws of arithmetic. */
#include "term/arith.h"
#include "testing/harness.h"

#define BYTES_MAX 1200
typedef struct value { uint8_t bytes[BYTES_MAX]; size_t len; tsu_status status; } value;

static void value_of(tsu_writer *w, tsu_status status, value *out)
{
    out->status = status;
    out->len = w->len;
    CHECK(w->len <= BYTES_MAX);
    if (w->len > 0) memcpy(out->bytes, w->bytes, w->len);
    if (status == TSU_OK) EXPECT_EQ(tsu_term_validate(out->bytes, out->len, false), TSU_OK);
    tsu_writer_deinit(w);
}

static value does(tsu_arith_op op, const value *a, const value *b)
{
    tsu_writer w;
    value      out;
    tsu_status s;

    tsu_writer_init(&w, NULL, 0);
    s = tsu_arith(op, a->bytes, b != NULL ? b->bytes : NULL, &w);
    value_of(&w, s, &out);
    return out;
}

static value of_int(__int128 v)
{
    unsigned __int128 m = v < 0 ? 0 - (unsigned __int128)v : (unsigned __int128)v;
    tsu_writer        w;
    value             out;

    tsu_writer_init(&w, NULL, 0);
    tsu_write_big(&w, v < 0, (const uint8_t *)&m, sizeof m);
    value_of(&w, w.status, &out);
    return out;
}

static value of_float(double f)
{
    tsu_writer w;
    value      out;

    tsu_writer_init(&w, NULL, 0);
    tsu_write_float(&w, f);
    value_of(&w, w.status, &out);
    return out;
}

/* Up to `bytes` bytes long, often with digits of zeros or ones. */
static value random_value(uint64_t *rng, size_t bytes)
{
    uint8_t    m[512];
    size_t     len = 1 + tsu_rand_below(rng, bytes);
    tsu_writer w;
    value      out;

    for (size_t i = 0; i < len; i++) m[i] = (uint8_t)tsu_rand(rng);
    if (tsu_rand_below(rng, 2) == 0) {
        size_t from = tsu_rand_below(rng, len);
        memset(m + from, tsu_rand_below(rng, 2) ? 0xff : 0, len - from < 16 ? len - from : 16);
    }
    tsu_writer_init(&w, NULL, 0);
    tsu_write_big(&w, tsu_rand_below(rng, 2), m, len);
    value_of(&w, w.status, &out);
    return out;
}

static bool same(const value *a, const value *b)
{
    return a->status == b->status && (a->status != TSU_OK || (a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0));
}
#define SAME(a_, b_) do { value x_ = (a_), y_ = (b_); EXPECT(same(&x_, &y_)); } while (0)

static __int128 shift_right(__int128 v, int64_t by) { return by > 126 ? (v < 0 ? -1 : 0) : v >> by; }

TEST(small_operands_agree_with_wide_integers)
{
    uint64_t rng = tsu_test_seed();

    for (long i = 0; i < tsu_test_rounds(10000); i++) {
        int64_t x = (int64_t)tsu_rand(&rng) >> tsu_rand_below(&rng, 64), y = (int64_t)tsu_rand(&rng) >> tsu_rand_below(&rng, 64);
        value   a = of_int(x), b = of_int(y), n = of_int(y % 60);

        SAME(does(TSU_ADD, &a, &b), of_int((__int128)x + y));
        SAME(does(TSU_SUB, &a, &b), of_int((__int128)x - y));
        SAME(does(TSU_MUL, &a, &b), of_int((__int128)x * y));
        SAME(does(TSU_BAND, &a, &b), of_int(x & y));
        SAME(does(TSU_BOR, &a, &b), of_int(x | y));
        SAME(does(TSU_BXOR, &a, &b), of_int(x ^ y));
        SAME(does(TSU_BNOT, &a, NULL), of_int(~(__int128)x));
        SAME(does(TSU_NEGATE, &a, NULL), of_int(-(__int128)x));
        SAME(does(TSU_ABS, &a, NULL), of_int(x < 0 ? -(__int128)x : x));
        SAME(does(TSU_FLOAT_OF, &a, NULL), of_float((double)x));
        SAME(does(TSU_BSL, &a, &n), y % 60 >= 0 ? of_int((__int128)x * ((__int128)1 << (y % 60))) : of_int(shift_right(x, -(y % 60))));
        SAME(does(TSU_BSR, &a, &n), y % 60 < 0 ? of_int((__int128)x * ((__int128)1 << -(y % 60))) : of_int(shift_right(x, y % 60)));
        if (y == 0) continue;
        SAME(does(TSU_DIV, &a, &b), of_int((__int128)x / y));
        SAME(does(TSU_REM, &a, &b), of_int((__int128)x % y));
    }
}

TEST(long_operands_obey_the_laws)
{
    uint64_t rng = tsu_test_seed();
    value    zero = of_int(0);

    for (long i = 0; i < tsu_test_rounds(6000); i++) {
        value a = random_value(&rng, 120), b = random_value(&rng, i % 2 ? 120 : 20), c = random_value(&rng, 40), n = of_int((__int128)tsu_rand_below(&rng, 300));
        value sum = does(TSU_ADD, &a, &b), product, quotient, rest, t, u;

        SAME(does(TSU_SUB, &sum, &b), a);
        t = does(TSU_SUB, &b, &a);
        SAME(does(TSU_NEGATE, &t, NULL), does(TSU_SUB, &a, &b));
        t = does(TSU_MUL, &a, &c);
        u = does(TSU_MUL, &b, &c);
        SAME(does(TSU_MUL, &sum, &c), does(TSU_ADD, &t, &u));
        if (!same(&b, &zero)) {
            quotient = does(TSU_DIV, &a, &b);
            rest = does(TSU_REM, &a, &b);
            product = does(TSU_MUL, &quotient, &b);
            SAME(does(TSU_ADD, &product, &rest), a);
            t = does(TSU_ABS, &rest, NULL);
            u = does(TSU_ABS, &b, NULL);
            EXPECT(tsu_int_compare(t.bytes, u.bytes) < 0);
            product = does(TSU_MUL, &b, &c);
            SAME(does(TSU_DIV, &product, &b), c);
        }
        t = does(TSU_BAND, &a, &b);                     /* a + b = (a xor b) + 2 (a and b) */
        u = does(TSU_BXOR, &a, &b);
        SAME(does(TSU_ADD, &t, &u), does(TSU_BOR, &a, &b));
        t = does(TSU_ADD, &t, &t);
        SAME(does(TSU_ADD, &t, &u), sum);
        t = does(TSU_BNOT, &a, NULL);
        SAME(does(TSU_BNOT, &t, NULL), a);
        t = does(TSU_BSL, &a, &n);
        SAME(does(TSU_BSR, &t, &n), a);
        u = does(TSU_BSR, &a, &n);                      /* rounds down: bnot goes through it */
        t = does(TSU_BNOT, &a, NULL);
        t = does(TSU_BSR, &t, &n);
        SAME(does(TSU_BNOT, &t, NULL), u);
    }
}

TEST(floats_become_integers_exactly)
{
    uint64_t rng = tsu_test_seed();
    value    half = of_float(0.5), minus = of_float(-2.5), large = of_float(1e300), back;

    SAME(does(TSU_ROUND, &half, NULL), of_int(1));
    SAME(does(TSU_TRUNC, &half, NULL), of_int(0));
    SAME(does(TSU_ROUND, &minus, NULL), of_int(-3));
    SAME(does(TSU_TRUNC, &minus, NULL), of_int(-2));
    SAME(does(TSU_FLOOR, &minus, NULL), of_int(-3));
    SAME(does(TSU_CEIL, &minus, NULL), of_int(-2));
    SAME(does(TSU_ADD, &half, &minus), of_float(-2.0));
    back = does(TSU_TRUNC, &large, NULL);
    SAME(does(TSU_FLOAT_OF, &back, NULL), large);
    for (long i = 0; i < tsu_test_rounds(20000); i++) {
        __int128 v = (__int128)(tsu_rand(&rng) >> 11) << tsu_rand_below(&rng, 60);      /* 53 bits: a float has them */
        value    x = of_int(tsu_rand_below(&rng, 2) ? v : -v), f = does(TSU_FLOAT_OF, &x, NULL);

        SAME(does(TSU_TRUNC, &f, NULL), x);
        SAME(does(TSU_ROUND, &f, NULL), x);
        SAME(does(TSU_FLOOR, &f, NULL), x);
    }
}

TEST(what_erlang_refuses_is_refused)
{
    value one = of_int(1), zero = of_int(0), f = of_float(1.0), large = of_float(1e308), huge = of_int((__int128)1 << 100), long_one, bits;
    value nil = {{TSU_TAG_NIL}, 1, TSU_OK};
    uint64_t limit = tsu_arith_bits_max;

    EXPECT_EQ(does(TSU_DIV, &one, &zero).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_REM, &huge, &zero).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_FDIV, &one, &zero).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_DIV, &f, &one).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_BAND, &one, &f).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_BNOT, &f, NULL).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_ADD, &nil, &one).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_ABS, &nil, NULL).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_MUL, &large, &large).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_BSL, &one, &huge).status, TSU_BADARG);
    SAME(does(TSU_BSR, &one, &huge), zero);
    SAME(does(TSU_BSL, &zero, &huge), zero);
    tsu_arith_bits_max = 1000;
    bits = of_int(999);
    long_one = does(TSU_BSL, &one, &bits);
    EXPECT_EQ(long_one.status, TSU_OK);
    EXPECT_EQ(does(TSU_ADD, &long_one, &long_one).status, TSU_BADARG);
    EXPECT_EQ(does(TSU_MUL, &long_one, &long_one).status, TSU_BADARG);
    bits = of_int(1000);
    EXPECT_EQ(does(TSU_BSL, &one, &bits).status, TSU_BADARG);
    tsu_arith_bits_max = limit;
}

TEST_MAIN
