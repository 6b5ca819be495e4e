"""The way of a question: the files that run on it, traced, are those that docs/design.md lists."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

import society
from tests.test_session import DATA

ROOT = Path(__file__).parents[2]
PRODUCT = tuple(f"{ROOT / name}/" for name in ("society", "backends", "topologies"))
PAGE = (ROOT / "docs" / "design.md").read_text()
SECTION = PAGE.partition("## From YAML to report")[2].partition("\n### ")[0]
BEFORE, QUESTION, AFTER = (SECTION.partition(start)[2] for start in ("**Before", "**A question**", "**After"))
ROOMS = re.findall(r"^\| (\w+) \| (`[^|]*) \|", QUESTION.partition("They share")[0], re.MULTILINE)
SHARED = re.findall(r"\(`([\w/.]+)`\)", QUESTION.partition("They share")[2].partition("**After")[0])


class Trace:
    """The product files whose functions run, from the start of a debate until its result is stored."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self._debating = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        if not file.startswith(PRODUCT) or name == "<module>":
            return
        if event == "call" and file.endswith("simulation/simulate.py") and name == "worker":
            self._debating = True
        if event == "return" and name == "add_result":
            self._debating = False
        if event == "call" and self._debating:
            self.files.add(str(Path(file).relative_to(ROOT)))


@contextmanager
def traced() -> Iterator[Trace]:
    """Trace this thread and new ones. A coverage measurement, which uses another hook, goes on."""
    trace = Trace()
    before = sys.getprofile()
    threading.setprofile(trace)
    sys.setprofile(trace)
    try:
        yield trace
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def places(cell: str) -> list[str]:
    """Return the files and folders that a cell of the table names: a folder, then files in it."""
    first, *others = re.findall(r"`([^`]+)`", cell)
    folder = first if first.endswith("/") else f"{Path(first).parent}/"
    return [f"{folder}{name}" for name in others] or [first.replace("NAME/", "")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("way")
    task = {"kind": "arithmetic", "form": "a+b", "limit": 1}
    scenario = society.Scenario.from_dict({**DATA, "task": task})
    society.run(scenario, folder / "first")  # what is imported and cached on first use is no part of the way
    with traced() as trace:
        society.run(scenario, folder / "run")
    return trace.files


def test_a_question_passes_through_the_rooms_that_the_page_lists(files: set[str]) -> None:
    assert len(ROOMS) == 8
    named = [*(place for _, cell in ROOMS for place in places(cell)), *SHARED]
    rooms = [*(re.findall(r"`([^`]+)`", cell)[0].replace("NAME/", "") for _, cell in ROOMS), *SHARED]
    assert [file for file in sorted(files) if not any(file.startswith(room) for room in rooms)] == []
    assert [place for place in named if not any(file.startswith(place) for file in files)] == []


def test_the_files_that_the_page_names_exist() -> None:
    for name in re.findall(r"`((?:society|backends)/[\w/.]*)`", SECTION):
        assert (ROOT / name.replace("NAME/", "")).exists(), name
