/* matchplan.h: where the objects are that a match specification can match: keys, ranges of an ordered table, or all of it.
 *
 * A key that a clause's head gives whole is looked up. In an ordered table one that it gives in part, {1500, a, '_'} or
 * [x | '_'], is a range, and so are guards that compare the key with constants. Clauses add up. What a plan leaves out no clause
 * matches; what it does not leave out has still to be matched.
 *
 * A BOUND is a key, or one with LEAST or MOST (codec.h) where a head's pattern is open.
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
} tsu_range;

typedef struct tsu_plan {
    bool      ordered;
    size_t    keypos, bytes;
    size_t    count;
    tsu_range ranges[];
} tsu_plan;

/* One range without bounds: for every table. */
extern const tsu_plan tsu_plan_all;

/* For tables with that keypos, ordered ones or others. */
tsu_status tsu_plan_create(const tsu_ms *ms, size_t keypos, bool ordered, tsu_plan **out);
void tsu_plan_destroy(tsu_plan *plan);
/* Whether the key is in one of the ranges. */
bool tsu_plan_covers(const tsu_plan *plan, const uint8_t *key);
/* Whether it is but one range without bounds. */
static inline bool tsu_plan_is_all(const tsu_plan *plan)
{
    return plan->count == 1 && plan->ranges[0].low.key == NULL && plan->ranges[0].high.key == NULL;
}

#endif
