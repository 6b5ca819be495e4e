"""Turns finished debates into training rows: each is traced to a turn and a rule, and what is left out is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from society.components.selectors import Case
from society.core.types import ChatMessage, Example, Turn
from society.runs.records import DebateRecord
from society.scenario.models.training import LearnerSpec
from society.training.labels import Labels
from society.training.limits import limit_rows

OVER_LIMIT = "beyond the learner's limit"
"""Why rows are left out that the selector took."""


@dataclass
class TrainingSet:
    """Rows for one adapter, and how many turns were left out for which reason."""

    examples: list[Example] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def select_examples(
    learner: LearnerSpec, agents: Sequence[str], records: Sequence[DebateRecord], labels: Labels, seed: int
) -> TrainingSet:
    """Return what these agents' turns in these debates give to learn from.

    Each source agent's rows are drawn with a seed of their own. So a learner of all agents takes the rows that the
    agents' own learners would take.
    """
    found = TrainingSet()
    cases: list[Case] = []
    for record in records:
        reason = labels.explain(record)
        for agent in agents:
            turns = [turn for turn in record.every(agent) if turn.id.phase in learner.phases]
            for turn in _which(turns, learner.turn):
                unusable = _unusable(turn) or reason
                if unusable:
                    found.left_out[unusable] += 1
                else:
                    cases.append(_case(turn, record.of(agent)[0], record, labels))
    chosen = learner.select.choose(cases, seed)
    found.left_out += learner.select.explain(cases, seed)
    limited = limit_rows(learner, chosen, len(records), seed)
    found.left_out[OVER_LIMIT] += len(chosen) - len({id(case) for case, _ in limited})
    found.examples = [make_example(case.turn, rule) for case, rule in limited]
    found.left_out = +found.left_out
    return found


def make_example(turn: Turn, rule: str) -> Example:
    """Return the row that teaches this turn: the chat as the model saw it, then what it said."""
    chat = (*turn.messages, ChatMessage("assistant", turn.text))
    return Example(chat, turn.id, rule, turn.tokens, turn.finish_reason)


def _which(turns: list[Turn], which: Literal["first", "last", "every"]) -> list[Turn]:
    if which == "every":
        return turns
    return turns[:1] if which == "first" else turns[-1:]


def _unusable(turn: Turn) -> str:
    """Why a turn cannot be learned, whatever the label is, or ""."""
    if turn.status == "failed":
        return "failed"
    if not turn.text.strip():
        return "empty"
    if turn.finish_reason == "length":
        return "cut off at max_tokens"  # learning it would teach to stop in the middle of a sentence
    return ""


def _case(turn: Turn, first: Turn, record: DebateRecord, labels: Labels) -> Case:
    read = first.answer is not None
    if labels.kind == "gold":
        return Case(turn, record.right(turn), record.right(first), record.result.correct, read)
    target = labels.find(record)

    def is_label(said: Turn) -> bool:
        return said.answer is not None and target is not None and labels.same(said.answer, target)

    return Case(turn, is_label(turn), is_label(first), True, read)
