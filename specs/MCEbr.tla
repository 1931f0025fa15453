------------------------------- MODULE MCEbr -------------------------------
(* Bounds for Ebr.tla: "late" has a late helper, "plain" has none. *)
EXTENDS Ebr
CONSTANTS Scenario
MCReaders == IF Scenario = "late" THEN {1, 2} ELSE {1, 2, 3}
MCHelpers == IF Scenario = "late" THEN {9} ELSE {}
=============================================================================
