%% tsunami_face.hrl: errors as ets raises them, for the modules that users call: the top frame is the function that was called, with
%% all its arguments, and its error_info leads to a text (tsunami_errors.erl).
-define(BADARG(Cause, Args),
        erlang:error(badarg, Args, [{error_info, #{module => tsunami_errors, cause => Cause}}])).

%% As a macro, for the top frame of the error has to be that of the function which uses it.
-define(FACE(Args, Call),
        try
            Call
        catch
            error:{tsunami_badarg, {foreign, Ref}} ->
                ?BADARG(tsunami_owner:foreign(Ref), Args);
            error:{tsunami_badarg, Cause} when Cause =/= none, Cause =/= badopt ->
                ?BADARG(Cause, Args);
            error:{tsunami_badarg, _} ->
                erlang:error(badarg, Args, [{error_info, #{module => tsunami_errors}}]);
            error:{tsunami_error, Reason} ->
                erlang:error(Reason, Args, [{error_info, #{module => tsunami_errors}}])
        end).
