/* match_nif.c: match specifications as functions of Erlang, so that tsunami_match_tests.erl can hold them against
 * ets. Belongs to tests only. */
#include "term/arith.h"
#include "term/matchplan.h"
#include "term/matchvm.h"
#include "testing/test_nif.h"

static uint64_t atom_number(ErlNifEnv *env, const char *name) { return atom(env, name) >> 6; }

static ErlNifEnv *atoms_env;

static bool atom_of(const uint8_t *text, size_t len, uint64_t *out)
{
    ERL_NIF_TERM a;

    if (!enif_make_existing_atom_len(atoms_env, (const char *)text, len, &a, ERL_NIF_LATIN1)) return false;
    *out = a >> 6;
    return true;
}

static ErlNifResourceType *ms_type;
typedef struct held { tsu_ms *ms; } held;

static void ms_dtor(ErlNifEnv *env, void *object)
{
    (void)env;
    tsu_ms_destroy(((held *)object)->ms);
}

/* compile(Spec) -> program, or {badarg, Cause, Clause, At, Number}, or another status. */
static ERL_NIF_TERM compile(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_writer   w;
    tsu_ms      *ms;
    tsu_ms_error why;
    tsu_status   s;
    ERL_NIF_TERM out;
    held        *h;

    (void)argc;
    tsu_writer_init(&w, NULL, 0);
    s = tsu_nif_encode_term(env, argv[0], &w);
    if (s == TSU_OK) s = tsu_ms_compile(w.bytes, w.len, w.handles, w.handle_count, true, &ms, &why);
    if (s == TSU_OK) {
        tsu_writer_give(&w);
        h = enif_alloc_resource(ms_type, sizeof *h);
        h->ms = ms;
        out = enif_make_resource(env, h);
        enif_release_resource(h);
    } else if (s == TSU_BADARG) {
        out = enif_make_tuple5(env, atom(env, "badarg"), enif_make_int(env, why.cause), enif_make_uint64(env, why.clause),
                               enif_make_uint64(env, why.at), enif_make_uint64(env, why.number));
    } else {
        out = atom(env, tsu_status_name(s));
    }
    tsu_writer_deinit(&w);
    return out;
}

static ERL_NIF_TERM outcome(ErlNifEnv *env, const tsu_ms_result *r)
{
    const uint8_t *p = r->term;
    ERL_NIF_TERM   term;

    if (r->outcome == TSU_MS_NO_MATCH) return enif_make_list(env, 0);
    term = r->outcome == TSU_MS_OBJECT ? tsu_nif_decode_object(env, p) : tsu_nif_decode_term(env, &p);
    return term == 0 ? atom(env, "nomem") : enif_make_list1(env, term);
}

/* run(Program, Tuple, KeyPos) -> [] or [Result]; checks that the result is well-formed. */
static ERL_NIF_TERM run(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_ms_scratch s;
    tsu_ms_result  r;
    tsu_writer     w, self;
    ErlNifPid      pid;
    void          *h;
    int            keypos;
    ERL_NIF_TERM   out;
    tsu_status     status;

    (void)argc;
    if (!enif_get_resource(env, argv[0], ms_type, &h) || !enif_get_int(env, argv[2], &keypos)) return enif_make_badarg(env);
    tsu_writer_init(&w, NULL, 0);
    tsu_writer_init(&self, NULL, 0);
    tsu_ms_scratch_init(&s);
    tsu_nif_encode_term(env, enif_make_pid(env, enif_self(env, &pid)), &self);
    s.self = self.bytes;
    status = tsu_nif_encode_object(env, argv[1], keypos, &w);
    if (status == TSU_OK) status = tsu_ms_scratch_for(&s, ((held *)h)->ms);
    if (status == TSU_OK) status = tsu_ms_run(((held *)h)->ms, &s, w.bytes, &r);
    if (status != TSU_OK) out = atom(env, tsu_status_name(status));
    else if (r.outcome == TSU_MS_TERM && tsu_term_validate(r.term, tsu_term_len(r.term), false) != TSU_OK) out = atom(env, "invalid");
    else out = outcome(env, &r);
    tsu_ms_scratch_deinit(&s);
    tsu_writer_deinit(&self);
    tsu_writer_deinit(&w);
    return out;
}

/* time(Program, Tuples, Rounds) -> ns for each object of counting those that give `true`. */
static ERL_NIF_TERM time_it(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_ms_scratch  s;
    tsu_ms_result   r;
    tsu_writer      w;
    void           *h;
    int             rounds;
    ERL_NIF_TERM    head, list = argv[1];
    uint64_t        t0, best = UINT64_MAX, count = 0, objects = 0;

    (void)argc;
    if (!enif_get_resource(env, argv[0], ms_type, &h) || !enif_get_int(env, argv[2], &rounds)) return enif_make_badarg(env);
    tsu_writer_init(&w, NULL, 0);
    for (; enif_get_list_cell(env, list, &head, &list); objects++) tsu_nif_encode_object(env, head, 1, &w);
    tsu_ms_scratch_init(&s);
    tsu_ms_scratch_for(&s, ((held *)h)->ms);
    for (int i = 0; i < rounds; i++) {
        t0 = tsu_env_monotonic_ns();
        for (const uint8_t *p = w.bytes; p < w.bytes + w.len; p += tsu_object_len(p)) {
            tsu_ms_run(((held *)h)->ms, &s, p, &r);
            count += tsu_ms_result_is_true(&r);
        }
        t0 = tsu_env_monotonic_ns() - t0;
        if (t0 < best) best = t0;
    }
    tsu_ms_scratch_deinit(&s);
    tsu_writer_deinit(&w);
    return enif_make_tuple2(env, enif_make_double(env, (double)best / (double)objects), enif_make_uint64(env, count));
}

/* plan(Program, KeyPos, Ordered) -> {Kind, Keys, every clause keeps the key} */
static ERL_NIF_TERM plan(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_plan     *p;
    const tsu_ms *ms;
    void         *h;
    int           keypos;
    bool          ordered = argv[2] == atom(env, "true"), keeps = true, ones = true;
    ERL_NIF_TERM  keys = enif_make_list(env, 0);
    const char   *kind;

    (void)argc;
    if (!enif_get_resource(env, argv[0], ms_type, &h) || !enif_get_int(env, argv[1], &keypos)) return enif_make_badarg(env);
    ms = ((held *)h)->ms;
    for (size_t k = 0; k < tsu_ms_clauses(ms); k++) keeps = keeps && tsu_ms_clause_keeps_key(ms, k, (size_t)keypos);
    if (tsu_plan_create(ms, (size_t)keypos, ordered, &p) != TSU_OK) return enif_make_badarg(env);
    for (size_t k = 0; k < p->count; k++) ones = ones && p->ranges[k].one;
    for (size_t k = 0; k < p->count && ones; k++) {
        const uint8_t *key = p->ranges[k].low.key;
        keys = enif_make_list_cell(env, tsu_nif_decode_term(env, &key), keys);
    }
    kind = p->count == 0 ? "nothing" : ones ? "keys" : tsu_plan_is_all(p) ? "all" : "range";
    tsu_plan_destroy(p);
    return enif_make_tuple3(env, atom(env, kind), keys, atom(env, keeps ? "true" : "false"));
}

/* covers(Program, KeyPos, Ordered, Key) */
static ERL_NIF_TERM covers(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_plan    *p;
    tsu_writer   w;
    void        *h;
    int          keypos;
    ERL_NIF_TERM out;

    (void)argc;
    if (!enif_get_resource(env, argv[0], ms_type, &h) || !enif_get_int(env, argv[1], &keypos)) return enif_make_badarg(env);
    if (tsu_plan_create(((held *)h)->ms, (size_t)keypos, argv[2] == atom(env, "true"), &p) != TSU_OK)
        return enif_make_badarg(env);
    tsu_writer_init(&w, NULL, 0);
    tsu_nif_encode_key(env, argv[3], &w);
    out = atom(env, tsu_plan_covers(p, w.bytes) ? "true" : "false");
    tsu_writer_deinit(&w);
    tsu_plan_destroy(p);
    return out;
}

static int load(ErlNifEnv *env, void **priv, ERL_NIF_TERM info)
{
    int otp;

    (void)priv;
    if (!enif_get_int(env, info, &otp)) return 1;
    ms_type = enif_open_resource_type(env, NULL, "tsunami_match_program", ms_dtor, ERL_NIF_RT_CREATE, NULL);
    if (ms_type == NULL || !tsu_nif_term_load(env)) return 1;
    atoms_env = enif_alloc_env();
    tsu_match.otp = (unsigned)otp;
    tsu_match.atom_true = atom_number(env, "true");
    tsu_match.atom_false = atom_number(env, "false");
    tsu_match.atom_exit = atom_number(env, "EXIT");
    tsu_match.atom_of = atom_of;
    if (otp >= 27) tsu_arith_bits_max = TSU_ARITH_BITS_MAX_27;
    return 0;
}

static void unload(ErlNifEnv *env, void *priv)
{
    (void)env;
    (void)priv;
    enif_free_env(atoms_env);
    tsu_nif_term_unload();
}

static ErlNifFunc funcs[] = {
    {"nif_compile", 1, compile, 0}, {"nif_run", 3, run, 0}, {"nif_time", 3, time_it, 0}, {"nif_fail_after", 1, fail_after, 0},
    {"nif_plan", 3, plan, 0},       {"nif_covers", 4, covers, 0}
};

ERL_NIF_INIT(tsunami_match_tests, funcs, load, NULL, NULL, unload)
