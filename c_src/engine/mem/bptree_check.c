/* bptree_check.c: taking a tree apart, checking it, drawing it. */
#include "mem/bptree_node.h"

/* --- reap --------------------------------------------------------------------------------- */
static void put_away(tsu_thread *self, tsu_content *c)
{
    if (c->cells != NULL) tsu_slab_free(self, c->cells, c->cap * sizeof(tsu_word));
    tsu_slab_free(self, c, tsu_content_bytes(c));
}

static void put_away_sep(tsu_thread *self, tsu_sep *s)
{
    if (s != NULL) tsu_slab_free(self, s, s->held);
}

/* Of a leaf's i-th key: entries, then the tail. */
static unsigned cell_of(const tsu_content *c, unsigned i)
{
    return i < c->count ? tsu_leaf_index(c)[i] : i - c->count + c->used;
}

/* A merge stopped after its third step: the child is in no chain of right links any more. */
static bool absorbed(const tsu_content *pc)
{
    unsigned           i = pc->merge;
    tsu_key            sep = tsu_key_of_sep(tsu_first_mark(pc, i), tsu_inner_key(pc, i));
    const tsu_tnode   *right = tsu_inner_children(pc)[i];
    const tsu_content *x = tsu_node_content(tsu_inner_children(pc)[i - 1]);

    if (!(tsu_node_content(right)->flags & TSU_TREE_MERGING)) return false;
    while (x->right != right) {
        if (x->right == NULL || tsu_key_against(&sep, x->fence_mark, x->fence) < 0) return true;
        x = tsu_node_content(x->right);
    }
    return false;
}

/* From the top down, each level from left to right. */
bool tsu_tree_reap(tsu_thread *self, tsu_root *root, size_t budget,
                   void (*release_version)(tsu_thread *self, uint64_t word))
{
    size_t pieces = 0;

    (void)tsu_fetch_add(&tsu_tree_retirements, 1);      /* hints into this tree, or one that gets its memory */
    if (root->reap_state == 0) {
        root->reap_state = 1;
        root->reap_next = &root->node;
    }
    while (root->reap_next != NULL) {
        tsu_tnode   *node = root->reap_next;
        tsu_content *c = tsu_node_content(node);

        if (pieces >= budget) return false;
        pieces += c->count + 1u;
        if (c->level > 0) {
            if (root->reap_below == NULL) root->reap_below = tsu_inner_children(c)[0];
            if (c->merge != 0 && c->merge != TSU_TREE_COLLAPSE && absorbed(c)) {
                tsu_tnode *gone = tsu_inner_children(c)[c->merge];

                put_away(self, tsu_node_content(gone));
                tsu_slab_free(self, gone, sizeof *gone);
            }
            for (unsigned i = 1; i < c->count; i++) put_away_sep(self, tsu_inner_key(c, i));
        } else {
            for (unsigned i = 0; i < tsu_leaf_total(c); i++) {
                uint64_t word = tsu_load_acquire(&c->cells[cell_of(c, i)]);

                if (tsu_cell_holds_version(word)) release_version(self, tsu_cell_bare(word));
            }
        }
        put_away_sep(self, c->fence);
        root->reap_next = c->right;
        if (root->reap_next == NULL) {
            root->reap_next = root->reap_below;
            root->reap_below = NULL;
        }
        put_away(self, c);
        if (node != &root->node) tsu_slab_free(self, node, sizeof *node);
    }
    tsu_slab_free(self, root, sizeof *root);
    return true;
}

/* --- verify --------------------------------------------------------------------------------- */
typedef struct check {
    tsu_root   *root;
    const char *fault;
    uint64_t    bytes;
    bool        low_none;
    tsu_key     low;
} check;

#define FAULT_IF(cond, text) do { if (cond) return (text); } while (0)

/* Is the content's i-th mark what it shows of the key? */
static bool shows(const tsu_content *c, unsigned i, const tsu_key *key)
{
    tsu_text text = {.len = 0};
    tsu_seen x;

    return tsu_key_seen(c, key, &text, &x) == 0 && x.mark == c->marks[i];
}

/* A version in a leaf: is it where it belongs? `aux`: what a word of the tail has. */
static const char *check_version(const check *k, const tsu_content *c, uint64_t word, tsu_key *key, uint64_t *aux)
{
    tsu_text text = {.len = 0};
    tsu_seen x;

    *key = tsu_key_of_version(k->root, word);
    FAULT_IF(tsu_key_seen(c, key, &text, &x) != 0, "T1: a key does not have the prefix");
    *aux = tsu_leaf_tag(x.mark);
    FAULT_IF(!k->low_none && key->mark < k->low.mark, "T1: a mark is below the lower bound");
    FAULT_IF(!k->low_none && tsu_term_compare(key->bytes, k->low.bytes ? k->low.bytes : key->bytes) < 0,
             "T1: a key is below the lower bound");
    FAULT_IF(tsu_past_fence(c, key, false), "T1: a key is beyond the fence");
    return NULL;
}

static const char *check_tail(const check *k, const tsu_content *c)
{
    unsigned end = tsu_leaf_tail_end(c);

    for (unsigned i = c->used; i < end; i++) {
        uint64_t       word = tsu_load_acquire(&c->cells[i]), aux;
        tsu_leaf_place at;
        tsu_key        key;
        tsu_text       text = {.len = 0};
        const char    *fault;

        if (!tsu_cell_holds_version(word)) continue;
        fault = check_version(k, c, word, &key, &aux);
        if (fault != NULL) return fault;
        FAULT_IF((word & TSU_CELL_AUX) != aux, "T1: a word of the tail does not tell its key's mark");
        tsu_leaf_search(k->root, c, &key, &text, &at);
        FAULT_IF(at.cell != &c->cells[i], "T1: a key of the tail is there twice");
    }
    for (unsigned i = end; i < c->cap; i++)
        FAULT_IF(!tsu_leaf_cell_unused(tsu_load_acquire(&c->cells[i])), "T2: a cell behind an unused one is used");
    return NULL;
}

static const char *check_leaf(check *k, const tsu_content *c)
{
    const uint8_t *index = tsu_leaf_index(c);
    bool           taken[256] = {false};
    uint64_t       before_word = 0;

    FAULT_IF(c->used > c->cap, "T2: more cells used than there are");
    for (unsigned i = 0; i < c->count; i++) {
        const char *fault;
        uint64_t    word, aux;
        tsu_key     key;
        size_t      len;

        FAULT_IF(index[i] >= c->used, "T2: an entry's cell is in the tail");
        FAULT_IF(taken[index[i]], "T1: two entries have one cell");
        taken[index[i]] = true;
        FAULT_IF(i > 0 && c->marks[i] < c->marks[i - 1], "T1: marks of a leaf are not in order");
        FAULT_IF(!k->low_none && tsu_first_mark(c, i) < k->low.mark, "T1: a mark is below the lower bound");
        FAULT_IF(c->right != NULL && tsu_first_mark(c, i) > c->fence_mark, "T1: a mark is beyond the fence");
        word = tsu_load_acquire(&c->cells[index[i]]);
        FAULT_IF(tsu_leaf_cell_unused(word), "T2: an entry has an unused cell");
        if (!tsu_cell_holds_version(word)) continue;
        fault = check_version(k, c, word, &key, &aux);
        if (fault != NULL) return fault;
        FAULT_IF(!shows(c, i, &key), "T1: a mark is not its key's");
        FAULT_IF((word & TSU_CELL_AUX) != 0 && (word & TSU_CELL_AUX) != aux, "T1: a word was in a tail with another mark");
        FAULT_IF(before_word != 0
                 && tsu_term_compare(tsu_version_key(before_word, k->root->keypos, &len), key.bytes) >= 0,
                 "T1: keys of a leaf are not in order, or one is there twice");
        before_word = word;
    }
    k->bytes += c->cap * sizeof(tsu_word);
    return check_tail(k, c);
}

/* `cursor`: the node of the level below that comes next; moves over the children of c and what is not posted. */
static const char *check_inner(check *k, const tsu_content *c, tsu_tnode **cursor)
{
    tsu_tnode **children = tsu_inner_children(c);

    FAULT_IF(c->count == 0, "an inner node has no children");
    FAULT_IF(children[0] != *cursor, "a parent's first child is not the next of its level");
    for (unsigned i = 0; i < c->count; i++) {
        tsu_content *cc = tsu_node_content(children[i]), *before = NULL;

        FAULT_IF(cc->level + 1u != c->level, "a child is of the wrong level");
        if (i > 0) {
            tsu_key key = tsu_key_of_sep(tsu_first_mark(c, i), tsu_inner_key(c, i));

            FAULT_IF(!shows(c, i, &key), "a mark or the prefix is not its separator's");
            FAULT_IF(i > 1 && tsu_key_against(&key, tsu_first_mark(c, i - 1), tsu_inner_key(c, i - 1)) <= 0,
                     "separators are not in order");
            FAULT_IF(!k->low_none && tsu_key_against(&key, k->low.mark, NULL) < 0,
                     "a separator is below the lower bound");
            FAULT_IF(tsu_past_fence(c, &key, false), "a separator is beyond the fence");
            if (c->merge == i && absorbed(c)) {
                k->bytes += tsu_content_bytes(cc) + sizeof(tsu_tnode) + cc->cap * sizeof(tsu_word);
            } else {
                while (*cursor != NULL && *cursor != children[i]) {
                    before = tsu_node_content(*cursor);
                    *cursor = before->right;
                }
                FAULT_IF(*cursor == NULL, "a child is not in the chain of its level");
                FAULT_IF(before == NULL, "a child stands before its left neighbour");
                FAULT_IF(tsu_key_against(&key, before->fence_mark, before->fence) != 0,
                         "a separator is not its left neighbour's fence");
            }
            if (tsu_inner_key(c, i) != NULL) k->bytes += tsu_inner_key(c, i)->held;
        }
    }
    /* to the end of this parent's part, over what is not posted */
    while (*cursor != NULL) {
        tsu_content *cc = tsu_node_content(*cursor);
        tsu_key      fence = tsu_key_of_sep(cc->fence_mark, cc->fence);

        *cursor = cc->right;
        if (cc->right == NULL || c->right == NULL) continue;
        if (tsu_key_against(&fence, c->fence_mark, c->fence) == 0) break;
        FAULT_IF(tsu_past_fence(c, &fence, false), "a child reaches beyond its parent's fence");
    }
    return NULL;
}

static const char *check_level(check *k, tsu_tnode *node, tsu_tnode *below)
{
    k->low_none = true;
    for (; node != NULL;) {
        tsu_content *c = tsu_node_content(node);
        const char  *fault;

        FAULT_IF(c->granules * 8u < (c->level == 0 ? tsu_leaf_bytes(c->count)
                                                   : tsu_inner_bytes(c->count, c->flags & TSU_TREE_KEYED))
                                     + tsu_prefix_bytes(c->skip),
                 "a content is shorter than what is in it");
        fault = c->level == 0 ? check_leaf(k, c) : check_inner(k, c, &below);
        if (fault != NULL) return fault;
        k->bytes += tsu_content_bytes(c) + (node != &k->root->node ? sizeof(tsu_tnode) : 0);
        if (c->fence != NULL) k->bytes += c->fence->held;
        if (c->right != NULL) {
            tsu_key fence = tsu_key_of_sep(c->fence_mark, c->fence);

            FAULT_IF(!k->low_none && tsu_key_against(&fence, k->low.mark, NULL) < 0, "fences are not in order");
            k->low = fence;
            k->low_none = false;
        }
        node = c->right;
    }
    FAULT_IF(below != NULL, "a level has more nodes than its parents know of");
    return NULL;
}

static tsu_tnode *first_of_level(tsu_root *root, unsigned level)
{
    tsu_tnode *node = &root->node;

    while (tsu_node_content(node)->level > level) node = tsu_inner_children(tsu_node_content(node))[0];
    return node;
}

const char *tsu_tree_verify(tsu_thread *self, tsu_root *root)
{
    check       k = {.root = root, .bytes = tsu_slab_round(sizeof *root)};
    unsigned    height = tsu_node_content(&root->node)->level;
    const char *fault;

    (void)self;
    FAULT_IF(tsu_node_content(&root->node)->right != NULL, "the root has a neighbour");
    for (unsigned level = 0; level <= height; level++) {
        fault = check_level(&k, first_of_level(root, level), level > 0 ? first_of_level(root, level - 1) : NULL);
        if (fault != NULL) return fault;
    }
    FAULT_IF(k.bytes != tsu_kind_tree.bytes(root), "bytes: the count is not what is there");
    return NULL;
}

/* --- for people ------------------------------------------------------------------------------- */
void tsu_tree_shape_get(tsu_root *root, tsu_tree_shape *out)
{
    unsigned top = tsu_node_content(&root->node)->level;

    memset(out, 0, sizeof *out);
    out->height = top + 1;
    for (unsigned level = 0; level <= top; level++) {
        for (tsu_tnode *node = first_of_level(root, level); node != NULL; node = tsu_node_content(node)->right) {
            const tsu_content *c = tsu_node_content(node);

            if (level > 0) {
                out->inners++;
                continue;
            }
            out->leaves++;
            out->keys += tsu_leaf_total(c);
            out->cells += c->cap;
            for (unsigned i = 0; i < tsu_leaf_total(c); i++)
                out->closed += !tsu_cell_holds_version(tsu_load_acquire(&c->cells[cell_of(c, i)]));
        }
    }
}

typedef struct line { char text[200]; size_t len; } line;

static void add_text(line *l, const char *text)
{
    while (*text != 0 && l->len + 1 < sizeof l->text) l->text[l->len++] = *text++;
    l->text[l->len] = 0;
}

static void add_number(line *l, const char *before, uint64_t n, unsigned base)
{
    char   digits[24];
    size_t at = sizeof digits - 1;

    digits[at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n != 0);
    add_text(l, before);
    add_text(l, digits + at);
}

void tsu_tree_dump(tsu_root *root, void (*print)(void *ctx, const char *line), void *ctx)
{
    for (unsigned level = tsu_node_content(&root->node)->level + 1; level-- > 0;) {
        for (tsu_tnode *node = first_of_level(root, level); node != NULL; node = tsu_node_content(node)->right) {
            const tsu_content *c = tsu_node_content(node);
            line               l = {.len = 0};

            add_number(&l, "level ", level, 10);
            add_number(&l, " node ", (uint64_t)(uintptr_t)node, 16);
            add_number(&l, " count ", c->count, 10);
            if (level == 0) {
                add_number(&l, " cells ", c->used, 10);
                add_number(&l, "/", c->cap, 10);
                if (c->cap > 0 && (tsu_load_acquire(&c->cells[0]) & TSU_CELL_FROZEN)) add_text(&l, " frozen");
            } else if (c->merge != 0) {
                add_number(&l, " merge ", c->merge, 10);
            }
            if (c->flags & TSU_TREE_MERGING) add_text(&l, " merging");
            if (c->count > 0) add_number(&l, " from ", tsu_first_mark(c, 0), 16);
            if (c->skip > 0) add_number(&l, " skip ", c->skip, 10);
            if (c->right != NULL) add_number(&l, " below ", c->fence_mark, 16);
            print(ctx, l.text);
        }
    }
}
