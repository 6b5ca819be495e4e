"""Topologies that are learned from a run: `run: FOLDER` becomes the `scores` of its edges before the validation.

So the scenario that a run stores has the scores themselves. A run is resumed with the same scores, whatever happened
to the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from society.core.errors import SocietyError
from society.core.paths import find_allowed
from society.core.problems import Problem, make_problem
from society.scenario.reading.source import Node

KIND = "learned"


def expand_learned(root: Node, folders: Sequence[Path], problems: list[Problem]) -> Node:
    """Return the tree in which learned topologies have the scores of their runs.

    Paths are relative to the first of `folders`. A run that cannot be read adds a problem, and its name stays.
    """
    if not isinstance(root.value, dict):
        return root
    sections = {
        name: _expand(root.value[name], folders, problems, name)
        for name in ("topologies", "phases")
        if name in root.value
    }
    return replace(root, value={**root.value, **sections})


def _expand(node: Node, folders: Sequence[Path], problems: list[Problem], path: str) -> Node:
    if isinstance(node.value, list):
        return replace(node, value=[_expand(v, folders, problems, f"{path}.{i}") for i, v in enumerate(node.value)])
    if not isinstance(node.value, dict):
        return node
    link, kind = node.value.get("run"), node.value.get("kind")
    if kind is None or kind.value != KIND or link is None or not isinstance(link.value, str):
        inner = {key: _expand(child, folders, problems, f"{path}.{key}") for key, child in node.value.items()}
        return replace(node, value=inner)
    if "scores" in node.value:
        message = "cannot stand beside `scores`; remove one of them"
        problems.append(make_problem(link.key, f"{path}.run", message))
        return node
    try:
        scores = _read(link.value, folders)
    except (SocietyError, ValueError) as error:
        message = f"{error.cause} {error.remedy}" if isinstance(error, SocietyError) else f"{link.value} {error}"
        problems.append(make_problem(link.place, f"{path}.run", message, value=link.value))
        return node
    others = {key: child for key, child in node.value.items() if key != "run"}
    return replace(node, value={**others, "scores": _nodes(scores, link)})


def _read(name: str, folders: Sequence[Path]) -> list[Any]:
    """Return the scores of a run's edges. Raises `ValueError` for a path that may not be read."""
    from society.metrics.edge_effects import score_edges  # reading a run needs the whole language

    return score_edges(find_allowed(Path(name), folders))


def _nodes(value: Any, link: Node) -> Node:
    """Return plain data as nodes at the place of the link."""
    if isinstance(value, list | tuple):
        items = [_nodes(item, link) for item in value]
        return replace(link, value=items, size=1 + sum(item.size for item in items), style="")
    return replace(link, value=value, size=1, style="")
