%% bench_vm: work in a VM of its own.
%%
%% Each group of cells runs in a fresh VM, both sides in the same: what one leaves behind is in no other's way, and
%% a crash costs one group.
-module(bench_vm).

-export([call/4, emit/1, child/1]).

%% Calls Module:Function(Arguments...) in a new VM. Each term that it emits is given to Each, in order; other output is
%% passed through. ok | {error, What it ended with}.
call(Module, Function, Arguments, Each) ->
    Work = base64:encode_to_string(term_to_binary({Module, Function, Arguments})),
    Dirs = lists:usort([directory(M) || M <- [?MODULE, tsunami_nif]] -- [none]),
    Paths = lists:append([["-pa", filename:absname(Dir)] || Dir <- Dirs]),
    Port = open_port({spawn_executable, os:find_executable("erl")},
                     [{args, ["-noshell"] ++ Paths ++ ["-run", "bench_vm", "child", Work]},
                      stderr_to_stdout, exit_status, {line, 8000}]),
    collect(Port, Each, []).

directory(Module) ->
    case code:which(Module) of
        Beam when is_list(Beam), Beam =/= "" -> filename:dirname(Beam);
        _ -> none
    end.

collect(Port, Each, Line) ->
    receive
        {Port, {data, {noeol, More}}} ->
            collect(Port, Each, [Line, More]);
        {Port, {data, {eol, More}}} ->
            case lists:flatten([Line, More]) of
                "emitted " ++ Term -> Each(binary_to_term(base64:decode(Term)));
                Other -> io:format("~ts~n", [Other])
            end,
            collect(Port, Each, []);
        {Port, {exit_status, 0}} -> ok;
        {Port, {exit_status, Status}} -> {error, Status}
    end.

%% In the child: hands a term to the parent.
emit(Term) -> io:format("emitted ~s~n", [base64:encode(term_to_binary(Term))]).

child([Work]) ->
    _ = spawn(fun() -> until_parent_ends() end),
    {Module, Function, Arguments} = binary_to_term(base64:decode(Work)),
    try apply(Module, Function, Arguments) of
        _ -> erlang:halt(0)
    catch
        Class:Reason:Stack ->
            io:format("~p: ~P~n~P~n", [Class, Reason, 30, Stack, 40]),
            erlang:halt(1)
    end.

%% A measurement that nobody waits for any more would only disturb the next one.
until_parent_ends() ->
    case io:get_line("") of
        eof -> erlang:halt(2);
        {error, _} -> erlang:halt(2);
        _ -> until_parent_ends()
    end.
