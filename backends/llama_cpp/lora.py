"""Checks from the headers whether a GGUF adapter fits a model, before native code reads either."""

from __future__ import annotations

import math
from pathlib import Path

from backends.models.gguf_file import GGUFInfo
from society.core.errors import InputError

_SIDES = (".lora_a", ".lora_b")


def check_lora(adapter: GGUFInfo, model: GGUFInfo, path: Path) -> None:
    """Raise `InputError` unless `adapter`, read from `path`, is a LoRA whose every pair of matrices fits `model`."""
    if not adapter.is_adapter or adapter.architecture != model.architecture:
        raise InputError(
            f"{path} is no adapter for a {model.architecture} model.", "Export the adapter to GGUF from its base."
        )
    fault = _find_fault(adapter, model)
    if fault:
        raise InputError(
            f"The adapter {path} does not fit this model: {fault}.", "Train it on this model, or its base."
        )


def _find_fault(adapter: GGUFInfo, model: GGUFInfo) -> str:
    alpha = adapter.metadata.get("adapter.lora.alpha")
    if adapter.metadata.get("adapter.type") != "lora":
        return "it is no LoRA"
    if any(key.startswith("adapter.alora.") for key in adapter.metadata):
        return "it is an activated LoRA, which acts only after its invocation tokens"
    if not isinstance(alpha, float) or not math.isfinite(alpha):
        return f"its alpha is {str(alpha)[:40]}"
    if not adapter.shapes:
        return "it has no matrices"
    return next(filter(None, (_misfit(name, adapter, model) for name in adapter.shapes)), "")


def _misfit(name: str, adapter: GGUFInfo, model: GGUFInfo) -> str:
    """Return the fault of the pair of matrices that `name` belongs to, or ""."""
    base, side = name[:-7], name[-7:]
    weight = model.shapes.get(base)
    a, b = (adapter.shapes.get(base + end, ()) for end in _SIDES)
    if side not in _SIDES or weight is None:
        return f"the model has no weight for {name[:80]!r}"
    if len(a) != 2 or len(b) != 2 or len(weight) != 2:
        return f"{base!r} needs two matrices"
    # The matrices of an embedding change roles.
    first, second = (b[::-1], a) if "token_embd" in base else (a, b)
    fits = (first[0], second[1]) == weight and first[1] == second[0]
    return "" if fits else f"{base!r} has shape {weight}, the adapter's matrices {a} and {b}"
