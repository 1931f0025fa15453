/* batch.c: many objects, all or nothing: sort by key, install, commit, settle; each in slices.
 *
 *     ADDING -> SORTING -> FILLING -> RESERVING -> INSTALLING -> SETTLING -> OVER     all are in
 *                                                       |
 *                                                       +------> UNDOING  -> OVER     a key was there, or it was given up
 */
#include <string.h>

#include "batch.h"
#include "reaper.h"
#include "term/order.h"
#include "txn/commit.h"

/* Given up with so many objects or fewer, it is cleaned up on the spot. */
#define BATCH_AT_ONCE 256
#define SORT_SHORT    32
#define SORT_MOVES    4     /* an ordered list of which an item has to go farther, or all on the average, is merged */
#define SORT_FAR      256
/* A key of a bag with more objects than that in the batch, or in the table, is held first and filled then. */
#ifdef TSU_DEBUG
#define HOLD_OBJECTS  4      /* tests get there by short lists too */
#define HOLD_OLD      6
#else
#define HOLD_OBJECTS  64
#define HOLD_OLD      1024
#endif
#define SORT_STEPS    8     /* of sorting are one of a budget */
#define SORT_NEW_PART 128   /* what a part costs: its pages may be new to the system */
/* How far ahead records are fetched into the cache: sorted, they lie anywhere. */
#define FETCH_AHEAD   8

struct item {
    uint64_t    mark;
    tsu_record *record;      /* and marks of ours: DROPPED, FIRST */
};

/* A long array in parts, from the slab: it grows without being copied or moved, which for one of many megabytes takes the
 * system milliseconds, and is given back as it is used up. */
#define PART_SHIFT 9u
#define PART_ITEMS ((size_t)1 << PART_SHIFT)
_Static_assert(PART_ITEMS * sizeof(struct item) <= TSU_SLAB_BYTES_MAX, "a part comes from the slab");

struct array {
    struct item **part;
    size_t        slots;             /* of part[] */
    size_t        first_items;       /* room in the first part, which grows: short lists are frequent */
};

enum phase { ADDING, SORTING, FILLING, RESERVING, INSTALLING, SETTLING, UNDOING, OVER };

struct tsu_batch {
    tsu_table_type       type;
    uint32_t             keypos;
    bool                 new_only;
    bool                 sorted;         /* as they came */
    enum phase           phase;
    tsu_status           outcome;
    struct tsu_contents *contents;       /* a reference */
    struct array         items, spare;
    size_t               count;
    size_t               first_part;     /* of items: those before are gone */
    struct tsu_batch    *next;           /* in the reaper's queue */
    uint64_t             varies;         /* bits in which marks differ */
    struct sort {
        size_t    width, lo, i, j, at;   /* merging */
        unsigned  pass, passes, bits;    /* spreading: pass, and digits */
        bool      counted;
        bool      spread;                /* over, or of no use */
        size_t    moves;
        uint32_t *starts;                /* for each pass, of each digit */
    } sort;
    tsu_commit_record   *commit;
    size_t               cursor;
    size_t               first;          /* bags: the first item of the key at the cursor */
    size_t               installed;      /* bags, undoing: keys that were */
    bool                 key_over;       /* bags, settling and undoing: of the key at the cursor only objects are left to do */
    struct hold {
        enum { HOLD_NONE, HOLD_COUNT, HOLD_SPREAD, HOLD_KNOWN, HOLD_CHAIN } step;
        tsu_group        *group;         /* the key's, in its cell already */
        size_t            at, end;       /* items */
        const tsu_record *known;         /* the next of those that were there */
        tsu_record       *newest;        /* of what is chained so far */
        uint64_t          count, bytes;
        uint32_t         *slots;         /* items by their hash, counted from 1; 0: none */
        size_t            slot_count;
    } hold;
    tsu_group           *group;          /* exact: made and not yet used */
    int64_t              objects, bytes, handles;        /* not counted yet: installed (bags), settled (sets) */
};

/* --- arrays --------------------------------------------------------------------------- */
static inline struct item *item_at(const struct array *a, size_t i) { return &a->part[i >> PART_SHIFT][i & (PART_ITEMS - 1)]; }

static size_t part_bytes(const struct array *a, size_t k) { return (k == 0 ? a->first_items : PART_ITEMS) * sizeof(struct item); }

static bool array_slots(tsu_thread *self, struct array *a, size_t slots)
{
    struct item **part = tsu_slab_alloc(self, slots * sizeof *part);

    if (part == NULL) return false;
    memset(part, 0, slots * sizeof *part);
    if (a->slots > 0) memcpy(part, a->part, a->slots * sizeof *part);
    tsu_slab_free(self, a->part, a->slots * sizeof *part);
    a->part = part;
    a->slots = slots;
    return true;
}

/* The place of item `i`, its part made if need be; NULL: no memory. */
static struct item *array_room(tsu_thread *self, struct array *a, size_t i)
{
    size_t       k = i >> PART_SHIFT, items;
    struct item *part;

    if (k >= a->slots && !array_slots(self, a, a->slots == 0 ? 1 : a->slots * 8)) return NULL;
    if (k > 0) {
        if (a->part[k] == NULL) a->part[k] = tsu_slab_alloc(self, PART_ITEMS * sizeof(struct item));
        return a->part[k] != NULL ? item_at(a, i) : NULL;
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

/* Parts from `first` on. */
static void array_free(tsu_thread *self, struct array *a, size_t first)
{
    for (; first < a->slots; first++)
        if (a->part[first] != NULL) tsu_slab_free(self, a->part[first], part_bytes(a, first));
    tsu_slab_free(self, a->part, a->slots * sizeof *a->part);
    *a = (struct array){NULL, 0, 0};
}

/* --- filling ---------------------------------------------------------------------------- */
tsu_status tsu_batch_create(tsu_thread *self, tsu_table *table, bool new_only, tsu_batch **out)
{
    tsu_batch *b = tsu_slab_alloc(self, sizeof *b);

    if (b == NULL) return TSU_NOMEM;
    memset(b, 0, sizeof *b);
    b->type = table->type;
    b->keypos = table->keypos;
    b->new_only = new_only;
    b->sorted = true;
    b->contents = tsu_table_contents(table);
    tsu_fetch_add(&b->contents->references, 1);
    *out = b;
    return TSU_OK;
}

/* Marks in items' record pointers (bags): the first of its key; one that the bag has already, which is freed in the end. */
#define DROPPED ((uintptr_t)1)
#define FIRST   ((uintptr_t)2)

static tsu_record *item_record(const struct item *item)
{
    return (tsu_record *)((uintptr_t)item->record & ~(DROPPED | FIRST));
}
static bool item_marked(const struct item *item, uintptr_t mark) { return ((uintptr_t)item->record & mark) != 0; }
static void item_mark(struct item *item, uintptr_t mark) { item->record = (tsu_record *)((uintptr_t)item->record | mark); }
static void item_unmark(struct item *item, uintptr_t mark) { item->record = (tsu_record *)((uintptr_t)item->record & ~mark); }

static tsu_key item_key(const tsu_batch *b, const struct item *item)
{
    tsu_key key;

    key.bytes = tsu_object_key(item_record(item)->object, b->keypos, &key.len);
    key.mark = item->mark;
    key.exact = false;
    return key;
}

static int item_compare(const tsu_batch *b, const struct item *x, const struct item *y)
{
    tsu_key kx, ky;
    int     c;

    if (x->mark != y->mark) return x->mark < y->mark ? -1 : 1;
    kx = item_key(b, x);
    ky = item_key(b, y);
    if (b->type == TSU_ORDERED_SET) return tsu_term_compare(kx.bytes, ky.bytes);
    c = memcmp(kx.bytes, ky.bytes, kx.len < ky.len ? kx.len : ky.len);
    if (c != 0) return c;
    return kx.len < ky.len ? -1 : kx.len > ky.len;
}

tsu_status tsu_batch_add(tsu_thread *self, tsu_batch *b, const uint8_t *object, size_t len)
{
    struct item *item;
    size_t       key_len;
    const uint8_t *key;
    tsu_key      k;

    if (b->phase != ADDING) return TSU_BADARG;
    if (b->count == UINT32_MAX) return TSU_LIMIT;
    if ((item = array_room(self, &b->items, b->count)) == NULL) return TSU_NOMEM;
    item->record = tsu_record_create(self, object, len);
    if (item->record == NULL) return TSU_NOMEM;
    key = tsu_object_key(item->record->object, b->keypos, &key_len);
    tsu_table_key(&k, b->contents->kind, key, key_len);
    item->mark = k.mark;
    if (b->sorted && b->count > 0 && item_compare(b, item_at(&b->items, b->count - 1), item) > 0) b->sorted = false;
    b->varies |= item->mark ^ item_at(&b->items, 0)->mark;
    b->count++;
    return TSU_OK;
}

/* --- sorting: stable, and resumable anywhere ------------------------------------------------ */
static void swap_arrays(tsu_batch *b)
{
    struct array items = b->items;

    b->items = b->spare;
    b->spare = items;
}

/* A short list: in place. Stable. */
static void sort_short(tsu_batch *b)
{
    struct item *items = b->items.part[0];
    size_t       at, i;

    for (at = 1; at < b->count; at++) {
        struct item item = items[at];

        for (i = at; i > 0 && item_compare(b, &items[i - 1], &item) > 0; i--) items[i] = items[i - 1];
        items[i] = item;
    }
}
_Static_assert(SORT_SHORT <= PART_ITEMS, "a short list is in one part");

/* Item `i` of the array that is sorted into; NULL: no memory. */
static inline struct item *spare_at(tsu_thread *self, tsu_batch *b, size_t i, size_t *steps)
{
    if (TSU_LIKELY(b->spare.part[i >> PART_SHIFT] != NULL)) return item_at(&b->spare, i);
    *steps = *steps > SORT_NEW_PART ? *steps - SORT_NEW_PART : 1;
    return array_room(self, &b->spare, i);
}

static uint32_t *sort_starts(const tsu_batch *b, unsigned pass) { return b->sort.starts + ((size_t)pass << b->sort.bits); }

/* Where the digits of a pass are in a mark: the passes together see the top bits in which marks differ. */
static unsigned sort_shift(const tsu_batch *b, unsigned pass)
{
    unsigned top = b->varies != 0 ? 64 - (unsigned)__builtin_clzll(b->varies) : 64, bits = b->sort.bits * b->sort.passes;

    return (top > bits ? top - bits : 0) + b->sort.bits * pass;
}

static size_t starts_bytes(const tsu_batch *b) { return ((size_t)b->sort.passes << b->sort.bits) * sizeof(uint32_t); }

static tsu_status sort_count(tsu_batch *b, size_t *steps)
{
    struct sort *s = &b->sort;
    uint32_t     mask = (1u << s->bits) - 1;
    unsigned     pass, d;

    for (; s->at < b->count && *steps > 0; s->at++, --*steps)
        for (pass = 0; pass < s->passes; pass++)
            sort_starts(b, pass)[item_at(&b->items, s->at)->mark >> sort_shift(b, pass) & mask]++;
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
    struct sort *s = &b->sort;
    tsu_status   status;

    if (!s->counted && (status = sort_count(b, steps)) != TSU_OK) return status;
    for (; s->pass < s->passes; s->pass++) {
        unsigned  shift = sort_shift(b, s->pass);
        uint32_t *starts = sort_starts(b, s->pass), mask = (1u << s->bits) - 1;

        for (; s->at < b->count && *steps > 0; s->at++, --*steps) {
            const struct item *item = item_at(&b->items, s->at);
            uint32_t          *start = &starts[item->mark >> shift & mask];
            struct item       *to = spare_at(self, b, *start, steps);

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
        struct item item = *item_at(&b->items, s->at);
        size_t      i = s->at;
        bool        far = false;

        if (item_compare(b, item_at(&b->items, i - 1), &item) <= 0) continue;
        do {
            if (b->type == TSU_ORDERED_SET && (far = s->at - i == SORT_FAR)) break;
            *item_at(&b->items, i) = *item_at(&b->items, i - 1);
            i--;
        } while (i > 0 && item_compare(b, item_at(&b->items, i - 1), &item) > 0);
        *item_at(&b->items, i) = item;
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
    struct sort *s = &b->sort;

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
                bool         left = s->j == hi
                            || (s->i < mid && item_compare(b, item_at(&b->items, s->i), item_at(&b->items, s->j)) <= 0);
                struct item *to = spare_at(self, b, s->at, steps);

                if (to == NULL) return TSU_NOMEM;
                *to = *item_at(&b->items, left ? s->i++ : s->j++);
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
    struct sort *s = &b->sort;
    bool         few = b->count <= 4096, two = b->count <= ((size_t)1 << 19);

    s->bits = two && !few && b->type != TSU_ORDERED_SET ? 10 : 8;
    s->passes = b->type == TSU_ORDERED_SET ? 3 : few ? 1 : two ? 2 : 3;
    s->spread = b->varies == 0;
}

static tsu_status sort_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    struct sort *s = &b->sort;
    size_t       steps = *budget * SORT_STEPS, parts = (b->count + PART_ITEMS - 1) >> PART_SHIFT;
    tsu_status   status = TSU_OK;

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
    if (b->spare.first_items == 0 && array_room(self, &b->spare, b->count < PART_ITEMS ? b->count - 1 : PART_ITEMS - 1) == NULL)
        return TSU_NOMEM;
    if (!s->spread && (status = sort_spread(self, b, &steps)) == TSU_OK) {
        s->spread = true;
        s->at = 0;
    }
    if (status == TSU_OK && !b->sorted) status = sort_merge(self, b, &steps);
    *budget = steps / SORT_STEPS;
    return status;
}

/* The size has to agree with the contents from the commit on, whoever brings it about; bytes may follow. */
static void count_committed(tsu_thread *self, tsu_commit_record *record, uint64_t vacant)
{
    if (!record->exact) tsu_tally_add(self, record->context, (int64_t)vacant, 0, 0);
}

/* --- the commit ---------------------------------------------------------------------------------- */
/* Equal keys stand beside each other, in the order of the list. */
static bool same_key(const tsu_batch *b, size_t i)
{
    return i + 1 < b->count && item_compare(b, item_at(&b->items, i), item_at(&b->items, i + 1)) == 0;
}

static bool commit_item(tsu_thread *self, tsu_batch *b, const struct item *from, tsu_record *r)
{
    struct tsu_commit_item *item = tsu_commit_add(self, b->commit);

    if (item == NULL) return false;
    item->entry.word = tsu_record_word(r);
    item->mark = from->mark;
    if (b->type >= TSU_BAG) tsu_store_relaxed(&item->entry.under, tsu_stamp(self));
    else tsu_store_relaxed(&r->version.header, (uint64_t)(uintptr_t)&item->entry | TSU_HEADER_ENTRY);
    return true;
}

/* The cursor has come to the end of a part: what is not needed any more goes. */
static void part_used(tsu_thread *self, tsu_batch *b)
{
    size_t k = b->cursor >> PART_SHIFT;

    if (k < b->spare.slots && b->spare.part[k] != NULL) {
        tsu_slab_free(self, b->spare.part[k], part_bytes(&b->spare, k));
        b->spare.part[k] = NULL;
    }
    if (b->type >= TSU_BAG) return;
    tsu_slab_free(self, b->items.part[k], part_bytes(&b->items, k));
    b->items.part[k] = NULL;
    b->first_part = k + 1;
}

/* An item for each key. In a set the last object of a key is the one that counts. */
static tsu_status fill_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    for (; b->cursor < b->count; b->cursor++, --*budget) {
        struct item *item = item_at(&b->items, b->cursor);

        if (*budget == 0) return TSU_AGAIN;
        if (b->cursor + FETCH_AHEAD < b->count)
            __builtin_prefetch(item_at(&b->items, b->cursor + FETCH_AHEAD)->record, 1);
        if (b->type < TSU_BAG) {
            if (same_key(b, b->cursor)) tsu_record_destroy(self, item->record);
            else if (!commit_item(self, b, item, item->record)) return TSU_NOMEM;
        } else {
            bool last = !same_key(b, b->cursor);

            if (b->cursor == b->first) item_mark(item, FIRST);
            if (last && !commit_item(self, b, item_at(&b->items, b->first), item_record(item_at(&b->items, b->first))))
                return TSU_NOMEM;
            if (last) b->first = b->cursor + 1;
        }
        if ((b->cursor & (PART_ITEMS - 1)) == PART_ITEMS - 1) part_used(self, b);
    }
    return TSU_OK;
}

struct install_bag {
    tsu_edit   edit;
    tsu_batch *batch;
    size_t     first, last;      /* items of the key; of many, not all */
    bool       many, held;
};

static bool bag_has_in_batch(const tsu_batch *b, size_t from, size_t to, const uint8_t *object)
{
    for (; from < to; from++)
        if (!item_marked(item_at(&b->items, from), DROPPED)
            && tsu_object_same(item_record(item_at(&b->items, from))->object, object)) return true;
    return false;
}

/* A group that leaves the key as it is, to be filled while nobody else can change it. */
static tsu_verdict hold_decide(tsu_edit *edit, tsu_thread *self, tsu_batch *b, size_t first, uint64_t current)
{
    tsu_record *r = item_record(item_at(&b->items, first));

    if (b->group == NULL && (b->group = tsu_group_create(self, NULL, 0, 0)) == NULL) {
        edit->status = TSU_NOMEM;
        return TSU_EDIT_FAIL;
    }
    if (tsu_cell_holds_version(current)) r = tsu_version_newest(current);
    else tsu_record_chain(r, NULL);
    tsu_group_newest_set(b->group, r);
    b->group->base = current;
    edit->put = tsu_group_word(b->group);
    return TSU_EDIT_PUT;
}

static tsu_verdict install_bag_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    struct install_bag *in = (struct install_bag *)edit;
    tsu_batch          *b = in->batch;
    size_t              i;
    tsu_record         *newest = NULL, *oldest = NULL;
    uint64_t            count = 0, bytes = 0;

    if (b->new_only && current != 0) {
        edit->status = TSU_EXISTS;
        return TSU_EDIT_FAIL;
    }
    in->held = in->many || (b->type == TSU_BAG && tsu_version_count(current) > HOLD_OLD);
    if (in->held) return hold_decide(edit, self, b, in->first, current);
    for (i = in->first; i <= in->last; i++) {
        struct item *item = item_at(&b->items, i);
        tsu_record  *r = item_record(item);
        bool         drop = b->type == TSU_BAG
                    && (tsu_bag_has(current, r->object) || bag_has_in_batch(b, in->first, i, r->object));

        item_unmark(item, DROPPED);
        if (drop) item_mark(item, DROPPED);
        if (drop) continue;
        tsu_record_chain(r, newest);
        newest = r;
        if (oldest == NULL) oldest = r;
        count++;
        bytes += tsu_record_weight(r);
    }
    if (count > 0) {
        edit->put = tsu_bag_append(self, current, newest, oldest, count, bytes, &b->group);
    } else {
        /* nothing new, but what is there has to stay until the commit: it is put once more */
        if (b->group == NULL) b->group = tsu_group_create(self, NULL, 0, 0);
        edit->put = b->group != NULL ? tsu_group_word(b->group) : 0;
        if (b->group != NULL) {
            tsu_group_newest_set(b->group, tsu_version_newest(current));
            b->group->object_count = tsu_version_count(current);
            b->group->bytes = tsu_version_bytes(current)
                              + ((current & TSU_CELL_KIND) == TSU_CELL_RECORD ? tsu_slab_round(sizeof(tsu_group)) : 0);
            b->group->base = current;
        }
    }
    if (edit->put != 0) return TSU_EDIT_PUT;
    edit->status = TSU_NOMEM;
    return TSU_EDIT_FAIL;
}

/* Counted now: once the commit has been decided, others may delete and free these records. */
static void install_count(tsu_batch *b, const struct install_bag *in)
{
    size_t i;

    for (i = in->first; i <= in->last; i++) {
        const struct item *item = item_at(&b->items, i);
        const tsu_record  *r = item_record(item);

        if (item_marked(item, DROPPED)) continue;
        b->objects++;
        b->bytes += (int64_t)tsu_record_weight(r);
        b->handles += tsu_record_handles(r);
    }
    if ((in->edit.put & TSU_CELL_KIND) == TSU_CELL_GROUP) b->bytes += (int64_t)tsu_slab_round(sizeof(tsu_group));
}

/* --- bags: a key with many objects ------------------------------------------------------------------ */
static bool key_ends(const tsu_batch *b, size_t i)
{
    return i >= b->count || item_marked(item_at(&b->items, i), FIRST);
}

static void hold_free(tsu_batch *b)
{
    tsu_env_pages_unmap(b->hold.slots, b->hold.slot_count * sizeof *b->hold.slots);
    b->hold.slots = NULL;
}

static void hold_begin(tsu_batch *b, size_t first)
{
    struct hold *h = &b->hold;

    if (h->slots != NULL) hold_free(b);
    *h = (struct hold){.step = b->type == TSU_BAG ? HOLD_COUNT : HOLD_CHAIN, .group = b->group, .at = first};
    b->group = NULL;
    if (tsu_cell_holds_version(h->group->base)) h->known = h->newest = tsu_version_newest(h->group->base);
}

/* Equal objects have equal hashes; those that are LOOSE may be equal without being the same bytes. */
static uint64_t object_hash(const uint8_t *object)
{
    size_t         arity, n;
    const uint8_t *p = tsu_object_elements(object, &arity);

    if (object[0] & TSU_OBJECT_LOOSE) return arity;
    return tsu_hashtab_mark(p, (size_t)(tsu_object_handles(object, &n) - p));
}

/* Where the object's item is noted, or may be. */
static uint32_t *hold_slot(const tsu_batch *b, const uint8_t *object)
{
    const struct hold *h = &b->hold;
    size_t             i = object_hash(object) & (h->slot_count - 1);

    while (h->slots[i] != 0
           && !tsu_object_same(item_record(item_at(&b->items, b->first + h->slots[i] - 1))->object, object))
        i = (i + 1) & (h->slot_count - 1);
    return &h->slots[i];
}

static tsu_status hold_spread(tsu_batch *b, size_t *budget)
{
    struct hold *h = &b->hold;

    if (h->slots == NULL) {
        for (h->slot_count = 4096; h->slot_count < 2 * (h->end - b->first); h->slot_count *= 2) {}
        h->slots = tsu_env_pages_map(h->slot_count * sizeof *h->slots, 4096, false);
        if (h->slots == NULL) return TSU_NOMEM;
    }
    for (; h->at < h->end && *budget > 0; h->at++, --*budget) {
        struct item *item = item_at(&b->items, h->at);
        uint32_t    *slot = hold_slot(b, item_record(item)->object);

        if (*slot != 0) item_mark(item, DROPPED);
        else *slot = (uint32_t)(h->at - b->first + 1);
    }
    return h->at < h->end ? TSU_AGAIN : TSU_OK;
}

/* What the bag has already is not put there once more. */
static tsu_status hold_known(tsu_batch *b, size_t *budget)
{
    struct hold *h = &b->hold;
    bool         one = (h->group->base & TSU_CELL_KIND) == TSU_CELL_RECORD;

    for (; h->known != NULL && *budget > 0; h->known = one ? NULL : tsu_record_older(h->known), --*budget) {
        uint32_t slot = *hold_slot(b, h->known->object);

        if (slot != 0) item_mark(item_at(&b->items, b->first + slot - 1), DROPPED);
    }
    return h->known != NULL ? TSU_AGAIN : TSU_OK;
}

static tsu_status hold_chain(tsu_batch *b, size_t *budget)
{
    struct hold *h = &b->hold;
    tsu_group   *g = h->group;

    do {
        const struct item *item = item_at(&b->items, h->at);
        tsu_record        *r = item_record(item);

        if (*budget == 0) return TSU_AGAIN;
        --*budget;
        if (h->at + FETCH_AHEAD < b->count) __builtin_prefetch(item_record(item_at(&b->items, h->at + FETCH_AHEAD)), 1);
        h->at++;
        if (item_marked(item, DROPPED)) continue;
        tsu_record_chain(r, h->newest);
        h->newest = r;
        h->count++;
        h->bytes += tsu_record_weight(r);
        b->handles += tsu_record_handles(r);
    } while (!key_ends(b, h->at));
    tsu_group_newest_set(g, h->newest);
    g->object_count = h->count + tsu_version_count(g->base);
    g->bytes = h->bytes + tsu_version_bytes(g->base)
               + ((g->base & TSU_CELL_KIND) == TSU_CELL_GROUP ? 0 : tsu_slab_round(sizeof *g));
    b->objects += (int64_t)h->count;
    b->bytes += (int64_t)(h->bytes + tsu_slab_round(sizeof *g));
    return TSU_OK;
}

/* Goes on with the key that is held; OK: it is as it will be. */
static tsu_status hold_run(tsu_batch *b, size_t *budget)
{
    struct hold *h = &b->hold;
    tsu_status   status;

    switch (h->step) {
    case HOLD_COUNT:
        do {
            if (*budget == 0) return TSU_AGAIN;
            --*budget;
        } while (!key_ends(b, ++h->at));
        h->end = h->at;
        h->at = b->first;
        h->step = HOLD_SPREAD;
        /* fall through */
    case HOLD_SPREAD:
        if ((status = hold_spread(b, budget)) != TSU_OK) return status;
        h->step = HOLD_KNOWN;
        /* fall through */
    case HOLD_KNOWN:
        if ((status = hold_known(b, budget)) != TSU_OK) return status;
        /* the slots go with the batch: to unmap many takes the system a while */
        h->at = b->first;
        h->step = HOLD_CHAIN;
        /* fall through */
    case HOLD_CHAIN:
        if ((status = hold_chain(b, budget)) != TSU_OK) return status;
        b->first = h->at;
        b->cursor++;
        h->step = HOLD_NONE;
        break;
    case HOLD_NONE: break;
    }
    return TSU_OK;
}

/* Bags: a new version depends on what is there, so the owner alone installs. */
static tsu_status install_bag(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    struct install_bag      in = {.batch = b, .first = b->first, .last = b->first};
    tsu_commit_record      *r = b->commit;
    struct tsu_commit_item *item = tsu_commit_item_at(r, b->cursor);
    size_t                  objects = 1;
    tsu_key                 key;
    tsu_status              status;

    for (; objects <= HOLD_OBJECTS && !key_ends(b, in.last + 1); objects++) in.last++;
    in.many = objects > HOLD_OBJECTS;
    *budget -= objects < *budget ? objects : *budget;
    if (in.last + FETCH_AHEAD < b->count) __builtin_prefetch(item_record(item_at(&b->items, in.last + FETCH_AHEAD)), 1);
    key = item_key(b, item_at(&b->items, in.first));
    in.edit.decide = install_bag_decide;
    in.edit.exact = true;
    in.edit.entry = &item->entry;
    status = r->kind->edit(self, r->root, &key, &in.edit);
    if (status != TSU_OK) return status;         /* AGAIN: another batch is in the way; it was here first */
    if (in.edit.verdict == TSU_EDIT_FAIL) return in.edit.status;
    item->entry.word = in.edit.put;
    if (in.held) {
        for (; !in.many && in.last + 1 > in.first; in.last--) item_unmark(item_at(&b->items, in.last), DROPPED);
        hold_begin(b, in.first);
        return TSU_OK;
    }
    install_count(b, &in);
    if (b->group != NULL && in.edit.put == tsu_group_word(b->group)) b->group = NULL;
    b->first = in.last + 1;
    b->cursor++;
    return TSU_OK;
}

static tsu_status install_bags(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    while (b->cursor < b->commit->count) {
        tsu_status status;

        if (*budget == 0) return TSU_AGAIN;
        status = b->hold.step != HOLD_NONE ? hold_run(b, budget) : install_bag(self, b, budget);
        if (status != TSU_OK) return status;
    }
    if (tsu_commit_decide(self, b->commit)) tsu_tally_add(self, b->contents, b->objects, b->bytes, b->handles);
    b->objects = b->bytes = b->handles = 0;
    return TSU_OK;
}

/* --- the end ------------------------------------------------------------------------------------- */
static void settle_set(tsu_thread *self, tsu_batch *b, struct tsu_commit_item *item, uint64_t ts)
{
    uint64_t    under = tsu_entry_freeze(&item->entry);
    tsu_record *r = tsu_version_newest(item->entry.word);

    b->objects++;
    b->bytes += (int64_t)tsu_record_weight(r);
    b->handles += tsu_record_handles(r);
    if (tsu_cell_holds_version(under)) {
        b->objects--;
        b->handles -= tsu_record_handles(tsu_version_newest(under));
        b->bytes -= (int64_t)tsu_version_retire(self, under);
    }
    if (!tsu_version_settle(item->entry.word, ts)) (void)tsu_version_retire(self, item->entry.word);
}

/* Its version first, then its objects, which may be many. False: the budget is used up. */
static bool settle_bag(tsu_thread *self, tsu_batch *b, size_t key, uint64_t ts, size_t *budget)
{
    uint64_t word = tsu_commit_item_at(b->commit, key)->entry.word, base = 0;

    if (!b->key_over) {
        if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP) base = ((tsu_group *)tsu_cell_version(word))->base;
        if ((base & TSU_CELL_KIND) == TSU_CELL_GROUP) b->bytes -= (int64_t)tsu_version_retire(self, base);
        if (!tsu_version_settle(word, ts)) (void)tsu_version_retire(self, word);
    }
    b->key_over = true;
    do {
        struct item *item = item_at(&b->items, b->first);

        if (*budget == 0) return false;
        --*budget;
        if (item_marked(item, DROPPED)) tsu_record_destroy(self, item_record(item));
    } while (!key_ends(b, ++b->first));
    b->key_over = false;
    return true;
}

static bool settle_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    uint64_t ts = tsu_commit_time(&b->commit->commit) >> TSU_COMMIT_TS_SHIFT;

    for (; b->cursor < b->commit->count && *budget > 0; b->cursor++) {
        if (b->cursor + FETCH_AHEAD < b->commit->count)
            __builtin_prefetch(tsu_cell_version(tsu_commit_item_at(b->commit, b->cursor + FETCH_AHEAD)->entry.word), 1);
        if (b->type >= TSU_BAG) {
            if (!settle_bag(self, b, b->cursor, ts, budget)) break;
        } else {
            settle_set(self, b, tsu_commit_item_at(b->commit, b->cursor), ts);
            --*budget;
        }
        tsu_commit_done(self, b->commit, b->cursor + 1);
    }
    tsu_tally_add(self, b->contents, 0, b->bytes, b->handles);
    b->bytes = b->handles = 0;
    if (b->cursor < b->commit->count) return false;
    /* keys that were written under the commit, or deleted there, were counted by those writers too */
    if (b->type < TSU_BAG) tsu_tally_add(self, b->contents, b->objects - (int64_t)tsu_commit_vacant(b->commit), 0, 0);
    return true;
}

static tsu_status undo_set(tsu_thread *self, tsu_batch *b, struct tsu_commit_item *item, size_t *budget)
{
    tsu_key k = tsu_commit_key(b->commit, item);

    if (!b->commit->kind->restore(self, b->commit->root, &k, &item->entry)) return TSU_NOMEM;
    tsu_version_retire_aborted(self, item->entry.word);
    --*budget;
    return TSU_OK;
}

static tsu_status undo_bag(tsu_thread *self, tsu_batch *b, size_t key, size_t *budget)
{
    struct tsu_commit_item *item = tsu_commit_item_at(b->commit, key);
    tsu_key                 k;

    if (!b->key_over && (key < b->installed || (key == b->installed && b->hold.step != HOLD_NONE))) {
        /* from a record of ours: a group may lead to records that were there before, and have gone meanwhile */
        k = item_key(b, item_at(&b->items, b->first));
        if (!b->commit->kind->restore(self, b->commit->root, &k, &item->entry)) return TSU_NOMEM;
        if ((item->entry.word & TSU_CELL_KIND) == TSU_CELL_GROUP) tsu_version_retire_aborted(self, item->entry.word);
    }
    b->key_over = true;
    do {
        if (*budget == 0) return TSU_AGAIN;
        --*budget;
        tsu_version_retire_aborted(self, tsu_record_word(item_record(item_at(&b->items, b->first))));
    } while (!key_ends(b, ++b->first));
    b->key_over = false;
    return TSU_OK;
}

static tsu_status undo_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    for (; b->cursor < b->commit->count; b->cursor++) {
        tsu_status status;

        if (*budget == 0) return TSU_AGAIN;
        status = b->type >= TSU_BAG ? undo_bag(self, b, b->cursor, budget)
                                    : undo_set(self, b, tsu_commit_item_at(b->commit, b->cursor), budget);
        if (status != TSU_OK) return status;
        tsu_commit_done(self, b->commit, b->cursor + 1);
    }
    return TSU_OK;
}

static void reference_drop(tsu_thread *self, void *memory, size_t bytes)
{
    (void)bytes;
    tsu_contents_unreference(self, memory);
}

/* Not before the batch is destroyed: for a long one by the reaper. */
static void batch_free(tsu_thread *self, tsu_batch *b)
{
    if (b->commit != NULL) tsu_commit_retire(self, b->commit);
    tsu_retire(self, b->contents, 0, reference_drop);
    if (b->group != NULL) tsu_group_destroy(self, b->group);
    if (b->hold.slots != NULL) hold_free(b);
    if (b->sort.starts != NULL) tsu_slab_free(self, b->sort.starts, starts_bytes(b));
    array_free(self, &b->items, b->first_part);
    array_free(self, &b->spare, 0);
    tsu_slab_free(self, b, sizeof *b);
}

/* --- running ---------------------------------------------------------------------------------------- */
static tsu_status install_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    if (b->type >= TSU_BAG) return install_bags(self, b, budget);
    return tsu_commit_help(self, b->commit, budget);
}

static void undo_begin(tsu_batch *b, tsu_status outcome)
{
    (void)tsu_commit_abort(&b->commit->commit);
    b->outcome = outcome;
    b->phase = UNDOING;
    b->installed = b->cursor;
    b->cursor = b->first = 0;
}

static tsu_status step(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    tsu_status status;

    switch (b->phase) {
    case ADDING:
        b->phase = SORTING;
        return TSU_OK;
    case SORTING:
        status = sort_run(self, b, budget);
        if (status != TSU_OK) return status;
        b->commit = tsu_commit_create(self, b->contents->kind, b->contents->root, b->keypos, b->new_only,
                                      b->type >= TSU_BAG, b->count);
        if (b->commit == NULL) return TSU_NOMEM;
        b->commit->committed = count_committed;
        b->commit->context = b->contents;
        b->cursor = b->first = 0;
        b->phase = FILLING;
        return TSU_OK;
    case FILLING:
        status = fill_run(self, b, budget);
        if (status != TSU_OK) return status;
        b->cursor = b->first = 0;
        b->phase = RESERVING;
        return TSU_OK;
    case RESERVING:
        if (b->commit->kind->reserve != NULL) {
            status = b->commit->kind->reserve(self, b->commit->root, b->commit->count, budget);
            if (status != TSU_OK) return status;
        }
        b->phase = INSTALLING;
        return TSU_OK;
    case INSTALLING:
        status = install_run(self, b, budget);
        if (status == TSU_AGAIN) return status;
        if (status == TSU_OK && tsu_commit_decide(self, b->commit)) {
            b->phase = SETTLING;
            b->outcome = TSU_OK;
            b->cursor = b->first = 0;
        } else {
            undo_begin(b, status == TSU_OK ? TSU_EXISTS : status);
        }
        return TSU_OK;
    case SETTLING:
        if (!settle_run(self, b, budget)) return TSU_AGAIN;
        b->phase = OVER;
        return TSU_OK;
    case UNDOING:
        status = undo_run(self, b, budget);
        if (status == TSU_OK) b->phase = OVER;
        return status;
    case OVER: break;
    }
    return TSU_OK;
}

tsu_status tsu_batch_run(tsu_thread *self, tsu_batch *b, size_t budget)
{
    while (b->phase != OVER) {
        tsu_status status = step(self, b, &budget);

        /* undone it is for everybody who looks; what is left to do is done when it is destroyed */
        if (status == TSU_NOMEM && b->phase == UNDOING) return b->outcome;
        if (status != TSU_OK) return status;
        if (budget == 0 && b->phase != OVER) return TSU_AGAIN;
    }
    return b->outcome;
}

/* Records of a batch that has installed none: those that a set's commit has taken are not in the array any more. Whatever
 * sorting was at, the array has all others. */
static bool filled_destroy(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    size_t taken = b->phase == FILLING && b->type < TSU_BAG ? b->cursor : 0;

    for (; b->count > taken && *budget > 0; --*budget)
        tsu_record_destroy(self, item_record(item_at(&b->items, --b->count)));
    for (; taken > 0 && b->commit->count > 0 && *budget > 0; --*budget)
        tsu_record_destroy(self, tsu_version_newest(tsu_commit_item_at(b->commit, --b->commit->count)->entry.word));
    return b->count == taken && (taken == 0 || b->commit->count == 0);
}

bool tsu_batch_finish(tsu_thread *self, tsu_batch *b, size_t budget)
{
    if (b->phase == RESERVING) b->phase = INSTALLING;
    if (b->phase == INSTALLING) {
        if (tsu_commit_abort(&b->commit->commit)) {
            undo_begin(b, TSU_GONE);
        } else {
            b->phase = SETTLING;
            b->cursor = b->first = 0;
        }
    }
    if (b->phase <= FILLING) {
        if (!filled_destroy(self, b, &budget)) return false;
        b->phase = OVER;
    }
    if (b->phase != OVER && step(self, b, &budget) != TSU_OK) return false;
    batch_free(self, b);
    return true;
}

void tsu_batch_destroy(tsu_thread *self, tsu_batch *b)
{
    if (b == NULL) return;
    tsu_pin(self);
    /* a short one that cannot be finished wants memory: the reaper tries until there is some */
    if (b->count > BATCH_AT_ONCE || !tsu_batch_finish(self, b, 4 * BATCH_AT_ONCE)) tsu_reaper_put_batch(b);
    tsu_unpin(self);
}

tsu_batch **tsu_batch_link(tsu_batch *b) { return &b->next; }
