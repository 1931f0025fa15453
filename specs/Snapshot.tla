------------------------------ MODULE Snapshot ------------------------------
(* Snapshots of one table: ARCHITECTURE.md, "Cells and versions".

   All that threads share is the record g, with the history; a step is one access to a shared word and what is
   computed from it. Pinning is part of the first access after it, unpinning of the last before it.

   Taking     announce (newest = Inf), wait until all who were pinned then have gone, count the clock up, read the
              root and take a reference to it, then newest is the newest snapshot held, if nobody is announcing.
   Writing    newest is read while pinned; 0: as without snapshots. Else what is replaced is kept in a node
              of the new version (keep), or, if it is newer than newest, gives way to what it kept itself (trim).
              Removing puts a version that stands for "absent", if there is something to keep.
   Settling   of a commit's entry: the same with what is under it, newest read after the commit has its time.
   Sweeping   of everything that no snapshot older than the horizon needs: node out of the header, by CAS; a removal out of
              its cell. The horizon is the oldest snapshot, or without any the clock; read while nobody is
              announcing, and before a grace of its own.
   Dismantling  whoever takes a version out for good takes its header first (node -> ts, entry -> dropped): what was behind
              it belongs to who took it.

   Items of memory  a version v is 100 t + 10 i + k (operation i of thread t, key k; 1..9 were there at the start), its
              node -v; references to the root r: 1000 + r (the table's), 2000 + o (a view's), 3000 + o (a commit's).
              4000 + o and 5000 stand for those for whom a taker and the sweep wait.
   Bug        a planted mistake, or "none".                                                                    *)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS Keys, Threads, Prog, Live0, Roots, Bug
VARIABLES g, th
vars == <<g, th>>

Inf == 99
Range(s) == {s[i] : i \in DOMAIN s}
Max(S) == CHOOSE x \in S : \A y \in S : y <= x
Min(S) == CHOOSE x \in S : \A y \in S : x <= y

Ops == UNION {{10 * t + i : i \in 1..Len(Prog[t])} : t \in Threads}
OpAt(o) == Prog[o \div 10][o % 10]
Vid(o, k) == 10 * o + k
VOp(v) == v \div 10
VKey(v) == v % 10
Lists == {o \in Ops : OpAt(o).op \in {"list", "abort"}}
Snaps == {o \in Ops : OpAt(o).op \in {"snap", "cancel"}}
Entries == UNION {{Vid(o, k) : k \in Range(OpAt(o).ks)} : o \in Lists}
Versions == Live0 \cup Entries \cup {Vid(o, OpAt(o).ks[1]) : o \in {x \in Ops : OpAt(x).op \in {"put", "del"}}}
IsEntry(v) == v \in Entries
Live(v) == v > 0 /\ (v < 10 \/ OpAt(VOp(v)).op # "del")
Items == Versions \cup {-v : v \in Versions} \cup {1000 + r : r \in Roots} \cup {2000 + o : o \in Snaps}
         \cup {3000 + o : o \in Lists} \cup {4000 + o : o \in Snaps} \cup {5000}
Reaper == 0

(* ------------------------------------------------ memory *)
Fail(G, name) == IF G.bad = "none" THEN [G EXCEPT !.bad = name] ELSE G
Gone(G, x) == G.mem[x] = "ret" /\ G.hold[x] = {}
References(G, r) == {1000 + r} \cup {2000 + o : o \in {x \in Snaps : G.view[x].r = r}}
                    \cup {3000 + o : o \in {x \in Lists : G.croot[x] = r}}
Freed(G, r) == \A x \in References(G, r) : G.mem[x] = "no" \/ Gone(G, x)
Of(x) == IF x < 0 THEN -x ELSE x
Touch(G, x) == IF Gone(G, x) \/ Freed(G, G.rt[Of(x)]) THEN Fail(G, "freed memory was read") ELSE G
TouchRoot(G, r) == IF Freed(G, r) THEN Fail(G, "a freed root was read") ELSE G
Pin(G, t) == [G EXCEPT !.pin = @ \cup {t}]
Unpin(G, t) == [G EXCEPT !.pin = @ \ {t}, !.hold = [x \in Items |-> @[x] \ {t}]]
Wait(G, x) == [G EXCEPT !.hold[x] = G.pin]
Retire(G, x) == LET H == [G EXCEPT !.mem[x] = "ret", !.hold[x] = G.pin] IN
                IF G.mem[x] # "live" \/ (x < 1000 /\ Freed(G, G.rt[Of(x)])) THEN Fail(H, "retired twice") ELSE H
RetireBoth(G, v) == IF G.hdr[v].tag = "node" THEN Retire(Retire(G, v), -v) ELSE Retire(G, v)

(* ------------------------------------------------ versions *)
Undecided(G, v) == G.hdr[v].tag = "und" \/ (G.hdr[v].tag = "node" /\ G.nts[v] = 0)
Time(G, v) == IF G.hdr[v].tag = "node" THEN G.nts[v] ELSE G.hdr[v].ts
Last(G, r, k) == G.eff[r][k][Len(G.eff[r][k])]
RECURSIVE Resolve(_, _)
Resolve(G, w) == IF w = 0 THEN 0
                 ELSE IF G.hdr[w].tag = "ent" /\ G.st[VOp(w)].st # "com" THEN Resolve(G, G.under[w].w) ELSE w
Narrow(G) == [G EXCEPT !.newest = IF G.ann # {} /\ Bug # "narrow_blind" THEN Inf
                                  ELSE IF G.live = {} THEN 0 ELSE Max({G.view[o].s : o \in G.live})]
(* What a write on top of w does with it when newest was nw: [mode, old]. *)
Plan(G, w, nw) ==
    LET n == IF Bug = "trim_announced" /\ nw = Inf /\ G.live # {} THEN Max({G.view[o].s : o \in G.live}) ELSE nw IN
    CASE w = 0 -> [mode |-> "none", old |-> 0]
      [] w # 0 /\ n = 0 -> [mode |-> "all", old |-> 0]
      [] w # 0 /\ n # 0 /\ G.hdr[w].tag = "ent" -> [mode |-> "keep", old |-> w]
      [] OTHER -> IF Time(G, w) <= n THEN [mode |-> "keep", old |-> w]
                  ELSE [mode |-> "trim", old |-> IF G.hdr[w].tag = "node" THEN G.nold[w] ELSE 0]

(* ------------------------------------------------ threads *)
First(op) == CASE op \in {"put", "del"}     -> "w0"
               [] op \in {"list", "abort"}  -> "b0"
               [] op = "clear"              -> "c0"
               [] op \in {"snap", "cancel"} -> "s0"
               [] op \in {"read", "vread"}  -> "r0"
Idle == [pc |-> "z0", i |-> 0, r |-> 0, j |-> 0, w |-> 0, nw |-> 0, loc |-> 0, old |-> 0, mode |-> "", tgt |-> 0,
         ret |-> "", c |-> 0, o |-> 0, h |-> 0, from |-> 0, x |-> FALSE]
Fresh(t, i) == [Idle EXCEPT !.pc = IF i > Len(Prog[t]) THEN "end" ELSE First(Prog[t][i].op),
                            !.i = i, !.j = 1]
MyOp(t) == 10 * t + th[t].i
Op(t) == Prog[t][th[t].i]
Regs(t, r) == th' = [th EXCEPT ![t] = r]
Go(t, pc) == th' = [th EXCEPT ![t].pc = pc]
Call(t, pc, v, ret) == th' = [th EXCEPT ![t].pc = pc, ![t].tgt = v, ![t].ret = ret]
Return(t) == th' = [th EXCEPT ![t].pc = th[t].ret, ![t].tgt = 0, ![t].ret = "", ![t].c = 0]
(* Only writes are remembered, for TakenOK. *)
Write(t) == IF Op(t).op \in {"put", "del", "list"} THEN {MyOp(t)} ELSE {}
End(G, t) == /\ g' = [Unpin(G, t) EXCEPT !.done = @ \cup Write(t)]
             /\ Regs(t, Fresh(t, th[t].i + 1))
Began(G, t) == [G EXCEPT !.begun = @ \cup Write(t)]

Init ==
    /\ g = [clock |-> 1, root |-> 1, newest |-> 0, ann |-> {}, live |-> {}, want |-> FALSE,
            cell |-> [r \in Roots |-> [k \in Keys |-> IF r = 1 /\ k \in Live0 THEN k ELSE 0]],
            hdr |-> [v \in Versions |-> [tag |-> IF v < 10 THEN "ts" ELSE IF IsEntry(v) THEN "ent" ELSE "und", ts |-> 0]],
            nts |-> [v \in Versions |-> 0], nold |-> [v \in Versions |-> 0],
            under |-> [v \in Entries |-> [w |-> 0, fz |-> FALSE]],
            st |-> [o \in Lists |-> [st |-> "pend", ts |-> 0]], croot |-> [o \in Lists |-> 0],
            mem |-> [x \in Items |-> IF x \in Live0 \/ x = 1001 THEN "live" ELSE "no"],
            hold |-> [x \in Items |-> {}], pin |-> {},
            rt |-> [v \in Versions |-> IF v < 10 THEN 1 ELSE 0],
            view |-> [o \in Snaps |-> [st |-> "no", s |-> 0, r |-> 0, pre |-> {}, run |-> {}]],
            eff |-> [r \in Roots |-> [k \in Keys |-> << IF r = 1 /\ k \in Live0 THEN k ELSE 0 >>]],
            hts |-> [v \in Versions |-> IF v < 10 THEN 0 ELSE -1],      \* history: the time it got
            ans |-> {}, begun |-> {}, done |-> {}, bad |-> "none"]
    /\ th = [t \in Threads \cup {Reaper} |-> IF t = Reaper THEN Idle ELSE Fresh(t, 1)]

(* A version or a commit gets its time. *)
D1(t) == /\ th[t].pc = "d1"
         /\ th' = [th EXCEPT ![t].pc = "d2", ![t].c = g.clock]
         /\ UNCHANGED g
D2(t) == /\ th[t].pc = "d2"
         /\ LET v == th[t].tgt  G == Touch(g, v)
                H == CASE G.hdr[v].tag = "und" -> [G EXCEPT !.hdr[v] = [tag |-> "ts", ts |-> th[t].c], !.hts[v] = th[t].c]
                      [] G.hdr[v].tag = "node" /\ G.nts[v] = 0 ->
                            [Touch(G, -v) EXCEPT !.nts[v] = th[t].c, !.hts[v] = th[t].c]
                      [] OTHER -> G IN
            IF th[t].ret = "w7" /\ th[t].mode \in {"none", "keep"} THEN End(H, t)
            ELSE g' = H /\ Return(t)
C1(t) == /\ th[t].pc = "t1"
         /\ th' = [th EXCEPT ![t].pc = "t2", ![t].c = g.clock]
         /\ UNCHANGED g
C2(t) == /\ th[t].pc = "t2"
         /\ LET c == th[t].tgt IN
            g' = IF g.st[c] = [st |-> "com", ts |-> 0]
                 THEN [g EXCEPT !.st[c].ts = th[t].c,
                                !.hts = [v \in Versions |-> IF IsEntry(v) /\ VOp(v) = c THEN th[t].c ELSE g.hts[v]]]
                 ELSE g
         /\ Return(t)
(* Takes apart what nobody needs: a version, and what it keeps. *)
M1(t) == /\ th[t].pc = "m1"
         /\ LET v == th[t].tgt  G == Touch(g, v)  h == G.hdr[v] IN
            CASE h.tag = "ent" -> g' = [G EXCEPT !.hdr[v].tag = "drop"] /\ Return(t)
              [] h.tag = "node" ->
                    /\ g' = IF Bug = "dismantle_blind" THEN RetireBoth(G, v)
                            ELSE [RetireBoth(G, v) EXCEPT !.hdr[v] = [tag |-> "ts", ts |-> G.nts[v]]]
                    /\ th' = [th EXCEPT ![t].tgt = G.nold[v]]
              [] h.tag = "ts" -> g' = Retire(G, v) /\ Return(t)
              [] OTHER -> g' = Fail(G, "dismantled twice, or undecided") /\ Return(t)
Dismantle(t, v, ret) == IF v = 0 THEN Go(t, ret) ELSE Call(t, "m1", v, ret)

(* Puts an aborted version right. *)
A1(t) == /\ th[t].pc = "a1"
         /\ LET v == th[t].tgt  G == Touch(g, v) IN
            /\ g' = [G EXCEPT !.under[v].fz = TRUE]
            /\ th' = [th EXCEPT ![t].pc = "a2", ![t].c = G.under[v].w]
A2(t) == /\ th[t].pc = "a2"
         /\ LET v == th[t].tgt  r == g.rt[v]  k == VKey(v) IN
            g' = IF g.cell[r][k] = v THEN [g EXCEPT !.cell[r][k] = th[t].c] ELSE g
         /\ Return(t)

(* ------------------------------------------------ single-key writes *)
Key(t) == Op(t).ks[1]
New(t) == Vid(MyOp(t), Key(t))
W0(t) == /\ th[t].pc = "w0"
         /\ g' = Pin(Began(g, t), t)
         /\ IF Roots = {1} THEN th' = [th EXCEPT ![t].pc = "w2", ![t].r = 1, ![t].nw = g.newest]
            ELSE th' = [th EXCEPT ![t].pc = "w1", ![t].r = g.root]
W1(t) == /\ th[t].pc = "w1"
         /\ th' = [th EXCEPT ![t].pc = "w2", ![t].nw = g.newest]
         /\ UNCHANGED g
(* w counts: as it is, or its commit has been committed. *)
Ordinary(t, G, w) ==
    IF Op(t).op = "del" /\ ~Live(w) THEN End(G, t)
    ELSE /\ g' = G
         /\ LET p == Plan(G, w, IF Bug = "no_tomb" /\ Op(t).op = "del" THEN 0 ELSE th[t].nw) IN
            th' = [th EXCEPT ![t].pc = "w5", ![t].w = w, ![t].mode = p.mode, ![t].old = p.old]
W2(t) == /\ th[t].pc = "w2"
         /\ LET loc == th[t].loc
                G == IF loc = 0 THEN TouchRoot(g, th[t].r) ELSE Touch(g, loc)
                w == IF loc = 0 THEN G.cell[th[t].r][Key(t)] ELSE G.under[loc].w IN
            IF loc # 0 /\ G.under[loc].fz THEN g' = G /\ th' = [th EXCEPT ![t].loc = 0]
            ELSE IF w = 0 THEN Ordinary(t, G, 0)
            ELSE g' = G /\ th' = [th EXCEPT ![t].pc = "w3", ![t].w = w]
W3(t) == /\ th[t].pc = "w3"
         /\ LET w == th[t].w  G == Touch(g, w) IN
            IF Undecided(G, w) THEN g' = G /\ Call(t, "d1", w, "w3")
            ELSE IF G.hdr[w].tag = "ent" THEN g' = G /\ Go(t, "w4")
            ELSE Ordinary(t, G, w)
W4(t) == /\ th[t].pc = "w4"
         /\ LET w == th[t].w  s == g.st[VOp(w)] IN
            CASE s.st = "com" /\ s.ts = 0 -> g' = g /\ Call(t, "t1", VOp(w), "w4")
              [] s.st = "com" /\ s.ts # 0 -> Ordinary(t, g, w)
              [] s.st = "abo" -> g' = g /\ th' = [th EXCEPT ![t].pc = "a1", ![t].tgt = w, ![t].ret = "w2", ![t].loc = 0,
                                                            ![t].w = 0]
              [] s.st = "pend" -> g' = g /\ th' = [th EXCEPT ![t].pc = "w2", ![t].loc = w, ![t].w = 0]
InsertBefore(s, x, y) ==
    LET p == CHOOSE i \in 1..Len(s) : s[i] = y IN SubSeq(s, 1, p - 1) \o <<x>> \o SubSeq(s, p, Len(s))
W5(t) == /\ th[t].pc = "w5"
         /\ LET me == th[t]  r == me.r  k == Key(t)  v == New(t)  loc == me.loc
                G == IF loc = 0 THEN TouchRoot(g, r) ELSE Touch(g, loc)
                empty == Op(t).op = "del" /\ me.old = 0
                x == IF empty THEN 0 ELSE v
                ok == IF loc = 0 THEN G.cell[r][k] = me.w ELSE G.under[loc] = [w |-> me.w, fz |-> FALSE]
                G1 == IF loc = 0 THEN [G EXCEPT !.cell[r][k] = x] ELSE [G EXCEPT !.under[loc].w = x]
                G2 == [G1 EXCEPT !.eff[r][k] = IF loc # 0 /\ G.st[VOp(loc)].st = "com" THEN InsertBefore(@, v, loc)
                                               ELSE Append(@, v),
                                 !.rt[v] = r]
                G3 == IF empty THEN [G2 EXCEPT !.hts[v] = G.clock]
                      ELSE IF me.old = 0 THEN [G2 EXCEPT !.mem[v] = "live"]
                      ELSE [G2 EXCEPT !.mem[v] = "live", !.mem[-v] = "live", !.hdr[v].tag = "node", !.nold[v] = me.old] IN
            IF ok THEN IF empty /\ me.mode = "none" THEN End(G3, t)
                       ELSE g' = G3 /\ IF empty THEN Go(t, "w7") ELSE Call(t, "d1", v, "w7")
            ELSE g' = G /\ th' = [th EXCEPT ![t].pc = "w2", ![t].loc = 0, ![t].w = 0, ![t].mode = "", ![t].old = 0]
W7(t) == /\ th[t].pc = "w7"
         /\ LET w == th[t].w IN
            IF th[t].mode = "trim" THEN End(RetireBoth(g, w), t) ELSE g' = g /\ Dismantle(t, w, "w9")
W9(t) == /\ th[t].pc = "w9"
         /\ End(g, t)

(* ------------------------------------------------ lists: only their owner installs (Commit.tla has helpers) *)
LKey(t) == Op(t).ks[th[t].j]
Entry(t) == Vid(MyOp(t), LKey(t))
(* Unpinned between two keys, as between slices. *)
NextKey(t, G, again, over) ==
    /\ g' = Unpin(G, t)
    /\ Regs(t, IF th[t].j < Len(Op(t).ks) THEN [Fresh(t, th[t].i) EXCEPT !.pc = again, !.j = th[t].j + 1, !.r = th[t].r]
               ELSE [Fresh(t, th[t].i) EXCEPT !.pc = over, !.r = th[t].r])
B0(t) == /\ th[t].pc = "b0"
         /\ g' = [Began(TouchRoot(g, g.root), t) EXCEPT !.croot[MyOp(t)] = g.root, !.mem[3000 + MyOp(t)] = "live"]
         /\ th' = [th EXCEPT ![t].pc = "i1", ![t].r = g.root]
I1(t) == /\ th[t].pc = "i1"
         /\ LET G == Pin(TouchRoot(g, th[t].r), t)  w == G.cell[th[t].r][LKey(t)] IN
            /\ g' = G
            /\ th' = [th EXCEPT ![t].pc = IF w = 0 THEN "i3" ELSE "i2", ![t].w = w]
I2(t) == /\ th[t].pc = "i2"
         /\ LET w == th[t].w  G == Touch(g, w)  s == G.st[VOp(w)] IN
            IF Undecided(G, w) THEN g' = G /\ Call(t, "d1", w, "i2")
            ELSE IF G.hdr[w].tag # "ent" THEN g' = G /\ Go(t, "i3")
            ELSE CASE s.st = "com" /\ s.ts = 0 -> g' = G /\ Call(t, "t1", VOp(w), "i2")
                   [] s.st = "com" /\ s.ts # 0 -> g' = G /\ Go(t, "i3")
                   [] s.st = "abo"  -> g' = G /\ Call(t, "a1", w, "i1")
                   [] s.st = "pend" -> g' = Unpin(G, t) /\ th' = [th EXCEPT ![t].pc = "i1", ![t].w = 0]
I3(t) == /\ th[t].pc = "i3"
         /\ g' = [g EXCEPT !.under[Entry(t)].w = th[t].w]
         /\ Go(t, "i4")
I4(t) == /\ th[t].pc = "i4"
         /\ LET v == Entry(t)  r == th[t].r  k == LKey(t)  G == TouchRoot(g, r) IN
            IF G.cell[r][k] = th[t].w
            THEN NextKey(t, [G EXCEPT !.cell[r][k] = v, !.rt[v] = r, !.mem[v] = "live"], "i1",
                         IF Op(t).op = "abort" THEN "x1" ELSE "k1")
            ELSE g' = G /\ th' = [th EXCEPT ![t].pc = "i1", ![t].w = 0]
K1(t) == /\ th[t].pc = "k1"
         /\ LET c == MyOp(t)  r == th[t].r IN
            g' = [g EXCEPT !.st[c].st = "com",
                           !.eff[r] = [k \in Keys |-> IF k \in Range(Op(t).ks) THEN Append(@[k], Vid(c, k)) ELSE @[k]]]
         /\ Call(t, "t1", MyOp(t), "e1")
E1(t) == /\ th[t].pc = "e1"
         /\ LET v == Entry(t) IN
            /\ g' = Pin([g EXCEPT !.under[v].fz = TRUE], t)
            /\ th' = [th EXCEPT ![t].pc = "e2", ![t].w = g.under[v].w]
(* Only what has a time, and an earlier one, needs what the commit replaced: an announced snapshot will be later. And whoever came
   between the commit and the announcement may have replaced that version, and keeps nothing (found in the C code, not modelled: there
   a header that is settled late leads to a node that nobody owns). *)
E2(t) == /\ th[t].pc = "e2"
         /\ LET T == g.st[MyOp(t)].ts  n == g.newest
                older == \E o \in g.live \cup g.ann : g.view[o].s > 0 /\ g.view[o].s < T IN
            th' = [th EXCEPT ![t].pc = "e3",
                             ![t].nw = CASE Bug = "settle_drops" -> 0
                                         [] Bug = "settle_newest" /\ n # Inf /\ n >= T -> 0
                                         [] OTHER -> IF older THEN n ELSE 0]
         /\ UNCHANGED g
E3(t) == /\ th[t].pc = "e3"
         /\ LET u == th[t].w  G == IF u = 0 THEN g ELSE Touch(g, u) IN
            /\ g' = G
            /\ IF u # 0 /\ Undecided(G, u) THEN Call(t, "d1", u, "e3")
               ELSE LET p == Plan(G, u, th[t].nw) IN
                    th' = [th EXCEPT ![t].pc = "e4", ![t].mode = p.mode, ![t].old = p.old]
E4(t) == /\ th[t].pc = "e4"
         /\ LET v == Entry(t)  u == th[t].w  T == g.st[MyOp(t)].ts  G == Touch(g, v)  old == th[t].old
                G1 == IF old = 0 THEN [G EXCEPT !.hdr[v] = [tag |-> "ts", ts |-> T]]
                      ELSE [G EXCEPT !.hdr[v].tag = "node", !.nts[v] = T, !.nold[v] = old, !.mem[-v] = "live"] IN
            IF G.hdr[v].tag = "drop" THEN g' = Retire(G, v) /\ Dismantle(t, u, "e5")
            ELSE CASE th[t].mode = "all"  -> g' = G1 /\ Dismantle(t, u, "e5")
                   [] th[t].mode = "trim" -> g' = RetireBoth(G1, u) /\ Go(t, "e5")
                   [] OTHER               -> g' = G1 /\ Go(t, "e5")
E5(t) == /\ th[t].pc = "e5"
         /\ NextKey(t, g, "e1", "e6")
E6(t) == /\ th[t].pc = "e6"
         /\ End(Retire(g, 3000 + MyOp(t)), t)
(* The owner was killed. *)
X1(t) == /\ th[t].pc = "x1"
         /\ g' = Pin([g EXCEPT !.st[MyOp(t)].st = "abo"], t)
         /\ Call(t, "a1", Entry(t), "x3")
X2(t) == /\ th[t].pc = "x2"
         /\ g' = Pin(g, t)
         /\ Call(t, "a1", Entry(t), "x3")
X3(t) == /\ th[t].pc = "x3"
         /\ NextKey(t, Retire(g, Entry(t)), "x2", "e6")

(* ------------------------------------------------ clearing *)
Z0(t) == /\ th[t].pc = "c0"
         /\ g' = [Pin(Began(g, t), t) EXCEPT !.root = @ + 1, !.mem[1000 + g.root + 1] = "live"]
         /\ th' = [th EXCEPT ![t].pc = "c1", ![t].r = g.root]
Z1(t) == /\ th[t].pc = "c1"
         /\ End(Retire(g, 1000 + th[t].r), t)

(* ------------------------------------------------ snapshots *)
S0(t) == /\ th[t].pc = "s0"
         /\ LET o == MyOp(t) IN
            g' = Wait([Began(g, t) EXCEPT !.ann = @ \cup {o}, !.newest = Inf, !.view[o].pre = g.done], 4000 + o)
         /\ Go(t, IF Op(t).op = "cancel" THEN "s9" ELSE "s1")
S1(t) == /\ th[t].pc = "s1"
         /\ g.hold[4000 + MyOp(t)] = {} \/ Bug = "no_grace"
         /\ g' = [Wait(g, 4000 + MyOp(t)) EXCEPT !.clock = @ + 1, !.view[MyOp(t)].s = g.clock, !.hold[4000 + MyOp(t)] = {}]
         /\ Go(t, "s2")
S2(t) == /\ th[t].pc = "s2"
         /\ g' = [TouchRoot(g, g.root) EXCEPT !.view[MyOp(t)].r = g.root,
                                              !.mem[2000 + MyOp(t)] = IF Bug = "clear_frees" THEN "no" ELSE "live"]
         /\ Go(t, "s3")
S3(t) == /\ th[t].pc = "s3"
         /\ LET o == MyOp(t) IN
            g' = Narrow([g EXCEPT !.ann = @ \ {o}, !.live = @ \cup {o}, !.view[o].run = g.begun, !.view[o].st = "held"])
         /\ th' = [th EXCEPT ![t].pc = IF Op(t).ks = <<>> THEN "l1" ELSE "r0", ![t].o = MyOp(t)]
S9(t) == /\ th[t].pc = "s9"                                 \* killed while it waits
         /\ g' = [Narrow([g EXCEPT !.ann = @ \ {MyOp(t)}, !.view[MyOp(t)].pre = {}])
                  EXCEPT !.want = IF Bug = "cancel_no_sweep" THEN @ ELSE TRUE, !.hold[4000 + MyOp(t)] = {}]
         /\ Regs(t, Fresh(t, th[t].i + 1))
(* Releasing: nobody answers by the view any more; then its time is free; then the root. *)
L1(t) == /\ th[t].pc = "l1"
         /\ g' = [g EXCEPT !.view[MyOp(t)].st = "gone", !.view[MyOp(t)].pre = {}, !.view[MyOp(t)].run = {},
                           !.ans = {x \in @ : x.o # MyOp(t)}]
         /\ Go(t, "l2")
L2(t) == /\ th[t].pc = "l2"
         /\ g' = [Narrow([g EXCEPT !.live = @ \ {MyOp(t)}]) EXCEPT !.want = TRUE]
         /\ Go(t, "l3")
L3(t) == /\ th[t].pc = "l3"
         /\ End(IF Bug = "clear_frees" THEN g ELSE Retire(g, 2000 + MyOp(t)), t)

(* ------------------------------------------------ readers; th.o is the view, 0: the latest *)
View(t) == th[t].o # 0 \/ Op(t).op = "vread"
ViewOf(t) == IF Op(t).op = "vread" THEN Op(t).of ELSE th[t].o
Sees(t, ts) == ~View(t) \/ ts <= g.view[ViewOf(t)].s
RKey(t) == Op(t).ks[th[t].j]
R0(t) == /\ th[t].pc = "r0"
         /\ IF View(t)
            THEN /\ g.view[ViewOf(t)].st # "no"
                 /\ IF g.view[ViewOf(t)].st = "gone" THEN End(Began(g, t), t)      \* badarg
                    ELSE /\ g' = Pin(Began(g, t), t)
                         /\ th' = [th EXCEPT ![t].pc = "r1", ![t].r = g.view[ViewOf(t)].r]
            ELSE /\ g' = Pin(Began(g, t), t)
                 /\ th' = [th EXCEPT ![t].pc = "r1", ![t].r = g.root]
R1(t) == /\ th[t].pc = "r1"
         /\ LET r == th[t].r  G == TouchRoot(g, r)  w == G.cell[r][RKey(t)] IN
            /\ g' = G
            /\ th' = [th EXCEPT ![t].pc = IF w = 0 THEN "r8" ELSE "r2", ![t].w = w,
                                ![t].from = IF View(t) THEN 0 ELSE Last(G, r, RKey(t))]
To(t, w) == th' = [th EXCEPT ![t].pc = IF w = 0 THEN "r8" ELSE "r2", ![t].w = w]
R2(t) == /\ th[t].pc = "r2"
         /\ LET w == th[t].w  G == Touch(g, w)  h == G.hdr[w] IN
            /\ g' = G
            /\ CASE h.tag = "und" -> IF Bug = "no_decide" /\ View(t) THEN To(t, 0) ELSE Call(t, "d1", w, "r2")
                 [] h.tag = "ts" -> IF Sees(t, h.ts) THEN Go(t, "r8") ELSE To(t, 0)
                 [] h.tag = "node" -> Go(t, "r3")
                 [] h.tag = "drop" -> Go(t, IF View(t) THEN "r4" ELSE "r8")
                 [] h.tag = "ent" -> Go(t, "r4")
R3(t) == /\ th[t].pc = "r3"
         /\ LET w == th[t].w  G == Touch(Touch(g, w), -w) IN
            /\ g' = G
            /\ IF G.nts[w] = 0
               THEN IF Bug = "no_decide" /\ View(t) THEN To(t, G.nold[w]) ELSE Call(t, "d1", w, "r3")
               ELSE IF Sees(t, G.nts[w]) THEN Go(t, "r8") ELSE To(t, G.nold[w])
R4(t) == /\ th[t].pc = "r4"
         /\ LET w == th[t].w  s == g.st[VOp(w)] IN
            /\ g' = g
            /\ CASE s.st = "com" /\ s.ts = 0 -> Call(t, "t1", VOp(w), "r4")
                 [] s.st = "com" /\ s.ts # 0 -> Go(t, IF Sees(t, s.ts) THEN "r8" ELSE "r5")
                 [] OTHER -> Go(t, "r5")
R5(t) == /\ th[t].pc = "r5"
         /\ g' = Touch(g, th[t].w)
         /\ To(t, g.under[th[t].w].w)
Pos(s, x) == CHOOSE i \in 1..Len(s) : s[i] = x
R8(t) == /\ th[t].pc = "r8"
         /\ LET me == th[t]  k == RKey(t)  a == IF Live(me.w) THEN me.w ELSE 0
                e == g.eff[me.r][k]
                ok == \E i \in Pos(e, me.from) .. Len(e) : IF a = 0 THEN ~Live(e[i]) ELSE e[i] = a
                o == IF View(t) THEN ViewOf(t) ELSE 0
                G == IF View(t)
                     THEN IF g.view[o].st = "held" \/ Bug = "no_recheck"
                          THEN [g EXCEPT !.ans = @ \cup {[o |-> o, k |-> k, a |-> a]}] ELSE g
                     ELSE IF ok THEN g ELSE Fail(g, "C3, C4: a latest answer that was never true meanwhile") IN
            IF me.j < Len(Op(t).ks)
            THEN /\ g' = Unpin(G, t)
                 /\ Regs(t, [Fresh(t, me.i) EXCEPT !.pc = "r0", !.j = me.j + 1, !.o = me.o])
            ELSE IF Op(t).op = "snap" THEN g' = Unpin(G, t) /\ Regs(t, [Fresh(t, me.i) EXCEPT !.pc = "l1"])
            ELSE End(G, t)

(* ------------------------------------------------ the sweep *)
Sweep0 == /\ th[Reaper].pc = "z0"
          /\ g.want
          /\ g.ann = {} \/ Bug = "sweep_announced"
          /\ g' = Wait([g EXCEPT !.want = FALSE], 5000)
          /\ th' = [th EXCEPT ![Reaper] = [Idle EXCEPT !.pc = "z1", !.j = 1,
                        !.h = IF g.live = {} THEN g.clock ELSE Min({g.view[o].s : o \in g.live})]]
Sweep1 == /\ th[Reaper].pc = "z1"
          /\ g.hold[5000] = {} \/ Bug = "sweep_no_grace"
          /\ g' = [g EXCEPT !.hold[5000] = {}]
          /\ Go(Reaper, "z2")
Sweep2 == /\ th[Reaper].pc = "z2"
          /\ LET r == g.root  w == g.cell[r][th[Reaper].j]  me == th[Reaper] IN
             /\ g' = Pin(g, Reaper)
             /\ th' = [th EXCEPT ![Reaper].pc = IF w = 0 THEN "z9" ELSE "z3", ![Reaper].r = r, ![Reaper].w = w]
(* mode "deep": below the one in the cell *)
Sweep3 == /\ th[Reaper].pc = "z3"
          /\ LET me == th[Reaper]  w == me.w  G == Touch(g, w)
                 tomb == ~Live(w) /\ me.mode # "deep"
                 old == Time(G, w) <= me.h \/ (Bug = "sweep_tomb" /\ tomb) IN
             /\ g' = G
             /\ IF Undecided(G, w) THEN Call(Reaper, "d1", w, "z3")
                ELSE CASE G.hdr[w].tag = "ent"  -> th' = [th EXCEPT ![Reaper].pc = "z9", ![Reaper].x = Bug # "sweep_once"]
                       [] G.hdr[w].tag = "drop" -> Go(Reaper, "z9")
                       [] G.hdr[w].tag = "ts"   -> Go(Reaper, IF tomb THEN "z5" ELSE "z9")
                       [] G.hdr[w].tag = "node" ->
                             IF old THEN Go(Reaper, IF tomb THEN "z5" ELSE "z4")
                             ELSE th' = [th EXCEPT ![Reaper].w = G.nold[w], ![Reaper].mode = "deep"]
Sweep4 == /\ th[Reaper].pc = "z4"
          /\ LET w == th[Reaper].w  G == Touch(g, w) IN
             IF G.hdr[w].tag = "node"
             THEN /\ g' = Retire([G EXCEPT !.hdr[w] = [tag |-> "ts", ts |-> G.nts[w]]], -w)
                  /\ Dismantle(Reaper, G.nold[w], "z9")
             ELSE g' = G /\ Go(Reaper, "z9")
Sweep5 == /\ th[Reaper].pc = "z5"
          /\ LET me == th[Reaper]  w == me.w  G == TouchRoot(g, me.r) IN
             IF G.cell[me.r][me.j] = w
             THEN g' = [G EXCEPT !.cell[me.r][me.j] = 0] /\ Dismantle(Reaper, w, "z9")
             ELSE g' = G /\ th' = [th EXCEPT ![Reaper].pc = "z9", ![Reaper].x = Bug # "sweep_once"]
Sweep9 == /\ th[Reaper].pc = "z9"
          /\ LET me == th[Reaper]  over == me.j = Cardinality(Keys) IN
             /\ g' = Unpin(IF over /\ me.x THEN [g EXCEPT !.want = TRUE] ELSE g, Reaper)
             /\ Regs(Reaper, IF over THEN Idle ELSE [Idle EXCEPT !.pc = "z2", !.j = me.j + 1, !.h = me.h, !.x = me.x])

Sub(t) == D1(t) \/ D2(t) \/ C1(t) \/ C2(t) \/ M1(t) \/ A1(t) \/ A2(t)
Step(t) == \/ Sub(t)
           \/ W0(t) \/ W1(t) \/ W2(t) \/ W3(t) \/ W4(t) \/ W5(t) \/ W7(t) \/ W9(t)
           \/ B0(t) \/ I1(t) \/ I2(t) \/ I3(t) \/ I4(t) \/ K1(t) \/ E1(t) \/ E2(t) \/ E3(t) \/ E4(t) \/ E5(t) \/ E6(t)
           \/ X1(t) \/ X2(t) \/ X3(t) \/ Z0(t) \/ Z1(t)
           \/ S0(t) \/ S1(t) \/ S2(t) \/ S3(t) \/ S9(t) \/ L1(t) \/ L2(t) \/ L3(t)
           \/ R0(t) \/ R1(t) \/ R2(t) \/ R3(t) \/ R4(t) \/ R5(t) \/ R8(t)
Sweep == Sub(Reaper) \/ Sweep0 \/ Sweep1 \/ Sweep2 \/ Sweep3 \/ Sweep4 \/ Sweep5 \/ Sweep9
AllOver == (\A t \in Threads : th[t].pc = "end") /\ th[Reaper].pc = "z0" /\ ~g.want
Next == (\E t \in Threads : Step(t)) \/ Sweep \/ (AllOver /\ UNCHANGED vars)
Spec == Init /\ [][Next]_vars

(* ------------------------------------------------ what must hold *)
(* Nothing freed is read, nothing is retired twice, no latest answer is wrong (C3, C4). *)
NothingBad == g.bad = "none"
(* The memory says what the history says: nothing lost, nothing back (C4). *)
CurrentOK == \A k \in Keys : LET x == Last(g, g.root, k)  w == Resolve(g, g.cell[g.root][k]) IN
                 IF Live(x) THEN w = x ELSE ~Live(w)
(* C2: all answers of a view are those of the instant s, now and for good ... *)
At(o, k) == LET v == g.view[o]  e == g.eff[v.r][k]
                i == Max({n \in 1..Len(e) : e[n] = 0 \/ (g.hts[e[n]] >= 0 /\ g.hts[e[n]] <= v.s)} \cup {0}) IN
            IF i = 0 THEN 0 ELSE IF Live(e[i]) THEN e[i] ELSE 0
C2OK == \A x \in g.ans : x.a = At(x.o, x.k)
(* ... which lies between its taker's call and return: what was done before is in it, what came after is not. *)
TakenOK == \A o \in Snaps : g.view[o].st = "held" =>
    \A v \in Versions : (v >= 10 /\ g.rt[v] = g.view[o].r /\ (IsEntry(v) => g.st[VOp(v)].st = "com")) =>
        /\ VOp(v) \in g.view[o].pre => g.hts[v] >= 0 /\ (g.hts[v] <= g.view[o].s)
        /\ VOp(v) \notin g.view[o].run => ~(g.hts[v] >= 0 /\ g.hts[v] <= g.view[o].s)
(* A view's whole state could be read at any time: it is right, and none of it was retired. *)
RECURSIVE Shown(_, _)
Shown(w, s) == IF w = 0 THEN 0
               ELSE LET h == g.hdr[w]
                        c == IF IsEntry(w) THEN g.st[VOp(w)] ELSE [st |-> "", ts |-> 0] IN
                    CASE g.mem[w] # "live" \/ (h.tag = "node" /\ g.mem[-w] # "live") -> -1
                      [] h.tag = "und" -> 0
                      [] h.tag = "ts" -> IF h.ts <= s THEN w ELSE 0
                      [] h.tag = "node" -> IF g.nts[w] # 0 /\ g.nts[w] <= s THEN w ELSE Shown(g.nold[w], s)
                      [] OTHER -> IF c.st = "com" /\ c.ts # 0 /\ c.ts <= s THEN w ELSE Shown(g.under[w].w, s)
Visible(x) == IF x = -1 THEN -1 ELSE IF Live(x) THEN x ELSE 0
HeldOK == \A o \in Snaps : g.view[o].st = "held" /\ o \in g.live =>
              \A k \in Keys : Visible(Shown(g.cell[g.view[o].r][k], g.view[o].s)) = At(o, k)
(* In the end nothing is kept: the latest versions and the table's own root are there, and no more. *)
EndOK == AllOver =>
    /\ g.ann = {} /\ g.live = {} /\ g.newest = 0
    /\ \A r \in Roots : g.mem[1000 + r] = "live" <=> r = g.root
    /\ \A x \in Items : (x > 1000 /\ x < 4000 /\ x # 1000 + g.root) => g.mem[x] # "live"
    /\ \A v \in Versions : IF v = g.cell[g.root][VKey(v)]
                           THEN g.mem[v] = "live" /\ g.hdr[v].tag = "ts" /\ g.mem[-v] # "live" /\ Live(v)
                           ELSE g.rt[v] \in {0, g.root} => g.mem[v] # "live" /\ g.mem[-v] # "live"
(* What a root that was given up leads to is freed with it, each once: nothing else is left of it. *)
RECURSIVE Below(_)
Below(w) == IF w = 0 THEN {} ELSE CASE g.hdr[w].tag = "node" -> {w, -w} \cup Below(g.nold[w])
                                    [] OTHER -> {w}
RootOK == AllOver => \A r \in Roots : r < g.root =>
              LET all == UNION {Below(g.cell[r][k]) : k \in Keys} IN
              \A v \in Versions : g.rt[v] = r =>
                  /\ (g.mem[v] = "live") <=> v \in all
                  /\ (g.mem[-v] = "live") <=> -v \in all
=============================================================================
