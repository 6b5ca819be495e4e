"""One debate on one question: the phases in order, and each agent as soon as the turns that it reads are finished.

Within a phase there is no barrier: an agent starts its next round as soon as the turns that it reads are finished.
Only a phase with rules for stopping, leaving or single turns, with controllers or a moderator, waits for each round.
Rounds are numbered on when a phase is repeated, so (phase, round) names each round of a debate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from society.answers.agent_names import UNCLEAR, find_names
from society.components.controllers import ControlContext
from society.components.decisions.base import vote_of
from society.components.faults import faults_of
from society.core.results import require_decision, require_graph
from society.core.types import Ballot, Decision, Past, Turn
from society.scenario.expand import Block, PhasePlan, Society
from society.simulation.reading import RoundPlan, check_round, last_turns, order_turns, plan_round
from society.simulation.rules import Scope, find_end, holds
from society.simulation.turns import Turns

if TYPE_CHECKING:
    import networkx as nx


@dataclass
class Debate:
    """The state of one question's debate."""

    society: Society
    turns: Turns
    plans: Mapping[str, RoundPlan]
    """The round plans of phases in which all rounds have the same plan."""
    earlier: Sequence[Past] = ()
    """The earlier questions, where a controller uses them."""
    _steps: list[PhasePlan] = field(default_factory=list)
    """The phases that took place, in order; a repeated phase occurs several times."""
    _last: PhasePlan | None = None
    """The last phase whose condition held. Nobody may be left that speaks in it."""
    _left: set[str] = field(default_factory=set)
    """Agents that left by a leave rule: their last answers stand."""
    _removed: set[str] = field(default_factory=set)
    """Agents that a controller took out of the debate."""
    _read: RoundPlan | None = None
    """The plan of the last round with edges."""
    _graphs: dict[str, nx.DiGraph[str]] = field(default_factory=dict)
    """The graphs of phases without a plan of their own in `plans`."""
    _waiting: dict[tuple[int, str], asyncio.Future[None]] = field(default_factory=dict)
    _finished: set[tuple[int, str]] = field(default_factory=set)

    async def run(self) -> Decision:
        """Run every block of phases, and return the decision."""
        for block in self.society.blocks:
            if await self._run_block(block) == "debate":
                break
        return self._decide()

    async def _run_block(self, block: Block) -> Scope:
        """Run the phases of a block until its repetitions end. Return what has ended: "debate" or less."""
        states: list[dict[str, Turn]] = []
        for repetition in range(block.times):
            for phase in block.phases:
                ended = await self._run_phase(phase, repetition * phase.spec.rounds)
                if ended in ("block", "debate"):
                    return ended
            if block.until:
                states.append(self._standing())
                place = f"on the question {self.turns.item.id!r}, after repetition {repetition + 1} of the block"
                if holds(block.until, self.turns.state(states), place):
                    break
        return ""

    async def _run_phase(self, phase: PhasePlan, done: int) -> Scope:
        """Run a phase if it takes place. `done`: its rounds in earlier repetitions. Return what a stop rule ended."""
        if phase.spec.when and not holds(
            phase.spec.when, self.turns.state([self._standing()]), self.turns.place(phase, done + 1)
        ):
            return ""
        self._last = phase
        self.turns.candidates = self.turns.find_candidates(self._spoke(removed=True))
        if not self._present(phase):
            return ""
        self._steps.append(phase)
        self.turns.step = len(self._steps)
        self._waiting.clear()
        self._finished.clear()
        rounds = range(done + 1, done + phase.spec.rounds + 1)
        if phase.spec.schedule == "moderated":
            return await self._moderated(phase, rounds)
        if phase.in_rounds:
            return await self._round_by_round(phase, rounds)
        await self._run_rounds(phase, {number: self._plan(phase, number) for number in rounds})
        return ""

    def _graph(self, phase: PhasePlan) -> nx.DiGraph[str]:
        """Return the graph that the phase has in this debate. It must not be changed."""
        if phase.name not in self._graphs:
            self._graphs[phase.name] = phase.graph(question=self.turns.item.id, sample=self.turns.sample)
        return self._graphs[phase.name]

    def _present(self, phase: PhasePlan) -> tuple[str, ...]:
        """Return the speakers of a phase that are still in the debate."""
        if not self._left and not self._removed:
            return phase.speakers
        return tuple(name for name in phase.speakers if name not in self._left and name not in self._removed)

    def _standing(self) -> dict[str, Turn]:
        """Return the last turn of each agent that spoke in a phase so far, without those that were taken out."""
        return self.turns.latest(self._spoke())

    def _spoke(self, removed: bool = False) -> list[str]:
        """Return the agents that spoke in a phase so far, in their order. `removed`: also those taken out."""
        spoke = {name for phase in self._steps for name in phase.speakers}
        return [name for name in self.society.agents if name in spoke and (removed or name not in self._removed)]

    def _plan(self, phase: PhasePlan, number: int, graph: nx.DiGraph[str] | None = None) -> RoundPlan:
        """Return the plan of a round over this graph, or over the phase's own graph, without absent agents."""
        present = self._present(phase)
        complete = len(present) == len(phase.speakers)
        if graph is None and complete and not self._removed and phase.name in self.plans:
            return self._remember(self.plans[phase.name])
        graph = self._graph(phase) if graph is None else graph
        if not complete:
            absent = set(phase.speakers) - set(present)
            graph = graph.subgraph([name for name in graph if name not in absent])
        if self._removed:
            graph = graph.subgraph([name for name in graph if name not in self._removed])
        plan = plan_round(phase, graph, number, self.turns.seed(phase, number, "order"))
        check_round(plan, phase)
        return self._remember(plan)

    def _remember(self, plan: RoundPlan) -> RoundPlan:
        """Return the plan, after storing it for the weights of votes if it has edges."""
        if any(plan.readers.values()):
            self._read = plan
        return plan

    async def _run_rounds(self, phase: PhasePlan, plans: Mapping[int, RoundPlan], silent: Collection[str] = ()) -> None:
        """Run these rounds with one coroutine per speaker. `silent`: agents without a turn in them."""
        speakers = dict.fromkeys(name for plan in plans.values() for name in plan.speakers)
        if len(speakers) == 1:
            await self._run_speaker(phase, next(iter(speakers)), plans, silent)
            return
        async with asyncio.TaskGroup() as group:
            for name in speakers:
                group.create_task(self._run_speaker(phase, name, plans, silent))

    async def _run_speaker(
        self, phase: PhasePlan, name: str, plans: Mapping[int, RoundPlan], silent: Collection[str] = ()
    ) -> None:
        """Run one agent's turns of these rounds, each after the turns that it reads."""
        for number, plan in plans.items():
            if name not in plan.edges:
                continue
            for edge in plan.edges[name]:
                place = (number if edge.same_round else number - 1, edge.sender)
                if place not in self._finished:
                    await self._wait_for(place, plans)
            if name not in silent:
                await self.turns.take(phase, number, name, plan)
            self._finished.add((number, name))
            if (waited := self._waiting.pop((number, name), None)) is not None:
                waited.set_result(None)

    async def _wait_for(self, place: tuple[int, str], plans: Mapping[int, RoundPlan]) -> None:
        number, sender = place
        if number not in plans or sender not in plans[number].edges:
            return
        if place not in self._waiting:
            self._waiting[place] = asyncio.get_running_loop().create_future()
        await self._waiting[place]

    async def _round_by_round(self, phase: PhasePlan, numbers: range) -> Scope:
        """Run a phase with a barrier after each round. Return what a stop rule ended."""
        graph = self._start_graph(phase) if phase.spec.controllers else None
        rounds: list[dict[str, Turn]] = []
        for number in numbers:
            if graph is not None:
                graph = await self._controlled(phase, graph, number, rounds)
            plan = self._plan(phase, number, graph)
            if not plan.speakers:
                return ""
            await self._run_round(phase, number, plan)
            rounds.append(self.turns.latest([*plan.reading, *(name for name in phase.speakers if name in self._left)]))
            self._let_leave(phase, plan.speakers, rounds, number)
            state = self.turns.state(rounds, ended=(phase.name, number))
            if ended := find_end(phase.spec.stop, state, self.turns.place(phase, number)):
                return ended
        return ""

    def _start_graph(self, phase: PhasePlan) -> nx.DiGraph[str]:
        """Return the graph of the phase without absent agents."""
        graph, present = self._graph(phase).copy(), set(self._present(phase))
        graph.remove_nodes_from([name for name in phase.speakers if name not in present])
        return graph

    async def _run_round(self, phase: PhasePlan, number: int, plan: RoundPlan) -> None:
        """Run one round, in which agents without a fulfilled condition are silent.

        Where agents read turns of the same round, they speak one by one, so that conditions see these turns.
        """
        if not any(phase.agents[name].when for name in plan.speakers):
            await self._run_rounds(phase, {number: plan})
        elif phase.spec.schedule == "simultaneous" and phase.spec.within is None:
            silent = [name for name in plan.speakers if not self._may_speak(phase, number, name)]
            await self._run_rounds(phase, {number: plan}, silent)
        else:
            for name in order_turns(plan):
                silent = [] if self._may_speak(phase, number, name) else [name]
                await self._run_speaker(phase, name, {number: plan}, silent)

    def _may_speak(self, phase: PhasePlan, number: int, name: str) -> bool:
        when = phase.agents[name].when
        return not when or holds(when, self.turns.state([self._standing()], name), self.turns.place(phase, number))

    def _let_leave(self, phase: PhasePlan, speakers: Iterable[str], rounds: list[dict[str, Turn]], number: int) -> None:
        """Take agents out of the debate by the phase's leave rules."""
        for name in speakers if phase.spec.leave else ():
            turns, place = self.turns.transcript.speaker_turns(name), self.turns.place(phase, number)
            for rule in phase.spec.leave if turns else ():
                with faults_of(rule, "leaves", place):
                    if rule.leaves(turns, self.turns.state(rounds)):
                        self._left.add(name)

    async def _controlled(
        self, phase: PhasePlan, graph: nx.DiGraph[str], number: int, rounds: list[dict[str, Turn]]
    ) -> nx.DiGraph[str]:
        """Return the graph of this round. Each controller changes the result of the one before it."""
        drawn = [self._graph(phase).copy()]

        def redraw(seed: int) -> nx.DiGraph[str]:
            drawn.append(phase.graph(seed, self.turns.item.id, self.turns.sample))
            return drawn[-1].copy()

        asked = number - 1 if rounds else number
        latest = tuple(name for name in rounds[-1] if name not in self._left) if rounds else ()
        first = True
        for i, controller in enumerate(phase.spec.controllers):
            context = ControlContext(
                state=self.turns.state(rounds) if rounds else None,
                round=(number - 1) % phase.spec.rounds + 1,
                declared=drawn[-1],
                seed=self.turns.seed(phase, number, f"controller {i}"),
                redraw=redraw,
                ask=partial(self.turns.ask, phase, asked, latest),
                leave=self._removed.add,
                annotate=lambda turn, text: self.turns.speaker.store.annotate(turn.id, text),
                speakers=phase.speakers,
                latest=self.turns.latest,
                ask_as=partial(self.turns.ask_as, phase, number),
                earlier=self.earlier,
                weight=phase.spec.edges.weight,
                first=first,
                left=self._left,
            )
            first = first and not controller.restores
            place = self.turns.place(phase, number)
            with faults_of(controller, "next_graph", place):
                graph = await controller.next_graph(graph, context)
                require_graph(graph, tuple(drawn[0]), may_drop=True)
            if controller.redraws:
                drawn.append(graph)
        return graph

    async def _moderated(self, phase: PhasePlan, numbers: range) -> Scope:
        """Run a moderated phase: in each round the moderator reads the last turns and names the speaker."""
        chair = phase.agents[phase.spec.moderator]
        rounds: list[dict[str, Turn]] = []
        for number in numbers:
            present = self._present(phase)
            if not present:
                return ""
            heard = last_turns(self.turns.transcript, present)
            turn = self.turns.identify(phase, number, chair.name)
            choice = await self.turns.speak(phase, turn, chair, heard, heard.sources, choices=present, helping=True)
            chosen = self._chosen(choice, present)
            await self.turns.take(phase, number, chosen, self._plan(phase, number))
            rounds.append(self.turns.latest(name for name in phase.speakers if name not in self._removed))
            self._let_leave(phase, [chosen], rounds, number)
            state = self.turns.state(rounds, ended=(phase.name, number))
            if ended := find_end(phase.spec.stop, state, self.turns.place(phase, number)):
                return ended
        return ""

    def _chosen(self, choice: Turn, speakers: tuple[str, ...]) -> str:
        """Return the speaker that the moderator names.

        If it names none or several, the speakers take turns, and a remark is stored with the moderator's turn.
        """
        named = find_names(choice.text, speakers)
        if len(named) == 1:
            return named[0]
        chosen = speakers[(choice.id.round - 1) % len(speakers)]
        if choice.status == "ok":
            several = f" but {', '.join(named)}" if named else ""
            self.turns.speaker.store.annotate(choice.id, f"{UNCLEAR}{several}: {chosen} speaks, as it is its turn.")
        return chosen

    def _decide(self) -> Decision:
        voters = self.society.voters
        if self.society.may_skip and self._steps and not self.society.scenario.decision.electorate():
            voters = self._steps[-1].speakers
        voters = tuple(name for name in voters if name not in self._removed)
        ballot = Ballot(
            votes=[vote_of(name, self.turns.transcript.last_speaker_turn(name)) for name in voters],
            history={name: self.turns.transcript.speaker_turns(name) for name in voters},
            candidates=self.turns.candidates,
            same=self.turns.same,
            seed=self.turns.decision_seed,
            weights=_weights(self._read) if self.society.scenario.decision.reads_weights else {},
            phase="" if self._last is None else self._last.name,
        )
        rule, place = self.society.scenario.decision, f"on the question {self.turns.item.id!r}"
        with faults_of(rule, "decide", place):
            decision = require_decision(rule.decide(ballot))
        return decision if voters == self.society.voters else replace(decision, voters=voters)


def _weights(plan: RoundPlan | None) -> dict[str, float]:
    """Return the sum of the weights of the edges from each agent to the other speakers of a round."""
    found: dict[str, float] = {}
    for reader, edges in plan.edges.items() if plan is not None else ():
        for edge in edges:
            if edge.sender != reader:  # `hear_own` shows an agent its own turns
                found[edge.sender] = found.get(edge.sender, 0.0) + edge.view.weight
    return found
