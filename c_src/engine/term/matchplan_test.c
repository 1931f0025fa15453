/* matchplan_test.c: what plans take from heads and guards. */
#include "term/matchplan.h"
#include "testing/term_text.h"

static size_t bound_put(char *out, size_t at, const tsu_bound *b)
{
    const uint8_t *key = b->key;

    return key == NULL ? at : text_write(&key, out, at);
}

/* As text: its ranges, a key alone or [low .. high). */
static const char *plan(const char *spec_text, size_t keypos, bool ordered)
{
    static char    out[4096];
    text_term      t;
    tsu_ms        *ms = NULL;
    tsu_plan      *p = NULL;
    const uint8_t *spec;
    size_t         at = 0;

    text_begin(true);
    spec = text_term_read(&t, spec_text);
    if (tsu_ms_compile(spec, t.w.len, NULL, 0, false, &ms, NULL) != TSU_OK) return "refused";
    if (tsu_plan_create(ms, keypos, ordered, &p) != TSU_OK) return "no memory";
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
        at = bound_put(out, at, &r->high);
        at = text_put(out, at, r->high.open || r->high.key == NULL ? ")" : "]", 1);
    }
    EXPECT_EQ(tsu_plan_is_all(p), strcmp(out, "( .. )") == 0);
    tsu_plan_destroy(p);
    tsu_ms_destroy(ms);
    return out;
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

TEST_MAIN
