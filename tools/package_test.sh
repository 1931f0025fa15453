#!/usr/bin/env bash
# package_test.sh: what a user of the package gets. Unpacks the packaged files (and no others) and builds them
# with rebar3, as a rebar3 dependency, and with mix; each build has to answer a lookup. Offline.
set -u
cd "$(dirname "$0")/.."
. tools/lib.sh
tools/deps.sh package || exit 1

here=$PWD
work=$here/$BUILD/package
case $BUILD in /*) work=$BUILD/package ;; esac
rm -rf "$work" && mkdir -p "$work/files"

# The packaged files, as src/tsunami.app.src lists them.
files=$(erl -noshell -eval '{ok, [{application, _, P}]} = file:consult("src/tsunami.app.src"),
    [io:format("~ts~n", [F]) || F <- proplists:get_value(files, P)], halt(0).')
for f in $files; do
    [ -e "$f" ] && mkdir -p "$work/files/$(dirname "$f")" && cp -r "$f" "$work/files/$f"
done
find "$work/files" \( -name '*.o' -o -name '*.so' -o -name '*.beam' \) -delete

# answers NAME EBIN...: a VM with these paths makes a table and finds what it put there.
answers() {
    erl -noshell -pa "$@" -eval '
        ok = application:load(tsunami),
        {ok, Vsn} = application:get_key(tsunami, vsn),
        T = tsunami:new(t, [set]),
        true = tsunami:insert(T, {k, Vsn}),
        [{k, Vsn}] = tsunami:lookup(T, k),
        io:format("version ~ts answers from ~ts~n", [Vsn, code:which(tsunami)]),
        halt(0).' && echo "1 passed, 0 failed"
}
export -f answers

unset ERL_LIBS ERL_FLAGS
export HOME=$work/home REBAR_OFFLINE=1 MIX_HOME=$work/home/mix HEX_OFFLINE=1
mkdir -p "$HOME"

cp -r "$work/files" "$work/rebar"
suite "rebar3 compile" bash -c "cd $work/rebar && rebar3 compile && answers _build/default/lib/tsunami/ebin"

cp -r "$work/files" "$work/bare"
suite "rebar3 bare compile" bash -c "cd $work/bare && rebar3 bare compile --paths '_build/default/lib/*/ebin' && answers ebin"

mkdir -p "$work/rebar_user/src" "$work/rebar_user/_checkouts"
cp -r "$work/files" "$work/rebar_user/_checkouts/tsunami"
echo '{erl_opts, []}. {deps, [tsunami]}.' >"$work/rebar_user/rebar.config"
echo '{application, user_app, [{vsn, "1"}, {applications, [kernel, stdlib, tsunami]}]}.' >"$work/rebar_user/src/user_app.app.src"
suite "rebar3, as a dependency" bash -c "cd $work/rebar_user && rebar3 compile && answers _build/default/*/tsunami/ebin"

cp -r "$work/files" "$work/mix"
suite "mix compile" bash -c "cd $work/mix && mix compile && answers _build/dev/lib/tsunami/ebin"

mkdir -p "$work/mix_user/lib"
cat >"$work/mix_user/mix.exs" <<END
defmodule User.MixProject do
  use Mix.Project
  def project, do: [app: :user, version: "1.0.0", deps: [{:tsunami, path: "$work/mix_dep"}]]
end
END
cp -r "$work/files" "$work/mix_dep"
suite "mix, as a dependency" bash -c "cd $work/mix_user && mix compile && answers _build/dev/lib/tsunami/ebin"
suite "Elixir's Tsunami, there" bash -c "cd $work/mix_user &&
    mix run -e '[a: 1] = Enum.to_list(Enum.into([a: 1], Tsunami.new())); IO.puts(\"1 passed, 0 failed\")'"

# Erlang users need no Elixir, and Elixir files are no part of what they build.
cp -r "$work/files" "$work/mix_lib"
rm -rf "$work/mix_lib/lib"
suite "mix compile without lib/" bash -c "cd $work/mix_lib && mix compile && answers _build/dev/lib/tsunami/ebin"
finish
