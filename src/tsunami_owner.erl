%% tsunami_owner: anchors, which tell of a process's end as early as ets does.
%%
%% The VM frees the ets tables of a dying process before its links and monitors fire, and sends ETS-TRANSFER then; a
%% monitor of our own fires after both. So a process whose tables have heirs owns a small ets table, made with the first of
%% them, that holds a reference of the library's: freeing it is the sign to hand its tables over.
%%
%% The reference must be nowhere else, or the sign comes late: a helper makes it, stores it, and collects its own garbage before it
%% answers.
-module(tsunami_owner).

-include("tsunami_doc.hrl").
?MODULEDOC("Anchors of processes whose tables have heirs.").

-export([anchor/0]).

?DOC("Sees to it that the calling process has its anchor. Cheap if it has. Best effort: without it the heir gets its table all "
     "the same, only that it may hear of the owner's end from a link or a monitor first.").
-spec anchor() -> ok.
anchor() ->
    case tsunami_nif:anchored() of
        true -> ok;
        false -> drop()
    end.

%% Public, for the helper has to write to it; it is known to these two alone.
drop() ->
    Owner = self(),
    Anchors = ets:new(tsunami_anchor, [public]),
    {Helper, Monitor} =
        spawn_opt(fun() ->
                          store(Anchors, Owner),
                          erlang:garbage_collect(),
                          exit(stored)
                  end,
                  [monitor, {priority, high}]),
    receive
        {'DOWN', Monitor, process, Helper, _Reason} -> ok
    end.

%% A function of its own, so that nothing is left on the stack of whoever collects the garbage.
store(Anchors, Owner) ->
    try
        ets:insert(Anchors, {anchor, tsunami_nif:anchor(Owner)})
    catch
        error:_ -> false        % the owner has died meanwhile
    end.
