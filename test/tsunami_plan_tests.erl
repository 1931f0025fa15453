%% Searches of an ordered_set that are cut down to parts of it, beside ets, which reads all: guards on parts of keys, on few keys, so
%% that bounds and keys meet often.
-module(tsunami_plan_tests).

-include_lib("eunit/include/eunit.hrl").

random_guards_on_parts_of_keys_find_what_they_find_in_ets_test_() ->
    {timeout, 300, fun() ->
                           rand:seed(exsss, tsunami_test:seed()),
                           Rounds = 40 * list_to_integer(os:getenv("TSU_ROUNDS", "100")) div 100 + 1,
                           [beside_ets(pick([ordered_set, ordered_set, ordered_set, set, duplicate_bag]), 1 + upto(1)) || _ <- lists:seq(1, Rounds)]
                   end}.

%% A table and some hundred searches of it.
beside_ets(Kind, KeyPos) ->
    E = ets:new(e, [Kind, {keypos, KeyPos}]),
    T = tsunami:new(t, [Kind, {keypos, KeyPos}]),
    Keys = pick([[tuple, binary, list, number], [tuple], [tuple, number], [binary], [list], [tuple, list]]),
    [begin ets:insert(E, O), tsunami:insert(T, O) end || O <- [object(KeyPos, key(pick(Keys))) || _ <- lists:seq(1, upto(300))]],
    [same(Kind, spec(KeyPos, Keys), E, T) || _ <- lists:seq(1, 100)],
    [begin
         Spec = [{Head, Guards, [true]} || {Head, Guards, _} <- spec(KeyPos, Keys)],
         ?assertEqual({Spec, ets:select_count(E, Spec)}, {Spec, tsunami:select_count(T, Spec)}),
         ?assertEqual({Spec, ets:select_delete(E, Spec)}, {Spec, tsunami:select_delete(T, Spec)}),
         ?assertEqual({Spec, sorted(ets:tab2list(E))}, {Spec, sorted(tsunami:tab2list(T))})
     end || _ <- lists:seq(1, 5)],
    ets:delete(E),
    tsunami:delete(T).

same(Kind, Spec, E, T) ->
    Sort = fun(L) when Kind =:= ordered_set -> L; (L) -> sorted(L) end,
    Limit = 1 + upto(9),
    [?assertEqual({Spec, F, Sort(ets:F(E, Spec))}, {Spec, F, Sort(tsunami:F(T, Spec))}) || F <- [select, select_reverse]],
    ?assertEqual({Spec, Sort(ets:select(E, Spec))}, {Spec, Sort(chunks(tsunami:select(T, Spec, Limit)))}),
    ?assertEqual({Spec, Sort(ets:select_reverse(E, Spec))}, {Spec, Sort(chunks(tsunami:select_reverse(T, Spec, Limit)))}).

%% 1 is not 1.0.
sorted(L) -> lists:sort([term_to_binary(X) || X <- L]).

chunks('$end_of_table') -> [];
chunks({L, Next}) -> L ++ chunks(tsunami:select(Next)).

object(1, Key) -> {Key, part()};
object(2, Key) -> {part(), Key}.

key(tuple) ->
    case upto(9) of
        0 -> {};
        1 -> {part(), {part(), part()}};
        2 -> {{part()}, part()};
        _ -> list_to_tuple([part() || _ <- lists:seq(1, pick([1, 2, 2, 2, 3, 3, 4, 17]))])
    end;
key(list) ->
    case upto(5) of
        0 -> [part() | pick([a, 1, {}])];
        1 -> [];
        _ -> [part() || _ <- lists:seq(1, 1 + upto(2))]
    end;
key(binary) -> bits();
key(number) -> part().

part() -> pick([0, 1, 2, 1.0, 2.0, 1 bsl 70, a, b, <<"x">>, [], [1], {1}, #{a => 1}, 3, 4, bits()]).

bits() ->
    Bytes = << <<(pick([0, $a, $b, 254, 255]))>> || _ <- lists:seq(1, upto(4)) >>,
    case upto(7) of
        0 -> <<Bytes/binary, 5:3>>;
        _ -> Bytes
    end.

spec(KeyPos, Keys) -> [clause(KeyPos, key(pick(Keys))) || _ <- lists:seq(1, pick([1, 1, 1, 1, 2, 3]))].

clause(KeyPos, Key) ->
    Pattern = case upto(2) of
                  0 -> '$1';
                  _ -> opened(Key)
              end,
    {Head, Ways0} = case upto(5) of
                        0 -> {'_', []};
                        1 -> {'$9', [{{element, KeyPos, '$9'}, Key}]};
                        _ -> {object_head(KeyPos, Pattern), variables(Pattern, Key)}
                    end,
    Ways = [{{element, KeyPos, '$_'}, Key} | Ways0],
    Guards = [guard(pick(Ways)) || _ <- lists:seq(1, pick([1, 1, 2, 2, 3, 4]))],
    {Head, pick([Guards, Guards, [list_to_tuple(['andalso', true | Guards])], [list_to_tuple(['and', true | Guards])]]), ['$_']}.

object_head(1, Pattern) -> {Pattern, '_'};
object_head(2, Pattern) -> {'_', Pattern}.

%% Variables in place of some parts.
opened(Key) when is_tuple(Key) -> list_to_tuple(variable_some(tuple_to_list(Key), 1));
opened([_ | _] = Key) ->
    case upto(3) of
        0 -> ['$1' | '$2'];
        1 -> [hd(Key) | '$1'];
        _ -> variable_some(Key, 1)
    end;
opened(_) -> '$1'.

variable_some([H | T], N) -> [pick([H, '_', variable(N), variable(N), variable(1), opened_part(H, N)]) | variable_some(T, N + 1)];
variable_some(Tail, _) -> Tail.

opened_part(H, N) when is_tuple(H), tuple_size(H) > 0 -> setelement(1, H, variable(N));
opened_part(H, _) -> H.

variable(N) -> element((N - 1) rem 4 + 1, {'$1', '$2', '$3', '$4'}).

%% What the variables of a pattern have in the key it was made of.
variables(V, Key) when V =:= '$1'; V =:= '$2'; V =:= '$3'; V =:= '$4' -> [{V, Key}];
variables(P, Key) when is_tuple(P), is_tuple(Key), tuple_size(P) =:= tuple_size(Key) -> variables(tuple_to_list(P), tuple_to_list(Key));
variables([P | Ps], [K | Ks]) -> variables(P, K) ++ variables(Ps, Ks);
variables(_, _) -> [].

%% A way leads to something in the key; and on to its parts.
guard({Way, Value}) when is_tuple(Value), tuple_size(Value) > 0 ->
    N = 1 + upto(tuple_size(Value) - 1),
    pick([compare(Way, Value), {'==', {size, Way}, tuple_size(Value)}, {is_tuple, Way}] ++
             [guard({{element, N, Way}, element(N, Value)}) || _ <- lists:seq(1, 6)]);
guard({Way, [H | T] = Value}) ->
    pick([compare(Way, Value), {is_list, Way}, guard({{hd, Way}, H}), guard({{hd, Way}, H}), guard({{tl, Way}, T})]);
guard({Way, Value}) when is_binary(Value) ->
    N = upto(byte_size(Value)),
    Part = pick([binary:part(Value, 0, N), binary:part(Value, 0, N), bits()]),
    pick([compare(Way, Value), {is_binary, Way}, {pick(['==', '=:=']), {binary_part, Way, 0, N}, Part}, {'==', Part, {binary_part, Way, {{0, N}}}}]);
guard({Way, Value}) -> compare(Way, Value).

compare(Way, Value0) ->
    Value = case pick([Value0, Value0, part()]) of
                V when is_tuple(V); is_map(V); is_list(V) -> {const, V};
                V -> V
            end,
    Op = pick(['==', '==', '=:=', '>', '<', '>=', '=<', '/=']),
    pick([{Op, Way, Value}, {Op, Value, Way}]).

pick(L) -> lists:nth(rand:uniform(length(L)), L).
upto(N) -> rand:uniform(N + 1) - 1.

%% ---- Named cases ----

%% Of 20 000 objects those that are looked at.
only_what_can_match_is_looked_at_test_() ->
    {timeout, 60, fun() ->
             T = tsunami:new(t, [ordered_set]),
             true = tsunami:insert(T, [{{I div 100, I rem 100}, I} || I <- lists:seq(0, 9999)]),
             true = tsunami:insert(T, [{<<"user:", (integer_to_binary(10000 + I))/binary>>, I} || I <- lists:seq(0, 4999)]),
             true = tsunami:insert(T, [{[I div 100, I rem 100], I} || I <- lists:seq(0, 4999)]),
             Looks = fun(Key, Guards) -> maps:get(expected, tsunami_x:explain(T, [{{Key, '_'}, Guards, ['$_']}])) end,
             ?assertEqual(100, Looks({'$1', '_'}, [{'==', '$1', 7}])),
             ?assertEqual(10, Looks({'$1', '$2'}, [{'==', '$1', 7}, {'<', '$2', 10}])),
             ?assertEqual(200, Looks({'$1', '_'}, [{'andalso', {'>', '$1', 7}, {'=<', '$1', 9}}])),
             ?assertEqual(100, Looks('$1', [{'==', {element, 1, '$1'}, 7}])),
             ?assertEqual(1, Looks('$1', [{'==', {element, 1, '$1'}, 7}, {'=:=', 3, {element, 2, '$1'}}])),
             ?assertEqual(100, Looks('$1', [{'==', {binary_part, '$1', 0, 8}, <<"user:113">>}])),
             ?assertEqual(100, Looks('$1', [{'==', {hd, '$1'}, 49}])),
             ?assertEqual(5000, length(tsunami:select(T, [{{'$1', '_'}, [{is_binary, '$1'}], ['$_']}]))),
             ?assertEqual({at_least, 4000}, Looks('$1', [{is_binary, '$1'}])),
             ?assertEqual(20000, Looks('$1', [{'=/=', '$1', 7}])),
             tsunami:delete(T)
     end}.

%% To the library a range comes with a specification; to users that is none.
a_range_is_no_specification_test_() ->
    [fun() ->
             T = tsunami:new(t, [Kind]),
             [begin
                  ?assertError(badarg, tsunami:select(T, Spec)),
                  ?assertError(badarg, tsunami:select(T, Spec, 7)),
                  ?assertError(badarg, tsunami:select_count(T, Spec)),
                  ?assertError(badarg, tsunami:select_delete(T, Spec)),
                  ?assertError(badarg, tsunami_x:explain(T, Spec))
              end || Spec <- [{[{'_', [], ['$_']}], first, last}, {[{'_', [], ['$_']}], {}}, {}]],
             tsunami:delete(T)
     end || Kind <- [set, ordered_set]].

%% More sizes than are looked through at once, and nothing but its own in most.
tuples_of_many_sizes_are_looked_through_test_() ->
    {timeout, 60, fun() ->
             E = ets:new(e, [ordered_set]),
             T = tsunami:new(t, [ordered_set]),
             [begin true = tsunami:insert(T, O), true = ets:insert(E, O) end
              || N <- lists:seq(1, 700), X <- [a, b, c], O <- [{list_to_tuple([X | lists:duplicate(N - 1, 0)])}], X =/= b orelse N rem 90 =:= 0],
             [begin
                  Spec = [{{'$1'}, [{'==', {element, 1, '$1'}, X}], [{size, '$1'}]}],
                  ?assertEqual(ets:select(E, Spec), tsunami:select(T, Spec)),
                  ?assertEqual(ets:select_reverse(E, Spec), tsunami:select_reverse(T, Spec)),
                  ?assertEqual(ets:select(E, Spec), chunks(tsunami:select(T, Spec, 7))),
                  ?assertEqual(ets:select_reverse(E, Spec), chunks(tsunami:select_reverse(T, Spec, 7)))
              end || X <- [a, b, c, d, '']],
             ets:delete(E),
             tsunami:delete(T)
     end}.
