------------------------------- MODULE MCEbr -------------------------------
(* Bounds for Ebr.tla: "late" has a late helper, "plain" has none. *)
EXTENDS Ebr
CONSTANTS Scenario
MCReaders == IF Scenario = "late" THEN {1} ELSE {1, 2}
MCHelpers == IF Scenario = "late" THEN {2} ELSE {}
=============================================================================
