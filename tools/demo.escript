#!/usr/bin/env escript
%% demo.escript [LEFT RIGHT]: the packages of this machine in three tables, asked the same questions through
%% `ets` and through `tsunami` (or the two modules named). Fails if any answer differs.
%%
%%   packages  set          {Package, Version, Kilobytes}
%%   files     ordered_set  {Path, Package}
%%   needed    bag          {Package, NeededBy}
-module(demo).
-mode(compile).
-export([main/1]).

-define(STATUS, "/var/lib/dpkg/status").
-define(LISTS, "/var/lib/dpkg/info").
-define(ROUNDS, 3).

main([]) -> main(["ets", "tsunami"]);
main([LeftName, RightName]) ->
    Modules = [Left, Right] = [list_to_atom(LeftName), list_to_atom(RightName)],
    lists:foreach(fun usable/1, Modules),
    {Where, Data} = data(),
    io:format("~ts~n", [Where]),
    Runs = [run(M, Data) || _ <- lists:seq(1, ?ROUNDS), M <- Modules],
    {AnswersL, TimesL, BytesL} = best(Left, Runs),
    {AnswersR, TimesR, BytesR} = best(Right, Runs),
    io:format("~nWhat ~p answers:~n", [Right]),
    [io:format("  ~ts: ~ts~n", [Question, Text]) || {Question, _, Text} <- AnswersR, Text =/= none],
    io:format("~n~-46ts ~12ts ~12ts~n", ["best of " ++ integer_to_list(?ROUNDS) ++ ", nanoseconds each", LeftName, RightName]),
    [io:format("~-46ts ~12b ~12b  ~ts~n", [What, round(A), round(B), ratio(A, B)])
     || {{What, A}, {What, B}} <- lists:zip(TimesL, TimesR)],
    io:format("~n~-46ts ~12ts ~12ts~n", ["bytes of a table", LeftName, RightName]),
    [io:format("~-46ts ~12b ~12b  ~ts~n", [What, A, B, ratio(A, B)])
     || {{What, A}, {What, B}} <- lists:zip(BytesL, BytesR)],
    compare(Left, Right, AnswersL, AnswersR).

usable(Module) ->
    case code:ensure_loaded(Module) of
        {module, Module} -> ok;
        {error, Reason} -> io:format("~p does not load: ~p~n", [Module, Reason]), halt(1)
    end.

ratio(A, B) when B > 0, A > 0 ->
    case A / B of
        R when R >= 1 -> io_lib:format("~.1f times less", [R]);
        R -> io_lib:format("~.1f times more", [1 / R])
    end;
ratio(_, _) -> "".

compare(Left, Right, AnswersL, AnswersR) ->
    Wrong = [Question || {{Question, A, _}, {Question, B, _}} <- lists:zip(AnswersL, AnswersR), A =/= B],
    case Wrong of
        [] -> io:format("~n~b answers compared, all the same in ~p and ~p.~n", [length(AnswersL), Left, Right]);
        _ -> io:format("~nDIFFERENT in ~p and ~p: ~tp~n", [Left, Right, Wrong]), halt(1)
    end.

%% ---- the work, the same for every module ----------------------------------------------------------

run(M, Data) ->
    Self = self(),
    {Pid, Monitor} = spawn_opt(fun() -> Self ! {self(), work(M, Data)} end,
                               [monitor, {min_heap_size, 4000000}]),
    receive
        {Pid, Result} -> demonitor(Monitor, [flush]), {M, Result};
        {'DOWN', Monitor, process, Pid, Reason} -> io:format("~p failed: ~tp~n", [M, Reason]), halt(1)
    end.

work(M, {Packages, Files, Needed}) ->
    P = M:new(packages, [set]),
    F = M:new(files, [ordered_set]),
    N = M:new(needed, [bag]),
    FilePaths = spread([Path || {Path, _} <- Files]),
    Names = [Name || {Name, _, _} <- Packages],
    Times0 =
        [timed("insert into a set, one by one", length(Packages), fun() -> each(fun(O) -> M:insert(P, O) end, Packages) end),
         timed("insert into an ordered_set, one by one", length(Files), fun() -> each(fun(O) -> M:insert(F, O) end, spread(Files)) end),
         timed("insert into a bag, as one list", length(Needed), fun() -> true = M:insert(N, Needed) end)],
    Bytes = [{What, M:info(T, memory) * erlang:system_info(wordsize)}
             || {What, T} <- [{"packages, a set", P}, {"files, an ordered_set", F}, {"needed, a bag", N}]],
    {Kb, TimeLookup} = answer("lookup in a set", length(Names), fun() ->
        lists:foldl(fun(Name, Sum) -> [{_, _, K}] = M:lookup(P, Name), Sum + K end, 0, Names) end),
    {Found, TimeMember} = answer("lookup in an ordered_set", length(FilePaths), fun() ->
        length([x || Path <- FilePaths, M:lookup(F, Path) =/= []]) end),
    {Walk, TimeWalk} = answer("next, through all of an ordered_set", length(Files), fun() -> walk(M, F, M:first(F), 0) end),
    {Doc, TimeRange} = answer("next, over one folder", 1, fun() -> prefix(M, F, <<"/usr/share/doc/">>) end),
    {Most, TimeBag} = answer("lookup in a bag", length(Names), fun() ->
        lists:max([{length(M:lookup(N, Name)), Name} || Name <- Names]) end),
    {Big, TimeFold} = answer("foldl over a set, per object", length(Packages), fun() ->
        M:foldl(fun({_, _, K}, Count) when K > 10000 -> Count + 1; (_, Count) -> Count end, 0, P) end),
    Order = erlang:phash2(M:tab2list(F)),
    {true, TimeDelete} = answer("delete the table of files", 1, fun() -> M:delete(F) end),
    {MostCount, MostName} = Most,
    Answers =
        [{"objects in the set, the ordered_set and the bag", {M:info(P, size), Walk, M:info(N, size)},
          text("~b, ~b, ~b", [M:info(P, size), Walk, M:info(N, size)])},
         {"installed, by lookups of every package", Kb, text("~b MB", [Kb div 1024])},
         {"files found again by lookup", Found, text("~b", [Found])},
         {"files under /usr/share/doc/, by next from there", Doc, text("~b", [Doc])},
         {"needed by most, by lookups in the bag", Most, text("~ts, by ~b packages", [MostName, MostCount])},
         {"packages over 10 MB, by foldl", Big, text("~b", [Big])},
         {"every object of the set", lists:sort(M:tab2list(P)), none},
         {"every object of the ordered_set, in order", Order, none},
         {"every object of the bag", lists:sort(M:tab2list(N)), none}],
    true = M:delete(P),
    true = M:delete(N),
    {Answers, Times0 ++ [TimeLookup, TimeMember, TimeWalk, TimeRange, TimeBag, TimeFold, TimeDelete], Bytes}.

walk(_, _, '$end_of_table', Count) -> Count;
walk(M, T, Key, Count) -> walk(M, T, M:next(T, Key), Count + 1).

prefix(M, T, Prefix) -> prefix(M, T, Prefix, M:next(T, Prefix), 0).

prefix(M, T, Prefix, Key, Count) when is_binary(Key), binary_part(Key, 0, byte_size(Prefix)) =:= Prefix ->
    prefix(M, T, Prefix, M:next(T, Key), Count + 1);
prefix(_, _, _, _, Count) -> Count.

each(_, []) -> ok;
each(Do, [X | Rest]) -> Do(X), each(Do, Rest).

timed(What, Count, Do) ->
    {_, Time} = answer(What, Count, Do),
    Time.

answer(What, Count, Do) ->
    Before = erlang:monotonic_time(nanosecond),
    Answer = Do(),
    After = erlang:monotonic_time(nanosecond),
    {Answer, {What, (After - Before) / max(1, Count)}}.

best(Module, Runs) ->
    Mine = [Result || {M, Result} <- Runs, M =:= Module],
    {Answers, _, Bytes} = hd(Mine),
    [First | _] = Times = [T || {_, T, _} <- Mine],
    {Answers, [{What, lists:min([proplists:get_value(What, T) || T <- Times])} || {What, _} <- First], Bytes}.

text(Format, Args) -> io_lib:format(Format, Args).

%% The same order every time, and not the order of keys.
spread(List) -> [X || {_, X} <- lists:sort([{erlang:phash2(X), X} || X <- List])].

%% ---- the data ------------------------------------------------------------------------------------

data() ->
    case file:read_file(?STATUS) of
        {ok, Status} ->
            Packages = [P || Text <- binary:split(Status, <<"\n\n">>, [global]), P <- package(Text)],
            Files = files(filelib:wildcard(?LISTS ++ "/*.list")),
            {text("~b packages of this machine (~ts), ~b files of theirs, ~b needs of one by another",
                  [length(Packages), ?STATUS, length(Files), length(needs(Packages))]),
             {[{Name, Version, Kb} || {Name, Version, Kb, _} <- Packages], Files, needs(Packages)}};
        {error, _} ->
            Modules = [M || {M, _, _} <- code:all_available()],
            {text("no ~ts here: the ~b modules of this Erlang stand in for packages", [?STATUS, length(Modules)]),
             stand_in(lists:sort(Modules))}
    end.

package(Text) ->
    Fields = [{Name, Value} || Line <- binary:split(Text, <<"\n">>, [global]), [Name, Value] <- [binary:split(Line, <<": ">>)]],
    case Fields of
        [{<<"Package">>, Name} | _] ->
            [{Name, value(<<"Version">>, Fields), number(value(<<"Installed-Size">>, Fields)),
              names(value(<<"Depends">>, Fields))}];
        _ -> []
    end.

value(Name, Fields) -> proplists:get_value(Name, Fields, <<>>).

number(<<>>) -> 0;
number(Digits) -> binary_to_integer(Digits).

names(Depends) ->
    lists:usort([hd(binary:split(hd(string:lexemes(One, " ")), <<":">>)) || One <- string:lexemes(Depends, ",|"), string:trim(One) =/= <<>>]).

needs(Packages) -> [{Need, Name} || {Name, _, _, Needs} <- Packages, Need <- Needs].

%% A folder belongs to many packages, a path is one key: the last package keeps it.
files(Lists) ->
    maps:to_list(maps:from_list([{Path, list_to_binary(filename:basename(List, ".list"))}
                                 || List <- Lists, {ok, Text} <- [file:read_file(List)],
                                    Path <- binary:split(Text, <<"\n">>, [global, trim_all])])).

stand_in(Modules) ->
    Named = [list_to_binary(M) || M <- Modules],
    {[{N, <<"1">>, erlang:phash2(N, 20000)} || N <- Named],
     [{<<"/usr/share/doc/", N/binary, I>>, N} || N <- Named, I <- lists:seq($a, $z)],
     [{lists:nth(1 + erlang:phash2({N, I}, length(Named)), Named), N} || N <- Named, I <- [1, 2, 3]]}.
