"""Positions of agents in graphs: a layout for each family of topologies.

A layout returns (x, y) of every node, with y upwards. The layouts are deterministic and do not draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import networkx as nx

Positions = dict[str, tuple[float, float]]
LARGE = 250
"""Maximum number of nodes whose distances are all computed. Larger graphs are laid out on a circle."""
MOVES, SWEEPS, STILL = 20_000, 300, 1e-3
"""Maximum number of moves of all nodes and of each node, and the distance below which a move ends the search."""
MOST_COLUMNS = 12
"""Maximum number of columns of an acyclic graph with many edges."""
BETWEEN = 1.8
"""Distance between unconnected parts, as room for names."""


def place(graph: nx.DiGraph[str], kind: str, groups: Sequence[Sequence[str]] = ()) -> Positions:
    """Return positions of all nodes, with a distance of 1 between the nearest two. `kind` is the topology's family.

    Families without a shape of their own (`GROUPED`) are laid out by the declared `groups`, if no edge joins two.
    """
    home = {node: number for number, members in enumerate(groups) for node in members}
    if groups and kind in GROUPED and all(home.get(u, home.get(v)) == home.get(v, home.get(u)) for u, v in graph.edges):
        return _scale(clusters(graph, groups))
    layout = LAYOUTS.get(kind, layers if graph.number_of_edges() else components)
    return _scale(layout(graph) if len(graph) > 1 else dict.fromkeys(graph, (0.0, 0.0)))


def circle(graph: Iterable[str]) -> Positions:
    """Place the nodes on a circle, clockwise from the top."""
    nodes = list(graph)
    angles = {node: 2 * math.pi * i / len(nodes) for i, node in enumerate(nodes)}
    return {node: (math.sin(angle), math.cos(angle)) for node, angle in angles.items()}


def star(graph: nx.DiGraph[str]) -> Positions:
    """Place the node with the most edges in the centre, and the others around it."""
    degrees = dict(graph.degree())
    centre = max(graph, key=lambda node: degrees[node])
    return {centre: (0.0, 0.0)} | circle(node for node in graph if node != centre)


def chain(graph: nx.DiGraph[str]) -> Positions:
    """Place the nodes on a line; more than ten on several lines in alternating directions."""
    width = len(graph) if len(graph) <= 10 else math.ceil(math.sqrt(2 * len(graph)))
    rows = [divmod(i, width) for i in range(len(graph))]
    return {
        node: (float(width - 1 - column if row % 2 else column), -1.0 * row)
        for node, (row, column) in zip(graph, rows, strict=True)
    }


def grid(graph: nx.DiGraph[str]) -> Positions:
    """Place the nodes on a lattice. Its width w follows from the edges between nodes 0 and w, and 1 and w + 1."""
    nodes = list(graph)
    tied = {(u, v) for u, v in graph.edges} | {(v, u) for u, v in graph.edges}
    widths = range(2, max(3, len(nodes) - 1))
    found = (w for w in widths if all(pair in tied for pair in zip(nodes[:2], nodes[w : w + 2], strict=False)))
    width = next(found, len(nodes)) if len(nodes) > 2 else len(nodes)
    return {node: (float(i % width), -1.0 * (i // width)) for i, node in enumerate(nodes)}


def bipartite(graph: nx.DiGraph[str]) -> Positions:
    """Place the nodes in two columns: on the left the first node and the nodes without an edge to it."""
    first = next(iter(graph))
    other = {*graph.successors(first), *graph.predecessors(first)}
    sides = [[node for node in graph if node not in other], [node for node in graph if node in other]]
    return _columns(sides, gap=max(1.5, len(graph) / 6))


def layers(graph: nx.DiGraph[str]) -> Positions:
    """Place the nodes of an acyclic graph in columns, each to the right of the nodes that it reads."""
    import networkx as nx

    if not nx.is_directed_acyclic_graph(graph):
        return components(graph)
    order = {node: i for i, node in enumerate(graph)}
    columns = [sorted(column, key=order.__getitem__) for column in nx.topological_generations(graph)]
    if max(map(len, columns)) == 1:  # every edge would lie on one line
        return circle(graph)
    if len(columns) > MOST_COLUMNS and len(graph.edges) > 2 * len(graph):  # long edges would cover the nodes
        return circle(graph)
    depth = {node: i for i, column in enumerate(columns) for node in column}
    # A node alone in its column would lie on edges that skip the column, so it moves up or down.
    skips = any(depth[v] - depth[u] > 1 for u, v in graph.edges)
    aside = {node: 0.3 * (-1) ** depth[node] * (skips and len(columns[depth[node]]) == 1) for node in graph}
    return {node: (x, y + aside[node]) for node, (x, y) in _columns(columns, gap=1.6).items()}


def tree(graph: nx.DiGraph[str]) -> Positions:
    """Place the root, which is the first node, on the left and each parent in the middle of its children."""
    import networkx as nx

    root = next(iter(graph))
    plain = graph.to_undirected()
    if not nx.is_tree(plain):  # some edges were dropped
        return components(graph)
    children = dict(nx.bfs_successors(plain, root))
    depth = nx.single_source_shortest_path_length(plain, root)
    height: dict[str, float] = {}
    for node in nx.dfs_postorder_nodes(plain, root):
        below = [height[child] for child in children.get(node, ())]
        height[node] = sum(below) / len(below) if below else -float(sum(leaf not in children for leaf in height))
    return {node: (1.6 * depth[node], height[node]) for node in graph}


def groups(graph: nx.DiGraph[str]) -> Positions:
    """Place each connected part on a circle of its own."""
    return _pack(graph, lambda nodes, _: circle(nodes))


def clusters(graph: nx.DiGraph[str], groups: Sequence[Sequence[str]]) -> Positions:
    """Place each of the given groups on a circle of its own, and the other nodes in a column to the left of them."""
    grouped = {node for members in groups for node in members}
    others = [node for node in graph if node not in grouped]
    shapes = [_scale(circle(members)) for members in groups]
    placed = _arrange(shapes, limit=0.0 if others else None)
    left, middle = min(x for x, _ in placed.values()), _middle(y for _, y in placed.values())
    column = {node: (left - BETWEEN, middle + (len(others) - 1) / 2 - i) for i, node in enumerate(others)}
    return {node: (placed | column)[node] for node in graph}


def components(graph: nx.DiGraph[str]) -> Positions:
    """Place each connected part so that distances are those of the graph (Kamada and Kawai, 1989)."""
    return _pack(graph, _springs) if len(graph) <= LARGE else circle(graph)


def _springs(nodes: list[str], graph: nx.DiGraph[str]) -> Positions:
    """Return a layout of least stress, rotated so that the two most distant nodes are at the same height."""
    points = _relax(nodes, graph)
    first, last = max(combinations(nodes, 2), key=lambda p: abs(points[p[1]] - points[p[0]]), default=(nodes[0],) * 2)
    along = points[last] - points[first]
    turned = {node: point / along * abs(along) if along else point for node, point in points.items()}
    return {node: (point.real, point.imag) for node, point in turned.items()}


def _relax(nodes: list[str], graph: nx.DiGraph[str]) -> dict[str, complex]:
    """Return positions that minimize the sum of (distance in the plane / distance in the graph - 1)^2 over all pairs.

    Each node moves to its best place while the others rest (Gansner, Koren and North, 2004), starting on a circle.
    """
    import networkx as nx

    steps = dict(nx.all_pairs_shortest_path_length(graph.to_undirected().subgraph(nodes)))
    others = {node: [(v, d, d**-2) for v, d in steps[node].items() if v != node] for node in nodes}
    points = {node: complex(*place) * len(nodes) / 4 for node, place in circle(nodes).items()}
    for _ in range(min(SWEEPS, MOVES // len(nodes))):
        moved = 0.0
        for node in nodes:
            here, pulls = points[node], 0j
            for other, distance, weight in others[node]:
                there = points[other]
                apart = here - there
                pulls += weight * (there + distance * apart / (abs(apart) or 1.0))
            points[node] = pulls / (sum(weight for _, _, weight in others[node]) or 1.0)
            moved = max(moved, abs(points[node] - here))
        if moved < STILL:
            break
    return points


def _pack(graph: nx.DiGraph[str], layout: Callable[[list[str], nx.DiGraph[str]], Positions]) -> Positions:
    """Lay out every connected part by itself, and put the parts in rows."""
    import networkx as nx

    order = {node: i for i, node in enumerate(graph)}
    found = [sorted(part, key=order.__getitem__) for part in nx.weakly_connected_components(graph)]
    packed = _arrange([_scale(layout(part, graph)) for part in sorted(found, key=len, reverse=True)])
    return {node: packed[node] for node in graph}


def _arrange(shapes: Sequence[Positions], limit: float | None = None) -> Positions:
    """Put the shapes in rows, from left to right, at a distance of `BETWEEN`. `limit`: the maximum width of a row."""
    sizes = [_extent(shape) for shape in shapes]
    area = sum((width + BETWEEN) * (height + BETWEEN) for width, height in sizes)
    limit = max(1.2 * math.sqrt(area) if limit is None else limit, *(width for width, _ in sizes))
    packed: Positions = {}
    x = y = tallest = 0.0
    for shape, (width, height) in zip(shapes, sizes, strict=True):
        if x > 0 and x + width > limit:
            x, y, tallest = 0.0, y - tallest - BETWEEN, 0.0
        left, top = min(p[0] for p in shape.values()), max(p[1] for p in shape.values())
        packed |= {node: (x + px - left, y + py - top) for node, (px, py) in shape.items()}
        x, tallest = x + width + BETWEEN, max(tallest, height)
    return packed


def _middle(values: Iterable[float]) -> float:
    found = list(values)
    return (min(found) + max(found)) / 2


def _columns(columns: list[list[str]], gap: float) -> Positions:
    return {
        node: (depth * gap, (len(column) - 1) / 2 - i)
        for depth, column in enumerate(columns)
        for i, node in enumerate(column)
    }


def _scale(placed: Positions) -> Positions:
    """Scale the positions so that the nearest neighbour of most nodes has a distance of at least 1."""
    points = list(placed.values())
    if len(points) < 2:
        return placed
    others = (points[:i] + points[i + 1 :] for i in range(min(len(points), LARGE)))
    nearest = sorted(min(math.dist(p, q) for q in rest) for p, rest in zip(points, others, strict=False))
    unit = nearest[len(nearest) // 10] or 1.0
    return {node: (x / unit, y / unit) for node, (x, y) in placed.items()}


def _extent(placed: Positions) -> tuple[float, float]:
    xs, ys = zip(*placed.values(), strict=True)
    return max(xs) - min(xs), max(ys) - min(ys)


GROUPED = ("none", "groups")
"""Families that are laid out by the declared groups."""
LAYOUTS: Mapping[str, Callable[[nx.DiGraph[str]], Positions]] = {
    "none": circle,
    "complete": circle,
    "ring": circle,
    "small_world": circle,
    "k_regular": circle,
    "dag_mesh": circle,
    "star": star,
    "chain": chain,
    "tree": tree,
    "grid": grid,
    "bipartite": bipartite,
    "groups": groups,
    "layered": layers,
    "dag_random": layers,
}
"""Layout of each family. Other graphs are laid out by whether they are acyclic."""
