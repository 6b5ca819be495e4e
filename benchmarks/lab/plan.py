"""The plan of the experiments; docs/results.md says what is asked of them and how, and what was added to it later: the
afterthoughts, the arms `union_w_0` and `capitals_w_0`, the second ten iterations of `critic_w_0`, the fifth to tenth of
capitals, and the attempts at an explanation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from society.scenario import load_scenario
from society.scenario.models.scenario import Scenario

ROOT = Path(__file__).parent.parent.parent
SCENARIOS = ROOT / "scenarios" / "lab"
RESULTS = ROOT / "benchmarks" / "results" / "paper"
"""One summary for each arm and seed."""
SEEDS = (1, 2, 3, 4, 5)
"""A seed decides questions and sampling; seed 0 is for trying things out, and none of its questions count."""
FEW = SEEDS[:3]
"""The seeds of the ablations: a machine's hours go to the main question first."""
CHUNK = 10
"""After so many iterations a run's summary is written."""
SHOWN = (0, 1, 2, 5, 10, 20, 30)
"""Iterations after which the held-out questions are asked, and responses shown to models; an arm's last is another.
Asking them after every iteration would take a third of all time."""
UNMATCHED = (
    "**Tainted (control):** the `union` arms are not matched in compute. Their shared critic kept more rows of the "
    "same debates, and in later iterations they had more labels: `union` trained on 31 % more tokens than "
    "`multiagent`, `capitals_union` on 31 % more than `capitals`, `union_w_0` on 8 % more than `critic_w_0`."
)
READER = (
    "**Tainted (reader):** the reader of `capitals` knew only names of capitals. A reply that named another city "
    "counted as an abstention, so a lone vote could decide, and consensus labels rest on the same reading."
)
GOLD_LABELS = (
    '**Tainted (labels of `star`):** its "labels right" is the share of its decisions that are right. It learned from '
    "the true answers."
)
LONE_CRITIC = (
    "**Tainted (critics without one kind of row):** where no row was corrected, the critic took all rows that stayed "
    "right, and the other way round."
)


@dataclass(frozen=True)
class Arm:
    """One way of finetuning: a scenario of the lab, changed or not, and for how many iterations."""

    file: str
    iterations: int = 10
    changes: tuple[str, ...] = ()
    seeds: tuple[int, ...] = SEEDS
    compiled: bool = True
    """Whether its training steps are: what many small operations wait for."""
    also_shown: tuple[int, ...] = ()
    """Iterations to look at besides those of all arms."""

    @property
    def shown(self) -> tuple[int, ...]:
        """Return the evaluated iterations of this arm."""
        return tuple(sorted({*(i for i in SHOWN if i < self.iterations), *self.also_shown, self.iterations}))

    def load(self, seed: int, iterations: int) -> Scenario:
        """Return the scenario, ready to run from the project's folder."""
        evaluate = f"train.evaluate={list(self.shown)}"
        settings = [f"seed={seed}", f"train.iterations={iterations}", evaluate, *self.changes]
        if self.compiled:
            settings.append("train.settings.compile=true")
        return load_scenario(SCENARIOS / f"{self.file}.yaml", settings)


@dataclass(frozen=True)
class Suite:
    """Arms on one model and the same questions. `looks` are the planned comparisons with the first arm: after so many
    iterations, with these arms, over which p is adjusted together."""

    title: str
    arms: Mapping[str, Arm]
    looks: tuple[tuple[int, tuple[str, ...]], ...]
    afterthoughts: tuple[tuple[str, str, int], ...] = ()
    """Two arms and an iteration each: comparisons that the results themselves suggested."""
    growth: tuple[tuple[int, int], ...] = ()
    """Between which iterations the longest arms are looked at."""
    figure: str = ""
    """Its file in docs, if it has one."""
    drawn: tuple[str, ...] = ()
    """Arms in the figure: more than six cannot be told apart."""
    taints: tuple[str, ...] = (UNMATCHED,)
    """Known faults of every table of this suite, until it has been run again."""

    @property
    def method(self) -> str:
        """Return the arm that all others are compared with; they share its debates of the base."""
        return next(iter(self.arms))


CORRECTED = "train.learners.critic.select.corrected_share"
"""The critic's weight w of the paper."""
LAB = Suite(
    "The lab model, arithmetic",
    {
        "multiagent": Arm("multiagent", 30),
        "union": Arm("union", 30),
        "single_agent": Arm("single_agent"),
        "majority_ft": Arm("majority_ft"),
        "star": Arm("star"),
        "without_critic": Arm("without_critic", seeds=FEW),
        "with_summary": Arm("with_summary", seeds=FEW),
        "without_debate": Arm("without_debate", seeds=FEW),
        "critic_w_0": Arm("multiagent", 20, (f"{CORRECTED}=0",), FEW),
        "critic_w_1": Arm("multiagent", changes=(f"{CORRECTED}=1",), seeds=FEW),
        "from_base": Arm("multiagent", changes=("train.start=base",), seeds=FEW),
        "union_w_0": Arm("union", changes=(f"{CORRECTED}=0",), seeds=FEW),
    },
    (
        (10, ("union",)),
        (30, ("union",)),
        (10, ("single_agent", "majority_ft", "star")),
        (10, ("without_critic", "with_summary", "without_debate", "critic_w_0", "critic_w_1", "from_base")),
    ),
    (("critic_w_0", "union_w_0", 10), ("union_w_0", "union", 10), ("critic_w_0", "multiagent", 20)),
    ((5, 10), (10, 30)),
    "results.svg",
    ("multiagent", "union", "critic_w_0", "single_agent", "majority_ft", "star"),
    (UNMATCHED, GOLD_LABELS),
)
CAPITALS = Suite(
    "SmolLM2-135M-Instruct, capitals",
    {
        "capitals": Arm("capitals", 10, seeds=FEW, compiled=False, also_shown=(4,)),
        "capitals_union": Arm("capitals_union", 10, seeds=FEW, compiled=False, also_shown=(4,)),
        "capitals_w_0": Arm("capitals", 4, (f"{CORRECTED}=0",), SEEDS[:1], compiled=False),
    },
    ((4, ("capitals_union",)), (10, ("capitals_union",))),
    (("capitals_w_0", "capitals", 4),),
    ((0, 4), (2, 4), (0, 10), (4, 10)),
    "results_capitals.svg",
    ("capitals", "capitals_union", "capitals_w_0"),
    (READER, UNMATCHED, LONE_CRITIC),
)


def _attempts(changes: Mapping[str, str]) -> dict[str, Arm]:
    """Return the method and its control with each of these changes, with one seed."""
    return {
        f"{arm}_{name}": Arm(arm, changes=(change,), seeds=SEEDS[:1])
        for name, change in changes.items()
        for arm in ("multiagent", "union")
    }


def _pairs(*names: str) -> tuple[tuple[str, str, int], ...]:
    return tuple((f"multiagent_{name}", f"union_{name}", 10) for name in names)


ATTEMPTS = Suite(
    "Attempts at an explanation, the lab model",
    _attempts({"cool": "sampling.temperature=0.7", "five": "agents.agent.count=5", "few": "train.questions=150"}),
    (),
    _pairs("cool", "five", "few"),
)
ONE_ORDER = Suite(
    "A lab model pretrained on one order of steps",
    _attempts({"one_order": "backends.local.model=../../build/lab/one_order/model"}),
    (),
    _pairs("one_order"),
)
HEEDING = Suite(
    "A lab model pretrained on debaters that heed what they read",
    _attempts({"heeding": "backends.local.model=../../build/lab/heeding/model"}),
    (),
    _pairs("heeding"),
)
SUITES = (LAB, ATTEMPTS, ONE_ORDER, HEEDING, CAPITALS)
ARMS = {name: arm for suite in SUITES for name, arm in suite.arms.items()}


def suite_of(arm: str) -> Suite:
    """Return the suite of this arm."""
    return next(suite for suite in SUITES if arm in suite.arms)
