/* nif_object.c: the objects of one key: read and deleted. */
#include "nif/args.h"
#include "nif/functions.h"
#include "nif/reply.h"

bool tsu_nif_first_objects(void *ctx, const uint8_t *object)
{
    return tsu_reply_list_add(ctx, object) && ((tsu_reply_list *)ctx)->count < TSU_OBJECTS_AT_ONCE;
}

TSU_NIF(tsu_nif_lookup)
{
    tsu_call       c;
    tsu_key_arg    key;
    tsu_reply_list r = tsu_reply_list_begin(env);
    tsu_status     s;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    s = tsu_key_read(&key, env, argv[1]);
    if (TSU_LIKELY(s == TSU_OK)) {
        tsu_lookup(c.self, c.table, key.w.bytes, key.w.len, tsu_nif_first_objects, &r);
        tsu_key_done(&key);
    }
    tsu_call_end(&c);
    if (TSU_UNLIKELY(r.count == TSU_OBJECTS_AT_ONCE)) return tsu_nif_long(env, argv[0], argv[1], tsu_atom_false);
    return TSU_LIKELY(s == TSU_OK) ? tsu_reply_list_end(&r) : tsu_reply_status(env, s);
}

TSU_NIF(tsu_nif_member)
{
    tsu_call    c;
    tsu_key_arg key;
    tsu_status  s;
    bool        found = false;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    s = tsu_key_read(&key, env, argv[1]);
    if (TSU_LIKELY(s == TSU_OK)) {
        found = tsu_member(c.self, c.table, key.w.bytes, key.w.len);
        tsu_key_done(&key);
    }
    tsu_call_end(&c);
    return TSU_LIKELY(s == TSU_OK) ? tsu_reply_bool(found) : tsu_reply_status(env, s);
}

typedef struct element_list {
    tsu_reply_list r;
    int64_t        pos;
    bool           beyond;        /* an object is too short */
    bool           one;           /* the element itself, not a list */
} element_list;

static bool element_add(void *ctx, const uint8_t *object)
{
    element_list  *e = ctx;
    size_t         arity;
    const uint8_t *p = tsu_object_elements(object, &arity);
    ERL_NIF_TERM   term;

    if ((uint64_t)e->pos > arity) {
        e->beyond = true;
        return false;
    }
    for (int64_t i = 1; i < e->pos; i++) tsu_term_skip(&p);
    term = tsu_nif_decode_term(e->r.env, &p);
    if (term == 0) {
        e->r.failed = true;
        return false;
    }
    e->r.list = e->one ? term : enif_make_list_cell(e->r.env, term, e->r.list);
    e->r.count++;
    return true;
}

/* lookup_element(T, Key, Pos), lookup_element(T, Key, Pos, Default) */
TSU_NIF(tsu_nif_lookup_element)
{
    tsu_call     c;
    tsu_key_arg  key;
    element_list e = { .r = tsu_reply_list_begin(env) };
    tsu_status   s = TSU_BADARG;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    e.one = c.live->type <= TSU_ORDERED_SET;
    if (tsu_small_read(argv[2], &e.pos) && e.pos >= 1) s = tsu_key_read(&key, env, argv[1]);
    if (s == TSU_OK) {
        tsu_lookup(c.self, c.table, key.w.bytes, key.w.len, element_add, &e);
        tsu_key_done(&key);
    }
    tsu_call_end(&c);
    if (s != TSU_OK) return tsu_reply_status(env, s);
    if (e.beyond) return tsu_reply_badarg(env, tsu_atom_none);
    if (e.r.failed) return tsu_reply_limit(env);
    if (e.r.count == 0) return argc == 4 ? argv[3] : tsu_reply_badarg(env, tsu_atom_badkey);
    return e.r.list;
}

TSU_NIF(tsu_nif_delete_key)
{
    tsu_call    c;
    tsu_key_arg key;
    tsu_status  s;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    s = tsu_key_read(&key, env, argv[1]);
    if (TSU_LIKELY(s == TSU_OK)) {
        s = tsu_delete(c.self, c.table, key.w.bytes, key.w.len);
        tsu_key_done(&key);
    }
    tsu_call_end(&c);
    if (TSU_LIKELY(s == TSU_OK)) return tsu_atom_true;
    return s == TSU_AGAIN ? tsu_nif_again(env, tsu_nif_delete_key, argc, argv) : tsu_reply_status(env, s);
}

TSU_NIF(tsu_nif_take)
{
    tsu_call       c;
    tsu_key_arg    key;
    tsu_reply_list r = tsu_reply_list_begin(env);
    tsu_status     s;
    bool           many = false;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    s = tsu_key_read(&key, env, argv[1]);
    if (TSU_LIKELY(s == TSU_OK)) {
        s = tsu_take_few(c.self, c.table, key.w.bytes, key.w.len, TSU_OBJECTS_AT_ONCE, &many, tsu_reply_list_add, &r);
        tsu_key_done(&key);
    }
    tsu_call_end(&c);
    if (many) return tsu_nif_long(env, argv[0], argv[1], tsu_atom_true);
    if (TSU_LIKELY(s == TSU_OK)) return tsu_reply_list_end(&r);
    return s == TSU_AGAIN ? tsu_nif_again(env, tsu_nif_take, argc, argv) : tsu_reply_status(env, s);
}

TSU_NIF(tsu_nif_delete_object)
{
    tsu_call    c;
    tsu_key_arg object;
    tsu_status  s;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    s = tsu_object_read(&object, env, argv[1], c.live->keypos);
    if (TSU_LIKELY(s == TSU_OK)) {
        s = tsu_delete_object(c.self, c.table, object.w.bytes, object.w.len);
        tsu_key_done(&object);
    }
    tsu_call_end(&c);
    if (TSU_LIKELY(s == TSU_OK)) return tsu_atom_true;
    return s == TSU_AGAIN ? tsu_nif_again(env, tsu_nif_delete_object, argc, argv) : tsu_reply_status(env, s);
}

TSU_NIF(tsu_nif_delete_all_objects)
{
    tsu_call   c;
    tsu_status s;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    s = tsu_clear(c.self, c.table);
    tsu_call_end(&c);
    if (s == TSU_OK) return tsu_atom_true;
    return s == TSU_AGAIN ? tsu_nif_again(env, tsu_nif_delete_all_objects, argc, argv) : tsu_reply_status(env, s);
}
