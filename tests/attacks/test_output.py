"""Output: names break no table, cells are no formulas, and failing streams are one error."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.cli import main
from society.metrics.comparison_tables import layout
from society.metrics.frames import write_tables
from society.metrics.spreadsheet import quote, unquote
from society.runs.run import Run
from tests.report.reports import run_sums

ROOT = Path(__file__).parents[2]
DEBATE = "[{name: debate, topology: complete, rounds: 2}]"
NAMES = ("=HYPERLINK(1)", "a|b", "[5cm]", "$x_$", "_x", "*", "[/x]", "\x1b[31mred", "a\nb", "{a}&b%", "\u202eabc", "é→")
hostile = st.text(
    st.sampled_from("=+-@\t\r\n'\"|,;&%$#_{}[]<>~^\\*`\x1b\u202e \ud800aé1") | st.characters(), max_size=40
)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_sums(tmp_path_factory.mktemp("sums"), "sums", DEBATE, 3, 4).folder


# Formulas


@given(hostile)
def test_a_cell_is_no_formula_and_gives_its_text_back(text: str) -> None:
    cell = quote(text)
    assert unquote(cell) == text
    number = re.fullmatch(r"[+-]?(\d[\d,]*\.?\d*|\.\d+)([eE][+-]?\d+)?( ?%)?|-", cell, re.ASCII)
    assert number or not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20"))


@pytest.mark.parametrize("text", ["-5", "+5", "-1.5", "-1,234.5", "-3e-7", "-.5", "- ", "5", "", "-", "a=b", "-12 %"])
def test_plain_numbers_stay_numbers(text: str) -> None:
    assert quote(text) == ("'- " if text == "- " else text)


@pytest.mark.parametrize(
    "text", ["=1+1", "+1+cmd|'/C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-5\n=1", "\uff1d1", "--1"]
)
def test_formulas_are_quoted(text: str) -> None:
    assert quote(text) == f"'{text}"


def test_no_cell_of_an_exported_table_is_a_formula(done: Path, tmp_path: Path) -> None:
    import shutil
    import sqlite3

    folder = Path(shutil.copytree(done, tmp_path / "run"))
    said = '=HYPERLINK("http://evil.example"),"x"'
    with sqlite3.connect(folder / "store.sqlite") as db:
        db.execute("UPDATE turns SET text = ?, answer = '-5'", (said,))
        db.execute("UPDATE results SET question = ?", (f"@{said}",))
    db.close()
    write_tables(Run(folder), tmp_path / "out", "csv")
    for name in ("turns", "results", "edges"):
        with (tmp_path / "out" / f"{name}.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+@\t\r")]
        if name == "turns":
            assert {unquote(row["text"]) for row in rows} == {said}
            assert {row["answer"] for row in rows} == {"-5"}


# Tables of text


def table(name: str) -> list[list[str]]:
    return [["run", "95% interval", "n"], [name, "-1.0 to +2.0", "3"], ["other", "1.0 to 2.0", "4"]]


@given(hostile)
def test_a_name_breaks_no_table(name: str) -> None:
    markdown = layout(table(name), "markdown").split("\n")
    assert len(markdown) == 4
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in markdown] == [4] * 4
    latex = layout(table(name), "latex").split("\n")
    assert len(latex) == 8
    assert [line.count("&") - line.count(r"\&") for line in latex[2:3] + latex[4:6]] == [2] * 3
    assert not latex[4].startswith(("[", "*"))
    assert len(layout(table(name), "text").split("\n")) == 3
    rows = list(csv.reader(io.StringIO(layout(table(name), "csv"))))
    assert [len(row) for row in rows] == [4] * 3
    assert not rows[1][0].startswith(("=", "@", "\t", "\r"))
    for form in ("markdown", "latex", "text"):
        assert not {"\x1b", "\u202e", "\r"} & set(layout(table(name), form))


def test_latex_takes_every_name(tmp_path: Path) -> None:
    """Braces are balanced, and every command is one of ours."""
    text = "\n".join(layout(table(name), "latex") for name in NAMES)
    bare = re.sub(r"\\[{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    known = {"begin", "end", "toprule", "midrule", "bottomrule", "textbackslash", "textasciitilde", "textasciicircum"}
    assert set(re.findall(r"\\([a-z]+)", bare)) <= known | {"langle", "rangle", "char"}


@pytest.mark.slow
@pytest.mark.needs("matplotlib")
@pytest.mark.parametrize("form", ["text", "markdown", "csv", "latex"])
def test_runs_of_hostile_names_are_compared_and_drawn(
    done: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    import shutil

    runs = [str(shutil.copytree(done, tmp_path / name.replace("/", ":"))) for name in NAMES]
    assert main(["compare", *runs, "--format", form]) == 0
    said = capfd.readouterr().out
    assert not {"\x1b", "\u202e"} & set(said)
    if form == "csv":
        assert main(["plot", *runs[:4], "-o", str(tmp_path / "plots")]) == 0
        assert main(["report", *runs, "-o", str(tmp_path / "r.html")]) == 0
        import xml.etree.ElementTree as ElementTree

        for path in (tmp_path / "plots").glob("*.svg"):
            ElementTree.parse(path)


# Streams


def command_line(*arguments: str, **options: object) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("more", {})}  # type: ignore[dict-item]
    return subprocess.Popen([sys.executable, "-m", "society", *arguments], env=env, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload, no-any-return]


COMMANDS = {
    "help": ["--help"],
    "list": ["list", "topologies"],
    "schema": ["schema"],
    "check --json": ["check", "SCENARIO", "--json"],
    "plan": ["plan", "SCENARIO"],
    "plan --json": ["plan", "SCENARIO", "--json"],
    "draw": ["draw", "SCENARIO", "-o", "OUT/x.svg"],
    "show": ["show", "RUN"],
    "show one": ["show", "RUN", "--number", "1"],
    "report": ["report", "RUN", "-o", "OUT/r.html"],
    "compare": ["compare", "RUN", "COPY"],
    "compare --json": ["compare", "RUN", "COPY", "--json"],
    "export": ["export", "RUN", "--to", "OUT/e", "--format", "csv"],
    "plot": ["plot", "RUN", "-o", "OUT/p"],
    "run": ["run", "SCENARIO", "--out", "OUT/run"],
    "run --json": ["run", "SCENARIO", "--out", "OUT/run2", "--json"],
    "sweep": ["sweep", "SCENARIO", "--vary", "seed=0", "--out", "OUT/sweep"],
}


LIBRARIES = {"draw": "matplotlib", "plot": "matplotlib", "export": "pandas"}
EVERY_COMMAND = [
    pytest.param(name, marks=pytest.mark.needs(LIBRARIES[name]) if name in LIBRARIES else ()) for name in COMMANDS
]


def fill(command: list[str], done: Path, out: Path) -> list[str]:
    import shutil

    if "COPY" in command and not (out / "copy").exists():
        shutil.copytree(done, out / "copy")
    places = {"SCENARIO": done.parent / "sums.yaml", "RUN": done, "COPY": out / "copy"}
    return [str(places.get(word, word)).replace("OUT", str(out)) for word in command]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_a_full_standard_output_is_one_error(done: Path, tmp_path: Path, name: str) -> None:
    with Path("/dev/full").open("w") as full:
        process = command_line(*fill(COMMANDS[name], done, tmp_path), stdout=full)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 3, said
    assert b"Traceback" not in said
    assert b"Exception" not in said
    assert b"The output cannot be written: No space left on device" in said


@pytest.mark.parametrize("name", EVERY_COMMAND)
def test_a_closed_pipe_is_no_error_that_shows(done: Path, tmp_path: Path, name: str) -> None:
    process = command_line(*fill(COMMANDS[name], done, tmp_path), stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()  # before anything is printed
    _, said = process.communicate(timeout=300)
    assert b"Traceback" not in said
    assert b"Exception" not in said
    assert b"Broken pipe" not in said
    assert process.returncode == 3, said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
@pytest.mark.parametrize("name", ["help", "plan", "show", "show one", "compare", "run"])
def test_a_stream_of_few_characters_takes_everything(done: Path, tmp_path: Path, name: str, encoding: str) -> None:
    more = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    process = command_line(*fill(COMMANDS[name], done, tmp_path), stdout=subprocess.PIPE, more=more)
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert b"Traceback" not in said
    out.decode(encoding)


def test_closed_streams_end_in_no_traceback(done: Path) -> None:
    command = f"{sys.executable} -m society show {done} >&- 2>&-"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["sh", "-c", command], env=env, check=False, timeout=300).returncode in (0, 1)
