/* bptree.h: what people and tests may ask of the tree beyond kind.h.
 *
 * The tree itself is tsu_kind_tree of kind.h; bptree_node.h draws the nodes.
 *
 * Checked by  bptree_test.c, bptree_commit_test.c, bptree_race_test.c, c_src/testing/stress_bptree.c, specs/BpTree.tla
 */
#ifndef TSU_MEM_BPTREE_H
#define TSU_MEM_BPTREE_H

#include "mem/kind.h"

/* What a quiet tree is made of. */
typedef struct tsu_tree_shape {
    uint32_t height;          /* levels, leaves included */
    uint64_t leaves, inners;
    uint64_t keys;            /* in leaves, closed ones included */
    uint64_t closed;          /* those whose key is gone and that wait to be dropped */
    uint64_t cells;           /* room in cell blocks */
} tsu_tree_shape;
void tsu_tree_shape_get(tsu_root *root, tsu_tree_shape *out);

/* Draws a quiet tree, a line of text to a node, by `print`. */
void tsu_tree_dump(tsu_root *root, void (*print)(void *ctx, const char *line), void *ctx);

#ifdef TSU_DEBUG
/* Test hook: called by a writer between its atomic steps, so that a test may stop it there. */
typedef enum tsu_tree_step {
    TSU_TREE_CLAIMED,         /* a version is in a cell of the tail, which no content names yet */
    TSU_TREE_CLOSED,          /* a cell is closed, its entry still there */
    TSU_TREE_FROZEN,          /* the cells of a leaf are frozen, nothing replaces it yet */
    TSU_TREE_SPLIT,           /* a node is split, its parent does not know */
    TSU_TREE_FLAGGED,         /* a parent says that two of its children are to be merged */
    TSU_TREE_MARKED,          /* the right one of them is frozen for good */
    TSU_TREE_ABSORBED         /* the left one has all, the parent still names both */
} tsu_tree_step;
extern void (*tsu_tree_step_hook)(tsu_tree_step step);
/* Test hook: the next n allocations of trees succeed, all after them fail; below 0: off. One thread only. */
extern long tsu_tree_fail_after;
#define TSU_TREE_STEP(step) do { if (tsu_tree_step_hook != NULL) tsu_tree_step_hook(step); } while (0)
#else
#define TSU_TREE_STEP(step) do { } while (0)
#endif

#endif
