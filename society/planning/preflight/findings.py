"""The problems that a preflight finds, each at its place in the scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from society.core.errors import MissingExtraError, NoSandboxError, SocietyError
from society.core.problems import Problem, make_problem
from society.scenario.reading.source import Node
from society.scenario.reading.tree import Steps, find_place, write_path


@dataclass
class Findings:
    """`problems` found in the scenario whose tree is `root`; `known` was found before. `offline`: without a network."""

    root: Node
    known: Sequence[Problem]
    offline: bool
    problems: list[Problem] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Return whether some problem is an error."""
        return any(problem.level == "error" for problem in self.problems)

    def add(self, steps: Steps, message: str, **details: Any) -> None:
        """Add a problem at the node that these steps lead to."""
        place = find_place(self.root, steps)
        self.problems.append(make_problem(place, write_path(self.root, steps), message, **details))

    def add_error(self, steps: Steps, error: SocietyError, warns: bool = False) -> None:
        """Add an error of a component. What this machine lacks is a warning, but an error `offline`."""
        message = " ".join(filter(None, (error.cause, error.remedy)))
        warns = warns or (not self.offline and isinstance(error, MissingExtraError | NoSandboxError))
        self.add((*steps, *error.below), message, level="warning" if warns else "error")
