"""The training of a run in progress: its debates, adapters and examples, and how far the training is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from society.metrics.iterations import IterationScore, score_iterations
from society.runs.records import DebateRecord
from society.scenario.expand import Society
from society.store import Store
from society.store.rows import AdapterRow, ExampleRow, ResultRow
from society.training.learners import learners

Debate = tuple[int, str, int]
"""A debate's iteration, item and sample."""


@dataclass
class TrainingProgress:
    """The known part of a run's training."""

    society: Society
    results: dict[Debate, ResultRow] = field(default_factory=dict)
    adapters: list[AdapterRow] = field(default_factory=list)
    examples: list[ExampleRow] = field(default_factory=list)

    def add(self, result: ResultRow) -> bool:
        """Add the result of a training debate. Return whether the result is new."""
        debate = (result.iteration, result.item, result.sample)
        known = self.results.get(debate) == result
        self.results[debate] = result
        return not known

    def read(self, store: Store) -> bool:
        """Read adapters and examples of the store. Return whether they changed."""
        adapters = store.adapters()
        if adapters == self.adapters:
            return False
        self.adapters, self.examples = adapters, store.examples()
        return True

    def score(
        self, evaluated: Sequence[DebateRecord], record: Callable[[Debate, ResultRow], DebateRecord]
    ) -> list[IterationScore]:
        """Return the scores of the iterations so far. `record` builds the record of a training debate."""
        debated = [record(debate, result) for debate, result in sorted(self.results.items())]
        return score_iterations(self.society, evaluated, debated, self.adapters, self.examples)

    def describe(self, iteration: int) -> str:
        """Return the progress of the training. `iteration` is the latest with a finished evaluation debate."""
        spec = self.society.scenario.train
        assert spec is not None  # runs without training have no progress of it
        reached = max([iteration, *(debate[0] for debate in self.results)])
        if reached >= spec.iterations:
            return f"iteration {reached:,} of {spec.iterations:,}"
        debated = sum(debate[0] == reached for debate in self.results)
        asked = spec.questions * (self.society.scenario.samples + spec.draws(reached))
        trained = sum(row.iteration == reached for row in self.adapters)
        finetunings = f"{trained:,} of {len(learners(self.society, spec)):,} finetunings"
        return f"iteration {reached:,} of {spec.iterations:,}, {debated:,} of {asked:,} training debates, {finetunings}"
