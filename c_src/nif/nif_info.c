/* nif_info.c: what is known of a table, item by item, with the names and shapes of ets. */
#include "nif/args.h"
#include "nif/functions.h"
#include "nif/reply.h"
#include "nif/view.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define HASH_SLOTS_MIN 256u

static ERL_NIF_TERM heir_item(tsu_call *c)
{
    ErlNifPid heir = { .pid = (ERL_NIF_TERM)tsu_load_acquire(&c->live->heir) };

    return heir.pid == 0 ? tsu_atom_none : enif_make_pid(c->env, &heir);
}

static ERL_NIF_TERM type_item(const tsu_live *live)
{
    switch ((tsu_table_type)live->type) {
    case TSU_SET:         return tsu_atom_set;
    case TSU_ORDERED_SET: return tsu_atom_ordered_set;
    case TSU_BAG:         return tsu_atom_bag;
    default:              return tsu_atom_duplicate_bag;
    }
}

static ERL_NIF_TERM protection_item(const tsu_live *live)
{
    switch (tsu_load_relaxed(&live->protection)) {
    case TSU_PUBLIC:    return tsu_atom_public;
    case TSU_PROTECTED: return tsu_atom_protected;
    default:            return tsu_atom_private;
    }
}

/* Words, of which what we and the VM keep for it is a part. */
static ERL_NIF_TERM memory_item(tsu_call *c)
{
    uint64_t bytes = tsu_table_bytes(c->table) + sizeof *c->live + sizeof *c->live->handle;

    return enif_make_uint64(c->env, (bytes + sizeof(ERL_NIF_TERM) - 1) / sizeof(ERL_NIF_TERM));
}

static ERL_NIF_TERM write_concurrency_item(tsu_call *c)
{
    if (c->live->locks == 0) return c->live->write_concurrency;
    return enif_make_tuple2(c->env, tsu_atom_debug_locks, enif_make_uint(c->env, c->live->locks));
}

static ERL_NIF_TERM safe_fixed_item(tsu_call *c, bool monotonic)
{
    int64_t      at, system;
    ERL_NIF_TERM time, list;

    if (!tsu_registry_fixations(c->env, c->self, c->live, &at, &system, &list)) return tsu_atom_false;
    if (monotonic) {
        time = enif_make_int64(c->env, at);              /* nanoseconds: native time on all systems we run on */
    } else {
        int64_t seconds = system / NS_PER_SECOND;

        time = enif_make_tuple3(c->env, enif_make_int64(c->env, seconds / 1000000),
                                enif_make_int64(c->env, seconds % 1000000),
                                enif_make_int64(c->env, system % NS_PER_SECOND / 1000));
    }
    return enif_make_tuple2(c->env, time, list);
}

/* The shape of ets' answer: slots, chain lengths (average, deviation, expected deviation, least, most), kept objects, locks.
 * A bucket here has no chain to speak of. */
static ERL_NIF_TERM stats_item(tsu_call *c)
{
    uint64_t     count = tsu_table_count(c->table), slots = HASH_SLOTS_MIN;
    ERL_NIF_TERM zero = enif_make_int(c->env, 0), none = enif_make_double(c->env, 0.0);

    if (c->live->type == TSU_ORDERED_SET) return tsu_atom_false;
    while (slots < count) slots *= 2;
    return enif_make_tuple8(c->env, enif_make_uint64(c->env, slots),
                            enif_make_double(c->env, (double)count / (double)slots), none, none, zero, zero,
                            zero, enif_make_int(c->env, 1));
}

/* This node's name: not always ASCII, so it is made from the external format. */
static ERL_NIF_TERM node_item(ErlNifEnv *env)
{
    uint8_t        bytes[4 + 255 * 4] = { 131, 118 };       /* version, ATOM_UTF8_EXT */
    size_t         len;
    uint32_t       creation;
    const uint8_t *text = tsu_codec.node(&len, &creation);
    ERL_NIF_TERM   term;

    if (text == NULL || len > sizeof bytes - 4) return tsu_atom_undefined;
    bytes[2] = (uint8_t)(len >> 8);
    bytes[3] = (uint8_t)len;
    memcpy(bytes + 4, text, len);
    return enif_binary_to_term(env, bytes, len + 4, &term, 0) != 0 ? term : tsu_atom_undefined;
}

/* False: there is no such item. */
static bool item(tsu_call *c, ERL_NIF_TERM name, ERL_NIF_TERM *out)
{
    const tsu_live *live = c->live;
    ErlNifEnv      *env = c->env;

    if (c->view != 0 && tsu_view_item(c, name, out)) return true;
    if (name == tsu_atom_size) *out = enif_make_uint64(env, tsu_table_count(c->table));
    else if (name == tsu_atom_memory) *out = memory_item(c);
    else if (name == tsu_atom_type) *out = type_item(live);
    else if (name == tsu_atom_owner) *out = (ERL_NIF_TERM)tsu_load_acquire(&live->owner);
    else if (name == tsu_atom_heir) *out = heir_item(c);
    else if (name == tsu_atom_protection) *out = protection_item(live);
    else if (name == tsu_atom_id) *out = tsu_live_tid(env, live);
    else if (name == tsu_atom_name) *out = (ERL_NIF_TERM)tsu_load_acquire(&live->name);
    else if (name == tsu_atom_named_table) *out = tsu_reply_bool(live->named);
    else if (name == tsu_atom_keypos) *out = enif_make_uint(env, live->keypos);
    else if (name == tsu_atom_compressed) *out = tsu_reply_bool(live->compressed);
    else if (name == tsu_atom_read_concurrency) *out = tsu_reply_bool(live->read_concurrency);
    else if (name == tsu_atom_write_concurrency) *out = write_concurrency_item(c);
    else if (name == tsu_atom_decentralized_counters) *out = tsu_reply_bool(live->decentralized_counters);
    else if (name == tsu_atom_fixed) *out = tsu_reply_bool(tsu_registry_fixed(env, c->self, c->live));
    else if (name == tsu_atom_safe_fixed) *out = safe_fixed_item(c, false);
    else if (name == tsu_atom_safe_fixed_monotonic_time) *out = safe_fixed_item(c, true);
    else if (name == tsu_atom_stats) *out = stats_item(c);
    else if (name == tsu_atom_binary) *out = tsu_nil;     /* none are the VM's */
    else return false;
    return true;
}

TSU_NIF(tsu_nif_info_item)
{
    tsu_call     c;
    ERL_NIF_TERM value;
    bool         known = true;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_INFO))
        return c.cause == tsu_atom_id ? tsu_atom_undefined : tsu_call_refuse(&c);
    if (c.view != 0 && argv[1] == tsu_atom_size && !tsu_view_counted(&c)) {
        tsu_call_end(&c);
        return tsu_view_count_first(env, tsu_nif_info_item, argc, argv);
    }
    if (argv[1] == tsu_atom_node) value = node_item(env);
    else known = item(&c, argv[1], &value);
    tsu_call_end(&c);
    return known ? value : tsu_reply_badarg(env, tsu_atom_none);
}

/* In the order of ets:info/1. */
TSU_NIF(tsu_nif_info_all)
{
    static const ERL_NIF_TERM *const names[] = {
        &tsu_atom_id, &tsu_atom_decentralized_counters, &tsu_atom_read_concurrency,
        &tsu_atom_write_concurrency, &tsu_atom_compressed, &tsu_atom_memory, &tsu_atom_owner,
        &tsu_atom_heir, &tsu_atom_name, &tsu_atom_size, &tsu_atom_node, &tsu_atom_named_table,
        &tsu_atom_type, &tsu_atom_keypos, &tsu_atom_protection
    };
    tsu_call     c;
    ERL_NIF_TERM list = tsu_nil, value;
    size_t       i;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_INFO))
        return c.cause == tsu_atom_id ? tsu_atom_undefined : tsu_call_refuse(&c);
    if (c.view != 0 && !tsu_view_counted(&c)) {
        tsu_call_end(&c);
        return tsu_view_count_first(env, tsu_nif_info_all, argc, argv);
    }
    for (i = sizeof names / sizeof *names; i-- > 0;) {
        if (*names[i] == tsu_atom_node) value = node_item(env);
        else (void)item(&c, *names[i], &value);
        list = enif_make_list_cell(env, enif_make_tuple2(env, *names[i], value), list);
    }
    tsu_call_end(&c);
    return list;
}
