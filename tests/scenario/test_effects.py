"""Options without effect: each kind is reported at its place with a remedy, and no option with an effect is
reported."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from society.cli import main
from society.core.problems import Problem
from society.scenario import check_scenario

ROOT = Path(__file__).parents[2]
SHIPPED = sorted((ROOT / "scenarios").rglob("*.yaml"))
BASE: dict[str, Any] = {
    "version": 1,
    "name": "base",
    "task": {"kind": "arithmetic", "limit": 4},
    "backends": {"only": {"kind": "scripted", "rules": [{"say": "It is 4."}]}},
    "roles": {"solver": {"prompt": "{{ question }} {% for m in heard %}{{ m.sender }}: {{ m.text }} {% endfor %}"}},
    "agents": {"a": {"count": 4}},
    "phases": [
        {"name": "one"},
        {"name": "two", "topology": "complete", "rounds": 3},
    ],
}
Change = Callable[[dict[str, Any]], object]
LOOP = "{% for m in heard %}{{ m.text }}{% endfor %}"
NUMBERED = "{{ question }} " + LOOP + "{% for c in candidates %}{{ LETTER }}. {{ c.answer }} {% endfor %}"


def problems(folder: Path, scenario: dict[str, Any]) -> list[Problem]:
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(scenario, sort_keys=False))
    return check_scenario(path, allow=[folder])


def put(path: str, value: Any) -> Change:
    """Set the value at a path such as `phases.two.cap`; a path that ends in `*` merges a mapping."""

    def change(scenario: dict[str, Any]) -> None:
        *steps, last = path.split(".")
        node: Any = scenario
        for step in steps:
            if isinstance(node, list):
                node = (
                    next((item for item in node if isinstance(item, dict) and item.get("name") == step), None)
                    or (node[int(step)])
                )
            else:
                node = node.setdefault(step, {})
        if last == "*":
            node.update(copy.deepcopy(value))
        else:
            node[last] = copy.deepcopy(value)

    return change


def phase(**fields: Any) -> Change:
    """Return a phase `three` with these fields."""
    return lambda scenario: scenario["phases"].append(copy.deepcopy({"name": "three", **fields}))


def only(**fields: Any) -> Change:
    """Return a change to this phase alone."""
    return put("phases", [{"name": "three", **fields}])


def pairs(**learner: Any) -> dict[str, Any]:
    """Return a training with pairs."""
    return {"learners": {"l": {"phases": ["one"], "objective": "dpo", **learner}}}


def case(path: str, says: str, *changes: Change) -> tuple[str, list[Change], str]:
    """Return a case: after these changes of the base, the warning at `path` contains `says`."""
    return path, list(changes), says


HELPER = [put("roles.helper", {"prompt": LOOP}), put("agents.h", {"role": "helper"}), put("agents.a.role", "solver")]
ALONE = [put("phases.one.agents", ["a"]), put("phases.two.agents", ["a"])]
CONFIDENT = put("roles.solver.confidence", "stated")
GREEDY = put("sampling.*", {"temperature": 0})
LLAMA = put("backends.only", {"kind": "llama_cpp"})
TRAIN = {"learners": {"l": {"phases": ["two"]}}, "iterations": 2}
HF = put("backends.only", {"kind": "hf"})
EDGE: list[Any] = ["a-1", "a-2"]
MATRIX = {"kind": "matrix", "rows": [[0, 2, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]]}
GRADED = [
    put("roles.grader", {"prompt": "Is {{ judged.answer }} right? RIGHT or WRONG?"}),
    put("agents.g", {"role": "grader"}),
    put("agents.a.role", "solver"),
    put("task.answer", {"kind": "judge", "agent": "g", "extract": ["text"]}),
]

FOUND: list[tuple[str, list[Change], str]] = [
    # graphs and edges
    case("phases.three.topology", "one agent speaks", phase(topology="complete", agents=["a-1"])),
    case("phases.three.topology", "no edge over these 4 agents", phase(topology={"kind": "groups", "size": 1})),
    case("phases.three.topology", "no edge over these 4 agents", phase(topology={"kind": "erdos_renyi", "p": 0})),
    case("phases.three.topology", "no earlier turns to read in the only round; set `r", only(topology="complete")),
    case("phases.three.topology", "set `schedule: topological`", only(topology={"kind": "layered", "layers": [2, 2]})),
    case("phases.three.exchanges", "no agent speaks on edges", phase(topology="complete", exchanges=2)),
    case("phases.one.hear_own", "no speaker has an earlier turn", put("phases.one.hear_own", True)),
    case("phases.three.hear_own", "shows nothing of it", phase(hear_own=True, edges={"show": "nothing"})),
    case(
        "phases.two.stop.0",
        "none of these agents has a confidence",
        put("phases.two.stop", [{"kind": "confident", "ends": "debate"}]),
    ),
    case("phases.two.stop.0", "none of these agents has a confidence", put("phases.two.stop", ["confident"])),
    case("phases.three.when.0", "never holds: none of these agents has", phase(when=["confident"])),
    case(
        "phases.three.controllers.0",
        "before the second round",
        *HELPER,
        phase(agents=["a"], topology="complete", controllers=[{"kind": "retain", "filter": "h"}]),
    ),
    case(
        "phases.two.controllers.0.most",
        "4 speak in this phase",
        *HELPER,
        put("phases.two.controllers", [{"kind": "retain", "filter": "h", "most": 4}]),
    ),
    case("phases.three.within", "one agent speaks", phase(within="dag_mesh", agents=["a-1"])),
    case("phases.three.reads.0", "others may read", *HELPER, *ALONE, phase(agents=["a"], reads=["h"])),
    case(
        "phases.two.topology.seed", "one such", put("phases.two.topology", {"kind": "erdos_renyi", "p": 1, "seed": 3})
    ),
    case(
        "phases.two.topology.random",
        "only one such graph",
        put("phases.two.topology", {"kind": "k_regular", "k": 3, "random": True}),
    ),
    case("phases.three.schedule", "no agent reads another speaker", phase(schedule="sequential")),
    case("phases.three.schedule", "no agent reads another speaker", phase(schedule="topological")),
    case(
        "phases.three.schedule",
        "no choice: only one agent speaks",
        *HELPER,
        phase(schedule="moderated", moderator="h", agents=["a-1"]),
    ),
    case("phases.three.order", "no reader has two senders", phase(order="reversed")),
    case(
        "phases.three.order", "no reader has two", phase(order="shuffled", topology={"kind": "ring", "directed": True})
    ),
    case(
        "phases.three.speak",
        "speak for the first time",
        only(speak="heard", topology={"kind": "chain", "directed": True}, schedule="topological"),
    ),
    case("phases.two.speak", "always a message to read", put("phases.two.speak", "heard")),
    case("phases.three.speak", "no agent reads another", phase(speak="heard", rounds=2)),
    case("phases.three.edges", "no agent reads another", phase(edges={"show": "answer"})),
    case("phases.two.edges.window", "show nothing", put("phases.two.edges", {"show": "nothing", "window": 2})),
    case("phases.two.edges.anonymous", "show nothing", put("phases.two.edges", {"show": "nothing", "anonymous": True})),
    case("phases.two.edges.window", "at most 3 turns", put("phases.two.edges", {"window": 9})),
    case("phases.three.edges.window", "at most one turn", only(topology="complete", rounds=2, edges={"window": 2})),
    case(
        "phases.two.edges.anonymous",
        "no prompt of a reader shows `sender`",
        put("phases.two.edges", {"anonymous": True}),
        put("roles.solver.prompt", LOOP),
    ),
    case(
        "phases.two.edges.show",
        "every edge overrides it",
        put("phases.two.edges", {"show": "answer"}),
        put("phases.two.topology", {"kind": "edges", "edges": [[*EDGE, {"show": "full"}]]}),
    ),
    case(
        "phases.two.topology.edges.0.2.window",
        "at most 3 turns",
        put("phases.two.topology", {"kind": "edges", "edges": [[*EDGE, {"window": 8}]]}),
    ),
    case("phases.two.cap", "at most 3 messages arrive", put("phases.two.cap", 3)),
    case("phases.two.summarizer", "no edge shows a summary", *HELPER, put("phases.two.summarizer", "h")),
    # prompts
    case("roles.solver.prompt", "does not show `heard`", put("roles.solver.prompt", "{{ question }}")),
    case("roles.solver.prompt", "`heard`", put("roles.solver.prompt", "{% if summary %}{{ summary }}{% endif %}")),
    case(
        "roles.solver.prompt",
        "does not show `summary`",
        *HELPER,
        put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"}),
    ),
    case(
        "roles.helper.prompt",
        "does not show `heard`",
        *HELPER,
        put("roles.helper.prompt", "x"),
        put("roles.solver.prompt", "{{ summary }}"),
        put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"}),
    ),
    case(
        "roles.helper.prompt",
        "does not show `heard`",
        *HELPER,
        put("roles.helper.prompt", "x"),
        put("phases.two.controllers", [{"kind": "prune", "ranker": "h", "keep": 2}]),
    ),
    case(
        "roles.helper.prompt",
        "does not show `heard`",
        *HELPER,
        put("roles.helper.prompt", "x"),
        phase(schedule="moderated", moderator="h"),
    ),
    case("roles.solver.prompt", "no edge shows one", put("roles.solver.prompt", LOOP + "{{ summary }}")),
    case("roles", "never show the question", put("roles.solver.prompt", LOOP)),
    case("roles.solver.prompt", "none of its agents has one", put("roles.solver.prompt", LOOP + "{{ persona }}")),
    case("roles.solver.prompt", "add an earlier phase", only(), put("roles.solver.prompt", "{{ candidates }}")),
    # gates
    case("phases.two.edges.gate.0", "no message passes", put("phases.two.edges", {"gate": ["confident"]})),
    case(
        "phases.two.topology.edges.0.2.gate.0",
        "no message passes",
        put("phases.two.topology", {"kind": "edges", "edges": [[*EDGE, {"gate": ["confident"]}]]}),
    ),
    case(
        "phases.two.edges.gate.0",
        "is never passed by 'h'",
        *HELPER,
        CONFIDENT,
        put("phases.one.agents", ["a", "h"]),
        put("phases.two.*", {"agents": ["a", "h"], "edges": {"gate": ["confident"]}}),
    ),
    case(
        "phases.three.edges.gate.0",
        "no reader has spoken",
        *HELPER,
        *ALONE,
        phase(agents=["h"], reads=["a"], edges={"gate": ["differs"]}),
    ),
    case(
        "phases.three.edges.gate.0",
        "no reader has spoken",
        *HELPER,
        *ALONE,
        phase(agents=["h"], reads=["a"], edges={"gate": ["similarity"]}),
    ),
    case("phases.two.edges.gate", "show nothing", put("phases.two.edges", {"show": "nothing", "gate": ["differs"]})),
    # stop rules
    case("phases.one.stop.0", "one round", put("phases.one.stop", ["consensus"])),
    case("phases.one.stop.0", "one round", put("phases.one.stop", [{"kind": "budget", "turns": 3}])),
    case(
        "phases.two.stop.0.share", "a single readable", put("phases.two.stop", [{"kind": "consensus", "share": 0.25}])
    ),
    case("phases.three.stop.0", "agrees with itself", phase(agents=["a-1"], rounds=2, stop=["consensus"])),
    case(
        "phases.three.stop.0",
        "only one has spoken",
        *HELPER,
        only(schedule="moderated", moderator="h", topology="complete", rounds=3, stop=["consensus"]),
    ),
    case(
        "phases.two.stop.0.patience", "needs 3 rounds", put("phases.two.stop", [{"kind": "stability", "patience": 2}])
    ),
    case("phases.three.stop.0", "needs 2 rounds", phase(rounds=2, stop=["stability"])),
    case(
        "phases.two.stop.0.distance",
        "counts every change",
        put("phases.two.stop", [{"kind": "stability", "distance": 1.0}]),
    ),
    case("phases.two.stop.0.turns", "at most 12 turns", put("phases.two.stop", [{"kind": "budget", "turns": 13}])),
    case("phases.two.stop.0.turns", "has 8 turns by then", put("phases.two.stop", [{"kind": "budget", "turns": 8}])),
    case(
        "phases.two.stop.0.tokens", "at most 3,072 tokens", put("phases.two.stop", [{"kind": "budget", "tokens": 9999}])
    ),
    case(
        "phases.two.stop.0.agent",
        "does not speak in this phase",
        *HELPER,
        put("phases.two.agents", ["a"]),
        put("phases.two.stop", [{"kind": "verdict", "agent": "h"}]),
        phase(agents=["h"], reads=["a"]),
    ),
    case(
        "phases.two.stop.0.1.patience",
        "needs 6 rounds",
        put("phases.two.stop", [["consensus", {"kind": "stability", "patience": 5}]]),
    ),
    # controllers
    case("phases.two.controllers.0", "same graph", put("phases.two.controllers", ["resample"])),
    case(
        "phases.two.controllers.0",
        "draws the graph anew",
        put("phases.two.controllers", [{"kind": "drop", "p": 0.5}, "resample"]),
        put("phases.two.topology", {"kind": "erdos_renyi", "p": 0.5}),
    ),
    case(
        "phases.two.controllers.0.p", "leaves out nothing", put("phases.two.controllers", [{"kind": "drop", "p": 0.0}])
    ),
    case(
        "phases.two.controllers.0.after",
        "no round after round 3",
        *HELPER,
        put("phases.two.controllers", [{"kind": "prune", "ranker": "h", "keep": 2, "after": 3}]),
    ),
    case(
        "phases.two.controllers.0.keep",
        "4 speak in this phase",
        *HELPER,
        put("phases.two.controllers", [{"kind": "prune", "ranker": "h", "keep": 4}]),
    ),
    case(
        "phases.three.controllers.0",
        "a moderated phase keeps its graph",
        *HELPER,
        phase(
            schedule="moderated", moderator="h", topology="complete", rounds=2, controllers=[{"kind": "drop", "p": 0.5}]
        ),
    ),
    case("phases.three.moderator", "the schedule is not moderated", *HELPER, phase(moderator="h")),
    # decisions
    case("decision", "no voter has a confidence", put("decision", "weighted")),
    case(
        "phases.two.controllers.0.comparisons",
        "confidences decide",
        CONFIDENT,
        put("phases.two.controllers", [{"kind": "bracket", "comparisons": 3}]),
    ),
    case("phases.two.stop.0", "use it in `when` of a phase's `bind`", put("phases.two.stop", ["dissent"])),
    # weights of edges
    case("phases.two.edges.weight", "no vote uses it", put("phases.two.edges", {"weight": 2})),
    case(
        "phases.two.edges.weight",
        "no vote uses it",
        put("phases.two.edges", {"weight": 2}),
        CONFIDENT,
        put("decision", "weighted"),
    ),
    case(
        "phases.two.topology.edges.0.2.weight",
        "no vote uses it",
        put("phases.two.topology", {"kind": "edges", "edges": [[*EDGE, {"weight": 2}]]}),
    ),
    case("phases.two.topology", "has weights of edges without effect", put("phases.two.topology", MATRIX)),
    case(
        "phases.two.topology", "has weights of edges", put("topologies", {"m": MATRIX}), put("phases.two.topology", "m")
    ),
    case(
        "phases.two.edges.weight",
        "of the last phase with edges",
        put("phases.two.edges", {"weight": 2}),
        put("decision", {"kind": "weighted", "by": "edges"}),
        phase(topology="complete"),
    ),
    # votes over whole replies
    case("task.answer.extract", "hardly ever are", *GRADED),
    case("task.answer.extract", "hardly ever are", *GRADED, put("decision", {"kind": "supermajority"})),
    case(
        "decision.floor",
        "out of reach",
        CONFIDENT,
        put("decision", {"kind": "weighted", "floor": 0.5, "steps": [[0.2, 0.1], [0.5, 1.0]]}),
    ),
    case("decision", "no move to score", only(), put("decision", "trajectory")),
    case("decision", "no candidates", only(), put("decision", "borda")),
    case("decision", "no candidates", only(rounds=2), put("decision", "approval")),
    case("roles.solver.prompt", "shows no `candidates`", put("decision", "ranked")),
    case(
        "roles.solver.prompt",
        "shows the question only in a loop",
        put("roles.solver.prompt", "{% for m in heard %}{{ m.text }} {{ question }} {% endfor %}"),
    ),
    case(
        "roles.solver.prompt",
        "does not show `letter`",
        put("decision", "borda"),
        put("roles.solver.prompt", NUMBERED.replace("LETTER", "loop.index")),
    ),
    case(
        "decision.voters",
        "no voter speaks in the last phase",
        *HELPER,
        phase(agents=["h"], reads=["a"]),
        put("decision", {"kind": "borda", "voters": ["a"]}),
    ),
    case(
        "decision.voters.0",
        "'h' never answers",
        *HELPER,
        put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"}),
        put("roles.solver.prompt", "{{ summary }}"),
        put("decision", {"kind": "majority", "voters": ["h", "a"]}),
    ),
    case(
        "decision.agent",
        "'h' never answers",
        *HELPER,
        put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"}),
        put("roles.solver.prompt", "{{ summary }}"),
        put("decision", {"kind": "judge", "agent": "h"}),
    ),
    case(
        "decision.voters.0",
        "'h' never answers",
        *HELPER,
        put("roles.solver.prompt", "{{ question }}" + LOOP),
        put("phases.two.*", {"agents": ["a"], "on_edges": "h"}),
        put("phases.one.agents", ["a"]),
        put("decision", {"kind": "majority", "voters": ["h", "a"]}),
    ),
    case(
        "decision.agent",
        "'h' never answers",
        *HELPER,
        put("phases.two.*", {"agents": ["a"], "controllers": [{"kind": "bracket", "judge": "h"}]}),
        put("phases.one.agents", ["a"]),
        put("decision", {"kind": "judge", "agent": "h"}),
    ),
    case(
        "phases.three.reads.0",
        "no turn before this phase that others may read",
        *HELPER,
        put("phases.two.*", {"agents": ["a"], "on_edges": "h"}),
        put("phases.one.agents", ["a"]),
        phase(agents=["a"], reads=["h"]),
    ),
    case(
        "phases.two.topology.redraw",
        "drawn for each sample, but there is one",
        put("phases.two.topology", {"kind": "erdos_renyi", "p": 0.5, "redraw": ["sample"]}),
    ),
    case(
        "phases.three.topology.redraw",
        "drawn for each phase, but there is one",
        only(topology={"kind": "erdos_renyi", "p": 0.5, "redraw": ["phase"]}, rounds=2),
    ),
    case("decision.ties", "one agent decides", put("decision", {"kind": "judge", "agent": "a-1", "ties": "first"})),
    case(
        "decision.voters", "one agent decides", put("decision", {"kind": "aggregator", "agent": "a-1", "voters": ["a"]})
    ),
    case("decision.ties", "there is no tie", put("decision", {"kind": "unanimity", "ties": "random"})),
    case("decision.ties", "more than half", put("decision", {"kind": "supermajority", "ties": "first"})),
    # settings of several levels
    case("sampling.top_k", "at temperature 0", GREEDY, put("sampling.top_k", 40)),
    case("roles.solver.sampling.top_p", "at temperature 0", GREEDY, put("roles.solver.sampling", {"top_p": 0.5})),
    case("agents.a.sampling.min_p", "at temperature 0", put("agents.a.sampling", {"min_p": 0.5, "temperature": 0})),
    case(
        "sampling.temperature",
        "a lower level overrides it",
        put("sampling.*", {"temperature": 1}),
        put("roles.solver.sampling", {"temperature": 2}),
    ),
    case(
        "roles.solver.sampling.max_tokens",
        "a lower level overrides it",
        put("roles.solver.sampling", {"max_tokens": 9}),
        put("agents.a.sampling", {"max_tokens": 8}),
    ),
    case(
        "agents.a.role",
        "a lower level overrides it",
        *HELPER,
        put("phases.one.*", {"agents": ["a", "h"], "bind": {"a": {"role": "helper"}}}),
        put("phases.two.*", {"agents": ["a", "h"], "bind": {"a": {"role": "helper"}}}),
    ),
    case(
        "phases.two.bind.a.persona",
        "a lower level overrides it",
        put("roles.solver.prompt", LOOP + "{{ persona }}"),
        put("phases.two.bind", {"a": {"persona": "p"}, **{f"a-{i}": {"persona": str(i)} for i in range(1, 5)}}),
    ),
    case("phases.two.bind.a", "it is empty", put("phases.two.bind", {"a": {}})),
    case("phases.two.bind.a.role", "the role without", *HELPER, put("phases.two.bind", {"a": {"role": "solver"}})),
    case(
        "phases.two.bind.a-2",
        "does not speak in this phase",
        put("phases.two.agents", ["a-1"]),
        put("phases.two.bind", {"a-2": {"persona": "x"}}),
    ),
    # roles and agents
    case("agents.a.persona", "no prompt of its roles shows `persona`", put("agents.a.persona", "calm")),
    case(
        "agents.a.persona.4",
        "the group has 4 agents",
        put("roles.solver.prompt", LOOP + "{{ persona }}"),
        put("agents.a.persona", list("pqrst")),
    ),
    case("roles.solver.memory", "at most 3 earlier turns", put("roles.solver.memory", 3)),
    case("roles.solver.memory", "no earlier turn", only(), put("roles.solver.memory", 0)),
    case(
        "roles.helper.memory",
        "no earlier turn",
        *HELPER,
        put("roles.helper.memory", 1),
        put("roles.solver.prompt", "{{ summary }}"),
        put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"}),
    ),
    case("roles.solver.confidence", "no gate, decision or prompt uses confidences", CONFIDENT),
    case(
        "roles.helper.choices",
        "a moderator chooses among the speakers",
        *HELPER,
        put("roles.helper.choices", ["x", "y"]),
        phase(schedule="moderated", moderator="h", topology="complete"),
    ),
    case("roles.spare", "is not used by any agent", *HELPER, put("roles.spare", {"prompt": "x"})),
    case("backends.spare", "is not used", put("backends.spare", {"kind": "scripted"}), put("agents.a.backend", "only")),
    case("agents.h", "never speaks", *HELPER, put("phases.one.agents", ["a"]), put("phases.two.agents", ["a"])),
    case("samples", "repeats identical debates", LLAMA, GREEDY, put("samples", 3)),
    case("agents.a.count", "identical replies", LLAMA, GREEDY, only(), put("roles.solver.prompt", "{{ question }}")),
    # task, backends, training
    case("task.shuffle", "random order", put("task.shuffle", True)),
    case("task.answer.tolerance", "compared as `exact`", put("task.answer", {"equal": "exact", "tolerance": 0.1})),
    case(
        "task.answer.tolerance", "compared as `exact`", put("task", {"kind": "capitals", "answer": {"tolerance": 0.1}})
    ),
    case(
        "task.answer.extract.0", "no list of possible answers", put("task.answer", {"extract": ["candidates", "line"]})
    ),
    case("task.answer.extract.1", "contains it already", put("task.answer", {"extract": ["boxed", "boxed"]})),
    case(
        "task.gold_extract",
        "an index, a letter or an option",
        put("task", {"kind": "jsonl", "path": "q.jsonl", "choices": "c", "gold_extract": ["hash"]}),
    ),
    case(
        "task.choices",
        "is shown to nobody",
        put("task", {"kind": "jsonl", "path": "q.jsonl", "choices": "c", "question": "{q}"}),
    ),
    case("backends.only.rules.1", "is never tried", put("backends.only.rules", [{"say": "x"}, {"say": "y"}])),
    case(
        "backends.only.rules.0.calculate.wrong",
        "no answer is wrong",
        put("backends.only.rules", [{"calculate": {"skill": 1, "wrong": "spread"}}]),
    ),
    case("train.start", "one iteration", HF, put("train", {**TRAIN, "iterations": 1, "start": "base"})),
    case("train.evaluate", "one iteration", HF, put("train", {**TRAIN, "iterations": 1, "evaluate": 2})),
    case("train.evaluate.1", "there are 2 iterations", HF, put("train", {**TRAIN, "evaluate": [1, 5]})),
    case("train.guard.patience", "cannot act within 2", HF, put("train", {**TRAIN, "iterations": 2, "guard": {}})),
    case(
        "train.guard.patience",
        "cannot act within 3",
        HF,
        put("train", {**TRAIN, "iterations": 3, "guard": {"signal": "base"}}),
    ),
    case(
        "train.guard.signal",
        "measures the truth",
        HF,
        put("train", {**TRAIN, "iterations": 5, "label": "gold", "guard": {"then": "report"}}),
    ),
    case("train.quorum", "the label is the true answer", HF, put("train", {**TRAIN, "label": "gold", "quorum": 3})),
    case(
        "train.majority", "the label is the true answer", HF, put("train", {**TRAIN, "label": "gold", "majority": 0.6})
    ),
    case(
        "train.learners.l.select",
        "no corrections",
        HF,
        put("train", {"learners": {"l": {"phases": ["one", "two"], "select": "critic", "turn": "first"}}}),
    ),
    case(
        "train.learners.l.turn",
        "takes first answers as rows that stayed right",
        HF,
        put("train", {"learners": {"l": {"phases": ["one", "two"], "select": "critic", "turn": "every"}}}),
    ),
    case("train.learners.l.rows", "a pair counts as two", HF, put("train", pairs(rows=1))),
    case("train.learners.l.rows", "a pair counts as two", HF, put("train", {**pairs(rows=0.25), "questions": 4})),
    case("train.learners.l.select", "finds no pairs", HF, put("train", pairs(select="all"))),
    case(
        "train.learners.l.select", "finds no pairs: it selects every turn of", HF, put("train", pairs(select="success"))
    ),
    case("train.learners.l.select", "few pairs", HF, put("samples", 2), put("train", pairs(select="all"))),
    case("train.learners.l.select", "few pairs", HF, put("train", pairs(select="all", agents=["a-1"]))),
    case("train.learners.l.select", "no undesired replies:", HF, put("train", pairs(select=["all"], objective="kto"))),
    case("train.questions", "`limit` of", HF, put("train", {**TRAIN, "questions": 9, "task": {"kind": "capitals"}})),
    case(
        "train.learners.l.data",
        "a shared adapter",
        HF,
        put("train.learners.l", {"phases": ["two"], "adapter": "shared", "data": "own"}),
    ),
    case(
        "train.learners.l.select",
        "no corrections",
        HF,
        put("train", {"learners": {"l": {"phases": ["one"], "select": "critic"}}}),
    ),
    case(
        "train.learners.l.agents.0",
        "there is no agent 'a-9'",
        HF,
        put("train.learners.l", {"phases": ["two"], "agents": ["a-9"]}),
    ),
    case(
        "train.learners.l.agents.1",
        "'h' does not speak in 'two'",
        HF,
        *HELPER,
        put("phases.one.agents", ["a"]),
        phase(agents=["h"], reads=["a"]),
        put("phases.two.agents", ["a"]),
        put("decision", {"kind": "majority", "voters": ["a"]}),
        put("train", {"learners": {"l": {"phases": ["two"], "agents": ["a", "h"]}}}),
    ),
]
ERRORS = (
    "never holds: none of these agents has",
    "there is no agent",
    "no message passes",
    "no candidates",
    "no voter speaks in the last phase",
    "a pair counts as two",
    "finds no pairs",
)


@pytest.mark.parametrize(("path", "changes", "says"), FOUND, ids=[f"{path}-{i}" for i, (path, *_) in enumerate(FOUND)])
def test_each_option_without_effect_is_found_at_its_place(
    tmp_path: Path, path: str, changes: list[Change], says: str
) -> None:
    (tmp_path / "q.jsonl").write_text('{"q": "?", "question": "?", "c": ["x", "y"], "answer": 0}\n')
    scenario = copy.deepcopy(BASE)
    for change in changes:
        change(scenario)
    found = problems(tmp_path, scenario)
    fits = [problem for problem in found if problem.path == path and says in problem.message]
    assert fits, list(map(str, found))
    [problem] = fits
    error = any(part in says for part in ERRORS) or (path == "decision.agent" and "never answers" in says)
    assert problem.level == ("error" if error else "warning")
    assert problem.line > 0
    assert problem.column > 0
    assert "\n" not in str(problem)
    assert ";" in problem.message or "is not used" in problem.message or "never speaks" in problem.message
    assert [p for p in found if p.level == "error" and p not in fits] == []


def test_the_base_of_these_tests_is_without_warnings(tmp_path: Path) -> None:
    assert problems(tmp_path, BASE) == []


@pytest.mark.parametrize("path", SHIPPED, ids=[path.relative_to(ROOT).as_posix() for path in SHIPPED])
def test_shipped_scenarios_are_without_warnings(path: Path) -> None:
    assert list(map(str, check_scenario(path))) == []


def test_pairs_of_several_iterations_are_no_error(tmp_path: Path) -> None:
    scenario = copy.deepcopy(BASE)
    for change in (HF, put("train", pairs(select="success", accumulate=True))):
        change(scenario)
    assert not [problem for problem in problems(tmp_path, scenario) if "pairs" in problem.message]


def test_warnings_are_shown_by_check_and_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = copy.deepcopy(BASE)
    put("phases.two.cap", 3)(scenario)
    problems(tmp_path, scenario)
    path = str(tmp_path / "s.yaml")
    assert main(["check", path]) == 0
    said = capsys.readouterr()
    assert "warning: phases.two.cap: has no effect" in said.out
    assert "1 of 1 scenarios can be run" in said.err
    assert main(["run", path, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr()
    assert "warning: phases.two.cap: has no effect" in said.err
    assert "has no effect" not in said.out


def test_errors_come_before_warnings_about_effects(tmp_path: Path) -> None:
    scenario = copy.deepcopy(BASE)
    put("phases.two.cap", 3)(scenario)
    put("agents.a.role", "nobody")(scenario)
    assert [problem.path for problem in problems(tmp_path, scenario)] == ["agents.a.role"]


@pytest.mark.parametrize(
    "changes",
    [
        [put("phases.two.edges", {"weight": 2}), put("decision", {"kind": "weighted", "by": "edges"})],
        [
            put("phases.two.edges", {"weight": 2}),
            put("decision", {"kind": "weighted", "by": "edges"}),
            phase(),  # without edges: those of the second phase are the last ones
        ],
        [
            put("phases.two.topology", MATRIX),
            put("roles.solver.prompt", f"{{{{ question }}}} {LOOP} {{{{ heard[0].weight }}}}"),
        ],
        [put("phases.two.topology", {**MATRIX, "rows": [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0]]})],
        [*GRADED, put("decision", {"kind": "none"})],
        [*GRADED, put("roles.solver.choices", ["yes", "no"])],
        [*GRADED, put("task.answer.extract", ["line"])],
    ],
)
def test_weights_and_votes_with_an_effect_are_not_reported(tmp_path: Path, changes: list[Change]) -> None:
    scenario = copy.deepcopy(BASE)
    for change in changes:
        change(scenario)
    found = problems(tmp_path, scenario)
    assert not [p for p in found if p.level == "error" or "weight" in p.message or "whole reply" in p.message]


@pytest.mark.parametrize("letter", ["c.letter", "'ABCDEF'[loop.index0]", "loop.cycle('A', 'B')", "'%c' | format(65)"])
def test_ballots_may_write_their_own_letters(tmp_path: Path, letter: str) -> None:
    scenario = copy.deepcopy(BASE)
    for change in (put("decision", "borda"), put("roles.solver.prompt", NUMBERED.replace("LETTER", letter))):
        change(scenario)
    assert [str(problem) for problem in problems(tmp_path, scenario) if "letter" in problem.message] == []


@pytest.mark.parametrize("prompt", ["{{ question }}", "{% if round == 1 %}{{ question }}{% endif %}"])
def test_a_question_may_be_in_a_loop_over_messages_and_beside_it(tmp_path: Path, prompt: str) -> None:
    scenario = copy.deepcopy(BASE)
    put("roles.solver.prompt", prompt + "{% for m in heard %}{{ m.text }} on {{ question }}{% endfor %}")(scenario)
    assert [str(problem) for problem in problems(tmp_path, scenario) if "loop" in problem.message] == []
