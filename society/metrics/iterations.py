"""Statistics of each training iteration: accuracy, agreement, labels and cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from society.core.types import Turn, TurnId, Usage
from society.metrics.accuracy import accuracy, share_right, share_true
from society.metrics.diversity import Mean, TextDiversity, mean_of, measure_texts
from society.metrics.proportion import Proportion
from society.runs.records import (
    DebateRecord,
    Question,
    by_iteration,
    load_records,
    sameness,
    total_usage,
    vote_is_right,
    with_truth,
)
from society.scenario.expand import Society, expand
from society.store.rows import AdapterRow, ExampleRow
from society.training.labels import History, Labels, consensus_labels, is_drawn, open_history
from society.training.learners import learners
from society.training.selection import find_prompts
from society.training.signals import find_alarm, measure_signals

if TYPE_CHECKING:
    from society.runs.run import Run
    from society.scenario.models.scenario import Scenario


@dataclass(frozen=True, slots=True)
class LabelScore:
    """The labels of one learner in one iteration.

    `right` is the share of right labels, over those with a true answer. `missing` counts debates without a label, for
    the counted `reasons`. `unscored` labels have no true answer, or no verdict: no reply to the question gave them.
    Where agents have labels of their own, each counts.
    """

    right: Proportion
    missing: int
    reasons: Mapping[str, int]
    unscored: int


@dataclass(frozen=True, slots=True)
class IterationScore:
    """The statistics of one iteration.

    `accuracy` is that of decisions and `alone` that of single answers before debating (see `DebateRecord.opening`), on
    the evaluation questions. Undecided and unreadable ones count as wrong; both are None without an evaluation.

    `labels` is the share of right labels of the training debates, by `train.label` and `train.quorum`, over those with
    a true answer. Without training, it is the share of right decisions of the evaluation that could be labels.
    `unlabelled` debates gave no label, for the counted `reasons`; `unscored_labels` have no true answer, or no verdict.
    `usage` is that of the evaluation, and `training_usage` that of the `training_turns` of the training debates.
    `examples` counts the training rows by "learner/agent", with repetitions, and `repeated` the repetitions among them;
    a pair is repeated as a whole. `left_out` counts the turns without a row, by learner and reason. `rows_right` is the
    share of rows with a right answer, by selection rule. `trained_tokens` and `trained_seconds` are those of all
    training steps. `learner_labels` has the labels of each learner, where they may differ from those of the training;
    `training_usage` includes their additional votes. `votes` has the accuracy of majority votes on the evaluation
    questions: over first answers, last ones, and all turns. `signals` are estimates without true answers, over the
    training debates. `alarm` is the best iteration before one in which the guard found that its signal had turned.
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
    learner_labels: Mapping[str, LabelScore] = field(default_factory=dict)
    votes: Mapping[str, Proportion] = field(default_factory=dict)
    signals: Mapping[str, Mean] = field(default_factory=dict)
    alarm: int | None = None

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
    history = open_history(society)
    for found in learned.values():
        history.add(found)
    right = _right_turns(training) if examples else {}
    scores = []
    for number in sorted(judged | learned):
        labelling = (learned if training else judged).get(number, [])
        trained = [row for row in adapters if row.iteration == number]
        rows = [row for row in examples if row.iteration == number and not row.left_out]
        evaluated = judged.get(number, [])
        scores.append(_score(society, history, number, evaluated, labelling, bool(training), trained, rows, right))
    return _with_signals(society, history, scores, learned) if training else scores


def _with_signals(
    society: Society, history: History, scores: list[IterationScore], learned: Mapping[int, Sequence[DebateRecord]]
) -> list[IterationScore]:
    """Return the scores with the estimates without true answers, and the alarm of the guard."""
    spec = society.scenario.train
    if spec is None:
        return scores
    labels = labels_of(society, history)
    debates = {n: [r for r in found if not is_drawn(society, r)] for n, found in learned.items()}
    found = {n: measure_signals(society, labels, each, debates.get(0, ())) for n, each in sorted(debates.items())}
    watched = [found[number][spec.guard.signal] for number in found] if spec.guard is not None else []
    alarm = find_alarm(spec.guard, watched) if spec.guard is not None else None
    means = {n: {name: mean_of(list(values.values())) for name, values in each.items()} for n, each in found.items()}
    return [
        replace(
            score,
            signals=means.get(score.iteration, {}),
            alarm=alarm.best if alarm is not None and alarm.iteration == score.iteration else None,
        )
        for score in scores
    ]


def _score(
    society: Society,
    history: History,
    number: int,
    records: Sequence[DebateRecord],
    labelling: Sequence[DebateRecord],
    trains: bool,
    adapters: Sequence[AdapterRow],
    examples: Sequence[ExampleRow],
    right: Mapping[TurnId, bool],
) -> IterationScore:
    debates = [record for record in labelling if not (trains and is_drawn(society, record))]
    labels = _score_labels(labels_of(society, history), debates, [""])
    return IterationScore(
        iteration=number,
        debates=len(records),
        accuracy=accuracy(records),
        alone=share_right(records, lambda r: [r.right(turn) for turn in r.opening(society)]),
        labels=labels.right,
        unlabelled=labels.missing,
        diversity=measure_texts(society, records),
        usage=total_usage(records),
        training_usage=total_usage(labelling) if trains else Usage(),
        examples={f"{row.learner}/{row.agent}": row.examples for row in adapters},
        rows_right=_rows_right(right, examples),
        trained_tokens=sum(row.tokens for row in adapters),
        training_turns=sum(len(record.turns) for record in labelling) if trains else 0,
        trained_seconds=sum(row.seconds for row in adapters),
        repeated=_count_repeated(society, examples),
        reasons=labels.reasons,
        left_out=_left_out(adapters),
        unscored_labels=labels.unscored,
        votes=_score_votes(society, records) if trains else {},
        learner_labels=_score_learners(society, history, debates) if trains and debates else {},
    )


def _score_votes(society: Society, records: Sequence[DebateRecord]) -> dict[str, Proportion]:
    """Return the accuracy of majority votes over the voters' first answers, last answers, and all turns."""
    same = sameness(society)

    def score(choose: Callable[[DebateRecord], list[Turn]]) -> Proportion:
        return share_right(records, lambda record: [vote_is_right(society, record, choose(record), same)])

    return {
        "first": score(lambda record: record.first(record.voters(society))),
        "last": score(lambda record: record.last(record.voters(society))),
        "all": score(lambda record: [turn for name in record.voters(society) for turn in record.of(name)]),
    }


def _score_labels(labels: Labels, debates: Sequence[DebateRecord], agents: Sequence[str]) -> LabelScore:
    """Return the score of the labels that these debates give each of these agents."""
    every = [(record, labels.find(record, agent)) for record in debates for agent in agents]
    given = [(record, label) for record, label in every if label.given]
    verdicts = [(record.question, labels.is_right(record, label)) for record, label in given if record.scored]
    known = [(question, [verdict]) for question, verdict in verdicts if verdict is not None]
    reasons = Counter(label.reason for _, label in every if not label.given)
    return LabelScore(share_true(known), len(every) - len(given), reasons, len(given) - len(known))


def _score_learners(society: Society, history: History, debates: Sequence[DebateRecord]) -> dict[str, LabelScore]:
    """Return the score of each learner's labels, if a learner has others than the training."""
    spec = society.scenario.train
    if spec is None or not any(one.label or spec.label.personal for one in spec.learners.values()):
        return {}
    sources: dict[str, dict[str, None]] = {}
    for one in learners(society, spec):
        sources.setdefault(one.name, {}).update(dict.fromkeys(one.sources))
    found = {}
    for name, learner in spec.learners.items():
        labels = history.labels(spec, spec.label_of(learner))
        found[name] = _score_labels(labels, debates, list(sources[name]) if labels.rule.personal else [""])
    return found


def _left_out(adapters: Sequence[AdapterRow]) -> dict[str, dict[str, int]]:
    """Return the numbers of turns that no learner selected, by learner and reason."""
    found: dict[str, Counter[str]] = {}
    for row in adapters:
        found.setdefault(row.learner, Counter()).update(row.left_out)
    return {learner: {reason: n for reason, n in reasons.items() if n} for learner, reasons in found.items()}


def _count_repeated(society: Society, examples: Sequence[ExampleRow]) -> int:
    """Return the number of rows that repeat an earlier row of the same finetuning. A pair is repeated as a whole."""
    spec = society.scenario.train
    paired = {name for name, one in (spec.learners if spec else {}).items() if one.objective.contrast == "pair"}
    seen: set[tuple[object, ...]] = set()
    for learner in dict.fromkeys(row.learner for row in examples):
        rows = [row for row in examples if row.learner == learner]
        for row, prompt in zip(rows, find_prompts(rows, learner in paired), strict=True):
            seen.add((learner, row.agent, row.source, row.part, prompt))
    return len(examples) - len(seen)


def _right_turns(training: Sequence[DebateRecord]) -> dict[TurnId, bool]:
    """Return whether each turn on a question with a true answer is right."""
    return {turn.id: record.right(turn) for record in with_truth(training) for turn in record.turns}


def _rows_right(right: Mapping[TurnId, bool], examples: Sequence[ExampleRow]) -> dict[str, Proportion]:
    rules: dict[str, list[tuple[Question, list[bool]]]] = {}
    for row in examples:
        question = (row.source.item, "")
        if row.source in right:  # else its debate has no result, or no true answer
            rules.setdefault(row.rule, []).append((question, [right[row.source]]))
    return {rule: share_true(verdicts) for rule, verdicts in rules.items()}


def find_guarded(scenario: Scenario, iterations: Sequence[IterationScore]) -> tuple[int, int] | None:
    """Return the iteration in which the guard ended the training and that whose weights stayed, if it did."""
    guard = scenario.train.guard if scenario.train is not None else None
    if guard is None or guard.then == "report":
        return None
    alarms = ((score.iteration, score.alarm) for score in iterations if score.alarm is not None)
    return next(((at, best if guard.then == "best" else at) for at, best in alarms), None)


def labels_of(society: Society, history: History) -> Labels:
    """Return the labels of the training, which are those of the consensus without training."""
    spec = society.scenario.train
    if spec is not None:
        return history.labels(spec, spec.label)
    return consensus_labels(society, sameness(society))
