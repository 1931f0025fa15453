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

%% As select/3 does it. Mode: select or reverse.
chunk(Table, Spec, Mode, Limit) ->
    answer(tsunami_nif:chunk(Table, Spec, Mode, start, Limit), Mode, Limit, [], 0).

more('$end_of_table') ->
    '$end_of_table';
more({Tid, Cursor, Limit, Compiled, Left, Count}) when is_list(Left), length(Left) =:= Count ->
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
    tsunami_nif:is_compiled(Compiled) orelse badarg(),
    answer({[], 0, Cursor, Tid, Compiled, Ordered}, Mode, Limit, Left, Count);
more(Tid, Cursor, Mode, Limit, Compiled, Left, Count) when is_integer(Limit), is_binary(Cursor) ->
    answer(tsunami_nif:chunk(Tid, Compiled, Mode, Cursor, Limit - Count), Mode, Limit, Left, Count);
more(Tid, _Cursor, Mode, _Limit, _Compiled, _Left, _Count) ->
    _ = tsunami_nif:chunk(Tid, [], Mode, start, 1),
    badarg().

answer({List, Found, Cursor, Tid, Compiled, Ordered}, Mode, Limit, Before, CountBefore) ->
    Results = Before ++ List,
    Count = CountBefore + Found,
    if
        Count > Limit ->
            {Now, Left} = lists:split(Limit, Results),
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

-spec badarg() -> no_return().
badarg() ->
    error({tsunami_badarg, none}).
