"""Shards of one scenario, over ranges of its questions, as one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from society.core.definition import defining, difference
from society.core.errors import InputError, RunFolderError
from society.core.types import Item
from society.runs.files import count_forgotten, keep_inputs, read_json
from society.runs.folder import RunFolder
from society.runs.places import has_begun
from society.runs.run import Run
from society.runs.state import read_sessions, write_sessions
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.scenario.questions import load_items
from society.store import Store


def merge_runs(scenario: Scenario, shards: Sequence[Run], out: Path) -> tuple[int, int]:
    """Write the run of a scenario in `out` from runs of its parts. No model is opened.

    Each shard ran the scenario with another `task.offset` and `task.limit`. Return the numbers of debates and of those
    that the whole run has: if some are missing, the run can be resumed. Raises `InputError` for shards of another
    scenario, of other models, with questions that the scenario does not have, or with a question in common, and
    `RunFolderError` if `out` holds a run.
    """
    if has_begun(out):
        raise RunFolderError(f"{out} holds a run already.", "Choose another --out (Python: `out`).")
    if scenario.train is not None:
        raise InputError("A run with `train` cannot be merged: its adapters belong to its questions.", "Run it whole.")
    items = {item.id: item for item in load_items(expand(scenario)).evaluation}
    models: dict[str, str] = {}
    places: dict[str, Path] = {}
    for shard in shards:
        meta = shard.meta()
        if count_forgotten(meta):
            raise InputError(f"Questions were deleted from {shard.folder}.", "Merge runs with all their questions.")
        _require_same(scenario, shard, meta)
        for name, model in read_json(meta, "models").items():
            if models.setdefault(name, model) != model:
                raise InputError(
                    f"The backend {name!r} of {shard.folder} had another model.", "Merge runs of one model."
                )
        _claim(shard, items, places)
    with RunFolder(scenario, out, resume=False) as folder, Store(folder.store) as store:
        folder.record(store, models, list(items.values()))
        keep_inputs(folder.path, scenario, list(items.values()))
        sessions = []
        for shard in shards:
            with shard.open_store() as other:
                other.require_resumable()
                store.copy_debates(other)
                sessions += read_sessions(other.meta())
        store.set_meta(write_sessions(sessions) if sessions else {})
    return len(Run(out).debates()), len(items) * scenario.samples


def _require_same(scenario: Scenario, shard: Run, meta: Mapping[str, str]) -> None:
    """Raise `InputError` unless a shard ran this scenario, with another range of questions."""
    now, before = _without_range(scenario), _without_range(shard.scenario)
    if found := difference(before, now):
        raise InputError(
            f"{shard.folder} is a run of another scenario: {found}.",
            "Merge runs that differ in `task.offset` and `task.limit` alone.",
        )


def _without_range(scenario: Scenario) -> Any:
    found = defining(scenario)
    return {**found, "task": {key: value for key, value in found["task"].items() if key not in ("offset", "limit")}}


def _claim(shard: Run, items: Mapping[str, Item], places: dict[str, Path]) -> None:
    """Note where each question was debated. Raises `InputError` for one that was debated twice, or is not known."""
    for asked in shard.questions() or ():
        item = items.get(asked.id)
        if item is None or (item.question, item.gold, item.choices) != (asked.question, asked.gold, asked.choices):
            raise InputError(
                f"The question {asked.id!r:.80} of {shard.folder} is not one of the whole scenario.",
                "Give the scenario a `task.offset` and a `task.limit` that include the questions of all runs.",
            )
        if asked.id in places:
            raise InputError(
                f"The question {asked.id!r:.80} is in {places[asked.id]} and in {shard.folder}.",
                "Merge runs without common questions.",
            )
        places[asked.id] = shard.folder
    if shard.questions() is None:
        raise RunFolderError(f"{shard.folder} does not store its questions.", "Run the scenario again.")
