"""The loss of a batch of rows: cross-entropy of learned tokens, or an objective over whole replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from backends.hf.batches import NOTHING
from backends.hf.examples import Rows
from backends.hf.loss import Loss, collate
from backends.objectives import Objective, Preferences

Row = tuple[list[int], int]
Reference = tuple[list[float], list[float]]
"""Log-probabilities of rows at the start of a training, and those of replies to other questions."""


class Likelihood:
    """Cross-entropy of the learned tokens. A unit is a row, and the mean is over tokens."""

    reference: Reference = ([], [])

    def __init__(self, loss: Loss, rows: Rows, fit_attention: Callable[[int], None]) -> None:
        self.loss, self.rows, self.fit_attention = loss, rows, fit_attention
        self.units: list[list[int]] = [[i] for i in range(len(rows.rows))]
        """Indices of the rows of each unit: what a batch is made of."""
        self.lengths = [len(ids) for ids, _ in rows.rows]
        """Number of tokens of each unit."""

    def size(self, units: Sequence[int]) -> int:
        """Return the number of terms of the mean."""
        return sum(len(ids) - start for ids, start in (self.rows.rows[i] for i in units))

    def __call__(self, units: Sequence[int], scale: float) -> torch.Tensor:
        """Return `scale` times the sum over these units, a float32 scalar on the device."""
        weights = [self.rows.weights[i] for i in units] if self.rows.weights else []
        batch = collate([self.rows.rows[i] for i in units] or [NOTHING], self.loss.device, weights)
        self.fit_attention(batch.ids.shape[1])
        return self.loss(batch, scale)


class Preference:
    """An objective over replies. A unit is a pair or a row, and the mean is over units.

    The reference is the model at the start. Its log-probabilities are computed once, before the first step.
    """

    def __init__(
        self,
        loss: Loss,
        rows: Rows,
        fit_attention: Callable[[int], None],
        objective: Objective,
        batch: int,
        reference: Reference | None = None,
    ) -> None:
        """Compute the reference, unless that of an interrupted training is given."""
        self.loss, self.rows, self.fit_attention, self.objective = loss, rows, fit_attention, objective
        width = 2 if objective.contrast == "pair" else 1
        self.units = [list(range(i, i + width)) for i in range(0, len(rows.rows), width)]
        self.lengths = [sum(len(rows.rows[i][0]) for i in unit) for unit in self.units]
        self.weights = rows.weights or (1.0,) * len(rows.rows)
        self.others = mismatched(rows) if objective.measures_drift else []
        self.reference = reference or (self._measure(rows.rows, batch), self._measure(self.others, batch))

    def size(self, units: Sequence[int]) -> int:
        """Return the number of terms of the mean."""
        return len(units)

    def __call__(self, units: Sequence[int], scale: float) -> torch.Tensor:
        """Return `scale` times the sum over these units, a float32 scalar on the device."""
        members = [i for unit in units for i in self.units[unit]]
        drift = self._drift(members) if self.others and members else None
        sums = self._sums([self.rows.rows[i] for i in members] or [NOTHING])
        if not members:
            return sums.sum() * 0.0
        lengths = [len(ids) - start for ids, start in (self.rows.rows[i] for i in members)]
        batch = Preferences(
            gains=sums - self._tensor([self.reference[0][i] for i in members]),
            surprise=-sums / self._tensor(lengths),
            desired=torch.tensor([self.rows.desired[i] for i in members], device=self.loss.device),
            weights=self._tensor([self.weights[i] for i in members]),
            drift=drift,
        )
        return self.objective.loss(batch).sum() * scale

    def _sums(self, rows: Sequence[Row]) -> torch.Tensor:
        """Return the log-probability of each row's learned part, in nats."""
        batch = collate(rows, self.loss.device)
        self.fit_attention(batch.ids.shape[1])
        each = self.loss.logprobs(batch)
        owners = [row for row, (ids, start) in enumerate(rows) for _ in range(start, len(ids))]
        return each.new_zeros(len(rows)).index_add(0, torch.tensor(owners, device=each.device, dtype=torch.long), each)

    @torch.no_grad()
    def _drift(self, members: Sequence[int]) -> torch.Tensor:
        """Return the mean gain of replies after prompts of other questions, at least 0."""
        sums = self._sums([self.others[i] for i in members])
        return (sums - self._tensor([self.reference[1][i] for i in members])).mean().clamp(min=0)

    @torch.no_grad()
    def _measure(self, rows: Sequence[Row], size: int) -> list[float]:
        found: list[float] = []
        with self.loss.evaluating():
            for start in range(0, len(rows), size):
                found += self._sums(rows[start : start + size]).tolist()
        return found

    def _tensor(self, numbers: Sequence[Any]) -> torch.Tensor:
        return torch.tensor(numbers, dtype=torch.float32, device=self.loss.device)


def mismatched(rows: Rows) -> list[Row]:
    """Return each prompt with the reply of the next row that has another question; no rows if there is one question.

    Rows of a question are adjacent, and repeated ones are equal, so the next row alone would often be a reply to the
    same question.
    """
    questions = rows.questions or range(len(rows.rows))
    if len({*questions}) == 1:
        return []
    others = (rows.rows[_next_question(questions, i)] for i in range(len(rows.rows)))
    return [
        (ids[:start] + other[first:], start) for (ids, start), (other, first) in zip(rows.rows, others, strict=True)
    ]


def _next_question(questions: Sequence[Any], i: int) -> int:
    """Return the index of the next row, after the last the first, whose question is another one than that of row i."""
    count = len(questions)
    return next(j % count for j in range(i + 1, i + count) if questions[j % count] != questions[i])
