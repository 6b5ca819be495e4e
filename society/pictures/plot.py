"""Charts of runs as picture files: accuracy by method, by round, by tokens and by iteration, and changed answers.

Needs the extra `draw`. The charts are those of the report (`run_figures`, `training_figures`). Runs that differ in the
seed alone are one method. A chart has at most `MOST` series; what it leaves out is written above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from society.core.disks import advise
from society.core.errors import InputError
from society.core.hidden_chars import reveal
from society.metrics.compared_runs import require_common_questions
from society.metrics.iterations import IterationScore, run_iterations
from society.metrics.method_groups import Group, find_group, group_runs
from society.metrics.methods import compare_methods
from society.metrics.reported import report_metrics
from society.metrics.rounds import score_rounds
from society.metrics.tradeoff import Point as Method
from society.metrics.tradeoff import list_points
from society.pictures.draw_charts import draw_bars, draw_charts
from society.pictures.draw_methods import draw_methods
from society.pictures.figures import Bars, Chart, overlay
from society.pictures.files import GREY, Format, plotting, save
from society.pictures.metric_figures import metric_chart
from society.pictures.run_figures import cost_chart, flips_figure, front_series, rounds_chart
from society.pictures.training_figures import accuracy_chart, consensus_chart, entropy_chart
from society.runs.records import DebateRecord, by_question

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from society.runs.run import Run


MOST = 10
"""Maximum number of series in a chart."""
MOST_BANDS = 4
"""Maximum number of series with intervals in a chart with positions in common: more hide each other."""
MOST_PANELS = 4
"""Maximum number of panels of changed answers side by side."""


def plot_runs(
    runs: Sequence[Run], folder: Path, form: Format = "svg", baseline: str = "", only: Sequence[str] = ()
) -> list[Path]:
    """Write `rounds`, `tokens`, `flips`, `iterations` and `methods` to `folder`, where there is something to show.

    `methods` shows the accuracy of several methods, with `baseline` marked. `only` names the methods to draw.

    The same runs give the same files. Raises `InputError` for a run without a finished debate, for two runs without a
    common question, an unknown method or a folder that cannot be written, and `MissingExtraError` without matplotlib.
    """
    with plotting("society plot"):
        figures = draw_runs(runs, baseline, only)
        if not figures:
            raise InputError(
                "There is nothing to plot: the runs have neither true answers nor a second round.",
                "Look at the tables of `society report`.",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"{folder} cannot be written: {error.strerror}.", advise(error, "Choose another folder with -o.")
            ) from error
        return [save(figure, folder / f"{name}.{form}") for name, figure in figures.items()]


def draw_runs(runs: Sequence[Run], baseline: str = "", only: Sequence[str] = ()) -> dict[str, Figure]:
    """Return the matplotlib figures of these runs by name. Several methods share each figure.

    Runs whose rounds have other names get a panel of their own. Raises the `InputError`s of `plot_runs`.
    """
    groups = group_runs(runs)
    if only:
        chosen = {id(find_group(groups, name)) for name in only}
        groups = [group for group in groups if id(group) in chosen]
    require_common_questions({group.label: by_question(_pool(group)) for group in groups})
    compared = compare_methods(groups, baseline)
    best = sorted(compared.methods, key=lambda method: -method.accuracy.value if method.accuracy else 0.0)
    kept = {method.label for method in best[:MOST]}
    shown = [group for group in groups if group.label in kept]
    figures = _draw_groups(shown)
    if len(shown) < len(groups):
        for figure in figures.values():
            _say(figure, f"The {MOST} most accurate of {len(groups)} methods; choose others with --only.")
    if len(groups) > 1 and compared.methods[0].accuracy is not None:
        figures["methods"] = draw_methods(compared)
    return figures


def _pool(group: Group) -> list[DebateRecord]:
    """Return the debates of all repetitions; statistics take those of one question as belonging together."""
    return [record for records in group.records for record in records]


def _draw_groups(groups: Sequence[Group]) -> dict[str, Figure]:
    rounds: dict[str, Chart] = {}
    costs: dict[str, Chart] = {}
    methods: list[Method] = []
    flips: dict[str, Bars] = {}
    iterations: dict[str, Sequence[IterationScore]] = {}
    metrics: dict[str, dict[str, Chart]] = {}
    for group in groups:
        name, society, records = _legend_name(group.label), group.society, _pool(group)
        scores = score_rounds(society, records)
        if (chart := rounds_chart(society, scores)) is not None:
            rounds[name] = chart
            points = list_points(society, records, scores)
            costs[name] = cost_chart(points)
            methods += points
        if (changed := flips_figure(scores)) is not None:
            flips[name] = changed
        for run in group.runs:
            several = f"{name}, seed {run.scenario.seed}" if len(group.runs) > 1 else name
            iterations[several] = run_iterations(run)
        for metric in report_metrics(society, records):
            if (chart := metric_chart(metric)) is not None:
                metrics.setdefault(metric.kind, {})[name] = chart
    figures: dict[str, Figure] = {}
    if rounds:
        figures["rounds"] = draw_charts(_overlay(rounds, MOST))
        front = [front_series(methods)] if 1 < len(rounds) < MOST else []
        [tokens] = _overlay(costs, MOST - len(front))
        figures["tokens"] = draw_charts([replace(tokens, series=[*tokens.series, *front])])
    if flips:
        names = list(flips)[:MOST_PANELS]
        figures["flips"] = draw_bars([flips[name] for name in names], names if len(groups) > 1 else [""])
        if len(flips) > len(names):
            _say(figures["flips"], f"{len(names)} of {len(flips)} methods; choose others with --only.")
    if any(len(scores) > 1 for scores in iterations.values()):
        names = list(iterations)[:MOST]
        figures["iterations"] = draw_iterations({name: iterations[name] for name in names})
        if len(iterations) > len(names):
            _say(figures["iterations"], f"{len(names)} of {len(iterations)} runs; choose others with --only.")
    for kind, charts in metrics.items():
        figures[kind] = draw_charts(_overlay(charts, MOST))
    return figures


def _overlay(charts: Mapping[str, Chart], most: int) -> list[Chart]:
    """Return the charts over each other, with as many series of each as stay within `most` in total."""
    if len(charts) == 1:
        return overlay(list(charts.values()), list(charts))
    each = max(1, most // len(charts))
    cut = [replace(chart, series=[one for one in chart.series if not one.faint][:each]) for chart in charts.values()]
    if len(charts) > MOST_BANDS:
        cut = [replace(chart, series=[replace(one, interval="none") for one in chart.series]) for chart in cut]
    found = overlay(cut, list(charts))
    kinds = {one.name for chart in cut for one in chart.series}
    return [_name_by_method(chart, *kinds) for chart in found] if each == len(kinds) == 1 else found


def _name_by_method(chart: Chart, kind: str) -> Chart:
    """Return a chart of one series for each method, with the kind of the series at its axis."""
    series = [replace(one, name=one.name.removesuffix(f": {kind}")) for one in chart.series]
    return replace(chart, y=replace(chart.y, label=f"{chart.y.label} ({kind})"), series=series)


def _say(figure: Figure, note: str) -> None:
    """Write a note above the panels."""
    figure.suptitle(note, fontsize=7, color=GREY, parse_math=False)


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
