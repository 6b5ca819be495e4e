"""`society compare`: runs side by side, as a table for a terminal, a page or a paper."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import json_option, runs_argument


@click.command("compare")
@runs_argument
@click.option(
    "--format", "form", type=click.Choice(["text", "markdown", "csv", "latex"]), default="text", show_default=True
)
@json_option
def command(runs: tuple[Path, ...], form: str, as_json: bool) -> None:
    """Compare RUNs on the same questions: accuracy and cost.

    Differences are paired by question. Remarks say how far the runs can be compared.
    """
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
