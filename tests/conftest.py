"""What several test modules share: scenarios from text, runs in a temporary folder, stores as plain rows."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from society.runs.records import DebateRecord, load_records
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario
from society.session import run

HEAD = """
version: 1
name: test
backends: {scripted: {kind: scripted}}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Callable[..., Scenario]:
    """Loads a scenario from YAML text (version, name and a scripted backend need not be said)."""

    def load(text: str, *overrides: str) -> Scenario:
        path = tmp_path / "scenario.yaml"
        body = dedent(text)
        said = {line.split(":")[0] for line in body.splitlines()}
        head = "".join(f"{line}\n" for line in HEAD.strip().splitlines() if line.split(":")[0] not in said)
        path.write_text(head + body)
        return load_scenario(path, overrides)

    return load


@pytest.fixture
def debates(scenario: Callable[..., Scenario], tmp_path: Path) -> Callable[..., list[DebateRecord]]:
    """Runs a scenario from YAML text in a new folder and gives the records of its debates."""

    def play(text: str, *overrides: str) -> list[DebateRecord]:
        folder = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        return load_records(run(scenario(text, *overrides), folder))

    return play


def rows(run_folder: Path | Run) -> list[dict[str, Any]]:
    """Every turn and result of a run but for times, in an order of their own: what two equal runs share."""
    folder = run_folder.folder if isinstance(run_folder, Run) else run_folder
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.row_factory = sqlite3.Row
        found = [dict(row) for table in ("turns", "results") for row in db.execute(f"SELECT * FROM {table}")]
    db.close()
    for row in found:
        row.pop("seconds", None)
    return sorted(found, key=repr)


@pytest.fixture
def _heeds_interrupts() -> Iterator[None]:
    """A process started in the background ignores Ctrl-C until it is told otherwise."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
