/* engine.h: start here. Tables in memory, as seen from outside.
 *
 * Objects and keys come and go as bytes in the canonical encoding (term/codec.h).
 * Calls that take `self` are made pinned (tsu_pin), so that what a visitor is shown stays
 * there until tsu_unpin; nothing here waits for another thread, and each
 * call is O(1), one tree path, or bounded by a budget.
 *
 * Ownership   `object` bytes are copied. Handles inside them (blobs, held references) become the
 *             table's on TSU_OK, and stay the caller's otherwise and when an insert_new inserts nothing.
 * Errors      TSU_NOMEM: nothing was changed. TSU_AGAIN, from any call that writes: a batch of somebody else holds the
 *             key (bags; and a long insert_new); nothing was changed: unpin, let others run, call again. TSU_BADARG
 *             is for what the caller should have checked.
 * Threads     all, any, at once; create and destroy of one table are the caller's to order.
 * Checked by  engine_test.c, c_src/testing/stress_engine.c, make race
 */
#ifndef TSU_ENGINE_H
#define TSU_ENGINE_H

#include "mem/ebr.h"
#include "mem/kind.h"

/* Before it: tsu_codec is set (term/codec.h), which is all that the engine needs of the VM. */
tsu_status tsu_engine_open(void);
/* Joins the engine's thread and frees all. No table may be in use. */
void tsu_engine_close(void);

typedef enum tsu_table_type { TSU_SET, TSU_ORDERED_SET, TSU_BAG, TSU_DUPLICATE_BAG } tsu_table_type;

typedef struct tsu_table tsu_table;

tsu_status tsu_table_create(tsu_thread *self, tsu_table_type type, uint32_t keypos, tsu_table **out);
/* O(1): contents are freed behind. The caller has made the table unreachable; threads pinned
 * since before may still use it. */
void tsu_table_destroy(tsu_thread *self, tsu_table *table);

uint64_t tsu_table_count(const tsu_table *table);     /* objects */
uint64_t tsu_table_bytes(const tsu_table *table);     /* all memory of the table */
tsu_table_type tsu_table_type_of(const tsu_table *table);
uint32_t tsu_table_keypos(const tsu_table *table);

/* Shown an object, pinned. False: no more. */
typedef bool (*tsu_object_fn)(void *ctx, const uint8_t *object);

/* --- one key ----------------------------------------------------------------------- */
/* Shows the key's objects, the newest first: a list built by consing has the order of insertion. */
void tsu_lookup(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_object_fn fn,
                void *ctx);
/* The same in two steps, for who looks up several keys: begun for all of them, what is looked at first is on its way to the processor
 * when each is ended. The key's bytes stay the caller's, and there. */
void tsu_lookup_begin(tsu_table *table, const uint8_t *key, size_t len, tsu_key *out);
void tsu_lookup_end(tsu_thread *self, tsu_table *table, const tsu_key *key, tsu_object_fn fn, void *ctx);
/* The same in parts, with unpinning in between. Begins with {0}; fn stops a part by false, and what it was shown last counts as
 * shown; few objects are shown at once, whatever it says. OK: all objects have been shown, which the key had at one moment.
 * AGAIN: call again. GONE: the key has changed since the first part, and what was shown is of no use: begin anew. */
typedef struct tsu_part {
    uint64_t    stamp;          /* of what is being shown; 0: not begun */
    const void *next;
} tsu_part;
tsu_status tsu_lookup_part(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_part *part,
                           tsu_object_fn fn, void *ctx);
bool tsu_member(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len);

/* Where an object takes time to write, tsu_lookup_begin as soon as its key is written saves some of the wait. */
tsu_status tsu_insert(tsu_thread *self, tsu_table *table, const uint8_t *object, size_t len);
/* *inserted false: the key was there. */
tsu_status tsu_insert_new(tsu_thread *self, tsu_table *table, const uint8_t *object, size_t len,
                          bool *inserted);
tsu_status tsu_delete(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len);
/* All objects that are the same (=:=) as this one. */
tsu_status tsu_delete_object(tsu_thread *self, tsu_table *table, const uint8_t *object, size_t len);
/* As delete, and shows what was removed. */
tsu_status tsu_take(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_object_fn fn,
                    void *ctx);
/* The same, but a key with more objects than that stays (*more), and is for tsu_take_part. */
tsu_status tsu_take_few(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, uint64_t objects_max, bool *more,
                        tsu_object_fn fn, void *ctx);
/* Removes the key if it still has what tsu_lookup_part has shown to the end; else GONE. */
tsu_status tsu_take_part(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, const tsu_part *part);

/* Read, compute, write as one step. `fn` is shown the object (NULL: absent) and answers KEEP, FAIL, REMOVE, or
 * PUT with *out and *out_len set to an object with the same key, its handles owned once more: they become
 * the table's. `fn` may be called again when another thread was faster; `unused` has then been shown the object of
 * the call before, to let go of its handles. In a bag `fn` is asked about each object of the key, the newest first, and what it
 * puts takes the place of that one; its handles are the table's at once. *verdict is what became of the key. */
typedef struct tsu_update tsu_update;
struct tsu_update {
    tsu_verdict (*fn)(tsu_update *update, const uint8_t *old, const uint8_t **out, size_t *out_len);
    void        (*unused)(tsu_update *update, const uint8_t *object);   /* a PUT that lost its race, or for which memory is short */
    uint64_t    hits;       /* fn's to count; set to 0 whenever it is asked anew */
};
tsu_status tsu_table_update(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len,
                            tsu_update *update, tsu_verdict *verdict);

/* The common case of it, done quickly: one element gets another value, or a number is added to it. False: nothing is done, as
 * there is no such object, or as something about it (handles, large numbers, memory) wants tsu_table_update. */
typedef struct tsu_patch {
    size_t         pos;       /* not the key's */
    /* either */
    bool           add, limited;
    int64_t        number;    /* what to add */
    int64_t        limit;     /* limited: a sum past it, on the side that number leads to, ... */
    int64_t        restart;   /* ... becomes this */
    /* or the new value, neither with handles nor LOOSE: */
    size_t         len;
    uint64_t       word;      /* here, if that is at most 8, */
    const uint8_t *term;      /* or there */
    /* out */
    bool           absent;    /* the key */
    int64_t        sum;
} tsu_patch;
bool tsu_table_patch(tsu_thread *self, tsu_table *table, const uint8_t *key, size_t len, tsu_patch *patch);

/* --- all keys ------------------------------------------------------------------------ */
/* O(1), atomic; contents are freed behind. */
tsu_status tsu_clear(tsu_thread *self, tsu_table *table);
/* The same, and hands out a reference to what the table had, for tsu_contents_count once all who were pinned have gone: then it is
 * how many objects were removed, but for those of batches in flight. It goes by tsu_contents_unreference. */
struct tsu_contents;
tsu_status tsu_clear_keep(tsu_thread *self, tsu_table *table, struct tsu_contents **cleared);
uint64_t tsu_contents_count(const struct tsu_contents *contents);
void tsu_contents_unreference(tsu_thread *self, struct tsu_contents *contents);

/* Shows objects in the table's order, starting after the key `from` (NULL: at the beginning), all objects of a key or none
 * of them; stops after `budget` steps or when fn says so. *done: the end was reached. */
void tsu_walk(tsu_thread *self, tsu_table *table, const uint8_t *from, size_t len, tsu_direction direction,
              size_t budget, tsu_object_fn fn, void *ctx, bool *done);

/* Who goes from key to key mostly asks for what is next to the last answer. True: trail->key is the key where this thread's
 * last step in the table ended, or one that it changed since, and trail->word the version next to it. Who wants that calls
 * tsu_trail_take. False: not known, ask tsu_step. */
bool tsu_step_trail(tsu_thread *self, tsu_table *table, tsu_direction direction, tsu_trail *trail);

/* The key after (before) `from`; NULL from: the first (last). Shows its objects, newest first. *found
 * false: there is none. *present: whether `from` itself was there, or had been deleted while the table was fixed. */
void tsu_step(tsu_thread *self, tsu_table *table, const uint8_t *from, size_t len, tsu_direction direction,
              tsu_object_fn fn, void *ctx, bool *found, bool *present);

void tsu_slot(tsu_thread *self, tsu_table *table, uint64_t index, tsu_object_fn fn, void *ctx, int *past);

/* While fixed, a table of a hash kind remembers the keys that are deleted, so that a traversal may go on from them. */
tsu_status tsu_table_fix(tsu_thread *self, tsu_table *table);
void tsu_table_unfix(tsu_thread *self, tsu_table *table);

/* --- many objects, all or nothing ------------------------------------------------------ */
typedef struct tsu_batch tsu_batch;
/* new_only: only if none of the keys is there. */
tsu_status tsu_batch_create(tsu_thread *self, tsu_table *table, bool new_only, tsu_batch **out);
/* Copies; handles become the batch's. */
tsu_status tsu_batch_add(tsu_thread *self, tsu_batch *batch, const uint8_t *object, size_t len);
/* Goes on for about `budget` steps. TSU_AGAIN: call again (unpin in between). TSU_OK: all are in. TSU_EXISTS: new_only and a
 * key was there. After anything but AGAIN the batch is over. */
tsu_status tsu_batch_run(tsu_thread *self, tsu_batch *batch, size_t budget);
/* True: from now on nothing of the batch shows, nor ever will, and it is to be destroyed. False: it has been committed, and is to be
 * run to its end. Pinned. */
bool tsu_batch_cancel(tsu_batch *batch);
/* Any time, also half way: nothing of an unfinished batch remains visible. Accepts NULL. The table may be gone. */
void tsu_batch_destroy(tsu_thread *self, tsu_batch *batch);

/* --- a table at one instant -------------------------------------------------------------- */
/* A snapshot is announced by create (NOMEM), and taken once take says true: until then call it again; unpin in between, let others run, and
 * help by tsu_ebr_collect. It shows the table as it was at an instant between the two calls, whatever is written to the table
 * meanwhile, also if it is cleared or destroyed. */
typedef struct tsu_snapshot tsu_snapshot;
tsu_status tsu_snapshot_create(tsu_thread *self, tsu_table *table, tsu_snapshot **out);
bool tsu_snapshot_take(tsu_snapshot *snapshot);
/* Any time, taken or not; what others do with it while they are pinned goes on. Accepts NULL. */
void tsu_snapshot_destroy(tsu_snapshot *snapshot);
/* The table to read the snapshot from: the thread reads nothing else until tsu_snapshot_done, while it stays pinned, and writes nothing. */
tsu_table *tsu_snapshot_view(tsu_thread *self, tsu_snapshot *snapshot);
static inline void tsu_snapshot_done(tsu_thread *self) { self->view = NULL; }

/* --- the whole ------------------------------------------------------------------------- */
/* Waits until what has been deleted so far is freed. For tests and for unload. Not pinned. */
void tsu_engine_sync(tsu_thread *self);

typedef struct tsu_engine_stats {
    uint64_t epoch, bytes_waiting, pieces_leaked;      /* ebr.h */
    uint64_t slab_bytes_held, slab_bytes_pooled;       /* slab.h */
    uint64_t roots_waiting;                            /* cleared or deleted contents, and snapshots, not yet freed */
} tsu_engine_stats;
void tsu_engine_stats_get(tsu_engine_stats *out);

#endif
