"""A question to a person, the check of what was typed, and the seam to the place where a person is asked.

Question           a request as its person is shown it; `read` checks an entry
Asker              a place where people are asked: the terminal, or a page
answered_through   sets the place for the runs in a block
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import ClassVar
from weakref import WeakKeyDictionary

from society.core.exchanges import CLOSE, has_open_call
from society.core.types import ChatMessage

CHARACTERS_PER_TOKEN, TOKENS_PER_CHARACTER = 4, 2
"""Estimated ASCII characters of a token, and tokens of any other character."""
LONGEST_CHOICE = 200
"""Maximum number of characters of the beginning of a choice."""
LONGEST_NUMBER = 6
"""Maximum number of digits of the number of an option."""
_NUMBERS = re.compile(r"\d+(?:[\s,;.]+\d+)*[.]?")


def estimate_tokens(text: str) -> int:
    """Return the estimated number of tokens of a text, for models that read it: rather too many than too few."""
    plain = sum(map(str.isascii, text))
    return -(-plain // CHARACTERS_PER_TOKEN) + (len(text) - plain) * TOKENS_PER_CHARACTER


class EntryError(ValueError):
    """An entry that is no reply to its question. The message says why; the person is asked again."""


@dataclass(frozen=True)
class Question:
    """A request as its person is shown it.

    `choices` are all allowed replies. Of `options`, a reply names one or several. `longest` is the maximum length of a
    reply in estimated tokens, and `stop` are texts that end it. After `seconds`, `default` is taken. `fault`
    says why the entry before was no reply; "" at first.
    """

    person: str
    messages: tuple[ChatMessage, ...]
    choices: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    longest: int = 256
    stop: tuple[str, ...] = ()
    seconds: float | None = None
    default: str | None = None
    fault: str = ""

    @property
    def listed(self) -> tuple[str, ...]:
        """The choices or options that the person is shown."""
        return self.choices or self.options

    @property
    def characters(self) -> int:
        """The maximum length of an English reply, in characters."""
        return self.longest * CHARACTERS_PER_TOKEN

    @property
    def numbered(self) -> bool:
        """Return whether a number names one of the listed texts: none of them begins with a number itself."""
        return not any(text.strip()[:1].isdecimal() for text in self.listed)

    def read(self, entry: str) -> str:
        """Return the reply in an entry. Raises `EntryError`."""
        text = entry.strip()
        if not text:
            raise EntryError("Nothing was typed.")
        if self.choices:
            return self._choose(text)
        if (size := estimate_tokens(text)) > self.longest:
            raise EntryError(f"The reply is too long: about {size:,} tokens, where {self.longest:,} are allowed.")
        if self._has_call(text):
            raise EntryError(f"The call of a tool has no end. End it with {CLOSE}.")
        text = self._cut(text)
        return self._name(text) if self.options and not self._has_call(text) else text

    def _has_call(self, text: str) -> bool:
        """Return whether a text ends in the call of a tool, without the end of the call."""
        return CLOSE in self.stop and has_open_call(text)

    def stop_in(self, text: str) -> tuple[int, str] | None:
        """Return where the first stop text begins in a text, and the stop text; None without one."""
        return min(((at, stop) for stop in self.stop if (at := text.find(stop)) >= 0), default=None)

    def _cut(self, text: str) -> str:
        """Return the text before the first stop text. Raises `EntryError` if anything follows it: it would be lost."""
        if (found := self.stop_in(text)) is None:
            return text
        at, stop = found
        if text[at + len(stop) :].strip():
            raise EntryError(f"{stop!r} ends a reply in this scenario. Leave out what follows it.")
        if not text[:at].strip():
            raise EntryError("Nothing was typed.")
        return text[:at]

    def _choose(self, text: str) -> str:
        """Return the choice that a text, its first word or a number names, such as `2` for `2: rather not`."""
        first = re.compile(rf"{re.escape(text)}(?!\w)", re.IGNORECASE)
        ways: tuple[Callable[[str], object], ...] = (
            text.__eq__,
            lambda choice: choice.casefold() == text.casefold(),
            lambda choice: len(text) <= LONGEST_CHOICE and first.match(choice),
        )
        for names in ways:
            found = [choice for choice in self.choices if names(choice.strip())]
            if len(found) == 1:
                return found[0]
        numbers = self._numbers(text)
        if len(numbers) == 1 and 1 <= numbers[0] <= len(self.choices):
            return self.choices[numbers[0] - 1]
        raise EntryError("This is none of the choices.")

    def _name(self, text: str) -> str:
        """Return a text that names options: their names in place of numbers, any other text as it is."""
        if numbers := self._numbers(text):
            if not all(1 <= number <= len(self.options) for number in numbers):
                raise EntryError(f"The options have the numbers 1 to {len(self.options)}.")
            return ", ".join(self.options[number - 1] for number in dict.fromkeys(numbers))
        if not any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) for name in self.options):
            raise EntryError("This names none of the options.")
        return text

    def _numbers(self, text: str) -> list[int]:
        """Return the numbers of an entry that has nothing else; none where numbers name no option."""
        if not self.numbered or not _NUMBERS.fullmatch(text):
            return []
        found = re.findall(r"\d+", text)
        return [int(digits[: LONGEST_NUMBER + 1]) for digits in found]


class Asker(ABC):
    """A place where people are asked. Each person is asked one question at a time, in the order of the requests."""

    one_at_a_time: ClassVar[bool] = False
    """True if all people share the place, so that it shows one question at a time."""

    def __init__(self) -> None:
        self._locks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = WeakKeyDictionary()

    def check(self) -> None:
        """Raise `InputError` if nobody can be asked here. Called before any work of a run."""
        return

    def turn(self, person: str) -> asyncio.Lock:
        """Return the lock that a question to this person holds from its first showing to its reply."""
        locks = self._locks.setdefault(asyncio.get_running_loop(), {})
        return locks.setdefault("" if self.one_at_a_time else person, asyncio.Lock())

    @abstractmethod
    async def ask(self, question: Question) -> str:
        """Show a question and return the entry. With `fault`, the same question is asked again.

        Cancelling takes the question back. Raises `InputError` if nobody can be asked any more: the run then ends.
        """


_PLACE: ContextVar[Asker | None] = ContextVar("place", default=None)
_TERMINAL: list[Asker] = []


@contextmanager
def answered_through(asker: Asker) -> Iterator[None]:
    """Ask the people of all runs that start in the block through `asker`, in place of the terminal."""
    token = _PLACE.set(asker)
    try:
        yield
    finally:
        _PLACE.reset(token)


def current_asker() -> Asker:
    """Return the place where people are asked now: by default the terminal."""
    if (asker := _PLACE.get()) is not None:
        return asker
    if not _TERMINAL:
        from backends.human.terminal import TerminalAsker

        _TERMINAL.append(TerminalAsker())
    return _TERMINAL[0]
