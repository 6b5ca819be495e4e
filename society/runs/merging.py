"""Shards of one scenario, over ranges of its questions, as one run."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from society.core.definition import defining, difference
from society.core.errors import InputError, RunFolderError
from society.core.paths import stored_in
from society.core.plain import count
from society.core.types import Item
from society.runs.changes import describe_changed_files
from society.runs.files import count_forgotten, keep_inputs, read_json
from society.runs.folder import RunFolder
from society.runs.locking import require_idle
from society.runs.places import has_begun
from society.runs.run import Run
from society.runs.session_log import find_state, now
from society.runs.state import Session, read_sessions, write_sessions
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.scenario.questions import load_items
from society.scenario.reading.stored import read_stored
from society.scenario.sequences import list_sequences
from society.store import Store


def merge_runs(scenario: Scenario, shards: Sequence[Run], out: Path) -> tuple[int, int]:
    """Write the run of a scenario in `out` from runs of its parts. No model is opened.

    Each shard ran the scenario with another `task.offset` and `task.limit`. Return the numbers of debates and of those
    that the whole run has: if some are missing, the run can be resumed. Raises `InputError` for shards of another
    scenario, of other models, with questions that the scenario does not have, with a question in common, or without
    the questions that theirs build on, and `RunFolderError` if `out` holds a run or a process works on a shard.
    """
    if has_begun(out):
        raise RunFolderError(f"{out} holds a run already.", "Choose another --out (Python: `out`).")
    if scenario.train is not None:
        raise InputError("A run with `train` cannot be merged: its adapters belong to its questions.", "Run it whole.")
    society = expand(scenario)
    items = {item.id: item for item in load_items(society).evaluation}
    models: dict[str, str] = {}
    places: dict[str, Path] = {}
    for shard in shards:
        require_idle(shard.folder)
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
        _require_earlier(society, shard, list(items.values()))
    with RunFolder(scenario, out, resume=False) as folder, Store(folder.store) as store:
        folder.record(store, models, list(items.values()))
        keep_inputs(folder.path, scenario, list(items.values()))
        sessions: list[Session] = []
        tokens, dollars = 0, 0.0
        for shard in shards:
            with shard.open_store() as other:
                other.require_resumable()
                store.copy_debates(other)
                own = read_sessions(other.meta())
            sessions += own
            tokens += int(own[-1].tokens or 0) if own else 0
            dollars += float(own[-1].dollars or 0) if own else 0.0
        done, planned = len(store.debates("evaluation")), len(items) * scenario.samples
        totals = {"tokens": str(tokens or ""), "dollars": f"{dollars:.6f}" if dollars else ""}
        merged = _conclude(store, planned - done, totals)
        store.set_meta(write_sessions([*sessions, merged]))
    return done, planned


def _conclude(store: Store, missing: int, totals: Mapping[str, str]) -> Session:
    """Return the session of the merge, with the state of the whole run. `missing`: number of debates to be made."""
    state = find_state(None, missing > 0, store.count("status = 'failed'") > 0)
    reason = f"{count(missing, 'debate')} of no merged run." if missing else ""
    time = now()
    return Session(
        state=state,
        reason=reason,
        host=socket.gethostname(),
        pid=str(os.getpid()),
        started=time,
        ended=time,
        **totals,
    )


def _require_same(scenario: Scenario, shard: Run, meta: Mapping[str, str]) -> None:
    """Raise `InputError` unless a shard ran this scenario, with another range of questions."""
    read_stored(meta.get("scenario", ""), shard.folder)  # refuses what this program did not write
    stored = Scenario.model_validate_json(meta["scenario"], context=stored_in(None))
    found = difference(_without_range(stored), _without_range(scenario)) or describe_changed_files(scenario, meta)
    if found:
        raise InputError(
            f"{shard.folder} is a run of another scenario: {found}.",
            "Merge runs that differ in `task.offset` and `task.limit` alone.",
        )


def _without_range(scenario: Scenario) -> Any:
    found = defining(scenario)
    return {**found, "task": {key: value for key, value in found["task"].items() if key not in ("offset", "limit")}}


def _require_earlier(society: Society, shard: Run, items: Sequence[Item]) -> None:
    """Raise `InputError` if a prompt of a shard depends on a question before it that the shard does not have.

    So each sequence of the shard has to be the beginning of one of the whole scenario.
    """
    scenario = society.scenario
    if not society.in_sequence and scenario.clock is None:
        return
    samples = range(scenario.samples)
    whole = [[(item.id, sample) for item, sample in debates] for debates in list_sequences(scenario, items, samples)]
    begun = {debates[0]: debates for debates in whole}
    for debates in list_sequences(scenario, shard.questions() or (), samples):
        part = [(item.id, sample) for item, sample in debates]
        if begun.get(part[0], [])[: len(part)] != part:
            raise InputError(
                f"The prompts of {shard.folder} lack earlier questions of the whole scenario, on which they depend by "
                "`memory`, `clock` or a `track_record`.",
                "Run the scenario whole. Parts are possible between the streams of `sequence.streams`.",
            )


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
