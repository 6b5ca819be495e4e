"""Arms and suites: ways of finetuning on the same questions, and the comparisons that were planned between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario

ROOT = Path(__file__).parent.parent.parent
SCENARIOS = ROOT / "scenarios" / "lab"
RESULTS = ROOT / "benchmarks" / "results" / "paper"
"""One summary for each arm and seed."""
SEEDS = (1, 2, 3, 4, 5)
"""A seed decides questions and sampling; seed 0 is for trying things out, and none of its questions count."""
FRESH = (11, 12, 13, 14, 15)
"""Seeds of the last stage of the experiment on rules: no rule was chosen by their results."""
RESERVED = SEEDS + FRESH
"""Seeds whose questions no model of the lab is pretrained on."""
SHOWN = (0, 1, 2, 5, 10, 20, 30)
"""Iterations after which the held-out questions are asked, and responses shown to models; an arm's last is another.
Asking them after every iteration would take a third of all time."""


@dataclass(frozen=True)
class Arm:
    """One way of finetuning: a scenario of the lab, changed or not, and for how many iterations."""

    file: str
    iterations: int = 10
    changes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = SEEDS
    compiled: bool = True
    """Whether its training steps are compiled, which pays for a model of many small operations."""
    evaluated: tuple[int, ...] = SHOWN

    @property
    def shown(self) -> tuple[int, ...]:
        """Return the evaluated iterations of this arm. Its last is one of them."""
        return tuple(sorted({*(i for i in self.evaluated if i < self.iterations), self.iterations}))

    def load(self, seed: int, iterations: int, device: str = "cpu") -> Scenario:
        """Return the scenario, ready to run from the project's folder on this device."""
        evaluate = f"train.evaluate={list(self.shown)}"
        settings = [
            f"seed={seed}",
            f"train.iterations={iterations}",
            evaluate,
            *self.changes,
            f"backends.local.device={device}",
        ]
        if self.compiled:
            settings.append("train.settings.compile=true")
        return load_scenario(SCENARIOS / f"{self.file}.yaml", settings)


Pair = tuple[str, str]
"""An arm and its rival."""


@dataclass(frozen=True)
class Look:
    """A family of comparisons after an iteration: p is adjusted over its pairs together (Holm 1979)."""

    iteration: int
    pairs: tuple[Pair, ...]
    planned: bool = True
    vote: Literal["last", "all"] = "last"
    """Vote whose accuracy is compared: of last answers, or of all turns."""

    @classmethod
    def against(cls, arm: str, iteration: int, *rivals: str, planned: bool = True) -> Look:
        """Return the comparisons of one arm with several rivals."""
        return cls(iteration, tuple((arm, rival) for rival in rivals), planned)


@dataclass(frozen=True)
class Growth:
    """A comparison of each of the longest arms with itself, after an earlier and a later iteration."""

    early: int
    late: int
    planned: bool = True


@dataclass(frozen=True)
class Suite:
    """Arms on one model and the same questions.

    All arms of a seed share the first arm's debates of the base, where they are run in one place. Elsewhere they are
    drawn again, and a few of 500 differ.
    """

    title: str
    page: str
    """Name of the page with its tables, in benchmarks/results/lab."""
    arms: Mapping[str, Arm]
    looks: tuple[Look, ...]
    growth: tuple[Growth, ...] = ()
    figure: str = ""
    """Its file in docs, if it has one."""
    drawn: tuple[str, ...] = ()
    """Arms in the figure: more than six cannot be told apart."""
    taints: tuple[str, ...] = ()
    """Known faults of every table of this suite, until it has been run again."""

    @property
    def method(self) -> str:
        """Return the first arm, whose debates of the base all others share."""
        return next(iter(self.arms))
