"""Claim: under load only the store grows, and in proportion.

The loads are 100,000 turns in one run, 1,000 agents, 10,000 questions, and 24 hours of delays in virtual time. Agents
are scripted and every turn is committed. Each run samples its memory, open files, asyncio tasks and the size of
its store ten times. Run `python benchmarks/engine_load.py`; it writes `results/engine_load.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # for the event loop of virtual time, which is the tests'

if TYPE_CHECKING:
    from society.watcher import Watcher

SCENARIO = """
version: 1
name: load
task: {{kind: arithmetic, limit: {questions}}}
backends:
  scripted:
    kind: scripted
    delay: {delay}
    rules: [{{fail: {{rate: {failing}, times: 1}}}}, {{choose: ["It is 7.", "It is 8.", "It is 9."]}}]
roles: {{voter: {{memory: 0, prompt: "{{{{ question }}}} {{% for m in heard %}}{{{{ m.text }}}} {{% endfor %}}"}}}}
agents: {{voter: {{count: {agents}}}}}
phases: [{{name: talk, topology: {topology}, rounds: {rounds}}}]
concurrency: {concurrency}
"""
RING = "ring"
SPARSE = "{kind: k_regular, k: 8, random: true}"
MEMORY, MEMORY_SLACK = 1.25, 8.0
"""Memory at the end may be this many times that at two tenths of the way, and so many MiB more."""
LINEAR = 0.1
"""Bytes of store a turn may differ by this share between the first and the second half of a run."""


@dataclass(frozen=True)
class Case:
    """A load. `delay` is the seconds that each reply takes, in virtual time; `failing` the share of turns whose first
    attempt fails."""

    name: str
    questions: int
    agents: int
    rounds: int
    topology: str = RING
    concurrency: int = 128
    delay: float = 0.0
    failing: float = 0.0

    @property
    def turns(self) -> int:
        return self.questions * self.agents * self.rounds


CASES = (
    Case("100,000 turns", 1000, 5, 20),
    Case("1,000 agents", 20, 1000, 5, SPARSE, concurrency=2),
    Case("10,000 questions", 10_000, 3, 2),
    Case("24 hours", 4320 * 4, 3, 2, concurrency=4, delay=10.0, failing=0.01),
)
Row = dict[str, float]


def smaller(case: Case, factor: float) -> Case:
    """Return the same load with fewer questions."""
    from dataclasses import replace

    return replace(case, questions=max(2, int(case.questions * factor)))


def watcher(case: Case, rows: list[Row]) -> Watcher:
    """Return a watcher that records the load of the run ten times, shortly before each tenth of its turns.

    At the tenth itself, all running debates may just have ended.
    """
    from society.watcher import Watcher as Base

    class Tenths(Base):
        def started(self, society: Any, items: Any, folder: Path, iteration: int, split: str) -> None:
            self.folder, self.turns = folder, 0

        def turn(self, turn: Any, replayed: bool) -> None:
            self.turns += 1
            if (self.turns + case.turns // 30) * 10 // case.turns > len(rows):
                rows.append(held(self.folder, self.turns))

    return Tenths()


def held(folder: Path, turns: int) -> Row:
    """Return the MiB of memory, open files and tasks of this process, and the MiB of the run's store."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {
        "turns": turns,
        "memory": resident / 2**20,
        "files": sum(1 for _ in Path("/proc/self/fd").iterdir()),
        "tasks": len(asyncio.all_tasks()),
        "store": stored(folder / "store.sqlite") / 2**20,
        "virtual": asyncio.get_running_loop().time(),
    }


def stored(path: Path) -> int:
    """Bytes of a store, what is still in its log included."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        return int(
            db.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()").fetchone()[0]
        )


def measure(case: Case) -> dict[str, Any]:
    """Return the measurements of one run in this process."""
    from society.scenario import load_scenario
    from society.session import run_async
    from tests.simulation.virtual_time import run_in_virtual_time

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(SCENARIO.format(**vars(case)))
        started, processor = time.perf_counter(), time.process_time()
        done, virtual = run_in_virtual_time(
            run_async(load_scenario(path), Path(folder) / "run", watcher=watcher(case, rows))
        )
        seconds, processor = time.perf_counter() - started, time.process_time() - processor
        failed = sum(turn.status == "failed" for turn in done.turns("status = 'failed'"))
        size = (done.folder / "store.sqlite").stat().st_size
    assert len(rows) == 10
    return {
        "rows": rows,
        "seconds": seconds,
        "processor": processor,
        "virtual": virtual,
        "failed": failed,
        "store": size,
    }


def verdict(case: Case, rows: list[Row]) -> dict[str, bool]:
    """Return whether each promise holds within the bounds above. The first tenth of the run is left out.

    A debate has one task and one for each agent that speaks. The run has one more.
    """
    second, middle, last = rows[1], rows[4], rows[-1]
    halves = (
        (middle["store"] - rows[0]["store"]) / (middle["turns"] - rows[0]["turns"]),
        (last["store"] - middle["store"]) / (last["turns"] - middle["turns"]),
    )
    return {
        "memory flat": last["memory"] <= MEMORY * second["memory"] + MEMORY_SLACK,
        "open files flat": all(row["files"] <= second["files"] for row in rows[1:]),
        "tasks flat": all(row["tasks"] <= case.concurrency * (case.agents + 1) + 1 for row in rows),
        "store linear": abs(halves[1] / halves[0] - 1) <= LINEAR,
    }


def section(case: Case, found: dict[str, Any]) -> list[str]:
    """Return the results of one load in Markdown."""
    rows = found["rows"]
    hours = f" {found['virtual'] / 3600:.1f} hours passed for the run." if case.delay else ""
    kept = ", ".join(f"{name}: {'yes' if holds else 'NO'}" for name, holds in verdict(case, rows).items())
    return [
        f"## {case.name}",
        "",
        f"{case.questions:,} questions, {case.agents:,} agents, {case.rounds} rounds: {case.turns:,} turns, "
        f"{case.concurrency} debates at once, {100 * case.failing:g} % of first attempts failing.{hours} "
        f"{found['seconds']:.0f} s, {1e6 * found['processor'] / case.turns:.0f} µs of processor time a turn with this "
        f"measuring, {found['store'] / case.turns:.0f} bytes of store a turn, {found['failed']} failed turns.",
        "",
        kept + ".",
        "",
        "| turns | memory, MiB | open files | tasks | store, MiB |",
        "|" + "---|" * 5,
        *(
            f"| {row['turns']:,.0f} | {row['memory']:.1f} | {row['files']:.0f} | {row['tasks']:.0f} "
            f"| {row['store']:.1f} |"
            for row in rows
        ),
        "",
    ]


def report(found: dict[str, dict[str, Any]], cases: dict[str, Case]) -> str:
    """Return the result, in Markdown."""
    machine = f"{os.cpu_count()}-core {platform.machine()}, Python {platform.python_version()}"
    return "\n".join(
        [
            "# The engine under load",
            "",
            "Scripted agents; every turn is committed to the store. Each load runs in its own process and is sampled "
            "shortly before each tenth of its turns. Delays of replies pass in virtual time: the event loop's clock "
            "jumps to the next timer. "
            f"Bounds: memory at the end at most {MEMORY:g} times that of the second sample, plus {MEMORY_SLACK:g} MiB; "
            "no more open files than then; at most one task per debate in progress and one per agent in it; bytes of "
            f"store per turn in the second half within {LINEAR:.0%} of the first. The store remembers up to 200,000 "
            "texts that it has written, about 100 bytes each, so memory grows to that bound.",
            "",
            *(line for name, one in found.items() for line in section(cases[name], one)),
            f"{machine}. Load average at the end: {os.getloadavg()[0]:.1f}.",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factor", type=float, default=1.0, help="this share of the questions; writes no file")
    parser.add_argument("--one", metavar="CASE", help="measure this load here")
    options = parser.parse_args()
    cases = {case.name: smaller(case, options.factor) if options.factor != 1 else case for case in CASES}
    if options.one:
        print(json.dumps(measure(cases[options.one])))
        return
    found = {}
    for name in cases:
        command = [sys.executable, __file__, "--one", name, "--factor", str(options.factor)]
        found[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(f"{name}: {verdict(cases[name], found[name]['rows'])}", flush=True)
    text = report(found, cases)
    print(text)
    if options.factor == 1:
        (Path(__file__).parent / "results" / "engine_load.md").write_text(text, encoding="utf-8")
    sys.exit(not all(all(verdict(cases[name], one["rows"]).values()) for name, one in found.items()))


if __name__ == "__main__":
    main()
