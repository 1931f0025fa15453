/* nif_insert.c: one object, or a list of them as one.
 *
 * A list is read into a batch, object by object, and the batch is run: nothing shows before its last step. Both are cut into
 * slices; short lists end within the first, and then no resource is made. The table is held by its handle. If it is deleted
 * in between, or its owner dies, or it was called by its name and has another one now, the insertion fails: what is done
 * after the rename must not be undone by it.
 */
#include "nif/args.h"
#include "nif/functions.h"
#include "nif/reply.h"
#include "nif/slice.h"

#define OBJECTS_BETWEEN_LOOKS 16u       /* at the clock */
#define BYTES_BETWEEN_LOOKS   16384u
#define STEPS_BETWEEN_LOOKS   128u
#define READ_BYTES            2048u     /* room for the objects between two looks, as they mostly are */

static ERL_NIF_TERM insert_more(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

static ERL_NIF_TERM insert_one(ErlNifEnv *env, tsu_call *c, ERL_NIF_TERM term, bool new_only, bool *again)
{
    tsu_key_arg object;
    tsu_status  s;
    bool        inserted = true;

    tsu_writer_init(&object.w, object.buffer, sizeof object.buffer);
    s = tsu_nif_encode_object_for(env, term, c->table, &object.w);
    if (TSU_LIKELY(s == TSU_OK)) {
        s = new_only ? tsu_insert_new(c->self, c->table, object.w.bytes, object.w.len, &inserted)
                     : tsu_insert(c->self, c->table, object.w.bytes, object.w.len);
        if (s == TSU_OK && inserted) tsu_writer_give(&object.w);
    }
    tsu_writer_deinit(&object.w);
    tsu_call_end(c);
    if (TSU_LIKELY(s == TSU_OK)) return tsu_reply_bool(inserted);
    *again = s == TSU_AGAIN;
    return *again ? 0 : tsu_reply_status(env, s);
}

/* Objects of a list that were encoded, one behind the other, and are not in the batch yet. They are put there together: read
 * back at once, what was written byte by byte would have to leave the store buffer first, which takes longer than all else. */
struct encoded {
    tsu_writer w;
    size_t     end[OBJECTS_BETWEEN_LOOKS];
    unsigned   count;
    uint8_t    buffer[READ_BYTES];
};

/* OK: all are the batch's, handles too. */
static tsu_status encoded_add(tsu_thread *self, tsu_batch *batch, struct encoded *e)
{
    tsu_status s = TSU_OK;
    size_t     at = 0;

    for (unsigned i = 0; i < e->count; at = e->end[i++])
        TRY(s, tsu_batch_add(self, batch, e->w.bytes + at, e->end[i] - at));
    tsu_writer_give(&e->w);
    tsu_writer_reset(&e->w);
    e->count = 0;
done:
    return s;
}

/* Reads objects until the list or the slice ends. OK: the list has ended. AGAIN: *list is what is left. Pinned. */
static tsu_status batch_read(ErlNifEnv *env, tsu_thread *self, tsu_slices *state, uint32_t keypos,
                             const tsu_slice *slice, ERL_NIF_TERM *list)
{
    struct encoded e;
    ERL_NIF_TERM   head, tail;
    tsu_status     s = TSU_OK;

    tsu_writer_init(&e.w, e.buffer, sizeof e.buffer);
    e.count = 0;
    while (enif_get_list_cell(env, *list, &head, &tail)) {
        TRY(s, tsu_nif_encode_object(env, head, (int)keypos, &e.w));
        e.end[e.count++] = e.w.len;
        *list = tail;
        /* who has handles goes alone: if it cannot be added, they are still the writer's */
        if (e.count < OBJECTS_BETWEEN_LOOKS && e.w.len < BYTES_BETWEEN_LOOKS && e.w.handle_count == 0) continue;
        TRY(s, encoded_add(self, state->batch, &e));
        if (tsu_slice_over(slice)) {
            s = TSU_AGAIN;
            goto done;
        }
    }
    if (!enif_is_empty_list(env, *list)) s = TSU_BADARG;
    else s = encoded_add(self, state->batch, &e);
done:
    tsu_writer_deinit(&e.w);
    return s;
}

/* Goes on until the end, or until the slice is over (AGAIN). Not pinned. */
static tsu_status slices_run(ErlNifEnv *env, tsu_thread *self, tsu_slices *state, const tsu_slice *slice,
                             ERL_NIF_TERM *list)
{
    ErlNifPid  caller;
    tsu_live  *live;
    tsu_status s;

    enif_self(env, &caller);
    do {
        tsu_pin(self);
        live = tsu_handle_live(state->handle);
        if (live == NULL ||
            (caller.pid != tsu_load_acquire(&live->owner) && !tsu_live_usable(env, live))) {
            s = TSU_GONE;
        } else if (state->name != 0 && state->name != tsu_load_acquire(&live->name) &&
                   tsu_batch_cancel(state->batch)) {
            s = TSU_GONE;
        } else if (state->adding) {
            s = batch_read(env, self, state, live->keypos, slice, list);
            if (s == TSU_OK) {
                state->adding = false;
                s = TSU_AGAIN;
            }
        } else {
            s = tsu_batch_run(self, state->batch, STEPS_BETWEEN_LOOKS);
        }
        tsu_unpin(self);
    } while (s == TSU_AGAIN && !tsu_slice_over(slice));
    return s;
}

/* The answer, with nothing left behind; or the next slice, with `state` moved to a resource unless it is one. */
static ERL_NIF_TERM slices_answer(ErlNifEnv *env, tsu_slices *state, const tsu_slice *slice, tsu_status s,
                                  ERL_NIF_TERM list, ERL_NIF_TERM resource)
{
    ERL_NIF_TERM rest[2];
    tsu_slices  *moved;

    if (s == TSU_AGAIN && resource == 0) {
        moved = enif_alloc_resource(tsu_type_slices, sizeof *moved);
        if (moved == NULL) {
            s = TSU_NOMEM;
        } else {
            *moved = *state;
            state->batch = NULL;
            state->handle = NULL;
            resource = enif_make_resource(env, moved);
            enif_release_resource(moved);
        }
    }
    tsu_slice_end(env, slice);
    if (s == TSU_AGAIN) {
        rest[0] = resource;
        rest[1] = list;
        return enif_schedule_nif(env, "insert", 0, insert_more, 2, rest);
    }
    tsu_slices_deinit(state);
    if (s == TSU_OK) return tsu_atom_true;
    if (s == TSU_EXISTS) return tsu_atom_false;
    return tsu_reply_status(env, s);
}

static ERL_NIF_TERM insert_more(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_slice    slice = tsu_slice_begin();
    tsu_thread  *self = tsu_thread_self();
    ERL_NIF_TERM list = argv[1];
    void        *state;
    tsu_status   s;

    (void)argc;
    if (!enif_get_resource(env, argv[0], tsu_type_slices, &state)) return enif_make_badarg(env);
    s = self == NULL ? TSU_NOMEM : slices_run(env, self, state, &slice, &list);
    return slices_answer(env, state, &slice, s, list, argv[0]);
}

static ERL_NIF_TERM insert_list(ErlNifEnv *env, tsu_call *c, ERL_NIF_TERM table, ERL_NIF_TERM list, bool new_only)
{
    tsu_slice   slice = tsu_slice_begin();
    tsu_slices  state = { .name = tsu_nif_is_atom(table) ? table : 0, .new_only = new_only, .adding = true };
    tsu_thread *self = c->self;
    tsu_status  s = tsu_batch_create(self, c->table, new_only, &state.batch);

    if (s == TSU_OK) {
        state.handle = c->live->handle;
        enif_keep_resource(state.handle);
    }
    tsu_call_end(c);
    if (s == TSU_OK) s = slices_run(env, self, &state, &slice, &list);
    return slices_answer(env, &state, &slice, s, list, 0);
}

static ERL_NIF_TERM insert(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], bool new_only)
{
    tsu_call     c;
    ERL_NIF_TERM head, tail, one = argv[1], reply;
    bool         again = false;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    if (enif_get_list_cell(env, argv[1], &head, &tail)) {
        if (!enif_is_empty_list(env, tail)) return insert_list(env, &c, argv[0], argv[1], new_only);
        one = head;
    } else if (enif_is_empty_list(env, argv[1])) {
        tsu_call_end(&c);
        return tsu_atom_true;
    }
    reply = insert_one(env, &c, one, new_only, &again);
    if (TSU_UNLIKELY(again))
        return tsu_nif_again(env, new_only ? tsu_nif_insert_new : tsu_nif_insert, argc, argv);
    return reply;
}

TSU_NIF(tsu_nif_insert) { return insert(env, argc, argv, false); }

TSU_NIF(tsu_nif_insert_new) { return insert(env, argc, argv, true); }
