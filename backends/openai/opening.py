"""Reads the kind, models, context and adapters of a server before any work, and sends a test request."""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from backends.openai import ollama
from backends.openai.asking import ask_server
from backends.openai.client import Client, UnknownHostError, UnreachableError
from backends.openai.config import OpenAI
from backends.openai.dialects import LLAMA_CPP, LM_STUDIO, OLLAMA, OTHER, find_dialect
from backends.openai.failures import NoAnswerError, WebPageError
from backends.openai.replies import find_end
from backends.openai.served import Served
from backends.openai.wire import LoadedModels, LoraList, ModelEntry, Props
from society.core.errors import BackendError, InputError, TransientError, UnavailableError
from society.core.identity import fingerprint
from society.core.types import ChatMessage, GenerateRequest, Sampling

WAITS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts at a server that is busy or still loads its model. The engine retries only turns."""
_WEIGHTS = ("n_params", "size", "ftype", "n_vocab", "n_embd", "n_ctx_train", "vocab_type")
"""Properties of the weights that llama.cpp reports; its other properties depend on its options."""
_SHOWN = 12
Found = TypeVar("Found")


class NoServerError(InputError, UnavailableError):
    """No server answers when a run begins: the run waits for it."""


class NoHostError(NoServerError):
    """The name in the address does not resolve when a run begins. A run that is resumed waits."""

    may_pass = False


async def find_server(client: Client, config: OpenAI) -> Served:
    """Return the scenario's model after a test request.

    Raises `InputError` for problems that the user can correct, and `BackendError` if the server fails.
    """
    try:
        return await probe(client, config, await look(client, config))
    except UnreachableError as error:
        remedy = "Start the server, or correct `url` (society ask: --model). For llama.cpp: llama-server -m MODEL.gguf"
        kind = NoHostError if isinstance(error, UnknownHostError) else NoServerError
        raise kind(error.cause, remedy) from None
    except WebPageError as error:
        raise InputError(error.cause, error.remedy) from None
    except TransientError:
        raise
    except BackendError as error:
        raise InputError(error.cause, error.remedy) from None


async def look(client: Client, config: OpenAI) -> Served:
    """Return the scenario's model as the server describes it. Raises `InputError` if the server does not have it."""
    entry = _choose(config, await _list_models(client, config))
    weights_of = (entry.root or "").replace("\\", "/").rpartition("/")[2]  # the folder may differ between machines
    identity = fingerprint([entry.id, weights_of])
    dialect = find_dialect(entry.owned_by, config.url)
    served = Served(entry.id, identity, dialect, _smaller(config.context, entry.max_model_len), folder=entry.root)
    if dialect is LLAMA_CPP:
        return await _look_at_llama_cpp(client, config, entry, served)
    if dialect is LM_STUDIO:
        return await _look_at_lm_studio(client, config, entry, served)
    if dialect is OTHER:
        return await _look_at_ollama(client, config, entry) or served
    return served


async def _look_at_llama_cpp(client: Client, config: OpenAI, entry: ModelEntry, served: Served) -> Served:
    props = await retry(partial(client.get, f"{client.root}/props", Props))
    loras = await retry(partial(client.get, f"{client.root}/lora-adapters", LoraList))
    file = entry.id.replace("\\", "/").rpartition("/")[2]  # the default name is a path
    weights = {name: (entry.meta or {}).get(name) for name in _WEIGHTS}
    return replace(
        served,
        identity=fingerprint([file, weights, props.chat_template]),
        context=_smaller(config.context, props.default_generation_settings.n_ctx),
        slots=props.total_slots,
        adapters=tuple((lora.id, lora.path) for lora in loras.root),
    )


async def _look_at_lm_studio(client: Client, config: OpenAI, entry: ModelEntry, served: Served) -> Served:
    """Add the context and the quantisation of a loaded model, where LM Studio's own API names them."""
    try:
        models = await client.get(f"{client.root}/api/v0/models", LoadedModels)
    except UnreachableError:
        raise
    except BackendError:
        return served
    loaded = next((model for model in models.data if model.id == entry.id), None)
    if loaded is None:
        return served
    context = _smaller(config.context, loaded.loaded_context_length)
    return replace(served, identity=fingerprint([entry.id, loaded.arch, loaded.quantization]), context=context)


async def _look_at_ollama(client: Client, config: OpenAI, entry: ModelEntry) -> Served | None:
    """Return the model on Ollama; None if the server is not Ollama. Its models have owners of any name."""
    try:
        version = await client.get(f"{client.root}/api/version", ollama.Version)
        model = (await client.get(f"{client.root}/api/tags", ollama.Models)).find(entry.id)
        details = await client.post(f"{client.root}/api/show", {"model": entry.id}, ollama.Details)
    except UnreachableError:
        raise
    except BackendError:
        return None
    if model is None:
        return None
    identity = fingerprint(["ollama", model.digest])
    return Served(entry.id, identity, OLLAMA, config.context, build=version.version, longest=details.context)


def _smaller(*contexts: int | None) -> int | None:
    """Return the smallest of the known contexts, in tokens."""
    return min(filter(None, contexts), default=None)


async def _list_models(client: Client, config: OpenAI) -> list[ModelEntry]:
    """Return the server's list of models. A server without a list is assumed to have the scenario's model."""
    try:
        return (await retry(client.list_models)).data
    except TransientError:
        raise
    except BackendError as error:
        if config.model is None or " returned 404" not in error.cause:
            raise
        return [ModelEntry(id=config.model)]


def _choose(config: OpenAI, entries: list[ModelEntry]) -> ModelEntry:
    by_name = {entry.id: entry for entry in entries}
    for name in (config.model, f"{config.model}:latest"):  # Ollama's default tag may be left out
        if name in by_name:
            return by_name[name]
    bases = [entry for entry in entries if entry.parent is None]
    if config.model is None and len(bases) == 1:
        return bases[0]
    near = difflib.get_close_matches(config.model or "", by_name, n=_SHOWN, cutoff=0.5)
    shown = (near or list(by_name))[:_SHOWN]
    names = ", ".join(shown) + (f" and {len(by_name) - len(shown)} more" if len(by_name) > len(shown) else "")
    what = (
        f"has no model {config.model!r}" if config.model else f"has {len(by_name)} models, and the scenario names none"
    )
    listed = f"Set `model` (society ask: --model URL#MODEL); it has: {names}." if names else "Load one."
    raise InputError(f"The server at {config.url} {what}.", f"{listed}{_how_to_get(config.model, entries)}")


def _how_to_get(model: str | None, entries: list[ModelEntry]) -> str:
    """Return the command that gives a server this model, for servers that can load another one."""
    dialect = find_dialect(entries[0].owned_by) if entries else OTHER
    if model is None or dialect not in (LM_STUDIO, OTHER):
        return ""
    return f" LM Studio: lms get {model}." if dialect is LM_STUDIO else f" If it is Ollama: ollama pull {model}."


async def probe(client: Client, config: OpenAI, served: Served) -> Served:
    """Request a few tokens. So a refused key or model is an error now, and unsupported options are known."""
    served = replace(served, logprobs=config.logprobs)
    request = GenerateRequest((ChatMessage("user", "Hello."),), Sampling(max_tokens=16), seed=1)
    while True:
        try:
            completion = await retry(partial(ask_server, client, served, request, {}))
        except BackendError as error:
            served = _without(served, error)
            continue
        choice = completion.choices[0]
        try:
            find_end(choice, f"The server at {client.url}")
        except TransientError as error:
            raise InputError(error.cause, error.remedy) from None
        build = completion.system_fingerprint if served.dialect.one_build else None
        return replace(served, build=served.build or build, logprobs=served.logprobs and choice.logprobs is not None)


def _without(served: Served, error: BackendError) -> Served:
    """Return `served` without the option that the server has just refused. Raises any other error."""
    cause = error.cause.lower()
    if "max_completion_tokens" in cause and served.limit_name == "max_tokens":
        return replace(served, limit_name="max_completion_tokens")
    if ("logprob" in cause or "requested parameters" in cause) and served.logprobs:
        return replace(served, logprobs=False)
    if "stream" in cause and not served.streams:
        return replace(served, streams=True)
    if ("seed" in cause or "requested parameters" in cause) and served.seed_name:
        return replace(served, seed_name="random_seed" if "extra" in cause and served.seed_name == "seed" else "")
    raise error


async def retry(ask: Callable[[], Awaitable[Found]]) -> Found:
    """Return the result of `ask`, retried after transient errors."""
    for wait in WAITS:
        try:
            return await ask()
        except (UnreachableError, NoAnswerError, WebPageError):
            raise
        except TransientError as error:
            if "logprob" in error.cause.lower():  # some servers refuse them with status 500: permanent
                raise
            await asyncio.sleep(wait)
    return await ask()
