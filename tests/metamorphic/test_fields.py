"""Every field of the language: another value makes another run, or changes nothing.

A field that is marked `tuning` changes no text, answer or number: a run may be resumed with another value. Any other
field is part of what a run is: with another value it is refused as a continuation, and what is taken over from the
other run is the same as what would have been made.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from society.core.definition import defining
from society.core.errors import RunFolderError
from society.core.identity import fingerprint
from society.runs.folder import RunFolder
from society.scenario.models.scenario import Scenario
from tests.metamorphic.field_values import ONE_VALUE, PLACES, VALUES, values_of
from tests.metamorphic.fields import Setting, find_fields, settings
from tests.metamorphic.relation import counted
from tests.metamorphic.runs import Snapshots, Spec, differences, load, play, workplace
from tests.metamorphic.speakers import Manner

SETTINGS = list(settings())
SILENT = {
    "Scenario.name",
    "Scenario.source",
    "Scenario.description",
    "Scenario.differs",
    "Arithmetic.shuffle",
    "Fail.times",
    "ToolUse.format",
}
"""Fields that are part of what a run is although they change nothing here that a scripted society says."""


def test_every_field_has_another_value_here() -> None:
    """A new field fails this until tests/metamorphic/field_values.py has a value for it."""
    missing = {f"{cls.__name__}.{name}" for cls, name in find_fields() if not values_of(cls, name)}
    assert missing - set(ONE_VALUE) == set(), "give another valid value of these fields in VALUES"
    homeless = {cls.__name__ for cls, _ in find_fields()} - set(PLACES)
    assert homeless == set(), "give these models a place in PLACES"


def test_no_value_is_for_a_field_that_is_gone() -> None:
    known = {f"{base.__name__}.{name}" for cls, name in find_fields() for base in cls.__mro__}
    assert sorted(set(VALUES) - known) == []


def is_scripted(spec: Spec) -> bool:
    """Return whether the scenario can be run here without a model."""
    local = spec.get("executor", {"kind": "local"})["kind"] == "local"
    scripted = all(backend["kind"] == "scripted" for backend in spec["backends"].values())
    tools = [
        tool["kind"] for role in spec["roles"].values() for tool in role.get("tools", ()) if isinstance(tool, dict)
    ]
    runs_code = spec["task"].get("answer", {}).get("kind") == "tests" or "python" in tools
    plain = spec["task"]["kind"] != "reasoning_gym" and not runs_code and not _is_remote(spec["task"])
    return local and scripted and plain and "train" not in spec


def _is_remote(task: Spec) -> bool:
    """Return whether the questions come from the hub."""
    return task["kind"] in ("file", "dataset") and str(task.get("path", "hub:")).startswith("hub:")


PLAYED = [setting for setting in SETTINGS if is_scripted(setting.changed) and not setting.repeated]
"""Fields that are run with either value. For the others, only the fingerprint is compared."""


def name_of(setting: Setting) -> str:
    return setting.name


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s not in PLAYED], ids=name_of)
@counted
def test_a_field_is_part_of_what_a_run_is_unless_it_is_tuning(setting: Setting) -> None:
    with workplace() as folder:
        check_mark(setting, load(setting.base, folder), load(setting.changed, folder))


def check_mark(setting: Setting, base: Scenario, changed: Scenario) -> None:
    assert (mark(base) == mark(changed)) == setting.tuning


def mark(scenario: Scenario) -> str:
    return fingerprint(defining(scenario))


@pytest.mark.parametrize("setting", PLAYED, ids=name_of)
@counted
def test_a_run_with_another_value_is_resumed_or_refused_and_reused_rightly(setting: Setting) -> None:
    with workplace() as folder:
        base, changed = load(setting.base, folder), load(setting.changed, folder)
        check_mark(setting, base, changed)
        copies = Snapshots([3], folder / "copies")
        before = play(base, folder / "before", watcher=copies)
        alone = play(changed, folder / "alone")
        assert not differences(alone, play(changed, folder / "reusing", reuse=[before.folder]))
        [left] = copies.taken
        if setting.tuning:
            assert not differences(before, alone)
            assert not differences(before, play(changed, left, Manner(tempo=1), resume=True))
            return
        assert differences(before, alone) or setting.name in SILENT or has_a_say(setting, folder), "this tests nothing"
        with pytest.raises(RunFolderError, match="another scenario"), RunFolder(changed, left, resume=True):
            pass


def has_a_say(setting: Setting, folder: Path) -> bool:
    """Return whether the field's value makes a difference with one of a few other seeds."""
    for seed in range(1, 12):
        base, changed = ({**spec, "seed": seed} for spec in (setting.base, setting.changed))
        one = play(load(base, folder), folder / f"one-{seed}")
        if differences(one, play(load(changed, folder), folder / f"other-{seed}")):
            return True
    return False
