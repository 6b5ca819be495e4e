"""Finds the models of all usual places on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from backends.models.local.hub import add_hub
from backends.models.local.model import Found, LocalModel
from backends.models.local.places import add_llama_cpp, add_lm_studio, add_ollama, add_packages

PLACES: tuple[Callable[[Found], None], ...] = (add_packages, add_hub, add_lm_studio, add_ollama, add_llama_cpp)


def find_local() -> Found:
    """Return the models in files. A file that several places hold or link to is listed at the first of them."""
    found = Found()
    for add in PLACES:
        add(found)
    firsts: dict[Path, LocalModel] = {}
    for model in found.models:
        if model.path is not None:
            firsts.setdefault(model.path.resolve(), model)
    found.models = list(firsts.values())
    return found
