"""From turns to an answer: the inputs of rules that stop, control and decide a debate, and what they return.

Vote, Decision     the final answer of an agent, and of the society
Judgement          a verdict on an answer, with its score and its reason
Ballot             the input of a decision rule
RoundState         the input of stop rules and controllers
Past               the answers to an earlier question
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from society.core.types.generation import Usage
from society.core.types.turns import Share, Turn, TurnId


@dataclass(frozen=True, slots=True)
class Vote:
    """The final answer of one agent. `answer` is None if none could be parsed; `failed` says that the turn failed."""

    agent: str
    answer: str | None
    confidence: float | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of a society.

    `answer` is None if the society does not decide; `reason` then says why ("tie", "unparsed", "no majority", ...).
    `support` is the share of all voters that voted for the answer. `tied` are the tied answers. `voters` are the
    agents that had a vote, where these are not the voters of the scenario: phases were skipped, or agents taken out.
    `single` is False where the rule gives no single answer by design, so that its absence is no failure.
    """

    answer: str | None
    support: Share = 0.0
    reason: str = ""
    tied: tuple[str, ...] = ()
    voters: tuple[str, ...] = ()
    single: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict on an answer.

    `score` is its degree from 0 to 1, where the kind of answer has degrees. `exact` says for a model's verdict whether
    the answer equals the true one, if there is one. An `undecided` verdict counts as wrong; `note` says why.
    """

    right: bool
    score: Share | None = None
    exact: bool | None = None
    undecided: bool = False
    note: str = ""

    @property
    def is_plain(self) -> bool:
        """Return whether the verdict is only right or wrong."""
        return self == Judgement(self.right)


Same = Callable[[str, str], bool]
"""Whether two answers are the same answer, as the task sees it; symmetric."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """The input of a decision rule.

    `history` has every turn of each voter, in the order spoken. `candidates` are the distinct answers before the last
    phase, in the order of their first turn. `weights` has the sum of the weights of the edges along which others read
    each voter, in the last round with edges; an agent that nobody read is missing. `phase` is the name of the last
    phase, in which ballots are written; "" if it is unknown.
    """

    votes: Sequence[Vote]
    history: Mapping[str, Sequence[Turn]]
    candidates: Sequence[str]
    same: Same
    seed: int
    weights: Mapping[str, float] = field(default_factory=dict)
    phase: str = ""


@dataclass(frozen=True, slots=True)
class RoundState:
    """The input of stop rules and controllers after a round.

    `rounds` has this phase's turns by round and agent; an agent without a turn in a round has its latest turn there.
    `usage` and `turns` are the cost of the whole debate so far. `annotate` stores a note with a turn that did not fail.
    """

    rounds: Sequence[Mapping[str, Turn]]
    usage: Usage
    turns: int
    same: Same
    annotate: Callable[[TurnId, str], None] = lambda turn, text: None
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Agents of each group, by its name."""
    agent: str = ""
    """The agent whose turn a condition decides on; "" for every other condition."""
    round: tuple[str, int] | None = None
    """Name of the phase and number of the round that just ended, for stop rules; None for other conditions."""

    def turns_of(self, names: Sequence[str]) -> Sequence[Turn]:
        """Return the latest turns of these agents or groups; of all agents if no name is given."""
        chosen = {agent for name in names for agent in self.members.get(name, (name,))}
        return [turn for agent, turn in self.latest.items() if not names or agent in chosen]

    @property
    def latest(self) -> Mapping[str, Turn]:
        """The turns of the round just ended, by agent."""
        return self.rounds[-1]


@dataclass(frozen=True, slots=True)
class Past:
    """The answers to an earlier question, by agents in their order.

    `answered` gave a readable last answer. Among them, `agreed` gave that of the society, and `right` a right one. Each
    of these is None where it is unknown: there is no decision, or no true answer.
    """

    answered: tuple[str, ...]
    agreed: tuple[str, ...] | None
    right: tuple[str, ...] | None
