"""A run that was killed, interrupted, or that failed, and was resumed, equals one that nothing happened to."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import strategies as st

from society.core.errors import BackendError, RunFolderError
from society.core.interrupt import Interrupted
from society.core.types import Turn
from society.runs.run import Run
from society.scenario.models.scenario import Scenario
from society.session import run
from society.watcher import Watcher
from tests.metamorphic.relation import relation
from tests.metamorphic.runs import Counter, Snapshots, Spec, differences, load, play, workplace
from tests.metamorphic.speakers import KINDS, Manner, speaking
from tests.metamorphic.worlds import worlds


@dataclass(frozen=True)
class Mishap:
    """Faults of a run: it is killed or interrupted after a number of turns, or some kinds of requests fail."""

    kill: int = 0
    interrupt: int = 0
    broken: frozenset[int] = frozenset()


def mishaps() -> st.SearchStrategy[list[Mishap]]:
    """Return a strategy for one to three faults in sequence."""
    turns = st.integers(1, 30)
    broken = st.frozensets(st.integers(0, KINDS - 1), min_size=1, max_size=KINDS // 2)
    one = st.one_of(st.builds(Mishap, kill=turns), st.builds(Mishap, interrupt=turns), st.builds(Mishap, broken=broken))
    mixed = st.builds(Mishap, kill=turns, broken=broken)
    return st.lists(st.one_of(one, mixed), min_size=1, max_size=3)


class Interrupt(Watcher):
    """Presses Ctrl-C after so many turns."""

    def __init__(self, turns: int) -> None:
        self.left = turns

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def suffer(scenario: Scenario, folder: Path, mishap: Mishap) -> None:
    """Run or resume, and let the mishap happen; the folder then holds what is left."""
    resume = (folder / "store.sqlite").exists()
    manner = Manner(broken=mishap.broken)
    if mishap.interrupt:
        interrupted(scenario, folder, manner, resume, mishap.interrupt)
        return
    copies = Snapshots([mishap.kill], folder.parent / f"{folder.name}-copies")
    with suppress(BackendError):  # so many turns failed in a row that the run was given up
        play(scenario, folder, manner, resume=resume, watcher=copies)
    if copies.taken:
        shutil.rmtree(folder)
        copies.taken[0].rename(folder)


def interrupted(scenario: Scenario, folder: Path, manner: Manner, resume: bool, turns: int) -> None:
    with suppress(Interrupted), speaking(manner):
        run(scenario, folder, resume=resume, watcher=Interrupt(turns))


@pytest.mark.slow
@relation(40, spec=worlds(faults=True), happened=mishaps(), tempo=st.integers(0, 3))
def test_whatever_befell_a_run_it_ends_as_one_that_nothing_happened_to(
    spec: Spec, happened: Sequence[Mishap], tempo: int
) -> None:
    with workplace() as folder:
        scenario = load(spec, folder)
        whole = play(scenario, folder / "whole")
        for mishap in happened:
            suffer(scenario, folder / "run", mishap)
        resumed = play(scenario, folder / "run", Manner(tempo=tempo), resume=(folder / "run" / "store.sqlite").exists())
        assert not differences(whole, resumed)


@pytest.mark.slow
@relation(
    25,
    spec=worlds(),
    broken=st.frozensets(st.integers(0, KINDS - 1), min_size=1, max_size=4),
    stop=st.sampled_from([["consensus"], ["stability"], [{"kind": "consensus", "share": 0.6}]]),
)
def test_turns_of_a_course_that_a_debate_did_not_take_are_gone(
    spec: Spec, broken: frozenset[int], stop: list[object]
) -> None:
    """If failed turns are repeated, a debate may end earlier than it did without them."""
    usual = {"rounds": 3, "topology": "complete", "schedule": "simultaneous", "stop": stop}
    phases = [{"name": phase["name"], **usual} for phase in spec["phases"]]
    backends = {key: {"kind": "scripted", "rules": [{"choose": ["3", "It is 3.", "7"]}]} for key in spec["backends"]}
    task = {"kind": "arithmetic", "limit": 2}
    with workplace() as folder:
        spec = {**spec, "task": task, "phases": phases, "backends": backends, "sampling": {}}
        scenario = load(spec, folder)
        whole = play(scenario, folder / "whole")
        suffer(scenario, folder / "run", Mishap(broken=broken))
        assert not differences(whole, play(scenario, folder / "run", resume=True))


@relation(12, spec=worlds(), moments=st.sets(st.integers(1, 40), min_size=2, max_size=3))
def test_killed_at_a_turn_nothing_is_lost_and_nothing_is_made_twice(spec: Spec, moments: set[int]) -> None:
    with workplace() as folder:
        scenario = load(spec, folder)
        copies = Snapshots(moments, folder / "copies")
        whole = play(scenario, folder / "whole", watcher=copies)
        turns = len(whole.turns())
        for copy, moment in zip(copies.taken, sorted(moments), strict=False):
            kept = len(Run(copy).turns())
            assert moment <= kept <= turns  # what was announced is stored; others may be about to be announced
            counter = Counter()
            assert not differences(whole, play(scenario, copy, resume=True, watcher=counter))
            assert (counter.replayed, counter.fresh) == (kept, turns - kept)


@relation(
    12,
    spec=worlds(),
    tuned=st.fixed_dictionaries(
        {
            "concurrency": st.integers(1, 9),
            "timeout": st.sampled_from([50, 1000.5]),
            "delay": st.sampled_from([0.0, 3.5]),
        }
    ),
)
def test_a_resumed_run_may_be_tuned_otherwise(spec: Spec, tuned: dict[str, float]) -> None:
    with workplace() as folder:
        scenario = load(spec, folder)
        copies = Snapshots([3], folder / "copies")
        whole = play(scenario, folder / "whole", watcher=copies)
        settings = (f"concurrency={tuned['concurrency']}", f"timeout={tuned['timeout']}")
        other = load(spec, folder, *settings, f"backends.one.delay={tuned['delay']}")
        for copy in copies.taken:
            assert not differences(whole, play(other, copy, Manner(tempo=1), resume=True))


@pytest.mark.slow
@relation(20, spec=worlds(faults=True))
def test_a_finished_run_that_is_resumed_generates_nothing_but_what_failed(spec: Spec) -> None:
    with workplace() as folder:
        scenario = load(spec, folder)
        whole = play(scenario, folder / "run")
        shutil.copytree(folder / "run", folder / "again")
        counter = Counter()
        again = play(scenario, folder / "again", resume=True, watcher=counter)
        assert not differences(whole, again)
        assert counter.fresh == sum(turn.status == "failed" for turn in whole.turns())
        with pytest.raises(RunFolderError, match="already"):
            play(scenario, folder / "again")
