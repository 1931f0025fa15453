/* matchspec_inner.h: the program, and what the parts of the compiler and of the machine have in common.
 *
 * An instruction has an operation, three small fields and either two more or a whole number. Values are encoded terms, by
 * address; the machine has a stack of them, and a writer for terms that are built.
 */
#ifndef TSU_TERM_MATCHSPEC_INNER_H
#define TSU_TERM_MATCHSPEC_INNER_H

#include "term/matchspec.h"
#include "term/matchvm.h"

typedef enum ms_op {
    MS_DONE,
    /* Head: at the term at hand; afterwards behind it. First `skip` terms are passed over. */
    MS_BIND,            /* a: variable */
    MS_AGAIN,           /* a: variable, bound before */
    MS_IS,              /* a, b: constant; x: 1 if there may be a blob in it */
    MS_IS_BYTE,         /* a: constant of one byte */
    MS_SKIP,            /* only skips */
    MS_TUPLE,           /* a: arity */
    MS_LIST,            /* y: register; a: elements; x: what follows them, LIST_ENDS, LIST_TAIL, LIST_OPEN */
    MS_LIST_END,        /* y */
    MS_REST,            /* y; a: variable to which the rest of an open list is bound; UINT32_MAX: to none */
    MS_REST_AGAIN,      /* y; a: variable */
    MS_MAP,             /* y; a: pairs */
    MS_MAP_KEY,         /* y; a, b: constant */
    MS_MAP_END,         /* y */
    MS_NEVER,
    /* Guards: the clause fails if they are not true. */
    MS_IF_INT,          /* x: comparison; a: variable; i: the integer it is compared with */
    MS_IF,              /* x: comparison; y: which operands are constants; a, b: variables or constants */
    MS_IF_TYPE,         /* b: types; a: variable */
    MS_IF_TRUE,         /* pops */
    /* Expressions: push one value. */
    MS_VAR,             /* a */
    MS_CONST,           /* a, b */
    MS_WHOLE,           /* the object as a tuple */
    MS_ELEMENT,         /* a: of the object */
    MS_CALL,            /* x: function; y: arguments, which it pops */
    MS_COMPARE,         /* x: comparison, of two */
    MS_ARITH,           /* x: operation; y: operands */
    MS_TYPE,            /* b: types, of one */
    MS_AND, MS_OR,      /* a: operands, which it pops */
    MS_ANDALSO, MS_ORELSE,  /* a: how far to jump with the value at hand; else pops it */
    MS_BUILT,           /* y: register of MS_BUILD; pushes what was written since */
    /* Building: append to the writer. */
    MS_BUILD,           /* y */
    MS_PUT_CONST,       /* a, b */
    MS_PUT_VAR,         /* a */
    MS_PUT_WHOLE,
    MS_PUT_TUPLE,       /* a: arity; elements follow */
    MS_PUT_TOP,         /* pops */
    MS_PUT_LIST,        /* y */
    MS_PUT_LIST_END,    /* y; a: elements; x: 1 if a tail was written behind them */
    MS_PUT_PAIRS,       /* y; a: pairs */
    MS_PUT_PAIR,        /* y: the next pair begins */
    MS_PUT_KEY_END,     /* y: its key was written, which may not be clean */
    MS_PUT_PAIRS_END,   /* y; a */
    /* Ends of bodies. */
    MS_RETURN,          /* what is on the stack */
    MS_RETURN_BUILT     /* what was written */
} ms_op;

enum { LIST_ENDS, LIST_TAIL, LIST_OPEN };
enum { LEFT_CONST = 1, RIGHT_CONST = 2 };

typedef struct ms_ins {
    uint8_t  op, x;
    uint16_t y;
    uint32_t a;
    union {
        int64_t i;
        struct { uint32_t b, skip; };
    };
} ms_ins;
_Static_assert(sizeof(ms_ins) == 16, "an instruction");

/* Types as bits. */
enum {
    TYPE_INTEGER = 1, TYPE_FLOAT = 2, TYPE_ATOM = 4, TYPE_REFERENCE = 8, TYPE_FUNCTION = 16, TYPE_PORT = 32, TYPE_PID = 64,
    TYPE_TUPLE = 128, TYPE_MAP = 256, TYPE_LIST = 512, TYPE_BINARY = 1024, TYPE_BITSTRING = 2048, TYPE_BOOLEAN = 4096
};
extern const uint16_t tsu_ms_tag_types[256];

typedef enum ms_result_kind { RESULT_OBJECT, RESULT_VAR, RESULT_CONST, RESULT_ELEMENT, RESULT_RUN } ms_result_kind;

#define ARITY_ANY -1
#define ARITY_NEVER -2

typedef struct ms_clause {
    int64_t        arity;               /* of objects that may match, or ARITY_* */
    uint32_t       head, guards, body;  /* instructions */
    bool           late;                /* bindings follow the head's DONE */
    bool           guarded;
    uint8_t        result;              /* ms_result_kind */
    uint32_t       a;                   /* of the result's instruction */
    uint32_t       from;                /* where in the specification the clause begins */
    uint32_t       vars, var_count;     /* in tsu_ms.atom */
} ms_clause;

struct tsu_ms {
    size_t     bytes;                   /* of this allocation */
    size_t     clause_count, spec_len, handle_count;
    size_t     vars_max, stack_max, regs_max;
    ms_clause *clause;
    ms_ins    *code;
    uint64_t  *handle;
    uint64_t  *atom;                    /* of the variables of each clause */
    uint8_t   *consts;                  /* the specification, and what was made of it */
};

/* ---- The compiler ---- */

typedef struct ms_variable {
    uint64_t atom, number;
    bool     in_guard, in_body;
} ms_variable;

#define MS_WHOLE_VARIABLE UINT32_MAX    /* a variable that is the head itself */

/* What a term of the specification is; a byte for each byte of it, set where terms begin. */
enum { SHAPE_PLAIN = 1 /* as a pattern: a constant */, SHAPE_LITERAL = 2 /* as an expression: itself */ };

typedef struct ms_compiler {
    const uint8_t *spec;
    const uint8_t *p;                   /* what is read next */
    uint8_t       *shape;
    tsu_writer     code, consts, vars, tasks, atoms;    /* ms_ins; bytes; ms_variable; ms_task; uint64_t */
    size_t         spec_len, vars_max, stack, stack_max, reg, regs_max;
    uint32_t      *slot;                /* once they are many, a hash of the variables: 1 + number in vars */
    size_t         slot_count;
    uint64_t       whole, whole_number; /* the variable that is the head; UINT64_MAX: none is */
    size_t         dynamic;             /* instructions so far that look at the object */
    uint32_t       built_from;          /* where the last MS_BUILD is that has its MS_BUILT */
    bool           guard;
    bool           handles;             /* the specification has some */
    tsu_ms_error   error;
    tsu_status     status;
} ms_compiler;

static inline ms_ins *ms_code(const ms_compiler *c) { return (ms_ins *)c->code.bytes; }
static inline uint32_t ms_pc(const ms_compiler *c) { return (uint32_t)(c->code.len / sizeof(ms_ins)); }
static inline ms_variable *ms_vars(const ms_compiler *c) { return (ms_variable *)c->vars.bytes; }
static inline size_t ms_var_count(const ms_compiler *c) { return c->vars.len / sizeof(ms_variable); }
static inline uint32_t ms_offset(const ms_compiler *c, const uint8_t *p) { return (uint32_t)(p - c->spec); }
static inline uint8_t ms_shape(const ms_compiler *c, const uint8_t *p) { return c->shape[p - c->spec]; }

/* Appends an instruction and keeps count of the stack. */
void tsu_ms_emit(ms_compiler *c, ms_op op, unsigned x, unsigned y, uint32_t a, uint32_t b);
/* Appends a constant, and MS_CONST or MS_PUT_CONST for it. */
void tsu_ms_emit_const(ms_compiler *c, ms_op op, const uint8_t *term, size_t len);
uint16_t tsu_ms_reg_open(ms_compiler *c);
static inline void ms_reg_close(ms_compiler *c) { c->reg--; }
void tsu_ms_fail(ms_compiler *c, tsu_ms_cause cause, const uint8_t *at, uint64_t number);

/* True and N for '$N'. */
bool tsu_ms_variable_number(uint64_t atom, uint64_t *number);
/* Whether the term is the atom of that name. */
bool tsu_ms_atom_is(const uint8_t *term, const char *name);
/* The comparison with its sides exchanged. */
static inline tsu_ms_compare ms_mirrored(tsu_ms_compare op)
{
    switch (op) {
    case TSU_LT: return TSU_GT;
    case TSU_LE: return TSU_GE;
    case TSU_GT: return TSU_LT;
    case TSU_GE: return TSU_LE;
    default:     return op;
    }
}
/* The variable's number in `vars`, or MS_WHOLE_VARIABLE, or MS_NO_VARIABLE; bind: a new one if there is none. */
uint32_t tsu_ms_variable_find(ms_compiler *c, uint64_t atom, uint64_t number, bool bind);

/* Tasks of the two compilers: a stack of what is still to be done, so that nothing recurses. */
typedef struct ms_task {
    uint8_t  kind, x;
    uint16_t y;
    uint32_t a, count;
    uint32_t dynamic, from;
} ms_task;
void tsu_ms_task_push(ms_compiler *c, ms_task task);
bool tsu_ms_task_pop(ms_compiler *c, ms_task *task);

/* The head at c->p; the clause's arity. */
void tsu_ms_compile_head(ms_compiler *c, ms_clause *clause);
/* Guards, body at c->p. */
void tsu_ms_compile_guards(ms_compiler *c);
void tsu_ms_compile_body(ms_compiler *c);

/* ---- Functions (matchcall.c) ---- */

typedef enum ms_form {
    FORM_CALL, FORM_ARITH, FORM_COMPARE, FORM_TYPE, FORM_CONST, FORM_AND, FORM_OR, FORM_ANDALSO, FORM_ORELSE, FORM_SELF, FORM_TRACE
} ms_form;
typedef enum ms_call {
    CALL_NOT, CALL_XOR, CALL_ELEMENT, CALL_HD, CALL_TL, CALL_LENGTH, CALL_SIZE, CALL_BYTE_SIZE, CALL_BIT_SIZE, CALL_TUPLE_SIZE,
    CALL_MAP_SIZE, CALL_MAP_GET, CALL_IS_MAP_KEY, CALL_IS_RECORD, CALL_IS_FUNCTION, CALL_NODE, CALL_NODE_OF, CALL_SELF,
    CALL_BINARY_PART, CALL_BINARY_PART_PAIR, CALL_MAX, CALL_MIN
} ms_call;
typedef struct ms_function {
    const char *name;
    uint8_t     arity, form, since;
    uint16_t    which;                  /* what MS_CALL and the like have in x; TYPE: bits */
} ms_function;
/* By name and arity; special forms by name alone. NULL: there is none. */
const ms_function *tsu_ms_function_find(const uint8_t *name, size_t len, size_t arity);

/* The value of a call, or NULL: it fails. */
const uint8_t *tsu_ms_call(tsu_ms_scratch *s, unsigned which, const uint8_t *const *args);
bool tsu_ms_holds(tsu_ms_compare op, const uint8_t *a, const uint8_t *b);
bool tsu_ms_has_type(const uint8_t *term, unsigned types);

/* ---- The machine ---- */

/* Runs guards or a body (`catch`) until their end. NULL: not true; or no memory, see the scratch. */
const uint8_t *tsu_ms_execute(const ms_ins *i, const uint8_t *consts, tsu_ms_scratch *s, bool catch);
/* Memory until the next object; NULL sets the status. */
uint8_t *tsu_ms_take(tsu_ms_scratch *s, size_t bytes);
/* What was written to s->out since `from` goes there, and its end is `from` again. */
const uint8_t *tsu_ms_take_written(tsu_ms_scratch *s, size_t from);

static inline bool ms_is_atom(const uint8_t *term, uint64_t atom)
{
    return term[0] == TSU_TAG_ATOM4 && tsu_get32(term + 1) == (uint32_t)atom;
}
static inline bool ms_is_true(const uint8_t *term) { return ms_is_atom(term, tsu_match.atom_true); }
static inline bool ms_is_false(const uint8_t *term) { return ms_is_atom(term, tsu_match.atom_false); }
const uint8_t *tsu_ms_boolean(const tsu_ms_scratch *s, bool b);

/* ---- Building (matchbuild.c) ---- */

/* Behind `at`: n terms, and with `tail` one more. They become one list, canonical. */
void tsu_ms_list_close(tsu_writer *w, size_t at, uint64_t n, bool tail);
/* The list without its first n elements, of which it has that many. */
void tsu_ms_list_rest(const uint8_t *list, uint64_t n, tsu_writer *w);
/* Behind `at`: n pairs, which begin at the marks. They become one map; of two with one key the later stays. */
void tsu_ms_pairs_close(tsu_writer *w, size_t at, tsu_map_mark *marks, size_t n);
/* '_' or '$N' */
bool tsu_ms_is_open(const tsu_token *t);
/* Behind `at`: a term that becomes a key: no blobs, no -0.0 where it equals 0.0. */
void tsu_ms_key_close(tsu_writer *w, size_t at);
/* =:= of a constant of a pattern and any term. */
bool tsu_ms_constant_same(const uint8_t *constant, const uint8_t *term);
/* The value in a map of the key, or NULL. The key need not be clean. */
const uint8_t *tsu_ms_map_find(tsu_ms_scratch *s, const uint8_t *map, const uint8_t *key);

#endif
