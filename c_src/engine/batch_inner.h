/* batch_inner.h: a batch from inside, and what its parts share. For batch*.c alone.
 *
 *     batch.c        the phases, the commit, the end
 *     batch_sort.c   arrays, and sorting them by key
 *     batch_hold.c   bags: a key with many objects
 *
 * Nobody but its owner, and in the end the reaper, looks into a batch: no field is atomic.
 */
#ifndef TSU_BATCH_INNER_H
#define TSU_BATCH_INNER_H

#include <string.h>

#include "batch.h"
#include "term/order.h"
#include "txn/commit.h"

/* How far ahead records are fetched into the cache: sorted, they lie anywhere. */
#define TSU_FETCH_AHEAD 8

typedef struct tsu_item {
    uint64_t    mark;
    tsu_record *record;      /* and marks of ours: TSU_ITEM_DROPPED, TSU_ITEM_FIRST */
} tsu_item;

/* A long array in parts, from the slab: it grows without being copied or moved, which for one of many megabytes takes the
 * system milliseconds, and is given back as it is used up. */
#define TSU_ARRAY_PART_SHIFT 9u
#define TSU_ARRAY_PART_ITEMS ((size_t)1 << TSU_ARRAY_PART_SHIFT)
_Static_assert(TSU_ARRAY_PART_ITEMS * sizeof(tsu_item) <= TSU_SLAB_BYTES_MAX, "a part comes from the slab");

typedef struct tsu_array {
    tsu_item **part;
    size_t     slots;             /* of part[] */
    size_t     first_items;       /* room in the first part, which grows: short lists are frequent */
} tsu_array;

/* batch.c draws them. */
enum tsu_batch_phase {
    TSU_BATCH_ADDING, TSU_BATCH_SORTING, TSU_BATCH_FILLING, TSU_BATCH_RESERVING,
    TSU_BATCH_INSTALLING, TSU_BATCH_SETTLING, TSU_BATCH_UNDOING, TSU_BATCH_OVER
};

struct tsu_batch {
    tsu_table_type       type;
    uint32_t             keypos;
    bool                 new_only;
    bool                 sorted;         /* as they came */
    enum tsu_batch_phase phase;
    tsu_status           outcome;
    struct tsu_contents *contents;       /* a reference */
    tsu_array            items, spare;
    size_t               count;
    size_t               first_part;     /* of items: those before are gone */
    struct tsu_batch    *next;           /* in the reaper's queue */
    uint64_t             varies;         /* bits in which marks differ */
    struct tsu_sort {
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
    struct tsu_hold {
        enum { TSU_HOLD_NONE, TSU_HOLD_COUNT, TSU_HOLD_SPREAD, TSU_HOLD_KNOWN, TSU_HOLD_CHAIN } step;
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

/* --- items --------------------------------------------------------------------------- */
static inline tsu_item *tsu_item_at(const tsu_array *a, size_t i)
{
    return &a->part[i >> TSU_ARRAY_PART_SHIFT][i & (TSU_ARRAY_PART_ITEMS - 1)];
}

/* Marks in items' record pointers (bags): the first of its key; one that the bag has already, which is freed in the end. */
#define TSU_ITEM_DROPPED ((uintptr_t)1)
#define TSU_ITEM_FIRST   ((uintptr_t)2)

static inline tsu_record *tsu_item_record(const tsu_item *item)
{
    return (tsu_record *)((uintptr_t)item->record & ~(TSU_ITEM_DROPPED | TSU_ITEM_FIRST));
}
static inline bool tsu_item_marked(const tsu_item *item, uintptr_t mark)
{
    return ((uintptr_t)item->record & mark) != 0;
}
static inline void tsu_item_mark(tsu_item *item, uintptr_t mark)
{
    item->record = (tsu_record *)((uintptr_t)item->record | mark);
}
static inline void tsu_item_unmark(tsu_item *item, uintptr_t mark)
{
    item->record = (tsu_record *)((uintptr_t)item->record & ~mark);
}

static inline tsu_key tsu_item_key(const tsu_batch *b, const tsu_item *item)
{
    tsu_key key;

    key.bytes = tsu_object_key(tsu_item_record(item)->object, b->keypos, &key.len);
    key.mark = item->mark;
    key.exact = false;
    return key;
}

static inline int tsu_item_compare(const tsu_batch *b, const tsu_item *x, const tsu_item *y)
{
    tsu_key kx, ky;
    int     c;

    if (x->mark != y->mark) return x->mark < y->mark ? -1 : 1;
    kx = tsu_item_key(b, x);
    ky = tsu_item_key(b, y);
    if (b->type == TSU_ORDERED_SET) return tsu_term_compare(kx.bytes, ky.bytes);
    c = memcmp(kx.bytes, ky.bytes, kx.len < ky.len ? kx.len : ky.len);
    if (c != 0) return c;
    return kx.len < ky.len ? -1 : kx.len > ky.len;
}

/* Does a key's last item stand before item `i`? Bags, filled. */
static inline bool tsu_batch_key_ends(const tsu_batch *b, size_t i)
{
    return i >= b->count || tsu_item_marked(tsu_item_at(&b->items, i), TSU_ITEM_FIRST);
}

/* --- arrays: batch_sort.c ---------------------------------------------------------------- */
static inline size_t tsu_array_part_bytes(const tsu_array *a, size_t k)
{
    return (k == 0 ? a->first_items : TSU_ARRAY_PART_ITEMS) * sizeof(tsu_item);
}

/* The place of item `i`, its part made if need be; NULL: no memory. */
tsu_item *tsu_array_room(tsu_thread *self, tsu_array *a, size_t i);
/* Parts from `first` on. */
void tsu_array_free(tsu_thread *self, tsu_array *a, size_t first);

/* --- sorting: batch_sort.c ---------------------------------------------------------------- */
/* Goes on with it; stable. OK: `items` is sorted; else it has all of them still, in some order. */
tsu_status tsu_batch_sort(tsu_thread *self, tsu_batch *b, size_t *budget);
/* What it has besides the arrays. */
void tsu_batch_sort_free(tsu_thread *self, tsu_batch *b);

/* --- holding a key of a bag: batch_hold.c -------------------------------------------------- */
/* For an edit: puts a group that leaves the key as it is, to be filled while nobody else can change it. `first`: the
 * key's first item. */
tsu_verdict tsu_batch_hold_decide(tsu_edit *edit, tsu_thread *self, tsu_batch *b, size_t first, uint64_t current);
/* That group is in the cell. */
void tsu_batch_hold_begin(tsu_batch *b, size_t first);
/* Goes on with the key that is held; OK: it is as it will be, and the cursor at the next. */
tsu_status tsu_batch_hold_run(tsu_batch *b, size_t *budget);
void tsu_batch_hold_free(tsu_batch *b);

#endif
