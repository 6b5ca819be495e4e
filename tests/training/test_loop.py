"""The whole method on a small random model: the real backend, the real trainer, interrupted and resumed."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

import society
from society.core.errors import InputError
from society.core.types import Item, Turn
from society.metrics.iterations import run_iterations
from society.metrics.summary import Summary, summarize
from society.pictures.plot import plot_runs
from society.planning.plan import count_debates
from society.report.page import write_report
from society.runs.records import by_iteration, load_records
from society.runs.run import Run
from society.scenario import load_scenario
from society.scenario.expand import Society, expand
from society.scenario.models.scenario import Scenario
from society.session import run
from society.store.rows import SHARED
from society.training import loop
from society.training.selection import TrainingSet, select_examples
from society.watcher import Watcher
from tests.backends.hf.tiny import make_model, one_thread
from tests.conftest import rows
from tests.faults.injection import contents

TEXT = """
version: 1
name: colours
task: {{kind: jsonl, path: colours.jsonl, limit: 6, answer: {{extract: [text], equal: exact}}}}
backends: {{tiny: {{kind: hf, model: "{model}", device: cpu, dtype: float32, context: 200}}}}
roles:
  generator: {{prompt: "{{{{ question }}}}", choices: [red, green, blue]}}
  critic:
    prompt: "{{% for m in heard %}}{{{{ m.text }}}} {{% endfor %}}. {{{{ question }}}}"
    choices: [red, green, blue]
agents: {{painter: {{count: 3, role: generator}}}}
phases:
  - {{name: propose}}
  - {{name: debate, topology: complete, bind: {{painter: {{role: critic}}}}}}
train:
  iterations: 2
  questions: 10
  learners:
    generator: {{phases: [propose], turn: first}}
    critic: {{phases: [debate], select: critic}}
  settings: {{rank: 4, batch_size: 4, accumulation: 1, epochs: 2, learning_rate: 0.01}}
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with one_thread():
        yield make_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Callable[..., Scenario]:
    folder = tmp_path_factory.mktemp("colours")
    questions = [f"the {a} {b} is" for a in ("cat", "dog", "mat", "far") for b in ("one", "two", "three", "four")]
    lines = (json.dumps({"question": q, "answer": ["red", "green", "blue"][i % 3]}) for i, q in enumerate(questions))
    (folder / "colours.jsonl").write_text("\n".join(lines))
    (folder / "colours.yaml").write_text(TEXT.format(model=model))

    def load(*overrides: str) -> Scenario:
        return load_scenario(folder / "colours.yaml", overrides)

    return load


class Interrupt(Watcher):
    """Presses Ctrl-C in the middle of the adapter whose number this is."""

    def __init__(self, at: int) -> None:
        self.left = at

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        if step == 1:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGINT)


class Within(Watcher):
    """Presses Ctrl-C after so many turns of the debates of this iteration and split; counts what is made."""

    def __init__(self, iteration: int = -1, split: str = "", turns: int = 0) -> None:
        self.place, self.left = (iteration, split), turns
        self.here = False
        self.fresh = self.replayed = self.trained = 0

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        self.here = (iteration, split) == self.place

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.fresh += not replayed
        self.replayed += replayed
        self.left -= self.here
        if self.here and self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        self.trained += step == 1


@pytest.fixture(scope="module")
def whole(colours: Callable[..., Scenario], tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(colours(), tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.slow
def test_every_agent_and_role_learns_from_its_own_turns(whole: Run) -> None:
    trained = whole.adapters()
    assert {(row.iteration, row.learner, row.agent) for row in trained} == {
        (iteration, learner, f"painter-{i}")
        for iteration in (0, 1)
        for learner in ("generator", "critic")
        for i in (1, 2, 3)
    }
    hashes = [row.hash for row in trained if row.hash]
    assert len(hashes) == len(set(hashes)) > 6  # no two agents, roles or iterations share weights
    turns = {turn.id: turn for turn in whole.turns()}
    spoken = {(t.id.iteration, t.id.phase, t.id.agent): t.adapter for t in turns.values()}
    by_place = {(row.iteration, row.learner, row.agent): row.hash for row in trained}
    assert spoken[0, "propose", "painter-1"] is None
    for agent in ("painter-1", "painter-2", "painter-3"):
        assert spoken[1, "propose", agent] == by_place[0, "generator", agent]
        assert spoken[2, "debate", agent] == (by_place[1, "critic", agent] or by_place[0, "critic", agent])


def test_every_training_row_leads_back_to_its_turn_and_rule(whole: Run) -> None:
    labels = {
        (r.result.iteration, r.result.item): r.result.decision
        for i in (0, 1)
        for r in load_records(whole, i, "training")
    }
    turns = {turn.id: turn for turn in whole.turns()}
    examples = whole.examples()
    assert {example.rule for example in examples} == {"agrees", "stayed right", "corrected"}
    for example in examples:
        turn = turns[example.source]
        assert turn.id.agent == example.agent
        assert turn.id.phase == {"generator": "propose", "critic": "debate"}[example.learner]
        assert turn.answer == labels[turn.id.iteration, turn.id.item].answer
        assert not labels[turn.id.iteration, turn.id.item].tied


def test_training_and_evaluation_questions_are_disjoint(whole: Run) -> None:
    split = {
        name: {row.question for row in whole.results() if row.split == name} for name in ("training", "evaluation")
    }
    assert len(split["training"]) == 10
    assert len(split["evaluation"]) == 6
    assert not split["training"] & split["evaluation"]


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 4, 9])
def test_interrupted_in_an_adapter_and_resumed(
    colours: Callable[..., Scenario], whole: Run, tmp_path: Path, at: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(colours(), tmp_path / "broken", watcher=Interrupt(at))
    finished = Run(tmp_path / "broken").adapters()
    assert len([row for row in finished if row.hash]) == at - 1
    folders = sorted(path.parent.name for path in (tmp_path / "broken").rglob("adapter_config.json"))
    assert len(folders) == at - 1  # no half-written adapter is visible
    resumed = run(colours(), tmp_path / "broken", resume=True)
    assert [row.hash for row in resumed.adapters()] == [row.hash for row in whole.adapters()]
    assert rows(resumed) == rows(whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("iteration", "split", "turns"),
    [(0, "training", 20), (1, "evaluation", 9), (2, "evaluation", 1)],
)
def test_interrupted_in_a_debate_and_resumed(
    colours: Callable[..., Scenario], whole: Run, tmp_path: Path, iteration: int, split: str, turns: int
) -> None:
    """Not a turn and not an adapter is made twice."""
    first, second = Within(iteration, split, turns), Within()
    with pytest.raises(KeyboardInterrupt):
        run(colours(), tmp_path / "broken", watcher=first)
    stored = len(Run(tmp_path / "broken").turns())
    assert first.fresh == stored
    resumed = run(colours(), tmp_path / "broken", resume=True, watcher=second)
    _assert_same(resumed, whole)
    assert (second.replayed, second.fresh) == (stored, len(whole.turns()) - stored)
    assert first.trained + second.trained == len([row for row in whole.adapters() if row.hash])


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 8])
def test_interrupted_in_selection_and_resumed(
    colours: Callable[..., Scenario], whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The adapter whose rows were being chosen is the next to be trained; none is trained twice."""
    first, second, calls = Within(), Within(), itertools.count(1)

    def select(*arguments: Any) -> TrainingSet:
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return select_examples(*arguments)

    monkeypatch.setattr(loop, "select_examples", select)
    with pytest.raises(KeyboardInterrupt):
        run(colours(), tmp_path / "broken", watcher=first)
    monkeypatch.undo()
    assert len(Run(tmp_path / "broken").adapters()) < at
    resumed = run(colours(), tmp_path / "broken", resume=True, watcher=second)
    _assert_same(resumed, whole)
    assert second.fresh == len(whole.turns()) - first.fresh
    assert first.trained + second.trained <= len([row for row in whole.adapters() if row.hash]) + 1


def _assert_same(resumed: Run, whole: Run) -> None:
    """Check for equal turns, results, adapters, origins of every training row, and statistics."""
    assert contents(resumed.folder) == contents(whole.folder)
    assert _summaries(resumed) == {i: replace(s, usage=ANY) for i, s in _summaries(whole).items()}


def test_a_shared_adapter_learns_from_everyone(colours: Callable[..., Scenario], tmp_path: Path) -> None:
    shared = [f"train.learners.{name}.adapter=shared" for name in ("generator", "critic")]
    done = run(colours("train.iterations=1", *shared), tmp_path / "shared")
    assert {row.agent for row in done.adapters()} == {SHARED}
    assert {example.source.agent for example in done.examples()} == {"painter-1", "painter-2", "painter-3"}
    last = {turn.adapter for turn in done.turns() if turn.id.iteration == 1 and turn.id.phase == "propose"}
    assert last == {row.hash for row in done.adapters() if row.learner == "generator"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("evaluate", "at"), [("2", [0, 2, 3]), ("[1]", [0, 1, 3]), ("[]", [0, 3]), ("1", [0, 1, 2, 3])]
)
def test_held_out_questions_are_asked_after_these_iterations(
    colours: Callable[..., Scenario], tmp_path: Path, evaluate: str, at: list[int]
) -> None:
    scenario = colours("train.iterations=3", f"train.evaluate={evaluate}")
    done = run(scenario, tmp_path / "some")
    assert list(by_iteration(load_records(done))) == at
    assert count_debates(expand(scenario), 6) == len(done.results()) == 6 * len(at) + 10 * 3
    scores = run_iterations(done)
    assert [score.iteration for score in scores] == [0, 1, 2, 3]
    assert [score.iteration for score in scores if score.accuracy.n] == at
    assert all(score.labels.n + score.unlabelled == 10 for score in scores[:3])
    write_report([done], tmp_path / "report.html")
    assert "iterations" in {picture.stem for picture in plot_runs([done], tmp_path)}


def test_a_leak_between_the_splits_is_an_error(colours: Callable[..., Scenario], tmp_path: Path) -> None:
    leaking = colours("train.task={kind: jsonl, path: colours.jsonl, limit: 3, offset: 5, answer: {extract: [text]}}")
    with pytest.raises(InputError, match="in both the training and the evaluation set"):
        run(leaking, tmp_path / "leak")


def test_nothing_to_learn_from(colours: Callable[..., Scenario], tmp_path: Path) -> None:
    """An agent that is never taken keeps its weights, or the run stops and says why."""
    veto = (
        "decision={kind: unanimity, unparsed: veto}",
        "train.iterations=1",
        "train.questions=2",
        "sampling.temperature=10",
    )
    kept = run(colours(*veto), tmp_path / "keep")
    empty = [row for row in kept.adapters() if row.hash is None]
    assert empty
    assert all(row.left_out for row in empty)
    with pytest.raises(InputError, match="no training rows"):
        run(colours(*veto, "train.on_empty=stop"), tmp_path / "stop")


def test_the_summary_tells_every_iteration_apart(whole: Run) -> None:
    """A finetuning's figures are those of its last iteration, not of all together."""
    said = society.Run(whole.folder).summary()
    assert "6 questions debated" in said
    assert [line.split()[1] for line in said.splitlines() if " finetuning" in line and "after" in line] == [
        "0",
        "1",
        "2",
    ]
    assert "after 1 finetuning " in said
    assert society.Run(whole.folder).accuracy == _summaries(whole)[2].after


def _summaries(done: Run) -> dict[int, Summary]:
    society = expand(done.scenario)
    return {i: summarize(society, records) for i, records in by_iteration(load_records(done)).items()}
