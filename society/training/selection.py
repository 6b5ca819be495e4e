"""Selects training rows from finished debates. Each row names its turn and rule; turns left out are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from society.components.selectors import Case
from society.core.types import UNUSUAL_ENDS, ChatMessage, Example, Turn
from society.runs.records import DebateRecord
from society.scenario.models.training import LearnerSpec
from society.training.labels import Labels
from society.training.limits import limit_rows

OVER_LIMIT = "beyond the learner's limit"
"""Reason why chosen rows are left out."""


@dataclass
class TrainingSet:
    """Rows for one adapter, and the number of turns left out by reason."""

    examples: list[Example] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def select_examples(
    learner: LearnerSpec, agents: Sequence[str], records: Sequence[DebateRecord], labels: Labels, seed: int
) -> TrainingSet:
    """Return the training rows from these agents' turns in these debates.

    The rows of each source agent are drawn with a seed of their own. So a learner of all agents gets the same rows as
    the agents' own learners.
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
    """Return the training row of a turn: the chat as the model saw it, then its reply, with the thought before it."""
    chat = (*turn.messages, ChatMessage("assistant", turn.text))
    thought_tokens = turn.usage.thought_tokens if turn.tokens is not None else 0
    return Example(chat, turn.id, rule, turn.tokens, turn.finish_reason, turn.thought, thought_tokens)


def _which(turns: list[Turn], which: Literal["first", "last", "every"]) -> list[Turn]:
    if which == "every":
        return turns
    return turns[:1] if which == "first" else turns[-1:]


def _unusable(turn: Turn) -> str:
    """Return why a turn cannot be a training row whatever the label is, or ""."""
    if turn.status == "failed":
        return "failed"
    if not turn.text.strip():
        return "no text after the thought" if turn.thought else "empty"
    if turn.finish_reason == "length":
        return "cut off at max_tokens"  # it would teach the model to stop in the middle of a sentence
    return "ended early" if turn.finish_reason in UNUSUAL_ENDS else ""


def _case(turn: Turn, first: Turn, record: DebateRecord, labels: Labels) -> Case:
    read = first.answer is not None
    if labels.kind == "gold":
        return Case(turn, record.right(turn), record.right(first), record.result.correct, read)
    target = labels.find(record)

    def is_label(turn: Turn) -> bool:
        return turn.answer is not None and target is not None and labels.same(turn.answer, target)

    return Case(turn, is_label(turn), is_label(first), True, read)
