"""Strategies for scenarios as plain data: small, valid, and with every part of the language now and then."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.metamorphic.runs import Spec

REPLIES = [
    "\\boxed{1} but really 7. Confidence: 0.9",
    "The answer is 3. Confidence: 60%",
    "I first thought of 5.\n#### 4",
    "The answer is (B). Confidence: 0.2",
    "<answer>7</answer>",
    "B > A",
    "It is 7. Confidence: 0.75",
    "I am not sure.",
]
SORTED = "{% for m in heard|sort(attribute='sender') %}[{{ m.text }}] {% endfor %}{{ question }}"
PROMPTS = [
    "{{ question }} {% for m in heard %}{{ m.sender }}: {{ m.text }}; {% endfor %}{{ question }}",
    "{% for m in heard %}[{{ m.answer }} {{ m.confidence }} {{ m.round }}] {% endfor %}{{ question }}",
    "{{ name }} of {{ agents|join(' ') }}, {{ phase }} {{ round }}/{{ rounds }}: {{ question }} {{ instruction }}",
    SORTED,
]
EXTRACT = [["boxed"], ["last_number"], ["hash", "last_number"], ["tag", "boxed"], [{"regex": "is (\\d)"}]]
NAMES = ("ann", "bob", "cat", "dan")
kinds = st.sampled_from


def tasks() -> st.SearchStrategy[dict[str, Any]]:
    """Few questions, of every kind that needs no library."""
    answer = st.fixed_dictionaries({}, optional={"extract": kinds(EXTRACT), "equal": kinds(["exact", "numeric"])})
    common: dict[str, Any] = {"limit": st.integers(1, 3), "answer": answer}
    more = {"offset": st.integers(0, 2), "shuffle": st.booleans()}
    file = {"kind": st.just("jsonl"), "path": st.just("questions.jsonl"), "id": st.just("id")}
    return st.one_of(
        st.fixed_dictionaries({"kind": st.just("arithmetic"), "form": kinds(["a+b", "a*b-c"])} | common),
        st.fixed_dictionaries(file | common, optional=more),
        st.fixed_dictionaries(file | {"limit": st.integers(1, 3), "choices": st.just("options")}, optional=more),
    )


def rules(faults: bool) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Rules of a scripted backend. With `faults`, some requests fail for good or for a while."""
    choose = st.lists(kinds(REPLIES), min_size=2, max_size=5, unique=True).map(lambda said: {"choose": said})
    solve = st.floats(0, 1).map(lambda skill: {"calculate": {"skill": round(skill, 2), "wrong": "spread"}})
    asked = kinds(["7", "\\d", "A|B"]).map(lambda seen: {"when": seen, "say": "As you say: \\boxed{3}"})
    fault = kinds(
        [
            {"fail": {"kind": "error", "rate": 0.15}},
            {"fail": {"kind": "transient", "rate": 0.5, "times": 1}},
            {"fail": {"kind": "empty", "rate": 0.2}},
        ]
    )
    first = st.lists(st.one_of(asked, fault) if faults else asked, max_size=2)
    return st.builds(lambda before, last: [*before, last], first, st.one_of(choose, choose, solve))


def samplings() -> st.SearchStrategy[dict[str, Any]]:
    """Return some settings of how tokens are drawn."""
    return st.fixed_dictionaries(
        {},
        optional={
            "temperature": kinds([0, 0.5, 1.3]),
            "top_p": kinds([0.5, 1.0]),
            "max_tokens": st.integers(3, 40),
            "stop": kinds([["really"], ["; ", "is"]]),
        },
    )


def roles() -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for prompts."""
    return st.fixed_dictionaries(
        {"prompt": kinds(PROMPTS)},
        optional={
            "system": kinds(["You are {{ name }}{{ persona }}.", "Be brief."]),
            "memory": st.integers(0, 2),
            "confidence": kinds(["none", "stated", "logprob"]),
            "sampling": samplings(),
        },
    )


def topologies(speakers: int, forward: bool) -> st.SearchStrategy[Any]:
    """Graphs over so many speakers; acyclic ones where the schedule needs that."""
    if forward:
        return kinds(["none", "dag_mesh", {"kind": "chain", "directed": True}, {"kind": "dag_random", "p": 0.6}])
    graphs: list[Any] = ["none", "complete", "complete", "ring", "star", "chain", {"kind": "erdos_renyi", "p": 0.5}]
    if speakers > 2:
        graphs.append({"kind": "k_regular", "k": 2, "random": True})
    return kinds(graphs)


@st.composite
def phases(draw: st.DrawFn, name: str, names: list[str], controllers: bool = True) -> dict[str, Any]:
    """Return one phase in which these agents speak."""
    schedule = draw(kinds(["simultaneous", "simultaneous", "sequential", "topological"]))
    forward = schedule == "topological"
    orders = ["declared"] if forward else ["declared", "reversed", "shuffled"]
    gates = st.lists(kinds(["answered", "differs", {"kind": "similarity", "below": 0.95}]), max_size=1)
    edges = {"show": kinds(["full", "full", "answer"]), "window": st.integers(1, 2), "anonymous": st.booleans()}
    optional: dict[str, Any] = {
        "order": kinds(orders),
        "speak": kinds(["always", "heard"]),
        "cap": st.integers(1, 2),
        "edges": st.fixed_dictionaries({}, optional=edges | {"gate": gates}),
        "stop": kinds([["consensus"], ["stability"], [{"kind": "budget", "turns": 5}]]),
        "bind": kinds([{draw(kinds(names)): {"persona": " of old", "sampling": {"temperature": 0.1}}}]),
    }
    if controllers and not forward:
        optional["controllers"] = kinds([["resample"], [{"kind": "drop", "p": 0.4}]])
    fixed = {
        "name": st.just(name),
        "schedule": st.just(schedule),
        "rounds": st.integers(1, 3),
        "topology": topologies(len(names), forward),
    }
    return draw(st.fixed_dictionaries(fixed, optional=optional))


def decisions(names: list[str], voting: bool = True) -> st.SearchStrategy[Any]:
    """Return a strategy for decisions."""
    common: dict[str, Any] = {
        "ties": kinds(["abstain", "first", "random"]),
        "unparsed": kinds(["abstain", "earlier", "veto", "exclude"]),
        "failed": kinds(["abstain", "exclude"]),
    }
    plain = ["majority", "supermajority", "unanimity", "weighted", "trajectory"]
    counting = st.fixed_dictionaries({"kind": kinds(plain)}, optional=common)
    ballots = st.fixed_dictionaries({"kind": kinds(["approval", "borda", "ranked"])}, optional=common)
    judge = st.fixed_dictionaries({"kind": st.just("judge"), "agent": kinds(names)})
    return st.one_of(counting, counting, judge, *([ballots] if voting else []))


@st.composite
def worlds(draw: st.DrawFn, faults: bool = False) -> Spec:
    """Return a scenario of one or two phases and at most four agents."""
    society = draw(agents())
    named = [name for name, spec in society.items() for name in members(name, spec)]
    played = [draw(phases("talk", named))]
    if draw(st.booleans()):
        played.append(draw(phases("close", named)))
    backends = {"one": {"kind": "scripted", "rules": draw(rules(faults))}}
    if draw(kinds([False, False, True])):
        backends["two"] = {"kind": "scripted", "rules": draw(rules(faults)), "delay": draw(kinds([0.0, 0.01]))}
    asked = {f"role{i}": draw(roles()) for i in range(draw(st.integers(1, 2)))}
    for spec in society.values():
        spec["role"], spec["backend"] = draw(kinds(list(asked))), draw(kinds(list(backends)))
    return {
        "version": 1,
        "name": "world",
        "seed": draw(st.integers(0, 3)),
        "task": draw(tasks()),
        "backends": backends,
        "roles": asked,
        "agents": society,
        "phases": played,
        "decision": draw(decisions(named, len(played) > 1)),
        "sampling": draw(samplings()),
        "samples": draw(kinds([1, 1, 2])),
        "concurrency": draw(st.integers(1, 4)),
    }


def members(name: str, spec: Spec) -> list[str]:
    """Return the agents of a group."""
    count = spec.get("count", 1)
    return [name] if count == 1 else [f"{name}-{i}" for i in range(1, count + 1)]


@st.composite
def agents(draw: st.DrawFn) -> dict[str, dict[str, Any]]:
    """Return one or two groups, without roles and backends."""
    optional = {"sampling": samplings(), "persona": kinds([" the bold", [" the calm", " the odd"]])}
    first = draw(st.fixed_dictionaries({"count": st.integers(1, 3)}, optional=optional))
    society = {"ann": first}
    if draw(st.booleans()):
        society["bob"] = draw(st.fixed_dictionaries({}, optional=optional | {"adapter": kinds(["first", "second"])}))
    return society
