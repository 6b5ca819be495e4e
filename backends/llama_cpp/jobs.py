"""One request in the scheduler: its prompt, and its result so far."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from backends.llama_cpp.native import Logits, Tokens, Vocabulary
from backends.llama_cpp.sampling import Choices, Sampler
from backends.llama_cpp.text import TextStream
from backends.models.thought_reader import Reader
from society.core.pieces import OnPiece, Piece, Pieces
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
    """A reply, drawn token by token: a thought that `reader` follows, if any, then the text.

    `limit` is the maximum number of tokens. Stop texts and choices apply to the text.
    """

    def __init__(
        self,
        prompt: list[int],
        adapter: str | None,
        sampler: Sampler,
        stop: Sequence[str],
        limit: int,
        choices: Choices | None,
        reader: Reader | None = None,
    ) -> None:
        super().__init__(prompt, adapter)
        self.next = prompt[-1]  # the token to compute next
        self._sampler, self._stop, self._limit, self._choices = sampler, stop, limit, choices
        self._reader, self._text = reader, TextStream(stop)
        self._drawn: list[int] = [] if reader is None else reader.ids
        self._held: list[int] = []  # drawn, and perhaps the beginning of a tag
        self._logprob = 0.0
        self._reason: FinishReason = "stop"
        self._pieces: Pieces | None = None

    def watch(self, on_piece: OnPiece) -> None:
        """Send the pieces of the reply to the loop that awaits it."""

        def send(piece: Piece) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody watches
                self.loop.call_soon_threadsafe(on_piece, piece)

        self._pieces = Pieces(send, self._stop)

    def advance(self, logits: Logits, vocabulary: Vocabulary) -> bool:
        """Draw the next token from `logits` [vocabulary]. Return whether the reply is complete."""
        token, logprob = self._sampler.draw(logits, self._allowed(vocabulary))
        self.next = token
        self._drawn.append(token)
        self._logprob += logprob
        done = self._speak(token, vocabulary) if self._reader is None else self._read(self._reader, token, vocabulary)
        if not done and len(self._drawn) >= self._limit:
            self._reason, done = "length", True
        if done:
            self._flush(vocabulary)
        if self._pieces is not None and not self.cancelled:
            self._tell(self._pieces, done)
        return done

    def _tell(self, pieces: Pieces, done: bool) -> None:
        """Send what is new in the reply."""
        thought = "" if self._reader is None else self._reader.thought
        text = "" if self._reader is not None and self._reader.thinking else self._text.text
        (pieces.finish if done else pieces.update)(thought, text)

    def _allowed(self, vocabulary: Vocabulary) -> Tokens | None:
        """Return the tokens that may come next, None for all."""
        reader = self._reader
        if reader is not None and (forced := reader.forced) is not None:
            return np.array([forced], np.int32)
        if self._choices is None:
            return None
        return vocabulary.speakable if reader is not None and reader.thinking else self._choices.allowed

    def _read(self, reader: Reader, token: int, vocabulary: Vocabulary) -> bool:
        """Take note of a token of the thought, or speak it. Return whether it ends the reply."""
        spoken = not reader.thinking and reader.forced is None
        ends = token in vocabulary.ends and not reader.belongs(token)
        if reader.add():
            self._begin_text(reader.lead)
        elif spoken and not reader.thinking:
            return self._speak(token, vocabulary)
        return ends

    def _begin_text(self, lead: str) -> None:
        """Begin the text after a thought."""
        self._text, self._held, self._logprob = TextStream(self._stop, trims=True), [], 0.0
        self._text.add(lead.encode())
        if self._choices is not None:
            self._choices = self._choices.restarted()

    def _speak(self, token: int, vocabulary: Vocabulary) -> bool:
        """Add a token to the text. Return whether it ends the reply."""
        self._held.append(token)
        if self._choices is not None:
            return self._choices.advance(token)
        if token in vocabulary.ends:
            return True
        if self._reader is None or not self._reader.undecided:
            self._flush(vocabulary)
        if self._text.stopped:
            self._reason = "stop_text"
        return self._text.stopped

    def _flush(self, vocabulary: Vocabulary) -> None:
        for token in self._held:
            if token not in vocabulary.ends and not self._text.stopped:
                self._text.add(vocabulary.piece(token))
        self._held = []

    def result(self) -> GenerateOutput:
        """Return the reply."""
        reader = self._reader
        rest = self._choices.rest if self._choices else ()
        thought, before = ("", 0) if reader is None else (reader.thought, reader.count)
        usage = Usage(len(self.prompt), len(self._drawn), self.cached, thought_tokens=before)
        tokens = (*self._drawn, *rest)
        if reader is not None and reader.thinking:  # cut off
            return GenerateOutput("", self._reason, usage, None, tokens, thought)
        return GenerateOutput(self._text.text, self._reason, usage, self._logprob, tokens, thought)


class Scoring(Job):
    """The log-probability of a given reply."""

    def __init__(self, prompt: list[int], adapter: str | None, reply: list[int]) -> None:
        super().__init__(prompt, adapter)
        self.reply: Tokens = np.array(reply, np.int32)
        self.logprob = 0.0

    def result(self) -> tuple[float, int]:
        """Return the sum over the reply's tokens, and their number."""
        return self.logprob, len(self.reply)
