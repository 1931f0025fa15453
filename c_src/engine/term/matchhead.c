/* matchhead.c: compiles the head of a clause. Pattern and object are both written parent first, so that one walk through
 * the object in the order of the pattern is all there is to matching. */
#include "term/matchspec_inner.h"

enum { H_TERMS, H_LIST_END, H_TAIL, H_PAIRS };

/* Takes over what is to be skipped before. */
static uint32_t head_emit(ms_compiler *c, ms_op op, unsigned x, unsigned y, uint32_t a, uint32_t b, uint32_t from)
{
    uint32_t pc = ms_pc(c), skip = 0;

    if (pc > from && ms_code(c)[pc - 1].op == MS_SKIP) {
        skip = ms_code(c)[pc - 1].skip;
        c->code.len -= sizeof(ms_ins);
    }
    tsu_ms_emit(c, op, x, y, a, b);
    if (c->code.status != TSU_OK) return 0;
    ms_code(c)[ms_pc(c) - 1].skip = op == MS_SKIP ? skip + 1 : skip;
    return ms_pc(c) - 1;
}

static void head_constant(ms_compiler *c, ms_op op, unsigned y, uint32_t from)
{
    const uint8_t *end = tsu_term_end(c->p);
    size_t         len = (size_t)(end - c->p);

    if (op == MS_IS && len == 1) head_emit(c, MS_IS_BYTE, 0, 0, *c->p, 1, from);
    else head_emit(c, op, op == MS_IS && c->handles, y, ms_offset(c, c->p), (uint32_t)len, from);
    c->p = end;
}

/* The rest of an open list: a variable or '_'. False: c->p is neither. */
static bool head_rest(ms_compiler *c, uint16_t reg, uint32_t from)
{
    const uint8_t *p = c->p;
    uint64_t       number;
    uint32_t       v;
    tsu_token      t;

    if (ms_shape(c, p) & SHAPE_PLAIN) return false;
    tsu_term_next(&p, &t);
    if (t.kind != TSU_ATOM) return false;
    c->p = p;
    if (!tsu_ms_variable_number(t.n, &number)) {
        head_emit(c, MS_REST, 0, reg, UINT32_MAX, 0, from);
        return true;
    }
    v = tsu_ms_variable_find(c, t.n, number, true);
    if (v != MS_NO_VARIABLE) head_emit(c, MS_REST_AGAIN, 0, reg, v, 0, from);
    else head_emit(c, MS_REST, 0, reg, (uint32_t)ms_var_count(c) - 1, 0, from);
    return true;
}

static void head_term(ms_compiler *c, uint32_t from)
{
    tsu_token t;
    uint64_t  number;
    uint32_t  v;
    uint16_t  reg;

    if (ms_shape(c, c->p) & SHAPE_PLAIN) {
        head_constant(c, MS_IS, 0, from);
        return;
    }
    tsu_term_next(&c->p, &t);
    switch (t.kind) {
    case TSU_TUPLE:
        head_emit(c, MS_TUPLE, 0, 0, (uint32_t)t.n, 0, from);
        tsu_ms_task_push(c, (ms_task){.kind = H_TERMS, .count = (uint32_t)t.n});
        break;
    case TSU_LIST:
        reg = tsu_ms_reg_open(c);
        v = head_emit(c, MS_LIST, LIST_ENDS, reg, (uint32_t)t.n, 0, from);
        tsu_ms_task_push(c, (ms_task){.kind = t.flag ? H_TAIL : H_LIST_END, .y = reg, .from = v});
        tsu_ms_task_push(c, (ms_task){.kind = H_TERMS, .count = (uint32_t)t.n});
        break;
    case TSU_MAP:
        reg = tsu_ms_reg_open(c);
        head_emit(c, MS_MAP, 0, reg, (uint32_t)t.n, 0, from);
        tsu_ms_task_push(c, (ms_task){.kind = H_PAIRS, .y = reg, .count = (uint32_t)t.n});
        break;
    default:
        DCHECK(t.kind == TSU_ATOM);
        if (!tsu_ms_variable_number(t.n, &number)) {
            head_emit(c, MS_SKIP, 0, 0, 0, 0, from);
            break;
        }
        v = tsu_ms_variable_find(c, t.n, number, true);
        if (v == MS_NO_VARIABLE) head_emit(c, MS_BIND, 0, 0, (uint32_t)ms_var_count(c) - 1, 0, from);
        else head_emit(c, MS_AGAIN, 0, 0, v, 0, from);
        break;
    }
}

static void head_pair(ms_compiler *c, ms_task task, uint32_t from)
{
    const uint8_t *p = c->p;
    uint64_t       number;
    tsu_token      t;

    if (task.count == 0) {
        head_emit(c, MS_MAP_END, 0, task.y, 0, 0, from);
        ms_reg_close(c);
        return;
    }
    tsu_term_next(&p, &t);
    if (t.kind == TSU_ATOM && tsu_ms_variable_number(t.n, &number)) tsu_ms_fail(c, TSU_MS_VARIABLE_IN_KEY, c->p, number);
    if (tsu_ms_atom_is(c->p, "_")) tsu_ms_fail(c, TSU_MS_UNDERSCORE_IN_KEY, c->p, 0);
    head_constant(c, MS_MAP_KEY, task.y, from);
    task.count--;
    tsu_ms_task_push(c, task);
    tsu_ms_task_push(c, (ms_task){.kind = H_TERMS, .count = 1});
}

static void head_tasks(ms_compiler *c, uint32_t from)
{
    ms_task task;

    while (tsu_ms_task_pop(c, &task)) {
        switch (task.kind) {
        case H_TERMS:
            if (task.count == 0) break;
            if (--task.count > 0) tsu_ms_task_push(c, task);
            head_term(c, from);
            break;
        case H_TAIL:
            if (head_rest(c, task.y, from)) {
                if (c->code.status == TSU_OK) ms_code(c)[task.from].x = LIST_OPEN;
                ms_reg_close(c);
                break;
            }
            if (c->code.status == TSU_OK) ms_code(c)[task.from].x = LIST_TAIL;
            task.kind = H_LIST_END;
            tsu_ms_task_push(c, task);
            head_term(c, from);
            break;
        case H_LIST_END:
            head_emit(c, MS_LIST_END, 0, task.y, 0, 0, from);
            ms_reg_close(c);
            break;
        default:
            head_pair(c, task, from);
            break;
        }
    }
}

void tsu_ms_compile_head(ms_compiler *c, ms_clause *clause)
{
    const uint8_t *p = c->p;
    uint32_t       from = ms_pc(c);
    uint64_t       number;
    tsu_token      t;

    tsu_term_next(&p, &t);
    clause->arity = ARITY_NEVER;
    if (t.kind == TSU_ATOM && !(ms_shape(c, c->p) & SHAPE_PLAIN)) {
        clause->arity = ARITY_ANY;
        c->p = p;
        if (tsu_ms_variable_number(t.n, &number)) {
            c->whole = t.n;
            c->whole_number = number;
        }
        return;
    }
    if (t.kind == TSU_TUPLE) {
        clause->arity = (int64_t)t.n;
        c->p = p;
    }
    tsu_ms_task_push(c, (ms_task){.kind = H_TERMS, .count = t.kind == TSU_TUPLE ? (uint32_t)t.n : 1});
    head_tasks(c, from);
    if (ms_pc(c) > from && ms_code(c)[ms_pc(c) - 1].op == MS_SKIP) c->code.len -= sizeof(ms_ins);
}
