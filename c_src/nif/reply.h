/* reply.h: every result and every error cause is built here.
 *
 * A function of tsunami_nif answers its plain result, or raises {tsunami_badarg, Cause} or
 * {tsunami_error, system_limit}; tsunami.erl turns that into the error of the function that was called.
 */
#ifndef TSU_NIF_REPLY_H
#define TSU_NIF_REPLY_H

#include "base/status.h"
#include "nif/atoms.h"

#include <stdbool.h>
#include <stdint.h>

/* `cause` is one of the atoms of atoms.h. */
ERL_NIF_TERM tsu_reply_badarg(ErlNifEnv *env, ERL_NIF_TERM cause);
ERL_NIF_TERM tsu_reply_limit(ErlNifEnv *env);
/* The error that stands for a status other than TSU_OK. */
ERL_NIF_TERM tsu_reply_status(ErlNifEnv *env, tsu_status status);

static inline ERL_NIF_TERM tsu_reply_bool(bool b) { return b ? tsu_atom_true : tsu_atom_false; }

/* A list that is built while objects are shown: each goes to the front. */
typedef struct tsu_reply_list {
    ErlNifEnv   *env;
    ERL_NIF_TERM list;
    uint64_t     count;
    bool         failed;      /* short of memory: the list is not complete */
} tsu_reply_list;

static inline tsu_reply_list tsu_reply_list_begin(ErlNifEnv *env)
{
    return (tsu_reply_list){ .env = env, .list = tsu_nil };
}

/* A tsu_object_fn; `ctx` is the list. Stops when short of memory. */
bool tsu_reply_list_add(void *ctx, const uint8_t *object);

/* The list, or system_limit raised. */
static inline ERL_NIF_TERM tsu_reply_list_end(tsu_reply_list *r)
{
    return r->failed ? tsu_reply_limit(r->env) : r->list;
}

#endif
