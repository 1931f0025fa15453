/* view.h: a view: a resource that stands for a table at one instant, and is read as the table is.
 *
 * Made by snapshot/1 (nif_snapshot.c), found by tsu_call_begin. It leads to the table by its handle, so that name, rights and
 * end are the table's, and has the engine's snapshot, which it lets go of when it is released or collected, or the table ends.
 */
#ifndef TSU_NIF_VIEW_H
#define TSU_NIF_VIEW_H

#include "nif/args.h"

struct tsu_view {
    tsu_handle *handle;        /* kept */
    tsu_word    snapshot;      /* tsu_snapshot *, or 0: released */
    tsu_word    size;          /* how many objects, plus 1; 0: nobody has counted them yet */
    /* guarded by the registry's mutex */
    tsu_live   *live;          /* NULL: it is gone */
    tsu_view   *live_next, *live_prev;
};

static inline bool tsu_view_get(ErlNifEnv *env, ERL_NIF_TERM term, tsu_view **view)
{
    return enif_get_resource(env, term, tsu_type_view, (void **)view);
}

/* The table to read; NULL: it is released. Pinned, until tsu_snapshot_done. */
tsu_table *tsu_view_use(tsu_thread *self, tsu_view *view);

/* The snapshot, which is the caller's to destroy, or NULL: that has been done. */
static inline tsu_snapshot *tsu_view_take(tsu_view *view) { return (tsu_snapshot *)(uintptr_t)tsu_exchange(&view->snapshot, 0); }

void tsu_view_dtor(ErlNifEnv *env, void *object);

/* Of a call by a view: items that are not the table's; false: it is one that is. */
bool tsu_view_item(const tsu_call *c, ERL_NIF_TERM name, ERL_NIF_TERM *out);
/* Its size is known: else that is found out first, and then the function called (again). */
bool tsu_view_counted(const tsu_call *c);
ERL_NIF_TERM tsu_view_count_first(ErlNifEnv *env, ERL_NIF_TERM (*fn)(ErlNifEnv *, int, const ERL_NIF_TERM[]), int argc,
                                  const ERL_NIF_TERM argv[]);

#endif
