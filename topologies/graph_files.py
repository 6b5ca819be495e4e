"""Readers of GraphML and GEXF files: nodes, labels and directed edges with their attributes.

    read_graph(path, most)   the graph of a file, as a `FileGraph`

Files may come from strangers, so one pass of the XML parser collects what is wanted. Document type declarations and
entities are refused, nesting and the size of one element are limited, and no more nodes are kept than are asked for.
Both formats mix directed and undirected edges; an undirected edge is kept as two. GEXF 1.1 to 1.3 are read alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from xml.parsers import expat

from society.core.errors import InputError
from topologies.graph_reader import FileGraph, GraphFormatError, GraphReader, Key, needed

LARGEST_FILE = 20_000_000
"""Maximum size of a graph file, in bytes."""
LARGEST_ELEMENT = 1_000_000
"""Maximum size of one tag, comment or processing instruction, in bytes."""
CHUNK = 1 << 16
"""Size of a chunk for the parser, in bytes."""
LABELS = ("label", "name", "shared name")
"""Node attributes with an agent's name, by preference: Gephi and yEd, then Cytoscape."""


class _GraphML(GraphReader):
    """GraphML, as networkx, Gephi, Cytoscape, igraph and yEd write it."""

    root = "graphml"

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.declared = ("", "")  # the id of the open key, and whose attribute it is
        self.data = ""  # the key of the open data element
        self.ranks: dict[str, int] = {}  # by node: where the name of its label stands in `LABELS`

    def start(self, name: str, given: Mapping[str, str]) -> None:
        if name == "key":
            self.declared = (needed(given, "id", "a key"), given.get("for", "all"))
            if "attr.name" in given:  # yEd's keys of shapes and colours have none
                self.keys[self.declared[0]] = Key(given["attr.name"], given.get("attr.type", "string").lower())
        elif name == "graph":
            self.start_graph(given.get("edgedefault"))
        elif name == "node":
            self.start_node(given, None)
        elif name == "edge":
            ways = {"true": False, "1": False, "false": True, "0": True}
            self.start_edge(given, ways.get(given.get("directed", "").strip().lower(), not self.directed))
        elif name == "data":
            self.data = given.get("key", "")
        elif name in ("hyperedge", "port"):
            raise GraphFormatError(f"it has a {name}, which means nothing here")

    def end(self, name: str, text: str) -> None:
        if name == "data":
            self._put(self.data, text)
        elif name == "NodeLabel" and self.nodes and text.strip():  # yEd's
            self._label("label", text.strip())
        elif name == "default" and self.path[-2:-1] == ["key"]:
            key, owner = self.declared
            if owner in ("edge", "all") and key in self.keys:
                self.defaults[self.keys[key].name] = self.keys[key].value(text)
        super().end(name, text)

    def _put(self, key: str, text: str) -> None:
        """Store the value of a data element."""
        known = self.keys.get(key)
        if known is None:
            return
        if self.ends is not None:
            self.attributes[known.name] = known.value(text)
        elif self.nodes and text.strip():
            self._label(known.name, text.strip())

    def _label(self, name: str, text: str) -> None:
        """Use a node's attribute as its label, unless a preferred attribute is known."""
        node, rank = self.nodes[-1], LABELS.index(name.lower()) if name.lower() in LABELS else len(LABELS)
        if node in self.graph.labels and rank < self.ranks.get(node, len(LABELS)):
            self.graph.labels[node], self.ranks[node] = text, rank


class _Gexf(GraphReader):
    """GEXF 1.1 to 1.3, as networkx and Gephi write it."""

    root = "gexf"

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.owner = ""  # what the open list of attributes belongs to
        self.declared = ""  # the id of the open attribute

    def start(self, name: str, given: Mapping[str, str]) -> None:
        if name == "graph":
            self.start_graph(given.get("defaultedgetype"))
        elif name == "attributes":
            self.owner = given.get("class", "")
        elif name == "attribute" and self.owner == "edge":
            self.declared = needed(given, "id", "an attribute")
            self.keys[self.declared] = Key(given.get("title", self.declared), given.get("type", "string").lower())
        elif name == "node":
            self.start_node(given, given.get("label"))
        elif name == "edge":
            ways = {"directed": False, "undirected": True, "mutual": True}
            self.start_edge(given, ways.get(given.get("type", ""), not self.directed))
            if "weight" in given:
                self.attributes["weight"] = Key("weight", "float").value(given["weight"])
        elif name == "attvalue" and self.ends is not None:
            key = self.keys.get(given.get("for", given.get("id", "")))
            if key is not None:
                self.attributes[key.name] = key.value(given.get("value", ""))

    def end(self, name: str, text: str) -> None:
        if name == "default" and self.path[-2:-1] == ["attribute"] and self.owner == "edge":
            key = self.keys[self.declared]
            self.defaults[key.name] = key.value(text)
        super().end(name, text)


FORMATS: dict[str, Callable[[int], GraphReader]] = {".graphml": _GraphML, ".gexf": _Gexf}


def read_graph(path: Path, most: int) -> FileGraph:
    """Return the graph of a .graphml or .gexf file; of more than `most` nodes only their number.

    Raises `InputError`, which names the file and the line, for a file that cannot be read or is no such graph.
    """
    reader = FORMATS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path.name} is not a graph file.", "Use a .graphml or a .gexf file.")
    try:
        with path.open("rb") as file:
            return _parse(file.read(LARGEST_FILE + 1), reader(most), path)
    except OSError as error:
        raise InputError(f"The graph {path} cannot be read: {error.strerror}.", "Check the path.") from error


def _parse(data: bytes, reader: GraphReader, path: Path) -> FileGraph:
    if len(data) > LARGEST_FILE:
        raise InputError(f"{path} is larger than {LARGEST_FILE:,} bytes.", "Use a smaller graph.")
    parser = _make_parser(reader)
    try:
        for start in range(0, len(data), CHUNK):
            parser.Parse(data[start : start + CHUNK], False)
            if start - parser.CurrentByteIndex > LARGEST_ELEMENT:
                raise GraphFormatError(f"an element is larger than {LARGEST_ELEMENT:,} bytes")
        parser.Parse(b"", True)
        return reader.finish()
    except (GraphFormatError, expat.ExpatError, ValueError, LookupError) as error:
        line = "" if isinstance(error, expat.ExpatError) else f" (line {parser.CurrentLineNumber})"
        raise InputError(f"{path} is not valid: {error}{line}.", "Export the graph again.") from error


def _make_parser(reader: GraphReader) -> expat.XMLParserType:
    """Return a parser that reports to `reader`, and raises where a file declares types or entities."""

    def refuse(*_: object) -> int:
        raise GraphFormatError(
            "it declares a document type or entities (<!DOCTYPE ...>), which may hide anything; remove it"
        )

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = reader.open
    parser.EndElementHandler = reader.close
    parser.CharacterDataHandler = reader.read_text
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    return parser
