"""Pictures of runs: which there are, what is in them, and that the same run gives the same file."""

from __future__ import annotations

import sqlite3
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from society.cli import main
from society.core.errors import InputError
from society.pictures.curves import draw_flips, draw_iterations, draw_rounds, draw_tokens, plot_runs, read_curves
from society.runs.run import Run
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
    """The run's first debates once more, as those of a later iteration."""
    with sqlite3.connect(made.folder / "store.sqlite") as db:
        for table in ("turns", "results"):
            columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            taken = ", ".join(str(number) if column == "iteration" else column for column in columns)
            db.execute(f"INSERT INTO {table} SELECT {taken} FROM {table} WHERE iteration = 0")
    db.close()


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


def test_curves_are_those_of_the_run(made: Run) -> None:
    curves = read_curves([made])
    [axes] = draw_rounds(curves).axes
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert lines["vote"] == [score.vote.share for score in curves[0].rounds]
    assert lines["single answers"] == [score.answers.share for score in curves[0].rounds]
    [axes] = draw_tokens(curves).axes
    assert axes.get_xlim()[0] == 0
    assert axes.get_xlim()[1] > max(point.tokens for point in curves[0].points)
    [axes] = draw_flips(curves).axes
    up = [bar.get_height() for bar in axes.patches if bar.get_height() > 0]
    assert up == [score.flips.wrong_to_right / 90 for score in curves[0].rounds[1:]]


def test_several_runs_share_a_picture(made: Run, other: Run, tmp_path: Path) -> None:
    curves = read_curves([made, other])
    labels = {text.get_text() for text in draw_rounds(curves).legends[0].get_texts()}
    assert labels == {"one: vote", "one: single answers", "two: vote", "two: single answers"}
    assert [path.stem for path in plot_runs([other], tmp_path / "alone")] == ["rounds", "tokens"]


def test_iterations_where_there_are_several(made: Run, tmp_path: Path) -> None:
    repeat_as_iteration(made, 1)
    assert "iterations" in {path.stem for path in plot_runs([made], tmp_path / "out")}
    accuracy, consensus, entropy = draw_iterations(read_curves([made])).axes
    assert [list(line.get_xdata()) for axes in (accuracy, consensus, entropy) for line in axes.lines] == [[0, 1]] * 4


def test_a_place_that_cannot_be_written_is_said(made: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        plot_runs([made], tmp_path / "file")
