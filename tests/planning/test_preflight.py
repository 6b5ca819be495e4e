"""The check before a run opens data files and model headers, and renders prompts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import society
from society.core.errors import SocietyError

PROMPT = "{{ question }}{% for m in heard %}{{ m.text }}{% endfor %}"
DATA: dict[str, Any] = {
    "version": 1,
    "name": "x",
    "task": {"kind": "jsonl", "path": "rows.jsonl"},
    "backends": {"m": {"kind": "scripted"}},
    "roles": {"r": {"prompt": PROMPT}},
    "agents": {"a": {"count": 2}},
    "phases": [{"name": "d", "topology": "complete", "rounds": 2}],
}
ROWS = [{"question": "1 + 1?", "answer": 2}, {"question": "1 + 2?", "answer": 3}]


@pytest.fixture(autouse=True)
def rows(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)


def write(folder: Path, *rows: dict[str, Any]) -> None:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))


def check(folder: Path, **changes: Any) -> list[str]:
    return [str(problem) for problem in society.check({**DATA, **changes}, folder=folder)]


def test_a_scenario_with_its_files_has_no_problem(tmp_path: Path) -> None:
    assert check(tmp_path) == []


def test_a_missing_data_file_is_a_problem(tmp_path: Path) -> None:
    [problem] = check(tmp_path, task={"kind": "jsonl", "path": "nope.jsonl"})
    assert problem.startswith("task.path: ")
    assert "nope.jsonl: cannot be read: No such file" in problem


def test_an_invalid_row_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, *ROWS, {"question": "?", "answer": {}})
    [problem] = check(tmp_path)
    assert problem.startswith("task.path: ")
    assert "rows.jsonl:3: the row has a JSON object" in problem


def test_invalid_rows_with_the_same_error_are_one_problem_and_a_warning_if_they_are_not_used(tmp_path: Path) -> None:
    write(tmp_path, *ROWS, *({"question": "?", "answer": {}} for _ in range(25)))
    [found] = check(tmp_path)
    assert found.startswith("task.path: ")
    assert "rows.jsonl:3: " in found
    assert found.endswith("The same holds for 24 more rows (lines 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, ...).")
    [limited] = check(tmp_path, task={"kind": "jsonl", "path": "rows.jsonl", "limit": 2})
    assert limited.startswith("warning: task.path: ")


def test_rows_with_different_errors_are_listed_up_to_a_number(tmp_path: Path) -> None:
    rows = [{"choices": ["x", "y"], "answer": f"no{i}", "question": f"{i}?"} for i in range(25)]
    right = {"choices": ["x", "y"], "answer": "x", "question": "?"}
    write(tmp_path, right, *rows)
    found = check(tmp_path, task={"kind": "jsonl", "path": "rows.jsonl", "choices": "choices"})
    lines = [int(number) for problem in found for number in re.findall(r"rows.jsonl:(\d+)", problem)]
    assert lines == [*range(2, 22)]
    assert sum("rows.jsonl: rows have 5 more errors" in problem for problem in found) == 1


def test_a_table_without_a_header_line_needs_columns(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("How much is 1 + 1?,2\nHow much is 2 + 2?,4\n")
    task = {"kind": "file", "path": "rows.csv", "question": "question", "gold": "answer"}
    [problem] = [p for p in check(tmp_path, task=task) if "no header line" in p]
    assert "task.columns" in problem
    assert check(tmp_path, task={**task, "columns": ["question", "answer"]}) == []
    (tmp_path / "rows.csv").write_text("text,answer\nHow much is 1 + 1?,2\n")
    assert not any("no header line" in problem for problem in check(tmp_path, task=task))


def test_a_repeated_question_with_another_answer_is_one_problem(tmp_path: Path) -> None:
    write(tmp_path, ROWS[0], {**ROWS[0], "answer": 3})
    [problem] = check(tmp_path)
    assert "ask the same question, but differ in the true answer" in problem


def test_a_question_without_a_true_answer_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, *ROWS, {"question": "?"})
    assert check(tmp_path) == ["warning: task.path: 1 of 3 questions have no true answer, and are not scored"]


def test_a_data_set_named_as_a_kind_gets_its_spelling(tmp_path: Path) -> None:
    [problem] = check(tmp_path, task="gsm8k")
    assert "'gsm8k' is a data set: write {kind: dataset, name: gsm8k}" in problem
    [problem] = check(tmp_path, task={"kind": "dataset", "name": "gsm8"})
    assert "did you mean 'gsm8k'?" in problem


def test_repeated_questions_are_a_warning(tmp_path: Path) -> None:
    write(tmp_path, *ROWS, ROWS[0])
    assert check(tmp_path) == ["warning: task.path: 1 repeated question is left out; each question is used once"]


@pytest.mark.parametrize(
    ("kind", "model"),
    [
        ("llama_cpp", "no.gguf"),
        ("llama_cpp", "pypi:nope-nope"),
        ("llama_cpp", "hf:nameless"),
        ("hf", "no.gguf"),
        ("hf", "pypi:nope-nope"),
    ],
)
def test_a_missing_model_is_a_problem(tmp_path: Path, kind: str, model: str) -> None:
    [problem] = check(tmp_path, backends={"m": {"kind": kind, "model": model}})
    assert problem.startswith("backends.m.model: ")
    assert model.partition(":")[2] in problem


def test_a_file_that_is_no_model_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUX" * 20)
    [problem] = check(tmp_path, backends={"m": {"kind": "llama_cpp", "model": "bad.gguf"}})
    assert "not a usable GGUF file" in problem


def test_a_folder_without_a_model_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    [problem] = check(tmp_path, backends={"m": {"kind": "hf", "model": "model"}})
    assert "config.json" in problem


def test_a_model_of_the_hub_that_is_not_downloaded_is_no_problem(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    for backend in ({"kind": "llama_cpp", "model": "hf:owner/none:none.gguf"}, {"kind": "hf", "model": "owner/none"}):
        assert check(tmp_path, backends={"m": backend}) == []


def test_a_missing_adapter_is_a_problem(tmp_path: Path) -> None:
    backends = {"m": {"kind": "hf", "model": "owner/none"}}
    [problem] = check(tmp_path, backends=backends, agents={"a": {"count": 2, "adapter": "none"}})
    assert "there is no adapter" in problem


WRONG = PROMPT.replace("m.text", "m.source.rond")


def test_a_template_that_fails_in_a_later_round_is_a_problem(tmp_path: Path) -> None:
    [problem] = check(tmp_path, roles={"r": {"prompt": WRONG}})
    assert problem.startswith("roles.r.prompt: ")
    assert re.search("for the agent 'a-.' in phase 'd', round 2, question 'rows-1'", problem)
    assert "TurnId has no attribute 'rond' (did you mean 'round'?)" in problem


def test_a_run_names_the_template_that_fails(tmp_path: Path) -> None:
    scenario = society.Scenario.from_dict({**DATA, "roles": {"r": {"prompt": WRONG}}}, folder=tmp_path)
    with pytest.raises(SocietyError, match=r"roles.r.prompt.*'a-.' in phase 'd', round 2.*did you mean 'round'"):
        society.run(scenario, tmp_path / "run", progress=False)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{% if round > 1 %}{{ heard[2].text }}{% endif %}", "element 2"),
        ("{% for m in heard %}{{ m.source.rond }}{% endfor %}", "did you mean 'round'?"),
        ("{% for m in heard %}{{ m.answer.upper() }}{% endfor %}", "upper"),
        ("{{ heard | map(attribute='answer') | join(', ') | replace('None', '') }}", ""),
        ("{{ heard | map(attribute='answer') | sort | join }}", "not supported between instances"),
        ("{% for a, g in heard | groupby('answer') %}{{ a }}{% endfor %}", "not supported between instances"),
        ("{% for m in heard %}{{ m.text.split()[0] }}{% endfor %}", ""),
        ("{% for m in heard %}{{ (m.text | first).lower() }}{% endfor %}", ""),
        ("{{ (own | last).answer + '!' if own }}", "unsupported operand"),
        ("{% for a, g in heard | selectattr('answer') | groupby('answer') %}{{ a }}{% endfor %}", ""),
    ],
)
def test_prompts_are_rendered_with_empty_and_unreadable_replies(tmp_path: Path, line: str, message: str) -> None:
    """A prompt that fails on such a reply is found at its line, with what its variables held.

    Nobody reads an empty reply.
    """
    path = tmp_path / "scenario.yaml"
    text = yaml.safe_dump({**DATA, "agents": {"a": {"count": 3}}, "roles": {"r": {"prompt": "HERE"}}})
    prompt = f"|\n      {{{{ question }}}}\n      {line}\n      end\n"
    path.write_text(text.replace("HERE\n", prompt))
    problems = [problem for problem in society.check(path) if problem.level == "error"]
    assert len(problems) == bool(message)
    for problem in problems:
        assert message in problem.message
        assert problem.line == path.read_text().splitlines().index(f"      {line}") + 1
        assert "in line 2 of the template" in problem.message
        assert "There `heard` had " in problem.message


def test_overlapping_questions_of_training_and_evaluation_are_a_problem(tmp_path: Path) -> None:
    train = {"task": DATA["task"], "learners": {"l": {"phases": ["d"], "turn": "last"}}}
    problems = check(tmp_path, train=train, backends={"m": {"kind": "hf", "model": "owner/none"}})
    assert any("in both the training and the evaluation set" in problem for problem in problems)


@pytest.mark.parametrize(
    ("answer", "samples", "metric", "message"),
    [
        (None, 4, "pass_at_k", "none of the 2 questions has a true answer"),
        (None, 4, "majority_at_k", "none of the 2 questions has a true answer"),
        (2, 1, "pass_at_k", "each question has one; set `samples: 2`"),
        (2, 4, {"kind": "pass_at_k", "k": [1, 8]}, "has no number for k = 8: each question has 4 samples"),
        (2, 4, {"kind": "pass_at_k", "k": [1, 4]}, ""),
    ],
)
def test_a_metric_of_samples_without_numbers_is_a_warning(
    tmp_path: Path, answer: int | None, samples: int, metric: Any, message: str
) -> None:
    write(tmp_path, *({"question": f"{i} + 1?", **({"answer": answer} if answer else {})} for i in range(2)))
    found = [p for p in check(tmp_path, samples=samples, metrics=["drift", metric]) if "metrics" in p]
    assert len(found) == bool(message)
    assert not message or (found[0].startswith("warning: metrics.1") and message in found[0])
