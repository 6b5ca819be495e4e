"""The result of a check: the steps to a setting without effect, the reason, and the remedy."""

from __future__ import annotations

from typing import Literal, NamedTuple

from society.scenario.reading.tree import Steps


class Finding(NamedTuple):
    """A problem without its place in the file. `key`: the problem is at the key, not at its value."""

    steps: Steps
    message: str
    level: Literal["error", "warning"] = "warning"
    key: bool = False
