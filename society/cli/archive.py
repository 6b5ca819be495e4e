"""`society archive`: a run in one file, and back."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import NewPath, run_argument


@click.command("archive")
@run_argument
@click.option(
    "-o", "--out", required=True, type=NewPath(path_type=Path), help="The archive; or the folder to restore to."
)
@click.option("--restore", is_flag=True, help="RUN is an archive: restore it into a new folder.")
def command(run: Path, out: Path, restore: bool) -> None:
    """Write RUN to one compressed file, or restore it.

    The archive has the store, the questions and the adapters. A restored run can be read and resumed as before.

    \b
    society archive runs/mine -o mine.zip
    society archive mine.zip --restore -o runs/mine
    """
    from society.cli.streams import say
    from society.runs.archive import archive_run, restore_run

    if restore:
        restore_run(run, out)
        say(f"{out}: the run is restored.")
    else:
        say(f"{out}: {archive_run(run, out):,} bytes. {run} is still there; delete it when you need its space.")
