"""Comparison of debating and voting with the same number of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from society.metrics.accuracy import decisive, score_questions
from society.metrics.statistics import Difference, compare_outcomes
from society.metrics.tradeoff import first_answers, mean_tokens, vote_chances
from society.metrics.verdicts import count_debating_tokens
from society.runs.records import DebateRecord, with_truth
from society.scenario.expand import Society


@dataclass(frozen=True, slots=True)
class BudgetVerdict:
    """Accuracy of the debates' decisions and of majority votes over `votes` independent first answers of equal cost.

    `debating` and `voting` are accuracies on the compared questions, and `difference` is debating minus voting. If
    there are too few answers, `difference` is None and `sentence` gives the reason. `available` is the minimum number
    of independent first answers of a question.
    """

    votes: int
    available: int
    tokens: float
    tokens_per_answer: float
    debating: float
    voting: float
    difference: Difference | None
    sentence: str


def weigh_debating(
    society: Society, records: Sequence[DebateRecord], voters: Sequence[DebateRecord] | None = None, source: str = ""
) -> BudgetVerdict:
    """Compare debates with votes of equal cost. `source` is the name of the run of `voters`.

    The number of votes is the mean generated tokens of a debate divided by those of one independent first answer,
    rounded down, at least 1. Tokens of a judge that grades answers after the debate count for neither. The accuracy of
    a vote is its exact mean over all choices of this number of first answers (see `plurality_chance`), paired with the
    debate by question. The answers are those of `voters` (another run's debates on the same questions) or of the
    debates themselves. Questions without a true answer are left out.
    """
    given, known, records = records, with_truth(records), decisive(records)
    pool = known if voters is None else with_truth(voters)
    each = mean_tokens(pool)
    turns = [turn for record in records for turn in record.turns]
    spent = count_debating_tokens(society, turns) / len(records) if records else float("nan")
    if not spent > 0 or not each > 0:
        lack = "generated tokens to count"
        if given and not records:
            lack = "single decisions" if known else "true answers"
        return _unsaid(0, 0, spent, each, f"It cannot be said whether debating pays: there are no {lack}.")
    votes = max(1, int(spent / each + 1e-9))
    available = min(len(found) for found in first_answers(pool).values())
    if available < votes:
        return _unsaid(votes, available, spent, each, _missing(votes, available, spent))
    debated = score_questions(records)
    voted = {question: [chance] for question, chance in vote_chances(society, pool, votes).items()}
    difference = compare_outcomes(voted, debated)
    shared = [question for question in voted if question in debated]
    debating = sum(sum(debated[q]) / len(debated[q]) for q in shared) / len(shared)
    voting = sum(voted[q][0] for q in shared) / len(shared)
    sentence = _sentence(votes, debating, voting, difference, source)
    return BudgetVerdict(votes, available, spent, each, debating, voting, difference, sentence)


def weigh_against(
    society: Society, records: Sequence[DebateRecord], pools: Iterable[tuple[str, Sequence[DebateRecord]]]
) -> BudgetVerdict:
    """Compare debates with votes over their own first answers.

    If these are too few, the votes are over those of the first pool (the name and the debates of another run with the
    same models) with all questions and enough answers.
    """
    own = weigh_debating(society, records)
    if own.difference is not None:
        return own
    asked = {record.question for record in with_truth(records)}
    fitting = ((name, pool) for name, pool in pools if asked <= {record.question for record in pool})
    found = (weigh_debating(society, records, pool, name) for name, pool in fitting)
    return next((verdict for verdict in found if verdict.difference is not None), own)


def _unsaid(votes: int, available: int, spent: float, each: float, sentence: str) -> BudgetVerdict:
    unknown = float("nan")
    return BudgetVerdict(votes, available, spent, each, unknown, unknown, None, sentence)


def _missing(votes: int, available: int, spent: float) -> str:
    return (
        f"A debate's {spent:,.0f} generated tokens would buy a vote over {votes} independent answers, but the run has "
        f"only {available} a question: to know whether debating is better than voting, run the same questions with "
        f"{votes} agents, the same models, one round and no topology, and give that run too."
    )


def _sentence(votes: int, debating: float, voting: float, difference: Difference, source: str) -> str:
    points, low, high = (100 * x for x in (difference.value, difference.low, difference.high))
    clear = "not clearly better or worse"
    if low > 0 or high < 0:
        clear = "better" if low > 0 else "worse"
    kind = "one answer" if votes == 1 else f"a vote over {votes} independent answers"
    kind += f" of {source}" if source else ""
    return (
        f"For the same tokens debating is {clear} than voting: {debating:.1%} against {voting:.1%} for {kind}, "
        f"a difference of {points:+.1f} points [{low:+.1f}, {high:+.1f}], p = {difference.p:.2g}, "
        f"on {difference.questions} questions."
    )
