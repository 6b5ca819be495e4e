"""A scenario is unchanged after writing it as YAML and reading it."""

from __future__ import annotations

from pathlib import Path

import pytest

from society.cli import main
from society.scenario import load_scenario
from society.scenario.write import to_yaml

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "scenarios").rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "scenarios")))
def test_every_shipped_scenario_is_the_same_when_it_was_written(path: Path, tmp_path: Path) -> None:
    scenario = load_scenario(path)
    written = tmp_path / "written.yaml"
    written.write_text(to_yaml(scenario.model_dump(mode="json", exclude_unset=True)))
    assert load_scenario(written, (), [ROOT]).model_dump_json() == scenario.model_dump_json()


def test_what_a_plan_shows_can_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(
        "version: 1\nname: tiny\ntask: {kind: arithmetic, limit: 1}\n"
        'backends: {local: {kind: scripted}}\nroles: {r: {prompt: "{{ question }}\\nAnswer.\\n"}}\n'
        "agents: {a: {role: r, count: 2}}\nphases: [{name: p, topology: ring}]\n"
    )
    assert main(["plan", str(path), "--calibrate", "0"]) == 0
    shown = capsys.readouterr().out.partition("Resolved scenario\n")[2].partition("\n\n")[0]
    path.write_text(shown)
    assert [phase.topology.kind for phase in load_scenario(path).phases] == ["ring"]
    assert "prompt: |" in shown
