"""The documents: their examples run, and the generated files are up to date."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from society.cli.new import command as new
from society.runs.records import DebateRecord, load_records
from society.scenario import check_scenario, load_scenario
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.session import run

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
REFERENCE = (ROOT / "docs" / "reference" / "scenarios.md").read_text()
GENERATE = runpy.run_path(str(ROOT / "docs" / "generate.py"))
NUMBERS = {"kind": "scripted", "rules": [{"average": {"numbers": "(?!)", "say": "I say {answer}."}}]}
SETTINGS = [f"backends.local={json.dumps(NUMBERS)}", "task={kind: arithmetic, form: a+b, limit: 2}"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TUTORIAL, re.DOTALL)


def name_of(block: str) -> str:
    return str(re.findall(r"^name: (\w+)$", block, re.MULTILINE)[0])


YAML = {name_of(block): block for block in blocks("yaml")}


@pytest.fixture
def tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with every file of the tutorial."""
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(new, ["first"]).exit_code == 0
    for name, block in YAML.items():
        (tmp_path / f"{name}.yaml").write_text(block)
    return tmp_path


@pytest.fixture
def play(tutorial: Path) -> Callable[[str], list[DebateRecord]]:
    return lambda name: load_records(run(load_scenario(tutorial / f"{name}.yaml", SETTINGS), tutorial / f"run-{name}"))


Play = Callable[[str], list[DebateRecord]]


def reads(record: DebateRecord, phase: str, agent: str, number: int) -> set[tuple[str, int]]:
    [turn] = [t for t in record.turns if (t.id.phase, t.id.agent, t.id.round) == (phase, agent, number)]
    return {(source.agent, source.round) for source in turn.reads}


def test_the_tutorial_has_all_its_examples() -> None:
    assert len(YAML) == len(blocks("yaml")) == 12
    assert len(blocks("python")) == len(blocks("toml")) == 1


@pytest.mark.parametrize("name", ["first", *(name for name in YAML if name != "petersen")])
def test_every_file_of_the_tutorial_is_right_and_runs(tutorial: Path, play: Play, name: str) -> None:
    assert check_scenario(tutorial / f"{name}.yaml") == []
    records = play(name)
    assert len(records) == 2
    assert all(turn.status == "ok" for record in records for turn in record.turns)


def test_the_tutorial_tells_the_truth(play: Play) -> None:
    """Check what the text says about who reads whom, file by file."""
    for record in play("ring"):
        assert reads(record, "debate", "debater-1", 1) == set()
        assert reads(record, "debate", "debater-1", 2) == {("debater-2", 1), ("debater-6", 1)}
    for record in play("answers_only"):
        [turn] = [t for t in record.turns if t.id.agent == "debater-1" and t.id.round == 2]
        assert "Agent 1: " in turn.messages[-1].content
        assert "I say" not in turn.messages[-1].content
    for record in play("summaries"):
        assert reads(record, "debate", "scribe/debater-1", 2) == {("debater-2", 1), ("debater-6", 1)}
        assert reads(record, "debate", "debater-1", 2) == {("scribe/debater-1", 2)}
    for record in play("pipeline"):
        assert reads(record, "refine", "debater-4", 1) == {("debater-1", 1), ("debater-2", 1), ("debater-3", 1)}
    for record in play("groups_then_plenum"):
        assert reads(record, "groups", "debater-1", 2) == {("debater-2", 1), ("debater-3", 1)}
        assert reads(record, "plenum", "debater-1", 1) == {("reporter", 1), *((f"debater-{i}", 2) for i in range(2, 7))}
    for record in play("bridge"):
        assert reads(record, "debate", "guest-1", 2) == {("guest-2", 1), ("guest-3", 1), ("debater-1", 1)}
        assert {("guest-1", 1), ("guest-1", 2)} <= reads(record, "debate", "debater-1", 3)


@pytest.mark.slow
def test_the_plugin_of_the_tutorial_works(tutorial: Path) -> None:
    """Install the plugin as a wheel would: the module, and a dist-info that names its entry point."""
    project = tomllib.loads(blocks("toml")[0])["project"]
    site = tutorial / "site"
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (site / "petersen.py").write_text(blocks("python")[0])
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    entries = [f"[{g}]\n" + "".join(f"{k} = {v}\n" for k, v in e.items()) for g, e in project["entry-points"].items()]
    (info / "entry_points.txt").write_text("\n".join(entries))
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [sys.executable, "-m", "society", "run", "petersen.yaml", *settings, "--out", "out"]
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    done = subprocess.run(command, cwd=tutorial, env=where, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    import sqlite3

    with sqlite3.connect(tutorial / "out" / "store.sqlite") as db:
        [(count,)] = db.execute("SELECT count(*) FROM turns")
    db.close()
    assert count == 2 * 10 * 2


# What is generated


@pytest.mark.slow
def test_generated_files_are_up_to_date() -> None:
    made = GENERATE["generate"]()
    stale = [path.name for path, text in made.items() if not path.exists() or path.read_text() != text]
    assert stale == [], "run: python docs/generate.py"


def test_names_in_the_tree_stand_apart_from_their_descriptions() -> None:
    for line in GENERATE["tree_lines"]():
        assert re.match(r" *\S+(/|\.py|\.txt|file) ", line), line


def test_the_reference_says_every_field_of_the_language() -> None:
    def fields(model: dict[str, Any]) -> set[str]:
        return {name for name in model.get("properties", {}) if name != "kind"}

    schema = Scenario.model_json_schema()
    said = set(re.findall(r"^\| `(\w+)` \|", REFERENCE, re.MULTILINE))
    assert set().union(*(fields(model) for model in (schema, *schema["$defs"].values()))) <= said


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("*.yaml")), ids=lambda path: path.stem)
def test_calls_are_counted_as_they_are_made(path: Path, tmp_path: Path) -> None:
    """With agents that never agree, the table has the true number of calls unless a rule saves some."""
    scenario = load_scenario(path)
    settings = [f"backends.{name}={json.dumps(NUMBERS)}" for name in scenario.backends]
    records = load_records(run(load_scenario(path, [*settings, SETTINGS[1], "task.limit=1"]), tmp_path / "run"))
    counted = GENERATE["count_calls"](expand(scenario))
    saves = any(phase.when or phase.controllers or phase.speak == "heard" for phase in scenario.phases)
    saves |= bool(scenario.task.answer.helpers())  # equal answers are judged once
    saves |= any(plan.memory.reflect for plan in expand(scenario).rememberers)  # not after each question
    made = sum(len(record.turns) for record in records)
    assert made <= counted if saves else made == counted
