/* nif_select.c: objects that a match specification picks: listed, counted, deleted, replaced, taken; all of them, or in chunks.
 *
 * A search walks what the plan of its specification names (scan.h), in slices. Between two of them it is its arguments: table,
 * compiled specification, cursor, and what it has found.
 */
#include "mem/hashtab.h"
#include "nif/functions.h"
#include "nif/reply.h"
#include "nif/slice.h"
#include "nif/spec.h"
#include "scan.h"

#define OBJECTS_BETWEEN_LOOKS 32u       /* at the clock */
#define STEPS_MAX             4000u
#define HITS_MAX              64u       /* changed in one go */
#define OBJECTS_IN_ONE_GO     128u      /* of a key with many */
#define CLEARED_MIN           200u      /* so many objects are not removed key by key */

typedef enum search_mode { LIST, REVERSE, COUNT, DELETE, REPLACE, TAKE } search_mode;

/* What goes from slice to slice. */
typedef struct job {
    ERL_NIF_TERM table, spec;       /* as they were given; after the first slice a tid and a reference */
    bool         ranged;            /* the specification is one with a range: tsu_spec_read_range. A cursor goes on in either */
    search_mode  mode;
    bool         chunk;
    uint64_t     count_max;         /* of a chunk, or to take; else UINT64_MAX */
    ERL_NIF_TERM cursor;            /* the atom start, or a binary: mark, number of the range, and the last key seen, if any */
    ERL_NIF_TERM list;
    ERL_NIF_TERM taken;             /* the list, with what the change of the key at hand puts in front of it */
    uint64_t     count;
    ERL_NIF_TERM within;            /* []; or of a key with many objects: tsu_within_term, or the resource that has a change; or true: by its
                                     * specification as it is */
} job;

typedef struct search {
    tsu_update     update;          /* of the object at hand, if it is to be changed */
    ErlNifEnv     *env;
    tsu_thread    *self;
    job           *job;
    tsu_slice      slice;
    tsu_runner     runner;
    uint64_t       looked;
    uint32_t       keypos;
    tsu_status     status;
    tsu_scan       scan;
    bool           done, timed;
    tsu_writer     object;          /* a new one */
    uint8_t        object_room[TSU_ARGS_BYTES];
    size_t         hits;
    const uint8_t *hit[HITS_MAX];
    size_t         hit_range[HITS_MAX];
    ERL_NIF_TERM   list;            /* the job's as it was before a key with many objects; */
    uint64_t       count;           /* and its count */
    tsu_rework    *rework;          /* of such a key; or NULL */
} search;

/* A cursor may come back from anywhere, and a key of other bytes could lead anywhere: the number of an atom that is not there,
 * for one. So it begins with a hash of the rest that only this library knows. */
#define CURSOR_MARK_BYTES 8u
#define CURSOR_HEAD_BYTES (CURSOR_MARK_BYTES + 8u)

/* The clock runs from the first look at it: most searches are over before. */
static bool slice_over(search *q)
{
    if (q->timed) return tsu_slice_over(&q->slice);
    q->timed = true;
    q->slice = tsu_slice_begin();
    return false;
}

/* ---- Looking ---- */

/* What the program has made of an object; 0: memory is short. */
static ERL_NIF_TERM result_term(const search *q, const uint8_t *object, const tsu_ms_result *r)
{
    const uint8_t *p = r->term;

    return r->outcome == TSU_MS_OBJECT ? tsu_nif_decode_object(q->env, object) : tsu_nif_decode_term(q->env, &p);
}

/* The objects of a key are changed in one go, and are one hit. */
static void hit_add(search *q, const uint8_t *object)
{
    if (q->hits > 0) {
        size_t         len, last_len;
        const uint8_t *key = tsu_object_key(object, q->keypos, &len);
        const uint8_t *last = tsu_object_key(q->hit[q->hits - 1], q->keypos, &last_len);

        if (len == last_len && memcmp(key, last, len) == 0) return;
    }
    q->hit_range[q->hits] = q->scan.range;
    q->hit[q->hits++] = object;
}

static bool search_show(void *ctx, const uint8_t *object)
{
    search       *q = ctx;
    job          *j = q->job;
    tsu_ms_result r;
    tsu_status    s;

    s = tsu_runner_run(&q->runner, object, &r);
    if (TSU_UNLIKELY(s != TSU_OK)) {
        q->status = s;
        return false;
    }
    if (r.outcome != TSU_MS_NO_MATCH) {
        if (j->mode <= REVERSE) {
            ERL_NIF_TERM term = result_term(q, object, &r);

            if (TSU_UNLIKELY(term == 0)) {
                q->status = TSU_NOMEM;
                return false;
            }
            j->list = enif_make_list_cell(q->env, term, j->list);
            j->count++;
            q->scan.lax -= q->scan.lax > 0;
        } else if (j->mode == COUNT) {
            j->count += tsu_ms_result_is_true(&r);
        } else if (j->mode >= REPLACE || tsu_ms_result_is_true(&r)) {
            hit_add(q, object);
        }
    }
    if ((j->count + (j->mode == TAKE ? q->hits : 0) >= j->count_max && !q->scan.within) || q->hits == HITS_MAX) return false;
    return ++q->looked % OBJECTS_BETWEEN_LOOKS != 0 || !slice_over(q);
}

/* The next objects are those of a key that has many: they may have to be taken back, and are changed by themselves. */
static bool search_many(void *ctx, bool anew)
{
    search *q = ctx;

    if (q->job->mode >= DELETE) {
        q->status = tsu_rework_create(q->self, q->scan.from, q->scan.from_len, &q->rework);
        return false;
    }
    if (anew) {
        q->job->list = q->list;
        q->job->count = q->count;
    } else {
        q->list = q->job->list;
        q->count = q->job->count;
    }
    return true;
}

/* An object of the one key that is asked for; in an ordered table it may be a key that only compares equal. */
typedef struct one_key {
    search            *search;
    const tsu_key_arg *key;
} one_key;

static bool key_show(void *ctx, const uint8_t *object)
{
    one_key       *o = ctx;
    size_t         len;
    const uint8_t *key = tsu_object_key(object, o->search->keypos, &len);

    return len != o->key->w.len || memcmp(key, o->key->w.bytes, len) != 0 || search_show(o->search, object);
}

/* AGAIN: it has too many objects for that. */
static tsu_status key_run(search *q, const tsu_call *c, ERL_NIF_TERM term)
{
    tsu_key_arg key;
    tsu_part    part = {0, NULL};
    one_key     o = { q, &key };
    tsu_status  s = tsu_key_read(&key, q->env, term);

    if (s != TSU_OK) return s;
    s = tsu_lookup_part(c->self, c->table, key.w.bytes, key.w.len, &part, key_show, &o);
    tsu_key_done(&key);
    return q->status != TSU_OK ? q->status : s;
}

/* ---- Changing ---- */

/* The result for an object, which goes with it. */
static tsu_verdict take(search *q, const uint8_t *old, const tsu_ms_result *r)
{
    job         *j = q->job;
    ERL_NIF_TERM term;

    if (q->update.hits == 0) j->taken = j->list;               /* asked for the first time, or anew */
    if (q->update.hits == j->count_max - j->count) return TSU_EDIT_KEEP;
    term = result_term(q, old, r);
    if (TSU_UNLIKELY(term == 0)) {
        q->status = TSU_NOMEM;
        return TSU_EDIT_FAIL;
    }
    j->taken = enif_make_list_cell(q->env, term, j->taken);
    q->update.hits++;
    return TSU_EDIT_REMOVE;
}

/* The key at hand has been changed. */
static void changed(search *q)
{
    q->job->count += q->update.hits;
    if (q->job->mode == TAKE && q->update.hits > 0) q->job->list = q->job->taken;
}

/* What is to become of an object, which may have changed since it was found. */
static tsu_verdict change(tsu_update *update, const uint8_t *old, const uint8_t **out, size_t *out_len)
{
    search        *q = (search *)update;
    tsu_ms_result  r;
    const uint8_t *p;
    ERL_NIF_TERM   term;

    if (old == NULL) return TSU_EDIT_KEEP;
    q->status = tsu_runner_run(&q->runner, old, &r);
    if (q->status != TSU_OK) return TSU_EDIT_FAIL;
    if (r.outcome == TSU_MS_NO_MATCH || (q->job->mode == DELETE && !tsu_ms_result_is_true(&r))) return TSU_EDIT_KEEP;
    if (q->job->mode == TAKE) return take(q, old, &r);
    update->hits++;
    if (q->job->mode == DELETE) return TSU_EDIT_REMOVE;
    if (r.outcome == TSU_MS_OBJECT) return TSU_EDIT_KEEP;
    p = r.term;
    term = tsu_nif_decode_term(q->env, &p);
    tsu_writer_reset(&q->object);
    q->status = term == 0 ? TSU_NOMEM : tsu_nif_encode_object(q->env, term, (int)q->keypos, &q->object);
    if (q->status != TSU_OK) return TSU_EDIT_FAIL;
    tsu_writer_give(&q->object);
    *out = q->object.bytes;
    *out_len = q->object.len;
    return TSU_EDIT_PUT;
}

static void change_unused(tsu_update *update, const uint8_t *object)
{
    (void)update;
    tsu_object_release(object, tsu_codec.release);
}

/* Changes what was found. AGAIN: the scan is behind what has been changed. Pinned. */
static tsu_status search_change(search *q, const tsu_call *c, const tsu_scan *begin)
{
    tsu_status s = TSU_OK;

    for (size_t i = 0; i < q->hits; i++) {
        size_t         len;
        const uint8_t *key = tsu_object_key(q->hit[i], q->keypos, &len);
        tsu_verdict    verdict;

        s = tsu_table_update(c->self, c->table, key, len, &q->update, &verdict);
        if (s == TSU_OK && verdict == TSU_EDIT_FAIL) s = q->status;
        if (s == TSU_AGAIN) {
            q->scan = *begin;
            if (i > 0) {
                q->scan.range = q->hit_range[i - 1];
                q->scan.from = tsu_object_key(q->hit[i - 1], q->keypos, &q->scan.from_len);
            }
        }
        if (s != TSU_OK) break;
        changed(q);
    }
    q->hits = 0;
    return s;
}

/* The same of a key that has many objects. */
static tsu_status many_change(search *q, const tsu_call *c)
{
    tsu_verdict verdict;
    tsu_status  s;

    do {
        s = tsu_rework_run(c->self, c->table, q->rework, &q->update, OBJECTS_IN_ONE_GO, &verdict);
        if (s == TSU_OK && verdict == TSU_EDIT_FAIL) s = q->status;
    } while (s == TSU_AGAIN && !slice_over(q));
    if (s != TSU_OK) return s;
    changed(q);
    tsu_rework_destroy(c->self, q->rework);
    q->rework = NULL;
    return TSU_OK;
}

/* ---- A slice ---- */

static uint64_t cursor_mark(const uint8_t *cursor, size_t size)
{
    return tsu_hash(cursor + CURSOR_MARK_BYTES, size - CURSOR_MARK_BYTES, ~tsu_hash_seed);
}

static bool cursor_read(ErlNifEnv *env, ERL_NIF_TERM term, tsu_scan *scan, bool at_end)
{
    ErlNifBinary bin;

    scan->range = 0;
    scan->from = NULL;
    scan->from_len = 0;
    scan->within = false;
    if (term == tsu_atom_start) return true;
    if (!enif_inspect_binary(env, term, &bin) || bin.size < CURSOR_HEAD_BYTES) return false;
    if (tsu_get64(bin.data) != cursor_mark(bin.data, bin.size)) return false;
    scan->range = tsu_get64(bin.data + CURSOR_MARK_BYTES);
    if (scan->range >= scan->plan->count + at_end) return false;
    if (bin.size == CURSOR_HEAD_BYTES) return true;
    scan->from = bin.data + CURSOR_HEAD_BYTES;
    scan->from_len = bin.size - CURSOR_HEAD_BYTES;
    return true;
}

static ERL_NIF_TERM cursor_term(ErlNifEnv *env, const tsu_scan *scan)
{
    ERL_NIF_TERM term;
    size_t       size = CURSOR_HEAD_BYTES + scan->from_len;
    uint8_t     *bytes = enif_make_new_binary(env, size, &term);

    if (bytes == NULL) return 0;
    tsu_put64(bytes + CURSOR_MARK_BYTES, scan->range);
    if (scan->from_len > 0) memcpy(bytes + CURSOR_HEAD_BYTES, scan->from, scan->from_len);
    tsu_put64(bytes, cursor_mark(bytes, size));
    return term;
}

/* Looks, and changes, until the slice is over (AGAIN) or the search (OK). Pinned. */
static tsu_status search_run(search *q, const tsu_call *c)
{
    bool done = false, full = false;

    while (!done && !full) {
        tsu_scan   begin = q->scan;
        tsu_status s;

        if (q->rework == NULL) {
            (void)tsu_scan_run(c->self, c->table, &q->scan, STEPS_MAX, search_show, q);
            if (q->status != TSU_OK) return q->status;
            if (q->scan.status != TSU_OK) return q->scan.status;
            if (q->hits > 0 && (s = search_change(q, c, &begin)) != TSU_OK) {
                /* the key is met again */
                tsu_rework_destroy(c->self, q->rework);
                q->rework = NULL;
                return s;
            }
        }
        if (q->rework != NULL && (s = many_change(q, c)) != TSU_OK) return s;
        done = q->scan.range == q->scan.plan->count;
        full = q->job->count >= q->job->count_max && !q->scan.within;
        if (!done && !full && slice_over(q)) return TSU_AGAIN;
    }
    q->done = done;
    return TSU_OK;
}

static ERL_NIF_TERM search_more(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[]);

/* Results are put in front of a list, which a chunk turns round at its end: so all of them are met the last one first. Of what is
 * taken up to a number the first ones are met first. */
static tsu_direction search_direction(const job *j, bool ordered)
{
    if (!ordered || (j->mode == TAKE && j->count_max < UINT64_MAX)) return TSU_FORWARD;
    return (j->mode == LIST) == j->chunk && j->mode != TAKE ? TSU_FORWARD : TSU_BACKWARD;
}

/* What is known of a key with many objects when the slice is over; 0: memory is short. The resource takes the change. */
static ERL_NIF_TERM within_term(search *q, ERL_NIF_TERM last)
{
    tsu_slices  *state;
    ERL_NIF_TERM term = last;
    void        *object;

    if (q->scan.within) return tsu_within_term(q->env, &q->scan, q->list, q->count);
    if (q->rework == NULL) return tsu_nil;
    if (enif_get_resource(q->env, last, tsu_type_slices, &object)) {
        state = object;
    } else {
        state = tsu_slices_new();
        if (state == NULL) return 0;
        term = enif_make_resource(q->env, state);
        enif_release_resource(state);
    }
    state->rework = q->rework;
    q->rework = NULL;
    return term;
}

static void within_read(search *q, ERL_NIF_TERM term)
{
    void *state;

    if (tsu_within_read(q->env, term, &q->scan, &q->list, &q->count)) return;
    if (!enif_get_resource(q->env, term, tsu_type_slices, &state)) return;
    q->rework = ((tsu_slices *)state)->rework;
    ((tsu_slices *)state)->rework = NULL;
}

static bool keeps_key(const tsu_ms *ms, uint32_t keypos)
{
    for (size_t i = 0; i < tsu_ms_clauses(ms); i++)
        if (!tsu_ms_clause_keeps_key(ms, i, keypos)) return false;
    return true;
}

/* What the search has found, or {reverse, List}; of a chunk {List, Count, Cursor or done, Tid, Compiled, whether the table is ordered}. */
static ERL_NIF_TERM job_reply(ErlNifEnv *env, job *j, bool ordered, ERL_NIF_TERM cursor)
{
    if (j->mode == TAKE && ordered && j->count_max < UINT64_MAX) return enif_make_tuple2(env, tsu_atom_reverse, j->list);
    if (!j->chunk) return j->mode <= REVERSE || j->mode == TAKE ? j->list : enif_make_uint64(env, j->count);
    if (ordered && !enif_make_reverse_list(env, j->list, &j->list)) return tsu_reply_limit(env);
    return enif_make_tuple6(env, j->list, enif_make_uint64(env, j->count), cursor, j->table, j->spec,
                            tsu_reply_bool(ordered));
}

/* ---- All ---- */

/* [{'_', [], [true]}] */
static bool is_all(ErlNifEnv *env, ERL_NIF_TERM spec)
{
    const ERL_NIF_TERM *e;
    ERL_NIF_TERM        head, tail, result;
    int                 arity;

    return enif_get_list_cell(env, spec, &head, &tail) && tail == tsu_nil && enif_get_tuple(env, head, &arity, &e) && arity == 3
           && e[0] == tsu_atom_any && e[1] == tsu_nil && enif_get_list_cell(env, e[2], &result, &tail) && tail == tsu_nil
           && result == tsu_atom_true;
}

/* argv: when a grace began, and the resource with what was cleared in it. Who was under way then may still have changed that: it is counted
 * when they are through. */
static ERL_NIF_TERM cleared_count(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    tsu_thread  *self = tsu_thread_self();
    ErlNifUInt64 begun;
    void        *object;
    tsu_slices  *state;
    uint64_t     count;

    if (!enif_get_uint64(env, argv[0], &begun) || !enif_get_resource(env, argv[1], tsu_type_slices, &object))
        return enif_make_badarg(env);
    state = object;
    if (self != NULL && !tsu_grace_help(self, begun)) {
        (void)enif_consume_timeslice(env, 10);
        return enif_schedule_nif(env, "search", 0, cleared_count, argc, argv);
    }
    count = tsu_contents_count(state->cleared);
    tsu_slices_deinit(state);
    return enif_make_uint64(env, count);
}

/* All objects go as one. Ends the call. */
static ERL_NIF_TERM clear(tsu_call *c)
{
    ErlNifEnv   *env = c->env;
    tsu_slices  *state = tsu_slices_new();
    tsu_status   s = state == NULL ? TSU_NOMEM : tsu_clear_keep(c->self, c->table, &state->cleared);
    ERL_NIF_TERM wait[2] = { 0, state == NULL ? 0 : enif_make_resource(env, state) };

    if (state != NULL) enif_release_resource(state);
    tsu_call_end(c);
    if (s != TSU_OK) return tsu_reply_status(env, s);
    wait[0] = enif_make_uint64(env, tsu_grace_begin());
    return cleared_count(env, 2, wait);
}

static ERL_NIF_TERM job_run(ErlNifEnv *env, job *j)
{
    tsu_call     c;
    tsu_spec_arg spec;
    search       q;
    bool         ordered, ranged = j->ranged || (j->cursor != tsu_atom_start && enif_is_tuple(env, j->spec));
    ERL_NIF_TERM cursor = tsu_atom_done, key = 0;
    tsu_status   s;

    q.timed = false;
    q.rework = NULL;
    if (!tsu_call_begin(&c, env, j->table, j->mode >= DELETE ? TSU_RIGHT_WRITE : TSU_RIGHT_READ))
        return tsu_call_refuse(&c);
    ordered = c.live->type == TSU_ORDERED_SET;
    if (j->mode == DELETE && j->cursor == tsu_atom_start && is_all(env, j->spec) && tsu_table_count(c.table) >= CLEARED_MIN)
        return clear(&c);
    if ((j->mode == REPLACE && c.live->type == TSU_BAG) || (ranged && !ordered)) {
        tsu_call_end(&c);
        return tsu_reply_badarg(env, tsu_atom_table_type);
    }
    if (j->spec == tsu_nil && j->count_max > 0 && j->cursor == tsu_atom_start) {      /* no clause: nothing matches */
        j->table = tsu_call_tid(&c);
        tsu_call_end(&c);
        return job_reply(env, j, ordered, cursor);
    }
    if (j->count_max == 0) s = TSU_BADARG;
    else if (ranged) s = tsu_spec_read_range(&spec, env, c.self, j->spec, j->cursor != tsu_atom_start, c.live->keypos);
    else if (j->cursor != tsu_atom_start || j->chunk || j->mode >= DELETE || j->within != tsu_nil)
        s = tsu_spec_read(&spec, env, c.self, j->spec, j->cursor != tsu_atom_start);
    else s = tsu_spec_read_keyed(&spec, env, c.self, j->spec, c.live->keypos, &key);
    if (s != TSU_OK) {
        tsu_call_end(&c);
        return tsu_reply_status(env, s);
    }
    if (key == 0 && !ranged) s = tsu_spec_plan(&spec, c.live->keypos, ordered);
    if (s == TSU_OK && j->mode == REPLACE && !keeps_key(spec.spec->ms, c.live->keypos)) s = TSU_BADARG;
    q.scan.plan = spec.plan;
    q.scan.direction = search_direction(j, ordered);
    if (s == TSU_OK && key == 0 && !cursor_read(env, j->cursor, &q.scan, j->within != tsu_nil)) s = TSU_BADARG;
    if (s == TSU_OK) {
        q.scan.many = search_many;
        q.scan.lax = j->mode <= COUNT && j->count < j->count_max ? j->count_max - j->count : 0;
        q.update.fn = change;
        q.update.unused = change_unused;
        q.env = env;
        q.self = c.self;
        q.job = j;
        q.looked = 0;
        q.keypos = c.live->keypos;
        q.hits = 0;
        q.done = false;
        q.status = TSU_OK;
        tsu_writer_init(&q.object, q.object_room, sizeof q.object_room);
        s = tsu_runner_init(&q.runner, env, spec.spec);
        if (key == 0) within_read(&q, j->within);
        if (s == TSU_OK) s = key != 0 ? key_run(&q, &c, key) : search_run(&q, &c);
        if (key != 0 && s == TSU_AGAIN) {
            j->list = tsu_nil;
            j->count = 0;
            cursor = tsu_atom_start;
            j->within = tsu_atom_true;
        } else if (s == TSU_AGAIN || (s == TSU_OK && !q.done && j->chunk)) {
            cursor = cursor_term(env, &q.scan);
            j->within = cursor != 0 && s == TSU_AGAIN ? within_term(&q, j->within) : tsu_nil;
            if (cursor == 0 || j->within == 0) s = TSU_NOMEM;
        }
        if (s == TSU_AGAIN || j->chunk) {
            j->table = tsu_call_tid(&c);
            if (j->cursor == tsu_atom_start && key == 0)
                j->spec = ranged ? tsu_spec_range_term(env, spec.spec, j->spec) : tsu_spec_term(env, spec.spec);
            if (j->spec == 0) s = TSU_NOMEM;
        }
        tsu_rework_destroy(c.self, q.rework);
        tsu_runner_deinit(&q.runner);
        tsu_writer_deinit(&q.object);
    }
    tsu_spec_done(&spec);
    tsu_call_end(&c);
    if (q.timed) tsu_slice_end(env, &q.slice);
    if (s == TSU_AGAIN) {
        ERL_NIF_TERM rest[10] = { j->table, j->spec, enif_make_int(env, (int)j->mode), tsu_reply_bool(j->chunk),
                                 enif_make_uint64(env, j->count_max), cursor, j->list, enif_make_uint64(env, j->count), j->taken,
                                 j->within };

        (void)enif_consume_timeslice(env, 10);          /* a batch of somebody else's may be in the way */
        return enif_schedule_nif(env, "search", 0, search_more, 10, rest);
    }
    if (s != TSU_OK) return tsu_reply_status(env, s);
    return job_reply(env, j, ordered, cursor);
}

static ERL_NIF_TERM search_more(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    job          j = { .table = argv[0], .spec = argv[1], .chunk = argv[3] == tsu_atom_true, .cursor = argv[5], .list = argv[6],
                       .taken = argv[8], .within = argv[9] };
    int          mode;
    ErlNifUInt64 count_max, count;

    (void)argc;
    if (!enif_get_int(env, argv[2], &mode) || !enif_get_uint64(env, argv[4], &count_max)
        || !enif_get_uint64(env, argv[7], &count)) return enif_make_badarg(env);
    j.mode = (search_mode)mode;
    j.count_max = count_max;
    j.count = count;
    return job_run(env, &j);
}

static bool mode_read(ERL_NIF_TERM term, search_mode *mode)
{
    const ERL_NIF_TERM modes[] = { tsu_atom_select, tsu_atom_reverse, tsu_atom_count, tsu_atom_delete, tsu_atom_replace };

    for (unsigned i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (term != modes[i]) continue;
        *mode = (search_mode)i;
        return true;
    }
    return false;
}

/* What is no number of results is 0: refused once the table is known. */
static uint64_t count_max_read(ERL_NIF_TERM term)
{
    int64_t max;
    return tsu_small_read(term, &max) && max > 0 ? (uint64_t)max : 0;
}

/* search(T, Specification, select | reverse | count | delete | replace) */
TSU_NIF(tsu_nif_search)
{
    job j = { .table = argv[0], .spec = argv[1], .count_max = UINT64_MAX, .cursor = tsu_atom_start, .list = tsu_nil, .taken = tsu_nil,
              .within = tsu_nil };

    (void)argc;
    if (!mode_read(argv[2], &j.mode)) return enif_make_badarg(env);
    return job_run(env, &j);
}

/* select_take(T, Specification, all | Max) -> List | {reverse, List}: results of at most Max objects, which are removed. */
TSU_NIF(tsu_nif_select_take)
{
    job     j = { .table = argv[0], .spec = argv[1], .mode = TAKE, .count_max = UINT64_MAX, .cursor = tsu_atom_start,
                  .list = tsu_nil, .taken = tsu_nil, .within = tsu_nil };

    (void)argc;
    if (argv[2] != tsu_atom_all) j.count_max = count_max_read(argv[2]);
    return job_run(env, &j);
}

/* chunk(T, Specification, select | reverse, start | Cursor, Max) -> {List, Count, Cursor | done, Tid, Compiled, IsOrdered}: at least Max results,
 * unless those are all: more if a key of a bag has them. With a cursor the specification is the compiled one. */
TSU_NIF(tsu_nif_chunk)
{
    job     j = { .table = argv[0], .spec = argv[1], .chunk = true, .cursor = argv[3], .list = tsu_nil, .taken = tsu_nil,
                  .within = tsu_nil };

    (void)argc;
    if (!mode_read(argv[2], &j.mode) || j.mode > REVERSE) return enif_make_badarg(env);
    j.count_max = count_max_read(argv[4]);
    return job_run(env, &j);
}

/* range(T, {Specification, From, To} | {Specification, Prefix}, select | reverse, none | Max): as search, or as the first chunk. */
TSU_NIF(tsu_nif_range)
{
    job     j = { .table = argv[0], .spec = argv[1], .ranged = true, .count_max = UINT64_MAX, .cursor = tsu_atom_start,
                  .list = tsu_nil, .taken = tsu_nil, .within = tsu_nil };

    (void)argc;
    if (!mode_read(argv[2], &j.mode) || j.mode > REVERSE) return enif_make_badarg(env);
    j.chunk = argv[3] != tsu_atom_none;
    if (j.chunk) j.count_max = count_max_read(argv[3]);
    return job_run(env, &j);
}

/* ---- Specifications as such ---- */

/* compile(Specification) -> Compiled */
TSU_NIF(tsu_nif_compile)
{
    tsu_thread  *self = tsu_thread_self();
    tsu_spec_arg spec;
    tsu_status   s;
    ERL_NIF_TERM term = 0;

    (void)argc;
    if (self == NULL) return tsu_reply_limit(env);
    tsu_pin(self);
    s = tsu_spec_read(&spec, env, self, argv[0], false);
    if (s == TSU_OK) {
        term = tsu_spec_term(env, spec.spec);
        if (term == 0) s = TSU_NOMEM;
        tsu_spec_done(&spec);
    }
    tsu_unpin(self);
    return s == TSU_OK ? term : tsu_reply_status(env, s);
}

/* is_compiled(Term) */
TSU_NIF(tsu_nif_is_compiled)
{
    tsu_spec *spec;

    (void)argc;
    return tsu_reply_bool(tsu_spec_get(env, argv[0], &spec));
}

/* The term that the specification was compiled from, or `none`. */
TSU_NIF(tsu_nif_source)
{
    tsu_spec      *spec;
    const uint8_t *p;
    ERL_NIF_TERM   term;

    (void)argc;
    if (!tsu_spec_get(env, argv[0], &spec)) return tsu_reply_badarg(env, tsu_atom_none);
    p = tsu_ms_source(spec->ms);
    if (p == NULL) return tsu_atom_none;
    term = tsu_nif_decode_term(env, &p);
    return term == 0 ? tsu_reply_limit(env) : term;
}

/* run(Compiled, List, Acc) -> {Rest, Acc}: what it makes of the tuples of a list, in front of Acc, up to the end or to what is no
 * tuple. */
TSU_NIF(tsu_nif_run)
{
    tsu_slice      slice = tsu_slice_begin();
    ERL_NIF_TERM   list = argv[1], acc = argv[2], head, tail, rest[3];
    tsu_runner     runner;
    tsu_key_arg    object;
    tsu_spec      *spec;
    tsu_status     s;
    bool           over = false;
    size_t         n = 0;

    (void)argc;
    if (!tsu_spec_get(env, argv[0], &spec)) return tsu_reply_badarg(env, tsu_atom_none);
    s = tsu_runner_init(&runner, env, spec);
    while (s == TSU_OK && !over && enif_get_list_cell(env, list, &head, &tail) && enif_is_tuple(env, head)) {
        tsu_ms_result r;

        s = tsu_object_read(&object, env, head, 0);
        if (s != TSU_OK) break;
        s = tsu_runner_run(&runner, object.w.bytes, &r);
        if (s == TSU_OK && r.outcome != TSU_MS_NO_MATCH) {
            const uint8_t *p = r.term;
            ERL_NIF_TERM   term = r.outcome == TSU_MS_OBJECT ? head : tsu_nif_decode_term(env, &p);

            if (term == 0) s = TSU_NOMEM;
            else acc = enif_make_list_cell(env, term, acc);
        }
        tsu_key_done(&object);
        list = tail;
        over = ++n % OBJECTS_BETWEEN_LOOKS == 0 && tsu_slice_over(&slice);
    }
    tsu_runner_deinit(&runner);
    tsu_slice_end(env, &slice);
    if (s != TSU_OK) return tsu_reply_status(env, s);
    if (!over) return enif_make_tuple2(env, list, acc);
    rest[0] = argv[0];
    rest[1] = list;
    rest[2] = acc;
    return enif_schedule_nif(env, "run", 0, tsu_nif_run, 3, rest);
}
