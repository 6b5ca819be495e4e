"""Thoughts of GGUF models: on the real model with a template that opens one, and token by token without a model."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

pytest.importorskip("numpy")

from backends.base import BackendConfig
from backends.contract_tools import run
from backends.llama_cpp import LlamaCpp
from backends.llama_cpp.jobs import Generation
from backends.llama_cpp.sampling import Choices
from backends.models.thought_reader import Marks, Reader, Tags
from backends.thinking_contract import ThinkingContract, think
from society.core.errors import InputError
from society.core.types import GenerateOutput, Thinking

needs_model = pytest.mark.model
TEMPLATE = """{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content is defined %}<think>
{{ m.reasoning_content }}
</think>

{% endif %}{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
<think>
{% if enable_thinking is defined and not enable_thinking %}
</think>

{% endif %}{% endif %}"""
SMALL: dict[str, Any] = {"context": 256, "slots": 16, "threads": 1, "chat_template": TEMPLATE}


@needs_model
class TestReproducible(ThinkingContract):
    deterministic = True

    @pytest.fixture
    def config(self) -> BackendConfig:
        return LlamaCpp(**SMALL, reproducible=True)


@pytest.mark.slow
@needs_model
def test_workers_slots_and_cached_prefixes_do_not_change_a_thought() -> None:
    requests = [think(budget, seed, max_tokens=10) for seed, budget in enumerate((3, None, 0))]

    async def use(backend: Any) -> list[GenerateOutput]:
        first = await asyncio.gather(*map(backend.generate, requests))
        again = await backend.generate(requests[0])  # the prompt is cached now
        assert again.tokens == first[0].tokens
        assert again.usage.cached_tokens
        return first

    def replies(**options: Any) -> list[tuple[str, str]]:
        config = LlamaCpp(**(SMALL | {"reproducible": True} | options))
        return [(output.thought, output.text) for output in run(config, use)]

    assert replies() == replies(slots=64, threads=2)


@needs_model
def test_thoughts_are_closed_in_ordinary_batches() -> None:
    requests = [think(budget, seed, temperature=0.0, max_tokens=20) for seed, budget in enumerate((1, 2, 4))]

    async def use(backend: Any) -> list[GenerateOutput]:
        return await asyncio.gather(*map(backend.generate, requests))

    for request, output in zip(requests, run(LlamaCpp(**SMALL), use), strict=True):
        assert request.thinking.budget < output.usage.thought_tokens <= request.thinking.budget + 5
        assert output.text


@needs_model
def test_settings_are_checked_with_the_vocabulary_alone() -> None:
    config = LlamaCpp(**SMALL)
    config.check_thinking(Thinking(enabled=False, budget=5), ())
    with pytest.raises(InputError, match="effort"):
        config.check_thinking(Thinking(), (("effort", "low"),))
    with pytest.raises(InputError, match="no known tags"):
        LlamaCpp().check_thinking(Thinking(budget=5), ())


@needs_model
def test_the_tags_count_in_a_reply_with_a_budget() -> None:
    config = LlamaCpp(**SMALL)
    with pytest.raises(InputError, match="leaves no token for the text") as caught:
        config.check_thinking(Thinking(budget=19), (), 20)
    [room] = [int(word.strip(",")) for word in caught.value.remedy.split() if word.strip(",").isdigit()]
    assert 0 < room < 19
    config.check_thinking(Thinking(budget=room), (), 20)
    config.check_thinking(Thinking(budget=room + 1, enabled=False), (), 20)
    with pytest.raises(InputError, match=f"budget {room + 1} leaves no token"):
        config.check_thinking(Thinking(budget=room + 1), (), 20)

    async def use(backend: Any) -> GenerateOutput:
        with pytest.raises(InputError, match="leaves no token"):
            await backend.check([think(room + 1, 1, max_tokens=20)])
        return await backend.generate(think(room, 1, max_tokens=20, temperature=0.0))

    assert len(run(config, use).tokens or ()) == 20


END, OPEN, CLOSE, SPACE, RED, BLUE = range(6)
PIECES = [b"", b"", b"", b"\n", b"red", b"blue"]
NAMES = ["<end>", "<think>", "</think>", "\n", "red", "blue"]


class Words:
    """A vocabulary of a few words, whose tags are control tokens."""

    ends = frozenset({END})
    piece = PIECES.__getitem__
    speakable = (OPEN, CLOSE, SPACE, RED, BLUE)


def read(ids: Sequence[int], names: bool = True) -> str:
    return "".join(NAMES[token] if names else PIECES[token].decode() for token in ids)


def encode(text: str) -> list[int]:
    ids = []
    while text:
        ids.append(next(token for token, name in enumerate(NAMES) if text.startswith(name)))
        text = text[len(NAMES[ids[-1]]) :]
    return ids


class Script:
    """Draws these tokens, or the only one that is allowed."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = iter(tokens)

    def draw(self, logits: Any, allowed: Any = None) -> tuple[int, float]:
        token = int(allowed[0]) if allowed is not None and len(allowed) == 1 else next(self.tokens)
        assert allowed is None or token in allowed
        return token, -1.0


def write(
    drawn: Sequence[int],
    budget: int | None = None,
    opened: bool | None = None,
    choices: Sequence[Sequence[int]] = (),
    stop: Sequence[str] = (),
) -> GenerateOutput:
    """Return the reply of a model that draws these tokens."""

    async def reply() -> GenerateOutput:
        tags = Tags("<think>", "</think>", "<think>\n", "\n</think>\n")
        marks = Marks(tags, encode, read, lambda ids: read(ids, False))
        reader = Reader(marks, opened, budget, completes=bool(choices))
        tree = Choices.of(choices, END, reader.opening) if choices else None
        sampler: Any = Script(drawn)
        job = Generation([9], None, sampler, stop, 9, tree, reader)
        words: Any = Words
        while not job.advance(None, words):  # type: ignore[arg-type]
            pass
        return job.result()

    return asyncio.run(reply())


@pytest.mark.parametrize(
    ("drawn", "options", "thought", "text", "tokens"),
    [
        ([OPEN, RED, CLOSE, SPACE, BLUE, END], {}, "red", "blue", (1, 4, 2, 3, 5, 0)),
        ([RED, CLOSE, BLUE, END], {"opened": True}, "red", "blue", (4, 2, 5, 0)),
        ([RED, BLUE, BLUE, END], {"opened": True, "budget": 1}, "red", "blueblue", (4, 3, 2, 3, 5, 5, 0)),
        ([BLUE, END], {"budget": 1}, "", "blue", (5, 0)),
        ([RED, END], {"opened": True}, "red", "", (4, 0)),
        ([OPEN, RED, CLOSE, BLUE, END], {"choices": [[BLUE], [RED]]}, "red", "blue", (1, 4, 2, 3, 5, 0)),
        ([BLUE], {"choices": [[BLUE], [RED]]}, "", "blue", (5, 0)),
        ([RED, BLUE], {"choices": [[BLUE], [RED]], "opened": True, "budget": 1}, "red", "blue", (4, 3, 2, 3, 5, 0)),
        ([OPEN, RED, CLOSE, BLUE, RED], {"stop": ["red"]}, "red", "blue", (1, 4, 2, 5, 4)),
        ([RED, CLOSE, RED, BLUE], {"opened": True, "stop": ["d"]}, "red", "re", (4, 2, 4)),
    ],
)
def test_a_reply_is_drawn_as_thought_and_text(
    drawn: Sequence[int], options: dict[str, Any], thought: str, text: str, tokens: tuple[int, ...]
) -> None:
    output = write(drawn, **options)
    assert (output.thought, output.text, output.tokens) == (thought, text, tokens)


def test_a_stop_text_within_an_opening_tag_does_not_stop() -> None:
    assert write([OPEN, RED, CLOSE, BLUE, END], stop=["<", "th"]).text == "blue"


def test_the_log_probability_is_that_of_the_text() -> None:
    assert write([OPEN, RED, CLOSE, BLUE, END]).logprob == -2.0
    assert write([RED] * 9, opened=True).logprob is None
    assert write([BLUE, END]).logprob == -2.0
    assert write([OPEN, RED, CLOSE, BLUE, END]).usage.thought_tokens == 3
