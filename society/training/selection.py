"""From finished debates to training rows: each traceable to a turn and a rule, and what was left out counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from society.metrics.records import DebateRecord
from society.scenario.training import LearnerSpec
from society.selectors import Case
from society.types import ChatMessage, Example, Same, Turn


@dataclass
class TrainingSet:
    """Rows for one adapter, and how many turns were left out for which reason."""

    examples: list[Example] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def select_examples(
    learner: LearnerSpec,
    agents: Sequence[str],
    records: Sequence[DebateRecord],
    label: Literal["consensus", "gold"],
    same: Same,
    seed: int,
) -> TrainingSet:
    """What these agents' turns in these debates give to learn from."""
    found = TrainingSet()
    cases: list[Case] = []
    for record in records:
        for agent in agents:
            turns = [turn for turn in record.of(agent) if turn.id.phase in learner.phases]
            for turn in _which(turns, learner.turn):
                reason = _unusable(turn, record, label)
                if reason:
                    found.left_out[reason] += 1
                else:
                    cases.append(_case(turn, record.of(agent)[0], record, label, same))
    chosen = learner.select.choose(cases, seed)
    found.left_out["not selected"] = len(cases) - len(chosen)
    found.examples = [make_example(case.turn, rule) for case, rule in chosen]
    return found


def make_example(turn: Turn, rule: str) -> Example:
    """The row that teaches this turn: the chat as the model saw it, then what it said."""
    chat = (*turn.messages, ChatMessage("assistant", turn.text))
    return Example(chat, turn.id, rule, turn.tokens, turn.finish_reason)


def label_of(record: DebateRecord, label: Literal["consensus", "gold"]) -> str | None:
    """What counts as right in this debate. A consensus that was not reached, or only by breaking a tie, is none."""
    if label == "gold":
        return record.result.gold or None
    return None if record.result.decision.tied else record.result.decision.answer


def _which(turns: list[Turn], which: Literal["first", "last", "every"]) -> list[Turn]:
    return turns if which == "every" else turns[:1] if which == "first" else turns[-1:]


def _unusable(turn: Turn, record: DebateRecord, label: Literal["consensus", "gold"]) -> str:
    """Why a turn cannot be learned, or ""."""
    if turn.status == "failed":
        return "failed"
    if not turn.text.strip():
        return "empty"
    if turn.finish_reason == "length":
        return "cut off at max_tokens"  # learning it would teach to stop in the middle of a sentence
    if label_of(record, label) is None:
        return "no consensus" if label == "consensus" else "no true answer"
    return ""


def _case(turn: Turn, first: Turn, record: DebateRecord, label: Literal["consensus", "gold"], same: Same) -> Case:
    if label == "gold":
        agrees, agreed_first = record.right(turn), record.right(first)
        return Case(turn, agrees, agreed_first, record.result.correct)
    target = label_of(record, label)

    def is_label(said: Turn) -> bool:
        return said.answer is not None and target is not None and same(said.answer, target)

    return Case(turn, is_label(turn), is_label(first), True)
