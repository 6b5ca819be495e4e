"""Commands that install packages work in a shell where this interpreter's environment is not activated."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from society.core.errors import MissingExtraError
from society.core.pip_command import pip


def make_program(path: Path, prints: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {prints} $*\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of the programs of an environment, in which this interpreter seems to run."""
    programs = tmp_path / "my env" / "bin"
    make_program(programs / "pip")
    monkeypatch.setattr(sys, "executable", str(make_program(programs / "python", "own")))
    monkeypatch.setattr(sys, "prefix", str(programs.parent))
    return programs


def test_an_activated_environment_has_its_own_pip(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{environment}:/usr/bin:/bin")
    assert pip("install torch") == "pip install torch"


@pytest.mark.parametrize("with_other", [True, False])
def test_without_activation_the_interpreter_is_named(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_other: bool
) -> None:
    if with_other:
        make_program(tmp_path / "other" / "pip", "other")
    monkeypatch.setenv("PATH", f"{tmp_path / 'other'}:/bin")
    command = str(MissingExtraError("It", "x", "hf")).split("\n")[1]
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == "own -m pip install society-of-models[hf]\n"


def test_an_environment_of_uv_without_pip(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(environment.parent.parent / "uv")
    monkeypatch.setenv("PATH", str(environment.parent.parent))
    monkeypatch.setattr("society.core.pip_command._has_pip", lambda: False)
    python = shlex.quote(str(environment / "python"))
    assert pip("install --no-deps torch") == f"uv pip install --python {python} --no-deps torch"


def test_outside_an_environment_the_interpreter_is_named(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `pip` beside the interpreters of a system may be that of another one."""
    monkeypatch.setenv("PATH", str(environment))
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    assert pip("install torch").endswith("python' -m pip install torch")
