/* registry_inner.h: what registry.c and process.c share, and nobody else: the mutex and what is done under it.
 *
 * Functions that end in _locked are called with the mutex held.
 */
#ifndef TSU_NIF_REGISTRY_INNER_H
#define TSU_NIF_REGISTRY_INNER_H

#include "nif/registry.h"

extern tsu_env_mutex tsu_registry_mutex;

/* Takes a table out of everything that leads to it: R1. Pinned. */
void tsu_live_unlink_locked(tsu_thread *self, tsu_live *live);
/* The rest of its end, without the mutex: the engine's table, the heir's data, the memory. Pinned. */
void tsu_live_finish(tsu_thread *self, tsu_live *live);

/* The process of that pid, made if there is none. GONE: it is dead. Lets go of the mutex and takes it
 * again if it has to make one, so it comes before anything is looked at. */
tsu_status tsu_process_obtain_locked(ErlNifEnv *env, const ErlNifPid *pid, tsu_process **out);

void tsu_process_own_locked(tsu_process *process, tsu_live *live);
void tsu_process_disown_locked(tsu_live *live);
void tsu_process_unheir_locked(tsu_live *live);       /* leaves heir_data */
void tsu_process_unfix_all_locked(tsu_live *live);

/* Whether the table will go to an heir when its owner dies. */
bool tsu_process_heir_waits_locked(ErlNifEnv *env, const tsu_live *live);

/* A table of a dead process goes to its heir now, if it has not gone there yet. Pinned. */
void tsu_process_hand_over(ErlNifEnv *env, tsu_thread *self, tsu_process *process, tsu_live *live);

/* Ends the fixations of a dead process, gives away or ends its tables, and lets it be nobody's heir, for `ns` at most. True:
 * nothing is left. `env` NULL: on a thread of our own. Not pinned. */
bool tsu_process_settle(ErlNifEnv *env, tsu_process *process, uint64_t ns);
/* The end of a process that is settled. */
void tsu_process_bury(tsu_process *process);

void tsu_gift_release(tsu_gift *gift);                /* NULL is fine */

tsu_status tsu_process_open(void);
void tsu_process_close(void);

#endif
