%% conformance_case: runs one case of ets_SUITE, and what the changed places of the suite call.
-module(conformance_case).
-export([main/1, start_peer/0]).
-export([same_tables/2, within_2_s/2, full_slots/1, words/1, are_words/1, are_fewer_words/2, are_binaries/1, yield/2, timed/1,
         was_short/0, top_frame/1, exports_of_ets/0, refc_binary/0]).

-define(SUITE, ets_SUITE).

%% Not for a table of one's own: what the VM calls itself.
-define(INTERNAL, [{internal_delete_all, 2}, {internal_request_all, 0}, {internal_select_delete, 2}, {match_spec_run_r, 3},
                   {fun2ms, 1}]).

%% main([Case, PrivDir, DataDir]): the last line of the output is RESULT and ok, skipped or FAILED, with a reason.
main([Case, PrivDir, DataDir]) ->
    ok = filelib:ensure_dir(filename:join(PrivDir, "x")),
    servers_start(PrivDir),
    Config = [{priv_dir, PrivDir}, {data_dir, DataDir}],
    Self = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> run(list_to_atom(Case), Config, fun(R) -> Self ! {self(), R} end) end),
    Down = receive {'DOWN', Monitor, process, Pid, Reason} -> Reason end,
    Result = receive {Pid, R} -> R after 0 -> {"FAILED", Down} end,
    io:format("~nRESULT ~ts~n", [line(Result)]),
    halt(0).

%% The servers behind disk_log and dets are started by their first use, and have tables of ets: seen with --stock.
servers_start(Dir) ->
    {ok, Log} = disk_log:open([{name, ?MODULE}, {file, filename:join(Dir, "log")}]),
    ok = disk_log:close(Log),
    {ok, Dets} = dets:open_file(?MODULE, [{file, filename:join(Dir, "dets")}]),
    ok = dets:close(Dets).

line({What, Reason}) ->
    Text = case io_lib:printable_unicode_list(Reason) of
               true -> Reason;
               false -> io_lib:format("~0tP", [Reason, 25])
           end,
    [What, " ", lists:map(fun($\n) -> $\s; (C) -> C end, lists:flatten(Text))];
line(ok) -> "ok".

%% Tells what came of the case before it is cleaned up after, which may end the process.
run(exports, _Config, Tell) ->
    Missing = (exports_of_ets() -- ?INTERNAL) -- tsunami:module_info(exports),
    Tell(case [io_lib:format("~p/~b", [F, A]) || {F, A} <- lists:sort(Missing)] of
             [] -> ok;
             Names -> {"FAILED", lists:flatten(["tsunami has no " | lists:join(", ", Names)])}
         end);
run(Case, Config0, Tell) ->
    Groups = [Group || {Group, _, Cases} <- ?SUITE:groups(), lists:member(Case, Cases)],
    Config1 = ?SUITE:init_per_suite(Config0),
    Config2 = lists:foldl(fun(Group, C) -> ?SUITE:init_per_group(Group, C) end, Config1, Groups),
    Config3 = ?SUITE:init_per_testcase(Case, Config2),
    Tell(try ?SUITE:Case(Config3) of
             {Skip, Reason} when Skip =:= skip; Skip =:= skipped -> {"skipped", Reason};
             _ -> ok
         catch
             throw:{skip, Reason} -> {"skipped", Reason};
             Class:Reason:Stack ->
                 io:format("~nfailed: ~tp~n~tp~n~tp~n", [Class, Reason, Stack]),
                 {"FAILED", where(Stack) ++ lists:flatten(io_lib:format("~0tP", [short(Reason, Stack), 25]))}
         end),
    try
        ?SUITE:end_per_testcase(Case, Config3),
        lists:foreach(fun(Group) -> ?SUITE:end_per_group(Group, Config2) end, Groups),
        ?SUITE:end_per_suite(Config1)
    catch
        C:R:S -> io:format("~nafter the case: ~p ~tp~n~tp~n", [C, R, S])
    end.

short(undef, [{M, F, A, _} | _]) -> {undef, {M, F, arity(A)}};
short(Reason, [{M, F, A, _} | _]) when M =/= ?SUITE -> {Reason, {M, F, arity(A)}};
short(Reason, _) -> Reason.

arity(Args) when is_list(Args) -> length(Args);
arity(Arity) -> Arity.

where(Stack) ->
    case [Line || {?SUITE, _, _, Info} <- Stack, {line, Line} <- Info] of
        [Line | _] -> "line " ++ integer_to_list(Line) ++ ": ";
        [] -> ""
    end.

%% The node that a case wants beside its own. Needs no epmd: main's VM was given a port that stands for it.
start_peer() ->
    Cookie = ["-setcookie", "conformance"],
    case node() of
        nonode@nohost ->
            Name = list_to_atom("conformance_" ++ os:getpid() ++ "@127.0.0.1"),
            {ok, _} = net_kernel:start([Name, longnames]),
            true = erlang:set_cookie(node(), conformance);
        _ ->
            ok
    end,
    {ok, [[Port]]} = init:get_argument(erl_epmd_port),
    Paths = lists:append([["-pa", Path] || Path <- code:get_path(), string:find(Path, code:root_dir()) =:= nomatch]),
    {ok, Peer, Node} = peer:start_link(#{name => peer:random_name(), host => "127.0.0.1", longnames => true,
                                         args => Cookie ++ Paths ++ ["-start_epmd", "false", "-erl_epmd_port", Port,
                                                                     "-dist_listen", "false"]}),
    {ok, Peer, Node}.

%% --- for the changed places -------------------------------------------------------------

same_tables(Before, Tables) ->
    case within_2_s(Tables, Before) of
        Before -> ok;
        After -> ct:fail({tables_left, After -- Before, tables_gone, Before -- After})
    end.

%% What Fun answers: Wanted, if it does so within 2 s.
within_2_s(Fun, Wanted) -> within(2000, Fun, Wanted).

within(Ms, Fun, Wanted) ->
    case Fun() of
        Wanted -> Wanted;
        Other when Ms =< 0 -> Other;
        _ -> timer:sleep(50), within(Ms - 50, Fun, Wanted)
    end.

full_slots(Slot) -> full_slots(Slot, 0).

full_slots(Slot, I) ->
    case Slot(I) of
        '$end_of_table' -> [];
        [] -> full_slots(Slot, I + 1);
        [_ | _] -> [I | full_slots(Slot, I + 1)]
    end.

words(Words) when is_integer(Words), Words >= 0 -> words.

are_words(Tuple) -> lists:all(fun(W) -> words(W) =:= words end, tuple_to_list(Tuple)).

are_fewer_words(Emptied, Full) ->
    are_words(Emptied) andalso lists:all(fun({E, F}) -> E =< F end, lists:zip(tuple_to_list(Emptied), tuple_to_list(Full))).

are_binaries(List) ->
    lists:all(fun({_Id, Size, Count}) -> is_integer(Size) andalso is_integer(Count) end, List).

%% The trace message of a yield as the suite knows it, unless it was the suite that was scheduled out.
yield({trace, Pid, out, {Module, _, _}}, MFA) when Module =/= ?SUITE -> {trace, Pid, out, MFA};
yield(Message, _MFA) -> Message.

timed(Fun) ->
    {Us, Result} = timer:tc(Fun),
    persistent_term:put(?MODULE, Us),
    Result.

%% An operation that never yielded must not have taken long.
was_short() ->
    case persistent_term:get(?MODULE) of
        Us when Us =< 20000 -> false;
        Us -> ct:fail({no_yield_in_us, Us})
    end.

top_frame({Module, Function, Args, Info}) when Module =:= tsunami; Module =:= ets ->
    {Function, Args, [Item || {error_info, _} = Item <- Info]}.

exports_of_ets() ->
    [{F, A} || {F, A} <- ets:module_info(exports), F =/= module_info].

refc_binary() ->
    try
        erts_debug:set_internal_state(binary, 61)
    catch
        error:_ -> list_to_binary(lists:seq(1, 61))
    end.
