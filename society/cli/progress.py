"""What a person sees while a run goes on: a live panel on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from society.session import Watcher
from society.types import Item, Turn

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from society.scenario.expand import Society
    from society.simulation.simulate import DebateResult

REFRESH = 4
"""Redraws per second."""


class Progress(Watcher):
    """Counts turns and right answers as they come, on stderr."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._debates = self._decided = self._right = self._failed = 0
        self._turns: Counter[str] = Counter()
        self._tokens = self._fresh = 0
        self._started = time.monotonic()
        self._debating = self._started

    @property
    def seconds(self) -> float:
        """Since the start, loading included."""
        return time.monotonic() - self._started

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        if console.is_terminal:
            self._live = Live("Loading the models ...", console=console, refresh_per_second=REFRESH,
                              get_renderable=self._panel)  # fmt: skip
            self._live.__enter__()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(exc_type, exc, traceback)

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        self._debates = len(items) * society.scenario.samples
        self._debating = time.monotonic()
        if self._live is None:
            agents = len(society.agents)
            print(f"{society.scenario.name}: {self._debates} debates of {agents} agents, in {folder}", file=sys.stderr)

    def turn(self, turn: Turn, replayed: bool) -> None:
        self._turns[turn.id.phase] += 1
        self._failed += turn.status == "failed"
        if not replayed:
            self._fresh += 1
            self._tokens += turn.usage.generated_tokens

    def result(self, result: DebateResult) -> None:
        self._decided += 1
        self._right += result.correct

    def _panel(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        if not self._debates:
            return Text("Loading the models ...", style="dim")
        spent = time.monotonic() - self._debating
        left = spent / self._decided * (self._debates - self._decided) if self._decided else 0.0
        head = Text(f"{self._decided}/{self._debates} debates", style="bold")
        head.append(f"   {self._tokens / spent if spent else 0:,.0f} tokens/s   {spent:.0f} s", style="not bold dim")
        if self._decided:
            head.append(f"   about {left:.0f} s to go", style="not bold dim")
        phases = Text("turns  ", style="dim")
        phases.append("   ".join(f"{phase} {count:,}" for phase, count in self._turns.items()))
        if self._failed:
            phases.append(f"   {self._failed} failed", style="red")
        bar = ProgressBar(total=self._debates, completed=self._decided, width=60)
        return Group(head, bar, phases, Text(self._score()))

    def _score(self) -> str:
        from society.metrics.proportion import proportion

        return f"right so far  {proportion(self._right, self._decided)}" if self._decided else ""
