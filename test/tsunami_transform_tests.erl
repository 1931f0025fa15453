%% tsunami_transform_tests: modules that say ets, compiled in memory, and asked where their tables are.
-module(tsunami_transform_tests).
-include_lib("eunit/include/eunit.hrl").

%% --- calls ------------------------------------------------------------------------------

a_call_goes_to_tsunami_test() ->
    M = load(["run() -> T = ets:new(t, []), ets:insert(T, {a, 1}), {T, ets:lookup(T, a)}."]),
    {T, [{a, 1}]} = M:run(),
    ?assertEqual(1, tsunami:info(T, size)).

a_call_of_an_unknown_function_goes_to_tsunami_test() ->
    M = load(["run(F) -> ets:F(t, [])."]),
    ?assert(is_tsunami(M:run(new))).

calls_in_every_place_of_an_expression_go_to_tsunami_test() ->
    M = load(["-record(r, {t = ets:new(t, [])}).",
              "run() -> [ets:new(N, []) || N <- [a, b]] ++ [(fun() -> ets:new(c, []) end)(), (#r{})#r.t,",
              "         maps:get(t, #{t => ets:new(d, [])}), element(1, {ets:new(e, [])}),",
              "         case ets:new(f, []) of T -> T end, try ets:new(g, []) catch _:_ -> no after ok end]."]),
    ?assertEqual(lists:duplicate(8, true), [is_tsunami(T) || T <- M:run()]).

a_fun_goes_to_tsunami_test() ->
    M = load(["run() -> New = fun ets:new/2, New(t, []).",
              "run(F, A) -> New = fun ets:F/A, New(t, [])."]),
    ?assert(is_tsunami(M:run())),
    ?assert(is_tsunami(M:run(new, 2))).

an_imported_function_goes_to_tsunami_test() ->
    M = load(["-import(ets, [new/2, lookup/2]).", "run() -> New = fun new/2, {new(t, []), New(t, [])}.", "new(X) -> X."]),
    {T1, T2} = M:run(),
    ?assert(is_tsunami(T1)),
    ?assert(is_tsunami(T2)).

other_modules_and_atoms_stay_test() ->
    M = load(["run() -> {ets, lists:last([ets]), erlang:system_info(ets_limit) > 0, #{ets => ets}, {ets, size, 7}, {ets, new, x},",
              "          \"ets\", send(ets, insert)}.", "send(A, B) -> {A, B}."]),
    ?assertEqual({ets, ets, true, #{ets => ets}, {ets, size, 7}, {ets, new, x}, "ets", {ets, insert}}, M:run()).

%% --- MFAs -------------------------------------------------------------------------------

apply_goes_to_tsunami_test() ->
    M = load(["run() -> apply(ets, new, [t, []]).", "run(F) -> erlang:apply(ets, F, [t, []]).",
              "run(F, A) -> apply(ets, F, A).", "rest(A) -> apply(ets, new, [t | A])."]),
    ?assertEqual([true, true, true, true],
                 [is_tsunami(T) || T <- [M:run(), M:run(new), M:run(new, [t, []]), M:rest([[]])]]).

processes_and_timers_start_in_tsunami_test() ->
    M = load(["run(T) -> [spawn(ets, insert, [T, {1}]), spawn(node(), ets, insert, [T, {2}]), spawn_link(ets, insert, [T, {3}]),",
              "          proc_lib:spawn(ets, insert, [T, {4}]), timer:tc(ets, insert, [T, {5}]), timer:apply_after(0, ets, insert, [T, {6}]),",
              "          rpc:call(node(), ets, insert, [T, {7}]), erpc:call(node(), ets, insert, [T, {8}]),",
              "          element(1, spawn_monitor(ets, insert, [T, {9}])), spawn_opt(ets, insert, [T, {10}], [link])]."]),
    T = tsunami:new(t, [public]),
    M:run(T),
    ?assert(within(2000, fun() -> tsunami:info(T, size) =:= 10 end)).

questions_about_functions_are_about_tsunami_test() ->
    M = load(["run() -> {erlang:function_exported(ets, next_lookup, 2), erlang:fun_info(erlang:make_fun(ets, new, 2), module),",
              "          ets:module_info(module)}."]),
    _ = tsunami:module_info(),
    ?assertEqual({true, {module, tsunami}, tsunami}, M:run()).

mfas_in_tuples_and_arguments_are_recognised_test() ->
    M = load(["run() -> {{ets, insert, 2}, {ets, lookup, [t, k]}, {ets, lookup, [t, k], []}, hand(x, ets, new, [t, []]),",
              "          hand(x, ets, new, [t])}.",
              "frame() -> try ets:lookup(no_table_of_this_name, k)",
              "           catch error:badarg:Stack -> [{ets, lookup, [_, k], _} | _] = Stack, ok end.",
              "hand(X, M, F, A) -> {X, M, F, A}."]),
    ?assertEqual({{tsunami, insert, 2}, {tsunami, lookup, [t, k]}, {tsunami, lookup, [t, k], []}, {x, tsunami, new, [t, []]},
                  {x, ets, new, [t]}}, M:run()),
    ?assertEqual(ok, M:frame()).

%% --- types ------------------------------------------------------------------------------

types_are_those_of_tsunami_test() ->
    Forms = forms(["-type a() :: ets:tid() | {ets:table(), ets:tab(), ets:match_spec()}.", "-spec run(ets:tid()) -> ets:table().",
                   "-record(r, {t :: ets:tid()}).", "run(T) -> T."]),
    ?assertEqual([{ets, match_spec}, {tsunami, table}, {tsunami, tid}],
                 lists:usort(remote_types(tsunami_transform:parse_transform(Forms, [])))).

tsunami_has_the_types_test() ->
    {ok, {_, [{abstract_code, {_, Forms}}]}} = beam_lib:chunks(code:which(tsunami), [abstract_code]),
    Exported = [T || {attribute, _, export_type, Ts} <- Forms, T <- Ts],
    ?assertEqual([], [{tid, 0}, {table, 0}] -- Exported).

%% --- fun2ms -----------------------------------------------------------------------------

fun2ms_is_expanded_in_either_order_test() ->
    Text = ["run() -> ets:fun2ms(fun({K, V}) when V > 1 -> K end)."],
    Spec = [{{'$1', '$2'}, [{'>', '$2', 1}], ['$1']}],
    [?assertEqual(Spec, (load(Text, [{parse_transform, T} || T <- Order])):run())
     || Order <- [[tsunami_transform, ms_transform], [ms_transform, tsunami_transform]]].

%% --- what tsunami does not have ---------------------------------------------------------

a_missing_function_is_an_error_with_its_line_test() ->
    {error, [{_, [{Where, tsunami_transform, What}]}], []} =
        compiled(["run(T) ->", "    ets:no_such_function(T, 1)."], [{parse_transform, tsunami_transform}]),
    ?assertEqual(3, line(Where)),
    ?assertEqual("tsunami has no function no_such_function/2, which ets is called for here",
                 lists:flatten(tsunami_transform:format_error(What))).

every_missing_function_is_named_test() ->
    {error, Errors, []} = compiled(["-import(ets, [gone1/1]).",
                                    "run(T) -> gone1(T), fun ets:gone2/2, apply(ets, gone3, T), spawn(ets, gone4, [T])."],
                                   [{parse_transform, tsunami_transform}]),
    ?assertEqual([{missing, gone1, 1}, {missing, gone2, 2}, {missing, gone3, any}, {missing, gone4, 1}],
                 [What || {_, Es} <- Errors, {_, _, What} <- Es]).

a_missing_function_may_be_a_warning_test() ->
    Text = ["run(T) -> ets:no_such_function(T, 1)."],
    Options = [{parse_transform, tsunami_transform}, {tsunami_transform, [{missing, warning}]}],
    {ok, _, _, [{_, [{_, tsunami_transform, {missing, no_such_function, 2}}]}]} = compiled(Text, Options),
    M = load(Text, Options),
    ?assertError(undef, M:run(t)),
    InModule = load(["-compile({tsunami_transform, [{missing, warning}]})." | Text]),
    ?assertError(undef, InModule:run(t)).

%% --- options ----------------------------------------------------------------------------

only_and_except_choose_functions_test() ->
    Text = ["-import(ets, [new/2]).", "a() -> {ets:new(t, []), new(t, [])}.", "b() -> {ets:new(t, []), new(t, [])}."],
    [begin
         M = load(["-compile({tsunami_transform, " ++ Option ++ "})." | Text]),
         ?assertEqual({true, false}, {everywhere(M:a()), everywhere(M:b())})
     end || Option <- ["{only, [{a, 0}]}", "{except, [{b, 0}]}", "[{only, [{a, 0}, {b, 0}]}, {except, [{b, 0}]}]"]].

a_wrong_option_is_an_error_test() ->
    [?assertMatch({error, [{_, [{_, tsunami_transform, What}]}], []},
                  compiled(["run() -> ok."], [{parse_transform, tsunami_transform}, {tsunami_transform, [Option]}]))
     || {Option, What} <- [{{only, [{gone, 0}]}, {no_function, {gone, 0}}}, {{missing, perhaps}, {option, {missing, perhaps}}},
                           {all, {option, all}}]],
    [?assert(is_list(lists:flatten(tsunami_transform:format_error(What))))
     || What <- [{no_function, {gone, 0}}, {option, all}, {missing, f, any}]].

%% --- help -------------------------------------------------------------------------------

load(Lines) -> load(Lines, [{parse_transform, tsunami_transform}]).

load(Lines, Options) ->
    {ok, Module, Binary, _Warnings} = compiled(Lines, Options),
    {module, Module} = code:load_binary(Module, "in memory", Binary),
    Module.

compiled(Lines, Options) ->
    compile:forms(forms(Lines), [return, export_all, nowarn_export_all, deterministic | Options]).

forms(Lines) ->
    Module = "tsunami_transform_tests_" ++ integer_to_list(erlang:unique_integer([positive])),
    {ok, Tokens, _} = erl_scan:string(lists:flatten(lists:join("\n", ["-module(" ++ Module ++ ")." | Lines]))),
    split(Tokens, []).

split([], []) -> [];
split([{dot, _} = Dot | Tokens], Acc) ->
    {ok, Form} = erl_parse:parse_form(lists:reverse([Dot | Acc])),
    [Form | split(Tokens, [])];
split([Token | Tokens], Acc) -> split(Tokens, [Token | Acc]).

remote_types({remote_type, _, [{atom, _, M}, {atom, _, T}, _]}) -> [{M, T}];
remote_types(Tuple) when is_tuple(Tuple) -> remote_types(tuple_to_list(Tuple));
remote_types([Head | Tail]) -> remote_types(Head) ++ remote_types(Tail);
remote_types(_) -> [].

line({Line, _}) -> Line;
line(Line) -> Line.

is_tsunami(T) -> tsunami:info(T, size) =:= 0.

everywhere({A, B}) ->
    [A1, B1] = [lists:member(T, tsunami:all()) || T <- [A, B]],
    A1 = B1.

within(Ms, Is) ->
    case Is() of
        true -> true;
        false when Ms =< 0 -> false;
        false -> timer:sleep(10), within(Ms - 10, Is)
    end.
