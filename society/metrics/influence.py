"""Influence: adoption along each edge, and conformity with the majority."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from society.answers import choose_spelling, group
from society.core.types import Same, Turn, TurnId
from society.metrics.accuracy import share_true
from society.metrics.proportion import Proportion
from society.runs.records import DebateRecord, Question, sameness
from society.scenario.expand import Society

Verdict = tuple[Question, list[bool]]


@dataclass(frozen=True, slots=True)
class Flow:
    """Adoption of answers from `sender` to `reader`.

    read     readable turns of the sender that the reader read while it had a readable answer of its own
    differed turns among `read` with another answer than the reader's
    adopted  turns among `differed` after which the reader gave the sender's answer
    helped   adoptions that changed a wrong answer to a right one
    harmed   adoptions that changed a right answer to a wrong one
    silent   turns that were read while the sender or the reader had no readable answer
    muted    turns among `differed` after which the reader's answer was unreadable
    """

    sender: str
    reader: str
    read: int = 0
    differed: int = 0
    adopted: int = 0
    helped: int = 0
    harmed: int = 0
    silent: int = 0
    muted: int = 0

    def __add__(self, other: Flow) -> Flow:
        return replace(
            self,
            read=self.read + other.read,
            differed=self.differed + other.differed,
            adopted=self.adopted + other.adopted,
            helped=self.helped + other.helped,
            harmed=self.harmed + other.harmed,
            silent=self.silent + other.silent,
            muted=self.muted + other.muted,
        )


@dataclass(frozen=True, slots=True)
class Conformity:
    """Conformity with the majority that an agent reads, which is the single most frequent answer.

    `towards` is the share of changed answers after reading a majority that changed to it (Asch 1956), with unreadable
    new answers included. `followed` is the share of turns with another answer than the majority that changed to it;
    `followed_right` and `followed_wrong` are those with a right or wrong majority, where there is a true answer.
    `undecided` turns read no majority, and `silent` ones had no readable answer before. Neither is part of the shares.
    """

    towards: Proportion
    followed: Proportion
    followed_right: Proportion
    followed_wrong: Proportion
    undecided: int = 0
    silent: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A turn that read others: the agent's answer before and after, and the turns that it read."""

    record: DebateRecord
    before: Turn
    after: Turn
    sources: tuple[Turn, ...]

    @property
    def senders(self) -> tuple[Turn, ...]:
        """The latest turn of each sender among `sources`."""
        return tuple({turn.id.agent: turn for turn in self.sources}.values())


def list_readings(records: Sequence[DebateRecord]) -> Iterator[Reading]:
    """Return every turn in which an agent could change its earlier answer, with the turns that it read.

    Turns of helpers are no such turns: the reply of a summarizer, moderator or ranker is no answer.
    """
    for record in records:
        heard = find_sources(record)
        latest: dict[str, Turn] = {}
        for turn in (turn for turn in record.turns if not record.helps(turn)):
            before, sources = latest.get(turn.id.agent), heard[turn.id]
            if before is not None and sources:
                yield Reading(record, before, turn, sources)
            latest[turn.id.agent] = turn


def find_sources(record: DebateRecord) -> dict[TurnId, tuple[Turn, ...]]:
    """Return the turns of other speakers that each turn read, with a summary replaced by the summarized turns."""
    turns: dict[TurnId, Turn] = {turn.id: turn for turn in record.turns}
    found = {turn.id: [turns[i] for i in _direct(turn, turns) if i in turns] for turn in record.turns}
    return {
        reader: tuple(turn for turn in sources if turn.id.agent != reader.agent and not record.helps(turn))
        for reader, sources in found.items()
    }


def _direct(turn: Turn, turns: dict[TurnId, Turn]) -> list[TurnId]:
    """Return the turns that were read, with a summary replaced by the summarized turns."""
    found: dict[TurnId, None] = {}
    for source in turn.reads:
        inner = _direct(turns[source], turns) if "/" in source.agent and source in turns else [source]
        found.update(dict.fromkeys(inner))
    return list(found)


def count_flows(society: Society, records: Sequence[DebateRecord]) -> list[Flow]:
    """Return the adoption along each edge with messages, in the order of the agents."""
    same, names = sameness(society), list(society.agents)
    flows: dict[tuple[str, str], Flow] = {}
    for reading in list_readings(records):
        for source in reading.senders:
            edge = (source.id.agent, reading.after.id.agent)
            flows[edge] = flows.get(edge, Flow(*edge)) + _flow(reading, source, same)
    return sorted(flows.values(), key=lambda flow: (names.index(flow.sender), names.index(flow.reader)))


def _flow(reading: Reading, source: Turn, same: Same) -> Flow:
    flow = Flow(source.id.agent, reading.after.id.agent)
    if source.answer is None or reading.before.answer is None:
        return replace(flow, silent=1)
    if same(source.answer, reading.before.answer):
        return replace(flow, read=1)
    if reading.after.answer is None:
        return replace(flow, read=1, differed=1, muted=1)
    if not same(source.answer, reading.after.answer):
        return replace(flow, read=1, differed=1)
    was, now = reading.record.right(reading.before), reading.record.right(reading.after)  # never without a true answer
    return replace(flow, read=1, differed=1, adopted=1, helped=int(now and not was), harmed=int(was and not now))


def measure_conformity(society: Society, records: Sequence[DebateRecord]) -> Conformity:
    """Return the conformity over all turns that read a majority and had a readable answer before.

    An unreadable new answer counts as a change that follows no one.
    """
    same = sameness(society)
    changed: list[Verdict] = []
    both: list[Verdict] = []
    undecided = silent = 0
    followed: dict[bool, list[Verdict]] = {True: [], False: []}
    for reading in list_readings(records):
        majority = read_majority(reading.senders, same)
        undecided += majority is None
        silent += majority is not None and reading.before.answer is None
        if majority is None or reading.before.answer is None:
            continue
        own, new = reading.before.answer, reading.after.answer
        went = new is not None and same(new, majority)
        if not same(own, majority):
            both.append((reading.record.question, [went]))
        if new is None or not same(new, own):
            changed.append((reading.record.question, [went]))
        if not same(own, majority) and reading.record.scored:
            was_right = reading.record.result.verdicts.get(majority, False)
            followed[was_right].append((reading.record.question, [went]))
    return Conformity(
        share_true(changed),
        share_true(both),
        share_true(followed[True]),
        share_true(followed[False]),
        undecided,
        silent,
    )


def read_majority(senders: Sequence[Turn], same: Same) -> str | None:
    """Return the most frequent answer among the latest turns of senders, or None for a tie."""
    answers = [turn.answer for turn in senders if turn.answer is not None]
    classes = sorted(group(answers, same), key=len, reverse=True)
    if not classes or (len(classes) > 1 and len(classes[0]) == len(classes[1])):
        return None
    return choose_spelling([answers[i] for i in classes[0]])
