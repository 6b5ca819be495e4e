"""docs/python.md: every code block runs, in order, with scripted agents in place of the model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import society

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
MODEL = re.compile(r"^MODEL = .*$", re.MULTILINE)
SCRIPTED = 'MODEL = {"kind": "scripted", "rules": [{"calculate": {"skill": 0.6, "wrong": "spread"}}]}'


@pytest.mark.needs("pandas")
def test_every_block_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(MODEL.findall(PAGE)) == 1
    names: dict[str, Any] = {}
    shown = []
    for block in BLOCKS:
        exec(compile(MODEL.sub(SCRIPTED, block), "docs/python.md", "exec"), names)
        shown.append(capsys.readouterr().out)
    assert "debate: 10 questions debated" in shown[0]
    assert "phases.debate.round - unknown key 'round' - rounds" in shown[1]
    assert "2 problems" in shown[1]
    runs = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert runs == ["asked", "debate", "first", "other", "topologies", "vote", "watched"]
    assert society.Run("runs/other").accuracy.n == 10
    assert (tmp_path / "first.html").exists()
    assert "compute-matched" in shown[-1]


def test_the_table_of_the_page_lists_the_public_names() -> None:
    listed = {re.split(r"[.(]", name)[0] for name in re.findall(r"^\| `([^`]+)`", PAGE, re.MULTILINE)}
    assert listed == set(society.__all__) - {"InputError", "Interrupted", "Problem", "ScenarioError"}
    assert all(f"society.{name}" in PAGE for name in ("Interrupted", "ScenarioError"))
