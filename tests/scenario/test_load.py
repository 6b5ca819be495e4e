"""Loading of scenarios: values of YAML, `extends`, overrides, and problems with their places."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.scripted.backend import Scripted
from society.core.errors import InputError, ScenarioError
from society.scenario import Problem, check_scenario, load_scenario
from society.scenario.checks.variables import VARIABLES
from society.scenario.models.scenario import Scenario

BASE = """\
version: 1
name: base
task: {kind: arithmetic, limit: 4}
backends:
  only: {kind: scripted}
roles:
  solver:
    prompt: |
      {{ question }} {{ heard|length }}
agents:
  debater:
    count: 3
phases:
  - name: alone
  - name: debate
    topology: complete
    rounds: 2
"""
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str | bytes, name: str = "s.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def one(path: Path, *overrides: str) -> Problem:
    """Return the only problem of a file."""
    problems = check_scenario(path, overrides)
    assert len(problems) == 1, list(map(str, problems))
    return problems[0]


def place(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


# What YAML means


def test_a_scenario_loads(write: Write) -> None:
    scenario = load_scenario(write(BASE))
    assert scenario.agents["debater"].count == 3
    assert [phase.name for phase in scenario.phases] == ["alone", "debate"]
    assert scenario.phases[1].topology.kind == "complete"  # type: ignore[attr-defined]
    assert scenario.decision.voters == ()


@pytest.mark.parametrize("text", ["no", "on", "yes", "2020-01-01", "12:30:45", "1_000", "0b1", "=", "o", "1.2.3"])
def test_words_of_old_yaml_are_text(write: Write, text: str) -> None:
    assert load_scenario(write(BASE + f"description: {text}\n")).description == text


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("0x10", 16), ("0o17", 15), ("+3", 3)])
def test_whole_numbers(write: Write, text: str, value: int) -> None:
    assert load_scenario(write(BASE + f"seed: {text}\n")).seed == value


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), ("1", 1.0), ("5e-1", 0.5), (".5", 0.5), ("1e0", 1.0)])
def test_numbers(write: Write, text: str, value: float) -> None:
    assert load_scenario(write(BASE + f"sampling: {{temperature: {text}}}\n")).sampling.temperature == value


def test_lists_are_accepted_for_tuples_inside_components(write: Write) -> None:
    scenario = load_scenario(write(BASE + "decision: {kind: majority, voters: [debater]}\n"))
    assert scenario.decision.voters == ("debater",)


def test_a_utf8_mark_is_passed_over(write: Write) -> None:
    assert load_scenario(write("\ufeff" + BASE)).name == "base"


def test_aliases_and_merge_keys_work(write: Write) -> None:
    text = BASE.replace(
        "    count: 3", "    &all\n    count: 3\n    persona: calm\n  other:\n    <<: *all\n    count: 2"
    )
    agents = load_scenario(write(text)).agents
    assert (agents["other"].count, agents["other"].persona) == (2, "calm")


@pytest.mark.parametrize(
    ("text", "says", "where"),
    [
        ("", "is empty", (1, 1)),
        ("# only a comment\n", "is empty", (1, 1)),
        ("- a\n", "should be a mapping", (1, 1)),
        ("name: a\nname: b\n", "given twice, first in line 1", (2, 1)),
        ("a: 1\n---\nb: 2\n", "a second document", (2, 1)),
        ("a: 1\nb: !!python/name:os.system x\n", "the tag", (2, 4)),
        ("a: &x [*x]\n", "contains itself", (1, 8)),
        ("a: *x\n", "has no anchor", (1, 4)),
        ("a:\n\tb: 1\n", "a tab", (2, 1)),
        ("3: x\n", "the key 3 is not text", (1, 1)),
        ("sampling: {top_p: 0,9}\n", "write a decimal point in place of the comma", (1, 21)),
        ("a: [1, 2\nb: 3\n", "is not valid YAML", (1, 4)),
        ('a: "x\nb: 3\n', "quotation mark is never closed", (1, 4)),
        ("a: 1\nb: .nan\n", "is not finite", (2, 4)),
        ("a: 1e999\n", "is not finite", (1, 4)),
        ("a: " + "9" * 100_000, "too large", (1, 4)),
        ("a: " + "[" * 100 + "]" * 100, "nested more than 64 deep", (1, 68)),
        ("a: \x07\n", "control character", (1, 4)),
        (BASE.encode("utf-16"), "is UTF-16", (1, 1)),
        (b"a: b\nc: caf\xe9\n", "0xe9 is not UTF-8", (2, 7)),
        ("a: " + "x" * (1 << 20), "is larger than", (1, 1)),
    ],
    ids=range(21),
)
def test_files_that_are_no_scenario(write: Write, text: str | bytes, says: str, where: tuple[int, int]) -> None:
    found = [p for p in check_scenario(write(text)) if says in p.message]
    assert found
    assert place(found[0]) == where


def test_an_anchor_bomb_is_refused(write: Write) -> None:
    levels = ["b0: &b0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 9)}]" for n in range(1, 20)]
    problem = one(write("\n".join(levels)))
    assert "expands to more than" in problem.message
    assert problem.line == 6


def test_a_folder_and_a_missing_file(write: Write, tmp_path: Path) -> None:
    assert "is not a file" in one(tmp_path).message
    write(BASE, "debate.yaml")
    assert "did you mean 'debate.yaml'?" in one(tmp_path / "debat.yaml").message
    assert "does not exist" in one(tmp_path / "none" / "x.yaml").message


# Shapes


@pytest.mark.parametrize(
    ("old", "new", "where", "path", "says"),
    [
        ("count: 3", "count: three", (12, 12), "agents.debater.count", "a whole number of at least 1"),
        ("count: 3", "count: 1.5", (12, 12), "agents.debater.count", "not 1.5"),
        ("count: 3", "count: true", (12, 12), "agents.debater.count", "not true"),
        ("count: 3", "cuont: 3", (12, 5), "agents.debater.cuont", "unknown key 'cuont'; did you mean 'count'?"),
        ("rounds: 2", "rounds: 0", (17, 13), "phases.debate.rounds", "at least 1"),
        ("rounds: 2", "schedule: random", (17, 15), "phases.debate.schedule", "sequential"),
        ("rounds: 2", "cap: x", (17, 10), "phases.debate.cap", "or nothing"),
        ("topology: complete", "topology: complet", (16, 15), "phases.debate.topology", "did you mean 'complete'?"),
        ("topology: complete", "topology: {k: 2}", (16, 5), "phases.debate.topology", "needs `kind`"),
        ("topology: complete", "topology: {knd: ring}", (16, 16), "phases.debate.topology.knd", "did you mean 'kind'?"),
        ("topology: complete", "topology: k_regular", (16, 5), "phases.debate.topology.k", "is missing"),
        ("topology: complete", "topology: {kind: edges}", (16, 5), "phases.debate.topology.edges", "is missing"),
        ("topology: complete", "topology: 7", (16, 15), "phases.debate.topology", "should be a topology"),
        ("rounds: 2", "stop: [[{kind: consensus, shar: 1}]]", (17, 31), "phases.debate.stop.0.0.shar", "'share'"),
        ("rounds: 2", "stop: [budget]", (17, 12), "phases.debate.stop.0", "limit `tokens` or `turns`"),
        ("prompt: |\n      {{ question }} {{ heard|length }}", "system: x", (7, 3), "roles.solver.prompt", "missing"),
        ("  debater:\n", "  two words:\n", (11, 3), "agents.two words", "is not a valid name"),
        ("count: 3", "persona: 3", (12, 14), "agents.debater.persona", "text or a mapping or a list, or nothing"),
    ],
    ids=range(18),
)
def test_one_problem_at_its_place(
    write: Write, old: str, new: str, where: tuple[int, int], path: str, says: str
) -> None:
    problem = one(write(BASE.replace(old, new, 1)))
    assert place(problem) == where
    assert problem.path == path
    assert says in str(problem)


def test_all_problems_at_once_in_the_order_of_the_file(write: Write) -> None:
    text = BASE.replace("count: 3", "count: x").replace("rounds: 2", "rouns: 2").replace("complete", "rng")
    path = write(text)
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)
    lines = str(caught.value).splitlines()
    assert [line.partition(" ")[0] for line in lines[:-1]] == [f"{path}:12:12:", f"{path}:16:15:", f"{path}:17:5:"]
    assert lines[-1] == "3 problems found."
    assert [problem.value for problem in caught.value.problems] == ["x", "rng", "rouns"]


def test_an_unknown_key_does_not_hide_an_unknown_name(write: Write) -> None:
    problems = check_scenario(write(BASE.replace("count: 3", "cont: 3\n    role: sovler")))
    assert [problem.suggestion for problem in problems if problem.level == "error"] == ["count", "solver"]


# Names and contradictions


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "    count: 3",
            "    role: sovler",
            "13:11: agents.debater.role: there is no role 'sovler'; did you mean 'solver'?",
        ),
        ("    count: 3", "    backend: x", "13:14: agents.debater.backend: there is no backend 'x'"),
        (
            "    rounds: 2",
            "    agents: [debter]",
            "18:14: phases.debate.agents.0: there is no agent 'debter'; did you mean",
        ),
        ("    rounds: 2", "    agents: [debater, debater-2]", "listed twice"),
        (
            "    rounds: 2",
            "    agents: [debater]\n    reads: [debater]",
            "19:13: phases.debate.reads.0: 'debater' speaks in this phase",
        ),
        ("    rounds: 2", "    moderator: debater", "is a group; name one agent"),
        (
            "    rounds: 2",
            "    schedule: moderated",
            "18:15: phases.debate.schedule: a moderated phase needs a `moderator`",
        ),
        ("    rounds: 2", "    edges: {show: summary}", "18:19: phases.debate.edges.show: edges show a summary"),
        ("    rounds: 2", "    bind: {debatr: {}}", "18:12: phases.debate.bind.debatr: there is no agent"),
        ("    rounds: 2", "    bind: {debater: {role: x}}", "18:28: phases.debate.bind.debater.role: there is no role"),
        (
            "    rounds: 2",
            "    stop: [{kind: verdict, agent: x}]",
            "18:35: phases.debate.stop.0.agent: there is no agent",
        ),
        ("    rounds: 2", "    schedule: topological", "17:15: phases.debate.topology: the topological schedule needs"),
        (
            "    rounds: 2",
            "    within: {kind: ring}",
            "18:13: phases.debate.within: `within` needs a graph without cycles",
        ),
        ("name: debate", "name: alone", "16:11: phases.alone.name: another phase is called 'alone'"),
        ("complete", "{kind: k_regular, k: 5}", "17:36: phases.debate.topology.k: A k_regular topology over 3 agents"),
        (
            "complete",
            "{kind: edges, edges: [[debater, x]]}",
            "17:47: phases.debate.topology.edges.0.1: there is no agent",
        ),
        ("complete", "{kind: edges, edges: [[debater, debater, {shw: x}]]}", "unknown edge attribute 'shw'; did you"),
        (
            "complete",
            "{kind: edges, edges: [[debater, debater, {show: x}]]}",
            "the edge attribute 'show' should not be 'x'",
        ),
        ("{{ question }}", "{{ qestion }}", "10:10: roles.solver.prompt: there is no variable 'qestion'; did you mean"),
        ("{{ question }}", "x\n      {% for %}", "11:1: roles.solver.prompt: is not a valid template"),
        ("{{ question }}", "{{ question | shout }}", "10:1: roles.solver.prompt: is not a valid template: No filter"),
        ("{{ question }}", "{% include 'x' %}", "10:1: roles.solver.prompt: templates cannot load"),
        ("{{ question }}", "(" * 5 + "{{ " + "(" * 5000, "is not a valid template"),
        ("  debater:\n", "  debater-1: {}\n  debater:\n", "is also an agent of 'debater-1'; rename one"),
    ],
    ids=range(24),
)
def test_what_no_model_sees(write: Write, old: str, new: str, says: str) -> None:
    text = "# moved down by a line\n" + BASE.replace(old, new, 1)
    assert any(says in str(p) for p in check_scenario(write(text)) if p.level == "error"), check_scenario(write(text))


def test_a_role_must_be_said_where_there_are_several(write: Write) -> None:
    text = BASE.replace("agents:\n", '  other: {prompt: "{{ heard | length }}"}\nagents:\n', 1)
    errors = [p for p in check_scenario(write(text)) if p.level == "error"]
    assert [(place(p), p.allowed) for p in errors] == [((12, 3), ("solver", "other"))]
    bound = text.replace("    rounds: 2", "    bind: {debater: {role: other}}").replace(
        "- name: alone", "- {name: alone, bind: {debater: {role: solver}}}"
    )
    assert check_scenario(write(bound)) == []


@pytest.mark.parametrize(
    ("old", "new", "path", "ability"),
    [
        ("    prompt: |", "    choices: [a, b]\n    prompt: |", "roles.solver.choices", "choices"),
        ("count: 3", "adapter: a.gguf", "agents.debater.adapter", "adapters"),
        ("rounds: 2", "bind: {debater-2: {adapter: a.gguf}}", "phases.debate.bind.debater-2.adapter", "adapters"),
        ("rounds: 2", "schedule: moderated\n    moderator: debater-1", "phases.debate.moderator", "choices"),
    ],
)
def test_a_backend_must_be_able_to_do_what_is_asked(
    write: Write, monkeypatch: pytest.MonkeyPatch, old: str, new: str, path: str, ability: str
) -> None:
    scenario = write(BASE.replace(old, new, 1))
    assert [p for p in check_scenario(scenario) if p.level == "error"] == []
    monkeypatch.setattr(Scripted, "abilities", frozenset())
    [problem] = [p for p in check_scenario(scenario) if p.level == "error"]
    assert problem.path == path
    assert f"the agent 'debater' needs {ability}" in problem.message
    assert "scripted" not in problem.allowed


def test_warnings_do_not_stop_a_scenario(write: Write) -> None:
    text = BASE.replace("agents:\n", "  spare: {prompt: x}\nagents:\n", 1)
    path = write(text.replace("count: 3", "role: solver\n    count: 3"))
    problem = one(path)
    assert (problem.level, problem.path, place(problem)) == ("warning", "roles.spare", (10, 3))
    assert load_scenario(path).name == "base"


def test_every_variable_can_be_used(write: Write) -> None:
    used = " ".join(f"{{{{ {name} }}}}" for name in VARIABLES)
    local = "{% set x = 1 %}{{ x }}{% for m in heard %}{{ m.text }}{{ loop.index }}{% endfor %}{{ range(3) }}"
    problems = check_scenario(write(BASE.replace("{{ question }}", used + local)))
    assert [p for p in problems if p.level == "error"] == []


# One file over another


def test_extends_merges_replaces_and_deletes(write: Write) -> None:
    write(BASE + "sampling: {temperature: 0.5, top_k: 3}\nseed: 5\n", "base.yaml")
    path = write("extends: base.yaml\nname: child\nseed: null\nsampling: {top_k: 9}\nphases: [{name: p}]\n")
    scenario = load_scenario(path)
    assert (scenario.name, scenario.seed, len(scenario.phases)) == ("child", 0, 1)
    assert (scenario.sampling.temperature, scenario.sampling.top_k) == (0.5, 9)


def test_null_deletes_a_key_where_another_kind_replaces_the_mapping(write: Write) -> None:
    write(BASE + "decision: {kind: supermajority, share: 0.9}\n", "base.yaml")
    scenario = load_scenario(write("extends: base.yaml\ndecision: {kind: majority, share: null}\n"))
    assert scenario.decision.kind == "majority"  # type: ignore[attr-defined]


def test_another_kind_replaces_the_whole_mapping(write: Write) -> None:
    write(BASE + "decision: {kind: supermajority, share: 0.9}\n", "base.yaml")
    scenario = load_scenario(write("extends: base.yaml\ndecision: {kind: majority, ties: first}\n"))
    assert (scenario.decision.kind, scenario.decision.ties) == ("majority", "first")  # type: ignore[attr-defined]


def test_problems_stay_in_their_files(write: Write) -> None:
    base = write(BASE.replace("count: 3", "count: x"), "base.yaml")
    path = write("extends: base.yaml\nseed: -1\n")
    assert [(p.file, p.line) for p in check_scenario(path)] == [(str(base), 12), (str(path), 2)]


@pytest.mark.parametrize(
    ("link", "says"),
    [
        ("s.yaml", "leads back"),
        ("bse.yaml", "does not exist"),
        ("bse.yaml", "did you mean 'base.yaml'?"),
        ("/etc/passwd", "outside the folders"),
        ("[a]", "should be the path"),
        ('"a\\0b"', "is no usable path"),
    ],
)
def test_links_that_lead_nowhere(write: Write, link: str, says: str) -> None:
    write("extends: s.yaml\n", "base.yaml")
    problem = one(write(f"name: x\nextends: {link}\n"))
    assert says in problem.message
    assert problem.line == 2


def test_a_cycle_of_files_is_found(write: Write) -> None:
    write("extends: s.yaml\n", "base.yaml")
    assert "leads back" in one(write("extends: base.yaml\n")).message


def test_a_folder_can_be_allowed(write: Write, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "base.yaml").write_text(BASE)
    path = write(f"extends: {elsewhere / 'base.yaml'}\n")
    assert "--allow" in one(path).message
    assert load_scenario(path, allow=[elsewhere]).name == "base"


# Overrides


def test_overrides_go_by_name_and_index(write: Write) -> None:
    settings = ["phases.debate.rounds=5", "phases.0.rounds=4", "sampling.temperature=0", "task=capitals"]
    settings += ["agents.debater.persona=[a, b]", "phases.debate.topology.kind=ring", "description="]
    scenario = load_scenario(write(BASE), settings)
    assert [phase.rounds for phase in scenario.phases] == [4, 5]
    assert scenario.sampling.temperature == 0
    assert scenario.agents["debater"].persona == ("a", "b")
    assert scenario.phases[1].topology.kind == "ring"  # type: ignore[attr-defined]
    assert scenario.description == ""


def test_an_override_opens_up_a_bare_kind(write: Write) -> None:
    scenario = load_scenario(write(BASE.replace("complete", "ring")), ["phases.debate.topology.directed=true"])
    assert scenario.phases[1].topology.directed is True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "phases.debate.rouns=3",
            "--set phases.debate.rouns: phases.debate.rouns: unknown key 'rouns'; did you mean 'rounds'?",
        ),
        ("phases.debat.rounds=3", "--set phases.debat.rounds: there is no 'debat' in phases; did you mean 'debate'?"),
        ("phases.9.rounds=3", "there is no '9' in phases"),
        ("agents.debatr.count=3", "--set agents.debatr.count: there is no 'debatr' in agents; did you mean 'debater'?"),
        ("seed=x", "--set seed: seed: should be a whole number of at least 0"),
        ("seed.x=3", "should be a whole number"),
        ("seed", "should be PATH=VALUE"),
        (".=3", "should be PATH=VALUE"),
        ("seed=[1", "--set seed: the value '[1' is not valid YAML"),
        ("version.x=1", "version is 1 and has no keys"),
    ],
)
def test_overrides_that_lead_nowhere(write: Write, setting: str, says: str) -> None:
    assert any(says in str(p) for p in check_scenario(write(BASE), [setting])), check_scenario(write(BASE), [setting])


def test_importing_the_language_is_light() -> None:
    heavy = "import society.scenario, sys; print([m for m in ('networkx', 'torch', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("allow", ["{}", Path("{}")], ids=["text", "path"])
def test_one_allowed_folder_is_not_read_letter_by_letter(tmp_path: Path, allow: str | Path) -> None:
    """The first letter of an absolute path is "/", which would allow every file."""
    folder = type(allow)(str(allow).format(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    for name in ("data/in.jsonl", "out.jsonl"):
        (tmp_path / name).write_text('{"question": "1+1", "answer": "2"}\n')
    data = {
        "version": 1,
        "name": "paths",
        "task": {"kind": "jsonl", "path": str(tmp_path / "data" / "in.jsonl")},
        "backends": {"scripted": {"kind": "scripted"}},
        "roles": {"solver": {"prompt": "{{ question }}"}},
        "agents": {"solver": {}},
        "phases": [{"name": "answer"}],
    }
    assert check_scenario(data, allow=folder, folder=tmp_path / "data") == []
    assert check_scenario(data, allow=folder) == []
    task = {"kind": "jsonl", "path": str(tmp_path / "out.jsonl")}
    [problem] = check_scenario({**data, "task": task}, allow=folder)
    assert "outside the folders" in problem.message
    assert "Python: allow=" in problem.message
    with pytest.raises(InputError, match="`allow` contains 3, a int"):
        check_scenario(data, allow=[3])  # type: ignore[list-item]


def test_one_override_need_not_be_a_list() -> None:
    [problem] = [p for p in check_scenario({"version": 1}, "seed=-4") if p.path == "seed"]
    assert "-4" in problem.message


@pytest.mark.parametrize("source", [None, [{}], 3, Scenario], ids=["none", "list", "number", "class"])
def test_a_source_of_a_wrong_type_is_named(source: Any) -> None:
    with pytest.raises(InputError, match="A scenario cannot be loaded from"):
        check_scenario(source)


@pytest.mark.parametrize("text", ["version: 1\nname: a", '{"version": 1}', "x" * 300])
def test_the_text_of_a_scenario_is_not_a_path(text: str) -> None:
    [problem] = check_scenario(text)
    assert "give the dictionary" in problem.message


@pytest.mark.parametrize("value", [".nan", ".inf", "1e999"])
def test_a_number_that_is_not_finite_is_one_problem(tmp_path: Path, value: str) -> None:
    text = """\
version: 1
name: x
task: {{kind: arithmetic, limit: 3}}
backends: {{s: {{kind: scripted}}}}
roles: {{r: {{prompt: "{{{{ question }}}}"}}}}
agents: {{a: {{}}}}
phases: [{{name: p, rounds: {rounds}}}]
"""
    path = tmp_path / "s.yaml"
    path.write_text(text.format(rounds=value))
    [problem] = check_scenario(path)
    assert "is not finite" in problem.message
    path.write_text(text.format(rounds=1))
    [problem] = check_scenario(path, [f"phases.p.rounds={value}"])
    assert str(problem).startswith(f"--set phases.p.rounds: the number '{value}' is not finite")
