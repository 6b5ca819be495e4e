"""Thinking on llama.cpp's own server, with a real model and a chat template that opens a thought as Qwen's does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backends.base import Backend
from backends.contract_tools import ask, run
from backends.openai import OpenAI
from society.core.errors import InputError
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Sampling, Thinking
from tests.backends.openai.servers import serving

pytestmark = pytest.mark.model
TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.reasoning_content %}<think>
{{ message.reasoning_content }}
</think>

{% endif %}{{ message.content }}{% if effort is defined %} Effort: {{ effort }}.{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% else %}<think>
{% endif %}{% endif %}"""
DEFAULT = Thinking()
QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    log = tmp_path_factory.mktemp("thinking") / "log"
    with serving("llama_cpp", log, slots=2, alias="smol", template=TEMPLATE) as port:
        yield port


def request(thinking: Thinking = DEFAULT, max_tokens: int = 48, **more: Any) -> GenerateRequest:
    sampling = Sampling(temperature=0, max_tokens=max_tokens)
    return GenerateRequest((ChatMessage("user", QUESTION),), sampling, 1, thinking=thinking, **more)


def say(port: int, *requests: GenerateRequest) -> list[GenerateOutput]:
    async def use(backend: Backend) -> list[GenerateOutput]:
        await backend.check(requests)
        return [await backend.generate(request) for request in requests]

    outputs: list[GenerateOutput] = run(OpenAI(url=f"http://127.0.0.1:{port}/v1"), use)
    return outputs


def test_thinking_is_switched_and_limited(port: int) -> None:
    free, off, limited = say(
        port,
        request(max_tokens=6),
        request(Thinking(enabled=False)),
        request(Thinking(enabled=True, budget=4)),
    )
    assert (free.finish_reason, free.text) == ("length", "")
    assert free.thought
    assert free.usage.thought_tokens == free.usage.generated_tokens == 6
    assert (off.thought, off.finish_reason) == ("", "stop")
    assert "Paris" in off.text
    assert off.usage.thought_tokens == 0
    assert limited.text
    assert 1 <= len(limited.thought.split()) <= 4
    assert limited.usage.thought_tokens < limited.usage.generated_tokens
    assert limited.logprob is not None


def test_variables_of_the_template_are_sent_and_unknown_ones_refused(port: int) -> None:
    plain, low = say(
        port,
        request(Thinking(enabled=False), max_tokens=1),
        request(Thinking(enabled=False), max_tokens=1, template_args=(("effort", "low"),)),
    )
    assert low.usage.prompt_tokens > plain.usage.prompt_tokens
    with pytest.raises(InputError, match=r"template_args \(unknown\)"):
        say(port, request(template_args=(("unknown", True),)))


@pytest.mark.slow
def test_a_template_without_a_switch_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving("llama_cpp", tmp_path_factory.mktemp("plain") / "log", alias="smol") as port:
        [said] = say(port, request(Thinking(enabled=False)))  # it does not think anyway
        assert said.text
        for thinking, name in ((Thinking(enabled=True), "enabled"), (Thinking(budget=4), "budget")):
            with pytest.raises(InputError, match=rf"thinking\.{name}") as caught:
                say(port, request(thinking))
            assert caught.value.remedy


@pytest.mark.slow
def test_llama_cpp_python_has_no_fields_for_thinking(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving("llama_cpp_python", tmp_path_factory.mktemp("python") / "log", logits_all=False) as port:
        for refused in (request(Thinking(enabled=True)), request(template_args=(("effort", "low"),))):
            with pytest.raises(InputError, match="thinking"):
                say(port, refused)
        assert say(port, ask(QUESTION, top_k=20, min_p=0.1, repeat_penalty=1.1))
