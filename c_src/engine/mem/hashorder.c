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
    struct hash_dir  *dir;
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
        b.dir = dir;
        hash_dir_interval(dir, hash, &b.low, &b.high);
        b.window = hash_window(dir->level);
        return b;
    }
}

static inline uint64_t known_bits(const struct bucket *b, uint64_t hash)
{
    return hash & ~(UINT64_MAX >> 1 >> (b->window + 15));
}

/* What bucket and tag tell of the hash. */
static inline uint64_t slot_hash(const struct bucket *b, uint64_t word)
{
    return b->low | (word & TSU_CELL_AUX) >> b->window;
}

/* `word`, whose `hash` ties, is after the place; the other thing to know is whether it is there. */
static bool is_after(tsu_thread *self, const tsu_root *root, const struct place *from, uint64_t word, bool *present)
{
    if (from->key == NULL) return tie_compare(root, from, word) < 0;
    if (!hash_key_is(word, root->keypos, from->key)) return tie_compare(root, from, word) < 0;
    if (present != NULL) *present = (tsu_cell_resolve(self, word) & TSU_CELL_KIND) != TSU_CELL_EMPTY;
    return false;
}

/* Keeps `word` if it is after `from` and before the best so far. */
static inline void consider(tsu_thread *self, const tsu_root *root, const struct place *from, struct place *best, uint64_t word,
                            uint64_t hash, bool *present)
{
    bool take = hash > from->hash && hash < best->hash;

    if (TSU_UNLIKELY(hash == from->hash && is_after(self, root, from, word, present)))
        take = hash < best->hash || (hash == best->hash && tie_compare(root, best, word) > 0);
    else if (TSU_UNLIKELY(hash == best->hash))
        take = hash > from->hash && tie_compare(root, best, word) > 0;
    best->word = take ? word : best->word;
    best->hash = take ? hash : best->hash;
}

/* The first version in the bucket after `from`, committed or not; word 0: there is none. */
static struct place bucket_next(tsu_thread *self, const tsu_root *root, const struct bucket *b, const struct place *from,
                                bool *present)
{
    struct place      best = {UINT64_MAX, 0, NULL, 0};
    struct hash_slots s = hash_slots_begin(b->line);
    bool              more = true;

    if ((b->ctl & CTL_STATE) == CTL_INSERTING) {
        size_t         len;
        uint64_t       word = hash_inserting_word(b->ctl);
        const uint8_t *k = tsu_version_key(word, root->keypos, &len);

        consider(self, root, from, &best, word, known_bits(b, tsu_hashtab_mark(k, len)), present);
    }
    while (more) {
        uint64_t w = tsu_load_acquire(s.slot);

        if (hash_slots_enter(&s, w)) continue;
        more = hash_slots_next(&s);
        if (tsu_cell_holds_version(w))
            consider(self, root, from, &best, w & (TSU_CELL_POINTER | TSU_CELL_KIND), slot_hash(b, w), present);
    }
    return best;
}

/* Goes on to the bucket of a hash; if the table has shrunk meanwhile, it holds smaller ones too. */
static struct place bucket_enter(const tsu_root *root, uint64_t hash, struct bucket *b)
{
    *b = bucket_of(root, hash);
    return (struct place){known_bits(b, hash), 0, NULL, hash};
}

/* The same bucket, or whatever holds the place by now. */
static void bucket_again(const tsu_root *root, struct place *at, struct bucket *b)
{
    uint64_t hash = at->floor;

    if (at->word != 0) {
        size_t         len;
        const uint8_t *k = tsu_version_key(at->word, root->keypos, &len);

        hash = tsu_hashtab_mark(k, len);
    } else if (at->key != NULL) {
        hash = at->key->mark;
    }
    *b = bucket_of(root, hash);
    at->hash = known_bits(b, hash);
}

/* --- a bucket in order ------------------------------------------------------------------ */
/* The slots of one bucket in the order of their keys: good while ctl is what it was (H5), for it takes an insertion to bring
 * a key into a slot, and that has changed ctl for good before (H2). Words are read anew at each step, for commits to be
 * seen as a whole (C1). */
#define RUN_SLOTS 19u             /* of the line and four side lines */

struct run {
    struct hash_line *line, *ahead;        /* ahead: the line that comes next, to be fetched; or NULL */
    uint64_t          ctl, high;
    uint64_t          index, count;
    tsu_word         *slot[RUN_SLOTS];
};

/* The line of the n-th bucket behind this one, if it is in the same directory; or NULL. */
static struct hash_line *line_ahead(const struct bucket *b, uint64_t n)
{
    uint64_t segment, i = hash_index(b->high, b->dir->level) + n;

    if (i >> b->dir->level != 0) return NULL;
    segment = tsu_load_acquire(&b->dir->segment[i >> HASH_SEGMENT_SHIFT]);
    if (segment == 0 || segment == HASH_SEGMENT_GONE) return NULL;
    return (struct hash_line *)(uintptr_t)segment + (i & (HASH_SEGMENT_LINES - 1));
}

/* Slots of a bucket with what tells their order: the tag, and their number here so that no two are alike. */
#define RUN_ROOM 20               /* a multiple of 4, and more than RUN_SLOTS */

struct unordered {
    int32_t   mark[RUN_ROOM];     /* what is not used: the largest */
    uint64_t  word[RUN_ROOM];
    tsu_word *slot[RUN_ROOM];
};

/* How many come before slot i. No branch is taken that depends on the order, which nobody can foretell. */
static inline uint32_t run_rank(const struct unordered *u, uint32_t i, uint32_t count)
{
    uint32_t rank = 0, j;

    for (j = 0; j < 8; j++) rank += u->mark[j] < u->mark[i];
    if (TSU_UNLIKELY(count > 8))
        for (; j < RUN_ROOM; j++) rank += u->mark[j] < u->mark[i];
    return rank;
}

/* What in the bucket is after `from`. False: this bucket is not for a run. */
static bool run_begin(tsu_thread *self, struct run *r, const tsu_root *root, const struct bucket *b, const struct place *from,
                      bool *present)
{
    struct hash_slots s = hash_slots_begin(b->line);
    struct unordered  u;
    uint64_t          word[RUN_ROOM];
    uint32_t          i, j, rank, count = 0;
    bool              more = true;

    if ((b->ctl & CTL_STATE) == CTL_INSERTING) return false;
    for (i = 0; i < RUN_ROOM; i++) u.mark[i] = INT32_MAX;
    while (more) {
        tsu_word *slot = s.slot;
        uint64_t  w = tsu_load_acquire(slot), h;
        bool      after;

        if (hash_slots_enter(&s, w)) continue;
        more = hash_slots_next(&s);
        h = slot_hash(b, w);
        after = tsu_cell_holds_version(w) & (h >= from->hash);
        if (TSU_UNLIKELY(h == from->hash) && after) after = is_after(self, root, from, w, present);
        if (TSU_UNLIKELY(after && count == RUN_SLOTS)) return false;
        __builtin_prefetch(after ? (const void *)tsu_cell_version(w) : (const void *)b->line);
        u.word[count] = w;
        u.slot[count] = slot;
        u.mark[count] = after ? (int32_t)(w >> 48 << 8 | count) : INT32_MAX;
        count += after;
    }
    for (i = 0; i < count; i++) {
        rank = run_rank(&u, i, count);
        word[rank] = u.word[i];
        r->slot[rank] = u.slot[i];
    }
    for (i = 1; i < count; i++)
        for (j = i; j > 0 && TSU_UNLIKELY((word[j] ^ word[j - 1]) >> 48 == 0); j--) {
            uint64_t  w = word[j];
            tsu_word *slot = r->slot[j];

            if (tie_compare(root, &(struct place){.word = word[j - 1]}, w) < 0) break;
            word[j] = word[j - 1];
            word[j - 1] = w;
            r->slot[j] = r->slot[j - 1];
            r->slot[j - 1] = slot;
        }
    r->line = b->line;
    r->ctl = b->ctl;
    r->high = b->high;
    r->index = 0;
    r->count = count;
    r->ahead = line_ahead(b, 1);
    if (r->ahead != NULL) __builtin_prefetch(r->ahead);
    return true;
}

/* *raw is the next cell word that leads to a committed version, *word the version's; 0: there is none. False: the bucket has
 * changed, and neither counts. */
static inline bool run_next(tsu_thread *self, struct run *r, uint64_t *raw, uint64_t *word)
{
    *word = 0;
    while (r->index < r->count && *word == 0) {
        uint64_t w = tsu_load_acquire(r->slot[r->index]);

        if ((w & TSU_CELL_KIND) == TSU_CELL_OTHER) return false;
        if (r->ahead != NULL && r->index < HASH_HEAD_SLOTS) {
            uint64_t ahead = tsu_load_relaxed(&r->ahead->slot[r->index]);

            if ((ahead & TSU_CELL_KIND) != TSU_CELL_EMPTY) __builtin_prefetch(tsu_cell_version(ahead));
        }
        r->index++;
        *raw = w;
        *word = tsu_cell_resolve(self, w);
    }
    /* what has come into a slot since came after a change of ctl, which now shows */
    return PLANTED(14) || tsu_load_acquire(&r->line->ctl) == r->ctl;      /* H5 */
}

/* Where a walk is that goes key by key. */
struct course {
    struct bucket b;
    struct run    r;
    struct place  at;
    bool          run;
};

static void course_begin(tsu_thread *self, const tsu_root *root, struct course *c, uint64_t hash, const tsu_key *from)
{
    c->at = bucket_enter(root, hash, &c->b);
    c->at.key = from;
    c->run = run_begin(self, &c->r, root, &c->b, &c->at, NULL);
}

/* One step: *word is the next committed version's, or 0: nothing was met. False: that was all of the bucket. */
static inline bool course_step(tsu_thread *self, const tsu_root *root, struct course *c, uint64_t *word)
{
    struct place next;
    uint64_t     raw = 0;

    if (c->run) {
        if (!run_next(self, &c->r, &raw, word)) {
            bucket_again(root, &c->at, &c->b);
            c->run = false;          /* the rest of this bucket one by one, for there may be many changes */
            *word = 0;
            return true;
        }
        if (*word == 0) return false;
        c->at = (struct place){.hash = slot_hash(&c->b, raw), .word = raw & (TSU_CELL_POINTER | TSU_CELL_KIND)};
        return true;
    }
    next = bucket_next(self, root, &c->b, &c->at, NULL);
    *word = tsu_cell_resolve(self, next.word);
    if (TSU_UNLIKELY((tsu_load_acquire(&c->b.line->ctl) & CTL_STATE) == CTL_FORWARD)) {
        bucket_again(root, &c->at, &c->b);               /* it has moved: what was read may be old (C1) */
        *word = 0;
        return true;
    }
    if (next.word == 0) return false;
    c->at = next;
    return true;
}

void tsu_hash_walk(tsu_thread *self, tsu_root *root, const tsu_key *from, tsu_direction direction,
                   size_t budget, tsu_visit_fn visit, void *ctx, bool *done)
{
    struct course c;
    uint64_t      word;

    (void)direction;                 /* a hash table has one order: ets says so too */
    *done = false;
    course_begin(self, root, &c, from != NULL ? from->mark : 0, from);
    for (; budget > 0; budget--) {
        if (course_step(self, root, &c, &word)) {
            if (word != 0 && !visit(ctx, word)) return;
        } else if (c.b.high == UINT64_MAX) {
            *done = true;
            return;
        } else {
            course_begin(self, root, &c, c.b.high + 1, NULL);
        }
    }
}

/* --- many at a time ---------------------------------------------------------------------- */
/* Who does not stop between two keys needs no order. Buckets are gathered whole, each word with its version's header before the
 * next word is read (C1); if ctl has not changed by then, what was gathered are the bucket's keys (H5). A bucket with anything
 * else in it than settled versions is left to a course. No branch depends on which of a line's slots hold something. */
#define MANY_ENOUGH 32u           /* words that are shown together, or more */
#define MANY_ROOM   64u
#define FAR_LEVEL   11u           /* of directories whose tables are no longer near the processor */
#define FAR_AHEAD   8u            /* buckets: about as many as are shown together */

struct many {
    size_t   count, last;         /* words; where those of the last bucket begin that has some */
    uint64_t word[MANY_ROOM];
};

static inline void gather(struct many *m, uint64_t w, uint64_t *headers)
{
    static tsu_version settled;
    bool               holds = tsu_cell_holds_version(w);

    *headers |= tsu_load_acquire(&(holds ? tsu_cell_version(w) : &settled)->header);
    m->word[m->count] = w;
    m->count += holds;
}

/* What the bucket holds. False: it is left to a course. */
static bool bucket_gather(struct many *m, const struct bucket *b)
{
    const tsu_word *slot = b->line->slot;
    uint64_t        w, headers = 0;
    size_t          before = m->count;

    if (TSU_UNLIKELY((b->ctl & CTL_STATE) == CTL_INSERTING)) return false;
    for (uint32_t i = 0; i < HASH_HEAD_SLOTS - 1; i++) gather(m, tsu_load_acquire(slot++), &headers);
    for (w = tsu_load_acquire(slot); TSU_UNLIKELY((w & TSU_CELL_KIND) == TSU_CELL_OTHER); w = tsu_load_acquire(slot)) {
        if (m->count + HASH_SIDE_SLOTS > MANY_ROOM) break;
        slot = ((struct hash_side *)tsu_cell_version(w))->slot;
        for (uint32_t i = 0; i < HASH_SIDE_SLOTS - 1; i++) gather(m, tsu_load_acquire(slot++), &headers);
    }
    gather(m, w, &headers);
    if (TSU_UNLIKELY(!tsu_header_settled(headers) || (w & TSU_CELL_KIND) == TSU_CELL_OTHER
                     || (tsu_load_acquire(&b->line->ctl) != b->ctl && !PLANTED(14)))) {      /* H5 */
        m->count = before;
        return false;
    }
    if (m->count > before) m->last = before;
    return true;
}

/* Has the versions in a bucket further on fetched, and a line twice as far. */
static void bucket_fetch_far(const struct bucket *b)
{
    struct hash_line *line = line_ahead(b, 2 * FAR_AHEAD);

    if (line != NULL) __builtin_prefetch(line);
    line = line_ahead(b, FAR_AHEAD);
    for (uint32_t i = 0; line != NULL && i < HASH_HEAD_SLOTS; i++) {
        uint64_t w = tsu_load_relaxed(&line->slot[i]);

        __builtin_prefetch(tsu_cell_holds_version(w) ? (const void *)tsu_cell_version(w) : (const void *)line);
    }
}

/* Puts the last word in order last: from there the walk can be continued. */
static void many_close(const tsu_root *root, struct many *m)
{
    size_t   i, last = m->last;
    uint64_t w = m->word[last];

    for (i = last + 1; i < m->count; i++) {
        bool after = m->word[i] >> 48 > w >> 48;

        if (TSU_UNLIKELY((m->word[i] ^ w) >> 48 == 0)) after = tie_compare(root, &(struct place){.word = w}, m->word[i]) < 0;
        last = after ? i : last;
        w = after ? m->word[i] : w;
    }
    for (; last + 1 < m->count; last++) m->word[last] = m->word[last + 1];
    m->word[last] = w;
}

void tsu_hash_walk_many(tsu_thread *self, tsu_root *root, const tsu_key *from, size_t budget, tsu_visit_many_fn visit, void *ctx,
                        bool *done)
{
    uint64_t      hash = from != NULL ? from->mark : 0, high = 0, word;
    struct many   m;
    struct course c;
    struct bucket b;

    *done = false;
    do {
        uint64_t first = hash, end = 0;
        size_t   steps = 0;
        bool     singly = from != NULL || self->view != NULL, ends = false;

        m.count = 0;
        while (!singly && high != UINT64_MAX && m.count < MANY_ENOUGH && steps < budget) {
            b = bucket_of(root, hash);
            singly = b.low != hash || !bucket_gather(&m, &b);      /* it is a larger one if the table has shrunk */
            if (singly) break;
            if (b.dir->level >= FAR_LEVEL) bucket_fetch_far(&b);
            high = b.high;
            hash = high + 1;
            steps++;
        }
        steps += m.count;
        if (m.count > 0) {
            tsu_visit_answer answer;

            many_close(root, &m);
            answer = visit(ctx, m.word, m.count);
            if (answer == TSU_VISIT_END) return;
            if (answer == TSU_VISIT_SINGLY) {
                singly = ends = true;
                hash = first;
                end = high;
                steps = 0;
            }
        }
        budget -= steps < budget ? steps : budget;
        if (!singly) continue;
        do {
            course_begin(self, root, &c, hash, from);
            for (; course_step(self, root, &c, &word); budget--) {
                if (budget == 0) return;
                if (word != 0 && visit(ctx, &word, 1) == TSU_VISIT_END) return;
            }
            from = NULL;
            high = c.b.high;
            hash = high + 1;
        } while (high < end);
        if (ends) break;
    } while (high != UINT64_MAX && budget > 0);
    *done = high == UINT64_MAX;
}

/* --- next ------------------------------------------------------------------------------- */
/* Where this thread was last, in its scratch words: who asks for what comes after the last answer needs no search. The
 * lines are there as long as the root's era is what it was (H5): it ends before a line is retired, and we are pinned. */
struct trail {
    uint64_t   era;
    uint64_t   hash;       /* of the last answer, as far as it was known */
    tsu_word  *cell;       /* the last answer's, the one before run.index, or NULL: there is no run */
    struct run run;
};
_Static_assert(sizeof(struct trail) <= sizeof(((tsu_thread *)NULL)->scratch_run), "one fits");

/* Goes on along the trail. False: it is lost. */
static bool trail_next(tsu_thread *self, struct trail *t, const tsu_root *root, uint64_t *word)
{
    struct bucket b;
    struct place  at;
    uint64_t      raw;

    for (;;) {
        if (!run_next(self, &t->run, &raw, word)) return false;
        if (*word != 0) {
            t->cell = t->run.slot[t->run.index - 1];
            return true;
        }
        if (t->run.high == UINT64_MAX) return true;
        t->cell = NULL;                  /* run.line's ctl will not vouch for it any more */
        at = bucket_enter(root, t->run.high + 1, &b);
        if (!run_begin(self, &t->run, root, &b, &at, NULL)) return false;
    }
}

/* The last answer's cell still has the key, committed. A bucket that has moved may have been left with versions that are
 * freed by now: ctl comes first. Seen unchanged while pinned, it vouches for all that the slots hold until we unpin. */
static inline bool trail_has(tsu_thread *self, const struct trail *t, const tsu_root *root, const tsu_key *key)
{
    uint64_t w;

    if (t->cell == NULL || tsu_load_acquire(&t->run.line->ctl) != t->run.ctl) return false;
    w = tsu_load_acquire(t->cell);
    return tsu_cell_holds_version(w) && hash_key_is(w, root->keypos, key) && tsu_cell_resolve(self, w) != 0;
}

uint64_t tsu_hash_next(tsu_thread *self, tsu_root *root, const tsu_key *from, bool *present)
{
    struct trail *t = (struct trail *)(void *)self->scratch_run;
    uint64_t      era = tsu_load_acquire(&root->era), word;
    bool          known = from != NULL && t->era == era;
    struct bucket b;
    struct place  at;
    tsu_key       key = {0};

    if (TSU_LIKELY(known && trail_has(self, t, root, from))) {
        *present = true;
        if (TSU_LIKELY(trail_next(self, t, root, &word))) return word;
    }
    if (from != NULL) key = (tsu_key){from->bytes, from->len, tsu_hashtab_mark(from->bytes, from->len), false};
    at = bucket_enter(root, key.mark, &b);
    if (from != NULL) at.key = &key;
    *present = false;
    t->era = era;
    t->cell = NULL;
    if (known && t->hash == at.hash && run_begin(self, &t->run, root, &b, &at, present) && trail_next(self, t, root, &word)) return word;
    t->cell = NULL;
    for (;;) {
        struct place next = bucket_next(self, root, &b, &at, at.key != NULL ? present : NULL);

        if (next.word == 0) {
            if (b.high == UINT64_MAX) return 0;
            at = bucket_enter(root, b.high + 1, &b);
            continue;
        }
        word = tsu_cell_resolve(self, next.word);
        t->hash = next.hash;
        if (word != 0) return word;
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

    *past = index < UINT64_C(1) << level ? 0 : index == UINT64_C(1) << level ? 1 : 2;
    if (*past != 0) return;
    at = bucket_enter(root, hash, &b);
    for (;;) {
        struct place   next = bucket_next(self, root, &b, &at, NULL);
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
        word = tsu_cell_resolve(self, next.word);
        if ((word & TSU_CELL_KIND) != TSU_CELL_EMPTY && !visit(ctx, word)) return;
    }
}
