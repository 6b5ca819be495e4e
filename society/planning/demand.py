"""The demand of a scenario on its backends: the longest prompt and the most concurrent requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from backends.base import BackendConfig, Count
from backends.sizes import Demand
from society.core.types import ChatMessage, Item
from society.planning.chats import check_chats
from society.planning.dry_run import dry_run, rough_count
from society.scenario.expand import Society, is_memory
from society.scenario.sequences import plan_debates

CANDIDATES = 32
"""Number of the longest questions, by characters, whose tokens are counted."""


def fit_backends(society: Society, items: Sequence[Item]) -> Society:
    """Return the society with backends sized for debates on these questions, where the scenario sets no size.

    Raises `InputError`, with a size that fits, if a backend does not fit into memory, and for chats that a model's chat
    template refuses.
    """
    plans = [plan for phase in society.phases for plan in phase.agents.values()]
    fitted: dict[str, BackendConfig] = {}
    uncounted: list[str] = []
    for name in dict.fromkeys(plan.backend for plan in plans):
        own = [plan for plan in plans if plan.backend == name]
        adapters = [Path(adapter) for adapter in dict.fromkeys(plan.adapter for plan in own) if adapter]
        config = society.scenario.backends[name]
        with config.token_counter(max(plan.sampling.max_tokens for plan in own)) as count:
            demand = None if count is None else find_demand(society, items, name, count)
        if demand is None:
            uncounted.append(name)
        else:
            fitted[name] = config.fitted(demand, adapters)
    check_chats(society, items[0], uncounted)
    backends = {**society.scenario.backends, **fitted}
    return replace(society, scenario=society.scenario.model_copy(update={"backends": backends}))


def open_counters(stack: ExitStack, society: Society, rough: Count = rough_count) -> dict[str, Count]:
    """Return the count of prompt tokens of each backend, open as long as `stack`: `rough` without a tokenizer.

    Servers are not asked.
    """
    plans = [plan for phase in society.phases for plan in phase.agents.values()]
    counts: dict[str, Count] = dict.fromkeys(society.scenario.backends, rough)
    for name in dict.fromkeys(plan.backend for plan in plans):
        config = society.scenario.backends[name]
        if "tokenizer" in config.abilities:
            answer = max(plan.sampling.max_tokens for plan in plans if plan.backend == name)
            counts[name] = stack.enter_context(config.token_counter(answer)) or rough
    return counts


def find_demand(society: Society, items: Sequence[Item], backend: str, count: Count) -> Demand:
    """Return the demand of debates on these questions on a backend, by a dry run on the longest question."""
    counts = {**dict.fromkeys(society.scenario.backends, rough_count), backend: count}
    turns = [turn for turn in dry_run(society, longest(items, count), counts) if turn.backend == backend]
    together = Counter((turn.phase, turn.round, turn.agent.partition("/")[2] * is_memory(turn.agent)) for turn in turns)
    sequences = sum(1 for _ in plan_debates(society, items, range(society.scenario.samples)))
    debates = min(society.scenario.concurrency, sequences)
    return Demand(
        max((turn.prompt + turn.answer for turn in turns), default=0), max(together.values(), default=0) * debates
    )


def longest(items: Sequence[Item], count: Count) -> Item:
    """Return the question with the most tokens, among those with the most characters."""
    by_characters = sorted(items, key=lambda item: len(item.question), reverse=True)
    return max(by_characters[:CANDIDATES], key=lambda item: count([ChatMessage("user", item.question)]))
