"""Statistics of debates by round: accuracy, changed answers, agreement and cost.

A round is described by every agent's *standing* answer, the last one it gave until then. So a debate that stops early,
or with one speaker per round, is part of the statistics of all rounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from society.answers import group
from society.core.types import Same, Turn
from society.metrics.accuracy import share_true
from society.metrics.flips import Flips, count_names
from society.metrics.lost import is_cut_off
from society.metrics.proportion import Proportion
from society.metrics.summary import flip
from society.metrics.verdicts import count_debating_tokens
from society.runs.records import DebateRecord, Question, sameness, vote_is_right
from society.scenario.expand import Society

Stage = tuple[str, int]
"""A stage: the name of a phase and its round, from 1."""


@dataclass(frozen=True, slots=True)
class RoundScore:
    """The statistics after a round.

    `answers` is the accuracy of the agents' standing answers, clustered by question, `agents` the same for each agent,
    and `vote` that of a majority vote over them. Questions without a true answer are in none of these and not in
    `flips`. `tokens` are the generated tokens per debate until then, and `spent` those in this round (means over all
    debates). Neither includes the tokens of a judge that grades answers after the debate.
    `flips` counts changes from each agent's earlier answer to that in this round. `unread` and `failed` turns of this
    round count as wrong. `lost` of them followed a right answer, and `found` right answers followed an unreadable or
    failed turn. `cut_off` replies ended at the token limit.
    """

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
        """Number of right answers that became unreadable or failed in this round."""
        return self.flips.right_to_unread

    @property
    def found(self) -> int:
        """Number of right answers in this round by agents without a readable answer before."""
        return self.flips.unread_to_right

    @property
    def name(self) -> str:
        """Label of the stage in tables and figures."""
        return name_stage((self.phase, self.round))


@dataclass(frozen=True, slots=True)
class Agreement:
    """The stage at which agents agree.

    `reached` counts, for each stage, the debates in which all agents had one readable standing answer from then to the
    end, and not before. `never` counts the debates without agreement. `right` is the share of right answers among the
    `agreed` debates on questions with a true answer.
    """

    reached: Mapping[str, int]
    never: int
    right: Proportion

    @property
    def agreed(self) -> int:
        """Number of debates that end in agreement."""
        return sum(self.reached.values())


@dataclass(frozen=True, slots=True)
class Moment:
    """One debate after one stage: its turns, each agent's earlier turn, and each agent's standing turn."""

    record: DebateRecord
    stage: Stage
    turns: tuple[Turn, ...]
    before: Mapping[str, Turn]
    standing: Mapping[str, Turn]


def list_stages(society: Society, records: Sequence[DebateRecord]) -> list[Stage]:
    """Return every phase and round of any debate, in order."""
    found = {(turn.id.phase, turn.id.round) for record in records for turn in record.turns}
    return sorted(found, key=lambda stage: society.place(*stage))


def walk(society: Society, record: DebateRecord, stages: Sequence[Stage]) -> Iterator[Moment]:
    """Yield the debate after each of these stages.

    Helpers (summarizers, moderators, rankers) have no standing turn, and agents that were taken out have none after
    their last turn.
    """
    speakers = {phase.name: frozenset(phase.speakers) for phase in society.phases}
    said: dict[Stage, list[Turn]] = defaultdict(list)
    for turn in record.turns:
        said[turn.id.phase, turn.id.round].append(turn)
    removed = frozenset(record.candidates(society)) - frozenset(record.voters(society))
    last = {turn.id.agent: (turn.id.phase, turn.id.round) for name in removed for turn in record.of(name)[-1:]}
    standing: dict[str, Turn] = {}
    for stage in stages:
        before = dict(standing)
        past = society.place(*stage)
        standing = {n: t for n, t in standing.items() if n not in last or past <= society.place(*last[n])}
        standing.update({t.id.agent: t for t in said[stage] if t.id.agent in speakers.get(stage[0], ())})
        yield Moment(record, stage, tuple(said[stage]), before, dict(standing))


def score_rounds(society: Society, records: Sequence[DebateRecord]) -> list[RoundScore]:
    """Return a score for every phase and round, in order."""
    stages, same = list_stages(society, records), sameness(society)
    played = [list(walk(society, record, stages)) for record in records]
    scores: list[RoundScore] = []
    for i in range(len(stages)):
        moments = [moments[i] for moments in played]
        so_far = scores[-1].tokens if scores else 0.0
        scores.append(_score(society, moments, so_far, same))
    return scores


def has_truth(scores: Sequence[RoundScore]) -> bool:
    """Return whether any answer of these rounds is right or wrong."""
    return any(score.answers.n for score in scores)


def _score(society: Society, moments: Sequence[Moment], so_far: float, same: Same) -> RoundScore:
    scored = [(moment.record, _current(moment)) for moment in moments if moment.record.scored]
    turns = [turn for moment in moments for turn in moment.turns]
    spent = count_debating_tokens(society, turns) / len(moments)
    speaking = [(m, turn) for m in moments for turn in m.turns if m.standing.get(turn.id.agent) is turn]
    again = [(m.record, m.before[t.id.agent], t) for m, t in speaking if t.id.agent in m.before]
    return RoundScore(
        phase=moments[0].stage[0],
        round=moments[0].stage[1],
        answers=share_true((r.question, [r.right(turn) for turn in stand.values()]) for r, stand in scored),
        vote=share_true((r.question, [vote_is_right(society, r, [*stand.values()], same)]) for r, stand in scored),
        agents=_score_agents(society, scored),
        flips=count_names(flip(record, before, turn, same) for record, before, turn in again if record.scored),
        tokens=so_far + spent,
        spent=spent,
        turns=len(turns),
        unread=sum(turn.answer is None and turn.status == "ok" for _, turn in speaking),
        failed=sum(turn.status == "failed" for turn in turns),
        cut_off=sum(map(is_cut_off, turns)),
    )


def _score_agents(society: Society, stands: Sequence[tuple[DebateRecord, Mapping[str, Turn]]]) -> dict[str, Proportion]:
    verdicts: dict[str, list[tuple[Question, list[bool]]]] = {name: [] for name in society.agents}
    for record, stand in stands:
        for name, turn in stand.items():
            verdicts[name].append((record.question, [record.right(turn)]))
    return {name: share_true(found) for name, found in verdicts.items() if found}


def _current(moment: Moment) -> Mapping[str, Turn]:
    """Return the standing turns of the stage's phase, or all standing turns if it has none in this debate."""
    here = {name: turn for name, turn in moment.standing.items() if turn.id.phase == moment.stage[0]}
    return here or moment.standing


def find_agreement(society: Society, records: Sequence[DebateRecord]) -> Agreement:
    """Return the stages at which the voters agree until the end. A single voter agrees from its final answer."""
    stages, same = list_stages(society, records), sameness(society)
    reached = {name_stage(stage): 0 for stage in stages}
    agreed, right = 0, []
    for record in records:
        stood = [_unanimous(record.voters(society), moment, same) for moment in walk(society, record, stages)]
        if stood and stood[-1] is not None:
            reached[name_stage(stages[_since(stood, stood[-1], same)])] += 1
            agreed += 1
            if record.scored:
                right.append((record.question, [record.result.verdicts.get(stood[-1], False)]))
    return Agreement(reached, len(records) - agreed, share_true(right))


def _since(stood: Sequence[str | None], final: str, same: Same) -> int:
    """Return the stage from which the final answer stood."""
    return max((i + 1 for i, answer in enumerate(stood) if answer is None or not same(answer, final)), default=0)


def name_stage(stage: Stage) -> str:
    """Return the label of a stage in tables and figures."""
    return f"{stage[0]} {stage[1]}"


def _unanimous(voters: Sequence[str], moment: Moment, same: Same) -> str | None:
    """Return the standing answer of all voters, or None."""
    answers = [turn.answer for name in voters if (turn := moment.standing.get(name)) is not None]
    readable = [answer for answer in answers if answer is not None]
    if not answers or len(readable) < len(voters):
        return None
    return readable[0] if len(group(readable, same)) == 1 else None
