defmodule Tsunami do
  @moduledoc """
  Tables of keys and values in memory that processes share: `:ets`, as an Elixir collection.

      iex> ages = Tsunami.new(kind: :ordered_set)
      iex> ages |> Tsunami.put(:grace, 85) |> Tsunami.put(:ada, 36)
      #Tsunami<ordered_set, 2 entries>
      iex> ages[:ada]
      36
      iex> Enum.to_list(ages)
      [ada: 36, grace: 85]
      iex> Enum.into([alan: 41], ages)
      #Tsunami<ordered_set, 3 entries>
      iex> Tsunami.range(ages, from: :alan)
      [alan: 41, grace: 85]

  ## Tables

  `new/1` makes a table. It belongs to the process that called, and ends with it, unless it is given away
  (`give_away/3`) or has an heir. What it answers is a handle: it may be sent to other processes and kept anywhere,
  and it is not the contents. All functions take the name of a named table too: `Tsunami.get(:cache, key)`.

  In a `:set` keys are equal if they match (`===`), and its entries come in no particular order. An `:ordered_set`
  has its keys in the order of `<`, and there `1` and `1.0` are one key (`==`).

  ## Answers

  A table is changed in place. Functions that only change it answer the table, for pipes: `put/3`, `put_all/2`,
  `delete/2`, `clear/1`. Those that also find something out answer that: `put_new/3` whether it has put, `pop/3` the
  value that was there, `update/4` the value that is there now.

  ## Many processes

  Whatever a function changes, others see all of it or nothing: one entry, all that `put_all/2` puts in, or a table that
  `clear/1` empties. `update/4` and its kin call their function again if another process has changed the value meanwhile.
  Readers never wait for writers.

  Walks (all of `Enum` and `Stream`, `stream/2`, `to_list/1`, `range/2`) may run beside changes: an entry that is
  there throughout is met once, and one that comes or goes meanwhile is met or not. What has to be of one instant is read
  from a `snapshot/1`.

  ## Errors

  What is wrong with a table, its options or its access is an `ArgumentError` that says what; a key that is not there
  is a `KeyError` from the functions whose names end in `!`.

  ## Protocols

  `Enumerable` (entries are `{key, value}`), `Collectable` (what is collected goes in at once, all or nothing) and
  `Inspect`. `table[key]` reads as `get/2` does; `put_in/2` and its like are for values that are not shared, and do
  not work.

  The functions of `:tsunami` and `:tsunami_x` take `table.ref`.
  """

  import Tsunami.Call
  alias Tsunami.Walk

  @enforce_keys [:ref]
  defstruct [:ref]

  @type t :: %__MODULE__{ref: :tsunami.tid()}
  @typedoc "A table, or the name of a named one."
  @type table :: t | atom
  @type key :: term
  @type value :: term
  @type entry :: {key, value}
  @type option ::
          {:kind, :set | :ordered_set}
          | {:access, :public | :protected | :private}
          | {:name, atom}
          | {:heir, pid | {pid, data :: term} | nil}
  @type range_option ::
          {:from, key} | {:gt, key} | {:to, key} | {:lt, key} | {:reverse, boolean} | {:limit, pos_integer}
  @type prefix_option :: {:reverse, boolean} | {:limit, pos_integer}

  # ---- tables ------------------------------------------------------------------------------------

  @doc """
  Makes a table.

    * `:kind` - `:set` (default) or `:ordered_set`
    * `:access` - `:protected` (default): all processes read, the owner writes; `:public`: all read and write;
      `:private`: only the owner
    * `:name` - an atom, by which it is found as well; `nil` (default) for none
    * `:heir` - the process that gets the table when its owner ends, or `{pid, data}`; it is sent
      `{:"ETS-TRANSFER", table, from, data}`, and `wrap/1` makes a `Tsunami` of that `table`

  An option that is not known, or a name that is taken, is an `ArgumentError`.

      iex> Tsunami.new()
      #Tsunami<set, 0 entries>
      iex> Tsunami.new(kind: :ordered_set, access: :public, name: :scores)
      #Tsunami<ordered_set, 0 entries, :scores>
      iex> Tsunami.new(kind: :bag)
      ** (ArgumentError) kind: is one of [:set, :ordered_set], not :bag
  """
  @spec new([option]) :: t
  def new(options \\ []) do
    options = options!(options, kind: :set, access: :protected, name: nil, heir: nil)
    kind = one_of!(options, :kind, [:set, :ordered_set])
    access = one_of!(options, :access, [:public, :protected, :private])

    case name!(options[:name]) do
      nil ->
        %__MODULE__{ref: :tsunami.new(__MODULE__, [kind, access | heir!(options[:heir])])}

      name ->
        try do
          :tsunami.new(name, [kind, access, :named_table | heir!(options[:heir])])
        catch
          :error, :badarg -> raise ArgumentError, "there is a table with the name #{inspect(name)} already"
        end

        wrap(name)
    end
  end

  @doc """
  The table with this name, or `nil`. What it answers goes on meaning that very table, whoever has the name later.

      iex> table = Tsunami.new(name: :visits)
      iex> Tsunami.whereis(:visits) == table
      true
      iex> Tsunami.whereis(:no_such_table)
      nil
  """
  @spec whereis(atom) :: t | nil
  def whereis(name) when is_atom(name) do
    case :tsunami.whereis(name) do
      :undefined -> nil
      ref -> %__MODULE__{ref: ref}
    end
  end

  @doc """
  Makes a `Tsunami` of the name or the reference that `:tsunami` knows a table by.

  It has to be a set or an ordered_set of pairs: `ArgumentError` if the kind is another, if keys are not the first
  elements, or if there is no such table.

      iex> ref = :tsunami.new(:from_erlang, [:ordered_set])
      iex> true = :tsunami.insert(ref, {"key", "value"})
      iex> Tsunami.get(Tsunami.wrap(ref), "key")
      "value"
  """
  @spec wrap(:tsunami.table()) :: t
  def wrap(table) when is_atom(table) or is_reference(table) do
    kind = checked(table, :read, do: info!(table, :type))
    keypos = checked(table, :read, do: info!(table, :keypos))

    cond do
      kind not in [:set, :ordered_set] ->
        raise ArgumentError, "a table of the kind #{inspect(kind)} has several objects under a key"

      keypos != 1 ->
        raise ArgumentError, "keys have to be the first elements of objects, and here they are number #{keypos}"

      is_atom(table) ->
        whereis(table) || wrap(table)

      true ->
        %__MODULE__{ref: table}
    end
  end

  @doc """
  Makes another process the owner. It is sent `{:"ETS-TRANSFER", table, from, data}`.

      iex> table = Tsunami.new(access: :public)
      iex> owner = spawn(fn -> Process.sleep(:infinity) end)
      iex> Tsunami.give_away(table, owner) |> Tsunami.put(:a, 1)
      #Tsunami<set, 1 entry>
  """
  @spec give_away(table, pid, data :: term) :: table
  def give_away(table, pid, data \\ nil) do
    ref = ref(table)
    checked(ref, :write, do: :tsunami.give_away(ref, pid, data))
    table
  end

  @doc """
  Deletes a table. Takes the same short time for a table of any size.

      iex> table = Tsunami.new()
      iex> Tsunami.drop(table)
      :ok
      iex> Tsunami.get(table, :a)
      ** (ArgumentError) the table does not exist any more: it was dropped, or the process that owned it has ended
  """
  @spec drop(table) :: :ok
  def drop(table) do
    ref = ref(table)
    checked(ref, :write, do: :tsunami.delete(ref))
    :ok
  end

  @doc """
  The table as it is at this instant, to be read only: by all functions that read, `Enum` and `Stream` included.

  Takes the same short time for a table of any size. What is replaced or deleted in the table afterwards is kept until
  the snapshot is released, or nobody refers to it any more. It ends with the table.

      iex> table = Enum.into([a: 1], Tsunami.new())
      iex> before = Tsunami.snapshot(table)
      iex> Tsunami.put(table, :a, 2)
      iex> {before[:a], table[:a]}
      {1, 2}
      iex> Tsunami.put(before, :a, 3)
      ** (ArgumentError) this is a snapshot of a table, which cannot be changed, nor can a snapshot be taken of it
  """
  @spec snapshot(table) :: t
  def snapshot(table) do
    ref = ref(table)
    %__MODULE__{ref: checked(ref, :read, do: :tsunami_x.snapshot(ref))}
  end

  @doc """
  Lets go of what `snapshot/1` answered.

      iex> before = Tsunami.snapshot(Tsunami.new())
      iex> Tsunami.release(before)
      :ok
  """
  @spec release(t) :: :ok
  def release(%__MODULE__{ref: ref}) do
    checked(ref, :read, do: :tsunami_x.release(ref))
    :ok
  end

  @doc """
  Deletes all entries, at once for every reader. Takes the same short time for a table of any size.

      iex> Enum.into([a: 1, b: 2], Tsunami.new()) |> Tsunami.clear()
      #Tsunami<set, 0 entries>
  """
  @spec clear(table) :: table
  def clear(table) do
    ref = ref(table)
    checked(ref, :write, do: :tsunami.delete_all_objects(ref))
    table
  end

  # ---- one key -----------------------------------------------------------------------------------

  @doc """
  The value of a key, or `default`.

      iex> table = Enum.into([a: 1], Tsunami.new())
      iex> Tsunami.get(table, :a)
      1
      iex> Tsunami.get(table, :b)
      nil
      iex> Tsunami.get(table, :b, 0)
      0
  """
  @spec get(table, key, default :: value) :: value
  def get(table, key, default \\ nil) do
    ref = ref(table)
    checked(ref, :read, do: :tsunami.lookup_element(ref, key, 2, default))
  end

  @doc """
  `{:ok, value}` of a key, or `:error`.

      iex> table = Enum.into([a: 1], Tsunami.new())
      iex> Tsunami.fetch(table, :a)
      {:ok, 1}
      iex> Tsunami.fetch(table, :b)
      :error
  """
  @spec fetch(table, key) :: {:ok, value} | :error
  def fetch(table, key) do
    case lookup(ref(table), key) do
      [{_, value}] -> {:ok, value}
      [] -> :error
    end
  end

  @doc """
  The value of a key, or a `KeyError`.

      iex> table = Enum.into([a: 1], Tsunami.new())
      iex> Tsunami.fetch!(table, :a)
      1
      iex> Tsunami.fetch!(table, :b)
      ** (KeyError) key :b not found in: #Tsunami<set, 1 entry>
  """
  @spec fetch!(table, key) :: value
  def fetch!(table, key) do
    case lookup(ref(table), key) do
      [{_, value}] -> value
      [] -> raise KeyError, key: key, term: table
    end
  end

  @doc """
  Whether there is an entry with this key.

      iex> table = Enum.into([a: nil], Tsunami.new())
      iex> Tsunami.in?(table, :a)
      true
      iex> Tsunami.in?(table, :b)
      false
  """
  @spec in?(table, key) :: boolean
  def in?(table, key) do
    ref = ref(table)
    checked(ref, :read, do: :tsunami.member(ref, key))
  end

  @doc """
  Puts a value under a key, in place of what is there.

      iex> table = Tsunami.new() |> Tsunami.put(:a, 1) |> Tsunami.put(:a, 2)
      iex> Tsunami.to_list(table)
      [a: 2]
  """
  @spec put(table, key, value) :: table
  def put(table, key, value) do
    insert(ref(table), {key, value})
    table
  end

  @doc """
  Puts a value under a key that is not there; whether it did. Of several processes that try, one is told `true`.

      iex> table = Tsunami.new()
      iex> Tsunami.put_new(table, :a, 1)
      true
      iex> Tsunami.put_new(table, :a, 2)
      false
      iex> Tsunami.get(table, :a)
      1
  """
  @spec put_new(table, key, value) :: boolean
  def put_new(table, key, value) do
    ref = ref(table)
    checked(ref, :write, do: :tsunami.insert_new(ref, {key, value}))
  end

  @doc """
  Puts in all pairs of a list, a map, a stream or another table: readers see all of them or none. `Enum.into/2` does
  the same.

      iex> table = Tsunami.new(kind: :ordered_set)
      iex> table |> Tsunami.put_all(%{a: 1, b: 2}) |> Enum.to_list()
      [a: 1, b: 2]
      iex> Tsunami.put_all(table, [{:c, 3}, :d])
      ** (ArgumentError) entries are pairs of a key and a value, which :d is not
  """
  @spec put_all(table, Enumerable.t()) :: table
  def put_all(table, entries) do
    insert(ref(table), Enum.map(entries, &entry!/1))
    table
  end

  @doc """
  Deletes a key, if it is there.

      iex> Enum.into([a: 1, b: 2], Tsunami.new()) |> Tsunami.delete(:a) |> Tsunami.delete(:c) |> Enum.to_list()
      [b: 2]
  """
  @spec delete(table, key) :: table
  def delete(table, key) do
    ref = ref(table)
    checked(ref, :write, do: :tsunami.delete(ref, key))
    table
  end

  @doc """
  Deletes a key; the value it had, or `default`. Of several processes that pop a value one gets it.

      iex> table = Enum.into([a: 1], Tsunami.new())
      iex> Tsunami.pop(table, :a)
      1
      iex> Tsunami.pop(table, :a, :none)
      :none
  """
  @spec pop(table, key, default :: value) :: value
  def pop(table, key, default \\ nil) do
    ref = ref(table)

    case checked(ref, :write, do: :tsunami.take(ref, key)) do
      [{_, value}] -> value
      [] -> default
    end
  end

  @doc """
  Puts `fun` of its value under a key, or `initial` if the key is not there; the new value.

  No update gets lost: if the value has changed while `fun` ran, `fun` is called again, with the new one. It should do
  nothing else than compute. If it raises, nothing is changed. `increment/3` is quicker for counters.

      iex> table = Tsunami.new()
      iex> Tsunami.update(table, :seen, [1], &[1 | &1])
      [1]
      iex> Tsunami.update(table, :seen, [2], &[2 | &1])
      [2, 1]
  """
  @spec update(table, key, initial :: value, (value -> value)) :: value
  def update(table, key, initial, fun) when is_function(fun, 1) do
    change(table, key, fn
      {:ok, value} -> same(fun.(value))
      :error -> same(initial)
    end)
  end

  @doc """
  As `update/4`, but a `KeyError` if the key is not there.

      iex> table = Enum.into([a: 1], Tsunami.new())
      iex> Tsunami.update!(table, :a, &(&1 * 10))
      10
      iex> Tsunami.update!(table, :b, &(&1 * 10))
      ** (KeyError) key :b not found in: #Tsunami<set, 1 entry>
  """
  @spec update!(table, key, (value -> value)) :: value
  def update!(table, key, fun) when is_function(fun, 1) do
    change(table, key, fn
      {:ok, value} -> same(fun.(value))
      :error -> raise KeyError, key: key, term: table
    end)
  end

  @doc """
  Reads and changes a value in one step. `fun` gets it (`nil` if the key is not there), and answers `{get, new}`, or
  `:pop` to delete it; `get` (or what was popped) is the result. `fun` may be called again, as in `update/4`.

      iex> table = Enum.into([queue: [1, 2, 3]], Tsunami.new())
      iex> Tsunami.get_and_update(table, :queue, fn [head | rest] -> {head, rest} end)
      1
      iex> Tsunami.get(table, :queue)
      [2, 3]
      iex> Tsunami.get_and_update(table, :queue, fn _ -> :pop end)
      [2, 3]
      iex> Tsunami.in?(table, :queue)
      false
  """
  @spec get_and_update(table, key, (value | nil -> {get, value} | :pop)) :: get | value when get: term
  def get_and_update(table, key, fun) when is_function(fun, 1) do
    change(table, key, fn found ->
      value = with {:ok, value} <- found, do: value, else: (:error -> nil)

      case fun.(value) do
        {get, new} -> {get, {:ok, new}}
        :pop -> {value, :error}
        other -> raise ArgumentError, "the function has to answer {get, new} or :pop, not #{inspect(other)}"
      end
    end)
  end

  @doc """
  Adds to a counter, which is 0 if the key is not there; the new value.

      iex> table = Tsunami.new()
      iex> Tsunami.increment(table, "/home")
      1
      iex> Tsunami.increment(table, "/home", 10)
      11
  """
  @spec increment(table, key, integer) :: integer
  def increment(table, key, by \\ 1) when is_integer(by) do
    ref = ref(table)
    checked(ref, :write, do: :tsunami.update_counter(ref, key, {2, by}, {key, 0}))
  end

  # ---- many keys ---------------------------------------------------------------------------------

  @doc """
  How many entries there are. Costs the same for a table of any size.

      iex> Enum.into([a: 1, b: 2], Tsunami.new()) |> Tsunami.count()
      2
  """
  @spec count(table) :: non_neg_integer
  def count(table) do
    ref = ref(table)
    checked(ref, :read, do: info!(ref, :size))
  end

  @doc """
  All entries, in the order of the keys if the table is an `:ordered_set`.

      iex> Enum.into([b: 2, a: 1], Tsunami.new(kind: :ordered_set)) |> Tsunami.to_list()
      [a: 1, b: 2]
  """
  @spec to_list(table) :: [entry]
  def to_list(table) do
    ref = ref(table)
    checked(ref, :read, do: :tsunami.tab2list(ref))
  end

  @doc """
  All keys, as `to_list/1`. Values are not copied.

      iex> Enum.into([b: 2, a: 1], Tsunami.new(kind: :ordered_set)) |> Tsunami.keys()
      [:a, :b]
  """
  @spec keys(table) :: [key]
  def keys(table), do: select(ref(table), {:"$1", :_})

  @doc """
  All values, as `to_list/1`.

      iex> Enum.into([b: 2, a: 1], Tsunami.new(kind: :ordered_set)) |> Tsunami.values()
      [1, 2]
  """
  @spec values(table) :: [value]
  def values(table), do: select(ref(table), {:_, :"$1"})

  @doc """
  The entries of an `:ordered_set` whose keys lie between two bounds. Only these are looked at.

    * `:from` - the least key, itself included; or `:gt`, itself not included
    * `:to` - the greatest key, itself included; or `:lt`, itself not included
    * `:reverse` - `true`: from the greatest key to the least
    * `:limit` - no more than these

  Bounds need not be keys of the table; left out, the range is open on that side.

      iex> squares = for n <- 1..9, into: Tsunami.new(kind: :ordered_set), do: {n, n * n}
      iex> Tsunami.range(squares, from: 3, lt: 6)
      [{3, 9}, {4, 16}, {5, 25}]
      iex> Tsunami.range(squares, gt: 6.5, limit: 2)
      [{7, 49}, {8, 64}]
      iex> Tsunami.range(squares, reverse: true, limit: 1)
      [{9, 81}]
  """
  @spec range(table, [range_option]) :: [entry]
  def range(table, options \\ []) do
    {part, limit} = range!(options!(options, [:from, :gt, :to, :lt, :reverse, :limit]))
    Walk.list(ref(table), part, limit)
  end

  @doc """
  The entries of an `:ordered_set` whose keys begin with a binary, with the elements of a list, or with those of a
  tuple. Only these are looked at. Options are `:reverse` and `:limit` of `range/2`.

      iex> table = Enum.into(%{"user:1" => :ada, "user:2" => :alan, "group:1" => :all}, Tsunami.new(kind: :ordered_set))
      iex> Tsunami.prefix(table, "user:")
      [{"user:1", :ada}, {"user:2", :alan}]
      iex> Tsunami.prefix(table, "user:", reverse: true, limit: 1)
      [{"user:2", :alan}]
  """
  @spec prefix(table, binary | list | tuple, [prefix_option]) :: [entry]
  def prefix(table, prefix, options \\ []) do
    {part, limit} = prefix!(prefix, options!(options, [:reverse, :limit]))
    Walk.list(ref(table), part, limit)
  end

  @doc """
  Lazily what `range/2` gives, or with `prefix:` what `prefix/3` gives. Without options all entries, of a table of any
  kind.

  Entries are read as they are asked for, some hundred at a time, and the table may be changed meanwhile.

      iex> table = for n <- 1..100_000, into: Tsunami.new(kind: :ordered_set), do: {n, n * n}
      iex> table |> Tsunami.stream(from: 500) |> Stream.map(fn {n, _} -> n end) |> Enum.take(3)
      [500, 501, 502]
      iex> table |> Tsunami.stream() |> Enum.count(fn {_, square} -> rem(square, 2) == 0 end)
      50000
  """
  @spec stream(table, [range_option | {:prefix, binary | list | tuple}]) :: Enumerable.t()
  def stream(table, options \\ [])

  def stream(table, []), do: lazily(ref(table), :all)

  def stream(table, options) do
    {part, limit} =
      case Keyword.pop(options!(options, [:from, :gt, :to, :lt, :reverse, :limit, :prefix]), :prefix, :none) do
        {:none, options} -> range!(options)
        {prefix, options} -> prefix!(prefix, options!(options, [:reverse, :limit]))
      end

    stream = lazily(ref(table), part)
    if limit, do: Stream.take(stream, limit), else: stream
  end

  # A function of two arguments is Enumerable.
  defp lazily(ref, part), do: &Walk.reduce(ref, part, &1, &2)

  # ---- calls -------------------------------------------------------------------------------------

  defp ref(%__MODULE__{ref: ref}), do: ref
  defp ref(name) when is_atom(name), do: name

  defp info!(ref, item) do
    case :tsunami.info(ref, item) do
      :undefined -> :erlang.error(:badarg)
      value -> value
    end
  end

  defp lookup(ref, key), do: checked(ref, :read, do: :tsunami.lookup(ref, key))
  defp insert(ref, entries), do: checked(ref, :write, do: :tsunami.insert(ref, entries))
  defp select(ref, pattern), do: checked(ref, :read, do: :tsunami.select(ref, [{pattern, [], [:"$1"]}]))

  # `fun` gets {:ok, value} or :error, and answers {what to answer, the same of the new value}.
  defp change(table, key, fun) do
    ref = ref(table)
    change(ref, key, lookup(ref, key), fun)
  end

  defp change(ref, key, found, fun) do
    {answer, objects} =
      case found do
        [{key, value}] -> objects(key, fun.({:ok, value}))
        [] -> objects(key, fun.(:error))
      end

    case checked(ref, :write, do: :tsunami_x.compare_and_swap(ref, key, found, objects)) do
      true -> answer
      {false, now} -> change(ref, key, now, fun)
    end
  end

  defp objects(key, {answer, {:ok, value}}), do: {answer, [{key, value}]}
  defp objects(_key, {answer, :error}), do: {answer, []}

  defp same(value), do: {value, {:ok, value}}

  # ---- arguments ---------------------------------------------------------------------------------

  defp options!(options, allowed) when is_list(options), do: Keyword.validate!(options, allowed)
  defp options!(options, _allowed), do: raise(ArgumentError, "options are a keyword list, not #{inspect(options)}")

  defp one_of!(options, name, allowed) do
    value = options[name]
    if value in allowed, do: value, else: bad!("#{name}: is one of #{inspect(allowed)}", value)
  end

  defp name!(name) when is_atom(name), do: name
  defp name!(name), do: bad!("name: is an atom", name)

  defp heir!(nil), do: []
  defp heir!({pid, data}) when is_pid(pid) and node(pid) == node(), do: [{:heir, pid, data}]
  defp heir!(pid) when is_pid(pid), do: heir!({pid, nil})
  defp heir!(heir), do: bad!("heir: is a process of this node, or {pid, data}", heir)

  defp entry!({_key, _value} = entry), do: entry
  defp entry!(other), do: raise(ArgumentError, "entries are pairs of a key and a value, which #{inspect(other)} is not")

  defp range!(options) do
    from = bound!(options, from: :ge, gt: :gt) || :first
    to = bound!(options, to: :le, lt: :lt) || :last
    {{:range, from, to, reverse!(options)}, limit!(options)}
  end

  defp prefix!(prefix, options) when is_binary(prefix) or is_list(prefix) or is_tuple(prefix),
    do: {{:prefix, prefix, reverse!(options)}, limit!(options)}

  defp prefix!(prefix, _options), do: bad!("a prefix is a binary, a list or a tuple", prefix)

  defp bound!(options, names) do
    case for {name, bound} <- names, {:ok, key} <- [Keyword.fetch(options, name)], do: {bound, key} do
      [] -> nil
      [bound] -> bound
      _ -> raise ArgumentError, "#{Enum.map_join(names, " and ", &"#{elem(&1, 0)}:")} exclude each other"
    end
  end

  defp reverse!(options) do
    case Keyword.get(options, :reverse, false) do
      reverse when is_boolean(reverse) -> [reverse: reverse]
      other -> bad!("reverse: is true or false", other)
    end
  end

  defp limit!(options) do
    case Keyword.fetch(options, :limit) do
      :error -> nil
      {:ok, limit} when is_integer(limit) and limit > 0 -> limit
      {:ok, other} -> bad!("limit: is a positive integer", other)
    end
  end

  defp bad!(rule, value), do: raise(ArgumentError, "#{rule}, not #{inspect(value)}")
end
