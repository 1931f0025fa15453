/* order.c: compares terms in Erlang's order. */
#include "term/order_inner.h"

#define MAP_DEPTH_MAX 32        /* of the recursion in maps_compare */
#define TWO_63 9223372036854775808.0

/* Where kinds stand in the order of all terms. */
static const int8_t rank_of[] = {
    [TSU_LEAST] = -1, [TSU_MOST] = 11,
    [TSU_INT] = 0, [TSU_BIG] = 0, [TSU_FLOAT] = 0, [TSU_ATOM] = 1, [TSU_REF] = 2, [TSU_REF_EXT] = 2,
    [TSU_FUN] = 3, [TSU_EXPORT] = 3, [TSU_PORT] = 4, [TSU_PORT_EXT] = 4, [TSU_PID] = 5, [TSU_PID_EXT] = 5,
    [TSU_TUPLE] = 6, [TSU_MAP] = 7, [TSU_NIL] = 8, [TSU_STRING] = 9, [TSU_LIST] = 9,
    [TSU_BINARY] = 10, [TSU_BITSTRING] = 10, [TSU_BLOB] = 10
};
#define RANK_NIL 8
#define RANK_LIST 9

#define CMP(x_, y_) ((x_) < (y_) ? -1 : (x_) > (y_))

static int bytes_compare(const uint8_t *a, uint64_t a_len, const uint8_t *b, uint64_t b_len)
{
    uint64_t n = a_len < b_len ? a_len : b_len;
    int      c = a == b || n == 0 ? 0 : memcmp(a, b, n);

    return c != 0 ? c : CMP(a_len, b_len);
}

/* ---- Numbers ---- */

size_t tsu_float_magnitude(double v, uint8_t out[TSU_FLOAT_BYTES_MAX])
{
    uint64_t bits, mantissa;
    unsigned shift;

    memcpy(&bits, &v, 8);
    mantissa = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
    shift = (unsigned)(bits >> 52 & 0x7ff) - 1075;
    memset(out, 0, TSU_FLOAT_BYTES_MAX);
    mantissa <<= shift % 8;                     /* 53 + 7 bits: fits */
    for (unsigned i = 0; i < 8 && shift / 8 + i < TSU_FLOAT_BYTES_MAX; i++)
        out[shift / 8 + i] = (uint8_t)(mantissa >> (8 * i));
    for (size_t n = TSU_FLOAT_BYTES_MAX; n > 0; n--)
        if (out[n - 1] != 0) return n;
    return 0;
}

static int magnitude_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    if (a_len != b_len) return a_len < b_len ? -1 : 1;
    for (size_t i = a_len; i-- > 0;)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}

static int int_float_compare(int64_t i, double f)
{
    int64_t whole;

    if (f >= TWO_63) return -1;
    if (f < -TWO_63) return 1;
    whole = (int64_t)f;
    if (i != whole) return CMP(i, whole);
    return CMP(0.0, f - (double)whole);         /* exact: a fraction means |f| < 2^53 */
}

static int big_float_compare(const tsu_token *big, double f)
{
    uint8_t magnitude[TSU_FLOAT_BYTES_MAX];
    int     c;

    if (f < TWO_63 && f > -TWO_63) return big->flag ? -1 : 1;
    if (big->flag != (f < 0)) return big->flag ? -1 : 1;
    c = magnitude_compare(big->bytes, big->size, magnitude, tsu_float_magnitude(f, magnitude));
    return big->flag ? -c : c;
}

static int floats_compare(double a, double b, bool exact)
{
    uint64_t x, y;

    if (a != b) return CMP(a, b);
    if (!exact || tsu_codec.zero_signs_equal || a != 0.0) return 0;
    memcpy(&x, &a, 8);
    memcpy(&y, &b, 8);
    return CMP(y >> 63, x >> 63);               /* -0.0 first */
}

static int numbers_compare(const tsu_token *a, const tsu_token *b, bool exact)
{
    int c;

    if (a->kind == TSU_INT && b->kind == TSU_INT) return CMP(a->i, b->i);
    if (a->kind == TSU_FLOAT && b->kind == TSU_FLOAT) return floats_compare(a->f, b->f, exact);
    if (a->kind == TSU_FLOAT) {
        if (exact) return 1;
        return b->kind == TSU_INT ? -int_float_compare(b->i, a->f) : -big_float_compare(b, a->f);
    }
    if (b->kind == TSU_FLOAT) {
        if (exact) return -1;
        return a->kind == TSU_INT ? int_float_compare(a->i, b->f) : big_float_compare(a, b->f);
    }
    if (a->kind == TSU_INT) return b->flag ? 1 : -1;
    if (b->kind == TSU_INT) return a->flag ? -1 : 1;
    if (a->flag != b->flag) return a->flag ? -1 : 1;
    c = magnitude_compare(a->bytes, a->size, b->bytes, b->size);
    return a->flag ? -c : c;
}

/* ---- Atoms, bitstrings, and things with a node ---- */

static int atoms_compare(uint64_t a, uint64_t b)
{
    size_t         a_len, b_len;
    const uint8_t *a_text, *b_text;

    if (a == b) return 0;
    a_text = tsu_codec.atom_text(a, &a_len);
    b_text = tsu_codec.atom_text(b, &b_len);
    return bytes_compare(a_text, a_len, b_text, b_len);
}

/* By bytes, and where one is a prefix by the count of bits: the unused bits are 0. */
static int bits_compare(const tsu_token *a, const tsu_token *b)
{
    uint64_t a_bits = a->kind == TSU_BITSTRING ? a->n : a->size * 8;
    uint64_t b_bits = b->kind == TSU_BITSTRING ? b->n : b->size * 8;
    uint64_t n = a->size < b->size ? a->size : b->size;
    int      c = n == 0 ? 0 : memcmp(tsu_token_bytes(a), tsu_token_bytes(b), n);

    return c != 0 ? c : CMP(a_bits, b_bits);
}

void tsu_named_read(const tsu_token *t, tsu_named *out)
{
    const uint8_t *p = t->bytes;

    out->local = t->kind == TSU_PID || t->kind == TSU_PORT || t->kind == TSU_REF;
    out->words = NULL;
    out->count = 0;
    out->number = 0;
    if (out->local) {
        out->node = NULL;
        out->node_len = 0;
        out->creation = 0;
        if (t->kind != TSU_REF) {
            out->number = tsu_codec.local_number == NULL ? t->n : tsu_codec.local_number(t->n, t->kind == TSU_PID);
            return;
        }
        out->words = t->bytes;
        out->count = (unsigned)(t->size / 4);
    } else {
        out->node_len = (size_t)(p[0] | p[1] << 8);
        out->node = p + 2;
        p += 2 + out->node_len;
        out->creation = tsu_get32(p);
        p += 4;
        if (t->kind == TSU_PID_EXT) {
            out->number = (uint64_t)tsu_get32(p + 4) << 32 | tsu_get32(p);
        } else if (t->kind == TSU_PORT_EXT) {
            out->number = tsu_get64(p);
        } else {
            out->count = *p;
            out->words = p + 1;
        }
    }
    while (out->count > 0 && tsu_get32(out->words + 4 * (out->count - 1)) == 0) out->count--;
}

void tsu_named_node(tsu_named *x)
{
    if (x->local && x->node == NULL) x->node = tsu_codec.node(&x->node_len, &x->creation);
}

static int nodes_compare(tsu_named *a, tsu_named *b)
{
    int c;

    if (a->local && b->local) return 0;
    tsu_named_node(a);
    tsu_named_node(b);
    c = bytes_compare(a->node, a->node_len, b->node, b->node_len);
    return c != 0 ? c : CMP(a->creation, b->creation);
}

static int named_compare(const tsu_token *x, const tsu_token *y)
{
    tsu_named a, b;
    int   c;

    tsu_named_read(x, &a);
    tsu_named_read(y, &b);
    if (rank_of[x->kind] == rank_of[TSU_PID]) {
        c = CMP(a.number, b.number);
        return c != 0 ? c : nodes_compare(&a, &b);
    }
    c = nodes_compare(&a, &b);
    if (c != 0) return c;
    if (a.count != b.count) return CMP(a.count, b.count);
    for (unsigned i = a.count; i-- > 0;) {
        uint32_t u = tsu_get32(a.words + 4 * i), v = tsu_get32(b.words + 4 * i);
        if (u != v) return CMP(u, v);
    }
    return CMP(a.number, b.number);
}

/* ---- Comparing ---- */

/* `left` terms of each, up to the first that differ. Moves past all of them when they are equal. */
static int terms_compare(const uint8_t **pa, const uint8_t **pb, uint64_t left, bool exact, unsigned depth);

static int terms_compare_from(const uint8_t *a, const uint8_t *b, bool exact, unsigned depth)
{
    return terms_compare(&a, &b, 1, exact, depth);
}

/* Two maps of n pairs each, behind their tokens; moves past both when they are equal. Equal keys have
 * equal bytes and both sides are sorted by them, so the keys that only one side has are
 * found by merging; the smallest of them decides. */
static int maps_compare(const uint8_t **pa, const uint8_t **pb, uint64_t n, bool exact, unsigned depth)
{
    const uint8_t *a = *pa, *b = *pb, *least = NULL;
    uint64_t       i = 0, j = 0;
    int            result = 0;

    while (i < n || j < n) {
        size_t a_len = i < n ? tsu_term_len(a) : 0, b_len = j < n ? tsu_term_len(b) : 0;
        int    c;

        if (i == n) c = 1;
        else if (j == n) c = -1;
        else c = memcmp(a, b, a_len < b_len ? a_len : b_len);
        if (c != 0) {
            const uint8_t *only = c < 0 ? a : b;
            if (least == NULL || terms_compare_from(only, least, true, depth + 1) < 0) {
                least = only;
                result = c < 0 ? -1 : 1;
            }
        }
        if (c <= 0) { a += a_len; tsu_term_skip(&a); i++; }
        if (c >= 0) { b += b_len; tsu_term_skip(&b); j++; }
    }
    if (least != NULL) return result;
    for (i = 0, a = *pa, b = *pb; i < n; i++) {
        const uint8_t *key = a;
        size_t         a_len, b_len;
        int            c;

        tsu_term_skip(&a);
        tsu_term_skip(&b);
        a_len = tsu_term_len(a);
        b_len = tsu_term_len(b);
        if (a_len != b_len || memcmp(a, b, a_len) != 0) {
            c = terms_compare_from(a, b, exact, depth + 1);
            if (c != 0 && (least == NULL || terms_compare_from(key, least, true, depth + 1) < 0)) {
                least = key;
                result = c;
            }
        }
        a += a_len;
        b += b_len;
    }
    *pa = a;
    *pb = b;
    return result;
}

/* Deeper than the recursion may go: through the order keys, on the heap. */
static int maps_compare_deep(const uint8_t *a, const uint8_t *b, bool exact)
{
    uint8_t    a_buffer[512], b_buffer[512];
    tsu_writer x, y;
    int        c;

    tsu_writer_init(&x, a_buffer, sizeof a_buffer);
    tsu_writer_init(&y, b_buffer, sizeof b_buffer);
    tsu_order_encode_as(a, exact, &x);
    tsu_order_encode_as(b, exact, &y);
    if (x.status == TSU_OK && y.status == TSU_OK) c = bytes_compare(x.bytes, x.len, y.bytes, y.len);
    else c = bytes_compare(a, tsu_term_len(a), b, tsu_term_len(b));
    tsu_writer_deinit(&x);
    tsu_writer_deinit(&y);
    return c;
}

/* How a walk ends once the terms of the list at hand are used up. Lists of different shape decide
 * when their common part is equal, and nothing behind them is looked at any more: therefore
 * one such end at a time is enough, the innermost, and no stack is needed. */
typedef enum ending { END_EQUAL, END_LESS, END_GREATER, END_TAIL_A, END_TAIL_B } ending;

static int tail_compare(const uint8_t *tail, int against)
{
    tsu_token t;

    tsu_term_next(&tail, &t);
    return CMP(rank_of[t.kind], against);       /* never equal: a tail is no list */
}

/* A STRING's bytes against the terms of a LIST. 0: equal, and *q is behind the list. */
static int string_list_compare(const tsu_token *s, const tsu_token *list, const uint8_t **q, bool exact)
{
    uint64_t  n = s->size < list->n ? s->size : list->n;
    tsu_token x, y = {.kind = TSU_INT};
    int       c;

    for (uint64_t i = 0; i < n; i++) {
        tsu_term_next(q, &x);
        if (rank_of[x.kind] != 0) return CMP(0, rank_of[x.kind]);
        y.i = s->bytes[i];
        c = numbers_compare(&y, &x, exact);
        if (c != 0) return c;
    }
    if (s->size < list->n) return -1;
    if (s->size > list->n) return list->flag ? -tail_compare(*q, RANK_LIST) : 1;
    return list->flag ? -tail_compare(*q, RANK_NIL) : 0;
}

static int terms_compare(const uint8_t **pa, const uint8_t **pb, uint64_t left, bool exact, unsigned depth)
{
    const uint8_t *a = *pa, *b = *pb;
    ending         end = END_EQUAL;
    int            end_against = RANK_LIST;
    tsu_token      x, y;
    int            c;

    while (left > 0) {
        const uint8_t *a0 = a, *b0 = b;

        left--;
        tsu_term_next(&a, &x);
        tsu_term_next(&b, &y);
        if (rank_of[x.kind] != rank_of[y.kind]) return CMP(rank_of[x.kind], rank_of[y.kind]);
        c = 0;
        switch (x.kind) {
        case TSU_INT: case TSU_BIG: case TSU_FLOAT:
            c = numbers_compare(&x, &y, exact);
            break;
        case TSU_ATOM:
            c = atoms_compare(x.n, y.n);
            break;
        case TSU_REF: case TSU_REF_EXT: case TSU_PORT: case TSU_PORT_EXT: case TSU_PID: case TSU_PID_EXT:
            c = named_compare(&x, &y);
            break;
        case TSU_FUN: case TSU_EXPORT: {
            tsu_token module_x, module_y;

            if (x.kind != y.kind) return x.kind == TSU_FUN ? -1 : 1;
            tsu_term_next(&a, &module_x);
            tsu_term_next(&b, &module_y);
            c = atoms_compare(module_x.n, module_y.n);
            if (c != 0) return c;
            if (x.kind == TSU_FUN) {
                int32_t u = (int32_t)tsu_get32(x.bytes + 17), v = (int32_t)tsu_get32(y.bytes + 17);
                if (u != v) return CMP(u, v);
                u = (int32_t)tsu_get32(x.bytes + 25);
                v = (int32_t)tsu_get32(y.bytes + 25);
                if (u != v) return CMP(u, v);
                if (x.bytes[29] != y.bytes[29]) return CMP(x.bytes[29], y.bytes[29]);
                left += x.bytes[29];
            } else {
                uint8_t u = x.bytes[0], v = y.bytes[0];
                tsu_term_next(&a, &module_x);   /* the function's name */
                tsu_term_next(&b, &module_y);
                c = atoms_compare(module_x.n, module_y.n);
                if (c == 0) c = CMP(u, v);
            }
            break;
        }
        case TSU_TUPLE:
            if (x.n != y.n) return CMP(x.n, y.n);
            left += x.n;
            break;
        case TSU_MAP:
            if (x.n != y.n) return CMP(x.n, y.n);
            if (depth < MAP_DEPTH_MAX) {
                c = maps_compare(&a, &b, x.n, exact, depth);
            } else {
                c = maps_compare_deep(a0, b0, exact);
                a = a0;
                b = b0;
                tsu_term_skip(&a);
                tsu_term_skip(&b);
            }
            break;
        case TSU_NIL: case TSU_LEAST: case TSU_MOST:
            break;
        case TSU_STRING: case TSU_LIST:
            if (x.kind == TSU_STRING && y.kind == TSU_STRING) {
                c = bytes_compare(x.bytes, x.size, y.bytes, y.size);
            } else if (x.kind == TSU_STRING) {
                c = string_list_compare(&x, &y, &b, exact);
            } else if (y.kind == TSU_STRING) {
                c = -string_list_compare(&y, &x, &a, exact);
            } else if (x.n == y.n && x.flag == y.flag) {
                left += x.children;
            } else if (x.n == y.n) {
                left = x.n;
                end = x.flag ? END_TAIL_A : END_TAIL_B;
                end_against = RANK_NIL;
            } else if (x.n < y.n) {
                left = x.n;
                end = x.flag ? END_TAIL_A : END_LESS;
                end_against = RANK_LIST;
            } else {
                left = y.n;
                end = y.flag ? END_TAIL_B : END_GREATER;
                end_against = RANK_LIST;
            }
            break;
        default:
            c = bits_compare(&x, &y);
            break;
        }
        if (c != 0) return c;
    }
    switch (end) {
    case END_EQUAL:   break;
    case END_LESS:    return -1;
    case END_GREATER: return 1;
    case END_TAIL_A:  return tail_compare(a, end_against);
    case END_TAIL_B:  return -tail_compare(b, end_against);
    }
    *pa = a;
    *pb = b;
    return 0;
}

/* What keys are mostly made of, integers, atoms, short binaries and tuples of these, without the general way. */
int tsu_term_compare(const uint8_t *a, const uint8_t *b)
{
    uint64_t left = 1;

    for (; left > 0; left--) {
        uint8_t s = *a, t = *b;

        if (s < TSU_TAG_BIGPOS && t < TSU_TAG_BIGPOS) {
            tsu_token x, y;

            tsu_term_next(&a, &x);
            tsu_term_next(&b, &y);
            if (x.i != y.i) return CMP(x.i, y.i);
        } else if (s >= TSU_TAG_BINARY0 && s < TSU_TAG_TUPLE0 && t >= TSU_TAG_BINARY0 && t < TSU_TAG_TUPLE0) {
            unsigned n = s - TSU_TAG_BINARY0, m = t - TSU_TAG_BINARY0;
            int      c = memcmp(a + 1, b + 1, n < m ? n : m);

            if (c != 0) return c;
            if (n != m) return CMP(n, m);
            a += 1 + n;
            b += 1 + n;
        } else if (s != t) {
            break;
        } else if (s == TSU_TAG_ATOM4) {
            uint32_t x = tsu_get32(a + 1), y = tsu_get32(b + 1);

            if (x != y) return atoms_compare(x, y);
            a += 5;
            b += 5;
        } else if (s >= TSU_TAG_TUPLE0 && s < TSU_TAG_TUPLE0 + 16) {
            left += s - TSU_TAG_TUPLE0;
            a++;
            b++;
        } else {
            break;
        }
    }
    return left == 0 ? 0 : terms_compare(&a, &b, left, false, 0);
}

int tsu_term_compare_exact(const uint8_t *a, const uint8_t *b)
{
    return terms_compare(&a, &b, 1, true, 0);
}
