"""A backend whose agents agree until their second finetuning, after which some proposals differ, or fail on request."""

import hashlib
import json
import os
from pathlib import Path
from typing import ClassVar, Literal

from backends.base import Backend, BackendConfig
from backends.training import Training
from society.core.errors import BackendError
from society.core.types import Adapter, GenerateOutput, Usage

FAILS = "TURNING_FAILS"
"""Environment variable. If it is set, turns after the second finetuning fail where answers would differ."""


class Turning(BackendConfig):
    """Says 4. The names of its adapters start with the number of finetunings."""

    abilities: ClassVar[frozenset[str]] = frozenset({"adapters", "trainer"})
    kind: Literal["turning"] = "turning"

    def open(self):
        return TurningBackend()


class TurningBackend(Backend):
    model_hash = "turning-1"

    def __init__(self):
        self.adapters = self.trainer = self

    async def generate(self, request):
        kind, _, question = request.messages[-1].content.partition(" ")
        answer = 4
        if count_finetunings(request.adapter) == 2 and hashlib.sha256(question.encode()).digest()[0] % 2:
            if FAILS in os.environ:
                raise BackendError("This turn was made to fail.", "")
            answer += request.seed % 3 if kind == "propose" else 0
        return GenerateOutput(f"It is {answer}.", "stop", Usage(5, 3))

    def identify(self, path: Path):
        return Adapter(json.loads((path / "adapter").read_text())["name"], str(path), self.model_hash)

    async def load(self, adapter):
        pass

    async def train(self, examples, settings, start, folder, *, seed, on_step=None, **more):
        rows = repr([(e.source, e.rule) for e in examples])
        digest = hashlib.sha256(f"{rows} {seed} {start and start.hash}".encode()).hexdigest()[:12]
        name = f"{count_finetunings(start and start.hash) + 1}-{digest}"
        folder.mkdir(exist_ok=True)
        (folder / "adapter").write_text(json.dumps({"name": name}))
        return Training(Adapter(name, str(folder), self.model_hash), (0.5,), 10, len(examples))


def count_finetunings(adapter):
    return int(adapter.partition("-")[0]) if adapter else 0
