"""Licences of models: from a package, a README, or the header of a GGUF file; unknown ones are empty."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.models.licence import LONGEST, find_licence
from society.report.data import build_index, read_runs
from society.scenario.models.scenario import Scenario
from society.session import run


@pytest.mark.parametrize(
    ("front", "licence"),
    [
        ("language: en\nlicense: apache-2.0\ntags: [a]", "apache-2.0"),
        ('license: "mit" # free', "mit"),
        ("license: other\nlicense_name: llama3", "llama3"),
        ("tags: [license]", ""),
        ("license: " + "x" * 500, "x" * LONGEST),
    ],
)
def test_a_model_card_names_the_licence(tmp_path: Path, front: str, licence: str) -> None:
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n\nlicense: no\n")
    assert find_licence(str(tmp_path)) == licence


def test_unknown_licences_are_empty(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("license: mit\n")
    (tmp_path / "model.gguf").write_bytes(b"no GGUF")
    for model in (str(tmp_path), str(tmp_path / "model.gguf"), "pypi:no-such-package", "pypi:", "hf:", "a/b", ""):
        assert find_licence(model) == ""


def test_a_package_names_the_licence() -> None:
    assert find_licence("pypi:filelock") == "MIT"


def test_a_run_records_the_licences_that_it_began_with(
    scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "questions.jsonl").write_text('{"question": "One and one?", "answer": "#### 2"}\n')
    loaded = scenario(
        "task: {kind: dataset, name: gsm8k, path: questions.jsonl}\n"
        "backends: {scripted: {kind: scripted, rules: [{say: '2'}]}}\n"
        "roles: {solver: {prompt: '{{ question }}'}}\nagents: {solver: {}}\nphases: [{name: answer}]\n"
    )
    monkeypatch.setattr(type(loaded.backends["scripted"]), "find_licence", lambda config: "of the authors")
    done = run(loaded, tmp_path / "run")
    licences = {"backends.scripted": "of the authors", "task": "MIT"}
    assert json.loads(done.meta()["licences"]) == licences
    monkeypatch.undo()
    assert json.loads(run(loaded, tmp_path / "run", resume=True).meta()["licences"]) == licences
    [found] = build_index(read_runs([done]))["runs"]
    assert ["licences", "backends.scripted: of the authors, task: MIT"] in [list(fact) for fact in found["facts"]]
