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
@click.option(
    "--format",
    "form",
    type=click.Choice(["svg", "png", "pdf"]),
    default="svg",
    show_default=True,
    help="Format of the pictures.",
)
@click.option("--baseline", default="", metavar="METHOD", help="Mark this method in the figure of all methods.")
@click.option("--only", multiple=True, metavar="METHOD", help="Draw this method. Give the option several times.")
def command(runs: tuple[Path, ...], output: Path, form: Format, baseline: str, only: tuple[str, ...]) -> None:
    """Draw the curves of RUNs, one file for each figure.

    The figures are accuracy by method, by round and by tokens, changed answers, and iterations of a finetuning. A RUN
    may be a folder of runs. Runs that differ in the seed alone are one method. A figure has at most ten series.

    \b
    society plot runs/a runs/b -o figures
    """
    from society.pictures.plot import plot_runs
    from society.runs.find import find_runs

    for path in plot_runs(find_runs(runs), output, form, baseline, only):
        say(f"Wrote {path}")
