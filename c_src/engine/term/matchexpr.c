/* matchexpr.c: compiles guards and bodies. A term is read once, from left to right; what has to follow its parts waits
 * as a task. */
#include "term/matchspec_inner.h"

/* GUARD, VALUE, PUT: `count` terms to come, each a guard; to be pushed; to be written. */
enum { X_GUARD, X_VALUE, X_PUT, X_GUARD_END, X_EMIT, X_BUILT, X_PUT_END, X_ALTERNATIVES, X_PAIRS };

static void push_terms(ms_compiler *c, unsigned kind, uint64_t count)
{
    if (count > 0) tsu_ms_task_push(c, (ms_task){.kind = (uint8_t)kind, .count = (uint32_t)count});
}

static void push_emit(ms_compiler *c, ms_op op, unsigned x, unsigned y, uint32_t a)
{
    tsu_ms_task_push(c, (ms_task){.kind = X_EMIT, .x = (uint8_t)op, .y = (uint16_t)y, .a = a, .count = x});
}

/* ---- Leaves ---- */

static void mark_used(ms_compiler *c, uint32_t v)
{
    if (c->guard) ms_vars(c)[v].in_guard = true;
    else ms_vars(c)[v].in_body = true;
}

/* '$$' */
static void emit_bindings(ms_compiler *c)
{
    uint32_t  count = (uint32_t)ms_var_count(c), *order;
    size_t    bytes = (count + 1) * sizeof *order;
    uint16_t  reg = tsu_ms_reg_open(c);

    order = tsu_env_alloc(bytes);
    if (order == NULL) { c->status = TSU_NOMEM; return; }
    for (uint32_t i = 0; i < count; i++) order[i] = i;
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            uint32_t v = order[i], j = i;
            for (; j >= gap && ms_vars(c)[order[j - gap]].number > ms_vars(c)[v].number; j -= gap) order[j] = order[j - gap];
            order[j] = v;
        }
    }
    tsu_ms_emit(c, MS_PUT_LIST, 0, reg, 0, 0);
    for (uint32_t i = 0; i < count; i++) {
        tsu_ms_emit(c, MS_PUT_VAR, 0, 0, order[i], 0);
        mark_used(c, order[i]);
    }
    if (c->whole != UINT64_MAX) tsu_ms_emit(c, MS_PUT_WHOLE, 0, 0, 0, 0);
    tsu_ms_emit(c, MS_PUT_LIST_END, 0, reg, count + (c->whole != UINT64_MAX), 0);
    ms_reg_close(c);
    tsu_env_free(order, bytes);
}

/* An atom that is no literal: '$N', '$_', '$$'. */
static void emit_atom(ms_compiler *c, uint64_t atom, const uint8_t *at, bool put)
{
    size_t         len;
    const uint8_t *text = tsu_codec.atom_text(atom, &len);
    uint64_t       number;
    uint32_t       v = MS_WHOLE_VARIABLE;

    if (text[1] == '$') {
        uint16_t reg;

        if (put) {
            emit_bindings(c);
            return;
        }
        reg = tsu_ms_reg_open(c);
        c->built_from = ms_pc(c);
        tsu_ms_emit(c, MS_BUILD, 0, reg, 0, 0);
        emit_bindings(c);
        tsu_ms_emit(c, MS_BUILT, 0, reg, 0, 0);
        ms_reg_close(c);
        return;
    }
    if (text[1] != '_') {
        tsu_ms_variable_number(atom, &number);
        v = tsu_ms_variable_find(c, atom, number, false);
        if (v == MS_NO_VARIABLE) {
            tsu_ms_fail(c, TSU_MS_UNBOUND, at, number);
            return;
        }
    }
    if (v == MS_WHOLE_VARIABLE) {
        tsu_ms_emit(c, put ? MS_PUT_WHOLE : MS_WHOLE, 0, 0, 0, 0);
    } else {
        mark_used(c, v);
        tsu_ms_emit(c, put ? MS_PUT_VAR : MS_VAR, 0, 0, v, 0);
    }
}

static void emit_literal(ms_compiler *c, bool put)
{
    const uint8_t *end = tsu_term_end(c->p);

    tsu_ms_emit(c, put ? MS_PUT_CONST : MS_CONST, 0, 0, ms_offset(c, c->p), (uint32_t)(end - c->p));
    c->p = end;
}

/* ---- Calls ---- */

static bool is_whole(const ms_compiler *c, const uint8_t *p)
{
    tsu_token t;

    if (tsu_ms_atom_is(p, "$_")) return true;
    tsu_term_next(&p, &t);
    return t.kind == TSU_ATOM && t.n == c->whole;
}

/* {element, N, '$_'} at the arguments: N, and c->p behind them; else 0. */
static uint32_t element_of_whole(ms_compiler *c, const uint8_t *p, const uint8_t **end)
{
    int64_t n;

    if (!tsu_term_int64(p, &n) || n < 1 || n > UINT32_MAX) return 0;
    p = tsu_term_end(p);
    if ((*p != TSU_TAG_ATOM4 && *p != TSU_TAG_ATOM8) || !is_whole(c, p)) return 0;
    *end = tsu_term_end(p);
    return (uint32_t)n;
}

/* {Name, Arg, ...} behind its name. */
static void emit_call(ms_compiler *c, const uint8_t *at, uint64_t name, size_t arity, bool put)
{
    size_t             len;
    const uint8_t     *text = tsu_codec.atom_text(name, &len);
    const ms_function *f = tsu_ms_function_find(text, len, arity);
    uint32_t           n;

    if (f == NULL || f->since > tsu_match.otp) { tsu_ms_fail(c, TSU_MS_NO_FUNCTION, at, arity); return; }
    if (f->form == FORM_TRACE) { tsu_ms_fail(c, TSU_MS_WRONG_DIALECT, at, arity); return; }
    if (f->form == FORM_CONST) {
        if (arity != 1) tsu_ms_fail(c, TSU_MS_ARGUMENTS, at, arity);
        else emit_literal(c, put);
        return;
    }
    if (put) push_emit(c, MS_PUT_TOP, 0, 0, 0);
    switch (f->form) {
    case FORM_SELF:
        if (arity != 0) { tsu_ms_fail(c, TSU_MS_ARGUMENTS, at, arity); return; }
        tsu_ms_emit(c, MS_CALL, f->which, 0, 0, 0);
        return;
    case FORM_AND: case FORM_OR:
        if (arity == 0) { tsu_ms_fail(c, TSU_MS_ARGUMENTS, at, arity); return; }
        push_emit(c, f->form == FORM_AND ? MS_AND : MS_OR, 0, 0, (uint32_t)arity);
        break;
    case FORM_ANDALSO: case FORM_ORELSE:
        if (arity == 0) { tsu_ms_fail(c, TSU_MS_ARGUMENTS, at, arity); return; }
        tsu_ms_task_push(c, (ms_task){.kind = X_ALTERNATIVES, .x = f->form == FORM_ANDALSO ? MS_ANDALSO : MS_ORELSE,
                                  .count = (uint32_t)arity});
        return;
    case FORM_COMPARE:
        push_emit(c, MS_COMPARE, f->which, 2, 0);
        break;
    case FORM_TYPE:
        push_emit(c, MS_TYPE, f->which, 1, 0);
        break;
    default:
        if (len == 7 && arity == 2 && memcmp(text, "element", 7) == 0 && (n = element_of_whole(c, c->p, &c->p)) > 0) {
            tsu_ms_emit(c, MS_ELEMENT, 0, 0, n, 0);
            return;
        }
        push_emit(c, f->form == FORM_ARITH ? MS_ARITH : MS_CALL, f->which, (unsigned)arity, 0);
        break;
    }
    push_terms(c, X_VALUE, arity);
}

/* ---- Terms ---- */

/* A term that is to be built, as a value: what is written in between is taken off the writer. */
static void build_begin(ms_compiler *c)
{
    uint16_t reg = tsu_ms_reg_open(c);

    tsu_ms_task_push(c, (ms_task){.kind = X_BUILT, .y = reg, .from = ms_pc(c), .dynamic = (uint32_t)c->dynamic});
    tsu_ms_emit(c, MS_BUILD, 0, reg, 0, 0);
}

/* What has come out of constants alone is made now. */
static void build_end(ms_compiler *c, ms_task task)
{
    tsu_ms_scratch s;
    ms_clause      none;
    tsu_ms         fake;
    const uint8_t *term;

    tsu_ms_emit(c, MS_BUILT, 0, task.y, 0, 0);
    ms_reg_close(c);
    c->built_from = task.from;
    if (task.dynamic != (uint32_t)c->dynamic || c->code.status != TSU_OK) return;
    tsu_ms_emit(c, MS_RETURN, 0, 0, 0, 0);
    memset(&fake, 0, sizeof fake);
    fake.clause = &none;
    fake.vars_max = c->vars_max;
    fake.stack_max = c->stack_max + 1;
    fake.regs_max = c->regs_max;
    tsu_ms_scratch_init(&s);
    c->status = tsu_ms_scratch_for(&s, &fake);
    if (c->status == TSU_OK) {
        term = tsu_ms_execute(ms_code(c) + task.from, c->consts.bytes, &s, true);
        if (term == NULL) {
            c->status = s.status;
        } else {
            c->code.len = task.from * sizeof(ms_ins);
            tsu_ms_emit_const(c, MS_CONST, term, tsu_term_len(term));
        }
    }
    tsu_ms_scratch_deinit(&s);
}

static void compile_term(ms_compiler *c, bool put)
{
    const uint8_t *at = c->p;
    tsu_token      t, name;
    uint16_t       reg;

    if (ms_shape(c, at) & SHAPE_LITERAL) {
        emit_literal(c, put);
        return;
    }
    tsu_term_next(&c->p, &t);
    if (t.kind == TSU_ATOM) {
        emit_atom(c, t.n, at, put);
        return;
    }
    if (t.kind == TSU_TUPLE) {
        const uint8_t *inner = c->p;
        if (t.n > 0) tsu_term_next(&c->p, &name);
        if (t.n == 1 && name.kind == TSU_TUPLE) {
            c->p = inner;
            if (!put) build_begin(c);
            tsu_term_next(&c->p, &name);
            tsu_ms_emit(c, MS_PUT_TUPLE, 0, 0, (uint32_t)name.n, 0);
            push_terms(c, X_PUT, name.n);
        } else if (t.n > 0 && name.kind == TSU_ATOM && !tsu_ms_variable_number(name.n, &(uint64_t){0})) {
            emit_call(c, at, name.n, (size_t)t.n - 1, put);
        } else {
            tsu_ms_fail(c, TSU_MS_NEITHER_CALL_NOR_TUPLE, at, 0);
        }
        return;
    }
    DCHECK(t.kind == TSU_LIST || t.kind == TSU_MAP);
    if (!put) build_begin(c);
    reg = tsu_ms_reg_open(c);
    if (t.kind == TSU_LIST) {
        tsu_ms_emit(c, MS_PUT_LIST, 0, reg, 0, 0);
        tsu_ms_task_push(c, (ms_task){.kind = X_PUT_END, .x = MS_PUT_LIST_END, .y = reg, .a = (uint32_t)t.n, .count = t.flag});
        push_terms(c, X_PUT, t.children);
    } else {
        tsu_ms_emit(c, MS_PUT_PAIRS, 0, reg, (uint32_t)t.n, 0);
        tsu_ms_task_push(c, (ms_task){.kind = X_PAIRS, .y = reg, .a = (uint32_t)t.n, .count = (uint32_t)t.n});
    }
}

static void compile_pair(ms_compiler *c, ms_task task)
{
    if (task.count == 0) {
        tsu_ms_emit(c, MS_PUT_PAIRS_END, 0, task.y, task.a, 0);
        ms_reg_close(c);
        return;
    }
    tsu_ms_emit(c, MS_PUT_PAIR, 0, task.y, 0, 0);
    task.count--;
    tsu_ms_task_push(c, task);
    push_terms(c, X_PUT, 1);
    if (!(ms_shape(c, c->p) & SHAPE_LITERAL)) push_emit(c, MS_PUT_KEY_END, 0, task.y, 0);
    push_terms(c, X_PUT, 1);
}

/* `from`: instructions that jump to the end, each to where the one before stands; 0: none. */
static void compile_alternative(ms_compiler *c, ms_task task)
{
    if (task.count > 0) {
        if (task.y != 0) {
            tsu_ms_emit(c, (ms_op)task.x, 0, 0, task.from, 0);
            task.from = ms_pc(c);
        }
        task.y = 1;
        task.count--;
        tsu_ms_task_push(c, task);
        push_terms(c, X_VALUE, 1);
        return;
    }
    while (task.from > 0 && c->code.status == TSU_OK) {
        ms_ins *i = &ms_code(c)[task.from - 1];
        uint32_t next = i->a;
        i->a = ms_pc(c) - (task.from - 1);
        task.from = next;
    }
}

/* ---- Guards ---- */

/* Closes the guard whose value the instructions since `from` push. What most guards are, a comparison or a type test of a
 * variable, becomes one instruction. */
static void guard_close(ms_compiler *c, uint32_t from)
{
    ms_ins   a, b, call;
    uint32_t count = ms_pc(c) - from;
    unsigned op;
    int64_t  n;

    if (c->code.status != TSU_OK) return;
    call = ms_code(c)[ms_pc(c) - 1];
    a = ms_code(c)[from];
    b = ms_code(c)[from + (count > 1)];
    if (call.op == MS_TYPE && count == 2 && a.op == MS_VAR) {
        c->code.len = from * sizeof(ms_ins);
        tsu_ms_emit(c, MS_IF_TYPE, 0, 0, a.a, call.b);
        c->stack--;
        return;
    }
    if (call.op != MS_COMPARE || count != 3 || (a.op != MS_VAR && a.op != MS_CONST) || (b.op != MS_VAR && b.op != MS_CONST)) {
        tsu_ms_emit(c, MS_IF_TRUE, 0, 0, 0, 0);
        return;
    }
    op = call.x;
    if (a.op == MS_CONST && b.op == MS_VAR) {
        ms_ins swap = a;
        a = b;
        b = swap;
        op = ms_mirrored((tsu_ms_compare)op);
    }
    c->code.len = from * sizeof(ms_ins);
    c->stack--;
    if (a.op == MS_VAR && b.op == MS_CONST && tsu_term_int64(c->consts.bytes + b.a, &n)) {
        tsu_ms_emit(c, MS_IF_INT, op, 0, a.a, 0);
        if (c->code.status == TSU_OK) ms_code(c)[ms_pc(c) - 1].i = n;
    } else {
        tsu_ms_emit(c, MS_IF, op, (a.op == MS_CONST ? LEFT_CONST : 0) | (b.op == MS_CONST ? RIGHT_CONST : 0), a.a, b.a);
    }
}

static void compile_guard(ms_compiler *c)
{
    const uint8_t     *at = c->p, *text;
    const ms_function *f = NULL;
    size_t             len;
    tsu_token          t, name;

    if (!(ms_shape(c, at) & SHAPE_LITERAL)) {
        tsu_term_next(&c->p, &t);
        if (t.kind == TSU_TUPLE && t.n > 1 && (*c->p == TSU_TAG_ATOM4 || *c->p == TSU_TAG_ATOM8)) {
            tsu_term_next(&c->p, &name);
            text = tsu_codec.atom_text(name.n, &len);
            f = tsu_ms_function_find(text, len, (size_t)t.n - 1);
        }
        /* All operands of `and` and `andalso` have to be true, so they are guards of their own. */
        if (f != NULL && (f->form == FORM_AND || f->form == FORM_ANDALSO)) {
            push_terms(c, X_GUARD, t.n - 1);
            return;
        }
        c->p = at;
    }
    tsu_ms_task_push(c, (ms_task){.kind = X_GUARD_END, .from = ms_pc(c)});
    push_terms(c, X_VALUE, 1);
}

static void expression_tasks(ms_compiler *c)
{
    ms_task task;

    while (tsu_ms_task_pop(c, &task)) {
        switch (task.kind) {
        case X_GUARD: case X_VALUE: case X_PUT:
            if (--task.count > 0) tsu_ms_task_push(c, task);
            if (task.kind == X_GUARD) compile_guard(c);
            else compile_term(c, task.kind == X_PUT);
            break;
        case X_GUARD_END:
            guard_close(c, task.from);
            break;
        case X_EMIT:
            if (task.x == MS_TYPE) tsu_ms_emit(c, MS_TYPE, 0, 1, 0, task.count);
            else tsu_ms_emit(c, (ms_op)task.x, task.count, task.y, task.a, 0);
            break;
        case X_PUT_END:
            tsu_ms_emit(c, (ms_op)task.x, task.count, task.y, task.a, 0);
            ms_reg_close(c);
            break;
        case X_BUILT:
            build_end(c, task);
            break;
        case X_ALTERNATIVES:
            compile_alternative(c, task);
            break;
        default:
            compile_pair(c, task);
            break;
        }
    }
}

/* How many expressions the list at c->p has; c->p is then at the first, or, if `bytes`, these are integers. */
static uint64_t expressions_begin(ms_compiler *c, const uint8_t **bytes)
{
    const uint8_t *at = c->p;
    tsu_token      t;

    *bytes = NULL;
    tsu_term_next(&c->p, &t);
    if (t.kind == TSU_NIL) return 0;
    if (t.kind == TSU_STRING) {
        *bytes = t.bytes;
        return t.size;
    }
    if (t.kind != TSU_LIST) tsu_ms_fail(c, c->guard ? TSU_MS_NOT_A_LIST_OF_EXPRESSIONS : TSU_MS_NO_BODY, at, 0);
    else if (t.flag) tsu_ms_fail(c, TSU_MS_IMPROPER_LIST, at, 0);
    return c->status == TSU_OK ? t.n : 0;
}

void tsu_ms_compile_guards(ms_compiler *c)
{
    const uint8_t *bytes;
    uint64_t       count = expressions_begin(c, &bytes);

    if (bytes != NULL) {                        /* integers are not `true` */
        tsu_ms_emit(c, MS_NEVER, 0, 0, 0, 0);
        return;
    }
    push_terms(c, X_GUARD, count);
    expression_tasks(c);
}

void tsu_ms_compile_body(ms_compiler *c)
{
    const uint8_t *bytes, *at = c->p;
    uint64_t       count = expressions_begin(c, &bytes);
    uint32_t       body = ms_pc(c), end;
    uint8_t        last[9];

    if (c->status != TSU_OK) return;
    if (count == 0) {
        tsu_ms_fail(c, TSU_MS_NO_BODY, at, 0);
        return;
    }
    if (bytes != NULL) {
        tsu_ms_emit_const(c, MS_CONST, last, tsu_int_put(last, bytes[count - 1]));
        tsu_ms_emit(c, MS_RETURN, 0, 0, 0, 0);
        return;
    }
    for (; count > 0 && c->status == TSU_OK; count--) {
        c->code.len = body * sizeof(ms_ins);    /* only the last is run: the others do nothing, and may fail */
        c->stack = 0;
        push_terms(c, X_VALUE, 1);
        expression_tasks(c);
    }
    end = ms_pc(c);
    if (c->status == TSU_OK && c->code.status == TSU_OK && ms_code(c)[end - 1].op == MS_BUILT && c->built_from == body)
        ms_code(c)[end - 1].op = MS_RETURN_BUILT;
    else
        tsu_ms_emit(c, MS_RETURN, 0, 0, 0, 0);
}
