%% What i/0..3 print, compared with what ets prints for the same table and the same answers.
-module(tsunami_show_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

%% Runs Fun with a terminal of these lines; answers what it said, the prompts included.
on_terminal(Lines, Fun) ->
    Self = self(),
    Terminal = spawn_link(fun() -> terminal(Lines, []) end),
    {Pid, Ref} = spawn_monitor(fun() -> group_leader(Terminal, self()), Self ! {answer, self(), Fun()} end),
    Answer = receive {answer, Pid, A} -> A; {'DOWN', Ref, process, Pid, Reason} -> {died, Reason} end,
    demonitor(Ref, [flush]),
    Terminal ! {stop, self()},
    receive {printed, Text} -> {Answer, unicode:characters_to_list(Text)} end.

terminal(Lines, Printed) ->
    receive
        {io_request, From, Ref, Request} ->
            {Reply, Lines1, Text} = request(Request, Lines),
            From ! {io_reply, Ref, Reply},
            terminal(Lines1, [Printed, Text]);
        {stop, From} ->
            From ! {printed, Printed}
    end.

request({put_chars, Encoding, Text}, Lines) -> {ok, Lines, unicode:characters_to_list(Text, Encoding)};
request({put_chars, Encoding, M, F, A}, Lines) -> {ok, Lines, unicode:characters_to_list(apply(M, F, A), Encoding)};
request({get_line, _Encoding, Prompt}, []) -> {eof, [], io_lib:format("~ts", [Prompt])};
request({get_line, _Encoding, Prompt}, [Line | Lines]) -> {Line, Lines, io_lib:format("~ts", [Prompt])}.

%% The keys in order, so that both print the same.
same_on_terminal(Lines, Args) ->
    [?assertEqual(shown(ets, Kind, Lines, Args), shown(?M, Kind, Lines, Args)) || Kind <- [ordered_set, small_bag]].

shown(Mod, Kind, Lines, Args) ->
    Owner = tsunami_test:spawn_owner(fun() -> ok end),
    Table = tsunami_test:ask(Owner, fun() -> fill(Mod, Kind) end),
    {Answer, Text} = on_terminal(Lines, fun() -> apply(Mod, i, [Table | Args]) end),
    Exists = Mod:info(Table, size) =/= undefined,
    tsunami_test:stop(Owner),
    {Answer, Exists, Text}.

fill(Mod, ordered_set) ->
    Table = Mod:new(x, [ordered_set, public]),
    Mod:insert(Table, [{N, integer_to_list(N), lists:seq(1, N rem 40)} || N <- lists:seq(1, 100)]),
    Mod:insert(Table, {200, "h\x{e9}llo", <<"w\x{f6}rld">>}),
    Table;
fill(Mod, small_bag) ->
    Table = Mod:new(x, [bag, public]),
    [Mod:insert(Table, {key, N}) || N <- lists:seq(1, 50)],
    Table.

a_table_is_paged_as_by_ets_test_() ->
    [{string:join([string:trim(Line) || Line <- Lines], " "), fun() -> same_on_terminal(Lines, Args) end}
     || Args <- [[], [10], [10, 40], [5, 120], [1]],
        Lines <- [[], ["q\n"], ["\n", "q\n"], ["c\n", "c\n", "c\n", "c\n", "c\n"], ["p7\n", "p101\n", "p102\n", "p0\n", "p-1\n", "px\n", "p\n", "q\n"],
                  ["/9\n", "p3\n", "c\n", "c\n", "p2\n", "p999\n", "/nowhere\n", "q\n"], ["/[\n", "x\n", "q\n"], ["k\n"], ["c\n", "k\n"], ["/^\\{2\n", "q\n"]],
        not (Args =:= [1] andalso lists:member("c\n", Lines))].

an_empty_table_is_at_its_end_test() ->
    [?assertEqual(on_empty(ets, Lines), on_empty(?M, Lines)) || Lines <- [[], ["q\n"], ["c\n", "p1\n", "/x\n", "q\n"]]].

on_empty(Mod, Lines) ->
    Table = Mod:new(x, [public]),
    on_terminal(Lines, fun() -> Mod:i(Table) end).

a_terminal_may_answer_binaries_test() ->
    Table = ?M:new(x, [public, ordered_set]),
    ?M:insert(Table, [{N} || N <- lists:seq(1, 100)]),
    {ok, Text} = on_terminal([<<"c\n">>, <<"q\n">>], fun() -> ?M:i(Table, 10) end),
    ?assertEqual(3, length(string:split(Text, "-->", all))),
    ?assertMatch({match, _}, re:run(Text, "<18  > \\{18\\}")).

wrong_tables_are_badarg_test() ->
    tsunami_test:not_ets("says so of a function inside"),
    [?assertMatch({error, badarg, i, Args, Cause, #{1 := _}}, tsunami_test:outcome(?M, i, Args))
     || {T, Cause} <- [{no_such_table, id}, {1, type}], Args <- [[T], [T, 10], [T, 10, 80]]].

%% --- i/0 --------------------------------------------------------------------------------

rows(Mod) ->
    {ok, Text} = on_terminal([], fun() -> Mod:i() end),
    string:split(Text, "\n", all).

the_list_of_tables_has_the_columns_of_ets_test() ->
    Options = [named_table, public, ordered_set],
    Tables = [tsunami_show_a, tsunami_show_with_a_name_that_is_too_long_for_its_column],
    [Mod:new(Name, Options) || Mod <- lists:usort([ets, ?M]), Name <- Tables],
    [OfEts, Ours] = [rows(Mod) || Mod <- [ets, ?M]],
    ?assertEqual(lists:sublist(OfEts, 2), lists:sublist(Ours, 2)),
    [?assertEqual(row(Name, OfEts), row(Name, Ours)) || Name <- Tables],
    [Mod:delete(Name) || Mod <- lists:usort([ets, ?M]), Name <- Tables].

%% The row of a table, with another figure for its memory.
row(Name, Rows) ->
    [Row] = [R || R <- Rows, string:prefix(R, [" ", atom_to_list(Name), " "]) =/= nomatch],
    re:replace(Row, "(ordered_set +\\d+ +)\\d+ *", "\\1", [{return, list}]).

a_registered_owner_is_named_test() ->
    Owner = tsunami_test:spawn_owner(fun() -> register(tsunami_show_owner, self()) end),
    Table = tsunami_test:ask(Owner, fun() -> ?M:new(tsunami_show_b, [named_table]) end),
    ?assertMatch({match, _}, re:run(row(Table, rows(?M)), "tsunami_show_owner$")),
    tsunami_test:stop(Owner).

an_unnamed_table_has_its_reference_in_the_list_test() ->
    Table = ?M:new(tsunami_show_c, []),
    Row = [R || R <- rows(?M), string:find(R, io_lib:format("~p", [Table])) =/= nomatch],
    ?assertMatch([_], Row),
    ?M:delete(Table).
