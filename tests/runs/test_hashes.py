"""Whatever changes a text is in a hash; what is in none is named here, with the reason why it changes no text."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from backends.llama_cpp import LlamaCpp
from backends.llama_cpp.naming import name_model
from backends.models.gguf_file import GGUFInfo
from backends.openai.dialects import OTHER, VLLM
from backends.openai.opening import Served
from backends.scripted.backend import Scripted
from backends.training import TrainSettings
from society.components.registry import kinds
from society.core.definition import difference, is_tuning
from society.core.errors import RunFolderError
from society.core.types import Item
from society.report.data import _list_facts, read_runs
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.scenario.models.training import TrainSpec
from society.session import run
from society.tasks.arithmetic import Arithmetic
from tests.conftest import rows

CHANGES_NO_TEXT = {
    "Scenario.concurrency": "how many debates are under way decides when a turn is made, not from what",
    "Scenario.executor": "where models run; the model's hash has the device",
    "Scenario.limits": "when a run stops",
    "Scenario.retry": "how long a run waits for a server that is gone",
    "Scenario.metrics": "measured from what agents said, whenever a run is read",
    "Scenario.timeout": "a turn in time has the same text, a failed turn is made again",
    "TrainSpec.iterations": "more are added, fewer refused",
    "TrainSpec.evaluate": "which evaluations are made, not what they say",
    "TrainSpec.parallel": "in the hash of what an adapter was trained on",
    "TrainSettings.compile": "in the hash of what an adapter was trained on",
    "Scripted.delay": "when a reply comes",
    "LlamaCpp.model": "the file is in the model's hash",
    "LlamaCpp.requantize": "the converted file is in the model's hash",
    "LlamaCpp.gpu_layers": "in the model's hash",
    "LlamaCpp.slots": "no text depends on it where `reproducible`; else none promises to be the same twice",
    "LlamaCpp.threads": "as slots",
    "LlamaCpp.cache_mb": "as slots",
    "HuggingFace.model": "the folder is in the model's hash",
    "HuggingFace.batch": "rounding alone, which depends on what else is being asked, too",
    "HuggingFace.cache_tokens": "as batch",
    "HuggingFace.decoding": "as batch",
    "HuggingFace.host_memory": "where weights wait that are not in use, not what they are",
    **{
        f"{kind}.{option}": reason
        for kind in ("VLLM", "SGLang")
        for option, reason in {
            "model": "the folder is in the model's hash",
            "batch": "when a request is sent",
            "cache_tokens": "of the training model alone",
            "decoding": "of the training model alone",
            "host_memory": "of the training model alone",
            "url": "the server must serve the folder, which is in the hash",
            "gpu_share": "how many requests run together",
            "start_seconds": "when the run begins",
            "gpus": "where the model is held",
        }.items()
    },
    "OpenAI.url": "what the server says of its model is in the hash",
    "OpenAI.context": "a longer prompt is refused",
    "OpenAI.timeout": "as that of the scenario",
    "OpenAI.concurrency": "when a request is sent",
    "Human.time_limit": "a reply in time has the same text",
    "TrainSettings.checkpoint_minutes": "a training that goes on from a checkpoint ends with the same weights",
    **{
        f"{kind}.revision": "the files that it names are in the model's hash"
        for kind in ("LlamaCpp", "HuggingFace", "VLLM", "SGLang")
    },
    **{
        f"{kind}.price": "what a turn costs"
        for kind in ("Scripted", "LlamaCpp", "HuggingFace", "VLLM", "SGLang", "OpenAI", "Human")
    },
}
TEXT = """
task: {kind: arithmetic, form: a+b, limit: 3}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.6, wrong: spread}}]}}
roles: {solver: {prompt: "{{ question }} {% for m in heard %}{{ m.text }} {% endfor %}"}}
agents: {solver: {count: 2}}
phases: [{name: debate, topology: complete, rounds: 2}]
"""


def tuning() -> Iterator[str]:
    """Yield every option whose value may change when a run is resumed."""
    backends = [kind for kind in kinds("backend").values() if kind.__module__.startswith("backends.")]
    models: list[type[BaseModel]] = [Scenario, TrainSpec, TrainSettings, *backends]
    for model in models:
        for name, field in model.model_fields.items():
            if is_tuning(field.json_schema_extra):
                yield f"{model.__name__}.{name}"


def test_every_option_in_no_hash_has_a_reason() -> None:
    assert set(tuning()) == set(CHANGES_NO_TEXT)


def test_scripted_replies_hang_on_every_rule() -> None:
    rules = [
        {"say": "a"},
        {"say": "b"},
        {"say": "a", "when": "x"},
        {"say": "a", "system": "x"},
        {"choose": ["a", "b"]},
        {"choose": ["b", "a"]},
        {"calculate": {}},
        {"calculate": {"skill": 0.5}},
        {"calculate": {"wrong": "spread"}},
    ]
    configs: list[dict[str, Any]] = [{"rules": [rule]} for rule in rules]
    configs += [{}, {"rules": rules}, {"rules": rules[::-1]}, {"context": 9}]
    hashes = [Scripted.model_validate(config).open().model_hash for config in configs]
    assert len(set(hashes)) == len(configs)
    assert Scripted(delay=1.0).open().model_hash == Scripted().open().model_hash


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.gguf"
    path.write_bytes(b"weights")
    return path


def name(path: Path, **changes: Any) -> str:
    """Return the name of an opened llama.cpp model, with some things as given."""
    metadata = {"phi3.rope.scaling.original_context_length": 4096}
    values: dict[str, Any] = {
        "info": GGUFInfo("phi3", "Q8_0", 131072, "t", 1, 7, metadata),
        "template": "t",
        "arguments": {"bos_token": ""},
        "config": LlamaCpp(),
        "length": 512,
        "gpu": False,
    }
    return name_model(path, **(values | changes))


def test_llama_cpp_replies_hang_on_these(weights: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(b"others!")
    names = [
        name(weights),
        name(other),
        name(weights, template="u"),
        name(weights, arguments={"bos_token": "<s>"}),
        name(weights, arguments={"bos_token": "", "enable_thinking": True}),
        name(weights, config=LlamaCpp(reproducible=True)),
        name(weights, config=LlamaCpp(gpu_layers=-1), gpu=True),
        name(weights, config=LlamaCpp(gpu_layers=3), gpu=True),
        name(weights, length=4352),  # other factors of positions (Phi-3)
    ]
    assert len(set(names)) == len(names)
    same = [
        name(weights, config=LlamaCpp(slots=3, threads=1, cache_mb=0, model="elsewhere.gguf")),
        name(weights, config=LlamaCpp(gpu_layers=-1)),  # llama.cpp was not built for a GPU
        name(weights, length=4096),
        name(weights, info=GGUFInfo("llama", "Q8_0", 8192, "t", 1, 7), length=8192),
    ]
    assert set(same) == {names[0]}


def test_replies_of_servers_hang_on_what_is_known_of_them() -> None:
    served = Served("m", "weights", OTHER)
    others = [
        replace(served, identity="others"),
        replace(served, build="b1"),
        replace(served, dialect=VLLM),
        replace(served, logprobs=False),
    ]
    assert len({one.hash for one in (served, *others)}) == 5
    assert replace(served, context=9, slots=2, limit_name="max_completion_tokens").hash == served.hash


# -- what a run may be resumed with


def edit(done: Run, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the definition that a run's store has, as another version of society would have written it."""
    with sqlite3.connect(done.folder / "store.sqlite") as db:
        [(text,)] = db.execute("SELECT value FROM meta WHERE name = 'definition'")
        definition = json.loads(text)
        change(definition)
        db.execute("UPDATE meta SET value = ?, name = name WHERE name = 'definition'", (json.dumps(definition),))
        db.execute("UPDATE meta SET value = 'of another version' WHERE name = 'fingerprint'")
    db.close()


def test_an_option_that_a_newer_society_has_added_does_not_count(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    done = run(scenario(TEXT), tmp_path / "run")
    before = rows(done)
    edit(done, lambda definition: (definition.pop("samples"), definition["phases"][0].pop("schedule")))
    assert rows(run(scenario(TEXT), done.folder, resume=True)) == before
    edit(done, lambda definition: definition.pop("samples"))
    with pytest.raises(RunFolderError, match="samples was 1 and is 2"):
        run(scenario(TEXT, "samples=2"), done.folder, resume=True)


def test_a_default_that_has_changed_since_is_refused_and_named(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    done = run(scenario(TEXT), tmp_path / "run")
    edit(done, lambda definition: definition["sampling"].update(temperature=0.3))
    with pytest.raises(RunFolderError, match=r"sampling.temperature was 0.3 and is None"):
        run(scenario(TEXT), done.folder, resume=True)


def test_an_option_that_no_longer_exists_is_refused_and_named(
    scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    done = run(scenario(TEXT), tmp_path / "run")
    edit(done, lambda definition: definition["phases"][0].update(mood="calm"))
    with pytest.raises(RunFolderError, match=r"phases.0.mood was 'calm' and is absent"):
        run(scenario(TEXT), done.folder, resume=True)


def test_differences_are_named() -> None:
    assert difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "a.1.b was 2 and is 3"
    assert difference({"a": [1]}, {"a": [1, 2]}) == "a was [1] and is [1, 2]"
    assert difference({"a": 1}, {"a": 1, "b": None}) == "b was absent and is None"
    assert difference({"a": 1}, {"a": 1, "b": None}, added=False) is None
    assert difference({"a": {"b": 1}}, {"a": {"b": 1}}) is None


def test_versions_that_began_a_run_stay_known(
    scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(scenario(TEXT), tmp_path / "run")
    first = json.loads(done.meta()["versions"])
    assert json.loads(done.meta()["later_versions"]) == []
    for place in ("folder", "session_log"):
        monkeypatch.setattr(f"society.runs.{place}.read_versions", lambda: first | {"society": "9"})
    for _ in range(2):
        run(scenario(TEXT), done.folder, resume=True)
    assert json.loads(done.meta()["versions"]) == first
    assert json.loads(done.meta()["later_versions"]) == [first | {"society": "9"}]
    assert [session.versions for session in done.sessions()] == ["", "society 9", "society 9"]
    assert ("later with", "society 9") in _list_facts(read_runs([done])[0])


def test_other_questions_of_the_same_task_are_refused(
    scenario: Callable[..., Scenario], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of the library that makes the questions gives others under the same options."""
    done = run(scenario(TEXT), tmp_path / "run")
    before = rows(done)
    questions = Arithmetic.questions

    def others(self: Arithmetic, seed: int) -> Iterator[Item]:
        return (replace(item, question=f"Now, {item.question}") for item in questions(self, seed))

    monkeypatch.setattr(Arithmetic, "questions", others)
    with pytest.raises(RunFolderError, match="The questions are not those"):
        run(scenario(TEXT), done.folder, resume=True)
    assert rows(done) == before


def test_what_was_measured_is_forgotten_once_turns_change(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    done = run(scenario(TEXT), tmp_path / "run")
    measured = done.folder / "diversity.json"
    measured.write_text("[]")
    run(scenario(TEXT), done.folder, resume=True)
    assert measured.exists()
    with sqlite3.connect(done.folder / "store.sqlite") as db:
        db.execute("UPDATE turns SET status='failed', text='', answer=NULL, replied=0 WHERE agent='solver-2'")
    db.close()
    run(scenario(TEXT), done.folder, resume=True)
    assert not measured.exists()
