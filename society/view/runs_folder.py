"""Follows all runs in a folder: the list of them, and each one that is opened."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from threading import Lock

from society.core.errors import RunFolderError
from society.report.rows import Json
from society.report.run_list import ListedRun, RunList, describe_list
from society.runs.places import find_store, has_begun
from society.view.follow import Follower

MOST_OPEN = 8
"""Maximum number of runs that are followed at the same time. The one that was read longest ago is closed first."""


class RunsFolder:
    """The runs in a folder. All public methods are thread-safe.

    A run keeps the number under which it was first listed, so that its address stays valid.
    """

    def __init__(self, folder: Path) -> None:
        """Raise `RunFolderError` for a folder that cannot be read or holds no run."""
        self._list = RunList(folder)
        self._numbers: dict[str, int] = {}
        self._open: OrderedDict[int, Follower] = OrderedDict()
        self._shown, self._version = "", 0
        self._lock = Lock()
        rows, _ = self._list.read()
        if not any(has_begun(folder / row.name) for row in rows):
            find_store(folder)

    def index(self, cursor: str = "") -> Json | None:
        """Return the data of the page with its `cursor`, or None if nothing changed since that of `cursor`."""
        with self._lock:
            rows, left_out = self._list.read()
            found = describe_list(self._list.folder, rows, left_out, self._links(rows))
            text = json.dumps(found)
            if text != self._shown:
                self._shown = text
                self._version += 1
            return None if cursor == str(self._version) else found | {"cursor": str(self._version)}

    def _links(self, rows: list[ListedRun]) -> dict[str, str]:
        """Return the address of each run that can be opened, relative to the page."""
        for row in rows:
            self._numbers.setdefault(row.name, len(self._numbers))
        return {row.name: f"runs/{self._numbers[row.name]}/" for row in rows if row.scenario}

    def open(self, number: int) -> Follower:
        """Return the run of this number. Raises `SocietyError` for an unknown number or an unreadable run."""
        with self._lock:
            names = {known: name for name, known in self._numbers.items()}
            if number not in names:
                raise RunFolderError(f"The list has no run {number}.", "Open the run from the list.")
            follower = self._open.pop(number, None) or Follower(self._list.folder / names[number])
            self._open[number] = follower
            if len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
            return follower
