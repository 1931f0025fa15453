/* bag.c: versions: see bag.h. */
#include <string.h>

#include "mem/bag.h"

tsu_record *tsu_record_create(tsu_thread *self, const uint8_t *object, size_t len)
{
    tsu_record *r = tsu_slab_alloc(self, tsu_record_bytes(len));

    if (r == NULL) return NULL;
    tsu_store_relaxed(&r->version.header, TSU_HEADER_TS);
    tsu_bytes_copy(r->object, object, len);
    return r;
}

void (*tsu_group_defer)(tsu_thread *self, tsu_group *group);

#define GROUP_OBJECTS_AT_ONCE 256

static size_t record_size(const tsu_record *r) { return tsu_record_bytes(tsu_object_len(r->object)); }

void tsu_record_discard(tsu_thread *self, tsu_record *record)
{
    if (record != NULL) tsu_slab_free(self, record, record_size(record));
}

void tsu_record_destroy(tsu_thread *self, tsu_record *record)
{
    if (record == NULL) return;
    if (tsu_record_handles(record)) tsu_object_release(record->object, tsu_codec.release);
    tsu_slab_free(self, record, record_size(record));
}

tsu_record *tsu_record_copy(tsu_thread *self, const tsu_record *r)
{
    tsu_record *copy = tsu_record_create(self, r->object, tsu_object_len(r->object));

    if (copy != NULL && tsu_record_handles(copy)) tsu_object_retain(copy->object, tsu_codec.retain);
    return copy;
}

size_t tsu_record_weight(const tsu_record *record) { return tsu_slab_round(record_size(record)); }

tsu_group *tsu_group_create(tsu_thread *self, tsu_record *newest, uint64_t count, uint64_t records_bytes)
{
    tsu_group *g = tsu_slab_alloc(self, sizeof *g);

    if (g == NULL) return NULL;
    tsu_store_relaxed(&g->version.header, TSU_HEADER_TS);
    tsu_group_newest_set(g, newest);
    g->object_count = count;
    g->bytes = records_bytes + tsu_slab_round(sizeof *g);
    g->base = 0;
    g->stamp = tsu_stamp(self);
    return g;
}

void tsu_group_destroy(tsu_thread *self, tsu_group *group) { tsu_slab_free(self, group, sizeof *group); }

/* Frees up to `budget` records of a chain; what is left of it. */
static tsu_record *chain_destroy(tsu_thread *self, tsu_record *r, size_t budget)
{
    tsu_record *older;

    for (; r != NULL && budget-- > 0; r = older) {
        older = tsu_record_older(r);
        /* one that a commit brought and has not settled is the settler's */
        if (tsu_version_drop(tsu_record_word(r))) tsu_record_destroy(self, r);
    }
    return r;
}

bool tsu_group_reap(tsu_thread *self, tsu_group *group, size_t budget)
{
    tsu_record *r = chain_destroy(self, tsu_group_newest(group), budget);

    tsu_group_newest_set(group, r);
    if (r != NULL) return false;
    tsu_group_destroy(self, group);
    return true;
}

void tsu_version_destroy(tsu_thread *self, uint64_t word)
{
    tsu_group  *g = (tsu_group *)tsu_cell_version(word);
    tsu_record *older;

    if (tsu_cell_holds_version(word) && (tsu_load_acquire(&g->version.header) & TSU_HEADER_TAG) == TSU_HEADER_NODE)
        tsu_version_destroy_below(self, word);
    if ((word & TSU_CELL_KIND) == TSU_CELL_RECORD) {
        older = tsu_record_older((tsu_record *)g);
        tsu_record_destroy(self, (tsu_record *)g);       /* itself whatever its header says: nobody will settle it */
        (void)chain_destroy(self, older, SIZE_MAX);
    } else if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP) {
        if (g->object_count > GROUP_OBJECTS_AT_ONCE && tsu_group_defer != NULL) tsu_group_defer(self, g);
        else (void)tsu_group_reap(self, g, SIZE_MAX);
    }
}

/* --- retiring ------------------------------------------------------------------------ */
static void record_free(tsu_thread *self, void *memory, size_t bytes)
{
    (void)bytes;
    tsu_record_destroy(self, memory);
}

static void group_free(tsu_thread *self, void *memory, size_t bytes)
{
    (void)bytes;
    tsu_group_destroy(self, memory);
}

TSU_APART static size_t group_retire(tsu_thread *self, uint64_t word)
{
    size_t bytes = tsu_slab_round(sizeof(tsu_group));

    if (tsu_version_drop(word)) tsu_retire(self, tsu_cell_version(word), bytes, group_free);
    return bytes;
}

size_t tsu_version_retire(tsu_thread *self, uint64_t word)
{
    tsu_version *v = tsu_cell_version(word);
    size_t       bytes;

    if (!tsu_cell_holds_version(word)) return 0;
    if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP) return group_retire(self, word);
    bytes = tsu_slab_round(record_size((tsu_record *)v));
    if (!tsu_version_drop(word)) return bytes;
    if (TSU_UNLIKELY(tsu_record_handles((tsu_record *)v))) {
        tsu_retire(self, v, bytes, record_free);
        tsu_ebr_weigh(self, tsu_object_held_bytes(((tsu_record *)v)->object));
    } else {
        tsu_retire(self, v, bytes, tsu_slab_free);
    }
    return bytes;
}

void tsu_version_retire_aborted(tsu_thread *self, uint64_t word)
{
    if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP)
        tsu_retire(self, tsu_cell_version(word), tsu_slab_round(sizeof(tsu_group)), group_free);
    else
        tsu_retire(self, tsu_cell_version(word), tsu_record_weight(tsu_version_newest(word)), record_free);
}

size_t tsu_chain_retire(tsu_thread *self, tsu_record *newest, const tsu_record *end)
{
    size_t      bytes = 0;
    tsu_record *older;

    for (; newest != NULL && newest != end; newest = older) {
        older = tsu_record_older(newest);
        bytes += tsu_version_retire(self, tsu_record_word(newest));
    }
    return bytes;
}

static void group_free_all(tsu_thread *self, void *memory, size_t bytes)
{
    (void)bytes;
    tsu_version_destroy(self, tsu_group_word(memory));
}

size_t tsu_version_retire_all(tsu_thread *self, uint64_t word)
{
    tsu_group *g = (tsu_group *)tsu_cell_version(word);
    size_t     bytes;

    if (!tsu_cell_holds_version(word)) return 0;
    if ((word & TSU_CELL_KIND) == TSU_CELL_RECORD) return tsu_chain_retire(self, tsu_version_newest(word), NULL);
    bytes = g->bytes;
    if (g->object_count <= GROUP_OBJECTS_AT_ONCE) {
        (void)tsu_chain_retire(self, tsu_group_newest(g), NULL);
        (void)tsu_version_retire(self, word);
    } else if (tsu_version_drop(word)) {
        tsu_retire(self, g, bytes, group_free_all);
    } else {
        (void)tsu_chain_retire(self, tsu_group_newest(g), NULL);      /* the node is the settler's */
    }
    return bytes;
}

bool tsu_chain_large(const tsu_record *newest)
{
    const tsu_record *r = newest;

    while (r != NULL && !tsu_record_large(r)) r = tsu_record_older(r);
    return r != NULL;
}

size_t tsu_version_bytes(uint64_t word)
{
    const tsu_record *r;
    size_t            bytes = 0;

    switch (word & TSU_CELL_KIND) {
    case TSU_CELL_RECORD:
        for (r = tsu_version_newest(word); r != NULL; r = tsu_record_older(r)) bytes += tsu_record_weight(r);
        return bytes;
    case TSU_CELL_GROUP:  return ((const tsu_group *)tsu_cell_version(word))->bytes;
    }
    return 0;
}
