%% bench_run: rounds on two sides in turn, and what they come to.
%%
%% Rounds go A B B A A B B A ..., so that a machine which slows down or warms up does it to both. They are
%% short and many: on a machine that others use, most of them are then undisturbed, and a median is not moved by the
%% rest. A and B do the same count of operations on the same keys in a pair of rounds. The count is such that a round of A takes
%% the wanted time. What the loop itself costs, on a table that does nothing, is subtracted from both.
%%
%% Config: #{a, b, null => a compiled bench_ops, pairs, round_ms, mix_ms, cell_ms}
-module(bench_run).

-export([compile/3, probe/5, mix/5, reading_beside_a_writer/2, settle/0, median/1, quartiles/1, summary/3]).

%% The timed loops for one side, beside this module's own code: Table is the module that holds the tables.
compile(Name, Table, Defines) ->
    Dir = filename:dirname(code:which(?MODULE)),
    {ok, Name, Code} = compile:file(filename:join(Dir, "bench_ops.erl"),
                                    [binary, report, no_error_module_mismatch,
                                     {d, 'OPS', Name}, {d, 'TAB', Table} | Defines]),
    ok = file:write_file(filename:join(Dir, atom_to_list(Name) ++ ".beam"), Code),
    Name.

%% Measures one probe on tables Ta and Tb: [{Metric, Summary}].
probe(#{a := A, b := B, null := Null} = Config, Probe, Env, Ta, Tb) ->
    Draws = tuple_size(maps:get(keys, Env)),
    Run = fun(Side, T, Start, Count) ->
                  _ = erlang:garbage_collect(),
                  Results = Side:run(Probe, T, Env, Start, Count),
                  settle(),
                  Results
          end,
    {Count, Took} = calibrate(fun(N) -> Run(A, Ta, Draws, N) end, maps:get(round_ms, Config), 1),
    _ = Run(B, Tb, Draws, Count),
    Overheads = case has_null(Probe) of
                    true -> [Run(Null, null, Draws, Count) || _ <- lists:seq(1, if Took > 100 -> 2; true -> 9 end)];
                    false -> []
                end,
    Pairs = pairs(Took, Config),
    Rounds = rounds(1, Pairs, fun(a, I) -> Run(A, Ta, start(I, Count, Draws), Count);
                                 (b, I) -> Run(B, Tb, start(I, Count, Draws), Count)
                              end),
    [{Metric, summary([per_op(Metric, Ra) - overhead(Metric, Overheads) || {Ra, _} <- Rounds],
                      [per_op(Metric, Rb) - overhead(Metric, Overheads) || {_, Rb} <- Rounds],
                      overhead(Metric, Overheads))}
     || {Metric, _, _} <- element(1, hd(Rounds))].

start(I, Count, Draws) -> 1 + (I * Count) rem Draws.

rounds(I, Pairs, _Run) when I > Pairs -> [];
rounds(I, Pairs, Run) when I rem 2 =:= 1 ->
    Ra = Run(a, I),
    Rb = Run(b, I),
    [{Ra, Rb} | rounds(I + 1, Pairs, Run)];
rounds(I, Pairs, Run) ->
    Rb = Run(b, I),
    Ra = Run(a, I),
    [{Ra, Rb} | rounds(I + 1, Pairs, Run)].

%% Doubles and scales the count until a round takes the wanted time: {Count, Milliseconds}.
calibrate(Run, WantMs, Count) ->
    Start = erlang:monotonic_time(microsecond),
    _ = Run(Count),
    Took = (erlang:monotonic_time(microsecond) - Start) / 1000,
    if
        Took >= WantMs * 0.7 -> {Count, Took};
        Took * 8 < WantMs -> calibrate(Run, WantMs, Count * 8);
        true ->
            Right = max(Count + 1, round(Count * WantMs / max(Took, 0.001))),
            {Right, Took * Right / Count}
    end.

%% Rounds that take long are fewer, but never less than two pairs.
pairs(Took, #{pairs := Pairs, cell_ms := CellMs}) ->
    max(2, min(Pairs, round(CellMs / (2 * Took)))).

has_null(Probe) ->
    lists:member(Probe, [lookup, lookup_miss, member, lookup_element, update_counter, update_element,
                         overwrite, insert_new_taken, insert, insert_new, fill, new_ten_delete]).

per_op(Metric, Results) ->
    {_, Ns, Ops} = lists:keyfind(Metric, 1, Results),
    Ns / Ops.

overhead(_Metric, []) -> 0.0;
overhead(Metric, Overheads) -> lists:min([per_op(Metric, R) || R <- Overheads]).

%% The library gives memory back behind the caller. That work must not fall into the other side's round.
settle() ->
    case erlang:function_exported(tsunami_nif, sync, 0) of
        true -> try tsunami_nif:sync() catch error:_ -> ok end;
        false -> ok
    end.

%% --- many processes ----------------------------------------------------------------------------

%% Operations per second of Processes at once, as nanoseconds of wall time per operation. Tables of A are given with
%% the options they were made with; the best of them in a trial is the one that is measured.
mix(#{a := A, b := B} = Config, {Processes, Updates}, Env, Tas, Tb) ->
    Run = fun(Side, T, Count) ->
                  _ = erlang:garbage_collect(),
                  Ns = Side:start_workers(T, Env, Processes, Updates, Count),
                  settle(),
                  Ns / (Count * Processes)
          end,
    {_, First} = hd(Tas),
    {Count, Took} = calibrate(fun(N) -> Run(A, First, N) end, maps:get(mix_ms, Config), 50),
    Trials = [{median([Run(A, T, Count) || _ <- lists:seq(1, 7)]), Options, T} || {Options, T} <- Tas, length(Tas) > 1]
        ++ [{0, Options, T} || {Options, T} <- Tas, length(Tas) =:= 1],
    {_, Options, Ta} = hd(lists:sort(Trials)),
    _ = Run(B, Tb, Count),
    Rounds = rounds(1, pairs(Took, Config), fun(a, _) -> Run(A, Ta, Count); (b, _) -> Run(B, Tb, Count) end),
    {As, Bs} = lists:unzip(Rounds),
    {Options, summary(As, Bs, 0.0)}.

%% What a reader pays for a lookup while another process puts in lists, and what without:
%% {Summary with the writer, {SlowdownA, SlowdownB}} with a slowdown of 1.0 for a reader that notices nothing.
reading_beside_a_writer(#{a := A, b := B} = Config, #{type := Type} = Env) ->
    Sides = [{Side, begin T = Side:new(Type, Options), Side:fill(T, Env), T end}
             || {Side, Options} <- [{A, [{read_concurrency, true}, {write_concurrency, true}]}, {B, []}]],
    [{A, Ta}, {B, Tb}] = Sides,
    Ms = maps:get(mix_ms, Config) * 5,
    Alone = fun(Side, T) -> Side:start_workers(T, Env, 1, 0, 1000), reads(Side, T, Env, Ms) end,
    Beside = fun(Side, T) ->
                     Writer = spawn_link(fun() -> writes(Side, T, maps:get(list, Env)) end),
                     Ns = reads(Side, T, Env, Ms),
                     Writer ! {stop, self()},
                     receive {stopped, Writer} -> ok end,
                     settle(),
                     Ns
             end,
    Pairs = max(2, maps:get(pairs, Config) div 3),
    Calm = rounds(1, Pairs, fun(a, _) -> Alone(A, Ta); (b, _) -> Alone(B, Tb) end),
    Busy = rounds(1, Pairs, fun(a, _) -> Beside(A, Ta); (b, _) -> Beside(B, Tb) end),
    {CalmA, CalmB} = lists:unzip(Calm),
    {BusyA, BusyB} = lists:unzip(Busy),
    _ = [Side:drop(T) || {Side, T} <- Sides],
    {summary(BusyA, BusyB, 0.0), {median(BusyA) / median(CalmA), median(BusyB) / median(CalmB)}}.

reads(Side, T, Env, Ms) ->
    reads(Side, T, Env, erlang:monotonic_time(millisecond) + Ms, 0, 0).

reads(Side, T, Env, Until, Ns, Ops) ->
    [{_, More, Count}] = Side:run(lookup, T, Env, 1 + Ops rem 100000, 500),
    case erlang:monotonic_time(millisecond) of
        Now when Now < Until -> reads(Side, T, Env, Until, Ns + More, Ops + Count);
        _ -> (Ns + More) / (Ops + Count)
    end.

writes(Side, T, List) ->
    (Side:module()):insert(T, List),
    receive
        {stop, From} -> From ! {stopped, self()}
    after 0 -> writes(Side, T, List)
    end.

%% --- figures ------------------------------------------------------------------------------------

%% Medians of both sides with half their quartile distance in percent, the ratio A / B, and the quartiles of the
%% ratios of the pairs of rounds.
summary(As0, Bs0, Overhead) ->
    [As, Bs] = [[max(X, 0.1) || X <- Xs] || Xs <- [As0, Bs0]],
    {Low, High} = quartiles([X / Y || {X, Y} <- lists:zip(As, Bs)]),
    #{a => median(As), b => median(Bs), a_spread => spread(As), b_spread => spread(Bs),
      ratio => median(As) / median(Bs), low => Low, high => High, rounds => length(As), overhead => Overhead}.

spread(Xs) ->
    {Low, High} = quartiles(Xs),
    50 * (High - Low) / median(Xs).

median(Xs) -> quantile(0.5, Xs).

quartiles(Xs) -> {quantile(0.25, Xs), quantile(0.75, Xs)}.

quantile(Q, Xs) ->
    Sorted = lists:sort(Xs),
    At = 1 + Q * (length(Sorted) - 1),
    Below = lists:nth(trunc(At), Sorted),
    Above = lists:nth(min(trunc(At) + 1, length(Sorted)), Sorted),
    Below + (Above - Below) * (At - trunc(At)).
