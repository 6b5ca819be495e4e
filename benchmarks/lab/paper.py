"""Runs the experiments of the lab: what is missing of them, one arm and seed after another.

    python -m benchmarks.lab.paper --stage a                    # stage a of the experiment on rules; many hours
    python -m benchmarks.lab.paper --stage b words              # stage b, of the rules that stage a has found best
    python -m benchmarks.lab.paper --arms a_paper a_paper_control --seeds 1 --iterations 10
    python -m benchmarks.lab.paper --stage a --list             # what is there, and how long the rest takes
    python -m benchmarks.lab.paper --time a_paper               # seconds per iteration of an arm, on two of seed 0
    python -m benchmarks.lab.paper --summarise                  # the summaries again, of runs whose folders are there

A summary in benchmarks/results/paper/ is written after every few iterations; with `--commit` it is committed. What it
has is not run again, here or on another machine. An interrupted run is resumed if its folder is still there. Processes
may run side by side: each takes arms and seeds that no other has.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from filelock import FileLock, Timeout

from benchmarks.lab.arms import RESULTS, ROOT
from benchmarks.lab.plan import ARMS, suite_of
from benchmarks.lab.rules import PLAN, arms_of, rules_of
from benchmarks.lab.summary import ENCODER, place_of, read, write
from society.core.errors import InputError
from society.core.types import Item
from society.retrieval.encoders import find_encoder
from society.runs.run import Run
from society.session import run
from society.watcher import Watcher

RUNS = ROOT / "runs" / "paper"
CHUNK = 10
"""Iterations after which a run's summary is written."""
TIMES = RESULTS / "times.json"
"""Measured processor seconds of an iteration and of an evaluation, by arm."""
TIMED = 2
"""Iterations of a measurement of time."""


class Clock(Watcher):
    """Says on standard error when each part of an iteration begins."""

    def started(self, society: object, items: list[Item], folder: Path, iteration: int, split: str) -> None:  # type: ignore[override]
        print(f"{time.strftime('%X')} {folder.name} iteration {iteration}: {split}", file=sys.stderr, flush=True)


class Stopwatch(Clock):
    """Records the processor time at which each part of an iteration begins."""

    def __init__(self) -> None:
        self.laps: list[tuple[str, float]] = []

    def started(self, society: object, items: list[Item], folder: Path, iteration: int, split: str) -> None:  # type: ignore[override]
        super().started(society, items, folder, iteration, split)
        self.laps.append((split, time.process_time()))

    def seconds(self, end: float) -> dict[str, float]:
        """Return the mean seconds of a part by split. Debates for labels and finetunings are one part."""
        ends = [*(at for _, at in self.laps[1:]), end]
        parts: dict[str, list[float]] = {}
        for (split, start), stop in zip(self.laps, ends, strict=True):
            parts.setdefault(split, []).append(stop - start)
        return {split: round(fmean(found), 1) for split, found in parts.items()}


def done(arm: str, seed: int) -> int:
    """Return the last iteration of finetuning that is summarised; -1 where not even the base is."""
    return len(read(arm, seed).get("iterations", ())) - 1


def advance(arm: str, seed: int, wanted: int, commits: bool = False, device: str = "cpu") -> None:
    """Bring one arm to that many iterations, writing its summary as it goes."""
    folder = RUNS / f"{arm}-{seed}"
    reached = done(arm, seed)
    while reached < wanted:
        reached = min(wanted, (reached // CHUNK + 1) * CHUNK if reached > 0 else CHUNK)
        scenario = ARMS[arm].load(seed, reached, device)
        finished = run(scenario, folder, resume=folder.exists(), reuse=alike(arm, seed), watcher=Clock())
        write(finished, arm, seed)
        if commits:
            commit(place_of(arm, seed), f"Result of {arm}, seed {seed}, {reached} iterations")


def commit(path: Path, subject: str) -> None:
    """Commit one file to the project's repository, and nothing else that is changed there."""
    with FileLock(RUNS / "git.lock"):
        for command in (["add"], ["commit", "--quiet", "--message", subject]):
            subprocess.run(["git", "-C", str(ROOT), *command, "--", str(path)], check=True)


def alike(arm: str, seed: int) -> list[Path]:
    """Return the run with which all others of a seed have the base's debates in common, once it is there."""
    first = suite_of(arm).method
    store = RUNS / f"{first}-{seed}"
    return [store] if arm != first and (store / "store.sqlite").exists() else []


def salvage(arm: str, seed: int) -> None:
    """Summarise the whole iterations of a run that was interrupted, or once more those of a finished one."""
    folder = RUNS / f"{arm}-{seed}"
    if (folder / "store.sqlite").exists():
        write(Run(folder), arm, seed)


@contextmanager
def taken(arm: str, seed: int) -> Iterator[bool]:
    """Yield whether this process may run an arm and seed: false while another process does."""
    RUNS.mkdir(parents=True, exist_ok=True)
    lock = FileLock(RUNS / f"{arm}-{seed}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def measure(arm: str, questions: int | None = None) -> dict[str, float]:
    """Return the processor seconds of a training iteration and of an evaluation of an arm, and store them.

    With fewer `questions`, the seconds are scaled to as many as the plan has: rows are a share of the questions.
    """
    folder = RUNS / f"time-{arm}"
    if folder.exists():
        raise InputError(f"{folder} is there already.", "Remove the folder to measure again.")
    spec = replace(ARMS[arm], iterations=TIMED, evaluated=(0,))
    scenario = spec.load(0, TIMED)
    assert scenario.train is not None
    planned = {"evaluation": scenario.task.limit or 1, "training": scenario.train.questions}
    asked = questions or max(planned.values())
    fewer = (f"task.limit={asked}", f"train.questions={asked}") if questions else ()
    watch = Stopwatch()
    run(replace(spec, changes=(*spec.changes, *fewer)).load(0, TIMED), folder, watcher=watch)
    used = watch.seconds(time.process_time())
    scaled = {
        split: round(seconds * planned[split] / asked, 1) if questions else seconds for split, seconds in used.items()
    }
    TIMES.parent.mkdir(parents=True, exist_ok=True)
    TIMES.write_text(json.dumps(read_times() | {arm: {**scaled, "questions": asked}}, indent=1) + "\n", "utf-8")
    print(f"{arm}: {scaled}, measured on {asked} questions of {planned}", file=sys.stderr)
    return scaled


def read_times() -> dict[str, dict[str, float]]:
    """Return the measured times by arm."""
    return dict(json.loads(TIMES.read_text("utf-8"))) if TIMES.exists() else {}


def chosen(arms: list[str], seeds: list[int] | None, limit: int | None) -> Iterator[tuple[str, int, int]]:
    """Arm, seed and iterations wanted: every arm of the first seed, then of the next."""
    for seed in seeds or sorted({seed for name in arms for seed in ARMS[name].seeds}):
        for arm in (name for name in arms if seed in ARMS[name].seeds):
            yield arm, seed, min(limit or ARMS[arm].iterations, ARMS[arm].iterations)


def tell(arm: str, seed: int, wanted: int) -> None:
    """Print how far an arm has come, and the time of the rest by its own measured time or that of a similar arm."""
    reached, rest, times = max(done(arm, seed), 0), "", read_times()
    measured = next((name for name in (arm, *similar(arm)) if name in times), None)
    if measured is not None:
        evaluations = sum(i > reached or reached == 0 for i in ARMS[arm].shown if i <= wanted)
        seconds = times[measured]["training"] * (wanted - reached) + times[measured]["evaluation"] * evaluations
        rest = f", {seconds / 3600:.1f} hours of one core left (measured on {measured})"
    print(f"{arm:<24} seed {seed}: {reached} of {wanted} iterations{rest}")


def similar(arm: str) -> list[str]:
    """Return the measured arms on the same questions, whose time may stand for that of an arm."""
    task = ARMS[arm].load(0, 1).task
    return [name for name in read_times() if ARMS[name].load(0, 1).task == task]


def stage_arms(stages: list[str]) -> list[str]:
    """Return the arms of these stages. Raises `InputError` for a stage b while stage a is incomplete."""
    return [arm for stage in stages for arm in arms_of(stage, rules_of(stage))]


def main() -> None:
    """Run what is missing."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--stage", nargs="+", choices=PLAN["stages"], default=[], help="stages of the plan")
    options.add_argument("--arms", nargs="+", choices=ARMS, default=[])
    options.add_argument("--seeds", nargs="+", type=int, help="some of the seeds that the plan has")
    options.add_argument("--iterations", type=int, help="stop earlier than the plan says; a later call goes on")
    options.add_argument("--commit", action="store_true", help="commit each summary")
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="a GPU pays for the model of 135M")
    options.add_argument("--list", action="store_true", help="only say what is there")
    options.add_argument("--time", choices=ARMS, help="only measure the time of an arm")
    options.add_argument("--questions", type=int, help="with --time: of this many questions, scaled")
    options.add_argument("--summarise", action="store_true", help="only summarise again")
    asked = options.parse_args()
    try:
        if asked.time:
            measure(asked.time, asked.questions)
            return
        arms = [*stage_arms(asked.stage), *asked.arms] or [*ARMS]
        if not asked.list:
            find_encoder(ENCODER)  # without it a run would end at its first summary
        for arm, seed, wanted in chosen(arms, asked.seeds, asked.iterations):
            if asked.list:
                tell(arm, seed, wanted)
            elif asked.summarise:
                salvage(arm, seed)
            else:
                bring(arm, seed, wanted, asked.commit, asked.device)
    except InputError as error:
        raise SystemExit(str(error)) from error


def bring(arm: str, seed: int, wanted: int, commits: bool, device: str = "cpu") -> None:
    """Advance an arm unless another process does; when interrupted, summarise what there is."""
    with taken(arm, seed) as mine:
        if not mine:
            return
        try:
            advance(arm, seed, wanted, commits, device)
        except KeyboardInterrupt:
            salvage(arm, seed)
            raise SystemExit(130) from None


if __name__ == "__main__":
    main()
