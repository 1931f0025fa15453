%% tsunami_leak_campaign: processes that are killed at whatever they do with tables leave nothing behind
%% (`make leak-campaign KILLS=100000`).
-module(tsunami_leak_campaign).
-export([main/1, run/1, kills/2]).

-define(ROUNDS, 10).

main([Kills]) ->
    case run(list_to_integer(Kills)) of
        ok -> halt(0);
        leak -> halt(1)
    end.

%% Resident memory after each tenth; from the second on it has to stay where it is, within 10 % or 20 MB. No table is left,
%% nor any of the ets tables that may stand behind one.
run(Kills) ->
    Mod = tsunami_test:module(),
    kills(Mod, 8),
    Tables = length(Mod:all()),
    EtsTables = length(ets:all()),
    Sizes = [begin
                 kills(Mod, Kills div ?ROUNDS),
                 Kb = tsunami_test:resident_kb(),
                 tsunami_test:print("~b kills: ~b KB resident, ~b tables, ~b of ets~n",
                                    [Round * Kills div ?ROUNDS, Kb, length(Mod:all()), length(ets:all())]),
                 Kb
             end || Round <- lists:seq(1, ?ROUNDS)],
    Base = lists:nth(2, Sizes),
    Flat = lists:last(Sizes) =< Base + max(20000, Base div 10),
    case Flat andalso length(Mod:all()) =:= Tables andalso length(ets:all()) =:= EtsTables of
        true -> tsunami_test:print("flat~n", []), ok;
        false -> tsunami_test:print("LEAK~n", []), leak
    end.

%% Kills N processes, each in the midst of something else, and answers by how many KB the VM has grown.
kills(Mod, N) ->
    Shared = Mod:new(shared, [public]),
    Mod:insert(Shared, [{I, binary:copy(<<I:32>>, 100)} || I <- lists:seq(1, 1000)]),
    Before = settled_kb(),
    Self = self(),
    [begin
         {Pid, Ref} = spawn_monitor(fun() -> act(Mod, Shared, Self, I rem 8) end),
         %% Some are killed at their work, some once they have done it.
         case I rem 3 of
             0 -> receive {ready, Pid} -> ok after 1000 -> ok end;
             1 -> erlang:yield();
             2 -> ok
         end,
         exit(Pid, kill),
         receive {'DOWN', Ref, _, _, _} -> ok end,
         receive {ready, Pid} -> ok after 0 -> ok end
     end || I <- lists:seq(1, N)],
    Mod:delete(Shared),
    flush(),
    settled_kb() - Before.

act(Mod, Shared, Parent, Kind) ->
    Big = binary:copy(<<"x">>, 2000),
    List = [{I, [Big, I]} || I <- lists:seq(1, 300)],
    case Kind of
        0 -> Mod:insert(Mod:new(t, [set]), List);
        1 -> Mod:insert(Mod:new(tsunami_leak_name, [ordered_set, named_table]), List);
        2 -> Mod:insert(Mod:new(t, [bag, {heir, Parent, Big}]), {1, Big});
        3 -> Mod:safe_fixtable(Shared, true), Mod:insert(Shared, List), [Mod:delete(Shared, I) || I <- lists:seq(1, 100)];
        4 -> Mod:insert(Shared, List);
        5 -> Mod:tab2list(Shared), Mod:foldl(fun(_, A) -> A end, 0, Shared);
        6 -> T = Mod:new(t, [duplicate_bag]), Mod:insert(T, List), Mod:insert(T, {r, make_ref(), atomics:new(2, [])}), Mod:delete_all_objects(T);
        7 -> Mod:give_away(Mod:new(t, []), Parent, Big)
    end,
    Parent ! {ready, self()},
    receive never -> ok end.

%% Tables that were handed to this process, by gift or by inheritance.
flush() ->
    receive
        {'ETS-TRANSFER', T, _, _} -> catch (tsunami_test:module()):delete(T), flush();
        {ready, _} -> flush()
    after 0 -> ok
    end.

settled_kb() ->
    tsunami_test:settle(),
    erlang:garbage_collect(),
    tsunami_test:resident_kb().
