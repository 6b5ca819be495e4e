"""The options of the HTTP backend, as a scenario's `backends:` entry gives them. Opens no connection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from backends.base import ALL_OPTIONS, Ability, Backend, BackendConfig, Count
from backends.openai.keys import is_local, origin
from backends.price import Price
from backends.sizes import Demand

_HOST = re.compile(r"\[[0-9a-fA-F:.]+\](:[0-9]+)?|[A-Za-z0-9_.-]+(:[0-9]+)?")


def check_address(url: str) -> str:
    """Return the URL without a trailing slash. Raises `ValueError` if it could hold a secret or has no host.

    Only plain characters are allowed, so that all libraries agree on the host.
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


KEY_NAME = r"^[A-Z][A-Z0-9_]*_API_KEY$"
"""Pattern of the name of an environment variable with a key."""


def _require_name(value: object) -> object:
    """Return the value. Raises a "secret" error for a text that is no name of a variable, such as the key itself."""
    if isinstance(value, str) and not re.fullmatch(KEY_NAME, value):
        wrong = "should be the name of an environment variable, such as OPENAI_API_KEY, and never the key itself"
        raise PydanticCustomError("secret", wrong)
    return value


class OpenAI(BackendConfig):
    """Any OpenAI-compatible server: vLLM, llama.cpp's own, SGLang, Ollama, hosted ones."""

    sampling_options: ClassVar[frozenset[str]] = ALL_OPTIONS
    thinking_options: ClassVar[frozenset[str]] = frozenset({"enabled", "budget", "template_args"})
    abilities: ClassVar[frozenset[Ability]] = frozenset({"adapters", "choices", "streaming"})

    kind: Literal["openai"] = "openai"
    url: Annotated[str, AfterValidator(check_address)] = Field(
        default="http://127.0.0.1:8080/v1", json_schema_extra={"tuning": True}
    )
    """Address of the server, including `/v1`. A run may continue at another address with the same model."""
    model: str | None = Field(default=None, min_length=1)
    """The model's name on the server; by default the only model of the server."""
    key_env: Annotated[str, BeforeValidator(_require_name)] | None = Field(default=None, pattern=KEY_NAME)
    """Name of the environment variable with the key, never the key itself. Default: OPENAI_API_KEY for
    https://api.openai.com, otherwise none. Another machine receives the key only over https, and only if NAME_BASE_URL
    (for NAME_API_KEY) names its host and port."""
    context: int | None = Field(default=None, ge=16, json_schema_extra={"tuning": True})
    """Maximum tokens of a prompt together with its reply; by default the server's limit. Ollama allocates this context;
    by default what the scenario needs."""
    logprobs: bool = True
    """Whether to request log-probabilities of replies. A server without them is not asked again."""
    timeout: float = Field(default=600.0, gt=0, json_schema_extra={"tuning": True})
    """Seconds after which a request without a response fails."""
    concurrency: int = Field(default=64, ge=1, json_schema_extra={"tuning": True})
    """Maximum number of requests in flight; fewer while the server is busy."""

    @property
    def gives_logprobs(self) -> bool:
        return self.logprobs

    def idle(self) -> Mapping[tuple[str | int, ...], str]:
        if urlsplit(self.url).path:
            return {}
        return {("url",): f"has no path, and servers answer below one, mostly /v1; write {self.url}/v1"}

    def open(self) -> Backend:
        """Return the backend, not yet connected."""
        from backends.openai.backend import OpenAIBackend

        return OpenAIBackend(self)

    def find_price(self) -> Price | None:
        """Return the price that the entry gives, or that of a hosted model; a server on this machine is free."""
        if self.price is not None or self.model is None or is_local(self.url):
            known = self.price is not None or is_local(self.url)
            return super().find_price() if known else None
        from backends.openai.prices import look_up

        return look_up(self.model, self.url)

    def context_tokens(self) -> int | None:
        """Return the scenario's limit; without one, only the server knows."""
        return self.context

    @property
    def unknown_context(self) -> str:
        return "Only the server knows it. Set `context` of the backend to check lengths before."

    def token_counter(self, answer: int) -> AbstractContextManager[Count | None]:
        """Open the server's own count of tokens, or an upper bound where the server has none; None without a server."""
        from backends.openai.counting import count_tokens

        return count_tokens(self, answer)

    def fitted(self, demand: Demand, adapters: Sequence[Path]) -> OpenAI:
        """Return the configuration with the server's context.

        Raises `InputError` if the server counts tokens and the scenario's longest prompt does not fit.
        """
        from backends.openai.counting import fit

        return fit(self, demand)
