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
/* How far ahead records are fetched into the cache: sorted, they lie anywhere. */
#define FETCH_AHEAD   8

struct item {
    uint64_t    mark;
    tsu_record *record;
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
    struct item         *items, *spare;
    size_t               count, room, spare_room;
    struct tsu_batch    *next;           /* in the reaper's queue */
    uint64_t             varies;         /* bits in which marks differ */
    struct sort {
        size_t  width, lo, i, j, at;     /* merging */
        int     pass;                    /* spreading: pass and position */
        bool    scatter;
        bool    spread;              /* ordered: over, or of no use */
        size_t  moves;
        size_t *starts;                  /* 256 of them */
    } sort;
    tsu_commit_record   *commit;
    size_t               commit_bytes;
    size_t               cursor;
    size_t               keys, first;    /* filling: commit items made; where the present key began */
    tsu_group           *group;          /* exact: made and not yet used */
    int64_t              objects, bytes, handles;        /* not counted yet: installed (bags), settled (sets) */
};

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

static tsu_key item_key(const tsu_batch *b, const struct item *item)
{
    tsu_key key;

    key.bytes = tsu_object_key(item->record->object, b->keypos, &key.len);
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
    if (b->count == b->room) {
        size_t       room = b->room == 0 ? 16 : b->room * 2;
        struct item *more = tsu_env_realloc(b->items, b->room * sizeof *more, room * sizeof *more);

        if (more == NULL) return TSU_NOMEM;
        b->items = more;
        b->room = room;
    }
    item = &b->items[b->count];
    item->record = tsu_record_create(self, object, len);
    if (item->record == NULL) return TSU_NOMEM;
    key = tsu_object_key(item->record->object, b->keypos, &key_len);
    tsu_table_key(&k, b->contents->kind, key, key_len);
    item->mark = k.mark;
    if (b->sorted && b->count > 0 && item_compare(b, item - 1, item) > 0) b->sorted = false;
    b->varies |= item->mark ^ b->items[0].mark;
    b->count++;
    return TSU_OK;
}

/* --- sorting: stable, and resumable anywhere ------------------------------------------------ */
static void swap_arrays(tsu_batch *b)
{
    struct item *items = b->items;
    size_t       room = b->room;

    b->items = b->spare;
    b->room = b->spare_room;
    b->spare = items;
    b->spare_room = room;
}

#define STARTS_BYTES (256 * sizeof(size_t))

/* A short list: in place. Stable. */
static void sort_short(tsu_batch *b)
{
    size_t at, i;

    for (at = 1; at < b->count; at++) {
        struct item item = b->items[at];

        for (i = at; i > 0 && item_compare(b, &b->items[i - 1], &item) > 0; i--) b->items[i] = b->items[i - 1];
        b->items[i] = item;
    }
}

/* Three passes over the top 24 bits in which marks differ, lowest digit first; the few that tie are put right after. With
 * hashes they are few; where they are not, merging does the rest. */
static bool sort_spread(tsu_batch *b, size_t *budget)
{
    struct sort *s = &b->sort;
    unsigned     top = b->varies != 0 ? 64 - (unsigned)__builtin_clzll(b->varies) : 64;

    while (s->pass < 3) {
        unsigned shift = (top > 24 ? top - 24 : 0) + 8 * (unsigned)s->pass;

        if (!s->scatter) {
            for (; s->at < b->count && *budget > 0; s->at++, --*budget) s->starts[b->items[s->at].mark >> shift & 255]++;
            if (s->at < b->count) return false;
            size_t sum = 0, d;

            for (d = 0; d < 256; d++) {
                size_t n = s->starts[d];

                s->starts[d] = sum;
                sum += n;
            }
            s->scatter = true;
            s->at = 0;
        }
        for (; s->at < b->count && *budget > 0; s->at++, --*budget)
            b->spare[s->starts[b->items[s->at].mark >> shift & 255]++] = b->items[s->at];
        if (s->at < b->count) return false;
        swap_arrays(b);
        memset(s->starts, 0, STARTS_BYTES);
        s->scatter = false;
        s->at = 0;
        s->pass++;
    }
    if (s->at == 0) s->at = 1;
    for (; s->at < b->count && *budget > 0; s->at++, --*budget) {
        struct item item = b->items[s->at];
        size_t      i = s->at;
        bool        far = false;

        while (i > 0 && item_compare(b, &b->items[i - 1], &item) > 0) {
            if (b->type == TSU_ORDERED_SET && (far = s->at - i == SORT_FAR)) break;
            b->items[i] = b->items[i - 1];
            i--;
        }
        b->items[i] = item;
        s->moves += s->at - i;
        if (b->type == TSU_ORDERED_SET && (far || s->moves > SORT_MOVES * b->count)) {
            s->at = b->count;
            b->sorted = false;
            return true;
        }
    }
    if (s->at >= b->count) b->sorted = true;
    return s->at >= b->count;
}

/* Order heads have no such even spread: merging, runs of doubling width. */
static bool sort_merge(tsu_batch *b, size_t *budget)
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
            for (; s->at < hi && *budget > 0; s->at++, --*budget) {
                bool left = s->j == hi || (s->i < mid && item_compare(b, &b->items[s->i], &b->items[s->j]) <= 0);

                b->spare[s->at] = b->items[left ? s->i++ : s->j++];
            }
            if (s->at < hi) return false;
            s->lo = hi;
        }
        swap_arrays(b);
        s->width *= 2;
        s->lo = s->at = 0;
    }
    return true;
}

static tsu_status sort_run(tsu_batch *b, size_t *budget)
{
    if (b->sorted || b->count < 2) return TSU_OK;
    if (b->count <= SORT_SHORT) {
        sort_short(b);
        return TSU_OK;
    }
    if (b->spare == NULL) {
        b->spare = tsu_env_alloc(b->room * sizeof *b->spare);
        if (b->spare == NULL) return TSU_NOMEM;
        b->spare_room = b->room;
    }
    if (b->sort.starts == NULL) {
        b->sort.starts = tsu_env_alloc(STARTS_BYTES);
        if (b->sort.starts == NULL) return TSU_NOMEM;
        memset(b->sort.starts, 0, STARTS_BYTES);
    }
    if (!b->sort.spread) {
        if (b->varies != 0 && !sort_spread(b, budget)) return TSU_AGAIN;
        b->sort.spread = true;
        b->sort.at = 0;
    }
    return b->sorted || sort_merge(b, budget) ? TSU_OK : TSU_AGAIN;
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
    return i + 1 < b->count && item_compare(b, &b->items[i], &b->items[i + 1]) == 0;
}

static void commit_item(tsu_thread *self, tsu_batch *b, size_t i)
{
    tsu_record             *r = b->items[i].record;
    struct tsu_commit_item *item = &b->commit->items[b->keys++];

    memset(item, 0, sizeof *item);
    item->entry.commit = &b->commit->commit;
    item->entry.word = tsu_record_word(r);
    item->mark = b->items[i].mark;
    item->first = (uint32_t)b->first;
    if (b->type >= TSU_BAG) tsu_store_relaxed(&item->entry.under, tsu_stamp(self));
    else tsu_store_relaxed(&r->version.header, (uint64_t)(uintptr_t)&item->entry | TSU_HEADER_ENTRY);
    b->first = i + 1;
}

/* An item for each key. In a set the last object of a key is the one that counts. */
static bool fill_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    for (; b->cursor < b->count; b->cursor++, --*budget) {
        if (*budget == 0) return false;
        if (b->cursor + FETCH_AHEAD < b->count) __builtin_prefetch(b->items[b->cursor + FETCH_AHEAD].record, 1);
        if (!same_key(b, b->cursor)) {
            commit_item(self, b, b->cursor);
        } else if (b->type < TSU_BAG) {
            tsu_record_destroy(self, b->items[b->cursor].record);
            b->items[b->cursor].record = NULL;
        }
    }
    b->commit->count = b->keys;
    return true;
}

static size_t item_last(const tsu_batch *b, size_t key)
{
    return (key + 1 < b->commit->count ? b->commit->items[key + 1].first : b->count) - 1;
}

/* A record that a bag has already, marked in the array: it is freed in the end. */
#define DROPPED ((uintptr_t)1)

static tsu_record *item_record(const struct item *item)
{
    return (tsu_record *)((uintptr_t)item->record & ~DROPPED);
}
static bool item_dropped(const struct item *item) { return ((uintptr_t)item->record & DROPPED) != 0; }

struct install_bag {
    tsu_edit   edit;
    tsu_batch *batch;
    size_t     key;
};

static bool bag_has_in_batch(const tsu_batch *b, size_t from, size_t to, const uint8_t *object)
{
    for (; from < to; from++)
        if (!item_dropped(&b->items[from]) && tsu_object_same(b->items[from].record->object, object)) return true;
    return false;
}

static tsu_verdict install_bag_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    struct install_bag *in = (struct install_bag *)edit;
    tsu_batch          *b = in->batch;
    size_t              first = b->commit->items[in->key].first, last = item_last(b, in->key), i;
    tsu_record         *newest = NULL, *oldest = NULL;
    uint64_t            count = 0, bytes = 0;

    if (b->new_only && current != 0) {
        edit->status = TSU_EXISTS;
        return TSU_EDIT_FAIL;
    }
    for (i = first; i <= last; i++) {
        tsu_record *r = item_record(&b->items[i]);
        bool        drop = b->type == TSU_BAG
                    && (tsu_bag_has(current, r->object) || bag_has_in_batch(b, first, i, r->object));

        b->items[i].record = drop ? (tsu_record *)((uintptr_t)r | DROPPED) : r;
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
            b->group->newest = tsu_version_newest(current);
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

static int64_t handle_weight(const tsu_record *r) { return (r->object[0] & TSU_OBJECT_HANDLES) != 0; }

/* Counted now: once the commit has been decided, others may delete and free these records. */
static void install_count(tsu_batch *b, size_t key)
{
    const struct tsu_commit_item *item = &b->commit->items[key];
    size_t                        i;

    for (i = item->first; i <= item_last(b, key); i++) {
        const tsu_record *r = item_record(&b->items[i]);

        if (item_dropped(&b->items[i])) continue;
        b->objects++;
        b->bytes += (int64_t)tsu_record_weight(r);
        b->handles += handle_weight(r);
    }
    if ((item->entry.word & TSU_CELL_KIND) == TSU_CELL_GROUP) b->bytes += (int64_t)tsu_slab_round(sizeof(tsu_group));
}

/* Bags: a new version depends on what is there, so the owner alone installs. */
static tsu_status install_bags(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    tsu_commit_record *r = b->commit;

    for (; b->cursor < r->count; b->cursor++) {
        struct install_bag in = {.batch = b, .key = b->cursor};
        struct tsu_commit_item *item = &r->items[b->cursor];
        tsu_key            key;
        tsu_status         status;
        size_t             objects = item_last(b, b->cursor) - item->first + 1;

        if (*budget == 0) return TSU_AGAIN;
        *budget -= objects < *budget ? objects : *budget;
        key = item_key(b, &(struct item){item->mark, item_record(&b->items[item->first])});
        in.edit.decide = install_bag_decide;
        in.edit.exact = true;
        in.edit.entry = &item->entry;
        status = r->kind->edit(self, r->root, &key, &in.edit);
        if (status != TSU_OK) return status;         /* AGAIN: another batch is in the way; it was here first */
        if (in.edit.verdict == TSU_EDIT_FAIL) return in.edit.status;
        item->entry.word = in.edit.put;
        item->installed = true;
        install_count(b, b->cursor);
        if (b->group != NULL && in.edit.put == tsu_group_word(b->group)) b->group = NULL;
    }
    if (tsu_commit_decide(self, r)) tsu_tally_add(self, b->contents, b->objects, b->bytes, b->handles);
    b->objects = b->bytes = b->handles = 0;
    return TSU_OK;
}

/* --- the end ------------------------------------------------------------------------------------- */
static void settle_set(tsu_thread *self, tsu_batch *b, struct tsu_commit_item *item, uint64_t ts)
{
    uint64_t    under = tsu_entry_freeze(&item->entry);
    tsu_record *r = tsu_version_newest(item->entry.word);
    int64_t     objects = 1, bytes = (int64_t)tsu_record_weight(r), handles = handle_weight(r);

    if (tsu_cell_holds_version(under)) {
        objects = 0;
        handles -= handle_weight(tsu_version_newest(under));
        bytes -= (int64_t)tsu_version_retire(self, under);
    }
    b->objects += objects;
    tsu_tally_add(self, b->contents, 0, bytes, handles);
    if (!tsu_version_settle(item->entry.word, ts)) (void)tsu_version_retire(self, item->entry.word);
}

static void settle_bag(tsu_thread *self, tsu_batch *b, size_t key, uint64_t ts)
{
    struct tsu_commit_item *item = &b->commit->items[key];
    uint64_t                word = item->entry.word, base = 0;
    size_t                  i;

    for (i = item->first; i <= item_last(b, key); i++)
        if (item_dropped(&b->items[i])) tsu_record_destroy(self, item_record(&b->items[i]));
    if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP) base = ((tsu_group *)tsu_cell_version(word))->base;
    if ((base & TSU_CELL_KIND) == TSU_CELL_GROUP)
        tsu_tally_add(self, b->contents, 0, -(int64_t)tsu_version_retire(self, base), 0);
    if (!tsu_version_settle(word, ts)) (void)tsu_version_retire(self, word);
}

static bool settle_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    uint64_t ts = tsu_commit_time(&b->commit->commit) >> TSU_COMMIT_TS_SHIFT;

    for (; b->cursor < b->commit->count; b->cursor++, --*budget) {
        if (*budget == 0) return false;
        if (b->cursor + FETCH_AHEAD < b->commit->count)
            __builtin_prefetch(tsu_cell_version(b->commit->items[b->cursor + FETCH_AHEAD].entry.word), 1);
        if (b->type >= TSU_BAG) settle_bag(self, b, b->cursor, ts);
        else settle_set(self, b, &b->commit->items[b->cursor], ts);
    }
    /* keys that were written under the commit, or deleted there, were counted by those writers too */
    if (b->type < TSU_BAG) tsu_tally_add(self, b->contents, b->objects - (int64_t)tsu_commit_vacant(b->commit), 0, 0);
    return true;
}

static void undo_one(tsu_thread *self, tsu_batch *b, size_t key)
{
    struct tsu_commit_item *item = &b->commit->items[key];
    tsu_key                 k;
    size_t                  i;

    if (b->type < TSU_BAG) {
        k = tsu_commit_key(b->commit, item);
        b->commit->kind->restore(self, b->commit->root, &k, &item->entry);
        tsu_version_retire_aborted(self, item->entry.word);
        return;
    }
    if (item->installed) {
        /* from a record of ours: a group may lead to records that were there before, and have gone meanwhile */
        k = item_key(b, &(struct item){item->mark, item_record(&b->items[item->first])});
        b->commit->kind->restore(self, b->commit->root, &k, &item->entry);
        if ((item->entry.word & TSU_CELL_KIND) == TSU_CELL_GROUP) tsu_version_retire_aborted(self, item->entry.word);
    }
    for (i = item->first; i <= item_last(b, key); i++)
        tsu_version_retire_aborted(self, tsu_record_word(item_record(&b->items[i])));
}

static bool undo_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    for (; b->cursor < b->commit->count; b->cursor++, --*budget) {
        if (*budget == 0) return false;
        undo_one(self, b, b->cursor);
    }
    return true;
}

static void commit_free(tsu_thread *self, void *memory, size_t bytes)
{
    (void)self;
    tsu_env_free(memory, bytes);
}

static void reference_drop(tsu_thread *self, void *memory, size_t bytes)
{
    (void)bytes;
    tsu_contents_unreference(self, memory);
}

/* Not before the batch is destroyed: for a long one by the reaper, as giving back many pages takes the system a while. */
static void batch_free(tsu_thread *self, tsu_batch *b)
{
    if (b->commit != NULL) tsu_retire(self, b->commit, b->commit_bytes, commit_free);
    tsu_retire(self, b->contents, 0, reference_drop);
    if (b->group != NULL) tsu_group_destroy(self, b->group);
    tsu_env_free(b->items, b->room * sizeof *b->items);
    tsu_env_free(b->spare, b->spare_room * sizeof *b->spare);
    tsu_env_free(b->sort.starts, STARTS_BYTES);
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
    b->cursor = 0;
}

static tsu_status step(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    tsu_status status;

    switch (b->phase) {
    case ADDING:
        b->phase = SORTING;
        return TSU_OK;
    case SORTING:
        status = sort_run(b, budget);
        if (status != TSU_OK) return status;
        b->commit_bytes = tsu_commit_bytes(b->count);
        b->commit = tsu_commit_create(b->contents->kind, b->contents->root, b->keypos, b->new_only,
                                      b->type >= TSU_BAG, b->count);
        if (b->commit == NULL) return TSU_NOMEM;
        b->commit->committed = count_committed;
        b->commit->context = b->contents;
        b->cursor = 0;
        b->phase = FILLING;
        return TSU_OK;
    case FILLING:
        if (!fill_run(self, b, budget)) return TSU_AGAIN;
        b->cursor = 0;
        b->phase = RESERVING;
        return TSU_OK;
    case RESERVING:
        if (b->commit->kind->reserve != NULL) {
            status = b->commit->kind->reserve(self, b->commit->root, b->keys, budget);
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
            b->cursor = 0;
        } else {
            undo_begin(b, status == TSU_OK ? TSU_EXISTS : status);
        }
        return TSU_OK;
    case SETTLING:
        if (!settle_run(self, b, budget)) return TSU_AGAIN;
        b->phase = OVER;
        return TSU_OK;
    case UNDOING:
        if (!undo_run(self, b, budget)) return TSU_AGAIN;
        b->phase = OVER;
        return TSU_OK;
    case OVER: break;
    }
    return TSU_OK;
}

tsu_status tsu_batch_run(tsu_thread *self, tsu_batch *b, size_t budget)
{
    while (b->phase != OVER) {
        tsu_status status = step(self, b, &budget);

        if (status != TSU_OK) return status;
        if (budget == 0 && b->phase != OVER) return TSU_AGAIN;
    }
    return b->outcome;
}

bool tsu_batch_finish(tsu_thread *self, tsu_batch *b, size_t budget)
{
    if (b->phase == RESERVING) b->phase = INSTALLING;
    if (b->phase == INSTALLING) {
        if (tsu_commit_abort(&b->commit->commit)) {
            undo_begin(b, TSU_GONE);
        } else {
            b->phase = SETTLING;
            b->cursor = 0;
        }
    }
    if (b->phase <= FILLING) {
        while (b->count > 0 && budget-- > 0) {
            /* whatever sorting was at, this array still has all of them */
            tsu_record_destroy(self, b->items[--b->count].record);
        }
        if (b->count > 0) return false;
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
    if (b->count <= BATCH_AT_ONCE) {
        while (!tsu_batch_finish(self, b, BATCH_AT_ONCE)) {}
    } else {
        tsu_reaper_put_batch(b);
    }
    tsu_unpin(self);
}

tsu_batch **tsu_batch_link(tsu_batch *b) { return &b->next; }
