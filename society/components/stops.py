"""Stop rules are conditions on the answers so far. They end a phase, a block of phases or a debate early.

In a scenario, `stop:` lists rules, and any of them ends the phase. Of a list inside the list, all rules must hold. The
same rules are the conditions of `when:` (a phase or a turn takes place) and `until:` (repetitions end). The rules on
shares of answers are in `share_stops`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from society.answers import group
from society.components.facts import ConditionFacts, PhaseFacts, Reasons
from society.core.component import AgentName, Component
from society.core.errors import SlowPatternError
from society.core.templating.patterns import Pattern, search
from society.core.types import RoundState, Turn

STOPS = {
    "consensus": "society.components.share_stops:Consensus",
    "disagreement": "society.components.share_stops:Disagreement",
    "tie": "society.components.share_stops:Tie",
    "dissent": "society.components.share_stops:Dissent",
    "answer": "society.components.share_stops:AnswerShare",
    "confident": "society.components.share_stops:ConfidentAgents",
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

    def awaits(self) -> Mapping[str, str]:
        """Return the answers for which the rule waits, by field. It never holds where no agent can give them."""
        return {}

    def awaits_texts(self) -> Mapping[str, str]:
        """Return the patterns of texts for which the rule waits, by field."""
        return {}

    def opposes(self, other: StopRule) -> bool:
        """Return whether this rule holds exactly when the other one does not."""
        return False

    def never(self, facts: ConditionFacts) -> Reasons:
        """Return why the rule can never hold as a condition of `when:` or `until:`."""
        return {}

    def idle(self, facts: PhaseFacts) -> Reasons:
        """Return why the rule can never end the phase early, or always ends it after the first round."""
        return {}

    def trivial(self, agents: Sequence[str], members: Mapping[str, Sequence[str]]) -> Reasons:
        """Return why the rule has nothing to compare among these agents. `members`: agents of each group."""
        return {}

    def at_once(self, facts: PhaseFacts) -> Reasons:
        """Return why the rule always ends what it `ends` after the first round of the phase."""
        return {}


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
        return {**reasons, **self.at_once(facts)}

    def at_once(self, facts: PhaseFacts) -> Reasons:
        if self.turns is None or self.turns > facts.least_turns:
            return {}
        why = f"is reached in the first round: the debate has {facts.least_turns:,} turns by then"
        if self.ends != "phase":
            return {"turns": f"{why}, so the {self.ends} always ends there; raise it, or remove what follows"}
        return {"turns": f"{why}; raise it, or leave the rule out with `rounds: 1`"}

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
        if turn is None or state.round not in (None, (turn.id.phase, turn.id.round)):
            return False
        return turn.answer is not None if self.says is None else matches(turn, self.says, state, "verdict")

    def awaits_texts(self) -> Mapping[str, str]:
        return {} if self.says is None else {"says": self.says}

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

    def awaits_texts(self) -> Mapping[str, str]:
        return {"pattern": self.pattern}

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
