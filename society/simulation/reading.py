"""Who reads what in a round: the graph, the schedule and the edges' views, turned into messages.

plan_round     a graph and a schedule -> for each reader, its edges, each to this round or the one before
Said           all that has been said in a debate so far
deliver        one edge's turns -> the messages that its view shows
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from society.components.faults import component_error
from society.components.registry import clear_with_kinds
from society.core.errors import InputError, SocietyError, describe_error
from society.core.identity import derive_seed
from society.core.types import Message, Same, Turn, TurnId
from society.scenario.expand import PhasePlan
from society.scenario.models.scenario import EdgeView

if TYPE_CHECKING:
    import networkx as nx

NO_ANSWER = "(no readable answer)"
"""Shown along an answer-only edge when nothing could be read from the turn."""


@dataclass(frozen=True, slots=True)
class Edge:
    """A reader's tie to a sender: read in the same round, or as of the round before."""

    sender: str
    view: EdgeView
    same_round: bool


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """One round: its speakers in the order in which they speak and in the order in which they are read, and each
    speaker's edges in reading order."""

    speakers: tuple[str, ...]
    reading: tuple[str, ...]
    edges: Mapping[str, tuple[Edge, ...]]


def plan_round(phase: PhasePlan, graph: nx.DiGraph[str], number: int, seed: int) -> RoundPlan:
    """What the schedule makes of the graph in round `number` of the phase."""
    reading = _reading_order(phase, graph, number, seed)
    speaking = _speaking_order(phase, graph, reading)
    spoken, read = ({name: i for i, name in enumerate(order)} for order in (speaking, reading))
    edges: dict[str, tuple[Edge, ...]] = {}
    for reader in speaking:
        found = [
            Edge(u, _view(phase, data), _in_same_round(phase, u, reader, data, spoken))
            for u, _, data in graph.in_edges(reader, data=True)
        ]
        edges[reader] = tuple(sorted(found, key=lambda edge: read.get(edge.sender, -1)))
    return RoundPlan(speaking, reading, edges)


def _reading_order(phase: PhasePlan, graph: nx.DiGraph[str], number: int, seed: int) -> tuple[str, ...]:
    """The speakers of the round as the phase's `order` has them: what readers and helpers are shown follows it."""
    present = [name for name in phase.speakers if name in graph]
    if phase.spec.order == "reversed":
        present.reverse()
    if phase.spec.order == "shuffled":
        random.Random(derive_seed(seed, phase.name, number, "order")).shuffle(present)
    return tuple(present)


def _speaking_order(phase: PhasePlan, graph: nx.DiGraph[str], reading: tuple[str, ...]) -> tuple[str, ...]:
    """The same speakers; in a topological phase each after those that it reads."""
    if phase.spec.schedule != "topological":
        return reading
    import networkx as nx

    place = {name: i for i, name in enumerate(reading)}
    return tuple(nx.lexicographical_topological_sort(graph.subgraph(reading), key=place.__getitem__))


def _in_same_round(
    phase: PhasePlan, sender: str, reader: str, data: Mapping[str, object], place: Mapping[str, int]
) -> bool:
    if sender not in place:
        return False
    if phase.spec.schedule == "topological" or data.get("within"):
        return True
    return phase.spec.schedule == "sequential" and place[sender] < place[reader]


def _view(phase: PhasePlan, data: Mapping[str, object]) -> EdgeView:
    own = {key: value for key, value in data.items() if key in EdgeView.model_fields}
    return _merge(phase.spec.edges, json.dumps(own, sort_keys=True)) if own else phase.spec.edges


@lru_cache(maxsize=4096)
def _merge_dumped(base: str, own: str) -> EdgeView:
    return EdgeView.model_validate_json(json.dumps({**json.loads(base), **json.loads(own)}))


clear_with_kinds(_merge_dumped.cache_clear)  # views hold gates


def _merge(base: EdgeView, own: str) -> EdgeView:
    return _merge_dumped(base.model_dump_json(), own)


@dataclass(slots=True)
class Said:
    """Everything said in one debate: each agent's turns in the order spoken, with their place in time."""

    turns: dict[str, list[tuple[int, int, Turn]]] = field(default_factory=dict)
    _stands: dict[str, list[Turn]] = field(default_factory=dict)

    def add(self, phase: int, number: int, turn: Turn, helping: bool = False) -> None:
        """Record a turn of `phase` (its index), round `number`. `helping`: the agent spoke as the phase's moderator,
        ranker or summarizer, so the turn is no answer to the question."""
        self.turns.setdefault(turn.id.agent, []).append((phase, number, turn))
        if not helping:
            self._stands.setdefault(turn.id.agent, []).append(turn)

    def until(self, agent: str, phase: int, number: int, window: int) -> list[Turn]:
        """The agent's latest `window` turns that did not fail, spoken at or before this phase and round."""
        spoken = self.turns.get(agent, ())
        found: list[Turn] = []
        for p, r, turn in reversed(spoken):
            if (p, r) <= (phase, number) and turn.status == "ok":
                found.append(turn)
                if len(found) == window:
                    break
        return found[::-1]

    def of(self, agent: str) -> list[Turn]:
        """All turns of an agent, failed ones included."""
        return [turn for _, _, turn in self.turns.get(agent, ())]

    def ids(self) -> Iterator[TurnId]:
        """Every turn of the debate, failed ones included."""
        return (turn.id for spoken in self.turns.values() for _, _, turn in spoken)

    def stands(self, agent: str) -> list[Turn]:
        """The agent's turns as a speaker, failed ones included: where it stands. All its turns if it only helped."""
        return self._stands.get(agent) or self.of(agent)

    def stand(self, agent: str) -> Turn | None:
        """The latest of `stands`."""
        turns = self.stands(agent)
        return turns[-1] if turns else None

    def latest(self, agent: str) -> Turn | None:
        """The agent's latest turn, failed or not."""
        spoken = self.turns.get(agent)
        return spoken[-1][2] if spoken else None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What arrives at a reader: messages to read, and messages that it will only see summarised."""

    messages: tuple[Message, ...]
    to_summarize: tuple[Message, ...]

    @property
    def sources(self) -> tuple[TurnId, ...]:
        """The turns behind it all."""
        return tuple(message.source for message in (*self.messages, *self.to_summarize))


def deliver(edges: Iterable[Edge], said: Said, phase: PhasePlan, reader: TurnId, same: Same, seed: int) -> Delivery:
    """What the reader is shown at its turn: windows, gates and the cap applied, in reading order."""
    own = said.stand(reader.agent)
    arrived = [
        (edge, turn)
        for edge in edges
        if edge.view.show != "nothing"
        for turn in said.until(edge.sender, phase.index, reader.round - (0 if edge.same_round else 1), edge.view.window)
        if not edge.view.gate or _passes(edge, turn, own, same, reader)
    ]
    if phase.spec.cap is not None and len(arrived) > phase.spec.cap:
        arrived = _capped(arrived, phase.spec.cap, derive_seed(seed, "cap", *_parts(reader)))
    labels = _labels([edge for edge, _ in arrived])
    shown = [(edge, _message(edge, turn, labels)) for edge, turn in arrived]
    return Delivery(
        tuple(message for edge, message in shown if edge.view.show != "summary"),
        tuple(message for edge, message in shown if edge.view.show == "summary"),
    )


def _passes(edge: Edge, turn: Turn, own: Turn | None, same: Same, reader: TurnId) -> bool:
    """Return whether every gate of the edge lets this turn through to the reader."""
    for gate in edge.view.gate:
        try:
            if not gate.passes(turn, own, same):
                return False
        except SocietyError:
            raise
        except Exception as error:
            place = f"on the question {reader.item!r}, in phase {reader.phase!r}, round {reader.round}"
            fault = f"raised {describe_error(error)}"
            raise component_error(gate, "passes", fault, f"{place}, agent {reader.agent!r}") from error
    return True


def _parts(turn: TurnId) -> list[object]:
    return [turn.iteration, turn.item, turn.phase, turn.round, turn.agent, turn.sample]


def _capped(arrived: list[tuple[Edge, Turn]], cap: int, seed: int) -> list[tuple[Edge, Turn]]:
    chosen = sorted(random.Random(seed).sample(range(len(arrived)), cap))
    return [arrived[i] for i in chosen]


def _labels(edges: Sequence[Edge]) -> dict[str, str]:
    """What the senders of anonymous edges are called instead: by their place among all senders."""
    hidden = {edge.sender for edge in edges if edge.view.anonymous}
    if not hidden:
        return {}
    senders = dict.fromkeys(edge.sender for edge in edges)
    return {sender: f"Agent {i}" for i, sender in enumerate(senders, 1) if sender in hidden}


def _message(edge: Edge, turn: Turn, labels: Mapping[str, str]) -> Message:
    text = (turn.answer or NO_ANSWER) if edge.view.show == "answer" else turn.text
    return Message(labels.get(edge.sender, edge.sender), text, turn.answer, turn.id.round, turn.confidence, turn.id)


def everything(said: Said, agents: Iterable[str]) -> Delivery:
    """The latest turn of each agent in full: what a moderator, ranker or judge of the round is shown."""
    turns = [turn for agent in agents if (turn := said.latest(agent)) is not None and turn.status == "ok"]
    return Delivery(tuple(Message(t.id.agent, t.text, t.answer, t.id.round, t.confidence, t.id) for t in turns), ())


def check_round(plan: RoundPlan, phase: PhasePlan) -> None:
    """Refuse a round in which agents wait for each other.

    Raises `InputError` naming the phase: edges read in the same round must form no cycle.
    """
    import networkx as nx

    waits = nx.DiGraph((e.sender, reader) for reader, edges in plan.edges.items() for e in edges if e.same_round)
    if not nx.is_directed_acyclic_graph(waits):
        cycle = " -> ".join(u for u, _ in nx.find_cycle(waits))
        raise InputError(
            f"In phase {phase.name!r} agents wait for each other in a circle: {cycle}.",
            "Edges read in the same round (a topological schedule, `within`) must form no cycle.",
        )
