"""The linter of the page's script finds problems in the joined script and names their file."""

from __future__ import annotations

import pytest

from society.report.page import build_script
from tests.report.lint_script import ASSETS, TOOLS, find_line, lint, lint_pages


@pytest.fixture(autouse=True)
def _tools() -> None:
    if not (TOOLS / "oxlint").exists():
        pytest.skip("oxlint is not installed; the extra `dev` installs it")


def test_the_scripts_have_no_problems() -> None:
    assert lint_pages() == ""


def test_undefined_and_unused_names_are_found() -> None:
    problems = lint(f"{build_script()}\nconst unusedName = 1;\nundefinedName();\n")
    assert "'undefinedName' is not defined" in problems
    assert "'unusedName' is declared but never used" in problems


def test_a_problem_names_its_file() -> None:
    text = (ASSETS / "charts.js").read_text(encoding="utf-8")
    place = build_script().split("\n").index(text.split("\n")[0]) + 1
    assert find_line(place) == "society/report/assets/charts.js:1"
    assert find_line(place + 4) == "society/report/assets/charts.js:5"
