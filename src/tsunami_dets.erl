%% tsunami_dets: a table of ours out of a table of dets, and back.
%%
%% dets:from_ets/2 and to_ets/2 call ets, so this is done with dets:init_table/2 and foldl/3.
-module(tsunami_dets).

-include("tsunami_doc.hrl").
?MODULEDOC("Copies between tables and `m:dets`.").

-export([to_dets/2, from_dets/2]).

-define(OBJECTS_MAX, 1000).

?DOC("As `tsunami:to_dets/2`.").
-spec to_dets(tsunami:table(), Dets) -> Dets when Dets :: dets:tab_name().
to_dets(Table, Dets) ->
    Tid = tsunami_bulk:tid(Table),
    First = tsunami_bulk:page(Tid, start),
    %% The process of the dets table calls the function, and need not have the right to read ours: so it asks this process,
    %% which is not the one that waits for dets.
    Tag = make_ref(),
    Ask = asker(self(), Tag),
    {_, Monitor} = spawn_monitor(fun() -> exit({Tag, init(Dets, Ask)}) end),
    case answer(Tid, First, Tag, Monitor) of
        ok -> Dets;
        {error, Reason} -> error(Reason)
    end.

init(Dets, Fun) ->
    try dets:init_table(Dets, Fun) of
        ok -> ok;
        {error, Reason} -> {error, {tsunami_error, Reason}}
    catch
        error:badarg -> {error, {tsunami_badarg, dets}}
    end.

%% An answer that is no page makes dets give up.
asker(Owner, Tag) ->
    fun(close) ->
            ok;
       (read) ->
            Monitor = monitor(process, Owner),
            Owner ! {Tag, self()},
            receive
                {Tag, end_of_input} -> demonitor(Monitor, [flush]), end_of_input;
                {Tag, Objects} -> demonitor(Monitor, [flush]), {Objects, asker(Owner, Tag)};
                {'DOWN', Monitor, process, _, Reason} -> {owner_died, Reason}
            end
    end.

answer(Tid, Page, Tag, Monitor) ->
    receive
        {Tag, Asker} ->
            {Answer, Page1} = next(Tid, Page),
            Asker ! {Tag, Answer},
            answer(Tid, Page1, Tag, Monitor);
        {'DOWN', Monitor, process, _, {Tag, Result}} ->
            case Page of
                {error, _} -> Page;
                _ -> Result
            end;
        {'DOWN', Monitor, process, _, Reason} ->
            {error, {tsunami_error, Reason}}
    end.

next(_Tid, {error, _} = Error) ->
    {failed, Error};
next(_Tid, done) ->
    {end_of_input, done};
next(_Tid, {Objects, done}) ->
    {Objects, done};
next(Tid, {Objects, Cursor}) ->
    {Objects, try tsunami_bulk:page(Tid, Cursor) catch error:Reason -> {error, Reason} end}.

?DOC("As `tsunami:from_dets/2`.").
-spec from_dets(tsunami:table(), dets:tab_name()) -> true.
from_dets(Table, Dets) ->
    Tid = tsunami_bulk:tid(Table),
    true = tsunami_nif:insert(Tid, []),
    try dets:foldl(fun(Object, Buffer) -> collect(Tid, Object, Buffer) end, {0, []}, Dets) of
        {N, Objects} when is_integer(N) -> flush(Tid, Objects);
        {error, Reason} -> error({tsunami_error, Reason})
    catch
        error:badarg ->
            error({tsunami_badarg, dets});
        error:{tsunami_badarg, _} = Reason ->
            %% dets leaves its table fixed if the function fails.
            _ = catch dets:safe_fixtable(Dets, false),
            error(Reason)
    end.

collect(Tid, Object, {?OBJECTS_MAX, Objects}) ->
    flush(Tid, Objects),
    {1, [Object]};
collect(_Tid, Object, {N, Objects}) ->
    {N + 1, [Object | Objects]}.

flush(Tid, Objects) ->
    tsunami_nif:insert(Tid, lists:reverse(Objects)).
