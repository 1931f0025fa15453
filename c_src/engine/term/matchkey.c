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

    if (ms->clause[clause].arity == ARITY_ANY) return TSU_MS_KEY_ANY;
    if (ms->clause[clause].arity < (int64_t)keypos) return TSU_MS_KEY_NONE;
    p = head = tuple_at(head, keypos);
    tsu_term_next(&p, &t);
    if (tsu_ms_is_open(&t)) return TSU_MS_KEY_ANY;
    *term = head;
    *len = tsu_term_len(head);
    return is_ground(head) ? TSU_MS_KEY_IS : TSU_MS_KEY_PATTERN;
}

/* ---- Guards ---- */

/* The variable that the head binds to the key, or MS_NO_VARIABLE. */
static uint32_t key_variable(const tsu_ms *ms, size_t clause, size_t keypos)
{
    const ms_clause *c = &ms->clause[clause];
    const uint8_t   *key;
    tsu_token        t;

    if (c->arity < (int64_t)keypos) return MS_NO_VARIABLE;
    key = tuple_at(clause_head(ms, clause), keypos);
    tsu_term_next(&key, &t);
    for (uint32_t v = 0; v < c->var_count && t.kind == TSU_ATOM; v++)
        if (ms->atom[c->vars + v] == t.n) return v;
    return MS_NO_VARIABLE;
}

/* {Op, {element, KeyPos, '$_'}, Constant} or the other way round: four instructions, of which `i` is the first. */
static bool element_bound(const tsu_ms *ms, const ms_ins *i, size_t keypos, tsu_ms_bound *out)
{
    const ms_ins *constant = &i[1];
    bool          mirror = i->op == MS_CONST;

    if (mirror) constant = i;
    if (constant->op != MS_CONST || i[mirror].op != MS_ELEMENT || i[mirror].a != keypos) return false;
    if (i[2].op != MS_COMPARE || i[3].op != MS_IF_TRUE) return false;
    out->op = (tsu_ms_compare)i[2].x;
    if (mirror) out->op = ms_mirrored(out->op);
    out->term = ms->consts + constant->a;
    return true;
}

bool tsu_ms_clause_bound(const tsu_ms *ms, size_t clause, size_t keypos, size_t *at, tsu_ms_bound *out)
{
    const ms_ins *first = ms->code + ms->clause[clause].guards, *i = first + *at;
    uint32_t      v = key_variable(ms, clause, keypos);

    for (; i->op != MS_DONE; i++) {
        bool begins = i == first || (i[-1].op >= MS_IF_INT && i[-1].op <= MS_IF_TRUE);

        *at = (size_t)(i - first) + 1;
        out->term = NULL;
        if (i->op == MS_IF_INT && i->a == v) {
            out->op = (tsu_ms_compare)i->x;
            out->i = i->i;
            return true;
        }
        if (i->op == MS_IF && i->y == RIGHT_CONST && i->a == v) {
            out->op = (tsu_ms_compare)i->x;
            out->term = ms->consts + i->b;
            return true;
        }
        if (begins && (i->op == MS_ELEMENT || i->op == MS_CONST) && element_bound(ms, i, keypos, out)) return true;
    }
    return false;
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
