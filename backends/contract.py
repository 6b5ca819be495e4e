"""Promises of every backend, as tests: subclass `BackendContract` in a test module and give it a `config`.

    class TestMine(BackendContract):
        deterministic = True

        @pytest.fixture
        def config(self) -> BackendConfig:
            return MyConfig(model="tiny.gguf")

It needs only pytest. Each test asks for a few tokens, so a small real model passes in seconds.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import fields
from typing import Any, get_args

import pytest

from backends.base import Ability, Backend, BackendConfig
from backends.contract_tools import LONG_QUESTION, ask, decode, need, run, score
from backends.streaming_contract import StreamingPromises
from society.core.errors import BackendError, ContextOverflowError, DroppedError
from society.core.types import ChatMessage, FinishReason, GenerateOutput, GenerateRequest, Sampling


class BackendContract(StreamingPromises):
    """The promises. A subclass gives the fixture `config` and sets the optional promises."""

    overflow_prompt = ""
    """A prompt that does not fit the context of `config`; "" if there is no limit."""

    def test_opens_twice_with_the_same_hash(self, config: BackendConfig) -> None:
        async def use(backend: Backend) -> tuple[str, str]:
            return backend.model_hash, (await backend.generate(ask("Hello."))).text

        (first, _), (second, _) = run(config, use), run(config, use)
        assert first
        assert first == second

    def test_answers_with_text_and_usage(self, config: BackendConfig) -> None:
        output: GenerateOutput = run(config, lambda backend: backend.generate(ask("Say hello to me.")))
        assert isinstance(output.text, str)
        assert output.finish_reason in get_args(FinishReason)
        assert 0 <= output.usage.generated_tokens <= 8
        assert (output.usage.prompt_tokens > 0) != bool(config.asked_person), (
            "people have no tokens, and models have some"
        )
        assert 0 <= output.usage.cached_tokens <= output.usage.prompt_tokens
        assert output.logprob is None or output.logprob <= 0

    def test_thirty_requests_at_once_get_their_own_replies(self, config: BackendConfig) -> None:
        requests = [ask("Repeat: " + "word " * i, seed=i, max_tokens=4) for i in range(1, 31)]

        async def use(backend: Backend) -> list[GenerateOutput]:
            return await asyncio.gather(*map(backend.generate, requests))

        outputs = run(config, use)
        if config.asked_person:
            assert len(outputs) == 30
            return
        lengths = [output.usage.prompt_tokens for output in outputs]
        assert lengths == sorted(set(lengths))  # each prompt is one word longer than the one before

    def test_queued_requests_are_dropped_and_others_are_answered(self, config: BackendConfig) -> None:
        requests = [ask(f"Repeat {i}.", seed=i, max_tokens=4) for i in range(60)]

        async def use(backend: Backend) -> list[GenerateOutput | BaseException]:
            work = asyncio.gather(*map(backend.generate, requests), return_exceptions=True)
            while not work.done():
                await asyncio.sleep(0.01)
                backend.drop_queued()
            return [*await work, await backend.generate(requests[0])]

        *first, later = run(config, use)
        assert {type(one) for one in first} <= {GenerateOutput, DroppedError}
        assert isinstance(later, GenerateOutput)

    def test_choices_are_answered_exactly(self, config: BackendConfig) -> None:
        need(config, "choices")
        message = (ChatMessage("user", "Choose one."),)
        pairs = [(f"option {i}", f"Möglichkeit {i}") for i in range(30)]
        requests = [GenerateRequest(message, Sampling(max_tokens=16), i, choices=pair) for i, pair in enumerate(pairs)]

        async def use(backend: Backend) -> list[GenerateOutput]:
            return await asyncio.gather(*map(backend.generate, requests))

        assert all(output.text in pair for output, pair in zip(run(config, use), pairs, strict=True))

    def test_same_request_gives_the_same_text(self, config: BackendConfig) -> None:
        if not self.deterministic:
            pytest.skip("this backend does not promise equal replies")
        requests = [ask(f"Tell me about {thing}.", seed=7) for thing in ("rain", "salt", "the sea")]

        async def alone(backend: Backend) -> list[str]:
            return [(await backend.generate(request)).text for request in requests]

        async def together(backend: Backend) -> list[str]:
            others = [ask(f"What is {i}?", seed=i) for i in range(5)]
            outputs = await asyncio.gather(*map(backend.generate, [*requests, *others]))
            return [output.text for output in outputs[:3]]

        assert run(config, alone) == run(config, alone) == run(config, together)

    def test_max_tokens_ends_the_answer(self, config: BackendConfig) -> None:
        if config.asked_person:
            pytest.skip("a person is asked to shorten the reply")
        output: GenerateOutput = run(config, lambda backend: backend.generate(ask(LONG_QUESTION, max_tokens=3)))
        assert output.finish_reason == "length"
        assert output.usage.generated_tokens == 3

    def test_stop_strings_are_not_in_the_text(self, config: BackendConfig) -> None:
        request = ask(LONG_QUESTION, max_tokens=16, stop=(" ", "e"))
        output: GenerateOutput = run(config, lambda backend: backend.generate(request))
        assert not {" ", "e"} & set(output.text)
        if config.asked_person:  # a person is asked to leave them out
            return
        assert output.finish_reason == "stop_text"

    def test_sampling_options_are_known(self, config: BackendConfig) -> None:
        known = {field.name for field in fields(Sampling)}
        assert config.sampling_options <= known, "sampling_options names options that Sampling does not have"
        assert {"max_tokens", "stop"} <= config.sampling_options, "max_tokens and stop are required"

    @pytest.mark.parametrize("option", ["top_k", "top_p", "min_p"])
    def test_truncations_that_are_declared_are_honoured(self, config: BackendConfig, option: str) -> None:
        if option not in config.sampling_options or not (self.deterministic and config.greedy_at_zero):
            pytest.skip(f"no {option} with a greedy reply to compare")
        strictest: dict[str, Any] = {"top_k": 1, "top_p": 1e-6, "min_p": 0.999999}  # leaves the likeliest token
        hot = [ask("Tell me about rain.", seed=i, temperature=1.5, **{option: strictest[option]}) for i in range(3)]

        async def use(backend: Backend) -> list[str]:
            greedy = ask("Tell me about rain.", temperature=0)
            return [(await backend.generate(request)).text for request in (greedy, *hot)]

        assert len(set(run(config, use))) == 1, f"{option} is declared in sampling_options, but replies ignore it"

    def test_tokens_are_those_that_were_drawn(self, config: BackendConfig) -> None:
        sampled = [ask(LONG_QUESTION, seed=i, max_tokens=12, temperature=1.5) for i in range(4)]
        stopped = ask(LONG_QUESTION, max_tokens=16, stop=("e",))

        async def use(backend: Backend) -> list[tuple[GenerateOutput, tuple[float, int] | None]]:
            return [await score(backend, request) for request in (*sampled, stopped)]

        for output, scored in run(config, use):
            if output.tokens is None:
                continue
            assert len(output.tokens) == output.usage.generated_tokens
            if scored is not None and output.logprob is not None:
                assert scored == (pytest.approx(output.logprob, rel=0.02, abs=0.05), len(output.tokens))

    def test_drawn_tokens_are_the_text(self, config: BackendConfig) -> None:
        need(config, "tokenizer")
        hot = [ask(LONG_QUESTION, seed=i, max_tokens=12, temperature=1.5) for i in range(4)]
        stopped = [ask(LONG_QUESTION, seed=i, max_tokens=16, temperature=1.5, stop=("e", " a", "\n")) for i in range(4)]

        async def use(backend: Backend) -> list[tuple[GenerateOutput, str]]:
            outputs = await asyncio.gather(*map(backend.generate, [*hot, *stopped]))
            return [(output, decode(backend, output)) for output in outputs if output.tokens is not None]

        for output, text in run(config, use):
            if output.finish_reason == "stop_text":
                assert text.startswith(output.text)
                assert any(stop in text for stop in stopped[0].sampling.stop)
            else:
                assert text == output.text

    def test_tokens_of_a_choice_are_the_whole_choice(self, config: BackendConfig) -> None:
        need(config, "choices")
        need(config, "tokenizer")
        message, choices = (ChatMessage("user", "Choose one."),), ("no", "no doubt", "nobody else", "yes")
        requests = [GenerateRequest(message, Sampling(2.0, max_tokens=9), i, choices=choices) for i in range(12)]

        async def use(backend: Backend) -> list[tuple[GenerateOutput, str]]:
            outputs = await asyncio.gather(*map(backend.generate, requests))
            return [(output, decode(backend, output)) for output in outputs if output.tokens is not None]

        found = run(config, use)
        assert all(text == output.text in choices for output, text in found)
        assert len({output.tokens[-1] for output, _ in found}) <= 1  # the end of the turn

    @pytest.mark.parametrize("seconds", [0.0, 0.05])
    def test_cancelling_leaves_it_usable(self, config: BackendConfig, seconds: float) -> None:
        async def use(backend: Backend) -> GenerateOutput:
            tasks = [asyncio.create_task(backend.generate(ask(LONG_QUESTION, max_tokens=64))) for _ in range(3)]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
            return await backend.generate(ask("Say hello to me."))

        assert isinstance(run(config, use).text, str)

    def test_abilities_are_those_declared(self, config: BackendConfig) -> None:
        async def use(backend: Backend) -> set[str]:
            named = set(get_args(Ability)) - {"choices"}  # an ability of `generate`, not an object
            return {name for name in named if getattr(backend, name) is not None}

        assert run(config, use) == set(config.abilities) - {"choices"}
        assert config.open().asks_people == bool(config.asked_person)

    def test_tokenizer_counts_what_usage_reports(self, config: BackendConfig) -> None:
        need(config, "tokenizer")
        system, user = ChatMessage("system", "Be brief."), ChatMessage("user", "Why is the sky blue? ☀")
        chats = [(user,), (system, user), (user, ChatMessage("assistant", "Rayleigh."), user)]

        async def use(backend: Backend) -> list[tuple[int, int]]:
            assert backend.tokenizer is not None
            requests = [GenerateRequest(chat, Sampling(max_tokens=2), 1) for chat in chats]
            outputs = await asyncio.gather(*map(backend.generate, requests))
            counts = [backend.tokenizer.count(chat) for chat in chats]
            return list(zip(counts, [output.usage.prompt_tokens for output in outputs], strict=True))

        assert all(counted == reported for counted, reported in run(config, use))

    def test_likelihood_is_of_every_token(self, config: BackendConfig) -> None:
        need(config, "likelihood")
        message = (ChatMessage("user", "What is the capital of France?"),)

        async def use(backend: Backend) -> list[tuple[float, int]]:
            assert backend.likelihood is not None
            return [await backend.likelihood.logprob(message, text) for text in ("Paris", "Paris, of course.")]

        (short, few), (long, more) = run(config, use)
        assert 0 < few < more
        assert long <= 0
        assert short <= 0

    def test_embeddings_have_one_length(self, config: BackendConfig) -> None:
        need(config, "embeddings")

        async def use(backend: Backend) -> list[list[float]]:
            assert backend.embeddings is not None
            return await backend.embeddings.embed(["a short text", "another, which is longer", "☀"])

        vectors = run(config, use)
        assert len(vectors) == 3
        assert len({len(vector) for vector in vectors}) == 1

    def test_overflow_is_an_error_with_lengths(self, config: BackendConfig) -> None:
        if not self.overflow_prompt:
            pytest.skip("this backend has no limit")
        with pytest.raises(ContextOverflowError) as caught:
            run(config, lambda backend: backend.generate(ask(self.overflow_prompt)))
        assert caught.value.prompt + caught.value.answer > caught.value.context > 0

    def test_unknown_adapter_is_an_error_with_remedy(self, config: BackendConfig) -> None:
        with pytest.raises(BackendError) as caught:
            run(config, lambda backend: backend.generate(ask("Hello.", adapter="0" * 64)))
        assert caught.value.remedy

    def test_closed_backend_is_an_error_with_remedy(self, config: BackendConfig) -> None:
        backend = config.open()
        with pytest.raises(BackendError) as before:
            asyncio.run(backend.generate(ask("Hello.")))

        async def use_late() -> GenerateOutput:
            async with backend:
                pass
            return await backend.generate(ask("Hello."))

        with pytest.raises(BackendError) as after:
            asyncio.run(use_late())
        assert before.value.remedy
        assert after.value.remedy

    def test_unicode_passes(self, config: BackendConfig) -> None:
        texts = ["naïve café 東京 🤖", "e\u0301 \u200d \ufeff", "<|im_end|> [INST] </s>"]

        async def use(backend: Backend) -> list[GenerateOutput]:
            return await asyncio.gather(*(backend.generate(ask(text)) for text in texts))

        assert all(output.text.encode("utf-8").decode() == output.text for output in run(config, use))

    def test_no_messages_is_an_error(self, config: BackendConfig) -> None:
        with pytest.raises(BackendError):
            run(config, lambda backend: backend.generate(GenerateRequest((), Sampling(max_tokens=4), 1)))
