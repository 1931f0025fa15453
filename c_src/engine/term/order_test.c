/* order_test.c: a ladder of terms, each below the next, and the numbers in between. */
#include "term/order.h"
#include "testing/harness.h"

static const uint8_t *text_of(uint64_t atom, size_t *len)
{
    static const char *texts[] = {"", "a", "a\0b", "ab", "abcdefghij", "abcdefghik", "b"};
    static const size_t lens[] = {0, 1, 3, 2, 10, 10, 1};

    *len = lens[atom];
    return (const uint8_t *)texts[atom];
}

static const uint8_t *node_of(size_t *len, uint32_t *creation)
{
    *len = 3;
    *creation = 2;
    return (const uint8_t *)"m@m";
}

typedef struct ladder {
    tsu_writer w;
    size_t     at[128];
    bool       place[128];          /* LEAST or MOST is in it: it may be compared, but is no term */
    size_t     count;
} ladder;

static void rung(ladder *l)
{
    l->place[l->count] = false;
    l->at[l->count++] = l->w.len;
}

static void raw(ladder *l, const char *bytes, size_t len)
{
    rung(l);
    tsu_write_bytes(&l->w, bytes, len);
}

static void place(ladder *l, const char *bytes, size_t len)
{
    raw(l, bytes, len);
    l->place[l->count - 1] = true;
}

static void build(ladder *l)
{
    static const uint8_t big[20] = {0, 0, 0, 0, 0, 0, 0, 0, 1};
    static const double  floats[] = {-1e300, -9223372036854775808.0, -3.5, -3.0, -2.5, -0.5, -4.9e-324};

    tsu_codec = (tsu_codec_config){.zero_signs_equal = true, .atom_text = text_of, .node = node_of};
    tsu_writer_init(&l->w, NULL, 0);
    l->count = 0;
    place(l, "\xa0", 1);
    for (size_t i = 0; i < sizeof floats / sizeof floats[0]; i++) { rung(l); tsu_write_float(&l->w, floats[i]); }
    rung(l); tsu_write_int(&l->w, 0);
    rung(l); tsu_write_float(&l->w, 0.25);
    rung(l); tsu_write_int(&l->w, 1);
    rung(l); tsu_write_float(&l->w, 1.0000000000000002);
    rung(l); tsu_write_int(&l->w, 127);
    rung(l); tsu_write_int(&l->w, 128);
    rung(l); tsu_write_float(&l->w, 9007199254740992.0);
    rung(l); tsu_write_int(&l->w, 9007199254740993);
    rung(l); tsu_write_int(&l->w, ((int64_t)1 << 55) - 1);
    rung(l); tsu_write_int(&l->w, (int64_t)1 << 55);
    rung(l); tsu_write_int(&l->w, INT64_MAX);
    rung(l); tsu_write_float(&l->w, 9223372036854775808.0);
    rung(l); tsu_write_big(&l->w, false, big, 9);
    rung(l); tsu_write_float(&l->w, 1e300);
    for (uint64_t a = 0; a < 7; a++) { rung(l); tsu_write_atom(&l->w, a); }
    raw(l, "\x9d\x03\0a@b\1\0\0\0\1\5\0\0\0", 15);                     /* reference of a@b */
    raw(l, "\x98\1\0\0\0\0\0\0\0\0\0\0\0", 13);                         /* ours, of m@m, creation 2 */
    raw(l, "\x98\0\0\0\0\1\0\0\0\0\0\0\0", 13);
    raw(l, "\x9d\x03\0m@m\3\0\0\0\1\0\0\0\0", 15);
    raw(l, "\x9f\2\x8b\1\0\0\0\x8b\1\0\0\0", 12);                     /* fun a:a/2 */
    raw(l, "\x9f\3\x8b\1\0\0\0\x8b\1\0\0\0", 12);
    raw(l, "\x97\5\0\0\0\0\0\0\0", 9);
    raw(l, "\x96\5\0\0\0\0\0\0\0", 9);
    raw(l, "\x9b\x03\0z@z\1\0\0\0\5\0\0\0\0\0\0\0", 18);
    raw(l, "\x96\4\0\0\0\1\0\0\0", 9);
    raw(l, "\xe0", 1);
    place(l, "\xe1\xa0", 2);                                             /* {LEAST} */
    raw(l, "\xe1\xc1z", 3);
    place(l, "\xe1\xa1", 2);
    place(l, "\xe2\x10\xa0", 3);
    raw(l, "\xe2\x10\x10", 3);
    raw(l, "\xe2\x10\x11", 3);
    place(l, "\xe2\x10\xa1", 3);
    raw(l, "\x95\0", 2);
    raw(l, "\x95\1\x11\x12", 4);                                          /* #{1 => 2} */
    raw(l, "\x95\1\x11\x13", 4);
    raw(l, "\x95\1\x8a\0\0\0\0\0\0\xf0\x3f\x10", 12);                      /* #{1.0 => 0}: any integer key is less */
    raw(l, "\x8d", 1);
    place(l, "\x93\1\x11\xa0", 4);                                        /* [1|LEAST] */
    raw(l, "\x93\1\x11\x12", 4);                                          /* [1|2] */
    raw(l, "\x91\1\1", 3);                                                /* [1] */
    raw(l, "\x91\2\1\2", 4);
    raw(l, "\x92\2\x11\x8b\1\0\0\0", 8);                                  /* [1,a] */
    raw(l, "\x93\1\x11\xc0", 4);                                          /* [1|<<>>] */
    place(l, "\x93\1\x11\xa1", 4);
    raw(l, "\xc0", 1);
    raw(l, "\x8f\1\0", 3);
    raw(l, "\xc1\0", 2);
    raw(l, "\xc2\0\0", 3);
    raw(l, "\xc1\1", 2);
    raw(l, "\x8f\3\xa0", 3);
    raw(l, "\xc1\xa0", 2);
    raw(l, "\xc8\xff\xff\xff\xff\xff\xff\xff\xff", 9);
    place(l, "\xa1", 1);
}

static int sign(int c) { return c < 0 ? -1 : c > 0; }

TEST(a_ladder_of_all_kinds_is_in_order_by_every_way_to_tell)
{
    ladder l;

    build(&l);
    for (size_t i = 0; i < l.count; i++) {
        size_t end = i + 1 < l.count ? l.at[i + 1] : l.w.len;
        EXPECT_EQ(tsu_term_validate(l.w.bytes + l.at[i], end - l.at[i], true), l.place[i] ? TSU_CORRUPT : TSU_OK);
    }
    for (size_t i = 0; i < l.count; i++) {
        for (size_t j = 0; j < l.count; j++) {
            const uint8_t *a = l.w.bytes + l.at[i], *b = l.w.bytes + l.at[j];
            int            want = i < j ? -1 : i > j, bytes;
            bool           exact;
            uint64_t       x = tsu_order_head_both(a, &exact), y = tsu_order_head(b);
            tsu_writer     u, v;

            if (sign(tsu_term_compare(a, b)) != want) printf("rungs %zu and %zu\n", i, j);
            EXPECT_EQ(sign(tsu_term_compare(a, b)), want);
            if (x != y) EXPECT_EQ(x < y ? -1 : 1, want);
            else if (exact) EXPECT_EQ(want, 0);
            tsu_writer_init(&u, NULL, 0);
            tsu_writer_init(&v, NULL, 0);
            tsu_order_encode(a, &u);
            tsu_order_encode(b, &v);
            bytes = memcmp(u.bytes, v.bytes, u.len < v.len ? u.len : v.len);
            EXPECT_EQ(sign(bytes), want);
            tsu_writer_deinit(&u);
            tsu_writer_deinit(&v);
        }
    }
    tsu_writer_deinit(&l.w);
}

TEST(an_integer_and_the_equal_float_are_one_key)
{
    uint64_t rng = tsu_test_seed();

    for (long i = 0; i < tsu_test_rounds(100000); i++) {
        uint8_t    a_buffer[16], b_buffer[16], u_buffer[64], v_buffer[64];
        tsu_writer a, b, u, v;
        int64_t    n = (int64_t)tsu_rand(&rng) >> (11 + tsu_rand_below(&rng, 50));

        tsu_writer_init(&a, a_buffer, sizeof a_buffer);
        tsu_writer_init(&b, b_buffer, sizeof b_buffer);
        tsu_writer_init(&u, u_buffer, sizeof u_buffer);
        tsu_writer_init(&v, v_buffer, sizeof v_buffer);
        tsu_write_int(&a, n);
        tsu_write_float(&b, (double)n);
        EXPECT_EQ(tsu_term_compare(a.bytes, b.bytes), 0);
        EXPECT(tsu_term_compare_exact(a.bytes, b.bytes) < 0);
        EXPECT(tsu_order_head(a.bytes) == tsu_order_head(b.bytes));
        EXPECT(tsu_order_head_exact(a.bytes));
        tsu_order_encode(a.bytes, &u);
        tsu_order_encode(b.bytes, &v);
        EXPECT_EQ(u.len, v.len);
        EXPECT_MEM(u.bytes, v.bytes, u.len);
    }
}

static void expect_beginnings(const uint8_t *term)
{
    uint8_t    buffer[1024];
    tsu_writer w;
    tsu_text   text;
    bool       exact;
    uint64_t   head = tsu_order_head_both(term, &exact);

    tsu_writer_init(&w, buffer, sizeof buffer);
    tsu_order_encode(term, &w);
    tsu_order_text(term, &text);
    EXPECT(text.len > 0 && text.len <= TSU_TEXT_MAX);
    EXPECT(text.whole ? text.len == w.len : text.len < w.len);
    EXPECT_MEM(text.bytes, w.bytes, text.len);
    for (unsigned i = text.len; i < TSU_TEXT_MAX; i++) EXPECT_EQ(text.bytes[i], 0);
    EXPECT(head == __builtin_bswap64(tsu_get64(text.bytes)));
    EXPECT_EQ(exact, text.whole && text.len <= 8);
    tsu_writer_deinit(&w);
}

static void write_random(tsu_writer *w, uint64_t *rng, int depth)
{
    uint8_t bytes[100];
    size_t  n;

    switch (tsu_rand_below(rng, depth > 0 ? 7 : 5)) {
    case 0:
        tsu_write_int(w, (int64_t)tsu_rand(rng) >> tsu_rand_below(rng, 64));
        break;
    case 1:
        tsu_write_float(w, (double)((int64_t)tsu_rand(rng) >> tsu_rand_below(rng, 64)) / (double)(1 + tsu_rand_below(rng, 9)));
        break;
    case 2:
        tsu_write_float(w, tsu_rand_below(rng, 2) ? 1e300 : -0x1p70);
        break;
    case 3:
        n = tsu_rand_below(rng, tsu_rand_below(rng, 2) ? 10 : 100);
        for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(tsu_rand_below(rng, 5) * 85);
        tsu_write_binary(w, bytes, n);
        break;
    case 4:
        n = 9 + tsu_rand_below(rng, 20);
        for (size_t i = 0; i < n; i++) bytes[i] = (uint8_t)(tsu_rand(rng) | 1);
        tsu_write_big(w, tsu_rand_below(rng, 2), bytes, n);
        break;
    case 5:
        n = tsu_rand_below(rng, 5);
        tsu_write_tuple_begin(w, n);
        for (; n > 0; n--) write_random(w, rng, depth - 1);
        break;
    default:
        n = 1 + tsu_rand_below(rng, 4);
        tsu_write_list_begin(w, n + 1, false);
        tsu_write_float(w, 0.5);
        for (; n > 0; n--) write_random(w, rng, depth - 1);
        break;
    }
}

TEST(heads_and_texts_are_the_beginning_of_the_order_key)
{
    uint64_t rng = tsu_test_seed() + 1;
    ladder   l;

    build(&l);
    for (size_t i = 0; i < l.count; i++) expect_beginnings(l.w.bytes + l.at[i]);
    tsu_writer_deinit(&l.w);
    for (long i = 0; i < tsu_test_rounds(100000); i++) {
        uint8_t    buffer[4000];
        tsu_writer w;

        tsu_writer_init(&w, buffer, sizeof buffer);
        write_random(&w, &rng, (int)tsu_rand_below(&rng, 4));
        expect_beginnings(w.bytes);
        tsu_writer_deinit(&w);
    }
}

TEST(order_keys_without_memory_say_so_and_leak_nothing)
{
    ladder l;
    size_t before;

    build(&l);
    before = tsu_env_bytes_allocated();
    for (size_t i = 0; i < l.count; i++) {
        for (long n = 0; n < 6; n++) {
            tsu_writer w;

            tsu_writer_init(&w, NULL, 0);
            tsu_env_fail_after(n);
            tsu_order_encode(l.w.bytes + l.at[i], &w);
            tsu_env_fail_after(-1);
            EXPECT(w.status == TSU_OK || w.status == TSU_NOMEM);
            tsu_writer_deinit(&w);
            EXPECT_EQ(tsu_env_bytes_allocated(), before);
        }
    }
    tsu_writer_deinit(&l.w);
}

TEST_MAIN
