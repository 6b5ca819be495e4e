"""The metrics of a run (`metrics:` of its scenario): counted question by question, with intervals over questions.

report_metrics   every metric of these debates, as numbers and in words
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from society.answers import group
from society.answers.quantities import read_number, write_number
from society.components.faults import faults_of, guarded
from society.components.metrics.base import Debate, Key, Metric, MetricFacts, Number, Question, Totals
from society.components.registry import kinds
from society.core.types import Same
from society.metrics.influence import find_sources
from society.metrics.resampling import draw_rows, find_percentiles
from society.metrics.rounds import Stage, list_stages, name_stage, walk
from society.runs.names import Names, name_question
from society.runs.records import DebateRecord, by_question, sameness
from society.scenario.expand import Society

LEAST_QUESTIONS = 6
"""Minimum number of questions for intervals: percentiles over fewer questions are far too narrow."""
RESAMPLES, FEWEST = 1000, 200
"""Number of resamples, and their minimum for runs with many counts."""
MOST_ADDITIONS = 20_000_000
"""Maximum number of additions for one metric: a few seconds."""
DEFINED = 0.95
"""Minimum share of resamples in which a number is defined, for an interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of a metric with its 95% interval, the percentiles of a bootstrap over `questions` (Efron 1979).

    There is no interval for fewer than `LEAST_QUESTIONS`, where all are alike, and for numbers about single questions.
    """

    number: Number
    questions: int
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        """Return the value with its interval, in percent if it is a share."""
        value = self.number.value
        if value is None:
            return "-"
        known = [bound for bound in (self.low, self.high) if bound is not None]
        shown = [_show(self.number, bound) for bound in (value, *known)]
        return f"{shown[0]} [{shown[1]}, {shown[2]}]" if known else shown[0]


@dataclass(frozen=True, slots=True)
class Reported:
    """A metric of a run: the question that it answers, the answer in a few words, a sentence, and all numbers.

    `shown` are the estimates as people read them: with questions for items, options for letters, personas for agents.
    """

    kind: str
    question: str
    answer: str
    sentence: str
    note: str
    estimates: tuple[Estimate, ...]
    shown: tuple[Estimate, ...]
    stages: tuple[str, ...]


def _show(number: Number, value: float) -> str:
    return f"{100 * value:.1f}%" if number.unit == "share" else f"{value:.3g}"


def report_metrics(society: Society, records: Sequence[DebateRecord]) -> list[Reported]:
    """Return the metrics of these debates, in the order of the scenario."""
    metrics = list_metrics(society, records) if records else []
    if not metrics:
        return []
    stages = list_stages(society, records)
    asked = list_questions(society, records, stages)
    names = _NumberNames(Names(society), asked)
    return [_report(metric, asked, [name_stage(stage) for stage in stages], names) for metric in metrics]


def measure_metrics(society: Society, records: Sequence[DebateRecord]) -> dict[str, float]:
    """Return the numbers of every metric in the last stage, by "kind.name", without intervals and unknown values."""
    stages = list_stages(society, records)
    asked = list_questions(society, records, stages)
    found: dict[str, float] = {}
    for metric in list_metrics(society, records):
        counts = [guarded(metric, metric.count)(question) for question in asked]
        for number in _list_numbers(metric, _add(counts), [name_stage(stage) for stage in stages]):
            if number.value is not None and not number.group:
                found[f"{getattr(metric, 'kind', '')}.{number.name}"] = number.value  # later stages come last
    return found


def list_metrics(society: Society, records: Sequence[DebateRecord]) -> list[Metric]:
    """Return the metrics that the scenario lists, or those that suit the run."""
    listed = society.scenario.metrics
    if listed is not None:
        return list(listed)
    scored = any(record.scored for record in records)
    facts = MetricFacts(scored, society.scenario.samples, max(len(record.voters(society)) for record in records))
    found = cast("Mapping[str, type[Metric]]", kinds("metric"))
    return [cls() for cls in found.values() if cls.suits(facts)]


def list_questions(society: Society, records: Sequence[DebateRecord], stages: Sequence[Stage]) -> list[Question]:
    """Return the questions of these debates as metrics see them."""
    same, labels = sameness(society), _Labels(society.scenario.task.format.equal == "numeric")
    return [_ask(society, group_, stages, same, labels) for group_ in by_question(records).values()]


def _ask(
    society: Society, records: Sequence[DebateRecord], stages: Sequence[Stage], same: Same, labels: _Labels
) -> Question:
    given = list(dict.fromkeys(t.answer for record in records for t in record.turns if t.answer is not None))
    own = dict.fromkeys(t.answer for record in records for t in record.turns if t.answer and not record.helps(t))
    numbers = {answer: value for answer in own if (value := read_number(answer)) is not None}
    return Question(
        item=records[0].result.item,
        text=records[0].result.question,
        debates=[_debate(society, record, stages) for record in records],
        stages=[name_stage(stage) for stage in stages],
        labels=labels.find(given, same),
        values=numbers,
        same=same,
        numeric=labels.numeric,
    )


class _Labels:
    """Names of classes of equal answers. Answers of two questions share a name if their texts or numbers are equal."""

    def __init__(self, numeric: bool) -> None:
        self.numeric = numeric
        self._known: dict[str, str] = {}

    def find(self, answers: Sequence[str], same: Same) -> dict[str, str]:
        """Return the name of each answer to a question."""
        found = {}
        for members in group(answers, same):
            first = answers[members[0]]
            value = read_number(first) if self.numeric else None
            plain = first.strip().casefold() if value is None else write_number(value)
            key = plain if value is not None or same(first, plain) else first
            name = self._known.setdefault(key, first.strip() if value is None and key == plain else key)
            found.update({answers[i]: name for i in members})
        return found


def _debate(society: Society, record: DebateRecord, stages: Sequence[Stage]) -> Debate:
    voters = record.voters(society)
    moments = walk(society, record, stages)
    speaking = [turn for turn in record.turns if not record.helps(turn)]
    return Debate(
        standing=[{name: turn for name, turn in m.standing.items() if name in voters} for m in moments],
        turns=speaking,
        heard=find_sources(record),
        decision=record.result.decision,
        verdicts=record.result.verdicts,
        scored=record.scored,
        voters=len(voters),
        exact={a: given.exact for a, given in record.result.judgements.items() if given.exact is not None},
        known=bool(record.result.gold),
    )


class _NumberNames:
    """Names of numbers for people. Questions whose texts begin alike keep their ids."""

    def __init__(self, names: Names, asked: Sequence[Question]) -> None:
        self._names, self._texts = names, {question.item: question.text for question in asked}
        times = Counter(map(name_question, self._texts.values()))
        shown = {item: name_question(text) for item, text in self._texts.items()}
        self._items = {item: name for item, name in shown.items() if name and times[name] == 1}

    def name(self, number: Number) -> Number:
        """Return the number with its names for people."""
        text = self._texts.get(number.group)
        if text is None:
            return replace(number, group=self._names.agent(number.group))
        named = self._names.answer(text, number.name)
        return replace(number, name=named, group=self._items.get(number.group, number.group))


def _report(metric: Metric, asked: Sequence[Question], stages: Sequence[str], names: _NumberNames) -> Reported:
    counts = [guarded(metric, metric.count)(question) for question in asked]
    found = _list_numbers(metric, _add(counts), stages)
    spread = _resample(metric, counts, stages) if metric.intervals and len(asked) >= LEAST_QUESTIONS else {}
    estimates = tuple(_estimate(number, len(asked), spread.get(_place(number))) for number in found)
    shown = tuple(replace(one, number=names.name(one.number)) for one in estimates)
    answer, sentence = guarded(metric, metric.describe)([one.number for one in shown])
    kind = str(getattr(metric, "kind", ""))
    return Reported(kind, metric.question, answer, sentence, metric.note, estimates, shown, tuple(stages))


def _list_numbers(metric: Metric, totals: Totals, stages: Sequence[str]) -> list[Number]:
    """Return the numbers of a metric, whose code may be a generator. Raises `ComponentError` if it fails."""
    with faults_of(metric, "numbers"):
        return list(metric.numbers(totals, stages))


def _estimate(number: Number, questions: int, interval: tuple[float, float] | None) -> Estimate:
    low, high = interval if interval is not None and number.value is not None else (None, None)
    return Estimate(number, questions, low, high)


def _place(number: Number) -> tuple[str, str, str]:
    return number.name, number.stage, number.group


def _add(counts: Sequence[Totals]) -> Totals:
    totals: defaultdict[Key, float] = defaultdict(float)
    for one in counts:
        for key, value in one.items():
            totals[key] += value
    return dict(totals)


def _resample(
    metric: Metric, counts: Sequence[Totals], stages: Sequence[str]
) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return the percentile interval of each number, from resamples of whole questions."""
    values: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    resamples = max(FEWEST, min(RESAMPLES, MOST_ADDITIONS // max(1, sum(map(len, counts)))))
    for totals in _totals_of_resamples(counts, resamples):
        for number in _list_numbers(metric, totals, stages):
            if number.value is not None:
                values[_place(number)].append(number.value)
    return {place: find_percentiles(found) for place, found in values.items() if _has_interval(found, resamples)}


def _has_interval(found: Sequence[float], resamples: int) -> bool:
    return len(found) >= DEFINED * resamples and max(found) > min(found)


def _totals_of_resamples(counts: Sequence[Totals], resamples: int) -> Iterator[Totals]:
    """Yield the sums of each resample of as many questions, drawn with replacement."""
    for row in draw_rows(len(counts), resamples):
        totals: defaultdict[Key, float] = defaultdict(float)
        for i, times in Counter(row).items():
            for key, value in counts[i].items():
                totals[key] += times * value
        yield totals
