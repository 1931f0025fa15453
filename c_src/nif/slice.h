/* slice.h: calls that take long are cut into slices of about half a millisecond.
 *
 * A slice watches the clock, tells the VM what it has used, and lets itself be scheduled again with its terms as
 * arguments. What else it knows lives in a resource, whose destructor frees it: a process that is killed
 * between two slices leaks nothing. Nothing stays pinned from one slice to the next.
 */
#ifndef TSU_NIF_SLICE_H
#define TSU_NIF_SLICE_H

#include "rework.h"
#include "nif/registry.h"
#include "scan.h"

#define TSU_SLICE_NS 500000u

typedef struct tsu_slice {
    uint64_t start_ns;
} tsu_slice;

static inline tsu_slice tsu_slice_begin(void) { return (tsu_slice){ tsu_env_monotonic_ns() }; }

static inline bool tsu_slice_over(const tsu_slice *slice)
{
    return tsu_env_monotonic_ns() - slice->start_ns >= TSU_SLICE_NS;
}

/* Charges the process for the time that this slice took. Nothing for less than a percent of a time slice. */
void tsu_slice_end(ErlNifEnv *env, const tsu_slice *slice);

/* What a list insertion, or a change of a key with many objects, knows between slices. */
typedef struct tsu_slices {
    tsu_handle *handle;        /* kept */
    tsu_batch  *batch;         /* ours; NULL: over */
    uint64_t    name;          /* that the table was called by; 0: its tid */
    bool        new_only;
    bool        adding;        /* objects are still being read */
    tsu_rework *rework;        /* ours; or NULL */
    struct tsu_contents *cleared;    /* the same */
} tsu_slices;

#define TSU_GRACE_PIECES_MAX 16u        /* freed at a time by who waits for a grace */
/* As tsu_grace_over, helping it along. Not pinned. */
bool tsu_grace_help(tsu_thread *self, uint64_t begun);

/* Where a scan has stopped within the objects of a key; `list` and `count` were there when they began. */
ERL_NIF_TERM tsu_within_term(ErlNifEnv *env, const tsu_scan *scan, ERL_NIF_TERM list, uint64_t count);
/* False: it is no such term. */
bool tsu_within_read(ErlNifEnv *env, ERL_NIF_TERM term, tsu_scan *scan, ERL_NIF_TERM *list, uint64_t *count);

/* A resource with nothing in it, to be released; NULL: memory is short. */
tsu_slices *tsu_slices_new(void);

/* Ends what has not ended by itself. */
void tsu_slices_deinit(tsu_slices *state);
void tsu_slices_dtor(ErlNifEnv *env, void *object);

#endif
