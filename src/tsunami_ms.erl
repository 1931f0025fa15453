%% tsunami_ms: match specifications as far as they are Erlang's business: searches in chunks, and their continuations.
%%
%% A continuation has the shape that users of ets know: the compiled specification is element 4 of 6, or of an
%% ordered_set's 5 of 8.
%%
%%   {Tid, Cursor, Limit, Compiled, Left, Count}                  Left: results that a key of a bag had beyond the limit
%%   {Tid, Cursor, <<>>, Limit, Compiled, [], 0, Order}           Order: 0 forward, 1 in reverse
%%
%% A cursor is what the library makes of a place between two keys, or `done`.
-module(tsunami_ms).

-include("tsunami_doc.hrl").
?MODULEDOC("Match specifications: for `m:tsunami`.").

-export([chunk/4, more/1, compile/1, run/3, repair/4, test/2]).
%% For tsunami_x
-export([range/4, prefix/3, explain/2]).

%% As select/3 does it. Mode: select or reverse.
chunk(Table, Spec, Mode, Limit) ->
    answer(tsunami_nif:chunk(Table, Spec, Mode, start, Limit), Mode, Limit, [], 0).

more('$end_of_table') ->
    '$end_of_table';
%% Of many results that are left the length is not counted each time.
more({Tid, Cursor, Limit, Compiled, Left, Count}) when is_list(Left), is_integer(Count), Count > Limit;
                                                           is_list(Left), length(Left) =:= Count ->
    more(Tid, Cursor, select, Limit, Compiled, Left, Count);
more({Tid, Cursor, <<>>, Limit, Compiled, [], 0, 0}) ->
    more(Tid, Cursor, select, Limit, Compiled, [], 0);
more({Tid, Cursor, <<>>, Limit, Compiled, [], 0, 1}) ->
    more(Tid, Cursor, reverse, Limit, Compiled, [], 0);
more(Other) when tuple_size(Other) > 0 ->
    %% What is wrong with its table comes first.
    _ = tsunami_nif:chunk(element(1, Other), [], select, start, 1),
    badarg();
more(_Other) ->
    badarg().

more(Tid, Cursor, Mode, Limit, Compiled, Left, Count) when Count >= Limit; Cursor =:= done ->
    %% Nothing is read, but table and specification have to be there.
    {[], 0, _, _, _, Ordered} = tsunami_nif:chunk(Tid, [], Mode, start, Limit),
    is_compiled(Compiled) orelse badarg(),
    answer({[], 0, Cursor, Tid, Compiled, Ordered}, Mode, Limit, Left, Count);
more(Tid, Cursor, Mode, Limit, Compiled, Left, Count) when is_integer(Limit), is_binary(Cursor) ->
    answer(tsunami_nif:chunk(Tid, Compiled, Mode, Cursor, Limit - Count), Mode, Limit, Left, Count);
more(Tid, _Cursor, Mode, _Limit, _Compiled, _Left, _Count) ->
    _ = tsunami_nif:chunk(Tid, [], Mode, start, 1),
    badarg().

answer({List, Found, Cursor, Tid, Compiled, Ordered}, Mode, Limit, Before, CountBefore) ->
    Results = if List =:= [] -> Before; true -> Before ++ List end,
    Count = CountBefore + Found,
    if
        Count > Limit ->
            {Now, Left} = try lists:split(Limit, Results) catch error:_ -> badarg() end,
            {Now, {Tid, Cursor, Limit, Compiled, Left, Count - Limit}};
        Cursor =:= done, Count =:= 0 ->
            '$end_of_table';
        Cursor =:= done ->
            {Results, '$end_of_table'};
        Ordered ->
            {Results, {Tid, Cursor, <<>>, Limit, Compiled, [], 0, order(Mode)}};
        true ->
            {Results, {Tid, Cursor, Limit, Compiled, [], 0}}
    end.

%% Also with a range: {Compiled, ...}.
is_compiled(Ranged) when is_tuple(Ranged) -> tuple_size(Ranged) > 1 andalso tsunami_nif:is_compiled(element(1, Ranged));
is_compiled(Compiled) -> tsunami_nif:is_compiled(Compiled).

order(select) -> 0;
order(reverse) -> 1.

%% ets refuses to compile a specification that has no clause, though it searches by one.
compile([]) -> badarg();
compile(Spec) -> tsunami_nif:compile(Spec).

%% Results go in front of Acc. What is no tuple only matches a head that is a variable: the VM does that.
run(List, Compiled, Acc) ->
    case tsunami_nif:run(Compiled, List, Acc) of
        {[], Acc1} -> Acc1;
        {[Other | Rest], Acc1} when not is_tuple(Other) -> run(Rest, Compiled, run_other(Other, Compiled) ++ Acc1);
        {_Improper, _} -> badarg()
    end.

run_other(Term, Compiled) ->
    case tsunami_nif:source(Compiled) of
        none -> [];
        Spec -> ets:match_spec_run([Term], ets:match_spec_compile(Spec))
    end.

%% The compiled specification stands at Position.
repair(Continuation, Position, Compiled, Spec) ->
    case tsunami_nif:is_compiled(Compiled) of
        true -> Continuation;
        false -> setelement(Position, Continuation, compile(Spec))
    end.

%% The VM tells in words what is wrong.
test(Tuple, Spec) ->
    case erlang:match_spec_test(Tuple, Spec, table) of
        {ok, Result, _Flags, _Warnings} -> {ok, Result};
        {error, _} = Error -> Error
    end.

%% --- ranges -----------------------------------------------------------------------------

%% To the library a range is a specification that matches everything, and its bounds.
range(Table, From, To, Options) ->
    Bounds = from(From) andalso to(To),
    ranged(Table, Bounds, fun(Spec) -> {Spec, From, To} end, Options).

prefix(Table, Prefix, Options) ->
    ranged(Table, is_prefix(Prefix), fun(Spec) -> {Spec, Prefix} end, Options).

ranged(Table, true, Range, Options) ->
    case range_options(Options, select, none, all) of
        {Mode, none, Fields} -> tsunami_nif:range(Table, Range(range_spec(Fields)), Mode, none);
        {Mode, Limit, Fields} -> answer(tsunami_nif:range(Table, Range(range_spec(Fields)), Mode, Limit), Mode, Limit, [], 0);
        error -> wrong(Table)
    end;
ranged(Table, false, _Range, _Options) ->
    wrong(Table).

%% What is wrong with the table comes first.
-spec wrong(term()) -> no_return().
wrong(Table) ->
    _ = tsunami_nif:chunk(Table, [], select, start, 1),
    badarg().

from(first) -> true;
from({Op, _Key}) -> Op =:= ge orelse Op =:= gt;
from(_) -> false.

to(last) -> true;
to({Op, _Key}) -> Op =:= le orelse Op =:= lt;
to(_) -> false.

is_prefix(Prefix) when is_list(Prefix) -> is_proper(Prefix);
is_prefix(Prefix) -> is_binary(Prefix) orelse is_tuple(Prefix).

is_proper([_ | T]) -> is_proper(T);
is_proper(End) -> End =:= [].

range_options([], Mode, Limit, Fields) -> {Mode, Limit, Fields};
range_options([reverse | Options], _, Limit, Fields) -> range_options(Options, reverse, Limit, Fields);
range_options([{reverse, true} | Options], _, Limit, Fields) -> range_options(Options, reverse, Limit, Fields);
range_options([{reverse, false} | Options], _, Limit, Fields) -> range_options(Options, select, Limit, Fields);
range_options([{limit, Limit} | Options], Mode, _, Fields) when is_integer(Limit), Limit > 0, Limit < 1 bsl 59 ->
    range_options(Options, Mode, Limit, Fields);
range_options([{fields, [_ | _] = Fields} | Options], Mode, Limit, _) ->
    case is_proper(Fields) andalso lists:all(fun(Pos) -> is_integer(Pos) andalso Pos > 0 end, Fields) of
        true -> range_options(Options, Mode, Limit, Fields);
        false -> error
    end;
range_options(_, _, _, _) -> error.

range_spec(all) ->
    [{'_', [], ['$_']}];
range_spec(Fields) ->
    %% The guard fails if there is no such element, whatever it is.
    Last = {element, lists:max(Fields), '$_'},
    [{'_', [{'orelse', {is_atom, Last}, true}], [{list_to_tuple([{element, Pos, '$_'} || Pos <- Fields])}]}].

%% --- explaining -------------------------------------------------------------------------

explain(Table, Spec) ->
    {Places, Clauses, Objects, Expected} = tsunami_nif:explain(Table, Spec),
    (access(Places))#{clauses => [(access(P))#{result => Result, keeps_key => Keeps} || {P, Result, Keeps} <- Clauses],
                      objects => Objects, expected => Expected}.

access([]) ->
    #{access => none};
access([{range, first, last}]) ->
    #{access => scan};
access(Places) ->
    case [Key || {key, Key} <- Places] of
        Keys when length(Keys) =:= length(Places) -> #{access => lookup, keys => Keys};
        _ -> #{access => seek, places => Places}
    end.

-spec badarg() -> no_return().
badarg() ->
    error({tsunami_badarg, none}).
