"""A backend that guesses numbers and pretends to learn: societies that disagree can train without a model."""

import hashlib
import json
from pathlib import Path
from typing import ClassVar, Literal

from backends.base import Backend, BackendConfig
from backends.training import TOO_LONG, Training
from society.core.errors import TooLongError
from society.core.types import Adapter, GenerateOutput, Usage

ANSWERS = ("4", "4", "5", "6", "none")


class Guesser(BackendConfig):
    """Draws an answer by the seed of the request, or one of the replies that a prompt names: [[4|5]]."""

    abilities: ClassVar[frozenset[str]] = frozenset({"adapters", "trainer"})
    learns_preferences: ClassVar[bool] = True
    kind: Literal["guesser"] = "guesser"

    def open(self):
        return GuesserBackend()


class GuesserBackend(Backend):
    model_hash = "guesser-1"

    def __init__(self):
        self.adapters = self.trainer = self

    async def generate(self, request):
        said = f"{request.seed} {request.adapter} {[m.content for m in request.messages]}"
        draw = int(hashlib.sha256(said.encode()).hexdigest(), 16)
        _, _, named = request.messages[-1].content.partition("[[")
        if named:
            replies = named.partition("]]")[0].split("|")
            return GenerateOutput(replies[draw % len(replies)], "stop", Usage(5 + draw % 3, 3))
        words = ("surely", "maybe", "of course")[draw // 7 % 3]
        text = f"It is {words} {ANSWERS[draw % len(ANSWERS)]}."
        return GenerateOutput(text, "stop", Usage(5 + draw % 3, 3))

    def identify(self, path: Path):
        return Adapter(json.loads((path / "adapter").read_text())["name"], str(path), self.model_hash)

    async def load(self, adapter):
        pass

    async def train(self, examples, settings, start, folder, *, seed, on_step=None, **more):
        texts = [e.messages[-1].content for e in examples]
        omitted = {i: TOO_LONG for i, text in enumerate(texts) if len(text) > settings.max_length}
        if len(omitted) == len(examples):
            raise TooLongError("All examples are longer than max_length.", "Raise max_length.")
        plain = f"[{', '.join(f'({show(e.messages)}, {e.source!r}, {e.rule!r})' for e in examples)}]"
        name = hashlib.sha256(plain.encode()).hexdigest()
        folder.mkdir(exist_ok=True)
        rows = [[e.messages[-1].content, e.weight, e.source.iteration] for e in examples]
        (folder / "adapter").write_text(json.dumps({"name": name, "rows": rows}))
        return Training(
            Adapter(name, str(folder), self.model_hash),
            (0.5,),
            10,
            len(examples) - len(omitted),
            len(omitted),
            omitted=omitted,
        )


def show(messages):
    """Return messages as the stored hashes of earlier scenarios have them."""
    shown = ", ".join(f"ChatMessage(role={m.role!r}, content={m.content!r})" for m in messages)
    return f"({shown}{',' if len(messages) == 1 else ''})"
