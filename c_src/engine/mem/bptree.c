/* bptree.c: ordered_set: what kind.h asks for, on the nodes of bptree_node.h. */
#include "mem/bptree_node.h"

/* --- hints ------------------------------------------------------------------------------ */
/* The leaf where this thread was last, in its scratch words: walks and loads in order mostly go on there, and need no way
 * down. The node can still be used if no node of any tree has been retired since. */
enum { HINT_ROOT, HINT_NODE, HINT_RETIREMENTS, HINT_INDEX, HINT_STAYED };

void tsu_tree_hint(tsu_thread *self, const tsu_root *root, const tsu_tnode *node, uint64_t retirements, unsigned index)
{
    self->scratch_word[HINT_STAYED] = self->scratch_word[HINT_NODE] == (uint64_t)(uintptr_t)node;
    self->scratch_word[HINT_ROOT] = (uint64_t)(uintptr_t)root;
    self->scratch_word[HINT_NODE] = (uint64_t)(uintptr_t)node;
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
    tsu_tree_hint(self, root, place.node, retirements, at.at);       /* for a walk that changes what it meets */
    tsu_kit_close(&kit);
    return s;
}

/* --- many keys ------------------------------------------------------------------------------------ */
#define WALK_AHEAD 4

/* The next leaf is fetched while the last entries of this one, `left` of them, are visited: each part when what leads to it may
 * have come. */
static __attribute__((noinline)) void walk_fetch_leaf(const tsu_content *c, unsigned left)
{
    const tsu_content *next;

    if (c->right == NULL) return;
    if (left == 2 * WALK_AHEAD) {
        __builtin_prefetch(c->right);
        return;
    }
    next = tsu_node_content(c->right);
    if (left > WALK_AHEAD) {
        __builtin_prefetch(next);
    } else if (left > 2) {
        __builtin_prefetch(tsu_leaf_index(next));
        __builtin_prefetch(next->cells);
    } else if (next->count > 2) {
        __builtin_prefetch(tsu_cell_version(tsu_load_relaxed(&next->cells[tsu_leaf_index(next)[2 - left]])));
    }
}

/* Records lie anywhere in memory: the one that comes a few steps after entry i. Serves also the walks that will go on from
 * here. */
static inline void walk_fetch(const tsu_content *c, const uint8_t *index, unsigned i, unsigned step)
{
    unsigned ahead = i + WALK_AHEAD * step;

    if (ahead < c->count) __builtin_prefetch(tsu_cell_version(tsu_load_relaxed(&c->cells[index[ahead]])));
    if (TSU_UNLIKELY(step == 1 && ahead + WALK_AHEAD >= c->count)) walk_fetch_leaf(c, c->count - i);
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
    if (word == 0) return false;
    trail->word = word;
    trail->index = &self->scratch_word[HINT_INDEX];
    trail->next = next;
    self->scratch_word[HINT_STAYED] = true;
    walk_fetch(c, index, (unsigned)next, step);
    return true;
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
    bool           seen = false;
    uint64_t       last_word = 0;      /* what was shown last, if `at` is not yet that */

    *done = false;
    if (key != NULL && walk_resume(self, root, key, backward, retirements, &p, &i)) goto landed;
land:
    if (last_word != 0) {
        at = tsu_key_of_version(root, last_word);
        key = &at;
        last_word = 0;
    }
    (void)tsu_tree_locate(root, key, 0, backward, &p);
    p.content = tsu_leaf_straight(self, root, p.node, p.content, &view);
    i = walk_begin(root, &p, key, backward);
landed:
    for (;;) {
        const tsu_content *c = p.content;
        const uint8_t     *index = tsu_leaf_index(c);

        for (; i >= 0 && i < c->count; i += step) {
            uint64_t word = tsu_cell_resolve(self, tsu_load_acquire(&c->cells[index[i]]));

            walk_fetch(c, index, (unsigned)i, (unsigned)step);
            steps++;
            if (word != 0) {
                seen = true;
                last_word = word;
                if (!visit(ctx, word) || steps >= budget) {
                    tsu_tree_hint(self, root, p.node, retirements, (unsigned)i);
                    return;
                }
                /* Of a commit that showed in this entry the others must show too: they do if nothing has been put
                 * into the leaf since its content was read. A MERGING leaf does not tell. */
                if (tsu_node_content(p.node) != c || (c->flags & TSU_TREE_MERGING) || tsu_leaf_tailed(c)) goto land;
            } else if (seen && steps >= budget) {
                return;
            }
        }
        steps++;
        if (!backward) {
            if (c->right == NULL) break;
            p.node = c->right;
            p.content = tsu_leaf_straight(self, root, p.node, tsu_node_content(p.node), &view);
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
