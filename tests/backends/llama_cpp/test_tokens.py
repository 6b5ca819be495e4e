"""Tokens of a reply of llama.cpp: the drawn tokens, and all tokens of a choice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("numpy")

from backends.llama_cpp.jobs import Generation
from backends.llama_cpp.sampling import Choices
from society.core.types import GenerateOutput

END, RED, GREEN, BLUE = 0, 1, 2, 3
PIECES = {END: b"", RED: b"red", GREEN: b" green", BLUE: b" blue"}


class Words:
    """A vocabulary of a few words."""

    ends = frozenset({END})
    piece = PIECES.__getitem__


class Script:
    """Draws these tokens."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = iter(tokens)

    def draw(self, logits: Any, allowed: Any = None) -> tuple[int, float]:
        token = next(self.tokens)
        assert allowed is None or token in allowed
        return token, -1.0


def write(drawn: Sequence[int], choices: Sequence[Sequence[int]] = (), stop: Sequence[str] = ()) -> GenerateOutput:
    """Return the reply of a model that draws these tokens."""

    async def run() -> GenerateOutput:
        tree = Choices.of(choices, END) if choices else None
        sampler: Any = Script(drawn)
        job = Generation([9], None, sampler, stop, 4, tree)
        logits: Any = None
        words: Any = Words
        while not job.advance(logits, words):
            pass
        return job.result()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("drawn", "choices", "text", "tokens"),
    [
        ([RED, END], [[RED], [RED, GREEN]], "red", (RED, END)),
        ([RED, GREEN], [[RED], [RED, GREEN]], "red green", (RED, GREEN, END)),
        ([RED, BLUE], [[RED, GREEN], [RED, BLUE]], "red blue", (RED, BLUE, END)),
        ([BLUE], [[BLUE]], " blue", (BLUE, END)),
    ],
)
def test_a_choice_has_its_own_tokens_and_no_others(drawn, choices, text, tokens) -> None:
    output = write(drawn, choices)
    assert (output.text, output.tokens, output.finish_reason) == (text, tokens, "stop")
    assert output.usage.generated_tokens == len(drawn)


def test_ends_stop_texts_and_limits() -> None:
    ended, stopped, cut = write([RED, END]), write([RED, GREEN], stop=["gr"]), write([RED] * 4)
    assert (ended.text, ended.finish_reason, ended.tokens) == ("red", "stop", (RED, END))
    assert (stopped.text, stopped.finish_reason, stopped.tokens) == ("red ", "stop_text", (RED, GREEN))
    assert (cut.text, cut.finish_reason, cut.tokens) == ("redredredred", "length", (RED,) * 4)
