/* arith.c: small integers in words, the others as arrays of 64-bit digits, lowest first. */
#include "term/arith.h"

uint64_t tsu_arith_bits_max = ((uint64_t)1 << 25) - 64;

#define DIGITS_NEAR 12          /* of an operand or a result that needs no allocation */
#define DIGITS_LIMIT ((uint64_t)1 << 32)

typedef unsigned __int128 wide;

/* A number as sign and magnitude; `len` digits, the highest not 0. */
typedef struct number {
    bool      negative;
    size_t    len, cap;
    uint64_t *digit;
    uint64_t  near[DIGITS_NEAR];
} number;

static void number_init(number *x)
{
    x->negative = false;
    x->len = 0;
    x->cap = DIGITS_NEAR;
    x->digit = x->near;
}

static void number_deinit(number *x)
{
    if (x->digit != x->near) tsu_env_free(x->digit, x->cap * sizeof *x->digit);
}

/* Room for `cap` digits, contents lost. All are set to 0. */
static bool number_room(number *x, size_t cap)
{
    if (cap > x->cap) {
        uint64_t *digit = cap > DIGITS_LIMIT ? NULL : tsu_env_alloc(cap * sizeof *digit);
        if (digit == NULL) return false;
        number_deinit(x);
        x->digit = digit;
        x->cap = cap;
    }
    memset(x->digit, 0, cap * sizeof *x->digit);
    x->len = cap;
    return true;
}

static void number_trim(number *x)
{
    while (x->len > 0 && x->digit[x->len - 1] == 0) x->len--;
    if (x->len == 0) x->negative = false;
}

static void number_small(number *x, int64_t v)
{
    x->negative = v < 0;
    x->digit[0] = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    x->len = v != 0;
}

static bool number_read(number *x, const tsu_token *t)
{
    if (t->kind == TSU_INT) {
        number_small(x, t->i);
        return true;
    }
    if (!number_room(x, (size_t)(t->size + 7) / 8)) return false;
    memcpy(x->digit, t->bytes, (size_t)t->size);
    x->negative = t->flag;
    number_trim(x);
    return true;
}

static tsu_status number_write(number *x, tsu_writer *w)
{
    uint64_t bits;

    number_trim(x);
    if (x->len > 0) {
        bits = x->len * 64 - (uint64_t)__builtin_clzll(x->digit[x->len - 1]);
        if (bits > tsu_arith_bits_max) return TSU_BADARG;
    }
    tsu_write_big(w, x->negative, (const uint8_t *)x->digit, x->len * 8);
    return w->status;
}

/* ---- Magnitudes ---- */

static int magnitude_compare(const number *a, const number *b)
{
    if (a->len != b->len) return a->len < b->len ? -1 : 1;
    for (size_t i = a->len; i-- > 0;)
        if (a->digit[i] != b->digit[i]) return a->digit[i] < b->digit[i] ? -1 : 1;
    return 0;
}

/* out = |big| + |low| or |big| - |low|, where |big| >= |low|. */
static bool magnitude_sum(const number *big, const number *low, bool subtract, number *out)
{
    uint64_t carry = 0;

    if (!number_room(out, big->len + 1)) return false;
    for (size_t i = 0; i < out->len; i++) {
        uint64_t u = i < big->len ? big->digit[i] : 0, v = i < low->len ? low->digit[i] : 0;
        wide     r = subtract ? (wide)u - v - carry : (wide)u + v + carry;
        out->digit[i] = (uint64_t)r;
        carry = (uint64_t)(r >> 64) & 1;
    }
    return true;
}

static bool number_add(const number *a, const number *b, bool flip_b, number *out)
{
    bool          b_negative = b->negative != flip_b, less = magnitude_compare(a, b) < 0;
    const number *big = less ? b : a, *low = less ? a : b;

    if (!magnitude_sum(big, low, a->negative != b_negative, out)) return false;
    out->negative = less ? b_negative : a->negative;
    return true;
}

static bool number_multiply(const number *a, const number *b, number *out)
{
    if (!number_room(out, a->len + b->len)) return false;
    for (size_t i = 0; i < a->len; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < b->len; j++) {
            wide r = (wide)a->digit[i] * b->digit[j] + out->digit[i + j] + carry;
            out->digit[i + j] = (uint64_t)r;
            carry = (uint64_t)(r >> 64);
        }
        out->digit[i + b->len] = carry;
    }
    out->negative = a->negative != b->negative;
    return true;
}

/* `bits` of shift within words: out gets one digit more than it needs. */
static void digits_shift_left(const uint64_t *from, size_t len, unsigned bits, uint64_t *out)
{
    uint64_t carry = 0;

    for (size_t i = 0; i < len; i++) {
        out[i] = from[i] << bits | carry;
        carry = bits == 0 ? 0 : from[i] >> (64 - bits);
    }
    out[len] = carry;
}

static uint64_t divide_by_digit(const number *a, uint64_t by, number *quotient)
{
    uint64_t rest = 0;

    for (size_t i = a->len; i-- > 0;) {
        wide r = (wide)rest << 64 | a->digit[i];
        quotient->digit[i] = (uint64_t)(r / by);
        rest = (uint64_t)(r % by);
    }
    return rest;
}

/* Knuth, The Art of Computer Programming 2, 4.3.1, algorithm D. |b| > 0; towards zero. */
static bool number_divide(const number *a, const number *b, number *quotient, number *rest)
{
    number   u, v;
    unsigned shift;
    bool     ok = false;

    if (magnitude_compare(a, b) < 0) {
        if (!number_room(quotient, 1) || !number_room(rest, a->len)) return false;
        memcpy(rest->digit, a->digit, a->len * sizeof *a->digit);
        rest->negative = a->negative;
        return true;
    }
    if (b->len == 1) {
        if (!number_room(quotient, a->len) || !number_room(rest, 1)) return false;
        rest->digit[0] = divide_by_digit(a, b->digit[0], quotient);
        quotient->negative = a->negative != b->negative;
        rest->negative = a->negative;
        return true;
    }
    number_init(&u);
    number_init(&v);
    if (!number_room(&u, a->len + 1) || !number_room(&v, b->len + 1) || !number_room(quotient, a->len - b->len + 1) ||
        !number_room(rest, b->len))
        goto done;
    shift = (unsigned)__builtin_clzll(b->digit[b->len - 1]);
    digits_shift_left(a->digit, a->len, shift, u.digit);
    digits_shift_left(b->digit, b->len, shift, v.digit);
    for (size_t j = a->len - b->len + 1; j-- > 0;) {
        size_t   n = b->len;
        wide     top = (wide)u.digit[j + n] << 64 | u.digit[j + n - 1];
        wide     guess = u.digit[j + n] >= v.digit[n - 1] ? UINT64_MAX : top / v.digit[n - 1];
        wide     left = top - guess * v.digit[n - 1];
        uint64_t borrow = 0, carry = 0;

        while (left <= UINT64_MAX && guess * v.digit[n - 2] > (left << 64 | u.digit[j + n - 2])) {
            guess--;
            left += v.digit[n - 1];
        }
        for (size_t i = 0; i <= n; i++) {
            wide product = guess * (i < n ? v.digit[i] : 0) + carry;
            wide r = (wide)u.digit[i + j] - (uint64_t)product - borrow;
            carry = (uint64_t)(product >> 64);
            u.digit[i + j] = (uint64_t)r;
            borrow = (uint64_t)(r >> 64) & 1;
        }
        if (borrow) {                           /* the guess was one too many */
            carry = 0;
            guess--;
            for (size_t i = 0; i <= n; i++) {
                wide r = (wide)u.digit[i + j] + (i < n ? v.digit[i] : 0) + carry;
                u.digit[i + j] = (uint64_t)r;
                carry = (uint64_t)(r >> 64);
            }
        }
        quotient->digit[j] = (uint64_t)guess;
    }
    for (size_t i = 0; i < b->len; i++)
        rest->digit[i] = u.digit[i] >> shift | (shift == 0 ? 0 : u.digit[i + 1] << (64 - shift));
    quotient->negative = a->negative != b->negative;
    rest->negative = a->negative;
    ok = true;
done:
    number_deinit(&u);
    number_deinit(&v);
    return ok;
}

/* ---- Bits: negative numbers as if in two's complement without end ---- */

/* Digit i of the number in two's complement; `carry` begins as 1. */
static uint64_t complement_digit(const number *x, size_t i, uint64_t *carry)
{
    uint64_t d = i < x->len ? x->digit[i] : 0;

    if (!x->negative) return d;
    d = ~d + *carry;
    *carry = *carry && d == 0;
    return d;
}

static void complement_back(number *x)
{
    uint64_t carry = 1;

    for (size_t i = 0; i < x->len; i++) {
        x->digit[i] = ~x->digit[i] + carry;
        carry = carry && x->digit[i] == 0;
    }
}

static bool number_bitwise(tsu_arith_op op, const number *a, const number *b, number *out)
{
    uint64_t carry_a = 1, carry_b = 1, d = 0;

    if (!number_room(out, (a->len > b->len ? a->len : b->len) + 1)) return false;
    for (size_t i = 0; i < out->len; i++) {
        uint64_t x = complement_digit(a, i, &carry_a), y = complement_digit(b, i, &carry_b);
        d = op == TSU_BAND ? x & y : op == TSU_BOR ? x | y : x ^ y;
        out->digit[i] = d;
    }
    out->negative = d >> 63;
    if (out->negative) complement_back(out);
    return true;
}

/* a * 2^by. TSU_BADARG: too long. */
static tsu_status number_shift_left(const number *a, uint64_t by, number *out)
{
    if (a->len == 0) return number_room(out, 1) ? TSU_OK : TSU_NOMEM;
    if (by > tsu_arith_bits_max) return TSU_BADARG;
    if (!number_room(out, a->len + (size_t)(by / 64) + 1)) return TSU_NOMEM;
    digits_shift_left(a->digit, a->len, (unsigned)(by % 64), out->digit + by / 64);
    out->negative = a->negative;
    return TSU_OK;
}

/* The largest whole number not above a / 2^by. */
static bool number_shift_right(const number *a, uint64_t by, number *out)
{
    size_t   words = by / 64 < a->len ? (size_t)(by / 64) : a->len;
    unsigned bits = (unsigned)(by % 64);
    bool     lost = false;

    if (!number_room(out, a->len - words + 1)) return false;
    for (size_t i = 0; i < words; i++) lost = lost || a->digit[i] != 0;
    for (size_t i = words; i < a->len; i++) {
        uint64_t above = i + 1 < a->len ? a->digit[i + 1] : 0;
        if (i == words && bits > 0 && a->digit[i] << (64 - bits) != 0) lost = true;
        out->digit[i - words] = a->digit[i] >> bits | (bits == 0 ? 0 : above << (64 - bits));
    }
    out->negative = a->negative;
    if (a->negative && lost)
        for (size_t i = 0; ++out->digit[i] == 0; i++) {}
    return true;
}

static tsu_status number_shift(const number *a, const number *by, bool left, number *out)
{
    uint64_t n = by->len == 0 ? 0 : by->len == 1 ? by->digit[0] : UINT64_MAX;

    if (by->negative) left = !left;
    if (left) return number_shift_left(a, n, out);
    return number_shift_right(a, n, out) ? TSU_OK : TSU_NOMEM;
}

/* ---- Floats ---- */

#define IS_FINITE(f_) ((f_) - (f_) == 0.0)
#define TWO_63 9223372036854775808.0

/* As the VM does it: from the highest digit on. False: beyond all floats. */
static bool token_to_float(const tsu_token *t, double *out)
{
    double f = 0.0;

    if (t->kind == TSU_FLOAT) { *out = t->f; return true; }
    if (t->kind == TSU_INT) { *out = (double)t->i; return true; }
    for (size_t i = (size_t)(t->size + 7) / 8; i-- > 0;) {
        uint64_t digit = 0;
        size_t   n = (size_t)t->size - 8 * i;
        memcpy(&digit, t->bytes + 8 * i, n < 8 ? n : 8);
        f = f * 18446744073709551616.0 + (double)digit;
        if (!IS_FINITE(f)) return false;
    }
    *out = t->flag ? -f : f;
    return true;
}

static tsu_status float_write(double f, tsu_writer *w)
{
    if (!IS_FINITE(f)) return TSU_BADARG;
    tsu_write_float(w, f);
    return w->status;
}

/* A float without a fraction as an integer. */
static tsu_status float_to_integer(double f, tsu_writer *w)
{
    uint64_t bits, digits[17] = {0};
    unsigned shift;

    if (f >= -TWO_63 && f < TWO_63) {
        tsu_write_int(w, (int64_t)f);
        return w->status;
    }
    memcpy(&bits, &f, 8);
    shift = (unsigned)(bits >> 52 & 0x7ff) - 1075;          /* 11..971 */
    bits = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
    digits[shift / 64] = bits << shift % 64;
    if (shift % 64 > 0) digits[shift / 64 + 1] = bits >> (64 - shift % 64);
    tsu_write_big(w, f < 0, (const uint8_t *)digits, sizeof digits);
    return w->status;
}

/* Towards zero, for those that int64 holds; the others have no fraction. */
static double whole_part(double f)
{
    return f > -TWO_63 && f < TWO_63 ? (double)(int64_t)f : f;
}

static tsu_status round_float(tsu_arith_op op, double f, tsu_writer *w)
{
    double whole = whole_part(f);

    switch (op) {
    case TSU_ROUND: if (f - whole >= 0.5) whole += 1.0; else if (whole - f >= 0.5) whole -= 1.0; break;
    case TSU_FLOOR: if (whole > f) whole -= 1.0; break;
    case TSU_CEIL:  if (whole < f) whole += 1.0; break;
    default:        break;
    }
    return float_to_integer(whole, w);
}

static tsu_status floats_do(tsu_arith_op op, double x, double y, tsu_writer *w)
{
    switch (op) {
    case TSU_ADD:  return float_write(x + y, w);
    case TSU_SUB:  return float_write(x - y, w);
    case TSU_MUL:  return float_write(x * y, w);
    case TSU_FDIV: return y == 0.0 ? TSU_BADARG : float_write(x / y, w);
    default:       return TSU_BADARG;           /* the others take integers only */
    }
}

/* ---- All together ---- */

static bool is_number(const tsu_token *t) { return t->kind == TSU_INT || t->kind == TSU_BIG || t->kind == TSU_FLOAT; }

static tsu_status integers_do(tsu_arith_op op, const tsu_token *s, const tsu_token *t, tsu_writer *w)
{
    number     a, b, out, more;
    bool       ok;
    tsu_status status = TSU_NOMEM;

    number_init(&a);
    number_init(&b);
    number_init(&out);
    number_init(&more);
    if (!number_read(&a, s) || !number_read(&b, t)) goto done;
    switch (op) {
    case TSU_ADD: ok = number_add(&a, &b, false, &out); break;
    case TSU_SUB: ok = number_add(&a, &b, true, &out); break;
    case TSU_MUL:
        if ((a.len + b.len) * 64 > tsu_arith_bits_max + 128) { status = TSU_BADARG; goto done; }
        ok = number_multiply(&a, &b, &out);
        break;
    case TSU_DIV: case TSU_REM:
        if (b.len == 0) { status = TSU_BADARG; goto done; }
        ok = op == TSU_DIV ? number_divide(&a, &b, &out, &more) : number_divide(&a, &b, &more, &out);
        break;
    case TSU_BAND: case TSU_BOR: case TSU_BXOR: ok = number_bitwise(op, &a, &b, &out); break;
    default:
        TRY(status, number_shift(&a, &b, op == TSU_BSL, &out));
        ok = true;
        break;
    }
    status = ok ? number_write(&out, w) : TSU_NOMEM;
done:
    number_deinit(&a);
    number_deinit(&b);
    number_deinit(&out);
    number_deinit(&more);
    return status;
}

static tsu_status two_operands(tsu_arith_op op, const tsu_token *s, const tsu_token *t, tsu_writer *w)
{
    int64_t v;
    double  x, y;

    if (!is_number(s) || !is_number(t)) return TSU_BADARG;
    if (s->kind == TSU_INT && t->kind == TSU_INT && tsu_arith_ints(op, s->i, t->i, &v)) {
        tsu_write_int(w, v);
        return w->status;
    }
    if (s->kind != TSU_FLOAT && t->kind != TSU_FLOAT && op != TSU_FDIV) return integers_do(op, s, t, w);
    if (op > TSU_FDIV || !token_to_float(s, &x) || !token_to_float(t, &y)) return TSU_BADARG;
    return floats_do(op, x, y, w);
}

tsu_status tsu_arith(tsu_arith_op op, const uint8_t *a, const uint8_t *b, tsu_writer *w)
{
    static const uint8_t zero = 16, minus_one = 15;
    const uint8_t       *p = a;
    tsu_token            s, t;
    double               f;
    bool                 negative;

    tsu_term_next(&p, &s);
    switch (op) {
    case TSU_PLUS: case TSU_NEGATE: case TSU_ABS:
        if (!is_number(&s)) return TSU_BADARG;
        /* where the zeros differ (from OTP 27 on) -0.0 has an absolute value */
        if (op == TSU_ABS && s.kind == TSU_FLOAT && s.f == 0.0 && !tsu_codec.zero_signs_equal) return float_write(0.0, w);
        if (s.kind == TSU_FLOAT) negative = s.f < 0;
        else negative = s.kind == TSU_INT ? s.i < 0 : s.flag;
        if (op == TSU_NEGATE || (op == TSU_ABS && negative)) {
            if (s.kind == TSU_FLOAT) return float_write(-s.f, w);
            p = &zero;
            tsu_term_next(&p, &t);
            return two_operands(TSU_SUB, &t, &s, w);
        }
        tsu_write_bytes(w, a, (size_t)(p - a));
        return w->status;
    case TSU_BNOT:                              /* -1 - x */
        if (s.kind == TSU_FLOAT) return TSU_BADARG;
        p = &minus_one;
        tsu_term_next(&p, &t);
        return two_operands(TSU_SUB, &t, &s, w);
    case TSU_FLOAT_OF:
        if (!is_number(&s) || !token_to_float(&s, &f)) return TSU_BADARG;
        return float_write(f, w);
    case TSU_ROUND: case TSU_TRUNC: case TSU_FLOOR: case TSU_CEIL:
        if (s.kind == TSU_FLOAT) return round_float(op, s.f, w);
        if (!is_number(&s)) return TSU_BADARG;
        tsu_write_bytes(w, a, (size_t)(p - a));
        return w->status;
    default:
        tsu_term_next(&b, &t);
        return two_operands(op, &s, &t, w);
    }
}
