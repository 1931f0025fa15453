%% tsunami_owner: anchors, by which an heir hears of its table before it hears of the owner's death.
%%
%% The VM frees the ets tables of a dying process, and sends ETS-TRANSFER to their heirs, before its links and monitors fire.
%% No code of ours runs as early: a monitor of the library fires after the links, and the destructor of a resource
%% that is kept in an ets table is put off by the VM till later. So a table with an heir has an anchor, an empty ets table with the
%% same owner, heir and name, and the VM sends the message for us. That it leads to our table: a named table is found
%% by its name, and a table that is born with an heir has its anchor's tid for its own tid.
%%
%% An anchor stays with its table from then on: it is given away with it, and waits for the next heir if there is none. Without
%% one are unnamed tables that get their first heir by setopts, and named ones whose name an ets table has when they get
%% their first heir, or a new name: the library then sends the message itself, and the heir may hear of the owner's death first.
-module(tsunami_owner).

-include("tsunami_doc.hrl").
?MODULEDOC("Anchors of tables with heirs.").

-export([create/2, new/4, set_heir/2, give_away/3, deleted/1, renamed/1, foreign/1]).

-type heir() :: none | {pid(), Data :: term()}.
-type anchored() :: heir() | {pid(), Data :: term(), Anchor :: ets:table()}.

?DOC("Makes a table, and an anchor if there is an heir.").
-spec create(atom(), tsunami_options:new()) -> tsunami:table().
create(Name, #{named := Named, type := Type, protection := Protection, keypos := KeyPos, heir := Heir,
               read := Read, write := Write, counters := Counters, compressed := Compressed}) ->
    new(Name, Named, Heir,
        fun(Heir1) ->
                tsunami_nif:new(Name, Named, Type, Protection, KeyPos, Heir1, Read, Write, Counters, Compressed)
        end).

?DOC("Makes an anchor if there is an heir, and calls `New` with it.").
-spec new(atom(), boolean(), heir(), fun((anchored()) -> Table)) -> Table.
new(_Name, _Named, none, New) ->
    New(none);
new(Name, Named, Heir, New) ->
    %% A process is killed where it is scheduled out. With a fresh time slice that is not between the two tables, or the VM would
    %% send an heir an anchor without a table.
    erlang:yield(),
    Anchored = drop(Name, Named, Heir),
    try
        New(Anchored)
    catch
        Class:Reason:Stack ->
            lift(Anchored),
            erlang:raise(Class, Reason, Stack)
    end.

?DOC("Changes the heir of a table of the calling process, and its anchor's.").
-spec set_heir(tsunami:table(), heir()) -> true.
set_heir(Table, Heir) ->
    case {tsunami_nif:anchor(Table), Heir} of
        {none, none} ->
            tsunami_nif:setopts_heir(Table, none);
        {none, _} ->
            case tsunami_nif:info(Table, named_table) of
                true ->
                    new(tsunami_nif:info(Table, name), true, Heir,
                        fun(Anchored) -> tsunami_nif:setopts_heir(Table, Anchored) end);
                _ ->
                    tsunami_nif:setopts_heir(Table, Heir)
            end;
        {Anchor, none} ->
            %% Kept: an unnamed table could not get another.
            _ = catch ets:setopts(Anchor, {heir, none}),
            tsunami_nif:setopts_heir(Table, none);
        {Anchor, {Pid, Data}} ->
            try ets:setopts(Anchor, {heir, Pid, Data}) of
                true -> tsunami_nif:setopts_heir(Table, {Pid, Data, Anchor})
            catch
                error:badarg -> tsunami_nif:setopts_heir(Table, Heir)
            end
    end.

?DOC("Gives a table away, and its anchor with it: then it is the VM that sends ETS-TRANSFER.").
-spec give_away(tsunami:table(), pid(), term()) -> true.
give_away(Table, Pid, Data) ->
    case tsunami_nif:anchor(Table) of
        none -> ok;
        %% As in new/4.
        _ -> erlang:yield()
    end,
    case tsunami_nif:give_away(Table, Pid, Data) of
        true -> true;
        {anchor, Anchor, true} -> give_anchor(Table, Anchor, Pid, Data)
    end.

give_anchor(Table, Anchor, Pid, Data) ->
    try
        ets:give_away(Anchor, Pid, Data)
    catch
        %% It has died since.
        error:badarg ->
            _ = catch tsunami_nif:unanchor(Table, Pid),
            delete(Anchor)
    end.

?DOC("What the library answered; the anchor of a table that is gone goes too.").
-spec deleted(Answer | {anchor, ets:table(), Answer}) -> Answer.
deleted(true) ->
    true;
deleted({anchor, Anchor, Answer}) ->
    delete(Anchor),
    Answer.

?DOC("What the library answered; the anchor of a named table gets the new name too, if ets has it free.").
-spec renamed(Answer | {anchor, ets:table(), Answer}) -> Answer.
renamed({anchor, Anchor, Name}) ->
    try
        ets:rename(Anchor, Name)
    catch
        error:badarg ->
            _ = catch tsunami_nif:unanchor(Name, none),
            delete(Anchor)
    end,
    Name;
renamed(Answer) ->
    Answer.

?DOC("Why a reference that is not the library's is no table: `id` if it is the tid of an anchor, which may be gone, or of any ets "
     "table, else `type`.").
-spec foreign(reference()) -> id | type.
foreign(Ref) ->
    try ets:info(Ref, type) of
        _ -> id
    catch
        error:badarg -> type
    end.

%% Public, for whoever may delete the table has to delete this one.
drop(Name, Named, {Pid, Data} = Heir) ->
    try
        {Pid, Data, ets:new(Name, [public, {heir, Pid, Data} | [named_table || Named]])}
    catch
        error:_ -> Heir
    end.

lift({_Pid, _Data, Anchor}) -> delete(Anchor);
lift(_) -> true.

delete(Anchor) ->
    try
        ets:delete(Anchor)
    catch
        error:badarg -> true
    end.
