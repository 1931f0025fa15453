%% tsunami_model: runs a program of tsunami_gen on ets and on the module under test, and compares.
%%
%% Each runs alone, in a world of four processes: 0, which runs the program, and 1 to 3. A world turns each step into an
%% answer in which nothing of the world itself remains: its tables are {table, Slot, N}, its processes {process, P}. So the
%% answers of two worlds can be compared as terms, and are.
%%
%% What ets leaves open is not compared: the order of keys in hash tables (a step from key to key counts as `key`, once it has been
%% checked that the key is there with these objects; walks are compared as sets of objects), times, memory, the stack of
%% tab2list, delete_all_objects, foldl and foldr.
%%
%% Steps        {new, Slot, Options}        {call, T, Function, Args}: the table comes first
%%              {walk, T, next|prev|next_lookup|prev_lookup|slot}    {fold, T, foldl|foldr}
%%              {whereis, Name}   {give, T, P}   {setopts, T, Options}   {mail, P}: transfers received so far    {kill, P}
%% Tables T     {slot, I} as new/2 answered   {tid, I} the reference   {name, Name}   {raw, Term}
-module(tsunami_model).
-export([run/2, differences/2, differences/3, shrink/2, check/3]).

-record(world, {mod, processes = #{}, slots = #{}, ids = #{}, created = 0, mail = #{}}).

-define(STEP_MS, 10000).

%% --- comparing --------------------------------------------------------------------------

%% [] or [{Step number, Step, Answer of ets, Answer of Mod}], at most the first.
differences(Mod, Program) -> differences(ets, Mod, Program).

differences(Reference, Mod, Program) ->
    first_difference(1, Program, run(Reference, Program), run(Mod, Program)).

first_difference(_, _, [], []) -> [];
first_difference(N, [_ | Steps], [A | As], [A | Bs]) -> first_difference(N + 1, Steps, As, Bs);
first_difference(N, [Step | _], [A | _], [B | _]) -> [{N, Step, A, B}];
first_difference(N, [], [A | _], [B | _]) when A =/= B -> [{N, contents_at_the_end, A, B}];
first_difference(N, [], [_ | As], [_ | Bs]) -> first_difference(N, [], As, Bs);
first_difference(N, _, As, Bs) -> [{N, world_ended_early, As, Bs}].

%% Picks the program of a seed, runs it, and on a difference shrinks it.
check(Mod, Generator, {Size, Seed}) ->
    Program = tsunami_gen:pick(Generator, {Size, Seed}),
    case differences(Mod, Program) of
        [] -> {ok, length(Program)};
        _ -> {different, shrink(Mod, Program)}
    end.

%% A program that still fails, though none of its steps can be left out, nor any object of a list that it inserts.
shrink(Mod, Program) ->
    Fails = fun(Steps) -> differences(Mod, Steps) =/= [] end,
    Few = shrink_list(Fails, Program),
    Small = shrink_lists(Fails, [], Few),
    {Small, differences(Mod, Small)}.

shrink_lists(_Fails, Done, []) ->
    lists:reverse(Done);
shrink_lists(Fails, Done, [{P, {call, T, F, [[_, _ | _] = Objects | Args]}} = Step | Rest]) ->
    With = fun(Os) -> lists:reverse(Done, [{P, {call, T, F, [Os | Args]}} | Rest]) end,
    Small = case length_or_improper(Objects) of
                improper -> Step;
                _ -> {P, {call, T, F, [shrink_list(fun(Os) -> Fails(With(Os)) end, Objects) | Args]}}
            end,
    shrink_lists(Fails, [Small | Done], Rest);
shrink_lists(Fails, Done, [Step | Rest]) ->
    shrink_lists(Fails, [Step | Done], Rest).

length_or_improper(List) ->
    try length(List)
    catch error:badarg -> improper
    end.

shrink_list(Fails, List) -> shrink(Fails, List, max(1, length(List) div 2)).

shrink(Fails, List, Chunk) ->
    Less = leave_out(Fails, [], List, Chunk),
    if
        Chunk > 1 -> shrink(Fails, Less, Chunk div 2);
        length(Less) < length(List) -> shrink(Fails, Less, 1);
        true -> Less
    end.

leave_out(_Fails, Kept, [], _Chunk) ->
    Kept;
leave_out(Fails, Kept, Rest, Chunk) ->
    {Out, Tail} = lists:split(min(Chunk, length(Rest)), Rest),
    case Fails(Kept ++ Tail) of
        true -> leave_out(Fails, Kept, Tail, Chunk);
        false -> leave_out(Fails, Kept ++ Out, Tail, Chunk)
    end.

%% --- a world ----------------------------------------------------------------------------

%% The answers to all steps, and then the contents of all tables.
run(Mod, Program) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({answers, world(Mod, Program)}) end),
    receive
        {'DOWN', Ref, process, Pid, {answers, Answers}} -> Answers;
        {'DOWN', Ref, process, Pid, Reason} -> [{world_crashed, Reason}]
    end.

world(Mod, Program) ->
    Processes = maps:from_list([{P, server()} || P <- [1, 2, 3]]),
    World = #world{mod = Mod, processes = Processes#{0 => self()}},
    {Answers, Last} = lists:mapfoldl(fun step/2, World, Program),
    Contents = [hide(Last, in(Last, 0, fun() -> contents(Mod, Id) end)) || Id <- lists:sort(maps:values(Last#world.slots))],
    %% Waits for their deaths: a table that is left has a name which the next world wants.
    [tsunami_test:stop(Pid) || {P, Pid} <- maps:to_list(Last#world.processes), P =/= 0],
    Answers ++ Contents.

server() -> spawn(fun() -> process_flag(message_queue_data, off_heap), serve() end).

serve() ->
    receive
        {run, From, Ref, Fun} -> From ! {Ref, Fun()}, serve()
    end.

%% Runs a fun in process P.
in(_World, 0, Fun) ->
    Fun();
in(#world{processes = Processes}, P, Fun) ->
    Pid = maps:get(P, Processes),
    Ref = monitor(process, Pid),
    Pid ! {run, self(), Ref, Fun},
    receive
        {Ref, Answer} -> demonitor(Ref, [flush]), Answer;
        {'DOWN', Ref, process, Pid, Reason} -> {died, Reason}
    after ?STEP_MS -> no_answer
    end.

contents(Mod, {Slot, Tid}) ->
    {Slot, case tsunami_test:outcome(Mod, tab2list, [Tid]) of
               {ok, Objects} ->
                   {Mod:info(Tid, type), Mod:info(Tid, size), canonical(Mod, Tid, Objects)};
               {error, Reason, _, _, Cause, _} ->
                   {error, Reason, Cause}
           end}.

%% Lists of objects in the order in which they can be compared: an ordered_set's as it is; the keys of others sorted, the
%% objects of a key by its own order.
canonical(Mod, T, Objects) ->
    try {Mod:info(T, type), Mod:info(T, keypos)} of
        {ordered_set, _} -> Objects;
        {set, _} -> tsunami_sort(Objects);
        {bag, KeyPos} -> [Mod:lookup(T, K) || K <- keys(KeyPos, Objects)] ++ [{objects, tsunami_sort(Objects)}];
        {duplicate_bag, KeyPos} -> [Mod:lookup(T, K) || K <- keys(KeyPos, Objects)] ++ [{objects, tsunami_sort(Objects)}];
        {undefined, _} -> gone
    catch
        error:badarg -> no_access
    end.

%% 1 and 1.0 are not the same, and must not be put in any order.
tsunami_sort(Objects) -> lists:sort(fun before/2, Objects).

before(A, B) when A == B, A =/= B -> image(A) =< image(B);
before(A, B) -> A =< B.

image(Term) -> term_to_binary(unsigned(Term), [{minor_version, 2}]).

%% Where -0.0 and 0.0 are the same (before OTP 27), a table may answer either.
unsigned(Term) ->
    case same(0.0, -0.0) of
        true -> unsigned_zeros(Term);
        false -> Term
    end.

same(A, B) -> A =:= B.

unsigned_zeros(F) when is_float(F), F == 0 -> 0.0 * 0.0;
unsigned_zeros([H | T]) -> [unsigned_zeros(H) | unsigned_zeros(T)];
unsigned_zeros(Tuple) when is_tuple(Tuple) -> list_to_tuple(unsigned_zeros(tuple_to_list(Tuple)));
unsigned_zeros(Map) when is_map(Map) -> maps:from_list(unsigned_zeros(maps:to_list(Map)));
unsigned_zeros(Term) -> Term.

keys(KeyPos, Objects) -> unique(tsunami_sort([element(KeyPos, O) || O <- Objects])).

unique([A, B | Rest]) when A =:= B -> unique([A | Rest]);
unique([A | Rest]) -> [A | unique(Rest)];
unique([]) -> [].

%% --- steps ------------------------------------------------------------------------------

step({P, Step}, World) ->
    {Answer, World1} = do(Step, P, World),
    {hide(World1, Answer), World1}.

%% Random programs on compressed tables of OTP 27.3's own ets end the VM.
do({new, Slot, Options}, P, #world{mod = Mod, created = N} = World) ->
    Opts = [show(World, O) || O <- Options, O =/= compressed orelse not ets_breaks_compressed()],
    Name = lists:nth(Slot + 1, [tsunami_name_a, tsunami_name_b, tsunami_name_c]),
    case in(World, P, fun() -> tsunami_test:outcome(Mod, new, [Name, Opts]) end) of
        {ok, T} ->
            Tid = if is_atom(T) -> Mod:whereis(T); true -> T end,
            {{ok, new}, World#world{slots = maps:put(Slot, {{Slot, N}, Tid}, World#world.slots),
                                    ids = maps:put(Tid, {table, Slot, N}, World#world.ids),
                                    created = N + 1}};
        Error ->
            {Error, World}
    end;
do({call, T, Function, Args}, P, World) ->
    {call(World, P, Function, table(World, T), Args), World};
do({walk, T, How}, P, #world{mod = Mod} = World) ->
    Table = table(World, T),
    {in(World, P, fun() -> walk(Mod, Table, How) end), World};
do({fold, T, How}, P, #world{mod = Mod} = World) ->
    Table = table(World, T),
    {in(World, P, fun() ->
                          case open_fold(Mod, Table) orelse tsunami_test:outcome(Mod, How, [fun(O, Acc) -> [O | Acc] end, [], Table]) of
                              true -> left_out;
                              {ok, Objects} -> {ok, folded(Mod, Table, Objects)};
                              {error, Reason, _, _, Cause, _} -> {error, Reason, Cause}
                          end
                  end), World};
do({whereis, Name}, P, #world{mod = Mod} = World) ->
    {in(World, P, fun() -> tsunami_test:outcome(Mod, whereis, [Name]) end), World};
do({give, T, To}, P, World) ->
    {call(World, P, give_away, table(World, T), [{process, To}, {given, P}]), World};
do({setopts, T, Options}, P, World) ->
    {call(World, P, setopts, table(World, T), [Options]), World};
do({mail, P}, _P, World) ->
    {in(World, P, fun transfers/0), World};
do({kill, P}, _P, #world{processes = Processes} = World) ->
    tsunami_test:stop(maps:get(P, Processes)),
    %% What can be seen the moment its death is heard of.
    {[{Slot, (World#world.mod):info(Tid, owner)} || {Slot, {_, Tid}} <- lists:sort(maps:to_list(World#world.slots))],
     World#world{processes = Processes#{P := server()}, ids = maps:put(maps:get(P, Processes), {dead, P}, World#world.ids)}}.

%% The atom '$end_of_table' as a key of an ordered_set ends a fold of ets, from OTP 27 on with a badarg.
open_fold(Mod, T) -> (catch Mod:info(T, type) =:= ordered_set andalso Mod:member(T, '$end_of_table')) =:= true.

ets_breaks_compressed() -> list_to_integer(erlang:system_info(otp_release)) >= 27.

folded(Mod, T, Objects) ->
    case Mod:info(T, type) of
        ordered_set -> Objects;
        _ -> end_or(Mod, T, canonical(Mod, T, Objects))
    end.

transfers() ->
    receive {'ETS-TRANSFER', _, _, _} = Message -> [Message | transfers()]
    after 0 -> []
    end.

table(#world{slots = Slots} = World, {slot, I}) ->
    case Slots of
        #{I := {_, Tid}} ->
            case (World#world.mod):info(Tid, named_table) of
                true -> (World#world.mod):info(Tid, name);
                _ -> Tid
            end;
        #{} -> tsunami_no_such_table
    end;
table(#world{slots = Slots}, {tid, I}) ->
    case Slots of
        #{I := {_, Tid}} -> Tid;
        #{} -> tsunami_no_such_table
    end;
table(_World, {name, Name}) -> Name;
table(_World, {raw, Term}) -> Term.

call(#world{mod = Mod} = World, P, Function, Table, Args0) ->
    Args = [show(World, A) || A <- Args0],
    in(World, P, fun() -> seen(Mod, Function, Table, Args, act(Mod, Function, Table, Args)) end).

%% OTP 25's ets reads past the end of a default object that is too short to have a key, and takes the VM down. In a fixed set it leaves
%% the key behind, as one that was deleted, if the update fails.
act(Mod, Update, Table, [Key, Ops, Default]) when is_tuple(Default), (Update =:= update_counter orelse Update =:= update_element) ->
    case catch {Mod:info(Table, keypos), Mod:info(Table, type), Mod:info(Table, fixed)} of
        {KeyPos, _, _} when is_integer(KeyPos), KeyPos > tuple_size(Default) -> left_out;
        {_, set, true} -> left_out;
        _ -> comparable(Mod, Update, Table, [Key, Ops, Default])
    end;
%% OTP 25's ets counts deleted objects of a fixed bag as taken: its size goes wrong, even below zero.
act(Mod, take, Table, [Key]) when Mod =:= ets; Mod =:= tsunami_faulty ->
    case tsunami_test:outcome(ets, info, [Table, type]) of
        {ok, Bag} when Bag =:= bag; Bag =:= duplicate_bag ->
            case {tsunami_test:outcome(ets, insert, [Table, []]), ets:info(Table, fixed)} of
                {{ok, true}, true} ->
                    Objects = ets:lookup(Table, Key),
                    ets:delete(Table, Key),
                    {ok, Objects};
                _ ->
                    tsunami_test:outcome(ets, take, [Table, Key])
            end;
        _ ->
            tsunami_test:outcome(ets, take, [Table, Key])
    end;
%% OTP 25's ets stores a list that is inserted into a bag in reverse order, and into a set too if the process has used up its
%% time slice: then the first object of a key stays, not the last. Later releases have put it right. Here the objects go in one
%% by one.
act(Mod, Insert, Table, [[_ | _] = Objects] = Args)
  when (Mod =:= ets orelse Mod =:= tsunami_faulty) andalso (Insert =:= insert orelse Insert =:= insert_new) ->
    case tsunami_test:outcome(ets, insert, [Table, []]) of
        {ok, true} ->
            KeyPos = ets:info(Table, keypos),
            case right(Objects, KeyPos) of
                true -> {ok, insert_one_by_one(Insert, Table, KeyPos, Objects)};
                false -> tsunami_test:outcome(ets, Insert, [Table | Args])
            end;
        _ ->
            tsunami_test:outcome(ets, Insert, [Table | Args])
    end;
act(Mod, Function, Table, Args) ->
    comparable(Mod, Function, Table, Args).

comparable(Mod, Function, Table, Args) ->
    case tsunami_test:outcome(Mod, Function, [Table | Args]) of
        {error, Reason, _, _, _, _} = Error ->
            %% What this ets lacks was built from other functions: only the reason of its errors counts.
            case tsunami_test:has(Function, length(Args) + 1) of
                true -> Error;
                false -> {error, Reason}
            end;
        Other ->
            Other
    end.

right([O | Objects], KeyPos) -> is_tuple(O) andalso tuple_size(O) >= KeyPos andalso right(Objects, KeyPos);
right(Tail, _KeyPos) -> Tail =:= [].

insert_one_by_one(insert_new, Table, KeyPos, Objects) ->
    case lists:any(fun(O) -> ets:member(Table, element(KeyPos, O)) end, Objects) of
        true -> false;
        false -> insert_one_by_one(insert, Table, KeyPos, Objects)
    end;
insert_one_by_one(insert, Table, _KeyPos, Objects) ->
    lists:all(fun(O) -> ets:insert(Table, O) end, Objects).

%% --- what is compared of an answer ------------------------------------------------------

seen(Mod, tab2list, T, [], {ok, Objects}) -> {ok, canonical(Mod, T, Objects)};
%% OTP 25 has frames of its own for these two.
seen(_Mod, tab2list, _T, [], {error, Reason, _, _, Cause, _}) -> {error, Reason, Cause};
seen(_Mod, delete_all_objects, _T, [], {error, Reason, _, _, Cause, _}) -> {error, Reason, Cause};
seen(Mod, Step, T, Args, {ok, Answer})
  when Step =:= first; Step =:= last; Step =:= next; Step =:= prev; Step =:= first_lookup; Step =:= last_lookup;
       Step =:= next_lookup; Step =:= prev_lookup ->
    %% A key may look like the answer of a lookup.
    WithObjects = lists:member(Step, [first_lookup, last_lookup, next_lookup, prev_lookup]),
    case {Mod:info(T, type), Answer} of
        {ordered_set, {'$end_of_table', _}} when WithObjects -> {ok, '$end_of_table'};
        {ordered_set, _} -> {ok, Answer};
        {_, {'$end_of_table', _}} when WithObjects -> {ok, any};
        {_, '$end_of_table'} -> {ok, end_or_any(Mod, T, Args)};
        {_, _} when Args =:= [] -> {ok, end_or(Mod, T, there(Mod, T, Answer))};
        {_, _} -> {ok, case there(Mod, T, Answer) of key -> any; Wrong -> Wrong end}
    end;
%% How many slots a hash table has, and what is in which of them, is its own affair.
seen(Mod, slot, T, [I], Outcome) when is_integer(I), I >= 0 ->
    case Mod:info(T, type) of
        Hash when Hash =:= set; Hash =:= bag; Hash =:= duplicate_bag ->
            case Outcome of
                {error, _, _, _, access, _} -> Outcome;
                _ -> any
            end;
        ordered_set when I =:= 0 ->
            case {Mod:info(T, size), Outcome} of
                {0, {error, _, _, _, none, _}} -> {ok, '$end_of_table'};   % see slot/3
                _ -> Outcome
            end;
        _ ->
            Outcome
    end;
seen(_Mod, info, _T, [], {ok, Items}) when is_list(Items) ->
    {ok, [case Item of {memory, M} -> {memory, is_integer(M) andalso M > 0}; _ -> Item end || Item <- Items]};
seen(_Mod, info, _T, [safe_fixed], {ok, {{A, B, C}, Who}}) when is_integer(A), is_integer(B), is_integer(C) ->
    {ok, {time, lists:sort(Who)}};
seen(_Mod, info, _T, [safe_fixed_monotonic_time], {ok, {Time, Who}}) when is_integer(Time) ->
    {ok, {time, lists:sort(Who)}};
seen(_Mod, _Function, _T, _Args, Outcome) ->
    Outcome.

%% With the atom '$end_of_table' as a key there is no telling where a walk through a hash table ends.
end_or_any(_Mod, _T, [_ | _]) -> any;
end_or_any(Mod, T, []) -> end_or(Mod, T, '$end_of_table').

end_or(Mod, T, Answer) ->
    case Mod:member(T, '$end_of_table') of
        true -> any;
        false -> Answer
    end.

%% A key of a hash table that a step has answered: is it there, with these objects?
there(_Mod, _T, '$end_of_table') -> '$end_of_table';
there(Mod, T, {Key, [_ | _] = Objects} = Answer) ->
    case Mod:lookup(T, Key) of
        Objects -> key;
        _ -> there_as_key(Mod, T, Answer)
    end;
there(Mod, T, Key) -> there_as_key(Mod, T, Key).

there_as_key(Mod, T, Key) ->
    case Mod:member(T, Key) of
        true -> key;
        false -> {not_there, Key}
    end.

walk(Mod, T, slot) ->
    slots(Mod, T, 0, []);
walk(Mod, T, Next) ->
    First = case Next of
                next -> first;
                prev -> last;
                next_lookup -> first_lookup;
                prev_lookup -> last_lookup
            end,
    walk(Mod, T, Next, tsunami_test:outcome(Mod, First, [T]), [], 0).

walk(_Mod, _T, _Next, _, Keys, 100000) ->
    {endless, Keys};
walk(Mod, T, Next, {ok, {'$end_of_table', _}}, Keys, N) when Next =:= next_lookup; Next =:= prev_lookup ->
    walk(Mod, T, Next, {ok, '$end_of_table'}, Keys, N);
walk(Mod, T, _Next, {ok, '$end_of_table'}, Keys, _N) ->
    case Mod:info(T, type) of
        ordered_set -> {ok, lists:reverse(Keys)};
        _ -> {ok, end_or(Mod, T, tsunami_sort(Keys))}
    end;
walk(Mod, T, Next, {ok, {Key, Objects}}, Keys, N) when Next =:= next_lookup; Next =:= prev_lookup ->
    walk(Mod, T, Next, tsunami_test:outcome(Mod, Next, [T, Key]), [{Key, Objects} | Keys], N + 1);
walk(Mod, T, Next, {ok, Key}, Keys, N) ->
    %% The atom '$end_of_table' is a key like others, but a walk by keys ends there.
    walk(Mod, T, Next, tsunami_test:outcome(Mod, Next, [T, Key]), [Key | Keys], N + 1);
walk(_Mod, _T, _Next, {error, Reason, _, _, Cause, _}, _Keys, _N) ->
    {error, Reason, Cause}.

slots(Mod, T, I, Objects) ->
    case slot(Mod, T, I) of
        {ok, '$end_of_table'} ->
            {error, badarg, _, _, none, _} = tsunami_test:outcome(Mod, slot, [T, I + 1]),
            {ok, canonical(Mod, T, lists:append(lists:reverse(Objects)))};
        {ok, More} -> slots(Mod, T, I + 1, [More | Objects]);
        {error, Reason, _, _, Cause, _} -> {error, Reason, Cause}
    end.

%% An empty ordered_set with write_concurrency gives badarg in OTP 25's ets, others '$end_of_table' at their size.
slot(Mod, T, I) ->
    case I =:= 0 andalso Mod:info(T, type) =:= ordered_set andalso Mod:info(T, size) of
        0 -> case tsunami_test:outcome(Mod, first, [T]) of
                 {ok, _} -> {ok, '$end_of_table'};
                 Error -> Error
             end;
        _ -> tsunami_test:outcome(Mod, slot, [T, I])
    end.

%% --- names for what is of this world ----------------------------------------------------

%% {process, P} in what a program hands over becomes the pid.
show(#world{processes = Processes}, {process, P}) -> maps:get(P, Processes);
show(World, {heir, {process, P}, Data}) -> {heir, show(World, {process, P}), Data};
show(_World, Term) -> Term.

%% And back: terms only pass through unchanged where nothing in them had to be hidden.
hide(#world{processes = Processes, ids = Ids}, Term) ->
    Pids = maps:fold(fun(P, Pid, Acc) -> Acc#{Pid => {process, P}} end, Ids, Processes),
    hide_term(Pids, Term).

hide_term(Ids, Term) when is_pid(Term); is_reference(Term) -> maps:get(Term, Ids, Term);
hide_term(Ids, [H | T]) -> [hide_term(Ids, H) | hide_term(Ids, T)];
hide_term(Ids, Term) when is_tuple(Term) -> list_to_tuple([hide_term(Ids, E) || E <- tuple_to_list(Term)]);
hide_term(_Ids, Term) -> Term.
