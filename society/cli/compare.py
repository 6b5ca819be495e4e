"""`society compare`: runs side by side, as a table for a terminal or a paper."""

from __future__ import annotations

from pathlib import Path

import click

from society.cli.options import json_option


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "markdown", "csv", "latex"]), default="text")
@json_option
def command(runs: tuple[Path, ...], form: str, as_json: bool) -> None:
    """Compare runs on the same questions: accuracy, paired differences, cost."""
    import json

    from society.cli.streams import say
    from society.core.errors import InputError
    from society.metrics.comparison import compare
    from society.metrics.comparison_tables import remarks, write_tables
    from society.metrics.plain import to_plain
    from society.runs.run import Run

    if len(runs) < 2:
        raise InputError("There is one run, and nothing to compare it with.", "Name two runs or more.")
    found = compare([Run(path) for path in runs])
    if as_json:
        click.echo(json.dumps(to_plain(found), indent=2, allow_nan=False))
        return
    say(write_tables(found, form))
    sentences = remarks(found)
    if sentences:  # they do not belong into a file for a spreadsheet or a paper
        say("\n" + "\n".join(sentences), err=form in ("csv", "latex"))
