"""Runs from Python: public names, scenarios made of plain data, event loops that run already, interruptions."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pytest

import society
from society.core.interrupt import Interruption
from society.core.types import Turn
from tests.conftest import rows

T = TypeVar("T")
DATA: dict[str, Any] = {
    "version": 1,
    "name": "sums",
    "task": {"kind": "arithmetic", "form": "a+b", "limit": 6},
    "backends": {"local": {"kind": "scripted", "rules": [{"calculate": {"skill": 0.5, "wrong": "spread"}}]}},
    "roles": {"solver": {"prompt": "{{ question }}{% for m in heard %} {{ m.text }}{% endfor %} {{ question }}"}},
    "agents": {"solver": {"count": 3}},
    "phases": [{"name": "debate", "topology": "complete", "rounds": 2}],
}
TURNS = 6 * 3 * 2


def in_running_loop(call: Coroutine[Any, Any, T]) -> T:
    """Run as a notebook's kernel does, which leaves the signals to the cell."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(call)
    finally:
        loop.close()


class Interrupts(society.Watcher):
    """Sends an interrupt to this process after the first turn, and waits until a handler has had it."""

    def __init__(self) -> None:
        self.turns = 0
        self.handled = threading.Event()

    def turn(self, turn: Turn, replayed: bool) -> None:
        self.turns += 1
        if self.turns == 1:
            os.kill(os.getpid(), signal.SIGINT)
            assert self.handled.wait(60)


def test_every_public_name_is_there_and_listed() -> None:
    assert set(society.__all__) < set(dir(society))
    assert all(getattr(society, name) is not None for name in society.__all__)
    assert society.__doc__ is not None
    assert all(name in society.__doc__ for name in ("load_scenario", "Scenario.from_dict", "check", "run_async", "Run"))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = society.nothing


def test_importing_society_imports_none_of_it() -> None:
    code = "import sys, society; dir(society); print(sorted(n for n in sys.modules if n.startswith('society')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['society']"


def test_plain_data_make_the_scenario_that_a_file_makes(tmp_path: Path) -> None:
    import yaml

    path = tmp_path / "sums.yaml"
    path.write_text(yaml.safe_dump(DATA))
    made = society.Scenario.from_dict(DATA)
    assert made == society.load_scenario(path) == society.Scenario(**DATA)
    assert society.Scenario.from_dict(made.model_dump(mode="json", exclude_unset=True)) == made
    assert rows(society.run(DATA, tmp_path / "data")) == rows(society.run(path, tmp_path / "file"))
    assert rows(society.run(made, tmp_path / "made")) == rows(
        society.run(society.load_scenario(path), tmp_path / "run")
    )


def test_a_run_within_a_running_loop_is_the_same_run(tmp_path: Path) -> None:
    scenario = society.Scenario.from_dict(DATA)

    async def cell() -> society.Run:
        return society.run(scenario, tmp_path / "cell")

    async def waiting() -> society.Run:
        return await society.run_async(scenario, tmp_path / "waiting")

    alone = rows(society.run(scenario, tmp_path / "alone"))
    assert len(alone) == TURNS + 6
    assert alone == rows(in_running_loop(cell())) == rows(in_running_loop(waiting()))


@pytest.mark.parametrize("within", [in_running_loop, asyncio.run, None], ids=["in a loop", "asyncio.run", "alone"])
def test_an_interrupted_run_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, within: Callable[..., None] | None
) -> None:
    scenario = society.Scenario.from_dict({**DATA, "concurrency": 1})
    watcher = Interrupts()
    ask = Interruption._ask

    def asked(self: Interruption, number: int, frame: FrameType | None) -> None:
        ask(self, number, frame)
        watcher.handled.set()

    monkeypatch.setattr(Interruption, "_ask", asked)

    async def cell() -> None:
        society.run(scenario, tmp_path / "run", watcher=watcher)

    with pytest.raises(society.Interrupted, match=r"SIGINT: .*/run; continue with --resume \(Python: resume=True\)"):
        society.run(scenario, tmp_path / "run", watcher=watcher) if within is None else within(cell())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    stopped = society.Run(tmp_path / "run")
    assert 0 < stopped.count_turns() < TURNS
    resumed = society.run(scenario, tmp_path / "run", resume=True)
    assert rows(resumed) == rows(society.run(scenario, tmp_path / "whole"))


def test_an_interrupt_that_another_handler_raises_stops_the_run_too(tmp_path: Path) -> None:
    """A host with a handler of its own keeps it: its KeyboardInterrupt stops the thread that runs the debates."""

    watcher = Interrupts()

    def handler(number: int, frame: object) -> None:
        watcher.handled.set()
        raise KeyboardInterrupt("of the host")

    signal.signal(signal.SIGINT, handler)
    scenario = society.Scenario.from_dict({**DATA, "concurrency": 1})

    async def cell() -> None:
        society.run(scenario, tmp_path / "run", watcher=watcher)

    with pytest.raises(KeyboardInterrupt, match="of the host"):
        in_running_loop(cell())
    assert signal.getsignal(signal.SIGINT) is handler
    resumed = society.run(scenario, tmp_path / "run", resume=True)  # the folder is free again
    assert resumed.count_turns() == TURNS


def test_errors_within_a_running_loop_are_those_of_the_run(tmp_path: Path) -> None:
    scenario = society.Scenario.from_dict(DATA)
    society.run(scenario, tmp_path / "run")

    async def cell() -> None:
        society.run(scenario, tmp_path / "run")

    with pytest.raises(society.InputError, match="already"):
        in_running_loop(cell())


def test_arguments_of_a_wrong_type_are_refused_with_their_name(tmp_path: Path) -> None:
    with pytest.raises(society.InputError, match="watcher is <class"):
        society.run(DATA, tmp_path / "run", watcher=society.Watcher)  # type: ignore[arg-type]
    with pytest.raises(society.InputError, match="`out` is 3"):
        society.run(DATA, 3)  # type: ignore[arg-type]
    with pytest.raises(society.InputError, match="`reuse` contains 3"):
        society.run(DATA, tmp_path / "run", reuse=[3])  # type: ignore[list-item]
    with pytest.raises(society.InputError, match="loaded from None"):
        society.run(None, tmp_path / "run")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()


def test_reuse_and_compare_take_a_run_or_its_folder(tmp_path: Path) -> None:
    first = society.run(DATA, tmp_path / "first")
    for number, reuse in enumerate([first, first.folder, str(first.folder), [first]]):
        assert society.run(DATA, tmp_path / str(number), reuse=reuse).count_reused() == TURNS
    [pair] = society.compare([str(first.folder), tmp_path / "0"]).pairs
    assert [pair] == list(society.compare([first, society.Run(tmp_path / "0")]).pairs)
    for runs in ([], [first], first):
        with pytest.raises(society.InputError, match=r"There (are no runs|is only one run) to compare"):
            society.compare(runs)  # type: ignore[arg-type]


def test_a_page_is_not_written_over_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "page.html"
    folder.mkdir()
    with pytest.raises(society.InputError, match=r"is a folder(.|\n)*report.html"):
        society.run(DATA, tmp_path / "run").report(folder)


def test_a_notebook_shows_the_message_of_bad_input_without_a_traceback() -> None:
    with pytest.raises(society.ScenarioError) as raised:
        society.run({**DATA, "seed": -4})
    assert raised.value._render_traceback_() == [f"ScenarioError: {raised.value}"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -4}, "seed: "),
        ({"samples": 0}, "samples: "),
        ({"phases": ()}, "phases: "),
        ({"agents": {"solver": 3}}, "agents.solver: "),
        ({"agents": {"solver": {"role": "judge"}}}, "judge"),
    ],
)
def test_a_changed_copy_is_checked_before_it_runs(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """`model_copy` checks nothing, and the command line could not read the run of an invalid copy."""
    changed = society.Scenario.from_dict(DATA).model_copy(update=change)
    with pytest.raises(society.ScenarioError, match=message):
        society.run(changed, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_copy_with_plain_data_runs_as_a_scenario_with_these_data(tmp_path: Path) -> None:
    phases = [{**DATA["phases"][0], "rounds": 1}]
    changed = society.Scenario.from_dict(DATA).model_copy(update={"phases": phases})
    found = society.run(changed, tmp_path / "copy")
    assert rows(found) == rows(society.run({**DATA, "phases": phases}, tmp_path / "data"))
