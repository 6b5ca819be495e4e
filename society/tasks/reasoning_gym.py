"""Any generator of reasoning-gym, each with its own verifier (https://github.com/open-thought/reasoning-gym).

Questions are made and judged in a worker process: some generators go by the order of a set, which only a fixed
hash seed repeats, and some verifiers evaluate a model's text. Those get nothing that could be a program.
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
"""Questions of one generator and seed. Fixed: some generators make other questions when it changes."""
MAX_ANSWER = 10_000
"""Characters. A longer answer is wrong."""
PREPARATION_SECONDS = 30.0
"""Some generators read word lists or make all their puzzles first."""

Parameter = str | int | float | bool | None | list[Any]


class ReasoningGym(Task):
    """Questions that reasoning-gym generates; an answer is right if its verifier gives full score."""

    kind: Literal["reasoning_gym"] = "reasoning_gym"
    dataset: str
    """The name of the generator, such as chain_sum."""
    params: dict[str, Parameter] = Field(default_factory=dict)
    """Parameters of the generator."""
    limit: Annotated[int, Field(ge=1, le=SIZE)] | None = 100
    """How many questions."""

    standard: ClassVar[AnswerFormat] = AnswerFormat(extract=("tag", "boxed", "line"), equal="exact")
    generated: ClassVar[bool] = True

    def questions(self, seed: int) -> Iterable[Item]:
        """The first 10,000 questions of the generator.

        Raises `InputError` for an unknown generator or parameter, `MissingExtraError` without reasoning-gym.
        """
        if find_spec("reasoning_gym") is None:
            raise MissingExtraError("The task `reasoning_gym`", "reasoning-gym", "tasks")
        self._check_names()
        params, start = json.dumps(self.params), spread_seed(self.dataset, seed)
        make_generator(self.dataset, params, start)
        return (self._item(params, start, index) for index in range(SIZE))

    def correct(self, answer: str, item: Item) -> bool:
        """Return whether the generator's own verifier gives the answer full score.

        A verdict that it does not reach is False and noted as undecided.
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
                f"The dataset {self.dataset!r} could not make its question {index}.", "Choose other `params`."
            )
        return Item(id=f"{self.dataset}-{start}-{index}", data={"seed": start, "index": index}, **made)

    def _check_names(self) -> None:
        from reasoning_gym.factory import DATASETS

        if self.dataset not in DATASETS:
            raise InputError(
                f"reasoning-gym has no dataset {self.dataset!r}.", _suggest(self.dataset, sorted(DATASETS))
            )
        known = {f.name for f in dataclasses.fields(DATASETS[self.dataset][1])} - {"seed", "size"}
        for name in self.params:
            if name not in known:
                raise InputError(
                    f"The dataset {self.dataset!r} has no parameter {name!r}.", _suggest(name, sorted(known))
                )


def spread_seed(dataset: str, seed: int) -> int:
    """A generator's seed, far from those of other seeds: a generator adds the index of a question to it."""
    digest = hashlib.sha256(f"{dataset}/{seed}".encode()).digest()
    return int.from_bytes(digest[:6]) % 2**31


@cache
def make_generator(dataset: str, params: str, seed: int) -> Any:
    """The generator; `params` is JSON. Raises `InputError` when it refuses its parameters."""
    import reasoning_gym

    try:
        return reasoning_gym.create_dataset(dataset, seed=seed, size=SIZE, **json.loads(params))
    except (AssertionError, TypeError, ValueError) as error:
        raise InputError(
            f"The dataset {dataset!r} refuses its parameters: {error}", "Correct `params` of the task."
        ) from error


def _suggest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(known)}."


@cache
def _worker() -> Worker:
    return Worker("society.tasks.gym_worker", PREPARATION_SECONDS)
