%% tsunami_share_tests: one binary in many objects, which keep it once.
-module(tsunami_share_tests).
-include_lib("eunit/include/eunit.hrl").

-define(M, (tsunami_test:module())).
-define(OBJECTS, 5000).

bytes(Size) -> binary:copy(<<"0123456789abcdef">>, Size div 16 + 1).
binary_of(Size) -> binary:part(bytes(Size), 0, Size).
copy_of(Binary) -> binary:copy(Binary).

a_shared_binary_comes_back_from_every_object_test() ->
    tsunami_test:each_kind(fun(Mod, Kind) ->
        [begin
             T = Mod:new(t, [Kind]),
             Shared = binary_of(Size),
             [true = Mod:insert(T, {I, Shared, [I, {Shared}]}) || I <- lists:seq(1, 100)],
             [?assertEqual([{I, Shared, [I, {Shared}]}], Mod:lookup(T, I)) || I <- lists:seq(1, 100)],
             Mod:delete(T)
         end || Size <- [63, 64, 65, 100, 511, 512, 513]]
    end).

objects_that_share_a_binary_take_less_memory_than_copies_test() ->
    tsunami_test:not_ets("does not count binaries"),
    Shared = binary_of(300),
    Words = fun(Value) ->
        T = tsunami:new(t, [set]),
        [tsunami:insert(T, {I, Value(Shared)}) || I <- lists:seq(1, ?OBJECTS)],
        tsunami:info(T, memory)
    end,
    ?assert(Words(fun(B) -> B end) * 3 < Words(fun copy_of/1)).

an_object_with_a_copy_is_the_same_object_test() ->
    Shared = binary_of(200),
    [begin
         T = ?M:new(t, [Kind]),
         [?M:insert(T, {key, I, Shared}) || I <- lists:seq(1, 40)],
         Copies = [{key, I, copy_of(Shared)} || I <- lists:seq(1, 40)],
         Kind =:= bag andalso [?M:insert(T, Object) || Object <- Copies],
         ?assertEqual(Copies, ?M:lookup(T, key)),
         ?assertEqual(Copies, ?M:match_object(T, {key, '_', copy_of(Shared)})),
         ?assertEqual(40, ?M:select_count(T, [{{key, '_', '$1'}, [{'=:=', '$1', copy_of(Shared)}], [true]}])),
         [?M:delete_object(T, Object) || Object <- Copies],
         ?assertEqual([], ?M:tab2list(T))
     end || Kind <- [bag, duplicate_bag]].

%% A list this long is told apart by hashes.
a_list_of_copies_adds_nothing_to_a_bag_that_shares_test() ->
    Shared = binary_of(200),
    T = ?M:new(t, [bag]),
    ?M:insert(T, [{key, I, Shared} || I <- lists:seq(1, ?OBJECTS)]),
    ?M:insert(T, [{key, I, copy_of(Shared)} || I <- lists:seq(1, ?OBJECTS)]),
    ?assertEqual(?OBJECTS, ?M:info(T, size)).

updates_keep_what_is_shared_test() ->
    Shared = binary_of(100),
    tsunami_test:each_kind(fun
        (Mod, Kind) when Kind =:= set; Kind =:= ordered_set ->
            T = Mod:new(t, [Kind]),
            Mod:insert(T, [{I, 0, Shared, x} || I <- lists:seq(1, 100)]),
            [{1, true} = {Mod:update_counter(T, I, 1), Mod:update_element(T, I, {4, Shared})} || I <- lists:seq(1, 100)],
            [?assertEqual([{I, 1, Shared, Shared}], Mod:take(T, I)) || I <- lists:seq(1, 100)];
        (_, _) ->
            ok
    end).

%% Addresses come again with other bytes: most of these binaries are garbage once they are in, a few stay and come often.
binaries_at_addresses_used_before_are_not_taken_for_others_test_() ->
    {timeout, 60, fun() ->
        _ = rand:seed(exsss, tsunami_test:seed()),
        Pool = list_to_tuple([rand:bytes(64 + rand:uniform(448)) || _ <- lists:seq(1, 6)]),
        {T, E} = {?M:new(t, [set]), ets:new(e, [set])},
        [begin
             Value = case rand:uniform(3) of
                         1 -> element(rand:uniform(6), Pool);
                         2 -> <<(rand:uniform(1 bsl 30)):64, 0:800>>;
                         3 -> <<0:400, (rand:uniform(1 bsl 30)):64, 0:336>>
                     end,
             Object = {rand:uniform(5000), Value, I},
             ?M:insert(T, Object),
             ets:insert(E, Object),
             I rem 500 =:= 0 andalso erlang:garbage_collect()
         end || I <- lists:seq(1, 100000)],
        ?assertEqual(lists:sort(ets:tab2list(E)), lists:sort(?M:tab2list(T)))
    end}.

many_processes_share_one_binary_test_() ->
    {timeout, 60, fun() ->
        Shared = {binary_of(100), binary_of(400)},
        T = ?M:new(t, [set, public]),
        Insert = fun(P) -> [?M:insert(T, {{P, I rem 500}, element(1 + I rem 2, Shared)}) || I <- lists:seq(1, 20000)] end,
        Pids = [spawn_monitor(fun() -> Insert(P) end) || P <- lists:seq(1, 8)],
        [receive {'DOWN', Ref, process, Pid, Reason} -> ?assertEqual(normal, Reason) end || {Pid, Ref} <- Pids],
        ?assertEqual(4000, ?M:info(T, size)),
        [?assertEqual(element(1 + I rem 2, Shared), Value) || {{_, I}, Value} <- ?M:tab2list(T)]
    end}.
