"""The JSON Schema accepts the same scenarios as the loader, and editors report the same errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from society.components.registry import NOUNS, kinds
from society.scenario import check_scenario, scenario_schema

ROOT = Path(__file__).parents[2]
FILES = [ROOT / "society/scenario/new.yaml", *sorted((ROOT / "scenarios").glob("*.yaml"))]
SMALL = """
version: 1
name: small
task: {kind: arithmetic}
backends: {b: {kind: scripted}}
roles: {r: {prompt: "{{ question }}"}}
agents: {a: {count: 3}}
phases: [{name: p, topology: {kind: ring, directed: true}, stop: [consensus, [{kind: budget, turns: 3}]]}]
decision: {kind: majority}
"""


def errors(data: Any) -> list[str]:
    found = jsonschema.Draft202012Validator(scenario_schema()).iter_errors(data)
    return [f"{error.json_path}: {error.message}" for error in found]


def changed(**entries: Any) -> Any:
    return {**yaml.safe_load(SMALL), **entries}


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(scenario_schema())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_shipped_files_follow_it(path: Path) -> None:
    assert errors(yaml.safe_load(path.read_text())) == []
    assert path.read_text().startswith("# yaml-language-server: $schema=")


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"nmae": "x"},
        {"name": "no blanks"},
        {"seed": -1},
        {"seed": "7"},
        {"task": "arithmetc"},
        {"task": {"limit": 3}},
        {"task": {"kind": "arithmetic", "limt": 3}},
        {"backends": {}},
        {"agents": {"bad name": {}}},
        {"agents": {"a": {"count": 0}}},
        {"roles": {"r": {}}},
        {"phases": []},
        {"phases": [{"name": "p", "topology": {"kind": "ring", "k": 2}}]},
        {"phases": [{"name": "p", "stop": [[["consensus"]]]}]},
        {"phases": [{"name": "p", "edges": {"show": "some"}}]},
        {"decision": "judge"},
    ],
    ids=str,
)
def test_it_refuses_what_the_loader_refuses(wrong: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(changed(**wrong)))
    assert errors(changed()) == []
    assert errors(changed(**wrong))
    assert check_scenario(path)


def test_a_file_that_extends_need_not_be_whole() -> None:
    assert errors({"extends": "base.yaml", "seed": 3}) == []
    assert errors({"seed": 3})
    assert errors({"extends": "base.yaml", "sed": 3})


@pytest.mark.parametrize("noun", NOUNS)
def test_every_kind_is_offered_with_a_description(noun: str) -> None:
    definitions = scenario_schema()["$defs"].values()
    offered = {
        d["properties"]["kind"]["const"]: d for d in definitions if "const" in d.get("properties", {}).get("kind", {})
    }
    for kind in kinds(noun):
        assert offered[kind]["description"]
        assert ("kind" in offered[kind].get("required", [])) == (kind != "compare")  # the kind of an answer without one


def test_no_alternative_is_empty() -> None:
    def walk(part: Any) -> None:
        if isinstance(part, dict):
            assert part.get("anyOf", [True])
            assert part.get("enum", [True])
            assert {} not in part.get("anyOf", [])
        for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else []:
            walk(inner)

    walk(scenario_schema())
