/* nif_snapshot.c: tables at one instant: views are made, counted and released. */
#include "nif/functions.h"
#include "nif/reply.h"
#include "nif/slice.h"
#include "nif/view.h"
#include "scan.h"

/* --- views ---------------------------------------------------------------------------------- */
tsu_table *tsu_view_use(tsu_thread *self, tsu_view *view)
{
    tsu_snapshot *s = (tsu_snapshot *)(uintptr_t)tsu_load_acquire(&view->snapshot);

    return s != NULL ? tsu_snapshot_view(self, s) : NULL;
}

void tsu_view_dtor(ErlNifEnv *env, void *object)
{
    tsu_view *view = object;

    (void)env;
    tsu_snapshot_destroy(tsu_view_take(view));
    tsu_registry_view_remove(view);
    enif_release_resource(view->handle);
}

static tsu_view *call_view(const tsu_call *c)
{
    tsu_view *view = NULL;

    (void)tsu_view_get(c->env, c->view, &view);
    return view;
}

bool tsu_view_item(const tsu_call *c, ERL_NIF_TERM name, ERL_NIF_TERM *out)
{
    if (name == tsu_atom_id) *out = c->view;
    else if (name == tsu_atom_size) *out = enif_make_uint64(c->env, tsu_load_acquire(&call_view(c)->size) - 1);
    else if (name == tsu_atom_fixed || name == tsu_atom_safe_fixed || name == tsu_atom_safe_fixed_monotonic_time)
        *out = tsu_atom_false;
    else return false;
    return true;
}

/* --- how many objects it has ------------------------------------------------------------------ */
#define COUNT_STEPS_MAX 1000u
#define COUNT_LOOKS     64u            /* objects between looks at the clock */

bool tsu_view_counted(const tsu_call *c) { return tsu_load_acquire(&call_view(c)->size) != 0; }

typedef struct counting {
    const tsu_slice *slice;
    uint64_t         count;
} counting;

static bool count_show(void *ctx, const uint8_t *object)
{
    counting *n = ctx;

    (void)object;
    return ++n->count % COUNT_LOOKS != 0 || !tsu_slice_over(n->slice);
}

/* argv: what the function that waits for it is called with; then that, the last key seen or start, and the count. */
static ERL_NIF_TERM count_more(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_slice     slice = tsu_slice_begin();
    counting      n = { .slice = &slice };
    tsu_scan      scan = { .plan = &tsu_plan_all, .direction = TSU_FORWARD };
    ErlNifBinary  from = { .size = 0, .data = NULL };
    ErlNifUInt64  fn, count;
    ERL_NIF_TERM  rest[8], cursor = tsu_atom_start;
    tsu_call      c;
    bool          done;
    int           own = argc - 3;

    if (argc > 8 || !enif_get_uint64(env, argv[own], &fn) || !enif_get_uint64(env, argv[own + 2], &count)) return enif_make_badarg(env);
    if (argv[own + 1] != tsu_atom_start && !enif_inspect_binary(env, argv[own + 1], &from)) return enif_make_badarg(env);
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_INFO)) return c.cause == tsu_atom_id ? tsu_atom_undefined : tsu_call_refuse(&c);
    n.count = count;
    scan.from = from.data;
    scan.from_len = from.size;
    done = tsu_scan_run(c.self, c.table, &scan, COUNT_STEPS_MAX, count_show, &n);
    if (done) {
        tsu_store_release(&call_view(&c)->size, n.count + 1);
    } else {
        unsigned char *bytes = enif_make_new_binary(env, scan.from_len, &cursor);

        if (bytes != NULL) memcpy(bytes, scan.from, scan.from_len);
        else cursor = 0;
    }
    tsu_call_end(&c);
    tsu_slice_end(env, &slice);
    if (cursor == 0) return tsu_reply_limit(env);
    for (int i = 0; i <= own; i++) rest[i] = argv[i];
    rest[own + 1] = cursor;
    rest[own + 2] = enif_make_uint64(env, n.count);
    if (!done) return enif_schedule_nif(env, "info", 0, count_more, argc, rest);
    return ((ERL_NIF_TERM(*)(ErlNifEnv *, int, const ERL_NIF_TERM[]))(uintptr_t)fn)(env, own, argv);
}

ERL_NIF_TERM tsu_view_count_first(ErlNifEnv *env, ERL_NIF_TERM (*fn)(ErlNifEnv *, int, const ERL_NIF_TERM[]), int argc,
                                  const ERL_NIF_TERM argv[])
{
    ERL_NIF_TERM rest[8];

    for (int i = 0; i < argc; i++) rest[i] = argv[i];
    rest[argc] = enif_make_uint64(env, (uint64_t)(uintptr_t)fn);
    rest[argc + 1] = tsu_atom_start;
    rest[argc + 2] = enif_make_uint64(env, 0);
    return count_more(env, argc + 3, rest);
}

/* --- making and releasing --------------------------------------------------------------------- */
/* argv: the view. It is answered when it is taken. */
static ERL_NIF_TERM snapshot_wait(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_thread   *self = tsu_thread_self();
    tsu_snapshot *s;
    tsu_view     *view;
    bool          taken;

    if (!tsu_view_get(env, argv[0], &view)) return enif_make_badarg(env);
    if (self == NULL) return tsu_reply_limit(env);
    for (int i = 0; i < 2; i++) {
        tsu_pin(self);
        s = (tsu_snapshot *)(uintptr_t)tsu_load_acquire(&view->snapshot);
        taken = s == NULL || tsu_snapshot_take(s);      /* NULL: the table is gone, which the next call finds out */
        tsu_unpin(self);
        if (taken) return argv[0];
        (void)tsu_ebr_collect(self, TSU_GRACE_PIECES_MAX);
    }
    (void)enif_consume_timeslice(env, 100);
    return enif_schedule_nif(env, "snapshot", 0, snapshot_wait, argc, argv);
}

/* snapshot(Table) -> View */
TSU_NIF(tsu_nif_snapshot)
{
    tsu_call      c;
    tsu_view     *view;
    tsu_snapshot *s = NULL;
    tsu_status    status = TSU_NOMEM;
    ERL_NIF_TERM  term;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    if (c.view != 0) {
        tsu_call_end(&c);
        return tsu_reply_badarg(env, tsu_atom_view);
    }
    view = enif_alloc_resource(tsu_type_view, sizeof *view);
    if (view != NULL) {
        memset(view, 0, sizeof *view);
        view->handle = c.live->handle;
        enif_keep_resource(view->handle);
        status = tsu_snapshot_create(c.self, c.table, &s);
        if (status == TSU_OK) {
            tsu_store_release(&view->snapshot, (uint64_t)(uintptr_t)s);
            status = tsu_registry_view_add(c.live, view);
        }
    }
    tsu_call_end(&c);
    if (view == NULL) return tsu_reply_limit(env);
    term = enif_make_resource(env, view);
    enif_release_resource(view);
    return status == TSU_OK ? snapshot_wait(env, 1, &term) : tsu_reply_status(env, status);
}

/* release(View) */
TSU_NIF(tsu_nif_release)
{
    tsu_view *view;

    (void)argc;
    if (!tsu_view_get(env, argv[0], &view)) return tsu_reply_badarg(env, tsu_atom_type);
    tsu_snapshot_destroy(tsu_view_take(view));
    return tsu_atom_true;
}
