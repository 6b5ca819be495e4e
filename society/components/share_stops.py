"""Stop rules on the shares of answers after a round: consensus, disagreement, ties, one answer, confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from society.answers import group
from society.components.facts import ConditionFacts, PhaseFacts, Reasons
from society.components.stops import StopRule
from society.core.component import AgentNames
from society.core.types import RoundState


class _Shares(StopRule):
    """A rule about the shares of answers."""

    among: AgentNames = ()
    """Agents or groups whose latest answers count; by default those of the phase's speakers, and under `when` and
    `until` of all agents that have spoken."""

    def counted(self, agents: Sequence[str], members: Mapping[str, Sequence[str]]) -> list[str]:
        """Return those of the agents whose answers count."""
        chosen = {agent for name in self.among for agent in members.get(name, (name,))}
        return [agent for agent in agents if not self.among or agent in chosen]

    def idle(self, facts: PhaseFacts) -> Reasons:
        return self._impossible(self.counted(facts.speakers, facts.members), "speaks in this phase")

    def never(self, facts: ConditionFacts) -> Reasons:
        return self._impossible(self.counted(facts.agents, facts.members), "has answered by then")

    def _impossible(self, counted: Sequence[str], speaks: str) -> Reasons:
        """Return why the rule can never hold if only the answers of these agents count."""
        if self.among and not counted:
            return {"among": f"never holds: none of these agents {speaks}; name others"}
        return {}

    def supporters(self, state: RoundState) -> list[int]:
        """Return the number of agents of each distinct answer."""
        answers = [turn.answer for turn in state.turns_of(self.among) if turn.answer is not None]
        return [len(members) for members in group(answers, state.same)]


class Consensus(_Shares):
    """Enough of the round's speakers agree."""

    kind: Literal["consensus"] = "consensus"
    share: float = Field(1.0, gt=0, le=1)
    """Share of the round's speakers that must agree. A speaker without a readable answer agrees with nobody."""
    quorum: int = Field(2, ge=1)
    """Minimum number of speakers that must agree. In a round of fewer speakers, all must agree. So one answer among
    unreadable ones is no consensus."""

    def reached(self, state: RoundState) -> bool:
        largest, agents = max(self.supporters(state), default=0), len(state.turns_of(self.among))
        least = max(self.share * agents, min(self.quorum, agents))
        return largest >= max(least, 1) - 1e-9

    def idle(self, facts: PhaseFacts) -> Reasons:
        n = len(facts.speakers)
        if self.among:
            return super().idle(facts) or self.trivial(facts.speakers, facts.members)
        if n == 1:
            return {"": "one speaker always agrees with itself, so the phase ends after its first round; remove it"}
        if self.share * n <= 1 + 1e-9:
            why = f"a single readable answer of {n} is enough, so the phase ends after its first round"
            return {"share": f"{why}; raise it above {1 / n:g}"}
        if facts.moderated and len(facts.spoken_before) < 2:
            why = "ends the phase after its first round: only one has spoken by then"
            return {"": f"{why}; let all speak in a phase before this one"}
        return {}

    def trivial(self, agents: Sequence[str], members: Mapping[str, Sequence[str]]) -> Reasons:
        if len(agents) > 1 and len(counted := self.counted(agents, members)) == 1:
            why = f"{counted[0]!r} alone always agrees with itself"
            return {"among": f"{why}; name others, or use `kind: verdict` to wait for its answer"}
        return {}


class Disagreement(_Shares):
    """Too few of the agents agree: the opposite of `consensus`."""

    kind: Literal["disagreement"] = "disagreement"
    share: float = Field(1.0, gt=0, le=1)
    """Share of the agents that must agree, as in `consensus`."""
    quorum: int = Field(2, ge=1)
    """Minimum number of agents that must agree, as in `consensus`."""

    def reached(self, state: RoundState) -> bool:
        agree = Consensus(share=self.share, quorum=self.quorum, among=self.among)
        return bool(state.turns_of(self.among)) and not agree.reached(state)

    def opposes(self, other: StopRule) -> bool:
        own = self.share, self.quorum, self.among
        return isinstance(other, Consensus) and (other.share, other.quorum, other.among) == own

    def never(self, facts: ConditionFacts) -> Reasons:
        counted = self.counted(facts.agents, facts.members)
        if counted and self.share * len(counted) <= 1 + 1e-9 and self.quorum == 1:
            return {"share": "holds only if no answer is readable: one agent alone is enough to agree; raise it"}
        return super().never(facts)


class Tie(_Shares):
    """The most frequent answers have equally many agents. Agents without a readable answer do not count."""

    kind: Literal["tie"] = "tie"

    def reached(self, state: RoundState) -> bool:
        counts = sorted(self.supporters(state), reverse=True)
        return len(counts) > 1 and counts[0] == counts[1]

    def _impossible(self, counted: Sequence[str], speaks: str) -> Reasons:
        if len(counted) == 1:
            return {"": "never holds: one agent cannot be tied; add agents"}
        return super()._impossible(counted, speaks)


class Dissent(_Shares):
    """The agent whose turn is decided on has another answer than most, or no answer is the most frequent one.

    For `bind: {NAME: {when: [dissent]}}`: agents that give the answer of most keep it without another turn.
    """

    kind: Literal["dissent"] = "dissent"

    def reached(self, state: RoundState) -> bool:
        if not state.agent:
            return False
        own = state.latest.get(state.agent)
        answers = [turn.answer for turn in state.turns_of(self.among) if turn.answer is not None]
        groups = sorted(group(answers, state.same), key=len, reverse=True)
        if own is None or own.answer is None or not groups or (len(groups) > 1 and len(groups[0]) == len(groups[1])):
            return True
        return not any(state.same(own.answer, answers[i]) for i in groups[0])

    def idle(self, facts: PhaseFacts) -> Reasons:
        return {"": f"never ends anything: {_FOR_TURNS}"}

    def never(self, facts: ConditionFacts) -> Reasons:
        return super().never(facts) if facts.turn else {"": f"never holds: {_FOR_TURNS}"}


_FOR_TURNS = "it is about the agent whose turn is decided on; use it in `when` of a phase's `bind`"


class AnswerShare(_Shares):
    """Enough of the agents give a certain answer."""

    kind: Literal["answer"] = "answer"
    answer: str = Field(min_length=1)
    """The answer, compared as the task compares answers."""
    share: float = Field(0.5, gt=0, le=1)
    """Minimum share of the agents that give it, including those without a readable answer."""

    def reached(self, state: RoundState) -> bool:
        turns = state.turns_of(self.among)
        found = sum(turn.answer is not None and state.same(turn.answer, self.answer) for turn in turns)
        return bool(found) and found >= self.share * len(turns) - 1e-9

    def awaits(self) -> Mapping[str, str]:
        return {"answer": self.answer}


class ConfidentAgents(_Shares):
    """Enough of the agents are confident of their last turns."""

    reads_confidence: ClassVar[bool] = True
    kind: Literal["confident"] = "confident"
    least: float = Field(0.9, ge=0, le=1)
    """Minimum confidence of a turn, in [0, 1]. A turn without a confidence does not count."""
    share: float = Field(1.0, gt=0, le=1)
    """Minimum share of the agents with this confidence."""

    def reached(self, state: RoundState) -> bool:
        turns = state.turns_of(self.among)
        found = sum(turn.confidence is not None and turn.confidence >= self.least for turn in turns)
        return bool(found) and found >= self.share * len(turns) - 1e-9

    def idle(self, facts: PhaseFacts) -> Reasons:
        return self._unsure(self.counted(facts.speakers, facts.members), facts.confident) or super().idle(facts)

    def never(self, facts: ConditionFacts) -> Reasons:
        return self._unsure(self.counted(facts.agents, facts.members), facts.confident) or super().never(facts)

    def _unsure(self, counted: Sequence[str], confident: frozenset[str]) -> Reasons:
        if not counted or confident.intersection(counted):
            return {}
        return {"": "never holds: none of these agents has a confidence; set `confidence: stated` in their role"}
