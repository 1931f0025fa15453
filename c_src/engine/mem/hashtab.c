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

        if (target_find(self, root, key, &t) != TSU_OK) {
            /* The bucket is half moved and there is no memory for the rest. The version must not stay: it is about to be
             * freed. The VM does not outlive for long that it has no memory. */
            tsu_env_yield();
            continue;
        }
        if (t.cell == NULL) return;
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
/* A place in the order of (hash, key). `hash` has the bits that bucket and tag tell, the rest zero, which nearly always
 * decides; records are looked at when they tie. */
struct place {
    uint64_t       hash;
    uint64_t       word;     /* a version whose key it is, or 0: */
    const tsu_key *key;      /* this one, or NULL: */
    uint64_t       floor;    /* before all keys of this hash */
};

static int key_compare(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

    if (c != 0) return c;
    return a_len < b_len ? -1 : a_len > b_len;
}

/* Of two whose `hash` ties. */
static int tie_compare(const tsu_root *root, const struct place *a, uint64_t b_word)
{
    size_t         a_len, b_len;
    const uint8_t *x, *y = tsu_version_key(b_word, root->keypos, &b_len);
    uint64_t       a_hash, b_hash = tsu_hashtab_mark(y, b_len);

    if (a->word != 0) {
        x = tsu_version_key(a->word, root->keypos, &a_len);
        a_hash = tsu_hashtab_mark(x, a_len);
    } else if (a->key == NULL) {
        return b_hash < a->floor ? 1 : -1;
    } else {
        x = a->key->bytes;
        a_len = a->key->len;
        a_hash = a->key->mark;
    }
    if (a_hash != b_hash) return a_hash < b_hash ? -1 : 1;
    return key_compare(x, a_len, y, b_len);
}

/* The bucket that holds a hash, as it is now. */
struct bucket {
    struct hash_line *line;
    uint64_t          ctl, low, high;
    uint32_t          window;
};

static struct bucket bucket_of(const tsu_root *root, uint64_t hash)
{
    struct hash_dir *dir = hash_root_dir(root);
    struct bucket    b;

    for (;; dir = hash_dir_next(dir)) {
        b.line = hash_dir_line(dir, hash);
        if (b.line == NULL) continue;
        b.ctl = tsu_load_acquire(&b.line->ctl);
        if ((b.ctl & CTL_STATE) == CTL_FORWARD) continue;
        hash_dir_interval(dir, hash, &b.low, &b.high);
        b.window = hash_window(dir->level);
        return b;
    }
}

static inline uint64_t known_bits(const struct bucket *b, uint64_t hash)
{
    return hash & ~(UINT64_MAX >> 1 >> (b->window + 15));
}

/* Keeps `word` if it is after `from` and before the best so far. */
static inline void consider(const tsu_root *root, const struct place *from, struct place *best, uint64_t word,
                            uint64_t hash, bool *present)
{
    int c;

    if (hash < from->hash) return;
    if (hash == from->hash) {
        c = tie_compare(root, from, word);
        if (c == 0 && present != NULL) *present = (tsu_cell_resolve(word) & TSU_CELL_KIND) != TSU_CELL_EMPTY;
        if (c >= 0) return;
    }
    if (best->word != 0 && (hash > best->hash || (hash == best->hash && tie_compare(root, best, word) <= 0))) return;
    best->word = word;
    best->hash = hash;
}

/* The first version in the bucket after `from`, committed or not; word 0: there is none. */
static struct place bucket_next(const tsu_root *root, const struct bucket *b, const struct place *from, bool *present)
{
    struct place best = {0, 0, NULL, 0};
    struct slots s = slots_begin(b->line);
    bool         more = true;

    if ((b->ctl & CTL_STATE) == CTL_INSERTING) {
        size_t         len;
        uint64_t       word = inserting_word(b->ctl);
        const uint8_t *k = tsu_version_key(word, root->keypos, &len);

        consider(root, from, &best, word, known_bits(b, tsu_hashtab_mark(k, len)), present);
    }
    while (more) {
        uint64_t w = tsu_load_acquire(s.slot);

        if (slots_enter(&s, w)) continue;
        more = slots_next(&s);
        if (tsu_cell_holds_version(w))
            consider(root, from, &best, w & (TSU_CELL_POINTER | TSU_CELL_KIND), b->low | (w & TSU_CELL_AUX) >> b->window,
                     present);
    }
    return best;
}

/* Goes on to the bucket of a hash; if the table has shrunk meanwhile, it holds smaller ones too. */
static struct place bucket_enter(const tsu_root *root, uint64_t hash, struct bucket *b)
{
    *b = bucket_of(root, hash);
    return (struct place){known_bits(b, hash), 0, NULL, hash};
}

/* The records of a bucket, before they are looked at one after another. */
static void bucket_fetch(const struct bucket *b)
{
    uint32_t i;

    for (i = 0; i < HASH_HEAD_SLOTS; i++) {
        uint64_t w = tsu_load_relaxed(&b->line->slot[i]);

        if ((w & TSU_CELL_KIND) != TSU_CELL_EMPTY) __builtin_prefetch(tsu_cell_version(w));
    }
}

static void hash_walk(tsu_thread *self, tsu_root *root, const tsu_key *from, tsu_direction direction,
                      size_t budget, tsu_visit_fn visit, void *ctx, bool *done)
{
    struct bucket b;
    struct place  at = bucket_enter(root, from != NULL ? from->mark : 0, &b);

    (void)self;
    at.key = from;
    (void)direction;                 /* a hash table has one order: ets says so too */
    *done = false;
    bucket_fetch(&b);
    for (; budget > 0; budget--) {
        struct place next = bucket_next(root, &b, &at, NULL);
        uint64_t     word;

        if (next.word == 0) {
            if (b.high == UINT64_MAX) {
                *done = true;
                return;
            }
            at = bucket_enter(root, b.high + 1, &b);
            bucket_fetch(&b);
            continue;
        }
        word = tsu_cell_resolve(next.word);
        if ((word & TSU_CELL_KIND) != TSU_CELL_EMPTY && !visit(ctx, word)) return;
        at = next;
    }
}

static uint64_t hash_next(tsu_thread *self, tsu_root *root, const tsu_key *from, bool *present)
{
    struct bucket b;
    struct place  at = bucket_enter(root, from != NULL ? from->mark : 0, &b);

    (void)self;
    at.key = from;
    *present = false;
    for (;;) {
        struct place next = bucket_next(root, &b, &at, at.key != NULL ? present : NULL);
        uint64_t     word;

        if (next.word == 0) {
            if (b.high == UINT64_MAX) return 0;
            at = bucket_enter(root, b.high + 1, &b);
            continue;
        }
        word = tsu_cell_resolve(next.word);
        if ((word & TSU_CELL_KIND) != TSU_CELL_EMPTY) return word;
        at = next;
    }
}

/* Buckets are counted in the oldest directory; part of an interval may have moved on to the next, or come from it. */
static void hash_slot(tsu_thread *self, tsu_root *root, uint64_t index, tsu_visit_fn visit, void *ctx,
                      int *past)
{
    uint32_t      level = hash_root_dir(root)->level;
    uint64_t      hash = level == 0 ? 0 : index << (64 - level), end = hash | UINT64_MAX >> level;
    struct bucket b;
    struct place  at;

    (void)self;
    *past = index < UINT64_C(1) << level ? 0 : index == UINT64_C(1) << level ? 1 : 2;
    if (*past != 0) return;
    at = bucket_enter(root, hash, &b);
    for (;;) {
        struct place   next = bucket_next(root, &b, &at, NULL);
        size_t         len;
        const uint8_t *k;
        uint64_t       word;

        if (next.word == 0) {
            if (b.high >= end) return;
            at = bucket_enter(root, b.high + 1, &b);
            continue;
        }
        at = next;
        k = tsu_version_key(next.word, root->keypos, &len);
        if (tsu_hashtab_mark(k, len) > end) return;
        word = tsu_cell_resolve(next.word);
        if ((word & TSU_CELL_KIND) != TSU_CELL_EMPTY && !visit(ctx, word)) return;
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
    .reserve = tsu_hash_reserve,
    .restore = hash_restore,
    .peek = hash_peek,
    .walk = hash_walk,
    .next = hash_next,
    .slot = hash_slot,
    .verify = tsu_hash_verify,
};
