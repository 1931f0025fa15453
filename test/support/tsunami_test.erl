%% tsunami_test: what the tests share.
%%
%% The environment variable TSU_TABLES names the module under test, `tsunami` unless told otherwise: with `ets` the
%% tests are tried out on the real thing. TSU_SEED is the seed of every random test.
-module(tsunami_test).
-export([module/0, is_ets/0, seed/0, print/2, call/3, has/2, outcome/3, in_process/1, spawn_owner/1, ask/2, stop/1, wait_until/1,
         collect/2, resident_kb/0, settle/0, kinds/0, each_kind/1, text/2, with_file/1, not_ets/1, nif_loaded/1, nif_cases/2, rounds/1]).

-spec module() -> module().
module() ->
    case os:getenv("TSU_TABLES") of
        Name when Name =/= false, Name =/= "" -> list_to_atom(Name);
        _ -> tsunami
    end.

is_ets() -> module() =:= ets.

%% For what ets does otherwise.
not_ets(Why) ->
    is_ets() andalso throw({skip, "ets " ++ Why}),
    ok.

%% What erlang:load_nif/2 has answered, for a library that stays when its module is loaded again.
nif_loaded({error, {reload, _}}) -> ok;
nif_loaded(Loaded) -> Loaded.

%% A test of each of a module's functions `..._case`, which need a library that has been loaded, or has not.
nif_cases(Module, ok) ->
    Seed = seed(),
    {inorder, [{timeout, 120, {atom_to_list(Name), fun() -> rand:seed(exsss, Seed), Module:Name() end}}
               || {Name, 0} <- Module:module_info(exports), lists:suffix("_case", atom_to_list(Name))]};
nif_cases(Module, {error, Why}) ->
    {"the library loads", fun() -> error({Module, Why}) end}.

%% So many, or what TSU_ROUNDS says in percent.
rounds(N) -> N * list_to_integer(os:getenv("TSU_ROUNDS", "100")) div 100 + 1.

%% The seed is printed even if the test's own output is thrown away.
seed() ->
    Seed = case os:getenv("TSU_SEED") of
               Text when Text =/= false, Text =/= "" -> list_to_integer(Text);
               _ -> erlang:unique_integer([positive]) bxor (erlang:system_time(microsecond) band 16#fffffffffff)
           end,
    print("TSU_SEED=~b~n", [Seed]),
    Seed.

print(Format, Args) -> io:format(user, Format, Args).

kinds() -> [set, ordered_set, bag, duplicate_bag].

each_kind(Fun) ->
    Mod = module(),
    lists:foreach(fun(Kind) -> Fun(Mod, Kind) end, kinds()).

%% Calls a function of the face. Those that this OTP's ets lacks are built from what it has.
call(ets, F, Args) ->
    case erlang:function_exported(ets, F, length(Args)) of
        true -> apply(ets, F, Args);
        false -> emulate(F, Args)
    end;
call(Mod, F, Args) ->
    apply(Mod, F, Args).

emulate(first_lookup, [T]) -> with_objects(T, ets:first(T));
emulate(last_lookup, [T]) -> with_objects(T, ets:last(T));
emulate(next_lookup, [T, K]) -> with_objects(T, ets:next(T, K));
emulate(prev_lookup, [T, K]) -> with_objects(T, ets:prev(T, K));
emulate(lookup_element, [T, K, Pos, Default]) ->
    case ets:member(T, K) of
        true -> ets:lookup_element(T, K, Pos);
        false when is_integer(Pos), Pos > 0 -> Default;
        false -> ets:lookup_element(T, K, Pos)
    end;
emulate(update_element, [T, K, Spec, Default]) ->
    is_tuple(Default) orelse error(badarg),
    case ets:update_element(T, K, Spec) of
        true ->
            true;
        false ->
            KeyPos = ets:info(T, keypos),
            Object = setelement(KeyPos, Default, K),
            Scratch = ets:new(scratch, [set, {keypos, KeyPos}]),
            try
                ets:insert(Scratch, Object),
                ets:update_element(Scratch, K, Spec),
                ets:insert(T, ets:lookup(Scratch, K))
            after
                ets:delete(Scratch)
            end
    end.

with_objects(_T, '$end_of_table') -> '$end_of_table';
with_objects(T, K) -> {K, ets:lookup(T, K)}.

%% Whether ets of this release has a function at all.
has(F, Arity) -> erlang:function_exported(ets, F, Arity).

%% {ok, Result}, or all that can be seen of the error: its class and reason, the function and the arguments of the top frame,
%% the cause, and the texts.
outcome(Mod, F, Args) ->
    try call(Mod, F, Args) of
        Result -> {ok, Result}
    catch
        Class:Reason:Stack ->
            [{_, TopF, TopArgs, Info} | _] = Stack,
            ErrorInfo = proplists:get_value(error_info, Info, #{}),
            {Class, Reason, TopF, TopArgs, maps:get(cause, ErrorInfo, none), text(Reason, Stack)}
    end.

text(Reason, [{_, _, _, Info} | _] = Stack) ->
    case proplists:get_value(error_info, Info, #{}) of
        #{module := Module} ->
            try Module:format_error(Reason, Stack) catch _:_ -> #{} end;
        _ ->
            #{}
    end.

%% Runs a fun in a process of its own and answers what it did.
in_process(Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({answer, try {ok, Fun()} catch C:R:S -> {C, R, S} end}) end),
    receive
        {'DOWN', Ref, process, Pid, {answer, {ok, Answer}}} -> Answer;
        {'DOWN', Ref, process, Pid, {answer, {C, R, S}}} -> erlang:raise(C, R, S);
        {'DOWN', Ref, process, Pid, Reason} -> error({process_died, Reason})
    end.

%% A process that runs what ask/2 hands it, so that a test can have several owners.
spawn_owner(Fun) ->
    Pid = spawn(fun() -> Fun(), serve() end),
    ask(Pid, fun() -> ok end),
    Pid.

serve() ->
    receive
        {ask, From, Ref, Fun} ->
            From ! {Ref, try {ok, Fun()} catch C:R:S -> {C, R, S} end},
            serve();
        stop ->
            ok
    end.

ask(Pid, Fun) ->
    Ref = monitor(process, Pid),
    Pid ! {ask, self(), Ref, Fun},
    receive
        {Ref, {ok, Answer}} -> demonitor(Ref, [flush]), Answer;
        {Ref, {C, R, S}} -> demonitor(Ref, [flush]), erlang:raise(C, R, S);
        {'DOWN', Ref, process, Pid, Reason} -> error({process_died, Reason})
    end.

%% Kills a process and returns when its monitors have fired.
stop(Pid) ->
    Ref = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Ref, process, Pid, _} -> ok end.

wait_until(Fun) -> wait_until(Fun, 500).

wait_until(_Fun, 0) ->
    error(waited_in_vain);
wait_until(Fun, N) ->
    case Fun() of
        true -> ok;
        false -> timer:sleep(10), wait_until(Fun, N - 1)
    end.

%% N answers of the form {Tag, Answer}.
collect(_Tag, 0) -> [];
collect(Tag, N) ->
    receive {Tag, Answer} -> [Answer | collect(Tag, N - 1)]
    after 60000 -> error({no_answer, Tag, N})
    end.

resident_kb() ->
    {ok, Text} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:lexemes(binary_to_list(Text), " \n"),
    list_to_integer(Pages) * 4.

%% Waits until what has been deleted is freed.
settle() ->
    case is_ets() of
        true -> ok;
        false -> ok = tsunami_nif:sync()
    end.

%% Runs Fun with the name of a file that is not there before or after.
with_file(Fun) ->
    Name = io_lib:format("tsunami_test_~s_~b", [os:getpid(), erlang:unique_integer([positive])]),
    File = filename:join(os:getenv("TMPDIR", "/tmp"), lists:flatten(Name)),
    try
        Fun(File)
    after
        file:delete(File)
    end.
