%% Searches of tables by match specifications, beside ets: all kinds of table, all functions, plans and chunks.
%%
%% What a specification means is held against ets in tsunami_match_tests.erl; here it is where the library looks, and what it
%% does with what it finds.
-module(tsunami_select_tests).

-include_lib("eunit/include/eunit.hrl").

-export([random_case/1, random_case/3, difference/1, difference/2, on_ets_alone/1, leaves/2]).       %% for tsunami_spec_campaign

-define(KINDS, [set, ordered_set, bag, duplicate_bag]).

%% ---- Random specifications on random tables ----

random_searches_answer_as_those_of_ets_test_() ->
    {timeout, 300, fun() -> random(search, 1500) end}.

random_changes_leave_what_they_leave_in_ets_test_() ->
    {timeout, 300, fun() -> random(change, 1500) end}.

random(What, Rounds) ->
    rand:seed(exsss, tsunami_test:seed()),
    [begin
         Case = random_case(What),
         case difference(Case) of
             none -> ok;
             Difference -> error({Case, Difference})
         end
     end || _ <- lists:seq(1, Rounds * list_to_integer(os:getenv("TSU_ROUNDS", "100")) div 100 + 1)],
    ok.

%% What a campaign holds ets itself against where it differs.
the_model_answers_as_ets_test_() ->
    {timeout, 300, fun() ->
        rand:seed(exsss, {1, 2, 3}),
        [begin
             #{kind := Kind, keypos := KeyPos, objects := Objects} = Case = random_case(pick([search, change])),
             Tables = [{M, M:new(t, [Kind, {keypos, KeyPos}])} || M <- [ets, tsunami_spec_model]],
             [true = ets:insert(T, O) || {_, T} <- Tables, O <- Objects],
             ?assertEqual({Case, none}, {Case, first_different(Kind, calls(Case), hd(Tables), lists:last(Tables))}),
             [ets:delete(T) || {_, T} <- Tables]
         end || _ <- lists:seq(1, 2000)]
    end}.

a_fault_of_ets_is_told_from_one_of_tsunami_test() ->
    Search = #{kind => set, keypos => 1, objects => [{I} || I <- [1, 2]], limit => 1, call => search,
               spec => [{{1}, [], ['$_']}, {{2}, [], ['$_']}]},
    ?assertEqual(none, difference(Search)),
    ?assertEqual(none, difference(Search, tsunami_spec_model)),
    tsunami_faulty:fault(missed),
    try ?assertMatch({select, [{1}], [{1}, {2}]}, difference(Search, tsunami_faulty))
    after tsunami_faulty:fault(none)
    end.

%% A table and a specification; tsunami_spec_campaign makes them smaller when they differ.
random_case(What) -> random_case(What, fun object/1, fun(KeyPos, _) -> spec(KeyPos) end).

random_case(What, Object, Spec) ->
    KeyPos = 1 + upto(1),
    Objects = [Object(KeyPos) || _ <- lists:seq(1, upto(40))],
    #{kind => pick(?KINDS), keypos => KeyPos, objects => Objects, limit => 1 + upto(5), spec => Spec(KeyPos, Objects),
      call => case What of search -> search; change -> pick([select_delete, match_delete, select_replace]) end}.

difference(Case) -> difference(Case, ets).

%% `none`, or {What, Answer of that module, Answer of tsunami}.
difference(#{kind := Kind, keypos := KeyPos, objects := Objects} = Case, Other) ->
    E = Other:new(e, [Kind, {keypos, KeyPos}]),
    T = tsunami:new(t, [Kind, {keypos, KeyPos}]),
    %% One by one: ets puts a list into a bag in reverse.
    [begin Other:insert(E, O), tsunami:insert(T, O) end || O <- Objects],
    try first_different(Kind, calls(Case), {Other, E}, {tsunami, T})
    after
        Other:delete(E),
        tsunami:delete(T)
    end.

on_ets_alone(#{kind := Kind, keypos := KeyPos, objects := Objects} = Case) ->
    E = ets:new(e, [Kind, {keypos, KeyPos}]),
    [ets:insert(E, O) || O <- Objects],
    [answer(Kind, F, ets, E) || {_, F} <- calls(Case)],
    ets:delete(E).

first_different(_Kind, [], _, _) ->
    none;
first_different(Kind, [{What, F} | Calls], {M1, T1}, {M2, T2}) ->
    case {answer(Kind, F, M1, T1), answer(Kind, F, M2, T2)} of
        {A, A} -> first_different(Kind, Calls, {M1, T1}, {M2, T2});
        {A, B} -> {What, shown(A), shown(B)}
    end.

calls(#{call := search, spec := Spec, limit := Limit}) ->
    Pattern = element(1, hd(Spec)),
    [{select, fun(M, Tab) -> M:select(Tab, Spec) end},
     {select_reverse, fun(M, Tab) -> M:select_reverse(Tab, Spec) end},
     {select_count, fun(M, Tab) -> M:select_count(Tab, Spec) end},
     {{select, Limit}, fun(M, Tab) -> chunks(M, select, M:select(Tab, Spec, Limit), Limit) end},
     {{select_reverse, Limit}, fun(M, Tab) -> chunks(M, select_reverse, M:select_reverse(Tab, Spec, Limit), Limit) end},
     {match, fun(M, Tab) -> M:match(Tab, Pattern) end},
     {match_object, fun(M, Tab) -> M:match_object(Tab, Pattern) end},
     {{match, Limit}, fun(M, Tab) -> chunks(M, match, M:match(Tab, Pattern, Limit), Limit) end}];
calls(#{call := match_delete, spec := Spec} = Case) ->
    [{match_delete, fun(M, Tab) -> M:match_delete(Tab, element(1, hd(Spec))) end} | contents(Case)];
calls(#{call := Call, spec := Spec} = Case) ->
    [{Call, fun(M, Tab) -> M:Call(Tab, changing(Call, Spec, Case)) end} | contents(Case)].

contents(#{keypos := KeyPos, objects := Objects}) ->
    [{tab2list, fun(M, Tab) -> M:tab2list(Tab) end}, {size, fun(M, Tab) -> M:info(Tab, size) end}]
        ++ [{{lookup, K}, fun(M, Tab) -> {in_order, M:lookup(Tab, K)} end} || K <- lists:usort([element(KeyPos, O) || O <- Objects])].

%% Most specifications make what is no `true` and no object with that key.
changing(select_delete, Spec, _) -> [{H, G, case erlang:phash2(B, 3) of 0 -> B; _ -> [true] end} || {H, G, B} <- Spec];
changing(select_replace, Spec, #{keypos := KeyPos}) ->
    [{H, G, [case erlang:phash2({H, G, B}, 2) of 0 -> '$_'; 1 -> replacement(H, KeyPos) end]} || {H, G, B} <- Spec].

replacement(Head, KeyPos) when is_tuple(Head), tuple_size(Head) >= KeyPos ->
    {list_to_tuple([if I =:= KeyPos -> expression(element(I, Head)); true -> element(1 + erlang:phash2({I, Head}, 3), {new, {element, 1, '$_'}, 7}) end
                    || I <- lists:seq(1, tuple_size(Head))])};
replacement(_, KeyPos) ->
    {setelement(KeyPos, {new, 1}, {element, KeyPos, '$_'})}.

expression(T) when is_tuple(T) -> {list_to_tuple([expression(X) || X <- tuple_to_list(T)])};
expression(T) -> T.

chunks(_, _, '$end_of_table', _) ->
    [];
chunks(M, F, {List, Next}, Limit) ->
    true = length(List) =< Limit,
    true = List =/= [],
    Next =:= '$end_of_table' orelse (true = length(List) =:= Limit),
    List ++ chunks(M, F, M:F(Next), Limit).

shown([B | _] = L) when is_binary(B) -> [try binary_to_term(X) catch error:badarg -> X end || X <- L];
shown(Other) -> Other.

%% Equal but for the order that is nobody's.
answer(Kind, F, M, Tab) ->
    try F(M, Tab) of
        {in_order, List} -> [bytes(X) || X <- List];
        List when is_list(List), Kind =/= ordered_set -> lists:sort([bytes(X) || X <- List]);
        List when is_list(List) -> [bytes(X) || X <- List];
        Other -> Other
    catch
        error:Reason -> {error, Reason}
    end.

%% 1 is not 1.0, but before OTP 27 0.0 is -0.0, and keys in tables have no sign of their zeros. The bytes of a fun tell more than
%% which one it is.
bytes(T) ->
    Signs = list_to_integer(erlang:system_info(otp_release)) >= 27,
    term_to_binary(leaves(fun(F) when is_float(F), not Signs -> unsigned(F);
                             (F) when is_function(F) -> {'fun', [erlang:fun_info(F, I) || I <- [module, name, arity]]};
                             (L) -> L
                          end, T)).

unsigned(F) -> F + 0.0.

%% The term with each of its leaves made another.
leaves(F, [H | T]) -> [leaves(F, H) | leaves(F, T)];
leaves(F, T) when is_tuple(T) -> list_to_tuple(leaves(F, tuple_to_list(T)));
leaves(F, T) when is_map(T) -> maps:from_list([{leaves(F, K), leaves(F, V)} || {K, V} <- maps:to_list(T)]);
leaves(F, T) -> F(T).

object(1) -> list_to_tuple([key() | rest()]);
object(2) -> list_to_tuple([value(), key() | rest()]).

rest() -> [value() || _ <- lists:seq(1, pick([0, 1, 1, 1, 2]))].

key() ->
    case upto(9) of
        0 -> {upto(2), upto(2)};
        1 -> {upto(2), pick([a, b]), upto(2)};
        2 -> [upto(2), upto(2)];
        3 -> [upto(2) | pick([[], [a], b])];
        4 -> pick([1.0, 2.0, a, b, <<"ab">>, <<"abc">>, #{a => 1}, {#{a => 1}, 1}, [], {}]);
        _ -> upto(6)
    end.

value() -> pick([0, 1, 2, a, {1, b}, [1, 2], <<"x">>, 1.0]).

spec(KeyPos) -> [clause(KeyPos) || _ <- lists:seq(1, pick([1, 1, 1, 2, 3]))].

clause(KeyPos) ->
    Key = pick([key(), '$1', '$1', '_', pattern(key())]),
    Head = case upto(9) of
               0 -> pick(['_', '$1']);
               _ -> setelement(KeyPos, list_to_tuple([pick([value(), '_', '$2', '$3', '$3']) || _ <- lists:seq(1, pick([1, 2, 2, 2, 3, 3]) + KeyPos - 1)]), Key)
           end,
    Bound = [V || V <- ['$1', '$2', '$3'], occurs(V, Head)],
    {Head, [guard(KeyPos, Bound) || _ <- lists:seq(1, pick([0, 1, 1, 2]))],
     [pick([true, '$_', '$$', {{pick(Bound ++ [x]), y}}, pick(Bound ++ ['$_'])])]}.

pattern(T) when is_tuple(T), tuple_size(T) > 0 ->
    setelement(1 + upto(tuple_size(T) - 1), T, pick(['_', '$1', '$2']));
pattern([H | T]) -> pick([[H | '_'], [H | '$2'], ['$1' | T], [H, '_']]);
pattern(T) -> T.

occurs(V, V) -> true;
occurs(V, T) when is_tuple(T) -> occurs(V, tuple_to_list(T));
occurs(V, [H | T]) -> occurs(V, H) orelse occurs(V, T);
occurs(_, _) -> false.

guard(KeyPos, Bound) ->
    A = pick(Bound ++ ['$_' || Bound =:= []] ++ [{element, KeyPos, '$_'}]),
    C = case key() of
            K when is_tuple(K); is_map(K) -> {const, K};
            K -> K
        end,
    case upto(7) of
        0 -> {'orelse', {'=:=', A, C}, {'>', A, C}};
        1 -> {is_integer, A};
        2 -> {'andalso', {'>', A, upto(3)}, {'<', A, 3 + upto(3)}};
        _ ->
            Op = pick(['>', '<', '>=', '=<', '==', '=:=', '/=', '=/=']),
            case upto(1) of
                0 -> {Op, A, C};
                1 -> {Op, C, A}
            end
    end.

pick(L) -> lists:nth(rand:uniform(length(L)), L).
upto(N) -> rand:uniform(N + 1) - 1.

%% ---- Named cases ----

a_specification_is_refused_even_if_nothing_could_match_test_() ->
    [fun() ->
             T = tsunami:new(t, [Kind]),
             [?assertError(badarg, tsunami:select(T, Spec)) || Spec <- bad_specs()],
             [?assertError(badarg, tsunami:select_count(T, Spec)) || Spec <- bad_specs()],
             ?assertError(badarg, tsunami:select(T, [{'_', [], ['$_']}], 0)),
             ?assertError(badarg, tsunami:select(T, [{'_', [], ['$_']}], a)),
             tsunami:delete(T)
     end || Kind <- ?KINDS].

bad_specs() -> [foo, [foo], [{a, b}], [{'_', [], []}], [{{'$1'}, [{nope, '$1'}], [true]}], [{{'$1'}, [], ['$2']}],
                [{'_', [], [true]} | x]].

no_clause_finds_nothing_test() ->
    T = tsunami:new(t, []),
    true = tsunami:insert(T, {1}),
    ?assertEqual([], tsunami:select(T, [])),
    ?assertEqual(0, tsunami:select_count(T, [])),
    ?assertEqual('$end_of_table', tsunami:select(T, [], 1)),
    ?assertError(badarg, tsunami:match_spec_compile([])).

a_chunk_that_ends_with_the_table_has_a_continuation_to_its_end_test_() ->
    [fun() ->
             T = tsunami:new(t, [Kind]),
             true = tsunami:insert(T, [{I} || I <- lists:seq(1, 6)]),
             {L1, C1} = tsunami:select(T, [{{'$1'}, [], ['$1']}], 3),
             {L2, C2} = tsunami:select(C1),
             ?assertEqual([1, 2, 3, 4, 5, 6], lists:sort(L1 ++ L2)),
             ?assertEqual('$end_of_table', tsunami:select(C2)),
             ?assertMatch({L2, _}, tsunami:match_object(C1)),
             ?assertMatch({[4], '$end_of_table'}, tsunami:select(T, [{{4}, [], [4]}], 100)),
             tsunami:delete(T),
             ?assertError(badarg, tsunami:select(C1))
     end || Kind <- ?KINDS].

a_continuation_belongs_to_the_table_and_not_to_its_name_test() ->
    T = tsunami:new(tsunami_select_name, [named_table, ordered_set]),
    true = tsunami:insert(T, [{I} || I <- lists:seq(1, 6)]),
    {[{1}], C} = tsunami:select(T, [{'_', [], ['$_']}], 1),
    tsunami_select_other = tsunami:rename(T, tsunami_select_other),
    ?assertMatch({[{2}], _}, tsunami:select(C)),
    true = tsunami:delete(tsunami_select_other),
    T = tsunami:new(tsunami_select_name, [named_table, ordered_set]),
    ?assertError(badarg, tsunami:select(C)),
    true = tsunami:delete(T).

a_continuation_that_has_been_far_away_is_repaired_test_() ->
    [fun() ->
             T = tsunami:new(t, [Kind]),
             true = tsunami:insert(T, [{I} || I <- lists:seq(1, 6)]),
             Spec = [{{'$1'}, [], ['$1']}],
             {_, C} = tsunami:select(T, Spec, 2),
             Size = if Kind =:= ordered_set -> 8; true -> 6 end,
             At = if Kind =:= ordered_set -> 5; true -> 4 end,
             ?assertEqual(Size, tuple_size(C)),
             ?assert(tsunami:is_compiled_ms(element(At, C))),
             Broken = setelement(At, C, <<>>),
             ?assertError(badarg, tsunami:select(Broken)),
             ?assertEqual(tsunami:select(C), without_spec(At, tsunami:select(C), tsunami:select(tsunami:repair_continuation(Broken, Spec)))),
             ?assertEqual(C, tsunami:repair_continuation(C, Spec)),
             tsunami:delete(T)
     end || Kind <- ?KINDS].

%% The same but for the specification, which was compiled twice.
without_spec(At, {_, C}, {List, D}) -> {List, setelement(At, D, element(At, C))}.

made_up_continuations_are_refused_test() ->
    T = tsunami:new(t, []),
    true = tsunami:insert(T, [{I} || I <- lists:seq(1, 6)]),
    {_, {Tid, Cursor, 2, Ms, [], 0}} = tsunami:select(T, [{{'$1'}, [], ['$1']}], 2),
    [?assertError(badarg, tsunami:select(C))
     || C <- [{}, {Tid}, a, 1, [], {Tid, <<>>, 2, Ms, [], 0}, {Tid, <<1:64/little>>, 2, Ms, [], 0}, {Tid, <<0:64, 255>>, 2, Ms, [], 0},
              {Tid, Cursor, 0, Ms, [], 0}, {Tid, Cursor, a, Ms, [], 0}, {Tid, Cursor, 2, [], [], 0}, {Tid, Cursor, 2, Ms, [a], 0},
              {Tid, Cursor, 2, make_ref(), [], 0}, {Tid, done, 2, <<>>, [], 0}, {Tid, 7, 2, Ms, [], 0},
              {Tid, Cursor, <<>>, 2, Ms, [], 0, 7}, {make_ref(), Cursor, 2, Ms, [], 0}, {Tid, Cursor, 2, Ms, [a | b], 1}]].

%% A cursor has keys as the library has them, where other bytes may be the number of an atom that is not there.
cursors_with_other_bytes_are_refused_test_() ->
    [fun() ->
             T = tsunami:new(t, [Kind]),
             true = tsunami:insert(T, [{{K, I}, I} || K <- [a, b, "c", <<"d">>, self(), make_ref(), fun lists:map/2, #{a => b}], I <- [e, 2]]),
             {_, C} = tsunami:select(T, [{'_', [], ['$_']}], 9),
             Cursor = element(2, C),
             ?assertEqual(16, length(tsunami:tab2list(T))),
             ?assertMatch({[_ | _], '$end_of_table'}, tsunami:select(C)),
             [?assertError(badarg, tsunami:select(setelement(2, C, binary:part(Cursor, 0, Size)))) || Size <- lists:seq(0, byte_size(Cursor) - 1)],
             [begin
                  <<Before:At/binary, Byte, Behind/binary>> = Cursor,
                  ?assertError(badarg, tsunami:select(setelement(2, C, <<Before/binary, (Byte bxor Bits), Behind/binary>>)))
              end || At <- lists:seq(0, byte_size(Cursor) - 1), Bits <- [1, 128, 255]],
             tsunami:delete(T)
     end || Kind <- [set, ordered_set]].

what_is_there_throughout_is_in_exactly_one_chunk_test_() ->
    [{timeout, 60, fun() ->
             T = tsunami:new(t, [Kind, public]),
             Stay = lists:seq(1, 4000, 2),
             true = tsunami:insert(T, [{I} || I <- Stay]),
             Writer = spawn_link(fun() -> churn(T) end),
             [begin
                  L = [I || I <- chunks(tsunami, select, tsunami:select(T, [{{'$1'}, [], ['$1']}], 7), 7), I rem 2 =:= 1],
                  ?assertEqual(Stay, lists:sort(L))
              end || _ <- lists:seq(1, 10)],
             unlink(Writer),
             Ref = monitor(process, Writer),
             exit(Writer, kill),
             receive {'DOWN', Ref, _, _, _} -> tsunami:delete(T) end
     end} || Kind <- ?KINDS].

churn(T) ->
    I = 2 * rand:uniform(2000),
    true = tsunami:insert(T, {I}),
    true = tsunami:delete(T, 2 * rand:uniform(2000)),
    churn(T).

concurrent_replacements_lose_no_increment_test_() ->
    [{timeout, 60, fun() ->
             T = tsunami:new(t, [Kind, public]),
             true = tsunami:insert(T, [{I, 0} || I <- lists:seq(1, 10)]),
             Spec = [{{'$1', '$2'}, [], [{{'$1', {'+', '$2', 1}}}]}],
             Pids = [spawn_monitor(fun() -> [10 = tsunami:select_replace(T, Spec) || _ <- lists:seq(1, 500)] end)
                     || _ <- lists:seq(1, 4)],
             [receive {'DOWN', R, _, _, Why} -> ?assertEqual(normal, Why) end || {_, R} <- Pids],
             ?assertEqual([{I, 2000} || I <- lists:seq(1, 10)], lists:sort(tsunami:tab2list(T))),
             tsunami:delete(T)
     end} || Kind <- [set, ordered_set, duplicate_bag]].

concurrent_deletions_count_each_object_once_test_() ->
    [{timeout, 60, fun() ->
             T = tsunami:new(t, [Kind, public]),
             true = tsunami:insert(T, [{I rem 1000, I} || I <- lists:seq(1, 20000)]),
             Size = tsunami:info(T, size),
             Self = self(),
             Pids = [spawn_link(fun() -> Self ! {self(), tsunami:select_delete(T, [{{'_', '$1'}, [{'=/=', {'rem', '$1', 3}, 0}], [true]}])} end)
                     || _ <- lists:seq(1, 4)],
             Gone = lists:sum([receive {P, N} -> N end || P <- Pids]),
             ?assertEqual(Size - Gone, tsunami:info(T, size)),
             ?assertEqual(Size - Gone, length(tsunami:tab2list(T))),
             ?assertEqual([], [O || {_, I} = O <- tsunami:tab2list(T), I rem 3 =/= 0]),
             tsunami:delete(T)
     end} || Kind <- ?KINDS].

%% ---- A key with very many objects ----

-define(MANY, 3000).

a_key_with_many_objects_is_searched_as_ets_does_it_test_() ->
    [{timeout, 60, fun() ->
             Objects = [{k, I, x} || I <- lists:seq(1, ?MANY)] ++ [{I, I} || I <- lists:seq(1, 100)],
             [?assertEqual(none, difference(#{kind => Kind, keypos => 1, objects => Objects, spec => Spec, call => Call, limit => Limit}))
              || Spec <- [[{{k, '$1', x}, [{'>', '$1', ?MANY div 2}], ['$1']}], [{{k, '$1', '$2'}, [{'<', '$1', 100}], [{{k, '$2', '$1'}}]}],
                          [{'_', [], [true]}], [{{k, '_', y}, [], [true]}], [{{7, '_'}, [], ['$_']}, {{k, '$1', '_'}, [{'<', '$1', 5}], ['$_']}]],
                 {Call, Limit} <- [{search, 700}, {search, ?MANY}, {select_delete, 1}, {match_delete, 1}, {select_replace, 1}]]
     end} || Kind <- [bag, duplicate_bag]].

with_many(Kind, N, Fun) ->
    T = tsunami:new(t, [Kind, public]),
    true = tsunami:insert(T, [{k, I} || I <- lists:seq(1, N)]),
    Fun(T),
    tsunami:delete(T).

a_key_with_many_objects_is_seen_as_at_one_moment_test_() ->
    [{timeout, 120, fun() ->
             with_many(Kind, 60000, fun(T) ->
                     Writer = spawn_link(fun() -> come_and_go(T) end),
                     [begin
                          N = F(),
                          ?assert(N =:= 60000 orelse N =:= 60001)
                      end || _ <- lists:seq(1, 10),
                             F <- [fun() -> tsunami:select_count(T, [{{'_', '_'}, [], [true]}]) end,
                                   fun() -> length(tsunami:select(T, [{{k, '$1'}, [], ['$1']}])) end,
                                   fun() -> length(chunks(tsunami, select, tsunami:select(T, [{{'_', '$1'}, [], ['$1']}], 1000), 1000)) end,
                                   fun() -> length(tsunami:tab2list(T)) end]],
                     unlink(Writer),
                     tsunami_test:stop(Writer)
             end)
     end} || Kind <- [bag, duplicate_bag]].

come_and_go(T) ->
    true = tsunami:insert(T, {k, new}),
    erlang:yield(),
    true = tsunami:delete_object(T, {k, new}),
    come_and_go(T).

a_change_of_a_key_with_many_objects_loses_nothing_test_() ->
    [{timeout, 120, fun() ->
             with_many(Kind, 40000, fun(T) ->
                     Writer = spawn_link(fun() -> [begin true = tsunami:insert(T, {k, {new, I}}), erlang:yield() end || I <- lists:seq(1, 200)] end),
                     Ref = monitor(process, Writer),
                     ?assertEqual(20000, lists:sum([tsunami:select_delete(T, [{{k, '$1'}, [{'=<', '$1', 2000 * I}], [true]}]) || I <- lists:seq(1, 10)])),
                     Kind =:= bag orelse ?assertEqual(20000, tsunami:select_replace(T, [{{k, '$1'}, [{is_integer, '$1'}], [{{k, {{'$1', 1}}}}]}])),
                     receive {'DOWN', Ref, _, _, Why} -> ?assertEqual(normal, Why) end,
                     ?assertEqual(20200, tsunami:info(T, size)),
                     ?assertEqual(20200, length(tsunami:lookup(T, k)))
             end)
     end} || Kind <- [bag, duplicate_bag]].

who_is_killed_while_changing_many_objects_has_changed_all_or_none_test_() ->
    {timeout, 120, fun() ->
             tsunami_nif:sync(),
             [with_many(duplicate_bag, 50000, fun(T) ->
                      Pid = spawn(fun() -> tsunami:select_replace(T, [{{k, '$1'}, [], [{{k, x}}]}]) end),
                      timer:sleep(rand:uniform(20) - 1),
                      tsunami_test:stop(Pid),
                      ?assert(lists:member(tsunami:select_count(T, [{{k, x}, [], [true]}]), [0, 50000])),
                      ?assertEqual(50000, length(tsunami:lookup(T, k)))
              end) || _ <- lists:seq(1, 10)]
     end}.

%% ---- All ----

deleting_all_counts_each_object_once_test_() ->
    [{timeout, 60, fun() ->
             T = tsunami:new(t, [Kind, public]),
             All = [{'_', [], [true]}],
             true = tsunami:insert(T, [{I} || I <- lists:seq(1, 1000)]),
             ?assertEqual(1000, tsunami:select_delete(T, All)),
             ?assertEqual(0, tsunami:select_delete(T, All)),
             Self = self(),
             Writers = [spawn_link(fun() -> [true = tsunami:insert(T, {{P, I}}) || I <- lists:seq(1, 20000)], Self ! {self(), 0} end) || P <- [1, 2]],
             Deleters = [spawn_link(fun() -> Self ! {self(), deleted(T, All, 0)} end) || _ <- [1, 2]],
             [receive {W, 0} -> ok end || W <- Writers],
             [D ! stop || D <- Deleters],
             Gone = lists:sum([receive {D, N} -> N end || D <- Deleters]),
             ?assertEqual(40000, Gone + tsunami:info(T, size)),
             ?assertEqual(tsunami:info(T, size), length(tsunami:tab2list(T))),
             tsunami:delete(T)
     end} || Kind <- ?KINDS].

deleted(T, Spec, N) ->
    M = tsunami:select_delete(T, Spec),
    receive stop -> N + M
    after 1 -> deleted(T, Spec, N + M)
    end.

deleting_all_of_a_fixed_table_leaves_its_keys_to_a_traversal_test_() ->
    [fun() ->
             T = tsunami:new(t, [Kind]),
             true = tsunami:insert(T, [{I} || I <- lists:seq(1, 500)]),
             true = tsunami:safe_fixtable(T, true),
             First = tsunami:first(T),
             true = tsunami:match_delete(T, '_'),
             ?assertEqual('$end_of_table', tsunami:next(T, First)),
             true = tsunami:insert(T, {new}),
             ?assertEqual([{new}], tsunami:tab2list(T)),
             tsunami:delete(T)
     end || Kind <- ?KINDS].

results_outlive_the_objects_they_come_from_test() ->
    T = tsunami:new(t, [ordered_set]),
    Bin = binary:copy(<<"0123456789">>, 200),
    true = tsunami:insert(T, [{I, Bin, #{I => Bin}, make_ref()} || I <- lists:seq(1, 50)]),
    L = tsunami:select(T, [{{'$1', '$2', '$3', '_'}, [], [#{'$1' => {{'$2', '$3'}}}]}]),
    true = tsunami:delete(T),
    tsunami_nif:sync(),
    garbage_collect(),
    ?assertEqual([#{I => {Bin, #{I => Bin}}} || I <- lists:seq(1, 50)], L).

references_and_large_binaries_are_kept_by_a_replacement_test_() ->
    [fun() ->
             T = tsunami:new(t, [Kind]),
             Counter = atomics:new(1, []),
             Bin = binary:copy(<<"0123456789">>, 200),
             true = tsunami:insert(T, [{I, Counter, Bin} || I <- lists:seq(1, 20)]),
             20 = tsunami:select_replace(T, [{{'$1', '$2', '$3'}, [], [{{'$1', '$3', '$2', x}}]}]),
             ?assertEqual([{I, Bin, Counter, x} || I <- lists:seq(1, 20)], lists:sort(tsunami:tab2list(T))),
             tsunami:delete(T)
     end || Kind <- [set, ordered_set, duplicate_bag]].

a_range_of_an_ordered_set_is_a_range_of_its_search_test() ->
    T = tsunami:new(t, [ordered_set]),
    true = tsunami:insert(T, [{I, I rem 7} || I <- lists:seq(1, 200000)]),
    Spec = [{{'$1', '_'}, [{'>=', '$1', 1000}, {'<', '$1', 1100}], ['$1']}],
    ?assertEqual(lists:seq(1000, 1099), tsunami:select(T, Spec)),
    ?assertEqual(lists:seq(1099, 1000, -1), tsunami:select_reverse(T, Spec)),
    Two = [{{'$1', '_'}, [{'<', '$1', 3}], ['$1']}, {{'$1', '_'}, [{'>', '$1', 199998}], ['$1']}, {{70000, '_'}, [], [seventy]}],
    ?assertEqual([1, 2, seventy, 199999, 200000], tsunami:select(T, Two)),
    ?assertEqual([200000, 199999, seventy, 2, 1], tsunami:select_reverse(T, Two)),
    ?assertEqual([], tsunami:select(T, [{{'$1', '_'}, [{'>', '$1', 5}, {'<', '$1', 5}], ['$1']}])),
    tsunami:delete(T).

%% ---- The face ----

%% What ets of OTP 28 exports.
every_function_of_ets_is_there_test() ->
    Wanted = [{all, 0}, {delete, 1}, {delete, 2}, {delete_all_objects, 1}, {delete_object, 2}, {file2tab, 1}, {file2tab, 2}, {first, 1},
              {first_lookup, 1}, {foldl, 3}, {foldr, 3}, {from_dets, 2}, {fun2ms, 1}, {give_away, 3}, {i, 0}, {i, 1}, {i, 2}, {i, 3}, {info, 1},
              {info, 2}, {init_table, 2}, {insert, 2}, {insert_new, 2}, {internal_delete_all, 2}, {internal_request_all, 0},
              {internal_select_delete, 2}, {is_compiled_ms, 1}, {last, 1}, {last_lookup, 1}, {lookup, 2}, {lookup_element, 3},
              {lookup_element, 4}, {match, 1}, {match, 2}, {match, 3}, {match_delete, 2}, {match_object, 1}, {match_object, 2},
              {match_object, 3}, {match_spec_compile, 1}, {match_spec_run, 2}, {match_spec_run_r, 3}, {member, 2}, {module_info, 0},
              {module_info, 1}, {new, 2}, {next, 2}, {next_lookup, 2}, {prev, 2}, {prev_lookup, 2}, {rename, 2}, {repair_continuation, 2},
              {safe_fixtable, 2}, {select, 1}, {select, 2}, {select, 3}, {select_count, 2}, {select_delete, 2}, {select_replace, 2},
              {select_reverse, 1}, {select_reverse, 2}, {select_reverse, 3}, {setopts, 2}, {slot, 2}, {tab2file, 2}, {tab2file, 3},
              {tab2list, 1}, {tabfile_info, 1}, {table, 1}, {table, 2}, {take, 2}, {test_ms, 2}, {to_dets, 2}, {update_counter, 3},
              {update_counter, 4}, {update_element, 3}, {update_element, 4}, {whereis, 1}],
    ?assertEqual(Wanted, lists:sort(tsunami:module_info(exports))),
    ?assertEqual([], ets:module_info(exports) -- Wanted).

a_compiled_specification_runs_on_lists_test() ->
    Spec = [{{'$1', '$2'}, [{'>', '$2', 1}], ['$1']}, {'$1', [{is_atom, '$1'}], [{{atom, '$1'}}]}],
    List = [{a, 1}, {b, 2}, c, {d}, {e, 3}, 7],
    Compiled = tsunami:match_spec_compile(Spec),
    ?assert(tsunami:is_compiled_ms(Compiled)),
    ?assertEqual(ets:match_spec_run(List, ets:match_spec_compile(Spec)), tsunami:match_spec_run(List, Compiled)),
    ?assertEqual([2, 1, x], tsunami:match_spec_run_r([{1, 2}, {2, 2}], tsunami:match_spec_compile([{{'$1', '_'}, [], ['$1']}]), [x])),
    [?assertError(badarg, tsunami:match_spec_run(L, C)) || {L, C} <- [{a, Compiled}, {[{a, 1} | b], Compiled}, {[{a}], <<>>}, {[{a}], make_ref()}]],
    Large = [{I, I} || I <- lists:seq(1, 200000)],
    ?assertEqual(199999, length(tsunami:match_spec_run(Large, Compiled))).

%% Specifications that are kept for the next call once were resources, and these kept the library.
the_library_is_unloaded_though_a_specification_is_kept_test_() ->
    {timeout, 60, fun() ->
             Program = "Tasks = fun() -> {ok, L} = file:list_dir(\"/proc/self/task\"), length(L) end, Before = Tasks(), "
                       "{P, R} = spawn_monitor(fun() -> tsunami_nif:compile([{'_', [], [true]}]) end), receive {'DOWN', R, _, P, _} -> ok end, "
                       "Loaded = Tasks(), code:delete(tsunami_nif), code:purge(tsunami_nif), "
                       "Wait = fun Wait(N) when N > 0 -> case Tasks() of Before -> unloaded; _ -> timer:sleep(50), Wait(N - 1) end; Wait(0) -> kept end, "
                       "io:format(\"~p\", [{Loaded > Before, Wait(200)}]), halt().",
             Erl = filename:join([code:root_dir(), "bin", "erl"]),
             Port = open_port({spawn_executable, Erl}, [{args, ["-noshell", "-pa", filename:dirname(code:which(tsunami)), "-eval", Program]},
                                                        exit_status, binary, stderr_to_stdout]),
             ?assertEqual(<<"{true,unloaded}">>, output(Port, <<>>))
     end}.

output(Port, Acc) ->
    receive
        {Port, {data, Data}} -> output(Port, <<Acc/binary, Data/binary>>);
        {Port, {exit_status, _}} -> Acc
    end.
