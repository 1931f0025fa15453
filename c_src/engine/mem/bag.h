/* bag.h: making and freeing versions: records, chains, and the groups that hold the objects of one key of a bag.
 *
 * The objects of a key are chained newest first, so that adding one is O(1) however many there are, and a
 * list built by consing has the order of insertion. Up to TSU_CHAIN_OBJECTS_MAX of them need no group: the newest
 * record is the version, its header says CHAINED and how many there are, and a new object is put on top of it with nothing
 * to retire. A record that was the top of a chain is never made it again: cells have no ABA. What is under a top has the time
 * it came with, the top itself has none: while snapshots are held a new object makes a group.
 * Versions share the older parts of their chains.
 *
 * Ownership   a version in a table owns its records' handles.
 * Threads     what is published is immutable but for header words.
 * Checked by  bag_test.c, engine_test.c
 */
#ifndef TSU_MEM_BAG_H
#define TSU_MEM_BAG_H

#include "mem/kind.h"
#include "mem/slab.h"

static inline uint64_t tsu_record_word(const tsu_record *r) { return (uint64_t)(uintptr_t)r | TSU_CELL_RECORD; }
static inline uint64_t tsu_group_word(const tsu_group *g) { return (uint64_t)(uintptr_t)g | TSU_CELL_GROUP; }

#define TSU_CHAIN_OBJECTS_MAX 255

/* Eight bytes of an object can always be read. */
static inline size_t tsu_record_bytes(size_t object_len) { return sizeof(tsu_record) + (object_len < 8 ? 8 : object_len); }

/* A record with a copy of the object; handles are not touched. NULL: no memory. */
tsu_record *tsu_record_create(tsu_thread *self, const uint8_t *object, size_t len);
/* The same object, with references of its own to what it holds. */
tsu_record *tsu_record_copy(tsu_thread *self, const tsu_record *record);
/* Frees one that was never published, or whose grace is over, and lets go of its handles. */
void tsu_record_destroy(tsu_thread *self, tsu_record *record);
/* Frees one whose handles have gone elsewhere. */
void tsu_record_discard(tsu_thread *self, tsu_record *record);

/* The object older than this one in its group, or NULL. */
static inline tsu_record *tsu_record_older(const tsu_record *r)
{
    uint64_t h = tsu_load_acquire(&r->version.header);

    return (h & TSU_HEADER_TAG) == TSU_HEADER_CHAINED ? (tsu_record *)(uintptr_t)(h & TSU_CELL_POINTER) : NULL;
}
static inline void tsu_record_chain(tsu_record *r, const tsu_record *older)
{
    tsu_store_relaxed(&r->version.header, older != NULL ? (uint64_t)(uintptr_t)older | TSU_HEADER_CHAINED : TSU_HEADER_TS);
}

/* The same for a version of its own: the top of `count` > 1 objects; large: one of them is, perhaps. */
static inline void tsu_record_top(tsu_record *r, const tsu_record *older, uint64_t count, bool large)
{
    tsu_store_relaxed(&r->version.header, (uint64_t)(uintptr_t)older | TSU_HEADER_CHAINED | count << TSU_HEADER_COUNT_SHIFT
                                              | (large ? TSU_HEADER_LARGE : 0));
}

#define TSU_RECORD_LARGE 256u          /* bytes of an object */
static inline bool tsu_record_large(const tsu_record *r) { return tsu_object_len(r->object) > TSU_RECORD_LARGE; }
bool tsu_chain_large(const tsu_record *newest);        /* has it one? */

static inline uint64_t tsu_version_count(uint64_t word)
{
    uint64_t h;

    switch (word & TSU_CELL_KIND) {
    case TSU_CELL_RECORD:
        h = tsu_load_acquire(&tsu_cell_version(word)->header);
        return TSU_LIKELY((h & TSU_HEADER_TAG) != TSU_HEADER_CHAINED) ? 1 : h >> TSU_HEADER_COUNT_SHIFT & TSU_HEADER_COUNT;
    case TSU_CELL_GROUP:  return ((const tsu_group *)tsu_cell_version(word))->object_count;
    }
    return 0;
}
static inline tsu_record *tsu_version_newest(uint64_t word)
{
    if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP) return tsu_group_newest((tsu_group *)tsu_cell_version(word));
    return (tsu_record *)tsu_cell_version(word);
}

/* May one of its objects be large? Of a group, whose sum is known: may all of them together be? */
static inline bool tsu_version_large(uint64_t word)
{
    uint64_t h;

    if ((word & TSU_CELL_KIND) == TSU_CELL_GROUP)
        return ((const tsu_group *)tsu_cell_version(word))->bytes > TSU_RECORD_LARGE * TSU_CHAIN_OBJECTS_MAX / 4;
    h = tsu_load_acquire(&tsu_cell_version(word)->header);
    if ((h & TSU_HEADER_TAG) == TSU_HEADER_CHAINED) return h & TSU_HEADER_LARGE;
    return tsu_record_large((const tsu_record *)tsu_cell_version(word));
}

tsu_group *tsu_group_create(tsu_thread *self, tsu_record *newest, uint64_t count, uint64_t records_bytes);
void tsu_group_destroy(tsu_thread *self, tsu_group *group);        /* the node alone */

/* Frees a version with all its records at once, and what is under it: nobody can see it any more. */
void tsu_version_destroy(tsu_thread *self, uint64_t word);
void tsu_version_destroy_below(tsu_thread *self, uint64_t word);       /* snapshot.c */

/* Retires: the node or one record alone; or all of it. Versions of commits not yet settled stay for the settler. Returns the
 * bytes that the table gets back. */
size_t tsu_version_retire(tsu_thread *self, uint64_t word);
size_t tsu_version_retire_all(tsu_thread *self, uint64_t word);
/* What an aborted commit brought and has taken out of its cell again: the record, or the node. Late readers may still
 * look at it, and must find its header as it is. */
void tsu_version_retire_aborted(tsu_thread *self, uint64_t word);
/* The records of a chain, from `newest` down to but not including `end`. */
size_t tsu_chain_retire(tsu_thread *self, tsu_record *newest, const tsu_record *end);

/* 1 if the record holds handles, for a table's count of such; 0 if not. */
static inline int64_t tsu_record_handles(const tsu_record *r) { return (r->object[0] & TSU_OBJECT_HANDLES) != 0; }

/* What a record takes in memory; and a version with all its records, which it looks at if there is no group. */
size_t tsu_record_weight(const tsu_record *record);
size_t tsu_version_bytes(uint64_t word);

/* Groups of many objects are freed elsewhere, a bit at a time: set by whoever can. */
extern void (*tsu_group_defer)(tsu_thread *self, tsu_group *group);
/* Frees up to `budget` records of such a group; true: all of it, node included. */
bool tsu_group_reap(tsu_thread *self, tsu_group *group, size_t budget);

#endif
