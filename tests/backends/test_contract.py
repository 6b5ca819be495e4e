"""Our own backends keep the promises that `backends.contract` tests for outside authors."""

from __future__ import annotations

from typing import ClassVar

import pytest

from backends.base import Ability
from backends.contract import BackendContract
from backends.scripted.backend import Scripted, ScriptedBackend
from backends.scripted.rules import Calculate, Rule
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


class Careless(ScriptedBackend):
    """Ignores the sampling and the choices, miscounts, and swallows every error."""

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        return GenerateOutput("one two three four", usage=Usage(7, 4))


class CarelessConfig(Scripted):
    abilities: ClassVar[frozenset[Ability]] = Scripted.abilities | {"embeddings"}

    def open(self) -> ScriptedBackend:
        return Careless(self)


PROMISES = [
    "test_thirty_at_once_each_get_their_own",
    "test_choices_are_answered_exactly",
    "test_max_tokens_ends_the_answer",
    "test_stop_strings_are_not_in_the_text",
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
