"""Debates every question of a task, many of them concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from society.answers.undecided import undecided_with
from society.components.faults import guarded
from society.core.collection import collecting_seldom
from society.core.concurrency import first_cause
from society.core.types import Decision, Item, Judgement, Past
from society.sandbox import RunCode, run_code
from society.scenario.expand import Society
from society.scenario.sequences import Debates, plan_debates, tell_times
from society.simulation.court import DebateCourt
from society.simulation.debate import Debate
from society.simulation.memories import Memories
from society.simulation.notes import NoteTaker
from society.simulation.reading import RoundPlan, check_round, plan_round
from society.simulation.speaker import Speaker
from society.simulation.turns import Turns
from society.tasks.base import Task

if TYPE_CHECKING:
    from society.store.rows import ResultRow, Split


@dataclass(frozen=True, slots=True)
class DebateResult:
    """The result of one debate. `judgements`: the verdict on each distinct answer given in the debate.

    `scored` is False for a question without a true answer, which has no verdicts.
    """

    iteration: int
    item: Item
    sample: int
    decision: Decision
    judgements: Mapping[str, Judgement]
    scored: bool = True

    @property
    def verdicts(self) -> dict[str, bool]:
        """Return whether each distinct answer is right."""
        return {answer: given.right for answer, given in self.judgements.items()}

    @property
    def correct(self) -> bool:
        """Return whether the society's answer is right. No decision counts as wrong."""
        return self.decision.answer is not None and self.verdicts.get(self.decision.answer, False)

    def row(self, split: Split) -> ResultRow:
        """Return the result as the store has it."""
        from society.store.rows import ResultRow

        debate = (self.iteration, self.item.id, self.sample, split)
        special = {answer: given for answer, given in self.judgements.items() if not given.is_plain}
        outcome = (self.decision, self.correct, self.verdicts, self.scored)
        return ResultRow(*debate, self.item.question, self.item.gold, *outcome, judgements=special)


async def simulate(
    society: Society,
    task: Task,
    items: Sequence[Item],
    speaker: Speaker,
    on_result: Callable[[DebateResult], None],
    iteration: int = 0,
    run: RunCode = run_code,
    samples: range | None = None,
    remember: Callable[[Society], Memories] = Memories,
) -> None:
    """Debate every item in these `samples`, by default `scenario.samples` times.

    `on_result` receives the results as they finish, in any order.

    `run` runs the code of answers that are judged by tests. `remember` makes the memories of a sequence of questions.
    At most `scenario.concurrency` debates run at the same time, so memory does not grow with the number of items.
    Questions that build on earlier ones are debated one after another; see `plan_debates`.
    """
    plans = fixed_plans(society)
    samples = range(society.scenario.samples) if samples is None else samples
    timed = society.scenario.clock or society.rememberers
    times = tell_times(society.scenario, items, samples) if timed else {}

    async def worker(shared: Iterator[Debates]) -> None:
        for sequence in shared:
            earlier: list[Past] = []
            memories = remember(society) if society.rememberers else None
            for item, sample in sequence:
                async with speaker.interruption.debating((iteration, item.id, sample)):
                    hours, now = times.get((item.id, sample), (0.0, ""))
                    if memories is not None:
                        memories.hours = hours
                    turns = Turns(society, task, speaker, item, iteration, sample, memories, now)
                    decision = await Debate(society, turns, plans, earlier).run()
                    scored = guarded(task, task.scores, f"on the question {item.id!r}")(item)
                    judgements = await _judge(turns, decision, run, scored)
                    if society.in_sequence:
                        earlier.append(_past(turns, decision, judgements, scored))
                    if memories is not None:
                        await NoteTaker(turns, memories, decision, judgements, scored).take()
                    on_result(DebateResult(iteration, item, sample, decision, judgements, scored))
                    speaker.store.finish_debate(iteration, item.id, sample, turns.transcript.turn_ids())

    with collecting_seldom():
        try:
            async with asyncio.TaskGroup() as group:
                shared = iter(plan_debates(society, items, samples))
                for _ in islice(range(len(items) * len(samples)), society.scenario.concurrency):
                    group.create_task(worker(shared))
        except* Exception as failed:
            raise first_cause(failed) from None


def fixed_plans(society: Society) -> dict[str, RoundPlan]:
    """Return the round plan of each phase whose graph and order never change: it is made once for all questions.

    Raises `InputError` if agents of a phase would wait for each other.
    """
    plans = {}
    for phase in society.phases:
        if not phase.spec.controllers and phase.spec.order != "shuffled" and not phase.occasions:
            plans[phase.name] = plan_round(phase, phase.graph(), 1, 0)
            check_round(plans[phase.name], phase)
    return plans


def _past(turns: Turns, decision: Decision, judgements: Mapping[str, Judgement], scored: bool) -> Past:
    """Return the last answers to a question for later ones."""
    latest = turns.final(dict.fromkeys(n for phase in turns.society.phases for n in phase.speakers), decision)
    given = {name: turn.answer for name, turn in latest.items() if turn.answer is not None}
    decided = decision.answer
    agreed = None if decided is None else tuple(name for name, answer in given.items() if turns.same(answer, decided))
    good = {answer for answer, judgement in judgements.items() if judgement.right}
    right = tuple(name for name, answer in given.items() if answer in good) if scored else None
    return Past(tuple(given), agreed, right)


async def _judge(turns: Turns, decision: Decision, run: RunCode, scored: bool) -> dict[str, Judgement]:
    """Return a judgement on each distinct answer; nothing where the question has no true answer."""
    given: Iterable[str | None] = (t.answer for spoken in turns.transcript.turns.values() for _, _, t in spoken)
    answers = sorted({a for a in (*given, decision.answer) if a is not None})
    judgements = await DebateCourt(turns, run).judge(answers) if scored else {}
    _remark_undecided(turns, answers)
    return judgements


def _remark_undecided(turns: Turns, answers: Sequence[str]) -> None:
    """Store a remark with each turn whose answer could not be compared with another or with the true answer."""
    others = [*filter(None, (turns.item.gold, *turns.item.aliases)), *answers]
    undecided = {answer: found for answer in answers if (found := undecided_with(answer, others))}
    for spoken in turns.transcript.turns.values() if undecided else ():
        for _, _, turn in spoken:
            if turn.status == "ok" and turn.answer in undecided:
                other = undecided[turn.answer][0]
                text = (
                    f"Whether {turn.answer!r:.80} is {other!r:.80} takes too much work to decide: counted as different."
                )
                turns.speaker.store.annotate(turn.id, text)
