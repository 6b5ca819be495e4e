"""Short labels of runs: their names without the parts that all names have in common."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

_PARTS = re.compile(r"[-_+/. ]+")
"""Matches the separators between the parts of a name."""
_DIGEST = re.compile(r"-[0-9a-f]{6}$")
"""Matches the digest at the end of a sweep's folder."""


def label_runs(names: Sequence[str]) -> list[str]:
    """Return a unique label for each of these unique names: the name without the parts that all have in common.

    `debate-ring-seed-0` and `debate-star-seed-0` become `ring` and `star`; `a-1` and `a-2` stay as they are, since a
    number alone says nothing. The digests of a sweep's folders are left out where the labels stay unique.
    """
    if len(names) < 2:
        return list(names)
    bare = [_DIGEST.sub("", name) for name in names]
    names = bare if all(map(_DIGEST.search, names)) and len(set(bare)) == len(bare) else names
    parts = [_split(name) for name in names]
    first = _count_common(parts)
    last = _count_common([own[first:][::-1] for own in parts])
    cut = [own[first : len(own) - last] for own in parts]
    if first and any(_is_bare(own) for own in cut):
        cut = [own[first - 1 : len(own) - last] for own in parts]
    labels = ["".join(own).strip("-_+/. ") for own in cut]
    return labels if all(labels) and len(set(labels)) == len(labels) else list(names)


def is_swept(name: str) -> bool:
    """Return whether a name ends as the folders of a sweep do."""
    return bool(_DIGEST.search(name))


def _split(name: str) -> list[str]:
    """Return the parts of a name, each with the separator after it."""
    ends = [match.end() for match in _PARTS.finditer(name)]
    return [name[start:end] for start, end in zip([0, *ends], [*ends, len(name)], strict=True)]


def _count_common(parts: Sequence[Sequence[str]]) -> int:
    """Return the number of parts at the beginning that all have in common; one name keeps at least one part."""
    shortest = min(map(len, parts))
    same = takewhile(lambda own: len({part.rstrip("-_+/. ") for part in own}) == 1, zip(*parts, strict=False))
    return min(len(list(same)), max(shortest - 1, 0))


def _is_bare(parts: Sequence[str]) -> bool:
    """Return whether a label would be numbers or a digest only, which say nothing alone, or empty."""
    text = "".join(parts).strip("-_+/. ")
    return not text.strip("-_+/. 0123456789") or bool(_DIGEST.fullmatch(f"-{text}"))
