/* fuzz_codec.c: any bytes into the checker of objects and terms; what it lets pass is read, compared and
 * ordered, and has to obey the order's laws. */
#include "term/order.h"
#include "term/hash.h"
#include "testing/fuzz_blobs.h"

#include <stdlib.h>

static const uint8_t *text_of(uint64_t atom, size_t *len)
{
    static uint8_t  texts[4][24];
    static unsigned turn;
    uint8_t        *text = texts[turn++ % 4];

    *len = atom == 0 ? 0 : 8 + atom % 13;         /* one text to one atom, as in the VM */
    memset(text, 'a', sizeof texts[0]);
    for (unsigned i = 0; i < 8; i++) text[i] = (uint8_t)(atom >> (8 * i));
    return text;
}

static const uint8_t *node_of(size_t *len, uint32_t *creation)
{
    *len = 4;
    *creation = 1;
    return (const uint8_t *)"a@bc";
}

/* Walks every token; false if there is a blob larger than what blob_of has. */
static bool walk(const uint8_t *p, const uint8_t *end)
{
    tsu_token t;

    while (p < end) {
        tsu_term_next(&p, &t);
        if (t.kind == TSU_BLOB && t.size > BLOB_MAX) return false;
    }
    CHECK(p == end);
    return true;
}

static int sign(int c) { return c < 0 ? -1 : c > 0; }

static void pair_check(const uint8_t *a, const uint8_t *b)
{
    tsu_writer x, y;
    bool       x_exact, y_exact;
    uint64_t   x_head = tsu_order_head_both(a, &x_exact), y_head = tsu_order_head_both(b, &y_exact);
    int        c = tsu_term_compare(a, b), m;

    CHECK(sign(c) == -sign(tsu_term_compare(b, a)));
    if (x_head < y_head) CHECK(c < 0);
    if (x_head > y_head) CHECK(c > 0);
    if (x_head == y_head && (x_exact || y_exact)) CHECK(c == 0);
    CHECK((tsu_term_compare_exact(a, b) == 0) == tsu_term_same(a, b));
    tsu_writer_init(&x, NULL, 0);
    tsu_writer_init(&y, NULL, 0);
    tsu_order_encode(a, &x);
    tsu_order_encode(b, &y);
    if (x.status == TSU_OK && y.status == TSU_OK) {
        m = memcmp(x.bytes, y.bytes, x.len < y.len ? x.len : y.len);
        CHECK(sign(m) == sign(c));
        if (m == 0) CHECK(x.len == y.len);
    }
    tsu_writer_deinit(&x);
    tsu_writer_deinit(&y);
}

/* An element written over itself changes nothing. */
static void spot_check(const uint8_t *object, size_t size, size_t pos, const uint8_t *element, size_t len)
{
    uint64_t word = 0;
    uint8_t *copy;
    tsu_spot spot;

    if (!tsu_object_spot(object, pos, &spot)) return;
    CHECK(spot.object + spot.at == element && spot.size == len);
    CHECK(tsu_spot_len(&spot, len) == size);
    memcpy(&word, element, len < 8 ? len : 8);
    copy = malloc(size + 8);
    if (copy == NULL) return;
    tsu_spot_write(&spot, word, element, len, copy + 8);
    CHECK(memcmp(copy + 8, object, size) == 0);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *terms[4];
    size_t         count = 0, arity, len;
    const uint8_t *p = data;

    tsu_codec = (tsu_codec_config){.zero_signs_equal = size % 2 == 0, .atom_text = text_of, .node = node_of,
                                   .blob_bytes = blob_of, .retain = handle_ignore, .release = handle_ignore};
    if (tsu_codec_validate(data, size) == TSU_OK) {
        tsu_writer w;

        CHECK(tsu_object_len(data) == size);
        p = tsu_object_elements(data, &arity);
        for (size_t i = 1; i <= arity && i <= 20; i++) {
            const uint8_t *e = tsu_object_element(data, i, &len);
            CHECK(tsu_term_validate(e, len, false) == TSU_OK);
            spot_check(data, size, i, e, len);
        }
        if (walk(p, tsu_object_elements_end(data))) {
            CHECK(tsu_object_same(data, data));
            tsu_writer_init(&w, NULL, 0);
            if (tsu_object_replace(data, NULL, 0, &w) == TSU_OK) {
                CHECK(w.len == size);
                CHECK(memcmp(w.bytes, data, size) == 0);
            }
            tsu_writer_deinit(&w);
        }
    }
    /* As terms: each begins with its length in two bytes. */
    for (p = data; (size_t)(data + size - p) > 2 && count < 4;) {
        len = (size_t)(p[0] | p[1] << 8);
        p += 2;
        if (len > (size_t)(data + size - p)) len = (size_t)(data + size - p);
        if (tsu_term_validate(p, len, false) == TSU_OK && walk(p, p + len)) terms[count++] = p;
        p += len;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j <= i; j++) pair_check(terms[i], terms[j]);
    if (count >= 3) {
        const uint8_t *a = terms[0], *b = terms[1], *c = terms[2];
        if (tsu_term_compare(a, b) <= 0 && tsu_term_compare(b, c) <= 0) CHECK(tsu_term_compare(a, c) <= 0);
    }
    return 0;
}
