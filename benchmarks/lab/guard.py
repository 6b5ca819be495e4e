"""Alarms of the guard on all runs of the lab: which falls they find, and which they raise without a fall.

    python -m benchmarks.lab.guard            # from the summaries; seconds

Each summary is replayed as a guard would have seen it. Newer summaries have the estimates of every iteration. Older
ones have the number of corrected rows, from which the share of first answers that are the label follows where rows were
not limited. A run *fell* if its last evaluation is worse than its best one by two standard errors of the paired
difference. Alarms are by means and their standard errors, which is stricter than the guard's comparison by question.
The kept accuracy is that of the evaluation nearest to the iteration that the guard keeps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.lab.arms import RESULTS, ROOT
from benchmarks.lab.rules import RULE_ARMS
from society.scenario.models.training import WITHOUT_START, GuardSpec
from society.training.signals import LOWER_IS_BETTER, SIGNALS

PAGE = ROOT / "benchmarks" / "results" / "guard.md"
Point = tuple[float, float]
"""Mean and standard error of an estimate in one iteration."""
MISSING: Point = (nan, nan)
"""The point of an iteration without the estimate, as iteration 0 of `base`."""
Rounds = Sequence[dict[str, Any]]
NEWER = "rules without DPO"
"""Name of the runs of the second experiment in tables."""


@dataclass(frozen=True)
class Replay:
    """One run as a guard sees it. Accuracies are those of the last vote."""

    run: str
    fell: bool
    alarm: tuple[int, int] | None
    """Iteration of the alarm, and the best one before it."""
    best: float
    last: float
    kept: float
    """Accuracy of the evaluation nearest to the iteration that the guard keeps, or of the last one."""


def points_of(rounds: Rounds, signal: str) -> list[Point]:
    """Return the estimate of each iteration with training; empty if the summary does not have it."""
    if all(signal in one.get("signals", {}) for one in rounds[:-1]):
        means = [one["signals"][signal] for one in rounds if signal in one.get("signals", {})]
        points = [(mean["value"], mean["error"]) if mean["n"] else MISSING for mean in means]
        return [MISSING, *points[1:]] if signal in WITHOUT_START else points  # older summaries have a value there
    rows = [one["rows_right"].get("corrected") for one in rounds[:-1]]
    if signal != "agreement" or not all(rows) or any(one.get("repeated") for one in rounds):
        return []
    shares, voters = [], rounds[0]["alone"]["n"] / max(1, rounds[0]["debates"])
    for one, corrected in zip(rounds[:-1], rows, strict=True):
        labels = max(1, one["labels"]["n"])
        share = 1 - corrected["n"] / (labels * voters)
        shares.append((share, (max(share * (1 - share), 0.0) / labels) ** 0.5))
    return shares


def replay_alarm(points: Sequence[Point], spec: GuardSpec) -> tuple[int, int] | None:
    """Return the iteration of the first alarm and the best one before it."""
    sign = -1 if spec.signal in LOWER_IS_BETTER else 1
    best, worse = next((number for number, (mean, _) in enumerate(points) if not isnan(mean)), 0), 0
    for number in range(best + 1, len(points)):
        lead = sign * (points[number][0] - points[best][0])
        error = (points[number][1] ** 2 + points[best][1] ** 2) ** 0.5
        worse = worse + 1 if lead < -spec.errors * error else 0
        if worse >= spec.patience:
            return number, best
        best = number if lead > 0 else best
    return None


def replay(name: str, rounds: Rounds, spec: GuardSpec) -> Replay | None:
    """Return a run as the guard sees it; None without the estimate, or with fewer than two evaluations."""
    points = points_of(rounds, spec.signal)
    judged = {one["iteration"]: one["right"] for one in rounds if one["right"]}
    if not points or len(judged) < 2:
        return None
    share = {number: fmean(map(int, right)) for number, right in judged.items()}
    best, last = max(share, key=lambda number: share[number]), max(share)
    pairs = [int(a) - int(b) for a, b in zip(judged[last], judged[best], strict=True)]
    fell = best != last and fmean(pairs) < -2 * stdev(pairs) / len(pairs) ** 0.5
    alarm = replay_alarm(points, spec)
    kept = last if alarm is None else min(share, key=lambda number: abs(number - alarm[1]))
    return Replay(name, fell, alarm, share[best], share[last], share[kept])


def replays(every: Mapping[str, Rounds], spec: GuardSpec) -> list[Replay]:
    """Return the runs that have the estimate, as the guard sees them."""
    return [one for one in (replay(name, rounds, spec) for name, rounds in every.items()) if one is not None]


def groups(found: Sequence[Replay]) -> dict[str, list[Replay]]:
    """Return the runs of each experiment. DPO is apart: its societies fall to 2 %, which anything would find."""
    rules = [one for one in found if one.run.rsplit("-", 1)[0] in RULE_ARMS]
    dpo = [one for one in rules if "_dpo" in one.run]
    return {
        "first experiment": [one for one in found if one not in rules],
        NEWER: [one for one in rules if one not in dpo],
        "DPO": dpo,
        "all": list(found),
    }


def count_alarms(name: str, found: Sequence[Replay]) -> str:
    """Return a row of the table of counts."""
    falls, alarms = [one for one in found if one.fell], [one for one in found if one.alarm]
    caught = sum(one.fell for one in alarms)
    gain = f"{100 * fmean(one.kept - one.last for one in alarms):+.1f} points" if alarms else "-"
    return (
        f"| {name} | {len(found)} | {len(falls)} | {caught} of {len(falls)} | "
        f"{len(alarms) - caught} of {len(found) - len(falls)} | {gain} |"
    )


def write(every: Mapping[str, Rounds], spec: GuardSpec) -> str:
    """Return the page: counts of alarms and falls by experiment and by signal, then a row for each run."""
    found = replays(every, spec)
    newer = {name: rounds for name, rounds in every.items() if name in {r.run for r in groups(found)[NEWER]}}
    signals = {signal: replays(newer, spec.model_copy(update={"signal": signal})) for signal in SIGNALS[:-1]}
    told = (__doc__ or "").split("\n\n")[2].strip()
    lines = [
        "# The guard on the runs of the lab",
        "",
        f"Written by `python -m benchmarks.lab.guard`, with `signal: {spec.signal}`, `errors: {spec.errors:g}` and "
        f"`patience: {spec.patience}`.",
        "",
        told,
        "",
        "An alarm on a run that fell finds it, and one on another run is false. The last column has the accuracy that "
        "the guard keeps less the last one, as the mean over runs with an alarm, false ones included.",
        "",
        "| runs | with the estimate | fell | found | false alarms | kept less last |",
        "|---|---|---|---|---|---|",
        *(count_alarms(name, some) for name, some in groups(found).items() if some),
        "",
        "The same with each signal, on the rules without DPO:",
        "",
        "| signal | with the estimate | fell | found | false alarms | kept less last |",
        "|---|---|---|---|---|---|",
        *(count_alarms(f"`{signal}`", some) for signal, some in signals.items() if some),
        "",
        "| run | fell | alarm in | best before | best accuracy | last accuracy | kept accuracy |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found:
        at = ("-", "-") if one.alarm is None else tuple(map(str, one.alarm))
        shares = " | ".join(f"{share:.1%}" for share in (one.best, one.last, one.kept))
        lines.append(f"| {one.run} | {'yes' if one.fell else 'no'} | {' | '.join(at)} | {shares} |")
    return "\n".join([*lines, ""])


def main(folder: Path = RESULTS) -> None:
    """Replay all summaries and write the page."""
    spec = GuardSpec()
    every = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    rounds = {name: one["iterations"] for name, one in every.items() if "iterations" in one}
    PAGE.write_text(write(rounds, spec), "utf-8")
    print(PAGE)


if __name__ == "__main__":
    main()
