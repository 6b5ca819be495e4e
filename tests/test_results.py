"""A run as people see it in Python: the command line's numbers, tables, a page, and nothing of a model as markup."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import society
from backends.scripted.backend import ScriptedBackend
from society.cli import main
from society.core.errors import BackendError
from tests.test_session import DATA, TURNS


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> society.Run:
    return society.run(society.Scenario.from_dict(DATA), tmp_path_factory.mktemp("sums") / "run")


def test_the_summary_has_the_numbers_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sums.json"  # JSON is YAML
    path.write_text(json.dumps(DATA))
    assert main(["run", str(path), "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out.strip("\n").splitlines()
    found = society.Run(tmp_path / "run").summary()
    told = [line.partition("; the whole run took")[0] for line in printed if not line.startswith("  next")]
    assert str(found).splitlines() == told
    assert repr(found) == str(found)


def test_the_accuracy_is_that_of_the_summary(run: society.Run) -> None:
    assert run.accuracy.n == 6
    assert run.accuracy.low < run.accuracy.share < run.accuracy.high
    assert f"vote after debating   {run.accuracy}" in run.summary()
    assert repr(run) == f"Run({str(run.folder)!r}, accuracy {run.accuracy})"


def test_tables_by_name(run: society.Run) -> None:
    pytest.importorskip("pandas")
    turns, results, edges = (run.to_pandas(table) for table in ("turns", "results", "edges"))
    assert (len(turns), len(results), len(edges)) == (TURNS, 6, TURNS)  # round 2: three agents read two others
    assert results["correct"].sum() == run.accuracy.successes
    assert run.to_pandas().equals(turns)
    with pytest.raises(society.InputError, match="turns, results, edges"):
        run.to_pandas("turn")  # type: ignore[arg-type]


def test_without_pandas_the_remedy_names_the_extra(run: society.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(society.InputError, match=r"pandas.*not installed(.|\n)*pip install .*\[tables\]"):
        run.to_pandas()


def test_the_page_is_written_and_named(run: society.Run, tmp_path: Path) -> None:
    path = run.report(tmp_path / "pages" / "sums.html")
    assert path == tmp_path / "pages" / "sums.html"
    assert path.read_text().startswith("<!doctype html>")
    assert run.report() == run.folder / "report.html"
    assert society.Run(run.folder).accuracy == run.accuracy  # the page does not disturb the run


def test_the_table_of_a_notebook_escapes_what_models_say(tmp_path: Path) -> None:
    reply = "<script>alert(1)</script> & \u202eno number"
    data: dict[str, Any] = {**DATA, "backends": {"local": {"kind": "scripted", "rules": [{"say": reply}]}}}
    page = society.run(society.Scenario.from_dict(data), tmp_path / "<b>run")._repr_html_()
    assert "<script" not in page
    assert "<b>" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp;" in page
    assert page.count("<tr>") == page.count("</tr>") > 5


def test_a_folder_without_a_run_says_so(tmp_path: Path) -> None:
    nothing = society.Run(tmp_path)
    assert "not readable" in repr(nothing)
    with pytest.raises(society.InputError, match="holds no run"):
        nothing.summary()
    assert "holds no run" in nothing._repr_html_()  # no traceback below a notebook's cell


def test_a_run_without_a_finished_debate_has_a_summary(tmp_path: Path) -> None:
    class Stops(society.Watcher):
        def turn(self, turn: object, replayed: bool) -> None:
            raise RuntimeError("stopped by the test")

    with pytest.raises(RuntimeError, match="stopped by the test"):
        society.run(society.Scenario.from_dict(DATA), tmp_path / "run", watcher=Stops())
    stopped = society.Run(tmp_path / "run")
    assert stopped.summary().splitlines()[0] == "sums: no debate has ended"
    assert stopped.accuracy.n == 0
    assert "no debate has ended" in stopped._repr_html_()
    assert "0 of 6 debates, accuracy - (n = 0)" in repr(stopped)
    assert "0 of 6 debates finished; aborted: RuntimeError: stopped by the test" in stopped.summary()
    assert "continue with --resume (Python: resume=True)" in stopped.summary()


def test_an_unfinished_run_says_so_everywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Stops(society.Watcher):
        ended = 0

        def result(self, result: object) -> None:
            self.ended += 1
            if self.ended == 2:
                raise RuntimeError("stopped by the test")

    data = {**DATA, "concurrency": 1}
    with pytest.raises(RuntimeError, match="stopped by the test"):
        society.run(data, tmp_path / "run", watcher=Stops())
    stopped = society.Run(tmp_path / "run")
    assert stopped.summary().splitlines()[0].startswith("sums: unfinished, 2 of 6 debates finished, accuracy")
    assert ", 2 of 6 debates, accuracy " in repr(stopped)
    for text in (stopped.summary(), stopped._repr_html_()):
        assert "2 of 6 debates finished; aborted: RuntimeError: stopped by the test" in text
        assert "continue with --resume (Python: resume=True)" in text
    assert main(["show", str(stopped.folder)]) == 0
    assert "Unfinished: 2 of 6 debates" in capsys.readouterr().out
    whole = society.run(data, stopped.folder, resume=True)
    assert "of 6 debates" not in repr(whole) + whole.summary()
    assert main(["show", str(stopped.folder)]) == 0
    assert "Unfinished" not in capsys.readouterr().out


def test_the_summary_names_the_error_of_failed_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def generate(self: object, request: object) -> object:
        raise BackendError("The server says \x1b[31mno.")

    monkeypatch.setattr(ScriptedBackend, "generate", generate)
    found = society.run({**DATA, "task": {**DATA["task"], "limit": 2}}, tmp_path / "run")
    assert "12 failed turns" in found.summary()
    assert "turns failed by" in found.summary()
    assert "The server says ⟦U+001B⟧[31mno." in found.summary()
    assert "The server says" in found._repr_html_()


def test_a_run_of_a_relative_folder_is_read_from_another_folder(
    tmp_path: Path, run: society.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.folder.parent)
    relative = society.Run(run.folder.name)
    monkeypatch.chdir(tmp_path)
    assert relative.accuracy == run.accuracy
