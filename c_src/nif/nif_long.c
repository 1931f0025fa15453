/* nif_long.c: lookup, lookup_elements and take of a key with very many objects: in slices.
 *
 * A slice goes on from an object of the key's if the key has not changed since; otherwise it begins anew, and after a few such
 * beginnings does all in one go, for somebody changes the key all the time. The list is what was shown so far; the place is two
 * numbers that the engine checks, so that nothing has to be freed when the process is killed.
 */
#include "nif/args.h"
#include "nif/fields.h"
#include "nif/functions.h"
#include "nif/reply.h"
#include "nif/slice.h"

#define OBJECTS_BETWEEN_LOOKS 16u       /* at the clock */
#define BEGINNINGS_MAX        8

/* What is done: the key is looked up, or taken; of its objects these fields are wanted, or all of each. */
typedef struct long_list {
    bool             take, some;
    tsu_fields       f;                 /* also for whole objects: its list */
    const tsu_slice *slice;
    bool             all;               /* in one go */
} long_list;

static bool long_add(void *ctx, const uint8_t *object)
{
    long_list *l = ctx;

    if (!(l->some ? tsu_fields_add(&l->f, object) : tsu_reply_list_add(&l->f.r, object))) return false;
    return l->all || l->f.r.count % OBJECTS_BETWEEN_LOOKS != 0 || !tsu_slice_over(l->slice);
}

/* OK: the list is complete, and the key removed if it is to be taken. AGAIN: the slice is over. */
static tsu_status long_run(tsu_call *c, const tsu_key_arg *key, tsu_part *part, int *beginnings, long_list *l)
{
    tsu_status s;

    for (;;) {
        s = tsu_lookup_part(c->self, c->table, key->w.bytes, key->w.len, part, long_add, l);
        if (l->f.r.failed) return TSU_LIMIT;
        if (l->f.beyond) return TSU_BADARG;
        if (s == TSU_OK && l->take) s = tsu_take_part(c->self, c->table, key->w.bytes, key->w.len, part);
        if (s != TSU_GONE) return s;
        l->f.r = tsu_reply_list_begin(l->f.r.env);
        *part = (tsu_part){0, NULL};
        l->all = ++*beginnings >= BEGINNINGS_MAX;
        if (l->all && l->take)
            return tsu_take(c->self, c->table, key->w.bytes, key->w.len, tsu_reply_list_add, &l->f.r);
        if (!l->all && tsu_slice_over(l->slice)) return TSU_AGAIN;
    }
}

static ERL_NIF_TERM long_more(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* argv: table, key, what is done (true: take; false: lookup; else the positions of lookup_elements), list, stamp, next, beginnings */
static ERL_NIF_TERM long_slice(ErlNifEnv *env, const ERL_NIF_TERM argv[], tsu_part *part, int beginnings)
{
    tsu_slice    slice = tsu_slice_begin();
    long_list    l = { .take = argv[2] == tsu_atom_true, .some = !tsu_nif_is_atom(argv[2]), .slice = &slice };
    tsu_call     c;
    tsu_key_arg  key;
    tsu_status   s;
    ERL_NIF_TERM rest[7];

    if (!tsu_call_begin(&c, env, argv[0], l.take ? TSU_RIGHT_WRITE : TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    s = tsu_fields_read(&l.f, env, l.some ? argv[2] : tsu_nil);
    l.f.r.list = argv[3];
    if (s == TSU_OK) {
        s = tsu_key_read(&key, env, argv[1]);
        if (s == TSU_OK) {
            s = long_run(&c, &key, part, &beginnings, &l);
            tsu_key_done(&key);
        }
        tsu_fields_done(&l.f);
    }
    tsu_call_end(&c);
    tsu_slice_end(env, &slice);
    if (s == TSU_OK && l.some && l.f.r.list == tsu_nil) return tsu_reply_badarg(env, tsu_atom_badkey);
    if (s == TSU_OK) return tsu_reply_list_end(&l.f.r);
    if (s != TSU_AGAIN) return tsu_reply_status(env, s);
    rest[0] = argv[0];
    rest[1] = argv[1];
    rest[2] = argv[2];
    rest[3] = l.f.r.list;
    rest[4] = enif_make_uint64(env, part->stamp);
    rest[5] = enif_make_uint64(env, (uint64_t)(uintptr_t)part->next);
    rest[6] = enif_make_int(env, beginnings);
    return enif_schedule_nif(env, l.take ? "take" : "lookup", 0, long_more, 7, rest);
}

static ERL_NIF_TERM long_more(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    ErlNifUInt64 stamp, next;
    tsu_part     part;
    int          beginnings;

    (void)argc;
    if (!enif_get_uint64(env, argv[4], &stamp) || !enif_get_uint64(env, argv[5], &next)
        || !enif_get_int(env, argv[6], &beginnings)) return enif_make_badarg(env);
    part = (tsu_part){stamp, (const void *)(uintptr_t)next};
    return long_slice(env, argv, &part, beginnings);
}

ERL_NIF_TERM tsu_nif_long(ErlNifEnv *env, ERL_NIF_TERM table, ERL_NIF_TERM key, ERL_NIF_TERM what)
{
    ERL_NIF_TERM first[4] = { table, key, what, tsu_nil };
    tsu_part     part = {0, NULL};

    return long_slice(env, first, &part, 0);
}
