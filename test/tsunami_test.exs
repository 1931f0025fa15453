defmodule TsunamiTest do
  use ExUnit.Case, async: true
  doctest Tsunami

  @kinds [:set, :ordered_set]

  defp table(entries, options \\ []), do: Enum.into(entries, Tsunami.new(options))

  defp squares(count, options \\ [kind: :ordered_set]), do: table(for(n <- 1..count, do: {n, n * n}), options)

  defp elsewhere(fun), do: fun |> Task.async() |> Task.await()

  # ---- tables

  test "an option that is not known is named, with those that are" do
    error = assert_raise ArgumentError, fn -> Tsunami.new(kinds: :set) end
    assert error.message =~ "kinds"
    for option <- [:access, :heir, :kind, :name], do: assert(error.message =~ inspect(option))
  end

  test "options of a wrong kind are an ArgumentError" do
    for options <- [
          [kind: :duplicate_bag],
          [access: :all],
          [name: "text"],
          [heir: :me],
          [:set],
          :set,
          [kind: :set, kind: :set]
        ] do
      assert_raise ArgumentError, fn -> Tsunami.new(options) end
    end
  end

  test "a name that is taken is said to be" do
    Tsunami.new(name: :taken_once)
    error = assert_raise ArgumentError, fn -> Tsunami.new(name: :taken_once) end
    assert error.message =~ ":taken_once"
  end

  test "a name may be used for its table everywhere" do
    Tsunami.new(name: :by_name, kind: :ordered_set)
    assert Tsunami.put(:by_name, :a, 1) == :by_name
    assert Tsunami.put_new(:by_name, :b, 2)
    assert Tsunami.range(:by_name, from: :b) == [b: 2]
    assert Tsunami.update(:by_name, :b, 0, &(&1 + 1)) == 3
    assert :by_name |> Tsunami.stream() |> Enum.to_list() == [a: 1, b: 3]
    assert Tsunami.drop(:by_name) == :ok
    assert_raise ArgumentError, "there is no table with the name :by_name", fn -> Tsunami.get(:by_name, :a) end
  end

  test "a handle goes on meaning its table when the name has another" do
    old = table([a: 1], name: :handed_on)
    Tsunami.drop(:handed_on)
    table([a: 2], name: :handed_on)
    assert_raise ArgumentError, fn -> Tsunami.get(old, :a) end
    assert Tsunami.get(:handed_on, :a) == 2
  end

  test "only sets of pairs are wrapped" do
    assert_raise ArgumentError, ~r/:bag/, fn -> Tsunami.wrap(:tsunami.new(:t, [:bag])) end
    assert_raise ArgumentError, ~r/number 2/, fn -> Tsunami.wrap(:tsunami.new(:t, keypos: 2)) end
    assert_raise ArgumentError, ~r/no table/, fn -> Tsunami.wrap(:not_a_table_of_anybody) end
    assert_raise ArgumentError, fn -> Tsunami.wrap(make_ref()) end
  end

  test "the heir gets the table, and its data" do
    me = self()

    elsewhere(fn ->
      table([a: 1], heir: {me, :data})
      send(me, {:made_by, self()})
    end)

    assert_receive {:made_by, owner}
    assert_receive {:"ETS-TRANSFER", ref, ^owner, :data}
    assert Tsunami.get(Tsunami.wrap(ref), :a) == 1
  end

  test "a table that was given away ends with its new owner" do
    table = table(a: 1)
    owner = spawn(fn -> Process.sleep(:infinity) end)
    Tsunami.give_away(table, owner)
    assert_raise ArgumentError, ~r/protected.*owner/, fn -> Tsunami.put(table, :b, 2) end
    monitor = Process.monitor(owner)
    Process.exit(owner, :kill)
    assert_receive {:DOWN, ^monitor, _, _, _}
    assert_raise ArgumentError, ~r/does not exist any more/, fn -> Tsunami.get(table, :a) end
  end

  test "every function says that the table was dropped" do
    table = table([a: 1], kind: :ordered_set)
    stream = Tsunami.stream(table)
    Tsunami.drop(table)

    calls = [
      &Tsunami.get(&1, :a),
      &Tsunami.fetch(&1, :a),
      &Tsunami.fetch!(&1, :a),
      &Tsunami.in?(&1, :a),
      &Tsunami.put(&1, :a, 1),
      &Tsunami.put_new(&1, :a, 1),
      &Tsunami.put_all(&1, a: 1),
      &Tsunami.delete(&1, :a),
      &Tsunami.pop(&1, :a),
      &Tsunami.update(&1, :a, 1, fn n -> n end),
      &Tsunami.update!(&1, :a, fn n -> n end),
      &Tsunami.get_and_update(&1, :a, fn n -> {n, n} end),
      &Tsunami.increment(&1, :a),
      &Tsunami.count/1,
      &Tsunami.to_list/1,
      &Tsunami.keys/1,
      &Tsunami.values/1,
      &Tsunami.range/1,
      &Tsunami.prefix(&1, "a"),
      &Tsunami.clear/1,
      &Tsunami.drop/1,
      &Tsunami.give_away(&1, self()),
      &Enum.to_list/1,
      &Enum.count/1,
      &Enum.member?(&1, {:a, 1}),
      &Enum.into([a: 1], &1),
      fn _ -> Enum.to_list(stream) end
    ]

    for call <- calls do
      assert_raise ArgumentError, ~r/^the table does not exist any more/, fn -> call.(table) end
    end

    assert inspect(table) == "#Tsunami<dropped>"
  end

  test "who may not is told so" do
    private = table([a: 1], access: :private)
    protected = table(a: 1)

    elsewhere(fn ->
      assert_raise ArgumentError, ~r/private/, fn -> Tsunami.get(private, :a) end
      assert_raise ArgumentError, ~r/protected/, fn -> Tsunami.put(protected, :a, 2) end
      assert_raise ArgumentError, ~r/protected/, fn -> Tsunami.update(protected, :a, 0, &(&1 + 1)) end
      assert Tsunami.get(protected, :a) == 1
    end)
  end

  # ---- keys

  for kind <- @kinds do
    test "any term is a key and a value in a #{kind}" do
      table = Tsunami.new(kind: unquote(kind))

      for term <- [nil, 0, 1.5, "text", ~c"list", %{a: 1}, {1, 2}, :_, :"$1", self(), make_ref(), &Tsunami.get/2] do
        assert Tsunami.fetch(table, term) == :error
        assert table |> Tsunami.put(term, term) |> Tsunami.fetch(term) == {:ok, term}
        assert Enum.member?(table, {term, term})
        assert Tsunami.update!(table, term, &[&1]) == [term]
        assert table[term] == [term]
      end
    end

    test "no update is lost in a #{kind}" do
      table = Tsunami.new(kind: unquote(kind), access: :public)

      1..8
      |> Task.async_stream(fn _ ->
        for _ <- 1..200, do: Tsunami.update(table, :sum, 1, &(&1 + 1))
      end)
      |> Stream.run()

      assert Tsunami.get(table, :sum) == 1600
    end

    test "each value of a #{kind} is popped by one process" do
      table = table(for(n <- 1..500, do: {n, n}), kind: unquote(kind), access: :public)
      pop_all = fn _ -> for n <- 1..500, value = Tsunami.pop(table, n), do: value end
      popped = 1..4 |> Task.async_stream(pop_all) |> Enum.flat_map(fn {:ok, values} -> values end)
      assert Enum.sort(popped) == Enum.to_list(1..500)
    end
  end

  test "1 and 1.0 are two keys of a set and one of an ordered_set" do
    set = table([{1, :a}, {1.0, :b}])
    ordered = table([{1, :a}, {1.0, :b}], kind: :ordered_set)
    assert {Tsunami.get(set, 1), Tsunami.get(set, 1.0)} == {:a, :b}
    assert {Tsunami.get(ordered, 1), Tsunami.count(ordered)} == {:b, 1}
    assert Enum.member?(ordered, {1.0, :b})
    refute Enum.member?(ordered, {1, :b})
    assert Tsunami.update!(ordered, 1, fn :b -> :c end) == :c
  end

  test "a function that raises changes nothing" do
    table = table(a: 1)
    assert_raise RuntimeError, fn -> Tsunami.update(table, :a, 0, fn _ -> raise "no" end) end
    assert_raise ArgumentError, fn -> Tsunami.get_and_update(table, :a, fn _ -> :wrong end) end
    # An ArgumentError of the function is its own.
    error = assert_raise ArgumentError, fn -> Tsunami.update(table, :a, 0, fn _ -> String.to_integer("a") end) end
    refute error.message =~ "table"
    assert Tsunami.to_list(table) == [a: 1]
  end

  test "get_and_update of a key that is not there sees nil, and may leave it so" do
    table = Tsunami.new()
    assert Tsunami.get_and_update(table, :a, fn nil -> :pop end) == nil
    assert Tsunami.count(table) == 0
    assert Tsunami.get_and_update(table, :a, fn nil -> {:was, 1} end) == :was
    assert Tsunami.get(table, :a) == 1
  end

  test "what is no number is not incremented" do
    table = table(a: "1")
    assert_raise ArgumentError, fn -> Tsunami.increment(table, :a) end
    assert Tsunami.get(table, :a) == "1"
  end

  # ---- ranges

  test "all bounds of a range, with limit and reverse" do
    table = squares(20)
    list = Tsunami.to_list(table)

    for {low, in_low} <- [
          {[], fn _ -> true end},
          {[from: 5], &(&1 >= 5)},
          {[gt: 5], &(&1 > 5)},
          {[gt: 4.5], &(&1 > 4.5)}
        ],
        {high, in_high} <- [
          {[], fn _ -> true end},
          {[to: 15], &(&1 <= 15)},
          {[lt: 15], &(&1 < 15)},
          {[to: 2], &(&1 <= 2)}
        ],
        reverse <- [false, true],
        limit <- [nil, 1, 4, 100] do
      options = low ++ high ++ [reverse: reverse] ++ if(limit, do: [limit: limit], else: [])
      wanted = for {n, _} = entry <- list, in_low.(n), in_high.(n), do: entry
      wanted = if reverse, do: Enum.reverse(wanted), else: wanted
      wanted = if limit, do: Enum.take(wanted, limit), else: wanted
      assert {options, Tsunami.range(table, options)} == {options, wanted}
      assert {options, table |> Tsunami.stream(options) |> Enum.to_list()} == {options, wanted}
    end
  end

  test "nil is a bound like others" do
    table = table([{:a, 1}, {nil, 2}, {:z, 3}], kind: :ordered_set)
    assert Tsunami.range(table, from: nil) == [{nil, 2}, {:z, 3}]
    assert Tsunami.range(table, lt: nil) == [a: 1]
  end

  test "prefixes of binaries, lists and tuples" do
    table =
      table([{"ab", 1}, {"abc", 2}, {"b", 3}, {[1, 2], 4}, {[1, 2, 3], 5}, {[2], 6}, {{1, :a}, 7}, {{1, :b, 2}, 8}],
        kind: :ordered_set
      )

    assert Tsunami.prefix(table, "ab") == [{"ab", 1}, {"abc", 2}]
    assert Tsunami.prefix(table, "") |> length() == 3
    assert Tsunami.prefix(table, [1, 2]) == [{[1, 2], 4}, {[1, 2, 3], 5}]
    assert Tsunami.prefix(table, {1}) |> Enum.sort() == [{{1, :a}, 7}, {{1, :b, 2}, 8}]
    assert Tsunami.prefix(table, "ab", reverse: true, limit: 1) == [{"abc", 2}]
    assert table |> Tsunami.stream(prefix: "ab") |> Enum.to_list() == [{"ab", 1}, {"abc", 2}]
  end

  test "a set has no ranges, whether it is empty or not" do
    for table <- [Tsunami.new(), table(a: 1)] do
      assert_raise ArgumentError, ~r/:ordered_set/, fn -> Tsunami.range(table) end
      assert_raise ArgumentError, ~r/:ordered_set/, fn -> Tsunami.prefix(table, "a") end
      assert_raise ArgumentError, ~r/:ordered_set/, fn -> table |> Tsunami.stream(from: 1) |> Enum.to_list() end
    end
  end

  test "wrong options of a range are an ArgumentError, on empty tables too" do
    table = Tsunami.new(kind: :ordered_set)

    for options <- [[form: 1], [from: 1, gt: 1], [to: 1, lt: 1], [limit: 0], [limit: :all], [reverse: nil], 1..2, [1]] do
      assert_raise ArgumentError, fn -> Tsunami.range(table, options) end
      assert_raise ArgumentError, fn -> Tsunami.stream(table, options) end
    end

    assert_raise ArgumentError, fn -> Tsunami.range(table, prefix: "a") end
    assert_raise ArgumentError, fn -> Tsunami.stream(table, prefix: "a", from: "b") end
    assert_raise ArgumentError, fn -> Tsunami.prefix(table, :atom) end
    assert_raise ArgumentError, fn -> Tsunami.prefix(table, "a", from: "b") end
  end

  # ---- protocols

  for kind <- @kinds do
    test "a #{kind} is walked in chunks, and all of it" do
      for count <- [0, 1, 255, 256, 257, 1000] do
        entries = for n <- 1..count//1, do: {n, n}
        table = table(entries, kind: unquote(kind))
        assert Enum.sort(Enum.to_list(table)) == entries
        assert Enum.sort(Tsunami.to_list(table)) == entries
        assert Enum.count(table) == count
        assert Enum.empty?(table) == (count == 0)
      end
    end

    test "a walk through a #{kind} meets once what is there throughout" do
      stay = for n <- 1..2000//2, do: {n, :stays}
      table = table(stay, kind: unquote(kind), access: :public)

      changer =
        Task.async(fn ->
          for round <- 1..20,
              n <- 2..2000//2,
              do: if(rem(round, 2) == 1, do: Tsunami.put(table, n, :comes), else: Tsunami.delete(table, n))
        end)

      for _ <- 1..20, do: assert(for({n, :stays} <- table, do: {n, :stays}) |> Enum.sort() == stay)
      Task.await(changer)
    end
  end

  test "a walk is suspended and goes on" do
    table = squares(1000)
    # zip suspends both after each entry.
    assert Enum.zip(table, Tsunami.stream(table, from: 501)) |> List.last() == {{500, 250_000}, {1000, 1_000_000}}

    {:suspended, [{1, 1}], continue} =
      Enumerable.reduce(table, {:cont, []}, fn entry, acc -> {:suspend, [entry | acc]} end)

    assert {:halted, :stop} = continue.({:halt, :stop})
    assert {:suspended, [{2, 4}, {1, 1}], _} = continue.({:cont, [{1, 1}]})
  end

  test "a walk that is halted reads one chunk" do
    table = squares(100_000)
    assert Enum.take(table, 2) == [{1, 1}, {2, 4}]
    assert Enum.at(table, 3) == {4, 16}
    assert Enum.at(table, -1) == {100_000, 10_000_000_000}
    assert Enum.slice(table, 1, 2) == [{2, 4}, {3, 9}]
    assert table |> Stream.filter(fn {n, _} -> rem(n, 7) == 0 end) |> Enum.take(1) == [{7, 49}]
  end

  test "keys may be deleted in the walk over them" do
    table = squares(1000)
    for {n, _} <- table, do: Tsunami.delete(table, n)
    assert Tsunami.count(table) == 0
  end

  test "a table that is dropped during a walk ends it by an ArgumentError" do
    table = squares(1000)
    assert_raise ArgumentError, ~r/not exist/, fn -> for {n, _} <- table, do: if(n == 10, do: Tsunami.drop(table)) end
  end

  test "collecting what is not all pairs puts in nothing" do
    table = Tsunami.new()
    assert_raise ArgumentError, ~r/:b/, fn -> Enum.into([{:a, 1}, :b], table) end
    assert_raise ArgumentError, ~r/\{1\}/, fn -> Tsunami.put_all(table, [{:a, 1}, {1}]) end
    assert_raise RuntimeError, fn -> for n <- 1..10, into: table, do: if(n < 9, do: {n, n}, else: raise("no")) end
    assert Tsunami.count(table) == 0
  end

  test "others see all or nothing of what is collected" do
    table = Tsunami.new(access: :public)

    reader =
      Task.async(fn ->
        Stream.repeatedly(fn -> Tsunami.count(table) end) |> Enum.find(&(&1 > 0))
        for n <- 1..20_000, do: Tsunami.in?(table, n)
      end)

    Enum.into(for(n <- 1..20_000, do: {n, n}), table)
    assert reader |> Task.await() |> Enum.all?()
  end

  test "inspect says kind, entries and name" do
    assert inspect(table([a: 1], kind: :ordered_set, name: :inspected)) == "#Tsunami<ordered_set, 1 entry, :inspected>"
    assert inspect(%{table: Tsunami.new()}) == "%{table: #Tsunami<set, 0 entries>}"
  end

  test "a table may be put into another" do
    assert squares(10) |> Enum.into(Tsunami.new()) |> Tsunami.get(9) == 81
  end
end
