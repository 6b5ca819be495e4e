"""The notebooks run from top to bottom, each in a kernel of its own that talks over the loopback interface."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import rows

nbformat = pytest.importorskip("nbformat", reason="the notebooks need the extra dev: nbclient and ipykernel")
nbclient = pytest.importorskip("nbclient", reason="the notebooks need the extra dev: nbclient and ipykernel")
pytest.importorskip("ipykernel", reason="the notebooks need the extra dev: nbclient and ipykernel")

ROWS = ("vote after debating", "society's answer")
ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which kernels start; their own files are below it, and they import this checkout."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR"):
        (tmp_path / name.lower()).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def execute(name: str, folder: Path) -> list[str]:
    """Execute a notebook in a folder and return what its cells show, a text for each code cell."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return ["".join(map(shown, cell.outputs)) for cell in notebook.cells if cell.cell_type == "code"]


def shown(output: Any) -> str:
    """Return the text and the HTML of one output."""
    data = output.get("data", {})
    return "\n".join([output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")])


def shares(text: str) -> list[float]:
    """Return every share of an accuracy in a text, in order."""
    return [float(share) for share in re.findall(r"([\d.]+)% \[", text)]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_every_notebook_is_executed_by_a_test() -> None:
    executed = re.findall(r'execute\("([^"]+)"', Path(__file__).read_text("utf-8"))
    assert sorted(executed) == [path.name for path in NOTEBOOKS]


@pytest.mark.model
@pytest.mark.llama
@pytest.mark.slow
def test_a_debate(kernel: Path) -> None:
    texts = execute("1_debate.ipynb", kernel)
    assert "did you mean 'complete'" in texts[1]
    assert "4/4 debates" in texts[2]
    assert "<table>" in texts[2]
    assert "vote after debating" in texts[2]
    assert set(shares(texts[3])) == {shares(texts[2])[-1]}
    assert "ring: 4 questions debated" in texts[6]
    assert (kernel / "runs" / "debate.html").read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_debate_or_vote(kernel: Path) -> None:
    texts = execute("2_debate_or_vote.ipynb", kernel)
    debated, voted = (
        shares(re.findall(r"(?:vote after debating|society's answer) .*", text)[0])[0] for text in texts[:2]
    )
    assert debated < voted  # six votes against three
    assert "compute-matched" in texts[2]
    by_count = shares(texts[4])
    assert by_count == sorted(by_count)
    assert by_count[-1] > by_count[0] + 10


@pytest.mark.slow
@pytest.mark.hf
def test_finetune_a_society(kernel: Path) -> None:
    texts = execute("3_finetune.ipynb", kernel)
    [before, _, after] = shares("\n".join(re.findall(r"after \d finetunings?.*?%.*?\[", texts[2])))
    assert after > before + 20
    assert texts[4].count("iteration 0") == texts[4].count("iteration 1") == 3
    assert "painter-" in texts[5]


@pytest.mark.slow
def test_an_interrupted_cell_leaves_a_run_that_can_be_resumed(kernel: Path) -> None:
    """The kernel gets the signal that the button of a notebook sends, while the debates are under way."""
    rule = [{"calculate": {"skill": 0.5}}]
    data = {
        "version": 1,
        "name": "sums",
        "task": {"kind": "arithmetic", "form": "a+b", "limit": 5},
        "backends": {"local": {"kind": "scripted", "rules": rule}},
        "roles": {"solver": {"prompt": "{{ question }}"}},
        "agents": {"solver": {"count": 3}},
        "phases": [{"name": "answer"}],
        "concurrency": 1,
    }
    cells = [
        f"""
        import os, signal, threading, society
        from society.core.interrupt import Interruption
        handled, ask = threading.Event(), Interruption._ask
        def asked(*arguments):
            ask(*arguments)
            handled.set()
        Interruption._ask = asked
        scenario = society.Scenario.from_dict({data!r})
        class Interrupt(society.Watcher):
            seen = 0
            def turn(self, turn, replayed):
                self.seen += 1
                if self.seen == 4:
                    os.kill(os.getpid(), signal.SIGINT)
                    assert handled.wait(60)
        try:
            society.run(scenario, "stopped", watcher=Interrupt())
        except KeyboardInterrupt as error:
            print(type(error).__name__, society.Run("stopped").count_turns())
        """,
        "society.run(scenario, 'stopped', resume=True)\nsociety.run(scenario, 'whole').accuracy.n",
        "await society.run_async(scenario, 'awaited')",
    ]
    from textwrap import dedent

    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(dedent(cell)) for cell in cells])
    client = nbclient.NotebookClient(
        book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(kernel)}}
    )
    client.execute()
    stopped = re.search(r"Interrupted (\d+)", "".join(map(shown, book.cells[0].outputs)))
    assert stopped is not None
    assert 4 <= int(stopped[1]) < 15
    assert rows(kernel / "stopped") == rows(kernel / "whole") == rows(kernel / "awaited")
