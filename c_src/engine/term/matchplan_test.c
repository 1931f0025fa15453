/* matchplan_test.c: what plans take from heads and guards. */
#include "term/matchplan.h"
#include "testing/term_text.h"

static size_t bound_put(char *out, size_t at, const tsu_bound *b)
{
    const uint8_t *key = b->key;

    return key == NULL ? at : text_write(&key, out, at);
}

/* As text: its ranges, a key alone or [low .. high), and of a family those of its least tuples. */
static const char *plan_text(tsu_plan *p)
{
    static char out[4096];
    size_t      at = 0;

    out[0] = 0;
    for (size_t i = 0; i < p->count; i++) {
        const tsu_range *r = &p->ranges[i];

        if (i > 0) at = text_put(out, at, " ", 1);
        if (r->one) {
            at = bound_put(out, at, &r->low);
            continue;
        }
        at = text_put(out, at, r->low.open || r->low.key == NULL ? "(" : "[", 1);
        at = bound_put(out, at, &r->low);
        at = text_put(out, at, " .. ", 4);
        at = bound_put(out, at, r->family ? &r->each : &r->high);
        at = text_put(out, at, (r->family ? r->each.open : r->high.open || r->high.key == NULL) ? ")" : "]", 1);
        if (r->family) at = text_put(out, at, "..", 2);
    }
    EXPECT_EQ(tsu_plan_is_all(p), strcmp(out, "( .. )") == 0);
    tsu_plan_destroy(p);
    return out;
}

static const char *plan(const char *spec_text, size_t keypos, bool ordered)
{
    text_term      t;
    tsu_ms        *ms = NULL;
    tsu_plan      *p = NULL;
    const uint8_t *spec;
    bool           made;

    text_begin(true);
    spec = text_term_read(&t, spec_text);
    if (tsu_ms_compile(spec, t.w.len, NULL, 0, false, &ms, NULL) != TSU_OK) return "refused";
    made = tsu_plan_create(ms, keypos, ordered, &p) == TSU_OK;
    tsu_ms_destroy(ms);
    return made ? plan_text(p) : "no memory";
}

TEST(ground_keys_are_looked_up)
{
    EXPECT_STR(plan("[{{a, '_'}, [], [1]}]", 1, false), "a");
    EXPECT_STR(plan("[{{a, '_'}, [], [1]}]", 2, false), "( .. )");
    EXPECT_STR(plan("[{{a, '_'}, [], [1]}, {{{b, 1}, '_'}, [], [1]}, {{a, 2}, [], [1]}]", 1, true), "a {b,1}");
    EXPECT_STR(plan("[{{a}, [], [1]}]", 2, false), "");
    EXPECT_STR(plan("[{{a}, [], [1]}, {{'_', x}, [], [1]}]", 2, false), "x");
    EXPECT_STR(plan("[{a, [], [1]}]", 1, true), "");
    EXPECT_STR(plan("[{'_', [], [1]}, {{a}, [], [1]}]", 1, false), "( .. )");
    EXPECT_STR(plan("[{{#{a => 1}, '_'}, [], [1]}]", 1, false), "( .. )");
    EXPECT_STR(plan("[{{1, '_'}, [], [1]}, {{1.0, '_'}, [], [1]}]", 1, true), "1.0");
    EXPECT_STR(plan("[{{1, '_'}, [], [1]}, {{1.0, '_'}, [], [1]}, {{1, a}, [], [1]}]", 1, false), "1 1.0");
    EXPECT_STR(plan("[{{'$1', '_'}, [{'=:=', '$1', 5}], [1]}]", 1, false), "5");
    EXPECT_STR(plan("[{{'$1', '_'}, [{'==', '$1', 5}], [1]}]", 1, false), "( .. )");
}

TEST(guards_on_the_key_become_bounds)
{
    EXPECT_STR(plan("[{{'$1', '_'}, [{'>', '$1', 5}], [1]}]", 1, true), "(5 .. )");
    EXPECT_STR(plan("[{{'$1', '_'}, [{'>', '$1', 5}], [1]}]", 1, false), "( .. )");
    EXPECT_STR(plan("[{{'_', '$1'}, [{'>', '$1', 5}], [1]}]", 1, true), "( .. )");
    EXPECT_STR(plan("[{{'_', '$1'}, [{'>', '$1', 5}], [1]}]", 2, true), "(5 .. )");
    EXPECT_STR(plan("[{{'$1', '_'}, [{'>=', {const, {b}}, '$1'}, {'<', a, '$1'}], [1]}]", 1, true), "(a .. {b}]");
    EXPECT_STR(plan("[{{'$1', '_'}, [{'>=', '$1', {{a, 1}}}], [1]}]", 1, true), "[{a,1} .. )");
    EXPECT_STR(plan("[{{'$1', '_'}, [{'==', '$1', 5}], [1]}]", 1, true), "5");
    EXPECT_STR(plan("[{{'$1', '_'}, [{'orelse', {'>', '$1', 5}, false}], [1]}]", 1, true), "( .. )");
    EXPECT_STR(plan("[{'_', [{'>', {element, 1, '$_'}, 5}, {'=<', {element, 1, '$_'}, {const, x}}], [1]}]", 1, true), "(5 .. x]");
    EXPECT_STR(plan("[{{'$1'}, [{'>', '$1', 5}, {'<', '$1', 5}], [1]}]", 1, true), "");
    EXPECT_STR(plan("[{{'$1'}, [{'>', '$1', 5}, {'>=', '$1', 7}, {'<', '$1', 9}, {'=<', '$1', 8}], [1]}]", 1, true), "[7 .. 8]");
}

TEST(clauses_add_up)
{
    EXPECT_STR(plan("[{{'$1'}, [{'>', '$1', 5}, {'<', '$1', 9}], [1]}, {{'$1'}, [{'>=', '$1', 5}, {'<', '$1', 7}], [1]}]", 1, true), "[5 .. 9)");
    EXPECT_STR(plan("[{{'$1'}, [{'>', '$1', 5}], [1]}, {{3}, [], [1]}]", 1, true), "3 (5 .. )");
    EXPECT_STR(plan("[{{'$1'}, [{'>', '$1', 5}], [1]}, {{5}, [], [1]}, {{'$1'}, [{'<', '$1', 5}], [1]}]", 1, true), "( .. 5) 5 (5 .. )");
    EXPECT_STR(plan("[{{9}, [], [1]}, {{1}, [], [1]}, {{5}, [], [1]}, {{'$1'}, [{'<', '$1', 2}], [1]}]", 1, true), "( .. 2) 5 9");
}

TEST(what_a_head_gives_of_a_key_is_a_range)
{
    EXPECT_STR(plan("[{{{a, 1, '_'}, '_'}, [], [1]}]", 1, true), "({a,1,least} .. {a,1,most})");
    EXPECT_STR(plan("[{{{a, 1, '_'}, '_'}, [], [1]}]", 1, false), "( .. )");
    EXPECT_STR(plan("[{{{'_', 1}, '_'}, [], [1]}]", 1, true), "({least,least} .. {most,most})");
    EXPECT_STR(plan("[{{{a, {b, '$1'}, c}, '_'}, [], [1]}]", 1, true), "({a,{b,least},least} .. {a,{b,most},most})");
    EXPECT_STR(plan("[{{[a | '_'], '_'}, [], [1]}]", 1, true), "([a|least] .. [a|most])");
    EXPECT_STR(plan("[{{{a, #{}}, '_'}, [], [1]}]", 1, true), "({a,least} .. {a,most})");
}

/* The key of {Key, '_'} and its guards, in an ordered table. */
static const char *plan_of(const char *key, const char *guards)
{
    char spec[512];

    snprintf(spec, sizeof spec, "[{{%s, '_'}, [%s], [1]}]", key, guards);
    return plan(spec, 1, true);
}

TEST(guards_on_variables_in_the_key_become_bounds)
{
    EXPECT_STR(plan_of("{'$1', '$2'}", "{'>=', '$1', 5}, {'<', '$1', 7}"), "({5,least} .. {7,least})");
    EXPECT_STR(plan_of("{'$1', '$2'}", "{'>', '$1', 5}, {'=<', '$1', 7}"), "({5,most} .. {7,most})");
    EXPECT_STR(plan_of("{'$1', '$2'}", "{'==', '$1', a}, {'>', '$2', 5}"), "({a,5} .. {a,most})");
    EXPECT_STR(plan_of("{a, '$2'}", "{'>=', '$2', 5}, {'=<', '$2', 9}"), "[{a,5} .. {a,9}]");
    EXPECT_STR(plan_of("{a, '$2'}", "{'=:=', '$2', 5}"), "{a,5}");
    EXPECT_STR(plan_of("{'$1', '$2'}", "{'>=', '$1', 5}, {'>=', '$2', x}, {'<', '$1', 9}, {'<', '$2', z}"), "[{5,x} .. {9,least})");
    EXPECT_STR(plan_of("{'$1', '$2'}", "{'>', '$2', 5}"), "({least,least} .. {most,most})");
    EXPECT_STR(plan_of("{'$1', b, '$1'}", "{'==', '$1', 1}"), "{1,b,1}");
    EXPECT_STR(plan_of("{{'$1', '_'}, b}", "{'<', '$1', 1}, {'>', '$1', 0}"), "({{0,most},most} .. {{1,least},least})");
    EXPECT_STR(plan_of("{'$1', '_'}", "{'andalso', {'>', '$1', 1}, {'and', {'<', '$1', 4}, {is_atom, '$1'}}}"), "({1,most} .. {4,least})");
    EXPECT_STR(plan_of("{'$1', '_'}", "{'orelse', {'>', '$1', 1}, {'<', '$1', 4}}"), "({least,least} .. {most,most})");
    EXPECT_STR(plan_of("{'$1', '_'}", "{'>', '$1', 5}, {'<', '$1', 5}"), "");
    EXPECT_STR(plan_of("{'$1', '_'}", "{'>', {element, 1, {element, 1, '$_'}}, 5}"), "({5,most} .. {most,most})");
    EXPECT_STR(plan_of("{a, #{}, '$1'}", "{'>', '$1', 5}"), "({a,least,least} .. {a,most,most})");
    EXPECT_STR(plan_of("{'$1', '_'}", "{'>', {'+', '$1', 1}, 5}, {'>', '$2', 3}"), "refused");
    EXPECT_STR(plan_of("{'$1', '_'}", "{'>', {'+', '$1', 1}, 5}, {'>', '$1', 3}"), "({3,most} .. {most,most})");
    EXPECT_STR(plan("[{{{'$1', '$2'}, '_'}, [{'=:=', '$1', a}, {'=:=', b, '$2'}], [1]}]", 1, false), "{a,b}");
    EXPECT_STR(plan("[{{{'$1', '$2'}, '_'}, [{'=:=', '$1', a}, {'==', b, '$2'}], [1]}]", 1, false), "( .. )");
}

TEST(guards_on_elements_of_the_key_become_bounds)
{
    EXPECT_STR(plan_of("'$1'", "{'==', {element, 1, '$1'}, a}"), "[{a} .. {a}]..");
    EXPECT_STR(plan_of("'$1'", "{'==', {element, 1, '$1'}, a}, {'<', {element, 2, '$1'}, 7}"), "({a,least} .. {a,7})..");
    EXPECT_STR(plan_of("'$1'", "{'>', {element, 1, '$1'}, a}"), "({a} .. {most})..");
    EXPECT_STR(plan_of("'$1'", "{'>', {element, 2, '$1'}, a}"), "({least,least} .. #{})");
    EXPECT_STR(plan_of("'$1'", "{'==', {size, '$1'}, 2}, {'==', a, {element, 1, '$1'}}"), "({a,least} .. {a,most})");
    EXPECT_STR(plan_of("'$1'", "{'==', {element, 1, '$1'}, a}, {'<', '$1', {const, {a, 7}}}"), "[{a} .. {a,7})");
    EXPECT_STR(plan_of("'$1'", "{'==', {element, 1, '$1'}, a}, {'==', {element, 1, {element, 2, '$1'}}, 5}"), "[{a,{5}} .. {a,#{}})..");
    EXPECT_STR(plan_of("'$1'", "{'==', {element, 1, '$1'}, a}, {'==', {element, 1, '$1'}, b}"), "");
    EXPECT_STR(plan("[{'$1', [{'==', {element, 1, {element, 2, '$1'}}, a}], [1]}]", 2, true), "[{a} .. {a}]..");
    EXPECT_STR(plan("[{'_', [{'==', {element, 1, {element, 2, '$_'}}, a}], [1]}]", 2, true), "[{a} .. {a}]..");
    EXPECT_STR(plan("[{'_', [{'==', {element, 1, {element, 1, '$_'}}, a}], [1]}]", 2, true), "( .. )");
    EXPECT_STR(plan_of("'_'", "{'==', {element, 1, {element, 1, '$_'}}, a}"), "[{a} .. {a}]..");
    EXPECT_STR(plan_of("'_'", "{'<', {element, 1, '$_'}, a}"), "( .. a)");
    EXPECT_STR(plan_of("'$1'", "{is_tuple, '$1'}"), "[{} .. #{})");
    EXPECT_STR(plan_of("'$1'", "{is_list, '$1'}"), "[[] .. <<\"\">>)");
    EXPECT_STR(plan_of("'$1'", "{is_map, '$1'}"), "[#{} .. [])");
    EXPECT_STR(plan_of("'$1'", "{is_binary, '$1'}"), "[<<\"\">> .. )");
    EXPECT_STR(plan_of("'$1'", "{is_atom, '$1'}"), "( .. )");
}

TEST(guards_on_items_of_a_list_become_bounds)
{
    EXPECT_STR(plan_of("'$1'", "{'==', {hd, '$1'}, a}"), "([a|least] .. [a|most])");
    EXPECT_STR(plan_of("'$1'", "{'==', {hd, '$1'}, a}, {'>', {hd, {tl, '$1'}}, 3}"), "([a,3|most] .. [a,most|most])");
    EXPECT_STR(plan_of("['$1', '$2']", "{'==', '$1', 1}, {'==', '$2', 2000}"), "[1,2000]");
    EXPECT_STR(plan_of("['$1', '$2']", "{'>', '$1', 1}"), "([1,most] .. [most,most])");
    EXPECT_STR(plan_of("['$1' | '$2']", "{'==', '$1', 1}, {'=:=', '$2', [2, a]}"), "[1,2,a]");
    EXPECT_STR(plan_of("['$1' | '_']", "{'>=', '$1', 1}, {'<', '$1', 7}"), "([1|least] .. [7|least])");
    EXPECT_STR(plan_of("['$1', '$2']", "{'==', '$1', 97}, {'==', '$2', 98}"), "\"ab\"");
}

TEST(prefixes_of_binaries_become_bounds)
{
    EXPECT_STR(plan_of("'$1'", "{'==', {binary_part, '$1', 0, 2}, <<\"ab\">>}"), "[<<\"ab\">> .. <<\"ac\">>)");
    EXPECT_STR(plan_of("'$1'", "{'=:=', <<\"ab\">>, {binary_part, '$1', {{0, 2}}}}"), "[<<\"ab\">> .. <<\"ac\">>)");
    EXPECT_STR(plan_of("'$1'", "{'==', {binary_part, '$1', 0, 3}, <<\"ab\">>}"), "( .. )");
    EXPECT_STR(plan_of("'$1'", "{'==', {binary_part, '$1', 1, 2}, <<\"ab\">>}"), "( .. )");
    EXPECT_STR(plan_of("{x, '$1', '_'}", "{'==', {binary_part, '$1', 0, 2}, <<\"ab\">>}"), "({x,<<\"ab\">>,least} .. {x,<<\"ac\">>,least})");
}

/* The plan of a prefix, as text. */
static const char *prefix_plan(const char *text)
{
    tsu_plan *p;
    text_term t;

    text_begin(true);
    if (tsu_plan_prefix(text_term_read(&t, text), 1, &p) != TSU_OK) return "refused";
    return plan_text(p);
}

TEST(a_prefix_is_a_range_or_a_family)
{
    EXPECT_STR(prefix_plan("<<\"ab\">>"), "[<<\"ab\">> .. <<\"ac\">>)");
    EXPECT_STR(prefix_plan("<<\"\">>"), "[<<\"\">> .. )");
    EXPECT_STR(prefix_plan("[]"), "[[] .. <<\"\">>)");
    EXPECT_STR(prefix_plan("[1,2]"), "([1,2|least] .. [1,2|most])");
    EXPECT_STR(prefix_plan("[a]"), "([a|least] .. [a|most])");
    EXPECT_STR(prefix_plan("{}"), "[{} .. #{})");
    EXPECT_STR(prefix_plan("{a,1}"), "[{a,1} .. {a,1}]..");
    EXPECT_STR(prefix_plan("a"), "refused");
    EXPECT_STR(prefix_plan("#{}"), "refused");
    EXPECT_STR(prefix_plan("[a|b]"), "refused");
}

TEST(families_are_joined_only_with_themselves)
{
    EXPECT_STR(plan("[{{'$1'}, [{'==', {element, 1, '$1'}, a}], [1]}, {{'$1', x}, [{'==', {element, 1, '$1'}, a}], [1]}]", 1, true), "[{a} .. {a}]..");
    EXPECT_STR(plan("[{{'$1'}, [{'==', {element, 1, '$1'}, a}], [1]}, {{'$1'}, [{'==', {element, 1, '$1'}, b}], [1]}]", 1, true), "[{a} .. #{})");
    EXPECT_STR(plan("[{{'$1'}, [{'==', {element, 1, '$1'}, a}], [1]}, {{5}, [], [1]}, {{[x]}, [], [1]}]", 1, true), "5 [{a} .. {a}].. [x]");
}

TEST(a_plan_covers_what_its_ranges_do)
{
    static const struct { const char *key; bool in; } keys[] = {
        {"5", false}, {"{z}", false}, {"{a, 1}", false}, {"{a, 0, x}", false}, {"{a, 1, 0}", true}, {"{a, 1.0, []}", true},
        {"{a, 1, {}}", true}, {"{a, 2, 0}", false}, {"{b, 1, 0}", false}, {"{a, 1, 0, 0}", false}, {"[]", false}, {"<<\"x\">>", false}
    };
    text_term      t, k;
    tsu_ms        *ms = NULL;
    tsu_plan      *p;
    const uint8_t *spec;

    text_begin(true);
    spec = text_term_read(&t, "[{{{a, 1, '_'}, '_'}, [], [1]}]");
    REQUIRE(tsu_ms_compile(spec, t.w.len, NULL, 0, true, &ms, NULL) == TSU_OK);
    REQUIRE(tsu_plan_create(ms, 1, true, &p) == TSU_OK);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        EXPECT_EQ(tsu_plan_covers(p, text_term_read(&k, keys[i].key)), keys[i].in);
    tsu_plan_destroy(p);
    tsu_ms_destroy(ms);
}

/* Specifications whose plans need more than what is on the stack: every allocation fails in turn, and nothing leaks. */
TEST(a_plan_that_memory_is_too_short_for_is_refused)
{
    static const char *const guards[] = {
        "{'==', {element, 1, '$1'}, %s}, {'<', {element, 2, '$1'}, %s}",
        "{'==', {binary_part, {hd, '$1'}, 0, 600}, %s}",
        "{'>=', '$1', %s}, {'<', '$1', [%s]}",
        "{'==', {hd, '$1'}, %s}, {'>', {tl, '$1'}, [%s]}"
    };
    static char long_text[1024], guard[4096], spec[8192];
    size_t      before = tsu_env_bytes_allocated();

    snprintf(long_text, sizeof long_text, "<<\"%0600d\">>", 7);
    for (size_t i = 0; i < sizeof guards / sizeof guards[0]; i++) {
        text_term      t;
        tsu_ms        *ms = NULL;
        tsu_plan      *p = NULL;
        tsu_status     s = TSU_NOMEM;
        long           n = 0;
        const uint8_t *bytes;

        snprintf(guard, sizeof guard, guards[i], long_text, long_text);
        snprintf(spec, sizeof spec, "[{{'$1', '_'}, [%s], [1]}, {{%s, '_'}, [], [1]}]", guard, long_text);
        text_begin(true);
        bytes = text_term_read(&t, spec);
        REQUIRE(tsu_ms_compile(bytes, t.w.len, NULL, 0, false, &ms, NULL) == TSU_OK);
        for (; s != TSU_OK; n++) {
            tsu_env_fail_after(n);
            s = tsu_plan_create(ms, 1, true, &p);
            tsu_env_fail_after(-1);
            REQUIRE(s == TSU_OK || s == TSU_NOMEM);
        }
        EXPECT(n > 3);
        tsu_plan_destroy(p);
        tsu_ms_destroy(ms);
        tsu_writer_deinit(&t.w);
    }
    EXPECT_EQ(tsu_env_bytes_allocated(), before);
}

TEST_MAIN
