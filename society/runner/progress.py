"""Counts the turns and debates of a run as it goes, for a display."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from society.core.plain import count
from society.core.types import Item, Turn
from society.metrics.matching import LEAST, Matching, by_id, first_phase
from society.runner.displays import Display, find_display
from society.watcher import Watcher

if TYPE_CHECKING:
    from society.metrics.proportion import Proportion
    from society.scenario.expand import Society
    from society.simulation.simulate import DebateResult
    from society.tasks.base import Task


class Progress(Watcher):
    """Counts of the current stage: the debates of one iteration, for evaluation or for training.

    debates  debates that are planned
    decided  debates that have ended
    right    debates that ended with the right answer
    tokens   tokens generated
    failed   turns that failed
    rounds   turns by round
    agents   turns by agent
    """

    def __init__(self, display: Display | None = None) -> None:
        self._display = display or find_display() or Display()
        self._started = time.monotonic()
        self.stage = ""
        self._society: Society | None = None
        self._task: Task | None = None
        self._items: Mapping[str, Item] = {}
        self._matching = Matching()
        self._warned = False
        self._reset(0)

    def _reset(self, debates: int) -> None:
        self.debates = debates
        self.decided = self.right = self.failed = self.tokens = 0
        self.rounds: Counter[str] = Counter()
        self.agents: Counter[str] = Counter()
        self.learning = ""
        self._debating = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the start, loading included."""
        return time.monotonic() - self._started

    @property
    def spent(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._debating

    @property
    def speed(self) -> float:
        """Generated tokens per second in this stage."""
        return self.tokens / self.spent if self.spent else 0.0

    @property
    def remaining(self) -> float | None:
        """Estimated seconds until the stage ends; None before the first debate ends and after the last one."""
        if not 0 < self.decided < self.debates:
            return None
        return self.spent / self.decided * (self.debates - self.decided)

    @property
    def accuracy(self) -> Proportion:
        """The share of ended debates that were decided rightly, with its interval."""
        from society.metrics.proportion import proportion

        return proportion(self.right, self.decided)

    def describe(self) -> str:
        """Return the counts as one line, with a second one while a model is trained."""
        if not self.debates:
            return "Loading the models ..."
        parts = [f"{self.decided}/{self.debates} debates", self.stage, f"{self.speed:,.0f} tokens/s"]
        parts += [f"{self.spent:.0f} s", f"right so far {self.accuracy}" if self.decided else ""]
        parts.append(f"{count(self.failed, 'turn')} failed" if self.failed else "")
        line = "   ".join(filter(None, parts))
        return f"{line}\ntraining {self.learning}" if self.learning else line

    def __enter__(self) -> Self:
        self._display.open(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.close()

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        self._reset(len(items) * society.scenario.samples)
        train = society.scenario.train
        self._society, self._items = society, by_id(items)
        self._task = train.task if train is not None and split == "training" else None
        self.stage = f"iteration {iteration}, {split}" if train is not None else ""
        stage = f"{self.stage}: " if self.stage else ""
        agents = f"{len(society.agents)} agents" if len(society.agents) > 1 else "one agent"
        debates = f"{self.debates:,} debates" if self.debates > 1 else "one debate"
        self._display.stage(f"{society.scenario.name}: {stage}{debates} of {agents}, in {folder}")

    def turn(self, turn: Turn, replayed: bool) -> None:
        self._match(turn)
        self.rounds[f"{turn.id.phase} {turn.id.round}"] += 1
        self.agents[turn.id.agent.partition("/")[0]] += 1
        self.failed += turn.status == "failed"
        self.tokens += 0 if replayed else turn.usage.generated_tokens
        self._display.changed()

    def result(self, result: DebateResult) -> None:
        self.decided += 1
        self.right += result.correct
        self._display.changed()

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        self.learning = f"{learner} of {'all' if agent == '*' else agent}: step {step} of {steps}, loss {loss:.3f}"
        if step == steps:
            self._display.stage(f"  trained {self.learning}")
        else:
            self._display.changed()

    def _match(self, turn: Turn) -> None:
        """Warn once when most replies so far cannot be matched with a true answer."""
        if self._society is None or turn.id.item not in self._items:
            return
        for counted in first_phase(self._society, [turn]):
            self._matching.add(counted, self._task or self._society.scenario.task, self._items[turn.id.item])
        if not self._warned and self._matching.replies >= LEAST and self._matching.most:
            self._warned = True
            self._display.note(f"warning: {self._matching.describe()}")
