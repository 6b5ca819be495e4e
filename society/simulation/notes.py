"""Memories that agents add after a debate: replies or notes, their importance, and reflections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from society.answers.ratings import UNRATED, read_rating
from society.core.concurrency import gather
from society.core.types import Decision, Judgement, Turn, TurnId
from society.scenario.binding import AgentPlan
from society.scenario.expand import NOTE, REFLECTION, PhasePlan
from society.scenario.models.memory import FEEDBACK
from society.simulation.memories import Memories, Memory

if TYPE_CHECKING:
    from society.simulation.turns import Turns


@dataclass(frozen=True, slots=True)
class Outcome:
    """The facts that an agent learns after a debate, by `feedback`; None for those that it does not learn.

    `right` is about the agent's last answer. An answer that could not be read is not right.
    """

    decision: str | None = None
    right: bool | None = None
    gold: str | None = None


@dataclass(frozen=True, slots=True)
class _Author:
    """An agent that keeps something of the question: its plan in the phase of its last turn, and that turn."""

    plan: AgentPlan
    phase: PhasePlan
    last: Turn
    outcome: Outcome


@dataclass(frozen=True)
class NoteTaker:
    """Adds the memories of one finished debate."""

    turns: Turns
    memories: Memories
    decision: Decision
    judgements: Mapping[str, Judgement]
    scored: bool

    @cached_property
    def _last(self) -> TurnId:
        """A turn of the debate's last round."""
        return self.turns.transcript.last()

    async def take(self) -> None:
        """Let all agents keep something of the question, then let those reflect whose turn it is.

        The memories are added in the order of the agents, whatever the order of their replies.
        """
        authors = list(self._authors())
        await self._add(authors, NOTE)
        due = [author for author in authors if self.memories.is_due(author.plan)]
        await self._add(due, REFLECTION)
        self.memories.finish()

    def _authors(self) -> Iterator[_Author]:
        """Yield the agents with a memory that spoke in the debate, in their order."""
        society = self.turns.society
        phases = {phase.name: phase for phase in society.phases}
        for name, last in self.turns.final(society.speaking, self.decision).items():
            phase = phases[last.id.phase]
            plan = phase.agents[name]
            if plan.memory.lasts:
                yield _Author(plan, phase, last, self._outcome(plan, last))

    def _outcome(self, plan: AgentPlan, last: Turn) -> Outcome:
        level = FEEDBACK.index(plan.memory.feedback)
        given = None if last.answer is None else self.judgements.get(last.answer)
        return Outcome(
            self.decision.answer if level >= 1 else None,
            bool(given and given.right) if level >= 2 and self.scored else None,
            self.turns.item.gold if level == 3 and self.scored else None,
        )

    async def _add(self, authors: list[_Author], kind: Literal["note", "reflection"]) -> None:
        make = self._keep if kind == NOTE else self._reflect
        made = await gather(make(author) for author in authors)
        for author, memory in zip(authors, made, strict=True):
            if memory is not None:
                self.memories.add(author.plan, memory)

    async def _keep(self, author: _Author) -> Memory | None:
        """Return the note of an agent, or its last reply; None if there is no text."""
        role, turn = author.plan.memory.write, author.last
        if role is not None:
            own = [turn for turn in self.turns.transcript.speaker_turns(author.plan.name) if turn.is_shown]
            more = {"outcome": author.outcome}
            turn = await self._speak(author, role, NOTE, more, own=own)
        return await self._remember(author, turn, "reply" if role is None else NOTE)

    async def _reflect(self, author: _Author) -> Memory | None:
        """Return the reflection of an agent on its latest memories; None if there is no text."""
        spec = author.plan.memory.reflect
        assert spec is not None
        more = {"outcome": author.outcome, "memories": self.memories.latest(author.plan, spec.reads)}
        turn = await self._speak(author, spec.role, REFLECTION, more)
        return await self._remember(author, turn, REFLECTION)

    async def _remember(
        self, author: _Author, turn: Turn, kind: Literal["reply", "note", "reflection"]
    ) -> Memory | None:
        """Return the memory of a turn, with its importance if the agent rates memories."""
        if not turn.is_shown:
            return None
        memory = Memory(
            turn.id,
            author.plan.name,
            kind,
            turn.text,
            self.turns.item.question,
            author.last.answer,
            author.outcome.decision,
            author.outcome.right,
            author.outcome.gold,
            time=self.turns.now,
        )
        role = author.plan.memory.rate
        return memory if role is None else replace(memory, importance=await self._rate(author, role, memory))

    async def _speak(self, author: _Author, role: str, what: str, more: Mapping[str, Any], **options: Any) -> Turn:
        return await self.turns.speak_after(self._last, author.plan, author.phase, role, what, more, **options)

    async def _rate(self, author: _Author, role: str, memory: Memory) -> int:
        """Return the importance that the agent gives a memory: 1 if its reply has no number from 1 to 10."""
        what = f"{REFLECTION if memory.kind == REFLECTION else NOTE}/importance"
        more = {"outcome": author.outcome, "memories": (memory,)}
        turn = await self._speak(author, role, what, more)
        rating = read_rating(turn.text)
        if rating is None and turn.status == "ok":
            text = f"{UNRATED}: the memory has the importance 1."
            self.turns.speaker.store.annotate(turn.id, text)
        return rating or 1
