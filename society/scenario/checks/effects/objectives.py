"""Checks of the objectives of learners: those that find no pairs, or no undesired replies."""

from __future__ import annotations

from collections.abc import Iterator

from society.components.faults import faults_of
from society.scenario.checks.effects.findings import Finding
from society.scenario.checks.effects.flow import Flow
from society.scenario.checks.effects.rules import explain
from society.scenario.members import agents_of
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.scenario.reading.tree import Steps


def check_objective(flow: Flow, spec: TrainSpec, learner: LearnerSpec, steps: Steps) -> Iterator[Finding]:
    """Yield an objective without pairs or undesired replies, and its fields without effect."""
    own = [phase for phase in flow.phases if phase.plan.name in learner.phases]
    turns = sum(phase.plan.rounds * len(phase.plan.speakers) for phase in own)
    if learner.objective.contrast == "pair" and turns * flow.scenario.samples == 1 and not learner.accumulate:
        message = "finds no pairs: each question has one reply; set `samples: 2` or more, or add agents"
        yield Finding((*steps, "objective"), message)
    reading = all(phase.ties is None or any(tie.arrives for tie in phase.ties) for phase in own)
    with faults_of(learner.objective, "idle"):
        reasons = learner.objective.idle(reading)
    yield from explain((*steps, "objective"), learner.objective, reasons)
    yield from _check_selection(flow, spec, learner, steps)
    debates = spec.questions * flow.scenario.samples
    most = None if isinstance(learner.rows, float) and spec.task is not None else learner.most_rows(debates)
    if learner.objective.contrast == "pair" and most == 1:
        message = "leaves no row: a pair counts as two rows; set 2 or more"
        yield Finding((*steps, "rows"), message, "error")


def _check_selection(flow: Flow, spec: TrainSpec, learner: LearnerSpec, steps: Steps) -> Iterator[Finding]:
    """Yield selectors that leave no undesired replies, as they take every turn, or every turn of one debate."""
    every_turn = all(selector.takes_all for selector in learner.selectors)
    debates = all(selector.takes_all or selector.takes_debates for selector in learner.selectors)
    if not learner.objective.contrast or not (every_turn or debates):
        return
    agents = agents_of(learner.agents, flow.society.members)
    spoken = {a for phase in flow.phases if phase.plan.name in learner.phases for a in phase.plan.speakers}
    whole = spoken <= {*agents} or not agents
    single = flow.scenario.samples == 1 and not learner.accumulate  # debates on a question
    every = whole and single and not spec.label_of(learner).personal
    paired = learner.objective.contrast == "pair"
    if not every_turn and not (paired and every):  # a debate that is not taken has undesired replies
        return
    few = "no" if every else "few"
    found = f"{few} pairs" if paired else "no undesired replies"
    turns = "every turn" if every_turn else "every turn of a debate"
    message = f"finds {found}: it selects {turns}, and a selected turn is no undesired reply"
    more = "" if every_turn else ", or `samples: 2` or more"
    yield Finding(
        (*steps, "select"), f"{message}; set `select: agrees`{more}", "error" if paired and every else "warning"
    )
