"""All suites of the lab: the experiment on rules (`rules`), and the suites of the first experiment.

docs/results_first.md says what was asked of the first experiment. These parts were added to its plan later: the
unplanned looks, the arms `union_w_0` and `capitals_w_0`, the second ten iterations of `critic_w_0`, the fifth to tenth
of capitals, and the attempts at an explanation.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.lab.arms import SEEDS, SHOWN, Arm, Growth, Look, Suite
from benchmarks.lab.rules import RULE_ARMS, RULE_SUITES
from society.core.errors import InputError

FEW = SEEDS[:3]
"""The seeds of the ablations: a machine's hours go to the main question first."""
UNMATCHED = (
    "**Tainted (control):** the `union` arms are not matched in compute. Their shared critic kept more rows of the "
    "same debates, and in later iterations they had more labels: `union` trained on 31 % more tokens than "
    "`multiagent` (on 15 % more in the first ten iterations), `capitals_union` on 31 % more than `capitals`, "
    "`union_w_0` on 26 % more than `critic_w_0` (seed 1), and the controls of the attempts on 13 to 21 % more."
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

CORRECTED = "train.learners.critic.select.corrected_share"
"""The critic's weight w of the paper."""
ABLATIONS = ("without_critic", "with_summary", "without_debate", "critic_w_0", "critic_w_1", "from_base")
LAB = Suite(
    "The lab model, arithmetic",
    "lab_model",
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
        Look.against("multiagent", 10, "union"),
        Look.against("multiagent", 30, "union"),
        Look.against("multiagent", 10, "single_agent", "majority_ft", "star"),
        Look.against("multiagent", 10, *ABLATIONS),
        Look.against("critic_w_0", 10, "union_w_0", planned=False),
        Look.against("union_w_0", 10, "union", planned=False),
        Look.against("critic_w_0", 20, "multiagent", planned=False),
    ),
    (Growth(5, 10, planned=False), Growth(10, 30)),
    "results.svg",
    ("multiagent", "union", "critic_w_0", "single_agent", "majority_ft", "star"),
    (UNMATCHED, GOLD_LABELS),
)
CAPITALS = Suite(
    "SmolLM2-135M-Instruct, capitals",
    "capitals",
    {
        "capitals": Arm("capitals", 10, seeds=FEW, compiled=False, evaluated=(*SHOWN, 4)),
        "capitals_union": Arm("capitals_union", 10, seeds=FEW, compiled=False, evaluated=(*SHOWN, 4)),
        "capitals_w_0": Arm("capitals", 4, (f"{CORRECTED}=0",), SEEDS[:1], compiled=False),
    },
    (
        Look.against("capitals", 4, "capitals_union"),
        Look.against("capitals", 10, "capitals_union"),
        Look.against("capitals_w_0", 4, "capitals", planned=False),
    ),
    tuple(Growth(early, late, planned=False) for early, late in ((0, 4), (2, 4), (0, 10), (4, 10))),
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


def _pairs(*names: str) -> tuple[Look, ...]:
    return tuple(Look.against(f"multiagent_{name}", 10, f"union_{name}", planned=False) for name in names)


ATTEMPTS = Suite(
    "Attempts at an explanation, the lab model",
    "attempts",
    _attempts({"cool": "sampling.temperature=0.7", "five": "agents.agent.count=5", "few": "train.questions=150"}),
    _pairs("cool", "five", "few"),
    taints=(UNMATCHED,),
)
ONE_ORDER = Suite(
    "A lab model pretrained on one order of steps",
    "one_order",
    _attempts({"one_order": "backends.local.model=../../build/lab/one_order/model"}),
    _pairs("one_order"),
    taints=(UNMATCHED,),
)
HEEDING = Suite(
    "A lab model pretrained on debaters that heed what they read",
    "heeding",
    _attempts({"heeding": "backends.local.model=../../build/lab/heeding/model"}),
    _pairs("heeding"),
    taints=(UNMATCHED,),
)
SUITES = (*RULE_SUITES.values(), LAB, ATTEMPTS, ONE_ORDER, HEEDING, CAPITALS)
ARMS = RULE_ARMS | {name: arm for suite in SUITES for name, arm in suite.arms.items()}


def suite_of(arm: str) -> Suite:
    """Return the suite of this arm. Raises `InputError` if stage a does not yet tell whether its rule goes on."""
    for suite in SUITES:
        if arm in suite.arms:
            return suite
    raise InputError(
        f"No stage has the arm {arm!r} yet.", "Run stage a first: python -m benchmarks.lab.paper --stage a"
    )
