"""What a person sees while a run goes on: a live panel on a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from society.core.types import Item, Turn
from society.metrics.matching import LEAST, Matching, by_id, first_phase
from society.runner.watcher import Watcher

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

    from society.scenario.expand import Society
    from society.simulation.simulate import DebateResult
    from society.tasks.base import Task

REFRESH = 4
"""Redraws per second."""
SHOWN = 8
"""Agents or rounds whose turns are counted one by one."""


class Progress(Watcher):
    """Counts turns and right answers as they come, on stderr."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._started = time.monotonic()
        self._stage = ""
        self._society: Society | None = None
        self._task: Task | None = None
        self._items: Mapping[str, Item] = {}
        self._matching = Matching()
        self._warned = False
        self._reset(0)

    def _reset(self, debates: int) -> None:
        self._debates = debates
        self._decided = self._right = self._failed = self._tokens = 0
        self._turns: Counter[str] = Counter()
        self._agents: Counter[str] = Counter()
        self._learning = ""
        self._debating = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start, loading included."""
        return time.monotonic() - self._started

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        if console.is_terminal:
            self._live = Live(console=console, refresh_per_second=REFRESH, get_renderable=self._panel)
            self._live.__enter__()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(exc_type, exc, traceback)

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        self._reset(len(items) * society.scenario.samples)
        train = society.scenario.train
        self._society, self._items = society, by_id(items)
        self._task = train.task if train is not None and split == "training" else None
        self._stage = f"iteration {iteration}, {split}" if society.scenario.train else ""
        if self._live is None:
            what = f"{self._stage}: " if self._stage else ""
            agents = f"{len(society.agents)} agents" if len(society.agents) > 1 else "one agent"
            print(f"{society.scenario.name}: {what}{self._debates} debates of {agents}, in {folder}", file=sys.stderr)

    def _match(self, turn: Turn) -> None:
        """Warn once, while the run goes on, when most replies cannot be matched with a true answer."""
        if self._society is None or turn.id.item not in self._items:
            return
        for counted in first_phase(self._society, [turn]):
            self._matching.add(counted, self._task or self._society.scenario.task, self._items[turn.id.item])
        if not self._warned and self._matching.replies >= LEAST and self._matching.most:
            self._warned = True
            self._say(f"warning: {self._matching.describe()}")

    def _say(self, text: str) -> None:
        """Print a line above the live panel, or on stderr."""
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr)

    def turn(self, turn: Turn, replayed: bool) -> None:
        self._match(turn)
        self._turns[f"{turn.id.phase} {turn.id.round}"] += 1
        self._agents[turn.id.agent.partition("/")[0]] += 1
        self._failed += turn.status == "failed"
        self._tokens += 0 if replayed else turn.usage.generated_tokens

    def result(self, result: DebateResult) -> None:
        self._decided += 1
        self._right += result.correct

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        self._learning = f"{learner} of {'all' if agent == '*' else agent}: step {step} of {steps}, loss {loss:.3f}"
        if self._live is None and step == steps:
            print(f"  trained {self._learning}", file=sys.stderr)

    def _panel(self) -> RenderableType:
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        if not self._debates:
            return Text("Loading the models ...", style="dim")
        spent = time.monotonic() - self._debating
        head = Text(f"{self._decided}/{self._debates} debates", style="bold")
        head.append(f"   {self._stage}" if self._stage else "", style="not bold")
        head.append(f"   {self._tokens / spent if spent else 0:,.0f} tokens/s   {spent:.0f} s", style="not bold dim")
        if 0 < self._decided < self._debates:
            left = spent / self._decided * (self._debates - self._decided)
            head.append(f"   about {left:.0f} s to go", style="not bold dim")
        head.append(f"   {_memory()}", style="not bold dim")
        lines = [_counts("rounds", self._turns), _counts("agents", self._agents)]
        if self._failed:
            lines.append(Text(f"{self._failed} turns failed", style="red"))
        if self._learning:
            lines.append(Text(f"training  {self._learning}"))
        bar = Padding(ProgressBar(total=self._debates, completed=self._decided, width=60), 0)  # ends its line
        return Group(head, bar, *lines, self._score())

    def _score(self) -> Text:
        from rich.text import Text

        from society.metrics.proportion import proportion

        return Text(f"right so far  {proportion(self._right, self._decided)}" if self._decided else "")


def _counts(label: str, counts: Counter[str]) -> Text:
    """Turns by round or agent, in the order in which they first spoke; long societies are cut short."""
    from rich.text import Text

    line = Text(f"{label}  ", style="dim")
    line.append("   ".join(f"{name} {count:,}" for name, count in list(counts.items())[:SHOWN]), style="not dim")
    return line.append(f"   and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _memory() -> str:
    """The most memory that this process has had so far; "" where the system does not say."""
    try:
        import resource
    except ImportError:  # not on Windows
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{peak / (2**30 if sys.platform == 'darwin' else 2**20):.1f} GiB"
