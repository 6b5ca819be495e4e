"""Answers in sentences: parsing, scoring, and the report of a run without readable answers."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.answers.extract import extract
from society.answers.phrases import contains_answer, read_words, same_words
from society.answers.statements import find_statement
from society.cli import main
from society.scenario.models.scenario import Scenario
from society.tasks.file import Jsonl
from tests.answers.test_reading import rows

SENTENCES = rows("sentence_cases.jsonl")


def jsonl(folder: Path, *data: dict[str, Any], **fields: Any) -> Jsonl:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in data), encoding="utf-8")
    return Jsonl.model_validate({"path": str(path), **fields}, context={"folders": [folder]})


@pytest.mark.parametrize("row", SENTENCES, ids=lambda row: f"{row['text'][:40]}-{row['gold']}")
def test_a_sentence_is_right_if_it_gives_the_true_answer(row: dict[str, Any], tmp_path: Path) -> None:
    task = jsonl(tmp_path, {"question": row["question"], "answer": row["gold"]})
    item = task.load(0)[0]
    answer = task.parse(row["text"], item)
    assert (answer is not None and task.correct(answer, item)) is row["right"]


def test_equal_sentences_vote_together(tmp_path: Path) -> None:
    task = jsonl(tmp_path, {"question": "What is the largest planet?", "answer": "Jupiter"})
    item = task.load(0)[0]
    texts = (
        "The largest planet is Jupiter.",
        "Jupiter is the largest planet.",
        "It's Jupiter!",
        "**Jupiter**",
        "jupiter",
    )
    answers = [task.parse(text, item) or "" for text in texts]
    assert all(task.same(a, b) for a in answers for b in answers)


def test_a_list_of_true_answers_has_aliases(tmp_path: Path) -> None:
    task = jsonl(tmp_path, {"question": "Which city is the Big Apple?", "answer": ["New York City", "New York", "NYC"]})
    item = task.load(0)[0]
    assert (item.gold, item.aliases) == ("New York City", ("New York", "NYC"))
    assert all(task.correct(answer, item) for answer in ("NYC", "New York", "new york city"))
    assert not task.correct("York", item)


GSM8K = [
    *(
        "42",
        "The answer is 42.",
        "#### 42",
        "#### 42 apples",
        "#### **42**",
        "\\boxed{42}",
        "\\boxed{42\\text{ apples}}",
    ),
    *("$\\boxed{42}$", "\\boxed{x=42}", "\\boxed{\\$42}", "x = 42", "**42**", "$42", "42 dollars", "42.00", "= 42"),
    *(
        "42%",
        "42 %",
        "`42`",
        "(42)",
        "Answer: 42",
        "**Answer: 42**",
        "**Answer:** 42 apples",
        "The final answer is $42$.",
    ),
    *("So she has 42 apples left.", "6 * 7 = 42", "6 x 7 = 42.", "\\(42\\)", "\\[x = 42\\]", "42 cm^2", "€42", "42!"),
    *("42 \\text{ cm}^2", "42 apples and nothing else.", "Step 1: 6 * 7 = 42\n\nTherefore, the answer is 42.", "~42"),
    *("The total is **$42**.", "about 42", "She earns $42 a day.", "Agent 2 says 40, but it is 42.", "42, not 40"),
    *("<think>41?</think>42", "I get 42. Agent 1 says 40.", "forty-two is 42", "\\boxed{42.0}"),
]


@pytest.mark.parametrize("text", GSM8K)
def test_the_line_for_gsm8k_reads_every_reply_that_says_42(text: str, tmp_path: Path) -> None:
    row = {"question": "How many?", "answer": "6 * 7 = <<6*7=42>>42\n#### 42"}
    task = jsonl(tmp_path, row, gold_extract=["hash"], answer={"equal": "numeric"})
    item = task.load(0)[0]
    answer = task.parse(text, item)
    assert answer is not None
    assert task.correct(answer, item)


@given(st.integers(0, 999_999))
def test_number_words_are_numbers(value: int) -> None:
    assert read_words(spell(value)) == (str(value),)
    assert same_words(spell(value), f"{value:,}")


ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
TENS = ["-", "-", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def spell(value: int) -> str:
    if value < 20:
        return ONES[value]
    if value < 100:
        return TENS[value // 10] + (f"-{ONES[value % 10]}" if value % 10 else "")
    scale, name = (1000, "thousand") if value >= 1000 else (100, "hundred")
    rest = f" {spell(value % scale)}" if value % scale else ""
    return f"{spell(value // scale)} {name}{rest}"


@given(st.text(max_size=200), st.text(max_size=60))
def test_any_reply_and_question_are_read(text: str, question: str) -> None:
    found = find_statement(text, question)
    assert found is None or found.strip() == found != ""


@given(st.text(max_size=40), st.text(max_size=40))
def test_words_are_compared_symmetrically(a: str, b: str) -> None:
    assert same_words(a, a)
    assert same_words(a, b) == same_words(b, a)
    contains_answer(a, b)


SCENARIO = """
task: {{kind: jsonl, path: trivia.jsonl{more}}}
backends: {{scripted: {{kind: scripted, rules: [{{say: "{say}"}}]}}}}
roles: {{solver: {{prompt: "{{{{ question }}}}"}}}}
agents: {{solver: {{count: 3}}}}
phases: [{{name: answer, topology: none, rounds: 1}}]
"""


@pytest.fixture
def run(
    scenario: Callable[..., Scenario], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[str, str], tuple[str, str]]:
    def play(say: str, more: str = "") -> tuple[str, str]:
        data = [{"question": f"What is {n} plus one?", "answer": str(n + 1)} for n in range(12)]
        (tmp_path / "trivia.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data), encoding="utf-8")
        scenario(SCENARIO.format(say=say, more=more))
        assert main(["run", str(tmp_path / "scenario.yaml"), "--out", str(tmp_path / f"run{len(more)}")]) == 0
        said = capsys.readouterr()
        return said.out, said.err

    return play


def shown_by(page: Path) -> str:
    """Return the data of a report, which are gzipped JSON in base64."""
    blocks = re.findall(r'<script type="text/plain"[^>]*>([^<]*)</script>', page.read_text(encoding="utf-8"))
    return "".join(gzip.decompress(base64.b64decode(block)).decode() for block in blocks)


def test_a_run_warns_when_most_replies_cannot_be_matched(run: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    out, err = run("Well, that really depends on a great many things which I cannot all go through here")
    for said in (out, err):
        assert "cannot be matched with a true answer, such as" in said
        assert "task.answer.extract" in said
    assert err.count("cannot be matched") == 1
    assert main(["report", str(tmp_path / "run0"), "--output", str(tmp_path / "report.html")]) == 0
    assert "cannot be matched with a true answer" in shown_by(tmp_path / "report.html")


def test_a_run_whose_replies_are_readable_does_not_warn(run: Callable[..., tuple[str, str]]) -> None:
    out, err = run("It is five.")
    assert "matched" not in out + err
    out, err = run("I would say it is five of them.", ", answer: {equal: numeric}")
    assert "cannot be matched" in out


@pytest.mark.parametrize(
    "text",
    [
        *(
            "I don't know.",
            "I am not sure.",
            "Sorry, I can't help with that.",
            "As an AI, I cannot answer.",
            "No idea.",
        ),
        *("I agree with Agent 1.", "I'm sorry, but I don't know what the largest planet is.", "Thank you!"),
        *("I cannot determine the largest planet.", "I hope this helps!", "Confidence: 80%"),
        *("I do not know.", "No idea at all.", "Not sure.", "Hard to say.", "I have no clue.", "Confidence: high"),
        *("Agent 1 is right.", "I think Agent 1 is correct.", "Agents 1 and 2 are right.", "Both are wrong."),
        *("Agent 1's answer is right.", "That is right.", "The others are mistaken."),
    ],
)
def test_a_reply_without_an_answer_is_unreadable(text: str) -> None:
    assert extract(text, ["boxed", "hash", "statement"], question="What is the largest planet?") is None
