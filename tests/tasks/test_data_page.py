"""The examples of docs/data.md: each task reads the file that the page shows before it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from society.planning.preflight import check
from society.scenario import load_scenario
from society.tasks.file import File

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
FILES = re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE, re.DOTALL)
TASKS = [task for task in re.findall(r"```yaml\n(task:.*?)```", PAGE, re.DOTALL) if "path: " in task]

SOCIETY = """
version: 1
name: mine
backends: {b: scripted}
roles: {r: {prompt: "{{ question }} {{ instruction }}"}}
agents: {a: {}}
phases: [{name: answer}]
"""


@pytest.mark.parametrize("example", TASKS, ids=lambda text: re.findall(r"path: ([\w.]+)", text)[0])
def test_an_example_reads_its_file(tmp_path: Path, example: str) -> None:
    for name, content in FILES:
        (tmp_path / name).write_text(content)
    (tmp_path / "mine.yaml").write_text(f"{SOCIETY}{example}")
    assert check(tmp_path / "mine.yaml") == []
    task = load_scenario(tmp_path / "mine.yaml").task
    assert isinstance(task, File)
    items = task.load(0)
    assert list(task.flaws(0)) == []
    assert not [*task.remarks(items)]
    assert items
    assert all(bool(item.gold) == (task.gold is not None) for item in items)


def test_the_page_has_a_task_for_every_file() -> None:
    named = {re.findall(r"path: ([\w.]+)", text)[0] for text in TASKS}
    assert named == {name for name, _ in FILES}
    assert len(FILES) == 6
