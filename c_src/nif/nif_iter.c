/* nif_iter.c: from key to key, slot by slot, and many objects at a time. */
#include "nif/args.h"
#include "nif/functions.h"
#include "nif/reply.h"
#include "nif/slice.h"
#include "scan.h"

typedef struct step_view {
    tsu_reply_list r;
    uint32_t       keypos;
    ERL_NIF_TERM   key;            /* 0: not seen yet */
} step_view;

static bool step_show_key(void *ctx, const uint8_t *object)
{
    step_view     *v = ctx;
    const uint8_t *p = tsu_object_key_begin(object, v->keypos);

    /* The newest object's: in an ordered_set the stored key, which need not be the one asked for. */
    v->key = tsu_nif_decode_term(v->r.env, &p);
    if (TSU_UNLIKELY(v->key == 0)) v->r.failed = true;
    return false;
}

static bool step_show_all(void *ctx, const uint8_t *object)
{
    step_view *v = ctx;

    if (v->key == 0) step_show_key(v, object);
    return !v->r.failed && tsu_reply_list_add(&v->r, object);
}

/* What goes back to Erlang, and the end of the call. */
static inline ERL_NIF_TERM step_end(tsu_call *c, const step_view *v, bool with_objects)
{
    tsu_call_end(c);
    if (TSU_UNLIKELY(v->r.failed)) return tsu_reply_limit(c->env);
    if (v->key == 0) return tsu_atom_end_of_table;
    return with_objects ? enif_make_tuple2(c->env, v->key, v->r.list) : v->key;
}

static __attribute__((noinline)) ERL_NIF_TERM step_search(tsu_call *c, const ERL_NIF_TERM argv[], bool from,
                                                          tsu_direction direction, bool with_objects)
{
    tsu_key_arg key;
    step_view   v = { .r = tsu_reply_list_begin(c->env), .keypos = c->live->keypos };
    tsu_status  s = TSU_OK;
    bool        found = false, present = true, ordered = c->live->type == TSU_ORDERED_SET;

    /* An ordered_set goes on from any key but the one that stands for its end. A hash table has but one direction. */
    if (from && ordered && argv[1] == tsu_atom_end_of_table) s = TSU_BADARG;
    if (!ordered) direction = TSU_FORWARD;
    if (s == TSU_OK && from) s = tsu_key_read(&key, c->env, argv[1]);
    if (s == TSU_OK) {
        tsu_step(c->self, c->table, from ? key.w.bytes : NULL, from ? key.w.len : 0, direction,
                 with_objects ? step_show_all : step_show_key, &v, &found, &present);
        if (from) tsu_key_done(&key);
        if (from && !ordered && !present) s = TSU_BADARG;
    }
    if (s == TSU_OK) return step_end(c, &v, with_objects);
    tsu_call_end(c);
    return tsu_reply_status(c->env, s);
}

/* From the end of the table (from 0), or from a key. Mostly that is the last answer, and what is next to it is at hand: then
 * nothing needs to be encoded or searched for. */
static inline __attribute__((always_inline)) ERL_NIF_TERM
step(ErlNifEnv *env, const ERL_NIF_TERM argv[], bool from, tsu_direction direction, bool with_objects)
{
    tsu_call  c;
    tsu_trail trail;
    step_view v;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    if (!from || !tsu_step_trail(c.self, c.table, direction, &trail) || argv[1] == tsu_atom_end_of_table
        || !tsu_nif_key_is(env, argv[1], trail.key))
        return step_search(&c, argv, from, direction, with_objects);
    tsu_trail_take(&trail);
    v.r = tsu_reply_list_begin(env);
    v.keypos = c.live->keypos;
    v.key = 0;
    if (with_objects) step_show_all(&v, tsu_version_object(trail.word));
    else step_show_key(&v, tsu_version_object(trail.word));
    return step_end(&c, &v, with_objects);
}

#define STEP(name, from, direction, with_objects)                              \
    TSU_NIF(name)                                                              \
    {                                                                          \
        (void)argc;                                                            \
        return step(env, argv, from, direction, with_objects);                 \
    }

STEP(tsu_nif_first, false, TSU_FORWARD, false)
STEP(tsu_nif_last, false, TSU_BACKWARD, false)
STEP(tsu_nif_next, true, TSU_FORWARD, false)
STEP(tsu_nif_prev, true, TSU_BACKWARD, false)
STEP(tsu_nif_first_lookup, false, TSU_FORWARD, true)
STEP(tsu_nif_last_lookup, false, TSU_BACKWARD, true)
STEP(tsu_nif_next_lookup, true, TSU_FORWARD, true)
STEP(tsu_nif_prev_lookup, true, TSU_BACKWARD, true)

TSU_NIF(tsu_nif_slot)
{
    tsu_call       c;
    tsu_reply_list r = tsu_reply_list_begin(env);
    int64_t        index;
    int            past = 2;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    if (tsu_small_read(argv[1], &index) && index >= 0)
        tsu_slot(c.self, c.table, (uint64_t)index, tsu_reply_list_add, &r, &past);
    tsu_call_end(&c);
    if (past == 2) return tsu_reply_badarg(env, tsu_atom_none);
    return past == 1 ? tsu_atom_end_of_table : tsu_reply_list_end(&r);
}

/* --- objects/5 ---------------------------------------------------------------------------- */

#define OBJECTS_BETWEEN_LOOKS 8u        /* at the clock */
#define STEPS_MAX 4000u

typedef struct page {
    tsu_reply_list   r;
    const tsu_slice *slice;
    uint64_t         objects_max;
    tsu_scan         scan;
    ERL_NIF_TERM     list;           /* and */
    uint64_t         count;          /* as they were before a key with many objects */
} page;

static bool page_show(void *ctx, const uint8_t *object)
{
    page *p = ctx;

    if (!tsu_reply_list_add(&p->r, object) || (p->r.count >= p->objects_max && !p->scan.within)) return false;
    return p->r.count % OBJECTS_BETWEEN_LOOKS != 0 || !tsu_slice_over(p->slice);
}

static bool page_many(void *ctx, bool anew)
{
    page *p = ctx;

    if (anew) {
        p->r.list = p->list;
        p->r.count = p->count;
    } else {
        p->list = p->r.list;
        p->count = p->r.count;
    }
    return true;
}

static ERL_NIF_TERM objects_more(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* argv: as of objects/5, and where it stopped within a key, or [] */
static ERL_NIF_TERM objects(ErlNifEnv *env, const ERL_NIF_TERM argv[], ERL_NIF_TERM within)
{
    tsu_slice     slice = tsu_slice_begin();
    tsu_call      c;
    page          p = { .r = { .env = env, .list = argv[4] }, .slice = &slice, .scan = { .plan = &tsu_plan_all, .many = page_many, .lax = UINT64_MAX } };
    ErlNifBinary  from = { .size = 0, .data = NULL };
    ERL_NIF_TERM  cursor = tsu_atom_done, more[6];
    int64_t       objects_max;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    if ((argv[1] != tsu_atom_start && !enif_inspect_binary(env, argv[1], &from)) ||
        (argv[2] != tsu_atom_forward && argv[2] != tsu_atom_backward) ||
        !tsu_small_read(argv[3], &objects_max) || objects_max < 1 ||
        (from.data != NULL && tsu_term_validate(from.data, from.size, true) != TSU_OK)) {
        tsu_call_end(&c);
        return tsu_reply_badarg(env, tsu_atom_none);
    }
    p.objects_max = (uint64_t)objects_max;
    p.scan.direction = argv[2] == tsu_atom_forward ? TSU_FORWARD : TSU_BACKWARD;
    p.scan.from = from.data;
    p.scan.from_len = from.size;
    /* that key's objects alone make a page */
    if (tsu_within_read(env, within, &p.scan, &p.list, &p.count)) p.r.count = p.objects_max;
    if (!tsu_scan_run(c.self, c.table, &p.scan, STEPS_MAX, page_show, &p) && !p.r.failed) {
        unsigned char *bytes = enif_make_new_binary(env, p.scan.from_len, &cursor);

        if (bytes == NULL) p.r.failed = true;
        else memcpy(bytes, p.scan.from, p.scan.from_len);
    }
    if (p.scan.within) more[0] = tsu_call_tid(&c);
    tsu_call_end(&c);
    tsu_slice_end(env, &slice);
    if (p.r.failed) return tsu_reply_limit(env);
    if (!p.scan.within) return enif_make_tuple2(env, p.r.list, cursor);
    more[1] = cursor;
    more[2] = argv[2];
    more[3] = argv[3];
    more[4] = p.r.list;
    more[5] = tsu_within_term(env, &p.scan, p.list, p.count);
    return enif_schedule_nif(env, "objects", 0, objects_more, 6, more);
}

static ERL_NIF_TERM objects_more(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    return objects(env, argv, argv[5]);
}

/* objects(T, Cursor, Direction, Max, Acc) -> {Acc, Cursor} | {Acc, done}. A cursor is the last key seen, as bytes: a page ends with the
 * last object of one. */
TSU_NIF(tsu_nif_objects)
{
    (void)argc;
    return objects(env, argv, tsu_nil);
}
