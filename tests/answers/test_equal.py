"""Equality of pairs of answers, and its properties."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from society.answers.equal import EQUALITIES, Equality, read_choice, same_exact
from society.answers.latex import simplify
from society.answers.mathematics import same_math
from society.answers.numbers import parse_number
from society.answers.quantities import read_quantity

CASES = [
    json.loads(line) for line in (Path(__file__).parent / "equal_cases.jsonl").read_text(encoding="utf-8").splitlines()
]
ANSWERS = sorted({case[side] for case in CASES for side in "ab"})


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['how']}:{case['a']}={case['b']}"[:60])
def test_a_pair_is_judged_rightly_in_both_directions(case: dict[str, str]) -> None:
    same: Callable[[str, str, float], bool] = EQUALITIES[case["how"]]  # type: ignore[index]
    assert same(case["a"], case["b"], 1e-6) is case["same"]
    assert same(case["b"], case["a"], 1e-6) is case["same"]


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS), st.sampled_from(["exact", "numeric", "choice"]))
def test_equality_is_symmetric_and_reflexive(a: str, b: str, how: Equality) -> None:
    assert EQUALITIES[how](a, a, 1e-6)
    assert EQUALITIES[how](a, b, 1e-6) == EQUALITIES[how](b, a, 1e-6)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS))
def test_equality_of_mathematics_is_symmetric_and_reflexive(a: str, b: str) -> None:
    assert same_math(a, a)
    assert same_math(a, b) == same_math(b, a)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([case for case in CASES if case["how"] == "math"]),
    st.sampled_from(["${}$", " {} ", "{}.", r"\boxed{{{}}}"]),
)
def test_delimiters_change_no_verdict(case: dict[str, str], wrapper: str) -> None:
    if not case["a"].endswith((".", "!", "?")):
        assert same_math(wrapper.format(case["a"]), case["b"]) is case["same"]


@given(
    st.integers(-(10**9), 10**9),
    st.sampled_from(["{:,}", "{} eggs", "${}", "x = {}", "**{}**", r"{}\text{{ cm}}", "{}.0"]),
)
def test_a_whole_number_in_any_dress_equals_itself_and_no_other(value: int, dress: str) -> None:
    for how in ("numeric", "math"):
        assert EQUALITIES[how](dress.format(value), str(value), 1e-6)  # type: ignore[index]
        assert not EQUALITIES[how](dress.format(value), str(value + 1), 1e-6)  # type: ignore[index]


@given(st.text(max_size=40))
def test_any_text_is_read_without_failing(text: str) -> None:
    parse_number(text)
    read_quantity(text)
    read_quantity(text, variables=True)
    read_choice(text)
    assert simplify(simplify(text)) is not None


@given(st.text(alphabet="().<>[]{}!.,;:*_`'\"~#5a", max_size=8))
def test_characters_around_an_answer_that_mean_something_stay(text: str) -> None:
    if same_exact(text, "5"):
        assert not set(text) & set("<>[]{}!~")


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 300), st.integers(2, 300))
def test_tiny_numbers_are_equal_only_to_themselves(m: int, n: int) -> None:
    assert same_math(rf"\frac{{1}}{{2^{{{m}}}}}", f"2^{{-{n}}}") is (m == n)
    assert same_math(f"e^{{-{m}}}", rf"\frac{{1}}{{e^{{{n}}}}}") is (m == n)
