#include "scan.h"

#include "table.h"

#define RANGES_AT_ONCE 256u
#define SIZES_AT_ONCE  32u          /* of tuples */
#define LAX_BYTES      60000u       /* of objects that are shown without a way to stop; */
#define LAX_EACH       64u          /* so many more for each of a key */
#define LAX_MIN        64u          /* with less it is not worth a try */
#define BEGINNINGS_MAX 8u           /* of a key that somebody changes all the time: then in one go */

typedef struct scanner {
    tsu_object_fn    fn;
    void            *ctx;
    size_t           keypos;
    bool             bag, forward, binaries;
    const tsu_scan  *scan;
    const tsu_bound *end;            /* NULL: none */
    uint64_t         end_head;
    const uint8_t   *last;           /* the last object shown, or of a key with many the newest */
    bool             full;           /* no more keys */
    bool             beyond;         /* a key behind the end was met: this one */
    const uint8_t   *met;
    bool             parts, many;    /* many objects are shown in parts; those of the last key are to be */
    bool             all;            /* but no longer */
} scanner;

static bool is_binary(const uint8_t *key)
{
    return *key == TSU_TAG_BINARY || (*key >= TSU_TAG_BINARY0 && *key < TSU_TAG_TUPLE0);
}

static bool is_beyond(const scanner *s, const uint8_t *key)
{
    uint64_t head = tsu_order_head(key);
    int      c;

    if (TSU_LIKELY(head != s->end_head)) return (head > s->end_head) == s->forward;
    c = tsu_term_compare(key, s->end->key);
    if (c == 0) return s->end->open;
    return (c > 0) == s->forward;
}

static bool is_of_last_key(const scanner *s, const uint8_t *key, size_t len)
{
    size_t         last_len;
    const uint8_t *last = tsu_object_key(s->last, s->keypos, &last_len);

    return last_len == len && memcmp(last, key, len) == 0;
}

static bool scan_show(void *ctx, const uint8_t *object)
{
    scanner *s = ctx;

    if (s->full || s->end != NULL || s->binaries) {
        size_t         len;
        const uint8_t *key = tsu_object_key(object, s->keypos, &len);

        if (s->full && !is_of_last_key(s, key, len)) return false;
        if (s->end != NULL && is_beyond(s, key)) {
            s->beyond = true;
            s->met = key;
            return false;
        }
        s->last = object;
        if (s->binaries && !is_binary(key)) return true;
    }
    s->last = object;
    if (!s->fn(s->ctx, object)) s->full = true;
    return !s->full || s->bag;
}

static bool scan_version(void *ctx, uint64_t word)
{
    scanner *s = ctx;

    if (!s->parts || tsu_version_count(word) < TSU_SCAN_MANY) return tsu_version_show(word, scan_show, s);
    if (s->full) return false;
    s->last = tsu_version_object(word);
    s->many = true;
    return false;
}

static bool part_show(void *ctx, const uint8_t *object)
{
    scanner *s = ctx;

    if (!s->fn(s->ctx, object)) s->full = true;
    return !s->full || s->all;
}

static bool lax_show(void *ctx, const uint8_t *object)
{
    scanner *s = ctx;

    if (!s->fn(s->ctx, object)) s->full = true;
    return true;
}

_Static_assert((TSU_SCAN_MANY - 1) * LAX_EACH > LAX_BYTES, "a key of many is too much");

/* Those with a key of many objects, and those of which it may take long to show all, come singly. */
static tsu_visit_answer scan_versions(void *ctx, const uint64_t *words, size_t count)
{
    scanner      *s = ctx;
    tsu_object_fn fn = s->fn;
    void         *fn_ctx = s->ctx;
    uint64_t      bytes = 0, more = 0, objects = count;

    if (count == 1 && s->parts) return scan_version(s, words[0]) ? TSU_VISIT_ON : TSU_VISIT_END;
    for (size_t i = 0; i < count; i++) {
        uint64_t older = tsu_version_count(words[i]) - 1;

        /* the newest stands for the others, if none is large */
        if (TSU_LIKELY(older == 0 || !tsu_version_large(words[i]))) bytes += (older + 1) * tsu_object_len(tsu_version_object(words[i]));
        else bytes += tsu_version_bytes(words[i]);
        bytes += older * LAX_EACH;
        more |= older;
        objects += older;
    }
    if (count > 1 && (bytes > LAX_BYTES || objects > s->scan->lax)) return TSU_VISIT_SINGLY;
    for (size_t i = 0; i < count; i++) {
        if (TSU_UNLIKELY(more != 0)) tsu_version_show(words[i], lax_show, s);
        else if (TSU_UNLIKELY(!fn(fn_ctx, tsu_version_object(words[i])))) s->full = true;
    }
    s->last = tsu_version_object(words[count - 1]);
    return s->full ? TSU_VISIT_END : TSU_VISIT_ON;
}

/* Goes on with the objects of scan->from, which are many, or were. True: that is done with. */
static bool many_run(tsu_thread *self, tsu_table *table, tsu_scan *scan, scanner *s)
{
    tsu_status status;

    if (!scan->within) {
        scan->part = (tsu_part){0, NULL};
        scan->beginnings = 0;
        if (!scan->many(s->ctx, false)) {
            s->full = true;
            return true;
        }
        scan->within = true;
    }
    do {
        s->all = scan->beginnings >= BEGINNINGS_MAX;
        status = tsu_lookup_part(self, table, scan->from, scan->from_len, &scan->part, part_show, s);
        if (status == TSU_GONE) {
            scan->part = (tsu_part){0, NULL};
            scan->beginnings++;
            (void)scan->many(s->ctx, true);
        }
    } while (status == TSU_GONE);
    scan->within = status == TSU_AGAIN;
    s->full = true;         /* whether that is enough is looked at here, wherever slices end */
    return !scan->within;
}

static void end_set(scanner *s, const tsu_bound *end)
{
    s->end = end->key == NULL ? NULL : end;
    if (s->end != NULL) s->end_head = tsu_order_head(end->key);
}

/* Goes on in one range. True: it is done with. */
static bool range_run(tsu_thread *self, tsu_table *table, tsu_scan *scan, const tsu_range *r, size_t budget, scanner *s)
{
    const tsu_bound *begin = s->forward ? &r->low : &r->high;
    const uint8_t   *from = scan->from;
    size_t           len = scan->from_len;
    bool             done, lax;

    s->last = NULL;
    s->beyond = false;
    s->end = NULL;
    if (from == NULL && begin->key != NULL) {
        from = begin->key;
        len = begin->len;
        if (!begin->open) {
            uint64_t word = tsu_table_find(self, table, from, len);

            if (tsu_cell_holds_version(word)) (void)scan_version(s, word);
        }
        if (r->one && !s->many) return true;
    }
    end_set(s, s->forward ? &r->high : &r->low);
    lax = scan->lax >= LAX_MIN && s->end == NULL && !s->binaries;
    done = false;
    while (!s->full && !s->many && !done && !s->beyond) {
        if (!lax || !tsu_walk_many(self, table, from, len, budget, scan_versions, s, &done))
            tsu_walk_versions(self, table, from, len, s->forward ? TSU_FORWARD : TSU_BACKWARD, budget, scan_version, s, &done);
        if (s->last != NULL) break;
        budget = budget < SIZE_MAX / 8 ? budget * 8 : SIZE_MAX;            /* without an object there is no key to go on from */
    }
    if (s->last != NULL) {
        scan->from = tsu_object_key(s->last, s->keypos, &scan->from_len);
    } else if (s->full) {
        scan->from = from;
        scan->from_len = len;
    }
    if (s->many) {
        s->many = false;
        return many_run(self, table, scan, s) && r->one;
    }
    return !s->full && (done || s->beyond);
}

/* The size of tuples to go on with behind those of `size`, in `family`; 0: none. The last search met a key, or has come to the end
 * of the table. */
static uint64_t size_next(const scanner *s, uint64_t size, uint64_t least)
{
    uint64_t met = s->beyond ? tsu_key_size(s->met) : 0;

    if (met == size) met = s->forward ? met + 1 : met - 1;
    return met < least ? 0 : met;
}

/* Whether all of the range is still to come for who is at that key. */
static bool is_before(const scanner *s, const uint8_t *key, const tsu_range *r)
{
    int c = tsu_term_compare(key, s->forward ? r->low.key : r->high.key);

    return s->forward ? c < 0 : c > 0;
}

/* The same in a family: in the range of one size of tuples after the other, as long as there are any. A search that meets a key
 * behind its range knows by it what sizes come next; so there are two for each size. After many of them `from` may be a key that was
 * not shown, but met between two ranges. */
static bool family_run(tsu_thread *self, tsu_table *table, tsu_scan *scan, const tsu_range *r, size_t budget, scanner *s)
{
    uint8_t    buffer[256];
    uint64_t   least = tsu_key_size(r->low.key), size = least;
    tsu_range  part = {.high = r->high, .low = r->high};         /* behind the last tuple: it meets that */
    tsu_writer w;
    bool       done = true;

    tsu_writer_init(&w, buffer, sizeof buffer);
    if (scan->from != NULL) {
        size = tsu_key_size(scan->from);
        if (size < least) size = least;
    } else if (!s->forward) {
        (void)range_run(self, table, scan, &part, budget, s);
        size = size_next(s, UINT64_MAX, least);
    }
    for (unsigned sizes = 0; size > 0; sizes++, size = size_next(s, size, least)) {
        const uint8_t *at = scan->from != NULL ? scan->from : s->beyond ? s->met : NULL;

        scan->status = tsu_range_of_size(r, size, &w, &part);
        done = scan->status == TSU_OK;
        if (done && at != NULL && is_before(s, at, &part)) {
            done = sizes < SIZES_AT_ONCE;
            scan->from = done ? NULL : at;
            scan->from_len = done ? 0 : tsu_term_len(at);
        }
        done = done && range_run(self, table, scan, &part, budget, s);
        if (!done) break;
        scan->from = NULL;
        scan->from_len = 0;
    }
    tsu_writer_deinit(&w);
    return done;
}

static void range_next(tsu_scan *scan)
{
    scan->range++;
    scan->from = NULL;
    scan->from_len = 0;
}

bool tsu_scan_run(tsu_thread *self, tsu_table *table, tsu_scan *scan, size_t budget, tsu_object_fn fn, void *ctx)
{
    tsu_table_type   type = tsu_table_type_of(table);
    scanner          s = { .fn = fn, .ctx = ctx, .scan = scan, .keypos = tsu_table_keypos(table), .bag = type >= TSU_BAG,
                           .parts = scan->many != NULL && type >= TSU_BAG, .binaries = scan->plan->binaries,
                           .forward = scan->direction == TSU_FORWARD };
    const tsu_plan  *plan = scan->plan;

    scan->status = TSU_OK;
    if (scan->within) {
        bool one = plan->ranges[scan->range].one;

        if (!many_run(self, table, scan, &s)) return false;
        if (one) range_next(scan);
    }
    for (size_t left = RANGES_AT_ONCE; left > 0 && scan->range < plan->count && !s.full; left--) {
        const tsu_range *r = &plan->ranges[s.forward ? scan->range : plan->count - 1 - scan->range];

        if (!(r->family ? family_run : range_run)(self, table, scan, r, budget, &s)) break;     /* full, or the budget is used up */
        range_next(scan);
    }
    return scan->range == plan->count;
}
