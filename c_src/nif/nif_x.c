/* nif_x.c: what ets does not have: many keys at a time, some elements of an object, the first key taken, an object
 * exchanged for another. */
#include "nif/args.h"
#include "nif/fields.h"
#include "nif/functions.h"
#include "nif/slice.h"
#include "term/order.h"

/* ---- Reading ---- */

#define KEYS_AT_ONCE         8u
#define LOOKED_BETWEEN_LOOKS 32u        /* keys and objects, at the clock */

typedef struct key_run {
    tsu_key_arg  args[KEYS_AT_ONCE];
    tsu_key      keys[KEYS_AT_ONCE];
    ERL_NIF_TERM terms[KEYS_AT_ONCE], left[KEYS_AT_ONCE];        /* the list behind each */
    size_t       count;
} key_run;

/* The next keys of a list. On error nothing has to be let go of. */
static tsu_status key_run_read(key_run *run, const tsu_call *c, ERL_NIF_TERM list)
{
    tsu_status s = TSU_OK;

    for (run->count = 0; run->count < KEYS_AT_ONCE; run->count++) {
        size_t       i = run->count;
        tsu_key_arg *arg = &run->args[i];

        if (!enif_get_list_cell(c->env, list, &run->terms[i], &run->left[i])) break;
        s = tsu_key_read(arg, c->env, run->terms[i]);
        if (TSU_UNLIKELY(s != TSU_OK)) break;
        tsu_lookup_begin(c->table, arg->w.bytes, arg->w.len, &run->keys[i]);
        list = run->left[i];
    }
    if (TSU_LIKELY(s == TSU_OK)) return TSU_OK;
    for (size_t i = 0; i < run->count; i++) tsu_key_done(&run->args[i]);
    return s;
}

/* Looks up keys from *keys on, and moves it behind them. AGAIN: the slice is over. EXISTS: *long_key, left out of *acc, has very many
 * objects. */
static tsu_status many_run(const tsu_call *c, const tsu_slice *slice, ERL_NIF_TERM *keys, ERL_NIF_TERM *acc, ERL_NIF_TERM *long_key)
{
    tsu_reply_list r;
    key_run        run;
    tsu_status     s = TSU_OK;
    size_t         looked = 0;

    while (s == TSU_OK && *keys != tsu_nil) {
        s = key_run_read(&run, c, *keys);
        if (s != TSU_OK) return s;
        if (run.count == 0) return TSU_BADARG;                  /* an improper tail */
        for (size_t i = 0; i < run.count; i++) {
            if (TSU_LIKELY(s == TSU_OK)) {
                r = tsu_reply_list_begin(c->env);
                tsu_lookup_end(c->self, c->table, &run.keys[i], tsu_nif_first_objects, &r);
                *keys = run.left[i];
                *long_key = run.terms[i];
                if (TSU_UNLIKELY(r.failed)) s = TSU_LIMIT;
                else if (TSU_UNLIKELY(r.count == TSU_OBJECTS_AT_ONCE)) s = TSU_EXISTS;
                else *acc = enif_make_list_cell(c->env, r.list, *acc);
                looked += 1 + r.count;
                if (looked >= LOOKED_BETWEEN_LOOKS && s == TSU_OK) {
                    looked = 0;
                    if (tsu_slice_over(slice)) s = TSU_AGAIN;
                }
            }
            tsu_key_done(&run.args[i]);
        }
    }
    return s;
}

/* lookup_many(T, Keys, Acc) -> Acc | {Tid, Key, Keys, Acc}: for each key, the last one in front of Acc, the list of its objects. A key
 * with very many is left to lookup/2, and what comes after it to another call. */
TSU_NIF(tsu_nif_lookup_many)
{
    tsu_slice    slice = tsu_slice_begin();
    ERL_NIF_TERM keys = argv[1], acc = argv[2], long_key = 0, tid = 0;
    tsu_call     c;
    tsu_status   s;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    s = many_run(&c, &slice, &keys, &acc, &long_key);
    if (s == TSU_AGAIN || s == TSU_EXISTS) tid = tsu_call_tid(&c);
    tsu_call_end(&c);
    tsu_slice_end(env, &slice);
    if (s == TSU_AGAIN) {
        ERL_NIF_TERM rest[3] = { tid, keys, acc };

        return enif_schedule_nif(env, "lookup_many", 0, tsu_nif_lookup_many, 3, rest);
    }
    if (s == TSU_EXISTS) return enif_make_tuple4(env, tid, long_key, keys, acc);
    return s == TSU_OK ? acc : tsu_reply_status(env, s);
}

static bool first_fields(void *ctx, const uint8_t *object)
{
    return tsu_fields_add(ctx, object) && ((tsu_fields *)ctx)->r.count < TSU_OBJECTS_AT_ONCE;
}

/* lookup_elements(T, Key, Positions) */
TSU_NIF(tsu_nif_lookup_elements)
{
    tsu_call    c;
    tsu_key_arg key;
    tsu_fields  f;
    tsu_status  s;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    s = tsu_fields_read(&f, env, argv[2]);
    if (TSU_LIKELY(s == TSU_OK)) {
        f.one = c.live->type <= TSU_ORDERED_SET;
        s = tsu_key_read(&key, env, argv[1]);
        if (TSU_LIKELY(s == TSU_OK)) {
            tsu_lookup(c.self, c.table, key.w.bytes, key.w.len, first_fields, &f);
            tsu_key_done(&key);
        }
        tsu_fields_done(&f);
    }
    tsu_call_end(&c);
    if (s != TSU_OK) return tsu_reply_status(env, s);
    if (f.beyond) return tsu_reply_badarg(env, tsu_atom_none);
    if (f.r.count == 0 && !f.r.failed) return tsu_reply_badarg(env, tsu_atom_badkey);
    if (f.r.count == TSU_OBJECTS_AT_ONCE) return tsu_nif_long(env, argv[0], argv[1], argv[2]);
    return tsu_reply_list_end(&f.r);
}

/* ---- Taking ---- */

#define TRIES_MAX       64u      /* to be the one that gets it, before others have their turn */
#define EMPTY_LOOKS_MAX 4u

typedef struct end_key {
    uint32_t       keypos;
    const uint8_t *key;
    size_t         len;
} end_key;

static bool end_key_show(void *ctx, const uint8_t *object)
{
    end_key *e = ctx;

    e->key = tsu_object_key(object, e->keypos, &e->len);
    return false;
}

/* The objects of the first or last key, removed; or {Tid, Key}: it has very many, and is for take/2. */
static ERL_NIF_TERM take_end(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], tsu_direction direction,
                             ERL_NIF_TERM (*again)(ErlNifEnv *, int, const ERL_NIF_TERM[]))
{
    tsu_call       c;
    tsu_reply_list r = tsu_reply_list_begin(env);
    tsu_status     s = TSU_AGAIN;
    bool           many = false, found, present;
    unsigned       empty = 0;
    ERL_NIF_TERM   tid = 0, key = 0;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    if (c.live->type != TSU_ORDERED_SET) direction = TSU_FORWARD;
    for (unsigned tries = 0; tries < TRIES_MAX && s == TSU_AGAIN; tries++) {
        end_key e = { .keypos = c.live->keypos };

        tsu_step(c.self, c.table, NULL, 0, direction, end_key_show, &e, &found, &present);
        if (!found) {
            /* The step may have come too early for one object and too late for another. */
            if (tsu_table_count(c.table) == 0 || ++empty == EMPTY_LOOKS_MAX) s = TSU_OK;
            continue;
        }
        s = tsu_take_few(c.self, c.table, e.key, e.len, TSU_OBJECTS_AT_ONCE, &many, tsu_reply_list_add, &r);
        if (many) {
            tid = tsu_call_tid(&c);
            key = tsu_nif_decode_term(env, &e.key);
        } else if (s == TSU_OK && r.count == 0 && !r.failed) {
            s = TSU_AGAIN;                              /* somebody else has it */
        } else if (s == TSU_AGAIN) {
            break;                                      /* a batch holds the key */
        }
    }
    tsu_call_end(&c);
    if (s == TSU_AGAIN) return tsu_nif_again(env, again, argc, argv);
    if (s != TSU_OK) return tsu_reply_status(env, s);
    if (many) return key == 0 ? tsu_reply_limit(env) : enif_make_tuple2(env, tid, key);
    return tsu_reply_list_end(&r);
}

/* take_first(T), take_last(T) */
TSU_NIF(tsu_nif_take_first) { return take_end(env, argc, argv, TSU_FORWARD, tsu_nif_take_first); }
TSU_NIF(tsu_nif_take_last) { return take_end(env, argc, argv, TSU_BACKWARD, tsu_nif_take_last); }

/* ---- Exchanging ---- */

/* What is to be under the key, or is expected there. */
typedef struct content {
    bool        some;            /* an object; else nothing */
    tsu_key_arg object;
} content;

typedef struct exchange {
    tsu_update     update;
    const content *expected, *fresh;
    const uint8_t *other;        /* out: what is there instead; lent until unpinned */
    bool           failed;       /* out: something else, or nothing, is there */
} exchange;

/* A tsu_update's fn: may be called more than once. */
static tsu_verdict exchange_run(tsu_update *update, const uint8_t *old, const uint8_t **out, size_t *out_len)
{
    exchange *x = (exchange *)update;

    x->failed = x->expected->some ? old == NULL || !tsu_object_same(old, x->expected->object.w.bytes) : old != NULL;
    x->other = old;
    if (x->failed) return TSU_EDIT_KEEP;
    if (!x->fresh->some) return old == NULL ? TSU_EDIT_KEEP : TSU_EDIT_REMOVE;
    *out = x->fresh->object.w.bytes;
    *out_len = x->fresh->object.w.len;
    return TSU_EDIT_PUT;
}

/* What was not used stays the argument's. */
static void exchange_unused(tsu_update *update, const uint8_t *object)
{
    (void)update;
    (void)object;
}

/* [] or [Object], with that key. BADARG: with *cause set, for the object in it. On error nothing has to be let go of. */
static tsu_status content_read(content *x, const tsu_call *c, const tsu_key_arg *key, ERL_NIF_TERM term, ERL_NIF_TERM name,
                               ERL_NIF_TERM *cause)
{
    ERL_NIF_TERM   head, tail;
    const uint8_t *own;
    size_t         len;
    tsu_status     s;

    *cause = tsu_atom_none;
    if (term == tsu_nil) return TSU_OK;
    if (!enif_get_list_cell(c->env, term, &head, &tail) || tail != tsu_nil) return TSU_BADARG;
    *cause = name;
    s = tsu_object_read(&x->object, c->env, head, c->live->keypos);
    if (s != TSU_OK) return s;
    own = tsu_object_key(x->object.w.bytes, c->live->keypos, &len);
    x->some = (len == key->w.len && memcmp(own, key->w.bytes, len) == 0)
              || (c->live->type == TSU_ORDERED_SET && tsu_term_compare(own, key->w.bytes) == 0);
    if (x->some) return TSU_OK;
    tsu_key_done(&x->object);
    return TSU_BADARG;
}

static void content_done(content *x)
{
    if (x->some) tsu_key_done(&x->object);
}

/* compare_and_swap(T, Key, Expected, New) -> true | {false, Current} */
TSU_NIF(tsu_nif_compare_and_swap)
{
    tsu_call     c;
    tsu_key_arg  key;
    content      expected, fresh;
    exchange     x = { .update = { .fn = exchange_run, .unused = exchange_unused }, .expected = &expected, .fresh = &fresh };
    tsu_verdict  verdict = TSU_EDIT_KEEP;
    ERL_NIF_TERM cause = tsu_atom_none, current = tsu_nil;
    tsu_status   s;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    if (c.live->type > TSU_ORDERED_SET) {
        tsu_call_end(&c);
        return tsu_reply_badarg(env, tsu_atom_table_type);
    }
    expected.some = fresh.some = false;
    s = tsu_key_read(&key, env, argv[1]);
    if (s == TSU_OK) {
        s = content_read(&expected, &c, &key, argv[2], tsu_atom_expected, &cause);
        if (s == TSU_OK) s = content_read(&fresh, &c, &key, argv[3], tsu_atom_new, &cause);
        if (s == TSU_OK) s = tsu_table_update(c.self, c.table, key.w.bytes, key.w.len, &x.update, &verdict);
        /* Only a PUT that was used has made the handles the table's. */
        if (s == TSU_OK && verdict == TSU_EDIT_PUT) tsu_writer_give(&fresh.object.w);
        if (s == TSU_OK && x.failed && x.other != NULL) {
            current = tsu_nif_decode_object(env, x.other);
            if (current == 0) s = TSU_NOMEM;
            else current = enif_make_list1(env, current);
        }
        content_done(&expected);
        content_done(&fresh);
        tsu_key_done(&key);
    }
    tsu_call_end(&c);
    if (s == TSU_OK) return x.failed ? enif_make_tuple2(env, tsu_atom_false, current) : tsu_atom_true;
    if (s == TSU_AGAIN) return tsu_nif_again(env, tsu_nif_compare_and_swap, argc, argv);
    return s == TSU_BADARG ? tsu_reply_badarg(env, cause) : tsu_reply_status(env, s);
}
