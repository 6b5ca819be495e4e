"""Estimates of a training that need no true answers, and the guard that finds when one of them turns.

agreement   share of first answers that are the label of their debate; higher is better
corrected   share of last answers that are the label after another readable first answer; lower is better
margin      lead of the most frequent last answer over the next, as a share of the votes; higher is better
base        share of questions on which the vote of all turns is that of iteration 0; higher is better. A tie, now or
            in iteration 0, counts as another vote
drift       distance of the first answers' distribution from that of iteration 0, in [0, 1]; shown, but no guard

Iteration 0 has neither `base` nor `drift`. Compared with itself, it would lack the noise that later iterations have.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from society.answers import group
from society.components.labels.base import count_answers
from society.core.types import Same, Turn
from society.runs.records import DebateRecord
from society.scenario.expand import Society
from society.scenario.models.training import GuardSpec
from society.training.labels import Labels

SIGNALS = ("agreement", "corrected", "margin", "base", "drift")
LOWER_IS_BETTER = frozenset({"corrected", "drift"})

Values = Mapping[str, float]
"""A signal by question."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A signal that has turned: it is worse in `iteration` than in the `best` one before, beyond chance."""

    signal: str
    iteration: int
    best: int
    lost: float
    """Mean difference from the best iteration; negative."""


def measure_signals(
    society: Society, labels: Labels, debates: Sequence[DebateRecord], base: Sequence[DebateRecord]
) -> dict[str, dict[str, float]]:
    """Return each signal by question, over the training debates of one iteration. `base`: those of iteration 0.

    A signal without a value has no questions, as those that compare with iteration 0 in iteration 0.
    """
    first = {(record.result.item, record.result.sample): record for record in base}
    found: dict[str, dict[str, list[float]]] = {name: {} for name in SIGNALS}
    for record in debates:
        before = first.get((record.result.item, record.result.sample)) if record.result.iteration else None
        for name, value in _signals(society, labels, record, before):
            found[name].setdefault(record.result.item, []).append(value)
    return {name: {item: fmean(values) for item, values in each.items()} for name, each in found.items()}


def _signals(
    society: Society, labels: Labels, record: DebateRecord, before: DebateRecord | None
) -> Iterable[tuple[str, float]]:
    voters = record.voters(society)
    firsts, lasts = record.first(voters), record.last(voters)
    label, same = labels.find(record), labels.same
    if label.given and firsts:
        starts = [labels.agree(turn, label, record) for turn in firsts]
        others = [turn.answer is not None and not start for turn, start in zip(firsts, starts, strict=True)]
        ends = [labels.agree(turn, label, record) for turn in lasts]
        yield "agreement", fmean(starts)
        yield "corrected", fmean(other and end for other, end in zip(others, ends, strict=True))
    if lasts:
        vote = count_answers([turn.answer for turn in lasts], same)
        yield "margin", (vote.backers - vote.rivals) / len(lasts)
    if before is not None and firsts:
        now, then = (_vote(society, one, same) for one in (record, before))
        yield "base", float(now is not None and then is not None and same(now, then))
        yield "drift", _distance(firsts, before.first(before.voters(society)), same)


def _vote(society: Society, record: DebateRecord, same: Same) -> str | None:
    """Return the most frequent answer of all turns of the voters; None for a tie or none."""
    return count_answers([turn.answer for name in record.voters(society) for turn in record.of(name)], same).answer


def _distance(ones: Sequence[Turn], others: Sequence[Turn], same: Same) -> float:
    """Return the total variation distance of two distributions of answers; unreadable ones are one answer."""
    if not others:
        return 1.0
    answers = [turn.answer for turn in (*ones, *others)]
    read = [i for i, answer in enumerate(answers) if answer is not None]
    classes = group([answers[i] or "" for i in read], same)
    kinds = [[read[i] for i in members] for members in classes]
    kinds.append([i for i in range(len(answers)) if i not in read])
    return sum(abs(_share(kind, 0, len(ones)) - _share(kind, len(ones), len(answers))) for kind in kinds) / 2


def _share(members: Sequence[int], start: int, end: int) -> float:
    """Return the share of the numbers from `start` to `end` - 1 that are members."""
    return sum(start <= member < end for member in members) / (end - start)


def find_alarm(spec: GuardSpec, values: Sequence[Values]) -> Alarm | None:
    """Return the first alarm on a signal, which `values` gives by iteration and question; None if it never turns.

    An iteration is worse than the best one before it if the mean difference on common questions exceeds `errors`
    standard errors. The alarm is the last of `patience` such iterations in a row.
    """
    return watch(spec, values)[1]


def watch(spec: GuardSpec, values: Sequence[Values]) -> tuple[int, Alarm | None]:
    """Return the best iteration of a signal before its first alarm, and this alarm; see `find_alarm`.

    The first iteration with a value is the best one until another is better. Without any value it is iteration 0.
    """
    sign = -1.0 if spec.signal in LOWER_IS_BETTER else 1.0
    best, worse = next((number for number, found in enumerate(values) if found), 0), 0
    for number in range(best + 1, len(values)):
        mean, error = _compare(values[number], values[best], sign)
        worse = worse + 1 if mean < -spec.errors * error and mean < 0 else 0
        if worse >= spec.patience:
            return best, Alarm(spec.signal, number, best, mean)
        best = number if mean > 0 else best
    return best, None


def _compare(ones: Values, others: Values, sign: float) -> tuple[float, float]:
    """Return the mean of the differences on common questions, and its standard error; 0 without two questions."""
    pairs = [sign * (ones[item] - others[item]) for item in ones if item in others]
    return (fmean(pairs), stdev(pairs) / len(pairs) ** 0.5) if len(pairs) > 1 else (0.0, 0.0)
