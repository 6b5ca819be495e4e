"""The plan of the experiment, fixed before anything was run: docs/results.md says what is asked of it and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from society.scenario import load_scenario
from society.scenario.models import Scenario

ROOT = Path(__file__).parent.parent.parent
SCENARIOS = ROOT / "scenarios" / "lab"
RESULTS = ROOT / "benchmarks" / "results" / "paper"
"""One summary for each arm and seed."""
SEEDS = (1, 2, 3, 4, 5)
"""A seed decides questions and sampling; seed 0 is for trying things out, and none of its questions count."""
CHUNK = 10
"""After so many iterations a run's summary is written."""
SHOWN = (0, 1, 2, 5, 10, 20, 30)
"""Iterations after which the held-out questions are asked, and responses shown to models. Asking them after every
iteration would take a third of all time."""
METHOD, CONTROL = "multiagent", "union"


@dataclass(frozen=True)
class Arm:
    """One way of finetuning: a scenario of the lab, changed or not, and for how many iterations."""

    file: str
    iterations: int = 10
    changes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = SEEDS

    def load(self, seed: int, iterations: int) -> Scenario:
        """The scenario, ready to run from the project's folder."""
        evaluated = f"train.evaluate={list(SHOWN)}"
        settings = [f"seed={seed}", f"train.iterations={iterations}", evaluated, *self.changes]
        return load_scenario(SCENARIOS / f"{self.file}.yaml", settings)


FEW = SEEDS[:3]
"""The seeds of the ablations: a machine's hours go to the main question first."""
ARMS = {
    METHOD: Arm("multiagent", 30),
    CONTROL: Arm("union", 30),
    "single_agent": Arm("single_agent"),
    "majority_ft": Arm("majority_ft"),
    "star": Arm("star"),
    "without_critic": Arm("without_critic", seeds=FEW),
    "with_summary": Arm("with_summary", seeds=FEW),
    "without_debate": Arm("without_debate", seeds=FEW),
    "critic_w_0": Arm("multiagent", changes=("train.learners.critic.select.w=0",), seeds=FEW),
    "critic_w_1": Arm("multiagent", changes=("train.learners.critic.select.w=1",), seeds=FEW),
    "from_base": Arm("multiagent", changes=("train.start=base",), seeds=FEW),
}
