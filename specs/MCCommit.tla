------------------------------ MODULE MCCommit ------------------------------
(* Bounds for Commit.tla: each scenario is a few threads with an operation or two. *)
EXTENDS Commit
CONSTANTS Scenario

O(op, ks) == [op |-> op, ks |-> ks]
Table == [
    (* two lists over the same keys, and a writer *)
    lists   |-> [keys |-> {1, 2}, live |-> {1}, kill |-> {},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("list", <<1, 2>>)>>, <<O("put", <<1>>)>> >>],
    (* ... one of them killed, and a reader *)
    killed  |-> [keys |-> {1, 2}, live |-> {1}, kill |-> {1},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("list", <<1>>)>>, <<O("read", <<1>>)>> >>],
    (* late helpers: a list that another one helps, while it is killed or ends and its keys change again *)
    helped  |-> [keys |-> {1, 2}, live |-> {1}, kill |-> {1},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("list", <<1>>)>>, <<O("put", <<2>>)>> >>],
    empty   |-> [keys |-> {1, 2}, live |-> {}, kill |-> {},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("list", <<1>>)>>, <<O("del", <<2>>), O("read", <<2>>)>> >>],
    (* writes under a list, and a reader of both keys *)
    under   |-> [keys |-> {1}, live |-> {1}, kill |-> {},
                 prog |-> << <<O("list", <<1>>)>>, <<O("put", <<1>>)>>, <<O("del", <<1>>)>>, <<O("read", <<1>>)>> >>],
    (* ... under one that is killed *)
    aborted |-> [keys |-> {1}, live |-> {1}, kill |-> {1},
                 prog |-> << <<O("list", <<1>>)>>, <<O("put", <<1>>)>>, <<O("del", <<1>>), O("read", <<1>>)>> >>],
    reads   |-> [keys |-> {1, 2}, live |-> {}, kill |-> {},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("put", <<2>>)>>, <<O("read", <<1, 2>>)>>, <<O("read", <<2, 1>>)>> >>],
    (* insert_new of lists: against each other, against writers *)
    new     |-> [keys |-> {1, 2}, live |-> {}, kill |-> {},
                 prog |-> << <<O("listnew", <<1, 2>>)>>, <<O("listnew", <<1, 2>>)>>, <<O("put", <<2>>)>> >>],
    newdel  |-> [keys |-> {1, 2}, live |-> {2}, kill |-> {},
                 prog |-> << <<O("listnew", <<1, 2>>)>>, <<O("del", <<2>>)>>, <<O("new", <<1>>)>> >>],
    (* snapshots: against single writes, a list, a list with a write under it *)
    single  |-> [keys |-> {1}, live |-> {1}, kill |-> {},
                 prog |-> << <<O("put", <<1>>)>>, <<O("del", <<1>>)>>, <<O("snap", <<1, 1>>)>> >>],
    snap    |-> [keys |-> {1, 2}, live |-> {1}, kill |-> {},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("put", <<1>>)>>, <<O("snap", <<1, 2, 1>>)>> >>],
    snaps   |-> [keys |-> {1, 2}, live |-> {1}, kill |-> {},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("snap", <<1, 2>>)>>, <<O("snap", <<2, 1>>)>> >>],
    mine    |-> [keys |-> {1}, live |-> {1}, kill |-> {},
                 prog |-> << <<O("list", <<1>>)>>, <<O("put", <<1>>)>>, <<O("read", <<1>>), O("snap", <<1>>)>> >>],
    (* who saw a write, then missed a list: no snapshot may say the contrary *)
    fork    |-> [keys |-> {1, 2}, live |-> {}, kill |-> {},
                 prog |-> << <<O("list", <<1>>)>>, <<O("put", <<2>>)>>, <<O("read", <<2, 1>>)>>, <<O("snap", <<1, 2>>)>> >>],
    (* progress: whichever one thread stands still *)
    alive   |-> [keys |-> {1, 2}, live |-> {}, kill |-> {},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("listnew", <<1>>)>>, <<O("put", <<1>>)>> >>],
    (* planted: lists that install in different orders *)
    crossed |-> [keys |-> {1, 2}, live |-> {}, kill |-> {},
                 prog |-> << <<O("list", <<1, 2>>)>>, <<O("list", <<2, 1>>)>> >>]]
S == Table[Scenario]
MCKeys == S.keys
MCThreads == 1..Len(S.prog)
MCProg == S.prog
MCLive0 == S.live
MCKillable == S.kill
=============================================================================
