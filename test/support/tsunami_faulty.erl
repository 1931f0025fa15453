%% tsunami_faulty: ets with a fault planted in it, which a checker must find.
%%
%% fault/1 picks one: none, stale_reads (a process now and then gets what it had read before), lost_insert (one in fifty), loose_delete (delete_object
%% by == instead of =:=), size (delete forgets to count), half_list (a reader can come between the halves of a list), missed (searches do
%% not find what matches the last of several clauses).
-module(tsunami_faulty).
-export([fault/1, '$handle_undefined_function'/2]).

fault(Fault) -> persistent_term:put(?MODULE, Fault).

'$handle_undefined_function'(Function, Args) ->
    faulty(persistent_term:get(?MODULE, none), Function, Args).

faulty(stale_reads, lookup, [T, K]) ->
    Calls = case get({?MODULE, T, K}) of
                undefined -> [];
                Before -> Before
            end,
    Answer = case length(Calls) rem 4 of
                 3 -> hd(Calls);
                 _ -> ets:lookup(T, K)
             end,
    put({?MODULE, T, K}, [Answer | Calls]),
    Answer;
faulty(lost_insert, insert, [T, O]) when is_tuple(O) ->
    case rand:uniform(50) of
        1 -> ets:member(T, 0), true;
        _ -> ets:insert(T, O)
    end;
faulty(loose_delete, delete_object, [T, O]) when tuple_size(O) > 0 ->
    [ets:delete_object(T, Other) || Other <- ets:tab2list(T), Other == O],
    ets:delete_object(T, O);
faulty(size, info, [T, size]) ->
    case ets:info(T, size) of
        3 -> 4;
        N -> N
    end;
faulty(half_list, insert, [T, L]) when is_list(L) ->
    {A, B} = lists:split(length(L) div 2, L),
    ets:insert(T, A),
    erlang:yield(),
    ets:insert(T, B);
faulty(missed, select, [T, [_, _ | _] = Spec]) ->
    ets:select(T, lists:droplast(Spec));
faulty(_, Function, Args) ->
    tsunami_test:call(ets, Function, Args).
