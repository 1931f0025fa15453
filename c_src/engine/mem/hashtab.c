/* hashtab.c: buckets and their protocol; directories and growth are in hashdir.c, traversal in hashorder.c. */
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "mem/hashdir.h"
#include "mem/slab.h"

uint64_t tsu_hash_seed = UINT64_C(0x7473756e616d69);

/* Finishes an announced insertion. Any thread, any time, any number of them. */
void tsu_hash_complete(tsu_thread *self, struct tsu_root *root, const struct hash_dir *dir,
                       struct hash_line *line, uint64_t ctl)
{
    uint64_t          word = hash_inserting_word(ctl), at = ctl >> CTL_POSITION_SHIFT, w;
    struct hash_slots s = hash_slots_begin(line);

    for (;;) {
        w = tsu_load_acquire(s.slot);
        if (hash_slots_enter(&s, w)) continue;
        if (s.position == at) break;
        if (!hash_slots_next(&s)) return;    /* the bucket has changed: it is complete */
    }
    if ((w & TSU_CELL_KIND) == TSU_CELL_EMPTY) {
        size_t         len;
        const uint8_t *k = tsu_version_key(word, root->keypos, &len);
        uint64_t       tag = hash_tag(tsu_hashtab_mark(k, len), dir->level);

        /* w was read before ctl: if ctl still says so, w is the empty word that waits for this version (H2) */
        if (!PLANTED(1) && tsu_load_acquire(&line->ctl) != ctl) return;
        (void)tsu_cas(s.slot, &w, word | tag);
    }
    (void)tsu_cas(&line->ctl, &ctl, tsu_stamp(self) | CTL_IDLE);
}

/* Makes an empty slot at the end of a full bucket: its last version moves into a side line. */
static tsu_status make_room(tsu_thread *self, struct tsu_root *root, tsu_word *last)
{
    uint64_t          w = tsu_load_acquire(last);
    struct hash_side *side;

    if (!tsu_cell_holds_version(w) || (w & TSU_CELL_FROZEN)) return TSU_OK;      /* look again */
    side = tsu_slab_alloc(self, sizeof *side);
    if (side == NULL) return TSU_NOMEM;
    memset(side, 0, sizeof *side);
    tsu_store_relaxed(&side->slot[0], w);
    if (tsu_cas(last, &w, (uint64_t)(uintptr_t)side | TSU_CELL_OTHER)) tsu_hash_bytes_add(root, sizeof *side);
    else tsu_slab_free(self, side, sizeof *side);
    return TSU_OK;
}

bool tsu_hash_key_is_slow(const uint8_t *object, uint32_t keypos, const tsu_key *key)
{
    size_t         len;
    const uint8_t *k;

    if (TSU_LIKELY(keypos == 1 && object[1] < 0x80 && (object[0] & TSU_OBJECT_ARITY) != TSU_OBJECT_ARITY))
        return key->len <= object[1] - 2u && hash_bytes_equal(object + 2, key->bytes, key->len);
    k = tsu_object_key(object, keypos, &len);
    return len == key->len && hash_bytes_equal(k, key->bytes, len);
}

/* --- find --------------------------------------------------------------------------- */
/* Bits of four slots: with that tag; empty. Without a branch, and without a loop: where a key is in its bucket nobody can
 * foretell. What is found may have changed since: a slot that matters is loaded again. */
#if defined(__SSE2__) && !defined(TSU_RACE_DELAYS)
/* Two slots at once: each half of such a load is a word as it was at one moment, and this processor keeps loads in order. */
static inline __m128i two_slots(const tsu_word *slot) { return _mm_loadu_si128((const __m128i *)(const void *)slot); }

static inline unsigned four_matches(const tsu_word *slot, uint64_t tag)
{
    __m128i tags = _mm_set1_epi64x((long long)tag);
    __m128i low = _mm_cmpeq_epi16(two_slots(slot), tags), high = _mm_cmpeq_epi16(two_slots(slot + 2), tags);

    tsu_fence_compiler();
    return (unsigned)_mm_movemask_ps(_mm_shuffle_ps(_mm_castsi128_ps(low), _mm_castsi128_ps(high), _MM_SHUFFLE(3, 1, 3, 1)));
}

static inline unsigned four_empty(const tsu_word *slot)
{
    __m128i zero = _mm_setzero_si128();      /* the kind is shifted to the top of the lower half */
    __m128i low = _mm_cmpeq_epi32(_mm_slli_epi32(two_slots(slot), 30), zero);
    __m128i high = _mm_cmpeq_epi32(_mm_slli_epi32(two_slots(slot + 2), 30), zero);

    tsu_fence_compiler();
    return (unsigned)_mm_movemask_ps(_mm_shuffle_ps(_mm_castsi128_ps(low), _mm_castsi128_ps(high), _MM_SHUFFLE(2, 0, 2, 0)));
}
_Static_assert(TSU_CELL_KIND == 3 && TSU_CELL_EMPTY == 0 && TSU_CELL_AUX >> 48 == 0xffff, "as these take a slot to be");
#else
static inline unsigned tag_match(const tsu_word *slot, unsigned i, uint64_t tag)
{
    return (unsigned)(((tsu_load_acquire(slot + i) ^ tag) & TSU_CELL_AUX) == 0) << i;
}

static inline unsigned four_matches(const tsu_word *slot, uint64_t tag)
{
    return tag_match(slot, 0, tag) | tag_match(slot, 1, tag) | tag_match(slot, 2, tag) | tag_match(slot, 3, tag);
}

static inline unsigned slot_empty(const tsu_word *slot, unsigned i)
{
    return (unsigned)((tsu_load_acquire(slot + i) & TSU_CELL_KIND) == TSU_CELL_EMPTY) << i;
}

static inline unsigned four_empty(const tsu_word *slot)
{
    return slot_empty(slot, 0) | slot_empty(slot, 1) | slot_empty(slot, 2) | slot_empty(slot, 3);
}
#endif

static inline unsigned side_matches(const tsu_word *slot, uint64_t tag) { return four_matches(slot, tag); }
static inline unsigned side_empty(const tsu_word *slot) { return four_empty(slot); }

/* A line's eight words: the first is ctl, and its bit is dropped. */
static inline unsigned head_matches(const struct hash_line *line, uint64_t tag)
{
    const tsu_word *word = (const tsu_word *)(const void *)line;

    return (four_matches(word, tag) | four_matches(word + 4, tag) << 4) >> 1;
}

static inline unsigned head_empty(const struct hash_line *line)
{
    const tsu_word *word = (const tsu_word *)(const void *)line;

    return (four_empty(word) | four_empty(word + 4) << 4) >> 1;
}
_Static_assert(HASH_HEAD_SLOTS == 7 && HASH_SIDE_SLOTS == 4 && offsetof(struct hash_line, ctl) == 0, "a bit for each slot");

static void hash_fetch(tsu_root *root, const tsu_key *key)
{
    struct hash_line *line = hash_dir_line(hash_root_dir(root), key->mark);

    if (TSU_LIKELY(line != NULL)) __builtin_prefetch(line, 1);
}

static void hash_fetch_next(tsu_root *root, const tsu_key *key)
{
    const struct hash_dir *dir = hash_root_dir(root);
    struct hash_line      *line = hash_dir_line(dir, key->mark);
    unsigned               matches;

    if (TSU_UNLIKELY(line == NULL)) return;
    matches = head_matches(line, hash_tag(key->mark, dir->level));
    if (matches != 0) __builtin_prefetch(tsu_cell_version(tsu_load_relaxed(&line->slot[__builtin_ctz(matches)])));
}

static uint64_t hash_find(tsu_thread *self, tsu_root *root, const tsu_key *key)
{
    struct hash_dir *dir = hash_root_dir(root);

    for (;; dir = hash_dir_next(dir)) {
        struct hash_line *line = hash_dir_line(dir, key->mark);
        const tsu_word   *slot, *last;
        uint64_t          ctl, tag, w;
        unsigned          matches;

        if (line == NULL) continue;
        ctl = tsu_load_acquire(&line->ctl);
        if ((ctl & CTL_STATE) == CTL_FORWARD) continue;
        if (TSU_UNLIKELY((ctl & CTL_STATE) == CTL_INSERTING) && hash_key_is(hash_inserting_word(ctl), root->keypos, key))
            return tsu_cell_resolve(self, hash_inserting_word(ctl));
        tag = hash_tag(key->mark, dir->level);
        slot = line->slot;
        last = slot + HASH_HEAD_SLOTS - 1;
        matches = head_matches(line, tag);
        for (;;) {
            /* a slot that has changed since it matched holds the key now, has lost it meanwhile, or is the last one, and
             * its version has moved into a side line: hence the look at it comes after */
            for (; matches != 0; matches &= matches - 1) {
                uint64_t found = tsu_load_acquire(slot + __builtin_ctz(matches));

                if (tsu_cell_holds_version(found) && hash_key_is(found, root->keypos, key)) return tsu_cell_resolve(self, found);
            }
            w = tsu_load_acquire(last);
            if (TSU_LIKELY((w & TSU_CELL_KIND) != TSU_CELL_OTHER)) return 0;
            slot = ((const struct hash_side *)tsu_cell_version(w))->slot;
            last = slot + HASH_SIDE_SLOTS - 1;
            matches = side_matches(slot, tag);
        }
    }
}

/* --- looking for the cell of a key to change -------------------------------------------- */
struct target {
    struct hash_dir  *dir;
    struct hash_line *line;
    uint64_t          ctl;        /* IDLE, as it was before the bucket was searched */
    uint64_t          tag;
    tsu_word         *cell;       /* the key's, or NULL */
    uint64_t          seen;       /* what was in it: slots are used again for other keys */
    tsu_word         *last;       /* the bucket's last slot */
    tsu_word         *room;       /* an empty slot, or NULL; what was in it, and its place in the bucket */
    uint64_t          room_word;
    uint32_t          position;
};

/* The insertion of the version in a slot has filled the slot and is not over: who emptied the slot now would have it filled
 * again by a late helper, who takes it for the one that waits (C4). */
static bool half_inserted(tsu_thread *self, tsu_root *root, const struct hash_dir *dir, struct hash_line *line, uint64_t word)
{
    uint64_t ctl = tsu_load_acquire(&line->ctl);

    if (PLANTED(11)) return false;
    if ((ctl & CTL_STATE) != CTL_INSERTING || tsu_cell_version(ctl) != tsu_cell_version(word)) return false;
    tsu_hash_complete(self, root, dir, line, ctl);
    return true;
}

/* The key's slot, or else the first empty one, in the bucket's lines. */
static inline void line_search(tsu_root *root, const tsu_key *key, struct target *t)
{
    tsu_word *slot = t->line->slot;
    unsigned  n = HASH_HEAD_SLOTS;
    uint32_t  position = 0;
    uint64_t  w;

    t->cell = t->room = NULL;
    t->seen = 0;
    for (;;) {
        unsigned matches = n == HASH_HEAD_SLOTS ? head_matches(t->line, t->tag) : side_matches(slot, t->tag);

        for (; matches != 0; matches &= matches - 1) {
            tsu_word *at = slot + __builtin_ctz(matches);

            w = tsu_load_acquire(at);
            if (!tsu_cell_holds_version(w) || !hash_key_is(w, root->keypos, key)) continue;
            t->cell = at;
            t->seen = w;
            return;
        }
        for (unsigned empty = n == HASH_HEAD_SLOTS ? head_empty(t->line) : side_empty(slot);
             empty != 0 && t->room == NULL; empty &= empty - 1) {
            unsigned i = (unsigned)__builtin_ctz(empty);

            w = tsu_load_acquire(slot + i);
            if ((w & TSU_CELL_KIND) != TSU_CELL_EMPTY) continue;
            t->room = slot + i;
            t->room_word = w;
            t->position = position + i;
            break;
        }
        t->last = slot + n - 1;
        w = tsu_load_acquire(t->last);
        if (TSU_LIKELY((w & TSU_CELL_KIND) != TSU_CELL_OTHER)) return;
        slot = ((struct hash_side *)tsu_cell_version(w))->slot;
        position += n - 1;
        n = HASH_SIDE_SLOTS;
    }
}

static inline __attribute__((always_inline)) tsu_status target_search(tsu_thread *self, tsu_root *root, const tsu_key *key, struct target *t)
{
    struct hash_dir *dir = hash_root_dir(root);
    tsu_status       status;

    for (;;) {
        t->line = hash_dir_line(dir, key->mark);
        if (t->line == NULL) {
            dir = hash_dir_next(dir);
            continue;
        }
        t->ctl = tsu_load_acquire(&t->line->ctl);
        switch (t->ctl & CTL_STATE) {
        case CTL_INSERTING:
            tsu_hash_complete(self, root, dir, t->line, t->ctl);
            continue;
        case CTL_FREEZING:
            status = tsu_hash_move(self, root, dir, key->mark);
            if (status != TSU_OK) return status;
            continue;
        case CTL_FORWARD:
            dir = hash_dir_next(dir);
            continue;
        }
        t->dir = dir;
        t->tag = hash_tag(key->mark, dir->level);
        line_search(root, key, t);
        if (t->cell != NULL && half_inserted(self, root, dir, t->line, t->seen)) continue;
        return TSU_OK;
    }
}

static tsu_status target_find(tsu_thread *self, tsu_root *root, const tsu_key *key, struct target *t)
{
    return target_search(self, root, key, t);
}

/* Announces a new key. False: the bucket changed, look again. */
static bool announce(tsu_thread *self, struct target *t, uint64_t word)
{
    uint64_t ctl = (word & TSU_CELL_POINTER) | CTL_INSERTING
                   | ((word & TSU_CELL_KIND) == TSU_CELL_GROUP ? CTL_GROUP : 0)
                   | (uint64_t)t->position << CTL_POSITION_SHIFT;

    if (!tsu_cas(&t->line->ctl, &t->ctl, ctl)) return false;
    /* As tsu_hash_complete does it, which would have to look for the slot: nothing has come into the bucket since ctl was
     * read, so that the slot has been empty all the time, and its word the same. */
    (void)tsu_cas(t->room, &t->room_word, (word & (TSU_CELL_POINTER | TSU_CELL_KIND)) | t->tag);
    (void)tsu_cas(&t->line->ctl, &ctl, tsu_stamp(self) | CTL_IDLE);
    return true;
}

/* The slot in t is for a new key; TSU_AGAIN: there is room now, look again. */
static tsu_status want_room(tsu_thread *self, tsu_root *root, const struct target *t)
{
    tsu_status status;

    if (t->room != NULL) return t->position <= CTL_POSITION_MAX ? TSU_OK : TSU_LIMIT;
    if (tsu_hash_want_growth(root, t->dir)) {
        status = tsu_hash_grow(self, root);
        return status == TSU_OK ? TSU_AGAIN : status;
    }
    status = make_room(self, root, t->last);
    return status == TSU_OK ? TSU_AGAIN : status;
}

static tsu_status hash_edit(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_edit *edit)
{
    for (;;) {
        struct target t;
        tsu_status    status = target_search(self, root, key, &t);

        if (status != TSU_OK) return status;
        if (t.cell != NULL) {
            switch (tsu_cell_edit(self, t.cell, t.seen, t.tag, 0, edit)) {
            case TSU_CELL_DONE:
                /* under a commit that is in progress its key stays, and so does a tombstone's */
                if (edit->verdict == TSU_EDIT_REMOVE && !edit->kept && edit->old == tsu_cell_bare(t.seen))
                    tsu_hash_key_removed(self, root, key->mark);
                return TSU_OK;
            case TSU_CELL_BLOCKED: return TSU_AGAIN;
            case TSU_CELL_VACANT:
            case TSU_CELL_MOVED:   continue;
            }
        }
        if (tsu_cell_edit_absent(self, edit) == TSU_CELL_DONE) return TSU_OK;
        status = want_room(self, root, &t);
        if (status == TSU_AGAIN) continue;
        if (status != TSU_OK) return status;
        if (!announce(self, &t, edit->put)) continue;
        tsu_version_decide(tsu_cell_version(edit->put));
        tsu_hash_key_added(self, root, key->mark);
        return TSU_OK;
    }
}

static tsu_status hash_install(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry,
                               tsu_install_outcome *outcome, tsu_commit **other)
{
    for (;;) {
        uint64_t      under = tsu_load_acquire(&entry->under);
        struct target t;
        tsu_status    status = target_find(self, root, key, &t);

        if (status != TSU_OK) return status;
        *outcome = tsu_cell_install(self, t.cell, t.seen, t.tag, 0, entry, under, other);
        if (*outcome == TSU_INSTALL_MOVED) continue;
        if (*outcome != TSU_INSTALL_VACANT) return TSU_OK;
        status = want_room(self, root, &t);
        if (status == TSU_AGAIN) continue;
        if (status != TSU_OK) return status;
        /* t.ctl is older than the last look at the commit's state: see ARCHITECTURE.md, step 5 */
        if ((tsu_load_acquire(&entry->commit->state) & TSU_COMMIT_TAG) != TSU_COMMIT_PENDING) {
            *outcome = TSU_INSTALL_STOP;
            return TSU_OK;
        }
        if (!announce(self, &t, entry->word)) continue;
        tsu_hash_key_added(self, root, key->mark);
        *outcome = TSU_INSTALL_DONE;
        return TSU_OK;
    }
}

static bool hash_restore(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry)
{
    for (;;) {
        struct target t;
        uint64_t      w;

        if (target_find(self, root, key, &t) != TSU_OK) return false;
        if (t.cell == NULL) return true;
        w = tsu_load_acquire(t.cell);
        if ((w & TSU_CELL_FROZEN) || (w & TSU_CELL_KIND) == TSU_CELL_OTHER) continue;      /* it has moved: look again */
        if (!tsu_cell_holds_version(w) || tsu_cell_version(w) != tsu_cell_version(entry->word)) return true;
        tsu_cell_restore(self, t.cell, w, t.tag, 0);
        if ((tsu_load_acquire(t.cell) & TSU_CELL_KIND) == TSU_CELL_EMPTY) tsu_hash_key_removed(self, root, key->mark);
    }
}

static uint64_t hash_peek(tsu_thread *self, tsu_root *root, const tsu_key *key)
{
    struct target t;

    if (target_find(self, root, key, &t) != TSU_OK || t.cell == NULL) return 0;
    return tsu_cell_bare(t.seen);
}

const tsu_kind tsu_kind_hash = {
    .name = "hash",
    .create = tsu_hash_create,
    .reap = tsu_hash_reap,
    .bytes = tsu_hash_bytes,
    .fetch = hash_fetch,
    .fetch_next = hash_fetch_next,
    .find = hash_find,
    .edit = hash_edit,
    .install = hash_install,
    .reserve = tsu_hash_reserve,
    .restore = hash_restore,
    .peek = hash_peek,
    .walk = tsu_hash_walk,
    .walk_many = tsu_hash_walk_many,
    .next = tsu_hash_next,
    .slot = tsu_hash_slot,
    .verify = tsu_hash_verify,
};
