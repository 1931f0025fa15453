%% ct_event: nobody listens to the figures of benchmarks here.
-module(ct_event).
-export([notify/1]).

notify(_Event) -> ok.
