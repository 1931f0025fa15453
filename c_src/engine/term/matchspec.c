/* matchspec.c: the frame of the compiler: clauses, variables, instructions, and the finished program. */
#include "term/matchspec_inner.h"

tsu_match_config tsu_match;

/* ---- Instructions ---- */

void tsu_ms_fail(ms_compiler *c, tsu_ms_cause cause, const uint8_t *at, uint64_t number)
{
    if (c->status != TSU_OK) return;
    c->status = TSU_BADARG;
    c->error.cause = cause;
    c->error.at = ms_offset(c, at);
    c->error.number = number;
}

/* What an instruction does to the height of the stack. */
static void stack_moves(ms_compiler *c, ms_op op, unsigned y, uint32_t a)
{
    switch (op) {
    case MS_VAR: case MS_CONST: case MS_WHOLE: case MS_ELEMENT: case MS_BUILT:
        c->stack++;
        break;
    case MS_COMPARE:
        c->stack--;
        break;
    case MS_CALL: case MS_ARITH:
        c->stack += 1;
        if (c->stack > c->stack_max) c->stack_max = c->stack;
        c->stack -= y;
        break;
    case MS_AND: case MS_OR:
        c->stack -= a - 1;
        break;
    case MS_ANDALSO: case MS_ORELSE: case MS_IF_TRUE: case MS_PUT_TOP: case MS_RETURN:
        c->stack--;
        break;
    default:
        break;
    }
    if (c->stack > c->stack_max) c->stack_max = c->stack;
}

void tsu_ms_emit(ms_compiler *c, ms_op op, unsigned x, unsigned y, uint32_t a, uint32_t b)
{
    ms_ins i = {(uint8_t)op, (uint8_t)x, (uint16_t)y, a, {0}};

    i.b = b;
    stack_moves(c, op, y, a);
    if ((op >= MS_VAR && op <= MS_ORELSE && op != MS_CONST) || op == MS_PUT_VAR || op == MS_PUT_WHOLE) c->dynamic++;
    tsu_write_bytes(&c->code, &i, sizeof i);
}

void tsu_ms_emit_const(ms_compiler *c, ms_op op, const uint8_t *term, size_t len)
{
    size_t at = c->consts.len;

    tsu_write_bytes(&c->consts, term, len);
    tsu_ms_emit(c, op, 0, 0, (uint32_t)at, (uint32_t)len);
}

uint16_t tsu_ms_reg_open(ms_compiler *c)
{
    size_t reg = c->reg++;

    if (c->reg > c->regs_max) c->regs_max = c->reg;
    if (reg > UINT16_MAX && c->status == TSU_OK) c->status = TSU_LIMIT;
    return (uint16_t)reg;
}

/* ---- Tasks ---- */

void tsu_ms_task_push(ms_compiler *c, ms_task task)
{
    if (c->tasks.len >= TSU_MS_DEPTH_MAX * sizeof task && c->status == TSU_OK) c->status = TSU_LIMIT;
    tsu_write_bytes(&c->tasks, &task, sizeof task);
}

bool tsu_ms_task_pop(ms_compiler *c, ms_task *task)
{
    if (c->tasks.status != TSU_OK && c->status == TSU_OK) c->status = c->tasks.status;
    if (c->status != TSU_OK || c->tasks.len == 0) {
        c->tasks.len = 0;
        return false;
    }
    c->tasks.len -= sizeof *task;
    memcpy(task, c->tasks.bytes + c->tasks.len, sizeof *task);
    return true;
}

/* ---- Variables ---- */

bool tsu_ms_variable_number(uint64_t atom, uint64_t *number)
{
    size_t         len;
    const uint8_t *text = tsu_codec.atom_text(atom, &len);
    uint64_t       n = 0;

    if (len < 2 || text[0] != '$') return false;
    if (text[1] == '0' && len > 2) return false;
    for (size_t i = 1; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        n = n < UINT64_MAX / 20 ? n * 10 + (text[i] - '0') : UINT64_MAX / 20;
    }
    *number = n;
    return true;
}

bool tsu_ms_atom_is(const uint8_t *term, const char *name)
{
    size_t         len;
    const uint8_t *text;
    tsu_token      t;

    if (*term != TSU_TAG_ATOM4 && *term != TSU_TAG_ATOM8) return false;
    tsu_term_next(&term, &t);
    text = tsu_codec.atom_text(t.n, &len);
    return len == strlen(name) && memcmp(text, name, len) == 0;
}

#define VARS_WITHOUT_HASH 16

static uint32_t *slot_of(const ms_compiler *c, uint64_t atom)
{
    size_t i = (size_t)(atom * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (c->slot_count - 1);

    while (c->slot[i] != 0 && ms_vars(c)[c->slot[i] - 1].atom != atom) i = (i + 1) & (c->slot_count - 1);
    return &c->slot[i];
}

static void slots_drop(ms_compiler *c)
{
    if (c->slot != NULL) tsu_env_free(c->slot, c->slot_count * sizeof *c->slot);
    c->slot = NULL;
    c->slot_count = 0;
}

static void slots_grow(ms_compiler *c)
{
    size_t    count = ms_var_count(c), slots = 4;
    uint32_t *slot;

    while (slots < 4 * count) slots *= 2;
    slot = tsu_env_alloc(slots * sizeof *slot);
    if (slot == NULL) {
        if (c->status == TSU_OK) c->status = TSU_NOMEM;
        return;
    }
    slots_drop(c);
    memset(slot, 0, slots * sizeof *slot);
    c->slot = slot;
    c->slot_count = slots;
    for (size_t i = 0; i < count; i++) *slot_of(c, ms_vars(c)[i].atom) = (uint32_t)i + 1;
}

uint32_t tsu_ms_variable_find(ms_compiler *c, uint64_t atom, uint64_t number, bool bind)
{
    size_t      count = ms_var_count(c);
    ms_variable v = {atom, number, false, false};
    uint32_t   *slot = NULL;

    if (atom == c->whole) return MS_WHOLE_VARIABLE;
    if (c->slot != NULL) {
        slot = slot_of(c, atom);
        if (*slot != 0) return *slot - 1;
    } else {
        for (size_t i = 0; i < count; i++)
            if (ms_vars(c)[i].atom == atom) return (uint32_t)i;
    }
    if (!bind) return MS_NO_VARIABLE;
    tsu_write_bytes(&c->vars, &v, sizeof v);
    if (c->vars.status != TSU_OK) {
        c->status = c->vars.status;
        return MS_NO_VARIABLE;
    }
    if (slot != NULL) *slot = (uint32_t)count + 1;
    if (count >= VARS_WITHOUT_HASH && 2 * count >= c->slot_count) slots_grow(c);
    return MS_NO_VARIABLE;
}

/* ---- Shapes ---- */

static uint8_t atom_shape(uint64_t atom)
{
    size_t         len;
    const uint8_t *text = tsu_codec.atom_text(atom, &len);
    uint64_t       number;

    if (len == 0 || (text[0] != '$' && text[0] != '_')) return SHAPE_PLAIN | SHAPE_LITERAL;
    if (len == 1 && text[0] == '_') return SHAPE_LITERAL;
    if (len == 2 && text[0] == '$' && (text[1] == '_' || text[1] == '$')) return SHAPE_PLAIN;
    return tsu_ms_variable_number(atom, &number) ? 0 : SHAPE_PLAIN | SHAPE_LITERAL;
}

/* From the leaves up: a term is what all of its parts are. A map is no plain pattern, a tuple no literal. */
static void shapes_find(ms_compiler *c)
{
    const uint8_t *p = c->spec;
    ms_task       *open;

    do {
        const uint8_t *at = p;
        uint8_t        shape = SHAPE_PLAIN | SHAPE_LITERAL;
        tsu_token      t;

        tsu_term_next(&p, &t);
        if (t.kind == TSU_FUN || t.kind == TSU_EXPORT) p = tsu_term_end(at);
        else if (t.kind == TSU_ATOM) shape = atom_shape(t.n);
        else if (t.kind == TSU_TUPLE) shape = SHAPE_PLAIN;
        else if (t.kind == TSU_MAP) shape = SHAPE_LITERAL;
        if (t.children > 0 && t.kind != TSU_FUN && t.kind != TSU_EXPORT) {
            tsu_ms_task_push(c, (ms_task){.x = shape, .a = ms_offset(c, at), .count = (uint32_t)t.children});
            continue;
        }
        c->shape[at - c->spec] = shape;
        for (; c->tasks.len > 0; c->tasks.len -= sizeof *open) {
            open = (ms_task *)(c->tasks.bytes + c->tasks.len) - 1;
            open->x &= shape;
            if (--open->count > 0) break;
            c->shape[open->a] = shape = open->x;
        }
    } while (c->tasks.len > 0 && c->status == TSU_OK && c->tasks.status == TSU_OK);
    if (c->tasks.status != TSU_OK && c->status == TSU_OK) c->status = c->tasks.status;
    c->tasks.len = 0;
}

/* ---- Clauses ---- */

/* Bindings at the end of the head that no guard asks for are made after the guards, and not at all if the body does not
 * ask either. There is room for two DONE behind the head. */
static void head_split(ms_compiler *c, ms_clause *clause, uint32_t end)
{
    ms_ins            *code = ms_code(c);
    const ms_variable *vars = ms_vars(c);
    uint32_t           late = end, skipped = 0, to, last;

    while (late > clause->head && code[late - 1].op == MS_BIND && !vars[code[late - 1].a].in_guard) late--;
    to = last = late + 1;
    for (uint32_t i = end; i > late; i--) code[i] = code[i - 1];            /* makes room for DONE */
    for (uint32_t i = late + 1; i <= end; i++) {
        ms_ins bind = code[i];
        if (!vars[bind.a].in_body) {
            skipped += bind.skip + 1;
            continue;
        }
        bind.skip += skipped;
        skipped = 0;
        code[to++] = bind;
    }
    clause->late = to > last;
    code[late] = code[to] = (ms_ins){.op = MS_DONE};
}

static void body_result(ms_compiler *c, ms_clause *clause)
{
    ms_ins *body = ms_code(c) + clause->body;

    clause->a = body->a;
    switch (body->op) {
    case MS_WHOLE:   clause->result = RESULT_OBJECT; break;
    case MS_VAR:     clause->result = RESULT_VAR; break;
    case MS_CONST:   clause->result = RESULT_CONST; break;
    case MS_ELEMENT: clause->result = RESULT_ELEMENT; break;
    default:         clause->result = RESULT_RUN; return;
    }
    if (body[1].op != MS_RETURN) clause->result = RESULT_RUN;
}

static void clause_compile(ms_compiler *c, ms_clause *clause)
{
    tsu_token t;
    uint32_t  head_end;

    clause->from = ms_offset(c, c->p);
    c->vars.len = 0;
    c->stack = c->reg = 0;
    c->whole = UINT64_MAX;
    slots_drop(c);
    tsu_term_next(&c->p, &t);
    if (t.kind != TSU_TUPLE || t.n != 3) {
        tsu_ms_fail(c, TSU_MS_NOT_A_CLAUSE, c->spec + clause->from, 0);
        return;
    }
    clause->head = ms_pc(c);
    tsu_ms_compile_head(c, clause);
    head_end = ms_pc(c);
    tsu_ms_emit(c, MS_DONE, 0, 0, 0, 0);
    tsu_ms_emit(c, MS_DONE, 0, 0, 0, 0);
    clause->guards = ms_pc(c);
    c->guard = true;
    if (c->status == TSU_OK) tsu_ms_compile_guards(c);
    clause->guarded = ms_pc(c) > clause->guards;
    tsu_ms_emit(c, MS_DONE, 0, 0, 0, 0);
    clause->body = ms_pc(c);
    c->guard = false;
    if (c->status == TSU_OK) tsu_ms_compile_body(c);
    if (ms_var_count(c) > c->vars_max) c->vars_max = ms_var_count(c);
    clause->vars = (uint32_t)(c->atoms.len / 8);
    clause->var_count = (uint32_t)ms_var_count(c);
    for (uint32_t i = 0; i < clause->var_count; i++) tsu_write_bytes(&c->atoms, &ms_vars(c)[i].atom, 8);
    if (c->atoms.status != TSU_OK && c->status == TSU_OK) c->status = c->atoms.status;
    if (c->code.status != TSU_OK && c->status == TSU_OK) c->status = c->code.status;
    if (c->consts.status != TSU_OK && c->status == TSU_OK) c->status = c->consts.status;
    if (c->consts.len > UINT32_MAX && c->status == TSU_OK) c->status = TSU_LIMIT;
    if (c->status != TSU_OK) return;
    head_split(c, clause, head_end);
    body_result(c, clause);
}

/* ---- The whole ---- */

static size_t aligned(size_t n) { return (n + 15) & ~(size_t)15; }

static tsu_status program_make(const ms_compiler *c, const tsu_writer *clauses, const uint64_t *handles, size_t handle_count,
                               tsu_ms **out)
{
    size_t  at_clauses = aligned(sizeof(tsu_ms)), at_code = at_clauses + aligned(clauses->len);
    size_t  at_handles = at_code + aligned(c->code.len), at_atoms = at_handles + aligned(handle_count * 8);
    size_t  at_consts = at_atoms + aligned(c->atoms.len);
    size_t  bytes = at_consts + c->consts.len;
    tsu_ms *ms = tsu_env_alloc(bytes);

    if (ms == NULL) return TSU_NOMEM;
    ms->bytes = bytes;
    ms->clause_count = clauses->len / sizeof(ms_clause);
    ms->spec_len = c->spec_len;
    ms->handle_count = handle_count;
    ms->vars_max = c->vars_max;
    ms->stack_max = c->stack_max;
    ms->regs_max = c->regs_max;
    ms->clause = (ms_clause *)((uint8_t *)ms + at_clauses);
    ms->code = (ms_ins *)((uint8_t *)ms + at_code);
    ms->handle = (uint64_t *)((uint8_t *)ms + at_handles);
    ms->atom = (uint64_t *)((uint8_t *)ms + at_atoms);
    ms->consts = (uint8_t *)ms + at_consts;
    memcpy(ms->clause, clauses->bytes, clauses->len);
    memcpy(ms->code, c->code.bytes, c->code.len);
    if (handle_count > 0) memcpy(ms->handle, handles, handle_count * 8);
    if (c->atoms.len > 0) memcpy(ms->atom, c->atoms.bytes, c->atoms.len);
    memcpy(ms->consts, c->consts.bytes, c->consts.len);
    *out = ms;
    return TSU_OK;
}

static void clauses_compile(ms_compiler *c, tsu_writer *clauses)
{
    tsu_token t;
    ms_clause clause;

    c->p = c->spec;
    tsu_term_next(&c->p, &t);
    if (t.kind != TSU_LIST && t.kind != TSU_STRING) tsu_ms_fail(c, TSU_MS_NOT_A_LIST, c->spec, 0);
    else if (t.kind == TSU_LIST && t.flag) tsu_ms_fail(c, TSU_MS_IMPROPER_LIST, c->spec, 0);
    else if (t.kind == TSU_STRING) tsu_ms_fail(c, TSU_MS_NOT_A_CLAUSE, c->spec, 0);
    for (uint64_t i = 0; c->status == TSU_OK && i < t.n; i++) {
        c->error.clause = (size_t)i;
        memset(&clause, 0, sizeof clause);
        clause_compile(c, &clause);
        tsu_write_bytes(clauses, &clause, sizeof clause);
    }
    if (c->status == TSU_OK) c->status = clauses->status;
}

tsu_status tsu_ms_compile(const uint8_t *spec, size_t len, const uint64_t *handles, size_t handle_count, bool checked,
                          tsu_ms **out, tsu_ms_error *why)
{
    _Alignas(16) uint8_t near[6][1024];
    uint8_t              near_shape[512];
    ms_compiler          c;
    tsu_writer           clauses;

    memset(&c, 0, sizeof c);
    tsu_writer_init(&c.code, near[0], sizeof near[0]);
    tsu_writer_init(&c.consts, near[1], sizeof near[1]);
    tsu_writer_init(&c.vars, near[2], sizeof near[2]);
    tsu_writer_init(&c.tasks, near[3], sizeof near[3]);
    tsu_writer_init(&c.atoms, near[4], sizeof near[4]);
    tsu_writer_init(&clauses, near[5], sizeof near[5]);
    c.spec = spec;
    c.spec_len = len;
    c.handles = handle_count > 0;
    c.shape = near_shape;
    if (len > UINT32_MAX / 2) {
        c.status = TSU_LIMIT;
    } else if (!checked && tsu_term_validate(spec, len, false) != TSU_OK) {
        tsu_ms_fail(&c, TSU_MS_NOT_A_TERM, spec, 0);
    } else if (len > sizeof near_shape) {
        c.shape = tsu_env_alloc(len);
        if (c.shape == NULL) c.status = TSU_NOMEM;
    }
    if (c.status == TSU_OK) {
        tsu_write_bytes(&c.consts, spec, len);
        shapes_find(&c);
    }
    if (c.status == TSU_OK) clauses_compile(&c, &clauses);
    if (c.status == TSU_OK) c.status = program_make(&c, &clauses, handles, handle_count, out);
    if (why != NULL) *why = c.error;
    if (c.shape != near_shape && c.shape != NULL) tsu_env_free(c.shape, len);
    slots_drop(&c);
    tsu_writer_deinit(&clauses);
    tsu_writer_deinit(&c.atoms);
    tsu_writer_deinit(&c.tasks);
    tsu_writer_deinit(&c.vars);
    tsu_writer_deinit(&c.consts);
    tsu_writer_deinit(&c.code);
    return c.status;
}

void tsu_ms_destroy(tsu_ms *ms)
{
    if (ms == NULL) return;
    for (size_t i = 0; i < ms->handle_count; i++) tsu_codec.release(ms->handle[i]);
    tsu_env_free(ms, ms->bytes);
}

size_t tsu_ms_bytes(const tsu_ms *ms) { return ms->bytes; }

bool tsu_ms_is_of(const tsu_ms *ms, const uint8_t *spec, size_t len)
{
    return ms->spec_len == len && memcmp(ms->consts, spec, len) == 0;
}

const uint8_t *tsu_ms_source(const tsu_ms *ms) { return ms->handle_count == 0 ? ms->consts : NULL; }
