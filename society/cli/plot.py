"""`society plot`: the curves of runs as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import output_option, runs_argument
from society.cli.streams import say

if TYPE_CHECKING:
    from society.pictures.files import Format


@click.command("plot")
@runs_argument
@output_option("--output", help="Folder of the pictures.", folder=True)
@click.option("--format", "form", type=click.Choice(["svg", "png", "pdf"]), default="svg", show_default=True)
def command(runs: tuple[Path, ...], output: Path, form: Format) -> None:
    """Draw the curves of RUNs, one file for each figure.

    The figures are accuracy by round and by tokens, changed answers, and iterations of a finetuning.
    """
    from society.pictures.plot import plot_runs
    from society.runs.run import Run

    for path in plot_runs([Run(path) for path in runs], output, form):
        say(f"Wrote {path}")
