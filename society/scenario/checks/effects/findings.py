"""One thing that has no effect: where it stands, why, and what to do."""

from __future__ import annotations

from typing import Literal, NamedTuple

from society.scenario.reading.tree import Steps


class Finding(NamedTuple):
    """A problem before its place in the file is known. `key`: it is the key that is shown, not its value."""

    steps: Steps
    message: str
    level: Literal["error", "warning"] = "warning"
    key: bool = False
