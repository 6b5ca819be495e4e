"""One turn, from the request to the committed result: found in the store, or generated, retried and stored."""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from backends.abilities import Decoder
from society.answers.confidence import stated_confidence
from society.core.errors import (
    BackendError,
    ChatTemplateError,
    ContextOverflowError,
    SlowPatternError,
    TurnError,
    WaitedTooLongError,
    describe_error,
)
from society.core.exchanges import own_usage
from society.core.identity import request_key, turn_seed
from society.core.interrupt import Interruption
from society.core.pieces import OnPiece, Piece
from society.core.plain import storable
from society.core.thoughts import split_thought
from society.core.types import (
    ChatMessage,
    GenerateOutput,
    GenerateRequest,
    Item,
    Turn,
    TurnId,
    Usage,
    explain_end,
)
from society.scenario.binding import AgentPlan
from society.scenario.models.settings import RetrySpec
from society.simulation.attempts import Patience, ask
from society.simulation.clock import FairClock, Stopwatch
from society.simulation.conversation import Conversation
from society.simulation.outages import Availability, OnOutage, ignore

if TYPE_CHECKING:
    from backends.abilities import Tokenizer
    from backends.base import Backend

log = logging.getLogger(__name__)

Parse = Callable[[str, Item], str | None]
"""Returns the answer in the text of a reply, or None."""
SHORT = 200
"""Maximum number of characters of a reply whose answer is remembered for equal replies."""
REMEMBERED = 10_000
"""Maximum number of replies whose answers are remembered."""


def parse_once(parse: Parse) -> Parse:
    """Return a function that parses equal short replies to a question of one task once."""
    known: dict[tuple[str, str], str | None] = {}

    def find(text: str, item: Item) -> str | None:
        if len(text) > SHORT:
            return parse(text, item)
        place = (item.id, text)
        if place not in known:
            if len(known) >= REMEMBERED:
                known.clear()
            known[place] = parse(text, item)
        return known[place]

    return find


class Listener(Protocol):
    """Receives replies as they are generated."""

    streams: bool
    """Whether it wants the pieces of replies."""

    def speaking(self, turn: TurnId, reads: Sequence[TurnId]) -> None:
        """Handle the start of a turn that reads these turns."""

    def piece(self, turn: TurnId, piece: Piece) -> None:
        """Handle a piece of a reply. The finished turn decides; a backend that cannot stream sends no pieces."""


class TurnStore(Protocol):
    """The part of a store that debates need: `society.store.Store`, or one that keeps nothing."""

    def find(self, turn: TurnId, key: str) -> GenerateOutput | None:
        """Return the stored reply of this turn if everything that shaped it is the same (`key`), else None."""

    def find_reusable(self, key: str) -> GenerateOutput | None:
        """Return the reply of a turn of another run with this key, or None."""

    async def add(self, turn: Turn, reused: bool = False) -> None:
        """Commit a finished turn."""

    def update_derived(self, turn: Turn) -> None:
        """Store what this run derives from a reply that `find` returned."""

    def annotate(self, turn: TurnId, text: str) -> None:
        """Store a note with a turn that did not fail."""

    def finish_debate(self, iteration: int, item: str, sample: int, spoken: Iterable[TurnId]) -> None:
        """Free the memory of a finished debate, of which these turns remain."""


@dataclass
class Speaker:
    """Generates turns, and commits each of them to the store before it is returned."""

    backends: Mapping[str, Backend]
    adapters: Mapping[str, str]
    """Content hashes of adapters, by their paths in the scenario."""
    store: TurnStore
    seed: int
    parse: Parse
    on_turn: Callable[[Turn, bool], None]
    on_reply: Callable[[TurnId, Usage], None] = lambda turn, usage: None
    """Called with the usage of each reply as it arrives. A turn with tools has several."""
    timeout: float | None = None
    """Maximum seconds for one reply of a backend."""
    pruned: set[str] = field(default_factory=set)
    """Hashes of adapters that were removed: what they said is stored, and nothing more can be generated."""
    listener: Listener | None = None
    """Receives replies as they are generated; None if nobody wants that, which then costs nothing."""
    failures_in_a_row: int = 0
    interruption: Interruption = field(default_factory=Interruption)
    retry: RetrySpec = field(default_factory=RetrySpec)
    on_outage: OnOutage = ignore
    """Called during an outage of a backend, and at its end."""
    availability: dict[str, Availability] = field(default_factory=dict)
    """Whether each backend can be reached, by its name."""
    clocks: dict[str, FairClock] = field(default_factory=dict)
    """Clocks by the names of the backends."""

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
        """Return the finished turn. If the backend fails for good, the turn has the status "failed".

        `read` returns the answer in a reply that does not answer the question, such as a judge's verdict. `options` are
        names among which the reply should choose. `talk` calls the tools of an agent that has any.

        Raises `TurnError` if the prompt does not fit the context or the chat template, and `BackendError` after
        `retry.failures` consecutive failures.
        """
        backend = self.backends[agent.backend]
        adapter = self.adapters.get(agent.adapter, agent.adapter) if agent.adapter else None
        seed = turn_seed(self.seed, turn)
        sampling = agent.sampling if talk is None else talk.sampling(agent.sampling)
        settings = (agent.thinking, agent.template_args, options, () if talk is None else talk.offered)
        request = GenerateRequest(chat, sampling, seed, adapter, choices, *settings)
        key = request_key(request, backend.model_hash)
        make: Callable[..., Turn] = Turn if talk is None else talk.finish
        finish = partial(make, turn, key, chat, adapter=adapter, reads=tuple(reads), recalls=recalls)
        parse = self.parse if read is None else lambda text, _: read(text)
        find = self.store.find
        if (found := find(turn, key) if talk is None else talk.find(partial(find, turn), key)) is not None:
            done = self._read(found, agent, item, finish, parse)
            if done.reply == found:
                self.store.update_derived(done)
            else:  # an older society left the thought in the text
                await self.store.add(done)
            self.on_turn(done, True)
            return done
        reusable = self.store.find_reusable
        if (borrowed := reusable(key) if talk is None else talk.find(reusable, key)) is not None:
            done = self._read(borrowed, agent, item, finish, parse)
            await self.store.add(done, reused=True)
            self.on_turn(done, True)
            return done
        if adapter is not None and adapter in self.pruned:
            raise TurnError(
                f"The turn needs the adapter {agent.adapter}, which `society prune` removed.",
                "Restore the adapter from a copy, or start a new run with --reuse (Python: the argument reuse).",
                agent.role_name,
            )
        async with self.interruption.held(_debate(turn)):
            done, failure = await self._generate(backend, request, agent, item, finish, parse, talk)
            await self.store.add(done)
        self.on_turn(done, False)
        self._count_failure(failure, agent, finish)
        return done

    async def _generate(
        self,
        backend: Backend,
        request: GenerateRequest,
        agent: AgentPlan,
        item: Item,
        finish: partial[Turn],
        parse: Parse,
        talk: Conversation | None,
    ) -> tuple[Turn, BackendError | None]:
        """Generate a reply and return its turn, and the error of a backend that failed for good.

        `finish` makes a turn from a text and an answer.
        """
        watch = Stopwatch(self.clocks.setdefault(agent.backend, FairClock()))
        on_piece: OnPiece | None = None
        if self.listener is not None:
            unfinished = finish("", None)
            self.listener.speaking(unfinished.id, unfinished.reads)
            if self.listener.streams:
                on_piece = partial(self.listener.piece, unfinished.id)
        patience = self._patience(agent.backend, backend.asks_people, finish)
        try:
            if talk is None:
                output = await self._count(finish, ask(backend, request, self.timeout, watch, patience, on_piece))
            else:
                reply_to = partial(
                    ask, backend, timeout=self.timeout, watch=watch, patience=patience, on_piece=on_piece
                )
                output = await talk.run(request, lambda asked: self._reply_apart(agent, finish, reply_to(asked)))
                output = replace(output, usage=output.usage + _took(backend, watch))
        except WaitedTooLongError:
            raise
        except (ChatTemplateError, ContextOverflowError) as error:
            raise TurnError(f"{_place(finish)}: {error.cause}", error.remedy, agent.role_name) from error
        except BackendError as error:
            cause, calls = storable(error.cause), () if talk is None else tuple(talk.calls)
            spent = _took(backend, watch) if talk is None else talk.usage + _took(backend, watch)
            failed = finish("", None, status="failed", error=cause, usage=spent, calls=calls, replied=False)
            return failed, error
        return self._read(output, agent, item, finish, parse), None

    def _patience(self, backend: str, asks_people: bool, finish: partial[Turn]) -> Patience:
        """Return the bounds of the attempts at a turn on this backend."""
        debate = _debate(finish.args[0])
        rest = partial(self.interruption.resting, debate)
        during = partial(self.interruption.unheld, debate) if asks_people else nullcontext
        return Patience(self.find_availability(backend), self.retry.tries, rest, self.interruption.stop, during)

    def find_availability(self, backend: str) -> Availability:
        """Return the record of whether a backend can be reached."""
        if backend not in self.availability:
            self.availability[backend] = Availability(backend, self.retry.minutes, self.on_outage)
        return self.availability[backend]

    async def _count(self, finish: partial[Turn], coming: Coroutine[Any, Any, GenerateOutput]) -> GenerateOutput:
        """Return a reply, after counting its usage. No other task runs between its arrival and the count."""
        turn: TurnId = finish.args[0]
        try:
            await self.interruption.before_request(_debate(turn))
            output = await coming
        finally:
            coming.close()
        self.on_reply(turn, output.usage)
        return output

    async def _reply_apart(
        self, agent: AgentPlan, finish: partial[Turn], coming: Coroutine[Any, Any, GenerateOutput]
    ) -> GenerateOutput:
        """Return a reply of a turn with several, with its thought apart from its text, and without its seconds."""
        reply = await self._count(finish, coming)
        reply = replace(reply, usage=replace(reply.usage, seconds=0.0, person_seconds=0.0))
        return _separate(reply, agent.thinking.tags, self.backends[agent.backend].tokenizer)

    def _count_failure(self, error: BackendError | None, agent: AgentPlan, finish: partial[Turn]) -> None:
        """Raise `BackendError` after `retry.failures` failures in a row; a turn without an error ends the row."""
        self.failures_in_a_row = 0 if error is None else self.failures_in_a_row + 1
        if error is not None and (most := self.retry.failures) <= self.failures_in_a_row:
            if error.__cause__ is not None:  # a fault in the code of a backend: its author needs the traceback
                log.error("The last of %s failures in a row", most, exc_info=error.__cause__)
            raise BackendError(
                f"{most} turns in a row failed, the last on the backend {agent.backend!r}. {_place(finish)}: "
                f"{error.cause}",
                f"{error.remedy}\n  What is done is stored: correct the cause and run again with --resume "
                "(Python: resume=True).".strip(),
            ) from error

    def _read(self, output: GenerateOutput, agent: AgentPlan, item: Item, finish: partial[Turn], parse: Parse) -> Turn:
        """Return the turn of a reply, which is new, stored or from another run. Derives the answer and the confidence.

        A thought that is still in the text is taken out of it. If the task raises an error on the text, the turn fails
        and keeps its text.
        """
        output = _separate(output, agent.thinking.tags, self.backends[agent.backend].tokenizer)
        make_turn = partial(
            finish,
            finish_reason=output.finish_reason,
            usage=output.usage,
            logprob=output.logprob,
            tokens=output.tokens,
            thought=output.thought,
            calls=output.calls,
        )
        note = explain_end(output)
        if not output.text.strip():
            return make_turn(output.text, None, error=note)
        try:
            answer = parse(output.text, item)
        except SlowPatternError as error:
            return make_turn(output.text, None, error=f"No answer could be looked for: {error.cause}")
        except Exception as error:
            log.debug("A task broke", exc_info=True)
            return make_turn(
                output.text, None, status="failed", error=f"The task broke on the reply: {describe_error(error)}."
            )
        return make_turn(output.text, answer, confidence=_confidence(agent, output), error=note)


def _debate(turn: TurnId) -> tuple[int, str, int]:
    """Return what identifies the debate of a turn."""
    return turn.iteration, turn.item, turn.sample


def _took(backend: Backend, watch: Stopwatch) -> Usage:
    """Return the seconds of a turn: those of a person, or those of the backend."""
    return Usage(person_seconds=watch.seconds) if backend.asks_people else Usage(seconds=watch.seconds)


def _place(finish: partial[Turn]) -> str:
    """Return the place of a turn in its debate, in words."""
    i = finish("", None).id
    return f"Agent {i.agent!r} in phase {i.phase!r}, round {i.round}, on {i.item!r}"


def _confidence(agent: AgentPlan, output: GenerateOutput) -> float | None:
    """Return the confidence of a reply in [0, 1], as the role defines it, or None."""
    if agent.role.confidence == "stated":
        return stated_confidence(output.text)
    usage = own_usage(output) if output.calls else output.usage
    tokens = usage.generated_tokens - usage.thought_tokens
    if agent.role.confidence == "logprob" and output.logprob is not None and tokens > 0:
        return math.exp(min(output.logprob / tokens, 0.0))
    return None


def _separate(output: GenerateOutput, tags: tuple[str, str] | None, tokenizer: Tokenizer | None) -> GenerateOutput:
    """Return the output with a thought that its text still holds in its place.

    Drawn tokens stand for one thought and then the text, so with `tokens` only a thought before all text is taken out,
    and only if they can be decoded. Without them, the number of the thought's tokens is estimated by its characters.
    The log-probability of the text alone is unknown.
    """
    if output.thought:
        return output
    thought, text = split_thought(output.text, tags)
    start = len(output.text.rstrip()) - len(text)
    if text == output.text:
        return output
    if output.tokens is None:
        tokens = round(output.usage.generated_tokens * start / len(output.text))
    elif output.text[start:].rstrip() == text and isinstance(tokenizer, Decoder):
        drawn, decode = output.tokens, tokenizer.decode
        counts = range(len(drawn) + 1)
        tokens = bisect_left(counts, start, key=lambda count: len(decode(drawn[:count]))) if text else len(drawn)
    else:
        return output
    usage = replace(output.usage, thought_tokens=tokens)
    return replace(output, thought=thought, text=text, usage=usage, logprob=None)
