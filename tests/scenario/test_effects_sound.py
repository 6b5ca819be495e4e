"""An option that `check` reports as without effect has none: the run is the same without it.

Scenarios are drawn at random from options with and without effect. Each reported option is removed, one at a time, and
the two runs are compared: messages, replies and decisions.
"""

from __future__ import annotations

import asyncio
import copy
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.base import Backend
from society.core.errors import ScenarioError
from society.core.identity import derive_seed
from society.core.types import GenerateOutput, GenerateRequest, Turn, Usage
from society.scenario import load_with_warnings
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.simulation.simulate import DebateResult, simulate
from society.simulation.speaker import Speaker
from society.store import Store

IDLE = (
    "has no effect",
    "is not used",
    "is never tried",
    "holds nothing back",
    "is never reached",
    "0 leaves out nothing",
    "it cannot end a phase",
    "does not speak in this phase",
)
"""Parts of warnings about options that may be removed."""


class Echo(Backend):
    """A backend whose replies depend on chat and seed. Half of them state a number and a confidence."""

    model_hash = "echo"

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        drawn = derive_seed(*((m.role, m.content) for m in request.messages), request.seed, request.sampling.max_tokens)
        if request.choices:
            return GenerateOutput(request.choices[drawn % len(request.choices)], usage=Usage(1, 1))
        text = f"It is {drawn % 3}. confidence: {drawn % 101}%" if drawn % 5 else f"Hm {drawn % 7}"
        return GenerateOutput(text, usage=Usage(1, min(drawn % 20, request.sampling.max_tokens)))


PROMPTS = [
    "{{ name }} {{ question }} {% for m in heard %}{{ m.text }}{% endfor %}",
    "{{ name }} {% for m in heard %}{{ m.sender }}: {{ m.text }}{% endfor %}{{ candidates }}",
    "{{ name }} {{ persona }} {{ summary }} {{ own | length }}",
    "{{ name }} {{ question }}",
]
TOPOLOGIES: list[Any] = [
    "none",
    "complete",
    "ring",
    "star",
    {"kind": "chain", "directed": True},
    "dag_mesh",
    {"kind": "erdos_renyi", "p": 0.5},
    {"kind": "erdos_renyi", "p": 1.0},
    {"kind": "groups", "size": 1},
]
STOPS: list[Any] = [
    "consensus",
    {"kind": "consensus", "share": 0.3},
    "stability",
    {"kind": "stability", "patience": 2},
    {"kind": "budget", "turns": 5},
    {"kind": "budget", "turns": 50},
    {"kind": "budget", "tokens": 30},
    {"kind": "verdict", "agent": "h"},
    {"kind": "verdict", "agent": "a-1"},
]
GATES: list[Any] = ["differs", "similarity", "answered", {"kind": "confident", "least": 0.3}]
CONTROLLERS: list[Any] = [
    "resample",
    {"kind": "drop", "p": 0.5},
    {"kind": "drop", "p": 0.0},
    {"kind": "prune", "ranker": "h", "keep": 2},
    {"kind": "prune", "ranker": "h", "keep": 1, "after": 3},
]
DECISIONS: list[Any] = [
    "majority",
    {"kind": "weighted", "ties": "first"},
    {"kind": "unanimity", "ties": "random"},
    "trajectory",
    "borda",
    {"kind": "supermajority", "ties": "first"},
    {"kind": "judge", "agent": "a-1", "ties": "first"},
    "approval",
]


@st.composite
def phases(draw: st.DrawFn, name: str) -> dict[str, Any]:
    schedule = draw(st.sampled_from(["simultaneous", "sequential", "topological", "moderated"]))
    acyclic = ["none", {"kind": "chain", "directed": True}, "dag_mesh", {"kind": "groups", "size": 1}]
    optional = {
        "order": st.sampled_from(["reversed", "shuffled"]),
        "speak": st.just("heard"),
        "cap": st.integers(1, 4),
        "stop": st.lists(st.sampled_from(STOPS), min_size=1, max_size=2),
        "controllers": st.lists(st.sampled_from(CONTROLLERS), min_size=1, max_size=2, unique_by=repr),
        "bind": st.sampled_from(
            [
                {"a": {}},
                {"a-1": {"role": "other"}},
                {"a": {"role": "solver"}},
                {"a": {"persona": "p"}, "a-1": {"persona": "q"}},
            ]
        ),
        "reads": st.just(["h"]),
    }
    view = {
        "show": st.sampled_from(["full", "answer", "nothing", "summary"]),
        "window": st.integers(1, 4),
        "anonymous": st.just(True),
        "gate": st.lists(st.sampled_from(GATES), min_size=1, max_size=1),
    }
    fields: dict[str, Any] = {
        "name": name,
        "agents": draw(st.sampled_from([["a"], ["a"], ["a-1"], ["a-2", "a-1"]])),
        "schedule": schedule,
        "rounds": draw(st.integers(1, 3)),
        "topology": draw(st.sampled_from(acyclic if schedule == "topological" else TOPOLOGIES)),
    }
    fields |= draw(st.fixed_dictionaries({}, optional=optional))
    if draw(st.booleans()):
        fields["edges"] = draw(st.fixed_dictionaries({}, optional=view))
        if fields["edges"].get("show") == "summary":
            fields["summarizer"] = "h"
    if schedule == "moderated":
        fields["moderator"] = "m"
    return fields


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    role = {
        "memory": st.integers(0, 3),
        "confidence": st.just("stated"),
        "sampling": st.just({"max_tokens": 9}),
    }
    solver = {"prompt": draw(st.sampled_from(PROMPTS)), **draw(st.fixed_dictionaries({}, optional=role))}
    agent = {"persona": st.sampled_from(["p", ["p", "q", "r", "s"]]), "sampling": st.just({"max_tokens": 8})}
    count = draw(st.integers(2, 3))
    return {
        "version": 1,
        "name": "drawn",
        "seed": draw(st.integers(0, 3)),
        "task": {"kind": "arithmetic", "form": "a+b", "limit": 2},
        "backends": {"s": {"kind": "scripted"}},
        "roles": {"solver": solver, "other": {"prompt": draw(st.sampled_from(PROMPTS))}},
        "agents": {
            "a": {"count": count, "role": "solver", **draw(st.fixed_dictionaries({}, optional=agent))},
            "h": {"role": "other"},
            "m": {"role": "other"},
        },
        "phases": [draw(phases(name)) for name in ("one", "two")[: draw(st.integers(1, 2))]],
        "decision": draw(st.sampled_from(DECISIONS)),
    }


def play(scenario: Scenario) -> list[Any]:
    """Return the turns and decisions of a run in a fixed order."""
    society = expand(scenario)
    turns: list[Turn] = []
    results: list[DebateResult] = []

    async def simulated() -> None:
        with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "s.sqlite") as store:
            speaker = Speaker(
                {"s": Echo()}, {}, store, scenario.seed, scenario.task.parse, lambda t, old: turns.append(t)
            )
            await simulate(society, scenario.task, scenario.task.load(scenario.seed), speaker, results.append)

    asyncio.run(simulated())
    said = [(t.id, t.messages, t.text, t.reads) for t in turns]
    return [sorted(said), sorted((r.item.id, repr(r.decision.answer)) for r in results)]


def load(scenario: dict[str, Any], folder: Path) -> tuple[Scenario, list[Any]]:
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(scenario, sort_keys=False))
    return load_with_warnings(path)


def without(scenario: dict[str, Any], path: str) -> dict[str, Any] | None:
    """Return the scenario without the option at this path, or None if the option is required."""
    changed = copy.deepcopy(scenario)
    node: Any = changed
    *steps, last = path.split(".")
    for step in steps:
        if isinstance(node, list):
            node = node[int(step)] if step.isdigit() else next(item for item in node if item.get("name") == step)
        else:
            node = node[step]
    if isinstance(node, list):
        del node[int(last)]
    elif last in ("prompt", "patience", "agent", "kind") or (steps[:1] == ["roles"] and len(steps) == 1):
        return None
    else:
        del node[last]
    return changed


BLAMED = ("p", "keep", "after", "turns", "tokens", "patience", "distance", "agent")
"""Fields of rules whose warning is about the whole rule."""


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(scenarios())
def test_reported_options_have_no_effect(scenario: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            loaded, problems = load(scenario, folder)
        except ScenarioError:
            return
        idle = [p for p in problems if p.level == "warning" and any(part in p.message for part in IDLE)]
        before = play(loaded) if idle else []
        for problem in idle:
            path, last = problem.path, problem.path.rpartition(".")[2]
            if last in BLAMED:
                path = path.rpartition(".")[0]
            if (changed := without(scenario, path)) is None:
                continue
            if ".controllers." in path and any(len(p.get("controllers", ())) > 1 for p in scenario["phases"]):
                continue  # each draws by its place among them
            try:
                other, _ = load(changed, folder)
            except ScenarioError:
                continue  # what was idle was needed by something else, such as the summarizer of no summaries
            assert play(other) == before, str(problem)
