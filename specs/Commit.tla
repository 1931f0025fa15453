------------------------------- MODULE Commit -------------------------------
(* The clock and the commit record: ARCHITECTURE.md, "Cells and versions".

   Every action reads or changes one shared word, as the code does; what is computed between two such
   steps is part of the first. An operation begins with its first and ends with its last access.

   Words     a cell or an `under` holds a version (> 0) or an empty word (< 0) whose number is its
             stamp. Memory is never reused here: that a pinned thread sees to it is Ebr.tla's part.
   Versions  number 100 t + 10 i + k: made by operation i of thread t for key k. Versions 1..9 are there
             at the start. Operation 10 t + i of a list is its commit record.
   Effects   eff[k] is the history of key k, written at the points where operations take effect; what the
             memory says must agree with its end in every state (CurrentOK), and all answers with it.

   Proto     how a commit gets its time.
             "decide": PENDING -> COMMITTED without a time -> COMMITTED(ts). Who meets a commit without
                       a time gives it one, as with an UNDECIDED version.
             "push":   PENDING(m) -> COMMITTED(max(m, clock)). Who meets PENDING(m) first raises m to the clock.
   Bug       a planted mistake, or "none".                                                        *)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS Keys, Threads, Prog, Live0, Killable, Stuck, HelperSettles, Proto, Bug

VARIABLES clock, cell, hdr, under, state, announced, stamp,     \* shared memory
          th,                                                   \* registers of the threads
          eff, begun, done, bad                                 \* history
shared == <<clock, cell, hdr, under, state, announced, stamp>>
vars == <<clock, cell, hdr, under, state, announced, stamp, th, eff, begun, done, bad>>

Range(s) == {s[i] : i \in DOMAIN s}
Max(S) == CHOOSE x \in S : \A y \in S : y <= x
Min(S) == CHOOSE x \in S : \A y \in S : x <= y

Single == {"put", "del", "new"}
Batch  == {"list", "listnew"}
Ops    == UNION {{10 * t + i : i \in 1..Len(Prog[t])} : t \in Threads}
OpAt(o) == Prog[o \div 10][o % 10]
Vid(o, k) == 10 * o + k
VOp(v) == v \div 10
VKey(v) == v % 10
Commits == {o \in Ops : OpAt(o).op \in Batch}
Entries == UNION {{Vid(o, k) : k \in Range(OpAt(o).ks)} : o \in Commits}
Versions == {k \in Keys : k \in Live0} \cup Entries
            \cup {Vid(o, OpAt(o).ks[1]) : o \in {x \in Ops : OpAt(x).op \in Single}}
IsEntry(v) == v >= 100 /\ OpAt(VOp(v)).op \in Batch
Live(w) == w > 0 /\ (w < 10 \/ OpAt(VOp(w)).op # "del")
Last(k) == eff[k][Len(eff[k])]
Pos(k, w) == CHOOSE i \in 1..Len(eff[k]) : eff[k][i] = w
Has(k, w) == \E i \in 1..Len(eff[k]) : eff[k][i] = w

(* What a reader who is alone would find. *)
RECURSIVE Resolve(_)
Resolve(w) == IF w <= 0 THEN w
              ELSE IF hdr[w].tag = "entry" /\ state[VOp(w)].st # "com" THEN Resolve(under[w].w)
              ELSE w

First(op) == CASE op \in Single -> "w1"
               [] op \in Batch  -> "h1"
               [] op = "read"   -> "r0"
               [] op = "snap"   -> "s0"
(* Registers at the beginning of operation i of a thread; the answers stay. *)
Fresh(t, i, ans) ==
    [pc  |-> IF i > Len(Prog[t]) THEN "end" ELSE First(Prog[t][i].op),
     i   |-> i, loc |-> 0, w |-> 0, c |-> 0, d |-> FALSE, ret |-> "", tgt |-> 0, u |-> 0, m |-> 0,
     stk |-> IF i <= Len(Prog[t]) /\ Prog[t][i].op \in Batch
             THEN << [c |-> 10 * t + i, j |-> 1] >> ELSE <<>>,
     j   |-> 1, s |-> -1, from |-> 0, ans |-> ans, pre |-> {}, run |-> {}]

Init ==
    /\ clock = 1
    /\ cell = [k \in Keys |-> IF k \in Live0 THEN k ELSE -k]
    /\ hdr = [v \in Versions |-> IF v < 10 THEN [tag |-> "ts", ts |-> 0, old |-> 0]
                                 ELSE IF v \in Entries THEN [tag |-> "entry", ts |-> 0, old |-> 0]
                                 ELSE [tag |-> "new", ts |-> 0, old |-> 0]]
    /\ under = [v \in Entries |-> [w |-> 0, fz |-> FALSE]]
    /\ state = [c \in Commits |-> [st |-> "pend", ts |-> 0]]
    /\ announced = {}
    /\ stamp = 10
    /\ th = [t \in Threads |-> Fresh(t, 1, <<>>)]
    /\ eff = [k \in Keys |-> << IF k \in Live0 THEN k ELSE -k >>]
    /\ begun = {} /\ done = {} /\ bad = "none"

MyOp(t) == 10 * t + th[t].i
Op(t) == Prog[t][th[t].i]
Begin(t) == begun' = begun \cup {MyOp(t)}
Flag(ok, name) == bad' = IF ok \/ bad # "none" THEN bad ELSE name
NoHist == UNCHANGED <<eff, begun, done, bad>>

(* On to another step; registers that nobody will read again are cleared, to have fewer states. *)
Tidy(r, pc) == [r EXCEPT !.pc = pc, !.d = FALSE, !.tgt = 0, !.ret = "", !.m = 0,
                         !.c = IF pc \in {"e2", "e3", "w4"} THEN @ ELSE 0,
                         !.u = IF pc \in {"h3", "h4", "h5", "h6", "h7"} THEN @ ELSE 0,
                         !.w = IF pc \in {"h1", "h2", "hend", "k1", "w1", "w6"} THEN 0 ELSE @]
Jump(t, pc) == th' = [th EXCEPT ![t] = Tidy(@, pc)]
Finish(t) == /\ th' = [th EXCEPT ![t] = Fresh(t, @.i + 1, @.ans)]
             /\ done' = done \cup {MyOp(t)}
Same(a, b) == IF Bug = "no_stamp" THEN a = b \/ (a < 0 /\ b < 0) ELSE a = b

(* ------------------------------------------------ giving a version its time *)
CallDecide(t, v, ret) ==
    th' = [th EXCEPT ![t].pc = "d1", ![t].tgt = v, ![t].ret = ret]
D1(t) == /\ th[t].pc = "d1"
         /\ th' = IF Bug = "announced_first"
                  THEN [th EXCEPT ![t].pc = "d2", ![t].d = (announced = {})]
                  ELSE [th EXCEPT ![t].pc = "d2", ![t].c = clock]
         /\ UNCHANGED shared /\ NoHist
D2(t) == /\ th[t].pc = "d2"
         /\ th' = IF Bug = "announced_first"
                  THEN [th EXCEPT ![t].pc = "d3", ![t].c = clock]
                  ELSE [th EXCEPT ![t].pc = "d3", ![t].d = (announced = {})]
         /\ UNCHANGED shared /\ NoHist
D3(t) == /\ th[t].pc = "d3"
         /\ LET me == th[t]  h == hdr[me.tgt] IN
            /\ hdr' = IF h.tag = "und"
                      THEN [hdr EXCEPT ![me.tgt] = [tag |-> "ts", ts |-> me.c, old |-> IF me.d THEN 0 ELSE h.old]]
                      ELSE hdr
            /\ IF me.ret = "fin" THEN Finish(t) ELSE Jump(t, me.ret) /\ UNCHANGED done
         /\ UNCHANGED <<clock, cell, under, state, announced, stamp, eff, begun, bad>>

(* ------------------------------------------------ giving a commit its time ("decide") *)
CallTime(t, c, ret) == th' = [th EXCEPT ![t].pc = "c1", ![t].tgt = c, ![t].ret = ret]
C1(t) == /\ th[t].pc = "c1"
         /\ th' = [th EXCEPT ![t].pc = "c2", ![t].c = clock]
         /\ UNCHANGED shared /\ NoHist
C2(t) == /\ th[t].pc = "c2"
         /\ LET c == th[t].tgt IN
            state' = IF state[c] = [st |-> "com", ts |-> 0]
                     THEN [state EXCEPT ![c].ts = th[t].c] ELSE state
         /\ Jump(t, th[t].ret)
         /\ UNCHANGED <<clock, cell, hdr, under, announced, stamp>> /\ NoHist

(* ------------------------------------------------ raising m ("push") *)
CallPush(t, c, ret) ==
    th' = [th EXCEPT ![t].pc = "q1", ![t].tgt = c, ![t].m = state[c].ts, ![t].ret = ret]
Q2(t) == /\ th[t].pc = "q2"
         /\ LET me == th[t] IN
            /\ state' = IF state[me.tgt] = [st |-> "pend", ts |-> me.m]
                        THEN [state EXCEPT ![me.tgt].ts = me.c] ELSE state
            /\ Jump(t, me.ret)
         /\ UNCHANGED <<clock, cell, hdr, under, announced, stamp>> /\ NoHist

(* ------------------------------------------------ ending a commit by force; putting an aborted version right *)
X1(t) == /\ th[t].pc = "x1"
         /\ LET c == th[t].tgt IN
            state' = IF state[c].st = "pend" THEN [state EXCEPT ![c] = [st |-> "abo", ts |-> 0]] ELSE state
         /\ Jump(t, th[t].ret)
         /\ UNCHANGED <<clock, cell, hdr, under, announced, stamp>> /\ NoHist
CallRestore(t, v, ret) == th' = [th EXCEPT ![t].pc = "a1", ![t].tgt = v, ![t].ret = ret]
A1(t) == /\ th[t].pc = "a1"
         /\ LET v == th[t].tgt IN
            /\ under' = IF Bug = "no_freeze" THEN under ELSE [under EXCEPT ![v].fz = TRUE]
            /\ th' = [th EXCEPT ![t].pc = "a2", ![t].u = under[v].w]
         /\ UNCHANGED <<clock, cell, hdr, state, announced, stamp>> /\ NoHist

(* ------------------------------------------------ single-key writes *)
New(t) == Vid(MyOp(t), Op(t).ks[1])
(* w is an ordinary version: committed or in fact empty. What next? *)
Ordinary(t, w) ==
    IF (Op(t).op = "new" /\ Live(w)) \/ (Op(t).op = "del" /\ ~Live(w))
    THEN Finish(t)
    ELSE /\ th' = [th EXCEPT ![t].pc = IF Bug = "ts_before_publish" THEN "w3" ELSE "w4", ![t].w = w]
         /\ UNCHANGED done
(* w belongs to a pending commit. *)
Pending(t, w) ==
    IF OpAt(VOp(w)).op = "listnew" /\ Op(t).op # "del" /\ Bug # "write_under_new"
    THEN /\ th' = [th EXCEPT ![t].pc = "x1", ![t].tgt = VOp(w), ![t].w = w,
                                  ![t].ret = IF Bug = "restore_blindly" THEN "wa" ELSE "ws"]
         /\ UNCHANGED done
    ELSE /\ th' = [th EXCEPT ![t].pc = "w1", ![t].loc = w]
         /\ UNCHANGED done
W1(t) == /\ th[t].pc = "w1"
         /\ Begin(t)
         /\ LET me == th[t]
                k == Op(t).ks[1]
                w == IF me.loc = 0 THEN cell[k] ELSE under[me.loc].w IN
            IF me.loc # 0 /\ under[me.loc].fz
            THEN th' = [th EXCEPT ![t].loc = 0] /\ UNCHANGED done
            ELSE IF w < 0 THEN Ordinary(t, w)
            ELSE th' = [th EXCEPT ![t].pc = "w2", ![t].w = w] /\ UNCHANGED done
         /\ UNCHANGED shared /\ UNCHANGED <<eff, bad>>
W2(t) == /\ th[t].pc = "w2"
         /\ LET w == th[t].w  g == hdr[w].tag IN
            CASE g = "und"   -> CallDecide(t, w, "w2") /\ UNCHANGED done
              [] g = "ts"    -> Ordinary(t, w)
              [] g = "entry" -> Jump(t, "ws") /\ UNCHANGED done
         /\ UNCHANGED shared /\ UNCHANGED <<eff, begun, bad>>
WS(t) == /\ th[t].pc = "ws"
         /\ LET w == th[t].w  c == VOp(w) IN
            CASE state[c].st = "com" /\ state[c].ts = 0 -> CallTime(t, c, "ws") /\ UNCHANGED done
              [] state[c].st = "com" /\ state[c].ts # 0 -> Ordinary(t, w)
              [] state[c].st = "abo" -> Jump(t, "wa") /\ UNCHANGED done
              [] state[c].st = "pend" ->
                    IF Proto = "push" /\ Bug # "stale_time" THEN CallPush(t, c, "ws") /\ UNCHANGED done
                    ELSE Pending(t, w)
         /\ UNCHANGED shared /\ UNCHANGED <<eff, begun, bad>>
(* Restores the aborted version w, then starts over from the cell: WA is a local jump made with A1. *)
WA(t) == /\ th[t].pc = "wa"
         /\ LET v == th[t].w IN
            /\ under' = IF Bug = "no_freeze" THEN under ELSE [under EXCEPT ![v].fz = TRUE]
            /\ th' = [th EXCEPT ![t].pc = "a2", ![t].tgt = v, ![t].ret = "w1", ![t].loc = 0, ![t].u = under[v].w]
         /\ UNCHANGED <<clock, cell, hdr, state, announced, stamp>> /\ NoHist
W3(t) == /\ th[t].pc = "w3"                                 \* planted: the time is taken before the version is seen
         /\ th' = [th EXCEPT ![t].pc = "w4", ![t].c = clock]
         /\ UNCHANGED shared /\ NoHist
InsertBefore(s, x, y) ==
    LET p == CHOOSE i \in 1..Len(s) : s[i] = y IN SubSeq(s, 1, p - 1) \o <<x>> \o SubSeq(s, p, Len(s))
W4(t) == /\ th[t].pc = "w4"
         /\ LET me == th[t]
                k == Op(t).ks[1]
                v == New(t)
                gone == Bug = "delete_to_empty" /\ Op(t).op = "del"
                x == IF gone THEN -stamp ELSE v
                ok == IF me.loc = 0 THEN Same(cell[k], me.w)
                      ELSE Same(under[me.loc].w, me.w) /\ ~under[me.loc].fz IN
            IF ok
            THEN /\ IF me.loc = 0 THEN cell' = [cell EXCEPT ![k] = x] /\ UNCHANGED under
                    ELSE under' = [under EXCEPT ![me.loc].w = x] /\ UNCHANGED cell
                 /\ stamp' = IF gone THEN stamp + 1 ELSE stamp
                 /\ hdr' = [hdr EXCEPT ![v] = IF Bug = "ts_before_publish"
                                              THEN [tag |-> "ts", ts |-> me.c, old |-> me.w]
                                              ELSE [tag |-> "und", ts |-> 0, old |-> me.w]]
                 /\ eff' = IF me.loc # 0 /\ state[VOp(me.loc)].st = "com"
                           THEN [eff EXCEPT ![k] = InsertBefore(@, v, me.loc)]     \* hidden from the start
                           ELSE [eff EXCEPT ![k] = Append(@, v)]
                 /\ IF gone THEN Finish(t)
                    ELSE IF Op(t).op = "del" THEN CallDecide(t, v, "w6") /\ UNCHANGED done
                    ELSE IF Bug = "ts_before_publish" THEN Finish(t)
                    ELSE CallDecide(t, v, "fin") /\ UNCHANGED done
            ELSE /\ th' = [th EXCEPT ![t] = [Tidy(@, "w1") EXCEPT !.loc = 0]]
                 /\ UNCHANGED <<cell, under, stamp, hdr, eff, done>>
         /\ UNCHANGED <<clock, state, announced, begun, bad>>
(* No snapshot needs what was deleted: the mark gives way to an empty word. *)
W6(t) == /\ th[t].pc = "w6"
         /\ LET me == th[t]  k == Op(t).ks[1]  v == New(t) IN
            IF hdr[v].old # 0 THEN UNCHANGED <<cell, under, stamp>>
            ELSE IF me.loc = 0 /\ cell[k] = v
            THEN cell' = [cell EXCEPT ![k] = -stamp] /\ stamp' = stamp + 1 /\ UNCHANGED under
            ELSE IF me.loc # 0 /\ under[me.loc] = [w |-> v, fz |-> FALSE]
            THEN under' = [under EXCEPT ![me.loc].w = -stamp] /\ stamp' = stamp + 1 /\ UNCHANGED cell
            ELSE UNCHANGED <<cell, under, stamp>>
         /\ Finish(t)
         /\ UNCHANGED <<clock, hdr, state, announced, eff, begun, bad>>

(* ------------------------------------------------ lists *)
Top(t) == th[t].stk[Len(th[t].stk)]
TopKeys(t) == OpAt(Top(t).c).ks
TopV(t) == Vid(Top(t).c, TopKeys(t)[Top(t).j])
Mine(t) == Len(th[t].stk) = 1
SetTop(stk, j) == [stk EXCEPT ![Len(stk)].j = j]
(* The entry at the top is installed: the next one, or the end of the commit. *)
Next1(t) == IF Top(t).j < Len(TopKeys(t))
            THEN th' = [th EXCEPT ![t] = [Tidy(@, "h1") EXCEPT !.stk = SetTop(@, Top(t).j + 1)]]
            ELSE Jump(t, "k1")
Pop(t) == IF Mine(t) THEN Finish(t)
          ELSE /\ th' = [th EXCEPT ![t] = [Tidy(@, "h1") EXCEPT !.stk = SubSeq(@, 1, Len(@) - 1), !.j = 1]]
               /\ UNCHANGED done
H1(t) == /\ th[t].pc = "h1"                                 \* step 1, under
         /\ IF Mine(t) THEN Begin(t) ELSE UNCHANGED begun
         /\ IF Bug = "cell_first"
            THEN th' = [th EXCEPT ![t].pc = "h2", ![t].w = cell[VKey(TopV(t))]]
            ELSE IF under[TopV(t)].fz THEN Jump(t, "hend")
            ELSE th' = [th EXCEPT ![t].pc = "h2", ![t].u = under[TopV(t)].w]
         /\ UNCHANGED shared /\ UNCHANGED <<eff, done, bad>>
H2(t) == /\ th[t].pc = "h2"                                 \* step 1, the cell
         /\ LET v == TopV(t)
                c == IF Bug = "cell_first" THEN th[t].w ELSE cell[VKey(v)]
                u == IF Bug = "cell_first" THEN under[v].w ELSE th[t].u IN
            IF c = v THEN Next1(t)
            ELSE th' = [th EXCEPT ![t].pc = "h3", ![t].w = c, ![t].u = u]
         /\ UNCHANGED shared /\ NoHist
(* c is an ordinary version or an empty word. *)
Base(t, c) == IF OpAt(Top(t).c).op = "listnew" /\ Live(c)
              THEN th' = [th EXCEPT ![t].pc = "x1", ![t].tgt = Top(t).c, ![t].ret = "hend", ![t].w = 0, ![t].u = 0]
              ELSE Jump(t, "h6")
H3(t) == /\ th[t].pc = "h3"                                 \* step 2
         /\ IF state[Top(t).c].st # "pend" THEN Jump(t, "hend")
            ELSE IF th[t].w < 0 THEN Base(t, th[t].w) ELSE Jump(t, "h4")
         /\ UNCHANGED shared /\ NoHist
H4(t) == /\ th[t].pc = "h4"                                 \* step 3
         /\ LET w == th[t].w  g == hdr[w].tag IN
            CASE g = "und"   -> CallDecide(t, w, "h4")
              [] g = "ts"    -> Base(t, w)
              [] g = "entry" -> Jump(t, "h5")
         /\ UNCHANGED shared /\ NoHist
H5(t) == /\ th[t].pc = "h5"
         /\ LET w == th[t].w  c == VOp(w) IN
            CASE state[c].st = "com" /\ state[c].ts = 0 -> CallTime(t, c, "h5")
              [] state[c].st = "com" /\ state[c].ts # 0 -> Base(t, w)
              [] state[c].st = "abo"  -> CallRestore(t, w, "h1")
              [] state[c].st = "pend" ->
                    th' = [th EXCEPT ![t] = [Tidy(@, "h1") EXCEPT !.stk = Append(@, [c |-> c, j |-> 1])]]
         /\ UNCHANGED shared /\ NoHist
H6(t) == /\ th[t].pc = "h6"                                 \* step 4
         /\ LET v == TopV(t) IN
            IF under[v] = [w |-> th[t].u, fz |-> FALSE]
            THEN under' = [under EXCEPT ![v].w = th[t].w] /\ Jump(t, "h7")
            ELSE Jump(t, "h1") /\ UNCHANGED under
         /\ UNCHANGED <<clock, cell, hdr, state, announced, stamp>> /\ NoHist
H7(t) == /\ th[t].pc = "h7"                                 \* step 5
         /\ LET v == TopV(t)  k == VKey(v) IN
            IF Same(cell[k], th[t].w)
            THEN cell' = [cell EXCEPT ![k] = v] /\ Next1(t)
            ELSE Jump(t, "h1") /\ UNCHANGED cell
         /\ UNCHANGED <<clock, hdr, under, state, announced, stamp>> /\ NoHist
(* All installed: the one CAS. *)
CommitNow(t, ts) ==
    LET c == Top(t).c  ks == Range(TopKeys(t)) IN
    /\ state' = [state EXCEPT ![c] = [st |-> "com", ts |-> ts]]
    /\ eff' = [k \in Keys |-> IF k \in ks THEN Append(eff[k], Vid(c, k)) ELSE eff[k]]
    /\ Flag(OpAt(c).op = "listnew" => \A k \in ks : ~Live(Last(k)), "C5: a key was there")
    /\ Jump(t, "hend")
K1(t) == /\ th[t].pc = "k1"
         /\ LET c == Top(t).c IN
            IF state[c].st # "pend" THEN Jump(t, "hend") /\ UNCHANGED <<state, eff, bad>>
            ELSE IF Proto = "decide" THEN CommitNow(t, 0)
            ELSE th' = [th EXCEPT ![t].pc = "k2", ![t].m = state[c].ts] /\ UNCHANGED <<state, eff, bad>>
         /\ UNCHANGED <<clock, cell, hdr, under, announced, stamp, begun, done>>
K2(t) == /\ th[t].pc = "k2"
         /\ th' = [th EXCEPT ![t].pc = "k3", ![t].c = clock]
         /\ UNCHANGED shared /\ NoHist
K3(t) == /\ th[t].pc = "k3"
         /\ IF state[Top(t).c] = [st |-> "pend", ts |-> th[t].m]
            THEN CommitNow(t, Max({th[t].m, th[t].c}))
            ELSE Jump(t, "k1") /\ UNCHANGED <<state, eff, bad>>
         /\ UNCHANGED <<clock, cell, hdr, under, announced, stamp, begun, done>>
(* The commit is decided: settle it, or put every entry right. A helper that leaves an aborted commit does so
   too: its own CAS may just have shown an aborted version again. *)
HEnd(t) == /\ th[t].pc = "hend"
           /\ LET c == Top(t).c  s == state[c] IN
              IF s.st = "com" /\ s.ts = 0 THEN CallTime(t, c, "hend") /\ UNCHANGED done
              ELSE IF s.st = "pend" THEN Jump(t, "h1") /\ UNCHANGED done
              ELSE IF s.st = "com" /\ (Mine(t) \/ HelperSettles)
              THEN th' = [th EXCEPT ![t].pc = "e1", ![t].j = 1, ![t].c = s.ts] /\ UNCHANGED done
              ELSE IF s.st = "abo" /\ (Mine(t) \/ Bug # "no_hide")
              THEN th' = [th EXCEPT ![t].pc = "a1", ![t].j = 1, ![t].ret = "a3", ![t].tgt = Vid(c, TopKeys(t)[1])]
                   /\ UNCHANGED done
              ELSE Pop(t)
           /\ UNCHANGED shared /\ UNCHANGED <<eff, begun, bad>>
A2(t) == /\ th[t].pc = "a2"
         /\ LET me == th[t]  v == me.tgt  k == VKey(v) IN
            /\ cell' = IF cell[k] = v THEN [cell EXCEPT ![k] = me.u] ELSE cell
            /\ IF me.ret # "a3" THEN Jump(t, me.ret) /\ UNCHANGED done
               ELSE IF me.j < Len(TopKeys(t))
               THEN /\ th' = [th EXCEPT ![t].pc = "a1", ![t].j = me.j + 1,
                                        ![t].tgt = Vid(Top(t).c, TopKeys(t)[me.j + 1])]
                    /\ UNCHANGED done
               ELSE Pop(t)
         /\ UNCHANGED <<clock, hdr, under, state, announced, stamp, eff, begun, bad>>
EV(t) == Vid(Top(t).c, TopKeys(t)[th[t].j])
E1(t) == /\ th[t].pc = "e1"
         /\ under' = [under EXCEPT ![EV(t)].fz = TRUE]
         /\ Jump(t, "e2")
         /\ UNCHANGED <<clock, cell, hdr, state, announced, stamp>> /\ NoHist
E2(t) == /\ th[t].pc = "e2"
         /\ th' = [th EXCEPT ![t].pc = "e3", ![t].d = (announced = {})]
         /\ UNCHANGED shared /\ NoHist
E3(t) == /\ th[t].pc = "e3"
         /\ LET me == th[t]  v == EV(t) IN
            /\ hdr' = IF hdr[v].tag = "entry"
                      THEN [hdr EXCEPT ![v] = [tag |-> "ts", ts |-> me.c, old |-> IF me.d THEN 0 ELSE under[v].w]]
                      ELSE hdr
            /\ IF me.j < Len(TopKeys(t))
               THEN th' = [th EXCEPT ![t].pc = "e1", ![t].j = me.j + 1] /\ UNCHANGED done
               ELSE Pop(t)
         /\ UNCHANGED <<clock, cell, under, state, announced, stamp, eff, begun, bad>>
(* The owner is killed between two steps. *)
Kill(t) == /\ t \in Killable /\ Len(th[t].stk) = 1 /\ MyOp(t) \in begun
           /\ th[t].pc \in {"h1", "h2", "h3", "h6", "h7", "k1"}
           /\ th' = [th EXCEPT ![t].pc = "x1", ![t].tgt = MyOp(t), ![t].ret = "hend", ![t].w = 0, ![t].u = 0,
                               ![t].c = 0, ![t].m = 0]
           /\ UNCHANGED shared /\ NoHist

(* ------------------------------------------------ readers *)
RKey(t) == Op(t).ks[th[t].j]
Answer(t, w) ==
    LET me == th[t]
        k == RKey(t)
        a == IF Live(w) THEN w ELSE 0
        lo == Pos(k, me.from)
        ok == IF Live(w) THEN Has(k, w) /\ Pos(k, w) >= lo
              ELSE \E i \in lo..Len(eff[k]) : ~Live(eff[k][i])
        ans == Append(me.ans, [op |-> MyOp(t), k |-> k, a |-> a, s |-> me.s, pre |-> me.pre, run |-> me.run]) IN
    /\ Flag(me.s >= 0 \/ ok, "C3: an answer that was never true meanwhile")
    /\ IF me.j < Len(Op(t).ks)
       THEN th' = [th EXCEPT ![t].pc = "r0", ![t].j = @ + 1, ![t].ans = ans, ![t].w = 0, ![t].from = 0]
            /\ UNCHANGED done
       ELSE IF me.s >= 0 THEN th' = [th EXCEPT ![t].pc = "s9", ![t].ans = ans, ![t].w = 0, ![t].from = 0] /\ UNCHANGED done
       ELSE /\ th' = [th EXCEPT ![t] = Fresh(t, @.i + 1, ans)]
            /\ done' = done \cup {MyOp(t)}
Go(t, pc, w) == th' = [th EXCEPT ![t].pc = pc, ![t].w = w] /\ UNCHANGED <<done, bad>>
S0(t) == /\ th[t].pc = "s0"
         /\ Begin(t)
         /\ IF Bug = "announce_late"
            THEN /\ clock' = clock + 1 /\ UNCHANGED announced
                 /\ th' = [th EXCEPT ![t].pc = "s1", ![t].s = clock, ![t].pre = done, ![t].run = begun]
            ELSE /\ announced' = announced \cup {t} /\ UNCHANGED clock
                 /\ Jump(t, "s1")
         /\ UNCHANGED <<cell, hdr, under, state, stamp, eff, done, bad>>
S1(t) == /\ th[t].pc = "s1"
         /\ IF Bug = "announce_late"
            THEN announced' = announced \cup {t} /\ UNCHANGED clock /\ Jump(t, "r0")
            ELSE /\ clock' = clock + 1 /\ UNCHANGED announced
                 /\ th' = [th EXCEPT ![t].pc = "r0", ![t].s = clock, ![t].pre = done, ![t].run = begun]
         /\ UNCHANGED <<cell, hdr, under, state, stamp>> /\ NoHist
S9(t) == /\ th[t].pc = "s9"
         /\ announced' = announced \ {t}
         /\ Finish(t)
         /\ UNCHANGED <<clock, cell, hdr, under, state, stamp, eff, begun, bad>>
R0(t) == /\ th[t].pc = "r0"
         /\ Begin(t)
         /\ LET k == RKey(t)  w == cell[k] IN
            th' = [th EXCEPT ![t].pc = "r2", ![t].w = w, ![t].from = Last(k)]
         /\ UNCHANGED shared /\ UNCHANGED <<eff, done, bad>>
R1(t) == /\ th[t].pc = "r1"                                 \* what is under the entry w?
         /\ Go(t, "r2", under[th[t].w].w)
         /\ UNCHANGED shared /\ UNCHANGED <<eff, begun>>
R2(t) == /\ th[t].pc = "r2"
         /\ LET me == th[t]  w == me.w IN
            IF w < 0 THEN Answer(t, w)
            ELSE IF w = 0 THEN /\ bad' = "a snapshot's older version is gone"
                               /\ Jump(t, "end") /\ UNCHANGED done
            ELSE LET h == hdr[w] IN
                 CASE h.tag = "und" ->
                        IF Bug = "no_decide" /\ me.s < 0 THEN Answer(t, w)
                        ELSE CallDecide(t, w, "r2") /\ UNCHANGED <<done, bad>>
                   [] h.tag = "ts" ->
                        IF me.s < 0 \/ h.ts <= me.s THEN Answer(t, w) ELSE Go(t, "r2", h.old)
                   [] h.tag = "entry" -> Go(t, "rs", w)
         /\ UNCHANGED shared /\ UNCHANGED <<eff, begun>>
RS(t) == /\ th[t].pc = "rs"
         /\ LET me == th[t]  w == me.w  c == VOp(w)  s == state[c] IN
            CASE s.st = "com" /\ s.ts = 0 ->
                    IF Bug = "no_decide_commit" /\ me.s < 0 THEN Answer(t, w)
                    ELSE CallTime(t, c, "rs") /\ UNCHANGED <<done, bad>>
              [] s.st = "com" /\ s.ts # 0 ->
                    IF me.s < 0 \/ s.ts <= me.s THEN Answer(t, w) ELSE Go(t, "r1", w)
              [] s.st = "abo" -> Go(t, "r1", w)
              [] s.st = "pend" ->
                    IF Proto = "decide" THEN Go(t, "r1", w)
                    ELSE IF me.s < 0
                    THEN IF Bug = "stale_time" THEN Go(t, "r1", w)
                         ELSE CallPush(t, c, "rs") /\ UNCHANGED <<done, bad>>
                    ELSE IF s.ts <= me.s /\ Bug # "no_push"
                    THEN /\ th' = [th EXCEPT ![t].pc = "q2", ![t].tgt = c, ![t].m = s.ts,
                                             ![t].c = me.s + 1, ![t].ret = "rs"]
                         /\ UNCHANGED <<done, bad>>
                    ELSE Go(t, "r1", w)
         /\ UNCHANGED shared /\ UNCHANGED <<eff, begun>>
(* Reads the clock; high enough already: on to what is under the entry. *)
Q1(t) == /\ th[t].pc = "q1"
         /\ LET me == th[t] IN
            IF me.m < clock
            THEN th' = [th EXCEPT ![t].pc = "q2", ![t].c = clock] /\ UNCHANGED done
            ELSE IF me.ret = "rs" THEN Jump(t, "r1") /\ UNCHANGED done
            ELSE Pending(t, me.w)
         /\ UNCHANGED shared /\ UNCHANGED <<eff, begun, bad>>

Step(t) == \/ D1(t) \/ D2(t) \/ D3(t) \/ C1(t) \/ C2(t) \/ Q1(t) \/ Q2(t) \/ X1(t)
           \/ W1(t) \/ W2(t) \/ WS(t) \/ WA(t) \/ W3(t) \/ W4(t) \/ W6(t)
           \/ H1(t) \/ H2(t) \/ H3(t) \/ H4(t) \/ H5(t) \/ H6(t) \/ H7(t)
           \/ K1(t) \/ K2(t) \/ K3(t) \/ HEnd(t) \/ A1(t) \/ A2(t) \/ E1(t) \/ E2(t) \/ E3(t)
           \/ S0(t) \/ S1(t) \/ S9(t) \/ R0(t) \/ R1(t) \/ R2(t) \/ RS(t)
Ended == /\ \A t \in Threads : th[t].pc = "end"
         /\ UNCHANGED vars
Next == \/ \E t \in Threads : Step(t) \/ Kill(t)
        \/ Ended
Spec == Init /\ [][Next]_vars /\ \A t \in Threads \ Stuck : WF_vars(Step(t))

(* ------------------------------------------------ what must hold *)
TypeOK == /\ clock \in 1..9
          /\ \A k \in Keys : cell[k] # 0 /\ (cell[k] > 0 => cell[k] \in Versions /\ VKey(cell[k]) = k)
          /\ \A v \in Versions : hdr[v].tag \in {"new", "und", "ts", "entry"} /\ hdr[v].ts < 9
          /\ \A v \in Entries : under[v].w > 0 => under[v].w \in Versions \ {v}
          /\ \A c \in Commits : state[c].st \in {"pend", "com", "abo"}
(* No answer or action was wrong when it was given. *)
NothingBad == bad = "none"
(* The memory says what the history says: nothing lost, nothing back (C4), commits whole (C1, C5). *)
CurrentOK == \A k \in Keys : IF Live(Last(k)) THEN Resolve(cell[k]) = Last(k) ELSE ~Live(Resolve(cell[k]))
(* A decided commit's keys all show it, until each is overwritten. *)
WholeOK == \A c \in Commits : \A k1, k2 \in Range(OpAt(c).ks) : Has(k1, Vid(c, k1)) = Has(k2, Vid(c, k2))

(* Positions in the history that an answer may stand for. *)
At(k, a) == IF a > 0 THEN {Pos(k, a)} ELSE {i \in 1..Len(eff[k]) : ~Live(eff[k][i])}
Later(k, a, b) == Min(At(k, a)) > Max(At(k, b))
Answers(t) == {i \in 1..Len(th[t].ans) : Has(th[t].ans[i].k, th[t].ans[i].a) \/ th[t].ans[i].a = 0}
Committed(c) == \E k \in Range(OpAt(c).ks) : Has(k, Vid(c, k))
(* C1: of two answers of one reader in order, or of one snapshot in any order: seen one key, seen all. *)
C1OK == \A t \in Threads : \A i, j \in 1..Len(th[t].ans) :
    LET x == th[t].ans[i]  y == th[t].ans[j] IN
    (x.k # y.k /\ (i < j \/ (x.s >= 0 /\ x.op = y.op))) =>
        \A c \in Commits : ({x.k, y.k} \subseteq Range(OpAt(c).ks) /\ Committed(c)) =>
            ~(Min(At(x.k, x.a)) >= Pos(x.k, Vid(c, x.k)) /\ Max(At(y.k, y.a)) < Pos(y.k, Vid(c, y.k)))
(* C2: a snapshot answers the same again, has all that was over before it was taken and nothing that began after. *)
C2OK == \A t \in Threads : \A i \in 1..Len(th[t].ans) :
    LET x == th[t].ans[i]  e == eff[x.k] IN
    x.s >= 0 =>
        /\ \A j \in 1..Len(th[t].ans) :
               (th[t].ans[j].op = x.op /\ th[t].ans[j].k = x.k) => th[t].ans[j].a = x.a
        /\ \E p \in At(x.k, x.a) :
               /\ \A q \in p + 1 .. Len(e) : e[q] >= 100 => VOp(e[q]) \notin x.pre
               /\ \A q \in 1 .. p : e[q] >= 100 => VOp(e[q]) \in x.run
(* C3: no snapshot contradicts the order in which another reader saw things. *)
C3OK == \A t, r \in Threads : \A i, j \in 1..Len(th[t].ans) : \A m, n \in 1..Len(th[r].ans) :
    LET q1 == th[t].ans[i]  q2 == th[t].ans[j]  s1 == th[r].ans[m]  s2 == th[r].ans[n] IN
    (t # r /\ s1.s >= 0 /\ s1.op = s2.op /\ q1.k = s1.k /\ q2.k = s2.k /\ (i < j \/ (q1.s >= 0 /\ q1.op = q2.op))) =>
        ~(Later(q1.k, q1.a, s1.a) /\ Later(q2.k, s2.a, q2.a))
(* ... and none that a thread takes is behind what the thread itself saw before. *)
MineOK == \A t \in Threads : \A i, j \in 1..Len(th[t].ans) :
    LET x == th[t].ans[i]  y == th[t].ans[j] IN
    (i < j /\ y.s >= 0 /\ x.op # y.op /\ x.k = y.k) => ~Later(x.k, x.a, y.a)
(* E2's other half: who shows an aborted version again hides it before its operation ends. *)
HiddenOK == (\A t \in Threads : th[t].pc = "end") =>
                \A k \in Keys : ~(IsEntry(cell[k]) /\ state[VOp(cell[k])].st = "abo")
(* Helping goes up in the order of keys: nobody helps a commit that waits for one he is already helping. *)
HelpOK == \A t \in Threads : \A i, j \in 1..Len(th[t].stk) : i # j => th[t].stk[i].c # th[t].stk[j].c
(* Whatever one thread does, also nothing at all any more: the others come to an end. *)
Progress == <>(\A t \in Threads \ Stuck : th[t].pc = "end")
=============================================================================
