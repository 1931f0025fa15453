%% Files that ets and tsunami write and read, each its own and the other's; what is wrong with a file is found.
-module(tsunami_file_tests).
-include_lib("eunit/include/eunit.hrl").
-define(M, (tsunami_test:module())).

-define(HEAD_ITEMS, [name, type, protection, named_table, keypos, size, compressed, read_concurrency, write_concurrency]).

%% With the name of a file; no log stays open.
with_file(Fun) ->
    tsunami_test:with_file(
      fun(File) ->
              Logs = disk_log:all(),
              try Fun(File) after ?assertEqual(Logs, disk_log:all()) end
      end).

%% Objects of every kind of term, some with equal keys, for a keypos of 2.
objects() ->
    Fun = fun(X) -> {X, with_file} end,
    <<_:3, Unaligned:9/bitstring, _/bitstring>> = <<1, 2, 3>>,
    Values = ["text", atom, {tuple, 1}, 1, 1.5, 1 bsl 80, <<"binary">>, binary:copy(<<"large">>, 1000), Unaligned, [], #{map => 1}, Fun, fun lists:map/2, self()],
    [{Value, Key, N} || N <- [1, 2], {Key, Value} <- lists:zip(lists:seq(1, length(Values)), Values)]
        ++ [{key, Value} || Value <- Values].

contents(Mod, Table) -> lists:sort(Mod:tab2list(Table)).

by_key(Mod, Table) -> [{Key, Mod:lookup(Table, Key)} || Key <- lists:usort([element(2, Object) || Object <- Mod:tab2list(Table)])].

%% OTP 27.3's own ets ends the VM on compressed tables of many kinds of terms.
compressed() -> [compressed || list_to_integer(erlang:system_info(otp_release)) < 27].

every_table_goes_from_each_to_each_test_() ->
    {timeout, 60,
     fun() ->
             [there_and_back(From, To, [Kind, {keypos, 2}, Protection | Options], Info)
              || Kind <- tsunami_test:kinds(), From <- [ets, ?M], To <- [ets, ?M],
                 {Protection, Options} <- [{public, [{read_concurrency, true}, {write_concurrency, true}]}, {private, compressed()}, {protected, [named_table]},
                                           {public, [{write_concurrency, auto}]}],
                 Info <- [[], [object_count], [md5sum], [md5sum, object_count]]]
     end}.

there_and_back(From, To, Options, Info) ->
    with_file(
      fun(File) ->
              Table = From:new(tsunami_file_x, Options),
              %% One by one: OTP 25's ets turns a list for a bag round.
              [From:insert(Table, Object) || Object <- objects()],
              ?assertEqual(ok, From:tab2file(Table, File, [{extended_info, Info}, {sync, true}])),
              Head = [{Item, From:info(Table, Item)} || Item <- ?HEAD_ITEMS],
              Contents = contents(From, Table),
              ByKey = by_key(From, Table),
              From:delete(Table),
              {ok, InFile} = To:tabfile_info(File),
              ?assertEqual(ets:tabfile_info(File), {ok, InFile}),
              ?assertEqual(lists:sort(Info), lists:sort(proplists:get_value(extended_info, InFile))),
              ?assertEqual({1, 0}, proplists:get_value(version, InFile)),
              [begin
                   {ok, Table2} = To:file2tab(File, [{verify, Verify}]),
                   ?assertEqual(Head, [{Item, To:info(Table2, Item)} || Item <- ?HEAD_ITEMS]),
                   ?assertEqual(Contents, contents(To, Table2)),
                   [?assertEqual(ByKey, by_key(To, Table2)) || To =/= ets],
                   To:delete(Table2)
               end || Verify <- [false, true]]
      end).

large_tables_are_written_and_read_in_pages_test_() ->
    {timeout, 60, fun() -> [large(Kind) || Kind <- tsunami_test:kinds()] end}.

large(Kind) ->
    with_file(
      fun(File) ->
              Table = ?M:new(x, [Kind]),
              ?M:insert(Table, [{N, integer_to_list(N)} || N <- lists:seq(1, 20000)]),
              Kind =:= set orelse ?M:insert(Table, [{0, N} || N <- lists:seq(1, 3000)]),
              ok = ?M:tab2file(Table, File, [{extended_info, [object_count, md5sum]}]),
              {ok, Copy} = ?M:file2tab(File, [{verify, true}]),
              ?assertEqual(contents(?M, Table), contents(?M, Copy)),
              %% OTP 25's ets turns them round.
              tsunami_test:is_ets() orelse ?assertEqual(?M:lookup(Table, 0), ?M:lookup(Copy, 0)),
              {ok, InEts} = ets:file2tab(File, [{verify, true}]),
              ?assertEqual(contents(?M, Table), contents(ets, InEts)),
              ?M:delete(Table), ?M:delete(Copy), ets:delete(InEts)
      end).

memory_is_that_of_a_page_test_() ->
    {timeout, 60, fun memory_is_that_of_a_page/0}.

memory_is_that_of_a_page() ->
    with_file(
      fun(File) ->
              Table = ?M:new(x, [public]),
              [?M:insert(Table, [{N, lists:seq(1, 20)} || N <- lists:seq(I * 1000, I * 1000 + 999)]) || I <- lists:seq(1, 100)],
              %% A process of that size is killed: 100 000 such objects are 4 million words.
              Limited = fun(Fun) ->
                                Self = self(),
                                {Pid, Ref} = spawn_opt(fun() -> Self ! {answer, self(), Fun()} end, [monitor, {max_heap_size, 1000000}]),
                                receive {answer, Pid, Answer} -> demonitor(Ref, [flush]), Answer; {'DOWN', Ref, _, _, Reason} -> Reason end
                        end,
              ?assertEqual(ok, Limited(fun() -> ?M:tab2file(Table, File, [{extended_info, [md5sum]}]) end)),
              ?assertEqual(100000, Limited(fun() -> {ok, Copy} = ?M:file2tab(File, [{verify, true}]), ?M:info(Copy, size) end)),
              ?M:delete(Table)
      end).

what_is_wrong_with_the_options_is_said_as_by_ets_test() ->
    tsunami_test:not_ets("raises some of it"),
    with_file(
      fun(File) ->
              [?assertEqual({Options, on_file(ets, tab2file, [table, File, Options])}, {Options, on_file(?M, tab2file, [table, File, Options])})
               || Options <- [[sync], [{sync, yes}], [{extended_info, md5sum}], [{extended_info, [md5sum | x]}], [{sync, true} | x],
                              [{extended_info, []}, {extended_info, []}], [{extended_info, [count]}], [{extended_info, [md5sum, md5sum]}], [{sync, false}, {sync, true}]]],
              ?assertEqual({error, {malformed_option, sync}}, on_file(?M, tab2file, [table, File, sync])),
              [?assertEqual({Options, on_file(ets, file2tab, [File, Options])}, {Options, on_file(?M, file2tab, [File, Options])})
               || Options <- [verify, [verify], [{verify, yes}], [{verify, true}, {verify, false}], [{verify, true} | x], [{table, a}, {table, b}]]]
      end).

what_is_wrong_with_the_file_is_said_as_by_ets_test() ->
    with_file(fun what_is_wrong_with_the_file/1).

what_is_wrong_with_the_file(Name) ->
    Garbage = Name ++ ".garbage",
    ok = file:write_file(Garbage, <<"this is no log, whatever may be in it">>),
    Empty = Name ++ ".empty",
    ok = file:write_file(Empty, <<>>),
    Blank = Name ++ ".blank",
    Log = make_ref(),
    {ok, Log} = disk_log:open([{name, Log}, {file, Blank}]),
    ok = disk_log:close(Log),
    Wrong = ["/no/such/folder/x", <<"binary">>, 1, "/", ".", {a, b}, ["a", <<"b">>, x], "a\0b"],
    [?assertEqual({F, File, on_file(ets, F, [File])}, {F, File, on_file(?M, F, [File])})
     || File <- Wrong ++ [Garbage, Empty, Blank, Name], F <- [file2tab, tabfile_info], is_list(File) orelse F =:= file2tab],
    %% Of a binary disk_log repeats all options, which differ between releases of ets.
    [?assertEqual({File, on_file(ets, tab2file, [table, File])}, {File, on_file(?M, tab2file, [table, File])}) || File <- Wrong, not is_binary(File)],
    ?assertMatch({error, {badarg, [{file, <<"binary">>} | _]}}, on_file(?M, tab2file, [table, <<"binary">>])),
    tsunami_test:is_ets() orelse ?assertMatch({error, {read_error, {badarg, _}}}, ?M:tabfile_info(<<"binary">>)),
    [file:delete(File) || File <- [Garbage, Empty, Blank]].

%% The answer without what differs from table to table.
on_file(Mod, F, Args) ->
    Table = Mod:new(tsunami_file_y, [public]),
    try apply(Mod, F, [case A of table -> Table; _ -> A end || A <- Args]) of
        {ok, Answer} when is_reference(Answer) -> Mod:delete(Answer), {ok, table};
        Answer -> Answer
    after
        Mod:delete(Table)
    end.

a_table_that_cannot_be_read_costs_no_file_test() ->
    tsunami_test:not_ets("deletes the file first"),
    with_file(
      fun(File) ->
              ok = file:write_file(File, <<"precious">>),
              ?assertEqual({error, badtab}, ?M:tab2file(no_such_table, File)),
              [?assertMatch({error, badarg, tab2file, [_, File], _, #{1 := _}}, tsunami_test:outcome(?M, tab2file, [T, File])) || T <- [1, make_ref()]],
              Owner = tsunami_test:spawn_owner(fun() -> ok end),
              Private = tsunami_test:ask(Owner, fun() -> ?M:new(x, [private]) end),
              ?assertMatch({error, badarg, tab2file, [Private, File, []], access, #{1 := _}}, tsunami_test:outcome(?M, tab2file, [Private, File, []])),
              ?assertEqual({ok, <<"precious">>}, file:read_file(File)),
              tsunami_test:stop(Owner)
      end).

a_name_that_is_taken_is_found_before_the_objects_are_read_test() ->
    with_file(
      fun(File) ->
              tsunami_file_a = ?M:new(tsunami_file_a, [named_table]),
              ?M:insert(tsunami_file_a, {1, x}),
              ok = ?M:tab2file(tsunami_file_a, File),
              ?assertEqual({error, cannot_create_table}, ?M:file2tab(File)),
              ?M:delete(tsunami_file_a),
              ?assertEqual({ok, tsunami_file_a}, ?M:file2tab(File)),
              ?assertEqual([{1, x}], ?M:lookup(tsunami_file_a, 1)),
              ?M:delete(tsunami_file_a)
      end).

%% The file with other terms; `table` with the objects 1 to 10.
rewritten(Info, Change, Test) ->
    with_file(
      fun(File) ->
              Table = ?M:new(tsunami_file_b, [ordered_set, named_table]),
              ?M:insert(Table, [{N, integer_to_list(N)} || N <- lists:seq(1, 10)]),
              ok = ?M:tab2file(Table, File, [{extended_info, Info}]),
              ?M:delete(Table),
              Log = make_ref(),
              {ok, Log} = disk_log:open([{name, Log}, {file, File}]),
              {_, Terms} = disk_log:chunk(Log, start),
              ok = disk_log:truncate(Log),
              ok = disk_log:log_terms(Log, Change(Terms)),
              ok = disk_log:close(Log),
              Test(File),
              ?assertEqual(undefined, ?M:whereis(tsunami_file_b))
      end).

verify(Info, Change, WithoutVerify, Reason) ->
    rewritten(Info, Change,
              fun(File) ->
                      case ?M:file2tab(File) of
                          {ok, Table} -> ?assertEqual(WithoutVerify, ?M:info(Table, size)), ?M:delete(Table);
                          Error -> ?assertEqual({error, WithoutVerify}, Error)
                      end,
                      ?assertEqual({error, Reason}, ?M:file2tab(File, [{verify, true}]))
              end).

verification_finds_what_is_missing_or_changed_test() ->
    tsunami_test:not_ets("overlooks what comes after the end"),
    Without8 = fun(Terms) -> lists:keydelete(8, 1, Terms) end,
    Changed8 = fun(Terms) -> lists:keyreplace(8, 1, Terms, {8, "9"}) end,
    NoEnd = fun(Terms) -> [Term || Term <- Terms, is_tuple(Term)] end,
    verify([], Without8, 9, invalid_object_count),
    verify([object_count], Without8, 9, invalid_object_count),
    verify([md5sum], Without8, 9, checksum_error),
    verify([md5sum], Changed8, 10, checksum_error),
    verify([md5sum, object_count], Changed8, 10, checksum_error),
    verify([md5sum], NoEnd, 10, badfile),
    verify([object_count], NoEnd, 10, badfile),
    verify([object_count], fun([H | T]) -> [H | lists:droplast(T) ++ [['$end_of_table', [{count, 11}]]]] end, 10, invalid_object_count),
    verify([object_count], fun(Terms) -> Terms ++ [{11, "11"}] end, 10, badfile).

a_header_must_have_what_makes_a_table_test() ->
    tsunami_test:not_ets("raises some of it"),
    Other = fun(Item, Value) -> fun([H | T]) -> [list_to_tuple(lists:keyreplace(Item, 1, tuple_to_list(H), {Item, Value})) | T] end end,
    [verify([], fun([H | T]) -> [list_to_tuple(lists:keydelete(Item, 1, tuple_to_list(H))) | T] end, badfile, badfile)
     || Item <- [name, type, protection, named_table, keypos, size]],
    [verify([], Other(Item, Value), cannot_create_table, cannot_create_table)
     || {Item, Value} <- [{name, "x"}, {type, tree}, {protection, none}, {keypos, 0}, {named_table, yes}, {write_concurrency, x}]],
    verify([], fun([_ | T]) -> T end, badfile, badfile),
    verify([], fun(_) -> [] end, badfile, badfile),
    verify([], Other(major_version, 2), {unsupported_file_version, {2, 0}}, {unsupported_file_version, {2, 0}}),
    verify([], Other(size, 11), 10, invalid_object_count),
    verify([], fun(Terms) -> Terms ++ [[not_a_tuple]] end, badfile, badfile).

a_table_may_have_any_name_test() ->
    with_file(fun(File) ->
                      Table = ?M:new(none, []),
                      ok = ?M:tab2file(Table, File),
                      {ok, Copy} = ?M:file2tab(File),
                      ?assertEqual(none, ?M:info(Copy, name))
              end).

%% Each byte of a file in turn is another: with a checksum this is always found, by an error and not an exception.
every_changed_byte_is_found_test_() ->
    {timeout, 120, fun() -> [every_changed_byte(Mod, Info) || {Mod, Info} <- [{ets, [md5sum]}, {?M, [md5sum, object_count]}]] end}.

every_changed_byte(Mod, Info) ->
    tsunami_test:not_ets("overlooks some, and raises some"),
    with_file(
      fun(File) ->
              Table = Mod:new(x, [ordered_set, public]),
              Mod:insert(Table, [{N, integer_to_list(N), #{N => [1.5]}} || N <- lists:seq(1, 3)]),
              ok = Mod:tab2file(Table, File, [{extended_info, Info}]),
              {ok, Bytes} = file:read_file(File),
              Before = length(?M:all()),
              Missed = [{At, New}
                        || At <- lists:seq(0, byte_size(Bytes) - 1),
                           New <- [(binary:at(Bytes, At) + lists:nth(At rem 3 + 1, [1, 128, 255])) rem 256],
                           ok =:= file:write_file(File, [binary:part(Bytes, 0, At), New, binary:part(Bytes, At + 1, byte_size(Bytes) - At - 1)]),
                           element(1, ?M:file2tab(File, [{verify, true}])) =/= error],
              ?assertEqual([], Missed),
              %% As for a file that ends too soon.
              [begin
                   ok = file:write_file(File, binary:part(Bytes, 0, Length)),
                   ?assertMatch({error, _}, ?M:file2tab(File, [{verify, true}]))
               end || Length <- lists:seq(0, byte_size(Bytes) - 1, 7)],
              ?assertEqual(Before, length(?M:all())),
              Mod:delete(Table)
      end).

without_verification_a_damaged_file_is_no_exception_test_() ->
    {timeout, 60, fun() -> with_file(fun damaged/1) end}.

damaged(File) ->
    rand:seed(exsss, tsunami_test:seed()),
    Table = ?M:new(tsunami_file_c, [public]),
    ?M:insert(Table, [{N, integer_to_list(N)} || N <- lists:seq(1, 300)]),
    ok = ?M:tab2file(Table, File, [{extended_info, [object_count]}]),
    {ok, Bytes} = file:read_file(File),
    [begin
         At = rand:uniform(byte_size(Bytes)) - 1,
         ok = file:write_file(File, [binary:part(Bytes, 0, At), rand:uniform(256) - 1, binary:part(Bytes, At + 1, byte_size(Bytes) - At - 1)]),
         case ?M:file2tab(File) of
             {ok, Copy} -> ?M:delete(Copy);
             {error, _} -> ok
         end
     end || _ <- lists:seq(1, 300)],
    ?M:delete(Table).

nobody_reads_a_table_that_is_being_loaded_test() ->
    tsunami_test:not_ets("shows the table as it grows"),
    with_file(
      fun(File) ->
              tsunami_file_d = ?M:new(tsunami_file_d, [named_table, public, {read_concurrency, true}]),
              ?M:insert(tsunami_file_d, [{N} || N <- lists:seq(1, 50000)]),
              ok = ?M:tab2file(tsunami_file_d, File),
              ?M:delete(tsunami_file_d),
              Self = self(),
              Reader = spawn_link(fun() -> Self ! {sizes, read_until_all()} end),
              ?assertEqual({ok, tsunami_file_d}, ?M:file2tab(File)),
              receive {sizes, Sizes} -> ?assertEqual([50000], lists:usort(Sizes)) end,
              unlink(Reader),
              ?assertEqual(true, ?M:info(tsunami_file_d, read_concurrency)),
              ?M:delete(tsunami_file_d)
      end).

%% The sizes seen by whoever had the right to read.
read_until_all() ->
    try ?M:first(tsunami_file_d) of
        _ -> [?M:info(tsunami_file_d, size)]
    catch
        error:badarg -> erlang:yield(), read_until_all()
    end.

a_table_that_is_deleted_meanwhile_leaves_no_file_test() ->
    tsunami_test:not_ets("says so of a function inside"),
    with_file(
      fun(File) ->
              Table = ?M:new(x, [public]),
              ?M:insert(Table, [{N, lists:seq(1, 50)} || N <- lists:seq(1, 20000)]),
              Self = self(),
              {Pid, Ref} = spawn_monitor(fun() -> Self ! going, exit({answer, tsunami_test:outcome(?M, tab2file, [Table, File])}) end),
              receive going -> ok end,
              tsunami_test:wait_until(fun() -> filelib:is_file(File) orelse not is_process_alive(Pid) end),
              ?M:delete(Table),
              receive
                  {'DOWN', Ref, process, Pid, {answer, {ok, ok}}} -> ok;
                  {'DOWN', Ref, process, Pid, {answer, Answer}} ->
                      ?assertMatch({error, badarg, tab2file, [Table, File], id, #{1 := _}}, Answer),
                      ?assertNot(filelib:is_file(File))
              end
      end).

a_table_that_is_given_takes_the_objects_test() ->
    tsunami_test:not_ets("raises what is wrong with it"),
    with_file(
      fun(File) ->
              Table = ?M:new(x, [bag]),
              ?M:insert(Table, [{1, a}, {2, b}]),
              ok = ?M:tab2file(Table, File),
              Given = ?M:new(y, [set]),
              ?M:insert(Given, {3, c}),
              ?assertEqual({ok, Given}, ?M:file2tab(File, [{table, Given}])),
              ?assertEqual([{1, a}, {2, b}, {3, c}], contents(?M, Given)),
              ?assertEqual({error, badtab}, ?M:file2tab(File, [{table, no_such_table}]))
      end).

what_is_written_meanwhile_does_not_spoil_the_file_test_() ->
    {timeout, 60, fun() -> [written_meanwhile(Kind) || Kind <- tsunami_test:kinds()] end}.

written_meanwhile(Kind) ->
    with_file(
      fun(File) ->
              Table = ?M:new(x, [Kind, public]),
              Stay = [{N, stays} || N <- lists:seq(1, 10000)],
              ?M:insert(Table, Stay),
              {Writer, Ref} = spawn_monitor(fun() -> come_and_go(Table, 1) end),
              ok = ?M:tab2file(Table, File, [{extended_info, [object_count, md5sum]}]),
              exit(Writer, kill),
              receive {'DOWN', Ref, process, Writer, killed} -> ok end,
              {ok, Copy} = ?M:file2tab(File, [{verify, true}]),
              ?assertEqual(Stay, lists:sort([Object || {_, stays} = Object <- ?M:tab2list(Copy)])),
              ?M:delete(Table), ?M:delete(Copy)
      end).

come_and_go(Table, N) ->
    ?M:insert(Table, {{N rem 1000, x}, goes}),
    ?M:delete(Table, {(N * 7) rem 1000, x}),
    come_and_go(Table, N + 1).

a_reader_that_is_killed_leaves_nothing_test() ->
    with_file(
      fun(File) ->
              Table = ?M:new(tsunami_file_e, [public]),
              ?M:insert(Table, [{N, lists:seq(1, 20)} || N <- lists:seq(1, 20000)]),
              ok = ?M:tab2file(Table, File, [{extended_info, [md5sum]}]),
              Before = length(?M:all()),
              [begin
                   Self = self(),
                   Pid = spawn(fun() -> Self ! going, ?M:file2tab(File, [{verify, true}]) end),
                   receive going -> timer:sleep(Delay) end,
                   tsunami_test:stop(Pid),
                   ?assertEqual(Before, length(?M:all())),
                   tsunami_test:wait_until(fun() -> disk_log:all() =:= [] end)
               end || Delay <- [0, 1, 5, 20]],
              ?M:delete(Table)
      end).
