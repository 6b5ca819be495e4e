"""Under load nothing grows but the store, and that in proportion. The full sizes are those of
`benchmarks/engine_load.py`; these tell a leak from none in seconds, by counting, not by measuring time."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from society.core.types import Item, Turn
from society.runs.run import Run
from society.scenario.expand import Society
from society.scenario.models.scenario import Scenario
from society.session import run_async
from society.watcher import Watcher
from tests.simulation.virtual_time import run_in_virtual_time

TEXT = """
task: {{kind: arithmetic, limit: {questions}}}
backends: {{scripted: {{kind: scripted, delay: {delay}, rules: [{{choose: ["It is 7.", "It is 8."]}}]}}}}
roles: {{voter: {{memory: 0, prompt: "{{{{ question }}}} {{% for m in heard %}}{{{{ m.text }}}} {{% endfor %}}"}}}}
agents: {{voter: {{count: {agents}}}}}
phases: [{{name: talk, topology: ring, rounds: 2}}]
concurrency: {concurrency}
"""
FDS = Path("/proc/self/fd")


class Parts(Watcher):
    """Notes what is held at each part of the way: objects of any kind, open files, tasks."""

    def __init__(self, turns: int, parts: int = 10) -> None:
        self.each, self.count = turns // parts, 0
        self.blocks: list[int] = []
        self.files: list[int] = []
        self.tasks: list[int] = []

    def started(self, society: Society, items: Sequence[Item], folder: Path, iteration: int, split: str) -> None:
        gc.collect()

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.count += 1
        if self.count % self.each == 0:
            gc.collect()
            self.blocks.append(sys.getallocatedblocks())
            self.files.append(sum(1 for _ in FDS.iterdir()) if FDS.is_dir() else 0)
            self.tasks.append(len(asyncio.all_tasks()))


Load = Callable[..., tuple[Run, Parts, float]]


@pytest.fixture
def load(scenario: Callable[..., Scenario], tmp_path: Path) -> Load:
    """Return a function that runs this many questions and agents, with its load and virtual seconds."""

    def loaded(
        questions: int, agents: int = 3, concurrency: int = 8, delay: float = 0, resume: bool = False
    ) -> tuple[Run, Parts, float]:
        text = TEXT.format(questions=questions, agents=agents, concurrency=concurrency, delay=delay)
        parts = Parts(questions * agents * 2)
        folder = tmp_path / f"run-{questions}-{agents}"
        done, seconds = run_in_virtual_time(run_async(scenario(text), folder, resume=resume, watcher=parts))
        assert parts.count == questions * agents * 2
        return done, parts, seconds

    return loaded


@pytest.mark.slow
def test_nothing_of_a_debate_is_kept_when_it_is_over(load: Load) -> None:
    """A stored turn with its chat is dozens of blocks of memory; what may stay is the key of a text or two."""
    load(40)  # the first run of a process imports modules and fills caches
    for resume in (False, True):
        done, parts, _ = load(120, resume=resume)
        grown = parts.blocks[-2] - parts.blocks[1]
        assert grown < 3.5 * parts.each * 7
        assert max(parts.files[1:]) <= parts.files[1]
        assert max(parts.tasks[1:]) <= parts.tasks[1] + 3 * 8
        assert len(done.results()) == 120


@pytest.mark.slow
def test_the_store_grows_in_proportion(load: Load) -> None:
    sizes = [(load(n)[0].folder / "store.sqlite").stat().st_size for n in (40, 80, 160)]
    once, twice = sizes[1] - sizes[0], sizes[2] - sizes[1]
    assert twice / once == pytest.approx(2, rel=0.1)


@pytest.mark.slow
def test_a_large_society_speaks_in_full(load: Load) -> None:
    done, parts, _ = load(1, agents=400, concurrency=1)
    assert len(done.turns()) == 800
    assert parts.tasks[0] <= 400 + 8


@pytest.mark.slow
def test_long_waiting_passes_in_virtual_time(load: Load) -> None:
    """Each of 8 concurrent debates takes two replies of 30 s, so 240 questions take half an hour."""
    done, parts, seconds = load(240, delay=30.0)
    assert seconds == pytest.approx(1800)
    assert max(parts.tasks) <= min(parts.tasks[:2]) + 5 * 8
    assert {turn.status for turn in done.turns()} == {"ok"}
