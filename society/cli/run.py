"""`society run`: debate, show how it goes, say what happened."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from society.cli.options import json_option, scenario_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from society.metrics.iterations import IterationScore
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
    from society.metrics.iterations import run_iterations
    from society.metrics.summary import summarize
    from society.runner.progress import Progress
    from society.runner.tracking import Tracking, open_tracker
    from society.runner.watcher import Several
    from society.runs.records import by_iteration, load_records
    from society.scenario import load_with_warnings
    from society.scenario.expand import expand
    from society.session import run

    loaded, warnings = load_with_warnings(scenario, overrides, allow)
    for warning in warnings:
        click.echo(str(warning), err=True)
    progress = Progress()
    logs = [Tracking(open_tracker(where, loaded.name)) for where in track]
    done = run(loaded, out, resume=resume, watcher=Several([progress, *logs]))
    society = expand(loaded)
    summaries = {i: summarize(society, records) for i, records in by_iteration(load_records(done)).items()}
    iterations = run_iterations(done) if loaded.train is not None else []
    if as_json:
        _print_json(done.folder, summaries, progress.seconds, iterations, resume)
    else:
        _print_summary(
            loaded.name, done.folder, summaries, progress.seconds, len(society.voters) > 1, iterations, resume
        )
    return 1 if done.count_failed() else 0


def _print_json(
    folder: Path,
    summaries: Mapping[int, Summary],
    seconds: float,
    iterations: Sequence[IterationScore] = (),
    resumed: bool = False,
) -> None:
    """Print the last iteration's summary; of a finetuning, the accuracy and the cost of every iteration too.

    `seconds` is the time of this call; `resumed` says whether earlier calls did a part of the run.
    """
    import json

    from society.metrics.plain import to_plain

    last = max(summaries)
    data = to_plain(summaries[last]) | {"run": str(folder), "seconds": round(seconds, 3), "resumed": resumed}
    if len(summaries) > 1:
        data["iterations"] = [to_plain(summary.after) for summary in summaries.values()]
        data["evaluated"] = list(summaries)
    if iterations:
        data["training"] = [_plain_training(score) for score in iterations]
    click.echo(json.dumps(data, indent=2, allow_nan=False))


def _plain_training(score: IterationScore) -> dict[str, object]:
    """What one iteration labelled and learned from, and what that cost, as JSON."""
    from society.metrics.plain import to_plain

    names = ("iteration", "labels", "unlabelled", "reasons", "examples", "repeated", "left_out", "rows_right",
             "trained_tokens", "trained_seconds", "training_turns", "training_usage")  # fmt: skip
    return {name: to_plain(getattr(score, name)) for name in names}


def _print_summary(
    name: str,
    folder: Path,
    summaries: Mapping[int, Summary],
    seconds: float,
    several: bool = True,
    iterations: Sequence[IterationScore] = (),
    resumed: bool = False,
) -> None:
    s = summaries[max(summaries)]
    rows = [*_accuracy_rows(s), *_lost_rows(s, several), *_cost_rows(s, seconds, resumed)]
    if len(summaries) > 1:
        rows += [(f"after {i} finetunings", str(summary.after)) for i, summary in summaries.items()]
    rows += [*_training_rows(iterations), ("stored in", str(folder)), ("next", f"society show {folder}")]
    click.echo(f"\n{name}: {s.debates} questions debated, accuracy with 95 % confidence interval")
    for label, text in rows:
        click.echo(f"  {label:<21} {text}")


Rows = list[tuple[str, str]]
"""Lines of the summary: a label and a text each."""


def _accuracy_rows(s: Summary) -> Rows:
    """How often single agents and the society are right, and what debating changed."""
    from society.metrics.flips import describe_flips

    if not s.flips.total:
        return [("one agent alone", str(s.alone)), ("society's answer", str(s.after))]
    return [
        ("one agent alone", str(s.alone)),
        ("one agent at the end", str(s.last)),
        ("answers that changed", describe_flips(s.flips)),
        ("vote before debating", str(s.before)),
        ("vote after debating", str(s.after)),
        ("votes that changed", describe_flips(s.moved, "undecided")),
    ]


def _lost_rows(s: Summary, several: bool) -> Rows:
    """What rests on one vote, counts as wrong, or could not be looked through."""
    from society.metrics.summary import describe_lone, describe_lost

    rows = [("rest on one vote", describe_lone(s))] if several else []
    rows.append(("counted as wrong", describe_lost(s)))
    if s.ballots:
        rows.append(("ballots count as", s.ballots))
    if s.unmatched:
        rows.append(("cannot be matched", s.unmatched))
    if s.ties_broken:
        rows.append(("ties broken", f"{s.ties_broken:,} decisions"))
    if s.given_up:
        rows.append(
            ("not looked through", f"{s.given_up} replies: a pattern, or comparing their answers, takes too long")
        )
    if s.unclear:
        rows.append(("moderator unclear", f"{s.unclear} replies name no speaker, or several; then agents took turns"))
    return rows


def _cost_rows(s: Summary, seconds: float, resumed: bool) -> Rows:
    """Return the tokens and the time. `seconds` is the time of this call, which is not that of a resumed run."""
    used = s.usage
    cached = f" ({used.cached_tokens:,} from cache)" if used.cached_tokens else ""
    tokens = f"{used.generated_tokens:,} tokens generated, {used.prompt_tokens:,} read{cached}"
    timed = "this call" if resumed else "the whole run"
    return [
        ("cost", f"{s.turns:,} turns, {tokens}"),
        ("time", f"the backend worked {used.seconds:.1f} s; {timed} took {seconds:.1f} s"),
    ]


def _training_rows(iterations: Sequence[IterationScore]) -> Rows:
    """The labels, rows and cost of a finetuning, as label and text."""
    if not iterations:
        return []
    labels = sum(score.labels.n for score in iterations)
    right = sum(score.labels.successes for score in iterations)
    without = sum(score.unlabelled for score in iterations)
    learned = sum(sum(score.examples.values()) for score in iterations)
    tokens = sum(score.trained_tokens for score in iterations)
    seconds = sum(score.trained_seconds for score in iterations)
    turns = sum(score.training_turns for score in iterations)
    generated = sum(score.training_usage.generated_tokens for score in iterations)
    read = sum(score.training_usage.prompt_tokens for score in iterations)
    return [
        ("labels", f"{labels:,}, of which {right:,} right; {without:,} training debates gave none"),
        ("finetuning", f"{learned:,} rows, {tokens:,} tokens trained on, {seconds:,.1f} s"),
        ("training debates", f"{turns:,} turns, {generated:,} tokens generated, {read:,} read"),
    ]
