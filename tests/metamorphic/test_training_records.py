"""The labels, rows and signals that a training used equal those of the report, with every decision rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import society
from society.components.plugin_files import set_plugins
from society.components.registry import kinds
from society.core.types import Example, TurnId
from society.metrics.diversity import mean_of
from society.metrics.iterations import run_iterations
from society.runs.records import DebateRecord, load_records
from society.runs.run import Run
from society.scenario.expand import expand
from society.scenario.models.training import LearnerSpec, TrainSpec
from society.session import run
from society.training import loop
from society.training.labels import Labels, open_history
from society.training.selection import TrainingSet, select_examples
from society.training.signals import measure_signals
from tests.metamorphic.relation import counted
from tests.metamorphic.runs import Spec

GUESSER = Path(__file__).parents[1] / "training" / "guesser.py"
NEEDS: dict[str, Spec] = {"judge": {"agent": "d"}, "aggregator": {"agent": "d"}}
LEARNERS: dict[str, Spec] = {
    "agrees": {
        "agents": ["a"],
        "phases": ["propose", "vote"],
        "turn": "every",
        "label": {"kind": "vote", "over": "all"},
    },
    "critic": {"agents": ["b"], "phases": ["vote"], "select": [{"kind": "critic", "unmixed": "take"}, "witness"]},
    "novel": {"agents": ["c"], "phases": ["vote"], "select": ["novel", {"kind": "margin", "power": 1}]},
    "pairs": {"agents": ["d"], "phases": ["vote"], "objective": {"kind": "dpo", "against": "question"}},
    "gold": {
        "agents": ["b", "c", "d"],
        "phases": ["propose"],
        "label": "gold",
        "objective": "kto",
        "adapter": "shared",
    },
}
SCENARIO: Spec = {
    "version": 1,
    "name": "voters",
    "task": {"kind": "arithmetic", "form": "a+b", "high": 3, "limit": 1, "answer": {"equal": "numeric"}},
    "backends": {"local": "guesser"},
    "roles": {
        "solver": {"prompt": "{{ question }} [[It is 4.|It is 5.|It is 4.|It is 3.]]"},
        "voter": {"prompt": "{{ question }} [[A|B|A, B|B > A|It is 4.|None of them.|A > C]]"},
    },
    "agents": {name: {"role": "solver"} for name in "abcd"},
    "phases": [{"name": "propose"}, {"name": "vote", "bind": {name: {"role": "voter"} for name in "abcd"}}],
}


@dataclass
class Used:
    """Labels and rows that a training used, by finetuning, and the signals of its guard, by iteration."""

    finetunings: list[tuple[list[DebateRecord], Labels, tuple[Any, ...], TrainingSet]] = field(default_factory=list)
    signals: list[Mapping[str, Mapping[str, float]]] = field(default_factory=list)

    def select(
        self, learner: LearnerSpec, agents: Sequence[str], records: list[DebateRecord], labels: Labels, *rest: Any
    ) -> TrainingSet:
        found = select_examples(learner, agents, records, labels, *rest)
        self.finetunings.append(
            (records, labels, (learner, agents, rest), TrainingSet([*found.examples], found.left_out))
        )
        return found

    def measure(self, *given: Any) -> dict[str, dict[str, float]]:
        found = measure_signals(*given)
        self.signals.append(found)
        return found


Train = Callable[[Spec, Spec], tuple[Run, Used]]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Train]:
    """Return a function that trains with a decision rule and a label, and returns what the training used."""
    society.load_plugins(GUESSER)

    def play(decision: Spec, label: Spec) -> tuple[Run, Used]:
        used = Used()
        monkeypatch.setattr(loop, "select_examples", used.select)
        monkeypatch.setattr(loop, "measure_signals", used.measure)
        guard = {"signal": "margin", "errors": 100, "patience": 9}
        how = {"iterations": 2, "questions": 9, "label": label, "quorum": 1, "majority": 0, "guard": guard}
        spec = {**SCENARIO, "decision": decision, "train": {**how, "learners": LEARNERS}}
        run(society.Scenario(**spec), tmp_path / "run", progress=False)
        return Run(tmp_path / "run"), used

    yield play
    set_plugins()


def rows(examples: Sequence[Example]) -> list[tuple[TurnId, str, float, bool]]:
    return [(one.source, one.rule, one.weight, one.desired) for one in examples]


def find_all(labels: Labels, records: Sequence[DebateRecord], agents: Sequence[str]) -> list[object]:
    """Return each label of these debates, and whether each turn has it."""
    labelled = [(record, labels.find(record, agent)) for record in records for agent in agents]
    return [(label, [labels.agree(turn, label, record) for turn in record.turns]) for record, label in labelled]


@pytest.mark.parametrize("kind", sorted(kinds("decision")))
@counted
def test_labels_rows_and_signals_of_the_report_are_those_of_the_training(train: Train, kind: str) -> None:
    decision = {"kind": kind, **NEEDS.get(kind, {})}
    decides = kinds("decision")[kind].decides  # type: ignore[attr-defined]
    done, used = train(decision, {"kind": "consensus"} if decides else {"kind": "vote", "samples": 1})
    spec = done.scenario.train
    assert isinstance(spec, TrainSpec)
    history = open_history(expand(done.scenario))
    stored = history.add(load_records(done, split="training"))
    assert len(used.finetunings) == 10
    for records, labels, (learner, agents, rest), found in used.finetunings:
        again = [record for record in stored if record.result.iteration == records[0].result.iteration]
        reported = history.labels(spec, spec.label_of(learner))
        assert find_all(reported, again, agents) == find_all(labels, records, agents)
        chosen = select_examples(learner, agents, again, reported, *rest)
        assert (rows(chosen.examples), chosen.left_out) == (rows(found.examples), found.left_out)
    assert any(found.examples for *_, found in used.finetunings)
    measured = [{name: mean_of([*values.values()]) for name, values in found.items()} for found in used.signals]
    assert str(measured) == str([score.signals for score in run_iterations(done)[:2]])  # nan is not itself
