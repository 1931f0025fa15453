%% tsunami_qlc: a table as a source of qlc queries.
-module(tsunami_qlc).

-include("tsunami_doc.hrl").
?MODULEDOC("Tables for `m:qlc`.").

-export([table/2]).

-type traverse() :: first_next | last_prev | select | {select, term()}.

?DOC("As `tsunami:table/2`.").
-spec table(tsunami:table(), term()) -> qlc:query_handle().
table(Table, Options) ->
    KeyEquality = case tsunami_nif:info(Table, type) of
                      ordered_set -> '==';
                      _ -> '=:='
                  end,
    try
        {Traverse, N, Others} = options(list(Options)),
        qlc:table(traverse(Table, Traverse, N),
                  [{pre_fun, fun(_) -> tsunami:safe_fixtable(Table, true) end},
                   {post_fun, fun() -> tsunami:safe_fixtable(Table, false) end},
                   {info_fun, fun(Item) -> info(Table, Item) end},
                   {format_fun, fun(What) -> format(Table, Options, What) end},
                   {key_equality, KeyEquality},
                   {lookup_fun, lookup(Table, Traverse)} | Others])
    catch
        error:badarg -> error({tsunami_badarg, none})
    end.

list(Options) when is_list(Options) -> Options;
list(Option) -> [Option].

%% Those of ours, and the rest, which is qlc's to judge.
options(Options) ->
    Traverse = case lists:keyfind(traverse, 1, Options) of
                   false -> select;
                   {traverse, How} when How =:= select; How =:= first_next; How =:= last_prev -> How;
                   {traverse, {select, _} = How} -> How;
                   _ -> error(badarg)
               end,
    N = case lists:keyfind(n_objects, 1, Options) of
            false -> 100;
            {n_objects, default} -> 100;
            {n_objects, Max} when is_integer(Max), Max > 0 -> Max;
            _ -> error(badarg)
        end,
    {Traverse, N, lists:keydelete(n_objects, 1, lists:keydelete(traverse, 1, Options))}.

-spec traverse(tsunami:table(), traverse(), pos_integer()) -> fun().
traverse(Table, first_next, _N) ->
    fun() -> walk(Table, tsunami:first_lookup(Table), fun tsunami:next_lookup/2) end;
traverse(Table, last_prev, _N) ->
    fun() -> walk(Table, tsunami:last_lookup(Table), fun tsunami:prev_lookup/2) end;
traverse(Table, select, N) ->
    fun(Spec) -> selected(tsunami:select(Table, Spec, N)) end;
traverse(Table, {select, Spec}, N) ->
    fun() -> selected(tsunami:select(Table, Spec, N)) end.

%% As to a fold, that atom as a key is the end.
walk(_Table, '$end_of_table', _Next) -> [];
walk(_Table, {'$end_of_table', _Objects}, _Next) -> [];
walk(Table, {Key, Objects}, Next) -> Objects ++ fun() -> walk(Table, Next(Table, Key), Next) end.

selected('$end_of_table') -> [];
selected({Objects, Continuation}) -> Objects ++ fun() -> selected(tsunami:select(Continuation)) end.

lookup(_Table, {select, _}) ->
    undefined;
lookup(Table, _Traverse) ->
    fun(_Pos, Keys) -> lists:flatmap(fun(Key) -> tsunami:lookup(Table, Key) end, Keys) end.

info(Table, num_of_objects) -> tsunami:info(Table, size);
info(Table, keypos) -> tsunami:info(Table, keypos);
info(Table, is_unique_objects) -> tsunami:info(Table, type) =/= duplicate_bag;
info(Table, is_sorted_key) -> tsunami:info(Table, type) =:= ordered_set;
info(_Table, _Item) -> undefined.

%% What qlc:info/1,2 prints in the place of the table.
format(Table, [], {all, _, _}) ->
    {tsunami, table, [Table]};
format(Table, Options, {all, _, _}) ->
    {tsunami, table, [Table, Options]};
format(Table, Options, {match_spec, Spec}) ->
    {tsunami, table, [Table, [{traverse, {select, Spec}} | list(Options)]]};
format(Table, _Options, {lookup, _Pos, [Key], _, Element}) ->
    io_lib:format("tsunami:lookup(~w, ~w)", [Table, Element(Key)]);
format(Table, _Options, {lookup, _Pos, Keys, _, Element}) ->
    io_lib:format("lists:flatmap(fun(V) -> tsunami:lookup(~w, V) end, ~w)", [Table, lists:map(Element, Keys)]).
