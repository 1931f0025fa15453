/* hashtab.c: buckets and their protocol; directories and growth are in hashdir.c, traversal in hashorder.c. */
#include <string.h>

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

/* --- find --------------------------------------------------------------------------- */
/* A bit for each slot with that tag. Without a branch, and without a loop: where a key is in its bucket nobody can foretell. */
static inline unsigned tag_match(const tsu_word *slot, unsigned i, uint64_t tag)
{
    return (unsigned)(((tsu_load_acquire(slot + i) ^ tag) & TSU_CELL_AUX) == 0) << i;
}

static inline unsigned side_matches(const tsu_word *slot, uint64_t tag)
{
    return tag_match(slot, 0, tag) | tag_match(slot, 1, tag) | tag_match(slot, 2, tag) | tag_match(slot, 3, tag);
}

static inline unsigned head_matches(const tsu_word *slot, uint64_t tag)
{
    return side_matches(slot, tag) | tag_match(slot, 4, tag) | tag_match(slot, 5, tag) | tag_match(slot, 6, tag);
}

/* The same for empty slots: which is the first cannot be foretold either. */
static inline unsigned empty_match(const tsu_word *slot, unsigned i)
{
    return (unsigned)((tsu_load_acquire(slot + i) & TSU_CELL_KIND) == TSU_CELL_EMPTY) << i;
}

static inline unsigned side_empties(const tsu_word *slot)
{
    return empty_match(slot, 0) | empty_match(slot, 1) | empty_match(slot, 2) | empty_match(slot, 3);
}

static inline unsigned head_empties(const tsu_word *slot)
{
    return side_empties(slot) | empty_match(slot, 4) | empty_match(slot, 5) | empty_match(slot, 6);
}
_Static_assert(HASH_HEAD_SLOTS == 7 && HASH_SIDE_SLOTS == 4, "a bit for each slot");

static void hash_fetch(tsu_root *root, const tsu_key *key)
{
    struct hash_line *line = hash_dir_line(hash_root_dir(root), key->mark);

    if (TSU_LIKELY(line != NULL)) __builtin_prefetch(line, 1);
}

static uint64_t hash_find(tsu_thread *self, tsu_root *root, const tsu_key *key)
{
    struct hash_dir *dir = hash_root_dir(root);

    (void)self;
    for (;; dir = hash_dir_next(dir)) {
        struct hash_line *line = hash_dir_line(dir, key->mark);
        const tsu_word   *slot, *last;
        uint64_t          ctl, tag, w;
        unsigned          matches;

        if (line == NULL) continue;
        ctl = tsu_load_acquire(&line->ctl);
        if ((ctl & CTL_STATE) == CTL_FORWARD) continue;
        if (TSU_UNLIKELY((ctl & CTL_STATE) == CTL_INSERTING) && hash_key_is(hash_inserting_word(ctl), root->keypos, key))
            return tsu_cell_resolve(hash_inserting_word(ctl));
        tag = hash_tag(key->mark, dir->level);
        slot = line->slot;
        last = slot + HASH_HEAD_SLOTS - 1;
        matches = head_matches(slot, tag);
        for (;;) {
            /* a slot that has changed since it matched holds the key now, has lost it meanwhile, or is the last one, and
             * its version has moved into a side line: hence the look at it comes after */
            for (; matches != 0; matches &= matches - 1) {
                uint64_t found = tsu_load_acquire(slot + __builtin_ctz(matches));

                if (tsu_cell_holds_version(found) && hash_key_is(found, root->keypos, key)) return tsu_cell_resolve(found);
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
        unsigned matches = n == HASH_HEAD_SLOTS ? head_matches(slot, t->tag) : side_matches(slot, t->tag), empties;

        for (; matches != 0; matches &= matches - 1) {
            tsu_word *at = slot + __builtin_ctz(matches);

            w = tsu_load_acquire(at);
            if (!tsu_cell_holds_version(w) || !hash_key_is(w, root->keypos, key)) continue;
            t->cell = at;
            t->seen = w;
            return;
        }
        empties = t->room != NULL ? 0 : n == HASH_HEAD_SLOTS ? head_empties(slot) : side_empties(slot);
        for (; empties != 0; empties &= empties - 1) {
            unsigned i = (unsigned)__builtin_ctz(empties);

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
                /* under a commit that is in progress: its key stays */
                if (edit->verdict == TSU_EDIT_REMOVE && edit->old == tsu_cell_bare(t.seen))
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
    .find = hash_find,
    .edit = hash_edit,
    .install = hash_install,
    .reserve = tsu_hash_reserve,
    .restore = hash_restore,
    .peek = hash_peek,
    .walk = tsu_hash_walk,
    .next = tsu_hash_next,
    .slot = tsu_hash_slot,
    .verify = tsu_hash_verify,
};
