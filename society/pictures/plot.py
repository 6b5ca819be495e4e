"""Charts of runs as picture files: accuracy by round, by tokens and by iteration, and changed answers.

Needs the extra `draw`. The charts are those of the report (`run_figures`, `training_figures`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from society.core.errors import InputError
from society.core.hidden_chars import reveal
from society.metrics.comparison import latest, name_runs, require_common_questions
from society.metrics.iterations import IterationScore, run_iterations
from society.metrics.reported import report_metrics
from society.metrics.rounds import score_rounds
from society.metrics.tradeoff import Point as Method
from society.metrics.tradeoff import list_points
from society.pictures.draw_charts import draw_bars, draw_charts
from society.pictures.figures import Bars, Chart, overlay
from society.pictures.files import Format, plotting, save
from society.pictures.metric_figures import metric_chart
from society.pictures.run_figures import cost_chart, flips_figure, front_series, rounds_chart
from society.pictures.training_figures import accuracy_chart, consensus_chart, entropy_chart
from society.runs.records import by_question

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from society.runs.run import Run


def plot_runs(runs: Sequence[Run], folder: Path, form: Format = "svg") -> list[Path]:
    """Write `rounds`, `tokens`, `flips` (if answers changed) and `iterations` (if several) to `folder`.

    The same runs give the same files. Raises `InputError` for a run without a finished debate, for two runs without a
    common question or a folder that cannot be written, and `MissingExtraError` without matplotlib.
    """
    with plotting("society plot"):
        figures = draw_runs(runs)
        if not figures:
            raise InputError(
                "There is nothing to plot: the runs have neither true answers nor a second round.",
                "Look at the tables of `society report`.",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder} cannot be written: {error.strerror}.", "Choose another folder with -o."
            ) from error
        return [save(figure, folder / f"{name}.{form}") for name, figure in figures.items()]


def draw_runs(runs: Sequence[Run]) -> dict[str, Figure]:
    """Return the matplotlib figures of these runs by name. Several runs share each figure.

    Runs whose rounds have other names get a panel of their own. Raises `InputError` for a run without a finished
    debate, and for two runs without a common question.
    """
    from society.scenario.expand import expand

    rounds: dict[str, Chart] = {}
    costs: dict[str, Chart] = {}
    methods: list[Method] = []
    flips: dict[str, Bars] = {}
    iterations: dict[str, Sequence[IterationScore]] = {}
    metrics: dict[str, dict[str, Chart]] = {}
    debates = {name: latest(run) for name, run in zip(name_runs(runs), runs, strict=True)}
    require_common_questions({name: by_question(records) for name, records in debates.items()})
    for run, (given_name, records) in zip(runs, debates.items(), strict=True):
        society, name = expand(run.scenario), _legend_name(given_name)
        scores = score_rounds(society, records)
        if (chart := rounds_chart(society, scores)) is not None:
            rounds[name] = chart
            points = list_points(society, records, scores)
            costs[name] = cost_chart(points)
            methods += points
        if (changed := flips_figure(scores)) is not None:
            flips[name] = changed
        iterations[name] = run_iterations(run)
        for metric in report_metrics(society, records):
            if (chart := metric_chart(metric)) is not None:
                metrics.setdefault(metric.kind, {})[name] = chart
    figures: dict[str, Figure] = {}
    if rounds:
        [tokens] = overlay(list(costs.values()), list(costs))
        if len(rounds) > 1:
            tokens = replace(tokens, series=[*tokens.series, front_series(methods)])
        figures |= {
            "rounds": draw_charts(overlay(list(rounds.values()), list(rounds))),
            "tokens": draw_charts([tokens]),
        }
    if flips:
        figures["flips"] = draw_bars(list(flips.values()), list(flips) if len(runs) > 1 else [""])
    if any(len(scores) > 1 for scores in iterations.values()):
        figures["iterations"] = draw_iterations(iterations)
    for kind, charts in metrics.items():
        figures[kind] = draw_charts(overlay(list(charts.values()), list(charts)))
    return figures


def draw_iterations(runs: Mapping[str, Sequence[IterationScore]]) -> Figure:
    """Return accuracy, consensus and entropy by iteration, side by side, for the runs by name."""
    panels = []
    for describe in (partial(accuracy_chart, alone=False, labels=True), consensus_chart, entropy_chart):
        charts = {name: describe(scores) for name, scores in runs.items()}
        known = {name: chart for name, chart in charts.items() if chart is not None}
        if known:
            panels += overlay(list(known.values()), list(known))
    return draw_charts(panels)


def _legend_name(name: str) -> str:
    """Return the run's name on one line. matplotlib leaves labels with a leading underscore out of legends."""
    line = reveal(" ".join(name.split()))
    return f" {line}" if line.startswith("_") else line
