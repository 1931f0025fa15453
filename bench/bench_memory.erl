%% bench_memory: what tables take from the system, each in a VM that has done nothing else.
%%
%% A VM is started for each cell. It fills and drops a small table first, so that code and first pages are there, reads its
%% resident size, does its work in a process that ends, collects all garbage, and reads it again.
-module(bench_memory).

-export([objects/4, empty/2, churn/2, child/5]).

%% Resident and reported bytes per object of Count objects: {ok, #{resident, info}} | error.
objects(Module, Type, Data, Count) -> start([objects, Module, Type, Data, Count]).

%% Resident bytes per table of Count empty ones.
empty(Module, Count) -> start([empty, Module, set, int, Count]).

%% Resident bytes that Count tables made, given one object and deleted have left behind, all in all.
churn(Module, Count) -> start([churn, Module, set, int, Count]).

start(Arguments) ->
    Self = self(),
    Ref = make_ref(),
    case bench_vm:call(?MODULE, child, Arguments, fun(Result) -> Self ! {Ref, Result} end) of
        ok -> receive {Ref, Result} -> {ok, Result} after 0 -> error end;
        {error, _} -> error
    end.

%% --- in the VM of its own -----------------------------------------------------------------------

child(What, Module, Type, Data, Count) ->
    bench_vm:emit(measure(What, Module, Type, Data, Count)).

measure(objects, Module, Type, Data, Count) ->
    _ = drop_after(Module, Type, fun(T) -> fill(Module, T, Data, 1000) end),
    Before = resident(),
    T = Module:new(bench, [Type, public]),
    in_process(fun() -> fill(Module, T, Data, Count) end),
    After = resident(),
    Count = Module:info(T, size),
    #{resident => (After - Before) / Count,
      info => Module:info(T, memory) * erlang:system_info(wordsize) / Count};
measure(empty, Module, Type, _Data, Count) ->
    _ = drop_after(Module, Type, fun(_) -> ok end),
    Before = resident(),
    Tables = [Module:new(bench, [Type, public]) || _ <- lists:seq(1, Count)],
    Info = Module:info(hd(Tables), memory) * erlang:system_info(wordsize),
    After = resident(),
    Own = 2 * erlang:system_info(wordsize) * Count,
    Count = length(Tables),
    #{resident => (After - Before - Own) / Count, info => Info};
measure(churn, Module, Type, _Data, Count) ->
    One = fun(T) -> Module:insert(T, {1, 2, active}) end,
    in_process(fun() -> repeat(Count div 10, fun() -> drop_after(Module, Type, One) end) end),
    Before = resident(),
    in_process(fun() -> repeat(Count, fun() -> drop_after(Module, Type, One) end) end),
    #{resident => resident() - Before, info => 0}.

drop_after(Module, Type, Fun) ->
    T = Module:new(bench, [Type, public]),
    _ = Fun(T),
    Module:delete(T).

fill(Module, T, Data, Count) ->
    Template = bench_data:template(Data),
    Copies = bench_data:copies(Data),
    fill(Module, T, Data, Template, Copies, 0, Count).

fill(_Module, _T, _Data, _Template, _Copies, Count, Count) -> ok;
fill(Module, T, Data, Template, Copies, I, Count) ->
    Object = bench_data:object(Template, bench_data:key(Data, I div Copies + 1)),
    Module:insert(T, if Copies > 1 -> setelement(2, Object, I); true -> Object end),
    fill(Module, T, Data, Template, Copies, I + 1, Count).

repeat(0, _Fun) -> ok;
repeat(N, Fun) -> Fun(), repeat(N - 1, Fun).

in_process(Fun) ->
    {Pid, Ref} = spawn_monitor(Fun),
    receive
        {'DOWN', Ref, process, Pid, normal} -> ok;
        {'DOWN', Ref, process, Pid, Reason} -> exit(Reason)
    end.

%% Resident bytes, once nothing is left to be freed.
resident() ->
    bench_run:settle(),
    _ = [erlang:garbage_collect(P) || P <- processes()],
    timer:sleep(300),
    _ = [erlang:garbage_collect(P) || P <- processes()],
    1024 * kilobytes(os:getpid()).

kilobytes(Pid) ->
    case file:read_file("/proc/" ++ Pid ++ "/smaps_rollup") of
        {ok, Text} ->
            {match, [Kb]} = re:run(Text, "^Rss:\\s+([0-9]+) kB", [multiline, {capture, [1], list}]),
            list_to_integer(Kb);
        {error, _} ->
            list_to_integer(string:trim(os:cmd("ps -o rss= -p " ++ Pid)))
    end.
