defmodule TsunamiReadmeTest do
  use ExUnit.Case, async: true

  @readme File.read!(Path.expand("../README.md", __DIR__))
  @blocks for [_, block] <- Regex.scan(~r/```elixir\n(.*?)```/s, @readme), block =~ "iex>", do: block

  test "there are examples in Elixir" do
    assert length(@blocks) >= 1
  end

  for {block, number} <- Enum.with_index(@blocks, 1) do
    test "example #{number} answers what the README says" do
      steps = for "iex> " <> step <- Regex.split(~r/^(?=iex> )/m, unquote(block), trim: true), do: step

      Enum.reduce(steps, [], fn step, bindings ->
        [typed, said] = String.split(step, "\n", parts: 2)
        {value, bindings} = Code.eval_string(typed, bindings)
        assert {typed, inspect(value)} == {typed, String.trim(said)}
        bindings
      end)
    end
  end

  test "the table for those who come from ets names every function" do
    [_, table | _] = Regex.run(~r/## Moving from ets\n(.*?)\n(## |<!--)/s, @readme)
    internal = [:module_info, :internal_delete_all, :internal_request_all, :internal_select_delete, :match_spec_run_r]
    functions = for module <- [:tsunami, :tsunami_x], {name, _} <- module.module_info(:exports), do: name
    assert for(name <- Enum.uniq(functions) -- internal, not (table =~ "`#{name}`"), do: name) -- internal == []
  end
end
