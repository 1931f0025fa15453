/* matchplan_inner.h: a plan while it is made: what matchplan.c, which puts ranges together, and matchbound.c, which writes the
 * bounds of a clause, have in common.
 */
#ifndef TSU_TERM_MATCHPLAN_INNER_H
#define TSU_TERM_MATCHPLAN_INNER_H

#include "term/matchplan.h"

/* While ranges come together their bounds are offsets into the bytes, which grow. */
typedef struct raw_bound {
    size_t at, len;             /* len 0: none */
    bool   open;
} raw_bound;

typedef struct raw_range {
    raw_bound low, high, each;
    bool      family;
    uint8_t   low_fill, each_fill;
} raw_range;

/* A guard, with its constant among the planner's values. */
typedef struct guard {
    tsu_ms_bound b;
    size_t       at, len;
} guard;

#define GUARDS_MAX 16u          /* of a clause: more are not looked at */
#define DEPTH_MAX  16u          /* of a pattern: deeper is open */
#define SIZE_MAX_GUESSED 255    /* of a tuple, if guards tell its size */

typedef struct planner {
    tsu_writer    bytes, values;
    raw_range    *ranges;
    size_t        count, cap;
    bool          ordered;
    /* of the clause at hand */
    const tsu_ms *ms;
    size_t        clause, guards;
    guard         guard[GUARDS_MAX];
} planner;

/* A part of the key: the pattern there, and how one comes to it from the key and from the last variable above. */
typedef struct place {
    const uint8_t *pattern;     /* NULL: none */
    uint32_t       variable;    /* or MS_NO_VARIABLE */
    uint32_t       since;       /* steps to it */
    uint32_t       depth;
    uint32_t       step[DEPTH_MAX];
} place;

static inline const uint8_t *bound_key(const planner *pl, const raw_bound *b) { return pl->bytes.bytes + b->at; }

static inline bool says_low(tsu_ms_compare op) { return op != TSU_LT && op != TSU_LE; }
static inline bool says_high(tsu_ms_compare op) { return op != TSU_GT && op != TSU_GE; }

/* The term as a bound, as a table has its keys. */
raw_bound tsu_plan_bound_put(planner *pl, const uint8_t *term, size_t len, bool open);
/* What the guards of the clause at hand say. */
void tsu_plan_guards_read(planner *pl, size_t keypos);
/* How many more steps the path takes from here on; -1: it does not lead here. */
int tsu_plan_steps_beyond(const place *at, const tsu_ms_path *path);
/* Whether a guard says more of the key than how it compares as a whole. */
bool tsu_plan_parts_are_known(const planner *pl, const place *root);
/* The low or the high bound, len 0 if there is none, out of the key's pattern, or NULL, and guards on parts of it. */
raw_bound tsu_plan_bound_of_parts(planner *pl, bool high, const uint8_t *pattern);
/* The key, if pattern and guards give it whole, as it is =:= ; else len 0. */
raw_bound tsu_plan_key_of_parts(planner *pl, const uint8_t *pattern);
/* Tuples of any size whose elements guards ask for, but for `high`: false, if the first one may be anything. */
bool tsu_plan_family_of_parts(planner *pl, place *root, raw_range *r);
/* Writes the least binary behind all that begin with these bytes; false: there is none. */
bool tsu_plan_next_prefix(const uint8_t *bytes, size_t size, tsu_writer *w);

#endif
