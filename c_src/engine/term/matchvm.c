/* matchvm.c: the machine. One loop walks through an object in the order of a pattern, another evaluates. */
#include "term/arith.h"
#include "term/matchspec_inner.h"
#include "term/order.h"

/* ---- Scratch ---- */

typedef struct ms_chunk {
    struct ms_chunk *next;
    size_t           bytes, used;
    uint64_t         data[];
} ms_chunk;

#define CHUNK_BYTES 1024u

void tsu_ms_scratch_init(tsu_ms_scratch *s)
{
    memset(s, 0, sizeof *s);
    s->vars = s->vars_near;
    s->stack = s->stack_near;
    s->regs = s->regs_near;
    s->vars_cap = sizeof s->vars_near / sizeof s->vars_near[0];
    s->stack_cap = sizeof s->stack_near / sizeof s->stack_near[0];
    s->regs_cap = sizeof s->regs_near / sizeof s->regs_near[0];
    tsu_writer_init(&s->out, NULL, 0);
    tsu_atom_put(s->atoms[0], tsu_match.atom_false);
    tsu_atom_put(s->atoms[1], tsu_match.atom_true);
    tsu_atom_put(s->atoms[2], tsu_match.atom_exit);
}

static void chunk_free(ms_chunk *chunk) { tsu_env_free(chunk, sizeof *chunk + chunk->bytes); }

void tsu_ms_scratch_deinit(tsu_ms_scratch *s)
{
    if (s->vars != s->vars_near) tsu_env_free(s->vars, s->vars_cap * sizeof *s->vars);
    if (s->stack != s->stack_near) tsu_env_free(s->stack, s->stack_cap * sizeof *s->stack);
    if (s->regs != s->regs_near) tsu_env_free(s->regs, s->regs_cap * sizeof *s->regs);
    while (s->chunks != NULL) {
        ms_chunk *next = s->chunks->next;
        chunk_free(s->chunks);
        s->chunks = next;
    }
    tsu_writer_deinit(&s->out);
}

/* An array of at least `need`; contents are lost. */
static bool array_grow(void *array_at, const void *near, size_t *cap, size_t need, size_t size)
{
    void *old, *more;

    if (need <= *cap) return true;
    more = tsu_env_alloc(need * size);
    if (more == NULL) return false;
    memcpy(&old, array_at, sizeof old);
    if (old != near) tsu_env_free(old, *cap * size);
    memcpy(array_at, &more, sizeof more);
    *cap = need;
    return true;
}

tsu_status tsu_ms_scratch_for(tsu_ms_scratch *s, const tsu_ms *ms)
{
    if (!array_grow(&s->vars, s->vars_near, &s->vars_cap, ms->vars_max, sizeof *s->vars) ||
        !array_grow(&s->stack, s->stack_near, &s->stack_cap, ms->stack_max, sizeof *s->stack) ||
        !array_grow(&s->regs, s->regs_near, &s->regs_cap, ms->regs_max, sizeof *s->regs))
        return TSU_NOMEM;
    return TSU_OK;
}

/* Forgets what was made; the newest chunk, which is the largest, stays. */
TSU_APART static void scratch_clear(tsu_ms_scratch *s)
{
    ms_chunk *newest = s->chunks;

    if (newest != NULL) {
        while (newest->next != NULL) {
            ms_chunk *next = newest->next->next;
            chunk_free(newest->next);
            newest->next = next;
        }
        newest->used = 0;
    }
    s->out.len = 0;
    s->out.status = TSU_OK;
    s->whole = NULL;
    s->status = TSU_OK;
}

uint8_t *tsu_ms_take(tsu_ms_scratch *s, size_t bytes)
{
    ms_chunk *chunk = s->chunks;
    size_t    need = (bytes + 7) & ~(size_t)7, size = CHUNK_BYTES;
    uint8_t  *p;

    if (chunk == NULL || chunk->bytes - chunk->used < need) {
        if (chunk != NULL) size = chunk->bytes * 2;
        if (size < need) size = need;
        chunk = tsu_env_alloc(sizeof *chunk + size);
        if (chunk == NULL) {
            s->status = TSU_NOMEM;
            return NULL;
        }
        chunk->next = s->chunks;
        chunk->bytes = size;
        chunk->used = 0;
        s->chunks = chunk;
    }
    p = (uint8_t *)chunk->data + chunk->used;
    chunk->used += need;
    return p;
}

const uint8_t *tsu_ms_take_written(tsu_ms_scratch *s, size_t from)
{
    size_t   len = s->out.len - from;
    uint8_t *p;

    if (s->out.status != TSU_OK) {
        s->status = s->out.status;
        return NULL;
    }
    p = tsu_ms_take(s, len);
    if (p != NULL) memcpy(p, s->out.bytes + from, len);
    s->out.len = from;
    return p;
}

const uint8_t *tsu_ms_boolean(const tsu_ms_scratch *s, bool b) { return s->atoms[b]; }

/* ---- The object ---- */

/* Its elements as they stand in it: a tuple's, without the tag. */
static void elements_of(const tsu_ms_scratch *s, const uint8_t **from, size_t *len)
{
    *from = s->elements;
    *len = (size_t)(tsu_object_elements_end(s->object) - s->elements);
}

static void put_whole(const tsu_ms_scratch *s, tsu_writer *w)
{
    const uint8_t *from;
    size_t         len;

    elements_of(s, &from, &len);
    tsu_write_tuple_begin(w, s->arity);
    tsu_write_bytes(w, from, len);
}

static const uint8_t *whole(tsu_ms_scratch *s)
{
    size_t from = s->out.len;

    if (s->whole == NULL) {
        put_whole(s, &s->out);
        s->whole = tsu_ms_take_written(s, from);
    }
    return s->whole;
}

static const uint8_t *element(const tsu_ms_scratch *s, size_t pos)
{
    const uint8_t *p = s->elements;

    if (pos > s->arity) return NULL;
    while (--pos > 0) p = tsu_term_end(p);
    return p;
}

/* ---- Heads ---- */

static bool same_terms(const uint8_t *a, const uint8_t *b)
{
    size_t len = tsu_term_len(a);

    return (tsu_term_len(b) == len && memcmp(a, b, len) == 0) || tsu_term_same(a, b);
}

/* A list in the object that a pattern looks into; NULL: it does not match. */
static const uint8_t *list_open(tsu_ms_scratch *s, const ms_ins *i, const uint8_t *p)
{
    tsu_ms_reg *reg = &s->regs[i->y];
    uint64_t    n;
    size_t      from = s->out.len;
    tsu_token   t;

    if (*p < TSU_TAG_STRING || *p > TSU_TAG_IMPROPER) return NULL;
    reg->list = p;
    reg->back = NULL;
    tsu_term_next(&p, &t);
    n = t.kind == TSU_STRING ? t.size : t.n;
    if (n < i->a || (i->x != LIST_OPEN && n > i->a)) return NULL;
    if (i->x != LIST_OPEN && t.flag != (i->x == LIST_TAIL)) return NULL;
    reg->left = n - i->a;
    reg->improper = t.flag && i->x == LIST_OPEN;        /* the pattern's own tail has gone past it */
    if (t.kind == TSU_LIST) return p;
    reg->back = p;                              /* bytes: as terms, as far as the pattern goes */
    for (uint32_t k = 0; k < i->a; k++) tsu_write_int(&s->out, t.bytes[k]);
    return tsu_ms_take_written(s, from);
}

/* What is left of it, from p on, and where it ends. */
static const uint8_t *list_skip(const tsu_ms_reg *reg, const uint8_t *p)
{
    if (reg->back != NULL) return reg->back;
    for (uint64_t n = reg->left + reg->improper; n > 0; n--) p = tsu_term_end(p);
    return p;
}

static const uint8_t *list_rest(tsu_ms_scratch *s, const tsu_ms_reg *reg, uint32_t taken)
{
    size_t from = s->out.len;

    tsu_ms_list_rest(reg->list, taken, &s->out);
    return tsu_ms_take_written(s, from);
}

/* Behind the key in the map, or NULL. Pattern and map have their keys in the same order. */
static const uint8_t *map_seek(tsu_ms_reg *reg, const uint8_t *p, const uint8_t *key, size_t len)
{
    for (; reg->left > 0; reg->left--) {
        const uint8_t *value = tsu_term_end(p);
        size_t         n = (size_t)(value - p);
        int            c = memcmp(p, key, n < len ? n : len);

        if (c == 0) {
            reg->left--;
            return value;
        }
        if (c > 0) return NULL;
        p = tsu_term_end(value);
    }
    return NULL;
}

/* What heads seldom have. The term at p, and behind it; NULL: no match. */
TSU_APART static const uint8_t *head_part(const ms_ins *i, const uint8_t *consts, tsu_ms_scratch *s, const uint8_t *p)
{
    const uint8_t *q;
    tsu_token      t;

    switch (i->op) {
    case MS_AGAIN:
        return same_terms(s->vars[i->a], p) ? tsu_term_end(p) : NULL;
    case MS_TUPLE:
        tsu_term_next(&p, &t);
        return t.kind == TSU_TUPLE && t.n == i->a ? p : NULL;
    case MS_LIST:
        return list_open(s, i, p);
    case MS_LIST_END:
        return list_skip(&s->regs[i->y], p);
    case MS_REST: case MS_REST_AGAIN:
        if (i->op == MS_REST_AGAIN || i->a != UINT32_MAX) {
            tsu_ms_reg *reg = &s->regs[i->y];
            tsu_token   list;
            const uint8_t *r = reg->list;
            tsu_term_next(&r, &list);
            q = list_rest(s, reg, (uint32_t)((list.kind == TSU_STRING ? list.size : list.n) - reg->left));
            if (q == NULL) return NULL;
            if (i->op == MS_REST) s->vars[i->a] = q;
            else if (!same_terms(s->vars[i->a], q)) return NULL;
        }
        return list_skip(&s->regs[i->y], p);
    case MS_MAP:
        if (*p != TSU_TAG_MAP) return NULL;
        tsu_term_next(&p, &t);
        if (t.n < i->a) return NULL;
        s->regs[i->y].left = t.n;
        return p;
    case MS_MAP_KEY:
        return map_seek(&s->regs[i->y], p, consts + i->a, i->b);
    case MS_MAP_END:
        for (uint64_t n = 2 * s->regs[i->y].left; n > 0; n--) p = tsu_term_end(p);
        return p;
    default:
        UNREACHABLE();
    }
}

/* Behind the term at p, if it is the constant; NULL: it is another. */
static inline const uint8_t *head_constant(const ms_ins *i, const uint8_t *constant, const tsu_ms_scratch *s, const uint8_t *p)
{
    const uint8_t *q = NULL;

    if (*p == *constant) {
        q = tsu_term_end(p);
        if ((size_t)(q - p) == i->b && memcmp(p, constant, i->b) == 0) return q;
    }
    if (TSU_LIKELY(!(s->object[0] & TSU_OBJECT_LOOSE) && !i->x) || !tsu_ms_constant_same(constant, p)) return NULL;
    return q != NULL ? q : tsu_term_end(p);
}

/* From p on; where it ended, and *i behind DONE. NULL: no match. */
static inline __attribute__((always_inline)) const uint8_t *head_run(const ms_ins **at, const uint8_t *consts, tsu_ms_scratch *s,
                                                                     const uint8_t *p)
{
    const ms_ins *i = *at;

    for (;; i++) {
        for (uint32_t n = i->skip; n > 0; n--) p = tsu_term_end(p);
        if (i->op == MS_BIND) {
            s->vars[i->a] = p;
            p = tsu_term_end(p);
        } else if (i->op == MS_DONE) {
            *at = i + 1;
            return p;
        } else if (i->op == MS_IS_BYTE) {
            if (*p++ != i->a) return NULL;
        } else {
            p = i->op == MS_IS ? head_constant(i, consts + i->a, s, p) : head_part(i, consts, s, p);
            if (p == NULL) return NULL;
        }
    }
}

/* ---- Guards and bodies ---- */

/* The same of what is no integer within int64. */
TSU_APART static bool other_holds(tsu_ms_compare op, const uint8_t *v, int64_t i)
{
    uint8_t term[9];

    tsu_int_put(term, i);
    return tsu_ms_holds(op, v, term);
}

static inline bool compare_int(tsu_ms_compare op, const uint8_t *v, int64_t i)
{
    /* bit 0: if it is less, 1: equal, 2: greater */
    static const uint8_t holds[] = { [TSU_LT] = 1, [TSU_LE] = 3, [TSU_GT] = 4, [TSU_GE] = 6, [TSU_EQ] = 2, [TSU_SAME] = 2,
                                     [TSU_NE] = 5, [TSU_DIFFER] = 5 };
    int64_t              x;

    if (TSU_UNLIKELY(tsu_int_get(v, &x) == NULL)) return other_holds(op, v, i);
    return holds[op] >> ((x >= i) + (x > i)) & 1;
}

static inline bool compare(tsu_ms_compare op, const uint8_t *a, const uint8_t *b)
{
    int64_t i;

    return tsu_term_int64(b, &i) ? compare_int(op, a, i) : tsu_ms_holds(op, a, b);
}

static inline const uint8_t *arith(tsu_ms_scratch *s, const ms_ins *i, const uint8_t *const *operand)
{
    size_t     from = s->out.len;
    int64_t    x, y, result;
    uint8_t   *p;
    tsu_status status;

    if (i->y == 2 && tsu_term_int64(operand[0], &x) && tsu_term_int64(operand[1], &y) &&
        tsu_arith_ints((tsu_arith_op)i->x, x, y, &result)) {
        p = tsu_ms_take(s, 9);
        if (p != NULL) tsu_int_put(p, result);
        return p;
    }
    status = tsu_arith((tsu_arith_op)i->x, operand[0], i->y == 2 ? operand[1] : NULL, &s->out);
    if (status == TSU_OK) return tsu_ms_take_written(s, from);
    if (status != TSU_BADARG) s->status = status;
    return NULL;
}

/* `and`, `or` of the topmost n: NULL if one is no boolean. */
static const uint8_t *strict(const tsu_ms_scratch *s, bool all, const uint8_t *const *values, uint32_t n)
{
    bool result = all;

    for (uint32_t k = 0; k < n; k++) {
        if (ms_is_true(values[k])) result = all ? result : true;
        else if (ms_is_false(values[k])) result = all ? false : result;
        else return NULL;
    }
    return tsu_ms_boolean(s, result);
}

/* Instructions that write. */
static void build(const ms_ins *i, const uint8_t *consts, tsu_ms_scratch *s)
{
    tsu_ms_reg *reg;
    tsu_writer *w = &s->out;

    switch (i->op) {
    case MS_PUT_CONST:
        tsu_write_bytes(w, consts + i->a, i->b);
        break;
    case MS_PUT_VAR:
        tsu_write_bytes(w, s->vars[i->a], tsu_term_len(s->vars[i->a]));
        break;
    case MS_PUT_WHOLE:
        put_whole(s, w);
        break;
    case MS_PUT_TUPLE:
        tsu_write_tuple_begin(w, i->a);
        break;
    case MS_BUILD: case MS_PUT_LIST:
        s->regs[i->y].at = w->len;
        break;
    case MS_PUT_LIST_END:
        tsu_ms_list_close(w, s->regs[i->y].at, i->a, i->x != 0);
        break;
    case MS_PUT_PAIRS:
        reg = &s->regs[i->y];
        reg->at = w->len;
        reg->left = 0;
        reg->marks = (tsu_map_mark *)tsu_ms_take(s, (i->a + (size_t)1) * sizeof *reg->marks);
        if (reg->marks == NULL) w->status = TSU_NOMEM;
        break;
    case MS_PUT_PAIR:
        reg = &s->regs[i->y];
        if (reg->marks != NULL) reg->marks[reg->left++].at = w->len;
        break;
    case MS_PUT_KEY_END:
        reg = &s->regs[i->y];
        if (reg->marks != NULL) tsu_ms_key_close(w, reg->marks[reg->left - 1].at);
        break;
    case MS_PUT_PAIRS_END:
        reg = &s->regs[i->y];
        tsu_ms_pairs_close(w, reg->at, reg->marks, i->a);
        break;
    default:
        UNREACHABLE();
    }
}

const uint8_t *tsu_ms_execute(const ms_ins *i, const uint8_t *consts, tsu_ms_scratch *s, bool catch)
{
    const uint8_t **top = s->stack;             /* behind the topmost */
    const uint8_t  *v;

#define FAILED(value_) do { if (!catch || s->status != TSU_OK) return NULL; (value_) = s->atoms[2]; } while (0)
    for (;; i++) {
        switch (i->op) {
        case MS_DONE:
            return s->atoms[1];
        case MS_NEVER:
            return NULL;
        case MS_IF_INT:
            if (!compare_int((tsu_ms_compare)i->x, s->vars[i->a], i->i)) return NULL;
            break;
        case MS_IF:
            if (!tsu_ms_holds((tsu_ms_compare)i->x, i->y & LEFT_CONST ? consts + i->a : s->vars[i->a],
                            i->y & RIGHT_CONST ? consts + i->b : s->vars[i->b]))
                return NULL;
            break;
        case MS_IF_TYPE:
            if (!tsu_ms_has_type(s->vars[i->a], i->b)) return NULL;
            break;
        case MS_IF_TRUE:
            if (!ms_is_true(*--top)) return NULL;
            break;
        case MS_VAR:
            *top++ = s->vars[i->a];
            break;
        case MS_CONST:
            *top++ = consts + i->a;
            break;
        case MS_WHOLE:
            v = whole(s);
            if (v == NULL) return NULL;
            *top++ = v;
            break;
        case MS_ELEMENT:
            v = element(s, i->a);
            if (v == NULL) FAILED(v);
            *top++ = v;
            break;
        case MS_CALL:
            top -= i->y;
            v = tsu_ms_call(s, i->x, top);
            if (v == NULL) FAILED(v);
            *top++ = v;
            break;
        case MS_COMPARE:
            top--;
            top[-1] = s->atoms[compare((tsu_ms_compare)i->x, top[-1], top[0])];
            break;
        case MS_ARITH:
            top -= i->y;
            v = arith(s, i, top);
            if (v == NULL) FAILED(v);
            *top++ = v;
            break;
        case MS_TYPE:
            top[-1] = s->atoms[tsu_ms_has_type(top[-1], i->b)];
            break;
        case MS_AND: case MS_OR:
            top -= i->a;
            v = strict(s, i->op == MS_AND, top, i->a);
            if (v == NULL) FAILED(v);
            *top++ = v;
            break;
        case MS_ANDALSO: case MS_ORELSE:
            v = *--top;
            if (i->op == MS_ANDALSO ? ms_is_true(v) : ms_is_false(v)) break;
            if (i->op == MS_ANDALSO ? !ms_is_false(v) : !ms_is_true(v)) FAILED(v);
            *top++ = v;
            i += i->a - 1;
            break;
        case MS_BUILT:
            v = tsu_ms_take_written(s, s->regs[i->y].at);
            if (v == NULL) return NULL;
            *top++ = v;
            break;
        case MS_PUT_TOP:
            v = *--top;
            tsu_write_bytes(&s->out, v, tsu_term_len(v));
            break;
        case MS_RETURN:
            return *--top;
        case MS_RETURN_BUILT:
            s->status = s->out.status;
            return s->status == TSU_OK ? s->out.bytes : NULL;
        default:
            build(i, consts, s);
            break;
        }
    }
#undef FAILED
}

/* ---- Running ---- */

static const uint8_t *clause_result(const tsu_ms *ms, const ms_clause *clause, tsu_ms_scratch *s)
{
    const uint8_t *term;

    switch (clause->result) {
    case RESULT_VAR:
        return s->vars[clause->a];
    case RESULT_CONST:
        return ms->consts + clause->a;
    case RESULT_ELEMENT:
        term = element(s, clause->a);
        return term != NULL ? term : s->atoms[2];
    default:
        s->out.len = 0;
        return tsu_ms_execute(ms->code + clause->body, ms->consts, s, true);
    }
}

/* Most guards compare a variable with an integer, and are over before the loop above has begun. */
static inline bool guards_hold(const tsu_ms *ms, const ms_clause *clause, tsu_ms_scratch *s)
{
    const ms_ins *i = ms->code + clause->guards;

    for (; i->op == MS_IF_INT; i++)
        if (!compare_int((tsu_ms_compare)i->x, s->vars[i->a], i->i)) return false;
    return i->op == MS_DONE || tsu_ms_execute(i, ms->consts, s, false) != NULL;
}

tsu_status tsu_ms_run(const tsu_ms *ms, tsu_ms_scratch *s, const uint8_t *object, tsu_ms_result *out)
{
    const uint8_t *p = object + 2;
    size_t         arity = object[0] & TSU_OBJECT_ARITY;

    if (TSU_UNLIKELY(object[1] >= 0x80 || arity == 15)) p = tsu_object_elements(object, &arity);
    s->object = object;
    s->elements = p;
    s->arity = arity;
    out->outcome = TSU_MS_NO_MATCH;
    for (size_t k = 0; k < ms->clause_count; k++) {
        const ms_clause *clause = &ms->clause[k];
        const ms_ins    *i = ms->code + clause->head;

        if (clause->arity != (int64_t)arity && clause->arity != ARITY_ANY) continue;
        if (TSU_UNLIKELY(s->chunks != NULL || s->out.len > 0 || s->whole != NULL || s->status != TSU_OK)) scratch_clear(s);
        p = head_run(&i, ms->consts, s, s->elements);
        if (p != NULL && clause->guarded && !guards_hold(ms, clause, s)) p = NULL;
        if (p == NULL) {
            if (TSU_UNLIKELY(s->status != TSU_OK)) return s->status;
            continue;
        }
        if (clause->late) head_run(&i, ms->consts, s, p);
        out->clause = k;
        if (clause->result == RESULT_OBJECT) {
            out->outcome = TSU_MS_OBJECT;
            out->term = object;
            return TSU_OK;
        }
        out->term = clause_result(ms, clause, s);
        if (out->term == NULL) {
            out->outcome = TSU_MS_NO_MATCH;
            return s->status != TSU_OK ? s->status : TSU_NOMEM;
        }
        out->outcome = TSU_MS_TERM;
        return TSU_OK;
    }
    return TSU_OK;
}

bool tsu_ms_result_is_true(const tsu_ms_result *r)
{
    return r->outcome == TSU_MS_TERM && ms_is_true(r->term);
}
