"""The time of a run's finetunings on this machine, measured on a few optimizer steps whose result is dropped."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from backends.abilities import Tokenizer, Trainer
from backends.base import Backend
from society.core.types import ChatMessage, Example, TurnId
from society.planning.training import most_tokens
from society.scenario.expand import Society
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.training.learners import backend_of, learners

STEPS = 2
"""Number of timed optimizer steps. One step before them warms the device up."""
SAMPLE = 100
"""Number of words whose tokens are counted."""


@dataclass(frozen=True, slots=True)
class TrainingTime:
    """The likely time of one learner's finetunings: `seconds` for each, and their number in the run."""

    learner: str
    rows: int
    """Maximum rows of one epoch of a finetuning."""
    epochs: int
    tokens: int
    """Tokens of each row."""
    seconds: float
    finetunings: int


async def time_training(
    society: Society, backends: Mapping[str, Backend], prompt: float, reply: float
) -> tuple[TrainingTime, ...]:
    """Return the time of each learner's finetunings.

    `prompt`, `reply`: mean tokens of a turn. Each learner trains on rows of this length with its own settings, and is
    cancelled after `STEPS` steps.
    """
    spec = society.scenario.train
    if spec is None:
        return ()
    found = []
    for name, learner in spec.learners.items():
        mine = [one for one in learners(society, spec) if one.name == name]
        backend = backends[backend_of(society, mine[0])]
        if backend.trainer is None:
            continue
        share = min(1.0, spec.settings.max_length / 2 / (prompt + reply))  # longer rows would be left out
        words = _count_words(backend.tokenizer, prompt * share), _count_words(backend.tokenizer, reply * share)
        pace = await _time_row(backend.trainer, learner, spec, words)
        length = max(round(min(prompt + reply, spec.settings.max_length)), 1)
        debates, sources = spec.questions * society.scenario.samples, max(len(one.sources) for one in mine)
        trained = most_tokens(learner, spec, debates, sources, length)[1] // length  # rows, all epochs together
        epochs, seconds = spec.settings.epochs, pace / share * trained
        found.append(TrainingTime(name, trained // epochs, epochs, length, seconds, len(mine) * spec.iterations))
    return tuple(found)


async def _time_row(trainer: Trainer, learner: LearnerSpec, spec: TrainSpec, words: tuple[int, int]) -> float:
    """Return the seconds of a training row of these words of prompt and reply."""
    short = {"epochs": 1, "checkpoint_minutes": 0} | ({"accumulation": 1} if spec.parallel is None else {})
    settings = spec.settings.model_copy(update=short)
    contrast = learner.objective.contrast
    asked: dict[str, Any] = {"parallel": spec.parallel, "objective": learner.objective if contrast else None}
    asked = {name: value for name, value in asked.items() if value is not None}
    step = settings.batch_size * settings.accumulation * (2 if contrast == "pair" else 1)
    examples = [_make_row(i, words) for i in range(step * (STEPS + 2))]
    times: list[float] = []
    share = 1.0 / len(examples)  # of the rows, in a step

    def note(number: int, steps: int, loss: float, tokens: int) -> None:
        nonlocal share
        times.append(monotonic())
        share = 1 / steps
        if len(times) > STEPS:
            task.cancel()

    with tempfile.TemporaryDirectory() as place:
        started = monotonic()
        task = asyncio.ensure_future(
            trainer.train(examples, settings, None, Path(place, "adapter"), seed=0, on_step=note, **asked)
        )
        try:
            await task
        except asyncio.CancelledError:
            if len(times) <= STEPS:  # somebody else cancels the plan
                raise
    if len(times) < 2:
        return (monotonic() - started) / len(examples)
    return (times[-1] - times[0]) / (len(times) - 1) / (share * len(examples))


def _make_row(number: int, words: tuple[int, int]) -> Example:
    texts = [f"{number} " + "word " * count for count in words]
    messages = ChatMessage("user", texts[0]), ChatMessage("assistant", texts[1])
    return Example(messages, TurnId(0, str(number), "calibration", 1, "agent"), "calibration", desired=number % 2 == 0)


def _count_words(tokenizer: Tokenizer | None, tokens: float) -> int:
    """Return how many words have this number of tokens."""
    each = 1.0 if tokenizer is None else tokenizer.count([ChatMessage("user", "word " * SAMPLE)]) / SAMPLE
    return max(round(tokens / each), 1)
