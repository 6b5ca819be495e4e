"""`society compare`: runs side by side, as a table for a terminal, a page or a paper."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import json_option, runs_argument

if TYPE_CHECKING:
    from society.metrics.method_groups import Group
    from society.runs.run import Run

FORMS = ("text", "markdown", "csv", "latex")


def _shorthand(form: str) -> click.Option:
    return click.Option([f"--{form}", "form"], flag_value=form, help=f"The same as --format {form}.")


@click.command("compare")
@runs_argument
@click.option(
    "--format", "form", type=click.Choice(FORMS), default="text", show_default=True, help="Format of the tables."
)
@click.option(
    "--baseline", default="", metavar="METHOD", help="Test every other method against this one, by its label."
)
@click.option(
    "--columns",
    default="",
    metavar="a,b",
    help="Columns: accuracy, tokens, prompt_tokens, cost, seconds, turns, agreement, and KIND.NAME of a metric.",
)
@click.option(
    "--each",
    is_flag=True,
    help="Compare each run on its own, with all counts, also runs that differ in the seed alone.",
)
@json_option
def command(runs: tuple[Path, ...], form: str, baseline: str, columns: str, each: bool, as_json: bool) -> None:
    """Compare RUNs on the same questions: accuracy and cost.

    A RUN may be a folder of runs, such as that of a sweep. Runs that differ in the seed alone are repetitions of one
    method. Differences are paired by question. Remarks say how far the runs can be compared.

    \b
    society compare runs/a runs/b
    society compare runs/sweep-mine --latex > table.tex
    """
    from society.metrics.method_groups import group_runs
    from society.runs.find import find_runs

    found = find_runs(runs)
    if not each:
        groups = group_runs(found)
        if baseline or columns or form == "latex" or len(found) > MANY or any(len(one.runs) > 1 for one in groups):
            _methods(groups, form, baseline, columns, as_json)
            return
    _runs(found, form, as_json)


command.params += [_shorthand(form) for form in FORMS[1:]]
MANY = 7
"""Number of runs from which each is only a line of a table."""


def _methods(groups: list[Group], form: str, baseline: str, columns: str, as_json: bool) -> None:
    import json

    from society.cli.streams import output_width, say
    from society.core.plain import to_plain
    from society.metrics.method_tables import wrap_notes, write_methods
    from society.metrics.methods import compare_methods

    names = [name.strip() for name in columns.split(",") if name.strip()]
    found = compare_methods(groups, baseline, names)
    if as_json:
        click.echo(json.dumps(to_plain(found), indent=2, allow_nan=False))
        return
    width = output_width()
    say(write_methods(found, form, width))
    if form != "latex":  # the table has its notes
        say("\n" + "\n".join(wrap_notes(found, width)), err=form == "csv")


def _runs(runs: list[Run], form: str, as_json: bool) -> None:
    import json

    from society.cli.streams import say
    from society.core.plain import to_plain
    from society.metrics.comparison import compare
    from society.metrics.comparison_tables import remarks, write_tables

    found = compare(runs)
    if as_json:
        click.echo(json.dumps(to_plain(found), indent=2, allow_nan=False))
        return
    say(write_tables(found, form))
    sentences = remarks(found)
    if sentences:  # they do not belong into a CSV or LaTeX file
        say("\n" + "\n".join(sentences), err=form in ("csv", "latex"))
