%% tsunami_x: what ets does not have.
%%
%% Errors are raised as tsunami.erl raises them.
-module(tsunami_x).

-include("tsunami_doc.hrl").
-include("tsunami_face.hrl").
?MODULEDOC("What `m:ets` does not have: ranges of an `ordered_set`, many keys at a time, some elements of an object, objects taken from the ends "
           "of a table or by a match specification, an object exchanged for another if it is the expected one, a table as it was at one instant, and where a search looks.\n\n"
           "Tables are those of `m:tsunami`, and so are the errors: `badarg` for a wrong argument, whatever the table holds, and for a table "
           "that is gone or that the caller has no right to.").

%% Ranges of an ordered_set
-export([range/1, range/3, range/4, prefix/2, prefix/3]).
%% Some objects
-export([lookup_many/2, lookup_elements/3]).
%% Objects that are removed
-export([take_first/1, take_last/1, select_take/2, select_take/3]).
%% Read, compute, write
-export([compare_and_swap/4, update/3]).
%% A table at one instant
-export([snapshot/1, release/1]).
%% How a search goes
-export([explain/2]).

-export_type([from/0, to/0, range_option/0, place/0, view/0]).

-type from() :: first | {ge | gt, tsunami:key()}.
-type to() :: last | {le | lt, tsunami:key()}.
-type range_option() :: reverse | {reverse, boolean()} | {limit, pos_integer()} | {fields, [Pos :: pos_integer()]}.
-type view() :: tsunami:tid().
-type place() :: {key, tsunami:key()} | {range | tuples, from(), to()}.

%% --- ranges of an ordered_set -----------------------------------------------------------

?DOC("The objects of an `ordered_set` whose keys lie between two bounds, in order of the keys: from `first`, from `{ge, Key}` on or behind "
     "`{gt, Key}`, to `last`, up to `{le, Key}` or before `{lt, Key}`. Keys are compared as the table does: 1 is 1.0. "
     "`badarg` for a table of another type.").
-spec range(tsunami:table(), from(), to()) -> [tsunami:object()].
range(Table, From, To) ->
    ?FACE([Table, From, To], tsunami_ms:range(Table, From, To, [])).

?DOC("As `range/3`. `reverse`: the last key first. `{limit, N}`: the first N results and a continuation for `range/1`, or "
     "`'$end_of_table'` if there are none; continuations are as good as those of `tsunami:select/3`. `{fields, Positions}`: not the objects, but "
     "of each a tuple of its elements at these positions, in this order, and nothing else is copied out of the table; an object that has no "
     "such element is left out. Of options of one kind the last one counts.").
-spec range(tsunami:table(), from(), to(), [range_option()]) ->
          [Result :: tuple()] | {[Result :: tuple()], tsunami:continuation()} | '$end_of_table'.
range(Table, From, To, Options) ->
    ?FACE([Table, From, To, Options], tsunami_ms:range(Table, From, To, Options)).

?DOC("The next results of `range/4` or `prefix/3`.").
-spec range(tsunami:continuation()) -> {[Result :: tuple()], tsunami:continuation()} | '$end_of_table'.
range(Continuation) ->
    ?FACE([Continuation], tsunami_ms:more(Continuation)).

?DOC("The objects of an `ordered_set` whose keys begin as `Prefix`, in order of the keys: if that is a binary, the binaries that begin with "
     "its bytes; if a list, the lists that begin with its elements; if a tuple, the tuples of its size or larger that do. "
     "Elements are compared by `==`. Nothing else is looked at; of tuples, which are ordered by size first, there is one search for each "
     "size that is in the table.").
-spec prefix(tsunami:table(), Prefix :: binary() | list() | tuple()) -> [tsunami:object()].
prefix(Table, Prefix) ->
    ?FACE([Table, Prefix], tsunami_ms:prefix(Table, Prefix, [])).

?DOC("As `prefix/2`, with the options of `range/4`. Continuations are for `range/1`.").
-spec prefix(tsunami:table(), Prefix :: binary() | list() | tuple(), [range_option()]) ->
          [Result :: tuple()] | {[Result :: tuple()], tsunami:continuation()} | '$end_of_table'.
prefix(Table, Prefix, Options) ->
    ?FACE([Table, Prefix, Options], tsunami_ms:prefix(Table, Prefix, Options)).

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
    ?FACE([Table], end_taken(fun tsunami_nif:take_first/1, Table)).

?DOC("As `take_first/1`, the last key of an `ordered_set`; for other tables the same.").
-spec take_last(tsunami:table()) -> [tsunami:object()].
take_last(Table) ->
    ?FACE([Table], end_taken(fun tsunami_nif:take_last/1, Table)).

%% A key with very many objects is taken in slices, if nobody else is faster.
end_taken(Take, Table) ->
    case Take(Table) of
        {Tid, Key} ->
            case tsunami_nif:take(Tid, Key) of
                [] -> end_taken(Take, Tid);
                Objects -> Objects
            end;
        Objects ->
            Objects
    end.

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

%% --- how a search goes ------------------------------------------------------------------

?DOC("Where `tsunami:select/2` and all other functions with a match specification look in this table.\n\n"
     "`access` is `none` if nothing can match, `lookup` if the keys are known (`keys`), `seek` if parts of an `ordered_set` are read "
     "(`places`), and `scan` if all of the table is. A place is `{key, Key}`, `{range, From, To}` as for `range/3`, or `{tuples, From, To}`: "
     "that range among the tuples of the size of its bounds, and those among larger ones that begin like them. Where a bound is open, it has "
     "`'$first'` or `'$last'`, for something before or behind all terms. `clauses` says the same of each clause, and of its body: `result` "
     "is `object` (`'$_'`), `true` or `other`, and `keeps_key` whether `tsunami:select_replace/2` would take it. `objects` is the size of "
     "the table, and `expected` how many objects are looked at: counted, or `{at_least, Counted}` where that "
     "would take long (from 4000 on).").
-spec explain(tsunami:table(), tsunami:match_spec()) ->
          #{access := none | lookup | seek | scan, keys => [tsunami:key()], places => [place()],
            clauses := [#{access := none | lookup | seek | scan, keys => [tsunami:key()], places => [place()],
                          result := object | true | other, keeps_key := boolean()}],
            objects := non_neg_integer(), expected := non_neg_integer() | {at_least, non_neg_integer()}}.
explain(Table, Spec) ->
    ?FACE([Table, Spec], tsunami_ms:explain(Table, Spec)).

%% --- a table at one instant ---------------------------------------------------------------

?DOC("A view: the table as it is at an instant between call and return, of any size at the same cost. All functions that read a table read a view "
     "in its place, `tsunami:info/2` with `size` included, and answer what they would have answered then, whatever is written to the table "
     "meanwhile; those that write raise `badarg`. Its rights and its end are the table's: when the table is deleted, or is not the caller's to "
     "read, a view of it is `badarg` too. What is replaced or removed in the table is kept as long as a view needs it, and counts in the table's `memory`. "
     "A view is let go of by `release/1`, or when nobody refers to it any more.").
-spec snapshot(tsunami:table()) -> view().
snapshot(Table) ->
    ?FACE([Table], tsunami_nif:snapshot(Table)).

?DOC("Lets go of a view: from now on it is `badarg`, as a deleted table, for whoever has it.").
-spec release(view()) -> true.
release(View) ->
    ?FACE([View], tsunami_nif:release(View)).
