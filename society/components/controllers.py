"""Controllers change the graph of a phase from round to round: resample it, drop edges, prune agents, pair winners."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from society.answers.message_numbers import read_numbers
from society.components.facts import PhaseFacts, Reasons
from society.core.component import AgentName, Component
from society.core.types import Past, RoundState, Turn

if TYPE_CHECKING:
    import networkx as nx

CONTROLLERS = {
    "resample": "society.components.controllers:Resample",
    "drop": "society.components.controllers:Drop",
    "prune": "society.components.controllers:Prune",
    "bracket": "society.components.controllers:Bracket",
    "retain": "society.components.choosing:Retain",
    "choose": "society.components.choosing:Choose",
    "route": "society.components.choosing:Route",
    "track_record": "society.components.track_record:TrackRecord",
}
"""The built-in graph controllers by kind."""


def number_options(messages: Sequence[str]) -> tuple[str, ...]:
    """Return the numbers of messages, from 1, as the options of a reply."""
    return tuple(map(str, range(1, len(messages) + 1)))


async def _ask_nobody(agent: str, role: str, about: tuple[str, ...]) -> Turn:
    raise NotImplementedError(f"nobody can ask {agent!r} here")


@dataclass(frozen=True, slots=True)
class ControlContext:
    """The state of a phase before a round, as a controller sees it."""

    state: RoundState | None
    """The rounds so far; None before the first."""
    round: int
    """The number of the next round, from 1."""
    declared: nx.DiGraph[str]
    """The last drawn graph, of the phase or of a controller with `redraws`, with the edges that were left out."""
    seed: int
    """A seed for this controller, question and round."""
    redraw: Callable[[int], nx.DiGraph[str]]
    """Draws the phase's topology again with a seed."""
    ask: Callable[..., Awaitable[Turn]]
    """Asks an agent for a turn about the latest messages: `await ask(helper)`, or `await ask(helper, about=agents)` for
    those of some agents only. A helper has one turn a round about the same agents, or with `again=2` a second one.
    `options=names` are the names or numbers among which the reply should choose: a person is shown them."""
    leave: Callable[[str], None] = lambda agent: None
    """Takes an agent out of the rest of the debate, later phases included."""
    annotate: Callable[[Turn, str], None] = lambda turn, text: None
    """Stores a note with a turn."""
    speakers: tuple[str, ...] = ()
    """The speakers of the phase, in their order."""
    latest: Callable[[Iterable[str]], Mapping[str, Turn]] = lambda names: {}
    """Returns the last turn of each of these agents that has spoken, in this phase or before."""
    ask_as: Callable[[str, str, tuple[str, ...]], Awaitable[Turn]] = _ask_nobody
    """Asks a speaker for a turn beside its answers: `await ask_as(agent, role, about)`. The turn has the prompt of a
    role, and reads the last turns of the agents `about`. An agent has one such turn before each round."""
    earlier: Sequence[Past] = ()
    """The earlier questions of the run, for a controller with `reads_earlier`."""
    weight: float = 1.0
    """Weight of the edges without a weight of their own."""
    first: bool = True
    """Whether no controller before this one has left out edges in this round."""
    left: Container[str] = ()
    """Agents that left the debate by a leave rule: they have no more turns, and `ask` does not show their messages."""

    @property
    def present(self) -> Mapping[str, Turn]:
        """The latest turns of the agents that did not leave the debate, in reading order; none before round 1."""
        latest = {} if self.state is None else self.state.latest
        return {name: turn for name, turn in latest.items() if name not in self.left}

    def restored(self, graph: nx.DiGraph[str]) -> nx.DiGraph[str]:
        """Return a copy of the graph in which edges that earlier rounds left out are back, without agents that left.

        Edges that another controller left out in this round stay out.
        """
        kept = self.declared.copy() if self.first else graph.copy()
        kept.remove_nodes_from([name for name in kept if name not in graph or name in self.left])
        return kept


class Controller(Component, ABC):
    """An entry of a phase's `controllers:`. Before every round, the controllers are applied one after the other."""

    redraws: ClassVar[bool] = False
    """Whether the returned graph ignores the edges of the given graph and keeps only its nodes."""
    shows_messages: ClassVar[bool] = True
    """Whether its helpers are shown messages."""
    asks_before: ClassVar[bool] = False
    """Whether its helpers are asked before the first round, and not after a round."""
    about_some: ClassVar[bool] = False
    """Whether its helpers are asked about some agents only (`ask(helper, about=agents)`). Such turns are separate:
    they are no votes, and nobody reads them."""
    restores: ClassVar[bool] = False
    """Whether edges that the controller leaves out are back in the next round."""
    only_removes: ClassVar[bool] = False
    """Whether every edge of the returned graph is an edge of the phase's own graph."""

    @abstractmethod
    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        """Return the graph of the next round, made from the current one. An agent without a node is silent."""

    def reads_earlier(self) -> bool:
        """Return whether `next_graph` uses the earlier questions. They are then debated one after another."""
        return False

    def helpers(self) -> dict[str, str]:
        """Return the agents that `next_graph` asks for turns, by the field that names each.

        A helper speaks only when it is asked. By default, every field of type `AgentName` names a helper.
        """
        return {found.field: found.names[0] for found in self.agent_fields() if found.single}

    def asks(self, rounds: int) -> int:
        """Return the maximum number of turns of a helper, about the same agents, in a phase with these rounds."""
        return 1

    def idle(self, facts: PhaseFacts) -> Reasons:
        """Return why the controller can change nothing in this phase."""
        return {}

    def remarks(self, questions: int, scored: int) -> Iterator[str]:
        """Yield why it can change nothing with these numbers of questions, and of those with a true answer."""
        return iter(())


class Resample(Controller):
    """Draws the phase's random topology again for every round; agents that were pruned stay silent."""

    redraws: ClassVar[bool] = True
    kind: Literal["resample"] = "resample"

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        drawn = context.redraw(context.seed)
        drawn.remove_nodes_from([name for name in drawn if name not in graph])
        return drawn

    def idle(self, facts: PhaseFacts) -> Reasons:
        if facts.random or facts.changed:
            return {}
        return {"": "has no effect: every draw of this topology is the same graph; take a random one, or remove it"}


class Drop(Controller):
    """Leaves out each edge of the phase's graph with probability `p`, drawn again for every round."""

    only_removes: ClassVar[bool] = True
    restores: ClassVar[bool] = True
    kind: Literal["drop"] = "drop"
    p: float = Field(ge=0, le=1)
    """Probability that an edge is left out of a round."""

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        draw = random.Random(context.seed)
        thinned = graph.copy()
        if context.first:  # edges that an earlier round left out may return
            thinned.add_edges_from(e for e in context.declared.edges(data=True) if e[0] in graph and e[1] in graph)
        thinned.remove_edges_from([edge for edge in list(thinned.edges) if draw.random() < self.p])
        return thinned

    def idle(self, facts: PhaseFacts) -> Reasons:
        if self.p == 0:
            return {"p": "0 leaves out nothing; raise it, or leave the controller out"}
        return facts.keeps_edges()


class Prune(Controller):
    """After round `after`, a ranker ranks the round's messages. Only the authors of the best ones speak on.

    The others leave the debate: they do not speak in later phases either, and nobody reads them.

    The ranker is shown the messages numbered from 1 and answers with numbers, best first (DyLAN). If it names fewer
    than `keep`, more agents are kept in declared order. If it names none, nobody is pruned.
    """

    only_removes: ClassVar[bool] = True
    kind: Literal["prune"] = "prune"
    ranker: AgentName
    """The agent that ranks; it does not speak otherwise."""
    keep: int = Field(ge=1)
    """Number of speakers that speak on."""
    after: int = Field(1, ge=1)
    """The round after which the ranker ranks."""

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        if context.state is None or context.round != self.after + 1:
            return graph
        speakers = list(context.present)
        shown = [name for name, turn in context.present.items() if turn.is_shown]
        turn = await context.ask(self.ranker, options=number_options(shown))
        ranked = [shown[i] for i in read_numbers(turn.text, len(shown))]
        if not ranked:
            return graph
        kept = set([*ranked, *(s for s in speakers if s not in ranked)][: self.keep])
        pruned = graph.copy()
        for speaker in speakers:
            if speaker not in kept and speaker in pruned:
                context.leave(speaker)
                pruned.remove_node(speaker)
        return pruned

    def idle(self, facts: PhaseFacts) -> Reasons:
        if self.after >= facts.rounds:
            why = f"there is no round after round {self.after} in a phase of {facts.rounds}"
            return {"after": f"nobody is pruned: {why}; lower it, or raise `rounds`"}
        if self.keep >= len(facts.speakers):
            return {"keep": f"nobody is pruned: {len(facts.speakers)} speak in this phase; lower it"}
        return {}


class Bracket(Controller):
    """A knockout tournament: agents meet in pairs that read each other, and winners meet winners.

    After `rounds` rounds the judge reads both last messages of each pair, numbered 1 and 2, and answers with the number
    of the better one. The other agent leaves the debate. Without a judge, the agent with the higher confidence wins. If
    the judge names none, or the confidences are equal, the first of the two wins. An agent without a partner goes on.
    The phase ends when one agent is left. The edges of the phase's topology are not used.

    With several `comparisons` of a pair, the winner of most goes on (knockout, Chen et al. 2024, arXiv 2411.19477).
    """

    redraws: ClassVar[bool] = True
    about_some: ClassVar[bool] = True
    kind: Literal["bracket"] = "bracket"
    judge: AgentName = ""
    """The agent that chooses the winners; it does not speak otherwise. By default confidences decide."""
    rounds: int = Field(1, ge=1)
    """Number of rounds before a winner is chosen."""
    comparisons: int = Field(1, ge=1, le=100)
    """Number of comparisons of each pair by the judge, with the messages in both orders in turn."""
    shuffle: bool = False
    """Pair the agents of the first matches at random instead of in declared order."""

    def asks(self, rounds: int) -> int:
        return max((rounds - 1) // self.rounds, 1)  # an agent that wins is compared in each match

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        if context.state is not None and (context.round - 1) % self.rounds:
            return _pairs(list(graph))  # with the edges that later controllers left out of the round before
        left = list(graph)
        if context.state is None:
            if self.shuffle:
                random.Random(context.seed).shuffle(left)
        else:
            matches = list(zip(left[::2], left[1::2], strict=False))
            losers = await asyncio.gather(*(self._loser(pair, context) for pair in matches))
            for name in losers:
                context.leave(name)
                left.remove(name)
        return _pairs(left)

    async def _loser(self, pair: tuple[str, str], context: ControlContext) -> str:
        assert context.state is not None
        first, second = (context.state.latest.get(name) for name in pair)
        if first is None or not first.is_shown:
            return pair[0] if second is not None and second.is_shown else pair[1]
        if second is None or not second.is_shown:
            return pair[1]
        if not self.judge:
            return pair[0] if (second.confidence or 0) > (first.confidence or 0) else pair[1]
        winners = await asyncio.gather(*(self._compare(pair, number, context) for number in range(self.comparisons)))
        return pair[0] if winners.count(pair[1]) > winners.count(pair[0]) else pair[1]

    async def _compare(self, pair: tuple[str, str], number: int, context: ControlContext) -> str | None:
        """Return the winner of a comparison, counted from 0; None if the judge names none."""
        shown = pair if number % 2 == 0 else (pair[1], pair[0])
        turn = await context.ask(self.judge, about=shown, options=number_options(shown), again=number // 2 + 1)
        named = read_numbers(turn.text, 2)
        if not named and turn.status == "ok":
            then = f"{pair[0]} goes on, as the first of the two" if self.comparisons == 1 else "it counts for none"
            context.annotate(turn, f"Neither message is named: {then}.")
        return shown[named[0]] if named else None

    def idle(self, facts: PhaseFacts) -> Reasons:
        matches = (len(facts.speakers) - 1).bit_length()
        needed = matches * self.rounds + 1
        if len(facts.speakers) == 1:
            return {"": "has no effect: one agent has nobody to meet; add agents"}
        if not self.judge and not facts.confident:
            why = "no speaker has a confidence, so the first of each pair wins"
            return {"": f"{why}; set `confidence: stated` in the speakers' role, or name a `judge`"}
        if not self.judge and self.comparisons > 1:
            return {"comparisons": "has no effect: confidences decide, and they do not change; name a `judge`"}
        if facts.rounds < needed:
            why = f"the last winner is chosen before round {needed}, but the phase has {facts.rounds} rounds"
            return {"": f"does not finish: {why}; raise `rounds`"}
        return {}


def _pairs(agents: list[str]) -> nx.DiGraph[str]:
    """Return the graph in which each two agents in a row read each other. It is empty if one agent is left."""
    import networkx as nx

    graph: nx.DiGraph[str] = nx.DiGraph()
    if len(agents) > 1:
        graph.add_nodes_from(agents)
        for u, v in zip(agents[::2], agents[1::2], strict=False):
            graph.add_edges_from([(u, v), (v, u)])
    return graph
