/* matchplan.h: where the objects are that a match specification can match: keys, ranges of an ordered table, or all of it.
 *
 * A key that a clause's head gives whole is looked up. In an ordered table one that it gives in part, {1500, a, '_'} or
 * [x | '_'], is a range, and so are guards that compare the key, or a part of it, with constants: element(1, Key), hd(Key), a variable
 * within the key's pattern, binary_part(Key, 0, N). A part counts as far as the parts before it have bounds, too. Clauses add up. What a
 * plan leaves out no clause matches; what it does not leave out has still to be matched.
 *
 * A BOUND is a key, or one with LEAST or MOST (codec.h) where a head's pattern is open.
 *
 * A FAMILY is what is known of tuples of any size: tuples are ordered by size first, so it is one range for each size from
 * that of `low` on, from its elements to those of `each`, with more elements behind them: LEAST or MOST. `high` is behind all tuples.
 *
 * Invariants  P1  ranges are in order and have no key in common.
 * Ownership   a plan has its own copies.
 * Threads     a plan is immutable.
 * Checked by  matchplan_test.c, tsunami_select_tests.erl
 */
#ifndef TSU_TERM_MATCHPLAN_H
#define TSU_TERM_MATCHPLAN_H

#include "term/matchspec.h"

typedef struct tsu_bound {
    const uint8_t *key;         /* NULL: none, the range goes on to the end of the table */
    size_t         len;
    bool           open;        /* the key itself is outside */
} tsu_bound;

typedef struct tsu_range {
    tsu_bound low, high;
    bool      one;              /* the key `low`, and nothing else */
    bool      family;
    uint8_t   low_fill, each_fill;      /* of a family: what stands behind the elements of a larger tuple */
    tsu_bound each;
} tsu_range;

typedef struct tsu_plan {
    bool      ordered;
    bool      binaries;         /* of bitstrings only binaries are meant */
    size_t    keypos, bytes;
    size_t    count;
    tsu_range ranges[];
} tsu_plan;

/* One range without bounds: for every table. */
extern const tsu_plan tsu_plan_all;

/* For tables with that keypos, ordered ones or others. */
tsu_status tsu_plan_create(const tsu_ms *ms, size_t keypos, bool ordered, tsu_plan **out);
/* Of one clause of them. */
tsu_status tsu_plan_clause(const tsu_ms *ms, size_t clause, size_t keypos, bool ordered, tsu_plan **out);
/* For ordered tables: the keys between two bounds; those that begin with a term, which is a binary, a proper list or a tuple (BADARG:
 * something else). What these say is exact. */
tsu_status tsu_plan_between(const tsu_bound *low, const tsu_bound *high, size_t keypos, tsu_plan **out);
tsu_status tsu_plan_prefix(const uint8_t *term, size_t keypos, tsu_plan **out);
void tsu_plan_destroy(tsu_plan *plan);
/* Whether the key is in one of the ranges. */
bool tsu_plan_covers(const tsu_plan *plan, const uint8_t *key);
/* The range of a family for tuples of that size, at least that of `low`; the bounds are in the writer, which has nothing else. */
tsu_status tsu_range_of_size(const tsu_range *family, uint64_t size, tsu_writer *w, tsu_range *out);
/* Of a key: its size if it is a tuple; else 0. */
uint64_t tsu_key_size(const uint8_t *key);
/* Whether it is but one range without bounds. */
static inline bool tsu_plan_is_all(const tsu_plan *plan)
{
    return plan->count == 1 && plan->ranges[0].low.key == NULL && plan->ranges[0].high.key == NULL;
}

#endif
