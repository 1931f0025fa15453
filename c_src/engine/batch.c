/* batch.c: many objects, all or nothing: sort by key, install, commit, settle; each in slices.
 *
 *     ADDING -> SORTING -> FILLING -> RESERVING -> INSTALLING -> SETTLING -> OVER     all are in
 *                                                       |
 *                                                       +------> UNDOING  -> OVER     a key was there, or it was given up
 * batch_inner.h names the other parts.
 */
#include <string.h>

#include "batch_inner.h"
#include "reaper.h"

/* Given up with so many objects or fewer, it is cleaned up on the spot. */
#define BATCH_AT_ONCE 256
/* A key of a bag with more objects than that in the batch, or in the table, is held first and filled then. */
#ifdef TSU_DEBUG
#define HOLD_OBJECTS  4      /* tests get there by short lists too */
#define HOLD_OLD      6
#else
#define HOLD_OBJECTS  64
#define HOLD_OLD      1024
#endif

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

tsu_status tsu_batch_add(tsu_thread *self, tsu_batch *b, const uint8_t *object, size_t len)
{
    tsu_item      *item;
    size_t         key_len;
    const uint8_t *key;
    tsu_key        k;

    if (b->phase != TSU_BATCH_ADDING) return TSU_BADARG;
    if (b->count == UINT32_MAX) return TSU_LIMIT;
    if ((item = tsu_array_room(self, &b->items, b->count)) == NULL) return TSU_NOMEM;
    item->record = tsu_record_create(self, object, len);
    if (item->record == NULL) return TSU_NOMEM;
    key = tsu_object_key(item->record->object, b->keypos, &key_len);
    tsu_table_key(&k, b->contents->kind, key, key_len);
    item->mark = k.mark;
    if (b->sorted && b->count > 0 && tsu_item_compare(b, tsu_item_at(&b->items, b->count - 1), item) > 0)
        b->sorted = false;
    b->varies |= item->mark ^ tsu_item_at(&b->items, 0)->mark;
    b->count++;
    return TSU_OK;
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
    return i + 1 < b->count && tsu_item_compare(b, tsu_item_at(&b->items, i), tsu_item_at(&b->items, i + 1)) == 0;
}

static bool commit_item(tsu_thread *self, tsu_batch *b, const tsu_item *from, tsu_record *r)
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
    size_t k = b->cursor >> TSU_ARRAY_PART_SHIFT;

    if (k < b->spare.slots && b->spare.part[k] != NULL) {
        tsu_slab_free(self, b->spare.part[k], tsu_array_part_bytes(&b->spare, k));
        b->spare.part[k] = NULL;
    }
    if (b->type >= TSU_BAG) return;
    tsu_slab_free(self, b->items.part[k], tsu_array_part_bytes(&b->items, k));
    b->items.part[k] = NULL;
    b->first_part = k + 1;
}

/* An item for each key. In a set the last object of a key is the one that counts. */
static tsu_status fill_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    for (; b->cursor < b->count; b->cursor++, --*budget) {
        tsu_item *item = tsu_item_at(&b->items, b->cursor);

        if (*budget == 0) return TSU_AGAIN;
        if (b->cursor + TSU_FETCH_AHEAD < b->count)
            __builtin_prefetch(tsu_item_at(&b->items, b->cursor + TSU_FETCH_AHEAD)->record, 1);
        if (b->type < TSU_BAG) {
            if (same_key(b, b->cursor)) tsu_record_destroy(self, item->record);
            else if (!commit_item(self, b, item, item->record)) return TSU_NOMEM;
        } else {
            bool last = !same_key(b, b->cursor);

            if (b->cursor == b->first) tsu_item_mark(item, TSU_ITEM_FIRST);
            if (last && !commit_item(self, b, tsu_item_at(&b->items, b->first),
                                     tsu_item_record(tsu_item_at(&b->items, b->first))))
                return TSU_NOMEM;
            if (last) b->first = b->cursor + 1;
        }
        if ((b->cursor & (TSU_ARRAY_PART_ITEMS - 1)) == TSU_ARRAY_PART_ITEMS - 1) part_used(self, b);
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
        if (!tsu_item_marked(tsu_item_at(&b->items, from), TSU_ITEM_DROPPED)
            && tsu_object_same(tsu_item_record(tsu_item_at(&b->items, from))->object, object)) return true;
    return false;
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
    if (in->held) return tsu_batch_hold_decide(edit, self, b, in->first, current);
    for (i = in->first; i <= in->last; i++) {
        tsu_item   *item = tsu_item_at(&b->items, i);
        tsu_record *r = tsu_item_record(item);
        bool        drop = b->type == TSU_BAG
                   && (tsu_bag_has(current, r->object) || bag_has_in_batch(b, in->first, i, r->object));

        tsu_item_unmark(item, TSU_ITEM_DROPPED);
        if (drop) tsu_item_mark(item, TSU_ITEM_DROPPED);
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
        const tsu_item   *item = tsu_item_at(&b->items, i);
        const tsu_record *r = tsu_item_record(item);

        if (tsu_item_marked(item, TSU_ITEM_DROPPED)) continue;
        b->objects++;
        b->bytes += (int64_t)tsu_record_weight(r);
        b->handles += tsu_record_handles(r);
    }
    if ((in->edit.put & TSU_CELL_KIND) == TSU_CELL_GROUP) b->bytes += (int64_t)tsu_slab_round(sizeof(tsu_group));
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

    for (; objects <= HOLD_OBJECTS && !tsu_batch_key_ends(b, in.last + 1); objects++) in.last++;
    in.many = objects > HOLD_OBJECTS;
    *budget -= objects < *budget ? objects : *budget;
    if (in.last + TSU_FETCH_AHEAD < b->count)
        __builtin_prefetch(tsu_item_record(tsu_item_at(&b->items, in.last + TSU_FETCH_AHEAD)), 1);
    key = tsu_item_key(b, tsu_item_at(&b->items, in.first));
    in.edit.decide = install_bag_decide;
    in.edit.exact = true;
    in.edit.entry = &item->entry;
    status = r->kind->edit(self, r->root, &key, &in.edit);
    if (status != TSU_OK) return status;         /* AGAIN: another batch is in the way; it was here first */
    if (in.edit.verdict == TSU_EDIT_FAIL) return in.edit.status;
    item->entry.word = in.edit.put;
    if (in.held) {
        for (; !in.many && in.last + 1 > in.first; in.last--)
            tsu_item_unmark(tsu_item_at(&b->items, in.last), TSU_ITEM_DROPPED);
        tsu_batch_hold_begin(b, in.first);
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
        status = b->hold.step != TSU_HOLD_NONE ? tsu_batch_hold_run(b, budget) : install_bag(self, b, budget);
        if (status != TSU_OK) return status;
    }
    if (tsu_commit_decide(self, b->commit)) tsu_tally_add(self, b->contents, b->objects, b->bytes, b->handles);
    b->objects = b->bytes = b->handles = 0;
    return TSU_OK;
}

/* --- the end ------------------------------------------------------------------------------------- */
/* Whoever swept for the last snapshot passed by keys of which the commit was not settled: then the owner does it for him. *key is the item's,
 * which may not be there any more if others have replaced its version for good. */
static bool sweep_is_due(const tsu_batch *b, const struct tsu_commit_item *item, tsu_key *key)
{
    const tsu_history *h = &b->contents->history;

    if (TSU_LIKELY(tsu_load_acquire(&h->nodes) == 0) || !tsu_history_idle(h)) return false;
    if ((tsu_load_acquire(&tsu_cell_version(item->entry.word)->header) & TSU_HEADER_TAG) != TSU_HEADER_ENTRY) return false;
    *key = tsu_commit_key(b->commit, item);
    return true;
}

/* False: memory is short, or a snapshot is being taken. */
static bool settle_set(tsu_thread *self, tsu_batch *b, struct tsu_commit_item *item, uint64_t ts)
{
    uint64_t    under = tsu_entry_freeze(&item->entry);
    tsu_record *r = tsu_version_newest(item->entry.word);
    tsu_key     key;
    bool        kept, due = sweep_is_due(b, item, &key);

    if (tsu_history_settle(self, &b->contents->history, item->entry.word, under, ts, &kept) != TSU_OK) return false;
    if (TSU_UNLIKELY(due)) tsu_contents_sweep_key(self, b->contents, &key);
    b->objects++;
    b->bytes += (int64_t)tsu_record_weight(r);
    b->handles += tsu_record_handles(r);
    if (!tsu_cell_alive(under)) return true;
    b->objects--;
    b->handles -= tsu_record_handles(tsu_version_newest(under));
    b->bytes -= (int64_t)(kept ? tsu_record_weight(tsu_version_newest(under)) : tsu_version_retire(self, under));
    return true;
}

/* Its version first, then its objects, which may be many. False: the budget is used up, or as settle_set. */
static bool settle_bag(tsu_thread *self, tsu_batch *b, struct tsu_commit_item *item, uint64_t ts, size_t *budget)
{
    uint64_t word = item->entry.word, base;
    tsu_key  key;
    bool     kept, due;

    if (!b->key_over) {
        base = tsu_entry_below(word, &item->entry);
        due = sweep_is_due(b, item, &key);
        if (tsu_history_settle(self, &b->contents->history, word, base, ts, &kept) != TSU_OK) return false;
        if (TSU_UNLIKELY(due)) tsu_contents_sweep_key(self, b->contents, &key);
        if (tsu_cell_alive(base) && (base & TSU_CELL_KIND) == TSU_CELL_GROUP)
            b->bytes -= (int64_t)(kept ? tsu_slab_round(sizeof(tsu_group)) : tsu_version_retire(self, base));
    }
    b->key_over = true;
    do {
        tsu_item *object = tsu_item_at(&b->items, b->first);

        if (*budget == 0) return false;
        --*budget;
        if (tsu_item_marked(object, TSU_ITEM_DROPPED)) tsu_record_destroy(self, tsu_item_record(object));
    } while (!tsu_batch_key_ends(b, ++b->first));
    b->key_over = false;
    return true;
}

static bool settle_run(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    uint64_t ts = tsu_commit_time(&b->commit->commit) >> TSU_COMMIT_TS_SHIFT;

    for (; b->cursor < b->commit->count && *budget > 0; b->cursor++) {
        if (b->cursor + TSU_FETCH_AHEAD < b->commit->count)
            __builtin_prefetch(
                tsu_cell_version(tsu_commit_item_at(b->commit, b->cursor + TSU_FETCH_AHEAD)->entry.word), 1);
        if (b->type >= TSU_BAG) {
            if (!settle_bag(self, b, tsu_commit_item_at(b->commit, b->cursor), ts, budget)) break;
        } else {
            if (!settle_set(self, b, tsu_commit_item_at(b->commit, b->cursor), ts)) break;
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

/* A tombstone may have come back that whoever swept for the last snapshot could not take out. */
static void restored_sweep(tsu_thread *self, tsu_batch *b, const tsu_key *key)
{
    if (tsu_load_acquire(&b->contents->history.nodes) != 0) tsu_contents_sweep_key(self, b->contents, key);
}

static tsu_status undo_set(tsu_thread *self, tsu_batch *b, struct tsu_commit_item *item, size_t *budget)
{
    tsu_key k = tsu_commit_key(b->commit, item);

    if (!b->commit->kind->restore(self, b->commit->root, &k, &item->entry)) return TSU_NOMEM;
    restored_sweep(self, b, &k);
    tsu_version_retire_aborted(self, item->entry.word);
    --*budget;
    return TSU_OK;
}

static tsu_status undo_bag(tsu_thread *self, tsu_batch *b, size_t key, size_t *budget)
{
    struct tsu_commit_item *item = tsu_commit_item_at(b->commit, key);
    tsu_key                 k;

    if (!b->key_over && (key < b->installed || (key == b->installed && b->hold.step != TSU_HOLD_NONE))) {
        /* from a record of ours: a group may lead to records that were there before, and have gone meanwhile */
        k = tsu_item_key(b, tsu_item_at(&b->items, b->first));
        if (!b->commit->kind->restore(self, b->commit->root, &k, &item->entry)) return TSU_NOMEM;
        restored_sweep(self, b, &k);
        if ((item->entry.word & TSU_CELL_KIND) == TSU_CELL_GROUP) tsu_version_retire_aborted(self, item->entry.word);
    }
    b->key_over = true;
    do {
        if (*budget == 0) return TSU_AGAIN;
        --*budget;
        tsu_version_retire_aborted(self, tsu_record_word(tsu_item_record(tsu_item_at(&b->items, b->first))));
    } while (!tsu_batch_key_ends(b, ++b->first));
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
    if (b->hold.slots != NULL) tsu_batch_hold_free(b);
    tsu_batch_sort_free(self, b);
    tsu_array_free(self, &b->items, b->first_part);
    tsu_array_free(self, &b->spare, 0);
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
    b->phase = TSU_BATCH_UNDOING;
    b->installed = b->cursor;
    b->cursor = b->first = 0;
}

static tsu_status step(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    tsu_status status;

    switch (b->phase) {
    case TSU_BATCH_ADDING:
        b->phase = TSU_BATCH_SORTING;
        return TSU_OK;
    case TSU_BATCH_SORTING:
        status = tsu_batch_sort(self, b, budget);
        if (status != TSU_OK) return status;
        b->commit = tsu_commit_create(self, b->contents->kind, b->contents->root, b->keypos, b->new_only,
                                      b->type >= TSU_BAG, b->count);
        if (b->commit == NULL) return TSU_NOMEM;
        b->commit->committed = count_committed;
        b->commit->context = b->contents;
        b->cursor = b->first = 0;
        b->phase = TSU_BATCH_FILLING;
        return TSU_OK;
    case TSU_BATCH_FILLING:
        status = fill_run(self, b, budget);
        if (status != TSU_OK) return status;
        b->cursor = b->first = 0;
        b->phase = TSU_BATCH_RESERVING;
        return TSU_OK;
    case TSU_BATCH_RESERVING:
        if (b->commit->kind->reserve != NULL) {
            status = b->commit->kind->reserve(self, b->commit->root, b->commit->count, budget);
            if (status != TSU_OK) return status;
        }
        b->phase = TSU_BATCH_INSTALLING;
        return TSU_OK;
    case TSU_BATCH_INSTALLING:
        status = install_run(self, b, budget);
        if (status == TSU_AGAIN) return status;
        if (status == TSU_OK && tsu_commit_decide(self, b->commit)) {
            b->phase = TSU_BATCH_SETTLING;
            b->outcome = TSU_OK;
            b->cursor = b->first = 0;
        } else {
            undo_begin(b, status == TSU_OK ? TSU_EXISTS : status);
        }
        return TSU_OK;
    case TSU_BATCH_SETTLING:
        if (!settle_run(self, b, budget)) return TSU_AGAIN;
        b->phase = TSU_BATCH_OVER;
        return TSU_OK;
    case TSU_BATCH_UNDOING:
        status = undo_run(self, b, budget);
        if (status == TSU_OK) b->phase = TSU_BATCH_OVER;
        return status;
    case TSU_BATCH_OVER: break;
    }
    return TSU_OK;
}

tsu_status tsu_batch_run(tsu_thread *self, tsu_batch *b, size_t budget)
{
    while (b->phase != TSU_BATCH_OVER) {
        tsu_status status = step(self, b, &budget);

        /* undone it is for everybody who looks; what is left to do is done when it is destroyed */
        if (status == TSU_NOMEM && b->phase == TSU_BATCH_UNDOING) return b->outcome;
        if (status != TSU_OK) return status;
        if (budget == 0 && b->phase != TSU_BATCH_OVER) return TSU_AGAIN;
    }
    return b->outcome;
}

/* Records of a batch that has installed none: those that a set's commit has taken are not in the array any more. Whatever
 * sorting was at, the array has all others. */
static bool filled_destroy(tsu_thread *self, tsu_batch *b, size_t *budget)
{
    size_t taken = b->phase == TSU_BATCH_FILLING && b->type < TSU_BAG ? b->cursor : 0;

    for (; b->count > taken && *budget > 0; --*budget)
        tsu_record_destroy(self, tsu_item_record(tsu_item_at(&b->items, --b->count)));
    for (; taken > 0 && b->commit->count > 0 && *budget > 0; --*budget)
        tsu_record_destroy(self, tsu_version_newest(tsu_commit_item_at(b->commit, --b->commit->count)->entry.word));
    return b->count == taken && (taken == 0 || b->commit->count == 0);
}

bool tsu_batch_cancel(tsu_batch *b)
{
    if (b->phase == TSU_BATCH_RESERVING) b->phase = TSU_BATCH_INSTALLING;
    if (b->phase == TSU_BATCH_INSTALLING) {
        if (tsu_commit_abort(&b->commit->commit)) {
            undo_begin(b, TSU_GONE);
        } else {            /* somebody has helped it to its end */
            b->phase = TSU_BATCH_SETTLING;
            b->outcome = TSU_OK;
            b->cursor = b->first = 0;
        }
    }
    return b->phase <= TSU_BATCH_FILLING || (b->phase >= TSU_BATCH_UNDOING && b->outcome != TSU_OK);
}

bool tsu_batch_finish(tsu_thread *self, tsu_batch *b, size_t budget)
{
    (void)tsu_batch_cancel(b);
    if (b->phase <= TSU_BATCH_FILLING) {
        if (!filled_destroy(self, b, &budget)) return false;
        b->phase = TSU_BATCH_OVER;
    }
    if (b->phase != TSU_BATCH_OVER && step(self, b, &budget) != TSU_OK) return false;
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
