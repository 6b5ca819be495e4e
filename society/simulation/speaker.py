"""One turn, from request to committed result: found in the store, or generated, retried and stored."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from society.answers.confidence import stated_confidence
from society.core.errors import BackendError, ContextOverflowError, InputError, SlowPatternError, describe_error
from society.core.identity import request_key, turn_seed
from society.core.interrupt import Interruption
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Item, Turn, TurnId, Usage
from society.scenario.expand import AgentPlan
from society.simulation.attempts import ask, storable
from society.simulation.clock import FairClock, Stopwatch

if TYPE_CHECKING:
    from backends.base import Backend
    from society.store import Store

log = logging.getLogger(__name__)

HOPELESS = 25
"""So many turns failing in a row end the run: something is broken for good."""


@dataclass
class Speaker:
    """Gives agents their turns. Every turn that it returns is committed to the store."""

    backends: Mapping[str, Backend]
    adapters: Mapping[str, str]  # from an adapter's path in the scenario to its content hash
    store: Store
    seed: int
    parse: Callable[[str, Item], str | None]
    on_turn: Callable[[Turn, bool], None]
    timeout: float | None = None  # seconds that a backend may take for one reply
    failures_in_a_row: int = 0
    interruption: Interruption = field(default_factory=Interruption)
    clocks: dict[str, FairClock] = field(default_factory=dict)  # by the name of the backend

    async def speak(
        self,
        turn: TurnId,
        agent: AgentPlan,
        chat: tuple[ChatMessage, ...],
        item: Item,
        reads: Sequence[TurnId] = (),
        choices: tuple[str, ...] = (),
    ) -> Turn:
        """The finished turn. A turn whose backend fails for good comes back with the status "failed".

        Raises `InputError` if the prompt cannot fit the context, `BackendError` when nothing works any more.
        """
        backend = self.backends[agent.backend]
        adapter = self.adapters.get(agent.adapter, agent.adapter) if agent.adapter else None
        request = GenerateRequest(chat, agent.sampling, turn_seed(self.seed, turn), adapter, choices)
        key = request_key(request, backend.model_hash)
        finish = partial(Turn, turn, key, chat, adapter=adapter, reads=tuple(reads))
        if (found := self.store.find(turn, key)) is not None:
            done = self._read(found, agent, item, finish)
            self.store.update_derived(done)
            self.on_turn(done, True)
            return done
        if (borrowed := self.store.find_reusable(key)) is not None:
            done = self._read(borrowed, agent, item, finish)
            await self.store.add(done, reused=True)
            self.on_turn(done, True)
            return done
        async with self.interruption.held():
            done = await self._generate(backend, request, agent, item, finish)
            await self.store.add(done)
        self.on_turn(done, False)
        return done

    async def _generate(
        self, backend: Backend, request: GenerateRequest, agent: AgentPlan, item: Item, finish: partial[Turn]
    ) -> Turn:
        """`finish` makes the turn out of what comes back."""
        watch = Stopwatch(self.clocks.setdefault(agent.backend, FairClock()))
        try:
            output = await ask(backend, request, self.timeout, watch)
        except ContextOverflowError as error:
            raise InputError(f"{_place(finish)}: {error.cause}", error.remedy) from error
        except BackendError as error:
            self._count_failure(error, agent, finish)
            cause, spent = storable(error.cause), Usage(seconds=watch.seconds)
            return finish("", None, status="failed", error=cause, usage=spent, replied=False)
        self.failures_in_a_row = 0
        return self._read(output, agent, item, finish)

    def _count_failure(self, error: BackendError, agent: AgentPlan, finish: partial[Turn]) -> None:
        """Raise `BackendError` when so many turns in a row have failed that nothing works any more."""
        self.failures_in_a_row += 1
        if self.failures_in_a_row >= HOPELESS:
            if error.__cause__ is not None:  # a fault in somebody's code: they will want to see where
                log.error("The last of %s failures in a row", HOPELESS, exc_info=error.__cause__)
            raise BackendError(
                f"{HOPELESS} turns in a row failed, the last on the backend {agent.backend!r}. {_place(finish)}: "
                f"{error.cause}",
                f"{error.remedy}\n  What is done is stored: mend the cause and run again with --resume.".strip(),
            ) from error

    def _read(self, output: GenerateOutput, agent: AgentPlan, item: Item, finish: partial[Turn]) -> Turn:
        """Return the turn that a reply makes, be it new, stored or of another run: here alone are answer and
        confidence derived. A turn that the task breaks on has failed, with its text."""
        said = partial(
            finish,
            finish_reason=output.finish_reason,
            usage=output.usage,
            logprob=output.logprob,
            tokens=output.tokens,
        )
        try:
            answer = self.parse(output.text, item)
        except SlowPatternError as error:
            return said(output.text, None, error=f"No answer could be looked for: {error.cause}")
        except Exception as error:
            log.debug("A task broke", exc_info=True)
            return said(
                output.text, None, status="failed", error=f"The task broke on the reply: {describe_error(error)}."
            )
        return said(output.text, answer, confidence=_confidence(agent, output))


def _place(finish: partial[Turn]) -> str:
    """Return the place of a turn in its debate, in words."""
    i = finish("", None).id
    return f"Agent {i.agent!r} in phase {i.phase!r}, round {i.round}, on {i.item!r}"


def _confidence(agent: AgentPlan, said: GenerateOutput) -> float | None:
    """How sure the reply is, in [0, 1], as the role says; None if it does not say."""
    if agent.role.confidence == "stated":
        return stated_confidence(said.text)
    if agent.role.confidence == "logprob" and said.logprob is not None and said.usage.generated_tokens:
        return math.exp(min(said.logprob / said.usage.generated_tokens, 0.0))
    return None
