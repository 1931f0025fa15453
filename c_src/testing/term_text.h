/* term_text.h: terms from and to text, as Erlang writes them, for tests: integers up to 64 bits, floats, atoms, strings, lists,
 * tuples, maps, <<"binaries">>. Atoms have numbers in the order in which they come up.
 */
#ifndef TSU_TESTING_TERM_TEXT_H
#define TSU_TESTING_TERM_TEXT_H

#include "term/matchspec_inner.h"
#include "testing/harness.h"

#define TEXT_ATOMS_MAX 4096
static struct { uint8_t text[64]; size_t len; } text_atoms[TEXT_ATOMS_MAX];
static size_t text_atom_count;

static bool text_atom(const uint8_t *text, size_t len, uint64_t *atom)
{
    for (*atom = 0; *atom < text_atom_count; ++*atom)
        if (text_atoms[*atom].len == len && memcmp(text_atoms[*atom].text, text, len) == 0) return true;
    CHECK(text_atom_count < TEXT_ATOMS_MAX && len <= sizeof text_atoms[0].text);
    memcpy(text_atoms[text_atom_count].text, text, len);
    text_atoms[text_atom_count++].len = len;
    return true;
}

static uint64_t text_atom_named(const char *name)
{
    uint64_t atom;

    text_atom((const uint8_t *)name, strlen(name), &atom);
    return atom;
}

static const uint8_t *text_of_atom(uint64_t atom, size_t *len)
{
    *len = text_atoms[atom].len;
    return text_atoms[atom].text;
}

static const uint8_t *text_node(size_t *len, uint32_t *creation)
{
    *len = 3;
    *creation = 1;
    return (const uint8_t *)"a@b";
}

static void text_ignore(uint64_t handle) { (void)handle; }

/* Before anything else. */
static void text_begin(bool zero_signs_equal)
{
    tsu_codec = (tsu_codec_config){.zero_signs_equal = zero_signs_equal, .atom_text = text_of_atom, .node = text_node,
                                   .retain = text_ignore, .release = text_ignore};
    tsu_match = (tsu_match_config){.otp = 27, .atom_true = text_atom_named("true"), .atom_false = text_atom_named("false"),
                                   .atom_exit = text_atom_named("EXIT"), .atom_of = text_atom};
}

static void text_space(const char **p) { while (**p == ' ' || **p == ',' || **p == '\n') ++*p; }

static void text_read(const char **p, tsu_writer *w);

/* Terms up to `close`; how many. A tail behind '|' is not counted. */
static unsigned text_read_several(const char **p, tsu_writer *w, char close, bool *tail)
{
    unsigned n = 0;

    *tail = false;
    for (text_space(p); **p != close; text_space(p)) {
        if (**p == '|') {
            ++*p;
            *tail = true;
            n--;
        }
        text_read(p, w);
        n++;
    }
    ++*p;
    return n;
}

static void text_read_map(const char **p, tsu_writer *w)
{
    tsu_map_mark marks[100];
    size_t       at = w->len, n = 0;
    bool         key = w->key;

    for (text_space(p); **p != '}'; text_space(p)) {
        marks[n++].at = w->len;
        w->key = true;
        text_read(p, w);
        w->key = key;
        text_space(p);
        CHECK(strncmp(*p, "=>", 2) == 0);
        *p += 2;
        text_read(p, w);
    }
    ++*p;
    tsu_ms_pairs_close(w, at, marks, n);
}

static void text_read(const char **p, tsu_writer *w)
{
    size_t      at = w->len, len;
    const char *q;
    char       *end;
    uint64_t    atom;
    unsigned    n;
    bool        tail;

    text_space(p);
    if (**p == '{') {
        ++*p;
        n = text_read_several(p, w, '}', &tail);
        CHECK(n < 16 && tsu_writer_room(w, 1));
        memmove(w->bytes + at + 1, w->bytes + at, w->len - at);
        w->bytes[at] = (uint8_t)(TSU_TAG_TUPLE0 + n);
        w->len++;
    } else if (**p == '[') {
        ++*p;
        n = text_read_several(p, w, ']', &tail);
        tsu_ms_list_close(w, at, n, tail);
    } else if (strncmp(*p, "#{", 2) == 0) {
        *p += 2;
        text_read_map(p, w);
    } else if (strncmp(*p, "<<\"", 3) == 0) {
        q = strchr(*p += 3, '"');
        tsu_write_binary(w, *p, (size_t)(q - *p));
        *p = q + 3;
    } else if (**p == '"') {
        q = strchr(++*p, '"');
        tsu_write_string(w, (const uint8_t *)*p, (size_t)(q - *p));
        *p = q + 1;
    } else if (**p == '\'') {
        q = strchr(++*p, '\'');
        text_atom((const uint8_t *)*p, (size_t)(q - *p), &atom);
        tsu_write_atom(w, atom);
        *p = q + 1;
    } else if (**p == '-' || (**p >= '0' && **p <= '9')) {
        len = strcspn(*p, " ,|]}=\n");
        if (memchr(*p, '.', len) != NULL) tsu_write_float(w, strtod(*p, &end));
        else tsu_write_int(w, strtoll(*p, &end, 10));
        *p = end;
    } else {
        len = strcspn(*p, " ,|]}=\n");
        CHECK(len > 0);
        text_atom((const uint8_t *)*p, len, &atom);
        tsu_write_atom(w, atom);
        *p += len;
    }
}

static size_t text_put(char *out, size_t at, const char *s, size_t len)
{
    CHECK(at + len < 4096);
    memcpy(out + at, s, len);
    out[at + len] = 0;
    return at + len;
}

/* The term at *p as text, without spaces. */
static TSU_TEST_UNUSED size_t text_write(const uint8_t **p, char *out, size_t at)
{
    char      buffer[64];
    tsu_token t;

    tsu_term_next(p, &t);
    switch (t.kind) {
    case TSU_INT:    snprintf(buffer, sizeof buffer, "%lld", (long long)t.i); break;
    case TSU_FLOAT:  snprintf(buffer, sizeof buffer, "%.17g%s", t.f, t.f == (double)(long long)t.f ? ".0" : ""); break;
    case TSU_BIG:    snprintf(buffer, sizeof buffer, "%sbig%u", t.flag ? "-" : "", (unsigned)t.size); break;
    case TSU_NIL:    snprintf(buffer, sizeof buffer, "[]"); break;
    case TSU_LEAST:  snprintf(buffer, sizeof buffer, "least"); break;
    case TSU_MOST:   snprintf(buffer, sizeof buffer, "most"); break;
    case TSU_ATOM:   return text_put(out, at, (const char *)text_atoms[t.n].text, text_atoms[t.n].len);
    case TSU_STRING: case TSU_BINARY:
        at = text_put(out, at, t.kind == TSU_STRING ? "\"" : "<<\"", t.kind == TSU_STRING ? 1 : 3);
        at = text_put(out, at, (const char *)t.bytes, (size_t)t.size);
        return text_put(out, at, t.kind == TSU_STRING ? "\"" : "\">>", t.kind == TSU_STRING ? 1 : 3);
    case TSU_TUPLE: case TSU_LIST: case TSU_MAP:
        at = text_put(out, at, t.kind == TSU_TUPLE ? "{" : t.kind == TSU_LIST ? "[" : "#{", t.kind == TSU_MAP ? 2 : 1);
        for (uint64_t i = 0; i < t.children; i++) {
            const char *between = t.kind == TSU_MAP && i % 2 == 1 ? "=>" : t.kind == TSU_LIST && i == t.n ? "|" : ",";
            if (i > 0) at = text_put(out, at, between, strlen(between));
            at = text_write(p, out, at);
        }
        return text_put(out, at, t.kind == TSU_LIST ? "]" : "}", 1);
    default:         snprintf(buffer, sizeof buffer, "kind%u", t.kind); break;
    }
    return text_put(out, at, buffer, strlen(buffer));
}

/* A term, or an object, in a buffer of its own. */
typedef struct text_term { uint8_t bytes[2048]; tsu_writer w; } text_term;

static TSU_TEST_UNUSED const uint8_t *text_term_read(text_term *t, const char *text)
{
    tsu_writer_init(&t->w, t->bytes, sizeof t->bytes);
    text_read(&text, &t->w);
    text_space(&text);
    CHECK(*text == 0 && t->w.status == TSU_OK);
    return t->w.bytes;
}

static TSU_TEST_UNUSED const uint8_t *text_object_read(text_term *t, const char *text)
{
    tsu_object_mark mark;
    text_term       tuple;
    tsu_token       token;
    const uint8_t  *p = text_term_read(&tuple, text);

    tsu_writer_init(&t->w, t->bytes, sizeof t->bytes);
    tsu_term_next(&p, &token);
    tsu_write_object_begin(&t->w, (size_t)token.n, &mark);
    tsu_write_bytes(&t->w, p, (size_t)(tuple.w.bytes + tuple.w.len - p));
    tsu_write_object_end(&t->w, (size_t)token.n, &mark);
    tsu_writer_deinit(&tuple.w);
    return t->w.bytes;
}

#endif
