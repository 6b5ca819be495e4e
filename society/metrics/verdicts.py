"""The verdicts of a run whose answers are judged by a model, by tests or by degree: their scores, faults and cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from society.core.plain import count
from society.core.types import Judgement, Turn
from society.metrics.accuracy import share_true
from society.metrics.proportion import Proportion
from society.runs.records import DebateRecord
from society.scenario.expand import Society
from society.scenario.members import judges
from society.scoring.code import STOPPED
from society.scoring.judge import DISAGREE


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts on the distinct answers of debates. They are counted only where answers are judged after a debate.

    `undecided` verdicts count as wrong: a judge's reply cannot be read, or code ran out of elapsed time. `stopped` code
    reached a limit. In `disagree` pairs the two orders differ, which is a tie. `agreement` is the share of answers with
    a true answer on which the judge and the comparison with it say the same; an undecided verdict agrees with nothing.
    `too_kind` of them the judge calls right and the comparison wrong, `too_strict` the other way round. `score` is the
    mean score of decisions; an undecided debate scores 0. `turns` and the tokens are the judge's cost.
    """

    answers: int = 0
    undecided: int = 0
    stopped: int = 0
    disagree: int = 0
    agreement: Proportion | None = None
    too_kind: int = 0
    too_strict: int = 0
    score: float | None = None
    turns: int = 0
    generated_tokens: int = 0
    prompt_tokens: int = 0

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield a label and a text for each number that says something."""
        if self.score is not None:
            yield "score", f"{self.score:.3f} on average, from 0 to 1; no decision scores 0"
        if self.answers:
            more = [f"{self.undecided:,} undecided, counted as wrong"]
            more += [f"{self.stopped:,} stopped by a limit"] if self.stopped else []
            more += [f"{count(self.disagree, 'tie')}, as the two orders disagree"] if self.disagree else []
            yield "verdicts", f"{count(self.answers, 'distinct answer')} judged: {'; '.join(more)}"
        if self.agreement is not None:
            apart = f"right only for the judge {self.too_kind:,}, only for the comparison {self.too_strict:,}"
            yield "judge agrees", f"{self.agreement} with the true answers; {apart}"
        if self.turns:
            tokens = f"{self.generated_tokens:,} tokens generated, {self.prompt_tokens:,} prompt tokens"
            yield "cost of judging", f"{count(self.turns, 'turn')}, {tokens}, part of the cost"


def judge_verdicts(found: Verdicts) -> tuple[str, str]:
    """Return whether the verdicts can be relied on, in a few words and in sentences; "" where nothing was judged."""
    if not found.answers:
        return "", ""
    short = f"{found.undecided:,} of {found.answers:,} are undecided" if found.undecided else "All were decided"
    if found.agreement is not None:
        short = f"The judge agrees with {found.agreement.share:.0%} of the true answers"
    rows = dict(found.rows())
    told = [f"{name[:1].upper()}{name[1:]}: {rows[name]}." for name in rows if name != "score"]
    return short, " ".join(told)


def list_judging(society: Society, turns: Iterable[Turn]) -> list[Turn]:
    """Return the turns in which a judge grades answers after the debate, for the scores alone."""
    helping = judges(society.scenario)
    return [turn for turn in turns if turn.id.agent.partition("/")[0] in helping]


def count_debating_tokens(society: Society, turns: Sequence[Turn]) -> int:
    """Return the tokens generated in turns of the debate, without those of a judge that grades answers after it."""
    judged = list_judging(society, turns)
    return sum(turn.usage.generated_tokens for turn in turns) - sum(turn.usage.generated_tokens for turn in judged)


def count_verdicts(society: Society, records: Sequence[DebateRecord]) -> Verdicts:
    """Return the counts over these debates."""
    given = [list(record.result.judgements.values()) for record in records]
    flat = [judgement for found in given for judgement in found]
    known = [[judgement for judgement in found if judgement.exact is not None] for found in given]
    turns = list_judging(society, (turn for record in records for turn in record.turns))
    pairs = zip(records, known, strict=True)
    return Verdicts(
        answers=sum(len(r.result.verdicts) for r in records) if society.scenario.task.answer.deferred else 0,
        undecided=sum(judgement.undecided for judgement in flat),
        stopped=sum(judgement.note.startswith(STOPPED) for judgement in flat),
        disagree=sum(judgement.note == DISAGREE for judgement in flat),
        agreement=share_true((r.question, [*map(_agrees, found)]) for r, found in pairs) if any(known) else None,
        too_kind=sum(judgement.right and judgement.exact is False for judgement in flat),
        too_strict=sum(judgement.exact is True and not judgement.right for judgement in flat),
        score=mean_score(records),
        turns=len(turns),
        generated_tokens=sum(turn.usage.generated_tokens for turn in turns),
        prompt_tokens=sum(turn.usage.prompt_tokens for turn in turns),
    )


def _agrees(given: Judgement) -> bool:
    return not given.undecided and given.right == given.exact


def score_of(record: DebateRecord) -> float | None:
    """Return the score of a debate's decision: 0 without one, None where answers have no degrees."""
    judgements, answer = record.result.judgements, record.result.decision.answer
    if answer is not None and answer in judgements:
        return judgements[answer].score
    return 0.0 if answer is None and any(given.score is not None for given in judgements.values()) else None


def mean_score(records: Sequence[DebateRecord]) -> float | None:
    """Return the mean score of the decisions on scored questions, or None where answers have no degrees."""
    records = [record for record in records if record.scored]
    given = [[g.score for g in record.result.judgements.values()] for record in records]
    if not any(score is not None for found in given for score in found):
        return None
    return sum(score_of(record) or 0.0 for record in records) / len(records)
