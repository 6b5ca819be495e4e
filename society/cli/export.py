"""`society export`: what a run holds, as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import allow_option, offline

if TYPE_CHECKING:
    from society.metrics.frames import Format


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Where to write.")
@click.option("--format", "form", type=click.Choice(["parquet", "jsonl", "csv"]), default="parquet", show_default=True)
@click.option("--adapters/--no-adapters", default=None, help="What was trained. [default: if the run has any]")
@click.option("--iteration", type=click.IntRange(min=1), help="After so many finetunings. [default: the last]")
@click.option("--merged", is_flag=True, help="Also base and adapter as one model, for each adapter.")
@allow_option
@click.option("--base", "model", default="", metavar="GGUF", help="The base as GGUF, if the run's came from none.")
def command(
    run: Path,
    folder: Path,
    form: Format,
    adapters: bool | None,
    iteration: int | None,
    merged: bool,
    allow: tuple[Path, ...],
    model: str,
) -> None:
    """Write RUN into a folder: its turns, results and edges as tables, and what it trained.

    Adapters are written for PEFT and as GGUF, with what they learned from and a scenario that speaks with them.
    """
    from society.metrics.frames import write_tables
    from society.runs.run import Run

    for path in write_tables(Run(run), folder, form):
        click.echo(f"Wrote {path}")
    trained = any(row.hash for row in Run(run).adapters())
    if trained if adapters is None else adapters:
        from society.training.export import TrainingExport

        with offline():
            written = TrainingExport(Run(run), folder, iteration, model, merged, allow).write()
        for path in written:
            click.echo(f"Wrote {path}")
