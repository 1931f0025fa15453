%% tsunami_options: checks the options of new/2 and setopts/2, as ets does.
%%
%% Options of new/2 are read from left to right and a later one overrides an earlier one. What ets does beyond
%% its documentation is done here too: {write_concurrency, {debug_hash_fixed_number_of_locks, N}} sets a
%% number of locks, which is rounded down to a power of two; decentralized counters, if nothing is said of them, come with
%% `auto`, with a number of locks, and where write_concurrency and ordered_set have met, if only on
%% the way; and a private table has no use for any of them and reads `false`.
-module(tsunami_options).

-include("tsunami_doc.hrl").
?MODULEDOC("Checks the options of `tsunami:new/2` and `tsunami:setopts/2`.").

-export([new/1, setopts/1]).
-export_type([new/0, heir/0]).

-type heir() :: none | {pid(), Data :: term()}.
-type new() :: #{named := boolean(),
                 type := 0..3,
                 protection := 0..2,
                 keypos := pos_integer(),
                 heir := heir(),
                 read := boolean(),
                 write := boolean() | auto | {debug_hash_fixed_number_of_locks, pos_integer()},
                 counters := boolean(),
                 counters_said := boolean(),
                 compressed := boolean()}.

-define(LOCKS_MIN, 64).
-define(LOCKS_MAX, 32768).
-define(SMALL_MAX, (1 bsl 59 - 1)).     %% the largest integer that is an immediate
-define(KEYPOS_MAX, (1 bsl 31 - 1)).    %% far beyond the size of any tuple

?DOC("The options of `tsunami:new/2` as numbers and booleans, or `error` if `ets` would refuse them.").
-spec new(term()) -> {ok, new()} | error.
new(Options) ->
    read(Options, #{named => false, type => 0, protection => 1, keypos => 1, heir => none, read => false,
                    write => false, counters => false, counters_said => false, compressed => false}).

read([Option | Rest], Acc) ->
    case option(Option, Acc) of
        error -> error;
        Acc1 -> read(Rest, Acc1)
    end;
read([], Acc) ->
    settle(Acc);
read(_Improper, _Acc) ->
    error.

%% What is so from the start overrides nothing: [bag, set] makes a bag, and [public, protected] a public table.
option(set, Acc) -> Acc;
option(protected, Acc) -> Acc;
option(ordered_set, #{write := true} = Acc) -> counters(true, Acc#{type := 1});
option(ordered_set, Acc) -> Acc#{type := 1};
option(bag, Acc) -> Acc#{type := 2};
option(duplicate_bag, Acc) -> Acc#{type := 3};
option(named_table, Acc) -> Acc#{named := true};
option(compressed, Acc) -> Acc#{compressed := true};
option({keypos, N}, Acc) when is_integer(N), N > 0, N =< ?SMALL_MAX ->
    Acc#{keypos := min(N, ?KEYPOS_MAX)};
option({read_concurrency, B}, Acc) when is_boolean(B) -> Acc#{read := B};
option({write_concurrency, auto}, Acc) -> counters(true, Acc#{write := auto});
option({write_concurrency, true}, #{type := Type} = Acc) -> counters(Type =:= 1, Acc#{write := true});
option({write_concurrency, false}, Acc) -> counters(false, Acc#{write := false});
option({write_concurrency, {debug_hash_fixed_number_of_locks, N}}, Acc)
  when is_integer(N), N >= 1, N =< ?LOCKS_MAX ->
    Locks = power_of_two(max(N, ?LOCKS_MIN), ?LOCKS_MIN),
    counters(true, Acc#{write := {debug_hash_fixed_number_of_locks, Locks}});
option({decentralized_counters, B}, Acc) when is_boolean(B) ->
    Acc#{counters := B, counters_said := true};
option({heir, _} = Option, Acc) -> heir_option(Option, Acc);
option({heir, _, _} = Option, Acc) -> heir_option(Option, Acc);
option(Option, Acc) ->
    case protection(Option) of
        error -> error;
        P -> Acc#{protection := P}
    end.

counters(_Default, #{counters_said := true} = Acc) -> Acc;
counters(Default, Acc) -> Acc#{counters := Default}.

heir_option(Option, Acc) ->
    case heir(Option) of
        error -> error;
        {ok, Heir} -> Acc#{heir := Heir}
    end.

heir({heir, none}) -> {ok, none};
heir({heir, Pid, Data}) when is_pid(Pid), node(Pid) =:= node() -> {ok, {Pid, Data}};
heir(_) -> error.

protection(public) -> 0;
protection(protected) -> 1;
protection(private) -> 2;
protection(_) -> error.

power_of_two(N, Power) when Power * 2 =< N -> power_of_two(N, Power * 2);
power_of_two(_, Power) -> Power.

%% What the options come to once all are known.
settle(#{type := 1, write := {debug_hash_fixed_number_of_locks, _}}) ->
    error;
settle(#{protection := 2} = Acc) ->
    {ok, Acc#{read := false, write := false, counters := false}};
settle(#{write := false} = Acc) ->
    {ok, Acc#{counters := false}};
settle(Acc) ->
    {ok, Acc}.

?DOC("The settings of `tsunami:setopts/2`, each at most once, or `error` if `ets` would refuse them.").
-spec setopts(term()) -> {ok, [{heir, heir()} | {protection, 0..2}]} | error.
setopts(Options) when is_list(Options) -> settings(Options, []);
setopts(Option) -> settings([Option], []).

settings([Option | Rest], Acc) ->
    case setting(Option) of
        {Name, _} = Setting ->
            case lists:keymember(Name, 1, Acc) of
                true -> error;
                false -> settings(Rest, [Setting | Acc])
            end;
        error ->
            error
    end;
settings([], Acc) -> {ok, lists:reverse(Acc)};
settings(_Improper, _Acc) -> error.

setting({protection, Name}) ->
    case protection(Name) of
        error -> error;
        P -> {protection, P}
    end;
setting(Option) ->
    case heir(Option) of
        {ok, Heir} -> {heir, Heir};
        error -> error
    end.
