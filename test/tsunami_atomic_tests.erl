%% Lists are inserted all or nothing, whoever reads, writes, clears or deletes meanwhile.
-module(tsunami_atomic_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

new(Options) -> ?M:new(t, [public | Options]).

%% A writer gives all keys of a list the same number, which goes up. A reader that has seen a number under one key must not see a
%% smaller one under any key afterwards.
a_reader_that_has_seen_one_object_of_a_list_sees_the_others_test_() ->
    [{lists:concat([Kind, ", lists of ", N]), {timeout, 60, fun() -> one_sees_all(Kind, N) end}} || Kind <- [set, ordered_set], N <- [2, 10, 500]].

one_sees_all(Kind, N) ->
    T = new([Kind]),
    Keys = [{key, I} || I <- lists:seq(1, N)],
    ?M:insert(T, [{K, 0} || K <- Keys]),
    Self = self(),
    Readers = [spawn_link(fun() -> Self ! {seen, read_on(T, list_to_tuple(Keys), rand:seed_s(exsss, R), 0, 0)} end) || R <- [1, 2]],
    write_on(T, Keys, 1, erlang:monotonic_time(millisecond) + 700),
    [R ! stop || R <- Readers],
    [?assertMatch({ok, Reads} when Reads > 0, Answer) || Answer <- tsunami_test:collect(seen, 2)],
    ?M:delete(T).

write_on(T, Keys, Number, Until) ->
    ?M:insert(T, [{K, Number} || K <- Keys]),
    case erlang:monotonic_time(millisecond) < Until of
        true -> write_on(T, Keys, Number + 1, Until);
        false -> Number
    end.

read_on(T, Keys, Rand0, Newest, Reads) ->
    {I, Rand} = rand:uniform_s(tuple_size(Keys), Rand0),
    [{_, Number}] = ?M:lookup(T, element(I, Keys)),
    if
        Number < Newest -> {went_back, Newest, Number, after_reads, Reads};
        true ->
            receive stop -> {ok, Reads + 1}
            after 0 -> read_on(T, Keys, Rand, Number, Reads + 1)
            end
    end.

%% In bags each list has keys of its own.
a_list_appears_in_a_bag_as_a_whole_test_() ->
    [{atom_to_list(Kind),
      {timeout, 60,
       fun() ->
               T = new([Kind]),
               Self = self(),
               Lists = [{L, [{{L, I rem 20}, I} || I <- lists:seq(1, 100)]} || L <- lists:seq(1, 400)],
               Reader = spawn_link(fun() -> Self ! {verdict, watch(T, 1, [])} end),
               [?M:insert(T, List) || {_, List} <- Lists],
               Reader ! stop,
               ?assertEqual([[]], tsunami_test:collect(verdict, 1)),
               ?assertEqual(40000, ?M:info(T, size))
       end}} || Kind <- [bag, duplicate_bag]].

%% Any object of a list means that all five of any of its keys are there.
watch(T, L, Wrong) ->
    case ?M:member(T, {L, 19}) of
        true ->
            Partial = [{L, K, Objects} || K <- lists:seq(0, 19), Objects <- [?M:lookup(T, {L, K})], length(Objects) =/= 5],
            watch(T, L + 1, Partial ++ Wrong);
        false ->
            receive stop -> Wrong
            after 0 -> watch(T, L, Wrong)
            end
    end.

one_of_many_lists_of_insert_new_wins_test_() ->
    [{lists:concat([Kind, ", lists of ", N]), {timeout, 60, fun() -> one_winner(Kind, N) end}} || Kind <- tsunami_test:kinds(), N <- [1, 2, 7, 300]].

one_winner(Kind, N) ->
    T = new([Kind]),
    Self = self(),
    rand:seed(exsss, tsunami_test:seed()),
    [begin
         %% All have one key in common, which is at another place in each list.
         Pids = [spawn_link(fun() ->
                                    Own = [{{Round, P, I}, P} || I <- lists:seq(2, N)],
                                    {A, B} = lists:split(length(Own) * P div 5, Own),
                                    List = A ++ [{{Round, shared}, P}] ++ B,
                                    receive go -> ok end,
                                    Self ! {answer, {P, ?M:insert_new(T, List)}}
                            end) || P <- [1, 2, 3, 4]],
         [Pid ! go || Pid <- Pids],
         Answers = tsunami_test:collect(answer, 4),
         [Winner] = [P || {P, true} <- Answers],
         ?assertEqual([{{Round, shared}, Winner}], ?M:lookup(T, {Round, shared})),
         ?assertEqual([], [{P, I} || {P, false} <- Answers, I <- lists:seq(2, N), ?M:member(T, {Round, P, I})]),
         ?assertEqual([], [I || I <- lists:seq(2, N), not ?M:member(T, {Round, Winner, I})])
     end || Round <- lists:seq(1, 100)],
    ?assertEqual(100 * N, ?M:info(T, size)),
    ?M:delete(T).

%% Two lists over the same keys in opposite order: they must neither wait for each other for ever nor mix.
lists_that_cross_each_other_do_not_mix_test_() ->
    [{atom_to_list(Kind),
      {timeout, 60,
       fun() ->
               T = new([Kind]),
               Self = self(),
               Keys = lists:seq(1, 50),
               [spawn_link(fun() ->
                                   [?M:insert(T, [{K, {P, Round}} || K <- Order]) || Round <- lists:seq(1, 300)],
                                   Self ! {done, P}
                           end) || {P, Order} <- [{1, Keys}, {2, lists:reverse(Keys)}, {3, Keys}]],
               tsunami_test:collect(done, 3),
               ?assertMatch([_], lists:usort([V || {_, V} <- ?M:tab2list(T)])),
               ?assertEqual(50, ?M:info(T, size))
       end}} || Kind <- [set, ordered_set]].

single_writes_and_lists_leave_the_value_of_one_of_them_test_() ->
    [{atom_to_list(Kind),
      {timeout, 60,
       fun() ->
               T = new([Kind]),
               Self = self(),
               Keys = lists:seq(1, 20),
               [spawn_link(fun() -> Work(), Self ! {done, ok} end)
                || Work <- [fun() -> [?M:insert(T, [{K, {list, R}} || K <- Keys]) || R <- lists:seq(1, 500)] end,
                            fun() -> [?M:insert(T, {R rem 20 + 1, {single, R}}) || R <- lists:seq(1, 5000)] end,
                            fun() -> [?M:delete(T, R rem 20 + 1) || R <- lists:seq(1, 5000)] end]],
               tsunami_test:collect(done, 3),
               Objects = ?M:tab2list(T),
               ?assertEqual(?M:info(T, size), length(Objects)),
               ?M:insert(T, [{K, last} || K <- Keys]),
               ?assertEqual([{K, last} || K <- Keys], lists:sort(?M:tab2list(T)))
       end}} || Kind <- [set, ordered_set]].

a_list_and_delete_all_objects_come_one_after_the_other_test_() ->
    [{atom_to_list(Kind), {timeout, 60, fun() -> list_or_nothing(Kind) end}} || Kind <- tsunami_test:kinds()].

list_or_nothing(Kind) ->
    T = new([Kind]),
    Self = self(),
    N = 300,
    Sizes = [begin
                 List = [{{Round, I}, x} || I <- lists:seq(1, N)],
                 spawn_link(fun() -> ?M:insert(T, List), Self ! {done, ok} end),
                 spawn_link(fun() -> ?M:delete_all_objects(T), Self ! {done, ok} end),
                 tsunami_test:collect(done, 2),
                 Size = ?M:info(T, size),
                 ?assert(lists:member(Size, [0, N])),
                 ?assertEqual(Size, length(?M:tab2list(T))),
                 ?M:delete_all_objects(T),
                 ?assertEqual(0, ?M:info(T, size)),
                 Size
             end || Round <- lists:seq(1, 200)],
    tsunami_test:print("~p: the list came last ~b times of 200~n", [Kind, length([S || S <- Sizes, S =:= N])]),
    ?M:delete(T).

counting_readers_see_a_cleared_table_or_whole_lists_test_() ->
    [{atom_to_list(Kind),
      {timeout, 60,
       fun() ->
               T = new([Kind]),
               Self = self(),
               %% Key 2 is inserted together with key 1, which goes with everything at once: after a clear that removes 2, a reader that
               %% finds 1 finds 2 too.
               Writer = spawn_link(fun() -> refill(T, 1, Self) end),
               Wrong = [x || _ <- lists:seq(1, 20000), pair(T) =:= mixed],
               Writer ! stop,
               tsunami_test:collect(stopped, 1),
               ?assertEqual([], Wrong)
       end}} || Kind <- [set, ordered_set]].

refill(T, N, Parent) ->
    ?M:insert(T, [{1, N}, {2, N}]),
    ?M:delete_all_objects(T),
    receive stop -> Parent ! {stopped, ok}
    after 0 -> refill(T, N + 1, Parent)
    end.

%% Numbers only go up: what is read second is not older.
pair(T) ->
    case {?M:lookup(T, 1), ?M:lookup(T, 2)} of
        {[{1, A}], [{2, B}]} when B < A -> mixed;
        _ -> fine
    end.

a_table_that_is_deleted_under_a_list_ends_the_insertion_test_() ->
    [{atom_to_list(Kind),
      {timeout, 60,
       fun() ->
               List = [{I, I} || I <- lists:seq(1, 30000)],
               [begin
                    T = new([Kind]),
                    Self = self(),
                    spawn_link(fun() -> Self ! {answer, try ?M:insert(T, List) catch error:badarg -> badarg end} end),
                    timer:sleep(Round rem 6),
                    ?M:delete(T),
                    [Answer] = tsunami_test:collect(answer, 1),
                    ?assert(lists:member(Answer, [true, badarg])),
                    ?assertEqual(undefined, ?M:info(T))
                end || Round <- lists:seq(1, 20)]
       end}} || Kind <- tsunami_test:kinds()].

a_table_that_is_renamed_under_a_list_has_all_of_it_or_nothing_test_() ->
    [{atom_to_list(Kind),
      {timeout, 60,
       fun() ->
               List = [{I, I} || I <- lists:seq(1, 30000)],
               [begin
                    ?M:new(tsunami_atomic_a, [Kind, named_table, public]),
                    Tid = ?M:whereis(tsunami_atomic_a),
                    Self = self(),
                    spawn_link(fun() -> Self ! {answer, try ?M:insert(tsunami_atomic_a, List) catch error:badarg -> badarg end} end),
                    timer:sleep(Round rem 6),
                    %% What follows the rename follows the list too, if it is in.
                    ?M:rename(Tid, tsunami_atomic_b),
                    ?M:delete(Tid, 4711),
                    [Answer] = tsunami_test:collect(answer, 1),
                    Expected = case Answer of true -> 29999; badarg -> 0 end,
                    ?assertEqual([], ?M:lookup(Tid, 4711)),
                    ?assertEqual(Expected, ?M:info(Tid, size)),
                    ?M:delete(Tid)
                end || Round <- lists:seq(1, 20)]
       end}} || Kind <- tsunami_test:kinds()].

a_process_killed_in_the_middle_of_a_list_leaves_all_or_nothing_test_() ->
    [{atom_to_list(Kind),
      {timeout, 60,
       fun() ->
               List = [{I, I} || I <- lists:seq(1, 30000)],
               Sizes = [begin
                            T = new([Kind]),
                            Pid = spawn(fun() -> ?M:insert(T, List) end),
                            timer:sleep(Round rem 8),
                            tsunami_test:stop(Pid),
                            Size = ?M:info(T, size),
                            ?assert(lists:member(Size, [0, 30000])),
                            ?assertEqual(Size, length(?M:tab2list(T))),
                            ?assert(?M:insert(T, {1, again})),
                            ?assert(?M:insert(T, [{1, b}, {2, c}])),
                            ?M:delete(T),
                            Size
                        end || Round <- lists:seq(1, 24)],
               tsunami_test:print("~p: killed in time ~b times of 24~n", [Kind, length([S || S <- Sizes, S =:= 0])])
       end}} || Kind <- tsunami_test:kinds()].

size_counts_right_after_a_storm_of_everything_test_() ->
    [{atom_to_list(Kind),
      {timeout, 60,
       fun() ->
               T = new([Kind, {write_concurrency, true}]),
               Self = self(),
               Seed = tsunami_test:seed(),
               [spawn_link(fun() -> storm(T, 3000, rand:seed_s(exsss, Seed + P)), Self ! {done, ok} end) || P <- [1, 2, 3, 4]],
               tsunami_test:collect(done, 4),
               Objects = ?M:tab2list(T),
               ?assertEqual(length(Objects), ?M:info(T, size)),
               ?assertEqual(lists:sort(Objects), lists:sort(lists:append([?M:lookup(T, K) || K <- lists:usort([K || {K, _} <- Objects])]))),
               ?M:delete(T)
       end}} || Kind <- tsunami_test:kinds()].

storm(_T, 0, _Rand) -> ok;
storm(T, N, Rand0) ->
    {Op, Rand1} = rand:uniform_s(10, Rand0),
    {K, Rand2} = rand:uniform_s(30, Rand1),
    {V, Rand} = rand:uniform_s(3, Rand2),
    case Op of
        1 -> ?M:insert(T, {K, V});
        2 -> ?M:insert(T, [{I, V} || I <- lists:seq(K, K + 5)]);
        3 -> ?M:delete(T, K);
        4 -> ?M:take(T, K);
        5 -> ?M:delete_object(T, {K, V});
        6 -> ?M:insert_new(T, {K, V});
        7 -> ?M:insert_new(T, [{I, V} || I <- lists:seq(K, K + 2)]);
        8 -> ?M:lookup(T, K);
        9 -> ?M:insert(T, {K, V});
        10 when N rem 50 =:= 0 -> ?M:delete_all_objects(T);
        10 -> ?M:member(T, K)
    end,
    storm(T, N - 1, Rand).
