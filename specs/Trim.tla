-------------------------------- MODULE Trim --------------------------------
(* What one key keeps for snapshots: c_src/engine/mem/snapshot.c, with its links. Snapshot.tla has the rest.

   A version's header leads to its node, that to the version before. Who replaces a version while a snapshot is listed, keeps it, if one
   may need it; then it trims: from its own node down, what no listed snapshot needs is passed by: its own link is
   frozen, then the link to it is CASed to what is under it. Who does that retires it. Its header goes on leading down,
   unless there is nothing there: a reader may stand on it. Who finds a link that leads nowhere takes the node out of the header.
   Without snapshots what is replaced goes with all that is under it: node out of the header, link frozen, and so on down.
   A snapshot is announced, waits until all have gone who were pinned, counts the clock up, then shows its time. Let go of, it
   waits for its readers, leaves the list, waits for the writers, and the key is swept.

   Version 10 t + i: operation i of thread t; 1 was there at the start. Its node is -v; 100 + o: for whom o waits.
   Bug        a planted mistake, or "none".                                                                    *)
EXTENDS Integers, Sequences, FiniteSets, TLC
CONSTANTS Threads, Prog, Bug
VARIABLES g, th
vars == <<g, th>>
Max(S) == CHOOSE x \in S : \A y \in S : y <= x
Min2(a, b) == IF a < b THEN a ELSE b
Inf == 99
Ops == UNION {{10 * t + i : i \in 1..Len(Prog[t])} : t \in Threads}
OpAt(o) == Prog[o \div 10][o % 10]
Snaps == {o \in Ops : OpAt(o) \in {"snap", "hold"}}
Versions == {1} \cup (Ops \ Snaps)
Live(v) == v > 0 /\ (v = 1 \/ OpAt(v) # "del")
Items == Versions \cup {-v : v \in Versions} \cup {100 + o : o \in Snaps}
Reaper == 0
Fail(G, name) == IF G.bad = "none" THEN [G EXCEPT !.bad = name] ELSE G
Touch(G, x) == IF G.mem[x] = "ret" /\ G.hold[x] = {} THEN Fail(G, "freed memory was read") ELSE G
Pin(G, t) == [G EXCEPT !.pin = @ \cup {t}]
Unpin(G, t) == [G EXCEPT !.pin = @ \ {t}, !.hold = [x \in Items |-> @[x] \ {t}]]
Wait(G, o) == [G EXCEPT !.hold[100 + o] = G.pin]
Over(G, o) == G.hold[100 + o] = {}
Retire(G, x) == IF G.mem[x] # "live" THEN Fail(G, "retired twice")
                ELSE [G EXCEPT !.mem[x] = "ret", !.hold[x] = G.pin]
Listed(G) == {o \in Snaps : G.view[o].st \in {"ann", "held", "free"}}
Needed(G, time, newer) ==
    \E o \in Listed(G) : IF G.view[o].st = "ann" THEN Bug # "trim_announced"
                         ELSE time <= G.view[o].s /\ G.view[o].s < newer
Und(G, v) == G.hdr[v].tag = "und" \/ (G.hdr[v].tag \in {"node", "past"} /\ G.nts[v] = 0)
Time(G, v) == IF G.hdr[v].tag \in {"node", "past"} THEN G.nts[v] ELSE G.hdr[v].ts
Take(G, v) == IF G.hdr[v].tag # "node" THEN G
              ELSE Retire([G EXCEPT !.hdr[v] = [tag |-> IF Live(v) THEN "ts" ELSE "drop", ts |-> IF Live(v) THEN G.nts[v] ELSE 0]], -v)

Idle == [pc |-> "z0", i |-> 0, w |-> 0, mode |-> "", keeps |-> FALSE, v |-> 0, ret |-> "", c |-> 0, n |-> 0, x |-> 0,
         newer |-> 0, under |-> 0, o |-> 0]
Fresh(t, i) == [Idle EXCEPT !.i = i, !.pc = IF i > Len(Prog[t]) THEN "end"
                                            ELSE IF Prog[t][i] \in {"snap", "hold"} THEN "s0" ELSE "w0"]
MyOp(t) == 10 * t + th[t].i
Op(t) == Prog[t][th[t].i]
Go(t, pc) == th' = [th EXCEPT ![t].pc = pc]
End(G, t) == g' = Unpin(G, t) /\ th' = [th EXCEPT ![t] = Fresh(t, th[t].i + 1)]
Init == /\ g = [clock |-> 1, cell |-> 1, hdr |-> [v \in Versions |-> [tag |-> IF v = 1 THEN "ts" ELSE "und", ts |-> 0]],
                nts |-> [v \in Versions |-> 0], nold |-> [v \in Versions |-> 0], nfz |-> [v \in Versions |-> FALSE],
                mem |-> [x \in Items |-> IF x = 1 THEN "live" ELSE "no"], hold |-> [x \in Items |-> {}], pin |-> {},
                view |-> [o \in Snaps |-> [st |-> "no", s |-> 0]],
                eff |-> <<1>>, hts |-> [v \in Versions |-> IF v = 1 THEN 0 ELSE -1], bad |-> "none"]
        /\ th = [t \in Threads \cup {Reaper} |-> IF t = Reaper THEN Idle ELSE Fresh(t, 1)]

(* --- times *)
Decide(t, v) == th' = [th EXCEPT ![t].pc = "d1", ![t].v = v, ![t].ret = th[t].pc]
D1(t) == /\ th[t].pc = "d1" /\ th' = [th EXCEPT ![t].pc = "d2", ![t].c = g.clock] /\ UNCHANGED g
D2(t) == /\ th[t].pc = "d2"
         /\ LET v == th[t].v  c == th[t].c  G == Touch(g, v) IN
            g' = CASE G.hdr[v].tag = "und" -> [G EXCEPT !.hdr[v] = [tag |-> "ts", ts |-> c], !.hts[v] = c]
                   [] G.hdr[v].tag \in {"node", "past"} /\ G.nts[v] = 0 -> [Touch(G, -v) EXCEPT !.nts[v] = c, !.hts[v] = c]
                   [] OTHER -> G
         /\ th' = [th EXCEPT ![t].pc = th[t].ret, ![t].v = 0, ![t].ret = "", ![t].c = 0]

(* --- trimming from the node of n; then on to pc "x9" of the caller: end, or the sweep's z5 *)
Trim(t, n) == th' = [th EXCEPT ![t].pc = "x1", ![t].n = n, ![t].newer = Inf]
X9(t, G) == IF t = Reaper THEN g' = G /\ Go(t, "z5") ELSE End(G, t)
X1(t) == /\ th[t].pc = "x1"
         /\ LET n == th[t].n  G == Touch(Touch(g, n), -n) IN
            IF G.nts[n] = 0 THEN g' = G /\ Decide(t, n)
            ELSE /\ g' = G
                 /\ th' = [th EXCEPT ![t].newer = Min2(@, G.nts[n]), ![t].x = G.nold[n],
                                     ![t].pc = IF G.nfz[n] \/ G.nold[n] = 0 THEN "x6" ELSE "x2"]
X2(t) == /\ th[t].pc = "x2"
         /\ LET x == th[t].x  G == Touch(g, x)  node == G.hdr[x].tag = "node" IN
            IF Needed(G, Time(G, x), th[t].newer)
            THEN IF node THEN g' = G /\ th' = [th EXCEPT ![t].pc = "x1", ![t].n = x, ![t].x = 0] ELSE X9(t, G)
            ELSE g' = G /\ th' = [th EXCEPT ![t].pc = IF node /\ Bug # "no_freeze" THEN "x3" ELSE "x4",
                                            ![t].under = IF node THEN G.nold[x] ELSE 0]
X3(t) == /\ th[t].pc = "x3"
         /\ LET x == th[t].x  G == Touch(g, -x) IN
            /\ g' = [G EXCEPT !.nfz[x] = TRUE]
            /\ th' = [th EXCEPT ![t].pc = "x4", ![t].under = G.nold[x]]
X4(t) == /\ th[t].pc = "x4"
         /\ LET n == th[t].n  G == Touch(g, -n) IN
            IF G.nold[n] = th[t].x /\ ~G.nfz[n]
            THEN g' = [G EXCEPT !.nold[n] = th[t].under] /\ Go(t, "x5")
            ELSE g' = G /\ th' = [th EXCEPT ![t].pc = "x1", ![t].x = 0, ![t].under = 0]
X5(t) == /\ th[t].pc = "x5"
         /\ LET x == th[t].x  G == Touch(g, x) IN
            g' = Retire(IF th[t].under = 0 \/ Bug = "take_passed" THEN Take(G, x)
                        ELSE IF G.hdr[x].tag = "node" THEN Retire([G EXCEPT !.hdr[x].tag = "past"], -x) ELSE G, x)
         /\ th' = [th EXCEPT ![t].pc = "x1", ![t].x = 0, ![t].under = 0]
X6(t) == /\ th[t].pc = "x6"
         /\ LET n == th[t].n IN
            X9(t, IF g.nold[n] = 0 /\ Live(n) THEN Take(Touch(g, n), n) ELSE g)

(* --- what goes with all that is under it *)
M1(t) == /\ th[t].pc = "m1"
         /\ LET v == th[t].v  G == Touch(g, v)  node == G.hdr[v].tag = "node"
                H == Retire(IF Bug = "walk_blind" /\ node THEN Retire(G, -v) ELSE Take(G, v), v) IN
            IF node THEN g' = H /\ Go(t, "m2")
            ELSE IF t = Reaper THEN g' = H /\ Go(t, "z9") ELSE End(H, t)
M2(t) == /\ th[t].pc = "m2"
         /\ LET v == th[t].v  x == g.nold[v]  G == Touch(g, -v)  H == IF Bug = "walk_blind" THEN G ELSE [G EXCEPT !.nfz[v] = TRUE] IN
            IF x # 0 THEN g' = H /\ th' = [th EXCEPT ![t].pc = "m1", ![t].v = x]
            ELSE IF t = Reaper THEN g' = H /\ Go(t, "z9") ELSE End(H, t)

(* --- writers *)
W0(t) == /\ th[t].pc = "w0"
         /\ g' = Pin(g, t)
         /\ th' = [th EXCEPT ![t].pc = "w1", ![t].keeps = (Listed(g) # {})]
W1(t) == /\ th[t].pc = "w1"
         /\ LET w == g.cell IN
            IF Op(t) = "del" /\ ~Live(w) /\ w = 0 THEN End(g, t)
            ELSE g' = g /\ th' = [th EXCEPT ![t].pc = IF w = 0 THEN "w5" ELSE "w2", ![t].w = w, ![t].mode = "none"]
W2(t) == /\ th[t].pc = "w2"
         /\ LET w == th[t].w  G == Touch(g, w) IN
            IF Und(G, w) THEN g' = G /\ Decide(t, w)
            ELSE IF Op(t) = "del" /\ ~Live(w) THEN End(G, t)
            ELSE /\ g' = G
                 /\ th' = [th EXCEPT ![t].pc = "w5",
                       ![t].mode = IF th[t].keeps /\ ~(Bug = "no_tomb" /\ Op(t) = "del")
                                      /\ (G.hdr[w].tag # "ts" \/ Needed(G, Time(G, w), Inf)) THEN "keep" ELSE "all"]
W5(t) == /\ th[t].pc = "w5"
         /\ LET me == th[t]  v == MyOp(t)  empty == Op(t) = "del" /\ me.mode # "keep"
                G == [g EXCEPT !.cell = IF empty THEN 0 ELSE v, !.eff = Append(@, v)]
                H == IF empty THEN [G EXCEPT !.hts[v] = g.clock]
                     ELSE IF me.mode = "keep"
                     THEN [G EXCEPT !.hdr[v].tag = "node", !.nold[v] = me.w, !.mem[v] = "live", !.mem[-v] = "live"]
                     ELSE [G EXCEPT !.mem[v] = "live"] IN
            IF g.cell # me.w THEN g' = g /\ th' = [th EXCEPT ![t].pc = "w1", ![t].w = 0, ![t].mode = ""]
            ELSE g' = H /\ IF empty THEN Go(t, "w7")
                           ELSE th' = [th EXCEPT ![t].pc = "d1", ![t].v = v, ![t].ret = "w7"]
W7(t) == /\ th[t].pc = "w7"
         /\ CASE th[t].mode = "keep" -> g' = g /\ Trim(t, MyOp(t))
              [] th[t].mode = "all"  -> g' = g /\ th' = [th EXCEPT ![t].pc = "m1", ![t].v = th[t].w]
              [] OTHER               -> End(g, t)

(* --- snapshots: "snap" is read once, "hold" is only held *)
S0(t) == /\ th[t].pc = "s0"
         /\ g' = Wait([g EXCEPT !.view[MyOp(t)].st = "ann"], MyOp(t)) /\ Go(t, "s1")
S1(t) == /\ th[t].pc = "s1" /\ (Over(g, MyOp(t)) \/ Bug = "no_grace")
         /\ g' = [g EXCEPT !.clock = @ + 1, !.view[MyOp(t)].s = g.clock] /\ Go(t, "s2")
S2(t) == /\ th[t].pc = "s2"
         /\ g' = [g EXCEPT !.view[MyOp(t)].st = "held"]
         /\ Go(t, IF Op(t) = "snap" THEN "r0" ELSE "s3")
S3(t) == /\ th[t].pc = "s3"
         /\ End(Wait([g EXCEPT !.view[MyOp(t)].st = "free"], MyOp(t)), t)
At(o) == LET i == Max({n \in 1..Len(g.eff) : g.hts[g.eff[n]] >= 0 /\ g.hts[g.eff[n]] <= g.view[o].s}) IN
         IF Live(g.eff[i]) THEN g.eff[i] ELSE 0
Answer(t, G, w) ==
    /\ g' = Unpin(IF (IF Live(w) THEN w ELSE 0) = At(MyOp(t)) THEN G ELSE Fail(G, "C2: a wrong answer"), t)
    /\ th' = [th EXCEPT ![t].pc = "s3", ![t].w = 0]
R0(t) == /\ th[t].pc = "r0"
         /\ IF g.cell = 0 THEN Answer(t, g, 0)
            ELSE g' = Pin(g, t) /\ th' = [th EXCEPT ![t].pc = "r1", ![t].w = g.cell]
R1(t) == /\ th[t].pc = "r1"
         /\ LET w == th[t].w  G == Touch(g, w)  h == G.hdr[w] IN
            CASE h.tag = "und" -> g' = G /\ Decide(t, w)
              [] h.tag \in {"node", "past"} -> g' = G /\ Go(t, "r2")
              [] h.tag \in {"ts", "drop"} -> Answer(t, G, IF h.ts <= g.view[MyOp(t)].s THEN w ELSE 0)
R2(t) == /\ th[t].pc = "r2"
         /\ LET w == th[t].w  G == Touch(g, -w) IN
            IF G.nts[w] = 0 THEN g' = G /\ Decide(t, w)
            ELSE IF G.nts[w] <= g.view[MyOp(t)].s THEN Answer(t, G, w)
            ELSE IF G.nold[w] = 0 THEN Answer(t, G, 0)
            ELSE g' = G /\ th' = [th EXCEPT ![t].pc = "r1", ![t].w = G.nold[w]]

(* --- the reaper *)
Z0 == /\ th[Reaper].pc = "z0"
      /\ \E o \in Snaps : /\ g.view[o].st = "free" /\ Over(g, o)
                          /\ g' = Wait([g EXCEPT !.view[o].st = "gone"], o)
                          /\ th' = [th EXCEPT ![Reaper].pc = "z1", ![Reaper].o = o]
Z1 == /\ th[Reaper].pc = "z1" /\ (Over(g, th[Reaper].o) \/ Bug = "sweep_early")
      /\ LET w == g.cell IN
         /\ g' = Pin(g, Reaper)
         /\ th' = [th EXCEPT ![Reaper].pc = IF w = 0 THEN "z9" ELSE "z2", ![Reaper].w = w]
Z2 == /\ th[Reaper].pc = "z2"
      /\ LET w == th[Reaper].w  G == Touch(g, w) IN
         g' = G /\ IF G.hdr[w].tag = "node" THEN Trim(Reaper, w) ELSE Go(Reaper, "z9")
Z5 == /\ th[Reaper].pc = "z5"                               \* a tombstone that nothing is under leaves its cell
      /\ LET w == th[Reaper].w IN
         IF ~Live(w) /\ (g.nold[w] = 0 \/ Bug = "sweep_tomb") /\ g.cell = w
         THEN g' = [g EXCEPT !.cell = 0] /\ th' = [th EXCEPT ![Reaper].pc = "m1", ![Reaper].v = w]
         ELSE g' = g /\ Go(Reaper, "z9")
Z9 == /\ th[Reaper].pc = "z9" /\ g' = Unpin(g, Reaper) /\ th' = [th EXCEPT ![Reaper] = Idle]

Sub(t) == D1(t) \/ D2(t) \/ X1(t) \/ X2(t) \/ X3(t) \/ X4(t) \/ X5(t) \/ X6(t) \/ M1(t) \/ M2(t)
Step(t) == \/ Sub(t) \/ W0(t) \/ W1(t) \/ W2(t) \/ W5(t) \/ W7(t) \/ S0(t) \/ S1(t) \/ S2(t) \/ S3(t) \/ R0(t) \/ R1(t) \/ R2(t)
AllOver == (\A t \in Threads : th[t].pc = "end") /\ th[Reaper].pc = "z0" /\ \A o \in Snaps : g.view[o].st = "gone"
Next == (\E t \in Threads : Step(t)) \/ Sub(Reaper) \/ Z0 \/ Z1 \/ Z2 \/ Z5 \/ Z9 \/ (AllOver /\ UNCHANGED vars)
Spec == Init /\ [][Next]_vars

(* --- what must hold *)
NothingBad == g.bad = "none"
(* C2: whoever read a held view now, would find what it shows, in memory that is not retired. *)
RECURSIVE Shown(_, _)
Shown(w, s) == IF w = 0 THEN 0
               ELSE LET h == g.hdr[w] IN
                    CASE g.mem[w] # "live" -> -1
                      [] h.tag = "node" -> IF g.nts[w] # 0 /\ g.nts[w] <= s THEN w ELSE Shown(g.nold[w], s)
                      [] OTHER -> IF h.tag = "ts" /\ h.ts <= s THEN w ELSE 0
HeldOK == \A o \in Snaps : g.view[o].st = "held" =>
              LET x == Shown(g.cell, g.view[o].s) IN (IF x = -1 \/ Live(x) THEN x ELSE 0) = At(o)
(* C4 *)
CurrentOK == LET x == g.eff[Len(g.eff)] IN IF Live(x) THEN g.cell = x ELSE ~Live(g.cell)
(* In the end nothing is kept. *)
EndOK == AllOver => \A v \in Versions : /\ g.mem[-v] # "live"
                                        /\ (g.mem[v] = "live") <=> (v = g.cell)
                                        /\ v = g.cell => Live(v)
=============================================================================
