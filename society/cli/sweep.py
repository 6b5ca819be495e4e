"""`society sweep`: a grid of runs that share equal turns, and a table of their results."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import grace_option, json_option, log_options, scenario_options, set_logs

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
    missing: str = ""
    """Why the run is not whole: its numbers are then None."""


def _read_seeds(context: click.Context, parameter: click.Parameter, text: str | None) -> list[int] | int | None:
    """Return the number of seeds, or the seeds of a list."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and len(part) < 19 for part in parts):
        raise click.BadParameter("give the number of seeds, or seeds with commas, such as 0,1,2", context, parameter)
    return int(parts[0]) if len(parts) == 1 else [int(part) for part in parts]


@click.command("sweep")
@scenario_options
@click.option(
    "--vary",
    multiple=True,
    metavar="a.b=x,y,z",
    help="A field and its values. Several of these options give all combinations.",
)
@click.option(
    "--seeds",
    callback=_read_seeds,
    metavar="N|a,b,c",
    help="Repeat each variant with N seeds, or with these: the same questions, other draws.",
)
@click.option(
    "--resume",
    is_flag=True,
    expose_value=False,
    help="Continue an interrupted sweep, as the same command does without it.",
)
@click.option("--index", type=int, metavar="K", help="Run part K of --of N parts, from 0: a task of an array job.")
@click.option("--of", type=int, metavar="N", help="Number of parts.")
@click.option("--jobs", type=int, default=1, metavar="N", help="Run variants in N processes at the same time.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder of the runs. [default: runs/sweep-NAME]")
@grace_option
@log_options
@json_option
def command(
    scenario: Path,
    overrides: tuple[str, ...],
    allow: tuple[Path, ...],
    vary: tuple[str, ...],
    seeds: list[int] | int | None,
    index: int | None,
    of: int | None,
    jobs: int,
    out: Path | None,
    grace: float,
    log_level: str | None,
    log_json: bool,
    as_json: bool,
) -> int:
    """Run SCENARIO for each combination of values, and with --seeds several times each.

    Equal turns are generated once. The same command continues an interrupted sweep. A variant that fails does not stop
    the others. With --index and --of, the tasks of an array job share the work, on several machines with a shared disk.

    \b
    society sweep mine.yaml --vary agents.debater.count=3,5
    society sweep mine.yaml --seeds 0,1,2
    society sweep mine.yaml --seeds 30 --index 4 --of 30
    """
    from society.runner.displays import Display, Logged
    from society.runner.progress import Progress
    from society.runner.sweep import sweep
    from society.scenario import load_scenario
    from society.scenario.expand import expand

    set_logs(log_level, log_json)

    def watch(changes: tuple[str, ...]) -> Progress:
        if log_json:
            return Progress(Logged())
        click.echo(f"\n{'  '.join(changes)}", err=True)
        return Progress(Display() if people else None)

    people = expand(load_scenario(scenario, overrides, allow)).people
    folder = out or Path("runs") / f"sweep-{scenario.stem}"
    parts = (() if seeds is None else seeds, index, of, jobs, grace)
    variants = sweep(scenario, vary, folder, overrides, allow, watch, *parts)
    rows = [_row(variant) for variant in variants]
    if as_json:
        import json

        click.echo(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        _print(variants, rows, folder)
    return int(any(variant.own and (row.failed or row.missing) for variant, row in zip(variants, rows, strict=True)))


def _row(variant: Variant) -> _Row:
    from society.core.plain import to_plain
    from society.metrics.summary import summarize
    from society.runs.records import load_records
    from society.scenario.expand import expand

    run = variant.run
    if variant.missing:
        return _Row(variant.overrides, None, None, None, 0, 0, 0, 0, 0, 0, str(run.folder), variant.missing)
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


def _print(variants: list[Variant], rows: list[_Row], folder: Path) -> None:
    """Print the table of methods, which fits into a terminal, and the command for paired statistics."""
    import shlex

    from society.cli.streams import output_width, say
    from society.core.errors import NoCommonQuestionError
    from society.core.plain import count
    from society.metrics.method_groups import group_runs
    from society.metrics.method_tables import describe_methods
    from society.metrics.methods import compare_methods

    whole, missing = [v.run for v in variants if not v.missing], [v for v in variants if v.missing]
    groups = group_runs(whole) if whole else []
    compared = None
    try:
        compared = compare_methods(groups) if groups else None
    except NoCommonQuestionError:
        say(_describe_each([row for row in rows if not row.missing]))
    if compared is not None:
        say(describe_methods(compared, output_width()))
    if missing:
        say(f"\nNot in the table: {len(missing):,} of {count(len(variants), 'variant')}")
        say("\n".join(f"  {'  '.join(variant.overrides)}: {variant.missing}" for variant in missing))
    if compared is not None and len(groups) > 1:
        name = shlex.quote(groups[0].label)
        say(f"\nFor a paper: society compare {shlex.quote(str(folder))} --baseline {name} --latex")


def _describe_each(rows: list[_Row]) -> str:
    """Return a table with a line for each variant, each on its own questions."""
    from society.metrics.comparison_tables import INTERVAL, layout

    table = [["variant", "% right", INTERVAL, "scored debates", "generated tokens", "failed turns"]]
    for row in rows:
        share = "-" if row.accuracy is None else f"{100 * row.accuracy:.1f}"
        span = "-" if row.low is None or row.high is None else f"{100 * row.low:.1f} to {100 * row.high:.1f}"
        numbers = (f"{number:,}" for number in (row.n, row.generated_tokens, row.failed))
        table.append(["  ".join(row.changes), share, span, *numbers])
    return f"{layout(table, 'text')}\n\nThe variants have no question in common: no paired statistics."
