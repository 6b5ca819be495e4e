"""The state of a run as an operator needs it: who works on it, how far it is, and whether it still moves.

Of a store, only its schema, facts and counts are read. A hundred runs therefore take about a second.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from society.core.errors import RunFolderError, SocietyError
from society.core.plain import count, duration, natural_order
from society.runs.files import LARGEST_QUESTIONS, QUESTIONS, check_folder, own_file, read_json, read_object
from society.runs.lease import PATIENCE, Found, find_lease
from society.runs.locking import is_running
from society.runs.places import FILES, STORE, find_folders, find_store, has_begun, is_run
from society.runs.state import RunState, Session, read_sessions
from society.store import Store

STUCK = 600.0
"""Seconds without a turn or an optimizer step after which a running run counts as stuck."""
ERROR = "error.txt"
"""File in a run's folder with the error that ended it, written by sweeps: a run that did not begin has no store."""
SILENT = "It gives no sign of life."
LONGEST_ERROR = 2_000
"""Maximum number of characters of that error."""


@dataclass(frozen=True)
class RunStatus:
    """The state of one run.

    `state` is a `RunState`, or "not readable" for the `reason`. `done` of `planned` debates of the evaluation in
    `iteration` of `iterations` are finished; `planned` is 0 if unknown. `quiet` has the seconds since the last turn or
    optimizer step, None if unknown. A `stuck` run is running, but has been quiet for long or gives no sign of life.
    `versions` are those of the packages at its start, and `sessions` are the calls that worked on it.
    """

    run: str
    state: str
    reason: str = ""
    host: str = ""
    pid: str = ""
    started: str = ""
    done: int = 0
    planned: int = 0
    iteration: int = 0
    iterations: int = 0
    training: int = 0
    turns: int = 0
    failed: int = 0
    quiet: float | None = None
    stuck: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    sessions: tuple[Session, ...] = ()

    @property
    def whole(self) -> bool:
        """Return whether nothing is left to do."""
        return self.state in (RunState.FINISHED, RunState.FAILED_TURNS)

    @property
    def progress(self) -> str:
        """Return the progress in words, such as "6 of 40 debates"."""
        debates = f"{self.done:,} of {count(self.planned, 'debate')}" if self.planned else count(self.done, "debate")
        if not self.iterations:
            return debates
        training = f", {count(self.training, 'training debate')}" if self.training else ""
        return f"iteration {self.iteration} of {self.iterations}: {debates}{training}"


def has_error(folder: Path) -> bool:
    """Return whether a sweep wrote an error into this folder."""
    return (folder / ERROR).exists()


def find_runs(folder: Path) -> list[Path]:
    """Return the runs in a folder, in natural order, or the folder itself if it is a run.

    A folder that cannot be read counts, as it may hold a run. Raises `RunFolderError` if `folder` is one.
    """
    if has_begun(folder):
        return [folder]
    inner = (path for path in find_folders(folder) if not os.access(path, os.R_OK | os.X_OK) or _is_known(path))
    return sorted(inner, key=lambda path: natural_order(str(path)))


def _is_known(folder: Path) -> bool:
    return has_begun(folder) or has_error(folder)


def read_status(folder: Path, name: str = "", stuck_after: float = STUCK) -> RunStatus:
    """Return the state of the run in a folder. A folder that cannot be read has the state "not readable"."""
    name = name or str(folder)
    try:
        if not is_run(folder) and not is_running(folder) and (path := own_file(folder, ERROR)):
            text = path.read_bytes()[:LONGEST_ERROR].decode(errors="replace")
            return RunStatus(name, RunState.ABORTED, " ".join(text.split()))
        return _read(folder, name, stuck_after)
    except (SocietyError, OSError) as error:
        return RunStatus(name, "not readable", " ".join(str(error).split()))


def _read(folder: Path, name: str, stuck_after: float) -> RunStatus:
    check_folder(folder, FILES)
    found, running = find_lease(folder), is_running(folder)
    try:
        store_path = find_store(folder)
    except RunFolderError:
        if is_run(folder) or not has_begun(folder):
            raise
        return _describe_start(name, found, running)
    with Store(store_path, read_only=True, whole=False) as store:
        meta = store.meta()
        turns, failed = store.count(), store.count("status = 'failed'")
        evaluated, training = store.count_debates("evaluation"), store.count_debates("training")
    definition = read_object(meta, "definition") if "definition" in meta else {}
    iteration = max([*evaluated, *training], default=0)
    done, iterations = evaluated.get(iteration, 0), _read_iterations(definition)
    planned = _count_questions(folder) * _read_number(definition, "samples", 1)
    sessions = read_sessions(meta)
    session = sessions[-1] if sessions else Session(_guess(running, failed, done, planned, iteration, iterations))
    state = RunState.KILLED if session.state.is_live and not running else session.state
    if running and not state.is_live:
        state = RunState.RUNNING  # a process has just begun, and has not stored so yet
    quiet, silent = _measure_quiet(found, store_path, running)
    holder = found.lease if found and running else None
    return RunStatus(
        run=name,
        state=state,
        reason=session.reason or (SILENT if silent else _compare_clocks(found)),
        host=holder.host if holder else session.host,
        pid=str(holder.pid) if holder else session.pid,
        started=session.started,
        done=done,
        planned=planned,
        iteration=iteration,
        iterations=iterations,
        training=training.get(iteration, 0),
        turns=turns,
        failed=failed,
        quiet=quiet,
        stuck=state == RunState.RUNNING and (silent or (quiet or 0) > stuck_after),
        versions=read_json(meta, "versions"),
        sessions=tuple(sessions),
    )


def _describe_start(name: str, found: Found | None, running: bool) -> RunStatus:
    """Return the state of a run that has no store yet."""
    lease = found.lease if found else None
    host, pid = (lease.host, str(lease.pid)) if lease else ("", "")
    if running:
        silent = found is not None and found.age > PATIENCE
        return RunStatus(name, RunState.STARTING, SILENT if silent else "", host, pid, stuck=silent)
    state = RunState.INTERRUPTED if lease and lease.ended else RunState.KILLED
    return RunStatus(
        name, state, "It ended while it was loading. Start it with --resume (Python: resume=True).", host, pid
    )


def _guess(running: bool, failed: int, done: int, planned: int, iteration: int, iterations: int) -> RunState:
    """Return the state of a run of a version that stored none."""
    if running:
        return RunState.RUNNING
    if iteration < iterations or done < planned or not done:
        return RunState.INTERRUPTED
    return RunState.FAILED_TURNS if failed else RunState.FINISHED


def _measure_quiet(found: Found | None, store: Path, running: bool) -> tuple[float | None, bool]:
    """Return the seconds since the run last made progress, and whether its process has stopped to give signs of life.

    The holder of a lease measures the time itself. Otherwise the time of the last change of the store counts.
    """
    if running and found is not None and found.lease is not None:
        return found.lease.quiet + max(0.0, found.age), found.age > PATIENCE
    changed = [path.stat().st_mtime for end in ("", "-wal") if (path := store.with_name(STORE + end)).exists()]
    return (max(0.0, time.time() - max(changed)) if changed else None), False


def _compare_clocks(found: Found | None) -> str:
    """Return a note on clocks that differ: a lease cannot have been written in the future."""
    if found is None or found.age > -PATIENCE:
        return ""
    return f"The clock of this machine is {duration(-found.age)} behind that of the run's machine or disk."


def _count_questions(folder: Path) -> int:
    """Return the number of questions of the evaluation; 0 if unknown."""
    path = own_file(folder, QUESTIONS)
    if path is None or path.stat().st_size > LARGEST_QUESTIONS:
        return 0
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return 0
    return len(found) if isinstance(found, list) else 0


def _read_iterations(definition: dict[str, Any]) -> int:
    train = definition.get("train")
    return _read_number(train, "iterations", 0) if isinstance(train, dict) else 0


def _read_number(definition: dict[str, Any], name: str, default: int) -> int:
    found = definition.get(name, default)
    return found if isinstance(found, int) else default
