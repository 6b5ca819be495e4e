"""Files in a run's folder beside its store. With them, a run can be read without files from elsewhere.

    keep_inputs       writes the questions and copies of graph files when a run starts
    read_questions    reads the questions of the evaluation
    own_file          checks that a file lies in the run's folder
    own_tree          checks that nothing in a folder leads out of the run's folder

A run's folder may come from a stranger, and a link in it could lead to any file of the reader. So links, hard links
and devices are not opened.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from society.core.atomic import atomic_write
from society.core.definition import named_paths
from society.core.disks import advise
from society.core.errors import InputError, RunFolderError
from society.core.paths import COPIES, copy_place
from society.core.types import Item

if TYPE_CHECKING:
    from society.scenario.models.scenario import Scenario

QUESTIONS = "questions.json"
FORGOTTEN = "forgotten"
"""Name of the fact in the table `meta` with the number of questions that `society forget` deleted."""
PRUNED = "pruned"
"""Name of the fact in the table `meta` with the paths of adapters that `society prune` removed."""
MEASUREMENTS = "diversity.json"
"""File of what `society diversity` measured. A run whose turns change discards it."""
LARGEST_QUESTIONS = 64_000_000
"""Maximum size of the file of questions, in bytes."""
LARGEST_COPY = 20_000_000
"""Maximum size of a file that is copied into a run's folder, in bytes: as large as a graph file may be."""
_ITEMS = TypeAdapter(list[Item])
_TEXTS = TypeAdapter(dict[str, str])
_LISTS = TypeAdapter(list[dict[str, str]])
_OBJECT = TypeAdapter(dict[str, Any])
_COUNT = TypeAdapter(int)
_NAMES = TypeAdapter(list[str])
Kept = TypeVar("Kept")


def keep_inputs(folder: Path, scenario: Scenario, questions: Sequence[Item]) -> None:
    """Write what readers of the run need: its evaluation questions, and the files that its topologies name.

    Raises `InputError` where the folder cannot be written.
    """
    try:
        keep_questions(folder, questions)
        for path in dict.fromkeys(_topology_files(scenario)):
            _keep(path, copy_place(folder, path))
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written: {error.strerror}.", advise(error, "Choose another --out (Python: `out`).")
        ) from error


def keep_questions(folder: Path, questions: Sequence[Item]) -> None:
    """Write the evaluation questions of a run."""
    with atomic_write(folder / QUESTIONS) as part:
        part.write_bytes(_ITEMS.dump_json(list(questions)))


def _keep(path: Path, copy: Path) -> None:
    if path.is_file() and path.stat().st_size <= LARGEST_COPY:
        copy.parent.mkdir(exist_ok=True)
        with atomic_write(copy) as part:
            shutil.copyfile(path, part)


def _topology_files(scenario: Scenario) -> Iterator[Path]:
    """Yield each file that a topology names."""
    yield from (path for _, path in named_paths(scenario.topologies))
    for phase in scenario.phases:
        for topology in (phase.topology, phase.within):
            yield from (path for _, path in named_paths(topology))


def read_questions(folder: Path) -> list[Item] | None:
    """Return the evaluation questions of a run; None for a run of an older version, which stored none.

    Raises `RunFolderError` for a file that this program did not write.
    """
    path = own_file(folder, QUESTIONS)
    if path is None:
        return None
    return validate_file(path, _ITEMS, LARGEST_QUESTIONS)


def validate_file(path: Path, kind: TypeAdapter[Kept], largest: int) -> Kept:
    """Return the contents of a JSON file of a run's folder. Raises `RunFolderError` where they are not of that kind."""
    try:
        with path.open("rb") as file:
            data = file.read(largest + 1)
        if len(data) > largest:
            raise _refusal(path, f"is larger than {largest:,} bytes")
        return kind.validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))[:100]
        raise _refusal(
            path, f"is not what society writes there: {place or 'the file'!r}: {first['msg']:.200}"
        ) from None
    except OSError as error:
        raise RunFolderError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error


def own_file(folder: Path, name: str) -> Path | None:
    """Return the file `name` of a run's folder, None where it is not there.

    Raises `RunFolderError` where it is a link, a hard link, or no plain file: it could be a file from elsewhere.
    """
    path = folder / name
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be looked at: {error}.", "Check the folder.") from error
    _check(path, found)
    if not stat.S_ISREG(found.st_mode):
        raise _refusal(path, "is no file")
    return path


def own_tree(folder: Path, name: str) -> Path:
    """Return the folder or file `name` of a run's folder. Raises `RunFolderError` where anything in it leads out."""
    root = folder.resolve()
    path = root / name
    if not path.resolve().is_relative_to(root) or path.resolve() != path:
        raise _refusal(folder / name, "leads through a link")
    if path.exists():
        _check(path, path.lstat())
    for place, folders, files in os.walk(path):
        for entry in (Path(place, inner) for inner in (*folders, *files)):
            _check(entry, entry.lstat())
    return path


def _check(path: Path, found: os.stat_result) -> None:
    """Raise `RunFolderError` for a link, a file with a second name, a device or a pipe."""
    if stat.S_ISLNK(found.st_mode):
        raise _refusal(path, "is a link")
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise _refusal(path, "has a second name elsewhere (it is a hard link)")
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise _refusal(path, "is a device or a pipe")


def _refusal(path: Path, fault: str) -> RunFolderError:
    return RunFolderError(
        f"{path} {fault}.",
        "A run's folder is read by itself alone. If the run is your own, copy it whole: cp -rL RUN COPY.",
    )


def check_folder(folder: Path, names: Sequence[str]) -> None:
    """Raise `RunFolderError` where one of these files, or a copy of a file that the scenario named, leads out."""
    for name in names:
        own_file(folder, name)
    if (folder / COPIES).is_symlink() or (folder / COPIES).exists():
        own_tree(folder, COPIES)


def read_json(meta: Mapping[str, str], name: str) -> dict[str, str]:
    """Return a mapping of texts that a store holds as JSON; empty where there is none. Raises `RunFolderError`."""
    found: dict[str, str] = _fact(meta, name, _TEXTS, "{}")
    return found


def read_list(meta: Mapping[str, str], name: str) -> list[dict[str, str]]:
    """Return a list of such mappings. Raises `RunFolderError`."""
    found: list[dict[str, str]] = _fact(meta, name, _LISTS, "[]")
    return found


def read_object(meta: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return a mapping of anything. Raises `RunFolderError`."""
    found: dict[str, Any] = _fact(meta, name, _OBJECT, "")
    return found


def _fact(meta: Mapping[str, str], name: str, kind: TypeAdapter[Any], absent: str) -> Any:
    try:
        return kind.validate_json(meta.get(name, absent), strict=True)
    except ValidationError:
        raise RunFolderError(
            f"What the run's store says of its {name} is not what society writes there.",
            "Society did not write it. If the run is your own, restore its folder from a copy.",
        ) from None


def count_forgotten(meta: Mapping[str, str]) -> int:
    """Return the number of questions that were deleted from a run. Raises `RunFolderError`."""
    found: int = _fact(meta, FORGOTTEN, _COUNT, "0")
    return found


def read_pruned(meta: Mapping[str, str]) -> list[str]:
    """Return the paths of adapters that were removed from a run's folder. Raises `RunFolderError`."""
    found: list[str] = _fact(meta, PRUNED, _NAMES, "[]")
    return found
