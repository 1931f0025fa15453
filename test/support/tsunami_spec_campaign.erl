%% tsunami_spec_campaign: many random match specifications on random tables of ets and of tsunami
%% (`make spec-campaign SPECS=1000000`).
%%
%% Half of the cases are those of tsunami_select_tests: keys and guards that plans are made of; the other half have terms and
%% expressions of all sorts, from tsunami_match_tests. One that differs is made smaller, and what is printed runs it again.
%%
%% Where ets alone is wrong, which is where it differs from match_spec_run on its own objects and tsunami does not
%% (tsunami_spec_model), is counted and no difference.
%%
%% Some of them end the VM: ets of OTP 25 and 27 does that alone, now and then. So ?BATCH at a time run in a VM of their own; when it
%% ends they are halved, and one that ends the VM is left out if ets alone does it as well.
-module(tsunami_spec_campaign).
-export([main/1, batch/1, again/1]).

-define(BATCH, 5000).
-define(TRIES, 10).

main([Specs]) -> main([Specs, integer_to_list(tsunami_test:seed())]);
main([Specs0, Seed0]) ->
    {Specs, Seed} = {list_to_integer(Specs0), list_to_integer(Seed0)},
    tsunami_test:print("spec campaign: tsunami against ets, ~b specifications, seed ~b~n", [Specs, Seed]),
    Results = lists:append([in_vm(Seed, From, min(Specs, From + ?BATCH - 1)) || From <- lists:seq(1, Specs, ?BATCH)]),
    Differ = length([1 || differ <- Results]),
    tsunami_test:print("spec campaign: seed ~b, ~b specifications, of which ~b end the VM by ets alone and ~b show a fault of ets; "
                       "~b batches differ~n",
                       [Seed, Specs, length([1 || left_out <- Results]), lists:sum([N || {faults_of_ets, N} <- Results]), Differ]),
    halt(min(1, Differ)).

in_vm(Seed, From, To) ->
    case vm(both, Seed, From, To) of
        {0, Said} -> [{faults_of_ets, faults_told(Said)}];
        {3, Said} ->
            tsunami_test:print("~ts", [Said]),
            [differ];
        _ when From < To ->
            Half = (From + To) div 2,
            in_vm(Seed, From, Half) ++ in_vm(Seed, Half + 1, To);
        {Status, _} ->
            case lists:any(fun(_) -> element(1, vm(ets, Seed, From, To)) =/= 0 end, lists:seq(1, ?TRIES)) of
                true ->
                    [left_out];
                false ->
                    tsunami_test:print("~nThe VM ended with status ~b. Run it again: tsunami_spec_campaign:again({~b, ~b}).~n",
                                       [Status, Seed, From]),
                    [differ]
            end
    end.

vm(What, Seed, From, To) ->
    Paths = lists:append([["-pa", Path] || Path <- code:get_path(), string:find(Path, code:root_dir()) =:= nomatch]),
    Args = Paths ++ ["-noshell", "-run", "tsunami_spec_campaign", "batch", atom_to_list(What) | [integer_to_list(N) || N <- [Seed, From, To]]],
    Port = open_port({spawn_executable, filename:join([code:root_dir(), "bin", "erl"])},
                     [{args, Args}, {env, [{"ERL_CRASH_DUMP_SECONDS", "0"}]}, exit_status, binary, stderr_to_stdout]),
    vm_end(Port, <<>>).

%% What the VM says when it ends early is of no interest.
vm_end(Port, Said) ->
    receive
        {Port, {data, Text}} -> vm_end(Port, <<Said/binary, Text/binary>>);
        {Port, {exit_status, Status}} -> {Status, Said}
    end.

faults_told(Said) ->
    {match, [N]} = re:run(Said, "faults of ets: ([0-9]+)", [{capture, all_but_first, list}]),
    list_to_integer(N).

batch(["ets", Seed, From, To]) ->
    [tsunami_select_tests:on_ets_alone(one({list_to_integer(Seed), N})) || N <- lists:seq(list_to_integer(From), list_to_integer(To))],
    halt(0);
batch(["both" | Args]) ->
    [Seed, From, To] = [list_to_integer(A) || A <- Args],
    {Different, Faults, {Refused, Some}} = loop(Seed, From, To, 0, 0, {0, 0}),
    tsunami_test:print("faults of ets: ~b~n", [Faults]),
    %% All of it happens often enough to mean something.
    true = Different > 0 orelse To - From < 2000 orelse (Refused * 20 > To - From andalso Some * 10 > To - From),
    halt(case Different of 0 -> 0; _ -> 3 end).

loop(_Seed, N, To, Different, Faults, Answers) when N > To; Different >= 3 -> {Different, Faults, Answers};
loop(Seed, N, To, Different, Faults, {Refused, Some}) ->
    Case = one({Seed, N}),
    case judged(Case) of
        none ->
            loop(Seed, N + 1, To, Different, Faults, case first_answer(Case, N) of
                                                         refused -> {Refused + 61, Some};
                                                         some -> {Refused, Some + 61};
                                                         _ -> {Refused, Some}
                                                     end);
        fault_of_ets ->
            loop(Seed, N + 1, To, Different, Faults + 1, {Refused, Some});
        _ ->
            {Small, {What, A, B}} = shrink(Case),
            tsunami_test:print("~nDIFFERENT: ~p of~n~p~n    ets: ~P~n    tsunami: ~P~n"
                               "Run it again: tsunami_spec_campaign:again({~b, ~b}).~n", [What, Small, A, 200, B, 200, Seed, N]),
            loop(Seed, N + 1, To, Different + 1, Faults, {Refused, Some})
    end.

%% What comes of specifications, so that it shows if they mean nothing; of each 61st, by ets alone.
first_answer(_, N) when N rem 61 =/= 0 -> not_asked;
first_answer(#{kind := Kind, keypos := KeyPos, objects := Objects, spec := Spec}, _) ->
    T = ets:new(t, [Kind, {keypos, KeyPos}]),
    ets:insert(T, Objects),
    try ets:select(T, Spec) of
        [] -> nothing;
        _ -> some
    catch
        error:badarg -> refused
    after
        ets:delete(T)
    end.

%% Number N of a campaign, once more: `none`, or how it differs.
again(At) -> judged(one(At)).

%% The same, or `fault_of_ets`.
judged(Case) ->
    case tsunami_select_tests:difference(Case) of
        none ->
            none;
        Difference ->
            case tsunami_select_tests:difference(Case, tsunami_spec_model) of
                none -> fault_of_ets;
                _ -> Difference
            end
    end.

one({Seed, N}) ->
    rand:seed(exsss, {erlang:phash2({a, Seed, N}), erlang:phash2({b, Seed, N}), erlang:phash2({c, Seed, N})}),
    What = lists:nth(1 + N rem 3, [search, search, change]),
    Case = case N rem 2 of
               0 -> tsunami_select_tests:random_case(What);
               1 -> tsunami_select_tests:random_case(What, fun object/1, fun any_spec/2)
           end,
    case N rem 500 of
        0 -> long_key(Case);
        _ -> Case
    end.

object(KeyPos) ->
    case tsunami_match_tests:object() of
        Object when tuple_size(Object) >= KeyPos -> setelement(KeyPos, Object, unsigned(element(KeyPos, Object)));
        Object -> erlang:append_element(Object, rand:uniform(3))
    end.

any_spec(_KeyPos, []) -> any_spec(1, [{1}]);
any_spec(KeyPos, Objects) ->
    Pick = fun() -> lists:nth(rand:uniform(length(Objects)), Objects) end,
    [begin
         {Head, Guards, Body} = tsunami_match_tests:clause(Pick()),
         plain_key(KeyPos, {Head, no_map_tails(Guards), no_map_tails(Body)})
     end || _ <- lists:seq(1, rand:uniform(3))].

%% ets of OTP 25 and 27 ends the VM on some expressions that make a list whose tail is a map.
no_map_tails([H | T]) when is_map(T) -> [no_map_tails(H)];
no_map_tails([H | T]) -> [no_map_tails(H) | no_map_tails(T)];
no_map_tails(T) when is_tuple(T) -> list_to_tuple(no_map_tails(tuple_to_list(T)));
no_map_tails(T) when is_map(T) -> maps:map(fun(_, V) -> no_map_tails(V) end, T);
no_map_tails(T) -> T.

%% What is not held against ets before OTP 27: a key with a map and without variables, which is a pattern, and there tables of ets look
%% up that one key; zeros with a sign, which keys of ours do not keep there.
plain_key(KeyPos, {Head, Guards, Body}) when is_tuple(Head), tuple_size(Head) >= KeyPos ->
    Key = element(KeyPos, Head),
    case list_to_integer(erlang:system_info(otp_release)) < 27 andalso has_map(Key) of
        true -> {setelement(KeyPos, Head, '_'), Guards, Body};
        false -> {setelement(KeyPos, Head, unsigned(Key)), Guards, Body}
    end;
plain_key(_KeyPos, Clause) ->
    Clause.

unsigned(T) -> tsunami_select_tests:leaves(fun(F) when is_float(F) -> F + 0.0; (L) -> L end, T).

has_map(T) when is_tuple(T) -> has_map(tuple_to_list(T));
has_map([H | T]) -> has_map(H) orelse has_map(T);
has_map(T) -> is_map(T).

%% One key of a bag gets so many objects that it is searched and changed in parts.
long_key(#{objects := [O | _] = Objects, keypos := KeyPos} = Case) ->
    More = [setelement(KeyPos, erlang:append_element(lists:nth(rand:uniform(length(Objects)), Objects), I), element(KeyPos, O))
            || I <- lists:seq(1, 3000)],
    Case#{kind => lists:nth(rand:uniform(2), [bag, duplicate_bag]), objects => Objects ++ More ++ Objects};
long_key(Case) ->
    Case.

%% --- making it smaller ----------------------------------------------------------------------------

shrink(Case) -> shrink(Case, judged(Case)).

shrink(Case, Difference) ->
    case first_that_differs(smaller(Case)) of
        none -> {Case, Difference};
        {Smaller, Other} -> shrink(Smaller, Other)
    end.

first_that_differs([]) -> none;
first_that_differs([Case | Cases]) ->
    case judged(Case) of
        {_, _, _} = Difference -> {Case, Difference};
        _ -> first_that_differs(Cases)
    end.

smaller(#{objects := Objects, spec := Spec} = Case) ->
    [Case#{objects => O} || O <- without(Objects, length(Objects) div 2)]
        ++ [Case#{spec => S} || S <- without(Spec, 1), S =/= []]
        ++ [Case#{spec => S} || S <- each(fun({H, G, B}) -> [{H, Less, B} || Less <- without(G, 1)] end, Spec)]
        ++ [Case#{spec => S} || S <- each(fun({H, G, B}) -> [{H, G, Less} || Less <- without(B, 1), Less =/= []] end, Spec)]
        ++ [Case#{objects => O} || length(Objects) < 50, O <- without(Objects, 1)].

%% The list without N of its elements, from each place where that can be.
without(_, 0) -> [];
without(L, N) -> [lists:sublist(L, I) ++ lists:nthtail(min(length(L), I + N), L) || I <- lists:seq(0, length(L) - 1, N)].

%% The list with one of its elements made smaller, in each way.
each(F, L) -> [lists:sublist(L, I - 1) ++ [X | lists:nthtail(I, L)] || I <- lists:seq(1, length(L)), X <- F(lists:nth(I, L))].
