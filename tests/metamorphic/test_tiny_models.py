"""On a small random model: batches change no text, and every option is in the model's hash or changes no text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from backends.hf import HuggingFace
from society.core.definition import is_tuning
from society.core.errors import RunFolderError
from society.session import run
from tests.backends.hf.tiny import TEMPLATE, make_model, one_thread
from tests.metamorphic.relation import counted, relation
from tests.metamorphic.runs import differences, load, workplace
from tests.metamorphic.tiny import debating, spoken, write_colours

pytest.importorskip("torch")
Models = tuple[Path, Path]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Models]:
    """Two models of other weights."""
    folder = tmp_path_factory.mktemp("models")
    with one_thread():
        yield make_model(folder / "one", seed=1), make_model(folder / "two", seed=2)


@pytest.fixture(scope="module")
def plain(models: Models) -> dict[str, Any]:
    """Return the replies of a run with one reply at a time."""
    with workplace() as folder:
        write_colours(folder)
        return spoken(run(load(debating(models[0], batch=1), folder, "concurrency=1"), folder / "run"))


@relation(
    5,
    tuned=st.fixed_dictionaries(
        {
            "batch": st.integers(2, 9),
            "cache_tokens": st.sampled_from([256, 65536]),
            "concurrency": st.integers(1, 4),
        }
    ),
)
def test_batches_and_concurrency_change_no_text(models: Models, plain: dict[str, Any], tuned: dict[str, int]) -> None:
    concurrency = tuned.pop("concurrency")
    with workplace() as folder:
        write_colours(folder)
        scenario = load(debating(models[0], **tuned), folder, f"concurrency={concurrency}")
        assert not differences(plain, spoken(run(scenario, folder / "run")))


OPTIONS: dict[str, Any] = {
    "device": "auto",
    "dtype": "bfloat16",
    "context": 120,
    "chat_template": TEMPLATE.replace("<|end|>", "<|end|> <|end|>"),
    "batch": 2,
    "cache_tokens": 512,
    "decoding": "static",
    "host_memory": 1.0,
    "price": {"prompt": 2, "generated": 8},
    "model": None,
}
"""Another value of each option; that of `model` is the other model."""


def test_every_option_of_the_backend_is_looked_at() -> None:
    needs_a_gpu_or_the_hub = {"quantize", "revision"}
    assert set(OPTIONS) | needs_a_gpu_or_the_hub == set(HuggingFace.model_fields) - {"kind"}


@pytest.mark.parametrize("option", OPTIONS)
@counted
def test_an_option_is_in_the_hash_or_changes_no_text(models: Models, plain: dict[str, Any], option: str) -> None:
    value = str(models[1]) if option == "model" else OPTIONS[option]
    with workplace() as folder:
        write_colours(folder)
        base = load(debating(models[0]), folder)
        changed = load(debating(models[0], **{option: value}), folder)
        before = run(base, folder / "before")
        shutil.copytree(folder / "before", folder / "resumed")
        after = run(changed, folder / "after", reuse=[folder / "before"])
        equal_hash = before.meta()["models"] == after.meta()["models"]
        assert not differences(plain, spoken(before))
        if equal_hash:
            assert not differences(plain, spoken(after))
        else:
            assert after.count_reused() == 0
        if equal_hash and is_tuning(HuggingFace.model_fields[option].json_schema_extra):
            assert not differences(plain, spoken(run(changed, folder / "resumed", resume=True)))
        else:
            with pytest.raises(RunFolderError):
                run(changed, folder / "resumed", resume=True)
