%% tsunami_errors: says in words what was wrong with the arguments of a call.
%%
%% erl_error calls format_error/2 of the module that an exception's error_info names. The texts are those
%% that the shell prints for ets: whoever has learnt to read the one can read the other.
-module(tsunami_errors).

-include("tsunami_doc.hrl").
?MODULEDOC("Texts for the errors of `m:tsunami`, as `m:erl_error` prints them.").

-export([format_error/2]).

?DOC("What was wrong, by number of argument. Total: a stack trace it does not understand has no text.").
-spec format_error(Reason :: term(), erlang:stacktrace()) -> #{pos_integer() => unicode:chardata()}.
format_error(badarg, [{_Module, Function, Args, Info} | _]) when is_list(Args) ->
    Cause = maps:get(cause, proplists:get_value(error_info, Info, #{}), none),
    maps:from_list(problems(Function, Args, Cause));
format_error(_Reason, _Stack) ->
    #{}.

%% A list of {Number of the argument, Text}. Where a function says more than that its table is wrong
%% even then, both lists are joined; where it does not, `otherwise` picks the first that says something.
problems(new, [Name, Options], Cause) ->
    case {is_atom(Name), proper(Options), Cause} of
        {true, ok, already_exists} -> [{1, text(name_taken)}];
        {true, ok, _} -> [{2, text(options)}];
        {true, Wrong, _} -> [{2, text(Wrong)}];
        {false, ok, _} -> [{1, text(not_atom)}];
        {false, Wrong, _} -> [{1, text(not_atom)}, {2, text(Wrong)}]
    end;
problems(whereis, _Args, _Cause) ->
    [{1, text(name)}];
problems(rename, [_, Name] = Args, Cause) ->
    Wrong = table(Args, Cause) ++ [{2, text(name)} || not is_atom(Name)],
    otherwise(Wrong, [{2, text(name_taken)}]);
problems(give_away, Args, owner) ->
    table(Args, owner) ++ [{2, text(owner)}];
problems(give_away, Args, not_owner) ->
    table(Args, not_owner) ++ [{2, text(not_owner)}];
problems(give_away, [_, Pid, _] = Args, Cause) ->
    case {table(Args, Cause), is_pid(Pid)} of
        {[], true} -> [{2, text(dead)}];
        {Wrong, true} -> Wrong;
        {Wrong, false} -> Wrong ++ [{2, text(not_pid)}]
    end;
problems(info, Args, Cause) ->
    otherwise(table(Args, Cause), [{2, text(info_item)}]);
problems(setopts, Args, Cause) ->
    otherwise(table(Args, Cause), [{2, text(options)}]);
problems(safe_fixtable, Args, Cause) ->
    otherwise(table(Args, Cause), [{2, text(boolean)}]);
problems(slot, Args, Cause) ->
    otherwise(table(Args, Cause), [{2, text(range)}]);
problems(Next, Args, Cause) when Next =:= next; Next =:= prev; Next =:= next_lookup; Next =:= prev_lookup ->
    otherwise(table(Args, Cause), [{2, text(key)}]);
problems(Insert, [_, Objects] = Args, Cause) when Insert =:= insert; Insert =:= insert_new ->
    table(Args, Cause) ++ at(2, objects(Objects));
problems(delete_object, [_, Object] = Args, Cause) ->
    table(Args, Cause) ++ at(2, object(Object));
problems(lookup_element, [_, _, Pos | _] = Args, badkey) ->
    table(Args, badkey) ++ [{2, text(key)}] ++ at(3, position(Pos));
problems(lookup_element, [_, _, Pos | _] = Args, Cause) ->
    otherwise(table(Args, Cause) ++ at(3, position(Pos)), [{3, text(beyond)}]);
problems(update_counter, [_, _, Ops], Cause) when Cause =:= keypos; Cause =:= position; Cause =:= badkey ->
    counter(Ops, Cause);
problems(update_counter, [_, _, Ops] = Args, Cause) ->
    case {counter_ops(Ops), Cause} of
        {unclear, _} -> [];
        {false, _} -> table(Args, Cause) ++ [{3, text(update)}];
        {true, none} -> [{3, text(not_counter)}];
        {true, _} -> table(Args, Cause)
    end;
problems(update_counter, [_, _, Ops, Default] = Args, Cause) ->
    case table(Args, Cause) of
        [] when Cause =:= keypos; Cause =:= badkey -> counter(Ops, Cause) ++ at(4, object(Default));
        [] when Cause =:= position -> counter(Ops, Cause);
        [] ->
            Wrong = at(4, object(Default)),
            case counter_ops(Ops) of
                unclear -> [];
                false -> [{3, text(update)} | Wrong];
                true -> otherwise(Wrong, [{3, text(not_counter)}])
            end;
        Wrong ->
            Wrong
    end;
problems(update_element, [_, _, _], position) ->
    [{3, text(update_range)}];
problems(update_element, [_, _, _, Default], position) ->
    [{3, text(update_range)} | at(4, object(Default))];
problems(update_element, [_, _, _], keypos) ->
    [{3, text(keypos)}];
problems(update_element, [_, _, Specs] = Args, Cause) ->
    case element_specs(Specs) of
        unclear -> [];
        false -> table(Args, Cause) ++ [{3, text(element)}];
        true -> otherwise(table(Args, Cause), [{3, text(range)}])
    end;
problems(update_element, [_, _, _, Default], keypos) ->
    [{3, text(keypos)} | at(4, object(Default))];
problems(update_element, [_, _, Specs, Default] = Args, Cause) ->
    Wrong = at(4, object(Default)),
    case {element_specs(Specs), table(Args, Cause)} of
        {unclear, _} -> [];
        {true, [_ | _] = Table} -> Table ++ [{3, text(range)}];
        {false, [_ | _] = Table} -> Table ++ [{3, text(element)}];
        {false, []} -> [{3, text(element)} | Wrong];
        {true, []} -> otherwise(Wrong, [{3, text(range)}])
    end;
problems(Search, [_], _Cause) when Search =:= select; Search =:= select_reverse; Search =:= match; Search =:= match_object ->
    [{1, text(continuation)}];
problems(Match, [_, _, Limit] = Args, Cause) when Match =:= match; Match =:= match_object ->
    table(Args, Cause) ++ at(3, position(Limit));
problems(Select, [_, Spec, Limit] = Args, Cause) when Select =:= select; Select =:= select_reverse ->
    table(Args, Cause) ++ at(2, match_spec(Spec)) ++ at(3, position(Limit));
problems(Match, [_, _] = Args, Cause) when Match =:= match; Match =:= match_object ->
    table(Args, Cause);
problems(Select, [_, _] = Args, Cause) when Select =:= select; Select =:= select_reverse; Select =:= select_count;
                                            Select =:= select_delete; Select =:= select_replace; Select =:= match_delete;
                                            Select =:= internal_select_delete ->
    otherwise(table(Args, Cause), [{2, text(match_spec)}]);
%% tsunami_x
problems(lookup_many, [_, Keys] = Args, Cause) ->
    table(Args, Cause) ++ at(2, proper(Keys));
problems(lookup_elements, [_, _, Positions] = Args, Cause) ->
    Wrong = table(Args, Cause) ++ [{2, text(key)} || Cause =:= badkey] ++ at(3, positions(Positions)),
    otherwise(Wrong, [{3, text(beyond)}]);
problems(select_take, [_, Spec | Limit] = Args, Cause) ->
    Wrong = table(Args, Cause) ++ [W || Spec =/= [], W <- at(2, match_spec(Spec))] ++ [W || L <- Limit, W <- at(3, position(L))],
    otherwise(Wrong, [{3, text(range)} || Limit =/= []]);
problems(compare_and_swap, [_, _, Expected, New] = Args, Cause) ->
    table(Args, Cause) ++ at(3, content(Expected, Cause =:= expected)) ++ at(4, content(New, Cause =:= new));
problems(update, [_, _, Fun] = Args, Cause) ->
    Wrong = table(Args, Cause) ++ [{3, text(not_fun)} || not is_function(Fun, 1)],
    otherwise(Wrong, [{3, text(answer)}]);
problems(range, [_], _Cause) ->
    [{1, text(continuation)}];
problems(range, [_, From, To | Options] = Args, Cause) ->
    otherwise(table(Args, Cause), at(2, from(From)) ++ at(3, to(To)) ++ [{4, text(options)} || Options =/= [], is_bound(From, To)]);
problems(prefix, [_, Prefix | Options] = Args, Cause) ->
    Wrong = at(2, prefix(Prefix)),
    otherwise(table(Args, Cause), otherwise(Wrong, [{3, text(options)} || Options =/= []]));
problems(explain, [_, Spec] = Args, Cause) ->
    otherwise(table(Args, Cause), at(2, match_spec(Spec)));
problems(match_spec_compile, [_], _Cause) ->
    [{1, text(match_spec)}];
%% The fun comes first, the table last.
problems(Fold, [_, _, Table], Cause) when Fold =:= foldl; Fold =:= foldr ->
    [{3, Text} || {1, Text} <- table([Table], Cause)];
problems(_ToOrFromDets, _Args, dets) ->
    [{2, text(dets)}];
problems(table, [_ | Options] = Args, Cause) ->
    otherwise(table(Args, Cause), [{2, text(options)} || Options =/= []]);
problems(_Function, Args, Cause) ->
    table(Args, Cause).

counter(_Ops, keypos) -> [{3, text(keypos)}];
counter(_Ops, position) -> [{3, text(update_range)}];
counter(Ops, badkey) ->
    case counter_ops(Ops) of
        unclear -> [];
        false -> [{2, text(key)}, {3, text(update)}];
        true -> [{2, text(key)}]
    end.

otherwise([], Problems) -> Problems;
otherwise(Problems, _) -> Problems.

at(_Number, ok) -> [];
at(Number, Name) -> [{Number, text(Name)}].

table([T | _], type) when is_reference(T) -> [{1, text(reference)}];
table(_Args, type) -> [{1, text(type)}];
table(_Args, id) -> [{1, text(id)}];
table(_Args, access) -> [{1, text(access)}];
table(_Args, view) -> [{1, text(view)}];
table(_Args, table_type) -> [{1, text(table_type)}];
table(_Args, _) -> [].

proper(List) when is_list(List) ->
    try length(List) of
        _ -> ok
    catch
        error:badarg -> improper
    end;
proper(_) ->
    not_list.

object(Object) when tuple_size(Object) > 0 -> ok;
object(Object) when is_tuple(Object) -> empty_tuple;
object(_) -> not_tuple.

objects(Objects) when is_list(Objects) ->
    case every(fun(Object) -> object(Object) =:= ok end, Objects) of
        true -> ok;
        _ -> objects
    end;
objects(Object) ->
    object(Object).

positions(Positions) when is_list(Positions) ->
    case every(fun(Pos) -> position(Pos) =:= ok end, Positions) of
        true -> ok;
        _ -> positions
    end;
positions(_) ->
    positions.

%% What lookup/2 may answer of a table with one object to a key.
content([], _Refused) -> ok;
content([Object], Refused) ->
    case object(Object) of
        ok when Refused -> other_key;
        Known -> Known
    end;
content(_, _Refused) -> content.

position(Pos) when not is_integer(Pos) -> not_integer;
position(Pos) when Pos < 1 -> range;
position(_) -> ok.

match_spec(Spec) ->
    try tsunami_nif:compile(Spec) of
        _ -> ok
    catch
        error:_ -> match_spec
    end.

is_bound(From, To) -> from(From) =:= ok andalso to(To) =:= ok.

from(first) -> ok;
from({Op, _}) when Op =:= ge; Op =:= gt -> ok;
from(_) -> from.

to(last) -> ok;
to({Op, _}) when Op =:= le; Op =:= lt -> ok;
to(_) -> to.

prefix(Prefix) when is_binary(Prefix); is_tuple(Prefix) -> ok;
prefix(Prefix) -> case proper(Prefix) of ok -> ok; _ -> prefix end.

counter_ops(Ops) when is_list(Ops) -> every(fun counter_op/1, Ops);
counter_ops(Op) -> counter_op(Op).

counter_op({Pos, Incr}) -> is_integer(Pos) andalso is_integer(Incr);
counter_op({Pos, Incr, Threshold, Value}) ->
    is_integer(Pos) andalso is_integer(Incr) andalso is_integer(Threshold) andalso is_integer(Value);
counter_op(Incr) -> is_integer(Incr).

element_specs(Specs) when is_list(Specs) -> every(fun element_spec/1, Specs);
element_specs(Spec) -> element_spec(Spec).

element_spec({Pos, _}) -> is_integer(Pos) andalso Pos > 0;
element_spec(_) -> false.

%% `unclear` for a list that is right up to its improper tail: for it ets prints no text at all.
every(Is, [H | T]) ->
    case Is(H) of
        true -> every(Is, T);
        false -> false
    end;
every(_Is, []) -> true;
every(_Is, _Tail) -> unclear.

text(access) -> <<"the table identifier refers to an ETS table with insufficient access rights">>;
text(answer) -> <<"the fun has answered neither an empty list nor a list of one object with that key">>;
text(beyond) -> <<"position is greater than the size of the object">>;
text(boolean) -> <<"not a boolean value">>;
text(content) -> <<"not an empty list or a list of one object">>;
text(continuation) -> <<"invalid continuation">>;
text(dead) -> <<"the pid refers to a terminated process">>;
text(dets) -> <<"not the name of an open dets table">>;
text(element) -> <<"is not a valid element specification">>;
text(empty_tuple) -> <<"is an empty tuple">>;
text(from) -> <<"neither first nor {ge, Key} nor {gt, Key}">>;
text(id) -> <<"the table identifier does not refer to an existing ETS table">>;
text(improper) -> <<"not a proper list">>;
text(info_item) -> <<"not a valid info item">>;
text(key) -> <<"not a key that exists in the table">>;
text(keypos) -> <<"the position is the same as the key position">>;
text(match_spec) -> <<"not a valid match specification">>;
text(name) -> <<"invalid table name (must be an atom)">>;
text(name_taken) -> <<"table name already exists">>;
text(not_atom) -> <<"not an atom">>;
text(not_counter) -> <<"the value in the given position, in the object, is not an integer">>;
text(not_fun) -> <<"not a fun of one argument">>;
text(not_integer) -> <<"not an integer">>;
text(not_list) -> <<"not a list">>;
text(not_owner) -> <<"the current process is not the owner">>;
text(not_pid) -> <<"not a pid">>;
text(not_tuple) -> <<"not a tuple">>;
text(objects) -> <<"not a non-empty tuple or a list of non-empty tuples">>;
text(options) -> <<"invalid options">>;
text(other_key) -> <<"the object has another key, or no element at the key position">>;
text(owner) -> <<"the process is already the owner of the table">>;
text(positions) -> <<"not a list of positions">>;
text(prefix) -> <<"not a binary, a proper list or a tuple">>;
text(range) -> <<"out of range">>;
text(reference) -> <<"not a valid table identifier">>;
text(table_type) ->
    <<"the table identifier refers to an ETS table of a type not supported by this operation">>;
text(to) -> <<"neither last nor {le, Key} nor {lt, Key}">>;
text(type) -> <<"not an atom or a table identifier">>;
text(update) -> <<"not a valid update operation">>;
text(update_range) -> <<"the position in the update operation is out of range">>;
text(view) -> <<"a view of a table cannot be changed, nor can a view of it be taken">>.
