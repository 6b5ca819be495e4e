"""Help and completion: whole sentences at every width, examples that are right, and names that the shell completes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys

import click
import pytest

from society.cli import COMMANDS, SECTIONS, cli, main


def shown(command: str | None, width: int) -> str:
    with click.Context(cli, info_name="society", terminal_width=width, max_content_width=width) as top:
        if command is None:
            return cli.get_help(top)
        found = cli.get_command(top, command)
        assert found is not None
        with click.Context(found, info_name=command, parent=top) as context:
            return found.get_help(context)


@pytest.mark.parametrize("width", [80, 60])
@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_is_whole_at_every_width(command: str | None, width: int) -> None:
    text = shown(command, width)
    assert max(map(len, text.splitlines())) <= width, text
    assert "..." not in re.sub(r"(RUN|SCENARIOS|\[ARGS\])\.\.\.", "", text)
    for name in SECTIONS if command is None else ():
        assert f"\n{name}:\n" in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained_and_every_example_can_be_typed(command: str) -> None:
    with click.Context(cli, info_name="society") as top:
        found = cli.get_command(top, command)
        assert found is not None
        for parameter in found.params:
            if isinstance(parameter, click.Option):
                assert (parameter.help or "").endswith((".", "]")), parameter.name
        examples = re.findall(rf"(?m)^ *(society {command}\b.*)$", found.help or "")
        assert examples
        for example in examples:
            [_, _, *arguments] = shlex.split(example.partition(" > ")[0])
            found.make_context(command, arguments, parent=top).close()  # raises for a wrong option or argument


def test_a_command_of_each_section_is_listed_once() -> None:
    assert len(set(COMMANDS)) == len(COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "s.yaml", "--rounds", "3"], "--set phases.debate.rounds=3"),
        (["run", "s.yaml", "--resum"], "--resume"),
        (["list", "topologie"], "did you mean 'topologies'?"),
        (["list", "xyz"], "is not one of"),
    ],
)
def test_a_wrong_word_gets_the_right_one(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "--out" not in said


def test_a_value_without_its_option_gets_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "scenarios/debate.yaml", "task.limit=2"]) == 2
    assert "(task.limit=2). Values of the scenario are set with --set" in capsys.readouterr().err


def test_kinds_are_listed_in_the_singular_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "topology"]) == 0
    assert "small_world" in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_options_and_values(tmp_path) -> None:
    """The line of the help, sourced by bash, completes as the Tab key would."""
    (tmp_path / "society").write_text(f'#!/bin/sh\nexec {sys.executable} -m society "$@"\n')
    (tmp_path / "society").chmod(0o755)
    script = f"""
PATH={tmp_path}:$PATH
eval "$(_SOCIETY_COMPLETE=bash_source society)"
for line in "society swe" "society run --res" "society list topo"; do
  COMP_WORDS=($line); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=()
  _society_completion society
  echo "$line: ${{COMPREPLY[@]}}"
done
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "society swe: sweep",
        "society run --res: --resume",
        "society list topo: topologies",
    ], done.stderr
