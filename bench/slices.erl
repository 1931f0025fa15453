%% slices: does any call of tsunami hold a scheduler for more than a millisecond?
%%
%% main(Arguments): each argument is a regular expression; a line runs if all of them are found in its name,
%% operation/table. `--selftest` plants a call that does not yield, which has to be found.
%% Environment: SLICES_OBJECTS (1000000), SLICES_ROUNDS (8), BENCH_B (the module to look at, tsunami).
%%
%% The VM tells of each time that a process had a scheduler for more than 1 ms. On a shared machine it tells that of
%% a process that does nothing but count as well: after each operation such a loop runs for as long, as a control. What
%% really holds a scheduler does so every time, so a line is LONG if each of its rounds had more reports than the loop beside
%% it, or one three times as long. It is repeated until a round is not, and the best round is shown.
-module(slices).

-export([main/1]).

-define(LIMIT_MS, 1).

main(["--selftest" | _]) ->
    halt(selftest());
main(Filters) ->
    Lines = [{Name, Op} || {Name, Op} <- lines(objects()), lists:all(fun(F) -> re:run(Name, F) =/= nomatch end, Filters)],
    io:format("~b objects; reports of more than ~b ms, and the longest in ms, of the best of up to ~b rounds~n"
              "~-32s ~9s  ~14s ~14s  ~ts~n", [objects(), ?LIMIT_MS, rounds(), "", "ms", "reports   max", "idle loop max", ""]),
    Verdicts = [line(Name, Op) || {Name, Op} <- Lines],
    halt(case [long || long <- Verdicts] of [] -> 0; _ -> 1 end).

objects() -> env("SLICES_OBJECTS", 1000000).
rounds() -> env("SLICES_ROUNDS", 8).

env(Name, Default) ->
    case os:getenv(Name) of
        Text when Text =/= false, Text =/= "" -> list_to_integer(Text);
        _ -> Default
    end.

module() ->
    case os:getenv("BENCH_B") of
        Name when Name =/= false, Name =/= "" -> list_to_atom(Name);
        _ -> tsunami
    end.

%% A line is {Name, fun() -> {Prepare, Run, End}}: Prepare makes what Run is timed with.
lines(N) ->
    Up = fun() -> [{I, I, a} || I <- lists:seq(1, N)] end,
    Mixed = fun() -> [O || {_, O} <- lists:sort([{erlang:phash2(I), {I, I, a}} || I <- lists:seq(1, N)])] end,
    One = fun() -> [{1, I, a} || I <- lists:seq(1, N)] end,
    M = module(),
    Into = fun(T) -> M:insert(T, list()) end,
    All = fun(Kind) -> [{insert, Up, fun(_) -> ok end, Into},
           {insert_mixed, Mixed, fun(_) -> ok end, Into},
           {overwrite, Up, Into, Into},
           {insert_new, Mixed, fun(_) -> ok end, fun(T) -> true = M:insert_new(T, list()) end},
           {insert_new_late_no, Up, fun(T) -> M:insert(T, {N, there, a}) end, fun(T) -> false = M:insert_new(T, list()) end},
           {tab2list, Up, Into, fun(T) -> N = length(M:tab2list(T)) end},
           {foldl, Up, Into, fun(T) -> N = M:foldl(fun(_, C) -> C + 1 end, 0, T) end},
           {foldr, Up, Into, fun(T) -> N = M:foldr(fun(_, C) -> C + 1 end, 0, T) end},
           {select_count, Up, Into, fun(T) -> 0 = M:select_count(T, none()) end},
           {select_key_count, Up, Into, fun(T) -> 1 = M:select_count(T, [{{7, '$1', '_'}, [], [true]}]) end},
           {select_none, Up, Into, fun(T) -> [] = M:select(T, none()) end},
           {select, Up, Into, fun(T) -> N = length(M:select(T, firsts())) end},
           {select_reverse, Up, Into, fun(T) -> N = length(M:select_reverse(T, firsts())) end},
           {match_object, Up, Into, fun(T) -> N = length(M:match_object(T, {'_', '_', a})) end},
           {select_chunks, Up, Into, fun(T) -> N = chunks(M, M:select(T, firsts(), 1000), 0) end},
           {select_one_chunk, Up, Into, fun(T) -> N = chunks(M, M:select(T, firsts(), N), 0) end},
           {select_replace, Up, Into, fun(T) -> replaced(N, Kind, fun() -> M:select_replace(T, replace()) end) end},
           {select_delete_half, Up, Into, fun(T) -> true = N div 2 =:= M:select_delete(T, [{{'_', '$1', '_'}, [{'>', '$1', N div 2}], [true]}]) end},
           {select_delete, Up, Into, fun(T) -> N = M:select_delete(T, [{{'_', '_', '_'}, [], [true]}]) end},
           {select_delete_all, Up, Into, fun(T) -> N = M:select_delete(T, [{'_', [], [true]}]) end},
           {match_delete_all, Up, Into, fun(T) -> true = M:match_delete(T, '_') end},
           {delete_all_objects, Up, Into, fun(T) -> M:delete_all_objects(T) end},
           {delete, Up, Into, fun(T) -> M:delete(T) end}] end,
    OneKey = fun(Kind) -> [{one_key_insert, One, fun(_) -> ok end, Into},
              {one_key_lookup, One, Into, fun(T) -> N = length(M:lookup(T, 1)) end},
              {one_key_take, One, Into, fun(T) -> N = length(M:take(T, 1)) end},
              {one_key_delete, One, Into, fun(T) -> M:delete(T, 1) end},
              {one_key_tab2list, One, Into, fun(T) -> N = length(M:tab2list(T)) end},
              {one_key_select_count, One, Into, fun(T) -> 0 = M:select_count(T, none()) end},
              {one_key_select, One, Into, fun(T) -> N = length(M:select(T, firsts())) end},
              {one_key_select_by_key, One, Into, fun(T) -> N = length(M:select(T, [{{1, '$1', '_'}, [], ['$1']}])) end},
              {one_key_select_chunks, One, Into, fun(T) -> N = chunks(M, M:select(T, firsts(), 1000), 0) end},
              {one_key_select_replace, One, Into, fun(T) -> replaced(N, Kind, fun() -> M:select_replace(T, replace()) end) end},
              {one_key_select_delete_half, One, Into, fun(T) -> true = N div 2 =:= M:select_delete(T, [{{1, '$1', '_'}, [{'>', '$1', N div 2}], [true]}]) end},
              {one_key_select_delete, One, Into, fun(T) -> N = M:select_delete(T, [{{'_', '_', '_'}, [], [true]}]) end}] end,
    [{name(Op, Kind), {Kind, List, Before, Run}} || Kind <- [set, ordered_set, bag, duplicate_bag], {Op, List, Before, Run} <- All(Kind)]
        ++ [{name(Op, Kind), {Kind, List, Before, Run}} || Kind <- [bag, duplicate_bag], {Op, List, Before, Run} <- OneKey(Kind)].

none() -> [{{'_', '$1', '_'}, [{'<', '$1', 0}], [true]}].
firsts() -> [{{'_', '$1', '_'}, [], ['$1']}].
replace() -> [{{'$1', '$2', '_'}, [], [{{'$1', '$2', b}}]}].

chunks(_M, '$end_of_table', Count) -> Count;
chunks(M, {List, More}, Count) -> chunks(M, M:select(More), Count + length(List)).

%% A bag refuses it.
replaced(_N, bag, Replace) -> try Replace() catch error:badarg -> ok end;
replaced(N, _Kind, Replace) -> N = Replace().

name(Op, Kind) -> lists:flatten(io_lib:format("~p/~p", [Op, Kind])).

list() -> persistent_term:get(slices_list).

line(Name, {Kind, List, Before, Run}) ->
    persistent_term:put(slices_list, List()),
    erlang:garbage_collect(),
    M = module(),
    Rounds = rounds(fun() ->
                            T = M:new(slices, [Kind, public]),
                            Before(T),
                            Round = one_round(fun() -> Run(T) end),
                            catch M:delete(T),
                            settle(M),
                            Round
                    end),
    report(Name, Rounds).

report(Name, Rounds) ->
    [{Us, Reports, Idle} = Round] = Rounds,
    Long = is_long(Round),
    io:format("~-32s ~9.1f  ~8b ~5b ~8b ~5b  ~ts~n",
              [Name, Us / 1000, length(Reports), longest(Reports), length(Idle), longest(Idle),
               case Long of true -> io_lib:format("LONG ~0p", [where(Reports)]); false -> "" end]),
    case Long of true -> long; false -> ok end.

is_long({_, Reports, Idle}) -> length(Reports) > length(Idle) orelse longest(Reports) > 3 * longest(Idle).

%% Rounds until one is not long, or there were enough of them: [the best].
rounds(Fun) -> rounds(Fun, rounds(), []).
rounds(_Fun, 0, Acc) ->
    [{_, Best} | _] = lists:keysort(1, [{length(Reports), Round} || {_, Reports, _} = Round <- Acc]),
    [Best];
rounds(Fun, Left, Acc) ->
    Round = Fun(),
    case is_long(Round) of
        false -> [Round];
        true -> rounds(Fun, Left - 1, [Round | Acc])
    end.

%% {Microseconds, reports of the operation, reports of an idle loop that took as long}
one_round(Fun) ->
    {Us, Reports} = watched(Fun),
    {_, Idle} = watched(fun() -> idle(erlang:monotonic_time(microsecond) + Us) end),
    {Us, Reports, Idle}.

idle(Until) -> idle(Until, 1000).
idle(Until, 0) -> erlang:monotonic_time(microsecond) >= Until orelse idle(Until, 1000);
idle(Until, N) -> idle(Until, N - 1).

%% Its beginning and its end are not looked at: there the VM makes and frees a heap so large that garbage collection, which
%% no slices help, has nothing to do.
watched(Fun) ->
    Self = self(),
    {Pid, Ref} = spawn_opt(fun() ->
                                   receive go -> ok end,
                                   Start = erlang:monotonic_time(microsecond),
                                   Fun(),
                                   Us = erlang:monotonic_time(microsecond) - Start,
                                   erlang:yield(),
                                   Self ! {self(), Us},
                                   receive stop -> ok end
                           end, [monitor, {min_heap_size, 8000000}]),
    timer:sleep(20),
    erlang:system_monitor(Self, [{long_schedule, ?LIMIT_MS}]),
    Pid ! go,
    Us = receive {Pid, U} -> U end,
    timer:sleep(20),
    erlang:system_monitor(undefined),
    Pid ! stop,
    receive {'DOWN', Ref, process, Pid, normal} -> ok end,
    {Us, reports(Pid)}.

reports(Pid) ->
    receive
        {monitor, Pid, long_schedule, Info} -> [Info | reports(Pid)];
        {monitor, _, _, _} -> reports(Pid)
    after 0 -> []
    end.

longest(Reports) -> lists:max([0 | [proplists:get_value(timeout, R) || R <- Reports]]).

where(Reports) -> lists:usort([proplists:get_value(out, R) || R <- Reports]).

settle(tsunami) -> tsunami_nif:sync();
settle(_) -> ok.

%% A BIF that walks a long list in one go has to be reported, each time; a loop that does nothing but count has not.
selftest() ->
    persistent_term:put(slices_list, [{I, I, a} || I <- lists:seq(1, 1000000)]),
    Long = report("planted", rounds(fun() -> one_round(fun() -> _ = erts_debug:flat_size(lists:duplicate(60, list())) end) end, 3, [])),
    Short = report("a loop", rounds(fun() -> one_round(fun() -> idle(erlang:monotonic_time(microsecond) + 50000) end) end)),
    Failed = length([1 || Long =/= long]) + length([1 || Short =/= ok]),
    io:format("~b passed, ~b failed~n", [2 - Failed, Failed]),
    min(1, Failed).
