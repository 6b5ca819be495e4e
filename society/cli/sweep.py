"""`society sweep`: a grid of runs, sharing what they have in common, and a table of what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from society.cli.options import json_option, scenario_options

if TYPE_CHECKING:
    from society.runner.sweep import Variant


@click.command("sweep")
@scenario_options
@click.option("--vary", multiple=True, required=True, metavar="a.b=x,y,z",
              help="A key and its values; several give every combination.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the runs. [default: runs/sweep-NAME]")
@json_option
def command(
    scenario: Path, overrides: tuple[str, ...], allow: tuple[Path, ...], vary: tuple[str, ...], out: Path | None,
    as_json: bool,
) -> int:  # fmt: skip
    """Run SCENARIO once for each combination of values. Run again, it goes on where it was interrupted."""
    from society.runner.progress import Progress
    from society.runner.sweep import sweep

    def watch(changes: tuple[str, ...]) -> Progress:
        click.echo(f"\n{'  '.join(changes)}", err=True)
        return Progress()

    folder = out or Path("runs") / f"sweep-{scenario.stem}"
    rows = [_row(variant) for variant in sweep(scenario, vary, folder, overrides, allow, watch)]
    if as_json:
        import json

        click.echo(json.dumps(rows, indent=2))
    else:
        _print(rows, folder)
    return 1 if any(row["failed"] for row in rows) else 0


def _row(variant: Variant) -> dict[str, Any]:
    from society.metrics.summary import summarize
    from society.runs.records import load_records
    from society.scenario.expand import expand

    run = variant.run
    last = max((row.iteration for row in run.results()), default=0)
    summary = summarize(expand(run.scenario), load_records(run, last))
    return {
        "changes": list(variant.overrides), "accuracy": summary.after.share, "low": summary.after.low,
        "high": summary.after.high, "n": summary.after.n, "turns": summary.turns,
        "generated_tokens": summary.usage.generated_tokens, "prompt_tokens": summary.usage.prompt_tokens,
        "reused_turns": run.count_reused(), "failed": summary.failed, "run": str(run.folder),
    }  # fmt: skip


def _print(rows: list[dict[str, Any]], folder: Path) -> None:
    from rich.table import Table

    from society.cli.terminal import Terminal

    table = Table(box=None, pad_edge=False)
    table.add_column("variant", overflow="fold")
    for name in ("accuracy", "95 % interval", "n", "turns", "shared", "tokens", "per 1,000 tokens"):
        table.add_column(name, justify="right")
    for row in sorted(rows, key=lambda row: -row["accuracy"]):
        right = row["accuracy"] * row["n"]
        table.add_row(
            " ".join(row["changes"]), f"{row['accuracy']:.1%}", f"{row['low']:.1%} to {row['high']:.1%}",
            str(row["n"]), f"{row['turns']:,}", f"{row['reused_turns']:,}", f"{row['generated_tokens']:,}",
            f"{1000 * right / row['generated_tokens']:.2f} right" if row["generated_tokens"] else "-",
        )  # fmt: skip
    Terminal().print(table)
    click.echo(f"\nPaired statistics: society compare {folder}/*")
