/* hashdir.h: inside of the hash tables, which hashtab.h draws as a whole. hashdir.c: directories, and how buckets move
 * from one to the next; hashtab.c: the protocol of a bucket; hashorder.c: going through a table in order. */
#ifndef TSU_MEM_HASHDIR_H
#define TSU_MEM_HASHDIR_H

#include "mem/hashtab.h"

#define HASH_HEAD_SLOTS 7u
#define HASH_SIDE_SLOTS 4u

#define CTL_STATE          UINT64_C(7)
#define CTL_IDLE           UINT64_C(0)
#define CTL_INSERTING      UINT64_C(1)
#define CTL_FREEZING       UINT64_C(2)
#define CTL_FORWARD        UINT64_C(3)
#define CTL_GROUP          (UINT64_C(1) << 48)
#define CTL_POSITION_SHIFT 49
#define CTL_POSITION_MAX   0x7fffu

struct hash_line { tsu_word ctl, slot[HASH_HEAD_SLOTS]; };
struct hash_side { tsu_word slot[HASH_SIDE_SLOTS]; };
_Static_assert(sizeof(struct hash_line) == 64, "a bucket begins with one line");

#define HASH_SEGMENT_SHIFT 4u
#define HASH_SEGMENT_LINES (1u << HASH_SEGMENT_SHIFT)
#define HASH_SEGMENT_GONE  UINT64_C(1)     /* all its buckets have moved on */

/* One directory: 2^level buckets. A unit is what moves at a time: one bucket of the smaller of two directories, and
 * its counterparts in the larger one. */
struct hash_dir {
    /* fixed */
    uint32_t level;
    uint32_t segment_count;
    size_t   bytes;
    /* atomic */
    tsu_word next;             /* struct hash_dir *: where buckets move to */
    tsu_word claimed;          /* units taken up */
    tsu_word moved;            /* units done */
    tsu_word segment[];        /* struct hash_line *, 0 (in `next`: not made yet), or GONE */
};

struct tsu_root {
    tsu_word dir;              /* struct hash_dir *: the oldest that still has buckets */
    uint32_t keypos;
    uint32_t reap_segment;     /* reap only: how far it has come */
    tsu_word bytes;
    tsu_word spared;           /* freed while growing, not yet taken off `bytes`: it must not shrink then */
    tsu_word sampled;          /* keys whose hash ends in 0000 */
    tsu_word era;              /* a stamp: of this root, and since the last line was retired: hashorder.c */
    /* a table begins with a directory of one bucket that needs no memory of its own */
    _Alignas(8) unsigned char first[sizeof(struct hash_dir) + sizeof(tsu_word)];
    _Alignas(64) struct hash_line line;
};

static inline struct hash_dir *hash_root_first(const tsu_root *root) { return (struct hash_dir *)(uintptr_t)root->first; }

static inline struct hash_dir *hash_root_dir(const tsu_root *root)
{
    return (struct hash_dir *)(uintptr_t)tsu_load_acquire(&root->dir);
}

static inline struct hash_dir *hash_dir_next(const struct hash_dir *dir)
{
    struct hash_dir *next = (struct hash_dir *)(uintptr_t)tsu_load_acquire(&dir->next);

    DCHECK(next != NULL);
    return next;
}

static inline uint64_t hash_index(uint64_t hash, uint32_t level) { return hash >> 1 >> (63 - level); }

/* The bucket of a hash; NULL: it has moved to the next directory. */
static inline struct hash_line *hash_dir_line(const struct hash_dir *dir, uint64_t hash)
{
    uint64_t i = hash_index(hash, dir->level);
    uint64_t segment = tsu_load_acquire(&dir->segment[i >> HASH_SEGMENT_SHIFT]);

    if (TSU_UNLIKELY(segment == HASH_SEGMENT_GONE)) return NULL;
    return (struct hash_line *)(uintptr_t)segment + (i & (HASH_SEGMENT_LINES - 1));
}

/* First and last hash of the bucket. */
static inline void hash_dir_interval(const struct hash_dir *dir, uint64_t hash, uint64_t *low, uint64_t *high)
{
    uint64_t rest = UINT64_MAX >> dir->level;

    *low = hash & ~rest;
    *high = hash | rest;
}

/* Tags hold 16 bits of the hash from bit `window` (counted from the top) on: at least the 9 that follow those which
 * choose the bucket, and a bucket can be split in two without a look at the records. */
static inline uint32_t hash_window(uint32_t level) { return level & ~7u; }

static inline uint64_t hash_tag(uint64_t hash, uint32_t level)
{
    return hash << hash_window(level) & TSU_CELL_AUX;
}

/* --- a bucket's slots, one after another ------------------------------------------------- */
struct hash_slots {
    tsu_word *slot;
    uint32_t  left;          /* in this line, this one included */
    uint32_t  position;      /* in the bucket */
};

static inline struct hash_slots hash_slots_begin(struct hash_line *line)
{
    return (struct hash_slots){line->slot, HASH_HEAD_SLOTS, 0};
}

/* Goes on to the next slot; false at the end. */
static inline bool hash_slots_next(struct hash_slots *s)
{
    s->position++;
    s->slot++;
    return --s->left != 0;
}

/* Call with the word of the present slot: steps into the side line if it is a link. */
static inline bool hash_slots_enter(struct hash_slots *s, uint64_t word)
{
    if ((word & TSU_CELL_KIND) != TSU_CELL_OTHER) return false;
    s->slot = ((struct hash_side *)tsu_cell_version(word))->slot;
    s->left = HASH_SIDE_SLOTS;
    return true;
}

/* The cell word of the version that `ctl` announces. */
static inline uint64_t hash_inserting_word(uint64_t ctl)
{
    return (ctl & TSU_CELL_POINTER) | (ctl & CTL_GROUP ? TSU_CELL_GROUP : TSU_CELL_RECORD);
}

/* memcmp(a, b, len) == 0, without a call for what keys mostly are. */
static inline bool hash_bytes_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (len > 16) return memcmp(a, b, len) == 0;
    if (len >= 8) return tsu_hash_read8(a) == tsu_hash_read8(b) && tsu_hash_read8(a + len - 8) == tsu_hash_read8(b + len - 8);
    if (len >= 4) return tsu_hash_read4(a) == tsu_hash_read4(b) && tsu_hash_read4(a + len - 4) == tsu_hash_read4(b + len - 4);
    return a[0] == b[0] && a[len >> 1] == b[len >> 1] && a[len - 1] == b[len - 1];
}

/* An object with room for 8 bytes, as records have it (bag.h). The first element of a short one begins at its third byte; no
 * encoding is a prefix of another (K2), so that its length need not be found out. */
bool tsu_hash_key_is_slow(const uint8_t *object, uint32_t keypos, const tsu_key *key);
static inline bool hash_key_is(uint64_t word, uint32_t keypos, const tsu_key *key)
{
    const uint8_t *object = tsu_version_object(word);
    uint64_t       head = tsu_hash_read8(object);

    if (TSU_LIKELY(key->len <= 6 && keypos == 1 && !(head & 0x8000) && (head & TSU_OBJECT_ARITY) != TSU_OBJECT_ARITY))
        return head >> 16 << (64 - 8 * key->len) == tsu_hash_word(key->bytes, key->len);
    return tsu_hash_key_is_slow(object, keypos, key);
}

/* --- hashdir.c ---------------------------------------------------------------------------- */
tsu_status tsu_hash_create(tsu_thread *self, uint32_t keypos, tsu_root **out);
bool tsu_hash_reap(tsu_thread *self, tsu_root *root, size_t budget,
                   void (*release_version)(tsu_thread *self, uint64_t word));
size_t tsu_hash_bytes(tsu_root *root);
const char *tsu_hash_verify(tsu_thread *self, tsu_root *root);

void tsu_hash_bytes_add(tsu_root *root, size_t bytes);

/* Moves the unit that holds `hash` from `dir` to the next directory; helping others is all it does if they are
 * faster. */
tsu_status tsu_hash_move(tsu_thread *self, tsu_root *root, struct hash_dir *dir, uint64_t hash);

/* A bucket is full: should the table grow first? Small tables only; large ones grow by count. */
bool tsu_hash_want_growth(const tsu_root *root, const struct hash_dir *dir);
tsu_status tsu_hash_grow(tsu_thread *self, tsu_root *root);

/* See kind.h. Keys that come in the order of their hashes would pile up in the first buckets. */
tsu_status tsu_hash_reserve(tsu_thread *self, tsu_root *root, size_t keys, size_t *budget);

/* Counting, and now and then a step of growing or shrinking. */
void tsu_hash_key_added(tsu_thread *self, tsu_root *root, uint64_t hash);
void tsu_hash_key_removed(tsu_thread *self, tsu_root *root, uint64_t hash);

/* --- hashtab.c ---------------------------------------------------------------------------- */
/* Finishes what ctl announces. */
void tsu_hash_complete(tsu_thread *self, struct tsu_root *root, const struct hash_dir *dir,
                       struct hash_line *line, uint64_t ctl);

/* --- hashorder.c: walk, walk_many, next and slot of kind.h ----------------------------------------------- */
void tsu_hash_walk(tsu_thread *self, tsu_root *root, const tsu_key *from, tsu_direction direction,
                   size_t budget, tsu_visit_fn visit, void *ctx, bool *done);
void tsu_hash_walk_many(tsu_thread *self, tsu_root *root, const tsu_key *from, size_t budget, tsu_visit_many_fn visit, void *ctx,
                        bool *done);
uint64_t tsu_hash_next(tsu_thread *self, tsu_root *root, const tsu_key *from, bool *present);
void tsu_hash_slot(tsu_thread *self, tsu_root *root, uint64_t index, tsu_visit_fn visit, void *ctx, int *past);

#endif
