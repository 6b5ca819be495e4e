"""The experiment on rules, as experiment.yaml defines it: arms, seeds, iterations and planned comparisons."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from benchmarks.lab.arms import RESULTS, Arm, Growth, Look, Suite
from society.core.errors import InputError

PLAN: Mapping[str, Any] = yaml.safe_load((Path(__file__).parent / "experiment.yaml").read_text("utf-8"))
PAPER, CONTROL = "paper", "control"
RULES, EQUAL = tuple(PLAN["rules"]), "majority_six"
"""Rules, and the model alone that generates as many answers as a society, and is given as many rows."""
TITLES = {
    "a": "Rules, stage a: the lab model",
    "b": "Rules, stage b: the lab model",
    "words": "Rules, stage b: word problems on a model of 135M parameters",
}


def arms_of(stage: str, rules: Iterable[str]) -> dict[str, Arm]:
    """Return the arms of a stage: each rule with its control, then the models alone."""
    arms: dict[str, Arm] = {}
    for rule in rules:
        arms[f"{stage}_{rule}"] = _arm(stage, "society", PLAN["rules"][rule])
        arms[f"{stage}_{rule}_{CONTROL}"] = _arm(stage, CONTROL, PLAN["rules"][rule])
    return arms | {
        f"{stage}_{name}": _arm(stage, "alone", PLAN["alone"][name] | changes)
        for name, changes in PLAN["stages"][stage]["alone"].items()
    }


def _arm(stage: str, kind: str, changes: Mapping[str, Any]) -> Arm:
    spec = PLAN["stages"][stage]
    return Arm(
        PLAN["models"][spec["model"]][kind],
        spec["iterations"],
        tuple(f"{key}={json.dumps(value)}" for key, value in changes.items()),
        tuple(spec["seeds"]),
        compiled=spec["model"] == "lab",
        evaluated=tuple(spec["evaluate"]),
    )


def suite_of_stage(stage: str, rules: Iterable[str]) -> Suite:
    """Return a stage's arms of these rules and its comparisons, all after the last iteration.

    By the vote of all turns, those of stage a were not planned. They led to those of the other stages.
    """
    arms, societies = arms_of(stage, rules), [f"{stage}_{rule}" for rule in rules]
    last, rivals = PLAN["stages"][stage]["iterations"], [f"{stage}_{name}" for name in PLAN["stages"][stage]["alone"]]
    controls = tuple((name, f"{name}_{CONTROL}") for name in societies)
    alone = {rival: tuple((name, rival) for name in societies) for rival in rivals}
    if stage == "a":
        first = tuple((name, societies[0]) for name in societies[1:])
        looks = (Look(last, controls), Look(last, tuple(chain(*alone.values()))), Look(last, first))
        looks = (*looks, Look(last, controls, planned=False, vote="all"))
    else:
        majority, equal, frozen = (alone.get(f"{stage}_{name}", ()) for name in ("majority", EQUAL, "frozen_alone"))
        looks = (
            Look(last, (*controls, *majority)),
            *((Look(last, frozen),) if frozen else ()),
            Look(last, (*controls, *equal), vote="all"),
            Look(last, equal, planned=False),
        )
    return Suite(TITLES[stage], f"rules_{stage}", arms, looks, (Growth(*PLAN["stages"][stage]["growth"]),))


def rules_of(stage: str) -> tuple[str, ...]:
    """Return the rules of a stage: those that the plan names, all in stage a, or else the best of stage a.

    Raises `InputError` while stage a is incomplete and decides.
    """
    named = PLAN["stages"][stage].get("rules")
    return tuple(named) if named else RULES if stage == "a" else best_rules()


def best_rules() -> tuple[str, ...]:
    """Return the rules of stage b: the paper's, and the best others of stage a.

    Raises `InputError` while stage a is incomplete, as its results decide.
    """
    means: dict[str, float] = {}
    for rule in RULES:
        arm = _arm("a", "society", PLAN["rules"][rule])
        ends = [accuracy_at(f"a_{rule}", seed, arm.iterations) for seed in arm.seeds]
        missing = [seed for seed, end in zip(arm.seeds, ends, strict=True) if end is None]
        if missing:
            raise InputError(
                f"Stage b needs stage a: the rule {rule!r} has not come to iteration {arm.iterations} with the seeds "
                f"{', '.join(map(str, missing))}.",
                "Run it: python -m benchmarks.lab.paper --stage a",
            )
        means[rule] = fmean(end for end in ends if end is not None)
    others = sorted((rule for rule in RULES if rule != PAPER), key=lambda rule: -means[rule])
    return (PAPER, *others[: PLAN["best"]])


def accuracy_at(arm: str, seed: int, iteration: int) -> float | None:
    """Return the share of held-out questions that the last vote gets right, or None if it has not come that far."""
    place = RESULTS / f"{arm}-{seed}.json"
    rounds = json.loads(place.read_text("utf-8"))["iterations"] if place.exists() else []
    return fmean(map(int, rounds[iteration]["right"])) if iteration < len(rounds) else None


def known_rules(stage: str) -> tuple[str, ...]:
    """Return the rules of a stage, as far as they are known."""
    try:
        return rules_of(stage)
    except InputError:
        return (PAPER,)


RULE_ARMS = {name: arm for stage in PLAN["stages"] for name, arm in arms_of(stage, RULES).items()}
"""Every arm that a stage may run."""
RULE_SUITES = {stage: suite_of_stage(stage, known_rules(stage)) for stage in PLAN["stages"]}
"""The suites by stage. Until stage a is complete, those whose rules it decides have the paper's only."""
