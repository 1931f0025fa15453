/* order.c: compares terms in Erlang's order, and writes them so that memcmp does. */
#include "term/order.h"

enum {
    ORD_NEG_BIG = 0x10, ORD_NEG_64, ORD_ZERO = 0x19, ORD_POS_64 = 0x21, ORD_POS_BIG, ORD_EXACT_FLOAT,
    ORD_ATOM = 0x30, ORD_REF = 0x40, ORD_FUN = 0x50, ORD_EXPORT, ORD_PORT = 0x58, ORD_PID = 0x60,
    ORD_TUPLE = 0x70, ORD_MAP = 0x80, ORD_NIL = 0x90, ORD_CONS = 0xa0, ORD_BITS = 0xb0
};

#define MAP_DEPTH_MAX 32        /* of the recursion in maps_compare */
#define TWO_55 36028797018963968.0
#define TWO_63 9223372036854775808.0
#define TWO_64 18446744073709551616.0
#define FLOAT_BYTES_MAX 128     /* of the magnitude of the largest float */

/* Where kinds stand in the order of all terms. */
static const uint8_t rank_of[] = {
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

/* The magnitude, little-endian, of a float >= 2^63 in size; all those are integers. */
static size_t float_magnitude(double v, uint8_t out[FLOAT_BYTES_MAX])
{
    uint64_t bits, mantissa;
    unsigned shift;

    memcpy(&bits, &v, 8);
    mantissa = (bits & (((uint64_t)1 << 52) - 1)) | (uint64_t)1 << 52;
    shift = (unsigned)(bits >> 52 & 0x7ff) - 1075;
    memset(out, 0, FLOAT_BYTES_MAX);
    mantissa <<= shift % 8;                     /* 53 + 7 bits: fits */
    for (unsigned i = 0; i < 8 && shift / 8 + i < FLOAT_BYTES_MAX; i++)
        out[shift / 8 + i] = (uint8_t)(mantissa >> (8 * i));
    for (size_t n = FLOAT_BYTES_MAX; n > 0; n--)
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
    uint8_t magnitude[FLOAT_BYTES_MAX];
    int     c;

    if (f < TWO_63 && f > -TWO_63) return big->flag ? -1 : 1;
    if (big->flag != (f < 0)) return big->flag ? -1 : 1;
    c = magnitude_compare(big->bytes, big->size, magnitude, float_magnitude(f, magnitude));
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

/* A pid, port or reference in parts, local or not. */
typedef struct named {
    bool           local;
    const uint8_t *node;
    size_t         node_len;
    uint32_t       creation;
    uint64_t       number;          /* pid: serial << 32 | number; port: number */
    const uint8_t *words;           /* reference; count without zeros on top */
    unsigned       count;
} named;

static void named_read(const tsu_token *t, named *out)
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

static void named_node(named *x)
{
    if (x->local && x->node == NULL) x->node = tsu_codec.node(&x->node_len, &x->creation);
}

static int nodes_compare(named *a, named *b)
{
    int c;

    if (a->local && b->local) return 0;
    named_node(a);
    named_node(b);
    c = bytes_compare(a->node, a->node_len, b->node, b->node_len);
    return c != 0 ? c : CMP(a->creation, b->creation);
}

static int named_compare(const tsu_token *x, const tsu_token *y)
{
    named a, b;
    int   c;

    named_read(x, &a);
    named_read(y, &b);
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

static int terms_compare(const uint8_t **pa, const uint8_t **pb, bool exact, unsigned depth);

static int terms_compare_from(const uint8_t *a, const uint8_t *b, bool exact, unsigned depth)
{
    return terms_compare(&a, &b, exact, depth);
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

static void order_encode(const uint8_t *term, bool exact, tsu_writer *w);

/* Deeper than the recursion may go: through the order keys, on the heap. */
static int maps_compare_deep(const uint8_t *a, const uint8_t *b, bool exact)
{
    uint8_t    a_buffer[512], b_buffer[512];
    tsu_writer x, y;
    int        c;

    tsu_writer_init(&x, a_buffer, sizeof a_buffer);
    tsu_writer_init(&y, b_buffer, sizeof b_buffer);
    order_encode(a, exact, &x);
    order_encode(b, exact, &y);
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
        if (rank_of[x.kind] != 0) return -1;
        y.i = s->bytes[i];
        c = numbers_compare(&y, &x, exact);
        if (c != 0) return c;
    }
    if (s->size < list->n) return -1;
    if (s->size > list->n) return list->flag ? -tail_compare(*q, RANK_LIST) : 1;
    return list->flag ? -tail_compare(*q, RANK_NIL) : 0;
}

static int terms_compare(const uint8_t **pa, const uint8_t **pb, bool exact, unsigned depth)
{
    const uint8_t *a = *pa, *b = *pb;
    uint64_t       left = 1;
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
        case TSU_NIL:
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

int tsu_term_compare(const uint8_t *a, const uint8_t *b)
{
    int64_t x, y;

    if (tsu_term_int64(a, &x) && tsu_term_int64(b, &y)) return CMP(x, y);
    return terms_compare(&a, &b, false, 0);
}

int tsu_term_compare_exact(const uint8_t *a, const uint8_t *b)
{
    return terms_compare(&a, &b, true, 0);
}

/* ---- Order keys ---- */

static void big_endian(uint8_t *out, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) out[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static void put_number(tsu_writer *w, uint64_t v, unsigned n)
{
    uint8_t bytes[8];

    big_endian(bytes, v, n);
    tsu_write_bytes(w, bytes, n);
}

/* A number below 2^64 in size. `whole` and `fraction` (0 or the bits of a float in 0..1) are of
 * its magnitude. At most 17 bytes; returns how many. */
static size_t number_put(uint8_t *out, bool negative, uint64_t whole, uint64_t fraction)
{
    uint64_t x = whole << 1 | (fraction != 0);
    size_t   len;

    if (whole == 0 && fraction == 0) {
        out[0] = ORD_ZERO;
        return 1;
    }
    if (whole >> 55 != 0) {
        out[0] = negative ? ORD_NEG_64 : ORD_POS_64;
        big_endian(out + 1, whole, 8);
        len = 9;
    } else {
        unsigned n = (71 - (unsigned)__builtin_clzll(x)) / 8;
        out[0] = (uint8_t)(negative ? ORD_ZERO - n : ORD_ZERO + n);
        big_endian(out + 1, x, n);
        len = 1 + n;
        if (fraction != 0) {
            big_endian(out + len, fraction, 8);
            len += 8;
        }
    }
    if (negative)
        for (size_t i = 1; i < len; i++) out[i] = (uint8_t)~out[i];
    return len;
}

static void put_magnitude(tsu_writer *w, bool negative, const uint8_t *bytes, size_t len)
{
    uint8_t flip = negative ? 0xff : 0;

    tsu_write_byte(w, negative ? ORD_NEG_BIG : ORD_POS_BIG);
    for (int i = 3; i >= 0; i--) tsu_write_byte(w, (uint8_t)(((uint32_t)len >> (8 * i)) ^ flip));
    for (size_t i = len; i-- > 0;) tsu_write_byte(w, bytes[i] ^ flip);
}

static void put_float(tsu_writer *w, double v, bool exact)
{
    uint8_t  out[FLOAT_BYTES_MAX];
    bool     negative = v < 0;
    double   size = negative ? -v : v;
    double   rest;
    uint64_t whole, bits = 0;

    if (exact) {
        if (v == 0.0 && tsu_codec.zero_signs_equal) v = 0.0;
        memcpy(&bits, &v, 8);
        bits ^= bits >> 63 ? ~(uint64_t)0 : (uint64_t)1 << 63;
        tsu_write_byte(w, ORD_EXACT_FLOAT);
        put_number(w, bits, 8);
        return;
    }
    if (size >= TWO_64) {
        size_t n = float_magnitude(v, out);
        put_magnitude(w, negative, out, n);
        return;
    }
    whole = (uint64_t)size;
    rest = size - (double)whole;
    if (rest != 0.0) memcpy(&bits, &rest, 8);
    tsu_write_bytes(w, out, number_put(out, negative, whole, bits));
}

static void put_text(tsu_writer *w, const uint8_t *text, size_t len, uint8_t close)
{
    size_t done = 0;

    for (size_t i = 0; i < len; i++) {
        if (text[i] != 0) continue;
        tsu_write_bytes(w, text + done, i + 1 - done);
        tsu_write_byte(w, 0xff);
        done = i + 1;
    }
    tsu_write_bytes(w, text + done, len - done);
    tsu_write_byte(w, 0);
    tsu_write_byte(w, close);
}

static void put_atom(tsu_writer *w, uint64_t atom)
{
    size_t         len;
    const uint8_t *text = tsu_codec.atom_text(atom, &len);

    put_text(w, text, len, 0);
}

static void put_count(tsu_writer *w, uint64_t n)
{
    if (n < 0xff) { tsu_write_byte(w, (uint8_t)n); return; }
    tsu_write_byte(w, 0xff);
    put_number(w, n, 8);
}

static void put_node(tsu_writer *w, named *x)
{
    named_node(x);
    put_text(w, x->node, x->node_len, 0);
    put_number(w, x->creation, 4);
}

/* A token without children, or the beginning of one with: then the children follow. Lists and maps are the
 * caller's. *p is behind the token; for a fun it moves past the names. */
static void put_token(tsu_writer *w, const tsu_token *t, const uint8_t **p, bool exact)
{
    uint8_t   number[24];
    tsu_token name;
    named     x;

    switch (t->kind) {
    case TSU_INT:
        tsu_write_bytes(w, number, number_put(number, t->i < 0, t->i < 0 ? 0 - (uint64_t)t->i : (uint64_t)t->i, 0));
        break;
    case TSU_BIG:
        if (t->size <= 8) tsu_write_bytes(w, number, number_put(number, t->flag, tsu_get64(t->bytes), 0));
        else put_magnitude(w, t->flag, t->bytes, t->size);
        break;
    case TSU_FLOAT:
        put_float(w, t->f, exact);
        break;
    case TSU_ATOM:
        tsu_write_byte(w, ORD_ATOM);
        put_atom(w, t->n);
        break;
    case TSU_REF: case TSU_REF_EXT:
        named_read(t, &x);
        tsu_write_byte(w, ORD_REF);
        put_node(w, &x);
        tsu_write_byte(w, (uint8_t)x.count);
        for (unsigned i = x.count; i-- > 0;) put_number(w, tsu_get32(x.words + 4 * i), 4);
        break;
    case TSU_PORT: case TSU_PORT_EXT:
        named_read(t, &x);
        tsu_write_byte(w, ORD_PORT);
        put_node(w, &x);
        put_number(w, x.number, 8);
        break;
    case TSU_PID: case TSU_PID_EXT:
        named_read(t, &x);
        tsu_write_byte(w, ORD_PID);
        put_number(w, x.number, 8);
        put_node(w, &x);
        break;
    case TSU_FUN:
        tsu_term_next(p, &name);
        tsu_write_byte(w, ORD_FUN);
        put_atom(w, name.n);
        put_number(w, tsu_get32(t->bytes + 17) ^ 0x80000000u, 4);
        put_number(w, tsu_get32(t->bytes + 25) ^ 0x80000000u, 4);
        tsu_write_byte(w, t->bytes[29]);
        break;
    case TSU_EXPORT:
        tsu_write_byte(w, ORD_EXPORT);
        for (int i = 0; i < 2; i++) {
            tsu_term_next(p, &name);
            put_atom(w, name.n);
        }
        tsu_write_byte(w, t->bytes[0]);
        break;
    case TSU_TUPLE:
        tsu_write_byte(w, ORD_TUPLE);
        put_count(w, t->n);
        break;
    case TSU_NIL:
        tsu_write_byte(w, ORD_NIL);
        break;
    case TSU_STRING:
        for (uint64_t i = 0; i < t->size; i++) {
            tsu_write_byte(w, ORD_CONS);
            tsu_write_bytes(w, number, number_put(number, false, t->bytes[i], 0));
        }
        tsu_write_byte(w, ORD_NIL);
        break;
    case TSU_BINARY: case TSU_BLOB: case TSU_BITSTRING:
        tsu_write_byte(w, ORD_BITS);
        put_text(w, tsu_token_bytes(t), t->size,
                 (uint8_t)(t->size == 0 ? 0 : t->kind == TSU_BITSTRING ? t->n % 8 : 8));
        break;
    default:
        UNREACHABLE();
    }
}

/* One key of a map while the map is written: its order key in the output, and where its value is read. */
typedef struct entry {
    size_t         at, len;
    const uint8_t *value;
} entry;

typedef enum frame_kind { SEQUENCE, LIST, IMPROPER, MAP_KEYS, MAP_VALUES } frame_kind;

typedef struct frame {
    frame_kind     kind;
    bool           exact;
    uint64_t       left;            /* terms still to come */
    uint64_t       n;               /* MAP: pairs */
    entry         *entries;         /* MAP: owned */
    const uint8_t *after;           /* MAP_VALUES: where reading goes on */
} frame;

static int entry_compare(const uint8_t *base, const entry *a, const entry *b)
{
    return memcmp(base + a->at, base + b->at, a->len < b->len ? a->len : b->len);
}

static void entries_sift(const uint8_t *base, entry *e, size_t root, size_t n)
{
    entry moved = e[root];

    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n) break;
        if (child + 1 < n && entry_compare(base, &e[child], &e[child + 1]) < 0) child++;
        if (entry_compare(base, &moved, &e[child]) >= 0) break;
        e[root] = e[child];
        root = child;
    }
    e[root] = moved;
}

/* Brings the order keys, which begin at entries[0].at, into order; the entries' values with them. */
static void entries_sort(tsu_writer *w, entry *e, size_t n)
{
    size_t   begin = e[0].at, bytes = w->len - begin, at = begin;
    uint8_t *copy;

    if (n < 2) return;
    copy = tsu_env_alloc(bytes);
    if (copy == NULL) { w->status = TSU_NOMEM; return; }
    memcpy(copy, w->bytes + begin, bytes);
    for (size_t i = 0; i < n; i++) e[i].at -= begin;
    for (size_t i = n / 2; i-- > 0;) entries_sift(copy, e, i, n);
    for (size_t i = n - 1; i > 0; i--) {
        entry moved = e[0];
        e[0] = e[i];
        e[i] = moved;
        entries_sift(copy, e, 0, i);
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(w->bytes + at, copy + e[i].at, e[i].len);
        at += e[i].len;
    }
    tsu_env_free(copy, bytes);
}

typedef struct frames {
    frame *at;
    size_t count, cap;
    frame  few[24];
} frames;

static frame *frame_push(frames *s, tsu_writer *w, frame_kind kind, bool exact, uint64_t left)
{
    frame *f;

    if (s->count == s->cap) {
        frame *more = tsu_env_alloc(2 * s->cap * sizeof *more);
        if (more == NULL) { w->status = TSU_NOMEM; return NULL; }
        memcpy(more, s->at, s->count * sizeof *more);
        if (s->at != s->few) tsu_env_free(s->at, s->cap * sizeof *more);
        s->at = more;
        s->cap *= 2;
    }
    f = &s->at[s->count++];
    *f = (frame){.kind = kind, .exact = exact, .left = left};
    return f;
}

static void frame_pop(frames *s)
{
    frame *f = &s->at[--s->count];

    if (f->entries != NULL) tsu_env_free(f->entries, f->n * sizeof *f->entries);
}

/* Between two keys of a map: what was written is the order key of entry i - 1, and *p is at its value. */
static void map_key_done(frame *f, tsu_writer *w, const uint8_t **p)
{
    uint64_t i = f->n - f->left;

    if (i > 0) {
        f->entries[i - 1].len = w->len - f->entries[i - 1].at;
        f->entries[i - 1].value = *p;
        tsu_term_skip(p);
    }
    if (f->left > 0) f->entries[i].at = w->len;
}

static void order_encode(const uint8_t *term, bool exact, tsu_writer *w)
{
    frames         s;
    const uint8_t *p = term;
    tsu_token      t;

    s.at = s.few;
    s.count = 0;
    s.cap = sizeof s.few / sizeof s.few[0];
    frame_push(&s, w, SEQUENCE, exact, 1);
    while (s.count > 0 && w->status == TSU_OK) {
        frame *f = &s.at[s.count - 1];
        bool   here = f->exact;

        if (f->kind == MAP_KEYS) map_key_done(f, w, &p);
        if (f->left == 0) {
            if (f->kind == LIST) tsu_write_byte(w, ORD_NIL);
            if (f->kind == MAP_KEYS) {
                f->after = p;
                f->kind = MAP_VALUES;
                f->left = f->n;
                entries_sort(w, f->entries, (size_t)f->n);
                continue;
            }
            if (f->kind == MAP_VALUES) p = f->after;
            frame_pop(&s);
            continue;
        }
        if (f->kind == LIST || (f->kind == IMPROPER && f->left > 1)) tsu_write_byte(w, ORD_CONS);
        if (f->kind == MAP_KEYS) here = true;
        if (f->kind == MAP_VALUES) p = f->entries[f->n - f->left].value;
        f->left--;
        tsu_term_next(&p, &t);
        if (t.kind == TSU_LIST) {
            frame_push(&s, w, t.flag ? IMPROPER : LIST, here, t.children);
        } else if (t.kind == TSU_MAP) {
            tsu_write_byte(w, ORD_MAP);
            put_count(w, t.n);
            if (t.n == 0) continue;
            f = frame_push(&s, w, MAP_KEYS, here, t.n);
            if (f == NULL) break;
            f->n = t.n;
            f->entries = tsu_env_alloc((size_t)t.n * sizeof *f->entries);
            if (f->entries == NULL) w->status = TSU_NOMEM;
        } else {
            put_token(w, &t, &p, here);
            if (t.kind == TSU_TUPLE && t.n > 0) frame_push(&s, w, SEQUENCE, here, t.n);
            if (t.kind == TSU_FUN && t.children > 1) frame_push(&s, w, SEQUENCE, here, t.children - 1);
        }
    }
    while (s.count > 0) frame_pop(&s);
    if (s.at != s.few) tsu_env_free(s.at, s.cap * sizeof *s.at);
}

void tsu_order_encode(const uint8_t *term, tsu_writer *w)
{
    order_encode(term, false, w);
}

/* ---- Heads ---- */

/* A head being put together: 8 bytes, then it is full; cut: nothing more may go in. */
typedef struct head {
    uint64_t value;
    unsigned len;
    bool     cut;
} head;

static void head_put(head *h, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (h->len == 8) { h->cut = true; return; }
        h->value |= (uint64_t)bytes[i] << (56 - 8 * h->len++);
    }
}

static void head_byte(head *h, uint8_t byte) { head_put(h, &byte, 1); }

static void head_text(head *h, const uint8_t *text, size_t len, uint8_t close)
{
    for (size_t i = 0; i < len && !h->cut; i++) {
        head_byte(h, text[i]);
        if (text[i] == 0) head_byte(h, 0xff);
    }
    head_byte(h, 0);
    head_byte(h, close);
}

/* A number, but for those whose key has more than a head in any case: these only begin. */
static void head_number(head *h, const tsu_token *t)
{
    uint8_t    buffer[FLOAT_BYTES_MAX + 16];
    uint8_t    number[24];
    tsu_writer w;

    if (t->kind == TSU_INT) {
        bool negative = t->i < 0;
        head_put(h, number, number_put(number, negative, negative ? 0 - (uint64_t)t->i : (uint64_t)t->i, 0));
    } else if (t->kind == TSU_BIG && t->size > 8) {
        uint8_t flip = t->flag ? 0xff : 0;
        head_byte(h, t->flag ? ORD_NEG_BIG : ORD_POS_BIG);
        for (int i = 3; i >= 0; i--) head_byte(h, (uint8_t)(((uint32_t)t->size >> (8 * i)) ^ flip));
        for (size_t i = t->size; i-- > 0 && !h->cut;) head_byte(h, t->bytes[i] ^ flip);
    } else if (t->kind == TSU_BIG) {
        head_put(h, number, number_put(number, t->flag, tsu_get64(t->bytes), 0));
    } else {
        tsu_writer_init(&w, buffer, sizeof buffer);
        put_float(&w, t->f, false);
        head_put(h, w.bytes, w.len);
    }
}

uint64_t tsu_order_head_slow(const uint8_t *term, bool *exact)
{
    struct { uint64_t left; frame_kind kind; } open[10];    /* each level has put a byte before it opens */
    unsigned  depth = 1;
    head      h = {0, 0, false};
    tsu_token t;
    size_t    len;

    open[0].left = 1;
    open[0].kind = SEQUENCE;
    while (depth > 0 && !h.cut) {
        if (open[depth - 1].left == 0) {
            if (open[depth - 1].kind == LIST) head_byte(&h, ORD_NIL);
            depth--;
            continue;
        }
        if (open[depth - 1].kind == LIST || (open[depth - 1].kind == IMPROPER && open[depth - 1].left > 1)) {
            head_byte(&h, ORD_CONS);
            if (h.cut) break;
        }
        open[depth - 1].left--;
        tsu_term_next(&term, &t);
        switch (t.kind) {
        case TSU_INT: case TSU_BIG: case TSU_FLOAT:
            head_number(&h, &t);
            break;
        case TSU_ATOM: {
            const uint8_t *text = tsu_codec.atom_text(t.n, &len);
            head_byte(&h, ORD_ATOM);
            head_text(&h, text, len, 0);
            break;
        }
        case TSU_NIL:
            head_byte(&h, ORD_NIL);
            break;
        case TSU_STRING:
            for (uint64_t i = 0; i < t.size && !h.cut; i++) {
                tsu_token byte = {.kind = TSU_INT, .i = t.bytes[i]};
                head_byte(&h, ORD_CONS);
                head_number(&h, &byte);
            }
            head_byte(&h, ORD_NIL);
            break;
        case TSU_BINARY: case TSU_BLOB: case TSU_BITSTRING:
            head_byte(&h, ORD_BITS);
            head_text(&h, tsu_token_bytes(&t), t.size,
                      (uint8_t)(t.size == 0 ? 0 : t.kind == TSU_BITSTRING ? t.n % 8 : 8));
            break;
        case TSU_TUPLE: case TSU_MAP:
            head_byte(&h, t.kind == TSU_TUPLE ? ORD_TUPLE : ORD_MAP);
            if (t.n < 0xff) {
                head_byte(&h, (uint8_t)t.n);
            } else {
                uint8_t n[8];
                big_endian(n, t.n, 8);
                head_byte(&h, 0xff);
                head_put(&h, n, 8);
            }
            if (t.n == 0 || h.cut) break;
            if (t.kind == TSU_MAP || depth == 10) {          /* keys would have to be sorted first */
                h.cut = true;
                break;
            }
            open[depth].left = t.n;
            open[depth++].kind = SEQUENCE;
            break;
        case TSU_LIST:
            if (depth == 10) { h.cut = true; break; }
            open[depth].left = t.children;
            open[depth++].kind = t.flag ? IMPROPER : LIST;
            break;
        case TSU_PID: case TSU_PID_EXT: {
            named   x;
            uint8_t n[8];
            named_read(&t, &x);
            big_endian(n, x.number, 8);
            head_byte(&h, ORD_PID);
            head_put(&h, n, 8);
            h.cut = true;
            break;
        }
        case TSU_REF: case TSU_REF_EXT:
            head_byte(&h, ORD_REF);
            h.cut = true;
            break;
        case TSU_PORT: case TSU_PORT_EXT:
            head_byte(&h, ORD_PORT);
            h.cut = true;
            break;
        default:
            head_byte(&h, t.kind == TSU_FUN ? ORD_FUN : ORD_EXPORT);
            h.cut = true;
            break;
        }
    }
    *exact = !h.cut;
    return h.value;
}
