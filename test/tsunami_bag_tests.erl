%% Tables of types bag and duplicate_bag.
-module(tsunami_bag_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

bags() -> [bag, duplicate_bag].
new(Options) -> ?M:new(t, [public | Options]).

objects_of_a_key_come_in_the_order_in_which_they_were_inserted_test() ->
    [begin
         T = new([Kind]),
         [?M:insert(T, {k, I}) || I <- [5, 3, 9, 1, 7]],
         ?assertEqual([{k, I} || I <- [5, 3, 9, 1, 7]], ?M:lookup(T, k)),
         ?M:delete_object(T, {k, 9}),
         ?M:insert(T, {k, 9}),
         ?assertEqual([{k, I} || I <- [5, 3, 1, 7, 9]], ?M:lookup(T, k)),
         ?assertEqual([5, 3, 1, 7, 9], ?M:lookup_element(T, k, 2)),
         ?assertEqual([k, k, k, k, k], ?M:lookup_element(T, k, 1)),
         ?assertEqual([{k, I} || I <- [5, 3, 1, 7, 9]], ?M:take(T, k))
     end || Kind <- bags()].

%% OTP 25's own ets stores a list in reverse.
a_list_is_inserted_in_its_order_test() ->
    tsunami_test:is_ets() orelse
        [begin
             T = new([Kind]),
             ?M:insert(T, [{k, 1}, {k, 2}, {k, 3}]),
             ?M:insert(T, [{k, 4}, {k, 5}, {k, 6}]),
             ?M:insert_new(T, [{j, 1}, {j, 2}]),
             ?assertEqual([{k, I} || I <- lists:seq(1, 6)], ?M:lookup(T, k)),
             ?assertEqual([{j, 1}, {j, 2}], ?M:lookup(T, j))
         end || Kind <- bags()].

a_list_so_long_that_its_insertion_yields_keeps_its_order_test_() ->
    {timeout, 300,
     fun() ->
             tsunami_test:is_ets() orelse
                 [begin
                      T = new([Kind]),
                      Objects = [{k, I} || I <- lists:seq(1, 32010)],
                      ?M:insert(T, Objects),
                      ?assert(Objects =:= ?M:lookup(T, k))
                  end || Kind <- bags()]
     end}.

a_bag_drops_an_object_that_it_has_and_a_duplicate_bag_does_not_test() ->
    Objects = [{k, 1}, {k, 1.0}, {k, 1}, {k, 1, 1}, {k, 1}],
    [begin
         T = new([Kind]),
         [?M:insert(T, O) || O <- Objects],
         ?assertEqual(Expected, ?M:lookup(T, k)),
         ?assertEqual(length(Expected), ?M:info(T, size))
     end || {Kind, Expected} <- [{bag, [{k, 1}, {k, 1.0}, {k, 1, 1}]}, {duplicate_bag, Objects}]].

equal_objects_in_a_list_count_once_in_a_bag_test() ->
    T = new([bag]),
    ?M:insert(T, [{k, 1}, {k, 1}, {k, 2}, {k, 1}]),
    ?assertEqual(2, ?M:info(T, size)),
    D = new([duplicate_bag]),
    ?M:insert(D, [{k, 1}, {k, 1}, {k, 2}, {k, 1}]),
    ?assertEqual(4, ?M:info(D, size)).

a_bag_compares_large_binaries_by_what_is_in_them_test() ->
    T = new([bag]),
    [?M:insert(T, {k, binary:copy(<<C>>, 10000), #{a => [C]}}) || C <- [1, 2, 1, 2, 3]],
    ?assertEqual(3, ?M:info(T, size)).

delete_object_takes_all_copies_out_of_a_duplicate_bag_test() ->
    T = new([duplicate_bag]),
    [?M:insert(T, {k, I}) || I <- [1, 2, 1, 3, 1]],
    ?M:delete_object(T, {k, 1}),
    ?assertEqual([{k, 2}, {k, 3}], ?M:lookup(T, k)),
    ?assertEqual(2, ?M:info(T, size)).

delete_takes_all_objects_of_a_key_test() ->
    [begin
         T = new([Kind]),
         [?M:insert(T, {K, I}) || K <- [a, b], I <- lists:seq(1, 100)],
         ?M:delete(T, a),
         ?assertEqual(100, ?M:info(T, size)),
         ?assertEqual([], ?M:lookup(T, a)),
         ?assertEqual(100, length(?M:lookup(T, b)))
     end || Kind <- bags()].

insert_new_of_a_list_wants_every_key_absent_test() ->
    [begin
         T = new([Kind]),
         ?assert(?M:insert_new(T, {a, 1})),
         ?assertNot(?M:insert_new(T, {a, 2})),
         ?assertNot(?M:insert_new(T, [{b, 1}, {a, 2}])),
         ?assert(?M:insert_new(T, [{b, 1}, {b, 2}])),
         ?assertEqual(3, ?M:info(T, size))
     end || Kind <- bags()].

an_object_under_a_deleted_key_of_a_fixed_bag_is_visible_test() ->
    [begin
         T = new([Kind]),
         ?M:insert(T, [{I, x} || I <- lists:seq(1, 50)]),
         ?M:safe_fixtable(T, true),
         First = ?M:first(T),
         Second = ?M:next(T, First),
         ?M:delete(T, First),
         ?M:delete(T, Second),
         ?M:insert(T, {First, again}),
         ?assertEqual(First, ?M:first(T)),
         ?assertEqual([{First, again}], ?M:lookup(T, First)),
         ?assertNot(?M:insert_new(T, {First, new})),
         ?assertNotEqual(Second, ?M:next(T, First)),
         ?assert(?M:insert_new(T, {Second, new})),
         ?assertEqual(Second, ?M:next(T, First)),
         ?M:safe_fixtable(T, false),
         ?assertEqual(50, ?M:info(T, size))
     end || Kind <- bags()].

counters_and_updates_are_not_for_bags_test() ->
    [begin
         T = new([Kind]),
         ?M:insert(T, {a, 1}),
         [begin
              ?assertError(badarg, ?M:update_counter(T, K, 1)),
              ?assertError(badarg, ?M:update_counter(T, K, 1, {K, 1})),
              ?assertError(badarg, ?M:update_element(T, K, {2, 1})),
              ?assertError(badarg, ?M:update_element(T, K, []))
          end || K <- [a, absent]],
         ?assertMatch({error, badarg, _, _, table_type, _}, tsunami_test:outcome(?M, update_counter, [T, a, 1]))
     end || Kind <- bags()].

a_hundred_thousand_objects_under_one_key_of_a_duplicate_bag_are_inserted_quickly_test_() ->
    {timeout, 60,
     fun() ->
             tsunami_test:is_ets() orelse
                 begin
                     T = new([duplicate_bag]),
                     N = 100000,
                     {Us, _} = timer:tc(fun() -> [?M:insert(T, {k, I}) || I <- lists:seq(1, N)] end),
                     ?assertEqual(N, ?M:info(T, size)),
                     ?assertEqual(lists:seq(1, N), ?M:lookup_element(T, k, 2)),
                     ?assert(Us < 5000000)
                 end
     end}.

folds_see_the_objects_of_a_key_in_order_and_in_reverse_test() ->
    [begin
         T = new([Kind]),
         [?M:insert(T, {k, I}) || I <- [3, 1, 2]],
         ?assertEqual([3, 1, 2], lists:reverse(?M:foldl(fun({_, I}, A) -> [I | A] end, [], T))),
         ?assertEqual([3, 1, 2], ?M:foldr(fun({_, I}, A) -> [I | A] end, [], T))
     end || Kind <- bags()].
