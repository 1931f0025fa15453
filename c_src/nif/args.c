#include "nif/args.h"

#include "nif/reply.h"
#include "nif/view.h"

ERL_NIF_TERM tsu_call_refuse(const tsu_call *c)
{
    return c->cause == 0 ? tsu_reply_limit(c->env) : tsu_reply_badarg(c->env, c->cause);
}

bool tsu_call_fail(tsu_call *c, ERL_NIF_TERM cause)
{
    c->cause = cause;
    tsu_snapshot_done(c->self);
    tsu_unpin(c->self);
    return false;
}

/* Why a term that is neither atom nor handle is no table: `type`, or {foreign, Term}: a reference to something else of the
 * VM's, an ets tid perhaps, and that may have been one of ours. tsunami.erl finds out. */
static ERL_NIF_TERM foreign_cause(ErlNifEnv *env, ERL_NIF_TERM term)
{
    if (!enif_is_ref(env, term) || !tsu_nif_is_magic_ref(term)) return tsu_atom_type;
    return enif_make_tuple2(env, tsu_atom_foreign, term);
}

void tsu_call_find(tsu_call *c, ERL_NIF_TERM table, tsu_right right)
{
    tsu_view *view;

    c->cause = tsu_atom_id;
    c->live = NULL;
    if (tsu_nif_is_atom(table)) {
        c->live = tsu_registry_name(table);
    } else if (tsu_view_get(c->env, table, &view)) {
        if (right == TSU_RIGHT_WRITE) c->cause = tsu_atom_view;
        else if ((c->then = tsu_view_use(c->self, view)) != NULL) c->live = tsu_handle_live(view->handle);
        c->view = table;
    } else if ((c->live = tsu_registry_tid(c->env, table)) == NULL) {
        c->cause = foreign_cause(c->env, table);
    }
}

TSU_APART tsu_status tsu_key_read_slow(tsu_key_arg *k, ErlNifEnv *env, ERL_NIF_TERM term)
{
    tsu_status s;

    tsu_writer_init(&k->w, k->buffer, sizeof k->buffer);
    s = tsu_nif_encode_key(env, term, &k->w);
    if (TSU_UNLIKELY(s != TSU_OK)) tsu_writer_deinit(&k->w);
    return s;
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
