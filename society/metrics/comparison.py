"""Comparison of runs: accuracy with its interval, cost, and paired tests of each two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from society.core.errors import InputError
from society.core.paths import list_given
from society.core.plain import count
from society.core.types import Usage
from society.metrics.accuracy import accuracy, score_questions
from society.metrics.budget import BudgetVerdict, weigh_against
from society.metrics.compared_runs import (
    count_expected,
    describe_unfinished,
    has_other_models,
    latest,
    name_runs,
    open_run,
    require_common_questions,
)
from society.metrics.compute import Compute, ComputeMatch, match_compute, measure_compute
from society.metrics.dependence import describe_dependence
from society.metrics.lost import count_lost
from society.metrics.proportion import Proportion
from society.metrics.reported import Estimate, report_metrics
from society.metrics.statistics import Difference, compare_outcomes, holm, questions_needed
from society.runs.records import (
    DebateRecord,
    by_question,
    load_records,
    sameness,
    total_usage,
    with_truth,
)
from society.runs.run import Run
from society.runs.votes import count_support
from society.scenario.expand import Society, expand

INTERESTING = 0.05
"""Difference of accuracy in the sentence about power: five points."""


@dataclass(frozen=True, slots=True)
class RunScore:
    """The statistics of one run in its latest `iteration`.

    `expected` is the planned number of debates, or None if it is unknown. `scored` debates are on questions with a true
    answer; `accuracy` is theirs. Undecided debates count as wrong. An unreadable answer or a failed turn has no answer;
    the decision rule determines its vote. `lone` decisions are supported by one of several voters, and `lone_right` of
    them are right. `metrics` has the headline numbers of the run's metrics by name. `cut_off` replies ended at the
    token limit. `usage` is the cost of the compared debates, and `compute` that of the training before them.
    `per_thousand` is the number of right decisions per 1,000 generated tokens.
    """

    name: str
    folder: str
    iteration: int
    accuracy: Proportion
    debates: int
    expected: int | None
    questions: int
    undecided: int
    unparsed: int
    failed: int
    turns: int
    usage: Usage
    per_thousand: float
    compute: Compute
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    lone: int = 0
    lone_right: int = 0
    cut_off: int = 0
    scored: int = 0
    unfinished: str = ""
    """The part of the run that is finished, such as "6 of 40 debates"; "" if all is, its training included."""

    @property
    def finished(self) -> bool:
        """Return whether all planned debates of the iteration are finished."""
        return self.expected is None or self.debates >= self.expected


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs on the same questions.

    `sentence` is on the power of the comparison, and `named_sentence` also names the runs.

    `difference` is second minus first, and `p_holm` its p value adjusted for all compared pairs (Holm 1979). `needed`
    is the number of questions that detects `INTERESTING` with a power of 80 % at the observed discordance, or None if
    it is unknown or unattainable. `compute` states whether the runs are compute-matched.
    """

    first: str
    second: str
    difference: Difference
    p_holm: float
    needed: int | None
    sentence: str
    compute: ComputeMatch | None = None

    @property
    def named_sentence(self) -> str:
        """The sentence after the names of the two runs, for texts on several pairs."""
        return f"{self.second} and {self.first}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The scores of all runs and all pairs, in the given order, with caveats in `notes`.

    `budgets` compares debating and voting with the same tokens, by run, for runs that debate.
    """

    runs: tuple[RunScore, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...]
    budgets: Mapping[str, BudgetVerdict]

    def __repr__(self) -> str:
        """Return the text that `society compare` prints."""
        from society.metrics.comparison_tables import describe

        return describe(self)


def compare(runs: Sequence[Run | Path | str], labels: Sequence[str] = ()) -> Comparison:
    """Compare two or more runs, or their folders, question by question, in the latest iteration of each.

    `labels` are names for the runs, unique and in the same order; by default, they are the names of the folders.

    Raises `InputError` for fewer than two runs, if two runs have no question in common, or a run has no debate yet.
    """
    given = list_given(runs, "runs", Run, str, Path)
    if len(given) < 2:
        raise InputError(f"There {'is only one run' if given else 'are no runs'} to compare.", "Give two runs or more.")
    opened = [open_run(run) for run in given]
    records = [latest(run) for run in opened]
    names = list(labels) or name_runs(opened)
    scores = tuple(score_run(run, n, r) for run, n, r in zip(opened, names, records, strict=True))
    spent = {score.name: score.compute for score in scores}
    pairs = tuple(
        replace(pair, compute=match_compute((pair.first, pair.second), spent[pair.first], spent[pair.second]))
        for pair in compare_records(dict(zip(names, records, strict=True)))
    )
    dependent = _dependent(names, opened)
    notes = (*_unfinished(scores), *_unlike(scores), *_unscored(scores), *_unpaired(pairs), *dependent)
    return Comparison(scores, pairs, notes, _weigh(opened, names, records))


def _weigh(
    runs: Sequence[Run], names: Sequence[str], records: Sequence[list[DebateRecord]]
) -> dict[str, BudgetVerdict]:
    """Compare each debating run with votes over its own first answers.

    If these are too few, the votes are over those of the first run with enough, and with no other models.
    """
    found = {}
    facts = {name: run.meta() for name, run in zip(names, runs, strict=True)}
    for run, name, debates in zip(runs, names, records, strict=True):
        others = [(n, r) for n, r in zip(names, records, strict=True) if n != name]
        pools = [(n, r) for n, r in others if not has_other_models(facts[n], facts[name])]
        if not any(turn.reads for record in with_truth(debates) for turn in record.turns):
            continue
        found[name] = weigh_against(expand(run.scenario), debates, pools)
    return found


def score_run(run: Run, name: str, records: Sequence[DebateRecord]) -> RunScore:
    """Return the statistics of these debates of a run."""
    society = expand(run.scenario)
    lost = count_lost(society, records)
    usage, right, same = total_usage(records), accuracy(records), sameness(society)
    rested = [record for record in records if count_support(society, record, same).lone]
    return RunScore(
        name=name,
        folder=str(run.folder),
        iteration=records[0].result.iteration,
        accuracy=right,
        debates=len(records),
        expected=count_expected(run),
        questions=len(by_question(records)),
        undecided=lost.undecided,
        unparsed=lost.unreadable,
        failed=lost.failed,
        turns=sum(len(record.turns) for record in records),
        usage=usage,
        per_thousand=_per_thousand(right, total_usage(with_truth(records)).generated_tokens),
        compute=measure_compute(
            records, load_records(run, split="training"), run.adapters(), run.scenario.train is not None
        ),
        lone=len(rested),
        lone_right=sum(record.result.correct for record in rested),
        cut_off=lost.cut_off,
        scored=lost.debates - lost.unknown,
        metrics=_list_headlines(society, records),
        unfinished=describe_unfinished(run, records[0].result.iteration, len(records)),
    )


def _list_headlines(society: Society, records: Sequence[DebateRecord]) -> dict[str, Estimate]:
    """Return the headline numbers of the metrics by name; two of one name are distinguished by their metrics."""
    found: dict[str, Estimate] = {}
    for metric in report_metrics(society, records):
        for one in metric.estimates:
            if one.number.headline:
                name = one.number.name
                found[name if name not in found else f"{metric.kind}: {name}"] = one
    return found


def _per_thousand(right: Proportion, tokens: int) -> float:
    """Return the number of right decisions per 1,000 of these tokens; NaN without tokens or true answers."""
    return 1000 * right.successes / tokens if tokens and right.n else float("nan")


def compare_records(records: dict[str, Sequence[DebateRecord]] | dict[str, list[DebateRecord]]) -> tuple[Pair, ...]:
    """Return every pair of these named lists of debates, with p values adjusted for all pairs.

    Pairs without a common question that has a true answer are left out. Raises `InputError` for runs without a common
    question.
    """
    require_common_questions({name: by_question(found) for name, found in records.items()})
    outcomes = {name: score_questions(found) for name, found in records.items()}
    pairs = [
        _pair(first, second, compare_outcomes(outcomes[first], outcomes[second]))
        for first, second in combinations(outcomes, 2)
        if outcomes[first].keys() & outcomes[second].keys()
    ]
    adjusted = holm([pair.difference.p for pair in pairs])
    return tuple(replace(pair, p_holm=p) for pair, p in zip(pairs, adjusted, strict=True))


def _pair(first: str, second: str, difference: Difference) -> Pair:
    needed = questions_needed(INTERESTING, difference.discordance) if difference.discordance else None
    return Pair(first, second, difference, difference.p, needed, _power_sentence(difference, needed))


def _power_sentence(difference: Difference, needed: int | None) -> str:
    points = f"{100 * INTERESTING:.0f} points"
    if not difference.discordance:
        return f"The runs never differ, so how many questions would show a difference of {points} cannot be said."
    if needed is None:
        return f"No attainable number of questions would show a difference of {points}."
    have = f"this comparison has {difference.questions}"
    if difference.questions >= needed:
        return f"To see a difference of {points}, about {needed:,} questions are needed; {have}: enough."
    return f"To see a difference of {points}, about {needed:,} questions are needed; {have}."


_FAILED = (
    "A failed turn gives no answer. Where it is a voter's last turn, the policy `decision.failed` applies (by default "
    "that of `decision.unparsed`, which is to cast no vote)."
)


def _unfinished(scores: Sequence[RunScore]) -> list[str]:
    notes = [f"{s.name} is unfinished: {s.unfinished}." for s in scores if s.unfinished]
    return notes + [f"{s.name}: {count(s.failed, 'failed turn')}. {_FAILED}" for s in scores if s.failed]


def _unlike(scores: Sequence[RunScore]) -> list[str]:
    """Return a note if the runs are compared after different numbers of finetunings."""
    if len({score.iteration for score in scores}) == 1:
        return []
    reached = ", ".join(f"{score.name} after {score.iteration}" for score in scores)
    return [f"The runs are compared after different numbers of finetunings: {reached}."]


def _unscored(scores: Sequence[RunScore]) -> list[str]:
    """Return a note on each run with questions that have no true answer."""
    some = [score for score in scores if score.scored < score.debates]
    return [
        f"{s.name}: {s.scored:,} of {count(s.debates, 'debate')} on a question with a true answer; accuracy is theirs."
        if s.scored
        else f"{s.name}: no true answers, so there is no accuracy."
        for s in some
    ]


def _dependent(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Return a note on each run whose debates build on each other."""
    found = {name: describe_dependence(expand(run.scenario)) for name, run in zip(names, runs, strict=True)}
    return [f"{name}: {text}." for name, text in found.items() if text]


def _unpaired(pairs: Sequence[Pair]) -> list[str]:
    notes = []
    for pair in pairs:
        alone = ((pair.first, pair.difference.only_first), (pair.second, pair.difference.only_second))
        for name, left in alone:
            if left:
                other = pair.second if name == pair.first else pair.first
                lack = "is" if left == 1 else "are"
                notes.append(
                    f"{count(left, 'question')} of {name} {lack} not in {other}: left out of their difference."
                )
    return notes
