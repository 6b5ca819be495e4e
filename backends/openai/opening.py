"""Reads the kind, models, context and adapters of a server before any work."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from backends.openai.client import Client, UnreachableError
from backends.openai.config import OpenAI
from backends.openai.dialects import LLAMA_CPP, Dialect, LimitName, find_dialect, write_body
from backends.openai.failures import NoAnswerError
from backends.openai.wire import Completion, LoraList, ModelEntry, ModelList, Props
from society.core.errors import BackendError, InputError, TransientError
from society.core.identity import fingerprint
from society.core.types import ChatMessage, GenerateRequest, Sampling

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts at a server that is busy or still loads its model. The engine retries only turns."""
_WEIGHTS = ("n_params", "size", "ftype", "n_vocab", "n_embd", "n_ctx_train", "vocab_type")
"""Properties of the weights that llama.cpp reports; its other properties depend on its options."""
_SHOWN = 12
Found = TypeVar("Found")


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
    limit_name: LimitName = "max_tokens"
    build: str | None = None
    """Version of the program that runs the weights."""

    @property
    def hash(self) -> str:
        """Hash of everything known to determine the replies.

        The weights, the program, the dialect of requests, and whether replies have log-probabilities, on which
        confidences may be based.
        """
        return fingerprint([self.identity, self.build, self.dialect.name, self.logprobs])


async def find_server(client: Client, config: OpenAI) -> Served:
    """Return the scenario's model after a test request.

    Raises `InputError` for problems that the user can correct, and `BackendError` if the server fails.
    """
    try:
        return await probe(client, config, await look(client, config))
    except UnreachableError as error:
        remedy = "Start the server, or correct `url`. For llama.cpp: llama-server -m MODEL.gguf --port 8080"
        raise InputError(error.cause, remedy) from None
    except TransientError:
        raise
    except BackendError as error:
        raise InputError(error.cause, error.remedy) from None


async def look(client: Client, config: OpenAI) -> Served:
    """Return the scenario's model as the server describes it. Raises `InputError` if the server does not have it."""
    entry = _choose(config, await _list_models(client, config))
    weights_of = (entry.root or "").replace("\\", "/").rpartition("/")[2]  # the folder may differ between machines
    identity = fingerprint([entry.id, weights_of])
    served = Served(entry.id, identity, find_dialect(entry.owned_by), entry.max_model_len)
    if served.dialect is not LLAMA_CPP:
        return served
    props = await _retry(partial(client.get, f"{client.root}/props", Props))
    loras = await _retry(partial(client.get, f"{client.root}/lora-adapters", LoraList))
    file = entry.id.replace("\\", "/").rpartition("/")[2]  # the default name is a path
    weights = {name: (entry.meta or {}).get(name) for name in _WEIGHTS}
    return replace(
        served,
        identity=fingerprint([file, weights, props.chat_template]),
        context=props.default_generation_settings.n_ctx,
        slots=props.total_slots,
        adapters=tuple((lora.id, lora.path) for lora in loras.root),
    )


async def _list_models(client: Client, config: OpenAI) -> list[ModelEntry]:
    """Return the server's list of models. A server without a list is assumed to have the scenario's model."""
    try:
        return (await _retry(partial(client.get, f"{client.url}/models", ModelList))).data
    except TransientError:
        raise
    except BackendError as error:
        if config.model is None or " returned 404" not in error.cause:
            raise
        return [ModelEntry(id=config.model)]


def _choose(config: OpenAI, entries: list[ModelEntry]) -> ModelEntry:
    by_name = {entry.id: entry for entry in entries}
    if config.model in by_name:
        return by_name[config.model]
    if config.model is None and len(by_name) == 1:
        return entries[0]
    near = difflib.get_close_matches(config.model or "", by_name, n=_SHOWN, cutoff=0.5)
    shown = (near or list(by_name))[:_SHOWN]
    names = ", ".join(shown) + (f" and {len(by_name) - len(shown)} more" if len(by_name) > len(shown) else "")
    what = (
        f"has no model {config.model!r}" if config.model else f"has {len(by_name)} models, and the scenario names none"
    )
    raise InputError(f"The server at {config.url} {what}.", f"Set `model`; it has: {names}." if names else "Load one.")


async def probe(client: Client, config: OpenAI, served: Served) -> Served:
    """Request a few tokens. So a refused key or model is an error now, and unsupported options are known."""
    served = replace(served, logprobs=config.logprobs)
    request = GenerateRequest((ChatMessage("user", "Hello."),), Sampling(max_tokens=16), seed=1)
    while True:
        body = write_body(served.dialect, served.model, request, served.limit_name, served.logprobs)
        try:
            completion = await _retry(partial(client.post, f"{client.url}/chat/completions", body, Completion))
        except BackendError as error:
            served = _without(served, error)
            continue
        build = completion.system_fingerprint if served.dialect.one_build else None
        has_logprobs = served.logprobs and completion.choices[0].logprobs is not None
        return replace(served, build=build, logprobs=has_logprobs)


def _without(served: Served, error: BackendError) -> Served:
    """Return `served` without the option that the server has just refused. Raises any other error."""
    cause = error.cause.lower()
    if "max_completion_tokens" in cause and served.limit_name == "max_tokens":
        return replace(served, limit_name="max_completion_tokens")
    if "logprob" in cause and served.logprobs:
        return replace(served, logprobs=False)
    raise error


async def _retry(ask: Callable[[], Awaitable[Found]]) -> Found:
    """Return the result of `ask`, retried after transient errors."""
    for wait in WAITS:
        try:
            return await ask()
        except (UnreachableError, NoAnswerError):
            raise
        except TransientError as error:
            if "logprob" in error.cause.lower():  # some servers refuse them with status 500: permanent
                raise
            await asyncio.sleep(wait)
    return await ask()
