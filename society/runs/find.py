"""Runs by the folders that a user names: of single runs, and of several such as those of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from society.core.plain import natural_order
from society.runs.places import STORE
from society.runs.run import Run


def find_runs(folders: Iterable[Path]) -> list[Run]:
    """Return the runs in these folders. For a folder that holds no run but folders of runs, return those, by name."""
    return [Run(folder) for given in folders for folder in _list(given)]


def _list(folder: Path) -> Iterator[Path]:
    inner = [] if (folder / STORE).exists() or not folder.is_dir() else [p.parent for p in folder.glob(f"*/{STORE}")]
    yield from sorted(inner, key=lambda path: natural_order(path.name)) or [folder]
