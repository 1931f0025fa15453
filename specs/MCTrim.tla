------------------------------- MODULE MCTrim -------------------------------
(* Bounds for Trim.tla: each scenario is a few threads with an operation or two. *)
EXTENDS Trim
CONSTANTS Scenario
Table == [
    (* a reader, and what lies over its version is trimmed meanwhile *)
    read    |-> << <<"put", "put">>, <<"snap">> >>,
    gone    |-> << <<"del", "put">>, <<"snap">> >>,
    (* two writers trim one chain *)
    hot     |-> << <<"put">>, <<"put">>, <<"hold">> >>,
    cross   |-> << <<"put", "del">>, <<"put">>, <<"hold">> >>,
    (* two snapshots: what the one leaves is swept while the other is held *)
    two     |-> << <<"put", "put">>, <<"hold">>, <<"hold">> >>,
    again   |-> << <<"put", "del">>, <<"hold", "hold">> >>,
    (* a tombstone, and a writer who comes late with one *)
    tombs   |-> << <<"del">>, <<"hold">>, <<"hold">> >>]
MCThreads == 1..Len(Table[Scenario])
MCProg == Table[Scenario]
=============================================================================
