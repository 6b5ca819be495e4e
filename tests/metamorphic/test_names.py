"""Names and order of agents change results only where they should.

Seeds derive from names, so a renamed agent draws other tokens. If replies do not depend on the seed, renaming agents
only renames results. If nothing depends on the order of agents, another order changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from society.runs.run import Run
from tests.metamorphic.relation import relation
from tests.metamorphic.runs import Spec, differences, load, play, workplace
from tests.metamorphic.speakers import Manner
from tests.metamorphic.worlds import SORTED, members, worlds

NAMELESS = [
    "{{ question }} {% for m in heard %}{{ m.text }}; {% endfor %}{{ phase }} {{ round }}",
    "{% for m in heard %}[{{ m.answer }} {{ m.confidence }} {{ m.round }}] {% endfor %}{{ question }}",
]
"""Prompts that show no names."""
NAMES = ("ann", "bob")


def voiced(run: Run, rename: Callable[[str], str] = str, ordered: bool = True) -> dict[str, Any]:
    """Return turns, messages and decisions by place and (new) name, without keys, which contain seeds."""
    found: dict[str, Any] = {}
    for turn in run.turns():
        i, reads = turn.id, [(r.phase, r.round, rename(r.agent)) for r in turn.reads]
        place = f"{i.item} {i.sample} {i.phase} {i.round} {rename(i.agent)}"
        said = (turn.status, turn.text, turn.answer, turn.confidence, turn.finish_reason, turn.usage.generated_tokens)
        found[place] = (*said, reads if ordered else sorted(reads))
    for result in run.results():
        decision = result.decision
        support = round(decision.support, 9)
        settled = (decision.answer, decision.reason, support, sorted(decision.tied), result.correct, result.verdicts)
        found[f"result {result.item} {result.sample}"] = settled
    return found


def renamed(spec: Spec, rename: Callable[[str], str]) -> Spec:
    """Return the scenario with other names of agents, wherever they stand."""
    society = {rename(name): group for name, group in spec["agents"].items()}
    played = [
        {**phase, "bind": {rename(name): bound for name, bound in phase.get("bind", {}).items()}}
        for phase in spec["phases"]
    ]
    decision = dict(spec["decision"])
    if "agent" in decision:
        decision["agent"] = rename(decision["agent"])
    return {**spec, "agents": society, "phases": played, "decision": decision}


def without(spec: Spec, *keys: str) -> Spec:
    """Return the scenario whose phases lack these keys."""
    return {**spec, "phases": [{k: v for k, v in phase.items() if k not in keys} for phase in spec["phases"]]}


def asking(spec: Spec, prompt: str) -> Spec:
    """Return the scenario in which every role has this prompt, and no name is in the system message."""
    roles = {name: {**role, "prompt": prompt, "system": "Be brief."} for name, role in spec["roles"].items()}
    return {**spec, "roles": roles}


@pytest.mark.slow
@relation(
    40,
    spec=worlds(faults=True),
    prompt=st.sampled_from(NAMELESS),
    names=st.sampled_from(
        [
            ("bob", "ann"),
            ("zed", "ann"),
            ("x", "yy"),
            ("ann-b", "ann-a"),
        ]
    ),
)
def test_renaming_agents_renames_results(spec: Spec, prompt: str, names: tuple[str, str]) -> None:
    def rename(agent: str) -> str:
        group, dash, number = agent.partition("-")
        return names[NAMES.index(group)] + dash + number

    spec = without(asking(spec, prompt), "cap")  # which messages a cap leaves is drawn with the reader's name
    manner = Manner(seeded=False)
    with workplace() as folder:
        before = play(load(spec, folder), folder / "before", manner)
        after = play(load(renamed(spec, rename), folder), folder / "after", manner)
        assert not differences(voiced(before, rename), voiced(after))


@pytest.mark.slow
@relation(30, spec=worlds(faults=True), topology=st.sampled_from(["complete", "none"]))
def test_the_order_in_which_agents_are_listed_changes_nothing_that_has_no_order(spec: Spec, topology: str) -> None:
    spec = without(asking(spec, SORTED), "cap", "controllers", "order", "schedule")
    phases = [{**phase, "topology": topology, "edges": {}} for phase in spec["phases"]]
    decision = {**spec["decision"], "ties": "abstain"}
    spec = {**spec, "phases": phases, "decision": decision}
    turned = {**spec, "agents": dict(reversed(spec["agents"].items()))}
    with workplace() as folder:
        one = play(load(spec, folder), folder / "one")
        other = play(load(turned, folder), folder / "other")
        assert not differences(voiced(one, ordered=False), voiced(other, ordered=False))


@pytest.mark.slow
@relation(25, spec=worlds(faults=True))
def test_a_group_is_the_same_as_its_members_written_out(spec: Spec) -> None:
    society: dict[str, Any] = {}
    for name, group in spec["agents"].items():
        for i, agent in enumerate(members(name, group)):
            single = json.loads(json.dumps({**group, "count": 1}))
            if isinstance(group.get("persona"), list):
                single["persona"] = group["persona"][i % len(group["persona"])]
            society[agent] = single
    with workplace() as folder:
        grouped = play(load(spec, folder), folder / "grouped")
        written = play(load({**spec, "agents": society}, folder), folder / "written")
        assert not differences(grouped, written)
