"""Progress of a run is shown on a terminal and in a notebook, and nowhere else unless asked."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import society
from society.core.plain import duration
from society.core.types import Decision, Item, Judgement, Turn, TurnId
from society.runner.displays import Cell, Display, Panel, find_display
from society.runner.progress import Progress
from society.scenario.expand import expand
from society.simulation.simulate import DebateResult
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
    assert notebook.texts[-1].startswith("36 turns   6/6 debates")
    assert str(run.accuracy) in notebook.texts[-1]
    assert capsys.readouterr() == ("", "")
    seen = len(notebook.texts)
    society.run(scenario(), tmp_path / "other", progress=False)
    assert len(notebook.texts) == seen


def test_a_notebook_keeps_a_warning_below_the_counts(notebook: Shown, tmp_path: Any) -> None:
    silent = {"local": {"kind": "scripted", "rules": [{"say": "I do not know."}]}}
    society.run(scenario(backends=silent), tmp_path / "run")
    counts, warning = notebook.texts[-1].splitlines()
    assert counts.startswith("36 turns   6/6 debates")
    assert warning.startswith("warning: ")


def test_a_terminal_shows_a_panel(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(find_display(), Panel)
    run = society.run(scenario(), tmp_path / "run")
    text = terminal.getvalue()
    assert "36 turns" in text
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


def follow(debates: int, rounds: int = 2) -> Progress:
    """Return the progress of a stage of debates of 3 agents, before its first turn."""
    limited = {"kind": "arithmetic", "form": "a+b", "limit": debates}
    phases = [{"name": "debate", "topology": "complete", "rounds": rounds}]
    society_ = expand(scenario(task=limited, phases=phases))
    progress = Progress(Display())
    items = [Item(f"q{i}", "1+1", "2") for i in range(debates)]
    progress.started(society_, items, Path("run"), 0, "evaluation")
    return progress


def add_turns(progress: Progress, item: int, number: int) -> None:
    for i in range(number):
        identity = TurnId(0, f"q{item}", "debate", i // 3 + 1, f"solver-{i % 3 + 1}")
        progress.turn(Turn(identity, "", (), "2", "2"), replayed=False)


def end(progress: Progress, item: int) -> None:
    progress.result(DebateResult(0, progress._items[f"q{item}"], 0, Decision("2"), {"2": Judgement(True)}))


def test_turns_are_counted_and_the_time_is_estimated_from_them_before_a_debate_ends() -> None:
    progress = follow(40)
    assert progress.describe().startswith("0 of about 240 turns   0/40 debates")
    assert progress.remaining is None
    for item in range(40):
        add_turns(progress, item, 3)
    progress._debating = time.monotonic() - 60
    assert progress.remaining == pytest.approx(60, rel=0.01)  # half of the turns, and no debate has ended
    assert "120 of about 240 turns   0/40 debates" in progress.describe()
    assert "about 60 s to go" in progress.describe()


def test_no_accuracy_is_shown_before_it_means_something() -> None:
    progress = follow(40)
    for item in range(19):
        add_turns(progress, item, 6)
        end(progress, item)
    assert "right so far" not in progress.describe()
    add_turns(progress, 19, 6)
    end(progress, 19)
    assert "right so far  100.0% [83.9%, 100.0%] (n = 20)" in progress.describe()
    few = follow(2)
    for item in range(2):
        assert "right so far" not in few.describe()
        add_turns(few, item, 6)
        end(few, item)
    assert "(n = 2)" in few.describe()  # all debates have ended: this is the result


def test_debates_that_end_early_correct_the_estimate() -> None:
    progress = follow(40, rounds=4)
    assert progress.total == 480
    for item in range(5):
        add_turns(progress, item, 6)
        end(progress, item)
    assert progress.total == 240
    add_turns(progress, 5, 12)
    assert progress.describe_turns() == "42 of about 240 turns"


def test_stored_turns_are_no_part_of_the_speed() -> None:
    progress = follow(4)
    for i in range(12):
        identity = TurnId(0, f"q{i // 6}", "debate", i // 3 % 2 + 1, f"solver-{i % 3 + 1}")
        progress.turn(Turn(identity, "", (), "2", "2"), replayed=True)
    assert progress.remaining is None
    assert progress.describe_turns() == "12 of about 24 turns"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (101, "2 min"), (7200, "2.0 h")])
def test_a_time_has_a_unit_that_suits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


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
