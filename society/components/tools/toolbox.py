"""The tools of one agent: the instructions on them, the calls in a reply, and their results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from society.components.faults import faults_of
from society.components.tools.base import Tool, ToolError, ToolExample, ToolSession, ToolUse
from society.core.definition import defining
from society.core.exchanges import CLOSE, OPEN, exchange
from society.core.identity import fingerprint
from society.core.plain import storable
from society.core.results import ResultError
from society.core.types import CallStatus, ChatMessage, GenerateOutput, ToolCall, ToolSpec, Turn

if TYPE_CHECKING:
    from society.sandbox import RunCode

_CALL = re.compile(r"<use[ \t]+([A-Za-z][\w-]{0,63})[ \t]*>(.*?)(</use>|\Z)", re.DOTALL)
NO_MORE = "\n(That was the last call of this turn. Answer now.)"


@dataclass(frozen=True)
class Toolbox:
    """The tools of an agent by name, and the bounds of their use."""

    tools: Mapping[str, Tool]
    use: ToolUse

    @cached_property
    def instructions(self) -> str:
        """The text that explains the tools and the plain text protocol to an agent."""
        first = next(iter(self.tools.values()))
        listed = "\n".join(f"- {name}: {tool.explanation}" for name, tool in self.tools.items())
        most = "once" if self.use.calls == 1 else f"{self.use.calls} times"
        return (
            f"You can use tools:\n{listed}\n"
            f"To use one, write a line such as {OPEN.format(name=first.label)}{first.example}{CLOSE} and stop. You are "
            f"then given the result, and go on. You can use tools at most {most} in a turn. Answer without a tool when "
            "you know the answer."
        )

    @cached_property
    def specs(self) -> tuple[ToolSpec, ...]:
        """The tools as a model is offered them in its own format."""
        return tuple(ToolSpec(name, tool.explanation, tool.takes) for name, tool in self.tools.items())

    def example_chat(self, native: bool) -> tuple[ChatMessage, ...]:
        """Return the worked examples as messages; with `native`, in the model's own format."""
        takes = {name: tool.takes if native else "" for name, tool in self.tools.items()}
        return tuple(
            message for one in self.use.examples for message in _as_chat(one, takes.get(one.tool, "input" * native))
        )

    @property
    def longest_name(self) -> str:
        """The longest name of a tool, for estimates."""
        return max(self.tools, key=len)

    @property
    def longest_result(self) -> str:
        """A result of the maximum length, for estimates."""
        return "a1, " * (self.use.result // 4) + NO_MORE

    def find_calls(self, reply: GenerateOutput, native: bool, other_stops: bool = False) -> list[ToolCall]:
        """Return the calls of a reply, not yet made: those in the model's own format, or the first in its text.

        A call that may lack its end has the status `refused`. `other_stops`: see `find_call`.
        """
        if not native:
            call = self.find_call(reply, other_stops)
            return [] if call is None else [call]
        bare = replace(reply, calls=())
        return [replace(call, reply=None if place else bare) for place, call in enumerate(reply.calls)]

    def find_call(self, reply: GenerateOutput, other_stops: bool = False) -> ToolCall | None:
        """Return the first call in the text of a reply, not yet made. One that may lack its end is refused.

        `other_stops`: texts beside the end of a call end a reply, and the backend does not name the one that did.
        """
        found = _CALL.search(reply.text)
        if found is None or reply.usage.defaults:  # a person who is away calls nothing
            return None
        call = ToolCall(found[1], found[2].strip(), reply=reply)
        if found[3] or (reply.finish_reason == "stop_text" and not other_stops):
            return call
        why = "a stop text may have cut it" if reply.finish_reason == "stop_text" else "it is incomplete"
        return replace(call, status="refused", result=f"{why}.", reply=None)

    def text_without_calls(self, reply: GenerateOutput) -> str:
        """Return the text of a reply without its calls, which are no part of an answer."""
        return _CALL.sub("", reply.text).strip() if _CALL.search(reply.text) else reply.text

    async def make(
        self, call: ToolCall, earlier: Sequence[ToolCall], seed: int, run_code: RunCode, last: bool
    ) -> ToolCall:
        """Return the call with its result. `last`: no further call is allowed in the turn.

        `earlier` are the calls before it that the tools remember, of the turn and of earlier turns. Raises
        `ComponentError` if the tool raises anything but `ToolError`.
        """
        status: CallStatus = "ok"
        try:
            result = await self._result(call, earlier, seed, run_code)
        except ToolError as error:
            result, status = error.cause, "failed"
        result = _cut(storable(result), self.use.result) + NO_MORE * last
        return replace(call, result=result, status=status)

    async def _result(self, call: ToolCall, earlier: Sequence[ToolCall], seed: int, run_code: RunCode) -> str:
        tool = self.tools.get(call.tool)
        if tool is None:
            raise ToolError(f"There is no tool {call.tool!r:.80}. Tools: {', '.join(self.tools)}.")
        kept = tuple(one.given for one in earlier if one.tool == call.tool and one.status == "ok")
        with faults_of(tool, "call", f"on {call.given!r:.100}"):
            result = await tool.call(call.given, ToolSession(kept, seed, run_code))
            if not isinstance(result, str):
                raise ResultError(f"{type(result).__name__} and no text")
        return result

    def remembers(self, call: ToolCall, same_turn: bool) -> bool:
        """Return whether the tool of an earlier call still knows it."""
        keeps = self.tools[call.tool].keeps if call.tool in self.tools else "call"
        return keeps == "agent" or (keeps == "turn" and same_turn)

    def key(self, request: str, earlier: Sequence[ToolCall]) -> str:
        """Return the key of a turn with calls: a hash of the key of its first request and of all that shapes results.

        `earlier` are the calls of earlier turns that the tools remember.
        """
        known = [[call.tool, call.given] for call in earlier if call.status == "ok"]
        return fingerprint([request, self._identity, known])

    @cached_property
    def _identity(self) -> str:
        tools = [[name, defining(tool), tool.identity()] for name, tool in self.tools.items()]
        return fingerprint([tools, defining(self.use)])


def _as_chat(example: ToolExample, parameter: str) -> Iterator[ChatMessage]:
    reply = GenerateOutput("" if parameter else f"{OPEN.format(name=example.tool)}{example.give}")
    yield ChatMessage("user", example.question)
    yield from exchange([ToolCall(example.tool, example.give, example.result, reply=reply, parameter=parameter)])
    yield ChatMessage("assistant", example.answer)


def remembered(box: Toolbox, turns: Sequence[Turn]) -> tuple[ToolCall, ...]:
    """Return the calls of an agent's earlier turns that its tools remember."""
    return tuple(call for turn in turns for call in turn.calls if box.remembers(call, same_turn=False))


def _cut(text: str, longest: int) -> str:
    """Return the text, with the middle left out where it is too long."""
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n... {len(text) - longest:,} characters left out ...\n{text[len(text) - (longest - half) :]}"
