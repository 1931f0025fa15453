/* nif_update.c: elements of one object, read, computed and written as one.
 *
 * The request is read before the object is looked at. What is wrong with it matters only in the order in which ets would find
 * out: the key first, then the operations one by one, so the first wrong operation is remembered as the
 * end of those before it. The object is checked against all of them before anything is computed.
 */
#include "nif/args.h"
#include "nif/functions.h"
#include "nif/reply.h"

#include <stdlib.h>

#define OPS_ON_STACK  8u
#define OPS_SEARCHED 32u         /* more: the last value of each position is found by an index */

typedef struct update_op {
    int64_t  pos;
    /* offsets of terms in request.args; element: value; counter: incr, and if limited threshold and set */
    size_t   value, value_len;
    size_t   handle_at, handle_count;
    size_t   threshold, set, set_len;
    bool     limited, loose;
    /* counter: offset and length of the sum in request.sums */
    size_t   sum, sum_len;
} update_op;

typedef struct request {
    tsu_update    update;
    ErlNifEnv    *env;
    tsu_live     *live;
    ERL_NIF_TERM  key, fallback;         /* fallback: the default object, or 0 */
    bool          counter, as_list;
    update_op     room[OPS_ON_STACK], *ops;
    size_t        count, cap;
    tsu_change    changes_room[OPS_ON_STACK], *changes;
    ERL_NIF_TERM  wrong;                 /* cause of the first wrong operation; 0: none is */
    ERL_NIF_TERM  cause;                 /* out: why it failed; 0: see status */
    tsu_status    status;
    tsu_writer    args, sums, object;
    uint8_t       args_room[TSU_ARGS_BYTES], sums_room[TSU_ARGS_BYTES], object_room[TSU_ARGS_BYTES];
} request;

static void request_init(request *q, tsu_call *c, ERL_NIF_TERM key, ERL_NIF_TERM fallback, bool counter)
{
    q->env = c->env;
    q->live = c->live;
    q->key = key;
    q->fallback = fallback;
    q->counter = counter;
    q->as_list = true;
    q->ops = q->room;
    q->count = 0;
    q->cap = OPS_ON_STACK;
    q->changes = NULL;
    q->wrong = q->cause = 0;
    q->status = TSU_OK;
    tsu_writer_init(&q->args, q->args_room, sizeof q->args_room);
    tsu_writer_init(&q->sums, q->sums_room, sizeof q->sums_room);
    tsu_writer_init(&q->object, q->object_room, sizeof q->object_room);
}

static void request_deinit(request *q)
{
    if (q->ops != q->room) tsu_env_free(q->ops, q->cap * sizeof *q->ops);
    if (q->changes != NULL && q->changes != q->changes_room)
        tsu_env_free(q->changes, q->count * sizeof *q->changes);
    tsu_writer_deinit(&q->args);
    tsu_writer_deinit(&q->sums);
    tsu_writer_deinit(&q->object);
}

static update_op *op_add(request *q)
{
    update_op *op, *more;

    if (q->count == q->cap) {
        more = tsu_env_alloc(q->cap * 2 * sizeof *more);
        if (more == NULL) return NULL;
        memcpy(more, q->ops, q->count * sizeof *more);
        if (q->ops != q->room) tsu_env_free(q->ops, q->cap * sizeof *q->ops);
        q->ops = more;
        q->cap *= 2;
    }
    op = &q->ops[q->count++];
    memset(op, 0, sizeof *op);
    return op;
}

static tsu_status term_read(request *q, ERL_NIF_TERM term, size_t *at, size_t *len)
{
    tsu_status s;

    *at = q->args.len;
    s = tsu_nif_encode_term(q->env, term, &q->args);
    *len = q->args.len - *at;
    return s;
}

static bool is_integer(ErlNifEnv *env, ERL_NIF_TERM term)
{
    return tsu_nif_is_small(term) || enif_term_type(env, term) == ERL_NIF_TERM_TYPE_INTEGER;
}

/* The cause of a position beyond the object. For elements ets has none before OTP 27. */
static ERL_NIF_TERM beyond(const request *q)
{
    ErlNifSysInfo info;

    if (q->counter) return tsu_atom_position;
    enif_system_info(&info, sizeof info);
    return info.otp_release != NULL && strtol(info.otp_release, NULL, 10) >= 27 ? tsu_atom_position : tsu_atom_none;
}

/* An operation at `pos` with that value or increment. */
static tsu_status op_begin(request *q, int64_t pos, ERL_NIF_TERM value, update_op **out)
{
    update_op *op = op_add(q);
    tsu_status s;

    if (op == NULL) return TSU_NOMEM;
    op->pos = pos;
    op->handle_at = q->args.handle_count;
    q->args.loose = false;
    s = term_read(q, value, &op->value, &op->value_len);
    op->handle_count = q->args.handle_count - op->handle_at;
    op->loose = q->args.loose;
    *out = op;
    return s;
}

/* {Pos, Value} or {Pos, Incr} or {Pos, Incr, Threshold, SetValue}. What is wrong whatever the object, goes to q->wrong. */
static tsu_status op_read(request *q, ERL_NIF_TERM term)
{
    const ERL_NIF_TERM *t;
    int                 arity;
    int64_t             pos;
    size_t              unused;
    update_op          *op;
    tsu_status          s = TSU_OK;

    q->wrong = tsu_atom_none;
    if (!enif_get_tuple(q->env, term, &arity, &t)) return TSU_OK;
    if (arity != 2 && !(q->counter && arity == 4)) return TSU_OK;
    if (arity == 4 && (!is_integer(q->env, t[2]) || !is_integer(q->env, t[3]))) return TSU_OK;
    if (!tsu_small_read(t[0], &pos)) return TSU_OK;
    if (q->counter && !is_integer(q->env, t[1])) return TSU_OK;
    if (pos == (int64_t)q->live->keypos) {
        q->wrong = tsu_atom_keypos;
        return TSU_OK;
    }
    if (pos < 1) {
        q->wrong = beyond(q);
        return TSU_OK;
    }
    q->wrong = 0;
    TRY(s, op_begin(q, pos, t[1], &op));
    op->limited = arity == 4;
    if (op->limited) {
        TRY(s, term_read(q, t[2], &op->threshold, &unused));
        TRY(s, term_read(q, t[3], &op->set, &op->set_len));
    }
done:
    return s;
}

static tsu_status ops_read(request *q, ERL_NIF_TERM ops)
{
    ERL_NIF_TERM head, tail;
    tsu_status   s = TSU_OK;

    if (q->counter && is_integer(q->env, ops)) {
        update_op *op;

        q->as_list = false;
        return op_begin(q, (int64_t)q->live->keypos + 1, ops, &op);
    }
    if (enif_is_tuple(q->env, ops)) {
        q->as_list = false;
        return op_read(q, ops);
    }
    while (s == TSU_OK && q->wrong == 0 && enif_get_list_cell(q->env, ops, &head, &tail)) {
        s = op_read(q, head);
        ops = tail;
    }
    if (s == TSU_OK && q->wrong == 0 && !enif_is_empty_list(q->env, ops)) q->wrong = tsu_atom_none;
    return s;
}

static tsu_verdict fail(request *q, tsu_status s, ERL_NIF_TERM cause)
{
    q->status = s;
    q->cause = cause;
    return TSU_EDIT_FAIL;
}

/* The default object with the key that was asked for, in q->object. */
static tsu_status fallback_write(request *q, tsu_writer *w)
{
    const ERL_NIF_TERM *t;
    ERL_NIF_TERM       *elements;
    int                 arity;
    tsu_status          s;

    if (!enif_get_tuple(q->env, q->fallback, &arity, &t)) return TSU_BADARG;
    if ((uint32_t)arity < q->live->keypos) return TSU_BADARG;
    elements = tsu_env_alloc((size_t)arity * sizeof *elements);
    if (elements == NULL) return TSU_NOMEM;
    memcpy(elements, t, (size_t)arity * sizeof *elements);
    elements[q->live->keypos - 1] = q->key;
    s = tsu_nif_encode_object(q->env, enif_make_tuple_from_array(q->env, elements, (unsigned)arity),
                              (int)q->live->keypos, w);
    tsu_env_free(elements, (size_t)arity * sizeof *elements);
    return s;
}

/* Every operation against the object: 0, or the cause that ets would give. */
static ERL_NIF_TERM ops_check(const request *q, const uint8_t *object)
{
    size_t arity = tsu_object_arity(object), i, len;

    for (i = 0; i < q->count; i++) {
        const update_op *op = &q->ops[i];

        if ((uint64_t)op->pos > arity) return beyond(q);
        if (q->counter && !tsu_term_is_integer(tsu_object_element(object, (size_t)op->pos, &len)))
            return tsu_atom_none;
    }
    return q->wrong;
}

/* Adds up: each operation goes on from what the last one at its position left. */
static tsu_status sums_compute(request *q, const uint8_t *object)
{
    static const uint8_t zero = 16;                      /* the encoding of 0: codec.h */
    size_t               arity = tsu_object_arity(object), i, j, len;
    size_t              *latest = NULL;                  /* by position: index + 1 of the last operation */
    tsu_status           s = TSU_OK;

    tsu_writer_reset(&q->sums);
    if (q->count > OPS_SEARCHED) {
        latest = tsu_env_alloc((arity + 1) * sizeof *latest);
        if (latest == NULL) return TSU_NOMEM;
        memset(latest, 0, (arity + 1) * sizeof *latest);
    }
    for (i = 0; i < q->count; i++) {
        update_op     *op = &q->ops[i];
        const uint8_t *incr = q->args.bytes + op->value, *old = NULL;
        uint8_t        copy_room[64];
        tsu_writer     copy;

        if (latest != NULL) j = latest[op->pos];
        else for (j = i; j > 0 && q->ops[j - 1].pos != op->pos;) j--;
        if (latest != NULL) latest[op->pos] = i + 1;
        old = j > 0 ? q->sums.bytes + q->ops[j - 1].sum : tsu_object_element(object, (size_t)op->pos, &len);
        /* By way of a copy: `old` may lie in the writer that would grow. */
        tsu_writer_init(&copy, copy_room, sizeof copy_room);
        tsu_int_add(old, incr, &copy);
        op->sum = q->sums.len;
        if (copy.status == TSU_OK) {
            const uint8_t *threshold = q->args.bytes + op->threshold;
            int            past = 0;

            if (op->limited)
                past = tsu_int_compare(incr, &zero) < 0 ? tsu_int_compare(copy.bytes, threshold) < 0
                                                        : tsu_int_compare(copy.bytes, threshold) > 0;
            if (past) tsu_write_bytes(&q->sums, q->args.bytes + op->set, op->set_len);
            else tsu_write_bytes(&q->sums, copy.bytes, copy.len);
        }
        op->sum_len = q->sums.len - op->sum;
        s = copy.status != TSU_OK ? copy.status : q->sums.status;
        tsu_writer_deinit(&copy);
        if (s != TSU_OK) break;
    }
    if (latest != NULL) tsu_env_free(latest, (arity + 1) * sizeof *latest);
    return s;
}

static tsu_status changes_make(request *q)
{
    size_t i;

    if (q->changes == NULL) {
        q->changes = q->count <= OPS_ON_STACK ? q->changes_room
                                              : tsu_env_alloc(q->count * sizeof *q->changes);
        if (q->changes == NULL) return TSU_NOMEM;
    }
    for (i = 0; i < q->count; i++) {
        const update_op *op = &q->ops[i];
        tsu_change      *change = &q->changes[i];

        memset(change, 0, sizeof *change);
        change->pos = (size_t)op->pos;
        change->term = q->counter ? q->sums.bytes + op->sum : q->args.bytes + op->value;
        change->len = q->counter ? op->sum_len : op->value_len;
        if (!q->counter) {
            change->handles = q->args.handles + op->handle_at;
            change->handle_count = op->handle_count;
            change->loose = op->loose;
        }
    }
    return TSU_OK;
}

/* A tsu_update's fn: may be called more than once. */
static tsu_verdict request_run(tsu_update *update, const uint8_t *old, const uint8_t **out, size_t *out_len)
{
    request      *q = (request *)update;
    uint8_t       base_room[TSU_ARGS_BYTES];
    tsu_writer    base;
    const uint8_t *from = old;
    ERL_NIF_TERM  cause;
    tsu_status    s = TSU_OK;
    tsu_verdict   verdict = TSU_EDIT_PUT;

    tsu_writer_reset(&q->object);
    if (old == NULL && q->fallback == 0) return fail(q, TSU_BADARG, tsu_atom_badkey);
    tsu_writer_init(&base, base_room, sizeof base_room);
    if (old == NULL) {
        s = fallback_write(q, &base);
        if (s == TSU_BADARG) {
            verdict = fail(q, s, tsu_atom_badkey);
            goto done;
        }
        if (s != TSU_OK) goto done;
        from = base.bytes;
    }
    cause = ops_check(q, from);
    if (cause != 0) {
        verdict = fail(q, TSU_BADARG, cause);
        goto done;
    }
    if (q->count == 0 && old != NULL) {
        verdict = TSU_EDIT_KEEP;
        goto done;
    }
    if (q->counter) TRY(s, sums_compute(q, from));
    if (q->count > 0) TRY(s, changes_make(q));
    TRY(s, tsu_object_replace(from, q->changes, q->count, &q->object));
    *out = q->object.bytes;
    *out_len = q->object.len;
done:
    tsu_writer_deinit(&base);
    return s != TSU_OK && verdict == TSU_EDIT_PUT ? fail(q, s, 0) : verdict;
}

/* What was not used stays the writer's, whose next reset lets go of it. */
static void request_unused(tsu_update *update, const uint8_t *object)
{
    (void)update;
    (void)object;
}

/* The new integers. */
static ERL_NIF_TERM sums_reply(request *q)
{
    ERL_NIF_TERM list = tsu_nil, term;
    size_t       i;

    for (i = q->count; i-- > 0;) {
        const uint8_t *p = q->sums.bytes + q->ops[i].sum;

        term = tsu_nif_decode_term(q->env, &p);
        if (term == 0) return tsu_reply_limit(q->env);
        if (!q->as_list) return term;
        list = enif_make_list_cell(q->env, term, list);
    }
    return list;
}

static ERL_NIF_TERM update(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], bool counter)
{
    tsu_call     c;
    tsu_key_arg  key;
    request      q;
    ERL_NIF_TERM fallback = argc == 4 ? argv[3] : 0, reply = 0, cause = tsu_atom_none;
    tsu_verdict  verdict = TSU_EDIT_KEEP;
    tsu_status   s;

    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return tsu_call_refuse(&c);
    if (fallback != 0 && !enif_is_tuple(env, fallback)) {
        tsu_call_end(&c);
        return tsu_reply_badarg(env, tsu_atom_none);
    }
    if (c.live->type > TSU_ORDERED_SET) {
        tsu_call_end(&c);
        return tsu_reply_badarg(env, counter ? tsu_atom_table_type : tsu_atom_none);
    }
    request_init(&q, &c, argv[1], fallback, counter);
    q.update.fn = request_run;
    q.update.unused = request_unused;
    s = ops_read(&q, argv[2]);
    if (s == TSU_OK) s = tsu_key_read(&key, env, argv[1]);
    if (s == TSU_OK) {
        s = tsu_table_update(c.self, c.table, key.w.bytes, key.w.len, &q.update, &verdict);
        tsu_key_done(&key);
    }
    /* Only a PUT that was used has made the handles the table's. */
    if (s == TSU_OK && verdict == TSU_EDIT_PUT) tsu_writer_give(&q.object);
    if (s == TSU_OK && verdict == TSU_EDIT_FAIL) s = q.status;
    if (s == TSU_OK) {
        reply = counter ? sums_reply(&q) : tsu_atom_true;
    } else if (s == TSU_BADARG && q.cause == tsu_atom_badkey && !counter && fallback == 0) {
        reply = tsu_atom_false;
        s = TSU_OK;
    }
    if (q.cause != 0) cause = q.cause;
    request_deinit(&q);
    tsu_call_end(&c);
    if (s == TSU_OK) return reply;
    if (s == TSU_BADARG) return tsu_reply_badarg(env, cause);
    if (s == TSU_AGAIN)
        return tsu_nif_again(env, counter ? tsu_nif_update_counter : tsu_nif_update_element, argc, argv);
    return tsu_reply_status(env, s);
}

/* --- the common case ------------------------------------------------------------------------- */
/* One element, and a value that needs no handle; or one operation with small numbers on one integer. Whatever else there is,
 * errors included, is left to the general way. Saves it 60 ns of 150. */

/* A term that has no parts and is not large: worth being written in vain. */
static bool is_slight(ErlNifEnv *env, ERL_NIF_TERM term)
{
    ErlNifBinary bin;

    switch (enif_term_type(env, term)) {
    case ERL_NIF_TERM_TYPE_BITSTRING: return enif_inspect_binary(env, term, &bin) && bin.size < TSU_BLOB_BYTES_MIN;
    case ERL_NIF_TERM_TYPE_MAP: case ERL_NIF_TERM_TYPE_TUPLE: case ERL_NIF_TERM_TYPE_FUN: return false;
    case ERL_NIF_TERM_TYPE_LIST: return term == tsu_nil;
    default: return true;
    }
}

/* A position of 0 is the one behind the key. */
static bool patch_run(ErlNifEnv *env, const ERL_NIF_TERM argv[], tsu_patch *patch)
{
    tsu_call    c;
    tsu_key_arg key;
    bool        done = false;

    patch->absent = false;
    if (!tsu_call_begin(&c, env, argv[0], TSU_RIGHT_WRITE)) return false;
    if (patch->pos == 0) patch->pos = c.live->keypos + 1;
    if (c.live->type <= TSU_ORDERED_SET && patch->pos != c.live->keypos && tsu_key_read(&key, env, argv[1]) == TSU_OK) {
        done = tsu_table_patch(c.self, c.table, key.w.bytes, key.w.len, patch);
        tsu_key_done(&key);
    }
    tsu_call_end(&c);
    return done;
}

/* These answer true if that was all, and then *reply is the answer. */
static bool counter_quick(ErlNifEnv *env, const ERL_NIF_TERM argv[], ERL_NIF_TERM *reply)
{
    tsu_patch           patch;
    const ERL_NIF_TERM *op;
    int                 arity;
    int64_t             pos = 0;

    patch.limited = false;
    if (!tsu_small_read(argv[2], &patch.number)) {
        if (!enif_get_tuple(env, argv[2], &arity, &op) || (arity != 2 && arity != 4)) return false;
        if (!tsu_small_read(op[0], &pos) || pos < 1 || !tsu_small_read(op[1], &patch.number)) return false;
        patch.limited = arity == 4;
        if (arity == 4 && (!tsu_small_read(op[2], &patch.limit) || !tsu_small_read(op[3], &patch.restart))) return false;
    }
    patch.pos = (size_t)pos;
    patch.add = true;
    if (!patch_run(env, argv, &patch)) return false;
    *reply = tsu_nif_int(env, patch.sum);
    return true;
}

static bool element_put(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], tsu_patch *patch, ERL_NIF_TERM *reply)
{
    bool done = patch_run(env, argv, patch);

    *reply = done ? tsu_atom_true : tsu_atom_false;
    return done || (patch->absent && argc == 3);
}

static bool element_quick(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[], ERL_NIF_TERM *reply)
{
    tsu_patch           patch;
    tsu_writer          w;
    uint8_t             room[TSU_ARGS_BYTES];
    const ERL_NIF_TERM *op;
    int                 arity;
    int64_t             pos, value;
    bool                done;

    if (!enif_get_tuple(env, argv[2], &arity, &op) || arity != 2 || !tsu_small_read(op[0], &pos) || pos < 1) return false;
    patch.pos = (size_t)pos;
    patch.add = false;
    patch.term = room;
    if (tsu_small_read(op[1], &value)) {
        patch.len = tsu_int_word(value, &patch.word);
        if (TSU_LIKELY(patch.len <= 8)) return element_put(env, argc, argv, &patch, reply);
    } else if (tsu_nif_is_atom(op[1])) {
        patch.len = tsu_atom_word(op[1] >> 6, &patch.word);
        if (TSU_LIKELY(patch.len <= 8)) return element_put(env, argc, argv, &patch, reply);
    } else if (!is_slight(env, op[1])) {
        return false;
    }
    tsu_writer_init(&w, room, sizeof room);
    done = tsu_nif_encode_term(env, op[1], &w) == TSU_OK && w.handle_count == 0 && !w.loose;
    if (done) {
        patch.term = w.bytes;
        patch.len = w.len;
        memcpy(&patch.word, w.bytes, 8);      /* w.bytes has room for that */
        done = element_put(env, argc, argv, &patch, reply);
    }
    tsu_writer_deinit(&w);
    return done;
}

/* update_counter(T, Key, Ops), update_counter(T, Key, Ops, Default) */
TSU_NIF(tsu_nif_update_counter)
{
    ERL_NIF_TERM sum;

    if ((argc == 3 || enif_is_tuple(env, argv[3])) && counter_quick(env, argv, &sum)) return sum;
    return update(env, argc, argv, true);
}

/* update_element(T, Key, Spec), update_element(T, Key, Spec, Default) */
TSU_NIF(tsu_nif_update_element)
{
    ERL_NIF_TERM reply;

    if ((argc == 3 || enif_is_tuple(env, argv[3])) && element_quick(env, argc, argv, &reply)) return reply;
    return update(env, argc, argv, false);
}
