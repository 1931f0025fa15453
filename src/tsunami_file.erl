%% tsunami_file: a table as a file that ets reads, and the other way round.
%%
%% The file is a log of disk_log. Its terms:
%%
%%     header    a tuple of pairs: all of info/1, then major_version, minor_version and extended_info
%%     objects   one to a term
%%     end       ['$end_of_table', [{count, N}, {md5, Digest}]]: the first pair if extended_info has object_count, the second
%%               if it has md5sum, and no such term if it has neither
%%
%% The digest is of the bytes of the header and of all objects.
-module(tsunami_file).

-include("tsunami_doc.hrl").
?MODULEDOC("Tables written to files, and read.").

-export([write/3, read/2, info/1]).

-define(MAJOR_VERSION, 1).
-define(MINOR_VERSION, 0).
-define(PRIVATE, 2).
-define(MANDATORY, [name, type, protection, named_table, keypos, size]).
%% What disk_log is asked for at a time; it hands out no more than 64 KB but for a single term.
-define(TERMS_MAX, 1000).

%% What the header says of the file.
-record(head, {pairs   :: [term()],
               version :: {Major :: term(), Minor :: term()},
               count   :: boolean(),
               md5     :: boolean()}).

%% What has gone through: objects, and the digest if there is to be one.
-record(sum, {count = 0 :: non_neg_integer(),
              md5       :: none | binary()}).

%% --- writing ----------------------------------------------------------------------------

?DOC("As `tsunami:tab2file/3`.").
-spec write(tsunami:table(), file:name(), term()) -> ok | {error, Reason :: term()}.
write(Table, File, Options) ->
    answer(fun() -> write_table(Table, File, write_options(Options, #{sync => false})) end).

write_table(Table, File, #{sync := Sync} = Options) ->
    Pairs = case tsunami_nif:info(Table) of
                undefined -> throw(badtab);
                Known -> Known
            end,
    {id, Tid} = lists:keyfind(id, 1, Pairs),
    %% Before the file is touched: the attempt to write a table that cannot be read costs no file.
    First = tsunami_bulk:page(Tid, start),
    absent(File),
    Log = make_ref(),
    case disk_log:open([{name, Log}, {file, File}, {repair, truncate}]) of
        {ok, Log} -> ok;
        {error, Reason} -> throw(Reason)
    end,
    try
        write_terms(Log, Pairs, maps:get(extended_info, Options, []), Tid, First),
        Sync andalso done(disk_log:sync(Log))
    catch
        Class:Error:Stack ->
            _ = disk_log:close(Log),
            _ = file:delete(File),
            erlang:raise(Class, Error, Stack)
    end,
    disk_log:close(Log).

absent(File) ->
    _ = file:delete(File),
    case file:read_file_info(File) of
        {error, enoent} -> ok;
        _ -> throw(eaccess)
    end.

write_terms(Log, Pairs, Info, Tid, First) ->
    Header = list_to_tuple(Pairs ++ [{major_version, ?MAJOR_VERSION}, {minor_version, ?MINOR_VERSION}, {extended_info, Info}]),
    Md5 = case lists:member(md5sum, Info) of
              true -> erlang:md5_init();
              false -> none
          end,
    Sum = log(Log, [Header], #sum{md5 = Md5}),
    Sum1 = write_pages(Log, Tid, First, Sum#sum{count = 0}),
    case last(Sum1, lists:member(object_count, Info)) of
        [] -> ok;
        Last -> log(Log, [['$end_of_table', Last]], Sum1)
    end.

write_pages(Log, _Tid, {Objects, done}, Sum) ->
    log(Log, Objects, Sum);
write_pages(Log, Tid, {Objects, Cursor}, Sum) ->
    Sum1 = log(Log, Objects, Sum),
    write_pages(Log, Tid, tsunami_bulk:page(Tid, Cursor), Sum1).

log(_Log, [], Sum) ->
    Sum;
log(Log, Terms, Sum) ->
    Binaries = [term_to_binary(Term) || Term <- Terms],
    done(disk_log:blog_terms(Log, Binaries)),
    add(Binaries, Sum).

add(Binaries, #sum{count = N, md5 = none} = Sum) ->
    Sum#sum{count = N + length(Binaries)};
add(Binaries, #sum{count = N, md5 = Md5} = Sum) ->
    Sum#sum{count = N + length(Binaries), md5 = erlang:md5_update(Md5, Binaries)}.

%% The pairs of the last term.
last(#sum{count = N, md5 = Md5}, Count) ->
    [{count, N} || Count] ++ [{md5, erlang:md5_final(Md5)} || Md5 =/= none].

done(ok) -> true;
done({error, Reason}) -> throw(Reason).

write_options([{sync, Sync} | Rest], Options) when is_boolean(Sync) ->
    write_options(Rest, Options#{sync := Sync orelse map_get(sync, Options)});
write_options([{extended_info, Info} | Rest], Options) when not is_map_key(extended_info, Options) ->
    extended_info(Info),
    write_options(Rest, Options#{extended_info => [Item || Item <- [object_count, md5sum], lists:member(Item, Info)]});
write_options(Options, Acc) ->
    rest_of_options(Options, Acc).

extended_info([Item | Rest]) when Item =:= object_count; Item =:= md5sum -> extended_info(Rest);
extended_info([Item | _]) -> throw({unknown_option, [{extended_info, [Item]}]});
extended_info(Rest) -> rest_of_options(Rest, ok).

rest_of_options([], Acc) -> Acc;
rest_of_options([Option | _], _Acc) -> throw({unknown_option, Option});
rest_of_options(Malformed, _Acc) -> throw({malformed_option, Malformed}).

%% --- reading ----------------------------------------------------------------------------

?DOC("As `tsunami:file2tab/2`.").
-spec read(file:name(), term()) -> {ok, tsunami:table()} | {error, Reason :: term()}.
read(File, Options) ->
    answer(fun() ->
                   #{verify := Verify} = Read = read_options(Options, #{verify => false}),
                   with_log(File, Verify, fun(Log) -> read_table(Log, Verify, Read) end)
           end).

read_table(Log, Verify, Options) ->
    {Head, Sum, Next} = head(Log, Verify),
    case Head#head.version of
        {Major, _} = Version when Major > ?MAJOR_VERSION -> throw({unsupported_file_version, Version});
        _ -> ok
    end,
    {Table, Tid, Publish} = case Options of
                                #{table := Given} -> {Given, tid(Given), fun() -> true end};
                                _ -> create(Head#head.pairs)
                            end,
    try
        {Sum1, Last} = load(Log, Next, Verify, Tid, Sum),
        Verify andalso verify(Head, Sum1, Last),
        true = Publish(),
        {ok, Table}
    catch
        Class:Reason:Stack ->
            _ = catch tsunami:delete(Tid),
            erlang:raise(Class, Reason, Stack)
    end.

read_options([{verify, Verify} | Rest], Options) when is_boolean(Verify) ->
    read_options(Rest, Options#{verify := Verify orelse map_get(verify, Options)});
%% As in ets, for its own use: the objects go into this table.
read_options([{table, Table} | Rest], Options) when not is_map_key(table, Options) ->
    read_options(Rest, Options#{table => Table});
read_options(Options, Acc) ->
    rest_of_options(Options, Acc).

tid(Table) ->
    try
        tsunami_bulk:tid(Table)
    catch
        error:{tsunami_badarg, _} -> throw(badtab)
    end.

with_log(File, Verify, Fun) ->
    Log = make_ref(),
    case disk_log:open([{name, Log}, {file, File}, {mode, read_only}]) of
        {ok, Log} -> ok;
        {repaired, Log, _, _} when Verify -> _ = disk_log:close(Log), throw(badfile);
        {repaired, Log, _, _} -> ok;
        {error, Reason} -> throw({read_error, Reason})
    end,
    try
        Fun(Log)
    after
        disk_log:close(Log)
    end.

%% The next terms, as binaries. Bytes that are no term are passed over, unless the file is to be right.
chunk(Log, Next, Max, Verify) ->
    case disk_log:bchunk(Log, Next, Max) of
        eof -> eof;
        {error, Reason} -> throw({read_error, Reason});
        {Next1, Binaries} -> {Binaries, Next1};
        {_, _, Bad} when Verify, Bad > 0 -> throw(badfile);
        {Next1, Binaries, _Bad} -> {Binaries, Next1}
    end.

head(Log, Verify) ->
    case chunk(Log, start, 1, Verify) of
        {[Binary], Next} ->
            Head = try binary_to_term(Binary) of
                       Header when is_tuple(Header) -> head(tuple_to_list(Header));
                       _ -> throw(badfile)
                   catch
                       error:badarg -> throw(badfile)
                   end,
            Sum = case Head#head.md5 andalso Verify of
                      true -> #sum{md5 = erlang:md5_update(erlang:md5_init(), Binary)};
                      false -> #sum{md5 = none}
                  end,
            {Head, Sum, Next};
        _ ->
            throw(badfile)
    end.

head(Pairs) ->
    [throw(badfile) || Item <- ?MANDATORY, tuple_size(keyfind(Item, Pairs)) =/= 2],
    Info = value(extended_info, Pairs, []),
    #head{pairs = Pairs,
          version = {value(major_version, Pairs, 0), value(minor_version, Pairs, 0)},
          count = member(object_count, Info),
          md5 = member(md5sum, Info)}.

value(Item, Pairs, Default) ->
    case keyfind(Item, Pairs) of
        {Item, Value} -> Value;
        _ -> Default
    end.

keyfind(Item, Pairs) ->
    case lists:keyfind(Item, 1, Pairs) of
        false -> {};
        Pair -> Pair
    end.

%% In what need not be a list.
member(Item, [Item | _]) -> true;
member(Item, [_ | Rest]) -> member(Item, Rest);
member(_Item, _) -> false.

%% The table that the header describes, private for now, and what gives it its protection.
create(Pairs) ->
    [Name, Type, Protection, Named, KeyPos] =
        [value(Item, Pairs, none) || Item <- [name, type, protection, named_table, keypos]],
    Options = [Type, Protection, {keypos, KeyPos}]
        ++ [named_table || Named =/= false]
        ++ [compressed || value(compressed, Pairs, false) =:= true]
        ++ [{Item, Value} || Item <- [write_concurrency, read_concurrency], {_, Value} <- [lists:keyfind(Item, 1, Pairs)]],
    try
        true = is_atom(Name) andalso is_boolean(Named),
        {ok, #{protection := Number} = Settings} = tsunami_options:new(Options),
        Table = tsunami_owner:create(Name, Settings#{protection := ?PRIVATE, heir := none}),
        Tid = tsunami_bulk:tid(Table),
        {Table, Tid, fun() -> tsunami_nif:setopts_protection(Tid, Number) end}
    catch
        error:_ -> throw(cannot_create_table)
    end.

%% All objects into the table; answers what they come to, and the pairs of the last term.
load(Log, Next, Verify, Tid, Sum) ->
    case chunk(Log, Next, ?TERMS_MAX, Verify) of
        eof ->
            {Sum, []};
        {Binaries, Next1} ->
            {Objects, Used, Rest} = objects(Binaries, Verify, [], []),
            fill(Tid, Objects),
            Sum1 = add(Used, Sum),
            case Rest of
                more -> load(Log, Next1, Verify, Tid, Sum1);
                {Last, []} -> Verify andalso nothing(chunk(Log, Next1, 1, true)), {Sum1, Last};
                {_, _} when Verify -> throw(badfile);
                {Last, _} -> {Sum1, Last}
            end
    end.

nothing(eof) -> true;
nothing(_) -> throw(badfile).

objects([Binary | Rest], Verify, Objects, Used) ->
    try binary_to_term(Binary) of
        ['$end_of_table', Last] -> {lists:reverse(Objects), lists:reverse(Used), {Last, Rest}};
        Object -> objects(Rest, Verify, [Object | Objects], [Binary | Used])
    catch
        error:badarg when Verify -> throw(badfile);
        error:badarg -> objects(Rest, Verify, Objects, Used)
    end;
objects([], _Verify, Objects, Used) ->
    {lists:reverse(Objects), lists:reverse(Used), more}.

fill(Tid, Objects) ->
    try
        tsunami_bulk:fill(Tid, Objects)
    catch
        error:badarg -> throw(badfile);
        error:{tsunami_badarg, _} -> throw(badtab)
    end.

%% What the last term says has to be what was read. With no such term the size of the table counts.
verify(#head{pairs = Pairs, count = Count, md5 = Md5}, Sum, Last) ->
    case last(Sum, Count) of
        Last when Count; Md5 -> true;
        Last -> Sum#sum.count =:= value(size, Pairs, none) orelse throw(invalid_object_count);
        Right -> throw(difference(Right, Last))
    end.

difference([{count, _}], [{count, _}]) -> invalid_object_count;
difference([{count, _}, {md5, Md5}], [{count, _}, {md5, Md5}]) -> invalid_object_count;
difference([{count, _}, {md5, _}], [{count, _}, {md5, _}]) -> checksum_error;
difference([{md5, _}], [{md5, _}]) -> checksum_error;
difference(_Right, _Last) -> badfile.

%% --- what a file says of itself ---------------------------------------------------------

?DOC("As `tsunami:tabfile_info/1`.").
-spec info(file:name()) -> {ok, [{Item :: atom(), Value :: term()}]} | {error, Reason :: term()}.
info(File) ->
    answer(fun() ->
                   {#head{pairs = Pairs, version = Version}, _, _} =
                       with_log(File, false, fun(Log) -> head(Log, false) end),
                   {ok, [{Item, value(Item, Pairs, none)} || Item <- ?MANDATORY]
                        ++ [{extended_info, value(extended_info, Pairs, [])}, {version, Version}]}
           end).

answer(Fun) ->
    try
        Fun()
    catch
        throw:Reason -> {error, Reason};
        exit:Reason -> {error, Reason}
    end.
