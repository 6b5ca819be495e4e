"""The options of the HTTP backend, as a scenario's `backends:` entry gives them. Connects to nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from backends.base import Ability, Backend, BackendConfig, Count, Demand


def _address(url: str) -> str:
    """The URL without a slash at its end; one that could carry a secret or leads nowhere is refused."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be http://HOST... or https://HOST...")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must hold no name, password or query: keys come from the environment")
    return url.rstrip("/")


class OpenAI(BackendConfig):
    """Any OpenAI-compatible server: vLLM, llama.cpp's own, SGLang, Ollama, hosted ones."""

    abilities: ClassVar[frozenset[Ability]] = frozenset({"adapters", "choices"})

    kind: Literal["openai"] = "openai"
    url: Annotated[str, AfterValidator(_address)] = Field(
        default="http://127.0.0.1:8080/v1", json_schema_extra={"tuning": True}
    )
    """Where the server is, up to and with `/v1`. The same model elsewhere is the same: a run may move."""
    model: str | None = Field(default=None, min_length=1)
    """The model's name on the server; by default the only one that the server has."""
    key_env: str | None = Field(default=None, pattern=r"^[A-Z][A-Z0-9_]*_API_KEY$")
    """The environment variable that holds the key, never the key. For api.openai.com OPENAI_API_KEY, else none. To
    another host than this machine it goes only if NAME_BASE_URL (for NAME_API_KEY) names that host."""
    context: int | None = Field(default=None, ge=16, json_schema_extra={"tuning": True})
    """Tokens of a prompt and its reply together; by default what the server says."""
    logprobs: bool = True
    """Whether to ask for the replies' log-probabilities; a server that has none is not asked again."""
    timeout: float = Field(default=600.0, gt=0, json_schema_extra={"tuning": True})
    """Seconds until a request that was not answered counts as failed."""
    concurrency: int = Field(default=64, ge=1, json_schema_extra={"tuning": True})
    """Most requests in flight; there are fewer while the server is busy."""

    def open(self) -> Backend:
        """The backend, not yet connected."""
        from backends.openai.backend import OpenAIBackend

        return OpenAIBackend(self)

    def context_tokens(self) -> int | None:
        """What the scenario says; else only the server knows."""
        return self.context

    def fitted(self, demand: Callable[[Count], Demand], adapters: Sequence[Path]) -> OpenAI:
        """With the server's context, checked against the scenario's longest prompt where the server counts tokens.

        Without a server this stays as it is: opening says what is wrong. Raises `InputError` where it cannot fit.
        """
        from backends.openai.counting import fit

        return fit(self, demand)
