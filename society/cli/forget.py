"""`society forget`: deletes the text of an item from runs."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import run_argument


@click.command("forget")
@run_argument
@click.option("--item", required=True, metavar="ID", help="The id of the item.")
def command(run: Path, item: str) -> int:
    """Delete the text of an item from RUN: its turns, prompts, result and training rows.

    The bytes are overwritten. RUN counts the deleted question, and can be read but not resumed. Adapters that learned
    from the item, and other debates that quote it, are listed; the exit status is then 1. Delete exports, archives and
    the source of the question yourself.

    \b
    society forget runs/mine --item trivia-7
    """
    from society.cli.streams import say
    from society.core.plain import count, list_names
    from society.runs.forgetting import forget_item

    done = forget_item(run, item)
    say(f"{run}: {count(done.turns, 'turn')} deleted.")
    if done.quoting:
        say(f"Debates on other items quote it: {list_names(done.quoting, 'item')}. Delete these too.", err=True)
    if done.adapters:
        say(f"Adapters learned from it, and keep what they learned: {list_names(done.adapters, 'adapter')}.", err=True)
    return int(bool(done.quoting or done.adapters))
