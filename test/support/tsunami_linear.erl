%% tsunami_linear: were the answers that several processes got, at the same time and about one key, those of some order in which
%% one operation comes after the other?
%%
%% A history is a list of {Begin, End, Operation, Answer}, times of one clock. check/2 looks for an order that has each operation between
%% its begin and its end and in which each answer is that of a plain list of values (Wing and Gong 1993); a state that was met
%% before, with the same operations left, is not gone through again.
-module(tsunami_linear).
-export([check/2, record/4, operations/1, operations_x/1]).

%% --- the model: what is stored under the key, as a list in order of insertion --------------

apply_op(_Kind, lookup, Values) -> {Values, Values};
apply_op(_Kind, member, Values) -> {Values =/= [], Values};
apply_op(_Kind, delete, _Values) -> {true, []};
apply_op(_Kind, take, Values) -> {Values, []};
apply_op(Kind, {insert, V}, Values) -> {true, put_value(Kind, V, Values)};
apply_op(_Kind, {insert_new, V}, []) -> {true, [V]};
apply_op(_Kind, {insert_new, _V}, Values) -> {false, Values};
apply_op(_Kind, {delete_object, V}, Values) -> {true, [W || W <- Values, W =/= V]};
apply_op(_Kind, {update_counter, Incr}, []) -> {Incr, [Incr]};
apply_op(_Kind, {update_counter, Incr}, [V]) -> {V + Incr, [V + Incr]};
apply_op(_Kind, {update_element, V}, [_]) -> {true, [V]};
apply_op(_Kind, {update_element, _V}, []) -> {false, []};
apply_op(Kind, {insert_list, Vs}, Values) -> {true, lists:foldl(fun(V, Acc) -> put_value(Kind, V, Acc) end, Values, Vs)};
apply_op(_Kind, Take, Values) when Take =:= take_first; Take =:= take_last; Take =:= select_take -> {Values, []};
apply_op(_Kind, {compare_and_swap, Values, New}, Values) -> {true, New};
apply_op(_Kind, {compare_and_swap, _Expected, _New}, Values) -> {{false, Values}, Values};
apply_op(_Kind, {update, V}, Values) -> {[V + lists:sum(Values)], [V + lists:sum(Values)]}.

put_value(bag, V, Values) ->
    case lists:member(V, Values) of
        true -> Values;
        false -> Values ++ [V]
    end;
put_value(duplicate_bag, V, Values) -> Values ++ [V];
put_value(_Set, V, _Values) -> [V].

%% --- the same on a table -----------------------------------------------------------------

op(Mod, T, lookup, K) -> [V || {_, V} <- Mod:lookup(T, K)];
op(Mod, T, member, K) -> Mod:member(T, K);
op(Mod, T, delete, K) -> Mod:delete(T, K);
op(Mod, T, take, K) -> [V || {_, V} <- Mod:take(T, K)];
op(Mod, T, {insert, V}, K) -> Mod:insert(T, {K, V});
op(Mod, T, {insert_new, V}, K) -> Mod:insert_new(T, {K, V});
op(Mod, T, {delete_object, V}, K) -> Mod:delete_object(T, {K, V});
op(Mod, T, {update_counter, Incr}, K) -> Mod:update_counter(T, K, Incr, {K, 0});
op(Mod, T, {update_element, V}, K) -> Mod:update_element(T, K, {2, V});
op(Mod, T, {insert_list, Vs}, K) -> Mod:insert(T, [{K, V} || V <- Vs]);
%% Of a table that holds no other key.
op(_Mod, T, take_first, _K) -> [V || {_, V} <- tsunami_x:take_first(T)];
op(_Mod, T, take_last, _K) -> [V || {_, V} <- tsunami_x:take_last(T)];
op(_Mod, T, select_take, _K) -> tsunami_x:select_take(T, [{{'_', '$1'}, [], ['$1']}]);
op(_Mod, T, {compare_and_swap, Expected, New}, K) ->
    case tsunami_x:compare_and_swap(T, K, [{K, V} || V <- Expected], [{K, V} || V <- New]) of
        true -> true;
        {false, Current} -> {false, [V || {_, V} <- Current]}
    end;
op(_Mod, T, {update, V}, K) -> [W || {_, W} <- tsunami_x:update(T, K, fun(Objects) -> [{K, lists:sum([V | [W || {_, W} <- Objects]])}] end)].

%% Operations to draw from, each as a fun of a small number.
operations(Kind) when Kind =:= set; Kind =:= ordered_set ->
    [fun(_) -> lookup end, fun(_) -> lookup end, fun(_) -> member end, fun(_) -> delete end, fun(_) -> take end, fun(V) -> {insert, V} end,
     fun(V) -> {insert_new, V} end, fun(V) -> {delete_object, V} end, fun(V) -> {update_counter, V} end,
     fun(V) -> {update_element, V} end, fun(V) -> {insert_list, [V + 1, V]} end];
operations(_Bag) ->
    [fun(_) -> lookup end, fun(_) -> lookup end, fun(_) -> member end, fun(_) -> delete end, fun(_) -> take end, fun(V) -> {insert, V} end,
     fun(V) -> {insert, V} end, fun(V) -> {insert_new, V} end, fun(V) -> {delete_object, V} end,
     fun(V) -> {insert_list, [V]} end].

%% The same with those that ets does not have.
operations_x(Kind) ->
    Taking = [fun(_) -> take_first end, fun(_) -> take_last end, fun(_) -> select_take end, fun(V) -> {insert, V} end],
    Comparing = [fun(V) -> {compare_and_swap, [], [V]} end, fun(V) -> {compare_and_swap, [V], [V + 1]} end,
                 fun(V) -> {compare_and_swap, [V], []} end, fun(V) -> {update, V} end],
    operations(Kind) ++ Taking ++ [Operation || Operation <- Comparing, Kind =:= set orelse Kind =:= ordered_set].

%% Runs each list of operations in a process of its own, all at once, and answers the history.
record(Mod, T, Key, Programs) ->
    Self = self(),
    Gate = atomics:new(1, []),
    Pids = [spawn_link(fun() ->
                               atomics:add(Gate, 1, 1),
                               gate(Gate, length(Programs), 10000),
                               Self ! {self(), [timed(Mod, T, Op, Key) || Op <- Program]}
                       end) || Program <- Programs],
    lists:append([receive {Pid, History} -> History end || Pid <- Pids]).

gate(_Gate, _N, 0) -> ok;
gate(Gate, N, Tries) ->
    case atomics:get(Gate, 1) of
        N -> ok;
        _ -> gate(Gate, N, Tries - 1)
    end.

timed(Mod, T, Op, Key) ->
    Begin = erlang:monotonic_time(),
    Answer = op(Mod, T, Op, Key),
    {Begin, erlang:monotonic_time(), Op, Answer}.

%% --- the check --------------------------------------------------------------------------

%% `true`, or `false` if there is no such order. The key is absent at first.
-spec check(atom(), [{integer(), integer(), term(), term()}]) -> boolean().
check(Kind, History) ->
    {Verdict, _Seen} = search(Kind, lists:sort(History), [], #{}),
    Verdict.

search(_Kind, [], _Values, Seen) ->
    {true, Seen};
search(Kind, Left, Values, Seen) ->
    case Seen of
        #{{Left, Values} := _} ->
            {false, Seen};
        #{} ->
            %% The next one must have begun before any that is left had ended.
            FirstEnd = lists:min([End || {_, End, _, _} <- Left]),
            Next = lists:takewhile(fun({Begin, _, _, _}) -> Begin =< FirstEnd end, Left),
            try_each(Kind, Next, Left, Values, Seen)
    end.

try_each(_Kind, [], Left, Values, Seen) ->
    {false, Seen#{{Left, Values} => no}};
try_each(Kind, [{_, _, Op, Answer} = Next | Rest], Left, Values, Seen) ->
    Tried =
        case apply_op(Kind, Op, Values) of
            {Answer, Values1} -> search(Kind, lists:delete(Next, Left), Values1, Seen);
            {_, _} -> {false, Seen}
        end,
    case Tried of
        {true, _} = Found -> Found;
        {false, Seen1} -> try_each(Kind, Rest, Left, Values, Seen1)
    end.
