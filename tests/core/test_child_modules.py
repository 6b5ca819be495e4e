"""A child process imports no module from the current folder, which may come from a stranger."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from society.answers.worker import Worker
from society.core.child_modules import ROOT, import_path, module_command
from society.core.errors import SocietyError

FORGED = "from pathlib import Path; Path(__file__).with_name('owned').write_text('')"


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, which holds modules with the names of libraries that the child imports."""
    for name in ("math_verify", "sympy", "reasoning_gym", "json"):
        (tmp_path / f"{name}.py").write_text(FORGED)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("here", [None, "", "."], ids=["console script", "python -c", "python -m"])
def test_the_process_that_judges_answers_runs_no_code_from_the_current_folder(
    foreign: Path, monkeypatch: pytest.MonkeyPatch, here: str | None
) -> None:
    if here is not None:
        monkeypatch.setattr(sys, "path", [str(foreign) if here == "." else here, *sys.path])
    worker = Worker("society.answers.math_worker")
    try:
        assert worker.ask("1/2", "0.5", 1e-6) is True
    finally:
        worker.close()
    assert not (foreign / "owned").exists()


def test_every_child_finds_this_program_from_any_folder(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if Path(entry).resolve() != ROOT])
    command = [*module_command("society"), "--version"]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": import_path()}, capture_output=True, check=False)
    assert (done.returncode, (foreign / "owned").exists()) == (0, False), done.stderr


def test_the_remedy_runs_no_code_from_the_current_folder() -> None:
    with pytest.raises(SocietyError) as raised:
        Worker("society.answers.missing").ask("right")
    assert " -P -m society.answers.missing" in str(raised.value)


def test_no_child_is_started_by_a_module_s_name_but_with_this_command() -> None:
    """A command with "-m" would import from the current folder."""
    sources = [path for folder in ("society", "backends") for path in (ROOT / folder).rglob("*.py")]
    assert [path.name for path in sources if '"-m"' in path.read_text(encoding="utf-8")] == ["child_modules.py"]
