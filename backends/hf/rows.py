"""What is being generated: one row of a batch, its limits, and the replies it may choose from."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from backends.hf.chat import Chat
from society.core.types import FinishReason, GenerateOutput, GenerateRequest, Usage


@dataclass(eq=False)
class Row:
    """One sequence on its way: the prompt, what was drawn so far, and when to end."""

    request: GenerateRequest
    prompt: list[int]
    chat: Chat
    options: dict[tuple[int, ...], str] = field(default_factory=dict)
    """With choices: the tokens of each, end of turn included, and its text."""
    ids: list[int] = field(default_factory=list)
    certain: tuple[int, ...] = ()
    """With choices: the tokens that follow those in `ids`, since no other choice is left."""
    logprob: float = 0.0
    seconds: float = 0.0
    """This row's share of the time of every step that it was in."""
    cancelled: bool = False
    text: str = ""
    finish: FinishReason | None = None

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.request.seed % (1 << 63))
        for choice in self.request.choices:
            self.options[tuple(self.chat.reply_ids(choice))] = choice

    @property
    def longest(self) -> int:
        """Tokens that this row may come to, prompt and reply."""
        return len(self.prompt) + max(map(len, self.options), default=self.request.sampling.max_tokens)

    @property
    def allowed(self) -> list[int]:
        """With choices: the tokens that may come next. Empty: any."""
        here = len(self.ids)
        return sorted({ids[here] for ids in self.options if ids[:here] == tuple(self.ids)})

    def add(self, token: int, logprob: float) -> None:
        """Take one more token, and end the row if that ends it."""
        self.ids.append(token)
        self.logprob += logprob
        if self.options:
            self._end_choice()
        elif token in self.chat.stops:
            self._end(self.chat.text(self.ids[:-1]), "stop")
        else:
            self._end_text()

    def _end_choice(self) -> None:
        """End as soon as one choice is left: what remains of it is certain."""
        left = [ids for ids in self.options if ids[: len(self.ids)] == tuple(self.ids)]
        if len(left) == 1:
            self.certain = left[0][len(self.ids) :]
            self._end(self.options[left[0]], "stop")

    def _end_text(self) -> None:
        """End at a stop string, which is not part of the text, or at the limit."""
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
        """Return the finished row as the engine wants it."""
        usage = Usage(len(self.prompt), len(self.ids), 0, self.seconds)
        drawn = (*self.ids, *self.certain)
        return GenerateOutput(self.text, self.finish or "length", usage, self.logprob, drawn)
