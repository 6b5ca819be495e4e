"""Merging of trees: a scenario, the files that it `extends`, and the overrides of the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os.path import isfile
from pathlib import Path
from typing import Any

from society.components.renamed import rename_keys
from society.core.paths import find_allowed
from society.core.problems import Place, Problem, find_near, find_similar_file, show
from society.scenario.reading.plain import read_plain
from society.scenario.reading.source import Node, UnreadableError, compose, read_text

NAMED = ("agents", "roles", "backends")
"""Keys of a scenario with names of the user. An override cannot set a field of an unknown name."""


def read_tree(path: Path, folders: Sequence[Path], problems: list[Problem], seen: tuple[Path, ...] = ()) -> Node:
    """Return the tree of a file, merged over the files that it extends. Other problems are added to `problems`.

    Raises `UnreadableError` if a file cannot be read or parsed.
    """
    root = _rename(compose(read_text(path), str(path), problems))
    if not isinstance(root.value, dict):
        raise UnreadableError(
            root.place, f"should be a mapping with keys such as `name` and `agents`, not {show(root.value)}"
        )
    return _extend(root, path.parent, folders, problems, (*seen, path.resolve()))


def read_mapping(data: Mapping[str, Any], folder: Path, folders: Sequence[Path], problems: list[Problem]) -> Node:
    """Return the tree of a dictionary, merged over the file that it extends, relative to `folder`.

    Raises `UnreadableError` if a file cannot be read or parsed. Other problems are added to `problems`.
    """
    return _extend(_rename(read_plain(data, problems)), folder, folders, problems, ())


def _extend(root: Node, folder: Path, folders: Sequence[Path], problems: list[Problem], seen: tuple[Path, ...]) -> Node:
    """Return a mapping merged over the file in its `extends`, relative to `folder`.

    `seen` lists the files that lead here. Raises `UnreadableError` if a file cannot be read or parsed.
    """
    if "extends" not in root.value:
        return root
    entries = dict(root.value)
    link = entries.pop("extends")
    base = _find_base(folder, link, folders)
    if base.resolve() in seen:
        raise UnreadableError(link.place, f"extends: {show(link.value)} leads back to a file that extends this one")
    try:
        tree = read_tree(base, folders, problems, seen)
    except UnreadableError as error:
        if error.problem.file == str(base) and not isfile(base):  # noqa: PTH113 - Path raises on too long a name
            raise UnreadableError(link.place, f"extends: the file {base} does not exist{_hint(base)}") from None
        raise
    return merge(tree, replace(root, value=entries))


def _find_base(folder: Path, link: Node, folders: Sequence[Path]) -> Path:
    if not isinstance(link.value, str) or not link.value:
        raise UnreadableError(link.place, f"extends: should be the path of a scenario, not {show(link.value)}")
    base = folder / link.value
    try:
        find_allowed(base.absolute(), folders)
    except ValueError as error:
        raise UnreadableError(link.place, f"extends: {show(link.value)} {error}") from None
    return base


def _hint(path: Path) -> str:
    return f"; did you mean {near!r}?" if (near := find_similar(path)) else ""


def find_similar(path: Path) -> str:
    """Return the name of the most similar scenario in the folder of a missing one, or ""."""
    return find_similar_file(path, "*.y*ml")


def merge(below: Node, above: Node) -> Node:
    """Return `above` merged over `below`: mappings merge by key, other values replace, null deletes.

    A mapping replaces a mapping of another `kind`.
    """
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)) or _kind(below) != _kind(above, below):
        return _without_nulls(above, below)
    entries = dict(below.value)
    for key, node in rename_keys(above.value, _kind(above, below)).items():
        if key in entries and node.value is None:
            del entries[key]
        else:
            entries[key] = merge(entries[key], node) if key in entries else node
    return replace(above, value=entries)


def _without_nulls(above: Node, below: Node) -> Node:
    """Return a mapping that replaces another one without the keys that it deletes there."""
    if not (isinstance(below.value, dict) and isinstance(above.value, dict)):
        return above
    kept = {key: node for key, node in above.value.items() if node.value is not None or key not in below.value}
    return replace(above, value=kept)


def _rename(node: Node) -> Node:
    """Return the tree with renamed fields under their current names, and with unchanged places."""
    if isinstance(node.value, list):
        return replace(node, value=[_rename(child) for child in node.value])
    if not isinstance(node.value, dict):
        return node
    entries = rename_keys(node.value, _kind(node))
    return replace(node, value={key: _rename(child) for key, child in entries.items()})


def _kind(node: Node, default: Node | None = None) -> object:
    if "kind" in node.value:
        return node.value["kind"].value
    return _kind(default) if default else None


def override(root: Node, setting: str, problems: list[Problem]) -> Node:
    """Return the tree with one override `a.b=c` applied.

    c is YAML. Elements of lists go by their index or `name`. Raises `UnreadableError` if the path does not exist.
    """
    path, equals, text = setting.partition("=")
    place = Place(f"--set {path}")
    if not equals or not all(path.split(".")):
        raise UnreadableError(Place(f"--set {setting}"), "should be PATH=VALUE, for example phases.debate.rounds=3")
    found: list[Problem] = []
    try:
        value = compose(text, place.file, found) if text.strip() else Node("", place, place)
    except UnreadableError as error:
        raise UnreadableError(place, f"the value {show(text)} {error.problem.message}") from None
    problems += [replace(problem, line=0, column=0) for problem in found]
    return _put(root, path.split("."), _rename(_move(value, place)), place, ())


def _move(node: Node, place: Place) -> Node:
    """Return the node with its own place and those of all its children set to `place`."""
    value = node.value
    if isinstance(value, dict):
        value = {key: _move(child, place) for key, child in value.items()}
    elif isinstance(value, list):
        value = [_move(child, place) for child in value]
    return replace(node, value=value, place=place, key=place)


def _put(node: Node, keys: Sequence[str], new: Node, place: Place, above: tuple[str, ...]) -> Node:
    if not keys:
        return new
    key, rest = keys[0], keys[1:]
    if isinstance(node.value, list):
        i = _index(node, key, place, above)
        items = [*node.value[:i], _put(node.value[i], rest, new, place, (*above, key)), *node.value[i + 1 :]]
        return replace(node, value=items)
    entries = _entries(node, place, above)
    kind = entries["kind"].value if "kind" in entries else None
    [key] = rename_keys({key: None}, kind)
    if not rest and new.value is None and key in entries:
        return replace(node, value={name: child for name, child in entries.items() if name != key})
    if rest and key not in entries and above in [(name,) for name in NAMED]:
        raise UnreadableError(place, f"there is no {key!r} in {above[0]}{_suggest(key, entries)}")
    child = entries.get(key, Node({}, place, place))
    return replace(node, value=entries | {key: _put(child, rest, new, place, (*above, key))})


def _entries(node: Node, place: Place, above: tuple[str, ...]) -> dict[str, Node]:
    """Return the children of a node. A bare kind (`topology: ring`) becomes a mapping."""
    if isinstance(node.value, dict):
        return node.value
    if isinstance(node.value, str):
        return {"kind": node}
    if node.value is None:
        return {}
    raise UnreadableError(place, f"{'.'.join(above)} is {show(node.value)} and has no keys")


def _index(node: Node, key: str, place: Place, above: tuple[str, ...]) -> int:
    names = [
        child.value["name"].value if isinstance(child.value, dict) and "name" in child.value else ""
        for child in node.value
    ]
    if key in names:
        return names.index(key)
    if key.isascii() and key.isdigit() and len(key) < 7 and int(key) < len(names):
        return int(key)
    count = f"; {'.'.join(above)} has {len(names)} elements, counted from 0" if not any(names) else ""
    raise UnreadableError(
        place,
        f"there is no {key!r} in {'.'.join(above)}{count}{_suggest(key, map(str, filter(None, names)))}",
    )


def _suggest(key: str, known: object) -> str:
    names = list(known)  # type: ignore[call-overload]
    near = find_near(key, names)
    hint = f"; did you mean {near!r}?" if near else ""
    return hint + (f" (there are: {', '.join(names[:20])})" if names else "")
