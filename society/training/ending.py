"""The end of a training by its guard: removal of what is stored of later iterations, and the return to the best one.

A resumed run generates failed turns again, so the guard may end the training in an earlier iteration than before. What
was trained and debated after that iteration is no part of this training any more, and is removed.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from society.core.plain import count
from society.core.types import Adapter
from society.runs.files import own_tree
from society.store import Store
from society.store.rows import AdapterRow
from society.training.learners import Learner
from society.training.signals import Alarm

log = logging.getLogger(__name__)


def remove_trainings(store: Store, folder: Path, end: int, last: int) -> None:
    """Remove all finetunings from iteration `end` on, with their files. `last` is the iteration of the last evaluation.

    A warning counts them, and the turns that `Store.remove_debates` removes after the last evaluation.
    """
    trainings = [row for row in store.adapters() if row.iteration > end or (row.iteration == end and not _returns(row))]
    turns = store.count(f"iteration > {end:d} AND iteration <> {last:d}")
    if trainings or turns:
        log.warning(
            "The guard ends the training in iteration %d: %s of this and later iterations and %s of later ones are "
            "removed from the run.",
            end,
            count(len(trainings), "finetuning"),
            count(turns, "turn"),
        )
    store.remove_trainings(trainings)
    for path in folder.glob("adapters/*"):
        if path.name.isdecimal() and int(path.name) > end:  # the folder of iteration 0 is adapters/1
            shutil.rmtree(own_tree(folder, f"adapters/{path.name}"))


def _returns(row: AdapterRow) -> bool:
    return row.back_to is not None


def returned_row(learner: Learner, adapter: Adapter | None, alarm: Alarm, folder: Path) -> AdapterRow:
    """Return the row of a learner that has the adapter of the best iteration again; None for no adapter."""
    path = "" if adapter is None else str(Path(adapter.path).relative_to(folder))
    name, base = (None, "") if adapter is None else (adapter.hash, adapter.base)
    place = (alarm.iteration, learner.name, learner.agent)
    return AdapterRow(*place, name, path, base, 0, {}, (), 0, 0.0, back_to=alarm.best)
