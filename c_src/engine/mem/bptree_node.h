/* bptree_node.h: nodes of the tree, and what its parts share. For bptree*.c alone.
 *
 * A node is one atomic pointer to its content; contents are immutable and replaced by CAS. A content
 * pointer is never used again while a thread that saw it is pinned, so such a CAS has no ABA.
 *
 *     content  0  level and flags, skip, count, run or merge, cells used, cells, bytes / 8
 *              8  right        the node to the right, NULL at the end of the level
 *             16  fence_mark   keys of this node are below the fence; where right is NULL there is none
 *             24  fence        the fence's bytes; NULL: its mark is exact
 *             32  cells        leaf: the block; inner: NULL
 *             40  gone         leaf: about how many entries are closed
 *             48  marks[count]           order heads of the keys, ascending
 *                 leaf:  index[count]    one byte each: the key's cell
 *                 inner: children[count], then, with flag KEYED, keys[count] (NULL: the mark is exact)
 *                 prefix                 `skip` bytes
 *
 * Where heads tie too often the keys' texts (order.h) begin alike: `skip` bytes of them are then kept once, as the
 * prefix, and the marks are the 8 bytes that follow it. A key whose text begins otherwise cannot go into such a content
 * before it has been rewritten with a shorter prefix. Fences are heads always.
 *
 * Entry 0 of an inner node stands for all keys below entry 1; its mark and key mean nothing.
 *
 * A cell is 0 (unused), then holds versions of one key, then is CLOSED for ever; FROZEN stops all change. A cell whose
 * version was taken out elsewhere may hold an empty stamp for a moment; whoever meets it closes it. A closed entry counts
 * as absent and may stay: it goes with the next rewrite, with a fold after its key came again, or with others when they are a quarter.
 *
 * The tail of a leaf: the cells from `used` on, up to the first unused one. Their keys are in the tree though no content
 * names them: a new key is put in by one CAS of the first unused cell, after a look at all cells of the tail before it.
 * Bits 48-63 of a word in the tail are hashed from what the key's mark would be; a cell keeps them. Whoever has made the tail
 * long folds it: swings to a content that names its cells too. Walks do that first, and go along contents alone; now and
 * then a lookup does, so that a tree which grows no more is soon without tails.
 *
 * Cells are taken in order, and only while they are not frozen. So an insertion fails if any key came into the leaf after it
 * was searched, or if its keys went to another block; prefix and fences do not change while a block is in use (who moves
 * the fence down freezes the first unused cell before). A content that is out of date but has the same block serves as well.
 *
 * Life of a node
 *     fold     CAS the content to a copy that names the tail, in the same block        bptree_leaf.c
 *     rewrite  freeze all cells; CAS the content to a copy with a fresh block          bptree_shape.c
 *     split    the same with half of the keys, the new right node linked behind; its
 *              separator is posted into the parent by whoever notices                  bptree_shape.c
 *     merge    (1) flag the parent with the right child's number: it does not change until the end
 *              (2) mark the right child's content MERGING, which then is final; freeze its cells
 *              (3) the node whose right link is that child absorbs it, by CAS
 *              (4) the parent loses the flag and the child, which is retired
 *              Whoever is in the way does the missing steps.
 *     root     one fixed node: it grows by taking two new children, and shrinks (flag COLLAPSE) by
 *              taking over the content of its only child
 *
 * A reader who comes down to a MERGING child does not know whether it has been absorbed yet: it goes on from the child's
 * left neighbour. By a right link it may enter: what it finds there was true when it read the link.
 *
 * Invariants  T1  a leaf's keys lie between its fences, in order, each once.
 *             T2  a cell of a leaf goes unused -> version -> ... -> closed, and never back; no cell behind an unused one is used.
 *             T3  a node's lower bound never changes; only its fence moves.
 *             T4  a MERGING content is a node's last.
 * Ownership   a content owns its block, its fence bytes and (from entry 1) its keys; copies hand them on.
 */
#ifndef TSU_MEM_BPTREE_NODE_H
#define TSU_MEM_BPTREE_NODE_H

#include "mem/bptree.h"
#include "mem/slab.h"
#include "term/order.h"

#ifndef TSU_LEAF_KEYS_MAX
#define TSU_LEAF_KEYS_MAX  80          /* blocks of 640 bytes, contents of 768: whole classes of the slab */
#endif
#ifndef TSU_INNER_KEYS_MAX
#define TSU_INNER_KEYS_MAX 96
#endif
#define TSU_LEVELS_MAX     24
#define TSU_RUN_MIN        8          /* neighbouring inserts in a row that make a split go by position */
_Static_assert(2 * TSU_LEAF_KEYS_MAX + 2 < 255, "cell numbers and counts are bytes, also after a merge");
_Static_assert(2 * TSU_INNER_KEYS_MAX + 2 < 255, "counts are bytes, also after a merge");

#define TSU_CELL_CLOSED TSU_CELL_OTHER

#define TSU_TREE_MERGING  1u
#define TSU_TREE_KEYED    2u
#define TSU_TREE_COLLAPSE 255u        /* in `merge`: the root is to take over its only child */

typedef struct tsu_sep {              /* bytes of a separator key */
    uint32_t len, held;               /* held: of memory, this header included */
    uint8_t  bytes[];
} tsu_sep;

typedef struct tsu_tnode {
    tsu_word content;
} tsu_tnode;

typedef struct tsu_content {
    uint8_t    level : 5, flags : 3;
    uint8_t    skip, count;
    union {
        uint8_t run;                  /* leaf: neighbouring inserts in a row */
        uint8_t merge;                /* inner: the child to be merged away; 0: none */
    };
    uint8_t    used, cap;             /* leaf: where its tail begins; cells */
    uint16_t   granules;
    tsu_tnode *right;
    uint64_t   fence_mark;
    tsu_sep   *fence;
    tsu_word  *cells;
    /* atomic, and only a hint */
    tsu_word   gone;
    uint64_t   marks[];
} tsu_content;

#define TSU_TREE_STRIPES 4

struct tsu_root {
    tsu_tnode  node;
    uint32_t   keypos;
    /* reap alone */
    uint32_t   reap_state;
    tsu_tnode *reap_next, *reap_below;
    tsu_word   bytes[TSU_TREE_STRIPES];
};

/* Goes up before a node of any tree is retired or freed: while it stands still, so does every node. */
extern tsu_word tsu_tree_retirements;

static inline tsu_content *tsu_node_content(const tsu_tnode *node)
{
    return (tsu_content *)(uintptr_t)tsu_load_acquire(&node->content);
}
static inline bool tsu_node_swing(tsu_tnode *node, tsu_content *from, tsu_content *to)
{
    uint64_t expected = (uint64_t)(uintptr_t)from;

    return tsu_cas(&node->content, &expected, (uint64_t)(uintptr_t)to);
}

static inline uint8_t *tsu_leaf_index(const tsu_content *c)
{
    return (uint8_t *)(uintptr_t)(c->marks + c->count);
}
static inline tsu_tnode **tsu_inner_children(const tsu_content *c)
{
    return (tsu_tnode **)(uintptr_t)(c->marks + c->count);
}
static inline tsu_sep **tsu_inner_keys(const tsu_content *c)
{
    return (tsu_sep **)(uintptr_t)(c->marks + 2 * c->count);
}
static inline tsu_sep *tsu_inner_key(const tsu_content *c, unsigned i)
{
    return c->flags & TSU_TREE_KEYED ? tsu_inner_keys(c)[i] : NULL;
}
/* Where a content without a prefix ends. */
static inline size_t tsu_leaf_bytes(unsigned count)
{
    return (sizeof(tsu_content) + count * 9u + 7) & ~(size_t)7;
}
static inline size_t tsu_inner_bytes(unsigned count, bool keyed)
{
    return sizeof(tsu_content) + (size_t)count * (keyed ? 24 : 16);
}
static inline size_t tsu_prefix_bytes(unsigned skip) { return (skip + 7u) & ~7u; }
static inline uint8_t *tsu_content_prefix(const tsu_content *c)
{
    size_t at = c->level == 0 ? tsu_leaf_bytes(c->count) : tsu_inner_bytes(c->count, (c->flags & TSU_TREE_KEYED) != 0);

    return (uint8_t *)(uintptr_t)c + at;
}
static inline size_t tsu_content_bytes(const tsu_content *c) { return (size_t)c->granules * 8; }

/* --- comparing ------------------------------------------------------------------ */
/* How many of the n ascending marks are below x. Without branches on what is compared, which nobody can predict: by
 * quarters, then the last eight at once; what is left of those is known to be below. */
static inline unsigned tsu_marks_below(const uint64_t *marks, unsigned n, uint64_t x)
{
    const uint64_t *base = marks;
    unsigned        below = 0;

    if (n < 8) {
        while (below < n && marks[below] < x) below++;
        return below;
    }
    while (n > 8) {
        size_t quarter = n / 4;
        size_t passed = (size_t)(base[quarter - 1] < x) + (base[2 * quarter - 1] < x) + (base[3 * quarter - 1] < x);

        base += passed * quarter;
        n -= 3 * (unsigned)quarter;
    }
    base = base + n - marks < 8 ? marks : base + n - 8;
    for (unsigned i = 0; i < 8; i++) below += base[i] < x;
    return (unsigned)(base - marks) + below;
}

static inline int tsu_key_against(const tsu_key *key, uint64_t mark, const tsu_sep *sep)
{
    if (key->mark != mark) return key->mark < mark ? -1 : 1;
    if (key->exact || sep == NULL) return 0;
    return tsu_term_compare(key->bytes, sep->bytes);
}

/* --- prefixes --- */
#define TSU_SKIP_MAX (TSU_TEXT_MAX - 8)

static inline uint64_t tsu_text_mark(const uint8_t *text, unsigned skip)
{
    return __builtin_bswap64(tsu_get64(text + skip));
}
/* A mark behind a prefix of `skip` bytes as the mark behind its first `fewer`. */
uint64_t tsu_mark_rebase(const uint8_t *prefix, unsigned skip, unsigned fewer, uint64_t mark);
/* The head of entry i. */
static inline uint64_t tsu_first_mark(const tsu_content *c, unsigned i)
{
    if (TSU_LIKELY(c->skip == 0)) return c->marks[i];
    return tsu_mark_rebase(tsu_content_prefix(c), c->skip, 0, c->marks[i]);
}
/* How many bytes, up to max, both begin with. */
unsigned tsu_text_common(const uint8_t *a, const uint8_t *b, unsigned max);
/* What can be told of a key's text. */
void tsu_key_text(const tsu_key *key, tsu_text *out);
/* How much of c's prefix the key has too. */
unsigned tsu_prefix_common(const tsu_content *c, const tsu_key *key, tsu_text *text);

/* The key as the marks of a content show it. Positive: it is above all that have the prefix; negative: below. text->len 0: not
 * known yet. */
typedef struct tsu_seen { uint64_t mark; bool exact; } tsu_seen;
int tsu_key_seen_slow(const tsu_content *c, const tsu_key *key, tsu_text *text, tsu_seen *out);
static inline int tsu_key_seen(const tsu_content *c, const tsu_key *key, tsu_text *text, tsu_seen *out)
{
    out->mark = key->mark;
    out->exact = key->exact;
    return TSU_LIKELY(c->skip == 0) ? 0 : tsu_key_seen_slow(c, key, text, out);
}

/* The key of a version that some content has under `mark`. */
static inline tsu_key tsu_key_of(const tsu_root *root, uint64_t mark, uint64_t word)
{
    tsu_key k = {.mark = mark};

    k.bytes = tsu_version_key(word, root->keypos, &k.len);
    k.exact = tsu_order_head_exact(k.bytes);
    return k;
}
/* The key of any version. */
static inline tsu_key tsu_key_of_version(const tsu_root *root, uint64_t word)
{
    tsu_key k;

    k.bytes = tsu_version_key(word, root->keypos, &k.len);
    k.mark = tsu_order_head_both(k.bytes, &k.exact);
    return k;
}
static inline tsu_key tsu_key_of_sep(uint64_t mark, const tsu_sep *sep)
{
    tsu_key k = {.mark = mark, .exact = sep == NULL};

    if (sep != NULL) {
        k.bytes = sep->bytes;
        k.len = sep->len;
    }
    return k;
}

/* Does the key lie behind the node? strict: is it behind also when everything below it is asked for? */
static inline bool tsu_past_fence(const tsu_content *c, const tsu_key *key, bool strict)
{
    if (c->right == NULL || key->mark < c->fence_mark) return false;
    int d = tsu_key_against(key, c->fence_mark, c->fence);
    return strict ? d > 0 : d >= 0;
}

/* Where a key is or belongs in a leaf. [tie, tie_end) are the entries with the key's mark. */
typedef struct tsu_leaf_place {
    unsigned  tie, tie_end;
    unsigned  at;              /* found: the entry; else where it would go */
    tsu_word *cell;            /* NULL: the key has no entry with a version */
    uint64_t  aux;             /* of the cell's word, which keeps it */
    /* not found */
    uint64_t  mark;            /* as the content shows it */
    bool      fits;            /* the key has the content's prefix */
    /* by the search of the tail too */
    unsigned  end;             /* the cell where that ended: the first unused one, if the key fits and was not found */
} tsu_leaf_place;
/* Among the entries. */
void tsu_leaf_search_entries(const tsu_root *root, const tsu_content *c, const tsu_key *key, tsu_text *text,
                             tsu_leaf_place *out);
/* In the tail too. The key must have its bytes. */
void tsu_leaf_search(const tsu_root *root, const tsu_content *c, const tsu_key *key, tsu_text *text,
                     tsu_leaf_place *out);

/* --- tails --- */
static inline uint64_t tsu_leaf_tag(uint64_t mark) { return mark * UINT64_C(0x9e3779b97f4a7c15) & TSU_CELL_AUX; }
static inline bool tsu_leaf_cell_unused(uint64_t word) { return (word & ~TSU_CELL_FROZEN) == 0; }
/* Has the leaf a tail? */
static inline bool tsu_leaf_tailed(const tsu_content *c)
{
    return c->used < c->cap && !tsu_leaf_cell_unused(tsu_load_acquire(&c->cells[c->used]));
}
/* The cell where it ends. */
static inline unsigned tsu_leaf_tail_end(const tsu_content *c)
{
    unsigned end = c->used;

    while (end < c->cap && !tsu_leaf_cell_unused(tsu_load_acquire(&c->cells[end]))) end++;
    return end;
}
/* Entries and tail: the keys of a leaf, closed ones included. */
static inline unsigned tsu_leaf_total(const tsu_content *c) { return c->count + tsu_leaf_tail_end(c) - c->used; }

/* --- coming down -------------------------------------------------------------------- */
typedef struct tsu_tree_place {
    tsu_tnode     *node;
    tsu_content   *content;
    bool           low_known, low_none;      /* the bound below which the node has no keys */
    uint64_t       low_mark;
    const tsu_sep *low;
    tsu_tnode     *left;                     /* strict: was beside it; NULL: not known. A hint */
    tsu_content   *unposted;                 /* this one's right neighbour was reached by its link */
    tsu_text       text;                     /* the key's, if len is not 0 */
} tsu_tree_place;

/* The node of `level` for the key; strict: for the greatest key below it; key NULL: the first node, or if strict the last one.
 * False: the tree is not that high. Never waits, changes nothing. */
bool tsu_tree_locate(tsu_root *root, const tsu_key *key, unsigned level, bool strict, tsu_tree_place *out);

/* The child of an inner node on the way to the key. */
unsigned tsu_inner_child(const tsu_content *c, const tsu_key *key, tsu_text *text, bool strict);

/* --- memory of one operation ------------------------------------------------------------ */
/* Spare pieces that were allocated ahead, so that a change which others wait to see finished does not fail
 * half way; and the sum of what was allocated and retired. */
#define TSU_KIT_SPARES 8
typedef struct tsu_kit {
    tsu_thread *self;
    tsu_root   *root;
    int64_t     delta;
    unsigned    spare_count;
    struct { void *memory; size_t bytes; } spare[TSU_KIT_SPARES];
} tsu_kit;

static inline void tsu_kit_open(tsu_kit *kit, tsu_thread *self, tsu_root *root)
{
    kit->self = self;
    kit->root = root;
    kit->delta = 0;
    kit->spare_count = 0;
}
void tsu_kit_close(tsu_kit *kit);
/* False when memory is short. */
bool tsu_kit_reserve(tsu_kit *kit, size_t bytes);
/* *got, between bytes and max, is what tsu_kit_free or _retire must be told. */
void *tsu_kit_alloc(tsu_kit *kit, size_t bytes, size_t max, size_t *got);
void tsu_kit_free(tsu_kit *kit, void *memory, size_t bytes);
void tsu_kit_retire(tsu_kit *kit, void *memory, size_t bytes);

/* Room for n keys and a few more. */
unsigned tsu_leaf_cap(unsigned n);

/* All set but the arrays and the prefix, level 0. `cells` may be NULL. `bytes` at least: what replaces a content that only
 * grows is not smaller than that, though its prefix may be. */
tsu_content *tsu_leaf_make(tsu_kit *kit, unsigned count, unsigned skip, size_t bytes);
tsu_content *tsu_inner_make(tsu_kit *kit, unsigned level, unsigned count, bool keyed, unsigned skip, size_t bytes);
/* All of the head but the size and the count, which are next's; and the prefix. Returns how many entries of c are counted as
 * closed. */
uint64_t tsu_content_head_copy(tsu_content *next, const tsu_content *c);
/* The very same with other flags or merge number; shares all it owns with c. */
tsu_content *tsu_content_twin(tsu_kit *kit, const tsu_content *c);
/* Unused cells, *got of them: at least cap. */
tsu_word *tsu_block_make(tsu_kit *kit, unsigned cap, unsigned *got);
tsu_tnode *tsu_node_make(tsu_kit *kit, tsu_content *c);
/* NULL with *ok when the key is exact. */
tsu_sep *tsu_sep_make(tsu_kit *kit, const tsu_key *key, bool *ok);

/* Back to the kit: never published. They accept NULL; block: leaf's block too. */
void tsu_content_drop(tsu_kit *kit, tsu_content *c, bool block);
void tsu_sep_drop(tsu_kit *kit, tsu_sep *s);
void tsu_node_drop(tsu_kit *kit, tsu_tnode *node);
/* Unlinked by the caller. */
void tsu_content_retire(tsu_kit *kit, tsu_content *c, bool block);
void tsu_sep_retire(tsu_kit *kit, tsu_sep *s);
void tsu_node_retire(tsu_kit *kit, tsu_tnode *node);

/* --- leaves: bptree_leaf.c ------------------------------------------------------------------ */
typedef struct tsu_leaf_entry { uint64_t mark, word; } tsu_leaf_entry;

/* Stops all change in a block. The first unused cell is enough for those behind it. */
void tsu_leaf_freeze(const tsu_content *c);
/* The living keys of a frozen leaf, in order, with marks behind `skip` bytes of its prefix; returns how many. *run, if not NULL:
 * what the leaf's run would be after a fold. */
unsigned tsu_leaf_gather(const tsu_root *root, const tsu_content *c, unsigned skip, tsu_leaf_entry *out, uint8_t *run);
/* A leaf with these entries in a fresh block of at least `cap` cells; their marks are behind `skip` bytes of the prefix. It
 * may get a longer one, but not so that the key `also` does not fit (NULL: any). NULL: no memory. `bytes`: as above. */
tsu_content *tsu_leaf_build(tsu_kit *kit, const uint8_t *prefix, unsigned skip, const tsu_leaf_entry *entries, unsigned n,
                            unsigned cap, const tsu_key *also, size_t bytes);
/* The cell's word; an empty stamp is closed first. */
uint64_t tsu_leaf_cell_load(tsu_word *cell);
/* For ever without a version? */
static inline bool tsu_leaf_cell_dead(uint64_t word) { return !tsu_cell_holds_version(word); }

typedef enum tsu_leaf_outcome {
    TSU_LEAF_DONE,
    TSU_LEAF_LOST,          /* another thread was faster: look again */
    TSU_LEAF_FULL,          /* has to be rewritten first */
    TSU_LEAF_NOMEM
} tsu_leaf_outcome;
/* Puts a version under a key that `at` says is absent from content c of the node; LOST if any key came into the leaf since. FULL
 * too if the key does not have c's prefix. */
tsu_leaf_outcome tsu_leaf_insert(tsu_kit *kit, tsu_tnode *node, tsu_content *c, const tsu_leaf_place *at, uint64_t word);
/* Replaces content c of the node, not MERGING, by *next, which has c's tail among its entries; `all`: and has no closed ones. DONE, LOST
 * or NOMEM. */
tsu_leaf_outcome tsu_leaf_fold(tsu_kit *kit, tsu_tnode *node, tsu_content *c, bool all, tsu_content **next);
/* The same for who only reads: the new content, or NULL. */
tsu_content *tsu_leaf_tidy(tsu_thread *self, tsu_root *root, tsu_tnode *node, tsu_content *c);
/* For a walk: a content with all keys that c has now and no tail, folded or, if that fails, in the view alone. */
typedef struct tsu_leaf_view { uint64_t words[(sizeof(tsu_content) + 256 * 9 + TSU_TEXT_MAX + 8) / 8]; } tsu_leaf_view;
tsu_content *tsu_leaf_straight(tsu_thread *self, tsu_root *root, tsu_tnode *node, tsu_content *c, tsu_leaf_view *view);
/* How many inserts in a row were neighbours, when the last n went in at entry `at` one beside the other. */
uint8_t tsu_leaf_run(const tsu_content *c, unsigned at, unsigned n);
/* Counts one more closed entry in the leaf. True: it is time to drop them. */
bool tsu_leaf_gone(const tsu_tree_place *at);
/* Drops the closed entries of the leaf with the cell, if its key is still there; `at`: where it was. *left: keys that remain,
 * of *before; both 0 if nothing was dropped. */
void tsu_leaf_purge(tsu_kit *kit, const tsu_tree_place *at, const tsu_key *key, tsu_word *cell, unsigned *before,
                    unsigned *left);
/* After a CAS from c to next, which was made when `known` of c's entries were counted as closed. */
void tsu_leaf_gone_since(const tsu_content *c, tsu_content *next, uint64_t known);

/* --- the shape: bptree_shape.c ---------------------------------------------------------------- */
/* Replaces content c of a leaf by one with free cells, or by two: full, frozen by another thread, MERGING or beside a MERGING
 * one. `key` is what is on its way into it. Afterwards look again. */
tsu_status tsu_tree_renew(tsu_kit *kit, tsu_tnode *node, tsu_content *c, const tsu_key *key);
/* Replaces content c of the node by n contents: the first stays with the node, the others get new nodes, linked in a row; the
 * last inherits c's fence and right link; part i begins with seps[i], seps[0] is not looked at. The first may share
 * c's block. Owns the parts, and drops them unless DONE; then c has been retired. */
#define TSU_PARTS_MAX 6
tsu_leaf_outcome tsu_tree_swing_parts(tsu_kit *kit, tsu_tnode *node, tsu_content *c, tsu_content **parts,
                                      const tsu_key *seps, unsigned n);
/* Tells the parent of a node of `level` with content c about its right neighbour. */
void tsu_tree_post(tsu_kit *kit, unsigned level, tsu_content *c);
/* The leaf of that key has become small: merges what can be merged around it, up to the root. */
void tsu_tree_shrink(tsu_kit *kit, const tsu_key *key);

/* --- hints and tidying: bptree.c -------------------------------------------------------------- */
/* Remembers for this thread the leaf where it was last, the one to the left of it (NULL: not known), and the entry where it was.
 * `retirements` was read before the way down. */
void tsu_tree_hint(tsu_thread *self, const tsu_root *root, const tsu_tnode *node, const tsu_tnode *left, uint64_t retirements,
                   unsigned index);
/* The leaf for the key: the remembered one, if it is that. */
void tsu_tree_locate_near(tsu_thread *self, tsu_root *root, const tsu_key *key, uint64_t retirements,
                          tsu_tree_place *out);
/* Its cell at that place was closed by us or by whoever put an aborted version right: drops the entry, now or later, and tidies up
 * around it. */
void tsu_tree_entry_drop(tsu_kit *kit, const tsu_tree_place *at, const tsu_key *key, tsu_word *cell);

/* --- commits: bptree_commit.c, see kind.h ------------------------------------------------------ */
tsu_status tsu_tree_install(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry,
                            tsu_install_outcome *outcome, tsu_commit **other);
tsu_status tsu_tree_install_run(tsu_thread *self, tsu_root *root, struct tsu_commit_item *items, size_t count,
                                size_t *installed, tsu_install_outcome *outcome, tsu_commit **other);
bool tsu_tree_restore(tsu_thread *self, tsu_root *root, const tsu_key *key, tsu_entry *entry);

/* --- bptree_check.c ------------------------------------------------------------------------------ */
const char *tsu_tree_verify(tsu_thread *self, tsu_root *root);
bool tsu_tree_reap(tsu_thread *self, tsu_root *root, size_t budget,
                   void (*release_version)(tsu_thread *self, uint64_t word));

#endif
