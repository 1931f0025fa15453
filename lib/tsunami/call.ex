defmodule Tsunami.Call do
  @moduledoc false
  # Calls into :tsunami and :tsunami_x, which raise badarg: here it becomes an ArgumentError with a sentence.

  @doc false
  # `need`: what the call asks of the table, :read, :write or :order (:read of an ordered_set).
  # The block holds nothing but the call, so that no badarg of a user's function is taken for ours.
  defmacro checked(table, need, do: call) do
    quote do
      try do
        unquote(call)
      catch
        :error, :badarg -> Tsunami.Call.explain(unquote(table), unquote(need), __STACKTRACE__)
      end
    end
  end

  @doc false
  @spec explain(:tsunami.table(), :read | :write | :order, Exception.stacktrace()) :: no_return()
  def explain(table, need, stacktrace) do
    case if(view?(stacktrace), do: view(), else: why(table, need)) do
      nil -> :erlang.raise(:error, :badarg, stacktrace)
      message -> reraise ArgumentError, [message: message], stacktrace
    end
  end

  defp view?([{_module, _function, _args, info} | _]), do: info[:error_info][:cause] == :view

  defp view, do: "this is a snapshot of a table, which cannot be changed, nor can a snapshot be taken of it"

  defp why(table, need) do
    type = :tsunami.info(table, :type)
    owner = :tsunami.info(table, :owner)

    cond do
      type == :undefined and is_atom(table) ->
        "there is no table with the name #{inspect(table)}"

      type == :undefined ->
        "the table does not exist any more: it was dropped, or the process that owned it has ended"

      need == :order and type != :ordered_set ->
        "the table has no order: its kind is #{inspect(type)}, and not :ordered_set"

      owner == self() ->
        nil

      true ->
        forbidden(:tsunami.info(table, :protection), need, owner)
    end
  end

  defp forbidden(:private, _need, owner),
    do: "the table is private: only #{inspect(owner)}, its owner, may use it"

  defp forbidden(:protected, :write, owner),
    do: "the table is protected: only #{inspect(owner)}, its owner, may change it (access: :public lets every process)"

  defp forbidden(_access, _need, _owner), do: nil
end
