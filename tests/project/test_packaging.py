"""What an installation gets: a wheel with every data file, and a command line that starts fast and imports little."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = (".sql", ".yaml", ".tsv", ".html", ".css", ".js", "py.typed")
HEAVY = ("torch", "transformers", "peft", "llama_cpp", "networkx", "pydantic", "matplotlib", "scipy", "numpy")


def test_the_wheel_carries_every_module_and_data_file(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run([*command, str(ROOT)], check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    carried = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    wanted = {
        name for name in tracked
        if name.split("/")[0] in ("society", "backends", "topologies") and name.endswith((".py", *DATA))
    }  # fmt: skip
    assert len(wanted) > 100
    assert not wanted - carried


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from society.cli import main; main(['--help']); "
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules]; sys.exit(str(heavy) if heavy else 0)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "run" in result.stdout


def test_another_package_of_the_same_name_is_named(tmp_path: Path) -> None:
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "__init__.py").touch()
    result = subprocess.run(
        [sys.executable, "-m", "society", "list", "stops"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert str(tmp_path / "backends") in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list", "topologies"], ["schema"]])
def test_commands_that_need_no_run(arguments: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", "society", *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout
