%% init_table/2, and copies to and from dets.
-module(tsunami_bulk_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

contents(Table) -> lists:sort(?M:tab2list(Table)).

%% A function for init_table/2 that hands out these lists.
reader([]) ->
    fun(read) -> end_of_input end;
reader([List | Lists]) ->
    fun(read) -> {List, reader(Lists)};
       (close) -> self() ! {closed, length(Lists)}
    end.

init_table_replaces_the_contents_test() ->
    tsunami_test:each_kind(
      fun(Mod, Kind) ->
              Table = Mod:new(x, [Kind]),
              Mod:insert(Table, {old}),
              ?assertEqual(true, Mod:init_table(Table, reader([[{1, a}], [], [{2, b}, [{3, c}, {4, d}]], [{N} || N <- lists:seq(5, 3000)]]))),
              ?assertEqual(lists:sort([{1, a}, {2, b}, {3, c}, {4, d}] ++ [{N} || N <- lists:seq(5, 3000)]), contents(Table)),
              ?assertEqual(true, Mod:init_table(Table, reader([]))),
              ?assertEqual([], contents(Table)),
              receive {closed, _} -> error(closed) after 0 -> ok end
      end).

init_table_ends_as_in_ets_test() ->
    [?assertEqual({Lists, ended(ets, Lists)}, {Lists, ended(?M, Lists)})
     || Lists <- [[[{1}, a, {2}]], [[{1}], [{2}, {}]], [[[{1}, {2}], {3} | x]], [[{1}], [{2} | {3}]], [[{1}], x], [], [[{1}], [[{2}, a]], [{3}]]]].

%% How init_table ends, what is in the table then, and which function was told to close.
ended(Mod, Lists) ->
    Table = Mod:new(x, [ordered_set]),
    End = try
              Mod:init_table(Table, reader(Lists))
          catch
              exit:{Reason, [_ | _]} -> {exit, Reason};
              exit:{Objects, Fun} when is_function(Fun) -> {exit, Objects}
          end,
    {End, Mod:tab2list(Table), receive {closed, N} -> N after 0 -> none end}.

what_the_function_answers_or_raises_comes_out_test() ->
    Table = ?M:new(x, []),
    ?assertExit(foo, ?M:init_table(Table, fun(read) -> foo end)),
    ?assertExit({[{1}], x}, ?M:init_table(Table, fun(read) -> {[{1}], x} end)),
    ?assertError(oops, ?M:init_table(Table, fun(read) -> error(oops) end)),
    ?assertError({badfun, a}, ?M:init_table(Table, a)),
    ?assertThrow(ball, ?M:init_table(Table, fun(read) -> throw(ball) end)).

a_table_that_cannot_be_written_is_the_error_of_the_function_that_was_called_test() ->
    tsunami_test:not_ets("says so of a function inside"),
    Owner = tsunami_test:spawn_owner(fun() -> ok end),
    Protected = tsunami_test:ask(Owner, fun() -> T = ?M:new(x, [protected]), ?M:insert(T, {1, 1}), T end),
    Private = tsunami_test:ask(Owner, fun() -> ?M:new(x, [private]) end),
    Dead = ?M:new(x, []),
    ?M:delete(Dead),
    with_dets([], fun(Dets) ->
        [?assertMatch({error, badarg, F, [T, A], Cause, #{1 := _}}, tsunami_test:outcome(?M, F, [T, A]))
         || {F, A, Tables} <- [{init_table, fun(read) -> end_of_input end, [{Protected, access}]}, {from_dets, Dets, [{Protected, access}]}, {to_dets, Dets, [{Private, access}]}],
            {T, Cause} <- [{no_such_table, id}, {1, type}, {make_ref(), type}, {Dead, id} | Tables]]
                  end),
    ?assertEqual([{1, 1}], ?M:tab2list(Protected)),
    tsunami_test:stop(Owner).

%% --- dets -------------------------------------------------------------------------------

with_dets(Options, Fun) ->
    tsunami_test:with_file(
      fun(File) ->
              {ok, Dets} = dets:open_file(tsunami_bulk_dets, [{file, File} | Options]),
              try Fun(Dets) after dets:close(Dets) end
      end).

a_table_goes_to_dets_and_back_test() ->
    [with_dets([{type, DetsType}],
               fun(Dets) ->
                       Table = ?M:new(x, [Kind, Protection]),
                       Objects = [{N, integer_to_list(N)} || N <- lists:seq(1, 3000)] ++ [{0, N} || N <- lists:seq(1, 10), Kind =/= set],
                       ?M:insert(Table, Objects),
                       dets:insert(Dets, {old}),
                       ?assertEqual(Dets, ?M:to_dets(Table, Dets)),
                       Contents = contents(Table),
                       ?assertEqual(Contents, lists:sort(dets:match_object(Dets, '_'))),
                       ?M:delete_all_objects(Table),
                       ?M:insert(Table, {old}),
                       ?assertEqual(true, ?M:from_dets(Table, Dets)),
                       ?assertEqual(lists:sort([{old} | Contents]), contents(Table)),
                       ?assertEqual(false, dets:info(Dets, safe_fixed)),
                       ?M:delete(Table)
               end) || {Kind, DetsType} <- [{set, set}, {ordered_set, set}, {bag, bag}, {duplicate_bag, duplicate_bag}], Protection <- [public | [private || not tsunami_test:is_ets()]]].

an_empty_table_empties_dets_test() ->
    with_dets([], fun(Dets) ->
                          dets:insert(Dets, {old}),
                          Table = ?M:new(x, []),
                          ?assertEqual(Dets, ?M:to_dets(Table, Dets)),
                          ?assertEqual(0, dets:info(Dets, size)),
                          ?assertEqual(true, ?M:from_dets(Table, Dets)),
                          ?assertEqual([], ?M:tab2list(Table))
                  end).

what_dets_refuses_is_the_error_test() ->
    tsunami_test:not_ets("has no text for it, and leaves dets fixed"),
    Table = ?M:new(x, []),
    ?M:insert(Table, {1}),
    [?assertMatch({error, badarg, F, [Table, no_dets], dets, #{2 := _}}, tsunami_test:outcome(?M, F, [Table, no_dets])) || F <- [to_dets, from_dets]],
    with_dets([], fun(Dets) ->
                          dets:safe_fixtable(Dets, true),
                          ?assertMatch({error, {fixed_table, Dets}, to_dets, [Table, Dets], none, _}, tsunami_test:outcome(?M, to_dets, [Table, Dets])),
                          dets:safe_fixtable(Dets, false),
                          dets:insert(Dets, [{1}, {2}]),
                          Large = ?M:new(y, [{keypos, 2}]),
                          ?assertMatch({error, badarg, from_dets, [Large, Dets], _, _}, tsunami_test:outcome(?M, from_dets, [Large, Dets])),
                          ?assertEqual(false, dets:info(Dets, safe_fixed))
                  end),
    with_dets([{keypos, 2}], fun(Dets) -> ?assertError(invalid_objects_list, ?M:to_dets(Table, Dets)) end),
    receive Message -> error({left, Message}) after 0 -> ok end.

%% dets calls us back from a process of its own.
a_table_that_is_deleted_meanwhile_hangs_nobody_test() ->
    tsunami_test:not_ets("leaves dets with what it says of a function that failed"),
    [with_dets([], fun(Dets) ->
                           Table = ?M:new(x, [public]),
                           ?M:insert(Table, [{N, N} || N <- lists:seq(1, 20000)]),
                           Self = self(),
                           {Pid, Ref} = spawn_monitor(fun() -> Self ! going, exit({answer, tsunami_test:outcome(?M, to_dets, [Table, Dets])}) end),
                           receive going -> timer:sleep(Delay) end,
                           ?M:delete(Table),
                           receive
                               {'DOWN', Ref, process, Pid, {answer, {ok, Dets}}} -> ?assertEqual(20000, dets:info(Dets, size));
                               {'DOWN', Ref, process, Pid, {answer, Answer}} -> ?assertMatch({error, badarg, to_dets, [Table, Dets], id, #{1 := _}}, Answer)
                           end
                   end) || Delay <- [0, 1, 5, 20]].

a_caller_that_is_killed_meanwhile_hangs_nobody_test() ->
    [with_dets([], fun(Dets) ->
                           Table = ?M:new(x, [public]),
                           ?M:insert(Table, [{N, N} || N <- lists:seq(1, 20000)]),
                           Self = self(),
                           Pid = spawn(fun() -> Self ! going, ?M:to_dets(Table, Dets) end),
                           receive going -> timer:sleep(Delay) end,
                           tsunami_test:stop(Pid),
                           %% Answers only when it has come to an end.
                           _ = dets:info(Dets, size),
                           ?M:delete(Table)
                   end) || Delay <- [0, 1, 5, 20]].
