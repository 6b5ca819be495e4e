"""Determines what each agent reads in a round, from the graph, the schedule and the views of edges.

plan_round     a graph and a schedule -> the edges of each reader, to this round or the previous one
Transcript     the turns of a debate so far
deliver        the edges of a reader -> the messages that the reader is shown
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
from society.scenario.models.phases import EdgeView

if TYPE_CHECKING:
    import networkx as nx

NO_ANSWER = "(no readable answer)"
"""Text shown along an answer-only edge if the turn has no readable answer."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge from a sender to a reader. `same_round`: the reader waits for the sender's turn of the same round."""

    sender: str
    view: EdgeView
    same_round: bool


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """The speakers and edges of one round."""

    speakers: tuple[str, ...]
    """Speakers in speaking order."""
    reading: tuple[str, ...]
    """Speakers in reading order."""
    edges: Mapping[str, tuple[Edge, ...]]
    """The edges of each speaker, in reading order."""
    readers: Mapping[str, tuple[str, ...]]
    """The speakers that read each speaker, in reading order."""


def plan_round(phase: PhasePlan, graph: nx.DiGraph[str], number: int, seed: int) -> RoundPlan:
    """Return the plan of round `number` of a phase over this graph, by the phase's schedule."""
    reading = _reading_order(phase, graph, number, seed)
    speaking = _speaking_order(phase, graph, reading)
    speaking_place, reading_place = ({name: i for i, name in enumerate(order)} for order in (speaking, reading))
    edges: dict[str, tuple[Edge, ...]] = {}
    shared = {u: (Edge(u, phase.spec.edges, False), Edge(u, phase.spec.edges, True)) for u in graph}
    for reader in speaking:
        found = []
        for u, data in graph.pred[reader].items():
            same_round = _in_same_round(phase, u, reader, data, speaking_place)
            found.append(Edge(u, _view(phase, data), same_round) if data else shared[u][same_round])
        if phase.spec.hear_own:
            found.append(shared[reader][False])
        found.sort(key=lambda edge: reading_place.get(edge.sender, -1))
        edges[reader] = tuple(found)
    readers = {
        name: tuple(sorted((v for v in graph.successors(name) if v in reading_place), key=reading_place.__getitem__))
        for name in speaking
    }
    return RoundPlan(speaking, reading, edges, readers)


def _reading_order(phase: PhasePlan, graph: nx.DiGraph[str], number: int, seed: int) -> tuple[str, ...]:
    """Return the speakers of the round in the phase's `order`. Readers and helpers see messages in this order."""
    present = [name for name in phase.speakers if name in graph]
    if phase.spec.order == "reversed":
        present.reverse()
    if phase.spec.order == "shuffled":
        random.Random(derive_seed(seed, phase.name, number, "order")).shuffle(present)
    return tuple(present)


def _speaking_order(phase: PhasePlan, graph: nx.DiGraph[str], reading: tuple[str, ...]) -> tuple[str, ...]:
    """Return the same speakers in speaking order: in a topological phase, each after the agents that it reads."""
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
class Transcript:
    """The turns of one debate: for each agent, in speaking order, with the number of the phase's step and the round."""

    turns: dict[str, list[tuple[int, int, Turn]]] = field(default_factory=dict)
    open_thoughts: set[TurnId] = field(default_factory=set)
    """Turns of agents whose thoughts the readers of their full text see (`thinking.show`)."""
    _speaker_turns: dict[str, list[Turn]] = field(default_factory=dict)

    def add(self, step: int, number: int, turn: Turn, helping: bool = False) -> None:
        """Add a turn of the phase that took place as number `step`, in its round `number`.

        `helping`: the agent spoke as moderator, ranker or summarizer, so its turn does not answer the question.
        """
        self.turns.setdefault(turn.id.agent, []).append((step, number, turn))
        if not helping:
            self._speaker_turns.setdefault(turn.id.agent, []).append(turn)

    def window(self, agent: str, step: int, number: int, size: int) -> list[Turn]:
        """Return the agent's last `size` turns up to this step and round that are shown, oldest first."""
        found: list[Turn] = []
        for s, r, turn in reversed(self.turns.get(agent, ())):
            if (s < step or (s == step and r <= number)) and turn.is_shown:
                found.append(turn)
                if len(found) == size:
                    break
        return found[::-1]

    def read_by(self, agent: str) -> set[TurnId]:
        """Return the turns that an agent has read, itself or in a summary."""
        found = {source for turn in self.turns_of(agent) for source in turn.reads}
        scribes = {source.agent for source in found if "/" in source.agent}
        shown = [turn for name in scribes for turn in self.turns_of(name) if turn.id in found]
        found.update(source for turn in shown for source in turn.reads)
        return found

    def turns_of(self, agent: str) -> list[Turn]:
        """Return all turns of an agent, including failed ones."""
        return [turn for _, _, turn in self.turns.get(agent, ())]

    def turns_in_order(self, agents: Iterable[str]) -> list[Turn]:
        """Return all turns of several agents by round, including failed ones; in a round, in the order of `agents`."""
        entries = [entry for agent in agents for entry in self.turns.get(agent, ())]
        return [turn for *_, turn in sorted(entries, key=lambda entry: entry[:2])]

    def last(self) -> TurnId:
        """Return the identity of a turn of the last round."""
        return max((spoken[-1] for spoken in self.turns.values()), key=lambda entry: entry[:2])[2].id

    def speaking(self) -> Iterator[Turn]:
        """Yield every turn of a speaker, by agent."""
        return (turn for turns in self._speaker_turns.values() for turn in turns)

    def turn_ids(self) -> Iterator[TurnId]:
        """Yield the identity of every turn, including failed ones."""
        return (turn.id for turns in self.turns.values() for _, _, turn in turns)

    def speaker_turns(self, agent: str) -> list[Turn]:
        """Return the agent's turns as a speaker, including failed ones; all its turns if it only helped."""
        return self._speaker_turns.get(agent) or self.turns_of(agent)

    def last_speaker_turn(self, agent: str) -> Turn | None:
        """Return the last of `speaker_turns`, or None."""
        turns = self.speaker_turns(agent)
        return turns[-1] if turns else None

    def last_turn(self, agent: str) -> Turn | None:
        """Return the agent's last turn, failed or not, or None."""
        turns = self.turns.get(agent)
        return turns[-1][2] if turns else None


@dataclass(frozen=True, slots=True)
class Delivery:
    """The messages of a reader's turn: those shown as they are, and those shown in a summary."""

    messages: tuple[Message, ...]
    to_summarize: tuple[Message, ...]

    @property
    def sources(self) -> tuple[TurnId, ...]:
        """The turns that the messages come from."""
        return tuple([message.source for message in (*self.messages, *self.to_summarize)])


def deliver(
    edges: Iterable[Edge], transcript: Transcript, phase: PhasePlan, step: int, reader: TurnId, same: Same, seed: int
) -> Delivery:
    """Return the messages of the reader's turn in reading order, after windows, gates and the cap.

    `step` is the number of phases that took place, this one included.
    """
    own = transcript.last_speaker_turn(reader.agent)
    read: set[TurnId] | None = None
    arrived: list[tuple[Edge, Turn]] = []
    for edge in edges:
        if edge.view.show == "nothing":
            continue
        number = reader.round if edge.same_round else reader.round - 1
        turns = transcript.window(edge.sender, step, number, edge.view.window)
        if edge.view.unread:
            read = transcript.read_by(reader.agent) if read is None else read
            turns = [turn for turn in turns if turn.id not in read]
        for turn in turns:
            if not edge.view.gate or _passes(edge, turn, own, [before for _, before in arrived], same, reader):
                arrived.append((edge, turn))
    if phase.spec.cap is not None and len(arrived) > phase.spec.cap:
        arrived = _capped(arrived, phase.spec.cap, derive_seed(seed, "cap", *_parts(reader)))
    labels, open_thoughts = _labels([edge for edge, _ in arrived]), transcript.open_thoughts
    messages: list[Message] = []
    to_summarize: list[Message] = []
    for edge, turn in arrived:
        shown = to_summarize if edge.view.show == "summary" else messages
        shown.append(_message(edge, turn, labels, bool(open_thoughts) and turn.id in open_thoughts))
    return Delivery(tuple(messages), tuple(to_summarize))


def _passes(edge: Edge, turn: Turn, own: Turn | None, before: Sequence[Turn], same: Same, reader: TurnId) -> bool:
    """Return whether every gate of the edge lets this turn through to the reader. `before`: turns that passed."""
    for gate in edge.view.gate:
        method = "passes"
        try:
            if not gate.passes(turn, own, same):
                return False
            method = "repeats"
            if gate.repeats(turn, before, same):
                return False
        except SocietyError:
            raise
        except Exception as error:
            place = f"on the question {reader.item!r}, in phase {reader.phase!r}, round {reader.round}"
            fault = f"raised {describe_error(error)}"
            raise component_error(gate, method, fault, f"{place}, agent {reader.agent!r}") from error
    return True


def _parts(turn: TurnId) -> list[object]:
    return [turn.iteration, turn.item, turn.phase, turn.round, turn.agent, turn.sample]


def _capped(arrived: list[tuple[Edge, Turn]], cap: int, seed: int) -> list[tuple[Edge, Turn]]:
    chosen = sorted(random.Random(seed).sample(range(len(arrived)), cap))
    return [arrived[i] for i in chosen]


def _labels(edges: Sequence[Edge]) -> dict[str, str]:
    """Return labels for the senders of anonymous edges, by their place among all senders."""
    hidden = {edge.sender for edge in edges if edge.view.anonymous}
    if not hidden:
        return {}
    senders = dict.fromkeys(edge.sender for edge in edges)
    return {sender: f"Agent {i}" for i, sender in enumerate(senders, 1) if sender in hidden}


def _message(edge: Edge, turn: Turn, labels: Mapping[str, str], open_thought: bool) -> Message:
    show = "thought" if edge.view.show == "full" and open_thought else edge.view.show
    text = (turn.answer or NO_ANSWER) if show == "answer" else turn.text
    if show == "thought" and turn.thought:
        text = f"{turn.thought}\n\n{turn.text}"
    return Message(
        labels.get(edge.sender, edge.sender),
        text,
        turn.answer,
        turn.id.round,
        turn.confidence,
        turn.id,
        edge.view.weight,
    )


def last_turns(transcript: Transcript, agents: Iterable[str]) -> Delivery:
    """Return the last turn of each agent in full, for a moderator or a ranker."""
    turns = (turn for agent in agents if (turn := transcript.last_turn(agent)) is not None)
    return Delivery(tuple(as_messages(turns)), ())


def as_messages(turns: Iterable[Turn], sender: str = "") -> list[Message]:
    """Return the turns that can be shown as messages in full. `sender`: shown instead of the agents' names."""
    shown = (turn for turn in turns if turn.is_shown)
    return [Message(sender or t.id.agent, t.text, t.answer, t.id.round, t.confidence, t.id) for t in shown]


def check_round(plan: RoundPlan, phase: PhasePlan) -> None:
    """Raise `InputError` if agents wait for each other: edges read in the same round must not form a cycle."""
    import networkx as nx

    waits = _waits(plan)
    if not nx.is_directed_acyclic_graph(waits):
        cycle = " -> ".join(u for u, _ in nx.find_cycle(waits))
        raise InputError(
            f"In phase {phase.name!r} agents wait for each other in a circle: {cycle}.",
            "Remove an edge: edges read in the same round (a topological schedule, `within`) must not form a cycle.",
        )


def order_turns(plan: RoundPlan) -> tuple[str, ...]:
    """Return the speakers in speaking order, but each after those whose turns of the same round it reads."""
    import networkx as nx

    place = {name: i for i, name in enumerate(plan.speakers)}
    return tuple(nx.lexicographical_topological_sort(_waits(plan), key=place.__getitem__))


def _waits(plan: RoundPlan) -> nx.DiGraph[str]:
    """Return the graph of the speakers with the edges along which a reader waits for a turn of the same round."""
    import networkx as nx

    waits: nx.DiGraph[str] = nx.DiGraph()
    waits.add_nodes_from(plan.speakers)
    waits.add_edges_from((e.sender, reader) for reader, edges in plan.edges.items() for e in edges if e.same_round)
    return waits
