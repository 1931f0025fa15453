----------------------------- MODULE MCSnapshot -----------------------------
(* Bounds for Snapshot.tla: each scenario is a few threads with an operation or two. *)
EXTENDS Snapshot
CONSTANTS Scenario

O(op, ks) == [op |-> op, ks |-> ks]
V(of, ks) == [op |-> "vread", ks |-> ks, of |-> of]
Clear == O("clear", <<>>)
Table == [
    (* single writes of one key *)
    single  |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("put", <<1>>)>>, <<O("del", <<1>>)>>, <<O("snap", <<1, 1>>)>> >>],
    absent  |-> [keys |-> {1}, live |-> {}, roots |-> {1},
                 prog |-> << <<O("put", <<1>>), O("del", <<1>>)>>, <<O("put", <<1>>)>>, <<O("snap", <<1>>)>> >>],
    (* two keys, and who reads the latest *)
    keys    |-> [keys |-> {1, 2}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("put", <<1>>), O("put", <<2>>)>>, <<O("snap", <<2, 1>>)>>, <<O("read", <<2, 1>>)>> >>],
    (* a hot key under two snapshots *)
    hot     |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("put", <<1>>), O("put", <<1>>)>>, <<O("snap", <<>>)>>, <<O("snap", <<>>)>> >>],
    (* ... and one snapshot after the other: what the first has left is swept while the second is held *)
    again   |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("put", <<1>>), O("del", <<1>>), O("put", <<1>>)>>, <<O("snap", <<>>), O("snap", <<>>)>> >>],
    (* lists *)
    list    |-> [keys |-> {1, 2}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("snap", <<1, 2>>)>>, <<O("read", <<2, 1>>)>> >>],
    under   |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("list", <<1>>)>>, <<O("put", <<1>>)>>, <<O("snap", <<1>>)>> >>],
    gone    |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("list", <<1>>)>>, <<O("del", <<1>>)>>, <<O("snap", <<1>>)>> >>],
    lists   |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("list", <<1>>)>>, <<O("list", <<1>>)>>, <<O("snap", <<1>>)>> >>],
    between |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("list", <<1>>)>>, <<O("snap", <<>>)>>, <<O("snap", <<>>)>> >>],
    (* a list that is given up: what was under it comes back, perhaps after the sweep *)
    aborted |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("del", <<1>>), O("abort", <<1>>)>>, <<O("snap", <<1>>)>> >>],
    undone  |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("abort", <<1>>)>>, <<O("put", <<1>>)>>, <<O("snap", <<1>>)>> >>],
    (* clearing *)
    clear   |-> [keys |-> {1}, live |-> {1}, roots |-> {1, 2},
                 prog |-> << <<Clear>>, <<O("put", <<1>>)>>, <<O("snap", <<1, 1>>)>> >>],
    cleared |-> [keys |-> {1}, live |-> {1}, roots |-> {1, 2},
                 prog |-> << <<Clear>>, <<O("list", <<1>>)>>, <<O("snap", <<>>)>> >>],
    (* a view that is released while it is read *)
    release |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("put", <<1>>)>>, <<O("snap", <<1>>)>>, <<V(21, <<1>>)>> >>],
    (* a snapshot that is announced and never taken *)
    cancel  |-> [keys |-> {1}, live |-> {1}, roots |-> {1},
                 prog |-> << <<O("put", <<1>>), O("del", <<1>>)>>, <<O("cancel", <<>>)>>, <<O("snap", <<1>>)>> >>]]
S == Table[Scenario]
MCKeys == S.keys
MCThreads == 1..Len(S.prog)
MCProg == S.prog
MCLive0 == S.live
MCRoots == S.roots
=============================================================================
