"""A mistake has one problem: no false one follows from it, and its remedy is the right one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backends.models import find, packages
from society.core.errors import InputError
from society.scenario import check_scenario

DATA: dict[str, Any] = {
    "version": 1,
    "name": "followups",
    "task": {"kind": "capitals", "limit": 2},
    "backends": {"m": {"kind": "scripted"}},
    "roles": {"r": {"prompt": "{{ question }} {% for m in heard %}{{ m.text }}{% endfor %}"}},
    "agents": {"a": {"count": 4}},
    "phases": [{"name": "d", "topology": {"kind": "groups", "size": 2}, "rounds": 2}],
}


def check(folder: Path, **changes: Any) -> list[str]:
    return [str(problem) for problem in check_scenario({**DATA, **changes}, folder=folder)]


def test_the_number_of_agents_is_open_without_their_personas(tmp_path: Path) -> None:
    [problem] = check(tmp_path, agents={"a": {"personas": "nobody.csv"}})
    assert "agents.a.personas: the file does not exist" in problem


@pytest.mark.parametrize("name", ["critc", "other"])
def test_an_unused_role_may_be_the_one_that_an_unknown_name_means(tmp_path: Path, name: str) -> None:
    roles = dict.fromkeys(("pupil", "critic"), DATA["roles"]["r"])
    problems = check(tmp_path, roles=roles, agents={"a": {"role": "pupil", "count": 4}, "b": {"role": name}})
    assert any(f"there is no role '{name}'" in problem for problem in problems)
    assert not any("remove it" in problem for problem in problems)


@pytest.mark.parametrize(
    ("stop", "home"),
    [(["consensus"], "phases.0.stop"), ({"kind": "consensus"}, "phases.0.stop"), (["END"], "sampling.stop")],
)
def test_stop_rules_have_another_place_than_stop_texts(tmp_path: Path, stop: object, home: str) -> None:
    [problem] = check(tmp_path, stop=stop)
    assert home in problem


def test_a_stop_text_of_line_breaks_is_written_visibly(tmp_path: Path) -> None:
    [problem] = check(tmp_path, sampling={"stop": "\n\n"})
    assert problem.endswith('write ["\\n\\n"]')


class _Distribution:
    name = "llm-tiny-model"
    files = (Path("tiny/model.gguf"),)


def test_a_package_with_a_similar_name_is_named_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages.importlib.metadata, "distributions", lambda: [_Distribution])
    with pytest.raises(InputError) as error:
        packages.find_in_package("tinymodel")
    assert "Did you mean pypi:llm-tiny-model" in str(error.value.remedy)
    assert "pip install" not in str(error.value.remedy)
    with pytest.raises(InputError) as error:
        packages.find_in_package("zz-nothing-like-it")
    assert error.value.remedy.startswith("Check its name and author first")


def test_a_folder_of_transformers_is_for_the_kind_hf(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="folder of transformers"):
        find.find_model(str(tmp_path))
