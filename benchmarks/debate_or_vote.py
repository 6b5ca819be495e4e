"""Does any of ten topologies beat voting at equal generated tokens?

Six agents answer alone; then each reads the agents that the topology connects to it and answers once more. The last
answers vote. The baseline is a vote over as many independent answers as the same number of generated tokens allows. Its
accuracy is the exact mean over all choices of that many from a pool of independent answers to the same questions.
Differences are paired by question; Holm's adjustment is over the topologies of a model.

    python -m benchmarks.debate_or_vote            # both models (`make lab` makes the small one); about twenty minutes

All replies stay in runs/vote: a second call only computes.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from society.metrics.accuracy import accuracy
from society.metrics.budget import BudgetVerdict, weigh_debating
from society.metrics.proportion import Proportion
from society.metrics.statistics import holm
from society.runner.sweep import sweep
from society.runs.records import load_records
from society.scenario import load_scenario
from society.scenario.expand import expand
from society.session import run

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "vote"
RESULT = Path(__file__).parent / "results" / "debate_or_vote.md"
MODELS = {"six_capitals": "SmolLM2-135M-Instruct, capitals", "six_arithmetic": "the lab model, arithmetic"}
"""Backends and tasks that replace those of the scenarios in scenarios/lab."""
NOTES = {
    "six_arithmetic": " The model was pretrained on debates of three: agents that read more than two others read what "
    "it never saw."
}
TOPOLOGIES = (
    "complete",
    "ring",
    "star",
    "chain",
    "tree",
    "grid",
    "bipartite",
    "barbell",
    "{kind: k_regular, k: 3}",
    "{kind: small_world, k: 4, p: 0.3}",
)
POOL = 18
"""Independent answers to each question: more than the tokens of a debate's twelve turns buy."""
SEED = 11
Row = tuple[Proportion, BudgetVerdict]


def compare(scenario: str, changes: list[str]) -> dict[str, Row]:
    """Return the accuracy of the debates and their comparison with voting, by topology. Missing runs are generated."""
    path, out, changes = ROOT / "scenarios" / "lab" / f"{scenario}.yaml", RUNS / scenario, [f"seed={SEED}", *changes]
    alone = [f"agents.debater.count={POOL}", "phases.debate.rounds=1", "phases.debate.topology=none"]
    pool = run(load_scenario(path, [*changes, *alone]), out / "alone", resume=(out / "alone").exists())
    answers = load_records(pool)
    found: dict[str, Row] = {}
    for topology in TOPOLOGIES:
        print(f"{scenario}: {topology}", file=sys.stderr, flush=True)
        [variant] = sweep(path, [f"phases.debate.topology={topology}"], out, changes)
        records = load_records(variant.run)
        verdict = weigh_debating(expand(variant.run.scenario), records, answers)
        found[topology] = accuracy(records), verdict
    return found


def table(found: Mapping[str, Row]) -> list[str]:
    """Return one line per topology, the best difference first."""
    differences = {topology: verdict.difference for topology, (_, verdict) in found.items()}
    assert all(differences.values()), "the pool is too small"
    adjusted = dict(zip(found, holm([d.p for d in differences.values() if d]), strict=True))
    lines = [
        "| topology | debating | votes for its tokens | voting | debating less voting, points | p | p, Holm |",
        "|---|---|---|---|---|---|---|",
    ]
    for topology in sorted(found, key=lambda name: -differences[name].value):  # type: ignore[union-attr]
        share, verdict = found[topology]
        d = differences[topology]
        assert d is not None
        lines.append(
            f"| `{topology}` | {share.share:.1%} [{share.low:.1%}, {share.high:.1%}] | {verdict.votes} | "
            f"{verdict.voting:.1%} | {100 * d.value:+.1f} [{100 * d.low:+.1f}, {100 * d.high:+.1f}] | {d.p:.2g} | "
            f"{adjusted[topology]:.2g} |"
        )
    return lines


def main() -> None:
    """Debate, vote, compare, and write the result."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--set", action="append", default=[], help="a change of the scenarios, as in society run")
    options.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    options.add_argument("--out", type=Path, default=RESULT)
    asked = options.parse_args()
    lines = ["# Debate or vote", "", (__doc__ or "").split("\n\n")[1].replace("\n", " "), ""]
    for scenario in asked.models:
        found = compare(scenario, asked.set)
        questions = next(iter(found.values()))[0].n
        lines += [
            f"## {MODELS[scenario][0].upper()}{MODELS[scenario][1:]}",
            "",
            f"{questions} questions, seed {SEED}." + NOTES.get(scenario, ""),
            "",
            *table(found),
            "",
        ]
    lines.append(f"{os.cpu_count()}-core {platform.machine()}, Python {platform.python_version()}.")
    asked.out.write_text("\n".join(lines) + "\n", "utf-8")
    print(asked.out)


if __name__ == "__main__":
    main()
