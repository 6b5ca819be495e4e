"""The places at which templates are rendered, each with the possible values of the variables there.

Agents of one role and phase whose personas and `vars` have the same fields share a place. The first round of a phase is
a place of its own, since less can be read there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from society.core.types import Item
from society.scenario.binding import AgentPlan
from society.scenario.checks.effects.agents import count_earlier
from society.scenario.checks.effects.flow import Flow, PhaseFlow, Tie
from society.scenario.checks.prompts.possible import (
    TEXT,
    UNKNOWN,
    Value,
    join_rows,
    listed,
    number,
    text,
)
from society.scenario.checks.prompts.shared import Facts
from society.scenario.members import judges

MOST_BOUND = 300
"""Maximum number of agents of a phase whose settings in another role are determined."""


@dataclass(frozen=True)
class PromptPlace:
    """A place at which the templates of a role are rendered."""

    role: str
    agents: tuple[str, ...]
    phase: str
    variables: dict[str, Value]

    def options(self, variable: str) -> tuple[str, ...]:
        """Return the possible values of a variable, as far as they are known."""
        return self.variables[variable].choices if variable in self.variables else ()


def find_places(flow: Flow, items: Sequence[Item] | None) -> Iterator[PromptPlace]:
    """Yield all places of a scenario. `items` are its questions, if they are known."""
    facts = Facts(flow, items)
    for phase in flow.phases:
        yield from _PhasePlaces(facts, phase).find()


@dataclass(frozen=True)
class _PhasePlaces:
    """The places of one phase."""

    facts: Facts
    phase: PhaseFlow

    @property
    def flow(self) -> Flow:
        return self.facts.flow

    def find(self) -> Iterator[PromptPlace]:
        spec, plan = self.phase.spec, self.phase.plan
        speaking = [plan.agents[name] for name in plan.speakers]
        for same in _alike(speaking):
            yield from self._speakers(same)
        for controller in spec.controllers:
            for _, role in controller.role_fields():
                heard = self.facts.messages(plan.speakers, None)
                yield from self._bound(speaking, role, heard=heard, own=self.facts.own(plan.speakers, None))
            for name in controller.helpers().values():
                yield from self._helper(name, self._may_own(name))
        if self.phase.moderated:
            choices = listed(text(plan.speakers), len(plan.speakers), source="choices")
            yield from self._helper(spec.moderator, self._may_own(spec.moderator), choices=choices)
        elif spec.on_edges:
            ends = {name: text(plan.speakers, source=name, known=self.facts.agents) for name in ("sender", "reader")}
            if self._hides:
                ends["sender"] = text(source="sender")
            yield from self._helper(spec.on_edges, None, **ends)
        if spec.summarizer and not all(tie.view.show != "summary" for tie in self.phase.ties or ()):
            yield from self._helper(spec.summarizer, 0)
        if self.flow.society.may_skip or self.phase is self.flow.phases[-1]:
            for name in judges(self.flow.scenario):
                yield from self._judge(name)
        for same in _by_memory(speaking):
            yield from self._remembering(same)

    def _bound(self, plans: Sequence[AgentPlan], role: str, **more: Value) -> Iterator[PromptPlace]:
        """Yield the places of agents in another role for once."""
        some = [self.flow.society.bind_as(self.phase.plan, plan.name, role) for plan in plans[:MOST_BOUND]]
        if len(some) < len(plans):
            names = [plan.name for plan in plans]
            more |= {
                "persona": Value(source="persona"),
                "vars": UNKNOWN,
                "name": text(names, source="name", known=self.facts.agents),
            }
        for same in _alike(some):
            yield from self._places(same, **more)

    def _may_own(self, name: str) -> int:
        return count_earlier(self.phase, name)

    @property
    def _hides(self) -> bool:
        return any(tie.view.anonymous for tie in self.phase.ties or ()) or self.phase.spec.edges.anonymous

    @cached_property
    def _incoming(self) -> dict[str, list[Tie]] | None:
        """The edges that may deliver a message, by reader; None if they are not known."""
        if self.phase.ties is None:
            return None
        found: dict[str, list[Tie]] = defaultdict(list)
        for tie in self.phase.arriving:
            found[tie.reader].append(tie)
        return found

    def _speakers(self, plans: Sequence[AgentPlan]) -> Iterator[PromptPlace]:
        names = [plan.name for plan in plans]
        rounds, total = self.phase.plan.rounds, self.phase.plan.speakers
        before = max(self.phase.before.get(name, 0) for name in names)
        drafts = self.phase.spec.exchanges - 1 if self.phase.spec.on_edges else 0
        readers = listed(text(self._readers_of(names)), None if self._readers_of(names) else 0, source="readers")
        for numbers in filter(None, (range(1, 2), range(2, rounds + 1))):
            first = numbers[0] == 1
            own = before + (0 if first else rounds - 1)
            yield from self._places(
                plans,
                round=number(numbers, source="round"),
                heard=self._heard(names, first),
                summary=text(source="summary") if self._may_summarize(names, first) else text([""], source="summary"),
                own=self.facts.own(names, None if drafts else own),
                readers=readers if not self.phase.moderated else listed(text(total), source="readers"),
            )

    def _readers_of(self, names: Sequence[str]) -> tuple[str, ...]:
        if self.phase.ties is None:
            return self.phase.plan.speakers
        own = set(names)
        found = {tie.reader for tie in self.phase.ties if tie.sender in own}
        return tuple(name for name in self.phase.plan.speakers if name in found)

    def _arriving(self, names: Sequence[str], first: bool) -> list[list[tuple[Tie, int]]] | None:
        """Return the edges to each of these readers, with the number of turns to read in the first or a later round."""
        if self._incoming is None:
            return None
        later = self.phase.plan.rounds - 1 if first else 0
        found = []
        for name in names:
            ties = [(tie, tie.turns - (0 if tie.outside else later)) for tie in self._incoming.get(name, ())]
            found.append([(tie, turns) for tie, turns in ties if turns > 0])
        return found

    def _heard(self, names: Sequence[str], first: bool) -> Value:
        arriving = self._arriving(names, first)
        senders = (*self.phase.plan.speakers, *self.phase.plan.reads)
        if arriving is None:
            return self.facts.messages(senders, None, self._hides)
        full = [[(tie, turns) for tie, turns in ties if tie.view.show != "summary"] for ties in arriving]
        most = max(sum(min(turns, tie.view.window) for tie, turns in ties) for ties in full)
        if self.phase.spec.cap is not None:
            most = min(most, self.phase.spec.cap)
        known = dict.fromkeys(tie.sender for ties in full for tie, _ in ties)
        edges = bool(self.phase.spec.on_edges) and most > 0
        if known and not edges and all(tie.view.anonymous for ties in full for tie, _ in ties):
            return self.facts.messages([*known], most, hidden=True, labels=True)
        return self.facts.messages(
            [*known, *((self.phase.spec.on_edges, *names) if edges else ())], None if edges else most, self._hides
        )

    def _may_summarize(self, names: Sequence[str], first: bool) -> bool:
        arriving = self._arriving(names, first)
        return arriving is None or any(tie.view.show == "summary" for ties in arriving for tie, _ in ties)

    def _helper(self, name: str, own: int | None, **more: Value) -> Iterator[PromptPlace]:
        """Yield the places of an agent that is asked about the speakers, or about some of their messages."""
        senders = (*self.phase.plan.speakers, *self.phase.plan.reads)
        heard = self.facts.messages(senders, None, self._hides)
        turns = self.facts.own([name], own)
        yield from self._places([self.phase.plan.agents[name]], heard=heard, own=turns, **more)

    def _judge(self, name: str) -> Iterator[PromptPlace]:
        known = dict.fromkeys(("answer", "gold", "first", "second"), TEXT)
        judged = Value("record", fields=known, noun="`judged`", plain=False, source="judged")
        yield from self._places([self.phase.plan.agents[name]], judged=judged)

    def _remembering(self, plans: Sequence[AgentPlan]) -> Iterator[PromptPlace]:
        """Yield the places of the roles in which agents of one memory write, rate and reflect."""
        memory = plans[0].memory
        reflect = memory.reflect.role if memory.reflect else None
        own, facts = self.facts.own([plan.name for plan in plans], None), self.facts
        rated = memory.rate is not None
        outcome = facts.outcome
        if memory.write is not None:
            yield from self._bound(plans, memory.write, outcome=outcome, own=own)
        if memory.rate is not None:
            yield from self._bound(plans, memory.rate, outcome=outcome, memories=facts.memories(1, rated=False))
        if reflect is not None:
            yield from self._bound(plans, reflect, outcome=outcome, memories=facts.memories(None, rated))

    def _places(self, plans: Sequence[AgentPlan], **more: Value) -> Iterator[PromptPlace]:
        """Yield the place of these plans of one role, of which all have the same fields."""
        if not plans:
            return
        values = {**self._variables(plans), **more}
        yield PromptPlace(plans[0].role_name, tuple(plan.name for plan in plans), self.phase.plan.name, values)

    def _variables(self, plans: Sequence[AgentPlan]) -> dict[str, Value]:
        facts, phase, plan = self.facts, self.phase, plans[0]
        scenario = self.flow.scenario
        lasting = any(one.memory.lasts for one in plans)
        own_vars, of = [one.vars for one in plans], f"{plan.name!r} in the phase {phase.plan.name!r}"
        names = [one.name for one in plans]
        may_vote = bool(phase.spoke) or phase.plan.times > 1
        return {
            "question": text(source="question"),
            "instruction": text(source="instruction"),
            "item_id": text(),
            "choices": facts.choices,
            "name": text(names, source="name", known=facts.agents),
            "role": text([plan.role_name], source="role", known=tuple(scenario.roles)),
            "persona": _persona(plans),
            "vars": _fields(own_vars, f"`vars` of {of}", "vars"),
            "item": facts.item,
            "phase": text([phase.plan.name], source="phase", known=facts.phases),
            "round": number(range(1, phase.plan.rounds + 1), source="round"),
            "rounds": number((phase.plan.rounds,), source="rounds"),
            "agents": listed(text(phase.plan.speakers, known=facts.agents), len(phase.plan.speakers), source="agents"),
            "heard": facts.messages((), 0),
            "summary": text([""], source="summary"),
            "own": facts.own(names, 0),
            "readers": listed(TEXT, 0, source="readers"),
            "sender": text([""], source="sender", known=facts.agents),
            "reader": text([""], source="reader", known=facts.agents),
            "judged": Value("record", plain=False, source="judged"),
            "tools": text(source="tools") if plan.toolbox is not None else text([""], source="tools"),
            "memories": facts.memories(None if lasting else 0, _is_rated(plans)),
            "outcome": Value("record", plain=False, source="outcome"),
            "now": facts.now,
            "candidates": facts.candidates if may_vote else listed(UNKNOWN, 0, source="candidates"),
        }


def _is_rated(plans: Sequence[AgentPlan]) -> bool:
    return any(plan.memory.rate is not None for plan in plans)


def _alike(plans: Iterable[AgentPlan]) -> list[list[AgentPlan]]:
    """Return the plans in groups of equal roles and equal fields of personas and `vars`."""
    found: dict[Any, list[AgentPlan]] = defaultdict(list)
    for plan in plans:
        own = tuple(plan.persona) if isinstance(plan.persona, dict) else bool(plan.persona)
        found[plan.role_name, own, tuple(plan.vars), plan.toolbox is None, plan.memory.lasts].append(plan)
    return list(found.values())


def _by_memory(plans: Iterable[AgentPlan]) -> list[list[AgentPlan]]:
    """Return the plans with a memory beyond a debate, in groups of one memory."""
    found: dict[int, list[AgentPlan]] = defaultdict(list)
    for plan in plans:
        if plan.memory.lasts:
            found[id(plan.memory)].append(plan)
    return list(found.values())


def _persona(plans: Sequence[AgentPlan]) -> Value:
    if isinstance(plans[0].persona, dict):
        noun = f"the persona of {plans[0].name!r}"
        return _fields([dict(plan.persona) for plan in plans if isinstance(plan.persona, dict)], noun, "persona", True)
    noun = f"the persona of {plans[0].name!r} is a text, which"
    return text((str(plan.persona) for plan in plans), source="persona", noun=noun)


def _fields(rows: Sequence[Mapping[str, Any]], noun: str, source: str, plain: bool = False) -> Value:
    """Return a mapping with the values of these rows, which have the same fields."""
    return Value("record", fields=join_rows(rows, rows[0]), noun=noun, plain=plain, source=source)
