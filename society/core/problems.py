"""Problems of a scenario file with their places. One `ScenarioError` has all of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from society.core.errors import ScenarioError

SHOWN = 60
"""Maximum number of characters of a value, and of names of a list, in a message."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a file. Lines and columns count from 1, and are 0 if there are none (`--set`).

    `file` is empty for a scenario from Python data, where the path of a problem is its place.
    """

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: its place, its path (`phases.debate.rounds`), and what would be right.

    A problem of level "warning" is likely a mistake, but the scenario runs.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    value: Any = field(default=None, compare=False)
    allowed: tuple[str, ...] = ()
    suggestion: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        path = f"{self.path}: " if self.path else ""
        warning = "warning: " if self.level == "warning" else ""
        place = f"{Place(self.file, self.line, self.column)}: " if self.file else ""
        return f"{place}{warning}{path}{self.message}{self._hint()}"

    def _hint(self) -> str:
        hint = f"; did you mean {self.suggestion!r}?" if self.suggestion else ""
        more = f" and {len(self.allowed) - SHOWN} more" if len(self.allowed) > SHOWN else ""
        return hint + (f" (allowed: {', '.join(self.allowed[:SHOWN])}{more})" if self.allowed else "")


def find_near(name: object, known: Iterable[str]) -> str:
    """Return the known name most like this one, or "" if none is."""
    names = list(islice(known, 5_000))
    lowered = {known_name.lower(): known_name for known_name in names}
    near = get_close_matches(str(name)[:200].lower(), lowered, n=1, cutoff=0.6)
    return lowered[near[0]] if near else ""


def find_similar_file(path: Path, pattern: str = "*") -> str:
    """Return the name of the file most like a missing one in its folder, or ""."""
    return find_near(path.name, (entry.name for entry in path.parent.glob(pattern))) if path.parent.is_dir() else ""


def show(value: object) -> str:
    """Return a value in a message, in YAML's words, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        empty = "" if value else "n empty"
        return f"a{empty} mapping" if isinstance(value, dict) else f"a{empty} list"
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python converts
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else text[: SHOWN - 5] + " ..." + text[-1]


def make_problem(place: Place, path: str, message: str, **details: Any) -> Problem:
    """Return a problem at this place."""
    return Problem(place.file, place.line, place.column, path, message, **details)


def sort_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems in the order of file and place, each once."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line, p.column, p.path, _natural(p.message)))


def _natural(text: str) -> str:
    """Return a key by which "line 9" comes before "line 10"."""
    return re.sub(r"\d+", lambda number: number[0].rjust(20, "0"), text)


def make_error(problems: Sequence[Problem]) -> ScenarioError:
    """Return the error that lists all problems, one a line, and counts them."""
    errors = sum(problem.level == "error" for problem in problems)
    count = f"{errors} problem{'' if errors == 1 else 's'}"
    return ScenarioError("\n".join([*map(str, problems), f"{count} found."]), problems=problems)
