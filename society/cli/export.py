"""`society export`: what a run holds, as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from society.tables import Format


@click.command("export")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--to", "folder", required=True, metavar="DIR", type=click.Path(path_type=Path), help="Where to write.")
@click.option("--format", "form", type=click.Choice(["parquet", "jsonl", "csv"]), default="parquet", show_default=True)
def command(run: Path, folder: Path, form: Format) -> None:
    """Write the turns, results and edges of RUN as tables into a folder."""
    from society.session import Run
    from society.tables import write_tables

    for path in write_tables(Run(run), folder, form):
        click.echo(f"Wrote {path}")
