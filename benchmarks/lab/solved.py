"""Measures a word-problem base: new problems by steps, left-out templates, and MAWPS, whose stories are others.

    python -m benchmarks.lab.solved 70 DATA         # after `python -m benchmarks.lab.words 70`

DATA, or the environment's BENCH_DATA, contains mawps/ with JSONL files as published. Each question is answered three
times at temperature 0.8; the vote over the three is what a society starts from. The greedy answer is drawn apart.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.lab.arms import ROOT, SCENARIOS
from society.metrics.accuracy import accuracy, share_right
from society.metrics.proportion import Proportion
from society.runs.records import DebateRecord, load_records
from society.scenario import load_scenario
from society.session import run

RUNS = ROOT / "runs" / "solved"
RESULTS = ROOT / "benchmarks" / "results" / "lab"
MAWPS = ("singleop", "addsub", "singleeq", "multiarith")
GREEDY = ("agents.agent.count=1", "sampling.temperature=0")
STEPS = {1: "one step", 2: "two steps", 3: "three steps"}


def tasks(data: Path | None, limit: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the task of each set of questions. Without `data`, MAWPS is left out."""
    own = {"kind": "word_problems", "high": 40, "limit": limit}
    for count, name in STEPS.items():
        yield f"new problems, {name}", {**own, "half": "second", "steps": [count]}
    yield "left-out templates", {**own, "templates": "left_out"}
    for name in MAWPS if data else ():
        path = str((Path(data or ".") / "mawps" / f"{name}.jsonl").absolute())
        columns = {"question": "input", "gold": "target", "answer": {"extract": ["hash", "last_number"]}}
        yield f"MAWPS, {name}", {"kind": "file", "path": path, "limit": limit, "shuffle": True, **columns}


def ask(level: int, task: Mapping[str, Any], name: str, *changes: str) -> list[DebateRecord]:
    """Return the answers of the base of a level to these questions, three each, or with other changes."""
    model = ROOT / "build" / "lab" / f"words_{level}" / "model"
    settings = [f"task={json.dumps(task)}", f"backends.local.model={model}", "seed=0", "train=null", *changes]
    folder = RUNS / f"{level}-{name}".replace(" ", "_")
    allow = [Path(str(task["path"])).parent] if "path" in task else []
    scenario = load_scenario(WITHOUT_DEBATE, settings, allow=allow)
    return load_records(run(scenario, folder, resume=folder.exists()))


WITHOUT_DEBATE = SCENARIOS / "words_majority_ft.yaml"


def row(level: int, name: str, task: Mapping[str, Any]) -> str:
    """Return the table's row of a set of questions."""
    greedy, sampled = ask(level, task, f"{name}-greedy", *GREEDY), ask(level, task, name)
    single = share_right(sampled, lambda record: [record.right(turn) for turn in record.turns])
    turns = [turn for record in sampled for turn in record.turns]
    unread = sum(turn.answer is None for turn in turns)
    shares = [_write(share) for share in (accuracy(greedy), single, accuracy(sampled))]
    return f"| {name} | {len(sampled)} | {' | '.join(shares)} | {unread} of {len(turns)} |"


def _write(share: Proportion) -> str:
    return f"{share.share:.1%} [{share.low:.1%}, {share.high:.1%}]"


def main() -> None:
    """Ask all sets, and write the table."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("level", type=int)
    options.add_argument("data", type=Path, nargs="?", default=os.environ.get("BENCH_DATA"))
    options.add_argument("--limit", type=int, default=100, help="questions of each set")
    asked = options.parse_args()
    if asked.data is None:
        options.error("say where the data are, or set BENCH_DATA")
    made = json.loads((ROOT / "build" / "lab" / f"words_{asked.level}" / "made.json").read_text("utf-8"))
    lines = [
        f"# The word-problem base, level {asked.level}",
        "",
        (__doc__ or "").split("\n\n")[2].replace("\n", " ").strip(),
        "",
        f"Finetuned in {made['steps']} steps on {made['rows']} rows ({made['tokens']:,} tokens), "
        f"in {made['seconds'] / 60:.1f} minutes on the wall, whatever else the machine did.",
        "",
        "| questions | n | greedy answer | one sampled answer | vote of three | unreadable |",
        "|---|---|---|---|---|---|",
    ]
    for name, task in tasks(asked.data, asked.limit):
        lines.append(row(asked.level, name, task))
        print(lines[-1], flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"words_{asked.level}.md").write_text("\n".join([*lines, ""]), "utf-8")


if __name__ == "__main__":
    main()
