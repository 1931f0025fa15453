/* matchspec_test.c: what the compiler refuses, and why. */
#include "term/matchspec.h"
#include "testing/term_text.h"

static tsu_ms_error why;

static tsu_status compile(const char *text)
{
    text_term     t;
    tsu_ms       *ms = NULL;
    const uint8_t *spec;
    tsu_status    s;

    text_begin(true);
    spec = text_term_read(&t, text);
    s = tsu_ms_compile(spec, t.w.len, NULL, 0, false, &ms, &why);
    if (s == TSU_OK) tsu_ms_destroy(ms);
    tsu_writer_deinit(&t.w);
    return s;
}

#define REFUSED(text_, cause_)                       \
    do {                                             \
        EXPECT_EQ(compile(text_), TSU_BADARG);       \
        EXPECT_EQ(why.cause, cause_);                \
    } while (0)

TEST(functions_are_in_the_order_in_which_they_are_sought)
{
    static const char *const known[] = {"*", "+", "-", "/", "<", ">", "/=", "=<", "==", ">=", "hd", "or", "tl", "=/=", "=:=", "abs", "and",
        "bor", "bsl", "bsr", "div", "max", "min", "not", "rem", "xor", "band", "bnot", "bxor", "ceil", "node", "self", "size", "const",
        "float", "floor", "round", "trace", "trunc", "caller", "is_map", "is_pid", "length", "orelse", "silent", "andalso", "andthen",
        "display", "element", "get_tcw", "is_atom", "is_list", "is_port", "map_get", "message", "set_tcw", "bit_size", "is_float",
        "is_tuple", "map_size", "byte_size", "is_binary", "is_number", "is_record", "is_boolean", "is_integer", "is_map_key",
        "tuple_size", "binary_part", "is_function", "enable_trace", "is_bitstring", "is_reference", "is_seq_trace", "process_dump",
        "return_trace", "disable_trace", "get_seq_token", "set_seq_token", "exception_trace"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        bool found = false;
        for (size_t arity = 0; arity <= 3; arity++)
            found = found || tsu_ms_function_find((const uint8_t *)known[i], strlen(known[i]), arity) != NULL;
        if (!found) TSU_TEST_FAILED("%s is not found", known[i]);
    }
    EXPECT(tsu_ms_function_find((const uint8_t *)"hd", 2, 2) == NULL);
    EXPECT(tsu_ms_function_find((const uint8_t *)"he", 2, 1) == NULL);
}

TEST(what_makes_no_sense_is_refused_with_its_cause)
{
    EXPECT_EQ(compile("[{'_', [], ['$_']}]"), TSU_OK);
    REFUSED("[]", TSU_MS_NOT_A_LIST);
    REFUSED("a", TSU_MS_NOT_A_LIST);
    REFUSED("\"ab\"", TSU_MS_NOT_A_CLAUSE);
    REFUSED("[{'_', []}]", TSU_MS_NOT_A_CLAUSE);
    REFUSED("[{'_', [], [1]} | a]", TSU_MS_IMPROPER_LIST);
    REFUSED("[{{#{'$1' => a}}, [], [1]}]", TSU_MS_VARIABLE_IN_KEY);
    REFUSED("[{{#{'_' => a}}, [], [1]}]", TSU_MS_UNDERSCORE_IN_KEY);
    REFUSED("[{'_', a, [1]}]", TSU_MS_NOT_A_LIST_OF_EXPRESSIONS);
    REFUSED("[{'_', [true | a], [1]}]", TSU_MS_IMPROPER_LIST);
    REFUSED("[{'_', [], []}]", TSU_MS_NO_BODY);
    REFUSED("[{'_', [], a}]", TSU_MS_NO_BODY);
    REFUSED("[{'_', [], [{message, 1}]}]", TSU_MS_WRONG_DIALECT);
    REFUSED("[{'_', [], [{const, 1, 2}]}]", TSU_MS_ARGUMENTS);
    REFUSED("[{'_', [{'and'}], [1]}]", TSU_MS_ARGUMENTS);
    REFUSED("[{'_', [], [{}]}]", TSU_MS_NEITHER_CALL_NOR_TUPLE);
    REFUSED("[{'$1', [], [{'$1'}]}]", TSU_MS_NEITHER_CALL_NOR_TUPLE);
    REFUSED("[{'_', [], [{no_such, 1}]}]", TSU_MS_NO_FUNCTION);
    EXPECT_EQ(why.number, 1);
    REFUSED("[{'_', [], [1]}, {{'$1'}, [], ['$2']}]", TSU_MS_UNBOUND);
    EXPECT_EQ(why.number, 2);
    EXPECT_EQ(why.clause, 1);
}

TEST(functions_of_later_versions_are_unknown_to_earlier_ones)
{
    text_term      t;
    tsu_ms        *ms;
    const uint8_t *spec;

    text_begin(true);
    spec = text_term_read(&t, "[{{'$1'}, [{is_boolean, '$1'}], [1]}]");
    tsu_match.otp = 25;
    EXPECT_EQ(tsu_ms_compile(spec, t.w.len, NULL, 0, true, &ms, &why), TSU_BADARG);
    tsu_match.otp = 26;
    REQUIRE(tsu_ms_compile(spec, t.w.len, NULL, 0, true, &ms, NULL) == TSU_OK);
    EXPECT(tsu_ms_is_of(ms, spec, t.w.len));
    EXPECT(!tsu_ms_is_of(ms, spec, t.w.len - 1));
    tsu_ms_destroy(ms);
}

TEST(malformed_bytes_are_refused)
{
    uint64_t rng = tsu_test_seed();

    for (long i = 0; i < tsu_test_rounds(20000); i++) {
        text_term     t;
        tsu_ms       *ms = NULL;
        size_t        len;

        text_begin(true);
        text_term_read(&t, "[{{'$1', a, [1, '$2' | '_'], #{k => '$3'}}, [{'>', '$1', 5}, {is_atom, '$3'}], [{{'$1', '$_', [x | '$2']}}]}]");
        len = t.w.len - tsu_rand_below(&rng, 2) * tsu_rand_below(&rng, t.w.len);
        for (uint64_t n = tsu_rand_below(&rng, 3); n > 0; n--) t.bytes[tsu_rand_below(&rng, t.w.len)] = (uint8_t)tsu_rand(&rng);
        if (tsu_term_validate(t.bytes, len, false) != TSU_OK) {
            EXPECT_EQ(tsu_ms_compile(t.bytes, len, NULL, 0, false, &ms, &why), TSU_BADARG);
            EXPECT_EQ(why.cause, TSU_MS_NOT_A_TERM);
        }
    }
}

/* '$1' within n of `around`, whose last part is '$1', too. */
static tsu_status compile_deep(const char *around, size_t n, bool in_head)
{
    text_term  one, middle;
    tsu_writer w;
    tsu_ms    *ms = NULL;
    tsu_status s;

    text_begin(true);
    text_term_read(&middle, "'$1'");
    text_term_read(&one, around);
    tsu_writer_init(&w, NULL, 0);
    tsu_write_list_begin(&w, 1, false);
    tsu_write_tuple_begin(&w, 3);
    tsu_write_tuple_begin(&w, 1);
    for (size_t i = 0; in_head && i < n; i++) tsu_write_bytes(&w, one.w.bytes, one.w.len - middle.w.len);
    tsu_write_bytes(&w, middle.w.bytes, middle.w.len);
    tsu_write_nil(&w);
    tsu_write_list_begin(&w, 1, false);
    for (size_t i = 0; !in_head && i < n; i++) tsu_write_bytes(&w, one.w.bytes, one.w.len - middle.w.len);
    tsu_write_bytes(&w, middle.w.bytes, middle.w.len);
    s = tsu_ms_compile(w.bytes, w.len, NULL, 0, true, &ms, NULL);
    if (s == TSU_OK) tsu_ms_destroy(ms);
    tsu_writer_deinit(&w);
    return s;
}

TEST(nesting_ends_in_a_limit_and_not_in_an_overflow)
{
    static const char *const in_heads[] = {"['$1']", "{'$1'}", "[a, '$1']", "{b, '$1'}", "#{a => '$1'}"};
    static const char *const in_bodies[] = {"{hd, '$1'}", "{'orelse', true, '$1'}", "{{'$1'}}", "['$1']", "#{a => '$1'}", "{'+', 1, '$1'}"};

    for (size_t i = 0; i < sizeof in_heads / sizeof in_heads[0]; i++) {
        EXPECT_EQ(compile_deep(in_heads[i], 10000, true), TSU_OK);
        EXPECT_EQ(compile_deep(in_heads[i], 200000, true), TSU_LIMIT);
    }
    for (size_t i = 0; i < sizeof in_bodies / sizeof in_bodies[0]; i++) {
        EXPECT_EQ(compile_deep(in_bodies[i], 10000, false), TSU_OK);
        EXPECT_EQ(compile_deep(in_bodies[i], 200000, false), TSU_LIMIT);
    }
}

TEST(every_failing_allocation_leaves_nothing_behind)
{
    text_term      t;
    tsu_ms        *ms = NULL;
    size_t         before;
    tsu_status     s = TSU_NOMEM;
    const uint8_t *spec;
    char           text[2000] = "[{{";
    long           n = 0;

    for (int i = 1; i < 15; i++) snprintf(text + strlen(text), 40, "{'$%d','$%d'},", i, i + 100);
    snprintf(text + strlen(text), 500, "x}, [{is_list, '$$'}], [{{'$$', #{'$1' => '$2'}, {{a, {const, {b}}}}}}]}]");
    text_begin(true);
    spec = text_term_read(&t, text);
    before = tsu_env_bytes_allocated();
    for (; s == TSU_NOMEM && n < 1000; n++) {
        tsu_env_fail_after(n);
        s = tsu_ms_compile(spec, t.w.len, NULL, 0, true, &ms, NULL);
        tsu_env_fail_after(-1);
        if (s == TSU_NOMEM) EXPECT_EQ(tsu_env_bytes_allocated(), before);
    }
    EXPECT_EQ(s, TSU_OK);
    EXPECT(n > 3);
    tsu_ms_destroy(ms);
    EXPECT_EQ(tsu_env_bytes_allocated(), before);
    tsu_writer_deinit(&t.w);
}

TEST_MAIN
