"""A sweep's variant is the same run as that scenario alone, whatever was varied, and in whatever order."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from society.core.errors import ScenarioError
from society.runner.sweep import Variant, sweep
from society.scenario import load_scenario
from tests.metamorphic.relation import relation
from tests.metamorphic.runs import Spec, differences, load, outcome, play, workplace
from tests.metamorphic.speakers import Manner, speaking
from tests.metamorphic.worlds import EXTRACT, PROMPTS, REPLIES, worlds

MANNERS = (Manner(), Manner(traced=False))
AXES: dict[str, list[Any]] = {
    "seed": [0, 1, 2],
    "name": ["world", "other"],
    "description": ["", "other words"],
    "samples": [1, 2],
    "concurrency": [1, 3],
    "task.limit": [1, 2, 3],
    "task.answer.extract": EXTRACT,
    "task.answer.equal": ["exact", "numeric"],
    "task.answer.tolerance": [1e-6, 0.5],
    "roles.role0.prompt": PROMPTS,
    "roles.role0.confidence": ["none", "stated", "logprob"],
    "roles.role0.memory": [0, 1, 2],
    "roles.role0.choices": [[], ["1", "3"]],
    "agents.ann.count": [1, 2, 3],
    "agents.ann.sampling.max_tokens": [3, 5, 100],
    "sampling.temperature": [0, 0.5, 1.0],
    "phases.talk.topology": ["none", "complete", "ring", "chain", {"kind": "erdos_renyi", "p": 0.4}],
    "phases.talk.rounds": [1, 2, 3],
    "phases.talk.schedule": ["simultaneous", "sequential"],
    "phases.talk.order": ["declared", "reversed", "shuffled"],
    "phases.talk.edges.show": ["full", "answer", "nothing"],
    "phases.talk.edges.gate": [[], ["answered"], ["differs"]],
    "phases.talk.stop": [[], ["consensus"], [{"kind": "budget", "turns": 3}]],
    "decision.unparsed": ["abstain", "earlier", "veto", "exclude"],
    "decision.ties": ["abstain", "first", "random"],
    "decision": ["majority", "weighted", "unanimity", {"kind": "judge", "agent": "ann"}, "trajectory"],
    "backends.one.rules": [[{"choose": REPLIES[:3]}], [{"choose": REPLIES[3:]}], [{"say": "3"}]],
}
"""Keys that are varied, and their values."""


@st.composite
def grids(draw: st.DrawFn) -> list[str]:
    """Return one or two entries of `--vary`, with their values in any order."""
    keys = draw(st.lists(st.sampled_from(list(AXES)), min_size=1, max_size=2, unique=True))
    if any(b.startswith(a + ".") or a.startswith(b + ".") for a, b in combinations(keys, 2)):
        keys = keys[:1]
    entries = []
    for key in keys:
        shuffled = draw(st.permutations(AXES[key]))[: 3 if len(keys) == 1 else 2]
        entries.append(f"{key}={','.join(map(flow, shuffled))}")
    return entries


def flow(value: Any) -> str:
    """Return the value as YAML that stands in one line."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {flow(item)}' for key, item in value.items())}}}"
    return str(value)


def swept(spec: Spec, vary: list[str], folder: Path, manner: Manner) -> list[Variant]:
    """Return the variants of a sweep, or none where the grid holds a scenario that cannot be run."""
    load(spec, folder)
    try:
        with speaking(manner):
            return sweep(folder / "scenario.yaml", vary, folder / "sweep")
    except ScenarioError:
        return []


@pytest.mark.slow
@relation(20, spec=worlds(), vary=grids(), manner=st.sampled_from(MANNERS))
def test_a_variant_is_the_same_run_as_its_scenario_alone(spec: Spec, vary: list[str], manner: Manner) -> None:
    with workplace() as folder:
        for i, variant in enumerate(swept(spec, vary, folder, manner)):
            scenario = load_scenario(folder / "scenario.yaml", variant.overrides)
            alone = play(scenario, folder / f"alone-{i}", manner)
            assert not differences(alone, variant.run), variant.overrides


@pytest.mark.slow
@relation(8, spec=worlds(), vary=grids())
def test_the_order_of_a_sweeps_variants_changes_none_of_them(spec: Spec, vary: list[str]) -> None:
    with workplace() as one, workplace() as other:
        forward = {v.overrides: outcome(v.run) for v in swept(spec, vary, one, MANNERS[0])}
        backward = [turned(entry) for entry in vary]
        for variant in swept(spec, backward, other, MANNERS[0]):
            assert not differences(forward[variant.overrides], variant.run), variant.overrides


def turned(entry: str) -> str:
    """Return the entry of `--vary` with its values from last to first."""
    from society.runner.grid import split_values

    key, _, values = entry.partition("=")
    return f"{key}={','.join(reversed(split_values(values)))}"


@pytest.mark.slow
@relation(15, specs=st.tuples(worlds(), worlds()))
def test_another_run_to_reuse_changes_nothing(specs: tuple[Spec, Spec]) -> None:
    with workplace() as folder:
        before = play(load(specs[0], folder), folder / "before")
        scenario = load(specs[1], folder)
        alone = play(scenario, folder / "alone")
        reusing = play(scenario, folder / "reusing", reuse=[before.folder, alone.folder])
        assert not differences(alone, reusing)
        assert reusing.count_reused() == sum(turn.status == "ok" for turn in alone.turns())


@pytest.mark.parametrize("seeded", [True, False])
def test_sweeps_do_take_over_what_they_share(seeded: bool) -> None:
    """Otherwise the relations above would hold for no reason."""
    spec = {
        "version": 1,
        "name": "shared",
        "task": {"kind": "arithmetic", "form": "a+b", "limit": 2},
        "backends": {"one": {"kind": "scripted", "rules": [{"choose": REPLIES}]}},
        "roles": {"role0": {"prompt": PROMPTS[0]}},
        "agents": {"ann": {"count": 2}},
        "phases": [{"name": "talk"}],
    }
    with workplace() as folder:
        variants = swept(spec, ["task.answer.extract=[boxed],[last_number]"], folder, Manner(seeded=seeded))
        assert [variant.run.count_reused() for variant in variants] == [0, 4]
