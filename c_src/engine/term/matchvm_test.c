/* matchvm_test.c: what matches, and what comes out. The figures of ets stand behind these, by tsunami_match_tests.erl. */
#include "term/matchvm.h"
#include "testing/term_text.h"

static tsu_ms *compiled(const char *text)
{
    text_term      t;
    tsu_ms        *ms = NULL;
    const uint8_t *spec = text_term_read(&t, text);

    if (tsu_ms_compile(spec, t.w.len, NULL, 0, false, &ms, NULL) != TSU_OK) TSU_TEST_FAILED("does not compile: %s", text);
    tsu_writer_deinit(&t.w);
    return ms;
}

/* The result as text; "no" if there is none. */
static const char *run(const char *spec, const char *object)
{
    static char    out[4096];
    text_term      t;
    tsu_ms_scratch s;
    tsu_ms_result  r;
    tsu_ms        *ms;
    const uint8_t *p;

    text_begin(true);
    ms = compiled(spec);
    if (ms == NULL) return "refused";
    tsu_ms_scratch_init(&s);
    strcpy(out, "no");
    if (tsu_ms_scratch_for(&s, ms) != TSU_OK || tsu_ms_run(ms, &s, text_object_read(&t, object), &r) != TSU_OK) strcpy(out, "failed");
    else if (r.outcome == TSU_MS_OBJECT) strcpy(out, "object");
    else if (r.outcome == TSU_MS_TERM) {
        p = r.term;
        EXPECT_EQ(tsu_term_validate(p, tsu_term_len(p), false), TSU_OK);
        text_write(&p, out, 0);
    }
    tsu_ms_scratch_deinit(&s);
    tsu_ms_destroy(ms);
    return out;
}

#define GIVES(spec_, object_, result_) EXPECT_STR(run(spec_, object_), result_)

TEST(heads_match)
{
    GIVES("[{'_', [], ['$_']}]", "{1, 2}", "object");
    GIVES("[{'$1', [], ['$1']}]", "{1, 2}", "object");
    GIVES("[{'$1', [], ['$$']}]", "{1, 2}", "[{1,2}]");
    GIVES("[{{'$1', '$1'}, [], [yes]}]", "{a, a}", "yes");
    GIVES("[{{'$1', '$1'}, [], [yes]}]", "{1, 1.0}", "no");
    GIVES("[{{'$7', '_', '$2'}, [], ['$$']}]", "{a, b, c}", "[c,a]");
    GIVES("[{{a, '_'}, [], [1]}, {{'_', b}, [], [2]}]", "{x, b}", "2");
    GIVES("[{{{a, '$1'}, \"abc\"}, [], ['$1']}]", "{{a, [x]}, \"abc\"}", "[x]");
    GIVES("[{{a}, [], [1]}]", "{a, b}", "no");
    GIVES("[{a, [], [1]}]", "{a}", "no");
    GIVES("[{{0.0}, [], [1]}]", "{-0.0}", "no");
    GIVES("[{{'$1', '$1'}, [], [1]}]", "{0.0, -0.0}", "1");
    GIVES("[{{<<\"ab\">>, 300}, [], [1]}]", "{<<\"ab\">>, 300}", "1");
}

TEST(lists_in_heads_match)
{
    GIVES("[{{['$1' | '$2']}, [], ['$2']}]", "{\"abc\"}", "\"bc\"");
    GIVES("[{{['$1' | '$2']}, [], ['$1']}]", "{\"abc\"}", "97");
    GIVES("[{{[a | '$2']}, [], ['$2']}]", "{[a, 98, 99]}", "\"bc\"");
    GIVES("[{{[a | '$2']}, [], ['$2']}]", "{[a]}", "[]");
    GIVES("[{{[a | '$2']}, [], ['$2']}]", "{[a | b]}", "b");
    GIVES("[{{[a | '$2']}, [], ['$2']}]", "{[a, c | b]}", "[c|b]");
    GIVES("[{{['$1', '$2']}, [], [1]}]", "{[a, c | b]}", "no");
    GIVES("[{{['$1', '$2' | b], '$3'}, [], ['$3']}]", "{[a, c | b], z}", "z");
    GIVES("[{{['$1' | '_'], '$3'}, [], ['$3']}]", "{[a, c, {d} | b], z}", "z");
    GIVES("[{{['$1', 98], '$3'}, [], ['$3']}]", "{\"ab\", z}", "z");
    GIVES("[{{[['$1', 98 | '$4'], '$2'], '$3'}, [], ['$$']}]", "{[\"abc\", y], z}", "[97,y,z,\"c\"]");
    GIVES("[{{['$1']}, [], [1]}]", "{[]}", "no");
}

TEST(maps_in_heads_match_supersets)
{
    GIVES("[{{#{}}, [], [1]}]", "{#{a => 1}}", "1");
    GIVES("[{{#{}}, [], [1]}]", "{a}", "no");
    GIVES("[{{#{b => '$1'}, '$2'}, [], ['$$']}]", "{#{a => 1, b => [two], c => 3}, z}", "[[two],z]");
    GIVES("[{{#{d => '$1'}}, [], ['$1']}]", "{#{a => 1}}", "no");
    GIVES("[{{#{a => #{b => '$1'}}}, [], ['$1']}]", "{#{a => #{b => 7, 1 => x}}}", "7");
    GIVES("[{{[#{1 => '$1'}, '$2']}, [], ['$$']}]", "{[#{1 => x, 1.0 => y}, z]}", "[x,z]");
}

TEST(guards_decide)
{
    GIVES("[{{'$1'}, [{'>', '$1', 5}], [1]}]", "{6}", "1");
    GIVES("[{{'$1'}, [{'>', '$1', 5}], [1]}]", "{5}", "no");
    GIVES("[{{'$1'}, [{'>', '$1', 5}], [1]}]", "{a}", "1");
    GIVES("[{{'$1'}, [{'>', 5, '$1'}], [1]}]", "{4.5}", "1");
    GIVES("[{{'$1'}, [{'==', '$1', 5}], [1]}]", "{5.0}", "1");
    GIVES("[{{'$1'}, [{'=:=', '$1', 5}], [1]}]", "{5.0}", "no");
    GIVES("[{{'$1', '$2'}, [{'<', '$1', '$2'}, {is_integer, '$2'}], [1]}]", "{1, 2}", "1");
    GIVES("[{{'$1'}, [{'and', {is_atom, '$1'}, {'/=', '$1', a}}], [1]}]", "{b}", "1");
    GIVES("[{{'$1'}, [{'or', true, {hd, '$1'}}], [1]}]", "{b}", "no");
    GIVES("[{{'$1'}, [{'orelse', true, {hd, '$1'}}], [1]}]", "{b}", "1");
    GIVES("[{{'$1'}, [{'not', {'==', {'rem', '$1', 2}, 0}}], [1]}]", "{7}", "1");
    GIVES("[{{'$1'}, [7], [1]}, {'_', [], [2]}]", "{7}", "2");
    GIVES("[{{'$1'}, [{'==', {{a, '$1'}}, {const, {a, 7}}}], [1]}]", "{7}", "1");
    GIVES("[{'_', [{'==', {element, 2, '$_'}, x}], [1]}]", "{7, x}", "1");
    GIVES("[{'_', [{'==', {element, 3, '$_'}, x}], [1]}]", "{7, x}", "no");
}

TEST(bodies_build)
{
    GIVES("[{{'$1', '$2'}, [], [{{'$2', a, {{'$1'}}}}]}]", "{1, 2}", "{2,a,{1}}");
    GIVES("[{{'$1', '$2'}, [], [['$1', '$2']]}]", "{97, 98}", "\"ab\"");
    GIVES("[{{'$1', '$2'}, [], [['$1' | '$2']]}]", "{97, \"bc\"}", "\"abc\"");
    GIVES("[{{'$1', '$2'}, [], [['$1' | '$2']]}]", "{x, \"bc\"}", "[x,98,99]");
    GIVES("[{{'$1', '$2'}, [], [['$1' | '$2']]}]", "{97, x}", "[97|x]");
    GIVES("[{{'$1', '$2'}, [], [['$1' | '$2']]}]", "{97, [x | y]}", "[97,x|y]");
    GIVES("[{{'$1', '$2'}, [], [#{'$1' => '$2', 1 => z}]}]", "{a, b}", "#{1=>z,a=>b}");
    GIVES("[{{'$1', '$2'}, [], [#{'$1' => x, '$2' => y}]}]", "{a, a}", "#{a=>y}");
    GIVES("[{{'$1', '$2'}, [], [{hd, []}, {'+', '$1', '$2'}]}]", "{1, 2}", "3");
    GIVES("[{{'$1', '$2'}, [], [{{{'+', '$1', '$2'}, {element, 9, '$_'}, '$_'}}]}]", "{a, 2}", "{EXIT,EXIT,{a,2}}");
    GIVES("[{{'$1', '$2'}, [], [{'orelse', {{'$1'}}, {{'$2'}}}]}]", "{a, 2}", "EXIT");
    GIVES("[{{'$1', '$2'}, [], [{'orelse', false, {{'$2'}}}]}]", "{a, 2}", "{2}");
    GIVES("[{{'$1', '$2'}, [], [{'orelse', #{1 => {hd, '$2'}}, '$$'}]}]", "{a, 2}", "EXIT");
    GIVES("[{{'$1', '$2'}, [], [{'bsl', '$2', 70}]}]", "{a, 2}", "big9");
    GIVES("[{{'$1', '$2'}, [], [{{{size, '$_'}, {length, '$1'}, {tl, '$1'}, {'abs', '$2'}}}]}]", "{[1, a], -2}", "{2,2,[a],2}");
    GIVES("[{{'$1', '$2'}, [], [{{{map_get, a, '$1'}, {is_map_key, c, '$1'}, {map_size, '$1'}}}]}]", "{#{a => b}, 1}", "{b,false,1}");
    GIVES("[{{'_', '$2'}, [], [{{{node}, {binary_part, '$2', 1, 2}, {const, {'$1'}}}}]}]", "{1, <<\"abcd\">>}", "{a@b,<<\"bc\">>,{$1}}");
    GIVES("[{{'_', '_'}, [], \"ab\"}]", "{1, 2}", "98");
}

TEST(one_scratch_serves_many_programs_and_objects)
{
    static const char *const specs[] = {"[{{'$1', '$2'}, [], [{{'$1', '$2'}}]}]", "[{'_', [], ['$_']}]", "[{{a, '_'}, [], [true]}]",
        "[{{'$1', ['$2' | '$3']}, [{'>', {'+', '$1', 1}, 1}], [['$3', '$2' | '$1']]}]",
        "[{{'$1','$2','$3','$4','$5','$6','$7','$8','$9','$10'}, [], [{'+','$1',{'+','$2',{'+','$3',{'+','$4',{'+','$5',{'+','$6',{'+','$7',{'+','$8',{'+','$9','$10'}}}}}}}}}]}]"};
    static const char *const objects[] = {"{1, 2}", "{a, b}", "{5, [1, 2, x]}", "{1,2,3,4,5,6,7,8,9,10}"};
    static const char *const expected[5][4] = {{"{1,2}", "{a,b}", "{5,[1,2,x]}", "no"}, {"object", "object", "object", "object"},
        {"no", "true", "no", "no"}, {"no", "no", "[[2,x],1|5]", "no"}, {"no", "no", "no", "55"}};
    tsu_ms_scratch s;
    tsu_ms        *ms[5];
    text_term      t[4];
    uint64_t       rng = tsu_test_seed();
    char           out[4096];

    text_begin(true);
    for (int i = 0; i < 5; i++) ms[i] = compiled(specs[i]);
    for (int i = 0; i < 4; i++) text_object_read(&t[i], objects[i]);
    tsu_ms_scratch_init(&s);
    for (long n = 0; n < tsu_test_rounds(20000); n++) {
        size_t        i = tsu_rand_below(&rng, 5), j = tsu_rand_below(&rng, 4);
        tsu_ms_result r;
        const uint8_t *p;

        REQUIRE(tsu_ms_scratch_for(&s, ms[i]) == TSU_OK);
        REQUIRE(tsu_ms_run(ms[i], &s, t[j].w.bytes, &r) == TSU_OK);
        strcpy(out, r.outcome == TSU_MS_NO_MATCH ? "no" : "object");
        if (r.outcome == TSU_MS_TERM) {
            p = r.term;
            text_write(&p, out, 0);
        }
        EXPECT_STR(out, expected[i][j]);
        EXPECT_EQ(tsu_ms_result_is_true(&r), i == 2 && j == 1);
    }
    tsu_ms_scratch_deinit(&s);
    for (int i = 0; i < 5; i++) tsu_ms_destroy(ms[i]);
}

TEST(no_match_and_no_new_terms_need_no_memory)
{
    tsu_ms_scratch s;
    tsu_ms_result  r;
    text_term      t;
    tsu_ms        *ms;
    size_t         before;

    text_begin(true);
    ms = compiled("[{{'$1', '$2', abc}, [{'>', '$1', 1}, {'orelse', {'==', '$2', x}, {is_list, '$2'}}], [true]}]");
    text_object_read(&t, "{5, y, abc}");
    tsu_ms_scratch_init(&s);
    before = tsu_env_bytes_allocated();
    REQUIRE(tsu_ms_scratch_for(&s, ms) == TSU_OK);
    EXPECT_EQ(tsu_ms_run(ms, &s, t.w.bytes, &r), TSU_OK);
    EXPECT_EQ(r.outcome, TSU_MS_NO_MATCH);
    EXPECT_EQ(tsu_env_bytes_allocated(), before);
    tsu_ms_scratch_deinit(&s);
    tsu_ms_destroy(ms);
}

TEST_MAIN
