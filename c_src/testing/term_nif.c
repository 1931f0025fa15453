/* term_nif.c: the codec and the order as functions of Erlang, so that tsunami_term_tests.erl can hold them
 * against the VM. Belongs to tests only. */
#include "nif/term.h"
#include "term/hash.h"
#include "term/order.h"
#include "testing/test_nif.h"

static ERL_NIF_TERM answer(ErlNifEnv *env, tsu_writer *w)
{
    ERL_NIF_TERM   out;
    unsigned char *to;

    if (w->status != TSU_OK) {
        out = atom(env, tsu_status_name(w->status));
    } else {
        to = enif_make_new_binary(env, w->len, &out);
        memcpy(to, w->bytes, w->len);
    }
    tsu_writer_deinit(w);
    return out;
}

/* encode(Term, Key) -> bytes, whose handles are dead: only to look at. */
static ERL_NIF_TERM encode(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    uint8_t    buffer[256];
    tsu_writer w;

    (void)argc;
    tsu_writer_init(&w, buffer, sizeof buffer);
    if (argv[1] == atom(env, "true")) tsu_nif_encode_key(env, argv[0], &w);
    else tsu_nif_encode_term(env, argv[0], &w);
    return answer(env, &w);
}

/* order(Term) -> order key. */
static ERL_NIF_TERM order(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    uint8_t    buffer[256];
    tsu_writer term, key;

    (void)argc;
    tsu_writer_init(&term, buffer, sizeof buffer);
    tsu_writer_init(&key, NULL, 0);
    if (tsu_nif_encode_term(env, argv[0], &term) == TSU_OK) tsu_order_encode(term.bytes, &key);
    else key.status = term.status;
    tsu_writer_deinit(&term);
    return answer(env, &key);
}

/* round(Term) -> Term: through the bytes and back, as a value. */
static ERL_NIF_TERM there_and_back(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    uint8_t        buffer[256];
    tsu_writer     w;
    ERL_NIF_TERM   out;
    const uint8_t *p;

    (void)argc;
    tsu_writer_init(&w, buffer, sizeof buffer);
    if (tsu_nif_encode_term(env, argv[0], &w) != TSU_OK) return answer(env, &w);
    if (tsu_term_validate(w.bytes, w.len, false) != TSU_OK) {
        out = atom(env, "invalid");
    } else {
        p = w.bytes;
        out = tsu_nif_decode_term(env, &p);
        if (out == 0) out = atom(env, "not_decoded");
        else if (p != w.bytes + w.len) out = atom(env, "not_all_was_read");
    }
    tsu_writer_deinit(&w);
    return out;
}

/* compare(A, B) -> {-1 | 0 | 1, sign by heads, heads are exact, same} */
static ERL_NIF_TERM compare(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    uint8_t    a_buffer[256], b_buffer[256];
    tsu_writer a, b;
    int        c, heads;
    uint64_t   x, y;
    bool       x_exact, y_exact, same;

    (void)argc;
    tsu_writer_init(&a, a_buffer, sizeof a_buffer);
    tsu_writer_init(&b, b_buffer, sizeof b_buffer);
    if (tsu_nif_encode_term(env, argv[0], &a) != TSU_OK || tsu_nif_encode_term(env, argv[1], &b) != TSU_OK) {
        tsu_writer_deinit(&a);
        tsu_writer_deinit(&b);
        return atom(env, "failed");
    }
    c = tsu_term_compare(a.bytes, b.bytes);
    x = tsu_order_head_both(a.bytes, &x_exact);
    y = tsu_order_head_both(b.bytes, &y_exact);
    heads = x < y ? -1 : x > y;
    same = tsu_term_same(a.bytes, b.bytes);
    tsu_writer_deinit(&a);
    tsu_writer_deinit(&b);
    return enif_make_tuple4(env, enif_make_int(env, c < 0 ? -1 : c > 0), enif_make_int(env, heads),
                            atom(env, x_exact || y_exact ? "true" : "false"), atom(env, same ? "true" : "false"));
}

/* Objects that stay: keep(Tuple, KeyPos) -> resource; get(Resource); put(Resource, Pos, Term) -> resource with one element replaced;
 * same(R1, R2); bytes(Resource) -> length of the object. */
static ErlNifResourceType *object_type;

static void object_dtor(ErlNifEnv *env, void *object)
{
    (void)env;
    tsu_object_release(object, tsu_nif_handle_release);
}

static ERL_NIF_TERM object_make(ErlNifEnv *env, tsu_writer *w)
{
    ERL_NIF_TERM out;
    void        *object;

    if (w->status == TSU_OK && tsu_codec_validate(w->bytes, w->len) != TSU_OK) w->status = TSU_CORRUPT;
    if (w->status != TSU_OK) return answer(env, w);
    object = enif_alloc_resource(object_type, w->len);
    memcpy(object, w->bytes, w->len);
    tsu_writer_give(w);
    out = enif_make_resource(env, object);
    enif_release_resource(object);
    tsu_writer_deinit(w);
    return out;
}

static ERL_NIF_TERM keep(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    uint8_t    buffer[256];
    tsu_writer w;
    int        keypos;

    (void)argc;
    if (!enif_get_int(env, argv[1], &keypos)) return enif_make_badarg(env);
    tsu_writer_init(&w, buffer, sizeof buffer);
    w.status = tsu_nif_encode_object(env, argv[0], keypos, &w);
    return object_make(env, &w);
}

static ERL_NIF_TERM get(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void        *object;
    ERL_NIF_TERM out;

    (void)argc;
    if (!enif_get_resource(env, argv[0], object_type, &object)) return enif_make_badarg(env);
    out = tsu_nif_decode_object(env, object);
    return out == 0 ? atom(env, "nomem") : out;
}

static ERL_NIF_TERM put(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void      *object;
    tsu_writer term, w;
    tsu_change change;
    int        pos;

    (void)argc;
    if (!enif_get_resource(env, argv[0], object_type, &object) || !enif_get_int(env, argv[1], &pos) ||
        pos < 1 || (size_t)pos > tsu_object_arity(object))
        return enif_make_badarg(env);
    tsu_writer_init(&term, NULL, 0);
    tsu_writer_init(&w, NULL, 0);
    if (tsu_nif_encode_term(env, argv[2], &term) != TSU_OK) return answer(env, &term);
    change = (tsu_change){(size_t)pos, term.bytes, term.len, term.handles, term.handle_count, term.loose};
    tsu_object_replace(object, &change, 1, &w);
    tsu_writer_deinit(&term);
    return object_make(env, &w);
}

static ERL_NIF_TERM same(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void *a, *b;

    (void)argc;
    if (!enif_get_resource(env, argv[0], object_type, &a) || !enif_get_resource(env, argv[1], object_type, &b))
        return enif_make_badarg(env);
    return atom(env, tsu_object_same(a, b) ? "true" : "false");
}

static ERL_NIF_TERM object_bytes(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    void *object;

    (void)argc;
    if (!enif_get_resource(env, argv[0], object_type, &object)) return enif_make_badarg(env);
    return enif_make_uint64(env, tsu_object_len(object));
}

/* add(A, B): of integers, through their bytes. */
static ERL_NIF_TERM add(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_writer     a, b, sum;
    const uint8_t *p;
    ERL_NIF_TERM   out;
    int            c;

    (void)argc;
    tsu_writer_init(&a, NULL, 0);
    tsu_writer_init(&b, NULL, 0);
    tsu_writer_init(&sum, NULL, 0);
    tsu_nif_encode_term(env, argv[0], &a);
    tsu_nif_encode_term(env, argv[1], &b);
    tsu_int_add(a.bytes, b.bytes, &sum);
    c = tsu_int_compare(a.bytes, b.bytes);
    p = sum.bytes;
    if (tsu_term_validate(sum.bytes, sum.len, true) != TSU_OK) out = atom(env, "invalid");
    else out = enif_make_tuple2(env, tsu_nif_decode_term(env, &p), enif_make_int(env, c));
    tsu_writer_deinit(&a);
    tsu_writer_deinit(&b);
    tsu_writer_deinit(&sum);
    return out;
}

/* time(Tuple, Rounds) -> {ns to encode, ns to decode, ns to hash the key, ns for its head}. */
static ERL_NIF_TERM time_it(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    uint8_t    buffer[256];
    tsu_writer w;
    int        rounds;
    uint64_t   t0, t1, t2, t3, t4, sum = 0;
    size_t     len;

    (void)argc;
    if (!enif_get_int(env, argv[1], &rounds)) return enif_make_badarg(env);
    tsu_writer_init(&w, buffer, sizeof buffer);
    t0 = tsu_env_monotonic_ns();
    for (int i = 0; i < rounds; i++) {
        tsu_writer_reset(&w);
        tsu_nif_encode_object(env, argv[0], 1, &w);
    }
    t1 = tsu_env_monotonic_ns();
    for (int i = 0; i < rounds; i++) sum += tsu_nif_decode_object(env, w.bytes);
    t2 = tsu_env_monotonic_ns();
    for (int i = 0; i < rounds; i++) {
        const uint8_t *key = tsu_object_key(w.bytes, 1, &len);
        sum = tsu_hash(key, len, sum);
    }
    t3 = tsu_env_monotonic_ns();
    for (int i = 0; i < rounds; i++) {
        const uint8_t *key = tsu_object_key(w.bytes, 1, &len);
        __asm__ volatile("" : : "r"(key) : "memory");
        sum += tsu_order_head(key);
    }
    t4 = tsu_env_monotonic_ns();
    tsu_writer_deinit(&w);
    (void)*(volatile uint64_t *)&sum;
    return enif_make_tuple4(env, enif_make_double(env, (double)(t1 - t0) / rounds),
                            enif_make_double(env, (double)(t2 - t1) / rounds),
                            enif_make_double(env, (double)(t3 - t2) / rounds),
                            enif_make_double(env, (double)(t4 - t3) / rounds));
}

static ERL_NIF_TERM allocated(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    (void)argv;
    return enif_make_uint64(env, tsu_env_bytes_allocated());
}

/* distrust(Bool) -> bits of what load has proven. */
static ERL_NIF_TERM distrust(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    return enif_make_uint(env, tsu_nif_term_distrust(argv[0] == atom(env, "true")));
}

static int load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    (void)priv;
    (void)info;
    object_type = enif_open_resource_type(env, NULL, "tsunami_term_object", object_dtor, ERL_NIF_RT_CREATE, NULL);
    return object_type != NULL && tsu_nif_term_load(env) ? 0 : 1;
}

static void unload(ErlNifEnv *env, void *priv)
{
    (void)env;
    (void)priv;
    tsu_nif_term_unload();
}

static ErlNifFunc funcs[] = {
    {"nif_encode", 2, encode, 0},   {"nif_order", 1, order, 0},   {"nif_round", 1, there_and_back, 0},
    {"nif_compare", 2, compare, 0}, {"nif_keep", 2, keep, 0},     {"nif_get", 1, get, 0},
    {"nif_put", 3, put, 0},         {"nif_same", 2, same, 0},     {"nif_bytes", 1, object_bytes, 0},
    {"nif_add", 2, add, 0},         {"nif_time", 2, time_it, 0},  {"nif_allocated", 0, allocated, 0},
    {"nif_fail_after", 1, fail_after, 0}, {"nif_distrust", 1, distrust, 0}
};

ERL_NIF_INIT(tsunami_term_tests, funcs, load, NULL, NULL, unload)
