/* table.h: inside of a table. engine.h is what others see.
 *
 * A table points at its contents; clearing swaps them. Contents are counted: the table holds one reference, a batch
 * another. The last one to go hands them to the reaper (reaper.h).
 */
#ifndef TSU_TABLE_H
#define TSU_TABLE_H

#include "engine.h"
#include "mem/bag.h"
#include "mem/hashtab.h"
#include "mem/kind.h"
#include "mem/snapshot.h"
#include "term/order.h"

#define TSU_TALLIES 5u        /* four for the first threads' own, one that all others share */

/* Counts of what one thread has added and taken away; the sum over all is what there is. */
struct tsu_tally {
    tsu_word objects, bytes, handles;
    char     pad[40];
};

struct tsu_contents {
    tsu_root            *root;           /* fixed */
    const tsu_kind      *kind;           /* fixed */
    tsu_word             references;
    struct tsu_contents *next;           /* in the reaper's queue, or in a fixed table's list of cleared contents */
    uint64_t             reap_epoch;
    tsu_history          history;
    struct tsu_tally     tallies[TSU_TALLIES];
};

struct tsu_table {
    /* fixed */
    tsu_table_type  type;
    uint32_t        keypos;
    const tsu_kind *kind;
    /* atomic */
    tsu_word        contents;            /* struct tsu_contents * */
    tsu_word        fixed;               /* how many times it is fixed */
    tsu_word        ghosts;              /* struct tsu_contents *: keys deleted since it was fixed; cleared contents behind it */
};

static inline struct tsu_contents *tsu_table_contents(const tsu_table *table)
{
    return (struct tsu_contents *)(uintptr_t)tsu_load_acquire(&table->contents);
}

static inline bool tsu_table_is_bag(const tsu_table *table)
{
    return table->type == TSU_BAG || table->type == TSU_DUPLICATE_BAG;
}

/* In place: a struct that is returned gets copied, by wide loads that wait for the stores of its parts. */
void tsu_table_key_ordered(tsu_key *key);
static inline void tsu_table_key(tsu_key *key, const tsu_kind *kind, const uint8_t *bytes, size_t len)
{
    key->bytes = bytes;
    key->len = len;
    key->exact = false;
    if (kind == &tsu_kind_hash) key->mark = tsu_hashtab_mark(bytes, len);
    else tsu_table_key_ordered(key);
}

tsu_status tsu_contents_create(tsu_thread *self, const tsu_kind *kind, uint32_t keypos,
                               struct tsu_contents **out);
/* Pinned. The reference goes when all who are pinned now have gone. */
void tsu_contents_release(tsu_thread *self, struct tsu_contents *contents);

/* As kind->edit, for those who are no batch: with the history, and a commit that is in the way is helped. */
tsu_status tsu_contents_edit(tsu_thread *self, struct tsu_contents *contents, const uint8_t *key, size_t len, tsu_edit *edit);

/* Lets go of what is kept of a key and no snapshot needs, its tombstone included. Pinned. */
void tsu_contents_sweep_key(tsu_thread *self, struct tsu_contents *contents, const tsu_key *key);

void tsu_tally_add(tsu_thread *self, struct tsu_contents *contents, int64_t objects, int64_t bytes,
                   int64_t handles);

/* What a bag does with new objects that do not go on top of a chain (bag.h); also for batches. `newest` down to `oldest`
 * is a private chain of `count` records with `bytes`; answers the word to put, or 0 for want of memory. *group is made
 * or reused. */
uint64_t tsu_bag_append(tsu_thread *self, uint64_t current, tsu_record *newest, tsu_record *oldest, uint64_t count,
                        uint64_t bytes, tsu_group **group);
/* The key's committed version, as kind->find has it. */
uint64_t tsu_table_find(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len);
/* tsu_walk with the versions themselves; and the objects of one, as tsu_lookup shows them. */
void tsu_walk_versions(tsu_thread *self, tsu_table *table, const uint8_t *from, size_t len, tsu_direction direction,
                       size_t budget, tsu_visit_fn visit, void *ctx, bool *done);
/* Many at a time. False: this table does not do that. */
bool tsu_walk_many(tsu_thread *self, tsu_table *table, const uint8_t *from, size_t len, size_t budget, tsu_visit_many_fn visit,
                   void *ctx, bool *done);
bool tsu_version_show(uint64_t word, tsu_object_fn fn, void *ctx);
/* A group's stamp; 0: it is no group. */
static inline uint64_t tsu_word_stamp(uint64_t word)
{
    return (word & TSU_CELL_KIND) == TSU_CELL_GROUP ? ((const tsu_group *)tsu_cell_version(word))->stamp : 0;
}
/* Whether a bag has an object that is the same. */
bool tsu_bag_has(uint64_t current, const uint8_t *object);

#endif
