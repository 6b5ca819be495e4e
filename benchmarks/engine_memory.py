"""Claim: the time to add and to recall memories, and the space that they take, grow in proportion to their number.

Agents add notes of 30 words, one after each question, and recall the five with the best relevance, recency and
importance among all their notes. The words are drawn by Zipf's law. Each size runs in its own process. A second part
runs whole debates with scripted agents, which write notes and recall them. Run `python benchmarks/engine_memory.py`; it
writes `results/engine_memory.md`.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from chart import record
from machine import describe_machine

SIZES = ((100, 100), (1000, 100), (100, 1000), (1000, 1000))
"""Agents, and notes of each."""
RUNS = (25, 50, 100, 200)
"""Questions of the runs with 20 agents."""
TIMED = 100
"""Number of recalls that are timed."""
RATIO = 3.0
"""Most times that a note, or a recall for each note, may cost at the largest size, compared with a smaller one."""
WORDS = [f"word{i}" for i in range(3000)]
WEIGHTS = [1 / (i + 1) for i in range(3000)]
SCENARIO = """
version: 1
name: memory
task: {{kind: arithmetic, form: a+b, limit: {questions}}}
backends: {{scripted: {{kind: scripted, rules: [{{choose: ["It is 7, as I said.", "It is 8 today.", "I say 9."]}}]}}}}
roles:
  voter: {{prompt: "{{% for m in memories %}}{{{{ m.text }}}} {{% endfor %}}{{{{ question }}}}"}}
  writer: {{prompt: "What was {{{{ question }}}}?"}}
agents: {{voter: {{role: voter, count: {agents}}}}}
phases: [{{name: talk}}]
memory: {{write: writer, recall: {{recency: 1}}}}
"""

Row = dict[str, float]


def write(draw: random.Random, count: int) -> str:
    """Return a text of this many words."""
    return " ".join(draw.choices(WORDS, weights=WEIGHTS, k=count))


def measure(agents: int, notes: int) -> Row:
    """Return microseconds and bytes of a note, and the milliseconds of a recall among all notes of an agent."""
    from society.core.types import TurnId
    from society.scenario import load_scenario
    from society.scenario.expand import expand
    from society.simulation.memories import Memories, Memory

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        text = SCENARIO.format(questions=1, agents=agents)
        rated = "importance: 1, recency: 1}, rate: rater"
        roles = '  rater: {prompt: "Rate {{ memories[0].text }}"}\nagents'
        path.write_text(text.replace("recency: 1}", rated).replace("agents", roles, 1))
        society = expand(load_scenario(path))
    memories, draw = Memories(society), random.Random(0)
    plans = list(society.phases[0].agents.values())
    texts = [write(draw, 30) for _ in range(1000)]
    before, started = peak(), time.process_time()
    for number in range(notes):
        memories.hours = float(number)
        for place, plan in enumerate(plans):
            source = TurnId(0, f"question-{number}", "talk", 1, f"{plan.name}/note")
            note = "".join([texts[(number * 7 + place) % len(texts)]])
            memories.add(
                plan, Memory(source, plan.name, "note", note, f"Question {number}?", importance=number % 10 + 1)
            )
    added, space = time.process_time() - started, peak() - before
    queries = [write(draw, 12) for _ in range(TIMED)]
    started = time.process_time()
    for number, query in enumerate(queries):
        assert len(memories.recall(plans[number % agents], query, query)) == 5
    recalled = time.process_time() - started
    return {
        "add": 1e6 * added / (agents * notes),
        "bytes": space * 2**20 / (agents * notes),
        "recall": 1e3 * recalled / TIMED,
        "space": space,
    }


def run_whole(questions: int) -> Row:
    """Return the microseconds of a turn of a run in which 20 agents remember this many questions."""
    from society.scenario import load_scenario
    from society.session import run

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(SCENARIO.format(questions=questions, agents=20))
        scenario = load_scenario(path)
        started = time.process_time()
        run(scenario, Path(folder) / "run", progress=False)
        return {"turn": 1e6 * (time.process_time() - started) / (questions * 20 * 2)}


def peak() -> float:
    """Return the most memory that this process has held so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_apart(*arguments: int) -> Row:
    """Return the measurement of one size in a new process."""
    command = [sys.executable, __file__, "--one", *map(str, arguments)]
    row: Row = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(arguments, {name: round(value, 3) for name, value in row.items()}, flush=True)
    return row


def report(rows: dict[tuple[int, int], Row], runs: dict[int, Row]) -> str:
    """Return the result, in Markdown."""
    sizes = [
        f"| {agents:,} | {notes:,} | {row['add']:.0f} | {row['bytes']:.0f} | {row['space']:.0f} | {row['recall']:.2f} |"
        for (agents, notes), row in rows.items()
    ]
    whole = [f"| {questions} | {row['turn']:.0f} |" for questions, row in runs.items()]
    claims = [f"{name}: {ratio:.2f} times (at most {1 / least:g})" for name, (ratio, least) in ratios(rows).items()]
    return "\n".join(
        [
            "# Memories of many agents",
            "",
            "Notes of 30 words, all recalled by relevance (BM25), recency and importance. Processor time; each size in "
            "its own process. The memories of 1,000 agents exceed the processor's cache, so a first recall is slower.",
            "",
            f"A note of 1,000 agents with 1,000 notes each, compared with smaller sizes: {'; '.join(claims)}.",
            "",
            "| agents | notes of each | microseconds to add a note | bytes of a note | MiB | ms of a recall |",
            "|" + "---|" * 6,
            *sizes,
            "",
            "Whole runs of 20 scripted agents that write a note after each question:",
            "",
            "| questions | microseconds of a turn |",
            "|---|---|",
            *whole,
            "",
            describe_machine(),
            "",
        ]
    )


def ratios(rows: dict[tuple[int, int], Row]) -> dict[str, tuple[float, float]]:
    """Return the cost of a note at the largest size, as a multiple of that at a smaller one."""
    largest, few_notes, few_agents = rows[1000, 1000], rows[1000, 100], rows[100, 1000]
    return {
        "time to add a note, against 100 notes each": (largest["add"] / few_notes["add"], 1 / RATIO),
        "bytes of a note, against 100 notes each": (largest["bytes"] / few_notes["bytes"], 1 / RATIO),
        "time to add a note, against 100 agents": (largest["add"] / few_agents["add"], 1 / RATIO),
        "bytes of a note, against 100 agents": (largest["bytes"] / few_agents["bytes"], 1 / RATIO),
        "time of a recall for each note, against 100 notes": (
            largest["recall"] / 1000 / (few_notes["recall"] / 100),
            1 / RATIO,
        ),
        "time of a recall, against 100 agents": (largest["recall"] / few_agents["recall"], 1 / RATIO),
    }


def main() -> None:
    """Measure all sizes, or one in this process, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs="+", type=int)
    one = parser.parse_args().one
    if one is not None:
        print(json.dumps(measure(*one) if len(one) == 2 else run_whole(*one)))
        return
    rows = {size: measure_apart(*size) for size in SIZES}
    runs = {questions: measure_apart(questions) for questions in RUNS}
    text = report(rows, runs)
    (Path(__file__).parent / "results" / "engine_memory.md").write_text(text, encoding="utf-8")
    print(text)
    record("engine_memory.py", {f"1 / {name}": (1 / ratio, least) for name, (ratio, least) in ratios(rows).items()})


if __name__ == "__main__":
    main()
