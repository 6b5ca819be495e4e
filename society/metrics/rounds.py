"""How a debate goes, round by round: who is right when, which answers flip, when all agree, what it costs.

What counts after a round is every agent's *standing* answer: the last one it gave up to then. So a debate that
stops early, or in which only one agent speaks at a time, stays in the figures of all rounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from society.answers import group
from society.core.types import Same, Turn
from society.metrics.accuracy import share_true
from society.metrics.flips import Flips, count_names
from society.metrics.proportion import Proportion
from society.metrics.summary import flip
from society.runs.records import DebateRecord, Question, sameness, vote_is_right
from society.scenario.expand import Society

Stage = tuple[str, int]
"""A phase's name and a round of it, from 1."""


@dataclass(frozen=True, slots=True)
class RoundScore:
    """What stands after a round. `answers`: accuracy of the agents' standing answers, clustered by question;
    `agents`: the same for each agent; `vote`: accuracy of a majority vote over them. `tokens` are generated tokens
    a debate until then, `spent` in this round alone (means over all debates). `flips`: from each agent's answer
    before to its answer in this round. `unread` and `failed` turns of this round count as wrong; `lost`
    of them followed a right answer, and `found` right answers followed an unreadable or failed turn. `cut_off` replies
    ended at the token limit."""

    phase: str
    round: int
    answers: Proportion
    vote: Proportion
    agents: Mapping[str, Proportion]
    flips: Flips
    tokens: float
    spent: float
    turns: int
    unread: int
    failed: int
    cut_off: int = 0

    @property
    def lost(self) -> int:
        """Right answers that became unreadable or failed in this round."""
        return self.flips.right_to_unread

    @property
    def found(self) -> int:
        """Right answers in this round of agents that had no readable answer before."""
        return self.flips.unread_to_right

    @property
    def name(self) -> str:
        """As in a table or below an axis."""
        return _name((self.phase, self.round))


@dataclass(frozen=True, slots=True)
class Agreement:
    """When the agents come to agree. `reached`: for each stage, the debates in which from then to the end all
    agents stood by one readable answer, and not before; `never`: those in which they did not. `right` of the
    `agreed` are right."""

    reached: Mapping[str, int]
    never: int
    right: Proportion

    @property
    def agreed(self) -> int:
        """Debates that end in agreement."""
        return sum(self.reached.values())


@dataclass(frozen=True, slots=True)
class Moment:
    """One debate after one stage: the turns of it, each agent's turn before, each agent's standing turn."""

    record: DebateRecord
    stage: Stage
    turns: tuple[Turn, ...]
    before: Mapping[str, Turn]
    standing: Mapping[str, Turn]


def list_stages(society: Society, records: Sequence[DebateRecord]) -> list[Stage]:
    """Every phase and round that any debate reached, in order."""
    place = {phase.name: phase.index for phase in society.phases}
    found = {(turn.id.phase, turn.id.round) for record in records for turn in record.turns}
    return sorted(found, key=lambda stage: (place.get(stage[0], -1), stage[1]))


def walk(society: Society, record: DebateRecord, stages: Sequence[Stage]) -> Iterator[Moment]:
    """The debate after each of these stages; helpers (summarizers, moderators, rankers) do not stand."""
    speakers = {phase.name: frozenset(phase.speakers) for phase in society.phases}
    said: dict[Stage, list[Turn]] = defaultdict(list)
    for turn in record.turns:
        said[turn.id.phase, turn.id.round].append(turn)
    standing: dict[str, Turn] = {}
    for stage in stages:
        before = dict(standing)
        standing.update({t.id.agent: t for t in said[stage] if t.id.agent in speakers.get(stage[0], ())})
        yield Moment(record, stage, tuple(said[stage]), before, dict(standing))


def score_rounds(society: Society, records: Sequence[DebateRecord]) -> list[RoundScore]:
    """A score for every phase and round, in order."""
    stages, same = list_stages(society, records), sameness(society)
    played = [list(walk(society, record, stages)) for record in records]
    scores: list[RoundScore] = []
    for i in range(len(stages)):
        moments = [moments[i] for moments in played]
        so_far = scores[-1].tokens if scores else 0.0
        scores.append(_score(society, moments, so_far, same))
    return scores


def _score(society: Society, moments: Sequence[Moment], so_far: float, same: Same) -> RoundScore:
    stands = [(moment.record, _current(moment)) for moment in moments]
    turns = [turn for moment in moments for turn in moment.turns]
    spent = sum(turn.usage.generated_tokens for turn in turns) / len(moments)
    speaking = [(m, turn) for m in moments for turn in m.turns if m.standing.get(turn.id.agent) is turn]
    again = [(m.record, m.before[t.id.agent], t) for m, t in speaking if t.id.agent in m.before]
    return RoundScore(
        phase=moments[0].stage[0],
        round=moments[0].stage[1],
        answers=share_true((r.question, [r.right(turn) for turn in stand.values()]) for r, stand in stands),
        vote=share_true((r.question, [vote_is_right(society, r, [*stand.values()], same)]) for r, stand in stands),
        agents=_score_agents(society, stands),
        flips=count_names(flip(record, before, turn, same) for record, before, turn in again),
        tokens=so_far + spent,
        spent=spent,
        turns=len(turns),
        unread=sum(turn.answer is None and turn.status == "ok" for _, turn in speaking),
        failed=sum(turn.status == "failed" for turn in turns),
        cut_off=sum(turn.status == "ok" and turn.finish_reason == "length" for turn in turns),
    )


def _score_agents(society: Society, stands: Sequence[tuple[DebateRecord, Mapping[str, Turn]]]) -> dict[str, Proportion]:
    verdicts: dict[str, list[tuple[Question, list[bool]]]] = {name: [] for name in society.agents}
    for record, stand in stands:
        for name, turn in stand.items():
            verdicts[name].append((record.question, [record.right(turn)]))
    return {name: share_true(found) for name, found in verdicts.items() if found}


def _current(moment: Moment) -> Mapping[str, Turn]:
    """The standing turns given in the stage's phase; where it has none in this debate, the last that stand."""
    here = {name: turn for name, turn in moment.standing.items() if turn.id.phase == moment.stage[0]}
    return here or moment.standing


def find_agreement(society: Society, records: Sequence[DebateRecord]) -> Agreement:
    """When the voters come to agree for good; a single voter agrees from its final answer on."""
    stages, same = list_stages(society, records), sameness(society)
    reached = {_name(stage): 0 for stage in stages}
    right = []
    for record in records:
        stood = [_unanimous(society, moment, same) for moment in walk(society, record, stages)]
        if stood and stood[-1] is not None:
            reached[_name(stages[_since(stood, stood[-1], same)])] += 1
            right.append((record.question, [record.result.verdicts.get(stood[-1], False)]))
    return Agreement(reached, len(records) - len(right), share_true(right))


def _since(stood: Sequence[str | None], final: str, same: Same) -> int:
    """From which stage on the final answer stood."""
    return max((i + 1 for i, answer in enumerate(stood) if answer is None or not same(answer, final)), default=0)


def _name(stage: Stage) -> str:
    return f"{stage[0]} {stage[1]}"


def _unanimous(society: Society, moment: Moment, same: Same) -> str | None:
    """The answer that every voter stands by, or None."""
    answers = [turn.answer for name in society.voters if (turn := moment.standing.get(name)) is not None]
    readable = [answer for answer in answers if answer is not None]
    if not answers or len(readable) < len(society.voters):
        return None
    return readable[0] if len(group(readable, same)) == 1 else None
