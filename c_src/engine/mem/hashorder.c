/* hashorder.c: the order of (hash, key), and going through a table in it. */
#include <string.h>

#include "mem/hashdir.h"

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
    struct place      best = {0, 0, NULL, 0};
    struct hash_slots s = hash_slots_begin(b->line);
    bool              more = true;

    if ((b->ctl & CTL_STATE) == CTL_INSERTING) {
        size_t         len;
        uint64_t       word = hash_inserting_word(b->ctl);
        const uint8_t *k = tsu_version_key(word, root->keypos, &len);

        consider(root, from, &best, word, known_bits(b, tsu_hashtab_mark(k, len)), present);
    }
    while (more) {
        uint64_t w = tsu_load_acquire(s.slot);

        if (hash_slots_enter(&s, w)) continue;
        more = hash_slots_next(&s);
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

void tsu_hash_walk(tsu_thread *self, tsu_root *root, const tsu_key *from, tsu_direction direction,
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

uint64_t tsu_hash_next(tsu_thread *self, tsu_root *root, const tsu_key *from, bool *present)
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
void tsu_hash_slot(tsu_thread *self, tsu_root *root, uint64_t index, tsu_visit_fn visit, void *ctx, int *past)
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
