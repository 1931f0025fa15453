/* matchbuild.c: lists and maps that are put together from parts, in their one canonical form. */
#include "term/matchspec_inner.h"

static bool is_byte(const uint8_t *term, uint8_t *out)
{
    if (*term >= 16 && *term < TSU_TAG_INT) *out = (uint8_t)(*term - 16);
    else if (*term == TSU_TAG_INT && term[1] < 0x80) *out = term[1];        /* 112..127 */
    else if (*term == TSU_TAG_INT + 1 && term[2] == 0) *out = term[1];
    else return false;
    return true;
}

/* Puts `len` bytes at `at`, in place of `old`. */
static void splice(tsu_writer *w, size_t at, size_t old, const uint8_t *bytes, size_t len)
{
    if (len > old && !tsu_writer_room(w, len - old)) return;
    memmove(w->bytes + at + len, w->bytes + at + old, w->len - at - old);
    if (len > 0) memcpy(w->bytes + at, bytes, len);
    w->len = w->len - old + len;
}

/* The bytes of a string at `at`, as so many integers. */
static void string_expand(tsu_writer *w, size_t at, size_t n)
{
    uint8_t few[256], term[9], *bytes = few;

    if (n > sizeof few) bytes = tsu_env_alloc(n);
    if (bytes == NULL) {
        w->status = TSU_NOMEM;
        return;
    }
    memcpy(bytes, w->bytes + at, n);
    w->len = at;
    for (size_t i = 0; i < n; i++) tsu_write_bytes(w, term, tsu_int_put(term, bytes[i]));
    if (bytes != few) tsu_env_free(bytes, n);
}

/* If all of them are bytes, the elements at `at` become such. */
static bool elements_to_bytes(tsu_writer *w, size_t at, uint64_t n)
{
    const uint8_t *p = w->bytes + at;
    uint8_t       *to = w->bytes + at, byte;

    for (uint64_t i = 0; i < n; i++) {
        if (!is_byte(p, &byte)) return false;
        p = tsu_term_end(p);
    }
    p = to;
    for (uint64_t i = 0; i < n; i++) {
        is_byte(p, &byte);
        p = tsu_term_end(p);
        *to++ = byte;
    }
    w->len = (size_t)(to - w->bytes);
    return true;
}

static void list_head(tsu_writer *w, size_t at, uint8_t tag, uint64_t n)
{
    uint8_t  head[1 + TSU_VARINT_BYTES_MAX];
    uint8_t *end;

    head[0] = tag;
    end = tsu_varint_put(head + 1, n);
    splice(w, at, 0, head, (size_t)(end - head));
}

void tsu_ms_list_close(tsu_writer *w, size_t at, uint64_t n, bool tail)
{
    const uint8_t *p;
    size_t         tail_at, header;
    bool           improper = false;
    tsu_token      t;

    if (w->status != TSU_OK) return;
    if (tail) {
        p = w->bytes + at;
        for (uint64_t i = 0; i < n; i++) p = tsu_term_end(p);
        tail_at = (size_t)(p - w->bytes);
        tsu_term_next(&p, &t);
        header = (size_t)(p - w->bytes) - tail_at - (t.kind == TSU_STRING ? (size_t)t.size : 0);
        if (t.kind == TSU_NIL || t.kind == TSU_LIST || t.kind == TSU_STRING) splice(w, tail_at, header, NULL, 0);
        if (t.kind == TSU_STRING) {
            string_expand(w, tail_at, (size_t)t.size);
            n += t.size;
        } else if (t.kind == TSU_LIST) {
            n += t.n;
            improper = t.flag;
        } else {
            improper = t.kind != TSU_NIL;
        }
    }
    if (w->status != TSU_OK) return;
    if (n == 0) tsu_write_nil(w);
    else if (improper) list_head(w, at, TSU_TAG_IMPROPER, n);
    else if (elements_to_bytes(w, at, n)) list_head(w, at, TSU_TAG_STRING, n);
    else list_head(w, at, TSU_TAG_LIST, n);
}

void tsu_ms_list_rest(const uint8_t *list, uint64_t n, tsu_writer *w)
{
    const uint8_t *end = tsu_term_end(list);
    size_t         at = w->len;
    tsu_token      t;

    tsu_term_next(&list, &t);
    if (t.kind == TSU_STRING) {
        if (n == t.size) tsu_write_nil(w);
        else tsu_write_string(w, t.bytes + n, (size_t)(t.size - n));
        return;
    }
    for (uint64_t i = 0; i < n; i++) list = tsu_term_end(list);
    tsu_write_bytes(w, list, (size_t)(end - list));
    if (t.n == n && t.flag) return;             /* the tail itself */
    if (w->status != TSU_OK) return;
    if (t.flag) list_head(w, at, TSU_TAG_IMPROPER, t.n - n);
    else tsu_ms_list_close(w, at, t.n - n, false);
}

/* ---- Maps ---- */

void tsu_ms_key_close(tsu_writer *w, size_t at)
{
    tsu_writer     clean;
    const uint8_t *p, *end;
    tsu_token      t;

    if (w->status != TSU_OK || tsu_term_is_clean(w->bytes + at, w->bytes + w->len)) return;
    tsu_writer_init(&clean, NULL, 0);
    clean.key = true;
    for (p = w->bytes + at, end = w->bytes + w->len; p < end;) {
        const uint8_t *from = p;
        tsu_term_next(&p, &t);
        if (t.kind == TSU_BLOB) tsu_write_binary(&clean, tsu_token_bytes(&t), (size_t)t.size);
        else if (t.kind == TSU_FLOAT) tsu_write_float(&clean, t.f);
        else tsu_write_bytes(&clean, from, (size_t)(p - from));
    }
    w->len = at;
    if (clean.status != TSU_OK) w->status = clean.status;
    else tsu_write_bytes(w, clean.bytes, clean.len);
    tsu_writer_deinit(&clean);
}

void tsu_ms_pairs_close(tsu_writer *w, size_t at, tsu_map_mark *marks, size_t n)
{
    const uint8_t *p, *next;
    size_t         kept = 0, pair_len;
    uint8_t        head[1 + TSU_VARINT_BYTES_MAX], *to;

    if (w->status != TSU_OK) return;
    marks[n].at = w->len;
    for (size_t i = 0; i <= n; i++) marks[i].handle = 0;
    tsu_write_map_end(w, marks, n);
    if (w->status != TSU_OK) return;
    for (p = next = to = w->bytes + at; n > 0; n--, p = next) {
        size_t key_len = tsu_term_len(p);

        next = tsu_term_end(p + key_len);
        if (n > 1 && tsu_term_len(next) == key_len && memcmp(p, next, key_len) == 0) continue;
        pair_len = (size_t)(next - p);
        if (to != p) memmove(to, p, pair_len);
        to += pair_len;
        kept++;
    }
    w->len = (size_t)(to - w->bytes);
    head[0] = TSU_TAG_MAP;
    to = tsu_varint_put(head + 1, kept);
    splice(w, at, 0, head, (size_t)(to - head));
}

const uint8_t *tsu_ms_map_find(tsu_ms_scratch *s, const uint8_t *map, const uint8_t *key)
{
    size_t    len = tsu_term_len(key), at;
    tsu_token t;

    if (!tsu_term_is_clean(key, key + len)) {
        at = s->out.len;
        tsu_write_bytes(&s->out, key, len);
        tsu_ms_key_close(&s->out, at);
        key = tsu_ms_take_written(s, at);
        if (key == NULL) return NULL;
        len = tsu_term_len(key);
    }
    tsu_term_next(&map, &t);
    for (uint64_t i = 0; i < t.n; i++) {
        const uint8_t *value = tsu_term_end(map);
        size_t         n = (size_t)(value - map);
        int            c = memcmp(map, key, n < len ? n : len);

        if (c == 0) return value;               /* no key is a prefix of another */
        if (c > 0) return NULL;
        map = tsu_term_end(value);
    }
    return NULL;
}

/* ---- Constants of patterns ---- */

bool tsu_ms_constant_same(const uint8_t *constant, const uint8_t *term)
{
    tsu_token x, y;

    for (uint64_t left = 1; left > 0;) {
        const uint8_t *a = constant, *b = term;

        tsu_term_next(&constant, &x);
        tsu_term_next(&term, &y);
        if (x.kind == TSU_BLOB || y.kind == TSU_BLOB) {
            if ((x.kind != TSU_BLOB && x.kind != TSU_BINARY) || (y.kind != TSU_BLOB && y.kind != TSU_BINARY)) return false;
            if (x.size != y.size || memcmp(tsu_token_bytes(&x), tsu_token_bytes(&y), x.size) != 0) return false;
        } else if (constant - a != term - b || memcmp(a, b, (size_t)(term - b)) != 0) {
            return false;
        }
        left += x.children - 1;
    }
    return true;
}
