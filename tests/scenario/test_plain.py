"""Scenarios from Python data: checked like files, with the field of each problem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import society
from tests.test_session import DATA


def problems(**changes: Any) -> list[str]:
    return [str(problem) for problem in society.check({**DATA, **changes})]


def test_sound_data_have_no_problems() -> None:
    assert problems() == []
    assert repr(society.Scenario.from_dict(DATA)) == "Scenario(name='sums', agents=3, phases=['debate'])"
    assert problems(phases=({"name": "debate", "topology": "complete", "rounds": 2},)) == []


def test_every_problem_is_found_at_once_and_names_its_field() -> None:
    phase = {"name": "debate", "topology": "rign", "rouds": 2, "edges": {1: 2}}
    found = problems(phases=[phase], agents={"solver": {"count": 0}}, colour="red")
    starts = [problem.split(":")[0] for problem in found]
    assert starts == ["agents.solver.count", "colour", *(f"phases.debate.{f}" for f in ("edges", "rouds", "topology"))]
    assert any("phases.debate.topology: unknown topology 'rign'; did you mean 'ring'?" in problem for problem in found)
    assert any("phases.debate.rouds: unknown key 'rouds'; did you mean 'rounds'?" in problem for problem in found)


def test_the_error_lists_and_counts_the_problems() -> None:
    bad = {**DATA, "seed": -1, "samples": "many"}
    for make in (society.Scenario.from_dict, lambda data: society.Scenario(**data)):
        with pytest.raises(society.ScenarioError, match="2 problems found") as caught:
            make(bad)
        assert [problem.path for problem in caught.value.problems] == ["samples", "seed"]
        assert {problem.file for problem in caught.value.problems} == {""}


def test_what_no_model_sees_is_checked_too() -> None:
    assert "agents.solver.role: there is no role 'slover'; did you mean 'solver'?" in "\n".join(
        problems(agents={"solver": {"role": "slover", "count": 3}})
    )
    [variable] = problems(roles={"solver": {"prompt": "{{ questoin }} {{ question }}"}})
    assert variable.startswith("roles.solver.prompt: there is no variable 'questoin'; did you mean 'question'?")


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), float("nan"), float("inf"), 2**70, b"text"], ids=lambda value: type(value).__name__
)
def test_values_that_are_no_data_are_one_problem_each(value: object) -> None:
    [problem] = problems(samples=value)
    assert problem.startswith("samples: ")


def test_values_of_numpy_and_pandas_count_as_those_of_python() -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    phase = {"name": "debate", "topology": "complete"}
    changes = {"samples": np.int64(3), "sampling": {"temperature": np.float32(0.5)}, "seed": pd.Series([7])[0]}
    for phases in (np.array([phase]), pd.Series([phase]), {1: phase}.values()):
        scenario = society.Scenario.from_dict({**DATA, **changes, "phases": phases})
        assert (scenario.samples, scenario.sampling.temperature, scenario.seed) == (3, 0.5, 7)
        assert [phase.name for phase in scenario.phases] == ["debate"]
    shuffled = society.Scenario.from_dict({**DATA, "task": {**DATA["task"], "shuffle": np.bool_(True)}})
    assert shuffled.task.shuffle is True
    [problem] = problems(samples=np.array([3]))
    assert "not a list" in problem
    [problem] = problems(samples=np.datetime64("2020-01-01"))
    assert problem.endswith("not date")


def test_ranges_are_lists() -> None:
    [problem] = problems(samples=range(3))
    assert "not a list" in problem


def test_empty_collections_are_named_as_empty() -> None:
    assert problems(agents={}) == ["agents: should be a mapping of at least 1, not an empty mapping"]
    assert problems(phases=[]) == ["phases: should be a list of at least 1, not an empty list"]


def test_data_that_contain_themselves_are_refused() -> None:
    loop: dict[str, Any] = {}
    loop["phases"] = loop
    [problem] = society.check(loop)
    assert "nested more than" in str(problem)


def test_components_and_paths_may_stand_among_the_data(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    made = society.Scenario.from_dict(DATA)
    again = society.Scenario.from_dict({**DATA, "phases": [made.phases[0]], "task": made.task})
    assert again == made
    task = {"kind": "jsonl", "path": Path("items.jsonl"), "limit": 1}
    assert society.Scenario.from_dict({**DATA, "task": task}, folder=tmp_path).task.load(0)[0].gold == "2"


def test_data_extend_files_and_take_overrides(tmp_path: Path) -> None:
    import yaml

    (tmp_path / "base.yaml").write_text(yaml.safe_dump(DATA))
    above = {"extends": "base.yaml", "phases": [{"name": "debate", "topology": "ring", "rounds": 2}]}
    made = society.Scenario.from_dict(above, ["phases.debate.rounds=4"], folder=tmp_path)
    assert (made.name, made.phases[0].topology.kind, made.phases[0].rounds) == ("sums", "ring", 4)  # type: ignore[attr-defined]
    [missing] = society.check({"extends": "bse.yaml"}, folder=tmp_path)
    assert "does not exist" in str(missing)
    assert "did you mean 'base.yaml'" in str(missing)


def test_files_outside_the_folder_are_read_only_if_allowed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "data" / "items.jsonl").write_text('{"question": "1+1?", "answer": "2"}\n')
    data = {**DATA, "task": {"kind": "jsonl", "path": "../data/items.jsonl", "limit": 1}}
    [problem] = society.check(data, folder=tmp_path / "here")
    assert str(problem).startswith("task.path: ")
    assert "outside the folders" in str(problem)
    assert society.check(data, folder=tmp_path / "here", allow=[tmp_path / "data"]) == []


def test_a_variable_in_single_braces_is_a_warning() -> None:
    prompt = "Question: {question} {{ question }} {{ heard }} {other} {% raw %}{{ name }}{% endraw %}"
    found = [problem for problem in problems(roles={"solver": {"prompt": prompt}}) if "as it is written" in problem]
    wanted = "{question} is shown as it is written, not as the question; write {{ question }}"
    assert found == [f"warning: roles.solver.prompt: {wanted}"]


@pytest.mark.parametrize("field", ["prompt", "system"])
def test_a_path_is_no_template(field: str) -> None:
    role = {"prompt": "{{ question }} {{ heard }}", field: Path("p.txt")}
    assert problems(roles={"solver": role}) == [
        f"roles.solver.{field}: should be text, not the path 'p.txt'; read the file first"
    ]


def test_a_data_frame_is_a_list_of_rows() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"question": ["What is 1 + 1?", "Should we?"], "gold": [2, None]})
    task = society.Scenario.from_dict({**DATA, "task": {"kind": "inline", "items": frame}}).task
    assert [(item.question, item.gold) for item in task.load(0)] == [("What is 1 + 1?", "2"), ("Should we?", "")]
