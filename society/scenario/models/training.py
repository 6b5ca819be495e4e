"""The `train:` block of a scenario: how many iterations, on which questions, who learns what."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from backends.training import Parallel, TrainSettings
from society.components.registry import Registered
from society.components.selectors import Agrees, Selector
from society.core.component import Component
from society.tasks.base import Task

AnySelector = Annotated[Selector, Registered("selector")]


class LearnerSpec(Component):
    """A set of adapters: what is learned from, and in which phases it then speaks."""

    phases: tuple[str, ...] = Field(min_length=1)
    """The phases whose turns are learned, and in which the agents speak with what they learned."""
    agents: tuple[str, ...] = ()
    """Agents or groups that learn; by default all that speak in these phases."""
    turn: Literal["first", "last", "every"] = "last"
    """Which of an agent's turns in these phases."""
    select: AnySelector = Agrees()
    """The rule that takes turns into the training set."""
    data: Literal["own", "everyone"] = "own"
    """Whether an agent learns from its own turns, or from those of all learning agents."""
    adapter: Literal["agent", "shared"] = "agent"
    """Whether each agent has an adapter, or all share one (its data is then everyone's)."""
    rows: Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, lt=1)] | None = None
    """Maximum number of rows that each source agent gives in an iteration: a number from 1, or below 1 a share of the
    training debates. Of more rows, a random part is taken."""
    tokens: int | None = Field(None, ge=1)
    """Tokens, prompts and replies, that the rows of each source agent may have in an iteration. Rows are drawn at
    random until their total is as near to it as it can be."""
    repeat: bool = False
    """Repeat rows where a source agent has fewer than `rows` or `tokens` allow, so that two arms with the same limits
    are equal in compute. An agent without any row still gives none."""

    def most_rows(self, debates: int) -> int | None:
        """Return the maximum number of rows of a source agent in an iteration of this many training debates."""
        return max(1, round(self.rows * debates)) if isinstance(self.rows, float) else self.rows

    @model_validator(mode="after")
    def _check_repeat(self) -> LearnerSpec:
        if self.repeat and self.rows is None and self.tokens is None:
            raise ValueError("repeat needs `rows` or `tokens`: how far rows are repeated")
        return self


class TrainSpec(Component):
    """Debate, select, finetune; and again."""

    iterations: int = Field(1, ge=1, le=1000, json_schema_extra={"tuning": True})
    """How often the society is finetuned. A run that has ended can be resumed for more."""
    evaluate: Annotated[int, Field(ge=1)] | tuple[Annotated[int, Field(ge=0)], ...] = Field(
        1, json_schema_extra={"tuning": True}
    )
    """After which iterations the evaluation's questions are debated: a number for every so many, or a list of them.
    Before the first and after the last they always are."""
    questions: int = Field(500, ge=1)
    """How many questions to debate for training data in each iteration. They follow those of the evaluation in the
    task's order, so no question is in both."""
    task: Annotated[Task, Registered("task")] | None = None
    """Where the training questions come from, if not from the scenario's task."""
    label: Literal["consensus", "gold"] = "consensus"
    """What counts as right: the society's own decision (a tie is no label), or the true answer."""
    quorum: int = Field(2, ge=1)
    """Smallest number of voters that must agree on an answer for it to be a label (`label: consensus`)."""
    majority: float = Field(0.5, ge=0, lt=1)
    """A label needs more than this share of the voters that gave any reply. One without a readable answer counts."""
    start: Literal["previous", "base"] = "previous"
    """Whether an iteration goes on from the last one's weights or trains anew from the base."""
    on_empty: Literal["keep", "stop"] = "keep"
    """An agent with nothing to learn from keeps its weights, or the run stops."""
    learners: dict[str, LearnerSpec] = Field(min_length=1)
    settings: TrainSettings = TrainSettings()
    parallel: Parallel | None = Field(None, json_schema_extra={"tuning": True})
    """Spread each finetuning over several processes, a GPU each, for weights that one GPU cannot train."""

    def evaluates(self, iteration: int) -> bool:
        """Whether the society is evaluated after so many iterations; 0: before the first."""
        if iteration in (0, self.iterations):
            return True
        return iteration % self.evaluate == 0 if isinstance(self.evaluate, int) else iteration in self.evaluate
