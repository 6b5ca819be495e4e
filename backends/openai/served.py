"""A model on a server, as it was found."""

from __future__ import annotations

from dataclasses import dataclass

from backends.openai.dialects import Dialect
from society.core.identity import fingerprint


@dataclass(frozen=True)
class Served:
    """A model on a server."""

    model: str
    identity: str
    """Hash of the properties of the weights."""
    dialect: Dialect
    context: int | None = None
    slots: int | None = None
    adapters: tuple[tuple[int, str], ...] = ()
    """Adapters of llama.cpp's server: number and path."""
    logprobs: bool = True
    limit_name: str = "max_tokens"
    seed_name: str = "seed"
    """The server's name of the seed; "" if it takes none."""
    streams: bool = False
    """Whether the server answers only as a stream."""
    folder: str | None = None
    """Name or folder of the weights, as vLLM and SGLang report it."""
    longest: int | None = None
    """Maximum context of the model on Ollama, which allocates as much as a request asks for."""
    build: str | None = None
    """Version of the program that runs the weights."""

    @property
    def hash(self) -> str:
        """Hash of everything known to determine the replies.

        The weights, the program, the dialect of requests, and whether replies have log-probabilities, on which
        confidences may be based.
        """
        return fingerprint([self.identity, self.build, self.dialect.name, self.logprobs])
