"""Checks of a scenario's questions: the rows of its tasks, and whether choices answer them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from society.components.decisions.base import DecisionRule
from society.components.faults import faults_of
from society.core.errors import InputError, SocietyError
from society.core.plain import count
from society.core.types import Item
from society.planning.preflight.findings import Findings
from society.planning.preflight.machine import FETCH
from society.scenario.expand import Society
from society.scenario.questions import Items, load_items
from society.scenario.reading.tree import Steps, write_path
from society.tasks.base import Task
from society.tasks.row_errors import gather

MOST_ANSWERED = 100
"""Maximum number of questions of which some answer is looked for among the choices of a role."""
MOST_FLAWS = 20
"""Maximum number of errors that are listed for the rows of a task."""


@dataclass(frozen=True)
class QuestionChecks:
    """Checks of the questions."""

    society: Society
    findings: Findings

    def check(self) -> Items | None:
        """Return the questions of the scenario, or None if they cannot be loaded."""
        items = self._load_items()
        if items is not None:
            self._check_readable(items.evaluation)
            self._check_choices(items.evaluation)
        return items

    @property
    def _tasks(self) -> list[Task]:
        return list(self.society.scenario.tasks.values())

    def _load_items(self) -> Items | None:
        """Return the questions of the scenario, or None if they cannot be loaded."""

        def warn(steps: Steps, name: str, message: str) -> None:
            self.findings.add(steps, message, level="warning")

        def steps_of(task: Task) -> Steps:
            return ("task",) if task is self.society.scenario.task else ("train", "task")

        missing = [task for task in self._tasks if task.missing]
        for task in missing:
            if self.findings.offline:
                self.findings.add(steps_of(task), f"{task.origin} is not on this machine; {FETCH}")
            else:
                warn(steps_of(task), task.origin, task.missing)
        if missing:
            return None
        try:
            items, fault = load_items(self.society, warn), None
        except SocietyError as error:
            items, fault = None, error
        flaws = [(steps_of(task), flaw) for task in self._tasks for flaw in self._find_flaws(task)]
        for steps, flaw in flaws:
            self.findings.add_error(steps, flaw, warns=items is not None)
        if fault is not None and fault.cause not in [flaw.cause for _, flaw in flaws]:
            self.findings.add_error((), fault)
        return items

    def _check_readable(self, items: Sequence[Item]) -> None:
        """Check that each voter has a reply that can be read: a turn without `choices`, or a choice with an answer."""
        task, decision = self.society.scenario.task, self.society.scenario.decision
        if type(decision).read_answer is not DecisionRule.read_answer or getattr(decision, "kind", "") == "none":
            return
        some = items[:MOST_ANSWERED]
        known: dict[tuple[str, ...], bool] = {}
        for voter in self.society.voters:
            roles = {
                p.agents[voter].role_name: p.agents[voter].role for p in self.society.phases if voter in p.speakers
            }
            for role in roles.values():
                with suppress(SocietyError):
                    if role.choices not in known:
                        read = (task.parse(choice, item) for item in some for choice in role.choices)
                        known[role.choices] = not role.choices or any(answer is not None for answer in read)
            if roles and not any(known.get(role.choices, True) for role in roles.values()):
                why = "holds no answer that `task.answer.extract` finds, so no vote can be read"
                name = [*roles][-1]
                self.findings.add(("roles", name, "choices"), f"{why}; list others, or set `extract`", level="warning")
                return

    def _check_choices(self, items: Sequence[Item]) -> None:
        """Check that a reply of each role with `choices` is right for some question, if the role answers questions."""
        task = self.society.scenario.task
        scored = [item for item in items if item.gold][:MOST_ANSWERED]
        if task.answer.deferred or not scored:
            return
        plans = {
            plan.role_name: plan.role
            for phase in self.society.phases
            for plan in map(phase.agents.get, self.society.voters)
            if plan
        }
        for name, role in plans.items():
            with suppress(SocietyError):  # the code of a task that fails is reported elsewhere
                right = any(_is_right(task, choice, item) for item in scored for choice in role.choices)
                at = write_path(self.findings.root, ("roles", name, "choices"))
                if role.choices and not right and at not in [problem.path for problem in self.findings.problems]:
                    why = (
                        f"holds no right answer to any of {count(len(scored), 'question')}, such as {scored[0].gold!r}"
                    )
                    self.findings.add(
                        ("roles", name, "choices"), f"{why}; list the answers, or remove it", level="warning"
                    )

    def _find_flaws(self, task: Task) -> Iterator[SocietyError]:
        """Yield the errors of the rows of a task, at most `MOST_FLAWS` of them and the number of the others.

        Rows outside the slice that is used are read, too. Their errors are warnings.
        """
        try:
            with faults_of(task, "flaws"):
                flaws = gather(task.flaws(self.society.scenario.seed))
        except SocietyError:  # reported when the questions are loaded
            return
        yield from flaws[:MOST_FLAWS]
        if len(flaws) > MOST_FLAWS:
            cause = f"{task.origin}: rows have {len(flaws) - MOST_FLAWS:,} more errors."
            yield InputError(cause, below=task.locate(None))


def _is_right(task: Task, reply: str, item: Item) -> bool:
    answer = task.parse(reply, item)
    return answer is not None and task.correct(answer, item)
