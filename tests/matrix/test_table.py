"""Tables are read as they are written, and refusals and faults are told apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from society.core.errors import InputError
from tests.matrix.table import Matrix

PAGE = "# Page\n\n<!-- matrix small -->\n<!-- end of matrix small -->\n\nMore.\n"


def check(made: str) -> None:
    if made == "faulty":
        raise RuntimeError("a fault")
    if made.startswith("refused"):
        raise InputError(f"No {made} in /here/made | there.", "Take another.")


def make(subject: str, folder: Path) -> str:
    return subject


def small(*subjects: str) -> Matrix:
    return Matrix("small", subjects, make, {"open": lambda made: None, "run": check, "end": lambda made: None})


def test_a_table_is_read_as_it_was_written() -> None:
    matrix = small("one", "refused a", "refused b")
    found = {subject: matrix.examine(subject, Path("/here")) for subject in matrix.subjects}
    page = matrix.put(PAGE, found)
    assert matrix.read(page) == found
    assert matrix.put(page, found) == page
    assert page.startswith("# Page\n")
    assert page.endswith("\nMore.\n")
    assert found["one"] == {"open": "yes", "run": "yes", "end": "yes"}
    assert found["refused a"]["run"] == "No refused a in FOLDER/made \\| there. Take another."
    assert "| refused b | yes | refused (2) | yes |" in page


def test_what_cannot_be_opened_is_not_examined_further() -> None:
    matrix = Matrix("small", ["refused"], make, {"open": check, "run": lambda made: pytest.fail("examined")})
    outcomes = matrix.examine("refused", Path("/here"))
    assert outcomes["run"] == ""
    assert matrix.read(matrix.put(PAGE, {"refused": outcomes})) == {"refused": outcomes}


def test_a_fault_is_no_refusal() -> None:
    with pytest.raises(RuntimeError):
        small("faulty").examine("faulty", Path("/here"))


def test_a_page_without_the_lines_says_which() -> None:
    with pytest.raises(ValueError, match="<!-- matrix small -->"):
        small("one").read("# Page\n")
