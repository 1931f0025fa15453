#include "nif/slice.h"

void tsu_slice_end(ErlNifEnv *env, const tsu_slice *slice)
{
    /* a slice is all that a process gets: what follows on the same time slice might take as long again */
    uint64_t percent = (tsu_env_monotonic_ns() - slice->start_ns) / (TSU_SLICE_NS / 100);

    if (percent > 0) enif_consume_timeslice(env, percent > 100 ? 100 : (int)percent);
}

void tsu_slices_deinit(tsu_slices *state)
{
    tsu_thread *self;

    if (state->batch != NULL && (self = tsu_thread_self()) != NULL) {
        tsu_pin(self);
        tsu_batch_destroy(self, state->batch);
        tsu_unpin(self);
        state->batch = NULL;
    }
    if (state->handle != NULL) {
        enif_release_resource(state->handle);
        state->handle = NULL;
    }
}

void tsu_slices_dtor(ErlNifEnv *env, void *object)
{
    (void)env;
    tsu_slices_deinit(object);
}
