"""Debates as compact rows: what the page's list and filters need at once, and the long texts in chunks for later.

A row is a JSON object; `turns` in it are arrays in the order of `TURN`. Answers that the task holds to be the same
share a group, so the page can colour and compare them without knowing the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from society.answers.grouping import group
from society.core.types import Same, Turn
from society.runs.records import DebateRecord
from society.scenario.expand import Society

TAGS = (
    "disagreed",
    "to_wrong",
    "to_right",
    "to_unread",
    "to_read",
    "unparsed",
    "failed",
    "undecided",
    "wrong",
    "pending",
)
"""What the page can filter by; a row's `tags` is a bit mask in this order. The first seven hold of agents too:
disagreed   gave an answer other than the society's decision     unparsed   a turn without a readable answer
to_wrong    first answer right, last one wrong                   failed     a turn that failed
to_right    first answer wrong, last one right                   pending    not decided yet (a run under way)
to_unread   first answer right, last turn without a readable one
to_read     first turn without a readable answer, last one right
"""
TURN = ("stage", "agent", "answer", "state", "generated", "prompt", "reads", "confidence")
"""`answer` indexes the row's answers, -1 for none; `reads` indexes its turns; `state` see `_state`."""
CHUNK = 64
"""Debates in one chunk of texts."""

Json = dict[str, Any]
_BIT = {tag: 1 << i for i, tag in enumerate(TAGS)}


def list_stages(society: Society) -> list[tuple[str, int]]:
    """Every (phase, round) that the scenario allows, in order; rows name them by position."""
    return [(phase.name, number) for phase in society.phases for number in range(1, phase.spec.rounds + 1)]


@dataclass(frozen=True)
class RowMaker:
    """Makes the rows of one run's debates."""

    society: Society
    same: Same

    def row(self, record: DebateRecord, pending: bool = False) -> Json:
        """One debate, without the texts that were said."""
        r, decision = record.result, record.result.decision
        answers = self._answers(record)
        place = {text: i for i, (text, _, _) in enumerate(answers)}
        decided = place[decision.answer] if decision.answer is not None else -1
        masks = {name: self._agent_tags(record, name, answers, decided) for name in self._speakers(record)}
        by = {name: mask for name, mask in masks.items() if mask}
        tags = 0
        for mask in by.values():
            tags |= mask
        tags |= _BIT["failed"] * any(turn.status == "failed" for turn in record.turns)
        tags |= _BIT["pending"] if pending else self._ending(record)
        return {
            "item": r.item, "iteration": r.iteration, "sample": r.sample, "question": r.question, "gold": r.gold,
            "decision": decided, "support": round(decision.support, 4), "reason": decision.reason,
            "correct": r.correct, "answers": answers, "turns": self._turns(record, place), "tags": tags, "by": by,
        }  # fmt: skip

    def _answers(self, record: DebateRecord) -> list[tuple[str, int, bool]]:
        """Each distinct answer: its text, its group and whether it is right; in the order first given."""
        given = [turn.answer for turn in record.turns] + [record.result.decision.answer]
        texts = list(dict.fromkeys(text for text in given if text is not None))
        groups = {i: number for number, members in enumerate(group(texts, self.same)) for i in members}
        return [(text, groups[i], record.result.verdicts.get(text, False)) for i, text in enumerate(texts)]

    def _speakers(self, record: DebateRecord) -> dict[str, None]:
        """Who took part itself: not the helpers that summarise, moderate or rank."""
        known = {name for phase in self.society.phases for name in phase.speakers}
        return dict.fromkeys(turn.id.agent for turn in record.turns if turn.id.agent in known)

    def _turns(self, record: DebateRecord, place: dict[str, int]) -> list[list[Any]]:
        stages = {stage: i for i, stage in enumerate(list_stages(self.society))}
        number = {turn.id: i for i, turn in enumerate(record.turns)}
        return [
            [
                stages.get((turn.id.phase, turn.id.round), -1), turn.id.agent,
                -1 if turn.answer is None else place[turn.answer], _state(turn),
                turn.usage.generated_tokens, turn.usage.prompt_tokens,
                [number[i] for i in turn.reads if i in number],
                None if turn.confidence is None else round(turn.confidence, 3),
            ]
            for turn in record.turns
        ]  # fmt: skip

    def _agent_tags(
        self, record: DebateRecord, agent: str, answers: Sequence[tuple[str, int, bool]], decided: int
    ) -> int:
        turns = record.of(agent)
        if not turns:
            return 0
        groups = {text: number for text, number, _ in answers}
        outcome = answers[decided][1] if decided >= 0 else -1
        first, last = turns[0], turns[-1]
        readable = len(turns) > 1 and first.answer is not None and last.answer is not None
        was, now = record.right(first), record.right(last)
        found = {
            "disagreed": any(t.answer is not None and groups[t.answer] != outcome for t in turns),
            "to_wrong": readable and was and not now,
            "to_right": readable and now and not was,
            "to_unread": was and last.answer is None,
            "to_read": first.answer is None and now,
            "unparsed": any(t.answer is None and t.status == "ok" for t in turns),
            "failed": any(t.status == "failed" for t in turns),
        }
        return sum(_BIT[tag] for tag, holds in found.items() if holds)

    @staticmethod
    def _ending(record: DebateRecord) -> int:
        undecided = record.result.decision.answer is None
        return _BIT["undecided"] * undecided | _BIT["wrong"] * (not record.result.correct)


def _state(turn: Turn) -> int:
    """0 as it should be, 1 failed, 2 cut off at the token limit."""
    return 1 if turn.status == "failed" else 2 if turn.finish_reason == "length" else 0


def reply_texts(records: Iterable[DebateRecord]) -> list[list[str]]:
    """What was said in each debate, turn by turn; of a failed turn, what went wrong."""
    return [[t.error if t.status == "failed" else t.text for t in record.turns] for record in records]


def prompt_texts(records: Iterable[DebateRecord]) -> list[Json]:
    """What the models were given in each debate: `texts` once each, and per turn a list of [role, text's index]."""
    found = []
    for record in records:
        texts: dict[str, int] = {}
        chats = [[[m.role, texts.setdefault(m.content, len(texts))] for m in t.messages] for t in record.turns]
        found.append({"texts": list(texts), "turns": chats})
    return found
