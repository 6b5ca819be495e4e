"""Statistics of each training iteration: accuracy, agreement, labels and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from society.core.types import Usage
from society.metrics.accuracy import accuracy, share_right, share_true
from society.metrics.diversity import TextDiversity, measure_texts
from society.metrics.proportion import Proportion
from society.runs.records import (
    DebateRecord,
    Question,
    by_iteration,
    load_records,
    sameness,
    total_usage,
    with_truth,
)
from society.scenario.expand import Society, expand
from society.store.rows import AdapterRow, ExampleRow
from society.training.labels import Labels, consensus_labels, open_labels

if TYPE_CHECKING:
    from society.runs.run import Run


@dataclass(frozen=True, slots=True)
class IterationScore:
    """The statistics of one iteration.

    `accuracy` is that of decisions and `alone` that of single first answers, on the evaluation questions. Undecided and
    unreadable ones count as wrong; both are None without an evaluation.

    `labels` is the share of right labels of the training debates, by `train.label` and `train.quorum`, over those with
    a true answer. Without training, it is the share of right decisions of the evaluation that could be labels.
    `unlabelled` debates gave no label, for the counted `reasons`; `unscored_labels` have no true answer. `usage` is
    that of the evaluation, and `training_usage` that of the `training_turns` of the training debates. `examples` counts
    the training rows by "learner/agent", and `repeated` the repetitions among them. `left_out` counts the turns without
    a row, by learner and reason. `rows_right` is the share of rows with a right answer, by selection rule.
    `trained_tokens` and `trained_seconds` are those of all training steps.
    """

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
    training_turns: int = 0
    trained_seconds: float = 0.0
    repeated: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unscored_labels: int = 0

    @property
    def labelled(self) -> int:
        """Number of debates that gave a label."""
        return self.labels.n + self.unscored_labels


def run_iterations(run: Run, records: Sequence[DebateRecord] | None = None) -> list[IterationScore]:
    """Return a score for each iteration of a run with debates, in order.

    `records` are the debates of the evaluation, if they are already loaded.
    """
    society = expand(run.scenario)
    records = load_records(run) if records is None else records
    training = load_records(run, split="training")
    return score_iterations(society, records, training, run.adapters(), run.examples())


def score_iterations(
    society: Society,
    records: Sequence[DebateRecord],
    training: Sequence[DebateRecord] = (),
    adapters: Sequence[AdapterRow] = (),
    examples: Sequence[ExampleRow] = (),
) -> list[IterationScore]:
    """Return a score for each iteration of these debates, adapters and training rows, in order.

    Some iterations may have no evaluation.
    """
    judged, learned = by_iteration(records), by_iteration(training)
    scores = []
    for number in sorted(judged | learned):
        labelling = (learned if training else judged).get(number, [])
        trained = [row for row in adapters if row.iteration == number]
        rows = [row for row in examples if row.iteration == number]
        scores.append(_score(society, number, judged.get(number, []), labelling, bool(training), trained, rows))
    return scores


def _score(
    society: Society,
    number: int,
    records: Sequence[DebateRecord],
    labelling: Sequence[DebateRecord],
    trains: bool,
    adapters: Sequence[AdapterRow],
    examples: Sequence[ExampleRow],
) -> IterationScore:
    rule = labels_of(society)
    reasons = Counter(rule.explain(record) for record in labelling)
    labelled = [record for record in labelling if not rule.explain(record)]
    known = with_truth(labelled)
    return IterationScore(
        iteration=number,
        debates=len(records),
        accuracy=accuracy(records),
        alone=share_right(records, lambda r: [r.right(turn) for turn in r.first(r.candidates(society))]),
        labels=share_right(known, lambda record: [rule.is_right(record)]),
        unlabelled=len(labelling) - len(labelled),
        diversity=measure_texts(society, records),
        usage=total_usage(records),
        training_usage=total_usage(labelling) if trains else Usage(),
        examples={f"{row.learner}/{row.agent}": row.examples for row in adapters},
        rows_right=_rows_right(labelling, examples),
        trained_tokens=sum(row.tokens for row in adapters),
        training_turns=sum(len(record.turns) for record in labelling) if trains else 0,
        trained_seconds=sum(row.seconds for row in adapters),
        repeated=len(examples) - len({(row.learner, row.agent, row.source) for row in examples}),
        reasons={reason: number for reason, number in reasons.items() if reason},
        left_out=_left_out(adapters),
        unscored_labels=len(labelled) - len(known),
    )


def _left_out(adapters: Sequence[AdapterRow]) -> dict[str, dict[str, int]]:
    """Return the numbers of turns that no learner selected, by learner and reason."""
    found: dict[str, Counter[str]] = {}
    for row in adapters:
        found.setdefault(row.learner, Counter()).update(row.left_out)
    return {learner: {reason: n for reason, n in reasons.items() if n} for learner, reasons in found.items()}


def _rows_right(labelling: Sequence[DebateRecord], examples: Sequence[ExampleRow]) -> dict[str, Proportion]:
    known = with_truth(labelling) if examples else []
    right = {turn.id: record.right(turn) for record in known for turn in record.turns}
    rules: dict[str, list[tuple[Question, list[bool]]]] = {}
    for row in examples:
        question = (row.source.item, "")
        if row.source in right:  # else its debate has no result, or no true answer
            rules.setdefault(row.rule, []).append((question, [right[row.source]]))
    return {rule: share_true(verdicts) for rule, verdicts in rules.items()}


def labels_of(society: Society) -> Labels:
    """Return the rule for labels, which is that of consensus labels without training."""
    spec = society.scenario.train
    if spec is not None:
        return open_labels(society, spec)
    return consensus_labels(society, sameness(society))
