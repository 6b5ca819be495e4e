"""Agents that nobody reads and that do not vote change nothing for the others."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.metamorphic.relation import relation
from tests.metamorphic.runs import Spec, differences, load, outcome, play, workplace
from tests.metamorphic.test_names import without
from tests.metamorphic.worlds import REPLIES, members, worlds

ALONE = ("{{ question }} {% for m in heard %}{{ m.sender }}: {{ m.text }}; {% endfor %}", "{{ name }}: {{ question }}")
OUTSIDER: Spec = {"role": "role0", "backend": "odd"}


def closed(spec: Spec, prompt: str) -> tuple[Spec, list[str]]:
    """Return the scenario with all agents and edges written out, without counts of speakers, and its agents."""
    named = [agent for name, group in spec["agents"].items() for agent in members(name, group)]
    pairs = [list(pair) for pair in permutations(named, 2)]
    bare = without(spec, "stop", "controllers", "order")
    phases = []
    for phase in bare["phases"]:
        edges = pairs if phase["schedule"] != "topological" else [[a, b] for a, b in pairs if a < b]
        phases.append({**phase, "agents": named, "topology": {"kind": "edges", "edges": edges}})
    roles = {name: {**role, "prompt": prompt} for name, role in spec["roles"].items()}
    decision = {key: value for key, value in spec["decision"].items() if key in ("kind", "agent", "ties", "unparsed")}
    if decision["kind"] in ("approval", "borda", "ranked"):  # every answer is a candidate there, whoever gave it
        decision["kind"] = "majority"
    if decision["kind"] != "judge":
        decision["voters"] = named
    backends = {**spec["backends"], "odd": {"kind": "scripted", "rules": [{"choose": REPLIES}]}}
    return {**bare, "phases": phases, "roles": roles, "decision": decision, "backends": backends}, named


def by_agents(found: dict[str, Any], named: list[str]) -> dict[str, Any]:
    """Return the replies of these agents and the decisions."""
    turns = {key: turn for key, turn in found.items() if key.startswith("turn") and turn.id.agent in named}
    return turns | {key: result.decision for key, result in found.items() if key.startswith("result")}


@pytest.mark.slow
@relation(30, spec=worlds(faults=True), prompt=st.sampled_from(ALONE), count=st.integers(1, 2))
def test_an_agent_that_nobody_reads_and_that_does_not_vote_changes_nothing(spec: Spec, prompt: str, count: int) -> None:
    spec, named = closed(spec, prompt)
    phases = [{**phase, "agents": [*named, "zed"]} for phase in spec["phases"]]
    more = {**spec, "agents": {**spec["agents"], "zed": {**OUTSIDER, "count": count}}, "phases": phases}
    with workplace() as folder:
        before = outcome(play(load(spec, folder), folder / "before"))
        after = outcome(play(load(more, folder), folder / "after"))
        assert len(after) > len(before)
        assert not differences(by_agents(before, named), by_agents(after, named))


@pytest.mark.slow
@relation(15, spec=worlds())
def test_an_agent_that_never_speaks_changes_nothing_at_all(spec: Spec) -> None:
    spec, _ = closed(spec, ALONE[0])
    more = {**spec, "agents": {**spec["agents"], "zed": OUTSIDER}}
    with workplace() as folder:
        before = play(load(spec, folder), folder / "before")
        assert not differences(before, play(load(more, folder), folder / "after"))


@relation(15, spec=worlds(), name=st.sampled_from(["name", "source", "description", "differs"]))
def test_words_about_a_scenario_change_nothing_that_is_said(spec: Spec, name: str) -> None:
    with workplace() as folder:
        before = play(load(spec, folder), folder / "before")
        assert not differences(before, play(load({**spec, name: "other"}, folder), folder / "after"))


@relation(15, spec=worlds(), name=st.sampled_from(["roles", "backends"]))
def test_a_role_or_backend_that_nobody_uses_changes_nothing(spec: Spec, name: str) -> None:
    unused: Any = {"prompt": "{{ question }}"} if name == "roles" else {"kind": "scripted", "rules": [{"say": "9"}]}
    with workplace() as folder:
        before = play(load(spec, folder), folder / "before")
        more = {**spec, name: {"unused": unused, **spec[name]}}
        assert not differences(before, play(load(more, folder), folder / "after"))
