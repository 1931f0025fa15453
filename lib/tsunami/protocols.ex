defimpl Enumerable, for: Tsunami do
  import Tsunami.Call

  def count(table), do: {:ok, Tsunami.count(table)}

  # An ordered_set finds 1 by 1.0, but {1.0, value} is not its entry.
  def member?(%{ref: ref}, {key, value}) do
    {:ok, checked(ref, :read, do: :tsunami.lookup(ref, key)) === [{key, value}]}
  end

  def member?(_table, _other), do: {:ok, false}

  # Enum would count on as many entries as there were when it asked, and others may have taken some.
  def slice(_table), do: {:error, __MODULE__}

  def reduce(%{ref: ref}, acc, fun), do: Tsunami.Walk.reduce(ref, :all, acc, fun)
end

defimpl Collectable, for: Tsunami do
  # Collected first, then put in at once: all of it or nothing.
  def into(table) do
    {[],
     fn
       entries, {:cont, entry} -> [entry | entries]
       entries, :done -> Tsunami.put_all(table, Enum.reverse(entries))
       _entries, :halt -> :ok
     end}
  end
end

defimpl Inspect, for: Tsunami do
  def inspect(%{ref: ref}, _options) do
    case :tsunami.info(ref) do
      :undefined ->
        "#Tsunami<dropped>"

      info ->
        name = if info[:named_table], do: ", " <> Kernel.inspect(info[:name]), else: ""
        "#Tsunami<#{info[:type]}, #{entries(info[:size])}#{name}>"
    end
  end

  defp entries(1), do: "1 entry"
  defp entries(size), do: "#{size} entries"
end
