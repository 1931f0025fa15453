%% Tables in queries of qlc.
-module(tsunami_qlc_tests).
-include_lib("eunit/include/eunit.hrl").
-include_lib("stdlib/include/qlc.hrl").
-define(M, (tsunami_test:module())).

%% What select traversals need; a query that only looks keys up does without.
selects() ->
    [select || erlang:function_exported(?M, select, 3)].

on_select(Test) ->
    fun() ->
            code:ensure_loaded(?M),
            selects() =/= [] orelse throw({skip, "the module has no select/3"}),
            Test()
    end.

filled(Kind) ->
    Table = ?M:new(tsunami_qlc, [Kind]),
    ?M:insert(Table, [{N, N rem 10} || N <- lists:seq(1, 500)]),
    [?M:insert(Table, [{7, again}, {7, again}]) || Kind =:= bag orelse Kind =:= duplicate_bag],
    Table.

traverse(Kind, Traverses) ->
    Table = filled(Kind),
    All = lists:sort(?M:tab2list(Table)),
    [begin
         Handle = ?M:table(Table, [{traverse, Traverse} | Options]),
         ?assertEqual(All, lists:sort(qlc:e(Handle))),
         ?assertEqual([N || {N, 3} <- All], lists:sort(qlc:e(qlc:q([N || {N, 3} <- Handle])))),
         ?assertEqual(?M:lookup(Table, 7), qlc:e(qlc:q([Object || Object <- Handle, element(1, Object) =:= 7]))),
         ?assertEqual(lists:sort(?M:lookup(Table, 7) ++ ?M:lookup(Table, 400)), lists:sort(qlc:e(qlc:q([Object || {N, _} = Object <- Handle, N =:= 7 orelse N =:= 400])))),
         ?assertEqual([{N, N} || N <- lists:seq(1, 9)], lists:usort(qlc:e(qlc:q([{A, C} || {A, B} <- Handle, A < 10, is_integer(B), {C, _} <- Handle, C =:= B])))),
         ?assertEqual(false, ?M:info(Table, fixed))
     end || Traverse <- Traverses, Options <- [[], [{n_objects, 7}], [{n_objects, default}]]],
    ?M:delete(Table).

a_query_sees_what_is_in_the_table_test() ->
    [traverse(Kind, [first_next, last_prev]) || Kind <- tsunami_test:kinds()].

a_query_by_select_sees_what_is_in_the_table_test_() ->
    on_select(fun() -> [traverse(Kind, [select]) || Kind <- tsunami_test:kinds()] end).

a_select_of_ones_own_is_what_the_query_sees_test_() ->
    on_select(fun() ->
                      Table = filled(ordered_set),
                      Handle = ?M:table(Table, {traverse, {select, [{{'$1', 3}, [{'<', '$1', 50}], ['$1']}]}}),
                      ?assertEqual([3, 13, 23, 33, 43], qlc:e(Handle)),
                      ?assertEqual([13], qlc:e(qlc:q([N || N <- Handle, N =:= 13])))
              end).

an_ordered_set_is_walked_in_order_test() ->
    Table = filled(ordered_set),
    Keys = lists:seq(1, 500),
    ?assertEqual(Keys, [N || {N, _} <- qlc:e(?M:table(Table, {traverse, first_next}))]),
    ?assertEqual(lists:reverse(Keys), [N || {N, _} <- qlc:e(?M:table(Table, [{traverse, last_prev}]))]),
    ?assertEqual(qlc:e(qlc:keysort(1, ?M:table(Table, {traverse, last_prev}))), ?M:tab2list(Table)).

keys_are_compared_as_the_table_compares_them_test() ->
    [begin
         Table = ?M:new(x, [Kind]),
         ?M:insert(Table, [{1, a}, {2.0, b}]),
         Handle = ?M:table(Table, {traverse, first_next}),
         [?assertEqual({Kind, Key, [Object || {K, _} = Object <- ?M:tab2list(Table), K == Key]},
                       {Kind, Key, qlc:e(qlc:q([Object || {K, _} = Object <- Handle, K == Key]))}) || Key <- [1, 1.0, 2, 2.0]],
         [?assertEqual([Object || {K, _} = Object <- ?M:tab2list(Table), K =:= Key],
                       qlc:e(qlc:q([Object || {K, _} = Object <- Handle, K =:= Key]))) || Key <- [1, 1.0, 2, 2.0]]
     end || Kind <- [set, ordered_set]].

a_lookup_does_not_walk_test() ->
    Table = filled(set),
    Handle = ?M:table(Table),
    ?assertEqual([{5, 5}], qlc:e(qlc:q([Object || {K, _} = Object <- Handle, K =:= 5]))),
    ?assertEqual(info(ets, fun one_key/1), info(?M, fun one_key/1)),
    ?assertEqual(info(ets, fun two_keys/1), info(?M, fun two_keys/1)).

one_key(Handle) -> qlc:q([Object || {K, _} = Object <- Handle, K =:= 5]).
two_keys(Handle) -> qlc:q([Object || {K, _} = Object <- Handle, K =:= 5 orelse K =:= 6]).

%% What qlc says of a query, without white space and with one name for both modules.
info(Mod, Query) ->
    Table = Mod:new(named_qlc, [named_table]),
    Text = qlc:info(Query(Mod:table(Table)), {format, string}),
    Mod:delete(Table),
    re:replace(re:replace(Text, "\\s", "", [global]), ["\\b", atom_to_list(Mod), ":(table|lookup)"], "ets:\\1", [global, {return, list}]).

a_handle_says_what_it_is_test() ->
    ?assertEqual(info(ets, fun(Handle) -> Handle end), info(?M, fun(Handle) -> Handle end)),
    ?assertEqual(info(ets, fun(Handle) -> qlc:q([N || {N, 3} <- Handle, N > 5]) end), info(?M, fun(Handle) -> qlc:q([N || {N, 3} <- Handle, N > 5]) end)),
    Table = ?M:new(named_qlc, [named_table]),
    ?assertMatch({match, _}, re:run(qlc:info(?M:table(Table, [{traverse, first_next}]), {format, string}), [atom_to_list(?M), ":table\\(named_qlc,\\s*\\[\\{traverse,\\s*first_next\\}\\]\\)"])),
    ?M:delete(Table).

a_query_may_change_its_table_test() ->
    [begin
         Table = filled(Kind),
         Seen = qlc:fold(fun({K, _}, N) -> ?M:delete(Table, K), N + 1 end, 0, ?M:table(Table, {traverse, first_next})),
         ?assert(Seen >= 500),
         ?assertEqual(0, ?M:info(Table, size))
     end || Kind <- tsunami_test:kinds()].

a_cursor_of_another_process_is_fed_by_the_parent_test() ->
    Table = filled(ordered_set),
    Cursor = qlc:cursor(?M:table(Table, [{traverse, first_next}])),
    ?assertEqual([{1, 1}, {2, 2}], qlc:next_answers(Cursor, 2)),
    ?assertEqual(true, ?M:info(Table, fixed)),
    ?assertEqual([{3, 3}], qlc:next_answers(Cursor, 1)),
    ok = qlc:delete_cursor(Cursor),
    tsunami_test:wait_until(fun() -> not ?M:info(Table, fixed) end).

wrong_arguments_are_badarg_test() ->
    Table = ?M:new(x, []),
    [?assertMatch({error, badarg, table, [Table, Options], _, _}, tsunami_test:outcome(?M, table, [Table, Options])) || Options <- [[{traverse, x}], [{n_objects, 0}]]],
    [?assertError(badarg, ?M:table(Table, Options)) || Options <- [foo, [foo], [{n_objects, 1} | x], [{parent_fun, x}]]],
    [?assertError(badarg, ?M:table(T)) || T <- [1, make_ref()]],
    ?assertError(badarg, qlc:e(?M:table(no_such_table, [{traverse, first_next}]))).

wrong_arguments_are_named_test() ->
    tsunami_test:not_ets("has no text for them"),
    Table = ?M:new(x, []),
    [?assertMatch({error, badarg, table, [Table, Options], _, #{2 := _}}, tsunami_test:outcome(?M, table, [Table, Options]))
     || Options <- [foo, [foo], [{n_objects, 1} | x], [{parent_fun, x}], {traverse, x}]],
    ?assertMatch({error, badarg, table, [1], type, #{1 := _}}, tsunami_test:outcome(?M, table, [1])).
