"""The runs of a comparison: their names, their latest debates, their numbers of debates, their common questions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from society.core.errors import InputError
from society.core.plain import count
from society.runs.files import read_json
from society.runs.records import (
    DebateRecord,
    Question,
    by_iteration,
    load_records,
)
from society.runs.run import Run


def open_run(run: Run | Path | str) -> Run:
    """Return a run, which may be given by its folder."""
    return run if isinstance(run, Run) else Run(Path(run))


def latest(run: Run) -> list[DebateRecord]:
    """Return the debates of the run's last iteration. Raises `InputError` if it has none yet."""
    iterations = by_iteration(load_records(run))
    if not iterations:
        raise InputError(
            f"{run.folder} has no finished debate yet.",
            "Finish it with --resume (in Python: resume=True), then compare.",
        )
    return iterations[max(iterations)]


def name_runs(runs: Sequence[Run]) -> list[str]:
    """Return a short unique name for each run: the name of its folder, or more of its path."""
    paths = [run.folder.resolve().parts for run in runs]
    if len(set(paths)) < len(paths):
        raise InputError("The same run was given twice.", "Name each run once.")
    depth = next(d for d in range(1, max(map(len, paths)) + 1) if len({path[-d:] for path in paths}) == len(paths))
    return ["/".join(path[-depth:]) for path in paths]


def has_other_models(meta: Mapping[str, str], than: Mapping[str, str]) -> bool:
    """Return whether a run has models that another has not, by the metadata of both. Unknown models are others."""
    models = set(read_json(meta, "models").values())
    return not models or not models <= set(read_json(than, "models").values())


def count_expected(run: Run) -> int | None:
    """Return the planned number of debates of an iteration, or None if the run does not store it. No task is opened."""
    scenario, questions = run.scenario, run.questions()
    count = scenario.task.limit if questions is None else len(questions)  # a task gives `limit` questions, or fails
    return None if count is None else count * scenario.samples


def describe_unfinished(run: Run, reached: int, debates: int) -> str:
    """Return the part of a run that is finished, such as "6 of 40 debates"; "" if all is.

    `reached` is the last evaluated iteration, in which `debates` have ended.
    """
    scenario, expected = run.scenario, count_expected(run)
    wanted = scenario.train.iterations if scenario.train is not None else 0
    if reached >= wanted and (expected is None or debates >= expected):
        return ""
    done = f"{debates:,} of {count(expected, 'debate')}" if expected is not None else count(debates, "debate")
    return f"{done} of iteration {reached} of {wanted}" if wanted else done


def require_common_questions(questions: Mapping[str, Collection[Question]]) -> None:
    """Raise `InputError` if two of these runs have no question in common. `questions` has those of each run by name."""
    for (first, ours), (second, theirs) in combinations(questions.items(), 2):
        if not any(question in theirs for question in ours):
            raise InputError(
                f"{first} and {second} have no question in common, so they cannot be compared.",
                "Name only runs with the same task, limit, offset and seed, and look at the others on their own.",
            )
