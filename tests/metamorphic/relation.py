"""How many examples of each relation are run, and how many were."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

FACTOR = int(os.environ.get("METAMORPHIC", "1"))
"""Multiplies the number of examples. Above 1 they are drawn at random, else they are the same at each call."""
PHASES = [Phase.generate] if os.environ.get("METAMORPHIC_SHRINK") == "0" else [Phase.generate, Phase.shrink]
"""Whether an example that fails is made smaller, which takes minutes."""
EXAMPLES: Counter[str] = Counter()
"""Examples run so far, by the name of the test."""


def counted(test: Callable[..., None]) -> Callable[..., None]:
    """Count each call of `test` that passes as one example."""

    @wraps(test)
    def play(*arguments: Any, **named: Any) -> None:
        test(*arguments, **named)
        EXAMPLES[f"{test.__module__.rpartition('.')[2]}::{test.__name__}"] += 1

    return play


def relation(examples: int, **drawn: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test on so many examples (times `FACTOR`) of the strategies in `drawn`, and count them."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        limits = settings(
            max_examples=examples * FACTOR,
            derandomize=FACTOR == 1,
            deadline=None,
            database=None,
            phases=PHASES,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        return limits(given(**drawn)(counted(test)))

    return decorate
