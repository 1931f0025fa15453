/* registry.h: which tables there are: names, handles, owners, heirs, fixations.
 *
 * A *handle* is what a tid refers to: a resource with one word, the live table or 0. A *live table* holds the
 * engine's table and all that Erlang knows of it. A *process* is a resource that monitors one process which owns
 * a table, is heir of one, or has fixed one; there is one for each such process, whatever the number
 * of its tables, and it stays until the process ends.
 *
 *      tid --> handle <==> live --> engine's table          name --> live
 *                            |  owned by, inherited by
 *                            v
 *                         process
 *
 * Invariants  R1  handle->live leads to the table, or it is 0 and the table is on its way out: it has no name, no slot,
 *                 no owner and no fixation then, and gets none again.
 *             R2  a live table is freed only when every thread pinned at its end has unpinned.
 *             R3  a table whose owner is dead is found by nobody, unless an heir is about to get it.
 *             R4  only who has taken a table from its owner under the mutex ends it or sends ETS-TRANSFER for it.
 * Ownership   a live table keeps its handle; processes belong to the registry, and are let go by their monitor.
 * Threads     lookups are pinned and lock-free. Changes take one mutex, under which nothing blocks: no message is
 *             sent, no term copied, no environment freed, no process locked for long.
 * Exits       The VM frees the ets tables of a dying process, and sends ETS-TRANSFER, before it fires links and monitors; a
 *             resource's monitor fires after both, and so late come destructors too: the VM runs them apart. Two ways to be
 *             as early as ets: a table is looked at only while its owner is alive (a dying process already is not), so that
 *             it is gone, or its heir's, at the first look; and an *anchor*: a small ets table with the same owner, name and
 *             heir, so that it is the VM that sends ETS-TRANSFER. What it sends has to lead to our table: a named one's
 *             name does, and a table that is born with an heir has its anchor's tid for its own (a second way to a live
 *             table: a chain by the reference's hash). An anchor is given away with its table. An unnamed table that gets
 *             its first heir later has none, and its heir may hear of the owner's end first. See tsunami_owner.erl.
 * Checked by  test/tsunami_owner_tests.erl, test/tsunami_names_tests.erl
 */
#ifndef TSU_NIF_REGISTRY_H
#define TSU_NIF_REGISTRY_H

#include <erl_nif.h>

#include "engine.h"
#include "nif/resource.h"

typedef struct tsu_handle {
    tsu_word live;              /* tsu_live *, or 0 */
} tsu_handle;

typedef struct tsu_process tsu_process;
typedef struct tsu_live    tsu_live;
typedef struct tsu_view    tsu_view;       /* view.h */

/* One process's fixation of one table. */
typedef struct tsu_fixation {
    tsu_live            *live;
    tsu_process         *process;
    uint64_t             count;
    struct tsu_fixation *live_next, *live_prev;
    struct tsu_fixation *process_next, *process_prev;
} tsu_fixation;

/* A term that several may be reading while one lets go of it. */
typedef struct tsu_gift {
    ErlNifEnv   *env;
    ERL_NIF_TERM term;
    tsu_word     owner_count;
} tsu_gift;

typedef enum tsu_protection { TSU_PUBLIC, TSU_PROTECTED, TSU_PRIVATE } tsu_protection;

struct tsu_live {
    /* fixed */
    tsu_table    *table;
    tsu_handle   *handle;
    uint32_t      keypos;
    uint8_t       type;                /* tsu_table_type */
    bool          named, compressed, read_concurrency, decentralized_counters;
    uint32_t      locks;               /* of debug_hash_fixed_number_of_locks; 0: see write_concurrency */
    ERL_NIF_TERM  write_concurrency;   /* an atom */
    ErlNifEnv    *tid_env;             /* of a table whose tid is its anchor's; else NULL */
    ERL_NIF_TERM  tid;
    uint64_t      tid_key;
    /* atomic; written under the mutex */
    tsu_word      owner;               /* a pid's term */
    tsu_word      protection;
    tsu_word      name;                /* an atom */
    tsu_word      heir;                /* a pid's term, or 0 */
    tsu_word      fixed;               /* fixations in all, each counted as often as it was made */
    tsu_word      anchored;            /* the VM sends ETS-TRANSFER when the owner dies */
    /* guarded by the mutex */
    bool          gone;
    uint32_t      slot;
    tsu_process  *owner_process, *heir_process;
    tsu_live     *owned_next, *owned_prev;
    tsu_live     *heir_next, *heir_prev;
    tsu_gift     *heir_data;
    tsu_fixation *fixations;
    tsu_view     *views;               /* whose snapshots go with the table */
    int64_t       fixed_monotonic, fixed_system;      /* native units; nanoseconds */
};

struct tsu_process {
    ErlNifPid      pid;
    ErlNifMonitor  monitor;
    /* guarded by the mutex */
    bool           dead, hashed;
    tsu_process   *hash_next;
    tsu_live      *owned[2];           /* [1]: those that have, or had, an heir */
    tsu_live      *heir_of;
    tsu_fixation  *fixations;
    /* the undertaker's */
    tsu_process   *dead_next;
};

tsu_status tsu_registry_open(void);
/* All tables are gone. */
void tsu_registry_close(void);

/* --- finding ------------------------------------------------------------------------ */
/* The live table of that name or NULL; pinned. Whoever finds one still has to ask tsu_live_usable. */
tsu_live *tsu_registry_name(ERL_NIF_TERM name);

/* The live table that has this reference, no handle of ours, for its tid, or NULL. Pinned. */
tsu_live *tsu_registry_tid(ErlNifEnv *env, ERL_NIF_TERM tid);

/* The table's tid. Pinned. */
static inline ERL_NIF_TERM tsu_live_tid(ErlNifEnv *env, const tsu_live *live)
{
    return TSU_LIKELY(live->tid_env == NULL) ? enif_make_resource(env, live->handle)
                                             : enif_make_copy(env, live->tid);
}

static inline tsu_live *tsu_handle_live(const tsu_handle *handle)
{
    return (tsu_live *)(uintptr_t)tsu_load_acquire(&handle->live);
}

/* Whether a table whose owner is not the caller is still there: R3. Pinned. */
bool tsu_live_usable_slow(ErlNifEnv *env, tsu_live *live);
static inline bool tsu_live_usable(ErlNifEnv *env, tsu_live *live)
{
    ErlNifPid owner = { .pid = (ERL_NIF_TERM)tsu_load_acquire(&live->owner) };

    if (TSU_LIKELY(enif_is_process_alive(env, &owner))) return true;
    return tsu_live_usable_slow(env, live);
}

/* Puts tables, as names or tids, in front of *list, from slot *position on, and moves *position; true: there are no more. Pinned. */
bool tsu_registry_list(ErlNifEnv *env, uint64_t *position, uint64_t slots_max, ERL_NIF_TERM *list);

uint64_t tsu_registry_table_count(void);
uint64_t tsu_registry_process_count(void);

/* --- changing ------------------------------------------------------------------------ */
/* Makes a table findable: sets its owner, handle, slot and, if named, its name. EXISTS: the name is taken. GONE: the owner or the
 * caller is dying. On error the caller still owns `live` and its engine table. Pinned. */
tsu_status tsu_registry_add(ErlNifEnv *env, tsu_thread *self, tsu_live *live, const ErlNifPid *owner);

/* Ends a table: R1 from here on; freed behind. False: somebody else has done it. Pinned. */
bool tsu_registry_bury(tsu_thread *self, tsu_live *live);

/* EXISTS: the name is taken. GONE: the table is. */
tsu_status tsu_registry_rename(ErlNifEnv *env, tsu_thread *self, tsu_live *live, ERL_NIF_TERM name);

/* Gives a table to another process and sends it ETS-TRANSFER, unless it has an anchor (*anchored): who gives that away too has
 * the VM send it. BADARG: that one is dead. GONE: the table is, or belongs to another than `from` by now. */
tsu_status tsu_registry_give(ErlNifEnv *env, tsu_live *live, const ErlNifPid *from,
                             const ErlNifPid *to, ERL_NIF_TERM data, bool *anchored);

/* The table has no anchor from here on. `given`, else NULL, had got the table but not its anchor: if it has died since,
 * its heir is told now. Pinned. */
void tsu_registry_unanchor(ErlNifEnv *env, tsu_live *live, const ErlNifPid *given);

/* heir NULL: none. A dead heir is none. */
tsu_status tsu_registry_heir(ErlNifEnv *env, tsu_live *live, const ErlNifPid *heir, ERL_NIF_TERM data);

tsu_status tsu_registry_fix(ErlNifEnv *env, tsu_thread *self, tsu_live *live, const ErlNifPid *pid);
void tsu_registry_unfix(tsu_thread *self, tsu_live *live, const ErlNifPid *pid);
/* Whether a process that is alive has fixed the table. Pinned. */
bool tsu_registry_fixed(ErlNifEnv *env, tsu_thread *self, tsu_live *live);
/* False: not fixed. Else the times of the first fixation (native monotonic, nanoseconds of system time) and
 * [{Pid, Count}]. Pinned. */
bool tsu_registry_fixations(ErlNifEnv *env, tsu_thread *self, tsu_live *live, int64_t *monotonic, int64_t *system,
                            ERL_NIF_TERM *list);

/* The view goes when the table does, if that is sooner; GONE: it has. `remove` before the view's memory goes. */
tsu_status tsu_registry_view_add(tsu_live *live, tsu_view *view);
void tsu_registry_view_remove(tsu_view *view);

/* --- the resource types' own -------------------------------------------------------------- */
void tsu_process_down(ErlNifEnv *env, void *object, ErlNifPid *pid, ErlNifMonitor *monitor);

#endif
