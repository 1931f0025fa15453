defmodule Tsunami.Walk do
  @moduledoc false
  # Ranges, and walks over a table in chunks: what Enumerable and Tsunami.stream/2 have in common.

  import Tsunami.Call

  # Small enough for Enum.take/2 to be cheap, large enough for the call to weigh little.
  @chunk 256

  @type part ::
          :all
          | {:range, from :: term, to :: term, options :: list}
          | {:prefix, prefix :: term, options :: list}

  @doc false
  # As Enumerable.reduce/3. Between two chunks nothing is held: the position is a key.
  @spec reduce(:tsunami.table(), part, Enumerable.acc(), Enumerable.reducer()) :: Enumerable.result()
  def reduce(table, part, acc, fun), do: step([], fn -> first(table, part) end, acc, fun)

  defp step(_entries, _more, {:halt, acc}, _fun), do: {:halted, acc}
  defp step(entries, more, {:suspend, acc}, fun), do: {:suspended, acc, &step(entries, more, &1, fun)}
  defp step([entry | rest], more, {:cont, acc}, fun), do: step(rest, more, fun.(entry, acc), fun)

  defp step([], more, {:cont, acc}, fun) do
    case more.() do
      {entries, more} -> step(entries, more, {:cont, acc}, fun)
      :done -> {:done, acc}
    end
  end

  defp first(table, :all) do
    spec = [{:_, [], [:"$_"]}]
    chunk(table, &:tsunami.select/1, checked(table, :read, do: :tsunami.select(table, spec, @chunk)))
  end

  defp first(table, part), do: chunk(table, &:tsunami_x.range/1, ask(table, part, limit: @chunk))

  defp chunk(_table, _next, :"$end_of_table"), do: :done

  defp chunk(table, next, {entries, continuation}) do
    {entries, fn -> chunk(table, next, checked(table, :read, do: next.(continuation))) end}
  end

  @doc false
  # The entries of a range or of a prefix, at most `limit`.
  @spec list(:tsunami.table(), part, pos_integer | nil) :: [Tsunami.entry()]
  def list(table, part, nil), do: ask(table, part, [])

  def list(table, part, limit) do
    case ask(table, part, limit: limit) do
      {entries, _continuation} -> entries
      :"$end_of_table" -> []
    end
  end

  defp ask(table, {:range, from, to, options}, limit) do
    checked(table, :order, do: :tsunami_x.range(table, from, to, limit ++ options))
  end

  defp ask(table, {:prefix, prefix, options}, limit) do
    checked(table, :order, do: :tsunami_x.prefix(table, prefix, limit ++ options))
  end
end
