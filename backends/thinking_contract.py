"""Promises of a backend that separates thoughts from texts, as tests beside those of `backends.contract`.

    class TestMineThinking(ThinkingContract):
        deterministic = True

        @pytest.fixture
        def config(self) -> BackendConfig:
            return MyConfig(model="tiny.gguf")

The model of `config` must open a thought in each reply whose request does not switch thinking off, and must not close
it within a few tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from backends.base import Backend, BackendConfig
from backends.contract_tools import LONG_QUESTION, decode, join, run, stream
from society.core.errors import InputError
from society.core.pieces import Piece
from society.core.types import ChatMessage, GenerateOutput, GenerateRequest, Sampling, Thinking

LONGEST_TAG = 24
"""Maximum number of tokens of the tags around a thought."""


def think(budget: int | None = None, seed: int = 1, choices: tuple[str, ...] = (), **sampling: Any) -> GenerateRequest:
    """Return a request with a budget of thought. `max_tokens` is 48 by default."""
    message = (ChatMessage("user", LONG_QUESTION),)
    return GenerateRequest(
        message, Sampling(**{"max_tokens": 48, **sampling}), seed, choices=choices, thinking=Thinking(budget=budget)
    )


def answer(config: BackendConfig, requests: Sequence[GenerateRequest]) -> list[GenerateOutput]:
    """Return the replies to requests that are made together."""

    async def use(backend: Backend) -> list[GenerateOutput]:
        return await asyncio.gather(*map(backend.generate, requests))

    found: list[GenerateOutput] = run(config, use)
    return found


class ThinkingContract:
    """The promises. A subclass gives the fixture `config`."""

    deterministic = False
    """Whether the same request, with the same seed, gives the same reply under any load."""
    has_template = True
    """Whether the model has a chat template, whose variables are known."""

    def test_pieces_make_up_thought_and_text(self, config: BackendConfig) -> None:
        if "streaming" not in config.abilities:
            pytest.skip("no streaming")

        async def use(backend: Backend) -> list[tuple[GenerateOutput, list[Piece]]]:
            return await asyncio.gather(*(stream(backend, request) for request in (think(), think(6), think(0))))

        for output, pieces in run(config, use):
            assert join(pieces) == (output.thought, output.text)

    def test_thinking_options_are_known(self, config: BackendConfig) -> None:
        assert config.thinking_options
        assert config.thinking_options <= {"enabled", "budget", "template_args"}

    def test_a_thought_ends_at_its_budget_and_the_text_follows(self, config: BackendConfig) -> None:
        budgets = (0, 3, 9)
        for budget, output in zip(budgets, answer(config, [think(budget) for budget in budgets]), strict=True):
            assert budget <= output.usage.thought_tokens <= budget + LONGEST_TAG
            assert output.usage.thought_tokens < output.usage.generated_tokens <= 48
            assert bool(output.thought) == bool(budget)
            assert output.text
            assert output.thought not in output.text or not output.thought

    def test_a_reply_that_is_cut_off_while_thinking_has_no_text(self, config: BackendConfig) -> None:
        for output in answer(
            config, [think(None, max_tokens=6, temperature=0), think(40, max_tokens=6, temperature=0)]
        ):
            assert (output.text, output.finish_reason) == ("", "length")
            assert output.thought
            assert output.usage.thought_tokens == output.usage.generated_tokens == 6

    def test_stop_texts_apply_to_the_text_alone(self, config: BackendConfig) -> None:
        stop = tuple("aeiou ,.")
        outputs = answer(config, [think(12, seed, stop=stop) for seed in range(4)])
        assert any(set(stop) & set(output.thought) for output in outputs)
        assert not any(set(stop) & set(output.text) for output in outputs)
        assert "stop_text" in {output.finish_reason for output in outputs}

    def test_a_choice_follows_the_thought(self, config: BackendConfig) -> None:
        if "choices" not in config.abilities:
            pytest.skip("no choices")
        choices = ("no", "no doubt", "yes")
        requests = [think(budget, seed, choices) for budget in (None, 5) for seed in range(4)]
        outputs = answer(config, requests)
        assert all(output.text in choices and output.finish_reason == "stop" for output in outputs)
        assert all(output.thought for output in outputs)
        assert all(output.usage.generated_tokens <= 48 for output in outputs)

    def test_the_budget_changes_nothing_before_it_is_reached(self, config: BackendConfig) -> None:
        free, budgeted, loose = answer(config, [think(), think(9), think(200)])
        if not self.deterministic or free.tokens is None or budgeted.tokens is None:
            pytest.skip("no equal tokens to compare")
        assert budgeted.tokens[:9] == free.tokens[:9]
        assert loose.tokens == free.tokens

    def test_company_does_not_change_a_thought(self, config: BackendConfig) -> None:
        if not self.deterministic:
            pytest.skip("this backend does not promise equal replies")
        budgets = (7, None, 0, 20, 7, 3)
        requests = [think(budget, seed, max_tokens=24) for seed, budget in enumerate(budgets)]

        async def use(backend: Backend) -> tuple[list[GenerateOutput], list[GenerateOutput]]:
            alone = [await backend.generate(request) for request in requests[:3]]
            return alone, await asyncio.gather(*map(backend.generate, requests))

        alone, together = run(config, use)
        assert [(one.thought, one.text) for one in alone] == [(one.thought, one.text) for one in together[:3]]

    def test_tokens_and_scores_are_those_of_the_text(self, config: BackendConfig) -> None:
        request = think(5)

        async def use(backend: Backend) -> None:
            output = await backend.generate(request)
            before = output.usage.thought_tokens
            if output.tokens is None:
                return
            assert len(output.tokens) == output.usage.generated_tokens
            assert decode(backend, GenerateOutput("", tokens=output.tokens[before:])).lstrip() == output.text
            if backend.likelihood is not None and output.logprob is not None:
                scored, count = await backend.likelihood.logprob(
                    request.messages, output.text, None, output.tokens, before, request.thinking
                )
                assert scored == pytest.approx(output.logprob, rel=0.02, abs=0.05)
                assert count == len(output.tokens) - before

        run(config, use)

    def test_cancelled_thoughts_leave_it_usable(self, config: BackendConfig) -> None:
        async def use(backend: Backend) -> GenerateOutput:
            tasks = [asyncio.create_task(backend.generate(think(4, seed, max_tokens=40))) for seed in range(3)]
            await asyncio.sleep(0.02)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return await backend.generate(think(4))

        assert run(config, use).text

    def test_thinking_can_be_switched_off(self, config: BackendConfig) -> None:
        if "enabled" not in config.thinking_options:
            pytest.skip("no switch")
        thinking = Thinking(enabled=False)
        request = GenerateRequest((ChatMessage("user", LONG_QUESTION),), Sampling(max_tokens=12), 1, thinking=thinking)

        async def use(backend: Backend) -> GenerateOutput:
            output = await backend.generate(request)
            if backend.tokenizer is not None:
                assert backend.tokenizer.count(request.messages, thinking) == output.usage.prompt_tokens
            return output

        output = run(config, use)
        assert output.text
        assert not output.thought
        assert output.usage.thought_tokens == 0

    def test_arguments_that_the_template_does_not_read_are_refused(self, config: BackendConfig) -> None:
        if "template_args" not in config.thinking_options or not self.has_template:
            pytest.skip("no template with arguments")
        request = GenerateRequest(
            (ChatMessage("user", "Hello."),), Sampling(max_tokens=4), 1, template_args=(("no_such_variable", 1),)
        )
        with pytest.raises(InputError, match="no_such_variable") as caught:
            answer(config, [request])
        assert caught.value.remedy
        with pytest.raises(InputError, match="no_such_variable"):
            config.check_thinking(request.thinking, request.template_args)
        with pytest.raises(InputError, match="no_such_variable"):
            run(config, lambda backend: backend.check([request]))
