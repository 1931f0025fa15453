/* bptree_leaf.c: keys in one leaf. */
#include "mem/bptree_node.h"

/* Closed entries are dropped when one in so many is closed: a copy of the leaf for each removal costs more than they do. */
#define GONE_SHARE 4

/* A tail is folded when it has so many keys: that many words to look through, and a copy of the content for so many keys. */
#define TAIL_LONG 12

/* With fewer it does not matter whether marks tie. */
#define PREFIX_KEYS_MIN 8

/* --- searching ------------------------------------------------------------------------ */
/* Among entries [lo, hi), all with the key's mark. Entries without a version have no key to compare with and count as
 * absent; an insertion drops them. */
static void search_ties(const tsu_root *root, const tsu_content *c, const tsu_key *key, tsu_leaf_place *out)
{
    const uint8_t *index = tsu_leaf_index(c);
    unsigned       lo = out->tie, hi = out->tie_end;

    while (lo < hi) {
        unsigned mid = (lo + hi) / 2, k = mid;
        uint64_t word = 0;
        size_t   len;
        int      d;

        for (; k < hi; k++) {
            word = tsu_load_acquire(&c->cells[index[k]]);
            if (tsu_cell_holds_version(word)) break;
        }
        if (k == hi) {
            hi = mid;
            continue;
        }
        d = tsu_term_compare(key->bytes, tsu_version_key(word, root->keypos, &len));
        if (d == 0) {
            out->at = k;
            out->cell = &c->cells[index[k]];
            return;
        }
        if (d < 0) hi = mid;
        else lo = k + 1;
    }
    out->at = lo;
}

void tsu_leaf_search_entries(const tsu_root *root, const tsu_content *c, const tsu_key *key, tsu_text *text,
                             tsu_leaf_place *out)
{
    unsigned n = c->count, lo, hi;
    tsu_seen x;
    int      side = tsu_key_seen(c, key, text, &x);

    lo = TSU_LIKELY(side == 0) ? tsu_marks_below(c->marks, n, x.mark) : side < 0 ? 0 : n;
    out->tie = out->tie_end = out->at = lo;
    out->cell = NULL;
    out->mark = x.mark;
    out->fits = side == 0;
    if (side != 0 || lo == n || c->marks[lo] != x.mark) return;
    if (x.exact) {
        tsu_word *cell = &c->cells[tsu_leaf_index(c)[lo]];

        out->tie_end = lo + 1;
        if (tsu_cell_holds_version(tsu_load_acquire(cell))) out->cell = cell;
        return;
    }
    for (hi = lo + 1; hi < n && c->marks[hi] == x.mark; hi++) { }
    out->tie_end = hi;
    search_ties(root, c, key, out);
}

static __attribute__((noinline)) void search_tail(const tsu_root *root, const tsu_content *c, const tsu_key *key,
                                                  tsu_leaf_place *out)
{
    uint64_t  tag = tsu_leaf_tag(out->mark);
    tsu_word *cell = c->cells + c->used, *end = c->cells + c->cap;
    size_t    len;

    for (; cell < end; cell++) {
        uint64_t word = tsu_load_acquire(cell);

        if (tsu_leaf_cell_unused(word)) break;
        if (TSU_LIKELY((word & TSU_CELL_AUX) != tag) || !tsu_cell_holds_version(word)) continue;
        if (tsu_term_compare(key->bytes, tsu_version_key(word, root->keypos, &len)) != 0) continue;
        out->cell = cell;
        out->aux = tag;
        break;
    }
    out->end = (unsigned)(cell - c->cells);
}

void tsu_leaf_search(const tsu_root *root, const tsu_content *c, const tsu_key *key, tsu_text *text,
                     tsu_leaf_place *out)
{
    tsu_leaf_search_entries(root, c, key, text, out);
    out->end = c->used;
    if (TSU_LIKELY(out->cell != NULL)) out->aux = tsu_load_relaxed(out->cell) & TSU_CELL_AUX;
    else if (out->fits && tsu_leaf_tailed(c)) search_tail(root, c, key, out);
}

/* --- cells ------------------------------------------------------------------------------- */
uint64_t tsu_leaf_cell_load(tsu_word *cell)
{
    uint64_t word = tsu_load_acquire(cell);

    while (!tsu_cell_holds_version(word) && !(word & TSU_CELL_FROZEN) && word != TSU_CELL_CLOSED)
        if (tsu_cas(cell, &word, TSU_CELL_CLOSED)) return TSU_CELL_CLOSED;
    return word;
}

/* Closed cells do not change any more, nor do those behind an unused one that is frozen (T2). */
void tsu_leaf_freeze(const tsu_content *c)
{
    for (unsigned i = 0; i < c->cap; i++) {
        uint64_t word = tsu_load_relaxed(&c->cells[i]);

        if (word == TSU_CELL_CLOSED) continue;
        if (!(word & TSU_CELL_FROZEN)) word = tsu_fetch_or(&c->cells[i], TSU_CELL_FROZEN);
        if (tsu_leaf_cell_unused(word)) return;
    }
}

/* --- tails --------------------------------------------------------------------------------- */
/* All keys of a leaf in order, and the cells where they are. */
typedef struct ordered {
    unsigned n, dropped;      /* dropped: closed ones that are not among them */
    uint8_t  run;
    uint64_t marks[256];
    uint8_t  cells[256];
} ordered;

typedef struct tail_key { uint64_t mark, word; uint8_t cell; } tail_key;

static const uint8_t *key_bytes(const tsu_root *root, uint64_t word)
{
    size_t len;

    return tsu_version_key(word, root->keypos, &len);
}

/* The living keys of the tail up to `end`, in order; returns how many. */
static unsigned tail_sort(const tsu_root *root, const tsu_content *c, unsigned end, tail_key *out)
{
    unsigned n = 0;

    for (unsigned i = c->used; i < end; i++) {
        uint64_t word = tsu_leaf_cell_load(&c->cells[i]);
        tsu_text text = {.len = 0};
        tsu_seen x;
        tsu_key  key;
        unsigned at = n++;

        if (tsu_leaf_cell_dead(word)) {
            n--;
            continue;
        }
        key = tsu_key_of_version(root, word);
        (void)tsu_key_seen(c, &key, &text, &x);
        while (at > 0 && (out[at - 1].mark > x.mark
                          || (out[at - 1].mark == x.mark && tsu_term_compare(key_bytes(root, out[at - 1].word), key.bytes) > 0))) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = (tail_key){x.mark, word, (uint8_t)i};
    }
    return n;
}

/* Appends entries [from, to) of c; `all`: the living ones. */
static void order_entries(const tsu_content *c, unsigned from, unsigned to, bool all, ordered *out)
{
    const uint8_t *index = tsu_leaf_index(c);

    if (!all) {
        memcpy(out->marks + out->n, c->marks + from, (to - from) * sizeof(uint64_t));
        memcpy(out->cells + out->n, index + from, to - from);
        out->n += to - from;
        return;
    }
    for (; from < to; from++) {
        tsu_word *cell = &c->cells[index[from]];
        bool      dead = tsu_leaf_cell_dead(tsu_load_acquire(cell)) && tsu_leaf_cell_dead(tsu_leaf_cell_load(cell));

        out->marks[out->n] = c->marks[from];
        out->cells[out->n] = index[from];
        out->n += !dead;
        out->dropped += dead;
    }
}

uint8_t tsu_leaf_run(const tsu_content *c, unsigned at, unsigned n)
{
    const uint8_t *index = tsu_leaf_index(c);
    unsigned       in_a_row = n - 1;

    if (c->used > 0 && ((at > 0 && index[at - 1] == c->used - 1) || (at < c->count && index[at] == c->used - 1)))
        in_a_row += c->run + 1u;
    return (uint8_t)(in_a_row < 255 ? in_a_row : 255);
}

/* Entries that have a tail key's mark and are closed are dropped: one may be this very key's, and those that cannot be
 * compared would be in doubt for ever. `all`: all closed ones are. */
static __attribute__((noinline)) void order_keys(const tsu_root *root, const tsu_content *c, unsigned end, bool all,
                                                 ordered *out)
{
    const uint8_t *index = tsu_leaf_index(c);
    tail_key       tail[256];
    unsigned       n = tail_sort(root, c, end, tail), at = 0, first_at = 0, first = 0;

    out->n = 0;
    out->dropped = end - c->used - n;
    out->run = end == c->used && !all ? c->run : 0;
    for (unsigned i = 0; i < n; i++) {
        unsigned below = at + tsu_marks_below(c->marks + at, c->count - at, tail[i].mark);

        order_entries(c, at, below, all, out);
        for (at = below; at < c->count && c->marks[at] == tail[i].mark; at++) {
            uint64_t word = tsu_leaf_cell_load(&c->cells[index[at]]);

            if (tsu_leaf_cell_dead(word)) {
                out->dropped++;
                continue;
            }
            if (tsu_term_compare(key_bytes(root, word), key_bytes(root, tail[i].word)) > 0) break;
            order_entries(c, at, at + 1, false, out);
        }
        if (i == 0) {
            first_at = at;
            first = out->n;
        }
        out->marks[out->n] = tail[i].mark;
        out->cells[out->n++] = tail[i].cell;
    }
    if (n > 0 && out->n - first == n) out->run = tsu_leaf_run(c, first_at, n);
    order_entries(c, at, c->count, all, out);
}

static void content_fill(tsu_content *next, const ordered *o)
{
    memcpy(next->marks, o->marks, o->n * sizeof(uint64_t));
    memcpy(tsu_leaf_index(next), o->cells, o->n);
}

tsu_leaf_outcome tsu_leaf_fold(tsu_kit *kit, tsu_tnode *node, tsu_content *c, bool all, tsu_content **next)
{
    unsigned     end = tsu_leaf_tail_end(c);
    uint64_t     gone;
    tsu_content *folded;
    ordered      o;

    DCHECK(!(c->flags & TSU_TREE_MERGING));
    order_keys(kit->root, c, end, all, &o);
    folded = tsu_leaf_make(kit, o.n, c->skip, o.n >= c->count ? tsu_content_bytes(c) : 0);
    if (folded == NULL) return TSU_LEAF_NOMEM;
    gone = tsu_content_head_copy(folded, c);
    tsu_store_relaxed(&folded->gone, !all && gone > o.dropped ? gone - o.dropped : 0);
    folded->used = (uint8_t)end;
    folded->run = o.run;
    content_fill(folded, &o);
    if (!tsu_node_swing(node, c, folded)) {
        tsu_content_drop(kit, folded, false);
        return TSU_LEAF_LOST;
    }
    tsu_leaf_gone_since(c, folded, gone);
    tsu_content_retire(kit, c, false);
    *next = folded;
    return TSU_LEAF_DONE;
}

tsu_content *tsu_leaf_tidy(tsu_thread *self, tsu_root *root, tsu_tnode *node, tsu_content *c)
{
    tsu_content *next = NULL;
    tsu_kit      kit;

    if (c->flags & TSU_TREE_MERGING) return NULL;
    tsu_kit_open(&kit, self, root);
    (void)tsu_leaf_fold(&kit, node, c, false, &next);
    tsu_kit_close(&kit);
    return next;
}

static __attribute__((noinline)) tsu_content *straighten(tsu_thread *self, tsu_root *root, tsu_tnode *node, tsu_content *c,
                                                         tsu_leaf_view *view)
{
    tsu_content *next = tsu_leaf_tidy(self, root, node, c);
    ordered      o;

    if (next != NULL) return next;
    /* what was there when c was the node's content, and perhaps more: as good an answer as c itself was without a tail */
    order_keys(root, c, tsu_leaf_tail_end(c), false, &o);
    next = (tsu_content *)(void *)view->words;
    next->count = (uint8_t)o.n;
    (void)tsu_content_head_copy(next, c);
    content_fill(next, &o);
    return next;
}

tsu_content *tsu_leaf_straight(tsu_thread *self, tsu_root *root, tsu_tnode *node, tsu_content *c, tsu_leaf_view *view)
{
    return tsu_leaf_tailed(c) ? straighten(self, root, node, c, view) : c;
}

unsigned tsu_leaf_gather(const tsu_root *root, const tsu_content *c, unsigned skip, tsu_leaf_entry *out, uint8_t *run)
{
    const uint8_t *prefix = tsu_content_prefix(c);
    unsigned       n = 0;
    ordered        o;

    order_keys(root, c, tsu_leaf_tail_end(c), false, &o);
    for (unsigned i = 0; i < o.n; i++) {
        uint64_t word = tsu_load_acquire(&c->cells[o.cells[i]]);

        if (tsu_leaf_cell_dead(word)) continue;
        DCHECK(word & TSU_CELL_FROZEN);
        out[n].mark = tsu_mark_rebase(prefix, c->skip, skip, o.marks[i]);
        out[n++].word = tsu_cell_bare(word);
    }
    if (run != NULL) *run = o.run;
    return n;
}

static void entry_text(const tsu_root *root, const tsu_leaf_entry *e, tsu_text *out)
{
    size_t len;

    tsu_order_text(tsu_version_key(e->word, root->keypos, &len), out);
}

/* How long a prefix is worth while for entries that all have `skip` bytes of one; *text: whose beginning it is. */
static unsigned entries_skip(const tsu_root *root, unsigned skip, const tsu_leaf_entry *entries, unsigned n,
                             const tsu_key *also, tsu_text *text)
{
    unsigned ties = 0, tried = 0, apart = 0, common;
    tsu_text other;

    if (n < PREFIX_KEYS_MIN) return skip;
    for (unsigned i = 1; i < n; i++) ties += entries[i].mark == entries[i - 1].mark;
    if (ties < n / 4) return skip;
    if (entries[0].mark != entries[n - 1].mark) {
        common = skip + (unsigned)__builtin_clzll(entries[0].mark ^ entries[n - 1].mark) / 8;
    } else {
        entry_text(root, &entries[0], text);
        entry_text(root, &entries[n - 1], &other);
        common = tsu_text_common(text->bytes, other.bytes, text->len < other.len ? text->len : other.len);
    }
    if (common > TSU_SKIP_MAX) common = TSU_SKIP_MAX;
    if (common <= skip) return skip;
    /* some pairs as a sample: are they told apart? */
    for (unsigned i = 1; i < n && tried < 4 && apart == tried; i++) {
        if (entries[i].mark != entries[i - 1].mark) continue;
        entry_text(root, &entries[i - 1], text);
        entry_text(root, &entries[i], &other);
        apart += tsu_text_mark(text->bytes, common) != tsu_text_mark(other.bytes, common);
        tried++;
        i += n / 5;
    }
    if (2 * apart <= tried) return skip;
    entry_text(root, &entries[0], text);
    if (also != NULL) {
        tsu_key_text(also, &other);
        common = tsu_text_common(text->bytes, other.bytes, common);
    }
    return common > skip ? common : skip;
}

tsu_content *tsu_leaf_build(tsu_kit *kit, const uint8_t *prefix, unsigned skip, const tsu_leaf_entry *entries, unsigned n,
                            unsigned cap, const tsu_key *also, size_t bytes)
{
    tsu_text     text;
    unsigned     longer = entries_skip(kit->root, skip, entries, n, also, &text), got;
    tsu_content *c = tsu_leaf_make(kit, n, longer, bytes);
    uint8_t     *index;

    if (c == NULL) return NULL;
    if (longer > 0) memcpy(tsu_content_prefix(c), longer > skip ? text.bytes : prefix, longer);
    c->cells = tsu_block_make(kit, cap, &got);
    if (c->cells == NULL) {
        tsu_content_drop(kit, c, false);
        return NULL;
    }
    c->cap = (uint8_t)got;
    c->used = (uint8_t)n;
    index = tsu_leaf_index(c);
    for (unsigned i = 0; i < n; i++) {
        if (longer > skip) entry_text(kit->root, &entries[i], &text);
        c->marks[i] = longer > skip ? tsu_text_mark(text.bytes, longer) : entries[i].mark;
        index[i] = (uint8_t)i;
        tsu_store_relaxed(&c->cells[i], entries[i].word);      /* published by the content's CAS */
    }
    return c;
}

/* --- entries --------------------------------------------------------------------------------- */
tsu_leaf_outcome tsu_leaf_insert(tsu_kit *kit, tsu_tnode *node, tsu_content *c, const tsu_leaf_place *at, uint64_t word)
{
    uint64_t     unused = 0;
    unsigned     tail;
    tsu_content *next;

    if (!at->fits || at->end >= c->cap) return TSU_LEAF_FULL;
    tail = at->end - c->used;
    if (c->count + tail >= TSU_LEAF_KEYS_MAX) return TSU_LEAF_FULL;
    if (!tsu_cas(&c->cells[at->end], &unused, word | tsu_leaf_tag(at->mark)))
        return unused & TSU_CELL_FROZEN ? TSU_LEAF_FULL : TSU_LEAF_LOST;
    TSU_TREE_STEP(TSU_TREE_CLAIMED);
    /* in vain if the next one finds no cell */
    if (tail + 1 >= TAIL_LONG && at->end + 1 < c->cap) (void)tsu_leaf_fold(kit, node, c, false, &next);
    return TSU_LEAF_DONE;
}

/* A count that is lost in a race makes the drop come later. */
bool tsu_leaf_gone(const tsu_tree_place *at)
{
    tsu_content *c = at->content;
    uint64_t     gone = tsu_load_relaxed(&c->gone) + 1;

    tsu_store_relaxed(&c->gone, gone);
    return gone * GONE_SHARE >= tsu_leaf_total(c) || tsu_node_content(at->node) != c;
}

void tsu_leaf_gone_since(const tsu_content *c, tsu_content *next, uint64_t known)
{
    uint64_t now = tsu_load_relaxed(&c->gone);

    if (now > known) tsu_store_relaxed(&next->gone, tsu_load_relaxed(&next->gone) + now - known);
}

void tsu_leaf_purge(tsu_kit *kit, const tsu_tree_place *at, const tsu_key *key, tsu_word *cell, unsigned *before,
                    unsigned *left)
{
    tsu_tree_place place;

    *before = *left = 0;
    for (place = *at;; (void)tsu_tree_locate(kit->root, key, 0, false, &place)) {
        tsu_content *c = place.content, *next;
        unsigned     total;

        if (tsu_node_content(place.node) != c) continue;
        if (c->flags & TSU_TREE_MERGING) return;
        if (cell < c->cells || cell >= c->cells + c->cap) return;      /* rewritten: it went with that */
        if (cell < c->cells + c->used && memchr(tsu_leaf_index(c), (int)(cell - c->cells), c->count) == NULL) return;
        total = tsu_leaf_total(c);
        switch (tsu_leaf_fold(kit, place.node, c, true, &next)) {
        case TSU_LEAF_DONE:
            *before = total;
            *left = next->count;
            return;
        case TSU_LEAF_LOST: break;
        default: return;           /* left for later: a rewrite drops them */
        }
    }
}
