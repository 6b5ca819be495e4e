"""`society report`: one self-contained HTML file about one run or several."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .html file.")
def command(runs: tuple[Path, ...], output: Path) -> None:
    """Write what RUNS say, with every debate in them, as a page that needs nothing else."""
    from society.report.page import write_report
    from society.runs.run import Run

    write_report([Run(run) for run in runs], output)
    click.echo(f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
