/* fuzz_matchspec.c: specifications and objects out of any bytes: either the bytes themselves, or terms that are made as the bytes
 * say. What passes the checkers is compiled, planned and run; what comes out has to be a well-formed term, and what a plan leaves
 * out must not match. */
#include "term/matchplan.h"
#include "term/matchspec_inner.h"
#include "testing/fuzz_blobs.h"

/* Atoms by number: names that mean something, and variables. */
static const char *const names[] = {
    "true", "false", "EXIT", "_", "$_", "$$", "$0", "$1", "$2", "$3", "a", "const", "and", "or", "andalso", "orelse", "not", "xor", "is_atom",
    "is_integer", "is_list", "is_record", "is_function", "is_map_key", "element", "hd", "tl", "length", "size", "map_get", "map_size", "node",
    "self", "round", "trunc", "float", "floor", "ceil", "abs", "bit_size", "byte_size", "binary_part", "+", "-", "*", "/", "div", "rem", "band",
    "bor", "bxor", "bnot", "bsl", "bsr", ">", "<", "=<", "==", "=:=", "=/=", "max", "min", "message", "is_boolean", "tuple_size"
};
#define NAMES (sizeof names / sizeof names[0])

static const uint8_t *text_of(uint64_t atom, size_t *len)
{
    const char *name = names[atom % NAMES];

    *len = strlen(name);
    return (const uint8_t *)name;
}

static const uint8_t *node_of(size_t *len, uint32_t *creation)
{
    *len = 1;
    *creation = 1;
    return (const uint8_t *)"a";
}

static bool atom_of(const uint8_t *text, size_t len, uint64_t *atom)
{
    for (*atom = 0; *atom < NAMES; ++*atom)
        if (strlen(names[*atom]) == len && memcmp(names[*atom], text, len) == 0) return true;
    return false;
}

/* No blob larger than what blob_of has, and no integer that takes long to multiply; atoms have one number to a text. */
static bool usable(const uint8_t *p, const uint8_t *end)
{
    tsu_token t;

    while (p < end) {
        tsu_term_next(&p, &t);
        if (t.kind == TSU_BLOB && t.size > BLOB_MAX) return false;
        if (t.kind == TSU_BIG && t.size > 64) return false;
        if (t.kind == TSU_ATOM && t.n >= NAMES) return false;
    }
    return true;
}

static void run_on(const tsu_ms *ms, tsu_ms_scratch *s, const uint8_t *object)
{
    tsu_ms_result r, again;
    tsu_plan     *plan;
    size_t        len;

    CHECK(tsu_ms_run(ms, s, object, &r) == TSU_OK);
    if (r.outcome == TSU_MS_TERM) CHECK(tsu_term_validate(r.term, tsu_term_len(r.term), false) == TSU_OK);
    CHECK(tsu_ms_run(ms, s, object, &again) == TSU_OK);
    CHECK(r.outcome == again.outcome);
    for (size_t keypos = 1; keypos <= 2 && keypos <= tsu_object_arity(object); keypos++) {
        const uint8_t *key = tsu_object_key(object, keypos, &len);

        if (tsu_term_validate(key, len, true) != TSU_OK) continue;
        for (int ordered = 0; ordered < 2; ordered++) {
            CHECK(tsu_plan_create(ms, keypos, ordered, &plan) == TSU_OK);
            if (!tsu_plan_covers(plan, key)) CHECK(r.outcome == TSU_MS_NO_MATCH);
            tsu_plan_destroy(plan);
        }
    }
    for (size_t keypos = 1; keypos <= 3; keypos++)
        for (size_t k = 0; k < tsu_ms_clauses(ms); k++) tsu_ms_clause_keeps_key(ms, k, keypos);
}

/* ---- Terms out of bytes ---- */

typedef struct source { const uint8_t *p, *end; } source;

static unsigned next(source *in, unsigned below) { return in->p < in->end ? *in->p++ % below : 0; }

enum { VALUE, PATTERN, EXPRESSION };

static void make(source *in, tsu_writer *w, int what, unsigned depth);

static void make_name(source *in, tsu_writer *w, unsigned first, unsigned count) { tsu_write_atom(w, first + next(in, count)); }

static void make_list(source *in, tsu_writer *w, int what, unsigned depth)
{
    size_t   at = w->len;
    unsigned n = 1 + next(in, 4);
    bool     tail = next(in, 3) == 0;

    for (unsigned i = 0; i < n + tail; i++) make(in, w, what, depth - 1);
    tsu_ms_list_close(w, at, n, tail);
}

static void make_map(source *in, tsu_writer *w, int what, unsigned depth)
{
    tsu_map_mark marks[5];
    size_t       at = w->len;
    unsigned     n = next(in, 5);
    bool         key = w->key;

    w->key = true;                      /* of the values, too: a pair may go, and its handles would stay */
    for (unsigned i = 0; i < n; i++) {
        marks[i].at = w->len;
        make(in, w, what == EXPRESSION ? EXPRESSION : VALUE, depth - 1);
        tsu_ms_key_close(w, marks[i].at);
        make(in, w, what, depth - 1);
    }
    tsu_ms_pairs_close(w, at, marks, n);
    w->key = key;
}

static void make_tuple(source *in, tsu_writer *w, int what, unsigned depth, unsigned n)
{
    tsu_write_tuple_begin(w, n);
    for (unsigned i = 0; i < n; i++) make(in, w, what, depth - 1);
}

static void make_leaf(source *in, tsu_writer *w)
{
    static const double floats[] = {0.0, -0.0, 1.0, 1.5, 1e300, -9223372036854775808.0};
    uint8_t             bytes[64];
    unsigned            n;

    switch (next(in, 8)) {
    case 0: tsu_write_nil(w); break;
    case 1: make_name(in, w, 0, 12); break;
    case 2: tsu_write_float(w, floats[next(in, 6)]); break;
    case 3: tsu_write_int(w, (int64_t)((uint64_t)next(in, 256) << next(in, 64))); break;
    case 4:
        n = next(in, 40);
        for (unsigned i = 0; i < n; i++) bytes[i] = (uint8_t)next(in, 256);
        tsu_write_big(w, next(in, 2), bytes, n);
        break;
    case 5:
        memset(bytes, 0, sizeof bytes);
        bytes[0] = (uint8_t)next(in, 4);
        if (next(in, 2)) tsu_write_binary(w, bytes, next(in, 40));
        else tsu_write_bitstring(w, bytes, 1 + next(in, 40));
        break;
    case 6:
        if (!w->key) tsu_write_blob(w, 600 + next(in, 3), next(in, 2));
        else tsu_write_binary(w, blob_of(1), 600);
        break;
    default: tsu_write_int(w, next(in, 4)); break;
    }
}

static void make(source *in, tsu_writer *w, int what, unsigned depth)
{
    unsigned kind = next(in, what == VALUE ? 8 : 16), n;

    if (depth == 0 || in->p >= in->end) kind = kind < 8 || what == VALUE ? 0 : 8;
    switch (kind) {
    case 1: make_tuple(in, w, what, depth, next(in, 4)); break;          /* as an expression: mostly an error */
    case 2: make_list(in, w, what, depth); break;
    case 3: make_map(in, w, what, depth); break;
    case 8: case 9: case 10:
        make_name(in, w, 6, what == PATTERN ? 4 : 3);
        break;
    case 11: case 12: case 13: case 14: case 15:
        if (what == PATTERN) {
            if (kind == 11) tsu_write_atom(w, 3);
            else make_tuple(in, w, what, depth, 1 + next(in, 3));
            break;
        }
        if (kind == 11) {
            make_name(in, w, 4, 2);
        } else if (kind == 12) {
            tsu_write_tuple_begin(w, 1);
            make_tuple(in, w, what, depth, next(in, 4));
        } else {
            n = next(in, 4);
            tsu_write_tuple_begin(w, n + 1);
            make_name(in, w, 11, NAMES - 11);
            for (unsigned i = 0; i < n; i++) make(in, w, what, depth - 1);
        }
        break;
    default: make_leaf(in, w); break;
    }
}

static void make_expressions(source *in, tsu_writer *w, unsigned n)
{
    size_t at = w->len;

    for (unsigned i = 0; i < n; i++) make(in, w, EXPRESSION, 5);
    tsu_ms_list_close(w, at, n, false);
}

static void make_specification(source *in, tsu_writer *w)
{
    unsigned clauses = 1 + next(in, 2), n;

    tsu_write_list_begin(w, clauses, false);
    for (unsigned i = 0; i < clauses; i++) {
        tsu_write_tuple_begin(w, 3);
        n = next(in, 8);
        if (n == 0) make(in, w, PATTERN, 3);
        else make_tuple(in, w, PATTERN, 4, 1 + n % 3);
        make_expressions(in, w, next(in, 3));
        make_expressions(in, w, 1 + next(in, 2));
    }
}

static void make_object(source *in, tsu_writer *w)
{
    unsigned        n = 1 + next(in, 3);
    tsu_object_mark mark;

    tsu_write_object_begin(w, n, &mark);
    for (unsigned i = 0; i < n; i++) make(in, w, VALUE, 4);
    tsu_write_object_end(w, n, &mark);
}

static void made_terms(const uint8_t *data, size_t size)
{
    static const uint8_t self[9] = {TSU_TAG_PID, 1};
    source               in = {data, data + size};
    tsu_writer           spec, object;
    tsu_ms_scratch       s;
    tsu_ms              *ms;

    tsu_writer_init(&spec, NULL, 0);
    tsu_writer_init(&object, NULL, 0);
    make_specification(&in, &spec);
    CHECK(tsu_term_validate(spec.bytes, spec.len, false) == TSU_OK);
    if (tsu_ms_compile(spec.bytes, spec.len, spec.handles, spec.handle_count, true, &ms, NULL) == TSU_OK) {
        tsu_writer_give(&spec);
        tsu_ms_scratch_init(&s);
        s.self = self;
        CHECK(tsu_ms_scratch_for(&s, ms) == TSU_OK);
        for (int i = 0; i < 4; i++) {
            tsu_writer_reset(&object);
            make_object(&in, &object);
            CHECK(tsu_codec_validate(object.bytes, object.len) == TSU_OK);
            run_on(ms, &s, object.bytes);
        }
        tsu_ms_scratch_deinit(&s);
        tsu_ms_destroy(ms);
    }
    tsu_writer_deinit(&object);
    tsu_writer_deinit(&spec);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t self[9] = {TSU_TAG_PID, 1};
    const uint8_t       *p = data, *end = data + size;
    tsu_ms_scratch       s;
    tsu_ms              *ms;
    tsu_ms_error         why;
    size_t               len;

    tsu_codec = (tsu_codec_config){.zero_signs_equal = size % 2 == 0, .atom_text = text_of, .node = node_of,
                                   .blob_bytes = blob_of, .retain = handle_ignore, .release = handle_ignore};
    tsu_match = (tsu_match_config){.otp = size % 3 == 0 ? 25 : 27, .atom_true = 0, .atom_false = 1, .atom_exit = 2, .atom_of = atom_of};
    if (size < 3) return 0;
    if (*p++ % 8 != 0) {
        made_terms(p, size - 1);
        return 0;
    }
    /* The specification, behind its length in two bytes; then objects, which know theirs. */
    len = (size_t)(p[0] | p[1] << 8);
    p += 2;
    if (len > (size_t)(end - p)) len = (size_t)(end - p);
    if (tsu_term_validate(p, len, false) != TSU_OK) {
        CHECK(tsu_ms_compile(p, len, NULL, 0, false, &ms, &why) == TSU_BADARG);
        return 0;
    }
    if (!usable(p, p + len)) return 0;
    if (tsu_ms_compile(p, len, NULL, 0, false, &ms, &why) != TSU_OK) return 0;
    tsu_ms_scratch_init(&s);
    s.self = self;
    CHECK(tsu_ms_scratch_for(&s, ms) == TSU_OK);
    for (p += len; end - p > 2 && p[1] < 0x80 && p[1] >= 2 && p[1] <= end - p; p += p[1]) {
        size_t arity;

        if (tsu_codec_validate(p, p[1]) != TSU_OK) continue;
        if (usable(tsu_object_elements(p, &arity), tsu_object_elements_end(p))) run_on(ms, &s, p);
    }
    tsu_ms_scratch_deinit(&s);
    tsu_ms_destroy(ms);
    return 0;
}
