/* bptree_shape.c: splits, merges, and the root; all of it by many threads at once. */
#include "mem/bptree_node.h"

/* More living keys than this in a leaf that is rewritten: it is split. */
#define SPLIT_ABOVE (TSU_LEAF_KEYS_MAX - TSU_LEAF_KEYS_MAX / 8)
/* With fewer it does not matter whether separators tie. */
#define PREFIX_CHILDREN_MIN 8

static tsu_status help(tsu_kit *kit, const tsu_key *key, unsigned level);
static tsu_status merge_finish(tsu_kit *kit, tsu_tnode *node, tsu_content *pc);

static tsu_key fence_key(const tsu_content *c) { return tsu_key_of_sep(c->fence_mark, c->fence); }

/* Separator i of an inner node. */
static tsu_key sep_key(const tsu_content *c, unsigned i)
{
    return tsu_key_of_sep(tsu_first_mark(c, i), tsu_inner_key(c, i));
}

/* --- splitting ------------------------------------------------------------------------ */
tsu_leaf_outcome tsu_tree_swing_parts(tsu_kit *kit, tsu_tnode *node, tsu_content *c, tsu_content **parts,
                                      const tsu_key *seps, unsigned n)
{
    tsu_leaf_outcome outcome = TSU_LEAF_NOMEM;
    tsu_tnode       *nodes[TSU_PARTS_MAX] = {NULL};
    tsu_sep         *fences[TSU_PARTS_MAX] = {NULL}, *key = NULL;
    tsu_content     *top = NULL, *last = parts[n - 1];
    bool             over_root = node == &kit->root->node && n > 1, shared = parts[0]->cells == c->cells, ok;

    last->right = c->right;
    last->fence_mark = c->fence_mark;
    last->fence = c->fence;
    for (unsigned i = over_root ? 0 : 1; i < n; i++)
        if ((nodes[i] = tsu_node_make(kit, parts[i])) == NULL) goto done;
    for (unsigned i = 1; i < n; i++) {
        fences[i] = tsu_sep_make(kit, &seps[i], &ok);
        if (!ok) goto done;
        parts[i - 1]->right = nodes[i];
        parts[i - 1]->fence_mark = seps[i].mark;
        parts[i - 1]->fence = fences[i];
    }
    if (over_root) {
        key = tsu_sep_make(kit, &seps[1], &ok);
        if (!ok) goto done;
        if ((top = tsu_inner_make(kit, c->level + 1u, 2, key != NULL, 0, 0)) == NULL) goto done;
        top->marks[0] = 0;
        top->marks[1] = seps[1].mark;
        tsu_inner_children(top)[0] = nodes[0];
        tsu_inner_children(top)[1] = nodes[1];
        if (key != NULL) tsu_inner_keys(top)[1] = key;
    }
    outcome = tsu_node_swing(node, c, over_root ? top : parts[0]) ? TSU_LEAF_DONE : TSU_LEAF_LOST;
done:
    if (outcome != TSU_LEAF_DONE) {
        tsu_content_drop(kit, top, false);
        tsu_sep_drop(kit, key);
        for (unsigned i = 0; i < n; i++) {
            tsu_sep_drop(kit, fences[i]);
            tsu_node_drop(kit, nodes[i]);
            tsu_content_drop(kit, parts[i], i > 0 || !shared);
        }
        return outcome;
    }
    tsu_content_retire(kit, c, !shared);
    if (n > 1) TSU_TREE_STEP(TSU_TREE_SPLIT);
    for (unsigned i = over_root ? 1 : 0; i + 1 < n; i++)
        tsu_tree_post(kit, parts[i]->level, parts[i]);      /* on the stack as often as the tree is high */
    return outcome;
}

/* Where the key, seen as the entries' marks are, would go among them. */
static unsigned entries_below(const tsu_root *root, const tsu_leaf_entry *entries, unsigned n, const tsu_key *key,
                              const tsu_seen *x)
{
    unsigned i = 0;
    size_t   len;

    while (i < n && entries[i].mark < x->mark) i++;
    if (x->exact) return i;
    while (i < n && entries[i].mark == x->mark
           && tsu_term_compare(tsu_version_key(entries[i].word, root->keypos, &len), key->bytes) < 0) i++;
    return i;
}

static tsu_status leaf_split(tsu_kit *kit, tsu_tnode *node, tsu_content *c, unsigned skip, const tsu_leaf_entry *entries,
                             unsigned n, uint8_t run, const tsu_key *key, const tsu_seen *x)
{
    const uint8_t   *prefix = tsu_content_prefix(c);
    unsigned         at = entries_below(kit->root, entries, n, key, x);
    bool             in_order = run >= TSU_RUN_MIN || (at == n && c->right == NULL);
    unsigned         m = in_order ? at : n / 2;
    bool             goes_left = m < n && at <= m;
    tsu_key          sep = m == n ? *key : tsu_key_of(kit->root, tsu_mark_rebase(prefix, skip, 0, entries[m].mark),
                                                      entries[m].word);
    tsu_content     *left, *right;

    /* what loads in order leave behind stays full, and gets no room */
    left = tsu_leaf_build(kit, prefix, skip, entries, m, m == n ? n : tsu_leaf_cap(m), goes_left ? key : NULL, 0);
    if (left == NULL) return TSU_NOMEM;
    right = tsu_leaf_build(kit, prefix, skip, entries + m, n - m, m == 0 ? n : tsu_leaf_cap(n - m), goes_left ? NULL : key, 0);
    if (right == NULL) {
        tsu_content_drop(kit, left, true);
        return TSU_NOMEM;
    }
    left->run = right->run = run;
    return tsu_tree_swing_parts(kit, node, c, (tsu_content *[]){left, right}, (tsu_key[]){sep, sep}, 2) == TSU_LEAF_NOMEM
           ? TSU_NOMEM : TSU_OK;
}

tsu_status tsu_tree_renew(tsu_kit *kit, tsu_tnode *node, tsu_content *c, const tsu_key *key)
{
    tsu_leaf_entry entries[256];
    tsu_content   *next;
    tsu_key        like_none = {.exact = true};
    tsu_text       text = {.len = 0};
    tsu_seen       x = {key->mark, key->exact};
    unsigned       n = c->count + c->cap - c->used, skip, more = key->exact && c->skip == 0 ? 0 : TSU_TEXT_MAX;
    uint8_t        run;

    if (c->flags & TSU_TREE_MERGING) return help(kit, key, 0);
    /* The leaf that takes a MERGING neighbour in is not rewritten before it has: the merger who freezes its cells and the
     * writer who gives it fresh ones would go on for ever. */
    if (c->right != NULL && (tsu_node_content(c->right)->flags & TSU_TREE_MERGING)) return help(kit, key, 0);
    /* memory first: others wait for what is frozen */
    if (n > SPLIT_ABOVE) {
        if (!tsu_kit_reserve(kit, tsu_leaf_bytes(n) + more) || !tsu_kit_reserve(kit, n * sizeof(tsu_word))
            || !tsu_kit_reserve(kit, tsu_leaf_bytes((n + 1) / 2) + more)
            || !tsu_kit_reserve(kit, tsu_leaf_cap((n + 1) / 2) * sizeof(tsu_word))) return TSU_NOMEM;
    } else if (!tsu_kit_reserve(kit, tsu_leaf_bytes(n) + more)
               || !tsu_kit_reserve(kit, tsu_leaf_cap(n) * sizeof(tsu_word))) {
        return TSU_NOMEM;
    }
    if (tsu_node_content(node) != c) return TSU_OK;
    tsu_leaf_freeze(c);
    TSU_TREE_STEP(TSU_TREE_FROZEN);
    if (tsu_node_content(node) != c) return TSU_OK;
    skip = tsu_prefix_common(c, key, &text);
    if (skip > 0) {
        x.mark = tsu_text_mark(text.bytes, skip);
        x.exact = text.whole && text.len <= skip + 8u;
    }
    n = tsu_leaf_gather(kit->root, c, skip, entries, &run);
    if (n > SPLIT_ABOVE) return leaf_split(kit, node, c, skip, entries, n, run, key, &x);
    /* While keys that do not fit shorten the prefix nobody makes it longer: or two of them could go on for ever. */
    next = tsu_leaf_build(kit, tsu_content_prefix(c), skip, entries, n, tsu_leaf_cap(n), skip < c->skip ? &like_none : key,
                          n >= c->count ? tsu_content_bytes(c) : 0);
    if (next == NULL) return TSU_NOMEM;
    next->run = run;
    next->right = c->right;
    next->fence_mark = c->fence_mark;
    next->fence = c->fence;
    if (tsu_node_swing(node, c, next)) tsu_content_retire(kit, c, true);
    else tsu_content_drop(kit, next, true);
    return TSU_OK;
}

/* The same, not published yet, with a longer prefix if that helps. */
static __attribute__((noinline)) tsu_content *inner_prefixed(tsu_kit *kit, tsu_content *c)
{
    unsigned     n = c->count, ties = 0, left = 0, skip;
    tsu_content *next;
    tsu_text     text, other;

    if (n < PREFIX_CHILDREN_MIN || !(c->flags & TSU_TREE_KEYED)) return c;
    for (unsigned i = 2; i < n; i++) ties += c->marks[i] == c->marks[i - 1];
    if (ties < n / 4) return c;
    for (unsigned i = 1; i < n; i++)
        if (tsu_inner_key(c, i) == NULL) return c;
    tsu_order_text(tsu_inner_key(c, 1)->bytes, &text);
    tsu_order_text(tsu_inner_key(c, n - 1)->bytes, &other);
    skip = tsu_text_common(text.bytes, other.bytes, text.len < other.len ? text.len : other.len);
    if (skip == text.len && skip == other.len) return c;
    if (skip > TSU_SKIP_MAX) skip = TSU_SKIP_MAX;
    if (skip <= c->skip) return c;
    next = tsu_inner_make(kit, c->level, n, true, skip, tsu_content_bytes(c));
    if (next == NULL) return c;
    next->merge = c->merge;
    next->right = c->right;
    next->fence_mark = c->fence_mark;
    next->fence = c->fence;
    memcpy(tsu_content_prefix(next), text.bytes, skip);
    memcpy(tsu_inner_children(next), tsu_inner_children(c), n * sizeof(tsu_tnode *));
    memcpy(tsu_inner_keys(next), tsu_inner_keys(c), n * sizeof(tsu_sep *));
    next->marks[0] = 0;
    for (unsigned i = 1; i < n; i++) {
        tsu_order_text(tsu_inner_key(c, i)->bytes, &other);
        next->marks[i] = tsu_text_mark(other.bytes, skip);
        if (i > 1) left += next->marks[i] == next->marks[i - 1];
    }
    if (2 * left > ties) {
        tsu_content_drop(kit, next, false);
        return c;
    }
    tsu_content_drop(kit, c, false);
    return next;
}

/* Entries [from, to) of c; entry 0 of the result means nothing. */
static tsu_content *inner_part(tsu_kit *kit, const tsu_content *c, unsigned from, unsigned to)
{
    tsu_content *part = tsu_inner_make(kit, c->level, to - from, (c->flags & TSU_TREE_KEYED) != 0, c->skip, 0);

    if (part == NULL) return NULL;
    memcpy(tsu_content_prefix(part), tsu_content_prefix(c), c->skip);
    memcpy(part->marks, c->marks + from, (to - from) * sizeof(uint64_t));
    memcpy(tsu_inner_children(part), tsu_inner_children(c) + from, (to - from) * sizeof(tsu_tnode *));
    if (part->flags & TSU_TREE_KEYED) {
        memcpy(tsu_inner_keys(part), tsu_inner_keys(c) + from, (to - from) * sizeof(tsu_sep *));
        tsu_inner_keys(part)[0] = NULL;
    }
    part->marks[0] = 0;
    return inner_prefixed(kit, part);
}

static tsu_status inner_split(tsu_kit *kit, tsu_tnode *node, tsu_content *c, unsigned at)
{
    unsigned         n = c->count;
    unsigned         m = at + 1 == n && c->right == NULL ? n - 1 : n / 2;      /* loads in order: stay full */
    tsu_key          sep = sep_key(c, m);
    tsu_content     *left, *right;
    tsu_sep         *key;
    tsu_leaf_outcome outcome;

    left = inner_part(kit, c, 0, m);
    if (left == NULL) return TSU_NOMEM;
    right = inner_part(kit, c, m, n);
    if (right == NULL) {
        tsu_content_drop(kit, left, false);
        return TSU_NOMEM;
    }
    key = tsu_inner_key(c, m);
    outcome = tsu_tree_swing_parts(kit, node, c, (tsu_content *[]){left, right}, (tsu_key[]){sep, sep}, 2);
    if (outcome == TSU_LEAF_NOMEM) return TSU_NOMEM;
    if (outcome == TSU_LEAF_DONE) tsu_sep_retire(kit, key);
    return TSU_OK;
}

void tsu_tree_post(tsu_kit *kit, unsigned level, tsu_content *c)
{
    tsu_key    key = fence_key(c);
    tsu_tnode *child = c->right;

    for (;;) {
        tsu_tree_place p;
        tsu_content   *pc, *next;
        tsu_sep       *sep;
        unsigned       i, n, skip;
        uint64_t       seen;
        bool           ok;

        if (!tsu_tree_locate(kit->root, &key, level + 1, false, &p)) return;
        pc = p.content;
        if (pc->flags & TSU_TREE_MERGING) {
            if (help(kit, &key, level + 1) != TSU_OK) return;
            continue;
        }
        if (pc->merge != 0) {
            if (merge_finish(kit, p.node, pc) != TSU_OK) return;
            continue;
        }
        i = tsu_inner_child(pc, &key, &p.text, false);
        if (tsu_inner_children(pc)[i] == child) return;
        if (i > 0 && tsu_key_against(&key, tsu_first_mark(pc, i), tsu_inner_key(pc, i)) == 0) return;
        /* It may have been posted, merged away and retired while we were on the way. A merge needs it posted, so
         * either it is MERGING by now, or the content without it that we hold is out of date and the CAS fails. */
        if (tsu_node_content(child)->flags & TSU_TREE_MERGING) return;
        n = pc->count;
        if (n >= TSU_INNER_KEYS_MAX) {
            if (inner_split(kit, p.node, pc, i) != TSU_OK) return;
            continue;
        }
        sep = tsu_sep_make(kit, &key, &ok);
        if (!ok) return;
        skip = tsu_prefix_common(pc, &key, &p.text);
        seen = skip > 0 ? tsu_text_mark(p.text.bytes, skip) : key.mark;
        next = tsu_inner_make(kit, pc->level, n + 1, sep != NULL || (pc->flags & TSU_TREE_KEYED), skip, tsu_content_bytes(pc));
        if (next == NULL) {
            tsu_sep_drop(kit, sep);
            return;
        }
        next->right = pc->right;
        next->fence_mark = pc->fence_mark;
        next->fence = pc->fence;
        memcpy(tsu_content_prefix(next), tsu_content_prefix(pc), skip);
        for (unsigned from = 0, to = 0; from < n; from++, to++) {
            next->marks[to] = tsu_mark_rebase(tsu_content_prefix(pc), pc->skip, skip, pc->marks[from]);
            tsu_inner_children(next)[to] = tsu_inner_children(pc)[from];
            if (next->flags & TSU_TREE_KEYED) tsu_inner_keys(next)[to] = tsu_inner_key(pc, from);
            if (from != i) continue;
            to++;
            next->marks[to] = seen;
            tsu_inner_children(next)[to] = child;
            if (next->flags & TSU_TREE_KEYED) tsu_inner_keys(next)[to] = sep;
        }
        if (next->count % PREFIX_CHILDREN_MIN == 0) next = inner_prefixed(kit, next);
        if (tsu_node_swing(p.node, pc, next)) {
            tsu_content_retire(kit, pc, false);
            /* somebody did not get round to it, or had no memory */
            if (p.unposted != NULL) tsu_tree_post(kit, level + 1, p.unposted);
            return;
        }
        tsu_content_drop(kit, next, false);
        tsu_sep_drop(kit, sep);
    }
}

/* --- merging ---------------------------------------------------------------------------- */
/* Step 2. The content of a node that is marked is its last; a leaf's cells are frozen too. */
static tsu_status mark(tsu_kit *kit, tsu_tnode *node, tsu_content **out)
{
    tsu_content *c;

    for (;;) {
        tsu_content *marked;

        c = tsu_node_content(node);
        if (c->flags & TSU_TREE_MERGING) break;
        if (c->level > 0 && c->merge != 0) {
            tsu_status s = merge_finish(kit, node, c);      /* one level down, and so on */

            if (s != TSU_OK) return s;
            continue;
        }
        marked = tsu_content_twin(kit, c);
        if (marked == NULL) return TSU_NOMEM;
        marked->flags |= TSU_TREE_MERGING;
        if (tsu_node_swing(node, c, marked)) {
            tsu_content_retire(kit, c, false);
            c = marked;
            break;
        }
        tsu_content_drop(kit, marked, false);
    }
    TSU_TREE_STEP(TSU_TREE_MARKED);
    if (c->level == 0) tsu_leaf_freeze(c);
    *out = c;
    return TSU_OK;
}

static unsigned prefixes_common(const tsu_content *x, const tsu_content *r)
{
    return tsu_text_common(tsu_content_prefix(x), tsu_content_prefix(r), x->skip < r->skip ? x->skip : r->skip);
}

/* x and r, neighbours, as one content. Not inlined: its caller may stand on the stack once for each level. */
static __attribute__((noinline)) tsu_content *leaf_union(tsu_kit *kit, const tsu_content *x, const tsu_content *r)
{
    tsu_leaf_entry entries[512];
    unsigned       skip = prefixes_common(x, r), n = tsu_leaf_gather(kit->root, x, skip, entries, NULL);

    n += tsu_leaf_gather(kit->root, r, skip, entries + n, NULL);
    return tsu_leaf_build(kit, tsu_content_prefix(x), skip, entries, n, tsu_leaf_cap(n), NULL, 0);
}

static tsu_content *inner_union(tsu_kit *kit, const tsu_content *x, const tsu_content *r)
{
    bool         keyed = ((x->flags | r->flags) & TSU_TREE_KEYED) || x->fence != NULL;
    unsigned     n = x->count, skip = prefixes_common(x, r);
    tsu_key      fence = fence_key(x);
    tsu_text     text = {.len = 0};
    tsu_content *u;

    if (skip > 0) {
        unsigned too = tsu_prefix_common(x, &fence, &text);

        if (too < skip) skip = too;
    }
    u = tsu_inner_make(kit, x->level, n + r->count, keyed, skip, 0);
    if (u == NULL) return NULL;
    memcpy(tsu_content_prefix(u), tsu_content_prefix(x), skip);
    for (unsigned i = 0; i < n; i++) u->marks[i] = tsu_mark_rebase(tsu_content_prefix(x), x->skip, skip, x->marks[i]);
    for (unsigned i = 0; i < r->count; i++)
        u->marks[n + i] = tsu_mark_rebase(tsu_content_prefix(r), r->skip, skip, r->marks[i]);
    u->marks[n] = skip > 0 ? tsu_text_mark(text.bytes, skip) : x->fence_mark;
    memcpy(tsu_inner_children(u), tsu_inner_children(x), n * sizeof(tsu_tnode *));
    memcpy(tsu_inner_children(u) + n, tsu_inner_children(r), r->count * sizeof(tsu_tnode *));
    if (keyed) {
        for (unsigned i = 1; i < n; i++) tsu_inner_keys(u)[i] = tsu_inner_key(x, i);
        for (unsigned i = 1; i < r->count; i++) tsu_inner_keys(u)[n + i] = tsu_inner_key(r, i);
        tsu_inner_keys(u)[n] = x->fence;
    }
    return u;
}

/* Step 3. `r` is the marked content of node `right`, whose lower bound is `sep`; `x` is left of it or absorbs it. */
static tsu_status absorb(tsu_kit *kit, tsu_tnode *x, tsu_tnode *right, const tsu_content *r, const tsu_key *sep)
{
    for (;;) {
        tsu_content *xc = tsu_node_content(x), *u;

        if (xc->right != right) {
            if (xc->right == NULL || tsu_key_against(sep, xc->fence_mark, xc->fence) < 0) return TSU_OK;      /* done */
            x = xc->right;       /* a split of the left child that the parent does not know yet */
            continue;
        }
        if (xc->flags & TSU_TREE_MERGING) return TSU_OK;      /* the caller is out of date */
        if (xc->level == 0) {
            tsu_leaf_freeze(xc);
            TSU_TREE_STEP(TSU_TREE_FROZEN);
            if (tsu_node_content(x) != xc) continue;
            u = leaf_union(kit, xc, r);
        } else {
            if (xc->merge != 0) {
                tsu_status s = merge_finish(kit, x, xc);

                if (s != TSU_OK) return s;
                continue;
            }
            u = inner_union(kit, xc, r);
        }
        if (u == NULL) return TSU_NOMEM;
        u->right = r->right;
        u->fence_mark = r->fence_mark;
        u->fence = r->fence;
        if (tsu_node_swing(x, xc, u)) {
            if (xc->level == 0) tsu_sep_retire(kit, xc->fence);      /* an inner node's is now a key */
            tsu_content_retire(kit, xc, true);
            return TSU_OK;
        }
        tsu_content_drop(kit, u, true);
    }
}

/* The root takes over the content of its only child. If that has a neighbour by now, a copy of it moves under the root
 * together with the neighbour. */
static tsu_status collapse_finish(tsu_kit *kit, tsu_tnode *node, tsu_content *pc)
{
    tsu_leaf_entry entries[256];
    tsu_tnode     *child = tsu_inner_children(pc)[0], *moved = NULL;
    tsu_content   *c, *copy, *top = NULL;
    tsu_sep       *key = NULL;
    tsu_status     s = mark(kit, child, &c);
    bool           ok = true;

    if (s != TSU_OK) return s;
    if (tsu_node_content(node) != pc) return TSU_OK;
    if (c->level == 0) {
        unsigned n = tsu_leaf_gather(kit->root, c, c->skip, entries, NULL);

        copy = tsu_leaf_build(kit, tsu_content_prefix(c), c->skip, entries, n, tsu_leaf_cap(n), NULL, 0);
        if (copy != NULL) {
            copy->right = c->right;
            copy->fence_mark = c->fence_mark;
            copy->fence = c->fence;
        }
    } else {
        copy = tsu_content_twin(kit, c);
        if (copy != NULL) copy->flags &= TSU_TREE_KEYED;
    }
    if (copy == NULL) return TSU_NOMEM;
    if (c->right != NULL) {
        tsu_key fence = fence_key(c);

        key = tsu_sep_make(kit, &fence, &ok);
        moved = tsu_node_make(kit, copy);
        top = tsu_inner_make(kit, pc->level, 2, key != NULL, 0, 0);
        if (!ok || moved == NULL || top == NULL) {
            tsu_sep_drop(kit, key);
            tsu_node_drop(kit, moved);
            tsu_content_drop(kit, top, false);
            tsu_content_drop(kit, copy, true);
            return TSU_NOMEM;
        }
        top->marks[0] = 0;
        top->marks[1] = fence.mark;
        tsu_inner_children(top)[0] = moved;
        tsu_inner_children(top)[1] = c->right;
        if (key != NULL) tsu_inner_keys(top)[1] = key;
    }
    if (tsu_node_swing(node, pc, top != NULL ? top : copy)) {
        tsu_content_retire(kit, pc, false);
        tsu_content_retire(kit, c, true);
        tsu_node_retire(kit, child);
    } else {
        tsu_sep_drop(kit, key);
        tsu_node_drop(kit, moved);
        tsu_content_drop(kit, top, false);
        tsu_content_drop(kit, copy, true);
    }
    return TSU_OK;
}

/* Steps 2 to 4 for the merge that content pc of the node announces. On OK the node has another content. */
static tsu_status merge_finish(tsu_kit *kit, tsu_tnode *node, tsu_content *pc)
{
    unsigned     i = pc->merge;
    tsu_tnode   *right;
    tsu_content *r, *next;
    tsu_key      sep;
    tsu_status   s;

    if (i == TSU_TREE_COLLAPSE) return collapse_finish(kit, node, pc);
    right = tsu_inner_children(pc)[i];
    sep = sep_key(pc, i);
    if ((s = mark(kit, right, &r)) != TSU_OK) return s;
    if (tsu_node_content(node) != pc) return TSU_OK;
    if ((s = absorb(kit, tsu_inner_children(pc)[i - 1], right, r, &sep)) != TSU_OK) return s;
    TSU_TREE_STEP(TSU_TREE_ABSORBED);
    if (tsu_node_content(node) != pc) return TSU_OK;
    next = tsu_inner_make(kit, pc->level, pc->count - 1u, (pc->flags & TSU_TREE_KEYED) != 0, pc->skip, 0);
    if (next == NULL) return TSU_NOMEM;
    memcpy(tsu_content_prefix(next), tsu_content_prefix(pc), pc->skip);
    next->right = pc->right;
    next->fence_mark = pc->fence_mark;
    next->fence = pc->fence;
    for (unsigned from = 0, to = 0; from < pc->count; from++) {
        if (from == i) continue;
        next->marks[to] = pc->marks[from];
        tsu_inner_children(next)[to] = tsu_inner_children(pc)[from];
        if (next->flags & TSU_TREE_KEYED) tsu_inner_keys(next)[to] = tsu_inner_key(pc, from);
        to++;
    }
    if (tsu_node_swing(node, pc, next)) {
        tsu_sep_retire(kit, tsu_inner_key(pc, i));
        tsu_content_retire(kit, pc, false);
        tsu_content_retire(kit, r, true);
        tsu_node_retire(kit, right);
    } else {
        tsu_content_drop(kit, next, false);
    }
    return TSU_OK;
}

/* A content of `level` on the way to the key is MERGING: finishes that merge, or the one above it that is in its way. */
static tsu_status help(tsu_kit *kit, const tsu_key *key, unsigned level)
{
    for (;; level++) {
        tsu_tree_place p;

        if (!tsu_tree_locate(kit->root, key, level + 1, false, &p)) return TSU_OK;
        if (p.content->flags & TSU_TREE_MERGING) continue;
        return p.content->merge != 0 ? merge_finish(kit, p.node, p.content) : TSU_OK;
    }
}

/* --- shrinking ------------------------------------------------------------------------------ */
/* Children or keys, those of a tail included. */
static unsigned keys_in(const tsu_content *c) { return c->level == 0 ? tsu_leaf_total(c) : c->count; }

static bool fit_together(const tsu_content *a, const tsu_content *b)
{
    unsigned max = a->level == 0 ? TSU_LEAF_KEYS_MAX : TSU_INNER_KEYS_MAX;
    unsigned of_a = keys_in(a), of_b = keys_in(b), sum = of_a + of_b;

    /* with room left, or the next insert would split again; but a node with nothing in it always goes */
    if (of_a <= 1 || of_b <= 1) return sum <= max + 1;
    return sum <= max - max / 4;
}

/* Step 1, and then the others. True: children i-1 and i of content pc are one. */
static bool merge_pair(tsu_kit *kit, tsu_tnode *node, tsu_content *pc, unsigned i)
{
    tsu_tnode   *left = tsu_inner_children(pc)[i - 1], *right = tsu_inner_children(pc)[i];
    tsu_content *lc = tsu_node_content(left), *rc = tsu_node_content(right), *flagged;
    unsigned     sum = keys_in(lc) + keys_in(rc);

    if ((lc->flags | rc->flags) & TSU_TREE_MERGING) return false;
    if (lc->right != right || !fit_together(lc, rc)) return false;
    /* memory first: from the flag on others wait for the end */
    if (!tsu_kit_reserve(kit, tsu_content_bytes(rc))
        || !tsu_kit_reserve(kit, lc->level == 0 ? tsu_leaf_bytes(sum) + TSU_TEXT_MAX : tsu_inner_bytes(sum, true) + lc->skip)
        || (lc->level == 0 && !tsu_kit_reserve(kit, tsu_leaf_cap(sum) * sizeof(tsu_word)))
        || !tsu_kit_reserve(kit, tsu_content_bytes(pc))) return false;
    flagged = tsu_content_twin(kit, pc);
    if (flagged == NULL) return false;
    if (!tsu_kit_reserve(kit, tsu_content_bytes(pc))) {
        tsu_content_drop(kit, flagged, false);
        return false;
    }
    flagged->merge = (uint8_t)i;
    if (!tsu_node_swing(node, pc, flagged)) {
        tsu_content_drop(kit, flagged, false);
        return false;
    }
    tsu_content_retire(kit, pc, false);
    TSU_TREE_STEP(TSU_TREE_FLAGGED);
    return merge_finish(kit, node, flagged) == TSU_OK;
}

static void collapse(tsu_kit *kit, tsu_content *pc)
{
    tsu_content *c = tsu_node_content(tsu_inner_children(pc)[0]), *flagged;
    size_t       copied = tsu_content_bytes(c) + (c->level == 0 ? tsu_leaf_bytes(keys_in(c)) - tsu_leaf_bytes(c->count) : 0);

    if (!tsu_kit_reserve(kit, tsu_content_bytes(c)) || !tsu_kit_reserve(kit, copied)
        || (c->level == 0 && !tsu_kit_reserve(kit, tsu_leaf_cap(keys_in(c)) * sizeof(tsu_word)))) return;
    flagged = tsu_content_twin(kit, pc);
    if (flagged == NULL) return;
    flagged->merge = TSU_TREE_COLLAPSE;
    if (!tsu_node_swing(&kit->root->node, pc, flagged)) {
        tsu_content_drop(kit, flagged, false);
        return;
    }
    tsu_content_retire(kit, pc, false);
    TSU_TREE_STEP(TSU_TREE_FLAGGED);
    (void)collapse_finish(kit, &kit->root->node, flagged);
}

void tsu_tree_shrink(tsu_kit *kit, const tsu_key *key)
{
    unsigned level = 0;
    bool     alone = false;      /* a node below had no sibling to merge with: its parent gets it one */

    for (unsigned turns = 0; turns < 2 * TSU_LEVELS_MAX; turns++) {
        tsu_tree_place p;
        tsu_content   *pc;
        unsigned       i, left;

        if (!tsu_tree_locate(kit->root, key, level + 1, false, &p)) return;
        pc = p.content;
        if (pc->flags & TSU_TREE_MERGING) {
            (void)help(kit, key, level + 1);
            return;
        }
        if (pc->merge != 0) {
            (void)merge_finish(kit, p.node, pc);
            return;
        }
        if (pc->count == 1) {
            if (p.node == &kit->root->node) {
                collapse(kit, pc);
                if (!alone) return;
                alone = false;
                level = 0;
                continue;
            }
            alone = true;
            level++;
            continue;
        }
        i = tsu_inner_child(pc, key, &p.text, false);
        left = pc->count - 1u;
        if (!(i > 0 && merge_pair(kit, p.node, pc, i))) {
            if (i + 1u >= pc->count || tsu_node_content(p.node) != pc) return;
            if (!merge_pair(kit, p.node, pc, i + 1)) return;
        }
        if (alone) {
            alone = false;
            level = 0;
            continue;
        }
        if (p.node == &kit->root->node ? left > 1 : left >= TSU_INNER_KEYS_MAX / 2) return;
        if (p.node != &kit->root->node) level++;
    }
}
