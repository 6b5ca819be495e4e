"""Selects training rows from finished debates. Each row names its turn and rule; turns left out are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from society.answers import group
from society.components.faults import faults_of
from society.components.labels.base import Label
from society.components.selectors import NOT_SELECTED, Case, require_chosen, require_weights
from society.core.exchanges import count_replies, replies
from society.core.types import UNUSUAL_ENDS, ChatMessage, Example, Turn, TurnId
from society.runs.records import DebateRecord
from society.scenario.models.training import LearnerSpec
from society.store.rows import ExampleRow
from society.training.contrast import AGAINST, Chooser, PromptOptions, contrast
from society.training.labels import Labels
from society.training.limits import Row, limit_rows

OVER_LIMIT, NO_WEIGHT = "beyond the learner's limit", "weight 0"
"""Reasons why chosen rows are left out."""


@dataclass
class TrainingSet:
    """Rows for one adapter, and the number of turns left out by reason."""

    examples: list[Example] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def select_examples(
    learner: LearnerSpec,
    agents: Sequence[str],
    records: Sequence[DebateRecord],
    labels: Labels,
    seed: int,
    place: str = "",
    others: Sequence[str] = (),
    options: PromptOptions = lambda turn: None,
) -> TrainingSet:
    """Return the training rows from these agents' turns in these debates, which may be of several iterations.

    The rows of each source agent are drawn with a seed of their own. So a learner of all agents gets the same rows as
    the agents' own learners. `place` names the training in errors. `others` are further agents of the learner: turns
    that are selected for them are no undesired replies. `options` returns what shaped the prompt of a turn beside its
    messages: the two replies of a pair follow one prompt.
    """
    found = TrainingSet()
    cases = _list_cases(learner, agents, records, labels, found.left_out)
    taken = _choose(learner, cases, seed, place, found.left_out)
    chosen = [row for row in taken if row.weight > 0]
    found.left_out[NO_WEIGHT] += len(taken) - len(chosen)
    desired = {row.case.turn.id for row in taken}
    if learner.objective.contrast == "pair" and others:
        theirs = _list_cases(learner, others, records, labels, Counter())
        desired |= {row.case.turn.id for row in _choose(learner, theirs, seed, place, Counter())}
    chooser = Chooser(learner.objective, desired, labels.same, seed, options, place)
    rows = contrast(chooser, chosen, cases, found.left_out)
    able = {case.turn.id for case in cases}
    limited = limit_rows(learner, rows, _count_newest(records), seed)
    found.left_out[OVER_LIMIT] += len(rows) - len({id(row.case) for row in limited})
    found.left_out[NOT_SELECTED] -= len(able & {row.against.id for row in limited if row.against is not None})
    found.examples = _make_examples(limited)
    found.left_out = +found.left_out
    return found


def _count_newest(records: Iterable[DebateRecord]) -> int:
    """Return the number of debates of the last iteration, of which limits may be a share."""
    iterations = [record.result.iteration for record in records]
    return iterations.count(max(iterations, default=0))


def _list_cases(
    learner: LearnerSpec,
    agents: Sequence[str],
    records: Sequence[DebateRecord],
    labels: Labels,
    left_out: Counter[str],
) -> list[Case]:
    """Return the turns of these agents that have a label and may be learned, and count the others."""
    cases: list[Case] = []
    questions = _Questions(learner, records, labels)
    for record in records:
        for agent in agents:
            label = labels.find(record, agent)
            turns = [turn for turn in record.every(agent) if turn.id.phase in learner.phases]
            for turn in _which(turns, learner.turn):
                unusable = _unusable(turn) or label.reason
                if unusable:
                    left_out[unusable] += 1
                else:
                    cases.append(_case(turn, record, labels, label, questions))
    return cases


def _choose(learner: LearnerSpec, cases: Sequence[Case], seed: int, place: str, left_out: Counter[str]) -> list[Row]:
    """Return the rows that all selectors of a learner choose, with their rules and weights, of which some may be 0."""
    rows = [Row(case) for case in cases]
    for selector in learner.selectors:
        known = {id(row.case): row for row in rows}
        given = [row.case for row in rows]
        with faults_of(selector, "choose", place):
            chosen = require_chosen(selector.choose(given, seed), given)
            left_out += selector.explain(given, seed)
        with faults_of(selector, "weigh", place):
            weights = require_weights(selector.weigh([case for case, _ in chosen], seed), len(chosen))
            rows = [known[id(case)].chosen(rule, weight) for (case, rule), weight in zip(chosen, weights, strict=True)]
    return rows


def _make_examples(rows: Sequence[Row]) -> list[Example]:
    """Return the training rows; their weights have the mean 1."""
    found = [(row, part) for row in rows for part in range(count_replies(row.case.turn))]
    mean = sum(row.weight for row, _ in found) / len(found) if found else 1.0
    return [example for row, part in found for example in _examples(row, row.weight / mean, part)]


def _examples(row: Row, weight: float, part: int) -> Iterator[Example]:
    """Yield the example of a reply of a row, or the two of a pair, of which the second is undesired."""
    yield make_example(row.case.turn, row.rule, weight, part, row.desired)
    if row.against is not None:
        yield after_prompt(make_example(row.against, AGAINST, weight, desired=False), row.case.turn)


def after_prompt(example: Example, turn: Turn) -> Example:
    """Return an example whose reply follows the prompt of another turn."""
    return replace(example, messages=(*turn.messages, example.messages[-1]))


def find_prompts(rows: Iterable[Example | ExampleRow], paired: bool) -> list[TurnId]:
    """Return the turn whose prompt each row follows: its own, or that of the desired reply before it in a pair."""
    found: list[TurnId] = []
    for row in rows:
        found.append(found[-1] if paired and not row.desired and found else row.source)
    return found


def make_example(turn: Turn, rule: str, weight: float = 1.0, part: int = 0, desired: bool = True) -> Example:
    """Return the training row of a reply of a turn: the chat as the model saw it, then the thought and the reply.

    Calls of tools are learned in replies of their own; results are only part of the chat before the next reply.
    """
    chat, reply = [*replies(turn)][part]
    thought_tokens = reply.usage.thought_tokens if reply.tokens is not None else 0
    learned = (reply.tokens, reply.finish_reason, reply.thought, thought_tokens)
    chat = (*chat, ChatMessage("assistant", reply.text))
    return Example(chat, turn.id, rule, *learned, weight=weight, part=part, desired=desired)


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
    if turn.calls and turn.calls[-1].status == "refused":
        return "ended by a refused call of a tool"
    return "ended early" if turn.finish_reason in UNUSUAL_ENDS or turn.usage.defaults else ""


def _case(turn: Turn, record: DebateRecord, labels: Labels, label: Label, questions: _Questions) -> Case:
    first = record.of(turn.id.agent)[0]
    group, against = questions.sides(record, label)
    return Case(
        turn,
        agrees=labels.agree(turn, label, record),
        agreed_first=labels.agree(first, label, record),
        success=labels.accept(record.result.decision.answer, label, record),
        first_read=first.answer is not None,
        share=label.share,
        margin=label.margin,
        witnessed=_is_witnessed(turn.id.agent, record, labels, label),
        group=group,
        against=against,
    )


def _is_witnessed(agent: str, record: DebateRecord, labels: Labels, label: Label) -> bool:
    """Return whether the label is the only most frequent answer among the others' first answers before any reading."""
    others = [name for name in record.speakers if name != agent]
    blind = [turn for turn in record.first(others) if not turn.reads and turn.answer is not None]
    backers = sum(labels.agree(turn, label, record) for turn in blind)
    rest = [turn.answer for turn in blind if turn.answer is not None and not labels.agree(turn, label, record)]
    return backers > max(map(len, group(rest, labels.same)), default=0)


@dataclass
class _Questions:
    """The turns of all speakers that a learner could learn, by question."""

    learner: LearnerSpec
    records: Sequence[DebateRecord]
    labels: Labels
    _turns: dict[str, list[Turn]] | None = None
    _sides: dict[tuple[int, str, int, Label], tuple[tuple[Turn, ...], tuple[Turn, ...]]] = field(default_factory=dict)

    def sides(self, record: DebateRecord, label: Label) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
        """Return the turns on a debate's question whose answer is the label, and those with another answer."""
        key = (record.result.iteration, record.result.item, record.result.sample, label)
        if key not in self._sides:
            for_label: tuple[list[Turn], list[Turn]] = ([], [])
            for turn in self._list(record.result.item):
                for_label[not self.labels.agree(turn, label, record)].append(turn)
            self._sides[key] = (tuple(for_label[0]), tuple(for_label[1]))
        return self._sides[key]

    def _list(self, item: str) -> list[Turn]:
        if self._turns is None:
            self._turns = {}
            for record in self.records:
                self._turns.setdefault(record.result.item, []).extend(self._learnable(record))
        return self._turns.get(item, [])

    def _learnable(self, record: DebateRecord) -> list[Turn]:
        found: list[Turn] = []
        for agent in record.speakers:
            turns = [turn for turn in record.of(agent) if turn.id.phase in self.learner.phases]
            found += [t for t in _which(turns, self.learner.turn) if not _unusable(t) and t.answer is not None]
        return found
