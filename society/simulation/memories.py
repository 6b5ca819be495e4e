"""Memories of agents from the finished questions of a sequence, and the selection that a prompt shows."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from society.core.moments import Moment
from society.core.types import TurnId
from society.retrieval.growing import GrowingIndex, MeaningIndex, WordIndexes
from society.scenario.binding import AgentPlan
from society.scenario.expand import Society
from society.scenario.models.memory import RecallSpec
from society.tasks.normal import normal_question

Owner = tuple[str, str]
"""A scope and the name in it: of an agent, of a group, or "" for the society."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Something that an agent remembers, as an entry of the template variable `memories`.

    `text` is a reply, a note or a reflection. `answer` is the author's last answer to the question. `decision`, `right`
    and `gold` are what the author learned after it by `feedback`; each is None if it is unknown. `importance` is a
    number from 1 to 10, or None without a rating.
    """

    source: TurnId
    author: str
    kind: Literal["reply", "note", "reflection"]
    text: str
    question: str
    answer: str | None = None
    decision: str | None = None
    right: bool | None = None
    gold: str | None = None
    importance: int | None = None
    time: Moment | str = ""
    """Simulated time of the question; empty without a clock."""


@dataclass(slots=True)
class Stream:
    """The memories of one owner, oldest first. `used` has the time of the last use of each, by `since`."""

    indexes: Mapping[str, GrowingIndex]
    """Indexes of the texts, by measure of relevance."""
    memories: list[Memory] = field(default_factory=list)
    written: array[float] = field(default_factory=lambda: array("d"))
    recalled: array[float] = field(default_factory=lambda: array("d"))
    same: dict[str, list[int]] = field(default_factory=dict)
    """Places of the memories of each question, by its normal form, where a recall is limited to them."""

    def add(self, memory: Memory, hours: float, question: str | None) -> None:
        """Add a memory of this time. `question` is the normal form of its question, where that is needed."""
        if question is not None:
            self.same.setdefault(question, []).append(len(self.memories))
        self.memories.append(memory)
        self.written.append(hours)
        self.recalled.append(hours)
        for index in self.indexes.values():
            index.add(memory.text)

    def find(self, spec: RecallSpec, query: str, question: str, hours: float) -> list[int]:
        """Return the places of the memories that a recall selects, oldest first."""
        first = max(len(self.memories) - spec.window, 0) if spec.window else 0
        places: Sequence[int] = range(first, len(self.memories))
        if spec.same:
            places = [place for place in self.same.get(normal_question(question), ()) if place >= first]
        if len(places) > spec.most:
            scores = self._score(spec, query, places, hours)
            best = sorted(zip(scores, places, strict=True), reverse=True)[: spec.most]  # of equal ones, the latest
            places = sorted(place for _, place in best)
        return list(places)

    def _score(self, spec: RecallSpec, query: str, places: Sequence[int], hours: float) -> list[float]:
        """Return the score of each of these places: the weighted sum of relevance, recency and importance."""
        parts: list[tuple[float, list[float]]] = []
        if spec.relevance:
            found = self.indexes[spec.by].score(query, places[0])
            parts.append((spec.relevance, [found.get(place, 0.0) for place in places]))
        if spec.recency:
            used = self.recalled if spec.since == "recalled" else self.written
            parts.append((spec.recency, [spec.decay ** (hours - used[place]) for place in places]))
        if spec.importance:
            rated = [float(self.memories[place].importance or 1) for place in places]
            parts.append((spec.importance, rated))
        scaled = [[weight * value for value in _scale(values)] for weight, values in parts]
        return [sum(values) for values in zip(*scaled, strict=True)]


def _scale(values: list[float]) -> list[float]:
    """Return the values scaled to [0, 1]; equal values become 0."""
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]


class Memories:
    """The memories of all agents in one sequence of questions.

    A memory counts from the end of its question on, so turns of one question recall the same whatever their order.
    """

    def __init__(self, society: Society) -> None:
        self._words = WordIndexes()
        self._recalls: dict[str, list[RecallSpec]] = {}
        for plan in society.rememberers:
            self._recalls.setdefault(plan.memory.scope, []).append(plan.memory.recall)
        self._same = any(spec.same for specs in self._recalls.values() for spec in specs)
        self._streams: dict[Owner, Stream] = {}
        self._shown: dict[Owner, set[int]] = {}
        self.hours = 0.0
        """Time of the present question: simulated hours, or the number of questions before it."""
        self._unreflected: dict[str, tuple[int, int]] = {}
        """Questions, and the sum of the importance of new memories, since the last reflection of each agent."""

    def recall(self, plan: AgentPlan, query: str, question: str) -> tuple[Memory, ...]:
        """Return the memories that a prompt of the agent shows, oldest first."""
        owner = _owner(plan)
        stream = self._streams.get(owner)
        if stream is None:
            return ()
        places = stream.find(plan.memory.recall, query, question, self.hours)
        if plan.memory.recall.since == "recalled":
            self._shown.setdefault(owner, set()).update(places)
        return tuple(stream.memories[place] for place in places)

    def latest(self, plan: AgentPlan, most: int) -> tuple[Memory, ...]:
        """Return the latest memories that the agent can recall, oldest first."""
        stream = self._streams.get(_owner(plan))
        return tuple(stream.memories[-most:]) if stream is not None else ()

    def add(self, plan: AgentPlan, memory: Memory) -> None:
        """Add a memory of this agent for all that can recall it."""
        question = normal_question(memory.question) if self._same else None
        owners = (("agent", plan.name), ("group", plan.group), ("society", ""))
        for owner in [owner for owner in owners if owner[0] in self._recalls]:
            if owner not in self._streams:
                self._streams[owner] = Stream(self._indexes(owner[0]))
            self._streams[owner].add(memory, self.hours, question)
        if memory.kind != "reflection":
            self._count(plan.name, 0, memory.importance or 0)

    def is_due(self, plan: AgentPlan) -> bool:
        """Return whether the agent reflects after this question, which is counted."""
        questions, importance = self._count(plan.name, 1, 0)
        reflect = plan.memory.reflect
        if reflect is None:
            return False
        often = reflect.every is not None and questions >= reflect.every
        due = often or (reflect.threshold is not None and importance >= reflect.threshold)
        if due:
            self._unreflected[plan.name] = (0, 0)
        return due

    def _count(self, name: str, questions: int, importance: int) -> tuple[int, int]:
        seen, total = self._unreflected.get(name, (0, 0))
        self._unreflected[name] = (seen + questions, total + importance)
        return self._unreflected[name]

    def finish(self) -> None:
        """End the question: the memories that prompts of it have shown count as used now."""
        for owner, places in self._shown.items():
            for place in places:
                self._streams[owner].recalled[place] = self.hours
        self._shown.clear()

    def _indexes(self, scope: str) -> dict[str, GrowingIndex]:
        used = {spec.by for spec in self._recalls[scope] if spec.relevance}
        return {measure: self._words.new() if measure == "words" else MeaningIndex() for measure in sorted(used)}


def _owner(plan: AgentPlan) -> Owner:
    names = {"agent": plan.name, "group": plan.group, "society": ""}
    return plan.memory.scope, names[plan.memory.scope]


def sources(memories: Iterable[Memory]) -> tuple[TurnId, ...]:
    """Return the turns that wrote these memories."""
    return tuple(memory.source for memory in memories)
