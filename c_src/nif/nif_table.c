/* nif_table.c: tables as such: made, named, owned, fixed and deleted. */
#include "nif/args.h"
#include "nif/functions.h"
#include "nif/reply.h"
#include "nif/slice.h"
#include "nif/undertaker.h"

static void live_discard(tsu_thread *self, tsu_live *live)
{
    if (live->table != NULL) tsu_table_destroy(self, live->table);
    if (live->tid_env != NULL) enif_free_env(live->tid_env);
    tsu_env_free(live, sizeof *live);
}

/* write_concurrency as info is to report it. */
static bool locks_read(ErlNifEnv *env, ERL_NIF_TERM term, tsu_live *live)
{
    const ERL_NIF_TERM *pair;
    int                 arity;
    unsigned            locks;

    if (enif_is_atom(env, term)) {
        live->write_concurrency = term;
        return true;
    }
    if (!enif_get_tuple(env, term, &arity, &pair) || arity != 2) return false;
    if (!enif_get_uint(env, pair[1], &locks)) return false;
    live->locks = locks;
    return true;
}

/* new(Name, Named, Type, Protection, KeyPos, Heir, ReadConcurrency, WriteConcurrency, DecentralizedCounters, Compressed) */
TSU_NIF(tsu_nif_new)
{
    ErlNifPid    owner;
    tsu_heir_arg heir;
    tsu_thread  *self = tsu_thread_self();
    tsu_live    *live = NULL;
    ERL_NIF_TERM reply = 0;
    tsu_status   s = TSU_BADARG;
    unsigned     type, protection;
    int64_t      keypos;

    (void)argc;
    if (self == NULL) return tsu_reply_limit(env);
    live = tsu_env_alloc(sizeof *live);
    if (live == NULL) return tsu_reply_limit(env);
    memset(live, 0, sizeof *live);
    tsu_pin(self);
    if (!enif_is_atom(env, argv[0]) || !tsu_bool_read(argv[1], &live->named) ||
        !enif_get_uint(env, argv[2], &type) || type > TSU_DUPLICATE_BAG ||
        !enif_get_uint(env, argv[3], &protection) || protection > TSU_PRIVATE ||
        !tsu_small_read(argv[4], &keypos) || keypos < 1 || keypos > INT32_MAX ||
        !tsu_heir_read(env, argv[5], &heir) ||
        !tsu_bool_read(argv[6], &live->read_concurrency) || !locks_read(env, argv[7], live) ||
        !tsu_bool_read(argv[8], &live->decentralized_counters) ||
        !tsu_bool_read(argv[9], &live->compressed))
        goto done;
    live->type = (uint8_t)type;
    live->keypos = (uint32_t)keypos;
    tsu_store_relaxed(&live->name, argv[0]);
    tsu_store_relaxed(&live->protection, protection);
    if (heir.anchor != 0 && !live->named) {
        s = TSU_NOMEM;
        live->tid_env = enif_alloc_env();
        if (live->tid_env == NULL) goto done;
        live->tid = enif_make_copy(live->tid_env, heir.anchor);
    }
    TRY(s, tsu_table_create(self, (tsu_table_type)type, (uint32_t)keypos, &live->table));
    enif_self(env, &owner);
    TRY(s, tsu_registry_add(env, self, live, &owner));
    reply = live->named ? argv[0] : tsu_live_tid(env, live);
    tsu_store_release(&live->anchored, heir.anchor != 0);
    if (heir.some) s = tsu_registry_heir(env, live, &heir.pid, heir.data);
    if (s != TSU_OK) (void)tsu_registry_bury(self, live);
    live = NULL;
done:
    if (live != NULL) live_discard(self, live);
    tsu_unpin(self);
    return s == TSU_OK ? reply : tsu_reply_status(env, s);
}

/* What the ets table is called that goes the way of this one; 0: there is none. Asked before the change. */
static ERL_NIF_TERM anchor_of(ErlNifEnv *env, tsu_live *live)
{
    if (TSU_LIKELY(tsu_load_acquire(&live->anchored) == 0)) return 0;
    return live->named ? (ERL_NIF_TERM)tsu_load_acquire(&live->name) : enif_make_copy(env, live->tid);
}

/* {anchor, Anchor, Answer}: the Erlang side does the same to the anchor. */
static ERL_NIF_TERM with_anchor(ErlNifEnv *env, ERL_NIF_TERM anchor, ERL_NIF_TERM answer)
{
    return TSU_LIKELY(anchor == 0) ? answer : enif_make_tuple3(env, tsu_atom_anchor, anchor, answer);
}

TSU_NIF(tsu_nif_delete_table)
{
    tsu_call     c;
    ERL_NIF_TERM anchor;
    bool         mine;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    anchor = anchor_of(env, c.live);
    mine = tsu_registry_bury(c.self, c.live);
    tsu_call_end(&c);
    return mine ? with_anchor(env, anchor, tsu_atom_true) : tsu_reply_badarg(env, tsu_atom_id);
}

/* argv: when a grace began, and the answer of a rename that was done before. The answer is given when every call that had found the
 * table by its old name is over (E1): none of them may come after what the caller does next. */
static ERL_NIF_TERM rename_wait(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_thread *self = tsu_thread_self();
    ErlNifUInt64 begun;

    if (!enif_get_uint64(env, argv[0], &begun)) return enif_make_badarg(env);
    if (self == NULL || tsu_grace_help(self, begun)) return argv[1];
    (void)enif_consume_timeslice(env, 100);
    return enif_schedule_nif(env, "rename", 0, rename_wait, argc, argv);
}

TSU_NIF(tsu_nif_rename)
{
    tsu_call     c;
    tsu_status   s = TSU_BADARG;
    ERL_NIF_TERM anchor, wait[2];
    bool         named;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    named = c.live->named;
    anchor = named ? anchor_of(env, c.live) : 0;
    if (enif_is_atom(env, argv[1])) s = tsu_registry_rename(env, c.self, c.live, argv[1]);
    tsu_call_end(&c);
    if (s == TSU_EXISTS) s = TSU_BADARG;                /* as ets: no cause */
    if (s != TSU_OK) return tsu_reply_status(env, s);
    if (!named) return argv[0];
    wait[0] = enif_make_uint64(env, tsu_grace_begin());
    wait[1] = with_anchor(env, anchor, argv[1]);
    return rename_wait(env, 2, wait);
}

TSU_NIF(tsu_nif_whereis)
{
    tsu_call     c;
    ERL_NIF_TERM tid;

    (void)argc;
    if (!enif_is_atom(env, argv[0])) return tsu_reply_badarg(env, tsu_atom_none);
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_INFO))
        return c.cause == tsu_atom_id ? tsu_atom_undefined : tsu_call_refuse(&c);
    tid = tsu_live_tid(env, c.live);
    tsu_call_end(&c);
    return tid;
}

#define SLOTS_BETWEEN_LOOKS 256u

/* all(), or, to go on with, (Position, List) */
TSU_NIF(tsu_nif_all)
{
    tsu_slice    slice = tsu_slice_begin();
    tsu_thread  *self = tsu_thread_self();
    ErlNifUInt64 position = 0;
    ERL_NIF_TERM list = tsu_nil, rest[2];
    bool         done;

    if (self == NULL) return tsu_reply_limit(env);
    if (argc == 2) {
        if (!enif_get_uint64(env, argv[0], &position)) return enif_make_badarg(env);
        list = argv[1];
    }
    do {
        uint64_t at = position;

        tsu_pin(self);
        done = tsu_registry_list(env, &at, SLOTS_BETWEEN_LOOKS, &list);
        tsu_unpin(self);
        position = at;
    } while (!done && !tsu_slice_over(&slice));
    tsu_slice_end(env, &slice);
    if (done) return list;
    rest[0] = enif_make_uint64(env, position);
    rest[1] = list;
    return enif_schedule_nif(env, "all", 0, tsu_nif_all, 2, rest);
}

TSU_NIF(tsu_nif_setopts_heir)
{
    tsu_call     c;
    tsu_status   s = TSU_BADARG;
    tsu_heir_arg heir;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    if (tsu_call_is_owner(&c) && tsu_heir_read(env, argv[1], &heir)) {
        s = tsu_registry_heir(env, c.live, heir.some ? &heir.pid : NULL, heir.data);
        /* Without an heir it keeps what anchor it has, for the next one. */
        if (s == TSU_OK && heir.some) tsu_store_release(&c.live->anchored, heir.anchor != 0);
    }
    tsu_call_end(&c);
    return s == TSU_OK ? tsu_atom_true : tsu_reply_status(env, s);
}

TSU_NIF(tsu_nif_setopts_protection)
{
    tsu_call c;
    unsigned protection;
    bool     good;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    good = tsu_call_is_owner(&c) && enif_get_uint(env, argv[1], &protection) && protection <= TSU_PRIVATE;
    if (good) tsu_store_release(&c.live->protection, protection);
    tsu_call_end(&c);
    return good ? tsu_atom_true : tsu_reply_badarg(env, tsu_atom_none);
}

TSU_NIF(tsu_nif_give_away)
{
    tsu_call     c;
    ErlNifPid    to;
    tsu_status   s = TSU_BADARG;
    ERL_NIF_TERM cause = tsu_atom_none, anchor;
    bool         anchored = false;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    anchor = anchor_of(env, c.live);
    if (!enif_get_local_pid(env, argv[1], &to) || !enif_is_process_alive(env, &to)) goto done;
    if (!tsu_call_is_owner(&c)) cause = tsu_atom_not_owner;
    else if (to.pid == c.caller.pid) cause = tsu_atom_owner;
    else s = tsu_registry_give(env, c.live, &c.caller, &to, argv[2], &anchored);
done:
    tsu_call_end(&c);
    if (s == TSU_OK) return with_anchor(env, anchored ? anchor : 0, tsu_atom_true);
    return s == TSU_BADARG ? tsu_reply_badarg(env, cause) : tsu_reply_status(env, s);
}

TSU_NIF(tsu_nif_safe_fixtable)
{
    tsu_call   c;
    tsu_status s = TSU_OK;
    bool       fix;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    if (c.view != 0) s = tsu_bool_read(argv[1], &fix) ? TSU_OK : TSU_BADARG;      /* it does not change as it is */
    else if (argv[1] == tsu_atom_true) s = tsu_registry_fix(env, c.self, c.live, &c.caller);
    else if (argv[1] != tsu_atom_false) s = TSU_BADARG;
    else if (tsu_load_acquire(&c.live->fixed) != 0) tsu_registry_unfix(c.self, c.live, &c.caller);
    tsu_call_end(&c);
    return s == TSU_OK ? tsu_atom_true : tsu_reply_status(env, s);
}

/* anchor(T): the anchor's name or tid, or none. For whoever is about to change it, by no view. */
TSU_NIF(tsu_nif_anchor)
{
    tsu_call     c;
    ERL_NIF_TERM anchor;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    anchor = anchor_of(env, c.live);
    tsu_call_end(&c);
    return anchor != 0 ? anchor : tsu_atom_none;
}

/* unanchor(T, none | Pid): ETS-TRANSFER is ours to send again; Pid has the table and could not be given the anchor.
 * For whoever had the right to begin that with. */
TSU_NIF(tsu_nif_unanchor)
{
    tsu_call  c;
    ErlNifPid given;
    bool      some = enif_get_local_pid(env, argv[1], &given) != 0;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_INFO)) return tsu_call_refuse(&c);
    tsu_registry_unanchor(env, c.live, some ? &given : NULL);
    tsu_call_end(&c);
    return tsu_atom_true;
}

TSU_NIF(tsu_nif_stats)
{
    tsu_engine_stats s;
    ERL_NIF_TERM     map;

    (void)argc;
    (void)argv;
    tsu_engine_stats_get(&s);
    map = enif_make_new_map(env);
    enif_make_map_put(env, map, tsu_atom_epoch, enif_make_uint64(env, s.epoch), &map);
    enif_make_map_put(env, map, tsu_atom_bytes_waiting, enif_make_uint64(env, s.bytes_waiting), &map);
    enif_make_map_put(env, map, tsu_atom_pieces_leaked, enif_make_uint64(env, s.pieces_leaked), &map);
    enif_make_map_put(env, map, tsu_atom_slab_bytes_held, enif_make_uint64(env, s.slab_bytes_held), &map);
    enif_make_map_put(env, map, tsu_atom_slab_bytes_pooled, enif_make_uint64(env, s.slab_bytes_pooled), &map);
    enif_make_map_put(env, map, tsu_atom_roots_waiting, enif_make_uint64(env, s.roots_waiting), &map);
    enif_make_map_put(env, map, tsu_atom_tables, enif_make_uint64(env, tsu_registry_table_count()), &map);
    enif_make_map_put(env, map, tsu_atom_processes, enif_make_uint64(env, tsu_registry_process_count()), &map);
    return map;
}

TSU_NIF(tsu_nif_sync)
{
    tsu_thread *self = tsu_thread_self();

    (void)argc;
    (void)argv;
    if (self == NULL) return tsu_reply_limit(env);
    tsu_undertaker_sync();
    tsu_engine_sync(self);
    return tsu_atom_ok;
}
