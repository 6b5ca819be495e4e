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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, PydanticUndefinedAnnotation, PydanticUserError

from society.components.registry import NOUNS, kinds, load, set_file_kinds
from society.core.component import Component
from society.core.errors import ComponentError, InputError, describe_error
from society.core.hashing import hash_file
from society.core.identity import fingerprint

PREFIX = "society_plugin_"
"""Begins the name of the module that is made from a plugin file."""
REMEDY = "Correct the file; docs/plugins.md has an example of each kind of component."


@dataclass(frozen=True, slots=True)
class PluginFile:
    """A plugin file that is loaded. `hash` is the SHA-256 of its contents, in hexadecimal."""

    path: Path
    hash: str


Classes = list[tuple[str, str, type[Component]]]
"""Noun, kind and class of each component of a file."""
_loaded: dict[PluginFile, Classes] = {}


def loaded_plugins() -> tuple[PluginFile, ...]:
    """Return the plugin files that are loaded now."""
    return tuple(_loaded)


def load_plugins(*paths: str | Path) -> None:
    """Run these Python files and add their component classes to those of the files that were loaded before.

    A file that was loaded before is run again if its contents have changed. Its new classes replace the old ones, so
    scenarios that use the file must be made again.

    Raises `InputError` for a file that cannot be run, that has no component, or that names a kind a second time. No
    component is then added or removed.
    """
    files = dict(_read(Path(path)) for path in paths)
    again = {file.path for file in files}
    kept = {file: b"" for file in _loaded if file.path not in again}
    _set({**kept, **files})


def set_plugins(*paths: str | Path) -> None:
    """Load these files as `load_plugins` does, and remove the component classes of all other files."""
    _set(dict(_read(Path(path)) for path in paths))


def _set(files: Mapping[PluginFile, bytes]) -> None:
    """Replace the loaded files. Those that are loaded are not run again."""
    global _loaded
    if files.keys() == _loaded.keys():
        return
    names = [file.path.name for file in files]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"Two plugin files are called {again}.", "Rename one: a run stores the files by name.")
    loaded: dict[PluginFile, Classes] = {}
    for file, source in files.items():
        loaded[file] = _loaded[file] if file in _loaded else _components(_execute(file, source))
    found: dict[str, dict[str, type[Component]]] = {}
    for file, classes in loaded.items():
        _add(found, file.path, classes)
    set_file_kinds(found)
    _loaded = loaded


def require_current(scenario: BaseModel) -> None:
    """Raise `InputError` for a component whose plugin file was loaded again, or removed, after the scenario was made.

    A run of the scenario would store the hash of another file than that of its code.
    """
    current = {cls for classes in _loaded.values() for _, _, cls in classes}
    for component in _components_of(scenario):
        cls = type(component)
        if is_from_file(cls) and cls not in current:
            path = Path(inspect.getfile(cls))
            is_loaded = any(file.path == path for file in _loaded)
            state = "has changed and was loaded again" if is_loaded else "is no longer loaded"
            first = "" if is_loaded else f"Load {path.name} again; then make"
            raise InputError(
                f"The scenario uses {getattr(component, 'kind', cls.__name__)!r} of {path}, which {state} after the "
                "scenario was made.",
                f"{first or 'Make'} the scenario again, with load_scenario or Scenario.from_dict.",
            )


def _components_of(value: object) -> Iterator[Component]:
    """Yield each component of a scenario or of a part of one."""
    if isinstance(value, Component):
        yield value
    inner: Iterable[object] = ()
    if isinstance(value, BaseModel):
        inner = (item for _, item in value)
    elif isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, tuple | list):
        inner = value
    for item in inner:
        yield from _components_of(item)


def find_fault(error: Exception) -> ComponentError | None:
    """Return the error for an exception that passed through the code of a plugin file; None for any other."""
    ran = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    for file in _loaded:
        if str(file.path) in ran:
            return ComponentError(f"The plugin file {file.path} raised {describe_error(error)}.", REMEDY)
    return None


def hash_code(*components: Component) -> str:
    """Return a hash of the code of those components that are plugins; "" if all are built in.

    The code is the plugin file, or all Python files of an installed package.
    """
    hashes = {}
    for cls in map(type, components):
        if is_from_file(cls):
            hashes[cls.__module__] = next((f.hash for f, known in _loaded.items() if cls in _classes(known)), "")
        elif not is_built_in(cls):
            package = cls.__module__.partition(".")[0]
            hashes[package] = _hash_package(package)
    return fingerprint(hashes) if hashes else ""


def _classes(known: Classes) -> list[type[Component]]:
    return [cls for _, _, cls in known]


@cache
def _hash_package(package: str) -> str:
    """Return a hash of all Python files of an imported package or module; "" without a file."""
    module = sys.modules[package]
    single = [Path(module.__file__)] if module.__file__ else []
    folders = [Path(folder) for folder in getattr(module, "__path__", ())]
    files = sorted(path for folder in folders for path in folder.rglob("*.py")) or single
    return fingerprint([hash_file(path) for path in files if path.is_file()])


def is_built_in(cls: type) -> bool:
    """Return whether a class is part of society, and of no plugin."""
    return cls.__module__.partition(".")[0] in ("society", "backends", "topologies")


def is_from_file(cls: type) -> bool:
    """Return whether a class comes from a plugin file: other processes cannot import it."""
    return cls.__module__.startswith(PREFIX)


def _read(path: Path) -> tuple[PluginFile, bytes]:
    if path.exists() and not path.is_file() and not path.is_dir():  # reading a pipe or a device may have no end
        raise InputError(
            f"The plugin file {path} is a pipe or a device.",
            "Name a Python file with --plugins FILE.py (Python: load_plugins).",
        )
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The plugin file {path} cannot be read: {error.strerror}.",
            "Name a Python file with --plugins FILE.py (Python: load_plugins).",
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
    except BaseException as error:  # SystemExit included, which would end the command without an error
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise InputError(
            f"The plugin file {file.path} cannot be loaded: {_explain(error, file.path)}.", REMEDY
        ) from error
    return module


def _explain(error: BaseException, path: Path) -> str:
    """Return the error on one line, with the last line of the file that ran."""
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    place = f"line {lines[-1]}: " if lines else ""
    message = " ".join(str(error).split())
    return f"{place}{type(error).__name__}: {message:.300}"


def _components(module: ModuleType) -> Classes:
    """Return noun, kind and class of each component that a module defines."""
    found: Classes = []
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


def _add(found: dict[str, dict[str, type[Component]]], path: Path, classes: Classes) -> None:
    """Add the classes of a file to those of other files. Raises `InputError` for a kind that is taken."""
    for noun, kind, cls in classes:
        others = {kind for kind, other in kinds(noun).items() if not is_from_file(other)}
        if kind in others or kind in found.get(noun, {}):
            raise InputError(f"The {noun} {kind!r} in {path} has a name that is taken.", "Give it another `kind`.")
        found.setdefault(noun, {})[kind] = cls
