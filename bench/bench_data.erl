%% bench_data: what is put into tables, drawn before any clock runs.
%%
%% An environment holds, for one kind of data and one number of objects,
%%
%%   keys      keys that are in the table, drawn at random, with repetition: reading them in order costs no cache miss
%%   misses    keys that are not
%%   fresh     keys that are not, each once, a tenth as many as there are objects and at most 10000: the batch
%%             of insert and delete
%%   template  an object; setelement(1, Template, Key) makes another, at one price for all kinds; or {own, Binary}: each
%%             object has a copy of the binary, and is {Key, Copy}
%%   copies    objects per key (4 in bags of the kind `four`, else 1)
%%   range     {Low, High}: 100 keys lie between them; of tuples: between their first elements; of binaries {Prefix, Count}
%%
%% and lives in a persistent term, so that no collection of garbage copies it.
-module(bench_data).

-export([seed/0, environment/4, key/2, template/1, object/2, copies/1, list/2, name/1]).

-define(DRAWS_SMALL, 131072).
-define(DRAWS_LARGE, 1048576).

%% The seed of this run: TSU_SEED, or a new one.
seed() ->
    case os:getenv("TSU_SEED") of
        Text when Text =/= false, Text =/= "" -> list_to_integer(Text);
        _ -> erlang:phash2({os:timestamp(), os:getpid()})
    end.

environment(Type, Data, Size, Seed) ->
    _ = rand:seed(exsss, Seed),
    Keys = Size div copies(Data),
    Draws = if Size > 200000 -> ?DRAWS_LARGE; true -> ?DRAWS_SMALL end,
    Fresh = max(50, min(10000, Keys div 10)),
    #{type => Type, data => Data, size => Size, key_count => Keys,
      keys => draw(Data, 1, Keys, Draws),
      misses => draw(Data, Keys + Fresh + 1, Keys, Draws),
      fresh => list_to_tuple([key(Data, Keys + I) || I <- shuffled(Fresh)]),
      choices => list_to_tuple([rand:uniform(200) - 1 || _ <- lists:seq(1, 65536)]),
      both => draw(Data, 1, 2 * Keys, Draws),
      template => template(Data), copies => copies(Data),
      range => range(Data, Keys)}.

draw(Data, First, Count, Draws) ->
    list_to_tuple([key(Data, First + rand:uniform(Count) - 1) || _ <- lists:seq(1, Draws)]).

shuffled(Count) ->
    [I || {_, I} <- lists:sort([{rand:uniform(), I} || I <- lists:seq(1, Count)])].

%% Key number I >= 1: no two alike, and their order has nothing to do with their numbers.
key(int, I)   -> scrambled(I);
key(four, I)  -> scrambled(I);
key(bin, I)   -> <<"user:", (integer_to_binary(scrambled(I)))/binary>>;
key(tuple, I) -> {scrambled(I), element(1 + I rem 4, {user, session, order, item})};
key(atom, I)  -> binary_to_atom(<<"bench_", (integer_to_binary(scrambled(I)))/binary>>);
key(_, I)     -> scrambled(I).

%% Shifts and odd factors, each one to one on 32 bits. A factor alone would leave a pattern that trees like.
scrambled(I0) ->
    I1 = (I0 bxor (I0 bsr 16)) * 16#45d9f3b band 16#ffffffff,
    I2 = (I1 bxor (I1 bsr 16)) * 16#45d9f3b band 16#ffffffff,
    I2 bxor (I2 bsr 16).

template(int)    -> {0, 7, active};
template(four)   -> {0, 7, active};
template(bin)    -> {0, 7};
template(tuple)  -> {0, 7};
template(atom)   -> {0, 7};
template(bin100) -> {own, binary:copy(<<"0123456789">>, 10)};
template(shared100) -> {0, binary:copy(<<"0123456789">>, 10)};
template(str100) -> {0, lists:flatten(lists:duplicate(10, "0123456789"))};
template(map)    -> {0, #{name => <<"Ada Lovelace">>, age => 36, tags => [a, b], balance => 1.5, active => true}}.

copies(four) -> 4;
copies(_)    -> 1.

range(Data, Count) when Data =:= int orelse Data =:= tuple, Count >= 1000 ->
    Sorted = lists:sort([scrambled(I) || I <- lists:seq(1, Count)]),
    {lists:nth(Count div 2, Sorted), lists:nth(Count div 2 + 100, Sorted)};
range(bin, Count) when Count >= 1000 ->
    Prefix = binary:part(key(bin, 1), 0, 8),
    {Prefix, length([I || I <- lists:seq(1, Count), binary:longest_common_prefix([Prefix, key(bin, I)]) =:= 8])};
range(_, _) ->
    none.

%% Count objects of a kind, in the order of their numbers.
list(Data, Count) ->
    Template = template(Data),
    [object(Template, key(Data, I)) || I <- lists:seq(1, Count)].

%% The object with that key.
object({own, Binary}, Key) -> {Key, binary:copy(Binary)};
object(Template, Key)      -> setelement(1, Template, Key).

%% What the report calls a kind.
name(int)    -> "{Int,Int,Atom}";
name(four)   -> "4 to a key";
name(bin)    -> "{Binary,Int}";
name(tuple)  -> "{{Int,Atom},Int}";
name(atom)   -> "{Atom,Int}";
name(bin100) -> "{Int,Binary100}";
name(shared100) -> "{Int,Shared100}";
name(str100) -> "{Int,String100}";
name(map)    -> "{Int,Map}".
