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
static void scan_all(tsu_thread *self, tsu_table *t, const char *spec_text, tsu_direction direction, size_t stop, size_t budget, seen *s)
{
    text_term      text;
    const uint8_t *spec = text_term_read(&text, spec_text);
    tsu_ms        *ms = NULL;
    tsu_plan      *plan = NULL;
    tsu_scan       scan = {.direction = direction};
    uint8_t        from[64];
    bool           done = false;

    memset(s, 0, sizeof *s);
    s->stop = stop;
    CHECK(tsu_ms_compile(spec, text.w.len, NULL, 0, false, &ms, NULL) == TSU_OK);
    CHECK(tsu_plan_create(ms, 1, tsu_table_type_of(t) == TSU_ORDERED_SET, &plan) == TSU_OK);
    scan.plan = plan;
    while (!done) {
        tsu_pin(self);
        done = tsu_scan_run(self, t, &scan, budget, see, s);
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

TEST_MAIN
