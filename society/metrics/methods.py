"""Comparison of methods over repetitions: runs that differ in the seed alone are repetitions of one method."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from statistics import fmean

from society.core.errors import InputError, NoCommonQuestionError
from society.core.plain import count
from society.metrics.compared_runs import describe_unfinished
from society.metrics.crossed import Estimate, Values, estimate_mean, estimate_share
from society.metrics.dependence import describe_dependence
from society.metrics.lost import Lost, count_lost
from society.metrics.method_columns import ACCURACY, COLUMNS, measure_columns, measure_metric_columns
from society.metrics.method_groups import Group, find_group, group_runs
from society.metrics.statistics import DIGITS, compare_outcomes, holm, mean_interval
from society.runs.records import Question, with_truth
from society.runs.run import Run

MOST_PAIRS = 6
"""Maximum number of pairs that are tested where no baseline is named."""


@dataclass(frozen=True, slots=True)
class Versus:
    """A method minus another: the difference of accuracy, its test, and the p value adjusted for all tests (Holm)."""

    method: str
    baseline: str
    value: float
    low: float
    high: float
    p: float
    p_holm: float
    test: str


@dataclass(frozen=True, slots=True)
class Method:
    """One method. `accuracy` is None without true answers. `seeds`, `shares` and `values` have one entry per run.

    `crossed`: whether the interval takes repetitions as a random effect, too. `shares` are the runs' accuracies,
    `values` the measures of `COLUMNS` by name. `lost` counts all missing answers, and `wrong` those on questions with
    a true answer, which count as wrong.
    """

    label: str
    folders: tuple[str, ...]
    seeds: tuple[int, ...]
    accuracy: Estimate | None
    crossed: bool
    shares: tuple[float, ...]
    values: Mapping[str, tuple[float, ...]]
    lost: Lost
    wrong: Lost


@dataclass(frozen=True, slots=True)
class MethodComparison:
    """All methods, the baseline first, with the tests and remarks. `columns` are the chosen ones, in order."""

    methods: tuple[Method, ...]
    tests: tuple[Versus, ...]
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    questions: int
    baseline: str = ""

    def __repr__(self) -> str:
        """Return the text that `society compare` prints."""
        from society.metrics.method_tables import describe_methods

        return describe_methods(self)


def compare_methods(
    runs: Sequence[Run | Path | str] | Sequence[Group], baseline: str = "", columns: Sequence[str] = ()
) -> MethodComparison:
    """Compare methods over repetitions, in the latest iteration of each run.

    The unit of analysis is a question in a repetition: intervals and tests take both as random (`crossed`). With
    `baseline`, every other method is tested against it, with Holm's adjustment over these tests. Without, all pairs of
    up to four methods are tested. `columns` are "accuracy", names of `COLUMNS`, and
    "kind.name" for a number of a metric of the scenario.

    Raises `InputError` for unknown columns or an unknown baseline, and `NoCommonQuestionError` where two runs have
    other questions.
    """
    groups = [run for run in runs if isinstance(run, Group)] or group_runs(runs)  # type: ignore[arg-type]
    if baseline:
        first = find_group(groups, baseline)
        groups = [first, *(group for group in groups if group is not first)]
    asked = [{record.question for record in records} for group in groups for records in group.records]
    _require_common(groups, asked)
    common = frozenset(asked[0]).intersection(*asked)
    paired = [_restrict(group, common) for group in groups]
    outcomes = [group.outcomes() for group in groups]
    shared = _shared_questions(groups, outcomes)
    known = bool(shared)
    measured = [measure_metric_columns(group, columns) for group in paired]
    metrics = {name for found in measured for name in found}
    chosen = _choose_columns(columns, known, metrics)
    values = [_to_array(found, shared) for found in outcomes]
    for found, group in zip(measured, paired, strict=True):
        found.update({name: (nan,) * len(group.runs) for name in metrics - found.keys()} | measure_columns(group))
    methods = tuple(
        _describe(group, array if known else None, found)
        for group, array, found in zip(groups, values, measured, strict=True)
    )
    tests = _test(groups, values, bool(baseline)) if known else ()
    left_out = len(frozenset().union(*asked)) - len(common)
    notes = (*_left_out(groups, left_out, known), *_unfinished(groups), *_alike(methods), *_dependent(groups))
    name = groups[0].label if baseline else ""
    return MethodComparison(methods, tests, notes, chosen, len(shared) if known else len(common), name)


def _choose_columns(names: Sequence[str], known: bool, metrics: Collection[str]) -> tuple[str, ...]:
    choices = (ACCURACY, *COLUMNS, *sorted(metrics))
    unknown = [name for name in names if name not in choices]
    if unknown:
        raise InputError(f"There is no column {unknown[0]!r}.", f"Choose from: {', '.join(choices)}.")
    if ACCURACY in names and not known:
        raise InputError(
            "No question of these runs has a true answer, so there is no accuracy.",
            f"Leave it out, or choose from: {', '.join(choices[1:])}.",
        )
    return tuple(dict.fromkeys(names)) or ((ACCURACY, "tokens") if known else ("agreement", "tokens"))


def _shared_questions(groups: Sequence[Group], outcomes: Sequence[list[dict[Question, float]]]) -> list[Question]:
    """Return the questions with true answers that every run has. Raises `NoCommonQuestionError` if runs share none."""
    every = [found for method in outcomes for found in method]
    if any(every):
        _require_common(groups, [found.keys() for found in every])
    return [question for question in every[0] if all(question in found for found in every)]


def _require_common(groups: Sequence[Group], every: Sequence[Set[Question]]) -> None:
    """Raise `NoCommonQuestionError` unless all runs have a question in common. `every`: the questions of each run."""
    if frozenset(every[0]).intersection(*every):
        return
    names = [run.folder.name for group in groups for run in group.runs]
    unlike = next((n for n, found in zip(names, every, strict=True) if not every[0] & found), names[-1])
    raise NoCommonQuestionError(
        f"{names[0]} and {unlike} have no question in common, so they cannot be compared.",
        "Name only runs with the same questions: set `task.seed`, or use `society sweep --seeds`, which does.",
    )


def _restrict(group: Group, questions: Set[Question]) -> Group:
    """Return the group with its debates on these questions alone."""
    return replace(group, records=tuple([r for r in found if r.question in questions] for found in group.records))


def _to_array(found: Sequence[Mapping[Question, float]], shared: Sequence[Question]) -> Values:
    return [[one[question] for question in shared] for one in found]


def _describe(group: Group, values: Values | None, measures: Mapping[str, tuple[float, ...]]) -> Method:
    records = [record for found in group.records for record in found]
    return Method(
        label=group.label,
        folders=tuple(str(run.folder) for run in group.runs),
        seeds=group.seeds,
        accuracy=None if values is None else _accuracy(values, group.shares_draws),
        crossed=group.shares_draws,
        shares=() if values is None else tuple(map(fmean, values)),
        values=measures,
        lost=count_lost(group.society, records),
        wrong=count_lost(group.society, with_truth(records)),
    )


def _accuracy(values: Values, shared: bool) -> Estimate:
    """Return the mean over questions and repetitions; of a single repetition with the interval of `accuracy`."""
    found = estimate_share(values, shared)
    if len(values) > 1:
        return found
    low, high = mean_interval(values[0])
    return replace(found, low=low, high=high)


def _test(groups: Sequence[Group], values: Sequence[Values], baseline: bool) -> tuple[Versus, ...]:
    """Return the tests against the first method, or of all pairs if there are few; p values adjusted for all."""
    size = len(groups)
    pairs = [(i, j) for i in range(1 if baseline else size) for j in range(i + 1, size)]
    if len(pairs) > MOST_PAIRS and not baseline:
        return ()
    found = [_versus(groups[i], groups[j], values[i], values[j]) for i, j in pairs]
    adjusted = holm([one.p for one in found])
    return tuple(replace(one, p_holm=p) for one, p in zip(found, adjusted, strict=True))


def _versus(first: Group, second: Group, ours: Values, theirs: Values) -> Versus:
    """Return the second method minus the first, paired by question and, if the seeds are equal, by seed."""
    if first.seeds == second.seeds and len(ours) > 1:
        shared = first.shares_draws or second.shares_draws
        found = estimate_mean([_subtract(*rows) for rows in zip(theirs, ours, strict=True)], shared)
        if found.error > 0:
            low, high = max(-1.0, found.low), min(1.0, found.high)
            test = CROSSED if shared else PAIRED
            return Versus(second.label, first.label, found.value, low, high, found.p, found.p, test)
    before, after = ({q: [fmean(one)] for q, one in enumerate(zip(*v, strict=True))} for v in (ours, theirs))
    paired = compare_outcomes(before, after)
    span = paired.value, paired.low, paired.high
    return Versus(second.label, first.label, *span, paired.p, paired.p, paired.test)


def _subtract(first: Sequence[float], second: Sequence[float]) -> list[float]:
    return [round(a - b, DIGITS) for a, b in zip(first, second, strict=True)]


CROSSED = "t test, questions crossed with repetitions (Satterthwaite)"
PAIRED = "paired t test over questions"


def _left_out(groups: Sequence[Group], left_out: int, known: bool) -> Iterator[str]:
    """Yield what is missing from the common questions, and what has no true answer.

    `left_out` is a number. `known`: the table has the accuracy.
    """
    if left_out:
        yield f"{count(left_out, 'question')} left out: not in every run."
    unknown = {r.question for group in groups for found in group.records for r in found if not r.scored}
    if unknown and known:
        yield f"{count(len(unknown), 'question')} without a true answer: not in the accuracy."
    if len({group.seeds for group in groups}) > 1:
        yield "The methods have different seeds: their differences are paired by question alone."


def _unfinished(groups: Sequence[Group]) -> Iterator[str]:
    for group in groups:
        for run, records in zip(group.runs, group.records, strict=True):
            if part := describe_unfinished(run, records[0].result.iteration, len(records)):
                yield f"{run.folder.name} is unfinished: {part}."


def _dependent(groups: Sequence[Group]) -> Iterator[str]:
    """Yield a note on each method whose debates build on each other."""
    found = {group.label: describe_dependence(group.society) for group in groups}
    yield from (f"{label}: {text}." for label, text in found.items() if text)


def _alike(methods: Sequence[Method]) -> Iterator[str]:
    """Yield a note if repetitions of a method never differ, so that they are no repetitions."""
    names = [m.label for m in methods if m.accuracy is not None and m.accuracy.deviation == 0]
    if names:
        yield f"The repetitions have equal accuracies, which temperature 0 may cause: {', '.join(names)}."
