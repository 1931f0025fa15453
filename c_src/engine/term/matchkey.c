/* matchkey.c: what the clauses of a program say of keys. */
#include "term/matchspec_inner.h"

size_t tsu_ms_clauses(const tsu_ms *ms) { return ms->clause_count; }

bool tsu_ms_clause_is_true(const tsu_ms *ms, size_t clause)
{
    const ms_clause *c = &ms->clause[clause];

    return c->result == RESULT_CONST && ms_is_true(ms->consts + c->a);
}

bool tsu_ms_clause_is_object(const tsu_ms *ms, size_t clause) { return ms->clause[clause].result == RESULT_OBJECT; }

/* ---- Patterns ---- */

static const uint8_t *clause_head(const tsu_ms *ms, size_t clause)
{
    const uint8_t *p = ms->consts + ms->clause[clause].from;
    tsu_token      t;

    tsu_term_next(&p, &t);
    return p;
}

/* '_' or '$N' */
bool tsu_ms_is_open(const tsu_token *t)
{
    size_t         len;
    const uint8_t *text;
    uint64_t       number;

    if (t->kind != TSU_ATOM) return false;
    text = tsu_codec.atom_text(t->n, &len);
    return (len == 1 && text[0] == '_') || tsu_ms_variable_number(t->n, &number);
}

/* No variables, no maps. */
static bool is_ground(const uint8_t *p)
{
    const uint8_t *end = tsu_term_end(p), *at;
    tsu_token      t;

    while (p < end) {
        at = p;
        tsu_term_next(&p, &t);
        if (t.kind == TSU_MAP || tsu_ms_is_open(&t)) return false;
        if (t.kind == TSU_FUN || t.kind == TSU_EXPORT) p = tsu_term_end(at);
    }
    return true;
}

/* Element `pos` of a tuple, or NULL. */
static const uint8_t *tuple_at(const uint8_t *p, size_t pos)
{
    tsu_token t;

    tsu_term_next(&p, &t);
    if (t.kind != TSU_TUPLE || t.n < pos) return NULL;
    while (--pos > 0) p = tsu_term_end(p);
    return p;
}

tsu_ms_key tsu_ms_clause_key(const tsu_ms *ms, size_t clause, size_t keypos, const uint8_t **term, size_t *len)
{
    const uint8_t *head = clause_head(ms, clause), *p;
    tsu_token      t;

    *term = NULL;
    *len = 0;
    if (ms->clause[clause].arity == ARITY_ANY) return TSU_MS_KEY_ANY;
    if (ms->clause[clause].arity < (int64_t)keypos) return TSU_MS_KEY_NONE;
    p = head = tuple_at(head, keypos);
    *term = head;
    *len = tsu_term_len(head);
    tsu_term_next(&p, &t);
    if (tsu_ms_is_open(&t)) return TSU_MS_KEY_ANY;
    return is_ground(head) ? TSU_MS_KEY_IS : TSU_MS_KEY_PATTERN;
}

/* ---- Guards ---- */

uint32_t tsu_ms_clause_variable(const tsu_ms *ms, size_t clause, uint64_t atom)
{
    const ms_clause *c = &ms->clause[clause];

    for (uint32_t v = 0; v < c->var_count; v++)
        if (ms->atom[c->vars + v] == atom) return v;
    return MS_NO_VARIABLE;
}

/* What is known of a value on the machine's stack: a constant (term), what lies at a path, that many bytes (i) of the binary
 * there, how many elements the tuple there has, or a boolean: whether it is as the bound says. */
typedef struct known {
    enum { UNKNOWN, CONSTANT, AT_PATH, BYTES_AT, SIZE_AT, HOLDS } kind;
    tsu_ms_bound b;
} known;

#define KNOWN_MAX 8u

static bool step_add(tsu_ms_path *path, uint32_t step)
{
    if (path->count == TSU_MS_STEPS_MAX) return false;
    path->step[path->count++] = step;
    return true;
}

/* hd or tl. Items are counted from the list's beginning. */
static bool list_step_add(tsu_ms_path *path, bool item)
{
    uint32_t n = 0;

    if (path->count > 0 && (path->step[path->count - 1] & TSU_MS_TAIL) != 0) n = path->step[--path->count] - TSU_MS_TAIL;
    return n < TSU_MS_STEP_MAX && step_add(path, (item ? TSU_MS_ITEM : TSU_MS_TAIL) | (n + 1));
}

/* A call of the function with these arguments; its value takes the place of the first. */
static void known_call(known *args, ms_call which, unsigned count)
{
    known         *path = &args[which == CALL_ELEMENT ? 1 : 0], *constant = &args[count - 1];
    const uint8_t *p;
    int64_t        from, n = 0;
    tsu_token      t;
    bool           good = false;

    switch (which) {
    case CALL_ELEMENT:
        good = path->kind == AT_PATH && args[0].kind == CONSTANT && tsu_term_int64(args[0].b.term, &n) && n >= 1
               && n <= TSU_MS_STEP_MAX && step_add(&path->b.path, (uint32_t)n);
        break;
    case CALL_HD: case CALL_TL:
        good = path->kind == AT_PATH && list_step_add(&path->b.path, which == CALL_HD);
        break;
    case CALL_SIZE: case CALL_TUPLE_SIZE:
        good = path->kind == AT_PATH;
        path->kind = SIZE_AT;
        break;
    case CALL_BINARY_PART: case CALL_BINARY_PART_PAIR:
        if (path->kind != AT_PATH || constant->kind != CONSTANT) break;
        p = constant->b.term;
        if (which == CALL_BINARY_PART) {
            if (args[1].kind != CONSTANT || !tsu_term_int64(args[1].b.term, &from)) break;
        } else {
            tsu_term_next(&p, &t);
            if (t.kind != TSU_TUPLE || t.n != 2 || !tsu_term_int64(p, &from)) break;
            p = tsu_term_end(p);
        }
        good = from == 0 && tsu_term_int64(p, &n);
        path->kind = BYTES_AT;
        path->b.i = n;
        break;
    default:
        break;
    }
    if (path != args) args[0] = *path;
    if (!good) args[0].kind = UNKNOWN;
}

static void known_compare(known *args, tsu_ms_compare op)
{
    known         *path = &args[0];
    const uint8_t *constant = args[1].b.term, *p;
    bool           good = args[1].kind == CONSTANT, equal;
    tsu_token      t;

    if (args[0].kind == CONSTANT) {
        constant = args[0].b.term;
        path = &args[1];
        op = ms_mirrored(op);
        good = true;
    }
    equal = op == TSU_EQ || op == TSU_SAME;
    if (good && path->kind == AT_PATH) {
        path->b.says = TSU_MS_COMPARES;
    } else if (good && path->kind == BYTES_AT && equal) {
        p = constant;
        tsu_term_next(&p, &t);
        good = (t.kind == TSU_BINARY || t.kind == TSU_BLOB) && (uint64_t)path->b.i == t.size;
        path->b.says = TSU_MS_BEGINS;
    } else if (good && path->kind == SIZE_AT && equal) {
        good = tsu_term_int64(constant, &path->b.i);
        path->b.says = TSU_MS_SIZES;
    } else {
        good = false;
    }
    path->b.op = op;
    path->b.term = constant;
    if (path != args) args[0] = *path;
    args[0].kind = good ? HOLDS : UNKNOWN;
}

/* The guard that begins at `i`, of several instructions: goes behind it. True: `out` is what it says. */
static bool guard_read(const tsu_ms *ms, const ms_ins **i, size_t keypos, tsu_ms_bound *out)
{
    known    stack[KNOWN_MAX];
    unsigned n = 0;
    bool     lost = false;

    for (; (*i)->op != MS_IF_TRUE && (*i)->op != MS_DONE; ++*i) {
        const ms_ins *ins = *i;
        known        *top = &stack[n];

        if (lost) continue;
        switch (ins->op) {
        case MS_VAR: case MS_CONST: case MS_WHOLE: case MS_ELEMENT:
            lost = n == KNOWN_MAX;
            if (lost) break;
            n++;
            top->kind = ins->op == MS_CONST ? CONSTANT : AT_PATH;
            top->b = (tsu_ms_bound){.path = {.of = ins->op == MS_VAR ? ins->a : TSU_MS_OF_KEY}};
            if (ins->op == MS_CONST) top->b.term = ms->consts + ins->a;
            else if (ins->op == MS_WHOLE || (ins->op == MS_ELEMENT && ins->a != keypos)) top->kind = UNKNOWN;
            break;
        case MS_CALL: case MS_ARITH:
            lost = n < ins->y || n - ins->y == KNOWN_MAX;
            if (lost) break;
            n = n - ins->y + 1;
            if (ins->op == MS_CALL && ins->y > 0) known_call(&stack[n - 1], (ms_call)ins->x, ins->y);
            else stack[n - 1].kind = UNKNOWN;
            break;
        case MS_COMPARE:
            lost = n < 2;
            if (lost) break;
            n--;
            known_compare(&stack[n - 1], (tsu_ms_compare)ins->x);
            break;
        case MS_TYPE:
            lost = n < 1;
            if (lost) break;
            stack[n - 1].kind = stack[n - 1].kind == AT_PATH ? HOLDS : UNKNOWN;
            stack[n - 1].b.says = TSU_MS_TYPES;
            stack[n - 1].b.i = ins->b;
            break;
        default:
            lost = true;
            break;
        }
    }
    if ((*i)->op == MS_IF_TRUE) ++*i;
    if (lost || n != 1 || stack[0].kind != HOLDS) return false;
    *out = stack[0].b;
    return true;
}

bool tsu_ms_clause_bound(const tsu_ms *ms, size_t clause, size_t keypos, size_t *at, tsu_ms_bound *out)
{
    const ms_ins *first = ms->code + ms->clause[clause].guards, *i = first + *at;
    bool          found = false;

    while (!found && i->op != MS_DONE) {
        const ms_ins *ins = i;

        *out = (tsu_ms_bound){.path = {.of = ins->a}, .op = (tsu_ms_compare)ins->x};
        switch (ins->op) {
        case MS_IF_INT:
            out->i = ins->i;
            found = true;
            i++;
            break;
        case MS_IF:
            out->term = ms->consts + ins->b;
            found = ins->y == RIGHT_CONST;
            i++;
            break;
        case MS_IF_TYPE:
            out->says = TSU_MS_TYPES;
            out->i = ins->b;
            found = true;
            i++;
            break;
        case MS_NEVER:
            i++;
            break;
        default:
            found = guard_read(ms, &i, keypos, out);
            break;
        }
    }
    *at = (size_t)(i - first);
    return found;
}

/* ---- Bodies ---- */

static bool is_special(const uint8_t *atom)
{
    return tsu_ms_atom_is(atom, "_") || tsu_ms_atom_is(atom, "$_") || tsu_ms_atom_is(atom, "$$");
}

/* A key of a pattern that {const, Key} may repeat: ets takes '$_' and '$$' for no constants here. */
static bool is_constant_key(const uint8_t *key)
{
    const uint8_t *end = tsu_term_end(key), *at;
    tsu_token      t;

    if (!is_ground(key)) return false;
    while (key < end) {
        at = key;
        tsu_term_next(&key, &t);
        if (t.kind == TSU_FUN || t.kind == TSU_EXPORT) key = tsu_term_end(at);
        else if (t.kind == TSU_ATOM && is_special(at)) return false;
    }
    return true;
}

/* Whether the expression makes what the pattern matches, to be seen by reading both: variables stand for themselves,
 * tuples are written {{...}}, and constants may be {const, Term}. */
static bool pattern_is_made(const uint8_t *pattern, const uint8_t *expression)
{
    tsu_token t, u;

    for (uint64_t left = 1; left > 0;) {
        const uint8_t *at = pattern, *made = expression;

        left--;
        tsu_term_next(&pattern, &t);
        tsu_term_next(&expression, &u);
        if (u.kind == TSU_TUPLE && u.n == 2 && tsu_ms_atom_is(expression, "const")) {
            made = tsu_term_end(expression);
            if (!is_constant_key(at) || !tsu_term_same(at, made)) return false;
            pattern = tsu_term_end(at);
            expression = tsu_term_end(made);
        } else if (t.kind == TSU_TUPLE) {
            if (u.kind != TSU_TUPLE || u.n != 1) return false;
            tsu_term_next(&expression, &u);
            if (u.kind != TSU_TUPLE || u.n != t.n) return false;
            left += t.n;
        } else if (t.kind == TSU_LIST && u.kind == TSU_LIST) {
            if (t.n != u.n || t.flag != u.flag) return false;
            left += t.children;
        } else {
            if (t.kind == TSU_MAP || !tsu_term_same(at, made)) return false;
            if (t.kind == TSU_ATOM && is_special(at)) return false;
            pattern = tsu_term_end(at);
            expression = tsu_term_end(made);
        }
    }
    return true;
}

/* What {{...}} has to have where the key is. */
static bool key_is_kept(const uint8_t *key, const uint8_t *wanted, size_t keypos)
{
    const uint8_t *p = wanted;
    int64_t        n;
    tsu_token      t;

    if (pattern_is_made(key, wanted)) return true;
    tsu_term_next(&p, &t);
    if (t.kind != TSU_TUPLE) return false;
    if (t.n != 3 || !tsu_ms_atom_is(p, "element")) return false;
    p = tsu_term_end(p);
    return tsu_term_int64(p, &n) && n == (int64_t)keypos && tsu_ms_atom_is(tsu_term_end(p), "$_");
}

bool tsu_ms_clause_keeps_key(const tsu_ms *ms, size_t clause, size_t keypos)
{
    const uint8_t *head = clause_head(ms, clause), *p, *key, *made;
    tsu_token      t;

    p = tsu_term_end(tsu_term_end(head));
    tsu_term_next(&p, &t);
    if (t.kind != TSU_LIST || t.flag || t.n != 1) return false;
    if (tsu_ms_atom_is(p, "$_")) return true;
    if (ms->clause[clause].arity < (int64_t)keypos) return false;
    key = tuple_at(head, keypos);
    tsu_term_next(&p, &t);
    if (t.kind != TSU_TUPLE || t.n < 1) return false;
    if (t.n == 1) {
        made = *p >= TSU_TAG_TUPLE0 || *p == TSU_TAG_TUPLE ? tuple_at(p, keypos) : NULL;
        return made != NULL && key_is_kept(key, made, keypos);
    }
    if (t.n != 2 || !tsu_ms_atom_is(p, "const")) return false;
    made = tuple_at(tsu_term_end(p), keypos);
    return made != NULL && is_constant_key(key) && tsu_term_same(key, made);
}
