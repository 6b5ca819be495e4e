"""The limits of a run: tokens, dollars and minutes. A run that reaches one stops, and can be resumed with another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from backends.price import FREE
from society.core.errors import LimitReachedError
from society.core.interrupt import Interruption
from society.core.plain import dollars
from society.core.types import Turn, Usage
from society.runs.opening import find_prices
from society.runs.state import Session, read_sessions
from society.scenario.expand import Society
from society.scenario.models.settings import RunLimits
from society.store import Store
from society.watcher import Watcher


class Spending(Watcher):
    """Counts what a run has used, in all its sessions, and stops the run at its limits.

    Turns that were copied from other runs, and finetunings, use no tokens here.
    """

    def __init__(self, society: Society, interruption: Interruption) -> None:
        """Find the prices. Raises `InputError` if `limits.dollars` is set and a price is unknown."""
        self._limits, self._interruption = society.scenario.limits, interruption
        self._backends = {(phase, agent): plan.backend for (phase, agent), plan in society.plans.items()}
        self._prices = find_prices(society)
        self.tokens, self.minutes = 0, 0.0
        self._costs = any(price not in (None, FREE) for price in self._prices.values())
        self.dollars: float | None = 0.0 if None not in self._prices.values() else None

    @contextmanager
    def of(self, stores: Iterable[Path]) -> Iterator[None]:
        """Count what earlier sessions of a run have used, and limit the minutes of the block.

        `stores` are those of the run, also from before its scenario was changed. Raises `LimitReachedError` if the run
        has used all that the scenario allows. Needs a running event loop.
        """
        for store in stores if self._limits != RunLimits() or self._costs else ():
            if store.exists():
                self._read(store)
        if (reached := self._find_reached()) is not None:
            raise reached
        limit = self._limits.minutes
        timer = None
        if limit is not None:
            left = 60 * (limit - self.minutes)
            timer = asyncio.get_running_loop().call_later(left, self._interruption.stop, _make_late(limit))
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def _read(self, store: Path) -> None:
        with Store(store, read_only=True) as opened:
            for phase, agent, usage in opened.spent():
                self._add(phase, agent, usage)
            self.minutes += sum(map(find_minutes, read_sessions(opened.meta())))

    def turn(self, turn: Turn, replayed: bool) -> None:
        if not replayed:
            self._add(turn.id.phase, turn.id.agent, turn.usage)
            if (reached := self._find_reached()) is not None:
                self._interruption.stop_before_next(reached)

    def describe(self) -> str:
        """Return the dollars so far as a decimal number; "" where no price is known or all is free."""
        return f"{self.dollars:.6f}" if self.dollars else ""

    def _add(self, phase: str, agent: str, usage: Usage) -> None:
        self.tokens += usage.prompt_tokens + usage.generated_tokens
        price = self._prices.get(self._backends.get((phase, agent.partition("/")[0]), ""))
        if self.dollars is not None and price is not None:
            self.dollars += price.cost(usage)

    def _find_reached(self) -> LimitReachedError | None:
        """Return the error of the limit that is reached: on tokens, dollars, or the minutes of earlier sessions."""
        limits = self._limits
        if limits.tokens is not None and self.tokens >= limits.tokens:
            return make_error("tokens", f"{self.tokens:,} tokens", f"{limits.tokens:,}")
        if limits.dollars is not None and self.dollars is not None and self.dollars >= limits.dollars:
            return make_error("dollars", dollars(self.dollars), f"{limits.dollars:g}")
        if limits.minutes is not None and self.minutes >= limits.minutes:
            return _make_late(limits.minutes)
        return None


def _make_late(limit: float) -> LimitReachedError:
    return make_error("minutes", f"{limit:g} minutes", f"{limit:g}")


def find_minutes(session: Session) -> float:
    """Return the minutes of a session; 0 for one that was killed, as nobody knows when."""
    if not session.ended:
        return 0.0
    try:
        start, end = (datetime.fromisoformat(time).astimezone(UTC) for time in (session.started, session.ended))
    except ValueError:
        return 0.0
    return max(0.0, (end - start).total_seconds() / 60)


def make_error(limit: str, used: str, allowed: str) -> LimitReachedError:
    """Return the error of a limit that is reached."""
    return LimitReachedError(
        f"The run has used {used}, and `limits.{limit}` allows {allowed}. All finished turns are stored.",
        f"Raise the limit to go on: --resume --set limits.{limit}=... (Python: resume=True).",
    )
