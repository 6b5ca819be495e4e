"""Checks of the task, backends and training: fields without effect because of another field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backends.price import FREE
from society.answers.extract import Extractor
from society.components.facts import LabelFacts, TaskFacts, listing
from society.components.faults import faults_of
from society.components.labels.base import LabelRule
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow, least_of
from society.scenario.checks.effects.objectives import check_objective
from society.scenario.checks.effects.prompts import find_use
from society.scenario.checks.effects.rules import explain
from society.scenario.members import agents_of
from society.scenario.models.training import OF_LABELS, WITHOUT_START, GuardSpec, LearnerSpec, TrainSpec
from society.scenario.reading.tree import Steps
from society.scoring.base import AnswerRule
from society.tasks.base import Task


def check_task(flow: Flow) -> Iterator[Finding]:
    """Yield fields without effect in the task of the scenario and in that of the training."""
    facts = TaskFacts(any("choices" in find_use(plan.role).variables for _, plan in flow.plans()))
    yield from _check_task(flow.scenario.task, ("task",), facts)
    yield from _check_verdicts(flow)
    if flow.scenario.train is not None and flow.scenario.train.task is not None:
        yield from _check_task(flow.scenario.train.task, ("train", "task"), TaskFacts(choices_shown=True))


def _check_task(task: Task, steps: Steps, facts: TaskFacts) -> Iterator[Finding]:
    if task.seed is not None and not task.uses_seed:
        yield Finding(
            (*steps, "seed"), "has no effect: the questions are in a fixed order; remove it, or set `shuffle`"
        )
    if task.shuffle and task.generated:
        yield Finding((*steps, "shuffle"), "has no effect: generated questions are already in random order; remove it")
    equal = task.format.equal
    if task.answer.tolerance is not None and equal in ("exact", "words", "choice"):
        message = f"has no effect: answers are compared as `{equal}`, not as numbers; set `equal: numeric`"
        yield Finding((*steps, "answer", "tolerance"), message)
    if task.answer.decimal is not None and equal != "numeric":
        message = f"has no effect: answers are compared as `{equal}`, not as numbers; set `equal: numeric`"
        yield Finding((*steps, "answer", "decimal"), message)
    if task.answer.extract is not None:
        yield from _check_extract(task, task.answer.extract, (*steps, "answer", "extract"))
    for field, why in task.answer.idle().items():
        yield Finding((*steps, "answer", field), why)
    for field, why in task.idle(facts).items():
        yield Finding((*steps, field), why)


def _check_verdicts(flow: Flow) -> Iterator[Finding]:
    """Yield the `choices` of judges of which none is a verdict: no answer could be right."""
    for task in flow.scenario.tasks.values():
        judges = agents_of(task.answer.helpers(), flow.society.members)
        roles = {plan.role_name: plan.role for _, plan in flow.plans() if plan.name in judges}
        for name, role in roles.items() if type(task.answer).read is not AnswerRule.read else ():
            if role.choices and not any(map(task.answer.read, role.choices)):
                words = " and ".join(word.upper() for word in task.answer.verdicts)
                message = "holds no verdict that `task.answer` reads, so no answer is right"
                yield Finding(("roles", name, "choices"), f"{message}; list {words or 'some'}, or remove it", "error")


def _check_extract(task: Task, extract: Sequence[Extractor], steps: Steps) -> Iterator[Finding]:
    for i, extractor in enumerate(extract):
        if extractor == "candidates" and not task.lists_answers:
            message = "finds nothing: the questions of this task have no list of possible answers; remove it"
            yield Finding((*steps, i), message)
        if extractor in extract[:i]:
            yield Finding((*steps, i), "has no effect: the list contains it already; remove it")


def check_limits(flow: Flow) -> Iterator[Finding]:
    """Yield a limit of dollars where every model is free, and one of tokens that a debate exceeds."""
    limit, last = flow.scenario.limits.tokens, flow.phases[-1]
    least = last.least + least_of(last)
    if limit is not None and limit < least:
        message = f"ends the run in its first debate: the debate has at least {least} turns; raise it"
        yield Finding(("limits", "tokens"), message)
    used = {plan.backend for _, plan in flow.plans()}
    prices = [flow.scenario.backends[name].find_price() for name in used]
    if flow.scenario.limits.dollars is not None and all(price == FREE for price in prices):
        message = "has no effect: every model is free; set the `price` of a backend, or remove it"
        yield Finding(("limits", "dollars"), message)


def check_backends(flow: Flow) -> Iterator[Finding]:
    """Yield options of backends without effect, and contexts without room for a prompt."""
    for name, config in flow.scenario.backends.items():
        for path, why in config.idle().items():
            yield Finding(("backends", name, *path), why)
        longest = max((plan.sampling.max_tokens for _, plan in flow.plans() if plan.backend == name), default=0)
        if config.stated_context is not None and config.stated_context <= longest:
            message = (
                f"leaves no token for a prompt: `max_tokens` is {longest} and counts, too; raise it, or lower that"
            )
            yield Finding(("backends", name, "context"), message)


def check_training(flow: Flow) -> Iterator[Finding]:
    """Yield fields of `train:` without effect because of other fields."""
    spec = flow.scenario.train
    if spec is None:
        return
    if spec.iterations == 1:
        for field in ("start", "evaluate"):
            if field in spec.model_fields_set:
                message = "has no effect: there is one iteration; raise `iterations`, or remove it"
                yield Finding(("train", field), message)
    if spec.guard is not None:
        yield from _check_guard(flow, spec, spec.guard)
    for i, after in enumerate(spec.evaluate if isinstance(spec.evaluate, tuple) else ()):
        if after > spec.iterations:
            message = f"is never reached: there are {spec.iterations} iterations; raise `iterations`, or remove it"
            yield Finding(("train", "evaluate", i), message)
    if isinstance(spec.evaluate, int) and spec.evaluate > spec.iterations > 1:
        message = (
            f"has no effect: there are {spec.iterations} iterations, and the first and the last are evaluated anyway"
        )
        yield Finding(("train", "evaluate"), f"{message}; lower it, or remove it")
    if spec.task is not None and "questions" in spec.model_fields_set:
        message = "is not used: the `limit` of `train.task` determines the number; remove it"
        yield Finding(("train", "questions"), message)
    yield from _check_labels(flow, spec)
    for name, learner in spec.learners.items():
        yield from _check_learner(flow, spec, learner, ("train", "learners", name))


def _check_guard(flow: Flow, spec: TrainSpec, guard: GuardSpec) -> Iterator[Finding]:
    """Yield a guard that cannot act, and one that sees the truth."""
    if spec.iterations <= guard.patience + (guard.signal in WITHOUT_START):
        message = f"cannot act within {spec.iterations} iterations; raise `iterations`, or lower `patience`"
        yield Finding(("train", "guard", "patience"), message)
    if guard.signal == "corrected" and not _speak_twice(flow):
        message = "changes nothing: every voter speaks once, so nothing is corrected; set `signal: agreement`"
        yield Finding(("train", "guard", "signal"), message)
    if guard.signal in OF_LABELS and spec.label.needs_truth:
        message = (
            "measures the truth: the label of the training is the true answer; set `train.label: consensus` and that "
            "label in the learners, or `signal: margin`"
        )
        yield Finding(("train", "guard", "signal"), message)


def _check_labels(flow: Flow, spec: TrainSpec) -> Iterator[Finding]:
    """Yield fields of labels that change nothing."""
    if all(rule.needs_truth for rule in (*spec.labels, spec.label)):
        for field in ("quorum", "majority"):
            if field in spec.model_fields_set:
                message = "has no effect: the label is the true answer; set `label: consensus`, or remove it"
                yield Finding(("train", field), message)
    owned = {name: learner.label for name, learner in spec.learners.items() if learner.label is not None}
    turns = {name: flow.spoken(name) for name in flow.society.voters}
    task = spec.task or flow.scenario.task
    calls = any(plan.role.tools and plan.name in turns for _, plan in flow.plans())
    facts = LabelFacts({n: count for n, count in turns.items() if count}, spec.iterations, task.answer.deferred, calls)
    used: dict[Steps, LabelRule] = {("train", "learners", name, "label"): rule for name, rule in owned.items()}
    if len(owned) < len(spec.learners) or "label" in spec.model_fields_set:  # the guard and the report read it, too
        used["train", "label"] = spec.label
    for steps, rule in used.items():
        with faults_of(rule, "idle"):
            reasons = rule.idle(facts)
        yield from explain(steps, rule, reasons)


def _check_learner(flow: Flow, spec: TrainSpec, learner: LearnerSpec, steps: Steps) -> Iterator[Finding]:
    spoken = {agent for phase in flow.phases if phase.plan.name in learner.phases for agent in phase.plan.speakers}
    for i, name in enumerate(learner.agents):
        members = agents_of([name], flow.society.members)
        if not members:
            yield Finding((*steps, "agents", i), f"there is no agent {name!r}; use an agent of the scenario", "error")
        if silent := [agent for agent in members if agent not in spoken]:
            left = any(agent in spoken for agent in agents_of(learner.agents, flow.society.members))
            message = f"{listing(silent)} does not speak in {listing(learner.phases)}, so it is not trained; remove it"
            yield Finding((*steps, "agents", i), message, "warning" if left else "error")
    if learner.adapter == "shared" and "data" in learner.model_fields_set:
        message = "has no effect: a shared adapter is trained on the turns of all agents; remove it"
        yield Finding((*steps, "data"), message)
    if any(selector.compares_turns for selector in learner.selectors) and not _may_correct(flow, learner):
        message = "selects no corrections: these agents speak once; set `select: agrees`, or add a phase or a round"
        yield Finding((*steps, "select"), message)
    elif any(selector.compares_turns for selector in learner.selectors) and _takes_first_answers(flow, learner):
        message = "takes first answers as rows that stayed right; set `turn: last`, or leave out their phase"
        yield Finding((*steps, "turn"), message)
    if spec.label_of(learner).needs_truth:
        for j, selector in enumerate(learner.selectors):
            if selector.reads_votes:
                at = (*steps, "select", j) if isinstance(learner.select, tuple) else (*steps, "select")
                yield Finding(at, "has no effect: a true answer has no votes; remove it, or set another `label`")
    if learner.adapter == "agent" and learner.data == "everyone" and len(spoken) == 1:
        yield Finding((*steps, "data"), "has no effect: one agent speaks in these phases; remove it")
    yield from check_objective(flow, spec, learner, steps)
    if learner.accumulate and spec.iterations == 1:
        message = "has no effect: there is one iteration; raise `iterations`, or remove it"
        yield Finding((*steps, "accumulate"), message)


def _takes_first_answers(flow: Flow, learner: LearnerSpec) -> bool:
    """Return whether the first answer of an agent in the debate is a training row beside its later ones."""
    agents = agents_of(learner.agents, flow.society.members)
    own = [phase for phase in flow.phases if phase.plan.name in learner.phases]
    return learner.turn == "every" and any(
        agent in phase.speaking and not phase.spoke.get(agent) for phase in own for agent in agents or phase.speaking
    )


def _speak_twice(flow: Flow) -> bool:
    return any(flow.spoken(name) > 1 for name in flow.society.voters)


def _may_correct(flow: Flow, learner: LearnerSpec) -> bool:
    """Return whether a turn may be a training row and follow an earlier turn of the same agent."""
    agents = agents_of(learner.agents, flow.society.members)
    own = [phase for phase in flow.phases if phase.plan.name in learner.phases]
    seen: set[str] = set()
    for phase in own:
        for agent in phase.speaking.intersection(agents or phase.speaking):
            again = phase.plan.rounds > 1 and learner.turn != "first"
            if again or (phase.before.get(agent) and not (learner.turn == "first" and agent in seen)):
                return True
        seen |= phase.speaking
    return False
