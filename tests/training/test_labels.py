"""Which labels count as right: those of additional votes, of several right answers, and of answers that are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import society
from society.components.labels.base import Evidence, Label, LabelRule
from society.components.labels.truth import Gold
from society.components.plugin_files import set_plugins
from society.core.types import Decision
from society.metrics.iterations import IterationScore, run_iterations
from society.metrics.overview import read_overview
from society.runs.records import DebateRecord, load_records
from society.runs.run import Run
from society.scenario.expand import expand
from society.store.rows import ResultRow
from society.training.labels import Labels, find_verdict, open_history
from tests.training.test_ballots import GUESSER

JUDGED = {
    "roles": {
        "solver": {"prompt": "{{ question }} [[Kiev|Kiev|Lviv]]"},
        "grader": {"prompt": "[[{{ 'RIGHT' if judged.answer == 'Kiev' else 'WRONG' }}]]"},
    },
    "agents": {"a": {"role": "solver"}, "grader": {"role": "grader"}},
}
Train = Callable[..., Run]


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Train]:
    """Return a function that trains one agent by its vote with six additional ones, on questions about a capital."""
    society.load_plugins(GUESSER)

    def run(item: Mapping[str, Any], answer: Mapping[str, Any] | None = None, **fields: Any) -> Run:
        items = [{"question": f"Capital of Ukraine, version {i}?", **item} for i in range(20)]
        scenario = {
            "version": 1,
            "name": "capitals",
            "task": {"kind": "inline", "items": items, "limit": 2, "answer": {"extract": ["text"], **(answer or {})}},
            "backends": {"local": "guesser"},
            "roles": {"solver": JUDGED["roles"]["solver"]},
            "agents": {"a": {"role": "solver"}},
            "phases": [{"name": "propose"}],
            "train": {
                "questions": 18,
                "label": {"kind": "vote", "samples": 6},
                "learners": {"all": {"phases": ["propose"], "turn": "first"}},
            },
        }
        society.run(society.Scenario(**{**scenario, **fields}), tmp_path / "run", progress=False)
        return Run(tmp_path / "run")

    yield run
    set_plugins()


def labels_of(run: Run) -> list[tuple[str | None, bool | None, bool]]:
    """Return each label, whether it is right, and whether a reply of its debate gave it."""
    made = expand(run.scenario)
    history, spec = open_history(made), made.scenario.train
    assert spec is not None
    debates = history.add(load_records(run, split="training"))
    labels = history.labels(spec, spec.label)
    found = [(record, labels.find(record)) for record in debates]
    return [(one.answer, labels.is_right(r, one), one.answer in r.result.verdicts) for r, one in found if one.given]


def score(run: Run) -> IterationScore:
    return run_iterations(run)[0]


@pytest.mark.parametrize(
    ("item", "answer", "fields"),
    [({"gold": ["Kyiv", "Kiev"]}, {}, {}), ({}, {"kind": "judge", "agent": "grader"}, JUDGED)],
)
def test_a_label_that_only_additional_votes_gave_has_their_verdict(
    train: Train, item: dict[str, Any], answer: dict[str, Any], fields: dict[str, Any]
) -> None:
    run = train(item, answer, **fields)
    found = labels_of(run)
    assert ("Kiev", True, False) in found  # the debate itself has another answer
    assert all(right == (label == "Kiev") for label, right, _ in found)
    right = sum(label == "Kiev" for label, *_ in found)
    assert (score(run).labels.successes, score(run).labels.n, score(run).unscored_labels) == (right, len(found), 0)


class Invented(LabelRule):
    """A label that nobody gave."""

    def find(self, evidence: Evidence, agent: str) -> Label:
        return Label("Odesa")


class Own(LabelRule):
    """A label without an answer, which compares by itself."""

    def find(self, evidence: Evidence, agent: str) -> Label:
        return Label(None)

    def agrees(self, answer: str, label: Label, evidence: Evidence) -> bool:
        return answer == "Kiev"


@pytest.mark.parametrize(("rule", "right"), [(Invented(), None), (Own(), None), (Gold(), True)])
def test_a_label_without_a_verdict_is_neither_right_nor_wrong(rule: LabelRule, right: bool | None) -> None:
    result = ResultRow(0, "q", 0, "training", "Capital?", "Kyiv", Decision("Kiev", 1.0), True, {"Kiev": True})
    evidence = Evidence(
        {}, (), result.decision, 1, 0, 1, str.__eq__, lambda a: find_verdict({"Kiev": True}, a, str.__eq__)
    )
    labels = Labels(rule, str.__eq__, lambda *_: evidence)
    record = DebateRecord(result, ())
    assert labels.is_right(record, labels.find(record)) is right
    assert labels.accept("Kiev", labels.find(record), record) == (not isinstance(rule, Invented))
    assert not labels.accept("Odesa", labels.find(record), record) or isinstance(rule, Invented)


def test_labels_without_a_verdict_are_counted_and_shown(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    run = train({"gold": "Kiev"})
    whole = score(run).labels.n
    monkeypatch.setattr(Labels, "is_right", lambda self, record, label: None if label.answer == "Lviv" else True)
    found = score(run)
    assert found.unscored_labels == whole - found.labels.n > 0
    assert found.labels.successes == found.labels.n
    assert found.labelled == whole
    [shown] = [text for name, text in read_overview(run).rows() if name == "labels"]
    assert f"{whole}, of which {found.labels.n} of {found.labels.n} with a known verdict right" in shown
