--------------------------------- MODULE Ebr ---------------------------------
(* Epochs: c_src/engine/mem/ebr.h. One piece of memory is shown in a cell, is removed and retired, may be shown
   again by a late helper, and is freed when Grace epochs have passed.

   Readers   pin, read the cell, look at what they found, unpin; again and again.
   Remover   pins, empties the cell, retires the piece with the epoch it reads *after* that, unpins.
   Helpers   pin while the piece is in use, keep its pointer, put it back into the empty cell once, take it out
             again, unpin.
   Collector advances the epoch by looking at one thread after the other, and frees.

   Pinning reads the epoch, and stores it later: it may be old by then. The store comes with a full fence, so
   that the cell is read after everyone can see the pin.
   Bug       a planted mistake, or "none".                                                            *)
EXTENDS Integers, FiniteSets

CONSTANTS Readers, Helpers, Grace, MaxEpoch, Bug
VARIABLES epoch, pin, shown, tag, freed, pc, reg, hold, vis, scan, scanEpoch, again
vars == <<epoch, pin, shown, tag, freed, pc, reg, hold, vis, scan, scanEpoch, again>>

Remover == 0      \* the others are numbered from 1
Threads == Readers \cup Helpers \cup {Remover}

Init == /\ epoch = 1
        /\ pin = [t \in Threads |-> 0]          \* what others see; 0: not pinned
        /\ shown = TRUE                         \* the cell leads to the piece
        /\ tag = 0                              \* the epoch it was retired in; 0: it was not
        /\ freed = FALSE
        /\ pc = [t \in Threads |-> "out"]
        /\ reg = [t \in Threads |-> 0]          \* the epoch that the thread has read
        /\ hold = [t \in Threads |-> FALSE]     \* has a pointer to the piece
        /\ vis = [t \in Threads |-> 0]          \* history: the epoch when the pin could be seen
        /\ scan = 0 /\ scanEpoch = 0            \* the collector: whom it looks at next, for which epoch
        /\ again = Helpers                      \* helpers that have not shown it again yet

Go(t, s) == pc' = [pc EXCEPT ![t] = s]
Rest == UNCHANGED <<epoch, tag, freed, scan, scanEpoch, again>>

ReadEpoch(t) == /\ pc[t] = "out" /\ (t = Remover => tag = 0 /\ shown)
                /\ reg' = [reg EXCEPT ![t] = epoch]
                /\ Go(t, IF Bug = "late_pin" /\ t \in Readers THEN "look" ELSE "pin")
                /\ UNCHANGED <<pin, shown, hold, vis>> /\ Rest
Pin(t) == /\ pc[t] = "pin"
          /\ pin' = [pin EXCEPT ![t] = reg[t]]
          /\ vis' = [vis EXCEPT ![t] = epoch]
          /\ Go(t, IF Bug = "late_pin" /\ t \in Readers THEN "use" ELSE "look")
          /\ UNCHANGED <<shown, reg, hold>> /\ Rest
Look(t) == /\ pc[t] = "look"
           /\ hold' = [hold EXCEPT ![t] = shown]
           /\ Go(t, CASE Bug = "late_pin" /\ t \in Readers -> "pin"
                      [] t = Remover -> "remove"
                      [] OTHER -> "use")
           /\ reg' = IF Bug = "tag_before_removal" /\ t = Remover THEN [reg EXCEPT ![t] = epoch] ELSE reg
           /\ UNCHANGED <<pin, shown, vis>> /\ Rest
(* A piece that is held may be looked at any number of times: Safe speaks of that. *)
Leave(t) == /\ pc[t] \in {"use", "hidden"}
            /\ pin' = [pin EXCEPT ![t] = 0]
            /\ hold' = [hold EXCEPT ![t] = FALSE]
            /\ reg' = [reg EXCEPT ![t] = 0] /\ vis' = [vis EXCEPT ![t] = 0]
            /\ Go(t, "out")
            /\ UNCHANGED shown /\ Rest
Remove == /\ pc[Remover] = "remove"
          /\ shown' = FALSE
          /\ Go(Remover, "retire")
          /\ UNCHANGED <<pin, reg, hold, vis>> /\ Rest
Retire == /\ pc[Remover] = "retire"
          /\ tag' = IF Bug \in {"tag_of_pin", "tag_before_removal"} THEN reg[Remover] ELSE epoch
          /\ hold' = [hold EXCEPT ![Remover] = FALSE]
          /\ Go(Remover, "hidden")
          /\ UNCHANGED <<epoch, pin, shown, freed, reg, vis, scan, scanEpoch, again>>
Show(t) == /\ t \in Helpers /\ pc[t] = "use" /\ hold[t] /\ t \in again /\ ~shown
           /\ shown' = TRUE /\ again' = again \ {t}
           /\ Go(t, IF Bug = "no_hide" THEN "hidden" ELSE "shown")
           /\ UNCHANGED <<epoch, pin, tag, freed, reg, hold, vis, scan, scanEpoch>>
Hide(t) == /\ t \in Helpers /\ pc[t] = "shown"
           /\ shown' = FALSE
           /\ Go(t, "hidden")
           /\ UNCHANGED <<pin, reg, hold, vis>> /\ Rest
(* The collector. *)
ScanBegin == /\ scanEpoch = 0 /\ epoch < MaxEpoch
             /\ scanEpoch' = epoch /\ scan' = 0
             /\ UNCHANGED <<epoch, pin, shown, tag, freed, pc, reg, hold, vis, again>>
ScanOne(t) == /\ scanEpoch # 0 /\ t = scan
              /\ IF pin[t] \in {0, scanEpoch} \/ Bug = "no_scan"
                 THEN scan' = scan + 1 /\ UNCHANGED scanEpoch
                 ELSE scan' = 0 /\ scanEpoch' = 0
              /\ UNCHANGED <<epoch, pin, shown, tag, freed, pc, reg, hold, vis, again>>
Advance == /\ scanEpoch # 0 /\ scan = Cardinality(Threads)
           /\ epoch' = IF epoch = scanEpoch THEN epoch + 1 ELSE epoch
           /\ scan' = 0 /\ scanEpoch' = 0
           /\ UNCHANGED <<pin, shown, tag, freed, pc, reg, hold, vis, again>>
Free == /\ tag # 0 /\ ~freed /\ epoch >= tag + Grace
        /\ freed' = TRUE
        /\ UNCHANGED <<epoch, pin, shown, tag, pc, reg, hold, vis, scan, scanEpoch, again>>

Next == \/ \E t \in Threads : ReadEpoch(t) \/ Pin(t) \/ Look(t) \/ Leave(t) \/ Show(t) \/ Hide(t) \/ ScanOne(t)
        \/ Remove \/ Retire \/ ScanBegin \/ Advance \/ Free
Spec == Init /\ [][Next]_vars

TypeOK == epoch \in 1..MaxEpoch /\ tag \in 0..MaxEpoch /\ \A t \in Threads : pin[t] \in 0..MaxEpoch
(* E1: while a pin can be seen, the epoch goes on by one at most. *)
E1 == \A t \in Threads : pin[t] # 0 => epoch <= vis[t] + 1
(* E2: what somebody holds while pinned is not freed; nor is what the cell shows. *)
Safe == freed => \A t \in Threads : ~(hold[t] /\ pin[t] # 0)
NotShown == freed => ~shown
=============================================================================
