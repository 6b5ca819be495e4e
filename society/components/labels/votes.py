"""Labels by counting answers: the decision of the society, and votes over other turns, times and agents.

Sources: Subramaniam et al. 2025 (arXiv 2501.05707, the consensus of last answers), TTRL (2504.16084, votes over
samples), Co-rewarding (2508.00410, labels of another time or agent).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from society.components.facts import LabelFacts, Reasons
from society.components.labels.base import NO_CONSENSUS, Evidence, Label, LabelRule, count_turns
from society.core.errors import FieldError
from society.core.types import Turn


class ConsensusLabel(LabelRule):
    """The decision of the society. A decision by a broken tie is no label."""

    reads_decision: ClassVar[bool] = True
    kind: Literal["consensus"] = "consensus"

    def find(self, evidence: Evidence, agent: str) -> Label:
        decision = evidence.decision
        if decision.answer is None or decision.tied:
            return Label(None, NO_CONSENSUS)
        return Label(decision.answer, "", evidence.backers, evidence.rivals, evidence.spoke, evidence.supporters)


class VoteLabel(LabelRule):
    """The most frequent answer of the voters, by other turns, at another time, or without the learner's own vote.

    A tie is no label. An unreadable answer counts among the votes; a failed turn does not.
    """

    kind: Literal["vote"] = "vote"
    over: Literal["last", "first", "all"] = "last"
    """Turns of each voter that are votes: the last one, the first one, or all."""
    by: Literal["society", "base", "previous"] = "society"
    """Weights that vote: those of this iteration, those before any training, or those of an earlier iteration."""
    lag: int | None = Field(None, ge=1)
    """Number of iterations between the votes and the learning from them (`by: previous`, default 1). The first
    iterations have the votes of iteration 0."""
    samples: int = Field(0, ge=0, le=1000)
    """Additional votes of each agent: answers to the question alone, as in the first phase. With `by: base` they are
    drawn once, before training."""
    leave_one_out: bool = False
    """An agent learns from the votes of the others only."""

    @model_validator(mode="after")
    def _check_lag(self) -> Self:
        if self.lag is not None and self.by != "previous":
            raise FieldError("`lag` needs `by: previous`", "lag")
        return self

    @property
    def personal(self) -> bool:
        """True if agents may have different labels in one debate."""
        return self.leave_one_out

    @property
    def leaves_own(self) -> bool:
        """True if an agent's own votes do not count for its label."""
        return self.leave_one_out

    def origin(self, iteration: int) -> int:
        if self.by == "previous":
            return max(0, iteration - (self.lag or 1))
        return 0 if self.by == "base" else iteration

    def draws(self, iteration: int) -> int:
        return self.samples if self.by != "base" or iteration == 0 else 0

    def find(self, evidence: Evidence, agent: str) -> Label:
        voters = {name: turns for name, turns in evidence.turns.items() if not self._is_own(name, agent)}
        turns = [turn for spoken in voters.values() for turn in self._which(spoken)]
        turns += [turn for turn in evidence.drawn if not self._is_own(turn.id.agent, agent)]
        return count_turns([turn for turn in turns if turn.status == "ok"], evidence.same)

    def most_votes(self, turns: Mapping[str, int], agents: int) -> int | None:
        cast = sum(turns.values()) if self.over == "all" else len(turns)
        return cast + self.samples * agents

    def idle(self, facts: LabelFacts) -> Reasons:
        reasons = {}
        if self.over != "last" and all(count == 1 for count in facts.turns.values()):
            reasons["over"] = "has no effect: every voter speaks once; remove it"
        if self.by != "society" and facts.iterations == 1:
            reasons["by"] = "has no effect: there is one iteration; raise `iterations`, or remove it"
        if self.leave_one_out and len(facts.turns) == 1 and not self.samples:
            reasons["leave_one_out"] = "leaves no vote: there is one voter; remove it"
        return reasons

    def _is_own(self, name: str, agent: str) -> bool:
        return self.leave_one_out and name == agent

    def _which(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        if self.over == "all":
            return turns
        return turns[:1] if self.over == "first" else turns[-1:]
