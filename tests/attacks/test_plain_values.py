"""Python values that are hard to print or encode, and plugin files that end the process, are errors with a place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import society
from society.cli import main
from tests.test_session import DATA


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"samples": 10**10000}, "samples: the number"),
        ({10**10000: 1}, "is not text"),
        ({("a", "b"): 1}, "the key ('a', 'b') is not text"),
        ({"description": "a\ud800"}, "description: the text has a lone surrogate"),
        ({"a\udfff": 1}, "is not text"),
    ],
    ids=["digits", "digits in a key", "tuple", "surrogate", "surrogate in a key"],
)
def test_a_value_that_cannot_be_shown_is_a_problem_with_a_place(change: dict[object, object], says: str) -> None:
    with pytest.raises(society.ScenarioError) as raised:
        society.Scenario.from_dict({**DATA, **change})  # type: ignore[dict-item]
    assert says in str(raised.value)


@pytest.mark.parametrize("code", ["raise SystemExit('\\x1b]0;X\\a')", "raise BaseException('\\x1b[2J')"])
def test_a_plugin_file_that_ends_the_process_is_one_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str
) -> None:
    file = tmp_path / "plugins.py"
    file.write_text(code)
    assert main(["list", "--plugins", str(file)]) == 2
    said = capsys.readouterr().err
    assert f"The plugin file {file} cannot be loaded: line 1: " in said
    assert "\x1b" not in said
    assert "Traceback" not in said


def test_a_pipe_is_no_plugin_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "plugins.py")
    assert main(["list", "--plugins", str(tmp_path / "plugins.py")]) == 2
    assert "is a pipe or a device" in capsys.readouterr().err
