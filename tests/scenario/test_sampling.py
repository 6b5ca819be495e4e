"""A sampling option is declared once: `Sampling` gives the options, bounds and descriptions of `sampling:` in YAML."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import pytest
from annotated_types import Interval
from pydantic import ValidationError

from backends.base import ALL_OPTIONS, BackendConfig, changed_options
from backends.openai.dialects import DIALECTS, OTHER, Dialect
from backends.scripted.backend import Scripted
from society.core.errors import BackendError
from society.core.types import Sampling
from society.scenario import check_scenario
from society.scenario.models.optional import make_optional
from society.scenario.models.settings import SamplingSpec
from society.scenario.schema.descriptions import field_texts


@dataclass(frozen=True)
class Warmer(Sampling):
    warmth: Annotated[float, Interval(ge=0, lt=2)] = 1.0
    """Warmth of the words."""


def test_every_option_is_in_the_scenario_with_its_description() -> None:
    names = [field.name for field in fields(Sampling)]
    assert list(SamplingSpec.model_fields) == names
    assert list(field_texts(SamplingSpec)) == names


def test_a_new_option_is_one_field() -> None:
    options = make_optional(Warmer)
    assert options.model_validate_json('{"warmth": 1.5}').model_dump(exclude_unset=True) == {"warmth": 1.5}
    with pytest.raises(ValidationError, match="less than 2"):
        options.model_validate_json('{"warmth": 2}')
    assert field_texts(options)["warmth"] == "Warmth of the words."


@pytest.mark.parametrize(
    "settings", ['{"top_p": 0}', '{"min_p": 1}', '{"top_k": -1}', '{"max_tokens": 0}', '{"stop": [""]}', '{"top": 1}']
)
def test_values_out_of_bounds_are_refused(settings: str) -> None:
    with pytest.raises(ValidationError):
        SamplingSpec.model_validate_json(settings)


def test_a_level_overrides_only_what_it_gives() -> None:
    level = SamplingSpec.model_validate_json('{"temperature": 0, "stop": []}')
    assert level.over(Sampling(top_k=7, stop=("x",))) == Sampling(temperature=0, top_k=7)


SAMPLED = """\
version: 1
name: sampled
task: {kind: arithmetic, limit: 2}
backends: {only: {kind: scripted, rules: [{say: "4"}]}}
roles:
  solver:
    prompt: "{{ question }}"
    sampling: {top_k: 5, max_tokens: 9}
agents: {a: {count: 2, sampling: {min_p: 0}}}
phases: [{name: one}]
"""


def test_an_option_that_the_backend_does_not_declare_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SAMPLED)
    assert check_scenario(path) == []
    monkeypatch.setattr(Scripted, "sampling_options", BackendConfig.sampling_options)
    [problem] = check_scenario(path)  # `min_p: 0` is the default, which changes nothing
    assert (problem.path, problem.line, problem.level) == ("roles.solver.sampling.top_k", 8, "error")
    assert "the backend 'only' of 'a-1' ignores it" in problem.message
    assert "remove it, or use a backend of another kind" in problem.message
    path.write_text(SAMPLED.replace("top_k: 5, ", ""))
    assert check_scenario(path) == []


def test_our_backends_declare_the_options_that_they_read() -> None:
    """A new option of `Sampling` fails here, and is an error of `check`, until every backend reads it."""
    assert {field.name for field in fields(Sampling)} == ALL_OPTIONS


@pytest.mark.parametrize("dialect", [*DIALECTS, OTHER], ids=lambda dialect: dialect.name)
def test_a_new_option_is_refused_by_every_server(dialect: Dialect) -> None:
    assert changed_options(Warmer(warmth=1.5, top_p=0.5)) == ["top_p", "warmth"]
    with pytest.raises(BackendError, match="does not support warmth"):
        dialect.options(Warmer(warmth=1.5))


@pytest.mark.parametrize(
    ("change", "home"),
    [
        ("roles.solver.temperature=0.5", "sampling.temperature"),
        ("agents.a.budget=5", "thinking.budget"),
        ("backends.only.chat_template_kwargs={enable_thinking: false}", "thinking.template_args"),
        ("sampling.enable_thinking=true", "thinking.enabled"),
        ("thinking.max_tokens=9", "sampling.max_tokens"),
    ],
)
def test_an_option_in_another_place_is_sent_to_its_own(tmp_path: Path, change: str, home: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SAMPLED)
    [problem] = check_scenario(path, [change])
    assert (problem.path, f"set `{home}` of" in problem.message) == (change.partition("=")[0], True)


def test_tags_of_thoughts_are_short(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SAMPLED)
    assert not check_scenario(path, [f"thinking.tags=[{'a' * 200}, b]"])
    [problem] = check_scenario(path, [f"thinking.tags=[{'a' * 201}, b]"])
    assert "200" in problem.message
