/* kind.h: the interface that every kind of table fills in.
 *
 * A root is the whole contents of a table; clearing a table swaps its root. All functions are called
 * pinned (but create and reap) and by any thread; find and walk never wait for anyone.
 * A structure knows keys, cells and versions, not objects' meaning: what an insert does to a bag
 * is the edit's business.
 */
#ifndef TSU_MEM_KIND_H
#define TSU_MEM_KIND_H

#include "mem/version.h"
#include "term/codec.h"

typedef struct tsu_root tsu_root;          /* each kind's own */

/* A key, ready for use. Fixed while the operation runs. */
typedef struct tsu_key {
    const uint8_t *bytes;      /* canonical encoding: codec.h */
    size_t         len;
    uint64_t       mark;       /* hash tables: the hash; ordered: order head (order.h) */
    bool           exact;      /* ordered: equal heads mean equal keys */
} tsu_key;

/* An entry of a commit, and what goes with it. */
struct tsu_commit_item {
    tsu_entry entry;
    uint64_t  mark;              /* of its key */
};

typedef enum tsu_direction { TSU_FORWARD, TSU_BACKWARD } tsu_direction;

/* Where this thread was last, and what is next to that: good while the thread stays pinned. */
typedef struct tsu_trail {
    const uint8_t *key;        /* there; lent */
    uint64_t       word;       /* the committed version next to it */
    /* for tsu_trail_take */
    uint64_t      *index;
    uint64_t       next;
} tsu_trail;

/* What is next was visited: now the thread was last there. */
static inline void tsu_trail_take(const tsu_trail *trail) { *trail->index = trail->next; }

/* Gets each committed version's word in order; false ends the walk. */
typedef bool (*tsu_visit_fn)(void *ctx, uint64_t word);

/* The same for many at a time, as they were read, but the last of them in the structure's order comes last. Words may have the
 * structure's bits. SINGLY, of more than one, none of which counts as seen: these come one by one, and the walk ends behind them. */
typedef enum tsu_visit_answer { TSU_VISIT_ON, TSU_VISIT_END, TSU_VISIT_SINGLY } tsu_visit_answer;
typedef tsu_visit_answer (*tsu_visit_many_fn)(void *ctx, const uint64_t *words, size_t count);

typedef struct tsu_kind {
    const char *name;

    /* An empty root for objects whose key is element `keypos`. */
    tsu_status (*create)(tsu_thread *self, uint32_t keypos, tsu_root **out);

    /* Frees up to about `budget` pieces of a root that nobody can reach any more (a grace period has passed), versions and
     * all, by release_version. True when nothing is left of it. State between calls is in the root. */
    bool (*reap)(tsu_thread *self, tsu_root *root, size_t budget,
                 void (*release_version)(tsu_thread *self, uint64_t word));

    /* Bytes of the structure itself, versions not counted. Never less while it only grows. */
    size_t (*bytes)(tsu_root *root);

    /* Has the processor fetch what edit will look at first: worth it if there is something else to do until then. NULL: nothing. */
    void (*fetch)(tsu_root *root, const tsu_key *key);
    /* The same for what edit looks at after that, which is known only when the first has come. NULL if fetch is. */
    void (*fetch_next)(tsu_root *root, const tsu_key *key);

    /* The word (kind and pointer) of the key's committed version; kind EMPTY: absent. */
    uint64_t (*find)(tsu_thread *self, tsu_root *root, const tsu_key *key);

    /* Runs the edit on the key's cell, wherever that is. NOMEM: nothing was changed. TSU_AGAIN: edit->blocked is a
     * commit to be helped first. On success of a PUT or REMOVE the caller retires edit->old. */
    tsu_status (*edit)(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_edit *edit);

    /* Installs one entry of a commit. DONE, STOP, BLOCKED or EXISTS in *outcome; NOMEM: not installed. */
    tsu_status (*install)(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry,
                          tsu_install_outcome *outcome, tsu_commit **other);

    /* The first of `count` > 0 entries of a commit, in the order of their keys, each key once: as many as go together. DONE:
     * *installed of them are in, one or more; otherwise none is, and *outcome is the first one's. NOMEM: none is. NULL:
     * install does. */
    tsu_status (*install_run)(tsu_thread *self, tsu_root *root, struct tsu_commit_item *items, size_t count,
                              size_t *installed, tsu_install_outcome *outcome, tsu_commit **other);

    /* Makes room for as many keys as are about to be installed in order, at most *budget steps; AGAIN: call again. NULL: no
     * such need. */
    tsu_status (*reserve)(tsu_thread *self, tsu_root *root, size_t keys, size_t *budget);

    /* Takes an aborted entry's version out of its cell, if it is there: what was under it comes back. False: where it lies is
     * being moved, and memory for that is short: it is there still, which readers do not mind, and may not be freed. */
    bool (*restore)(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry);

    /* The word (kind and pointer) in the key's cell as it is, committed or not; kind EMPTY: none. */
    uint64_t (*peek)(tsu_thread *self, tsu_root *root, const tsu_key *key);

    /* Visits committed versions in the structure's order, starting after `from` (NULL: at the end where the
     * direction begins), at most about `budget` steps. *done: the end was reached. Objects that are there throughout
     * are seen exactly once by a chain of walks that each start after the last key seen. In a tree the first one that a walk
     * shows is the next one at some moment of it (nearly: bptree.c, passed). */
    void (*walk)(tsu_thread *self, tsu_root *root, const tsu_key *from, tsu_direction direction,
                 size_t budget, tsu_visit_fn visit, void *ctx, bool *done);

    /* The same, forward, for who can take what comes many at a time: walks of either sort may follow each other. NULL: walk does. */
    void (*walk_many)(tsu_thread *self, tsu_root *root, const tsu_key *from, size_t budget, tsu_visit_many_fn visit, void *ctx,
                      bool *done);

    /* The first committed version after `from` (NULL: of all), or 0; *present: `from` is there. from->mark
     * need not be known. NULL: walk does as well. */
    uint64_t (*next)(tsu_thread *self, tsu_root *root, const tsu_key *from, bool *present);

    /* True: the thread's last walk or edit was in this root, and the trail tells where it ended and what is next in that
     * direction. False: that is not so easily told. NULL: walk does as well. */
    bool (*trail)(tsu_thread *self, tsu_root *root, tsu_direction direction, tsu_trail *trail);

    /* ets' slot/2: hash tables: bucket `index`; ordered: the index-th version. *past: 0 inside, 1 at the very
     * end, 2 beyond. */
    void (*slot)(tsu_thread *self, tsu_root *root, uint64_t index, tsu_visit_fn visit, void *ctx, int *past);

    /* Walks everything and names the first broken invariant, or NULL. Quiet roots only: tests. */
    const char *(*verify)(tsu_thread *self, tsu_root *root);
} tsu_kind;

extern const tsu_kind tsu_kind_hash;       /* hashtab.c: set, bag, duplicate_bag */
extern const tsu_kind tsu_kind_tree;       /* bptree.c: ordered_set */

/* The object of the version at `word`: the record's, or a group's newest. */
static inline const uint8_t *tsu_version_object(uint64_t word)
{
    const tsu_version *v = tsu_cell_version(word);

    if (TSU_UNLIKELY((word & TSU_CELL_KIND) == TSU_CELL_GROUP)) v = &tsu_group_newest((const tsu_group *)v)->version;
    return ((const tsu_record *)v)->object;
}

/* Its key element. */
static inline const uint8_t *tsu_version_key(uint64_t word, uint32_t keypos, size_t *len)
{
    return tsu_object_key(tsu_version_object(word), keypos, len);
}

#endif
