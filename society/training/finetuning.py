"""A finetuning: its rows, its start, and a hash of all that shapes the adapter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cached_property
from statistics import fmean
from typing import Any

from backends.objectives import Sft
from society.core.definition import is_tuning
from society.core.identity import fingerprint
from society.core.types import Adapter, Example, TemplateArgs, Thinking, TurnId
from society.scenario.expand import Society
from society.scenario.models.training import TrainSpec
from society.store.rows import ExampleRow
from society.training.learners import Learner
from society.training.selection import TrainingSet, find_prompts


@dataclass(frozen=True)
class Finetuning:
    """One finetuning of one learner."""

    iteration: int
    learner: Learner
    chosen: TrainingSet
    seed: int
    start: Adapter | None
    """The adapter to start from; None for the base."""
    model: str
    """Hash of the base."""
    spec: TrainSpec
    code: str = ""
    """A hash of the code of plugins that train: objective and backend; "" for built-in ones."""

    @property
    def place(self) -> tuple[int, str, str]:
        """Iteration, learner and agent: the key of the result in the store."""
        return self.iteration, self.learner.name, self.learner.agent

    @property
    def sources(self) -> list[ExampleRow]:
        """The turns that the rows come from, in training order."""
        return [
            ExampleRow(*self.place, number, example.source, example.rule, example.weight, example.part, example.desired)
            for number, example in enumerate(self.chosen.examples)
        ]

    @cached_property
    def trained_on(self) -> str:
        """A hash of everything that shapes the adapter, without options that only tune speed."""
        rows = [_identify(example) for example in self.chosen.examples]
        start = self.start.hash if self.start else None
        settings = self.spec.settings
        tuning = {name for name, info in type(settings).model_fields.items() if is_tuning(info.json_schema_extra)}
        # Defaults are left out, so a new option does not change the hash.
        options = settings.model_dump(mode="json", exclude_defaults=True, exclude=tuning)
        objective = self.learner.spec.objective
        more = [objective.model_dump(mode="json", exclude_defaults=True)] if objective != Sft() else []
        code = [["code", self.code]] if self.code else []
        return fingerprint([rows, options, self.seed, self.model, start, *more, *code])


def mark_omitted(rows: Sequence[ExampleRow], omitted: Mapping[int, str]) -> list[ExampleRow]:
    """Return the rows with the reasons of those that the trainer omitted, by number.

    The weights of the others then have the mean 1.
    """
    if not omitted:
        return [*rows]
    kept = [row.weight for row in rows if row.number not in omitted]
    scale = fmean(kept) if kept else 1.0
    return [
        replace(row, left_out=omitted[row.number]) if row.number in omitted else replace(row, weight=row.weight / scale)
        for row in rows
    ]


def prompt_options(society: Society, turn: TurnId) -> tuple[Thinking, TemplateArgs]:
    """Return what shaped the prompt of a turn beside its messages."""
    plan = society.plans[turn.phase, turn.agent]
    return plan.thinking, plan.template_args


def complete_examples(
    society: Society, models: Mapping[str, str], backend: str, examples: Sequence[Example], paired: bool = False
) -> list[Example]:
    """Return the examples with what the scenario says on thinking, and with token ids only of this backend's model.

    Token ids of another model have another meaning. `models`: hash of each backend's model. If the examples are
    `paired`, an undesired reply follows the prompt of the desired one before it, with that prompt's thinking. It has no
    token ids if its own prompt had other thinking: drawn tokens begin where a prompt ends, such as within a thought.
    """
    spec = society.scenario.train
    learn = spec is None or spec.learn_thoughts

    def complete(example: Example, prompt: TurnId) -> Example:
        plan, options = society.plans[example.source.phase, example.source.agent], prompt_options(society, prompt)
        if models.get(plan.backend) != models.get(backend) or options != (plan.thinking, plan.template_args):
            example = replace(example, tokens=None, thought_tokens=0)
        return replace(example, thinking=options[0], template_args=options[1], learn_thought=learn)

    return [*map(complete, examples, find_prompts(examples, paired))]


def _identify(example: Example) -> list[Any]:
    """Return what an example teaches, as JSON data. Defaults are left out, so earlier hashes remain valid."""
    found: list[Any] = [[(m.role, m.content) for m in example.messages], example.tokens, example.finish_reason]
    if example.thought:
        found.append([example.thought, example.thought_tokens, example.learn_thought])
    if example.weight != 1:
        found.append(["weight", example.weight])
    if not example.desired:
        found.append("undesired")
    if example.thinking != Thinking() or example.template_args:
        found.append([astuple(example.thinking), example.template_args])
    return found
