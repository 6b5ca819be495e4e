"""Does what was learned about capitals help with other questions? The trained societies are asked for continents.

    python -m benchmarks.lab.transfer            # after `make paper`; some minutes

Each society of the capitals suite is exported after its last iteration and debates on which continent each country is:
questions of another kind, made of the project's own table. So does the society that was never trained. Differences are
paired by question.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from statistics import fmean

from benchmarks.lab.arms import ROOT
from benchmarks.lab.compare import test
from benchmarks.lab.paper import RUNS
from benchmarks.lab.plan import CAPITALS
from society.metrics.accuracy import accuracy
from society.metrics.statistics import Difference, compare_outcomes
from society.runs.records import DebateRecord, load_records
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.models.phases import Binding
from society.session import run
from society.training.export import TrainingExport

FOLDER = ROOT / "runs" / "transfer"
RESULT = ROOT / "benchmarks" / "results" / "transfer.md"
CONTINENTS = "North America|South America|Africa|Asia|Europe|Oceania"
UNTRAINED = "untrained"


def write_questions(path: Path) -> Path:
    """Return a JSONL file that asks for each country's continent."""
    table = files("society.tasks").joinpath("capitals.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines(), delimiter="\t")
    lines = [
        json.dumps({"question": f"On which continent is {row['country']}?", "answer": row["continent"]}) for row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def ask(trained: Path, seed: int, adapters: bool) -> list[DebateRecord]:
    """Return the debates on the continents by the society of a finished run, or by the same before training."""
    learned = f"{trained.name}-{_digest(trained)}"
    out = FOLDER / (learned if adapters else f"{UNTRAINED}-{seed}")
    exported = FOLDER / f"{learned}-exported"
    if not (exported / "scenario.yaml").exists():
        TrainingExport(Run(trained), exported, allow=[ROOT / "build"]).write()
    task = {
        "kind": "jsonl",
        "path": str(write_questions(exported / "continents.jsonl")),
        "answer": {"extract": [{"regex": CONTINENTS}], "equal": "exact"},
    }
    changes = [f"task={json.dumps(task)}", f"seed={seed}"]
    scenario = load_scenario(exported / "scenario.yaml", changes)
    phases = tuple(phase.model_copy(update={"bind": _bound(phase.bind, adapters)}) for phase in scenario.phases)
    backends = Run(trained).scenario.backends  # on which the society was trained: faster than llama.cpp with AMX
    scenario = scenario.model_copy(update={"phases": phases, "backends": backends})
    return load_records(run(scenario, out, resume=out.exists()))


def _digest(trained: Path) -> str:
    """Return a name for the adapters of a run, so that a new adapter is asked again."""
    hashes = "".join(sorted(str(row.hash) for row in Run(trained).adapters()))
    return hashlib.sha256(hashes.encode()).hexdigest()[:8]


def _bound(bind: Mapping[str, Binding], adapters: bool) -> dict[str, Binding]:
    """Return the binding of each agent to its PEFT folder, which is beside the GGUF file, or to no adapter."""
    return {
        agent: bound.model_copy(
            update={"adapter": bound.adapter.with_suffix("") if adapters and bound.adapter else None}
        )
        for agent, bound in bind.items()
    }


def outcomes(records: Sequence[DebateRecord]) -> dict[str, list[float]]:
    """Right or wrong by question."""
    return {record.result.question: [float(record.result.correct)] for record in records}


def table(found: Mapping[str, Mapping[int, list[DebateRecord]]]) -> list[str]:
    """Return one line per arm: its accuracy, and its lead over the untrained society for each seed."""
    lines = [
        "| society | seeds | right | ahead of the untrained one, points | p | exact McNemar by seed |",
        "|---|---|---|---|---|---|",
    ]
    base = {seed: outcomes(records) for seed, records in found[UNTRAINED].items()}
    for name, seeds in found.items():
        share = accuracy([record for records in seeds.values() for record in records])
        pairs = {seed: compare_outcomes(base[seed], outcomes(records)) for seed, records in seeds.items()}
        told = ["", "", ""] if name == UNTRAINED else tell(pairs)
        lines.append(
            f"| {name} | {len(seeds)} | {share.share:.1%} [{share.low:.1%}, {share.high:.1%}] | {' | '.join(told)} |"
        )
    return lines


def tell(pairs: Mapping[int, Difference]) -> list[str]:
    """Mean difference over seeds with the interval of a t-test where there are several, its p, and each seed's own."""
    low, high, p, _ = test([pair.value for pair in pairs.values()])
    mean = f"{100 * fmean(pair.value for pair in pairs.values()):+.1f}"
    within = "" if low != low else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    each = "; ".join(f"{seed}: {100 * pair.value:+.1f}, p = {pair.p:.2g}" for seed, pair in pairs.items())
    return [mean + within, "" if low != low else f"{p:.2g}", each]


def main() -> None:
    """Ask every trained society that is there, and write the table."""
    found: dict[str, dict[int, list[DebateRecord]]] = {UNTRAINED: {}}
    for name, arm in CAPITALS.arms.items():
        for seed in arm.seeds:
            trained = RUNS / f"{name}-{seed}"
            if not (trained / "store.sqlite").exists() or not Run(trained).adapters():
                continue
            print(trained.name, file=sys.stderr, flush=True)
            found.setdefault(name, {})[seed] = ask(trained, seed, adapters=True)
            if seed not in found[UNTRAINED]:
                found[UNTRAINED][seed] = ask(trained, seed, adapters=False)
    if not found[UNTRAINED]:
        raise SystemExit("Nothing is trained yet: make paper")
    said = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
    RESULT.write_text("\n".join(["# Transfer", "", said, "", *table(found), ""]), "utf-8")
    print(RESULT)


if __name__ == "__main__":
    main()
