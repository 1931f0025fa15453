%% bench: what is measured, in which order, and where the result goes.
%%
%% main(Arguments): each argument is a regular expression; a cell runs if all of them are found in its name,
%% operation/table/data/objects/processes. `--selftest` proves that a loss is seen; `--plot FILE` draws the last
%% run once more.
%% Environment: BENCH=quick, BENCH_PLANT=slow, BENCH_A, BENCH_B (modules, ets and tsunami), TSU_SEED, BENCH_OUT.
-module(bench).

-export([main/1, group/2, mixes/2, beside/2]).

-define(SIZES, [1000, 100000, 2000000]).
-define(LIST_OBJECTS, 200000).
-define(SCANNED, 1000000).

main(["--selftest" | _]) ->
    halt(selftest());
main(["--plot", Svg]) ->
    {ok, Binary} = file:read_file(last()),
    {Title, Results, Memory} = binary_to_term(Binary),
    ok = file:write_file(Svg, unicode:characters_to_binary(bench_plot:draw(Results, Memory, Title))),
    halt(0);
main(Filters) ->
    Config0 = config(Filters),
    case ready(maps:get(b, Config0)) of
        ok ->
            Config = Config0#{sink => ets:new(bench_sink, [public, ordered_set])},
            halt(min(1, run(Config)));
        {error, Why} ->
            io:format(standard_error, "bench: ~ts~n", [Why]),
            halt(1)
    end.

config(Filters) ->
    Mode = case os:getenv("BENCH") of "quick" -> quick; _ -> full end,
    Base = case Mode of
               full -> #{mode => full, pairs => 40, round_ms => 3, mix_ms => 8, cell_ms => 900};
               quick -> #{mode => quick, pairs => 25, round_ms => 2, mix_ms => 6, cell_ms => 200}
           end,
    Base#{a => module("BENCH_A", ets), b => module("BENCH_B", tsunami), seed => bench_data:seed(), filters => Filters,
          plant => os:getenv("BENCH_PLANT") =:= "slow",
          command => lists:flatten([case Mode of quick -> "BENCH=quick "; full -> "" end, "bench/run.sh",
                                    [[" ", F] || F <- Filters]])}.

module(Variable, Default) ->
    case os:getenv(Variable) of
        Name when Name =/= false, Name =/= "" -> list_to_atom(Name);
        _ -> Default
    end.

ready(tsunami) ->
    case code:ensure_loaded(tsunami_nif) of
        {module, _} -> tsunami_nif:loaded();
        {error, What} -> {error, io_lib:format("tsunami_nif: ~p; run make first", [What])}
    end;
ready(_) -> ok.

%% The configuration with the timed loops of both sides compiled.
compiled(#{a := A, b := B} = Config) ->
    Plant = case maps:get(plant, Config) of true -> [{d, 'PLANT'}]; false -> [] end,
    Config#{a => bench_run:compile(bench_ops_a, A, []), b => bench_run:compile(bench_ops_b, B, Plant),
            null => bench_run:compile(bench_ops_null, bench_null, [])}.

run(Config0) ->
    say(Config0, bench_report:header(Config0)),
    Config = compiled(Config0),
    say(Config, bench_report:columns()),
    Crashed = [Cell || Cell <- cells(Config), in_vm(Config, Cell) =/= ok],
    Results = [R || [R] <- ets:match(maps:get(sink, Config), {{result, '_'}, '$1'})],
    Memory = memory(Config, Config0),
    say(Config, bench_report:closing(Results)),
    _ = [say(Config, io_lib:format("Not measured, since tsunami does not export what they call: ~0tp~n", [Missing]))
         || Missing <- [lists:usort([M || [M] <- ets:match(maps:get(sink, Config), {{missing, '$1'}})])], Missing =/= []],
    _ = [say(Config, io_lib:format("CRASHED: ~0tp~n", [Crashed])) || Crashed =/= []],
    save(Config, Results, Memory),
    length(Crashed).

%% What runs in a VM of its own: a function of this module and its group.
cells(#{mode := Mode} = Config) ->
    [{group, G} || G <- groups(Mode), probes(Config, G) =/= []]
        ++ [{mixes, G} || G <- mix_groups(Mode), mix_cells(Config, G) =/= []]
        ++ [{beside, G} || {Type, _, _} = G <- [{set, int, 100000}, {ordered_set, int, 100000}],
                           Mode =:= full orelse Type =:= set, wanted(Config, id(lookup_beside_list, G, 2))].

in_vm(Config, {Function, Group}) ->
    bench_vm:call(?MODULE, Function, [maps:remove(sink, Config), Group],
                  fun({missing, Probe}) -> ets:insert(maps:get(sink, Config), {{missing, Probe}});
                     ({Id, Summary}) -> report(Config, Id, Summary)
                  end).

%% --- single processes ------------------------------------------------------------------------------

groups(quick) ->
    [{Type, int, Size} || Type <- [set, ordered_set], Size <- [1000, 100000]]
        ++ [{Type, four, 1000} || Type <- [bag, duplicate_bag]];
groups(full) ->
    [{Type, int, Size} || Type <- [set, ordered_set], Size <- ?SIZES]
        ++ [{Type, Data, 100000} || Type <- [set, ordered_set], Data <- [bin, tuple, atom, bin100, shared100, str100, map]]
        ++ [{Type, Data, 2000000} || Type <- [set, ordered_set], Data <- [bin, tuple]]
        ++ [{Type, int, Size} || Type <- [bag, duplicate_bag], Size <- ?SIZES]
        ++ [{Type, four, 100000} || Type <- [bag, duplicate_bag]]
        ++ [{Type, int, ?SCANNED} || Type <- [set, ordered_set, bag, duplicate_bag]].

probes(_, int, ?SCANNED) ->
    [select_count, select_all, select_chunks, match_object, foldl, tab2list];
probes(Type, int, Size) when Type =:= set; Type =:= ordered_set ->
    [lookup, lookup_miss, member, lookup_element, overwrite, update_counter, update_element, insert_new_taken,
     insert, insert_new, next]
        ++ [prev || Type =:= ordered_set]
        ++ [tab2list || Size =< 100000] ++ [foldl]
        ++ [select_key]
        ++ [P || Type =:= ordered_set, Size >= 1000, P <- [select_range, range]]
        ++ [select_count, match_object]
        ++ [select_all || Size =< 100000]
        ++ [fill] ++ [insert_list || Size =:= 100000]
        ++ [P || Size =:= 1000, P <- [new_delete, new_ten_delete]];
probes(Type, int, Size) when Type =:= bag; Type =:= duplicate_bag ->
    [lookup, lookup_miss, insert, insert_new, next, fill] ++ [insert_list || Size =:= 100000];
probes(_, four, _) -> [lookup, next, fill, tab2list];
probes(_, _, Size) when Size > 1000000 -> [lookup, overwrite, insert, fill];
probes(Type, Data, _) ->
    [lookup, lookup_miss, overwrite, insert, next, fill]
        ++ [select_part || Type =:= ordered_set, Data =:= tuple]
        ++ [select_prefix || Type =:= ordered_set, Data =:= bin].

metrics(insert) -> [insert, delete];
metrics(insert_new) -> [insert_new, take];
metrics(fill) -> [fill, delete_table];
metrics(Probe) -> [Probe].

needs(select_key) -> {select, 2};
needs(select_range) -> {select, 2};
needs(select_part) -> {select, 2};
needs(select_prefix) -> {select, 2};
needs(range) -> {select, 2};
needs(select_all) -> {select, 2};
needs(select_chunks) -> {select, 3};
needs(select_count) -> {select_count, 2};
needs(match_object) -> {match_object, 2};
needs(_) -> {lookup, 2}.

probes(Config, {Type, Data, Size} = Group) ->
    [P || P <- probes(Type, Data, Size), lists:any(fun(M) -> wanted(Config, id(M, Group, 1)) end, metrics(P))].

able(#{a := A, b := B}, {Function, Arity}) -> A:exports(Function, Arity) andalso B:exports(Function, Arity).

%% Measures a group, in its VM.
group(Config, Group) -> in_process(fun() -> group_probes(Config, Group) end).

group_probes(#{a := A, b := B} = Config, {Type, _, _} = Group) ->
    {Probes, Unable} = lists:partition(fun(P) -> able(Config, needs(P)) end, probes(Config, Group)),
    _ = [bench_vm:emit({missing, P}) || P <- Unable],
    Env = environment(Config, Group, lists:member(insert_list, Probes)),
    Ta = A:new(Type, []),
    Tb = B:new(Type, []),
    _ = [begin A:fill(Ta, Env), B:fill(Tb, Env) end || Probes -- [fill, insert_list, new_delete, new_ten_delete] =/= []],
    same(A:answers(Ta, Env), B:answers(Tb, Env), Group),
    _ = [bench_vm:emit({id(Metric, Group, 1), Summary})
         || Probe <- Probes, {Metric, Summary} <- bench_run:probe(Config, Probe, Env, Ta, Tb)],
    same(element(1, A:answers(Ta, Env)), element(1, B:answers(Tb, Env)), Group).

%% A figure of a table that answers wrong is worth nothing.
same(Answers, Answers, _Group) -> ok;
same(_, _, Group) -> exit({the_two_sides_answer_differently, Group}).

environment(#{seed := Seed}, {Type, Data, Size}, WithList) ->
    in_process(fun() ->
                       Env = bench_data:environment(Type, Data, Size, Seed),
                       List = if WithList -> bench_data:list(Data, ?LIST_OBJECTS); true -> [] end,
                       persistent_term:put(bench_environment, Env#{list => List})
               end),
    persistent_term:get(bench_environment).

%% --- many processes -----------------------------------------------------------------------------------

mix_groups(quick) -> [{Type, int, 100000} || Type <- [set, ordered_set]];
mix_groups(full) -> [{Type, int, Size} || Type <- [set, ordered_set], Size <- ?SIZES].

mix_cells(quick) -> [{2, 1}, {2, 50}, {16, 50}];
mix_cells(full) -> [{P, U} || U <- [0, 1, 10, 50], P <- [1, 2, 16]].

ets_options(Size) when Size > 1000000 ->
    [[{write_concurrency, auto}, {read_concurrency, true}, {decentralized_counters, true}],
     [{write_concurrency, true}, {read_concurrency, true}, {decentralized_counters, true}]];
ets_options(_) ->
    [[], [{read_concurrency, true}], [{write_concurrency, true}],
     [{write_concurrency, auto}, {read_concurrency, true}, {decentralized_counters, true}],
     [{write_concurrency, true}, {read_concurrency, true}, {decentralized_counters, true}]].

mix_cells(#{mode := Mode} = Config, Group) ->
    [Cell || {Processes, Updates} = Cell <- mix_cells(Mode), wanted(Config, id(mix(Updates), Group, Processes))].

mixes(Config, Group) -> in_process(fun() -> mix_all(Config, Group) end).

mix_all(#{a := A, b := B} = Config, {Type, _, Size} = Group) ->
    Env = environment(Config, Group, false),
    Tas = [{Options, begin T = A:new(Type, Options), A:fill(T, Env), T end} || Options <- ets_options(Size)],
    Tb = B:new(Type, []),
    B:fill(Tb, Env),
    _ = [begin
             {Options, Summary} = bench_run:mix(Config, Cell, Env, Tas, Tb),
             bench_vm:emit({(id(mix(Updates), Group, Processes))#{note => ["ets at ", short(Options)]}, Summary})
         end || {Processes, Updates} = Cell <- mix_cells(Config, Group)].

mix(0) -> mix_0;
mix(1) -> mix_1;
mix(10) -> mix_10;
mix(50) -> mix_50.

short([]) -> "no options";
short(Options) ->
    lists:join(" ", [case O of
                         {write_concurrency, V} -> ["wc=", atom_to_list(V)];
                         {read_concurrency, _} -> "rc";
                         {decentralized_counters, _} -> "dc"
                     end || O <- Options]).

beside(Config, Group) ->
    in_process(fun() ->
                       Env = environment(Config, Group, true),
                       {Summary, {Sa, Sb}} = bench_run:reading_beside_a_writer(Config, Env),
                       Note = io_lib:format("with lists of ~b going in, a lookup takes ~.2f times as long as alone on ets, "
                                            "~.2f on tsunami; bar 1.10",
                                            [?LIST_OBJECTS, Sa, Sb]),
                       bench_vm:emit({(id(lookup_beside_list, Group, 2))#{note => Note}, Summary})
               end).

%% --- memory ----------------------------------------------------------------------------------------------

memory_cells(quick) ->
    [{objects, set, int, 200000}, {objects, ordered_set, int, 200000},
     {empty, set, int, 20000}, {churn, set, int, 100000}];
memory_cells(full) ->
    [{objects, Type, int, Size} || Type <- [set, ordered_set], Size <- [1000000, 100000]]
        ++ [{objects, Type, int, 1000000} || Type <- [bag, duplicate_bag]]
        ++ [{objects, Type, Data, 200000} || Type <- [set, ordered_set], Data <- [str100, bin100, bin, tuple, map]]
        ++ [{objects, bag, four, 400000}, {objects, duplicate_bag, four, 400000},
            {empty, set, int, 100000}, {churn, set, int, 1000000}].

memory(#{mode := Mode} = Config, #{a := A, b := B}) ->
    Cells = [C || {What, Type, Data, Size} = C <- memory_cells(Mode),
                  wanted(Config, id(memory(What), {Type, Data, Size}, 1))],
    _ = [say(Config, ["\n", bench_report:memory_columns()]) || Cells =/= []],
    lists:append([memory_cell(Config, A, B, Cell) || Cell <- Cells]).

memory(objects) -> memory_per_object;
memory(empty) -> memory_per_empty_table;
memory(churn) -> memory_left_by_deleted.

memory_cell(Config, A, B, {What, Type, Data, Size}) ->
    case {bytes(What, A, Type, Data, Size), bytes(What, B, Type, Data, Size)} of
        {{ok, Ets}, {ok, Ours}} ->
            Bar = case What of
                      objects -> bench_report:memory_bar(Data, maps:get(resident, Ets));
                      empty -> maps:get(resident, Ets);
                      churn -> max(1.0e6, maps:get(resident, Ets))
                  end,
            Id = (id(memory(What), {Type, Data, Size}, 1))#{bar => Bar},
            say(Config, bench_report:memory_line(Id, {Ets, Ours})),
            [{Id, {Ets, Ours}}];
        {Ra, Rb} ->
            say(Config, io_lib:format("~s ~s ~s: NO FIGURE: ~0tp~n", [memory(What), Type, Data, {Ra, Rb}])),
            []
    end.

bytes(objects, Module, Type, Data, Size) -> bench_memory:objects(Module, Type, Data, Size);
bytes(empty, Module, _, _, Size) -> bench_memory:empty(Module, Size);
bytes(churn, Module, _, _, Size) -> bench_memory:churn(Module, Size).

%% --- results -------------------------------------------------------------------------------------------------

id(Metric, {Type, Data, Size}, Processes) ->
    #{metric => Metric, type => Type, data => Data, size => Size, procs => Processes}.

wanted(#{filters := Filters}, #{metric := Metric, type := Type, data := Data, size := Size, procs := Processes}) ->
    Name = io_lib:format("~s/~s/~s/~b/~b", [Metric, Type, Data, Size, Processes]),
    lists:all(fun(Filter) -> re:run(Name, Filter) =/= nomatch end, Filters).

report(Config, Id, Summary) ->
    case wanted(Config, Id) of
        true ->
            ets:insert(maps:get(sink, Config), {{result, erlang:unique_integer([monotonic])}, {Id, Summary}}),
            say(Config, bench_report:line(Id, Summary));
        false ->
            ok
    end.

%% Prints, and remembers for the file.
say(Config, Text) ->
    io:put_chars(Text),
    ets:insert(maps:get(sink, Config), {{text, erlang:unique_integer([monotonic])}, Text}).

%% A full run leaves its text in bench/results and draws latest.svg. Others leave both beside the build.
save(#{mode := Mode, filters := Filters, sink := Sink}, Results, Memory) ->
    Full = Mode =:= full andalso Filters =:= [],
    Dir = case {os:getenv("BENCH_OUT"), Full} of
              {Out, _} when Out =/= false, Out =/= "" -> Out;
              {_, true} -> "bench/results";
              {_, false} -> filename:join(build(), "bench/results")
          end,
    Text = [T || [T] <- ets:match(Sink, {{text, '_'}, '$1'})],
    File = filename:join(Dir, bench_report:slug() ++ case Full of true -> ".txt"; false -> "-part.txt" end),
    Plot = filename:join(Dir, case Full of true -> "latest.svg"; false -> "latest-part.svg" end),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, unicode:characters_to_binary(Text)),
    ok = filelib:ensure_dir(last()),
    ok = file:write_file(last(), term_to_binary({bench_report:slug(), Results, Memory})),
    ok = file:write_file(Plot, unicode:characters_to_binary(bench_plot:draw(Results, Memory, bench_report:slug()))),
    io:format("~nwritten to ~s and ~s~n", [File, Plot]).

%% The last run's figures, as terms.
last() -> filename:join(build(), "bench/last.terms").

build() ->
    case os:getenv("BUILD") of
        Dir when Dir =/= false, Dir =/= "" -> Dir;
        _ -> "build"
    end.

%% Fun in a process with a heap large enough that collecting it is no part of a round.
in_process(Fun) ->
    {Pid, Ref} = spawn_opt(Fun, [monitor, {min_heap_size, 100000}]),
    receive
        {'DOWN', Ref, process, Pid, normal} -> ok;
        {'DOWN', Ref, process, Pid, Reason} -> exit(Reason)
    end.

%% --- self-test ---------------------------------------------------------------------------------------------

%% ets against an ets whose lookup is slower by a planted wait: that has to be a loss, and what was
%% left alone must not be.
selftest() ->
    Config0 = (config(["^(lookup|member|insert)/"]))#{mode => quick, pairs => 20, round_ms => 2, cell_ms => 100,
                                                       a => ets, b => ets, plant => true,
                            sink => ets:new(bench_sink, [public, ordered_set])},
    Results = planted(compiled(Config0), 5),
    Verdict = fun(Metric) -> {Id, S} = maps:get(Metric, Results), bench_report:verdict(S, bench_report:bar(Id)) end,
    Ratio = fun(Metric) -> ratio(Metric, Results) end,
    Svg = unicode:characters_to_list(bench_plot:draw(maps:values(Results), [], "selftest")),
    {ok, #{resident := Bytes}} = bench_memory:objects(ets, set, int, 50000),
    Crashed = bench_vm:call(erlang, halt, [3], fun(_) -> ok end),
    Tests = [{"a planted wait of 2 us in lookup is a loss", Verdict(lookup) =:= loss andalso Ratio(lookup) < 0.3},
             {"member, which was left alone, is not", Ratio(member) > 0.5 andalso Ratio(member) < 2.0},
             {"insert, which was left alone, is not", Ratio(insert) > 0.5 andalso Ratio(insert) < 2.0},
             {"the closing text names the loss",
              re:run(bench_report:closing(maps:values(Results)), "lookup, set") =/= nomatch},
             {"the plot is well-formed and colours the loss",
              well_formed(Svg) andalso re:run(Svg, "class=\"loss") =/= nomatch},
             {"a VM that ends early is noticed", Crashed =:= {error, 3}},
             {lists:flatten(io_lib:format("resident bytes of {Int,Int,Atom} in ets are near 79, and here ~p", [Bytes])), Bytes > 40 andalso Bytes < 160}],
    _ = [io:format("failed: ~s~n", [Name]) || {Name, false} <- Tests],
    Failed = length([x || {_, false} <- Tests]),
    io:format("~b passed, ~b failed~n", [length(Tests) - Failed, Failed]),
    min(1, Failed).

%% On a machine that is busy with other things even medians go astray: what was left alone may try again.
planted(#{sink := Sink} = Config, Tries) ->
    true = ets:delete_all_objects(Sink),
    ok = in_vm(Config, {group, {set, int, 1000}}),
    Results = maps:from_list([{maps:get(metric, Id), {Id, S}} || [{Id, S}] <- ets:match(Sink, {{result, '_'}, '$1'})]),
    case [M || M <- [member, insert], ratio(M, Results) < 0.5 orelse ratio(M, Results) > 2.0] of
        [_ | _] when Tries > 1 -> planted(Config, Tries - 1);
        _ -> Results
    end.

ratio(Metric, Results) ->
    {_, #{ratio := Ratio}} = maps:get(Metric, Results),
    Ratio.

%% Every element that is opened is closed, in order.
well_formed(Svg) ->
    {match, Tags} = re:run(Svg, "<(/?)([a-z]+)[^>]*?(/?)>", [global, {capture, all_but_first, list}]),
    [] =:= lists:foldl(fun(["", Name, ""], Open) -> [Name | Open];
                          (["", _, "/"], Open) -> Open;
                          (["/", Name, _], [Name | Open]) -> Open;
                          (_, Open) -> [wrong | Open]
                       end, [], Tags).
