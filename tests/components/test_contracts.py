"""Our own pieces keep the promises that outside authors are asked to keep."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from society.components.choosing import Choose, Retain, Route
from society.components.contracts import (
    ControllerContract,
    DecisionContract,
    GateContract,
    LabelContract,
    LeaveContract,
    MetricContract,
    SelectorContract,
    StopContract,
    ToolContract,
)
from society.components.controllers import Bracket, Drop, Prune, Resample
from society.components.decisions.base import DecisionRule
from society.components.decisions.counting import Majority, Supermajority, Unanimity, Weighted
from society.components.decisions.opinions import Distribution, Mean, Median, Undecided
from society.components.decisions.trajectory import Trajectory
from society.components.decisions.voting import Approval, Borda, Ranked
from society.components.filters import Margin, Novel, Witness
from society.components.gates import Answered, Confident, Differs, Distinct, Similarity
from society.components.labels.truth import Gold, JudgedLabel, ToolLabel
from society.components.labels.votes import ConsensusLabel, VoteLabel
from society.components.leaving import ConfidentAnswer, SaysPattern, StableAnswer
from society.components.metrics.agreement import Agreement
from society.components.metrics.base import Metric
from society.components.metrics.drift import Drift
from society.components.metrics.opinions import Opinions
from society.components.metrics.persuasion import Persuasion
from society.components.metrics.polarization import Polarization
from society.components.metrics.samples import BestOfK, MajorityAtK, PassAtK
from society.components.registry import kinds
from society.components.selectors import Agrees, All, Critic, Success
from society.components.share_stops import AnswerShare, ConfidentAgents, Consensus, Disagreement, Dissent, Tie
from society.components.stops import Budget, Says, Stability, Verdict
from society.components.tools.base import Tool
from society.components.track_record import TrackRecord
from society.core.paths import allow_folders
from society.executors.base import ExecutorConfig
from society.executors.contract import ExecutorContract
from society.executors.local import Local
from topologies.base import Topology
from topologies.contract import TopologyContract

PLAIN = [kind for kind, cls in kinds("topology").items() if not any(f.is_required() for f in cls.model_fields.values())]


@pytest.mark.parametrize("kind", PLAIN)
class TestTopologies(TopologyContract):
    @pytest.fixture
    def topology(self, kind: str) -> Topology:
        return kinds("topology")[kind]()  # type: ignore[return-value]


METRICS = [
    Opinions(),
    Agreement(),
    PassAtK(k=(1, 2)),
    MajorityAtK(),
    BestOfK(by="verdict"),
    Agreement(level="ordinal"),
    Drift(),
    Polarization(),
    Polarization(scale=(0, 10)),
    Persuasion(),
]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.kind)
class TestMetrics(MetricContract):
    def test_there_is_one_of_each_kind(self, metric: Metric) -> None:
        assert {m.kind for m in METRICS} == set(kinds("metric"))  # type: ignore[attr-defined]


RULES = [
    Mean(),
    Median(unparsed="earlier"),
    Distribution(),
    Undecided(),
    Majority(),
    Majority(ties="random"),
    Majority(over="all"),
    Supermajority(),
    Unanimity(),
    Weighted(),
    Approval(),
    Borda(),
    Ranked(),
    Trajectory(),
    Majority(unparsed="veto"),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind)
class TestDecisions(DecisionContract):
    def test_there_is_one_of_each_kind_that_counts(self, rule: DecisionRule) -> None:
        assert {r.kind for r in RULES} | {"judge", "aggregator"} == set(kinds("decision"))  # type: ignore[attr-defined]


STOP_RULES = [
    Consensus(),
    Disagreement(share=0.6),
    Tie(),
    Dissent(),
    AnswerShare(answer="x"),
    ConfidentAgents(least=0.5),
    Stability(),
    Budget(turns=4),
    Verdict(agent="agent-1"),
    Says(pattern="is x"),
]
ALL_LEAVE_RULES = [StableAnswer(), ConfidentAnswer(), SaysPattern(pattern="is x")]
ALL_GATES = [Answered(), Differs(), Confident(), Similarity(), Distinct()]
ALL_CONTROLLERS = [
    Resample(),
    Drop(p=0.5),
    Prune(ranker="judge", keep=2),
    Bracket(),
    Bracket(judge="judge", rounds=2),
    Bracket(judge="judge", comparisons=3),
    Choose(role="chooser", most=1),
    Route(router="judge", most=2),
    Retain(filter="judge", most=1),
    TrackRecord(keep=1),
    TrackRecord(over="questions", by="gold", after=2),
]
ALL_SELECTORS = [
    Agrees(),
    Critic(),
    Critic(unmixed="take"),
    Success(),
    All(),
    Margin(least=0.5),
    Novel(top=2),
    Novel(),
    Witness(),
]
ALL_LABELS = [
    ConsensusLabel(),
    Gold(),
    JudgedLabel(),
    ToolLabel(),
    VoteLabel(),
    VoteLabel(over="all", leave_one_out=True),
    VoteLabel(by="previous", lag=2, samples=3),
]


@pytest.mark.parametrize("stop", STOP_RULES)
class TestStops(StopContract):
    pass


@pytest.mark.parametrize("leave", ALL_LEAVE_RULES)
class TestLeaveRules(LeaveContract):
    pass


@pytest.mark.parametrize("gate", ALL_GATES)
class TestGates(GateContract):
    pass


@pytest.mark.parametrize("controller", ALL_CONTROLLERS)
class TestControllers(ControllerContract):
    pass


@pytest.mark.parametrize(
    ("noun", "examples"),
    [
        ("stop", STOP_RULES),
        ("leave", ALL_LEAVE_RULES),
        ("gate", ALL_GATES),
        ("controller", ALL_CONTROLLERS),
        ("label", ALL_LABELS),
        ("selector", ALL_SELECTORS),
    ],
)
def test_the_contract_runs_on_each_kind(noun: str, examples: list[Any]) -> None:
    assert {example.kind for example in examples} == set(kinds(noun))


@pytest.mark.parametrize("selector", ALL_SELECTORS)
class TestSelectors(SelectorContract):
    pass


@pytest.mark.parametrize("label", ALL_LABELS)
class TestLabels(LabelContract):
    pass


TOOLS = {"calculator": {}, "python": {"limits": {"cpu_seconds": 5}}, "search": {"path": "README.md"}}


@pytest.mark.needs("bm25s")
@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")
@pytest.mark.parametrize("kind", TOOLS)
class TestTools(ToolContract):
    @pytest.fixture
    def tool(self, kind: str) -> Tool:
        assert set(TOOLS) == set(kinds("tool"))
        return kinds("tool")[kind].model_validate(TOOLS[kind], context=allow_folders([Path(__file__).parents[2]]))  # type: ignore[return-value]


class TestLocal(ExecutorContract):
    @pytest.fixture
    def executor(self) -> ExecutorConfig:
        return Local()
