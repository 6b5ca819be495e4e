"""`society run`: debate, show how it goes, say what happened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import json_option, scenario_options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from society.metrics.summary import Summary


@click.command("run")
@scenario_options
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run. [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Go on with an unfinished run; failed turns are tried again.")
@click.option(
    "--track",
    multiple=True,
    metavar="SERVICE:PLACE",
    help="Log figures as they come: tensorboard:DIR, mlflow:URI, trackio:PROJECT or wandb:PROJECT.",
)
@json_option
def command(
    scenario: Path,
    overrides: tuple[str, ...],
    allow: tuple[Path, ...],
    out: Path | None,
    resume: bool,
    track: tuple[str, ...],
    as_json: bool,
) -> int:
    """Debate every question of SCENARIO, and say what came of it."""
    from society.cli.progress import Progress
    from society.metrics.records import by_iteration, load_records
    from society.metrics.summary import summarize
    from society.scenario import load_with_warnings
    from society.scenario.expand import expand
    from society.session import run
    from society.tracking import Several, Tracking, open_tracker

    loaded, warnings = load_with_warnings(scenario, overrides, allow)
    for warning in warnings:
        click.echo(str(warning), err=True)
    progress = Progress()
    logs = [Tracking(open_tracker(where, loaded.name)) for where in track]
    done = run(loaded, out, resume=resume, watcher=Several([progress, *logs]))
    society = expand(loaded)
    summaries = [summarize(society, records) for records in by_iteration(load_records(done)).values()]
    if as_json:
        _print_json(done.folder, summaries, progress.seconds)
    else:
        _print_summary(loaded.name, done.folder, summaries, progress.seconds, len(society.voters) > 1)
    return 1 if any(summary.failed for summary in summaries) else 0


def _print_json(folder: Path, summaries: Sequence[Summary], seconds: float) -> None:
    """The last iteration's summary; of a finetuning, the accuracy of every iteration too."""
    import dataclasses
    import json

    data = dataclasses.asdict(summaries[-1]) | {"run": str(folder), "seconds": round(seconds, 3)}
    if len(summaries) > 1:
        data["iterations"] = [dataclasses.asdict(summary.after) for summary in summaries]
    click.echo(json.dumps(data, indent=2))


def _print_summary(name: str, folder: Path, summaries: Sequence[Summary], seconds: float, several: bool = True) -> None:
    from society.metrics.flips import describe_flips
    from society.metrics.summary import describe_lone, describe_lost

    s = summaries[-1]
    rows = [("one agent alone", str(s.alone))]
    if s.flips.total:
        rows += [
            ("one agent at the end", str(s.last)),
            ("answers that changed", describe_flips(s.flips)),
            ("vote before debating", str(s.before)),
            ("vote after debating", str(s.after)),
            ("votes that changed", describe_flips(s.moved, "undecided")),
        ]
    else:
        rows.append(("society's answer", str(s.after)))
    if several:
        rows.append(("rest on one vote", describe_lone(s)))
    rows.append(("counted as wrong", describe_lost(s)))
    if s.ties_broken:
        rows.append(("ties broken", f"{s.ties_broken:,} decisions"))
    if s.given_up:
        rows.append(
            ("not looked through", f"{s.given_up} replies: a pattern, or comparing their answers, takes too long")
        )
    if s.unclear:
        rows.append(("moderator unclear", f"{s.unclear} replies name no speaker, or several; then agents took turns"))
    used = s.usage
    cached = f" ({used.cached_tokens:,} from cache)" if used.cached_tokens else ""
    tokens = f"{used.generated_tokens:,} tokens generated, {used.prompt_tokens:,} read{cached}"
    rows.append(("cost", f"{s.turns:,} turns, {tokens}"))
    rows.append(("time", f"the backend worked {used.seconds:.1f} s; the whole run took {seconds:.1f} s"))
    trained = [(f"after {i} finetunings", str(earlier.after)) for i, earlier in enumerate(summaries)]
    rows += trained if len(summaries) > 1 else []
    rows += [("stored in", str(folder)), ("next", f"society show {folder}")]
    click.echo(f"\n{name}: {s.debates} questions debated, accuracy with 95 % confidence interval")
    for label, text in rows:
        if text:
            click.echo(f"  {label:<21} {text}")
