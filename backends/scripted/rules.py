"""Rules of the scripted backend: an agent may say, choose, calculate, average or fail.

A rule sees the messages of a request as a model would, and draws random numbers from the request's own generator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from statistics import fmean
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from backends.scripted.arithmetic import find_value, show
from society.core.component import Component
from society.core.errors import BackendError, ContextOverflowError, FieldError, TransientError
from society.core.templating.patterns import MATCH_SECONDS, Pattern, compile_pattern

_REFERENCE = re.compile(r"\\(\d)")
_ACTIONS = ("say", "choose", "calculate", "average", "fail")


def _has_answer(template: str) -> str:
    if "{answer}" not in template:
        raise ValueError("must contain {answer}, the place of the number")
    return template


Template = Annotated[str, AfterValidator(_has_answer)]
Chance = Annotated[float, Field(ge=0, le=1)]


@dataclass(slots=True)
class RequestView:
    """The view of a rule on a request: the user's messages, the match of `when`, and the request's random numbers."""

    users: list[str]
    match: Any
    random: Random
    failures: int

    @property
    def last(self) -> str:
        """The last user message, or ""."""
        return self.users[-1] if self.users else ""


def too_slow(what: str) -> BackendError:
    """Return the error for a pattern whose search takes too long."""
    return BackendError(
        f"The search for {what} took longer than {MATCH_SECONDS} s.", "Use a pattern that backtracks less."
    )


class Calculate(Component):
    """Calculates the last arithmetic expression of the user's messages."""

    skill: Chance = 1.0
    """Probability of the right answer."""
    wrong: Literal["same", "spread"] = "same"
    """Wrong answers: `same` is always 1 too large, `spread` is off by -10 to 10 at random."""
    say: Template = "The answer is {answer}."
    """The reply. It contains {answer}."""

    def reply(self, view: RequestView) -> str | None:
        """Return the answer, right with probability `skill`; None if no message has an expression."""
        value = next((found for text in reversed(view.users) if (found := find_value(text)) is not None), None)
        if value is None:
            return None
        if view.random.random() >= self.skill:
            spread = view.random.choice((-1, 1)) * view.random.randint(1, 10)
            value += 1 if self.wrong == "same" else spread
        return self.say.replace("{answer}", show(value))


class Average(Component):
    """Replies with the mean of all numbers in the user's last message, as an agent of DeGroot (1974) does."""

    noise: float = Field(0.0, ge=0)
    """Standard deviation of normal noise added to the mean."""
    low: float = 0.0
    """Without a number to read, the reply is drawn uniformly between `low` and `high`."""
    high: float = 1.0
    """Upper limit of that draw; see `low`."""
    numbers: Pattern = r"(?<![\w.-])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?!\w)"
    """A regular expression for numbers. If it has a group, the first group is the number."""
    say: Template = "{answer}"
    """The reply. It contains {answer}."""

    def reply(self, view: RequestView) -> str | None:
        """Return the mean, with all digits of its double."""
        pattern = compile_pattern(self.numbers)
        try:
            found = pattern.finditer(view.last, timeout=MATCH_SECONDS)
            read = [float(match[pattern.groups and 1]) for match in found]
        except TimeoutError:
            raise too_slow("average.numbers") from None
        except ValueError as error:
            raise BackendError(
                f"average.numbers matches text that is no number: {error}.", "Narrow the pattern."
            ) from error
        mean = fmean(read) if read else view.random.uniform(self.low, self.high)
        return self.say.replace("{answer}", repr(mean + view.random.gauss(0.0, 1.0) * self.noise))


class Fail(Component):
    """Injects a fault. A request without a fault goes to the next rule."""

    kind: Literal["transient", "error", "empty", "overflow"] = "transient"
    """A transient failure, a permanent one, an empty reply, or a prompt too long for the context."""
    rate: Chance = 1.0
    """Probability that a request fails. The same request always fails, or never."""
    times: int | None = Field(None, ge=1)
    """Number of failures of the same request before it is answered; unlimited by default."""

    def reply(self, view: RequestView) -> str | None:
        """Raise the fault, or return an empty reply; None if the request does not fail."""
        if view.random.random() >= self.rate or (self.times is not None and view.failures >= self.times):
            return None
        if self.kind == "transient":
            raise TransientError("A scripted transient failure.", "The scenario's `fail` rule asks for it.")
        if self.kind == "error":
            raise BackendError("A scripted failure.", "The scenario's `fail` rule asks for it.")
        if self.kind == "overflow":
            words = sum(len(text.split()) for text in view.users)
            raise ContextOverflowError(words, 0, max(words - 1, 0), "The scenario's `fail` rule asks for it.")
        return ""


class Rule(Component):
    """One rule: it applies if `when` and `system` match, and has exactly one action."""

    when: Pattern | None = None
    """A regular expression, searched in the user's last message. Without it, every message matches."""
    system: Pattern | None = None
    r"""A regular expression, searched in the system message, to tell roles apart."""
    say: str | None = None
    r"""Reply with this text. \1 to \9 are the groups of `when`."""
    choose: list[str] | None = Field(None, min_length=1)
    """Reply with one of these texts at random."""
    weights: list[Annotated[float, Field(ge=0)]] | None = None
    """Relative weights of the texts of `choose`; equal by default."""
    calculate: Calculate | None = None
    """Reply with the value of the user's arithmetic."""
    average: Average | None = None
    """Reply with the mean of the numbers in the message."""
    fail: Fail | None = None
    """Fail instead of replying."""
    think: str | None = None
    r"""Thought before the reply, as of a reasoning model. \1 to \9 are the groups of `when`."""

    @model_validator(mode="after")
    def _one_action(self) -> Self:
        if sum(getattr(self, action) is not None for action in _ACTIONS) != 1:
            raise FieldError("a rule needs exactly one of say, choose, calculate, average and fail", *_ACTIONS)
        if self.weights is not None and (len(self.weights) != len(self.choose or ()) or sum(self.weights) <= 0):
            raise FieldError("weights need one number for each text of choose, not all 0", "weights")
        groups = compile_pattern(self.when or "").groups
        texts = {"say": self.say or "", "think": self.think or "", "choose": " ".join(self.choose or ())}
        for field, text in texts.items():
            if any(int(number) > groups for number in _REFERENCE.findall(text)):
                raise FieldError(f"{text!r:.80} refers to a group that `when` does not have: it has {groups}", field)
        return self

    @property
    def always_answers(self) -> bool:
        """Return whether the rule applies to every request and always has a reply."""
        if self.when is not None or self.system is not None or self.calculate is not None:
            return False
        return self.fail is None or (self.fail.rate == 1 and self.fail.times is None)

    def reply(self, view: RequestView) -> str | None:
        """Return the reply, or None if the rule has none and the next rule is tried."""
        action = self.calculate or self.average or self.fail
        if action is not None:
            return action.reply(view)
        text = self.say if self.choose is None else view.random.choices(self.choose, self.weights)[0]
        return _fill(text or "", view.match)

    def thought(self, view: RequestView) -> str:
        """Return the thought before the reply; "" if the rule has none."""
        return _fill(self.think or "", view.match)


def _fill(text: str, match: Any) -> str:
    r"""Return the text with the groups of a match in place of \1 to \9."""
    return _REFERENCE.sub(lambda found: match[int(found[1])] or "", text) if match else text
