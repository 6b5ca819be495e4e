"""Counts the turns and debates of a run as it goes, for a display."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from society.core.plain import count, duration, shorten
from society.core.types import Item, Turn
from society.metrics.matching import LEAST, Matching, by_id, first_phase
from society.metrics.turn_count import ENOUGH_TURNS, describe_turns, estimate_turns, plan_turns
from society.runner.displays import Display, find_display
from society.watcher import Watcher

if TYPE_CHECKING:
    from society.metrics.proportion import Proportion
    from society.scenario.expand import Society
    from society.simulation.simulate import DebateResult
    from society.tasks.base import Task


ENOUGH_SCORED = 20
"""Minimum number of ended debates for an accuracy while others go on. An earlier one says nothing."""


class Progress(Watcher):
    """Counts of the current stage: the debates of one iteration, for evaluation or for training.

    debates  debates that are planned
    decided  debates that have ended
    scored   ended debates on questions with a true answer
    right    debates that ended with the right answer
    turns    turns that are done, stored ones included
    new      turns that this call generated
    tokens   tokens generated
    failed   turns that failed
    rounds   turns by round
    agents   turns by agent
    """

    def __init__(self, display: Display | None = None) -> None:
        self._display = display or find_display() or Display()
        self._started = time.monotonic()
        self.folder: Path | None = None
        """Folder of the run, once its first stage has begun."""
        self.stage = ""
        self._society: Society | None = None
        self._task: Task | None = None
        self._items: Mapping[str, Item] = {}
        self._matching = Matching()
        self._warned = False
        self.paused = ""
        self._reset(0)

    def _reset(self, debates: int) -> None:
        self.debates = debates
        self.decided = self.scored = self.right = self.failed = self.tokens = 0
        self.turns = self.new = self._planned = self._ended_turns = 0
        self._open: Counter[tuple[str, int]] = Counter()
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
    def total(self) -> int:
        """The estimated number of turns of the stage."""
        return estimate_turns(self._planned, self.debates, self.turns, self.decided, self._ended_turns)

    @property
    def remaining(self) -> float | None:
        """Estimated seconds until the stage ends, from its turns; None before `ENOUGH_TURNS` and at the end."""
        if self.new < ENOUGH_TURNS or self.decided >= self.debates:
            return None
        return self.spent / self.new * (self.total - self.turns)

    @property
    def accuracy(self) -> Proportion:
        """The share of ended debates that were decided rightly, with its interval; n = 0 without true answers."""
        from society.metrics.proportion import proportion

        return proportion(self.right, self.scored)

    def describe_turns(self) -> str:
        """Return the turns so far and their estimated total."""
        return describe_turns(self.turns, self.total, self.decided >= self.debates)

    def describe_accuracy(self) -> str:
        """Return the accuracy so far in words; "" as long as it says nothing."""
        if not self.scored or (self.scored < ENOUGH_SCORED and self.decided < self.debates):
            return ""
        return f"right so far  {self.accuracy}"

    def describe(self) -> str:
        """Return the counts as one line, with a second one while a model is trained."""
        if not self.debates:
            return "Loading the models ..."
        parts = [self.describe_turns(), f"{self.decided}/{self.debates} debates", self.stage]
        parts += [f"{self.speed:,.0f} tokens/s", duration(self.spent)]
        parts.append("" if self.remaining is None else f"about {duration(self.remaining)} to go")
        parts.append(self.describe_accuracy())
        parts.append(f"{count(self.failed, 'turn')} failed" if self.failed else "")
        parts.append(f"paused: {shorten(self.paused, 80)}" if self.paused else "")
        line = "   ".join(filter(None, parts))
        return f"{line}\ntraining {self.learning}" if self.learning else line

    def counts(self) -> dict[str, int | float | str | None]:
        """Return the counts by name, as JSON data. Times are in seconds."""
        return {
            "stage": self.stage,
            "turns": self.turns,
            "turns_planned": self.total,
            "debates": self.decided,
            "debates_planned": self.debates,
            "failed": self.failed,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 1),
            "remaining": None if self.remaining is None else round(self.remaining, 1),
            "paused": self.paused,
            "training": self.learning,
        }

    def __enter__(self) -> Self:
        self._display.open(self)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._display.close()

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        self.folder = folder
        self._reset(len(items) * society.scenario.samples)
        train = society.scenario.train
        self._society, self._items = society, by_id(items)
        self._planned = plan_turns(society)
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
        self.turns += 1
        self.new += not replayed
        self._open[turn.id.item, turn.id.sample] += 1
        self.tokens += 0 if replayed else turn.usage.generated_tokens
        self._display.changed()

    def result(self, result: DebateResult) -> None:
        self.decided += 1
        self._ended_turns += self._open.pop((result.item.id, result.sample), 0)
        self.scored += result.scored and result.decision.single
        self.right += result.correct
        self._display.changed()

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        self.learning = f"{learner} of {'all' if agent == '*' else agent}: step {step} of {steps}, loss {loss:.3f}"
        if step == steps:
            self._display.stage(f"  trained {self.learning}")
        else:
            self._display.changed()

    def outage(self, backend: str, cause: str, seconds: float) -> None:
        self.paused = cause
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
