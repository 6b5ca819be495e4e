"""Paths in a scenario. They are relative to its folder, and lead only into folders that it may read.

    ReadablePath     a data file, a graph file or an adapter of a scenario
    ModelPath        a model of a scenario: a path, or a reference such as pypi:PACKAGE
    HubModel         the same, or a model's name on the hub: OWNER/NAME
    DataPath         a data file or folder, or a data set of the hub: hub:OWNER/NAME
    Revision         a branch, a tag or a commit of the hub; `is_revision` checks the name
    allow_folders    the validation context of a scenario that may read these folders
    stored_in        the validation context of the scenario stored in a run's folder: no file is opened
    run_folders      the validation context of a stored scenario whose files are to be opened
    list_given       an argument that is one path or text, or several of them, as a tuple

A scenario may come from a stranger. Its files are read only below its own folder and below those that the user allows
(`--allow`), after links are resolved. Hidden files and folders (their names begin with a dot) are read only where the
user's own words name them, so a scenario in the home folder does not read `.ssh`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema

from society.core.errors import InputError

Context = dict[str, Any]
MOST_FILES = 10_000
"""Maximum number of files and folders in a folder that a scenario names."""
COPIES = "files"
"""Folder within a run's folder that holds copies of small files which the scenario named."""
HUB = "hub:"
"""Beginning of a reference to a data set of the hub."""
_REFERENCE = re.compile(r"(pypi|hf):")
_REVISION = re.compile(r"\w[\w.-]*(/[\w-][\w.-]*)*")
_HUB_NAME = re.compile(r"([\w-][\w.-]*)/[\w-][\w.-]*")


def list_given(given: object, name: str, *one: type) -> tuple[Any, ...]:
    """Return the argument `name`, which is one value of the types `one` or an iterable of them, as a tuple.

    A text alone is one value, not its letters. Raises `InputError` for anything else.
    """
    several = isinstance(given, Iterable) and not isinstance(given, one)
    values = tuple(given) if several else (given,)  # type: ignore[arg-type]  # an iterable here
    for value in values:
        if not isinstance(value, one):
            kinds = " or ".join(kind.__name__ for kind in one)
            raise InputError(f"`{name}` contains {value!r:.80}, a {type(value).__name__}.", f"Give a list of {kinds}.")
    return values


def allow_folders(folders: Sequence[Path]) -> Context:
    """Return the context in which relative paths start at the first of `folders`, and lead into any of them."""
    return {"folders": tuple(folders)}


def stored_in(folder: Path | None) -> Context:
    """Return the context in which paths lead to their copies in a run's `folder`; without one, paths are only names."""
    return {"stored": folder}


def run_folders(folder: Path, allow: Path | str | Sequence[Path | str], every: bool) -> Context:
    """Return the context in which a run's paths lead into its folder, its copies first, or into those of `allow`.

    Models elsewhere are refused. With `every`, other files are refused, too; without, their paths lead to copies.
    """
    allowed = (Path(root) for root in list_given(allow, "allow", str, Path))
    return {"folders": (folder, *allowed), "stored": folder, "every": every}


def find_allowed(path: Path, folders: Sequence[Path]) -> Path:
    """Return `path`, relative to the first of `folders`, resolved, after checking that it lies in one of them.

    Raises `ValueError`, which says why, where it does not or is no file and no folder.
    """
    roots = [folder.resolve() for folder in folders]
    resolved = _resolve(roots[0] / path)
    if not _is_below(resolved, roots):
        names = ", ".join(str(root) for root in dict.fromkeys(roots))
        raise ValueError(
            f"is outside the folders that a scenario may read ({names}, hidden files left out); "
            "allow its folder with --allow DIR (Python: allow=[DIR])"
        )
    if resolved.is_dir():
        check_links(resolved, roots)
    return resolved


def _may_be_read(path: Path, folders: Sequence[Path]) -> bool:
    try:
        find_allowed(path, folders)
    except ValueError:
        return False
    return True


def _resolve(path: Path) -> Path:
    """Return the path without links. Raises `ValueError` for a loop of links, a device or a pipe."""
    try:
        resolved = path.resolve()
        loop = any(place.is_symlink() for place in (resolved, *resolved.parents))
        special = resolved.exists() and not (resolved.is_file() or resolved.is_dir())
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, or a name that no system takes
        raise ValueError(f"is no usable path: {error}") from None
    if loop:
        raise ValueError("is no usable path: its links lead in a circle")
    if special:
        raise ValueError("is a device or a pipe; give a file")
    return resolved


def _is_below(path: Path, roots: Sequence[Path]) -> bool:
    """Return whether a resolved path is one of `roots`, or is below one and not hidden there."""
    inside = [path.relative_to(root).parts for root in roots if path.is_relative_to(root)]
    return any(not any(part.startswith(".") for part in parts) for parts in inside)


def check_links(folder: Path, roots: Sequence[Path]) -> None:
    """Raise `ValueError` where a link or a special file in `folder` leads out of all `roots`, or it holds too much."""
    count = 0
    for place, folders, files in os.walk(folder, followlinks=False):
        count += len(folders) + len(files)
        if count > MOST_FILES:
            raise ValueError(f"holds more than {MOST_FILES:,} files; name a folder that holds only what is meant")
        for name in (*folders, *files):
            entry = Path(place, name)
            if entry.is_symlink() and not any(_resolve(entry).is_relative_to(root) for root in roots):
                raise ValueError(f"holds the link {name!r:.80}, which leads out of the folders that may be read")
            if not entry.is_symlink() and not entry.is_file() and not entry.is_dir():
                raise ValueError(f"holds {name!r:.80}, which is a device or a pipe")


def copy_place(folder: Path, path: str | Path) -> Path:
    """Return where the copy of a file that a scenario names lies in a run's folder, whether or not it is there."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(path).name)[-60:].lstrip(".") or "file"
    return folder / COPIES / f"{blake2b(os.fsencode(path), digest_size=8).hexdigest()}-{name}"


def _allowed(path: Path, info: ValidationInfo) -> Path:
    """Resolve `path` against the folders of the validation, the scenario's first; or map it to its copy in a run."""
    context: Mapping[str, Any] = info.context or {}
    if context.get("stored") is not None:
        copy = copy_place(context["stored"], path)
        if not context.get("folders"):
            return copy
        if copy.is_file():
            return find_allowed(copy, [context["stored"]])
        if not context["every"] and not _may_be_read(path, context["folders"]):
            return copy
    elif "stored" in context:
        return path
    return find_allowed(path, context.get("folders") or [Path.cwd()])


def _model(name: str, info: ValidationInfo) -> str:
    """Make a model's path absolute. Models are opened wherever they lie, for they are read as weights and never shown;
    those of a run's folder only there and where the user allows."""
    context: Mapping[str, Any] = info.context or {}
    if match := _REFERENCE.match(name):
        if ".." in re.split(r"[/\\:]", name[match.end() :]):
            raise ValueError("is no reference to a model: it has a step upwards (..)")
        return name
    if _is_only_named(context):
        return name
    try:
        path = _start(context) / Path(name).expanduser()
        if "stored" in context:
            return str(find_allowed(path, context["folders"]))
        return str(_resolve(path)) if context.get("folders") or path.exists() else name
    except (OSError, RuntimeError) as error:  # ~ of an unknown user, or a name that no system allows
        raise ValueError(f"is no usable path: {error}") from None


def _hub_model(name: str, info: ValidationInfo) -> str:
    """Return a model's name on the hub, OWNER/NAME, as it is. All other texts are paths, or references.

    OWNER/NAME is a path, too, if the scenario's folder has a folder OWNER: the hub is never asked for a local name.
    """
    context: Mapping[str, Any] = info.context or {}
    named = None if name.endswith(".gguf") else _HUB_NAME.fullmatch(name)
    if named and (_is_only_named(context) or not (_start(context) / named[1]).is_dir()):
        return name
    return _model(name, info)


def is_revision(name: str) -> bool:
    """Return whether a branch, a tag or a commit may have this name, which leads to no file elsewhere."""
    return ".." not in name and _REVISION.fullmatch(name) is not None


def _revision(name: str) -> str:
    if not is_revision(name):
        raise ValueError("is no revision of the hub; write a branch, a tag or a commit, such as main or 7ae557604adf")
    return name


def _data(value: str | Path, info: ValidationInfo) -> str | Path:
    """Return a reference to a data set of the hub as it is, and any other text as a path that may be read."""
    if not str(value).startswith(HUB):
        return _allowed(Path(value), info)
    if not _HUB_NAME.fullmatch(str(value).removeprefix(HUB)):
        raise ValueError("is no data set of the hub; write hub:OWNER/NAME, such as hub:openai/gsm8k")
    return str(value)


def _is_only_named(context: Mapping[str, Any]) -> bool:
    """Return whether the files of a scenario are only names."""
    return "stored" in context and not context.get("folders")


def _start(context: Mapping[str, Any]) -> Path:
    """Return the folder of relative paths: the scenario's, or the current one for a scenario made in Python."""
    folders = context.get("folders")
    return Path(folders[0]) if folders else Path()


ReadablePath = Annotated[Path, Field(strict=False), AfterValidator(_allowed)]  # not strict: YAML gives text
"""A file that a scenario names. Validated into an absolute path inside the allowed folders."""
DataPath = Annotated[
    str | Annotated[Path, Field(strict=False)], AfterValidator(_data), WithJsonSchema({"type": "string"})
]
"""A data file or folder, validated into an absolute path, or a reference such as hub:openai/gsm8k."""
ModelPath = Annotated[str, AfterValidator(_model)]
"""A model's file. A path is validated into an absolute one."""
HubModel = Annotated[str, AfterValidator(_hub_model)]
"""A model's file, folder or name on the hub. A path is validated into an absolute one."""
Revision = Annotated[str, AfterValidator(_revision)]
"""A branch, a tag or a commit of a model or a data set on the hub."""
