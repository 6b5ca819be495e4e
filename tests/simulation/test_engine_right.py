"""Rules of the engine: reading orders, helpers that do not vote, controllers that do not undo one another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise, permutations

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.components.controllers import ControlContext, Drop, Prune, Resample
from society.core.types import RoundState, Turn, TurnId, Usage
from society.runs.records import DebateRecord
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from topologies.base import Topology
from topologies.dags import DagRandom
from topologies.library import Generated
from topologies.random import ErdosRenyi, KRegular, ScaleFree, SmallWorld
from topologies.simple import Complete, Ring

Play = Callable[..., list[DebateRecord]]

# Reading order

DAG = """
task: {{kind: arithmetic, form: a+b, limit: 1}}
roles: {{talker: {{prompt: "{{% for m in heard %}}[{{{{ m.sender }}}}]{{% endfor %}}"}}}}
agents: {{a: {{}}, b: {{}}, c: {{}}, d: {{}}}}
phases: [{{name: talk, schedule: topological, topology: {{kind: edges, edges: {edges}}}{more}}}]
"""


@pytest.mark.parametrize("order", list(permutations("abc")))
def test_topological_readers_are_shown_senders_in_declared_order(debates: Play, order: tuple[str, ...]) -> None:
    """Whatever the order in which they speak."""
    chain = [[u, v] for u, v in pairwise(order)] + [[u, "d"] for u in order]
    [record] = debates(DAG.format(edges=chain, more=""))
    [turn] = record.of("d")
    assert [source.agent for source in turn.reads] == ["a", "b", "c"]
    assert turn.messages[-1].content == "[a][b][c]"


def test_a_reversed_topological_phase_is_read_in_reverse(debates: Play) -> None:
    [record] = debates(DAG.format(edges=[["b", "a"], ["a", "d"], ["b", "d"], ["c", "d"]], more=", order: reversed"))
    assert record.of("d")[0].messages[-1].content == "[c][b][a]"


# One random graph

RANDOM: list[Topology] = [
    ErdosRenyi(p=0.4),
    KRegular(k=3, random=True),
    SmallWorld(k=4, p=0.5),
    ScaleFree(m=2),
    DagRandom(p=0.5),
    Generated(generator="gnp_random_graph", params={"p": 0.4}),
]
TWO = """
task: {{kind: arithmetic, form: a+b, limit: 1}}
seed: {seed}
roles: {{talker: {{prompt: "{{{{ question }}}}"}}}}
agents: {{left: {{count: 10}}, right: {{count: 10}}}}
phases:
  - {{name: one, agents: [left], topology: {first}}}
  - {{name: two, agents: [left], topology: {second}}}
  - {{name: three, agents: [right, left], topology: {first}}}
  - {{name: four, agents: [left], reads: [right], within: {dag}, topology: {first}}}
"""
DAG_TEXT = "{kind: dag_random, p: 0.5}"


@pytest.mark.parametrize("topology", RANDOM, ids=lambda topology: topology.kind)
def test_equal_random_topologies_share_one_graph(scenario: Callable[..., Scenario], topology: Topology) -> None:
    text = topology.model_dump_json(exclude_unset=True)
    for seed in (0, 1, 2):
        one, two, three, four = expand(scenario(TWO.format(seed=seed, first=text, second=text, dag=DAG_TEXT))).phases
        assert set(one.graph().edges) == set(two.graph().edges)
        assert set(one.graph().edges) <= set(four.graph().edges)
        assert len(three.graph()) == 20


@pytest.mark.parametrize("topology", RANDOM, ids=lambda topology: topology.kind)
def test_a_seed_draws_another_graph_and_so_does_the_scenarios(
    scenario: Callable[..., Scenario], topology: Topology
) -> None:
    text = topology.model_dump_json(exclude_unset=True)
    other = topology.model_copy(update={"seed": 1}).model_dump_json(exclude_unset=True)
    drawn = []
    for seed in range(3):
        phases = expand(scenario(TWO.format(seed=seed, first=text, second=other, dag=DAG_TEXT))).phases
        drawn += [frozenset(phase.graph().edges) for phase in phases[:2]]
    assert len(set(drawn)) == 6


def test_redrawing_draws_anew(scenario: Callable[..., Scenario]) -> None:
    [one, *_] = expand(
        scenario(TWO.format(seed=0, first="{kind: erdos_renyi, p: 0.4}", second="ring", dag=DAG_TEXT))
    ).phases
    assert len({frozenset(one.graph(seed).edges) for seed in range(5)}) == 5


@given(st.integers(1, 12), st.sampled_from(RANDOM))
def test_what_is_called_random_is_random(n: int, topology: Topology) -> None:
    """`is_random` agrees with many draws."""
    names = [f"a-{i}" for i in range(n)]
    try:
        drawn = {frozenset(topology.graph(names, {}, seed).edges) for seed in range(40)}
    except Exception:  # no such graph over so few agents
        return
    assert topology.is_random(names, {}) == (len(drawn) > 1)


@pytest.mark.parametrize(
    ("topology", "random"),
    [
        (Ring(), False),
        (Complete(), False),
        (ErdosRenyi(p=0), False),
        (ErdosRenyi(p=1), False),
        (KRegular(k=2), False),
        (KRegular(k=4, random=True), False),
        (SmallWorld(k=2, p=0), False),
        (SmallWorld(k=2, p=0, directed=True), True),
        (ScaleFree(m=4), False),
        (Generated(generator="cycle_graph"), False),
    ],
)
def test_families_that_look_random_but_are_not(topology: Topology, random: bool) -> None:
    assert topology.is_random([f"a-{i}" for i in range(5)], {}) is random


@pytest.mark.parametrize(
    "text", ["{kind: k_regular, k: 2, seed: 3}", "{kind: networkx, generator: cycle_graph, seed: 3}"]
)
def test_a_seed_without_effect_is_refused(scenario: Callable[..., Scenario], text: str) -> None:
    with pytest.raises(Exception, match="seed"):
        scenario(TWO.format(seed=0, first=text, second="ring", dag=DAG_TEXT))


# Helpers

HELPED = """
task: {kind: arithmetic, form: a+b, limit: 1, answer: {extract: [text]}}
backends: {scripted: {kind: scripted, rules: [{when: WHO, say: t-2}, {when: RANK, say: "1"}, {say: "four"}]}}
roles:
  talker: {prompt: "{{ question }}"}
  chair: {prompt: WHO}
  ranker: {prompt: RANK}
  voter: {prompt: "{% for c in candidates %}{{ c.letter }}. {{ c.answer }} {% endfor %}"}
agents: {t: {count: 3, role: talker}, chair: {role: chair}, ranker: {role: ranker}}
phases:
  - {name: open, topology: none}
  - {name: rank, topology: complete, rounds: 2, controllers: [{kind: prune, ranker: ranker, keep: 2}]}
  - {name: talk, schedule: moderated, moderator: chair, topology: complete, rounds: 2}
  - {name: vote, bind: {t: {role: voter}}}
decision: {kind: approval}
"""


def test_what_helpers_say_is_no_candidate(debates: Play) -> None:
    [record] = debates(HELPED)
    votes = [turn for turn in record.turns if turn.id.phase == "vote"]
    assert {turn.messages[-1].content for turn in votes} == {"A. four"}


def test_an_agent_that_moderated_stands_where_it_stood_as_a_speaker(debates: Play) -> None:
    text = """
task: {kind: arithmetic, form: a+b, limit: 1, answer: {extract: [text]}}
backends: {scripted: {kind: scripted, rules: [{when: WHO, say: t-2}, {say: "four"}]}}
roles: {talker: {prompt: "{{ question }}"}, chair: {prompt: WHO}}
agents: {t: {count: 3, role: talker}}
phases:
  - {name: open, agents: [t]}
  - {name: talk, agents: [t-2, t-3], schedule: moderated, moderator: t-1, bind: {t-1: {role: chair}}}
decision: {kind: unanimity, voters: [t]}
"""
    [record] = debates(text)
    assert record.result.decision.answer == "four"


# Controllers together

NAMES = [f"a-{i}" for i in range(8)]


def _state() -> RoundState:
    turns = {name: Turn(TurnId(0, "i", "p", 1, name), "k", (), "x", "x") for name in NAMES}
    return RoundState([turns], Usage(), 8, str.__eq__)


def _next(controller: Drop | Prune | Resample, graph: nx.DiGraph[str], declared: nx.DiGraph[str]) -> nx.DiGraph[str]:
    async def ask(agent: str, options: tuple[str, ...]) -> Turn:
        return Turn(TurnId(0, "i", "p", 1, agent), "k", (), "1, 2, 3", None)

    def redraw(seed: int) -> nx.DiGraph[str]:
        return ErdosRenyi(p=0.5).graph(NAMES, {}, seed)

    context = ControlContext(_state(), 2, declared, 7, redraw, ask)
    return asyncio.run(controller.next_graph(graph, context))


def test_agents_that_were_pruned_stay_silent_when_the_graph_is_drawn_anew() -> None:
    declared = Complete().graph(NAMES, {}, 0)
    pruned = _next(Prune(ranker="judge", keep=3), declared, declared)
    assert len(pruned) == 3
    assert set(_next(Resample(), pruned, declared)) == set(pruned)


def test_restored_edges_have_one_order_where_few_agents_are_left() -> None:
    """A part of a graph has its nodes in the order of a set, and `drop` draws in the order of edges."""
    names = [f"t-{i}" for i in range(30)]
    declared = Complete().graph(names, {}, 0)
    context = ControlContext(_state(), 2, declared, 7, lambda seed: declared, _nobody)
    restored = context.restored(Complete().graph(names[8:20][::-1], {}, 0))
    assert list(restored) == names[8:20]


async def _nobody(agent: str) -> Turn:
    raise NotImplementedError


CONTROLLED = """
task: {{kind: arithmetic, form: a+b, limit: 4}}
backends: {{scripted: {{kind: scripted, rules: [{{when: RANK, say: "[3, 2, 1]"}}, {{say: "It is 4."}}]}}}}
roles: {{talker: {{prompt: "{{{{ question }}}}"}}, ranker: {{prompt: RANK}}}}
agents: {{t: {{count: 6, role: talker}}, ranker: {{role: ranker}}}}
phases:
  - {{name: open}}
  - {{name: talk, topology: {{kind: erdos_renyi, p: 0.5}}, rounds: 6, controllers: {controllers}}}
"""


def _reads(records: list[DebateRecord]) -> dict[tuple[str, int], set[tuple[str, str]]]:
    found: dict[tuple[str, int], set[tuple[str, str]]] = {}
    for record in records:
        for turn in record.turns:
            if turn.id.phase == "talk" and turn.id.agent != "ranker":
                edges = found.setdefault((turn.id.item, turn.id.round), set())
                edges.update((source.agent, turn.id.agent) for source in turn.reads)
    return found


def test_drop_after_resample_thins_what_was_drawn(debates: Play) -> None:
    drawn = _reads(debates(CONTROLLED.format(controllers="[resample]")))
    thinned = _reads(debates(CONTROLLED.format(controllers="[resample, {kind: drop, p: 0.5}]")))
    assert all(thinned[place] <= drawn[place] for place in drawn)
    assert sum(map(len, thinned.values())) < sum(map(len, drawn.values()))


@pytest.mark.parametrize("order", ["[resample, {0}]", "[{0}, resample]"])
def test_resample_and_prune_go_together(debates: Play, order: str) -> None:
    records = debates(
        CONTROLLED.format(controllers=order.replace("{0}", "{kind: prune, ranker: ranker, keep: 3, after: 2}"))
    )
    for record in records:
        late = {turn.id.agent for turn in record.turns if turn.id.phase == "talk" and turn.id.round > 2}
        assert late - {"ranker"} == {"t-1", "t-2", "t-3"}


# Own turns

OWN = """
task: {kind: arithmetic, form: a+b, limit: 30}
backends: {scripted: {kind: scripted, rules: [{when: "^1", fail: {kind: error, rate: 0.2}}, {say: "It is 4."}]}}
roles: {talker: {prompt: "{{ round }}{% for turn in own %}<{{ turn.text }}>{% endfor %}"}}
agents: {t: {count: 1}}
phases: [{name: talk, rounds: 2}]
"""


def test_a_turn_that_failed_is_not_among_an_agents_own(debates: Play) -> None:
    second = [(record.of("t")[0].status, record.of("t")[1].messages[-1].content) for record in debates(OWN)]
    assert dict(second) == {"ok": "2<It is 4.>", "failed": "2"}
