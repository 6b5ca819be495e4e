"""The layout of the code: which folders may import which, read from the syntax of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("society", "backends", "topologies")


def modules(*folders: str) -> list[Path]:
    """Return every module of these folders, relative to the repository."""
    return [path.relative_to(ROOT) for name in folders for path in sorted((ROOT / name).rglob("*.py"))]


def imported(module: Path, lazily: bool) -> Iterator[str]:
    """Yield the dotted name of everything that a module imports. `lazily`: with the imports within functions."""
    tree = ast.parse((ROOT / module).read_text())
    for node in ast.walk(tree) if lazily else iter(tree.body):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folder(dotted: str) -> str:
    """Return the folder of a dotted name: `society.store` for `society.store.rows.ResultRow`."""
    top, *rest = dotted.split(".")
    inner = rest and (ROOT / top / rest[0]).is_dir()
    return f"{top}.{rest[0]}" if inner else top


@pytest.mark.parametrize("module", modules("backends", "topologies"), ids=str)
def test_backends_and_topologies_import_only_the_core_of_society(module: Path) -> None:
    names = (name for name in imported(module, lazily=True) if name.split(".")[0] == "society")
    assert not [name for name in names if not name.startswith("society.core.")]


def test_no_folder_imports_itself_through_others() -> None:
    graph: nx.DiGraph[str] = nx.DiGraph()
    for module in modules(*PRODUCT):
        here = folder(".".join(module.with_suffix("").parts))
        there = {folder(name) for name in imported(module, lazily=False) if name.split(".")[0] in PRODUCT}
        graph.add_edges_from((here, other) for other in there - {here})
    graph.remove_nodes_from(["society"])  # the modules beside the folders put the folders together
    cycles = [pairwise([*cycle, cycle[0]]) for cycle in nx.simple_cycles(graph, length_bound=4)]
    assert not [list(cycle) for cycle in cycles]
