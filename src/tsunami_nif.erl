%% tsunami_nif: stubs of the functions that c_src/nif provides, and the only load_nif.
%%
%% Each raises {tsunami_badarg, Cause} or {tsunami_error, Reason}; tsunami.erl makes of it
%% the error of the function that the user has called.
%%
%% If the library cannot be loaded, the module is loaded all the same, and each call says in words
%% why not: a module that is missing altogether would say `undef`, which helps nobody. An upgrade whose library
%% does not load is refused, and what ran before goes on.
-module(tsunami_nif).

-include("tsunami_doc.hrl").
?MODULEDOC("Stubs of the NIF library. Use `m:tsunami` instead.").

-export([loaded/0, describe/3]).
-export([new/10, delete/1, rename/2, whereis/1, all/0, info/1, info/2, setopts_heir/2,
         setopts_protection/2, give_away/3, safe_fixtable/2]).
-export([insert/2, insert_new/2, lookup/2, lookup_element/3, lookup_element/4, member/2, delete/2,
         delete_object/2, delete_all_objects/1, take/2, update_counter/3, update_counter/4,
         update_element/3, update_element/4]).
-export([first/1, last/1, next/2, prev/2, first_lookup/1, last_lookup/1, next_lookup/2,
         prev_lookup/2, slot/2, objects/5]).
%% For tsunami_x
-export([lookup_many/3, lookup_elements/3, take_first/1, take_last/1, compare_and_swap/4, select_take/3]).
%% Match specifications
-export([search/3, chunk/5, range/4, compile/1, run/3, source/1, is_compiled/1, explain/2]).
-export([snapshot/1, release/1]).
-export([anchor/1, unanchor/2]).
-export([stats/0, sync/0]).

-on_load(load/0).

-define(FAILED, {?MODULE, not_loaded}).
-define(STUB, erlang:nif_error({tsunami_nif_not_loaded, persistent_term:get(?FAILED, "")})).

load() ->
    Path = path(),
    case erlang:load_nif(Path, 0) of
        ok ->
            persistent_term:erase(?FAILED),
            ok;
        {error, {Reason, Text}} ->
            Message = describe(Reason, Text, Path),
            case erlang:module_loaded(?MODULE) of
                true ->
                    {error, {Reason, Message}};
                false ->
                    persistent_term:put(?FAILED, Message),
                    ok
            end
    end.

?DOC("`ok`, or in words why the library could not be loaded.").
-spec loaded() -> ok | {error, string()}.
loaded() ->
    case persistent_term:get(?FAILED, none) of
        none -> ok;
        Message -> {error, Message}
    end.

%% The library without its extension. TSUNAMI_NIF names another one, such as a build with sanitizers.
path() ->
    case os:getenv("TSUNAMI_NIF") of
        Path when Path =/= false, Path =/= "" -> filename:rootname(Path, ".so");
        _ -> filename:join(priv_dir(), "tsunami_nif")
    end.

priv_dir() ->
    case code:priv_dir(tsunami) of
        Dir when is_list(Dir) ->
            Dir;
        {error, bad_name} ->
            case code:which(?MODULE) of
                Beam when is_list(Beam), Beam =/= "" ->
                    filename:join(filename:dirname(filename:dirname(filename:absname(Beam))), "priv");
                _ ->
                    "priv"
            end
    end.

?DOC("What a refusal of `erlang:load_nif/2` means, and what to do about it.").
-spec describe(Reason :: atom(), Text :: string(), Path :: file:filename()) -> string().
describe(Reason, Text, Path) ->
    File = Path ++ ".so",
    Words =
        case {Reason, filelib:is_regular(File)} of
            {load_failed, false} ->
                ["there is no ", File, ". Build it with `make`, or set TSUNAMI_NIF to where it is."];
            {load_failed, true} ->
                [File, " cannot be loaded: it is damaged, built for another system, or needs a library "
                       "that is not installed. Build it again with `make clean all`."];
            {bad_lib, true} ->
                [File, " does not fit this release of Erlang (NIF version ",
                 erlang:system_info(nif_version), ") or this version of Tsunami. "
                 "Build it again with `make clean all`."];
            {upgrade, _} ->
                [File, " cannot take over the tables of the library that is running. "
                       "The running one stays."];
            {load, _} ->
                [File, " refused to start: the machine lacks something that it needs, memory first of all."];
            {_, _} ->
                [File, " was refused (", atom_to_list(Reason), ")."]
        end,
    lists:flatten(["Tsunami's library is not loaded: ", Words, " The system says: ", Text]).

new(_Name, _Named, _Type, _Protection, _KeyPos, _Heir, _ReadConcurrency, _WriteConcurrency,
    _DecentralizedCounters, _Compressed) -> ?STUB.
delete(_T) -> ?STUB.
rename(_T, _Name) -> ?STUB.
whereis(_Name) -> ?STUB.
all() -> ?STUB.
info(_T) -> ?STUB.
info(_T, _Item) -> ?STUB.
setopts_heir(_T, _Heir) -> ?STUB.
setopts_protection(_T, _Protection) -> ?STUB.
give_away(_T, _Pid, _Data) -> ?STUB.
safe_fixtable(_T, _Fix) -> ?STUB.

snapshot(_T) -> ?STUB.
release(_View) -> ?STUB.

insert(_T, _Objects) -> ?STUB.
insert_new(_T, _Objects) -> ?STUB.
lookup(_T, _Key) -> ?STUB.
lookup_element(_T, _Key, _Pos) -> ?STUB.
lookup_element(_T, _Key, _Pos, _Default) -> ?STUB.
member(_T, _Key) -> ?STUB.
delete(_T, _Key) -> ?STUB.
delete_object(_T, _Object) -> ?STUB.
delete_all_objects(_T) -> ?STUB.
take(_T, _Key) -> ?STUB.
update_counter(_T, _Key, _Ops) -> ?STUB.
update_counter(_T, _Key, _Ops, _Default) -> ?STUB.
update_element(_T, _Key, _Spec) -> ?STUB.
update_element(_T, _Key, _Spec, _Default) -> ?STUB.

first(_T) -> ?STUB.
last(_T) -> ?STUB.
next(_T, _Key) -> ?STUB.
prev(_T, _Key) -> ?STUB.
first_lookup(_T) -> ?STUB.
last_lookup(_T) -> ?STUB.
next_lookup(_T, _Key) -> ?STUB.
prev_lookup(_T, _Key) -> ?STUB.
slot(_T, _I) -> ?STUB.
objects(_T, _Cursor, _Direction, _Max, _Acc) -> ?STUB.

lookup_many(_T, _Keys, _Acc) -> ?STUB.
lookup_elements(_T, _Key, _Positions) -> ?STUB.
take_first(_T) -> ?STUB.
take_last(_T) -> ?STUB.
compare_and_swap(_T, _Key, _Expected, _New) -> ?STUB.
select_take(_T, _Spec, _Max) -> ?STUB.

search(_T, _Spec, _Mode) -> ?STUB.
chunk(_T, _Spec, _Mode, _Cursor, _Max) -> ?STUB.
range(_T, _Range, _Mode, _Max) -> ?STUB.
compile(_Spec) -> ?STUB.
run(_Compiled, _List, _Acc) -> ?STUB.
source(_Compiled) -> ?STUB.
is_compiled(_Term) -> ?STUB.
explain(_T, _Spec) -> ?STUB.

%% For tsunami_owner.
anchor(_T) -> ?STUB.
unanchor(_T, _Given) -> ?STUB.

%% For tests and for people: counters of the engine; wait until all that was deleted has been freed.
stats() -> ?STUB.
sync() -> ?STUB.
