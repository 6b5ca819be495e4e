"""A matrix of subjects and checks, and its table in docs/models.md.

A check returns None if the subject can do it, or raises a `SocietyError` that says why not: that is a refusal. Any
other exception is a fault: neither a test nor the table hides it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from society.core.errors import SocietyError

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
YES, REFUSED, NOTHING = "yes", "refused", ""
"""Cells of the table. The last one is that of a check that was not made, as the subject could not be opened."""

Outcomes = dict[str, str]
"""For each check YES, NOTHING, or the reason of a refusal."""


@dataclass(frozen=True)
class Matrix:
    """Subjects (rows) and checks (columns). `make` writes a subject into a folder and returns what checks get."""

    name: str
    subjects: Sequence[str]
    make: Callable[[str, Path], Any]
    checks: Mapping[str, Callable[[Any], object]]
    """The first check opens the subject: if it is refused, no other is made."""
    noun: str = "family"
    """Title of the column of subjects."""

    def examine(self, subject: str, folder: Path) -> Outcomes:
        """Return the outcome of every check of a subject. `folder` is empty, and free to be used."""
        made = self.make(subject, folder)
        outcomes = dict.fromkeys(self.checks, NOTHING)
        for number, (title, check) in enumerate(self.checks.items()):
            try:
                check(made)
                outcomes[title] = YES
            except SocietyError as error:
                outcomes[title] = _sentence(error, folder)
                if number == 0:
                    break
        return outcomes

    def write(self, found: Mapping[str, Outcomes]) -> str:
        """Return the table in Markdown: one row a subject, and the reasons of refusals below it, numbered."""
        reasons = list(dict.fromkeys(reason for row in found.values() for reason in row.values() if _refuses(reason)))

        def cell(outcome: str) -> str:
            return f"{REFUSED} ({reasons.index(outcome) + 1})" if _refuses(outcome) else outcome

        lines = [[self.noun, *self.checks], ["---"] * (len(self.checks) + 1)]
        lines += [[subject, *map(cell, row.values())] for subject, row in found.items()]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        notes = "\n".join(f"{number}. {reason}" for number, reason in enumerate(reasons, 1))
        return f"{table}\n\n{notes}\n" if notes else f"{table}\n"

    def read(self, page: str) -> dict[str, Outcomes]:
        """Return the outcomes of each subject in the table of a page."""
        section = self._parts(page)[1]
        rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in _lines(section, "|")]
        reasons = [line.partition(". ")[2] for line in _lines(section, "1", "2", "3", "4", "5", "6", "7", "8", "9")]

        def outcome(cell: str) -> str:
            number = re.fullmatch(rf"{REFUSED} \((\d+)\)", cell)
            return reasons[int(number[1]) - 1] if number else cell

        titles = rows[0][1:] if rows else []
        return {
            subject: dict(zip(titles, [*map(outcome, cells), *[NOTHING] * len(titles)], strict=False))
            for subject, *cells in rows[2:]
        }

    def put(self, page: str, found: Mapping[str, Outcomes]) -> str:
        """Return the page with the table of these outcomes."""
        before, _, after = self._parts(page)
        return f"{before}\n\n{self.write(found)}\n{after}"

    def _parts(self, page: str) -> tuple[str, str, str]:
        """Return a page up to the start of the matrix, its section, and the rest."""
        start, end = f"<!-- matrix {self.name} -->", f"<!-- end of matrix {self.name} -->"
        before, _, rest = page.partition(start)
        section, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{PAGE} has no lines {start} and {end}")
        return before + start, section, end + after


def _lines(section: str, *starts: str) -> Iterator[str]:
    return (line for line in section.splitlines() if line.startswith(starts))


def _refuses(outcome: str) -> bool:
    return outcome not in (YES, NOTHING)


def _sentence(error: SocietyError, folder: Path) -> str:
    """Return an error as one line of Markdown without the machine's paths."""
    text = " ".join(f"{error.cause} {error.remedy}".split()).replace(str(folder), "FOLDER")
    return re.sub(r"([|<>*_\[\]])", r"\\\1", text)
