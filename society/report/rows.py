"""Debates as compact rows for the page's list and filters, and their long texts in chunks.

A row is a JSON object whose `turns` are arrays in the order of `TURN`. Answers that the task treats as equal share a
group, so that the page can colour and compare them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from society.answers.grouping import group
from society.core.columns import list_columns
from society.core.types import Same, ToolCall, Turn
from society.runs.names import Names
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
"""Filters of the page; a row's `tags` is a bit mask in this order. The first seven also apply to single agents.

disagreed   an answer that differs from the society's decision    unparsed   a turn without a readable answer
to_wrong    first answer right, last answer wrong                 failed     a failed turn
to_right    first answer wrong, last answer right                 pending    a debate in progress
to_unread   first answer right, last turn without a readable answer
to_read     first turn without a readable answer, last answer right
"""
_IN_ANOTHER_FORM = {
    "iteration",
    "item",
    "sample",
    "phase",
    "round",
    "agent",
    "answer",
    "status",
    "error",
    "reads",
    "recalls",
    "thought",
    "calls",
}
_NOT_SHOWN = {
    "key",
    "messages",
    "text",
    "finish_reason",
    "cached_tokens",
    "seconds",
    "logprob",
    "adapter",
    "tokens",
    "tool_seconds",
}
_ELSEWHERE = _IN_ANOTHER_FORM | _NOT_SHOWN | {"replied"}
"""Columns of a turn that its row has in another form, and those that the page does not show."""
_SHOWN = [column for column in list_columns(Turn) if column.name not in _ELSEWHERE]
TURN = (
    *("stage", "agent", "answer", "state", "reads", "recalls", "thought", "calls", "note"),
    *(column.name for column in _SHOWN),
)
"""Values of a turn: `answer` indexes the row's answers, -1 for none; `reads` indexes its turns; `recalls` has item,
sample, stage and agent of each turn that it remembered; `state` see `_state`; `thought` is its number of characters,
`calls` the number of calls of tools; `note` is the remark on a turn that did not fail.

The others are columns of `Turn`. The page shows the ones that it does not know as `name: value`.
"""
_GETTERS = [attrgetter(column.path) for column in _SHOWN]
RESULT = ("item", "iteration", "sample", "question", "gold", "correct", "scored")
"""Fields of a debate's result that a row has, too."""
CHUNK = 64
"""Number of debates in a chunk of texts."""

LONGEST_PROMPT = 100_000
"""Maximum characters of one text of a prompt in the page."""
PROMPTS_OF_DEBATE = 1_000_000
"""Maximum characters of the prompts of one debate in the page."""

Json = dict[str, Any]
_BIT = {tag: 1 << i for i, tag in enumerate(TAGS)}


def list_stages(society: Society) -> list[tuple[str, int]]:
    """Return every (phase, round) of the scenario in order. Rows refer to them by index."""
    return society.stages()


@dataclass(frozen=True)
class RowMaker:
    """Builds the rows of one run's debates."""

    society: Society
    same: Same

    @cached_property
    def names(self) -> Names:
        """The names of agents and answers."""
        return Names(self.society)

    def row(self, record: DebateRecord, pending: bool = False) -> Json:
        """Return the row of one debate, without the texts of its turns."""
        result, decision = record.result, record.result.decision
        answers = self._answers(record)
        index = {text: i for i, (text, *_) in enumerate(answers)}
        decided = -1 if decision.answer is None else index[decision.answer]
        masks = {name: self._agent_tags(record, name, answers, decided) for name in self._speakers(record)}
        by = {name: mask for name, mask in masks.items() if mask}
        tags = 0
        for mask in by.values():
            tags |= mask
        tags |= _BIT["failed"] * any(turn.status == "failed" for turn in record.turns)
        tags |= _BIT["pending"] if pending else self._ending(record)
        return {name: getattr(result, name) for name in RESULT} | {
            "decision": decided,
            "support": round(decision.support, 4),
            "backing": self.names.support(record),
            "reason": self.names.reason(record),
            "truth": self.names.answer(result.question, result.gold),
            "single": decision.single,
            "answers": answers,
            "turns": self._turns(record, index),
            "tags": tags,
            "by": by,
        }

    def _answers(self, record: DebateRecord) -> list[tuple[str, int, bool, str]]:
        """Return (text, group, whether right, name) of each distinct answer, in order of appearance.

        The name is "" if it is the text.
        """
        given = [turn.answer for turn in record.turns] + [record.result.decision.answer]
        texts = list(dict.fromkeys(text for text in given if text is not None))
        groups = {i: number for number, members in enumerate(group(texts, self.same)) for i in members}
        question, verdicts = record.result.question, record.result.verdicts
        names = [self.names.answer(question, text) for text in texts]
        return [
            (text, groups[i], verdicts.get(text, False), "" if name == text else name)
            for i, (text, name) in enumerate(zip(texts, names, strict=True))
        ]

    def _speakers(self, record: DebateRecord) -> dict[str, None]:
        """Return the agents that took turns, without helpers that summarise, moderate or rank."""
        known = {name for phase in self.society.phases for name in phase.speakers}
        return dict.fromkeys(turn.id.agent for turn in record.turns if turn.id.agent in known)

    def _turns(self, record: DebateRecord, index: dict[str, int]) -> list[list[Any]]:
        """Return the values of each turn, in the order of `TURN`."""
        stages = {stage: i for i, stage in enumerate(list_stages(self.society))}
        number = {turn.id: i for i, turn in enumerate(record.turns)}
        rows: list[list[Any]] = []
        for turn in record.turns:
            stage = stages.get((turn.id.phase, turn.id.round), -1)
            answer = -1 if turn.answer is None else index[turn.answer]
            reads = [number[source] for source in turn.reads if source in number]
            recalls = [[i.item, i.sample, stages.get((i.phase, i.round), -1), i.agent] for i in turn.recalls]
            note = "" if turn.status == "failed" else turn.error
            known = [stage, turn.id.agent, answer, _state(turn), reads, recalls]
            known += [len(turn.thought), len(turn.calls), note]
            rows.append([*known, *(get(turn) for get in _GETTERS)])
        return rows

    def _agent_tags(
        self, record: DebateRecord, agent: str, answers: Sequence[tuple[str, int, bool, str]], decided: int
    ) -> int:
        turns = record.of(agent)
        if not turns:
            return 0
        groups = {text: number for text, number, *_ in answers}
        decision = answers[decided][1] if decided >= 0 else -1
        first, last = turns[0], turns[-1]
        readable = len(turns) > 1 and first.answer is not None and last.answer is not None
        was_right, is_right = record.right(first), record.right(last)
        states = {(turn.status, turn.answer is None) for turn in turns}
        found = {
            "disagreed": any(t.answer is not None and groups[t.answer] != decision for t in turns),
            "to_wrong": readable and was_right and not is_right,
            "to_right": readable and is_right and not was_right,
            "to_unread": was_right and last.answer is None,
            "to_read": first.answer is None and is_right,
            "unparsed": ("ok", True) in states,
            "failed": any(status == "failed" for status, _ in states),
        }
        return sum(_BIT[tag] for tag, holds in found.items() if holds)

    @staticmethod
    def _ending(record: DebateRecord) -> int:
        decision = record.result.decision
        undecided = decision.answer is None and decision.single
        wrong = record.scored and decision.single and not record.result.correct
        return _BIT["undecided"] * undecided | _BIT["wrong"] * wrong


def _state(turn: Turn) -> int:
    """Return 1 for a failed turn, 2 for a reply cut off at the token limit, otherwise 0."""
    if turn.status == "failed":
        return 1
    return 2 if turn.finish_reason == "length" else 0


def reply_texts(records: Iterable[DebateRecord]) -> list[list[str]]:
    """Return the text of each turn by debate; for a failed turn, its error."""
    return [[t.error if t.status == "failed" else t.text for t in record.turns] for record in records]


def thought_texts(records: Iterable[DebateRecord]) -> list[list[str]]:
    """Return the thought of each turn by debate."""
    return [[turn.thought for turn in record.turns] for record in records]


def call_texts(records: Iterable[DebateRecord]) -> list[list[list[Json]]]:
    """Return the calls of tools of each turn by debate: before each, the text of the reply that makes it."""
    found = []
    for record in records:
        room = PROMPTS_OF_DEBATE
        turns = []
        for turn in record.turns:
            texts = [text for call in turn.calls for text in (_said(call), call.given, call.result)]
            cut = iter(_cut(texts, room))
            room -= sum(map(len, texts))
            turns.append(
                [
                    {"tool": c.tool, "status": c.status, "said": next(cut), "given": next(cut), "result": next(cut)}
                    for c in turn.calls
                ]
            )
        found.append(turns)
    return found


def _said(call: ToolCall) -> str:
    """Return the text before a call in its reply."""
    return call.reply.text.partition("<use ")[0].strip() if call.reply is not None else ""


def prompt_texts(records: Iterable[DebateRecord]) -> list[Json]:
    """Return the prompts by debate: each text once, and for each turn a list of [role, index of the text].

    Long texts are cut, as a small store can refer to one long text from every turn.
    """
    found = []
    for record in records:
        texts: dict[str, int] = {}
        chats = [[[m.role, texts.setdefault(m.content, len(texts))] for m in t.messages] for t in record.turns]
        found.append({"texts": _cut(texts, PROMPTS_OF_DEBATE), "turns": chats})
    return found


def _cut(texts: Iterable[str], room: int) -> list[str]:
    """Return texts of one debate, cut where they are too long, with a note. `room`: characters of all together."""
    shown = []
    for text in texts:
        most = max(min(LONGEST_PROMPT, room), 0)
        note = f"\n(cut here: {len(text):,} characters; the run folder has the whole text)"
        shown.append(text if len(text) <= most else text[:most] + note)
        room -= min(len(text), most)
    return shown
