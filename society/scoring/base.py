"""The base class of kinds of answers, and the kind that a scenario has by default."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from society.answers.format import AnswerFormat, AnswerOptions
from society.components.facts import Reasons
from society.core.errors import InputError
from society.core.field_paths import ABSENT, find
from society.core.types import Item, Judgement, Turn

if TYPE_CHECKING:
    from society.sandbox import Limits, Outcome


class Court(Protocol):
    """The means that a rule may use after a debate: an agent of the scenario, and the sandbox."""

    async def ask(self, agent: str, about: str, judged: Mapping[str, Any]) -> Turn:
        """Return the agent's turn on what `judged` holds. `about` tells its turns in one debate apart."""

    async def run(self, files: Mapping[str, str], limits: Limits, stdin: str) -> Outcome:
        """Return the end of a program. See `society.sandbox.run_python`."""


class AnswerRule(AnswerOptions, ABC):
    """The `answer:` of a task. Subclasses add `kind`, and override what they do differently.

    Agents' answers are compared with each other by `same`: by `equal`, unless the kind has its own comparison.
    """

    deferred: ClassVar[bool] = False
    """Whether answers are judged after the debate alone, by `judge`, and not by `correct`."""

    @property
    def secret(self) -> tuple[str, ...]:
        """Return the fields of a question's row that give right answers away. Prompts cannot show them."""
        return ()

    def idle(self) -> Reasons:
        """Return why fields change nothing."""
        if type(self).same is AnswerRule.same:
            return {}
        why = f"has no effect: `kind: {getattr(self, 'kind', '')}` has its own comparison; remove it"
        return {field: why for field in ("equal", "tolerance") if getattr(self, field) is not None}

    def helpers(self) -> tuple[str, ...]:
        """Return the agents that only judge answers."""
        return ()

    def require(self) -> None:
        """Raise `InputError` if this machine cannot judge answers of this kind."""

    def check(self, item: Item) -> None:
        """Raise `InputError` if a question lacks what its answers are judged by."""

    def scores(self, item: Item) -> bool:
        """Return whether answers to the question are right or wrong. By default, they are if it has a true answer."""
        return bool(item.gold)

    def correct(self, answer: str, item: Item, form: AnswerFormat) -> bool:
        """Return whether an answer is right, by comparison with the true answers alone."""
        return any(form.matches(answer, right) for right in (item.gold, *item.aliases) if right)

    def same(self, a: str, b: str, form: AnswerFormat) -> bool:
        """Return whether two answers are the same answer, for votes. Symmetric, and true for identical strings.

        A kind whose verdicts depend on other differences than `equal` overrides it, so that equal answers have equal
        verdicts.
        """
        return form.same(a, b)

    def has_form(self, answer: str, item: Item, form: AnswerFormat) -> bool:
        """Return whether an answer has the form of the true answer, so that it could be right."""
        return form.has_form(answer, (item.gold, *item.aliases))

    @property
    def verdicts(self) -> tuple[str, ...]:
        """The words of which a verdict is one, for errors; () for a kind without such words."""
        return ()

    def read(self, text: str) -> str | None:
        """Return the verdict in the reply of an agent that judges, or None if there is none."""
        return None

    async def judge(
        self, answers: Sequence[str], item: Item, correct: Callable[[str], bool], court: Court
    ) -> dict[str, Judgement]:
        """Return a judgement on each of these distinct answers. `correct` compares one with the true answers."""
        return {answer: Judgement(correct(answer)) for answer in answers}


class Compare(AnswerRule):
    """An answer is right if it equals the true answer, by `equal`. The kind of a scenario that names none."""

    kind: Literal["compare"] = "compare"


def find_field(item: Item, path: str, key: str) -> Any:
    """Return a field of the question's row, such as `answer.aliases`, which `key` of the kind of answer names.

    Raises `InputError` if there is none.
    """
    row = {**item.fields, **item.data}
    value = find(row, path)
    if value is ABSENT:
        known = ", ".join(row) or "no fields"
        cause = f"The question {item.id!r} has no field {path!r}; it has {known}."
        raise InputError(cause, f"Correct `task.answer.{key}`.", (key,))
    return value
