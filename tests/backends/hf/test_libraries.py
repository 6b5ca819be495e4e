"""Versions of the libraries: too old or too new is an error whose remedy installs one that works."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.hf import HuggingFace
from backends.hf import libraries as libraries_of_hf
from backends.hf.libraries import NEXT, OLDEST, check_version
from backends.training import TrainSettings
from society.core.errors import InputError
from society.core.pip_command import pip
from society.scenario.models.scenario import Scenario
from society.session import run
from tests.backends.hf.tiny import make_model


@pytest.mark.parametrize("found", ["5.17.0", "5.17", "5.23.0.dev0", "5.99.1+local"])
def test_versions_between_the_bounds_are_taken(found: str) -> None:
    check_version("transformers", found)


@pytest.mark.parametrize("found", ["5.16.9", "4.57.1", "6.0.0", "6.0.0rc1", ""])
def test_other_versions_are_refused_with_what_to_install(found: str) -> None:
    with pytest.raises(InputError, match=f"version {re.escape(found)} is installed") as caught:
        check_version("transformers", found)
    assert caught.value.remedy == pip("install 'transformers>=5.17,<6'")


def test_the_bounds_are_those_of_the_distribution() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    named = {re.split("[<>=]", line)[0]: line for line in project["optional-dependencies"]["hf"]}
    for library, oldest in OLDEST.items():
        bound = f",<{NEXT[library]}" if library in NEXT else ""
        assert named[library] == f"{library}>={oldest}{bound}"


def test_an_optimizer_without_a_gpu_is_refused_before_any_debate(
    tmp_path: Path, scenario: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    trains = scenario(f"""
task: {{kind: arithmetic, form: a+b, limit: 4}}
backends: {{one: {{kind: hf, model: "{make_model(tmp_path / "model", hidden_size=16)}", context: 200}}}}
roles: {{solver: {{prompt: "{{{{ question }}}}", choices: [red, green]}}}}
agents: {{solver: {{count: 2}}}}
phases: [{{name: debate}}]
train: {{questions: 4, learners: {{all: {{phases: [debate]}}}}, settings: {{optimizer: adamw_8bit}}}}
""")
    with pytest.raises(InputError, match="adamw_8bit needs a CUDA GPU"):
        run(trains, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_optimizer_without_its_library_is_refused_before_anything_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    find = libraries_of_hf.importlib.util.find_spec
    monkeypatch.setattr(
        libraries_of_hf.importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name)
    )
    HuggingFace().check_training_here(TrainSettings())
    with pytest.raises(InputError, match="needs bitsandbytes, which is not installed"):
        HuggingFace().check_training_here(TrainSettings(optimizer="adamw_8bit"))
