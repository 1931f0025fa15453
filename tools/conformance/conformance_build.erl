%% conformance_build: compiles ets_SUITE against tsunami, and what it needs to run.
-module(conformance_build).
-export([main/1]).

%% main([Sources, Out, Which]): Sources is a tree of OTP, Which says what is called tsunami: `tsunami` itself, or in
%% its place a module that hands every call to ets, `stock`, or one that does so wrongly, `faulty`.
main([Sources, Out, Which]) ->
    Otp = list_to_integer(erlang:system_info(otp_release)),
    Tests = filename:join(Sources, "lib/stdlib/test"),
    Suite = filename:join(Tests, "ets_SUITE.erl"),
    {ok, Forms0} = epp:parse_file(Suite, [{includes, [filename:join(Sources, "lib"), Tests]}]),
    Broken = [Form || {error, _} = Form <- Forms0],
    {Forms1, Failed} = conformance_patches:apply(Forms0, Otp),
    Forms2 = transformed(ms_transform:parse_transform(Forms1, [])),
    ok = filelib:ensure_dir(filename:join(Out, "x")),
    beam(Out, compile:forms(Forms2, [return_errors, debug_info, nowarn_export_all])),
    beam(Out, compile:file(filename:join(Sources, "erts/emulator/test/erts_test_utils.erl"), [binary, return_errors])),
    case Which of
        "tsunami" -> ok;
        _ -> beam(Out, compile:forms(shim(Which), [return_errors]))
    end,
    Problems = [io_lib:format("could not be read: ~tp", [Form]) || Form <- Broken]
        ++ [io_lib:format("the patch ~p finds nothing to change: ~tp", [Name, Change]) || {Name, Change} <- Failed]
        ++ [io_lib:format("line ~p still says ets", [Line]) || Line <- left(Forms2)]
        ++ [io_lib:format("the compiled suite calls ~p:~p/~b", [M, F, A]) || {ets = M, F, A} <- imports(Out)],
    [io:format("~ts~n", [Problem]) || Problem <- Problems],
    ok = file:write_file(filename:join(Out, "cases"), [[atom_to_list(Case), $\n] || Case <- cases(Out) ++ [exports]]),
    halt(case Problems of [] -> 0; _ -> 1 end).

transformed(Forms) ->
    case tsunami_transform:parse_transform(Forms, [{tsunami_transform, [{missing, warning}]}]) of
        {warning, Forms1, _} -> Forms1;
        Forms1 when is_list(Forms1) -> Forms1
    end.

beam(Out, {ok, Module, Binary}) ->
    ok = file:write_file(filename:join(Out, atom_to_list(Module) ++ ".beam"), Binary);
beam(Out, {ok, Module, Binary, _Warnings}) ->
    beam(Out, {ok, Module, Binary}).

%% Lines that use ets as the module of a call or a fun.
left({remote, Anno, {atom, _, ets}, _}) -> [erl_anno:line(Anno)];
left({'fun', Anno, {function, {atom, _, ets}, _, _}}) -> [erl_anno:line(Anno)];
left({call, Anno, _, Args} = Call) ->
    case [1 || {{atom, _, ets}, Next} <- lists:zip(Args, tl(Args ++ [none])), is_function_name(Next)] of
        [] -> lists:flatmap(fun left/1, tuple_to_list(Call));
        _ -> [erl_anno:line(Anno)]
    end;
left(Tuple) when is_tuple(Tuple) -> lists:flatmap(fun left/1, tuple_to_list(Tuple));
left([Head | Tail]) -> left(Head) ++ left(Tail);
left(_) -> [].

is_function_name({atom, _, Name}) -> lists:keymember(Name, 1, ets:module_info(exports));
is_function_name(_) -> false.

imports(Out) ->
    {ok, {_, [{imports, Imports}]}} = beam_lib:chunks(filename:join(Out, "ets_SUITE.beam"), [imports]),
    Imports.

cases(Out) ->
    {module, Suite} = code:load_abs(filename:join(Out, "ets_SUITE")),
    Groups = Suite:groups(),
    lists:flatmap(fun({group, Group}) -> {Group, _, Cases} = lists:keyfind(Group, 1, Groups), Cases;
                     (Case) -> [Case]
                  end, Suite:all()).

%% --- what stands in for tsunami ---------------------------------------------------------

shim(Which) ->
    Exports = [{F, A} || {F, A} <- ets:module_info(exports), F =/= module_info],
    [{attribute, 1, module, tsunami}, {attribute, 1, export, Exports} | [hand_over(Which, F, A) || {F, A} <- Exports]].

hand_over(Which, Function, Arity) ->
    Args = [{var, 1, list_to_atom("A" ++ integer_to_list(I))} || I <- lists:seq(1, Arity)],
    Call = {call, 1, {remote, 1, {atom, 1, ets}, {atom, 1, Function}}, Args},
    Body = case {Which, Function, Arity} of
               %% A bag that answers in the wrong order.
               {"faulty", lookup, 2} -> {call, 1, {remote, 1, {atom, 1, lists}, {atom, 1, reverse}}, [Call]};
               _ -> Call
           end,
    {function, 1, Function, Arity, [{clause, 1, Args, [], [Body]}]}.
