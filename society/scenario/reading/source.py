"""Parsing of YAML text to a tree of nodes with places.

The values are those of the core schema of YAML 1.2: mappings with text keys, lists, text, numbers, true, false and
null. So `no`, `on` and dates are text. Tags, recursive anchors, duplicate keys and several documents are errors.
Anchors, aliases and merge keys (`<<`) are permitted up to a maximum number of expanded nodes.

The tree is composed from the parser's events. `yaml.compose` has no maximum depth and crashes on deeply nested files.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from society.core.problems import Place, Problem, make_problem, show
from society.scenario.reading.syntax import QUOTE_TEMPLATE, explain

LARGEST_FILE = 1 << 20
"""Maximum size of a scenario file, in bytes."""
MOST_NODES = 100_000
"""Maximum number of nodes with aliases expanded. A text counts as one node per 100 characters."""
DEEPEST = 64
"""Maximum nesting of nodes."""
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS = {"": None, "~": None} | {
    spelling: value
    for word, value in (("null", None), ("true", True), ("false", False))
    for spelling in (word, word.title(), word.upper())
}


class PathText(str):
    """The text of a path object in Python data, where a text of another meaning may be expected."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A text as the file has it: its lines, from the one with the first character of the value or its `|`."""

    place: Place
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place. `key` is the place of its key in a mapping.

    `size` is the number of nodes in the value, with aliases expanded. `written` is set for texts that may be templates.
    An alias has the place of the alias, and what its anchor's text has.
    """

    value: Any  # None, bool, int, float, str, dict[str, Node] or list[Node]
    place: Place
    key: Place
    size: int = 1
    style: str = ""  # "|" or ">" for block text
    written: Written | None = None

    def plain(self) -> Any:
        """Return the value as plain Python data."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.value] if isinstance(self.value, list) else self.value


class UnreadableError(Exception):
    """A problem that ends the reading of a file."""

    def __init__(self, place: Place, message: str) -> None:
        self.problem = make_problem(place, "", message)
        super().__init__(message)


def read_text(path: Path) -> str:
    """Return the text of a scenario file. Raises `UnreadableError` for an unreadable or too large file."""
    start = Place(str(path), 1, 1)
    try:
        if not path.is_file():
            raise UnreadableError(start, "is not a file; name the .yaml file of a scenario")
        data = path.read_bytes() if path.stat().st_size <= LARGEST_FILE else None
    except OSError as error:
        raise UnreadableError(start, f"cannot be read: {error.strerror}") from None
    if data is None:
        raise UnreadableError(start, f"is larger than {LARGEST_FILE:,} bytes; move data to files of its own")
    return _decode(data, str(path))


def _decode(data: bytes, file: str) -> str:
    for mark, name in ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"), (b"\0\0\xfe\xff", "UTF-32")):
        if data.startswith(mark):
            raise UnreadableError(Place(file, 1, 1), f"is {name} text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(file, before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
        raise UnreadableError(
            place, f"the byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def compose(text: str, file: str, problems: list[Problem]) -> Node:
    """Return the tree of a YAML text. Problems that do not end the reading are added to `problems`.

    Raises `UnreadableError` for invalid YAML.
    """
    import yaml

    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # the C parser is much faster where it is compiled in
    try:
        return _Composer(loader(text), text, file, problems).compose_document()
    except yaml.MarkedYAMLError as error:
        place, message = explain(error, text, file)
        problems[:] = [problem for problem in problems if problem.line != place.line]  # from the same cause
        raise UnreadableError(place, message) from None
    except yaml.reader.ReaderError as error:
        before = text.encode()[: error.position].decode(errors="ignore")
        place = Place(file, before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise UnreadableError(place, "a control character is not allowed in YAML; remove it") from None


def _explain_key(key: Node, value: Node, before: Node | None) -> str:
    """Return the message about a key that is no text; `before` is the entry before it.

    In a mapping in braces, the comma of `{top_p: 0,9}` begins a new key.
    """
    if before is not None and type(before.value) is int and value.value is None and type(key.value) is int:
        return f"the key {show(key.value)} is not text; write a decimal point in place of the comma before it"
    return f"the key {show(key.value)} is not text; put it in quotation marks"


class _Composer:
    """Composer of nodes from the events of a parser. Its recursion is at most `DEEPEST` deep."""

    def __init__(self, parser: Any, text: str, file: str, problems: list[Problem]) -> None:
        self.parser, self.text, self.file, self.problems = parser, text, file, problems
        self.anchors: dict[str, Node | None] = {}  # None while the value of the anchor is being composed
        self.budget = MOST_NODES

    def compose_document(self) -> Node:
        import yaml

        self.parser.get_event()  # the start of the stream
        if self.parser.check_event(yaml.StreamEndEvent):
            raise UnreadableError(
                Place(self.file, 1, 1), "is empty; `society new NAME` creates a scenario to start from"
            )
        self.parser.get_event()  # the start of the document
        node = self._compose(0)
        self.parser.get_event()
        if not self.parser.check_event(yaml.StreamEndEvent):
            place = self._place(self.parser.get_event())
            raise UnreadableError(place, "a second document starts here; a scenario is one document: remove the `---`")
        return node

    def _place(self, event: Any) -> Place:
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _add(self, place: Place, message: str) -> None:
        self.problems.append(make_problem(place, "", message))

    def _compose(self, depth: int) -> Node:
        import yaml

        event = self.parser.get_event()
        place = self._place(event)
        if depth > DEEPEST:
            raise UnreadableError(place, f"is nested more than {DEEPEST} deep")
        if isinstance(event, yaml.AliasEvent):
            return self._follow(event.anchor, place)
        if event.tag is not None:
            self._add(
                place,
                f"the tag {show(event.tag)} is not allowed; write plain text, numbers, lists or mappings, or put "
                "a text in quotation marks",
            )
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, place)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(place, depth)
        else:
            node = self._mapping(place, depth)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _count(self, size: int, place: Place) -> int:
        self.budget -= size
        if self.budget < 0:
            raise UnreadableError(place, f"expands to more than {MOST_NODES:,} values; use fewer aliases")
        return size

    def _follow(self, anchor: str | None, place: Place) -> Node:
        if anchor is None or anchor not in self.anchors:
            raise UnreadableError(
                place, f"the alias *{anchor} has no anchor &{anchor} before it; put a text in quotation marks"
            )
        node = self.anchors[anchor]
        if node is None:
            raise UnreadableError(place, f"the anchor &{anchor} contains itself; write the inner value out")
        self._count(node.size, place)
        return replace(node, place=place, key=place)

    def _scalar(self, event: Any, place: Place) -> Node:
        plain = not event.style and event.tag is None
        value = self._resolve(event.value, place) if plain else event.value
        size = self._count(1 + len(event.value) // 100, place)
        style = event.style if event.style in ("|", ">") else ""
        return Node(value, place, place, size, style, self._written(event, place))

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.split("\n")

    def _written(self, event: Any, place: Place) -> Written | None:
        """Return the lines of a text that may be a template."""
        if "{" not in event.value and "\n" not in event.value:
            return None
        first, last = event.start_mark.line, event.end_mark.line
        return Written(place, tuple(self._lines[first : last + 1]))

    def _resolve(self, text: str, place: Place) -> Any:
        """Return the value of a plain scalar."""
        if text in _WORDS:
            return _WORDS[text]
        if len(text) <= 30 and _INT.fullmatch(text):
            number = int(text, 0 if text.startswith(("0o", "0x")) else 10)
            if -(2**63) <= number < 2**63:
                return number
        if not _FLOAT.fullmatch(text):
            return text
        if not _INT.fullmatch(text) and math.isfinite(float(text.replace(".inf", "inf").replace(".nan", "nan"))):
            return float(text)
        self._add(place, f"the number {show(text)} is not finite, or too large")
        return text

    def _sequence(self, place: Place, depth: int) -> Node:
        import yaml

        items: list[Node] = []
        while not self.parser.check_event(yaml.SequenceEndEvent):
            items.append(self._compose(depth + 1))
        self.parser.get_event()
        size = self._count(1, place) + sum(item.size for item in items)
        return Node(items, place, place, size)

    def _mapping(self, place: Place, depth: int) -> Node:
        import yaml

        entries: dict[str, Node] = {}
        braces = False  # whether this is the text of a template, read as a mapping in a mapping
        while not self.parser.check_event(yaml.MappingEndEvent):
            key = self._compose(depth + 1)
            value = self._compose(depth + 1)
            if isinstance(key.value, dict):
                self._add(place, QUOTE_TEMPLATE)
                braces = True
            elif not isinstance(key.value, str):
                self._add(key.place, _explain_key(key, value, next(reversed(entries.values()), None)))
            elif key.value[:1] == "-" and key.value[1:2].isalpha():
                self._add(key.place, f"{show(key.value)}: a list item needs a space after its dash, as in `- name`")
            elif key.value in entries:
                first = entries[key.value].key.line
                self._add(key.place, f"the key {show(key.value)} is given twice, first in line {first}; remove one")
            else:
                entries[key.value] = replace(value, key=key.place)
        self.parser.get_event()
        if braces:
            return Node("", place, place, self._count(1, place))
        self._merge(entries)
        size = self._count(1, place) + sum(node.size for node in entries.values())
        return Node(entries, place, place, size)

    def _merge(self, entries: dict[str, Node]) -> None:
        """Apply a merge key: add missing keys from its mappings. The first mapping with a key wins."""
        if "<<" not in entries:
            return
        merged = entries.pop("<<")
        for source in merged.value if isinstance(merged.value, list) else [merged]:
            if not isinstance(source.value, dict):
                self._add(source.place, "the merge key `<<` needs a mapping, or a list of mappings")
                continue
            for key, node in source.value.items():
                entries.setdefault(key, node)
