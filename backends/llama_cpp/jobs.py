"""One request in the scheduler: its prompt, and its result so far."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from backends.llama_cpp.native import Logits, Tokens
from backends.llama_cpp.sampling import Choices, Sampler
from backends.llama_cpp.text import TextStream
from society.core.types import FinishReason, GenerateOutput, Usage


class Job(ABC):
    """A prompt to compute, with work after it. Created and awaited on an asyncio loop."""

    def __init__(self, prompt: list[int], adapter: str | None) -> None:
        self.prompt: Tokens = np.array(prompt, np.int32)
        self.adapter = adapter
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.cancelled = False  # set by the awaiting side, read by the worker
        self.cached = 0

    @abstractmethod
    def result(self) -> Any:
        """Return the result for the awaiting side."""


class Generation(Job):
    """A reply, drawn token by token."""

    def __init__(
        self,
        prompt: list[int],
        adapter: str | None,
        sampler: Sampler,
        text: TextStream,
        limit: int,
        choices: Choices | None,
    ) -> None:
        super().__init__(prompt, adapter)
        self.next = prompt[-1]  # the token to compute next
        self._sampler, self._text, self._limit, self._choices = sampler, text, limit, choices
        self._drawn: list[int] = []
        self._logprob = 0.0
        self._reason: FinishReason = "stop"

    def advance(self, logits: Logits, ends: frozenset[int], piece: Any) -> bool:
        """Draw the next token from `logits` [vocabulary]. Return whether the reply is complete."""
        token, logprob = self._sampler.draw(logits, self._choices.allowed if self._choices else None)
        self.next = token
        self._drawn.append(token)
        self._logprob += logprob
        if self._choices:
            if token not in ends:
                self._text.add(piece(token))
            return self._choices.advance(token)
        if token in ends:
            return True
        self._text.add(piece(token))
        if self._text.stopped:
            self._reason = "stop_text"
            return True
        if len(self._drawn) >= self._limit:
            self._reason = "length"
            return True
        return False

    def result(self) -> GenerateOutput:
        """Return the reply."""
        usage = Usage(len(self.prompt), len(self._drawn), self.cached)
        rest = self._choices.rest if self._choices else ()
        return GenerateOutput(self._text.text, self._reason, usage, self._logprob, (*self._drawn, *rest))


class Scoring(Job):
    """The log-probability of a given reply."""

    def __init__(self, prompt: list[int], adapter: str | None, reply: list[int]) -> None:
        super().__init__(prompt, adapter)
        self.reply: Tokens = np.array(reply, np.int32)
        self.logprob = 0.0

    def result(self) -> tuple[float, int]:
        """Return the sum over the reply's tokens, and their number."""
        return self.logprob, len(self.reply)
