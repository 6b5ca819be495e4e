"""`society forget`: deletes the text of an item from runs."""

from __future__ import annotations

import itertools
from pathlib import Path

import click

from society.cli.options import runs_argument


@click.command("forget")
@runs_argument
@click.option("--item", "items", required=True, multiple=True, metavar="ID", help="The id of the item; repeatable.")
def command(runs: tuple[Path, ...], items: tuple[str, ...]) -> int:
    """Delete the text of an item from each RUN: its turns, prompts, result, training rows, and place in the scenario.

    The bytes are overwritten. RUN counts the deleted question, and can be read but not resumed. Checkpoints within a
    finetuning are removed. Adapters that learned from the item, and other debates and files that quote it, are listed;
    the exit status is then 1. RUN may be the folder of a sweep. Name those that reused the turns, too. Delete exports,
    archives and the source of the question yourself.

    \b
    society forget runs/mine --item trivia-7
    society forget runs/sweep-mine --item trivia-7
    """
    from society.cli.streams import say
    from society.core.plain import count
    from society.runs.find import find_runs
    from society.runs.forgetting import NoSuchItemError, forget_item

    remains, missing = False, 0
    folders = [run.folder for run in find_runs(runs)]
    for folder, item in itertools.product(folders, items):
        try:
            done = forget_item(folder, item)
        except NoSuchItemError as error:
            missing += 1
            if missing == len(folders) * len(items):
                raise
            say(error.cause)
            continue
        say(f"{folder}: {count(done.turns, 'turn')} of {item} deleted.")
        told = (
            ("Debates on other items quote it. Delete these too", done.quoting),
            ("Adapters learned from it, and keep what they learned", done.adapters),
            ("Its text is also in these places. Delete it there", done.places),
        )
        for text, names in told:
            if names:
                say(f"{text}: {'; '.join(names)}.", err=True)
        remains |= any(names for _, names in told)
    return int(remains)
