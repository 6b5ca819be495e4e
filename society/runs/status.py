"""The state of a run as an operator needs it: who works on it, how far it is, and whether it still moves.

Of a store, only its schema, facts and counts are read. A hundred runs therefore take about a second.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from society.core.errors import RunFolderError, SocietyError
from society.core.plain import count, natural_order
from society.core.regular_files import read_stamp
from society.runs.calls import find_calls
from society.runs.files import LARGEST_QUESTIONS, QUESTIONS, check_folder, own_file, read_json, read_object
from society.runs.lease import PATIENCE, Found, find_lease
from society.runs.locking import is_running
from society.runs.places import FILES, find_folders, find_store, has_begun, is_run
from society.runs.signs import Sign, read_sign
from society.runs.state import RunState, Session
from society.store import Store

STUCK = 600.0
"""Seconds without a turn or an optimizer step after which a running run counts as stuck."""
OLDEST = 10 * 365 * 86_400.0
"""Seconds of ten years. No run is as old, so such a time is that of a wrong clock."""
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
    inner = (path for path in find_folders(folder) if not os.access(path, os.R_OK | os.X_OK) or is_known(path))
    return sorted(inner, key=lambda path: natural_order(str(path)))


def is_known(folder: Path) -> bool:
    """Return whether a folder holds a run, or the error of one that did not begin."""
    return has_begun(folder) or has_error(folder)


def read_status(folder: Path, name: str = "", stuck_after: float = STUCK, twice: bool = False) -> RunStatus:
    """Return the state of the run in a folder. A folder that cannot be read has the state "not readable".

    `twice`: a run that gave its last sign of life days ago is unclear at the first look, as clocks may differ by days.
    """
    name = name or str(folder)
    try:
        if (path := own_file(folder, ERROR)) and _did_not_begin(folder):
            text = path.read_bytes()[:LONGEST_ERROR].decode(errors="replace")
            return RunStatus(name, RunState.ABORTED, " ".join(text.split()))
        return _read(folder, name, stuck_after, twice)
    except (SocietyError, OSError) as error:
        return RunStatus(name, "not readable", " ".join(str(error).split()))


def _did_not_begin(folder: Path) -> bool:
    """Return whether nobody works on a run without a store, for whose end no lease has the reason."""
    if is_run(folder) or is_running(folder):
        return False
    found = find_lease(folder)
    return not (found and found.lease and found.lease.waited_too_long)


def _read(folder: Path, name: str, stuck_after: float, twice: bool) -> RunStatus:
    check_folder(folder, FILES)
    found, running = find_lease(folder), is_running(folder, twice)
    sign = read_sign(folder, found, twice) if found else None
    try:
        store_path = find_store(folder)
    except RunFolderError:
        if is_run(folder) or not has_begun(folder):
            raise
        return _describe_start(name, found, sign, running)
    with Store(store_path, read_only=True, whole=False) as store:
        meta = store.meta()
        turns, failed = store.count(), store.count("status = 'failed'")
        evaluated, training = store.count_debates("evaluation"), store.count_debates("training")
    definition = read_object(meta, "definition") if "definition" in meta else {}
    iteration = max([*evaluated, *training], default=0)
    done, iterations = evaluated.get(iteration, 0), _read_iterations(definition)
    planned = _count_questions(folder) * _read_number(definition, "samples", 1)
    sessions = find_calls(meta, found.lease if found else None, running)
    session = sessions[-1] if sessions else Session(_guess(running, failed, done, planned, iteration, iterations))
    if running is None:
        session = replace(session, state=RunState.UNCLEAR)
    elif running and not session.state.is_live:
        session = replace(session, state=RunState.RUNNING, reason="")  # another process has the folder
    state = session.state
    silent = bool(running) and sign is not None and sign.works is False
    quiet = _measure_quiet(found, sign, store_path) if running else find_age(_find_last(session, found))
    holder = found.lease if found and running is not False else None
    reason = SILENT if silent else _describe_sign(found, sign, running) or _describe_clock(session)
    reason = reason if running is None else session.reason or reason
    return RunStatus(
        run=name,
        state=state,
        reason=reason,
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


def _describe_start(name: str, found: Found | None, sign: Sign | None, running: bool | None) -> RunStatus:
    """Return the state of a run that has no store yet."""
    lease = found.lease if found else None
    host, pid = (lease.host, str(lease.pid)) if lease else ("", "")
    reason = _describe_sign(found, sign, running)
    if running is None:
        return RunStatus(name, RunState.UNCLEAR, reason, host, pid)
    if running:
        silent = sign is not None and sign.works is False
        waiting = lease.waiting if lease else ""
        state = RunState.PAUSED if waiting else RunState.STARTING
        return RunStatus(name, state, SILENT if silent else waiting or reason, host, pid, stuck=silent)
    how = "It ended while it was loading. Start it with --resume (Python: resume=True)."
    if lease and lease.waited_too_long:
        return RunStatus(name, RunState.EXHAUSTED, f"{lease.waiting} {how}", host, pid)
    return RunStatus(name, RunState.INTERRUPTED if lease and lease.ended else RunState.KILLED, how, host, pid)


def _describe_sign(found: Found | None, sign: Sign | None, running: bool | None) -> str:
    """Return a note on clocks that differ, or on a process that may have ended; "" for neither."""
    if found is None or sign is None or (running and sign.works is None and sign.ahead < 0):
        return ""  # the lock shows that it works, and its lease may be old for two reasons
    return sign.describe(found.lease or "its process")


def _guess(running: bool | None, failed: int, done: int, planned: int, iteration: int, iterations: int) -> RunState:
    """Return the state of a run of a version that stored none."""
    if running:
        return RunState.RUNNING
    if iteration < iterations or done < planned or not done:
        return RunState.INTERRUPTED
    return RunState.FAILED_TURNS if failed else RunState.FINISHED


def _measure_quiet(found: Found | None, sign: Sign | None, store: Path) -> float | None:
    """Return the seconds since a run that goes on last made progress, which the holder of a lease measures itself."""
    if found is None or found.lease is None:
        return _measure_age(store)
    return found.lease.quiet + (sign.age or 0.0 if sign else 0.0)


def _find_last(session: Session, found: Found | None) -> float | None:
    """Return the time of the last turn or optimizer step of a run that has ended; None if unknown.

    The last call knows the time. The lease of a killed one does, to a beat. The file's time is that of any copy.
    """
    lease = found.lease if found else None
    if not session.ended and lease and lease.runs and not lease.ended:
        return lease.written - lease.quiet
    return _read_time(session.last) if session.ended else None


def _read_time(text: str) -> float | None:
    """Return a time of a session, in seconds since 1970; None if there is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def find_age(then: float | None) -> float | None:
    """Return the seconds since a time; None for one that is unknown, in the future, or older than `OLDEST`."""
    age = None if then is None else time.time() - then
    return None if age is None or not -PATIENCE <= age <= OLDEST else max(0.0, age)


def _describe_clock(session: Session) -> str:
    """Return a note on a last call whose end lies in the future, or long before this program; "" for any other."""
    ended = _read_time(session.ended)
    if ended is None or find_age(ended) is not None:
        return ""
    return f"The last call ended at {session.ended} by the clock of its machine, which differs from that of this one."


def _measure_age(store: Path) -> float | None:
    """Return the seconds since the last write to a store, by the clock of this machine."""
    return find_age(find_last_write(store))


def find_last_write(store: Path) -> float | None:
    """Return the time of the last write to a store, in seconds since 1970, by the times of its files.

    A reader creates an empty file for the write-ahead log, which does not count.
    """
    stamps = [read_stamp(store.with_name(store.name + end)) for end in ("", "-wal")]
    return max((time_ns / 1e9 for _, _, time_ns, size in filter(None, stamps) if size), default=None)


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
