"""The generators of reasoning-gym, each with its own verifier (https://github.com/open-thought/reasoning-gym).

A worker process generates and scores the questions, for two reasons. Some generators depend on the order of a set,
which needs a fixed hash seed. Some verifiers evaluate a model's text; the worker passes them only text that is not a
program.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from society.answers.format import AnswerFormat
from society.answers.undecided import note
from society.answers.worker import Worker
from society.core.errors import InputError, MissingExtraError
from society.core.types import Item
from society.tasks.base import Task

SIZE = 10_000
"""Number of questions of a generator and seed. Constant, as some generators depend on it."""
MAX_ANSWER = 10_000
"""Maximum length of an answer, in characters. Longer answers are incorrect."""
PREPARATION_SECONDS = 30.0
"""Seconds to start the worker: some generators read word lists or generate all puzzles first."""

Parameter = str | int | float | bool | None | list[Any]


class ReasoningGym(Task):
    """Questions from reasoning-gym. An answer is correct if the verifier gives the full score."""

    kind: Literal["reasoning_gym"] = "reasoning_gym"
    dataset: str
    """Name of the generator, such as chain_sum."""
    params: dict[str, Parameter] = Field(default_factory=dict)
    """Parameters of the generator by name."""
    limit: Annotated[int, Field(ge=1, le=SIZE)] | None = 100
    """Number of questions."""

    standard: ClassVar[AnswerFormat] = AnswerFormat(extract=("tag", "boxed", "line"), equal="exact")
    generated: ClassVar[bool] = True

    def questions(self, seed: int) -> Iterable[Item]:
        """Yield the first 10,000 questions of the generator.

        Raises `InputError` for an unknown generator or parameter, and `MissingExtraError` without reasoning-gym.
        """
        if find_spec("reasoning_gym") is None:
            raise MissingExtraError("The task `reasoning_gym`", "reasoning-gym", "tasks")
        self._check_names()
        params, start = json.dumps(self.params), spread_seed(self.dataset, seed)
        make_generator(self.dataset, params, start)
        return (self._item(params, start, index) for index in range(SIZE))

    def scores(self, item: Item) -> bool:
        """Return True: the verifier knows right answers, even of generators that give no answer of their own."""
        return True

    def correct(self, answer: str, item: Item) -> bool:
        """Return whether the generator's verifier gives the answer the full score.

        An undecided verdict is False and recorded as undecided.
        """
        if not answer or len(answer) > MAX_ANSWER:
            return False
        start, index = item.data["seed"], item.data["index"]
        verdict = _worker().ask("judge", self.dataset, json.dumps(self.params), start, index, answer)
        if verdict is None:
            note(answer, item.gold)
        return verdict is True

    def _item(self, params: str, start: int, index: int) -> Item:
        made = _worker().ask("make", self.dataset, params, start, index)
        if made is None:
            raise InputError(
                f"The dataset {self.dataset!r} failed to generate question {index}.",
                "Change `task.params`.",
                ("params",),
            )
        return Item(id=f"{self.dataset}-{start}-{index}", data={"seed": start, "index": index}, **made)

    def _check_names(self) -> None:
        from reasoning_gym.factory import DATASETS

        if self.dataset not in DATASETS:
            raise InputError(
                f"reasoning-gym has no dataset {self.dataset!r}.",
                _suggest(self.dataset, sorted(DATASETS)),
                ("dataset",),
            )
        known = {f.name for f in dataclasses.fields(DATASETS[self.dataset][1])} - {"seed", "size"}
        for name in self.params:
            if name not in known:
                cause = f"The dataset {self.dataset!r} has no parameter {name!r}."
                raise InputError(cause, _suggest(name, sorted(known)), ("params", name))


def spread_seed(dataset: str, seed: int) -> int:
    """Return the seed of a generator. Seeds are far apart, as a generator adds the index of a question to its seed."""
    digest = hashlib.sha256(f"{dataset}/{seed}".encode()).digest()
    return int.from_bytes(digest[:6]) % 2**31


@cache
def make_generator(dataset: str, params: str, seed: int) -> Any:
    """Return the generator. `params` is JSON. Raises `InputError` for parameters that the generator rejects."""
    import reasoning_gym

    try:
        return reasoning_gym.create_dataset(dataset, seed=seed, size=SIZE, **json.loads(params))
    except (AssertionError, TypeError, ValueError) as error:
        raise InputError(
            f"The dataset {dataset!r} rejects its parameters: {error}.", "Correct `task.params`.", ("params",)
        ) from error


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Choose one of: {', '.join(known)}."


@cache
def _worker() -> Worker:
    return Worker("society.tasks.gym_worker", PREPARATION_SECONDS)
