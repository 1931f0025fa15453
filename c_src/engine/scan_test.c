/* scan_test.c: plans, walked on tables: all of it, in any pieces, both ways. */
#include "scan.h"
#include "testing/term_text.h"
#include "testing/harness.h"

#define KEYS 300

static tsu_thread *setup(void)
{
    text_begin(true);
    CHECK(tsu_engine_open() == TSU_OK);
    return tsu_thread_self();
}

/* {I, I rem 7} for I = 0 .. KEYS - 1; of a bag each key has a second object {I, x}. */
static tsu_table *filled(tsu_thread *self, tsu_table_type type)
{
    tsu_table *t = NULL;

    tsu_pin(self);
    CHECK(tsu_table_create(self, type, 1, &t) == TSU_OK);
    for (int copy = 0; copy <= (type >= TSU_BAG); copy++)
        for (int64_t i = 0; i < KEYS; i++) {
            uint8_t         room[64];
            tsu_writer      w;
            tsu_object_mark mark;

            tsu_writer_init(&w, room, sizeof room);
            tsu_write_object_begin(&w, 2, &mark);
            tsu_write_int(&w, i * 37 % KEYS);
            tsu_write_int(&w, copy);
            tsu_write_object_end(&w, 2, &mark);
            CHECK(tsu_insert(self, t, w.bytes, w.len) == TSU_OK);
            tsu_writer_deinit(&w);
        }
    tsu_unpin(self);
    return t;
}

typedef struct seen {
    int     count[KEYS];
    int64_t order[2 * KEYS];
    size_t  total, stop;        /* fn answers false each time so many have been shown; 0: never */
} seen;

static bool see(void *ctx, const uint8_t *object)
{
    seen          *s = ctx;
    size_t         len;
    int64_t        key;

    CHECK(tsu_term_int64(tsu_object_key(object, 1, &len), &key));
    s->count[key]++;
    s->order[s->total++] = key;
    return s->stop == 0 || s->total % s->stop != 0;
}

/* The whole scan, each run in a pin of its own with a cursor that is copied in between. */
static void scan_with(tsu_thread *self, tsu_table *t, const char *spec_text, tsu_direction direction, size_t stop, size_t budget,
                      uint64_t lax, tsu_object_fn fn, seen *s)
{
    text_term      text;
    const uint8_t *spec = text_term_read(&text, spec_text);
    tsu_ms        *ms = NULL;
    tsu_plan      *plan = NULL;
    tsu_scan       scan = {.direction = direction, .lax = lax};
    uint8_t        from[64];
    bool           done = false;

    memset(s, 0, sizeof *s);
    s->stop = stop;
    CHECK(tsu_ms_compile(spec, text.w.len, NULL, 0, false, &ms, NULL) == TSU_OK);
    CHECK(tsu_plan_create(ms, 1, tsu_table_type_of(t) == TSU_ORDERED_SET, &plan) == TSU_OK);
    scan.plan = plan;
    while (!done) {
        tsu_pin(self);
        done = tsu_scan_run(self, t, &scan, budget, fn, s);
        CHECK(scan.status == TSU_OK);
        if (scan.from != NULL) {
            CHECK(scan.from_len <= sizeof from);
            memmove(from, scan.from, scan.from_len);
            scan.from = from;
        }
        tsu_unpin(self);
    }
    tsu_plan_destroy(plan);
    tsu_ms_destroy(ms);
}

static void scan_all(tsu_thread *self, tsu_table *t, const char *spec_text, tsu_direction direction, size_t stop, size_t budget, seen *s)
{
    scan_with(self, t, spec_text, direction, stop, budget, 0, see, s);
}

static void expect_range(const seen *s, int64_t low, int64_t high, int copies)
{
    for (int64_t i = 0; i < KEYS; i++) EXPECT_EQ(s->count[i], i >= low && i < high ? copies : 0);
}

TEST(every_piece_of_a_scan_goes_on_where_the_one_before_stopped)
{
    tsu_thread *self = setup();

    for (int type = 0; type < 4; type++) {
        tsu_table *t = filled(self, (tsu_table_type)type);
        int        copies = type >= TSU_BAG ? 2 : 1;
        seen       s;

        for (size_t stop = 0; stop < 12; stop++)
            for (size_t budget = 1; budget < 5000; budget *= 17) {
                scan_all(self, t, "[{'_', [], [true]}]", TSU_FORWARD, stop, budget, &s);
                expect_range(&s, 0, KEYS, copies);
                scan_with(self, t, "[{'_', [], [true]}]", TSU_FORWARD, stop, budget, 64 + stop % 3, see, &s);
                expect_range(&s, 0, KEYS, copies);
                scan_with(self, t, "[{'_', [], [true]}]", TSU_FORWARD, stop, budget, UINT64_MAX, see, &s);
                expect_range(&s, 0, KEYS, copies);
                if (type != TSU_ORDERED_SET) continue;
                for (size_t i = 1; i < s.total; i++) EXPECT(s.order[i - 1] < s.order[i]);
                scan_all(self, t, "[{'_', [], [true]}]", TSU_BACKWARD, stop, budget, &s);
                expect_range(&s, 0, KEYS, copies);
                for (size_t i = 1; i < s.total; i++) EXPECT(s.order[i - 1] > s.order[i]);
            }
        tsu_table_destroy(self, t);
    }
    tsu_engine_sync(self);
    tsu_engine_close();
}

static void large_insert(tsu_thread *self, tsu_table *t, int64_t key, int64_t value, size_t bytes)
{
    static const uint8_t zeros[4000];
    tsu_writer           w;
    tsu_object_mark      mark;

    tsu_writer_init(&w, NULL, 0);
    tsu_write_object_begin(&w, 3, &mark);
    tsu_write_int(&w, key);
    tsu_write_int(&w, value);
    tsu_write_binary(&w, zeros, bytes);
    tsu_write_object_end(&w, 3, &mark);
    CHECK(tsu_insert(self, t, w.bytes, w.len) == TSU_OK);
    tsu_writer_deinit(&w);
}

static bool see_none(void *ctx, const uint8_t *object)
{
    (void)object;
    ++*(size_t *)ctx;
    return false;
}

/* Of 50 keys, each with that many objects, of which the oldest have that size and the newest is small, what is shown to who has had
 * enough at once. */
static size_t shown_too_many(tsu_thread *self, int64_t objects, size_t bytes)
{
    tsu_table *t = NULL;
    tsu_scan   scan = {.plan = &tsu_plan_all, .direction = TSU_FORWARD, .lax = UINT64_MAX};
    size_t     shown = 0;

    tsu_pin(self);
    CHECK(tsu_table_create(self, TSU_BAG, 1, &t) == TSU_OK);
    for (int64_t i = 1; i <= objects; i++)
        for (int64_t key = 0; key < 50; key++) large_insert(self, t, key, i, i == objects ? 0 : bytes);
    CHECK(!tsu_scan_run(self, t, &scan, 4000, see_none, &shown));
    tsu_unpin(self);
    tsu_table_destroy(self, t);
    tsu_engine_sync(self);
    return shown;
}

TEST(large_objects_behind_a_small_one_are_not_shown_without_a_way_to_stop)
{
    tsu_thread *self = setup();

    EXPECT(shown_too_many(self, 4, 10) >= 4 * 25);
    EXPECT_EQ(shown_too_many(self, 4, 4000), 4);
    EXPECT_EQ(shown_too_many(self, 300, 1000), 300);          /* groups */
    tsu_engine_close();
}

TEST(a_scan_shows_its_ranges_and_nothing_else)
{
    static const struct { const char *spec; int64_t low, high; } ranges[] = {
        {"[{{'$1', '_'}, [{'>', '$1', 10}, {'<', '$1', 20}], [true]}]", 11, 20},
        {"[{{'$1', '_'}, [{'>=', '$1', 10}, {'=<', '$1', 20}], [true]}]", 10, 21},
        {"[{{'$1', '_'}, [{'>=', '$1', 290}], [true]}]", 290, KEYS},
        {"[{{'$1', '_'}, [{'<', '$1', 7}], [true]}]", 0, 7},
        {"[{{'$1', '_'}, [{'<', '$1', 7}], [true]}, {{7, '_'}, [], [true]}, {{'$1', '_'}, [{'>', '$1', 7}, {'<', '$1', 9}], [true]}]", 0, 9},
        {"[{{77, '_'}, [], [true]}]", 77, 78},
        {"[{{9999, '_'}, [], [true]}]", 0, 0},
        {"[{{'$1', '_'}, [{'>', '$1', 5000}], [true]}]", 0, 0}
    };
    tsu_thread *self = setup();
    tsu_table  *t = filled(self, TSU_ORDERED_SET);
    seen        s;

    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        for (size_t stop = 0; stop < 5; stop++)
            for (int direction = 0; direction < 2; direction++) {
                scan_all(self, t, ranges[i].spec, direction == 0 ? TSU_FORWARD : TSU_BACKWARD, stop, 4000, &s);
                expect_range(&s, ranges[i].low, ranges[i].high, 1);
                for (size_t k = 1; k < s.total; k++) EXPECT((s.order[k - 1] < s.order[k]) == (direction == 0));
            }
    tsu_table_destroy(self, t);
    tsu_engine_sync(self);
    tsu_engine_close();
}

TEST(keys_are_looked_up_in_a_hash_table)
{
    tsu_thread *self = setup();

    for (int type = 0; type < 4; type++) {
        tsu_table *t = filled(self, (tsu_table_type)type);
        int        copies = type >= TSU_BAG ? 2 : 1;
        seen       s;

        for (size_t stop = 0; stop < 3; stop++) {
            scan_all(self, t, "[{{5, '_'}, [], [true]}, {{6, '_'}, [], [true]}, {{5, x}, [], [true]}]", TSU_FORWARD, stop, 4000, &s);
            expect_range(&s, 5, 7, copies);
        }
        tsu_table_destroy(self, t);
    }
    tsu_engine_sync(self);
    tsu_engine_close();
}

/* Tuples {X, ...} of some sizes with X = 0 .. 9, and other terms before and behind them. */
static const int64_t sizes[] = {1, 2, 3, 5, 6, 20};
#define SIZES (sizeof sizes / sizeof sizes[0])
#define OF_EACH 10

static tsu_table *filled_with_tuples(tsu_thread *self)
{
    static const char *const others[] = {"{1}", "{a}", "{{}}", "{#{}}", "{[1]}", "{<<\"x\">>}"};
    tsu_table *t = NULL;
    text_term  text;

    tsu_pin(self);
    CHECK(tsu_table_create(self, TSU_ORDERED_SET, 1, &t) == TSU_OK);
    for (size_t i = 0; i < SIZES * OF_EACH; i++) {
        uint8_t         room[128];
        tsu_writer      w;
        tsu_object_mark mark;
        int64_t         size = sizes[i / OF_EACH];

        tsu_writer_init(&w, room, sizeof room);
        tsu_write_object_begin(&w, 2, &mark);
        tsu_write_tuple_begin(&w, (size_t)size);
        tsu_write_int(&w, (int64_t)(i % OF_EACH));
        for (int64_t k = 1; k < size; k++) tsu_write_int(&w, k);
        tsu_write_int(&w, size);
        tsu_write_object_end(&w, 2, &mark);
        CHECK(tsu_insert(self, t, w.bytes, w.len) == TSU_OK);
        tsu_writer_deinit(&w);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        text_object_read(&text, others[i]);
        CHECK(tsu_insert(self, t, text.w.bytes, text.w.len) == TSU_OK);
    }
    tsu_unpin(self);
    return t;
}

/* The size, and the first element, of the key of what is shown. */
static bool see_tuple(void *ctx, const uint8_t *object)
{
    seen          *s = ctx;
    size_t         len;
    const uint8_t *key = tsu_object_key(object, 1, &len);
    int64_t        first;
    tsu_token      t;

    tsu_term_next(&key, &t);
    CHECK(t.kind == TSU_TUPLE && t.n > 0 && tsu_term_int64(key, &first));
    s->order[s->total++] = (int64_t)t.n * OF_EACH + first;
    return s->stop == 0 || s->total % s->stop != 0;
}

TEST(a_family_is_one_range_for_each_size_of_tuples)
{
    static const struct { const char *guards; int64_t size, low, high; } families[] = {
        {"{'==', {element, 1, '$1'}, 4}", 1, 4, 5},
        {"{'==', {element, 1, '$1'}, 0}", 1, 0, 1},
        {"{'==', {element, 1, '$1'}, 9}", 1, 9, 10},
        {"{'>', {element, 1, '$1'}, 4}, {'<', {element, 1, '$1'}, 7}", 1, 5, 7},
        {"{'>=', {element, 1, '$1'}, 4}, {'=<', {element, 1, '$1'}, 7}", 1, 4, 8},
        {"{'>', {element, 1, '$1'}, 4}, {is_integer, {element, 1, '$1'}}, {'<', {element, 1, '$1'}, 44}", 1, 5, 10},
        {"{'==', {element, 1, '$1'}, 4}, {'==', {element, 3, '$1'}, 2}", 3, 4, 5},
        {"{'==', {element, 1, '$1'}, 44}", 1, 0, 0},
        {"{'==', {element, 1, '$1'}, 4}, {'==', {element, 19, '$1'}, 18}", 19, 4, 5},
        {"{'==', {element, 1, '$1'}, 4}, {'==', {element, 21, '$1'}, 18}", 21, 4, 5}
    };
    tsu_thread *self = setup();
    tsu_table  *t = filled_with_tuples(self);
    char        spec[256];
    seen        s;

    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        for (size_t stop = 0; stop < 4; stop++)
            for (int direction = 0; direction < 2; direction++)
                for (size_t budget = 1; budget < 5000; budget *= 70) {
                    size_t k = 0;

                    snprintf(spec, sizeof spec, "[{{'$1', '_'}, [%s], [true]}]", families[i].guards);
                    scan_with(self, t, spec, direction == 0 ? TSU_FORWARD : TSU_BACKWARD, stop, budget, 0, see_tuple, &s);
                    for (size_t n = 0; n < SIZES; n++) {
                        if (sizes[n] < families[i].size) continue;
                        for (int64_t first = families[i].low; first < families[i].high; first++, k++)
                            EXPECT_EQ(s.order[direction == 0 ? k : s.total - 1 - k], sizes[n] * OF_EACH + first);
                    }
                    EXPECT_EQ(s.total, k);
                }
    tsu_table_destroy(self, t);
    tsu_engine_sync(self);
    tsu_engine_close();
}

TEST_MAIN
