"""Rotary frequencies that are the same for every sequence of a batch, whatever its length.

Some models (LongRoPE, Ding et al. 2024, arXiv 2402.13753) have other frequencies for texts beyond a length.
transformers chooses by the longest text of the call, so that a short text would depend on its company. Here the context
that the model is opened with decides, once, as llama.cpp and vLLM do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from backends.hf.context_length import limit_context

FROZEN = "frozen"
"""Kind of frequencies that no longer depend on the length."""
BY_LENGTH = frozenset({"longrope", "dynamic"})
"""Kinds of frequencies that transformers chooses by the length of a text."""


def find_context(config: Any, wanted: int | None) -> int:
    """Return the maximum number of tokens of a text: as wanted, but no more than the model has positions for.

    By default a model with LongRoPE has the context up to which it has the frequencies of short texts.
    """
    text = config.get_text_config()
    return limit_context(wanted, getattr(text, "max_position_embeddings", None), _short(text))


def freeze_frequencies(model: Any, context: int) -> bool:
    """Fix frequencies that depend on the length of a text to those for a context; return whether these are the long
    ones."""
    long = False
    for module, name, kind in list(_find(model)):
        if kind not in BY_LENGTH:
            continue
        short = _short(module.config)
        if kind == "longrope" and short is not None and context > short:
            _lengthen(module, name, short)
            long = True
        if name:
            module.rope_type = {**module.rope_type, name: FROZEN}
        else:
            module.rope_type = FROZEN
    return long


def find_kinds(model: Any) -> set[str]:
    """Return the kinds of frequencies that a model has."""
    return {kind for _, _, kind in _find(model)}


def _find(model: Any) -> Iterator[tuple[Any, str, str]]:
    """Yield the rotary embeddings of a model: the module, the kind of its layers or "", and the kind of frequencies."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        if isinstance(kinds, str):
            yield module, "", kinds
        elif isinstance(kinds, dict):
            yield from ((module, name, kind) for name, kind in kinds.items())


def _short(config: Any) -> int | None:
    """Return the length up to which a model with LongRoPE has the frequencies of short texts, None for other models."""
    options = getattr(config, "rope_parameters", None) or {}
    parts = [options, *(part for part in options.values() if isinstance(part, dict))]
    lengths = [part["original_max_position_embeddings"] for part in parts if part.get("rope_type") == "longrope"]
    return int(min(lengths)) if lengths else None


@torch.no_grad()
def _lengthen(module: Any, name: str, short: int) -> None:
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    buffer = module.get_buffer(f"{name}_inv_freq" if name else "inv_freq")
    options = {"layer_type": name} if name else {}
    buffer.copy_(ROPE_INIT_FUNCTIONS["longrope"](module.config, buffer.device, seq_len=short + 1, **options)[0])
