"""The context length of a model, from the values of its configuration. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

UNLIMITED = 1 << 20
"""Context, in tokens, of a model whose configuration has no maximum."""


def limit_context(wanted: int | None, most: int | None, usual: int | None) -> int:
    """Return the maximum number of tokens of a text: as `wanted`, else `usual`, but at most `most`."""
    limit = int(most or UNLIMITED)
    return min(wanted or usual or limit, limit)


def read_lengths(config: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the maximum context in a `config.json` and, for LongRoPE, the one up to which short frequencies hold."""
    nested = config.get("text_config")
    text = nested if isinstance(nested, Mapping) else config
    most = text.get("max_position_embeddings")
    options = text.get("rope_parameters") or text.get("rope_scaling") or {}
    parts = [options, *(part for part in options.values() if isinstance(part, Mapping))]
    long = [part for part in parts if (part.get("rope_type") or part.get("type")) == "longrope"]
    lengths = [
        part.get("original_max_position_embeddings", text.get("original_max_position_embeddings")) for part in long
    ]
    known = [length for length in lengths if isinstance(length, int)]
    return most if isinstance(most, int) else None, min(known, default=None)
