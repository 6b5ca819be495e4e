"""The questions of a scenario: the evaluation questions and, with `train:`, the training questions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from society.components.faults import faults_of
from society.core.errors import InputError, located
from society.core.plain import count
from society.core.types import Item
from society.scenario.checks.learned import check_learned
from society.scenario.expand import Society
from society.scenario.models.scenario import Scenario
from society.scenario.sequences import list_sequences, tell_times
from society.tasks.base import Slice, Task
from society.tasks.normal import normal_question
from society.tasks.row_errors import add_others

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Items:
    """Disjoint lists of evaluation and training questions. `training` is empty without `train:`."""

    evaluation: list[Item]
    training: list[Item]

    @property
    def every(self) -> list[Item]:
        """The evaluation questions, followed by the training questions."""
        return [*self.evaluation, *self.training]


Place = tuple[str | int, ...]
"""Keys and indices that lead to a part of a scenario."""
OnRemark = Callable[[Place, str, str], None]
"""Receives a remark about a part of a scenario: its place, its name and the remark."""


def log_remark(place: Place, name: str, remark: str) -> None:
    """Log a remark as a warning."""
    log.warning("%s: %s", name, remark)


def load_items(society: Society, on_remark: OnRemark = log_remark) -> Items:
    """Return the evaluation and the training questions of a scenario.

    No question is in both lists, compared by `normal_question`, and no id. If both come from one task, the training
    questions skip those of the evaluation. `on_remark` is called for a task with repeated questions, or without true
    answers where it names a field for them, and for controllers, metrics and memories that these questions leave
    without effect. Raises `InputError` if there are too few questions, if one lacks a field of `sequence` or `clock`,
    if `train.task` contains a question or an id of the evaluation, or if the label is the true answer and no training
    question has one. Raises it also for a prompt that shows a fact which agents do not learn of some question.
    """
    scenario = society.scenario
    evaluation = _load_all(scenario.task, ("task",), scenario.seed, on_remark)
    tell_times(scenario, evaluation, range(scenario.samples))
    for place, remark in (*_remarks(scenario, evaluation), *_remark_memories(society, evaluation)):
        on_remark(place, ".".join(map(str, place)), remark)
    _require_known(society, scenario.task, evaluation)
    if scenario.train is None:
        return Items(evaluation, [])
    source: Place = ("train", "task") if scenario.train.task is not None else ("train", "questions")
    if scenario.train.task is not None:
        training = _load_all(scenario.train.task, source, scenario.seed, on_remark)
    else:
        training = _follow(scenario.task, scenario.train.questions, evaluation, scenario.seed)
    tested = {normal_question(item.question) for item in evaluation}
    shared = [item.question for item in training if normal_question(item.question) in tested]
    if shared:
        raise InputError(
            f"{len(shared)} questions are in both the training and the evaluation set, such as {min(shared)!r:.100}.",
            scenario.task.disjoint
            or "Change `offset` or `limit`, or use another `train.task`: the two sets must be disjoint.",
            source,
        )
    _check_ids(scenario, evaluation, training)
    kinds = [str(getattr(rule, "kind", "")) for rule in scenario.train.labels if rule.needs_truth]
    if kinds and not any(map((scenario.train.task or scenario.task).scores, training)):
        raise InputError(
            f"`train.label` is {kinds[0]}, but none of the {len(training)} training questions has a true answer.",
            "Set `train.label: consensus`, or give the questions true answers.",
            ("train", "label"),
        )
    tell_times(scenario, training, range(scenario.samples))
    _require_known(society, scenario.train.task or scenario.task, training)
    return Items(evaluation, training)


def _require_known(society: Society, task: Task, items: Sequence[Item]) -> None:
    """Raise `InputError` if a prompt of memories takes a fact for known that agents do not learn of a question."""
    if society.rememberers:
        unscored = sum(not task.scores(item) for item in items)
        for role, _, problem, remedy in check_learned(society, unscored, len(items)):
            raise InputError(f"The role {role!r} {problem}.", f"{remedy[:1].upper()}{remedy[1:]}.", ("roles", role))


def _check_ids(scenario: Scenario, evaluation: Sequence[Item], training: Sequence[Item]) -> None:
    """Raise `InputError` if training and evaluation share an id, by which a run stores the turns of a question."""
    shared = {item.id for item in evaluation} & {item.id for item in training}
    if not shared:
        return
    raise InputError(
        f"The ids of {count(len(shared), 'question')} are in both the training and the evaluation set, such as "
        f"{min(shared)!r:.100}.",
        scenario.task.disjoint
        or "Set `id` of a task to a field with other values, rename a file, or set another "
        "`seed`: a run keeps turns by the id of their question.",
        ("train", "task"),
    )


def _remarks(scenario: Scenario, items: Sequence[Item]) -> Iterator[tuple[Place, str]]:
    """Yield a remark for each controller and metric that these questions leave without effect."""
    scored = sum(map(scenario.task.scores, items))
    for i, phase in enumerate(scenario.phases):
        for j, controller in enumerate(phase.controllers):
            with faults_of(controller, "remarks"):
                for remark in controller.remarks(len(items), scored):
                    yield ("phases", i, "controllers", j, *getattr(remark, "below", ())), remark
    for j, metric in enumerate(scenario.metrics or ()):
        with faults_of(metric, "remarks"):
            for remark in metric.remarks(len(items), scored, scenario.samples):
                yield ("metrics", j, *getattr(remark, "below", ())), remark


def _remark_memories(society: Society, items: Sequence[Item]) -> Iterator[tuple[Place, str]]:
    """Yield a remark for each use of memories that these questions leave without effect."""
    memories = [plan.memory for plan in society.rememberers]
    if not memories:
        return
    sequences = list_sequences(society.scenario, items, range(society.scenario.samples))
    longest = max(map(len, sequences))
    if longest == 1:
        remark = "nothing is remembered: no sequence has a second question; use more questions, or remove `memory`"
        yield ("memory",), remark
    often = {m.reflect.every for m in memories if m.reflect and m.reflect.every and not m.reflect.threshold}
    for every in sorted(every for every in often if 1 < longest <= every):
        remark = f"no prompt shows a reflection: a sequence has {longest} questions; lower `every: {every}`"
        yield ("memory", "reflect", "every"), remark
    if any(m.feedback in ("verdict", "gold") for m in memories) and not any(map(society.scenario.task.scores, items)):
        yield ("memory", "feedback"), "tells agents nothing: no question has a true answer; set `feedback: decision`"


def _load_all(task: Task, place: Place, seed: int, on_remark: OnRemark) -> list[Item]:
    """Return the questions of a task, and report the number of repeated ones."""
    with located(*place), faults_of(task, "questions"):
        found = _slice(task, seed)
    if found.repeated:
        verb = " is" if found.repeated == 1 else "s are"
        remark = f"{found.repeated:,} repeated question{verb} left out; each question is used once"
        on_remark((*place, *task.locate(found.again)), task.origin, remark)
    for remark in task.remarks(found.items):
        on_remark((*place, *getattr(remark, "below", ())), task.origin, remark)
    return found.items


def _slice(task: Task, seed: int) -> Slice:
    """Return the questions of a task. The error of a row names those of other rows, too."""
    try:
        return task.slice(seed)
    except InputError as error:
        flaws: list[InputError] = []
        with suppress(InputError):
            flaws += task.flaws(seed)
        if error.cause not in [flaw.cause for flaw in flaws]:
            raise
        raise add_others(error, flaws) from error


def _load(task: Task, seed: int) -> list[Item]:
    """Return the questions of a task. Raises `ComponentError` if the code of the task fails."""
    with faults_of(task, "questions"):
        return task.load(seed)


def _follow(task: Task, count: int, evaluation: list[Item], seed: int) -> list[Item]:
    """Return the next `count` questions of a task that do not equal a question of the evaluation."""
    tested = {normal_question(item.question) for item in evaluation}
    offset = task.offset + len(evaluation)
    limit = count
    while True:
        try:
            found = _load(task.model_copy(update={"offset": offset, "limit": limit}), seed)
        except InputError as error:
            cause = f"The training needs {count} questions after the {len(evaluation)} of the evaluation. {error.cause}"
            remedy = "Lower `train.questions` or `task.limit`, or give the training a `train.task` of its own."
            raise InputError(cause, remedy, ("train", "questions")) from error
        new = [item for item in found if normal_question(item.question) not in tested]
        if len(new) >= count:
            return new[:count]
        limit += count - len(new)
