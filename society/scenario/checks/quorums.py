"""Checks of quorums: a decision or a label that needs more voters than the society has."""

from __future__ import annotations

from collections.abc import Iterator

from society.core.problems import Problem
from society.scenario.expand import expand
from society.scenario.models.scenario import Scenario
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, problem_at


def check_quorums(scenario: Scenario, root: Node) -> list[Problem]:
    """Return the quorums that a society with valid names cannot reach."""
    voters = len(expand(scenario).voters)
    if not voters:  # a phase without speakers, which is reported itself
        return []
    return [problem_at(root, steps, message, value=value) for steps, message, value in _beyond(scenario, voters)]


def _beyond(scenario: Scenario, voters: int) -> Iterator[tuple[Steps, str, object]]:
    have = "there is one voter" if voters == 1 else f"there are {voters} voters"
    quorum = scenario.decision.quorum
    if quorum > voters:
        yield ("decision", "quorum"), f"cannot be reached: {have}; lower it", quorum
    spec = scenario.train
    if spec is not None and spec.label == "consensus" and not scenario.decision.decides:
        kind = str(getattr(scenario.decision, "kind", ""))
        yield (
            ("train", "label"),
            f"no decision can be a label: `{kind}` gives no single answer; use another rule",
            spec.label,
        )
    elif spec is not None and spec.label == "consensus" and spec.quorum > voters:
        message = f"no decision can be a label: {have}, but `quorum` needs {spec.quorum} that agree; "
        yield ("train", "quorum"), f"{message}lower `train.quorum`, or set `train.label: gold`", spec.quorum
