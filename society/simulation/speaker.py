"""One turn, from request to committed result: found in the store, or generated, retried and stored."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from society.errors import BackendError, ContextOverflowError, InputError, TransientError
from society.identity import request_key, turn_seed
from society.scenario.expand import AgentPlan
from society.types import ChatMessage, GenerateOutput, GenerateRequest, Item, Turn, TurnId, Usage

if TYPE_CHECKING:
    from backends.base import Backend
    from society.store import Store

TRIES = 4
"""Attempts at a turn whose failure may pass; the waits between them double from `FIRST_WAIT` seconds."""
FIRST_WAIT = 0.5
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
    failures_in_a_row: int = 0

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
        stored = self.store.find(turn, key)
        if stored is not None:
            done = replace(stored, messages=chat, reads=tuple(reads))
            self.on_turn(done, True)
            return done
        borrowed = self.store.borrow(turn, key)
        if borrowed is not None:
            done = replace(borrowed, messages=chat, reads=tuple(reads))
            await self.store.add(done, reused=True)
            self.on_turn(done, True)
            return done
        finish = partial(Turn, turn, key, chat, adapter=adapter, reads=tuple(reads))
        done = await self._generate(backend, request, agent, item, finish)
        await self.store.add(done)
        self.on_turn(done, False)
        return done

    async def _generate(
        self, backend: Backend, request: GenerateRequest, agent: AgentPlan, item: Item, finish: partial[Turn]
    ) -> Turn:
        """`finish` makes the turn out of what comes back."""
        started = time.perf_counter()
        try:
            output = await _with_retries(backend, request)
        except ContextOverflowError as error:
            i = finish("", None).id
            who = f"Agent {i.agent!r} in phase {i.phase!r}, round {i.round}, on {i.item!r}"
            raise InputError(f"{who}: {error.cause}", error.remedy) from error
        except BackendError as error:
            self.failures_in_a_row += 1
            if self.failures_in_a_row >= HOPELESS:
                raise BackendError(
                    f"{HOPELESS} turns in a row failed, the last with: {error.cause}",
                    f"{error.remedy}\n  What is done is stored: mend the cause and run again with --resume.".strip(),
                ) from error
            return finish("", None, status="failed", error=error.cause, usage=_spent(started))
        self.failures_in_a_row = 0
        return finish(
            text=output.text,
            answer=self.parse(output.text, item),
            finish_reason=output.finish_reason,
            usage=output.usage,
            logprob=output.logprob,
            confidence=_confidence(agent, output),
        )


async def _with_retries(backend: Backend, request: GenerateRequest) -> GenerateOutput:
    for attempt in range(TRIES):
        try:
            return await backend.generate(request)
        except TransientError:
            if attempt == TRIES - 1:
                raise
            await asyncio.sleep(FIRST_WAIT * 2**attempt)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _spent(started: float) -> Usage:
    return Usage(seconds=time.perf_counter() - started)


_STATED = re.compile(
    r"confidence\W{0,12}(?:is|of|level|:|=|\W){0,4}\W{0,4}(\d{1,3}(?:\.\d{1,6})?)\s*(%|/\s*10\b)?", re.I
)


def _confidence(agent: AgentPlan, said: GenerateOutput) -> float | None:
    """How sure the reply is, in [0, 1], as the role says; None if it does not say."""
    if agent.role.confidence == "stated":
        return stated_confidence(said.text)
    if agent.role.confidence == "logprob" and said.logprob is not None and said.usage.generated_tokens:
        return math.exp(said.logprob / said.usage.generated_tokens)
    return None


def stated_confidence(text: str) -> float | None:
    """The last "confidence: 0.8", "confidence is 80%" or "confidence 8/10" in the text, in [0, 1]."""
    found = _STATED.findall(text)
    if not found:
        return None
    number, unit = float(found[-1][0]), found[-1][1]
    scale = 100 if unit == "%" or (not unit and number > 10) else 10 if unit or number > 1 else 1
    return min(number / scale, 1.0)
