"""Questions to people on pages of their own. A person's page knows that person's open question and nothing else."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from backends.human.asking import Asker, Question
from society.core.errors import SocietyError


@dataclass
class _Open:
    """A question that waits for an entry. `first`: its number before it was asked again. `until`: the loop's time at
    which it is taken back."""

    number: int
    first: int
    question: Question
    entry: asyncio.Future[str]
    until: float | None
    sent: bool = False


class PageAsker(Asker):
    """Asks each person on a page. `tokens` are the secret parts of the pages' addresses, by person.

    `ask` is called in the event loop of the run, all other methods in the threads of the server.
    """

    def __init__(self, people: Sequence[str]) -> None:
        super().__init__()
        self.tokens = {person: secrets.token_urlsafe(24) for person in people}
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()
        self._numbers = 0
        self._failure: SocietyError | None = None
        self._ended = False
        self.ready: Callable[[dict[str, str]], None] = lambda addresses: None
        """Called with the addresses of the pages, by person, as soon as they are served."""

    async def ask(self, question: Question) -> str:
        """Return the entry that is sent from the person's page."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._failure is not None:
                raise self._failure
            self._numbers += 1
            before = self._open.get(question.person)
            first, until = self._numbers, None if question.seconds is None else loop.time() + question.seconds
            if question.fault and before is not None:
                first, until = before.first, before.until
            asked = _Open(self._numbers, first, question, loop.create_future(), until)
            self._open[question.person] = asked
        try:
            return await asked.entry
        except BaseException:
            with self._lock:
                self._open.pop(question.person, None)
            raise

    def describe(self, person: str) -> dict[str, Any]:
        """Return what the person's page shows: the open question, or that none is open."""
        with self._lock:
            asked = self._open.get(person)
            if asked is None or asked.sent:
                return {"person": person, "number": 0, "ended": self._ended}
            question, left = asked.question, None
            if asked.until is not None:
                left = max(0.0, asked.until - asked.entry.get_loop().time())
        return {
            "person": person,
            "number": asked.number,
            "first": asked.first,
            "messages": [[message.role, message.content] for message in question.messages],
            "choices": question.choices,
            "options": question.options,
            "characters": question.characters,
            "left": left,
            "default": question.default,
            "fault": question.fault,
        }

    def send(self, person: str, number: int, entry: str) -> bool:
        """Pass on the entry for the question with this number. Return False if that question is not open any more."""
        with self._lock:
            asked = self._open.get(person)
            if asked is None or asked.number != number or asked.sent:
                return False
            asked.sent = True
            _settle(asked.entry, asked.entry.set_result, entry)
            return True

    def fail(self, error: SocietyError) -> None:
        """End all questions with an error: there is no page."""
        with self._lock:
            self._failure = error
            for asked in self._open.values():
                _settle(asked.entry, asked.entry.set_exception, error)

    def end(self) -> None:
        """Let the pages say that the run has ended."""
        self._ended = True


def _settle(entry: asyncio.Future[str], how: Callable[[Any], None], value: object) -> None:
    """Settle a future from another thread, unless its question was taken back meanwhile."""

    def settle() -> None:
        if not entry.done():
            how(value)

    with suppress(RuntimeError):  # the loop of the run is closed
        entry.get_loop().call_soon_threadsafe(settle)
