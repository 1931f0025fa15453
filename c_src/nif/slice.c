#include "nif/slice.h"

void tsu_slice_end(ErlNifEnv *env, const tsu_slice *slice)
{
    /* a slice is all that a process gets: what follows on the same time slice might take as long again */
    uint64_t percent = (tsu_env_monotonic_ns() - slice->start_ns) / (TSU_SLICE_NS / 100);

    if (percent > 0) enif_consume_timeslice(env, percent > 100 ? 100 : (int)percent);
}

tsu_slices *tsu_slices_new(void)
{
    tsu_slices *state = enif_alloc_resource(tsu_type_slices, sizeof *state);

    if (state != NULL) *state = (tsu_slices){ .batch = NULL };
    return state;
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
    if (state->rework != NULL && (self = tsu_thread_self()) != NULL) {
        tsu_pin(self);
        tsu_rework_destroy(self, state->rework);
        tsu_unpin(self);
        state->rework = NULL;
    }
    if (state->cleared != NULL && (self = tsu_thread_self()) != NULL) {
        tsu_contents_unreference(self, state->cleared);
        state->cleared = NULL;
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

bool tsu_grace_help(tsu_thread *self, uint64_t begun)
{
    for (int i = 0; i < 2 && !tsu_grace_over(begun); i++) (void)tsu_ebr_collect(self, TSU_GRACE_PIECES_MAX);
    return tsu_grace_over(begun);
}

ERL_NIF_TERM tsu_within_term(ErlNifEnv *env, const tsu_scan *scan, ERL_NIF_TERM list, uint64_t count)
{
    return enif_make_tuple5(env, enif_make_uint64(env, scan->part.stamp), enif_make_uint64(env, (uint64_t)(uintptr_t)scan->part.next),
                            enif_make_uint(env, scan->beginnings), list, enif_make_uint64(env, count));
}

bool tsu_within_read(ErlNifEnv *env, ERL_NIF_TERM term, tsu_scan *scan, ERL_NIF_TERM *list, uint64_t *count)
{
    const ERL_NIF_TERM *e;
    ErlNifUInt64        stamp, next, n;
    unsigned            beginnings;
    int                 arity;

    scan->within = enif_get_tuple(env, term, &arity, &e) && arity == 5 && enif_get_uint64(env, e[0], &stamp)
                   && enif_get_uint64(env, e[1], &next) && enif_get_uint(env, e[2], &beginnings) && enif_get_uint64(env, e[4], &n);
    if (!scan->within) return false;
    scan->part = (tsu_part){stamp, (const void *)(uintptr_t)next};
    scan->beginnings = beginnings;
    *list = e[3];
    *count = n;
    return true;
}
