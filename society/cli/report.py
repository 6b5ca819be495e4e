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

    Several runs are compared. The page needs no server and no other file. A folder with runs, such as runs/, gives a
    page that lists them, with links to the pages report.html in their folders.

    \b
    society report runs/mine -o mine.html
    society report runs/a runs/b -o both.html
    """
    from society.report.page import write_report, write_run_list
    from society.runs.places import find_folders, is_run
    from society.runs.run import Run

    if len(runs) == 1 and runs[0].is_dir() and not is_run(runs[0]) and any(map(is_run, find_folders(runs[0]))):
        write_run_list(runs[0], output)
    else:
        write_report([Run(run) for run in runs], output)
    say(f"Wrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
