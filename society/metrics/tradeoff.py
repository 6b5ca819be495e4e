"""Accuracy against generated tokens: the debate round by round, voting over k first answers, the Pareto front."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from typing import Literal

from society.answers import choose_spelling, group
from society.core.types import Same, Turn
from society.metrics.rounds import RoundScore
from society.metrics.statistics import mean_interval
from society.runs.records import DebateRecord, by_question, sameness, with_truth
from society.scenario.expand import Society

Ties = Literal["abstain", "first", "random"]


@dataclass(frozen=True, slots=True)
class Point:
    """A method of answering: mean generated `tokens` per question, and accuracy with bounds, in [0, 1].

    `votes` is the size of a vote over first answers, or 1.
    """

    label: str
    method: Literal["debate", "vote", "run"]
    tokens: float
    accuracy: float
    low: float
    high: float
    votes: int = 1


def list_points(society: Society, records: Sequence[DebateRecord], scores: Sequence[RoundScore]) -> list[Point]:
    """Return the points of the vote after each round, and of votes over 1, 2, ... independent first answers.

    Only questions with a true answer count; without any, there is no point.
    """
    debate = [_round_point(score) for score in scores if score.vote.n]
    records = with_truth(records)
    pools = first_answers(records)
    most = min((len(pool) for pool in pools.values()), default=0)
    return debate + [vote_point(society, records, k) for k in range(1, most + 1)]


def _round_point(score: RoundScore) -> Point:
    return Point(f"after {score.name}", "debate", score.tokens, score.vote.share, score.vote.low, score.vote.high)


def vote_point(society: Society, records: Sequence[DebateRecord], k: int) -> Point:
    """Return the accuracy of votes over k first answers: the exact mean over all choices, and its interval."""
    chances = list(vote_chances(society, records, k).values())
    low, high = mean_interval(chances)
    label = "one answer" if k == 1 else f"vote of {k}"
    return Point(label, "vote", k * mean_tokens(records), sum(chances) / len(chances), low, high, k)


def front(points: Iterable[Point]) -> list[Point]:
    """Return the Pareto front: points that no other point exceeds in accuracy for at most the same tokens."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.tokens, -p.accuracy)):
        if not best or point.accuracy > best[-1].accuracy:
            best.append(point)
    return best


def first_answers(records: Sequence[DebateRecord]) -> dict[tuple[str, str], list[tuple[DebateRecord, Turn]]]:
    """Return the independent answers of every question: first turns of agents that read no other."""
    return {
        question: [(r, turn) for r in group_ for turn in r.independent]
        for question, group_ in by_question(records).items()
    }


def mean_tokens(records: Sequence[DebateRecord]) -> float:
    """Return the generated tokens of one independent first answer, as a mean over questions."""
    means = [
        sum(t.usage.generated_tokens for _, t in pool) / len(pool) for pool in first_answers(records).values() if pool
    ]
    return sum(means) / len(means) if means else float("nan")


def vote_chances(society: Society, records: Sequence[DebateRecord], k: int) -> dict[tuple[str, str], float]:
    """Return the probability that a vote over k is right, for each question with k independent first answers."""
    same, rule = sameness(society), society.scenario.decision
    pools = first_answers(records)
    return {q: _chance(pool, k, same, rule.ties, rule.quorum) for q, pool in pools.items() if len(pool) >= k}


def _chance(pool: Sequence[tuple[DebateRecord, Turn]], k: int, same: Same, ties: Ties, quorum: int) -> float:
    read = [(record, turn.answer) for record, turn in pool if turn.answer is not None]
    classes = group([answer for _, answer in read], same)
    known = {answer: record.result.verdicts.get(answer, False) for record, answer in read}
    right = [known[choose_spelling([read[i][1] for i in members])] for members in classes]
    return plurality_chance([len(members) for members in classes], right, len(pool) - len(read), k, ties, quorum)


def plurality_chance(
    sizes: Sequence[int], right: Sequence[bool], silent: int, k: int, ties: Ties = "abstain", quorum: int = 1
) -> float:
    """Return the exact probability that a plurality vote over k answers, drawn without replacement, elects a right one.

    The answers are of classes of these `sizes`, some of which are `right`; `silent` answers cast no vote. The
    multivariate hypergeometric distribution is summed class by class, as a product of polynomials in the numbers of
    drawn answers and tied rivals. A tie is no answer; with the policies "first" and "random", it is a fair draw among
    the tied answers. An answer with fewer votes than `quorum` is not elected. If k is below the quorum, all k answers
    must agree.
    """
    won = Fraction(0)  # exact, as rounding errors would count as differences between runs
    for i, size in enumerate(sizes):
        rivals = [*sizes[:i], *sizes[i + 1 :]]
        for votes in range(min(quorum, k), min(size, k) + 1) if right[i] else ():
            for tied, ways in _rival_ways(rivals, silent, votes, k - votes).items():
                if not tied or ties != "abstain":
                    won += Fraction(comb(size, votes) * ways, tied + 1)
    return float(won / comb(sum(sizes) + silent, k))


def _rival_ways(rivals: Sequence[int], silent: int, votes: int, rest: int) -> dict[int, int]:
    """Return the number of ways to draw `rest` answers from rivals with at most `votes` each, by the number of ties."""
    ways = Counter({(taken, 0): comb(silent, taken) for taken in range(min(silent, rest) + 1)})
    for size in rivals:
        grown: Counter[tuple[int, int]] = Counter()
        for (taken, tied), count in ways.items():
            for more in range(min(size, votes, rest - taken) + 1):
                grown[taken + more, tied + (more == votes)] += count * comb(size, more)
        ways = grown
    return {tied: count for (taken, tied), count in ways.items() if taken == rest}
