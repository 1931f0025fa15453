/* batch_sort.c: the arrays of a batch, and sorting them by key: stable, and resumable anywhere. */
#include <string.h>

#include "batch_inner.h"

#define SORT_SHORT    32
#define SORT_MOVES    4     /* an ordered list of which an item has to go farther, or all on the average, is merged */
#define SORT_FAR      256
#define SORT_STEPS    8     /* of sorting are one of a budget */
#define SORT_NEW_PART 128   /* what a part costs: its pages may be new to the system */

/* --- arrays --------------------------------------------------------------------------- */
static bool array_slots(tsu_thread *self, tsu_array *a, size_t slots)
{
    tsu_item **part = tsu_slab_alloc(self, slots * sizeof *part);

    if (part == NULL) return false;
    memset(part, 0, slots * sizeof *part);
    if (a->slots > 0) memcpy(part, a->part, a->slots * sizeof *part);
    tsu_slab_free(self, a->part, a->slots * sizeof *part);
    a->part = part;
    a->slots = slots;
    return true;
}

tsu_item *tsu_array_room(tsu_thread *self, tsu_array *a, size_t i)
{
    size_t    k = i >> TSU_ARRAY_PART_SHIFT, items;
    tsu_item *part;

    if (k >= a->slots && !array_slots(self, a, a->slots == 0 ? 1 : a->slots * 8)) return NULL;
    if (k > 0) {
        if (a->part[k] == NULL) a->part[k] = tsu_slab_alloc(self, TSU_ARRAY_PART_ITEMS * sizeof(tsu_item));
        return a->part[k] != NULL ? tsu_item_at(a, i) : NULL;
    }
    if (i >= a->first_items) {
        for (items = a->first_items > 0 ? a->first_items : 16; items <= i; items *= 2) {}
        if ((part = tsu_slab_alloc(self, items * sizeof *part)) == NULL) return NULL;
        if (a->first_items > 0) memcpy(part, a->part[0], a->first_items * sizeof *part);
        if (a->first_items > 0) tsu_slab_free(self, a->part[0], a->first_items * sizeof *part);
        a->part[0] = part;
        a->first_items = items;
    }
    return &a->part[0][i];
}

void tsu_array_free(tsu_thread *self, tsu_array *a, size_t first)
{
    for (; first < a->slots; first++)
        if (a->part[first] != NULL) tsu_slab_free(self, a->part[first], tsu_array_part_bytes(a, first));
    tsu_slab_free(self, a->part, a->slots * sizeof *a->part);
    *a = (tsu_array){NULL, 0, 0};
}

/* --- sorting ---------------------------------------------------------------------------- */
static void swap_arrays(tsu_batch *b)
{
    tsu_array items = b->items;

    b->items = b->spare;
    b->spare = items;
}

/* A short list: in place. Stable. */
static void sort_short(tsu_batch *b)
{
    tsu_item *items = b->items.part[0];
    size_t    at, i;

    for (at = 1; at < b->count; at++) {
        tsu_item item = items[at];

        for (i = at; i > 0 && tsu_item_compare(b, &items[i - 1], &item) > 0; i--) items[i] = items[i - 1];
        items[i] = item;
    }
}
_Static_assert(SORT_SHORT <= TSU_ARRAY_PART_ITEMS, "a short list is in one part");

/* Item `i` of the array that is sorted into; NULL: no memory. */
static inline tsu_item *spare_at(tsu_thread *self, tsu_batch *b, size_t i, size_t *steps)
{
    if (TSU_LIKELY(b->spare.part[i >> TSU_ARRAY_PART_SHIFT] != NULL)) return tsu_item_at(&b->spare, i);
    *steps = *steps > SORT_NEW_PART ? *steps - SORT_NEW_PART : 1;
    return tsu_array_room(self, &b->spare, i);
}

static uint32_t *sort_starts(const tsu_batch *b, unsigned pass)
{
    return b->sort.starts + ((size_t)pass << b->sort.bits);
}

/* Where the digits of a pass are in a mark: the passes together see the top bits in which marks differ. */
static unsigned sort_shift(const tsu_batch *b, unsigned pass)
{
    unsigned top = b->varies != 0 ? 64 - (unsigned)__builtin_clzll(b->varies) : 64, bits = b->sort.bits * b->sort.passes;

    return (top > bits ? top - bits : 0) + b->sort.bits * pass;
}

static size_t starts_bytes(const tsu_batch *b) { return ((size_t)b->sort.passes << b->sort.bits) * sizeof(uint32_t); }

static tsu_status sort_count(tsu_batch *b, size_t *steps)
{
    struct tsu_sort *s = &b->sort;
    uint32_t         mask = (1u << s->bits) - 1;
    unsigned         pass, d;

    for (; s->at < b->count && *steps > 0; s->at++, --*steps)
        for (pass = 0; pass < s->passes; pass++)
            sort_starts(b, pass)[tsu_item_at(&b->items, s->at)->mark >> sort_shift(b, pass) & mask]++;
    if (s->at < b->count) return TSU_AGAIN;
    for (pass = 0; pass < s->passes; pass++) {
        uint32_t *starts = sort_starts(b, pass), sum = 0;

        for (d = 0; d <= mask; d++) {
            uint32_t n = starts[d];

            starts[d] = sum;
            sum += n;
        }
    }
    s->counted = true;
    s->at = 0;
    return TSU_OK;
}

/* A pass or more over the top bits in which marks differ, lowest digit first; the few that tie are put right after. With
 * hashes they are few; where they are not, merging does the rest. */
static tsu_status sort_spread(tsu_thread *self, tsu_batch *b, size_t *steps)
{
    struct tsu_sort *s = &b->sort;
    tsu_status       status;

    if (!s->counted && (status = sort_count(b, steps)) != TSU_OK) return status;
    for (; s->pass < s->passes; s->pass++) {
        unsigned  shift = sort_shift(b, s->pass);
        uint32_t *starts = sort_starts(b, s->pass), mask = (1u << s->bits) - 1;

        for (; s->at < b->count && *steps > 0; s->at++, --*steps) {
            const tsu_item *item = tsu_item_at(&b->items, s->at);
            uint32_t       *start = &starts[item->mark >> shift & mask];
            tsu_item       *to = spare_at(self, b, *start, steps);

            if (to == NULL) return TSU_NOMEM;
            *to = *item;
            ++*start;
        }
        if (s->at < b->count) return TSU_AGAIN;
        swap_arrays(b);
        s->at = 0;
    }
    if (s->at == 0) s->at = 1;
    for (; s->at < b->count && *steps > 0; s->at++, --*steps) {
        tsu_item item = *tsu_item_at(&b->items, s->at);
        size_t   i = s->at;
        bool     far = false;

        if (tsu_item_compare(b, tsu_item_at(&b->items, i - 1), &item) <= 0) continue;
        do {
            if (b->type == TSU_ORDERED_SET && (far = s->at - i == SORT_FAR)) break;
            *tsu_item_at(&b->items, i) = *tsu_item_at(&b->items, i - 1);
            i--;
        } while (i > 0 && tsu_item_compare(b, tsu_item_at(&b->items, i - 1), &item) > 0);
        *tsu_item_at(&b->items, i) = item;
        s->moves += s->at - i;
        if (b->type == TSU_ORDERED_SET && (far || s->moves > SORT_MOVES * b->count)) return TSU_OK;
    }
    if (s->at < b->count) return TSU_AGAIN;
    b->sorted = true;
    return TSU_OK;
}

/* Order heads have no such even spread: merging, runs of doubling width. */
static tsu_status sort_merge(tsu_thread *self, tsu_batch *b, size_t *steps)
{
    struct tsu_sort *s = &b->sort;

    if (s->width == 0) s->width = 1;
    while (s->width < b->count) {
        while (s->lo < b->count) {
            size_t mid = s->lo + s->width < b->count ? s->lo + s->width : b->count;
            size_t hi = mid + s->width < b->count ? mid + s->width : b->count;

            if (s->at == s->lo) {
                s->i = s->lo;
                s->j = mid;
            }
            for (; s->at < hi && *steps > 0; s->at++, --*steps) {
                bool      left = s->j == hi
                         || (s->i < mid
                             && tsu_item_compare(b, tsu_item_at(&b->items, s->i), tsu_item_at(&b->items, s->j)) <= 0);
                tsu_item *to = spare_at(self, b, s->at, steps);

                if (to == NULL) return TSU_NOMEM;
                *to = *tsu_item_at(&b->items, left ? s->i++ : s->j++);
            }
            if (s->at < hi) return TSU_AGAIN;
            s->lo = hi;
        }
        swap_arrays(b);
        s->width *= 2;
        s->lo = s->at = 0;
    }
    return TSU_OK;
}

/* Few items are spread by one short pass, many by as few passes as leave few ties. Order heads differ in more bits than they
 * need: a number's exponent is among them. */
static void sort_plan(tsu_batch *b)
{
    struct tsu_sort *s = &b->sort;
    bool             few = b->count <= 4096, two = b->count <= ((size_t)1 << 19);

    s->bits = two && !few && b->type != TSU_ORDERED_SET ? 10 : 8;
    s->passes = b->type == TSU_ORDERED_SET ? 3 : few ? 1 : two ? 2 : 3;
    s->spread = b->varies == 0;
}

tsu_status tsu_batch_sort(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    struct tsu_sort *s = &b->sort;
    size_t           steps = *budget * SORT_STEPS, parts = (b->count + TSU_ARRAY_PART_ITEMS - 1) >> TSU_ARRAY_PART_SHIFT;
    tsu_status       status = TSU_OK;

    if (b->sorted || b->count < 2) return TSU_OK;
    if (b->count <= SORT_SHORT) {
        sort_short(b);
        return TSU_OK;
    }
    if (s->starts == NULL) {
        sort_plan(b);
        s->starts = tsu_slab_alloc(self, starts_bytes(b));
        if (s->starts == NULL) return TSU_NOMEM;
        memset(s->starts, 0, starts_bytes(b));
    }
    if (b->spare.slots < parts && !array_slots(self, &b->spare, parts)) return TSU_NOMEM;
    if (b->spare.first_items == 0
        && tsu_array_room(self, &b->spare,
                          b->count < TSU_ARRAY_PART_ITEMS ? b->count - 1 : TSU_ARRAY_PART_ITEMS - 1) == NULL)
        return TSU_NOMEM;
    if (!s->spread && (status = sort_spread(self, b, &steps)) == TSU_OK) {
        s->spread = true;
        s->at = 0;
    }
    if (status == TSU_OK && !b->sorted) status = sort_merge(self, b, &steps);
    *budget = steps / SORT_STEPS;
    return status;
}

void tsu_batch_sort_free(tsu_thread *self, tsu_batch *b)
{
    if (b->sort.starts != NULL) tsu_slab_free(self, b->sort.starts, starts_bytes(b));
}
