"""Every question of a task, each in its own debate, many under way at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from society.answers.undecided import undecided_with
from society.core.types import Decision, Item
from society.scenario.expand import Society
from society.simulation.debate import Debate
from society.simulation.reading import RoundPlan, check_round, plan_round
from society.simulation.speaker import Speaker
from society.tasks.base import Task

COLLECT_AFTER = 50_000
"""New objects until Python looks for cyclic garbage among them, while debates run."""


@dataclass(frozen=True, slots=True)
class DebateResult:
    """How one debate ended. `verdicts` says of every distinct answer given in it whether it is right."""

    iteration: int
    item: Item
    sample: int
    decision: Decision
    verdicts: Mapping[str, bool]

    @property
    def correct(self) -> bool:
        """Whether the society's answer is right; no decision is not."""
        return self.decision.answer is not None and self.verdicts.get(self.decision.answer, False)


async def simulate(
    society: Society,
    task: Task,
    items: Sequence[Item],
    speaker: Speaker,
    on_result: Callable[[DebateResult], None],
    iteration: int = 0,
) -> None:
    """Debate every item, `scenario.samples` times each; results arrive as they are finished, in any order.

    At most `scenario.concurrency` debates are under way, so memory does not grow with the number of items.
    """
    plans = fixed_plans(society)
    work = ((item, sample) for item in items for sample in range(society.scenario.samples))

    async def worker(shared: Iterator[tuple[Item, int]]) -> None:
        for item, sample in shared:
            debate = Debate(society, task, speaker, item, iteration, sample, plans)
            decision = await debate.run()
            on_result(DebateResult(iteration, item, sample, decision, _verdicts(debate, decision)))
            speaker.store.finish_debate(iteration, item.id, sample, debate.said.ids())

    with _collecting_seldom():
        try:
            async with asyncio.TaskGroup() as group:
                for _ in islice(range(len(items) * society.scenario.samples), society.scenario.concurrency):
                    group.create_task(worker(work))
        except* Exception as failed:
            raise _first(failed) from None


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Python's search for cyclic garbage looks at every object again and again, and nearly all that a debate makes
    lives until its end: a third of the time of a large society, and more than in proportion to its size."""
    usual = gc.get_threshold()
    gc.set_threshold(max(COLLECT_AFTER, usual[0]) if usual[0] else 0, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def fixed_plans(society: Society) -> dict[str, RoundPlan]:
    """The round plan of each phase whose graph and order never change, made once for all questions.

    Raises `InputError` where agents of a phase would wait for each other.
    """
    plans = {}
    for phase in society.phases:
        if not phase.spec.controllers and phase.spec.order != "shuffled":
            plans[phase.name] = plan_round(phase, phase.graph(), 1, 0)
            check_round(plans[phase.name], phase)
    return plans


def _verdicts(debate: Debate, decision: Decision) -> dict[str, bool]:
    given: Iterable[str | None] = (t.answer for turns in debate.said.turns.values() for _, _, t in turns)
    answers = sorted({a for a in (*given, decision.answer) if a is not None})
    verdicts = {answer: debate.correct(answer, debate.item) for answer in answers}
    _remark_undecided(debate, answers)
    return verdicts


def _remark_undecided(debate: Debate, answers: Sequence[str]) -> None:
    """Store with each turn that comparing its answer with another one, or with the true one, was given up."""
    others = (debate.item.gold, *debate.item.aliases, *answers)
    undecided = {answer: found for answer in answers if (found := undecided_with(answer, others))}
    for turns in debate.said.turns.values() if undecided else ():
        for _, _, turn in turns:
            if turn.status == "ok" and turn.answer in undecided:
                other = undecided[turn.answer][0]
                text = (
                    f"Whether {turn.answer!r:.80} is {other!r:.80} takes too much work to decide: counted as different."
                )
                debate.speaker.store.annotate(turn.id, text)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first cause in a group of failures: the one that a person needs to hear."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
