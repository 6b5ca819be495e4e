"""The runs in a folder as rows of a table. Folders that hold no readable run are listed with the reason."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from society.core.errors import SocietyError
from society.core.plain import to_plain
from society.core.regular_files import read_stamp
from society.metrics.accuracy import share_true
from society.metrics.compared_runs import describe_unfinished
from society.report.rows import Json
from society.runs.locking import is_running
from society.runs.places import STORE, find_folders, find_store, is_run
from society.runs.run import Run
from society.runs.state import RunState
from society.runs.status import RunStatus, find_last_write, is_known, read_status
from society.store import Store

MOST_FOLDERS = 2000
"""Maximum number of folders in a list. Further ones are counted."""


@dataclass(frozen=True)
class ListedRun:
    """One folder. `state` is "running", "finished", "interrupted" or "not readable", for the `reason`.

    A run that has no store yet has a `RunState`, and so has one of which it is unclear whether a process works on it.

    `accuracy`, `low` and `high` are those of the last evaluated iteration, None without true answers. `part` is the
    finished part of an unfinished run. Turns, tokens and seconds are those of the whole run, training included.
    `changed` is the time of the last turn or optimizer step, or of the last write, in seconds since 1970; 0 if unknown.
    """

    name: str
    state: str
    reason: str = ""
    scenario: str = ""
    part: str = ""
    questions: int = 0
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    turns: int = 0
    failed: int = 0
    tokens: int = 0
    seconds: float = 0.0
    changed: float = 0.0


@dataclass
class RunList:
    """The runs below a folder. A run's row is read again only if its store has changed."""

    folder: Path
    _known: dict[str, tuple[object, ListedRun]] = field(default_factory=dict)

    def read(self) -> tuple[list[ListedRun], int]:
        """Return the rows of all folders by name, and the number of folders that are left out."""
        paths = sorted(find_folders(self.folder))
        rows = [self._row(path) for path in paths[:MOST_FOLDERS]]
        return rows, max(0, len(paths) - MOST_FOLDERS)

    def _row(self, path: Path) -> ListedRun:
        name = path.relative_to(self.folder).as_posix()
        stamp = (is_running(path), [read_stamp(path / f"{STORE}{end}") for end in ("", "-wal")])
        if name not in self._known or self._known[name][0] != stamp:
            self._known[name] = stamp, _read(path, name)
        return self._known[name][1]


def _read(path: Path, name: str) -> ListedRun:
    changed = _find_last_change(path)
    try:
        return _read_run(Run(path), name, changed)
    except SocietyError as error:
        if is_known(path) and not is_run(path):
            status = read_status(path, name)
            return ListedRun(name, status.state, _describe_start(status), changed=changed)
        return ListedRun(name, "not readable", " ".join(f"{error}".split()), changed=changed)


def _find_last_change(path: Path) -> float:
    """Return the time of a run's last turn or optimizer step; if it is unknown, that of the last write to the store."""
    quiet = read_status(path).quiet
    written = find_last_write(path / STORE) if quiet is None else round(time.time() - quiet)
    return float(written or 0)


def _describe_start(status: RunStatus) -> str:
    """Return who works on a run that has no store yet, and the reason of its state."""
    meaning = RunState.STARTING.meaning if status.state == RunState.STARTING else ""
    holder = f"Process {status.pid} on {status.host}." if status.host else ""
    return " ".join(part for part in (holder, status.reason or meaning) if part)


def _read_run(run: Run, name: str, changed: float) -> ListedRun:
    running = is_running(run.folder)
    state = {True: "running", False: "interrupted", None: "unclear"}[running]
    if "scenario" not in run.meta():
        return ListedRun(name, state, "It has not begun to debate.", changed=changed)
    results = [row for row in run.results() if row.split == "evaluation"]
    last = max((row.iteration for row in results), default=0)
    final = [row for row in results if row.iteration == last]
    part = describe_unfinished(run, last, len(final))
    scored = [row for row in final if row.scored and row.decision.single]
    accuracy = share_true(((row.item, row.question), [row.correct]) for row in scored)
    with Store(find_store(run.folder), read_only=True) as store:
        turns, tokens, seconds = store.totals()
    return ListedRun(
        name=name,
        state=state if part else "finished",
        scenario=run.scenario.name,
        part=part,
        questions=len({(row.item, row.question) for row in final}),
        accuracy=accuracy.share if accuracy.n else None,
        low=accuracy.low if accuracy.n else None,
        high=accuracy.high if accuracy.n else None,
        turns=turns,
        failed=run.count_failed(),
        tokens=tokens,
        seconds=seconds,
        changed=changed,
    )


def describe_list(folder: Path, rows: list[ListedRun], left_out: int, links: Mapping[str, str]) -> Json:
    """Return the data of the page. `links` has the address of the page of each run that has one, by name."""
    listed = [asdict(row) | {"href": links.get(row.name, "")} for row in rows]
    plain = to_plain({"folder": folder.resolve().name, "runs": listed, "left_out": left_out}, digits=6)
    return dict(plain)
