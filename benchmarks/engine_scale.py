"""Claim: time and memory grow in proportion to the agents, and a turn takes less than 200 microseconds of wall time.

Scripted agents on an 8-regular graph debate for 20 rounds, with the store on. Each size runs in its own process; sizes
are interleaved and repeated, and medians are reported. Run `python benchmarks/engine_scale.py`; it writes
`results/engine_scale.md` and `results/engine_scale.svg`.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from chart import record
from machine import describe_machine

SIZES = ((100, 1), (300, 1), (1000, 1), (3000, 1), (10_000, 1), (100, 10))
"""Agents and questions."""
ROUNDS = 20
MOST = 200.0
"""Microseconds a turn that are claimed at most, at the sizes of `CLAIMED`."""
CLAIMED = (100, 10_000)
SCENARIO = """
version: 1
name: scale
task: {{kind: arithmetic, form: a+b, limit: {questions}}}
backends: {{scripted: {{kind: scripted, rules: [{{choose: ["It is 7.", "It is 8.", "It is 9."]}}]}}}}
roles:
  voter:
    memory: 0
    prompt: |
      {{{{ question }}}} You heard: {{% for m in heard %}}{{{{ m.text }}}} {{% endfor %}}
agents: {{voter: {{count: {agents}}}}}
phases: [{{name: talk, topology: {{kind: k_regular, k: 8, random: true}}, rounds: {rounds}}}]
"""

Row = dict[str, float]


def measure(agents: int, questions: int) -> Row:
    """Return the seconds of each part, the engine's processor time and the memory in MiB of one run in this process."""
    from society.metrics.summary import summarize
    from society.runs.records import load_records
    from society.scenario import load_scenario
    from society.scenario.expand import expand
    from society.session import run

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(SCENARIO.format(agents=agents, questions=questions, rounds=ROUNDS))
        marks = [time.perf_counter()]
        scenario = load_scenario(path)
        marks.append(time.perf_counter())
        before, processor = peak(), time.process_time()
        done = run(scenario, Path(folder) / "run")
        processor = time.process_time() - processor
        marks.append(time.perf_counter())
        engine = peak()
        summary = summarize(expand(done.scenario), load_records(done))
        marks.append(time.perf_counter())
        size = sum(file.stat().st_size for file in done.folder.iterdir()) / 2**20
    assert summary.turns == agents * questions * ROUNDS
    load, seconds, reading = (b - a for a, b in pairwise(marks))
    return {
        "turns": summary.turns,
        "load": load,
        "seconds": seconds,
        "processor": processor,
        "reading": reading,
        "before": before,
        "memory": engine,
        "memory_reading": peak(),
        "store": size,
    }


def peak() -> float:
    """Return the most memory that this process has held so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def collect(repetitions: int) -> dict[tuple[int, int], list[Row]]:
    """Return the repeated measurements of every size, each in a new process."""
    rows: dict[tuple[int, int], list[Row]] = {size: [] for size in SIZES}
    for repetition in range(repetitions):
        for agents, questions in SIZES:
            command = [sys.executable, __file__, "--one", str(agents), str(questions)]
            row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rows[agents, questions].append(row)
            each = 1e6 * row["processor"] / (agents * questions * ROUNDS)
            print(f"{repetition}: {agents} agents, {questions} questions: {each:.0f} microseconds a turn", flush=True)
    return rows


def median(rows: Sequence[Row], value: Callable[[Row], float]) -> float:
    """Return the median of one figure over repetitions."""
    return statistics.median(map(value, rows))


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Return the slope of a straight line through log(value) against log(size)."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def table(rows: dict[tuple[int, int], list[Row]]) -> list[str]:
    """Return one line of medians per size."""
    lines = [
        "| agents | questions | turns | seconds | microseconds a turn | of processor time | peak MiB | of these before "
        "the run | store MiB | load, s | read back and sum up, s | peak MiB after that |",
        "|" + "---|" * 12,
    ]
    for (agents, questions), found in rows.items():
        turns = agents * questions * ROUNDS
        names = ("seconds", "processor", "memory", "before", "store", "load", "reading", "memory_reading")
        m = {name: median(found, lambda row, name=name: row[name]) for name in names}
        lines.append(
            f"| {agents:,} | {questions} | {turns:,} | {m['seconds']:.2f} | {1e6 * m['seconds'] / turns:.0f} "
            f"| {1e6 * m['processor'] / turns:.0f} | {m['memory']:.0f} | {m['before']:.0f} | {m['store']:.1f} "
            f"| {m['load']:.2f} | {m['reading']:.2f} | {m['memory_reading']:.0f} |"
        )
    return lines


def turn_time(rows: Sequence[Row]) -> float:
    """Microseconds of a turn on the wall: the median of these repetitions."""
    return median(rows, lambda row: 1e6 * row["seconds"] / row["turns"])


def growth(rows: dict[tuple[int, int], list[Row]]) -> dict[str, tuple[list[int], list[float], float]]:
    """Return sizes, values and exponent of the time and of the additional memory, from 100 to 10,000 agents."""
    sizes = [agents for agents, questions in SIZES if questions == 1]
    values = {
        "processor time, s": [median(rows[n, 1], lambda r: r["processor"]) for n in sizes],
        "memory of the run, MiB": [median(rows[n, 1], lambda r: r["memory"] - r["before"]) for n in sizes],
    }
    return {name: (sizes, found, exponent(sizes, found)) for name, found in values.items()}


def draw(rows: dict[tuple[int, int], list[Row]], path: Path) -> None:
    """Time and memory against agents, both axes logarithmic, with the fitted lines."""
    import matplotlib as mpl
    import numpy as np

    mpl.use("svg")
    from matplotlib import pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "engine_scale"
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axes, (name, (sizes, values, slope)) in zip(panels, growth(rows).items(), strict=True):
        line = np.exp(np.polyval(np.polyfit(np.log(sizes), np.log(values), 1), np.log(sizes)))
        axes.loglog(sizes, line, color="#999999", linewidth=1, label=f"exponent {slope:.2f}")
        axes.loglog(sizes, values, "o", color="#2266aa")
        axes.set(xlabel="agents", ylabel=name)
        axes.legend(frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})


def report(rows: dict[tuple[int, int], list[Row]], repetitions: int) -> str:
    """Return the result, in Markdown."""
    exponents = ", ".join(f"{name.split(',')[0]} {slope:.2f}" for name, (_, _, slope) in growth(rows).items())
    claims = "; ".join(
        f"{n:,} agents {turn_time(rows[n, 1]):.0f}, {'holds' if turn_time(rows[n, 1]) < MOST else 'FAILS'}"
        for n in CLAIMED
    )
    return "\n".join(
        [
            "# Scaling of the engine",
            "",
            f"Scripted agents on a random 8-regular graph, {ROUNDS} rounds, `memory: 0`; every turn is committed to "
            f"the store. Medians of {repetitions} interleaved repetitions, each size in its own process. Time is that "
            "of `society.run`, from the checked scenario to the closed store.",
            "",
            f"Claimed at most {MOST:.0f} microseconds of wall time per turn: {claims}.",
            "",
            f"Exponent of growth from 100 to 10,000 agents, one question (slope of the log-log fit): {exponents}.",
            "",
            *table(rows),
            "",
            describe_machine(),
            "",
            "![Time and memory against agents](engine_scale.svg)",
            "",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", type=int, nargs=2, metavar=("AGENTS", "QUESTIONS"), help="measure this size here")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one)))
        return
    rows = collect(options.repetitions)
    record(
        "engine_scale.py",
        {f"{MOST:.0f} us, to a turn of {n:,} agents": (MOST / turn_time(rows[n, 1]), 1.0) for n in CLAIMED},
    )
    results = Path(__file__).parent / "results"
    draw(rows, results / "engine_scale.svg")
    (results / "engine_scale.md").write_text(report(rows, options.repetitions), encoding="utf-8")
    print(report(rows, options.repetitions))


if __name__ == "__main__":
    main()
