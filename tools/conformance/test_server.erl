%% test_server: what the macros of common_test's headers call.
-module(test_server).
-export([start_peer/3, lookup_config/2]).

start_peer(_Options, _Module, _Function) -> conformance_case:start_peer().

lookup_config(Key, Config) -> proplists:get_value(Key, Config).
