#!/usr/bin/env escript
%% readme_test.escript README [MODULE]: the README's `erlang` block, typed into a shell of our own; what it says
%% that the shell answers has to be what comes. MODULE stands in for tsunami (to try this script on ets).
-mode(compile).
-export([main/1]).

main([File]) -> main([File, "tsunami"]);
main([File, Module]) ->
    {ok, Text} = file:read_file(File),
    {match, [Block]} = re:run(Text, "```erlang\n(.*?)```", [dotall, {capture, [1], list}]),
    {Steps, _, _} = lists:foldl(fun step/2, {[], Module, erl_eval:new_bindings()}, steps(string:lexemes(Block, "\n"))),
    Bad = [Step || {false, _, _, _} = Step <- Steps],
    [io:format("~ts answered ~ts, not ~ts~n", [Typed, Got, Said]) || {false, Typed, Said, Got} <- lists:reverse(Bad)],
    io:format("~b passed, ~b failed~n", [length(Steps) - length(Bad), length(Bad)]),
    halt(length(Bad)).

%% [{Typed, What the README says comes, or "" for nothing}]
steps([]) -> [];
steps([Line | Rest]) ->
    {match, [Typed]} = re:run(Line, "^[0-9]+> (.*)$", [{capture, [1], list}]),
    {Said, Next} = lists:splitwith(fun(L) -> re:run(L, "^[0-9]+> ") =:= nomatch end, Rest),
    [{Typed, lists:append(Said)} | steps(Next)].

step({Typed, Said}, {Done, Module, Bindings}) ->
    Source = re:replace(Typed, "\\btsunami:", Module ++ ":", [global, {return, list}]),
    {ok, Tokens, _} = erl_scan:string(Source),
    {ok, Expressions} = erl_parse:parse_exprs(Tokens),
    try erl_eval:exprs(Expressions, Bindings) of
        {value, Value, After} ->
            Got = lists:flatten(io_lib:format("~0tp", [Value])),
            {[{Said =:= "" orelse Said =:= Got, Typed, Said, Got} | Done], Module, After}
    catch
        Class:Reason ->
            Got = lists:flatten(io_lib:format("~tp: ~0tp", [Class, Reason])),
            {[{false, Typed, Said, Got} | Done], Module, Bindings}
    end.
