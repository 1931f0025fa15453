/* matchcall.c: the functions that a match specification may call. */
#include "term/arith.h"
#include "term/matchspec_inner.h"
#include "term/order.h"

/* By length of the name, name, arity. `since`: the first version of Erlang that has it here; 0: all that we run on. Special
 * forms have arity 0: the compiler looks at their operands. */
static const ms_function functions[] = {
    {"*", 2, FORM_ARITH, 0, TSU_MUL},
    {"+", 1, FORM_ARITH, 0, TSU_PLUS},
    {"+", 2, FORM_ARITH, 0, TSU_ADD},
    {"-", 1, FORM_ARITH, 0, TSU_NEGATE},
    {"-", 2, FORM_ARITH, 0, TSU_SUB},
    {"/", 2, FORM_ARITH, 0, TSU_FDIV},
    {"<", 2, FORM_COMPARE, 0, TSU_LT},
    {">", 2, FORM_COMPARE, 0, TSU_GT},
    {"/=", 2, FORM_COMPARE, 0, TSU_NE},
    {"=<", 2, FORM_COMPARE, 0, TSU_LE},
    {"==", 2, FORM_COMPARE, 0, TSU_EQ},
    {">=", 2, FORM_COMPARE, 0, TSU_GE},
    {"hd", 1, FORM_CALL, 0, CALL_HD},
    {"or", 0, FORM_OR, 0, 0},
    {"tl", 1, FORM_CALL, 0, CALL_TL},
    {"=/=", 2, FORM_COMPARE, 0, TSU_DIFFER},
    {"=:=", 2, FORM_COMPARE, 0, TSU_SAME},
    {"abs", 1, FORM_ARITH, 0, TSU_ABS},
    {"and", 0, FORM_AND, 0, 0},
    {"bor", 2, FORM_ARITH, 0, TSU_BOR},
    {"bsl", 2, FORM_ARITH, 0, TSU_BSL},
    {"bsr", 2, FORM_ARITH, 0, TSU_BSR},
    {"div", 2, FORM_ARITH, 0, TSU_DIV},
    {"max", 2, FORM_CALL, 26, CALL_MAX},
    {"min", 2, FORM_CALL, 26, CALL_MIN},
    {"not", 1, FORM_CALL, 0, CALL_NOT},
    {"rem", 2, FORM_ARITH, 0, TSU_REM},
    {"xor", 2, FORM_CALL, 0, CALL_XOR},
    {"band", 2, FORM_ARITH, 0, TSU_BAND},
    {"bnot", 1, FORM_ARITH, 0, TSU_BNOT},
    {"bxor", 2, FORM_ARITH, 0, TSU_BXOR},
    {"ceil", 1, FORM_ARITH, 26, TSU_CEIL},
    {"node", 0, FORM_CALL, 0, CALL_NODE},
    {"node", 1, FORM_CALL, 0, CALL_NODE_OF},
    {"self", 0, FORM_SELF, 0, CALL_SELF},
    {"size", 1, FORM_CALL, 0, CALL_SIZE},
    {"const", 0, FORM_CONST, 0, 0},
    {"float", 1, FORM_ARITH, 0, TSU_FLOAT_OF},
    {"floor", 1, FORM_ARITH, 26, TSU_FLOOR},
    {"round", 1, FORM_ARITH, 0, TSU_ROUND},
    {"trace", 0, FORM_TRACE, 0, 0},
    {"trunc", 1, FORM_ARITH, 0, TSU_TRUNC},
    {"caller", 0, FORM_TRACE, 0, 0},
    {"is_map", 1, FORM_TYPE, 0, TYPE_MAP},
    {"is_pid", 1, FORM_TYPE, 0, TYPE_PID},
    {"length", 1, FORM_CALL, 0, CALL_LENGTH},
    {"orelse", 0, FORM_ORELSE, 0, 0},
    {"silent", 0, FORM_TRACE, 0, 0},
    {"andalso", 0, FORM_ANDALSO, 0, 0},
    {"andthen", 0, FORM_ANDALSO, 0, 0},
    {"display", 0, FORM_TRACE, 0, 0},
    {"element", 2, FORM_CALL, 0, CALL_ELEMENT},
    {"get_tcw", 0, FORM_TRACE, 0, 0},
    {"is_atom", 1, FORM_TYPE, 0, TYPE_ATOM},
    {"is_list", 1, FORM_TYPE, 0, TYPE_LIST},
    {"is_port", 1, FORM_TYPE, 0, TYPE_PORT},
    {"map_get", 2, FORM_CALL, 0, CALL_MAP_GET},
    {"message", 0, FORM_TRACE, 0, 0},
    {"set_tcw", 0, FORM_TRACE, 0, 0},
    {"bit_size", 1, FORM_CALL, 0, CALL_BIT_SIZE},
    {"is_float", 1, FORM_TYPE, 0, TYPE_FLOAT},
    {"is_tuple", 1, FORM_TYPE, 0, TYPE_TUPLE},
    {"map_size", 1, FORM_CALL, 0, CALL_MAP_SIZE},
    {"byte_size", 1, FORM_CALL, 0, CALL_BYTE_SIZE},
    {"is_binary", 1, FORM_TYPE, 0, TYPE_BINARY},
    {"is_number", 1, FORM_TYPE, 0, TYPE_INTEGER | TYPE_FLOAT},
    {"is_record", 3, FORM_CALL, 0, CALL_IS_RECORD},
    {"is_boolean", 1, FORM_TYPE, 26, TYPE_BOOLEAN},
    {"is_integer", 1, FORM_TYPE, 0, TYPE_INTEGER},
    {"is_map_key", 2, FORM_CALL, 0, CALL_IS_MAP_KEY},
    {"tuple_size", 1, FORM_CALL, 26, CALL_TUPLE_SIZE},
    {"binary_part", 2, FORM_CALL, 0, CALL_BINARY_PART_PAIR},
    {"binary_part", 3, FORM_CALL, 0, CALL_BINARY_PART},
    {"is_function", 1, FORM_TYPE, 0, TYPE_FUNCTION},
    {"is_function", 2, FORM_CALL, 26, CALL_IS_FUNCTION},
    {"enable_trace", 0, FORM_TRACE, 0, 0},
    {"is_bitstring", 1, FORM_TYPE, 26, TYPE_BITSTRING},
    {"is_reference", 1, FORM_TYPE, 0, TYPE_REFERENCE},
    {"is_seq_trace", 0, FORM_TRACE, 0, 0},
    {"process_dump", 0, FORM_TRACE, 0, 0},
    {"return_trace", 0, FORM_TRACE, 0, 0},
    {"disable_trace", 0, FORM_TRACE, 0, 0},
    {"get_seq_token", 0, FORM_TRACE, 0, 0},
    {"set_seq_token", 0, FORM_TRACE, 0, 0},
    {"exception_trace", 0, FORM_TRACE, 0, 0},
};

static int function_order(const ms_function *f, const uint8_t *name, size_t len, size_t arity)
{
    size_t f_len = strlen(f->name);
    int    c;

    if (f_len != len) return f_len < len ? -1 : 1;
    c = memcmp(f->name, name, len);
    if (c != 0) return c;
    if (f->form >= FORM_CONST) return 0;
    return f->arity < arity ? -1 : f->arity > arity;
}

const ms_function *tsu_ms_function_find(const uint8_t *name, size_t len, size_t arity)
{
    size_t low = 0, high = sizeof functions / sizeof functions[0];

    while (low < high) {
        size_t middle = (low + high) / 2;
        int    c = function_order(&functions[middle], name, len, arity);

        if (c == 0) return &functions[middle];
        if (c < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* ---- Types and comparisons ---- */

const uint16_t tsu_ms_tag_types[256] = {
    [0 ... TSU_TAG_BIGNEG] = TYPE_INTEGER,
    [TSU_TAG_FLOAT] = TYPE_FLOAT,
    [TSU_TAG_ATOM4 ... TSU_TAG_ATOM8] = TYPE_ATOM,
    [TSU_TAG_NIL] = TYPE_LIST,
    [TSU_TAG_BINARY] = TYPE_BINARY | TYPE_BITSTRING,
    [TSU_TAG_BITSTRING] = TYPE_BITSTRING,
    [TSU_TAG_BLOB] = TYPE_BINARY | TYPE_BITSTRING,
    [TSU_TAG_STRING ... TSU_TAG_IMPROPER] = TYPE_LIST,
    [TSU_TAG_TUPLE] = TYPE_TUPLE,
    [TSU_TAG_MAP] = TYPE_MAP,
    [TSU_TAG_PID] = TYPE_PID,
    [TSU_TAG_PORT] = TYPE_PORT,
    [TSU_TAG_REF ... TSU_TAG_REF_LONG] = TYPE_REFERENCE,
    [TSU_TAG_PID_EXT] = TYPE_PID,
    [TSU_TAG_PORT_EXT] = TYPE_PORT,
    [TSU_TAG_REF_EXT] = TYPE_REFERENCE,
    [TSU_TAG_FUN ... TSU_TAG_EXPORT] = TYPE_FUNCTION,
    [TSU_TAG_BINARY0 ... TSU_TAG_BINARY0 + 31] = TYPE_BINARY | TYPE_BITSTRING,
    [TSU_TAG_TUPLE0 ... TSU_TAG_TUPLE0 + 15] = TYPE_TUPLE
};

bool tsu_ms_has_type(const uint8_t *term, unsigned types)
{
    if (types & TYPE_BOOLEAN) return ms_is_true(term) || ms_is_false(term);
    return (tsu_ms_tag_types[*term] & types) != 0;
}

bool tsu_ms_holds(tsu_ms_compare op, const uint8_t *a, const uint8_t *b)
{
    switch (op) {
    case TSU_LT:     return tsu_term_compare(a, b) < 0;
    case TSU_LE:     return tsu_term_compare(a, b) <= 0;
    case TSU_GT:     return tsu_term_compare(a, b) > 0;
    case TSU_GE:     return tsu_term_compare(a, b) >= 0;
    case TSU_EQ:     return tsu_term_compare(a, b) == 0;
    case TSU_NE:     return tsu_term_compare(a, b) != 0;
    case TSU_SAME:   return tsu_term_same(a, b);
    case TSU_DIFFER: break;
    }
    return !tsu_term_same(a, b);
}

/* ---- The functions ---- */

#define SMALL_MAX (((int64_t)1 << 59) - 1)      /* a larger one is a bignum to the VM, and no index */

static bool small(const uint8_t *term, int64_t *out)
{
    return tsu_term_int64(term, out) && *out <= SMALL_MAX && *out >= -SMALL_MAX - 1;
}

static const uint8_t *new_int(tsu_ms_scratch *s, uint64_t v)
{
    uint8_t *p = tsu_ms_take(s, 9);

    if (p != NULL) tsu_int_put(p, (int64_t)v);
    return p;
}

static const uint8_t *new_atom(tsu_ms_scratch *s, uint64_t atom)
{
    uint8_t *p = tsu_ms_take(s, 9);

    if (p != NULL) tsu_atom_put(p, atom);
    return p;
}

static const uint8_t *tuple_element(const uint8_t *index, const uint8_t *tuple)
{
    int64_t   n;
    tsu_token t;

    tsu_term_next(&tuple, &t);
    if (t.kind != TSU_TUPLE || !small(index, &n) || n < 1 || (uint64_t)n > t.n) return NULL;
    while (--n > 0) tuple = tsu_term_end(tuple);
    return tuple;
}

/* Bits of a binary, bytes of which a bitstring has in whole. */
static bool is_bits(const tsu_token *t, uint64_t *bits)
{
    if (t->kind != TSU_BINARY && t->kind != TSU_BLOB && t->kind != TSU_BITSTRING) return false;
    *bits = t->kind == TSU_BITSTRING ? t->n : t->size * 8;
    return true;
}

static const uint8_t *size_of(tsu_ms_scratch *s, unsigned which, const uint8_t *term)
{
    uint64_t  bits;
    tsu_token t;

    tsu_term_next(&term, &t);
    switch (which) {
    case CALL_LENGTH:
        if (t.kind == TSU_NIL) return new_int(s, 0);
        if (t.kind == TSU_STRING) return new_int(s, t.size);
        return t.kind == TSU_LIST && !t.flag ? new_int(s, t.n) : NULL;
    case CALL_MAP_SIZE:
        return t.kind == TSU_MAP ? new_int(s, t.n) : NULL;
    case CALL_TUPLE_SIZE:
        return t.kind == TSU_TUPLE ? new_int(s, t.n) : NULL;
    default:
        if (which == CALL_SIZE && t.kind == TSU_TUPLE) return new_int(s, t.n);
        if (!is_bits(&t, &bits)) return NULL;
        if (which == CALL_BIT_SIZE) return new_int(s, bits);
        return new_int(s, which == CALL_SIZE ? bits / 8 : (bits + 7) / 8);
    }
}

static const uint8_t *list_part(tsu_ms_scratch *s, bool head, const uint8_t *list)
{
    const uint8_t *p = list;
    size_t         from = s->out.len;
    tsu_token      t;

    tsu_term_next(&p, &t);
    if (t.kind != TSU_STRING && t.kind != TSU_LIST) return NULL;
    if (head) return t.kind == TSU_LIST ? p : new_int(s, t.bytes[0]);
    tsu_ms_list_rest(list, 1, &s->out);
    return tsu_ms_take_written(s, from);
}

static const uint8_t *binary_part(tsu_ms_scratch *s, const uint8_t *binary, const uint8_t *at, const uint8_t *count)
{
    int64_t   start, n;
    uint64_t  bits;
    size_t    from = s->out.len;
    tsu_token t;

    tsu_term_next(&binary, &t);
    if (!is_bits(&t, &bits) || !small(at, &start) || !small(count, &n)) return NULL;
    if (t.kind == TSU_BITSTRING && tsu_match.otp >= 27) return NULL;       /* before, of its whole bytes */
    if (n < 0) {
        start += n;
        n = -n;
    }
    if (start < 0 || (uint64_t)(start + n) > bits / 8) return NULL;
    tsu_write_binary(&s->out, t.kind == TSU_BITSTRING ? t.bytes + start : tsu_token_bytes(&t) + start, (size_t)n);
    return tsu_ms_take_written(s, from);
}

static const uint8_t *node_named(tsu_ms_scratch *s, const uint8_t *text, size_t len)
{
    uint64_t atom;

    return tsu_match.atom_of(text, len, &atom) ? new_atom(s, atom) : NULL;
}

static const uint8_t *node_of(tsu_ms_scratch *s, const uint8_t *term)
{
    size_t         len;
    uint32_t       creation;
    const uint8_t *text;
    tsu_token      t = {.kind = TSU_PID};

    if (term != NULL) tsu_term_next(&term, &t);
    switch (t.kind) {
    case TSU_PID: case TSU_PORT: case TSU_REF:
        text = tsu_codec.node(&len, &creation);
        return node_named(s, text, len);
    case TSU_PID_EXT: case TSU_PORT_EXT: case TSU_REF_EXT:
        return node_named(s, t.bytes + 2, (size_t)(t.bytes[0] | t.bytes[1] << 8));
    default:
        return NULL;
    }
}

static const uint8_t *is_record(tsu_ms_scratch *s, const uint8_t *term, const uint8_t *tag, const uint8_t *size)
{
    int64_t   n;
    tsu_token t;

    if (!(tsu_ms_tag_types[*tag] & TYPE_ATOM) || !small(size, &n)) return NULL;
    tsu_term_next(&term, &t);
    return tsu_ms_boolean(s, t.kind == TSU_TUPLE && n > 0 && t.n == (uint64_t)n && tsu_term_same(term, tag));
}

static const uint8_t *is_function(tsu_ms_scratch *s, const uint8_t *term, const uint8_t *arity)
{
    const uint8_t *p = arity;
    int64_t        n = -1;
    tsu_token      t;

    tsu_term_next(&p, &t);
    if (t.kind != TSU_INT && t.kind != TSU_BIG) return NULL;
    if ((t.kind == TSU_INT && t.i < 0) || (t.kind == TSU_BIG && t.flag)) return NULL;
    if (t.kind == TSU_INT) n = t.i;
    tsu_term_next(&term, &t);
    return tsu_ms_boolean(s, (t.kind == TSU_FUN || t.kind == TSU_EXPORT) && t.bytes[0] == n);
}

const uint8_t *tsu_ms_call(tsu_ms_scratch *s, unsigned which, const uint8_t *const *args)
{
    const uint8_t *p, *q;
    tsu_token      t;

    switch (which) {
    case CALL_NOT:
        return tsu_ms_has_type(args[0], TYPE_BOOLEAN) ? tsu_ms_boolean(s, ms_is_false(args[0])) : NULL;
    case CALL_XOR:
        if (!tsu_ms_has_type(args[0], TYPE_BOOLEAN) || !tsu_ms_has_type(args[1], TYPE_BOOLEAN)) return NULL;
        return tsu_ms_boolean(s, ms_is_true(args[0]) != ms_is_true(args[1]));
    case CALL_ELEMENT:
        return tuple_element(args[0], args[1]);
    case CALL_HD: case CALL_TL:
        return list_part(s, which == CALL_HD, args[0]);
    case CALL_LENGTH: case CALL_SIZE: case CALL_BYTE_SIZE: case CALL_BIT_SIZE: case CALL_TUPLE_SIZE: case CALL_MAP_SIZE:
        return size_of(s, which, args[0]);
    case CALL_MAP_GET:
        return *args[1] == TSU_TAG_MAP ? tsu_ms_map_find(s, args[1], args[0]) : NULL;
    case CALL_IS_MAP_KEY:
        return *args[1] == TSU_TAG_MAP ? tsu_ms_boolean(s, tsu_ms_map_find(s, args[1], args[0]) != NULL) : NULL;
    case CALL_IS_RECORD:
        return is_record(s, args[0], args[1], args[2]);
    case CALL_IS_FUNCTION:
        return is_function(s, args[0], args[1]);
    case CALL_NODE:
        return node_of(s, NULL);
    case CALL_NODE_OF:
        return node_of(s, args[0]);
    case CALL_SELF:
        return s->self;
    case CALL_BINARY_PART:
        return binary_part(s, args[0], args[1], args[2]);
    case CALL_BINARY_PART_PAIR:
        p = args[1];
        tsu_term_next(&p, &t);
        if (t.kind != TSU_TUPLE || t.n != 2) return NULL;
        q = tsu_term_end(p);
        return binary_part(s, args[0], p, q);
    case CALL_MAX:
        return tsu_term_compare(args[0], args[1]) >= 0 ? args[0] : args[1];
    case CALL_MIN:
        return tsu_term_compare(args[0], args[1]) <= 0 ? args[0] : args[1];
    default:
        UNREACHABLE();
    }
}
