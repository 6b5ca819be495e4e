"""Scalars of a run through the one seam: a tracker of a few lines, and TensorBoard itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from society.cli import main
from society.core.errors import InputError
from society.core.pip_command import pip
from society.runner.tracking import Tracking, open_tracker
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.watcher import Several

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 12}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.6}}]}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: vote}]
"""


class Notebook:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[int, dict[str, float]]] = []
        self.closed = 0

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.entries.append((step, dict(values)))

    def close(self) -> None:
        self.closed += 1


def test_figures_after_every_debate(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    notebooks = [Notebook(), Notebook()]
    done = run(scenario(TEXT), tmp_path / "run", watcher=Several([Tracking(book) for book in notebooks]))
    assert notebooks[0].entries == notebooks[1].entries
    assert [book.closed for book in notebooks] == [1, 1]
    steps, values = zip(*notebooks[0].entries, strict=True)
    assert steps == tuple(range(1, 13))
    assert values[-1]["evaluation/accuracy"] == sum(result.correct for result in done.results()) / 12
    assert (values[-1]["turns"], values[-1]["failed"]) == (36, 0)
    assert values[-1]["tokens/generated"] == sum(turn.usage.generated_tokens for turn in done.turns())


def test_losses_have_names(tmp_path: Path) -> None:
    book = Notebook()
    tracking = Tracking(book)
    tracking.training("critic", "solver-1", 1, 9, 2.5)
    tracking.training("critic", "solver-1", 2, 9, 2.0)
    assert book.entries == [(1, {"loss/critic/solver-1": 2.5}), (2, {"loss/critic/solver-1": 2.0})]


def test_tensorboard_reads_what_was_logged(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    loaded = scenario(TEXT)
    done = run(loaded, tmp_path / "run", watcher=Tracking(open_tracker(f"tensorboard:{tmp_path / 'log'}", loaded.name)))
    events = EventAccumulator(str(tmp_path / "log" / loaded.name), {"tensors": 0}).Reload()
    told = [(event.step, float(make_ndarray(event.tensor_proto))) for event in events.Tensors("evaluation/accuracy")]
    assert [step for step, _ in told] == list(range(1, 13))
    assert told[-1][1] == pytest.approx(sum(result.correct for result in done.results()) / 12)


@pytest.mark.needs("tensorboard")
def test_the_command_line_tracks(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario(TEXT)
    arguments = ["run", str(tmp_path / "scenario.yaml"), "--out", str(tmp_path / "run")]
    assert main([*arguments, "--track", f"tensorboard:{tmp_path / 'log'}"]) == 0
    assert len(list((tmp_path / "log" / "test").iterdir())) == 1
    assert len(Run(tmp_path / "run").results()) == 12


@pytest.mark.parametrize("where", ["paper", "tensorboard", "tensorboard:", "notes:here"])
def test_unknown_places_are_refused(where: str) -> None:
    with pytest.raises(InputError, match="does not name a tracking service"):
        open_tracker(where, "run")


def test_a_missing_service_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(InputError, match="mlflow, which is not installed") as caught:
        open_tracker("mlflow:http://localhost:5000", "run")
    assert caught.value.remedy == pip("install mlflow")
