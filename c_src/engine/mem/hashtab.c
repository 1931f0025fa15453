/* hashtab.c: buckets and their protocol; hashdir.h holds directories and growth. */
#include <string.h>

#include "mem/hashdir.h"
#include "mem/slab.h"

uint64_t tsu_hash_seed = UINT64_C(0x7473756e616d69);

/* --- a bucket's slots, one after another --------------------------------------------- */
struct slots {
    tsu_word *slot;
    uint32_t  left;          /* in this line, this one included */
    uint32_t  position;      /* in the bucket */
};

static inline struct slots slots_begin(struct hash_line *line)
{
    return (struct slots){line->slot, HASH_HEAD_SLOTS, 0};
}

/* Goes on to the next slot, through the link if this is one; false at the end. */
static inline bool slots_next(struct slots *s)
{
    s->position++;
    s->slot++;
    return --s->left != 0;
}

/* Call with the word of the present slot: steps into the side line if it is a link. */
static inline bool slots_enter(struct slots *s, uint64_t word)
{
    if ((word & TSU_CELL_KIND) != TSU_CELL_OTHER) return false;
    s->slot = ((struct hash_side *)tsu_cell_version(word))->slot;
    s->left = HASH_SIDE_SLOTS;
    return true;
}

/* memcmp(a, b, len) == 0, without a call for what keys mostly are. */
static inline bool bytes_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (len > 16) return memcmp(a, b, len) == 0;
    if (len >= 8) return tsu_hash_read8(a) == tsu_hash_read8(b) && tsu_hash_read8(a + len - 8) == tsu_hash_read8(b + len - 8);
    if (len >= 4) return tsu_hash_read4(a) == tsu_hash_read4(b) && tsu_hash_read4(a + len - 4) == tsu_hash_read4(b + len - 4);
    return a[0] == b[0] && a[len >> 1] == b[len >> 1] && a[len - 1] == b[len - 1];
}

static inline bool key_is(uint64_t word, uint32_t keypos, const tsu_key *key)
{
    const uint8_t *object = tsu_version_object(word), *k;
    size_t         len;

    /* the first element of a short object begins at its third byte; no encoding is a prefix of another (K2), so that its
     * length need not be found out */
    if (TSU_LIKELY(keypos == 1 && object[1] < 0x80 && (object[0] & TSU_OBJECT_ARITY) != TSU_OBJECT_ARITY))
        return key->len <= object[1] - 2u && bytes_equal(object + 2, key->bytes, key->len);
    k = tsu_object_key(object, keypos, &len);
    return len == key->len && bytes_equal(k, key->bytes, len);
}

static inline uint64_t inserting_word(uint64_t ctl)
{
    return (ctl & TSU_CELL_POINTER) | (ctl & CTL_GROUP ? TSU_CELL_GROUP : TSU_CELL_RECORD);
}

/* Finishes an announced insertion. Any thread, any time, any number of them. */
void tsu_hash_complete(tsu_thread *self, struct tsu_root *root, const struct hash_dir *dir,
                       struct hash_line *line, uint64_t ctl)
{
    uint64_t     word = inserting_word(ctl), at = ctl >> CTL_POSITION_SHIFT;
    struct slots s = slots_begin(line);
    uint64_t     w;

    for (;;) {
        w = tsu_load_acquire(s.slot);
        if (slots_enter(&s, w)) continue;
        if (s.position == at) break;
        if (!slots_next(&s)) return;         /* the bucket has changed: it is complete */
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
static uint64_t hash_find(tsu_thread *self, tsu_root *root, const tsu_key *key)
{
    struct hash_dir *dir = hash_root_dir(root);

    (void)self;
    for (;; dir = hash_dir_next(dir)) {
        struct hash_line *line = hash_dir_line(dir, key->mark);
        uint64_t          ctl, tag;
        struct slots      s;

        if (line == NULL) continue;
        ctl = tsu_load_acquire(&line->ctl);
        if ((ctl & CTL_STATE) == CTL_FORWARD) continue;
        if ((ctl & CTL_STATE) == CTL_INSERTING && key_is(inserting_word(ctl), root->keypos, key))
            return tsu_cell_resolve(inserting_word(ctl));
        tag = hash_tag(key->mark, dir->level);
        s = slots_begin(line);
        for (;;) {
            uint64_t w = tsu_load_acquire(s.slot);

            if (slots_enter(&s, w)) continue;
            if ((w & TSU_CELL_AUX) == tag && tsu_cell_holds_version(w) && key_is(w, root->keypos, key))
                return tsu_cell_resolve(w);
            if (!slots_next(&s)) return 0;
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
    bool              room;       /* an empty slot was seen, at: */
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

static tsu_status target_find(tsu_thread *self, tsu_root *root, const tsu_key *key, struct target *t)
{
    struct hash_dir *dir = hash_root_dir(root);
    tsu_status       status;

    for (;;) {
        struct slots s;

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
        t->cell = NULL;
        t->seen = 0;
        t->room = false;
        s = slots_begin(t->line);
        do {
            uint64_t w = tsu_load_acquire(s.slot);

            while (slots_enter(&s, w)) w = tsu_load_acquire(s.slot);
            if ((w & TSU_CELL_KIND) == TSU_CELL_EMPTY) {
                if (!t->room) {
                    t->room = true;
                    t->position = s.position;
                }
            } else if ((w & TSU_CELL_AUX) == t->tag && key_is(w, root->keypos, key)) {
                t->cell = s.slot;
                t->seen = w;
                break;
            }
            t->last = s.slot;
        } while (slots_next(&s));
        if (t->cell != NULL && half_inserted(self, root, dir, t->line, t->seen)) continue;
        return TSU_OK;
    }
}

/* Announces a new key. False: the bucket changed, look again. */
static bool announce(tsu_thread *self, tsu_root *root, struct target *t, uint64_t word)
{
    uint64_t ctl = (word & TSU_CELL_POINTER) | CTL_INSERTING
                   | ((word & TSU_CELL_KIND) == TSU_CELL_GROUP ? CTL_GROUP : 0)
                   | (uint64_t)t->position << CTL_POSITION_SHIFT;

    if (!tsu_cas(&t->line->ctl, &t->ctl, ctl)) return false;
    tsu_hash_complete(self, root, t->dir, t->line, ctl);
    return true;
}

/* The slot in t is for a new key; TSU_AGAIN: there is room now, look again. */
static tsu_status want_room(tsu_thread *self, tsu_root *root, const struct target *t)
{
    tsu_status status;

    if (t->room && t->position <= CTL_POSITION_MAX) return TSU_OK;
    if (t->room) return TSU_LIMIT;
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
        tsu_status    status = target_find(self, root, key, &t);

        if (status != TSU_OK) return status;
        if (t.cell != NULL) {
            switch (tsu_cell_edit(self, t.cell, t.seen, t.tag, 0, edit)) {
            case TSU_CELL_DONE:
                if (edit->verdict == TSU_EDIT_REMOVE) tsu_hash_key_removed(self, root, key->mark);
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
        if (!announce(self, root, &t, edit->put)) continue;
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
        if (!announce(self, root, &t, entry->word)) continue;
        tsu_hash_key_added(self, root, key->mark);
        *outcome = TSU_INSTALL_DONE;
        return TSU_OK;
    }
}

static void hash_restore(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry)
{
    for (;;) {
        struct target t;
        uint64_t      w;

        /* NOMEM can come from a bucket that is being moved: whoever moves it in the end finds the word aborted */
        if (target_find(self, root, key, &t) != TSU_OK || t.cell == NULL) return;
        w = tsu_load_acquire(t.cell);
        if (w & TSU_CELL_FROZEN) continue;
        if (!tsu_cell_holds_version(w) || tsu_cell_version(w) != tsu_cell_version(entry->word)) return;
        tsu_cell_restore(self, t.cell, w, t.tag, 0);
        if (!tsu_cell_holds_version(tsu_load_acquire(t.cell))) tsu_hash_key_removed(self, root, key->mark);
    }
}

static uint64_t hash_peek(tsu_thread *self, tsu_root *root, const tsu_key *key)
{
    struct target t;

    if (target_find(self, root, key, &t) != TSU_OK || t.cell == NULL) return 0;
    return tsu_load_acquire(t.cell) & (TSU_CELL_POINTER | TSU_CELL_KIND);
}

/* --- in order ------------------------------------------------------------------------ */
struct found {
    uint64_t word;        /* committed version */
    uint64_t hash;        /* the bits that bucket and tag tell, the rest zero */
};

struct gather {
    struct found *items;
    uint32_t      count, room;
    uint32_t      dropped;         /* more than there was room for */
    uint64_t      known;           /* mask of the bits that `hash` has right */
};

#define GATHER_ROOM 96u

static uint64_t full_hash(const tsu_root *root, uint64_t word)
{
    size_t         len;
    const uint8_t *k = tsu_version_key(word, root->keypos, &len);

    return tsu_hashtab_mark(k, len);
}

static int position_compare(const tsu_root *root, uint64_t a_hash, const uint8_t *a, size_t a_len,
                            uint64_t b_word)
{
    size_t         b_len;
    const uint8_t *b;
    uint64_t       b_hash = full_hash(root, b_word);
    int            c;

    if (a_hash != b_hash) return a_hash < b_hash ? -1 : 1;
    b = tsu_version_key(b_word, root->keypos, &b_len);
    c = memcmp(a, b, a_len < b_len ? a_len : b_len);
    if (c != 0) return c;
    return a_len < b_len ? -1 : a_len > b_len;
}

/* -1, 0 or 1: where `word` lies against `from`; looks at the record only when tags tie. */
static int from_compare(const tsu_root *root, const tsu_key *from, const struct gather *g,
                        const struct found *f)
{
    uint64_t known = from->mark & g->known;

    if (known != f->hash) return known < f->hash ? -1 : 1;
    return position_compare(root, from->mark, from->bytes, from->len, f->word);
}

static int found_compare(const tsu_root *root, const struct found *a, const struct found *b)
{
    size_t         len;
    const uint8_t *k;

    if (a->hash != b->hash) return a->hash < b->hash ? -1 : 1;
    k = tsu_version_key(a->word, root->keypos, &len);
    return position_compare(root, full_hash(root, a->word), k, len, b->word);
}

static void gather_word(const tsu_root *root, struct gather *g, const tsu_key *from, uint64_t raw,
                        uint64_t hash)
{
    struct found f = {tsu_cell_resolve(raw), hash};
    uint32_t     at = g->count, i;
    int          c = 1;

    if ((f.word & TSU_CELL_KIND) == TSU_CELL_EMPTY) return;
    if (from != NULL && from_compare(root, from, g, &f) >= 0) return;
    while (at > 0 && (c = found_compare(root, &f, &g->items[at - 1])) < 0) at--;
    if (at > 0 && c == 0) {
        g->items[at - 1] = f;              /* deleted and inserted again while we looked */
        return;
    }
    if (g->count == g->room) g->dropped++;
    else g->count++;
    for (i = g->count - 1; i > at; i--) g->items[i] = g->items[i - 1];
    if (at < g->room) g->items[at] = f;
}

/* The versions of the bucket that holds `hash`, those of lower hashes left out (the bucket may have become wider
 * since `hash` was its first), and after `from`, in order: the first GATHER_ROOM of them. Returns the last hash of the bucket. */
static uint64_t gather_bucket(tsu_root *root, uint64_t hash, const tsu_key *from, struct gather *g)
{
    struct hash_dir *dir = hash_root_dir(root);

    for (;; dir = hash_dir_next(dir)) {
        struct hash_line *line = hash_dir_line(dir, hash);
        uint64_t          ctl, low, high, window;
        struct slots      s;
        bool              more = true;

        if (line == NULL) continue;
        ctl = tsu_load_acquire(&line->ctl);
        if ((ctl & CTL_STATE) == CTL_FORWARD) continue;
        hash_dir_interval(dir, hash, &low, &high);
        window = hash_window(dir->level);
        g->known = ~(UINT64_MAX >> 1 >> (window + 15));
        g->count = g->dropped = 0;
        if ((ctl & CTL_STATE) == CTL_INSERTING) {
            uint64_t word = inserting_word(ctl), whole = full_hash(root, word);

            if (whole >= hash || from != NULL) gather_word(root, g, from, word, whole & g->known);
        }
        s = slots_begin(line);
        while (more) {
            uint64_t w = tsu_load_acquire(s.slot);

            if (slots_enter(&s, w)) continue;
            more = slots_next(&s);
            if (!tsu_cell_holds_version(w)) continue;
            if ((ctl & CTL_STATE) == CTL_INSERTING
                && tsu_cell_version(w) == tsu_cell_version(inserting_word(ctl))) continue;
            if (low < hash && from == NULL && full_hash(root, w) < hash) continue;
            gather_word(root, g, from, w, low | (w & TSU_CELL_AUX) >> window);
        }
        return high;
    }
}

static void hash_walk(tsu_thread *self, tsu_root *root, const tsu_key *from, tsu_direction direction,
                      size_t budget, tsu_visit_fn visit, void *ctx, bool *done)
{
    struct found  items[GATHER_ROOM];
    struct gather g = {items, 0, GATHER_ROOM, 0, 0};
    uint64_t      hash = from != NULL ? from->mark : 0, high;
    tsu_key       again;
    uint32_t      i;

    (void)self;
    (void)direction;                 /* a hash table has one order: ets says so too */
    *done = false;
    for (;;) {
        high = gather_bucket(root, hash, from, &g);
        for (i = 0; i < g.count; i++)
            if (!visit(ctx, items[i].word)) return;
        if (g.dropped > 0) {
            again.bytes = tsu_version_key(items[g.count - 1].word, root->keypos, &again.len);
            again.mark = tsu_hashtab_mark(again.bytes, again.len);
            from = &again;
            hash = again.mark;
        } else {
            if (high == UINT64_MAX) break;
            hash = high + 1;
            from = NULL;
        }
        if (budget <= g.count + 1u) return;
        budget -= g.count + 1u;
    }
    *done = true;
}

static void hash_slot(tsu_thread *self, tsu_root *root, uint64_t index, tsu_visit_fn visit, void *ctx,
                      int *past)
{
    struct found  items[GATHER_ROOM];
    struct gather g = {items, 0, GATHER_ROOM, 0, 0};
    uint32_t      level = hash_root_dir(root)->level;
    uint64_t      hash, end, high;
    tsu_key       again, *from = NULL;
    uint32_t      i;

    (void)self;
    *past = index < UINT64_C(1) << level ? 0 : index == UINT64_C(1) << level ? 1 : 2;
    if (*past != 0) return;
    hash = level == 0 ? 0 : index << (64 - level);
    end = hash | UINT64_MAX >> 1 >> (level == 0 ? 0 : level - 1);
    if (level == 0) end = UINT64_MAX;
    for (;;) {
        high = gather_bucket(root, hash, from, &g);
        for (i = 0; i < g.count; i++) {
            if (full_hash(root, items[i].word) > end) return;
            if (full_hash(root, items[i].word) >= hash && !visit(ctx, items[i].word)) return;
        }
        if (g.dropped > 0) {
            again.bytes = tsu_version_key(items[g.count - 1].word, root->keypos, &again.len);
            again.mark = tsu_hashtab_mark(again.bytes, again.len);
            from = &again;
            hash = again.mark;
        } else {
            if (high >= end) return;
            hash = high + 1;
            from = NULL;
        }
    }
}

const tsu_kind tsu_kind_hash = {
    .name = "hash",
    .create = tsu_hash_create,
    .reap = tsu_hash_reap,
    .bytes = tsu_hash_bytes,
    .find = hash_find,
    .edit = hash_edit,
    .install = hash_install,
    .restore = hash_restore,
    .peek = hash_peek,
    .walk = hash_walk,
    .slot = hash_slot,
    .verify = tsu_hash_verify,
};
