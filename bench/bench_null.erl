%% bench_null: a table that does nothing. What a loop costs on it is what the loop costs.
-module(bench_null).

-compile(export_all).
-compile(nowarn_export_all).

new(_Name, _Options) -> null.
delete(_T) -> true.
delete(_T, _Key) -> true.
insert(_T, _Object) -> true.
insert_new(_T, _Object) -> true.
lookup(_T, _Key) -> [].
lookup_element(_T, _Key, _Pos) -> 0.
member(_T, _Key) -> true.
take(_T, _Key) -> [].
update_counter(_T, _Key, _Ops) -> 0.
update_element(_T, _Key, _Ops) -> true.
