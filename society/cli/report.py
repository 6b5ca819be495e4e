"""`society report`: one self-contained HTML file about runs."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import output_option, runs_argument
from society.cli.streams import say


@click.command("report")
@runs_argument
@output_option("--output", help="The .html file.")
def command(runs: tuple[Path, ...], output: Path) -> None:
    """Write one HTML page about RUNs, with every debate.

    The page needs no server and no other file.
    """
    from society.report.page import write_report
    from society.runs.run import Run

    write_report([Run(run) for run in runs], output)
    say(f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
