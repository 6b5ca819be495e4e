"""Tokenization of training examples, with the mask of learned tokens and the treatment of long examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from backends.hf.chat import Chat
from backends.training import PARTNER_TOO_LONG, TOO_LONG, UNBALANCED, TrainSettings
from society.core.errors import InputError, TooLongError
from society.core.types import Example

LEAST_CONTEXT = 4  # tokens of the prompt that a cut must leave at either end


@dataclass(frozen=True, slots=True)
class Rows:
    """Examples as tokens. The tokens of a row from its `start` are learned: the drawn reply, or its text alone."""

    rows: list[tuple[list[int], int]]
    omitted: Mapping[int, str] = field(default_factory=dict)
    """Reasons why examples are omitted, by their numbers."""
    cut: int = 0
    retokenized: int = 0
    """Number of rows whose reply is tokenized from its text, as the drawn tokens are unknown."""
    weights: tuple[float, ...] = ()
    """Weight of each row in the loss. Empty if all are 1."""
    desired: tuple[bool, ...] = ()
    """For an objective over replies: whether each row's reply is to be preferred."""
    questions: tuple[str, ...] = ()
    """The question of each row, by its id. Empty if every row has a question of its own."""

    @property
    def dropped(self) -> int:
        """Number of examples that are omitted because of their length."""
        return sum(reason != UNBALANCED for reason in self.omitted.values())

    @property
    def tokens(self) -> int:
        """Number of tokens in all rows, without padding."""
        return sum(len(ids) for ids, _ in self.rows)


def encode(chat: Chat, examples: Sequence[Example], settings: TrainSettings, width: int = 1) -> Rows:
    """Return the examples as tokens: prompts as in inference, and drawn replies if their tokens are known.

    Of `width` consecutive examples that belong together, all are omitted if one is too long. If too long ones are
    omitted, no agent keeps more undesired replies than desired ones, and weights are scaled to the mean 1 again. Raises
    `TooLongError` if no example remains, and `InputError` without examples or for an empty reply.
    """
    if not examples:
        raise InputError("There are no examples to train on.", "Use another `select`, or set train.on_empty: keep.")
    whole = [row_of(chat, example) for example in examples]
    if any(start == len(ids) for ids, start in whole):
        raise InputError("An example's reply has no tokens to learn.", "Leave out examples with an empty reply.")
    fitting = [fit(ids, start, settings) for ids, start in whole]
    omitted = _omit([row is not None for row in fitting], examples, width)
    fitting = [None if i in omitted else row for i, row in enumerate(fitting)]
    rows = [row for row in fitting if row is not None]
    if not rows:
        shortest = min(len(ids) for ids, _ in whole)
        raise TooLongError(
            f"All {len(examples)} examples are longer than max_length {settings.max_length}; "
            f"the shortest has {shortest} tokens.",
            "In train.settings, raise `max_length` or set `too_long: cut`.",
        )
    cut = sum(new is not None and new[0] != old[0] for new, old in zip(fitting, whole, strict=True))
    guessed = sum(row is not None and e.tokens is None for row, e in zip(fitting, examples, strict=True))
    kept = [example for example, row in zip(examples, fitting, strict=True) if row is not None]
    scale = fmean(example.weight for example in kept) if omitted else 1.0
    weights = tuple(example.weight / scale for example in kept)
    return Rows(
        rows,
        omitted=omitted,
        cut=cut,
        retokenized=guessed,
        weights=weights if any(weight != 1 for weight in weights) else (),
        desired=tuple(example.desired for example in kept),
        questions=tuple(example.source.item for example in kept),
    )


def _omit(fits: Sequence[bool], examples: Sequence[Example], width: int) -> dict[int, str]:
    """Return the reasons of the omitted examples by number: too long ones, and what cannot be learned without them."""
    omitted: dict[int, str] = {}
    for i, fit in enumerate(fits):
        group = range(i - i % width, min(i - i % width + width, len(fits)))
        if not fit:
            omitted[i] = TOO_LONG
        elif not all(fits[j] for j in group):
            omitted[i] = PARTNER_TOO_LONG
    if not omitted or width > 1:
        return omitted
    lead = Counter(e.source.agent for i, e in enumerate(examples) if e.desired and i not in omitted)
    for i, example in enumerate(examples):
        if not example.desired and i not in omitted:
            lead[example.source.agent] -= 1
            if lead[example.source.agent] < 0:
                omitted[i] = UNBALANCED
    return omitted


def row_of(chat: Chat, example: Example) -> tuple[list[int], int]:
    """Return the tokens of an example, and the start of those that are learned: the reply, or its text alone.

    An end of turn that was not drawn is not learned.
    """
    return chat.row_ids(
        example.messages,
        example.tokens,
        example.finish_reason == "stop",
        example.template_args,
        thinking=example.thinking,
        thought=example.thought,
        thought_tokens=example.thought_tokens,
        skips_thought=not example.learn_thought,
    )


def render(chat: Chat, example: Example, settings: TrainSettings) -> list[tuple[str, bool]]:
    """Return the training row of an example: the text of its tokens, and whether each is learned."""
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
    """Return the row, a shorter row, or None. Tokens are removed only from the middle of the context."""
    if len(ids) <= settings.max_length:
        return ids, start
    room = settings.max_length - (len(ids) - start)
    if settings.too_long == "drop" or room < 2 * LEAST_CONTEXT:
        return None
    head = room // 2
    return [*ids[:head], *ids[start - (room - head) :]], room
