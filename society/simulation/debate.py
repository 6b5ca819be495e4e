"""One question, debated once: phases in order, rounds in time, each agent speaking when what it reads is said.

Within a phase there is no barrier: an agent goes on to its next round as soon as the turns it reads are there.
Only a phase that looks at whole rounds (stop rules, controllers, a moderator) waits for each round to end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from society.components.controllers import ControlContext
from society.components.decisions.base import vote_of
from society.components.faults import faults_of, guarded, returned
from society.components.stops import StopRule
from society.core.identity import derive_seed
from society.core.types import Ballot, Decision, Item, RoundState, Same, Turn, TurnId, Usage
from society.scenario.expand import AgentPlan, PhasePlan, Society
from society.simulation import prompts
from society.simulation.agent_names import UNCLEAR, find_names
from society.simulation.reading import Delivery, RoundPlan, Said, check_round, deliver, everything, plan_round
from society.simulation.speaker import Speaker

if TYPE_CHECKING:
    import networkx as nx

    from society.tasks.base import Task


@dataclass
class Debate:
    """The state of one question's debate."""

    society: Society
    task: Task
    speaker: Speaker
    item: Item
    iteration: int
    sample: int
    plans: Mapping[str, RoundPlan]  # the unchanging round plan of each phase that has one
    said: Said = field(default_factory=Said)
    usage: Usage = field(default_factory=Usage)
    spoken: int = 0
    _candidates: tuple[str, ...] = ()
    _waiting: dict[tuple[int, str], asyncio.Future[None]] = field(default_factory=dict)
    _finished: set[tuple[int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        place = f"on the question {self.item.id!r}"
        self.same: Same = guarded(self.task, self.task.same, place)
        self.correct = guarded(self.task, self.task.correct, place)

    async def run(self) -> Decision:
        """Play every phase and decide."""
        for phase in self.society.phases:
            answers = [self.said.stand(name) for name in self._speakers(phase.index)]
            self._candidates = prompts.candidates(answers, self.same)
            self._waiting.clear()
            self._finished.clear()
            await self._play(phase)
        return self._decide()

    def _speakers(self, before: int) -> list[str]:
        """The agents that speak in a phase before this one; not those that only help."""
        spoken = {name for phase in self.society.phases[:before] for name in phase.speakers}
        return [name for name in self.society.agents if name in spoken]

    async def _play(self, phase: PhasePlan) -> None:
        if phase.spec.schedule == "moderated":
            await self._moderated(phase)
        elif phase.spec.stop or phase.spec.controllers:
            await self._round_by_round(phase)
        else:
            rounds = range(1, phase.spec.rounds + 1)
            await self._rounds(phase, {number: self._plan(phase, number) for number in rounds})

    def _plan(self, phase: PhasePlan, number: int, graph: nx.DiGraph[str] | None = None) -> RoundPlan:
        """The plan of a round over this graph, or over the phase's own."""
        if graph is None and phase.name in self.plans:
            return self.plans[phase.name]
        graph = phase.graph() if graph is None else graph
        plan = plan_round(phase, graph, number, self._seed(phase, number, "order"))
        check_round(plan, phase)
        return plan

    async def _rounds(self, phase: PhasePlan, plans: Mapping[int, RoundPlan]) -> None:
        """Play these rounds: one coroutine per speaker, each going on as soon as it can."""
        speakers = dict.fromkeys(name for plan in plans.values() for name in plan.speakers)
        if len(speakers) == 1:
            await self._live(phase, next(iter(speakers)), plans)
            return
        async with asyncio.TaskGroup() as group:
            for name in speakers:
                group.create_task(self._live(phase, name, plans))

    async def _live(self, phase: PhasePlan, name: str, plans: Mapping[int, RoundPlan]) -> None:
        """One agent's part in these rounds."""
        for number, plan in plans.items():
            if name not in plan.edges:
                continue
            for edge in plan.edges[name]:
                place = (number if edge.same_round else number - 1, edge.sender)
                if place not in self._finished:
                    await self._wait_for(place, plans)
            await self._turn(phase, number, name, plan)
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

    async def _turn(self, phase: PhasePlan, number: int, name: str, plan: RoundPlan) -> Turn:
        """The agent's turn of this round; its latest one where it has nothing to read and the phase lets it rest."""
        turn = self._id(phase, number, name)
        delivery = deliver(plan.edges[name], self.said, phase, turn, self.same, self.society.scenario.seed)
        latest = self.said.stand(name)
        if phase.spec.speak == "heard" and latest is not None and not delivery.sources:
            return latest
        summary, reads = "", delivery.sources
        if delivery.to_summarize:
            made = await self._summarize(phase, turn, delivery)
            summary, reads = made.text, (*(m.source for m in delivery.messages), made.id)
        return await self._speak(phase, turn, phase.agents[name], delivery, reads, summary=summary)

    async def _summarize(self, phase: PhasePlan, reader: TurnId, delivery: Delivery) -> Turn:
        """What the summarizer makes of these messages for this reader; it keeps no memory of other readers."""
        agent = phase.agents[phase.spec.summarizer]
        turn = self._id(phase, reader.round, f"{agent.name}/{reader.agent}")
        heard = Delivery(delivery.to_summarize, ())
        return await self._speak(phase, turn, agent, heard, heard.sources, own=[], helping=True)

    async def _speak(
        self,
        phase: PhasePlan,
        turn: TurnId,
        agent: AgentPlan,
        delivery: Delivery,
        reads: tuple[TurnId, ...],
        choices: tuple[str, ...] = (),
        summary: str = "",
        own: list[Turn] | None = None,
        helping: bool = False,
    ) -> Turn:
        if own is None:
            own = [earlier for earlier in self.said.of(turn.agent) if earlier.status == "ok"]
        values = prompts.variables(
            turn, agent, phase, self.item, self.task.instruction, delivery,
            summary=summary, own=own, candidates=prompts.lettered(self._candidates),
        )  # fmt: skip
        if choices:
            values["choices"] = choices
        chat = prompts.build_chat(agent, values, own)
        done = await self.speaker.speak(turn, agent, chat, self.item, reads, choices or agent.role.choices)
        self.said.add(phase.index, turn.round, done, helping)
        self.usage += done.usage
        self.spoken += 1
        return done

    async def _round_by_round(self, phase: PhasePlan) -> None:
        graph = phase.graph() if phase.spec.controllers else None
        rounds: list[dict[str, Turn]] = []
        for number in range(1, phase.spec.rounds + 1):
            if graph is not None:
                graph = await self._controlled(phase, graph, number, rounds)
            plan = self._plan(phase, number, graph)
            await self._rounds(phase, {number: plan})
            rounds.append(self._latest(plan.reading))
            if stops(phase, self._state(rounds), self._place(phase, number)):
                return

    async def _controlled(
        self, phase: PhasePlan, graph: nx.DiGraph[str], number: int, rounds: list[dict[str, Turn]]
    ) -> nx.DiGraph[str]:
        """The graph of this round: each controller in turn changes what the one before it has left."""
        drawn = [phase.graph()]

        def redraw(seed: int) -> nx.DiGraph[str]:
            drawn.append(phase.graph(seed))
            return drawn[-1].copy()

        for i, controller in enumerate(phase.spec.controllers):
            context = ControlContext(
                state=self._state(rounds) if rounds else None,
                round=number,
                declared=drawn[-1],
                seed=self._seed(phase, number, f"controller {i}"),
                redraw=redraw,
                ask=partial(self._ask, phase, max(number - 1, 1), tuple(rounds[-1]) if rounds else ()),
            )
            place = self._place(phase, number)
            with faults_of(controller, "next_graph", place):
                graph = await controller.next_graph(graph, context)
            returned(graph, type(drawn[0]), controller, "next_graph", place)
        return graph

    async def _ask(self, phase: PhasePlan, number: int, about: tuple[str, ...], name: str) -> Turn:
        """A helper's turn about what these agents said last."""
        heard = everything(self.said, about)
        turn = self._id(phase, number, name)
        return await self._speak(phase, turn, phase.agents[name], heard, heard.sources, helping=True)

    async def _moderated(self, phase: PhasePlan) -> None:
        """Each round the moderator, who has read everything, names the one who speaks."""
        chair = phase.agents[phase.spec.moderator]
        rounds: list[dict[str, Turn]] = []
        for number in range(1, phase.spec.rounds + 1):
            heard = everything(self.said, phase.speakers)
            turn = self._id(phase, number, chair.name)
            choice = await self._speak(phase, turn, chair, heard, heard.sources, choices=phase.speakers, helping=True)
            await self._turn(phase, number, self._chosen(choice, phase.speakers), self._plan(phase, number))
            rounds.append(self._latest(phase.speakers))
            if stops(phase, self._state(rounds), self._place(phase, number)):
                return

    def _chosen(self, choice: Turn, speakers: tuple[str, ...]) -> str:
        """The speaker that the moderator names. Where it names none or several, the speakers take turns, and the
        moderator's turn is stored with a remark that says so."""
        named = find_names(choice.text, speakers)
        if len(named) == 1:
            return named[0]
        chosen = speakers[(choice.id.round - 1) % len(speakers)]
        if choice.status == "ok":
            several = f" but {', '.join(named)}" if named else ""
            self.speaker.store.annotate(choice.id, f"{UNCLEAR}{several}: {chosen} speaks, as it is its turn.")
        return chosen

    def _latest(self, names: Iterable[str]) -> dict[str, Turn]:
        """Where these agents stand: what each said last, in this round or before it."""
        return {name: turn for name in names if (turn := self.said.stand(name)) is not None}

    def _state(self, rounds: list[dict[str, Turn]]) -> RoundState:
        return RoundState(rounds, self.usage, self.spoken, self.same, self.speaker.store.annotate)

    def _id(self, phase: PhasePlan, number: int, agent: str) -> TurnId:
        return TurnId(self.iteration, self.item.id, phase.name, number, agent, self.sample)

    def _seed(self, phase: PhasePlan, number: int, what: str) -> int:
        seed = self.society.scenario.seed
        return derive_seed(seed, self.iteration, self.item.id, phase.name, number, what, self.sample)

    def _decide(self) -> Decision:
        voters = self.society.voters
        ballot = Ballot(
            votes=[vote_of(name, self.said.stand(name)) for name in voters],
            history={name: self.said.stands(name) for name in voters},
            candidates=self._candidates,
            same=self.same,
            seed=self._seed(self.society.phases[-1], 0, "decision"),
        )
        rule, place = self.society.scenario.decision, f"on the question {self.item.id!r}"
        with faults_of(rule, "decide", place):
            decision = rule.decide(ballot)
        return returned(decision, Decision, rule, "decide", place)

    def _place(self, phase: PhasePlan, number: int) -> str:
        return f"on the question {self.item.id!r}, in phase {phase.name!r}, round {number}"


def stops(phase: PhasePlan, state: RoundState, place: str = "") -> bool:
    """Return whether any of the phase's stop rules is reached; of a list of rules, all must be."""

    def reached(rule: StopRule) -> bool:
        with faults_of(rule, "reached", place):
            return bool(rule.reached(state))

    return any(
        reached(rule) if isinstance(rule, StopRule) else all(reached(part) for part in rule) for rule in phase.spec.stop
    )
