"""The base of label rules: what is known about a training debate, and the answer that it teaches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from society.answers import choose_spelling, group
from society.components.facts import LabelFacts, Reasons
from society.core.component import Component
from society.core.results import ResultError
from society.core.types import Decision, Same, Turn


@dataclass(frozen=True, slots=True)
class Evidence:
    """The facts about one training debate that a label may use.

    `turns` has each voter's turns as a speaker, in order. `drawn` has the additional first answers that the label asked
    for (`draws`). `decision` is that of the society, which `backers` voters support; `rivals` support the most frequent
    other answer, and `spoke` voters replied. Where every turn is a vote, these three count turns, and `supporters` the
    different voters behind `backers`; it is None where they are as many. `right` is None without a true answer. It
    returns the verdict on an answer, or None if no reply to the question gave that answer.
    """

    turns: Mapping[str, Sequence[Turn]]
    drawn: Sequence[Turn]
    decision: Decision
    backers: int
    rivals: int
    spoke: int
    same: Same
    right: Callable[[str], bool | None] | None = None
    supporters: int | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a debate, or the `reason` why it has none.

    `backers` of `votes` gave the answer, and `rivals` the most frequent other one. `votes` is None for a label that is
    no vote. `supporters` is the number of different voters among the backers; None where each vote is of another one.
    Its answer is None where a verdict takes the place of an answer.
    """

    answer: str | None
    reason: str = ""
    backers: int = 0
    rivals: int = 0
    votes: int | None = None
    supporters: int | None = None

    @property
    def given(self) -> bool:
        """Return whether there is a label."""
        return not self.reason

    @property
    def share(self) -> float:
        """The share of the votes that the label has, f_1; 1 for a label that is no vote."""
        return self.backers / self.votes if self.votes else 1.0

    @property
    def margin(self) -> float:
        """The share of the label less that of the next answer, f_1 - f_2; 1 for a label that is no vote."""
        return (self.backers - self.rivals) / self.votes if self.votes else 1.0


class LabelRule(Component, ABC):
    """The `label:` of a training: the answer that a debate teaches, if any."""

    needs_truth: ClassVar[bool] = False
    """Whether the rule uses true answers or other verdicts."""
    reads_decision: ClassVar[bool] = False
    """Whether the rule uses the decision of the society."""

    @abstractmethod
    def find(self, evidence: Evidence, agent: str) -> Label:
        """Return the label for the rows of this agent; "" asks for the label of a whole debate."""

    def agrees(self, answer: str, label: Label, evidence: Evidence) -> bool:
        """Return whether an answer is the label."""
        return label.answer is not None and evidence.same(answer, label.answer)

    def origin(self, iteration: int) -> int:
        """Return the iteration whose debates give the labels of this one. It is the same one, or an earlier one."""
        return iteration

    def draws(self, iteration: int) -> int:
        """Return how many additional first answers of each agent this iteration needs for each question."""
        return 0

    def most_votes(self, turns: Mapping[str, int], agents: int) -> int | None:
        """Return the maximum number of votes of a debate; None if the label is no vote.

        `turns` has the maximum number of turns of each voter; `agents` is the number of all agents.
        """
        return None

    def idle(self, facts: LabelFacts) -> Reasons:
        """Return why the rule, or one of its fields, changes nothing for these voters."""
        return {}

    @property
    def leaves_own(self) -> bool:
        """True if an agent's own votes do not count for its label."""
        return False

    @property
    def personal(self) -> bool:
        """True if agents may have different labels in one debate."""
        return False


def require_label(label: object, rule: LabelRule) -> Label:
    """Return what `find` of a rule returned. Raises `ResultError` if it is no `Label`, or has a field of another type.

    A label without an answer needs a reason, unless the rule compares answers by itself.
    """
    if not isinstance(label, Label):
        raise ResultError(f"{type(label).__name__} instead of Label")
    if not (label.answer is None or isinstance(label.answer, str)):
        raise ResultError(f"a Label with the answer {label.answer!r:.40}, which is neither text nor None,")
    if not isinstance(label.reason, str):
        raise ResultError(f"a Label with the reason {label.reason!r:.40}, which is no text,")
    if label.answer is None and not label.reason and type(rule).agrees is LabelRule.agrees:
        raise ResultError("a Label with neither an answer nor a reason why there is none")
    numbers = (label.backers, label.rivals, *(n for n in (label.votes, label.supporters) if n is not None))
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ResultError(f"a Label with the counts {numbers!r:.60}, which are no numbers of votes,")
    return label


def count_answers(answers: Sequence[str | None], same: Same) -> Label:
    """Return the most frequent answer as a label. None is an unreadable answer, which counts among the votes."""
    given = [answer for answer in answers if answer is not None]
    classes = sorted(group(given, same), key=len, reverse=True)
    sizes = [*map(len, classes), 0, 0]
    if sizes[0] == sizes[1]:
        return Label(None, NO_CONSENSUS if given else NO_VOTES, sizes[0], sizes[1], len(answers))
    return Label(choose_spelling([given[i] for i in classes[0]]), "", sizes[0], sizes[1], len(answers))


def count_turns(turns: Sequence[Turn], same: Same) -> Label:
    """Return the most frequent answer of turns as a label. All turns of an agent in a debate are of one voter."""
    label = count_answers([turn.answer for turn in turns], same)
    answer = label.answer
    if answer is None:
        return label
    backing = [turn for turn in turns if turn.answer is not None and same(turn.answer, answer)]
    return replace(label, supporters=len({(turn.id.agent, turn.id.sample) for turn in backing}))


NO_CONSENSUS, NO_VOTES, NO_QUORUM, NO_GOLD = "no consensus", "no readable vote", "no quorum", "no true answer"
"""Reasons why a debate has no label."""
