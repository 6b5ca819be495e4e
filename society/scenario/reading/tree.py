"""Access to a tree of nodes by steps: the node, its place, and its path as in `--set`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from society.core.problems import Place, Problem, make_problem
from society.scenario.reading.source import Node

Steps = tuple[str | int, ...]
"""Keys and indices that lead from the root to a node."""


def find_node(root: Node, steps: Steps) -> Node:
    """Return the node at these steps, or the last existing node on the way."""
    node = root
    for step in steps:
        value = node.value
        if isinstance(value, dict) and step in value:
            node = value[str(step)]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            node = value[step]
        else:
            break
    return node


def existing(root: Node, steps: Steps) -> Steps:
    """Return the steps as far as the tree has nodes."""
    node, count = root, 0
    for step in steps:
        inner = find_node(node, (step,))
        if inner is node:
            break
        node, count = inner, count + 1
    return steps[:count]


def find_place(root: Node, steps: Steps, key: bool = False) -> Place:
    """Return the place of the value at these steps, or of its key.

    A list below its key is at the key, and a mapping is at its `kind`, or else at the key, too.
    """
    node = find_node(root, steps)
    if not key and isinstance(node.value, dict) and "kind" in node.value:
        return node.value["kind"].key if node.place.line > node.key.line else node.place
    below = isinstance(node.value, dict | list) and node.place.line > node.key.line
    return node.key if key or below else node.place


def problem_at(root: Node, steps: Steps, message: str, *, key: bool = False, **details: Any) -> Problem:
    """Return a problem at the node of `steps`, or with `key` at its key. `details` are fields of `Problem`."""
    return make_problem(find_place(root, steps, key), write_path(root, steps), message, **details)


def remove(node: Node, steps: Steps) -> Node:
    """Return the tree without the key at these steps."""
    step, rest = steps[0], steps[1:]
    if isinstance(node.value, list):
        return replace(node, value=[remove(item, rest) if i == step else item for i, item in enumerate(node.value)])
    if rest:
        return replace(node, value=node.value | {step: remove(node.value[step], rest)})
    return replace(node, value={key: child for key, child in node.value.items() if key != step})


def write_path(root: Node, steps: Steps) -> str:
    """Return the path as in `--set`: `phases.debate.rounds`, with an index for an element without a name."""
    return ".".join(_name(root, steps[:i], step) for i, step in enumerate(steps))


def _name(root: Node, above: Steps, step: str | int) -> str:
    if above != ("phases",):
        return str(step)
    name = find_node(root, (*above, step, "name")).value
    return name if isinstance(name, str) and name else str(step)
