"""Removal of adapters that no later iteration of a run needs.

An adapter serves the debates after its finetuning, and is the start of the next one. Once its learner has a later
adapter, these are stored. So a resumed run replays them without it. If the run would need it again, for a turn that
failed or because rows changed, it stops with an error and changes nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from backends.training import checkpoint_of
from society.core.errors import RunFolderError
from society.runs.editing import edit_run
from society.runs.files import PRUNED, own_tree, read_pruned
from society.runs.run import Run
from society.store.reader import StoreReader
from society.store.rows import AdapterRow


def find_prunable(rows: Sequence[AdapterRow], failed: Iterable[int]) -> list[AdapterRow]:
    """Return the adapters that no later iteration needs. `failed` has the iterations with failed turns.

    The latest adapter of a learner is needed, even if the guard returned to it from later ones. So is an adapter that a
    failed turn would use again.
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
    return [row for row in found[::-1] if row.path not in needed]


def prune_run(folder: Path, dry: bool = False) -> tuple[list[str], int]:
    """Remove the adapters of a run that no later iteration needs. Return their paths and the freed space in bytes.

    Checkpoints of finished finetunings are removed, too. With `dry`, nothing is removed. Raises `RunFolderError` if a
    process works on the run, or for links in its folder.
    """
    if dry:
        with Run(folder).open_store() as store:
            return _measure(folder, _list_paths(store))
    with edit_run(folder) as store:
        paths, size = _measure(folder, _list_paths(store))
        known = read_pruned(store.meta())
        adapters = [row.path for row in store.adapters() if row.path in paths]
        store.set_meta({PRUNED: json.dumps([*known, *(path for path in adapters if path not in known)])})
        for path in paths:
            shutil.rmtree(folder / path)
    return paths, size


def _list_paths(store: StoreReader) -> list[str]:
    """Return the paths of adapters that no later iteration needs, and of checkpoints of finished finetunings."""
    rows = store.adapters()
    finished = [str(checkpoint_of(Path(row.path))) for row in rows if row.hash is not None]
    return [*(row.path for row in find_prunable(rows, store.failed_iterations())), *finished]


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
