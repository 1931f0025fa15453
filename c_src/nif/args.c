#include "nif/args.h"

#include "nif/reply.h"

ERL_NIF_TERM tsu_call_refuse(const tsu_call *c)
{
    return c->cause == 0 ? tsu_reply_limit(c->env) : tsu_reply_badarg(c->env, c->cause);
}

bool tsu_heir_read(ErlNifEnv *env, ERL_NIF_TERM term, bool *some, ErlNifPid *pid, ERL_NIF_TERM *data)
{
    const ERL_NIF_TERM *pair;
    int                 arity;

    *some = false;
    if (term == tsu_atom_none) return true;
    if (!enif_get_tuple(env, term, &arity, &pair) || arity != 2) return false;
    if (!enif_get_local_pid(env, pair[0], pid)) return false;
    *data = pair[1];
    *some = true;
    return true;
}

bool tsu_bool_read(ERL_NIF_TERM term, bool *out)
{
    if (term != tsu_atom_true && term != tsu_atom_false) return false;
    *out = term == tsu_atom_true;
    return true;
}
