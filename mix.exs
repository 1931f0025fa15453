defmodule Mix.Tasks.Compile.TsunamiNif do
  @moduledoc "Builds priv/tsunami_nif.so with make, before the Erlang and Elixir parts."
  use Mix.Task.Compiler

  @library Path.join([__DIR__, "priv", "tsunami_nif.so"])
  @needs "tsunami needs a C compiler, make and Erlang's development files (Debian: gcc make erlang-dev)"

  @impl true
  def run(_args) do
    before = built()

    case make() do
      {_, 0} ->
        # priv may be new: link it into the build.
        Mix.Project.build_structure()
        if built() == before, do: :noop, else: :ok

      {output, _} ->
        Mix.shell().error(output)
        Mix.shell().error(@needs)
        {:error, []}
    end
  end

  defp make do
    System.cmd("make", ["-s", "nif", "WERROR=0"], cd: __DIR__, stderr_to_stdout: true)
  rescue
    error in ErlangError -> {"make: #{inspect(error.original)}", 1}
  end

  defp built do
    with {:ok, %{mtime: mtime, inode: inode}} <- File.stat(@library), do: {mtime, inode}
  end

  @impl true
  def clean, do: System.cmd("make", ["-s", "clean"], cd: __DIR__)
end

defmodule Tsunami.MixProject do
  use Mix.Project

  # One place for name, version and the list of packaged files.
  @app_src Path.join([__DIR__, "src", "tsunami.app.src"])
  @external_resource @app_src
  {:ok, [{:application, name, properties}]} = :file.consult(@app_src)
  @name name
  @version to_string(properties[:vsn])
  @description to_string(properties[:description])
  @files Enum.map(properties[:files], &to_string/1)

  def project do
    [
      app: @name,
      version: @version,
      description: @description,
      elixir: "~> 1.14",
      compilers: [:tsunami_nif] ++ Mix.compilers(),
      erlc_options: [:debug_info],
      test_pattern: "*_test.exs",
      start_permanent: Mix.env() == :prod,
      package: [licenses: ["Apache-2.0"], links: %{}, files: @files],
      deps: []
    ]
  end

  def application do
    case :file.consult(@app_src) do
      {:ok, [{:application, _, properties}]} -> Keyword.take(properties, [:mod, :registered, :env])
    end
  end
end
