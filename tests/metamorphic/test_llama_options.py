"""On the 135M model of llama.cpp: every option is in the model's hash, or changes no text of a reproducible run."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backends.llama_cpp.config import LlamaCpp
from society.core.definition import is_tuning
from society.core.errors import RunFolderError
from society.runs.run import Run
from society.session import run
from tests.metamorphic.relation import counted
from tests.metamorphic.runs import Spec, differences, load, workplace
from tests.metamorphic.tiny import spoken

pytestmark = pytest.mark.model
OPTIONS: dict[str, Any] = {
    "context": 400,
    "chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:",
    "reproducible": False,
    "requantize": "never",
    "slots": 2,
    "threads": 2,
    "cache_mb": 0,
    "price": {"prompt": 2, "generated": 8},
}
"""Another value of each option."""


def debating(**options: Any) -> Spec:
    """Two agents that answer twice."""
    backend = {"kind": "llama_cpp", "context": 512, "reproducible": True, "threads": 1} | options
    return {
        "version": 1,
        "name": "llama",
        "task": {"kind": "capitals", "well_known": True, "limit": 2},
        "backends": {"local": backend},
        "roles": {"debater": {"prompt": "{% for m in heard %}{{ m.text }} {% endfor %}{{ question }}"}},
        "agents": {"debater": {"count": 2}},
        "phases": [{"name": "debate", "topology": "complete", "rounds": 2}],
        "sampling": {"temperature": 0.8, "max_tokens": 8},
    }


@dataclass(frozen=True)
class Plain:
    """The run with the usual options, and what is said in it."""

    run: Run
    said: dict[str, Any]


@pytest.fixture(scope="module")
def plain() -> Iterator[Plain]:
    with workplace() as folder:
        done = run(load(debating(), folder, "concurrency=1"), folder / "run")
        yield Plain(done, spoken(done))


def test_every_option_of_the_backend_is_looked_at() -> None:
    needs_another_machine_or_model = {"gpu_layers", "model", "revision"}
    assert set(OPTIONS) | needs_another_machine_or_model == set(LlamaCpp.model_fields) - {"kind"}


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
@counted
def test_an_option_is_in_the_hash_or_changes_no_text(plain: Plain, option: str, tmp_path: Path) -> None:
    changed = load(debating(**{option: OPTIONS[option]}), tmp_path)
    after = run(changed, tmp_path / "after", reuse=[plain.run.folder])
    shutil.copytree(plain.run.folder, tmp_path / "resumed")
    alone = spoken(run(changed, tmp_path / "alone"))
    if plain.run.meta()["models"] == after.meta()["models"]:
        assert not differences(plain.said, alone)
    else:
        assert after.count_reused() == 0
    equal = plain.run.meta()["models"] == after.meta()["models"]
    if equal and is_tuning(LlamaCpp.model_fields[option].json_schema_extra):
        assert not differences(plain.said, spoken(run(changed, tmp_path / "resumed", resume=True)))
    else:
        with pytest.raises(RunFolderError):
            run(changed, tmp_path / "resumed", resume=True)
