/* test_nif.h: what the libraries have in common that show parts of the engine to tests in Erlang. */
#ifndef TSU_TESTING_TEST_NIF_H
#define TSU_TESTING_TEST_NIF_H

#include "nif/term.h"
#include "base/env.h"

static inline ERL_NIF_TERM atom(ErlNifEnv *env, const char *name) { return enif_make_atom(env, name); }

/* fail_after(N): the next N allocations succeed and the others fail; N < 0 ends it. */
static inline ERL_NIF_TERM fail_after(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    long n;

    (void)argc;
    if (!enif_get_long(env, argv[0], &n)) return enif_make_badarg(env);
    tsu_env_fail_after(n);
    return atom(env, "ok");
}

#endif
