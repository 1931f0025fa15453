/* view.h: what the reaper does to a snapshot that was let go of. engine.h has what others see.
 *
 *     announced --> taken --> let go of --> forgotten --> swept --> freed
 *                                       |             |
 *                          reads of it are over    so are writes for it            (two epochs each)
 */
#ifndef TSU_VIEW_H
#define TSU_VIEW_H

#include "table.h"

/* Nobody reads it any more: writers need not mind it. */
void tsu_snapshot_forget(tsu_snapshot *snapshot);

/* Nobody minds it any more: goes on taking out of its contents what no other needs, for about `budget` steps. True: that is all.
 * *at, NULL at first, is where it has come to. Not pinned. */
bool tsu_snapshot_sweep(tsu_thread *self, tsu_snapshot *snapshot, tsu_record **at, size_t budget);

void tsu_snapshot_free(tsu_thread *self, tsu_snapshot *snapshot);

/* A grace is over that began when tsu_snapshot_wait was called last. */
void tsu_snapshot_wait(tsu_snapshot *snapshot);
static inline bool tsu_snapshot_waited(const tsu_snapshot *snapshot)
{
    return tsu_grace_over(tsu_load_acquire(&snapshot->epoch));
}

#endif
