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
    w->key = w->loose = false;
}

void tsu_writer_deinit(tsu_writer *w)
{
    tsu_writer_reset(w);
    if (w->bytes != w->stack) tsu_env_free(w->bytes, w->cap);
    if (w->handles != NULL) tsu_env_free(w->handles, w->handle_cap * sizeof *w->handles);
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
        size_t    cap = w->handle_cap == 0 ? 8 : w->handle_cap * 2;
        uint64_t *handles = tsu_env_realloc(w->handles, w->handle_cap * sizeof *handles, cap * sizeof *handles);
        if (handles == NULL) {
            w->status = TSU_NOMEM;
            tsu_codec.release(handle);
            return;
        }
        w->handles = handles;
        w->handle_cap = cap;
    }
    w->handles[w->handle_count++] = handle;
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

void tsu_write_binary(tsu_writer *w, const void *bytes, size_t size)
{
    if (size < 32) {
        tsu_write_byte(w, (uint8_t)(TSU_TAG_BINARY0 + size));
    } else {
        tsu_write_byte(w, TSU_TAG_BINARY);
        tsu_write_varint(w, size);
    }
    tsu_write_bytes(w, bytes, size);
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
}

void tsu_write_string(tsu_writer *w, const uint8_t *bytes, size_t n)
{
    tsu_write_byte(w, TSU_TAG_STRING);
    tsu_write_varint(w, n);
    tsu_write_bytes(w, bytes, n);
}

void tsu_write_list_begin(tsu_writer *w, uint64_t n, bool improper)
{
    tsu_write_byte(w, improper ? TSU_TAG_IMPROPER : TSU_TAG_LIST);
    tsu_write_varint(w, n);
}

void tsu_write_map_begin(tsu_writer *w, uint64_t n)
{
    tsu_write_byte(w, TSU_TAG_MAP);
    tsu_write_varint(w, n);
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

void tsu_write_object_begin(tsu_writer *w, size_t arity, tsu_object_mark *mark)
{
    mark->at = w->len;
    mark->handle = w->handle_count;
    w->loose = false;
    /* One byte for the length, which is enough nearly always; end moves the rest if it is not. */
    if (!tsu_writer_room(w, 2 + TSU_VARINT_BYTES_MAX)) return;
    w->bytes[w->len] = (uint8_t)(arity < 15 ? arity : 15);
    w->len += 2;
    if (arity >= 15) w->len = (size_t)(tsu_varint_put(w->bytes + w->len, arity) - w->bytes);
}

void tsu_write_object_end(tsu_writer *w, size_t arity, const tsu_object_mark *mark)
{
    size_t  handles = w->handle_count - mark->handle;
    size_t  len, n;

    (void)arity;
    if (handles > 0) {
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
    w->bytes[mark->at] |= (uint8_t)((handles > 0 ? TSU_OBJECT_HANDLES : 0) | (w->loose ? TSU_OBJECT_LOOSE : 0));
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
    tsu_token t;
    uint64_t  left = 1;

    while (left > 0) {
        tsu_term_next(p, &t);
        left += t.children - 1;
    }
}

/* Whether a key has only what a key may have. */
static bool key_is_clean(const uint8_t *p, const uint8_t *end)
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
            if (!key_is_clean(p, p + len)) return false;
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
    if (key && !key_is_clean(bytes, p)) return TSU_CORRUPT;
    return TSU_OK;
}

tsu_status tsu_codec_validate(const uint8_t *bytes, size_t len)
{
    const uint8_t *p = bytes + 1;
    const uint8_t *end = bytes + len;
    const uint8_t *trailer, *q;
    uint64_t       total, arity, handles = 0, at = 0;
    bool           loose = false;
    tsu_token      t;

    if (len < 2) return TSU_CORRUPT;
    if (bytes[0] & 0xc0) return TSU_CORRUPT;
    if (!varint_checked(&p, end, &total) || total != len) return TSU_CORRUPT;
    arity = bytes[0] & TSU_OBJECT_ARITY;
    if (arity == 15 && (!varint_checked(&p, end, &arity) || arity < 15)) return TSU_CORRUPT;
    if (arity > (uint64_t)(end - p)) return TSU_CORRUPT;
    q = p;
    if (!terms_check(&p, end, arity, &handles, &loose)) return TSU_CORRUPT;
    if (loose && !(bytes[0] & TSU_OBJECT_LOOSE)) return TSU_CORRUPT;
    if (!(bytes[0] & TSU_OBJECT_HANDLES)) return p == end && handles == 0 ? TSU_OK : TSU_CORRUPT;
    if (handles == 0 || handles > UINT32_MAX) return TSU_CORRUPT;
    if ((uint64_t)(end - p) != handles * 8 + 4) return TSU_CORRUPT;
    if (tsu_get32(end - 4) != handles) return TSU_CORRUPT;
    for (trailer = p; q < trailer;) {           /* a blob has the same handle in both places */
        tsu_term_next(&q, &t);
        if (t.kind != TSU_BLOB && !(t.kind == TSU_REF && t.flag)) continue;
        if (t.kind == TSU_BLOB && tsu_get64(trailer + 8 * at) != t.n) return TSU_CORRUPT;
        at++;
    }
    return TSU_OK;
}

/* ---- Objects ---- */

const uint8_t *tsu_object_element_slow(const uint8_t *obj, size_t pos, size_t *len)
{
    size_t         arity;
    const uint8_t *p = tsu_object_elements(obj, &arity);

    DCHECK(pos >= 1 && pos <= arity);
    for (size_t i = 1; i < pos; i++) tsu_term_skip(&p);
    *len = tsu_term_len(p);
    return p;
}

const uint8_t *tsu_object_handles(const uint8_t *obj, size_t *count)
{
    const uint8_t *end = obj + tsu_object_len(obj);

    *count = 0;
    if (!(obj[0] & TSU_OBJECT_HANDLES)) return end;
    *count = tsu_get32(end - 4);
    return end - 4 - 8 * *count;
}

void tsu_object_release(const uint8_t *obj, void (*release)(uint64_t handle))
{
    size_t         count;
    const uint8_t *handles;

    if (TSU_LIKELY(!(obj[0] & TSU_OBJECT_HANDLES))) return;
    handles = tsu_object_handles(obj, &count);
    for (size_t i = 0; i < count; i++) release(tsu_get64(handles + 8 * i));
}

void tsu_object_retain(const uint8_t *obj, void (*retain)(uint64_t handle))
{
    tsu_object_release(obj, retain);            /* the same walk */
}

/* `count` terms from each side, token by token; the few that are equal with other bytes are known here. */
static bool terms_same(const uint8_t *a, const uint8_t *b, uint64_t count)
{
    tsu_token x, y;

    for (uint64_t left = count; left > 0;) {
        const uint8_t *a0 = a, *b0 = b;

        tsu_term_next(&a, &x);
        tsu_term_next(&b, &y);
        if (x.kind == TSU_BLOB || y.kind == TSU_BLOB) {
            const uint8_t *xs, *ys;
            if (x.kind != TSU_BLOB && x.kind != TSU_BINARY) return false;
            if (y.kind != TSU_BLOB && y.kind != TSU_BINARY) return false;
            if (x.size != y.size) return false;
            xs = tsu_token_bytes(&x);
            ys = tsu_token_bytes(&y);
            if (xs != ys && memcmp(xs, ys, x.size) != 0) return false;
        } else if (x.kind == TSU_FLOAT && y.kind == TSU_FLOAT && tsu_codec.zero_signs_equal) {
            if (x.f != y.f) return false;
        } else {
            if (a - a0 != b - b0 || memcmp(a0, b0, (size_t)(a - a0)) != 0) return false;
        }
        left += x.children - 1;
    }
    return true;
}

bool tsu_term_same(const uint8_t *a, const uint8_t *b)
{
    return terms_same(a, b, 1);
}

bool tsu_object_same(const uint8_t *a, const uint8_t *b)
{
    size_t         arity, arity_b, n;
    const uint8_t *p = tsu_object_elements(a, &arity);
    const uint8_t *q = tsu_object_elements(b, &arity_b);
    size_t         a_len, b_len;

    if (arity != arity_b) return false;
    if ((a[0] | b[0]) & TSU_OBJECT_LOOSE) return terms_same(p, q, arity);
    a_len = (size_t)(tsu_object_handles(a, &n) - p);
    b_len = (size_t)(tsu_object_handles(b, &n) - q);
    return a_len == b_len && memcmp(p, q, a_len) == 0;
}

/* Handles that the terms in [p, end) own. */
static size_t handles_within(const uint8_t *p, const uint8_t *end)
{
    tsu_token t;
    size_t    n = 0;

    while (p < end) {
        tsu_term_next(&p, &t);
        n += t.kind == TSU_BLOB || (t.kind == TSU_REF && t.flag);
    }
    return n;
}

tsu_status tsu_object_replace(const uint8_t *old, const tsu_change *changes, size_t count, tsu_writer *w)
{
    size_t          arity, n;
    const uint8_t  *p = tsu_object_elements(old, &arity);
    const uint8_t  *handles = tsu_object_handles(old, &n);
    bool            has_handles = n > 0;
    bool            loose = (old[0] & TSU_OBJECT_LOOSE) != 0;
    tsu_object_mark mark;

    tsu_write_object_begin(w, arity, &mark);
    for (size_t pos = 1; pos <= arity; pos++) {
        const uint8_t    *term = p;
        const tsu_change *change = NULL;
        size_t            own = 0;

        tsu_term_skip(&p);
        if (has_handles) own = handles_within(term, p);
        for (size_t i = count; i-- > 0 && change == NULL;)
            if (changes[i].pos == pos) change = &changes[i];
        if (change == NULL) {
            tsu_write_bytes(w, term, (size_t)(p - term));
            for (size_t i = 0; i < own && w->status == TSU_OK; i++) {
                tsu_codec.retain(tsu_get64(handles + 8 * i));
                tsu_write_handle(w, tsu_get64(handles + 8 * i));
            }
        } else {
            tsu_write_bytes(w, change->term, change->len);
            for (size_t i = 0; i < change->handle_count && w->status == TSU_OK; i++) {
                tsu_codec.retain(change->handles[i]);
                tsu_write_handle(w, change->handles[i]);
            }
            loose = loose || change->loose;
        }
        handles += 8 * own;
    }
    w->loose = loose;
    tsu_write_object_end(w, arity, &mark);
    return w->status;
}

/* ---- Integers ---- */

/* Any integer as sign and magnitude; `small` holds what INT has no bytes for. */
typedef struct integer {
    bool           negative;
    const uint8_t *bytes;
    size_t         len;
    uint8_t        small[8];
} integer;

static void integer_read(const uint8_t *term, integer *x)
{
    tsu_token t;

    tsu_term_next(&term, &t);
    if (t.kind == TSU_INT) {
        x->negative = t.i < 0;
        tsu_put64(x->small, t.i < 0 ? 0 - (uint64_t)t.i : (uint64_t)t.i);
        x->bytes = x->small;
        for (x->len = 8; x->len > 0 && x->small[x->len - 1] == 0;) x->len--;
    } else {
        DCHECK(t.kind == TSU_BIG);
        x->negative = t.flag;
        x->bytes = t.bytes;
        x->len = (size_t)t.size;
    }
}

static int magnitude_compare(const integer *a, const integer *b)
{
    if (a->len != b->len) return a->len < b->len ? -1 : 1;
    for (size_t i = a->len; i-- > 0;)
        if (a->bytes[i] != b->bytes[i]) return a->bytes[i] < b->bytes[i] ? -1 : 1;
    return 0;
}

int tsu_int_compare(const uint8_t *a, const uint8_t *b)
{
    int64_t x, y;
    integer m, n;
    int     c;

    if (tsu_term_int64(a, &x) && tsu_term_int64(b, &y)) return x < y ? -1 : x > y;
    integer_read(a, &m);
    integer_read(b, &n);
    if (m.negative != n.negative) return m.negative ? -1 : 1;
    c = magnitude_compare(&m, &n);
    return m.negative ? -c : c;
}

void tsu_int_add(const uint8_t *a, const uint8_t *b, tsu_writer *w)
{
    int64_t        x, y, sum;
    integer        m, n;
    const integer *big = &m, *low = &n;
    uint8_t        few[64] = {0};
    uint8_t       *out = few;
    size_t         cap;
    bool           subtract;
    int            carry = 0;

    if (tsu_term_int64(a, &x) && tsu_term_int64(b, &y) && !__builtin_add_overflow(x, y, &sum)) {
        tsu_write_int(w, sum);
        return;
    }
    integer_read(a, &m);
    integer_read(b, &n);
    if (magnitude_compare(&m, &n) < 0) { big = &n; low = &m; }
    subtract = m.negative != n.negative;
    cap = big->len + 1;
    if (cap > sizeof few) out = tsu_env_alloc(cap);
    if (out == NULL) { w->status = TSU_NOMEM; return; }
    for (size_t i = 0; i < cap; i++) {
        int u = i < big->len ? big->bytes[i] : 0;
        int v = i < low->len ? low->bytes[i] : 0;
        int r = subtract ? u - v + carry : u + v + carry;
        out[i] = (uint8_t)r;
        carry = r >> 8;                         /* arithmetic: -1 when it borrowed */
    }
    tsu_write_big(w, big->negative, out, cap);
    if (out != few) tsu_env_free(out, cap);
}
