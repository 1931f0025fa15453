%% conformance_patches: the places of ets_SUITE that look into the VM's own tables, and what they become.
%%
%% A change names a function and an expression in it, in Erlang; variables that end in @ stand for any expression, and
%% keep it. Whatever says ets in a change is turned into tsunami afterwards, like the rest. Why each is needed:
%% CONFORMANCE.md.
-module(conformance_patches).
-export([apply/2]).

-define(HELP, "conformance_case:").

%% {Name, the first OTP that has it, Changes}
table() ->
    [{etsmem, 25,
      [{function, "etsmem() -> lists:sort([{T, ets:info(T, name)} || T <- ets:all()])."},
       {function, "verify_etsmem(Before) -> wait_for_test_procs(), " ?HELP "same_tables(Before, fun etsmem/0)."}]},
     {node_refs, 25,
      [{any, "erts_test_utils:check_node_dist()", ?HELP "within_2_s(fun() -> erts_test_utils:check_node_dist() end, ok)"}]},
     {kept_objects, 25,
      [{any, "N@ = get_kept_objects(T@)", "_ = get_kept_objects(T@)"},
       {any, "true = get_kept_objects(T@) >= N@", "_ = get_kept_objects(T@)"}]},
     {buckets, 25, [{function, "num_of_buckets(T) -> _ = ets:info(T, stats), ok."}]},
     {table_load, 25, [{function, "verify_table_load(T) -> _ = ets:info(T, stats), ok."}]},
     {hash_clash, 25,
      [{hash_clash, "Buckets = X@", "Buckets = 256"},
       {hash_clash, "[] = ets:slot(Tab, Phash)",
        "begin _ = Phash, [_] = " ?HELP "full_slots(fun(I) -> ets:slot(Tab, I) end) end"}]},
     {memory_words, 25,
      [{memory_do, "XRes1 = Res1", "true = " ?HELP "are_words(Res1)"},
       {memory_do, "XRes2 = Res2", "true = " ?HELP "are_words(Res2)"},
       {memory_do, "XRes3 = Res3", "true = " ?HELP "are_words(Res3)"},
       {memory_do, "XRes4 = Res4", "true = " ?HELP "are_fewer_words(Res4, Res1)"},
       {memory_do, "XRes5 = Res5", "true = " ?HELP "are_fewer_words(Res5, Res1)"}]},
     {wc_memory, 25,
      [{write_concurrency, "ets:info(T@, memory)", ?HELP "words(ets:info(T@, memory))"},
       {write_concurrency, "true = A@ > B@", "true = A@ =:= B@"},
       {write_concurrency, "true = A@ >= B@", "true = A@ =:= B@"},
       {write_concurrency, "true = A@ < B@", "true = A@ =:= B@"}]},
     {file_memory, 25, [{tab2file2_do, "ets:info(T@, memory)", ?HELP "words(ets:info(T@, memory))"}]},
     {info_binary, 25,
      [{any, "[X@ | Y@] = ets_info(T@, binary, P@, L@)", "true = " ?HELP "are_binaries(ets_info(T@, binary, P@, L@))"},
       {any, "Size = length(ets:info(T@, binary))", "true = " ?HELP "are_binaries(ets:info(T@, binary))"}]},
     {match_order, 25,
      [{match2_do, "[[key2_wannabe],[key2]] = X@", "[[key2],[key2_wannabe]] = lists:sort(X@)"}]},
     {yield_mfa, 25,
      [{delete_all_objects_trap, "receive_any()", ?HELP "yield(receive_any(), {ets,internal_delete_all,2})"},
       {insert_trap_delete_run3, "receive_any()", ?HELP "yield(receive_any(), {ets,InsertFunc,2})"},
       {insert_trap_rename_run3, "receive_any()", ?HELP "yield(receive_any(), {ets,InsertFunc,2})"}]},
     {yield_never, 25,
      [{delete_all_objects_trap, "true = ets:delete_all_objects(T)",
        "true = " ?HELP "timed(fun() -> ets:delete_all_objects(T) end)"},
       {delete_all_objects_trap, "ct:fail(\"No trap detected\")", ?HELP "was_short()"}]},
     {yield_count, 25,
      [{delete_large_tab_2, "true = ets:delete(Tab)", "{DeleteUs, true} = timer:tc(fun() -> ets:delete(Tab) end)"},
       {delete_large_tab_2, "{_, 0, true}", "{_, 0, _}"},
       {delete_large_tab_2, "N >= 5", "N >= 5 orelse DeleteUs =< 20000 * (N + 1)"}]},
     {exit_scheds, 25, [{any, "true = XScheds >= 3", "true = XScheds >= 0"}]},
     {flxctr, 25, [{any, "erts_debug:get_internal_state(flxctr_memory_usage)", "notsup"}]},
     {vm_hooks, 25,
      [{any, "erts_debug:set_internal_state(ets_force_split, X@)",
        "(catch erts_debug:set_internal_state(ets_force_split, X@))"},
       {any, "erts_debug:set_internal_state(ets_debug_random_split_join, X@)",
        "(catch erts_debug:set_internal_state(ets_debug_random_split_join, X@))"}]},
     {error_top_frame, 25,
      [{any, "{ets,ActualF,ActualArgs,Info} = hd(Stk)",
        "{ActualF,ActualArgs,Info} = " ?HELP "top_frame(hd(Stk))"},
       {function, "check_badarg({'EXIT', {badarg, [Frame | _]}}, _M, F, Args) -> "
        "{F, Args, _} = " ?HELP "top_frame(Frame), true."}]},
     {error_exports, 25, [{eval_ets_bif_errors, "ets:module_info(exports)", ?HELP "exports_of_ets()"}]},
     {module_argument, 25,
      [{any, "equal_results(ets, F@, S@, O@, A@)", "equal_results(tsunami, F@, S@, O@, A@)"}]},
     {refc_binary, 27,
      [{any, "erts_debug:set_internal_state(binary, 61)", ?HELP "refc_binary()"}]}].

%% The changed forms, and what could not be applied: {Name, its change}.
apply(Forms, Otp) ->
    Changes = [{Name, Change} || {Name, Since, Changes} <- table(), Since =< Otp, Change <- Changes],
    lists:foldl(fun({Name, Change}, {Forms1, Failed}) ->
                        case change(Change, Forms1) of
                            {Forms2, 0} -> {Forms2, [{Name, Change} | Failed]};
                            {Forms2, _} -> {Forms2, Failed}
                        end
                end, {Forms, []}, Changes).

change({function, Text}, Forms) ->
    {function, _, Name, Arity, _} = New = parse(Text),
    lists:mapfoldl(fun({function, Anno, N, A, _}, Count) when N =:= Name, A =:= Arity ->
                           {at(Anno, New), Count + 1};
                      (Form, Count) ->
                           {Form, Count}
                   end, 0, Forms);
change({Where, From, To}, Forms) ->
    Pattern = expression(From),
    Template = expression(To),
    lists:mapfoldl(fun({function, _, Name, _, _} = Form, Count) when Where =:= any; Where =:= Name ->
                           rewrite(Form, Pattern, Template, Count);
                      (Form, Count) ->
                           {Form, Count}
                   end, 0, Forms).

%% What has been put in is not looked at again.
rewrite(Node, Pattern, Template, Count) when is_tuple(Node) ->
    case is_like(Node, Pattern) andalso match(Pattern, strip(Node), #{}) of
        #{} = Found -> {fill(at(element(2, Node), Template), Found), Count + 1};
        false ->
            {Parts, Count1} = rewrite(tuple_to_list(Node), Pattern, Template, Count),
            {list_to_tuple(Parts), Count1}
    end;
rewrite([Node | Nodes], Pattern, Template, Count) ->
    {Node1, Count1} = rewrite(Node, Pattern, Template, Count),
    {Nodes1, Count2} = rewrite(Nodes, Pattern, Template, Count1),
    {[Node1 | Nodes1], Count2};
rewrite(Other, _Pattern, _Template, Count) ->
    {Other, Count}.

%% Only nodes have an annotation to strip.
is_like(Node, Pattern) ->
    tuple_size(Node) =:= tuple_size(Pattern) andalso element(1, Node) =:= element(1, Pattern).

match({var, _, Name} = Var, Node, Found) ->
    case {lists:suffix("@", atom_to_list(Name)), Found} of
        {true, #{Name := Node}} -> Found;
        {true, #{Name := _}} -> false;
        {true, _} -> Found#{Name => Node};
        {false, _} when Var =:= Node -> Found;
        {false, _} -> false
    end;
match(Pattern, Node, Found) when is_tuple(Pattern), is_tuple(Node) ->
    match(tuple_to_list(Pattern), tuple_to_list(Node), Found);
match([P | Ps], [N | Ns], Found) ->
    case match(P, N, Found) of
        false -> false;
        Found1 -> match(Ps, Ns, Found1)
    end;
match(Same, Same, Found) ->
    Found;
match(_, _, _) ->
    false.

fill({var, _, Name} = Var, Found) -> maps:get(Name, Found, Var);
fill(Tuple, Found) when is_tuple(Tuple) -> list_to_tuple(fill(tuple_to_list(Tuple), Found));
fill([Head | Tail], Found) -> [fill(Head, Found) | fill(Tail, Found)];
fill(Other, _Found) -> Other.

expression(Text) ->
    {'function', _, _, _, [{clause, _, _, _, [Expression]}]} = parse("f() -> " ++ Text ++ "."),
    Expression.

parse(Text) ->
    {ok, Tokens, _} = erl_scan:string(lists:flatten(Text)),
    {ok, Form} = erl_parse:parse_form(Tokens),
    strip(Form).

strip(Node) -> at(0, Node).

at(Anno, Node) -> erl_parse:map_anno(fun(_) -> Anno end, Node).
