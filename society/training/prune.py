"""Removal of adapters that no later iteration of a run needs.

An adapter serves the debates after its finetuning, and is the start of the next one. Once its learner has a later
adapter, these are stored. So a resumed run replays them without it. A guard may return to the adapters of its best
iteration so far, so these stay. If the run would need a removed adapter again, for a turn that failed or because rows
changed, it stops with an error and changes nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from backends.training import checkpoint_of
from society.core.errors import RunFolderError
from society.core.plain import list_some
from society.runs.editing import edit_run
from society.runs.files import PRUNED, own_tree, read_object, read_pruned
from society.runs.records import DebateRecord, load_records
from society.runs.run import Run
from society.scenario.expand import expand
from society.store.reader import StoreReader
from society.store.rows import AdapterRow
from society.training.labels import open_history
from society.training.signals import measure_signals, watch


class Pruned(NamedTuple):
    """The folders that were removed from a run, their size in bytes, and why others stay ("" without a guard)."""

    paths: list[str]
    size: int
    kept: str


def find_prunable(rows: Sequence[AdapterRow], failed: Iterable[int], best: int | None = None) -> list[AdapterRow]:
    """Return the adapters that no later iteration needs. `failed` has the iterations with failed turns.

    The latest adapter of a learner is needed, even if the guard returned to it from later ones. So is an adapter that a
    failed turn would use again, and those that the iteration `best` began with, to which the guard may return.
    """
    found = []
    broken = set(failed)
    after: dict[tuple[str, str], int] = {}
    for row in sorted(rows, key=lambda row: -row.iteration):
        if row.hash is None:
            continue
        following = after.get((row.learner, row.agent))
        if following is not None and not broken & set(range(row.iteration + 1, following + 1)):
            found.append(row)
        after[row.learner, row.agent] = row.iteration
    needed = {row.path for row in rows if row.hash is not None and row not in found}
    if best is not None:
        needed |= {row.path for row in begin_with(rows, best)}
    return [row for row in found[::-1] if row.path not in needed]


def begin_with(rows: Sequence[AdapterRow], iteration: int) -> list[AdapterRow]:
    """Return the adapters that an iteration begins with: the latest one of each learner and agent before it."""
    before = sorted(
        (row for row in rows if row.hash is not None and row.iteration < iteration), key=attrgetter("iteration")
    )
    return list({(row.learner, row.agent): row for row in before}.values())


def find_best(run: Run) -> int | None:
    """Return the iteration to which the guard of a run would return from the finished ones; None without such a guard.

    An iteration is finished once its finetunings are stored.
    """
    if not (read_object(run.meta(), "scenario").get("train") or {}).get("guard"):
        return None  # such a run is pruned without the plugins that its scenario needs
    society = expand(run.scenario)
    spec = society.scenario.train
    if spec is None or spec.guard is None or spec.guard.then != "best":
        return None
    history, values = open_history(society), []
    first: list[DebateRecord] = []
    for number in sorted({row.iteration for row in run.adapters()}):
        debates = history.add(load_records(run, number, "training"))
        first = first or debates
        found = measure_signals(society, history.labels(spec, spec.label), debates, first)
        values.append(found[spec.guard.signal])
    return watch(spec.guard, values)[0]


def prune_run(folder: Path, dry: bool = False) -> Pruned:
    """Remove the adapters of a run that no later iteration needs.

    Checkpoints of finished finetunings are removed, too. With `dry`, nothing is removed. Raises `RunFolderError` if a
    process works on the run, or for links in its folder. A run with a guard needs the plugins of its scenario.
    """
    if dry:
        with Run(folder).open_store() as store:
            paths, kept = _list_paths(store, find_best(Run(folder)))
            return Pruned(*_measure(folder, paths), kept)
    with edit_run(folder) as store:
        paths, kept = _list_paths(store, find_best(Run(folder)))
        paths, size = _measure(folder, paths)
        known = read_pruned(store.meta())
        adapters = [row.path for row in store.adapters() if row.path in paths]
        store.set_meta({PRUNED: json.dumps([*known, *(path for path in adapters if path not in known)])})
        for path in paths:
            shutil.rmtree(folder / path)
    return Pruned(paths, size, kept)


def _list_paths(store: StoreReader, best: int | None) -> tuple[list[str], str]:
    """Return the paths of adapters that no later iteration needs and of checkpoints of finished finetunings.

    The text says why other adapters stay. A failed turn that is generated again may change the `best` iteration, so all
    stay.
    """
    rows, failed = store.adapters(), store.failed_iterations()
    finished = [str(checkpoint_of(Path(row.path))) for row in rows if row.hash is not None]
    if best is not None and failed:
        return finished, (
            "all adapters stay: failed turns may change the iteration to which the guard returns; resume the run first"
        )
    kept = ""
    if best is not None and (paths := sorted({row.path for row in begin_with(rows, best)})):
        kept = f"{list_some(paths)} stay: the guard may return to iteration {best}"
    return [*(row.path for row in find_prunable(rows, failed, best)), *finished], kept


def _measure(folder: Path, paths: Sequence[str]) -> tuple[list[str], int]:
    """Return the paths that are there, and their size in bytes."""
    paths = [path for path in paths if own_tree(folder, path).is_dir()]
    files = (file for path in paths for file in (folder / path).rglob("*") if file.is_file())
    return paths, sum(file.stat().st_size for file in files)


def pruned_error(folder: Path, path: str) -> RunFolderError:
    """Return the error for an adapter that is needed but was removed."""
    return RunFolderError(
        f"The run in {folder} needs its adapter {path}, which `society prune` removed.",
        "Restore the adapter from a copy, or start a new run with --reuse (Python: the argument reuse).",
    )
