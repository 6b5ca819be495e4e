"""`society compare`: runs side by side, as a table that can be pasted into a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import json_option

if TYPE_CHECKING:
    from society.metrics.comparison import Comparison


MOST_PAIRS = 6
"""Maximum number of pairs whose compute is compared in sentences."""
WIDEST = 7
"""With so many runs and more, runs are lines of the table; below, they are its columns."""


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "markdown", "csv", "latex"]), default="text")
@json_option
def command(runs: tuple[Path, ...], form: str, as_json: bool) -> None:
    """Compare runs on the same questions: accuracy, paired differences, cost."""
    from society.core.errors import InputError
    from society.metrics.comparison import compare
    from society.runs.run import Run

    if len(runs) < 2:
        raise InputError("There is one run, and nothing to compare it with.", "Name two runs or more.")
    found = compare([Run(path) for path in runs])
    if as_json:
        _print_json(found)
    else:
        _print_tables(found, form)


def _print_json(found: Comparison) -> None:
    import json

    from society.metrics.plain import to_plain

    click.echo(json.dumps(to_plain(found), indent=2, allow_nan=False))


def _print_tables(found: Comparison, form: str) -> None:
    """Tables on stdout. Remarks follow in prose formats; beside CSV and LaTeX, they go to stderr."""
    from society.cli.streams import say
    from society.metrics.comparison_tables import layout, pair_rows, run_rows, stand

    runs = run_rows(found)
    say(layout(runs if form == "csv" or len(runs) > WIDEST else stand(runs), form))
    say()
    say(layout(pair_rows(found), form))
    budgets = [f"{name}: {verdict.sentence}" for name, verdict in found.budgets.items()]
    remarks = [*found.notes, *_compute(found), *dict.fromkeys(_remark(found)), *budgets]
    if remarks:
        say(err=form in ("csv", "latex"))
    for remark in remarks:
        say(remark, err=form in ("csv", "latex"))


def _compute(found: Comparison) -> list[str]:
    """Whether runs are matched in compute, pair by pair; of many pairs the table alone says so."""
    if len(found.pairs) > MOST_PAIRS:
        return []
    return [pair.compute.sentence for pair in found.pairs if pair.compute is not None]


def _remark(found: Comparison) -> list[str]:
    several = len(found.pairs) > 1
    return [f"{pair.second} and {pair.first}: {pair.sentence}" if several else pair.sentence for pair in found.pairs]
