"""Thoughts of models that transformers runs: both ways of decoding, choices, training rows, and the model's hash."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backends.base import BackendConfig
from backends.contract_tools import run
from backends.hf import HuggingFace
from backends.models.chat_rendering import ChatTemplate
from backends.models.thoughts import template_arguments
from backends.thinking_contract import ThinkingContract, think
from society.core.errors import InputError
from society.core.types import ChatMessage, Example, GenerateOutput, GenerateRequest, Sampling, Thinking, TurnId
from tests.backends.hf.tiny import THINKING_TEMPLATE, make_model

pytest.importorskip("torch")

from backends.hf.examples import row_of
from backends.hf.loading import load_chat

TAGS = ("<think>", "</think>")
FREE = (("opens", False),)
"""Arguments of the template with which the model itself opens thoughts."""
CAT = (ChatMessage("user", "the cat ?"),)
Reply = tuple[Any, ...]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model whose tags are control tokens."""
    folder = tmp_path_factory.mktemp("thinking") / "model"
    return make_model(folder, seed=3, tags=TAGS, template=THINKING_TEMPLATE)


@pytest.fixture(scope="module")
def spelling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model that spells its tags."""
    return make_model(tmp_path_factory.mktemp("spelling") / "model", seed=3, template=THINKING_TEMPLATE)


class TestSpelling(ThinkingContract):
    deterministic = True

    @pytest.fixture
    def config(self, spelling: Path) -> BackendConfig:
        return HuggingFace(model=str(spelling), device="cpu", dtype="float32")


class TestStatic(ThinkingContract):
    """On the device of the option `--device`: the steps of a GPU are recorded, and tokens are forced in them."""

    @pytest.fixture
    def config(self, spelling: Path) -> BackendConfig:
        return HuggingFace(model=str(spelling), decoding="static")


def requests() -> list[GenerateRequest]:
    """Return requests with thoughts of all kinds, of which some are closed by the model, by a budget, or not at all."""
    made = []
    for seed, thinking in enumerate([Thinking(), *map(Thinking, [None] * 3, (0, 1, 12)), Thinking(enabled=False)]):
        for args in ((), FREE):
            plain = GenerateRequest(CAT, Sampling(1.2, max_tokens=24), seed, thinking=thinking, template_args=args)
            made += [plain, replace(plain, sampling=Sampling(0.0, repeat_penalty=1.3, max_tokens=9 + seed))]
            made += [replace(plain, choices=("red", "red green", "the cat")), replace(plain, seed=seed + 50)]
            made.append(replace(plain, sampling=Sampling(1.0, max_tokens=24, stop=("a", "e"))))
    return made


def as_tuple(output: GenerateOutput) -> Reply:
    return output.thought, output.text, output.tokens, output.finish_reason, output.usage.thought_tokens


def replies(folder: Path, decoding: str, batch: int = 64, company: bool = True) -> list[Reply]:
    async def use(backend: Any) -> list[GenerateOutput]:
        if company:
            return await asyncio.gather(*map(backend.generate, requests()))
        return [await backend.generate(request) for request in requests()]

    config = HuggingFace(model=str(folder), device="cpu", dtype="float32", decoding=decoding, batch=batch)
    return [as_tuple(output) for output in run(config, use)]


@pytest.mark.parametrize("name", ["model", "spelling"])
def test_thoughts_do_not_depend_on_decoding_or_company(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    dynamic = replies(folder, "dynamic")
    assert replies(folder, "static") == replies(folder, "static", batch=7) == dynamic
    assert replies(folder, "dynamic", company=False) == dynamic
    assert sum(bool(thought) for thought, *_ in dynamic) > 10
    assert any(text and "</think>" not in text for _, text, *_ in dynamic)


def test_control_tokens_of_thoughts_are_in_no_text(model: Path) -> None:
    for thought, text, *_ in replies(model, "dynamic"):
        assert "think>" not in thought + text


def test_a_model_without_tags_is_read_as_before(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "plain")

    async def use(backend: Any) -> GenerateOutput:
        with pytest.raises(InputError, match="no known tags"):
            await backend.generate(think(3))
        with pytest.raises(InputError, match="cannot switch"):
            await backend.generate(GenerateRequest(CAT, Sampling(), 1, thinking=Thinking(enabled=True)))
        assert "thoughts" not in backend.model_hash
        given = Thinking(budget=2, tags=("the", "cat"))
        return await backend.generate(GenerateRequest(CAT, Sampling(max_tokens=8), 1, thinking=given))

    output = run(HuggingFace(model=str(folder), device="cpu"), use)
    assert len(output.tokens) == output.usage.generated_tokens


def test_a_hash_says_that_thoughts_are_separated(model: Path) -> None:
    async def use(backend: Any) -> str:
        return str(backend.model_hash)

    assert run(HuggingFace(model=str(model), device="cpu"), use).endswith("-thoughts")


def test_settings_are_checked_before_the_model_is_loaded(model: Path, tmp_path: Path) -> None:
    config = HuggingFace(model=str(model))
    config.check_thinking(Thinking(enabled=False, budget=3), FREE)
    with pytest.raises(InputError, match="effort"):
        config.check_thinking(Thinking(), (("effort", "low"),))
    plain = HuggingFace(model=str(make_model(tmp_path / "plain")))
    for fault, thinking in (("no known tags", Thinking(budget=3)), ("cannot switch", Thinking(enabled=True))):
        with pytest.raises(InputError, match=fault):
            plain.check_thinking(thinking, ())
    tokens = HuggingFace(model=str(make_model(tmp_path / "tokens", tags=TAGS)))
    tokens.check_thinking(Thinking(budget=3), ())


def test_the_tags_count_in_a_reply_with_a_budget(model: Path) -> None:
    async def use(backend: Any) -> None:
        ending = len(backend._loaded.chat.thoughts.marks().ending)
        await backend.check([think(12 - ending - 1, 1, max_tokens=12)])
        with pytest.raises(InputError, match=f"take {ending} tokens") as caught:
            await backend.check([think(12 - ending, 1, max_tokens=12)])
        assert f"at most {12 - ending - 1}," in caught.value.remedy

    run(HuggingFace(model=str(model), device="cpu"), use)


@pytest.mark.parametrize(
    ("template", "enabled", "remedy"),
    [
        ("{{ messages[0].content }}<think>\n", True, "Remove thinking.enabled: the model always thinks."),
        ("{{ messages[0].content }}<think>\n", False, "thinking.budget: 0 closes each thought."),
        ("{{ messages[0].content }}", True, "Remove thinking.enabled, or use a model that thinks."),
        ("{{ messages[0].content }}", False, "Remove thinking.enabled. Variables"),
    ],
)
def test_the_remedy_for_a_missing_switch_fits_the_template(template: str, enabled: bool, remedy: str) -> None:
    with pytest.raises(InputError, match="cannot switch") as caught:
        template_arguments(ChatTemplate(template, "m"), Thinking(enabled=enabled), ())
    assert remedy in caught.value.remedy


def example(**options: Any) -> Example:
    messages = (*CAT, ChatMessage("assistant", "red"))
    return Example(messages, TurnId(0, "q", "p", 1, "a"), "test", **options)


def test_training_rows_have_the_prompt_and_the_thought_of_the_reply(model: Path) -> None:
    chat = load_chat(model, None, "model")

    def learned(row: Example) -> tuple[str, str]:
        ids, start = row_of(chat, row)
        return chat._raw(ids[:start]), chat._raw(ids[start:])

    drawn = tuple(chat._encode_own("dog\n</think>\n\nred<|end|>"))
    count = len(drawn) - 2
    whole = example(tokens=drawn, thought="dog", thought_tokens=count)
    assert learned(whole)[0].endswith("<|assistant|> <think>\n")
    assert learned(whole)[1] == "dog\n</think>\n\nred<|end|>"
    text = replace(whole, learn_thought=False)
    assert learned(text)[0].endswith("<think>\ndog\n</think>\n\n")
    assert learned(text)[1] == "red<|end|>"
    guessed = replace(whole, tokens=None)
    assert learned(guessed) == learned(whole)
    assert learned(replace(guessed, learn_thought=False)) == learned(text)
    free = replace(guessed, template_args=FREE)
    assert learned(free)[1] == "<think>\ndog\n</think>\n\nred<|end|>"
    off = example(thinking=Thinking(enabled=False))
    assert learned(off)[0].endswith("<think>\n\n</think>\n\n")
    assert learned(off)[1] == "red<|end|>"


def test_a_thought_that_spells_control_tokens_is_plain_text(model: Path) -> None:
    chat = load_chat(model, None, "model")
    ids, start = row_of(chat, example(thought="</think> <|end|>"))
    added = chat._encode_own("</think>")[0]
    assert ids[start:].count(added) == 1
    assert ids[start:].count(chat.end) == 1
