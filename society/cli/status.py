"""`society status`: the state of many runs, in one table."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import json_option

if TYPE_CHECKING:
    from society.runs.status import RunStatus

WATCHED = 30.0
"""Seconds during which a run whose state is unclear is watched, by default."""
POLL = 1.0
"""Seconds between two looks at a run whose state is unclear."""


@click.command("status")
@click.argument("folders", nargs=-1, metavar="[RUN...]", type=click.Path(path_type=Path))
@click.option(
    "--stuck-after",
    default=10.0,
    show_default=True,
    metavar="MINUTES",
    type=click.FloatRange(min=0),
    help="Minutes without a turn or an optimizer step after which a run counts as stuck.",
)
@click.option(
    "--wait",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Maximum time to watch runs of machines whose clock may differ, also by days. Otherwise their state is "
    "unclear. [default: 30, and not by days]",
)
@click.option("--calls", is_flag=True, help="Also list the calls that worked on each run: times, machines, versions.")
@json_option
def command(folders: tuple[Path, ...], stuck_after: float, wait: float | None, calls: bool, as_json: bool) -> int:
    """Show who works on runs, how far they are, and which are stuck.

    RUN may also be a folder with several runs, and is runs/ by default; other folders in it are left out. The exit
    status is 1 if a run is stuck, was killed, ended with an error, waited too long for a server, is unclear, or cannot
    be read. It is 0 for runs that go on, are finished, were interrupted, or reached a limit.

    \b
    society status runs
    society status runs/sweep-mine --json
    society status runs/mine --calls
    """
    from society.core.errors import InputError, RunFolderError
    from society.runs.state import RunState
    from society.runs.status import find_runs, read_status

    paths: list[Path] = []
    for folder in folders or (Path("runs"),):
        try:
            paths += find_runs(folder)
        except RunFolderError:
            if len(folders) < 2:
                raise
            paths.append(folder)
    if not paths:
        raise InputError("There is no run in these folders.", "Name a folder with runs.")
    read = partial(read_status, stuck_after=60 * stuck_after, twice=bool(wait))
    rows = _watch(read, paths, WATCHED if wait is None else wait)
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps([asdict(row) | {"progress": row.progress} for row in rows], indent=2))
    else:
        _print(rows, folders[0] if len(folders) == 1 else Path(), calls)
    fine = (*(state for state in RunState if state.is_live or state.is_over), RunState.INTERRUPTED, RunState.LIMITED)
    return int(any(row.stuck or row.state not in fine for row in rows))


def _watch(read: Callable[[Path], RunStatus], paths: list[Path], wait: float) -> list[RunStatus]:
    """Return the states of runs. Those that are unclear are read again until they are clear, for `wait` seconds."""
    import time

    from society.core.plain import count
    from society.runs.state import RunState

    rows, end = [read(path) for path in paths], time.monotonic() + wait
    unclear = [number for number, row in enumerate(rows) if row.state == RunState.UNCLEAR]
    if unclear and wait:
        click.echo(f"Watching {count(len(unclear), 'run')}, as clocks may differ. --wait 0 leaves this out.", err=True)
    while unclear and time.monotonic() < end:
        time.sleep(min(POLL, max(0.0, end - time.monotonic())))
        for number in unclear:
            rows[number] = read(paths[number])
        unclear = [number for number in unclear if rows[number].state == RunState.UNCLEAR]
    return rows


def _print(rows: list[RunStatus], folder: Path, calls: bool) -> None:
    """Print the table. Runs are named by their paths from `folder`."""
    from collections import Counter

    from rich.table import Table
    from rich.text import Text

    from society.cli.streams import output_width
    from society.core.plain import count, duration
    from society.core.terminal import Terminal

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("run", "state", "host", "progress", "failed turns", "last turn"):
        table.add_column(title, overflow="fold")
    names = {row.run: _shorten(Path(row.run), folder) for row in rows}
    for row in rows:
        state = f"{row.state}, stuck" if row.stuck else row.state
        style = "red" if row.stuck or not (row.whole or row.state in ("starting", "running", "paused")) else ""
        age = "" if row.quiet is None else f"{duration(row.quiet)} ago"
        cells = (names[row.run], state, row.host, row.progress, f"{row.failed:,}" if row.failed else "", age)
        table.add_row(*(Text(cell, style=style if number == 1 else "") for number, cell in enumerate(cells)))
    console = Terminal(width=output_width())  # in a pipe, a run is one line
    console.print(table)
    for row in rows:
        if row.reason:
            console.print(Text(f"{names[row.run]}: {row.reason}", style="dim"), soft_wrap=True)
        for line in _describe_calls(row) if calls else ():
            console.print(Text(f"{names[row.run]}: {line}"), soft_wrap=True)
    states = Counter(row.state for row in rows)
    total = ", ".join(f"{number:,} {state}" for state, number in states.items())
    console.print(Text(f"{count(len(rows), 'run')}: {total}", style="dim"), soft_wrap=True)


def _describe_calls(row: RunStatus) -> list[str]:
    """Return a line with the versions at the run's start, and one for each call that worked on it."""
    versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
    lines = [f"made with {versions}"] if versions else []
    for call in row.sessions:
        parts = [call.state, f"process {call.pid} on {call.host}"]
        parts += [call.reason] if call.reason else []
        parts += [f"waited {call.paused} s for servers"] if call.paused != "0" else []
        facts = (("GPUs", call.gpus), ("workers", call.workers), ("other versions", call.versions))
        parts += [f"{name}: {value}" for name, value in (*facts, ("commit", call.program_commit)) if value]
        lines.append(f"{call.started or '?'} to {call.ended or '?'}: {'; '.join(parts)}")
    return lines


def _shorten(run: Path, folder: Path) -> str:
    return str(run.relative_to(folder)) if run != folder and run.is_relative_to(folder) else str(run)
