%% Match specifications through the compiler and the machine in C, held against ets:match_spec_compile and
%% ets:match_spec_run: what is refused, what matches, and what comes out.
%%
%% Runs on a library of its own, c_src/testing/match_nif.c, which lies beside that of TSUNAMI_TERM_NIF.
-module(tsunami_match_tests).

-include_lib("eunit/include/eunit.hrl").

-export([nif_compile/1, nif_run/3, nif_time/3, nif_fail_after/1, nif_plan/3, nif_covers/4]).
-export([bench/0, bench_compile/0, campaign/1]).
-export([object/0, clause/1]).       %% for tsunami_spec_campaign
-export([random_specifications_give_what_ets_gives_case/0, random_arithmetic_is_that_of_the_vm_case/0,
         every_function_is_known_where_ets_knows_it_case/0, malformed_specifications_are_refused_case/0,
         hand_made_specifications_case/0, maps_in_heads_match_supersets_case/0, lists_in_heads_case/0,
         failures_in_guards_and_bodies_case/0, large_maps_are_built_case/0, nesting_needs_no_stack_case/0,
         many_variables_case/0, handles_and_blobs_come_out_case/0, every_failing_allocation_is_reported_case/0,
         the_longest_integers_case/0, replacing_is_allowed_where_ets_allows_it_case/0, plans_miss_nothing_case/0, plans_are_narrow_case/0]).

-define(NIF, erlang:nif_error(not_loaded)).
nif_compile(_) -> ?NIF.
nif_run(_, _, _) -> ?NIF.
nif_time(_, _, _) -> ?NIF.
nif_fail_after(_) -> ?NIF.
nif_plan(_, _, _) -> ?NIF.
nif_covers(_, _, _, _) -> ?NIF.

%% ---- Running ----

all_test_() -> tsunami_test:nif_cases(?MODULE, load()).

load() ->
    Path = filename:join(filename:dirname(os:getenv("TSUNAMI_TERM_NIF", "build/release/term_nif")), "match_nif"),
    tsunami_test:nif_loaded(erlang:load_nif(Path, list_to_integer(erlang:system_info(otp_release)))).

%% Rounds of random specifications, from a shell.
campaign(N) ->
    ok = load(),
    rand:seed(exsss, tsunami_test:seed()),
    [random_case() || _ <- lists:seq(1, N)],
    ok.

%% ---- Both at once ----

theirs_compile(Spec) ->
    try {ok, ets:match_spec_compile(Spec)} catch error:badarg -> badarg; error:system_limit -> limit end.

ours_compile(Spec) ->
    case nif_compile(Spec) of
        P when is_reference(P) -> {ok, P};
        {badarg, _, _, _, _} -> badarg;
        Other -> Other
    end.

%% Compiles and runs on each object: fails if we and ets differ. The results.
both(Objects, Spec) ->
    case {ours_compile(Spec), theirs_compile(Spec)} of
        {{ok, Ours}, {ok, Theirs}} -> [both_run(Ours, Theirs, O, Spec) || O <- Objects];
        {badarg, badarg} -> badarg;
        {A, B} -> error({compile, Spec, {ours, A}, {ets, B}})
    end.

both_run(Ours, Theirs, Object, Spec) ->
    %% Keys have no -0.0 where it equals 0.0.
    KeyPos = case binary:match(term_to_binary(Object), <<70, 128, 0, 0, 0, 0, 0, 0, 0>>) of
                 nomatch -> upto(min(tuple_size(Object), 2));
                 _ -> 0
             end,
    A = nif_run(Ours, Object, KeyPos),
    B = ets:match_spec_run([Object], Theirs),
    exact(A, B) orelse error({run, Object, Spec, {ours, A}, {ets, B}}),
    A.

%% Before OTP 27, 0.0 =:= -0.0: here they are to be the same, but as keys of maps, and in funs.
exact(A, B) -> A =:= B andalso (inexact(A) orelse term_to_binary(A) =:= term_to_binary(B)).

inexact(T) when is_map(T); is_function(T) -> true;
inexact([H | T]) -> inexact(H) orelse inexact(T);
inexact(T) when is_tuple(T) -> inexact(tuple_to_list(T));
inexact(_) -> false.

%% ---- Generators ----

pick(L) -> lists:nth(rand:uniform(length(L)), L).
upto(N) -> rand:uniform(N + 1) - 1.
some(N, F) -> [F() || _ <- lists:seq(1, upto(N))].

number() ->
    case upto(9) of
        0 -> upto(300) - 30;
        1 -> (1 bsl upto(200)) + upto(4) - 2;
        2 -> -(1 bsl upto(200)) + upto(4) - 2;
        3 -> float((1 bsl upto(70)) + upto(4) - 2);
        4 -> (upto(100) - 50) / 4;
        5 -> pick([0.0, -0.0, 1.0e300, -1.0e300, 9223372036854775808.0, 1 bsl 59, (1 bsl 63) - 1, -(1 bsl 63), 1 bsl 64]);
        _ -> upto(4) - 1
    end.

leaf() ->
    case upto(12) of
        0 -> pick([<<>>, <<"ab">>, <<1:3>>, <<"abc", 5:7>>, binary:copy(<<"x">>, 600), <<"a">>]);
        1 -> pick([self(), make_ref(), fun lists:map/2, fun(X) -> X end]);
        2 -> [];
        3 -> pick(["ab", [1, 2, 3], [255], [256], [1, a], [a | b], [1, 2 | 3], [[]], [{1}]]);
        4 -> pick([{}, {a, 1}, {1, 2}, #{}, #{a => 1}, #{1 => 1.0, 1.0 => 2}]);
        5 -> pick(['_ ', '$_', '$$', '$x', '$01', '', '$1']);
        N when N < 9 -> pick([a, b, true, false, ok]);
        _ -> number()
    end.

term(0) -> leaf();
term(D) ->
    case upto(7) of
        0 -> list_to_tuple(some(3, fun() -> term(D - 1) end));
        1 -> some(3, fun() -> term(D - 1) end);
        2 -> [term(D - 1) | pick([a, 1, [], [term(D - 1)], term(D - 1)])];
        3 -> maps:from_list(some(3, fun() -> {term(D - 1), term(D - 1)} end));
        _ -> leaf()
    end.

object() -> list_to_tuple([term(2) || _ <- lists:seq(1, 1 + upto(case upto(20) of 0 -> 20; _ -> 3 end))]).

variable() -> pick(['$1', '$2', '$3', '$0', '$17', '$1', '$2']).

%% A pattern that more or less fits the term.
pattern(T) ->
    case upto(9) of
        0 -> '_';
        1 -> variable();
        2 -> variable();
        3 -> case upto(5) of 0 -> term(1); _ -> variable() end;
        _ -> pattern_in(T)
    end.

pattern_in(T) when is_tuple(T) ->
    case upto(30) of 0 -> {'_'}; _ -> list_to_tuple([pattern(E) || E <- tuple_to_list(T)]) end;
pattern_in([H | T]) -> [pattern(H) | case upto(3) of 0 -> pattern(T); _ when is_list(T) -> pattern_in(T); _ -> pattern(T) end];
pattern_in(T) when is_map(T) ->
    maps:from_list([{K, pattern(V)} || {K, V} <- maps:to_list(T), upto(3) > 0]);
pattern_in(T) -> T.

functions1() ->
    [is_atom, is_float, is_integer, is_list, is_number, is_pid, is_port, is_reference, is_tuple, is_map, is_binary, is_function,
     abs, hd, tl, length, map_size, node, round, trunc, float, size, byte_size, bit_size, '+', '-', 'bnot', 'not'] ++
        new([is_boolean, is_bitstring, floor, ceil, tuple_size]).
functions2() ->
    ['+', '-', '*', '/', 'div', 'rem', 'band', 'bor', 'bxor', '>', '>=', '<', '=<', '=:=', '==', '=/=', '/=', '>', '==', '=:=', '<',
     element, map_get, is_map_key, 'xor', binary_part] ++ new([max, min, is_function]).
new(L) -> case list_to_integer(erlang:system_info(otp_release)) >= 26 of true -> L; false -> [] end.

bound() -> case upto(40) of 0 -> '$9'; _ -> variable() end.

expr(0) ->
    case upto(9) of
        0 -> {const, term(1)};
        1 -> '$_';
        2 -> '$$';
        3 -> pick([{self}, {node}, true, false, a]);
        N when N < 6 -> plain(term(1));
        _ -> bound()
    end;
expr(D) ->
    E = fun() -> expr(D - 1) end,
    case upto(14) of
        0 -> {list_to_tuple(some(3, E))};
        1 -> some(3, E);
        2 -> [E() | E()];
        %% Which of two computed keys stays that come out equal is nobody's promise.
        3 -> maps:from_list(some(2, fun() -> {pick([a, b, 1, 1.0, <<"k">>, "str", {const, c}, [x], #{}, {{d}}]), E()} end));
        4 -> maps:from_list(some(1, fun() -> {E(), E()} end));
        5 -> list_to_tuple([pick(['and', 'or', 'andalso', 'orelse', 'andthen']) | [boolean(D - 1) || _ <- lists:seq(0, upto(2))]]);
        6 -> {element, 1 + upto(3), '$_'};
        7 -> {is_record, E(), pick([a, E()]), pick([2, 1, E()])};
        8 -> {binary_part, E(), pick([0, 1, E()]), pick([0, 1, -1, E()])};
        9 -> {pick(['bsl', 'bsr']), E(), pick([0, 1, 3, 64, 65, -1, -70])};
        N when N < 11 -> {pick(functions1()), E()};
        N when N < 13 -> {pick(functions2()), E(), E()};
        _ -> expr(0)
    end.

boolean(D) ->
    case upto(3) of
        0 -> pick([true, false]);
        1 -> {pick(['>', '<', '==', '=:=']), bound(), plain(leaf())};
        2 -> {pick([is_atom, is_integer, is_list]), bound()};
        _ -> expr(max(D, 0))
    end.

%% As an expression it stands for itself; mostly.
plain(T) -> case upto(40) of 0 -> T; _ -> unspecial(T) end.
unspecial(T) when is_tuple(T) -> {const, T};
unspecial([H | T]) -> [unspecial(H) | unspecial(T)];
unspecial(T) when is_map(T) -> {const, T};
unspecial(A) when is_atom(A) -> case atom_to_list(A) of [$$ | _] -> a; _ -> A end;
unspecial(T) -> T.

guard() ->
    case upto(5) of
        0 -> expr(2);
        1 -> {pick(['and', 'andalso']), boolean(1), boolean(2)};
        2 -> {pick(['>', '>=', '<', '=<', '/=', '=/=']), bound(), plain(leaf())};
        3 -> {pick(['==', '=:=']), bound(), bound()};
        _ -> boolean(2)
    end.

head(O) ->
    case upto(20) of
        0 -> pick(['_', '$1', a, [], [a], #{}, 1]);
        1 -> pattern_in(object());
        _ -> pattern_in(O)
    end.

clause(O) ->
    Head = head(O),
    Bound = fun(T) -> rebind(T, variables(Head)) end,
    {Head, Bound(some(2, fun guard/0)), Bound(body())}.

body() ->
    case upto(5) of
        0 -> ['$_'];
        1 -> [true];
        2 -> [expr(0)];
        3 -> [expr(1), expr(3)];
        _ -> [expr(3)]
    end.

%% Variables of the expression that the head does not bind become such as it does, but for one in many.
rebind(T, []) -> T;
rebind(V, Vs) when is_atom(V) ->
    case variables(V) of
        [_] -> case lists:member(V, Vs) orelse upto(60) =:= 0 of true -> V; false -> pick(Vs) end;
        [] -> V
    end;
rebind(T, Vs) when is_tuple(T) -> list_to_tuple([rebind(E, Vs) || E <- tuple_to_list(T)]);
rebind([H | T], Vs) -> [rebind(H, Vs) | rebind(T, Vs)];
rebind(T, Vs) when is_map(T) -> maps:from_list([{rebind(K, Vs), rebind(V, Vs)} || {K, V} <- maps:to_list(T)]);
rebind(T, _) -> T.

variables(A) when is_atom(A) ->
    case atom_to_list(A) of
        "$0" -> [A];
        [$$, C | R] when C >= $1, C =< $9 -> case lists:all(fun(D) -> D >= $0 andalso D =< $9 end, R) of true -> [A]; false -> [] end;
        _ -> []
    end;
variables(T) when is_tuple(T) -> variables(tuple_to_list(T));
variables([H | T]) -> variables(H) ++ variables(T);
variables(T) when is_map(T) -> variables(maps:values(T));
variables(_) -> [].

random_case() ->
    Objects = [O | _] = [object() || _ <- lists:seq(1, 3)],
    Spec = [clause(pick(Objects)) | some(2, fun() -> clause(O) end)],
    both(Objects, Spec).

%% ---- Cases ----

random_specifications_give_what_ets_gives_case() ->
    Results = [random_case() || _ <- lists:seq(1, tsunami_test:rounds(40000))],
    Refused = length([badarg || badarg <- Results]),
    Matched = length([1 || L <- Results, is_list(L), [_] <- L]),
    Missed = length([1 || L <- Results, is_list(L), [] <- L]),
    %% All of it happens often enough to mean something.
    ?assert(Refused * 2 < length(Results)),
    ?assert(Matched * 10 > length(Results)),
    ?assert(Missed * 10 > length(Results)).

random_arithmetic_is_that_of_the_vm_case() ->
    Two = ['+', '-', '*', '/', 'div', 'rem', 'band', 'bor', 'bxor', '==', '<', '=<'],
    One = ['+', '-', 'bnot', abs, float, round, trunc] ++ new([floor, ceil]),
    Spec = [{{'$1', '$2', '$3'}, [], [{list_to_tuple([{F, '$1', '$2'} || F <- Two] ++ [{F, '$1'} || F <- One] ++
                                                     [{F, '$1', '$3'} || F <- ['bsl', 'bsr']])}]}],
    {ok, Ours} = ours_compile(Spec),
    {ok, Theirs} = theirs_compile(Spec),
    [begin
         A = operand(),
         B = case upto(3) of 0 -> A; 1 -> pick([1, -1, 0, 2, 1 bsl 64]); _ -> operand() end,
         both_run(Ours, Theirs, {A, B, upto(300) - 150}, Spec)
     end || _ <- lists:seq(1, tsunami_test:rounds(20000))].

operand() ->
    case upto(5) of
        0 -> number();
        1 -> wide(130);
        2 -> wide(2000);
        3 -> random_float();
        4 -> pick([1, -1]) * ((1 bsl (64 * upto(5))) - upto(2));
        5 -> float(wide(500)) + pick([0, 0.5])
    end.

wide(Bits) -> pick([1, -1]) * (rand:uniform(1 bsl (1 + upto(Bits))) - 1).

random_float() ->
    case <<(rand:uniform(1 bsl 64) - 1):64>> of
        <<F/float>> -> F;
        _ -> 0.5
    end.

every_function_is_known_where_ets_knows_it_case() ->
    Names = functions1() ++ functions2() ++
        [is_record, is_boolean, is_bitstring, floor, ceil, tuple_size, max, min, 'and', 'or', 'andalso', 'orelse', 'andthen',
         const, self, 'bsl', 'bsr', is_seq_trace, get_tcw, set_tcw, message, silent, caller, display, trace, enable_trace,
         disable_trace, process_dump, return_trace, exception_trace, set_seq_token, get_seq_token, no_such, map_is_key,
         setelement, '!', caller_line, current_stacktrace],
    [both([{1}, {a}, {[1]}, {<<"abc">>}, {#{a => 1}}, {{a, 1}}, {true}, {1.5}],
          [{{'$1'}, G, [list_to_tuple([Name | lists:duplicate(N, V)])]}])
     || Name <- Names, N <- lists:seq(0, 4), V <- ['$1', '$_', 1, a, {const, {a, b}}], G <- [[], [list_to_tuple([Name | lists:duplicate(N, V)])]]].

malformed_specifications_are_refused_case() ->
    Specs = [[], a, 1, "abc", [a], [{a}], [{a, []}], [{'_', [], []}], [{'_', [], a}], [{'_', a, [true]}], [{'_', [], ['$_' | a]}],
             [{'_', [true | a], ['$_']}], [{'_', [], ['$_']} | a], [{'_', [], ['$1']}], [{'_', [], [{}]}], [{'_', [], [{1}]}],
             [{'_', [], [{"a"}]}], [{'$1', [], [{'$1'}]}], [{'_', [], [{const}]}], [{'_', [], [{const, 1, 2}]}],
             [{'_', [{'and'}], [1]}], [{'_', [{'orelse'}], [1]}], [{'_', [], [{self, 1}]}], [{{#{'$1' => a}}, [], [1]}],
             [{{#{'_' => a}}, [], [1]}], [{{#{{'$1'} => a}}, [], [1]}], [{{#{a => '$1'}}, [], [#{'$1' => 1}]}],
             [{{'$1'}, ['$2'], [1]}], [{{'$1'}, [], ['$2', 1]}], [{'$1', [], [1]}, {'$2', [], ['$1']}], [{'_', "abc", [1]}],
             [{'_', [], "abc"}], [{'_', [], [{{}}]}], [{'_', [], [{{a, {}}}]}], [{'_', [], [[{b}]]}], [{'_', [], [#{a => {b}}]}],
             [{'_', [], [#{{b} => a}]}], [{'_', [{'and', true, {'$1'}}], [1]}], [{'_', [{is_atom, '$1'}], [1]}],
             [{'_', [{'>', '$1', 1}], [1]}], [{{'$1' , '$2'}, [{'>', '$1', '$3'}], [1]}], [{'_', [{'>', 1}], [1]}],
             [{['$1'], [], ['$1']}], [{#{a => '$1'}, [], ['$1']}], [{"ab", [], [1]}], [{'$1', ['$1'], [1]}]],
    [both([{1}, {#{a => b}}, {[]}], S) || S <- Specs],
    {badarg, _, 1, _, 5} = nif_compile([{'_', [], [1]}, {'_', [], ['$5']}]).

hand_made_specifications_case() ->
    Objects = [{1, 2}, {1, 2.0}, {1.0, 2}, {a, {b, 1}}, {"abc", [a]}, {1, 2, 3}, {}, {x}, {-0.0, 0.0}, {0.0, 0},
               list_to_tuple(lists:seq(1, 20)), {1, lists:seq(1, 300)}, {{0.0}, [-0.0]}, {<<"a">>, <<"a">>}, {1 bsl 70, 1}],
    [both(Objects, S) || S <-
        [[{'_', [], ['$_']}], [{'$1', [], ['$1']}], [{'$1', [], ['$$']}], [{'$7', [{'==', {element, 1, '$7'}, 1}], ['$7']}],
         [{{'$1', '$2'}, [{'>', '$2', 1}], ['$$']}], [{{'$9', '$4'}, [], ['$$']}], [{{'$1', '$1'}, [], [true]}],
         [{{'_', '_'}, [], [true]}, {'_', [], [false]}], [{{0.0, '_'}, [], [true]}], [{{-0.0, '_'}, [], [true]}],
         [{{{0.0}, [0.0]}, [], [true]}], [{{'$1', '$2'}, [{'=:=', '$1', 0.0}], [{{'$1', '$2'}}]}],
         [{{'$1', '$2'}, [{'==', '$2', 2}], ['$1']}], [{{'$1', '$2'}, [{'=:=', '$2', 2}], ['$1']}],
         [{{'_', ['$1' | '$2']}, [], ['$2']}], [{{'_', ['$1', '$2' | '$3']}, [], [{{'$3', '$1'}}]}],
         [{{['$1' | '_'], '_'}, [], ['$1']}], [{{"abc", '_'}, [], [1]}], [{{[$a, '$1', $c], '_'}, [], ['$1']}],
         [{{a, {b, '$1'}}, [], [[x, '$1' | '$1']]}], [{{a, {'_', 1}}, [], [y]}],
         [{list_to_tuple(['_' || _ <- lists:seq(1, 19)] ++ ['$1']), [], ['$1']}],
         [{list_to_tuple([list_to_atom("$" ++ integer_to_list(21 - I)) || I <- lists:seq(1, 20)]), [{'<', '$20', '$1'}], ['$$']}],
         [{{'$1', '$2'}, [{'or', {is_atom, '$1'}, {'<', '$2', 3}}], [[['$1'], '$2']]}],
         [{{'$1', '_'}, [{'>=', '$1', 1 bsl 60}], [true]}], [{{'$1', '_'}, [{'>', '$1', 1}], [true]}],
         [{{'$1', '_'}, [{'>', 1, '$1'}], [true]}], [{{'$1', '_'}, [{'=<', '$1', a}], ['$1']}],
         [{{'$1', '$2'}, [{'and', {is_number, '$1'}, {'andalso', {'<', '$1', 5}, true}}], [{{{'+', '$1', '$2'}}}]}],
         [{'_', [], [{{a, {{}}, {const, {1}}, [b | c]}}]}], [{'_', [{'==', {{a, 1}}, {const, {a, 1}}}], [1]}],
         [{'_', [{'==', {element, 1, '$_'}, {const, x}}], [{element, 1, '$_'}]}],
         [{'_', [], [{element, 1, '$_'}]}], [{'_', [], [{element, 3, '$_'}]}], [{'_', [], [{size, '$_'}]}],
         [{'_', [], ["ab", [97, 98 | '$_']]}], [{'_', [], [["a", {'+', 1, 2}]]}], [{'_', [], [[{'+', 1, 2}, 5]]}],
         [{{'$1', '$2'}, [], [['$1' | '$2']]}], [{{'_', '$2'}, [], [[{'+', 1, 1} | '$2']]}]]].

maps_in_heads_match_supersets_case() ->
    Large = maps:from_list([{I, I} || I <- lists:seq(1, 50)]),
    Objects = [{#{}}, {#{a => 1}}, {#{a => 1, b => 2}}, {#{a => #{b => 2, c => 3}}}, {Large}, {Large#{a => 1}}, {#{1 => a}}, {#{1.0 => a}},
               {a}, {[#{a => 1, z => 2}]}, {#{a => [1, 2]}}, {#{{k} => v}}, {#{{0.0} => 1}}, {#{<<"k">> => [#{a => 1}]}}],
    [both(Objects, [{{P}, [], ['$$']}])
     || P <- [#{}, #{a => '$1'}, #{a => 1}, #{a => '_'}, #{a => '$1', b => '$2'}, #{a => #{b => '$1'}}, #{a => #{}}, Large,
              #{7 => '$3', 9 => '$2', 11 => 11}, #{1 => '$1'}, #{1.0 => '$1'}, [#{a => '$1'}], #{a => ['$1' | '$2']}, #{{k} => '$1'},
              #{{'_'} => '$1'}, #{{0.0} => '$1'}, #{{-0.0} => '$1'}, Large#{a => '$1', 50 => '$2'}, #{<<"k">> => [#{a => '$9'}]}]].

lists_in_heads_case() ->
    Values = [[], [1], [1, 2], "abc", lists:seq(1, 500), [a], [a, 1, 2], [1, a], [1 | 2], [a, 1 | 2], [[1], "ab"], [[a, 1], [b]],
              [300, 1, 2], [1, 2, 300], [{1}, 5, 6], [1.0, 2], [[1, 2 | x], y], {[1, 2], [3]}, [$a | <<"b">>], [200, 201]],
    Patterns = [['$1'], ['$1', '$2'], ['$1' | '$2'], ['$1', '$2' | '$3'], [1 | '$1'], [a | '$1'], ['_' | '_'], ['$1' | 2], ['$1', 1 | 2],
                [['$1'], '$2'], [['$1' | '$2'] | '$3'], ['$1' | '$1'], [['$1', 2 | x], '$2'], {['$1', 2], '_'}, {['$1' | '$2'], ['$3']},
                ['$1', '_', '_' | '$2'], [200, '$1'], ['_', '_'], ['$1' | <<"b">>], [{'$1'}, 5 | '$2'], [1, '$1' | '_'], {'_', ['$2']}],
    [both([{V}, {V, V}], [{{P}, [], ['$$']}, {{P, P}, [], ['$$']}, {{'_', P}, [], [x]}]) || P <- Patterns, V <- Values].

failures_in_guards_and_bodies_case() ->
    Body = {{{'+', '$1', '$2'}, {element, {'+', '$1', a}, '$_'}, {'or', true, {'+', a, 1}}, {'andalso', 1, 2}, {'andalso', true, 5},
             {'andalso', 7}, {'not', 5}, {'==', {'+', a, 1}, 'EXIT'}, {'orelse', false, {hd, []}, true}, {'orelse', {hd, []}, true},
             {length, [1 | a]}, {'and', true, false, x}, {'or', 1, true}, {'xor', true, 1}, {map_get, a, #{b => 1}}, {element, 9, '$_'},
             #{{hd, []} => {tl, []}}, [{hd, []} | {tl, []}]}},
    both([{1, a}, {1, 2}], [{{'$1', '$2'}, [], [Body]}]),
    both([{1, a}, {1, 2}], [{{'$1', '$2'}, [], [{hd, []}, Body, {tl, Body}]}]),
    [both([{1, a}, {1, 2}, {true, false}, {a, b}], [{{'$1', '$2'}, [G], ['$_']}, {'_', [], [no]}])
     || G <- [{'+', '$1', '$2'}, {'or', true, {'+', '$2', 1}}, {'orelse', true, {'+', '$2', 1}}, {'and', false, {'+', '$2', 1}},
              {'andalso', false, {'+', '$2', 1}}, {'andalso', '$1', '$2'}, {'orelse', '$2', '$1'}, {'not', {'+', a, '$1'}}, '$1', '$2',
              {'or', '$1'}, {'and', '$1'}, {'not', '$2'}, {'not', {'and', '$1', '$2'}}, {'orelse', '$1', 5}, {'==', {'+', '$2', 1}, 3},
              {'orelse', {'andalso', '$2', '$1'}, {'andalso', '$1', true}}, {'xor', '$1', '$2'}, {is_list, '$$'}, {'=:=', '$_', {{1, 2}}}]].

large_maps_are_built_case() ->
    L = [{I, I} || I <- lists:seq(10, 60)],
    [both([{x, 2}], [{{'$1', '$2'}, [], [B]}])
     || M <- [maps:from_list([{a, '$1'} | L]), maps:from_list([{'$1', 1} | L]), maps:from_list([{a, {const, b}}, {b, {{c}}} | L]),
              maps:from_list([{'$2', '$1'}, {c, '$_'} | L]), maps:from_list([{{'+', '$2', 1}, '$$'} | L]), #{'$1' => '$2', {const, {k}} => 1},
              #{b => '$1', a => '$2', {{z}} => 3}, #{}, #{[x] => {{y}}}, #{<<"k">> => "str", 1.0 => [1, 2]}],
        B <- [M, [M], {{M, '$1'}}, {map_size, M}, {{1, M, #{k => M}}}]].

nesting_needs_no_stack_case() ->
    Deep = fun(N, F, Acc) -> lists:foldl(fun(_, A) -> F(A) end, Acc, lists:seq(1, N)) end,
    %% ets refuses what is nested more deeply than its stack; here all of this works.
    [begin
         {ok, P} = ours_compile([{{'$1'}, [], [Deep(20000, F, Last)]}]),
         [_] = nif_run(P, {1}, 1),
         both([{1}], [{{'$1'}, [], [Deep(200, F, Last)]}]),
         {ok, G} = ours_compile([{{'$1'}, [Deep(20000, F, Last)], [1]}]),
         nif_run(G, {1}, 1),
         limit = ours_compile([{{'$1'}, [], [Deep(1000000, F, Last)]}])
     end || {F, Last} <- [{fun(A) -> {'orelse', A, true} end, true}, {fun(A) -> {'andalso', true, A} end, true}, {fun(A) -> {'and', A, true} end, true},
                          {fun(A) -> [A] end, '$1'}, {fun(A) -> {{A}} end, '$1'}, {fun(A) -> #{a => A} end, '$1'}, {fun(A) -> {hd, A} end, '$1'},
                          {fun(A) -> [A | a] end, '$1'}, {fun(A) -> {'+', A, '$1'} end, '$1'}]],
    [begin
         {ok, P} = ours_compile([{{Deep(20000, F, '$1')}, [], ['$1']}]),
         [7] = nif_run(P, {Deep(20000, F, 7)}, 0),
         [] = nif_run(P, {Deep(19999, F, [])}, 0)
     end || F <- [fun(A) -> {A} end, fun(A) -> [A, b] end, fun(A) -> {b, A} end, fun(A) -> [A | b] end, fun(A) -> #{a => A} end]].

many_variables_case() ->
    N = 500,
    Vars = [list_to_atom("$" ++ integer_to_list(I * 37 rem 1009)) || I <- lists:seq(1, N)],
    O = list_to_tuple(lists:seq(1, N)),
    both([O], [{list_to_tuple(Vars), [{'<', hd(Vars), lists:last(Vars)}], ['$$']}]),
    both([O], [{list_to_tuple(Vars), [{is_list, '$$'}], [lists:last(Vars)]}]),
    both([O], [{list_to_tuple(Vars ++ ['$5']), [], [1]}, {list_to_tuple(lists:reverse(Vars)), [], [{lists:nth(3, Vars), []}, 2]}]),
    both([O], [{list_to_tuple(lists:reverse(Vars)), [], [{{lists:nth(3, Vars), '$99999999'}}]}]).

handles_and_blobs_come_out_case() ->
    B = binary:copy(<<"0123456789">>, 100),
    C = <<B/binary, "x">>,
    R = atomics:new(1, []),
    Objects = [{1, B}, {1, C}, {B, B}, {1, [B, R]}, {1, R}, {1, #{a => B}}, {1, {R, B}}, {{B}, B}],
    [both(Objects, S) || S <- [[{{'_', '$1'}, [], ['$1']}], [{{'_', B}, [], ['$_']}], [{{'$1', '$1'}, [], [true]}], [{{'_', '$1'}, [], [{{'$1', B, R}}]}],
                               [{{'_', '$1'}, [{'==', '$1', B}], [1]}], [{{'_', '$1'}, [{'=:=', '$1', {const, R}}], ['$1']}],
                               [{{'_', [B | '$1']}, [], ['$1']}], [{{'_', #{a => B}}, [], [yes]}], [{{'_', '$1'}, [], [#{'$1' => '$1'}]}],
                               [{{'_', '$1'}, [], [{map_get, '$1', {const, #{B => b}}}]}], [{{{B}, '_'}, [], [1]}],
                               [{{'_', '$1'}, [], [{{{byte_size, '$1'}, {size, '$1'}, {bit_size, '$1'}, {binary_part, '$1', 5, 10}}}]}],
                               [{{'_', {'$1', '_'}}, [], ['$1']}], [{{'_', '$1'}, [], [{'<', '$1', C}]}]]].

every_failing_allocation_is_reported_case() ->
    Spec = [{{'$1', ['$2' | '$3']}, [{'==', {'+', '$1', 1 bsl 100}, {'+', 1 bsl 100, 1}}],
             [{{'$$', #{'$1' => '$2', k => '$3'}, ['$1' | '$3'], {tl, '$3'}, {const, lists:seq(1, 200)}}}]}],
    Object = {1, lists:seq(1, 100) ++ [a]},
    Expected = ets:match_spec_run([Object], ets:match_spec_compile(Spec)),
    Try = fun Try(N) ->
                  nif_fail_after(N),
                  R = try case nif_compile(Spec) of P when is_reference(P) -> nif_run(P, Object, 1); E -> E end after nif_fail_after(-1) end,
                  case R of
                      nomem -> Try(N + 1);
                      Expected -> N
                  end
          end,
    ?assert(Try(0) > 5).

the_longest_integers_case() ->
    Bits = case new([26]) of [] -> (1 bsl 25) - 64; _ -> 4194303 end,
    [both([{1, Bits + D}], [{{'$1', '$2'}, [], [{is_integer, {'bsl', '$1', '$2'}}]}]) || D <- [-2, -1], list_to_integer(erlang:system_info(otp_release)) < 26],
    both([{1, 1 bsl 80}, {0, 1 bsl 80}, {5, -(1 bsl 80)}, {-5, -(1 bsl 80)}], [{{'$1', '$2'}, [], [{'bsl', '$1', '$2'}]}]),
    both([{-1, 1 bsl 80}, {0, -(1 bsl 80)}, {5, 1 bsl 80}], [{{'$1', '$2'}, [], [{'bsr', '$1', '$2'}]}]).

replacing_is_allowed_where_ets_allows_it_case() ->
    [begin
         Key = replaced_key(2),
         New = case upto(6) of
                   0 -> {element, pick([1, 2, 1.0]), pick(['$_', '$1', a])};
                   1 -> {const, Key};
                   2 -> replaced_key(2);
                   _ -> made(Key)
               end,
         Spec = [{pick([{Key, '$7'}, {Key, '$7'}, {Key}, {'_', Key}, '_', '$1']), [],
                  pick([[{{New, x}}], [{{New}}], [{{x, New}}], [{const, {Key, x}}], ['$_'], [{{New, x}}], [{{New, '$_'}}], ['$_', '$_'], [{New}]])}],
         KeyPos = pick([1, 1, 2]),
         T = ets:new(t, [{keypos, KeyPos}]),
         Theirs = try ets:select_replace(T, Spec) of 0 -> true catch error:badarg -> false end,
         ets:delete(T),
         Ours = case ours_compile(Spec) of {ok, P} -> element(3, nif_plan(P, KeyPos, false)); _ -> false end,
         Ours =:= Theirs orelse error({keeps, KeyPos, Spec, {ours, Ours}, {ets, Theirs}})
     end || _ <- lists:seq(1, tsunami_test:rounds(20000))].

replaced_key(D) ->
    case upto(8) of
        0 when D > 0 -> list_to_tuple(some(2, fun() -> replaced_key(D - 1) end));
        1 when D > 0 -> some(2, fun() -> replaced_key(D - 1) end);
        2 when D > 0 -> [replaced_key(D - 1) | replaced_key(D - 1)];
        3 -> pick([#{}, #{a => 1}, '_', '$_', '$$']);
        4 -> pick([1.0, "ab", <<"x">>, [], {}]);
        N -> pick(['$1', '$1', '$2', a, N])
    end.

%% An expression that makes what the pattern matches; now and then not quite.
made(T) when is_tuple(T) ->
    case upto(12) of 0 -> T; 1 -> {const, T}; _ -> {list_to_tuple([made(E) || E <- tuple_to_list(T)])} end;
made([H | T]) -> [made(H) | made(T)];
made(T) when T =:= []; is_integer(T) -> T;
made(T) -> case upto(20) of 0 -> {const, T}; _ -> T end.

plans_miss_nothing_case() ->
    [begin
         Objects = [list_to_tuple([key_term(2), small(2), key_term(1)]) || _ <- lists:seq(1, 12)],
         Spec = [plan_clause(pick(Objects)) | some(2, fun() -> plan_clause(pick(Objects)) end)],
         [plan_check(P, KeyPos, Ordered, Objects, Spec) || {ok, P} <- [ours_compile(Spec)], KeyPos <- [1, 3], Ordered <- [true, false]]
     end || _ <- lists:seq(1, tsunami_test:rounds(8000))].

small(N) -> upto(N).
key_term(D) ->
    case upto(6) of
        0 when D > 0 -> list_to_tuple(some(3, fun() -> key_term(D - 1) end));
        1 when D > 0 -> {key_term(D - 1), small(3)};
        2 -> float(small(6));
        3 -> pick([a, b, "ab", [a, 1], #{a => 1}, <<>>, 0.0]);
        _ -> small(6)
    end.

plan_clause(O) ->
    Head = case upto(9) of 0 -> '_'; 1 -> '$1'; _ -> list_to_tuple([plan_pattern(E) || E <- tuple_to_list(O)]) end,
    Guard = fun() ->
                    Key = pick(['$1', '$1', {element, pick([1, 3]), pick(['$_', '$_', '$1'])}]),
                    {A, B} = pick([{Key, plain(key_term(2))}, {plain(key_term(2)), Key}]),
                    case {pick(['>', '<', '>=', '=<', '==', '=:=', '/=', '=/=']), A, B} of
                        G -> pick([G, G, {'andalso', G, true}, {'orelse', G, false}, {'not', G}])
                    end
            end,
    {Head, [rebind(G, variables(Head)) || variables(Head) =/= [], G <- some(2, Guard)], [true]}.

plan_pattern(T) ->
    case upto(5) of
        0 -> '_';
        1 -> '$1';
        2 -> '$2';
        3 when is_tuple(T) -> list_to_tuple([plan_pattern(E) || E <- tuple_to_list(T)]);
        _ -> T
    end.

plan_check(P, KeyPos, Ordered, Objects, Spec) ->
    {Kind, Keys, _} = nif_plan(P, KeyPos, Ordered),
    Twice = [A || {I, A} <- lists:zip(lists:seq(1, length(Keys)), Keys), B <- lists:nthtail(I, Keys), A =:= B orelse (Ordered andalso A == B)],
    Twice =:= [] orelse error({twice, Keys}),
    [begin
         Key = element(KeyPos, O),
         In = nif_covers(P, KeyPos, Ordered, Key),
         In orelse nif_run(P, O, KeyPos) =:= [] orelse error({missed, O, KeyPos, Spec, Kind, Keys})
     end || O <- Objects].

plans_are_narrow_case() ->
    Plan = fun(Ordered, Spec) -> {ok, P} = ours_compile(Spec), {Kind, Keys, _} = nif_plan(P, 1, Ordered),
                                 {Kind, Keys, case Kind of range -> [K || K <- lists:seq(0, 20) ++ [{1, a}, {2, a}, {1, b}, {1, a, x}, {1, b, x}, a, [1], [1, 2], [2, 1]], nif_covers(P, 1, Ordered, K)]; _ -> [] end} end,
    {keys, [7], []} = Plan(false, [{{7, '_'}, [], ['$_']}]),
    {keys, [{b}, 7], []} = Plan(false, [{{7, '_'}, [], ['$_']}, {{{b}, '$1'}, [], [1]}, {{7, x}, [], [2]}]),
    {keys, [3], []} = Plan(false, [{{'$1', '_'}, [{'=:=', '$1', 3}], ['$_']}]),
    {all, [], []} = Plan(false, [{{'$1', '_'}, [{'==', '$1', 3}], ['$_']}]),
    {keys, [3], []} = Plan(true, [{{'$1', '_'}, [{'==', 3, '$1'}], ['$_']}]),
    {keys, [3], []} = Plan(true, [{'_', [{'==', 3, {element, 1, '$_'}}], ['$_']}]),
    {nothing, [], []} = Plan(true, [{{}, [], ['$_']}, {a, [], [1]}]),
    {range, [], [5, 6, 7, 8]} = Plan(true, [{{'$1', '_'}, [{'>=', '$1', 5}, {'<', '$1', 9}], ['$_']}]),
    {range, [], [6, 7, 8]} = Plan(true, [{{'$1', '_'}, [{'andalso', {'<', 5, '$1'}, {'and', {'=<', '$1', 8}, {is_integer, '$1'}}}], ['$_']}]),
    {range, [], [2, 3, 4, 5, 6, 7, 8, 9]} = Plan(true, [{{'$1', '_'}, [{'>', '$1', 5}, {'<', '$1', 10}], ['$_']}, {{'$1', '_'}, [{'>', '$1', 1}, {'=<', '$1', 7}], [1]}]),
    {range, [], [{1, a}, {1, b}]} = Plan(true, [{{{1, '_'}, '_'}, [], ['$_']}]),
    {range, [], [{1, a, x}]} = Plan(true, [{{{1, a, '$1'}, '_'}, [], ['$_']}]),
    {range, [], [3, {1, a}, {1, b}]} = Plan(true, [{{{1, '_'}, '_'}, [], ['$_']}, {{3, '_'}, [], [1]}]),
    {range, [], [[1], [1, 2]]} = Plan(true, [{{[1 | '_'], '_'}, [], ['$_']}]),
    {range, [], [1, 2, 19, 20]} = Plan(true, [{{'$1', '_'}, [{'>', '$1', 0}, {'<', '$1', 3}], [a]}, {{'$1', '_'}, [{'>', '$1', 18}, {'<', '$1', 30}], [a]}]),
    {all, [], []} = Plan(true, [{{{1, a, '$1'}, '_'}, [], ['$_']}, {'_', [], [1]}]).

%% ---- Figures ----

bench() ->
    ok = load(),
    Objects = [{I, I * 7 rem 1000, abc, <<"value">>} || I <- lists:seq(1, 20000)],
    [begin
         {Ns, Count} = nif_time(nif_compile(Spec), Objects, 200),
         Theirs = ets:match_spec_compile(Spec),
         T = lists:min([element(1, timer:tc(fun() -> ets:match_spec_run(Objects, Theirs) end)) || _ <- lists:seq(1, 20)]),
         io:format("~6.1f ns (ets run ~6.1f) ~6b  ~0p~n", [Ns, T * 1000 / 20000, Count, Spec])
     end || Spec <- [[{{'_', '_', '_', '_'}, [], [true]}], [{{'$1', '_', '_', '_'}, [{'>', '$1', 10000}], [true]}],
                     [{{'_', '$1', '_', '_'}, [{'>', '$1', 500}], [true]}], [{{'$1', '$2', '$3', '$4'}, [{'<', '$2', 500}], [true]}],
                     [{{'_', '$1', abc, '_'}, [{'>', '$1', 500}, {'<', '$1', 600}], [true]}],
                     [{{'_', '$1', '_', '_'}, [{'orelse', {'==', '$1', 7}, {'==', '$1', 14}}], [true]}],
                     [{{'_', '$1', '_', '_'}, [{'==', {'rem', '$1', 2}, 0}], [true]}],
                     [{{'$1', '$2', '_', '_'}, [{'>', '$2', 500}], ['$1']}], [{{'$1', '$2', '_', '_'}, [{'>', '$2', 500}], [{{'$1', '$2'}}]}],
                     [{'_', [], ['$_']}], [{{1, '_', '_', '_'}, [], [true]}], [{{'$1', '_', '_', '$2'}, [{is_binary, '$2'}], [true]}]]],
    ok.

bench_compile() ->
    ok = load(),
    Time = fun(F) -> lists:min([element(1, timer:tc(fun() -> [F() || _ <- lists:seq(1, 2000)] end)) || _ <- lists:seq(1, 20)]) / 2 end,
    [io:format("compile: ~7.1f ns (ets ~7.1f)  ~0p~n", [Time(fun() -> nif_compile(Spec) end), Time(fun() -> ets:match_spec_compile(Spec) end), Spec])
     || Spec <- [[{'_', [], [true]}], [{{'$1', '_', '_'}, [{'>', '$1', 5}], [true]}],
                 [{{'$1', '$2', '_'}, [{'>', '$1', 5}, {'<', '$1', 50}, {'orelse', {'==', '$2', a}, {is_list, '$2'}}], [{{'$1', '$2'}}]}]]],
    ok.
