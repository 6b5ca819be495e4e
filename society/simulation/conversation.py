"""A turn with tools: replies and calls of tools in turn, until a reply calls none or a bound is reached."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from society.components.tools.toolbox import Toolbox
from society.core.errors import BackendError, ContextOverflowError
from society.core.exchanges import CLOSE, exchange
from society.core.identity import derive_seed
from society.core.plain import count
from society.core.types import (
    ChatMessage,
    GenerateOutput,
    GenerateRequest,
    Sampling,
    ToolCall,
    ToolSpec,
    Turn,
    TurnId,
    Usage,
)
from society.sandbox import RunCode, run_code

Ask = Callable[[GenerateRequest], Awaitable[GenerateOutput]]
"""Returns the reply to a request, with its thought apart from its text."""
Find = Callable[[str], GenerateOutput | None]
"""Returns the stored reply of a key, or None."""


@dataclass
class Conversation:
    """The replies and calls of one turn. `earlier`: the calls of earlier turns that the tools remember."""

    toolbox: Toolbox
    earlier: Sequence[ToolCall] = ()
    offered: tuple[ToolSpec, ...] = ()
    """The tools, where the model is offered them in its own format; in the plain text protocol, none."""
    run_code: RunCode = run_code
    calls: list[ToolCall] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    """The cost of the turn so far."""

    def sampling(self, given: Sampling) -> Sampling:
        """Return the sampling of the first reply: the end of a call ends it, and it has the tokens of the turn."""
        return self._limited(given if self.offered else replace(given, stop=(*given.stop, CLOSE)))

    def find(self, find: Find, key: str) -> GenerateOutput | None:
        """Return the stored reply of the turn, if everything that shaped it is the same. `key`: of the first request.

        A turn without calls is stored under this key. One with calls is stored under the key of `key_with_calls`.
        """
        return find(key) or find(self.key_with_calls(key))

    def finish(
        self,
        turn: TurnId,
        key: str,
        chat: tuple[ChatMessage, ...],
        text: str,
        answer: str | None,
        *,
        calls: tuple[ToolCall, ...] = (),
        **more: Any,
    ) -> Turn:
        """Return the turn with these fields, under its own key if it has calls. `key`: of the first request."""
        return Turn(turn, self.key_with_calls(key) if calls else key, chat, text, answer, calls=calls, **more)

    def key_with_calls(self, key: str) -> str:
        """Return the key of the turn if it has calls: a hash of `key` and of all that shapes the results."""
        return self.toolbox.key(key, self.earlier)

    async def run(self, request: GenerateRequest, ask: Ask) -> GenerateOutput:
        """Return the reply of the whole turn: the last reply, with all calls and the usage of all replies.

        Raises `BackendError` as `ask` does, also for a chat that the results have made too long.
        """
        asked = request
        while True:
            try:
                reply = await ask(asked)
            except ContextOverflowError as error:
                if not self.calls:
                    raise
                raise BackendError(f"After {count(len(self.calls), 'call')}: {error.cause}", error.remedy) from error
            self.usage += reply.usage
            other_stops = any(stop != CLOSE for stop in request.sampling.stop)
            found = self.toolbox.find_calls(reply, bool(self.offered), other_stops)
            made = await self._make(found, request.seed)
            if len(made) < len(found) or not found:
                break
            messages = (*asked.messages, *exchange(made))
            seed = derive_seed(request.seed, "call", len(self.calls))
            asked = replace(request, messages=messages, seed=seed, sampling=self._limited(request.sampling))
        text = reply.text if self.offered else self.toolbox.text_without_calls(reply)
        return replace(reply, text=text, usage=self.usage, calls=tuple(self.calls))

    async def _make(self, found: Sequence[ToolCall], seed: int) -> list[ToolCall]:
        """Make the calls of one reply in order, and return those that the bounds allow. A further one is refused."""
        made: list[ToolCall] = []
        for call in found:
            if refused := call.result or self._refuse():
                self._add(replace(call, status="refused", result=refused, reply=None))
                break
            known = [*self.earlier, *(c for c in self.calls if self.toolbox.remembers(c, same_turn=True))]
            last = len(self.calls) + 1 == self.toolbox.use.calls
            started = time.monotonic()
            made.append(await self.toolbox.make(call, known, seed, self.run_code, last))
            self._add(made[-1], time.monotonic() - started)
        return made

    def _add(self, call: ToolCall, seconds: float = 0.0) -> None:
        self.calls.append(call)
        self.usage += Usage(tool_calls=1, failed_calls=int(call.status != "ok"), tool_seconds=seconds)

    def _refuse(self) -> str:
        """Return why no further call is made, or ""."""
        use = self.toolbox.use
        if len(self.calls) >= use.calls:
            return f"the limit of calls in a turn is {use.calls}."
        if use.tokens is not None and self.usage.generated_tokens >= use.tokens:
            return f"the limit of tokens in a turn is {use.tokens:,}."
        return ""

    def _limited(self, sampling: Sampling) -> Sampling:
        """Return the sampling of a reply, which may only use the tokens that the turn has left."""
        if self.toolbox.use.tokens is None:
            return sampling
        left = max(self.toolbox.use.tokens - self.usage.generated_tokens, 1)
        return replace(sampling, max_tokens=min(sampling.max_tokens, left))
