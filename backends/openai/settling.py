"""Finds out by small requests which fields a server honours, before the first turn.

Servers ignore fields that they do not know, and some ignore fields that they do. A field is used only if it has an
effect on this server; otherwise the scenario's option is an error. Names that the documentation of a server decides are
not probed (`Dialect.names`). Each answer is found once.

    top_k, min_p      with the most likely token alone, two seeds give the same text at a high temperature
    repeat_penalty    changes the text at temperature 0
    thinking          a switch changes the prompt, or whether there is a thought; a budget shortens the thought
    template_args     change the prompt
    choices           a reply is one of two unlikely choices
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from backends.base import changed_options
from backends.openai.choices import Constrain, read_choice
from backends.openai.dialects import STANDARD, Dialect, Fields
from backends.openai.thinking import (
    EFFORT,
    Budget,
    Switch,
    Variables,
    merge,
    opens_thought,
    separate,
    template_variables,
)
from backends.openai.wire import Completion
from society.core.errors import BackendError, TransientError
from society.core.thoughts import split_thought
from society.core.types import ChatMessage, GenerateRequest, Sampling

Ask = Callable[[GenerateRequest, Fields], Awaitable[Completion]]
"""Sends a request with more fields, and returns the server's response."""
Render = Callable[[str, Fields], Awaitable[str | None]]
"""Returns the prompt of a question with these fields; None if the server renders no prompts."""
_NARROW: Mapping[str, float] = {"top_k": 1, "min_p": 0.999}
"""Values that leave the most likely token alone."""
_CHOICES = ("zebra seven", "quartz nine")
_DRAWN = "Name animals that live in the sea."
_REPEATED = "Write the word 'yes' twenty times."
_PONDERED = "How many prime numbers are smaller than 60? Think carefully."


@dataclass(frozen=True)
class _Seen:
    """Facts about a reply that fields may change."""

    prompt: object
    thought: str
    text: str
    hidden: bool = False
    """Whether the server keeps the thought to itself, and there is no text."""

    @property
    def reply(self) -> tuple[str, str]:
        """All that was said."""
        return self.thought, self.text


class Settler:
    """Settles the fields of requests to one server. `ask` sends small requests to it."""

    def __init__(self, name: str, dialect: Dialect, ask: Ask, render: Render) -> None:
        self._name = name
        self._dialect = dialect
        self._ask = ask
        self._render = render
        self._known: dict[Hashable, Any] = {}
        self._lock = asyncio.Lock()

    async def settle(self, request: GenerateRequest) -> Fields:
        """Return the fields of a request beyond those of the dialect. Raises `BackendError` for an ignored option."""
        parts = [await self._options(request.sampling)]
        thinking, variables = request.thinking, dict(request.template_args)
        if thinking.enabled is not None:
            parts.append(await self._once(("switch", thinking.enabled), lambda: self._switched(thinking.enabled)))
        if thinking.budget is not None:
            way: Budget = await self._once("budget", self._find_budget)
            parts.append(way(thinking.budget) or {})
        if variables:
            key = ("variables", *sorted(variables.items()))
            parts.append(await self._once(key, lambda: self._find_variables(variables)))
        if request.choices:
            constrain: Constrain = await self._once("choices", self._find_constraint)
            parts.append(constrain(request.choices))
        return merge(*parts)

    async def opens(self, fields: Fields, tags: tuple[str, str] | None) -> bool:
        """Return whether prompts with these fields open a thought. Known only of servers that render prompts."""
        variables = _variables(fields)
        prompt = await self._once(("prompt", json.dumps(variables)), lambda: self._render(_DRAWN, variables))
        return opens_thought(prompt, tags)

    async def leaves(self, fields: Fields, tags: tuple[str, str] | None) -> bool:
        """Return whether prompts open a thought that the server then leaves in the text of the reply.

        Other servers separate thoughts, or leave them between their tags.
        """
        return await self.opens(fields, tags) and await self._leaves_thoughts(fields)

    async def _leaves_thoughts(self, fields: Fields) -> bool:
        """Return whether the server does not separate thoughts that the prompt opens."""
        variables, request = _variables(fields), _request(_DRAWN, Sampling(temperature=0.0, max_tokens=8), 1)
        key = ("opened", json.dumps(variables))
        if key not in self._known:
            self._known[key] = not (await self._ask(request, variables)).choices[0].message.thought
        return bool(self._known[key])

    async def _once(self, key: Hashable, find: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `find` returns or raises, from the first call with this key on. Transient errors are not kept."""
        if key not in self._known:
            async with self._lock:
                if key not in self._known:
                    try:
                        self._known[key] = await find()
                    except TransientError:
                        raise
                    except BackendError as error:
                        self._known[key] = error
        found = self._known[key]
        if isinstance(found, BackendError):
            raise BackendError(found.cause, found.remedy)
        return found

    # Sampling

    async def _options(self, sampling: Sampling) -> Fields:
        fields: Fields = {}
        for ours in changed_options(sampling):
            if ours in STANDARD or ours in self._dialect.names or ours not in self._dialect.guesses:
                continue  # the dialect sends it, or refuses it
            find = self._find_narrowing if ours in _NARROW else self._find_penalty
            theirs: str = await self._once(ours, lambda ours=ours, find=find: find(ours))  # type: ignore[misc]
            fields[theirs] = getattr(sampling, ours)
        return fields

    async def _find_narrowing(self, ours: str) -> str:
        """Return the server's name of top_k or min_p."""
        if not await self._varies({}):
            return self._dialect.guesses[ours][0]  # replies do not vary: there is nothing that it could narrow
        for theirs in self._dialect.guesses[ours]:
            if await self._accepts(self._varies({theirs: _NARROW[ours]})) is False:
                return theirs
        raise self._ignores(f"sampling.{ours}")

    async def _varies(self, fields: Fields) -> bool:
        """Return whether two seeds give two replies at a high temperature. Nothing is known of hidden thoughts."""
        seen = [await self._see(_DRAWN, fields, temperature=2.0, seed=seed) for seed in (1, 2)]
        return seen[0].reply != seen[1].reply or any(one.hidden for one in seen)

    async def _find_penalty(self, ours: str) -> str:
        """Return the server's name of the penalty on repeats."""
        plain = await self._see(_REPEATED, {})
        for theirs in self._dialect.guesses[ours]:
            changed = await self._accepts(self._see(_REPEATED, {theirs: 2.0}))
            if changed is not None and changed.reply != plain.reply:
                return theirs
        raise self._ignores(f"sampling.{ours}")

    # Thinking

    async def _switched(self, enabled: bool | None) -> Fields:
        """Return the fields that switch thinking; none if the model does so by itself."""
        switch: Switch | None = await self._find_switch()
        if switch is not None:
            return switch(bool(enabled)) or {}
        thinks = bool((await self._see(_PONDERED, {})).thought)
        if thinks != enabled:
            raise self._ignores("thinking.enabled", "Leave it out, or use a model that can be switched.")
        return {}

    async def _find_switch(self) -> Switch | None:
        if "switch" not in self._known:
            self._known["switch"] = None
            for switch in self._dialect.thinking.switches:
                on = await self._accepts(self._see(_PONDERED, switch(True) or {}))
                off = await self._accepts(self._see(_PONDERED, switch(False) or {}))
                if on and off and (on.prompt, bool(on.thought)) != (off.prompt, bool(off.thought)):
                    self._known["switch"] = switch
                    break
        found: Switch | None = self._known["switch"]
        return found

    async def _find_budget(self) -> Budget:
        if not self._dialect.thinking.budgets:
            effort = "set thinking.template_args: {reasoning_effort: low}, " * bool(self._dialect.thinking.variables)
            raise BackendError(
                f"{self._name} has no budget of thoughts.",
                f"Remove thinking.budget. For short thoughts, {effort}set thinking.enabled: false, or raise "
                "sampling.max_tokens.",
            )
        switch = await self._find_switch()
        thinking = (switch(True) if switch else None) or {}
        free = await self._see(_PONDERED, thinking)
        for budget in self._dialect.thinking.budgets:
            limited = await self._accepts(self._see(_PONDERED, merge(thinking, budget(1) or {})))
            if limited is not None and len(limited.thought) < len(free.thought) / 2:
                return budget
        why = "" if free.thought else " The model did not think when it was asked to."
        raise self._ignores("thinking.budget", f"Leave it out. {self._dialect.thinking.hint}{why}".strip())

    async def _find_variables(self, variables: Mapping[str, Any]) -> Fields:
        for way in self._dialect.thinking.variables:
            fields = way(variables)
            if fields is None:
                continue
            seen = await self._accepts(self._see(_PONDERED, fields))
            if seen is None:
                continue
            if way is template_variables:
                if not await self._unread(variables, seen):
                    return fields
            elif not self._dialect.guesses or await self._reads_effort(way):
                return fields
        names = ", ".join(variables)
        if not any(way(variables) for way in self._dialect.thinking.variables):
            known = f"It knows {EFFORT} alone." if self._dialect.thinking.variables else "It knows none."
            raise BackendError(
                f"{self._name} does not take thinking.template_args ({names}).", f"Leave it out. {known}"
            )
        raise self._ignores(f"thinking.template_args ({names})", "Leave it out, or correct the name of the variable.")

    async def _reads_effort(self, way: Variables) -> bool:
        """Return whether the extremes of the reasoning effort differ."""
        least, most = [
            await self._accepts(self._see(_PONDERED, way({EFFORT: level}) or {})) for level in ("none", "high")
        ]
        return bool(least and most and (least.prompt, bool(least.thought)) != (most.prompt, bool(most.thought)))

    async def _unread(self, variables: Mapping[str, Any], seen: _Seen) -> list[str]:
        """Return the variables that do not change the prompt: the chat template does not read them."""
        unread = []
        for name, value in variables.items():
            fields = template_variables({**variables, name: _other(value)})
            changed = await self._accepts(self._see(_PONDERED, fields))
            if changed is not None and changed.prompt == seen.prompt:
                unread.append(name)
        return unread

    # Choices

    async def _find_constraint(self) -> Constrain:
        """Return the constraint that works. Some reasoning parsers apply one only where thinking is off."""
        switch = await self._find_switch()
        off = (switch(False) if switch else None) or {}
        for more in ({}, off) if off else ({},):
            for constrain in self._dialect.choices:
                request = _request("Choose one.", Sampling(), 1)
                fields = merge(constrain(_CHOICES), more)
                said = await self._accepts(self._ask(replace(request, choices=_CHOICES), fields))
                if said is not None and read_choice(said.choices[0].message.text, _CHOICES) is not None:
                    return lambda choices, constrain=constrain, more=more: merge(constrain(choices), more)  # type: ignore[misc]
        raise self._ignores(
            "the choices of a phase",
            "Use a server with structured output, or let the agents answer in their own words.",
        )

    # Requests

    async def _see(self, question: str, fields: Fields, temperature: float = 0.0, seed: int = 1) -> _Seen:
        request = _request(question, Sampling(temperature=temperature, max_tokens=48), seed)
        said = await self._ask(request, fields)
        message, prompt = said.choices[0].message, await self._render(question, fields)
        opened = opens_thought(prompt) and await self._leaves_thoughts(fields)
        thought, text = separate(message.thought, message.text, opened)
        if not thought:
            thought, text = split_thought(text)
        hidden = not thought and bool(said.usage and said.usage.reasoning)
        if hidden and said.usage:
            thought = "?" * (said.usage.reasoning or 0)
        counted = said.usage.prompt_tokens if prompt is None and said.usage else prompt
        return _Seen(counted, thought, text, hidden and not text)

    @staticmethod
    async def _accepts(asked: Awaitable[Any]) -> Any:
        """Return the result of a request; None if the server refuses its fields. Raises transient errors."""
        try:
            return await asked
        except TransientError:
            raise
        except BackendError:
            return None

    def _ignores(self, option: str, remedy: str = "") -> BackendError:
        return BackendError(
            f"{self._name} ignores or refuses {option}: it changed nothing in a test request.",
            remedy or f"Leave {option} out, or use another server.",
        )


def _variables(fields: Fields) -> Fields:
    """Return the fields that shape the prompt."""
    return {name: fields[name] for name in ("chat_template_kwargs",) if name in fields}


def _request(question: str, sampling: Sampling, seed: int) -> GenerateRequest:
    return GenerateRequest((ChatMessage("user", question),), sampling, seed)


def _other(value: Any) -> Any:
    """Return another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return "low" if value != "low" else "high"
