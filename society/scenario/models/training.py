"""The `train:` block of a scenario: iterations, training questions, labels and learners."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from backends.objectives import Objective, Sft
from backends.training import Parallel, TrainSettings
from society.components.labels.base import LabelRule
from society.components.labels.votes import ConsensusLabel
from society.components.registry import Registered
from society.components.selectors import Agrees, Selector
from society.core.component import Component
from society.core.errors import FieldError
from society.tasks.base import Task

AnySelector = Annotated[Selector, Registered("selector")]
AnyObjective = Annotated[Objective, Registered("objective")]
AnyLabel = Annotated[LabelRule, Registered("label")]


class LearnerSpec(Component):
    """A set of adapters: the turns that train them, and the phases in which they are used."""

    phases: tuple[str, ...] = Field(min_length=1)
    """Phases whose turns are training data. The trained adapters are used in the same phases."""
    agents: tuple[str, ...] = ()
    """Agents or groups that are trained. By default all speakers of these phases."""
    turn: Literal["first", "last", "every"] = "last"
    """Turns of an agent that are considered in these phases: the first, the last, or every turn."""
    label: AnyLabel | None = None
    """Label that this learner's rows are compared with. By default the `label` of the training."""
    select: AnySelector | Annotated[tuple[AnySelector, ...], Field(min_length=1)] = Agrees()
    """Selector that decides which turns become training rows. Of a list, each selects among the rows that those before
    it left, and their weights are multiplied."""
    objective: AnyObjective = Sft()
    """Objective of the finetuning: the likelihood of the selected replies, or preference of them to other answers."""
    data: Literal["own", "everyone"] = "own"
    """Source of an agent's rows: its own turns, or the turns of all agents of this learner."""
    adapter: Literal["agent", "shared"] = "agent"
    """Number of adapters: one per agent, or one that all agents share. A shared adapter trains on the rows of all."""
    rows: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] | None = None
    """Maximum number of rows per source agent and iteration. A value below 1 is a share of the training debates. If
    there are more rows, a random sample is used. Each reply of a turn with calls of tools is a row; a turn is taken
    with all its replies or not at all."""
    tokens: int | None = Field(None, ge=1)
    """Number of tokens per source agent and iteration, prompts and replies included. Rows are drawn at random until
    their total is as close to it as possible."""
    repeat: bool = False
    """Repeat rows until a source agent reaches `rows` or `tokens`, so that two arms with the same limits are equal in
    compute. A source agent without rows contributes none."""

    def most_rows(self, debates: int) -> int | None:
        """Return the maximum number of rows of a source agent in an iteration of this many training debates."""
        return max(1, round(self.rows * debates)) if isinstance(self.rows, float) else self.rows

    accumulate: bool = False
    """Select among the rows of all iterations so far, within the limit of one iteration."""

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """The selectors in order."""
        return self.select if isinstance(self.select, tuple) else (self.select,)

    @model_validator(mode="after")
    def _check_limit(self) -> LearnerSpec:
        for field in ("repeat", "accumulate"):
            if getattr(self, field) and self.rows is None and self.tokens is None:
                raise FieldError(f"`{field}` needs `rows` or `tokens` as its limit", field)
        return self


OF_LABELS = frozenset({"agreement", "corrected"})
"""Signals of a guard that compare answers with the label."""
WITHOUT_START = frozenset({"base"})
"""Signals of a guard that compare with iteration 0, and so have no value there."""


class GuardSpec(Component):
    """A watch on an estimate that needs no true answers. If it turns for the worse, the training ends.

    The estimate is that of the training debates, before each finetuning. It is compared with its best iteration,
    question by question.
    """

    signal: Literal["agreement", "corrected", "margin", "base"] = "agreement"
    """Estimate to watch. `agreement`: share of first answers that are the label. `corrected`: share of last answers
    that are the label after another readable first answer (lower is better). `margin`: lead of the most frequent last
    answer. `base`: share of questions on which the vote of all turns is that of iteration 0. It is compared from
    iteration 1 on, and a tie counts as another vote."""
    errors: float = Field(3.0, ge=0, le=100)
    """Number of standard errors by which an iteration must be worse than the best one before it."""
    patience: int = Field(2, ge=1, le=1000)
    """Number of such iterations in a row that end the training."""
    then: Literal["best", "stop", "report"] = "best"
    """Reaction. `best`: the training ends, and the agents get the weights of the best iteration (with `signal: base`
    of iteration 1 or later). `stop`: it ends, and they keep those of now. `report`: it goes on. After the end, the
    society is evaluated as that of the last iteration."""


class TrainSpec(Component):
    """Finetuning in iterations. Each iteration debates, selects training rows, and finetunes."""

    iterations: int = Field(1, ge=1, le=1000, json_schema_extra={"tuning": True})
    """Number of iterations. A finished run can be resumed with more."""
    evaluate: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=0)], ...] = Field(
        1, json_schema_extra={"tuning": True}
    )
    """Evaluate every N iterations, or after the listed ones. The society is always evaluated before the first
    iteration and after the last one."""
    questions: int = Field(500, ge=1)
    """Number of training questions per iteration. They follow the evaluation questions in the order of the task, so
    the two sets are disjoint."""
    task: Annotated[Task, Registered("task")] | None = None
    """Source of the training questions. By default the task of the scenario."""
    label: AnyLabel = ConsensusLabel()
    """Label of a debate, which rows are compared with, unless a learner has its own. The guard and the report's
    estimates use it, too. `consensus`: the decision of the society (a tie is no label)."""
    quorum: int = Field(2, ge=1)
    """Minimum number of votes for a label (`consensus`: for the decision). With 2 or more, the votes must be of two
    voters at least. An agent's turns in a debate are those of one voter; each additional answer is one more."""
    majority: float = Field(0.5, ge=0, lt=1)
    """A label needs more than this share of the votes (`consensus`: of the voters that replied). Votes without a
    readable answer are counted."""
    start: Literal["previous", "base"] = "previous"
    """Initial weights of each finetuning: those of the previous iteration, or the base model. The first iteration
    starts from the agent's `adapter`, if it has one, or from the base model."""
    guard: GuardSpec | None = None
    """End the training when an estimate without true answers turns for the worse. The report shows all estimates."""
    learn_thoughts: bool = True
    """Whether the thought of a reply is learned with its text. Otherwise the loss is on the text alone, which follows
    the thought as it was drawn."""
    on_empty: Literal["keep", "stop"] = "keep"
    """Behavior for an agent without training rows: keep its weights, or stop the run."""
    learners: dict[str, LearnerSpec] = Field(min_length=1)
    """Learners by name. Each is a set of adapters with its own training data."""
    settings: TrainSettings = TrainSettings()
    """Hyperparameters of each finetuning."""
    parallel: Parallel | None = Field(None, json_schema_extra={"tuning": True})
    """Shard each finetuning over several processes with one GPU each, for models too large for one GPU."""

    def label_of(self, learner: LearnerSpec) -> LabelRule:
        """Return the label of a learner's rows."""
        return learner.label or self.label

    @property
    def labels(self) -> tuple[LabelRule, ...]:
        """Every label rule that a learner uses."""
        return tuple(self.label_of(learner) for learner in self.learners.values())

    def draws(self, iteration: int) -> int:
        """Return the number of additional debates of a training question, in which agents answer alone for labels."""
        return max(rule.draws(iteration) for rule in (*self.labels, self.label))

    def evaluates(self, iteration: int) -> bool:
        """Return whether the society is evaluated after this iteration. 0 is before the first iteration."""
        if iteration in (0, self.iterations):
            return True
        return iteration % self.evaluate == 0 if isinstance(self.evaluate, int) else iteration in self.evaluate
