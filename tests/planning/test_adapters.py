"""Adapters and layers to train are checked before a run: by `check`, by `plan`, and before the first turn of a run."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import society
from backends.llama_cpp.config import LlamaCpp
from society.core.errors import SocietyError
from society.planning.plan import make_plan
from society.scenario.expand import expand
from tests.backends.hf.made import make_adapter
from tests.backends.hf.tiny import make_model, one_thread

torch = pytest.importorskip("torch")

from backends.hf.adapters import hash_adapter  # noqa: E402

DATA: dict[str, Any] = {
    "version": 1,
    "name": "x",
    "task": {"kind": "jsonl", "path": "rows.jsonl", "limit": 1, "answer": {"extract": ["text"], "equal": "exact"}},
    "roles": {"r": {"prompt": "{{ question }}", "choices": ["red", "green"]}},
    "agents": {"a": {}, "b": {}},
    "phases": [{"name": "d"}],
    "sampling": {"max_tokens": 4},
}
SETTINGS = {"rank": 4, "batch_size": 2, "accumulation": 1, "epochs": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, two adapters for it, and questions."""
    folder = tmp_path_factory.mktemp("place")
    make_model(folder / "model", 1)
    make_adapter(folder / "model", folder / "plain")
    make_adapter(folder / "model", folder / "pissa", init_lora_weights="pissa")
    make_adapter(folder / "model", folder / "tied", target_modules=["lm_head"])
    make_adapter(make_model(folder / "wide", 1, hidden_size=64), folder / "of the wide")
    rows = [{"question": f"the {word} ?", "answer": "red"} for word in ("cat", "dog", "mat")]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def data(train: dict[str, Any] | None = None, settings: dict[str, Any] | None = None, **agents: str) -> dict[str, Any]:
    """Return a scenario whose agents have these adapters."""
    made = DATA | {"backends": {"m": {"kind": "hf", "model": "model", "device": "cpu", "dtype": "float32"}}}
    made["agents"] = {name: {"adapter": agents[name]} if name in agents else {} for name in ("a", "b")}
    if train is not None:
        learner = {"phases": ["d"], "turn": "last", "select": {"kind": "all"}}
        common = {"iterations": 1, "questions": 2, "label": "gold", "learners": {"l": learner}}
        made["train"] = common | train | {"settings": SETTINGS | (settings or {})}
    return made


LORA = [
    (data(a="pissa"), "agents.a.adapter: ", "changes the weights of the base"),
    (data(b="of the wide"), "agents.b.adapter: ", "that layer has 32"),
    (
        data({}, {"targets": ["q_proj", "lm_head"]}),
        "train.settings.targets: ",
        "lm_head are those of the input embeddings",
    ),
    (data({}, {"targets": ["embed_tokens"]}), "train.settings.targets: ", "no linear layer"),
    (data({}, {"targets": ["nose"]}), "train", "nose"),
    (data({}, {"rank": 8}, a="plain", b="plain"), "train.settings.rank: ", "rank 4, not 8"),
    (data({}, a="tied", b="tied"), "train.settings.targets: ", "lm_head are those of the input embeddings"),
]
SHARED = data({"learners": {"l": {"phases": ["d"], "turn": "last", "adapter": "shared"}}}, a="plain")


@pytest.mark.parametrize(
    ("scenario", "where", "match"), [*LORA, (SHARED, "train.learners.l: ", "begin with different adapters")]
)
def test_what_cannot_be_loaded_or_trained_is_refused_before_a_run(place, tmp_path, scenario, where, match):
    problems = [str(p) for p in society.check(scenario, folder=place) if p.level == "error"]
    assert len(problems) == 1, problems
    problem = problems[0]
    assert problem.startswith(where)
    assert match in problem
    loaded = society.Scenario.from_dict(scenario, folder=place)
    with pytest.raises(SocietyError, match=match):
        make_plan(expand(loaded), 0)
    with pytest.raises(SocietyError, match=match), one_thread():
        society.run(loaded, tmp_path / "run", progress=False)
    for store in (tmp_path / "run").glob("*.sqlite"):
        with closing(sqlite3.connect(store)) as db:
            assert db.execute("SELECT count(*) FROM turns").fetchone() == (0,)


def test_a_training_starts_from_the_adapter_of_its_agent(place, tmp_path):
    scenario = society.Scenario.from_dict(data({}, {"learning_rate": 1e-9}, a="plain"), folder=place)
    with one_thread():
        run = society.run(scenario, tmp_path / "run", progress=False)
    first, second = (run.folder / row.path for row in run.adapters())
    from safetensors.torch import load_file

    given = load_file(place / "plain" / "adapter_model.safetensors")
    trained = load_file(first / "adapter_model.safetensors")
    assert given.keys() == trained.keys()
    assert all(torch.allclose(given[name], trained[name], atol=1e-6) for name in given)
    assert given.keys() != load_file(second / "adapter_model.safetensors").keys()  # from the base, on all layers
    assert hash_adapter(first) != hash_adapter(place / "plain")


def test_a_machine_without_the_libraries_checks_options_alone(place, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    scenario = society.Scenario.from_dict(
        data({}, {"targets": ["nose"]}, a="of the wide", b="of the wide"), folder=place
    )
    config = scenario.backends["m"]
    config.check_adapter(place / "of the wide")
    config.check_layers(scenario.train.settings, place / "plain")
    with pytest.raises(SocietyError, match="changes the weights"):
        config.check_adapter(place / "pissa")


def test_llama_cpp_needs_a_file(place):
    with pytest.raises(SocietyError, match="is a folder") as caught:
        LlamaCpp(model="model.gguf").check_adapter(place / "plain")
    assert "convert_lora_to_gguf.py" in caught.value.remedy
