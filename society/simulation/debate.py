"""One debate on one question: the phases in order, and each agent as soon as the turns that it reads are finished.

Within a phase there is no barrier: an agent starts its next round as soon as the turns that it reads are finished.
Only a phase with stop rules, controllers or a moderator waits for the end of each round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from society.components.controllers import ControlContext
from society.components.decisions.base import vote_of
from society.components.faults import faults_of, guarded
from society.components.stops import StopRule
from society.core.identity import derive_seed
from society.core.results import require_decision, require_graph
from society.core.types import Ballot, Decision, Item, RoundState, Same, Turn, TurnId, Usage
from society.scenario.expand import AgentPlan, PhasePlan, Society
from society.simulation import prompts
from society.simulation.agent_names import UNCLEAR, find_names
from society.simulation.reading import Delivery, RoundPlan, Transcript, check_round, deliver, last_turns, plan_round
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
    plans: Mapping[str, RoundPlan]
    """The round plans of phases in which all rounds have the same plan."""
    transcript: Transcript = field(default_factory=Transcript)
    usage: Usage = field(default_factory=Usage)
    turns: int = 0
    _candidates: tuple[str, ...] = ()
    _waiting: dict[tuple[int, str], asyncio.Future[None]] = field(default_factory=dict)
    _finished: set[tuple[int, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        place = f"on the question {self.item.id!r}"
        self.same: Same = guarded(self.task, self.task.same, place)
        self.correct = guarded(self.task, self.task.correct, place)

    async def run(self) -> Decision:
        """Run every phase, and return the decision."""
        for phase in self.society.phases:
            answers = [self.transcript.last_speaker_turn(name) for name in self._speakers(phase.index)]
            self._candidates = prompts.candidates(answers, self.same)
            self._waiting.clear()
            self._finished.clear()
            await self._run_phase(phase)
        return self._decide()

    def _speakers(self, before: int) -> list[str]:
        """Return the agents that speak in a phase before this one, without those that only help."""
        speakers = {name for phase in self.society.phases[:before] for name in phase.speakers}
        return [name for name in self.society.agents if name in speakers]

    async def _run_phase(self, phase: PhasePlan) -> None:
        if phase.spec.schedule == "moderated":
            await self._moderated(phase)
        elif phase.spec.stop or phase.spec.controllers:
            await self._round_by_round(phase)
        else:
            rounds = range(1, phase.spec.rounds + 1)
            await self._run_rounds(phase, {number: self._plan(phase, number) for number in rounds})

    def _plan(self, phase: PhasePlan, number: int, graph: nx.DiGraph[str] | None = None) -> RoundPlan:
        """Return the plan of a round over this graph, or over the phase's own graph."""
        if graph is None and phase.name in self.plans:
            return self.plans[phase.name]
        graph = phase.graph() if graph is None else graph
        plan = plan_round(phase, graph, number, self._seed(phase, number, "order"))
        check_round(plan, phase)
        return plan

    async def _run_rounds(self, phase: PhasePlan, plans: Mapping[int, RoundPlan]) -> None:
        """Run these rounds with one coroutine per speaker."""
        speakers = dict.fromkeys(name for plan in plans.values() for name in plan.speakers)
        if len(speakers) == 1:
            await self._run_speaker(phase, next(iter(speakers)), plans)
            return
        async with asyncio.TaskGroup() as group:
            for name in speakers:
                group.create_task(self._run_speaker(phase, name, plans))

    async def _run_speaker(self, phase: PhasePlan, name: str, plans: Mapping[int, RoundPlan]) -> None:
        """Run one agent's turns of these rounds, each after the turns that it reads."""
        for number, plan in plans.items():
            if name not in plan.edges:
                continue
            for edge in plan.edges[name]:
                place = (number if edge.same_round else number - 1, edge.sender)
                if place not in self._finished:
                    await self._wait_for(place, plans)
            await self._take_turn(phase, number, name, plan)
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

    async def _take_turn(self, phase: PhasePlan, number: int, name: str, plan: RoundPlan) -> Turn:
        """Return the agent's turn of this round; its last one if it reads nothing and the phase has `speak: heard`."""
        turn = self._id(phase, number, name)
        delivery = deliver(plan.edges[name], self.transcript, phase, turn, self.same, self.society.scenario.seed)
        latest = self.transcript.last_speaker_turn(name)
        if phase.spec.speak == "heard" and latest is not None and not delivery.sources:
            return latest
        summary, reads = "", delivery.sources
        if delivery.to_summarize:
            made = await self._summarize(phase, turn, delivery)
            summary, reads = made.text, (*(m.source for m in delivery.messages), made.id)
        return await self._speak(phase, turn, phase.agents[name], delivery, reads, summary=summary)

    async def _summarize(self, phase: PhasePlan, reader: TurnId, delivery: Delivery) -> Turn:
        """Return the summarizer's turn on the messages of this reader. It does not see its turns for other readers."""
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
            own = [earlier for earlier in self.transcript.turns_of(turn.agent) if earlier.is_shown]
        more: dict[str, Any] = {"summary": summary, "own": own}
        more["candidates"] = prompts.with_letters(self._candidates)
        if choices:
            more["choices"] = choices
        values = prompts.variables(turn, agent, phase, self.item, self.task.instruction, delivery, **more)
        chat = prompts.build_chat(agent, values, own)
        done = await self.speaker.speak(turn, agent, chat, self.item, reads, choices or agent.role.choices)
        self.transcript.add(phase.index, turn.round, done, helping)
        if agent.shows_thoughts and done.thought:
            self.transcript.open_thoughts.add(done.id)
        self.usage += done.usage
        self.turns += 1
        return done

    async def _round_by_round(self, phase: PhasePlan) -> None:
        graph = phase.graph() if phase.spec.controllers else None
        rounds: list[dict[str, Turn]] = []
        for number in range(1, phase.spec.rounds + 1):
            if graph is not None:
                graph = await self._controlled(phase, graph, number, rounds)
            plan = self._plan(phase, number, graph)
            await self._run_rounds(phase, {number: plan})
            rounds.append(self._latest(plan.reading))
            if stops(phase, self._state(rounds), self._place(phase, number)):
                return

    async def _controlled(
        self, phase: PhasePlan, graph: nx.DiGraph[str], number: int, rounds: list[dict[str, Turn]]
    ) -> nx.DiGraph[str]:
        """Return the graph of this round. Each controller changes the result of the one before it."""
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
                require_graph(graph, tuple(drawn[0]), may_drop=True)
        return graph

    async def _ask(self, phase: PhasePlan, number: int, about: tuple[str, ...], name: str) -> Turn:
        """Return a helper's turn on the last turns of these agents."""
        heard = last_turns(self.transcript, about)
        turn = self._id(phase, number, name)
        return await self._speak(phase, turn, phase.agents[name], heard, heard.sources, helping=True)

    async def _moderated(self, phase: PhasePlan) -> None:
        """Run a moderated phase: in each round the moderator reads the last turns and names the speaker."""
        chair = phase.agents[phase.spec.moderator]
        rounds: list[dict[str, Turn]] = []
        for number in range(1, phase.spec.rounds + 1):
            heard = last_turns(self.transcript, phase.speakers)
            turn = self._id(phase, number, chair.name)
            choice = await self._speak(phase, turn, chair, heard, heard.sources, choices=phase.speakers, helping=True)
            await self._take_turn(phase, number, self._chosen(choice, phase.speakers), self._plan(phase, number))
            rounds.append(self._latest(phase.speakers))
            if stops(phase, self._state(rounds), self._place(phase, number)):
                return

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
            self.speaker.store.annotate(choice.id, f"{UNCLEAR}{several}: {chosen} speaks, as it is its turn.")
        return chosen

    def _latest(self, names: Iterable[str]) -> dict[str, Turn]:
        """Return the last turn of each agent as a speaker, from this round or an earlier one."""
        return {name: turn for name in names if (turn := self.transcript.last_speaker_turn(name)) is not None}

    def _state(self, rounds: list[dict[str, Turn]]) -> RoundState:
        return RoundState(rounds, self.usage, self.turns, self.same, self.speaker.store.annotate)

    def _id(self, phase: PhasePlan, number: int, agent: str) -> TurnId:
        return TurnId(self.iteration, self.item.id, phase.name, number, agent, self.sample)

    def _seed(self, phase: PhasePlan, number: int, what: str) -> int:
        seed = self.society.scenario.seed
        return derive_seed(seed, self.iteration, self.item.id, phase.name, number, what, self.sample)

    def _decide(self) -> Decision:
        voters = self.society.voters
        ballot = Ballot(
            votes=[vote_of(name, self.transcript.last_speaker_turn(name)) for name in voters],
            history={name: self.transcript.speaker_turns(name) for name in voters},
            candidates=self._candidates,
            same=self.same,
            seed=self._seed(self.society.phases[-1], 0, "decision"),
        )
        rule, place = self.society.scenario.decision, f"on the question {self.item.id!r}"
        with faults_of(rule, "decide", place):
            return require_decision(rule.decide(ballot))

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
