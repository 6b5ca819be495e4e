"""A finetuning that was killed, or that lost turns, and was resumed ends with the weights of an undisturbed one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from backends.training import Parallel, TrainSettings
from society.core.definition import is_tuning
from society.core.errors import BackendError
from society.scenario.models.scenario import Scenario
from society.session import run
from society.watcher import Watcher
from tests.backends.hf.tiny import make_model, one_thread
from tests.metamorphic.relation import counted, relation
from tests.metamorphic.runs import Snapshots, Spec, differences, load, outcome, workplace
from tests.metamorphic.speakers import KINDS
from tests.metamorphic.tiny import failing, spoken, training, write_colours

pytest.importorskip("torch")
LEARNERS: dict[str, tuple[Spec, Spec]] = {
    "an adapter for each agent": ({"turn": "last"}, {"iterations": 2, "label": "gold"}),
    "one adapter, always from the base": ({"turn": "every", "adapter": "shared"}, {"iterations": 2, "start": "base"}),
}
"""Options of the learner, and of the training."""


@dataclass(frozen=True)
class Whole:
    """A finetuning that nothing happened to: its scenario, folder and outcome, and what a kill would have left."""

    scenario: Scenario
    folder: Path
    outcome: dict[str, Any]
    left: list[Path]


@pytest.fixture(scope="module", params=list(LEARNERS))
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with one_thread(), workplace() as folder:
        model = make_model(tmp_path_factory.mktemp("model") / "tiny")
        write_colours(folder)
        learner, options = LEARNERS[request.param]
        scenario = load(training(model, learner, **options), folder)
        watcher = Snapshots(range(1, 500, 5), folder / "copies")  # in a training, another thread writes
        done = run(scenario, folder / "whole", watcher=watcher)
        assert sum(row.hash is not None for row in done.adapters()) >= 2
        yield Whole(scenario, folder, spoken(done), watcher.taken)


kinds = st.frozensets(st.integers(0, KINDS - 1), min_size=1, max_size=4)


@pytest.mark.slow
@relation(4, data=st.data(), broken=kinds)
def test_whatever_befell_a_finetuning_its_weights_are_those_of_an_undisturbed_one(
    whole: Whole, data: st.DataObject, broken: frozenset[int]
) -> None:
    left = data.draw(st.sampled_from([None, *whole.left]))
    place = whole.folder / "suffering"
    shutil.rmtree(place, ignore_errors=True)
    if left is not None:
        shutil.copytree(left, place)
    with suppress(BackendError), failing(broken):  # so many turns may fail in a row that the run is given up
        run(whole.scenario, place, resume=left is not None)
    assert not differences(whole.outcome, spoken(run(whole.scenario, place, resume=True)))


@pytest.mark.slow
@relation(3, data=st.data())
def test_a_finetuning_that_was_killed_goes_on_as_if_it_had_not_been(whole: Whole, data: st.DataObject) -> None:
    place = whole.folder / "killed"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(data.draw(st.sampled_from(whole.left)), place)
    assert not differences(whole.outcome, spoken(run(whole.scenario, place, resume=True)))


@counted
def test_more_iterations_go_on_from_fewer(whole: Whole) -> None:
    """A run that has ended and is resumed for more is the same as one that was asked for more at once."""
    spec = whole.scenario.train
    assert spec is not None
    fewer = whole.scenario.model_copy(update={"train": spec.model_copy(update={"iterations": 1})})
    place = whole.folder / "more"
    first = outcome(run(fewer, place))
    assert {key: whole.outcome.get(key) for key in first if key.startswith("adapter")} == {
        key: value for key, value in first.items() if key.startswith("adapter")
    }
    assert not differences(whole.outcome, spoken(run(whole.scenario, place, resume=True)))


class Trained(Watcher):
    """Notes each optimiser step."""

    def __init__(self) -> None:
        self.steps = 0

    def training(self, learner: str, agent: str, step: int, steps: int, loss: float) -> None:
        self.steps += 1


@pytest.mark.parametrize("option", ["compile", "parallel"])
@counted
def test_a_finetuning_that_is_tuned_otherwise_trains_nothing_again(whole: Whole, option: str) -> None:
    """No option of a finetuning that is marked `tuning` makes its weights others."""
    spec = whole.scenario.train
    assert spec is not None
    tuned = [name for name, info in TrainSettings.model_fields.items() if is_tuning(info.json_schema_extra)]
    assert tuned == ["compile", "checkpoint_minutes"]
    settings = spec.settings.model_copy(update={"compile": option == "compile"})
    parallel = Parallel(processes=2) if option == "parallel" else None
    train = spec.model_copy(update={"settings": settings, "parallel": parallel})
    place, watcher = whole.folder / option, Trained()
    shutil.copytree(whole.folder / "whole", place)
    resumed = run(whole.scenario.model_copy(update={"train": train}), place, resume=True, watcher=watcher)
    assert watcher.steps == 0
    assert not differences(whole.outcome, spoken(resumed))
