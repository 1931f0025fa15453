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
    (* a version in its cell, not in the tree yet, while its leaf merges or changes *)
    named  |-> [start |-> << {1}, {3} >>,
                prog |-> << <<O("merge", 0)>>, <<O("put", 4)>>, <<O("del", 3), O("find", 4)>> >>],
    claims |-> [start |-> << {} >>,
                prog |-> << <<O("put", 2), O("find", 2)>>, <<O("put", 3)>>, <<O("put", 2)>> >>],
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
(* Two inserters and one free cell: one claims it, the other rewrites the leaf and spoils the claim, and so on without
   end. The code has more free cells in a fresh leaf than there are threads that insert there; here the number of blocks is
   cut off. With one inserter at a time no such thing may happen: Bounded. *)
Small == Len(cells) <= IF Scenario \in {"same", "claims"} THEN 3 ELSE 8
Bounded == Scenario \in {"merge", "grow", "named", "shrink", "walk"} => Len(cells) <= 8
=============================================================================
