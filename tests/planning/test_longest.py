"""The worst case of a plan: no gate holds a message back, and a moderator calls upon whom it can."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from society.core.types import Item
from society.planning.dry_run import PlannedTurn, dry_run, rough_count
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.tasks.base import Task

GATED = """
task: {kind: arithmetic, limit: 1}
roles: {talker: {confidence: stated, prompt: "{% for m in heard %}{{ m.text }}{% endfor %}"}}
agents: {t: {count: 3}}
phases:
  - name: talk
    rounds: 2
    topology: {kind: edges, edges: [[t-1, t-2, {gate: [confident]}], [t-1, t-3]]}
    edges: {gate: [confident]}
"""
MODERATED = """
task: {kind: arithmetic, limit: 1}
roles: {talker: {prompt: "{{ question }}"}, chair: {prompt: "{% for m in heard %}{{ m.text }}{% endfor %}"}}
agents: {t: {count: 3, role: talker}, chair: {role: chair}}
phases: [{name: talk, schedule: moderated, moderator: chair, rounds: 3}]
"""


def plan(scenario: Scenario) -> list[PlannedTurn]:
    return dry_run(expand(scenario), Item("any", "Any?", ""), dict.fromkeys(scenario.backends, rough_count))


def test_gates_of_single_edges_hold_nothing_back_in_a_plan(scenario: Callable[..., Scenario]) -> None:
    second = {turn.agent: turn for turn in plan(scenario(GATED)) if turn.round == 2}
    assert [len(second[f"t-{i}"].reads) for i in (1, 2, 3)] == [0, 1, 1]
    assert second["t-2"].prompt == second["t-3"].prompt > second["t-1"].prompt


def test_a_plan_has_every_agent_that_a_moderator_can_call_upon(scenario: Callable[..., Scenario]) -> None:
    assert {turn.agent for turn in plan(scenario(MODERATED))} == {"t-1", "t-2", "t-3", "chair"}


def test_the_samples_of_a_question_share_one_worst_case(scenario: Callable[..., Scenario]) -> None:
    assert plan(scenario(f"samples: 3{MODERATED}")) == plan(scenario(MODERATED))


LARGE = """
task: {kind: arithmetic, limit: 1}
roles: {talker: {prompt: "{{ question }} {% for m in heard %}{{ m.answer }} {% endfor %}"}}
agents: {t: {count: 120}}
phases: [{name: talk, topology: ring, rounds: 2, edges: {show: answer}}]
"""


@pytest.mark.parametrize("listed", [False, True])
def test_a_large_society_is_planned_without_comparing_all_its_answers(
    scenario: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:
    """Equal answers change no prompt where no template lists the candidates. Otherwise all answers differ."""
    loaded = scenario(LARGE.replace("heard", "heard if not candidates") if listed else LARGE)
    compared: list[str] = []

    def same(task: Task, a: str, b: str) -> bool:
        compared.append(a)
        return a == b

    monkeypatch.setattr(Task, "same", same)
    whole, every = plan(loaded), len(compared)
    monkeypatch.setattr("society.planning.dry_run.MOST_DIFFERENT", 10)
    compared.clear()
    assert plan(loaded) == whole
    assert (len(compared) < every / 3) is not listed
