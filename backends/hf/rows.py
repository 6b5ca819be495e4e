"""One row of a batch: its prompt, limits, random numbers, drawn tokens, and the replies it may choose from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from backends.hf.chat import Chat
from backends.models.thought_reader import Reader
from backends.models.tool_format import with_calls
from society.core.errors import SocietyError
from society.core.pieces import Pieces
from society.core.types import FinishReason, GenerateOutput, GenerateRequest, Usage

DRAWN_AHEAD = 32
"""Random numbers of a row that are drawn together."""


@dataclass(eq=False)
class Row:
    """A request that is being decoded."""

    request: GenerateRequest
    prompt: list[int]
    chat: Chat
    tail: str = ""
    """Text that the template writes after the last message."""
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
    pieces: Pieces | None = None
    """Receives the states of the reply, where somebody watches."""

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.request.seed % (1 << 63))
        self._numbers = torch.empty(0, dtype=torch.float64)
        self._begin = 0  # tokens before the text
        for choice in self.request.choices:
            self.options[tuple(self.chat.reply_ids(choice))] = choice
        depth = max(map(len, self.options), default=0)
        self.reader = self.chat.thoughts.reader(self.tail, self.request, depth)
        """Finds the thought; None where the reply can have none."""
        if self.reader is not None:
            self.ids = self.reader.ids
            depth += self.reader.longest
        self.longest = len(self.prompt) + (depth if self.options else self.request.sampling.max_tokens)
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
    def has_budget(self) -> bool:
        """Return whether the thought may be closed at a budget."""
        return self.reader is not None and self.reader.budget is not None

    @property
    def forced(self) -> int | None:
        """The token that closes the thought and must come next, or None."""
        return None if self.reader is None else self.reader.forced

    @property
    def allowed(self) -> list[int]:
        """Tokens that may come next. Empty where any token may, apart from those that are `barred`."""
        if self.forced is not None:
            return [self.forced]
        if not self.options or (self.reader is not None and self.reader.thinking):
            return []
        said = self.ids[self._begin :]
        return sorted({ids[len(said)] for ids in self._left(said) if len(ids) > len(said)})

    @property
    def barred(self) -> list[int]:
        """Tokens that may not come next: in a thought before a choice, those that end the turn."""
        if not self.options or self.reader is None or not self.reader.thinking:
            return []
        return sorted(token for token in self.chat.stops if not self.reader.belongs(token))

    def _left(self, said: list[int]) -> list[tuple[int, ...]]:
        """Return the choices, and the opening tag of a thought, that begin with these tokens."""
        opening = [self.reader.opening] if self.reader is not None and self.reader.undecided else []
        return [ids for ids in (*self.options, *opening) if ids[: len(said)] == tuple(said)]

    def add(self, token: int, logprob: float) -> None:
        """Add a drawn token, and end the row if the token or a limit ends it."""
        self.ids.append(token)
        self.logprob += logprob
        if self.reader is not None and not self._is_text(self.reader):
            if token in self.chat.stops and self.reader.thinking and not self.reader.belongs(token):
                self._end("", "stop")
        elif self.options:
            self._end_choice()
        elif token in self.chat.stops:
            self._end(self._text(self.ids[:-1]), "stop")
        else:
            self._end_at_stop_text()
        if self.finish is None and not self.options and len(self.ids) >= self.request.sampling.max_tokens:
            self._end(self._text(self.ids), "length")
        if self.pieces is not None and not self.cancelled:
            self._tell(self.pieces)

    def _tell(self, pieces: Pieces) -> None:
        """Send what is new in the reply."""
        reader = self.reader
        thought = "" if reader is None else reader.thought
        if self.finish is not None:
            pieces.finish(thought, self.text)
        elif not self.options and (reader is None or not reader.undecided):
            pieces.update(thought, self._text(self.ids))

    def _is_text(self, reader: Reader) -> bool:
        """Let the reader take note of the newest token, and return whether that belongs to the text."""
        forced = reader.forced is not None
        if reader.add():
            self.logprob = 0.0
        elif not (reader.thinking or forced):
            return True
        self._begin = len(self.ids)
        return False

    def _text(self, ids: list[int]) -> str:
        """Return the text of a reply with these tokens."""
        if self.reader is None or not self._begin:
            return self.chat.text(ids)
        return "" if self.reader.thinking else (self.reader.lead + self.chat.text(ids[self._begin :])).lstrip()

    def _end_choice(self) -> None:
        """End as soon as one choice is left: its remaining tokens are certain."""
        said = self.ids[self._begin :]
        left = self._left(said)
        if len(left) == 1 and left[0] in self.options:
            self.certain = left[0][len(said) :]
            self._end(self.options[left[0]], "stop")

    def _end_at_stop_text(self) -> None:
        """End at a stop text, which is not part of the reply."""
        stops = self.request.sampling.stop
        if not stops or (self.reader is not None and self.reader.undecided):
            return
        text = self._text(self.ids)
        cuts = [text.find(stop) for stop in stops if stop in text]
        if cuts:
            self._end(text[: min(cuts)], "stop_text")

    def _end(self, text: str, finish: FinishReason) -> None:
        self.text, self.finish = text, finish

    def output(self) -> GenerateOutput:
        """Return the reply of a finished row."""
        reader = self.reader
        thought, before = ("", 0) if reader is None else (reader.thought, reader.count)
        usage = Usage(len(self.prompt), len(self.ids), 0, self.seconds, before)
        drawn = (*self.ids, *self.certain)
        logprob = None if reader is not None and reader.thinking else self.logprob
        output = GenerateOutput(self.text, self.finish or "length", usage, logprob, drawn, thought)
        return with_calls(output, self.request.tools) if self.request.tools else output


def make_rows(chat: Chat, requests: Sequence[GenerateRequest]) -> list[Row | SocietyError]:
    """Tokenize requests; a request whose messages cannot be tokenized has the error in its place."""
    rows: list[Row | SocietyError] = []
    for request in requests:
        try:
            prompt, tail = chat.prompt(request.messages, request.thinking, request.template_args, request.tools)
            rows.append(Row(request, prompt, chat, tail))
        except SocietyError as error:
            rows.append(error)
    return rows
