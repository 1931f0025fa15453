%% bench_plot: results as one SVG picture, by hand.
%%
%% Rows are operations, panels are kinds of table, a dot is the ratio at one number of objects on a logarithmic axis;
%% the line at 1 is ets. Larger and darker dots are larger tables; losses are red. Below,
%% bytes per object as shares of ets's.
-module(bench_plot).

-export([draw/3]).

-define(WIDTH, 980).
-define(LABELS, 215).           % left of the first panel
-define(PANEL, 340).            % width of a panel
-define(GAP, 35).
-define(ROW, 18).
-define(LOW, -2.5).             % ends of the axis, powers of two
-define(HIGH, 6.5).

draw(Results, Memory, Title) ->
    Sections = [S || {_, _, [_ | _]} = S <- sections(Results)],
    {Body, Y} = lists:foldl(fun(Section, {Acc, Top}) ->
                                    {Text, Next} = section(Section, Results, Top),
                                    {[Acc, Text], Next}
                            end, {[], 92}, Sections),
    {Bars, Bottom} = memory(Memory, Y),
    [io_lib:format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ~b ~b\" width=\"~b\" height=\"~b\" "
                   "font-family=\"-apple-system, Segoe UI, Helvetica, Arial, sans-serif\" font-size=\"12\">~n",
                   [?WIDTH, Bottom, ?WIDTH, Bottom]),
     "<style>.win{fill:#2563a8}.even{fill:#8a94a0}.loss{fill:#d0342c}.lab{fill:#222}.dim{fill:#6b7480}"
     ".grid{stroke:#e3e7eb}.one{stroke:#222;stroke-width:1.3}</style>\n",
     io_lib:format("<rect width=\"~b\" height=\"~b\" rx=\"8\" fill=\"#fff\"/>~n", [?WIDTH, Bottom]),
     text(20, 32, "lab", "start", "font-size=\"18\" font-weight=\"600\"", "tsunami against ets: how many times as fast"),
     text(20, 52, "dim", "start", "", ["medians of alternating rounds in one VM, ", Title,
                                       "; right of the line at 1 tsunami is faster; the figure is of the largest table"]),
     legend(72), Body, Bars, "</svg>\n"].

legend(Y) ->
    [[io_lib:format("<circle class=\"win\" cx=\"~b\" cy=\"~b\" r=\"~.1f\" fill-opacity=\"~.2f\"/>~n",
                    [X, Y - 4, radius(Size), opacity(Size)]),
      text(X + 12, Y, "dim", "start", "", [count(Size), " objects"])]
     || {X, Size} <- [{28, 1000}, {138, 100000}, {262, 2000000}]] ++
        [[io_lib:format("<circle class=\"~s\" cx=\"~b\" cy=\"~b\" r=\"5\"/>~n", [Class, X, Y - 4]),
          text(X + 12, Y, "dim", "start", "", Word)]
         || {X, Class, Word} <- [{420, "win", "faster"}, {495, "even", "even, within the spread"},
                               {660, "loss", "slower"}]].

%% A number with its digits in threes.
count(N) when N < 1000 -> integer_to_list(N);
count(N) -> io_lib:format("~s ~3..0b", [count(N div 1000), N rem 1000]).

%% {Heading, Panels, Rows}: a row is {Label, fun(Id) -> boolean()}.
sections(Results) ->
    Trees = [set, ordered_set],
    Bags = [bag, duplicate_bag],
    Ids = [Id || {Id, _} <- Results],
    [{"one process, {Int, Int, Atom}", Trees,
      rows(Ids, [{label(M), fun(Id) -> is(Id, M, int, 1) andalso tree(Id) end} || M <- order(Ids)])},
     {"one process, other keys and values", Trees,
      rows(Ids, [{[label(M), ", ", bench_data:name(D)], fun(Id) -> is(Id, M, D, 1) andalso tree(Id) end}
                 || D <- [bin, tuple, atom, bin100, shared100, str100, map], M <- [lookup, overwrite, insert, delete]])},
     {"many processes (percent of updates)", Trees,
      rows(Ids, [{io_lib:format("~s, ~b process~s", [label(M), P, if P > 1 -> "es"; true -> "" end]),
                  fun(Id) -> is(Id, M, int, P) end}
                 || M <- [mix_0, mix_1, mix_10, mix_50], P <- [1, 2, 16]] ++
               [{label(lookup_beside_list), fun(Id) -> is(Id, lookup_beside_list, int, 2) end}])},
     {"bags", Bags,
      rows(Ids, [{[label(M), case D of four -> ", 4 to a key"; int -> "" end],
                  fun(Id) -> is(Id, M, D, 1) andalso not tree(Id) end}
                 || D <- [int, four], M <- order(Ids)])}].

is(#{metric := M, data := D, procs := P}, M, D, P) -> true;
is(_, _, _, _) -> false.

tree(#{type := Type}) -> Type =:= set orelse Type =:= ordered_set.

rows(Ids, Rows) -> [Row || {_, Is} = Row <- Rows, lists:any(Is, Ids)].

order(Ids) ->
    Known = [lookup, lookup_miss, member, lookup_element, next, prev, insert, insert_new, insert_new_taken, overwrite,
             update_counter, update_element, delete, take, fill, insert_list, tab2list, foldl, select_key, select_range,
             range, select_part, select_prefix,
             select_count, select_all, select_chunks, match_object, new_delete, new_ten_delete, delete_table],
    [M || M <- Known, lists:any(fun(#{metric := Metric}) -> Metric =:= M end, Ids)].

label(lookup_miss) -> "lookup, not there";
label(insert_new_taken) -> "insert_new, taken";
label(fill) -> "fill an empty table";
label(insert_list) -> "insert a list of 200 000";
label(new_delete) -> "new, delete";
label(new_ten_delete) -> "new, 10 inserts, delete";
label(delete_table) -> "delete the table (the call)";
label(select_range) -> "select 100 by key guards";
label(range) -> "range of 100";
label(select_part) -> "select 100 by a part of the key";
label(select_prefix) -> "select by a binary's prefix";
label(lookup_beside_list) -> "lookup beside list inserts";
label(mix_0) -> "0 %";
label(mix_1) -> "1 %";
label(mix_10) -> "10 %";
label(mix_50) -> "50 %";
label(Metric) -> atom_to_list(Metric).

section({Heading, Panels, Rows}, Results, Top) ->
    Bottom = Top + 48 + length(Rows) * ?ROW,
    {[text(20, Top + 20, "lab", "start", "font-weight=\"600\"", Heading),
      [[text(at(I, 0), Top + 40, "lab", "middle", "font-weight=\"600\"", atom_to_list(Type)),
        axis(I, Top + 46, Bottom)] || {I, Type} <- lists:zip([0, 1], Panels)],
      [[text(?LABELS - 12, row(Top, R) + 4, "lab", "end", "", Label),
        [dots([{Size, S} || {#{type := T, size := Size} = Id, S} <- Results, T =:= Type, Is(Id)], I, row(Top, R))
         || {I, Type} <- lists:zip([0, 1], Panels)]]
       || {R, {Label, Is}} <- lists:zip(lists:seq(0, length(Rows) - 1), Rows)]],
     Bottom + 30}.

row(Top, R) -> Top + 46 + R * ?ROW + ?ROW div 2.

left(Panel) -> ?LABELS + Panel * (?PANEL + ?GAP).

axis(I, Top, Bottom) ->
    [[io_lib:format("<line class=\"~s\" x1=\"~.1f\" x2=\"~.1f\" y1=\"~b\" y2=\"~b\"/>~n",
                    [case Power of 0 -> "one"; _ -> "grid" end, at(I, Power), at(I, Power), Top, Bottom]),
      text(at(I, Power), Bottom + 13, "dim", "middle", "font-size=\"10\"", tick(Power))]
     || Power <- [-2, -1, 0, 1, 2, 3, 4, 5, 6]].

tick(Power) when Power < 0 -> ["1/", integer_to_list(1 bsl -Power)];
tick(Power) -> integer_to_list(1 bsl Power).

at(Panel, Power) -> left(Panel) + ?PANEL * (Power - ?LOW) / (?HIGH - ?LOW).

dots([], _Panel, _Y) -> [];
dots(Cells, Panel, Y) ->
    Sorted = lists:keysort(1, Cells),
    {_, Last} = lists:last(Sorted),
    [[dot(Cell, Panel, Y) || Cell <- Sorted],
     text(left(Panel) + ?PANEL + 8, Y + 4, class(Last), "start", "font-size=\"11\"", figure(maps:get(ratio, Last)))].

dot({Size, #{ratio := Ratio, a := A, b := B} = S}, Panel, Y) ->
    Power = math:log2(Ratio),
    X = at(Panel, max(?LOW, min(?HIGH - 0.15, Power))),
    Class = class(S),
    Title = io_lib:format("<title>~b objects: ets ~.1f ns, tsunami ~.1f ns</title>", [Size, A, B]),
    if
        Power > ?HIGH - 0.15; Power < ?LOW ->
            Tip = if Power > 0 -> 7; true -> -7 end,
            io_lib:format("<path class=\"~s\" d=\"M~.1f ~.1fL~.1f ~.1fL~.1f ~.1fZ\" fill-opacity=\"~.2f\">~s</path>~n",
                          [Class, X, Y - 5.0, X + Tip, float(Y), X, Y + 5.0, opacity(Size), Title]);
        true ->
            io_lib:format("<circle class=\"~s\" cx=\"~.1f\" cy=\"~b\" r=\"~.1f\" fill-opacity=\"~.2f\">~s</circle>~n",
                          [Class, X, Y, radius(Size), opacity(Size), Title])
    end.

%% By the line at 1, whatever the bar is.
class(Summary) ->
    case bench_report:verdict(Summary, 1.0) of
        loss -> "loss";
        even -> "even";
        _ -> "win"
    end.

radius(Size) when Size > 1000000 -> 6.0;
radius(Size) when Size > 10000 -> 4.8;
radius(_) -> 3.6.

opacity(Size) when Size > 1000000 -> 1.0;
opacity(Size) when Size > 10000 -> 0.65;
opacity(_) -> 0.4.

figure(Ratio) when Ratio >= 10 -> io_lib:format("~b", [round(Ratio)]);
figure(Ratio) -> io_lib:format("~.2f", [float(Ratio)]).

%% --- memory --------------------------------------------------------------------------------------

memory(Memory, Top) ->
    Cells = [{Id, E, T} || {#{metric := memory_per_object} = Id, {#{resident := E}, #{resident := T}}} <- Memory],
    case Cells of
        [] ->
            {[], Top};
        _ ->
            Rows = lists:zip(lists:seq(0, length(Cells) - 1), Cells),
            {[text(20, Top + 20, "lab", "start", "font-weight=\"600\"", "resident bytes per object"),
              text(?LABELS + 65, Top + 20, "dim", "start", "",
                   "grey: ets, as long in each row; coloured: tsunami's share of it"),
              [bars(Row, Top + 32 + I * 24) || {I, Row} <- Rows]],
             Top + 50 + length(Cells) * 24}
    end.

bars({#{type := Type, data := Data, size := Size}, Ets, Ours}, Y) ->
    Unit = 400 / Ets,
    [text(?LABELS + 55, Y + 13, "lab", "end", "", [atom_to_list(Type), " ", bench_data:name(Data), ", ", count(Size)]),
     [[io_lib:format("<rect class=\"~s\" x=\"~b\" y=\"~b\" width=\"~.1f\" height=\"9\"/>~n",
                     [Class, ?LABELS + 65, Yb, min(640.0, Unit * X)]),
       text(?LABELS + 70 + min(640.0, Unit * X), Yb + 8.5, "dim", "start", "font-size=\"10\"", integer_to_list(round(X)))]
      || {Class, Yb, X} <- [{"even", Y, Ets}, {if Ours > Ets -> "loss"; true -> "win" end, Y + 11, Ours}]]].

text(X, Y, Class, Anchor, More, Text) ->
    io_lib:format("<text class=\"~s\" x=\"~.1f\" y=\"~.1f\" text-anchor=\"~s\" ~s>~ts</text>~n",
                  [Class, float(X), float(Y), Anchor, More, escape(Text)]).

escape(Text) ->
    lists:flatmap(fun($<) -> "&lt;"; ($>) -> "&gt;"; ($&) -> "&amp;"; (C) -> [C] end, lists:flatten(Text)).
