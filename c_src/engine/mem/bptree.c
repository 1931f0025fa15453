/* bptree.c: ordered_set: what kind.h asks for, on the nodes of bptree_node.h. */
#include "mem/bptree_node.h"

/* --- hints ------------------------------------------------------------------------------ */
/* The leaf where this thread was last and the one to its left (0: not known), in its scratch words: walks and loads in order
 * mostly go on there, and need no way down. The nodes can still be used if no node of any tree has been retired since. */
enum { HINT_ROOT, HINT_NODE, HINT_LEFT, HINT_RETIREMENTS, HINT_INDEX, HINT_STAYED };

void tsu_tree_hint(tsu_thread *self, const tsu_root *root, const tsu_tnode *node, const tsu_tnode *left, uint64_t retirements,
                   unsigned index)
{
    self->scratch_word[HINT_STAYED] = self->scratch_word[HINT_NODE] == (uint64_t)(uintptr_t)node;
    self->scratch_word[HINT_ROOT] = (uint64_t)(uintptr_t)root;
    self->scratch_word[HINT_NODE] = (uint64_t)(uintptr_t)node;
    self->scratch_word[HINT_LEFT] = (uint64_t)(uintptr_t)left;
    self->scratch_word[HINT_RETIREMENTS] = retirements;
    self->scratch_word[HINT_INDEX] = index;
}

static bool hint_get(const tsu_thread *self, const tsu_root *root, uint64_t retirements, tsu_tree_place *out)
{
    if (self->scratch_word[HINT_ROOT] != (uint64_t)(uintptr_t)root) return false;
    if (self->scratch_word[HINT_RETIREMENTS] != retirements) return false;
    out->node = (tsu_tnode *)(uintptr_t)self->scratch_word[HINT_NODE];
    out->content = tsu_node_content(out->node);
    out->low_known = false;
    out->left = (tsu_tnode *)(uintptr_t)self->scratch_word[HINT_LEFT];
    out->unposted = NULL;
    out->text.len = 0;
    return (out->content->level | (out->content->flags & TSU_TREE_MERGING)) == 0;
}

/* Is the key in what lies between entry i and it? 0: it is entry i's. */
static bool entry_compare(const tsu_root *root, const tsu_content *c, unsigned i, const tsu_key *key, int *d)
{
    uint64_t word, mark;
    size_t   len;

    mark = tsu_first_mark(c, i);
    if (key->mark != mark) {
        *d = key->mark < mark ? -1 : 1;
        return true;
    }
    *d = 0;
    if (key->exact) return true;
    word = tsu_load_acquire(&c->cells[tsu_leaf_index(c)[i]]);
    if (!tsu_cell_holds_version(word)) return false;
    *d = tsu_term_compare(key->bytes, tsu_version_key(word, root->keypos, &len));
    return true;
}

/* Is entry i the key's? False negatives: it may be == to it and of other bytes. */
static bool entry_same(const tsu_root *root, const tsu_content *c, unsigned i, const tsu_key *key)
{
    const uint8_t *bytes;
    uint64_t       word;
    size_t         len;

    if (key->exact) return tsu_first_mark(c, i) == key->mark;
    word = tsu_load_acquire(&c->cells[tsu_leaf_index(c)[i]]);
    if (!tsu_cell_holds_version(word)) return false;
    bytes = tsu_version_key(word, root->keypos, &len);
    return len == key->len && memcmp(bytes, key->bytes, len) == 0;
}

/* Keys from a leaf's first one to its fence belong into it (T3). */
static bool leaf_covers(const tsu_root *root, const tsu_content *c, const tsu_key *key)
{
    int d;

    if (c->count == 0 || tsu_past_fence(c, key, false)) return false;
    return entry_compare(root, c, 0, key, &d) && d >= 0;
}

void tsu_tree_locate_near(tsu_thread *self, tsu_root *root, const tsu_key *key, uint64_t retirements,
                          tsu_tree_place *out)
{
    /* not worth a look where keys come at random */
    if (self->scratch_word[HINT_STAYED] && hint_get(self, root, retirements, out) && leaf_covers(root, out->content, key)) return;
    (void)tsu_tree_locate(root, key, 0, false, out);
}

/* --- one key -------------------------------------------------------------------------------- */
static tsu_status tree_create(tsu_thread *self, uint32_t keypos, tsu_root **out)
{
    tsu_root    *root = tsu_slab_alloc(self, sizeof *root);
    tsu_content *c;
    tsu_kit      kit;

    if (root == NULL) return TSU_NOMEM;
    memset(root, 0, sizeof *root);
    root->keypos = keypos;
    tsu_kit_open(&kit, self, root);
    c = tsu_leaf_build(&kit, NULL, 0, NULL, 0, tsu_leaf_cap(0), NULL, 0);
    kit.delta += (int64_t)tsu_slab_round(sizeof *root);
    tsu_kit_close(&kit);
    if (c == NULL) {
        tsu_slab_free(self, root, sizeof *root);
        return TSU_NOMEM;
    }
    tsu_store_release(&root->node.content, (uint64_t)(uintptr_t)c);
    *out = root;
    return TSU_OK;
}

static uint64_t tree_peek(tsu_thread *self, tsu_root *root, const tsu_key *key)
{
    tsu_tree_place place;
    tsu_leaf_place at;
    uint64_t       word;

    (void)tsu_tree_locate(root, key, 0, false, &place);
    tsu_leaf_search(root, place.content, key, &place.text, &at);
    /* by one key in 16: to go through a tail costs a lookup a tenth of what a fold does */
    if (TSU_UNLIKELY(at.end > place.content->used) && tsu_leaf_tag(at.mark) >> 60 == 0)
        (void)tsu_leaf_tidy(self, root, place.node, place.content);
    if (at.cell == NULL) return 0;
    word = tsu_load_acquire(at.cell);
    return tsu_cell_holds_version(word) ? word & (TSU_CELL_POINTER | TSU_CELL_KIND) : 0;
}

static uint64_t tree_find(tsu_thread *self, tsu_root *root, const tsu_key *key)
{
    return tsu_cell_resolve(self, tree_peek(self, root, key));
}

void tsu_tree_entry_drop(tsu_kit *kit, const tsu_tree_place *at, const tsu_key *key, tsu_word *cell)
{
    tsu_tree_place place;
    unsigned       before, left, total;

    TSU_TREE_STEP(TSU_TREE_CLOSED);
    if (!tsu_leaf_gone(at)) return;
    tsu_leaf_purge(kit, at, key, cell, &before, &left);
    /* not at every removal: the neighbours may be too full for long */
    if (left >= TSU_LEAF_KEYS_MAX / 2 || (left + 3) / 4 == (before + 3) / 4) return;
    tsu_tree_shrink(kit, key);
    (void)tsu_tree_locate(kit->root, key, 0, false, &place);
    total = tsu_leaf_total(place.content);
    if (total * 4 <= place.content->cap && place.content->cap > tsu_leaf_cap(total)
        && !(place.content->flags & TSU_TREE_MERGING))
        (void)tsu_tree_renew(kit, place.node, place.content, key);      /* into a smaller block */
}

static tsu_status tree_edit(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_edit *edit)
{
    uint64_t       retirements = tsu_load_acquire(&tsu_tree_retirements);
    tsu_status     s = TSU_OK;
    tsu_tree_place place;
    tsu_leaf_place at;
    tsu_kit        kit;
    bool           posted = false;

    tsu_kit_open(&kit, self, root);
    tsu_tree_locate_near(self, root, key, retirements, &place);
    for (;;) {
        if (place.unposted != NULL && !posted) {
            posted = true;
            tsu_tree_post(&kit, 0, place.unposted);
        }
        tsu_leaf_search(root, place.content, key, &place.text, &at);
        if (at.cell != NULL) {
            tsu_cell_outcome outcome = tsu_cell_edit(self, at.cell, 0, at.aux, TSU_CELL_CLOSED, edit);

            if (outcome == TSU_CELL_DONE) {
                if (edit->verdict == TSU_EDIT_REMOVE && tsu_leaf_cell_dead(tsu_leaf_cell_load(at.cell)))
                    tsu_tree_entry_drop(&kit, &place, key, at.cell);
                break;
            }
            if (outcome == TSU_CELL_BLOCKED) {
                s = TSU_AGAIN;
                break;
            }
            /* VACANT too: it was closed meanwhile, and is not used again (T2) */
            if (tsu_leaf_cell_load(at.cell) & TSU_CELL_FROZEN) {
                s = tsu_tree_renew(&kit, place.node, place.content, key);
                if (s != TSU_OK) break;
            }
        } else if (place.content->flags & TSU_TREE_MERGING) {
            s = tsu_tree_renew(&kit, place.node, place.content, key);
            if (s != TSU_OK) break;
        } else {
            tsu_leaf_outcome outcome;

            if (tsu_cell_edit_absent(self, edit) == TSU_CELL_DONE) break;
            outcome = tsu_leaf_insert(&kit, place.node, place.content, &at, edit->put);
            if (outcome == TSU_LEAF_DONE) {
                tsu_version_decide(tsu_cell_version(edit->put));
                break;
            }
            if (outcome == TSU_LEAF_FULL)
                s = tsu_tree_renew(&kit, place.node, place.content, key);
            if (outcome == TSU_LEAF_NOMEM) s = TSU_NOMEM;
            if (s != TSU_OK) break;
        }
        (void)tsu_tree_locate(root, key, 0, false, &place);
    }
    tsu_tree_hint(self, root, place.node, place.left, retirements, at.at);       /* for a walk that changes what it meets */
    tsu_kit_close(&kit);
    return s;
}

/* --- many keys ------------------------------------------------------------------------------------ */
/* Records lie anywhere in memory, most on pages of their own. To fetch one does not wait for it, but it does wait until its page
 * has been found, and that takes no longer for several at once. So a walk fetches records in groups, the next one when that is
 * a few steps away. A walk that begins fetches few, as it may be over soon, and the first group when it has gone on. */
#define WALK_GROUP 8
#define WALK_LEAD  4
#define WALK_BEGIN 3
#define WALK_AHEAD (WALK_LEAD + WALK_GROUP)

static inline void fetch_lines(const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch((const char *)from + i);
}

/* Any cell may be the next entry's. */
static inline void fetch_cells(const tsu_content *c) { fetch_lines(c->cells, c->used * sizeof *c->cells); }

/* Up to n entries from i on. Small records may lie in two lines. */
static inline void fetch_records(const tsu_content *c, unsigned i, unsigned n, bool backward)
{
    const uint8_t *index = tsu_leaf_index(c);

    for (; n > 0 && i < c->count; n--, i += backward ? ~0u : 1u) {        /* also below 0 */
        const char *record = (const char *)tsu_cell_version(tsu_load_relaxed(&c->cells[index[i]]));

        __builtin_prefetch(record);
        __builtin_prefetch(record + 24);
    }
}

/* The leaf that comes next is fetched in parts, each found by the one before, a group apart. It begins in `left` steps. */
static __attribute__((noinline)) void walk_fetch_leaf(const tsu_tnode *node, unsigned left, bool backward)
{
    const tsu_content *next;

    if (node == NULL || left >= WALK_AHEAD + 3 * WALK_GROUP) return;
    if (left >= WALK_AHEAD + 2 * WALK_GROUP) {
        __builtin_prefetch(node);
        return;
    }
    next = tsu_node_content(node);
    if (left >= WALK_AHEAD + WALK_GROUP) {
        __builtin_prefetch(next);
    } else if (next->level > 0) {                          /* it was the root, and has grown */
        return;
    } else if (left >= WALK_AHEAD) {
        fetch_lines(tsu_leaf_index(next), next->count);
        fetch_cells(next);
    } else {
        unsigned first = left < WALK_LEAD ? WALK_LEAD - left : 0;

        fetch_records(next, backward ? next->count - 1u - first : first, WALK_AHEAD - left - first, backward);
    }
}

/* A group, at entry i; `next`: the leaf in that direction, if known; begins: the walk's first one. */
static inline void walk_fetch(const tsu_content *c, const tsu_tnode *next, unsigned i, bool backward, bool begins)
{
    unsigned left = backward ? i + 1 : c->count - i;

    if (left > WALK_LEAD) fetch_records(c, backward ? i - WALK_LEAD : i + WALK_LEAD, WALK_GROUP, backward);
    if (left >= WALK_AHEAD + 3 * WALK_GROUP) return;
    if (begins)                                            /* what would have been fetched before */
        for (unsigned before = 3; before > 0; before--) walk_fetch_leaf(next, left + before * WALK_GROUP, backward);
    walk_fetch_leaf(next, left, backward);
}

/* The first entry to visit, going on from the key. */
static int walk_begin(const tsu_root *root, tsu_tree_place *p, const tsu_key *key, bool backward)
{
    const tsu_content *c = p->content;
    tsu_leaf_place     at;

    if (key == NULL) return backward ? c->count - 1 : 0;
    tsu_leaf_search_entries(root, c, key, &p->text, &at);
    if (backward) return (int)at.at - 1;
    return (int)at.at + (at.cell != NULL);
}

static bool walk_resume(tsu_thread *self, tsu_root *root, const tsu_key *key, bool backward,
                        uint64_t retirements, tsu_tree_place *place, int *i)
{
    unsigned index = (unsigned)self->scratch_word[HINT_INDEX];

    if (!hint_get(self, root, retirements, place) || tsu_leaf_tailed(place->content)) return false;
    if (index < place->content->count && entry_same(root, place->content, index, key)) {
        *i = (int)index + (backward ? -1 : 1);
        return true;
    }
    if (!leaf_covers(root, place->content, key)) return false;
    *i = walk_begin(root, place, key, backward);
    return true;
}

static bool tree_trail(tsu_thread *self, tsu_root *root, tsu_direction direction, tsu_trail *trail)
{
    uint64_t           last = self->scratch_word[HINT_INDEX], next, word;
    unsigned           step = direction == TSU_BACKWARD ? ~0u : 1u;
    tsu_tree_place     place;
    const tsu_content *c;
    const uint8_t     *index;

    if (!hint_get(self, root, tsu_load_acquire(&tsu_tree_retirements), &place)) return false;
    c = place.content;
    index = tsu_leaf_index(c);
    next = (unsigned)last + step;
    if (last >= c->count || next >= c->count) return false;          /* also below 0 */
    if (tsu_leaf_tailed(c)) return false;                            /* a key of the tail may stand between the two */
    word = tsu_load_acquire(&c->cells[index[last]]);
    if (!tsu_cell_holds_version(word)) return false;
    trail->key = tsu_object_key_begin(tsu_version_object(word), root->keypos);
    word = tsu_cell_resolve(self, tsu_load_acquire(&c->cells[index[next]]));
    if (word == 0 || tsu_node_content(place.node) != c || tsu_leaf_tailed(c)) return false;
    trail->word = word;
    trail->index = &self->scratch_word[HINT_INDEX];
    trail->next = next;
    self->scratch_word[HINT_STAYED] = true;
    if (next % WALK_GROUP == 0)
        walk_fetch(c, step == 1 ? c->right : place.left, (unsigned)next, step != 1, false);
    return true;
}

/* A leaf as it was read: its content, and where the tail of that ended. */
typedef struct leaf_read {
    const tsu_tnode   *node;
    const tsu_content *content;
    unsigned           end;
} leaf_read;

#define PASSED_MAX     8
#define BEGINNINGS_MAX 16

/* What a walk has met before it shows anything. The first that it shows is what comes next at some moment only if at that moment no key
 * has come into these leaves since, and what had no version in it still has none. Of many it is not looked at, nor when others have
 * been faster many times. */
typedef struct passed {
    leaf_read leaves[PASSED_MAX];
    struct { const tsu_word *cell; uint64_t word; } cells[PASSED_MAX];
    unsigned  leaf_count, cell_count, beginnings;
    bool      many;
} passed;

static void passed_clear(passed *before)
{
    before->leaf_count = before->cell_count = 0;
    before->many = false;
}

static void passed_leaf(passed *before, const tsu_tnode *node, const tsu_content *c, unsigned end)
{
    if (before->leaf_count == PASSED_MAX) before->many = true;
    else before->leaves[before->leaf_count++] = (leaf_read){node, c, end};
}

/* The leaf's content as a walk goes through it; before: NULL, or of a walk that has not shown anything yet. */
static inline tsu_content *leaf_enter(tsu_thread *self, tsu_root *root, const tsu_tree_place *p, tsu_leaf_view *view, passed *before)
{
    tsu_content *c = p->content, *straight;
    unsigned     end;

    if (before == NULL) return tsu_leaf_straight(self, root, p->node, c, view);
    end = tsu_leaf_tail_end(c);
    straight = tsu_leaf_straight(self, root, p->node, c, view);
    if (straight == (tsu_content *)(void *)view->words) passed_leaf(before, p->node, c, end);
    else passed_leaf(before, p->node, straight, straight->used);
    return straight;
}

static void passed_cell(passed *before, const tsu_word *cell, uint64_t word)
{
    if (tsu_leaf_cell_dead(word)) return;               /* for good */
    if (before->cell_count == PASSED_MAX) {
        before->many = true;
        return;
    }
    before->cells[before->cell_count].cell = cell;
    before->cells[before->cell_count++].word = word;
}

static bool passed_same(const passed *before, tsu_thread *self)
{
    for (unsigned i = 0; i < before->leaf_count; i++) {
        const leaf_read   *l = &before->leaves[i];
        const tsu_content *c = l->content;

        if (tsu_node_content(l->node) != c || (c->flags & TSU_TREE_MERGING)) return false;
        if (l->end < c->cap && !tsu_leaf_cell_unused(tsu_load_acquire(&c->cells[l->end]))) return false;
    }
    for (unsigned i = 0; i < before->cell_count; i++) {
        uint64_t word = tsu_load_acquire(before->cells[i].cell);

        if (word != before->cells[i].word || tsu_cell_resolve(self, word) != 0) return false;
    }
    return true;
}

/* Does a walk have to begin anew, now that it is about to show something, or to end with nothing? */
static bool passed_wrong(passed *before, tsu_thread *self)
{
    return !before->many && self->view == NULL && !passed_same(before, self) && ++before->beginnings < BEGINNINGS_MAX;
}

static void tree_walk(tsu_thread *self, tsu_root *root, const tsu_key *from, tsu_direction direction,
                      size_t budget, tsu_visit_fn visit, void *ctx, bool *done)
{
    uint64_t       retirements = tsu_load_acquire(&tsu_tree_retirements);
    bool           backward = direction == TSU_BACKWARD;
    int            step = backward ? -1 : 1, i;
    size_t         steps = 0;
    tsu_tree_place p;
    tsu_key        at;
    const tsu_key *key = from;         /* or &at */
    tsu_leaf_view  view;
    passed         before;
    bool           seen = false, begins = true;
    unsigned       until = budget > 1 ? WALK_BEGIN : 0;       /* steps to the next group; 0: one step, which others may follow */
    uint64_t       last_word = 0;      /* what was shown last, if `at` is not yet that */

    *done = false;
    passed_clear(&before);
    before.beginnings = 0;
    if (key != NULL && walk_resume(self, root, key, backward, retirements, &p, &i)) {
        passed_leaf(&before, p.node, p.content, p.content->used);
        goto landed;
    }
    goto land;
again:
    passed_clear(&before);
    key = from;
land:
    if (last_word != 0) {
        at = tsu_key_of_version(root, last_word);
        key = &at;
        last_word = 0;
    }
    (void)tsu_tree_locate(root, key, 0, backward, &p);
    if (begins && until > 0) fetch_cells(p.content);
    p.content = leaf_enter(self, root, &p, &view, seen ? NULL : &before);
    i = walk_begin(root, &p, key, backward);
landed:
    if (begins && until > 0) fetch_records(p.content, (unsigned)i, WALK_LEAD + WALK_BEGIN - 1, backward);
    for (;;) {
        const tsu_content *c = p.content;
        const tsu_tnode   *next = backward ? p.left : c->right;
        const uint8_t     *index = tsu_leaf_index(c);

        for (; i >= 0 && i < c->count; i += step) {
            const tsu_word *cell = &c->cells[index[i]];
            uint64_t        there = tsu_load_acquire(cell), word = tsu_cell_resolve(self, there);

            if (TSU_UNLIKELY(until == 0)) {
                fetch_records(c, backward ? (unsigned)i - WALK_LEAD : (unsigned)i + WALK_LEAD, 1, backward);
            } else if (--until == 0) {
                walk_fetch(c, next, (unsigned)i, backward, begins);
                begins = false;
                until = WALK_GROUP;
            }
            steps++;
            if (word != 0) {
                if (!seen && passed_wrong(&before, self)) goto again;
                seen = true;
                last_word = word;
                if (!visit(ctx, word) || steps >= budget) {
                    tsu_tree_hint(self, root, p.node, p.left, retirements, (unsigned)i);
                    return;
                }
                /* Of a commit that showed in this entry the others must show too: they do if nothing has been put
                 * into the leaf since its content was read. A MERGING leaf does not tell. */
                if (tsu_node_content(p.node) != c || (c->flags & TSU_TREE_MERGING) || tsu_leaf_tailed(c)) goto land;
            } else if (!seen) {
                passed_cell(&before, cell, there);
            } else if (steps >= budget) {
                return;
            }
        }
        steps++;
        if (!backward) {
            if (c->right == NULL) break;
            p.left = p.node;
            p.node = c->right;
            p.content = tsu_node_content(p.node);
            p.content = leaf_enter(self, root, &p, &view, seen ? NULL : &before);
            i = 0;
            continue;
        }
        if (!p.low_known) goto land;
        if (p.low_none) break;
        at = tsu_key_of_sep(p.low_mark, p.low);
        key = &at;
        last_word = 0;
        goto land;
    }
    if (!seen && passed_wrong(&before, self)) goto again;
    *done = true;
}

typedef struct count_ctx {
    uint64_t     left;
    bool         found;
    tsu_visit_fn visit;
    void        *ctx;
} count_ctx;

static bool count_visit(void *arg, uint64_t word)
{
    count_ctx *c = arg;

    if (c->left-- > 0) return true;
    c->found = true;
    (void)c->visit(c->ctx, word);
    return false;
}

static void tree_slot(tsu_thread *self, tsu_root *root, uint64_t index, tsu_visit_fn visit, void *ctx, int *past)
{
    count_ctx c = {.left = index, .visit = visit, .ctx = ctx};
    bool      done;

    tree_walk(self, root, NULL, TSU_FORWARD, SIZE_MAX, count_visit, &c, &done);
    *past = c.found ? 0 : c.left == 0 ? 1 : 2;
}

static size_t tree_bytes(tsu_root *root)
{
    uint64_t sum = 0;

    for (int i = 0; i < TSU_TREE_STRIPES; i++) sum += tsu_load_relaxed(&root->bytes[i]);
    return (size_t)sum;
}

const tsu_kind tsu_kind_tree = {
    .name = "ordered_set",
    .create = tree_create,
    .reap = tsu_tree_reap,
    .bytes = tree_bytes,
    .find = tree_find,
    .edit = tree_edit,
    .install = tsu_tree_install,
    .install_run = tsu_tree_install_run,
    .restore = tsu_tree_restore,
    .peek = tree_peek,
    .walk = tree_walk,
    .trail = tree_trail,
    .slot = tree_slot,
    .verify = tsu_tree_verify,
};
