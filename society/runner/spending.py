"""The limits of a run: tokens, dollars and minutes. A run that reaches one stops, and can be resumed with another."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from backends.price import FREE
from society.core.errors import LimitReachedError
from society.core.interrupt import Interruption
from society.core.plain import dollars
from society.core.types import TurnId, Usage
from society.runs.opening import find_prices
from society.runs.state import RunState, Session, read_sessions
from society.scenario.expand import Society
from society.scenario.models.settings import RunLimits
from society.store import Store
from society.watcher import Watcher

_UNFINISHED = (RunState.LIMITED, RunState.FAILED_TURNS)
"""States of runs that certainly need further replies. An interrupted or killed run may have all of them."""


class Spending(Watcher):
    """Counts what a run has used, in all its sessions, and stops the run at its limits.

    A reply counts as soon as it arrives, also one of a turn that is not finished. Turns that were copied from other
    runs, and finetunings, use no tokens here.
    """

    def __init__(self, society: Society, interruption: Interruption) -> None:
        """Find the prices. Raises `InputError` if `limits.dollars` is set and a price is unknown."""
        self._limits, self._interruption = society.scenario.limits, interruption
        self._backends = {(phase, agent): plan.backend for (phase, agent), plan in society.plans.items()}
        self._prices = find_prices(society)
        self.tokens, self.minutes = 0, 0.0
        costs = any(price not in (None, FREE) for price in self._prices.values())
        self._counts = self._limits != RunLimits() or costs
        self.dollars: float | None = 0.0 if None not in self._prices.values() else None

    @contextmanager
    def of(self, stores: Iterable[Path]) -> Iterator[None]:
        """Count what earlier sessions of a run have used, and limit the minutes of the block.

        `stores` are those of the run, the present one first, also from before its scenario was changed. Raises
        `LimitReachedError` if the run has used all that the scenario allows and needs further replies. Where only the
        replay can tell, the first further reply stops the run. Needs a running event loop.
        """
        sessions = [self._read(store) for store in stores if store.exists()] if self._counts else []
        self._count_lost([session for some in sessions for session in some])
        if (reached := self._find_reached()) is not None:
            if not (sessions and sessions[0]) or sessions[0][-1].state in _UNFINISHED:
                raise reached
            self._interruption.stop_before_next(reached)
        limit = self._limits.minutes
        timer = None
        if limit is not None and reached is None:
            timer = asyncio.get_running_loop().call_later(60 * (limit - self.minutes), self._stop_late)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

    def _read(self, store: Path) -> list[Session]:
        """Count what a store has, and return its sessions."""
        with Store(store, read_only=True) as opened:
            for phase, agent, usage in opened.spent():
                self._add(phase, agent, usage)
            sessions = read_sessions(opened.meta())
        self.minutes += sum(map(find_minutes, sessions))
        return sessions

    def _count_lost(self, sessions: Sequence[Session]) -> None:
        """Count replies of turns that were stopped, or tried again later: the sessions have them, the turns do not."""
        self.tokens = max([self.tokens, *(int(_number(session.tokens)) for session in sessions)])
        if self.dollars is not None:
            self.dollars = max([self.dollars, *(_number(session.dollars) for session in sessions)])

    def _stop_late(self) -> None:
        """Stop the run, which has used its minutes."""
        self.minutes = max(self.minutes, self._limits.minutes or 0.0)
        if (reached := self._find_reached()) is not None:
            self._interruption.stop_within_grace(reached)

    def reply(self, turn: TurnId, usage: Usage) -> None:
        """Count a reply of this turn. At a limit, stop the run before the next request begins."""
        self._add(turn.phase, turn.agent, usage)
        if (reached := self._find_reached()) is not None:
            self._interruption.stop_before_next(reached)

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        """Stop a training that began after the minutes were used, while the last replies came."""
        limit = self._limits.minutes
        if limit is not None and self.minutes >= limit:
            self._interruption.stop(_make_late(self.minutes, limit))

    def totals(self) -> tuple[str, str]:
        """Return the tokens and the dollars so far as decimal numbers.

        The tokens are "" without limits and prices, the dollars where no price is known or all is free.
        """
        return str(self.tokens) if self._counts else "", f"{self.dollars:.6f}" if self.dollars else ""

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
            return _make_late(self.minutes, limits.minutes)
        return None


def _make_late(used: float, limit: float) -> LimitReachedError:
    return make_error("minutes", f"{used:.4g} minutes", f"{limit:g}")


def _number(text: str) -> float:
    """Return the number that a session has; 0 for none, and for a text that this program did not write."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return 0.0
    return number if 0 <= number < float("inf") else 0.0


def find_minutes(session: Session) -> float:
    """Return the minutes of a session; 0 for one that was killed, as nobody knows when.

    Times count only without the seconds by a steady clock, as the clock may have been set during the session.
    """
    if not session.ended:
        return 0.0
    if session.seconds:
        return _number(session.seconds) / 60
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
