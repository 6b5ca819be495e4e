"""The remedies of `check` work: each remedy that names a change is applied, and the changed scenario passes.

Remedies are read from the messages: "remove it", "set `key: value`", "lower it", templates to add, and allowed values.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from society.core.problems import Problem
from tests.scenario.test_effects import BASE, FOUND, HELPER, LOOP, Change, case, only, phase, problems, put

PAIR: list[Any] = [["a-1", "a-2"], ["a-2", "a-1"]]
OTHERS = put("agents.z", {})
MISTAKES: list[tuple[str, list[Change], str]] = [
    # graphs with a cycle
    *(
        case("phases.three.topology", "without cycles", phase(schedule="topological", topology=topology))
        for topology in (
            "complete",
            "ring",
            "star",
            "chain",
            "tree",
            "grid",
            "bipartite",
            {"kind": "small_world", "k": 2, "p": 0.1},
            {"kind": "scale_free", "m": 1},
            {"kind": "k_regular", "k": 2},
            {"kind": "k_regular", "k": 2, "directed": True},
            {"kind": "erdos_renyi", "p": 0.9},
            {"kind": "ring", "directed": True},
            {"kind": "edges", "edges": PAIR},
            {"kind": "edges", "edges": PAIR[:1], "directed": False},
        )
    ),
    case("phases.three.within", "without cycles", phase(within="complete")),
    case("phases.three.within", "without cycles", phase(within="star", topology="complete", rounds=2)),
    # helpers: missing, unknown, a group, also a speaker
    case("phases.three.schedule", "needs a `moderator`", phase(schedule="moderated")),
    case("phases.three.schedule", "needs a `moderator`", *HELPER, phase(schedule="moderated")),
    case("phases.three.schedule", "needs a `moderator`", *HELPER, phase(schedule="moderated", agents=["a"])),
    case("phases.three.schedule", "needs a `moderator`", OTHERS, phase(schedule="moderated", reads=["a"])),
    case("phases.three.moderator", "is a group", phase(schedule="moderated", moderator="a")),
    case("phases.three.moderator", "is a group", *HELPER, phase(schedule="moderated", moderator="a", agents=["a-1"])),
    case("phases.three.moderator", "no agent 'b'", phase(schedule="moderated", moderator="b")),
    case("phases.two.edges.show", "needs a `summarizer`", put("phases.two.edges", {"show": "summary"})),
    case(
        "phases.two.topology",
        "needs a `summarizer`",
        put("phases.two.topology", {"kind": "edges", "edges": [["a-1", "a-2", {"show": "summary"}]]}),
    ),
    case("phases.two.summarizer", "is a group", put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "a"})),
    case(
        "phases.two.summarizer", "no agent 'b'", put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "b"})
    ),
    case(
        "phases.two.controllers.0.ranker",
        "is a group",
        put("phases.two.controllers", [{"kind": "prune", "ranker": "a", "keep": 2}]),
    ),
    case(
        "phases.two.controllers.0.ranker",
        "no agent 'b'",
        put("phases.two.controllers", [{"kind": "prune", "ranker": "b", "keep": 2}]),
    ),
    case("phases.two.stop.0.agent", "is a group", put("phases.two.stop", [{"kind": "verdict", "agent": "a"}])),
    case("phases.two.stop.0.agent", "no agent 'b'", put("phases.two.stop", [{"kind": "verdict", "agent": "b"}])),
    # decisions
    case("decision.agent", "is a group", put("decision", {"kind": "judge", "agent": "a"})),
    case("decision.agent", "no agent 'b'", put("decision", {"kind": "aggregator", "agent": "b"})),
    case(
        "decision.agent",
        "no agent 'x'",
        *HELPER,
        put("phases.two.*", {"schedule": "moderated", "moderator": "h"}),
        put("decision", {"kind": "judge", "agent": "x"}),
    ),
    case("decision.voters.0", "no agent 'aa'", put("decision", {"kind": "majority", "voters": ["aa"]})),
    case("decision.quorum", "cannot be reached", put("decision", {"kind": "majority", "quorum": 7})),
    *(
        case("roles.solver.prompt", "shows no `candidates`", put("decision", kind))
        for kind in ("borda", "approval", "ranked")
    ),
    # names
    case("agents.a.role", "no role 'solvr'", put("agents.a.role", "solvr")),
    case("agents.a.backend", "no backend 'olny'", put("agents.a.backend", "olny")),
    case("phases.two.agents.0", "no agent 'b'", put("phases.two.agents", ["b"])),
    case("phases.two.bind.b", "no agent 'b'", put("phases.two.bind", {"b": {"persona": "x"}})),
    case("phases.two.reads.0", "speaks in this phase", put("phases.two.*", {"agents": ["a"], "reads": ["a-1"]})),
    case("metrics.1", "'agreement' is listed twice", put("metrics", ["agreement", {"kind": "agreement"}])),
    case("phases.two.agents.1", "listed twice", put("phases.two.agents", ["a", "a-1"])),
    case(
        "phases.two.topology.edges.0.0",
        "no agent 'b'",
        put("phases.two.topology", {"kind": "edges", "edges": [["b", "a-1"]]}),
    ),
    case(
        "phases.two.topology.edges.0.2.shows",
        "unknown edge attribute",
        put("phases.two.topology", {"kind": "edges", "edges": [["a-2", "a-1", {"shows": "full"}]]}),
    ),
    # values of a fixed list
    case("phases.two.schedule", "should not be", put("phases.two.schedule", "sequental")),
    case("phases.two.topology", "unknown topology", put("phases.two.topology", "complet")),
    case("phases.two.edges.show", "should not be", put("phases.two.edges", {"show": "ful"})),
    case("decision", "unknown decision", put("decision", "majorty")),
    case("phases.two.topolgy", "unknown key", put("phases.two.topolgy", "complete")),
    # prompts
    case(
        "phases.two.edges.anonymous",
        "shows `sender`",
        put("phases.two.edges", {"anonymous": True}),
        put("roles.solver.prompt", LOOP),
    ),
]
CASES = [*FOUND, *MISTAKES]


def parent_of(scenario: Any, steps: list[str]) -> Any:
    """Return the node at these steps. Phases are found by their names."""
    for step in steps:
        if isinstance(scenario, list):
            named = [item for item in scenario if isinstance(item, dict) and item.get("name") == step]
            scenario = named[0] if named else scenario[int(step)]
        else:
            scenario = scenario[step]
    return scenario


def changed(scenario: Any, path: str, value: Any = None, *, remove: bool = False, name: str = "") -> Any:
    """Return a copy with the value at a path set, or removed, or with the key at the path renamed."""
    scenario = copy.deepcopy(scenario)
    *above, last = path.split(".")
    node = parent_of(scenario, above)
    key: Any = int(last) if isinstance(node, list) and last.isdigit() else last
    if isinstance(node, list) and not isinstance(key, int):
        key = next(i for i, item in enumerate(node) if item.get("name") == last)
    if remove:
        del node[key]
    elif name:
        node[name] = node.pop(key)
    else:
        node[key] = value
    return scenario


def mappings(node: Any, path: str = "") -> Iterator[str]:
    """Yield the path of each mapping in a scenario, "" for the scenario itself. The short form of a kind is one."""
    if isinstance(node, list):
        for i, item in enumerate(node):
            yield from mappings(item, f"{path}.{i}".strip("."))
    elif isinstance(node, dict):
        yield path
        for key, item in node.items():
            yield from mappings(item, f"{path}.{key}".strip("."))
    elif path.endswith(("topology", "within")):
        yield path


def placed(scenario: Any, key: str, value: Any) -> Iterator[Any]:
    """Yield the scenario with `key: value` in each of its mappings, then in all roles."""
    for path in mappings(scenario):
        if not path:
            yield {**scenario, key: value}
            continue
        node = parent_of(scenario, path.split("."))
        yield changed(scenario, path, {**({"kind": node} if isinstance(node, str) else node), key: value})
    yield {**scenario, "roles": {name: {**role, key: value} for name, role in scenario["roles"].items()}}


def remedies(scenario: Any, problem: Problem) -> Iterator[tuple[str, list[Any]]]:
    """Yield each remedy of a problem, and the scenarios that follow it, one of which must pass."""
    path, message = problem.path, problem.message
    remedy = message.partition("; ")[2]
    if re.search(r"\bremove it\b(?! here| from)", remedy) or "remove it here" in remedy:
        yield "remove it", [changed(scenario, path, remove=True)]
    for key, value in re.findall(r"`(\w+): (\{[^`]*\}|[\w.]+)`(?! and a)", remedy):
        yield f"{key}: {value}", [*placed(scenario, key, yaml.safe_load(value))]
    if re.search(r"\b(lower|raise) it\b", remedy):
        old = parent_of(scenario, path.split("."))
        sign = -1 if "lower it" in remedy else 1
        values = [old + sign * step for step in ([*range(1, 20), 5000, 9000] if isinstance(old, int) else [0.1, 0.3])]
        yield "another number", [changed(scenario, path, value) for value in values if value > 0]
    for text in re.findall(r"(\{[{%].*[%}]\})", remedy):
        roles = scenario["roles"]
        fixes = {name: {**role, "prompt": role["prompt"] + text} for name, role in roles.items()}
        yield text, [{**scenario, "roles": fixes}, *({**scenario, "roles": {**roles, n: r}} for n, r in fixes.items())]
    missing = re.search(r"needs a `(\w+)`", message)
    for name in [problem.suggestion] if problem.suggestion else problem.allowed:
        if missing:
            yield f"{missing[1]}: {name}", [*placed(scenario, missing[1], name)]
        elif message.startswith("unknown edge attribute"):
            yield f"the attribute {name}", [changed(scenario, path, name=name)]
        elif message.startswith("unknown key") or ".bind." in path:
            yield f"the key {name}", [changed(scenario, path, name=name)]
        else:
            yield f"the value {name}", [changed(scenario, path, name)]


@pytest.mark.parametrize(("path", "changes", "says"), CASES, ids=[f"{path}-{i}" for i, (path, *_) in enumerate(CASES)])
def test_each_remedy_that_names_a_change_works(tmp_path: Path, path: str, changes: list[Change], says: str) -> None:
    (tmp_path / "q.jsonl").write_text('{"q": "?", "question": "?", "c": ["x", "y"], "answer": 0}\n')
    scenario = copy.deepcopy(BASE)
    for change in changes:
        change(scenario)
    found = problems(tmp_path, scenario)
    [problem] = [problem for problem in found if problem.path == path and says in problem.message]
    for remedy, fixes in remedies(scenario, problem):
        outcomes = [problems(tmp_path, fixed) for fixed in fixes]
        left = [[str(p) for p in outcome if p.level == "error" or p.message == problem.message] for outcome in outcomes]
        assert [] in left, (remedy, str(problem), left)


def test_remedies_are_found_in_most_messages(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"q": "?", "question": "?", "c": ["x", "y"], "answer": 0}\n')
    applied = 0
    for path, changes, says in CASES:
        scenario = copy.deepcopy(BASE)
        for change in changes:
            change(scenario)
        [problem] = [p for p in problems(tmp_path, scenario) if p.path == path and says in p.message]
        applied += any(True for _ in remedies(scenario, problem))
    assert applied > 0.7 * len(CASES)


def test_a_phase_without_speakers_is_one_error(tmp_path: Path) -> None:
    scenario = copy.deepcopy(BASE)
    only(reads=["a"])(scenario)
    [error] = [problem for problem in problems(tmp_path, scenario) if problem.level == "error"]
    assert error.message.startswith("has no speakers")
    scenario["agents"]["b"] = {}
    assert [problem for problem in problems(tmp_path, scenario) if problem.level == "error"] == []
