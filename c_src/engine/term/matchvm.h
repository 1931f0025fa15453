/* matchvm.h: runs compiled match specifications (matchspec.h) on objects.
 *
 * A run binds variables to places inside of the object and copies nothing; the first allocation is for a term that has to
 * be made (a sum, a tuple), and that memory is used again for the next object.
 *
 * Ownership   a scratch is for one thread at a time, and for any number of programs. Results are lent: by the object, by the
 *             program, or by the scratch until its next run. Blobs and magic references in them belong to the object and to
 *             the program: who keeps a result beyond these makes it anew (decodes and encodes it).
 * Limits      one object is one step: time is linear in program and object, but for products of long integers.
 * Checked by  matchvm_test.c, fuzz_matchspec.c, tsunami_match_tests.erl
 */
#ifndef TSU_TERM_MATCHVM_H
#define TSU_TERM_MATCHVM_H

#include "term/matchspec.h"

typedef struct tsu_ms_reg {
    const uint8_t *back;            /* where a list goes on that was copied out */
    uint64_t       left;            /* elements, pairs */
    size_t         at;              /* in the writer */
    bool           improper;
    const uint8_t *list;
    tsu_map_mark  *marks;
} tsu_ms_reg;

typedef struct tsu_ms_scratch {
    const uint8_t  *self;           /* the calling process, encoded; set by the caller, lent */
    const uint8_t **vars, **stack;
    tsu_ms_reg     *regs;
    size_t          vars_cap, stack_cap, regs_cap;
    tsu_writer      out;            /* the term that is being built */
    struct ms_chunk *chunks;        /* terms that were made */
    const uint8_t  *object, *elements, *whole;
    size_t          arity;
    uint8_t         atoms[3][9];    /* true, false, 'EXIT' */
    tsu_status      status;
    const uint8_t  *vars_near[8], *stack_near[8];
    tsu_ms_reg      regs_near[4];
} tsu_ms_scratch;

void tsu_ms_scratch_init(tsu_ms_scratch *s);
void tsu_ms_scratch_deinit(tsu_ms_scratch *s);
/* Makes it large enough for the program, or TSU_NOMEM. Before the first run of each program. */
tsu_status tsu_ms_scratch_for(tsu_ms_scratch *s, const tsu_ms *ms);

typedef enum tsu_ms_outcome { TSU_MS_NO_MATCH, TSU_MS_OBJECT, TSU_MS_TERM } tsu_ms_outcome;
typedef struct tsu_ms_result {
    tsu_ms_outcome outcome;
    size_t         clause;          /* that matched */
    const uint8_t *term;            /* TERM: the result; OBJECT: it is the object, as a tuple */
} tsu_ms_result;

/* The result of the first clause that matches. TSU_NOMEM: there is no answer. */
tsu_status tsu_ms_run(const tsu_ms *ms, tsu_ms_scratch *s, const uint8_t *object, tsu_ms_result *out);

/* Whether the result is the atom `true`. */
bool tsu_ms_result_is_true(const tsu_ms_result *r);

#endif
