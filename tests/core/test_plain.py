"""Values as JSON data, and texts on one line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from society.core.plain import count, name_path, shorten, to_plain
from society.metrics.proportion import Proportion


@dataclass
class Pair:
    one: float
    other: tuple[float, ...]


def test_numbers_that_json_lacks_are_null_everywhere() -> None:
    nan, infinity = float("nan"), float("inf")
    assert to_plain({1: Pair(nan, (0.5, -infinity)), "x": [nan, 3, True]}) == {
        "1": {"one": None, "other": [0.5, None]},
        "x": [None, 3, True],
    }


def test_a_share_is_among_the_fields_and_digits_round() -> None:
    found = to_plain(Proportion(1, 3, 0.06, 0.79), digits=2)
    assert found == {"share": 0.33, "successes": 1, "n": 3, "low": 0.06, "high": 0.79}
    assert to_plain(Proportion(0, 0, float("nan"), float("nan")))["share"] is None


@pytest.mark.parametrize(
    ("text", "expected"), [("short", "short"), ("two\n lines", "two lines"), ("x" * 11, "xxxxxxxxx…"), ("", "")]
)
def test_a_shortened_text_is_one_line_of_limited_length(text: str, expected: str) -> None:
    assert shorten(text, 10) == expected
    assert len(shorten(text, 10)) <= 10


def test_one_of_a_kind_is_singular() -> None:
    assert [count(number, "failed turn") for number in (0, 1, 2000)] == [
        "0 failed turns",
        "1 failed turn",
        "2,000 failed turns",
    ]
    assert [count(number, "reply") for number in (1, 2)] == ["1 reply", "2 replies"]


def test_paths_are_named_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert name_path(tmp_path / "here" / "run") == str(Path("run"))
    assert name_path(tmp_path / "run") == str(tmp_path / "run")
    assert name_path(Path("..", "run")) == str(Path("..", "run"))
