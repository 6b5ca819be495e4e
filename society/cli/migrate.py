"""`society migrate`: runs of older versions."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import runs_argument


@click.command("migrate")
@runs_argument
def command(runs: tuple[Path, ...]) -> None:
    """Migrate the stores of runs of older versions, at once.

    Resuming a run migrates it anyway, and reading needs no migration. An older program cannot open the run afterwards.

    \b
    society migrate runs/mine runs/sweep-mine
    """
    from society.cli.streams import say
    from society.runs.editing import edit_run
    from society.runs.find import find_runs
    from society.store.migrate import VERSION

    for run in find_runs(runs):
        with edit_run(run.folder) as store:
            before = store.migrate()
        say(f"{run.folder}: " + (f"version {before} is now {VERSION}" if before != VERSION else "up to date"))
