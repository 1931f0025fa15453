------------------------------ MODULE MCBpTree ------------------------------
(* Bounds for BpTree.tla: leaves of two keys. *)
EXTENDS BpTree
CONSTANT Scenario
O(op, k) == [op |-> op, k |-> k]
Table == [
    (* two inserts into a full leaf, and a reader *)
    split  |-> [start |-> << {1, 3} >>,
                prog |-> << <<O("put", 2)>>, <<O("put", 4)>>, <<O("find", 3)>> >>],
    (* a leaf splits and its keys change *)
    change |-> [start |-> << {1, 2} >>,
                prog |-> << <<O("put", 3)>>, <<O("put", 2), O("del", 1)>>, <<O("find", 2)>> >>],
    (* one key inserted twice, deleted, and read *)
    same   |-> [start |-> << {1} >>,
                prog |-> << <<O("put", 2)>>, <<O("put", 2), O("del", 2)>>, <<O("find", 2)>> >>],
    (* two leaves merge, with a writer and a reader *)
    merge  |-> [start |-> << {1}, {3} >>,
                prog |-> << <<O("merge", 0)>>, <<O("put", 3)>>, <<O("find", 3), O("find", 3)>> >>],
    grow   |-> [start |-> << {1}, {3} >>,
                prog |-> << <<O("merge", 0)>>, <<O("put", 4), O("put", 2)>> >>],
    (* a key in the tail, which no content names yet, while its leaf merges or changes *)
    named  |-> [start |-> << {1}, {3} >>,
                prog |-> << <<O("merge", 0)>>, <<O("put", 4)>>, <<O("del", 3), O("find", 4)>> >>],
    claims |-> [start |-> << {} >>,
                prog |-> << <<O("put", 2), O("find", 2)>>, <<O("put", 3)>>, <<O("put", 2)>> >>],
    (* a leaf splits before its tail is folded *)
    fold   |-> [start |-> << {1} >>,
                prog |-> << <<O("put", 2)>>, <<O("put", 3)>> >>],
    (* a writer comes by the left neighbour while the parent still leads to the merged leaf *)
    enter  |-> [start |-> << {1, 2} >>,
                prog |-> << <<O("put", 3), O("merge", 0)>>, <<O("put", 2), O("find", 2)>> >>],
    shrink |-> [start |-> << {1, 2}, {3} >>,
                prog |-> << <<O("merge", 0)>>, <<O("del", 3)>>, <<O("put", 3), O("find", 3)>> >>],
    (* a walk past a split and a merge *)
    walk   |-> [start |-> << {1, 2}, {3} >>,
                prog |-> << <<O("walk", 0)>>, <<O("put", 4), O("del", 2)>>, <<O("merge", 0)>> >>]]
S == Table[Scenario]
MCThreads == 1..Len(S.prog)
MCProg == S.prog
MCStart == S.start
(* No two threads make blocks without end: each insertion that finds a cell ends. *)
Small == Len(cells) <= 9
Bounded == Len(cells) <= 8
=============================================================================
