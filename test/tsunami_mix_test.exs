defmodule TsunamiMixTest do
  # A project of somebody else, with Tsunami as a path dependency: nothing is done by hand.
  use ExUnit.Case, async: true

  @root Path.expand("..", __DIR__)
  @moduletag timeout: 300_000

  # Nothing of our own build reaches the other project, and nothing is asked of the network.
  @environment for(
                 name <- ~w(MIX_BUILD_PATH MIX_DEPS_PATH MIX_EXS MIX_TARGET ERL_LIBS ERL_FLAGS MAKEFLAGS),
                 do: {name, nil}
               ) ++
                 [{"MIX_ENV", "test"}, {"HEX_OFFLINE", "1"}, {"ELIXIR_ERL_OPTIONS", "+fnu"}]

  @files %{
    "mix.exs" => """
    defmodule User.MixProject do
      use Mix.Project
      def project, do: [app: :user, version: "1.0.0", deps: [{:tsunami, path: "#{@root}"}]]
    end
    """,
    "lib/user.ex" => """
    defmodule User do
      def squares, do: for(n <- 1..9, into: Tsunami.new(kind: :ordered_set), do: {n, n * n})
    end
    """,
    "test/test_helper.exs" => "ExUnit.start()",
    "test/user_test.exs" => """
    defmodule UserTest do
      use ExUnit.Case
      test "both interfaces answer" do
        assert Tsunami.range(User.squares(), to: 2) == [{1, 1}, {2, 4}]
        assert :tsunami.lookup(User.squares().ref, 3) == [{3, 9}]
      end
    end
    """
  }

  setup do
    folder = Path.join(System.tmp_dir!(), "tsunami_user_#{System.pid()}")

    for {name, text} <- @files do
      path = Path.join(folder, name)
      File.mkdir_p!(Path.dirname(path))
      File.write!(path, text)
    end

    on_exit(fn -> File.rm_rf!(folder) end)
    %{folder: folder}
  end

  test "mix builds, tests and runs it; a second build does nothing", %{folder: folder} do
    assert mix(folder, ["test"]) =~ ~r/1 test, 0 failures/
    first = built(folder)
    assert map_size(first) > 10
    assert mix(folder, ["compile"]) == ""
    assert mix(folder, ["run", "-e", "IO.puts(Enum.count(User.squares()))"]) == "9\n"
    assert built(folder) == first
  end

  defp mix(folder, arguments) do
    home = [{"MIX_HOME", Path.join(folder, "home")}]
    {output, status} = System.cmd("mix", arguments, cd: folder, env: @environment ++ home, stderr_to_stdout: true)
    assert {status, output} == {0, output}
    output
  end

  # What was compiled, and when.
  defp built(folder) do
    for path <- Path.wildcard(Path.join(folder, "_build/**/*.{beam,so}")), into: %{} do
      {path, File.stat!(path, time: :posix).mtime}
    end
  end
end
