%% Random programs on ets and on tsunami, side by side; and checks that the comparison would see a fault.
-module(tsunami_model_tests).
-include_lib("eunit/include/eunit.hrl").

random_programs_give_the_answers_of_ets_test_() ->
    {timeout, 120, fun() ->
                           #{differences := Differences} = tsunami_model_campaign:run(ops(), tsunami_test:seed()),
                           ?assertEqual([], [Which || {Which, _, _} <- Differences])
                   end}.

ops() ->
    case os:getenv("TSU_OPS") of
        Text when Text =/= false, Text =/= "" -> list_to_integer(Text);
        _ -> 40000
    end.

%% Or the planted ones would be found for no reason.
without_a_planted_fault_nothing_is_found_test_() ->
    {timeout, 120, fun() ->
                           tsunami_faulty:fault(none),
                           ?assertMatch(#{differences := []}, tsunami_model_campaign:quietly(tsunami_faulty, 20000, 4711))
                   end}.

a_planted_fault_is_found_and_shrunk_test_() ->
    [{atom_to_list(Fault), {timeout, 120, fun() -> finds(Fault) end}} || Fault <- [loose_delete, size, lost_insert]].

finds(Fault) ->
    tsunami_faulty:fault(Fault),
    try
        %% The text of a planted fault is of no interest.
        #{differences := [_ | _]} = tsunami_model_campaign:quietly(tsunami_faulty, 100000, 4711)
    after
        tsunami_faulty:fault(none)
    end.

a_shrunk_program_is_short_test_() ->
    {timeout, 60, fun() ->
                          tsunami_faulty:fault(size),
                          try
                              #{differences := [{_, Program, _} | _]} = tsunami_model_campaign:quietly(tsunami_faulty, 100000, 42),
                              ?assert(length(Program) =< 6)
                          after
                              tsunami_faulty:fault(none)
                          end
                  end}.

the_same_seed_gives_the_same_program_test() ->
    Pick = fun() -> tsunami_gen:pick(tsunami_gen:program(), {50, {1, 2, 3}}) end,
    ?assertEqual(erlang:phash2(Pick()), erlang:phash2(Pick())).
