"""Scenarios written, run and compared."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from society.core.types import Turn
from society.metrics.summary import Summary, summarize
from society.runs.records import DebateRecord, by_iteration, load_records
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.session import run_async
from society.watcher import Watcher
from tests.metamorphic.speakers import Manner, speaking
from tests.simulation.virtual_time import run_in_virtual_time

Spec = Mapping[str, Any]
"""A scenario as plain data, as it stands in YAML."""
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""A folder for thousands of short runs: in memory where the system has one, as a disk takes most of their time."""
QUESTIONS = [
    {
        "id": f"q{i}",
        "question": f"What is {i} + {i + 1}?",
        "answer": i % 3,
        "solution": f"So it is {i % 3}.",
        "options": ["1", "3", "7"],
        "labels": ["3", "1", "2"],
        "number": [1, 3][i % 2],
        "input": f"And {i} + {i + 1}?",
        "target": str(i % 3),
        "topic": i % 2,
        "day": f"2023-02-{i + 1:02d}",
        "hour": f"2023-02-13 {i + 8:02d}:00",
    }
    for i in range(8)
]
GRAPH = """<graphml xmlns="http://graphml.graphdrawing.org/xmlns"><graph edgedefault="directed">
<node id="0"/><node id="1"/><node id="2"/><node id="3"/><edge source="{0}" target="{1}"/><edge source="1" target="2"/>
</graph></graphml>"""


@contextmanager
def workplace() -> Iterator[Path]:
    """Yield a new folder with every file that scenarios of these tests may name."""
    with tempfile.TemporaryDirectory(prefix="metamorphic-", dir=IN_MEMORY) as name:
        folder = Path(name)
        write_questions(folder / "questions.jsonl", QUESTIONS)
        write_questions(folder / "others.jsonl", QUESTIONS[4:])
        for part in ("one/test", "one/train", "two/test"):
            (folder / "sets" / part).parent.mkdir(parents=True, exist_ok=True)
            rows = [{**row, "question": f"{part}: {row['question']}"} for row in QUESTIONS]
            write_questions(folder / "sets" / f"{part}.jsonl", [row | {"input": row["question"]} for row in rows])
        (folder / "rows.json").write_text(json.dumps({"one": QUESTIONS, "two": QUESTIONS[3:]}))
        (folder / "pairs.csv").write_text("What is 1?,2\nWhat is 2?,3\nWhat is 3?,4\n")
        # As CSV and as TSV, this file has columns for questions and answers, but not the same ones.
        pairs = "".join(f"{n} + 1?,2,a\t{n} + 2?\t3\tb,c\n" for n in range(4))
        (folder / "table.txt").write_text(f"question,answer,a\tquestion\tanswer\tb,c\n{pairs}")
        (folder / "people.csv").write_text("name,age\nann,34\nbob,51\n")
        (folder / "one.graphml").write_text(GRAPH.format(0, 1))
        (folder / "two.graphml").write_text(GRAPH.format(2, 1))
        (folder / "notes").mkdir()
        (folder / "notes" / "a.md").write_text("Two rivers meet in Passau.\n\nA third one follows.\n\n" * 4)
        (folder / "notes" / "b.txt").write_text("Koblenz has two rivers, too.")
        for adapter in ("first", "second"):
            (folder / adapter).mkdir()
            (folder / adapter / "weights").write_text(adapter)
        yield folder


def write_questions(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows of questions as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def load(spec: Spec, folder: Path, *overrides: str, name: str = "scenario.yaml") -> Scenario:
    """Return the scenario, by way of a file in the folder: JSON is YAML too."""
    path = folder / name
    path.write_text(json.dumps(spec, indent=1))
    return load_scenario(path, overrides)


def play(
    scenario: Scenario,
    folder: Path,
    manner: Manner = Manner(),  # noqa: B008 - it is frozen
    *,
    resume: bool = False,
    reuse: Sequence[Path] = (),
    watcher: Watcher | None = None,
) -> Run:
    """Run a scenario, in virtual time, and give its run."""
    with speaking(manner):
        return run_in_virtual_time(run_async(scenario, folder, resume=resume, reuse=reuse, watcher=watcher))[0]


def timeless(turn: Turn) -> Turn:
    """Return the turn without the seconds that it took."""
    return replace(turn, usage=replace(turn.usage, seconds=0.0, tool_seconds=0.0))


def outcome(run: Run) -> dict[str, Any]:
    """Everything that a run found out, by name and place: what two equal runs share."""
    found: dict[str, Any] = {}
    scenario = run.scenario
    society, trains = expand(scenario), scenario.train is not None
    for split in ("evaluation", "training") if trains else ("evaluation",):
        records = load_records(run, split=split)
        found |= {f"turn {turn.id}": timeless(turn) for record in records for turn in record.turns}
        for r in (record.result for record in records):
            found[f"result {r.iteration} {r.item} {r.sample}"] = r
        for iteration, some in by_iteration(records).items():
            found[f"summary {split} {iteration}"] = summary(society, some)
    if trains:
        found |= {f"adapter {a.iteration} {a.learner} {a.agent}": replace(a, seconds=0.0) for a in run.adapters()}
        found |= {f"example {e.iteration} {e.learner} {e.agent} {e.number}": e for e in run.examples()}
    return found


def summary(society: Society, records: Sequence[DebateRecord]) -> Summary:
    """Return the summary of these debates, without seconds; of replies that cannot be matched it names no example."""
    made = summarize(society, records)
    unmatched = made.unmatched.partition(", such as")[0]
    return replace(made, usage=replace(made.usage, seconds=0.0, tool_seconds=0.0), unmatched=unmatched)


def differences(one: Run | Mapping[str, Any], other: Run | Mapping[str, Any], most: int = 3) -> list[str]:
    """Return the first few places where two outcomes differ; empty where they are equal."""
    a = outcome(one) if isinstance(one, Run) else one
    b = outcome(other) if isinstance(other, Run) else other
    found = [key for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)]
    return [f"{key}:\n  {a.get(key)}\n  {b.get(key)}" for key in found[:most]]


class Snapshots(Watcher):
    """Copies the run's folder as soon as so many turns are committed: what a process that is killed then leaves."""

    def __init__(self, moments: Iterable[int], folder: Path) -> None:
        self.moments, self.folder = set(moments), folder
        self.turns = 0
        self.source = Path()
        self.taken: list[Path] = []

    def started(self, society: Any, items: Any, folder: Path, iteration: int, split: str) -> None:
        self.source = folder

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.turns += 1
        if self.turns in self.moments:
            self.take()

    def take(self) -> None:
        """Copy the folder now."""
        copy = self.folder / f"killed-{len(self.taken)}"
        shutil.copytree(self.source, copy)
        self.taken.append(copy)


class Counter(Watcher):
    """Counts turns that were generated and turns that were found."""

    def __init__(self) -> None:
        self.fresh = self.replayed = 0

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.replayed += replayed
        self.fresh += not replayed
