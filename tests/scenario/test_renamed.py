"""A renamed field goes on working under its former name: in a file, in `extends`, in `--set`, in a stored run."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from society.components.selectors import Critic
from society.core.errors import RunFolderError
from society.core.problems import Problem
from society.core.types import Item
from society.runs.folder import RunFolder
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.scenario.reading.merge import override, read_tree
from society.scenario.reading.validate import Flaws, validate
from society.store import Store

BASE = """\
version: 1
name: base
task: {kind: arithmetic, limit: 4}
backends: {only: {kind: scripted}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {solver: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
train:
  learners:
    critic:
      phases: [debate]
      select: SELECT
"""
OVER = """\
extends: base.yaml
train: {learners: {critic: {select: SELECT}}}
"""
PATH = "train.learners.critic.select"


def read(folder: Path, base: str, over: str = "", *settings: str) -> Scenario | Flaws:
    """Return the scenario of a file with this `select`, extended by one with another, with overrides."""
    path = folder / "base.yaml"
    path.write_text(BASE.replace("SELECT", base))
    if over:
        path = folder / "over.yaml"
        path.write_text(OVER.replace("SELECT", over))
    problems: list[Problem] = []
    root = read_tree(path, [folder], problems)
    for setting in settings:
        root = override(root, f"{PATH}.{setting}" if "." not in setting.split("=")[0] else setting, problems)
    assert not problems
    return validate(root, [folder])


def share(found: Scenario | Flaws) -> float:
    assert isinstance(found, Scenario), found
    assert found.train is not None
    selector = found.train.learners["critic"].select
    assert isinstance(selector, Critic)
    return selector.corrected_share


@pytest.mark.parametrize(
    ("base", "over", "settings", "expected"),
    [
        ("{kind: critic, w: 0.25}", "", (), 0.25),
        ("{kind: critic, corrected_share: 0.25}", "", (), 0.25),
        ("{kind: critic, w: 0.25}", "{corrected_share: 0.75}", (), 0.75),
        ("{kind: critic, corrected_share: 0.25}", "{w: 0.75}", (), 0.75),
        ("{kind: critic, w: 0.25}", "{w: null}", (), 0.5),
        ("{kind: critic, corrected_share: 0.25}", "{w: null}", (), 0.5),
        ("{kind: critic, w: 0.25}", "", ("w=0.75",), 0.75),
        ("{kind: critic, w: 0.25}", "", ("corrected_share=0.75",), 0.75),
        ("{kind: critic, w: 0.25}", "{corrected_share: 0.75}", ("w=1",), 1),
        ("critic", "", ("w=1",), 1),
        ("critic", "", (f"{PATH}={{kind: critic, w: 1}}", "corrected_share=0"), 0),
        ("agrees", "{kind: critic, w: 0.25}", ("w=",), None),
    ],
)
def test_both_names_mean_the_same_field(
    tmp_path: Path, base: str, over: str, settings: tuple[str, ...], expected: float | None
) -> None:
    found = read(tmp_path, base, over, *settings)
    if expected is None:
        assert isinstance(found, Flaws)
    else:
        assert share(found) == expected


def test_a_mapping_with_both_names_is_refused(tmp_path: Path) -> None:
    found = read(tmp_path, "{kind: critic, w: 0.25, corrected_share: 0.25}")
    assert isinstance(found, Flaws)
    assert [(p.path, p.message) for p in found.problems] == [
        (f"{PATH}.w", "is the former name of 'corrected_share', which is given too; remove one of them")
    ]


def test_a_wrong_value_is_reported_at_its_place_under_the_present_name(tmp_path: Path) -> None:
    found = read(tmp_path, "{kind: critic, w: 2}")
    assert isinstance(found, Flaws)
    [problem] = found.problems
    assert (problem.path, problem.line, problem.column) == (f"{PATH}.corrected_share", 12, 33)


def store_with_former_name(scenario: Scenario, folder: Path) -> None:
    """Write the folder of a run of this scenario as before the field was renamed."""
    with RunFolder(scenario, folder, resume=False) as opened, Store(opened.store) as store:
        opened.record(store, {}, [Item("q", "2+2?", "4")])
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.execute("UPDATE meta SET value = replace(value, '\"corrected_share\"', '\"w\"')")
        [(stored,)] = db.execute("SELECT count(*) FROM meta WHERE value LIKE '%\"w\":%'")
    db.close()
    assert stored == 2  # the scenario and its definition


def test_a_run_stored_under_the_former_name_is_read_and_goes_on(tmp_path: Path) -> None:
    scenario = read(tmp_path, "{kind: critic, corrected_share: 0.25}")
    other = read(tmp_path, "{kind: critic, corrected_share: 0.75}")
    assert isinstance(scenario, Scenario)
    assert isinstance(other, Scenario)
    store_with_former_name(scenario, tmp_path / "run")
    assert share(Run(tmp_path / "run").scenario) == 0.25
    with RunFolder(scenario, tmp_path / "run", resume=True):
        pass
    with pytest.raises(RunFolderError, match=r"select.corrected_share was 0.25 and is 0.75"):
        RunFolder(other, tmp_path / "run", resume=True).__enter__()
