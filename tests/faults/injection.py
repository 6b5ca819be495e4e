"""Fault injection: runs that are killed at a change to their folder, meet a full disk, or lose power.

preload     builds the library between a process and the disk (injection.c)
Trial       a command line on one folder: run whole, killed, on a full disk, or recorded
contents    everything in a run's store except measured durations: the part that two equal runs share
texts       the texts of a run
check       checks that every visible file of a run's folder is whole
Recorded    the writes of a process, from which a disk after a power cut can be made
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from society.core.types import Turn
from society.runs.run import Run
from society.runs.state import SESSIONS
from society.watcher import Watcher

PATIENCE = 300
"""Maximum number of seconds of any process."""
SECTOR = 512
"""Bytes of a sector, which a disk writes whole or not at all."""
DRIVER = """
import sys
from society.cli import main
folder = sys.argv[-1]
sys.exit(main([*sys.argv[1:-1], "--out", folder]) or main(["report", folder, "-o", folder + "/report.html"]))
"""
NURSERY = """
import ctypes, importlib, json, os, sys, traceback
import society.cli.report, society.cli.run, society.report.page, society.scenario.load, society.session
import society.metrics.summary, society.runner.progress, backends.scripted, rich.console
import society.metrics.binomial, society.metrics.resampling
from society.scenario.models.scenario import Scenario
Scenario.model_json_schema()  # pydantic makes its models when they are first used
for name in sys.argv[1:]:
    importlib.import_module(name)
faults = ctypes.CDLL(os.environ["LD_PRELOAD"]) if "LD_PRELOAD" in os.environ else None
print("ready", flush=True)

def live(order):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.environ.update(order["faults"])
    if faults:
        faults.fault_start()
    sys.argv = ["-c", *order["arguments"]]
    try:
        exec(order["driver"], {"__name__": "__main__"})
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
    return 1

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        status = live(json.loads(line))
        sys.stderr.flush()
        os._exit(status)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Source of a process that has imported everything and forks a child for each line on its standard input.

Most of the time of a short run is Python's imports, and a kill among them would show nothing.
"""
CHECKPOINTS = """
from society.store import opening
def connect(path, read_only, real=opening._connect):
    db = real(path, read_only)
    db.execute("PRAGMA wal_autocheckpoint=40")
    return db
opening._connect = connect
"""
"""Source that precedes a driver: SQLite checkpoints its log every 40 pages instead of every 1,000, so that a short
run meets the checkpoints of a long one.
"""
TABLES = {
    "turns": "seconds",
    "texts": "",
    "results": "",
    "adapters": "seconds",
    "examples": "",
    "meta": "",
}


@cache
def preload() -> Path | None:
    """Return the compiled library, or None without a C compiler or Linux."""
    return compile_library("injection.c")


@cache
def compile_library(name: str) -> Path | None:
    """Return the library compiled from a source beside this module, or None without a C compiler or Linux."""
    if sys.platform != "linux":
        return None
    source = Path(__file__).with_name(name)
    library = Path(os.environ.get("TMPDIR", "/tmp")) / f"society-{source.stem}-{os.getuid()}-{os.getpid()}.so"
    try:
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl", "-lpthread"]
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        return None
    return library


class Nursery:
    """A process that runs command lines, one at a time."""

    def __init__(self, *modules: str) -> None:
        """`modules` are what the command lines import besides."""
        library = preload()
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        environment["OMP_NUM_THREADS"] = "1"  # torch's sums must be in one order
        environment |= {"LD_PRELOAD": str(library)} if library else {}
        self._process = subprocess.Popen(
            [sys.executable, "-c", NURSERY, *modules],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        atexit.register(self.close)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def close(self) -> None:
        """End the process and its children."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=PATIENCE)
        self._process.stdout.close()

    def run(self, driver: str, arguments: list[str], faults: dict[str, str], seconds: float) -> tuple[int, str]:
        """Return the exit status of such a child, negative for a signal, and its stderr; it is killed when it
        takes longer than that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.NamedTemporaryFile("r") as said:
            order = {"driver": driver, "arguments": arguments, "faults": faults, "said": said.name}
            print(json.dumps(order), file=self._process.stdin, flush=True)
            child = int(self._process.stdout.readline())
            timer = threading.Timer(seconds, os.kill, (child, signal.SIGKILL))
            timer.start()
            try:
                status = int(self._process.stdout.readline())
            finally:
                timer.cancel()
                timer.join()
            return status, said.read()


@cache
def nursery(*modules: str) -> Nursery:
    """Return the nursery that all callers with these modules share."""
    return Nursery(*modules)


class Counter(Watcher):
    """Counts generated and reused turns."""

    def __init__(self) -> None:
        self.fresh = self.replayed = 0

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.replayed += replayed
        self.fresh += not replayed


@dataclass(frozen=True)
class Trial:
    """`society run SCENARIO` into this folder, then its report."""

    scenario: Path
    folder: Path
    overrides: tuple[str, ...] = ()
    driver: str = DRIVER
    modules: tuple[str, ...] = ()

    def arguments(self, resume: bool = False) -> list[str]:
        """Return the arguments of the driver."""
        changes = [part for override in self.overrides for part in ("--set", override)]
        return ["run", str(self.scenario), *changes, *(["--resume"] if resume else []), str(self.folder)]

    def start(self, resume: bool = False) -> subprocess.Popen[str]:
        """Start a separate process without faults."""
        return subprocess.Popen(
            [sys.executable, "-c", self.driver, *self.arguments(resume)],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, resume: bool = False, seconds: float = PATIENCE, **faults: object) -> tuple[int, str]:
        """Its exit status and what it said to people, with the faults that faults.c knows; killed after `seconds`."""
        named = {f"FAULT_{name.upper()}": str(value) for name, value in faults.items()}
        if named:
            named["FAULT_FOLDER"] = str(self.folder)
        return nursery(*self.modules).run(self.driver, self.arguments(resume), named, seconds)

    def record(self, log: Path) -> Recorded:
        """Return the changes of an undisturbed run to the disk."""
        status, said = self.run(log=log)
        assert status == 0, said
        return Recorded(log, self.folder)


def torment(trial: Trial, kills: int, moments: Random, turns: int, changes: int, seconds: float) -> int:
    """Kill the trial up to `kills` times, with a resume in between, and check its visible files after each kill.

    The moments are random, in its own progress or in time. An undisturbed trial has `turns` turns and `changes`
    changes to the disk, and takes `seconds`. Return the number of kills; the trial is not resumed after the last.
    """
    done = 0
    for _ in range(kills):
        before = _stored(trial.folder)
        left = moments.random() * (1 - len(before) / turns)
        resume = (trial.folder / "store.sqlite").exists()
        if moments.random() < 0.5:
            status, said = trial.run(resume, kill=1 + int(left * changes))
        else:
            status, said = trial.run(resume, seconds=left * seconds)
        assert status in (0, -signal.SIGKILL), said
        done += status != 0
        check(trial.folder)
        assert before <= _stored(trial.folder), "a stored turn was lost or made again"
    return done


def _stored(folder: Path) -> set[tuple[Any, ...]]:
    """Return every turn with its place in the store and its duration: both change if the turn is generated again."""
    return set(_query(folder, "SELECT rowid, * FROM turns")) if (folder / "store.sqlite").exists() else set()


def _query(folder: Path, query: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(folder / "store.sqlite")
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def execute(folder: Path, statement: str) -> None:
    """Execute SQL on the store of a run."""
    db = sqlite3.connect(folder / "store.sqlite")
    with db:
        db.execute(statement)
    db.close()


def contents(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, sorted, except measured durations and the sessions that worked on the run."""
    found = {}
    for table, measured in TABLES.items():
        columns = [str(row[1]) for row in _query(folder, f"PRAGMA table_info({table})") if row[1] != measured]
        found[table] = sorted(_query(folder, f"SELECT {', '.join(columns)} FROM {table}"), key=repr)
    found["meta"] = [row for row in found["meta"] if SESSIONS not in row]
    return found


def texts(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return the text and the prompt of every turn, and all results, without cache counts."""
    turns = _query(folder, "SELECT iteration, item, sample, phase, round, agent, key, status, text, answer FROM turns")
    return {"turns": sorted(turns, key=repr), "results": contents(folder)["results"]}


def restore(disk: dict[str, bytes], folder: Path) -> Path:
    """Put these files of a run's folder, and no others, into another folder."""
    folder.mkdir()
    for name, data in disk.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def check(folder: Path) -> None:
    """Raise `AssertionError` if any visible file of the run is half-written."""
    shown = [p for p in folder.rglob("*") if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
    for path in shown:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>"), path
    for path in (path.parent for path in shown if path.name == "adapter_config.json"):
        _check_adapter(path)
    if (folder / "store.sqlite").exists():
        assert _query(folder, "PRAGMA integrity_check") == [("ok",)]
        _check_rows(folder)


def _check_adapter(folder: Path) -> None:
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        assert [file.get_tensor(name).shape for name in file.keys()]  # noqa: SIM118 - the file is no mapping


def _check_rows(folder: Path) -> None:
    """Check that every adapter of the store exists with the stored content."""
    rows = [row for row in Run(folder).adapters() if row.hash]
    if rows:
        from backends.hf.adapters import hash_adapter

        assert [hash_adapter(folder / row.path) for row in rows] == [row.hash for row in rows]


class Change(NamedTuple):
    """One change to the disk: w(rite), t(runcate), u(nlink), r(ename) from the path in `data`, s(ync) of a file with
    the content `data`, or of a folder (d) with these names.
    """

    kind: str
    path: str
    offset: int
    data: bytes


@dataclass
class Recorded:
    """The changes of a process to `folder`, in order, as injection.c logged them."""

    log: Path
    folder: Path
    changes: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        data, at, head = self.log.read_bytes(), 0, struct.Struct("<qIIc")
        while at < len(data):
            offset, path, size, kind = head.unpack_from(data, at)
            at += head.size
            name, body = data[at : at + path].decode(), data[at + path : at + path + size]
            self.changes.append(Change(kind.decode(), name, offset, body))
            at += path + size

    def disk(self, cut: int, luck: Random, share: float) -> dict[str, bytes]:
        """Return the files, by their paths in the folder, after a power cut before change number `cut`.

        Everything synced is there, and a random share of the rest, sector by sector, in no order. Names are the last
        ones of the process, because file systems journal names; a file that was never synced may be empty.
        """
        files: dict[str, _File] = {}
        for change in self.changes[:cut]:
            if change.kind == "r":
                _rename(files, change.data.decode(), change.path)
            elif change.kind == "u":
                files.pop(change.path, None)
            elif change.kind == "d":
                _keep(files, change.path, change.data.decode().split("\0"))
            elif change.kind == "s":
                files[change.path] = _File(bytearray(change.data))
            else:
                files.setdefault(change.path, _File()).pending.append(change)
        found = {os.path.relpath(path, self.folder): file.after(luck, share) for path, file in files.items()}
        return {path: data for path, data in found.items() if not path.endswith("-shm")}


def _rename(files: dict[str, _File], old: str, new: str) -> None:
    """Give a file, or everything in a folder, its new name."""
    for path in [path for path in files if path == old or path.startswith(f"{old}/")]:
        files[new + path.removeprefix(old)] = files.pop(path)


def _keep(files: dict[str, _File], folder: str, names: list[str]) -> None:
    """Remove the entries of a folder's files that have other names now."""
    inside = len(folder) + 1
    for path in [path for path in files if path.startswith(f"{folder}/") and path[inside:].count("/") == 0]:
        if path[inside:] not in names:
            del files[path]


@dataclass
class _File:
    """The contents of a file on the disk, and its changes that are only in memory."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[Change] = field(default_factory=list)

    def after(self, luck: Random, share: float) -> bytes:
        lost = bytearray(self.safe)
        for change in self.pending:
            for part in _sectors(change):
                if luck.random() < share:
                    _apply(lost, part)
        return bytes(lost)


def _sectors(change: Change) -> Iterator[Change]:
    if change.kind == "t":
        yield change
    end = change.offset + len(change.data)
    at = change.offset
    while at < end:
        until = min(end, at - at % SECTOR + SECTOR)
        yield change._replace(offset=at, data=change.data[at - change.offset : until - change.offset])
        at = until


def _apply(file: bytearray, change: Change) -> None:
    if change.kind == "t":
        del file[change.offset :]
        return
    file.extend(bytes(max(0, change.offset - len(file))))
    file[change.offset : change.offset + len(change.data)] = change.data
