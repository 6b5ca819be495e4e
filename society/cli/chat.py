"""`society chat`: one question after another to the same society."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from society.cli.ask import save_option, society_options
from society.cli.streams import say

if TYPE_CHECKING:
    from society.asking import Exchange
    from society.talking import Talk

PROMPT = "you> "
ENDS = ("exit", "quit", "/exit", "/quit")
"""Words that end the chat, as Ctrl-D does."""


@click.command("chat")
@society_options
@save_option("Keep each debate as a run in this folder: DIR/1, DIR/2 and so on.")
def command(out: Path | None, **shape: Any) -> int:
    """Ask one society questions, one after another, and print each debate as it is spoken.

    The models stay loaded. Each question follows on those before it: the agents are shown the last decisions, and what
    each agent said last. Ctrl-C ends a debate, Ctrl-D or the word exit ends the chat.

    \b
    society chat
    society chat --persona "a cook" --persona "a vet"
    """
    from society.asking import find_society
    from society.core import ending
    from society.talking import Talk

    ending.end_process = None  # a debate that is stopped while it loads does not end the chat
    scenario, warnings = find_society("Is this society valid?", **shape)
    for warning in warnings:
        say(warning, err=True)
    for config in scenario.backends.values():  # errors come before the first question
        config.check_here()
        config.open()
        config.check_files()
    if sys.stdin.isatty():
        say("Ask the society a question. Ctrl-C ends a debate, Ctrl-D or the word exit ends the chat.", err=True)
    earlier: list[Exchange] = []
    failed = False
    with Talk(out) as talk:
        while (question := _read()) is not None:
            if question:
                failed |= not _answer(talk, question, shape, earlier)
    return 1 if failed else 0


def _read() -> str | None:
    """Return the next question, stripped; None at the end of the chat. Ctrl-C drops what is typed so far.

    A question that is not typed on a terminal is printed.
    """
    typed = sys.stdin.isatty()
    try:
        question = input(PROMPT if typed else "").strip()
    except EOFError:
        if typed:
            click.echo()
        return None
    except KeyboardInterrupt:
        if not typed:
            raise
        click.echo()
        return ""
    if question.lower() in ENDS:
        return None
    if question and not typed:
        say(f"{PROMPT}{question}")
    return question


def _answer(talk: Talk, question: str, shape: dict[str, Any], earlier: list[Exchange]) -> bool:
    """Debate a question and remember what was said. Return False if it could not be debated."""
    from society.asking import Exchange, find_society
    from society.core.errors import SocietyError
    from society.core.interrupt import Interrupted
    from society.core.plain import name_path

    try:
        scenario, _ = find_society(question, **shape, earlier=earlier)
        run = talk.debate(scenario)
    except Interrupted as error:
        kept = f"; the finished turns are in {name_path(error.folder)}" if talk.keeps and error.folder else ""
        say(f"(stopped{kept})", err=True)
        if talk.stream.decided:
            earlier.append(Exchange(question, *talk.stream.outcome))
        return True
    except SocietyError as error:
        say(f"society: {error}", err=True)
        return False
    earlier.append(Exchange(question, *talk.stream.outcome))
    return not run.count_failed()
