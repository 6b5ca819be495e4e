"""Scenarios on a small random model of transformers, with finetuning or without."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from society.core.errors import BackendError
from society.core.types import GenerateOutput, GenerateRequest
from society.runs.run import Run
from tests.metamorphic.runs import Spec, outcome
from tests.metamorphic.speakers import KINDS

COLOURS = ["red", "green", "blue"]
QUESTIONS = [f"the {a} {b} is" for a in ("cat", "dog", "mat", "far") for b in ("one", "two", "three", "four")]


def write_colours(folder: Path) -> None:
    """Write the file of questions that the scenarios name."""
    rows = ({"question": text, "answer": COLOURS[i % 3]} for i, text in enumerate(QUESTIONS))
    (folder / "colours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def debating(weights: Path, /, **options: Any) -> Spec:
    """Three agents that say a few words each, twice; `options` are the backend's."""
    prompt = "{% for m in heard %}{{ m.text }} {% endfor %}. {{ question }}"
    return {
        "version": 1,
        "name": "tiny",
        "task": {"kind": "jsonl", "path": "colours.jsonl", "limit": 3, "answer": {"extract": ["text"]}},
        "backends": {"tiny": {"kind": "hf", "model": str(weights), "device": "cpu", "dtype": "float32"} | options},
        "roles": {"painter": {"prompt": prompt, "confidence": "logprob"}},
        "agents": {"painter": {"count": 3}},
        "phases": [{"name": "debate", "topology": "complete", "rounds": 2}],
        "sampling": {"max_tokens": 6},
    }


def training(model: Path, learner: Spec, **options: Any) -> Spec:
    """Three agents that choose a colour and are finetuned on what they agreed on."""
    spec = debating(model, context=200)
    role = {**spec["roles"]["painter"], "choices": COLOURS}
    settings = {"rank": 2, "batch_size": 4, "accumulation": 1, "epochs": 1, "learning_rate": 0.05}
    train = {"questions": 6, "settings": settings, "learners": {"all": {"phases": ["debate"], **learner}}, **options}
    return {**spec, "roles": {"painter": role}, "train": train}


def spoken(run: Run) -> dict[str, Any]:
    """Return the outcome of a run without values that rounding may change: log-probabilities, and cached tokens."""
    found = outcome(run)
    for key, turn in found.items():
        if key.startswith("turn"):
            usage = replace(turn.usage, cached_tokens=0)
            found[key] = replace(turn, logprob=None, confidence=None, usage=usage)
    return {key: value for key, value in found.items() if not key.startswith("summary")}


@contextmanager
def failing(broken: frozenset[int]) -> Iterator[None]:
    """Let requests of these kinds fail on transformers' backends within this context."""
    from backends.hf.backend import HuggingFaceBackend

    generate: Callable[..., Any] = HuggingFaceBackend.generate

    async def flawed(backend: HuggingFaceBackend, request: GenerateRequest) -> GenerateOutput:
        if hashlib.blake2b(repr(request).encode(), digest_size=1).digest()[0] % KINDS in broken:
            raise BackendError("Out of order.")
        return await generate(backend, request)  # type: ignore[no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HuggingFaceBackend, "generate", flawed)
        yield
