/* batch.h: what the reaper needs of a batch. engine.h has the rest. */
#ifndef TSU_BATCH_H
#define TSU_BATCH_H

#include "table.h"

/* Takes a given-up batch to its end, in steps: rolls back, or settles if it has committed. True: it is freed. Pinned. */
bool tsu_batch_finish(tsu_thread *self, tsu_batch *batch, size_t budget);

/* Where the reaper links it into its queue. */
tsu_batch **tsu_batch_link(tsu_batch *batch);

#endif
