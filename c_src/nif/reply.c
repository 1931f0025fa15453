#include "nif/reply.h"

#include "base/check.h"
#include "nif/term.h"

ERL_NIF_TERM tsu_reply_badarg(ErlNifEnv *env, ERL_NIF_TERM cause)
{
    return enif_raise_exception(env, enif_make_tuple2(env, tsu_atom_tsunami_badarg, cause));
}

ERL_NIF_TERM tsu_reply_limit(ErlNifEnv *env)
{
    return enif_raise_exception(env, enif_make_tuple2(env, tsu_atom_tsunami_error,
                                                      tsu_atom_system_limit));
}

ERL_NIF_TERM tsu_reply_status(ErlNifEnv *env, tsu_status status)
{
    switch (status) {
    case TSU_NOMEM:
    case TSU_LIMIT:  return tsu_reply_limit(env);
    case TSU_GONE:   return tsu_reply_badarg(env, tsu_atom_id);
    case TSU_EXISTS: return tsu_reply_badarg(env, tsu_atom_already_exists);
    default:         return tsu_reply_badarg(env, tsu_atom_none);
    }
}

bool tsu_reply_list_add(void *ctx, const uint8_t *object)
{
    tsu_reply_list *r = ctx;
    ERL_NIF_TERM    term = tsu_nif_decode_object(r->env, object);

    if (TSU_UNLIKELY(term == 0)) {
        r->failed = true;
        return false;
    }
    r->list = enif_make_list_cell(r->env, term, r->list);
    r->count++;
    return true;
}
