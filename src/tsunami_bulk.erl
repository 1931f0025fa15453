%% tsunami_bulk: many objects out of a table, or into one, a page at a time.
%%
%% What files, dets and init_table/2 share. Errors are raised as by the library, for the face to turn into its own.
-module(tsunami_bulk).

-include("tsunami_doc.hrl").
?MODULEDOC("Tables read and filled page by page.").

-export([tid/1, page/2, fill/2, init/2]).
-export_type([cursor/0]).

-opaque cursor() :: binary().

%% Objects of a page. It is read within half a millisecond; an insertion of as many, all or nothing, costs less for each
%% than insertions one by one.
-define(OBJECTS_MAX, 1000).

?DOC("The reference of a table: through it the work goes on though the table be renamed.").
-spec tid(tsunami:table()) -> tsunami:tid().
tid(Table) ->
    case tsunami_nif:info(Table, id) of
        undefined -> error({tsunami_badarg, id});
        Tid -> Tid
    end.

?DOC("Some objects from there on, all of each key and in the order of their insertion, in an `ordered_set` in the order of the keys; "
     "and where it goes on, or `done`.").
-spec page(tsunami:table(), start | cursor()) -> {[tsunami:object()], cursor() | done}.
page(Table, Cursor) ->
    {Objects, Cursor1} = tsunami_nif:objects(Table, Cursor, forward, ?OBJECTS_MAX, []),
    %% The list begins with what was met last: the last key, and of a key the oldest object.
    case tsunami_nif:info(Table, type) of
        ordered_set -> {lists:reverse(Objects), Cursor1};
        _ -> {Objects, Cursor1}
    end.

?DOC("Inserts all objects of a list, at most a page of them as one. If one is wrong, those ahead of it in its page may be in the table.").
-spec fill(tsunami:table(), [tsunami:object() | [tsunami:object()]]) -> true.
fill(Table, Objects) when is_list(Objects) ->
    {Page, Rest} = split(Objects, ?OBJECTS_MAX, []),
    insert(Table, Page),
    case Rest of
        [] -> true;
        _ -> fill(Table, Rest)
    end.

split([Object | Rest], N, Acc) when N > 0 -> split(Rest, N - 1, [Object | Acc]);
split(Rest, _N, Acc) -> {lists:reverse(Acc), Rest}.

%% One by one if not as one: an element may itself be a list, and what comes before a wrong one counts.
insert(Table, Page) ->
    try
        tsunami_nif:insert(Table, Page)
    catch
        error:{tsunami_badarg, none} -> lists:foreach(fun(Object) -> tsunami:insert(Table, Object) end, Page)
    end.

?DOC("As `tsunami:init_table/2`.").
-spec init(tsunami:table(), fun((read | close) -> term())) -> true.
init(Table, Fun) ->
    true = tsunami_nif:delete_all_objects(Table),
    init_next(Table, Fun(read)).

init_next(_Table, end_of_input) ->
    true;
init_next(Table, {Objects, Fun}) when is_list(Objects), is_function(Fun) ->
    try
        fill(Table, Objects)
    catch
        error:Reason:Stack ->
            _ = catch Fun(close),
            exit({Reason, Stack})
    end,
    init_next(Table, Fun(read));
init_next(_Table, Other) ->
    exit(Other).
