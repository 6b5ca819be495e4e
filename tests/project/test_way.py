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
QUESTION = SECTION.partition("**A question**")[2].partition("**After")[0]
ROOMS = re.findall(r"^\| (\w+) \| (`[^|]*) \|", QUESTION, re.MULTILINE)


class Trace:
    """The product files whose functions run for the latest question, until its result is stored."""

    def __init__(self) -> None:
        self.questions: list[set[str]] = []
        self._files: set[str] = set()
        self._debating = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        name, file = frame.f_code.co_name, frame.f_code.co_filename
        if not file.startswith(PRODUCT) or name == "<module>":
            return
        if event == "call" and file.endswith("simulation/simulate.py") and name == "worker":
            self._debating = True
        if event == "call" and self._debating:
            self._files.add(str(Path(file).relative_to(ROOT)))
        if event == "return" and name == "add_result":
            self.questions.append(self._files)
            self._files = set()


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


def read_cell(cell: str) -> tuple[list[str], list[str]]:
    """Return the rooms that a cell of the table names (a folder, or single files), and the files."""
    first, *others = [name.replace("NAME/", "") for name in re.findall(r"`([^`]+)`", cell)]
    if not first.endswith("/"):
        return [first, *others], [first, *others]
    return [first], [f"{first}{name}" for name in others]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    folder = tmp_path_factory.mktemp("way")
    task = {"kind": "arithmetic", "form": "a+b", "limit": 2}
    with traced() as trace:
        society.run({**DATA, "task": task, "concurrency": 1}, folder / "run")
    return trace.questions[1]  # what is computed once for the run is no part of the way


def test_a_question_passes_through_the_rooms_that_the_page_lists(files: set[str]) -> None:
    assert len(ROOMS) == 8
    cells = [read_cell(cell) for _, cell in ROOMS]
    rooms = [room for rooms, _ in cells for room in rooms]
    named = [name for _, names in cells for name in names]
    assert [file for file in sorted(files) if not any(file.startswith(room) for room in rooms)] == []
    assert [place for place in [*rooms, *named] if not any(file.startswith(place) for file in files)] == []


def test_the_files_that_the_page_names_exist() -> None:
    for name in re.findall(r"`((?:society|backends)/[\w/.]*)`", SECTION):
        assert (ROOT / name.replace("NAME/", "")).exists(), name
