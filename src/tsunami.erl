%% tsunami: the functions of ets, with the same arguments, results and errors.
%%
%% Each function is one call into the library. The macro FACE (tsunami_face.hrl) turns what the library raises into the
%% error that ets would raise.
-module(tsunami).

-include("tsunami_doc.hrl").
-include("tsunami_face.hrl").
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
%% Files and other modules
-export([tab2file/2, tab2file/3, file2tab/1, file2tab/2, tabfile_info/1, init_table/2, to_dets/2, from_dets/2, table/1,
         table/2, i/0, i/1, i/2, i/3]).

%% Match specifications
-export([select/1, select/2, select/3, select_reverse/1, select_reverse/2, select_reverse/3, select_count/2, select_delete/2,
         select_replace/2, match/1, match/2, match/3, match_object/1, match_object/2, match_object/3, match_delete/2,
         match_spec_compile/1, match_spec_run/2, is_compiled_ms/1, test_ms/2, fun2ms/1, repair_continuation/2]).
%% What ets exports for itself
-export([internal_delete_all/2, internal_request_all/0, internal_select_delete/2, match_spec_run_r/3]).

-export_type([table/0, tid/0, key/0, object/0, match_spec/0, match_pattern/0, compiled_match_spec/0, continuation/0]).

-type table() :: atom() | tid().
-opaque tid() :: reference().
-type key() :: term().
-type object() :: tuple().
-type match_pattern() :: atom() | tuple().
-type match_spec() :: [{match_pattern(), [term()], [term()]}].
-opaque compiled_match_spec() :: reference().
-type continuation() :: '$end_of_table' | tuple().

%% Objects that one call of the library puts on the list of tab2list/1.
-define(OBJECTS_MAX, 1000).

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
        {ok, Settings} ->
            tsunami_owner:create(Name, Settings);
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
    Tid = tsunami_bulk:tid(Table),
    Direction = case tsunami_nif:info(Tid, type) of
                    ordered_set -> backward;
                    _ -> forward
                end,
    list(Tid, start, Direction, []).

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

%% --- match specifications ---------------------------------------------------------------

?DOC("All that a match specification makes of the objects that it matches, in order of the keys for an `ordered_set`.\n\n"
     "A specification is compiled once: giving the same one again costs its comparison. What it says of the key decides where it "
     "looks: a key that its head gives is looked up; in an `ordered_set` a key given in part (`{1500, a, '_'}`), and guards that compare the "
     "key, or its first elements, items or bytes, with constants, are ranges of the table: `tsunami_x:explain/2` tells. Is cut into slices of less than 1 ms; whoever writes meanwhile may be seen or "
     "not, object by object. `badarg` if the specification is wrong, `system_limit` if it is nested too deep.").
-spec select(table(), match_spec()) -> [Match :: term()].
select(Table, Spec) ->
    ?FACE([Table, Spec], tsunami_nif:search(Table, Spec, select)).

?DOC("As `select/2`, the first `Limit` results, and a continuation for `select/1`; `'$end_of_table'` if there are none. "
     "A continuation belongs to the table, not to its name, and stays good whatever is inserted or deleted: what is there throughout is seen "
     "exactly once, fixed or not.").
-spec select(table(), match_spec(), Limit :: pos_integer()) -> {[Match :: term()], continuation()} | '$end_of_table'.
select(Table, Spec, Limit) ->
    ?FACE([Table, Spec, Limit], tsunami_ms:chunk(Table, Spec, select, Limit)).

?DOC("The next results of `select/3`.").
-spec select(continuation()) -> {[Match :: term()], continuation()} | '$end_of_table'.
select(Continuation) ->
    ?FACE([Continuation], tsunami_ms:more(Continuation)).

?DOC("As `select/2`, the last key of an `ordered_set` first; for other tables the same.").
-spec select_reverse(table(), match_spec()) -> [Match :: term()].
select_reverse(Table, Spec) ->
    ?FACE([Table, Spec], tsunami_nif:search(Table, Spec, reverse)).

?DOC("As `select/3`, the last key of an `ordered_set` first; for other tables the same.").
-spec select_reverse(table(), match_spec(), Limit :: pos_integer()) ->
          {[Match :: term()], continuation()} | '$end_of_table'.
select_reverse(Table, Spec, Limit) ->
    ?FACE([Table, Spec, Limit], tsunami_ms:chunk(Table, Spec, reverse, Limit)).

?DOC("The next results of `select_reverse/3`.").
-spec select_reverse(continuation()) -> {[Match :: term()], continuation()} | '$end_of_table'.
select_reverse(Continuation) ->
    ?FACE([Continuation], tsunami_ms:more(Continuation)).

?DOC("How many objects a match specification matches with the result `true`.").
-spec select_count(table(), match_spec()) -> non_neg_integer().
select_count(Table, Spec) ->
    ?FACE([Table, Spec], tsunami_nif:search(Table, Spec, count)).

?DOC("Deletes the objects for which the result of a match specification is `true`, and answers how many. The objects of a key go as one; "
     "all of the table do, in the time of `delete_all_objects/1`, if the specification is `[{'_', [], [true]}]`.").
-spec select_delete(table(), match_spec()) -> non_neg_integer().
select_delete(Table, Spec) ->
    ?FACE([Table, Spec], tsunami_nif:search(Table, Spec, delete)).

?DOC("Replaces each object that a match specification matches by its result, each as one, and answers how many. `badarg` unless it "
     "can be seen from the specification that results are tuples with the key of the object; and for a `bag`.").
-spec select_replace(table(), match_spec()) -> non_neg_integer().
select_replace(Table, Spec) ->
    ?FACE([Table, Spec], tsunami_nif:search(Table, Spec, replace)).

?DOC("For each object that matches the pattern, the list of what its variables are bound to, by their numbers.").
-spec match(table(), match_pattern()) -> [Match :: [term()]].
match(Table, Pattern) ->
    ?FACE([Table, Pattern], tsunami_nif:search(Table, [{Pattern, [], ['$$']}], select)).

?DOC("As `match/2`, in chunks: see `select/3`.").
-spec match(table(), match_pattern(), Limit :: pos_integer()) -> {[Match :: [term()]], continuation()} | '$end_of_table'.
match(Table, Pattern, Limit) ->
    ?FACE([Table, Pattern, Limit], tsunami_ms:chunk(Table, [{Pattern, [], ['$$']}], select, Limit)).

?DOC("The next results of `match/3`.").
-spec match(continuation()) -> {[Match :: [term()]], continuation()} | '$end_of_table'.
match(Continuation) ->
    ?FACE([Continuation], tsunami_ms:more(Continuation)).

?DOC("The objects that match the pattern.").
-spec match_object(table(), match_pattern()) -> [object()].
match_object(Table, Pattern) ->
    ?FACE([Table, Pattern], tsunami_nif:search(Table, [{Pattern, [], ['$_']}], select)).

?DOC("As `match_object/2`, in chunks: see `select/3`.").
-spec match_object(table(), match_pattern(), Limit :: pos_integer()) -> {[object()], continuation()} | '$end_of_table'.
match_object(Table, Pattern, Limit) ->
    ?FACE([Table, Pattern, Limit], tsunami_ms:chunk(Table, [{Pattern, [], ['$_']}], select, Limit)).

?DOC("The next results of `match_object/3`.").
-spec match_object(continuation()) -> {[object()], continuation()} | '$end_of_table'.
match_object(Continuation) ->
    ?FACE([Continuation], tsunami_ms:more(Continuation)).

?DOC("Deletes the objects that match the pattern.").
-spec match_delete(table(), match_pattern()) -> true.
match_delete(Table, Pattern) ->
    ?FACE([Table, Pattern],
          begin
              _ = tsunami_nif:search(Table, [{Pattern, [], [true]}], delete),
              true
          end).

?DOC("Compiles a match specification for `match_spec_run/2`.").
-spec match_spec_compile(match_spec()) -> compiled_match_spec().
match_spec_compile(Spec) ->
    ?FACE([Spec], tsunami_ms:compile(Spec)).

?DOC("What a compiled match specification makes of the terms of a list, in their order.").
-spec match_spec_run([term()], compiled_match_spec()) -> [Match :: term()].
match_spec_run(List, Compiled) ->
    ?FACE([List, Compiled], lists:reverse(tsunami_ms:run(List, Compiled, []))).

?DOC("Whether this is a specification that `match_spec_compile/1` has compiled on this node.").
-spec is_compiled_ms(term()) -> boolean().
is_compiled_ms(Term) ->
    tsunami_nif:is_compiled(Term).

?DOC("What a match specification makes of one tuple, or in words what is wrong with it.").
-spec test_ms(tuple(), match_spec()) -> {ok, Result :: term()} | {error, [{error | warning, string()}]}.
test_ms(Tuple, Spec) ->
    tsunami_ms:test(Tuple, Spec).

?DOC("Stands for the match specification that `ms_transform` makes of a literal fun at compile time; in the shell the fun itself is "
     "translated. `badarg` where neither is possible. Include `stdlib/include/ms_transform.hrl` and write `ets:fun2ms/1`, or use this in the shell.").
-spec fun2ms(fun((tuple()) -> term())) -> match_spec().
fun2ms(Fun) ->
    ets:fun2ms(Fun).

?DOC("Makes a continuation good again that has been through the external term format.").
-spec repair_continuation(continuation(), match_spec()) -> continuation().
repair_continuation('$end_of_table', _Spec) ->
    '$end_of_table';
repair_continuation({_Table, _Cursor, _Limit, Compiled, _Left, _Count} = Continuation, Spec) ->
    ?FACE([Continuation, Spec], tsunami_ms:repair(Continuation, 4, Compiled, Spec));
repair_continuation({_Table, _Cursor, _End, _Limit, Compiled, _Left, _Count, _Order} = Continuation, Spec) ->
    ?FACE([Continuation, Spec], tsunami_ms:repair(Continuation, 5, Compiled, Spec)).

-spec internal_delete_all(table(), undefined) -> non_neg_integer().
internal_delete_all(Table, undefined) ->
    ?FACE([Table, undefined],
          begin
              Size = tsunami_nif:info(Table, size),
              true = tsunami_nif:delete_all_objects(Table),
              Size
          end).

-spec internal_request_all() -> reference().
internal_request_all() ->
    Ref = make_ref(),
    self() ! {Ref, all()},
    Ref.

-spec internal_select_delete(table(), match_spec()) -> non_neg_integer().
internal_select_delete(Table, Spec) ->
    ?FACE([Table, Spec], tsunami_nif:search(Table, Spec, delete)).

-spec match_spec_run_r([term()], compiled_match_spec(), [term()]) -> [term()].
match_spec_run_r(List, Compiled, Acc) ->
    ?FACE([List, Compiled, Acc], tsunami_ms:run(List, Compiled, Acc)).

%% --- files and other modules ------------------------------------------------------------

?DOC("As `tab2file/3` without options.").
-spec tab2file(table(), file:name()) -> ok | {error, Reason :: term()}.
tab2file(Table, File) ->
    ?FACE([Table, File], tsunami_file:write(Table, File, [])).

?DOC("Writes all objects to a file, which `file2tab/1` and `ets:file2tab/1` read. The file is written as the table is walked: a "
     "thousand objects, or all of one key, are in the memory of the caller at a time, and whoever writes to the table meanwhile may be "
     "seen or not, object by object.\n\n"
     "`{extended_info, [object_count]}` adds the number of objects, `{extended_info, [md5sum]}` a checksum of all, for "
     "`{verify, true}` of `file2tab/2`. `{sync, true}` waits until the file is on the disk.\n\n"
     "`{error, badtab}` if there is no such table: a file that was there stays. After any other error there is no file. "
     "`badarg` if the calling process must not read the table.").
-spec tab2file(table(), file:name(), [Option]) -> ok | {error, Reason :: term()} when
      Option :: {extended_info, [object_count | md5sum]} | {sync, boolean()}.
tab2file(Table, File, Options) ->
    ?FACE([Table, File, Options], tsunami_file:write(Table, File, Options)).

?DOC("As `file2tab/2` without options.").
-spec file2tab(file:name()) -> {ok, table()} | {error, Reason :: term()}.
file2tab(File) ->
    ?FACE([File], tsunami_file:read(File, [])).

?DOC("Makes a table out of a file that `tab2file/2,3` has written, or that of `ets`. The table has the name, the type, the protection "
     "and the options of the one that was written. As long as the file is being read, no other process can read the table; if "
     "that fails, it is gone again.\n\n"
     "With `{verify, true}` the file is compared with all that it says of itself: a damaged one, if it was written with `md5sum`, is "
     "refused whatever the damage; with `object_count`, or with nothing but the size of the table when it was written, if "
     "objects are missing.\n\n"
     "Fails with `{error, Reason}`: `badfile`, `checksum_error`, `invalid_object_count`, `cannot_create_table` (its name is "
     "taken), `{read_error, _}`, `{unsupported_file_version, _}`, `{unknown_option, _}`, `{malformed_option, _}`.").
-spec file2tab(file:name(), [Option]) -> {ok, table()} | {error, Reason :: term()} when
      Option :: {verify, boolean()}.
file2tab(File, Options) ->
    ?FACE([File, Options], tsunami_file:read(File, Options)).

?DOC("What a file says of its table: `name`, `type`, `protection`, `named_table`, `keypos`, `size`, `extended_info` and `version`.").
-spec tabfile_info(file:name()) -> {ok, [{Item :: atom(), Value :: term()}]} | {error, Reason :: term()}.
tabfile_info(File) ->
    ?FACE([File], tsunami_file:info(File)).

?DOC("Deletes all objects, and inserts those that `Fun` hands out: `Fun(read)` is `end_of_input` or `{Objects, NextFun}`. If an object "
     "is wrong, `NextFun(close)` is called, and the caller exits with `{badarg, Stack}`; if `Fun(read)` is anything else, with that.").
-spec init_table(table(), Fun) -> true when
      Fun :: fun((read | close) -> end_of_input | {[object() | [object()]], Fun} | term()).
init_table(Table, Fun) ->
    ?FACE([Table, Fun], tsunami_bulk:init(Table, Fun)).

?DOC("Replaces the contents of an open table of `m:dets` by those of this table, and answers `Dets`. `badarg` if there is no such table "
     "of `dets`; other errors of `dets` are raised with its reason.").
-spec to_dets(table(), Dets) -> Dets when Dets :: dets:tab_name().
to_dets(Table, Dets) ->
    ?FACE([Table, Dets], tsunami_dets:to_dets(Table, Dets)).

?DOC("Inserts all objects of an open table of `m:dets`, and leaves what is in the table. Errors are those of `to_dets/2`.").
-spec from_dets(table(), Dets :: dets:tab_name()) -> true.
from_dets(Table, Dets) ->
    ?FACE([Table, Dets], tsunami_dets:from_dets(Table, Dets)).

?DOC("As `table/2` without options.").
-spec table(table()) -> qlc:query_handle().
table(Table) ->
    ?FACE([Table], tsunami_qlc:table(Table, [])).

?DOC("A query handle for `m:qlc`. `{traverse, How}` says how a query goes through the table: `select`, unless told otherwise, which "
     "asks only for what the query may match; `{select, MatchSpec}`; `first_next` or `last_prev`, key by key. `{n_objects, N}` is the "
     "number of objects that `select` fetches at a time, 100 unless told otherwise. What else `qlc:table/2` has of options is handed "
     "on to it. `badarg` if an option is wrong.").
-spec table(table(), Option | [Option]) -> qlc:query_handle() when
      Option :: {n_objects, default | pos_integer()}
              | {traverse, first_next | last_prev | select | {select, MatchSpec :: term()}}
              | {atom(), term()}.
table(Table, Options) ->
    ?FACE([Table, Options], tsunami_qlc:table(Table, Options)).

?DOC("Prints a line for each table of this node.").
-spec i() -> ok.
i() ->
    ?FACE([], tsunami_show:tables()).

?DOC("Shows a table on the terminal, page by page: `c` or nothing for the next page, `q` to leave, `p` and a number to see that object in "
     "full, `/` and a regular expression to see only those whose text matches, `k` to delete the table.").
-spec i(table()) -> ok.
i(Table) ->
    ?FACE([Table], tsunami_show:table(Table, 40, 80)).

?DOC("As `i/1`, with pages of `Height` lines.").
-spec i(table(), Height :: pos_integer()) -> ok.
i(Table, Height) ->
    ?FACE([Table, Height], tsunami_show:table(Table, Height, 80)).

?DOC("As `i/1`, with pages of `Height` lines of `Width` characters.").
-spec i(table(), Height :: pos_integer(), Width :: pos_integer()) -> ok.
i(Table, Height, Width) ->
    ?FACE([Table, Height, Width], tsunami_show:table(Table, Height, Width)).

-spec badarg(atom()) -> no_return().
badarg(Cause) ->
    error({tsunami_badarg, Cause}).
