/* functions.h: the functions of module tsunami_nif. nif.c has the table that says where each of them runs.
 *
 * Each decodes its arguments (args.h), makes one call of the engine or the registry, and replies (reply.h).
 * A write that finds itself behind a long commit helps it for a while and then asks to be called again.
 */
#ifndef TSU_NIF_FUNCTIONS_H
#define TSU_NIF_FUNCTIONS_H

#include <erl_nif.h>
#include <stdbool.h>
#include <stdint.h>

#define TSU_NIF(name) ERL_NIF_TERM name(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])

/* nif_table.c: tables as such */
TSU_NIF(tsu_nif_new);
TSU_NIF(tsu_nif_delete_table);
TSU_NIF(tsu_nif_rename);
TSU_NIF(tsu_nif_whereis);
TSU_NIF(tsu_nif_all);
TSU_NIF(tsu_nif_setopts_heir);
TSU_NIF(tsu_nif_setopts_protection);
TSU_NIF(tsu_nif_give_away);
TSU_NIF(tsu_nif_safe_fixtable);
TSU_NIF(tsu_nif_anchor);
TSU_NIF(tsu_nif_unanchor);
TSU_NIF(tsu_nif_stats);
TSU_NIF(tsu_nif_sync);

/* nif_info.c */
TSU_NIF(tsu_nif_info_all);
TSU_NIF(tsu_nif_info_item);

/* nif_snapshot.c: tables at one instant */
TSU_NIF(tsu_nif_snapshot);
TSU_NIF(tsu_nif_release);

/* nif_object.c: one key */
TSU_NIF(tsu_nif_lookup);
TSU_NIF(tsu_nif_lookup_element);
TSU_NIF(tsu_nif_member);
TSU_NIF(tsu_nif_delete_key);
TSU_NIF(tsu_nif_delete_object);
TSU_NIF(tsu_nif_delete_all_objects);
TSU_NIF(tsu_nif_take);

/* nif_long.c: lookup (`what` false), take (true) and lookup_elements (the list of positions), in slices, when the key has more
 * objects than that */
#define TSU_OBJECTS_AT_ONCE 1000u
ERL_NIF_TERM tsu_nif_long(ErlNifEnv *env, ERL_NIF_TERM table, ERL_NIF_TERM key, ERL_NIF_TERM what);
/* A tsu_object_fn; `ctx` is a tsu_reply_list: up to that number. */
bool tsu_nif_first_objects(void *ctx, const uint8_t *object);

/* nif_insert.c: one object or many */
TSU_NIF(tsu_nif_insert);
TSU_NIF(tsu_nif_insert_new);

/* nif_update.c: elements of one object */
TSU_NIF(tsu_nif_update_counter);
TSU_NIF(tsu_nif_update_element);

/* nif_iter.c: all keys */
TSU_NIF(tsu_nif_first);
TSU_NIF(tsu_nif_last);
TSU_NIF(tsu_nif_next);
TSU_NIF(tsu_nif_prev);
TSU_NIF(tsu_nif_first_lookup);
TSU_NIF(tsu_nif_last_lookup);
TSU_NIF(tsu_nif_next_lookup);
TSU_NIF(tsu_nif_prev_lookup);
TSU_NIF(tsu_nif_slot);
TSU_NIF(tsu_nif_objects);

/* nif_x.c: what ets does not have */
TSU_NIF(tsu_nif_lookup_many);
TSU_NIF(tsu_nif_lookup_elements);
TSU_NIF(tsu_nif_take_first);
TSU_NIF(tsu_nif_take_last);
TSU_NIF(tsu_nif_compare_and_swap);

/* nif_select.c: match specifications */
TSU_NIF(tsu_nif_search);
TSU_NIF(tsu_nif_select_take);
TSU_NIF(tsu_nif_chunk);
TSU_NIF(tsu_nif_range);
TSU_NIF(tsu_nif_compile);
TSU_NIF(tsu_nif_is_compiled);
TSU_NIF(tsu_nif_run);
TSU_NIF(tsu_nif_source);

/* nif_explain.c */
TSU_NIF(tsu_nif_explain);

/* Asks the VM to call `fn` with the same arguments once others have had their turn. */
static inline ERL_NIF_TERM tsu_nif_again(ErlNifEnv *env, ERL_NIF_TERM (*fn)(ErlNifEnv *, int, const ERL_NIF_TERM[]),
                                         int argc, const ERL_NIF_TERM argv[])
{
    enif_consume_timeslice(env, 25);
    return enif_schedule_nif(env, "again", 0, fn, argc, argv);
}

#endif
