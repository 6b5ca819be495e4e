"""Runs the paper's experiment: what is missing of it, one arm and seed after another.

    python -m benchmarks.lab.paper                              # everything; hours
    python -m benchmarks.lab.paper --arms multiagent union --seeds 1 --iterations 10
    python -m benchmarks.lab.paper --list                       # what is there
    python -m benchmarks.lab.paper --summarise                  # the summaries again, of runs whose folders are there

A summary in benchmarks/results/paper/ is written after every few iterations; what it has is not run again, here or on
another machine. An interrupted run is resumed where its folder is still there.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.lab.plan import ARMS, CHUNK, ROOT, SEEDS, suite_of
from benchmarks.lab.summary import read, write
from society.core.errors import InputError
from society.core.types import Item
from society.runs.run import Run
from society.session import run
from society.watcher import Watcher

RUNS = ROOT / "runs" / "paper"


class Clock(Watcher):
    """Says on standard error when each part of an iteration begins."""

    def started(self, society: object, items: list[Item], folder: Path, iteration: int, split: str) -> None:  # type: ignore[override]
        print(f"{time.strftime('%X')} {folder.name} iteration {iteration}: {split}", file=sys.stderr, flush=True)


def done(arm: str, seed: int) -> int:
    """Return the last iteration of finetuning that is summarised; -1 where not even the base is."""
    return len(read(arm, seed).get("iterations", ())) - 1


def advance(arm: str, seed: int, wanted: int) -> None:
    """Bring one arm to that many iterations, writing its summary as it goes."""
    folder = RUNS / f"{arm}-{seed}"
    reached = done(arm, seed)
    while reached < wanted:
        reached = min(wanted, (reached // CHUNK + 1) * CHUNK if reached > 0 else CHUNK)
        finished = run(
            ARMS[arm].load(seed, reached), folder, resume=folder.exists(), reuse=alike(arm, seed), watcher=Clock()
        )
        write(finished, arm, seed)


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


def chosen(arms: list[str], seeds: list[int], limit: int | None) -> Iterator[tuple[str, int, int]]:
    """Arm, seed and iterations wanted: every arm of the first seed, then of the next."""
    for seed in seeds:
        for arm in (name for name in arms if seed in ARMS[name].seeds):
            yield arm, seed, min(limit or ARMS[arm].iterations, ARMS[arm].iterations)


def main() -> None:
    """Run what is missing."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    options.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    options.add_argument("--iterations", type=int, help="stop earlier than the plan says; a later call goes on")
    options.add_argument("--list", action="store_true", help="only say what is there")
    options.add_argument("--summarise", action="store_true", help="only summarise again")
    asked = options.parse_args()
    for arm, seed, wanted in chosen(asked.arms, asked.seeds, asked.iterations):
        if asked.list:
            print(f"{arm:<16} seed {seed}: {max(done(arm, seed), 0)} of {wanted} iterations")
            continue
        if asked.summarise:
            salvage(arm, seed)
            continue
        try:
            advance(arm, seed, wanted)
        except KeyboardInterrupt:
            salvage(arm, seed)
            raise SystemExit(130) from None
        except InputError as error:
            raise SystemExit(f"{error}\nIs the model there? make lab") from error


if __name__ == "__main__":
    main()
