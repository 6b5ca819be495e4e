"""Progress of a run is shown on a terminal and in a notebook, and nowhere else unless asked."""

from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import society
from society.runner.displays import Cell, Display, Panel, find_display
from society.runner.progress import Progress
from tests.test_session import DATA


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Shown:
    """Stands for a cell's output: the texts that it has shown, the last one being visible."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def update(self, bundle: dict[str, str], raw: bool) -> None:
        assert raw
        self.texts.append(bundle["text/plain"])


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """Return a process that looks like a notebook's kernel."""
    shown = Shown()

    def display(bundle: dict[str, str], raw: bool, display_id: bool) -> Shown:
        assert display_id
        shown.update(bundle, raw)
        return shown

    module: Any = ModuleType("IPython")
    module.get_ipython = lambda: SimpleNamespace(kernel=object())
    module.display = ModuleType("IPython.display")
    module.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", module.display)
    return shown


def scenario(**changes: Any) -> society.Scenario:
    return society.Scenario.from_dict({**DATA, **changes})


def test_a_script_is_silent_unless_it_asks(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    society.run(scenario(), tmp_path / "silent")
    assert capsys.readouterr() == ("", "")
    society.run(scenario(), tmp_path / "asked", progress=True)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"sums: 6 debates of 3 agents, in {tmp_path / 'asked'}\n"


def test_a_notebook_shows_one_text_that_ends_with_the_final_counts(
    notebook: Shown, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = society.run(scenario(), tmp_path / "run")
    assert notebook.texts[0] == "Loading the models ..."
    assert notebook.texts[-1].startswith("6/6 debates")
    assert str(run.accuracy) in notebook.texts[-1]
    assert capsys.readouterr() == ("", "")
    seen = len(notebook.texts)
    society.run(scenario(), tmp_path / "other", progress=False)
    assert len(notebook.texts) == seen


def test_a_notebook_keeps_a_warning_below_the_counts(notebook: Shown, tmp_path: Any) -> None:
    silent = {"local": {"kind": "scripted", "rules": [{"say": "I do not know."}]}}
    society.run(scenario(backends=silent), tmp_path / "run")
    counts, warning = notebook.texts[-1].splitlines()
    assert counts.startswith("6/6 debates")
    assert warning.startswith("warning: ")


def test_a_terminal_shows_a_panel(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(find_display(), Panel)
    run = society.run(scenario(), tmp_path / "run")
    text = terminal.getvalue()
    assert "6/6 debates" in text
    assert f"right so far  {run.accuracy}" in text


def test_the_display_fits_the_process(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Any
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    assert find_display() is None
    assert type(find_display(asked=True)) is Display
    monkeypatch.setattr(sys, "stderr", None)  # a program without a console
    assert find_display() is None
    request.getfixturevalue("notebook")
    assert isinstance(find_display(), Cell)


def test_a_training_is_described_while_it_goes_on() -> None:
    progress = Progress(Display())
    progress.debates = 4
    progress.training("critic", "*", 3, 10, 0.5)
    assert progress.describe().splitlines()[1] == "training critic of all: step 3 of 10, loss 0.500"
    assert progress.remaining is None


COMMANDS = "\x1b]0;OWNED\a\x1b[2J\x9b31m nothing\u202e"


def run_hostile(folder: Any) -> society.Run:
    """Return a run whose replies contain commands of a terminal."""
    return society.run(
        scenario(backends={"local": {"kind": "scripted", "rules": [{"say": COMMANDS}]}}), folder, progress=True
    )


@pytest.mark.parametrize("tty", [True, False], ids=["panel", "lines"])
def test_a_reply_does_not_control_the_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Any, tty: bool) -> None:
    terminal = Terminal() if tty else io.StringIO()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    run = run_hostile(tmp_path / "run")
    summary = run.summary()
    assert "cannot be matched" in summary
    for text in (terminal.getvalue(), summary, repr(summary)):
        assert "⟦U+001B⟧" in text
        assert not [part for part in ("\x1b]0;", "\x1b[2J", "\x9b", "\a", "\u202e") if part in text]


def test_a_reply_does_not_control_a_notebook(notebook: Shown, tmp_path: Any) -> None:
    run_hostile(tmp_path / "run")
    assert "⟦U+001B⟧" in notebook.texts[-1]
    assert not [text for text in notebook.texts if "\x1b" in text or "\u202e" in text]


@pytest.mark.parametrize("display", [Display(), Panel(), Cell()], ids=["lines", "panel", "notebook"])
def test_a_note_of_any_origin_is_shown_harmless(
    notebook: Shown, monkeypatch: pytest.MonkeyPatch, display: Display
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress(display):
        display.note(COMMANDS)
    shown = terminal.getvalue() + "".join(notebook.texts)
    assert "⟦U+001B⟧" in shown
    assert not [part for part in ("\x1b]0;", "\x1b[2J", "\x9b", "\a", "\u202e") if part in shown]
