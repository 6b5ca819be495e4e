"""Named data sets: rows in the layout of the hub and in that of the authors' files give question, options and answer.

All rows are written for these tests; only their fields are those of the data sets.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from society.cli import main
from society.components.facts import TaskFacts
from society.core.errors import InputError
from society.tasks.contract import _reply
from society.tasks.dataset import Dataset
from society.tasks.datasets import DATASETS

Values = dict[str, Any]
STEM = {
    "stem": "Which is a bird?",
    "choices": [{"text": "cat", "label": "A"}, {"text": "owl", "label": "B"}, {"text": "eel", "label": "C"}],
}
LISTS = {"text": ["cat", "owl", "eel"], "label": ["1", "2", "3"]}
GPQA = (
    "Pre-Revision Question,Question,Correct Answer,Incorrect Answer 1,Incorrect Answer 2,Incorrect Answer 3,"
    "Explanation,Record ID\nold,Which is a bird?,owl,cat,eel,cow,Owls fly.,rec1\n"
)
LAYOUTS: list[tuple[str, str, Any, str, tuple[str, ...]]] = [
    ("gsm8k", "test.jsonl", {"question": "Half of 8?", "answer": "8/2 = <<8/2=4>>4\n#### 4"}, "4", ()),
    ("gsm8k", "test.jsonl", {"question": "Of 2000?", "answer": "It is so.\n#### 1,000"}, "1,000", ()),
    (
        "math",
        "algebra/7.json",
        {"problem": "Half of $x$?", "level": "Level 1", "type": "Algebra", "solution": "So \\boxed{\\frac{x}{2}}."},
        "\\frac{x}{2}",
        (),
    ),
    (
        "math500",
        "test.jsonl",
        {"problem": "1?", "solution": "\\boxed{1}", "answer": "1", "subject": "Algebra", "level": 1, "unique_id": "a"},
        "1",
        (),
    ),
    (
        "mmlu",
        "rows.jsonl",
        {"question": "Bird?", "subject": "birds", "choices": ["cat", "owl", "eel", "cow"], "answer": 1},
        "B",
        ("cat", "owl", "eel", "cow"),
    ),
    ("mmlu", "test/birds_test.csv", '"Bird, please?",cat,owl,eel,cow,B\n', "B", ("cat", "owl", "eel", "cow")),
    (
        "mmlu_pro",
        "rows.jsonl",
        {
            "question_id": 70,
            "question": "Bird?",
            "options": ["cat", "owl", "eel"],
            "answer": "B",
            "answer_index": 1,
            "cot_content": "Owl.",
            "category": "law",
            "src": "x",
        },
        "B",
        ("cat", "owl", "eel"),
    ),
    ("gpqa", "gpqa_diamond.csv", GPQA, "", ("owl", "cat", "eel", "cow")),
    ("arc", "ARC-Challenge/ARC-Challenge-Test.jsonl", {"id": "q", "question": STEM, "answerKey": "B"}, "B", ()),
    ("arc", "rows.jsonl", {"id": "q", "question": "Bird?", "choices": LISTS, "answerKey": "2"}, "B", ()),
    (
        "hellaswag",
        "hellaswag_val.jsonl",
        {"ind": 1, "activity_label": "Sport", "ctx": "He runs", "endings": ["a.", "b.", "c.", "d."], "label": "3"},
        "D",
        (),
    ),
    ("hellaswag", "v.jsonl", {"ind": 1, "ctx": "He runs", "endings": ["a.", "b.", "c.", "d."], "label": 1}, "B", ()),
    ("commonsense_qa", "dev_rand_split.jsonl", {"id": "q", "question": STEM, "answerKey": "C"}, "C", ()),
    (
        "commonsense_qa",
        "rows.jsonl",
        {"id": "q", "question": "Bird?", "question_concept": "bird", "choices": LISTS, "answerKey": "1"},
        "A",
        (),
    ),
    (
        "strategy_qa",
        "strategyqa_train.json",
        [{"qid": "q", "term": "Owl", "question": "Can owls fly?", "answer": True, "facts": ["They can."]}],
        "A",
        ("yes", "no"),
    ),
    (
        "truthful_qa",
        "mc_task.json",
        [{"question": "Bird?", "mc1_targets": {"owl": 1, "cat": 0}, "mc2_targets": {"owl": 1, "cat": 0}}],
        "",
        ("owl", "cat"),
    ),
    (
        "truthful_qa",
        "rows.jsonl",
        {
            "question": "Bird?",
            "mc1_targets": {"choices": ["owl", "cat"], "labels": [1, 0]},
            "mc2_targets": {"choices": ["owl", "cat"], "labels": [1, 0]},
        },
        "",
        ("owl", "cat"),
    ),
    ("truthful_qa", "rows.jsonl", {"question": "Bird?", "choices": ["cat", "owl", "eel", "cow"], "label": 0}, "A", ()),
    ("bbh", "snarks.json", {"canary": "x", "examples": [{"input": "Which?", "target": "(A)"}]}, "(A)", ()),
    ("bbh", "snarks/test.jsonl", {"input": "not ( True ) is", "target": "False"}, "False", ()),
    (
        "aime",
        "train.jsonl",
        {"id": 60, "problem": "1?", "solution": "1", "answer": "025", "url": "x", "year": "2024"},
        "025",
        (),
    ),
    ("aime", "aime.jsonl", {"ID": "2024-I-1", "Problem": "1?", "Solution": "1", "Answer": 25}, "25", ()),
    (
        "svamp",
        "SVAMP.json",
        [{"ID": "c-1", "Body": "Ann has 3.", "Question": "How many?", "Equation": "3", "Answer": 3.0, "Type": "S"}],
        "3",
        (),
    ),
    (
        "asdiv",
        "v.jsonl",
        {
            "body": "Ann has 9 apples.",
            "question": "How many?",
            "solution_type": "S",
            "answer": "9 (apples)",
            "formula": "9",
        },
        "9",
        (),
    ),
    ("asdiv", "t.jsonl", {"id": "a", "question": "3?", "chain": "3", "result": "3", "result_float": 3.0}, "3", ()),
    ("mawps", "addsub.jsonl", {"input": "How many ?", "target": 43.0}, "43", ()),
    ("mawps", "m.json", [{"iIndex": 1, "sQuestion": "3?", "lEquations": ["X=3"], "lSolutions": [3.0]}], "3", ()),
    ("mawps", "test.jsonl", {"id": "m", "question": "3?", "chain": "3", "result": "3", "equation": "x = 3"}, "3", ()),
]


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def dataset(name: str, path: Path, **fields: Any) -> Dataset:
    return Dataset.model_validate({"name": name, "path": str(path), **fields}, context={"folders": [path.parent]})


def test_every_data_set_has_a_row_here() -> None:
    assert {name for name, *_ in LAYOUTS} == set(DATASETS)
    assert sum(len(named.layouts) for named in DATASETS.values()) <= len(LAYOUTS)


@pytest.mark.parametrize(
    ("name", "file", "content", "gold", "options"), LAYOUTS, ids=[f"{r[0]}-{r[1]}" for r in LAYOUTS]
)
def test_a_row_in_the_layout_of_a_data_set_is_read(
    tmp_path: Path, name: str, file: str, content: Any, gold: str, options: tuple[str, ...]
) -> None:
    task = dataset(name, write(tmp_path, file, content))
    [item] = task.load(0)
    assert list(task.flaws(0)) == []
    if gold:
        assert item.gold == gold
        assert not options or item.choices == options
    else:  # shuffled
        assert item.choices["ABCD".index(item.gold)] == options[0]
        assert sorted(item.choices) == sorted(options)
    assert all(f"{letter}. {text}" in item.question for letter, text in zip("ABCD", item.choices, strict=False))
    assert task.correct(task.parse(_reply(task, item.gold), item) or "", item)
    assert not task.correct(task.parse(_reply(task, "qwxz"), item) or "", item)
    assert task.instruction


@pytest.mark.parametrize(
    ("name", "file", "content"), [row[:3] for row in LAYOUTS], ids=[f"{r[0]}-{r[1]}" for r in LAYOUTS]
)
def test_prompts_cannot_see_the_true_answer(tmp_path: Path, name: str, file: str, content: Any) -> None:
    task = dataset(name, write(tmp_path, file, content))
    [item] = task.load(0)
    allowed = {"question", "problem", "input", "body", "Body", "Question", "Problem", "sQuestion", "id", "ID", "ctx"}
    allowed |= {"choices", "options", "endings", "subject", "category", "level", "type", "Type", "year", "url", "src"}
    allowed |= {"ind", "activity_label", "question_concept", "solution_type", "qid", "term", "question_id", "unique_id"}
    allowed |= {"A", "B", "C", "D", "iIndex", "Record ID", "Pre-Revision Question"}
    assert set(item.fields) <= allowed


def test_a_folder_of_authors_files_is_read_by_configuration_and_split(tmp_path: Path) -> None:
    for subject in ("birds", "birds_of_prey", "law"):
        for split in ("dev", "val", "test"):
            write(tmp_path, f"data/{split}/{subject}_{split}.csv", f"{subject} in {split}?,a,b,c,d,D\n")
    read = {
        **{split: dataset("mmlu", tmp_path / "data", split=split) for split in ("test", "dev", "validation")},
        "birds": dataset("mmlu", tmp_path / "data", config="law"),
    }
    asked = {name: sorted(i.question.partition("?")[0] for i in task.load(0)) for name, task in read.items()}
    assert asked["test"] == ["birds in test", "birds_of_prey in test", "law in test"]
    assert asked["dev"] == ["birds in dev", "birds_of_prey in dev", "law in dev"]
    assert asked["validation"] == ["birds in val", "birds_of_prey in val", "law in val"]
    assert asked["birds"] == ["law in test"]
    with pytest.raises(InputError, match=r"no configuration 'lax'.*\n"):
        dataset("mmlu", tmp_path / "data", config="lax").load(0)


def test_the_usual_configuration_of_a_folder_is_used(tmp_path: Path) -> None:
    for config in ("gpqa_main", "gpqa_diamond", "gpqa_extended"):
        write(tmp_path, f"gpqa/{config}.csv", GPQA.replace("a bird", f"a bird in {config}"))
    assert [i.question.partition("?")[0] for i in dataset("gpqa", tmp_path / "gpqa").load(0)] == [
        "Which is a bird in gpqa_diamond"
    ]
    assert len(dataset("gpqa", tmp_path / "gpqa", config="*").load(0)) == 3


def test_prompts_see_no_column_of_gpqa_that_tells_the_true_answer(tmp_path: Path) -> None:
    header, row = GPQA.splitlines()[:2]
    told = ["Pre-Revision Correct Answer", "Extra Revised Correct Answer", "Explanation_NEV_1", "Feedback_EV_1"]
    path = write(tmp_path, "gpqa.csv", f"{header},{','.join(told)}\n{row},owl,owl,owl,owl\n")
    [item] = dataset("gpqa", path).load(0)
    assert "owl" not in str(item.fields)


def test_a_remedy_names_no_field_that_a_named_data_set_lacks(tmp_path: Path) -> None:
    row = {"question": "Bird?", "choices": ["cat", "owl", "eel", "cow"], "answer": "B"}
    task = dataset("mmlu", write(tmp_path, "rows.jsonl", row))
    with pytest.raises(InputError) as raised:
        task.load(0)
    for error in (*task.flaws(0), raised.value):
        assert "`gold_as` asks for an index from 0" in error.cause
        assert error.remedy == "Correct or remove the row, or describe the fields with `kind: file` and `gold_as`."


def test_another_data_set_is_an_error_that_names_its_fields(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.jsonl", {"prompt": "?", "completion": "!"})
    with pytest.raises(InputError, match=r"not the fields of gsm8k: prompt, completion.*\n.*kind: file"):
        dataset("gsm8k", path).load(0)


def test_a_table_with_other_columns_is_an_error_that_names_them(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", "Frage,Antwort\n1 + 1?,2\n")
    with pytest.raises(InputError, match=r"rows.csv:2: these are not the fields of mmlu: Frage, Antwort"):
        dataset("mmlu", path).load(0)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValidationError, match="unknown data set"):
        Dataset(name="gsm8")


def test_more_than_ten_options_of_truthful_qa_keep_the_right_one(tmp_path: Path) -> None:
    flags = {"owl": 1, **{f"no owl {n}": 0 for n in range(12)}}
    [item] = dataset("truthful_qa", write(tmp_path, "mc.json", [{"question": "?", "mc1_targets": flags}])).load(3)
    assert len(item.choices) == 10
    assert item.choices["ABCDEFGHIJ".index(item.gold)] == "owl"


def test_options_that_one_file_makes_idle_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "test.jsonl", {"question": "?", "answer": "#### 1"})
    facts = TaskFacts(choices_shown=False)
    task = dataset("gsm8k", path, config="main", split="test", revision="v1")
    assert set(task.idle(facts)) == {"config", "split", "revision"}
    assert set(dataset("gsm8k", tmp_path, split="test").idle(facts)) == set()
    assert set(Dataset(name="gsm8k", config="main", revision="v1").idle(facts)) == set()
    path.rename(tmp_path / "rows.jsonl")
    assert set(dataset("gsm8k", tmp_path, split="test").idle(facts)) == {"split"}
    assert set(dataset("gsm8k", tmp_path).idle(facts)) == set()


def test_the_command_line_lists_the_data_sets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "datasets", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed) == set(DATASETS)
    assert listed["gsm8k"]["fields"] == ["hub:openai/gsm8k"]
