%% Keys of bags with so many objects that reading and writing them is cut into slices.
-module(tsunami_long_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).
-define(OBJECTS, 50000).

bags() -> [bag, duplicate_bag].

%% Another order than ets has in a list: looked at as a whole.
filled(Kind) ->
    T = ?M:new(t, [Kind, public]),
    ?M:insert(T, objects()),
    T.

objects() -> [{k, I} || I <- lists:seq(1, ?OBJECTS)].

each_bag(Fun) ->
    [{atom_to_list(Kind), {timeout, 120, fun() -> tsunami_test:is_ets() orelse Fun(Kind) end}} || Kind <- bags()].

a_long_list_under_one_key_is_looked_up_in_its_order_test_() ->
    each_bag(fun(Kind) ->
                     T = filled(Kind),
                     ?assertEqual(objects(), ?M:lookup(T, k)),
                     ?assertEqual(?OBJECTS, ?M:info(T, size)),
                     ?M:insert(T, {k, new}),
                     ?assertEqual(objects() ++ [{k, new}], ?M:lookup(T, k)),
                     ?M:delete(T)
             end).

a_bag_keeps_one_of_equal_objects_of_long_lists_test_() ->
    {timeout, 120,
     fun() ->
             T = filled(bag),
             ?M:insert(T, objects() ++ [{k, I} || I <- lists:seq(?OBJECTS, 1, -1)] ++ [{k, 0}, {k, 0.0}, {k, 0}, {k, 0.0}]),
             ?assertEqual(?OBJECTS + 2, ?M:info(T, size)),
             ?assertEqual(lists:sort([{k, 0}, {k, 0.0} | objects()]), lists:sort(?M:lookup(T, k))),
             ?M:insert(T, [{k, 0.0}, {j, 1}, {k, 7}]),
             ?assertEqual(?OBJECTS + 3, ?M:info(T, size)),
             ?M:delete(T)
     end}.

equal_objects_with_large_binaries_are_one_test_() ->
    {timeout, 120,
     fun() ->
             T = ?M:new(t, [bag, public]),
             Large = fun(I) -> {k, binary:copy(<<I:32>>, 500)} end,
             ?M:insert(T, [Large(I rem 150) || I <- lists:seq(1, 300)]),
             ?M:insert(T, [Large(I) || I <- lists:seq(100, 299)]),
             ?assertEqual(300, ?M:info(T, size)),
             ?assertEqual(lists:sort([Large(I) || I <- lists:seq(0, 299)]), lists:sort(?M:lookup(T, k))),
             ?M:delete(T)
     end}.

%% Before OTP 27 the zeros are one, though each keeps its sign.
equal_objects_of_other_bytes_are_one_test_() ->
    {timeout, 120,
     fun() ->
             Objects = [{k, I, Z} || I <- lists:seq(1, 100), Z <- [0.0, -0.0, [{0.0}], [{-0.0}]]],
             [T, E] = [begin M:insert(Tab, Objects), Tab end || M <- [?M, ets], Tab <- [M:new(t, [bag, public])]],
             ?assertEqual(ets:info(E, size), ?M:info(T, size)),
             ?M:insert(T, lists:reverse(Objects)),
             ets:insert(E, lists:reverse(Objects)),
             ?assertEqual(ets:info(E, size), ?M:info(T, size)),
             ?assertEqual(lists:sort(ets:lookup(E, k)), lists:sort(?M:lookup(T, k))),
             ?M:delete(T)
     end}.

take_of_a_long_key_answers_all_and_one_taker_gets_it_test_() ->
    each_bag(fun(Kind) ->
                     [begin
                          T = filled(Kind),
                          Self = self(),
                          Takers = [spawn_link(fun() -> Self ! {self(), ?M:take(T, k)} end) || _ <- [1, 2, 3]],
                          Taken = [receive {P, Objects} -> Objects end || P <- Takers],
                          ?assertEqual([[], [], objects()], lists:sort(Taken)),
                          ?assertEqual(0, ?M:info(T, size)),
                          ?M:delete(T)
                      end || _ <- lists:seq(1, 5)]
             end).

a_lookup_beside_writers_answers_what_was_there_at_one_moment_test_() ->
    each_bag(fun(Kind) ->
                     T = filled(Kind),
                     Self = self(),
                     Writer = spawn_link(fun() -> write(T, ?OBJECTS + 1, Self) end),
                     [begin
                          Seen = ?M:lookup(T, k),
                          %% the list, and of the writer's objects those up to some number, in order
                          ?assertEqual(lists:seq(1, length(Seen)), [I || {k, I} <- Seen])
                      end || _ <- lists:seq(1, 30)],
                     Writer ! stop,
                     receive {written, Last} -> ?assertEqual(Last, length(?M:lookup(T, k))) end,
                     ?M:delete(T)
             end).

write(T, I, Parent) ->
    ?M:insert(T, {k, I}),
    receive stop -> Parent ! {written, I}
    after 1 -> write(T, I + 1, Parent)
    end.

%% A lookup that has to begin anew may find so few objects that they have no group: those too are shown to the last.
a_lookup_beside_a_key_that_shrinks_and_grows_answers_all_that_it_has_test_() ->
    each_bag(fun(Kind) ->
                     T = ?M:new(t, [Kind, public]),
                     Heavy = lists:seq(1000, 1400),
                     Object = fun(I) -> {k, I, Heavy} end,
                     Few = [Object(I) || I <- lists:seq(1, 250)],
                     Many = [Object(I) || I <- lists:seq(251, 1500)],
                     Writer = spawn_link(fun() -> shrink_and_grow(T, Few, Many) end),
                     [begin
                          Seen = ?M:lookup(T, k),
                          ?assertEqual(lists:seq(1, length(Seen)), [I || {k, I, _} <- Seen])
                      end || _ <- lists:seq(1, 200)],
                     unlink(Writer),
                     exit(Writer, kill),
                     tsunami_test:settle(),
                     ?M:delete(T)
             end).

shrink_and_grow(T, Few, Many) ->
    ?M:delete(T, k),
    [?M:insert(T, Object) || Object <- Few],
    timer:sleep(1),
    ?M:insert(T, Many),
    timer:sleep(1),
    shrink_and_grow(T, Few, Many).

readers_of_a_long_list_under_one_key_see_all_or_nothing_test_() ->
    each_bag(fun(Kind) ->
                     T = ?M:new(t, [Kind, public]),
                     ?M:insert(T, {k, 0}),
                     Self = self(),
                     spawn_link(fun() -> ?M:insert(T, objects()), Self ! inserted end),
                     Sizes = sizes(T, []),
                     ?assertEqual([], lists:usort(Sizes) -- [1, ?OBJECTS + 1]),
                     ?assertEqual([{k, 0} | objects()], ?M:lookup(T, k)),
                     ?M:delete(T)
             end).

sizes(T, Acc) ->
    Size = length(?M:lookup(T, k)),
    receive inserted -> [Size | Acc]
    after 0 -> sizes(T, [Size | Acc])
    end.

a_process_killed_while_it_fills_a_long_key_leaves_nothing_of_its_list_test_() ->
    each_bag(fun(Kind) ->
                     T = filled(Kind),
                     [begin
                          {P, Ref} = spawn_monitor(fun() -> ?M:insert(T, [{k, {new, I}} || I <- lists:seq(1, ?OBJECTS)]), ?M:take(T, k) end),
                          timer:sleep(Ms rem 12),
                          exit(P, kill),
                          receive {'DOWN', Ref, _, _, _} -> ok end,
                          case length(?M:lookup(T, k)) of
                              ?OBJECTS -> ok;
                              Other ->
                                  ?assert(Other =:= 2 * ?OBJECTS orelse Other =:= 0),
                                  ?M:delete(T, k),
                                  ?M:insert(T, objects())
                          end
                      end || Ms <- lists:seq(1, 30)],
                     ?M:delete(T),
                     tsunami_test:settle()
             end).
