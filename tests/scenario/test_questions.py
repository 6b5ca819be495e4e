"""Training and evaluation questions are disjoint, in any spelling."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.core.errors import InputError
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.scenario.questions import load_items
from society.tasks.normal import normal_question

SAME = [
    ("What is 2+2?", "What is 2 + 2?"),
    ("What is 2+2?", "what  is\t2 +2 ?"),
    ("Où est l'été?", unicodedata.normalize("NFD", "Où est l'été?")),
    ("Où est l'été?", "OÙ EST L\u2019ÉTÉ?"),
    ("the sea", "the\u200b se\u200da\ufeff"),
    ("the sea", "\u2066the\u00ad sea\u2069"),
    ("e\u0301", "e\u200b\u0301"),
    ("5 - 3", "5 \u2212 3"),
    ("5 - 3", "5\u00a0\u2013\u202f3"),
    ("1/2", "\u00bd"),
    ("Straße", "STRASSE"),
    ("ABC 123", unicodedata.normalize("NFKC", "ABC 123").translate({c: c + 0xFEE0 for c in map(ord, "ABC123")})),
    ("12", "\u0661\u0662"),
    ("ﬁne", "fine"),
    ("ΣΑΣ", "σας"),
    ("I \u2764\ufe0f it", "i\u2764it"),
]
OTHERS = [
    ("What is 2+2?", "What is 2-2?"),
    ("What is 2+2?", "What is 22?"),
    ("1.5", "15"),
    ("x < y", "x > y"),
    ("a", "b"),
    ("été", "ete"),
    ("5!", "5"),
    ("(1, 2)", "[1, 2]"),
]
TEXT = """
version: 1
name: leak
task: {kind: jsonl, path: questions.jsonl, limit: 3}
backends: {b: {kind: hf, model: none}}
roles: {r: {prompt: "{{ question }}"}}
agents: {a: {count: 2, role: r}}
phases: [{name: p}]
train:
  questions: 4
  learners: {l: {phases: [p], turn: last}}
"""


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_question_written_in_two_ways(one: str, other: str) -> None:
    assert normal_question(one) == normal_question(other)


@pytest.mark.parametrize(("one", "other"), OTHERS)
def test_two_questions(one: str, other: str) -> None:
    assert normal_question(one) != normal_question(other)


@given(st.text(max_size=30), st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]))
def test_the_normal_form_is_one(text: str, form: str) -> None:
    normal = normal_question(text)
    assert normal_question(normal) == normal
    assert normal_question(unicodedata.normalize(form, text)) == normal  # type: ignore[arg-type]
    assert normal_question("\u200b".join(text)) == normal
    assert normal_question(f" {text}\n") == normal


def write(folder: Path, questions: list[str]) -> Callable[..., Scenario]:
    lines = (json.dumps({"question": question, "answer": "1"}) for question in questions)
    (folder / "questions.jsonl").write_text("\n".join(lines))
    (folder / "leak.yaml").write_text(TEXT)
    return lambda *overrides: load_scenario(folder / "leak.yaml", overrides)


def test_training_passes_over_questions_of_the_evaluation(tmp_path: Path) -> None:
    tested = ["What is 2+2?", "Où est l'été?", "5 - 3"]
    again = ["What is 2 + 2 ?", unicodedata.normalize("NFD", "où est l'été?"), "5\u200b \u2212 3"]
    new = ["one", "two", "three", "four", "five"]
    load = write(tmp_path, [*tested, new[0], *again[:2], *new[1:3], again[2], *new[3:]])
    items = load_items(expand(load()))
    assert [item.question for item in items.evaluation] == tested
    assert [item.question for item in items.training] == new[:4]
    with pytest.raises(InputError, match="has 11 in all"):
        load_items(expand(load("train.questions=6")))


def test_another_task_must_share_no_question(tmp_path: Path) -> None:
    load = write(tmp_path, ["one", "2+2", "three", "four", "2 + 2"])
    with pytest.raises(InputError, match="in both the training and the evaluation set"):
        load_items(expand(load("train.task={kind: jsonl, path: questions.jsonl, offset: 3}")))


def test_another_task_must_share_no_id(tmp_path: Path) -> None:
    """Turns are stored by the id of their question, so turns of one question would replace those of the other."""
    load = write(tmp_path, ["one", "two", "three"])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "questions.jsonl").write_text('{"question": "four", "answer": "1", "nr": "d"}')
    other = "kind: jsonl, path: other/questions.jsonl"
    with pytest.raises(InputError, match="ids of 1 question are in both the training and the evaluation") as caught:
        load_items(expand(load(f"train.task={{{other}}}")))
    assert "rename a file" in caught.value.remedy
    assert len(load_items(expand(load(f"train.task={{{other}, id: nr}}"))).every) == 4


def test_word_problems_of_two_seeds_need_halves(tmp_path: Path) -> None:
    load = write(tmp_path, ["one"])
    task = "{kind: word_problems, steps: [1], high: 10, limit: 50"
    seeds = [f"task={task}, seed: 1}}", f"train.task={task}, seed: 2}}"]
    with pytest.raises(InputError, match="in both the training and the evaluation set") as caught:
        load_items(expand(load(*seeds)))
    assert "half: first" in caught.value.remedy
    halves = [f"task={task}, seed: 1, half: first}}", f"train.task={task}, seed: 2, half: second}}"]
    assert len(load_items(expand(load(*halves))).every) == 100


def test_repeated_questions_are_counted_in_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"question": f"{n % 3} + 1?", "answer": n % 3 + 1} for n in range(5)]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "leak.yaml").write_text(TEXT[: TEXT.index("train:")])
    assert len(load_items(expand(load_scenario(tmp_path / "leak.yaml"))).evaluation) == 3
    assert not caplog.messages  # the limit is reached before the first repetition
    items = load_items(expand(load_scenario(tmp_path / "leak.yaml", ["task.limit=null"])))
    assert len(items.evaluation) == 3
    assert [m.partition("questions.jsonl: ")[2] for m in caplog.messages] == [
        "2 repeated questions are left out; each question is used once"
    ]


def test_the_error_of_a_row_names_all_rows_with_errors(tmp_path: Path, scenario: Callable[..., Scenario]) -> None:
    rows = ["question,answer", "One?,1", ",2", "Three?,3,3", ",4", *(f"Row {i}?" + ",x" * i for i in range(3, 10))]
    (tmp_path / "rows.csv").write_text("\n".join(rows))
    place = tmp_path / "rows.csv"
    loaded = scenario(
        f"""
task: {{kind: file, path: {place}, limit: 2}}
roles: {{r: {{prompt: "{{{{ question }}}}"}}}}
agents: {{a: {{role: r}}}}
phases: [{{name: p}}]
"""
    )
    with pytest.raises(InputError) as raised:
        load_items(expand(loaded))
    assert raised.value.cause == f"{place}:3: the row has an empty question."
    lines = raised.value.remedy.splitlines()
    assert lines[0].endswith("The same holds for 1 more row (line 5).")
    assert lines[2] == f"  {place}:4: the row has 3 cells, and the header 2."
    assert len(lines) == 8
    assert "3 more" in lines[-1]
