/* bptree_leaf.c: keys in one leaf. */
#include "mem/bptree_node.h"

/* Closed entries are dropped when one in so many is closed: a copy of the leaf for each removal costs more than they do. */
#define GONE_SHARE 8

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

void tsu_leaf_search(const tsu_root *root, const tsu_content *c, const tsu_key *key, tsu_text *text,
                     tsu_leaf_place *out)
{
    unsigned n = c->count, lo, hi;
    tsu_seen x;
    int      side = tsu_key_seen(c, key, text, &x);

    lo = TSU_LIKELY(side == 0) ? tsu_marks_below(c->marks, n, x.mark) : side < 0 ? 0 : n;
    out->tie = out->tie_end = out->at = lo;
    out->cell = NULL;
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

/* --- cells ------------------------------------------------------------------------------- */
uint64_t tsu_leaf_cell_load(tsu_word *cell)
{
    uint64_t word = tsu_load_acquire(cell);

    while (!tsu_cell_holds_version(word) && !(word & TSU_CELL_FROZEN) && word != TSU_CELL_CLOSED)
        if (tsu_cas(cell, &word, TSU_CELL_CLOSED)) return TSU_CELL_CLOSED;
    return word;
}

void tsu_leaf_freeze(const tsu_content *c)
{
    for (unsigned i = 0; i < c->cap; i++)
        if (!(tsu_load_relaxed(&c->cells[i]) & TSU_CELL_FROZEN)) (void)tsu_fetch_or(&c->cells[i], TSU_CELL_FROZEN);
}

unsigned tsu_leaf_gather(const tsu_content *c, unsigned skip, tsu_leaf_entry *out)
{
    const uint8_t *index = tsu_leaf_index(c), *prefix = tsu_content_prefix(c);
    unsigned       n = 0;

    for (unsigned i = 0; i < c->count; i++) {
        uint64_t word = tsu_load_acquire(&c->cells[index[i]]);

        DCHECK(word & TSU_CELL_FROZEN);
        if (tsu_leaf_cell_dead(word)) continue;
        out[n].mark = tsu_mark_rebase(prefix, c->skip, skip, c->marks[i]);
        out[n++].word = word & ~TSU_CELL_FROZEN;
    }
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
bool tsu_leaf_runs_on(const tsu_content *c, unsigned at)
{
    const uint8_t *index = tsu_leaf_index(c);

    if (c->used == 0) return false;
    if (at > 0 && index[at - 1] == c->used - 1) return true;
    return at < c->count && index[at] == c->used - 1;
}

tsu_leaf_outcome tsu_leaf_insert(tsu_kit *kit, tsu_tnode *node, tsu_content *c, const tsu_leaf_place *at,
                                 const tsu_key *key, tsu_text *text, uint64_t word)
{
    const uint8_t *from = tsu_leaf_index(c);
    uint8_t       *index;
    unsigned       tie = at->tie, put = at->at, rest = at->tie_end, dropped = 0;
    unsigned       n = c->count, j, out;
    uint64_t       gone;
    tsu_content   *next;
    tsu_seen       x;

    if (tsu_key_seen(c, key, text, &x) != 0) return TSU_LEAF_FULL;      /* for such a key */
    /* entries of the same mark that are closed are dropped: one may be this very key's, and those that cannot
     * be compared would be in doubt for ever */
    for (unsigned i = tie; i < rest; i++)
        if (tsu_leaf_cell_dead(tsu_leaf_cell_load(&c->cells[from[i]]))) dropped++;
    if (c->used >= c->cap || n - dropped >= TSU_LEAF_KEYS_MAX) return TSU_LEAF_FULL;
    next = tsu_leaf_make(kit, n - dropped + 1, c->skip, dropped == 0 ? tsu_content_bytes(c) : 0);
    if (next == NULL) return TSU_LEAF_NOMEM;
    for (j = c->used; j < c->cap; j++) {
        uint64_t unused = 0;

        if (tsu_cas(&c->cells[j], &unused, word)) break;
        if (unused & TSU_CELL_FROZEN) j = c->cap - 1u;
    }
    if (j == c->cap) {
        tsu_content_drop(kit, next, false);
        return TSU_LEAF_FULL;
    }
    TSU_TREE_STEP(TSU_TREE_CLAIMED);
    gone = tsu_content_head_copy(next, c);
    if (dropped > 0) tsu_store_relaxed(&next->gone, gone > dropped ? gone - dropped : 0);
    next->used = (uint8_t)(j + 1);
    next->run = tsu_leaf_runs_on(c, put) ? (uint8_t)(c->run < 255 ? c->run + 1 : 255) : 0;
    index = tsu_leaf_index(next);
    if (dropped == 0) {
        memcpy(next->marks, c->marks, put * sizeof(uint64_t));
        next->marks[put] = x.mark;
        memcpy(next->marks + put + 1, c->marks + put, (n - put) * sizeof(uint64_t));
        memcpy(index, from, put);
        index[put] = (uint8_t)j;
        memcpy(index + put + 1, from + put, n - put);
    } else {
        unsigned gone = 0;

        out = 0;
        for (unsigned i = 0; i <= n; i++) {
            if (i == put) {
                next->marks[out] = x.mark;
                index[out++] = (uint8_t)j;
            }
            if (i == n) break;
            if (i >= tie && i < rest && gone < dropped
                && tsu_leaf_cell_dead(tsu_leaf_cell_load(&c->cells[from[i]]))) {
                gone++;       /* cells that died since are kept: the count is fixed */
                continue;
            }
            next->marks[out] = c->marks[i];
            index[out++] = from[i];
        }
        DCHECK(out == next->count);
    }
    if (tsu_node_swing(node, c, next)) {
        tsu_leaf_gone_since(c, next, gone);
        tsu_content_retire(kit, c, false);
        return TSU_LEAF_DONE;
    }
    tsu_content_drop(kit, next, false);
    (void)tsu_cas(&c->cells[j], &word, TSU_CELL_CLOSED);     /* or it is frozen and nobody looks at it */
    return TSU_LEAF_LOST;
}

/* A count that is lost in a race makes the drop come later. */
bool tsu_leaf_gone(const tsu_tree_place *at)
{
    tsu_content *c = at->content;
    uint64_t     gone = tsu_load_relaxed(&c->gone) + 1;

    tsu_store_relaxed(&c->gone, gone);
    return gone * GONE_SHARE >= c->count || tsu_node_content(at->node) != c;
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
        tsu_content   *c = place.content, *next;
        const uint8_t *index = tsu_leaf_index(c);
        uint8_t       *to;
        unsigned       n = c->count, i, out = 0, dead = 0;
        uint64_t       gone = tsu_load_relaxed(&c->gone);
        uint8_t        stays[256];

        if (tsu_node_content(place.node) != c) continue;
        if (c->flags & TSU_TREE_MERGING) return;
        if (cell < c->cells || cell >= c->cells + c->cap) return;      /* rewritten: it went with that */
        if (memchr(index, (int)(cell - c->cells), n) == NULL) return;
        for (i = 0; i < n; i++) {
            stays[i] = !tsu_leaf_cell_dead(tsu_leaf_cell_load(&c->cells[index[i]]));
            dead += !stays[i];
        }
        next = tsu_leaf_make(kit, n - dead, c->skip, 0);
        if (next == NULL) return;           /* left for later: an insertion or rewrite drops them */
        (void)tsu_content_head_copy(next, c);
        tsu_store_relaxed(&next->gone, 0);
        next->run = 0;
        to = tsu_leaf_index(next);
        for (i = 0; out < n - dead; i++) {
            next->marks[out] = c->marks[i];
            to[out] = index[i];
            out += stays[i];
        }
        if (tsu_node_swing(place.node, c, next)) {
            tsu_leaf_gone_since(c, next, gone);
            tsu_content_retire(kit, c, false);
            *before = n;
            *left = n - dead;
            return;
        }
        tsu_content_drop(kit, next, false);
    }
}
