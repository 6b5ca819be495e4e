"""Our own backends keep the promises that `backends.contract` tests for outside authors."""

from __future__ import annotations

from typing import ClassVar

import pytest

from backends.base import Ability
from backends.contract import BackendContract
from backends.scripted.backend import Scripted, ScriptedBackend
from backends.scripted.rules import Calculate, Rule
from backends.thinking_contract import ThinkingContract
from society.core.types import GenerateOutput, GenerateRequest, Usage


class TestScripted(BackendContract):
    deterministic = True
    overflow_prompt = "word " * 200

    @pytest.fixture
    def config(self) -> Scripted:
        rules = [
            Rule(when="(?i)count", say="One, two, three, four, five, six, seven, eight, nine, ten, and so on."),
            Rule(calculate=Calculate(skill=0.5)),
            Rule(choose=["Yes, naïvely.", "No. 東京", "Perhaps."]),
        ]
        return Scripted(rules=rules, context=120, delay=0.01)


class TestScriptedThinking(ThinkingContract):
    deterministic = True
    has_template = False

    @pytest.fixture
    def config(self) -> Scripted:
        thought = "First one, then two, then three: " + "so it goes on and on " * 10
        return Scripted(rules=[Rule(think=thought, choose=["Yes, naïvely.", "No. 東京 at all.", "Perhaps, says he."])])


class Careless(ScriptedBackend):
    """Ignores the sampling and the choices, miscounts, and swallows every error."""

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        return GenerateOutput("one two three four", usage=Usage(7, 4))


class CarelessConfig(Scripted):
    abilities: ClassVar[frozenset[Ability]] = Scripted.abilities | {"embeddings"}
    sampling_options: ClassVar[frozenset[str]] = frozenset({"max_token"})

    def open(self) -> ScriptedBackend:
        return Careless(self)


PROMISES = [
    "test_thirty_requests_at_once_get_their_own_replies",
    "test_choices_are_answered_exactly",
    "test_max_tokens_ends_the_answer",
    "test_stop_strings_are_not_in_the_text",
    "test_sampling_options_are_known",
    "test_abilities_are_those_declared",
    "test_tokenizer_counts_what_usage_reports",
    "test_embeddings_have_one_length",
    "test_overflow_is_an_error_with_lengths",
    "test_unknown_adapter_is_an_error_with_remedy",
    "test_closed_backend_is_an_error_with_remedy",
    "test_no_messages_is_an_error",
]


@pytest.mark.parametrize("promise", PROMISES)
def test_the_contract_catches_a_careless_backend(promise: str) -> None:
    contract = BackendContract()
    contract.overflow_prompt = "too long"
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(contract, promise)(CarelessConfig())


class Untruncated(Scripted):
    """Draws by the seed alone, and claims to be greedy at temperature 0 and to honour every option."""

    greedy_at_zero: ClassVar[bool] = True


@pytest.mark.parametrize("option", ["top_k", "top_p", "min_p"])
def test_the_contract_catches_a_truncation_that_is_declared_and_ignored(option: str) -> None:
    contract = BackendContract()
    contract.deterministic = True
    config = Untruncated(rules=[Rule(choose=[str(i) for i in range(50)])])
    with pytest.raises(AssertionError, match=f"{option} is declared in sampling_options"):
        contract.test_truncations_that_are_declared_are_honoured(config, option)
