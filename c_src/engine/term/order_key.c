/* order_key.c: terms written so that memcmp orders them, and heads: the first bytes of that. */
#include "term/order_inner.h"

enum {
    ORD_NEG_BIG = 0x10, ORD_NEG_64, ORD_ZERO = 0x19, ORD_POS_64 = 0x21, ORD_POS_BIG, ORD_EXACT_FLOAT,
    ORD_ATOM = 0x30, ORD_REF = 0x40, ORD_FUN = 0x50, ORD_EXPORT, ORD_PORT = 0x58, ORD_PID = 0x60,
    ORD_TUPLE = 0x70, ORD_MAP = 0x80, ORD_NIL = 0x90, ORD_CONS = 0xa0, ORD_BITS = 0xb0
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
    uint8_t  out[TSU_FLOAT_BYTES_MAX];
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
        size_t n = tsu_float_magnitude(v, out);
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

/* A head or text being put together: `max` bytes, then it is full; cut: nothing more may go in. */
typedef struct head {
    uint8_t *bytes;
    unsigned len, max;
    bool     cut;
} head;

static void head_put(head *h, const uint8_t *bytes, size_t len)
{
    size_t room = h->max - h->len;

    if (len > room) {
        len = room;
        h->cut = true;
    }
    memcpy(h->bytes + h->len, bytes, len);
    h->len += (unsigned)len;
}

static void head_byte(head *h, uint8_t byte) { head_put(h, &byte, 1); }

static void head_text(head *h, const uint8_t *text, size_t len, uint8_t close)
{
    while (len > 0 && !h->cut) {
        size_t         look = len < TSU_TEXT_MAX ? len : TSU_TEXT_MAX;
        const uint8_t *zero = memchr(text, 0, look);
        size_t         n = zero != NULL ? (size_t)(zero - text) + 1 : look;

        head_put(h, text, n);
        if (zero != NULL) head_byte(h, 0xff);
        text += n;
        len -= n;
    }
    head_byte(h, 0);
    head_byte(h, close);
}

/* A number, but for those whose key has more than a head in any case: these only begin. */
static void head_number(head *h, const tsu_token *t)
{
    uint8_t    buffer[TSU_FLOAT_BYTES_MAX + 16];
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

static void head_make(head *into, const uint8_t *term)
{
    struct { uint64_t left; frame_kind kind; } open[10];    /* for a head that is enough: each level puts a byte before it opens */
    unsigned  depth = 1;
    head      h = *into;
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
            tsu_named   x;
            uint8_t n[8];
            tsu_named_read(&t, &x);
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
    *into = h;
}

uint64_t tsu_order_head_slow(const uint8_t *term, bool *exact)
{
    uint8_t bytes[8] = {0};
    head    h = {bytes, 0, 8, false};

    head_make(&h, term);
    *exact = !h.cut;
    return __builtin_bswap64(tsu_get64(bytes));
}

void tsu_order_text(const uint8_t *term, tsu_text *out)
{
    head h = {out->bytes, 0, TSU_TEXT_MAX, false};

    memset(out->bytes, 0, sizeof out->bytes);
    head_make(&h, term);
    out->len = (uint8_t)h.len;
    out->whole = !h.cut;
}
