#!/usr/bin/env escript
%% xref.escript EBIN: calls to functions that nobody has, and local functions that nobody calls.
-mode(compile).
-export([main/1]).

main([Ebin]) ->
    {ok, _} = xref:start(s, [{xref_mode, functions}]),
    ok = xref:set_default(s, [{warnings, false}, {verbose, false}]),
    ok = xref:set_library_path(s, code:get_path() -- [Ebin]),
    {ok, Modules} = xref:add_directory(s, Ebin),
    Bad = [{Analysis, Found}
           || Analysis <- [undefined_function_calls, locals_not_used],
              {ok, All} <- [xref:analyze(s, Analysis)],
              Found <- All],
    [io:format("~s: ~tp~n", [Analysis, Found]) || {Analysis, Found} <- Bad],
    Failed = length(lists:usort([Analysis || {Analysis, _} <- Bad])),
    Passed = case Modules of [] -> 0; _ -> 2 - Failed end,
    io:format("~b passed, ~b failed~n", [Passed, Failed]),
    halt(Failed).
