"""Claim: `society --help` takes less than 200 ms, `society check` less than 1,000.

    python benchmarks/startup.py

Each command is a separate process, interleaved with the others; wall time is from its start to its end. Python alone is
measured, too. `tests/cli/test_startup.py` checks which modules the commands import.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from chart import record
from machine import describe_machine

ROOT = Path(__file__).parent.parent
RESULT = Path(__file__).parent / "results" / "startup.md"
REPETITIONS = 15
COMMANDS: dict[str, tuple[list[str], float | None]] = {
    "python -c pass": (["-c", "pass"], None),
    "society --help": (["-m", "society", "--help"], 200),
    "society check, one scenario": (["-m", "society", "check", "scenarios/debate.yaml"], 1000),
    "society check, one that trains": (["-m", "society", "check", "scenarios/paper/laptop.yaml"], 1000),
}
"""Commands that are started, with the maximum of milliseconds that is claimed."""


def measure(arguments: list[str]) -> tuple[float, float]:
    """Return milliseconds of wall time and of processor time of one process."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if process.returncode is None:
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return 1e3 * wall, 1e3 * (used.ru_utime + used.ru_stime)


def report(found: dict[str, list[tuple[float, float]]]) -> str:
    """Return the result as Markdown."""
    lines = []
    for name, runs in found.items():
        wall, processor = (statistics.median(column) for column in zip(*runs, strict=True))
        most = COMMANDS[name][1]
        claim = "" if most is None else f"{most:.0f}: {'holds' if wall < most else 'FAILS'}"
        slowest = max(wall for wall, _ in runs)
        lines.append(f"| `{name}` | {wall:.0f} | {slowest:.0f} | {processor:.0f} | {claim} |")
    return "\n".join(
        [
            "# Start-up",
            "",
            f"Milliseconds of whole processes, medians of {REPETITIONS} interleaved repetitions.",
            "",
            "| command | on the wall | the slowest | of processor time | claimed: under |",
            "|---|---|---|---|---|",
            *lines,
            "",
            describe_machine(),
            "",
        ]
    )


def main() -> None:
    """Measure, record, and write the result."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for arguments, _ in COMMANDS.values():
        measure(arguments)  # compiles what was not yet, and reads it from the disk
    for _ in range(REPETITIONS):
        for name, (arguments, _) in COMMANDS.items():
            found[name].append(measure(arguments))
    walls = {name: statistics.median(wall for wall, _ in runs) for name, runs in found.items()}
    record(
        "startup.py",
        {f"{most:.0f} ms, to `{name}`": (most / walls[name], 1.0) for name, (_, most) in COMMANDS.items() if most},
    )
    RESULT.write_text(report(found), "utf-8")
    print(report(found))


if __name__ == "__main__":
    main()
