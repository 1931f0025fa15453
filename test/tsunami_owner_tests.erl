%% Owners, heirs and protection; and what is left of processes that are killed.
-module(tsunami_owner_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

owner(Fun) -> tsunami_test:spawn_owner(Fun).
ask(Pid, Fun) -> tsunami_test:ask(Pid, Fun).

a_table_is_gone_when_the_death_of_its_owner_is_heard_of_test() ->
    tsunami_test:each_kind(
      fun(M, Kind) ->
              [begin
                   Self = self(),
                   {Pid, Ref} = spawn_monitor(fun() -> M:new(tsunami_owner_a, [Kind, named_table, public]), Self ! {tid, M:whereis(tsunami_owner_a)}, receive stop -> ok end end),
                   Tid = receive {tid, X} -> X end,
                   M:insert(Tid, [{I} || I <- lists:seq(1, 100)]),
                   case Round rem 2 of
                       0 -> exit(Pid, kill);
                       1 -> Pid ! stop
                   end,
                   receive {'DOWN', Ref, _, _, _} -> ok end,
                   ?assertEqual(undefined, M:info(Tid, size)),
                   ?assertEqual(undefined, M:whereis(tsunami_owner_a)),
                   ?assertError(badarg, M:lookup(Tid, 1)),
                   ?assertEqual(tsunami_owner_a, M:new(tsunami_owner_a, [named_table])),
                   M:delete(tsunami_owner_a)
               end || Round <- lists:seq(1, 40)]
      end).

a_linked_process_finds_the_table_gone_too_test() ->
    [tsunami_test:in_process(
       fun() ->
               process_flag(trap_exit, true),
               Self = self(),
               Pid = spawn_link(fun() -> Self ! {tid, ?M:new(t, [public])}, receive stop -> ok end end),
               Tid = receive {tid, X} -> X end,
               exit(Pid, kill),
               receive {'EXIT', Pid, _} -> ok end,
               ?assertEqual(undefined, ?M:info(Tid, size)),
               ?assertNot(lists:member(Tid, ?M:all()))
       end) || _ <- lists:seq(1, 100)].

the_heir_hears_of_its_table_before_it_hears_of_the_death_test() ->
    [tsunami_test:in_process(
       fun() ->
               process_flag(trap_exit, true),
               Heir = self(),
               {Pid, Ref} = spawn_opt(fun() ->
                                              Heir ! {tid, ?M:new(t, [{heir, Heir, {data, fun() -> ok end}}, Protection])},
                                              receive stop -> ok end
                                      end, [link, monitor]),
               Tid = receive {tid, X} -> X end,
               case Round rem 2 of
                   0 -> exit(Pid, kill);
                   1 -> Pid ! stop
               end,
               Messages = tsunami_test_messages(3),
               ?assertMatch({'ETS-TRANSFER', Tid, Pid, {data, _}}, hd(Messages)),
               ?assertMatch([_, _], [M || M <- Messages, element(1, M) =:= 'EXIT' orelse element(2, M) =:= Ref]),
               ?assertEqual(Heir, ?M:info(Tid, owner)),
               ?assertEqual(Heir, ?M:info(Tid, heir)),
               true = ?M:insert(Tid, {1}),
               true = ?M:delete(Tid)
       end) || Round <- lists:seq(1, 100), Protection <- [public, protected, private]].

%% Whatever has become of a table since it got its heir.
an_heir_hears_first_of_tables_that_were_given_away_or_named_or_without_heir_for_a_while_test_() ->
    Given = fun(Options) ->
                    Self = self(),
                    fun(Heir) ->
                            Taker = self(),
                            Giver = spawn(fun() -> ?M:give_away(?M:new(tsunami_owner_g, [{heir, Heir, data} | Options]), Taker, Self) end),
                            receive {'ETS-TRANSFER', T, Giver, Self} -> T end
                    end
            end,
    [{Name, {timeout, 60, fun() -> hears_first(New) end}}
     || {Name, New} <- [{"given", Given([])}, {"given, named", Given([named_table])},
                        {"named, heir set later", fun(Heir) -> T = ?M:new(tsunami_owner_g, [named_table]), ?M:setopts(T, {heir, Heir, data}), T end},
                        {"another heir", fun(Heir) -> T = ?M:new(t, [{heir, self(), x}]), ?M:setopts(T, {heir, Heir, data}), T end},
                        {"no heir for a while", fun(Heir) ->
                                                        T = ?M:new(t, [{heir, Heir, x}]),
                                                        ?M:setopts(T, {heir, none}),
                                                        ?M:setopts(T, {heir, Heir, data}),
                                                        T
                                                end}]].

hears_first(New) ->
    Before = length(ets:all()),
    [tsunami_test:in_process(
       fun() ->
               process_flag(trap_exit, true),
               Heir = self(),
               Pid = spawn_link(fun() -> Heir ! {tid, New(Heir)}, receive stop -> ok end end),
               T = receive {tid, X} -> X end,
               case Round rem 2 of
                   0 -> exit(Pid, kill);
                   1 -> Pid ! stop
               end,
               ?assertMatch([{'ETS-TRANSFER', T, Pid, data}, {'EXIT', Pid, _}], tsunami_test_messages(2)),
               ?assert(?M:insert(T, {1})),
               ?assert(?M:delete(T))
       end) || Round <- lists:seq(1, 50)],
    ?assertEqual(Before, length(ets:all())).

%% The heir hears once, whether it gets the table from the giver or from whoever died with the gift.
a_table_given_to_a_dying_process_reaches_its_heir_once_test() ->
    [begin
         Heir = owner(fun() -> ok end),
         T = ?M:new(t, [{heir, Heir, data}]),
         Dying = spawn(fun() -> receive stop -> ok end end),
         Dying ! stop,
         [erlang:yield() || _ <- lists:seq(1, Round rem 3)],
         Given = try ?M:give_away(T, Dying, gift) catch error:badarg -> ?M:delete(T), false end,
         Ref = monitor(process, Dying),
         receive {'DOWN', Ref, _, _, _} -> ok end,
         case Given of
             true -> ?assertMatch({'ETS-TRANSFER', T, Dying, data}, ask(Heir, fun received/0));
             false -> ok
         end,
         ?assertEqual(nothing_more, ask(Heir, fun() -> receive M -> M after 0 -> nothing_more end end)),
         tsunami_test:stop(Heir)
     end || Round <- lists:seq(1, 100)].

the_death_of_an_owner_of_many_tables_holds_nobody_up_test_() ->
    {timeout, 60,
     fun() ->
             Heir = owner(fun() -> ok end),
             Self = self(),
             Before = length(?M:all()),
             Pid = owner(fun() -> ok end),
             ask(Pid, fun() -> [?M:new(t, [public]) || _ <- lists:seq(1, 30000)] end),
             T = ask(Pid, fun() -> [begin X = ?M:new(t, []), ?M:setopts(X, {heir, Heir, data}), X end || _ <- lists:seq(1, 1000)] end),
             ?assertEqual(Before + 31000, length(?M:all())),
             Schedules = spawn_link(fun() -> erlang:system_monitor(self(), [{long_schedule, 50}]), receive stop -> Self ! {long, messages()} end end),
             tsunami_test:stop(Pid),
             ?assertEqual(Before + 1000, length(?M:all())),
             ?assert(lists:all(fun(X) -> ?M:info(X, owner) =:= Heir end, T)),
             tsunami_test:settle(),
             Schedules ! stop,
             ?assertEqual([], receive {long, Long} -> [L || {monitor, P, _, _} = L <- Long, P =:= Pid] end),
             [?assertMatch({'ETS-TRANSFER', _, Pid, data}, ask(Heir, fun received/0)) || _ <- T],
             tsunami_test:stop(Heir),
             ?assertEqual(Before, length(?M:all()))
     end}.

messages() -> receive M -> [M | messages()] after 0 -> [] end.

tsunami_test_messages(0) -> [];
tsunami_test_messages(N) ->
    receive Message -> [Message | tsunami_test_messages(N - 1)]
    after 5000 -> []
    end.

a_third_process_that_hears_of_the_death_finds_the_heir_as_owner_test() ->
    Heir = owner(fun() -> ok end),
    [begin
         Pid = owner(fun() -> ok end),
         T = ask(Pid, fun() -> ?M:new(t, [public, {heir, Heir, data}]) end),
         tsunami_test:stop(Pid),
         ?assertEqual(Heir, ?M:info(T, owner)),
         ?assert(?M:insert(T, {1}))
     end || _ <- lists:seq(1, 100)],
    tsunami_test:stop(Heir).

an_heir_that_is_dead_when_it_is_named_reads_as_none_test() ->
    Dead = spawn(fun() -> ok end),
    tsunami_test:stop(Dead),
    T = ?M:new(t, [{heir, Dead, data}]),
    ?assertEqual(none, ?M:info(T, heir)),
    ?M:setopts(T, {heir, Dead, data}),
    ?assertEqual(none, ?M:info(T, heir)).

an_heir_that_dies_first_inherits_nothing_test() ->
    Heir = owner(fun() -> ok end),
    Pid = owner(fun() -> ok end),
    T = ask(Pid, fun() -> ?M:new(t, [public, {heir, Heir, data}]) end),
    ?assertEqual(Heir, ?M:info(T, heir)),
    tsunami_test:stop(Heir),
    ?assertEqual(Pid, ?M:info(T, owner)),
    tsunami_test:stop(Pid),
    ?assertEqual(undefined, ?M:info(T, owner)).

owner_and_heir_that_die_together_leave_nothing_test() ->
    [begin
         Heir = owner(fun() -> ok end),
         Pid = owner(fun() -> ok end),
         T = ask(Pid, fun() -> ?M:new(tsunami_owner_b, [named_table, {heir, Heir, data}]) end),
         Refs = [monitor(process, P) || P <- [Heir, Pid]],
         exit(Pid, kill),
         exit(Heir, kill),
         [receive {'DOWN', R, _, _, _} -> ok end || R <- Refs],
         ?assertEqual(undefined, ?M:info(T, owner))
     end || _ <- lists:seq(1, 100)].

a_table_goes_from_heir_to_heir_test() ->
    [A, B, C] = [owner(fun() -> ok end) || _ <- [1, 2, 3]],
    T = ask(A, fun() -> ?M:new(t, [{heir, B, first}]) end),
    tsunami_test:stop(A),
    ?assertMatch({'ETS-TRANSFER', T, A, first}, ask(B, fun received/0)),
    ?assertEqual(B, ?M:info(T, heir)),
    ask(B, fun() -> ?M:setopts(T, [{heir, C, second}, {protection, private}]) end),
    tsunami_test:stop(B),
    ?assertMatch({'ETS-TRANSFER', T, B, second}, ask(C, fun received/0)),
    ?assertEqual(C, ?M:info(T, owner)),
    ?assertEqual(private, ?M:info(T, protection)),
    tsunami_test:stop(C),
    ?assertEqual(undefined, ?M:info(T)).

received() -> receive M when element(1, M) =:= 'ETS-TRANSFER' -> M after 5000 -> nothing end.

the_message_names_a_named_table_by_its_name_test() ->
    Heir = owner(fun() -> ok end),
    Pid = owner(fun() -> ok end),
    ask(Pid, fun() -> ?M:new(tsunami_owner_c, [named_table, {heir, Heir, data}]) end),
    ask(Pid, fun() -> ?M:rename(tsunami_owner_c, tsunami_owner_d) end),
    tsunami_test:stop(Pid),
    ?assertMatch({'ETS-TRANSFER', tsunami_owner_d, Pid, data}, ask(Heir, fun received/0)),
    tsunami_test:stop(Heir).

give_away_hands_over_at_once_test() ->
    Other = owner(fun() -> ok end),
    T = ?M:new(t, [private, {heir, self(), back}]),
    ?M:insert(T, {1}),
    ?assert(?M:give_away(T, Other, {gift, [1]})),
    ?assertError(badarg, ?M:lookup(T, 1)),
    ?assertEqual(Other, ?M:info(T, owner)),
    Self = self(),
    ?assertMatch({'ETS-TRANSFER', T, Self, {gift, [1]}}, ask(Other, fun received/0)),
    ?assertEqual([{1}], ask(Other, fun() -> ?M:lookup(T, 1) end)),
    ?assertEqual(self(), ?M:info(T, heir)),
    tsunami_test:stop(Other),
    ?assertMatch({'ETS-TRANSFER', T, Other, back}, received()),
    ?assertEqual([{1}], ?M:lookup(T, 1)).

give_away_is_for_the_owner_to_a_living_other_test() ->
    T = ?M:new(t, [public]),
    Dead = spawn(fun() -> ok end),
    tsunami_test:stop(Dead),
    ?assertError(badarg, ?M:give_away(T, self(), x)),
    ?assertError(badarg, ?M:give_away(T, Dead, x)),
    ?assertError(badarg, ?M:give_away(T, not_a_pid, x)),
    Other = owner(fun() -> ok end),
    ?assertMatch({error, badarg, _, _, not_owner, _}, ask(Other, fun() -> tsunami_test:outcome(?M, give_away, [T, Other, x]) end)),
    ?assertEqual(self(), ?M:info(T, owner)),
    tsunami_test:stop(Other).

a_table_given_to_a_process_dies_with_that_one_test() ->
    Other = owner(fun() -> ok end),
    tsunami_test:in_process(fun() -> ?M:give_away(?M:new(tsunami_owner_e, [named_table, public]), Other, x) end),
    ?assertEqual(Other, ?M:info(tsunami_owner_e, owner)),
    tsunami_test:stop(Other),
    ?assertEqual(undefined, ?M:info(tsunami_owner_e)).

the_rights_of_others_are_those_of_the_protection_test() ->
    Other = owner(fun() -> ok end),
    Reads = [fun(T) -> ?M:lookup(T, 1) end, fun(T) -> ?M:member(T, 1) end, fun(T) -> ?M:first(T) end, fun(T) -> ?M:tab2list(T) end, fun(T) -> ?M:safe_fixtable(T, false) end],
    Writes = [fun(T) -> ?M:insert(T, {1}) end, fun(T) -> ?M:insert_new(T, {1}) end, fun(T) -> ?M:delete(T, 1) end, fun(T) -> ?M:take(T, 1) end,
              fun(T) -> ?M:delete_object(T, {1}) end, fun(T) -> ?M:delete_all_objects(T) end, fun(T) -> ?M:rename(T, x) end, fun(T) -> ?M:delete(T) end],
    [begin
         T = ?M:new(t, [Protection]),
         ?M:insert(T, {1}),
         [?assertEqual({Protection, MayRead}, {Protection, ask(Other, fun() -> allowed(F, T) end)}) || F <- Reads],
         [?assertEqual({Protection, MayWrite}, {Protection, ask(Other, fun() -> allowed(F, T) end)}) || F <- Writes]
     end || {Protection, MayRead, MayWrite} <- [{public, true, true}, {protected, true, false}, {private, false, false}]],
    tsunami_test:stop(Other).

allowed(F, T) ->
    try F(T) of _ -> true
    catch error:badarg -> false
    end.

only_the_owner_may_set_options_test() ->
    T = ?M:new(t, [public]),
    [?assertError(badarg, tsunami_test:in_process(fun() -> ?M:setopts(T, O) end)) || O <- [[], {heir, none}, {protection, public}]],
    ?assert(?M:setopts(T, {protection, private})),
    ?assertError(badarg, tsunami_test:in_process(fun() -> ?M:lookup(T, 1) end)).

anyone_who_may_write_may_delete_the_table_test() ->
    T = ?M:new(t, [public, {heir, self(), x}]),
    tsunami_test:in_process(fun() -> ?M:delete(T) end),
    ?assertEqual(undefined, ?M:info(T)),
    receive {'ETS-TRANSFER', _, _, _} -> error(transferred) after 0 -> ok end.

the_death_of_a_process_ends_its_fixations_test() ->
    T = ?M:new(t, [public]),
    ?M:insert(T, {1}),
    Pids = [owner(fun() -> ?M:safe_fixtable(T, true), ?M:safe_fixtable(T, true) end) || _ <- lists:seq(1, 20)],
    ?assertEqual(true, ?M:info(T, fixed)),
    ?M:setopts(T, {protection, private}),
    [tsunami_test:stop(P) || P <- Pids],
    ?assertEqual(false, ?M:info(T, fixed)).

a_thousand_killed_owners_leak_nothing_test_() ->
    {timeout, 120,
     fun() ->
             tsunami_leak_campaign:kills(?M, 200),
             Before = {length(?M:all()), length(ets:all())},
             Kb = tsunami_leak_campaign:kills(?M, 1000),
             ?assertEqual(Before, {length(?M:all()), length(ets:all())}),
             tsunami_test:print("1000 owners killed: resident memory grew by ~b KB~n", [Kb]),
             %% AddressSanitizer keeps what is freed.
             os:getenv("TSU_SANITIZED") =:= false andalso ?assert(Kb < 20000)
     end}.

owners_killed_in_the_middle_of_their_work_leave_no_half_of_it_test_() ->
    {timeout, 120,
     fun() ->
             [begin
                  T = ?M:new(t, [Kind, public]),
                  List = [{I, v} || I <- lists:seq(1, 20000)],
                  Pid = spawn(fun() -> work(T, List) end),
                  timer:sleep(rand:uniform(30)),
                  tsunami_test:stop(Pid),
                  ?assert(lists:member(?M:info(T, size), [0, 20000])),
                  ?assertEqual(?M:info(T, size), length(?M:tab2list(T))),
                  ?assert(?M:insert(T, List)),
                  ?assertEqual(20000, ?M:info(T, size)),
                  ?M:delete(T)
              end || Kind <- [set, ordered_set], _ <- lists:seq(1, 12)]
     end}.

who_hears_of_a_death_finds_the_fixations_gone_test() ->
    T = ?M:new(t, [public]),
    Before = process_flag(scheduler, 1),
    Fixer = fun() ->
                    ?M:insert(T, [{I} || I <- lists:seq(1, 2000)]),
                    ?M:safe_fixtable(T, true),
                    [?M:delete(T, I) || I <- lists:seq(1, 2000)]
            end,
    [begin
         {Pid, Monitor} = spawn_opt(Fixer, [link, monitor, {scheduler, erlang:system_info(schedulers_online)}]),
         receive {'DOWN', Monitor, process, Pid, normal} -> ok end,
         ?assertEqual(false, ?M:info(T, element(1 + Round rem 2, {fixed, safe_fixed})))
     end || Round <- lists:seq(1, 200)],
    process_flag(scheduler, Before).

work(T, List) ->
    ?M:insert(T, List),
    ?M:tab2list(T),
    ?M:delete_all_objects(T),
    work(T, List).
