"""A package of someone else adds one piece of each kind, is installed as any package is, and is used from YAML."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(__file__).parents[1] / "plugin"
SCENARIO = """
version: 1
name: plugged
task: {kind: doubles, limit: 4}
backends: {bird: {kind: parrot}}
roles: {echo: {prompt: "{{ question }}{% for m in heard %} ({{ m.sender }}){% endfor %}"}}
agents: {echo: {count: 4}}
phases: [{name: talk, topology: mirror, rounds: 5, stop: [silence], controllers: [fade]}]
decision: loudest
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the plugin installed by pip."""
    folder = tmp_path_factory.mktemp("site")
    source = shutil.copytree(PLUGIN, tmp_path_factory.mktemp("source") / "plugin")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(folder), str(source)], check=True, capture_output=True)
    return folder


def society(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[2])
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), root])}
    command = [sys.executable, "-m", "society", *arguments]
    return subprocess.run(command, cwd=site, env=where, capture_output=True, text=True, check=False)


def test_the_plugin_is_short() -> None:
    assert len((PLUGIN / "example_plugin.py").read_text().splitlines()) < 40


@pytest.mark.slow
def test_every_piece_is_used_from_yaml(site: Path, tmp_path: Path) -> None:
    (tmp_path / "plugged.yaml").write_text(SCENARIO)
    done = society(site, "run", str(tmp_path / "plugged.yaml"), "--out", str(tmp_path / "run"), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["turns"] == 4 * 4 * 2  # `silence` ends it after two rounds
    assert json.loads(done.stdout)["after"]["successes"] == 4
    shown = society(site, "show", str(tmp_path / "run"), "--item", "1").stdout
    assert "read" not in shown.split("talk, round 2")[1]  # `fade` took the edges away


@pytest.mark.slow
@pytest.mark.parametrize(
    ("noun", "kind"),
    [
        ("backends", "parrot"),
        ("topologies", "mirror"),
        ("tasks", "doubles"),
        ("decisions", "loudest"),
        ("stops", "silence"),
        ("controllers", "fade"),
    ],
)
def test_plugins_are_listed_and_in_the_schema(site: Path, noun: str, kind: str) -> None:
    assert kind in society(site, "list", noun).stdout
    assert f'"{kind}"' in society(site, "schema").stdout


def test_without_the_plugin_the_error_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "plugged.yaml").write_text(SCENARIO)
    done = society(tmp_path, "check", "plugged.yaml")
    assert done.returncode == 2
    assert "mirror" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_broken_plugin_is_named(site: Path, tmp_path: Path) -> None:
    info = tmp_path / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[society.topology]\nnothing = no_such_module:Thing\n")
    done = society(tmp_path, "list", "topologies")
    assert done.returncode == 2
    assert "broken" in done.stderr
    assert "cannot be loaded" in done.stderr
