"""The task, scripted rules and the training: fields that another field leaves without effect."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from society.answers.extract import Extractor
from society.components.facts import TaskFacts, listing
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow
from society.scenario.checks.effects.prompts import find_use
from society.scenario.members import agents_of
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.scenario.reading.tree import Steps
from society.tasks.base import Task


def check_task(flow: Flow) -> Iterator[Finding]:
    """Yield fields of the task, and of that of the training, that change nothing."""
    facts = TaskFacts(any("choices" in find_use(plan.role).variables for _, plan in flow.plans()))
    yield from _check_task(flow.scenario.task, ("task",), facts)
    if flow.scenario.train is not None and flow.scenario.train.task is not None:
        yield from _check_task(flow.scenario.train.task, ("train", "task"), TaskFacts(choices_shown=True))


def _check_task(task: Task, steps: Steps, facts: TaskFacts) -> Iterator[Finding]:
    if task.shuffle and task.generated:
        yield Finding((*steps, "shuffle"), "changes nothing: generated questions come in random order; leave it out")
    equal = task.format.equal
    if task.answer.tolerance is not None and equal in ("exact", "choice"):
        says = f"changes nothing: answers are compared as `{equal}`, not as numbers; set `equal: numeric`"
        yield Finding((*steps, "answer", "tolerance"), says)
    if task.answer.extract is not None:
        yield from _check_extract(task, task.answer.extract, (*steps, "answer", "extract"))
    for field, why in task.idle(facts).items():
        yield Finding((*steps, field), why)


def _check_extract(task: Task, extract: Sequence[Extractor], steps: Steps) -> Iterator[Finding]:
    for i, extractor in enumerate(extract):
        if extractor == "candidates" and not task.lists_answers:
            says = "finds nothing: the questions of this task have no list of possible answers; leave it out"
            yield Finding((*steps, i), says)
        if extractor in extract[:i]:
            yield Finding((*steps, i), "changes nothing: it is in the list before; leave it out")


def check_backends(flow: Flow) -> Iterator[Finding]:
    """Yield options of backends that change nothing."""
    for name, config in flow.scenario.backends.items():
        for path, why in config.idle().items():
            yield Finding(("backends", name, *path), why)


def check_training(flow: Flow) -> Iterator[Finding]:
    """Yield fields of `train:` that others leave without effect."""
    spec = flow.scenario.train
    if spec is None:
        return
    if spec.iterations == 1:
        for field in ("start", "evaluate"):
            if field in spec.model_fields_set:
                says = "changes nothing: there is one iteration; raise `iterations`, or leave it out"
                yield Finding(("train", field), says)
    for i, after in enumerate(spec.evaluate if isinstance(spec.evaluate, tuple) else ()):
        if after > spec.iterations:
            says = f"is never reached: there are {spec.iterations} iterations; raise `iterations`, or take it out"
            yield Finding(("train", "evaluate", i), says)
    if spec.task is not None and "questions" in spec.model_fields_set:
        says = "is not used: `train.task` says how many by its `limit`; leave it out"
        yield Finding(("train", "questions"), says)
    if spec.label == "gold":
        for field in ("quorum", "majority"):
            if field in spec.model_fields_set:
                says = "changes nothing: the label is the true answer; set `label: consensus`, or leave it out"
                yield Finding(("train", field), says)
    for name, learner in spec.learners.items():
        yield from _check_learner(flow, spec, learner, ("train", "learners", name))


def _check_learner(flow: Flow, spec: TrainSpec, learner: LearnerSpec, steps: Steps) -> Iterator[Finding]:
    spoken = {agent for phase in flow.phases if phase.plan.name in learner.phases for agent in phase.plan.speakers}
    for i, name in enumerate(learner.agents):
        members = agents_of([name], flow.society.members)
        if not members:
            yield Finding((*steps, "agents", i), f"there is no agent {name!r}; name one that the scenario has", "error")
        if silent := [agent for agent in members if agent not in spoken]:
            left = any(agent in spoken for agent in agents_of(learner.agents, flow.society.members))
            says = f"{listing(silent)} does not speak in {listing(learner.phases)}, so it learns nothing; take it out"
            yield Finding((*steps, "agents", i), says, "warning" if left else "error")
    if learner.adapter == "shared" and "data" in learner.model_fields_set:
        says = "changes nothing: an adapter that is shared learns from everyone; leave it out"
        yield Finding((*steps, "data"), says)
    if learner.select.compares_turns and not _may_correct(flow, learner):
        says = "finds nobody who corrected itself: these agents speak once; take `agrees`, or add a phase or a round"
        yield Finding((*steps, "select"), says)


def _may_correct(flow: Flow, learner: LearnerSpec) -> bool:
    """Return whether a turn that is learned may come after another turn of the same agent."""
    agents = agents_of(learner.agents, flow.society.members)
    for phase in flow.phases:
        if phase.plan.name in learner.phases:
            for agent in agents or phase.plan.speakers:
                if agent in phase.plan.speakers and (phase.spec.rounds > 1 or phase.before.get(agent)):
                    return True
    return False
