%% update_counter and update_element.
-module(tsunami_counter_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

sets() -> [set, ordered_set].
new(Options) -> ?M:new(t, [public | Options]).

each(Fun) -> lists:foreach(fun(Kind) -> T = new([Kind]), Fun(T), ?M:delete(T) end, sets()).

a_bare_increment_adds_to_the_element_after_the_key_test() ->
    [begin
         T = new([Kind, {keypos, KeyPos}]),
         ?M:insert(T, {1, 1, 1, 1}),
         ?assertEqual(6, ?M:update_counter(T, 1, 5)),
         ?assertEqual([setelement(KeyPos + 1, {1, 1, 1, 1}, 6)], ?M:lookup(T, 1))
     end || Kind <- sets(), KeyPos <- [1, 2, 3]].

a_list_of_operations_is_done_from_left_to_right_test() ->
    each(fun(T) ->
                 ?M:insert(T, {k, 10, 20}),
                 ?assertEqual([11, 21, 12, 22], ?M:update_counter(T, k, [{2, 1}, {3, 1}, {2, 1}, {3, 1}])),
                 ?assertEqual([], ?M:update_counter(T, k, [])),
                 ?assertEqual([{k, 12, 22}], ?M:lookup(T, k))
         end).

a_sum_beyond_the_threshold_becomes_the_set_value_test() ->
    each(fun(T) ->
                 ?M:insert(T, {k, 9}),
                 ?assertEqual(10, ?M:update_counter(T, k, {2, 1, 10, 0})),
                 ?assertEqual(0, ?M:update_counter(T, k, {2, 1, 10, 0})),
                 ?assertEqual(-1, ?M:update_counter(T, k, {2, -1, -1, 5})),
                 ?assertEqual(5, ?M:update_counter(T, k, {2, -1, -1, 5})),
                 ?assertEqual(7, ?M:update_counter(T, k, {2, 0, 3, 7})),
                 ?assertEqual(7, ?M:update_counter(T, k, {2, 0, 7, 1})),
                 ?assertEqual(1 bsl 80, ?M:update_counter(T, k, {2, 1 bsl 70, 1 bsl 60, 1 bsl 80}))
         end).

counters_run_over_from_small_integers_to_large_ones_and_back_test() ->
    each(fun(T) ->
                 [begin
                      ?M:insert(T, {k, Start}),
                      ?assertEqual(Start + Incr, ?M:update_counter(T, k, Incr)),
                      ?assertEqual([{k, Start + Incr}], ?M:lookup(T, k)),
                      ?assertEqual(Start, ?M:update_counter(T, k, -Incr)),
                      ?assertEqual([{k, Start}], ?M:lookup(T, k))
                  end || Bits <- [0, 6, 7, 8, 15, 16, 27, 28, 31, 32, 58, 59, 60, 62, 63, 64, 65, 127, 128, 1000], Sign <- [1, -1], Delta <- [-1, 0, 1],
                         Start <- [Sign * (1 bsl Bits) + Delta], Incr <- [1, -1, 2, 1 bsl 59, -(1 bsl 59), 1 bsl 63, 1 bsl 64, -(1 bsl 64), -Start, -2 * Start]]
         end).

anything_wrong_in_a_list_changes_nothing_test() ->
    each(fun(T) ->
                 Object = {k, 1, 2, x},
                 ?M:insert(T, Object),
                 [begin
                      ?assertError(badarg, ?M:update_counter(T, k, Ops)),
                      ?assertEqual([Object], ?M:lookup(T, k))
                  end || Bad <- [{1, 1}, {0, 1}, {5, 1}, {-1, 1}, {4, 1}, {2, x}, {2, 1.0}, {2, 1, 2}, {2, 1, x, 2}, {2, 1, 2, x}, {x, 1}, x, {2}, []],
                         Ops <- [Bad, [{2, 1}, {3, 1}, Bad], [Bad, {2, 1}], [{2, 1} | Bad]], Ops =/= [],
                         not right(Ops)],
                 [begin
                      ?assertError(badarg, ?M:update_element(T, k, Specs)),
                      ?assertEqual([Object], ?M:lookup(T, k))
                  end || Bad <- [{1, y}, {0, y}, {5, y}, {-1, y}, {x, y}, x, {2}, {2, a, b}], Specs <- [Bad, [{2, y}, Bad], [Bad, {2, y}], [{2, y} | Bad]]]
         end).

%% [{2, 1} | []] is right.
right([{2, 1}]) -> true;
right(_) -> false.

the_arguments_of_a_failed_update_are_untouched_test() ->
    each(fun(T) ->
                 Big = 1 bsl 100,
                 Ops = [{2, Big}, {3, Big}, {4, 1}],
                 ?M:insert(T, {k, Big, Big, x}),
                 ?assertError(badarg, ?M:update_counter(T, k, Ops)),
                 ?assertEqual([{2, 1 bsl 100}, {3, 1 bsl 100}, {4, 1}], Ops),
                 ?assertEqual([{k, Big, Big, x}], ?M:lookup(T, k))
         end).

an_absent_key_gets_the_default_and_then_the_update_test() ->
    each(fun(T) ->
                 ?assertEqual(15, ?M:update_counter(T, k, 5, {other, 10})),
                 ?assertEqual([{k, 15}], ?M:lookup(T, k)),
                 ?assertEqual(16, ?M:update_counter(T, k, 1, {other, 10})),
                 ?assertEqual([2, 3], ?M:update_counter(T, j, [{2, 1}, {3, 1}], {x, 1, 2, extra})),
                 ?assertEqual([{j, 2, 3, extra}], ?M:lookup(T, j)),
                 ?assertEqual([], ?M:update_counter(T, i, [], {x, 1})),
                 ?assertEqual([{i, 1}], ?M:lookup(T, i))
         end).

a_wrong_default_or_update_of_an_absent_key_inserts_nothing_test() ->
    [begin
         T = new([Kind, {keypos, KeyPos}]),
         [begin
              ?assertError(badarg, ?M:update_counter(T, k, Ops, Default)),
              ?assertEqual(0, ?M:info(T, size))
          end || {Ops, Default} <- [{{3, x}, {a, b, 1}}, {{9, 1}, {a, b, 1}}, {{KeyPos, 1}, {a, b, 1}}, {{3, 1}, {a, b, c}}, {{3, 1}, x}, {{3, 1}, [a]}]
                                   ++ [{Ops, Default} || not tsunami_test:is_ets(), Ops <- [{3, 1}, []], Default <- [{}, erlang:make_tuple(KeyPos - 1, 1)]]]
     end || Kind <- sets(), KeyPos <- [1, 2]].

update_element_sets_elements_from_left_to_right_test() ->
    each(fun(T) ->
                 ?M:insert(T, {k, 1, 2}),
                 ?assert(?M:update_element(T, k, {2, new})),
                 ?assert(?M:update_element(T, k, [{3, a}, {3, binary:copy(<<"b">>, 2000)}])),
                 ?assertEqual([{k, new, binary:copy(<<"b">>, 2000)}], ?M:lookup(T, k)),
                 ?assert(?M:update_element(T, k, [])),
                 ?assertNot(?M:update_element(T, absent, [])),
                 ?assertNot(?M:update_element(T, absent, {2, x})),
                 ?assertEqual(1, ?M:info(T, size))
         end).

update_element_puts_any_value_into_any_place_test() ->
    Values = [0, -1, 111, 112, -17, 1 bsl 20, 1 bsl 30, 1 bsl 47, 1 bsl 55, -(1 bsl 55) - 1, (1 bsl 59) - 1, 1 bsl 59, 1 bsl 63, 1 bsl 64, a, '', [],
              self(), make_ref(), 1.5, <<>>, <<"short">>, <<1:3>>, binary:copy(<<"b">>, 100), binary:copy(<<"b">>, 600), {t, 1}, [1, 2],
              "text", [a | b], #{a => 1}, fun(X) -> X end, fun lists:map/2],
    [begin
         T = new([Kind, {keypos, KeyPos}]),
         Object = setelement(KeyPos, list_to_tuple(Elements), k),
         ?M:insert(T, Object),
         lists:foldl(fun({Pos, Value}, Was) ->
                             ?assert(?M:update_element(T, k, {Pos, Value})),
                             Is = setelement(Pos, Was, Value),
                             ?assertEqual([Is], ?M:lookup(T, k)),
                             Is
                     end, Object, [{Pos, Value} || Pos <- lists:usort([1, 2, 3, tuple_size(Object)]), Pos =/= KeyPos, Value <- Values]),
         ?assertEqual(1, ?M:info(T, size)),
         ?M:delete(T)
     end || Kind <- sets(), KeyPos <- [1, 2],
            Elements <- [[x, 1, 2], lists:seq(1, 14), lists:duplicate(20, 1), [x, y, z, binary:copy(<<"p">>, 110)], [x, y, z, binary:copy(<<"p">>, 400)]]].

update_element_with_a_default_inserts_it_for_an_absent_key_test() ->
    each(fun(T) ->
                 Update = fun(K, Specs, Default) -> tsunami_test:call(?M, update_element, [T, K, Specs, Default]) end,
                 ?assert(Update(k, {2, x}, {other, 1, 2})),
                 ?assertEqual([{k, x, 2}], ?M:lookup(T, k)),
                 ?assert(Update(k, {3, y}, {other, 1, 2})),
                 ?assertEqual([{k, x, y}], ?M:lookup(T, k)),
                 ?assertError(badarg, Update(j, {9, x}, {other, 1})),
                 ?assertError(badarg, Update(j, {1, x}, {other, 1})),
                 ?assertError(badarg, Update(j, {2, x}, nothing)),
                 ?assertEqual([], ?M:lookup(T, j))
         end).

counters_of_many_processes_add_up_test_() ->
    {timeout, 60,
     fun() ->
             [begin
                  T = new([Kind, {write_concurrency, true}]),
                  Self = self(),
                  N = 20000,
                  [spawn_link(fun() -> [?M:update_counter(T, I rem 3, {2, 1}, {x, 0}) || I <- lists:seq(1, N)], Self ! {done, ok} end) || _ <- [1, 2, 3, 4]],
                  tsunami_test:collect(done, 4),
                  ?assertEqual(4 * N, lists:sum([V || {_, V} <- ?M:tab2list(T)])),
                  ?M:delete(T)
              end || Kind <- sets()]
     end}.

updates_of_different_elements_by_different_processes_are_all_kept_test_() ->
    {timeout, 60,
     fun() ->
             [begin
                  T = new([Kind]),
                  ?M:insert(T, {k, 0, 0, Last}),
                  Self = self(),
                  N = 10000,
                  [spawn_link(fun() -> [?M:update_counter(T, k, {Pos, 1}) || _ <- lists:seq(1, N)], Self ! {done, ok} end) || Pos <- [2, 3, 2]],
                  tsunami_test:collect(done, 3),
                  ?assertEqual([{k, 2 * N, N, Last}], ?M:lookup(T, k)),
                  ?M:delete(T)
              end || Kind <- sets(), Last <- [x, binary:copy(<<"x">>, 3000)]]
     end}.
