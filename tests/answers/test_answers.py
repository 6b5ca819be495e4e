"""Extraction, comparison and grouping of answers, with hostile ones."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from society.answers import group
from society.answers.equal import EQUALITIES, Equality, same_choice, same_exact, same_numeric
from society.answers.extract import MAX_TEXT, Extractor, Named, Regex, extract, find_candidate
from society.answers.format import ENDINGS, AnswerFormat, AnswerOptions
from society.answers.mathematics import _verify, is_tame, same_math
from society.answers.number_finder import find_last_number
from society.answers.numbers import parse_number
from society.answers.undecided import undecided_with
from society.core.errors import SlowPatternError

GENEROUS_SECONDS = 60.0  # the promise is a bounded number of steps, some seconds; a busy machine must not fail the test

HOSTILE = [
    "10**10**10",
    "9^9^9^9",
    "10^{(10^{10})}",
    "{" * 100_000 + "1" + "}" * 100_000,
    "\\frac{" * 50_000,
    "7" * 100_000,
    "1e999999999",
    "1/0",
    "99999999!",
    "((9!)!)!",
    "(x+y+z)^{5000}+1",
    r"\sum_{i=1}^{9999} \frac{1}{i^3}",
    r"\int_0^1 e^{-x^2}\sin(x^{x^x}) dx",
    "x^{" * 11 + "2" + "}" * 11,
    "|" * 300,
    "\x00\ud800".encode("utf-8", "replace").decode(),
]

texts = st.text(max_size=60)
numbers = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False, places=3).map(str),
    st.tuples(st.integers(-99, 99), st.integers(1, 99)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
)
answers = st.one_of(texts, numbers, st.sampled_from(["A", "(b)", r"\frac{1}{2}", "0.5", "50%", "the end"]))


@pytest.mark.parametrize(
    ("extractor", "text", "found"),
    [
        ("tag", "<answer>1</answer> no, <ANSWER> 2 </ANSWER>", "2"),
        ("tag", "<answer>1", None),
        ("boxed", r"\boxed{1} so \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        ("boxed", r"\boxed{\boxed{2}}", "2"),
        ("boxed", r"\boxed{\left\{1, 2\right\}}", r"\left\{1, 2\right\}"),
        ("boxed", r"\boxed{3} and \boxed{4", "3"),
        ("boxed", r"\boxed 7.", "7."),
        ("boxed", "no box {x}", None),
        ("hash", "a\n#### 18\n", "18"),
        ("hash", "## heading", None),
        ("last_number", "It costs $1,234.50.", "1234.50"),
        ("last_number", "16 - 3 = 13", "13"),
        ("last_number", "so -$5", "-5"),
        ("last_number", "x = 5-3", "3"),
        ("last_number", "about 50%", "50"),
        ("last_number", "3 / 4 of it", "3/4"),
        ("last_number", "3 1/2 cups", "3 1/2"),
        ("last_number", "1.5e3 m", "1.5e3"),
        ("last_number", "\N{MINUS SIGN}7", "-7"),
        ("last_number", "none", None),
        ("choice", "The answer is B.", "B"),
        ("choice", "Answer: **C**", "C"),
        ("choice", "the correct option is (D) since", "D"),
        ("choice", "I would say (A), no, (B)", "B"),
        ("choice", r"\boxed{\text{(C)}}", "C"),
        ("choice", "B. Paris", "B"),
        ("choice", "Well.\nB\n", "B"),
        ("choice", "A dog is an animal. I know.", None),
        ("choice", "The answer is A dog", None),
        ("choice", "The answer is a dog", None),
        ("line", "one\n two \n\n", "two"),
        ("text", " all of\nit ", "all of\nit"),
        (Regex(regex=r"= (\d+)"), "a = 1, b = 2", "2"),
        (Regex(regex=r"\d+"), "a = 1, b = 2", "2"),
        (Regex(regex="z"), "abc", None),
    ],
)
def test_an_extractor_finds(extractor: Extractor, text: str, found: str | None) -> None:
    assert extract(text, [extractor]) == found


def test_extractors_are_tried_in_order() -> None:
    assert extract(r"\boxed{1} #### 2", ["hash", "boxed"]) == "2"
    assert extract(r"\boxed{1} 2", ["hash", "boxed"]) == "1"
    assert extract("nothing", ["hash", "boxed"]) is None
    assert extract(r"\boxed{ }" + "\n#### 3", ["boxed", "hash"]) == "3"


CITIES = {"Mexico City": "Mexico City", "Mexico": "Mexico", "Nice": "Nice", "Malé": "Malé", "Kiev": "Kyiv"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It is Mexico City.", "Mexico City"),
        ("Mexico City, not Kiev!", "Mexico City"),
        ("First Nice, then Kiev.", "Kyiv"),
        ("a nice place", "Nice"),  # no capitals at all: cannot be told apart
        ("A nice male place", None),
        ("MALE.", "Malé"),
        ("Nicely done", None),
        ("", None),
    ],
)
def test_the_last_mentioned_candidate_is_the_answer(text: str, found: str | None) -> None:
    assert find_candidate(text, CITIES) == found


@given(st.text(), st.sampled_from([*ENDINGS]))
def test_extraction_takes_any_text(text: str, name: Named) -> None:
    found = extract(text, [name], CITIES)
    assert found is None or (found and found == found.strip())


@given(st.integers(-(10**12), 10**12), st.sampled_from(["{}", "${:,}", "so {} apples", "= {}.", "**{}**"]))
def test_the_last_number_of_a_sentence_is_found(value: int, sentence: str) -> None:
    found = find_last_number("There were 7. " + sentence.format(value))
    assert found is not None
    assert parse_number(found) == value


@given(numbers)
def test_a_number_has_its_exact_value(text: str) -> None:
    assert parse_number(text) == Fraction(text)


@pytest.mark.parametrize("text", ["", "1/0", "1e9999", "1,23", "two", "1" * 300, "0x10", "1_000", "nan", "3 1/0"])
def test_what_is_no_number_has_no_value(text: str) -> None:
    assert parse_number(text) is None


@pytest.mark.parametrize("equal", ["exact", "numeric", "choice"])
@given(a=answers, b=answers)
def test_equality_is_reflexive_and_symmetric(equal: Equality, a: str, b: str) -> None:
    same = EQUALITIES[equal]
    assert same(a, a, 1e-6)
    assert same(a, b, 1e-6) == same(b, a, 1e-6)


@settings(max_examples=30, deadline=None)
@given(a=answers, b=answers)
def test_math_equality_is_reflexive_and_symmetric(a: str, b: str) -> None:
    assert same_math(a, a)
    first = same_math(a, b)
    _verify.cache_clear()
    assert first == same_math(b, a)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("Paris", " paris. ", True),
        ("The Hague", "hague", True),
        ("**Brasília**", "Brasi\N{COMBINING ACUTE ACCENT}lia", True),
        ("Par\N{ZERO WIDTH SPACE}is", "Paris", True),
        ("Paris", "London", False),
        ("...", "", False),
        ("-5", "5", False),
    ],
)
def test_exact(a: str, b: str, expected: bool) -> None:
    assert same_exact(a, b) is expected


def test_numeric_compares_whole_numbers_exactly_and_others_within_the_tolerance() -> None:
    assert same_numeric("14.0", "14", 1e-6)
    assert same_numeric("$1,000", "1000", 1e-6)
    assert same_numeric("1/3", "0.33333333", 1e-6)
    assert not same_numeric("1/3", "0.333", 1e-6)
    assert same_numeric("1/3", "0.333", 1e-2)
    assert not same_numeric("10000001", "10000000", 1e-2)
    assert not same_numeric("five", "5", 1e-6)


def test_choice() -> None:
    assert same_choice("(B)", "b.")
    assert not same_choice("A", "B")
    assert same_choice("banana", "Banana")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (r"\frac{1}{2}", "0.5", True),
        (r"\dfrac12", "1/2", True),
        (r"3\frac{1}{2}", "3.5", True),
        (r"-\frac{-1}{2}", "0.5", True),
        (r"\left( 1, 2 \right)", "(1,2)", True),
        (r"50\%", "50", True),
        (r"90^\circ", "90", True),
        (r"10,\!000", "10000", True),
        (r"\text{even}", "even", True),
        ("x^2+2x+1", "(x+1)^2", True),
        ("sqrt(8)", r"2\sqrt{2}", True),
        ("2**3", "8", True),
        ("pi", r"\pi", True),
        ("x=5", "5", True),
        (r"\{1,2\}", r"\{2,1\}", True),
        ("(1,2)", "(2,1)", False),
        ("(1,2)", "[1,2]", False),
        ("x+1", "x+2", False),
        ("", "0", False),
    ],
)
def test_math(a: str, b: str, expected: bool) -> None:
    assert same_math(a, b) is expected
    assert same_math(b, a) is expected


@pytest.mark.parametrize("answer", HOSTILE, ids=lambda answer: answer[:20].encode("unicode_escape").decode())
def test_a_hostile_answer_is_cheap_and_equals_itself_alone(answer: str) -> None:
    same_math("x+x", "2x")  # the worker is up
    started = time.perf_counter()
    assert same_math(answer, answer)
    assert not any(EQUALITIES[equal](answer, "(x+1)^2", 1e-6) for equal in EQUALITIES)
    for name in ENDINGS:
        extract(answer, [name], CITIES)  # type: ignore[list-item]  # the names are the extractors
    assert time.perf_counter() - started < GENEROUS_SECONDS


def test_code_in_an_answer_never_runs(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    for code in (
        f"__import__('pathlib').Path('{trace}').touch()",
        f"open('{trace}','w')",
        f"\\write18{{touch {trace}}}",
    ):
        assert not same_math(code, "x+1")
        assert not same_numeric(code, "1", 1e-6)
    assert not trace.exists()


def test_a_killed_worker_is_replaced() -> None:
    _verify.cache_clear()
    assert not same_math("(x+y+z+w)^{500}+2", "x")
    assert same_math("(x+2)^2", "x^2+4x+4")


@pytest.mark.needs("math_verify")
def test_math_works_outside_the_main_thread() -> None:
    _verify.cache_clear()
    verdicts: list[bool] = []
    thread = threading.Thread(target=lambda: verdicts.append(same_math("(x+3)^2", "x^2+6x+9")))
    thread.start()
    thread.join()
    assert verdicts == [True]


@pytest.mark.parametrize("answer", ["2^{10}", "e^{x^2}", "10!", r"\frac{x^{100}}{y^{99}}", "(1,2,3)"])
def test_ordinary_mathematics_is_tame(answer: str) -> None:
    assert is_tame(answer)


def test_a_catastrophic_regex_is_given_up() -> None:
    started = time.perf_counter()
    with pytest.raises(SlowPatternError, match=r"'\(a\+\)\+\$' was stopped after 0.5 s"):
        extract("a" * 50_000 + "!", [Regex(regex=r"(a+)+$"), "text"])
    assert time.perf_counter() - started < GENEROUS_SECONDS


def test_a_regex_that_is_none_is_refused() -> None:
    with pytest.raises(ValidationError, match="not a regular expression"):
        Regex(regex="(")


def test_only_the_end_of_a_huge_text_is_looked_at() -> None:
    assert extract(r"\boxed{1}" + "x" * MAX_TEXT, ["boxed"]) is None
    assert extract("x" * 10 * MAX_TEXT + r"\boxed{1}", ["boxed"]) == "1"


def test_groups_are_in_the_order_first_seen() -> None:
    assert group(["b", "A", "B", "c", "a"], same_exact) == [[0, 2], [1, 4], [3]]
    assert group([], same_exact) == []


@given(st.lists(st.integers(0, 3).map(str)))
def test_groups_are_a_partition(given_answers: list[str]) -> None:
    classes = group(given_answers, same_exact)
    assert sorted(index for members in classes for index in members) == list(range(len(given_answers)))
    assert len(classes) == len(set(given_answers))


def test_a_format_overrides_only_what_is_given() -> None:
    standard = AnswerFormat(extract=("last_number",), equal="numeric")
    changed = standard.override(AnswerOptions.model_validate({"equal": "math"}))
    assert changed.extract == ("last_number",)
    assert changed.equal == "math"
    assert "number" in changed.ending


@pytest.mark.parametrize("wrong", [{"extract": ["bxed"]}, {"extract": []}, {"equal": "eval"}, {"tolerance": -1.0}])
def test_a_wrong_format_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AnswerFormat.model_validate(wrong)


@pytest.mark.parametrize("answer", [r"\sum_{n=1}^{10} n", r"\prod_{k=1}^{100} k", r"\binom{52}{5}", r"\int_0^1 x^2 dx"])
def test_short_sums_products_and_integrals_are_tame(answer: str) -> None:
    assert is_tame(answer)


@pytest.mark.parametrize(
    "answer",
    [
        r"\sum_{n=1}^{9999} \frac{1}{n^{7}}",
        r"\prod_{n=1}^{5000} n",
        r"\binom{9999}{4999}",
        r"\int_0^{\infty} e^{-x^{x^{x}}} dx",
    ],
)
def test_long_sums_and_towers_under_an_integral_are_not_shown_to_sympy(answer: str) -> None:
    assert not is_tame(answer)
    assert same_math(answer, answer)
    assert not same_math(answer, answer + "+1")
    assert undecided_with(answer, [answer + "+1"]) == [answer + "+1"]  # false, but not silently


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("yes and no", None),
        ("Both yes and no.", None),
        ("The answer is yes and no.", None),
        ("The answer is yes or no.", None),
        ("No one knows.", None),
        ("I have no idea.", None),
        ("Yes, because no one has disproved it.", "A"),
        ("Yes, no doubt.", "A"),
        ("Yes, and I am sure.", "A"),
        ("No, never.", "B"),
        ("The answer is no.", "B"),
        ("no", "B"),
    ],
)
def test_yes_and_no_is_neither_and_a_determiner_is_no_answer(text: str, found: str | None) -> None:
    assert extract(text, ["choice", "boxed", "candidates"], {"yes": "A", "no": "B"}) == found
