"""The models on this machine, and whether the memory holds a debate on each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from backends.llama_cpp.config import LlamaCpp
from backends.llama_cpp.sizes import free_memory
from backends.models.local.find import find_local
from backends.models.local.model import LocalModel
from backends.openai.running import add_servers
from society.core.errors import InputError, SocietyError

AGENTS, TOKENS = 3, 4096
"""Agents of a usual debate that speak at the same time, and the tokens of prompt and reply of each."""
FLOAT32 = 4
"""Bytes of a weight of the backend hf on a CPU."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A model with the bytes that a usual debate needs. `memory` and `fits` are None for servers."""

    model: LocalModel
    memory: int | None
    fits: bool | None


@dataclass(frozen=True, slots=True)
class Listing:
    """All models that were found. `free` is the free memory in bytes, `skipped` the reasons for skipped paths."""

    models: tuple[Listed, ...]
    skipped: Mapping[str, str]
    free: int | None


def list_models() -> Listing:
    """Return the models in files and on running servers of this machine. No other machine is asked."""
    found, free = find_local(), free_memory()
    add_servers(found)
    listed = []
    for model in found.models:
        with found.skipping(model.path or model.url):
            memory = estimate_memory(model)
            fits = None if memory is None or free is None else memory <= free
            listed.append(Listed(model, memory, fits))
    return Listing(tuple(listed), found.skipped, free)


def estimate_memory(model: LocalModel) -> int | None:
    """Return the bytes of a usual debate on a model in files, as `society plan` estimates them; None if unknown.

    Raises `InputError` for a model that no scenario can use, such as one with a context of a few tokens.
    """
    tokens = min(TOKENS, model.context or TOKENS)
    if model.backend == "llama_cpp":
        try:
            return LlamaCpp(model=str(model.path), context=tokens, slots=AGENTS).memory(()).total
        except ValidationError as error:
            [fault, *_] = error.errors()
            raise InputError(f"its {'.'.join(map(str, fault['loc']))} cannot be used: {fault['msg']}") from None
        except SocietyError:  # a model in parts, which has no header yet
            return None
    if model.backend == "hf" and model.parameters and model.token_bytes:
        return model.parameters * FLOAT32 + AGENTS * tokens * model.token_bytes
    return None
