%% ct: what ets_SUITE calls of common_test. The time of a case is limited from outside.
-module(ct).
-export([fail/1, fail/2, log/1, log/2, pal/2, timetrap/1, sleep/1]).

fail(Reason) -> exit({test_case_failed, Reason}).

fail(Format, Args) -> fail(lists:flatten(io_lib:format(Format, Args))).

log(Text) -> log(Text, []).

log(Format, Args) -> io:format(Format ++ "~n", Args).

pal(Format, Args) -> log(Format, Args).

timetrap(_Time) -> ok.

sleep(Ms) -> timer:sleep(Ms).
