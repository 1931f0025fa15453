%% Operations on one key by several processes at once happen in some order.
-module(tsunami_linear_tests).
-include_lib("eunit/include/eunit.hrl").

-define(ROUNDS, 400).

single_key_operations_are_linearizable_test_() ->
    [{lists:concat([Kind, ", ", N, " processes"]), {timeout, 120, fun() -> ?assertEqual([], wrong_histories(tsunami_test:module(), Kind, N)) end}}
     || Kind <- tsunami_test:kinds(), N <- [2, 3, 4]].

so_are_those_that_ets_does_not_have_test_() ->
    [{lists:concat([Kind, ", ", N, " processes"]),
      {timeout, 120, fun() ->
                             tsunami_test:not_ets("does not have them"),
                             ?assertEqual([], wrong_histories(tsunami, fun tsunami_linear:operations_x/1, Kind, N))
                     end}}
     || Kind <- tsunami_test:kinds(), N <- [2, 3, 4]].

stale_reads_are_found_test_() ->
    [{atom_to_list(Kind), {timeout, 60, fun() ->
                                                tsunami_faulty:fault(stale_reads),
                                                try ?assert(is_found(Kind, 3, 30))
                                                after tsunami_faulty:fault(none)
                                                end
                                        end}} || Kind <- tsunami_test:kinds()].

lost_inserts_are_found_test_() ->
    {timeout, 60, fun() ->
                          tsunami_faulty:fault(lost_insert),
                          try ?assert(is_found(set, 2, 30))
                          after tsunami_faulty:fault(none)
                          end
                  end}.

the_checker_accepts_overlapping_answers_in_either_order_test() ->
    ?assert(tsunami_linear:check(set, [{0, 10, {insert, 1}, true}, {1, 9, lookup, []}, {2, 8, lookup, [1]}])).

the_checker_refuses_a_read_that_goes_back_in_time_test() ->
    ?assertNot(tsunami_linear:check(set, [{0, 10, {insert, 1}, true}, {1, 3, lookup, [1]}, {4, 8, lookup, []}])).

the_checker_refuses_two_winners_test() ->
    ?assertNot(tsunami_linear:check(set, [{0, 10, {insert_new, 1}, true}, {0, 10, {insert_new, 2}, true}])).

%% Whether the fault shows: chance and the machine decide how soon, so not after one try.
is_found(_Kind, _N, 0) -> false;
is_found(Kind, N, Tries) -> wrong_histories(tsunami_faulty, Kind, N) =/= [] orelse is_found(Kind, N, Tries - 1).

%% Runs many rounds and answers the histories that no order explains.
wrong_histories(Mod, Kind, N) -> wrong_histories(Mod, fun tsunami_linear:operations/1, Kind, N).

wrong_histories(Mod, Operations, Kind, N) ->
    Seed = tsunami_test:seed(),
    rand:seed(exsss, Seed),
    T = Mod:new(t, [Kind, public]),
    Choice = list_to_tuple(Operations(Kind)),
    Wrong = lists:append([round(Mod, Choice, Kind, T, N, Key) || Key <- lists:seq(1, ?ROUNDS)]),
    Mod:delete(T),
    Wrong.

%% Leaves the table empty.
round(Mod, Choice, Kind, T, N, Key) ->
    Program = fun() -> [(element(rand:uniform(tuple_size(Choice)), Choice))(rand:uniform(3)) || _ <- lists:seq(1, 6)] end,
    History = tsunami_linear:record(Mod, T, Key, [Program() || _ <- lists:seq(1, N)]),
    Mod:delete(T, Key),
    case tsunami_linear:check(Kind, History) of
        true -> [];
        false -> [lists:sort(History)]
    end.
