/* codec.c: writes, reads and checks encoded terms. No walk here recurses or allocates: in a
 * pre-order encoding a count of terms still to come is all the state that a walk needs. */
#include "term/codec.h"

tsu_codec_config tsu_codec;

/* ---- Writer ---- */

void tsu_writer_reset(tsu_writer *w)
{
    for (size_t i = 0; i < w->handle_count; i++) tsu_codec.release(w->handles[i]);
    w->handle_count = 0;
    w->len = 0;
    w->status = TSU_OK;
    w->key = w->share = w->loose = false;
}

static void handles_free(tsu_writer *w)
{
    if (w->handle_cap > TSU_HANDLES_FEW) tsu_env_free(w->handles, w->handle_cap * sizeof *w->handles);
}

void tsu_writer_deinit(tsu_writer *w)
{
    tsu_writer_reset(w);
    if (w->bytes != w->stack) tsu_env_free(w->bytes, w->cap);
    handles_free(w);
    tsu_writer_init(w, w->stack, w->stack_cap);
}

bool tsu_writer_grow(tsu_writer *w, size_t more)
{
    size_t   cap = w->cap < 64 ? 128 : w->cap * 2;
    uint8_t *bytes;

    if (w->status != TSU_OK) return false;
    if (more > SIZE_MAX / 4 - w->len) { w->status = TSU_LIMIT; return false; }
    if (cap < w->len + more) cap = w->len + more;
    if (w->bytes == w->stack) {
        bytes = tsu_env_alloc(cap);
        if (bytes != NULL && w->len > 0) memcpy(bytes, w->bytes, w->len);
    } else {
        bytes = tsu_env_realloc(w->bytes, w->cap, cap);
    }
    if (bytes == NULL) {
        w->status = TSU_NOMEM;
        return false;
    }
    w->bytes = bytes;
    w->cap = cap;
    return true;
}

void tsu_write_bytes(tsu_writer *w, const void *bytes, size_t len)
{
    if (len == 0 || w->status != TSU_OK || !tsu_writer_room(w, len)) return;
    memcpy(w->bytes + w->len, bytes, len);
    w->len += len;
}

void tsu_write_varint(tsu_writer *w, uint64_t v)
{
    if (!tsu_writer_room(w, TSU_VARINT_BYTES_MAX)) return;
    w->len = (size_t)(tsu_varint_put(w->bytes + w->len, v) - w->bytes);
}

void tsu_write_handle(tsu_writer *w, uint64_t handle)
{
    if (w->handle_count == w->handle_cap) {
        size_t    cap = w->handle_cap == 0 ? TSU_HANDLES_FEW : w->handle_cap * 4;
        uint64_t *handles = w->handle_cap == 0 ? w->few_handles : tsu_env_alloc(cap * sizeof *handles);
        if (handles == NULL) {
            w->status = TSU_NOMEM;
            tsu_codec.release(handle);
            return;
        }
        if (w->handle_cap > 0) memcpy(handles, w->handles, w->handle_cap * sizeof *handles);
        handles_free(w);
        w->handles = handles;
        w->handle_cap = cap;
    }
    w->handles[w->handle_count++] = handle;
    w->blob_end = 0;
}

void tsu_write_float(tsu_writer *w, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    if (bits == (uint64_t)1 << 63 && tsu_codec.zero_signs_equal) {
        if (w->key) bits = 0;
        else w->loose = true;
    }
    if (!tsu_writer_room(w, 9)) return;
    w->bytes[w->len] = TSU_TAG_FLOAT;
    tsu_put64(w->bytes + w->len + 1, bits);
    w->len += 9;
}

void tsu_write_big(tsu_writer *w, bool negative, const uint8_t *magnitude, size_t len)
{
    uint64_t v = 0;

    while (len > 0 && magnitude[len - 1] == 0) len--;
    if (len <= 8) {
        for (size_t i = 0; i < len; i++) v |= (uint64_t)magnitude[i] << (8 * i);
        if (!negative && v <= INT64_MAX) { tsu_write_int(w, (int64_t)v); return; }
        if (negative && v <= (uint64_t)1 << 63) { tsu_write_int(w, (int64_t)(0 - v)); return; }
    }
    tsu_write_byte(w, negative ? TSU_TAG_BIGNEG : TSU_TAG_BIGPOS);
    tsu_write_varint(w, len);
    tsu_write_bytes(w, magnitude, len);
}

/* A tag and a number, and room for so many bytes behind them. */
static bool write_begin(tsu_writer *w, uint8_t tag, uint64_t n, size_t more)
{
    uint8_t *p;

    if (w->status != TSU_OK) return false;
    if (more > SIZE_MAX / 4) { w->status = TSU_LIMIT; return false; }
    if (!tsu_writer_room(w, 1 + TSU_VARINT_BYTES_MAX + more)) return false;
    p = w->bytes + w->len;
    *p = tag;
    w->len = (size_t)(tsu_varint_put(p + 1, n) - w->bytes);
    return true;
}

void tsu_write_binary(tsu_writer *w, const void *bytes, size_t size)
{
    if (size < 32) {
        if (!tsu_writer_room(w, 1 + size)) return;
        w->bytes[w->len++] = (uint8_t)(TSU_TAG_BINARY0 + size);
    } else if (!write_begin(w, TSU_TAG_BINARY, size, size)) {
        return;
    }
    tsu_bytes_copy(w->bytes + w->len, bytes, size);
    w->len += size;
}

void tsu_write_bitstring(tsu_writer *w, const uint8_t *bytes, uint64_t bits)
{
    size_t   size = (size_t)(bits / 8);
    unsigned rest = (unsigned)(bits % 8);

    if (rest == 0) { tsu_write_binary(w, bytes, size); return; }
    tsu_write_byte(w, TSU_TAG_BITSTRING);
    tsu_write_varint(w, bits);
    tsu_write_bytes(w, bytes, size);
    tsu_write_byte(w, (uint8_t)(bytes[size] & (0xff00 >> rest)));
}

void tsu_write_blob(tsu_writer *w, uint64_t size, uint64_t handle)
{
    uint8_t bytes[8];

    tsu_put64(bytes, handle);
    tsu_write_byte(w, TSU_TAG_BLOB);
    tsu_write_varint(w, size);
    tsu_write_bytes(w, bytes, 8);
    w->loose = true;
    tsu_write_handle(w, handle);
    w->blob_end = w->len;
}

void tsu_write_string(tsu_writer *w, const uint8_t *bytes, size_t n)
{
    uint8_t *to = tsu_write_string_begin(w, n);

    if (to != NULL) memcpy(to, bytes, n);
}

uint8_t *tsu_write_string_begin(tsu_writer *w, size_t n)
{
    if (!write_begin(w, TSU_TAG_STRING, n, n)) return NULL;
    w->len += n;
    return w->bytes + w->len - n;
}

void tsu_write_list_begin(tsu_writer *w, uint64_t n, bool improper)
{
    write_begin(w, improper ? TSU_TAG_IMPROPER : TSU_TAG_LIST, n, 0);
}

void tsu_write_map_begin(tsu_writer *w, uint64_t n)
{
    write_begin(w, TSU_TAG_MAP, n, 0);
}

/* A pair while it is being moved: where it was, and where its handles were. */
typedef struct pair {
    size_t at, len, handle, handle_count;
} pair;

static int pair_compare(const uint8_t *bytes, const pair *a, const pair *b)
{
    /* No key is a prefix of another (K2), so the shorter pair decides nothing by its length. */
    return memcmp(bytes + a->at, bytes + b->at, a->len < b->len ? a->len : b->len);
}

static void pairs_sift(const uint8_t *bytes, pair *pairs, size_t root, size_t n)
{
    pair moved = pairs[root];

    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= n) break;
        if (child + 1 < n && pair_compare(bytes, &pairs[child], &pairs[child + 1]) < 0) child++;
        if (pair_compare(bytes, &moved, &pairs[child]) >= 0) break;
        pairs[root] = pairs[child];
        root = child;
    }
    pairs[root] = moved;
}

/* Insertion for few, a heap for many: no recursion, no memory, no bad case. */
static void pairs_sort(const uint8_t *bytes, pair *pairs, size_t n)
{
    pair moved;

    if (n <= 16) {
        for (size_t i = 1; i < n; i++) {
            size_t j = i;
            moved = pairs[i];
            for (; j > 0 && pair_compare(bytes, &moved, &pairs[j - 1]) < 0; j--) pairs[j] = pairs[j - 1];
            pairs[j] = moved;
        }
        return;
    }
    for (size_t i = n / 2; i-- > 0;) pairs_sift(bytes, pairs, i, n);
    for (size_t i = n - 1; i > 0; i--) {
        moved = pairs[0];
        pairs[0] = pairs[i];
        pairs[i] = moved;
        pairs_sift(bytes, pairs, 0, i);
    }
}

void tsu_write_map_end(tsu_writer *w, tsu_map_mark *marks, size_t n)
{
    pair      few[16];
    pair     *pairs = few;
    bool      sorted = true;
    size_t    begin, bytes, handles;
    uint8_t  *copy;
    uint64_t *handle_copy;
    size_t    scratch;

    if (w->status != TSU_OK || n < 2) return;
    for (size_t i = 1; i < n && sorted; i++) {
        size_t a = marks[i].at - marks[i - 1].at, b = marks[i + 1].at - marks[i].at;
        sorted = memcmp(w->bytes + marks[i - 1].at, w->bytes + marks[i].at, a < b ? a : b) < 0;
    }
    if (sorted) return;
    begin = marks[0].at;
    bytes = marks[n].at - begin;
    handles = marks[n].handle - marks[0].handle;
    scratch = bytes + handles * 8 + 8;
    if (n > 16) pairs = tsu_env_alloc(n * sizeof *pairs);
    copy = tsu_env_alloc(scratch);
    if (pairs == NULL || copy == NULL) {
        w->status = TSU_NOMEM;
    } else {
        uint8_t  *to = w->bytes + begin;
        uint64_t *handle_to = handles > 0 ? w->handles + marks[0].handle : NULL;

        handle_copy = (uint64_t *)copy;                  /* first, for its alignment */
        if (handles > 0) memcpy(handle_copy, handle_to, handles * 8);
        memcpy(copy + handles * 8, to, bytes);
        for (size_t i = 0; i < n; i++)
            pairs[i] = (pair){marks[i].at - begin, marks[i + 1].at - marks[i].at,
                              marks[i].handle - marks[0].handle, marks[i + 1].handle - marks[i].handle};
        pairs_sort(copy + handles * 8, pairs, n);
        for (size_t i = 0; i < n; i++) {
            memcpy(to, copy + handles * 8 + pairs[i].at, pairs[i].len);
            to += pairs[i].len;
            if (pairs[i].handle_count > 0) {
                memcpy(handle_to, handle_copy + pairs[i].handle, pairs[i].handle_count * 8);
                handle_to += pairs[i].handle_count;
            }
        }
    }
    if (copy != NULL) tsu_env_free(copy, scratch);
    if (pairs != NULL && pairs != few) tsu_env_free(pairs, n * sizeof *pairs);
}

/* What was moved since it was written is looked at. */
static bool ends_in_its_blob(const tsu_writer *w, const tsu_object_mark *mark)
{
    const uint8_t *end = w->bytes + w->len, *p = w->bytes + mark->at + 2;

    if (w->status != TSU_OK || end - p < 8 || tsu_get64(end - 8) != w->handles[mark->handle]) return false;
    if (TSU_LIKELY(w->blob_end == w->len)) return true;
    if ((w->bytes[mark->at] & TSU_OBJECT_ARITY) == TSU_OBJECT_ARITY) (void)tsu_varint_get(&p);
    return tsu_terms_end_in_blob(p, end);
}

void tsu_write_object_end_slow(tsu_writer *w, const tsu_object_mark *mark)
{
    size_t  handles = w->handle_count - mark->handle;
    uint8_t flags = (uint8_t)((handles > 0 ? TSU_OBJECT_HANDLES : 0) | (w->loose ? TSU_OBJECT_LOOSE : 0));
    size_t  len, n;

    if (handles == 1 && ends_in_its_blob(w, mark)) {
        flags |= TSU_OBJECT_LAST;
    } else if (handles > 0) {
        uint8_t count[4];
        if (handles > UINT32_MAX) { w->status = TSU_LIMIT; return; }
        tsu_put32(count, (uint32_t)handles);
        tsu_write_bytes(w, w->handles + mark->handle, handles * 8);
        tsu_write_bytes(w, count, 4);
    }
    if (w->status != TSU_OK) return;
    len = w->len - mark->at;                 /* with one byte of length */
    for (n = 1; tsu_varint_size(len + n - 1) != n; n++) {}
    if (n > 1) {
        if (!tsu_writer_room(w, n - 1)) return;
        memmove(w->bytes + mark->at + 1 + n, w->bytes + mark->at + 2, len - 2);
        w->len += n - 1;
    }
    tsu_varint_put(w->bytes + mark->at + 1, len + n - 1);
    w->bytes[mark->at] |= flags;
}

/* ---- Reader ---- */

static inline int64_t int_read(const uint8_t *p, unsigned n)
{
    uint64_t v;
    unsigned shift = 64 - 8 * n;

    if (n >= 4) {
        v = tsu_get32(p);
        v |= (uint64_t)tsu_get32(p + n - 4) << (8 * (n - 4));
    } else {
        v = p[0] | (uint64_t)p[n >> 1] << (8 * (n >> 1)) | (uint64_t)p[n - 1] << (8 * (n - 1));
    }
    return (int64_t)(v << shift) >> shift;
}

/* A varint that must be minimal and stay inside. */
static bool varint_checked(const uint8_t **p, const uint8_t *end, uint64_t *out)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 9 && *p < end; i++) {
        uint8_t b = *(*p)++;
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (b < 0x80) {
            *out = v;
            return i == 0 || b != 0;
        }
    }
    return false;                            /* 2^63 and more is no size of anything */
}

#define NEED(bytes_) do { if (checked && (uint64_t)(end - q) < (uint64_t)(bytes_)) return false; } while (0)
#define VARINT(v_) \
    do { if (checked) { if (!varint_checked(&q, end, &(v_))) return false; } else (v_) = tsu_varint_get(&q); } while (0)
#define MUST(cond_) do { if (checked && !(cond_)) return false; } while (0)

/* One token; with `checked` nothing is believed, and false means malformed. The two uses are
 * compiled apart. */
static inline __attribute__((always_inline)) bool token_read(const uint8_t **p, const uint8_t *end, tsu_token *t, bool checked)
{
    const uint8_t *q = *p;
    uint64_t       n;
    uint8_t        tag;

    NEED(1);
    tag = *q++;
    t->flag = false;
    t->children = 0;
    if (tag < 0x80) {
        t->kind = TSU_INT;
        t->i = (int64_t)tag - 16;
        *p = q;
        return true;
    }
    if (tag >= TSU_TAG_TUPLE0) {
        MUST(tag < TSU_TAG_TUPLE0 + 16);
        t->kind = TSU_TUPLE;
        t->n = t->children = tag - TSU_TAG_TUPLE0;
        MUST(t->children <= (uint64_t)(end - q));
        *p = q;
        return true;
    }
    if (tag >= TSU_TAG_BINARY0) {
        n = tag - TSU_TAG_BINARY0;
        NEED(n);
        t->kind = TSU_BINARY;
        t->bytes = q;
        t->size = n;
        *p = q + n;
        return true;
    }
    switch (tag) {
    case 0x80: case 0x81: case 0x82: case 0x83: case 0x84: case 0x85: case 0x86: case 0x87:
        n = (uint64_t)tag - 0x80 + 1;
        NEED(n);
        t->kind = TSU_INT;
        t->i = int_read(q, (unsigned)n);
        if (checked) {
            if (n == 1) MUST(t->i < -16 || t->i > 111);
            else MUST(t->i >> (8 * n - 9) != 0 && t->i >> (8 * n - 9) != -1);
        }
        q += n;
        break;
    case TSU_TAG_BIGPOS: case TSU_TAG_BIGNEG:
        VARINT(n);
        NEED(n);
        t->kind = TSU_BIG;
        t->flag = tag == TSU_TAG_BIGNEG;
        t->bytes = q;
        t->size = n;
        if (checked) {
            MUST(n >= 8);
            MUST(q[n - 1] != 0);
            if (n == 8) {
                uint64_t v = tsu_get64(q);
                MUST(v > (t->flag ? (uint64_t)1 << 63 : (uint64_t)INT64_MAX));
            }
        }
        q += n;
        break;
    case TSU_TAG_FLOAT:
        NEED(8);
        t->kind = TSU_FLOAT;
        memcpy(&t->f, q, 8);
        MUST((tsu_get64(q) >> 52 & 0x7ff) != 0x7ff);       /* Erlang has no infinities */
        q += 8;
        break;
    case TSU_TAG_ATOM4:
        NEED(4);
        t->kind = TSU_ATOM;
        t->n = tsu_get32(q);
        q += 4;
        break;
    case TSU_TAG_ATOM8:
        NEED(8);
        t->kind = TSU_ATOM;
        t->n = tsu_get64(q);
        MUST(t->n > UINT32_MAX);
        q += 8;
        break;
    case TSU_TAG_NIL:
        t->kind = TSU_NIL;
        break;
    case TSU_TAG_BINARY:
        VARINT(n);
        MUST(n >= 32);
        NEED(n);
        t->kind = TSU_BINARY;
        t->bytes = q;
        t->size = n;
        q += n;
        break;
    case TSU_TAG_BITSTRING:
        VARINT(n);
        MUST(n % 8 != 0);
        NEED(n / 8 + 1);
        t->kind = TSU_BITSTRING;
        t->n = n;
        t->bytes = q;
        t->size = n / 8 + 1;
        MUST((q[n / 8] & (0xff >> (n % 8))) == 0);
        q += t->size;
        break;
    case TSU_TAG_BLOB:
        VARINT(n);
        NEED(8);
        t->kind = TSU_BLOB;
        t->size = n;
        t->n = tsu_get64(q);
        t->bytes = NULL;
        q += 8;
        break;
    case TSU_TAG_STRING:
        VARINT(n);
        MUST(n >= 1);
        NEED(n);
        t->kind = TSU_STRING;
        t->bytes = q;
        t->size = n;
        q += n;
        break;
    case TSU_TAG_LIST: case TSU_TAG_IMPROPER:
        VARINT(n);
        MUST(n >= 1);
        NEED(n);
        t->kind = TSU_LIST;
        t->flag = tag == TSU_TAG_IMPROPER;
        t->n = n;
        t->children = n + t->flag;
        break;
    case TSU_TAG_TUPLE:
        VARINT(n);
        MUST(n >= 16);
        NEED(n);
        t->kind = TSU_TUPLE;
        t->n = t->children = n;
        break;
    case TSU_TAG_MAP:
        VARINT(n);
        MUST(n <= INT64_MAX / 2);
        NEED(2 * n);
        t->kind = TSU_MAP;
        t->n = n;
        t->children = 2 * n;
        break;
    case TSU_TAG_PID: case TSU_TAG_PORT:
        NEED(8);
        t->kind = tag == TSU_TAG_PID ? TSU_PID : TSU_PORT;
        t->n = tsu_get64(q);
        q += 8;
        break;
    case TSU_TAG_REF: case TSU_TAG_REF_MAGIC:
        NEED(12);
        t->kind = TSU_REF;
        t->flag = tag == TSU_TAG_REF_MAGIC;
        t->bytes = q;
        t->size = 12;
        q += 12;
        break;
    case TSU_TAG_REF_LONG:
        NEED(1);
        n = *q++;
        MUST(n == 4 || n == 5);
        NEED(4 * n);
        t->kind = TSU_REF;
        t->bytes = q;
        t->size = 4 * n;
        MUST(tsu_get32(q + 4 * n - 4) != 0);
        q += 4 * n;
        break;
    case TSU_TAG_PID_EXT: case TSU_TAG_PORT_EXT: case TSU_TAG_REF_EXT:
        t->bytes = q;
        NEED(2);
        n = (uint64_t)(q[0] | q[1] << 8);
        NEED(2 + n + 4);
        q += 2 + n + 4;
        if (tag == TSU_TAG_REF_EXT) {
            NEED(1);
            n = *q++;
            MUST(n >= 1 && n <= 5);
            NEED(4 * n);
            MUST(n == 1 || tsu_get32(q + 4 * n - 4) != 0);
            q += 4 * n;
            t->kind = TSU_REF_EXT;
        } else {
            NEED(8);
            q += 8;
            t->kind = tag == TSU_TAG_PID_EXT ? TSU_PID_EXT : TSU_PORT_EXT;
        }
        t->size = (uint64_t)(q - t->bytes);
        break;
    case TSU_TAG_FUN:
        NEED(31);
        t->kind = TSU_FUN;
        t->bytes = q;
        t->size = 30;
        t->children = 1 + (uint64_t)q[29];
        MUST(q[30] == TSU_TAG_ATOM4 || q[30] == TSU_TAG_ATOM8);
        q += 30;
        break;
    case TSU_TAG_EXPORT:
        NEED(2);
        t->kind = TSU_EXPORT;
        t->bytes = q;
        t->size = 1;
        t->children = 2;
        q += 1;
        if (checked) {
            const uint8_t *r = q;
            for (int i = 0; i < 2; i++) {
                MUST(r < end);
                MUST(*r == TSU_TAG_ATOM4 || *r == TSU_TAG_ATOM8);
                n = *r == TSU_TAG_ATOM4 ? 5 : 9;
                MUST((uint64_t)(end - r) >= n);
                r += n;
            }
        }
        break;
    case TSU_TAG_LEAST: case TSU_TAG_MOST:
        MUST(false);
        t->kind = tag == TSU_TAG_LEAST ? TSU_LEAST : TSU_MOST;
        break;
    default:
        if (checked) return false;
        UNREACHABLE();
    }
    *p = q;
    return true;
}

void tsu_term_next_slow(const uint8_t **p, tsu_token *t)
{
    token_read(p, NULL, t, false);
}

void tsu_term_skip_slow(const uint8_t **p)
{
    const uint8_t *q = *p;
    uint64_t       left = 1;

    for (; left > 0; left--) {
        unsigned  tag = *q;
        tsu_token t;

        /* what most parts are, without a token */
        if (tag < TSU_TAG_INT) {
            q++;
        } else if (tag < TSU_TAG_BIGPOS) {
            q += tag - TSU_TAG_INT + 2;
        } else if (tag == TSU_TAG_ATOM4) {
            q += 5;
        } else if (tag >= TSU_TAG_TUPLE0 && tag < TSU_TAG_TUPLE0 + 16) {
            q++;
            left += tag - TSU_TAG_TUPLE0;
        } else if (tag >= TSU_TAG_BINARY0 && tag < TSU_TAG_TUPLE0) {
            q += 1 + tag - TSU_TAG_BINARY0;
        } else {
            tsu_term_next(&q, &t);
            left += t.children;
        }
    }
    *p = q;
}

bool tsu_term_is_clean(const uint8_t *p, const uint8_t *end)
{
    tsu_token t;

    while (p < end) {
        tsu_term_next(&p, &t);
        if (t.kind == TSU_BLOB) return false;
        if (t.kind == TSU_FLOAT && tsu_codec.zero_signs_equal && t.f == 0.0 && tsu_get64(p - 8) != 0) return false;
    }
    return true;
}

/* What the shape of one token does not show: order of a map's keys, and lists that have a shorter form. Behind
 * the token; everything after it is already known to be well-formed. */
static bool children_are_canonical(const tsu_token *t, const uint8_t *p)
{
    const uint8_t *before = NULL;
    size_t         before_len = 0;
    bool           all_bytes = true;

    if (t->kind == TSU_MAP) {
        for (uint64_t i = 0; i < t->n; i++) {
            size_t len = tsu_term_len(p);
            if (!tsu_term_is_clean(p, p + len)) return false;
            if (before != NULL && memcmp(before, p, len < before_len ? len : before_len) >= 0) return false;
            before = p;
            before_len = len;
            p += len;
            tsu_term_skip(&p);
        }
    } else if (t->kind == TSU_LIST && !t->flag) {
        for (uint64_t i = 0; i < t->n && all_bytes; i++) {
            int64_t v;
            all_bytes = tsu_term_int64(p, &v) && v >= 0 && v <= 255;
            if (all_bytes) tsu_term_skip(&p);
        }
        if (all_bytes) return false;
    } else if (t->kind == TSU_LIST) {
        for (uint64_t i = 0; i < t->n; i++) tsu_term_skip(&p);
        if (*p >= TSU_TAG_STRING && *p <= TSU_TAG_IMPROPER) return false;
        if (*p == TSU_TAG_NIL) return false;
    }
    return true;
}

/* `count` well-formed terms from *p; counts what the object's prefix and trailer have to say. */
static bool terms_check(const uint8_t **p, const uint8_t *end, uint64_t count, uint64_t *handles, bool *loose)
{
    const uint8_t *begin = *p;
    const uint8_t *q;
    tsu_token      t;

    for (uint64_t left = count; left > 0;) {
        if (!token_read(p, end, &t, true)) return false;
        left += t.children - 1;
        if (left > (uint64_t)(end - *p)) return false;          /* each takes a byte at least */
        if (t.kind == TSU_BLOB || (t.kind == TSU_REF && t.flag)) (*handles)++;
        if (t.kind == TSU_BLOB) *loose = true;
        if (t.kind == TSU_FLOAT && t.f == 0.0 && tsu_get64(*p - 8) != 0 && tsu_codec.zero_signs_equal) *loose = true;
    }
    for (q = begin; q < *p;) {
        tsu_term_next(&q, &t);
        if (!children_are_canonical(&t, q)) return false;
    }
    return true;
}

tsu_status tsu_term_validate(const uint8_t *bytes, size_t len, bool key)
{
    const uint8_t *p = bytes;
    uint64_t       handles = 0;
    bool           loose = false;

    if (!terms_check(&p, bytes + len, 1, &handles, &loose)) return TSU_CORRUPT;
    if (p != bytes + len) return TSU_CORRUPT;
    if (key && !tsu_term_is_clean(bytes, p)) return TSU_CORRUPT;
    return TSU_OK;
}

tsu_status tsu_codec_validate(const uint8_t *bytes, size_t len)
{
    const uint8_t *p = bytes + 1;
    const uint8_t *end = bytes + len;
    const uint8_t *trailer, *q;
    uint64_t       total, arity, handles = 0, at = 0;
    bool           loose = false, last;
    tsu_token      t;

    if (len < 2) return TSU_CORRUPT;
    if (bytes[0] & 0x80) return TSU_CORRUPT;
    if (!varint_checked(&p, end, &total) || total != len) return TSU_CORRUPT;
    arity = bytes[0] & TSU_OBJECT_ARITY;
    if (arity == 15 && (!varint_checked(&p, end, &arity) || arity < 15)) return TSU_CORRUPT;
    if (arity > (uint64_t)(end - p)) return TSU_CORRUPT;
    q = p;
    if (!terms_check(&p, end, arity, &handles, &loose)) return TSU_CORRUPT;
    if (loose && !(bytes[0] & TSU_OBJECT_LOOSE)) return TSU_CORRUPT;
    last = handles == 1 && tsu_terms_end_in_blob(q, p);
    if (last != ((bytes[0] & TSU_OBJECT_LAST) != 0) || (handles > 0) != ((bytes[0] & TSU_OBJECT_HANDLES) != 0)) return TSU_CORRUPT;
    if (handles == 0 || last) return p == end ? TSU_OK : TSU_CORRUPT;
    if (handles > UINT32_MAX || (uint64_t)(end - p) != handles * 8 + 4) return TSU_CORRUPT;
    if (tsu_get32(end - 4) != handles) return TSU_CORRUPT;
    for (trailer = p; q < trailer;) {           /* a blob has the same handle in both places */
        tsu_term_next(&q, &t);
        if (t.kind != TSU_BLOB && !(t.kind == TSU_REF && t.flag)) continue;
        if (t.kind == TSU_BLOB && tsu_get64(trailer + 8 * at) != t.n) return TSU_CORRUPT;
        at++;
    }
    return TSU_OK;
}
