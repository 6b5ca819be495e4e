"""The thought in the tokens of a growing reply, and the tokens that close it at a budget.

    Tags     the tags of a model, and the texts that its template writes around a thought
    Marks    the tags in the tokens of one model
    Reader   one reply: its thought, and where its text begins

Tags are found in the text of tokens, since they are control tokens of one model and several tokens of another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Encode = Callable[[str], list[int]]
"""Returns the tokens of a text, names of control tokens included."""
Decode = Callable[[Sequence[int]], str]
"""Returns the text of tokens."""


@dataclass(frozen=True, slots=True)
class Tags:
    """The tags around a thought, and the texts that the template writes before and after one.

    `beginning` starts with the opening tag. `ending` holds the closing tag, which may follow other control tokens.
    """

    open: str
    close: str
    beginning: str
    ending: str

    def left_open(self, prompt: str) -> bool | None:
        """Return whether the end of a prompt opens a thought (True) or closes one (False). None if it does neither."""
        opened, closed = prompt.rfind(self.open), prompt.rfind(self.close)
        return None if opened == closed else opened > closed


class Closing(NamedTuple):
    """A closing tag at the end of some tokens: it begins in the last `tokens` of them, between these two texts."""

    tokens: int
    before: str
    after: str


class Marks:
    """The tags in the tokens of one model. `raw` decodes with the names of control tokens, `text` without them."""

    def __init__(self, tags: Tags, encode: Encode, raw: Decode, text: Decode) -> None:
        self.tags, self.raw, self.text = tags, raw, text
        before, _, after = tags.ending.partition(tags.close)
        self.opening, self.beginning, self.ending, self.after = (
            tuple(encode(part)) if part else () for part in (tags.open, tags.beginning, tags.ending, after)
        )
        """Tokens of the opening tag, of the texts before and after a thought, and of the space before the text."""
        self.lead = tuple(encode(before.strip())) if before.strip() else ()
        """Tokens of the ending before the closing tag, without space."""
        self.window = 4 * len(tags.close) + 4
        """Maximum number of tokens that hold a closing tag: each has at least a byte."""
        self._may_close: dict[int, bool] = {}
        self.can_close = any(self.find_close(self.ending[:end]) for end in range(1, len(self.ending) + 1))
        """Whether the tokens of the ending hold the closing tag: some tokenizers lack its characters."""

    def find_close(self, ids: Sequence[int]) -> Closing | None:
        """Return the closing tag that the last token completes."""
        if not ids or not self._may_end_tag(ids[-1]) or self.tags.close not in self.raw(ids[-self.window :]):
            return None
        count = next(count for count in range(1, len(ids) + 1) if self.tags.close in self.raw(ids[-count:]))
        before, _, after = self.raw(ids[-count:]).rpartition(self.tags.close)
        return Closing(count, before, after)

    def _may_end_tag(self, token: int) -> bool:
        """Return whether a token has the last character of the closing tag, or a part of some character."""
        if token not in self._may_close:
            piece = self.raw([token])
            self._may_close[token] = self.tags.close[-1] in piece or "\ufffd" in piece
        return self._may_close[token]


class Reader:
    """One growing reply with the tokens `ids`.

    A thought that the prompt has not opened begins with the reply, apart from space. In a reply without an opening tag,
    all before a closing tag is thought, unless the prompt has closed a thought by itself.
    """

    def __init__(self, marks: Marks, left_open: bool | None, budget: int | None, completes: bool = False) -> None:
        """`left_open`: see `Tags`. `completes`: after a thought, the template's space is forced before the text."""
        self.marks, self.budget = marks, budget
        self.ids: list[int] = []
        self.opening = () if left_open else marks.opening
        self.start: int | None = 0 if left_open else None
        """Tokens before the thought; None as long as no thought is open."""
        self.end: int | None = None
        """Tokens up to the closing tag; None as long as there is none."""
        self.lead = ""
        """Text in the last token of the closing tag, after the tag."""
        self._completes, self._is_closed = completes, left_open is False
        self._is_plain = False  # the reply began with text
        self._head = ""  # text in the last token of the opening tag, after the tag
        self._thought = ""
        self._plan: list[int] = []
        self._close_at_budget()

    @property
    def longest(self) -> int:
        """Maximum number of tokens before the text, of a thought with a budget."""
        return len(self.opening) + (self.budget or 0) + len(self.marks.ending)

    @property
    def thinking(self) -> bool:
        """Return whether the next token belongs to a thought."""
        return self.start is not None and self.end is None

    @property
    def undecided(self) -> bool:
        """Return whether the next token may belong to an opening tag."""
        return self.start is None and self.end is None and not self._is_plain

    @property
    def forced(self) -> int | None:
        """The token that must come next; None where any may."""
        return self._plan[0] if self._plan else None

    @property
    def count(self) -> int:
        """Number of tokens before the text."""
        return len(self.ids) if self.thinking else self.end or 0

    @property
    def thought(self) -> str:
        """The thought so far, without tags and without space around it."""
        return self._shown(self.ids) if self.thinking else self._thought

    def may_force(self, drawn: int) -> bool:
        """Return whether the token after `drawn` tokens may be forced, though not all of these were added yet."""
        if self._plan:
            return True
        if self.budget is None or self._is_plain or self.end is not None:
            return False
        return drawn - (self.start or 0) >= self.budget

    def belongs(self, token: int) -> bool:
        """Return whether a token that ends turns is a part of the text that closes this thought."""
        return self.thinking and token in self.marks.ending

    def add(self) -> bool:
        """Take note of the newest token of `ids`. Return whether it closes the thought."""
        if self._plan:
            del self._plan[0]
        if self.end is not None or (self._is_plain and self._is_closed):
            return False
        if self.undecided:
            self._look_for_opening()
        found = self.marks.find_close(self.ids[max(self.start or 0, len(self.ids) - self.marks.window) :])
        if found is None:
            self._close_at_budget()
            return False
        self._thought = self._shown(self.ids[: len(self.ids) - found.tokens], found.before)
        self.end, self.lead = len(self.ids), found.after
        if self._completes and not self._plan and not found.after:
            self._plan = list(self.marks.after)
        return True

    def _look_for_opening(self) -> None:
        written, opening = self.marks.raw(self.ids).lstrip(), self.marks.tags.open
        if written.startswith(opening):
            self.start, self._head = len(self.ids), written[len(opening) :]
        elif not opening.startswith(written.rstrip("\ufffd")):
            self._is_plain = True

    def _close_at_budget(self) -> None:
        """Force what is missing of the ending, if the thought is as long as it may be."""
        start, ending = self.start or 0, self.marks.ending
        if self._plan or not self.thinking or self.budget is None or len(self.ids) - start < self.budget:
            return
        said = tuple(self.ids[max(start, len(self.ids) - len(ending)) :])
        known = next(count for count in range(len(said), -1, -1) if said[len(said) - count :] == ending[:count])
        self._plan = list(ending[known:])

    def _shown(self, ids: Sequence[int], tail: str = "") -> str:
        """Return the thought in these tokens, followed by `tail`."""
        said, lead = list(ids[self.start or 0 :]), list(self.marks.lead)
        if lead and said[len(said) - len(lead) :] == lead:
            del said[len(said) - len(lead) :]
        return (self._head + self.marks.text(said) + tail).strip()
