"""A scenario that is written otherwise is the same run: one fingerprint, equal results, each resumed with the other."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import strategies as st

from society.core.definition import defining
from society.core.identity import fingerprint
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from tests.metamorphic.relation import relation
from tests.metamorphic.runs import Snapshots, Spec, differences, load, play, workplace
from tests.metamorphic.worlds import worlds
from tests.metamorphic.writing import Writer, halves, settings_of, spelled_out, validated

luck = st.integers(0, 2**32).map(Random)


def written(text: str, folder: Path, name: str = "other.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def check_same_run(scenario: Scenario, other: Scenario, folder: Path) -> None:
    """They have one fingerprint and equal results, and each can be resumed with the other."""
    assert fingerprint(defining(scenario)) == fingerprint(defining(other))
    assert list(scenario.agents) == list(other.agents)
    copies = Snapshots([1, 5], folder / "copies")
    one = play(scenario, folder / "one", watcher=copies)
    assert not differences(one, play(other, folder / "other"))
    for copy in copies.taken:
        assert not differences(one, play(other, copy, resume=True))


@pytest.mark.slow
@relation(30, spec=worlds(), luck=luck)
def test_comments_styles_anchors_and_key_order_mean_nothing(spec: Spec, luck: Random) -> None:
    with workplace() as folder:
        scenario = load(spec, folder)
        other = load_scenario(written(Writer(luck).write(spec), folder))
        assert validated(scenario) == validated(other)
        check_same_run(scenario, other, folder)


@pytest.mark.slow
@relation(25, spec=worlds(), luck=luck)
def test_defaults_that_are_written_out_mean_nothing(spec: Spec, luck: Random) -> None:
    with workplace() as folder:
        scenario = load(spec, folder)
        check_same_run(scenario, load(spelled_out(spec, scenario, luck), folder), folder)


@pytest.mark.slow
@relation(25, spec=worlds(), luck=luck)
def test_a_scenario_that_extends_another_is_the_same_as_both_in_one(spec: Spec, luck: Random) -> None:
    with workplace() as folder:
        scenario = load(spec, folder)
        base, above = halves(spec, luck)
        written(Writer(luck).write(base), folder, "base.yaml")
        other = load_scenario(written(Writer(luck).write({"extends": "base.yaml", **above}), folder))
        assert validated(scenario) == validated(other)
        check_same_run(scenario, other, folder)


@pytest.mark.slow
@relation(15, spec=worlds(), luck=luck)
def test_what_the_command_line_sets_is_as_if_it_was_written(spec: Spec, luck: Random) -> None:
    with workplace() as folder:
        scenario = load(spec, folder)
        changed, settings = settings_of(spec, luck)
        check_same_run(scenario, load(changed, folder, *settings), folder)


@pytest.mark.slow
@relation(8, spec=worlds(), luck=luck)
def test_the_folder_and_the_name_of_the_file_mean_nothing(spec: Spec, luck: Random) -> None:
    with workplace() as folder, workplace() as elsewhere:
        other = load(spec, elsewhere, name=f"{luck.choice(['a', 'b c'])}.yml")
        check_same_run(load(spec, folder), other, folder)


@pytest.mark.parametrize("schedule", ["simultaneous", "sequential"])
def test_the_order_of_agents_does_mean_something(schedule: str) -> None:
    """Agents speak and are read in their order, so another order is another run."""
    spec = {
        "version": 1,
        "name": "two",
        "task": {"kind": "arithmetic", "limit": 1},
        "backends": {"one": {"kind": "scripted"}},
        "roles": {"only": {"prompt": "{{ question }}"}},
        "agents": {"ann": {}, "bob": {}},
        "phases": [{"name": "talk", "topology": "complete", "schedule": schedule}],
    }
    with workplace() as folder:
        marks = [
            fingerprint(defining(load({**spec, "agents": {name: {} for name in names}}, folder)))
            for names in (("ann", "bob"), ("bob", "ann"))
        ]
        assert marks[0] != marks[1]
