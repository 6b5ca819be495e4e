"""Claim: a turn of a scripted agent that thinks takes at most 1.3 times the engine's time of one that does not.

Scripted agents debate with the store on: without thoughts, with thoughts of 70 words, and with thoughts that are
closed after 20. Repetitions are interleaved, and processor time is measured. Run `python
benchmarks/engine_thinking.py`; it writes `results/engine_thinking.md` in a minute.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from machine import describe_machine

from society.runs.run import Run
from society.scenario import load_scenario
from society.session import run

RESULT = Path(__file__).parent / "results" / "engine_thinking.md"
THOUGHT = "Carry the one and add the tens. " * 10
SCENARIO = """
version: 1
name: thinkers
task: {{kind: arithmetic, form: a+b, limit: 100}}
backends: {{scripted: {{kind: scripted, rules: [{{{think}choose: ["It is 7.", "It is 8.", "It is 9."]}}]}}}}
roles: {{solver: {{prompt: "{{{{ question }}}} {{% for m in heard %}}{{{{ m.text }}}} {{% endfor %}}"}}}}
agents: {{solver: {{count: 5}}}}
{thinking}
phases: [{{name: debate, topology: complete, rounds: 3}}]
"""
WAYS = {
    "without thoughts": {"think": "", "thinking": ""},
    "free thoughts": {"think": f'think: "{THOUGHT}", ', "thinking": ""},
    "thoughts closed after 20 words": {"think": f'think: "{THOUGHT}", ', "thinking": "thinking: {budget: 20}"},
}


def measure(way: dict[str, str], folder: Path) -> tuple[float, int]:
    """Return the microseconds of processor time of a turn, and the words of all thoughts."""
    path = folder / "scenario.yaml"
    path.write_text(SCENARIO.format(**way))
    scenario = load_scenario(path)
    start = time.process_time()
    done: Run = run(scenario, folder / "run")
    seconds = time.process_time() - start
    turns = list(done.turns())
    return 1e6 * seconds / len(turns), sum(turn.usage.thought_tokens for turn in turns)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    words: dict[str, int] = {}
    for _ in range(options.repetitions):
        for name, way in WAYS.items():
            with tempfile.TemporaryDirectory() as folder:
                spent, words[name] = measure(way, Path(folder))
            found[name].append(spent)
    base = found["without thoughts"]
    rows = [
        f"| {name} | {statistics.median(mine):.0f} | {words[name]:,} "
        f"| {statistics.median(one / other for one, other in zip(mine, base, strict=True)):.2f} |"
        for name, mine in found.items()
    ]
    report = "\n".join(
        [
            "# Scripted agents that think: the engine",
            "",
            "Five agents, 100 questions, three rounds, every turn stored; microseconds of processor time a turn, "
            f"medians of {options.repetitions} repetitions, interleaved. Ratios are medians of each repetition's "
            "ratio to the first way.",
            "",
            f"Machine: {describe_machine()}",
            "",
            "| replies | µs a turn | words in thoughts | ratio |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )
    RESULT.write_text(report)
    print(report)


if __name__ == "__main__":
    main()
