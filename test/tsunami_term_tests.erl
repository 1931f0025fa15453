%% Terms through the codec and the order, held against the VM: decode(encode(T)) =:= T, equal terms
%% have equal bytes, and the order is the one of < and ==.
%%
%% Runs on a library of its own, c_src/testing/term_nif.c; TSUNAMI_TERM_NIF is its path without .so.
-module(tsunami_term_tests).

-include_lib("eunit/include/eunit.hrl").

-export([nif_encode/2, nif_order/1, nif_round/1, nif_compare/2, nif_keep/2, nif_get/1, nif_put/3,
         nif_same/2, nif_bytes/1, nif_add/2, nif_time/2, nif_allocated/0, nif_fail_after/1, nif_distrust/1]).
-export([bench/0]).
-export([decoding_gives_back_what_was_encoded_case/0, near_terms_compare_as_in_the_vm_case/0,
         numbers_compare_exactly_case/0, identifiers_compare_as_in_the_vm_case/0, deep_terms_need_no_stack_case/0, long_lists_and_tuples_case/0,
         maps_do_not_depend_on_how_they_were_built_case/0, a_counter_object_is_small_case/0, large_binaries_are_shared_case/0,
         magic_references_live_as_long_as_the_object_case/0, replacing_elements_keeps_the_others_case/0,
         zeros_of_either_sign_case/0, objects_are_the_same_when_equal_case/0, integers_add_up_case/0, funs_of_two_processes_are_one_key_case/0,
         every_failing_allocation_leaves_nothing_case/0, nested_maps_compare_case/0,
         this_vm_is_known_case/0, what_is_not_proven_has_another_way_case/0, what_is_read_in_place_has_the_same_bytes_case/0,
         maps_of_every_mix_of_keys_case/0, an_alias_still_leads_to_its_process_case/0]).

-define(NIF, erlang:nif_error(not_loaded)).
nif_encode(_, _) -> ?NIF.
nif_order(_) -> ?NIF.
nif_round(_) -> ?NIF.
nif_compare(_, _) -> ?NIF.
nif_keep(_, _) -> ?NIF.
nif_get(_) -> ?NIF.
nif_put(_, _, _) -> ?NIF.
nif_same(_, _) -> ?NIF.
nif_bytes(_) -> ?NIF.
nif_add(_, _) -> ?NIF.
nif_time(_, _) -> ?NIF.
nif_allocated() -> ?NIF.
nif_fail_after(_) -> ?NIF.
nif_distrust(_) -> ?NIF.

%% ---- Running ----

all_test_() -> tsunami_test:nif_cases(?MODULE, load()).

load() ->
    Path = os:getenv("TSUNAMI_TERM_NIF", "build/release/term_nif"),
    tsunami_test:nif_loaded(erlang:load_nif(Path, 0)).

%% ---- What is checked of a term, and of a pair ----

check(T) ->
    R = nif_round(T),
    R =:= T orelse error({changed, T, R}),
    nif_encode(T, true) =:= nif_encode(R, true) orelse error({not_canonical, T}),
    O = nif_keep({T, k, T, 1}, 2),
    {T, k, T, 1} =:= nif_get(O) orelse error({object_changed, T}),
    K = nif_keep({T, T}, 1),
    {T, T} =:= nif_get(K) orelse error({object_changed, T}),
    pair(T, R).

pair(A, B) ->
    Sign = sign(A, B),
    {Compared, Heads, HeadExact, Same} = nif_compare(A, B),
    Compared =:= Sign orelse error({compare, A, B, Compared, Sign}),
    Heads =:= 0 orelse Heads =:= Sign orelse error({heads, A, B, Heads, Sign}),
    (HeadExact andalso Heads =:= 0 andalso Sign =/= 0) andalso error({heads_not_exact, A, B}),
    Same =:= (A =:= B) orelse error({same, A, B, Same}),
    OA = nif_order(A),
    OB = nif_order(B),
    sign(OA, OB) =:= Sign orelse error({order, A, B, OA, OB, Sign}),
    prefix(OA, OB) andalso Sign =/= 0 andalso error({prefix, A, B}),
    (nif_encode(A, true) =:= nif_encode(B, true)) =:= (A =:= B) orelse error({bytes, A, B}),
    ok.

sign(A, B) when A < B -> -1;
sign(A, B) when A > B -> 1;
sign(A, B) when A == B -> 0.

prefix(A, B) -> N = byte_size(A), byte_size(B) >= N andalso binary_part(B, 0, N) =:= A.

%% ---- Generators ----

pick(L) -> lists:nth(rand:uniform(length(L)), L).
upto(N) -> rand:uniform(N + 1) - 1.

number() ->
    case upto(11) of
        0 -> upto(4) - 2;
        1 -> upto(600) - 300;
        2 -> (1 bsl upto(70)) + upto(4) - 2;
        3 -> -(1 bsl upto(70)) + upto(4) - 2;
        4 -> float((1 bsl upto(70)) + upto(4) - 2);
        5 -> -float((1 bsl upto(1023)));
        6 -> (upto(100) - 50) / 4;
        7 -> random_float();
        8 -> big(2000);
        9 -> whole(random_float());
        10 -> pick([0.0, -0.0, 0, 1, 1.0, 4.9e-324, -4.9e-324, 2.2250738585072014e-308, 1.7976931348623157e308,
                    9007199254740993, 9007199254740992.0, 9223372036854775807, 9223372036854775808.0,
                    -9223372036854775808, 18446744073709551615, 18446744073709551616.0, 1 bsl 55,
                    (1 bsl 55) - 1, float(1 bsl 55), (1 bsl 59) - 1, 1 bsl 59, -(1 bsl 59), -(1 bsl 59) - 1]);
        11 -> (1 bsl upto(1100)) + upto(2) - 1
    end.

random_float() ->
    case <<(rand:uniform(1 bsl 64) - 1):64>> of
        <<F/float>> -> F;
        _ -> 0.5
    end.

big(Bits) ->
    V = binary:decode_unsigned(crypto_free(1 + upto(Bits div 8))),
    pick([V, -V]).

crypto_free(N) -> << <<(upto(255))>> || _ <- lists:seq(1, N) >>.

a_atom() ->
    pick([a, b, ab, abc, '', true, false, undefined, 'hello world', 'aaaaaaaaaaaaaaaa', 'aaaaaaaaaaaaaaab',
          'h\x{e9}', '\x{e5}', '\x{4e2d}\x{6587}', '\x{1F600}', list_to_atom([0]), list_to_atom([0, 0]),
          list_to_atom("x" ++ integer_to_list(upto(1000))), list_to_atom(lists:duplicate(255, $q)),
          list_to_atom(lists:duplicate(255, 16#1F600))]).

a_binary() ->
    case upto(6) of
        0 -> <<>>;
        1 -> << <<(pick([0, 1, 255, 2]))>> || _ <- lists:seq(1, upto(6)) >>;
        2 -> crypto_free(upto(70));
        3 -> crypto_free(500 + upto(30));
        4 -> B = crypto_free(upto(40) + 2), binary_part(B, 1, byte_size(B) - 1);
        5 -> B = crypto_free(9 + upto(20)), <<_:3, Rest/bitstring>> = B, Rest;
        6 -> N = upto(20), <<(upto((1 bsl N)) band ((1 bsl N) - 1)):N>>
    end.

node_atom() -> pick([<<119, 3, "a@b">>, <<119, 3, "a@c">>, <<119, 13, "nonode@nohost">>, <<118, 2:16, 195, 169>>, <<119, 1, "z">>]).

%% The name of this node is among them: what then cannot be is made anew.
remote(Make) -> try binary_to_term(Make()) catch error:badarg -> remote(Make) end.

remote_pid() ->
    remote(fun() -> <<131, 88, (node_atom())/binary, (upto(3)):32, (upto(2)):32, (upto(2)):32>> end).
remote_port() ->
    remote(fun() -> <<131, 120, (node_atom())/binary, (pick([0, 1, 70000, 1 bsl 40])):64, (upto(2)):32>> end).
remote_ref() ->
    remote(fun() ->
               N = 1 + upto(4),
               Words = << <<(pick([0, 1, 2, 77777])):32>> || _ <- lists:seq(1, N) >>,
               <<131, 90, N:16, (node_atom())/binary, (upto(2)):32, (clean_first(Words))/binary>>
           end).

%% The VM keeps 18 bits of the first word of a reference only.
clean_first(<<W:32, Rest/binary>>) -> <<(W band 16#3ffff):32, Rest/binary>>.

a_fun() ->
    X = pick([1, 1.0, a, [], #{a => 1}, make_ref()]),
    Y = pick([1, 2, {a, 3}, fun lists:map/2, <<"abc">>]),
    pick([fun() -> X end, fun(A) -> {A, X, Y} end, fun lists:map/2, fun lists:foldl/3, fun erlang:abs/1, fun no_such:thing/7,
          fun(A, B) -> A + B end, fun() -> ok end, fun() -> {X, fun() -> Y end} end]).

%% Pids and ports of this node, most of them of nobody. Not every VM knows all of the numbers.
local_id() ->
    <<131, 90, 3:16, Rest/binary>> = term_to_binary(make_ref()),
    {Node, <<Creation:32, _:12/binary>>} = split_binary(Rest, byte_size(Rest) - 16),
    Number = (1 bsl upto(28)) bxor (upto(1) bsl upto(20)) bxor upto(1),
    Bytes = case upto(2) of
                0 -> <<131, 88, Node/binary, (Number band pick([16#7fff, 16#fffffff])):32, (upto(1) bsl upto(12)):32, Creation:32>>;
                1 -> <<131, 88, Node/binary, (upto(7) bsl pick([0, 10, 14])):32, (upto(3)):32, Creation:32>>;
                2 -> <<131, 120, Node/binary, (Number bsl pick([0, 0, 4, 20])):64, Creation:32>>
            end,
    try binary_to_term(Bytes) catch error:badarg -> local_id() end.

identifier() ->
    pick([fun erlang:self/0, fun local_id/0, fun local_id/0, fun() -> pick(erlang:processes()) end, fun() -> pick(erlang:ports()) end,
          fun erlang:make_ref/0, fun() -> atomics:new(1, []) end, fun remote_pid/0, fun remote_port/0, fun remote_ref/0,
          fun a_fun/0, fun alias/0]).

alias() -> R = erlang:alias(), erlang:unalias(R), R.

term(Depth) when Depth =< 0 ->
    case upto(6) of
        0 -> a_atom();
        1 -> a_binary();
        2 -> (identifier())();
        3 -> [];
        _ -> number()
    end;
term(Depth) ->
    case upto(9) of
        0 -> list_to_tuple(several(Depth));
        1 -> several(Depth);
        2 -> several(Depth) ++ pick([a, 1, <<>>, term(Depth - 1)]);
        3 -> map(several(Depth), Depth);
        4 -> [upto(255) || _ <- lists:seq(1, upto(6))];
        5 -> map([pick([1, 1.0, 2, 2.0, a, b, {1}, {1.0}]) || _ <- lists:seq(1, upto(4))], Depth);
        6 -> list_to_tuple([upto(2) || _ <- lists:seq(1, upto(20))]);
        _ -> term(0)
    end.

several(Depth) -> [term(Depth - 1 - upto(1)) || _ <- lists:seq(1, upto(4))].
map(Keys, Depth) -> maps:from_list([{K, term(Depth - 2)} || K <- Keys]).

%% A term near another: one part of it replaced by what is nearly the same.
near(T) when is_integer(T) -> pick([T, T + 1, T - 1, near_float(T)]);
near(T) when is_float(T), abs(T) < 1.0e300 -> pick([T, whole(T), whole(T) + 1, T * 1.0000000000000002, -T]);
near(T) when is_tuple(T), tuple_size(T) > 0 ->
    I = rand:uniform(tuple_size(T)), setelement(I, T, near(element(I, T)));
near([H | T]) -> case upto(4) of 0 -> [near(H) | T]; 1 -> T; 2 -> [H | x]; _ -> [H | near(T)] end;
near([]) -> pick([[], [1], [[]], a]);
near(T) when is_map(T), map_size(T) > 0 ->
    K = pick(maps:keys(T)), V = maps:get(K, T), M = maps:remove(K, T),
    pick([M#{K => near(V)}, M#{near(K) => V}, M]);
near(T) when is_bitstring(T) ->
    N = bit_size(T),
    pick([T, <<T/bitstring, 0:1>>, <<T/bitstring, 0:8>>, <<T/bitstring, 1:3>>, bits(T, N - 1), bits(T, N div 2)]);
near(T) when is_atom(T) -> pick([T, a_atom()]);
near(T) when is_function(T) -> a_fun();
near(T) -> pick([T, (identifier())()]).

%% The VM (25, 27) makes trunc(-576460752303423488.0) a bignum, which is not =:= to the small integer of this value.
whole(F) -> case trunc(F) of T when T > -(1 bsl 58) -> T; T -> list_to_integer(integer_to_list(T)) end.

near_float(T) -> try float(T) catch error:badarg -> T end.

bits(T, N) when N =< 0 -> T;
bits(T, N) -> <<B:N/bitstring, _/bitstring>> = T, B.

%% ---- Cases ----

decoding_gives_back_what_was_encoded_case() ->
    [check(term(D)) || _ <- lists:seq(1, tsunami_test:rounds(3000)), D <- [0, 2, 4]],
    ok.

near_terms_compare_as_in_the_vm_case() ->
    [begin T = term(D), N = near(T), pair(T, N), pair(N, T), pair(T, near(N)), pair(T, term(D)) end
     || _ <- lists:seq(1, tsunami_test:rounds(4000)), D <- [0, 2, 4]],
    ok.

numbers_compare_exactly_case() ->
    [begin A = number(), B = pick([number(), near(A)]), pair(A, B), pair({x, A}, {x, B}), pair([1, A], [1, B]) end
     || _ <- lists:seq(1, tsunami_test:rounds(20000))],
    Edges = [S * ((1 bsl E) + D) || E <- [0, 7, 8, 15, 16, 52, 53, 54, 55, 56, 59, 60, 63, 64, 65, 128, 1023], D <- [-2, -1, 0, 1, 2], S <- [1, -1]],
    All = Edges ++ [float(E) || E <- Edges] ++ [E + 0.5 || E <- Edges, abs(E) < 1 bsl 51],
    [pair(A, B) || A <- All, B <- All],
    ok.

identifiers_compare_as_in_the_vm_case() ->
    [begin A = (identifier())(), B = (identifier())(), check(A), pair(A, B), pair({A, 1}, {B, 2}), pair([A], [B | x]) end
     || _ <- lists:seq(1, tsunami_test:rounds(5000))],
    ok.

deep_terms_need_no_stack_case() ->
    Deep = lists:foldl(fun(_, T) -> [T] end, [], lists:seq(1, 1000000)),
    Other = lists:foldl(fun(_, T) -> [T] end, [a], lists:seq(1, 1000000)),
    true = nif_round(Deep) =:= Deep,
    Sign = sign(Deep, Other),
    {Sign, _, _, false} = nif_compare(Deep, Other),
    Sign = sign(nif_order(Deep), nif_order(Other)),
    Tuples = lists:foldl(fun(_, T) -> {T} end, {}, lists:seq(1, 300000)),
    true = nif_round(Tuples) =:= Tuples,
    Maps = lists:foldl(fun(_, T) -> #{T => T} end, 1, lists:seq(1, 12)),
    true = nif_round(Maps) =:= Maps,
    Values = lists:foldl(fun(I, T) -> #{I => T} end, 1, lists:seq(1, 3000)),
    true = nif_round(Values) =:= Values,
    {0, _, _, true} = nif_compare(Values, nif_round(Values)),
    ok.

long_lists_and_tuples_case() ->
    [check(L) || N <- [1, 2, 14, 15, 16, 17, 127, 128, 1000, 100000],
                 L <- [lists:seq(1, N), lists:duplicate(N, 0), lists:duplicate(N, a) ++ b]],
    [begin T = erlang:make_tuple(N, x), T = nif_get(nif_keep(T, 1)), T = nif_round(T) end
     || N <- [1, 13, 14, 15, 16, 17, 255, 256, 300, 70000]],
    {} = nif_get(nif_keep({}, 0)),
    badarg = nif_keep({}, 1),
    badarg = nif_keep([], 0),
    ok.

maps_do_not_depend_on_how_they_were_built_case() ->
    [begin
         Keys = [pick([I, float(I), {I}, list_to_atom("k" ++ integer_to_list(I))]) || I <- lists:seq(1, N)],
         Pairs = [{K, {K}} || K <- Keys],
         A = maps:from_list(Pairs),
         B = lists:foldl(fun({K, V}, M) -> M#{K => V} end, #{}, [P || {_, P} <- lists:sort([{rand:uniform(), P} || P <- Pairs])]),
         C = maps:remove(gone, B#{gone => 1}),
         true = nif_encode(A, true) =:= nif_encode(B, true),
         true = nif_encode(A, false) =:= nif_encode(C, false),
         check(A),
         pair(A, near(A)), pair(near(A), A), pair(A, near(near(A)))
     end || N <- [0, 1, 2, 5, 16, 17, 31, 32, 33, 34, 100, 1000], _ <- lists:seq(1, 3)],
    ok.

nested_maps_compare_case() ->
    [begin
         Nest = fun(Leaf, Levels) -> lists:foldl(fun(I, T) -> case I rem 3 of 0 -> #{T => I}; 1 -> #{a => T, 1 => b}; 2 -> [T] end end, Leaf, lists:seq(1, Levels)) end,
         A = Nest(term(1), N), B = Nest(term(1), N),
         pair(A, B), pair(A, A)
     end || N <- [3, 10, 30, 60, 90], _ <- lists:seq(1, 20)],
    ok.

a_counter_object_is_small_case() ->
    Bytes = nif_bytes(nif_keep({2000000, 1999999, undefined}, 1)),
    true = Bytes =< 16,
    ok.

large_binaries_are_shared_case() ->
    B = crypto_free(100000),
    Sub = binary_part(B, 10, 50000),
    O = nif_keep({k, Sub, [Sub]}, 1),
    {k, S1, [S1]} = nif_get(O),
    Sub = S1,
    true = binary:referenced_byte_size(S1) < 51000,     % never the parent
    true = nif_bytes(O) < 100,
    {k, S2, _} = nif_get(O),
    true = S1 =:= S2,
    K = nif_keep({Sub, 1}, 1),
    true = nif_bytes(K) > 50000,                        % inline in a key
    ok.

magic_references_live_as_long_as_the_object_case() ->
    Keep = fun() ->
               R = atomics:new(1, []), ok = atomics:put(R, 1, 42),
               nif_keep({k, [R, #{R => R}], fun() -> R end}, 1)
           end,
    {Pid, Mon} = spawn_monitor(fun() -> exit({object, Keep()}) end),
    receive {'DOWN', Mon, process, Pid, {object, O}} -> ok end,
    garbage_collect(),
    {k, [R, M], F} = nif_get(O),
    42 = atomics:get(R, 1),
    42 = atomics:get(F(), 1),
    [{R, R}] = maps:to_list(M),
    Key = nif_keep({R, 1}, 1),
    {R, 1} = nif_get(Key),
    ok.

replacing_elements_keeps_the_others_case() ->
    [begin
         T = list_to_tuple([k | [term(3) || _ <- lists:seq(1, 1 + upto(17))]]),
         O = nif_keep(T, 1),
         Pos = 1 + rand:uniform(tuple_size(T) - 1),
         New = pick([term(3), crypto_free(600), atomics:new(1, [])]),
         P = nif_put(O, Pos, New),
         Expected = setelement(Pos, T, New),
         Expected = nif_get(P),
         T = nif_get(O),
         true = nif_same(P, nif_keep(Expected, 1))
     end || _ <- lists:seq(1, tsunami_test:rounds(2000))],
    ok.

zeros_of_either_sign_case() ->
    <<Z/float>> = <<1:1, 0:63>>,
    <<_, 128, 0:56>> = <<0, (nif_round(Z))/float>>,
    P = nif_keep({k, 0.0}, 1),
    N = nif_keep({k, Z}, 1),
    Same = {k, -Z} =:= {k, Z},
    Same = nif_same(P, N),
    pair(0.0, Z), pair(#{0.0 => 1}, #{Z => 1}), pair([Z | 0], [0.0 | 0]), pair({Z}, {0}),
    ok.

objects_are_the_same_when_equal_case() ->
    [begin
         A = {k, term(3), term(2)}, B = pick([nif_round(A), near(A)]),
         is_tuple(B) andalso begin
             R = nif_same(nif_keep(A, 1), nif_keep(B, 1)),
             R =:= (A =:= B) orelse error({same, A, B})
         end
     end || _ <- lists:seq(1, tsunami_test:rounds(3000))],
    Bin = crypto_free(1000),
    true = nif_same(nif_keep({k, Bin}, 1), nif_keep({k, binary:copy(Bin)}, 1)),
    false = nif_same(nif_keep({k, Bin}, 1), nif_keep({k, <<0, (binary_part(Bin, 1, 999))/binary>>}, 1)) andalso binary:first(Bin) =/= 0,
    ok.

integers_add_up_case() ->
    [begin
         A = big(pick([8, 32, 64, 72, 2000])), B = pick([big(pick([8, 32, 64, 72, 2000])), -A, -A + 1, A]),
         {Sum, Sign} = nif_add(A, B),
         Sum =:= A + B orelse error({add, A, B, Sum}),
         Sign =:= sign(A, B) orelse error({compare, A, B})
     end || _ <- lists:seq(1, tsunami_test:rounds(20000))],
    ok.

%% The fast ways are open on every VM that is supported, whatever the size of its tables.
this_vm_is_known_case() ->
    15 = nif_distrust(false).

what_is_not_proven_has_another_way_case() ->
    nif_distrust(true),
    try
        identifiers_compare_as_in_the_vm_case(),
        magic_references_live_as_long_as_the_object_case(),
        [check(term(2)) || _ <- lists:seq(1, tsunami_test:rounds(500))]
    after
        nif_distrust(false)
    end,
    ok.

%% Without references, which are encoded in another way where they are not known.
what_is_read_in_place_has_the_same_bytes_case() ->
    Shared = maps:from_list([{K, 0} || K <- [z, 1, a, <<"k">>, 2.0]]),
    Terms = [literal_map(), [Shared#{z := 1}, Shared#{a := {b}}, Shared], maps:without(lists:seq(1, 40), numbers_map(72)),
             {}, [], {[], {}}, <<>>, <<1:3>>, 1.5, -0.0, [1 | 2], [a | b], erlang:make_tuple(300, x), "text", "text" ++ [256],
             binary:copy(<<7>>, 64), binary:copy(<<7>>, 65), binary:part(binary:copy(<<7>>, 200), 3, 20), <<<<"heap">>/binary, 3:5>>]
            ++ [numbers_map(N) || N <- lists:seq(0, 40)]
            ++ [without_refs(mixed_map(N)) || N <- [1, 2, 5, 31, 32, 33, 64], _ <- lists:seq(1, 20)],
    [begin
         nif_distrust(false),
         In = {nif_encode(T, true), nif_encode(T, false)},
         nif_distrust(true),
         In = {nif_encode(T, true), nif_encode(T, false)},
         nif_distrust(false),
         check(T)
     end || T <- Terms],
    ok.

literal_map() -> #{name => <<"Ada">>, age => 36, tags => [a, b], balance => 1.5, 7 => #{<<"deep">> => 1}}.
numbers_map(N) -> maps:from_list([{I, I} || I <- lists:seq(1, N)]).

%% Keys that begin alike among them.
mixed_map(N) ->
    maps:from_list([{pick([I, -I, I bsl 20, I bsl 50, I bsl 57, I bsl 70, float(I), {I}, [I], <<"a key that is long ", I>>,
                           <<"key", I>>, <<"keys_", I, 0>>, <<I:9>>, binary:copy(<<I>>, 70), list_to_atom("k" ++ integer_to_list(I)),
                           #{I => I}, self(), []]), term(1)} || I <- lists:seq(1, N)]).

maps_of_every_mix_of_keys_case() ->
    [begin
         A = without_refs(mixed_map(N)),
         Bytes = nif_encode(A, true),
         Shuffled = [P || {_, P} <- lists:sort([{rand:uniform(), P} || P <- maps:to_list(A)])],
         Bytes = nif_encode(maps:from_list(Shuffled), true),
         check(A)
     end || N <- [0, 1, 2, 3, 8, 16, 31, 32, 33, 40], _ <- lists:seq(1, tsunami_test:rounds(20))],
    ok.

without_refs(M) -> maps:map(fun(K, _) -> K end, M).

an_alias_still_leads_to_its_process_case() ->
    [begin
         nif_distrust(Distrust),
         Alias = erlang:alias(),
         {k, Back} = nif_get(nif_keep({k, Alias}, 1)),
         {Back, 1} = nif_get(nif_keep({Alias, 1}, 1)),
         nif_round(Alias) ! {hello, Distrust},
         Back ! {again, Distrust},
         [receive {Word, Distrust} -> ok after 1000 -> error({lost, Word}) end || Word <- [hello, again]],
         true = erlang:unalias(Back),
         Back ! late,
         receive late -> error(late) after 0 -> ok end
     end || Distrust <- [true, false]],
    ok.

funs_of_two_processes_are_one_key_case() ->
    Make = fun(X) -> fun() -> {X, closure} end end,
    Self = self(),
    spawn(fun() -> Self ! {made, Make(1)} end),
    Other = receive {made, F} -> F end,
    true = Other =:= Make(1),
    true = nif_encode(Other, true) =:= nif_encode(Make(1), true),
    false = nif_encode(Other, true) =:= nif_encode(Make(2), true),
    {1, closure} = (nif_round(Other))(),
    ok.

every_failing_allocation_leaves_nothing_case() ->
    Big = crypto_free(600),
    T = {k, maps:from_list([{I, [Big, I, make_ref()]} || I <- lists:seq(1, 40)]), lists:duplicate(3000, {a}), atomics:new(1, []),
         lists:foldl(fun(_, L) -> [L] end, Big, lists:seq(1, 100))},
    true = keeps_level(T, 1 + erlang:system_info(schedulers)),
    ok.

%% Whether nothing is left of a round. Texts of atoms stay, and each scheduler that comes to run this has a buffer of its own from then on:
%% what leaks is left of every round.
keeps_level(_T, 0) ->
    false;
keeps_level(T, Rounds) ->
    garbage_collect(),
    _ = nif_keep({k, T}, 1),
    garbage_collect(),
    Before = nif_allocated(),
    true = failing(T, 0) > 10,
    garbage_collect(),
    nif_allocated() =:= Before orelse keeps_level(T, Rounds - 1).

%% Fails allocation 0, 1, ... until nothing fails any more; how many that took.
failing(T, N) ->
    nif_fail_after(N),
    R = nif_keep(T, 1),
    nif_fail_after(-1),
    case R of
        nomem -> failing(T, N + 1);
        _ -> true = nif_get(R) =:= T, decode_failing(R, T, 0), N
    end.

decode_failing(O, T, N) ->
    nif_fail_after(N),
    R = nif_get(O),
    nif_fail_after(-1),
    case R of
        nomem -> decode_failing(O, T, N + 1);
        _ -> true = R =:= T, true = N > 2
    end.

%% ---- Measuring ----

bench() ->
    ok = load(),
    [begin
         {E, D, H, O} = nif_time(T, 200000),
         io:format("~-50s encode ~.1f ns, decode ~.1f ns, hash ~.1f ns, head ~.1f ns~n", [io_lib:format("~P", [T, 12]), E, D, H, O])
     end || T <- [{123456, 7, undefined}, {1, 2, ok}, {an_atom, 1}, {<<"session:12345">>, 1, 2.0}, {{1, a}, self()}, {1, make_ref()},
                  {1, lists:seq(1, 20)}, {1, "hello world"}, {1, [{a, 1}, {b, 2}]}, {1, #{a => 1, b => 2}}, {1, crypto_free(100)}, {1, crypto_free(2000)},
                  {1, fun lists:map/2}, {1, 1 bsl 100}, {1, atomics:new(1, [])}]],
    ok.
