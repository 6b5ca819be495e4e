"""A backend whose replies a person types: one question at a time, checked before it becomes a reply."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Annotated, ClassVar, Literal, Self

from annotated_types import Len
from pydantic import AfterValidator, Field

from backends.base import Ability, Backend, BackendConfig
from backends.human.asking import Asker, EntryError, Question, current_asker
from society.core.errors import BackendError, InputError
from society.core.identity import fingerprint
from society.core.types import GenerateOutput, GenerateRequest, Usage

Reply = tuple[str, bool]
"""The text of a reply, and whether a stop text ended it."""
LONGEST_LIMIT = 604_800
"""Maximum of `time_limit`, in seconds: a week."""


def _on_one_line(name: str) -> str:
    if name != name.strip() or not name.isprintable():
        raise ValueError("must be on one line, without control characters and without spaces at its ends")
    return name


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must have a visible character; leave it out for none")
    return text


class Human(BackendConfig):
    """Asks a person for each reply, in the terminal or with `society run --view` on a page.

    The person is shown the messages that a model would get, and nothing else.
    """

    abilities: ClassVar[frozenset[Ability]] = frozenset({"choices"})
    sampling_options: ClassVar[frozenset[str]] = frozenset({"max_tokens", "stop"})
    kind: Literal["human"] = "human"
    person: Annotated[str, Len(1, 60), AfterValidator(_on_one_line)] = "you"
    """Name or code of the person, as the person is addressed. Backends of the same name ask the same person."""
    time_limit: float | None = Field(None, gt=0, le=LONGEST_LIMIT, json_schema_extra={"tuning": True})
    """Seconds for one reply, from the moment at which the question is shown. By default there is no limit."""
    default: Annotated[str, AfterValidator(_not_blank)] | None = None
    """Reply that is taken after `time_limit`. Without it, the turn fails then."""

    @property
    def asked_person(self) -> str:
        return self.person

    def idle(self) -> Mapping[tuple[str | int, ...], str]:
        if self.default is not None and self.time_limit is None:
            return {("default",): "has no effect: without a limit, a reply is awaited forever; set `time_limit`"}
        return {}

    def check_here(self) -> None:
        current_asker().check()

    def open(self) -> HumanBackend:
        """Return the backend. It asks where people are asked now."""
        return HumanBackend(self, current_asker())


class HumanBackend(Backend):
    """Asks one person. A reply depends on the person alone, so equal requests may have different replies."""

    asks_people = True

    def __init__(self, config: Human, asker: Asker) -> None:
        self.config, self._asker = config, asker
        self.model_hash = fingerprint({"kind": config.kind, "person": config.person})
        self._open = False

    async def __aenter__(self) -> Self:
        self._open = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False

    async def check(self, requests: Sequence[GenerateRequest]) -> None:
        """Raise `InputError` if `default` is no reply to such a request."""
        for request in requests if self.config.default is not None else ():
            try:
                question = self._question(request)
                question.read(self.config.default or "")
                if not request.choices and question.stop_in(self.config.default or "") is not None:
                    raise EntryError("it has a stop text, and is taken as it is.")
            except EntryError as error:
                options = f" Choose one of: {', '.join(request.choices[:12])}." if request.choices else ""
                raise InputError(
                    f"The default {self.config.default!r:.80} is no reply for {self.config.person!r}: {error}",
                    f"Change `default` of the backend.{options}",
                ) from None

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        """Return the person's reply. Raises `BackendError` if none comes within the limit and there is no default."""
        self._require(request)
        question = self._question(request)
        clock = asyncio.get_running_loop().time
        async with self._asker.turn(question.person):
            shown = clock()
            typed = await self._reply(question)
        usage = Usage(person_seconds=max(0.0, clock() - shown), defaults=int(typed is None))
        if typed is None:
            return GenerateOutput(self._default(question), usage=usage)
        text, stopped = typed
        return GenerateOutput(text, "stop_text" if stopped else "stop", usage)

    def _require(self, request: GenerateRequest) -> None:
        """Raise `BackendError` for a request that no person can answer."""
        if not self._open:
            raise BackendError("The human backend is not open.", "Use it inside `async with config.open()`.")
        if not request.messages:
            raise BackendError("The request has no messages.", "Give at least one user message.")
        if request.adapter is not None:
            raise BackendError("A person has no adapter.", "Take `adapter` out of this agent.")

    def _question(self, request: GenerateRequest) -> Question:
        config, sampling = self.config, request.sampling
        limits = (sampling.max_tokens, sampling.stop, config.time_limit, config.default)
        return Question(config.person, request.messages, request.choices, request.options, *limits)

    async def _reply(self, question: Question) -> Reply | None:
        """Return what the person typed; None after the limit."""
        try:
            async with asyncio.timeout(question.seconds) as limit:
                return await self._ask(question)
        except TimeoutError:
            if not limit.expired():
                raise
            return None

    def _default(self, question: Question) -> str:
        """Return the reply after the limit. Raises `BackendError` if there is none for this question."""
        late = f"{question.person!r} gave no reply within {question.seconds:g} s"
        if question.default is None:
            raise BackendError(
                f"{late}.",
                "Run again with --resume (Python: resume=True) to ask again, raise `time_limit`, or set `default`.",
            )
        try:
            return question.read(question.default) if question.choices else question.default
        except EntryError:
            raise BackendError(
                f"{late}, and the default {question.default!r:.80} is none of: {', '.join(question.choices)}.",
                "Run again with --resume (Python: resume=True) to ask again, or raise `time_limit`.",
            ) from None

    async def _ask(self, question: Question) -> Reply:
        """Ask until an entry is a reply."""
        while True:
            entry = await self._asker.ask(question)
            try:
                text = question.read(entry)
                return text, not question.choices and question.stop_in(entry) is not None
            except EntryError as error:
                question = replace(question, fault=f"{error}")
