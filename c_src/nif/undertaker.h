/* undertaker.h: settles what a dead process has left, when that is too much for the callback that hears of the death.
 *
 * The callback runs on a scheduler. What it does not get done in its time goes to a thread of the library's own. Nothing
 * is seen of the difference: a table of a dead owner is found by nobody, or is handed to its heir at the first look (registry.h, R3).
 *
 * Threads     put: any. start and stop: once each, stop when no process is left.
 * Checked by  test/tsunami_owner_tests.erl
 */
#ifndef TSU_NIF_UNDERTAKER_H
#define TSU_NIF_UNDERTAKER_H

#include "nif/registry.h"

tsu_status tsu_undertaker_start(void);
void tsu_undertaker_stop(void);

/* Takes over a dead process. */
void tsu_undertaker_put(tsu_process *process);

/* Waits until all that was put so far is settled. */
void tsu_undertaker_sync(void);

#endif
