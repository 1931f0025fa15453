%% Views: tables as they were at one instant. What ets does not have.
-module(tsunami_snapshot_tests).
-include_lib("eunit/include/eunit.hrl").
-include_lib("stdlib/include/qlc.hrl").
-define(M, tsunami).
-define(X, tsunami_x).

kinds() -> tsunami_test:kinds().

keys() -> lists:seq(1, 40) ++ [a, {b, 1}, <<"c">>, "d", 1.5, <<0:8000>>].

filled(Kind) ->
    T = ?M:new(t, [Kind, public]),
    [?M:insert(T, {K, N}) || K <- keys(), N <- [1, 2]],
    [?M:insert(T, {{many, I}, I}) || I <- lists:seq(1, 300)],
    [?M:insert(T, {heap, I}) || I <- lists:seq(1, 1500)],
    T.

%% Writes all over it, so that it grows, shrinks, and loses all that it had.
upset(T) ->
    [?M:delete(T, K) || K <- lists:seq(1, 20)],
    [?M:insert(T, {K, changed}) || K <- keys()],
    ?M:insert(T, [{K, listed} || K <- keys()] ++ [{{new, I}, I} || I <- lists:seq(1, 5000)]),
    [?M:delete_object(T, {K, 2}) || K <- keys()],
    ?M:select_delete(T, [{{heap, '$1'}, [{'<', '$1', 200}], [true]}]),
    [?M:take(T, K) || K <- [a, heap, {b, 1}]],
    ?M:insert_new(T, [{{newer, I}, I} || I <- lists:seq(1, 100)]),
    ?M:match_delete(T, {{new, '_'}, '_'}),
    case ?M:info(T, type) of
        bag -> ok;
        _ -> ?M:select_replace(T, [{{'$1', listed}, [], [{{'$1', replaced}}]}])
    end,
    case ?M:info(T, type) of
        Bag when Bag =:= bag; Bag =:= duplicate_bag -> ok;
        _ -> [?M:update_counter(T, {c, I}, 1, {{c, I}, 0}) || I <- lists:seq(1, 50)],
             [?M:update_element(T, {many, I}, {2, updated}) || I <- lists:seq(1, 300)]
    end.

%% Every function that reads, and what it answers.
answers(T) ->
    All = [{'_', [], ['$_']}],
    Keys = keys() ++ [heap, {many, 17}, absent, {new, 1}, {c, 1}],
    Ordered = ?M:info(T, type) =:= ordered_set,
    Walked = walked(T, first, next),
    [Walked, walked(T, last, prev),
     looked(?M:first_lookup(T), T, next_lookup), looked(?M:last_lookup(T), T, prev_lookup),
     [{?M:lookup(T, K), ?M:member(T, K), catch element(1, {?M:lookup_element(T, K, 2)}), ?M:lookup_element(T, K, 2, none)}
      || K <- Keys, ?M:member(T, K)],
     [{?M:lookup(T, K), ?M:member(T, K), ?M:lookup_element(T, K, 2, none)} || K <- Keys],
     [outcome(fun() -> ?M:next(T, K) end) || K <- Keys],
     lists:sort(slots(T, 0)),
     ?M:select(T, All), ?M:select_reverse(T, All),
     ?M:select(T, [{{{many, '$1'}, '_'}, [{'<', '$1', 30}], ['$1']}]),
     ?M:select(T, [{{7, '_'}, [], ['$_']}]),
     chunks(?M:select(T, All, 7)), chunks(?M:select_reverse(T, All, 7)),
     ?M:select_count(T, [{'_', [], [true]}]), ?M:select_count(T, [{{'_', 2}, [], [true]}]),
     ?M:match(T, {'$1', 1}), ?M:match_object(T, {'_', 2}), matches(?M:match(T, {'$1', '$2'}, 11)),
     ?M:foldl(fun(O, A) -> [O | A] end, [], T), ?M:foldr(fun(O, A) -> [O | A] end, [], T),
     ?M:tab2list(T), ?M:info(T, size), proplists:get_value(size, ?M:info(T)), ?M:info(T, keypos), ?M:info(T, type),
     ?X:lookup_many(T, Keys), [outcome(fun() -> ?X:lookup_elements(T, K, [2, 1]) end) || K <- Keys],
     in_order(Ordered, qlc:e(qlc:q([O || O <- ?M:table(T)]))),
     qlc:e(qlc:q([O || {K, _} = O <- ?M:table(T), K =:= 7]))].

in_order(true, List) -> List;
in_order(false, List) -> lists:sort(List).

outcome(Fun) ->
    try Fun() catch Class:Reason -> {Class, Reason} end.

walked(T, First, Next) -> walked(T, Next, ?M:First(T), []).
walked(_, _, '$end_of_table', Acc) -> Acc;
walked(T, Next, Key, Acc) -> walked(T, Next, ?M:Next(T, Key), [Key | Acc]).

looked('$end_of_table', _, _) -> [];
looked({Key, Objects}, T, Next) -> [{Key, Objects} | looked(?M:Next(T, Key), T, Next)].

slots(T, I) ->
    case ?M:slot(T, I) of
        '$end_of_table' -> [];
        Objects -> Objects ++ slots(T, I + 1)
    end.

chunks('$end_of_table') -> [];
chunks({Objects, Continuation}) -> Objects ++ chunks(?M:select(Continuation)).

matches('$end_of_table') -> [];
matches({Objects, Continuation}) -> Objects ++ matches(?M:match(Continuation)).

every_reading_function_answers_from_a_view_as_it_answered_from_the_table_test_() ->
    [{atom_to_list(Kind),
      {timeout, 120,
       fun() ->
               T = filled(Kind),
               Then = answers(T),
               View = ?X:snapshot(T),
               same(Kind, Then, answers(View)),
               upset(T),
               same(Kind, Then, answers(View)),
               Now = answers(T),
               Later = ?X:snapshot(T),
               ?assertNot(Now =:= Then),
               ?M:delete_all_objects(T),
               upset(T),
               same(Kind, Then, answers(View)),
               same(Kind, Now, answers(Later)),
               ?assert(?X:release(View)),
               same(Kind, Now, answers(Later)),
               ?M:delete(T)
       end}} || Kind <- kinds()].

%% What has no order may be listed in another one.
same(Kind, Then, Now) ->
    [?assert(A =:= B orelse (Kind =/= ordered_set andalso is_list(A) andalso lists:sort(A) =:= lists:sort(B)))
     || {A, B} <- lists:zip(Then, Now)].

a_view_goes_into_a_file_test() ->
    tsunami_test:with_file(
      fun(File) ->
              T = filled(set),
              View = ?X:snapshot(T),
              Objects = lists:sort(?M:tab2list(T)),
              ?M:delete_all_objects(T),
              ok = ?M:tab2file(View, File),
              {ok, Copy} = ?M:file2tab(File),
              ?assertEqual(Objects, lists:sort(?M:tab2list(Copy)))
      end).

a_view_cannot_be_written_to_test() ->
    [begin
         T = filled(Kind),
         View = ?X:snapshot(T),
         Before = ?M:tab2list(T),
         [?assertMatch({badarg, [{?M, F, _, Info} | _]} when is_list(Info), failure(F, [View | Args]))
          || {F, Args} <- [{insert, [{1, 1}]}, {insert, [[{1, 1}, {2, 2}]]}, {insert_new, [{x, 1}]}, {insert_new, [[{x, 1}]]},
                           {delete, [1]}, {delete, []}, {delete_object, [{1, 1}]}, {delete_all_objects, []}, {take, [1]},
                           {update_counter, [1, 1]}, {update_counter, [1, 1, {1, 1}]}, {update_element, [1, {2, 1}]},
                           {match_delete, ['_']}, {select_delete, [[{'_', [], [true]}]]},
                           {select_replace, [[{{'$1', '_'}, [], [{{'$1', 1}}]}]]},
                           {rename, [other]}, {give_away, [self(), x]}, {setopts, [{protection, private}]}]],
         ?assertMatch({badarg, [{?M, insert, _, [_, _, {error_info, #{cause := view}}]} | _]}, failure(insert, [View, {1, 1}])),
         ?assertError(badarg, ?X:snapshot(View)),
         [?assertError(badarg, apply(?X, F, [View | Args])) || {F, Args} <- [{take_first, []}, {take_last, []}, {select_take, [[{'_', [], ['$_']}]]},
                                                                          {compare_and_swap, [1, [], []]}, {update, [1, fun(O) -> O end]}]],
         ?assert(?M:safe_fixtable(View, true)),
         ?assertEqual(false, ?M:info(View, fixed)),
         ?assert(?M:safe_fixtable(View, false)),
         ?assert(Before =:= ?M:tab2list(T)),
         same(Kind, [Before], [?M:tab2list(View)])
     end || Kind <- kinds()].

failure(F, Args) ->
    try apply(?M, F, Args) of Answer -> {answer, Answer} catch error:Reason:Stack -> {Reason, Stack} end.

%% Nor is the table's anchor.
an_heir_is_not_changed_by_a_view_test() ->
    [begin
         Self = self(),
         Owner = spawn(fun() ->
                               T = ?M:new(a_table_with_an_heir, [{heir, Self, kept} | Options]),
                               View = ?X:snapshot(T),
                               Self ! {T, [failure(setopts, [View, Option]) || Option <- [{heir, none}, [{heir, Self, changed}]]]},
                               receive stop -> ok end
                       end),
         {Table, Failures} = receive Told -> Told end,
         [?assertMatch({badarg, [{?M, setopts, _, [_, _, {error_info, #{cause := view}}]} | _]}, F) || F <- Failures],
         tsunami_test:stop(Owner),
         ?assertEqual({'ETS-TRANSFER', Table, Owner, kept}, receive Message -> Message after 2000 -> none end),
         ?M:delete(Table)
     end || Options <- [[], [named_table]]].

a_released_view_and_one_of_a_deleted_table_are_badarg_test() ->
    T = filled(set),
    [A, B, C] = [?X:snapshot(T) || _ <- "abc"],
    ?assert(?X:release(A)),
    ?assert(?X:release(A)),
    ?assertError(badarg, ?M:lookup(A, 1)),
    ?assertEqual(undefined, ?M:info(A)),
    ?assertEqual(undefined, ?M:info(A, size)),
    ?assertEqual([{1, 2}], ?M:lookup(B, 1)),
    ?M:delete(T),
    ?assertError(badarg, ?M:lookup(B, 1)),
    ?assertError(badarg, ?M:tab2list(B)),
    ?assertEqual(undefined, ?M:info(C, size)),
    ?assert(?X:release(C)),
    [?assertError(badarg, ?X:release(Wrong)) || Wrong <- [x, 1, T, make_ref(), self()]],
    [?assertError(badarg, ?X:snapshot(Wrong)) || Wrong <- [x, 1, T, make_ref(), self(), A]].

a_view_ends_with_the_owner_of_the_table_test() ->
    Self = self(),
    Owner = spawn(fun() ->
                          T = ?M:new(t, [public]),
                          ?M:insert(T, {1, 1}),
                          Self ! {view, ?X:snapshot(T)},
                          receive stop -> ok end
                  end),
    View = receive {view, V} -> V end,
    ?assertEqual([{1, 1}], ?M:lookup(View, 1)),
    tsunami_test:stop(Owner),
    ?assertError(badarg, ?M:lookup(View, 1)).

the_rights_to_a_view_are_those_to_the_table_test() ->
    T = ?M:new(t, [private]),
    ?M:insert(T, {1, 1}),
    View = ?X:snapshot(T),
    tsunami_test:in_process(fun() ->
                                    ?assertError(badarg, ?M:lookup(View, 1)),
                                    ?assertError(badarg, ?X:snapshot(T))
                            end),
    ?M:setopts(T, {protection, protected}),
    tsunami_test:in_process(fun() -> ?assertEqual([{1, 1}], ?M:lookup(View, 1)) end).

a_named_table_and_its_views_have_the_same_name_test() ->
    a_named_one = ?M:new(a_named_one, [named_table]),
    ?M:insert(a_named_one, {1, 1}),
    View = ?X:snapshot(a_named_one),
    ?M:delete(a_named_one, 1),
    ?assertEqual(a_named_one, ?M:info(View, name)),
    ?assertEqual(View, ?M:info(View, id)),
    ?assertEqual([{1, 1}], ?M:tab2list(View)),
    ?assertEqual([], ?M:tab2list(a_named_one)),
    ?M:delete(a_named_one).

%% Accounts keep their sum, whoever moves what between them; and a view has the same sum each time.
views_of_a_busy_table_show_one_instant_test_() ->
    [{atom_to_list(Kind),
      {timeout, 120,
       fun() ->
               T = ?M:new(t, [Kind, public]),
               ?M:insert(T, [{I, 100} || I <- lists:seq(1, 50)]),
               Movers = [spawn_link(fun() -> move(T, Lo, [100 || _ <- lists:seq(1, 10)]) end) || Lo <- [1, 11, 21, 31, 41]],
               Growers = [spawn_link(fun() -> grow(T, 0) end)],
               [begin
                    View = ?X:snapshot(T),
                    Sum = sum(View),
                    ?assertEqual(5000, Sum),
                    Objects = ?M:tab2list(View),
                    ?assertEqual(length(Objects), ?M:info(View, size)),
                    ?assert(lists:sort(Objects) =:= lists:sort(?M:select(View, [{'_', [], ['$_']}]))),
                    ?assert(Objects =:= ?M:tab2list(View)),
                    I rem 3 =:= 0 andalso ?X:release(View)
                end || I <- lists:seq(1, 150)],
               [begin unlink(P), tsunami_test:stop(P) end || P <- Movers ++ Growers]
       end}} || Kind <- [set, ordered_set]].

sum(View) -> lists:sum(?M:select(View, [{{'$1', '$2'}, [{is_integer, '$1'}], ['$2']}])).

move(T, Lo, Amounts) ->
    N = rand:uniform(10),
    Rest = rand:uniform(10),
    D = rand:uniform(5),
    case N of
        Rest -> move(T, Lo, Amounts);
        _ ->
            New = [case I of N -> A - D; Rest -> A + D; _ -> A end || {I, A} <- lists:zip(lists:seq(1, 10), Amounts)],
            ?M:insert(T, [{Lo + I - 1, lists:nth(I, New)} || I <- lists:sort([N, Rest])]),
            move(T, Lo, New)
    end.

grow(T, N) ->
    [?M:insert(T, {{g, I}, N}) || I <- lists:seq(1, 500)],
    [?M:delete(T, {g, I}) || I <- lists:seq(1, 500)],
    grow(T, N + 1).

%% A list is in a view with all of its objects, or with none; in bags too.
lists_are_in_a_view_as_a_whole_test_() ->
    [{atom_to_list(Kind),
      {timeout, 120,
       fun() ->
               T = ?M:new(t, [Kind, public]),
               Writer = spawn_link(fun() -> lists_in(T, 1) end),
               [begin
                    View = ?X:snapshot(T),
                    Counts = [length(?M:lookup(View, K)) || K <- lists:seq(1, 200)],
                    ?assertEqual(1, length(lists:usort(Counts))),
                    ?assertEqual(lists:sum(Counts), length(?M:tab2list(View))),
                    ?X:release(View)
                end || _ <- lists:seq(1, 200)],
               unlink(Writer),
               tsunami_test:stop(Writer)
       end}} || Kind <- kinds()].

lists_in(T, N) ->
    ?M:insert(T, [{K, N} || K <- lists:seq(1, 200)]),
    N rem 7 =:= 0 andalso ?M:delete_all_objects(T),
    lists_in(T, N + 1).

%% Killed while they take, read and hold views, and while they write: nothing is kept in the end.
views_of_killed_processes_leave_nothing_test_() ->
    {timeout, 120,
     fun() ->
             [begin
                  T = ?M:new(t, [Kind, public]),
                  tsunami_nif:sync(),
                  Empty = ?M:info(T, memory),
                  [begin
                       Pids = [spawn(fun() -> busy(T) end) || _ <- "abcd"],
                       timer:sleep(rand:uniform(8)),
                       [tsunami_test:stop(P) || P <- Pids]
                   end || _ <- lists:seq(1, 25)],
                  [?M:delete(T, K) || {K, _} <- ?M:tab2list(T)],
                  tsunami_test:wait_until(fun() ->
                                                  tsunami_nif:sync(),
                                                  ?M:info(T, size) =:= 0 andalso ?M:info(T, memory) < 2 * Empty + 1000
                                          end),
                  ?M:delete(T)
              end || Kind <- kinds()]
     end}.

busy(T) ->
    View = ?X:snapshot(T),
    Size = ?M:info(View, size),
    ?M:insert(T, [{I, Size} || I <- lists:seq(1, 300)]),
    [?M:insert(T, {I, x}) || I <- lists:seq(1, 100)],
    [?M:delete(T, I) || I <- lists:seq(50, 150)],
    Size = length(?M:tab2list(View)),
    rand:uniform(2) =:= 1 andalso ?X:release(View),
    busy(T).

%% What is kept counts as the table's memory, and goes with the view.
kept_objects_are_memory_of_the_table_test() ->
    [begin
         T = ?M:new(t, [Kind, public]),
         ?M:insert(T, [{I, binary:copy(<<"x">>, 50)} || I <- lists:seq(1, 1000)]),
         Full = ?M:info(T, memory),
         View = ?X:snapshot(T),
         [?M:delete(T, I) || I <- lists:seq(1, 1000)],
         ?assertEqual(0, ?M:info(T, size)),
         ?assert(?M:info(T, memory) > Full),
         ?X:release(View),
         tsunami_test:wait_until(fun() -> tsunami_nif:sync(), ?M:info(T, memory) < Full div 2 end),
         ?M:delete(T)
     end || Kind <- kinds()].

a_view_that_nobody_refers_to_goes_by_itself_test() ->
    T = ?M:new(t, [public]),
    ?M:insert(T, [{I, I} || I <- lists:seq(1, 1000)]),
    tsunami_test:in_process(fun() -> ?X:snapshot(T) end),
    [?M:insert(T, {I, -I}) || I <- lists:seq(1, 1000)],
    tsunami_test:wait_until(fun() ->
                                    tsunami_nif:sync(),
                                    A = ?M:info(T, memory),
                                    [?M:insert(T, {I, 0}) || I <- lists:seq(1, 1000)],
                                    A =:= ?M:info(T, memory)
                            end),
    ?M:delete(T).
