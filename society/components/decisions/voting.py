"""Rules for a last phase in which agents vote on `candidates` instead of answering again.

A prompt shows the candidates with letters from A:

    {% for c in candidates %}{{ c.letter }}. {{ c.answer }} {% endfor %}

Letters are read from the reply: "A, C" approves two, "B > A > C" ranks three. Letters without a candidate are ignored.
A voter without a turn in the last phase, such as an agent that left, votes for its last answer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

from society.answers.ballots import read_letters
from society.components.decisions.base import DecisionRule, Tally
from society.components.facts import DecisionFacts, Reasons, listing
from society.core.types import Ballot, Decision, Turn, Vote


class _Voting(DecisionRule):
    """A rule that reads each voter's last turn as a vote on the candidates."""

    ballots_count_as: ClassVar[str] = "their first choice"

    def decide(self, ballot: Ballot) -> Decision:
        papers = {vote: self._paper(vote, ballot) for vote in ballot.votes}
        blank = [vote for vote, paper in papers.items() if not paper]
        if len(blank) == len(papers) or any(self.policy(vote) == "veto" for vote in blank):
            return Decision(None, reason=f"{len(blank)} of {len(papers)} voters without a readable vote")
        voters = [vote for vote, paper in papers.items() if paper or self.policy(vote) != "exclude"]
        decision = self.elect([papers[vote] for vote in voters if papers[vote]], replace(ballot, votes=voters))
        return self.require_quorum(decision, round(decision.support * len(voters)), len(voters))

    def backers(self, decision: Decision, ballot: Ballot) -> int:
        """Return the number of voters whose ballots support the decided answer; 0 without a decision."""
        if decision.answer is None:
            return 0
        voters = [vote for vote in ballot.votes if self._paper(vote, ballot) or self.policy(vote) != "exclude"]
        return round(decision.support * len(voters))

    def replies(self, ballot: Ballot) -> int:
        """Return the number of voters of this ballot that replied, or that have an earlier ballot which counts."""
        return sum(not vote.failed or bool(self._paper(vote, ballot)) for vote in ballot.votes)

    def read_answer(self, turn: Turn, candidates: Sequence[str], decided: str | None) -> str | None:
        """Return the first choice of the ballot in this turn; None if the turn has no readable ballot."""
        if not candidates:
            return turn.answer
        paper = [] if turn.status == "failed" else read_letters(turn.text, len(candidates))
        return self.choice([candidates[i] for i in paper], decided) if paper else None

    def choice(self, named: Sequence[str], decided: str | None) -> str:
        """Return the single answer of a ballot that names these candidates, in order."""
        return named[0]

    def _paper(self, vote: Vote, ballot: Ballot) -> list[int]:
        """Return the indices of the candidates that the voter's last turn names.

        With the policy `earlier`, the last turn of the same phase that names any counts. A voter whose last turn is of
        an earlier phase votes for its last answer.
        """
        turns = ballot.history.get(vote.agent, ())
        if turns and ballot.phase and turns[-1].id.phase != ballot.phase:
            answer = self._settle(vote, ballot).answer
            known = enumerate(ballot.candidates)
            return [place for place, other in known if answer is not None and ballot.same(other, answer)][:1]
        voting = [turn for turn in reversed(turns) if turn.id.phase == turns[-1].id.phase]
        papers = [read_letters(turn.text, len(ballot.candidates)) for turn in voting]
        if self.policy(vote) == "earlier":
            return next(filter(None, papers), [])
        return papers[0] if papers else []

    def count(self, ballot: Ballot) -> Decision:
        return self.decide(ballot)

    def undecided(self, facts: DecisionFacts) -> Reasons:
        if not facts.candidates:
            why = "there are no candidates to vote on: nobody speaks before the last phase"
            return {"": f"{why}; add a last phase in which agents vote"}
        if not facts.last:
            return {"voters": "no voter speaks in the last phase, where votes are read; let the voters vote there"}
        return {}

    def idle(self, facts: DecisionFacts) -> Reasons:
        if late := sorted(set(facts.turns) - facts.last):
            why = "does not speak in the last phase, so its last answer is its vote"
            return {"voters": f"{listing(late)} writes no ballot: it {why}; let it vote there"}
        return {}

    @abstractmethod
    def elect(self, papers: Sequence[Sequence[int]], ballot: Ballot) -> Decision:
        """Return the decision from ballots: lists of candidate indices, none empty."""

    def by_score(self, scores: Sequence[float], backers: Sequence[int], ballot: Ballot) -> Decision:
        """Return the decision for the candidate with the highest score. Ties follow the policy."""
        tallies = [Tally(a, s, b) for a, s, b in zip(ballot.candidates, scores, backers, strict=True)]
        return self.winner(tallies, len(ballot.votes), ballot.seed)


class Approval(_Voting):
    """The candidate that most voters approve. A voter may approve several.

    In statistics of single answers, a ballot counts as the decided answer if it approves that answer. Otherwise it
    counts as the first answer that it names.
    """

    ballots_count_as: ClassVar[str] = "the decided answer if they approve it, otherwise the first answer that they name"

    kind: Literal["approval"] = "approval"

    def choice(self, named: Sequence[str], decided: str | None) -> str:
        return decided if decided in named and decided is not None else named[0]

    def elect(self, papers: Sequence[Sequence[int]], ballot: Ballot) -> Decision:
        approvals = [sum(i in paper for paper in papers) for i in range(len(ballot.candidates))]
        return self.by_score(approvals, approvals, ballot)


class Borda(_Voting):
    """The candidate with the most points.

    Of n candidates, the first of a ranking gets n - 1 points, the second n - 2, and so on. Unranked candidates share
    the remaining points.
    """

    kind: Literal["borda"] = "borda"

    def elect(self, papers: Sequence[Sequence[int]], ballot: Ballot) -> Decision:
        n = len(ballot.candidates)
        scores = [0.0] * n
        for paper in papers:
            unranked = (n - len(paper) - 1) / 2  # mean of the remaining points
            for i in range(n):
                scores[i] += n - 1 - paper.index(i) if i in paper else unranked
        return self.by_score(scores, [sum(p[0] == i for p in papers) for i in range(n)], ballot)


class Ranked(_Voting):
    """Instant run-off: the candidate with the fewest first places is removed until one has more than half."""

    kind: Literal["ranked"] = "ranked"

    def elect(self, papers: Sequence[Sequence[int]], ballot: Ballot) -> Decision:
        running = set(range(len(ballot.candidates)))
        while True:
            tops = [next((i for i in paper if i in running), None) for paper in papers]
            firsts = {i: tops.count(i) for i in sorted(running)}
            most, fewest = max(firsts.values()), min(firsts.values())
            if 2 * most > sum(firsts.values()) or most == fewest:
                counts = [firsts.get(i, 0) for i in range(len(ballot.candidates))]
                return self.by_score(counts, counts, ballot)
            running -= {i for i, count in firsts.items() if count == fewest}
