"""`society fetch` and `society check --offline`: what a machine without a network lacks, and how it gets there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backends.models.hub_model import is_whole
from society.cli import main

SCENARIO = """
version: 1
name: away
task: {kind: arithmetic, limit: 2}
backends: {m: {BACKEND}}
roles: {r: {prompt: "{{ question }}"}}
agents: {a: {}}
phases: [{name: answer}]
"""


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the hub's cache, which is empty."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def scenario(folder: Path, backend: str) -> str:
    path = folder / "away.yaml"
    path.write_text(SCENARIO.replace("BACKEND", backend))
    return str(path)


def cache(hub: Path, name: str, files: dict[str, str]) -> None:
    folder = hub / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("abc123")
    for file, text in files.items():
        path = folder / "snapshots" / "abc123" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.needs("huggingface_hub")
@pytest.mark.parametrize("backend", ["kind: hf, model: owner/away", "kind: llama_cpp, model: 'hf:owner/away:a.gguf'"])
def test_a_model_that_is_not_here_is_an_error_offline_alone(
    tmp_path: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scenario(tmp_path, backend)
    assert main(["check", path]) == 0
    capsys.readouterr()
    assert main(["check", path, "--offline"]) == 2
    said = capsys.readouterr()
    assert f"{path}:5:" in said.out
    assert "is not on this machine; get it by `society fetch`" in said.out
    assert "0 of 1 scenarios can be run" in said.err


def test_a_data_set_that_is_not_here_is_an_error_offline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = scenario(tmp_path, "kind: scripted")
    change = "task={kind: dataset, name: gsm8k, limit: 2}"
    assert main(["check", path, "--set", change]) == 0
    assert "warning: task" in capsys.readouterr().out
    assert main(["check", path, "--set", change, "--offline"]) == 2
    assert "get it by `society fetch`" in capsys.readouterr().out


def test_a_model_is_whole_with_all_its_weights(hub: Path) -> None:
    assert not is_whole("owner/away")
    cache(hub, "owner/away", {"config.json": "{}"})
    assert not is_whole("owner/away")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    cache(hub, "owner/away", {"model.safetensors.index.json": json.dumps(index), "model-1.safetensors": ""})
    assert not is_whole("owner/away")
    cache(hub, "owner/away", {"model-2.safetensors": ""})
    assert is_whole("owner/away")
    assert is_whole("hf:owner/away")
    cache(hub, "owner/damaged", {"config.json": "{}", "model.safetensors.index.json": "{"})
    assert not is_whole("owner/damaged")


def test_fetch_names_what_it_has_and_what_it_cannot_get(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = scenario(tmp_path, "kind: scripted")
    assert main(["fetch", path]) == 0
    said = capsys.readouterr().out
    assert "backends.m: nothing to download" in said
    assert "task: nothing to download" in said
    assert main(["check", path, "--offline"]) == 0


@pytest.mark.needs("huggingface_hub")
def test_fetch_downloads_what_is_missing(
    tmp_path: Path, hub: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def download(name: str, **options: object) -> str:
        cache(hub, name, {"config.json": "{}", "model.safetensors": ""})
        return str(hub)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    path = scenario(tmp_path, "kind: hf, model: owner/away")
    assert main(["fetch", path]) == 0
    assert "backends.m: downloaded the model owner/away" in capsys.readouterr().out
    assert main(["fetch", path]) == 0
    assert "backends.m: nothing to download" in capsys.readouterr().out
