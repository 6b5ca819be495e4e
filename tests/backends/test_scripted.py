"""The scripted backend does what its rules say, and nothing about it is random but through the seed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from backends.scripted.arithmetic import LONGEST, evaluate, find_value, show
from backends.scripted.backend import DEFAULT_REPLY, Scripted
from backends.scripted.rules import Calculate, Rule
from society.core.errors import BackendError, ContextOverflowError, TransientError
from society.core.types import Adapter, ChatMessage, GenerateOutput, GenerateRequest, Sampling


def ask(
    rules: list[dict[str, Any]],
    text: str,
    seed: int = 0,
    system: str = "",
    choices: tuple[str, ...] = (),
    **sampling: Any,
) -> GenerateOutput:
    return ask_many(rules, [text], [seed], system, choices, **sampling)[0]


def ask_many(
    rules: list[dict[str, Any]],
    texts: list[str],
    seeds: list[int] | range,
    system: str = "",
    choices: tuple[str, ...] = (),
    **sampling: Any,
) -> list[GenerateOutput]:
    """Return one answer per seed to a chat of these user messages."""
    chat = (
        *([ChatMessage("system", system)] if system else []),
        *(ChatMessage("user", text) for text in texts),
    )

    async def use() -> list[GenerateOutput]:
        async with Scripted.model_validate({"rules": rules}).open() as backend:
            drawn = Sampling(**sampling)
            return [await backend.generate(GenerateRequest(chat, drawn, seed, choices=choices)) for seed in seeds]

    return asyncio.run(use())


def test_without_rules_it_says_one_sentence() -> None:
    output = ask([], "Anything?")
    assert output.text == DEFAULT_REPLY
    assert output.finish_reason == "stop"
    assert output.logprob is None


def test_rules_are_tried_in_order_on_user_and_system() -> None:
    rules = [
        {"system": "judge", "say": "I judge."},
        {"when": r"my name is (\w+)", "say": r"Hello \1, \1!"},
        {"when": "(a)|(b)", "say": r"[\1\2]"},
        {"say": "Else."},
    ]
    assert ask(rules, "my name is Ada", system="You are a judge.").text == "I judge."
    assert ask(rules, "my name is Ada", system="You debate.").text == "Hello Ada, Ada!"
    assert ask(rules, "b").text == "[b]"
    assert ask(rules, "xyz").text == "Else."
    assert ask_many(rules, ["my name is Ada", "xyz"], [0])[0].text == "Else."  # the last message counts


def test_choose_follows_its_weights_and_the_seed() -> None:
    rules = [{"choose": ["a", "b"], "weights": [3, 1]}]
    said = [output.text for output in ask_many(rules, ["?"], range(2000))]
    assert abs(Counter(said)["a"] - 1500) < 4 * (2000 * 0.75 * 0.25) ** 0.5
    assert said == [output.text for output in ask_many(rules, ["?"], range(2000))]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("What is 2+3*4?", 14),
        ("Compute (2 + 3) * 4.", 20),
        ("see (7-9)", -2),
        ("(see 7-9)", -2),
        ("1. What is 3+4 - 5?\n2 dogs", 2),
        ("first 1+1, then 2*5 and 3", 10),
        ("-3 + 1", -2),
        ("1 / 3 * 3", 1),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("What is 5?", None),
        ("1/0", None),
        ("9**99**99", None),
        ("2024-01-05", None),
        ("((((" * 99, None),
        ("1+" * 999 + "1", None),
        ("__import__('os').system('x') + f(1)", None),
    ],
)
def test_last_expression_of_a_text(text: str, value: int | None) -> None:
    assert find_value(text) == value


@given(st.text(alphabet="0123456789+-*/(). ", max_size=LONGEST + 9))
def test_arithmetic_never_fails(text: str) -> None:
    value = find_value(text)
    assert value is None or isinstance(value, Fraction)


@given(st.lists(st.integers(0, 99), min_size=6, max_size=6))
def test_arithmetic_of_the_paper_is_right(numbers: list[int]) -> None:
    a, b, c, d, e, f = numbers
    assert find_value(f"What is the value of {a}+{b}*{c}+{d}-{e}*{f}?") == a + b * c + d - e * f


def test_hostile_expressions_cost_no_time() -> None:
    texts = ["(" * 100_000, "1-" * 100_000, "1 " * 100_000, "9*" * 99 + "9"]
    start = time.process_time()
    assert [evaluate(text) for text in texts[:3]] == [None, None, None]
    assert [find_value(text) for text in texts] == [None, None, None, Fraction(9**100)]
    assert time.process_time() - start < 10


def test_numbers_are_shown_plainly() -> None:
    assert [show(Fraction(6, 3)), show(Fraction(1, 4)), show(Fraction(-7))] == ["2", "0.25", "-7"]


@pytest.mark.parametrize("wrong", ["same", "spread"])
def test_calculate_is_right_as_often_as_its_skill(wrong: str) -> None:
    rules = [{"calculate": {"skill": 0.7, "wrong": wrong}}]
    said = Counter(output.text for output in ask_many(rules, ["What is 2+3*4?"], range(2000)))
    right = said.pop("The answer is 14.")
    assert abs(right - 1400) < 4 * (2000 * 0.7 * 0.3) ** 0.5
    assert set(said) == {"The answer is 15."} if wrong == "same" else len(said) == 20


def test_calculate_finds_the_question_in_an_earlier_message() -> None:
    rules: list[dict[str, Any]] = [{"calculate": {"say": "= {answer}"}}, {"say": "no sum"}]
    assert ask_many(rules, ["What is 2+2?", "Others say 5. And you?"], [0])[0].text == "= 4"
    assert ask(rules, "Good morning.").text == "no sum"


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8))
def test_average_is_the_mean_of_what_is_read(numbers: list[float]) -> None:
    text = ask([{"average": {}}], "agent-1 and others say: " + ", ".join(map(repr, numbers))).text
    assert float(text) == pytest.approx(sum(numbers) / len(numbers), abs=1e-6)


def test_average_starts_anywhere_and_may_be_noisy() -> None:
    starts = [float(output.text) for output in ask_many([{"average": {"low": 2, "high": 4}}], ["Begin."], range(500))]
    assert all(2 <= start <= 4 for start in starts)
    assert abs(sum(starts) / 500 - 3) < 4 * (4 / 12 / 500) ** 0.5
    noisy = [float(output.text) for output in ask_many([{"average": {"noise": 0.1}}], ["1.0 3.0"], range(500))]
    assert abs(sum(noisy) / 500 - 2) < 4 * 0.1 / 500**0.5
    assert len(set(noisy)) == 500


def test_average_reads_the_numbers_it_is_told_to() -> None:
    rules = [{"average": {"numbers": r"opinion: (\S+)", "say": "opinion: {answer}"}}]
    assert ask(rules, "Agent 1 has opinion: 0.5 and 2 has opinion: 1.5 on page 7").text == "opinion: 1.0"
    with pytest.raises(BackendError, match="no number"):
        ask(rules, "opinion: none")


@pytest.mark.parametrize(
    ("kind", "error"),
    [("transient", TransientError), ("error", BackendError), ("overflow", ContextOverflowError)],
)
def test_fail_raises_what_it_is_told_to(kind: str, error: type[BackendError]) -> None:
    with pytest.raises(error) as caught:
        ask([{"fail": {"kind": kind}}], "Hello there.")
    assert type(caught.value) is error


def test_fail_spares_some_and_may_pass() -> None:
    rules: list[dict[str, Any]] = [{"fail": {"kind": "empty", "rate": 0.25}}, {"say": "spoken"}]
    said = Counter(output.text for output in ask_many(rules, ["?"], range(2000)))
    assert set(said) == {"", "spoken"}
    assert abs(said[""] - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5


def test_transient_failure_passes_when_tried_again() -> None:
    config = Scripted.model_validate({"rules": [{"fail": {"times": 2}}, {"say": "at last"}]})
    request = GenerateRequest((ChatMessage("user", "?"),), Sampling(), 3)

    async def use() -> str:
        async with config.open() as backend:
            for _ in range(2):
                with pytest.raises(TransientError):
                    await backend.generate(request)
            return (await backend.generate(request)).text

    assert asyncio.run(use()) == "at last"


def test_words_are_tokens() -> None:
    rules = [{"say": "one two  three four"}]
    output = ask(rules, "How many words?", system="Be brief.", max_tokens=3)
    assert (output.text, output.finish_reason) == ("one two  three", "length")
    assert (output.usage.prompt_tokens, output.usage.generated_tokens) == (5, 3)
    assert ask(rules, "?", max_tokens=4).finish_reason == "stop"
    assert ask(rules, "?", stop=("four", "three")).text == "one two  "


def test_choices_keep_a_reply_that_is_one_of_them() -> None:
    rules = [{"say": "B"}]
    assert ask(rules, "?", choices=("A", "B")).text == "B"
    drawn = {output.text for output in ask_many(rules, ["?"], range(50), choices=("yes", "no"))}
    assert drawn == {"yes", "no"}


def test_adapters_are_accepted_once_loaded() -> None:
    request = GenerateRequest((ChatMessage("user", "?"),), Sampling(), 1, adapter="abc")

    async def use() -> str:
        async with Scripted().open() as backend:
            with pytest.raises(BackendError, match=r"adapters\.load"):
                await backend.generate(request)
            await backend.adapters.load(Adapter("abc", "somewhere", backend.model_hash))
            return (await backend.generate(request)).text

    assert asyncio.run(use()) == DEFAULT_REPLY


def test_hash_is_of_the_rules_and_not_of_the_delay() -> None:
    plain, slow = Scripted(rules=[Rule(say="x")]), Scripted(rules=[Rule(say="x")], delay=2)
    other = Scripted(rules=[Rule(calculate=Calculate(skill=0.5))])
    assert plain.open().model_hash == slow.open().model_hash != other.open().model_hash


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "exactly one"),
        ({"say": "x", "choose": ["y"]}, "exactly one"),
        ({"when": "(", "say": "x"}, "not a regular expression"),
        ({"when": "a", "say": r"\1"}, "it has 0"),
        ({"choose": ["a"], "weights": [1, 2]}, "one number for each"),
        ({"choose": ["a"], "weights": [0]}, "not all 0"),
        ({"say": "x", "weights": [1]}, "one number for each"),
        ({"calculate": {"say": "fixed"}}, "must contain"),
        ({"calculate": {"skill": 1.5}}, "less than or equal to 1"),
    ],
)
def test_rules_that_make_no_sense_are_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Rule.model_validate(rule)
