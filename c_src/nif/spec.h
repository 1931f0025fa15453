/* spec.h: match specifications as arguments: compiled once, kept with their plans.
 *
 * A specification that is given as a list is encoded and looked up among the compiled ones of late, so that a call that gives the same one
 * again compiles nothing. What match_spec_compile/1 answers, and continuations hold, is a resource that refers to one: those that are kept
 * here are no resources, which would keep the library from being unloaded.
 *
 * Ownership   counted: a resource holds one reference, the table of compiled ones another.
 * Threads     any. The table is lock-free: a slot is exchanged, and what was there is let go of when nobody pinned can see it.
 * Checked by  tsunami_select_tests.erl
 */
#ifndef TSU_NIF_SPEC_H
#define TSU_NIF_SPEC_H

#include "nif/args.h"
#include "term/matchplan.h"
#include "term/matchvm.h"

typedef struct tsu_spec {
    tsu_ms  *ms;
    tsu_word plans[2];           /* tsu_plan *, or 0: for a hash table, for an ordered one; made when first asked for */
    tsu_word references;
    uint64_t hash;               /* of what it was compiled from, if it is kept */
} tsu_spec;

typedef struct tsu_spec_arg {
    tsu_spec       *spec;
    const tsu_plan *plan;
    tsu_plan       *own_plan;    /* else NULL */
    bool            owned;       /* a reference to spec is ours; else it is lent while pinned, or by its term */
} tsu_spec_arg;

/* A list, or if `compiled` a reference to one that is compiled. BADARG: neither, or no specification. On OK call done, still pinned. */
tsu_status tsu_spec_read(tsu_spec_arg *arg, ErlNifEnv *env, tsu_thread *self, ERL_NIF_TERM term, bool compiled);
/* Sets arg->plan. */
tsu_status tsu_spec_plan(tsu_spec_arg *arg, uint32_t keypos, bool ordered);
/* The same of a list of one clause whose head has an integer, an atom or a binary for its key: it is compiled as if there stood
 * '_', so that one program serves all keys, and *key is that term; it is for the caller to run it on objects with that key only.
 * *key 0: it is another specification, read as it is. */
tsu_status tsu_spec_read_keyed(tsu_spec_arg *arg, ErlNifEnv *env, tsu_thread *self, ERL_NIF_TERM term, uint32_t keypos,
                               ERL_NIF_TERM *key);
/* The same, and the plan, of {Specification, From, To} or {Specification, Prefix}: for an ordered table, of which only these keys are
 * meant, whatever the specification says of keys. From, To: {ge | gt, Key}, {le | lt, Key}, or an atom for none. */
tsu_status tsu_spec_read_range(tsu_spec_arg *arg, ErlNifEnv *env, tsu_thread *self, ERL_NIF_TERM term, bool compiled, uint32_t keypos);
void tsu_spec_done(tsu_spec_arg *arg);

/* The specification that a term refers to; lent by it. False: it is no such term. */
bool tsu_spec_get(ErlNifEnv *env, ERL_NIF_TERM term, tsu_spec **out);
/* A term that refers to the specification; 0: memory is short. */
ERL_NIF_TERM tsu_spec_term(ErlNifEnv *env, tsu_spec *spec);
/* What tsu_spec_read_range read, with such a term for its specification. */
ERL_NIF_TERM tsu_spec_range_term(ErlNifEnv *env, tsu_spec *spec, ERL_NIF_TERM range);
void tsu_spec_dtor(ErlNifEnv *env, void *object);

/* What a program runs with, for the process that calls. */
typedef struct tsu_runner {
    const tsu_ms  *ms;
    tsu_ms_scratch scratch;
    tsu_writer     self;
    uint8_t        self_room[32];
} tsu_runner;
/* Ends with tsu_runner_deinit, also on error. */
tsu_status tsu_runner_init(tsu_runner *r, ErlNifEnv *env, const tsu_spec *spec);
void tsu_runner_deinit(tsu_runner *r);
static inline tsu_status tsu_runner_run(tsu_runner *r, const uint8_t *object, tsu_ms_result *out)
{
    return tsu_ms_run(r->ms, &r->scratch, object, out);
}

/* Fills in what compiling has to know of this VM. */
void tsu_spec_load(ErlNifEnv *env);
/* Lets go of all that are kept. No other call may be on its way. */
void tsu_spec_unload(void);

#endif
