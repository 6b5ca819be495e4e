"""Stop rules are conditions on the answers so far. They end a phase, a block of phases or a debate early.

In a scenario, `stop:` lists rules, and any of them ends the phase. Of a list inside the list, all rules must hold. The
same rules are the conditions of `when:` (a phase or a turn takes place) and `until:` (repetitions end).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from society.answers import group
from society.components.facts import ConditionFacts, PhaseFacts, Reasons
from society.core.component import AgentName, AgentNames, Component
from society.core.errors import SlowPatternError
from society.core.templating.patterns import Pattern, search
from society.core.types import RoundState, Turn

STOPS = {
    "consensus": "society.components.stops:Consensus",
    "disagreement": "society.components.stops:Disagreement",
    "tie": "society.components.stops:Tie",
    "answer": "society.components.stops:AnswerShare",
    "confident": "society.components.stops:ConfidentAgents",
    "stability": "society.components.stops:Stability",
    "budget": "society.components.stops:Budget",
    "verdict": "society.components.stops:Verdict",
    "says": "society.components.stops:Says",
}
"""The built-in stop rules by kind."""


class StopRule(Component, ABC):
    """An entry of `stop:`, `when:` or `until:`."""

    ends: Literal["phase", "block", "debate"] = "phase"
    """Part of the debate that the rule ends under `stop`. `block`: the phase and all repetitions of its block in
    `repeat`. `debate`: the phase and all phases after it. In an inner list, the largest part counts."""

    @abstractmethod
    def reached(self, state: RoundState) -> bool:
        """Return whether the rule holds after this round."""

    def never(self, facts: ConditionFacts) -> Reasons:
        """Return why the rule can never hold as a condition of `when:` or `until:`."""
        return {}

    def idle(self, facts: PhaseFacts) -> Reasons:
        """Return why the rule can never end the phase early, or always ends it after the first round."""
        return {}


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
            return super().idle(facts)
        if n == 1:
            return {"": "one speaker always agrees with itself, so the phase ends after its first round; remove it"}
        if self.share * n <= 1 + 1e-9:
            why = f"a single readable answer of {n} is enough, so the phase ends after its first round"
            return {"share": f"{why}; raise it above {1 / n:g}"}
        if facts.moderated and len(facts.spoken_before) < 2:
            why = "ends the phase after its first round: only one has spoken by then"
            return {"": f"{why}; let all speak in a phase before this one"}
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


class Stability(StopRule):
    """The distribution of answers has stopped changing.

    Its total variation distance to the previous round is at most `distance` (0: nothing changed; 1: everything did),
    in `patience` consecutive rounds.
    """

    kind: Literal["stability"] = "stability"
    distance: float = Field(0.0, ge=0, le=1)
    """Maximum total variation distance that counts as no change."""
    patience: int = Field(1, ge=1)
    """Number of consecutive rounds without a change."""

    def reached(self, state: RoundState) -> bool:
        recent = state.rounds[-self.patience - 1 :]
        return len(recent) > self.patience and all(
            _variation(before, after, state) <= self.distance + 1e-9 for before, after in pairwise(recent)
        )

    def idle(self, facts: PhaseFacts) -> Reasons:
        if self.patience + 1 >= facts.rounds:
            why = f"needs {self.patience + 1} rounds, so it cannot end a phase of {facts.rounds} earlier"
            return {"patience": f"{why}; raise `rounds`"}
        if self.distance >= 1 - 1e-9:
            return {"distance": "1 counts every change as no change; lower it"}
        return {}

    def never(self, facts: ConditionFacts) -> Reasons:
        if self.patience + 1 > facts.states:
            if facts.states == 1:
                why = "it compares states of the debate, and there is one; use it in `stop` or `until`"
                return {"": f"never holds: {why}, or repeat more often"}
            why = f"it needs {self.patience + 1} repetitions to compare, and sees at most {facts.states}"
            return {"patience": f"never holds: {why}; lower it, or raise `times`"}
        return {}


class Budget(StopRule):
    """The debate on this question has reached a limit of tokens or turns. The current round is completed first."""

    kind: Literal["budget"] = "budget"
    tokens: int | None = Field(None, gt=0)
    """Maximum number of generated tokens."""
    turns: int | None = Field(None, gt=0)
    """Maximum number of turns, including those of helpers."""

    @model_validator(mode="after")
    def _limits_something(self) -> Budget:
        if self.tokens is None and self.turns is None:
            raise ValueError("should limit `tokens` or `turns`")
        return self

    def reached(self, state: RoundState) -> bool:
        spent = self.tokens is not None and state.usage.generated_tokens >= self.tokens
        return spent or (self.turns is not None and state.turns >= self.turns)

    def idle(self, facts: PhaseFacts) -> Reasons:
        reasons = {}
        most = {"tokens": facts.most_tokens, "turns": facts.most_turns}
        for field, limit in (("tokens", self.tokens), ("turns", self.turns)):
            if limit is not None and limit > most[field]:
                why = f"is never reached before the last round: the debate has at most {most[field]:,} {field} by then"
                reasons[field] = f"{why}; lower it, or raise `rounds`"
        if self.turns is not None and self.turns <= facts.least_turns:
            why = f"is reached in the first round: the debate has {facts.least_turns:,} turns by then"
            reasons["turns"] = f"{why}; raise it, or leave the rule out with `rounds: 1`"
        return reasons

    def never(self, facts: ConditionFacts) -> Reasons:
        most = {"tokens": facts.most_tokens, "turns": facts.most_turns}
        return {
            field: f"never holds: the debate has at most {most[field]:,} {field} by then; lower it"
            for field, limit in (("tokens", self.tokens), ("turns", self.turns))
            if limit is not None and limit > most[field]
        }


class Verdict(StopRule):
    """An agent, usually a judge, has a verdict: its turn of this round matches `says`, or has a readable answer."""

    kind: Literal["verdict"] = "verdict"
    agent: AgentName
    """The agent whose turn is read."""
    says: Pattern | None = None
    """A regular expression, case ignored. Without it, any readable answer is a verdict. If the search in a text takes
    too long, the text is no verdict, and the run reports this."""

    def reached(self, state: RoundState) -> bool:
        turn = state.latest.get(self.agent)
        if turn is None:
            return False
        return turn.answer is not None if self.says is None else matches(turn, self.says, state, "verdict")

    def idle(self, facts: PhaseFacts) -> Reasons:
        if self.agent in facts.speakers:
            return {}
        return {"agent": f"{self.agent!r} does not speak in this phase, so there is no verdict; add it to `agents`"}

    def never(self, facts: ConditionFacts) -> Reasons:
        if self.agent in facts.agents:
            return {}
        return {"agent": f"never holds: {self.agent!r} has not spoken by then; add it to an earlier phase"}


class Says(StopRule):
    """The latest texts of enough agents contain a pattern."""

    kind: Literal["says"] = "says"
    pattern: Pattern
    """A regular expression, case ignored. If the search in a text takes too long, the text does not count, and the run
    reports this."""
    agents: int = Field(1, ge=1)
    """Minimum number of agents whose text contains it."""

    def reached(self, state: RoundState) -> bool:
        found = sum(matches(turn, self.pattern, state, "pattern") for turn in state.latest.values())
        return found >= self.agents

    def idle(self, facts: PhaseFacts) -> Reasons:
        return self._beyond(len(facts.speakers))

    def never(self, facts: ConditionFacts) -> Reasons:
        return self._beyond(len(facts.agents))

    def _beyond(self, most: int) -> Reasons:
        return {"agents": f"never holds: at most {most} speak; lower it"} if self.agents > most else {}


def matches(turn: Turn, pattern: str, state: RoundState, what: str) -> bool:
    """Return whether a turn's text contains a pattern. If the search takes too long, the turn gets a note."""
    try:
        return search(str(pattern), turn.text, ignore_case=True) is not None
    except SlowPatternError as error:
        state.annotate(turn.id, f"No {what} could be looked for: {error.cause}")
        return False


def _variation(before: Mapping[str, Turn], after: Mapping[str, Turn], state: RoundState) -> float:
    """Return the total variation distance of two rounds' answer distributions. Unreadable answers are one class."""
    answers = [(turn.answer, side) for side, turns in ((0, before), (1, after)) for turn in turns.values()]
    readable = [(answer, side) for answer, side in answers if answer is not None]
    texts = [answer for answer, _ in readable]
    classes = [[readable[i][1] for i in members] for members in group(texts, state.same)]
    classes.append([side for answer, side in answers if answer is None])
    return sum(abs(_share(sides, 0, before) - _share(sides, 1, after)) for sides in classes) / 2


def _share(sides: Sequence[int], side: int, turns: Mapping[str, Turn]) -> float:
    return sides.count(side) / max(len(turns), 1)
