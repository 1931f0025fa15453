/* args.h: every argument is decoded here: tables first, then keys, objects and numbers.
 *
 * A call begins with its table: pins, finds it, and checks what ets checks, in ets' order: the term is no table at all
 * (`type`), there is no such table (`id`), the caller has no right to it (`access`). Then come the other
 * arguments. What began has to end, on every way out; what failed to begin is not pinned.
 */
#ifndef TSU_NIF_ARGS_H
#define TSU_NIF_ARGS_H

#include "nif/atoms.h"
#include "nif/registry.h"
#include "nif/term.h"

typedef enum tsu_right {
    TSU_RIGHT_INFO,       /* anybody's */
    TSU_RIGHT_READ,
    TSU_RIGHT_WRITE
} tsu_right;

typedef struct tsu_call {
    ErlNifEnv   *env;
    tsu_thread  *self;
    tsu_live    *live;
    tsu_table   *table;
    ErlNifPid    caller;
    ERL_NIF_TERM cause;   /* why it failed to begin; 0: memory is short */
    ERL_NIF_TERM view;    /* the term that it was called by, if that is a view; else 0 */
    tsu_table   *then;    /* the view's table */
} tsu_call;

/* Fails with that cause: unpins. */
bool tsu_call_fail(tsu_call *c, ERL_NIF_TERM cause);

/* The table of a call by a term that is no handle: c->live, and NULL with a cause if there is none. By a view all that is read until the
 * end of the call is of its time; to write by one is refused. */
void tsu_call_find(tsu_call *c, ERL_NIF_TERM table, tsu_right right);

static inline __attribute__((always_inline)) bool tsu_call_begin(tsu_call *c, ErlNifEnv *env, ERL_NIF_TERM table, tsu_right right)
{
    void    *handle;
    uint64_t protection;

    c->env = env;
    c->view = 0;
    c->self = tsu_thread_self();
    if (TSU_UNLIKELY(c->self == NULL)) {
        c->cause = 0;
        return false;
    }
    tsu_pin(c->self);
    c->cause = tsu_atom_id;
    if (TSU_LIKELY(!tsu_nif_is_atom(table) && enif_get_resource(env, table, tsu_type_table, &handle)))
        c->live = tsu_handle_live(handle);
    else
        tsu_call_find(c, table, right);
    if (TSU_UNLIKELY(c->live == NULL)) return tsu_call_fail(c, c->cause);
    enif_self(env, &c->caller);
    if (c->caller.pid != tsu_load_acquire(&c->live->owner)) {
        if (TSU_UNLIKELY(!tsu_live_usable(env, c->live))) return tsu_call_fail(c, c->cause);
        protection = tsu_load_relaxed(&c->live->protection);
        /* It may have become the caller's while we looked. */
        if (right != TSU_RIGHT_INFO && TSU_UNLIKELY(protection != TSU_PUBLIC) &&
            (right == TSU_RIGHT_WRITE || protection == TSU_PRIVATE) &&
            c->caller.pid != tsu_load_acquire(&c->live->owner))
            return tsu_call_fail(c, tsu_atom_access);
    }
    c->table = TSU_LIKELY(c->view == 0) ? c->live->table : c->then;
    return true;
}

static inline bool tsu_call_is_owner(const tsu_call *c)
{
    return c->caller.pid == tsu_load_acquire(&c->live->owner);
}

/* For a call that goes on later: the table's tid, or the view. Pinned. */
static inline ERL_NIF_TERM tsu_call_tid(const tsu_call *c)
{
    return TSU_LIKELY(c->view == 0) ? tsu_live_tid(c->env, c->live) : c->view;
}

static inline void tsu_call_end(tsu_call *c)
{
    tsu_snapshot_done(c->self);
    tsu_unpin(c->self);
}

/* The error for a call that failed to begin. */
ERL_NIF_TERM tsu_call_refuse(const tsu_call *c);

/* Room for a key or an object on the C stack; what is longer goes to the heap. */
#define TSU_ARGS_BYTES 256

/* A key, encoded. On error nothing has to be let go of. */
typedef struct tsu_key_arg {
    tsu_writer w;
    uint8_t    buffer[TSU_ARGS_BYTES];
} tsu_key_arg;

tsu_status tsu_key_read_slow(tsu_key_arg *k, ErlNifEnv *env, ERL_NIF_TERM term);
static inline tsu_status tsu_key_read(tsu_key_arg *k, ErlNifEnv *env, ERL_NIF_TERM term)
{
    /* of the writer only what tsu_key_done looks at */
    k->w.len = tsu_nif_word_put(k->buffer, term);
    if (TSU_UNLIKELY(k->w.len == 0)) return tsu_key_read_slow(k, env, term);
    k->w.bytes = k->buffer;
    k->w.handles = NULL;
    return TSU_OK;
}

static inline void tsu_key_done(tsu_key_arg *k)
{
    if (TSU_UNLIKELY(k->w.bytes != k->buffer || k->w.handles != NULL)) tsu_writer_deinit(&k->w);
}

/* An object for a table with that keypos. BADARG: no tuple, or too short. Its handles are the writer's until
 * they are given away. On error nothing has to be let go of. */
static inline tsu_status tsu_object_read(tsu_key_arg *o, ErlNifEnv *env, ERL_NIF_TERM term, uint32_t keypos)
{
    tsu_status s;

    tsu_writer_init(&o->w, o->buffer, sizeof o->buffer);
    s = tsu_nif_encode_object(env, term, (int)keypos, &o->w);
    if (TSU_UNLIKELY(s != TSU_OK)) tsu_writer_deinit(&o->w);
    return s;
}

/* An integer of at most a word, as ets wants positions and indexes to be. */
static inline bool tsu_small_read(ERL_NIF_TERM term, int64_t *out)
{
    *out = (int64_t)term >> 4;
    return tsu_nif_is_small(term);
}

/* {Pid, Data}, {Pid, Data, Anchor}, or none. */
typedef struct tsu_heir_arg {
    bool         some;
    ErlNifPid    pid;
    ERL_NIF_TERM data, anchor;      /* anchor 0: none */
} tsu_heir_arg;
bool tsu_heir_read(ErlNifEnv *env, ERL_NIF_TERM term, tsu_heir_arg *heir);

bool tsu_bool_read(ERL_NIF_TERM term, bool *out);

#endif
