"""`society export`: the contents of a run as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import allow_option, offline, output_option, run_argument
from society.cli.streams import say

if TYPE_CHECKING:
    from society.metrics.frames import Format


@click.command("export")
@run_argument
@output_option("--to", help="Target folder.", folder=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "jsonl", "csv"]),
    default="parquet",
    show_default=True,
    help="Format of the tables.",
)
@click.option("--adapters/--no-adapters", default=None, help="Export adapters. [default: if the run has any]")
@click.option(
    "--iteration",
    metavar="N",
    type=click.IntRange(min=1),
    help="Export the adapters of iteration N. [default: the last one]",
)
@click.option("--merged", is_flag=True, help="Also write each adapter merged with its base model.")
@allow_option
@click.option(
    "--base", "model", default="", metavar="GGUF", help="The base model as GGUF, if the run used another format."
)
def command(
    run: Path,
    output: Path,
    form: Format,
    adapters: bool | None,
    iteration: int | None,
    merged: bool,
    allow: tuple[Path, ...],
    model: str,
) -> None:
    """Export the tables and adapters of RUN into a folder.

    The tables hold turns, results, edges and metrics. Adapters are written for PEFT and as GGUF, with their training
    rows and a scenario that uses them.

    \b
    society export runs/mine -o tables --format csv
    society export runs/trained -o laptop --iteration 2
    """
    from society.core.errors import InputError
    from society.metrics.frames import write_tables
    from society.runs.run import Run
    from society.training.export import TrainingExport

    if output.resolve().is_relative_to(run.resolve()):
        raise InputError(f"{output} is in the folder of the run.", "Choose a folder outside of the run with --out.")
    trained = any(row.hash for row in Run(run).adapters())
    wanted = [name for name, given in (("--merged", merged), ("--iteration", iteration), ("--base", model)) if given]
    if wanted and not (trained if adapters is None else trained and adapters):
        why = "--no-adapters was given" if trained else f"the run in {run} has no adapters"
        remedy = "Leave out --no-adapters" if trained else "Name a run that has trained"
        raise InputError(
            f"{' and '.join(wanted)} cannot be used: {why}.", f"{remedy}, or leave out {' and '.join(wanted)}."
        )
    export = TrainingExport(Run(run), output, iteration, model, merged, allow)
    with offline():
        if model:
            export.check()
        for path in write_tables(Run(run), output, form):
            say(f"Wrote {path}")
        if trained if adapters is None else adapters:
            for path in export.write():
                say(f"Wrote {path}")
