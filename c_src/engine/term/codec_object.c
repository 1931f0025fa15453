/* codec_object.c: objects and their handles, equality of terms, and sums of encoded integers. */
#include "term/codec.h"
#include "term/hash.h"

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
    *count = obj[0] & TSU_OBJECT_LAST ? 1 : tsu_get32(end - 4);
    return end - (obj[0] & TSU_OBJECT_LAST ? 0 : 4) - 8 * *count;
}

const uint8_t *tsu_object_elements_end(const uint8_t *obj)
{
    size_t count;

    return obj[0] & TSU_OBJECT_LAST ? obj + tsu_object_len(obj) : tsu_object_handles(obj, &count);
}

bool tsu_terms_end_in_blob(const uint8_t *p, const uint8_t *end)
{
    tsu_token t = {.kind = TSU_INT};

    while (p < end) tsu_term_next(&p, &t);
    return t.kind == TSU_BLOB;
}

void tsu_object_release(const uint8_t *obj, void (*release)(uint64_t handle))
{
    size_t         count;
    const uint8_t *handles;

    if (TSU_LIKELY(!(obj[0] & TSU_OBJECT_HANDLES))) return;
    handles = tsu_object_handles(obj, &count);
    for (size_t i = 0; i < count; i++) release(tsu_get64(handles + 8 * i));
}

uint64_t tsu_object_held_bytes(const uint8_t *obj)
{
    size_t         arity, count;
    const uint8_t *end = tsu_object_elements_end(obj), *p = tsu_object_elements(obj, &arity);
    uint64_t       bytes = 0;
    tsu_token      t;

    (void)tsu_object_handles(obj, &count);
    while (count > 0 && p < end) {
        tsu_term_next(&p, &t);
        if (t.kind == TSU_REF && t.flag) return UINT32_MAX;
        if (t.kind != TSU_BLOB) continue;
        bytes += t.size;
        count--;
    }
    return bytes < UINT32_MAX ? bytes : UINT32_MAX;
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
    size_t         arity, arity_b;
    const uint8_t *p = tsu_object_elements(a, &arity);
    const uint8_t *q = tsu_object_elements(b, &arity_b);
    size_t         a_len, b_len;

    if (arity != arity_b) return false;
    if ((a[0] | b[0]) & TSU_OBJECT_LOOSE) return terms_same(p, q, arity);
    a_len = (size_t)(tsu_object_elements_end(a) - p);
    b_len = (size_t)(tsu_object_elements_end(b) - q);
    return a_len == b_len && memcmp(p, q, a_len) == 0;
}

#define BINARY_BYTES_HASHED 512u

uint64_t tsu_object_hash(const uint8_t *obj)
{
    size_t         arity;
    const uint8_t *p = tsu_object_elements(obj, &arity), *end = tsu_object_elements_end(obj), *at;
    uint64_t       h = arity;

    while (p < end) {
        tsu_token t;

        at = p;
        tsu_term_next(&p, &t);
        if (t.kind == TSU_FLOAT && t.f == 0.0) h = tsu_hash_fold(h ^ TSU_HASH_P0, TSU_HASH_P1);
        else if (t.kind == TSU_BLOB || t.kind == TSU_BINARY)
            h = tsu_hash(tsu_token_bytes(&t), t.size < BINARY_BYTES_HASHED ? t.size : BINARY_BYTES_HASHED, h ^ t.size);
        else h = tsu_hash(at, (size_t)(p - at), h);
    }
    return h;
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

static void element_write(tsu_writer *w, const uint8_t *term, size_t len, const uint8_t *handles, size_t count)
{
    tsu_write_bytes(w, term, len);
    for (size_t i = 0; i < count && w->status == TSU_OK; i++) {
        tsu_codec.retain(tsu_get64(handles + 8 * i));
        tsu_write_handle(w, tsu_get64(handles + 8 * i));
    }
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
        const uint8_t    *old_term = p;
        const tsu_change *change = NULL;
        size_t            own = 0;

        tsu_term_skip(&p);
        if (has_handles) own = handles_within(old_term, p);
        for (size_t i = count; i-- > 0 && change == NULL;)
            if (changes[i].pos == pos) change = &changes[i];
        if (change == NULL) {
            element_write(w, old_term, (size_t)(p - old_term), handles, own);
        } else {
            element_write(w, change->term, change->len, (const uint8_t *)change->handles, change->handle_count);
            loose = loose || change->loose;
        }
        handles += 8 * own;
    }
    w->loose = loose;
    tsu_write_object_end(w, arity, &mark);
    return w->status;
}

bool tsu_object_spot(const uint8_t *object, size_t pos, tsu_spot *spot)
{
    const uint8_t *p = object + 2;
    size_t         arity = object[0] & TSU_OBJECT_ARITY;

    if (object[0] & TSU_OBJECT_HANDLES) return false;
    spot->object = object;
    spot->len = object[1];
    spot->width = 1;
    if (TSU_UNLIKELY(arity == 15 || object[1] >= 0x80)) {
        p = tsu_object_elements(object, &arity);
        spot->len = tsu_object_len(object);
        spot->width = tsu_varint_size(spot->len);
    }
    if (pos - 1 >= arity) return false;
    while (--pos > 0) p = tsu_term_end(p);
    spot->at = (size_t)(p - object);
    spot->size = (size_t)(tsu_term_end(p) - p);
    return true;
}

void tsu_spot_write(const tsu_spot *spot, uint64_t word, const uint8_t *term, size_t size, uint8_t *to)
{
    size_t after = spot->at + spot->size, len = spot->len - spot->size + size;

    /* a word ends where the term does: what it spoils before that is written next */
    if (size <= 8) tsu_put64(to + spot->at + size - 8, word << (64 - 8 * size));
    else memcpy(to + spot->at, term, size);
    tsu_bytes_copy(to, spot->object, spot->at);
    tsu_bytes_copy(to + spot->at + size, spot->object + after, spot->len - after);
    if (len != spot->len) tsu_varint_put(to + 1, len);
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
