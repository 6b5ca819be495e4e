"""`society plot`: the curves of runs as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from society.pictures.files import Format


@click.command("plot")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("-o", "--output", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["svg", "png", "pdf"]), default="svg", show_default=True)
def command(runs: tuple[Path, ...], folder: Path, form: Format) -> None:
    """Draw RUNs: accuracy by round and by tokens, flips, iterations, each in a file of its own."""
    from society.pictures.plot import plot_runs
    from society.runs.run import Run

    for path in plot_runs([Run(path) for path in runs], folder, form):
        click.echo(f"Wrote {path}")
