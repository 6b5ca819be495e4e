"""Displays of the progress of a run: lines on stderr, a live panel on a terminal, a text below a notebook's cell.

Display        the base class: plain lines on stderr, and the counts every minute
Logged         the same as log messages
Panel          a live panel on a terminal
Cell           one text below a notebook's cell, replaced as the run goes on
find_display   the display that fits this process
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from society.core.hidden_chars import reveal
from society.runner.logs import FACTS

if TYPE_CHECKING:
    from rich.live import Live

    from society.runner.progress import Progress

REFRESH = 4
"""Maximum number of updates per second."""
EVERY = 60.0
"""Seconds between two lines with the counts, where nothing else shows them."""

log = logging.getLogger(__name__)


class Display:
    """Prints a line on stderr for each stage of a run, for each warning, and every minute with the counts."""

    _timer: asyncio.TimerHandle | None = None

    def open(self, progress: Progress) -> None:
        """Begin to show this progress. Within an event loop, the counts follow every minute."""
        with suppress(RuntimeError):  # no loop runs
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._tick, progress)

    def close(self) -> None:
        """Show the final state."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self, progress: Progress) -> None:
        self.count(progress)
        self._timer = asyncio.get_running_loop().call_later(EVERY, self._tick, progress)

    def count(self, progress: Progress) -> None:
        """Show the counts on a line of their own."""
        self.note(progress.describe().replace("\n", "   "))

    def changed(self) -> None:
        """Show that a count has changed."""

    def stage(self, text: str) -> None:
        """Show that a stage begins or ends: the debates of an iteration, a finetuning."""
        self.note(text)

    def note(self, text: str) -> None:
        """Show a warning."""
        with suppress(OSError):  # the terminal has closed, and the run goes on
            print(reveal(text), file=sys.stderr, flush=True)


class Logged(Display):
    """Logs a message for each stage and warning, and every minute the counts, also as values by name."""

    def stage(self, text: str) -> None:
        log.info(text)

    def note(self, text: str) -> None:
        log.warning(text)

    def count(self, progress: Progress) -> None:
        log.info(progress.describe().replace("\n", "   "), extra={FACTS: progress.counts()})


class Panel(Display):
    """A live panel on stderr, with a bar, counts and the accuracy so far. Stages need no lines of their own."""

    def open(self, progress: Progress) -> None:
        from rich.live import Live

        from society.core.terminal import Terminal
        from society.runner.panel import draw_panel

        self._live: Live = Live(
            console=Terminal(stderr=True), refresh_per_second=REFRESH, get_renderable=lambda: draw_panel(progress)
        )
        self._live.start()

    def close(self) -> None:
        self._live.stop()

    def count(self, progress: Progress) -> None:
        """Show nothing: the panel has the counts."""

    def stage(self, text: str) -> None:
        """Show nothing: the panel names the stage."""

    def note(self, text: str) -> None:
        """Print the warning above the panel."""
        self._live.console.print(text)


class Cell(Display):
    """A few lines of plain text below a notebook's cell, updated in place."""

    def open(self, progress: Progress) -> None:
        from IPython.display import display

        self._progress = progress
        self._notes: list[str] = []
        self._shown = time.monotonic()
        self._handle: Any = display(self._bundle(), raw=True, display_id=True)

    def close(self) -> None:
        self._update()

    def changed(self) -> None:
        if time.monotonic() - self._shown >= 1 / REFRESH:
            self._update()

    def stage(self, text: str) -> None:
        """Show the new state at once: the text names the stage."""
        self._update()

    def note(self, text: str) -> None:
        self._notes.append(text)
        self._update()

    def _update(self) -> None:
        self._shown = time.monotonic()
        self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> dict[str, str]:
        return {"text/plain": reveal("\n".join([self._progress.describe(), *self._notes]))}


def find_display(asked: bool = False) -> Display | None:
    """Return the display for a notebook or a terminal; elsewhere plain lines if the user has asked, else None."""
    if _in_notebook():
        return Cell()
    if sys.stderr is not None and sys.stderr.isatty():
        return Panel()
    return Display() if asked else None


def _in_notebook() -> bool:
    """Return whether a Jupyter kernel runs this process."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
