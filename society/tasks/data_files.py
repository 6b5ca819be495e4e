"""The files of a data set in a folder or on the hub: which of them hold the wanted configuration and split.

Their names show it: `main/test-00000-of-00001.parquet`, `ARC-Challenge-Test.jsonl`, `test/algebra/1.json`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from society.core.errors import InputError
from society.core.problems import find_near
from society.tasks.readers import ENDINGS

ALL = "*"
"""The configuration that stands for all configurations."""
_SPLITS = (("train", "training"), ("validation", "valid", "val", "dev"), ("test", "testing"))
"""Words of file names that stand for one split, the first of them its name on the hub."""
_DESCRIBE_DATA = ("dataset_infos", "dataset_info", "dataset_dict", "state", "config", "metadata")
"""Names, without endings, of JSON files that describe a data set and hold no rows."""
_PREFERRED = (".parquet", ".jsonl", ".json", ".csv", ".tsv")
"""Endings in the order of preference, where a data set of the hub comes in several formats."""


class Wanted(NamedTuple):
    """The part of a data set to read. None: the only one there is."""

    config: str | None = None
    split: str | None = None
    usual: str | None = None
    """Configuration that is used if there is one of this name, and `config` is None."""


def list_files(source: Path | Iterable[str]) -> list[str]:
    """Return the data files in a folder, or among names, as relative paths in the order of their names.

    Hidden files and descriptions of the data set are left out.
    """
    names = _walk(source) if isinstance(source, Path) else source
    return sorted(filter(_holds_rows, names), key=_natural)


def _walk(folder: Path) -> Iterable[str]:
    for place, _, files in os.walk(folder):
        yield from (Path(place, file).relative_to(folder).as_posix() for file in files)


def _holds_rows(name: str) -> bool:
    path = PurePosixPath(name)
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    return not hidden and path.suffix.lower() in ENDINGS and path.stem.lower() not in _DESCRIBE_DATA


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key by which 2.json comes before 10.json."""
    return [(int(part) if part.isdecimal() else -1, part) for part in re.split(r"(\d+)", name)]


def choose_files(files: Sequence[str], wanted: Wanted, origin: str, every_format: bool = False) -> list[str]:
    """Return the files of the wanted configuration and split, all of one format.

    `origin` names the data set in errors. `every_format`: several formats are an error, and none is left out. Raises
    `InputError` where nothing fits, or where the files are of several configurations or splits and none is named.
    """
    if not files:
        raise InputError(
            f"{origin}: there are no data files ({', '.join(ENDINGS)}).", "Correct `task.path`, or convert the files."
        )
    usual = _find_config(files, wanted.usual) if wanted.usual and wanted.config is None else []
    chosen = usual or _of_config(files, wanted.config, origin)
    chosen = _of_split(chosen, wanted.split, origin)
    endings = {PurePosixPath(name).suffix.lower() for name in chosen}
    if every_format and len(endings) > 1:
        raise InputError(
            f"{origin}: holds files of several formats: {_listing(chosen)}.", "Name one file as `task.path`."
        )
    best = min(endings, key=lambda ending: (*_PREFERRED, ending).index(ending))
    chosen = [name for name in chosen if PurePosixPath(name).suffix.lower() == best]
    folders = sorted({str(PurePosixPath(name).parent) for name in chosen} - {"."})
    if wanted.config is None and not every_format and len({_top(name) for name in chosen}) > 1:
        raise InputError(
            f"{origin}: has several configurations: {_listing(folders)}.",
            "Name one as `task.config`, or write '*' for all.",
        )
    return chosen


def _top(name: str) -> str:
    return PurePosixPath(name).parts[0] if "/" in name else ""


def _listing(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def split_of(name: str) -> str:
    """Return the last word of a path that names a split, or "": a folder counts less than the file."""
    words = re.findall(r"[a-z]+", str(PurePosixPath(name).with_suffix("")).lower())
    return next((word for word in reversed(words) if any(word in split for split in _SPLITS)), "")


def _of_config(files: Sequence[str], config: str | None, origin: str) -> list[str]:
    if config in (None, ALL):
        return list(files)
    chosen = _find_config(files, str(config))
    if not chosen:
        known = sorted({_top(name) or PurePosixPath(name).stem for name in files})
        near = find_near(str(config), known)
        hint = f" Did you mean {near!r}?" if near else f" There are: {_listing(known)}."
        raise InputError(f"{origin}: has no configuration {config!r}.", f"Correct `task.config`.{hint}", ("config",))
    return chosen


def _find_config(files: Sequence[str], config: str) -> list[str]:
    """Return the files below a folder of this name, or of this name, else those whose names begin with it."""
    plain = _plain(config)
    exact = [name for name in files if plain in map(_plain, PurePosixPath(name).with_suffix("").parts)]
    return exact or [name for name in files if _plain(PurePosixPath(name).stem).startswith(f"{plain}_")]


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower())


def _of_split(files: Sequence[str], split: str | None, origin: str) -> list[str]:
    """Return the files of a split. Files without any word for a split are all there is."""
    known = sorted({word for name in files if (word := split_of(name))})
    if split is None and len(known) > 1:
        raise InputError(f"{origin}: has several splits: {', '.join(known)}.", "Name one as `task.split`.")
    if split is None or not known:
        return list(files)
    same = next((words for words in _SPLITS if split.lower() in words), ())
    for word in dict.fromkeys((split.lower(), *same)):
        if chosen := [name for name in files if word in re.split(r"[^a-z0-9]+", name.lower()) and _is_of(name, word)]:
            return chosen
    raise InputError(
        f"{origin}: has no split {split!r}.", f"Set `task.split` to one of: {', '.join(known)}.", ("split",)
    )


def _is_of(name: str, word: str) -> bool:
    """Return whether a file that has this word in its path is of the split; another word for a split may follow it."""
    return split_of(name) in (word, "")
