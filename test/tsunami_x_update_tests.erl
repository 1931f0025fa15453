%% What ets does not have, of single objects and of some: looked up together, taken, exchanged.
-module(tsunami_x_update_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, tsunami).
-define(X, tsunami_x).

new(Kind) -> new(Kind, []).
new(Kind, Options) -> ?M:new(t, [Kind, public | Options]).

%% A test for each kind of table.
each(Kinds, Fun) -> [{atom_to_list(Kind), {timeout, 120, fun() -> Fun(Kind) end}} || Kind <- Kinds].
each(Fun) -> each(tsunami_test:kinds(), Fun).
each_set(Fun) -> each([set, ordered_set], Fun).
each_bag(Fun) -> each([bag, duplicate_bag], Fun).

%% Options that change nothing about answers, and where the key is.
layouts() -> [{1, []}, {2, [{keypos, 2}]}, {1, [compressed]}, {3, [{keypos, 3}, compressed]}].

%% An object with that key.
object(KeyPos, Key, Values) -> list_to_tuple(lists:sublist(Values, KeyPos - 1) ++ [Key] ++ lists:nthtail(KeyPos - 1, Values)).

some_keys() -> [1, 1.0, 2, -7, 1 bsl 90, a, "list", [], <<"binary">>, {tuple, 1}, #{map => 1}, self(), ref(), 2.5, <<1:3>>, fun erlang:abs/1].

%% The same one for a whole test.
ref() ->
    case get(ref) of
        undefined -> put(ref, make_ref()), get(ref);
        Ref -> Ref
    end.

%% Small and large things, those with handles too.
values() -> [a, binary:copy(<<"large">>, 1000), #{x => [1.5, -0.0]}].

filled(Kind, KeyPos, Options) ->
    T = new(Kind, Options),
    ?M:insert(T, [object(KeyPos, K, values()) || K <- some_keys()]),
    ?M:insert(T, [object(KeyPos, K, [b, 0, K]) || K <- some_keys()]),
    T.

%% --- lookup_many, lookup_elements ------------------------------------------------------

lookup_many_answers_what_lookup_answers_for_each_key_test_() ->
    each(fun(Kind) ->
                 [begin
                      T = filled(Kind, KeyPos, Options),
                      Keys = some_keys() ++ [absent, 99, 2.0] ++ lists:reverse(some_keys()),
                      ?assertEqual([?M:lookup(T, K) || K <- Keys], ?X:lookup_many(T, Keys)),
                      ?assertEqual([], ?X:lookup_many(T, [])),
                      ?M:delete(T)
                  end || {KeyPos, Options} <- layouts()]
         end).

lookup_many_of_a_million_keys_lets_others_run_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     ?M:insert(T, [{I, I} || I <- lists:seq(1, 1000)]),
                     Keys = lists:append(lists:duplicate(1000, lists:seq(1, 1000))),
                     Self = self(),
                     Pid = spawn_link(fun() ->
                                              receive go -> ok end,
                                              Answers = ?X:lookup_many(T, Keys),
                                              Self ! {right, Answers =:= [[{K, K}] || K <- Keys]}
                                      end),
                     erlang:trace(Pid, true, [running]),
                     Pid ! go,
                     ?assertEqual([true], tsunami_test:collect(right, 1)),
                     ?assert(times_out(Pid, 0) > 5)
             end).

%% How often a process has left its scheduler in the middle of a lookup.
times_out(Pid, N) ->
    receive
        {trace, Pid, out, {tsunami_nif, lookup_many, 3}} -> times_out(Pid, N + 1);
        {trace, Pid, _, _} -> times_out(Pid, N)
    after 100 -> N
    end.

lookup_many_goes_through_keys_with_very_many_objects_test_() ->
    each_bag(fun(Kind) ->
                     T = new(Kind),
                     [?M:insert(T, [{K, I} || I <- lists:seq(1, N)]) || {K, N} <- [{a, 3}, {b, 999}, {c, 1000}, {d, 1001}, {e, 30000}, {f, 1}]],
                     [?assertEqual([?M:lookup(T, K) || K <- Keys], ?X:lookup_many(T, Keys))
                      || Keys <- [[a, b, c, d, e, f], [e], [e, e, x, a], [a, e], [d, c, b, e, a]]]
             end).

lookup_many_goes_on_with_the_table_that_it_has_found_test_() ->
    {timeout, 60,
     fun() ->
             ?M:new(tsunami_x_a, [named_table, public]),
             ?M:insert(tsunami_x_a, [{I, old} || I <- lists:seq(1, 1000)]),
             Keys = lists:append(lists:duplicate(500, lists:seq(1, 1000))),
             Self = self(),
             spawn_link(fun() -> Self ! {values, lists:usort([V || [{_, V}] <- ?X:lookup_many(tsunami_x_a, Keys)])} end),
             timer:sleep(3),
             Old = ?M:whereis(tsunami_x_a),
             ?M:rename(tsunami_x_a, tsunami_x_b),
             ?M:new(tsunami_x_a, [named_table, public]),
             ?M:insert(tsunami_x_a, [{I, new} || I <- lists:seq(1, 1000)]),
             [Values] = tsunami_test:collect(values, 1),
             ?assertMatch([_], Values),
             ?M:delete(Old),
             ?M:delete(tsunami_x_a)
     end}.

lookup_elements_answers_elements_in_the_order_of_the_positions_test_() ->
    each_set(fun(Kind) ->
                     [begin
                          T = filled(Kind, KeyPos, Options),
                          [begin
                               [Object] = ?M:lookup(T, K),
                               ?assertEqual(list_to_tuple([element(P, Object) || P <- Positions]), ?X:lookup_elements(T, K, Positions))
                           end || K <- some_keys(),
                                  Positions <- [[], [1], [4], [2, 4], [4, 3, 2, 1], [2, 2], [3, 1, 3, 1], lists:append(lists:duplicate(20, [4, 1, 2]))]],
                          ?M:delete(T)
                      end || {KeyPos, Options} <- layouts()]
             end).

lookup_elements_of_a_large_tuple_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     Object = list_to_tuple([k | [case I rem 4 of 0 -> I; 1 -> {I, [I]}; 2 -> <<I:64>>; 3 -> #{I => "text"} end || I <- lists:seq(2, 1000)]]),
                     ?M:insert(T, Object),
                     rand:seed(exsss, tsunami_test:seed()),
                     [begin
                          Positions = [rand:uniform(1000) || _ <- lists:seq(1, rand:uniform(50))],
                          ?assertEqual(list_to_tuple([element(P, Object) || P <- Positions]), ?X:lookup_elements(T, k, Positions))
                      end || _ <- lists:seq(1, 200)]
             end).

lookup_elements_answers_a_tuple_for_each_object_of_a_bag_test_() ->
    each_bag(fun(Kind) ->
                     [begin
                          T = new(Kind),
                          ?M:insert(T, [{k, I, {I}, <<I:32>>} || I <- lists:seq(1, N)]),
                          ?assertEqual([{<<I:32>>, k, I} || I <- lists:seq(1, N)], ?X:lookup_elements(T, k, [4, 1, 2])),
                          ?assertEqual([{} || _ <- lists:seq(1, N)], ?X:lookup_elements(T, k, [])),
                          ?assertError(badarg, ?X:lookup_elements(T, k, [5])),
                          ?M:insert(T, {k, short}),
                          ?assertError(badarg, ?X:lookup_elements(T, k, [1, 3])),
                          ?assertEqual(N + 1, length(?X:lookup_elements(T, k, [2]))),
                          ?M:delete(T)
                      end || N <- [1, 2, 10, 999, 1000, 1001, 30000]]
             end).

lookup_elements_beside_a_writer_answers_what_was_there_at_one_moment_test_() ->
    each_bag(fun(Kind) ->
                     T = new(Kind),
                     ?M:insert(T, [{k, I, x} || I <- lists:seq(1, 20000)]),
                     Writer = spawn_link(fun() -> append(T, 20001) end),
                     [begin
                          Seen = ?X:lookup_elements(T, k, [2]),
                          ?assertEqual([{I} || I <- lists:seq(1, length(Seen))], Seen)
                      end || _ <- lists:seq(1, 20)],
                     unlink(Writer),
                     tsunami_test:stop(Writer)
             end).

append(T, I) ->
    ?M:insert(T, {k, I, x}),
    timer:sleep(1),
    append(T, I + 1).

%% --- take_first, take_last ---------------------------------------------------------------

take_first_and_take_last_empty_a_table_in_its_order_test_() ->
    each(fun(Kind) ->
                 [begin
                      T = filled(Kind, KeyPos, Options),
                      empty(T, take_first, first),
                      ?assertEqual([], ?X:take_first(T)),
                      ?M:delete(T),
                      U = filled(Kind, KeyPos, Options),
                      empty(U, take_last, last),
                      ?assertEqual([], ?X:take_last(U)),
                      ?M:delete(U)
                  end || {KeyPos, Options} <- layouts()]
         end).

empty(T, Take, End) ->
    case ?M:End(T) of
        '$end_of_table' ->
            ?assertEqual(0, ?M:info(T, size));
        Key ->
            Objects = ?M:lookup(T, Key),
            ?assertEqual(Objects, ?X:Take(T)),
            ?assertNot(?M:member(T, Key)),
            empty(T, Take, End)
    end.

take_first_takes_all_objects_of_a_key_however_many_test_() ->
    each_bag(fun(Kind) ->
                     [begin
                          T = new(Kind),
                          Objects = [{k, I} || I <- lists:seq(1, N)],
                          ?M:insert(T, Objects),
                          ?assertEqual(Objects, ?X:Take(T)),
                          ?assertEqual([], ?X:Take(T)),
                          ?assertEqual(0, ?M:info(T, size)),
                          ?M:delete(T)
                      end || N <- [1, 2, 999, 1000, 1001, 30000], Take <- [take_first, take_last]]
             end).

of_many_takers_one_gets_each_object_test_() ->
    each(fun(Kind) ->
                 [begin
                      T = new(Kind),
                      Objects = [{I, J} || I <- lists:seq(1, 5000), J <- [1, 2]],
                      ?M:insert(T, Objects),
                      Inserted = lists:sort(?M:tab2list(T)),
                      Self = self(),
                      [spawn_link(fun() -> Self ! {taken, drain(T, Take, [])} end) || Take <- Takes],
                      Taken = lists:append(tsunami_test:collect(taken, length(Takes))),
                      ?assertEqual(Inserted, lists:sort(Taken)),
                      ?assertEqual(0, ?M:info(T, size)),
                      ?M:delete(T)
                  end || Takes <- [[take_first, take_first, take_first, take_first], [take_first, take_last, take_first, take_last]]]
         end).

drain(T, Take, Acc) ->
    case ?X:Take(T) of
        [] -> Acc;
        Objects -> drain(T, Take, Objects ++ Acc)
    end.

of_takers_of_a_long_key_one_gets_it_test_() ->
    each_bag(fun(Kind) ->
                     [begin
                          T = new(Kind),
                          Objects = [{K, I} || K <- [a, b], I <- lists:seq(1, 5000)],
                          ?M:insert(T, Objects),
                          Self = self(),
                          [spawn_link(fun() -> Self ! {taken, drain(T, take_first, [])} end) || _ <- [1, 2, 3]],
                          ?assertEqual(Objects, lists:sort(lists:append(tsunami_test:collect(taken, 3)))),
                          ?M:delete(T)
                      end || _ <- lists:seq(1, 5)]
             end).

%% Each puts back what it takes, so that there is always something, if not always in the same place.
a_table_that_is_never_empty_is_not_found_empty_test_() ->
    [{lists:concat([Kind, ", ", What]), {timeout, 120, fun() -> never_empty(Kind, What) end}} || Kind <- [ordered_set, set, bag], What <- [queue, any]].

never_empty(Kind, What) ->
    T = new(Kind),
    ?M:insert(T, [{I, x} || I <- lists:seq(1, 4)]),
    Number = atomics:new(1, []),
    atomics:put(Number, 1, 4),
    Self = self(),
    [spawn_link(fun() -> Self ! {empty, put_and_take(T, What, Number, rand:seed_s(exsss, P), 5000, 0)} end) || P <- [1, 2, 3]],
    ?assertEqual([0, 0, 0], tsunami_test:collect(empty, 3)),
    ?assertEqual(4, ?M:info(T, size)),
    ?M:delete(T).

put_and_take(_T, _What, _Number, _Rand, 0, Empty) -> Empty;
put_and_take(T, What, Number, Rand0, N, Empty) ->
    {R, Rand} = rand:uniform_s(1000000, Rand0),
    I = atomics:add_get(Number, 1, 1),
    ?M:insert(T, {case What of queue -> I; any -> {R, I} end, x}),
    Found = case ?X:take_first(T) of
                [] -> ?X:take_last(T);
                [_] = Objects -> Objects
            end,
    put_and_take(T, What, Number, Rand, N - 1, Empty + (1 - length(Found))).

a_traversal_of_a_fixed_table_goes_on_from_a_key_that_was_taken_test_() ->
    each(fun(Kind) ->
                 T = new(Kind),
                 ?M:insert(T, [{I, I} || I <- lists:seq(1, 100)]),
                 ?M:safe_fixtable(T, true),
                 First = ?M:first(T),
                 Second = ?M:next(T, First),
                 ?assertEqual([{First, First}], ?X:take_first(T)),
                 ?assertEqual(Second, ?M:next(T, First)),
                 ?assertEqual([Second], ?X:select_take(T, [{{Second, '$1'}, [], ['$1']}])),
                 ?assertEqual(?M:first(T), ?M:next(T, Second)),
                 case Kind of
                     bag -> ok;
                     duplicate_bag -> ok;
                     _ ->
                         Third = ?M:first(T),
                         Fourth = ?M:next(T, Third),
                         ?assert(?X:compare_and_swap(T, Third, [{Third, Third}], [])),
                         ?assertEqual(Fourth, ?M:next(T, Third))
                 end
         end).

%% --- select_take ---------------------------------------------------------------------------

select_take_answers_what_select_does_and_removes_it_test_() ->
    each(fun(Kind) ->
                 [begin
                      T = filled(Kind, KeyPos, Options),
                      U = filled(Kind, KeyPos, Options),
                      Spec = spec(KeyPos, Which),
                      Expected = ?M:select(U, Spec),
                      Left = lists:sort(?M:tab2list(U) -- ?M:select(U, [{Head, Guards, ['$_']} || {Head, Guards, _} <- Spec])),
                      ?assertEqual(in_order(Kind, Expected), in_order(Kind, ?X:select_take(T, Spec))),
                      ?assertEqual(Left, lists:sort(?M:tab2list(T))),
                      ?assertEqual(length(Left), ?M:info(T, size)),
                      ?assertEqual([], ?X:select_take(T, Spec)),
                      ?M:delete(T),
                      ?M:delete(U)
                  end || {KeyPos, Options} <- layouts(), Which <- [all, object, number, key, none, two, result]]
         end).

in_order(ordered_set, Results) -> Results;
in_order(_, Results) -> lists:sort(Results).

spec(_KeyPos, all) -> [{'_', [], [x]}];
spec(_KeyPos, object) -> [{'$1', [], ['$_']}];
spec(KeyPos, number) -> [{object(KeyPos, '$1', ['_', '_', '_']), [{is_number, '$1'}], [{{'$1', '$_'}}]}];
spec(KeyPos, key) -> [{object(KeyPos, a, ['$1', '$2', '_']), [], [['$2', '$1']]}];
spec(_KeyPos, none) -> [];
spec(KeyPos, two) -> [{object(KeyPos, a, ['_', '_', '_']), [], ['$$']}, {object(KeyPos, '$1', ['_', '_', '_']), [{is_binary, '$1'}], [{size, '$1'}]}];
%% Neither true nor an object.
spec(_KeyPos, result) -> [{'_', [], [false]}].

select_take_takes_no_more_than_its_limit_test_() ->
    each(fun(Kind) ->
                 [begin
                      T = new(Kind),
                      ?M:insert(T, [{I, J} || I <- lists:seq(1, 200), J <- [1, 2, 3]]),
                      Size = ?M:info(T, size),
                      Spec = [{{'$1', '$2'}, [{'>', '$1', 20}], [{{'$1', '$2'}}]}],
                      Matching = ?M:select(T, Spec),
                      Taken = ?X:select_take(T, Spec, Limit),
                      ?assertEqual(min(Limit, length(Matching)), length(Taken)),
                      ?assertEqual([], Taken -- Matching),
                      Kind =:= ordered_set andalso ?assertEqual(lists:sublist(Matching, Limit), Taken),
                      ?assertEqual(Size - length(Taken), ?M:info(T, size)),
                      ?assertEqual(lists:sort(Matching -- Taken), lists:sort(?M:select(T, Spec))),
                      ?M:delete(T)
                  end || Limit <- [1, 2, 3, 4, 63, 64, 65, 100, 128, 500, 100000]]
         end).

select_take_of_many_objects_test_() ->
    each(fun(Kind) ->
                 T = new(Kind),
                 N = 100000,
                 ?M:insert(T, [{I, I * 2} || I <- lists:seq(1, N)]),
                 Spec = [{{'$1', '$2'}, [{'=:=', {'rem', '$1', 2}, 0}], ['$2']}],
                 Even = lists:seq(4, 2 * N, 4),
                 ?assertEqual(Even, in_order(case Kind of ordered_set -> ordered_set; _ -> set end, ?X:select_take(T, Spec))),
                 ?assertEqual(N div 2, ?M:info(T, size)),
                 ?assertEqual(N div 4, length(?X:select_take(T, [{'_', [], [x]}], N div 4))),
                 ?assertEqual(N div 4, length(?X:select_take(T, [{'_', [], [x]}]))),
                 ?assertEqual([], ?M:tab2list(T))
         end).

select_take_of_a_key_with_very_many_objects_test_() ->
    each_bag(fun(Kind) ->
                     T = new(Kind),
                     N = 10000,
                     ?M:insert(T, [{k, I} || I <- lists:seq(1, N)]),
                     ?M:insert(T, [{j, I} || I <- lists:seq(1, 10)]),
                     Odd = [I || I <- lists:seq(1, N), I rem 2 =:= 1],
                     ?assertEqual(Odd, ?X:select_take(T, [{{k, '$1'}, [{'=:=', {'rem', '$1', 2}, 1}], ['$1']}])),
                     ?assertEqual([{k, I} || I <- lists:seq(2, N, 2)], ?M:lookup(T, k)),
                     %% the newest
                     ?assertEqual([9998, 10000], ?X:select_take(T, [{{k, '$1'}, [], ['$1']}], 2)),
                     ?assertEqual(N div 2 - 2 + 10, ?M:info(T, size))
             end).

%% Each object has a number of its own, and is changed in place now and then: what is taken was there, and nothing is lost or taken twice.
select_take_beside_inserters_takes_each_object_once_test_() ->
    each(fun(Kind) ->
                 T = new(Kind),
                 Self = self(),
                 PerWriter = 3000,
                 Writers = [spawn_link(fun() ->
                                               [begin
                                                    ?M:insert(T, {key(Kind, {P, I}), {P, I}}),
                                                    I rem 3 =:= 0 andalso ?M:insert(T, [{key(Kind, {P, I, J}), {P, I, J}} || J <- [1, 2]])
                                                end || I <- lists:seq(1, PerWriter)],
                                               Self ! {written, ok}
                                       end) || P <- [1, 2]],
                 Takers = [spawn_link(fun() -> take_until(T, Takes, Self, []) end)
                           || Takes <- [fun(S) -> ?X:select_take(T, S) end, fun(S) -> ?X:select_take(T, S, 10) end]],
                 tsunami_test:collect(written, length(Writers)),
                 [Taker ! stop || Taker <- Takers],
                 Taken = lists:append(tsunami_test:collect(taken, 2)) ++ ?X:select_take(T, [{{'_', '$1'}, [], ['$1']}]),
                 Expected = [{P, I} || P <- [1, 2], I <- lists:seq(1, PerWriter)]
                     ++ [{P, I, J} || P <- [1, 2], I <- lists:seq(3, PerWriter, 3), J <- [1, 2]],
                 ?assertEqual(lists:sort(Expected), lists:sort(Taken)),
                 ?assertEqual(0, ?M:info(T, size))
         end).

%% In bags several objects have the same key.
key(Kind, Id) when Kind =:= set; Kind =:= ordered_set -> Id;
key(_Bag, Id) -> element(2, Id) rem 50.

take_until(T, Take, Parent, Acc) ->
    Acc1 = Take([{{'_', '$1'}, [], ['$1']}]) ++ Acc,
    receive stop -> Parent ! {taken, Acc1}
    after 0 -> take_until(T, Take, Parent, Acc1)
    end.

%% A counter that is moved out of the table as it is: what goes on under its key begins at 0, and the sum is kept.
each_result_was_made_of_the_very_object_that_was_removed_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     Self = self(),
                     N = 20000,
                     [spawn_link(fun() -> [?M:update_counter(T, I rem 3, 1, {x, 0}) || I <- lists:seq(1, N)], Self ! {counted, ok} end) || _ <- [1, 2]],
                     Taker = spawn_link(fun() -> take_until(T, fun(S) -> ?X:select_take(T, S) end, Self, []) end),
                     tsunami_test:collect(counted, 2),
                     Taker ! stop,
                     [Taken] = tsunami_test:collect(taken, 1),
                     ?assertEqual(2 * N, lists:sum(Taken) + lists:sum([C || {_, C} <- ?M:tab2list(T)]))
             end).

who_is_killed_half_way_has_removed_what_it_has_removed_test_() ->
    each(fun(Kind) ->
                 N = 30000,
                 Sizes = [begin
                              T = new(Kind),
                              ?M:insert(T, [{I, I} || I <- lists:seq(1, N)]),
                              Pid = spawn(fun() -> ?X:select_take(T, [{{'$1', '_'}, [], ['$1']}]) end),
                              timer:sleep(Ms),
                              tsunami_test:stop(Pid),
                              Size = ?M:info(T, size),
                              ?assertEqual(Size, length(?M:tab2list(T))),
                              ?assertEqual(Size, length(?X:select_take(T, [{{'$1', '_'}, [], ['$1']}]))),
                              ?M:delete(T),
                              Size
                          end || Ms <- [0, 1, 2, 3, 5, 8, 12]],
                 tsunami_test:print("~p: left of ~b: ~w~n", [Kind, N, Sizes])
         end).

%% --- compare_and_swap ------------------------------------------------------------------------

compare_and_swap_exchanges_an_object_for_another_test_() ->
    each_set(fun(Kind) ->
                     [begin
                          T = new(Kind, Options),
                          Object = fun(K, V) -> object(KeyPos, K, [V, V, V]) end,
                          [begin
                               [A, B] = [[Object(K, V)] || V <- [1, 2]],
                               ?assertEqual({false, []}, ?X:compare_and_swap(T, K, A, B)),
                               ?assertEqual({false, []}, ?X:compare_and_swap(T, K, A, [])),
                               ?assertEqual(true, ?X:compare_and_swap(T, K, [], [])),
                               ?assertEqual(true, ?X:compare_and_swap(T, K, [], A)),
                               ?assertEqual({false, A}, ?X:compare_and_swap(T, K, [], B)),
                               ?assertEqual({false, A}, ?X:compare_and_swap(T, K, [], [])),
                               ?assertEqual({false, A}, ?X:compare_and_swap(T, K, B, A)),
                               ?assertEqual({false, A}, ?X:compare_and_swap(T, K, B, [])),
                               ?assertEqual(A, ?M:lookup(T, K)),
                               ?assertEqual(true, ?X:compare_and_swap(T, K, A, A)),
                               ?assertEqual(true, ?X:compare_and_swap(T, K, A, B)),
                               ?assertEqual(B, ?M:lookup(T, K)),
                               ?assertEqual(1, ?M:info(T, size)),
                               ?assertEqual(true, ?X:compare_and_swap(T, K, B, [])),
                               ?assertEqual([], ?M:lookup(T, K)),
                               ?assertEqual(0, ?M:info(T, size))
                           end || K <- some_keys()],
                          ?M:delete(T)
                      end || {KeyPos, Options} <- layouts()]
             end).

objects_are_compared_as_by_exact_equality_test_() ->
    each_set(fun(Kind) ->
                     Values = [1, 1.0, 0, 0.0, -0.0, a, "a", <<"a">>, <<97:8>>, [97], {}, {1}, {1.0}, #{1 => 1}, #{1 => 1.0}, binary:copy(<<7>>, 600),
                               [binary:copy(<<7>>, 600)], binary:copy(<<7>>, 601), <<(binary:copy(<<7>>, 600))/binary, 8>>, <<1:1>>, make_ref(), self(),
                               fun erlang:abs/1, fun erlang:hd/1, 1 bsl 80, -(1 bsl 80), [a | b], {0.0}, {-0.0}],
                     [begin
                          T = new(Kind),
                          ?M:insert(T, {k, There}),
                          Expected = case There =:= Other of true -> true; false -> {false, [{k, There}]} end,
                          ?assertEqual(Expected, ?X:compare_and_swap(T, k, [{k, Other}], [{k, new}])),
                          ?assertEqual([case There =:= Other of true -> {k, new}; false -> {k, There} end], ?M:lookup(T, k)),
                          ?M:delete(T)
                      end || There <- Values, Other <- Values],
                     T = new(Kind),
                     ?M:insert(T, {k, 1, 2}),
                     ?assertEqual({false, [{k, 1, 2}]}, ?X:compare_and_swap(T, k, [{k, 1}], [])),
                     ?assertEqual({false, [{k, 1, 2}]}, ?X:compare_and_swap(T, k, [{k, 1, 2, 3}], []))
             end).

%% 1 and 1.0 are one key of an ordered_set, and two of a set.
keys_that_compare_equal_test() ->
    S = new(set),
    ?M:insert(S, {1, x}),
    ?assertEqual({false, []}, ?X:compare_and_swap(S, 1.0, [{1.0, x}], [{1.0, y}])),
    ?assertError(badarg, ?X:compare_and_swap(S, 1.0, [{1, x}], [])),
    ?assertError(badarg, ?X:compare_and_swap(S, 1.0, [], [{1, x}])),
    ?assertEqual([[{1, x}], []], ?X:lookup_many(S, [1, 1.0])),
    O = new(ordered_set),
    ?M:insert(O, {1, x}),
    ?assertEqual({false, [{1, x}]}, ?X:compare_and_swap(O, 1.0, [{1.0, x}], [{1.0, y}])),
    ?assertEqual(true, ?X:compare_and_swap(O, 1.0, [{1, x}], [{1.0, y}])),
    ?assertEqual([{1.0, y}], ?M:tab2list(O)),
    ?assertEqual([[{1.0, y}], [{1.0, y}]], ?X:lookup_many(O, [1, 1.0])),
    ?assertEqual({y, 1.0}, ?X:lookup_elements(O, 1, [2, 1])),
    ?assertEqual(true, ?X:compare_and_swap(O, 1, [{1.0, y}], [])),
    ?assertEqual([], ?M:tab2list(O)).

large_binaries_are_let_go_of_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     Large = fun(I) -> binary:copy(<<I:32>>, 250000) end,
                     Kb0 = resident(T),
                     [begin
                          true = ?X:compare_and_swap(T, k, ?M:lookup(T, k), [{k, Large(I)}]),
                          {false, [{k, _}]} = ?X:compare_and_swap(T, k, [{k, Large(I + 1)}], [{k, Large(I + 2)}]),
                          {false, [{k, _}]} = ?X:compare_and_swap(T, k, [], [{k, Large(I + 3)}]),
                          ?assertError(badarg, ?X:compare_and_swap(T, k, [{k, Large(I)}], [{j, Large(I)}])),
                          [{k, B}] = ?X:update(T, k, fun([{k, _}]) -> [{k, Large(I + 4)}] end),
                          ?assertEqual({B}, ?X:lookup_elements(T, k, [2])),
                          ?assertEqual([[{k, B}], []], ?X:lookup_many(T, [k, j])),
                          ?assertEqual([B], ?X:select_take(T, [{{k, '$1'}, [], ['$1']}])),
                          ?M:insert(T, {k, B}),
                          ?assertEqual([{k, B}], ?X:take_first(T)),
                          garbage_collect()
                      end || I <- lists:seq(1, 200)],
                     Kb = resident(T),
                     ?assert(Kb - Kb0 < 150000)
             end).

resident(T) ->
    ?M:delete(T, k),
    garbage_collect(),
    tsunami_test:settle(),
    tsunami_test:resident_kb().

counters_by_compare_and_swap_lose_nothing_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     counted(T, fun(K) -> cas_add(T, K, ?M:lookup(T, K)) end)
             end).

cas_add(T, K, Current) ->
    New = case Current of [] -> [{K, 1}]; [{K, N}] -> [{K, N + 1}] end,
    case ?X:compare_and_swap(T, K, Current, New) of
        true -> ok;
        {false, Other} -> cas_add(T, K, Other)
    end.

counters_by_update_lose_nothing_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     counted(T, fun(K) -> ?X:update(T, K, fun([]) -> [{K, 1}]; ([{_, N}]) -> [{K, N + 1}] end) end)
             end).

counted(T, Add) ->
    Self = self(),
    [spawn_link(fun() -> [Add(I rem 3) || I <- lists:seq(1, 3000)], Self ! {added, ok} end) || _ <- lists:seq(1, 8)],
    tsunami_test:collect(added, 8),
    ?assertEqual([{0, 8000}, {1, 8000}, {2, 8000}], lists:sort(?M:tab2list(T))),
    ?M:delete(T).

%% Tokens move between the table and the processes, one to a key.
objects_that_come_and_go_by_compare_and_swap_are_never_doubled_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     ?M:insert(T, [{I, token} || I <- lists:seq(1, 5)]),
                     Self = self(),
                     [spawn_link(fun() -> Self ! {held, hold(T, rand:seed_s(exsss, P), 5000, 0)} end) || P <- lists:seq(1, 4)],
                     ?assertEqual(5, lists:sum(tsunami_test:collect(held, 4)) + ?M:info(T, size)),
                     ?assertEqual(?M:info(T, size), length(?M:tab2list(T)))
             end).

hold(_T, _Rand, 0, Held) -> Held;
hold(T, Rand0, N, Held) ->
    {K, Rand} = rand:uniform_s(10, Rand0),
    Held1 = case Held > 0 andalso ?X:compare_and_swap(T, K, [], [{K, token}]) of
                true -> Held - 1;
                _ ->
                    case ?X:compare_and_swap(T, K, [{K, token}], []) of
                        true -> Held + 1;
                        {false, []} -> Held
                    end
            end,
    hold(T, Rand, N - 1, Held1).

%% A list insert that holds the key is beside, before or after each exchange, never half in it.
compare_and_swap_beside_list_inserts_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     Self = self(),
                     Keys = lists:seq(1, 20),
                     ?M:insert(T, [{K, list, 0} || K <- Keys]),
                     spawn_link(fun() -> [?M:insert(T, [{K, list, R} || K <- Keys]) || R <- lists:seq(1, 500)], Self ! {done, ok} end),
                     [spawn_link(fun() -> swap_on(T, 3000, rand:seed_s(exsss, P)), Self ! {done, ok} end) || P <- [1, 2]],
                     tsunami_test:collect(done, 3),
                     ?assertEqual(20, ?M:info(T, size)),
                     ?M:insert(T, [{K, last} || K <- Keys]),
                     ?assertEqual([{K, last} || K <- Keys], lists:sort(?M:tab2list(T)))
             end).

swap_on(_T, 0, _Rand) -> ok;
swap_on(T, N, Rand0) ->
    {K, Rand} = rand:uniform_s(20, Rand0),
    Current = ?M:lookup(T, K),
    case ?X:compare_and_swap(T, K, Current, [{K, single, N}]) of
        true -> ok;
        {false, [_]} -> ok
    end,
    swap_on(T, N - 1, Rand).

%% --- update ------------------------------------------------------------------------------------

update_puts_what_the_fun_answers_test_() ->
    each_set(fun(Kind) ->
                     [begin
                          T = new(Kind, Options),
                          A = object(KeyPos, k, [1, 1, 1]),
                          B = object(KeyPos, k, values()),
                          ?assertEqual([], ?X:update(T, k, fun([]) -> [] end)),
                          ?assertEqual([A], ?X:update(T, k, fun([]) -> [A] end)),
                          ?assertEqual([B], ?X:update(T, k, fun([O]) when O =:= A -> [B] end)),
                          ?assertEqual([B], ?X:update(T, k, fun(Same) -> Same end)),
                          ?assertEqual([B], ?M:lookup(T, k)),
                          ?assertEqual([], ?X:update(T, k, fun([O]) when O =:= B -> [] end)),
                          ?assertEqual(0, ?M:info(T, size)),
                          ?M:delete(T)
                      end || {KeyPos, Options} <- layouts()]
             end).

update_calls_the_fun_again_if_the_key_has_changed_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     ?M:insert(T, {k, 0}),
                     %% somebody else, ten times
                     put(left, 10),
                     Fun = fun([{k, N}]) ->
                                   Left = get(left),
                                   Left > 0 andalso begin put(left, Left - 1), ?M:update_counter(T, k, 1) end,
                                   [{k, {N}}]
                           end,
                     ?assertEqual([{k, {10}}], ?X:update(T, k, Fun)),
                     ?assertEqual([{k, {10}}], ?M:lookup(T, k))
             end).

what_the_fun_raises_is_raised_and_nothing_is_changed_test_() ->
    each_set(fun(Kind) ->
                     T = new(Kind),
                     ?M:insert(T, {k, 0}),
                     ?assertError(mine, ?X:update(T, k, fun(_) -> error(mine) end)),
                     ?assertThrow(mine, ?X:update(T, k, fun(_) -> throw(mine) end)),
                     ?assertError(badarg, ?X:update(T, k, fun(_) -> ?M:lookup(nobody, 1) end)),
                     ?assertEqual([{k, 0}], ?M:tab2list(T))
             end).

update_goes_on_with_the_table_that_it_has_found_test() ->
    A = ?M:new(tsunami_x_update, [named_table, public]),
    Old = ?M:whereis(A),
    ?M:insert(A, {k, 1}),
    New = ?X:update(A, k, fun([{k, 1}]) ->
                                  ?M:rename(A, tsunami_x_renamed),
                                  ?M:new(tsunami_x_update, [named_table, public]),
                                  ?M:insert(tsunami_x_update, {k, 1}),
                                  [{k, 2}]
                          end),
    ?assertEqual([{k, 2}], New),
    ?assertEqual([{k, 2}], ?M:lookup(Old, k)),
    ?assertEqual([{k, 1}], ?M:lookup(tsunami_x_update, k)),
    ?M:delete(Old),
    ?M:delete(tsunami_x_update).

%% --- errors ---------------------------------------------------------------------------------

%% Function, arguments after the table.
calls() ->
    [{lookup_many, [[1]]}, {lookup_elements, [1, [1]]}, {take_first, []}, {take_last, []}, {select_take, [[{'_', [], ['$_']}]]},
     {select_take, [[{'_', [], ['$_']}], 1]}, {compare_and_swap, [1, [], [{1, 1}]]}, {update, [1, fun(_) -> [{1, 1}] end]}].

writes(Function) -> Function =/= lookup_many andalso Function =/= lookup_elements.

fails(Function, Args, Texts) ->
    {error, badarg, F, A, _Cause, Seen} = tsunami_test:outcome(?X, Function, Args),
    ?assertEqual({Function, Args, Texts}, {F, A, Seen}).

tables_that_are_not_there_are_refused_test() ->
    Gone = new(set),
    ?M:delete(Gone),
    NoSuch = #{1 => <<"the table identifier does not refer to an existing ETS table">>},
    [begin
         fails(F, [Gone | A], NoSuch),
         fails(F, [nobody_of_that_name | A], NoSuch),
         fails(F, ["no table" | A], #{1 => <<"not an atom or a table identifier">>}),
         fails(F, [make_ref() | A], #{1 => <<"not a valid table identifier">>})
     end || {F, A} <- calls()].

tables_of_others_are_refused_test_() ->
    each_set(fun(Kind) ->
                     NoRight = #{1 => <<"the table identifier refers to an ETS table with insufficient access rights">>},
                     [begin
                          Owner = tsunami_test:spawn_owner(fun() -> ok end),
                          T = tsunami_test:ask(Owner, fun() -> X = ?M:new(t, [Kind, Protection]), ?M:insert(X, {1, 0}), X end),
                          [case Protection =:= private orelse writes(F) of
                               true -> fails(F, [T | A], NoRight);
                               false -> ?assertMatch({ok, _}, tsunami_test:outcome(?X, F, [T | A]))
                           end || {F, A} <- calls()],
                          ?assertEqual([{1, 0}], tsunami_test:ask(Owner, fun() -> ?M:tab2list(T) end)),
                          [tsunami_test:ask(Owner, fun() -> apply(?X, F, [T | A]) end) || {F, A} <- calls(), F =/= lookup_elements],
                          tsunami_test:stop(Owner),
                          [fails(F, [T | A], #{1 => <<"the table identifier does not refer to an existing ETS table">>}) || {F, A} <- calls()]
                      end || Protection <- [protected, private]]
             end).

tables_are_found_by_their_names_test() ->
    T = ?M:new(tsunami_x_named, [named_table, ordered_set]),
    ?M:insert(T, [{I, I} || I <- lists:seq(1, 9)]),
    ?assertEqual([[{1, 1}], []], ?X:lookup_many(T, [1, 10])),
    ?assertEqual({2}, ?X:lookup_elements(T, 2, [1])),
    ?assertEqual([{1, 1}], ?X:take_first(T)),
    ?assertEqual([{9, 9}], ?X:take_last(T)),
    ?assertEqual([2], ?X:select_take(T, [{{'$1', '_'}, [], ['$1']}], 1)),
    ?assert(?X:compare_and_swap(T, 3, [{3, 3}], [{3, 4}])),
    ?assertEqual([{3, 5}], ?X:update(T, 3, fun([{3, 4}]) -> [{3, 5}] end)),
    ?M:delete(T).

%% Whether the table holds the key or not.
arguments_are_checked_first_test_() ->
    each(fun(Kind) ->
                 Filled = new(Kind),
                 ?M:insert(Filled, [{1, 1}]),
                 Limit0 = #{3 => <<"out of range">>},
                 NoNumber = #{3 => <<"not an integer">>},
                 NoSpec = #{2 => <<"not a valid match specification">>},
                 NoPositions = #{3 => <<"not a list of positions">>},
                 [begin
                      [fails(lookup_many, [T, Keys], #{2 => Text})
                       || {Keys, Text} <- [{a, <<"not a list">>}, {1, <<"not a list">>}, {[1 | 2], <<"not a proper list">>}, {[1, 2 | 3], <<"not a proper list">>}]],
                      [fails(lookup_elements, [T, 1, P], NoPositions)
                       || P <- [a, 1, {1}, [a], [1 | 2], [0], [1, 0], [-1], [1.0], [1, 2 | a]]],
                      fails(select_take, [T, foo], NoSpec),
                      fails(select_take, [T, [{a, b}]], NoSpec),
                      fails(select_take, [T, foo, 1], NoSpec),
                      Good = [{'_', [], ['$_']}],
                      [fails(select_take, [T, Spec, L], Text) || Spec <- [Good, []], {L, Text} <- [{0, Limit0}, {-1, Limit0}, {1 bsl 70, Limit0}, {a, NoNumber}, {all, NoNumber}, {1.0, NoNumber}]]
                  end || T <- [new(Kind), Filled]],
                 ?assertEqual([{1, 1}], ?M:tab2list(Filled)),
                 fails(lookup_elements, [Filled, 2, [1]], #{2 => <<"not a key that exists in the table">>}),
                 Beyond = #{3 => <<"position is greater than the size of the object">>},
                 [fails(lookup_elements, [Filled, 1, P], Beyond) || P <- [[3], [1, 3], [3, 1], [1 bsl 58], [1 bsl 70]]]
         end).

bags_are_refused_where_a_key_has_one_object_test_() ->
    each_bag(fun(Kind) ->
                     T = new(Kind),
                     WrongType = #{1 => <<"the table identifier refers to an ETS table of a type not supported by this operation">>},
                     [fails(F, [T | A], WrongType) || {F, A} <- calls(), F =:= compare_and_swap orelse F =:= update],
                     ?assertEqual([], ?M:tab2list(T))
             end).

what_is_no_content_of_a_key_is_refused_test_() ->
    each_set(fun(Kind) ->
                     Content = <<"not an empty list or a list of one object">>,
                     Other = <<"the object has another key, or no element at the key position">>,
                     [begin
                          Wrong = [{a, Content}, {{1, 1}, Content}, {[{1, 1}, {1, 2}], Content}, {[{1, 1} | x], Content}, {[a], <<"not a tuple">>},
                                   {[{}], <<"is an empty tuple">>}, {[{2, 1}], Other}] ++ [{[{1}], Other} || KeyPos =:= 2],
                          [begin
                               T = new(Kind, [{keypos, KeyPos}]),
                               Is andalso ?M:insert(T, {1, 1}),
                               fails(compare_and_swap, [T, 1, X, [{1, 1}]], #{3 => Text}),
                               fails(compare_and_swap, [T, 1, X, []], #{3 => Text}),
                               fails(compare_and_swap, [T, 1, [{1, 1}], X], #{4 => Text}),
                               fails(compare_and_swap, [T, 1, [], X], #{4 => Text}),
                               fails(update, [T, 1, fun(_) -> X end], #{3 => <<"the fun has answered neither an empty list nor a list of one object with that key">>}),
                               ?assertEqual([{1, 1} || Is], ?M:tab2list(T)),
                               ?M:delete(T)
                           end || {X0, Text} <- Wrong, Is <- [true, false], X <- [case {KeyPos, X0} of {2, [{2, 1}]} -> [{1, 2}]; _ -> X0 end]]
                      end || KeyPos <- [1, 2]],
                     T = new(Kind),
                     [fails(update, [T, 1, F], #{3 => <<"not a fun of one argument">>}) || F <- [a, fun() -> [] end, fun(_, _) -> [] end]]
             end).
