%% Ranges, prefixes and explanations, beside a model: the sorted objects of an ets table, filtered.
-module(tsunami_x_tests).

-include_lib("eunit/include/eunit.hrl").

random_ranges_are_what_a_filter_leaves_test_() ->
    {timeout, 300, fun() ->
                           rand:seed(exsss, tsunami_test:seed()),
                           Rounds = 60 * list_to_integer(os:getenv("TSU_ROUNDS", "100")) div 100 + 1,
                           [with_table(1 + upto(1)) || _ <- lists:seq(1, Rounds)]
                   end}.

with_table(KeyPos) ->
    E = ets:new(e, [ordered_set, {keypos, KeyPos}]),
    T = tsunami:new(t, [ordered_set, {keypos, KeyPos}]),
    [begin true = ets:insert(E, O), true = tsunami:insert(T, O) end
     || O <- [setelement(KeyPos, list_to_tuple([key() || _ <- lists:seq(1, KeyPos + upto(2))]), key()) || _ <- lists:seq(1, upto(200))]],
    Objects = ets:tab2list(E),
    [begin
         From = pick([first, {ge, key()}, {gt, key()}]),
         To = pick([last, {le, key()}, {lt, key()}]),
         In = [O || O <- Objects, above(From, element(KeyPos, O)), below(To, element(KeyPos, O))],
         ?assertEqual({From, To, In}, {From, To, tsunami_x:range(T, From, To)}),
         with_options({range, T, [From, To]}, In)
     end || _ <- lists:seq(1, 40)],
    [begin
         Prefix = prefix(),
         In = [O || O <- Objects, begins(Prefix, element(KeyPos, O))],
         ?assertEqual({Prefix, In}, {Prefix, tsunami_x:prefix(T, Prefix)}),
         with_options({prefix, T, [Prefix]}, In)
     end || _ <- lists:seq(1, 40)],
    ets:delete(E),
    tsunami:delete(T).

with_options({F, T, Args} = What, In) ->
    Reverse = pick([[], [reverse], [{reverse, true}], [reverse, {reverse, false}]]),
    Fields = pick([[], [{fields, [1 + upto(3) || _ <- lists:seq(0, upto(2))]}]]),
    Ordered = case Reverse =:= [reverse] orelse Reverse =:= [{reverse, true}] of
                  true -> lists:reverse(In);
                  false -> In
              end,
    Results = case Fields of
                  [] -> Ordered;
                  [{fields, Ps}] -> [list_to_tuple([element(P, O) || P <- Ps]) || O <- Ordered, tuple_size(O) >= lists:max(Ps)]
              end,
    Options = Reverse ++ Fields,
    ?assertEqual({What, Options, Results}, {What, Options, apply(tsunami_x, F, [T | Args] ++ [Options])}),
    Limit = 1 + upto(9),
    ?assertEqual({What, Options, Results}, {What, Options, chunks(apply(tsunami_x, F, [T | Args] ++ [[{limit, Limit} | Options]]), Limit)}).

chunks('$end_of_table', _) -> [];
chunks({L, Next}, Limit) ->
    ?assert(L =/= [] andalso (length(L) =:= Limit orelse Next =:= '$end_of_table')),
    L ++ chunks(tsunami_x:range(Next), Limit).

above(first, _) -> true;
above({ge, From}, K) -> K >= From;
above({gt, From}, K) -> K > From.

below(last, _) -> true;
below({le, To}, K) -> K =< To;
below({lt, To}, K) -> K < To.

begins(P, K) when is_binary(P) -> is_binary(K) andalso byte_size(K) >= byte_size(P) andalso binary:part(K, 0, byte_size(P)) =:= P;
begins(P, K) when is_tuple(P) -> is_tuple(K) andalso begins(tuple_to_list(P), tuple_to_list(K));
begins([], K) -> is_list(K);
begins([P | Ps], [K | Ks]) -> P == K andalso begins_rest(Ps, Ks);
begins(_, _) -> false.

begins_rest([], _) -> true;
begins_rest(Ps, Ks) -> begins(Ps, Ks).

key() ->
    case upto(5) of
        0 -> list_to_tuple([part() || _ <- lists:seq(1, pick([0, 1, 1, 2, 2, 3, 20]))]);
        1 -> [part() || _ <- lists:seq(1, upto(3))];
        2 -> [part() | pick([part(), a])];
        3 -> pick([bits(), bits(), bits(), <<(bits())/bitstring, 5:3>>]);
        _ -> part()
    end.

part() -> pick([0, 1, 2, 1.0, 2.0, a, b, [], {}, {1}, "x", #{a => 1}, 1 bsl 70, <<"x">>]).

bits() -> << <<(pick([0, $a, $b, 254, 255]))>> || _ <- lists:seq(1, upto(3)) >>.

prefix() ->
    case upto(2) of
        0 -> list_to_tuple([part() || _ <- lists:seq(1, upto(2))]);
        1 -> [part() || _ <- lists:seq(1, upto(2))];
        2 -> bits()
    end.

pick(L) -> lists:nth(rand:uniform(length(L)), L).
upto(N) -> rand:uniform(N + 1) - 1.

%% ---- Ranges ----

keys_are_compared_as_the_table_does_test() ->
    T = filled(),
    ?assertEqual([{3, 3}, {4, 4}], tsunami_x:range(T, {ge, 3.0}, {lt, 5.0})),
    ?assertEqual([{4, 4}], tsunami_x:range(T, {gt, 3.0}, {le, 4.0})),
    ?assertEqual([], tsunami_x:range(T, {gt, 5}, {lt, 5})),
    ?assertEqual([], tsunami_x:range(T, {ge, 7}, {le, 3})),
    ?assertEqual([{5, 5}], tsunami_x:range(T, {ge, 5}, {le, 5.0})),
    ?assertEqual('$end_of_table', tsunami_x:range(T, {gt, 500}, last, [{limit, 3}])),
    tsunami:delete(T).

fields_that_are_not_there_leave_the_object_out_test() ->
    T = tsunami:new(t, [ordered_set]),
    true = tsunami:insert(T, [{1, a}, {2, b, c}, {3}, {4, false, undefined, x}]),
    ?assertEqual([{c, 2}, {undefined, 4}], tsunami_x:range(T, first, last, [{fields, [3, 1]}])),
    ?assertEqual([{a}, {b}, {false}], tsunami_x:range(T, first, last, [{fields, [2]}])),
    ?assertEqual([{1, 1}, {2, 2}, {3, 3}, {4, 4}], tsunami_x:range(T, first, last, [{fields, [1, 1]}])),
    ?assertEqual([], tsunami_x:range(T, first, last, [{fields, [1 bsl 40]}])),
    tsunami:delete(T).

a_continuation_belongs_to_the_table_and_sees_what_stays_test() ->
    T = tsunami:new(tsunami_x_name, [named_table, ordered_set]),
    true = tsunami:insert(T, [{I} || I <- lists:seq(1, 10)]),
    {[{2}, {3}], C} = tsunami_x:range(T, {gt, 1}, {lt, 9}, [{limit, 2}]),
    true = tsunami:delete(T, 3),
    true = tsunami:insert(T, [{3.5}, {8.5}, {9.5}]),
    tsunami_x_other = tsunami:rename(T, tsunami_x_other),
    ?assertMatch({[{3.5}, {4}], _}, tsunami_x:range(C)),
    ?assertEqual([{3.5}, {4}, {5}, {6}, {7}, {8}, {8.5}], chunks_of(tsunami_x:range(C))),
    true = tsunami:delete(tsunami_x_other),
    ?assertError(badarg, tsunami_x:range(C)).

chunks_of('$end_of_table') -> [];
chunks_of({L, Next}) -> L ++ chunks_of(tsunami_x:range(Next)).

a_long_range_is_cut_into_slices_test_() ->
    {timeout, 60, fun() ->
             T = tsunami:new(t, [ordered_set]),
             All = [{I, I} || I <- lists:seq(1, 100000)],
             true = tsunami:insert(T, All),
             ?assertEqual(All, tsunami_x:range(T, first, last)),
             ?assertEqual(lists:reverse(All), tsunami_x:range(T, {gt, 0}, last, [reverse])),
             ?assertEqual([{I} || {I, _} <- All], tsunami_x:range(T, first, {lt, 1.0e30}, [{fields, [2]}])),
             true = tsunami:delete_all_objects(T),
             Tuples = lists:sort([{{X, I}, X} || I <- lists:seq(1, 20000), X <- [a, b]] ++ [{{X, I, x}, X} || I <- lists:seq(1, 20000), X <- [a, b]]),
             true = tsunami:insert(T, Tuples),
             ?assertEqual([O || {_, a} = O <- Tuples], tsunami_x:prefix(T, {a})),
             ?assertEqual(lists:reverse([O || {_, b} = O <- Tuples]), tsunami_x:prefix(T, {b}, [reverse])),
             tsunami:delete(T)
     end}.

%% Keys {a, I, ...} of two sizes, odd ones stay; a writer puts in and takes out even ones, and tuples of a size between.
what_is_there_throughout_is_seen_exactly_once_test_() ->
    {timeout, 60, fun() ->
             T = tsunami:new(t, [ordered_set, public]),
             Keys = fun(Is) -> [{a, I} || I <- Is] ++ [{a, I, x, y} || I <- Is] end,
             Stay = Keys(lists:seq(1, 3000, 2)),
             true = tsunami:insert(T, [{K} || K <- Stay]),
             Writer = spawn_link(fun() -> churn(T, Keys) end),
             Odd = fun(Objects) -> [K || {K} <- Objects, element(2, K) rem 2 =:= 1, tuple_size(K) =/= 3] end,
             [begin
                  ?assertEqual(Stay, Odd(tsunami_x:prefix(T, {a}))),
                  ?assertEqual(lists:reverse(Stay), Odd(tsunami_x:prefix(T, {a}, [reverse]))),
                  ?assertEqual(Stay, Odd(chunks_of(tsunami_x:prefix(T, {a}, [{limit, 7}])))),
                  ?assertEqual(lists:reverse(Stay), Odd(chunks_of(tsunami_x:prefix(T, {a}, [{limit, 7}, reverse])))),
                  ?assertEqual(Stay, Odd(chunks_of(tsunami_x:range(T, {ge, {a, 1}}, last, [{limit, 7}]))))
              end || _ <- lists:seq(1, 10)],
             Ref = monitor(process, Writer),
             unlink(Writer),
             exit(Writer, kill),
             receive {'DOWN', Ref, _, _, _} -> ok end,
             tsunami:delete(T)
     end}.

churn(T, Keys) ->
    Even = Keys([2 * rand:uniform(1500) || _ <- lists:seq(1, 50)]),
    true = tsunami:insert(T, [{K} || K <- Even] ++ [{{a, I, z}} || I <- lists:seq(1, 300)]),
    [true = tsunami:delete(T, K) || K <- Even],
    [true = tsunami:delete(T, {a, I, z}) || I <- lists:seq(1, 300)],
    churn(T, Keys).

long_keys_and_large_binaries_are_bounds_too_test() ->
    T = tsunami:new(t, [ordered_set]),
    Long = fun(N) -> binary:copy(<<"long">>, N) end,
    true = tsunami:insert(T, [{Long(N), N} || N <- lists:seq(100, 1000, 100)]),
    ?assertEqual([300, 400], [N || {_, N} <- tsunami_x:range(T, {ge, Long(300)}, {lt, Long(500)})]),
    ?assertEqual(lists:seq(600, 1000, 100), [N || {_, N} <- tsunami_x:prefix(T, Long(501))]),
    ?assertEqual(lists:seq(600, 1000, 100),
                 [N || {_, N} <- chunks_of(tsunami_x:prefix(T, Long(501), [{limit, 2}]))]),
    ?assertEqual(lists:seq(600, 1000, 100),
                 tsunami:select(T, [{{'$1', '$2'}, [{'==', {binary_part, '$1', 0, 2004}, Long(501)}], ['$2']}])),
    tsunami:delete(T).

%% ---- Explanations ----

what_is_known_of_keys_is_told_test() ->
    T = tsunami:new(t, [ordered_set]),
    true = tsunami:insert(T, [{{X, I}, I} || X <- [a, b], I <- lists:seq(1, 10)]),
    E = fun(Spec) -> tsunami_x:explain(T, Spec) end,
    ?assertEqual(#{access => none, clauses => [], objects => 20, expected => 0}, E([])),
    ?assertMatch(#{access := none, expected := 0, clauses := [#{access := none}]}, E([{{'$1', '_'}, [{'>', '$1', 2}, {'<', '$1', 1}], [true]}])),
    ?assertMatch(#{access := lookup, keys := [{a, 1}, {b, 11}], expected := 1}, E([{{{a, 1}, '_'}, [], [true]}, {{{b, 11}, '_'}, [], ['$_']}])),
    ?assertMatch(#{access := scan, expected := 20}, E([{{'_', 1}, [], ['$_']}])),
    ?assertMatch(#{access := seek, expected := 10, places := [{range, {gt, {a, '$first'}}, {lt, {a, '$last'}}}]}, E([{{{a, '_'}, '_'}, [], ['$_']}])),
    ?assertMatch(#{access := seek, expected := 3, places := [{range, {ge, {a, 2}}, {lt, {a, 5}}}]},
                 E([{{{'$1', '$2'}, '_'}, [{'==', '$1', a}, {'>=', '$2', 2}, {'<', '$2', 5}], ['$_']}])),
    ?assertMatch(#{access := seek, expected := 10, places := [{tuples, {ge, {b}}, {le, {b}}}]},
                 E([{{'$1', '_'}, [{'==', {element, 1, '$1'}, b}], ['$_']}])),
    #{clauses := Clauses} = E([{{'$1', '$2'}, [], [true]}, {{'$1', '_'}, [{'<', '$1', 7}], ['$_']}, {{{a, 1}, '$2'}, [], [{{{{a, 1}}, '$2'}}]}]),
    ?assertEqual([#{access => scan, result => true, keeps_key => false},
                  #{access => seek, places => [{range, first, {lt, 7}}], result => object, keeps_key => true},
                  #{access => lookup, keys => [{a, 1}], result => other, keeps_key => true}], Clauses),
    tsunami:delete(T).

hash_tables_are_explained_too_test_() ->
    [fun() ->
             T = tsunami:new(t, [Kind]),
             [true = tsunami:insert(T, {I, C}) || I <- [1, 2, 3], C <- [a, b]],
             Each = case Kind of set -> 1; _ -> 2 end,
             ?assertMatch(#{access := lookup, keys := [2, 9], expected := Each}, tsunami_x:explain(T, [{{2, '_'}, [], [true]}, {{9, '_'}, [], [true]}])),
             ?assertMatch(#{access := lookup, keys := [2]}, tsunami_x:explain(T, [{{'$1', '_'}, [{'=:=', '$1', 2}], [true]}])),
             ?assertMatch(#{access := scan}, tsunami_x:explain(T, [{{'$1', '_'}, [{'==', '$1', 2}], [true]}])),
             ?assertEqual(3 * Each, maps:get(expected, tsunami_x:explain(T, [{'_', [], [true]}]))),
             tsunami:delete(T)
     end || Kind <- [set, bag, duplicate_bag]].

%% ---- Errors ----

filled() ->
    T = tsunami:new(t, [ordered_set]),
    true = tsunami:insert(T, [{I, I} || I <- lists:seq(1, 10)]),
    T.

wrong_arguments_are_named_test_() ->
    Wrong = [{range, [x, last], 2, "neither first nor"}, {range, [{le, 1}, last], 2, "neither first nor"}, {range, [{ge, 1, 2}, last], 2, "neither first nor"},
             {range, [first, first], 3, "neither last nor"}, {range, [first, {gt, 1}], 3, "neither last nor"}]
        ++ [{range, [first, last, O], 4, "invalid options"} || O <- wrong_options()]
        ++ [{prefix, [<<"a">>, O], 3, "invalid options"} || O <- wrong_options()]
        ++ [{prefix, [P], 2, "not a binary, a proper list"} || P <- [a, 1, 1.0, #{}, <<1:3>>, [a | b], self()]]
        ++ [{explain, [Spec], 2, "not a valid match specification"} || Spec <- [a, [a], [{'_', [], []}], [{{'$1'}, [], ['$2']}]]],
    [{lists:flatten(io_lib:format("~p ~p", [F, Args])),
      fun() ->
              [begin
                   ?assertEqual([{Number, Text}], [{N, string:slice(X, 0, length(Text))} || {N, X} <- problems(F, [T | Args])]),
                   tsunami:delete(T)
               end || T <- [filled(), tsunami:new(t, [ordered_set])]]
      end} || {F, Args, Number, Text} <- Wrong].

wrong_options() ->
    [x, [x], [reverse | x], [{limit, 0}], [{limit, a}], [{limit, 1 bsl 70}], [{fields, []}], [{fields, [0]}], [{fields, [a]}], [{fields, [1 | 2]}],
     [{fields, 1}], [{reverse, yes}], [{limit, 1}, x]].

%% As a shell prints them.
problems(F, Args) ->
    try apply(tsunami_x, F, Args) of
        Answer -> {answered, Answer}
    catch
        error:badarg:Stack ->
            [{tsunami_x, F, Args, Info} | _] = Stack,
            #{module := tsunami_errors} = proplists:get_value(error_info, Info),
            [{N, unicode:characters_to_list(Text)} || {N, Text} <- maps:to_list(tsunami_errors:format_error(badarg, Stack))]
    end.

tables_of_another_type_are_refused_test_() ->
    [fun() ->
             T = tsunami:new(t, [Kind]),
             [?assertMatch([{1, "the table identifier refers to an ETS table of a type not supported" ++ _}], problems(F, [T | Args]))
              || {F, Args} <- [{range, [first, last]}, {range, [first, last, [{limit, 1}]]}, {prefix, [<<>>]}, {prefix, [{}, [reverse]]}]],
             tsunami:delete(T)
     end || Kind <- [set, bag, duplicate_bag]].

tables_that_are_not_there_or_not_ours_are_refused_test() ->
    Calls = [{range, [first, last]}, {range, [first, last, [reverse]]}, {prefix, [<<>>]}, {prefix, [[], []]}, {explain, [[{'_', [], [true]}]]},
             {range, [x, last]}, {prefix, [x]}],
    T = filled(),
    true = tsunami:delete(T),
    Me = self(),
    {Owner, Ref} = spawn_monitor(fun() -> Me ! {private, tsunami:new(t, [ordered_set, private])}, receive stop -> ok end end),
    Private = receive {private, P} -> P end,
    [begin
         ?assertEqual([{1, "the table identifier does not refer to an existing ETS table"}], problems(F, [Gone | Args])),
         ?assertEqual([{1, "not an atom or a table identifier"}], problems(F, ["x" | Args])),
         ?assertEqual([{1, "the table identifier refers to an ETS table with insufficient access rights"}], problems(F, [Private | Args]))
     end || {F, Args} <- Calls, Gone <- [T, tsunami_x_nobody]],
    Owner ! stop,
    receive {'DOWN', Ref, _, _, _} -> ok end.

%% More sizes than are gone through at once: some have what is looked for, some only what is before it or behind.
tuples_of_many_sizes_are_found_by_their_prefix_test() ->
    rand:seed(exsss, tsunami_test:seed()),
    Firsts = [pick([[0], [2], [0, 2], [1], [0, 1, 2]]) || _ <- lists:seq(1, 700)],
    Keys = [erlang:make_tuple(Size, 0, [{1, First}]) || {Size, Of} <- lists:zip(lists:seq(1, 700), pick([Firsts, [[0] || _ <- Firsts], [[2] || _ <- Firsts]])),
                                                       First <- Of],
    T = tsunami:new(t, [ordered_set]),
    true = tsunami:insert(T, [{Key} || Key <- Keys]),
    In = [{Key} || Key <- Keys, element(1, Key) =:= 1],
    with_options({prefix, T, [{1}]}, In),
    ?assertEqual(In, tsunami_x:prefix(T, {1})),
    ?assertEqual(lists:reverse(In), tsunami_x:prefix(T, {1}, [reverse])),
    ?assertEqual(In, tsunami:select(T, [{'_', [{'==', {element, 1, {element, 1, '$_'}}, 1.0}], ['$_']}])),
    tsunami:delete(T).

made_up_continuations_are_refused_test() ->
    T = filled(),
    {_, {Tid, Cursor, <<>>, 2, {Ms, From, To}, [], 0, 0}} = tsunami_x:range(T, {ge, 2}, {le, 7}, [{limit, 2}]),
    [?assertMatch([{1, "invalid continuation"}], problems(range, [C]))
     || C <- [a, {}, [], {Tid}, {Tid, Cursor, <<>>, 2, {Ms}, [], 0, 0}, {Tid, Cursor, <<>>, 2, {make_ref(), From, To}, [], 0, 0},
              {Tid, Cursor, <<>>, 2, {Ms, 1, To}, [], 0, 0}, {Tid, Cursor, <<>>, 2, {Ms, {ge}, To}, [], 0, 0}, {Tid, Cursor, <<>>, 2, {Ms, a}, [], 0, 0},
              {Tid, Cursor, <<>>, 2, {Ms, From, To, x}, [], 0, 0}, {Tid, <<1:64/little>>, <<>>, 2, {Ms, From, To}, [], 0, 0},
              {Tid, done, <<>>, 2, {x, From, To}, [], 0, 0}, {Tid, <<0:64, 160>>, <<>>, 2, {Ms, {}}, [], 0, 0}]],
    %% Somebody else's place is a place.
    {_, {_, Other, <<>>, 3, _, [], 0, 0}} = tsunami_x:range(T, first, last, [{limit, 3}]),
    ?assertMatch({[{4, 4}, {5, 5}], _}, tsunami_x:range({Tid, Other, <<>>, 2, {Ms, From, To}, [], 0, 0})),
    tsunami:delete(T).
