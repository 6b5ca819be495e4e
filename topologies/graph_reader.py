"""Base of the readers of graph files: the collected graph, and the elements that both formats share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEEPEST = 64
"""Maximum nesting of elements."""
Attributes = dict[str, Any]
_WHOLE, _REAL = ("int", "integer", "long", "short", "byte"), ("float", "double")


@dataclass
class FileGraph:
    """The contents of a graph file. `count` is the number of nodes; `labels` is limited to the requested number."""

    labels: dict[str, str] = field(default_factory=dict)  # by node id; the id itself where there is no label
    edges: dict[tuple[str, str], Attributes] = field(default_factory=dict)
    count: int = 0


class GraphFormatError(Exception):
    """The file is well-formed XML, but not a graph."""


@dataclass(frozen=True)
class Key:
    """A declared attribute: its name and its type."""

    name: str
    kind: str

    def value(self, text: str) -> object:
        """Return the value of a text. Raises `GraphFormatError` if the text is not of the declared type."""
        try:
            if self.kind in _WHOLE:
                return int(text)
            if self.kind in _REAL:
                return float(text)
        except ValueError:
            raise GraphFormatError(f"the attribute {self.name[:60]!r} is no {self.kind}: {text[:60]!r}") from None
        return text.strip().lower() in ("true", "1") if self.kind == "boolean" else text


class GraphReader:
    """Base of the two formats: collects nodes and edges while the parser reports elements."""

    root = ""

    def __init__(self, most: int) -> None:
        self.graph = FileGraph()
        self.most = most
        self.directed = False
        self.path: list[str] = []  # the open elements
        self.inside = False  # no child of the innermost open element has been seen yet
        self.nodes: list[str] = []  # the open nodes: they may be nested
        self.texts: list[list[str]] = []  # of each open element, up to its first child
        self.keys: dict[str, Key] = {}
        self.defaults: Attributes = {}  # of edges
        self.ends: tuple[str, str] | None = None  # of the open edge
        self.both = False
        self.attributes: Attributes = {}
        self.found = False

    def open(self, tag: str, given: Mapping[str, str]) -> None:
        """Handle an element's start."""
        name = tag.rpartition(":")[2]
        if not self.path and name != self.root:
            raise GraphFormatError(f"the outermost element is <{name[:60]}>, not <{self.root}>")
        if len(self.path) >= DEEPEST:
            raise GraphFormatError(f"elements are nested more than {DEEPEST} deep")
        self.inside = True
        self.path.append(name)
        self.texts.append([])
        self.start(name, given)

    def close(self, _tag: str) -> None:
        """Handle an element's end."""
        self.inside = False
        self.end(self.path[-1], "".join(self.texts.pop()))
        self.path.pop()

    def read_text(self, text: str) -> None:
        """Store the text before the first child of an element."""
        if self.inside:
            self.texts[-1].append(text)

    def start(self, name: str, given: Mapping[str, str]) -> None:
        """Handle the start of an element of this format."""

    def end(self, name: str, text: str) -> None:
        """Handle the end of an element of this format. `text` is the text before its first child."""
        if name == "node":
            self.nodes.pop()
        elif name == "edge" and self.ends is not None:
            self._add_edge(*self.ends)
            self.ends = None

    def start_graph(self, way: str | None) -> None:
        """Begin a graph. A graph inside a node is part of the outer graph."""
        if self.nodes:
            return
        if self.found:
            raise GraphFormatError("it has several graphs")
        self.found, self.directed = True, way == "directed"

    def start_node(self, given: Mapping[str, str], label: str | None) -> None:
        """Add a node."""
        name = needed(given, "id", "a node")
        self.nodes.append(name)
        if name in self.graph.labels:
            raise GraphFormatError(f"two nodes have the id {name[:60]!r}")
        self.graph.count += 1
        if self.graph.count <= self.most:
            self.graph.labels[name] = label or name
        else:
            self.graph.edges.clear()

    def start_edge(self, given: Mapping[str, str], both: bool) -> None:
        """Begin an edge. The edge is added with its attributes at its end."""
        if self.ends is not None:
            raise GraphFormatError("an edge holds another edge")
        self.ends = (needed(given, "source", "an edge"), needed(given, "target", "an edge"))
        self.both, self.attributes = both, dict(self.defaults)

    def _add_edge(self, source: str, target: str) -> None:
        if self.graph.count > self.most:
            return
        self.graph.edges[source, target] = self.attributes
        if self.both:
            self.graph.edges[target, source] = self.attributes

    def finish(self) -> FileGraph:
        """Return the graph. Raises `GraphFormatError` for an edge with an unknown node."""
        if not self.found:
            raise GraphFormatError("it has no graph")
        if self.graph.count <= self.most:
            for end in (end for edge in self.graph.edges for end in edge):
                if end not in self.graph.labels:
                    raise GraphFormatError(f"an edge names the node {end[:60]!r}, which is not in the file")
        return self.graph


def needed(given: Mapping[str, str], name: str, what: str) -> str:
    """Return a required attribute of an element. Raises `GraphFormatError` if it is missing."""
    if name not in given:
        raise GraphFormatError(f"{what} has no {name!r}")
    return given[name]
