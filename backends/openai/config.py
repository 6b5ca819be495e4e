"""The options of the HTTP backend, as a scenario's `backends:` entry gives them. Connects to nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from backends.base import Ability, Backend, BackendConfig, Count, Demand
from backends.openai.keys import origin

_HOST = re.compile(r"\[[0-9a-fA-F:.]+\](:[0-9]+)?|[A-Za-z0-9_.-]+(:[0-9]+)?")


def _address(url: str) -> str:
    """Return the URL without a slash at its end. Raises `ValueError` where it could carry a secret or leads nowhere.

    Only plain characters are allowed, so that every library takes the same part of the URL to be the host.
    """
    if not url.isascii() or not url.isprintable() or set(url) & set(" \\"):
        raise ValueError(
            "must hold no spaces, backslashes or letters beyond ASCII; write an international host as xn--..."
        )
    parts = urlsplit(url)
    origin(url)  # the scheme, the host and the port are usable
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise ValueError("must hold no name, password or query: keys come from the environment")
    if not _HOST.fullmatch(parts.netloc):
        raise ValueError("must be http://HOST... or https://HOST...")
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
    """The environment variable that holds the key, never the key. For https://api.openai.com OPENAI_API_KEY, else none.
    Another machine gets it over https alone, and only if NAME_BASE_URL (for NAME_API_KEY) names its host and port."""
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

    def token_counter(self, answer: int) -> AbstractContextManager[Count | None]:
        """Open the server's own count of tokens, or an upper bound where the server has none; None without a server."""
        from backends.openai.counting import count_tokens

        return count_tokens(self, answer)

    def fitted(self, demand: Demand, adapters: Sequence[Path]) -> OpenAI:
        """Return the configuration with the server's context.

        Raises `InputError` where the server counts tokens and the scenario's longest prompt does not fit.
        """
        from backends.openai.counting import fit

        return fit(self, demand)
