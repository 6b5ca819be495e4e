"""Charts of runs: which there are, what is in them, and that the same run gives the same file."""

from __future__ import annotations

import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from society.cli import main
from society.core.errors import InputError
from society.metrics.compared_runs import latest
from society.metrics.iterations import run_iterations
from society.metrics.proportion import proportion
from society.metrics.rounds import RoundScore, score_rounds
from society.metrics.tradeoff import list_points
from society.pictures.figures import overlay
from society.pictures.plot import draw_iterations, draw_runs, plot_runs
from society.pictures.run_figures import rounds_chart
from society.report.data import build_index, read_runs
from society.runs.run import Run
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.session import run

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 30}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.6}}]}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: talk, topology: complete, rounds: 3}]
"""


@pytest.fixture
def made(scenario: Callable[..., Scenario], tmp_path: Path) -> Run:
    return run(scenario(TEXT), tmp_path / "one")


@pytest.fixture
def other(scenario: Callable[..., Scenario], tmp_path: Path) -> Run:
    return run(scenario(TEXT, "phases.0.rounds=1"), tmp_path / "two")


def repeat_as_iteration(made: Run, number: int) -> None:
    """Copy the rows of the run's first iteration to a later one."""
    with sqlite3.connect(made.folder / "store.sqlite") as db:
        for table in ("turns", "results"):
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            taken = ", ".join(str(number) if column == "iteration" else column for column in columns)
            db.execute(f"INSERT INTO {table} SELECT {taken} FROM {table} WHERE iteration = 0")
    db.close()


@pytest.mark.needs("matplotlib")
@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_every_form(made: Run, tmp_path: Path, form: str) -> None:
    assert main(["plot", str(made.folder), "-o", str(tmp_path / "out"), "--format", form]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        f"{x}.{form}" for x in ("flips", "rounds", "tokens")
    ]


def test_the_same_run_gives_the_same_picture(made: Run, tmp_path: Path) -> None:
    first, second = plot_runs([made], tmp_path / "a"), plot_runs([made], tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert all(ET.parse(path).getroot().tag.endswith("svg") for path in first)


def scores_of(made: Run) -> tuple[Society, list[RoundScore]]:
    society = expand(made.scenario)
    return society, score_rounds(society, latest(made))


def test_charts_show_the_numbers_of_the_run(made: Run) -> None:
    society, scores = scores_of(made)
    figures = draw_runs([made])
    [axes] = figures["rounds"].axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["vote"] == [score.vote.share for score in scores]
    assert lines["single answers"] == [score.answers.share for score in scores]
    [axes] = figures["tokens"].axes
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] > max(point.tokens for point in list_points(society, latest(made), scores))
    [axes] = figures["flips"].axes
    right = [bar.get_width() for bar in axes.patches if bar.get_width() > 0]
    assert right == [score.flips.wrong_to_right / 90 for score in scores[1:]]


def test_the_page_and_the_picture_have_the_same_points(made: Run) -> None:
    """Both draw one description."""
    charts = {figure["id"]: figure for figure in build_index(read_runs([made]))["runs"][0]["figures"]}
    figures = draw_runs([made])
    for name, chart in (("rounds", "rounds"), ("tokens", "cost")):
        [axes] = figures[name].axes
        drawn = [[tuple(point) for point in line.get_xydata()] for line in axes.lines]
        described = [[(p["x"], p["y"]) for p in series["points"]] for series in charts[chart]["series"]]
        for line, points in zip(drawn, described, strict=True):
            assert line == [pytest.approx(point, abs=1e-6) for point in points]
        legend = {text.get_text() for text in figures[name].legends[0].get_texts()}
        assert legend == {series["legend"] or series["name"] for series in charts[chart]["series"]}


def test_several_runs_share_a_picture(made: Run, other: Run, tmp_path: Path) -> None:
    figures = draw_runs([made, other])
    labels = {text.get_text() for text in figures["rounds"].legends[0].get_texts()}
    assert labels == {"one: vote", "one: single answers", "two: vote", "two: single answers"}
    assert "Pareto front" in {text.get_text() for text in figures["tokens"].legends[0].get_texts()}
    assert [path.stem for path in plot_runs([other], tmp_path / "alone")] == ["rounds", "tokens"]


@pytest.mark.needs("matplotlib")
def test_rounds_with_other_names_have_a_panel_of_their_own(
    made: Run, other: Run, scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    """A run without the others' phases is not drawn at the names of their rounds."""
    phases = "phases=[{name: draft}, {name: talk, topology: complete}]"
    drafted = run(scenario(TEXT, phases), tmp_path / "three")
    figure = draw_runs([made, drafted, other])["rounds"]
    panels = [
        ([tick.get_text() for tick in axes.get_xticklabels()], {line.get_label() for line in axes.lines})
        for axes in figure.axes
    ]
    kinds = ("vote", "single answers")
    assert panels == [
        (["talk 1", "talk 2", "talk 3"], {f"{name}: {kind}" for name in ("one", "two") for kind in kinds}),
        (["draft 1", "talk 1"], {f"three: {kind}" for kind in kinds}),
    ]
    assert len({axes.get_ylim() for axes in figure.axes}) == 1
    colours = {line.get_label(): line.get_color() for axes in figure.axes for line in axes.lines}
    assert len({colours[f"{name}: vote"] for name in ("one", "two", "three")}) == 3
    assert {text.get_text() for text in figure.legends[0].get_texts()} == colours.keys()


def test_runs_without_a_common_question_are_refused(
    made: Run, scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    unlike = run(scenario(TEXT, "task.offset=30"), tmp_path / "unlike")
    with pytest.raises(InputError, match="one and unlike have no question in common") as error:
        plot_runs([made, unlike], tmp_path / "out")
    assert "on their own" in error.value.remedy
    assert not (tmp_path / "out").exists()


def test_an_overlay_gives_each_chart_a_colour_and_leaves_out_faint_series(made: Run) -> None:
    chart = rounds_chart(*scores_of(made))
    assert overlay([chart], ["alone"]) == [chart]
    [both] = overlay([chart, chart], ["a", "b"])
    assert [(series.name, series.colour) for series in both.series] == [
        (f"{name}: {kind}", colour) for colour, name in enumerate("ab") for kind in ("vote", "single answers")
    ]
    assert any(series.faint for series in chart.series)


def test_iterations_where_there_are_several(made: Run, tmp_path: Path) -> None:
    repeat_as_iteration(made, 1)
    assert "iterations" in {path.stem for path in plot_runs([made], tmp_path / "out")}
    accuracy, consensus, entropy = draw_runs([made])["iterations"].axes
    lines = [line for axes in (accuracy, consensus, entropy) for line in axes.lines]
    assert [list(line.get_xdata()) for line in lines] == [[0, 1]] * 4  # two in the first panel: decisions and labels


def test_pseudo_labels_are_drawn_wherever_there_are_any(made: Run) -> None:
    """Scores that are pooled over seeds have labels, but no examples."""
    [score] = run_iterations(made)
    labelled = [replace(score, iteration=i, labels=proportion(i, 10)) for i in (1, 2)]
    axes, *_ = draw_iterations({"pooled": labelled}).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["pseudo-labels"] == [0.1, 0.2]
    axes, *_ = draw_iterations({"unlabelled": [replace(score, labels=proportion(0, 0))]}).axes
    assert [line.get_label() for line in axes.lines] == ["society"]


def test_a_folder_that_cannot_be_written_raises(made: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        plot_runs([made], tmp_path / "file")


def test_a_figure_has_at_most_ten_series_and_says_what_it_leaves_out(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    short = ("task.limit=2", "phases.0.rounds=2")
    runs = [run(scenario(TEXT, *short, f"agents.solver.count={n}"), tmp_path / f"agents-{n}") for n in range(2, 13)]
    figures = draw_runs(runs, baseline="agents-2")
    for name in ("rounds", "tokens"):
        [legend] = figures[name].legends
        assert len(legend.get_texts()) == 10
        assert "10 most accurate of 11 methods" in figures[name].get_suptitle()
        lines = [line for line in figures[name].axes[0].lines if not line.get_label().startswith("_")]
        looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
        assert len(looks) == len(lines)
    assert "4 of" in figures["flips"].get_suptitle() or len(figures["flips"].axes) <= 4
    names = [tick.get_text() for tick in figures["methods"].axes[0].get_yticklabels()]
    assert len(names) == 11
    assert set(draw_runs(runs, only=["agents-2"])) <= {"rounds", "tokens", "flips"}
    with pytest.raises(InputError, match="no method 'agents-99'"):
        draw_runs(runs, only=["agents-99"])
