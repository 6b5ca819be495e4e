"""Possible values of variables that are the same at all places of a scenario."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

from society.answers.choice import OPTION_LETTERS
from society.core.moments import DAYS, Moment
from society.core.types import Item, Message, Turn
from society.scenario.checks.effects.flow import Flow
from society.scenario.checks.effects.rules import has_confidence
from society.scenario.checks.prompts.possible import (
    NUMBER,
    TEXT,
    UNKNOWN,
    Value,
    join_rows,
    listed,
    number,
    text,
)

NO_CONFIDENCE = "set `confidence: stated` in the role of the agents, or remove it"


@dataclass(frozen=True)
class Facts:
    """Values that are the same at all places."""

    flow: Flow
    items: Sequence[Item] | None

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """Names of all agents and groups."""
        return tuple(self.flow.society.members)

    @cached_property
    def phases(self) -> tuple[str, ...]:
        return tuple(phase.plan.name for phase in self.flow.phases)

    @cached_property
    def confident(self) -> frozenset[str]:
        """Agents with a role with a confidence in any phase."""
        return has_confidence(self.flow, self.flow.society.agents)

    @cached_property
    def rounds(self) -> range:
        return range(1, max(phase.plan.rounds for phase in self.flow.phases) + 1)

    @cached_property
    def answer(self) -> Value:
        """A parsed answer, which is a letter where answers are choices."""
        if self.flow.scenario.task.format.equal != "choice":
            return text(none=True)
        most = max((len(item.choices) for item in self.items or ()), default=0)
        return text(OPTION_LETTERS[: most or None], none=True)

    @cached_property
    def candidates(self) -> Value:
        from society.simulation.prompts import CANDIDATE_LETTERS

        noun = "one of `candidates`"
        one = Value("record", fields={"letter": text(CANDIDATE_LETTERS), "answer": self.answer}, noun=noun, plain=False)
        return listed(one, len(CANDIDATE_LETTERS), source="candidates")

    @cached_property
    def item(self) -> Value:
        """The fields of the rows."""
        if self.items is None:
            return Value(source="item")
        rows = [item.fields for item in self.items]
        shared = set(rows[0]).intersection(*rows) if rows else set()
        optional = frozenset(set[str]().union(*rows) - shared)
        hidden = {name: why for task in self.flow.scenario.tasks.values() for name, why in task.find_hidden().items()}
        named = join_rows(rows, shared)
        row = Value("record", fields=named, optional=optional, noun="the row", plain=False, source="item")
        return replace(row, hidden=hidden)

    @cached_property
    def choices(self) -> Value:
        if self.items is None:
            return listed(TEXT, source="choices")
        options = [choice for item in self.items for choice in item.choices]
        return listed(text(options), max(len(item.choices) for item in self.items), source="choices")

    @cached_property
    def now(self) -> Value:
        if self.flow.scenario.clock is None:
            return text([""], source="now")
        hours = [int(time[:2]) for time in self.flow.scenario.clock.times] or range(24)
        known = {"hour": number(hours), "day": NUMBER, "weekday": text(DAYS), "date": TEXT, "time": TEXT}
        return _record(Moment, "`now`", known, plain=True, source="now")

    def confidence(self, agents: Collection[str]) -> Value:
        known = not agents or not self.confident.isdisjoint(agents)
        return Value("number", none=True, low=0, high=1) if known else Value("none", (None,), remedy=NO_CONFIDENCE)

    def messages(self, senders: Collection[str], most: int | None, hidden: bool = False, labels: bool = False) -> Value:
        """Return `heard`. `hidden`: some senders are anonymous. `labels`: all are, so only labels are shown."""
        names = [f"Agent {i}" for i, _ in enumerate(self.flow.society.agents, 1)] if labels else senders
        shown = text(names if labels or not hidden else None, source="sender", known=self.agents)
        known = {"sender": shown, "confidence": self.confidence(senders)}
        return listed(self._spoken(Message, "a message of `heard`", known), most, source="heard")

    def own(self, agents: Collection[str], most: int | None) -> Value:
        known = {"confidence": self.confidence(agents)}
        return listed(self._spoken(Turn, "a turn of `own`", known), most, source="own")

    def _spoken(self, kind: type, noun: str, known: Mapping[str, Value]) -> Value:
        usual = {"text": TEXT, "answer": self.answer, "round": number(self.rounds), "weight": NUMBER}
        return _record(kind, noun, {**usual, **known})

    def memories(self, most: int | None, rated: bool = True) -> Value:
        """Return `memories`. `rated`: they may have an importance."""
        from society.simulation.memories import Memory

        importance = (
            number(range(1, 11), none=True)
            if rated
            else Value("none", (None,), remedy="set `rate` in `memory`, or remove it")
        )
        known = {
            "text": TEXT,
            "author": text(self.flow.society.agents, known=self.agents),
            "kind": text(("reply", "note", "reflection")),
            "answer": self.answer,
            "importance": importance,
            "time": self.now if self.flow.scenario.clock else text([""], source="time"),
        }
        return listed(_record(Memory, "one of `memories`", known), most, source="memories")

    @cached_property
    def outcome(self) -> Value:
        from society.simulation.notes import Outcome

        known = {"decision": self.answer, "right": Value("flag", none=True), "gold": text(none=True)}
        return _record(Outcome, "`outcome`", known, source="outcome")


def _record(kind: type, noun: str, known: Mapping[str, Value], plain: bool = False, source: str = "") -> Value:
    """Return a record with the fields and properties of a class."""
    names = [field.name for field in fields(kind)]
    names += [name for name, found in vars(kind).items() if isinstance(found, property)]
    own = {name: known.get(name, UNKNOWN) for name in names}
    return Value("record", fields=own, noun=noun, plain=plain, source=source)
