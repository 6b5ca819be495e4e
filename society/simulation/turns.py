"""The turns of one debate: each is taken with the messages that its agent reads, and joins the transcript."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from society.components.faults import faults_of, guarded
from society.components.tools.toolbox import Toolbox, remembered
from society.core.identity import derive_decision_seed, derive_seed
from society.core.moments import Moment
from society.core.types import Decision, Item, Message, RoundState, Same, Turn, TurnId, Usage
from society.scenario.binding import AgentPlan
from society.scenario.expand import CHOICE, PhasePlan, Society
from society.simulation import prompts
from society.simulation.conversation import Conversation
from society.simulation.memories import Memories, Memory, sources
from society.simulation.reading import Delivery, RoundPlan, Transcript, as_messages, deliver, last_turns
from society.simulation.speaker import Speaker

if TYPE_CHECKING:
    from society.tasks.base import Task

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass
class Turns:
    """The turns of one question's debate so far, and the ways to take another."""

    society: Society
    task: Task
    speaker: Speaker
    item: Item
    iteration: int
    sample: int
    memories: Memories | None = None
    """The memories of earlier questions; None if no agent has any."""
    now: Moment | str = ""
    """Simulated time of the question; empty without a clock."""
    transcript: Transcript = field(default_factory=Transcript)
    usage: Usage = field(default_factory=Usage)
    count: int = 0
    step: int = 0
    """Number of phases that took place, the present one included."""
    candidates: tuple[str, ...] = ()
    """Distinct answers before the present phase."""
    _ballots: dict[TurnId, Turn] = field(default_factory=dict)
    """The ballots so far, each with its first choice as the answer."""

    def __post_init__(self) -> None:
        self.same: Same = guarded(self.task, self.task.same, f"on the question {self.item.id!r}")

    async def take(self, phase: PhasePlan, number: int, name: str, plan: RoundPlan) -> Turn:
        """Return the agent's turn of this round; its last one if it reads no other and the phase has `speak: heard`."""
        turn = self.identify(phase, number, name)
        seed, step = self.society.scenario.seed, self.step
        delivery = deliver(plan.edges[name], self.transcript, phase, step, turn, self.same, seed)
        latest = self.transcript.last_speaker_turn(name)
        heard = any(source.agent != name for source in delivery.sources)
        if phase.spec.speak == "heard" and latest is not None and not heard:
            return latest
        if phase.spec.on_edges:
            delivery = await self._follow_edges(phase, turn, plan, delivery)
        summary, reads = "", delivery.sources
        if delivery.to_summarize:
            made = await self._summarize(phase, turn, delivery)
            summary = made.text if made.is_shown else ""
            reads = tuple(message.source for message in delivery.messages) + ((made.id,) if made.is_shown else ())
        readers = plan.readers.get(name, ())
        return await self.speak(phase, turn, phase.agents[name], delivery, reads, summary=summary, readers=readers)

    async def _follow_edges(self, phase: PhasePlan, reader: TurnId, plan: RoundPlan, delivery: Delivery) -> Delivery:
        """Return the delivery in which a turn of the agent on the edge follows the messages of each speaker."""
        own = last_turns(self.transcript, [reader.agent]).messages
        by_sender: dict[str, list[Message]] = {}
        for message in delivery.messages:
            by_sender.setdefault(message.source.agent, []).append(message)

        async def follow(sender: str, messages: list[Message]) -> Sequence[Message]:
            if sender not in plan.edges or sender == reader.agent:
                return messages
            return [*messages, *await self._exchange(phase, reader, sender, messages, own)]

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(follow(sender, messages)) for sender, messages in by_sender.items()]
        return Delivery(tuple(message for task in tasks for message in task.result()), delivery.to_summarize)

    async def _exchange(
        self, phase: PhasePlan, reader: TurnId, sender: str, messages: Sequence[Message], own: Sequence[Message]
    ) -> Sequence[Message]:
        """Return the reader's last turn on an edge, if it has one there, and the last reply of the agent on the edge.

        `own`: the reader's last turn elsewhere.
        """
        place, agent, actor = f"{sender}>{reader.agent}", phase.agents[phase.spec.on_edges], phase.agents[reader.agent]
        ends = {"sender": messages[-1].sender, "reader": reader.agent}
        drafts: list[Turn] = []
        places = [place, *(f"{place}/{number}" for number in range(2, phase.spec.exchanges + 1))]
        replies = [
            turn for turn in self.transcript.turns_in_order(f"{agent.name}/{at}" for at in places) if turn.is_shown
        ]
        for number, at in enumerate(places, 1):
            heard = Delivery((*messages, *own), ())
            turn = self.identify(phase, reader.round, f"{agent.name}/{at}")
            replies.append(
                await self.speak(phase, turn, agent, heard, heard.sources, own=replies, helping=True, more=ends)
            )
            said = as_messages(replies[-1:], agent.name)
            if number < phase.spec.exchanges:
                heard = Delivery((*messages, *said), ())
                turn = self.identify(phase, reader.round, f"{reader.agent}/{at}")
                before = [*self.transcript.speaker_turns(reader.agent), *drafts]
                before = [turn for turn in before if turn.is_shown]
                drafts.append(await self.speak(phase, turn, actor, heard, heard.sources, own=before, helping=True))
                own = as_messages(drafts[-1:], reader.agent) or own
        return [*as_messages(drafts[-1:], reader.agent), *said]

    async def _summarize(self, phase: PhasePlan, reader: TurnId, delivery: Delivery) -> Turn:
        """Return the summarizer's turn on the messages of this reader. It does not see its turns for other readers."""
        agent = phase.agents[phase.spec.summarizer]
        turn = self.identify(phase, reader.round, f"{agent.name}/{reader.agent}")
        heard = Delivery(delivery.to_summarize, ())
        return await self.speak(phase, turn, agent, heard, heard.sources, own=[], helping=True)

    async def speak(
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
        readers: tuple[str, ...] = (),
        more: Mapping[str, Any] = NOTHING,
        read: Callable[[str], str | None] | None = None,
        options: tuple[str, ...] = (),
    ) -> Turn:
        """Return the finished turn of an agent. `own`: its earlier turns, by default all that did not fail.

        `more`: further variables of its prompt. `read` returns the answer in the reply, in place of the task. `options`
        are names among which the reply should choose.
        """
        if own is None:
            own = [earlier for earlier in self.transcript.turns_of(turn.agent) if earlier.is_shown]
        values: dict[str, Any] = {
            "summary": summary,
            "own": own,
            "readers": readers,
            "sender": "",
            "reader": "",
            "memories": (),
            "now": self.now,
            **more,
        }
        values["candidates"] = prompts.with_letters(self.candidates)
        recalls: tuple[TurnId, ...] = ()
        if self.memories is not None and prompts.shows(agent.role, "memories"):
            values["memories"] = more["memories"] if "memories" in more else self._recall(agent, delivery)
            recalls = sources(values["memories"])
        if choices:
            values["choices"] = choices
        values = prompts.variables(turn, agent, phase, self.item, self.task.instruction, delivery, **values)
        talk = None if agent.toolbox is None else self._make_conversation(agent, agent.toolbox, turn)
        chat = prompts.build_chat(agent, values, own, native=talk is not None and bool(talk.offered))
        choices = choices or agent.role.choices
        done = await self.speaker.speak(turn, agent, chat, self.item, reads, choices, read, options, talk, recalls)
        self.transcript.add(self.step, turn.round, done, helping)
        if turn.phase == self.society.ballot_phase and turn.agent in self.society.voters and not helping:
            self._ballots[turn] = self._read_ballot(done, None)
        if agent.shows_thoughts and done.thought:
            self.transcript.open_thoughts.add(done.id)
        self.usage += done.usage
        self.count += 1
        return done

    def _recall(self, agent: AgentPlan, delivery: Delivery) -> tuple[Memory, ...]:
        """Return the memories that the agent's prompt shows, by the question, or also by the messages to the agent."""
        assert self.memories is not None
        query = self.item.question
        if agent.memory.recall.query == "heard":
            query = "\n".join([query, *(message.text for message in delivery.messages)])
        return self.memories.recall(agent, query, self.item.question)

    def _make_conversation(self, agent: AgentPlan, box: Toolbox, turn: TurnId) -> Conversation:
        """Return the means of an agent to call its tools in a turn."""
        form = self.speaker.backends[agent.backend].tools
        plain = (
            box.use.format == "text" or self.society.scenario.train is not None or prompts.shows(agent.role, "tools")
        )
        offered = () if plain or form is None or not form.supports(box.specs) else box.specs
        return Conversation(box, remembered(box, self.transcript.turns_of(turn.agent)), offered)

    async def ask(
        self,
        phase: PhasePlan,
        number: int,
        latest: tuple[str, ...],
        name: str,
        about: tuple[str, ...] = (),
        options: tuple[str, ...] = (),
        again: int = 1,
    ) -> Turn:
        """Return a helper's turn on the last turns of some agents, by default of all in the latest round.

        `again`: the number of the turn among those of a round about the same agents, in the same order. Turns that
        another controller asked for are among these, too.
        """
        heard, agent = last_turns(self.transcript, about or latest), phase.agents[name]
        while True:
            whom = "/".join([name, *about[:1], *([] if again == 1 else [str(again)])])
            turn, again = self.identify(phase, number, whom), again + 1
            if all(earlier.id != turn for earlier in self.transcript.turns_of(whom)):
                break
        return await self.speak(phase, turn, agent, heard, heard.sources, helping=True, options=options)

    async def judge(self, name: str, about: str, judged: Mapping[str, Any], read: Callable[[str], str | None]) -> Turn:
        """Return a judge's turn on an answer, after the last round of the debate. It does not see its other turns."""
        last = self.transcript.last()
        phase = next(phase for phase in self.society.phases if phase.name == last.phase)
        turn = self.identify(phase, last.round, f"{name}/{about}")
        shown = {judged[key] for key in ("answer", "first", "second") if key in judged}
        sources = (source.id for source in self.transcript.speaking() if source.answer in shown)
        reads = tuple(sorted(sources, key=lambda i: (*self.society.place(i.phase, i.round), i.agent)))
        return await self.speak(
            phase,
            turn,
            phase.agents[name],
            Delivery((), ()),
            reads,
            own=[],
            helping=True,
            more={"judged": judged},
            read=read,
        )

    async def ask_as(self, phase: PhasePlan, number: int, name: str, role: str, about: tuple[str, ...]) -> Turn:
        """Return a speaker's turn beside its answers, in another role, on the last turns of some agents.

        Its chat has the agent's answers so far.
        """
        plan = self.society.bind_as(phase, name, role)
        heard = last_turns(self.transcript, about)
        own = [turn for turn in self.transcript.speaker_turns(name) if turn.is_shown]
        turn = self.identify(phase, number, f"{name}/{CHOICE}")
        return await self.speak(phase, turn, plan, heard, heard.sources, own=own, helping=True, options=about)

    async def speak_after(
        self,
        last: TurnId,
        agent: AgentPlan,
        phase: PhasePlan,
        role: str,
        what: str,
        more: Mapping[str, Any],
        own: Sequence[Turn] = (),
    ) -> Turn:
        """Return a turn of an agent after the debate, in another role, named by `what`: NAME/note. It has no answer.

        It has the place of `last`, a turn of the debate's last round. `phase` is the one whose settings apply.
        """
        turn = replace(last, agent=f"{agent.name}/{what}")
        plan = self.society.bind_as(phase, agent.name, role)
        nothing = Delivery((), ())
        return await self.speak(
            phase, turn, plan, nothing, (), own=list(own), helping=True, more=more, read=lambda text: None
        )

    def latest(self, names: Iterable[str]) -> dict[str, Turn]:
        """Return the last turn of each agent as a speaker, from this round or an earlier one.

        The answer of a ballot is its first choice.
        """
        found = {name: turn for name in names if (turn := self.transcript.last_speaker_turn(name)) is not None}
        return {name: self._ballots.get(turn.id, turn) for name, turn in found.items()} if self._ballots else found

    def find_candidates(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the distinct last answers of these agents, in the order first given. Ballots are no answers."""
        ballots = self.society.ballot_phase
        if not ballots:
            return prompts.candidates([*self.latest(names).values()], self.same)
        every = (self.transcript.speaker_turns(name) for name in names)
        answers = ([turn for turn in turns if turn.id.phase != ballots] for turns in every)
        return prompts.candidates([turns[-1] for turns in answers if turns], self.same)

    def final(self, names: Iterable[str], decision: Decision) -> dict[str, Turn]:
        """Return the last turns of these agents after the debate, with ballots read as the decision rule reads them."""
        last = self.society.last_phase(frozenset(turn.phase for turn in self.transcript.turn_ids()))
        voters = decision.voters or self.society.voters

        def read(turn: Turn) -> Turn:
            if turn.id.phase != last.name or turn.id.agent not in voters:
                return turn
            return self._read_ballot(turn, decision.answer)

        return {name: read(turn) for name, turn in self.latest(names).items()}

    def _read_ballot(self, turn: Turn, decided: str | None) -> Turn:
        """Return a turn of the last phase with the answer that the decision rule reads in it."""
        rule = self.society.scenario.decision
        with faults_of(rule, "read_answer", f"on the question {self.item.id!r}"):
            return replace(turn, answer=rule.read_answer(turn, self.candidates, decided))

    def state(self, rounds: list[dict[str, Turn]], agent: str = "", ended: tuple[str, int] | None = None) -> RoundState:
        """Return the input of rules and controllers after these rounds. `agent`: whose turn a rule decides on.

        `ended`: phase and number of the last round, for stop rules.
        """
        annotate, members = self.speaker.store.annotate, self.society.members
        return RoundState(rounds, self.usage, self.count, self.same, annotate, members, agent, ended)

    def identify(self, phase: PhasePlan, number: int, agent: str) -> TurnId:
        """Return the identity of an agent's turn in a round."""
        return TurnId(self.iteration, self.item.id, phase.name, number, agent, self.sample)

    def seed(self, phase: PhasePlan, number: int, what: str) -> int:
        """Return the seed of a draw in a round, named by `what`."""
        seed = self.society.scenario.seed
        return derive_seed(seed, self.iteration, self.item.id, phase.name, number, what, self.sample)

    @property
    def decision_seed(self) -> int:
        """The seed with which the decision draws among tied answers."""
        last, seed = self.society.phases[-1].name, self.society.scenario.seed
        return derive_decision_seed(seed, self.iteration, self.item.id, last, self.sample)

    def place(self, phase: PhasePlan, number: int) -> str:
        """Return the place of a round in words, for errors."""
        return f"on the question {self.item.id!r}, in phase {phase.name!r}, round {number}"
