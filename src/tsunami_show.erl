%% tsunami_show: tables on a terminal, with the columns, the prompts and the commands of ets:i/0..3.
-module(tsunami_show).

-include("tsunami_doc.hrl").
?MODULEDOC("Lists tables, and pages through one.").

-export([tables/0, table/3]).

-record(view, {table   :: tsunami:table(),
               height  :: pos_integer(),
               width   :: pos_integer(),
               %% Which objects are shown: by the text of one.
               filter = all :: all | {re, tuple()}}).

?DOC("Prints a line for each table, and answers when all are printed.").
-spec tables() -> ok.
tables() ->
    row([id, name, type, size, mem, owner]),
    io:put_chars([" ", lists:duplicate(76, $-), "\n"]),
    lists:foreach(fun line/1, lists:sort(tsunami_nif:all())).

line(Table) ->
    try
        [Name, Type, Size, Memory, Owner] =
            [tsunami:info(Table, Item) || Item <- [name, type, size, memory, owner]],
        row([Table, Name, Type, Size, Memory, registered(Owner)])
    catch
        error:_ -> io:format("~-10ts ... unreadable \n", [text(Table)])
    end.

registered(Owner) ->
    case process_info(Owner, registered_name) of
        {registered_name, Name} -> Name;
        _ -> Owner
    end.

%% What is too long for its column moves the rest to the right.
row(Cells) ->
    io:put_chars([lists:map(fun cell/1, lists:zip(Cells, [15, 17, 5, 6, 8, 0])), "\n"]).

cell({Cell, Width}) ->
    [" ", string:pad(text(Cell), Width)].

text(Term) ->
    lists:flatten(io_lib:format("~p", [Term])).

?DOC("Pages through a table: prints its objects, asks after each page of `Height` lines what is to be done, and does that.").
-spec table(tsunami:table(), pos_integer(), pos_integer()) -> ok.
table(Table, Height, Width) ->
    from_start(#view{table = Table, height = Height, width = Width}).

from_start(#view{table = Table} = View) ->
    page(View, tsunami_nif:first(Table), 1, 1).

%% Shows from Key on; `Line` is the line of the page, `N` the number of the object.
page(View, '$end_of_table', _Line, N) ->
    ask(View, '$end_of_table', N);
page(#view{height = Height} = View, Key, Line, N) when Line >= Height ->
    ask(View, Key, N);
page(View, Key, Line, N) ->
    key(View, Key, Line, N).

key(#view{table = Table} = View, Key, Line, N) ->
    Objects = objects(View, Key),
    N1 = lists:foldl(fun(Object, I) -> object(View, Object, I), I + 1 end, N, Objects),
    page(View, tsunami_nif:next(Table, Key), Line + N1 - N, N1).

object(#view{width = Width}, Object, N) ->
    Text = text(Object),
    Shown = case length(Text) > Width - 8 of
                true -> string:slice(Text, 0, Width - 13) ++ "  ...";
                false -> Text
            end,
    io:format("<~-4w> ~ts~n", [N, Shown]).

objects(#view{table = Table, filter = Filter}, Key) ->
    Objects = tsunami_nif:lookup(Table, Key),
    case Filter of
        all -> Objects;
        {re, Re} -> [Object || Object <- Objects, re:run(text(Object), Re, [{capture, none}]) =:= match]
    end.

ask(#view{table = Table} = View, Key, N) ->
    case answer(io:get_line(prompt(Key))) of
        "q\n" ->
            ok;
        "k\n" ->
            tsunami_owner:deleted(tsunami_nif:delete(Table)),
            ok;
        eof ->
            ok;
        {error, _} ->
            ok;
        "c\n" when Key =/= '$end_of_table' ->
            key(View, Key, 1, N);
        [$p | Digits] ->
            number(View, string:trim(Digits, trailing, "\n")),
            ask(View, Key, N);
        [$/ | Regexp] ->
            case re:compile(string:trim(Regexp, trailing, "\n"), [unicode]) of
                {ok, Re} ->
                    from_start(View#view{filter = {re, Re}});
                {error, {Text, _Position}} ->
                    io:format("~ts\n", [Text]),
                    ask(View, Key, N)
            end;
        _ ->
            ask(View, Key, N)
    end.

prompt('$end_of_table') -> 'EOT  (q)uit (p)Digits (k)ill /Regexp -->';
prompt(_Key) -> '(c)ontinue (q)uit (p)Digits (k)ill /Regexp -->'.

answer("\n") -> "c\n";
answer(<<Line/binary>>) -> answer(unicode:characters_to_list(Line));
answer(Line) -> Line.

%% The object of that number among those that are shown, in full.
number(#view{table = Table} = View, Digits) ->
    try list_to_integer(Digits) of
        N when N > 0 -> nth(View, tsunami_nif:first(Table), N);
        _ -> ok
    catch
        error:badarg -> io:put_chars("Bad digits\n")
    end.

nth(_View, '$end_of_table', _N) ->
    ok;
nth(#view{table = Table} = View, Key, N) ->
    Objects = objects(View, Key),
    case N - length(Objects) of
        Left when Left > 0 -> nth(View, tsunami_nif:next(Table, Key), Left);
        _ -> io:format("~p~n", [lists:nth(N, Objects)])
    end.
