/* engine.c: opening and closing; the whole. */
#include "engine.h"
#include "mem/hashtab.h"
#include "mem/slab.h"
#include "reaper.h"

tsu_status tsu_engine_open(void)
{
    tsu_status s;

    TRY(s, tsu_ebr_init());
    tsu_hash_seed = tsu_env_entropy();
    tsu_group_defer = tsu_reaper_put_group;
    tsu_slab_hungry = tsu_reaper_feed;
    s = tsu_reaper_start();
    if (s != TSU_OK) tsu_ebr_deinit();
done:
    return s;
}

void tsu_engine_close(void)
{
    tsu_thread *self = tsu_thread_self();

    if (self != NULL) tsu_engine_sync(self);
    tsu_reaper_stop();
    if (self != NULL) tsu_ebr_drain(self);
    tsu_ebr_deinit();
}

void tsu_engine_sync(tsu_thread *self)
{
    /* what is drained may hand more to the reaper, which may retire more */
    do {
        tsu_ebr_drain(self);
        while (tsu_reaper_waiting() != 0) tsu_env_yield();
        tsu_ebr_drain(self);
    } while (tsu_reaper_waiting() != 0);
}

void tsu_engine_stats_get(tsu_engine_stats *out)
{
    tsu_ebr_stats  ebr;
    tsu_slab_stats slab;

    tsu_ebr_stats_get(&ebr);
    tsu_slab_stats_get(&slab);
    out->epoch = ebr.epoch;
    out->bytes_waiting = ebr.bytes_waiting;
    out->pieces_leaked = ebr.pieces_leaked;
    out->slab_bytes_held = slab.bytes_held;
    out->slab_bytes_pooled = slab.bytes_pooled;
    out->roots_waiting = tsu_reaper_waiting();
}
