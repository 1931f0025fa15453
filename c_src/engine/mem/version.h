/* version.h: cells, versions and commit entries: how a key's present object is found.
 *
 * ARCHITECTURE.md, "Cells and versions", draws the words and tells the protocol. This is the one
 * place that knows them; the hash table and the tree bring the cells, txn/ drives commits.
 *
 * Invariants  C1-C5 of ARCHITECTURE.md
 * Threads     everything here is called pinned, and by any thread.
 * Checked by  version_test.c, version_entry_test.c, specs/Commit.tla, make race
 */
#ifndef TSU_MEM_VERSION_H
#define TSU_MEM_VERSION_H

#include "mem/ebr.h"

/* --- cell words ------------------------------------------------------------ */
#define TSU_CELL_KIND    UINT64_C(3)
#define TSU_CELL_EMPTY   UINT64_C(0)      /* the rest is a stamp; all zero: never used */
#define TSU_CELL_RECORD  UINT64_C(1)
#define TSU_CELL_GROUP   UINT64_C(2)
#define TSU_CELL_OTHER   UINT64_C(3)      /* the structure's own: hash: link, tree: closed */
#define TSU_CELL_FROZEN  UINT64_C(4)
#define TSU_CELL_POINTER UINT64_C(0x0000fffffffffff8)
#define TSU_CELL_AUX     UINT64_C(0xffff000000000000)   /* belongs to the structure */

/* Pointer and kind: what a cell word says apart from the structure's bits. */
static inline uint64_t tsu_cell_bare(uint64_t word) { return word & (TSU_CELL_POINTER | TSU_CELL_KIND); }

/* --- versions --------------------------------------------------------------- */
#define TSU_HEADER_TAG       UINT64_C(7)
#define TSU_HEADER_TS        UINT64_C(0)
#define TSU_HEADER_UNDECIDED UINT64_C(1)
#define TSU_HEADER_ENTRY     UINT64_C(2)
#define TSU_HEADER_NODE      UINT64_C(3)
#define TSU_HEADER_CHAINED   UINT64_C(4)      /* of the newest of a chain that has no group bits 48-62 say how many there are, and bit 63 LARGE */
#define TSU_HEADER_COUNT_SHIFT 48
#define TSU_HEADER_COUNT     UINT64_C(0x7fff)
#define TSU_HEADER_LARGE     (UINT64_C(1) << 63)
#define TSU_HEADER_DROPPED   UINT64_C(5)      /* replaced before its commit was settled: see tsu_version_drop */
#define TSU_HEADER_PASSED    UINT64_C(6)      /* as NODE, of a version that is on its way out: who stands on it finds the way down */
#define TSU_HEADER_TS_SHIFT  8

typedef struct tsu_version { tsu_word header; } tsu_version;

/* TS or CHAINED: no commit in progress is about it, and it has its time, or needs none. */
static inline bool tsu_header_settled(uint64_t header) { return (header & 3) == 0; }
_Static_assert((TSU_HEADER_TS & 3) == 0 && (TSU_HEADER_CHAINED & 3) == 0, "no other tag is like that");

/* An object in memory: codec.h tells what is in the bytes. */
typedef struct tsu_record {
    tsu_version version;
    uint8_t     object[];
} tsu_record;

/* All objects of one key in a bag: of many, or as a commit leaves them; else the newest record stands for them. Objects are
 * chained newest first through their own headers; the oldest has a header that is not CHAINED. Immutable but for the header.
 * With stamp 0 it is a tombstone: the key is absent, and its one record only names it. */
typedef struct tsu_group {
    tsu_version version;
    tsu_word    newest;            /* tsu_record *: see tsu_group_newest */
    uint64_t    object_count;
    uint64_t    bytes;             /* of the node and all its records */
    uint64_t    base;              /* made by a commit: the cell's word before it (EMPTY: none) */
    uint64_t    stamp;             /* no other group has had it: tells whether a key is as it was */
} tsu_group;

/* While a commit is pending its owner may still add to a group of it; others look at the key then, and at nothing else. */
static inline tsu_record *tsu_group_newest(const tsu_group *g)
{
    return (tsu_record *)(uintptr_t)tsu_load_acquire(&g->newest);
}
static inline void tsu_group_newest_set(tsu_group *g, const tsu_record *r)
{
    tsu_store_release(&g->newest, (uint64_t)(uintptr_t)r);
}

static inline tsu_version *tsu_cell_version(uint64_t word)
{
    return (tsu_version *)(uintptr_t)(word & TSU_CELL_POINTER);
}
static inline bool tsu_cell_holds_version(uint64_t word)
{
    uint64_t kind = word & TSU_CELL_KIND;
    return kind == TSU_CELL_RECORD || kind == TSU_CELL_GROUP;
}
static inline bool tsu_cell_tombstone(uint64_t word)
{
    return (word & TSU_CELL_KIND) == TSU_CELL_GROUP && ((const tsu_group *)tsu_cell_version(word))->stamp == 0;
}
/* Does it hold a version that is one of objects? */
static inline bool tsu_cell_alive(uint64_t word) { return tsu_cell_holds_version(word) && !tsu_cell_tombstone(word); }

/* --- the past, while snapshots are held: snapshot.h ----------------------------- */
/* A NODE header leads here. */
typedef struct tsu_node {
    tsu_word time;                 /* of the version; 0: nobody has given it one yet */
    tsu_word older;                /* cell word of the version before; FROZEN: this link does not change any more */
} tsu_node;

static inline tsu_node *tsu_header_node(uint64_t header) { return (tsu_node *)(uintptr_t)(header & ~TSU_HEADER_TAG); }

/* Of one root. */
typedef struct tsu_history {
    tsu_word snapshots;            /* struct tsu_snapshot *, the latest first; 0: nothing has to be kept */
    tsu_word nodes;                /* how many there are */
    tsu_word bytes;                /* of nodes, and of what is there for snapshots alone */
} tsu_history;

/* --- commits ------------------------------------------------------------------ */
#define TSU_COMMIT_PENDING   UINT64_C(0)
#define TSU_COMMIT_COMMITTED UINT64_C(1)
#define TSU_COMMIT_ABORTED   UINT64_C(2)
#define TSU_COMMIT_TAG       UINT64_C(7)
#define TSU_COMMIT_TS_SHIFT  8

struct tsu_commit;
typedef struct tsu_entry {
    struct tsu_commit *commit;     /* fixed */
    uint64_t           word;       /* fixed: cell word (kind, pointer) of the new version */
    tsu_word           under;      /* a cell: what readers see while the commit is pending: version.c */
} tsu_entry;

typedef struct tsu_commit {
    tsu_word state;                /* tag; COMMITTED: timestamp << 8, 0 until somebody looks */
    bool     demands_absent;       /* fixed: insert_new */
} tsu_commit;

static inline tsu_entry *tsu_header_entry(uint64_t header)
{
    return (tsu_entry *)(uintptr_t)(header & ~TSU_HEADER_TAG);
}

/* What readers see in place of a version whose commit is not, or never will be, committed, or was committed too late for them. */
uint64_t tsu_entry_below(uint64_t word, const tsu_entry *entry);

/* The state of a committed commit, with its time: given now, if it has none. */
uint64_t tsu_commit_time(tsu_commit *commit);

/* --- the clock ----------------------------------------------------------------- */
extern tsu_word tsu_clock;

/* Gives an UNDECIDED version its time. */
void tsu_version_decide_slow(tsu_version *v, uint64_t header);
static inline void tsu_version_decide(tsu_version *v)
{
    uint64_t h = tsu_load_acquire(&v->header);
    if (TSU_UNLIKELY((h & TSU_HEADER_TAG) == TSU_HEADER_UNDECIDED)) tsu_version_decide_slow(v, h);
}

/* The word of the committed version that a cell word leads to, or an empty word (kind EMPTY): the one of now, or, if the thread
 * has a view, of its time. Never waits. The word keeps neither FROZEN nor AUX bits. Words of kind OTHER count as empty. */
uint64_t tsu_cell_resolve_slow(tsu_thread *self, uint64_t word);
static inline uint64_t tsu_cell_resolve(tsu_thread *self, uint64_t word)
{
    if (!tsu_cell_holds_version(word)) return 0;
    uint64_t h = tsu_load_acquire(&tsu_cell_version(word)->header);
    if (TSU_LIKELY(tsu_header_settled(h) && self->view == NULL))
        return word & (TSU_CELL_POINTER | TSU_CELL_KIND);
    return tsu_cell_resolve_slow(self, word);
}

/* --- changing a cell ------------------------------------------------------------ */
typedef enum tsu_verdict {
    TSU_EDIT_KEEP,        /* leave things as they are */
    TSU_EDIT_PUT,         /* edit->put is the new version's word (kind and pointer) */
    TSU_EDIT_REMOVE,      /* the key goes */
    TSU_EDIT_FAIL         /* edit->status says why */
} tsu_verdict;

/* One change to one key. `decide` sees the committed version's word (kind EMPTY: the key is absent) and
 * says what to do; it may be called again when another thread was faster, and then with another word.
 * What it put before and was not used is its own to reuse. */
typedef struct tsu_edit tsu_edit;
struct tsu_edit {
    tsu_verdict (*decide)(tsu_edit *edit, tsu_thread *self, uint64_t current);    /* NULL: PUT, whatever is there */
    uint64_t    put;
    bool        chained;      /* set by decide: `put` is the top of a chain, published as it is: bag.h */
    bool        exact;        /* must see what a pending commit will leave (bags): may not write under it */
    bool        kept;         /* in: false. Out: `old` stays for snapshots, and is not the caller's to retire */
    tsu_entry  *entry;        /* not NULL: the new version belongs to this entry's commit instead of UNDECIDED */
    tsu_history *history;     /* the root's; NULL: it has no snapshots */
    tsu_status  status;
    tsu_verdict verdict;      /* out: what was done in the end */
    uint64_t    old;          /* out: the word that was there (kind EMPTY: none, or a tombstone, which has been seen to) */
    struct tsu_commit *blocked;   /* out, with outcome BLOCKED */
};

static inline tsu_verdict tsu_edit_decide(tsu_edit *edit, tsu_thread *self, uint64_t current)
{
    return edit->decide != NULL ? edit->decide(edit, self, current) : TSU_EDIT_PUT;
}

/* For an edit that only lets go of what is kept and no snapshot needs: `decide`, which says KEEP. */
tsu_verdict tsu_edit_sweep(tsu_edit *edit, tsu_thread *self, uint64_t current);

/* Has what it replaces to be kept, if snapshots need it? Then its new version is none that has no time (`chained`). */
static inline bool tsu_edit_keeps(const tsu_edit *edit)
{
    return edit->history != NULL && tsu_load_acquire(&edit->history->snapshots) != 0;
}

/* The header that the version which `edit` puts in place of `old` is published with. */
static inline void tsu_edit_header(const tsu_edit *edit, uint64_t old)
{
    if (edit->chained) return;
    tsu_store_relaxed(&tsu_cell_version(edit->put)->header,
                      edit->entry != NULL ? (uint64_t)(uintptr_t)edit->entry | TSU_HEADER_ENTRY
                                          : (old & TSU_CELL_POINTER) | TSU_HEADER_UNDECIDED);
}

typedef enum tsu_cell_outcome {
    TSU_CELL_DONE,            /* edit->verdict and edit->old are set */
    TSU_CELL_VACANT,          /* nothing is there: the structure inserts edit->put itself (verdict PUT) */
    TSU_CELL_MOVED,           /* the word is frozen or the structure's own: find the cell again */
    TSU_CELL_BLOCKED          /* edit->blocked has to be helped first: kind->edit returns TSU_AGAIN */
} tsu_cell_outcome;

/* Runs the edit on the cell, following pending commits down to where a single-key write belongs. `seen` is the word by which
 * the cell was known to be the key's: with another version in it the answer is MOVED, as it may be another key's by now; 0: a
 * cell never changes its key. `gone` is the word to leave at the top when the key is removed; 0: a fresh stamp. `aux`: bits kept beside the pointer.
 * VACANT is answered only when decide, asked with an empty word, said PUT; the header of the new version is
 * set to UNDECIDED, and the structure publishes it and calls tsu_version_decide. */
tsu_cell_outcome tsu_cell_edit_slow(tsu_thread *self, tsu_word *cell, uint64_t seen, uint64_t aux, uint64_t gone,
                                    tsu_edit *edit);
static inline tsu_cell_outcome tsu_cell_edit(tsu_thread *self, tsu_word *cell, uint64_t seen, uint64_t aux,
                                             uint64_t gone, tsu_edit *edit)
{
    uint64_t word = tsu_load_acquire(cell), current = tsu_cell_bare(word), next;

    /* Nearly always: a version that no commit in progress is about. */
    if (TSU_UNLIKELY((word & TSU_CELL_FROZEN) || !tsu_cell_holds_version(word)
                     || (seen != 0 && current != tsu_cell_bare(seen) && !PLANTED(4)) || tsu_edit_keeps(edit)
                     || !tsu_header_settled(tsu_load_acquire(&tsu_cell_version(word)->header))))
        return tsu_cell_edit_slow(self, cell, seen, aux, gone, edit);
    edit->old = current;
    edit->verdict = tsu_edit_decide(edit, self, current);
    switch (edit->verdict) {
    case TSU_EDIT_PUT:
        tsu_edit_header(edit, current);
        next = edit->put | aux;
        break;
    case TSU_EDIT_REMOVE:
        next = gone != 0 ? gone : tsu_stamp(self);
        break;
    default:
        return TSU_CELL_DONE;
    }
    if (TSU_UNLIKELY(!tsu_cas(cell, &word, next))) return tsu_cell_edit_slow(self, cell, seen, aux, gone, edit);
    if (edit->verdict == TSU_EDIT_PUT) tsu_version_decide(tsu_cell_version(edit->put));
    return TSU_CELL_DONE;
}

/* The same for a key that has no cell: DONE (KEEP, FAIL, REMOVE of nothing) or VACANT. */
tsu_cell_outcome tsu_cell_edit_absent(tsu_thread *self, tsu_edit *edit);

typedef enum tsu_install_outcome {
    TSU_INSTALL_DONE,         /* the new version is in its cell */
    TSU_INSTALL_STOP,         /* the commit is no longer pending */
    TSU_INSTALL_VACANT,       /* the structure inserts entry->word itself, then looks again */
    TSU_INSTALL_MOVED,        /* find the cell again */
    TSU_INSTALL_BLOCKED,      /* *other is a pending commit that has to be helped first */
    TSU_INSTALL_EXISTS        /* the key is there and must not be: the commit was aborted */
} tsu_install_outcome;

/* Steps 1 to 5 for one entry. `under` is what tsu_load_acquire(&entry->under) gave before the cell was looked
 * for; cell NULL: the key has none. `seen` and `gone` as for an edit. DONE may be late: who then finds the commit
 * ABORTED restores the entry before unpinning (E2). */
tsu_install_outcome tsu_cell_install(tsu_thread *self, tsu_word *cell, uint64_t seen, uint64_t aux, uint64_t gone,
                                     tsu_entry *entry, uint64_t under, tsu_commit **other);

/* Puts an aborted version right: if `cell` still holds `word`, what was under it comes back (nothing was: `gone`, or
 * a fresh stamp if that is 0). */
void tsu_cell_restore(tsu_thread *self, tsu_word *cell, uint64_t word, uint64_t aux, uint64_t gone);

/* Who replaced or removed a version asks this before retiring it: false: its commit is not settled, and the settler
 * will retire it. */
bool tsu_version_drop(uint64_t word);

/* The commit's owner alone, once for each version that it committed: stamps the header. False: the version was
 * dropped meanwhile, and is now the caller's to retire. */
bool tsu_version_settle(uint64_t word, uint64_t ts);

/* Freezes a set's entry after the decision and returns the word that is under it for good. */
uint64_t tsu_entry_freeze(tsu_entry *entry);

#endif
