/* bptree_leaf.c: keys in one leaf. */
#include "mem/bptree_node.h"

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

void tsu_leaf_search(const tsu_root *root, const tsu_content *c, const tsu_key *key, tsu_leaf_place *out)
{
    unsigned n = c->count;
    unsigned lo = tsu_marks_below(c->marks, n, key->mark), hi;

    out->tie = out->tie_end = out->at = lo;
    out->cell = NULL;
    if (lo == n || c->marks[lo] != key->mark) return;
    if (key->exact) {
        tsu_word *cell = &c->cells[tsu_leaf_index(c)[lo]];

        out->tie_end = lo + 1;
        if (tsu_cell_holds_version(tsu_load_acquire(cell))) out->cell = cell;
        return;
    }
    for (hi = lo + 1; hi < n && c->marks[hi] == key->mark; hi++) { }
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

unsigned tsu_leaf_gather(const tsu_content *c, tsu_leaf_entry *out)
{
    const uint8_t *index = tsu_leaf_index(c);
    unsigned       n = 0;

    for (unsigned i = 0; i < c->count; i++) {
        uint64_t word = tsu_load_acquire(&c->cells[index[i]]);

        DCHECK(word & TSU_CELL_FROZEN);
        if (tsu_leaf_cell_dead(word)) continue;
        out[n].mark = c->marks[i];
        out[n++].word = word & ~TSU_CELL_FROZEN;
    }
    return n;
}

tsu_content *tsu_leaf_build(tsu_kit *kit, const tsu_leaf_entry *entries, unsigned n, unsigned cap)
{
    tsu_content *c = tsu_leaf_make(kit, n);
    unsigned     got;
    uint8_t     *index;

    if (c == NULL) return NULL;
    c->cells = tsu_block_make(kit, cap, &got);
    if (c->cells == NULL) {
        tsu_content_drop(kit, c, false);
        return NULL;
    }
    c->cap = (uint8_t)got;
    c->used = (uint8_t)n;
    index = tsu_leaf_index(c);
    for (unsigned i = 0; i < n; i++) {
        c->marks[i] = entries[i].mark;
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
                                 const tsu_key *key, uint64_t word)
{
    const uint8_t *from = tsu_leaf_index(c);
    uint8_t       *index;
    unsigned       tie = at->tie, put = at->at, rest = at->tie_end, dropped = 0;
    unsigned       n = c->count, j, out;
    uint16_t       granules;
    tsu_content   *next;

    /* entries of the same mark that are closed are dropped: one may be this very key's, and those that cannot
     * be compared would be in doubt for ever */
    for (unsigned i = tie; i < rest; i++)
        if (tsu_leaf_cell_dead(tsu_leaf_cell_load(&c->cells[from[i]]))) dropped++;
    if (c->used >= c->cap || n - dropped >= TSU_LEAF_KEYS_MAX) return TSU_LEAF_FULL;
    next = tsu_leaf_make(kit, n - dropped + 1);
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
    granules = next->granules;
    memcpy(next, c, sizeof *next);
    next->granules = granules;
    next->count = (uint8_t)(n - dropped + 1);
    next->used = (uint8_t)(j + 1);
    next->run = tsu_leaf_runs_on(c, put) ? (uint8_t)(c->run < 255 ? c->run + 1 : 255) : 0;
    index = tsu_leaf_index(next);
    if (dropped == 0) {
        memcpy(next->marks, c->marks, put * sizeof(uint64_t));
        next->marks[put] = key->mark;
        memcpy(next->marks + put + 1, c->marks + put, (n - put) * sizeof(uint64_t));
        memcpy(index, from, put);
        index[put] = (uint8_t)j;
        memcpy(index + put + 1, from + put, n - put);
    } else {
        unsigned gone = 0;

        out = 0;
        for (unsigned i = 0; i <= n; i++) {
            if (i == put) {
                next->marks[out] = key->mark;
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
        tsu_content_retire(kit, c, false);
        return TSU_LEAF_DONE;
    }
    tsu_content_drop(kit, next, false);
    (void)tsu_cas(&c->cells[j], &word, TSU_CELL_CLOSED);     /* or it is frozen and nobody looks at it */
    return TSU_LEAF_LOST;
}

void tsu_leaf_purge(tsu_kit *kit, const tsu_key *key, tsu_word *cell, unsigned *left)
{
    *left = UINT32_MAX;
    for (;;) {
        tsu_tree_place place;
        tsu_content   *c, *next;
        unsigned       i, n;
        uint16_t       granules;

        (void)tsu_tree_locate(kit->root, key, 0, false, &place);
        c = place.content;
        if (c->flags & TSU_TREE_MERGING) return;
        if (cell < c->cells || cell >= c->cells + c->cap) return;      /* rewritten: it went with that */
        n = c->count;
        for (i = tsu_marks_below(c->marks, n, key->mark); i < n && c->marks[i] == key->mark; i++)
            if (&c->cells[tsu_leaf_index(c)[i]] == cell) break;
        if (i == n || c->marks[i] != key->mark) return;
        next = tsu_leaf_make(kit, n - 1);
        if (next == NULL) return;           /* left for later: an insertion or rewrite drops it */
        granules = next->granules;
        memcpy(next, c, sizeof *next);
        next->granules = granules;
        next->count = (uint8_t)(n - 1);
        next->run = 0;
        memcpy(next->marks, c->marks, i * sizeof(uint64_t));
        memcpy(next->marks + i, c->marks + i + 1, (n - 1 - i) * sizeof(uint64_t));
        memcpy(tsu_leaf_index(next), tsu_leaf_index(c), i);
        memcpy(tsu_leaf_index(next) + i, tsu_leaf_index(c) + i + 1, n - 1 - i);
        if (tsu_node_swing(place.node, c, next)) {
            tsu_content_retire(kit, c, false);
            *left = n - 1;
            return;
        }
        tsu_content_drop(kit, next, false);
    }
}
