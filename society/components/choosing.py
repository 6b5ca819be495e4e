"""Controllers by which models choose: whom an agent hears, which messages are kept, and who speaks.

A choice is unclear if it names no agent, or more than `most`. A remark then says what happened instead, and the results
count such replies as those of a moderator that names no speaker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from society.answers.agent_names import TOO_MANY, UNCLEAR_CHOICE, find_names
from society.answers.message_numbers import read_numbers
from society.components.controllers import ControlContext, Controller, number_options
from society.components.facts import PhaseFacts, Reasons, listing
from society.core.component import AgentName, RoleName
from society.core.types import Turn

if TYPE_CHECKING:
    import networkx as nx


class Choose(Controller):
    """Before each round, each agent chooses whom it hears among the speakers that its topology lets it read.

    The agent takes a turn with the prompt of `role`, in which `heard` has the last message of each of these speakers.
    It hears those that its reply names. If it names none, it hears all; if it names more than `most`, the first ones.
    Agents in `reads` of the phase are always heard.
    """

    only_removes: ClassVar[bool] = True
    restores: ClassVar[bool] = True
    kind: Literal["choose"] = "choose"
    role: RoleName
    """Role whose prompt asks for the names."""
    most: int | None = Field(None, ge=1)
    """Maximum number of agents that an agent hears. By default there is no maximum."""

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        chosen = context.restored(graph)
        readers = [name for name in context.speakers if name in chosen]
        heard = await asyncio.gather(*(self._choose(name, chosen, context) for name in readers))
        for reader, (offered, kept) in zip(readers, heard, strict=True):
            chosen.remove_edges_from([(sender, reader) for sender in offered if sender not in kept])
        return chosen

    async def _choose(
        self, reader: str, graph: nx.DiGraph[str], context: ControlContext
    ) -> tuple[Sequence[str], Sequence[str]]:
        """Return the senders that an agent may hear, and those that it chose."""
        spoke = context.latest(name for name in context.speakers if graph.has_edge(name, reader))
        offered = [name for name, turn in spoke.items() if turn.is_shown]
        if len(offered) < 2:
            return (), ()
        turn = await context.ask_as(reader, self.role, tuple(offered))
        named = find_names(turn.text, offered)
        kept = named[: self.most] or offered
        _remark(turn, named, self.most, f"it hears {', '.join(kept)}", context)
        return offered, kept

    def idle(self, facts: PhaseFacts) -> Reasons:
        if facts.rounds == 1 and not facts.spoken_before:
            return {"": "has no effect: nobody has spoken before the only round; set `rounds: 2` or more"}
        if len(facts.speakers) < 3:
            return {"": f"has no effect: {len(facts.speakers)} speak in this phase, so nobody has a choice; add agents"}
        if found := facts.keeps_edges():
            return found
        if self.most is not None and self.most >= len(facts.speakers) - 1:
            return {"most": f"has no effect: an agent has at most {len(facts.speakers) - 1} senders; lower it"}
        return {}


class Retain(Controller):
    """Before each round after the first, an agent chooses the messages that all agents hear.

    It reads the last message of each speaker, numbered from 1, and answers with the numbers of those to keep. A
    reader hears the kept messages that its topology lets it read. If the agent names none, all are kept; if it names
    more than `most`, the first ones.
    """

    only_removes: ClassVar[bool] = True
    restores: ClassVar[bool] = True
    kind: Literal["retain"] = "retain"
    filter: AgentName
    """The agent that chooses; it does not speak otherwise."""
    most: int | None = Field(None, ge=1)
    """Maximum number of messages that are kept. By default there is no maximum."""

    def asks(self, rounds: int) -> int:
        return rounds - 1

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        if context.state is None:
            return graph
        kept = context.restored(graph)
        shown = [name for name, turn in context.present.items() if turn.is_shown]
        turn = await context.ask(self.filter, options=number_options(shown))
        named = list(dict.fromkeys(shown[i] for i in read_numbers(turn.text, len(shown))))
        chosen = named[: self.most] or shown
        _remark(turn, named, self.most, f"{', '.join(chosen)} are heard", context)
        kept.remove_edges_from([(u, v) for u, v in kept.edges if u in context.speakers and u not in chosen])
        return kept

    def idle(self, facts: PhaseFacts) -> Reasons:
        if facts.rounds == 1:
            return {"": "has no effect: messages are chosen before the second round; set `rounds: 2` or more"}
        if found := facts.keeps_edges():
            return found
        if self.most is not None and self.most >= len(facts.speakers):
            return {"most": f"has no effect: {len(facts.speakers)} speak in this phase; lower it"}
        return {}


class Route(Controller):
    """Before the first round, a router names the agents that speak. The others leave the debate, and have no vote.

    The router's prompt has the question and, as `agents`, the names of the speakers. If it names none, all speak; if it
    names more than `most`, the first ones.
    """

    only_removes: ClassVar[bool] = True
    shows_messages: ClassVar[bool] = False
    asks_before: ClassVar[bool] = True
    kind: Literal["route"] = "route"
    router: AgentName
    """The agent that names the speakers; it does not speak otherwise."""
    most: int | None = Field(None, ge=1)
    """Maximum number of agents that speak. By default there is no maximum."""
    scope: Literal["debate", "phase"] = "debate"
    """Part of the debate in which the other agents do not speak. With `phase`, they speak in later phases."""

    async def next_graph(self, graph: nx.DiGraph[str], context: ControlContext) -> nx.DiGraph[str]:
        if context.state is not None:
            return graph
        speakers = [name for name in context.speakers if name in graph]
        turn = await context.ask(self.router, options=tuple(speakers))
        named = find_names(turn.text, speakers)
        kept = named[: self.most] or speakers
        _remark(turn, named, self.most, f"{', '.join(kept)} may speak", context)
        others = [name for name in speakers if name not in kept]
        for name in others if self.scope == "debate" else ():
            context.leave(name)
        routed = graph.copy()
        routed.remove_nodes_from(others)
        return routed

    def idle(self, facts: PhaseFacts) -> Reasons:
        if len(facts.speakers) < 2:
            return {"": "has no effect: one agent speaks in this phase; add agents"}
        if self.most is not None and self.most >= len(facts.speakers):
            return {"most": f"has no effect: {len(facts.speakers)} speak in this phase; lower it"}
        if self.scope == "phase" and facts.only_here:
            why = f"leaves {listing(sorted(facts.only_here))} without an answer where the router does not name it"
            return {
                "scope": f"{why}, and that counts as a failed vote; remove `scope`, or let it speak in another phase"
            }
        return {}


def _remark(turn: Turn, named: Sequence[str], most: int | None, then: str, context: ControlContext) -> None:
    """Store a remark with a turn whose choice is unclear."""
    if turn.status == "ok" and not (named and (most is None or len(named) <= most)):
        cause = f"{TOO_MANY} ({', '.join(named)}; at most {most} may be)" if named else UNCLEAR_CHOICE
        context.annotate(turn, f"{cause}: {then}.")
