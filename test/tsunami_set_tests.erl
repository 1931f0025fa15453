%% Tables of type set, and what all types have in common.
-module(tsunami_set_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

new(Options) -> ?M:new(t, [public | Options]).

an_object_replaces_the_one_with_its_key_test() ->
    T = new([set]),
    true = ?M:insert(T, {k, 1}),
    true = ?M:insert(T, {k, 2, extra}),
    ?assertEqual([{k, 2, extra}], ?M:lookup(T, k)),
    ?assertEqual(1, ?M:info(T, size)).

one_and_one_point_zero_are_two_keys_of_a_set_test() ->
    T = new([set]),
    ?M:insert(T, [{1, int}, {1.0, float}]),
    ?assertEqual([{1, int}], ?M:lookup(T, 1)),
    ?assertEqual([{1.0, float}], ?M:lookup(T, 1.0)),
    ?assertEqual(2, ?M:info(T, size)),
    ?M:insert(T, [{{1, [1]}, a}, {{1.0, [1]}, b}, {{1, [1.0]}, c}]),
    ?assertEqual([{{1, [1.0]}, c}], ?M:lookup(T, {1, [1.0]})).

insert_new_looks_only_at_what_was_there_before_test() ->
    T = new([set]),
    ?assert(?M:insert_new(T, [{q, 1}, {q, 2}])),
    ?assertEqual([{q, 2}], ?M:lookup(T, q)),
    ?assertNot(?M:insert_new(T, [{r, 1}, {q, 3}])),
    ?assertEqual([], ?M:lookup(T, r)),
    ?assertEqual([{q, 2}], ?M:lookup(T, q)),
    ?assert(?M:insert_new(T, [])).

the_last_of_equal_keys_in_a_list_wins_test() ->
    [begin
         T = new([Kind]),
         ?M:insert(T, [{a, 1}, {b, 1}, {a, 2}, {a, 3}]),
         ?assertEqual({[{a, 3}], 2}, {?M:lookup(T, a), ?M:info(T, size)})
     end || Kind <- [set, ordered_set]].

a_bad_object_anywhere_in_a_list_inserts_nothing_test() ->
    tsunami_test:each_kind(
      fun(M, Kind) ->
              T = M:new(t, [Kind, {keypos, 2}]),
              [begin
                   ?assertError(badarg, M:Insert(T, Bad)),
                   ?assertEqual(0, M:info(T, size))
               end || Insert <- [insert, insert_new],
                      Bad <- [[{1, 1}, {2}], [{1, 1}, x], [{1, 1} | x], [{1, 1}, {}], {1}, {}, x, [{I, I} || I <- lists:seq(1, 20000)] ++ [bad],
                              [{I, I} || I <- lists:seq(1, 20000)] ++ bad]],
              M:delete(T)
      end).

delete_object_deletes_only_what_is_the_same_test() ->
    T = new([set]),
    ?M:insert(T, {k, 1}),
    ?M:delete_object(T, {k, 1.0}),
    ?M:delete_object(T, {k, 1, 1}),
    ?M:delete_object(T, {j, 1}),
    ?assertEqual([{k, 1}], ?M:lookup(T, k)),
    ?M:delete_object(T, {k, 1}),
    ?assertEqual([], ?M:lookup(T, k)).

delete_object_compares_large_binaries_and_maps_by_value_test() ->
    tsunami_test:each_kind(
      fun(M, Kind) ->
              T = M:new(t, [Kind]),
              Object = fun() -> {k, binary:copy(<<"x">>, 5000), maps:from_list([{I, I} || I <- lists:seq(1, 100)]), 1 bsl 200} end,
              M:insert(T, Object()),
              M:delete_object(T, setelement(4, Object(), 1 bsl 201)),
              ?assertEqual([Object()], M:lookup(T, k)),
              M:delete_object(T, Object()),
              ?assertEqual([], M:lookup(T, k)),
              M:delete(T)
      end).

take_answers_what_it_removed_test() ->
    tsunami_test:each_kind(
      fun(M, Kind) ->
              T = M:new(t, [Kind]),
              M:insert(T, [{a, 1}, {b, 2}]),
              ?assertEqual([{a, 1}], M:take(T, a)),
              ?assertEqual([], M:take(T, a)),
              ?assertEqual([{b, 2}], M:tab2list(T)),
              M:delete(T)
      end).

lookup_element_answers_any_element_the_key_included_test() ->
    T = new([set, {keypos, 2}]),
    ?M:insert(T, {a, k, <<"c">>}),
    ?assertEqual([a, k, <<"c">>], [?M:lookup_element(T, k, I) || I <- [1, 2, 3]]),
    ?assertError(badarg, ?M:lookup_element(T, k, 4)),
    ?assertError(badarg, ?M:lookup_element(T, x, 1)),
    ?assertEqual(default, tsunami_test:call(?M, lookup_element, [T, x, 1, default])),
    ?assertEqual(a, tsunami_test:call(?M, lookup_element, [T, k, 1, default])),
    ?assertError(badarg, tsunami_test:call(?M, lookup_element, [T, k, 4, default])),
    ?assertError(badarg, tsunami_test:call(?M, lookup_element, [T, x, 0, default])).

a_walk_meets_every_key_once_test() ->
    [begin
         T = new([Kind]),
         Keys = lists:seq(1, 5000),
         ?M:insert(T, [{K} || K <- Keys]),
         ?assertEqual(Keys, lists:sort(walk(T, next, ?M:first(T)))),
         ?assertEqual(Keys, lists:sort(walk(T, prev, ?M:last(T)))),
         ?assertEqual(Keys, lists:sort([K || {K} <- ?M:tab2list(T)])),
         ?assertEqual(Keys, lists:sort(?M:foldl(fun({K}, A) -> [K | A] end, [], T)))
     end || Kind <- tsunami_test:kinds()].

walk(_T, _Next, '$end_of_table') -> [];
walk(T, Next, Key) -> [Key | walk(T, Next, ?M:Next(T, Key))].

next_of_a_missing_key_is_badarg_on_a_hash_table_test() ->
    [begin
         T = new([Kind]),
         ?M:insert(T, [{1}, {2}]),
         ?M:delete(T, 1),
         ?assertError(badarg, ?M:next(T, 1)),
         ?assertError(badarg, ?M:prev(T, 1)),
         ?assertError(badarg, ?M:next(T, never))
     end || Kind <- [set, bag, duplicate_bag]].

next_of_a_key_deleted_while_fixed_goes_on_until_the_table_is_unfixed_test() ->
    [begin
         T = new([Kind]),
         ?M:insert(T, [{I} || I <- lists:seq(1, 100)]),
         ?M:safe_fixtable(T, true),
         First = ?M:first(T),
         Second = ?M:next(T, First),
         Third = ?M:next(T, Second),
         ?M:delete(T, Second),
         ?M:delete(T, First),
         ?assertEqual(Third, ?M:next(T, First)),
         ?assertEqual(Third, ?M:next(T, Second)),
         ?assertEqual(Third, ?M:first(T)),
         ?assertError(badarg, ?M:next(T, never_there)),
         ?assertEqual(98, ?M:info(T, size)),
         ?assertNot(?M:member(T, First)),
         ?assertEqual([], ?M:lookup(T, First)),
         ?assertError(badarg, ?M:lookup_element(T, First, 1)),
         ?M:safe_fixtable(T, false),
         ?assertError(badarg, ?M:next(T, First))
     end || Kind <- [set, bag, duplicate_bag]].

delete_all_objects_of_a_fixed_table_leaves_the_end_after_every_key_test() ->
    [begin
         T = new([Kind]),
         ?M:insert(T, [{I} || I <- lists:seq(1, 100)]),
         ?M:safe_fixtable(T, true),
         First = ?M:first(T),
         ?M:delete_all_objects(T),
         ?assertEqual('$end_of_table', ?M:next(T, First)),
         ?assertEqual(0, ?M:info(T, size)),
         ?M:safe_fixtable(T, false),
         ?assertError(badarg, ?M:next(T, First))
     end || Kind <- [set, bag, duplicate_bag]].

deleting_each_key_as_a_fold_meets_it_skips_no_other_key_test() ->
    tsunami_test:each_kind(
      fun(M, Kind) ->
              T = M:new(t, [Kind]),
              M:insert(T, [{I} || I <- lists:seq(1, 3000)]),
              Met = M:foldl(fun({K}, Acc) -> M:delete(T, K), [K | Acc] end, [], T),
              ?assertEqual(lists:seq(1, 3000), lists:sort(Met)),
              ?assertEqual(0, M:info(T, size)),
              ?assertEqual(false, M:info(T, fixed)),
              M:delete(T)
      end).

%% Without any fixation: what ets promises only of fixed tables.
a_walk_that_is_never_fixed_meets_all_that_is_there_throughout_while_the_table_grows_and_shrinks_test_() ->
    {timeout, 60, fun() -> [grow_and_shrink(Kind) || Kind <- tsunami_test:kinds(), not tsunami_test:is_ets()] end}.

grow_and_shrink(Kind) ->
    T = new([Kind]),
    Kept = lists:seq(1, 2000),
    ?M:insert(T, [{{kept, K}} || K <- Kept]),
    Self = self(),
    Writer = spawn_link(fun() -> grow(T, 1, Self) end),
    [begin
         Met = [K || {kept, K} <- walk_unfixed(T)],
         ?assertEqual(Kept, lists:sort(Met))
     end || _ <- lists:seq(1, 10)],
    Writer ! stop,
    receive stopped -> ok end,
    ?M:delete(T).

grow(T, N, Parent) ->
    ?M:insert(T, [{{N, I}} || I <- lists:seq(1, 500)]),
    [?M:delete(T, {N, I}) || I <- lists:seq(1, 500)],
    receive stop -> Parent ! stopped
    after 0 -> grow(T, N + 1, Parent)
    end.

%% A key that is deleted under the walk is a badarg, by the rules of ets: the walk starts from the last kept key then.
walk_unfixed(T) -> walk_unfixed(T, ?M:first(T), none, []).

walk_unfixed(_T, '$end_of_table', _Last, Met) -> Met;
walk_unfixed(T, Key, Last, Met) ->
    {Met1, Last1} = case Key of
                        {kept, _} when Key =/= Last -> {[Key | Met], Key};
                        _ -> {Met, Last}
                    end,
    try ?M:next(T, Key) of
        Next -> walk_unfixed(T, Next, Last1, Met1)
    catch
        error:badarg when Last1 =:= none -> walk_unfixed(T, ?M:first(T), none, []);
        error:badarg -> walk_unfixed(T, ?M:next(T, Last1), Last1, Met1)
    end.

slot_ends_with_the_end_once_and_then_with_badarg_test() ->
    [begin
         T = new([Kind]),
         ?M:insert(T, [{I} || I <- lists:seq(1, 100)]),
         {Objects, End} = slots(T, 0, []),
         ?assertEqual(lists:seq(1, 100), lists:sort([I || {I} <- Objects])),
         ?assertError(badarg, ?M:slot(T, End + 1)),
         ?assertError(badarg, ?M:slot(T, -1))
     end || Kind <- tsunami_test:kinds()].

slots(T, I, Acc) ->
    case ?M:slot(T, I) of
        '$end_of_table' -> {Acc, I};
        Objects -> slots(T, I + 1, Objects ++ Acc)
    end.

fixations_count_for_each_process_test() ->
    T = new([set]),
    ?assertEqual(false, ?M:info(T, fixed)),
    ?assertEqual(false, ?M:info(T, safe_fixed)),
    Before = erlang:monotonic_time(),
    ?M:safe_fixtable(T, true),
    ?M:safe_fixtable(T, true),
    Other = tsunami_test:spawn_owner(fun() -> ?M:safe_fixtable(T, true) end),
    ?assertEqual(true, ?M:info(T, fixed)),
    {{Mega, Sec, Micro}, Who} = ?M:info(T, safe_fixed),
    ?assert(is_integer(Mega) andalso is_integer(Sec) andalso is_integer(Micro)),
    ?assertEqual(lists:sort([{self(), 2}, {Other, 1}]), lists:sort(Who)),
    {Time, _} = ?M:info(T, safe_fixed_monotonic_time),
    ?assert(Before =< Time andalso Time =< erlang:monotonic_time()),
    ?assert(abs((Mega * 1000000 + Sec) - erlang:system_time(second)) < 60),
    ?M:safe_fixtable(T, false),
    ?assertMatch({Time, _}, ?M:info(T, safe_fixed_monotonic_time)),
    tsunami_test:stop(Other),
    ?assertMatch({_, [{_, 1}]}, ?M:info(T, safe_fixed)),
    ?assertEqual(true, tsunami_test:in_process(fun() -> ?M:safe_fixtable(T, false) end)),
    ?assertEqual(true, ?M:info(T, fixed)),
    ?M:safe_fixtable(T, false),
    ?assertEqual([false, false, false], [?M:info(T, I) || I <- [fixed, safe_fixed, safe_fixed_monotonic_time]]),
    ?assertEqual(true, ?M:safe_fixtable(T, false)).

safe_fixtable_of_something_else_than_a_boolean_changes_nothing_test() ->
    T = new([set]),
    ?assertError(badarg, ?M:safe_fixtable(T, foobar)),
    ?assertEqual(false, ?M:info(T, fixed)).

an_object_has_every_element_that_a_tuple_may_have_test() ->
    T = new([set]),
    [begin
         Object = list_to_tuple([N | lists:duplicate(N - 1, x)]),
         ?M:insert(T, Object),
         ?assertEqual([Object], ?M:lookup(T, N))
     end || N <- [1, 2, 13, 14, 15, 16, 17, 255, 256, 1000, 100000]].

memory_and_size_do_not_shrink_while_objects_are_only_inserted_test() ->
    [begin
         T = new([Kind]),
         lists:foldl(fun(I, {Size, Memory}) ->
                             ?M:insert(T, {I, I}),
                             Now = {?M:info(T, size), ?M:info(T, memory)},
                             ?assert(element(1, Now) > Size),
                             ?assert(element(2, Now) >= Memory),
                             Now
                     end, {0, 0}, lists:seq(1, 3000)),
         ?M:delete(T)
     end || Kind <- tsunami_test:kinds()].

a_table_of_two_hundred_thousand_objects_finds_each_of_them_test_() ->
    {timeout, 60, fun() -> [large(Kind) || Kind <- tsunami_test:kinds()] end}.

large(Kind) ->
    T = new([Kind]),
    N = 200000,
    [?M:insert(T, {I, I, a}) || I <- lists:seq(1, N)],
    ?assertEqual(N, ?M:info(T, size)),
    ?assert(lists:all(fun(I) -> ?M:lookup(T, I) =:= [{I, I, a}] end, lists:seq(1, N))),
    ?assertNot(?M:member(T, N + 1)),
    [?M:delete(T, I) || I <- lists:seq(2, N, 2)],
    ?assertEqual(N div 2, ?M:info(T, size)),
    ?assertEqual(N div 2, length(?M:tab2list(T))),
    [?M:delete(T, I) || I <- lists:seq(1, N, 2)],
    ?assertEqual([], ?M:tab2list(T)),
    ?M:delete(T).

large_binaries_are_shared_with_readers_and_not_with_the_one_who_inserted_test() ->
    T = new([set]),
    Whole = binary:copy(<<"0123456789">>, 100000),
    Part = binary:part(Whole, 10, 1000),
    ?M:insert(T, {part, Part}),
    [{part, Back}] = ?M:lookup(T, part),
    ?assertEqual(Part, Back),
    tsunami_test:is_ets() orelse ?assert(binary:referenced_byte_size(Back) < 5000).

no_reference_to_binaries_of_the_caller_remains_test() ->
    tsunami_test:each_kind(
      fun(M, Kind) ->
              tsunami_test:in_process(
                fun() ->
                        T = M:new(t, [Kind]),
                        Before = referenced(),
                        fill(M, T),
                        M:delete_all_objects(T),
                        tsunami_test:settle(),
                        ?assertEqual(Before, referenced())
                end)
      end).

fill(M, T) -> [M:insert(T, {K, binary:copy(<<K>>, 1000), crypto_free(K)}) || K <- lists:seq(1, 50)].
crypto_free(K) -> [<<K:4000>>, #{K => <<K:8000>>}].

referenced() ->
    erlang:garbage_collect(),
    {binary, Binaries} = process_info(self(), binary),
    length(Binaries).

a_stored_reference_keeps_what_it_refers_to_alive_until_it_is_deleted_test() ->
    tsunami_test:each_kind(
      fun(M, Kind) ->
              T = M:new(t, [Kind, public]),
              tsunami_test:in_process(
                fun() ->
                        A = atomics:new(1, []),
                        atomics:put(A, 1, 42),
                        M:insert(T, {a, A, [#{deep => A}]})
                end),
              erlang:garbage_collect(),
              [{a, A, [#{deep := A}]}] = M:lookup(T, a),
              ?assertEqual(42, atomics:get(A, 1)),
              M:delete(T)
      end).
