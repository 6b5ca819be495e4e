"""Facts about a machine: its GPUs, the versions of packages, and how these differ."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from society.core import machine
from society.core.machine import LIBRARIES, ProcessFacts, compare_versions, read_gpus


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, ["A100", "H100"]),
        ("1", ["H100"]),
        ("", []),
        ("-1", []),
        ("1, -1, 0", ["H100"]),
        ("GPU-8f", ["A100", "H100"]),
    ],
)
def test_the_gpus_are_those_that_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, visible: str | None, found: list[str]
) -> None:
    for number, name in enumerate(("A100", "H100")):
        place = tmp_path / f"0000:0{number}:00.0"
        place.mkdir()
        (place / "information").write_text(f"Model: \t\t {name}\nIRQ:   	 17\n")
    monkeypatch.setattr(machine, "_DRIVER", tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert read_gpus() == found


def test_versions_are_compared_in_words() -> None:
    assert compare_versions({"torch": "2.1", "peft": "1"}, {"torch": "2.1", "peft": "1"}) == ""
    assert (
        compare_versions({"torch": "2.1", "peft": "1"}, {"torch": "2.2", "vllm": "3"}) == "torch 2.2, vllm 3, no peft"
    )
    worker = ProcessFacts("n3", ("H100", "H100"), (("torch", "2.2"),))
    assert worker.describe({"torch": "2.2"}) == "n3 (H100, H100)"
    assert worker.describe({"torch": "2.1"}) == "n3 (H100, H100; torch 2.2)"


def test_every_dependency_that_shapes_results_has_its_version_recorded() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = ("llama", "hf", "openai", "math", "tasks", "search", "encoder", "tables", "ray")
    wanted = [*project["dependencies"], *(name for extra in extras for name in project["optional-dependencies"][extra])]
    names = {re.split(r"[<>=\[; ]", one)[0].lower() for one in wanted}
    assert names - {"annotated-types", "click", "filelock", "rich"} <= set(LIBRARIES)
