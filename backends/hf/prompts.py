"""Which tokens of prompts are computed: equal prompts once, and prefixes that prompts share once.

Keys and values depend on the tokens before them and on the adapter, so only rows with the same adapter share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backends.hf.rows import Row

SHORTEST = 32
"""Minimum length, in tokens, of a prefix that is computed by itself."""


@dataclass(eq=False)
class Prompt:
    """A distinct prompt under one adapter, and the rows that have it."""

    adapter: str | None
    ids: tuple[int, ...]
    rows: list[Row] = field(default_factory=list)


@dataclass(eq=False)
class Family:
    """Prompts of one adapter whose first `shared` tokens are equal; with one prompt, `shared` is 0."""

    prompts: list[Prompt]
    shared: int = 0


def find_families(rows: Sequence[Row]) -> list[Family]:
    """Group rows by prompt, and prompts by the prefixes that save most tokens."""
    distinct: dict[tuple[str | None, tuple[int, ...]], Prompt] = {}
    for row in rows:
        key = row.request.adapter, tuple(row.prompt)
        distinct.setdefault(key, Prompt(*key)).rows.append(row)
    families: list[Family] = []
    # In lexical order, prompts with a common prefix are neighbours.
    for prompt in sorted(distinct.values(), key=lambda prompt: (prompt.adapter or "", prompt.ids)):
        if not families or not _extend(families[-1], prompt):
            families.append(Family([prompt]))
    return families


def _extend(family: Family, prompt: Prompt) -> bool:
    """Add a prompt to a family if that saves tokens, and return whether it did."""
    last = family.prompts[-1]
    if last.adapter != prompt.adapter:
        return False
    # The last token of each prompt is computed for itself: its logits are needed.
    most = min(len(last.ids), len(prompt.ids)) - 1
    common = count_common(last.ids[:most], prompt.ids[:most])
    count = len(family.prompts)
    shared = min(common, family.shared) if count > 1 else common
    if shared < SHORTEST or shared * count < family.shared * (count - 1):
        return False
    family.prompts.append(prompt)
    family.shared = shared
    return True


def count_common(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the common prefix of two sequences."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
