"""Capitals in replies: artificial replies, and real ones of a model of 135 million parameters."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.tasks.capitals import Capitals
from tests.answers.test_reading import rows

TASK = Capitals()
ITEMS = {item.id.removeprefix("capital-of-"): item for item in TASK.load(0)}


@pytest.mark.parametrize(
    "row", rows("capital_cases.jsonl"), ids=lambda row: row["text"][:40].encode("unicode_escape").decode()
)
def test_the_place_that_is_named_is_the_answer(row: dict[str, Any]) -> None:
    assert TASK.parse(row["text"], ITEMS[row["country"]]) == row["right"]


WAYS = [
    *("{}", "{}.", "**{}**", "It is {}.", "The capital of Canada is {}.", "Canada's capital is {}.", "Capital: {}"),
    *("{} is the capital of Canada.", "The answer is {}.", "I think it's {}.", "{}, Canada"),
    "The capital city of Canada is {}, a large city.",
]


@given(
    st.sampled_from(
        [
            "Toronto",
            "Lahore",
            "Mumbai",
            "Sydney",
            "Sao Paulo",
            "Rio de Janeiro",
            "New York",
            "Saint-Denis",
            "Qwxz",
            "St. Louis",
        ]
    ),
    st.sampled_from(WAYS),
)
def test_a_place_that_is_no_capital_is_a_wrong_answer(place: str, way: str) -> None:
    canada = ITEMS["canada"]
    answer = TASK.parse(way.format(place), canada)
    assert answer == place
    assert not TASK.correct(answer, canada)


@given(st.sampled_from(sorted(ITEMS)))
def test_a_reply_that_only_speaks_of_the_country_names_no_capital(country: str) -> None:
    name = ITEMS[country].question.removeprefix("What is the capital of ").removesuffix("?")
    for text in (
        f"{name[0].upper()}{name[1:]} is a country.",
        "I do not know.",
        f"The capital of {name} is not known.",
    ):
        assert TASK.parse(text, ITEMS[country]) is None


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    answer = TASK.parse(text, ITEMS["canada"])
    assert answer is None or answer.strip() == answer != ""


def test_extractors_of_the_scenario_replace_the_reader() -> None:
    task = Capitals.model_validate({"answer": {"extract": ["boxed"]}})
    assert task.parse("\\boxed{Toronto} is the capital", ITEMS["canada"]) == "Toronto"
    assert task.parse("It is Toronto.", ITEMS["canada"]) is None
