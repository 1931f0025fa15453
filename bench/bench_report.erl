%% bench_report: bars, verdicts, and the text of a result.
%%
%% A result is {Id, Summary}: Id = #{metric, type, data, size, procs}, and a note if there is something to say;
%% the summary is bench_run's.
-module(bench_report).

-export([header/1, columns/0, line/2, memory_columns/0, memory_line/2, closing/1]).
-export([verdict/2, bar/1, memory_bar/2, slug/0]).

%% Ratio that DESIGN asks for. Nothing may be slower than ets.
bar(#{metric := lookup, size := S, type := set, data := int, procs := 1}) when S >= 2000000 -> 2.0;
bar(#{metric := lookup, size := S, type := ordered_set, data := int, procs := 1}) when S >= 2000000 -> 4.0;
bar(#{metric := M, size := S, type := Type, data := int, procs := 1})
  when S >= 2000000, (Type =:= set orelse Type =:= ordered_set), (M =:= insert orelse M =:= fill) ->
    case Type of set -> 2.0; ordered_set -> 4.0 end;
bar(#{metric := select_range, type := ordered_set, size := S}) when S >= 100000 -> 500.0;
bar(#{metric := select_count}) -> 2.0;
bar(#{metric := M, size := S})
  when S >= 1000000, (M =:= select_all orelse M =:= select_chunks orelse M =:= match_object orelse M =:= foldl orelse M =:= tab2list) -> 2.0;
bar(#{metric := insert_list, type := T}) when T =:= set; T =:= ordered_set -> 2.0;
bar(#{metric := mix_50, procs := 2}) -> 3.0;
bar(_) -> 1.0.

%% Resident bytes per object that DESIGN asks for; elsewhere ets's own.
memory_bar(int, _Ets) -> 40.0;
memory_bar(str100, _Ets) -> 170.0;
memory_bar(_, Ets) -> Ets.

%% A ratio counts as a win or a loss when the middle half of the pairs of rounds says so too.
verdict(#{ratio := Ratio, low := Low, high := High}, Bar) ->
    if
        Ratio < 1.0, High < 1.0 -> loss;
        Bar > 1.0, Ratio < Bar -> below_bar;
        Bar > 1.0 -> bar_met;
        Ratio > 1.0, Low > 1.0 -> win;
        true -> even
    end.

word(loss) -> "LOSS";
word(below_bar) -> "below bar";
word(bar_met) -> "bar met";
word(win) -> "win";
word(even) -> "even".

columns() ->
    io_lib:format("~-18s ~-14s ~-17s ~8s ~5s ~7s ~12s ~4s ~12s ~4s ~8s ~-15s ~6s  ~s~n",
                  ["operation", "table", "objects are", "objects", "procs", "loop ns", "ets ns", "+-%",
                   "tsunami ns", "+-%", "ratio", "   middle half", "bar", "verdict"]).

line(#{metric := Metric, type := Type, data := Data, size := Size, procs := Procs} = Id, Summary) ->
    #{a := A, b := B, a_spread := Sa, b_spread := Sb, ratio := Ratio, low := Low, high := High} = Summary,
    Bar = bar(Id),
    io_lib:format("~-18s ~-14s ~-17s ~8b ~5b ~7s ~12s ~4b ~12s ~4b ~8s ~-15s ~6s  ~s~s~n",
                  [Metric, Type, bench_data:name(Data), Size, Procs, ns(maps:get(overhead, Summary)),
                   ns(A), min(999, round(Sa)), ns(B), min(999, round(Sb)),
                   ratio(Ratio), ["   ", ratio(Low), "..", ratio(High)], ratio(Bar), word(verdict(Summary, Bar)),
                   case maps:get(note, Id, "") of "" -> ""; Note -> ["   (", Note, ")"] end]).

memory_columns() ->
    io_lib:format("~-26s ~-14s ~-17s ~8s ~12s ~12s ~12s ~12s ~8s ~9s  ~s~n",
                  ["resident bytes", "table", "objects are", "objects", "ets", "ets info", "tsunami", "tsunami info",
                   "ratio", "bar", "verdict; info is off by"]).

memory_line(#{metric := Metric, type := Type, data := Data, size := Size, bar := Bar}, {Ets, Ours}) ->
    #{resident := Re, info := Ie} = Ets,
    #{resident := Rt, info := It} = Ours,
    io_lib:format("~-26s ~-14s ~-17s ~8b ~12s ~12s ~12s ~12s ~8s ~9s  ~s; ~s~n",
                  [Metric, Type, bench_data:name(Data), Size, ns(Re), ns(Ie), ns(Rt), ns(It),
                   if Re > 0, Rt > 0 -> ratio(Re / Rt); true -> "-" end, ns(Bar),
                   if Rt > Re, Rt > Bar -> "LOSS"; Rt > Bar -> "below bar"; true -> "bar met" end,
                   if It > 0, Rt > 0 -> io_lib:format("~.1f %", [100 * (It - Rt) / Rt]); true -> "-" end]).

ns(X) when X >= 1000; X =< -1000 -> integer_to_list(round(X));
ns(X) -> io_lib:format("~.1f", [float(X)]).

ratio(X) when X >= 100 -> integer_to_list(round(X));
ratio(X) -> io_lib:format("~.2f", [float(X)]).

closing(Results) ->
    Verdicts = [verdict(S, bar(Id)) || {Id, S} <- Results],
    Count = fun(V) -> length([x || X <- Verdicts, X =:= V]) end,
    Losses = lists:sort([{maps:get(ratio, S), Id} || {Id, S} <- Results, verdict(S, bar(Id)) =:= loss]),
    [io_lib:format("~n~b cells: ~b lost, ~b even, ~b won, ~b below their bar, ~b at or above it~n",
                   [length(Verdicts), Count(loss), Count(even), Count(win), Count(below_bar), Count(bar_met)]),
     case Losses of
         [] -> "No loss.\n";
         _ -> ["\nLosses, worst first:\n"
               | [io_lib:format("  ~s  ~s, ~s, ~s, ~b objects, ~b processes~n",
                                [ratio(R), Metric, Type, bench_data:name(Data), Size, Procs])
                  || {R, #{metric := Metric, type := Type, data := Data, size := Size, procs := Procs}} <- Losses]]
     end].

%% --- where it was measured -----------------------------------------------------------------------

header(#{command := Command, seed := Seed, a := A, b := B} = Config) ->
    [io_lib:format("~s against ~s~n~n", [B, A]),
     [io_lib:format("~-9s ~ts~n", [Name, Value])
      || {Name, Value} <- [{"date", today()}, {"machine", machine()}, {"system", system()}, {"otp", otp()},
                           {"commit", commit()}, {"command", Command},
                           {"seed", io_lib:format("~b (TSU_SEED repeats the keys)", [Seed])},
                           {"rounds", io_lib:format("up to ~b pairs, A B B A, ~b ms each; medians; "
                                                    "+- is half the quartile distance in percent",
                                                    [maps:get(pairs, Config), maps:get(round_ms, Config)])},
                           {"load", load()},
                           {"loop", "what a round costs per operation on a table that does nothing; it has "
                                    "been subtracted from the two"},
                           {"ratio", "time of ets / time of tsunami: above 1 tsunami is faster. Beside "
                                     "it the quartiles over the pairs of rounds."}]],
     "\n"].

today() ->
    {{Y, M, D}, {H, Mi, _}} = calendar:universal_time(),
    io_lib:format("~b-~2..0b-~2..0b ~2..0b:~2..0b UTC", [Y, M, D, H, Mi]).

machine() ->
    io_lib:format("~ts, ~b cores, ~s", [cpu(), cores(), memory()]).

cores() ->
    case erlang:system_info(logical_processors_available) of
        unknown -> erlang:system_info(schedulers_online);
        Count -> Count
    end.

cpu() ->
    case file:read_file("/proc/cpuinfo") of
        {ok, Text} ->
            case re:run(Text, "model name\\s*:\\s*(.*)", [{capture, [1], list}]) of
                {match, [Name]} -> string:trim(Name);
                nomatch -> erlang:system_info(system_architecture)
            end;
        {error, _} ->
            string:trim(os:cmd("sysctl -n machdep.cpu.brand_string"))
    end.

memory() ->
    case file:read_file("/proc/meminfo") of
        {ok, Text} ->
            {match, [Kb]} = re:run(Text, "MemTotal:\\s*([0-9]+)", [{capture, [1], list}]),
            io_lib:format("~b GB", [round(list_to_integer(Kb) / 1048576)]);
        {error, _} ->
            "memory unknown"
    end.

system() -> string:trim(os:cmd("uname -srm")).

otp() ->
    io_lib:format("OTP ~s, erts ~s, ~s, ~b schedulers",
                  [erlang:system_info(otp_release), erlang:system_info(version),
                   try erlang:system_info(emu_flavor) catch error:_ -> emu end, erlang:system_info(schedulers_online)]).

commit() ->
    case string:trim(os:cmd("git rev-parse --short=12 HEAD 2>/dev/null")) of
        Hash when length(Hash) =:= 12 ->
            case string:trim(os:cmd("git status --porcelain -uno 2>/dev/null")) of
                "" -> Hash;
                _ -> Hash ++ " with changes"
            end;
        _ -> "not committed"
    end.

load() ->
    case file:read_file("/proc/loadavg") of
        {ok, Text} -> [hd(string:split(Text, " ")), " at the beginning"];
        {error, _} -> "unknown"
    end.

%% A name for files: processor, cores and release.
slug() ->
    {{Y, M, D}, _} = calendar:universal_time(),
    Cpu = re:replace(string:lowercase(cpu()), "[^a-z0-9]+", "-", [global, {return, list}]),
    lists:flatten(io_lib:format("~b-~2..0b-~2..0b-~s-~bc-otp~s",
                                [Y, M, D, string:trim(Cpu, both, "-"),
                                 cores(),
                                 erlang:system_info(otp_release)])).
