/* reaper.h: the engine's one thread of its own: frees behind what was cleared, deleted or given up.
 *
 * Callers hand over in O(1). The thread waits out a grace period, frees in small steps, and lets other threads run
 * in between; it sleeps when there is nothing.
 *
 * Threads     put: any. stop: once, when nobody puts any more; all that waits is freed first.
 * Checked by  engine_test.c
 */
#ifndef TSU_REAPER_H
#define TSU_REAPER_H

#include "table.h"

tsu_status tsu_reaper_start(void);
void tsu_reaper_stop(void);

void tsu_reaper_put_contents(struct tsu_contents *contents);
void tsu_reaper_put_group(tsu_thread *self, tsu_group *group);
/* An unfinished batch: rolled back or settled, then freed. */
void tsu_reaper_put_batch(tsu_batch *batch);

/* A snapshot that was let go of: view.h. */
void tsu_reaper_put_snapshot(tsu_snapshot *snapshot);

/* Has the next chunk of slab memory made ready. */
void tsu_reaper_feed(void);

/* How many wait. */
uint64_t tsu_reaper_waiting(void);

#endif
