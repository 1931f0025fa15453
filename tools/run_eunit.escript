#!/usr/bin/env escript
%% run_eunit.escript OUT FILE: compiles one eunit module to OUT, runs it, and closes with
%% "N passed, N failed, N skipped". Prints each failure with its test, and what took over a second.
%%
%% A test skips itself with throw({skip, Reason}). One VM runs one module, so that a crash
%% of the VM costs no other module's answers.
-module(run_eunit).
-mode(compile).
-export([main/1, start/1, init/1, handle_begin/3, handle_end/3, handle_cancel/3, terminate/2]).
-behaviour(eunit_listener).

-record(state, {passed = 0, failed = 0, skipped = 0}).

main([Out, File]) ->
    ok = filelib:ensure_dir(filename:join(Out, "x")),
    true = code:add_patha(Out),
    Options = [report, debug_info, nowarn_export_all, {outdir, Out}, {d, 'TEST'}, {i, "include"}, {i, "src"},
               {i, "test"}, {i, "test/support"}],
    case compile:file(File, Options) of
        {ok, Module} -> run(Module, lists:suffix("_tests.erl", File));
        _ -> io:format("~ts does not compile~n", [File]), finish(#state{failed = 1})
    end.

run(_, false) ->        % a module that tests share: compiling it was all
    halt(0);
run(Module, true) ->
    Self = self(),
    _ = eunit:test(Module, [no_tty, {report, {?MODULE, [Self]}}]),
    receive
        {counts, State} -> finish(State)
    after 5000 ->
        io:format("eunit gave no answer~n"),
        finish(#state{failed = 1})
    end.

finish(#state{passed = P, failed = F, skipped = S}) ->
    io:format("~b passed, ~b failed, ~b skipped~n", [P, F, S]),
    halt(case F of 0 -> 0; _ -> 1 end).

%% eunit_listener: a process of eunit's that hears of every test.

start(Options) -> eunit_listener:start(?MODULE, Options).

init([Parent]) -> put(parent, Parent), #state{}.

handle_begin(_Kind, _Data, State) -> State.

handle_end(test, Data, State) ->
    slow(Data),
    case proplists:get_value(status, Data) of
        ok ->
            State#state{passed = State#state.passed + 1};
        {skipped, Reason} ->
            skipped(Data, Reason, State);
        {error, {throw, {skip, Reason}, _}} ->
            skipped(Data, Reason, State);
        {error, Exception} ->
            io:format("failed ~ts~n~ts~n", [name(Data), text(Exception)]),
            output(Data),
            State#state{failed = State#state.failed + 1}
    end;
handle_end(group, _Data, State) ->
    State.

handle_cancel(test, Data, State) ->
    io:format("failed ~ts~n  ~tP~n", [name(Data), proplists:get_value(reason, Data), 40]),
    State#state{failed = State#state.failed + 1};
handle_cancel(group, Data, State) ->
    case proplists:get_value(reason, Data) of
        undefined -> State;
        {abort, {setup_failed, {throw, {skip, Reason}, _}}} -> skipped(Data, Reason, State);
        Reason ->
            io:format("failed group ~tp~n  ~tP~n", [proplists:get_value(desc, Data), Reason, 40]),
            State#state{failed = State#state.failed + 1}
    end.

%% What eunit itself gives up on (a module that is not there) counts as one failure.
terminate(Result, State) ->
    Final = case Result of
                {ok, _} -> State;
                {error, Reason} ->
                    io:format("eunit: ~tp~n", [Reason]),
                    State#state{failed = State#state.failed + 1}
            end,
    get(parent) ! {counts, Final}.

skipped(Data, Reason, State) ->
    io:format("skipped ~ts: ~ts~n", [name(Data), if is_list(Reason) -> Reason; true -> io_lib:format("~tp", [Reason]) end]),
    State#state{skipped = State#state.skipped + 1}.

slow(Data) ->
    case proplists:get_value(time, Data, 0) of
        Ms when is_integer(Ms), Ms >= 1000 -> io:format("~ts took ~.1f s~n", [name(Data), Ms / 1000]);
        _ -> ok
    end.

name(Data) ->
    Where = case proplists:get_value(source, Data) of
                {M, F, A} -> io_lib:format("~ts:~ts/~b", [M, F, A]);
                _ -> "group"
            end,
    Line = case proplists:get_value(line, Data, 0) of 0 -> ""; L -> io_lib:format(" line ~b", [L]) end,
    Desc = case proplists:get_value(desc, Data) of
               Empty when Empty =:= undefined; Empty =:= ""; Empty =:= <<>> -> "";
               D -> io_lib:format(" (~ts)", [D])
           end,
    [Where, Line, Desc].

text({Class, Reason, Stack}) ->
    io_lib:format("  ~tp: ~tP~n  ~tP", [Class, Reason, 60, Stack, 40]);
text(Other) ->
    io_lib:format("  ~tP", [Other, 60]).

output(Data) ->
    case proplists:get_value(output, Data) of
        Out when Out =:= undefined; Out =:= <<>>; Out =:= "" -> ok;
        Out -> io:format("  it printed: ~ts~n", [Out])
    end.
