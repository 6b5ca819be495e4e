"""Checks of quorums: a decision or a label that needs more voters than the society has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from society.components.decisions.base import DecisionRule
from society.components.faults import faults_of
from society.components.labels.base import LabelRule
from society.core.plain import count as count_of
from society.core.problems import Problem
from society.scenario.checks.effects.flow import follow
from society.scenario.expand import expand
from society.scenario.members import agents_of
from society.scenario.models.scenario import Scenario
from society.scenario.models.training import TrainSpec
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
    if scenario.train is not None:
        yield from _labels(scenario.train, scenario.decision, voters, have)
        yield from _votes(scenario, scenario.train)


def _votes(scenario: Scenario, spec: TrainSpec) -> Iterator[tuple[Steps, str, object]]:
    """Yield a quorum that the votes of no debate reach."""
    flow = follow(scenario)
    turns = {name: count for name in flow.society.voters if (count := flow.spoken(name))}
    agents = sum(agent.count for agent in scenario.agents.values())
    for learner in spec.learners.values():
        rule, named = spec.label_of(learner), agents_of(learner.agents, flow.society.members)
        speakers = {a for phase in flow.phases if phase.plan.name in learner.phases for a in phase.plan.speakers}
        once = dict.fromkeys(turns, 1)
        with faults_of(rule, "most_votes"):
            most = max((_count(rule, turns, agents, agent) for agent in named or speakers), default=0)
            different = max((_count(rule, once, agents, agent) for agent in named or speakers), default=0)
        if 0 < most < spec.quorum:
            votes = count_of(most, "vote") + " of other agents" * rule.leaves_own
            message = f"no vote can be a label: a debate has at most {votes}, fewer than `quorum`"
            yield ("train", "quorum"), f"{message}; lower `train.quorum` to {most} or less", spec.quorum
            return
        if different == 1 < spec.quorum:
            whose = "one other agent" if rule.leaves_own else "one agent"
            message = (
                f"no vote can be a label: all votes of a debate are of {whose}, and a quorum of 2 needs two voters"
            )
            yield ("train", "quorum"), f"{message}; set `train.quorum: 1`, or add agents", spec.quorum
            return


def _count(rule: LabelRule, turns: Mapping[str, int], agents: int, agent: str) -> int:
    """Return the maximum number of votes for the label of an agent's rows; 0 if the label is no vote."""
    if rule.leaves_own:
        turns, agents = {name: count for name, count in turns.items() if name != agent}, agents - 1
    most = rule.most_votes(turns, agents)
    return 0 if most is None else most


def _labels(spec: TrainSpec, decision: DecisionRule, voters: int, have: str) -> Iterator[tuple[Steps, str, object]]:
    """Yield labels that no debate can give."""
    kind = str(getattr(decision, "kind", ""))
    for name, learner in spec.learners.items():
        rule = spec.label_of(learner)
        steps: Steps = ("train", "learners", name, "label") if learner.label else ("train", "label")
        if rule.reads_decision and not decision.decides:
            message = f"no decision can be a label: `{kind}` gives no single answer; use another rule"
            yield steps, message, str(getattr(rule, "kind", ""))
            return
        if rule.reads_decision and spec.quorum > voters:
            message = f"no decision can be a label: {have}, but `quorum` needs {spec.quorum} that agree; "
            yield ("train", "quorum"), f"{message}lower `train.quorum`, or set `train.label: gold`", spec.quorum
            return
