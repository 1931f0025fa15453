/* objects.h: small objects {Key, Value} for tests, as encoded bytes.
 *
 * A key is a number and a variant: 0 the integer, 1 the float that is == to it. An ordered_set has one
 * key for both, the other kinds two.
 */
#ifndef TSU_TESTING_OBJECTS_H
#define TSU_TESTING_OBJECTS_H

#include "base/check.h"
#include "term/codec.h"

#define OBJECT_BYTES_MAX 160

typedef struct object_bytes {
    uint8_t bytes[OBJECT_BYTES_MAX];
    size_t  len;
} object_bytes;

static inline void object_write_key(tsu_writer *w, int64_t key, int variant)
{
    if (variant == 1) tsu_write_float(w, (double)key);
    else tsu_write_int(w, key);
}

static inline object_bytes object_key(int64_t key, int variant)
{
    object_bytes o;
    tsu_writer   w;

    tsu_writer_init(&w, o.bytes, sizeof o.bytes);
    w.key = true;
    object_write_key(&w, key, variant);
    CHECK(w.status == TSU_OK && w.bytes == o.bytes);
    o.len = w.len;
    return o;
}

/* {Key, Value, Pad}: a pad of `pad` bytes tells apart sizes of objects. */
static inline object_bytes object_make_padded(int64_t key, int variant, int64_t value, size_t pad)
{
    static const uint8_t zeros[96];
    object_bytes         o;
    tsu_writer           w;
    tsu_object_mark      mark;

    tsu_writer_init(&w, o.bytes, sizeof o.bytes);
    tsu_write_object_begin(&w, pad > 0 ? 3 : 2, &mark);
    w.key = true;
    object_write_key(&w, key, variant);
    w.key = false;
    tsu_write_int(&w, value);
    if (pad > 0) tsu_write_binary(&w, zeros, pad < sizeof zeros ? pad : sizeof zeros);
    tsu_write_object_end(&w, pad > 0 ? 3 : 2, &mark);
    CHECK(w.status == TSU_OK && w.bytes == o.bytes);
    o.len = w.len;
    return o;
}

static inline object_bytes object_make(int64_t key, int variant, int64_t value)
{
    return object_make_padded(key, variant, value, 0);
}

static inline int64_t object_value(const uint8_t *object)
{
    size_t  len;
    int64_t v = 0;

    CHECK(tsu_term_int64(tsu_object_element(object, 2, &len), &v));
    return v;
}

static inline int64_t object_key_of(const uint8_t *object, int *variant)
{
    size_t         len;
    const uint8_t *k = tsu_object_element(object, 1, &len);
    int64_t        v = 0;
    tsu_token      t;

    if (tsu_term_int64(k, &v)) {
        *variant = 0;
        return v;
    }
    tsu_term_next(&k, &t);
    CHECK(t.kind == TSU_FLOAT);
    *variant = 1;
    return (int64_t)t.f;
}

#endif
