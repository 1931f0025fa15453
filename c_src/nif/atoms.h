/* atoms.h: the atoms that this library knows by heart, made once at load.
 *
 * Atoms are immediates that no garbage collection moves, so a static holds them safely.
 */
#ifndef TSU_NIF_ATOMS_H
#define TSU_NIF_ATOMS_H

#include <erl_nif.h>

/* name in C, text */
#define TSU_ATOMS(X)                                                                              \
    X(true, "true") X(false, "false") X(none, "none") X(undefined, "undefined") X(ok, "ok")       \
    X(tsunami_badarg, "tsunami_badarg") X(tsunami_error, "tsunami_error")                         \
    X(system_limit, "system_limit") X(id, "id") X(type, "type") X(access, "access")               \
    X(owner, "owner") X(not_owner, "not_owner") X(badkey, "badkey") X(keypos, "keypos")           \
    X(position, "position") X(table_type, "table_type") X(already_exists, "already_exists")       \
    X(end_of_table, "$end_of_table") X(ets_transfer, "ETS-TRANSFER") X(start, "start")            \
    X(done, "done") X(forward, "forward") X(backward, "backward") X(set, "set")                   \
    X(ordered_set, "ordered_set") X(bag, "bag") X(duplicate_bag, "duplicate_bag")                 \
    X(public, "public") X(protected, "protected") X(private, "private") X(auto, "auto")           \
    X(decentralized_counters, "decentralized_counters") X(read_concurrency, "read_concurrency")   \
    X(write_concurrency, "write_concurrency") X(compressed, "compressed") X(memory, "memory")     \
    X(heir, "heir") X(name, "name") X(size, "size") X(node, "node")                               \
    X(named_table, "named_table") X(protection, "protection") X(fixed, "fixed")                   \
    X(safe_fixed, "safe_fixed") X(safe_fixed_monotonic_time, "safe_fixed_monotonic_time")         \
    X(stats, "stats") X(binary, "binary") X(epoch, "epoch") X(bytes_waiting, "bytes_waiting")     \
    X(pieces_leaked, "pieces_leaked") X(slab_bytes_held, "slab_bytes_held")                       \
    X(slab_bytes_pooled, "slab_bytes_pooled") X(roots_waiting, "roots_waiting")                   \
    X(tables, "tables") X(anchor, "anchor") X(processes, "processes") X(foreign, "foreign")          \
    X(select, "select") X(reverse, "reverse") X(count, "count") X(delete, "delete")            \
    X(replace, "replace") X(all, "all") X(expected, "expected") X(new, "new")           \
    X(first, "first") X(last, "last") X(ge, "ge") X(gt, "gt") X(le, "le") X(lt, "lt")             \
    X(key, "key") X(range, "range") X(tuples, "tuples")                                           \
    X(object, "object") X(other, "other") X(at_least, "at_least") X(view, "view")                 \
    X(least, "$first") X(most, "$last") X(any, "_") X(debug_locks, "debug_hash_fixed_number_of_locks")

#define TSU_ATOM_DECLARE(c, text) extern ERL_NIF_TERM tsu_atom_##c;
TSU_ATOMS(TSU_ATOM_DECLARE)
#undef TSU_ATOM_DECLARE

/* The empty list. */
extern ERL_NIF_TERM tsu_nil;

/* Makes them all. */
void tsu_atoms_load(ErlNifEnv *env);

#endif
