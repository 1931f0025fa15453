%% tsunami_gen: PropEr generators of terms, table options, keys, objects and programs.
%%
%% A program is a list of steps {Process, Step}: process 0 runs the program, 1 to 3 are others that can be killed. What the
%% steps mean is said in tsunami_model.erl. Programs make sense in any order and with any step left out, so that a
%% failing one can be shrunk by leaving out steps.
-module(tsunami_gen).
-include_lib("proper/include/proper.hrl").
-export([any_term/0, simple_term/0, near_number/0, options/0, program/0, program/1, profile/0, key/1, object/2, pick/2]).

-define(PROCESSES, 3).
-define(SLOTS, 2).

%% --- terms ------------------------------------------------------------------------------

any_term() -> ?SIZED(Size, any_term(min(Size, 40))).

any_term(0) ->
    simple_term();
any_term(Size) ->
    Inner = ?LAZY(any_term(Size div 4)),
    frequency([{6, simple_term()},
               {1, ?LET(L, short_list(Inner), L)},
               {1, ?LET({L, T}, {non_empty(short_list(Inner)), simple_term()}, L ++ T)},
               {2, ?LET(L, short_list(Inner), list_to_tuple(L))},
               {1, ?LET(L, short_list({Inner, Inner}), maps:from_list(L))},
               {1, ?LET(N, integer(33, 60), maps:from_list([{I, I} || I <- lists:seq(1, N)]))}]).

short_list(Gen) -> ?LET(N, integer(0, 4), vector(N, Gen)).

simple_term() ->
    frequency([{6, integer(-5, 130)},
               {3, near_number()},
               {2, ?LET({N, Bits}, {integer(), integer(0, 200)}, N bsl Bits)},
               {3, oneof([a, b, '', 'an atom', 'åtöm', '$end_of_table', true, undefined])},
               {3, float_term()},
               {2, text()},
               {2, bitstring()},
               {2, large_binary()},
               {2, sub_bitstring()},
               {1, []},
               {1, {}},
               {1, #{}},
               {1, identity()},
               {1, fun_term()}]).

%% Integers and floats that are near to each other.
near_number() ->
    ?LET({Base, Delta, Sign}, {oneof([1 bsl 53, 1 bsl 59, 1 bsl 60, 1 bsl 62, 1 bsl 63, 1 bsl 64, 1 bsl 100, 0, 1]),
                               integer(-2, 2), oneof([1, -1])},
         oneof([Sign * (Base + Delta), float(Sign * (Base + Delta))])).

float_term() -> oneof([0.0, -0.0, 1.0, -1.0, 2.0, 1.5, 1.0e308, -1.0e308, 5.0e-324, 2.2250738585072014e-308, float()]).

text() -> ?LET(L, short_list(oneof([integer(0, 255), integer(0, 1114111)])), L).

large_binary() -> ?LET({N, B}, {oneof([63, 64, 65, 255, 256, 1023, 1024, 1025, 5000]), integer(0, 255)}, binary:copy(<<B>>, N)).

%% Parts of a larger binary, aligned or not.
sub_bitstring() ->
    ?LET({Skip, Length}, {integer(0, 20), integer(0, 70)},
         begin
             <<_:Skip, Part:Length/bitstring, _/bitstring>> = <<16#f0e1d2c3b4a5968778695a4b3c2d1e0f:128>>,
             Part
         end).

%% Pids, ports and references of this node and others.
identity() ->
    ?LET(N, integer(0, 5),
         oneof([self_pid(N), outer(<<88, 119, 3, "n@h", N:32, 0:32, 7:32>>), outer(<<89, 119, 3, "n@h", N:32, 7:32>>),
                outer(<<90, 3:16, 119, 3, "n@h", 7:32, N:32, 1:32, 2:32>>), outer(<<120, 119, 3, "n@h", N:64, 7:32>>)])).

self_pid(N) -> ?LAZY(list_to_pid("<0." ++ integer_to_list(N) ++ ".0>")).
outer(Bytes) -> binary_to_term(<<131, Bytes/binary>>).

fun_term() ->
    ?LET(N, integer(0, 3), oneof([fun lists:map/2, fun tsunami_gen:pick/2, closure(N), closure([N, {N}])])).

closure(Term) -> fun() -> Term end.

%% --- tables -----------------------------------------------------------------------------

kind() -> oneof([set, ordered_set, bag, duplicate_bag]).

options() -> options(kind()).

options(Kind) ->
    ?LET({K, Protection, KeyPos, Named, Heir, Rest},
         {Kind, frequency([{6, public}, {2, protected}, {1, private}]), frequency([{3, 1}, {1, 2}]), boolean(),
          frequency([{3, none}, {1, integer(0, ?PROCESSES)}]),
          short_list(oneof([compressed, {read_concurrency, boolean()}, {write_concurrency, boolean()}, {write_concurrency, auto},
                            {decentralized_counters, boolean()}]))},
         [K, Protection, {keypos, KeyPos}] ++ [named_table || Named]
         ++ [{heir, {process, Heir}, {heritage, Heir}} || Heir =/= none] ++ Rest).

%% --- keys and objects -------------------------------------------------------------------

%% small: keys meet all the time. mixed: few keys, among them those that are == but not =:=. large: many integers. terms: any.
key(small) -> integer(1, 4);
key(mixed) -> oneof([1, 1.0, 2, 2.0, {1, a}, {1.0, a}, [1], [1.0], #{k => 1}, #{k => 1.0}, 0.0, -0.0, a, <<"a">>, "a", [], {}, 1 bsl 64,
                     float(1 bsl 64), <<1:3>>, '$end_of_table']);
key(large) -> integer(0, 2000);
key(terms) -> any_term().

value() -> frequency([{5, integer(0, 3)}, {1, oneof([1.0, 0.0, -0.0, 1 bsl 59 - 1, -(1 bsl 59), 1 bsl 64, -1])}, {2, any_term()}]).

object(Keys, KeyPos) ->
    frequency([{4, ?LET({K, V}, {key(Keys), value()}, place(KeyPos, K, [V]))},
               {2, ?LET({K, V, W}, {key(Keys), value(), value()}, place(KeyPos, K, [V, W]))},
               {1, ?LET({K, Vs}, {key(Keys), vector(16, 0)}, place(KeyPos, K, Vs))},
               {1, ?LET(K, key(Keys), {K})}]).

place(1, K, Vs) -> list_to_tuple([K | Vs]);
place(2, K, [V | Vs]) -> list_to_tuple([V, K | Vs]).

%% --- programs ---------------------------------------------------------------------------

%% What a whole program has in common. Whole operations are left out at random: some faults show only
%% where nothing else undoes them.
profile() ->
    ?LET({Kind, KeyPos, Keys, Without}, {kind(), frequency([{3, 1}, {1, 2}]), frequency([{4, small}, {4, mixed}, {3, large}, {2, terms}]),
                                         sublist([delete, delete_object, delete_all_objects, take, insert_new, lists, fix, owners, names,
                                                  wrong, counters])},
         #{kind => Kind, keypos => KeyPos, keys => Keys, without => Without}).

sublist(L) -> ?LET(Bs, vector(length(L), frequency([{3, false}, {1, true}])), [X || {X, true} <- lists:zip(L, Bs)]).

program() -> ?LET(Profile, profile(), program(Profile)).

program(#{kind := Kind, keypos := KeyPos} = Profile) ->
    ?LET({Opts, Steps}, {options(Kind), list({process(Profile), step(Profile)})},
         [{0, {new, 0, Opts ++ [public, {keypos, KeyPos}]}} | Steps]).

process(#{without := Without}) ->
    case lists:member(owners, Without) of
        true -> 0;
        false -> frequency([{12, 0}, {1, integer(1, ?PROCESSES)}])
    end.

step(#{keys := Keys, kind := Kind, keypos := KeyPos, without := Without}) ->
    K = key(Keys),
    O = object(Keys, KeyPos),
    T = table(),
    Groups =
        [{always, [{12, {call, T, insert, [O]}},
                   {6, {call, T, lookup, [K]}},
                   {2, {call, T, member, [K]}},
                   {2, {call, T, lookup_element, [K, integer(0, 4)]}},
                   {1, {call, T, lookup_element, [K, integer(0, 4), value()]}},
                   {3, {call, T, info, [info_item()]}},
                   {1, {call, T, info, []}},
                   {2, {walk, T, oneof([next, prev, next_lookup, prev_lookup, slot])}},
                   {2, {call, T, oneof([first, last, first_lookup, last_lookup]), []}},
                   {3, {call, T, oneof([next, prev, next_lookup, prev_lookup]), [K]}},
                   {2, {call, T, tab2list, []}},
                   {1, {call, T, slot, [integer(-1, 10)]}},
                   {1, {fold, T, oneof([foldl, foldr])}}]},
         {insert_new, [{3, {call, T, insert_new, [O]}}]},
         {lists, [{4, {call, T, oneof([insert, insert_new]), [objects(O)]}}]},
         {delete, [{5, {call, T, delete, [K]}}]},
         {delete_object, [{4, {call, T, delete_object, [O]}}]},
         {delete_all_objects, [{1, {call, T, delete_all_objects, []}}]},
         {take, [{2, {call, T, take, [K]}}]},
         {counters, [{4, {call, T, update_counter, [K, counter_ops()]}},
                     {2, {call, T, update_counter, [K, counter_ops(), O]}},
                     {4, {call, T, update_element, [K, element_specs()]}},
                     {2, {call, T, update_element, [K, element_specs(), O]}}]},
         {fix, [{2, {call, T, safe_fixtable, [boolean()]}}]},
         {names, [{1, {call, T, rename, [name()]}}, {1, {whereis, name()}}, {1, {new, integer(0, ?SLOTS), options()}},
                  {1, {call, T, delete, []}}, {1, {new, 0, ?LET(Opts, options(Kind), Opts ++ [public, {keypos, KeyPos}])}}]},
         {owners, [{1, {give, T, integer(0, ?PROCESSES)}}, {1, {kill, integer(1, ?PROCESSES)}}, {1, {mail, integer(0, ?PROCESSES)}},
                   {1, {setopts, T, setting()}}]},
         {wrong, [{1, {call, T, oneof([insert, insert_new]), [wrong_objects(O)]}},
                  {1, {call, T, safe_fixtable, [foobar]}},
                  {1, {call, T, delete_object, [oneof([{}, a, [O]])]}},
                  {1, {call, oneof([{raw, 1}, {raw, nobody}, {raw, "x"}]), oneof([lookup, member, delete, insert, take, next, info]), [K]}}]}],
    frequency(lists:append([Steps || {Name, Steps} <- Groups, not lists:member(Name, Without)])).

table() -> frequency([{16, {slot, 0}}, {1, {slot, integer(1, ?SLOTS)}}, {1, {name, name()}}, {1, {tid, integer(0, ?SLOTS)}}]).

name() -> oneof([tsunami_name_a, tsunami_name_b]).

objects(O) -> ?LET(N, frequency([{6, integer(0, 5)}, {1, integer(6, 60)}]), vector(N, O)).

wrong_objects(O) -> ?LET(L, objects(O), oneof([{}, a, L ++ [{}], L ++ [a], L ++ a, [a | L]])).

info_item() -> oneof([size, type, keypos, protection, owner, heir, name, named_table, node, fixed, safe_fixed, safe_fixed_monotonic_time,
                      compressed, read_concurrency, write_concurrency, decentralized_counters, id, nonsense, size, size]).

setting() -> oneof([[], {protection, oneof([public, protected, private])}, {heir, none},
                    {heir, {process, integer(0, ?PROCESSES)}, data}, {protection, wrong}, foo]).

counter_ops() ->
    oneof([counter_op(), counter_op(), short_list(counter_op()), integer(-3, 3), 1 bsl 63, a, ?LET(Op, counter_op(), [Op | a]), [a]]).

counter_op() ->
    ?LET({Pos, Incr}, {frequency([{6, 2}, {3, 3}, {1, integer(0, 5)}]), oneof([integer(-3, 3), 1 bsl 59, -(1 bsl 64), a])},
         oneof([{Pos, Incr}, {Pos, Incr}, {Pos, Incr, integer(-3, 3), integer(-3, 3)}])).

element_specs() -> oneof([element_spec(), element_spec(), short_list(element_spec()), a, ?LET(Spec, element_spec(), [Spec | a]), {1, 2, 3}]).

element_spec() -> {frequency([{6, 2}, {3, 3}, {1, integer(0, 5)}, {1, 16}]), value()}.

%% The value of a generator for a seed, always the same one.
%% (proper_gen:pick/3 prints a warning for each value with a fun in it.)
pick(Generator, {Size, Seed}) ->
    proper:global_state_init_size_seed(Size, Seed),
    {ok, Instance} = proper_gen:safe_generate(Generator),
    Value = proper_gen:clean_instance(Instance),
    proper:global_state_erase(),
    Value.
