%% tsunami_spec_model: searches and changes of tables of ets by what they mean: each object against the specification, by itself.
%%
%% For where ets itself is wrong: that of OTP 25 misses objects in tables that it searches by parts of the keys of several clauses.
%% A table is one of ets, of which only what needs no specification is used.
-module(tsunami_spec_model).
-export([new/2, insert/2, delete/1, tab2list/1, info/2, lookup/2]).
-export([select/1, select/2, select/3, select_reverse/1, select_reverse/2, select_reverse/3, select_count/2, match/1, match/2, match/3,
         match_object/2, select_delete/2, match_delete/2, select_replace/2]).

new(Name, Options) -> ets:new(Name, Options).
insert(T, Objects) -> ets:insert(T, Objects).
delete(T) -> ets:delete(T).
tab2list(T) -> ets:tab2list(T).
info(T, Item) -> ets:info(T, Item).
lookup(T, Key) -> ets:lookup(T, Key).

select(T, Spec) -> [Result || {_, {result, Result}} <- results(T, Spec)].
select(T, Spec, Limit) -> chunk(select(T, Spec), Limit).
select('$end_of_table') -> '$end_of_table';
select({Results, Limit}) -> chunk(Results, Limit).

select_reverse(T, Spec) -> lists:reverse(select(T, Spec)).
select_reverse(T, Spec, Limit) -> chunk(select_reverse(T, Spec), Limit).
select_reverse(Continuation) -> select(Continuation).

select_count(T, Spec) -> length([true || {_, {result, true}} <- results(T, Spec)]).

match(T, Pattern) -> select(T, [{Pattern, [], ['$$']}]).
match(T, Pattern, Limit) -> select(T, [{Pattern, [], ['$$']}], Limit).
match(Continuation) -> select(Continuation).
match_object(T, Pattern) -> select(T, [{Pattern, [], ['$_']}]).

select_delete(T, Spec) -> change(T, Spec, fun({result, true}, _) -> delete; (_, Object) -> {keep, Object} end).
match_delete(T, Pattern) -> select_delete(T, [{Pattern, [], [true]}]), true.
select_replace(T, Spec) ->
    Empty = ets:new(t, [ets:info(T, type), {keypos, ets:info(T, keypos)}]),
    try ets:select_replace(Empty, Spec)         %% it may be refused
    after ets:delete(Empty)
    end,
    change(T, Spec, fun({result, New}, _) -> {put, New}; (none, Object) -> {keep, Object} end).

chunk([], _Limit) -> '$end_of_table';
chunk(Results, Limit) when length(Results) < Limit -> {Results, '$end_of_table'};
chunk(Results, Limit) -> {lists:sublist(Results, Limit), {lists:nthtail(Limit, Results), Limit}}.

%% Each object, in the order of its table, and what comes of it. By lookup/2: the objects of a key in the order that they came in.
results(T, Spec) ->
    Compiled = ets:match_spec_compile(Spec),
    [{Object, case ets:match_spec_run([Object], Compiled) of
                  [Result] -> {result, Result};
                  [] -> none
              end} || Key <- keys(T, ets:first(T)), Object <- ets:lookup(T, Key)].

keys(_T, '$end_of_table') -> [];
keys(T, Key) -> [Key | keys(T, ets:next(T, Key))].

change(T, Spec, F) ->
    Changes = [F(Result, Object) || {Object, Result} <- results(T, Spec)],
    true = ets:delete_all_objects(T),
    [true = ets:insert(T, Object) || {_, Object} <- Changes],
    length([changed || Change <- Changes, Change =:= delete orelse element(1, Change) =:= put]).
