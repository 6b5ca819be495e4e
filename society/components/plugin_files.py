"""Local plugin files: Python files whose component classes a scenario may name, without packaging.

A plugin file is a program, so it runs only where the user names it: with --plugins on the command line, or by
`load_plugins` in Python. Every component class of the file is added under its `kind`. A run stores the name and the
hash of each file.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from pydantic import PydanticUndefinedAnnotation, PydanticUserError

from society.components.registry import NOUNS, Kinds, kinds, load, set_file_kinds
from society.core.component import Component
from society.core.errors import ComponentError, InputError, describe_error

PREFIX = "society_plugin_"
"""Begins the name of the module that is made from a plugin file."""
REMEDY = "Correct the file; docs/plugins.md has an example of each kind of component."


@dataclass(frozen=True, slots=True)
class PluginFile:
    """A plugin file that is loaded. `hash` is the SHA-256 of its contents, in hexadecimal."""

    path: Path
    hash: str


_loaded: tuple[PluginFile, ...] = ()


def loaded_plugins() -> tuple[PluginFile, ...]:
    """Return the plugin files that are loaded now."""
    return _loaded


def load_plugins(*paths: str | Path) -> None:
    """Run these Python files and add their component classes; classes of files that were loaded before are removed.

    Raises `InputError` for a file that cannot be run, that has no component, or that names a kind a second time.
    """
    global _loaded
    files = tuple(_read(Path(path)) for path in paths)
    wanted = tuple(file for file, _ in files)
    if wanted == _loaded:
        return
    names = [file.path.name for file in wanted]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"Two plugin files are called {again}.", "Rename one: a run stores the files by name.")
    if _loaded:
        _loaded = ()
        set_file_kinds({})
    found: dict[str, dict[str, type[Component]]] = {}
    for file, source in files:
        _add(found, file.path, _components(_execute(file, source)))
    set_file_kinds(found)
    _loaded = wanted


def find_fault(error: Exception) -> ComponentError | None:
    """Return the error for an exception that passed through the code of a plugin file; None for any other."""
    ran = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    for file in _loaded:
        if str(file.path) in ran:
            return ComponentError(f"The plugin file {file.path} raised {describe_error(error)}.", REMEDY)
    return None


def is_from_file(cls: type) -> bool:
    """Return whether a class comes from a plugin file: other processes cannot import it."""
    return cls.__module__.startswith(PREFIX)


def _read(path: Path) -> tuple[PluginFile, bytes]:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The plugin file {path} cannot be read: {error.strerror}.", "Name a Python file with --plugins FILE.py."
        ) from None
    return PluginFile(path.resolve(), hashlib.sha256(source).hexdigest()), source


def _execute(file: PluginFile, source: bytes) -> ModuleType:
    """Run the source of a plugin file as a module of its own."""
    name = f"{PREFIX}{file.path.stem}_{file.hash[:12]}"
    spec = spec_from_file_location(name, file.path)
    if spec is None:
        raise InputError(f"The plugin file {file.path} is no Python file.", "Name a file that ends in .py.")
    module = module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks up the annotations of a class in the module
    try:
        exec(compile(source, str(file.path), "exec"), vars(module))
    except Exception as error:
        del sys.modules[name]
        raise InputError(
            f"The plugin file {file.path} cannot be loaded: {_explain(error, file.path)}.", REMEDY
        ) from error
    return module


def _explain(error: Exception, path: Path) -> str:
    """Return the error on one line, with the last line of the file that ran."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f"line {lines[-1]}: " if lines else ""
    message = " ".join(str(error).split())
    return f"{place}{type(error).__name__}: {message:.300}"


def _components(module: ModuleType) -> list[tuple[str, str, type[Component]]]:
    """Return noun, kind and class of each component that a module defines."""
    found = []
    for cls in vars(module).values():
        if isinstance(cls, type) and issubclass(cls, Component) and cls.__module__ == module.__name__:
            noun = next((noun for noun, known in NOUNS.items() if issubclass(cls, load(known.base))), None)
            if noun is not None and (kind := _kind(cls, noun)):
                _complete(cls)
                found.append((noun, kind, cls))
    if not found:
        raise InputError(f"The plugin file {module.__file__} defines no component with a `kind`.", REMEDY)
    return found


def _complete(cls: type[Component]) -> None:
    """Raise `InputError` if a type of the class's fields is not defined when the file has run."""
    try:
        cls.model_rebuild()
    except (PydanticUndefinedAnnotation, PydanticUserError) as error:
        fault = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"The class {cls.__name__} in {inspect.getfile(cls)} has a fault: {fault}.", REMEDY) from None


def _kind(cls: type[Component], noun: str) -> str:
    """Return the kind of a class; "" for an abstract class without one. Raises `InputError` if a part is missing."""
    kind = cls.model_fields["kind"].default if "kind" in cls.model_fields else ""
    missing = sorted(getattr(cls, "__abstractmethods__", ()))
    where = f"The {noun} {cls.__name__} in {inspect.getfile(cls)}"
    if isinstance(kind, str) and kind and missing:
        raise InputError(f"{where} lacks the method `{missing[0]}`.", REMEDY)
    if not isinstance(kind, str) or (not kind and not missing):
        line = f'`kind: Literal["{cls.__name__.lower()}"] = "{cls.__name__.lower()}"`'
        raise InputError(f"{where} has no kind.", f"Add the field {line}.")
    return kind


def _add(
    found: dict[str, dict[str, type[Component]]], path: Path, components: Iterable[tuple[str, str, type[Component]]]
) -> None:
    for noun, kind, cls in components:
        known: Kinds = {**kinds(noun), **found.get(noun, {})}
        if kind in known:
            raise InputError(f"The {noun} {kind!r} in {path} has a name that is taken.", "Give it another `kind`.")
        found.setdefault(noun, {})[kind] = cls
