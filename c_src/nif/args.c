#include "nif/args.h"

#include "nif/reply.h"

ERL_NIF_TERM tsu_call_refuse(const tsu_call *c)
{
    return c->cause == 0 ? tsu_reply_limit(c->env) : tsu_reply_badarg(c->env, c->cause);
}

ERL_NIF_TERM tsu_call_cause(ErlNifEnv *env, ERL_NIF_TERM term)
{
    if (!enif_is_ref(env, term) || !tsu_nif_is_magic_ref(term)) return tsu_atom_type;
    return enif_make_tuple2(env, tsu_atom_foreign, term);
}

bool tsu_heir_read(ErlNifEnv *env, ERL_NIF_TERM term, tsu_heir_arg *heir)
{
    const ERL_NIF_TERM *t;
    int                 arity;

    heir->some = false;
    heir->data = heir->anchor = 0;
    if (term == tsu_atom_none) return true;
    if (!enif_get_tuple(env, term, &arity, &t) || (arity != 2 && arity != 3)) return false;
    if (!enif_get_local_pid(env, t[0], &heir->pid)) return false;
    heir->data = t[1];
    if (arity == 3) heir->anchor = t[2];
    heir->some = true;
    return true;
}

bool tsu_bool_read(ERL_NIF_TERM term, bool *out)
{
    if (term != tsu_atom_true && term != tsu_atom_false) return false;
    *out = term == tsu_atom_true;
    return true;
}
