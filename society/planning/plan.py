"""The plan of a scenario: its worst case from a dry run, its likely cost from a few real debates."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from backends.base import Backend, Memory
from society.planning.dry_run import Count, PlannedTurn, dry_run, rough_count
from society.scenario.expand import Society
from society.session import open_backends
from society.simulation.simulate import simulate
from society.simulation.speaker import Speaker
from society.store import Store
from society.types import Item, Turn, Usage


@dataclass(frozen=True, slots=True)
class Cost:
    """What running the scenario whole should take. `seconds` is None without calibration."""

    debates: int
    calls: int
    prompt_tokens: int
    generated_tokens: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scenario means and costs. `worst` has the turns of one debate with the longest replies allowed;
    `contexts` the tokens that each backend's context holds, where it says."""

    debates: int
    worst: tuple[PlannedTurn, ...]
    contexts: Mapping[str, int | None]
    memory: Mapping[str, Memory | None]
    most: Cost
    likely: Cost | None
    calibrated_on: int

    @property
    def too_long(self) -> list[PlannedTurn]:
        """Turns whose prompt and answer may not fit their backend's context."""
        return [
            turn for turn in self.worst
            if (context := self.contexts[turn.backend]) is not None and turn.prompt + turn.answer > context
        ]  # fmt: skip


def make_plan(society: Society, calibrate: int = 8) -> Plan:
    """Plan a scenario. With `calibrate`, that many real debates estimate what all of them cost; with 0 no model is
    opened, tokens are estimated from characters, and there is only a worst case."""
    return asyncio.run(_plan(society, calibrate)) if calibrate else _offline(society)


def _offline(society: Society) -> Plan:
    items = society.scenario.task.load(society.scenario.seed)
    return _assemble(society, items, dict.fromkeys(society.scenario.backends, rough_count))


async def _plan(society: Society, calibrate: int) -> Plan:
    items = society.scenario.task.load(society.scenario.seed)
    counts: dict[str, Count] = dict.fromkeys(society.scenario.backends, rough_count)
    async with open_backends(society) as (backends, adapters):
        counts |= {name: b.tokenizer.count for name, b in backends.items() if b.tokenizer is not None}
        # The dry run has an event loop of its own, hence the thread.
        plan = await asyncio.to_thread(_assemble, society, items, counts)
        if plan.too_long:
            return plan  # a real debate might fail for the same reason
        chosen = _spread(items, calibrate)
        likely = await _play(society, backends, adapters, items, chosen)
        return replace(plan, likely=likely, calibrated_on=len(chosen))


async def _play(
    society: Society,
    backends: Mapping[str, Backend],
    adapters: Mapping[str, str],
    items: Sequence[Item],
    chosen: Sequence[Item],
) -> Cost:
    """Debate the chosen items for real, and scale what they cost to all."""
    turns: list[Turn] = []
    seed, task = society.scenario.seed, society.scenario.task
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "plan.sqlite") as store:
        speaker = Speaker(backends, adapters, store, seed, task.parse, lambda turn, old: turns.append(turn))
        started = time.monotonic()
        await simulate(society, task, chosen, speaker, lambda result: None)
        return _scale(society, items, chosen, turns, time.monotonic() - started)


def _assemble(society: Society, items: Sequence[Item], counts: Mapping[str, Count]) -> Plan:
    worst = tuple(dry_run(society, max(items, key=lambda item: len(item.question)), counts))
    debates = count_debates(society, len(items))
    used = dict.fromkeys(turn.backend for turn in worst)
    most = Cost(
        debates,
        debates * len(worst),
        debates * sum(turn.prompt for turn in worst),
        debates * sum(turn.answer for turn in worst),
        None,
    )
    agents = [plan for phase in society.phases for plan in phase.agents.values()]
    memory = {
        name: society.scenario.backends[name].memory(
            [Path(path) for path in dict.fromkeys(a.adapter for a in agents if a.backend == name and a.adapter)]
        )
        for name in used
    }
    contexts = {name: society.scenario.backends[name].context_tokens() for name in used}
    return Plan(debates, worst, contexts, memory, most, None, 0)


def count_debates(society: Society, items: int) -> int:
    """Debates of the whole run: every evaluation, and the training questions of every iteration."""
    train = society.scenario.train
    total = items if train is None else items * (train.iterations + 1) + train.questions * train.iterations
    return total * society.scenario.samples


def _scale(
    society: Society, items: Sequence[Item], chosen: Sequence[Item], turns: Sequence[Turn], seconds: float
) -> Cost:
    debates = count_debates(society, len(items))
    factor = debates / (len(chosen) * society.scenario.samples)
    usage = sum((turn.usage for turn in turns), Usage())
    return Cost(
        debates,
        round(len(turns) * factor),
        round(usage.prompt_tokens * factor),
        round(usage.generated_tokens * factor),
        seconds * factor,
    )


def _spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` items at even distances, so that an order by difficulty does not mislead."""
    step = max(len(items) / count, 1)
    return [items[int(i * step)] for i in range(min(count, len(items)))]
