"""Options without effect: each kind is found, at its place, with a remedy; and nothing that matters is called so."""

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
    """A phase `three` with these fields."""
    return lambda scenario: scenario["phases"].append(copy.deepcopy({"name": "three", **fields}))


def only(**fields: Any) -> Change:
    """This phase alone."""
    return put("phases", [{"name": "three", **fields}])


HELPER = [put("roles.helper", {"prompt": LOOP}), put("agents.h", {"role": "helper"}), put("agents.a.role", "solver")]
ALONE = [put("phases.one.agents", ["a"]), put("phases.two.agents", ["a"])]
CONFIDENT = put("roles.solver.confidence", "stated")
GREEDY = put("sampling.*", {"temperature": 0})
LLAMA = put("backends.only", {"kind": "llama_cpp"})
TRAIN = {"learners": {"l": {"phases": ["two"]}}, "iterations": 2}
HF = put("backends.only", {"kind": "hf"})
EDGE: list[Any] = ["a-1", "a-2"]

FOUND: list[tuple[str, list[Change], str]] = [
    # graphs and edges
    ("phases.three.topology", [phase(topology="complete", agents=["a-1"])], "one agent speaks"),
    ("phases.three.topology", [phase(topology={"kind": "groups", "size": 1})], "no edge over these 4 agents"),
    ("phases.three.topology", [phase(topology={"kind": "erdos_renyi", "p": 0})], "no edge over these 4 agents"),
    ("phases.three.topology", [only(topology="complete")], "no earlier turns to read"),
    ("phases.three.within", [phase(within="dag_mesh", agents=["a-1"])], "one agent speaks"),
    ("phases.three.reads.0", [*HELPER, *ALONE, phase(agents=["a"], reads=["h"])], "nothing to read"),
    ("phases.two.topology.seed", [put("phases.two.topology", {"kind": "erdos_renyi", "p": 1, "seed": 3})], "one such"),
    ("phases.two.topology.random",
     [put("phases.two.topology", {"kind": "k_regular", "k": 3, "random": True})], "only one such graph"),
    ("phases.three.schedule", [phase(schedule="sequential")], "no agent reads another speaker"),
    ("phases.three.schedule", [phase(schedule="topological")], "no agent reads another speaker"),
    ("phases.three.schedule", [*HELPER, phase(schedule="moderated", moderator="h", agents=["a-1"])],
     "no choice: only one agent speaks"),
    ("phases.three.order", [phase(order="reversed")], "no reader has two senders"),
    ("phases.three.order", [phase(order="shuffled", topology={"kind": "ring", "directed": True})], "no reader has two"),
    ("phases.three.speak", [only(speak="heard", topology={"kind": "chain", "directed": True}, schedule="topological")],
     "speak for the first time"),
    ("phases.two.speak", [put("phases.two.speak", "heard")], "always a message to read"),
    ("phases.three.speak", [phase(speak="heard", rounds=2)], "no agent reads another"),
    ("phases.three.edges", [phase(edges={"show": "answer"})], "no agent reads another"),
    ("phases.two.edges.window", [put("phases.two.edges", {"show": "nothing", "window": 2})], "show nothing"),
    ("phases.two.edges.anonymous", [put("phases.two.edges", {"show": "nothing", "anonymous": True})], "show nothing"),
    ("phases.two.edges.window", [put("phases.two.edges", {"window": 9})], "at most 3 turns"),
    ("phases.three.edges.window", [only(topology="complete", rounds=2, edges={"window": 2})], "at most one turn"),
    ("phases.two.edges.anonymous", [put("phases.two.edges", {"anonymous": True}), put("roles.solver.prompt", LOOP)],
     "no prompt of a reader shows `sender`"),
    ("phases.two.edges.show", [put("phases.two.edges", {"show": "answer"}),
     put("phases.two.topology", {"kind": "edges", "edges": [[*EDGE, {"show": "full"}]]})], "every edge overrides it"),
    ("phases.two.topology.edges.0.2.window",
     [put("phases.two.topology", {"kind": "edges", "edges": [[*EDGE, {"window": 8}]]})], "at most 3 turns"),
    ("phases.two.cap", [put("phases.two.cap", 3)], "at most 3 messages arrive"),
    ("phases.two.summarizer", [*HELPER, put("phases.two.summarizer", "h")], "no edge shows a summary"),
    # prompts
    ("roles.solver.prompt", [put("roles.solver.prompt", "{{ question }}")], "does not show `heard`"),
    ("roles.solver.prompt", [put("roles.solver.prompt", "{% if summary %}{{ summary }}{% endif %}")], "`heard`"),
    ("roles.solver.prompt", [*HELPER, put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"})],
     "does not show `summary`"),
    ("roles.helper.prompt", [*HELPER, put("roles.helper.prompt", "x"), put("roles.solver.prompt", "{{ summary }}"),
     put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"})], "does not show `heard`"),
    ("roles.helper.prompt", [*HELPER, put("roles.helper.prompt", "x"),
     put("phases.two.controllers", [{"kind": "prune", "ranker": "h", "keep": 2}])], "does not show `heard`"),
    ("roles.helper.prompt", [*HELPER, put("roles.helper.prompt", "x"), phase(schedule="moderated", moderator="h")],
     "does not show `heard`"),
    ("roles.solver", [put("roles.solver.prompt", LOOP + "{{ summary }}")], "no edge shows one"),
    ("roles.solver", [put("roles.solver.prompt", LOOP + "{{ persona }}")], "none of its agents has one"),
    ("roles.solver", [only(), put("roles.solver.prompt", "{{ candidates }}")], "none in the first phase"),
    # gates
    ("phases.two.edges.gate.0", [put("phases.two.edges", {"gate": ["confident"]})], "nobody is ever read"),
    ("phases.two.topology.edges.0.2.gate.0",
     [put("phases.two.topology", {"kind": "edges", "edges": [[*EDGE, {"gate": ["confident"]}]]})],
     "nobody is ever read"),
    ("phases.two.edges.gate.0", [*HELPER, CONFIDENT, put("phases.one.agents", ["a", "h"]),
     put("phases.two.*", {"agents": ["a", "h"], "edges": {"gate": ["confident"]}})], "is never passed by 'h'"),
    ("phases.three.edges.gate.0", [*HELPER, *ALONE, phase(agents=["h"], reads=["a"], edges={"gate": ["differs"]})],
     "no reader has said anything"),
    ("phases.three.edges.gate.0", [*HELPER, *ALONE, phase(agents=["h"], reads=["a"], edges={"gate": ["similarity"]})],
     "no reader has said anything"),
    ("phases.two.edges.gate", [put("phases.two.edges", {"show": "nothing", "gate": ["differs"]})], "show nothing"),
    # stop rules
    ("phases.one.stop.0", [put("phases.one.stop", ["consensus"])], "one round"),
    ("phases.one.stop.0", [put("phases.one.stop", [{"kind": "budget", "turns": 3}])], "one round"),
    ("phases.two.stop.0.share", [put("phases.two.stop", [{"kind": "consensus", "share": 0.25}])], "a single readable"),
    ("phases.three.stop.0", [phase(agents=["a-1"], rounds=2, stop=["consensus"])], "agrees with itself"),
    ("phases.three.stop.0", [*HELPER, only(schedule="moderated", moderator="h", topology="complete", rounds=3,
     stop=["consensus"])], "only one has spoken"),
    ("phases.two.stop.0.patience", [put("phases.two.stop", [{"kind": "stability", "patience": 2}])], "needs 3 rounds"),
    ("phases.three.stop.0", [phase(rounds=2, stop=["stability"])], "needs 2 rounds"),
    ("phases.two.stop.0.distance", [put("phases.two.stop", [{"kind": "stability", "distance": 1.0}])], "no move"),
    ("phases.two.stop.0.turns", [put("phases.two.stop", [{"kind": "budget", "turns": 13}])], "at most 12 turns"),
    ("phases.two.stop.0.turns", [put("phases.two.stop", [{"kind": "budget", "turns": 8}])], "has 8 turns by then"),
    ("phases.two.stop.0.tokens", [put("phases.two.stop", [{"kind": "budget", "tokens": 9999}])],
     "at most 3,072 tokens"),
    ("phases.two.stop.0.agent", [*HELPER, put("phases.two.agents", ["a"]),
     put("phases.two.stop", [{"kind": "verdict", "agent": "h"}]), phase(agents=["h"], reads=["a"])],
     "does not speak in this phase"),
    ("phases.two.stop.0.1.patience",
     [put("phases.two.stop", [["consensus", {"kind": "stability", "patience": 5}]])], "needs 6 rounds"),
    # controllers
    ("phases.two.controllers.0", [put("phases.two.controllers", ["resample"])], "same graph"),
    ("phases.two.controllers.0", [put("phases.two.controllers", [{"kind": "drop", "p": 0.5}, "resample"]),
     put("phases.two.topology", {"kind": "erdos_renyi", "p": 0.5})], "draws the graph anew"),
    ("phases.two.controllers.0.p", [put("phases.two.controllers", [{"kind": "drop", "p": 0.0}])], "leaves out nothing"),
    ("phases.two.controllers.0.after", [*HELPER,
     put("phases.two.controllers", [{"kind": "prune", "ranker": "h", "keep": 2, "after": 3}])],
     "no round after round 3"),
    ("phases.two.controllers.0.keep", [*HELPER,
     put("phases.two.controllers", [{"kind": "prune", "ranker": "h", "keep": 4}])], "4 speak in this phase"),
    ("phases.three.controllers.0", [*HELPER, phase(schedule="moderated", moderator="h", topology="complete", rounds=2,
     controllers=[{"kind": "drop", "p": 0.5}])], "a moderated phase keeps its graph"),
    ("phases.three.moderator", [*HELPER, phase(moderator="h")], "the schedule is not moderated"),
    # decisions
    ("decision", [put("decision", "weighted")], "no voter has a confidence"),
    ("decision.floor", [CONFIDENT, put("decision",
     {"kind": "weighted", "floor": 0.5, "steps": [[0.2, 0.1], [0.5, 1.0]]})], "out of reach"),
    ("decision", [only(), put("decision", "trajectory")], "no move to score"),
    ("decision", [only(), put("decision", "borda")], "no candidates"),
    ("decision", [only(rounds=2), put("decision", "approval")], "no candidates"),
    ("decision", [put("decision", "ranked")], "shows no `candidates`"),
    ("decision.voters", [*HELPER, phase(agents=["h"], reads=["a"]),
     put("decision", {"kind": "borda", "voters": ["a"]})], "no voter speaks in the last phase"),
    ("decision.voters.0", [*HELPER, put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"}),
     put("roles.solver.prompt", "{{ summary }}"), put("decision", {"kind": "majority", "voters": ["h", "a"]})],
     "'h' never answers"),
    ("decision.agent", [*HELPER, put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"}),
     put("roles.solver.prompt", "{{ summary }}"), put("decision", {"kind": "judge", "agent": "h"})],
     "'h' never answers"),
    ("decision.ties", [put("decision", {"kind": "judge", "agent": "a-1", "ties": "first"})], "one agent decides"),
    ("decision.voters", [put("decision", {"kind": "aggregator", "agent": "a-1", "voters": ["a"]})],
     "one agent decides"),
    ("decision.ties", [put("decision", {"kind": "unanimity", "ties": "random"})], "there is no tie"),
    ("decision.ties", [put("decision", {"kind": "supermajority", "ties": "first"})], "more than half"),
    # settings of several levels
    ("sampling.top_k", [GREEDY, put("sampling.top_k", 40)], "at temperature 0"),
    ("roles.solver.sampling.top_p", [GREEDY, put("roles.solver.sampling", {"top_p": 0.5})], "at temperature 0"),
    ("agents.a.sampling.min_p", [put("agents.a.sampling", {"min_p": 0.5, "temperature": 0})], "at temperature 0"),
    ("sampling.temperature", [put("sampling.*", {"temperature": 1}), put("roles.solver.sampling", {"temperature": 2})],
     "a lower level overrides it"),
    ("roles.solver.sampling.max_tokens", [put("roles.solver.sampling", {"max_tokens": 9}),
     put("agents.a.sampling", {"max_tokens": 8})], "a lower level overrides it"),
    ("agents.a.role", [*HELPER, put("phases.one.*", {"agents": ["a", "h"], "bind": {"a": {"role": "helper"}}}),
     put("phases.two.*", {"agents": ["a", "h"], "bind": {"a": {"role": "helper"}}})], "a lower level overrides it"),
    ("phases.two.bind.a.persona", [put("roles.solver.prompt", LOOP + "{{ persona }}"), put("phases.two.bind",
     {"a": {"persona": "p"}, **{f"a-{i}": {"persona": str(i)} for i in range(1, 5)}})], "a lower level overrides it"),
    ("phases.two.bind.a", [put("phases.two.bind", {"a": {}})], "it is empty"),
    ("phases.two.bind.a.role", [*HELPER, put("phases.two.bind", {"a": {"role": "solver"}})], "the role without"),
    ("phases.two.bind.a-2", [put("phases.two.agents", ["a-1"]), put("phases.two.bind", {"a-2": {"persona": "x"}})],
     "does not speak in this phase"),
    # roles and agents
    ("agents.a.persona", [put("agents.a.persona", "calm")], "no prompt of its roles shows `persona`"),
    ("agents.a.persona.4", [put("roles.solver.prompt", LOOP + "{{ persona }}"), put("agents.a.persona", list("pqrst"))],
     "the group has 4 agents"),
    ("roles.solver.memory", [put("roles.solver.memory", 3)], "at most 3 earlier turns"),
    ("roles.solver.memory", [only(), put("roles.solver.memory", 0)], "no earlier turn"),
    ("roles.helper.memory", [*HELPER, put("roles.helper.memory", 1), put("roles.solver.prompt", "{{ summary }}"),
     put("phases.two.*", {"edges": {"show": "summary"}, "summarizer": "h"})], "no earlier turn"),
    ("roles.solver.confidence", [CONFIDENT], "no gate, decision or prompt uses confidences"),
    ("roles.helper.choices", [*HELPER, put("roles.helper.choices", ["x", "y"]),
     phase(schedule="moderated", moderator="h", topology="complete")], "a moderator chooses among the speakers"),
    ("roles.spare", [*HELPER, put("roles.spare", {"prompt": "x"})], "is not used by any agent"),
    ("backends.spare", [put("backends.spare", {"kind": "scripted"}), put("agents.a.backend", "only")], "is not used"),
    ("agents.h", [*HELPER, put("phases.one.agents", ["a"]), put("phases.two.agents", ["a"])], "never speaks"),
    ("samples", [LLAMA, GREEDY, put("samples", 3)], "repeats identical debates"),
    ("agents.a.count", [LLAMA, GREEDY, only(), put("roles.solver.prompt", "{{ question }}")], "identical replies"),
    # task, backends, training
    ("task.shuffle", [put("task.shuffle", True)], "random order"),
    ("task.answer.tolerance", [put("task.answer", {"equal": "exact", "tolerance": 0.1})], "compared as `exact`"),
    ("task.answer.tolerance", [put("task", {"kind": "capitals", "answer": {"tolerance": 0.1}})], "compared as `exact`"),
    ("task.answer.extract.0", [put("task.answer", {"extract": ["candidates", "line"]})], "no list of possible answers"),
    ("task.answer.extract.1", [put("task.answer", {"extract": ["boxed", "boxed"]})], "contains it already"),
    ("task.gold_extract", [put("task", {"kind": "jsonl", "path": "q.jsonl", "choices": "c", "gold_extract": ["hash"]})],
     "an index, a letter or an option"),
    ("task.choices", [put("task", {"kind": "jsonl", "path": "q.jsonl", "choices": "c", "question": "{q}"})],
     "is shown to nobody"),
    ("backends.only.rules.1", [put("backends.only.rules", [{"say": "x"}, {"say": "y"}])], "is never tried"),
    ("backends.only.rules.0.calculate.wrong",
     [put("backends.only.rules", [{"calculate": {"skill": 1, "wrong": "spread"}}])],
     "no answer is wrong"),
    ("train.start", [HF, put("train", {**TRAIN, "iterations": 1, "start": "base"})], "one iteration"),
    ("train.evaluate", [HF, put("train", {**TRAIN, "iterations": 1, "evaluate": 2})], "one iteration"),
    ("train.evaluate.1", [HF, put("train", {**TRAIN, "evaluate": [1, 5]})], "there are 2 iterations"),
    ("train.quorum", [HF, put("train", {**TRAIN, "label": "gold", "quorum": 3})], "the label is the true answer"),
    ("train.majority", [HF, put("train", {**TRAIN, "label": "gold", "majority": 0.6})], "the label is the true answer"),
    ("train.questions", [HF, put("train", {**TRAIN, "questions": 9, "task": {"kind": "capitals"}})], "`limit` of"),
    ("train.learners.l.data", [HF, put("train.learners.l", {"phases": ["two"], "adapter": "shared", "data": "own"})],
     "a shared adapter"),
    ("train.learners.l.select", [HF, put("train", {"learners": {"l": {"phases": ["one"], "select": "critic"}}})],
     "no corrections"),
    ("train.learners.l.agents.0", [HF, put("train.learners.l", {"phases": ["two"], "agents": ["a-9"]})],
     "there is no agent 'a-9'"),
    ("train.learners.l.agents.1", [HF, *HELPER, put("phases.one.agents", ["a"]), phase(agents=["h"], reads=["a"]),
     put("phases.two.agents", ["a"]), put("decision", {"kind": "majority", "voters": ["a"]}),
     put("train", {"learners": {"l": {"phases": ["two"], "agents": ["a", "h"]}}})],
     "'h' does not speak in 'two'"),
]  # fmt: skip
ERRORS = ("there is no agent", "nobody is ever read", "no candidates", "no voter speaks in the last phase")


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
