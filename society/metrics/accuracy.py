"""Accuracy over debates: shares of right answers with a confidence interval, clustered by question.

Questions without a true answer are no part of any of these shares. Without any other, a share has n = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from society.metrics.proportion import Proportion, clustered
from society.runs.records import DebateRecord, Question, by_question, with_truth


def share_right(
    records: Sequence[DebateRecord], judge: Callable[[DebateRecord], Sequence[bool]], confidence: float = 0.95
) -> Proportion:
    """Return the share of true values among those that `judge` returns for each debate, clustered by question."""
    return share_true(((record.question, judge(record)) for record in with_truth(records)), confidence)


def share_true(verdicts: Iterable[tuple[Question, Sequence[bool]]], confidence: float = 0.95) -> Proportion:
    """Return the share of true values among these verdicts on questions, clustered by question."""
    clusters: dict[Question, list[bool]] = {}
    for question, found in verdicts:
        clusters.setdefault(question, []).extend(found)
    return clustered([(sum(found), len(found)) for found in clusters.values()], confidence)


def accuracy(records: Sequence[DebateRecord], confidence: float = 0.95) -> Proportion:
    """Return the share of debates with a right decision. An undecided debate counts as wrong.

    A debate whose decision rule gives no single answer is no part of the share.
    """
    return share_right(decisive(records), lambda record: [record.result.correct], confidence)


def score_questions(records: Iterable[DebateRecord]) -> dict[Question, list[float]]:
    """Return 1 for each debate with a right decision and 0 for each other, by question with a true answer.

    A debate whose decision rule gives no single answer is left out.
    """
    found = by_question(decisive(records)).items()
    return {question: [float(record.result.correct) for record in group] for question, group in found}


def decisive(records: Iterable[DebateRecord]) -> list[DebateRecord]:
    """Return the debates whose decision is right or wrong: there is a true answer, and the rule gives one answer."""
    return [record for record in with_truth(records) if record.result.decision.single]
