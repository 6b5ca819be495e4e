"""Packaging: the wheel has every data file, and the command line starts fast and imports little."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from society.core.errors import DISTRIBUTION
from society.core.installation import PACKAGES

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
        name
        for name in tracked
        if name.split("/")[0] in ("society", "backends", "topologies") and name.endswith((".py", *DATA))
    }
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


@pytest.mark.slow
def test_a_plain_install_debates_and_reports_without_numpy_and_scipy(tmp_path: Path) -> None:
    """These two libraries would be three quarters of its size."""
    (tmp_path / "plain.yaml").write_text(
        """
version: 1
name: plain
task: {kind: arithmetic, limit: 6}
backends: {scripted: {kind: scripted, rules: [{calculate: {skill: 0.5}}]}}
roles: {solver: {prompt: "{{ question }}{% for m in heard %} {{ m.text }}{% endfor %} {{ question }}"}}
agents: {solver: {count: 4}}
phases: [{name: debate, topology: {kind: erdos_renyi, p: 0.6}, rounds: 2}]
samples: 2
"""
    )
    commands = [
        ["check", "plain.yaml"],
        ["run", "plain.yaml", "-o", "a"],
        ["run", "plain.yaml", "-o", "b", "--set", "phases.debate.topology=ring"],
        ["show", "a"],
        ["report", "a", "b", "-o", "report.html"],
        ["compare", "a", "b"],
        ["plan", "plain.yaml"],
    ]
    code = (
        "import sys; sys.modules |= {'numpy': None, 'scipy': None}; from society.cli import main\n"
        f"for command in {commands!r}: assert main(command) == 0, command"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_foreign_package_found_first_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "backends").mkdir()
    (tmp_path / "backends" / "__init__.py").touch()
    result = subprocess.run(
        [sys.executable, "-m", "society", "list", "stops"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert str(tmp_path / "backends") in result.stderr


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with copies of the three packages, as an installation has them."""
    for name in ("society", "backends", "topologies"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("society", "from society.cli import app"),  # the command of PyPI's `society`
        ("backends", "from society.cli import main; main(['list', 'stops'])"),
        ("topologies", "import society; society.load_scenario"),
    ],
)
@pytest.mark.parametrize("content", ["", None], ids=["overwritten", "uninstalled"])
def test_files_that_another_distribution_replaced_are_an_error(
    installed: Path, name: str, code: str, content: str | None
) -> None:
    if name == "society" and content is None:
        code = "import society.cli"  # what our own command imports
    module = installed / name / "__init__.py"
    module.unlink()
    if content is not None:
        module.write_text(content)
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=installed,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert result.returncode != 0
    assert f"Another distribution has replaced files of society-of-models in {installed / name}" in result.stderr
    assert "pip uninstall society backends topologies society-of-models" in result.stderr


def test_remedies_name_the_distribution_that_is_ours() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == DISTRIBUTION
    for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*"), *(ROOT / "society").rglob("*.py")]):
        if path.is_file():
            assert not re.search(r"pip install[^\n]*\bsociety(\[|\s|'|$)", path.read_text()), path


def test_commands_that_install_are_those_of_this_interpreter() -> None:
    """Texts of the program leave the word `pip` to `society.core.pip_command`."""
    paths = [path for name in PACKAGES for path in (ROOT / name).rglob("*.py") if path.name != "pip_command.py"]
    for path in paths:
        tree = ast.parse(path.read_text())
        sentences = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in sentences:
                assert not re.search(r"\bpip (un)?install", node.value), (path, node.lineno)


def test_the_set_up_of_newcomers_is_one_and_opens_live_pages() -> None:
    """`make demo`, the installation by hand and the front page install the same extras; README shows `society view`."""
    found = [
        re.findall(r"\[(llama,[\w,]+)\]", (ROOT / name).read_text())
        for name in ("Makefile", "README.md", "docs/index.md")
    ]
    assert {*found[0], *found[1], *found[2]} == {found[0][0]}
    assert "view" in found[0][0].split(",")


def test_every_extra_that_an_error_names_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named: set[str] = set()
    for folder in ("society", "backends"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "MissingExtraError":
                    if any(keyword.arg == "remedy" for keyword in node.keywords):
                        continue  # no extra installs this library
                    extra = node.args[2]
                    assert isinstance(extra, ast.Constant), f"{path}:{node.lineno}"
                    named.add(extra.value)
    assert {"hf", "llama", "openai", "ray"} <= named <= set(extras)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["list", "topologies"], ["schema"]])
def test_commands_that_need_no_run(arguments: list[str]) -> None:
    result = subprocess.run([sys.executable, "-m", "society", *arguments], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout
