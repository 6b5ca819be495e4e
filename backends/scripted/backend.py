"""A backend without a model: it answers by rules, and every random draw depends on the request's seed.

Scripted           the `backends:` entry: the rules (see `backends.scripted.rules`), tried in order
ScriptedBackend    the opened backend; a word counts as a token
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from backends.base import ALL_OPTIONS, Ability, Backend, BackendConfig
from backends.scripted.rules import RequestView, Rule, too_slow
from society.core.definition import defining
from society.core.errors import BackendError, ContextOverflowError, TransientError
from society.core.hashing import hash_path
from society.core.identity import fingerprint
from society.core.pieces import OnPiece, Pieces
from society.core.templating.patterns import MATCH_SECONDS, compile_pattern
from society.core.types import (
    Adapter,
    ChatMessage,
    FinishReason,
    GenerateOutput,
    GenerateRequest,
    Sampling,
    Thinking,
    Usage,
)

DEFAULT_REPLY = "I have nothing to say about this."
_WORD = re.compile(r"\S+")


class Scripted(BackendConfig):
    """Answers by rules instead of a model, for tests, theory and dry runs."""

    # Rules have no probabilities and no chat template, so that some of these options change nothing.
    sampling_options: ClassVar[frozenset[str]] = ALL_OPTIONS
    thinking_options: ClassVar[frozenset[str]] = frozenset({"enabled", "budget", "template_args"})
    abilities: ClassVar[frozenset[Ability]] = frozenset({"tokenizer", "choices", "adapters", "streaming"})
    greedy_at_zero: ClassVar[bool] = False
    reads_instructions: ClassVar[bool] = False
    kind: Literal["scripted"] = "scripted"
    rules: list[Rule] = Field(default_factory=list)
    """Rules, tried in order. The first rule that applies and has a reply answers."""
    delay: float = Field(0.0, ge=0, json_schema_extra={"tuning": True})
    """Seconds until a reply arrives."""
    context: int | None = Field(None, ge=1)
    """Maximum number of words of a prompt together with its answer; unlimited by default."""

    def context_tokens(self) -> int | None:
        return self.context

    @property
    def unknown_context(self) -> str:
        return ""

    def idle(self) -> Mapping[tuple[str | int, ...], str]:
        reasons: dict[tuple[str | int, ...], str] = {}
        for i, rule in enumerate(self.rules):
            if rule.always_answers and i + 1 < len(self.rules):
                reason = "is never tried: the rule before it always answers; put it first, or give the other a `when`"
                reasons["rules", i + 1] = reason
            if rule.calculate is not None and rule.calculate.skill == 1 and "wrong" in rule.calculate.model_fields_set:
                reason = "has no effect: with a `skill` of 1 no answer is wrong; remove it"
                reasons["rules", i, "calculate", "wrong"] = reason
            if rule.average is not None and rule.average.low > rule.average.high:
                reason = f"`low` ({rule.average.low:g}) is above `high` ({rule.average.high:g}); exchange them"
                reasons["rules", i, "average", "low"] = reason
        return reasons

    def open(self) -> ScriptedBackend:
        """Return the backend, with its regular expressions compiled."""
        return ScriptedBackend(self)


class Words:
    """A tokenizer whose tokens are words."""

    def count(self, messages: Sequence[ChatMessage], *_: object) -> int:
        """Return the number of words of all messages."""
        return sum(len(message.content.split()) for message in messages)


class ScriptedAdapters:
    """Accepts any adapter. Adapters do not change the replies."""

    def __init__(self) -> None:
        self.hashes: set[str] = set()

    def identify(self, path: Path) -> Adapter:
        """Return the adapter of any file or folder."""
        return Adapter(hash_path(path), str(path), "")

    async def load(self, adapter: Adapter) -> None:
        """Make `adapter.hash` usable in requests."""
        self.hashes.add(adapter.hash)


class ScriptedBackend(Backend):
    """Answers by the rules of its configuration. A reply depends only on the request, including its seed."""

    def __init__(self, config: Scripted) -> None:
        self.config = config
        self.tokenizer: Words = Words()
        self.adapters: ScriptedAdapters = ScriptedAdapters()
        self.model_hash = fingerprint(_identify(config))
        self._rules = [(_pattern(rule.when), _pattern(rule.system), rule) for rule in config.rules]
        self._failures: Counter[GenerateRequest] = Counter()
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        self.streaming = self
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        self.streaming = None

    async def stream(self, request: GenerateRequest, on_piece: OnPiece) -> GenerateOutput:
        """Answer as `generate` does, and call `on_piece` with each word."""
        output = await self.generate(request)
        pieces = Pieces(on_piece)
        for word in _WORD.finditer(output.thought):
            pieces.update(output.thought[: word.end()], "")
            await asyncio.sleep(0)
        for word in _WORD.finditer(output.text):
            pieces.update(output.thought, output.text[: word.end()])
            await asyncio.sleep(0)
        pieces.finish(output.thought, output.text)
        return output

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Answer with the first rule that has a reply."""
        prompt = self._check(request)
        if self.config.delay:
            await asyncio.sleep(self.config.delay)
        random = Random(request.seed)
        try:
            thought, text = self._reply(request, random)
            thought = _think(thought, request.thinking)
        except TransientError:
            self._failures[request] += 1
            raise
        finish: FinishReason = "stop"
        if request.choices:
            text = text if text in request.choices else random.choice(request.choices)
            thought, _ = _limit(thought, max(request.sampling.max_tokens - len(text.split()), 0))
        else:
            thought, text, finish = _cut_reply(thought, text, request.sampling)
        words = len(thought.split())
        return GenerateOutput(
            text, finish, Usage(prompt, words + len(text.split()), thought_tokens=words), thought=thought
        )

    def _check(self, request: GenerateRequest) -> int:
        """Return the number of words of the prompt. Raises `BackendError` for a request that cannot be answered."""
        if not self._open:
            raise BackendError("The scripted backend is not open.", "Use it inside `async with config.open()`.")
        if not request.messages:
            raise BackendError("The request has no messages.", "Give at least one user message.")
        if request.adapter is not None and request.adapter not in self.adapters.hashes:
            raise BackendError(f"No adapter {request.adapter} is loaded.", "Call `adapters.load` with it first.")
        prompt, limit = self.tokenizer.count(request.messages), request.sampling.max_tokens
        context = self.config.context
        if context is not None and prompt + limit > context:
            raise ContextOverflowError(prompt, limit, context)
        return prompt

    def _reply(self, request: GenerateRequest, random: Random) -> tuple[str, str]:
        """Return the thought and the text of the first rule that has a reply."""
        users = [message.content for message in request.messages if message.role == "user"]
        system = next((message.content for message in request.messages if message.role == "system"), "")
        view = RequestView(users, None, random, self._failures[request] if self._failures else 0)
        for when, role, rule in self._rules:
            if role is not None and _search(role, system) is None:
                continue
            view.match = _search(when, view.last) if when is not None else None
            if when is not None and view.match is None:
                continue
            text = rule.reply(view)
            if text is not None:
                return rule.thought(view), text
        return "", DEFAULT_REPLY


def _identify(config: Scripted) -> Any:
    """Return what defines the replies. A rule without `think` is as it was before rules had thoughts."""
    found = defining(config)
    for rule in found["rules"]:
        if rule["think"] is None:
            del rule["think"]
    return found


def _think(thought: str, thinking: Thinking) -> str:
    """Return the thought as these settings allow it: at most `budget` words, and none if it is not enabled."""
    if thinking.enabled is False:
        return ""
    return thought if thinking.budget is None else _limit(thought, thinking.budget)[0]


def _cut_reply(thought: str, text: str, sampling: Sampling) -> tuple[str, str, FinishReason]:
    """Return thought, text and the reason for the end. The thought counts as tokens; no stop text ends it."""
    thought, cut = _limit(thought, sampling.max_tokens)
    left = sampling.max_tokens - len(thought.split())
    if cut or (thought and not left):
        return thought, "", "length"
    return thought, *_cut(text, sampling.stop, left)


def _pattern(pattern: str | None) -> Any:
    return None if pattern is None else compile_pattern(pattern)


def _search(pattern: Any, text: str) -> Any:
    """Return the first match or None. Raises `BackendError` if the search takes too long."""
    try:
        return pattern.search(text, timeout=MATCH_SECONDS)
    except TimeoutError:
        raise too_slow(f"{pattern.pattern!r:.80}") from None


def _cut(text: str, stops: Sequence[str], max_tokens: int) -> tuple[str, FinishReason]:
    """Return the text up to the first stop text and the last allowed word, and the reason for its end."""
    ends = [at for stop in stops if stop and (at := text.find(stop)) >= 0]
    text = text[: min(ends)] if ends else text
    text, cut = _limit(text, max_tokens)
    if cut:
        return text, "length"
    return text, "stop_text" if ends else "stop"


def _limit(text: str, limit: int) -> tuple[str, bool]:
    """Return the text up to this number of words, and whether it has more."""
    words = list(_WORD.finditer(text)) if len(text) > limit else []  # no text has more words than characters
    if len(words) <= limit:
        return text, False
    return text[: words[limit - 1].end()] if limit else "", True
