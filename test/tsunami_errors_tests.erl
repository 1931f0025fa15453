%% The same misuse of ets and of tsunami gives the same exception, and erl_error prints the same text for it.
-module(tsunami_errors_tests).
-include_lib("eunit/include/eunit.hrl").

%% Every function with every misuse; `T` in the arguments stands for a table as tables/1 makes them.
misuses() ->
    Bad = [{Function, [T | Rest]} || {Function, Rest} <- functions(), T <- [nonsense, plain_ref, nobody, dead_tid, foreign_private]],
    Write = [{Function, [foreign_protected | Rest]} || {Function, Rest} <- functions(), not lists:member(Function, [whereis])],
    Bad ++ Write ++
        [{new, Args} || Args <- [[1, []], ["t", []], [t, foo], [t, [foo]], [t, [set | foo]], [1, foo], [1, [set | foo]], [t, [{keypos, 0}]],
                                 [t, [{keypos, a}]], [t, [{heir, foo, x}]], [t, [{heir, self}]], [t, [{write_concurrency, 1}]],
                                 [t, [{decentralized_counters, 1}]], [t, [{read_concurrency, yes}]], [t, [{compressed, true}]],
                                 [taken, [named_table]], [t, [ordered_set, {write_concurrency, {debug_hash_fixed_number_of_locks, 64}}]]]]
        ++ [{whereis, [X]} || X <- [1, "x", []]]
        ++ [{rename, [T, Name]} || T <- [set, taken, nobody, nonsense], Name <- [1, [], "x"]] ++ [{rename, [named, taken]}, {rename, [named, named]}]
        ++ [{info, [set, X]} || X <- [foo, 1, []]] ++ [{info, [nonsense]}, {info, [plain_ref]}, {info, [nonsense, foo]}, {info, [nobody, foo]}]
        ++ [{setopts, [T, O]} || T <- [set, foreign_public, foreign_private, nobody, dead_tid, nonsense],
                                 O <- [foo, [foo], [{heir, none} | foo], {keypos, 2}, {heir, x, y}, [{protection, public}, {protection, private}], {protection, x}]]
        ++ [{setopts, [foreign_public, []]}, {setopts, [foreign_public, {heir, none}]}]
        ++ [{give_away, [T, P, gift]} || T <- [set, foreign_public, foreign_private, nobody, nonsense, dead_tid], P <- [self, dead_pid, not_a_pid, other]]
        ++ [{safe_fixtable, [T, X]} || T <- [set, ordered_set, nobody], X <- [foobar, 1]]
        ++ [{Insert, [T, O]} || Insert <- [insert, insert_new], T <- [set, ordered_set, bag, duplicate_bag, keypos2, nobody, foreign_protected],
                                O <- [{}, a, 1, [a], [{1}, a], [{1}, {}], [{1} | a], [[{1}]], #{}]]
        ++ [{Insert, [keypos2, O]} || Insert <- [insert, insert_new], O <- [{1}, [{1, 2}, {1}]]]
        ++ [{delete_object, [T, O]} || T <- [set, ordered_set, bag, keypos2, nobody], O <- [{}, a, [{1}]]] ++ [{delete_object, [keypos2, {1}]}]
        ++ [{lookup_element, [T, K, P]} || T <- [set, ordered_set, bag, nobody], K <- [1, absent], P <- [0, -1, a, 4, 1.0, 1 bsl 70]]
        ++ [{update_counter, [T, K, Ops]} || T <- [set, ordered_set, bag, keypos2, nobody, foreign_protected], K <- [1, absent], Ops <- counter_ops()]
        ++ [{update_counter, [T, K, Ops, D]} || T <- [set, ordered_set, bag, nobody], K <- [1, absent], Ops <- [{2, 1} | counter_ops()],
                                                D <- [{9, 1, 1}, {9, a, 1}, {9}, {}, a], fails(K, Ops, D)]
        ++ [{update_element, [T, K, S]} || T <- [set, ordered_set, bag, keypos2, nobody, foreign_protected], K <- [1], S <- element_specs()]
        ++ [{update_element, [bag, absent, {2, x}]}]
        ++ [{Next, [T, absent]} || Next <- [next, prev], T <- [set, bag, duplicate_bag]]
        ++ [{Next, [ordered_set, '$end_of_table']} || Next <- [next, prev]]
        ++ [{Select, [T, Spec]} || Select <- [select, select_reverse, select_count, select_replace], T <- [set, ordered_set, bag, nobody, nonsense],
                                   Spec <- [foo, [foo], [{a, b}], [{{'$1'}, [], ['$2']}], [{'_', [], []}], [{{'$1', '$2'}, [], [{{'$2', '$1'}}]} | x]]]
        ++ [{Select, [T, Spec, Limit]} || Select <- [select, select_reverse], T <- [set, ordered_set, nobody], Spec <- [foo, [{'_', [], ['$_']}]],
                                          Limit <- [0, a, -1, 1.0], {Spec, Limit} =/= {foo, 1}]
        ++ [{Match, [T, {'_'}, Limit]} || Match <- [match, match_object], T <- [set, nobody], Limit <- [0, a]]
        ++ [{Match, [T, {#{'$1' => a}}]} || Match <- [match, match_object], T <- [set, bag, nobody]]
        ++ [{select_replace, [T, [{{'$1', '$2', '_'}, [], [Body]}]]} || T <- [set, bag, keypos2], Body <- [{{'$2', '$1'}}, {{{'+', '$1', 0}, a}}, x, true]]
        ++ [{match_spec_compile, [X]} || X <- [a, [], [a]]]
        ++ [{slot, [T, I]} || T <- [set, ordered_set, bag], I <- [-1, 1 bsl 40, 1 bsl 70, a, 1.0]].

functions() ->
    [{insert, [{1, 1}]}, {insert, [[{1, 1}]]}, {insert, [[]]}, {insert_new, [{1, 1}]}, {insert_new, [[{7, 1}]]}, {lookup, [1]},
     {lookup_element, [1, 2]}, {member, [1]}, {delete, [1]}, {delete, []}, {delete_object, [{1, 1}]}, {delete_all_objects, []}, {take, [1]},
     {update_counter, [1, {2, 1}]}, {update_counter, [1, {2, 1}, {1, 1}]}, {update_element, [1, {2, 1}]}, {first, []}, {last, []}, {next, [1]}, {prev, [1]},
     {slot, [0]}, {safe_fixtable, [true]}, {rename, [other_name]}, {setopts, [[]]}, {setopts, [{heir, none}]}, {give_away, [self, gift]},
     {select, [[{'_', [], ['$_']}]]}, {select, [[{'_', [], ['$_']}], 1]}, {select_count, [[{'_', [], [true]}]]}, {select_reverse, [[]]},
     {select_replace, [[{{7, '_'}, [], ['$_']}]]}, {match, [{7, '_'}]}, {match, [{7, '_'}, 1]}, {match_object, [{7, '_'}]}, {tab2list, []}] ++ [{F, A} || {F, A} <- [{first_lookup, []}, {last_lookup, []}, {next_lookup, [1]}, {prev_lookup, [1]}, {lookup_element, [1, 2, d]},
                                              {update_element, [1, {2, 1}, {1, 1}]}], tsunami_test:has(F, length(A) + 1)].

counter_ops() ->
    [{1, 1}, {0, 1}, {3, 1}, {9, 1}, {2, a}, {2, 1.0}, {2, 1, 2}, {2, 1, a, 3}, {2, 1, 3, a}, a, [a], [{2, 1} | a], [{2, 1}, a], [{2, 1}, {1, 1}], [{2, 1}, {3, 1}],
     [{2, 1}, {9, 1}], {-1, 1}, {1 bsl 70, 1}, 1.0, {}, "x"].

element_specs() ->
    [{1, x}, {0, x}, {9, x}, {-1, x}, a, [a], [{2, x} | a], [{2, x}, a], [{2, x}, {1, y}], [{2, x}, {9, y}], {2, x, y}, {a, x}, {1 bsl 70, x}, {}].

%% Not a misuse: the key is there and the default of no interest, or the default is right.
%% (OTP 25's ets reads past the end of an empty default, and may take the VM down.)
fails(absent, _Ops, {}) -> false;
fails(absent, Ops, D) -> Ops =/= {2, 1} orelse D =/= {9, 1, 1};
fails(1, Ops, D) -> not is_tuple(D) orelse Ops =/= {2, 1}.

every_misuse_raises_what_ets_raises_test_() ->
    Mod = tsunami_test:module(),
    {timeout, 120, fun() ->
                           Differences = [{F, Args, A, B} || {F, Args} <- misuses(), {A, B} <- [{seen(ets, F, Args), seen(Mod, F, Args)}], A =/= B],
                           [tsunami_test:print("~n~p~p~n ets:~n~ts~n ~s:~n~ts~n", [F, Args, A, Mod, B]) || {F, Args, A, B} <- lists:sublist(Differences, 10)],
                           tsunami_test:print("~b misuses compared, ~b differ~n", [length(misuses()), length(Differences)]),
                           ?assertEqual(0, length(Differences))
                   end}.

%% The same stack of ets, put to both modules that make texts of it. (OTP 25's fails on improper lists, which counts as no text.)
the_texts_are_those_of_ets_test_() ->
    {timeout, 60, fun() -> [same_texts(F, Args) || {F, Args} <- misuses(), F =/= tab2list] end}.

same_texts(F, Args) ->
    Compared =
        tsunami_test:in_process(
          fun() ->
                  Tables = tables(ets),
                  Real = [maps:get(A, Tables, A) || A <- Args],
                  try apply(ets, F, Real) of
                      _ -> same
                  catch
                      error:Reason:Stack ->
                          {try erl_stdlib_errors:format_error(Reason, Stack) catch _:_ -> #{} end,
                           tsunami_errors:format_error(Reason, Stack)}
                  end
          end),
    case Compared of
        same -> ok;
        {Ets, Ours} -> ?assertEqual({F, Args, Ets}, {F, Args, Ours})
    end.

a_stack_without_arguments_has_no_text_test() ->
    ?assertEqual(#{}, tsunami_errors:format_error(badarg, [{tsunami, lookup, 2, []}])),
    ?assertEqual(#{}, tsunami_errors:format_error(system_limit, [{tsunami, new, [t, []], []}])).

%% What is printed up to the first caller; nothing that tells the one module from the other.
seen(Mod, F, Args) ->
    tsunami_test:in_process(
      fun() ->
              Tables = tables(Mod),
              Real = [maps:get(A, Tables, A) || A <- Args],
              Text = try apply(Mod, F, Real) of
                         Answer -> io_lib:format("no exception: ~p", [answer(F, Answer)])
                     catch
                         Class:Reason:Stack -> exception(F, Class, Reason, Stack)
                     end,
              unicode:characters_to_binary(anonymous(Mod, Text))
      end).

%% What depends on the order of a hash table.
answer(F, _Answer) when F =:= slot; F =:= select; F =:= match; F =:= first_lookup; F =:= last_lookup; F =:= next_lookup; F =:= prev_lookup -> F;
answer(F, Answer) when F =:= first; F =:= last; F =:= next; F =:= prev; F =:= tab2list; F =:= setopts; F =:= rename -> {F, Answer =:= []};
answer(_F, Answer) -> Answer.

%% In OTP 25 these fail in a function that they call.
exception(F, Class, Reason, [{_, _, _, Info} | _]) when F =:= tab2list; F =:= delete_all_objects ->
    io_lib:format("~p ~p ~p", [Class, Reason, maps:get(cause, proplists:get_value(error_info, Info), none)]);
exception(_F, Class, Reason, Stack) ->
    Printed = unicode:characters_to_list(erl_error:format_exception(Class, Reason, Stack)),
    [First | _] = string:split(Printed, "\n  in call from"),
    [{_, _, _, Info} | _] = Stack,
    Cause = maps:remove(module, proplists:get_value(error_info, Info, #{})),
    [First, io_lib:format("~n~p ~p", [Cause, length(element(3, hd(Stack)))])].

anonymous(Mod, Text) ->
    lists:foldl(fun({Re, With}, Acc) -> re:replace(Acc, Re, With, [global, unicode, {return, list}]) end, unicode:characters_to_list(Text),
                [{"#Ref<[0-9.]*>", "#Ref"}, {"<0\\.[0-9]+\\.0>", "Pid"}, {"\\b" ++ atom_to_list(Mod) ++ ":", "ets:"}, {"\\s+", ""}]).

tables(Mod) ->
    Objects = [{1, 1, a}, {2, 2, b}],
    Filled = fun(Options) -> T = Mod:new(t, Options), Mod:insert(T, Objects), T end,
    Self = self(),
    Owner = spawn(fun() ->
                          Self ! {owned, maps:from_list([{Name, Filled([Protection])} || {Name, Protection} <- [{foreign_public, public},
                                                         {foreign_private, private}, {foreign_protected, protected}]])},
                          M = monitor(process, Self),
                          receive {'DOWN', M, _, _, _} -> ok end
                  end),
    Foreign = receive {owned, Map} -> Map end,
    Dead = Mod:new(t, []),
    Mod:delete(Dead),
    Deceased = spawn(fun() -> ok end),
    tsunami_test:stop(Deceased),
    Mod:new(taken, [named_table]),
    Mod:new(named, [named_table]),
    maps:merge(Foreign,
               #{nonsense => 1, plain_ref => make_ref(), nobody => no_such_table, dead_tid => Dead, set => Filled([]),
                 ordered_set => Filled([ordered_set]), bag => Filled([bag]), duplicate_bag => Filled([duplicate_bag]),
                 keypos2 => Filled([{keypos, 2}]), self => self(), dead_pid => Deceased, other => Owner}).

the_top_frame_is_the_function_with_all_its_arguments_test() ->
    Mod = tsunami_test:module(),
    tsunami_test:is_ets() orelse
        [begin
             Args = [case A of table -> no_such_table; _ -> A end || A <- Args0],
             {error, badarg, F, Args, id, Texts} = tsunami_test:outcome(Mod, F, Args),
             ?assertEqual(Where, maps:keys(Texts))
         end || {F, Args0, Where} <- [{foldl, [fun(_, A) -> A end, 0, table], [3]}, {foldr, [fun(_, A) -> A end, 0, table], [3]}, {tab2list, [table], [1]},
                                      {first_lookup, [table], [1]}, {next_lookup, [table, 1], [1]}, {lookup_element, [table, 1, 2, 3], [1]},
                                      {update_element, [table, 1, {2, 3}, {4}], [1, 3]}]].

an_exception_of_the_users_fun_passes_through_fold_unchanged_test() ->
    Mod = tsunami_test:module(),
    T = Mod:new(t, []),
    Mod:insert(T, {1, 1}),
    ?assertError(mine, Mod:foldl(fun(_, _) -> error(mine) end, 0, T)),
    ?assertThrow(mine, Mod:foldr(fun(_, _) -> throw(mine) end, 0, T)),
    ?assertEqual(false, Mod:info(T, fixed)),
    Mod:delete(T).

a_table_that_the_fun_deletes_ends_the_fold_with_badarg_test() ->
    Mod = tsunami_test:module(),
    T = Mod:new(t, []),
    Mod:insert(T, {1, 1}),
    ?assertError(badarg, Mod:foldl(fun(_, _) -> Mod:delete(T) end, 0, T)).

%% Of 0 to 4 options at random.
random_options_are_taken_and_refused_as_by_ets_test_() ->
    {timeout, 60, fun() ->
                          rand:seed(exsss, tsunami_test:seed()),
                          [same_options([pick(options()) || _ <- lists:seq(1, rand:uniform(5) - 1)]) || _ <- lists:seq(1, 20000)]
                  end}.

options() ->
    Locks = fun(N) -> {write_concurrency, {debug_hash_fixed_number_of_locks, N}} end,
    Booleans = [{Name, B} || Name <- [read_concurrency, write_concurrency, decentralized_counters], B <- [true, false]],
    [set, ordered_set, bag, duplicate_bag, public, protected, private, compressed, {keypos, 1}, {keypos, 2}, {keypos, 3}, {write_concurrency, auto},
     {heir, none}, {heir, self(), data}] ++ Booleans ++ Booleans
        ++ [Locks(N) || N <- [1, 64, 65, 127, 128, 500, 32767, 32768]]
        ++ case rand:uniform(8) of
               1 -> [Locks(N) || N <- [0, -1, 32769, a]] ++ [{keypos, 0}, {keypos, -1}, {keypos, 1 bsl 60}, {keypos, a}, foo, {compressed, true}, {heir, foo, x},
                     {heir, none, x}, {heir, self()}, {named_table, true}, [], {set}, {write_concurrency, {foo, 1}}, {read_concurrency, 1}, 1];
               _ -> []
           end.

pick(List) -> lists:nth(rand:uniform(length(List)), List).

same_options(Options) ->
    Checked = try
                  T = ets:new(t, Options),
                  Seen = {ok, [ets:info(T, Item) || Item <- items()]},
                  ets:delete(T),
                  Seen
              catch
                  error:badarg -> error
              end,
    ?assertEqual({Options, Checked}, {Options, shown(tsunami_options:new(Options))}).

items() -> [type, protection, keypos, heir, read_concurrency, write_concurrency, decentralized_counters, compressed].

shown({ok, #{type := Type, protection := P, keypos := K, heir := Heir, read := R, write := W, counters := C, compressed := Z}}) ->
    {ok, [element(Type + 1, {set, ordered_set, bag, duplicate_bag}), element(P + 1, {public, protected, private}), K,
          case Heir of none -> none; {Pid, _} -> Pid end, R, W, C, Z]};
shown(error) -> error.

options_that_are_no_proper_list_are_refused_test() ->
    [?assertEqual(error, tsunami_options:new(O)) || O <- [foo, {set}, [set | foo], <<>>, [set | {a}]]].

a_process_of_another_node_cannot_be_heir_test() ->
    Pid = binary_to_term(<<131, 88, 119, 3, "a@b", 1:32, 0:32, 1:32>>),
    ?assertEqual(error, tsunami_options:new([{heir, Pid, x}])),
    ?assertEqual(error, tsunami_options:setopts({heir, Pid, x})).

a_library_that_does_not_load_says_why_test() ->
    [begin
         Text = tsunami_nif:describe(Reason, "the text", Path),
         ?assertNotEqual(nomatch, string:find(Text, Expected)),
         ?assertNotEqual(nomatch, string:find(Text, "the text"))
     end || {Reason, Path, Expected} <- [{load_failed, "/nowhere/x", "there is no /nowhere/x.so"}, {load_failed, "/nowhere/x", "make"},
                                         {upgrade, "/nowhere/x", "stays"}, {load, "/nowhere/x", "refused to start"}]].

a_missing_or_damaged_library_gives_an_error_in_words_test_() ->
    {timeout, 60,
     fun() ->
             Dir = filename:absname("build/face_tests"),
             ok = filelib:ensure_dir(filename:join(Dir, "x")),
             Damaged = filename:join(Dir, "damaged.so"),
             ok = file:write_file(Damaged, <<"this is no library">>),
             ?assertNotEqual(nomatch, string:find(first_call(Damaged), "damaged")),
             ?assertNotEqual(nomatch, string:find(first_call(filename:join(Dir, "missing.so")), "there is no")),
             ok = file:delete(Damaged)
     end}.

%% What a new VM says to the first call when it is told to use that library.
first_call(Library) ->
    Ebin = filename:dirname(code:which(tsunami_nif)),
    Eval = "try tsunami:new(t, []) of _ -> io:put_chars(\"loaded\") catch error:{tsunami_nif_not_loaded, Text} -> io:put_chars(Text) end, halt().",
    Port = open_port({spawn_executable, os:find_executable("erl")},
                     [{args, ["-noshell", "-pa", Ebin, "-eval", Eval]}, {env, [{"TSUNAMI_NIF", Library}]}, exit_status, stderr_to_stdout]),
    output(Port, []).

output(Port, Acc) ->
    receive
        {Port, {data, Data}} -> output(Port, [Acc, Data]);
        {Port, {exit_status, _}} -> lists:flatten(Acc)
    end.
