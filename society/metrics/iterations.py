"""How a society changes from one iteration of training to the next: accuracy, agreement, labels, cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from society.metrics.diversity import TextDiversity, measure_texts
from society.metrics.proportion import Proportion
from society.metrics.records import (
    DebateRecord,
    Question,
    accuracy,
    by_iteration,
    load_records,
    share_right,
    share_true,
    total_usage,
)
from society.scenario.expand import Society
from society.store.adapters import AdapterRow, ExampleRow
from society.types import Usage

if TYPE_CHECKING:
    from society.runs import Run


@dataclass(frozen=True, slots=True)
class IterationScore:
    """One iteration. `accuracy` is of decisions, `alone` of single first answers, on the evaluation's questions (none
    where it was not evaluated), both with undecided and unread as wrong. `labels`: of the debates on training questions
    (on the evaluation's, where nothing is trained) that decided without breaking a tie, the share that is right: the
    quality of pseudo-labels; `unlabelled` debates gave none. `usage` is the evaluation's, `training_usage` that of the
    training debates; `examples` the training rows by "learner/agent", `rows_right` the share of them that teach a right
    answer, by the rule that took them; `trained_tokens` the tokens of all training steps."""

    iteration: int
    debates: int
    accuracy: Proportion
    alone: Proportion
    labels: Proportion
    unlabelled: int
    diversity: TextDiversity
    usage: Usage
    training_usage: Usage = field(default_factory=Usage)
    examples: Mapping[str, int] = field(default_factory=dict)
    rows_right: Mapping[str, Proportion] = field(default_factory=dict)
    trained_tokens: int = 0


def run_iterations(run: Run) -> list[IterationScore]:
    """A score for each iteration of a run that has debates, in order."""
    from society.scenario.expand import expand

    society = expand(run.scenario)
    training = load_records(run, split="training")
    return score_iterations(society, load_records(run), training, run.adapters(), run.examples())


def score_iterations(
    society: Society,
    records: Sequence[DebateRecord],
    training: Sequence[DebateRecord] = (),
    adapters: Sequence[AdapterRow] = (),
    examples: Sequence[ExampleRow] = (),
) -> list[IterationScore]:
    """A score for each iteration of these evaluation debates and training debates, in order, with the adapters and
    training rows that came of them. Not every iteration need be evaluated."""
    judged, learned = by_iteration(records), by_iteration(training)
    return [
        _score(
            society, number, judged.get(number, []), (learned if training else judged).get(number, []), bool(training),
            [row for row in adapters if row.iteration == number], [row for row in examples if row.iteration == number],
        )
        for number in sorted(judged | learned)
    ]  # fmt: skip


def _score(
    society: Society,
    number: int,
    records: Sequence[DebateRecord],
    labelling: Sequence[DebateRecord],
    trains: bool,
    adapters: Sequence[AdapterRow],
    examples: Sequence[ExampleRow],
) -> IterationScore:
    labelled = [record for record in labelling if is_label(record)]
    return IterationScore(
        iteration=number,
        debates=len(records),
        accuracy=accuracy(records),
        alone=share_right(records, lambda r: [r.right(turn) for turn in r.first(society.voters)]),
        labels=accuracy(labelled),
        unlabelled=len(labelling) - len(labelled),
        diversity=measure_texts(society, records),
        usage=total_usage(records),
        training_usage=total_usage(labelling) if trains else Usage(),
        examples={f"{row.learner}/{row.agent}": row.examples for row in adapters},
        rows_right=_rows_right(labelling, examples),
        trained_tokens=sum(row.tokens for row in adapters),
    )


def _rows_right(labelling: Sequence[DebateRecord], examples: Sequence[ExampleRow]) -> dict[str, Proportion]:
    right = {turn.id: record.right(turn) for record in labelling for turn in record.turns} if examples else {}
    rules: dict[str, list[tuple[Question, list[bool]]]] = {}
    for row in examples:
        question = (row.source.item, "")
        rules.setdefault(row.rule, []).append((question, [right[row.source]]))
    return {rule: share_true(verdicts) for rule, verdicts in rules.items()}


def is_label(record: DebateRecord) -> bool:
    """Whether the decision may serve as a pseudo-label: there is one, and no tie was broken for it."""
    return record.result.decision.answer is not None and not record.result.decision.tied
