#include "nif/spec.h"

#include "nif/resource.h"
#include "term/arith.h"
#include "term/hash.h"

#define CACHE_SLOTS     256u
#define CACHE_BYTES_MAX 4096u        /* of a specification that is kept */

static tsu_word cache[CACHE_SLOTS];     /* tsu_spec *, each with a reference */

static void spec_release(tsu_spec *spec)
{
    if (tsu_fetch_add(&spec->references, UINT64_MAX) != 1) return;
    for (int i = 0; i < 2; i++) tsu_plan_destroy((tsu_plan *)(uintptr_t)tsu_load_relaxed(&spec->plans[i]));
    tsu_ms_destroy(spec->ms);
    tsu_env_free(spec, sizeof *spec);
}

static void release_retired(tsu_thread *self, void *spec, size_t bytes)
{
    (void)self;
    (void)bytes;
    spec_release(spec);
}

static tsu_spec *cached(uint64_t hash, const uint8_t *bytes, size_t len)
{
    tsu_spec *spec = (tsu_spec *)(uintptr_t)tsu_load_acquire(&cache[hash % CACHE_SLOTS]);

    return spec != NULL && spec->hash == hash && tsu_ms_is_of(spec->ms, bytes, len) ? spec : NULL;
}

static tsu_status compile(tsu_writer *w, tsu_spec_arg *arg, tsu_thread *self)
{
    bool       keep = w->handle_count == 0 && w->len <= CACHE_BYTES_MAX;
    uint64_t   hash = keep ? tsu_hash(w->bytes, w->len, 0) : 0;
    tsu_spec  *spec = keep ? cached(hash, w->bytes, w->len) : NULL;
    tsu_status s;
    uint64_t   old;

    arg->owned = false;
    arg->spec = spec;
    if (spec != NULL) return TSU_OK;
    spec = tsu_env_alloc(sizeof *spec);
    if (spec == NULL) return TSU_NOMEM;
    memset(spec, 0, sizeof *spec);
    s = tsu_ms_compile(w->bytes, w->len, w->handles, w->handle_count, true, &spec->ms, NULL);
    if (s != TSU_OK) {
        tsu_env_free(spec, sizeof *spec);
        return s;
    }
    tsu_writer_give(w);
    spec->hash = hash;
    tsu_store_relaxed(&spec->references, 1);
    arg->spec = spec;
    arg->owned = !keep;
    if (keep) {
        old = tsu_exchange(&cache[hash % CACHE_SLOTS], (uint64_t)(uintptr_t)spec);
        if (old != 0) tsu_retire(self, (void *)(uintptr_t)old, sizeof *spec, release_retired);
    }
    return TSU_OK;
}

bool tsu_spec_get(ErlNifEnv *env, ERL_NIF_TERM term, tsu_spec **out)
{
    void *holder;

    if (!enif_get_resource(env, term, tsu_type_spec, &holder)) return false;
    *out = *(tsu_spec **)holder;
    return true;
}

ERL_NIF_TERM tsu_spec_term(ErlNifEnv *env, tsu_spec *spec)
{
    tsu_spec   **holder = enif_alloc_resource(tsu_type_spec, sizeof *holder);
    ERL_NIF_TERM term;

    if (holder == NULL) return 0;
    (void)tsu_fetch_add(&spec->references, 1);
    *holder = spec;
    term = enif_make_resource(env, holder);
    enif_release_resource(holder);
    return term;
}

void tsu_spec_dtor(ErlNifEnv *env, void *object)
{
    (void)env;
    spec_release(*(tsu_spec **)object);
}

tsu_status tsu_runner_init(tsu_runner *r, ErlNifEnv *env, const tsu_spec *spec)
{
    ErlNifPid  pid;
    tsu_status s;

    r->ms = spec->ms;
    tsu_ms_scratch_init(&r->scratch);
    tsu_writer_init(&r->self, r->self_room, sizeof r->self_room);
    s = tsu_nif_encode_term(env, enif_make_pid(env, enif_self(env, &pid)), &r->self);
    r->scratch.self = r->self.bytes;
    return s == TSU_OK ? tsu_ms_scratch_for(&r->scratch, r->ms) : s;
}

void tsu_runner_deinit(tsu_runner *r)
{
    tsu_ms_scratch_deinit(&r->scratch);
    tsu_writer_deinit(&r->self);
}

tsu_status tsu_spec_read(tsu_spec_arg *arg, ErlNifEnv *env, tsu_thread *self, ERL_NIF_TERM term, bool compiled)
{
    uint8_t    buffer[TSU_ARGS_BYTES];
    tsu_writer w;
    tsu_status s;

    arg->plan = arg->own_plan = NULL;
    arg->owned = false;
    if (compiled) return tsu_spec_get(env, term, &arg->spec) ? TSU_OK : TSU_BADARG;
    if (!enif_is_list(env, term)) return TSU_BADARG;
    tsu_writer_init(&w, buffer, sizeof buffer);
    s = tsu_nif_encode_term(env, term, &w);
    if (s == TSU_OK) s = compile(&w, arg, self);
    tsu_writer_deinit(&w);
    return s;
}

/* Whether a term in a head stands for itself, to be seen at a glance. */
static bool is_plain(ErlNifEnv *env, ERL_NIF_TERM term)
{
    size_t         len;
    const uint8_t *text;

    if (tsu_nif_is_small(term)) return true;
    if (!tsu_nif_is_atom(term)) return enif_is_binary(env, term);
    text = tsu_nif_atom_text(term >> 6, &len);
    return len == 0 || (text[0] != '_' && text[0] != '$');
}

/* Writes the specification with '_' for its key; 0: it has none that is plain, and what was written is of no use. */
static ERL_NIF_TERM key_split(ErlNifEnv *env, ERL_NIF_TERM list, uint32_t keypos, tsu_writer *w)
{
    ERL_NIF_TERM        clause, rest;
    const ERL_NIF_TERM *parts, *elements;
    int                 part_count, arity;
    tsu_status          s = TSU_OK;

    if (!enif_get_list_cell(env, list, &clause, &rest) || rest != tsu_nil) return 0;
    if (!enif_get_tuple(env, clause, &part_count, &parts) || part_count != 3) return 0;
    if (!enif_get_tuple(env, parts[0], &arity, &elements) || (uint32_t)arity < keypos) return 0;
    if (!is_plain(env, elements[keypos - 1])) return 0;
    tsu_write_list_begin(w, 1, false);
    tsu_write_tuple_begin(w, 3);
    tsu_write_tuple_begin(w, (size_t)arity);
    for (int i = 0; i < arity && s == TSU_OK; i++)
        s = tsu_nif_encode_term(env, (uint32_t)i == keypos - 1 ? tsu_atom_any : elements[i], w);
    if (s == TSU_OK) s = tsu_nif_encode_term(env, parts[1], w);
    if (s == TSU_OK) s = tsu_nif_encode_term(env, parts[2], w);
    return s == TSU_OK && w->status == TSU_OK ? elements[keypos - 1] : 0;
}

tsu_status tsu_spec_read_keyed(tsu_spec_arg *arg, ErlNifEnv *env, tsu_thread *self, ERL_NIF_TERM term, uint32_t keypos,
                               ERL_NIF_TERM *key)
{
    uint8_t    buffer[TSU_ARGS_BYTES];
    tsu_writer w;
    tsu_status s;

    arg->plan = arg->own_plan = NULL;
    tsu_writer_init(&w, buffer, sizeof buffer);
    *key = key_split(env, term, keypos, &w);
    s = *key != 0 ? compile(&w, arg, self) : TSU_OK;
    tsu_writer_deinit(&w);
    return *key != 0 ? s : tsu_spec_read(arg, env, self, term, false);
}

tsu_status tsu_spec_plan(tsu_spec_arg *arg, uint32_t keypos, bool ordered)
{
    tsu_word  *word = &arg->spec->plans[ordered];
    tsu_plan  *plan = (tsu_plan *)(uintptr_t)tsu_load_acquire(word);
    uint64_t   none = 0;
    tsu_status s;

    if (TSU_LIKELY(plan != NULL && plan->keypos == keypos)) {
        arg->plan = plan;
        return TSU_OK;
    }
    s = tsu_plan_create(arg->spec->ms, keypos, ordered, &arg->own_plan);
    if (s != TSU_OK) {
        arg->own_plan = NULL;
        return s;
    }
    arg->plan = arg->own_plan;
    if (tsu_cas(word, &none, (uint64_t)(uintptr_t)arg->own_plan)) arg->own_plan = NULL;
    return TSU_OK;
}

/* ---- Ranges ---- */

static tsu_status bound_read(tsu_bound *bound, tsu_key_arg *key, ErlNifEnv *env, ERL_NIF_TERM term)
{
    const ERL_NIF_TERM *parts;
    int                 arity;
    tsu_status          s;

    *bound = (tsu_bound){ .key = NULL };
    if (tsu_nif_is_atom(term)) return TSU_OK;
    if (!enif_get_tuple(env, term, &arity, &parts) || arity != 2) return TSU_BADARG;
    s = tsu_key_read(key, env, parts[1]);
    if (s == TSU_OK) *bound = (tsu_bound){ key->w.bytes, key->w.len, parts[0] == tsu_atom_gt || parts[0] == tsu_atom_lt };
    return s;
}

static tsu_status range_plan(tsu_spec_arg *arg, ErlNifEnv *env, ERL_NIF_TERM from, ERL_NIF_TERM to, uint32_t keypos)
{
    tsu_key_arg low_key, high_key;
    tsu_bound   low, high = { .key = NULL };
    tsu_status  s = bound_read(&low, &low_key, env, from);

    if (s == TSU_OK) s = bound_read(&high, &high_key, env, to);
    if (s == TSU_OK) s = tsu_plan_between(&low, &high, keypos, &arg->own_plan);
    if (low.key != NULL) tsu_key_done(&low_key);
    if (high.key != NULL) tsu_key_done(&high_key);
    return s;
}

static tsu_status prefix_plan(tsu_spec_arg *arg, ErlNifEnv *env, ERL_NIF_TERM prefix, uint32_t keypos)
{
    tsu_key_arg key;
    tsu_status  s = tsu_key_read(&key, env, prefix);

    if (s != TSU_OK) return s;
    s = tsu_plan_prefix(key.w.bytes, keypos, &arg->own_plan);
    tsu_key_done(&key);
    return s;
}

tsu_status tsu_spec_read_range(tsu_spec_arg *arg, ErlNifEnv *env, tsu_thread *self, ERL_NIF_TERM term, bool compiled, uint32_t keypos)
{
    const ERL_NIF_TERM *parts;
    int                 arity;
    tsu_status          s;

    if (!enif_get_tuple(env, term, &arity, &parts) || arity < 2 || arity > 3) return TSU_BADARG;
    s = tsu_spec_read(arg, env, self, parts[0], compiled);
    if (s != TSU_OK) return s;
    if (arity == 3) s = range_plan(arg, env, parts[1], parts[2], keypos);
    else s = prefix_plan(arg, env, parts[1], keypos);
    arg->plan = arg->own_plan;
    if (s != TSU_OK) tsu_spec_done(arg);
    return s;
}

ERL_NIF_TERM tsu_spec_range_term(ErlNifEnv *env, tsu_spec *spec, ERL_NIF_TERM range)
{
    const ERL_NIF_TERM *parts;
    int                 arity;
    ERL_NIF_TERM        term = tsu_spec_term(env, spec);

    if (term == 0 || !enif_get_tuple(env, range, &arity, &parts)) return 0;
    return arity == 3 ? enif_make_tuple3(env, term, parts[1], parts[2]) : enif_make_tuple2(env, term, parts[1]);
}

void tsu_spec_done(tsu_spec_arg *arg)
{
    tsu_plan_destroy(arg->own_plan);
    if (arg->owned) spec_release(arg->spec);
}

static bool atom_of(const uint8_t *text, size_t len, uint64_t *atom)
{
    ErlNifEnv   *env = enif_alloc_env();
    ERL_NIF_TERM term;
    bool         made = false;

    if (env == NULL) return false;
    if (enif_make_existing_atom_len(env, (const char *)text, len, &term, ERL_NIF_LATIN1)) {
        *atom = term >> 6;
        made = true;
    }
    enif_free_env(env);
    return made;
}

void tsu_spec_load(ErlNifEnv *env)
{
    ErlNifSysInfo info;

    enif_system_info(&info, sizeof info);
    tsu_match = (tsu_match_config){
        .otp = (unsigned)strtoul(info.otp_release, NULL, 10),
        .atom_true = tsu_atom_true >> 6,
        .atom_false = tsu_atom_false >> 6,
        .atom_exit = enif_make_atom(env, "EXIT") >> 6,
        .atom_of = atom_of,
    };
    if (tsu_match.otp >= 27) tsu_arith_bits_max = TSU_ARITH_BITS_MAX_27;
}

void tsu_spec_unload(void)
{
    for (size_t i = 0; i < CACHE_SLOTS; i++) {
        uint64_t old = tsu_exchange(&cache[i], 0);
        if (old != 0) spec_release((tsu_spec *)(uintptr_t)old);
    }
}
