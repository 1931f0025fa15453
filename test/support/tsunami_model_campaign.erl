%% tsunami_model_campaign: many random programs on ets and on the module under test (`make campaign OPS=1000000`).
%%
%% A program has its seed from the campaign's: what it prints for one that fails runs just that one again.
-module(tsunami_model_campaign).
-export([run/2, run/3, quietly/3, program/1, main/1]).

-define(SIZE_MAX, 150).

main([Ops]) -> main([Ops, integer_to_list(tsunami_test:seed())]);
main([Ops, Seed]) ->
    case run(list_to_integer(Ops), list_to_integer(Seed)) of
        #{differences := []} -> halt(0);
        _ -> halt(1)
    end.

%% Steps that were run, and the programs that differed. Stops at the third.
-spec run(Ops :: pos_integer(), Seed :: integer()) -> #{ops := integer(), seed := integer(), differences := list()}.
run(Ops, Seed) -> run(tsunami_test:module(), Ops, Seed).

run(Mod, Ops, Seed) ->
    tsunami_test:print("model campaign: ~s against ets, ~b steps, seed ~b~n", [Mod, Ops, Seed]),
    Result = loop(Mod, Ops, Seed, 1, 0, []),
    tsunami_test:print("model campaign: seed ~b, ~b steps, ~b programs that differ~n",
                       [Seed, maps:get(ops, Result), length(maps:get(differences, Result))]),
    Result.

%% As run/3, without a word, and stops at the first program that differs.
quietly(Mod, Ops, Seed) -> quietly(Mod, Ops, Seed, 1, 0).

quietly(_Mod, Ops, _Seed, _N, Done) when Done >= Ops ->
    #{ops => Done, differences => []};
quietly(Mod, Ops, Seed, N, Done) ->
    case tsunami_model:check(Mod, tsunami_gen:program(), at(Seed, N)) of
        {ok, Steps} -> quietly(Mod, Ops, Seed, N + 1, Done + Steps);
        {different, {Program, Difference}} -> #{ops => Done, differences => [{{Seed, N}, Program, Difference}]}
    end.

loop(_Mod, Ops, Seed, _N, Done, Different) when Done >= Ops; length(Different) >= 3 ->
    #{ops => Done, seed => Seed, differences => Different};
loop(Mod, Ops, Seed, N, Done, Different) ->
    case tsunami_model:check(Mod, tsunami_gen:program(), at(Seed, N)) of
        {ok, Steps} ->
            loop(Mod, Ops, Seed, N + 1, Done + Steps, Different);
        {different, {Program, [Difference]}} ->
            {At, Step, A, B} = Difference,
            tsunami_test:print("~nDIFFERENT. Shrunk program:~n~P~n~nat step ~p: ~P~n    ets: ~P~n    ~s: ~P~n"
                               "Run it again: tsunami_model_campaign:program({~b, ~b}).~n",
                               [Program, 400, At, Step, 60, A, 200, Mod, B, 200, Seed, N]),
            loop(Mod, Ops, Seed, N + 1, Done + length(Program), [{{Seed, N}, Program, Difference} | Different]);
        {different, {Program, []}} ->
            tsunami_test:print("~nDIFFERENT once, and not again.~nRun it again: tsunami_model_campaign:program({~b, ~b}).~n", [Seed, N]),
            loop(Mod, Ops, Seed, N + 1, Done + length(Program), [{{Seed, N}, Program, once} | Different])
    end.

%% Program N of a campaign.
program({Seed, N}) -> tsunami_model:check(tsunami_test:module(), tsunami_gen:program(), at(Seed, N)).

%% Sizes from 5 to SIZE_MAX; a mixed-up seed, for near seeds give near programs.
at(Seed, N) ->
    {5 + (N * 37) rem ?SIZE_MAX, {erlang:phash2({a, Seed, N}), erlang:phash2({b, Seed, N}), erlang:phash2({c, Seed, N})}}.
