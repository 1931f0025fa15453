/* codec_test.c: objects and terms made by the writer. */
#include "term/codec.h"
#include "testing/harness.h"

static long held[8];            /* references to handle i, which is the number i * 8 */
static uint8_t blob[8][1024];

static void retain(uint64_t handle) { held[handle / 8]++; }
static void release(uint64_t handle) { held[handle / 8]--; }
static const uint8_t *blob_bytes(uint64_t handle) { return blob[handle / 8]; }

static void begin(tsu_writer *w, uint8_t *buffer, size_t cap)
{
    memset(held, 0, sizeof held);
    tsu_codec.zero_signs_equal = true;
    tsu_codec.retain = retain;
    tsu_codec.release = release;
    tsu_codec.blob_bytes = blob_bytes;
    tsu_writer_init(w, buffer, cap);
}

TEST(a_counter_object_takes_sixteen_bytes_at_most)
{
    uint8_t         buffer[64];
    tsu_writer      w;
    tsu_object_mark mark;

    begin(&w, buffer, sizeof buffer);
    tsu_write_object_begin(&w, 3, &mark);
    tsu_write_int(&w, (1 << 21) - 1);
    tsu_write_int(&w, -(1 << 21));
    tsu_write_atom(&w, 123456);
    tsu_write_object_end(&w, 3, &mark);
    EXPECT_EQ(w.status, TSU_OK);
    EXPECT(w.len <= 16);
    EXPECT_EQ(tsu_codec_validate(w.bytes, w.len), TSU_OK);
    EXPECT_EQ(tsu_object_len(w.bytes), w.len);
    EXPECT_EQ(tsu_object_arity(w.bytes), 3);
    tsu_writer_deinit(&w);
}

TEST(integers_come_back_and_take_the_fewest_bytes)
{
    uint8_t    buffer[16];
    tsu_writer w;
    uint64_t   rng = tsu_test_seed();

    for (long i = 0; i < tsu_test_rounds(200000); i++) {
        int64_t v = (int64_t)tsu_rand(&rng) >> tsu_rand_below(&rng, 64), back = 0;

        if (i < 1000) v = i - 500;
        begin(&w, buffer, sizeof buffer);
        tsu_write_int(&w, v);
        EXPECT(tsu_term_int64(w.bytes, &back) && back == v);
        EXPECT_EQ(tsu_term_len(w.bytes), w.len);
        EXPECT_EQ(tsu_term_validate(w.bytes, w.len, true), TSU_OK);
    }
}

TEST(a_map_has_the_same_bytes_in_whatever_order_it_is_written)
{
    uint64_t rng = tsu_test_seed();

    for (size_t n = 0; n < 60; n++) {
        tsu_writer w[2];

        for (int k = 0; k < 2; k++) {
            tsu_map_mark marks[61];
            size_t       order[60];

            begin(&w[k], NULL, 0);
            for (size_t i = 0; i < n; i++) order[i] = i;
            for (size_t i = n; i > 1; i--) {
                size_t j = tsu_rand_below(&rng, i), t = order[i - 1];
                order[i - 1] = order[j];
                order[j] = t;
            }
            tsu_write_map_begin(&w[k], n);
            for (size_t i = 0; i < n; i++) {
                marks[i] = (tsu_map_mark){w[k].len, w[k].handle_count};
                tsu_write_int(&w[k], (int64_t)order[i] * 77 - 400);
                if (order[i] % 8 == 3) {
                    retain(8 * (order[i] % 5));
                    tsu_write_blob(&w[k], 1000, 8 * (order[i] % 5));
                } else {
                    tsu_write_float(&w[k], (double)order[i]);
                }
            }
            marks[n] = (tsu_map_mark){w[k].len, w[k].handle_count};
            tsu_write_map_end(&w[k], marks, n);
            EXPECT_EQ(tsu_term_validate(w[k].bytes, w[k].len, false), TSU_OK);
        }
        EXPECT_EQ(w[0].len, w[1].len);
        EXPECT_MEM(w[0].bytes, w[1].bytes, w[0].len);
        EXPECT_EQ(w[0].handle_count, w[1].handle_count);
        if (w[0].handle_count > 0) EXPECT_MEM(w[0].handles, w[1].handles, 8 * w[0].handle_count);
        tsu_writer_deinit(&w[0]);
        tsu_writer_deinit(&w[1]);
    }
}

/* {1, Blob 1, Magic reference (handle 2), -0.0} */
static void sample_object(tsu_writer *w, uint64_t first_blob)
{
    static const uint8_t words[13] = {TSU_TAG_REF_MAGIC, 1, 2, 3};
    tsu_object_mark      mark;

    tsu_write_object_begin(w, 4, &mark);
    tsu_write_int(w, 1);
    retain(8 * first_blob);
    tsu_write_blob(w, 600, 8 * first_blob);
    tsu_write_bytes(w, words, 13);
    retain(8 * 2);
    tsu_write_handle(w, 8 * 2);
    tsu_write_float(w, -0.0);
    tsu_write_object_end(w, 4, &mark);
}

TEST(replacing_moves_each_reference_to_the_right_object)
{
    tsu_writer w, changed, term;
    tsu_change change;
    size_t     count;

    begin(&w, NULL, 0);
    sample_object(&w, 1);
    EXPECT_EQ(tsu_codec_validate(w.bytes, w.len), TSU_OK);
    tsu_object_handles(w.bytes, &count);
    EXPECT_EQ(count, 2);

    tsu_writer_init(&term, NULL, 0);
    tsu_writer_init(&changed, NULL, 0);
    retain(8 * 3);
    tsu_write_blob(&term, 700, 8 * 3);
    change = (tsu_change){2, term.bytes, term.len, term.handles, term.handle_count, term.loose};
    EXPECT_EQ(tsu_object_replace(w.bytes, &change, 1, &changed), TSU_OK);
    EXPECT_EQ(tsu_codec_validate(changed.bytes, changed.len), TSU_OK);
    tsu_writer_deinit(&term);
    EXPECT_EQ(held[1], 1);
    EXPECT_EQ(held[2], 2);
    EXPECT_EQ(held[3], 1);
    tsu_writer_give(&w);
    tsu_object_release(w.bytes, release);
    EXPECT_EQ(held[1], 0);
    EXPECT_EQ(held[2], 1);
    tsu_object_retain(changed.bytes, retain);
    EXPECT_EQ(held[3], 2);
    tsu_object_release(changed.bytes, release);
    tsu_writer_deinit(&changed);
    EXPECT_EQ(held[2], 0);
    EXPECT_EQ(held[3], 0);
    tsu_writer_deinit(&w);
}

/* {1, T}, where T is or has blob 1, in one of some ways. */
enum { BLOB_ALONE, BLOB_IN_TUPLE, BLOB_IN_MAP_SORTED, BLOB_IN_MAP_MOVED, BLOB_IN_MAP_MOVED_AWAY, BLOB_IN_LIST_CLOSED, BLOB_BEFORE, BLOB_TWICE, BLOB_AND_REF, WAYS };

static void blob_object(tsu_writer *w, int way)
{
    static const uint8_t words[13] = {TSU_TAG_REF_MAGIC, 1, 2, 3};
    bool                 in_map = way >= BLOB_IN_MAP_SORTED && way <= BLOB_IN_MAP_MOVED_AWAY;
    size_t               arity = way >= BLOB_BEFORE ? 3 : 2, blobs = way == BLOB_TWICE ? 2 : 1;
    tsu_object_mark      mark;
    tsu_map_mark         marks[3];

    tsu_write_object_begin(w, arity, &mark);
    tsu_write_int(w, 1);
    if (way == BLOB_IN_TUPLE) {
        tsu_write_tuple_begin(w, 2);
        tsu_write_int(w, 2);
    }
    if (in_map) {
        tsu_write_map_begin(w, 2);
        for (int i = 0; i < 2; i++) {
            marks[i] = (tsu_map_mark){w->len, w->handle_count};
            tsu_write_int(w, way == BLOB_IN_MAP_SORTED ? i : 1 - i);
            if (i == (way != BLOB_IN_MAP_MOVED)) {
                retain(8);
                tsu_write_blob(w, 600, 8);
            } else {
                tsu_write_int(w, 3);
            }
        }
        marks[2] = (tsu_map_mark){w->len, w->handle_count};
        tsu_write_map_end(w, marks, 2);
    } else if (way == BLOB_IN_LIST_CLOSED) {
        static const uint8_t head[2] = {TSU_TAG_LIST, 1};
        size_t               at = w->len;

        retain(8);
        tsu_write_blob(w, 600, 8);
        tsu_write_bytes(w, head, 2);                   /* and goes before it */
        memmove(w->bytes + at + 2, w->bytes + at, w->len - at - 2);
        memcpy(w->bytes + at, head, 2);
    } else {
        for (size_t i = 0; i < blobs; i++) {
            retain(8);
            tsu_write_blob(w, 600, 8);
        }
    }
    if (way == BLOB_BEFORE) tsu_write_int(w, 2);
    if (way == BLOB_AND_REF) {
        tsu_write_bytes(w, words, 13);
        retain(16);
        tsu_write_handle(w, 16);
    }
    tsu_write_object_end(w, arity, &mark);
}

TEST(a_blob_at_the_end_is_the_trailer_too)
{
    for (int way = 0; way < WAYS; way++) {
        bool           last = way < BLOB_BEFORE && way != BLOB_IN_MAP_MOVED_AWAY;
        tsu_writer     w, copy;
        const uint8_t *handles;
        size_t         count;

        begin(&w, NULL, 0);
        tsu_writer_init(&copy, NULL, 0);
        blob_object(&w, way);
        EXPECT_EQ(tsu_codec_validate(w.bytes, w.len), TSU_OK);
        EXPECT_EQ((w.bytes[0] & TSU_OBJECT_LAST) != 0, last);
        handles = tsu_object_handles(w.bytes, &count);
        EXPECT_EQ(count, way >= BLOB_TWICE ? 2 : 1);
        EXPECT_EQ(tsu_get64(handles), 8);
        EXPECT(tsu_object_elements_end(w.bytes) == w.bytes + w.len - (last ? 0 : 8 * count + 4));
        EXPECT_EQ(tsu_object_held_bytes(w.bytes), way == BLOB_AND_REF ? UINT32_MAX : way == BLOB_TWICE ? 1200 : 600);
        w.bytes[0] ^= TSU_OBJECT_LAST;
        EXPECT_EQ(tsu_codec_validate(w.bytes, w.len), TSU_CORRUPT);
        w.bytes[0] ^= TSU_OBJECT_LAST;
        EXPECT_EQ(tsu_object_replace(w.bytes, NULL, 0, &copy), TSU_OK);
        EXPECT_EQ(copy.len, w.len);
        EXPECT_MEM(copy.bytes, w.bytes, w.len);
        EXPECT_EQ(held[1], way == BLOB_TWICE ? 4 : 2);
        tsu_writer_give(&copy);
        tsu_object_release(copy.bytes, release);
        tsu_writer_deinit(&copy);
        tsu_writer_deinit(&w);
        EXPECT_EQ(held[1], 0);
        EXPECT_EQ(held[2], 0);
    }
}

TEST(the_trailer_comes_and_goes_as_blobs_are_replaced)
{
    tsu_writer w, one, two, term;
    tsu_change change = {.pos = 2};

    begin(&w, NULL, 0);
    tsu_writer_init(&one, NULL, 0);
    tsu_writer_init(&two, NULL, 0);
    tsu_writer_init(&term, NULL, 0);
    blob_object(&w, BLOB_TWICE);
    tsu_write_int(&term, 7);
    change.term = term.bytes;
    change.len = term.len;
    EXPECT_EQ(tsu_object_replace(w.bytes, &change, 1, &one), TSU_OK);
    EXPECT(one.bytes[0] & TSU_OBJECT_LAST);
    EXPECT_EQ(tsu_codec_validate(one.bytes, one.len), TSU_OK);
    tsu_writer_reset(&term);
    retain(8 * 3);
    tsu_write_blob(&term, 700, 8 * 3);
    change = (tsu_change){2, term.bytes, term.len, term.handles, term.handle_count, term.loose};
    EXPECT_EQ(tsu_object_replace(one.bytes, &change, 1, &two), TSU_OK);
    EXPECT(!(two.bytes[0] & TSU_OBJECT_LAST));
    EXPECT_EQ(tsu_codec_validate(two.bytes, two.len), TSU_OK);
    EXPECT_EQ(tsu_object_held_bytes(two.bytes), 1300);
    tsu_writer_deinit(&term);
    tsu_writer_deinit(&two);
    tsu_writer_deinit(&one);
    tsu_writer_deinit(&w);
    EXPECT_EQ(held[1], 0);
    EXPECT_EQ(held[3], 0);
}

static void random_term(tsu_writer *w, uint64_t *rng)
{
    static const uint8_t zeros[300];

    switch (tsu_rand_below(rng, 7)) {
    case 0: case 1: case 2: tsu_write_int(w, (int64_t)tsu_rand(rng) >> tsu_rand_below(rng, 64)); break;
    case 3: tsu_write_atom(w, tsu_rand(rng) >> tsu_rand_below(rng, 58)); break;
    case 4: tsu_write_binary(w, zeros, tsu_rand_below(rng, tsu_rand_below(rng, 8) == 0 ? sizeof zeros : 40)); break;
    case 5: tsu_write_float(w, (double)tsu_rand_below(rng, 9) - 4.5); break;
    case 6:
        tsu_write_tuple_begin(w, 2);
        tsu_write_int(w, 5);
        tsu_write_list_begin(w, 1, false);
        tsu_write_nil(w);
        break;
    }
}

TEST(an_element_written_in_its_spot_makes_the_same_object_as_replacing_it)
{
    uint64_t rng = tsu_test_seed();
    long     made = 0, rounds = tsu_test_rounds(100000);

    for (long i = 0; i < rounds; i++) {
        size_t          arity = 1 + tsu_rand_below(&rng, tsu_rand_below(&rng, 4) == 0 ? 40 : 6), pos, len;
        tsu_writer      w, term, changed;
        tsu_object_mark mark;
        tsu_spot        spot;
        tsu_change      change;
        uint64_t        word = tsu_rand(&rng);
        int64_t         number = 0, same = 0;
        uint8_t        *record;

        begin(&w, NULL, 0);
        tsu_writer_init(&term, NULL, 0);
        tsu_writer_init(&changed, NULL, 0);
        tsu_write_object_begin(&w, arity, &mark);
        for (size_t e = 0; e < arity; e++) random_term(&w, &rng);
        tsu_write_object_end(&w, arity, &mark);
        random_term(&term, &rng);
        pos = 1 + tsu_rand_below(&rng, (uint32_t)arity);
        EXPECT(!tsu_object_spot(w.bytes, arity + 1, &spot));
        EXPECT(!tsu_object_spot(w.bytes, 0, &spot));
        REQUIRE(tsu_object_spot(w.bytes, pos, &spot));
        EXPECT(spot.object + spot.at == tsu_object_element(w.bytes, pos, &len));
        EXPECT_EQ(spot.size, len);
        EXPECT_EQ(tsu_spot_int64(&spot, &number), tsu_term_int64(spot.object + spot.at, &same));
        EXPECT_EQ(number, same);
        if (tsu_term_int64(term.bytes, &number))
            EXPECT_EQ(tsu_int_word(number, &word), term.len);
        else if (*term.bytes == TSU_TAG_ATOM4 || *term.bytes == TSU_TAG_ATOM8)
            EXPECT_EQ(tsu_atom_word(term.len == 5 ? tsu_get32(term.bytes + 1) : tsu_get64(term.bytes + 1), &word), term.len);
        else
            memcpy(&word, term.bytes, term.len < 8 ? term.len : 8);
        change = (tsu_change){.pos = pos, .term = term.bytes, .len = term.len};
        EXPECT_EQ(tsu_object_replace(w.bytes, &change, 1, &changed), TSU_OK);
        len = tsu_spot_len(&spot, term.len);
        EXPECT_EQ(len != 0, tsu_varint_size(changed.len) == tsu_varint_size(w.len));
        if (len != 0) {
            made++;
            EXPECT_EQ(len, changed.len);
            record = malloc(8 + len);
            REQUIRE(record != NULL);
            memset(record, 0x55, 8 + len);
            tsu_spot_write(&spot, word, term.bytes, term.len, record + 8);
            EXPECT(record[2] == 0x55);
            EXPECT(memcmp(record + 8, changed.bytes, len) == 0);
            free(record);
        }
        tsu_writer_deinit(&w);
        tsu_writer_deinit(&term);
        tsu_writer_deinit(&changed);
    }
    EXPECT(made > rounds / 2);
}

TEST(an_object_with_handles_has_no_spot)
{
    tsu_writer w;
    tsu_spot   spot;

    begin(&w, NULL, 0);
    sample_object(&w, 1);
    EXPECT(!tsu_object_spot(w.bytes, 1, &spot));
    tsu_writer_deinit(&w);
}

TEST(objects_with_equal_blobs_are_the_same)
{
    tsu_writer a, b;

    begin(&a, NULL, 0);
    tsu_writer_init(&b, NULL, 0);
    memset(blob, 7, sizeof blob);
    sample_object(&a, 1);
    sample_object(&b, 4);
    EXPECT(tsu_object_same(a.bytes, b.bytes));
    EXPECT_EQ(tsu_object_hash(a.bytes), tsu_object_hash(b.bytes));
    blob[4][599] = 8;
    EXPECT(!tsu_object_same(a.bytes, b.bytes));
    tsu_writer_deinit(&a);
    tsu_writer_deinit(&b);
}

TEST(objects_that_are_the_same_have_one_hash)
{
    const double zeros[] = {0.0, -0.0, 1.0};
    tsu_writer   w[3];

    for (int i = 0; i < 3; i++) {
        tsu_object_mark mark;

        begin(&w[i], NULL, 0);
        tsu_write_object_begin(&w[i], 2, &mark);
        tsu_write_int(&w[i], 1);
        tsu_write_tuple_begin(&w[i], 2);
        tsu_write_float(&w[i], zeros[i]);
        tsu_write_binary(&w[i], "some", 4);
        tsu_write_object_end(&w[i], 2, &mark);
    }
    EXPECT(tsu_object_same(w[0].bytes, w[1].bytes));
    EXPECT_EQ(tsu_object_hash(w[0].bytes), tsu_object_hash(w[1].bytes));
    EXPECT(tsu_object_hash(w[0].bytes) != tsu_object_hash(w[2].bytes));
    for (int i = 0; i < 3; i++) tsu_writer_deinit(&w[i]);
}

TEST(a_zero_in_a_key_has_no_sign)
{
    uint8_t    buffer[64];
    tsu_writer w;

    begin(&w, buffer, sizeof buffer);
    w.key = true;
    tsu_write_float(&w, -0.0);
    tsu_write_float(&w, 0.0);
    EXPECT_MEM(w.bytes, w.bytes + 9, 9);
    EXPECT(!w.loose);
}

TEST(large_objects_and_arities_have_long_prefixes)
{
    for (size_t arity = 0; arity < 40000; arity = arity * 3 / 2 + 1) {
        tsu_writer      w;
        tsu_object_mark mark;
        size_t          len;

        begin(&w, NULL, 0);
        tsu_write_int(&w, 5);                   /* something before it */
        tsu_write_object_begin(&w, arity, &mark);
        for (size_t i = 0; i < arity; i++) tsu_write_int(&w, (int64_t)i);
        tsu_write_object_end(&w, arity, &mark);
        EXPECT_EQ(tsu_codec_validate(w.bytes + 1, w.len - 1), TSU_OK);
        EXPECT_EQ(tsu_object_arity(w.bytes + 1), arity);
        if (arity > 0) {
            int64_t v = -1;
            EXPECT(tsu_term_int64(tsu_object_element(w.bytes + 1, arity, &len), &v));
            EXPECT_EQ(v, (int64_t)arity - 1);
        }
        tsu_writer_deinit(&w);
    }
}

TEST(what_is_cut_short_or_longer_than_needed_is_refused)
{
    static const uint8_t bad[][4] = {
        {0x80, 0}, {0x80, 111}, {0x81, 1, 0}, {0x81, 0xff, 0xff}, {0x8e, 3, 1, 2}, {0x8f, 8, 0}, {0x8f, 3, 0xff}, {0x91, 0},
        {0x92, 1, 0x10}, {0x93, 1, 0x10, 0x8d}, {0x94, 0}, {0x95, 2, 0x10}, {0xa0}, {0xf0}, {0x88, 1, 1}, {0x8e, 0x80, 0}
    };
    tsu_writer w;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (size_t n = 0; n <= 4; n++) EXPECT_EQ(tsu_term_validate(bad[i], n, false), TSU_CORRUPT);
    begin(&w, NULL, 0);
    sample_object(&w, 1);
    for (size_t n = 0; n < w.len; n++) EXPECT_EQ(tsu_codec_validate(w.bytes, n), TSU_CORRUPT);
    tsu_writer_deinit(&w);
}

TEST(sums_of_integers_of_any_size_are_exact)
{
    uint8_t    buffer[64];
    tsu_writer a, b, sum, back;
    uint64_t   rng = tsu_test_seed();

    for (long i = 0; i < tsu_test_rounds(20000); i++) {
        uint8_t x[40], y[40];

        for (size_t j = 0; j < 40; j++) { x[j] = (uint8_t)tsu_rand(&rng); y[j] = (uint8_t)tsu_rand(&rng); }
        begin(&a, NULL, 0);
        tsu_writer_init(&b, NULL, 0);
        tsu_writer_init(&sum, buffer, sizeof buffer);
        tsu_writer_init(&back, NULL, 0);
        tsu_write_big(&a, tsu_rand(&rng) & 1, x, tsu_rand_below(&rng, 41));
        tsu_write_big(&b, tsu_rand(&rng) & 1, y, tsu_rand_below(&rng, 41));
        tsu_int_add(a.bytes, b.bytes, &sum);
        EXPECT_EQ(tsu_term_validate(sum.bytes, sum.len, true), TSU_OK);
        if (*b.bytes >= TSU_TAG_BIGPOS) {       /* sum + (-b) is a again */
            b.bytes[0] ^= TSU_TAG_BIGPOS ^ TSU_TAG_BIGNEG;
            tsu_int_add(sum.bytes, b.bytes, &back);
            EXPECT_EQ(tsu_int_compare(back.bytes, a.bytes), 0);
            EXPECT_MEM(back.bytes, a.bytes, a.len);
        }
        tsu_writer_deinit(&a);
        tsu_writer_deinit(&b);
        tsu_writer_deinit(&sum);
        tsu_writer_deinit(&back);
    }
}

TEST(a_writer_without_memory_says_so_and_leaks_nothing)
{
    for (long n = 0; n < 20; n++) {
        tsu_writer w;
        size_t     before = tsu_env_bytes_allocated();

        begin(&w, NULL, 0);
        tsu_env_fail_after(n);
        sample_object(&w, 1);
        for (int i = 0; i < 2000; i++) tsu_write_int(&w, i);
        tsu_env_fail_after(-1);
        EXPECT(w.status == TSU_OK || w.status == TSU_NOMEM);
        EXPECT(n > 0 || w.status == TSU_NOMEM);
        tsu_writer_deinit(&w);
        EXPECT_EQ(tsu_env_bytes_allocated(), before);
        EXPECT_EQ(held[1], 0);
        EXPECT_EQ(held[2], 0);
    }
}

TEST_MAIN
