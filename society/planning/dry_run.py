"""The dry run: one debate with the real engine and without a model, in which each reply has the maximum length.

The dry run determines the edges of each round and the maximum length of each prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import count, cycle, islice
from typing import TYPE_CHECKING

from backends.base import Backend, CheckChat, Count
from society.core.blocking import run_blocking
from society.core.collection import collecting_seldom
from society.core.errors import BackendError, ChatTemplateError, TransientError
from society.core.exchanges import exchange
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Item, ToolCall, Turn, TurnId, Usage
from society.planning.part import part_of
from society.planning.unstored import Unstored
from society.sandbox import Limits, Outcome
from society.scenario.binding import AgentPlan
from society.scenario.expand import PhasePlan, Society, expand, is_memory
from society.scenario.models.memory import SequenceSpec
from society.scenario.models.phases import PhaseSpec
from society.simulation.conversation import Conversation
from society.simulation.memories import Memories, Memory
from society.simulation.simulate import DebateResult, simulate
from society.simulation.speaker import Speaker

if TYPE_CHECKING:
    import networkx as nx

UNREADABLE = "(unreadable)"
"""First word of a poor reply that has no readable answer."""
MOST_DIFFERENT = 300
"""Maximum number of agents whose answers all differ, whether or not a prompt depends on it."""
CHARACTERS_PER_TOKEN = 4
"""Estimated characters per token of English text, used without a tokenizer."""


@dataclass(frozen=True, slots=True)
class PlannedTurn:
    """One turn of the worst case: lengths in tokens, and the turns that it reads as (agent, phase, round).

    `prompt` is the longest prompt of the turn. An agent with tools has several `replies`, which read `read` tokens.
    """

    phase: str
    round: int
    agent: str
    backend: str
    prompt: int
    answer: int
    reads: tuple[tuple[str, str, int], ...]
    replies: int
    read: int


def dry_run(
    society: Society,
    item: Item,
    counts: Mapping[str, Count],
    checks: Mapping[str, CheckChat] | None = None,
    poor: bool = False,
    part: bool = False,
) -> list[PlannedTurn]:
    """Return the turns of one debate on this item, in the order of phase, round and agent.

    `counts` has a token counter for each backend; `checks` has the checks of chats for some of them. With `poor`, two
    of three replies have no readable answer, one of them is empty, and gates apply. With `part`, only some agents of
    each kind speak in a large society. Raises `InputError` for any error of the first debate: agents that wait for each
    other, an impossible topology, a template that fails, or a chat that a model's template refuses.
    """
    society = _at_its_longest(society, gated=poor)
    if part:
        society = part_of(society, item.id)
    longest = {name: _Longest(counted, (checks or {}).get(name), poor) for name, counted in counts.items()}
    with collecting_seldom():
        turns = run_blocking(_play(society, item, longest, poor))
    order = {name: i for i, name in enumerate(society.agents)}
    stages = {(phase, number): society.place(phase, number) for phase, number in society.stages()}

    def place(turn: PlannedTurn) -> tuple[object, ...]:
        agent = turn.agent
        return (is_memory(agent), stages[turn.phase, turn.round], order[agent.partition("/")[0]], agent)

    return sorted(turns, key=place)


async def _play(society: Society, item: Item, longest: Mapping[str, _Longest], poor: bool) -> list[PlannedTurn]:
    """Return the turns of a debate on this item, in the order in which they end."""
    turns: list[Turn] = []
    numbers = count()
    shown = _few if _may_agree(society) else int

    def parse(text: str, item: Item) -> str | None:
        return None if poor and (not text or UNREADABLE in text) else f"answer {shown(next(numbers))}"

    def keep(turn: Turn, old: bool) -> None:
        turns.append(turn)

    def end(result: DebateResult) -> None:
        if before:
            turns.clear()
            speaker.spent.clear()
            before.clear()

    before = [item] if society.rememberers else []  # a question for the agents to remember
    speaker = _Rehearsal(longest, {}, Unstored(), 0, parse, keep)
    task, questions = society.scenario.task, [*before, item]
    await simulate(society, task, questions, speaker, end, run=_pretend, remember=_FullMemories)
    return [_describe(turn, speaker.plans[turn.id], speaker.spent[turn.id]) for turn in turns]


def _describe(turn: Turn, plan: AgentPlan, spent: Sequence[int]) -> PlannedTurn:
    """Return a turn of the worst case. `spent` has the prompt tokens of its replies."""
    return PlannedTurn(
        phase=turn.id.phase,
        round=turn.id.round,
        agent=turn.id.agent,
        backend=plan.backend,
        prompt=turn.usage.prompt_tokens,
        answer=plan.sampling.max_tokens,
        reads=tuple((source.agent, source.phase, source.round) for source in turn.reads),
        replies=len(spent),
        read=sum(spent),
    )


async def _pretend(files: Mapping[str, str], limits: Limits, stdin: str) -> Outcome:
    """Return the end of a program that is not run."""
    return Outcome("", 0)


def _may_agree(society: Society) -> bool:
    """Return whether answers may be equal in a large society, because that changes no prompt.

    Otherwise all answers differ, so that all candidates are listed. Grouping n such answers takes n * n steps.
    """
    if len(society.agents) <= MOST_DIFFERENT:
        return False
    templates = [text for role in society.scenario.roles.values() for text in (role.system, role.prompt) if text]
    depends = any(phase.spec.controllers or phase.spec.when or phase.spec.leave for phase in society.phases)
    depends |= any(agent.when for phase in society.phases for agent in phase.agents.values())
    depends |= bool(society.scenario.repeat) or any("candidates" in text for text in templates)
    return not depends


def _few(number: int) -> int:
    """Return one of few numbers with as many digits: the two first ones are kept."""
    scale = int("1" + "0" * max(len(str(number)) - 2, 0))
    return number // scale * scale


def _at_its_longest(society: Society, gated: bool) -> Society:
    """Return the society with one sample, and without rules that may save turns or messages. `gated` keeps gates."""
    phases = tuple(_unconditional(phase, gated) for phase in society.scenario.phases)
    repeat = tuple(block.model_copy(update={"until": ()}) for block in society.scenario.repeat)
    changes = {"phases": phases, "repeat": repeat, "samples": 1, "sequence": SequenceSpec()}
    longest = expand(society.scenario.model_copy(update=changes))
    return longest if gated else replace(longest, phases=tuple(map(_without_gates, longest.phases)))


def _unconditional(phase: PhaseSpec, gated: bool) -> PhaseSpec:
    """Return the phase without rules by which it, a turn or a message may be left out. `gated` keeps gates."""
    edges = phase.edges if gated else phase.edges.model_copy(update={"gate": ()})
    return phase.model_copy(
        update={
            "when": (),
            "stop": (),
            "leave": (),
            "speak": "always",
            "edges": edges,
            "bind": {name: bound.model_copy(update={"when": ()}) for name, bound in phase.bind.items()},
        }
    )


class _Ungated(PhasePlan):
    """A phase without gates on its edges."""

    def graph(self, seed: int | None = None, question: str = "", sample: int = 0) -> nx.DiGraph[str]:
        """Return the graph of the phase without the gates of its edges."""
        graph = super().graph(seed, question, sample)
        for _, _, data in graph.edges(data=True):
            data.pop("gate", None)
        return graph


def _without_gates(phase: PhasePlan) -> PhasePlan:
    return _Ungated(**{field.name: getattr(phase, field.name) for field in fields(phase)})


def rough_count(messages: Sequence[ChatMessage], *_: object) -> int:
    """Return the estimated number of tokens of a prompt, by its characters."""
    return sum(len(message.content) // CHARACTERS_PER_TOKEN + 5 for message in messages)


class _FullMemories(Memories):
    """Memories of agents that remember so much that each prompt shows as many as it can, and that reflect each time."""

    def recall(self, plan: AgentPlan, query: str, question: str) -> tuple[Memory, ...]:
        """Return as many memories as a prompt of the agent can show."""
        most = plan.memory.recall.most
        return _repeat(super().latest(plan, most), most)

    def latest(self, plan: AgentPlan, most: int) -> tuple[Memory, ...]:
        """Return as many memories as asked for."""
        return _repeat(super().latest(plan, most), most)

    def is_due(self, plan: AgentPlan) -> bool:
        """Return whether the agent ever reflects."""
        return plan.memory.reflect is not None


def _repeat(memories: tuple[Memory, ...], most: int) -> tuple[Memory, ...]:
    return tuple(islice(cycle(memories), most))


@dataclass
class _Rehearsal(Speaker):
    """A speaker without keys and seeds of turns: nothing looks for them, and a large society has many turns."""

    spent: dict[TurnId, list[int]] = field(default_factory=dict)
    """The prompt tokens of each reply, by turn."""

    plans: dict[TurnId, AgentPlan] = field(default_factory=dict)
    """The settings of each turn."""

    async def speak(
        self,
        turn: TurnId,
        agent: AgentPlan,
        chat: tuple[ChatMessage, ...],
        item: Item,
        reads: Sequence[TurnId] = (),
        choices: tuple[str, ...] = (),
        read: Callable[[str], str | None] | None = None,
        options: tuple[str, ...] = (),
        talk: Conversation | None = None,
        recalls: tuple[TurnId, ...] = (),
    ) -> Turn:
        """Return the turn of the reply; with tools, of the last reply after as many calls as may be.

        Raises `TurnError` if the prompt does not fit the chat template.
        """
        request = GenerateRequest(
            chat, agent.sampling, 0, choices=choices, thinking=agent.thinking, template_args=agent.template_args
        )
        self.plans[turn] = agent
        finish = partial(Turn, turn, "", chat, reads=tuple(reads))
        parse = self.parse if read is None else lambda text, _: read(text)
        try:
            output = await self._say(turn, self.backends[agent.backend], request)
            for number in range(0 if talk is None else talk.toolbox.use.calls):
                assert talk is not None
                call = ToolCall(talk.toolbox.longest_name, str(number), talk.toolbox.longest_result, reply=output)
                request = replace(request, messages=(*request.messages, *exchange([call])))
                output = await self._say(turn, self.backends[agent.backend], request)
        except BackendError:  # tried again, or explained, as in a run
            return await super().speak(turn, agent, chat, item, reads, choices, read, options, talk, recalls)
        done = self._read(output, agent, item, finish, parse)
        self.on_turn(done, False)
        return done

    async def _say(self, turn: TurnId, backend: Backend, request: GenerateRequest) -> GenerateOutput:
        output = await backend.generate(request)
        self.spent.setdefault(turn, []).append(output.usage.prompt_tokens)
        return output


class _Longest(Backend):
    """A backend whose replies have `max_tokens` tokens."""

    model_hash = "plan"

    def __init__(self, counted: Count, check: CheckChat | None, poor: bool) -> None:
        self._count, self._check, self._poor = counted, check, poor
        self._replies = count()
        sample = "word " * 200
        per_word = (counted([ChatMessage("user", sample)]) - counted([ChatMessage("user", "")])) / 200
        self._words_per_token = 1 / max(per_word, 0.1)
        self._chosen = count()

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        words = max(round(request.sampling.max_tokens * self._words_per_token), 1)
        text = ("word " * words).strip()
        if self._poor:
            text = (text, f"{UNREADABLE} {text}", "")[next(self._replies) % 3]
        if request.choices:  # in turn, so that a moderator chooses as many agents as possible
            text = request.choices[next(self._chosen) % len(request.choices)]
        return GenerateOutput(text, "length", Usage(self._measure(request), request.sampling.max_tokens))

    def _measure(self, request: GenerateRequest) -> int:
        """Return the tokens of the prompt. A prompt that cannot be rendered or encoded ends the dry run."""
        settings = (request.thinking, request.template_args)
        try:
            if self._check is not None:
                self._check(request.messages, *settings)
            return self._count(request.messages, *settings)
        except TransientError:
            raise
        except BackendError as error:
            raise ChatTemplateError(error.cause, error.remedy) from error
