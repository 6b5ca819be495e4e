"""Groups of runs that differ in the seed alone: the repetitions of one method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

from society.core.errors import InputError
from society.core.paths import list_given
from society.metrics.accuracy import score_questions
from society.metrics.compared_runs import latest, name_runs, open_run
from society.metrics.dependence import builds_on_questions
from society.metrics.method_labels import identify_method, label_methods
from society.runs.records import DebateRecord, Question
from society.runs.run import Run
from society.scenario.expand import Society, expand


@dataclass(frozen=True)
class Group:
    """The runs of one method with their debates, in the order of their seeds."""

    label: str
    runs: tuple[Run, ...]
    records: tuple[list[DebateRecord], ...]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Return the seed of each run."""
        return tuple(run.scenario.seed for run in self.runs)

    @property
    def society(self) -> Society:
        """Return the expanded scenario of the first run."""
        return expand(self.runs[0].scenario)

    @cached_property
    def shares_draws(self) -> bool:
        """True if a repetition draws something for all its questions: weights, memories, or a random graph."""
        if len(self.runs) == 1:
            return False
        first, *others = (expand(run.scenario) for run in self.runs)
        if first.scenario.train is not None or builds_on_questions(first):
            return True
        pairs = [pair for other in others for pair in zip(first.phases, other.phases, strict=True)]
        pairs = [pair for pair in pairs if "question" not in pair[0].occasions]  # each question has its own graph
        return any(set(one.graph().edges) != set(other.graph().edges) for one, other in pairs)

    def outcomes(self) -> list[dict[Question, float]]:
        """Return, for each run, the share of right debates of each question with a true answer."""
        scored = [score_questions(found) for found in self.records]
        return [{question: fmean(right) for question, right in found.items()} for found in scored]


def group_runs(runs: Sequence[Run | Path | str]) -> list[Group]:
    """Return the runs by method. Runs whose scenarios differ in `seed` alone are repetitions of one method.

    Raises `InputError` for a run given twice, or without a finished debate.
    """
    opened = [open_run(run) for run in list_given(runs, "runs", Run, str, Path)]
    if not opened:
        raise InputError("There are no runs to compare.", "Name a run, or a folder that holds runs.")
    names = dict(zip((run.folder for run in opened), name_runs(opened), strict=True))
    methods: dict[str, list[Run]] = {}
    for run in opened:
        methods.setdefault(identify_method(run), []).append(run)
    found = [sorted(group, key=lambda run: run.scenario.seed) for group in methods.values()]
    folders = [[names[run.folder] for run in group] for group in found]
    labels = label_methods([group[0] for group in found], folders)
    groups = zip(labels, found, strict=True)
    return [Group(label, tuple(group), tuple(map(latest, group))) for label, group in groups]


def find_group(groups: Sequence[Group], name: str) -> Group:
    """Return the group with this label, or with a run in a folder of this name. Raises `InputError` without one."""
    folder = Path(name).name
    found = [group for group in groups if group.label == name]
    found = found or [group for group in groups if any(run.folder.name == folder for run in group.runs)]
    if len(found) == 1:
        return found[0]
    known = ", ".join(repr(group.label) for group in groups)
    raise InputError(f"There is no method {name!r} among these runs.", f"Name one of: {known}.")
