%% tsunami_transform: a parse transform that makes a module which says ets use tsunami.
%%
%% Works on what a module's text shows: calls, funs, MFAs and types. Each function of the form is looked for among
%% the exports of tsunami, as it is while the module is compiled, so that this list is kept nowhere else.
-module(tsunami_transform).

-include("tsunami_doc.hrl").
?MODULEDOC("Makes a module that says `ets` use `m:tsunami`.\n\n"
           "In Erlang:\n\n"
           "```erlang\n-compile({parse_transform, tsunami_transform}).\n```\n\n"
           "or for all modules of a project `{erl_opts, [{parse_transform, tsunami_transform}]}` in rebar.config. In a module of "
           "Elixir 1.x, which warns that later versions may not know parse transforms:\n\n"
           "```elixir\n@compile {:parse_transform, :tsunami_transform}\n```\n\n"
           "What it sees:\n\n"
           "- calls `ets:f(...)`, also of functions from `-import(ets, [...])`, and `fun ets:f/N`;\n"
           "- `ets` as the module of `apply/3`, of `spawn`s, of functions of `m:proc_lib`, `m:timer`, `m:rpc` and `m:erpc`, "
           "of `erlang:function_exported/3` and the like;\n"
           "- `ets, f, [...]` among the arguments of any other call, and tuples `{ets, f, ArgsOrArity}`, with or without a "
           "fourth element as in a stack trace, if `ets` has such a function;\n"
           "- the types `ets:table()` and `ets:tid()`. Others, such as `ets:match_spec()`, mean the same for both.\n\n"
           "`ets:fun2ms/1` is left to `m:ms_transform`, in whatever order the two are run.\n\n"
           "It cannot see a module in a variable (`M = ets, M:new(...)`), nor what other modules do with a table that they are "
           "handed: `qlc`, `dets` or `mnesia` call `ets` themselves.\n\n"
           "A function that `m:tsunami` does not have is an error that names it and its line. Options, as "
           "`{tsunami_transform, [Option]}` among the compiler's options or in `-compile(...)`:\n\n"
           "- `{missing, warning}`: only a warning, and an `undef` when it is called;\n"
           "- `{only, [{Function, Arity}]}`: nothing outside these functions of the module is changed, and types nowhere;\n"
           "- `{except, [{Function, Arity}]}`: nothing inside these.").

-export([parse_transform/2, format_error/1]).

-define(FROM, ets).
-define(TO, tsunami).
%% Types that mean something else for tsunami.
-define(TYPES, #{tid => tid, table => table, tab => table}).

-record(state, {exports :: [{atom(), arity()}],
                imports = [] :: [{atom(), arity()}],
                options = #{} :: #{atom() => term()},
                file = "" :: file:name(),
                errors = [] :: [{file:name(), erl_anno:location(), term()}],
                warnings = [] :: [{file:name(), erl_anno:location(), term()}]}).

?DOC("What the compiler calls.").
-spec parse_transform([erl_parse:abstract_form()], [compile:option()]) ->
          [erl_parse:abstract_form()]
              | {warning, [erl_parse:abstract_form()], list()}
              | {error, list(), list()}.
parse_transform(Forms, CompileOptions) ->
    Imports = [FA || {attribute, _, import, {?FROM, FAs}} <- Forms, FA <- FAs],
    State0 = options(Forms, CompileOptions, #state{exports = ?TO:module_info(exports), imports = Imports}),
    {Forms1, State1} = lists:mapfoldl(fun form/2, State0, Forms),
    case State1 of
        #state{errors = [], warnings = []} -> Forms1;
        #state{errors = [], warnings = Warnings} -> {warning, Forms1, messages(Warnings)};
        #state{errors = Errors, warnings = Warnings} -> {error, messages(Errors), messages(Warnings)}
    end.

?DOC("The text of a warning or an error.").
-spec format_error(term()) -> io_lib:chars().
format_error({missing, Function, any}) ->
    io_lib:format("~p has no function ~tp, which ~p is called for here", [?TO, Function, ?FROM]);
format_error({missing, Function, Arity}) ->
    io_lib:format("~p has no function ~tp/~b, which ~p is called for here", [?TO, Function, Arity, ?FROM]);
format_error({no_function, {Function, Arity}}) ->
    io_lib:format("an option names ~tp/~b, which this module does not define", [Function, Arity]);
format_error({option, Option}) ->
    io_lib:format("~p is no option of ~p", [Option, ?MODULE]).

messages(Messages) ->
    [{File, [{Location, ?MODULE, What}]} || {File, Location, What} <- lists:reverse(Messages)].

%% --- options ----------------------------------------------------------------------------

options(Forms, CompileOptions, State) ->
    InModule = [{Anno, Option} || {attribute, Anno, compile, Value} <- Forms, Option <- as_list(Value)],
    All = [{Anno, Option} || {Anno, {?MODULE, Options}} <- [{erl_anno:new(0), O} || O <- CompileOptions] ++ InModule,
                             Option <- as_list(Options)],
    Defined = [{Name, Arity} || {function, _, Name, Arity, _} <- Forms],
    File = case [F || {attribute, _, file, {F, _}} <- Forms] of
               [First | _] -> First;
               [] -> ""
           end,
    lists:foldl(fun(Option, S) -> option(Option, Defined, S) end, State#state{file = File}, All).

as_list(List) when is_list(List) -> List;
as_list(One) -> [One].

option({_Anno, {missing, How}}, _Defined, State) when How =:= error; How =:= warning ->
    State#state{options = (State#state.options)#{missing => How}};
option({Anno, {Which, Functions}}, Defined, State) when is_list(Functions), Which =:= only orelse Which =:= except ->
    State1 = State#state{options = (State#state.options)#{Which => Functions}},
    lists:foldl(fun(Function, S) -> message(errors, Anno, {no_function, Function}, S) end, State1, Functions -- Defined);
option({Anno, Option}, _Defined, State) ->
    message(errors, Anno, {option, Option}, State).

selected(Function, #state{options = Options}) ->
    lists:member(Function, maps:get(only, Options, [Function]))
        andalso not lists:member(Function, maps:get(except, Options, [])).

%% --- forms ------------------------------------------------------------------------------

form({attribute, _, file, {File, _}} = Form, State) ->
    {Form, State#state{file = File}};
form({function, _, Name, Arity, _} = Form, State) ->
    case selected({Name, Arity}, State) of
        true -> walk(Form, State);
        false -> {Form, State}
    end;
form({attribute, _, Name, _} = Form, #state{options = Options} = State)
  when not is_map_key(only, Options),
       Name =:= spec orelse Name =:= callback orelse Name =:= type orelse Name =:= opaque orelse Name =:= record ->
    walk(Form, State);
form(Form, State) ->
    {Form, State}.

%% A node of the abstract format, or a list of them. A text is a list too, but none of nodes.
walk({string, _, _} = String, State) ->
    {String, State};
walk({call, Anno, {remote, Anno1, {atom, _, ?FROM} = From, Function}, Args}, State0) ->
    {To, State1} = module(From, Function, length(Args), State0),
    {[Function1 | Args1], State2} = walk([Function | Args], State1),
    {{call, Anno, {remote, Anno1, To, Function1}, Args1}, State2};
walk({call, Anno, {atom, Anno1, Name} = Function, Args}, State0) ->
    {Called, State1} = case imported(Name, length(Args), State0) of
                           true ->
                               {To, S} = module({atom, Anno1, ?FROM}, Function, length(Args), State0),
                               {{remote, Anno1, To, Function}, S};
                           false ->
                               {Function, State0}
                       end,
    {Args1, State2} = args({erlang, Name}, Args, State1),
    {{call, Anno, Called, Args1}, State2};
walk({call, Anno, {remote, _, {atom, _, Module}, {atom, _, Name}} = Function, Args}, State0) ->
    {Args1, State1} = args({Module, Name}, Args, State0),
    {{call, Anno, Function, Args1}, State1};
walk({call, Anno, Function, Args}, State0) ->
    {Function1, State1} = walk(Function, State0),
    {Args1, State2} = args(unknown, Args, State1),
    {{call, Anno, Function1, Args1}, State2};
walk({'fun', Anno, {function, {atom, _, ?FROM} = From, Function, Arity}}, State0) ->
    {To, State1} = module(From, Function, integer(Arity), State0),
    {{'fun', Anno, {function, To, Function, Arity}}, State1};
walk({'fun', Anno, {function, Name, Arity}} = Fun, State0) when is_atom(Name), is_integer(Arity) ->
    case imported(Name, Arity, State0) of
        true ->
            {To, State1} = module({atom, Anno, ?FROM}, {atom, Anno, Name}, Arity, State0),
            {{'fun', Anno, {function, To, {atom, Anno, Name}, {integer, Anno, Arity}}}, State1};
        false ->
            {Fun, State0}
    end;
walk({tuple, Anno, [From, Function, Args | Rest]}, State0) when length(Rest) =< 1 ->
    {MFA, State1} = mfa([From, Function, Args], State0),
    {Elements, State2} = walk(MFA ++ Rest, State1),
    {{tuple, Anno, Elements}, State2};
walk({remote_type, Anno, [{atom, Anno1, ?FROM}, {atom, Anno2, Name}, []]}, State)
  when is_map_key(Name, ?TYPES), not is_map_key(only, State#state.options) ->
    {{remote_type, Anno, [{atom, Anno1, ?TO}, {atom, Anno2, map_get(Name, ?TYPES)}, []]}, State};
walk(Node, State0) when is_tuple(Node) ->
    {Parts, State1} = walk(tuple_to_list(Node), State0),
    {list_to_tuple(Parts), State1};
walk([Node | Nodes], State0) ->
    {Node1, State1} = walk(Node, State0),
    {Nodes1, State2} = walk(Nodes, State1),
    {[Node1 | Nodes1], State2};
walk(Other, State) ->
    {Other, State}.

imported(Name, Arity, #state{imports = Imports}) ->
    lists:member({Name, Arity}, Imports).

%% --- MFAs -------------------------------------------------------------------------------

%% The arguments of a call. Of functions which are known to take a module, its function may be anything; else
%% what follows has to look like an MFA of ets.
args(Called, Args, State0) ->
    {Args1, State1} = case takes_module(Called) of
                          true -> known(Args, State0);
                          false -> unknown(Args, State0)
                      end,
    walk(Args1, State1).

known([{atom, _, ?FROM} = From, Function, Args | Rest], State0) ->
    {To, State1} = module(From, Function, arity(Args), State0),
    {[To, Function, Args | Rest], State1};
known([Arg | Args], State0) ->
    {Args1, State1} = known(Args, State0),
    {[Arg | Args1], State1};
known([], State) ->
    {[], State}.

unknown([_, _, _ | _] = Args, State0) ->
    {MFA, Rest} = lists:split(3, Args),
    {[From | More], State1} = mfa(MFA, State0),
    {Args1, State2} = unknown(More ++ Rest, State1),
    {[From | Args1], State2};
unknown(Args, State) ->
    {Args, State}.

takes_module({erlang, Name}) ->
    lists:member(Name, [apply, spawn, spawn_link, spawn_monitor, spawn_opt, spawn_request, hibernate, function_exported,
                        make_fun]);
takes_module({proc_lib, Name}) ->
    lists:member(Name, [spawn, spawn_link, spawn_monitor, spawn_opt, start, start_link, start_monitor, hibernate]);
takes_module({timer, Name}) ->
    lists:member(Name, [apply_after, apply_interval, apply_repeatedly, tc]);
takes_module({Module, _Name}) ->
    Module =:= rpc orelse Module =:= erpc;
takes_module(unknown) ->
    false.

%% Three nodes that may be an MFA.
mfa([{atom, _, ?FROM} = From, {atom, _, Name} = Function, Args] = Nodes, State0) ->
    Arity = arity(Args),
    case is_integer(Arity) andalso (erlang:function_exported(?FROM, Name, Arity) orelse exported(Name, Arity, State0)) of
        true ->
            {To, State1} = module(From, Function, Arity, State0),
            {[To, Function, Args], State1};
        false ->
            {Nodes, State0}
    end;
mfa(Nodes, State) ->
    {Nodes, State}.

%% The arity that an MFA's third element stands for.
arity({integer, _, Arity}) -> Arity;
arity({nil, _}) -> 0;
arity({cons, _, _, Tail}) ->
    case arity(Tail) of
        Length when is_integer(Length), element(1, Tail) =/= integer -> Length + 1;
        _ -> any
    end;
arity(_) -> any.

integer({integer, _, Integer}) -> Integer;
integer(_) -> any.

%% The module of a call to Function of ets. One that is not known by name is supposed to be there.
module(From, {atom, _, fun2ms}, _Arity, State) ->
    {From, State};
module({atom, Anno, ?FROM}, {atom, _, Name}, Arity, State) ->
    case {exported(Name, Arity, State), State#state.options} of
        {true, _} -> {{atom, Anno, ?TO}, State};
        {false, #{missing := warning}} -> {{atom, Anno, ?TO}, message(warnings, Anno, {missing, Name, Arity}, State)};
        {false, _} -> {{atom, Anno, ?TO}, message(errors, Anno, {missing, Name, Arity}, State)}
    end;
module({atom, Anno, ?FROM}, _Function, _Arity, State) ->
    {{atom, Anno, ?TO}, State}.

exported(Name, Arity, #state{exports = Exports}) ->
    lists:any(fun({N, A}) -> N =:= Name andalso (Arity =:= any orelse A =:= Arity) end, Exports).

message(Field, Anno, What, State) ->
    Message = {State#state.file, erl_anno:location(Anno), What},
    case Field of
        errors -> State#state{errors = [Message | State#state.errors]};
        warnings -> State#state{warnings = [Message | State#state.warnings]}
    end.
