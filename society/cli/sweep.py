"""`society sweep`: a grid of runs that share equal turns, and a table of their results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import json_option, scenario_options

if TYPE_CHECKING:
    from society.runner.sweep import Variant


@dataclass(frozen=True)
class _Row:
    """The result of one variant, with the keys of the JSON output."""

    changes: tuple[str, ...]
    accuracy: float | None
    low: float | None
    high: float | None
    n: int
    turns: int
    generated_tokens: int
    prompt_tokens: int
    reused_turns: int
    failed: int
    run: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of the table, in the order of `_TITLES`."""
        right = (self.accuracy or 0) * self.n
        known = self.n and self.generated_tokens
        per_thousand = f"{1000 * right / self.generated_tokens:.2f} right" if known else "-"
        return (
            " ".join(self.changes),
            "no true answers" if self.accuracy is None else f"{self.accuracy:.1%}",
            "-" if self.low is None else f"{self.low:.1%} to {self.high:.1%}",
            f"{self.n}",
            f"{self.turns:,}",
            f"{self.reused_turns:,}",
            f"{self.generated_tokens:,}",
            per_thousand,
        )


_TITLES = ("accuracy", "95 % interval", "n", "turns", "reused", "tokens", "per 1,000 tokens")


@click.command("sweep")
@scenario_options
@click.option(
    "--vary",
    multiple=True,
    required=True,
    metavar="a.b=x,y,z",
    help="A field and its values. Several of these options give all combinations.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of the runs. [default: runs/sweep-NAME]")
@json_option
def command(
    scenario: Path,
    overrides: tuple[str, ...],
    allow: tuple[Path, ...],
    vary: tuple[str, ...],
    out: Path | None,
    as_json: bool,
) -> int:
    """Run SCENARIO for each combination of values.

    Equal turns are generated once. The same command continues an interrupted sweep.
    """
    from society.runner.progress import Progress
    from society.runner.sweep import sweep

    def watch(changes: tuple[str, ...]) -> Progress:
        click.echo(f"\n{'  '.join(changes)}", err=True)
        return Progress()

    folder = out or Path("runs") / f"sweep-{scenario.stem}"
    rows = [_row(variant) for variant in sweep(scenario, vary, folder, overrides, allow, watch)]
    if as_json:
        import json

        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print(rows, folder)
    return 1 if any(row.failed for row in rows) else 0


def _row(variant: Variant) -> _Row:
    from society.core.plain import to_plain
    from society.metrics.summary import summarize
    from society.runs.records import load_records
    from society.scenario.expand import expand

    run = variant.run
    last = max((row.iteration for row in run.results()), default=0)
    summary = summarize(expand(run.scenario), load_records(run, last))
    return _Row(
        changes=variant.overrides,
        accuracy=to_plain(summary.after.share),
        low=to_plain(summary.after.low),
        high=to_plain(summary.after.high),
        n=summary.after.n,
        turns=summary.turns,
        generated_tokens=summary.usage.generated_tokens,
        prompt_tokens=summary.usage.prompt_tokens,
        reused_turns=run.count_reused(),
        failed=summary.failed,
        run=str(run.folder),
    )


def _print(rows: list[_Row], folder: Path) -> None:
    from rich.table import Table

    from society.core.terminal import Terminal

    table = Table(box=None, pad_edge=False)
    table.add_column("variant", overflow="fold")
    for title in _TITLES:
        table.add_column(title, justify="right")
    for row in sorted(rows, key=lambda row: -(row.accuracy or 0)):
        table.add_row(*row.cells)
    Terminal().print(table)
    click.echo(f"\nPaired statistics: society compare {folder}/*")
