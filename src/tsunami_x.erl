%% tsunami_x: what ets does not have.
%%
%% Errors are raised as tsunami.erl raises them.
-module(tsunami_x).

-include("tsunami_doc.hrl").
-include("tsunami_face.hrl").
?MODULEDOC("What `m:ets` does not have: many keys at a time, some elements of an object, objects taken from the ends of a table or by a match "
           "specification, an object exchanged for another if it is the expected one.\n\n"
           "Tables are those of `m:tsunami`, and so are the errors: `badarg` for a wrong argument, whatever the table holds, and for a table "
           "that is gone or that the caller has no right to.").

%% Some objects
-export([lookup_many/2, lookup_elements/3]).
%% Objects that are removed
-export([take_first/1, take_last/1, select_take/2, select_take/3]).
%% Read, compute, write
-export([compare_and_swap/4, update/3]).

%% --- some objects -----------------------------------------------------------------------

?DOC("For each key, in their order, what `tsunami:lookup/2` answers. The keys are read one after the other, not at one instant. Is cut "
     "into slices of less than 1 ms.").
-spec lookup_many(tsunami:table(), [tsunami:key()]) -> [[tsunami:object()]].
lookup_many(Table, Keys) ->
    ?FACE([Table, Keys], many(Table, reversed(Keys), [])).

%% The last key comes first, so that no list has to be turned round in the end.
many(Table, Keys, Acc) ->
    case tsunami_nif:lookup_many(Table, Keys, Acc) of
        Answers when is_list(Answers) -> Answers;
        {Tid, Key, Left, Acc1} -> many(Tid, Left, [tsunami_nif:lookup(Tid, Key) | Acc1])
    end.

%% What is no list the library refuses, once it has seen to the table.
reversed(Keys) ->
    try
        lists:reverse(Keys)
    catch
        error:_ -> improper
    end.

?DOC("The elements at these positions of the object with that key, as a tuple in the order of the positions; in a bag a list of such "
     "tuples, one for each object. Copies nothing else out of the table. `badarg` if there is no such key or no such element.").
-spec lookup_elements(tsunami:table(), tsunami:key(), [Pos :: pos_integer()]) -> tuple() | [tuple()].
lookup_elements(Table, Key, Positions) ->
    ?FACE([Table, Key, Positions], tsunami_nif:lookup_elements(Table, Key, Positions)).

%% --- objects that are removed -----------------------------------------------------------

?DOC("Removes the first key with all its objects, as one, and answers these; `[]` if the table is empty. Of several callers one gets "
     "them. First is what `tsunami:first/1` says: the least key of an `ordered_set`; of other tables any, but while nothing is inserted "
     "always the same one.").
-spec take_first(tsunami:table()) -> [tsunami:object()].
take_first(Table) ->
    ?FACE([Table], taken_first(tsunami_nif:take_first(Table))).

?DOC("As `take_first/1`, the last key of an `ordered_set`; for other tables the same.").
-spec take_last(tsunami:table()) -> [tsunami:object()].
take_last(Table) ->
    ?FACE([Table], taken_last(tsunami_nif:take_last(Table))).

%% A key with very many objects is taken in slices, if nobody else is faster.
taken_first({Tid, Key}) -> taken_long(tsunami_nif:take(Tid, Key), fun() -> taken_first(tsunami_nif:take_first(Tid)) end);
taken_first(Objects) -> Objects.

taken_last({Tid, Key}) -> taken_long(tsunami_nif:take(Tid, Key), fun() -> taken_last(tsunami_nif:take_last(Tid)) end);
taken_last(Objects) -> Objects.

taken_long([], Again) -> Again();
taken_long(Objects, _Again) -> Objects.

?DOC("Removes all objects that a match specification matches, each as one, and answers its results, in order of the keys for an "
     "`ordered_set`. Each result was made of the very object that was removed. Is cut into slices of less than 1 ms; if the caller is "
     "killed half way, what was removed so far is removed.").
-spec select_take(tsunami:table(), tsunami:match_spec()) -> [Match :: term()].
select_take(Table, Spec) ->
    ?FACE([Table, Spec], tsunami_nif:select_take(Table, Spec, all)).

?DOC("As `select_take/2`, but removes no more than `Limit` objects: of an `ordered_set` the first ones, of one key of a bag the newest.").
-spec select_take(tsunami:table(), tsunami:match_spec(), Limit :: pos_integer()) -> [Match :: term()].
select_take(Table, Spec, Limit) ->
    ?FACE([Table, Spec, Limit], taken(Table, Spec, Limit)).

%% What is no number is refused as 0 is.
taken(Table, Spec, Limit) when is_integer(Limit) ->
    case tsunami_nif:select_take(Table, Spec, Limit) of
        {reverse, Results} -> lists:reverse(Results);
        Results -> Results
    end;
taken(Table, Spec, _Limit) ->
    taken(Table, Spec, 0).

%% --- read, compute, write ---------------------------------------------------------------

?DOC("If what `tsunami:lookup/2` answers for the key is `Expected` (`=:=`), puts `New` in its place, as one, and answers `true`; else answers "
     "what is there instead, and changes nothing. `[]` stands for no object: as `New` it deletes. Only in a `set` or `ordered_set`. `badarg` "
     "if `Expected` or `New` has another key.").
-spec compare_and_swap(tsunami:table(), tsunami:key(), Expected :: Objects, New :: Objects) -> true | {false, Current :: Objects} when
      Objects :: [] | [tsunami:object()].
compare_and_swap(Table, Key, Expected, New) ->
    ?FACE([Table, Key, Expected, New], tsunami_nif:compare_and_swap(Table, Key, Expected, New)).

?DOC("Puts what `Fun` makes of the object with that key in its place, and answers it. `Fun` gets `[Object]` or `[]`, and answers `[Object]` "
     "with the same key or `[]`, which deletes. Nothing is locked meanwhile: if somebody else has changed the key, `Fun` is called "
     "again, with what is there then. Only in a `set` or `ordered_set`. `badarg` if `Fun` answers anything else; what it raises is raised, and "
     "nothing is changed.").
-spec update(tsunami:table(), tsunami:key(), Fun) -> New :: Objects when
      Fun :: fun((Objects) -> Objects),
      Objects :: [] | [tsunami:object()].
update(Table, Key, Fun) ->
    ?FACE([Table, Key, Fun], update_begin(Table, Key, Fun)).

%% Tries with what the last try has found, before others have their turn.
-define(TRIES_MAX, 4).

update_begin(Table, Key, Fun) when is_function(Fun, 1) ->
    Tid = case is_atom(Table) of
              true -> tsunami_bulk:tid(Table);
              false -> Table
          end,
    update(Tid, Key, Fun, current(Tid, Key), 1);
update_begin(Table, Key, _Fun) ->
    _ = current(Table, Key),
    error({tsunami_badarg, none}).

%% As a lookup, but with the right to write.
current(Table, Key) ->
    case tsunami_nif:compare_and_swap(Table, Key, [], []) of
        true -> [];
        {false, Current} -> Current
    end.

update(Table, Key, Fun, Current, Try) ->
    New = Fun(Current),
    case tsunami_nif:compare_and_swap(Table, Key, Current, New) of
        true ->
            New;
        {false, Current1} when Try rem ?TRIES_MAX =/= 0 ->
            update(Table, Key, Fun, Current1, Try + 1);
        {false, _} ->
            erlang:yield(),
            update(Table, Key, Fun, current(Table, Key), Try + 1)
    end.
