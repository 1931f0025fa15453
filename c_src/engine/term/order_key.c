/* order_key.c: terms written so that memcmp orders them, and heads: the first bytes of that. */
#include "term/order_inner.h"

enum {
    ORD_NEG_BIG = 0x10, ORD_NEG_64, ORD_ZERO = 0x19, ORD_POS_64 = 0x21, ORD_POS_BIG, ORD_EXACT_FLOAT,
    ORD_ATOM = 0x30, ORD_REF = 0x40, ORD_FUN = 0x50, ORD_EXPORT, ORD_PORT = 0x58, ORD_PID = 0x60,
    ORD_TUPLE = 0x70, ORD_MAP = 0x80, ORD_NIL = 0x90, ORD_CONS = 0xa0, ORD_BITS = 0xb0,
    ORD_LEAST = 0x00, ORD_MOST = 0xff
};

#define TWO_64 18446744073709551616.0

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

/* Bytes of an order key: n, 1 to 8, the first on top, zeros behind. */
typedef struct piece {
    uint64_t bytes;
    unsigned n;
} piece;

/* A number below 2^64 in size, as at most two pieces; returns how many. `whole` and `fraction` (0 or the bits of a float in
 * 0..1) are of its magnitude. */
static inline unsigned number_pieces(piece *out, bool negative, uint64_t whole, uint64_t fraction)
{
    uint64_t flip = negative ? ~(uint64_t)0 : 0;
    unsigned n;

    if (whole >> 55 != 0) {
        out[0] = (piece){(uint64_t)(negative ? ORD_NEG_64 : ORD_POS_64) << 56, 1};
        out[1] = (piece){whole ^ flip, 8};
        return 2;
    }
    if (whole == 0 && fraction == 0) {
        out[0] = (piece){(uint64_t)ORD_ZERO << 56, 1};
        return 1;
    }
    out[0].bytes = tsu_order_number_head(negative, whole << 1 | (fraction != 0), &n);
    out[0].n = 1 + n;
    out[1] = (piece){fraction ^ flip, 8};
    return fraction != 0 ? 2 : 1;
}

/* The same as bytes: at most 16, in 24. */
static size_t number_put(uint8_t *out, bool negative, uint64_t whole, uint64_t fraction)
{
    piece    p[2];
    unsigned count = number_pieces(p, negative, whole, fraction);
    size_t   len = 0;

    for (unsigned i = 0; i < count; i++) {
        tsu_put64(out + len, __builtin_bswap64(p[i].bytes));
        len += p[i].n;
    }
    return len;
}

static inline uint64_t int_size(int64_t v) { return v < 0 ? 0 - (uint64_t)v : (uint64_t)v; }

/* The whole part and the fraction of a float below 2^64 in size. */
static inline void float_split(double v, uint64_t *whole, uint64_t *fraction)
{
    double size = v < 0 ? -v : v, rest;

    *whole = (uint64_t)size;
    rest = size - (double)*whole;
    *fraction = 0;
    if (rest != 0.0) memcpy(fraction, &rest, 8);
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
    uint8_t  out[TSU_FLOAT_BYTES_MAX];
    uint64_t whole, bits;

    if (exact) {
        if (v == 0.0 && tsu_codec.zero_signs_equal) v = 0.0;
        memcpy(&bits, &v, 8);
        bits ^= bits >> 63 ? ~(uint64_t)0 : (uint64_t)1 << 63;
        tsu_write_byte(w, ORD_EXACT_FLOAT);
        put_number(w, bits, 8);
        return;
    }
    if (v >= TWO_64 || v <= -TWO_64) {
        size_t n = tsu_float_magnitude(v, out);
        put_magnitude(w, v < 0, out, n);
        return;
    }
    float_split(v, &whole, &bits);
    tsu_write_bytes(w, out, number_put(out, v < 0, whole, bits));
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

static void put_node(tsu_writer *w, tsu_named *x)
{
    tsu_named_node(x);
    put_text(w, x->node, x->node_len, 0);
    put_number(w, x->creation, 4);
}

/* A token without children, or the beginning of one with: then the children follow. Lists and maps are the
 * caller's. *p is behind the token; for a fun it moves past the names. */
static void put_token(tsu_writer *w, const tsu_token *t, const uint8_t **p, bool exact)
{
    uint8_t   number[24];
    tsu_token name;
    tsu_named     x;

    switch (t->kind) {
    case TSU_INT:
        tsu_write_bytes(w, number, number_put(number, t->i < 0, int_size(t->i), 0));
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
        tsu_named_read(t, &x);
        tsu_write_byte(w, ORD_REF);
        put_node(w, &x);
        tsu_write_byte(w, (uint8_t)x.count);
        for (unsigned i = x.count; i-- > 0;) put_number(w, tsu_get32(x.words + 4 * i), 4);
        break;
    case TSU_PORT: case TSU_PORT_EXT:
        tsu_named_read(t, &x);
        tsu_write_byte(w, ORD_PORT);
        put_node(w, &x);
        put_number(w, x.number, 8);
        break;
    case TSU_PID: case TSU_PID_EXT:
        tsu_named_read(t, &x);
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
    case TSU_LEAST: case TSU_MOST:
        tsu_write_byte(w, t->kind == TSU_LEAST ? ORD_LEAST : ORD_MOST);
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

void tsu_order_encode_as(const uint8_t *term, bool exact, tsu_writer *w)
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
    tsu_order_encode_as(term, false, w);
}

/* ---- Heads ---- */

/* A head or text being put together: the first `max` bytes of an order key. `word` has those behind the last whole eight, the
 * first on top: they stay in a register, for who reads bytes just written one by one waits. */
typedef struct head {
    uint8_t *bytes;            /* room for max */
    uint64_t word;
    unsigned len, max;         /* past max nothing is kept */
} head;

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE bool head_cut(const head *h) { return h->len > h->max; }

ALWAYS_INLINE void head_put(head *h, uint64_t bytes, unsigned n)
{
    unsigned used = h->len % 8;

    h->word |= bytes >> 8 * used;
    if (used + n >= 8) {
        if (h->len < h->max) tsu_put64(h->bytes + (h->len - used), __builtin_bswap64(h->word));
        h->word = used == 0 ? 0 : bytes << (64 - 8 * used);
    }
    h->len += n;
}

ALWAYS_INLINE void head_byte(head *h, uint8_t byte) { head_put(h, (uint64_t)byte << 56, 1); }

/* n = 1..8 bytes, the first on top. */
ALWAYS_INLINE uint64_t bytes_top(const uint8_t *p, unsigned n)
{
    if (n >= 8) return __builtin_bswap64(tsu_get64(p));
    if (n >= 4)                                  /* two halves, which may overlap */
        return (uint64_t)__builtin_bswap32(tsu_get32(p)) << 32
               | (uint64_t)__builtin_bswap32(tsu_get32(p + n - 4)) << (64 - 8 * n);
    return (uint64_t)p[0] << 56 | (uint64_t)p[n / 2] << (56 - 8 * (n / 2)) | (uint64_t)p[n - 1] << (64 - 8 * n);
}

ALWAYS_INLINE void head_text(head *h, const uint8_t *text, size_t len, uint8_t close)
{
    const uint64_t ones = ~(uint64_t)0 / 255;

    while (len > 0 && !head_cut(h)) {
        unsigned n = len < 8 ? (unsigned)len : 8;
        uint64_t bytes = bytes_top(text, n), filled = bytes | (n < 8 ? ~(uint64_t)0 >> 8 * n : 0);

        if (TSU_LIKELY(((filled - ones) & ~filled & ones << 7) == 0)) {
            head_put(h, bytes, n);
        } else {                                 /* there is a 00 in it */
            for (unsigned i = 0; i < n; i++) {
                head_byte(h, text[i]);
                if (text[i] == 0) head_byte(h, 0xff);
            }
        }
        text += n;
        len -= n;
    }
    head_put(h, (uint64_t)close << 48, 2);
}

ALWAYS_INLINE void head_number(head *h, bool negative, uint64_t whole, uint64_t fraction)
{
    piece    p[2];
    unsigned count = number_pieces(p, negative, whole, fraction);

    head_put(h, p[0].bytes, p[0].n);
    if (count == 2) head_put(h, p[1].bytes, p[1].n);
}

/* The beginning, as it has more than a head in any case. */
static void head_magnitude(head *h, bool negative, const uint8_t *bytes, size_t len)
{
    uint8_t flip = negative ? 0xff : 0;

    head_byte(h, negative ? ORD_NEG_BIG : ORD_POS_BIG);
    head_put(h, (uint64_t)((uint32_t)len ^ (negative ? UINT32_MAX : 0)) << 32, 4);
    for (size_t i = len; i-- > 0 && !head_cut(h);) head_byte(h, bytes[i] ^ flip);
}

static void head_float(head *h, double v)
{
    uint8_t  out[TSU_FLOAT_BYTES_MAX];
    uint64_t whole, fraction;

    if (v >= TWO_64 || v <= -TWO_64) {
        head_magnitude(h, v < 0, out, tsu_float_magnitude(v, out));
        return;
    }
    float_split(v, &whole, &fraction);
    head_number(h, v < 0, whole, fraction);
}

/* At most `max` bytes, a multiple of 8, to where there are zeros; *kept: how many. False: something was cut off. */
ALWAYS_INLINE bool head_make(uint8_t *bytes, unsigned max, const uint8_t *term, unsigned *kept)
{
    struct { uint64_t left; frame_kind kind; } open[10];    /* for a head that is enough: each level puts a byte before it opens */
    unsigned  depth = 1;
    head      h = {bytes, 0, 0, max}, other;
    bool      whole = true;
    tsu_token t;
    size_t    len;

    open[0].left = 1;
    open[0].kind = SEQUENCE;
    while (depth > 0 && whole && !head_cut(&h)) {
        if (open[depth - 1].left == 0) {
            if (open[depth - 1].kind == LIST) head_byte(&h, ORD_NIL);
            depth--;
            continue;
        }
        if (open[depth - 1].kind == LIST || (open[depth - 1].kind == IMPROPER && open[depth - 1].left > 1)) {
            head_byte(&h, ORD_CONS);
            if (head_cut(&h)) break;
        }
        open[depth - 1].left--;
        tsu_term_next(&term, &t);
        switch (t.kind) {
        case TSU_INT:
            head_number(&h, t.i < 0, int_size(t.i), 0);
            break;
        case TSU_BIG: case TSU_FLOAT:
            other = h;                           /* so that h itself may stay in registers */
            if (t.kind == TSU_FLOAT) head_float(&other, t.f);
            else if (t.size > 8) head_magnitude(&other, t.flag, t.bytes, t.size);
            else head_number(&other, t.flag, tsu_get64(t.bytes), 0);
            h = other;
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
        case TSU_LEAST: case TSU_MOST:
            head_byte(&h, t.kind == TSU_LEAST ? ORD_LEAST : ORD_MOST);
            break;
        case TSU_STRING:
            for (uint64_t i = 0; i < t.size && !head_cut(&h); i++) {
                head_byte(&h, ORD_CONS);
                head_number(&h, false, t.bytes[i], 0);
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
                head_byte(&h, 0xff);
                head_put(&h, t.n, 8);
            }
            if (t.n == 0 || head_cut(&h)) break;
            if (t.kind == TSU_MAP || depth == 10) {          /* keys would have to be sorted first */
                whole = false;
                break;
            }
            open[depth].left = t.n;
            open[depth++].kind = SEQUENCE;
            break;
        case TSU_LIST:
            whole = depth < 10;
            if (!whole) break;
            open[depth].left = t.children;
            open[depth++].kind = t.flag ? IMPROPER : LIST;
            break;
        case TSU_PID: case TSU_PID_EXT: {
            tsu_named x;
            tsu_named_read(&t, &x);
            head_byte(&h, ORD_PID);
            head_put(&h, x.number, 8);
            whole = false;
            break;
        }
        case TSU_REF: case TSU_REF_EXT:
            head_byte(&h, ORD_REF);
            whole = false;
            break;
        case TSU_PORT: case TSU_PORT_EXT:
            head_byte(&h, ORD_PORT);
            whole = false;
            break;
        default:
            head_byte(&h, t.kind == TSU_FUN ? ORD_FUN : ORD_EXPORT);
            whole = false;
            break;
        }
    }
    if (h.len < max) tsu_put64(bytes + (h.len - h.len % 8), __builtin_bswap64(h.word));
    *kept = h.len < max ? h.len : max;
    return whole && !head_cut(&h);
}

uint64_t tsu_order_head_slow(const uint8_t *term, bool *exact)
{
    uint8_t  bytes[8];
    unsigned kept;

    tsu_put64(bytes, 0);
    *exact = head_make(bytes, 8, term, &kept);
    return __builtin_bswap64(tsu_get64(bytes));
}

void tsu_order_text(const uint8_t *term, tsu_text *out)
{
    unsigned kept;

    memset(out->bytes, 0, sizeof out->bytes);
    out->whole = head_make(out->bytes, TSU_TEXT_MAX, term, &kept);
    out->len = (uint8_t)kept;
}
