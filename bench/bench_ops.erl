%% bench_ops: the loops that are timed.
%%
%% Compiled once for each side, with OPS for the name of the module and TAB for the module that holds the
%% tables, so that each call is as direct as a user's. PLANT makes every lookup slower by 2 microseconds: the
%% self-test has to see that.
%%
%% run(Probe, Table, Env, Start, Count) -> [{Metric, Nanoseconds, Operations}]: one round. A probe that
%% has to put back what it changed times both directions and answers two metrics.
-module(?OPS).

-export([module/0, new/2, fill/2, answers/2, drop/1, exports/2, run/5, start_workers/5]).

-ifdef(PLANT).
-define(PLANTED, planted()).
-else.
-define(PLANTED, ok).
-endif.

%% A function Name(Table, Keys, I, Left) that does Expr for key after key of the tuple, from number I down and round.
-define(LOOP(Name, Expr),
        Name(_T, _Ks, _I, 0) -> ok;
        Name(T, Ks, 0, Left) -> Name(T, Ks, tuple_size(Ks), Left);
        Name(T, Ks, I, Left) -> K = element(I, Ks), Expr, Name(T, Ks, I - 1, Left - 1)).

%% The same with an object to write.
-define(WRITE_LOOP(Name, Expr),
        Name(_T, _Ks, _O, _I, 0) -> ok;
        Name(T, Ks, O, 0, Left) -> Name(T, Ks, O, tuple_size(Ks), Left);
        Name(T, Ks, O, I, Left) -> K = element(I, Ks), Expr, Name(T, Ks, O, I - 1, Left - 1)).

%% As bench_data:object/2, without a call.
-define(OBJECT, case O of {own, Binary} -> {K, binary:copy(Binary)}; _ -> setelement(1, O, K) end).

module() -> ?TAB.

new(Type, Options) -> ?TAB:new(bench, [Type, public | Options]).

drop(T) -> ?TAB:delete(T).

exports(Function, Arity) ->
    _ = code:ensure_loaded(?TAB),
    erlang:function_exported(?TAB, Function, Arity).

%% Puts in all objects of the environment, one by one.
fill(T, #{data := Data, key_count := Keys, template := Template, copies := Copies}) ->
    fill(T, Data, Template, Copies, 1, Keys).

fill(_T, _Data, _O, _Copies, I, Keys) when I > Keys -> ok;
fill(T, Data, O, 1, I, Keys) ->
    K = bench_data:key(Data, I),
    ?TAB:insert(T, ?OBJECT),
    fill(T, Data, O, 1, I + 1, Keys);
fill(T, Data, O, Copies, I, Keys) ->
    K = bench_data:key(Data, I),
    _ = [?TAB:insert(T, {K, J, active}) || J <- lists:seq(1, Copies)],
    fill(T, Data, O, Copies, I + 1, Keys).

%% What the table says of some keys, for a comparison of the two sides.
answers(T, #{keys := Keys, misses := Misses}) ->
    {?TAB:info(T, size),
     [{?TAB:lookup(T, element(I, Keys)), ?TAB:member(T, element(I, Misses))} || I <- lists:seq(1, 500)]}.

%% --- one process ----------------------------------------------------------------------------

run(lookup, T, #{keys := Ks}, S, N)         -> timed(lookup, N, fun() -> lookup(T, Ks, S, N) end);
run(lookup_miss, T, #{misses := Ks}, S, N)  -> timed(lookup_miss, N, fun() -> lookup(T, Ks, S, N) end);
run(member, T, #{keys := Ks}, S, N)         -> timed(member, N, fun() -> member(T, Ks, S, N) end);
run(lookup_element, T, #{keys := Ks}, S, N) -> timed(lookup_element, N, fun() -> lookup_element(T, Ks, S, N) end);
run(update_counter, T, #{keys := Ks}, S, N) -> timed(update_counter, N, fun() -> update_counter(T, Ks, S, N) end);
run(update_element, T, #{keys := Ks}, S, N) -> timed(update_element, N, fun() -> update_element(T, Ks, S, N) end);
run(overwrite, T, #{keys := Ks, template := O}, S, N) ->
    timed(overwrite, N, fun() -> insert(T, Ks, O, S, N) end);
run(insert_new_taken, T, #{keys := Ks, template := O}, S, N) ->
    timed(insert_new_taken, N, fun() -> insert_new(T, Ks, O, S, N) end);
run(insert, T, #{fresh := Ks, template := O}, _S, N) ->
    {In, Out} = churn(fun(Size) -> insert(T, Ks, O, Size, Size) end,
                      fun(Size) -> delete(T, Ks, Size, Size) end, tuple_size(Ks), N, 0, 0),
    [{insert, In, N * tuple_size(Ks)}, {delete, Out, N * tuple_size(Ks)}];
run(insert_new, T, #{fresh := Ks, template := O}, _S, N) ->
    {In, Out} = churn(fun(Size) -> insert_new(T, Ks, O, Size, Size) end,
                      fun(Size) -> take(T, Ks, Size, Size) end, tuple_size(Ks), N, 0, 0),
    [{insert_new, In, N * tuple_size(Ks)}, {take, Out, N * tuple_size(Ks)}];
run(next, T, #{keys := Ks}, S, N) ->
    timed(next, N, fun() -> next(T, element(S, Ks), N) end);
run(prev, T, #{keys := Ks}, S, N) ->
    timed(prev, N, fun() -> prev(T, element(S, Ks), N) end);
run(tab2list, T, #{size := Size}, _S, N) ->
    timed(tab2list, N * Size, fun() -> repeat(N, fun() -> ?TAB:tab2list(T) end) end);
run(foldl, T, #{size := Size}, _S, N) ->
    timed(foldl, N * Size, fun() -> repeat(N, fun() -> ?TAB:foldl(fun(_, A) -> A + 1 end, 0, T) end) end);
run(fill, _T, #{type := Type, size := Size} = Env, _S, N) ->
    {In, Out} = fills(Type, Env, N, 0, 0),
    [{fill, In, N * Size}, {delete_table, Out, N}];
run(insert_list, _T, #{type := Type, list := List}, _S, N) ->
    {Ns, Ops} = lists_in(Type, List, N, 0),
    [{insert_list, Ns, Ops}];
run(new_delete, _T, #{type := Type}, _S, N) ->
    timed(new_delete, N, fun() -> repeat(N, fun() -> drop(new(Type, [])) end) end);
run(new_ten_delete, _T, #{type := Type, keys := Ks, template := O}, S, N) ->
    timed(new_ten_delete, N,
          fun() -> repeat(N, fun() -> T = new(Type, []), insert(T, Ks, O, S, 10), drop(T) end) end);
run(select_range, T, #{range := {Low, High}}, _S, N) ->
    Spec = [{{'$1', '_', '_'}, [{'>=', '$1', Low}, {'<', '$1', High}], ['$_']}],
    timed(select_range, N, fun() -> repeat(N, fun() -> 100 = length(?TAB:select(T, Spec)) end) end);
%% Guards on a part of the key.
run(select_part, T, #{range := {Low, High}}, _S, N) ->
    Spec = [{{{'$1', '_'}, '_'}, [{'>=', '$1', Low}, {'<', '$1', High}], ['$_']}],
    timed(select_part, N, fun() -> repeat(N, fun() -> 100 = length(?TAB:select(T, Spec)) end) end);
run(select_prefix, T, #{range := {Prefix, Count}}, _S, N) ->
    Spec = [{{'$1', '_'}, [{'==', {binary_part, '$1', 0, byte_size(Prefix)}, Prefix}], ['$_']}],
    timed(select_prefix, N, fun() -> repeat(N, fun() -> Count = length(?TAB:select(T, Spec)) end) end);
run(range, T, #{range := {Low, High}}, _S, N) ->
    timed(range, N, fun() -> repeat(N, fun() -> 100 = length(range(?TAB, T, Low, High)) end) end);
run(select_count, T, #{size := Size}, _S, N) ->
    Spec = [{{'_', '$1', '_'}, [{'<', '$1', 0}], [true]}],
    timed(select_count, N * Size, fun() -> repeat(N, fun() -> 0 = ?TAB:select_count(T, Spec) end) end);
run(select_all, T, #{size := Size}, _S, N) ->
    Spec = [{{'$1', '_', '_'}, [], ['$1']}],
    timed(select_all, N * Size, fun() -> repeat(N, fun() -> ?TAB:select(T, Spec) end) end);
run(select_chunks, T, #{size := Size}, _S, N) ->
    Spec = [{{'$1', '_', '_'}, [], ['$1']}],
    timed(select_chunks, N * Size, fun() -> repeat(N, fun() -> chunks(?TAB:select(T, Spec, 100)) end) end);
run(select_key, T, #{keys := Ks}, S, N) ->
    timed(select_key, N, fun() -> select_key(T, Ks, S, N) end);
run(match_object, T, #{size := Size}, _S, N) ->
    timed(match_object, N * Size, fun() -> repeat(N, fun() -> [] = ?TAB:match_object(T, {'_', no, '_'}) end) end).

range(tsunami, T, Low, High) -> tsunami_x:range(T, {ge, Low}, {lt, High});
range(Other, T, Low, High) -> Other:select(T, [{{'$1', '_', '_'}, [{'>=', '$1', Low}, {'<', '$1', High}], ['$_']}]).

chunks('$end_of_table') -> ok;
chunks({_, More}) -> chunks(?TAB:select(More)).

timed(Metric, Ops, Fun) ->
    Start = erlang:monotonic_time(),
    Fun(),
    [{Metric, since(Start), Ops}].

since(Start) -> erlang:convert_time_unit(erlang:monotonic_time() - Start, native, nanosecond).

repeat(0, _Fun) -> ok;
repeat(N, Fun) -> Fun(), repeat(N - 1, Fun).

churn(_In, _Out, _Size, 0, InNs, OutNs) ->
    {InNs, OutNs};
churn(In, Out, Size, N, InNs, OutNs) ->
    T0 = erlang:monotonic_time(),
    In(Size),
    T1 = erlang:monotonic_time(),
    Out(Size),
    T2 = erlang:monotonic_time(),
    churn(In, Out, Size, N - 1, InNs + ns(T1 - T0), OutNs + ns(T2 - T1)).

ns(Native) -> erlang:convert_time_unit(Native, native, nanosecond).

fills(_Type, _Env, 0, In, Out) -> {In, Out};
fills(Type, Env, N, In, Out) ->
    T0 = erlang:monotonic_time(),
    T = new(Type, []),
    fill(T, Env),
    T1 = erlang:monotonic_time(),
    drop(T),
    T2 = erlang:monotonic_time(),
    fills(Type, Env, N - 1, In + ns(T1 - T0), Out + ns(T2 - T1)).

lists_in(_Type, List, 0, Ns) -> {Ns, length(List)};
lists_in(Type, List, N, Ns) ->
    T = new(Type, []),
    Start = erlang:monotonic_time(),
    ?TAB:insert(T, List),
    Took = since(Start),
    drop(T),
    {More, Ops} = lists_in(Type, List, N - 1, Ns + Took),
    {More, Ops + length(List)}.

?LOOP(lookup, begin ?PLANTED, ?TAB:lookup(T, K) end).
?LOOP(member, ?TAB:member(T, K)).
?LOOP(lookup_element, ?TAB:lookup_element(T, K, 2)).
?LOOP(delete, ?TAB:delete(T, K)).
?LOOP(take, ?TAB:take(T, K)).
?LOOP(update_counter, ?TAB:update_counter(T, K, 1)).
?LOOP(update_element, ?TAB:update_element(T, K, {2, 8})).
?LOOP(select_key, ?TAB:select(T, [{{K, '$1', '_'}, [], ['$1']}])).
?WRITE_LOOP(insert, ?TAB:insert(T, ?OBJECT)).
?WRITE_LOOP(insert_new, ?TAB:insert_new(T, ?OBJECT)).

next(_T, _K, 0) -> ok;
next(T, '$end_of_table', N) -> next(T, ?TAB:first(T), N - 1);
next(T, K, N) -> next(T, ?TAB:next(T, K), N - 1).

prev(_T, _K, 0) -> ok;
prev(T, '$end_of_table', N) -> prev(T, ?TAB:last(T), N - 1);
prev(T, K, N) -> prev(T, ?TAB:prev(T, K), N - 1).

-ifdef(PLANT).
planted() -> planted(erlang:monotonic_time(nanosecond) + 2000).
planted(Until) ->
    case erlang:monotonic_time(nanosecond) of
        Now when Now < Until -> planted(Until);
        _ -> ok
    end.
-endif.

%% --- many processes ---------------------------------------------------------------------------

%% Starts Processes workers, each of Count operations on the table, lets them go at one time, and
%% answers the nanoseconds until the last has ended. Updates percent of the operations are inserts and deletes,
%% half and half, of keys from a range twice the table's; the rest are lookups there.
start_workers(T, Env, Processes, Updates, Count) ->
    #{both := Keys, choices := Choices, template := O} = Env,
    Self = self(),
    Stride = tuple_size(Keys) div Processes,
    Workers = [spawn_opt(fun() -> worker(Self, T, Keys, Choices, O, Updates, 1 + I * Stride, Count) end,
                         [link, {min_heap_size, 100000}])
               || I <- lists:seq(0, Processes - 1)],
    _ = [receive {ready, W} -> ok end || W <- Workers],
    Start = erlang:monotonic_time(),
    _ = [W ! go || W <- Workers],
    Ends = [receive {done, W, End} -> End end || W <- Workers],
    ns(lists:max(Ends) - Start).

worker(Parent, T, Keys, Choices, O, Updates, Start, Count) ->
    Parent ! {ready, self()},
    receive go -> ok end,
    mix(T, Keys, Choices, O, Updates, 2 * Updates, Start, tuple_size(Choices), Count),
    Parent ! {done, self(), erlang:monotonic_time()}.

mix(_T, _Ks, _Cs, _O, _In, _Up, _I, _J, 0) -> ok;
mix(T, Ks, Cs, O, In, Up, 0, J, Left) -> mix(T, Ks, Cs, O, In, Up, tuple_size(Ks), J, Left);
mix(T, Ks, Cs, O, In, Up, I, 0, Left) -> mix(T, Ks, Cs, O, In, Up, I, tuple_size(Cs), Left);
mix(T, Ks, Cs, O, In, Up, I, J, Left) ->
    K = element(I, Ks),
    case element(J, Cs) of
        C when C >= Up -> ?PLANTED, ?TAB:lookup(T, K);
        C when C < In -> ?TAB:insert(T, setelement(1, O, K));
        _ -> ?TAB:delete(T, K)
    end,
    mix(T, Ks, Cs, O, In, Up, I - 1, J - 1, Left - 1).
