"""Scripted backends for metamorphic tests: replies that show everything that shaped them, and faults."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from backends.scripted.backend import Scripted, ScriptedBackend
from society.core.errors import BackendError
from society.core.types import GenerateOutput, GenerateRequest
from tests.simulation.virtual_time import VirtualTimeLoop

KINDS = 12
"""Every request is one of so many kinds, some of which fail."""


@dataclass(frozen=True)
class Manner:
    """How the scripted backend speaks in a run.

    With `traced`, a reply begins with a digest of the request and the model, so that whatever shapes one reply shapes
    all that read it. With `seeded`, replies depend on the request's seed; otherwise on all the rest of it. `tempo`
    decides how long each reply takes, in virtual time. Requests of the kinds in `broken` fail.
    """

    traced: bool = True
    seeded: bool = True
    tempo: int = 0
    broken: frozenset[int] = frozenset()


class Speaker(ScriptedBackend):
    """The scripted backend, speaking in a manner."""

    def __init__(self, config: Scripted, manner: Manner) -> None:
        super().__init__(config)
        self.manner = manner

    async def generate(self, request: GenerateRequest) -> GenerateOutput:
        digest = self._digest(request)
        if isinstance(asyncio.get_running_loop(), VirtualTimeLoop):
            luck = hashlib.blake2b(f"{digest.hex()} {self.manner.tempo}".encode(), digest_size=2).digest()
            await asyncio.sleep(int.from_bytes(luck) % 97 / 10)
        if digest[0] % KINDS in self.manner.broken:
            raise BackendError("Out of order.")
        if not self.manner.seeded:
            request = replace(request, seed=int.from_bytes(digest[:4]) >> 1)
        output = replace(await super().generate(request), logprob=-digest[1] / 100)
        if request.choices or not self.manner.traced:
            return output
        return replace(output, text=f"({_letters(digest)}) {output.text}")

    def _digest(self, request: GenerateRequest) -> bytes:
        seed = request.seed if self.manner.seeded else 0
        text = repr((self.model_hash, replace(request, seed=seed)))
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _letters(digest: bytes) -> str:
    """Return the digest in small letters, which no extractor takes for an answer."""
    return "".join(chr(ord("k") + number) for byte in digest for number in divmod(byte, 16))


@contextmanager
def speaking(manner: Manner) -> Iterator[None]:
    """Let scripted backends reply in this manner within this context."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scripted, "open", lambda config: Speaker(config, manner))
        yield
