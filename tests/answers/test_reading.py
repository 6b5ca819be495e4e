"""Tables of replies with their expected answers, ballots and confidences.

`*_faults.jsonl` has inputs on which earlier versions were wrong; `*_cases.jsonl` has others of the same kinds.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.answers.answer_markers import find_marked
from society.answers.ballots import read_letters
from society.answers.choice import find_choice
from society.answers.confidence import stated_confidence
from society.answers.extract import Named, extract, extract_gold
from society.answers.format import ENDINGS
from society.answers.message_numbers import read_numbers
from society.answers.numbers import parse_number
from society.core.types import Item
from society.tasks.capitals import Capitals

Row = dict[str, Any]
FOLDER = Path(__file__).parent
GENEROUS_SECONDS = 10.0  # processor time; linear readers take far less than one


def rows(*names: str) -> list[Row]:
    lines = [line for name in names for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]
    return [json.loads(line) for line in lines]


def allowed(row: Row) -> list[Any]:
    right = row["right"]
    return right["one_of"] if isinstance(right, dict) else [right]


def name(row: Row) -> str:
    return f"{row.get('kind', '')}-{row['text'][:30]}".encode("unicode_escape").decode()


EXTRACTS = rows("extract_faults.jsonl", "extract_cases.jsonl")
BALLOTS = rows("ballot_faults.jsonl", "ballot_cases.jsonl")


@pytest.mark.parametrize("row", EXTRACTS, ids=name)
def test_the_answer_of_a_reply_is_read(row: Row) -> None:
    assert extract(row["text"], row["extract"], row.get("candidates")) in allowed(row)


@pytest.mark.parametrize("row", BALLOTS, ids=name)
def test_a_ballot_is_read(row: Row) -> None:
    read = read_letters if row["kind"] == "letters" else read_numbers
    assert read(row["text"], row["count"]) in allowed(row)


@pytest.mark.parametrize("row", rows("confidence_cases.jsonl"), ids=name)
def test_a_stated_confidence_is_read(row: Row) -> None:
    found = stated_confidence(row["text"])
    assert found == (row["right"] if row["right"] is None else pytest.approx(row["right"]))


LETTERS = st.sampled_from("ABCDEFGH")
FORMS = [
    *("{}", "({})", "**{}**", "**({})**", "{}.", "[{}]", "`{}`", "\\boxed{{{}}}", "$\\mathbf{{{}}}$", "{}) Paris"),
    *("Answer: {}", "The answer is {}.", "**Answer**: {}", "<answer>{}</answer>", "I choose option {}."),
    *("答案\uff1a{}", "So it must be {}."),
]


@given(LETTERS, LETTERS, st.sampled_from(FORMS))
def test_the_last_sign_wins_whatever_its_form(first: str, last: str, form: str) -> None:
    assert find_choice(f"The other agents say the answer is {first}. I checked.\n\n{form.format(last)}") == last


@given(
    LETTERS, LETTERS, st.sampled_from(["Agent 1", "Agent 2", "another agent", "the other solver", "one of the experts"])
)
def test_a_quoted_answer_is_never_the_replys_own(own: str, quoted: str, who: str) -> None:
    assert find_choice(f"The answer is {own}. {who} says the answer is {quoted}.") == own
    assert find_choice(f"{who} says the answer is {quoted}.") is None


@given(st.lists(LETTERS, min_size=2, max_size=8, unique=True), st.sampled_from([" > ", ">", ", ", " > Option ", "\n"]))
def test_a_ranking_keeps_its_order(letters: list[str], between: str) -> None:
    assert read_letters(between.join(letters), 8) == [ord(letter) - ord("A") for letter in letters]


@given(st.permutations(range(1, 6)))
def test_numbers_of_list_entries_rank_nothing(order: list[int]) -> None:
    text = "\n".join(f"{place}. Message {number}" for place, number in enumerate(order, 1))
    assert read_numbers(text, 5) == [number - 1 for number in order]


@given(
    st.integers(0, 10**12),
    st.sampled_from(
        ["{:,}", "{:_}", "${:,}", "{} eggs", "{} cm^2", "**{}**", "#### {}", "\\boxed{{{}\\text{{ eggs}}}}", "x = {}"]
    ),
    st.sampled_from([",", "{,}", "\\,", " ", "\u00a0", "\u2009", "\u202f", "'"]),
)
def test_a_number_is_never_cut(value: int, form: str, separator: str) -> None:
    written = form.format(value).replace("_", separator) if "_" in form else form.format(value)
    found = extract(f"Altogether this is {written}", ["last_number"])
    assert found is not None
    assert parse_number(found) == value


@given(st.integers(0, 100))
def test_a_confidence_is_the_same_on_every_scale(percent: int) -> None:
    share = percent / 100
    for stated in (f"{percent}%", f"(0-100): {percent}", f"{percent} out of 100", f"{percent}/100", f"(0-1): {share}"):
        assert stated_confidence(f"It is B. Confidence: {stated}".replace(": (", " (")) == pytest.approx(share)


@given(st.text(), st.sampled_from(["", "İ", "ﬃ", "ẞ"]))
def test_characters_that_change_length_in_lower_case_move_nothing(text: str, odd: str) -> None:
    clean = text.replace("<", "").replace(">", "")
    assert find_marked(f"{odd * 3}{clean}{odd}\n<answer>5</answer>", ["tag"]) in ("5", None)
    assert find_marked(f"{odd * 3}<answer>5</answer>", ["tag"]) == "5"


UNITS = [
    *(
        "answer ",
        "the answer is (",
        "(A) ",
        "Agent 2 says the answer is C. ",
        "not ",
        "\\boxed{",
        "A or ",
        "1 ",
        "1,",
        "1.",
    ),
    *("1'000", "<think>", "</think>", "答", "答案 ", " ", "\n", "A\n", "A. x\n", "1{,}", "\\frac{1}", "2^", "10^6 x "),
    *(
        "if ",
        "Paris or ",
        "The capital is not Paris. ",
        "**",
        "~~",
        "<answer>",
        "####",
        "answer is not A but ",
        "agent 1, ",
    ),
    *("I think ", "\uff22", "{", "\\text{", "A > ", "1. A\n", "first ", "confidence ", "confidence: 5", "réponse "),
    *("B is the best the best ", "n't think the answer is the "),
]
LENGTH = 30_000
"""Length of texts that expose quadratic time, in characters."""


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_every_reader_takes_linear_time(unit: str) -> None:
    text = (unit * (LENGTH // len(unit) + 1))[:LENGTH]
    names: list[Named] = [*ENDINGS]  # type: ignore[list-item]  # the names are the extractors
    started = time.process_time()
    for extractor in names:
        extract(text, [extractor], {"Paris": "A", "Lyon": "B"})
    extract(text, ["choice", "candidates"], {"Paris": "A", "Lyon": "B"})
    read_letters(text, 9)
    read_numbers(text, 9)
    stated_confidence(text)
    Capitals().parse(text, Item("1", "What is the capital of Canada?", "Ottawa"))
    assert time.process_time() - started < GENEROUS_SECONDS


def test_a_data_sets_solution_is_read_by_its_last_mark() -> None:
    solution = r"We see that Ezekiel wrote $\boxed{12}$ numbers. Will Ezekiel end up with $n$ numbers?"
    assert extract_gold(solution, ["boxed"]) == "12"
    assert extract_gold("Natalia sold 72 clips.\n#### 72", ["hash"]) == "72"
    assert extract_gold("There is no mark.", ["boxed", "line"]) == "There is no mark."
