%% tsunami: the functions of ets, with the same arguments, results and errors.
%%
%% Each function is one call into the library. The macro FACE turns what the library raises into the error that ets
%% would raise: the top frame is the function that was called, with all its arguments, and its
%% error_info leads to a text (tsunami_errors.erl).
-module(tsunami).

-include("tsunami_doc.hrl").
?MODULEDOC("Tables of objects in memory: the functions of `m:ets`, faster.\n\n"
           "Arguments, results and errors are those of `ets`. What is stronger here:\n\n"
           "- A reader never waits, whatever writers do.\n"
           "- A traversal meets each object that is there throughout, whether the table is fixed or not. "
           "(`next/2` from a deleted key of an unfixed table is a `badarg` all the same.)\n"
           "- `insert/2` and `insert_new/2` of a list are all or nothing to every reader, and block nobody "
           "while they run.\n"
           "- `delete/1` and `delete_all_objects/1` take the same short time for a table of any size.").

%% Tables
-export([new/2, delete/1, rename/2, whereis/1, all/0, info/1, info/2, setopts/2, give_away/3,
         safe_fixtable/2]).
%% Objects
-export([insert/2, insert_new/2, lookup/2, lookup_element/3, lookup_element/4, member/2, delete/2,
         delete_object/2, delete_all_objects/1, take/2, update_counter/3, update_counter/4,
         update_element/3, update_element/4]).
%% Traversal
-export([first/1, last/1, next/2, prev/2, first_lookup/1, last_lookup/1, next_lookup/2,
         prev_lookup/2, slot/2, tab2list/1, foldl/3, foldr/3]).

-export_type([table/0, tid/0, key/0, object/0]).

-type table() :: atom() | tid().
-opaque tid() :: reference().
-type key() :: term().
-type object() :: tuple().

%% Objects that one call of the library puts on the list of tab2list/1.
-define(OBJECTS_MAX, 1000).

-define(BADARG(Cause, Args),
        erlang:error(badarg, Args, [{error_info, #{module => tsunami_errors, cause => Cause}}])).

%% As a macro, for the top frame of the error has to be that of the function which uses it.
-define(FACE(Args, Call),
        try
            Call
        catch
            error:{tsunami_badarg, {foreign, Ref}} ->
                ?BADARG(tsunami_owner:foreign(Ref), Args);
            error:{tsunami_badarg, Cause} when Cause =/= none, Cause =/= badopt ->
                ?BADARG(Cause, Args);
            error:{tsunami_badarg, _} ->
                erlang:error(badarg, Args, [{error_info, #{module => tsunami_errors}}]);
            error:{tsunami_error, Reason} ->
                erlang:error(Reason, Args, [{error_info, #{module => tsunami_errors}}])
        end).

%% --- tables -----------------------------------------------------------------------------

?DOC("Creates a table that belongs to the calling process, and answers its name if it is a `named_table`, "
     "else a reference.\n\n"
     "Of options of one kind the last one counts: `set`, `ordered_set`, `bag`, `duplicate_bag`; `public`, "
     "`protected`, `private`; `named_table`; `{keypos, Pos}`; `{heir, Pid, Data}`, `{heir, none}`. "
     "`{read_concurrency, _}`, `{write_concurrency, _}`, `{decentralized_counters, _}` and `compressed` are "
     "checked and shown by `info/1`, and change nothing else: a table is always concurrent and always compact.\n\n"
     "Fails with `badarg` if an option is not known or the name is taken, with `system_limit` if there is no memory.").
-spec new(Name :: atom(), Options :: [Option]) -> table() when
      Option :: set | ordered_set | bag | duplicate_bag | public | protected | private | named_table
              | {keypos, pos_integer()} | {heir, pid(), Data :: term()} | {heir, none}
              | {read_concurrency, boolean()} | {write_concurrency, boolean() | auto}
              | {decentralized_counters, boolean()} | compressed.
new(Name, Options) ->
    ?FACE([Name, Options], create(Name, Options)).

create(Name, Options) when is_atom(Name) ->
    case tsunami_options:new(Options) of
        {ok, #{named := Named, type := Type, protection := Protection, keypos := KeyPos, heir := Heir,
               read := Read, write := Write, counters := Counters, compressed := Compressed}} ->
            tsunami_owner:new(Name, Named, Heir,
                              fun(Heir1) ->
                                      tsunami_nif:new(Name, Named, Type, Protection, KeyPos, Heir1, Read, Write,
                                                      Counters, Compressed)
                              end);
        error ->
            badarg(none)
    end;
create(_Name, _Options) ->
    badarg(none).

?DOC("Deletes a table. Takes the same short time whatever the table holds: its memory is given back behind.").
-spec delete(table()) -> true.
delete(Table) ->
    ?FACE([Table], tsunami_owner:deleted(tsunami_nif:delete(Table))).

?DOC("Gives a table another name, which must be free if the table is a `named_table`. Answers as `new/2`: the name, or the "
     "reference of a table that is not found by its name.").
-spec rename(table(), Name :: atom()) -> table().
rename(Table, Name) ->
    ?FACE([Table, Name], tsunami_owner:renamed(tsunami_nif:rename(Table, Name))).

?DOC("The reference of a named table, or `undefined`. Through it the table is found also when renamed, "
     "and no other table of the same name ever is.").
-spec whereis(Name :: atom()) -> tid() | undefined.
whereis(Name) ->
    ?FACE([Name], tsunami_nif:whereis(Name)).

?DOC("All tables of this node: names of named ones, references of the others. Costs a step for each table.").
-spec all() -> [table()].
all() ->
    ?FACE([], tsunami_nif:all()).

?DOC("What is known of a table, or `undefined` if it does not exist. `memory` is in words, and what the system gave.").
-spec info(table()) -> [{Item :: atom(), Value :: term()}] | undefined.
info(Table) ->
    ?FACE([Table],
          try
              tsunami_nif:info(Table)
          catch
              error:{tsunami_badarg, {foreign, Tid}} -> unknown(Tid)
          end).

?DOC("One item of `info/1`, or `fixed`, `safe_fixed`, `safe_fixed_monotonic_time`, `stats`, `binary`. "
     "`badarg` if there is no such item.").
-spec info(table(), Item :: atom()) -> term() | undefined.
info(Table, Item) ->
    ?FACE([Table, Item],
          try
              tsunami_nif:info(Table, Item)
          catch
              error:{tsunami_badarg, {foreign, Tid}} -> unknown(Tid)
          end).

%% A table that is gone is no error to info.
unknown(Ref) ->
    case tsunami_owner:foreign(Ref) of
        id -> undefined;
        Cause -> badarg(Cause)
    end.

?DOC("Changes the heir or the protection, or both, of a table of the calling process.\n\n"
     "An heir is sent `{'ETS-TRANSFER', Table, FromPid, Data}` before it can hear of the owner's death by a link or monitor, as with "
     "`ets`, if the table has had an heir since `new/2`, or is a `named_table` and no table of `ets` had its name. (Such a table "
     "has a small empty table of `ets` beside it, seen in `ets:all/0`, by its name if it has one.) "
     "To an unnamed table that gets its first heir by `setopts/2` this does not apply: its heir may hear of the death first.").
-spec setopts(table(), Option | [Option]) -> true when
      Option :: {heir, pid(), Data :: term()} | {heir, none}
              | {protection, public | protected | private}.
setopts(Table, Options) ->
    ?FACE([Table, Options], set(Table, Options)).

set(Table, Options) ->
    Self = self(),
    case tsunami_nif:info(Table, owner) of
        Self ->
            case tsunami_options:setopts(Options) of
                {ok, Settings} -> lists:foreach(fun(Setting) -> set_one(Table, Setting) end, Settings), true;
                error -> badarg(none)
            end;
        undefined ->
            badarg(id);
        _Other ->
            case tsunami_nif:info(Table, protection) of
                public -> badarg(none);
                undefined -> badarg(id);
                _ -> badarg(access)
            end
    end.

set_one(Table, {heir, Heir}) -> tsunami_owner:set_heir(Table, Heir);
set_one(Table, {protection, Protection}) -> tsunami_nif:setopts_protection(Table, Protection).

?DOC("Makes another process of this node the owner, and sends it `{'ETS-TRANSFER', Table, FromPid, Data}`. Only the owner can.").
-spec give_away(table(), pid(), Data :: term()) -> true.
give_away(Table, Pid, Data) ->
    ?FACE([Table, Pid, Data], tsunami_owner:give_away(Table, Pid, Data)).

?DOC("Fixes a table for the calling process, or ends that. While a table of another type than `ordered_set` is fixed, "
     "`next/2` works from keys that are deleted meanwhile. A traversal is exact without it too. Counts; "
     "ends with the process.").
-spec safe_fixtable(table(), Fix :: boolean()) -> true.
safe_fixtable(Table, Fix) ->
    ?FACE([Table, Fix], tsunami_nif:safe_fixtable(Table, Fix)).

%% --- objects ----------------------------------------------------------------------------

?DOC("Inserts an object, or all objects of a list. In a `set` or `ordered_set` an object replaces the one with its key. "
     "A list is inserted as one: each reader sees none or all of it, and if one of its objects is wrong, nothing is "
     "inserted. It blocks neither readers nor other writers, and is cut into slices of less than 1 ms.").
-spec insert(table(), object() | [object()]) -> true.
insert(Table, Objects) ->
    ?FACE([Table, Objects], tsunami_nif:insert(Table, Objects)).

?DOC("As `insert/2`, if none of the keys is in the table; else inserts nothing and answers `false`. "
     "Of callers that race with each other for a key exactly one is told `true`.").
-spec insert_new(table(), object() | [object()]) -> boolean().
insert_new(Table, Objects) ->
    ?FACE([Table, Objects], tsunami_nif:insert_new(Table, Objects)).

?DOC("The objects of a key, in a bag in the order in which they were inserted. "
     "Keys of an `ordered_set` are compared by `==`, others by `=:=`.").
-spec lookup(table(), key()) -> [object()].
lookup(Table, Key) ->
    ?FACE([Table, Key], tsunami_nif:lookup(Table, Key)).

?DOC("Element `Pos` of the object with that key; in a bag a list of the elements of all of them. Copies nothing else "
     "out of the table. `badarg` if there is no such key or no such element.").
-spec lookup_element(table(), key(), Pos :: pos_integer()) -> term() | [term()].
lookup_element(Table, Key, Pos) ->
    ?FACE([Table, Key, Pos], tsunami_nif:lookup_element(Table, Key, Pos)).

?DOC("As `lookup_element/3`, but answers `Default` if there is no such key.").
-spec lookup_element(table(), key(), Pos :: pos_integer(), Default :: term()) -> term() | [term()].
lookup_element(Table, Key, Pos, Default) ->
    ?FACE([Table, Key, Pos, Default], tsunami_nif:lookup_element(Table, Key, Pos, Default)).

?DOC("Whether the table holds an object with that key.").
-spec member(table(), key()) -> boolean().
member(Table, Key) ->
    ?FACE([Table, Key], tsunami_nif:member(Table, Key)).

?DOC("Deletes all objects with that key.").
-spec delete(table(), key()) -> true.
delete(Table, Key) ->
    ?FACE([Table, Key], tsunami_nif:delete(Table, Key)).

?DOC("Deletes the objects that are `=:=` to this one, in a `duplicate_bag` all of them.").
-spec delete_object(table(), object()) -> true.
delete_object(Table, Object) ->
    ?FACE([Table, Object], tsunami_nif:delete_object(Table, Object)).

?DOC("Deletes all objects as one. Takes the same short time whatever the table holds.").
-spec delete_all_objects(table()) -> true.
delete_all_objects(Table) ->
    ?FACE([Table], tsunami_nif:delete_all_objects(Table)).

?DOC("Deletes all objects with that key and answers them, as one.").
-spec take(table(), key()) -> [object()].
take(Table, Key) ->
    ?FACE([Table, Key], tsunami_nif:take(Table, Key)).

?DOC("Adds to integers of the object with that key, as one, and answers the new ones. `{Pos, Incr, Threshold, SetValue}` "
     "sets `SetValue` where the sum goes past `Threshold`; a bare `Incr` adds to the element after the key. Only in a "
     "`set` or `ordered_set`. `badarg`, with nothing changed, if there is no such key, or an element is no integer or is the key.").
-spec update_counter(table(), key(), Ops) -> integer() | [integer()] when
      Ops :: Incr | Op | [Op],
      Op :: {Pos, Incr} | {Pos, Incr, Threshold :: integer(), SetValue :: integer()},
      Pos :: pos_integer(),
      Incr :: integer().
update_counter(Table, Key, Ops) ->
    ?FACE([Table, Key, Ops], tsunami_nif:update_counter(Table, Key, Ops)).

?DOC("As `update_counter/3`; if there is no such key, `Default` is inserted with that key first.").
-spec update_counter(table(), key(), Ops, Default :: object()) -> integer() | [integer()] when
      Ops :: Incr | Op | [Op],
      Op :: {Pos, Incr} | {Pos, Incr, Threshold :: integer(), SetValue :: integer()},
      Pos :: pos_integer(),
      Incr :: integer().
update_counter(Table, Key, Ops, Default) ->
    ?FACE([Table, Key, Ops, Default], tsunami_nif:update_counter(Table, Key, Ops, Default)).

?DOC("Sets elements of the object with that key, as one; `false` if there is none. Only in a `set` or `ordered_set`, and "
     "never the key.").
-spec update_element(table(), key(), Spec | [Spec]) -> boolean() when
      Spec :: {Pos :: pos_integer(), Value :: term()}.
update_element(Table, Key, Specs) ->
    ?FACE([Table, Key, Specs], tsunami_nif:update_element(Table, Key, Specs)).

?DOC("As `update_element/3`; if there is no such key, `Default` is inserted with that key first.").
-spec update_element(table(), key(), Spec | [Spec], Default :: object()) -> true when
      Spec :: {Pos :: pos_integer(), Value :: term()}.
update_element(Table, Key, Specs, Default) ->
    ?FACE([Table, Key, Specs, Default], tsunami_nif:update_element(Table, Key, Specs, Default)).

%% --- traversal --------------------------------------------------------------------------

?DOC("The first key, or `'$end_of_table'`. In order of the keys for an `ordered_set`, in no order of note, but always the "
     "same one, for other tables.").
-spec first(table()) -> key() | '$end_of_table'.
first(Table) ->
    ?FACE([Table], tsunami_nif:first(Table)).

?DOC("The last key of an `ordered_set`; for other tables the same as `first/1`.").
-spec last(table()) -> key() | '$end_of_table'.
last(Table) ->
    ?FACE([Table], tsunami_nif:last(Table)).

?DOC("The key after this one. In an `ordered_set` the key need not be in the table; elsewhere it must be, or have been when the "
     "table was fixed.").
-spec next(table(), key()) -> key() | '$end_of_table'.
next(Table, Key) ->
    ?FACE([Table, Key], tsunami_nif:next(Table, Key)).

?DOC("The key before this one in an `ordered_set`; for other tables the same as `next/2`.").
-spec prev(table(), key()) -> key() | '$end_of_table'.
prev(Table, Key) ->
    ?FACE([Table, Key], tsunami_nif:prev(Table, Key)).

?DOC("As `first/1`, with the objects of the key.").
-spec first_lookup(table()) -> {key(), [object()]} | '$end_of_table'.
first_lookup(Table) ->
    ?FACE([Table], tsunami_nif:first_lookup(Table)).

?DOC("As `last/1`, with the objects of the key.").
-spec last_lookup(table()) -> {key(), [object()]} | '$end_of_table'.
last_lookup(Table) ->
    ?FACE([Table], tsunami_nif:last_lookup(Table)).

?DOC("As `next/2`, with the objects of the key that it finds.").
-spec next_lookup(table(), key()) -> {key(), [object()]} | '$end_of_table'.
next_lookup(Table, Key) ->
    ?FACE([Table, Key], tsunami_nif:next_lookup(Table, Key)).

?DOC("As `prev/2`, with the objects of the key that it finds.").
-spec prev_lookup(table(), key()) -> {key(), [object()]} | '$end_of_table'.
prev_lookup(Table, Key) ->
    ?FACE([Table, Key], tsunami_nif:prev_lookup(Table, Key)).

?DOC("The objects of slot `I`, counted from 0; `'$end_of_table'` for the one after the last slot, `badarg` beyond. A slot of an "
     "`ordered_set` is the object at that place in the order.").
-spec slot(table(), I :: non_neg_integer()) -> [object()] | '$end_of_table'.
slot(Table, I) ->
    ?FACE([Table, I], tsunami_nif:slot(Table, I)).

?DOC("All objects, in order of the keys for an `ordered_set`. Is cut into slices of less than 1 ms; whoever writes meanwhile "
     "may be seen or not, object by object.").
-spec tab2list(table()) -> [object()].
tab2list(Table) ->
    ?FACE([Table], list(Table)).

%% Goes on with the table that it began with, though that be renamed meanwhile.
list(Table) ->
    case tsunami_nif:info(Table, id) of
        undefined ->
            badarg(id);
        Tid ->
            Direction = case tsunami_nif:info(Tid, type) of
                            ordered_set -> backward;
                            _ -> forward
                        end,
            list(Tid, start, Direction, [])
    end.

list(Tid, Cursor, Direction, Acc) ->
    case tsunami_nif:objects(Tid, Cursor, Direction, ?OBJECTS_MAX, Acc) of
        {Acc1, done} -> Acc1;
        {Acc1, Cursor1} -> list(Tid, Cursor1, Direction, Acc1)
    end.

?DOC("Calls `Fun(Object, Acc)` for each object, the first key first, and answers the last `Acc`. The table is fixed meanwhile, and "
     "each key looked up when its turn comes, so that `Fun` may insert and delete.").
-spec foldl(Fun, Acc0 :: Acc, table()) -> Acc when Fun :: fun((object(), Acc) -> Acc).
foldl(Fun, Acc, Table) ->
    ?FACE([Fun, Acc, Table],
          begin
              true = tsunami_nif:safe_fixtable(Table, true),
              try
                  forward(Fun, Acc, Table, tsunami_nif:first_lookup(Table))
              after
                  tsunami_nif:safe_fixtable(Table, false)
              end
          end).

forward(_Fun, Acc, _Table, '$end_of_table') ->
    Acc;
%% To a fold of ets, that atom as a key is the end.
forward(_Fun, Acc, _Table, {'$end_of_table', _Objects}) ->
    Acc;
forward(Fun, Acc, Table, {Key, Objects}) ->
    Acc1 = lists:foldl(Fun, Acc, Objects),
    forward(Fun, Acc1, Table, tsunami_nif:next_lookup(Table, Key)).

?DOC("As `foldl/3`, the last key of an `ordered_set` first, and the last object of a key first.").
-spec foldr(Fun, Acc0 :: Acc, table()) -> Acc when Fun :: fun((object(), Acc) -> Acc).
foldr(Fun, Acc, Table) ->
    ?FACE([Fun, Acc, Table],
          begin
              true = tsunami_nif:safe_fixtable(Table, true),
              try
                  backward(Fun, Acc, Table, tsunami_nif:last_lookup(Table))
              after
                  tsunami_nif:safe_fixtable(Table, false)
              end
          end).

backward(_Fun, Acc, _Table, '$end_of_table') ->
    Acc;
backward(_Fun, Acc, _Table, {'$end_of_table', _Objects}) ->
    Acc;
backward(Fun, Acc, Table, {Key, Objects}) ->
    Acc1 = lists:foldr(Fun, Acc, Objects),
    backward(Fun, Acc1, Table, tsunami_nif:prev_lookup(Table, Key)).

-spec badarg(atom()) -> no_return().
badarg(Cause) ->
    error({tsunami_badarg, Cause}).
