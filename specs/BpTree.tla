------------------------------- MODULE BpTree -------------------------------
(* The lock-free B+ tree of c_src/engine/mem/bptree*.c: leaves under one inner node.

   A node is one atomic content; a leaf's content is immutable:
       at    key -> number of its cell          used  the cells behind these are the tail's
       blk   its block of cells                 high  keys of this leaf are below
       right the next leaf, 0 at the end        mg    MERGING: this content is the node's last
   A cell is 0 (unused), a version (> 0), then perhaps CLOSED (-1); fz stops all change.
   The inner node has its children in order, each with its lowest key, and the child being merged away (0: none).

   The tail is the cells from used + 1 to the first unused one. Its keys are in the tree though `at` does not name them.

   Search     look in `at`; if the key is not there, or its cell is closed, go through the tail, cell by cell.
   Insert     search; CAS the version into the unused cell at the tail's end. If that fails, start over. Then perhaps fold.
   Fold       CAS the content to a copy that names the tail's keys too, in the same block.
   Overwrite  CAS the cell. Delete: CAS the cell to CLOSED, then perhaps a fold without closed keys.
   Rewrite    freeze the cells up to the first unused one, that included; CAS the content to a copy with a fresh
              block; or to half of it, with the other half in a new leaf to the right (split; its separator is
              posted later).
   Merge      (1) flag the parent, which does not change till the end; (2) mark the right leaf MERGING, freeze it;
              (3) the leaf whose right link it is takes its keys, link and fence, in one CAS; (4) the parent
              loses flag and child. Whoever is in the way does the missing steps.

   eff[k] is the present version of key k (0: absent), written where operations take effect; seen[t] collects what was
   true while thread t's operation ran; took has the versions that took effect. Bug: a planted mistake, or "none".                            *)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS Keys, Threads, Prog, Start, Cap, Bug
VARIABLES par, content, cells, th, eff, seen, stay, took, bad
shared == <<par, content, cells>>
vars == <<par, content, cells, th, eff, seen, stay, took, bad>>

Closed == -1
Top == 9                     \* above all keys
Max(S) == CHOOSE x \in S : \A y \in S : y <= x
Min(S) == CHOOSE x \in S : \A y \in S : x <= y
(* The m least of a set of numbers. *)
Least(S, m) == {x \in S : Cardinality({y \in S : y < x}) < m}

Cell(w) == [w |-> w, fz |-> FALSE]
(* A block and its content for the pairs key -> version of `items`. *)
Rank(S, x) == Cardinality({y \in S : y <= x})
BlockOf(items) == [i \in 1..Cap |-> IF i <= Cardinality(DOMAIN items)
                                    THEN Cell(items[CHOOSE k \in DOMAIN items : Rank(DOMAIN items, k) = i])
                                    ELSE Cell(0)]
ContentOf(items, blk, high, right) ==
    [at |-> [k \in DOMAIN items |-> Rank(DOMAIN items, k)], used |-> Cardinality(DOMAIN items),
     blk |-> blk, high |-> high, right |-> right, mg |-> FALSE]
(* A version's number tells its key: 1..9 are there at the start, 100 t + 10 i + k later. *)
KeyOf(v) == v % 10
Only(f, S) == [x \in DOMAIN f \cap S |-> f[x]]
(* Where the tail of content c ends, its living keys, and those of the whole leaf; w/o the dead ones of `gone`. *)
TailEnd(c) == Max({i \in c.used..Cap : \A j \in c.used + 1..i : cells[c.blk][j].w # 0})
TailCells(c) == {i \in c.used + 1..TailEnd(c) : cells[c.blk][i].w > 0}
TailKeys(c) == {KeyOf(cells[c.blk][i].w) : i \in TailCells(c)}
Folded(c, gone) ==
    [c EXCEPT !.used = TailEnd(c),
              !.at = [k \in (DOMAIN c.at \ gone) \cup TailKeys(c) |->
                        IF k \in TailKeys(c) THEN CHOOSE i \in TailCells(c) : KeyOf(cells[c.blk][i].w) = k ELSE c.at[k]]]
Dead(c) == {k \in DOMAIN c.at : cells[c.blk][c.at[k]].w <= 0}

(* Start: the sets of keys of the leaves, all below the first key of the next. *)
Low(i) == IF i = 1 THEN 0 ELSE Min(Start[i])
Fresh(t, i) == [pc |-> IF i > Len(Prog[t]) THEN "end" ELSE "p", i |-> i, n |-> 0, c |-> <<>>, p |-> <<>>, link |-> FALSE,
                j |-> 0, w |-> 0, r |-> 0, cur |-> 0, got |-> {}, ret |-> ""]
Init ==
    /\ par = [kids |-> [i \in 1..Len(Start) |-> [lo |-> Low(i), n |-> i]], mrg |-> 0]
    /\ content = [i \in 1..Len(Start) |->
                     ContentOf([k \in Start[i] |-> k], i, IF i < Len(Start) THEN Low(i + 1) ELSE Top,
                               IF i < Len(Start) THEN i + 1 ELSE 0)]
    /\ cells = [i \in 1..Len(Start) |-> BlockOf([k \in Start[i] |-> k])]
    /\ th = [t \in Threads |-> Fresh(t, 1)]
    /\ eff = [k \in Keys |-> IF \E i \in 1..Len(Start) : k \in Start[i] THEN k ELSE 0]
    /\ seen = [t \in Threads |-> {}]
    /\ stay = [t \in Threads |-> {}]
    /\ took = {}
    /\ bad = "none"

Op(t) == Prog[t][th[t].i]
MyV(t) == 100 * t + 10 * th[t].i + Op(t).k
(* The key that a thread looks for: a walk, the first one after the last it got. *)
Want(t) == IF Op(t).op = "walk" THEN th[t].cur + 1 ELSE IF Op(t).op = "merge" THEN 0 ELSE Op(t).k
Flag(ok, name) == bad' = IF ok \/ bad # "none" THEN bad ELSE name
NoHist == UNCHANGED <<eff, seen, stay, took, bad>>
Jump(t, pc) == th' = [th EXCEPT ![t].pc = pc]
(* Over again, from the parent. *)
Again(t) == th' = [th EXCEPT ![t] = [Fresh(t, @.i) EXCEPT !.cur = th[t].cur, !.got = th[t].got]]
Finish(t) == th' = [th EXCEPT ![t] = Fresh(t, @.i + 1)]
(* Key k becomes v. *)
Effect(k, v) == /\ eff' = [eff EXCEPT ![k] = v]
                /\ seen' = [t \in Threads |->
                              IF th[t].pc # "end" /\ Op(t).op \in {"find", "del"} /\ Op(t).k = k /\ seen[t] # {}
                              THEN seen[t] \cup {v} ELSE seen[t]]
                /\ took' = took \cup {v}
                /\ stay' = IF v = 0 THEN [t \in Threads |-> stay[t] \ {k}] ELSE stay
NoEffect == UNCHANGED <<eff, seen, stay, took>>
Answer(t, w) == /\ Flag(w \in seen[t], "an answer that was never true meanwhile")
                /\ Finish(t)
                /\ seen' = [seen EXCEPT ![t] = {}]
                /\ UNCHANGED <<eff, stay, took>>

(* ------------------------------------------------ coming down *)
Child(p, k) == Max({i \in 1..Len(p.kids) : p.kids[i].lo <= k})
Down(t) == /\ th[t].pc = "p"
           /\ LET k == Want(t)  op == Op(t).op  i == Child(par, k) IN
              /\ IF op = "merge"
                 THEN IF par.mrg # 0 THEN th' = [th EXCEPT ![t].pc = "m2", ![t].r = par.mrg, ![t].p = par]
                      ELSE IF Len(par.kids) < 2 THEN Finish(t)
                      ELSE th' = [th EXCEPT ![t].pc = "m1", ![t].p = par]
                 ELSE th' = [th EXCEPT ![t].pc = "l", ![t].p = par, ![t].n = par.kids[i].n, ![t].link = FALSE]
              /\ seen' = IF op \in {"find", "del"} /\ seen[t] = {} THEN [seen EXCEPT ![t] = {eff[k]}] ELSE seen
              /\ stay' = IF op = "walk" /\ th[t].cur = 0 /\ th[t].got = {}
                         THEN [stay EXCEPT ![t] = {x \in Keys : eff[x] # 0}] ELSE stay
           /\ UNCHANGED shared /\ UNCHANGED <<eff, took, bad>>
Writes(t) == Op(t).op \in {"put", "del"}
(* What is to be done in leaf content c, which has the key's range. *)
InLeaf(t, n, c) ==
    LET k == Want(t) IN
    IF c.mg /\ Writes(t) THEN th' = [th EXCEPT ![t].pc = "mp", ![t].n = n, ![t].c = c]
    ELSE IF Op(t).op = "walk"
    THEN LET v == Folded(c, {})  more == {x \in DOMAIN v.at : x >= k} IN       \* what a walk makes for itself, or a fold
         IF more # {} THEN th' = [th EXCEPT ![t].pc = "v", ![t].n = n, ![t].c = v, ![t].cur = Min(more) - 1,
                                     ![t].j = v.at[Min(more)]]
         ELSE IF c.right = 0 THEN Jump(t, "we")
         ELSE th' = [th EXCEPT ![t].pc = "l", ![t].n = c.right, ![t].link = TRUE, ![t].cur = Max({@, c.high - 1})]
    ELSE IF k \in DOMAIN c.at THEN th' = [th EXCEPT ![t].pc = "v", ![t].n = n, ![t].c = c, ![t].j = c.at[k]]
    ELSE th' = [th EXCEPT ![t].pc = "t", ![t].n = n, ![t].c = c, ![t].j = c.used + 1]
Look(t) == /\ th[t].pc = "l"
           /\ LET me == th[t]  c == content[me.n]  i == Child(me.p, Want(t)) IN
              IF c.mg /\ ~me.link /\ ~Writes(t) /\ Bug # "enter_merging"
              THEN IF i = 1 THEN Again(t)
                   ELSE th' = [th EXCEPT ![t].n = me.p.kids[i - 1].n, ![t].link = TRUE]   \* on from its left neighbour
              ELSE IF c.high <= Want(t)
              THEN IF Bug = "no_right_link" THEN Jump(t, "no")
                   ELSE th' = [th EXCEPT ![t].n = c.right, ![t].link = TRUE]
              ELSE InLeaf(t, me.n, c)
           /\ UNCHANGED shared /\ NoHist
No(t) == /\ th[t].pc = "no" /\ Answer(t, 0)                 \* the key is not there
         /\ UNCHANGED shared
WalkEnd(t) == /\ th[t].pc = "we"
              /\ Flag(stay[t] \subseteq th[t].got, "a walk missed a key")
              /\ Finish(t)
              /\ stay' = [stay EXCEPT ![t] = {}]
              /\ UNCHANGED shared /\ UNCHANGED <<eff, seen, took>>
(* The key is not in the content: through the tail. *)
Along(t) == /\ th[t].pc = "t"
            /\ LET me == th[t]  k == Want(t)  op == Op(t).op
                   x == IF me.j > Cap THEN Cell(0) ELSE cells[me.c.blk][me.j] IN
               th' = IF me.j <= Cap /\ x.w # 0 /\ (x.w = Closed \/ KeyOf(x.w) # k \/ Bug = "tail_unseen") THEN [th EXCEPT ![t].j = @ + 1]
                     ELSE IF x.w # 0 THEN [th EXCEPT ![t].pc = "v"]
                     ELSE IF op # "put" THEN [th EXCEPT ![t].pc = "no"]
                     ELSE IF me.j > Cap THEN [th EXCEPT ![t].pc = "f", ![t].j = 1, ![t].ret = "rw"]
                     ELSE [th EXCEPT ![t].pc = "i"]
            /\ UNCHANGED shared /\ NoHist
(* The key has a cell: look at it. *)
Value(t) == /\ th[t].pc = "v"
            /\ LET me == th[t]  k == Want(t)  x == cells[me.c.blk][me.j]  op == Op(t).op IN
               CASE op # "walk" /\ x.w <= 0 /\ me.j <= me.c.used ->
                       th' = [th EXCEPT ![t].pc = "t", ![t].j = me.c.used + 1] /\ NoHist
                 [] op = "find" -> Answer(t, IF x.w > 0 THEN x.w ELSE 0)
                 [] op = "walk" ->
                       /\ IF k + 1 > Max(Keys) THEN th' = [th EXCEPT ![t].pc = "we", ![t].got = IF x.w > 0 THEN @ \cup {k} ELSE @]
                          ELSE th' = [th EXCEPT ![t] = [Fresh(t, @.i) EXCEPT !.cur = k,
                                          !.got = IF x.w > 0 THEN th[t].got \cup {k} ELSE th[t].got]]
                       /\ NoHist
                 [] op \in {"put", "del"} /\ x.w > 0 /\ ~x.fz -> th' = [th EXCEPT ![t].pc = "o", ![t].w = x.w] /\ NoHist
                 [] op \in {"put", "del"} /\ x.w <= 0 -> Again(t) /\ NoHist
                 [] OTHER -> th' = [th EXCEPT ![t].pc = "f", ![t].j = 1, ![t].ret = "rw"] /\ NoHist
            /\ UNCHANGED shared
(* Overwrite or close. *)
Over(t) == /\ th[t].pc = "o"
           /\ LET me == th[t]  k == Want(t)  b == me.c.blk  i == me.j  del == Op(t).op = "del" IN
              IF cells[b][i].w = me.w /\ (~cells[b][i].fz \/ Bug = "no_frozen")
              THEN /\ cells' = [cells EXCEPT ![b][i].w = IF del THEN Closed ELSE MyV(t)]
                   /\ Effect(k, IF del THEN 0 ELSE MyV(t))
                   /\ IF del THEN Jump(t, "c") ELSE Finish(t)
              ELSE Again(t) /\ UNCHANGED cells /\ NoEffect
           /\ UNCHANGED <<par, content, bad>>
(* A fold without closed keys. Who deleted one may leave that to others, for ever. *)
Without(t) == /\ th[t].pc = "c"
              /\ LET me == th[t]  c == me.c IN
                 \E folds \in BOOLEAN :
                 content' = IF folds /\ ~c.mg /\ content[me.n] = c
                            THEN [content EXCEPT ![me.n] = Folded(c, Dead(c))] ELSE content
              /\ Finish(t) /\ seen' = [seen EXCEPT ![t] = {}]
              /\ UNCHANGED <<par, cells, eff, stay, took, bad>>
(* ------------------------------------------------ insertion *)
Insert(t) == /\ th[t].pc = "i"
             /\ LET me == th[t]  b == me.c.blk  x == cells[b][me.j] IN
                IF x.w = 0 /\ ~x.fz
                THEN cells' = [cells EXCEPT ![b][me.j].w = MyV(t)] /\ Effect(Want(t), MyV(t)) /\ Jump(t, "d")
                ELSE /\ UNCHANGED cells /\ NoEffect
                     /\ IF x.fz THEN th' = [th EXCEPT ![t].pc = "f", ![t].j = 1, ![t].ret = "rw"]
                        ELSE IF Bug = "next_cell" /\ me.j < Cap THEN th' = [th EXCEPT ![t].j = @ + 1]
                        ELSE Again(t)
             /\ UNCHANGED <<par, content, bad>>
Fold(t) == /\ th[t].pc = "d"
           /\ LET me == th[t]  c == me.c IN
              \E folds \in BOOLEAN :
              content' = IF folds /\ ~c.mg /\ (content[me.n] = c \/ (Bug = "blind_fold" /\ ~content[me.n].mg))
                         THEN [content EXCEPT ![me.n] = Folded(c, {})] ELSE content
           /\ Finish(t)
           /\ UNCHANGED <<par, cells>> /\ NoHist
(* ------------------------------------------------ freezing and rewriting *)
Freeze(t) == /\ th[t].pc = "f"
             /\ LET me == th[t] IN
                /\ cells' = IF (Bug = "freeze_one" /\ me.j > 1) \/ (Bug = "freeze_named" /\ me.j > me.c.used) THEN cells
                            ELSE [cells EXCEPT ![me.c.blk][me.j].fz = TRUE]
                /\ IF me.j < Cap /\ cells[me.c.blk][me.j].w # 0 THEN th' = [th EXCEPT ![t].j = @ + 1] ELSE Jump(t, me.ret)
             /\ UNCHANGED <<par, content>> /\ NoHist
(* What a content whose cells are frozen holds. *)
Items(c) == LET f == IF Bug = "entries_alone" THEN c ELSE Folded(c, {}) IN
            [k \in {x \in DOMAIN f.at : cells[c.blk][f.at[x]].w > 0} |-> cells[c.blk][f.at[k]].w]
(* Makes node n's content the items, in one leaf or in two. *)
Put(n, items, high, right) ==
    LET ks == DOMAIN items  b == Len(cells) + 1 IN
    IF Cardinality(ks) < Cap
    THEN /\ content' = [content EXCEPT ![n] = ContentOf(items, b, high, right)]
         /\ cells' = Append(cells, BlockOf(items))
    ELSE LET ls == Least(ks, (Cardinality(ks) + 1) \div 2)  rs == ks \ ls  m == Len(content) + 1 IN
         /\ content' = Append([content EXCEPT ![n] = ContentOf(Only(items, ls), b, Min(rs), m)],
                              ContentOf(Only(items, rs), b + 1, high, right))
         /\ cells' = cells \o << BlockOf(Only(items, ls)), BlockOf(Only(items, rs)) >>
(* All cells are frozen. A leaf whose right neighbour is MERGING is not rewritten but takes that in: otherwise
   the one who freezes it for the merge and the one who gives it fresh cells go on for ever. *)
Rewrite1(t) == /\ th[t].pc = "rw"
               /\ LET me == th[t]  c == content[me.n] IN
                  IF c.blk # me.c.blk \/ c.mg THEN Again(t)
                  ELSE th' = [th EXCEPT ![t].c = c,
                                 ![t].pc = IF c.right # 0 /\ Bug # "rewrite_beside_merge" THEN "rr" ELSE "rx"]
               /\ UNCHANGED shared /\ NoHist
Rewrite2(t) == /\ th[t].pc = "rr"
               /\ IF content[th[t].c.right].mg THEN th' = [th EXCEPT ![t].pc = "mp", ![t].n = th[t].c.right]
                  ELSE Jump(t, "rx")
               /\ UNCHANGED shared /\ NoHist
Rewrite3(t) == /\ th[t].pc = "rx"
               /\ LET me == th[t]  c == me.c IN
                  IF content[me.n] # c
                  THEN Jump(t, "rw") /\ UNCHANGED <<content, cells>> /\ NoEffect
                  ELSE /\ Put(me.n, Items(c), c.high, c.right)
                       /\ NoEffect
                       /\ IF Cardinality(DOMAIN Items(c)) < Cap THEN Again(t)
                          ELSE th' = [th EXCEPT ![t] = [Fresh(t, @.i) EXCEPT !.pc = "s", !.n = me.n]]
               /\ UNCHANGED <<par, bad>>
(* Posts the separator of the leaf right of n; a merge goes first. *)
Post(t) == /\ th[t].pc = "s"
           /\ LET c == content[th[t].n]  ks == par.kids IN
              IF par.mrg # 0
              THEN UNCHANGED par /\ th' = [th EXCEPT ![t].pc = "m2", ![t].r = par.mrg, ![t].p = par]
              ELSE /\ Again(t)
                   /\ par' = IF c.right = 0 \/ c.mg \/ content[c.right].mg \/ \E i \in 1..Len(ks) : ks[i].lo = c.high THEN par
                             ELSE LET i == Max({x \in 1..Len(ks) : ks[x].lo < c.high}) IN
                                  [par EXCEPT !.kids = SubSeq(ks, 1, i) \o << [lo |-> c.high, n |-> c.right] >>
                                                       \o SubSeq(ks, i + 1, Len(ks))]
           /\ UNCHANGED <<content, cells>> /\ NoHist
(* ------------------------------------------------ merging *)
(* A writer in a MERGING leaf: what is going on? Nothing any more: start over. *)
MeetsMerge(t) == /\ th[t].pc = "mp"
                 /\ IF par.mrg = th[t].n
                    THEN th' = [th EXCEPT ![t].pc = "m2", ![t].r = par.mrg, ![t].p = par]
                    ELSE Again(t)
                 /\ UNCHANGED shared /\ NoHist
Merge1(t) == /\ th[t].pc = "m1"
             /\ \E i \in 2..Len(th[t].p.kids) :
                   IF par = th[t].p
                   THEN /\ par' = [par EXCEPT !.mrg = par.kids[i].n]
                        /\ th' = [th EXCEPT ![t].pc = "m2", ![t].r = par.kids[i].n, ![t].p = par']
                   ELSE UNCHANGED par /\ Again(t)
             /\ UNCHANGED <<content, cells>> /\ NoHist
Merge2(t) == /\ th[t].pc = "m2"                             \* mark, then freeze
             /\ LET r == th[t].r IN
                /\ content' = [content EXCEPT ![r].mg = TRUE]
                /\ th' = [th EXCEPT ![t].pc = IF Bug = "merge_unfrozen" THEN "m3" ELSE "f",
                                    ![t].c = content[r], ![t].j = 1,
                                    ![t].ret = "m3"]
             /\ UNCHANGED <<par, cells>> /\ NoHist
(* Looks for the leaf whose right link is r, from the left neighbour that the parent names. *)
Merge3(t) == /\ th[t].pc = "m3"
             /\ LET me == th[t]
                    i == CHOOSE x \in 1..Len(me.p.kids) : me.p.kids[x].n = me.r
                    lo == me.p.kids[i].lo IN
                th' = [th EXCEPT ![t].pc = "m4", ![t].n = me.p.kids[i - 1].n, ![t].cur = IF Op(t).op = "walk" THEN @ ELSE lo]
             /\ UNCHANGED shared /\ NoHist
Merge4(t) == /\ th[t].pc = "m4"
             /\ LET me == th[t]  c == content[me.n] IN
                IF c.right = me.r
                THEN th' = [th EXCEPT ![t].pc = "f", ![t].c = c, ![t].j = 1, ![t].ret = "m5"]
                ELSE IF c.high > me.cur \/ c.right = 0
                THEN Jump(t, "m6")                     \* absorbed
                ELSE th' = [th EXCEPT ![t].n = c.right]
             /\ UNCHANGED shared /\ NoHist
Merge5(t) == /\ th[t].pc = "m5"
             /\ LET me == th[t]  c == content[me.n]  rc == content[me.r] IN
                IF c.blk # me.c.blk \/ c.right # me.r
                THEN Jump(t, "m4") /\ UNCHANGED <<content, cells>> /\ NoEffect
                ELSE /\ Put(me.n, [k \in DOMAIN Items(c) \cup DOMAIN Items(rc) |->
                                     IF k \in DOMAIN Items(c) THEN Items(c)[k] ELSE Items(rc)[k]],
                            rc.high, IF Bug = "merge_keeps_link" THEN c.right ELSE rc.right)
                     /\ NoEffect
                     /\ Jump(t, "m6")
             /\ UNCHANGED <<par, bad>>
Merge6(t) == /\ th[t].pc = "m6"
             /\ LET me == th[t]  i == CHOOSE x \in 1..Len(me.p.kids) : me.p.kids[x].n = me.r IN
                par' = IF par = me.p
                       THEN [kids |-> SubSeq(par.kids, 1, i - 1) \o SubSeq(par.kids, i + 1, Len(par.kids)), mrg |-> 0]
                       ELSE par
             /\ IF Op(t).op = "merge" THEN Finish(t) ELSE th' = [th EXCEPT ![t] = Fresh(t, @.i)]
             /\ UNCHANGED <<content, cells>> /\ NoHist

Step(t) == \/ Down(t) \/ Look(t) \/ No(t) \/ WalkEnd(t) \/ Along(t) \/ Value(t) \/ Over(t) \/ Without(t) \/ Insert(t) \/ Fold(t)
           \/ Freeze(t) \/ Rewrite1(t) \/ Rewrite2(t) \/ Rewrite3(t) \/ Post(t) \/ MeetsMerge(t)
           \/ Merge1(t) \/ Merge2(t) \/ Merge3(t) \/ Merge4(t) \/ Merge5(t) \/ Merge6(t)
Ended == (\A t \in Threads : th[t].pc = "end") /\ UNCHANGED vars
Next == (\E t \in Threads : Step(t)) \/ Ended
Spec == Init /\ [][Next]_vars

(* ------------------------------------------------ what must hold *)
NothingBad == bad = "none"
(* Nodes that a search from the left end passes, in order. *)
RECURSIVE Chain(_)
Chain(n) == IF n = 0 THEN <<>> ELSE <<n>> \o Chain(content[n].right)
Line == Chain(par.kids[1].n)
Living(b, i) == cells[b][i].w > 0
(* T1: fences ascend along the chain, and keys lie between them, each once. *)
T1 == \A i \in 1..Len(Line) :
        LET c == Folded(content[Line[i]], {})  lo == IF i = 1 THEN 0 ELSE content[Line[i - 1]].high IN
        /\ lo < c.high
        /\ \A k \in DOMAIN c.at : lo <= k /\ k < c.high
        /\ (c.right = 0) = (c.high = Top)
        /\ \A x, y \in 1..Cap : x # y => ~(Living(c.blk, x) /\ Living(c.blk, y) /\ KeyOf(cells[c.blk][x].w) = KeyOf(cells[c.blk][y].w))
(* Who starts now finds what is there: the chain agrees with the history. *)
Found(k) == LET n == Line[Min({i \in 1..Len(Line) : content[Line[i]].high > k})]  c == Folded(content[n], {}) IN
            IF k \in DOMAIN c.at /\ cells[c.blk][c.at[k]].w > 0 THEN cells[c.blk][c.at[k]].w ELSE 0
Findable == \A k \in Keys : Found(k) = eff[k]
(* A put that has returned took effect, overwritten since or not. *)
Took == \A t \in Threads : \A i \in 1..th[t].i - 1 :
            Prog[t][i].op = "put" => 100 * t + 10 * i + Prog[t][i].k \in took
(* T3: a child's lower bound is the parent's separator: a search never comes down too far right. *)
T3 == \A i \in 2..Len(par.kids) : \A j \in 1..Len(Line) :
        (Line[j] = par.kids[i].n /\ j > 1) => content[Line[j - 1]].high = par.kids[i].lo
(* T2: cells never go back. T4: a MERGING content is a node's last. *)
Before(x, y) == \/ x.w = y.w \/ (x.w = 0 /\ ~x.fz) \/ (x.w > 0 /\ y.w # 0 /\ ~x.fz)
T2 == [][\A b \in 1..Len(cells) : \A i \in 1..Cap :
            /\ Before(cells[b][i], cells'[b][i]) /\ (cells[b][i].fz => cells'[b][i].fz)
            /\ (i > 1 /\ cells'[b][i].w # 0 => cells'[b][i - 1].w # 0)]_vars
T4 == [][\A n \in 1..Len(content) : content[n].mg => content'[n] = content[n]]_vars
=============================================================================
