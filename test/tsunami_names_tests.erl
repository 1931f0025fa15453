%% Names, references, info and all/0.
-module(tsunami_names_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

a_named_table_is_found_by_name_and_by_reference_test() ->
    tsunami_names_a = ?M:new(tsunami_names_a, [named_table]),
    Tid = ?M:whereis(tsunami_names_a),
    ?M:insert(tsunami_names_a, {1}),
    ?assertEqual([{1}], ?M:lookup(Tid, 1)),
    ?assertEqual(Tid, ?M:info(tsunami_names_a, id)),
    ?assertEqual(tsunami_names_a, ?M:info(Tid, name)),
    ?assertEqual(true, ?M:info(Tid, named_table)),
    ?M:delete(Tid),
    ?assertEqual(undefined, ?M:whereis(tsunami_names_a)).

a_name_is_taken_once_test() ->
    tsunami_names_b = ?M:new(tsunami_names_b, [named_table]),
    ?assertMatch({error, badarg, new, _, already_exists, #{1 := _}}, tsunami_test:outcome(?M, new, [tsunami_names_b, [named_table]])),
    Unnamed = ?M:new(tsunami_names_b, []),
    ?assert(is_reference(Unnamed)),
    ?M:delete(tsunami_names_b),
    tsunami_names_b = ?M:new(tsunami_names_b, [named_table]),
    ?M:delete(tsunami_names_b).

a_reference_is_dead_after_delete_though_the_name_exists_again_test() ->
    ?M:new(tsunami_names_c, [named_table]),
    Tid = ?M:whereis(tsunami_names_c),
    ?M:delete(tsunami_names_c),
    ?M:new(tsunami_names_c, [named_table]),
    ?assertError(badarg, ?M:lookup(Tid, 1)),
    ?assertEqual(undefined, ?M:info(Tid)),
    ?assertNotEqual(Tid, ?M:whereis(tsunami_names_c)),
    ?M:delete(tsunami_names_c).

rename_moves_the_name_and_frees_the_old_one_test() ->
    T = ?M:new(tsunami_names_d, [named_table]),
    Tid = ?M:whereis(T),
    ?M:insert(T, {1}),
    ?assertEqual(tsunami_names_e, ?M:rename(T, tsunami_names_e)),
    ?assertEqual([{1}], ?M:lookup(tsunami_names_e, 1)),
    ?assertEqual([{1}], ?M:lookup(Tid, 1)),
    ?assertError(badarg, ?M:lookup(T, 1)),
    ?assertError(badarg, ?M:rename(tsunami_names_e, tsunami_names_e)),
    T = ?M:new(T, [named_table]),
    ?assertError(badarg, ?M:rename(T, tsunami_names_e)),
    ?M:delete(T),
    ?M:delete(tsunami_names_e).

rename_of_an_unnamed_table_sets_its_name_and_nothing_more_test() ->
    T = ?M:new(x, []),
    ?assertEqual(T, ?M:rename(T, tsunami_names_f)),
    ?assertEqual(tsunami_names_f, ?M:info(T, name)),
    ?assertEqual(undefined, ?M:whereis(tsunami_names_f)),
    ?assertEqual(false, ?M:info(T, named_table)).

what_is_neither_name_nor_reference_of_a_table_is_badarg_test() ->
    [?assertError(badarg, ?M:info(X)) || X <- [1, "x", {}, make_ref(), self()]],
    [?assertError(badarg, ?M:info(X, size)) || X <- [1, "x", {}, make_ref(), self()]],
    ?assertEqual(undefined, ?M:info(no_such_table)),
    ?assertEqual(undefined, ?M:info(no_such_table, size)),
    ?assertError(badarg, ?M:whereis(1)).

info_has_the_items_of_ets_in_its_order_test() ->
    tsunami_test:each_kind(
      fun(M, Kind) ->
              Options = [Kind, {keypos, 2}, public, compressed, {read_concurrency, true}],
              Items = fun(Module) -> T = Module:new(t, Options), I = Module:info(T), Module:delete(T), I end,
              Hide = fun(L) -> [{K, case lists:member(K, [id, memory]) of true -> any; false -> V end} || {K, V} <- L] end,
              ?assertEqual(Hide(Items(ets)), Hide(Items(M)))
      end).

all_has_a_table_from_new_until_delete_in_many_processes_test() ->
    Self = self(),
    Pids = [spawn_link(fun() ->
                               [begin
                                    T = ?M:new(t, []),
                                    true = lists:member(T, ?M:all()),
                                    ?M:delete(T),
                                    false = lists:member(T, ?M:all())
                                end || _ <- lists:seq(1, 20)],
                               Self ! {done, ok}
                       end) || _ <- lists:seq(1, 50)],
    tsunami_test:collect(done, length(Pids)).

the_name_is_free_once_delete_has_begun_test_() ->
    {timeout, 60,
     fun() ->
             [begin
                  T = ?M:new(tsunami_names_g, [Kind, named_table, public]),
                  ?M:insert(T, [{I} || I <- lists:seq(1, 100000)]),
                  ?M:delete(T),
                  ?assertEqual(undefined, ?M:info(T)),
                  T = ?M:new(tsunami_names_g, [Kind, named_table]),
                  ?assertEqual(0, ?M:info(T, size)),
                  ?M:delete(T)
              end || Kind <- tsunami_test:kinds()]
     end}.

a_name_that_comes_and_goes_under_readers_gives_objects_or_badarg_test_() ->
    {timeout, 60,
     fun() ->
             Self = self(),
             Readers = [spawn_link(fun() -> read_name(Self, 0, 0) end) || _ <- [1, 2]],
             [begin
                  ?M:new(tsunami_names_h, [named_table, public]),
                  ?M:insert(tsunami_names_h, {k, v}),
                  ?M:delete(tsunami_names_h)
              end || _ <- lists:seq(1, 5000)],
             [R ! stop || R <- Readers],
             tsunami_test:collect(done, 2)
     end}.

read_name(Parent, Hits, Misses) ->
    receive stop -> Parent ! {done, {Hits, Misses}}
    after 0 ->
            try ?M:lookup(tsunami_names_h, k) of
                [{k, v}] -> read_name(Parent, Hits + 1, Misses);
                [] -> read_name(Parent, Hits, Misses)
            catch
                error:badarg -> read_name(Parent, Hits, Misses + 1)
            end
    end.

one_of_many_processes_that_want_a_name_gets_it_test_() ->
    {timeout, 60,
     fun() ->
             Self = self(),
             [begin
                  Pids = [spawn(fun() ->
                                        Answer = try ?M:new(tsunami_names_i, [named_table]) catch error:badarg -> taken end,
                                        Self ! {answer, Answer},
                                        receive stop -> ok end
                                end) || _ <- lists:seq(1, 8)],
                  Answers = tsunami_test:collect(answer, 8),
                  ?assertEqual(1, length([A || A <- Answers, A =:= tsunami_names_i])),
                  [tsunami_test:stop(P) || P <- Pids],
                  ?assertEqual(undefined, ?M:whereis(tsunami_names_i))
              end || _ <- lists:seq(1, 100)]
     end}.

many_processes_fix_a_table_while_it_is_renamed_and_deleted_test_() ->
    {timeout, 60,
     fun() ->
             T = ?M:new(tsunami_names_j, [named_table, public]),
             Tid = ?M:whereis(T),
             ?M:insert(T, [{I} || I <- lists:seq(1, 1000)]),
             Self = self(),
             N = 15000,
             Pids = [spawn(fun() ->
                                   catch ?M:safe_fixtable(Tid, true),
                                   Self ! {fixed, ok},
                                   receive stop -> ok end
                           end) || _ <- lists:seq(1, N)],
             ?M:rename(T, tsunami_names_k),
             tsunami_test:collect(fixed, N),
             {_, Who} = ?M:info(Tid, safe_fixed),
             ?assertEqual(N, length(Who)),
             ?M:rename(tsunami_names_k, tsunami_names_l),
             [P ! stop || P <- lists:sublist(Pids, N div 2)],
             ?M:delete(tsunami_names_l),
             [P ! stop || P <- Pids],
             ?assertEqual(undefined, ?M:info(Tid))
     end}.
