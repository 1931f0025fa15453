/* batch_hold.c: bags: a key with many objects. Its group is in the cell first, and filled then, in slices. */
#include "batch_inner.h"

tsu_verdict tsu_batch_hold_decide(tsu_edit *edit, tsu_thread *self, tsu_batch *b, size_t first, uint64_t current)
{
    tsu_record *r = tsu_item_record(tsu_item_at(&b->items, first));

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

void tsu_batch_hold_free(tsu_batch *b)
{
    tsu_env_pages_unmap(b->hold.slots, b->hold.slot_count * sizeof *b->hold.slots);
    b->hold.slots = NULL;
}

void tsu_batch_hold_begin(tsu_batch *b, size_t first)
{
    struct tsu_hold *h = &b->hold;

    if (h->slots != NULL) tsu_batch_hold_free(b);
    *h = (struct tsu_hold){.step = b->type == TSU_BAG ? TSU_HOLD_COUNT : TSU_HOLD_CHAIN, .group = b->group, .at = first};
    b->group = NULL;
    if (tsu_cell_alive(h->group->base)) h->known = h->newest = tsu_version_newest(h->group->base);
}

/* Where the object's item is noted, or may be. */
static uint32_t *hold_slot(const tsu_batch *b, const uint8_t *object)
{
    const struct tsu_hold *h = &b->hold;
    size_t                 i = tsu_object_hash(object) & (h->slot_count - 1);

    while (h->slots[i] != 0
           && !tsu_object_same(tsu_item_record(tsu_item_at(&b->items, b->first + h->slots[i] - 1))->object, object))
        i = (i + 1) & (h->slot_count - 1);
    return &h->slots[i];
}

static tsu_status hold_spread(tsu_batch *b, size_t *budget)
{
    struct tsu_hold *h = &b->hold;

    if (h->slots == NULL) {
        for (h->slot_count = 4096; h->slot_count < 2 * (h->end - b->first); h->slot_count *= 2) {}
        h->slots = tsu_env_pages_map(h->slot_count * sizeof *h->slots, 4096, false);
        if (h->slots == NULL) return TSU_NOMEM;
    }
    for (; h->at < h->end && *budget > 0; h->at++, --*budget) {
        tsu_item *item = tsu_item_at(&b->items, h->at);
        uint32_t *slot = hold_slot(b, tsu_item_record(item)->object);

        if (*slot != 0) tsu_item_mark(item, TSU_ITEM_DROPPED);
        else *slot = (uint32_t)(h->at - b->first + 1);
    }
    return h->at < h->end ? TSU_AGAIN : TSU_OK;
}

/* What the bag has already is not put there once more. */
static tsu_status hold_known(tsu_batch *b, size_t *budget)
{
    struct tsu_hold *h = &b->hold;

    for (; h->known != NULL && *budget > 0; h->known = tsu_record_older(h->known), --*budget) {
        uint32_t slot = *hold_slot(b, h->known->object);

        if (slot != 0) tsu_item_mark(tsu_item_at(&b->items, b->first + slot - 1), TSU_ITEM_DROPPED);
    }
    return h->known != NULL ? TSU_AGAIN : TSU_OK;
}

static tsu_status hold_chain(tsu_batch *b, size_t *budget)
{
    struct tsu_hold *h = &b->hold;
    tsu_group       *g = h->group;
    uint64_t         base;

    do {
        const tsu_item *item = tsu_item_at(&b->items, h->at);
        tsu_record     *r = tsu_item_record(item);

        if (*budget == 0) return TSU_AGAIN;
        --*budget;
        if (h->at + TSU_FETCH_AHEAD < b->count)
            __builtin_prefetch(tsu_item_record(tsu_item_at(&b->items, h->at + TSU_FETCH_AHEAD)), 1);
        h->at++;
        if (tsu_item_marked(item, TSU_ITEM_DROPPED)) continue;
        tsu_record_chain(r, h->newest);
        h->newest = r;
        h->count++;
        h->bytes += tsu_record_weight(r);
        b->handles += tsu_record_handles(r);
    } while (!tsu_batch_key_ends(b, h->at));
    tsu_group_newest_set(g, h->newest);
    base = tsu_cell_alive(g->base) ? g->base : 0;
    g->object_count = h->count + tsu_version_count(base);
    g->bytes = h->bytes + tsu_version_bytes(base) + ((base & TSU_CELL_KIND) == TSU_CELL_GROUP ? 0 : tsu_slab_round(sizeof *g));
    b->objects += (int64_t)h->count;
    b->bytes += (int64_t)(h->bytes + tsu_slab_round(sizeof *g));
    return TSU_OK;
}

tsu_status tsu_batch_hold_run(tsu_batch *b, size_t *budget)
{
    struct tsu_hold *h = &b->hold;
    tsu_status       status;

    switch (h->step) {
    case TSU_HOLD_COUNT:
        do {
            if (*budget == 0) return TSU_AGAIN;
            --*budget;
        } while (!tsu_batch_key_ends(b, ++h->at));
        h->end = h->at;
        h->at = b->first;
        h->step = TSU_HOLD_SPREAD;
        /* fall through */
    case TSU_HOLD_SPREAD:
        if ((status = hold_spread(b, budget)) != TSU_OK) return status;
        h->step = TSU_HOLD_KNOWN;
        /* fall through */
    case TSU_HOLD_KNOWN:
        if ((status = hold_known(b, budget)) != TSU_OK) return status;
        /* the slots go with the batch: to unmap many takes the system a while */
        h->at = b->first;
        h->step = TSU_HOLD_CHAIN;
        /* fall through */
    case TSU_HOLD_CHAIN:
        if ((status = hold_chain(b, budget)) != TSU_OK) return status;
        b->first = h->at;
        b->cursor++;
        h->step = TSU_HOLD_NONE;
        break;
    case TSU_HOLD_NONE: break;
    }
    return TSU_OK;
}
