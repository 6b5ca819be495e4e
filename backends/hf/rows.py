"""One row of a batch: its prompt, limits, random numbers, drawn tokens, and the replies it may choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from backends.hf.chat import Chat
from society.core.errors import BackendError
from society.core.types import FinishReason, GenerateOutput, GenerateRequest, Usage

DRAWN_AHEAD = 32
"""Random numbers of a row that are drawn together."""


@dataclass(eq=False)
class Row:
    """A request that is being decoded."""

    request: GenerateRequest
    prompt: list[int]
    chat: Chat
    options: dict[tuple[int, ...], str] = field(default_factory=dict)
    """Tokens of each choice, end of turn included, and its text. Empty without choices."""
    ids: list[int] = field(default_factory=list)
    certain: tuple[int, ...] = ()
    """Tokens of a choice after `ids` that need not be drawn, since no other choice is left."""
    logprob: float = 0.0
    seconds: float = 0.0
    """Sum of the row's shares of the time of each step that it took part in."""
    cancelled: bool = False
    text: str = ""
    finish: FinishReason | None = None

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.request.seed % (1 << 63))
        self._numbers = torch.empty(0, dtype=torch.float64)
        for choice in self.request.choices:
            self.options[tuple(self.chat.reply_ids(choice))] = choice
        self.longest = len(self.prompt) + max(map(len, self.options), default=self.request.sampling.max_tokens)
        """Maximum number of tokens of prompt and reply."""

    @property
    def ended(self) -> bool:
        """Return whether the row needs no more tokens: it is finished or cancelled."""
        return self.finish is not None or self.cancelled

    def uniform(self, first: int, count: int) -> torch.Tensor:
        """Return the numbers `first` to `first + count - 1` of the row's random sequence in [0, 1), float64 (count).

        Number i draws token i. The sequence depends on the request's seed alone.
        """
        missing = first + count - len(self._numbers)
        if missing > 0:
            more = torch.rand(max(missing, DRAWN_AHEAD), dtype=torch.float64, generator=self._generator)
            self._numbers = torch.cat([self._numbers, more])
        return self._numbers[first : first + count]

    @property
    def allowed(self) -> list[int]:
        """Tokens that may come next. Empty without choices, where any token may."""
        here = len(self.ids)
        return sorted({ids[here] for ids in self.options if ids[:here] == tuple(self.ids)})

    def add(self, token: int, logprob: float) -> None:
        """Add a drawn token, and end the row if the token or a limit ends it."""
        self.ids.append(token)
        self.logprob += logprob
        if self.options:
            self._end_choice()
        elif token in self.chat.stops:
            self._end(self.chat.text(self.ids[:-1]), "stop")
        else:
            self._end_text()

    def _end_choice(self) -> None:
        """End as soon as one choice is left: its remaining tokens are certain."""
        left = [ids for ids in self.options if ids[: len(self.ids)] == tuple(self.ids)]
        if len(left) == 1:
            self.certain = left[0][len(self.ids) :]
            self._end(self.options[left[0]], "stop")

    def _end_text(self) -> None:
        """End at a stop text, which is not part of the reply, or at the limit."""
        sampling = self.request.sampling
        text = self.chat.text(self.ids) if sampling.stop else ""
        cuts = [text.find(stop) for stop in sampling.stop if stop in text]
        if cuts:
            self._end(text[: min(cuts)], "stop_text")
        elif len(self.ids) >= sampling.max_tokens:
            self._end(self.chat.text(self.ids), "length")

    def _end(self, text: str, finish: FinishReason) -> None:
        self.text, self.finish = text, finish

    def output(self) -> GenerateOutput:
        """Return the reply of a finished row."""
        usage = Usage(len(self.prompt), len(self.ids), 0, self.seconds)
        drawn = (*self.ids, *self.certain)
        return GenerateOutput(self.text, self.finish or "length", usage, self.logprob, drawn)


def make_rows(chat: Chat, requests: Sequence[GenerateRequest]) -> list[Row | BackendError]:
    """Tokenize requests; a request whose messages cannot be tokenized has the error in its place."""
    rows: list[Row | BackendError] = []
    for request in requests:
        try:
            rows.append(Row(request, chat.prompt_ids(request.messages, request.template_args), chat))
        except BackendError as error:
            rows.append(error)
    return rows
