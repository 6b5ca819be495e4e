"""Training examples to tokens: which are learned, and what becomes of those that are too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backends.hf.chat import Chat
from backends.training import TrainSettings
from society.core.errors import InputError
from society.core.types import Example

LEAST_CONTEXT = 4  # tokens of the prompt that a cut must leave at either end


@dataclass(frozen=True, slots=True)
class Rows:
    """Examples as tokens. The tokens of a row from its `start` on are learned: the reply as it was drawn."""

    rows: list[tuple[list[int], int]]
    dropped: int = 0
    cut: int = 0
    retokenized: int = 0
    """Rows whose reply is tokenized from its text, since the drawn tokens are not known."""

    @property
    def tokens(self) -> int:
        """Tokens in all rows, padding not counted."""
        return sum(len(ids) for ids, _ in self.rows)


def encode(chat: Chat, examples: Sequence[Example], settings: TrainSettings) -> Rows:
    """Return the examples as tokens: the prompts as in inference, the replies as drawn where that is known.

    Raises `InputError` when nothing is left to learn.
    """
    if not examples:
        raise InputError("There are no examples to train on.", "Loosen the selection, or let the scenario go on.")
    whole = [row_of(chat, example) for example in examples]
    fitting = [fit(ids, start, settings) for ids, start in whole]
    rows = [row for row in fitting if row is not None]
    if not rows:
        shortest = min(len(ids) for ids, _ in whole)
        raise InputError(
            f"All {len(examples)} examples are longer than max_length {settings.max_length}; "
            f"the shortest has {shortest} tokens.",
            "In train.settings, raise `max_length` or set `too_long: cut`.",
        )
    cut = sum(new is not None and new[0] != old[0] for new, old in zip(fitting, whole, strict=True))
    guessed = sum(row is not None and e.tokens is None for row, e in zip(fitting, examples, strict=True))
    return Rows(rows, dropped=len(whole) - len(rows), cut=cut, retokenized=guessed)


def row_of(chat: Chat, example: Example) -> tuple[list[int], int]:
    """Return an example's tokens and where its reply starts. No end of the turn is learned that was not drawn."""
    return chat.row_ids(example.messages, example.tokens, example.finish_reason == "stop")


def render(chat: Chat, example: Example, settings: TrainSettings) -> list[tuple[str, bool]]:
    """The row of an example as training sees it: the text of its tokens, and whether each is learned."""
    ids, start = row_of(chat, example)
    row = fit(ids, start, settings)
    ids, start = row or (ids, len(ids))
    pieces: list[tuple[str, bool]] = []
    done = 0
    for text, count in chat.pieces(ids):
        pieces.append((text, done >= start))
        done += count
    return pieces


def fit(ids: list[int], start: int, settings: TrainSettings) -> tuple[list[int], int] | None:
    """The row itself, a shorter one, or None. Tokens are only ever taken out of the middle of the context."""
    if len(ids) <= settings.max_length:
        return ids, start
    room = settings.max_length - (len(ids) - start)
    if settings.too_long == "drop" or room < 2 * LEAST_CONTEXT:
        return None
    head = room // 2
    return [*ids[:head], *ids[start - (room - head) :]], room
