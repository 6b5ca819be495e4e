"""Quorums that a society cannot reach are reported before a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from society.core.errors import ScenarioError
from society.scenario import load_scenario

PAPER = Path(__file__).parents[2] / "scenarios" / "paper"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (["decision.quorum=4"], "decision.quorum: cannot be reached: there are 3 voters"),
        (["train.quorum=4"], "train.quorum: no decision can be a label: there are 3 voters"),
        (["agents.agent.count=1"], "train.quorum: no decision can be a label: there is one voter"),
        (["decision={kind: judge, agent: agent-1}"], "lower `train.quorum`, or set `train.label: gold`"),
        (["train.label={kind: vote, leave_one_out: true}", "train.quorum=3"], "at most 2 votes of other agents"),
        (["train.label={kind: vote, over: all}", "agents.agent.count=1"], "a quorum of 2 needs two voters"),
        (
            ["train.label={kind: vote, leave_one_out: true}", "agents.agent.count=2"],
            "lower `train.quorum` to 1",
        ),
        (["decision=distribution"], "train.label: no decision can be a label: `distribution` gives no single answer"),
        (["train.learners.critic.rows=null"], "`repeat` needs `rows` or `tokens`"),
    ],
)
def test_what_can_never_be_reached_is_an_error(changes: list[str], says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(PAPER / "multiagent.yaml", changes)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        ["decision.quorum=3", "train.quorum=3"],
        ["agents.agent.count=1", "train.quorum=1"],
        ["train.label={kind: vote, leave_one_out: true}", "train.quorum=2"],
        ["train.label={kind: vote, leave_one_out: true, over: all}", "train.quorum=4"],
        ["train.label={kind: vote, leave_one_out: true, samples: 1}", "train.quorum=4"],
        ["agents.agent.count=1", "train.label=gold"],
        ["train.learners.critic.rows=10"],
        ["train.learners.critic.rows=null", "train.learners.critic.tokens=100"],
    ],
)
def test_what_can_be_reached_is_none(changes: list[str]) -> None:
    assert load_scenario(PAPER / "multiagent.yaml", changes).train is not None
