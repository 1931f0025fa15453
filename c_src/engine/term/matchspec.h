/* matchspec.h: match specifications, checked and compiled to programs, which matchvm.h runs on objects.
 *
 * A specification comes as an encoded term (codec.h): a list of {Head, Guards, Body}. What it may say and what it means
 * is what `ets` makes of it (the dialect of tables, not of tracing):
 *
 *   head    '_', a variable '$N', or a tuple of patterns. Equality is =:= ; of floats in a pattern the bits decide (as in ets). A map
 *           matches every map that has its pairs; its keys are terms, and neither '_' nor a variable itself.
 *   guards  a list of expressions; the clause matches if every one is `true`. What fails is not.
 *   body    a list of expressions, not empty; the last is the result. A call that fails is the atom 'EXIT'.
 *
 *   expression   '$N', '$_' (the object), '$$' (a list of all variables by number), {const, Term}, {{Expr, ...}}, [Expr, ...],
 *                #{Expr => Expr}, {Function, Expr, ...}; anything but a tuple stands for itself.
 *
 * The first clause that matches decides. Of keys of a map that are computed and come out equal one stays; which is not said.
 * A program is immutable; it keeps a copy of the specification.
 *
 *   program of a clause:  head until DONE | bindings that only the body wants until DONE | guards until DONE | body
 *
 * Versions of Erlang differ in the functions that they allow (`since` in matchcall.c); tsu_match.otp says which counts.
 *
 * Invariants  M1  compiling needs no more of the C stack for nested terms than for flat ones, and time linear in the specification.
 *             M2  every jump goes forward, so that a run ends; every stack and register is as large as compiling found.
 * Ownership   a program is its creator's. It takes over the handles of its specification.
 * Threads     any number may run one program.
 * Limits      nesting up to TSU_MS_DEPTH_MAX open terms, else TSU_LIMIT; 2 GB.
 * Checked by  matchspec_test.c, matchvm_test.c, fuzz_matchspec.c, tsunami_match_tests.erl (against ets)
 */
#ifndef TSU_TERM_MATCHSPEC_H
#define TSU_TERM_MATCHSPEC_H

#include "term/codec.h"

#define TSU_MS_DEPTH_MAX 100000

/* What only the VM knows. Set once, with tsu_codec. */
typedef struct tsu_match_config {
    unsigned otp;                                                         /* 25 or later */
    uint64_t atom_true, atom_false, atom_exit;                            /* 'EXIT' */
    bool   (*atom_of)(const uint8_t *text, size_t len, uint64_t *atom);   /* for node/0,1; false: there is none */
} tsu_match_config;
extern tsu_match_config tsu_match;

typedef struct tsu_ms tsu_ms;

/* Why a specification is refused. */
typedef enum tsu_ms_cause {
    TSU_MS_FINE,
    TSU_MS_NOT_A_TERM,              /* the bytes are malformed */
    TSU_MS_NOT_A_LIST, TSU_MS_NOT_A_CLAUSE,
    TSU_MS_VARIABLE_IN_KEY, TSU_MS_UNDERSCORE_IN_KEY,
    TSU_MS_NOT_A_LIST_OF_EXPRESSIONS, TSU_MS_IMPROPER_LIST, TSU_MS_NO_BODY,
    TSU_MS_UNBOUND, TSU_MS_NO_FUNCTION, TSU_MS_WRONG_DIALECT, TSU_MS_ARGUMENTS, TSU_MS_NEITHER_CALL_NOR_TUPLE
} tsu_ms_cause;

typedef struct tsu_ms_error {
    tsu_ms_cause cause;
    size_t       clause;            /* 0, 1, ... */
    size_t       at;                /* where in the specification the term begins that is to blame */
    uint64_t     number;            /* UNBOUND: N of '$N'; NO_FUNCTION: the arity */
} tsu_ms_error;

/* Compiles. `checked`: the bytes are known to be a well-formed term; else they are checked (TSU_BADARG). On TSU_OK the
 * program owns the handles; otherwise the caller still does, and for TSU_BADARG `why` (may be NULL) tells the first fault. */
tsu_status tsu_ms_compile(const uint8_t *spec, size_t len, const uint64_t *handles, size_t handle_count, bool checked,
                          tsu_ms **out, tsu_ms_error *why);
void tsu_ms_destroy(tsu_ms *ms);
size_t tsu_ms_bytes(const tsu_ms *ms);
/* Whether it was compiled from these bytes: for who keeps programs to use them again. */
bool tsu_ms_is_of(const tsu_ms *ms, const uint8_t *spec, size_t len);
/* These bytes, lent; NULL if they have handles, which only the program can lend. */
const uint8_t *tsu_ms_source(const tsu_ms *ms);

/* ---- For planners ---- */

size_t tsu_ms_clauses(const tsu_ms *ms);

/* What a clause says of the element at `keypos`. */
typedef enum tsu_ms_key {
    TSU_MS_KEY_NONE,                /* the clause matches no object that has such an element */
    TSU_MS_KEY_ANY,
    TSU_MS_KEY_PATTERN,             /* partly bound, or with a map in it: the pattern's bytes */
    TSU_MS_KEY_IS                   /* =:= these bytes (floats: the same bits) */
} tsu_ms_key;
/* The bytes are lent by the program; ANY: those of the variable or '_', or NULL if the head is no tuple. */
tsu_ms_key tsu_ms_clause_key(const tsu_ms *ms, size_t clause, size_t keypos, const uint8_t **term, size_t *len);

/* The number by which the clause knows a variable of its head, or MS_NO_VARIABLE. */
#define MS_NO_VARIABLE (UINT32_MAX - 1)
uint32_t tsu_ms_clause_variable(const tsu_ms *ms, size_t clause, uint64_t atom);

/* Where a guard looks: from a variable of the head, or from the key, down through tuples and lists. A step is the number of an
 * element, or ITEM | the number of an item of a list, or TAIL | how many items are left out. */
#define TSU_MS_OF_KEY UINT32_MAX
#define TSU_MS_STEPS_MAX 4
#define TSU_MS_STEP_MAX ((UINT32_C(1) << 30) - 1)
#define TSU_MS_ITEM (UINT32_C(1) << 30)
#define TSU_MS_TAIL (UINT32_C(2) << 30)
typedef struct tsu_ms_path {
    uint32_t of, count;
    uint32_t step[TSU_MS_STEPS_MAX];
} tsu_ms_path;

/* What guards say that have to be true for the clause: of what lies at a path, by a constant. */
typedef enum tsu_ms_compare { TSU_LT, TSU_LE, TSU_GT, TSU_GE, TSU_EQ, TSU_NE, TSU_SAME, TSU_DIFFER } tsu_ms_compare;
typedef enum tsu_ms_says {
    TSU_MS_COMPARES,                /* it `op` the constant */
    TSU_MS_BEGINS,                  /* it is a binary that begins with `term`, a binary */
    TSU_MS_SIZES,                   /* if it is a tuple, it has i elements */
    TSU_MS_TYPES                    /* it has one of the types i, bits of matchspec_inner.h */
} tsu_ms_says;
typedef struct tsu_ms_bound {
    tsu_ms_path    path;
    tsu_ms_says    says;
    tsu_ms_compare op;
    const uint8_t *term;            /* lent; NULL: the integer */
    int64_t        i;
} tsu_ms_bound;
/* The next of them that is understood. `*at` begins as 0. False: no more. */
bool tsu_ms_clause_bound(const tsu_ms *ms, size_t clause, size_t keypos, size_t *at, tsu_ms_bound *out);

/* Whether ets would see, without running the clause, that it returns a tuple with the object's own element at `keypos`: the
 * body is '$_', or it is {{...}} or {const, {...}} and has there what the head has there, if that stands for itself or is a
 * variable, or {element, KeyPos, '$_'}, or {const, Key} of a ground key. */
bool tsu_ms_clause_keeps_key(const tsu_ms *ms, size_t clause, size_t keypos);

/* Whether the result of the clause is `true` whatever the object; the object itself. */
bool tsu_ms_clause_is_true(const tsu_ms *ms, size_t clause);
bool tsu_ms_clause_is_object(const tsu_ms *ms, size_t clause);

#endif
