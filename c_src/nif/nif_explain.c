/* nif_explain.c: what a table's plan of a match specification is, as terms for people: tsunami_x:explain/2. */
#include "nif/functions.h"
#include "nif/reply.h"
#include "nif/slice.h"
#include "nif/spec.h"
#include "scan.h"

#define COUNTED_MAX 4000u

/* A bound as a term: open places are atoms. 0: memory is short. */
static ERL_NIF_TERM key_term(ErlNifEnv *env, const tsu_bound *bound)
{
    uint8_t        buffer[TSU_ARGS_BYTES];
    const uint8_t *p = bound->key, *from, *end = bound->key + bound->len;
    tsu_writer     w;
    tsu_token      t;
    ERL_NIF_TERM   term = 0;

    tsu_writer_init(&w, buffer, sizeof buffer);
    while (p < end) {
        from = p;
        tsu_term_next(&p, &t);
        if (t.kind == TSU_LEAST || t.kind == TSU_MOST)
            tsu_write_atom(&w, (t.kind == TSU_LEAST ? tsu_atom_least : tsu_atom_most) >> 6);
        else
            tsu_write_bytes(&w, from, (size_t)(p - from));
    }
    p = w.bytes;
    if (w.status == TSU_OK) term = tsu_nif_decode_term(env, &p);
    tsu_writer_deinit(&w);
    return term;
}

static ERL_NIF_TERM bound_term(ErlNifEnv *env, const tsu_bound *bound, ERL_NIF_TERM none, ERL_NIF_TERM closed, ERL_NIF_TERM open)
{
    ERL_NIF_TERM key;

    if (bound->key == NULL) return none;
    key = key_term(env, bound);
    return key == 0 ? 0 : enif_make_tuple2(env, bound->open ? open : closed, key);
}

/* {key, Key}, {range, From, To}, or of a family {tuples, From, To}; as the functions of tsunami_x write bounds. */
static ERL_NIF_TERM range_term(ErlNifEnv *env, const tsu_range *r)
{
    ERL_NIF_TERM low, high;

    if (r->one) {
        low = key_term(env, &r->low);
        return low == 0 ? 0 : enif_make_tuple2(env, tsu_atom_key, low);
    }
    low = bound_term(env, &r->low, tsu_atom_first, tsu_atom_ge, tsu_atom_gt);
    high = bound_term(env, r->family ? &r->each : &r->high, tsu_atom_last, tsu_atom_le, tsu_atom_lt);
    if (low == 0 || high == 0) return 0;
    return enif_make_tuple3(env, r->family ? tsu_atom_tuples : tsu_atom_range, low, high);
}

static ERL_NIF_TERM plan_term(ErlNifEnv *env, const tsu_plan *plan)
{
    ERL_NIF_TERM list = tsu_nil;

    for (size_t i = plan->count; i-- > 0;) {
        ERL_NIF_TERM range = range_term(env, &plan->ranges[i]);

        if (range == 0) return 0;
        list = enif_make_list_cell(env, range, list);
    }
    return list;
}

/* {Ranges, object | true | other, whether it keeps the key} */
static ERL_NIF_TERM clause_term(ErlNifEnv *env, const tsu_ms *ms, size_t clause, const tsu_plan *of)
{
    tsu_plan    *plan = NULL;
    ERL_NIF_TERM ranges, result = tsu_atom_other;

    if (tsu_plan_clause(ms, clause, of->keypos, of->ordered, &plan) != TSU_OK) return 0;
    ranges = plan_term(env, plan);
    tsu_plan_destroy(plan);
    if (ranges == 0) return 0;
    if (tsu_ms_clause_is_object(ms, clause)) result = tsu_atom_object;
    else if (tsu_ms_clause_is_true(ms, clause)) result = tsu_atom_true;
    return enif_make_tuple3(env, ranges, result, tsu_reply_bool(tsu_ms_clause_keeps_key(ms, clause, of->keypos)));
}

static bool count_shown(void *ctx, const uint8_t *object)
{
    uint64_t *count = ctx;

    (void)object;
    return ++*count < COUNTED_MAX;
}

/* How many objects the plan leads to: counted, up to a number and for as long as a slice. */
static ERL_NIF_TERM expected_term(ErlNifEnv *env, const tsu_call *c, const tsu_plan *plan)
{
    tsu_scan  scan = { .plan = plan, .direction = TSU_FORWARD };
    tsu_slice slice = tsu_slice_begin();
    uint64_t  count = 0;
    bool      done = false;

    if (tsu_plan_is_all(plan)) return enif_make_uint64(env, tsu_table_count(c->table));
    while (!done && scan.status == TSU_OK && count < COUNTED_MAX && !tsu_slice_over(&slice))
        done = tsu_scan_run(c->self, c->table, &scan, COUNTED_MAX, count_shown, &count);
    tsu_slice_end(env, &slice);
    return done ? enif_make_uint64(env, count) : enif_make_tuple2(env, tsu_atom_at_least, enif_make_uint64(env, count));
}

/* Of a specification that was read. 0: memory is short. */
static ERL_NIF_TERM explained(ErlNifEnv *env, const tsu_call *c, const tsu_spec_arg *spec)
{
    const tsu_ms *ms = spec->spec->ms;
    ERL_NIF_TERM  ranges = plan_term(env, spec->plan), clauses = tsu_nil;

    for (size_t i = tsu_ms_clauses(ms); i-- > 0;) {
        ERL_NIF_TERM clause = clause_term(env, ms, i, spec->plan);

        if (clause == 0) return 0;
        clauses = enif_make_list_cell(env, clause, clauses);
    }
    if (ranges == 0) return 0;
    return enif_make_tuple4(env, ranges, clauses, enif_make_uint64(env, tsu_table_count(c->table)),
                            expected_term(env, c, spec->plan));
}

/* explain(T, Specification) -> {Ranges, [Clause], Objects, Expected | {at_least, Counted}} */
TSU_NIF(tsu_nif_explain)
{
    tsu_call     c;
    tsu_spec_arg spec;
    ERL_NIF_TERM term = 0;
    tsu_status   s;

    (void)argc;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_READ)) return tsu_call_refuse(&c);
    if (argv[1] == tsu_nil) {               /* no clause: nothing matches */
        term = enif_make_tuple4(env, tsu_nil, tsu_nil, enif_make_uint64(env, tsu_table_count(c.table)), enif_make_int(env, 0));
        tsu_call_end(&c);
        return term;
    }
    s = tsu_spec_read(&spec, env, c.self, argv[1], false);
    if (s == TSU_OK) {
        s = tsu_spec_plan(&spec, c.live->keypos, c.live->type == TSU_ORDERED_SET);
        if (s == TSU_OK) term = explained(env, &c, &spec);
        if (s == TSU_OK && term == 0) s = TSU_NOMEM;
        tsu_spec_done(&spec);
    }
    tsu_call_end(&c);
    return s == TSU_OK ? term : tsu_reply_status(env, s);
}
