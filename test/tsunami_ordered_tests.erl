%% Tables of type ordered_set.
-module(tsunami_ordered_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

new() -> new([]).
new(Options) -> ?M:new(t, [public, ordered_set | Options]).

one_and_one_point_zero_are_one_key_test() ->
    T = new(),
    ?M:insert(T, {1, a}),
    ?assertEqual([{1, a}], ?M:lookup(T, 1.0)),
    ?assert(?M:member(T, 1.0)),
    ?assertNot(?M:insert_new(T, {1.0, b})),
    ?M:insert(T, {1.0, b}),
    ?assertMatch([{K, b}] when is_float(K), ?M:lookup(T, 1)),
    ?assertEqual(1, ?M:info(T, size)),
    ?assertEqual(1.0, ?M:first(T)),
    ?M:insert(T, {{1, [2.0]}, c}),
    ?assertEqual([{{1, [2.0]}, c}], ?M:lookup(T, {1.0, [2]})),
    ?assertEqual([{1.0, b}], ?M:take(T, 1)),
    ?assertEqual([], ?M:lookup(T, 1.0)).

counters_find_the_key_that_compares_equal_and_leave_it_as_it_is_test() ->
    T = new(),
    ?M:insert(T, {1.0, 5}),
    ?assertEqual(6, ?M:update_counter(T, 1, 1)),
    ?assertMatch([{K, 6}] when is_float(K), ?M:tab2list(T)),
    ?assert(?M:update_element(T, 1, {2, x})),
    ?assertMatch([{K, x}] when is_float(K), ?M:tab2list(T)).

delete_object_still_wants_the_same_key_test() ->
    T = new(),
    ?M:insert(T, {1.0, b}),
    ?M:delete_object(T, {1, b}),
    ?assertEqual([{1.0, b}], ?M:lookup(T, 1)),
    ?M:delete_object(T, {1.0, b}),
    ?assertEqual([], ?M:lookup(T, 1)).

large_integers_and_floats_are_compared_exactly_test() ->
    T = new(),
    Two53 = 1 bsl 53,
    Keys = [Two53 - 1, Two53, Two53 + 1, 1 bsl 64 - 1, 1 bsl 64, 1 bsl 64 + 1, 1 bsl 1000, -(1 bsl 1000), 1.0e308, -1.0e308],
    ?M:insert(T, [{K} || K <- Keys]),
    ?assertEqual(lists:sort(Keys), [K || {K} <- ?M:tab2list(T)]),
    ?assertEqual([{Two53}], ?M:lookup(T, float(Two53))),
    ?assertEqual([{1 bsl 64}], ?M:lookup(T, float(1 bsl 64))).

keys_of_all_kinds_are_in_the_order_of_terms_test() ->
    Keys = [1, -1, 1.5, 1 bsl 70, -(1 bsl 70), 0, a, b, 'aa', '', 'é', make_ref(), self(), fun lists:map/2, {}, {1}, {1, 2}, {a}, {1.5, 0}, #{}, #{a => 1},
            #{b => 1}, #{1 => 1}, #{a => 1, b => 2}, [], [1], [1 | 2], [a], "abc", <<>>, <<1>>, <<1:1>>, <<"ab">>, <<"a">>, <<0>>, <<0, 0>>, hd(erlang:ports())],
    T = new(),
    [?M:insert(T, {K}) || K <- Keys],
    Sorted = lists:sort(Keys),
    ?assertEqual([{K} || K <- Sorted], ?M:tab2list(T)),
    ?assertEqual(Sorted, walk(T, next, ?M:first(T))),
    ?assertEqual(lists:reverse(Sorted), walk(T, prev, ?M:last(T))),
    [?assertEqual([{K}], ?M:lookup(T, K)) || K <- Keys].

walk(_T, _Next, '$end_of_table') -> [];
walk(T, Next, Key) -> [Key | walk(T, Next, ?M:Next(T, Key))].

random_keys_are_in_the_order_of_terms_test_() ->
    {timeout, 60,
     fun() ->
             Seed = tsunami_test:seed(),
             [begin
                  Keys = [tsunami_gen:pick(tsunami_gen:any_term(), {20, {Seed band 16#ffffffff, Round, I}}) || I <- lists:seq(1, 150)],
                  T = new(),
                  E = ets:new(t, [ordered_set]),
                  [begin ?M:insert(T, {K, I}), ets:insert(E, {K, I}) end || {I, K} <- lists:zip(lists:seq(1, 150), Keys)],
                  ?assert(ets:tab2list(E) =:= ?M:tab2list(T)),
                  ets:delete(E),
                  ?M:delete(T)
              end || Round <- lists:seq(1, 40)]
     end}.

next_and_prev_of_a_key_that_is_not_there_answer_its_neighbours_test() ->
    T = new(),
    ?M:insert(T, [{10}, {20}, {30}]),
    ?assertEqual([10, 20, 30, '$end_of_table'], [?M:next(T, K) || K <- [5, 15, 20.5, 30]]),
    ?assertEqual(['$end_of_table', 10, 20, 30], [?M:prev(T, K) || K <- [10, 15, 20.5, abc]]),
    ?assertEqual({20, [{20}]}, tsunami_test:call(?M, next_lookup, [T, 15])),
    ?assertEqual({10, [{10}]}, tsunami_test:call(?M, prev_lookup, [T, 15])),
    ?assertEqual({10, [{10}]}, tsunami_test:call(?M, first_lookup, [T])),
    ?assertEqual({30, [{30}]}, tsunami_test:call(?M, last_lookup, [T])),
    Empty = new(),
    ?assertEqual('$end_of_table', tsunami_test:call(?M, first_lookup, [Empty])),
    ?assertEqual('$end_of_table', ?M:next(Empty, 1)).

the_end_of_table_atom_is_no_key_to_go_on_from_test() ->
    T = new(),
    ?M:insert(T, {1}),
    ?assertError(badarg, ?M:next(T, '$end_of_table')),
    ?assertError(badarg, ?M:prev(T, '$end_of_table')),
    [?M:insert(T, {K}) || K <- ['$', '$end_of_table', x]],
    ?assertEqual('$end_of_table', ?M:next(T, '$')),         %% that is its key, and where the thread was last
    ?assertError(badarg, ?M:next(T, '$end_of_table')).

%% Steps from the last answer, or from what is == to it, while it and its neighbours change.
walks_that_change_what_they_meet_go_as_in_ets_test_() ->
    {timeout, 60,
     fun() ->
             Seed = tsunami_test:seed(),
             _ = rand:seed(exsss, Seed),
             [begin
                  T = new(),
                  E = ets:new(t, [ordered_set]),
                  [insert_both(T, E, any_key()) || _ <- lists:seq(1, 200)],
                  wander(T, E, ?M:first(T), 400),
                  ?assert(ets:tab2list(E) =:= ?M:tab2list(T)),
                  ets:delete(E),
                  ?M:delete(T)
              end || _ <- lists:seq(1, 40)]
     end}.

wander(_, _, _, 0) -> ok;
wander(T, E, '$end_of_table', N) ->
    ?assert(ets:last(E) =:= ?M:last(T)),
    wander(T, E, ?M:first(T), N - 1);
wander(T, E, Key, N) ->
    From = case rand:uniform(4) of 1 -> twin(Key); _ -> Key end,
    case rand:uniform(8) of
        1 -> insert_both(T, E, any_key());
        2 -> insert_both(T, E, From);
        3 -> ets:delete(E, From), ?M:delete(T, From);
        _ -> ok
    end,
    Next = case rand:uniform(3) of 1 -> prev; _ -> next end,
    Want = ets:Next(E, From),
    Objects = case Want of '$end_of_table' -> Want; _ -> {Want, ets:lookup(E, Want)} end,
    case rand:uniform(4) of
        1 when Next =:= next -> ?assert(Objects =:= tsunami_test:call(?M, next_lookup, [T, From]));
        1 -> ?assert(Objects =:= tsunami_test:call(?M, prev_lookup, [T, From]));
        _ -> ?assert(Want =:= ?M:Next(T, From))
    end,
    wander(T, E, Want, N - 1).

insert_both(T, E, Key) ->
    Object = {Key, rand:uniform(1000)},
    ets:insert(E, Object),
    ?M:insert(T, Object).

any_key() ->
    I = rand:uniform(60) - 30,
    element(rand:uniform(12), {I, I * 1.0, I + 0.5, 1 bsl 59 + I, I bsl 70, list_to_atom("k" ++ integer_to_list(I)), {I, a},
                               {I, <<"b">>, 1.5}, {I, {I, [I]}}, integer_to_binary(I), [I, x], #{I => {}}}).

twin(I) when is_integer(I), abs(I) < 1 bsl 50 -> float(I);
twin(F) when is_float(F), trunc(F) == F -> trunc(F);
twin(Tuple) when is_tuple(Tuple) -> setelement(1, Tuple, twin(element(1, Tuple)));
twin([I | Rest]) -> [twin(I) | Rest];
twin(Key) -> Key.

slot_is_the_object_at_that_place_test() ->
    T = new(),
    ?assertEqual('$end_of_table', ?M:slot(T, 0)),
    ?M:insert(T, [{I} || I <- lists:seq(10, 1000, 10)]),
    ?assertEqual([[{10 * (I + 1)}] || I <- lists:seq(0, 99)], [?M:slot(T, I) || I <- lists:seq(0, 99)]),
    ?assertEqual('$end_of_table', ?M:slot(T, 100)),
    ?assertError(badarg, ?M:slot(T, 101)).

folds_go_in_order_and_in_reverse_test() ->
    T = new(),
    Keys = lists:seq(1, 1000),
    ?M:insert(T, [{I} || I <- lists:reverse(Keys)]),
    ?assertEqual(lists:reverse(Keys), ?M:foldl(fun({I}, A) -> [I | A] end, [], T)),
    ?assertEqual(Keys, ?M:foldr(fun({I}, A) -> [I | A] end, [], T)).

a_key_may_be_at_any_position_test() ->
    T = new([{keypos, 3}]),
    ?M:insert(T, [{a, b, I, c} || I <- lists:seq(1, 100)]),
    ?assertEqual([{a, b, 50, c}], ?M:lookup(T, 50.0)),
    ?assertEqual(50, ?M:lookup_element(T, 50.0, 3)),
    ?assertError(badarg, ?M:insert(T, {a, b})).

a_walk_sees_all_keys_that_are_there_throughout_whatever_others_do_test_() ->
    {timeout, 60, fun concurrent_walk/0}.

concurrent_walk() ->
    T = new([{write_concurrency, true}]),
    Kept = lists:seq(0, 20000, 10),
    ?M:insert(T, [{K} || K <- Kept]),
    Self = self(),
    Writers = [spawn_link(fun() -> disturb(T, rand:seed_s(exsss, N), Self) end) || N <- [1, 2]],
    [begin
         ?assertEqual(Kept, [K || K <- walk(T, next, ?M:first(T)), K rem 10 =:= 0]),
         ?assertEqual(lists:reverse(Kept), [K || K <- walk(T, prev, ?M:last(T)), K rem 10 =:= 0]),
         Listed = [K || {K} <- ?M:tab2list(T)],
         ?assertEqual(Listed, lists:usort(Listed)),
         ?assertEqual(Kept, [K || K <- Listed, K rem 10 =:= 0])
     end || _ <- lists:seq(1, 10)],
    [W ! stop || W <- Writers],
    tsunami_test:collect(stopped, 2),
    ?assertEqual(?M:info(T, size), length(?M:tab2list(T))),
    ?M:delete(T).

disturb(T, Rand0, Parent) ->
    {K0, Rand1} = rand:uniform_s(20000, Rand0),
    K = case K0 rem 10 of 0 -> K0 + 1; _ -> K0 end,
    {Op, Rand2} = rand:uniform_s(2, Rand1),
    case Op of
        1 -> ?M:insert(T, {K});
        2 -> ?M:delete(T, K)
    end,
    receive stop -> Parent ! {stopped, self()}
    after 0 -> disturb(T, Rand2, Parent)
    end.

neither_order_of_insertion_nor_of_deletion_leaves_a_trace_test_() ->
    {timeout, 60,
     fun() ->
             Seed = tsunami_test:seed(),
             Keys = lists:seq(1, 20000),
             [begin
                  T = new(),
                  [?M:insert(T, {K}) || K <- Order(Keys)],
                  ?assertEqual([{K} || K <- Keys], ?M:tab2list(T)),
                  [?M:delete(T, K) || K <- Order([K || K <- Keys, K rem 3 =/= 0])],
                  ?assertEqual([{K} || K <- Keys, K rem 3 =:= 0], ?M:tab2list(T)),
                  [?M:delete(T, K) || K <- Keys],
                  ?assertEqual('$end_of_table', ?M:first(T)),
                  ?M:delete(T)
              end || Order <- [fun(L) -> L end, fun lists:reverse/1, fun(L) -> shuffle(L, Seed) end]]
     end}.

shuffle(L, Seed) ->
    {Tagged, _} = lists:mapfoldl(fun(X, S) -> {R, S1} = rand:uniform_s(S), {{R, X}, S1} end, rand:seed_s(exsss, Seed), L),
    [X || {_, X} <- lists:sort(Tagged)].
