"""Numbers of turns: how many a run will have, estimated while it goes on."""

from __future__ import annotations

import time

from society.core.plain import count
from society.scenario.expand import PhasePlan, Society
from society.scenario.models.memory import MemorySpec

ENOUGH_TURNS = 10
"""Minimum number of new turns for an estimate of the remaining time."""
ENOUGH_DEBATES = 5
"""Number of ended debates from which their mean number of turns is used for the others."""


def plan_turns(society: Society) -> int:
    """Return the number of turns of a debate that ends no phase early and in which all agents speak each time.

    It has the notes, ratings and reflections of agents, with the mean number of reflections by `every`. Summaries,
    turns of controllers' helpers and reflections by `threshold` are not included.
    """
    plans = {name: plan for phase in society.phases for name, plan in phase.agents.items() if name in phase.speakers}
    return sum(map(_turns_of, society.phases)) + round(sum(_memories_of(plan.memory) for plan in plans.values()))


def _memories_of(memory: MemorySpec) -> float:
    """Return the mean number of turns after a debate by which an agent adds memories."""
    if not memory.lasts:
        return 0.0
    every = memory.reflect.every if memory.reflect is not None else None
    reflections = 1 / every if every is not None else 0.0
    rated = memory.rate is not None
    return (memory.write is not None) + reflections + (1 + reflections) * rated


def _turns_of(phase: PhasePlan) -> int:
    """Return the turns of a phase: in each round one of each speaker, or one of the moderator and one speaker."""
    return phase.rounds * (2 if phase.spec.schedule == "moderated" else len(phase.speakers))


def estimate_turns(planned: int, debates: int, begun: int, ended: int, ended_turns: int) -> int:
    """Return the estimated number of turns of `debates` debates. It is exact once all have ended.

    `planned` is the number of turns of one debate by plan, and `begun` the number of turns so far. `ended` debates have
    ended, with `ended_turns` turns.
    """
    mean = ended_turns / ended if ended >= ENOUGH_DEBATES else planned
    return max(begun, ended_turns + round((debates - ended) * mean))


def describe_turns(turns: int, total: int, whole: bool) -> str:
    """Return turns and their estimated total in words. `whole`: there are no more turns."""
    return count(turns, "turn") if whole else f"{turns:,} of about {count(max(total, turns), 'turn')}"


class Speed:
    """The speed of a run that is followed, from the turns since it is followed."""

    def __init__(self) -> None:
        self._since: tuple[float, int] | None = None

    def remaining(self, turns: int, total: int) -> float | None:
        """Return the estimated seconds until `total` turns; None before `ENOUGH_TURNS` turns since the first call."""
        now = time.monotonic()
        started, first = self._since = self._since or (now, turns)
        return (now - started) / (turns - first) * (total - turns) if turns - first >= ENOUGH_TURNS else None
